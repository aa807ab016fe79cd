/**
 * Wires the server: the only place where its real edges are made (store, SSH, DNS, clock, randomness,
 * HTTP server) and put together.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { Logger } from 'pino';
import { recordOf } from './adopt/original/record.ts';
import { createApp } from './api/app.ts';
import { readNetworks } from './api/original/networks.ts';
import type { Cluster } from './domain/edge/model.ts';
import { messageOf, WeirError } from './domain/errors.ts';
import { createActivations } from './jobs/activations.ts';
import { takeOver, takeOverNow } from './jobs/leases.ts';
import type { Work } from './jobs/leases.ts';
import { createLbRequests } from './jobs/lb-requests.ts';
import { createNeighbour } from './jobs/neighbour.ts';
import { createProbes } from './jobs/probe.ts';
import { createPublications } from './jobs/publications.ts';
import { createPublished, lbsInService } from './jobs/published.ts';
import { createReleases } from './jobs/releases.ts';
import { createResolve } from './jobs/resolve.ts';
import { createStatuses } from './jobs/status.ts';
import { openSsh } from './remote/ssh.ts';
import type { Settings } from './settings.ts';
import type { Store } from './store/port.ts';
import { isRedisAddress } from './store/redis/address.ts';
import { openRedisStore } from './store/redis/redis-store.ts';
import { openSqliteStore } from './store/sqlite/sqlite-store.ts';
import { openState } from './store/state.ts';
import { version } from './version.ts';

/** A running server. */
export interface Server {
  url: string;
  close(): Promise<void>;
}

export interface ServerOptions {
  settings: Settings;
  logger: Logger;
}

/** Opens the store, recovers what a dead process left, and listens. */
export async function startServer({ settings, logger }: ServerOptions): Promise<Server & { token: string }> {
  const networks = readNetworks(settings.original_networks);
  mkdirSync(settings.data, { recursive: true, mode: 0o700 });
  const onError = (message: string, thrown: unknown) => logger.error({ err: thrown }, message);
  const store = await openStore(settings, logger);
  /** What goes on beside requests, to be stopped. */
  const watches: (() => void)[] = [];
  try {
    const token = await adminToken(settings, store);
    const now = () => new Date();
    const randomId = () => randomBytes(4).toString('hex');
    const state = await openState(store, {
      now,
      randomId,
      onError,
      inService: (cluster) => lbsInService(store, cluster),
    });
    const releases = createReleases(state, createResolve({ hostsFile: settings.hosts || undefined }));
    const published = createPublished(store, state, releases);
    const jobs = {
      store,
      state,
      releases,
      published,
      remote: openSsh({
        ...(settings.ssh_config ? { configFile: settings.ssh_config } : {}),
        connectTimeoutSeconds: settings.ssh_connect_timeout,
      }),
      now,
      randomId,
      owner: `${hostname()}:${process.pid}:${randomId()}`,
      onError,
    };
    const publications = createPublications({
      ...jobs,
      parallel: settings.ssh_parallel,
      timeoutMs: settings.publish_timeout * 1000,
    });
    const activateMs = settings.activate_timeout * 1000;
    const activations = createActivations({ ...jobs, waitSeconds: settings.activate_wait, timeoutMs: activateMs });
    const lbRequests = createLbRequests({ ...jobs, timeoutMs: activateMs });
    const statuses = createStatuses({ ...jobs, parallel: settings.ssh_parallel });
    const probes = createProbes({ ...jobs, parallel: settings.ssh_parallel });
    const takeOvers = {
      ...jobs,
      async settle({ cluster, id }: Work) {
        await publications.interrupt(cluster, id);
        await activations.interrupt(cluster, id);
      },
    };
    // Where the store has one process at a time, whoever held a lease is dead.
    await takeOverNow(takeOvers, { all: !store.shared });
    const neighbour = createNeighbour(jobs);
    watches.push(takeOver(takeOvers), () => neighbour?.close());
    const app = await createApp(
      {
        store,
        state,
        releases,
        published,
        publications,
        activations,
        lbRequests,
        statuses,
        probes,
        neighbour,
        adminToken: token,
        version,
      },
      {
        logger,
        bodyLimit: settings.body_limit_mb * 1024 * 1024,
        original: {
          networks,
          patienceMs: settings.publish_timeout * 1000,
        },
      },
    );
    const url = await app.listen(listenOn(settings.listen)).catch((thrown: unknown) => {
      throw new WeirError('failed', `cannot listen on ${settings.listen}: ${messageOf(thrown)}`, {
        hint: 'choose another address with --listen or WEIR_LISTEN, and tell the command line with WEIR_URL',
        cause: thrown,
      });
    });
    return {
      url,
      token,
      async close() {
        for (const stop of watches) stop();
        lbRequests.close();
        statuses.close();
        probes.close();
        await Promise.all([publications.close(), activations.close()]);
        await app.close();
        state.close();
        await store.close();
      },
    };
  } catch (thrown) {
    for (const stop of watches) stop();
    await store.close();
    throw thrown;
  }
}

function openStore(settings: Settings, logger: Logger): Store | Promise<Store> {
  const { store, keep_revisions: keepRevisions } = settings;
  if (store === '') return openSqliteStore(join(settings.data, 'weir.db'), { keepRevisions });
  if (store.startsWith('sqlite:')) return openSqliteStore(store.slice('sqlite:'.length), { keepRevisions });
  if (isRedisAddress(store)) {
    return openRedisStore(store, {
      keepRevisions,
      waitReplicas: settings.redis_wait,
      waitMs: settings.redis_wait_ms,
      ...(settings.mirror === 'original' ? { mirrorOf: (document) => recordOf(document as Cluster) } : {}),
      onError: (thrown) => logger.warn({ err: thrown }, messageOf(thrown)),
    });
  }
  throw new WeirError('usage', `WEIR_STORE ${store.split(':')[0]}: is not supported`, {
    hint: 'use sqlite:PATH, redis://HOST:6379/1 or redis+sentinel://HOST,HOST/1?master=NAME',
  });
}

function listenOn(listen: string): { host: string; port: number } {
  const found = /^(?:\[([0-9a-f:]+)\]|([^:]+)):(\d{1,5})$/i.exec(listen);
  const port = Number(found?.[3]);
  if (!found || port > 65535) {
    throw new WeirError('usage', `WEIR_LISTEN ${listen} is not ADDRESS:PORT`, { hint: 'e.g. 127.0.0.1:8084' });
  }
  return { host: found[1] ?? found[2] ?? '', port };
}

/**
 * The token of the settings, or the stored one, which is made at the first start. Several Weirs on one store have the
 * same: it is in the store, and in each one's data folder for who works there.
 */
async function adminToken(settings: Settings, store: Store): Promise<string> {
  if (settings.admin_token !== '') return settings.admin_token;
  const kept = readToken(settings);
  if (!store.shared) return kept ?? writeToken(settings, newToken());
  const id = { kind: 'token', key: 'admin' };
  await store.putRecord({ ...id, value: kept ?? newToken(), expected: 0 });
  const shared = String((await store.record(id))?.value);
  return shared === kept ? shared : writeToken(settings, shared);
}

function newToken(): string {
  return randomBytes(32).toString('base64url');
}

function readToken(settings: Settings): string | undefined {
  const file = tokenFile(settings);
  if (!existsSync(file)) return undefined;
  const token = readFileSync(file, 'utf8').trim();
  if (token.length >= 16) return token;
  throw new WeirError('failed', `${file} holds no token`, { hint: 'remove the file, so that a new one is made' });
}

/** Whole at every instant: another Weir may start on the same folder. */
function writeToken(settings: Settings, token: string): string {
  const file = tokenFile(settings);
  const fresh = `${file}.${process.pid}`;
  writeFileSync(fresh, `${token}\n`, { mode: 0o600 });
  renameSync(fresh, file);
  return token;
}

/** Where the token is kept that was made at the first start. */
export function tokenFile(settings: Settings): string {
  return join(settings.data, 'admin-token');
}

/** JSON lines on standard error. */
export function createLogger(settings: Settings): Logger {
  return pino({ level: settings.log_level }, pino.destination(2));
}
