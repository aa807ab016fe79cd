import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  addressNumber,
  expandRange,
  formatAddress,
  isHostOf,
  networkOf,
  parseMask,
  parseRange,
} from '../../domain/address.ts';
import { checkCluster } from '../../domain/edge/check.ts';
import type { Cluster, Lb, Vip } from '../../domain/edge/model.ts';
import { defaultPorts, readClusters } from '../../domain/edge/read.ts';
import { errorsOf } from '../../domain/problem.ts';
import type { Problem } from '../../domain/problem.ts';
import { seedText } from '../../domain/testing/seed.ts';
import { originalLips, withOriginalLips } from './lips.ts';

/** An LB of 10.0.19.224/27, gateway .225. */
function lbAt(last: number, parts: Partial<Lb> = {}): Lb {
  return {
    hostname: `lb${last}`,
    routerid: `10.0.19.${last}`,
    internalip: `10.0.19.${last}`,
    internalnetmask: '255.255.255.224',
    internalgateway: '10.0.19.225',
    ospfnet: '10.0.19.224/27',
    ...parts,
  };
}

/** The second host of a net whose gateway is the first. */
function lbOf(net: string, mask: string): Lb {
  const base = addressNumber(net);
  const internalip = formatAddress(base + 2);
  return lbAt(226, {
    hostname: `lb-${net}`,
    routerid: internalip,
    internalip,
    internalnetmask: mask,
    internalgateway: formatAddress(base + 1),
    ospfnet: '10.0.0.0/8',
  });
}

function clusterOf(lbinfos: Lb[], vip2ws: Vip[] = []): Cluster {
  return { name: 'c', type: 'internal', device: 'em1', vipnets: ['10.0.0.0/8'], lbinfos, vip2ws };
}

const codes = (problems: readonly Problem[]) => problems.map((p) => `${p.severity} ${p.path} ${p.code}`);

describe('the LIPs that the original gives an LB', () => {
  test.each<[what: string, lb: Lb, lips: string[]]>([
    ["are the hosts of the seed's subnet but for its first two", lbAt(226), ['10.0.19.227-254']],
    ['are one range also over several /24', lbOf('10.1.16.0', '255.255.240.0'), ['10.1.16.3-10.1.31.254']],
    ['may be few', lbOf('10.1.0.8', '255.255.255.248'), ['10.1.0.11-14']],
    ['leave out an LB further up in its subnet', lbAt(240), ['10.0.19.227-239', '10.0.19.241-254']],
    ['leave out a gateway at the end', lbAt(226, { internalgateway: '10.0.19.254' }), ['10.0.19.227-253']],
    [
      'leave out the external side in the same subnet',
      lbAt(226, { extraip: '10.0.19.227', extragateway: '10.0.19.229', extranetmask: '255.255.255.224' }),
      ['10.0.19.228', '10.0.19.230-254'],
    ],
  ])('%s', (_what, lb, lips) => {
    const found = originalLips(lb);
    expect(found.ok ? found.lips : []).toEqual(lips);
  });

  test('leave out what others have', () => {
    const taken = new Set(['10.0.19.230', '10.0.19.254'].map(addressNumber));
    const found = originalLips(lbAt(226), (address) => taken.has(address));
    expect(found).toEqual({ ok: true, lips: ['10.0.19.227-229', '10.0.19.231-253'] });
  });

  test.each(['255.255.255.252', '255.255.255.254', '255.255.255.255'])('are none with the mask %s', (mask) => {
    const found = originalLips(lbAt(226, { internalnetmask: mask }));
    expect(found).toMatchObject({ ok: false, problem: { path: 'lips', code: 'no_lips', severity: 'warning' } });
  });

  test('are too many from a /19 on, and are not counted out one by one', () => {
    expect(originalLips(lbOf('10.32.0.0', '255.255.240.0')).ok).toBe(true);
    for (const mask of ['255.255.224.0', '255.0.0.0']) {
      const found = originalLips(lbOf('10.0.0.0', mask));
      expect(found).toMatchObject({ ok: false, problem: { code: 'too_many_lips', severity: 'warning' } });
    }
    const { problem } = originalLips(lbOf('10.0.0.0', '255.0.0.0')) as { problem: Problem };
    expect(problem.message).toContain('16777212 hosts of 10.0.0.0/8');
  });
});

describe('a cluster that is taken over', () => {
  test("has the original's LIPs as explicit ones", () => {
    const [seed] = (readClusters(seedText) as unknown as { value: [Cluster] }).value;
    const { cluster, warnings } = withOriginalLips(seed);
    expect(cluster).toEqual({ ...seed, lbinfos: [{ ...seed.lbinfos[0], lips: ['10.0.19.227-254'] }] });
    expect(warnings).toEqual([]);
  });

  test('keeps what its LBs say of LIPs themselves, and stays itself if nothing changes', () => {
    const planned = { ...lbOf('10.1.0.0', '255.255.255.0'), lipcount: 4 };
    const cluster = clusterOf([lbAt(226, { lips: ['10.0.19.240'] }), planned]);
    const outcome = withOriginalLips(cluster);
    expect(outcome.cluster).toBe(cluster);
    expect(outcome.warnings).toEqual([]);
  });

  test('leaves those to be planned that share a subnet, and names both', () => {
    const lone = lbOf('10.1.0.0', '255.255.255.0');
    const { cluster, warnings } = withOriginalLips(clusterOf([lbAt(226), lone, lbAt(227)]));
    expect(cluster.lbinfos.map((lb) => lb.lips)).toEqual([undefined, ['10.1.0.3-254'], undefined]);
    expect(codes(warnings)).toEqual(['warning lbinfos[0].lips lips_shared', 'warning lbinfos[2].lips lips_shared']);
    expect(warnings.map((w) => w.message)).toEqual([
      expect.stringMatching(/^lb226 shares .* 10\.0\.19\.224\/27 with lb227:/),
      expect.stringMatching(/^lb227 shares .* 10\.0\.19\.224\/27 with lb226:/),
    ]);
  });

  test('tells of nets that overlap, of LBs with explicit LIPs too, and of how many share', () => {
    const wide = lbAt(200, { internalnetmask: '255.255.255.0', internalgateway: '10.0.19.1', lips: ['10.0.19.3-9'] });
    const { cluster, warnings } = withOriginalLips(clusterOf([wide, lbAt(226), lbAt(227), lbAt(228)]));
    expect(cluster.lbinfos.map((lb) => lb.lips?.length)).toEqual([1, undefined, undefined, undefined]);
    expect(warnings.map((w) => w.message)).toEqual(
      [226, 227, 228].map((n) =>
        expect.stringContaining(`lb${n} shares its internal subnet 10.0.19.224/27 with lb200 and 2 more`),
      ),
    );
  });

  test('leaves those to be planned whose subnet is too large or too small', () => {
    const cluster = clusterOf([lbOf('10.64.0.0', '255.255.0.0'), lbOf('10.1.0.0', '255.255.255.252')]);
    const outcome = withOriginalLips(cluster);
    expect(outcome.cluster).toBe(cluster);
    expect(codes(outcome.warnings)).toEqual([
      'warning lbinfos[0].lips too_many_lips',
      'warning lbinfos[1].lips no_lips',
    ]);
  });

  test('gives no LB an address that the document has elsewhere', () => {
    const other = lbOf('10.1.0.0', '255.255.255.0');
    const lbs = [
      lbAt(226),
      {
        ...other,
        extraip: '10.0.19.230',
        extranetmask: '255.255.255.224',
        extragateway: '10.0.19.231',
        lips: ['10.0.19.250-252'],
      },
    ];
    const vip: Vip = {
      vip: '10.0.19.240',
      wstype: 'a',
      wss: ['w'],
      ports: [...defaultPorts],
      wsattrs: { w: { address: '10.0.19.241' } },
    };
    const { cluster } = withOriginalLips(clusterOf(lbs, [vip]));
    expect(cluster.lbinfos[0]?.lips).toEqual([
      '10.0.19.227-229',
      '10.0.19.232-239',
      '10.0.19.242-249',
      '10.0.19.253-254',
    ]);
    expect(errorsOf(checkCluster(cluster))).toEqual([]);
  });
});

describe('properties', () => {
  /** Clusters of LBs whose nets may overlap, with VIPs and WSs among their hosts. */
  const clusters = fc
    .record({
      lbs: fc.array(
        fc.record({ block: fc.nat(40), prefix: fc.integer({ min: 18, max: 30 }), at: fc.nat(), gateway: fc.nat() }),
        { maxLength: 6 },
      ),
      hosts: fc.uniqueArray(fc.record({ block: fc.nat(40), at: fc.nat(2000) }), {
        maxLength: 20,
        selector: ({ block, at }) => `${block} ${at}`,
      }),
    })
    .map(({ lbs, hosts }) => {
      const lbinfos = lbs.map(({ block, prefix, at, gateway }, i): Lb => {
        const size = 2 ** (32 - prefix);
        const base = networkOf(blockAt(block), prefix);
        const [ip, next] = [at % (size - 2), gateway % (size - 3)];
        const mask = formatAddress((2 ** 32 - size) >>> 0);
        const internalip = formatAddress(base + 1 + ip);
        const internalgateway = formatAddress(base + 1 + (next < ip ? next : next + 1));
        return lbAt(226, {
          hostname: `lb${i}`,
          routerid: `1.1.1.${i}`,
          internalip,
          internalgateway,
          internalnetmask: mask,
          ospfnet: '10.0.0.0/8',
        });
      });
      const vip2ws = hosts.map(({ block, at }): Vip => ({
        vip: formatAddress(blockAt(block) + at),
        wstype: 'a',
        wss: [],
        ports: [...defaultPorts],
      }));
      return clusterOf(lbinfos, vip2ws);
    })
    .filter((cluster) => errorsOf(checkCluster(cluster)).length === 0);

  /** Every other one within a /16 of its own. */
  function blockAt(block: number): number {
    return addressNumber(`10.${block >> 1}.${(block & 1) * 16}.0`);
  }

  test('what is given breaks no rule, is what the original gave but for what is taken, and in the fewest texts', () => {
    fc.assert(
      fc.property(clusters, (cluster) => {
        const { cluster: after } = withOriginalLips(cluster);
        expect(errorsOf(checkCluster(after))).toEqual([]);
        const taken = new Set([
          ...cluster.lbinfos.flatMap((lb) => [lb.internalip, lb.internalgateway]),
          ...cluster.vip2ws.map((vip) => vip.vip),
        ]);
        for (const lb of after.lbinfos) {
          if (!lb.lips) continue;
          expect(lb.lips.flatMap(expandRange)).toEqual(
            hostsOf(lb)
              .slice(2)
              .filter((address) => !taken.has(address)),
          );
          const ranges = lb.lips.map((text) => parseRange(text) as { first: number; last: number });
          for (const [i, { first }] of ranges.entries())
            if (i > 0) expect(first).toBeGreaterThan((ranges[i - 1]?.last ?? 0) + 1);
        }
      }),
    );
  });

  test('each LB has LIPs afterwards or a warning, and doing it again changes nothing', () => {
    fc.assert(
      fc.property(clusters, (cluster) => {
        const { cluster: after, warnings } = withOriginalLips(cluster);
        const without = after.lbinfos.flatMap((lb, i) => (lb.lips ? [] : [`lbinfos[${i}].lips`]));
        expect(warnings.map((w) => w.path)).toEqual(without);
        expect(withOriginalLips(after)).toEqual({ cluster: after, warnings });
        expect(withOriginalLips(after).cluster).toBe(after);
      }),
    );
  });

  function hostsOf(lb: Lb): string[] {
    const prefix = parseMask(lb.internalnetmask) ?? 0;
    const net = { base: networkOf(addressNumber(lb.internalip), prefix), prefix };
    return Array.from({ length: 2 ** (32 - prefix) }, (_, i) => net.base + i)
      .filter((address) => isHostOf(net, address))
      .map(formatAddress);
  }
});
