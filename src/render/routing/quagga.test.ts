// oxlint-disable-next-line no-restricted-imports -- runs the real ospfd where there is one
import { spawnSync } from 'node:child_process';
// oxlint-disable-next-line no-restricted-imports -- runs the real ospfd where there is one
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
// oxlint-disable-next-line no-restricted-imports -- runs the real ospfd where there is one
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Cluster, Lb } from '../../domain/edge/model.ts';
import { clusterArbitrary, fullCluster } from '../../domain/testing/clusters.ts';
import { ospfdFile, zebraFile } from './quagga.ts';

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

function ospfd(cluster: Cluster, lb: Lb, key?: string): Map<string, string[]> {
  return blocksOf(ospfdFile(cluster, lb, { lips: [], key }).text());
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
    const blocks = ospfd(fullCluster(), lb1, 'S3cretKey');
    for (const device of ['em3', 'em4']) {
      expect(blocks.get(`interface ${device}`)?.slice(0, 2)).toEqual([
        'ip ospf authentication message-digest',
        'ip ospf message-digest-key 9 md5 S3cretKey',
      ]);
    }
    expect(blocks.get('router ospf')).toContain('area 0.0.0.7 authentication message-digest');
    expect(ospfdFile(seedLike, lb1, { lips: [], key: undefined }).text()).not.toContain('authentication');
  });

  test('speaks on no LIP that lies on the net of an uplink', () => {
    const lb = { ...lb1, ospfnet: '10.0.19.0/24', innerdevice: 'em1', device: 'em1' };
    const blocks = blocksOf(ospfdFile(seedLike, lb, { lips: ['10.0.19.247', '10.9.9.9'], key: undefined }).text());
    expect(blocks.get('router ospf')).toContain('passive-interface em1 10.0.19.247');
    expect(blocks.get('router ospf')).not.toContain('passive-interface em1 10.9.9.9');
    const apart = { ...lb, innerdevice: 'em2' };
    const text = ospfdFile(seedLike, apart, { lips: ['10.0.19.247'], key: undefined }).text();
    expect(text).not.toContain('10.0.19.247');
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

  test('moves the VIPs of a draining LB away at a high cost of lo, not of its uplinks', () => {
    const up = ospfd(seedLike, lb2);
    const drained = ospfd(seedLike, { ...lb2, state: 'drain' });
    expect(drained.get('interface lo')).toEqual(['ip ospf cost 60000']);
    expect(up.has('interface lo')).toBe(false);
    drained.delete('interface lo');
    expect(drained).toEqual(up);
  });

  test('has degraded VIPs at a high cost', () => {
    expect(ospfd(seedLike, lb2).get('interface weir-high')).toEqual(['ip ospf cost 60000']);
  });

  test('redistributes host routes of the VIP nets and nothing else, and none while it drains', () => {
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
    const drained = ospfd(redistributing, { ...lb2, state: 'drain' }).get('') ?? [];
    expect(drained.filter((line) => line.includes('permit'))).toEqual([]);
    expect(drained.filter((line) => line.includes('deny'))).toHaveLength(2);
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
          const text = ospfdFile(cluster, lb, { lips: [], key: cluster.ospf?.key }).text();
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
  expect(zebraFile(lb1).text()).not.toMatch(/password|line vty/);
  expect([zebraFile(lb1).mode, ospfdFile(seedLike, lb1, { lips: [], key: undefined }).mode]).toEqual(['0640', '0640']);
});

const ospfdProgram = ['/usr/lib/quagga/ospfd', '/usr/sbin/ospfd', '/usr/lib/frr/ospfd'].find(
  (path) => spawnSync(path, ['--version']).status === 0,
);
if (!ospfdProgram) console.warn('left out: ospfd -C on what is rendered (no ospfd here; Debian: frr)');

describe.skipIf(!ospfdProgram)('the real ospfd', () => {
  test('accepts what is rendered', () => {
    const folder = mkdtempSync(join(tmpdir(), 'weir-ospfd-'));
    try {
      const single = { ...redistributing, vipnets: ['60.28.208.1/32'] };
      for (const cluster of [fullCluster(), seedLike, redistributing, single]) {
        for (const lb of cluster.lbinfos) {
          const path = join(folder, 'ospfd.conf');
          writeFileSync(path, ospfdFile(cluster, lb, { lips: [], key: cluster.ospf?.key }).text());
          const { status, stderr } = spawnSync(ospfdProgram ?? '', ['-C', '-f', path], { encoding: 'utf8' });
          expect({ status, stderr }).toEqual({
            status: 0,
            stderr: expect.not.stringMatching(/No such command|Config Failed/),
          });
        }
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
