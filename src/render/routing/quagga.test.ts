import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Cluster, Lb } from '../../domain/edge/model.ts';
import { clusterArbitrary, fullCluster, fullDpvsCluster } from '../../domain/testing/clusters.ts';
import { hasFrr, ospfdSays } from '../testing/real-tools.ts';
import { ospfKeysOf } from './ospf.ts';
import { quaggaFiles } from './quagga.ts';

/** Lines of the blocks of an ospfd.conf, by their first line; lines outside blocks under ''. */
function blocksOf(text: string): Map<string, string[]> {
  const blocks = new Map<string, string[]>([['', []]]);
  let current = '';
  for (const line of text.split('\n')) {
    if (/^(interface|router|route-map) /.test(line)) {
      expect(blocks.has(line)).toBe(false);
      blocks.set((current = line), []);
    } else if (line.startsWith(' ')) blocks.get(current)?.push(line.trim());
    else {
      current = '';
      if (line !== '' && !line.startsWith('!')) blocks.get('')?.push(line);
    }
  }
  return blocks;
}

interface Given {
  lips?: readonly string[];
  key?: string | undefined;
  oldKey?: string | undefined;
}

function textOf(cluster: Cluster, lb: Lb, { lips = [], key, oldKey }: Given = {}): string {
  const file = quaggaFiles({ cluster, lb, lips, keys: { key, oldKey } }).find((f) => f.path === 'routing/ospfd.conf');
  return file?.text() ?? '';
}

function ospfd(cluster: Cluster, lb: Lb, given?: Given): Map<string, string[]> {
  return blocksOf(textOf(cluster, lb, given));
}

const [lb1, lb2] = fullCluster().lbinfos as [Lb, Lb];
const seedLike: Cluster = { ...fullCluster(), ospf: {} };
const redistributing: Cluster = { ...seedLike, ospf: { announce: 'redistribute' } };

describe('ospfd.conf', () => {
  test('speaks on the uplinks only, with the defaults of the original', () => {
    const blocks = ospfd(seedLike, lb2);
    expect([...blocks.keys()]).toEqual(['', 'interface em1', 'interface weir-high', 'router ospf']);
    expect(blocks.get('interface em1')).toEqual([
      'ip ospf cost 15',
      'ip ospf hello-interval 3',
      'ip ospf dead-interval 12',
      'ip ospf priority 0',
    ]);
    expect(blocks.get('router ospf')).toEqual([
      'ospf router-id 60.29.246.190',
      'log-adjacency-changes',
      'passive-interface default',
      'no passive-interface em1',
      'network 60.29.246.188/30 area 0.0.0.0',
      'network 60.28.208.0/25 area 0.0.0.0',
      'network 123.150.178.128/25 area 0.0.0.0',
    ]);
  });

  test('authenticates every uplink and the area with the key and its ID', () => {
    const blocks = ospfd(fullCluster(), lb1, { key: 'S3cretKey' });
    for (const device of ['em3', 'em4']) {
      expect(blocks.get(`interface ${device}`)?.slice(0, 2)).toEqual([
        'ip ospf authentication message-digest',
        'ip ospf message-digest-key 9 md5 S3cretKey',
      ]);
    }
    expect(blocks.get('router ospf')).toContain('area 0.0.0.7 authentication message-digest');
    expect(textOf(seedLike, lb1)).not.toContain('authentication');
  });

  test('has the key that is sent last, whatever the IDs, and the other before it', () => {
    const ospf = { key: 'secret:new', keyid: 7, oldkey: 'secret:old', oldkeyid: 10 };
    const blocks = ospfd({ ...seedLike, ospf }, lb1, { key: 'New', oldKey: 'Old' });
    for (const device of ['em3', 'em4']) {
      expect(blocks.get(`interface ${device}`)?.slice(0, 4)).toEqual([
        'ip ospf authentication message-digest',
        'ip ospf message-digest-key 10 md5 Old',
        'ip ospf message-digest-key 7 md5 New',
        expect.stringMatching(/^ip ospf cost/),
      ]);
    }
  });

  test('knows an area that is a stub, and no limit of paths', () => {
    const lines = ospfd({ ...seedLike, ospf: { area: '0.0.0.7', stub: true, maxpaths: 4 } }, lb2).get('router ospf');
    expect(lines?.at(-1)).toBe('area 0.0.0.7 stub');
    expect(textOf(seedLike, lb2)).not.toContain('stub');
  });

  test('speaks on the kernel’s side of DPDK’s ports, and has no LIPs there', () => {
    const dpvs: Cluster = { ...fullDpvsCluster(), routing: 'quagga' };
    const [lb] = dpvs.lbinfos as [Lb];
    const blocks = ospfd(dpvs, { ...lb, innerdevice: 'dpdk1' }, { lips: ['60.29.246.185'] });
    expect([...blocks.keys()].slice(1, 3)).toEqual(['interface dpdk1.kni', 'interface dpdk2.kni']);
    expect(blocks.get('router ospf')?.filter((line) => line.includes('passive'))).toEqual([
      'passive-interface default',
      'no passive-interface dpdk1.kni',
      'no passive-interface dpdk2.kni',
    ]);
  });

  test('speaks on no LIP that lies on the net of an uplink', () => {
    const lb = { ...lb1, ospfnet: '10.0.19.0/24', innerdevice: 'em1', device: 'em1' };
    const blocks = ospfd(seedLike, lb, { lips: ['10.0.19.247', '60.28.208.9', '10.9.9.9'] });
    expect(blocks.get('router ospf')).toContain('passive-interface em1 10.0.19.247');
    // The nets of the VIPs are spoken on too.
    expect(blocks.get('router ospf')).toContain('passive-interface em1 60.28.208.9');
    expect(blocks.get('router ospf')).not.toContain('passive-interface em1 10.9.9.9');
    const apart = { ...lb, innerdevice: 'em2' };
    expect(textOf(seedLike, apart, { lips: ['10.0.19.247'] })).not.toContain('10.0.19.247');
  });

  test('gives uplinks their own cost, else that of the cluster', () => {
    const uplinks = [
      { device: 'em4', ospfnet: '10.0.30.0/30', cost: 30 },
      { device: 'em5', ospfnet: '10.0.30.4/30' },
    ];
    const blocks = ospfd({ ...seedLike, ospf: { cost: 20 } }, { ...lb2, uplinks });
    const costs = ['em1', 'em4', 'em5'].map((device) => blocks.get(`interface ${device}`)?.[0]);
    expect(costs).toEqual(['ip ospf cost 20', 'ip ospf cost 30', 'ip ospf cost 20']);
  });

  test('says nothing of a drain: the VIPs of a drained LB are withdrawn on it', () => {
    for (const cluster of [seedLike, redistributing]) {
      expect(textOf(cluster, { ...lb2, state: 'drain' })).toBe(textOf(cluster, lb2));
    }
  });

  test('speaks on a net once that is an uplink and a net of VIPs', () => {
    const lines = ospfd({ ...seedLike, vipnets: [lb2.ospfnet] }, lb2).get('router ospf') ?? [];
    expect(lines.filter((line) => line.startsWith('network'))).toEqual([`network ${lb2.ospfnet} area 0.0.0.0`]);
  });

  test('has degraded VIPs at a high cost', () => {
    expect(ospfd(seedLike, lb2).get('interface weir-high')).toEqual(['ip ospf cost 60000']);
  });

  test('redistributes host routes of the VIP nets and nothing else', () => {
    const up = ospfd(redistributing, lb2);
    expect(up.get('router ospf')).toContain('redistribute connected metric 100 metric-type 1 route-map VIP-OUT');
    expect(up.get('router ospf')?.filter((line) => line.startsWith('network'))).toEqual([
      'network 60.29.246.188/30 area 0.0.0.0',
    ]);
    expect(up.get('')?.slice(2)).toEqual([
      'ip prefix-list VIPS seq 5 permit 60.28.208.0/25 ge 32 le 32',
      'ip prefix-list VIPS seq 10 permit 123.150.178.128/25 ge 32 le 32',
    ]);
    expect(up.get('route-map VIP-OUT permit 10')).toEqual(['match ip address prefix-list VIPS']);
    expect(up.get('route-map VIP-OUT deny 1000')).toEqual([]);
  });

  test('has no range where a VIP net is one address: Quagga would drop the line in silence', () => {
    const lines = ospfd({ ...redistributing, vipnets: ['60.28.208.1/32', '60.28.208.2/31'] }, lb2).get('') ?? [];
    expect(lines.slice(2)).toEqual([
      'ip prefix-list VIPS seq 5 permit 60.28.208.1/32',
      'ip prefix-list VIPS seq 10 permit 60.28.208.2/31 ge 32 le 32',
    ]);
  });

  test('never mixes both ways to announce, nor uses words that Quagga 0.99 has not', () => {
    fc.assert(
      fc.property(clusterArbitrary, (cluster) => {
        for (const lb of cluster.lbinfos) {
          const text = textOf(cluster, lb, ospfKeysOf(cluster));
          expect(text.includes('redistribute')).toBe(cluster.ospf?.announce === 'redistribute');
          for (const net of cluster.vipnets)
            expect(text.includes(` network ${net} `)).toBe(!text.includes('redistribute'));
          expect(text).not.toMatch(/maximum-paths|ip ospf area|ip ospf passive|bfd|throttle|max-metric|^exit$/m);
          expect(text).toContain(` ospf router-id ${lb.routerid}\n`);
          expect(text).toContain(` network ${lb.ospfnet} area `);
          expect(text.endsWith('\n')).toBe(true);
        }
      }),
    );
  });
});

test('zebra.conf opens no vty to the network, and both keep their keys to their group', () => {
  const files = quaggaFiles({ cluster: seedLike, lb: lb1, lips: [], keys: ospfKeysOf(seedLike) });
  for (const file of files) expect(file.text()).not.toMatch(/password|line vty/);
  expect(files.map((f) => [f.path, f.mode])).toEqual([
    ['routing/zebra.conf', '0640'],
    ['routing/ospfd.conf', '0640'],
  ]);
});

if (!hasFrr) console.warn('left out: ospfd -C on what is rendered (no FRR here, or not root; Debian: frr)');

describe.skipIf(!hasFrr)('the real ospfd', () => {
  test('accepts what is rendered', () => {
    const single = { ...redistributing, vipnets: ['60.28.208.1/32'] };
    for (const cluster of [fullCluster(), seedLike, redistributing, single]) {
      for (const lb of cluster.lbinfos) {
        const lips = ['60.28.208.9'];
        const { status, messages } = ospfdSays(textOf(cluster, lb, { lips, ...ospfKeysOf(cluster) }));
        expect(status).toBe(0);
        expect(messages.filter((message) => !deprecated.test(message))).toEqual([]);
      }
    }
  });
});

/** FRR has other words for these, which Quagga does not know. */
const deprecated = /^This command is deprecated|^Please, use "(no )?ip ospf passive"/;
