import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { originalRoutes } from '../../contract/original.ts';
import { WeirError } from '../../domain/errors.ts';
import type { Cluster, Lb, Port, Vip } from '../../domain/edge/model.ts';
import { cluster, lb, vip } from '../../store/testing.ts';
import { noPush, openOriginal, told } from './testing.ts';
import type { Fields, Original } from './testing.ts';

let api: Original;

beforeEach(async () => {
  api = await openOriginal();
});

afterEach(() => api.close());

const VIP = '10.1.0.1';
const success = (message: string) => `200 {"status":"success","message":"${message}"}`;
const failed = (message: string) => `200 {"status":"failed","message":"${message}"}`;

/** A change that pushes nothing, unless its fields say so. */
async function say(what: string, form: Fields = {}): Promise<string> {
  return told(await api.call(what, { form: { ...noPush, ...form } }));
}

function document(name = 'c'): Cluster {
  const found = api.jobs.state.get(name);
  if (!found) throw new Error(`there is no cluster ${name}`);
  return found.cluster;
}

function firstVip(): Vip {
  const [first] = document().vip2ws;
  if (!first) throw new Error('there is no VIP');
  return first;
}

async function operate(...calls: { op: string; input: object }[]): Promise<void> {
  await api.jobs.state.change({ cluster: 'c', by: 'test', calls });
}

/** Newest first, without the making of the cluster: `revision by: operations`. */
async function history(): Promise<string[]> {
  const entries = await api.jobs.store.history({ kind: 'cluster', name: 'c' }, { limit: 100 });
  return entries
    .filter((e) => e.revision > 1)
    .map((e) => `${e.revision} ${e.by}: ${e.calls.map((c) => c.op).join(' ')}`);
}

/** Of a subnet of its own. */
function lbOf(n: number, parts: object = {}): Lb {
  const net = `10.3.${n}`;
  return {
    ...lb(`lb${n}.room1`),
    routerid: `${net}.2`,
    internalip: `${net}.2`,
    internalgateway: `${net}.1`,
    internalnetmask: '255.255.255.224',
    ospfnet: `${net}.0/27`,
    ...parts,
  };
}

function portOf(sport: number, parts: Partial<Port> = {}): Port {
  return { sport, dport: sport, synproxy: 1, persistence_timeout: 50, ...parts };
}

const another = {
  name: 'another',
  type: 'internal',
  device: 'em1',
  vipnets: ['10.2.0.0/16'],
  lbinfos: [lbOf(7)],
  vip2ws: [{ vip: '10.2.0.1', wstype: 'apps', wss: ['ws1.room1'] }],
};

describe('clusters', () => {
  test('are created with the ports that were left out, and the LIPs of the original', async () => {
    expect(await say('POST /', another)).toBe(success('cluster has been added successfully'));
    expect(document('another')).toEqual({
      ...another,
      lbinfos: [lbOf(7, { lips: ['10.3.7.3-30'] })],
      vip2ws: [{ ...another.vip2ws[0], ports: [portOf(80), portOf(443)] }],
    });
  });

  test('are read with the documented fields only', async () => {
    await operate(
      { op: 'cluster.set', input: { set: { linkspeed: '10g', dataplane: 'ipvs', idc: 'room1' } } },
      { op: 'vip.set', input: { vip: VIP, set: { owner: 'me', wsattrs: { 'ws1.room1': { weight: 3 } } } } },
      { op: 'lb.set', input: { lb: 'lb1.room1', set: { lipcount: 4 } } },
      {
        op: 'port.add',
        input: { vip: VIP, ports: [portOf(53, { synproxy: 0, persistence_timeout: 0, protocol: 'UDP' })] },
      },
    );
    const { name, type, device, vipnets, vip2ws } = cluster('c');
    const { hostname, routerid, internalip, internalnetmask, internalgateway, ospfnet } = lb('lb1.room1');
    const lbinfos = [{ hostname, routerid, internalip, internalnetmask, internalgateway, ospfnet }];
    const reply = await api.call('GET /c');
    expect(reply.json()).toEqual({ status: 'success', message: { name, type, device, vipnets, lbinfos, vip2ws } });
    expect((await api.call('GET /')).json()).toEqual({
      status: 'success',
      message: [reply.json<{ message: object }>().message],
    });
  });

  test('that are there, are refused', async () => {
    expect(await say('POST /', { ...another, name: 'c' })).toMatch(
      `${failed('cluster added failed')}: cluster.name: cluster c exists`,
    );
    expect(await say('POST /', { ...another, vipnets: ['10.1.0.0/16'], vip2ws: [vip(VIP)] })).toContain(
      'belongs to cluster c already',
    );
  });

  test('are deleted, and nothing is pushed', async () => {
    const reply = await api.call('DELETE /c', { query: { cfg_push: 'True' } });
    expect(told(reply)).toBe(success('cluster has been deleted successfully'));
    expect(reply.headers['weir-revision']).toBe('2');
    expect(api.jobs.state.get('c')).toBeUndefined();
    expect(api.jobs.sessions).toEqual([]);
    expect(await say('DELETE /c')).toMatch(failed('cluster deleted failed'));
  });

  test('that are not there, are a failure of every call', async () => {
    expect(told(await api.call('GET /x'))).toBe(`${failed('cluster read failed')}: there is no cluster x`);
    const form = { vip: VIP, vip2ws: [vip(VIP)], vips: [VIP], lbinfos: [lbOf(7)], lbs: ['l'], ports: [portOf(80)] };
    const all = { ...form, sports: [80], sport: '80', port: { dport: 81 }, wstype: 'x', name: 'x' };
    for (const { method, path } of Object.values(originalRoutes)) {
      if (method === 'GET' || path === '/lvs/') continue;
      expect(await say(`${method} ${path.slice(4).replace(':cluster', 'x')}`, all)).toMatch(/ failed"}: .*cluster/);
    }
    expect(await say('POST /x/vips', { vip2ws: [] })).toMatch(failed('vip added failed'));
    expect(api.jobs.state.list().map((c) => c.name)).toEqual(['c']);
  });

  test('of both APIs are seen in both, and their names listed', async () => {
    await say('POST /', another);
    expect((await api.call('GET /vips')).body).toBe('["10.2.0.1","10.1.0.1"]');
    expect((await api.call('GET /lbs/')).body).toBe('["lb7.room1","lb1.room1"]');
    await operate({ op: 'vip.add', input: { vips: [vip('10.1.0.2')] } });
    expect((await api.call('GET /vips')).json()).toContain('10.1.0.2');
    expect((await api.send('GET', '/clusters/another')).json()).toMatchObject({ name: 'another' });
  });
});

describe('VIPs', () => {
  test('are added and deleted, all or none', async () => {
    const [two, three] = ['10.1.0.2', '10.1.0.3'];
    expect(await say('POST /c/vips', { vip2ws: [vip(two), vip(three)] })).toBe(
      success('vip has been added successfully'),
    );
    expect(await say('POST /c/vips', { vip2ws: [vip('10.1.0.4'), vip(two)] })).toMatch(failed('vip added failed'));
    expect(await say('POST /c/vips', { vip2ws: [vip('10.1.0.4'), vip('10.1.0.4')] })).toMatch(
      failed('vip added failed'),
    );
    expect(await say('DELETE /c/vips', { vips: [two, '10.1.0.4'] })).toMatch(failed('vip deleted failed'));
    expect(document().vip2ws.map((v) => v.vip)).toEqual([VIP, two, three]);
    expect(await say('DELETE /c/vips', { vips: [two, two, VIP] })).toBe(success('vip has been deleted successfully'));
    expect(document().vip2ws).toEqual([vip(three)]);
    expect(await history()).toEqual(['3 admin: vip.remove', '2 admin: vip.add']);
  });

  test('change their wstype', async () => {
    const said = () => say('PATCH /c/wstype', { vip: VIP, wstype: ' search ' });
    expect(await said()).toBe(success('wstype has been modified successfully'));
    expect(await said()).toBe(success('wstype has been modified successfully'));
    expect(firstVip()).toEqual(vip(VIP, { wstype: 'search' }));
    expect(await say('PATCH /c/wstype', { vip: '10.1.0.9', wstype: 'x' })).toMatch(failed('wstype modified failed'));
    expect(await say('PATCH /c/wstype', { vip: VIP, wstype: 'a b' })).toMatch(failed('wstype modified failed'));
    expect(await history()).toEqual(['2 admin: vip.set']);
  });
});

describe('LBs', () => {
  test('are added with the LIPs of the original', async () => {
    expect(await say('POST /c/lbs', { lbinfos: [lbOf(2), lbOf(3)] })).toBe(success('lb has been added successfully'));
    expect(document().lbinfos).toEqual([
      lb('lb1.room1'),
      lbOf(2, { lips: ['10.3.2.3-30'] }),
      lbOf(3, { lips: ['10.3.3.3-30'] }),
    ]);
    expect(await say('POST /c/lbs', { lbinfos: [lbOf(4), lbOf(2)] })).toMatch(failed('lb added failed'));
    expect(await say('DELETE /c/lbs', { lbs: ['lb2.room1', 'lb4.room1'] })).toMatch(failed('lb deleted failed'));
    expect(await say('DELETE /c/lbs', { lbs: ['lb2.room1', 'lb1.room1'] })).toBe(
      success('lb has been deleted successfully'),
    );
    expect(document().lbinfos.map((l) => l.hostname)).toEqual(['lb3.room1']);
    expect(await history()).toEqual(['3 admin: lb.remove', '2 admin: lb.add']);
  });

  test('of one subnet get LIPs of their own', async () => {
    const [one, two] = [lbOf(2), lbOf(2, { hostname: 'lb3.room1', routerid: '10.3.2.9', internalip: '10.3.2.9' })];
    expect(await say('POST /c/lbs', { lbinfos: [one, two] })).toMatch(/success/);
    const { lbs } = api.jobs.state.get('c')!.lips;
    expect(new Set([...lbs['lb2.room1']!, ...lbs['lb3.room1']!]).size).toBe(16);
    expect(document().lbinfos.slice(1)).toEqual([one, two]);
  });

  test('take what scripts of the original send: numbers as text, an empty external side', async () => {
    const extra = { extraip: '', extranetmask: null, extragateway: '' };
    expect(await say('POST /c/lbs', { lbinfos: [{ ...lbOf(2), ...extra }] })).toMatch(/success/);
    expect(document().lbinfos[1]).toEqual(lbOf(2, { lips: ['10.3.2.3-30'] }));
    const ports = [{ sport: '8080', dport: '80' }];
    expect(await say('POST /c/vips', { vip2ws: [{ vip: '10.1.0.2', wstype: 'x', wss: [], ports }] })).toMatch(
      /success/,
    );
    expect(document().vip2ws[1]?.ports).toEqual([portOf(8080, { dport: 80 })]);
  });
});

describe('WSs', () => {
  test('are added as a union, over several VIPs in one revision', async () => {
    await operate({ op: 'vip.add', input: { vips: [vip('10.1.0.2')] } });
    const vip2ws = [
      { vip: VIP, wss: ['ws1.room1', 'ws3.room1', 'ws3.room1'] },
      { vip: '10.1.0.2', wss: ['ws4.room1'] },
      { vip: VIP, wss: ['ws5.room1', 'ws3.room1'] },
    ];
    for (const _ of [1, 2])
      expect(await say('POST /c/wss', { vip2ws })).toBe(success('ws has been added successfully'));
    expect(document().vip2ws.map((v) => v.wss)).toEqual([
      ['ws1.room1', 'ws2.room1', 'ws3.room1', 'ws5.room1'],
      ['ws1.room1', 'ws2.room1', 'ws4.room1'],
    ]);
    expect(await history()).toEqual(['3 admin: ws.add ws.add', '2 test: vip.add']);
  });

  test('are deleted where they are there', async () => {
    const vip2ws = [{ vip: VIP, wss: ['ws1.room1', 'ws9.room1', 'ws1.room1'] }];
    for (const _ of [1, 2]) {
      expect(await say('DELETE /c/wss', { vip2ws })).toBe(success('ws has been deleted successfully'));
    }
    expect(firstVip().wss).toEqual(['ws2.room1']);
    expect(await history()).toEqual(['2 admin: ws.remove']);
  });

  test('of a VIP that is not there are a failure, whatever the list says', async () => {
    for (const wss of [['ws1.room1'], []]) {
      const vip2ws = [
        { vip: VIP, wss: ['ws7.room1'] },
        { vip: '10.1.0.9', wss },
      ];
      expect(await say('POST /c/wss', { vip2ws })).toMatch(failed('ws added failed'));
      expect(await say('DELETE /c/wss', { vip2ws })).toMatch(failed('ws deleted failed'));
    }
    expect(firstVip()).toEqual(vip(VIP));
  });

  test('are taken from whole entries of VIPs too, and nothing else of them is changed', async () => {
    const vip2ws = [vip(VIP, { wstype: 'other', wss: ['ws3.room1'], ports: [portOf(8080)] })];
    expect(await say('POST /c/wss', { vip2ws })).toMatch(/success/);
    expect(firstVip()).toEqual(vip(VIP, { wss: ['ws1.room1', 'ws2.room1', 'ws3.room1'] }));
    expect(await say('POST /c/wss', { vip2ws: [{ vip: VIP, wss: ['ws4.room1'], wsz: 1 }] })).toContain('did you mean');
  });

  test.each([
    ['POST', 'ws.add', ['ws1.room1', 'ws2.room1', 'ws3.room1', 'ws4.room1']],
    ['DELETE', 'ws.remove', ['ws2.room1']],
  ] as const)('end as they should although another is faster: %s', async (method, op, wss) => {
    await api.close();
    const names = method === 'POST' ? ['ws3.room1', 'ws4.room1'] : ['ws1.room1', 'ws4.room1'];
    const calls = [{ op, input: { vip: VIP, wss: method === 'POST' ? [{ ws: 'ws3.room1' }] : ['ws1.room1'] } }];
    let first = true;
    api = await openOriginal({
      state: (real) => ({
        ...real,
        async change(request) {
          if (first) await real.change({ cluster: 'c', calls, by: 'rival' });
          first = false;
          return real.change(request);
        },
      }),
    });
    if (method === 'DELETE') await operate({ op: 'ws.add', input: { vip: VIP, wss: [{ ws: 'ws4.room1' }] } });
    const vip2ws = [{ vip: VIP, wss: names }];
    expect(await say(`${method} /c/wss`, { vip2ws })).toMatch(/^200 .*"success"/);
    expect(firstVip().wss).toEqual(wss);
    expect((await history()).slice(0, 2)).toEqual([
      expect.stringContaining(`admin: ${op}`),
      expect.stringContaining('rival'),
    ]);
  });

  test('are the union of what many scripts want at once', async () => {
    const wss = Array.from({ length: 9 }, (_, i) => `ws${i + 1}.room1`);
    const adds = wss.map((ws) => say('POST /c/wss', { vip2ws: [{ vip: VIP, wss: [ws, 'ws9.room1'] }] }));
    expect(new Set(await Promise.all(adds))).toEqual(new Set([success('ws has been added successfully')]));
    expect(firstVip().wss.toSorted()).toEqual(wss);
  });
});

describe('ports', () => {
  test('are added with their defaults, all or none', async () => {
    const add = (...ports: object[]) => say('POST /c/ports', { vip: VIP, ports });
    expect(await add({ sport: 443, dport: 443 }, portOf(8080, { dport: 80, synproxy: 0 }))).toBe(
      success('port has been added successfully'),
    );
    expect(await add({ sport: 81, dport: 81 }, { sport: 443, dport: 80 })).toMatch(failed('port added failed'));
    expect(firstVip().ports).toEqual([portOf(80), portOf(443), portOf(8080, { dport: 80, synproxy: 0 })]);
    expect(await say('POST /c/ports', { vip: '10.1.0.9', ports: [] })).toMatch(failed('port added failed'));
    expect(await history()).toEqual(['2 admin: port.add']);
  });

  test('are deleted by sport, all or none, but never the last', async () => {
    await operate({ op: 'port.add', input: { vip: VIP, ports: [portOf(81), portOf(82)] } });
    expect(await say('DELETE /c/ports', { vip: VIP, sports: [81, 83] })).toMatch(failed('port deleted failed'));
    expect(await say('DELETE /c/ports', { vip: VIP, sports: [81, 80, 81] })).toBe(
      success('port has been deleted successfully'),
    );
    expect(await say('DELETE /c/ports', { vip: VIP, sports: [82] })).toMatch(/would have no port left/);
    expect(firstVip().ports).toEqual([portOf(82)]);
  });

  test('are changed field by field, also to another sport if it is free', async () => {
    const set = (sport: number, port: object) => say('PATCH /c/ports', { vip: VIP, sport, port });
    expect(await set(80, { dport: 8080, persistence_timeout: 0 })).toBe(success('port has been modified successfully'));
    expect(firstVip().ports).toEqual([portOf(80, { dport: 8080, persistence_timeout: 0 })]);
    await say('POST /c/ports', { vip: VIP, ports: [portOf(81)] });
    expect(await set(81, { sport: 80 })).toMatch(failed('port modified failed'));
    expect(await set(82, { dport: 80 })).toMatch(failed('port modified failed'));
    expect(await set(81, { sport: '82', dport: '83' })).toMatch(/success/);
    expect(firstVip().ports).toEqual([portOf(80, { dport: 8080, persistence_timeout: 0 }), portOf(82, { dport: 83 })]);
  });

  test('of UDP are left alone', async () => {
    const udp = portOf(80, { synproxy: 0, persistence_timeout: 0, protocol: 'UDP' });
    await operate(
      { op: 'cluster.set', input: { set: { dataplane: 'ipvs' } } },
      { op: 'port.add', input: { vip: VIP, ports: [udp, portOf(81)] } },
    );
    expect(await say('PATCH /c/ports', { vip: VIP, sport: 80, port: { dport: 8080 } })).toMatch(/success/);
    expect(await say('DELETE /c/ports', { vip: VIP, sports: [80] })).toMatch(/success/);
    expect(firstVip().ports).toEqual([udp, portOf(81)]);
    expect(await say('PATCH /c/ports', { vip: VIP, sport: 81, port: { protocol: 'UDP' } })).toMatch(/unknown field/);
    expect(await say('POST /c/ports', { vip: VIP, ports: [{ ...udp, sport: 82 }] })).toMatch(/unknown field/);
  });
});

test('a change that leaves nothing to do makes no revision', async () => {
  const nothing = [
    ['POST /c/vips', { vip2ws: [] }],
    ['DELETE /c/vips', { vips: [] }],
    ['POST /c/lbs', { lbinfos: [] }],
    ['DELETE /c/lbs', { lbs: [] }],
    ['POST /c/wss', { vip2ws: [{ vip: VIP, wss: [] }] }],
    ['DELETE /c/wss', { vip2ws: [{ vip: VIP, wss: ['ws9.room1'] }] }],
    ['POST /c/ports', { vip: VIP, ports: [] }],
    ['DELETE /c/ports', { vip: VIP, sports: [] }],
  ] as const;
  for (const [what, form] of nothing) {
    const reply = await api.call(what, { form: { ...noPush, ...form } });
    expect(reply.json()).toMatchObject({ status: 'success' });
    expect(reply.headers['weir-revision']).toBe('1');
  }
  expect(await history()).toEqual([]);
});

test('answers have the content type of the original, and tell the revision', async () => {
  const replies = [
    await api.call('GET /c'),
    await api.call('GET /vips'),
    await api.call('PATCH /c/wstype', { form: { ...noPush, vip: VIP, wstype: 'x' } }),
    await api.call('PATCH /c/wstype', { form: { ...noPush, vip: VIP, wstype: 'x y' } }),
  ];
  expect(replies.map((r) => r.headers['content-type'])).toEqual(replies.map(() => 'application/json; charset=UTF-8'));
  expect(replies.map((r) => r.headers['weir-revision'])).toEqual(['1', undefined, '2', '2']);
});

test.each(['sync', 'change'] as const)(
  'a store that is down at %s is no failure, but a fault to try again',
  async (step) => {
    await api.close();
    const down = () => Promise.reject(new WeirError('store', 'store DB: disk I/O error', { hint: 'check the disk' }));
    api = await openOriginal({ state: (real) => ({ ...real, [step]: down }) });
    const reply = await api.call('PATCH /c/wstype', { form: { vip: VIP, wstype: 'x' } });
    expect(reply.statusCode).toBe(503);
    expect(reply.headers).toMatchObject({
      'content-type': expect.stringContaining('application/problem+json'),
      'retry-after': '5',
    });
    expect(reply.json()).toMatchObject({ code: 'store' });
    expect(api.jobs.sessions).toEqual([]);
  },
);

test('what fails is logged with its reason', async () => {
  expect(await say('DELETE /c/vips', { vips: ['10.1.0.9'] })).toMatch(/there is no VIP/);
  expect(api.logged.map(({ msg, by, cluster: name, details }) => ({ msg, by, name, details }))).toEqual([
    {
      msg: 'DELETE /lvs/:cluster/vips failed',
      by: 'admin',
      name: 'c',
      details: [expect.stringContaining('there is no VIP "10.1.0.9" in c')],
    },
  ]);
});
