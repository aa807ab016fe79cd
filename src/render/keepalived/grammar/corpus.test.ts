/**
 * A corpus with one file per trap: each is a good configuration but for one mistake, which the grammar must complain
 * about and about nothing else. `corpus/GRAMMAR/NAME.conf` begins with `! expect:` lines, parts of complaints: each must
 * be met, and each complaint must meet one. `good-*.conf` are the accepted samples, and have no complaint.
 * The real keepalived of this machine says what it thinks of those of ipvs.
 */
// oxlint-disable-next-line no-restricted-imports -- runs the real keepalived
import { spawnSync } from 'node:child_process';
// oxlint-disable-next-line no-restricted-imports -- the corpus is files
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { hasKeepalived } from '../../testing/real-tools.ts';
import { readKeepalived } from './reader.ts';
import type { KeepalivedGrammar } from './reader.ts';

if (!hasKeepalived) console.warn('left out: keepalived -t on the corpus (no keepalived 2 here; Debian: keepalived)');

const keepalived = 'keepalived';
const ownGroup = 'setsid';

/** The version that the list of what is accepted was taken from. */
const isDebians = hasKeepalived && spawnSync(keepalived, ['-v'], { encoding: 'utf8' }).stderr.includes('v2.2.7');

const root = fileURLToPath(new URL('corpus/', import.meta.url));
const grammars = { A: 'fullnat', D: 'dpvs', M: 'ipvs' } as const satisfies Record<string, KeepalivedGrammar>;

/** Every trap of the reference of data planes that a file can hold: the files, and the grammars that have each. */
const traps: Record<string, Record<string, string>> = {
  'LIP group: in the forks alone; ranges end below 255': {
    'lip-group': 'M',
    'lip-range-to-255': 'A D',
    'lip-range-backwards': 'A D',
    'lip-range-of-addresses': 'A D',
    'lip-with-interface': 'A',
  },
  'LIP group of DPVS: a line without its interface crashes it; names of interfaces have at most 15 characters': {
    'lip-without-interface': 'D',
    'interface-too-long': 'D',
  },
  'laddr_group_name and syn_proxy: in the forks alone': {
    'laddr-group-name': 'M',
    'syn-proxy': 'M',
  },
  'lb_kind: 1.2.2 reads what it does not know as NAT': {
    'lb-kind-unknown': 'A D M',
    'lb-kind-of-another': 'A D M',
    'lb-kind-snat': 'D',
  },
  'lb_algo: 1.2.2 takes any text, DPVS some that its data plane lacks': {
    'lb-algo-unknown': 'A D M',
    'lb-algo-of-another': 'A D M',
  },
  'persistence_timeout: 0, no value, more characters than are read': {
    'persistence-zero': 'A D M',
    'persistence-without-value': 'A D M',
    'persistence-six-digits': 'A',
    'persistence-above-a-month': 'M',
  },
  'protocol: what is not TCP becomes UDP': {
    'protocol-lowercase': 'A D M',
    'protocol-other': 'A D M',
  },
  'alpha before every real_server': {
    'alpha-after-real-server': 'A D M',
  },
  'weight: unchecked in 1.2.2': {
    'weight-too-large': 'A D M',
    'weight-negative': 'A D M',
    'weight-missing': 'A D M',
  },
  'words of TCP_CHECK': {
    'tcp-check-retry': 'A',
    'tcp-check-nb-get-retry': 'D M',
  },
  'words of HTTP_GET and SSL_GET': {
    'retry-word': 'A D M',
    'status-list': 'A D M',
    'status-range': 'A D M',
    'url-virtualhost': 'A',
    sni: 'A',
    'sni-of-http': 'D M',
    'sni-without-name': 'D M',
  },
  'UDP_CHECK and DNS_CHECK: absent in 1.2.2, and close their parent': {
    'udp-check': 'A',
    'dns-check': 'A D M',
  },
  'MISC_CHECK needs script security': {
    'misc-check': 'A D M',
  },
  IPv6: {
    'ipv6-vip': 'A D M',
    'ipv6-real-server': 'A D M',
  },
  'quorum_up and quorum_down: a shell in 1.2.2, none elsewhere': {
    'quorum-up-shell': 'A D M',
    'quorum-up-dollar': 'A',
    'helper-without-path': 'A D M',
  },
  'scripts need script_user and enable_script_security': {
    'script-user-missing': 'D M',
    'script-user-other': 'D M',
    'script-security-missing': 'D M',
  },
  'notification_email without addresses': {
    'notification-email-empty': 'D M',
  },
  'global_defs of mainline, which 2.0.19 lacks': {
    'include-check': 'D',
    'reload-check-config': 'D',
    'checker-process-name': 'D',
    'include-check-missing': 'M',
    'reload-check-config-missing': 'M',
    'lvs-flush-missing': 'M',
    'process-name-missing': 'M',
    'process-name-too-long': 'M',
  },
  'HTTP_GET without a url crashes 2.2.7': {
    'url-missing': 'A D M',
    'path-missing': 'A D M',
  },
  'unknown words are skipped in silence by 1.2.2': {
    'unknown-word': 'A D M',
    'unknown-block': 'A D M',
  },
  'comments: ! and # at the start of a token, also within quotes in 1.2.2; // is none': {
    'slash-comment': 'A D M',
    'comment-for-a-value': 'A D M',
    'comment-within-quotes': 'A D M',
    'bang-within-quotes': 'A D M',
  },
  'lines under 1000 bytes, of printable characters, with their end': {
    'line-too-long': 'A D M',
    'last-line-unfinished': 'A D M',
    'not-ascii': 'A D M',
    'carriage-returns': 'A D M',
  },
  'what keepalived 2 reads as something else than text': {
    definition: 'D M',
    'joined-line': 'D M',
    'conditional-line': 'D M',
    'repeated-line': 'D M',
  },
  'include: silent when nothing matches': {
    'include-missing': 'A D M',
    'include-pattern': 'A D M',
    'include-of-itself': 'A D M',
    'include-within-a-block': 'A D M',
  },
  'one statement a line, } alone on its line': {
    'block-on-one-line': 'A D M',
    'brace-not-alone': 'A D M',
    'brace-too-many': 'A D M',
    'brace-too-few': 'A D M',
  },
  'global_defs once, with a name of the LB': {
    'global-defs-missing': 'A D M',
    'global-defs-twice': 'A D M',
    'router-id-missing': 'A D M',
  },
  'DPVS words: establish_timeout': {
    'establish-timeout': 'A M',
    'conn-timeout': 'D',
    'establish-timeout-zero': 'D',
    'establish-timeout-too-long': 'D',
  },
  'DPVS words: proxy_protocol': {
    'proxy-protocol': 'A M',
    'proxy-protocol-unknown': 'D',
    'proxy-protocol-v1-of-udp': 'D',
  },
  'DPVS words: hash_target, vip_bind_dev': {
    'hash-target': 'A M',
    'hash-target-unknown': 'D',
    'hash-target-without-conhash': 'D',
    'vip-bind-dev': 'D',
  },
  'DPVS words: deny_address_group and daddr_group_name': {
    'deny-group': 'A M',
    'daddr-group-name': 'A M',
    'deny-group-unknown': 'D',
    'deny-group-unused': 'D',
    'deny-group-empty': 'D',
    'deny-range-to-255': 'D',
    'deny-range-backwards': 'D',
    'deny-range-to-0': 'D',
    'deny-net': 'D',
    'deny-two-on-a-line': 'D',
    'deny-twice': 'D',
  },
  'DPVS words: allow_address_group and waddr_group_name': {
    'allow-group': 'A M',
    'allow-group-unknown': 'D',
    'allow-group-unused': 'D',
    'allow-group-empty': 'D',
    'allow-range-to-255': 'D',
    'allow-range-backwards': 'D',
    'allow-range-to-0': 'D',
    'allow-net': 'D',
    'allow-two-on-a-line': 'D',
    'allow-twice': 'D',
  },
  'in silence: FNAT without LIPs, with an empty or unknown group': {
    'lip-group-missing': 'A D',
    'lip-group-empty': 'A D',
    'lip-group-unknown': 'A D',
  },
  'in silence: a bad IP or a hostname becomes 0.0.0.0': {
    'lip-hostname': 'A D',
    'real-server-hostname': 'A D M',
    'real-server-bad-address': 'A D M',
  },
  'in silence: port 99999 becomes 34463': {
    'port-99999': 'A D M',
    'real-server-port-0': 'A D M',
    'real-server-without-port': 'A D M',
  },
  'in silence: connect_timeout, delay_before_retry or retry omitted': {
    'connect-timeout-missing': 'A D M',
    'delay-before-retry-missing': 'A D M',
    'retry-missing': 'A D M',
  },
  'in silence: delay_loop 0': {
    'delay-loop-zero': 'A D M',
    'delay-loop-missing': 'A D M',
  },
  'in silence: an unquoted quorum_up keeps its first word': {
    'quorum-up-unquoted': 'A D M',
  },
  'in silence: quorum above the total weight; all weights 0': {
    'quorum-above-weight': 'A D M',
    'weights-zero': 'A D M',
    'quorum-missing': 'A D M',
  },
  'in silence: hysteresis before quorum': {
    'hysteresis-before-quorum': 'A D M',
    'hysteresis-not-zero': 'A D M',
  },
  'in silence: a check that compares nothing, or an uppercase digest': {
    'check-compares-nothing': 'A D M',
    'check-compares-both': 'A D M',
    'digest-uppercase': 'A D M',
    'path-relative': 'A D M',
  },
  'in silence: duplicate VIP:port, virtual_server or real_server; a VIP direct and in a group': {
    'duplicate-service': 'A D M',
    'duplicate-virtual-server': 'A D M',
    'duplicate-real-server': 'A D M',
    'virtual-server-by-address': 'A D M',
  },
  'in silence: syn_proxy on UDP': {
    'syn-proxy-of-udp': 'D',
  },
  'in silence: an unknown, duplicate or idle group': {
    'service-without-group': 'A D M',
    'duplicate-group': 'A D M',
    'group-without-service': 'A D M',
    'group-of-two': 'A D M',
    'group-of-range': 'A D M',
    fwmark: 'A D M',
  },
  'in silence: a CIDR on an address': {
    'cidr-vip': 'A D M',
    'cidr-real-server': 'A D M',
  },
  'in silence: repeated keywords': {
    'repeated-keyword': 'A D M',
    'repeated-check': 'A D M',
    'check-missing': 'A D M',
  },
  'in silence: VIP 0.0.0.0 or multicast': {
    'vip-zero': 'A D M',
    'vip-multicast': 'A D M',
  },
  'in silence: a real_server that is the VIP, or none; a LIP twice or that is a VIP': {
    'real-server-is-vip': 'A D M',
    'real-server-missing': 'A D M',
    'lip-twice': 'A D',
    'lip-is-vip': 'A D',
  },
  'VIP: quorum_up and quorum_down per port that change the address themselves': {
    'announced-by-ip': 'A D M',
    'announced-by-dpip': 'D',
  },
  'VIP: without alpha it is never announced, without omega never withdrawn': {
    'alpha-missing': 'A D M',
    'omega-missing': 'A D M',
    'alpha-with-value': 'A D M',
    'quorum-up-missing': 'A D M',
    'quorum-down-missing': 'A D M',
  },
  'VIP: one helper per LB, which is told of the VIP': {
    'helpers-of-up-and-down': 'A D M',
    'helpers-of-ports': 'A D M',
    'helper-without-vip': 'A D M',
  },
  'DR and TUN: the port of the VIP, no LIPs, no SYN proxy, nothing before the packets': {
    'dr-to-another-port': 'A D M',
    'tun-to-another-port': 'A D M',
    'dr-with-lips': 'A D',
    'tun-with-lips': 'A D',
    'dr-with-syn-proxy': 'A D',
    'tun-with-syn-proxy': 'A D',
    'dr-with-proxy-protocol': 'D',
    'tun-with-proxy-protocol': 'D',
  },
};

/** What is said of it depends on the users of the machine. */
const ofMachine = ['script-user-missing'];

/** What keepalived 2.2.7 of Debian says nothing about (`keepalived -t`: exit code 0 and no line): ours to catch. */
const acceptedByMainline = [
  'alpha-after-real-server',
  'alpha-missing',
  'alpha-with-value',
  'announced-by-ip',
  'bang-within-quotes',
  'block-on-one-line',
  'brace-not-alone',
  'carriage-returns',
  'check-compares-both',
  'check-compares-nothing',
  'check-missing',
  'cidr-real-server',
  'cidr-vip',
  'comment-within-quotes',
  'conditional-line',
  'connect-timeout-missing',
  'definition',
  'delay-before-retry-missing',
  'delay-loop-missing',
  'digest-uppercase',
  'dns-check',
  'duplicate-group',
  'duplicate-service',
  'duplicate-virtual-server',
  'global-defs-missing',
  'global-defs-twice',
  'group-of-range',
  'group-of-two',
  'group-without-service',
  'helper-without-path',
  'helper-without-vip',
  'helpers-of-ports',
  'helpers-of-up-and-down',
  'hysteresis-before-quorum',
  'include-check-missing',
  'include-within-a-block',
  'ipv6-real-server',
  'ipv6-vip',
  'joined-line',
  'last-line-unfinished',
  'line-too-long',
  'lvs-flush-missing',
  'misc-check',
  'not-ascii',
  'omega-missing',
  'path-relative',
  'persistence-without-value',
  'process-name-missing',
  'protocol-lowercase',
  'protocol-other',
  'quorum-down-missing',
  'quorum-missing',
  'quorum-up-missing',
  'quorum-up-shell',
  'quorum-up-unquoted',
  'real-server-is-vip',
  'real-server-port-0',
  'real-server-without-port',
  'reload-check-config-missing',
  'repeated-check',
  'repeated-keyword',
  'repeated-line',
  'retry-missing',
  'router-id-missing',
  'script-security-missing',
  'service-without-group',
  'sni-of-http',
  'sni-without-name',
  'status-list',
  'status-range',
  'vip-multicast',
  'vip-zero',
  'virtual-server-by-address',
  'weight-missing',
  'weight-too-large',
];

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function namesOf(grammar: KeepalivedGrammar): string[] {
  const files = readdirSync(root + grammar).filter((name) => name.endsWith('.conf'));
  return files.map((name) => name.slice(0, -'.conf'.length)).toSorted();
}

function isGood(name: string): boolean {
  return name.startsWith('good-');
}

function complaintsOf(grammar: KeepalivedGrammar, name: string): string[] {
  return readKeepalived(textOf, `${root}${grammar}/${name}.conf`, grammar).complaints;
}

describe.each(Object.entries(grammars))('the grammar of %s (%s)', (letter, grammar) => {
  const all = namesOf(grammar);

  test('has a file for each of its traps, and none besides', () => {
    const listed = Object.values(traps).flatMap((files) =>
      Object.entries(files).flatMap(([name, letters]) => (letters.split(' ').includes(letter) ? [name] : [])),
    );
    expect(all.filter((name) => !isGood(name))).toEqual(listed.toSorted());
    expect(new Set(listed).size).toBe(listed.length);
  });

  test.each(all.filter(isGood))('has nothing to say about %s', (name) => {
    expect(complaintsOf(grammar, name)).toEqual([]);
    expect(readKeepalived(textOf, `${root}${grammar}/${name}.conf`, grammar).services.length).toBeGreaterThan(0);
  });

  test.each(all.filter((name) => !isGood(name)))('complains about %s, and about nothing else', (name) => {
    const text = textOf(`${root}${grammar}/${name}.conf`) ?? '';
    const expected = [...text.matchAll(/^! expect: (.*)$/gm)].map((match) => match[1] ?? '');
    expect(expected.length).toBeGreaterThan(0);
    expect(text).toMatch(/^! why: \S/m);
    const complaints = complaintsOf(grammar, name);
    expect(complaints.filter((complaint) => !expected.some((part) => complaint.includes(part)))).toEqual([]);
    expect(expected.filter((part) => !complaints.some((complaint) => complaint.includes(part)))).toEqual([]);
    for (const complaint of complaints) expect(complaint).toMatch(/^\S+\.conf(:\d+)? \S/);
  });
});

describe.skipIf(!hasKeepalived)('the real keepalived of mainline', () => {
  test.each(namesOf('ipvs').filter(isGood))('has nothing to say about %s either', (name) => {
    expect(asked(name)).toEqual({ status: 0, said: '' });
  });

  test.skipIf(!isDebians)('accepts these traps in silence, and tells of all others', { timeout: 120_000 }, () => {
    const silent = namesOf('ipvs').filter((name) => {
      if (isGood(name) || ofMachine.includes(name)) return false;
      const { status, said } = asked(name);
      return status === 0 && said === '';
    });
    expect(silent).toEqual(acceptedByMainline.toSorted());
  });
});

/** In a process group of its own: it ends itself and its group with a signal on some errors. */
function asked(name: string): { status: number | null; said: string } {
  const args = ['--wait', keepalived, '-t', '-l', '-f', `${root}ipvs/${name}.conf`];
  const { status, stdout, stderr } = spawnSync(ownGroup, args, { encoding: 'utf8', timeout: 20_000 });
  return { status, said: stdout + stderr };
}
