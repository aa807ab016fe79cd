/** Which keepalived a configuration is for, by the words that one alone knows, and what speaks against it. */
import type { Dataplane } from '../../domain/edge/model.ts';
import { plain, wordsOf } from './ledger.ts';
import type { Statement } from './statements.ts';

export interface Evidence {
  /** Data planes whose keepalived knows it. */
  fits: readonly Dataplane[];
  /** `FILE:LINE`. */
  at: string;
  statement: string;
}

/** What of a configuration is not of every data plane, the first of each kind. */
export function evidenceOf(statements: readonly Statement[]): Evidence[] {
  const found: Evidence[] = [];
  const kinds = new Set<string>();
  for (const { statement, fits, kind } of signs(statements)) {
    if (kinds.has(kind)) continue;
    kinds.add(kind);
    found.push({ fits, at: plain(`${statement.file}:${statement.line}`), statement: wordsOf(statement) });
  }
  return found;
}

/** dpvs has the words of both others but its LIPs, so that it wins by one of its own; without any it is mainline's. */
export function dataplaneBy(evidence: readonly Evidence[]): Dataplane {
  const only = (dataplane: Dataplane) => evidence.some(({ fits }) => fits.length === 1 && fits[0] === dataplane);
  const none = (dataplane: Dataplane) => evidence.some(({ fits }) => !fits.includes(dataplane));
  if (only('dpvs')) return 'dpvs';
  if (only('fullnat')) return 'fullnat';
  if (!none('ipvs')) return 'ipvs';
  return none('fullnat') ? 'dpvs' : 'fullnat';
}

/** What a data plane's keepalived does not know, or knows otherwise. */
export function against(evidence: readonly Evidence[], dataplane: Dataplane): Evidence[] {
  return evidence.filter(({ fits }) => !fits.includes(dataplane));
}

interface Sign {
  statement: Statement;
  fits: readonly Dataplane[];
  kind: string;
}

const ofDpvs = new Set([
  'establish_timeout',
  'daddr_group_name',
  'waddr_group_name',
  'proxy_protocol',
  'hash_target',
  'quic',
  'expire_quiescent_conn',
  'deny_address_group',
  'allow_address_group',
  'vip_bind_dev',
]);

/** Of 2.x, which DPVS's is too. */
const ofNewer = new Set([
  'enable_script_security',
  'script_user',
  'include_check',
  'reload_check_config',
  'UDP_CHECK',
  'DNS_CHECK',
  'PING_CHECK',
  'FILE_CHECK',
  'BFD_CHECK',
  'enable_sni',
]);

const withLips = new Set(['laddr_group_name', 'syn_proxy']);
const kindWords = new Set(['lb_kind', 'lvs_method']);

function* signs(statements: readonly Statement[]): Generator<Sign> {
  for (const statement of statements) {
    const [word = '', value] = statement.words;
    if (word === 'local_address_group') yield* lipSigns(statement);
    else if (ofDpvs.has(word) || (kindWords.has(word) && value === 'SNAT'))
      yield { statement, fits: ['dpvs'], kind: word };
    else if (withLips.has(word) || (kindWords.has(word) && value === 'FNAT')) {
      yield { statement, fits: ['fullnat', 'dpvs'], kind: word };
    } else if (ofNewer.has(word)) yield { statement, fits: ['ipvs', 'dpvs'], kind: 'newer' };
    if (statement.block && word !== 'local_address_group') yield* signs(statement.block);
  }
}

function* lipSigns(group: Statement): Generator<Sign> {
  for (const line of group.block ?? []) {
    const device = line.words[1] !== undefined;
    yield { statement: line, fits: [device ? 'dpvs' : 'fullnat'], kind: device ? 'LIP with interface' : 'LIP without' };
  }
}
