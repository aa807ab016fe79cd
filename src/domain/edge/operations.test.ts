import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Parsed } from '../schema.ts';
import { clusterArbitrary, fullCluster, lbArbitrary, vipArbitrary } from '../testing/clusters.ts';
import { portKey } from './model.ts';
import type { Cluster, Lb, Port, Vip } from './model.ts';
import { checkCluster } from './check.ts';
import { merge } from './operation.ts';
import type { Applied } from './operation.ts';
import { applyCalls, operations, readCall } from './operations.ts';
import type { Call } from './operations.ts';
import { headOf, sameValue } from './patch.ts';

const VIP = '60.28.208.1';

/** Reads and applies calls, as a batch does. */
function run(cluster: Cluster | undefined, ...calls: object[]): Applied {
  return applyCalls(cluster, calls.map(read));
}

function read(call: object): Call {
  const parsed = readCall(call);
  if (parsed.ok) return parsed.value;
  throw new Error(found(parsed).join('\n'));
}

function done(cluster: Cluster, ...calls: object[]): Cluster {
  const applied = run(cluster, ...calls);
  if (applied.ok && applied.cluster) return applied.cluster;
  throw new Error(JSON.stringify(applied));
}

/** What reading a call finds wrong, as `path code`. */
function found(parsed: Parsed<unknown>): string[] {
  return parsed.ok ? [] : parsed.problems.map((p) => `${p.path} ${p.code}`);
}

/** Why calls were not applied, as `reason` and `path code`. */
function why(applied: Applied): string[] {
  return applied.ok ? [] : [applied.reason, ...applied.problems.map((p) => `${p.path} ${p.code}`)];
}

const vip9: Vip = {
  vip: '60.28.208.9',
  wstype: 'search',
  wss: ['s1'],
  ports: [{ sport: 80, dport: 80, synproxy: 1, persistence_timeout: 50 }],
};

const lb9: Lb = {
  hostname: 'lb9.room1',
  routerid: '10.0.0.9',
  internalip: '10.0.9.2',
  internalnetmask: '255.255.255.0',
  internalgateway: '10.0.9.1',
  ospfnet: '10.0.9.0/24',
};

const vipOf = (cluster: Cluster, address = VIP) => cluster.vip2ws.find((v) => v.vip === address) as Vip;

describe('cluster', () => {
  test('create makes the document, in its full form', () => {
    const applied = run(undefined, { op: 'cluster.create', cluster: { ...fullCluster(), check: {} } });
    expect(applied).toEqual({ ok: true, cluster: { ...fullCluster(), check: {} } });
  });

  test('create refuses where there is one; replace does not mind either way', () => {
    const cluster = { ...fullCluster(), device: 'eth0' };
    expect(why(run(fullCluster(), { op: 'cluster.create', cluster }))).toEqual([
      'exists',
      'cluster.name cluster_exists',
    ]);
    expect(run(fullCluster(), { op: 'cluster.replace', cluster })).toEqual({ ok: true, cluster });
    expect(run(undefined, { op: 'cluster.replace', cluster })).toEqual({ ok: true, cluster });
  });

  test('set merges: null removes, objects merge, lists replace', () => {
    const set = { device: 'eth9', idc: null, ospf: { cost: 99, key: null }, vipnets: ['60.28.208.0/24'] };
    const before = fullCluster();
    const next = done(before, { op: 'cluster.set', set });
    const { idc: _idc, ...rest } = before;
    const { key: _key, ...ospf } = before.ospf ?? {};
    expect(next).toEqual({ ...rest, device: 'eth9', ospf: { ...ospf, cost: 99 }, vipnets: ['60.28.208.0/24'] });
  });

  test('set keeps the identity of LBs and VIPs, also of those that are sent again', () => {
    const before = fullCluster();
    const next = done(before, {
      op: 'cluster.set',
      set: { device: 'eth9', vip2ws: [structuredClone(vipOf(before)), vip9] },
    });
    expect(next.lbinfos).toBe(before.lbinfos);
    expect(next.vip2ws[0]).toBe(before.vip2ws[0]);
    expect(next.vip2ws[1]).toEqual(vip9);
    expect(next.ospf).toBe(before.ospf);
  });

  test('set refuses another name, and what the model refuses', () => {
    expect(why(run(fullCluster(), { op: 'cluster.set', set: { name: 'b' } }))).toEqual([
      'invalid',
      'set.name not_changeable',
    ]);
    expect(why(run(fullCluster(), { op: 'cluster.set', set: { name: null } }))).toEqual([
      'invalid',
      'set.name not_changeable',
    ]);
    expect(run(fullCluster(), { op: 'cluster.set', set: { name: 'full-cluster', device: 'e' } }).ok).toBe(true);
    const set = { device: 'a b', devise: 1, vipnets: null, ospf: 5 };
    expect(why(run(fullCluster(), { op: 'cluster.set', set })).sort()).toEqual([
      'invalid',
      'set.device bad_interface',
      'set.devise unknown_field',
      'set.ospf wrong_type',
      'set.vipnets missing',
    ]);
  });

  test('delete leaves no document', () => {
    expect(run(fullCluster(), { op: 'cluster.delete' })).toEqual({ ok: true, cluster: undefined });
  });
});

describe('vip', () => {
  test('add takes one or many, and puts them at the end', () => {
    const before = fullCluster();
    const one = done(before, { op: 'vip.add', vips: vip9 });
    expect(one.vip2ws).toEqual([...before.vip2ws, vip9]);
    const other = { ...vip9, vip: '60.28.208.10' };
    expect(done(before, { op: 'vip.add', vips: [vip9, other] }).vip2ws).toEqual([...before.vip2ws, vip9, other]);
  });

  test('add without ports means 80 and 443', () => {
    const next = done(fullCluster(), { op: 'vip.add', vips: { vip: '60.28.208.9', wstype: 'apps', wss: ['a'] } });
    expect(vipOf(next, '60.28.208.9').ports.map((p) => [p.sport, p.dport])).toEqual([
      [80, 80],
      [443, 443],
    ]);
  });

  test('add refuses one that is there, with its place', () => {
    const applied = run(fullCluster(), { op: 'vip.add', vips: [vip9, { ...vip9, vip: VIP }] });
    expect(why(applied)).toEqual(['exists', 'vips[1] vip_exists']);
  });

  test('set merges, and null gives a field of its short form its default back', () => {
    const next = done(fullCluster(), { op: 'vip.set', vip: VIP, set: { wstype: 'new', owner: null, ports: null } });
    expect(vipOf(next)).toMatchObject({ wstype: 'new' });
    expect(vipOf(next)).not.toHaveProperty('owner');
    expect(vipOf(next).ports.map(portKey)).toEqual(['80', '443']);
  });

  test('set merges attributes of WSs one by one', () => {
    const set = { wsattrs: { 'ws1.room1': { weight: 7, state: null }, 'ws2.room1': null } };
    expect(vipOf(done(fullCluster(), { op: 'vip.set', vip: VIP, set })).wsattrs).toEqual({
      'ws1.room1': { weight: 7, address: '10.1.0.1' },
      'ws3.room1': { address: '10.1.0.3' },
    });
  });

  test('set refuses another address, and what the model refuses', () => {
    const set = (fields: object) => why(run(fullCluster(), { op: 'vip.set', vip: VIP, set: fields }));
    expect(set({ vip: '60.28.208.9' })).toEqual(['invalid', 'set.vip not_changeable']);
    expect(set({ wstyp: 'x' })).toEqual(['invalid', 'set.wstyp unknown_field']);
    expect(set({ wstype: null })).toEqual(['invalid', 'set.wstype missing']);
    expect(set({ ports: [{ sport: 0, dport: 1 }] })).toEqual(['invalid', 'set.ports[0].sport out_of_range']);
  });

  test('remove takes one or many', () => {
    const before = done(fullCluster(), { op: 'vip.add', vips: vip9 });
    expect(done(before, { op: 'vip.remove', vips: VIP }).vip2ws).toEqual([vip9]);
    expect(done(before, { op: 'vip.remove', vips: ['60.28.208.9', VIP] }).vip2ws).toEqual([]);
  });
});

describe('lb', () => {
  test('add takes one or many', () => {
    const before = fullCluster();
    expect(done(before, { op: 'lb.add', lbs: lb9 }).lbinfos).toEqual([...before.lbinfos, lb9]);
    const lb8 = { ...lb9, hostname: 'lb8.room1' };
    expect(done(before, { op: 'lb.add', lbs: [lb9, lb8] }).lbinfos).toEqual([...before.lbinfos, lb9, lb8]);
  });

  test('add refuses one that is there', () => {
    const applied = run(fullCluster(), { op: 'lb.add', lbs: [{ ...lb9, hostname: 'lb1.room1' }] });
    expect(why(applied)).toEqual(['exists', 'lbs[0] lb_exists']);
  });

  test('set merges', () => {
    const next = done(fullCluster(), {
      op: 'lb.set',
      lb: 'lb1.room1',
      set: { state: null, ssh: { user: 'x', port: null } },
    });
    expect(next.lbinfos[0]).not.toHaveProperty('state');
    expect(next.lbinfos[0]?.ssh).toEqual({ user: 'x', address: '10.9.9.8', sudo: false });
  });

  test('set refuses another hostname, and what the model refuses', () => {
    const set = (fields: object) => why(run(fullCluster(), { op: 'lb.set', lb: 'lb1.room1', set: fields }));
    expect(set({ hostname: 'lb3' })).toEqual(['invalid', 'set.hostname not_changeable']);
    expect(set({ internalip: '1.2.3' })).toEqual(['invalid', 'set.internalip bad_address']);
    expect(set({ routerid: null })).toEqual(['invalid', 'set.routerid missing']);
  });

  test('remove takes one or many', () => {
    expect(done(fullCluster(), { op: 'lb.remove', lbs: 'lb1.room1' }).lbinfos.map((l) => l.hostname)).toEqual([
      'lb2.room1',
    ]);
    expect(done(fullCluster(), { op: 'lb.remove', lbs: ['lb2.room1', 'lb1.room1'] }).lbinfos).toEqual([]);
  });
});

describe('ws', () => {
  test('add takes a name, an object, or many of both', () => {
    expect(vipOf(done(fullCluster(), { op: 'ws.add', vip: VIP, wss: 'a' })).wss).toEqual([
      ...vipOf(fullCluster()).wss,
      'a',
    ]);
    const wss = ['a', { ws: 'b', weight: 3, state: 'drain', address: '10.1.0.9' }, { ws: 'constructor', weight: 1 }];
    const next = vipOf(done(fullCluster(), { op: 'ws.add', vip: VIP, wss }));
    expect(next.wss.slice(3)).toEqual(['a', 'b', 'constructor']);
    expect(next.wsattrs).toEqual({
      ...vipOf(fullCluster()).wsattrs,
      b: { weight: 3, state: 'drain', address: '10.1.0.9' },
      constructor: { weight: 1 },
    });
    expect(
      done(done(fullCluster(), { op: 'vip.add', vips: vip9 }), { op: 'ws.add', vip: vip9.vip, wss: 'a' }).vip2ws[1],
    ).not.toHaveProperty('wsattrs');
  });

  test('add refuses one that is there', () => {
    expect(why(run(fullCluster(), { op: 'ws.add', vip: VIP, wss: ['a', 'ws1.room1'] }))).toEqual([
      'exists',
      'wss[1] ws_exists',
    ]);
  });

  test('set merges, and leaves no empty attributes behind', () => {
    const set = (ws: string, fields: object) =>
      vipOf(done(fullCluster(), { op: 'ws.set', vip: VIP, ws, set: fields })).wsattrs;
    expect(set('ws1.room1', { weight: 0, state: null })?.['ws1.room1']).toEqual({ weight: 0, address: '10.1.0.1' });
    expect(set('ws3.room1', { address: null })).not.toHaveProperty(['ws3.room1']);
    const alone = done(fullCluster(), { op: 'vip.add', vips: { ...vip9, wss: ['toString', 'b'] } });
    const weighted = done(alone, { op: 'ws.set', vip: vip9.vip, ws: 'toString', set: { weight: 5 } });
    expect(vipOf(weighted, vip9.vip).wsattrs).toEqual({ toString: { weight: 5 } });
    const back = done(weighted, { op: 'ws.set', vip: vip9.vip, ws: 'toString', set: { weight: null } });
    expect(vipOf(back, vip9.vip)).not.toHaveProperty('wsattrs');
  });

  test('set refuses what the model refuses', () => {
    const set = (fields: object) => why(run(fullCluster(), { op: 'ws.set', vip: VIP, ws: 'ws1.room1', set: fields }));
    expect(set({ ws: 'other' })).toEqual(['invalid', 'set.ws unknown_field']);
    expect(set({ weight: 65536 })).toEqual(['invalid', 'set.weight out_of_range']);
    expect(set({ state: 'off' })).toEqual(['invalid', 'set.state not_allowed']);
  });

  test('remove takes one or many, with their attributes', () => {
    const next = vipOf(done(fullCluster(), { op: 'ws.remove', vip: VIP, wss: ['ws3.room1', 'ws1.room1'] }));
    expect(next.wss).toEqual(['ws2.room1']);
    expect(Object.keys(next.wsattrs ?? {})).toEqual(['ws2.room1']);
    const none = vipOf(done(fullCluster(), { op: 'ws.remove', vip: VIP, wss: vipOf(fullCluster()).wss }));
    expect(none.wss).toEqual([]);
    expect(none).not.toHaveProperty('wsattrs');
  });
});

describe('port', () => {
  const port = { sport: 8443, dport: 443, synproxy: 1, persistence_timeout: 50 };

  test('add takes one or many, and fills in what is left out', () => {
    const next = done(fullCluster(), { op: 'port.add', vip: VIP, ports: { sport: 8443, dport: 443 } });
    expect(vipOf(next).ports.at(-1)).toEqual(port);
    const two = done(fullCluster(), { op: 'port.add', vip: VIP, ports: [port, { ...port, sport: 8444 }] });
    expect(vipOf(two).ports.map(portKey)).toEqual(['80', '443', '8081', '8443', '8444']);
  });

  test('of another protocol is another port', () => {
    const next = done(fullCluster(), { op: 'port.add', vip: VIP, ports: { ...port, sport: 443, protocol: 'UDP' } });
    expect(vipOf(next).ports.map(portKey)).toEqual(['80', '443', '8081', '443:UDP']);
    expect(vipOf(done(next, { op: 'port.remove', vip: VIP, ports: ['443:udp'] })).ports).toHaveLength(3);
  });

  test('add refuses one that is there', () => {
    expect(
      why(run(fullCluster(), { op: 'port.add', vip: VIP, ports: { ...port, sport: 80, protocol: 'TCP' } })),
    ).toEqual(['exists', 'ports[0] port_exists']);
  });

  test('set changes fields of a port, also its sport', () => {
    const next = done(fullCluster(), {
      op: 'port.set',
      vip: VIP,
      port: '80:tcp',
      set: { sport: 8000, scheduler: null, check: 'tcp' },
    });
    expect(vipOf(next).ports[0]).toEqual({
      sport: 8000,
      dport: 8080,
      synproxy: 1,
      persistence_timeout: 50,
      protocol: 'TCP',
      check: { type: 'tcp' },
    });
    const null1 = done(fullCluster(), { op: 'port.set', vip: VIP, port: '443', set: { synproxy: null, check: null } });
    expect(vipOf(null1).ports[1]).toEqual({ sport: 443, dport: 443, synproxy: 1, persistence_timeout: 0 });
  });

  test('set refuses what the model refuses', () => {
    const set = (fields: object) => why(run(fullCluster(), { op: 'port.set', vip: VIP, port: '80', set: fields }));
    expect(set({ dport: null })).toEqual(['invalid', 'set.dport missing']);
    expect(set({ dport: 65536 })).toEqual(['invalid', 'set.dport out_of_range']);
    expect(set({ check: { typ: 'tcp' } })).toEqual(['invalid', 'set.check.typ unknown_field']);
  });

  test('remove takes one or many, and never the last', () => {
    const remove = (ports: unknown) => run(fullCluster(), { op: 'port.remove', vip: VIP, ports });
    expect(remove('80').ok).toBe(true);
    const left = remove(['80', '443:TCP']);
    expect(left.ok && left.cluster?.vip2ws[0]?.ports.map(portKey)).toEqual(['8081']);
    expect(why(remove(['80', '443', '8081']))).toEqual(['invalid', 'ports last_port']);
  });
});

describe('what is not there', () => {
  const set = { state: 'drain' };
  test.each([
    [{ op: 'vip.set', vip: '60.28.208.2', set: { wstype: 'x' } }, 'vip unknown_vip'],
    [{ op: 'vip.remove', vips: [VIP, '60.28.208.2'] }, 'vips[1] unknown_vip'],
    [{ op: 'lb.set', lb: 'lb3.room1', set }, 'lb unknown_lb'],
    [{ op: 'lb.remove', lbs: ['lb3.room1'] }, 'lbs[0] unknown_lb'],
    [{ op: 'ws.add', vip: '60.28.208.2', wss: 'a' }, 'vip unknown_vip'],
    [{ op: 'ws.set', vip: VIP, ws: 'ws9.room1', set }, 'ws unknown_ws'],
    [{ op: 'ws.set', vip: VIP, ws: 'constructor', set }, 'ws unknown_ws'],
    [{ op: 'ws.set', vip: '60.28.208.2', ws: 'ws1.room1', set }, 'vip unknown_vip'],
    [{ op: 'ws.remove', vip: VIP, wss: ['ws9.room1'] }, 'wss[0] unknown_ws'],
    [{ op: 'ws.remove', vip: '60.28.208.2', wss: ['ws1.room1'] }, 'vip unknown_vip'],
    [{ op: 'port.add', vip: '60.28.208.2', ports: { sport: 1, dport: 1 } }, 'vip unknown_vip'],
    [{ op: 'port.set', vip: VIP, port: '81', set: { dport: 1 } }, 'port unknown_port'],
    [{ op: 'port.set', vip: VIP, port: '80:UDP', set: { dport: 1 } }, 'port unknown_port'],
    [{ op: 'port.remove', vip: VIP, ports: ['81'] }, 'ports[0] unknown_port'],
  ])('%j is told, with a hint', (call, problem) => {
    const applied = run(fullCluster(), call);
    expect(why(applied)).toEqual(['not_found', problem]);
    expect(!applied.ok && applied.problems[0]?.hint).toMatch(/did you mean|weir show/);
  });

  test('every operation but create and replace needs a cluster', () => {
    const inputs: Record<string, object> = {
      'cluster.set': { set: { device: 'x' } },
      'cluster.delete': {},
      'vip.add': { vips: vip9 },
      'vip.set': { vip: VIP, set: { wstype: 'x' } },
      'vip.remove': { vips: VIP },
      'lb.add': { lbs: lb9 },
      'lb.set': { lb: 'x', set },
      'lb.remove': { lbs: 'x' },
      'ws.add': { vip: VIP, wss: 'a' },
      'ws.set': { vip: VIP, ws: 'a', set },
      'ws.remove': { vip: VIP, wss: 'a' },
      'port.add': { vip: VIP, ports: { sport: 1, dport: 1 } },
      'port.set': { vip: VIP, port: '80', set: { dport: 1 } },
      'port.remove': { vip: VIP, ports: '80' },
    };
    expect([...operations.keys()].filter((op) => !inputs[op])).toEqual(['cluster.create', 'cluster.replace']);
    for (const [op, input] of Object.entries(inputs)) {
      expect(why(run(undefined, { op, ...input }))).toEqual(['not_found', ' unknown_cluster']);
    }
  });

  test('thousands of unknown names are told without comparing each with each', () => {
    const vips = Array.from({ length: 20_000 }, (_, i) => `10.${i >> 8}.${i & 255}.1`);
    const many = Array.from({ length: 20_000 }, (_, i) => ({ ...vip9, vip: `11.${i >> 8}.${i & 255}.1` }));
    const applied = run({ ...fullCluster(), vip2ws: many }, { op: 'vip.remove', vips });
    expect(why(applied)).toHaveLength(20_001);
  });
});

describe('bad input', () => {
  const wrong: readonly [op: string, input: object, problem: string][] = [
    ['cluster.create', {}, 'cluster missing'],
    ['cluster.create', { cluster: 5 }, 'cluster wrong_type'],
    ['cluster.create', { cluster: { ...fullCluster(), device: 5 } }, 'cluster.device wrong_type'],
    ['cluster.replace', { cluster: { ...fullCluster(), devise: 5 } }, 'cluster.devise unknown_field'],
    ['cluster.set', { set: {} }, 'set invalid_value'],
    ['cluster.set', { set: [1] }, 'set wrong_type'],
    ['cluster.set', { set: null }, 'set wrong_type'],
    ['cluster.delete', { really: true }, 'really unknown_field'],
    ['vip.add', {}, 'vips missing'],
    ['vip.add', { vips: [] }, 'vips out_of_range'],
    ['vip.add', { vips: [vip9, 5] }, 'vips[1] wrong_type'],
    ['vip.add', { vips: { ...vip9, wss: ['a b'] } }, 'vips.wss[0] bad_hostname'],
    ['vip.add', { vip: vip9 }, 'vip unknown_field'],
    ['vip.set', { set: { wstype: 'x' } }, 'vip missing'],
    ['vip.set', { vip: VIP }, 'set missing'],
    ['vip.set', { vip: 5, set: { wstype: 'x' } }, 'vip wrong_type'],
    ['vip.remove', { vips: [] }, 'vips invalid_value'],
    ['vip.remove', { vips: [5] }, 'vips[0] wrong_type'],
    ['vip.remove', { vips: 5 }, 'vips wrong_type'],
    ['lb.add', { lbs: [{ ...lb9, internalip: '::1' }] }, 'lbs[0].internalip ipv6_unsupported'],
    ['lb.set', { lb: 'x', set: 'drain' }, 'set wrong_type'],
    ['lb.remove', {}, 'lbs missing'],
    ['ws.add', { vip: VIP, wss: [5] }, 'wss[0] wrong_type'],
    ['ws.add', { vip: VIP, wss: { ws: 'a', wieght: 1 } }, 'wss.wieght unknown_field'],
    ['ws.add', { wss: 'a' }, 'vip missing'],
    ['ws.set', { vip: VIP, ws: 'a', set: {} }, 'set invalid_value'],
    ['ws.remove', { vip: VIP, wss: ['x'.repeat(256)] }, 'wss[0] invalid_value'],
    ['port.add', { vip: VIP, ports: { sport: 80 } }, 'ports.dport missing'],
    ['port.add', { vip: VIP, ports: [80] }, 'ports[0] wrong_type'],
    ['port.set', { vip: VIP, port: 80, set: { dport: 1 } }, 'port wrong_type'],
    ['port.remove', { vip: VIP, ports: [80] }, 'ports[0] wrong_type'],
  ];

  test.each(wrong)('%s with %j is refused', (op, input, problem) => {
    expect(found(readCall({ op, ...input }))).toContain(problem);
    expect(found(readCall({ op, ...input }, 'operations[3]'))).toContain(`operations[3].${problem}`);
  });

  test('is tried for every operation', () => {
    expect(new Set(wrong.map(([op]) => op))).toEqual(new Set(operations.keys()));
  });

  test('an unknown operation is told, with a guess', () => {
    const parsed = readCall({ op: 'vip.ad', vips: [] }, 'operations[0]');
    expect(found(parsed)).toEqual(['operations[0].op unknown_operation']);
    expect(!parsed.ok && parsed.problems[0]?.hint).toBe('did you mean vip.add?');
    for (const op of ['constructor', '__proto__', ''])
      expect(found(readCall({ op }))).toEqual(['op unknown_operation']);
    for (const call of [null, 5, [], {}, { op: 5 }, 'vip.add']) expect(readCall(call).ok).toBe(false);
  });

  test('of any kind never makes reading throw', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...operations.keys()),
        fc.object({ key: fc.constantFrom('vip', 'vips', 'set', 'wss', 'ports', 'lbs', 'cluster', '__proto__') }),
        (op, input) => {
          const parsed = readCall({ ...input, op });
          if (parsed.ok) run(fullCluster(), { ...input, op });
        },
      ),
    );
  });

  test('deeper than the stack is refused', () => {
    let deep: unknown = 1;
    for (let i = 0; i < 100_000; i++) deep = { a: deep };
    expect(why(run(fullCluster(), { op: 'cluster.set', set: { ospf: deep } }))).toEqual([
      'invalid',
      'set.ospf.a unknown_field',
    ]);
  });
});

describe('a batch', () => {
  test('applies in order, each on the result of the one before', () => {
    const next = done(
      fullCluster(),
      { op: 'vip.add', vips: vip9 },
      { op: 'ws.add', vip: vip9.vip, wss: 's2' },
      { op: 'vip.remove', vips: VIP },
    );
    expect(next.vip2ws).toEqual([{ ...vip9, wss: ['s1', 's2'] }]);
  });

  test('that fails tells which operation, and changes nothing', () => {
    const before = fullCluster();
    const copy = structuredClone(before);
    const applied = run(before, { op: 'vip.add', vips: vip9 }, { op: 'ws.remove', vip: VIP, wss: ['zz'] });
    expect(why(applied)).toEqual(['not_found', 'operations[1].wss[0] unknown_ws']);
    expect(before).toEqual(copy);
    const afterDelete = run(before, { op: 'cluster.delete' }, { op: 'vip.remove', vips: VIP });
    expect(why(afterDelete)).toEqual(['not_found', 'operations[1] unknown_cluster']);
  });

  test('of none is the document itself', () => {
    const cluster = fullCluster();
    expect(applyCalls(cluster, [])).toEqual({ ok: true, cluster });
  });
});

describe('a merge patch', () => {
  test('has its examples of RFC 7396', () => {
    const examples: [unknown, unknown, unknown][] = [
      [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
      [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
      [{ a: 'b' }, { a: null }, {}],
      [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
      [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
      [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
      [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
      [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
      [
        ['a', 'b'],
        ['c', 'd'],
        ['c', 'd'],
      ],
      [{ a: 'b' }, ['c'], ['c']],
      [{ a: 'foo' }, null, null],
      [{ a: 'foo' }, 'bar', 'bar'],
      [{ e: null }, { a: 1 }, { e: null, a: 1 }],
      [[1, 2], { a: 'b', c: null }, { a: 'b' }],
      [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
    ];
    for (const [target, patch, result] of examples) expect(merge(target, patch)).toEqual(result);
  });

  test('cannot reach prototypes', () => {
    const merged = merge(
      { a: 1 },
      JSON.parse('{"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}}}'),
    );
    expect(Object.keys(merged as object)).toEqual(['a', '__proto__', 'constructor']);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });
});

describe('properties', () => {
  /** An operation, and the calls that undo it. */
  interface Pair {
    forth: object;
    back: object[];
    /** Parts that it may touch, by hostname and address. */
    touches: readonly string[];
  }

  function pairs(cluster: Cluster): fc.Arbitrary<Pair> {
    const vips = cluster.vip2ws.filter((v) => v.ports.length > 1);
    const some: fc.Arbitrary<Pair>[] = [
      vipArbitrary(200).map((vip) => ({
        forth: { op: 'vip.add', vips: vip },
        back: [{ op: 'vip.remove', vips: vip.vip }],
        touches: [vip.vip],
      })),
      lbArbitrary(50).map((lb) => ({
        forth: { op: 'lb.add', lbs: [lb] },
        back: [{ op: 'lb.remove', lbs: lb.hostname }],
        touches: [lb.hostname],
      })),
      fc.constant({
        forth: { op: 'cluster.set', set: { device: 'other' } },
        back: [{ op: 'cluster.set', set: { device: cluster.device } }],
        touches: [],
      }),
      fc.constant({
        forth: { op: 'cluster.set', set: { idc: 'x' } },
        back: [{ op: 'cluster.set', set: { idc: null } }],
        touches: [],
      }),
    ];
    const last = cluster.vip2ws.at(-1);
    const lastLb = cluster.lbinfos.at(-1);
    if (last)
      some.push(
        fc.constant({
          forth: { op: 'vip.remove', vips: last.vip },
          back: [{ op: 'vip.add', vips: last }],
          touches: [last.vip],
        }),
      );
    if (lastLb)
      some.push(
        fc.constant({
          forth: { op: 'lb.remove', lbs: lastLb.hostname },
          back: [{ op: 'lb.add', lbs: lastLb }],
          touches: [lastLb.hostname],
        }),
      );
    if (vips.length > 0) some.push(fc.constantFrom(...vips).chain((vip) => fc.constantFrom(...inVip(vip))));
    return fc.oneof(...some);
  }

  function inVip(vip: Vip): Pair[] {
    const on = { vip: vip.vip };
    const touches = [vip.vip];
    const port = vip.ports.at(-1) as Port;
    const made: Pair[] = [
      {
        forth: { op: 'ws.add', ...on, wss: [{ ws: 'new', weight: 3 }, 'newer'] },
        back: [{ op: 'ws.remove', ...on, wss: ['new', 'newer'] }],
        touches,
      },
      {
        forth: { op: 'port.add', ...on, ports: { sport: 7, dport: 7, protocol: 'UDP' } },
        back: [{ op: 'port.remove', ...on, ports: '7:UDP' }],
        touches,
      },
      {
        forth: { op: 'port.remove', ...on, ports: portKey(port) },
        back: [{ op: 'port.add', ...on, ports: port }],
        touches,
      },
      {
        forth: { op: 'port.set', ...on, port: portKey(port), set: { dport: 7 } },
        back: [{ op: 'port.set', ...on, port: portKey(port), set: { dport: port.dport } }],
        touches,
      },
      {
        forth: { op: 'vip.set', ...on, set: { owner: 'x' } },
        back: [{ op: 'vip.set', ...on, set: { owner: vip.owner ?? null } }],
        touches,
      },
    ];
    const ws = vip.wss.at(-1);
    if (ws === undefined) return made;
    const attrs = vip.wsattrs?.[ws] ?? {};
    return [
      ...made,
      {
        forth: { op: 'ws.set', ...on, ws, set: { weight: 1234 } },
        back: [{ op: 'ws.set', ...on, ws, set: { weight: attrs.weight ?? null } }],
        touches,
      },
      { forth: { op: 'ws.remove', ...on, wss: ws }, back: [{ op: 'ws.add', ...on, wss: { ws, ...attrs } }], touches },
    ];
  }

  const clusterAndPair = clusterArbitrary.chain((cluster) => fc.tuple(fc.constant(cluster), pairs(cluster)));

  test('an operation and its inverse give an equal document', () => {
    fc.assert(
      fc.property(clusterAndPair, ([cluster, { forth, back }]) => {
        const next = done(cluster, forth);
        expect(sameValue(next, cluster)).toBe(false);
        expect(done(next, ...back)).toEqual(cluster);
        expect(sameValue(done(next, ...back), cluster)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test('parts that an operation does not touch keep their identity, and the document before stays as it was', () => {
    fc.assert(
      fc.property(clusterAndPair, ([cluster, { forth, touches }]) => {
        const copy = structuredClone(cluster);
        const next = done(cluster, forth);
        expect(cluster).toEqual(copy);
        for (const vip of cluster.vip2ws) if (!touches.includes(vip.vip)) expect(next.vip2ws).toContain(vip);
        for (const lb of cluster.lbinfos) if (!touches.includes(lb.hostname)) expect(next.lbinfos).toContain(lb);
        for (const [name, value] of Object.entries(headOf(cluster))) {
          if (name !== 'device') expect((next as Record<string, unknown>)[name]).toBe(value);
        }
      }),
      { numRuns: 300 },
    );
  });
});

test('every operation has a summary, a route and an input schema', () => {
  for (const [name, operation] of operations) {
    expect(operation.name).toBe(name);
    expect(name.startsWith(`${operation.target}.`)).toBe(true);
    expect(operation.summary).toMatch(/^[A-Z].{5,120}[^.]$/);
    expect(operation.http.path).toMatch(/^(\/:?[a-z]+)*$/);
    expect(operation.input).toMatchObject({ type: 'object', additionalProperties: false });
  }
});

describe('limits of lists', () => {
  test('hold for what operations add, as for whole documents', () => {
    const cluster = fullCluster();
    const ports = (from: number) =>
      Array.from({ length: 200 }, (_, i) => ({ sport: from + i, dport: 80, check: 'tcp' }));
    const grown = run(
      cluster,
      { op: 'port.add', vip: VIP, ports: ports(10_000) },
      { op: 'port.add', vip: VIP, ports: ports(20_000) },
    );
    if (!grown.ok || !grown.cluster) throw new Error('not applied');
    const problems = checkCluster(grown.cluster).filter((p) => p.code === 'out_of_range');
    expect(problems.map((p) => p.path)).toEqual(['vip2ws[0].ports']);
    expect(problems[0]?.hint).toBe('at most 256');
  });
});
