/** The original beside Weir on one Redis: it reads the mirrors, and what it writes to them is merged or told. */
import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ConflictView, HistoryRow } from '../src/contract/schemas.ts';
import type { Cluster } from '../src/domain/edge/model.ts';
import { recordOf } from '../src/adopt/original/record.ts';
import { openRedisStore } from '../src/store/redis/redis-store.ts';
import { openState } from '../src/store/state.ts';
import { hasRedis, startRedis } from '../src/store/redis/testing.ts';
import type { RedisServer } from '../src/store/redis/testing.ts';
import { clusterOf, portOf, vipOf } from './fixtures.ts';
import { startTestServer } from './harness.ts';
import type { TestServer } from './harness.ts';
import { wholeHistory } from './testing/weirs.ts';

const name = 'cluster-1';
const key = `cluster:${name}`;
const path = `/clusters/${name}`;

/** What the original's reader makes of a record: each field but the plain ones is evaluated as Python. */
const READER = `
import ast, json, sys
record = json.load(sys.stdin)
for field in ('lbinfos', 'vip2ws', 'vipnets'):
    record[field] = ast.literal_eval(record[field])
json.dump(record, sys.stdout)
`;

describe.skipIf(!hasRedis)('the original as a neighbour', { timeout: 60_000 }, () => {
  let redis: RedisServer;
  let servers: TestServer[];
  let server: TestServer;

  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis?.close());

  beforeEach(async () => {
    await redis.client.flushall();
    const settings = { store: redis.url };
    servers = await Promise.all([startTestServer({ settings }), startTestServer({ settings })]);
    [server] = servers as [TestServer];
    await change('POST', '/clusters', clusterOf(1, { vip2ws: [1, 2, 3].map((i) => vipOf(1, i)) }));
    return () => Promise.all(servers.map((one) => one.close()));
  });

  const change = (method: 'POST' | 'PATCH' | 'DELETE', where: string, body?: unknown) =>
    server.client.call(where, { method, ...(body === undefined ? {} : { body }) });
  const document = async () => (await server.client.call<Cluster>(path)).data;
  const conflicts = async () => (await server.client.call<{ items: ConflictView[] }>('/conflicts')).data.items;
  const history = () => wholeHistory(server, name);
  const vipOwn = async (i: number) => (await document()).vip2ws.find(({ vip }) => vip === vipOf(1, i).vip);

  async function mirror(): Promise<{ vip2ws: Cluster['vip2ws']; lbinfos: Cluster['lbinfos']; vipnets: string[] }> {
    const record = await redis.client.hgetall(key);
    return JSON.parse(execFileSync('python3', ['-c', READER], { input: JSON.stringify(record), encoding: 'utf8' })) as {
      vip2ws: Cluster['vip2ws'];
      lbinfos: Cluster['lbinfos'];
      vipnets: string[];
    };
  }

  /** As Python 2 prints it. */
  function python(value: unknown): string {
    if (Array.isArray(value)) return `[${value.map(python).join(', ')}]`;
    if (typeof value === 'string') return `u'${value}'`;
    if (typeof value !== 'object' || value === null) return String(value);
    const items = Object.entries(value).map(([field, of]) => `'${field}': ${python(of)}`);
    return `{${items.join(', ')}}`;
  }

  /** The original reads all, changes it, and writes all back. */
  async function originalWrites(edit: (vips: Cluster['vip2ws']) => Cluster['vip2ws']): Promise<void> {
    const { vip2ws, lbinfos, vipnets } = await mirror();
    await redis.client.hset(key, {
      type: 'internal',
      device: 'em1',
      lbinfos: python(lbinfos),
      vip2ws: python(edit(vip2ws)),
      vipnets: python(vipnets),
    });
  }

  const revised = (vips: Cluster['vip2ws'], i: number, parts: object) =>
    vips.map((vip) => (vip.vip === vipOf(1, i).vip ? { ...vip, ...parts } : vip));

  async function byExternal(times: number): Promise<HistoryRow[]> {
    await expect
      .poll(async () => (await history()).filter((row) => row.by === 'external').length, { timeout: 10_000 })
      .toBe(times);
    return history();
  }

  test('reads what every change made, with the documented fields only', async () => {
    await change('POST', `${path}/vips/${vipOf(1, 1).vip}/wss`, { ws: 'ngx9.room1', weight: 50 });
    await change('PATCH', `${path}/vips/${vipOf(1, 1).vip}`, { owner: 'someone', quorum: 2 });
    const read = await mirror();
    expect(read.vip2ws[0]).toEqual({
      vip: vipOf(1, 1).vip,
      wstype: 'apps',
      wss: ['ngx1.room1', 'ngx2.room1', 'ngx9.room1'],
      ports: [80, 443].map((port) => portOf(port)),
    });
    expect(Object.keys(await redis.client.hgetall(key)).sort()).toEqual([
      'device',
      'lbinfos',
      'type',
      'vip2ws',
      'vipnets',
    ]);
    await change('DELETE', path);
    expect(await redis.client.exists(key)).toBe(0);
  });

  test('a valid write becomes one revision by external, keeps Weir’s own fields, and both Weirs have it', async () => {
    await change('PATCH', `${path}/vips/${vipOf(1, 1).vip}`, { owner: 'someone' });
    await originalWrites((vips) => revised(vips, 1, { wstype: 'search', wss: ['ngx7.room1'] }));
    await byExternal(1);
    expect(await vipOwn(1)).toMatchObject({ wstype: 'search', wss: ['ngx7.room1'], owner: 'someone' });
    const least = { 'weir-at-least': String((await history()).length) };
    const [one, two] = await Promise.all(servers.map((s) => s.client.call<Cluster>(path, { headers: least })));
    expect(one?.data).toEqual(two?.data);
    expect(await conflicts()).toEqual([]);
    expect((await mirror()).vip2ws[0]).toMatchObject({ wstype: 'search', wss: ['ngx7.room1'] });
  });

  test('a VIP that it adds or removes is added and removed; several writes in a row all count', async () => {
    await originalWrites((vips) => [...vips, vipOf(1, 9)]);
    await originalWrites((vips) => vips.filter((vip) => vip.vip !== vipOf(1, 2).vip));
    await originalWrites((vips) => revised(vips, 9, { wstype: 'last' }));
    await expect.poll(async () => (await vipOwn(9))?.wstype, { timeout: 10_000 }).toBe('last');
    expect((await document()).vip2ws.map(({ vip }) => vip)).toEqual([1, 3, 9].map((i) => vipOf(1, i).vip));
    expect(await conflicts()).toEqual([]);
  });

  /** The original writes from what it read before our change, and Weir sees it after that. */
  async function crossing(foreign: (vips: Cluster['vip2ws']) => Cluster['vip2ws'], ours: object): Promise<void> {
    await Promise.all(servers.splice(0).map((one) => one.close()));
    await originalWrites(foreign);
    const store = await openRedisStore(redis.url, { mirrorOf: (cluster) => recordOf(cluster as Cluster) });
    const state = await openState(store, { now: () => new Date(), randomId: () => 'id', onError: () => undefined });
    const input = { vip: vipOf(1, 1).vip, set: ours };
    await state.change({ cluster: name, calls: [{ op: 'vip.set', input }], by: 'us' });
    state.close();
    await store.close();
    server = await startTestServer({ settings: { store: redis.url } });
    servers.push(server);
  }

  test('one that crosses a change of ours is merged where they touch different VIPs', async () => {
    await crossing((vips) => revised(vips, 3, { wstype: 'theirs' }), { wstype: 'ours' });
    expect((await byExternal(1)).map((row) => row.by)).toEqual(['admin', 'us', 'external']);
    expect((await document()).vip2ws.map((vip) => vip.wstype)).toEqual(['ours', 'apps', 'theirs']);
    expect(await conflicts()).toEqual([]);
    expect((await mirror()).vip2ws.map((vip) => vip.wstype)).toEqual(['ours', 'apps', 'theirs']);
  });

  test('where both touch the same VIP ours stands, and both versions are told until somebody has dealt with it', async () => {
    await crossing((vips) => revised(vips, 1, { wstype: 'theirs' }), { wstype: 'ours' });
    await expect.poll(async () => (await conflicts()).length, { timeout: 10_000 }).toBe(1);
    const [conflict] = await conflicts();
    expect(conflict).toMatchObject({
      cluster: name,
      revision: 2,
      base: { vip2ws: [{ wstype: 'apps' }, {}, {}] },
      present: { vip2ws: [{ wstype: 'ours' }, {}, {}] },
      problems: [{ code: 'crossing', message: expect.stringContaining(vipOf(1, 1).vip) }],
    });
    expect(conflict?.foreign?.['vip2ws']).toContain("u'theirs'");
    expect((await history()).map((row) => row.by)).toEqual(['admin', 'us']);
    expect((await mirror()).vip2ws[0]?.wstype).toBe('ours');
    await change('DELETE', `/conflicts/${conflict?.id}`);
    expect(await conflicts()).toEqual([]);
  });

  test('a record from before its cluster was made here is no conflict where it says the same, and one where it does not', async () => {
    const record = await redis.client.hgetall(key);
    await redis.client.flushall();
    await Promise.all(servers.splice(0).map((one) => one.close()));
    await redis.client.hset(key, record);
    await redis.client.hset('cluster:cluster-2', record);
    server = await startTestServer({ settings: { store: redis.url } });
    servers.push(server);
    await change('POST', '/clusters', clusterOf(1, { vip2ws: [1, 2, 3].map((i) => vipOf(1, i)) }));
    await change('POST', '/clusters', clusterOf(2));
    await expect
      .poll(async () => (await conflicts()).map((c) => [c.cluster, c.problems[0]?.code]))
      .toEqual([['cluster-2', 'unknown_base']]);
    expect(await history()).toHaveLength(1);
    expect((await mirror()).vip2ws).toHaveLength(3);
  });

  test('both sides making the same change is none', async () => {
    await crossing((vips) => revised(vips, 1, { wstype: 'same' }), { wstype: 'same' });
    await change('PATCH', path, { idc: 'room2' });
    expect((await history()).map((row) => row.by)).toEqual(['admin', 'us', 'admin']);
    expect(await conflicts()).toEqual([]);
  });

  test('the same conflict written again and again is told once', async () => {
    const bad = "[{u'vip': u'10.9.9.9', 'wss': [], u'wstype': u'apps'}]";
    for (let n = 0; n < 3; n++) {
      await redis.client.hset(key, 'vip2ws', bad);
      await expect.poll(async () => (await mirror()).vip2ws.length, { timeout: 10_000 }).toBe(3);
    }
    expect(await conflicts()).toHaveLength(1);
    expect((await conflicts())[0]?.problems[0]).toMatchObject({ path: expect.stringContaining('vip2ws') });
  });

  test('what is no valid record is told with its problems, and the mirror is put right again', async () => {
    await redis.client.hset(key, 'vip2ws', "[{u'vip': u'10.9.9.9', 'ports': [], __import__('os')}]");
    await expect.poll(async () => (await conflicts()).length, { timeout: 10_000 }).toBe(1);
    const [conflict] = await conflicts();
    expect(conflict).toMatchObject({ cluster: name, revision: 1, present: { name }, base: { name } });
    expect(conflict?.foreign?.['vip2ws']).toContain('__import__');
    expect(conflict?.problems[0]).toMatchObject({ path: expect.stringContaining('vip2ws') });
    expect((await mirror()).vip2ws).toHaveLength(3);
    expect(await history()).toHaveLength(1);
    await change('DELETE', `/conflicts/${conflict?.id}`);
    expect(await conflicts()).toEqual([]);
    await expect(change('DELETE', `/conflicts/${conflict?.id}`)).rejects.toMatchObject({ code: 'not_found' });
  });

  test('a record that it removes removes the cluster; one that it makes is told as unknown', async () => {
    await redis.client.del(key);
    await expect
      .poll(
        () =>
          document()
            .then(() => 'there')
            .catch((thrown: { code: string }) => thrown.code),
        { timeout: 10_000 },
      )
      .toBe('not_found');
    await redis.client.hset('cluster:new-one', { type: 'internal', device: 'em1' });
    const { data } = await server.client.call<{ unknown: string[] }>('/conflicts');
    expect(data.unknown).toEqual(['new-one']);
  });
});
