/**
 * Reading the records of the original where they lie, `cluster:NAME` in a Redis: SCAN and HMGET and nothing
 * else, so that a replica and a user who may do no more will do. main.ts hands it to `weir import original`.
 */
import type { Redis } from 'ioredis';
import { messageOf, WeirError } from '../../domain/errors.ts';
import { readRedisAddress } from './address.ts';
import { connect } from './connection.ts';
import { mirrorFields } from './keys.ts';

const PREFIX = 'cluster:';
/** Keys that Redis looks at in one step of SCAN. */
const SCAN_COUNT = 1000;
/** Records that are asked for at a time: some may be megabytes. */
const AT_ONCE = 20;

export interface OriginalKey {
  readonly name: string;
  /** Those that are there; undefined: the key is no hash. */
  readonly fields: Readonly<Record<string, string>> | undefined;
}

export interface OriginalKeys {
  /** Where they were read, without secrets. */
  readonly source: string;
  /** By name, ascending. */
  readonly keys: OriginalKey[];
}

export interface ReadingOptions {
  /** Instead of the one that the address names. */
  readonly database?: number;
  /** Only these clusters; those that are not there have no fields. */
  readonly names?: readonly string[];
}

export async function readOriginalKeys(url: string, { database, names }: ReadingOptions = {}): Promise<OriginalKeys> {
  const address = readRedisAddress(url);
  const db = database ?? address.options.db ?? 0;
  const options = { ...address.options, db, enableReadyCheck: false };
  const description = address.description.replace(/\/\d+(?=$|\?)/, `/${db}`);
  const connection = connect({ options, description }, { name: 'weir-import' });
  try {
    // A database that does not exist is passed over in silence when the connection is made.
    await connection.call((redis) => redis.select(db));
    const wanted = names ?? (await connection.call(scanned));
    const keys: OriginalKey[] = [];
    for (let from = 0; from < wanted.length; from += AT_ONCE) {
      const some = wanted.slice(from, from + AT_ONCE);
      keys.push(...(await connection.call((redis) => Promise.all(some.map((name) => keyOf(redis, name))))));
    }
    return { source: description, keys };
  } catch (thrown) {
    throw asReader(thrown);
  } finally {
    connection.close();
  }
}

/** Names by SCAN, which may tell a key twice. */
async function scanned(redis: Redis): Promise<string[]> {
  const found = new Set<string>();
  let cursor = '0';
  do {
    const [next, keys] = await redis.scan(cursor, 'MATCH', `${PREFIX}*`, 'COUNT', SCAN_COUNT);
    for (const key of keys) found.add(key.slice(PREFIX.length));
    cursor = next;
  } while (cursor !== '0');
  return [...found].sort();
}

async function keyOf(redis: Redis, name: string): Promise<OriginalKey> {
  try {
    const values = await redis.hmget(PREFIX + name, ...mirrorFields);
    const there = mirrorFields.flatMap((field, i) => {
      const value = values[i];
      return typeof value === 'string' ? [[field, value] as const] : [];
    });
    return { name, fields: Object.fromEntries(there) };
  } catch (thrown) {
    if (messageOf(thrown).startsWith('WRONGTYPE')) return { name, fields: undefined };
    throw thrown;
  }
}

/** Hints of the store speak to who sets it up for Weir; a reader needs less. */
function asReader(thrown: unknown): unknown {
  if (!(thrown instanceof WeirError) || thrown.code !== 'store') return thrown;
  const denied = /NOPERM|NOAUTH|WRONGPASS/.test(thrown.message);
  return new WeirError('unavailable', thrown.message.replace(/^store /, 'Redis '), {
    hint: denied
      ? 'give a user in the address who may read: ACL SETUSER NAME on >PASSWORD ~cluster:* +select +scan +hmget'
      : 'see whether that Redis runs and takes connections from here: redis-cli -u URL PING',
    cause: thrown,
  });
}
