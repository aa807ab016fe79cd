/** The two OSPF keys of a document, on every store: what is written, what can be read, and what is refused. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Cluster } from '../domain/edge/model.ts';
import { WeirError } from '../domain/errors.ts';
import type { Store } from './port.ts';
import { openRedisStore } from './redis/redis-store.ts';
import { hasRedis, startRedis } from './redis/testing.ts';
import type { RedisServer } from './redis/testing.ts';
import { openSqliteStore } from './sqlite/sqlite-store.ts';
import { openState } from './state.ts';
import type { State } from './state.ts';
import { cluster } from './testing.ts';

let redis: RedisServer | undefined;
let store: Store;
let ids = 0;
const open: { close(): unknown }[] = [];

beforeAll(async () => {
  if (hasRedis) redis = await startRedis();
});
afterAll(() => redis?.close());
afterEach(async () => {
  for (const one of open.splice(0).toReversed()) await one.close();
});

async function fresh(kind: 'sqlite' | 'redis'): Promise<State> {
  if (kind === 'redis') await redis?.client.select(0).then(() => redis?.client.flushdb());
  store =
    kind === 'sqlite'
      ? openSqliteStore(':memory:', { keepRevisions: 100 })
      : await openRedisStore(`redis://127.0.0.1:${redis?.port}/0`, { keepRevisions: 100 });
  open.push(store);
  return another();
}

/** Another process on the same store. */
async function another(inService: readonly string[] = []): Promise<State> {
  const state = await openState(store, {
    inService: () => Promise.resolve(new Map(inService.map((lb) => [lb, undefined]))),
    now: () => new Date(),
    randomId: () => `x${++ids}`,
    onError(message, thrown) {
      throw new Error(message, { cause: thrown });
    },
  });
  open.push(state);
  return state;
}

function change(state: State, op: string, input: object) {
  return state.change({ cluster: 'a', calls: [{ op, input }], by: 'tester' });
}

const create = (state: State, ospf: object) => change(state, 'cluster.create', { cluster: cluster('a', { ospf }) });
const set = (state: State, ospf: object) => change(state, 'cluster.set', { set: { ospf } });

function ospfOf(state: State): NonNullable<Cluster['ospf']> {
  return state.get('a')?.cluster.ospf ?? {};
}

function valueOf(state: State, field: 'key' | 'oldkey'): string | undefined {
  return state.secret(ospfOf(state)[field]?.replace(/^secret:/, '') ?? '');
}

async function refusal(work: Promise<unknown>): Promise<string[]> {
  const thrown: unknown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(thrown instanceof WeirError)) throw new Error('it was not refused', { cause: thrown });
  expect(JSON.stringify(thrown.problems)).not.toMatch(/Secret1|Secret2/);
  return thrown.problems.map((p) => `${p.path} ${p.code}`);
}

async function secretValues(): Promise<string[]> {
  return (await store.records('secret')).map((record) => String(record.value)).sort();
}

const both = { key: 'Secret2', keyid: 9, oldkey: 'Secret1', oldkeyid: 8 };

describe.each(hasRedis ? (['sqlite', 'redis'] as const) : (['sqlite'] as const))('two keys (%s)', (kind) => {
  test('are stored apart, and are references everywhere else', async () => {
    const state = await fresh(kind);
    await create(state, both);
    const { key, oldkey } = ospfOf(state);
    for (const reference of [key, oldkey]) expect(reference).toMatch(/^secret:ospf-a-x\d+$/);
    expect(key).not.toBe(oldkey);
    expect([valueOf(state, 'key'), valueOf(state, 'oldkey')]).toEqual(['Secret2', 'Secret1']);
    const entries = await store.history({ kind: 'cluster', name: 'a' }, { limit: 10 });
    expect(JSON.stringify([entries, await store.load()])).not.toMatch(/Secret[12]/);
    expect(await secretValues()).toEqual(['Secret1', 'Secret2']);
  });

  test('are the same secrets when they are given again, in each other’s place too', async () => {
    const state = await fresh(kind);
    await create(state, both);
    const references = ospfOf(state);
    expect(await set(state, both)).toMatchObject({ changed: false });
    expect(await change(state, 'cluster.replace', { cluster: cluster('a', { ospf: both }) })).toMatchObject({
      changed: false,
    });
    await set(state, { key: 'Secret1', keyid: 8, oldkey: null, oldkeyid: null });
    expect(ospfOf(state)).toEqual({ key: references.oldkey, keyid: 8 });
    expect(await secretValues()).toEqual(['Secret1', 'Secret2']);
  });

  test('move: what key was is given to oldkey by its reference, with a new key beside it', async () => {
    const state = await fresh(kind);
    await create(state, { key: 'Secret1' });
    const old = ospfOf(state).key ?? '';
    const { warnings } = await set(state, { key: 'Secret2', keyid: 9, oldkey: old, oldkeyid: 8 });
    expect(warnings.map((w) => w.code)).not.toContain('ospf_key_replaced');
    expect(ospfOf(state)).toMatchObject({ keyid: 9, oldkey: old, oldkeyid: 8 });
    expect([valueOf(state, 'key'), valueOf(state, 'oldkey')]).toEqual(['Secret2', 'Secret1']);
    await set(state, { oldkey: null, oldkeyid: null });
    expect(Object.keys(ospfOf(state)).sort()).toEqual(['key', 'keyid']);
    expect(valueOf(state, 'key')).toBe('Secret2');
  });

  test('are known to another process, whose document refers to them', async () => {
    const state = await fresh(kind);
    await create(state, both);
    const other = await another();
    expect([valueOf(other, 'key'), valueOf(other, 'oldkey')]).toEqual(['Secret2', 'Secret1']);
    await set(state, { key: 'Secret3', keyid: 10, oldkey: 'Secret4', oldkeyid: 11 });
    await other.sync();
    await other.learnSecret('a');
    expect([valueOf(other, 'key'), valueOf(other, 'oldkey')]).toEqual(['Secret3', 'Secret4']);
  });

  test('that are none are refused at their place, without being said', async () => {
    const state = await fresh(kind);
    await create(state, { key: 'Secret1' });
    expect(await refusal(set(state, { oldkey: 'Secret1 with a space', oldkeyid: 9 }))).toEqual([
      'set.ospf.oldkey bad_ospf_key',
    ]);
    expect(await refusal(set(state, { oldkey: 'secret:none', oldkeyid: 9 }))).toEqual([
      'set.ospf.oldkey unknown_secret',
    ]);
    const twice = { ospf: { key: 'Secret1 and too long', oldkey: 'secret:none', oldkeyid: 9 } };
    expect(await refusal(change(state, 'cluster.replace', { cluster: cluster('a', twice) }))).toEqual([
      'ospf.key bad_ospf_key',
      'ospf.oldkey unknown_secret',
    ]);
    expect(await refusal(set(state, { oldkey: ['Secret1'], oldkeyid: 9 }))).toEqual(['set.ospf.oldkey wrong_type']);
    expect(await secretValues()).toEqual(['Secret1']);
  });
});

describe('a change', () => {
  test('that replaces the key warns, and is made', async () => {
    const state = await fresh('sqlite');
    await create(state, { key: 'Secret1' });
    expect(await set(state, { key: 'Secret2' })).toMatchObject({
      changed: true,
      warnings: expect.arrayContaining([expect.objectContaining({ path: 'ospf.key', code: 'ospf_key_replaced' })]),
    });
  });

  test('that mixes ways to announce is refused, within a cluster and between clusters', async () => {
    await fresh('sqlite');
    const state = await another(['lb1.room1', 'lb2.room1']);
    const [first] = cluster('a').lbinfos;
    if (!first) throw new Error('there is no LB');
    const second = { ...first, hostname: 'lb2.room1', routerid: '10.0.0.2', internalip: '10.0.0.2' };
    await change(state, 'cluster.create', { cluster: cluster('a', { lbinfos: [first, second] }) });
    const mixed = ['ospf.announce ospf_style_mixed'];
    expect(await refusal(set(state, { announce: 'redistribute' }))).toEqual(mixed);
    await change(state, 'lb.set', { lb: 'lb2.room1', set: { state: 'drain' } });
    await set(state, { announce: 'redistribute' });
    const third = { ...first, hostname: 'lb3.room1', routerid: '10.0.0.3', internalip: '10.0.0.3' };
    const other = (parts: Partial<Cluster>) =>
      state.change({
        cluster: 'b',
        calls: [
          { op: 'cluster.replace', input: { cluster: cluster('b', { lbinfos: [third], vip2ws: [], ...parts }) } },
        ],
        by: 'tester',
      });
    expect(await refusal(other({}))).toEqual(mixed);
    await other({ ospf: { area: '0.0.0.7' } });
    expect(await refusal(other({}))).toEqual(mixed);
    await other({ vipnets: ['10.2.0.0/16'] });
    expect(await refusal(other({ vipnets: ['10.1.9.0/24'] }))).toEqual(mixed);
    expect(await other({ vipnets: ['10.1.9.0/24'], ospf: { announce: 'redistribute' } })).toMatchObject({
      changed: true,
    });
    // What is not about them is not held against what is there.
    expect(await set(state, { cost: 30 })).toMatchObject({ changed: true });
  });
});
