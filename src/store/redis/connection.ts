/**
 * Connections to Redis. A call waits a moment for a connection that is gone, is made again where it broke, and
 * fails with a clear error after that; so whatever is called must be the same when it is called twice.
 * Imported by this folder only.
 */
import { createHash } from 'node:crypto';
import { Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import { messageOf, WeirError } from '../../domain/errors.ts';
import type { RedisAddress } from './address.ts';
import { faultOf, isConnectionFault, isHung, retryOf } from './fault.ts';

/** How long a call waits for a connection, in ms: a restart of Redis or a slow network is not seen by anybody. */
const PATIENCE_MS = 3000;
/** How long one command may take until the connection is given up, in ms. */
const COMMAND_MS = 5000;
/** How long between tries to connect, in ms. */
const RECONNECT_MS = 100;

/** A Lua script, which Redis runs as one step. */
export interface Script {
  readonly lua: string;
  readonly sha: string;
}

export function script(lua: string): Script {
  return { lua, sha: createHash('sha1').update(lua).digest('hex') };
}

export type ScriptArg = string | number;

/** Replicas that are waited for, and how long, in ms. */
export interface Wait {
  readonly replicas: number;
  readonly ms: number;
}

export interface Connection {
  readonly description: string;
  /** Runs a command or several. Tried again as long as patience lasts, so it must be one that can be made twice. */
  call<T>(work: (redis: Redis) => Promise<T>): Promise<T>;
  /** Runs a script with its arguments. */
  run(wanted: Script, args: readonly ScriptArg[]): Promise<unknown>;
  /** Runs a script that writes, then waits until replicas have what it wrote; tells how many have. */
  runKept(wanted: Script, args: readonly ScriptArg[], wait: Wait): Promise<{ answer: unknown; replicas: number }>;
  /** Calls back whenever a connection has become ready, and at once if one is. */
  onReady(listener: () => void): void;
  close(): void;
}

export interface ConnectionOptions {
  /** Shown by Redis's CLIENT LIST. */
  name: string;
  /** A blocking read takes longer than a command may: ms. */
  commandMs?: number;
}

/** Does not wait for Redis: calls do. */
export function connect({ options, description }: RedisAddress, { name, commandMs }: ConnectionOptions): Connection {
  const redis = client({ ...options, connectionName: name, commandTimeout: commandMs ?? COMMAND_MS });
  let lastError: unknown;
  let goneSince: number | undefined = performance.now();
  let closed = false;
  redis.on('error', (thrown: unknown) => (lastError = thrown));
  redis.on('ready', () => (goneSince = undefined));
  redis.on('close', () => (goneSince ??= performance.now()));

  async function call<T>(work: (made: Redis) => Promise<T>): Promise<T> {
    const until = (goneSince ?? performance.now()) + PATIENCE_MS;
    let refused: unknown;
    for (;;) {
      if (closed) throw new WeirError('store', `store ${description} is closed`);
      try {
        await ready(until);
        return await work(redis);
      } catch (thrown) {
        if (isHung(thrown)) renew();
        const retry = retryOf(thrown);
        // What Redis said itself tells more than that a connection was not there again in time.
        if (retry === 'no' || performance.now() > until) throw faultOf(refused ?? thrown, description);
        if (!isConnectionFault(thrown)) refused = thrown;
        if (retry === 'reconnect') renew();
        await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
      }
    }
  }

  /** Many calls may ask at once: one that is being made anew already is not broken off. */
  function renew(): void {
    if (redis.status === 'ready') redis.disconnect(true);
  }

  /** Waits until there is a connection. */
  function ready(until: number): Promise<void> {
    if (redis.status === 'ready') return Promise.resolve();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(onTimeout, Math.max(0, until - performance.now()));
      redis.on('ready', onReady);
      function onReady(): void {
        stop();
        resolve();
      }
      function onTimeout(): void {
        stop();
        reject(unreachable());
      }
      function stop(): void {
        clearTimeout(timer);
        redis.off('ready', onReady);
      }
    });
  }

  function unreachable(): WeirError {
    const why = lastError === undefined ? 'it does not answer' : messageOf(lastError);
    return new WeirError('store', `store ${description} cannot be reached: ${why}`, {
      hint: 'see whether Redis runs and takes connections from here; Weir goes on trying by itself',
      retryAfter: 2,
      cause: lastError,
    });
  }

  return {
    description,
    call,
    run: (wanted, args) => call((made) => evaluate(made, wanted, args)),
    // On one connection: WAIT counts what this one wrote.
    runKept: (wanted, args, { replicas, ms }) =>
      call(async (made) => {
        const answer = await evaluate(made, wanted, args);
        return { answer, replicas: await made.wait(replicas, ms) };
      }),
    onReady(listener) {
      redis.on('ready', listener);
      if (redis.status === 'ready') listener();
    },
    close() {
      closed = true;
      endClient(redis);
    },
  };
}

/** Those that are not to be connected again. */
const ended = new WeakSet<Redis>();

/** A connection with our policy, which nobody waits for yet. It is made again until `endClient`. */
export function client(options: RedisOptions): Redis {
  const { replyMapping: _mapping, ...given } = options;
  const redis = new Redis({ ...given, ...policy });
  redis.on('error', () => undefined);
  // ioredis gives up for good where a connection under Sentinel breaks while it is being made.
  redis.on('end', () => {
    setTimeout(() => {
      if (!ended.has(redis)) redis.connect().catch(() => undefined);
    }, RECONNECT_MS).unref();
  });
  return redis;
}

export function endClient(redis: Redis): void {
  ended.add(redis);
  redis.disconnect();
}

/** Nothing is queued or sent again behind our back: a call that was refused is not carried out later. */
const policy = {
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  retryStrategy: () => RECONNECT_MS,
  sentinelRetryStrategy: () => RECONNECT_MS,
  sentinelReconnectStrategy: () => 1000,
  connectTimeout: PATIENCE_MS,
  protocol: 2,
  keepAlive: 5000,
} as const satisfies RedisOptions;

/** EVALSHA, with as many arguments as a document may need: not on the stack. A Redis that does not know the script, after a restart or failover, is sent it. */
async function evaluate(redis: Redis, { lua, sha }: Script, args: readonly ScriptArg[]): Promise<unknown> {
  try {
    return await redis.call('EVALSHA', [sha, 0, ...args]);
  } catch (thrown) {
    if (!messageOf(thrown).includes('NOSCRIPT')) throw thrown;
    return await redis.call('EVAL', [lua, 0, ...args]);
  }
}
