/** Stores for benchmarks: a folder on disk for SQLite, a real Redis that syncs every write, and clusters in them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { recordOf } from '../../src/adopt/original/record.ts';
import type { Cluster } from '../../src/domain/edge/model.ts';
import type { Call } from '../../src/domain/edge/operations.ts';
import type { Store } from '../../src/store/port.ts';
import { openRedisStore } from '../../src/store/redis/redis-store.ts';
import { startRedis } from '../../src/store/redis/testing.ts';
import type { RedisServer } from '../../src/store/redis/testing.ts';
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { openState } from '../../src/store/state.ts';
import type { State } from '../../src/store/state.ts';
import { makeCluster, makeFound } from '../clusters.ts';

export interface Place {
  /** As WEIR_STORE has it. */
  address: string;
  folder: string;
  redis?: RedisServer;
  end: () => Promise<void>;
}

export async function makePlace(kind: 'redis' | 'sqlite'): Promise<Place> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-bench-'));
  const redis = kind === 'redis' ? await startRedis() : undefined;
  process.once('exit', () => redis?.process.kill('SIGKILL'));
  return {
    address: redis?.url ?? `sqlite:${join(folder, 'weir.db')}`,
    folder,
    ...(redis ? { redis } : {}),
    async end() {
      await redis?.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export interface Opened {
  store: Store;
  state: State;
  close: () => Promise<void>;
}

/** A process's view of a store, wired as the server does. */
export async function open({ address }: Pick<Place, 'address'>, { mirror }: { mirror: boolean }): Promise<Opened> {
  const store = address.startsWith('sqlite:')
    ? openSqliteStore(address.slice('sqlite:'.length))
    : await openRedisStore(address, mirror ? { mirrorOf: (document) => recordOf(document as Cluster) } : {});
  let id = 0;
  const state = await openState(store, {
    now: () => new Date(),
    randomId: () => String(++id),
    onError: (message, thrown) => console.error(message, thrown),
  });
  return {
    store,
    state,
    async close() {
      state.close();
      await store.close();
    },
  };
}

const wss = 20;

/** Makes c0, c1 ... */
export async function fill({ state }: Opened, { clusters, vips }: { clusters: number; vips: number }): Promise<void> {
  for (let i = 0; i < clusters; i++) await create(state, i, vips);
}

/** Keeps an address of its own for every WS, as after all clusters were published. */
export async function findAddresses({ state, store }: Opened): Promise<void> {
  let first = 0;
  for (const { name, cluster } of state.list()) {
    const value = makeFound(cluster, first);
    first += Object.keys(value).length;
    await store.putRecord({ kind: 'addresses', key: name, value });
  }
}

/** The ith cluster: 2 LBs, 20 WSs at each VIP. */
export async function create(state: State, i: number, vips: number): Promise<Cluster> {
  const cluster = makeCluster(`c${i}`, { lbs: 2, vips, wss }, i);
  await state.change({ cluster: cluster.name, calls: [{ op: 'cluster.create', input: { cluster } }], by: 'bench' });
  return cluster;
}

/** The nth change of a cluster: a WS is added to a VIP, and the next change takes it away, so that the document stays as large. */
export function nthChange({ vip2ws }: Cluster, n: number): { vip: string; ws: string; call: Call } {
  const pair = Math.floor(n / 2);
  const vip = vip2ws[pair % vip2ws.length]?.vip ?? '';
  const ws = `new${pair}.hy01`;
  const input = n % 2 === 0 ? { vip, wss: [{ ws }] } : { vip, wss: [ws] };
  return { vip, ws, call: { op: n % 2 === 0 ? 'ws.add' : 'ws.remove', input } };
}
