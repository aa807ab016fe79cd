/**
 * The command line. Reads settings and hands the CLI `serve`; every other command talks to a server
 * that was started by it. What makes the server's real edges (server.ts, demo.ts) is loaded when it is
 * asked for, so that a command is quick.
 */
import { existsSync } from 'node:fs';
import { labCommands } from '../lab/edge/commands.ts';
import type { Command } from './cli/command.ts';
import { importOriginal } from './cli/commands/import-original.ts';
import { runCli } from './cli/program.ts';
import type { Demo } from './demo.ts';
import { messageOf } from './domain/errors.ts';
import { readSettings, settingsHelp } from './settings.ts';
import type { Settings } from './settings.ts';
import { version } from './version.ts';

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
    const [{ startServer, createLogger, tokenFile }, { startDemo }] = await Promise.all([
      import('./server.ts'),
      import('./demo.ts'),
    ]);
    const demo = context.options['demo'] === true ? await startDemo(settings) : undefined;
    try {
      const server = await startServer({ settings: demo?.settings ?? settings, logger: createLogger(settings) });
      await demo?.load(server.url, server.token);
      announce(server.url, settings.admin_token === '' ? tokenFile(settings) : undefined, demo);
      await stopSignal();
      await server.close();
    } finally {
      await demo?.close();
    }
    return undefined;
  },
};

const originalImport = importOriginal(async (url, options) => {
  const { readOriginalKeys } = await import('./store/redis/original-records.ts');
  return readOriginalKeys(url, options);
});

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

/** `token`: the file that holds it; undefined where the settings gave one. */
function announce(url: string, token: string | undefined, demo: Demo | undefined): void {
  const lines = [
    `Weir ${version} listens on ${url}, documentation at ${url}/docs`,
    `admin token: ${token ?? 'as set by WEIR_ADMIN_TOKEN'}`,
    ...(token === undefined ? [] : [`  export WEIR_TOKEN=$(cat ${token})`]),
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
    process.exitCode = await runCli(argv, {
      version,
      extra: [serve, originalImport, ...labCommands],
      env,
      stdout,
      stderr,
    });
  } catch (thrown) {
    stderr.write(`error: ${messageOf(thrown)}\n`);
    process.exitCode = 1;
  }
}
