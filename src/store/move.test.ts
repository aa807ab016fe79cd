import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Cluster } from '../domain/edge/model.ts';
import type { MoveStep } from '../domain/edge/moving.ts';
import { WeirError } from '../domain/errors.ts';
import type { MoveOutcome } from './move.ts';
import type { Store, StoreEvent } from './port.ts';
import { openRedisStore } from './redis/redis-store.ts';
import { hasRedis, startRedis } from './redis/testing.ts';
import type { RedisServer } from './redis/testing.ts';
import { openSqliteStore } from './sqlite/sqlite-store.ts';
import { openState } from './state.ts';
import type { State } from './state.ts';
import { cluster, lb, vip } from './testing.ts';

const address = '10.1.0.1';

function document(name: string, n: number, vips: Cluster['vip2ws'] = []): Cluster {
  const own = `10.0.${n}.1`;
  const net = { internalgateway: `10.0.${n}.254`, ospfnet: `10.0.${n}.0/24` };
  return cluster(name, {
    lbinfos: [{ ...lb(`lb1.room${n}`), routerid: own, internalip: own, ...net }],
    vip2ws: vips,
  });
}

interface Opened {
  /** Processes on one store; the embedded store has one process, and here two memories of it. */
  first: State;
  second: State;
  store: Store;
  /** Closes all and opens one anew on what is kept. */
  reopen(): Promise<{ state: State; store: Store }>;
  close(): Promise<void>;
}

const options = { now: () => new Date(), randomId: () => 'id', onError: () => undefined };

/** `wrap` stands between a process and its store. */
type Wrap = (store: Store) => Store;

async function opened(open: () => Promise<Store>, own: boolean, wrap: Wrap): Promise<Opened> {
  const store = await open();
  const shared = own ? await open() : store;
  const closing: { close(): unknown }[] = [];
  const stateOn = async (on: Store) => {
    const state = await openState(on, options);
    closing.push(state);
    return state;
  };
  const first = await stateOn(wrap({ ...store, shared: true }));
  const second = await stateOn({ ...shared, shared: true });
  const stores = new Set([store, shared]);
  const end = async () => {
    for (const one of closing.splice(0)) one.close();
    for (const one of stores) await one.close();
    stores.clear();
  };
  return {
    first,
    second,
    store,
    async reopen() {
      await end();
      const again = await open();
      stores.add(again);
      return { state: await stateOn(again), store: again };
    },
    close: end,
  };
}

let redis: RedisServer | undefined;
let folder: string;
beforeAll(async () => {
  if (hasRedis) redis = await startRedis();
});
afterAll(() => redis?.close());

const stores = [
  [
    'the embedded store',
    (wrap: Wrap) => opened(() => Promise.resolve(openSqliteStore(join(folder, 'weir.db'))), false, wrap),
  ],
  ['Redis', (wrap: Wrap) => opened(() => openRedisStore(redis?.url ?? ''), true, wrap)],
] as const;

describe.each(stores)('moving a VIP on %s', { timeout: 30_000 }, (name, openOn) => {
  let at: Opened;
  /** What the first process's store does instead of a commit. */
  let commit:
    | ((real: Store['commit'], ...args: Parameters<Store['commit']>) => ReturnType<Store['commit']>)
    | undefined;

  beforeEach(async (context) => {
    if (name === 'Redis' && !redis) context.skip();
    folder = mkdtempSync(join(tmpdir(), 'weir-move-'));
    await redis?.client.flushall();
    commit = undefined;
    at = await openOn((real) => ({
      ...real,
      commit: (c) => (commit ? commit((made) => real.commit(made), c) : real.commit(c)),
    }));
    const rest = vip('10.1.0.2');
    for (const one of [document('a', 1, [vip(address, { owner: 'team' }), rest]), document('b', 2), document('c', 3)]) {
      await at.first.change({
        cluster: one.name,
        calls: [{ op: 'cluster.create', input: { cluster: one } }],
        by: 'test',
      });
    }
    await at.second.sync();
  });
  afterEach(async () => {
    await at?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const move = (
    step: MoveStep,
    parts: { state?: State; from?: string; to?: string; expected?: number; dryRun?: boolean } = {},
  ) => {
    const { state = at.first, from = 'a', to = 'b', ...rest } = parts;
    return state.move({ vip: address, from, to, step, by: 'mover', message: 'why', ...rest });
  };
  const callAt = (state: State, on: string, call_: { op: string; input: object }) =>
    state.change({ cluster: on, calls: [call_], by: 'test' });
  const call = (on: string, op: string, input: object) => callAt(at.first, on, { op, input });
  const vipOf = (on: string, state = at.first) => state.get(on)?.cluster.vip2ws.find((v) => v.vip === address);
  const refusal = async (work: Promise<unknown>) => {
    const thrown: unknown = await work.catch((error: unknown) => error);
    if (!(thrown instanceof WeirError)) throw new Error(`not refused: ${JSON.stringify(thrown)}`);
    return [thrown.code, ...thrown.problems.map(({ path, code }) => `${path} ${code}`)];
  };
  const revisions = ({ from, to }: MoveOutcome) => [from, to].map(({ revision, changed }) => `${revision} ${changed}`);

  async function claims(): Promise<string[]> {
    const { claims: held } = await at.store.load();
    return held
      .filter(({ key }) => key.endsWith(`:${address}`))
      .map(({ key, cluster: by }) => `${key} ${by}`)
      .sort();
  }

  test('each step is one commit of both documents, told in both histories, and the claim goes over at the end', async () => {
    const heard: StoreEvent[] = [];
    at.second.onEvent((event) => heard.push(event));
    const was = vipOf('a');
    expect(await claims()).toEqual([`ip:${address} a`]);
    expect(revisions(await move('begin', { expected: 1 }))).toEqual(['2 true', '2 true']);
    expect([vipOf('a')?.moving, vipOf('b')]).toEqual([{ to: 'b' }, { ...was, moving: { from: 'a' } }]);
    expect(await claims()).toEqual([`ip:${address} a`, `moving:${address} b`]);
    expect(revisions(await move('withdraw'))).toEqual(['3 true', '2 false']);
    expect(revisions(await move('withdraw'))).toEqual(['3 false', '2 false']);
    expect(vipOf('a')).toEqual({ ...was, moving: { to: 'b' }, announce: 'none' });
    expect(revisions(await move('end', { expected: 3 }))).toEqual(['4 true', '3 true']);
    expect([vipOf('a'), vipOf('b')]).toEqual([undefined, was]);
    expect(await claims()).toEqual([`ip:${address} b`]);

    await at.second.sync();
    const told = heard.map((event) => event.changes.map((c) => [c.name, c.revision, ...c.calls.map(({ op }) => op)]));
    expect(told).toEqual([
      [
        ['a', 2, 'vip.move.begin'],
        ['b', 2, 'vip.move.begin'],
      ],
      [['a', 3, 'vip.move.withdraw']],
      [
        ['a', 4, 'vip.move.end'],
        ['b', 3, 'vip.move.end'],
      ],
    ]);
    const [last] = await at.store.history({ kind: 'cluster', name: 'b' }, { limit: 1 });
    const input = { vip: address, from: 'a' };
    expect(last).toMatchObject({ by: 'mover', message: 'why', calls: [{ op: 'vip.move.end', input }] });
    const [latest] = await at.store.history({ kind: 'cluster', name: 'a' }, { limit: 1 });
    expect(latest?.calls).toEqual([{ op: 'vip.move.end', input: { vip: address, to: 'b' } }]);
  });

  test('cancelled, it is as it was; history gives every document again, and so does a start on what is kept', async () => {
    const [a, b] = [at.first.get('a')?.cluster, at.first.get('b')?.cluster];
    await move('begin');
    const begun = [at.first.get('a')?.cluster, at.first.get('b')?.cluster];
    await move('withdraw');
    expect(revisions(await move('restore'))).toEqual(['4 true', '3 true']);
    expect(revisions(await move('cancel'))).toEqual(['5 true', '4 true']);
    expect(await claims()).toEqual([`ip:${address} a`]);
    await at.second.sync();
    expect([at.second.get('a')?.cluster, at.second.get('b')?.cluster]).toEqual([a, b]);
    const { state } = await at.reopen();
    expect([state.get('a')?.cluster, state.get('b')?.cluster]).toEqual([a, b]);
    expect([await state.documentAt('a', 2), await state.documentAt('b', 2)]).toEqual(begun);
    expect((await state.documentAt('a', 3)).vip2ws[0]).toMatchObject({ announce: 'none', moving: { to: 'b' } });
    expect(await state.documentAt('a', 1)).toEqual(a);
  });

  test('a dry run tells both revisions and makes none', async () => {
    expect(revisions(await move('begin', { dryRun: true }))).toEqual(['2 true', '2 true']);
    expect([at.first.get('a')?.revision, at.first.get('b')?.revision]).toEqual([1, 1]);
    expect(await claims()).toEqual([`ip:${address} a`]);
  });

  test('is refused where one of them is not there, is at another revision, or has no place for the VIP', async () => {
    expect(await refusal(move('begin', { to: 'nowhere' }))).toEqual(['not_found']);
    expect(await refusal(move('begin', { from: 'nowhere' }))).toEqual(['not_found']);
    expect(await refusal(move('begin', { expected: 7 }))).toEqual(['revision_mismatch']);
    expect(await refusal(move('begin', { from: 'b', to: 'a' }))).toEqual(['not_found', 'vip unknown_vip']);
    await call('b', 'cluster.set', { set: { vipnets: ['10.7.0.0/16'] } });
    expect(await refusal(move('begin'))).toEqual(['invalid', 'to.vip2ws[0].vip vip_outside_vipnets']);
    await expect(move('begin')).rejects.toMatchObject({
      problems: [{ hint: 'add its net to vipnets of cluster b first, or name another cluster' }],
    });
    expect([at.first.get('a')?.revision, at.first.get('b')?.revision]).toEqual([1, 2]);
  });

  test('nothing else may take what a step has set, and the document as it is may be put again', async () => {
    await move('begin');
    for (const on of ['a', 'b']) {
      const present = at.first.get(on)?.cluster as Cluster;
      const plain = { ...present, vip2ws: present.vip2ws.map(({ moving: _moving, ...rest }) => rest) };
      const first = await at.first.documentAt(on, 1);
      for (const [op, input, path] of [
        ['cluster.replace', { cluster: plain }, 'vip2ws[0].moving'],
        ['cluster.set', { set: { vip2ws: plain.vip2ws } }, 'vip2ws[0].moving'],
        ['vip.set', { vip: address, set: { moving: null } }, 'vip2ws[0].moving'],
        ['vip.set', { vip: address, set: { moving: { to: 'c' } } }, 'vip2ws[0].moving'],
        ['vip.remove', { vips: [address] }, 'vip2ws'],
        ['cluster.delete', {}, ''],
        // What a rollback to the revision before does.
        ['cluster.replace', { cluster: first }, on === 'a' ? 'vip2ws[0].moving' : 'vip2ws'],
      ] as const) {
        expect([op, ...(await refusal(call(on, op, input)))]).toEqual([op, 'conflict', `${path} vip_moving`]);
      }
      expect(await call(on, 'cluster.replace', { cluster: structuredClone(present) })).toMatchObject({
        changed: false,
      });
      expect(await call(on, 'vip.set', { vip: address, set: { owner: `by ${on}` } })).toMatchObject({ changed: true });
    }
    await move('withdraw');
    expect(await refusal(call('a', 'vip.set', { vip: address, set: { announce: 'any' } }))).toEqual([
      'conflict',
      'vip2ws[0].announce vip_moving',
    ]);
    await move('end');
    expect(vipOf('b')?.owner).toBe('by b');
    const moving = await at.first.documentAt('b', 2);
    expect(await refusal(call('b', 'cluster.replace', { cluster: moving }))).toEqual([
      'conflict',
      'vip2ws[0].moving vip_moving',
    ]);
    const added = { vips: [vip('10.1.0.9', { moving: { from: 'a' } })] };
    expect(await refusal(call('b', 'vip.add', added))).toEqual(['conflict', 'vip2ws[1].moving vip_moving']);
    expect(await refusal(call('a', 'vip.add', { vips: [vip(address)] }))).toEqual([
      'claimed',
      'vip2ws[1].vip vip_claimed',
    ]);
  });

  test.each([
    ['b', 'c', 'vip_moving'],
    ['b', 'b', 'vip_moving'],
  ])('of two moves at once, to %s and to %s, one is made', async (left, right, code) => {
    const ended = await Promise.allSettled([
      move('begin', { to: left }),
      move('begin', { to: right, state: at.second }),
    ]);
    const failed = ended.flatMap((one) => (one.status === 'rejected' ? [one.reason as WeirError] : []));
    expect(ended.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(failed).toMatchObject([{ code: 'conflict', problems: [{ code }] }]);
    await at.first.sync();
    const to = vipOf('a')?.moving?.to ?? '';
    expect(await claims()).toEqual([`ip:${address} a`, `moving:${address} ${to}`]);
    expect(['b', 'c'].filter((on) => vipOf(on))).toEqual([to]);
  });

  test('an address that others take in the meantime stays with one of them', async () => {
    for (const on of ['b', 'c']) {
      const fresh = { vips: [vip(`10.1.0.${on === 'b' ? 5 : 6}`), vip('10.1.0.4')] };
      const added = callAt(at.second, 'a', { op: 'vip.add', input: { vips: [vip('10.1.0.4')] } });
      await Promise.allSettled([move('begin'), call(on, 'vip.add', fresh), added]);
      await move('restore').catch(() => undefined);
      await Promise.allSettled([move('cancel')]);
      await Promise.all([at.first.sync(), at.second.sync()]);
      const holders = ['a', 'b', 'c'].filter((c) => at.first.get(c)?.cluster.vip2ws.some((v) => v.vip === '10.1.0.4'));
      expect(holders).toHaveLength(1);
    }
    const add = (on: string) => callAt(at.second, on, { op: 'vip.add', input: { vips: [vip(address)] } });
    const [begun, ...others] = await Promise.allSettled([move('begin'), add('b'), add('c')]);
    expect(begun?.status).toBe('fulfilled');
    expect(others.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(await claims()).toEqual([`ip:${address} a`, `moving:${address} b`]);
  });

  test('steps among other changes of both clusters are made on the newest', async () => {
    const noise = (n: number) => [
      callAt(at.second, 'a', { op: 'vip.set', input: { vip: '10.1.0.2', set: { owner: `a${n}` } } }),
      callAt(at.second, 'b', { op: 'cluster.set', input: { set: { idc: `room${n}` } } }),
    ];
    for (const [n, step] of (['begin', 'withdraw', 'end'] as const).entries()) {
      await Promise.all([...noise(n), move(step), ...noise(n + 10)]);
    }
    expect([vipOf('a'), vipOf('b')]).toEqual([undefined, vip(address, { owner: 'team' })]);
    await at.first.sync();
    expect([at.first.get('a')?.revision, at.first.get('b')?.revision]).toEqual([10, 9]);
  });

  test.each(['before', 'after'] as const)(
    'a process that dies %s the commit leaves all of a step, or nothing',
    async (when) => {
      const steps = ['begin', 'withdraw', 'end'] as const;
      const wanted = [
        { ip: 'a', moving: ['b'] },
        { ip: 'a', moving: ['b'] },
        { ip: 'b', moving: [] },
      ];
      for (const [n, step] of steps.entries()) {
        const before = await claims();
        commit = async (real, made) => {
          if (when === 'after') await real(made);
          throw new WeirError('store', 'killed');
        };
        expect(await refusal(move(step))).toEqual(['store']);
        commit = undefined;
        await at.first.sync();
        if (when === 'before') {
          expect(await claims()).toEqual(before);
          await move(step);
        }
        const { ip, moving } = wanted[n] ?? { ip: '', moving: [] };
        expect(await claims()).toEqual([`ip:${address} ${ip}`, ...moving.map((on) => `moving:${address} ${on}`)]);
      }
      const { state } = await at.reopen();
      expect([vipOf('a', state), vipOf('b', state)]).toEqual([undefined, vip(address, { owner: 'team' })]);
    },
  );
});

describe('a process that hears late of what another one does', () => {
  let real: Store;
  let first: State;
  let late: State;
  /** What it has not heard yet. */
  let held: StoreEvent[];

  beforeEach(async () => {
    real = openSqliteStore(':memory:');
    held = [];
    const listeners = new Set<(event: StoreEvent) => void>();
    real.follow((event) => held.push(event));
    first = await openState({ ...real, shared: true }, options);
    const store: Store = {
      ...real,
      shared: true,
      follow(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      async sync() {
        for (const event of held.splice(0)) for (const listener of listeners) listener(event);
      },
    };
    late = await openState(store, options);
    for (const one of [document('a', 1), document('b', 2)]) await create(one);
    await late.sync();
  });
  afterEach(async () => {
    for (const state of [first, late]) state.close();
    await real.close();
  });

  const create = (one: Cluster) =>
    first.change({ cluster: one.name, calls: [{ op: 'cluster.create', input: { cluster: one } }], by: 'test' });
  const change = (op: string, input: object) => first.change({ cluster: 'a', calls: [{ op, input }], by: 'test' });
  const move = (state: State, step: MoveStep) => state.move({ vip: address, from: 'a', to: 'b', step, by: 'mover' });

  test('is refused nothing that is so by now, and told nothing that is no longer so', async () => {
    await change('vip.add', { vips: [vip(address)] });
    expect(late.get('a')?.cluster.vip2ws).toEqual([]);
    expect(await move(late, 'begin')).toMatchObject({ from: { revision: 3, changed: true } });
    await move(first, 'withdraw');
    await move(first, 'restore');
    await move(first, 'cancel');
    await expect(move(late, 'withdraw')).rejects.toMatchObject({ problems: [{ code: 'vip_not_moving' }] });
  });

  test('makes its step on the newest', async () => {
    await change('vip.add', { vips: [vip(address)] });
    await late.sync();
    await change('vip.set', { vip: address, set: { owner: 'newest' } });
    expect(await move(late, 'begin')).toMatchObject({ from: { revision: 4 }, to: { revision: 2 } });
    await late.sync();
    expect(late.get('b')?.cluster.vip2ws).toMatchObject([{ owner: 'newest', moving: { from: 'a' } }]);
  });
});
