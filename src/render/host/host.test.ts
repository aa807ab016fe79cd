// oxlint-disable-next-line no-restricted-imports -- runs the real iptables-restore where there is one
import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Lb } from '../../domain/edge/model.ts';
import { fullIpvsCluster } from '../../domain/testing/clusters.ts';
import type { RenderedFile } from '../files.ts';
import { fullnatHostFiles, ipvsHostFiles } from './host.ts';
import type { HostInput } from './host.ts';

const [lb1] = fullIpvsCluster().lbinfos as [Lb];

function given(parts: Partial<HostInput> = {}): HostInput {
  return { cluster: fullIpvsCluster(), lb: lb1, lips: ['10.60.1.1', '10.60.1.2'], schedulers: ['wrr'], ...parts };
}

function textsOf(files: readonly RenderedFile[]): Record<string, string> {
  return Object.fromEntries(files.map((file) => [file.path, file.text()]));
}

function ipvs(parts?: Partial<HostInput>): Record<string, string> {
  return textsOf(ipvsHostFiles(given(parts)));
}

test('LIPs go to the interface of the WSs', () => {
  for (const texts of [ipvs(), textsOf(fullnatHostFiles(given()))]) {
    expect(texts['host/addresses']).toBe('addr replace 10.60.1.1/32 dev em2\naddr replace 10.60.1.2/32 dev em2\n');
  }
});

test('fullnat, whose kernel has the LIPs itself, has no netfilter', () => {
  expect(Object.keys(textsOf(fullnatHostFiles(given())))).toEqual(['host/addresses', 'host/sysctl.conf']);
});

describe('of ipvs', () => {
  test('sysctls are lines of key and value, each once, the same for every LB', () => {
    const lines = (ipvs()['host/sysctl.conf'] ?? '').trimEnd().split('\n');
    for (const line of lines) expect(line).toMatch(/^[a-z0-9_.]+ = \d+$/);
    expect(new Set(lines.map((line) => line.split(' ')[0])).size).toBe(lines.length);
    expect(lines).toEqual(
      expect.arrayContaining([
        'net.ipv4.ip_forward = 1',
        'net.ipv4.vs.conntrack = 1',
        'net.ipv4.vs.expire_quiescent_template = 1',
      ]),
    );
    expect(ipvs({ lips: [], schedulers: [] })['host/sysctl.conf']).toBe(ipvs()['host/sysctl.conf']);
  });

  test('modules are loaded with their parameters before anything draws them in, with the schedulers in use', () => {
    const modules = (ipvs({ schedulers: ['sh', 'wlc'] })['host/modules'] ?? '').trimEnd().split('\n');
    expect(modules.slice(0, 4)).toEqual([
      'nf_conntrack hashsize=262144',
      'ip_vs conn_tab_bits=20',
      'ip_vs_sh',
      'ip_vs_wlc',
    ]);
    for (const module of modules) expect(module).toMatch(/^\w+( \w+=\d+)*$/);
  });

  test('connections take each LIP in turn, as often as any other', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), (count) => {
        const lips = Array.from({ length: count }, (_, i) => `10.60.1.${i + 1}`);
        expect(chosen(ipvs({ lips })['host/iptables'] ?? '', 3 * count)).toEqual([...lips, ...lips, ...lips]);
      }),
    );
  });

  test('BFD is untracked between the ends of each uplink, like OSPF, where there is BFD', () => {
    const untracked = (ospf: object) => {
      const { 'host/iptables': rules = '', 'host/modules': modules = '' } = ipvs({
        cluster: { ...fullIpvsCluster(), ospf },
      });
      return { rules: rules.match(/^-A WEIR-RAW .*notrack$/gm), udp: modules.includes('xt_tcpudp\n') };
    };
    const ospf = '-A WEIR-RAW -p ospf -j CT --notrack';
    const of = (net: string) => `-A WEIR-RAW -s ${net} -d ${net} -p udp -m udp --dport 3784 -j CT --notrack`;
    expect(untracked({ bfd: true })).toEqual({
      rules: [ospf, of('60.29.246.184/30'), of('60.29.247.0/30')],
      udp: true,
    });
    for (const off of [{}, { bfd: false }]) expect(untracked(off)).toEqual({ rules: [ospf], udp: false });
  });

  test('packets to a VIP that is not here are dropped, on every interface that they may come in by, and not forwarded', () => {
    const cluster = fullIpvsCluster();
    const { 'host/iptables': rules = '' } = ipvs({ cluster });
    const dropped = Array.from(
      rules.matchAll(/^-A WEIR-RAW -d (\S+) -i (\S+) -m addrtype --dst-type UNICAST -j DROP$/gm),
    );
    expect(new Set(dropped.map(([, net]) => net))).toEqual(new Set(cluster.vipnets));
    expect(new Set(dropped.map(([, , device]) => device))).toEqual(new Set(['em2', 'em3', 'em4']));
    expect(dropped).toHaveLength(cluster.vipnets.length * 3);
  });

  test('only chains of ours are written, and jumped to from none of others', () => {
    const rules = ipvs()['host/iptables'] ?? '';
    expect(rules.match(/^[:*]\S+/gm)).toEqual(['*nat', ':WEIR-LIPS', ':WEIR-POSTROUTING', '*raw', ':WEIR-RAW']);
    expect(rules.match(/^-A \S+/gm)?.filter((rule) => !rule.startsWith('-A WEIR-'))).toEqual([]);
    expect(rules.match(/COMMIT$/gm)).toHaveLength(2);
  });
});

/** LIPs that new connections get one after the other, as `statistic --mode nth` counts: each rule counts what reaches it. */
function chosen(rules: string, connections: number): string[] {
  const pattern = /^-A WEIR-LIPS(?: -m statistic --mode nth --every (\d+) --packet 0)? -j SNAT --to-source (\S+)$/gm;
  const turns = [...rules.matchAll(pattern)].map(([, every = '1', lip = '']) => ({
    every: Number(every),
    lip,
    seen: 0,
  }));
  return Array.from({ length: connections }, () => {
    const taken = turns.find((turn) => turn.seen++ % turn.every === 0);
    return taken?.lip ?? 'none';
  });
}

const restores = ['iptables-legacy-restore', 'iptables-nft-restore'].filter(
  (program) => spawnSync('unshare', ['-n', program, '--version']).status === 0,
);
if (restores.length === 0) console.warn('left out: iptables-restore --test (none here, or not root; Debian: iptables)');

describe.skipIf(restores.length === 0)('the real iptables-restore', () => {
  test.each(restores)('(%s) can read the rules, and tells of a mistake in them', (program) => {
    const restore = (input: string) =>
      spawnSync('unshare', ['-n', program, '--test', '--noflush'], { input, encoding: 'utf8' });
    const rules = ipvs()['host/iptables'] ?? '';
    const { status, stderr } = restore(rules);
    // A kernel without IPVS has no such match; what is tested is the text.
    expect([status, stderr.replaceAll(/^Warning: Extension ipvs .*\n/gm, '')]).toEqual([0, '']);
    expect(restore(rules.replace('--to-source', '--to-sauce')).status).not.toBe(0);
  });
});
