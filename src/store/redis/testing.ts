/** Real Redis servers and Sentinels for tests and benchmarks, on ports and folders of their own. Only those import it. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';

/** Where redis-server and redis-sentinel are not installed, their tests are left out. */
export const hasRedis = ['/usr/bin/redis-server', '/usr/bin/redis-sentinel'].every((path) => existsSync(path));

export interface RedisServer {
  readonly port: number;
  /** redis://127.0.0.1:PORT/1 */
  readonly url: string;
  /** A connection of the test's own, to database 1. */
  readonly client: Redis;
  readonly process: ChildProcess;
  /** kill -9 */
  kill(): Promise<void>;
  /** Starts it again on its port and data, and waits until it answers. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

/** Starts a server that syncs every write to disk, and waits until it answers. `more`: further lines of redis.conf. */
export async function startRedis(more: readonly string[] = [], db = 1): Promise<RedisServer> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-redis-'));
  const port = await freePort();
  const config = join(folder, 'redis.conf');
  const lines = [`port ${port}`, 'bind 127.0.0.1', `dir ${folder}`, 'save ""', 'appendonly yes', 'appendfsync always'];
  writeFileSync(config, [...lines, ...more, ''].join('\n'));
  let child = spawnQuiet('/usr/bin/redis-server', [config]);
  const password = more.find((line) => line.startsWith('requirepass '))?.slice('requirepass '.length);
  const client = new Redis({ port, db, ...(password === undefined ? {} : { password }), retryStrategy: () => 50 });
  client.on('error', () => undefined);
  await answers(client);
  return {
    port,
    url: `redis://127.0.0.1:${port}/1`,
    client,
    get process() {
      return child;
    },
    kill: () => killed(child),
    async restart() {
      await killed(child);
      child = spawnQuiet('/usr/bin/redis-server', [config]);
      await answers(client);
    },
    async close() {
      client.disconnect();
      await killed(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export interface SentinelServer {
  readonly port: number;
  close(): Promise<void>;
}

/** A Sentinel that takes a master for dead after half a second. */
export async function startSentinel(master: RedisServer, quorum: number): Promise<SentinelServer> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-sentinel-'));
  const port = await freePort();
  const config = join(folder, 'sentinel.conf');
  const watched = [`monitor weir 127.0.0.1 ${master.port} ${quorum}`, 'down-after-milliseconds weir 500'];
  const more = ['failover-timeout weir 3000', 'parallel-syncs weir 1'];
  const lines = [`port ${port}`, 'bind 127.0.0.1', `dir ${folder}`];
  writeFileSync(config, [...lines, ...[...watched, ...more].map((line) => `sentinel ${line}`), ''].join('\n'));
  const child = spawnQuiet('/usr/bin/redis-sentinel', [config]);
  const client = new Redis({ port, retryStrategy: () => 50 });
  client.on('error', () => undefined);
  await answers(client);
  client.disconnect();
  return {
    port,
    async close() {
      await killed(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function spawnQuiet(program: string, args: readonly string[]): ChildProcess {
  return spawn(program, args, { stdio: 'ignore' });
}

/** Also through LOADING and a connection that is not there yet. */
async function answers(client: Redis): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await client.ping();
      return;
    } catch (thrown) {
      if (tries > 100) throw thrown;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const end = once(child, 'exit');
  child.kill('SIGKILL');
  await end;
}

/** A port of loopback that nobody has just now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
