/**
 * Wires everything: the only place where real edges are made (store, SSH, DNS, clock, randomness,
 * HTTP server) and settings are read. The CLI is handed `serve`; every other command of it talks to
 * a server that was started by it.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { Logger } from 'pino';
import { createApp } from './api/app.ts';
import type { Command } from './cli/command.ts';
import { runCli } from './cli/program.ts';
import { startDemo } from './demo.ts';
import type { Demo } from './demo.ts';
import { messageOf, WeirError } from './domain/errors.ts';
import { createPublications } from './jobs/publications.ts';
import { createPublished } from './jobs/published.ts';
import { createReleases } from './jobs/releases.ts';
import { createResolve } from './jobs/resolve.ts';
import { openSsh } from './remote/ssh.ts';
import { readSettings, settingsHelp } from './settings.ts';
import type { Settings } from './settings.ts';
import { openSqliteStore } from './store/sqlite/sqlite-store.ts';
import { openState } from './store/state.ts';

const version = (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string })
  .version;

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
    const publications = createPublications({
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
      parallel: settings.ssh_parallel,
      timeoutMs: settings.publish_timeout * 1000,
      owner: `${hostname()}:${process.pid}:${randomId()}`,
      onError,
    });
    await publications.recover();
    const app = await createApp(
      { store, state, releases, published, publications, adminToken: token, version },
      { logger, bodyLimit: settings.body_limit_mb * 1024 * 1024 },
    );
    const url = await app.listen(listenOn(settings.listen));
    return {
      url,
      token,
      async close() {
        await publications.close();
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

function tokenFile(settings: Settings): string {
  return join(settings.data, 'admin-token');
}

const serve: Command = {
  name: 'serve',
  summary: 'Run the server',
  output: 'none',
  options: [
    ...settingsHelp().map(({ flag, env, help, fallback }) => ({
      flags: `${flag} <value>`,
      help: `${help} [${env}${fallback ? `, default ${fallback}` : ''}]`,
    })),
    { flags: '--config <file>', help: 'settings as YAML; default weir.yaml if it is there' },
    {
      flags: '--demo',
      help: 'also load the seed’s cluster and, as root on Linux, start a test host that plays its LB',
    },
  ],
  examples: ['weir serve', 'weir serve --listen 127.0.0.1:8084 --data /var/lib/weir --hosts /etc/weir/hosts'],
  async run(context) {
    const settings = settingsOf(context.options);
    const logger = pino({ level: settings.log_level }, pino.destination(2));
    const demo = context.options['demo'] === true ? await startDemo(settings) : undefined;
    try {
      const server = await startServer({ settings: demo?.settings ?? settings, logger });
      await demo?.load(server.url, server.token);
      announce(server.url, settings, demo);
      await stopSignal();
      await server.close();
    } finally {
      await demo?.close();
    }
    return undefined;
  },
};

function settingsOf(options: Readonly<Record<string, unknown>>): Settings {
  const flags = Object.fromEntries(
    settingsHelp().map(({ flag }) => {
      const name = flag.slice(2).replaceAll('-', '_');
      return [name, options[name.replaceAll(/_(\w)/g, (_, c: string) => c.toUpperCase())] as string | undefined];
    }),
  );
  const named = options['config'] as string | undefined;
  const file = named ?? (existsSync('weir.yaml') ? 'weir.yaml' : undefined);
  return readSettings({ flags, env: process.env, file });
}

function announce(url: string, settings: Settings, demo: Demo | undefined): void {
  const where = settings.admin_token === '' ? tokenFile(settings) : 'as set by WEIR_ADMIN_TOKEN';
  const lines = [
    `Weir ${version} listens on ${url}, documentation at ${url}/docs`,
    `admin token: ${where}`,
    ...(settings.admin_token === '' ? [`  export WEIR_TOKEN=$(cat ${where})`] : []),
    ...(demo?.notes ?? []),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

/** Resolves at the first SIGINT or SIGTERM; a second one ends the process at once. */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
}

/** The command line; bin/weir calls it. */
export async function main(argv: readonly string[]): Promise<void> {
  process.stdout.on('error', (thrown: NodeJS.ErrnoException) => {
    if (thrown.code === 'EPIPE') process.exit(0);
  });
  const { env, stdout, stderr } = process;
  try {
    process.exitCode = await runCli(argv, { version, extra: [serve], env, stdout, stderr });
  } catch (thrown) {
    stderr.write(`error: ${messageOf(thrown)}\n`);
    process.exitCode = 1;
  }
}
