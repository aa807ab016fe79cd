/**
 * Foreign writes to the mirrors of clusters: Redis tells of keys that changed (client-side caching, Redis 6 and
 * later), a script sees whether it was ours and keeps what was not. What becomes of it is decided elsewhere.
 */
import type { ForeignOutcome, ForeignWrite, Mirrors } from '../port.ts';
import type { RedisAddress } from './address.ts';
import type { MirrorOf } from './commit.ts';
import { client, endClient, script } from './connection.ts';
import type { Connection } from './connection.ts';
import { mirrorArgs, mirrorFields, mirrorLua, prelude } from './keys.ts';

/** Names of clusters; answers how many foreign writes were kept. Records of unknown clusters are no mirrors. */
const checkScript = script(`${prelude}${mirrorLua}
local kept = 0
for _, name in ipairs(ARGV) do
  if redis.call('HEXISTS', 'weir:mirrors', name) == 1 and keep_foreign(name) then kept = kept + 1 end
end
return kept
`);

/** Writes a mirror anew where it still holds the foreign write with that id. */
const restoreScript = script(`${prelude}${mirrorLua}
local name, id, base = take(), take(), take()
local known = redis.call('HGET', 'weir:mirrors', name)
if keep_foreign(name) or not known or string.match(known, ' (%S+)$') ~= 'f' .. id then return 0 end
if #ARGV == at then remove_mirror(name) return 1 end
local digest, fields = take(), {}
for i = 1, ${mirrorFields.length} do fields[i] = take() end
write_mirror(name, fields, digest, base)
return 1
`);

/** Where Redis tells of keys that changed. */
const INVALIDATED = '__redis__:invalidate';
/** Writes that come within so many ms are looked at together. */
const SOON_MS = 20;
/** Foreign writes that are kept after they were merged or dismissed. */
const KEPT = 50;
/** Mirrors looked at by one script. */
const AT_ONCE = 20;
/** How often all are looked at, in ms: for what was written while nobody listened, or where Redis refuses to tell. */
const SWEEP_MS = 60_000;

export interface MirrorOptions {
  address: RedisAddress;
  connection: Connection;
  mirrorOf: MirrorOf;
  onError: (thrown: unknown) => void;
}

export interface OwnMirrors extends Mirrors {
  /** A foreign write was kept. */
  tell(): void;
  close(): void;
}

export function createMirrors({ address, connection, mirrorOf, onError }: MirrorOptions): OwnMirrors {
  const listeners = new Set<() => void>();
  const ear = client({ ...address.options, autoResubscribe: false, connectionName: 'weir-mirrors' });
  const touched = new Set<string>();
  let soon: NodeJS.Timeout | undefined;
  let number: string | undefined;
  let tracking: Promise<void> = Promise.resolve();
  let closed = false;

  async function check(names: readonly string[]): Promise<void> {
    let kept = 0;
    for (let from = 0; from < names.length; from += AT_ONCE) {
      kept += Number(await connection.run(checkScript, names.slice(from, from + AT_ONCE)));
    }
    if (kept > 0) tell();
  }

  function tell(): void {
    for (const listener of listeners) listener();
  }

  async function sweep(): Promise<void> {
    await check(await connection.call((redis) => redis.hkeys('weir:mirrors')));
  }

  function attempt(work: () => Promise<void>): void {
    if (!closed) work().catch((thrown: unknown) => closed || onError(thrown));
  }

  /** A listening connection can ask for nothing more, so it tells its number first. */
  async function listen(): Promise<void> {
    number = String(await ear.client('ID'));
    await ear.subscribe(INVALIDATED);
    await track();
  }

  /** Asks Redis to tell the ear of every write to a mirror by others, then looks at what was written before. One after the other. */
  function track(): Promise<void> {
    tracking = tracking.catch(() => undefined).then(() => (number === undefined ? undefined : trackTo(number)));
    return tracking;
  }

  async function trackTo(redirect: string): Promise<void> {
    await connection.call(async (redis) => {
      await redis.call('CLIENT', 'TRACKING', 'OFF');
      await redis.call('CLIENT', 'TRACKING', 'ON', 'REDIRECT', redirect, 'BCAST', 'PREFIX', 'cluster:', 'NOLOOP');
    });
    await sweep();
  }

  ear.on('message', (_channel: string, keys: unknown) => {
    for (const key of (Array.isArray(keys) ? keys : [keys]).map(String)) {
      if (key.startsWith('cluster:')) touched.add(key.slice('cluster:'.length));
    }
    soon ??= setTimeout(() => {
      soon = undefined;
      const names = [...touched];
      touched.clear();
      attempt(() => check(names));
    }, SOON_MS);
  });
  ear.on('close', () => (number = undefined));
  ear.on('ready', () => attempt(listen));
  connection.onReady(() => attempt(track));
  const timer = setInterval(() => attempt(sweep), SWEEP_MS);
  timer.unref();

  return {
    tell,
    open: () => connection.call((redis) => redis.scard('weir:foreign:open')),
    onForeign(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    async foreign() {
      const [entries, outcomes] = await connection.call((redis) =>
        Promise.all([redis.xrange('weir:foreign', '-', '+'), redis.hgetall('weir:foreign:outcomes')]),
      );
      return entries.map(([id, fields]) => readForeign(id, fields, outcomes[id]));
    },
    async settle(id, outcome) {
      await connection.call((redis) =>
        redis.multi().hset('weir:foreign:outcomes', id, JSON.stringify(outcome)).srem('weir:foreign:open', id).exec(),
      );
      await forget(connection);
    },
    async restore({ cluster, id }, document, revision) {
      const written = document === null ? [] : mirrorArgs(mirrorOf(document));
      await connection.run(restoreScript, [cluster, id, `r${revision}`, ...written]);
    },
    async unknown() {
      const known = new Set(await connection.call((redis) => redis.hkeys('weir:mirrors')));
      return (await recordNames(connection)).filter((name) => !known.has(name));
    },
    close() {
      closed = true;
      clearInterval(timer);
      clearTimeout(soon);
      endClient(ear);
    },
  };
}

/** Foreign writes that need nobody any more are kept for a while. */
async function forget(connection: Connection): Promise<void> {
  await connection.call(async (redis) => {
    const outcomes = await redis.hgetall('weir:foreign:outcomes');
    const settled = Object.entries(outcomes)
      .filter(([, text]) => (JSON.parse(text) as ForeignOutcome).state !== 'conflict')
      .map(([id]) => id)
      .sort(byAge);
    const old = settled.slice(0, Math.max(0, settled.length - KEPT));
    if (old.length > 0)
      await redis
        .multi()
        .xdel('weir:foreign', ...old)
        .hdel('weir:foreign:outcomes', ...old)
        .exec();
  });
}

/** Stream ids are MS-SEQ. */
function byAge(a: string, b: string): number {
  const [left = 0, leftSeq = 0] = a.split('-').map(Number);
  const [right = 0, rightSeq = 0] = b.split('-').map(Number);
  return left - right || leftSeq - rightSeq;
}

/** Names of all records `cluster:NAME`. */
async function recordNames(connection: Connection): Promise<string[]> {
  return connection.call(async (redis) => {
    const names = new Set<string>();
    let cursor = '0';
    do {
      const [next, keys] = await redis.scan(cursor, 'MATCH', 'cluster:*', 'COUNT', 1000);
      for (const key of keys) names.add(key.slice('cluster:'.length));
      cursor = next;
    } while (cursor !== '0');
    return [...names].sort();
  });
}

function readForeign(id: string, parts: readonly string[], outcome: string | undefined): ForeignWrite {
  const values = new Map<string, string>();
  for (let i = 0; i < parts.length; i += 2) values.set(parts[i] ?? '', parts[i + 1] ?? '');
  const base = values.get('base') ?? 'r0';
  const rest = base.slice(1);
  return {
    id,
    cluster: values.get('cluster') ?? '',
    at: new Date(Number.parseInt(id, 10)).toISOString(),
    base: base.startsWith('f') ? { after: rest } : { revision: Number(rest) },
    fields:
      values.get('gone') === '1'
        ? undefined
        : Object.fromEntries(mirrorFields.map((field) => [field, values.get(field) ?? ''])),
    ...(outcome === undefined ? {} : { outcome: JSON.parse(outcome) as ForeignOutcome }),
  };
}
