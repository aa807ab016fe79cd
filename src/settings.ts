/**
 * Every setting of the server: its schema, default, environment name and one line of help.
 * Read from flags, then WEIR_*, then weir.yaml, then defaults; only main.ts reads them.
 */
import { readFileSync } from 'node:fs';
import Type from 'typebox';
import type { Static } from 'typebox';
import { parse as parseYaml } from 'yaml';
import { messageOf, refuse, WeirError } from './domain/errors.ts';
import { parse, strict } from './domain/schema.ts';

const number = ([minimum, maximum]: readonly [number, number], fallback: number, description: string) =>
  Type.Integer({ minimum, maximum, default: fallback, description });

const fields = {
  listen: Type.String({ default: '127.0.0.1:8084', description: 'address and port of the HTTP API' }),
  data: Type.String({ default: './data', description: 'folder of the embedded store and the admin token' }),
  store: Type.String({
    default: '',
    description:
      'sqlite:PATH, redis[s]://USER:PASSWORD@HOST:PORT/DB or redis[s]+sentinel://HOST,HOST/DB?master=NAME; default sqlite:DATA/weir.db',
  }),
  redis_wait: number([0, 10], 0, 'replicas of Redis that must have a change before it is acknowledged'),
  redis_wait_ms: number([10, 4000], 1000, 'milliseconds they may take'),
  mirror: Type.Union([Type.Literal('original'), Type.Literal('off')], {
    default: 'original',
    description:
      'what is kept beside each cluster in Redis: original, its record in the form of the original; off, nothing',
  }),
  admin_token: Type.String({ default: '', description: 'admin token; wins over the stored one' }),
  hosts: Type.String({ default: '', description: 'a hosts(5) file with addresses of WSs, asked before DNS' }),
  ssh_config: Type.String({ default: '', description: 'an ssh_config for ssh -F; default the user’s own' }),
  ssh_parallel: number([1, 1000], 32, 'SSH sessions at once'),
  ssh_connect_timeout: number([1, 300], 10, 'seconds to connect to an LB'),
  publish_timeout: number([5, 3600], 120, 'seconds for one LB, from connect to confirm'),
  activate_timeout: number([5, 3600], 120, 'seconds for one LB to activate, without the wait for its checks'),
  activate_wait: number([0, 3600], 30, 'seconds that the checks after a reload may take until they pass'),
  log_level: Type.Union(
    ['trace', 'debug', 'info', 'warn', 'error', 'silent'].map((l) => Type.Literal(l)),
    { default: 'info', description: 'trace, debug, info, warn, error or silent' },
  ),
  body_limit_mb: number([1, 1024], 64, 'largest request body, in MiB'),
  original_networks: Type.String({
    default: '',
    description: 'IPv4 nets and addresses that need no token for /lvs/ (the original’s API), separated by commas',
  }),
  keep_revisions: number([50, 1_000_000], 1000, 'revisions of a cluster that are kept'),
};

export const Settings = Type.Object(fields, strict);
export type Settings = Static<typeof Settings>;

export interface SettingHelp {
  flag: string;
  env: string;
  help: string;
  fallback: string;
}

/** For --help and the documentation. */
export function settingsHelp(): SettingHelp[] {
  return Object.entries(fields).map(([name, schema]) => {
    const { description, default: fallback } = schema as { description?: string; default?: unknown };
    return {
      flag: `--${name.replaceAll('_', '-')}`,
      env: `WEIR_${name.toUpperCase()}`,
      help: description ?? '',
      fallback: String(fallback ?? ''),
    };
  });
}

export interface SettingSources {
  flags: Readonly<Record<string, string | undefined>>;
  env: Readonly<Record<string, string | undefined>>;
  /** Path of weir.yaml; a missing file is fine unless it was named. */
  file?: string | undefined;
}

/** All settings, or an error with every problem. */
export function readSettings({ flags, env, file }: SettingSources): Settings {
  const values: Record<string, unknown> = {};
  for (const [name, schema] of Object.entries(fields)) {
    const { default: fallback, type } = schema as { default?: unknown; type?: string };
    values[name] = fallback;
    const given = flags[name] ?? env[`WEIR_${name.toUpperCase()}`];
    if (given !== undefined && given !== '')
      values[name] = type === 'integer' && /^\d+$/.test(given) ? Number(given) : given;
    else if (fromFile(file)[name] !== undefined) values[name] = fromFile(file)[name];
  }
  const unknown = Object.fromEntries(Object.entries(fromFile(file)).filter(([name]) => !Object.hasOwn(fields, name)));
  const parsed = parse(Settings, { ...values, ...unknown });
  if (!parsed.ok) throw refuse(parsed.problems, 'usage');
  return parsed.value;
}

const read = new Map<string, Record<string, unknown>>();

function fromFile(file: string | undefined): Record<string, unknown> {
  if (file === undefined) return {};
  let values = read.get(file);
  if (!values) {
    try {
      values = (parseYaml(readFileSync(file, 'utf8')) as Record<string, unknown> | null) ?? {};
    } catch (thrown) {
      throw new WeirError('usage', `${file} cannot be read: ${messageOf(thrown)}`, {
        hint: 'correct it, or name another with --config',
        cause: thrown,
      });
    }
    read.set(file, values);
  }
  return values;
}
