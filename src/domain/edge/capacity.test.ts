import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { lipCapacity } from './capacity.ts';
import type { Cluster, Lb, Vip } from './model.ts';

function cluster(name: string, parts: Partial<Cluster>): Cluster {
  return { name, type: 'internal', device: 'eth0', vipnets: ['10.1.0.0/16'], lbinfos: [], vip2ws: [], ...parts };
}

function vip(address: string, parts: Partial<Vip>): Vip {
  const port = { sport: 80, dport: 80, synproxy: 1, persistence_timeout: 50 } as const;
  return { vip: address, wstype: 'web', wss: [], ports: [port], ...parts };
}

function lb(hostname: string): Lb {
  return {
    hostname,
    routerid: '10.0.0.1',
    internalip: '10.0.0.1',
    internalnetmask: '255.255.255.0',
    internalgateway: '10.0.0.254',
    ospfnet: '10.0.0.0/24',
  };
}

const four = vip('10.1.0.1', { wss: ['ws1', 'ws2', 'ws3', 'ws4'] });

function lbs(count: number, parts: Partial<Lb> = {}): Lb[] {
  return Array.from({ length: count }, (_, i) => ({ ...lb(`lb${i + 1}`), ...parts }));
}

const plan = (lips: Record<string, number>) => ({
  lbs: Object.fromEntries(
    Object.entries(lips).map(([name, n]) => [name, Array.from({ length: n }, (_, i) => `l${i}`)]),
  ),
  quarantine: {},
});

describe('the capacity of LIPs', () => {
  test.each([
    ['fullnat', 36_321],
    ['dpvs', 38_706],
    ['ipvs', 38_707],
  ] as const)('%s: %i connections of a LIP to one port of one WS', (dataplane, perLip) => {
    const found = lipCapacity(cluster('a', { dataplane, lbinfos: lbs(1) }), plan({ lb1: 8 }));
    expect(found).toEqual({
      perLip,
      lbs: [{ lb: 'lb1', lips: 8, connections: 8 * perLip }],
      needs: [],
      problems: [],
    });
  });

  test('a million connections over four equal WSs need 7 LIPs, over one WS 28', () => {
    const document = cluster('a', { lbinfos: lbs(1), vip2ws: [four, vip('10.1.0.2', { wss: ['ws1'] })] });
    const { needs } = lipCapacity(document, plan({ lb1: 28 }), 1_000_000);
    expect(needs).toEqual([
      { vip: '10.1.0.2', port: '80', ws: 'ws1', share: 1, connections: 1_000_000, lips: 28 },
      { vip: '10.1.0.1', port: '80', ws: 'ws1', share: 0.25, connections: 250_000, lips: 7 },
    ]);
  });

  test('the WS that has most by weight counts; those that are down or drained take nothing', () => {
    const wsattrs = { ws2: { weight: 300 }, ws3: { state: 'down' }, ws4: { state: 'drain' } } as const;
    const document = cluster('a', { lbinfos: lbs(1), vip2ws: [{ ...four, wsattrs }] });
    expect(lipCapacity(document, plan({ lb1: 8 }), 1000).needs).toMatchObject([{ ws: 'ws2', share: 0.75, lips: 4 }]);
    const nobody = { ...four, wsattrs: Object.fromEntries(four.wss.map((ws) => [ws, { weight: 0 }])) };
    expect(lipCapacity({ ...document, vip2ws: [nobody] }, plan({ lb1: 8 }), 1000).needs).toEqual([]);
  });

  test('the peak is spread over the LBs that serve, while one of them is away', () => {
    const at = (count: number, parts?: Partial<Lb>) =>
      lipCapacity(cluster('a', { lbinfos: lbs(count, parts), vip2ws: [four] }), plan({}), 1_200_000).needs[0]
        ?.connections;
    expect([at(1), at(2), at(3), at(4)]).toEqual([300_000, 300_000, 150_000, 100_000]);
    expect(at(4, { state: 'drain' })).toBe(300_000);
  });

  test('an LB with too few is named, for the peak and at all', () => {
    const document = cluster('a', { lbinfos: lbs(2), vip2ws: [four] });
    const { problems } = lipCapacity(document, plan({ lb1: 8, lb2: 3 }), 1_000_000);
    expect(problems).toMatchObject([
      { severity: 'warning', code: 'few_lips', path: 'lbinfos[1].lips' },
      {
        severity: 'warning',
        code: 'lips_short',
        path: 'lbinfos[1].lips',
        message: expect.stringContaining('7 are needed'),
      },
    ]);
  });

  test('what is said to be enough carries the peak, and one less does not', () => {
    const peaks = fc.integer({ min: 1, max: 50_000_000 });
    fc.assert(
      fc.property(peaks, (peak) => {
        const document = cluster('a', { lbinfos: lbs(3), vip2ws: [four] });
        const { needs, perLip } = lipCapacity(document, plan({}), peak);
        const [need] = needs;
        expect((need?.lips ?? 0) * perLip).toBeGreaterThanOrEqual(need?.connections ?? Infinity);
        if (need && need.lips > 4) expect((need.lips - 1) * perLip).toBeLessThan(need.connections);
      }),
    );
  });
});
