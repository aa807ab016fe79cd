import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ospfAnnounceOf } from '../../domain/edge/model.ts';
import type { Cluster, Lb } from '../../domain/edge/model.ts';
import { fullDpvsCluster, fullIpvsCluster, ipvsClusterArbitrary } from '../../domain/testing/clusters.ts';
import { frrFiles } from './frr.ts';
import { ospfKeysOf } from './ospf.ts';

interface Given {
  lips?: readonly string[];
  key?: string | undefined;
  oldKey?: string | undefined;
}

function textOf(cluster: Cluster, lb: Lb, { lips = [], key, oldKey }: Given = {}): string {
  return frrFiles({ cluster, lb, lips, keys: { key, oldKey } })
    .map((file) => file.text())
    .join('');
}

/** Lines of a block, by its first line. */
function blockOf(text: string, head: string): string[] | undefined {
  const lines = text.split('\n');
  const start = lines.indexOf(head);
  return start < 0 ? undefined : lines.slice(start + 1, lines.indexOf('exit', start)).map((line) => line.trim());
}

const [lb1, lb2] = fullIpvsCluster().lbinfos as [Lb, Lb];
const plain: Cluster = { ...fullIpvsCluster(), ospf: {} };
const network: Cluster = { ...plain, ospf: { announce: 'network' } };

describe('frr.conf', () => {
  test('is one file that only its owner and group may read, since the key is in it', () => {
    const [file, ...more] = frrFiles({ cluster: plain, lb: lb2, lips: [], keys: ospfKeysOf(plain) });
    expect([file?.path, file?.mode, more]).toEqual(['routing/frr.conf', '0640', []]);
    expect(file?.text()).not.toMatch(/password|line vty/);
  });

  test('speaks on the uplinks only, as no designated router, and leaves the kind of network to both ends', () => {
    const text = textOf(plain, lb2);
    expect(text.match(/^interface .*/gm)).toEqual(['interface em1']);
    expect(blockOf(text, 'interface em1')).toEqual([
      'ip ospf cost 15',
      'ip ospf dead-interval 12',
      'ip ospf hello-interval 3',
      'ip ospf priority 0',
      'ip ospf retransmit-interval 2',
      'no ip ospf passive',
    ]);
    expect(blockOf(text, 'router ospf')).toContain('passive-interface default');
  });

  test('authenticates every uplink and the area with the key and its ID', () => {
    const text = textOf(fullIpvsCluster(), lb1, { key: 'S3cretKey' });
    for (const device of ['em3', 'em4']) {
      expect(blockOf(text, `interface ${device}`)).toEqual(
        expect.arrayContaining(['ip ospf authentication message-digest', 'ip ospf message-digest-key 9 md5 S3cretKey']),
      );
    }
    expect(blockOf(text, 'router ospf')).toContain('area 0.0.0.7 authentication message-digest');
    expect(textOf(plain, lb1)).not.toContain('authentication');
  });

  test('is given the key that is sent last, whatever the IDs, since ospfd sends with the last one', () => {
    const ids: [number, number][] = [
      [9, 8],
      [8, 9],
      [8, 10],
      [100, 20],
    ];
    for (const [keyid, oldkeyid] of ids) {
      const cluster: Cluster = { ...plain, ospf: { key: 'secret:new', keyid, oldkey: 'secret:old', oldkeyid } };
      const text = textOf(cluster, lb1, { key: 'New', oldKey: 'Old' });
      for (const device of ['em3', 'em4']) {
        const lines = blockOf(text, `interface ${device}`) ?? [];
        expect(lines.filter((line) => line.includes('key'))).toEqual([
          `ip ospf message-digest-key ${oldkeyid} md5 Old`,
          `ip ospf message-digest-key ${keyid} md5 New`,
        ]);
        // All others, and these among them, in FRR's order.
        const others = lines.map((line) => line.replace(/(message-digest-key).*/, '$1'));
        expect(others).toEqual([...others].sort());
      }
      expect(text.match(/authentication message-digest$/gm)).toHaveLength(3);
    }
  });

  test('knows an area that is a stub, and announces there by network statements', () => {
    const stub: Cluster = { ...network, ospf: { ...network.ospf, area: '0.0.0.7', stub: true } };
    const lines = blockOf(textOf(stub, lb2, { key: 'K' }), 'router ospf') ?? [];
    expect(lines.slice(-2)).toEqual(['area 0.0.0.7 authentication message-digest', 'area 0.0.0.7 stub']);
    for (const ospf of [{ ...network.ospf }, { ...network.ospf, stub: false }]) {
      expect(textOf({ ...network, ospf }, lb2)).not.toContain('stub');
    }
  });

  test('limits its paths only where it is asked to, and to fewer than FRR has anyway', () => {
    const limit = (maxpaths?: number) => textOf({ ...plain, ospf: { maxpaths } as object }, lb2).match(/maximum.*/g);
    expect(limit(1)).toEqual(['maximum-paths 1']);
    expect(limit(8)).toEqual(['maximum-paths 8']);
    expect(limit(255)).toEqual(['maximum-paths 255']);
    expect(limit(256)).toBeNull();
    expect(textOf(plain, lb2)).not.toContain('maximum-paths');
  });

  test('speaks on the kernel’s side of DPDK’s ports, where VIPs are on the first device and LIPs are not', () => {
    const dpvs = fullDpvsCluster();
    const [lb] = dpvs.lbinfos as [Lb];
    const lips = ['60.29.246.185', '60.29.247.1', '60.28.208.9'];
    const redistribute: Cluster = { ...dpvs, ospf: { announce: 'redistribute' } };
    const text = textOf(redistribute, { ...lb, innerdevice: 'dpdk1' }, { lips });
    expect(text.match(/^interface .*/gm)).toEqual(['interface dpdk1.kni', 'interface dpdk2.kni']);
    expect(blockOf(text, 'route-map VIP-OUT permit 10')).toEqual([
      'match interface dpdk1.kni',
      'match ip address prefix-list VIPS',
    ]);
    expect(text.match(/.*ospf passive.*/g)).toEqual([' no ip ospf passive', ' no ip ospf passive']);
    // VIPs lie in nets of OSPF: only the LB's own address sends hellos there.
    const byNetwork = textOf({ ...dpvs, ospf: { announce: 'network' } }, lb, { lips });
    expect(byNetwork.match(/.*ospf passive.*/g)).toEqual([' no ip ospf passive 60.29.246.186', ' no ip ospf passive']);
    expect(blockOf(byNetwork, 'interface dpdk1.kni')).toContain('ip ospf priority 0 60.29.246.186');
    expect(byNetwork).not.toContain('route-map');
  });

  test('looks at BFD on every uplink where it is asked to, and on nothing else', () => {
    const text = textOf({ ...network, ospf: { ...network.ospf, bfd: true } }, lb1);
    for (const device of ['em3', 'em4']) expect(blockOf(text, `interface ${device}`)).toContain('ip ospf bfd');
    expect(text.match(/bfd/g)).toHaveLength(2);
    for (const ospf of [{}, { bfd: false }]) expect(textOf({ ...plain, ospf }, lb1)).not.toContain('bfd');
  });

  test('sends no hellos from a LIP that lies on a net it speaks on', () => {
    const lb = { ...lb1, ospfnet: '10.0.19.0/24', innerdevice: 'em1', device: 'em1' };
    const lips = ['10.0.19.247', '10.9.9.9', '60.28.208.9', '60.29.247.1'];
    const passive = (cluster: Cluster, of: Lb) => textOf(cluster, of, { lips }).match(/passive \d.*/g) ?? [];
    // 60.29.247.0/30 is the net of another uplink, which speaks on that net whatever the interface.
    expect(passive(plain, lb)).toEqual(['passive 10.0.19.247', 'passive 60.29.247.1']);
    expect(passive(network, lb)).toEqual(['passive 10.0.19.247', 'passive 60.28.208.9', 'passive 60.29.247.1']);
    expect(passive(plain, { ...lb, innerdevice: 'em2' })).toEqual([]);
  });

  test('redistributes host routes on lo within the VIP nets and nothing else', () => {
    const text = textOf({ ...plain, vipnets: ['60.28.208.0/25', '60.28.209.1/32'] }, lb2);
    expect(blockOf(text, 'router ospf')).toContain('redistribute connected metric 100 metric-type 1 route-map VIP-OUT');
    expect(text.match(/^ip prefix-list .*/gm)).toEqual([
      'ip prefix-list VIPS seq 5 permit 60.28.208.0/25 ge 32 le 32',
      'ip prefix-list VIPS seq 10 permit 60.28.209.1/32',
    ]);
    expect(text.match(/^route-map .*/gm)).toEqual(['route-map VIP-OUT permit 10', 'route-map VIP-OUT deny 1000']);
    expect(blockOf(text, 'route-map VIP-OUT permit 10')).toEqual([
      'match interface lo',
      'match ip address prefix-list VIPS',
    ]);
  });

  test('announces by network statements where it is asked to, degraded VIPs at the cost of their interface', () => {
    const text = textOf(network, lb2);
    expect(blockOf(text, 'interface weir-high')).toEqual(['ip ospf cost 60000']);
    expect(blockOf(text, 'router ospf')?.filter((line) => line.startsWith('network'))).toEqual([
      'network 60.28.208.0/25 area 0.0.0.0',
      'network 60.29.246.188/30 area 0.0.0.0',
      'network 123.150.178.128/25 area 0.0.0.0',
    ]);
    const same = textOf({ ...network, vipnets: [lb2.ospfnet] }, lb2);
    expect(same.match(/^ network .*/gm)).toEqual([` network ${lb2.ospfnet} area 0.0.0.0`]);
  });

  test('leaves out what FRR would not print', () => {
    const text = textOf({ ...plain, ospf: { hello: 10, dead: 40, cost: 10 } }, lb2);
    expect(blockOf(text, 'interface em1')).toEqual(
      expect.arrayContaining(['ip ospf cost 10', 'ip ospf dead-interval 40']),
    );
    expect(text).not.toContain('hello-interval');
  });

  test('never has a reload switch the forwarding of IPv6 on', () => {
    expect(textOf(plain, lb2)).toContain('\nno ipv6 forwarding\n');
  });

  test('says nothing of a drain: the VIPs of a drained LB are withdrawn on it', () => {
    for (const cluster of [plain, network]) {
      expect(textOf(cluster, { ...lb2, state: 'drain' })).toBe(textOf(cluster, { ...lb2, state: 'up' }));
    }
  });

  test('never mixes both ways to announce', () => {
    fc.assert(
      fc.property(ipvsClusterArbitrary, (cluster) => {
        for (const lb of cluster.lbinfos) {
          const text = textOf(cluster, lb, ospfKeysOf(cluster));
          const redistributes = ospfAnnounceOf(cluster) === 'redistribute';
          expect(text.includes('redistribute')).toBe(redistributes);
          expect(text.includes('ip ospf area')).toBe(false);
          for (const net of cluster.vipnets) expect(text.includes(` network ${net} `)).toBe(!redistributes);
          expect(text).toContain(` network ${lb.ospfnet} area `);
        }
      }),
    );
  });
});
