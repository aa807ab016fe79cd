import { describe, expect, test } from 'vitest';
import { checkCluster } from '../src/domain/edge/check.ts';
import { Cluster } from '../src/domain/edge/model.ts';
import { parse } from '../src/domain/schema.ts';
import { clusterOf, MAX_LBS, MAX_WSS, planTopology } from './topology.ts';

describe('the document of a lab', () => {
  test.each([
    {},
    { lbs: MAX_LBS, wss: MAX_WSS, hello: 3, dead: 12, ospfKey: 'labkey' },
    { lbs: 2, second: 3, synproxy: true, announce: 'redistribute' as const },
  ])('is accepted without an error: %j', (options) => {
    const topology = planTopology(options);
    for (const name of topology.clusters) {
      const document = clusterOf(topology, name);
      expect(parse(Cluster, document)).toMatchObject({ ok: true });
      expect(checkCluster(document).filter(({ severity }) => severity === 'error')).toEqual([]);
    }
  });

  test('has the timers and the key of the lab’s router', () => {
    const document = clusterOf(planTopology({ hello: 2, dead: 9, ospfKey: 'labkey' }));
    expect(document.ospf).toEqual({ hello: 2, dead: 9, key: 'labkey' });
    expect(clusterOf(planTopology()).ospf).toEqual({ hello: 1, dead: 4 });
  });
});

test('a second cluster has LBs and VIPs of its own', () => {
  const topology = planTopology({ lbs: 2, second: 1, synproxy: true });
  const [one, two] = topology.clusters.map((name) => clusterOf(topology, name));
  expect(one?.lbinfos.map(({ hostname }) => hostname)).toEqual(['lb1.lab', 'lb2.lab']);
  expect(two?.lbinfos.map(({ hostname }) => hostname)).toEqual(['lb3.lab']);
  expect([one, two].map((cluster) => cluster?.vip2ws.length)).toEqual([2, 1]);
  expect(two?.vip2ws[0]?.ports[0]?.synproxy).toBe(1);
});

test('no two machines of the largest lab share an address, a name, a tap or a MAC address', () => {
  const { lbs, wss, networks, vips } = planTopology({ lbs: MAX_LBS, wss: MAX_WSS });
  const addresses = [
    ...vips.map((vip) => vip.address),
    ...lbs.flatMap((lb) => [lb.address, lb.management, ...lb.lips]),
    ...wss.map((ws) => ws.address),
  ];
  const names = [...lbs, ...wss].map(({ name }) => name);
  const devices = lbs.flatMap(({ taps, macs }) => [...Object.values(taps), ...Object.values(macs)]);
  for (const list of [addresses, names, devices, networks]) expect(new Set(list).size).toBe(list.length);
  // An interface's name has at most 15 characters.
  for (const { taps } of lbs) for (const tap of Object.values(taps)) expect(tap.length).toBeLessThan(16);
});
