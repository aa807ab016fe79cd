/**
 * Reading documents as people write them: JSON5 or YAML text, and the short forms of the seed
 * and the API (a WS as a bare name, a port without its defaults, a VIP without ports).
 * Answers strictly typed documents or every problem found.
 */
import JSON5 from 'json5';
import { parseAllDocuments } from 'yaml';
import { error } from '../problem.ts';
import type { Problem } from '../problem.ts';
import { messageOf } from '../errors.ts';
import { parse } from '../schema.ts';
import type { Parsed } from '../schema.ts';
import { Cluster, defaults, Port, Vip, Ws } from './model.ts';

/**
 * Text that starts with `{` or `[` is JSON5, anything else YAML (one or several documents), of which at most `maxYaml`
 * characters are read: it is slow, and a server answers others meanwhile.
 */
export function readText(
  source: string,
  maxYaml = Number.POSITIVE_INFINITY,
): { ok: true; values: unknown[] } | { ok: false; problems: Problem[] } {
  const body = source.replace(/^\uFEFF/, '');
  try {
    if (/^\s*[{[]/.test(body)) return { ok: true, values: [JSON5.parse(body)] };
    if (body.length > maxYaml) {
      return {
        ok: false,
        problems: [unreadable(`${body.length} characters of YAML are more than ${maxYaml}: send JSON`)],
      };
    }
    const documents = parseAllDocuments(body, { uniqueKeys: true });
    const list = Array.isArray(documents) ? documents : [];
    const problems = list.flatMap((d) => d.errors.map((e) => unreadable(e.message.split('\n')[0] ?? 'unreadable')));
    if (problems.length > 0) return { ok: false, problems };
    return { ok: true, values: list.map((d) => d.toJS({ maxAliasCount: 100 }) as unknown) };
  } catch (thrown) {
    return { ok: false, problems: [unreadable(messageOf(thrown))] };
  }
}

function unreadable(message: string): Problem {
  return error('', {
    code: 'unreadable',
    message: `cannot be read: ${message}`,
    hint: 'text that starts with { or [ is read as JSON5, anything else as YAML',
  });
}

/** All clusters of a text: one document, a list of them, or several YAML documents. */
export function readClusters(source: string): Parsed<Cluster[]> {
  const read = readText(source);
  if (!read.ok) return read;
  const values = read.values.flatMap((v) => (Array.isArray(v) ? v : [v]) as unknown[]);
  const several = values.length > 1;
  const problems: Problem[] = [];
  const clusters: Cluster[] = [];
  values.forEach((value, i) => {
    const parsed = parseCluster(value, several ? `[${i}]` : '');
    if (parsed.ok) clusters.push(parsed.value);
    else problems.push(...parsed.problems);
  });
  if (values.length === 0) problems.push(unreadable('the text holds no document'));
  return problems.length > 0 ? { ok: false, problems } : { ok: true, value: clusters };
}

export function parseCluster(value: unknown, path = ''): Parsed<Cluster> {
  return parse(Cluster, expandCluster(value), path);
}

export function parseVip(value: unknown, path = ''): Parsed<Vip> {
  return parse(Vip, expandVip(value), path);
}

export function parsePort(value: unknown, path = ''): Parsed<Port> {
  return parse(Port, expandPort(value), path);
}

export function parseWs(value: unknown, path = ''): Parsed<Ws> {
  return parse(Ws, typeof value === 'string' ? { ws: value } : value, path);
}

/** One or many of something, as an array; problems of all of them. */
export function parseMany<T>(
  one: (value: unknown, path: string) => Parsed<T>,
  value: unknown,
  path: string,
): Parsed<T[]> {
  const many = Array.isArray(value);
  const items: T[] = [];
  const problems: Problem[] = [];
  (many ? (value as unknown[]) : [value]).forEach((item, i) => {
    const parsed = one(item, many ? `${path}[${i}]` : path);
    if (parsed.ok) items.push(parsed.value);
    else problems.push(...parsed.problems);
  });
  return problems.length > 0 ? { ok: false, problems } : { ok: true, value: items };
}

type Loose = Record<string, unknown>;

function isLoose(value: unknown): value is Loose {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

function expandCluster(value: unknown): unknown {
  if (!isLoose(value)) return value;
  const check = expandCheck(value['check']);
  return {
    ...value,
    ...(check === undefined ? {} : { check }),
    ...(Array.isArray(value['vip2ws']) ? { vip2ws: value['vip2ws'].map(expandVip) } : {}),
  };
}

/** Ports of a VIP that names none, as in the original. */
export const defaultPorts: readonly Port[] = [80, 443].map((n) => ({
  sport: n,
  dport: n,
  synproxy: defaults.synproxy,
  persistence_timeout: defaults.persistence_timeout,
}));

function expandVip(value: unknown): unknown {
  if (!isLoose(value)) return value;
  const wss = value['wss'];
  const ports = value['ports'];
  const attrs: Loose = {};
  const listed = Array.isArray(wss) ? wss.map((ws: unknown) => pullAttrs(ws, attrs)) : wss;
  const wsattrs = mergeAttrs(value['wsattrs'], attrs);
  return {
    ...value,
    ...(wss === undefined ? { wss: [] } : { wss: listed }),
    ...(wsattrs === undefined ? {} : { wsattrs }),
    ports: ports === undefined ? defaultPorts : Array.isArray(ports) ? ports.map(expandPort) : ports,
  };
}

/** `{ws, ...attributes}` within a VIP's list becomes its name there and an entry of `wsattrs`. */
function pullAttrs(ws: unknown, attrs: Loose): unknown {
  if (!isLoose(ws) || typeof ws['ws'] !== 'string') return ws;
  const { ws: name, ...rest } = ws;
  if (Object.keys(rest).length > 0) {
    // `__proto__` must become a key that is refused; a WS that stands twice is a finding of its own.
    Object.defineProperty(attrs, name, { value: rest, enumerable: true, configurable: true });
  }
  return name;
}

/** Attributes that stand with a WS join those that `wsattrs` has of it. */
function mergeAttrs(listed: unknown, pulled: Loose): unknown {
  const names = Object.keys(pulled);
  if (names.length === 0 || (listed !== undefined && !isLoose(listed))) return listed;
  const merged = new Map(Object.entries(listed ?? {}));
  for (const name of names) {
    const before = merged.get(name);
    if (before === undefined) merged.set(name, pulled[name]);
    else if (isLoose(before)) merged.set(name, { ...before, ...(pulled[name] as Loose) });
  }
  return Object.fromEntries(merged);
}

function expandPort(value: unknown): unknown {
  if (!isLoose(value)) return value;
  const check = expandCheck(value['check']);
  return {
    synproxy: defaults.synproxy,
    persistence_timeout: defaults.persistence_timeout,
    ...value,
    ...(check === undefined ? {} : { check }),
  };
}

/** `check: tcp` is short for `check: {type: tcp}`. */
function expandCheck(check: unknown): unknown {
  return typeof check === 'string' ? { type: check } : check;
}
