/**
 * What each of the three grammars has, as data. Only words that Weir renders are in it: a word of the dialect that Weir
 * never writes is as unexpected as one that the dialect lacks.
 *
 * Sources: fullnat: keepalived 1.2.2 of alibaba/LVS, tools/keepalived/keepalived/check/check_{parser,data,http,tcp}.c and
 * lib/parser.c. dpvs: keepalived 2.0.19 of iqiyi/dpvs, tools/keepalived/keepalived/check/check_{parser,data}.c,
 * core/global_parser.c, include/conf/service.h. ipvs: Debian's keepalived 2.2.7, and what its `-t` says.
 */
import type { Bounds } from './block.ts';
import { CHECK_TYPES } from './reading.ts';
import type { CheckType } from './reading.ts';

export type KeepalivedGrammar = 'fullnat' | 'dpvs' | 'ipvs';

/** What stands behind a word of global_defs; `process`: a name of at most 15 characters. */
export interface GlobalWord {
  as: 'text' | 'flag' | 'block' | 'seconds' | 'process';
  /** Why a configuration without it is refused; undefined: it may be left out. */
  needed?: string;
  /** The only value that is right. */
  only?: string;
}

/** How packets reach the WSs. */
export interface Kind {
  /** A group of LIPs is their source; without it the service would run without. */
  lips: boolean;
  /** The WS gets the packet as it is, so that its port is that of the VIP. */
  samePort: boolean;
  /** Answers come back through the LB, so that it can answer SYNs itself. */
  synproxy: boolean;
}

export interface Dialect {
  globals: Readonly<Record<string, GlobalWord>>;
  /** Blocks that may stand at the top besides global_defs, virtual_server_group and virtual_server. */
  groups: readonly ('local_address_group' | 'deny_address_group' | 'allow_address_group')[];
  /** Lines of LIPs: the address alone, or with the interface that it is put on. */
  lipLine: 'address' | 'address and interface';
  /** By the value of lb_kind. */
  kinds: Readonly<Record<string, Kind>>;
  /** Values of lb_algo that the data plane has. */
  schedulers: readonly string[];
  protocols: readonly string[];
  persistence: Bounds;
  /** Words of a virtual_server besides those that all have. */
  serviceWords: readonly string[];
  checks: readonly CheckType[];
  /** The word for the tries of a check, and the checks that have it. */
  retry: { word: string; checks: readonly CheckType[] };
  /** Words of an url block besides path, status_code and digest. */
  urlWords: readonly string[];
  /** Checks that can send the name of their host by SNI. */
  sniChecks: readonly CheckType[];
  /** Characters that are read as something else than text, by what they do. */
  special: readonly { pattern: RegExp; does: string }[];
}

const scriptGlobals: Dialect['globals'] = {
  router_id: { as: 'text', needed: 'the LB has no name' },
  script_user: { as: 'text', needed: 'scripts are disabled at run time', only: 'root' },
  enable_script_security: { as: 'flag', needed: 'scripts are refused' },
};

const ofSource: Kind = { lips: false, samePort: true, synproxy: false };

/**
 * From 2.0 on, a `$` starts a definition or its use, a line that ends with a backslash goes on, a line that starts with
 * `@` stands for one machine only, and `~SEQ` and `~LST` repeat their line. 1.2.2 has none of these.
 */
const special: Dialect['special'] = [
  { pattern: /\$/, does: 'starts a definition' },
  { pattern: /\\/, does: 'escapes, or joins with the next line' },
  { pattern: /^\s*@/, does: 'makes the line one of some machines only' },
  { pattern: /~(SEQ|LST)\(/, does: 'repeats the line' },
];

export const dialects: Readonly<Record<KeepalivedGrammar, Dialect>> = {
  fullnat: {
    globals: {
      router_id: { as: 'text', needed: 'the LB has no name' },
      notification_email: { as: 'block' },
      smtp_server: { as: 'text' },
      smtp_connect_timeout: { as: 'seconds' },
    },
    groups: ['local_address_group'],
    lipLine: 'address',
    kinds: { FNAT: { lips: true, samePort: false, synproxy: true }, DR: ofSource, TUN: ofSource },
    // The schedulers of Linux 2.6.32; the parser takes any text.
    schedulers: ['rr', 'wrr', 'lc', 'wlc', 'lblc', 'lblcr', 'sh', 'dh', 'sed', 'nq'],
    // Everything but TCP is read as UDP, which has no check there.
    protocols: ['TCP'],
    // It reads five characters.
    persistence: [1, 99999],
    serviceWords: ['syn_proxy', 'laddr_group_name', 'virtualhost'],
    checks: ['HTTP_GET', 'SSL_GET', 'TCP_CHECK'],
    retry: { word: 'nb_get_retry', checks: ['HTTP_GET', 'SSL_GET'] },
    urlWords: [],
    sniChecks: [],
    special: [],
  },
  dpvs: {
    // lvs_flush is there already, and checker_process_name by its older name; include_check and reload_check_config are not.
    globals: { ...scriptGlobals, lvs_flush: { as: 'flag' }, lvs_process_name: { as: 'process' } },
    groups: ['local_address_group', 'deny_address_group', 'allow_address_group'],
    lipLine: 'address and interface',
    kinds: { FNAT: { lips: true, samePort: false, synproxy: true }, DR: ofSource, TUN: ofSource },
    // The parser takes lc, lblc, lblcr, sh, dh, ovf, sed and nq too, which the data plane refuses at run time.
    schedulers: ['rr', 'wrr', 'wlc', 'conhash', 'fo', 'mh'],
    protocols: ['TCP', 'UDP'],
    persistence: [1, 2 ** 32 - 1],
    serviceWords: [
      'syn_proxy',
      'establish_timeout',
      'proxy_protocol',
      'hash_target',
      'laddr_group_name',
      'daddr_group_name',
      'waddr_group_name',
    ],
    checks: CHECK_TYPES,
    retry: { word: 'retry', checks: CHECK_TYPES },
    urlWords: ['virtualhost'],
    sniChecks: ['SSL_GET'],
    special,
  },
  ipvs: {
    globals: {
      ...scriptGlobals,
      include_check: { as: 'flag', needed: 'a file that is not found is left out in silence' },
      reload_check_config: { as: 'flag', needed: 'a configuration with an error is loaded as far as it parses' },
      lvs_flush: { as: 'flag', needed: 'real servers of before a crash stay, and nobody checks them' },
      checker_process_name: { as: 'process', needed: 'nobody can tell what is loaded' },
    },
    groups: [],
    lipLine: 'address',
    kinds: { NAT: { lips: false, samePort: false, synproxy: false }, DR: ofSource, TUN: ofSource },
    schedulers: ['rr', 'wrr', 'lc', 'wlc', 'lblc', 'lblcr', 'sh', 'mh', 'dh', 'fo', 'ovf', 'sed', 'nq', 'twos'],
    protocols: ['TCP', 'UDP'],
    // 31 days.
    persistence: [1, 2678400],
    serviceWords: [],
    checks: CHECK_TYPES,
    retry: { word: 'retry', checks: CHECK_TYPES },
    urlWords: ['virtualhost'],
    sniChecks: ['SSL_GET'],
    special,
  },
};
