/**
 * Wires the server: the only place where its real edges are made (store, SSH, DNS, clock, randomness,
 * HTTP server) and put together.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { Logger } from 'pino';
import { createApp } from './api/app.ts';
import { messageOf, WeirError } from './domain/errors.ts';
import { createActivations } from './jobs/activations.ts';
import { createLbRequests } from './jobs/lb-requests.ts';
import { createPublications } from './jobs/publications.ts';
import { createPublished } from './jobs/published.ts';
import { createReleases } from './jobs/releases.ts';
import { createResolve } from './jobs/resolve.ts';
import { createStatuses } from './jobs/status.ts';
import { openSsh } from './remote/ssh.ts';
import type { Settings } from './settings.ts';
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
  mkdirSync(settings.data, { recursive: true, mode: 0o700 });
  const token = adminToken(settings);
  const store = openSqliteStore(storePath(settings), { keepRevisions: settings.keep_revisions });
  const onError = (message: string, thrown: unknown) => logger.error({ err: thrown }, message);
  try {
    const now = () => new Date();
    const randomId = () => randomBytes(4).toString('hex');
    const state = await openState(store, { now, randomId, onError });
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
    // The store has one process at a time: whoever held a lease is dead.
    for (const lease of await store.leases()) await store.breakLease(lease.name);
    await publications.recover();
    await activations.recover();
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
        adminToken: token,
        version,
      },
      { logger, bodyLimit: settings.body_limit_mb * 1024 * 1024 },
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
        lbRequests.close();
        statuses.close();
        await Promise.all([publications.close(), activations.close()]);
        await app.close();
        state.close();
        await store.close();
      },
    };
  } catch (thrown) {
    await store.close();
    throw thrown;
  }
}

function storePath(settings: Settings): string {
  if (settings.store === '') return join(settings.data, 'weir.db');
  if (settings.store.startsWith('sqlite:')) return settings.store.slice('sqlite:'.length);
  throw new WeirError('usage', `WEIR_STORE ${settings.store.split(':')[0]}: is not supported`, {
    hint: 'use sqlite:PATH',
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

/** The token of the settings, or the stored one, which is made at the first start. */
function adminToken(settings: Settings): string {
  if (settings.admin_token !== '') return settings.admin_token;
  const file = tokenFile(settings);
  if (existsSync(file)) {
    const token = readFileSync(file, 'utf8').trim();
    if (token.length >= 16) return token;
    throw new WeirError('failed', `${file} holds no token`, { hint: 'remove the file, so that a new one is made' });
  }
  const token = randomBytes(32).toString('base64url');
  writeFileSync(file, `${token}\n`, { mode: 0o600, flag: 'wx' });
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
