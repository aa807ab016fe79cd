// oxlint-disable-next-line no-restricted-imports -- runs the real iptables-restore where there is one
import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Lb } from '../../domain/edge/model.ts';
import { fullDpvsCluster, fullIpvsCluster } from '../../domain/testing/clusters.ts';
import type { RenderedFile } from '../files.ts';
import { dpvsHostFiles, fullnatHostFiles, ipvsHostFiles } from './host.ts';
import type { HostInput } from './host.ts';

const [lb1] = fullIpvsCluster().lbinfos as [Lb];

function given(parts: Partial<HostInput> = {}): HostInput {
  const lips = ['10.60.1.1', '10.60.1.2'];
  return { cluster: fullIpvsCluster(), lb: lb1, lips, schedulers: ['wrr'], synproxies: [], ...parts };
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

test('of dpvs, the announce script is told of DPVS and its device, and LIPs are not the kernel’s', () => {
  const cluster = fullDpvsCluster();
  const [lb] = cluster.lbinfos as [Lb];
  const texts = textsOf(dpvsHostFiles(given({ cluster, lb })));
  expect(Object.keys(texts)).toEqual(['host/sysctl.conf', 'host/modules', 'host/announce.conf']);
  expect(texts['host/announce.conf']).toBe('dpvs dpdk1\n');
  expect(texts['host/modules']).toBe('dummy\n');
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
      const [out, back] = ['WEIR-OUTPUT', 'WEIR-PREROUTING'].map((chain) =>
        [...rules.matchAll(new RegExp(`^-A ${chain} (.*) -j CT --notrack$`, 'gm'))].map(([, match]) => match),
      );
      expect(out).toEqual(back);
      return { matches: out, udp: modules.includes('xt_tcpudp\n') };
    };
    const of = (net: string) => `-s ${net} -d ${net} -p udp -m udp --dport 3784`;
    expect(untracked({ bfd: true })).toEqual({
      matches: ['-p ospf', of('60.29.246.184/30'), of('60.29.247.0/30')],
      udp: true,
    });
    for (const off of [{}, { bfd: false }]) expect(untracked(off)).toEqual({ matches: ['-p ospf'], udp: false });
  });

  test('packets to a VIP that is not here are dropped, on every interface that they may come in by, and not forwarded', () => {
    const cluster = fullIpvsCluster();
    const { 'host/iptables': rules = '' } = ipvs({ cluster });
    const dropped = Array.from(
      rules.matchAll(/^-A WEIR-PREROUTING -d (\S+) -i (\S+) -m addrtype --dst-type UNICAST -j DROP$/gm),
    );
    expect(new Set(dropped.map(([, net]) => net))).toEqual(new Set(cluster.vipnets));
    expect(new Set(dropped.map(([, , device]) => device))).toEqual(new Set(['em2', 'em3', 'em4']));
    expect(dropped).toHaveLength(cluster.vipnets.length * 3);
  });

  test('only chains of ours are written, each under a name that netfilter takes', () => {
    const { 'host/iptables': plain = '' } = ipvs();
    expect(plain.match(/^[:*]\S+/gm)).toEqual([
      '*nat',
      ':WEIR-LIPS',
      ':WEIR-POSTROUTING',
      '*raw',
      ':WEIR-OUTPUT',
      ':WEIR-PREROUTING',
    ]);
    for (const synproxies of [[], ['10.50.0.1 80,443'], manySynproxies(200)]) {
      const rules = ipvs({ synproxies })['host/iptables'] ?? '';
      expect(rules.match(/^-A \S+/gm)?.filter((rule) => !rule.startsWith('-A WEIR-'))).toEqual([]);
      for (const [table = ''] of rules.matchAll(/^\*[^]*?^COMMIT$/gm)) {
        const declared = [...table.matchAll(/^:(\S+) - \[0:0\]$/gm)].map(([, chain = '']) => chain);
        for (const chain of declared) expect(chain).toMatch(/^WEIR-[A-Z0-9.-]{1,23}$/);
        const named = [...table.matchAll(/(?:^-A|-j) (WEIR-\S+)/gm)].map(([, chain = '']) => chain);
        expect([...new Set(named)].sort()).toEqual(declared.toSorted());
      }
    }
  });
});

/** As many VIPs, over several nets. */
function manySynproxies(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `10.50.${i >> 7}.${2 * (i & 127)} ${i % 2 ? '443' : '80,443'}`);
}

describe('a SYN proxy', () => {
  test('has no rules, modules or sysctls where no port asks for it', () => {
    const { 'host/iptables': rules, 'host/modules': modules, 'host/sysctl.conf': sysctls } = ipvs();
    expect(`${rules}${modules}${sysctls}`).not.toMatch(/SYN|iptable_filter|[*]filter|syncookies|tcp_loose/);
  });

  test('keeps SYNs to its ports untracked, and answers what no connection is known of', () => {
    const texts = ipvs({ synproxies: ['10.50.0.1 80,443', '10.50.0.2 80'] });
    const rules = (texts['host/iptables'] ?? '').split('\n').filter((line) => /SYN/.test(line));
    expect(rules).toEqual([
      ':WEIR-SYN - [0:0]',
      '-A WEIR-INPUT -p tcp -m conntrack --ctstate INVALID,UNTRACKED -j WEIR-SYN',
      '-A WEIR-SYN -d 10.50.0.1/32 -p tcp -m multiport --dports 80,443 -j SYNPROXY --sack-perm --timestamp --wscale 9 --mss 1400',
      '-A WEIR-SYN -d 10.50.0.2/32 -p tcp -m tcp --dport 80 -j SYNPROXY --sack-perm --timestamp --wscale 9 --mss 1400',
      ':WEIR-SYN - [0:0]',
      '-A WEIR-PREROUTING -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j WEIR-SYN',
      '-A WEIR-SYN -d 10.50.0.1/32 -p tcp -m multiport --dports 80,443 -j CT --notrack',
      '-A WEIR-SYN -d 10.50.0.2/32 -p tcp -m tcp --dport 80 -j CT --notrack',
    ]);
    expect(texts['host/sysctl.conf']).toContain('net.netfilter.nf_conntrack_tcp_loose = 0\n');
    expect(texts['host/modules']).toContain('ipt_SYNPROXY\n');
  });

  test('answers before SYNs go untracked: tables come into force one by one, and none after one that is refused', () => {
    const { 'host/iptables': rules = '' } = ipvs({ synproxies: ['10.50.0.1 80'] });
    expect(rules.match(/^[*]\S+|-j (?:SYNPROXY|WEIR-SYN)/gm)).toEqual([
      '*nat',
      '*filter',
      '-j WEIR-SYN',
      '-j SYNPROXY',
      '*raw',
      '-j WEIR-SYN',
    ]);
  });

  test('tells clients what the cluster says of the WSs', () => {
    const settings = (synproxy: object) => {
      const cluster = { ...fullIpvsCluster(), synproxy };
      return / -j SYNPROXY (.*)$/m.exec(ipvs({ cluster, synproxies: ['10.50.0.1 80'] })['host/iptables'] ?? '')?.[1];
    };
    expect(settings({})).toBe('--sack-perm --wscale 7 --mss 1460');
    expect(settings({ timestamps: true, wscale: 0, mss: 1400 })).toBe('--sack-perm --timestamp --wscale 0 --mss 1400');
  });

  test('of many VIPs looks through few rules for each packet, and finds every port of theirs and no other', () => {
    const synproxies = manySynproxies(200);
    const rules = ipvs({ synproxies })['host/iptables'] ?? '';
    const raw = rules.slice(rules.indexOf('*raw'));
    for (const synproxy of synproxies) {
      const [vip = '', ports = ''] = synproxy.split(' ');
      for (const port of [80, 443, 8080]) {
        const { found, looked } = syn(raw, vip, port);
        expect([vip, port, found]).toEqual([vip, port, ports.split(',').includes(String(port))]);
        expect(looked).toBeLessThan(50);
      }
    }
    expect(syn(raw, '10.50.0.1', 80).found).toBe(false);
  });

  test('asks in as many rules as ports need', () => {
    const ports = Array.from({ length: 40 }, (_, i) => 8000 + i);
    const rules = ipvs({ synproxies: [`10.50.0.1 ${ports.join(',')}`] })['host/iptables'] ?? '';
    const asked = [...rules.matchAll(/-m multiport --dports (\S+) -j SYNPROXY/g)].map(([, list = '']) =>
      list.split(','),
    );
    expect(asked.flat().map(Number)).toEqual(ports);
    for (const list of asked) expect(list.length).toBeLessThanOrEqual(15);
  });
});

/** Whether a SYN comes to the target, and how many rules it was held against. */
function syn(rules: string, vip: string, port: number): { found: boolean; looked: number } {
  const number = (address: string) => address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  let looked = 0;
  const walk = (chain: string): boolean => {
    for (const [, net = '', prefix = '32', match = '', target = ''] of rules.matchAll(
      new RegExp(`^-A ${chain.replaceAll('.', '[.]')} -d ([0-9.]+)/([0-9]+)(.*) -j (\\S+)`, 'gm'),
    )) {
      looked += 1;
      const size = 2 ** (32 - Number(prefix));
      if (Math.floor(number(vip) / size) !== Math.floor(number(net) / size)) continue;
      const listed = /--dports? (\S+)/.exec(match)?.[1]?.split(',');
      if (listed && !listed.includes(String(port))) continue;
      return target.startsWith('WEIR-') ? walk(target) : true;
    }
    return false;
  };
  return { found: walk('WEIR-SYN'), looked };
}

/** LIPs that new connections get one after the other, as `statistic --mode nth` counts: each rule counts what reaches it. */
function chosen(rules: string, connections: number): string[] {
  const pattern =
    /^-A WEIR-LIPS(?: -m statistic --mode nth --every (\d+) --packet 0)? -j SNAT --to-source (\S+) --random-fully$/gm;
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
    const rules = ipvs({ synproxies: manySynproxies(40) })['host/iptables'] ?? '';
    const { status, stderr } = restore(rules);
    // A kernel without IPVS has no such match; what is tested is the text.
    expect([status, stderr.replaceAll(/^Warning: Extension ipvs .*\n/gm, '')]).toEqual([0, '']);
    expect(restore(rules.replace('--to-source', '--to-sauce')).status).not.toBe(0);
  });
});
