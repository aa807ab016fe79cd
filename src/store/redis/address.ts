/** The address of a Redis as operators write it: one server, or Sentinels that know the master. */
import { readFileSync } from 'node:fs';
import type { RedisOptions } from 'ioredis';
import { messageOf, WeirError } from '../../domain/errors.ts';

/** Database that is used where the address names none: that of the original. */
export const DEFAULT_DATABASE = 1;

export interface RedisAddress {
  readonly options: RedisOptions;
  /** Without secrets. */
  readonly description: string;
}

/** Schemes that name a Redis store. */
export function isRedisAddress(store: string): boolean {
  return /^rediss?(?:\+sentinel)?:/.test(store);
}

/**
 * `redis://[USER[:PASSWORD]@]HOST[:6379][/DB]`, `rediss://` over TLS, or
 * `redis+sentinel://[USER:PASSWORD@]HOST[:26379],HOST.../[DB]?master=NAME`. Query: `master`, `sentinel_user`,
 * `sentinel_password`, `ca` (PEM file of the authority, where the system's do not know it), `cert` and `key`.
 */
export function readRedisAddress(text: string): RedisAddress {
  const found = /^(rediss?)(\+sentinel)?:\/\/(?:([^@/]*)@)?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/.exec(text);
  if (!found) throw bad('it is not redis://HOST:PORT/DB');
  const [, scheme, sentinel, login = '', hosts = '', path = '', search = ''] = found;
  const query = readQuery(search, sentinel !== undefined);
  const db = path === '' ? DEFAULT_DATABASE : /^\d{1,5}$/.test(path) ? Number(path) : undefined;
  if (db === undefined) throw bad(`${path} is no number of a database`);
  const addresses = hosts.split(',').map((host) => readHost(host, sentinel ? 26379 : 6379));
  const tls = scheme === 'rediss' ? { tls: tlsOf(query) } : {};
  const common = { db, ...readLogin(login), ...tls };
  const list = addresses.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`).join(',');
  const description = `${scheme}${sentinel ?? ''}://${list}/${db}`;
  if (!sentinel) {
    const [address] = addresses;
    if (!address || addresses.length > 1) throw bad('it names several hosts; several are for redis+sentinel://');
    return { options: { ...common, ...address }, description };
  }
  const name = query.get('master');
  if (name === undefined) throw bad('it does not say ?master=NAME, the name that the Sentinels know');
  return {
    options: {
      ...common,
      ...(scheme === 'rediss' ? { sentinelTLS: tlsOf(query), enableTLSForSentinelMode: true } : {}),
      ...(query.has('sentinel_user') ? { sentinelUsername: query.get('sentinel_user') } : {}),
      ...(query.has('sentinel_password') ? { sentinelPassword: query.get('sentinel_password') } : {}),
      sentinels: addresses,
      name,
      failoverDetector: true,
    },
    description: `${description}?master=${name}`,
  };
}

const known = ['ca', 'cert', 'key'];
const knownOfSentinel = ['master', 'sentinel_user', 'sentinel_password'];

function readQuery(search: string, sentinel: boolean): Map<string, string> {
  const query = new Map(new URLSearchParams(search));
  const names = [...known, ...(sentinel ? knownOfSentinel : [])];
  for (const name of query.keys())
    if (!names.includes(name)) throw bad(`?${name}= is not known; known are ${names.join(', ')}`);
  return query;
}

/** A user without a password is sent as one with an empty password. */
function readLogin(login: string): { username?: string; password?: string } {
  if (login === '') return {};
  const colon = login.indexOf(':');
  const parts = colon < 0 ? [login, ''] : [login.slice(0, colon), login.slice(colon + 1)];
  try {
    const [user = '', password = ''] = parts.map(decodeURIComponent);
    return { ...(user === '' ? {} : { username: user }), password };
  } catch {
    throw bad('a % in the user or password is written %25');
  }
}

function readHost(text: string, defaultPort: number): { host: string; port: number } {
  const found = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/.exec(text);
  const port = Number(found?.[3] ?? defaultPort);
  if (!found || port === 0 || port > 65535) throw bad(`${text} is not HOST or HOST:PORT`);
  return { host: found[1] ?? found[2] ?? '', port };
}

function tlsOf(query: ReadonlyMap<string, string>): { ca?: Buffer; cert?: Buffer; key?: Buffer } {
  const files = known.flatMap((name) => {
    const path = query.get(name);
    return path === undefined ? [] : [[name, readPem(path)]];
  });
  return Object.fromEntries(files) as { ca?: Buffer };
}

function readPem(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (thrown) {
    throw bad(`${path}: ${messageOf(thrown)}`);
  }
}

/** The text itself is not shown: it may hold a password. */
function bad(why: string): WeirError {
  return new WeirError('usage', `the address of the Redis store cannot be used: ${why}`, {
    hint: 'e.g. redis://USER:PASSWORD@127.0.0.1:6379/1 or redis+sentinel://10.0.0.1,10.0.0.2/1?master=weir',
  });
}
