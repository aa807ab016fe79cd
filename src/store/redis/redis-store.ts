/**
 * The store that several Weirs share: one Redis (6 or later), alone or under Sentinel. `weir:*` holds the
 * truth; `cluster:NAME` mirrors each cluster in the form of the original, written in the same step. Every
 * step is one Lua script. What lies where: keys.ts.
 * May import the domain and the port. server.ts and tests import it.
 */
import { messageOf, WeirError } from '../../domain/errors.ts';
import { followersOf } from '../followers.ts';
import type { Commit, CommitResult, StoredRecord, Store } from '../port.ts';
import { readRedisAddress } from './address.ts';
import { commitTo, putTo } from './commit.ts';
import type { MirrorOf } from './commit.ts';
import { connect } from './connection.ts';
import type { Connection } from './connection.ts';
import * as documents from './documents.ts';
import { BLOCK_MS, createFeed } from './feed.ts';
import type { Feed } from './feed.ts';
import { FORMAT } from './keys.ts';
import { leasesOf } from './leases.ts';
import type { LeaseClock } from './leases.ts';
import { createMirrors } from './mirrors.ts';

/** All addresses of a large installation are more than 100 MB: in one answer they would hold up everybody and time out. */
const RECORDS_AT_ONCE = 50;

export interface RedisStoreOptions {
  /** Makes the mirror of a cluster; left out: none is written. */
  readonly mirrorOf?: MirrorOf;
  /** Newest revisions of each document that can be asked for; up to 150 more are. Default 1000. */
  readonly keepRevisions?: number;
  /** Newest events that can be followed from; somewhat more are. Default 10,000. */
  readonly keepEvents?: number;
  /** Replicas that must have a commit before it is acknowledged. Default 0. */
  readonly waitReplicas?: number;
  /** How long they may take, in ms. Default 1000. */
  readonly waitMs?: number;
  /** Default server. */
  readonly clock?: LeaseClock;
  /** Hears what a follower threw, and of trouble that needs no answer. Default: a process warning. */
  readonly onError?: (thrown: unknown) => void;
}

/** Connects and looks whether this Redis can be used; throws a WeirError with what is wrong. */
export async function openRedisStore(url: string, options: RedisStoreOptions = {}): Promise<Store> {
  const address = readRedisAddress(url);
  const main = connect(address, { name: 'weir' });
  // WAIT holds up whatever comes behind it on its connection.
  const writer = (options.waitReplicas ?? 0) > 0 ? connect(address, { name: 'weir-commits' }) : main;
  const blocking = connect(address, { name: 'weir-feed', commandMs: BLOCK_MS + 5000 });
  try {
    const warnings = await prepare(main);
    const onError = options.onError ?? warn;
    for (const warning of warnings) onError(new Error(warning));
    const start = await documents.endOfLog(main);
    const { follow, deliver } = followersOf(onError);
    const lost = new Set<() => Promise<void>>();
    const tellLost = async () => void (await Promise.all([...lost].map((listener) => listener())));
    const feed = createFeed({ connection: main, blocking, start, deliver, lost: tellLost, onError });
    const { mirrorOf } = options;
    const mirrors = mirrorOf && createMirrors({ address, connection: main, mirrorOf, onError });
    const parts = { main, writer, blocking, feed, ...(mirrors ? { mirrors } : {}), options };
    return storeOn(parts, onError, (listener, onLost) => {
      const stop = follow(listener);
      if (onLost) lost.add(onLost);
      return () => {
        stop();
        if (onLost) lost.delete(onLost);
      };
    });
  } catch (thrown) {
    for (const connection of [main, writer, blocking]) connection.close();
    throw thrown;
  }
}

interface Parts {
  main: Connection;
  /** For commits. */
  writer: Connection;
  blocking: Connection;
  feed: Feed;
  mirrors?: ReturnType<typeof createMirrors>;
  options: RedisStoreOptions;
}

function storeOn(parts: Parts, onError: (thrown: unknown) => void, follow: Store['follow']): Store {
  const { main, writer, blocking, feed, mirrors, options } = parts;
  const { keepRevisions = 1000, keepEvents = 10_000, waitReplicas = 0, waitMs = 1000, mirrorOf } = options;
  const leases = leasesOf(main, options.clock ?? 'server');
  const wait = waitReplicas > 0 ? { replicas: waitReplicas, ms: waitMs } : undefined;
  let closed = false;

  /** A commit that Redis has is made, whether or not this process can read the log right now. */
  async function commit(wanted: Commit): Promise<CommitResult> {
    const { kept, ...result } = await commitTo(writer, wanted, { mirrorOf, keepRevisions, keepEvents, wait });
    if (kept?.foreign) mirrors?.tell();
    if (kept) await feed.take(kept.logged).catch(onError);
    if (kept && kept.replicas < waitReplicas) throw tooFewReplicas(kept.replicas, waitReplicas);
    return result;
  }

  return {
    description: main.description,
    shared: true,
    ...(mirrors ? { mirrors } : {}),
    load: () => documents.load(main),
    commit,
    history: (id, page) => documents.history(main, id, page),
    revision: (id, revision) => documents.revision(main, id, revision),
    events: async (after, limit) => (await documents.readLog(main, after, limit)).map(({ event }) => event),
    follow,
    sync: () => feed.sync(),
    records: (kind) => readRecords(main, kind),
    async record({ kind, key }) {
      const text = await main.call((redis) => redis.hget(`weir:records:${kind}`, key));
      return text === null ? undefined : readRecord({ kind, key }, text);
    },
    putRecord: (write) => putTo(main, write),
    acquire: (name, owner, term) => leases.acquire(name, owner, term),
    renew: (lease, term) => leases.renew(lease, term),
    release: (lease) => leases.release(lease),
    leases: () => leases.all(Date.now()),
    breakLease: (name) => leases.end(name),
    async ping() {
      await main.call((redis) => redis.hincrby('weir:meta', 'pings', 1));
      return (await documents.endOfLog(main)).id;
    },
    close() {
      if (closed) return Promise.resolve();
      closed = true;
      feed.close();
      mirrors?.close();
      for (const connection of [main, writer, blocking]) connection.close();
      return Promise.resolve();
    },
  };
}

/** The commit stands, but a failover now could lose it: it is not acknowledged. */
function tooFewReplicas(have: number, wanted: number): WeirError {
  const message = `the change was made, but ${have} of the ${wanted} replicas that it must have before it counts`;
  return new WeirError('store', `${message} have it`, {
    hint: 'it is lost if Redis fails over now; see the replicas (redis-cli INFO replication), then look at it before trying again',
    retryAfter: 5,
  });
}

/** Whether this Redis can be used; answers warnings. */
async function prepare(connection: Connection): Promise<string[]> {
  const info = await connection.call((redis) => redis.info());
  const fact = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
  const version = fact('redis_version');
  if (Number.parseInt(version, 10) < 6) {
    throw refusal(connection, `it is Redis ${version}`, 'Weir needs Redis 6 or later');
  }
  if (fact('cluster_enabled') === '1') {
    throw refusal(
      connection,
      'it is a Redis Cluster',
      'use a single Redis or Sentinel: Weir’s steps touch many keys at once',
    );
  }
  await connection.call((redis) => redis.hsetnx('weir:meta', 'format', FORMAT));
  const format = Number(await connection.call((redis) => redis.hget('weir:meta', 'format')));
  if (format > FORMAT) {
    throw refusal(
      connection,
      `a newer Weir wrote it: format ${format}, this one knows up to ${FORMAT}`,
      'run the newer Weir',
    );
  }
  return warningsOf(connection, fact('maxmemory_policy'));
}

function refusal({ description }: Connection, why: string, hint: string): WeirError {
  return new WeirError('store', `store ${description} cannot be used: ${why}`, { hint });
}

async function warningsOf(connection: Connection, evicting: string): Promise<string[]> {
  const warnings: string[] = [];
  if (evicting !== '' && evicting !== 'noeviction') {
    warnings.push(
      `Redis drops keys where memory is short (maxmemory-policy ${evicting}): set noeviction, or state is lost`,
    );
  }
  const settings = await connection
    .call((redis) => redis.config('GET', 'append*'))
    // Where CONFIG is not allowed nothing can be told.
    .catch(() => undefined);
  const valueOf = (name: string) => settings?.[settings.indexOf(name) + 1];
  if (settings && valueOf('appendonly') !== 'yes') {
    warnings.push('Redis keeps no append-only file (appendonly no): a crash of Redis loses acknowledged changes');
  } else if (settings && valueOf('appendfsync') !== 'always') {
    warnings.push(
      `Redis writes to disk ${valueOf('appendfsync')} only: appendfsync always keeps every acknowledged change`,
    );
  }
  return warnings;
}

function warn(thrown: unknown): void {
  process.emitWarning(thrown instanceof Error ? thrown : messageOf(thrown));
}

async function readRecords(connection: Connection, kind: string): Promise<StoredRecord[]> {
  const hash = `weir:records:${kind}`;
  const keys = await connection.call((redis) => redis.hkeys(hash));
  const records: StoredRecord[] = [];
  for (let from = 0; from < keys.length; from += RECORDS_AT_ONCE) {
    const some = keys.slice(from, from + RECORDS_AT_ONCE);
    const texts = await connection.call((redis) => redis.hmget(hash, ...some));
    for (const [i, text] of texts.entries()) {
      if (text !== null) records.push(readRecord({ kind, key: some[i] ?? '' }, text));
    }
  }
  return records;
}

function readRecord(id: { kind: string; key: string }, text: string): StoredRecord {
  const space = text.indexOf(' ');
  return { ...id, version: Number(text.slice(0, space)), value: JSON.parse(text.slice(space + 1)) as unknown };
}
