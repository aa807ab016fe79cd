/**
 * What an operation is, and what declaring one takes: reading its input, finding what it names,
 * answering why not. The operations themselves are in operations.ts.
 */
import Type from 'typebox';
import type { TSchema } from 'typebox';
import { error, show } from '../problem.ts';
import type { Problem } from '../problem.ts';
import { text, strict, parse, nearest } from '../schema.ts';
import type { Parsed } from '../schema.ts';
import { Ws } from './model.ts';
import type { Cluster, Vip } from './model.ts';
import { parseMany } from './read.ts';

/** The next document (undefined: none), or why not. `reason` decides the error's code. */
export type Applied =
  | { ok: true; cluster: Cluster | undefined }
  | { ok: false; reason: 'invalid' | 'not_found' | 'exists'; problems: Problem[] };

/** Also the fields of inputs that name one of them; their plurals name many. */
const targets: readonly string[] = ['cluster', 'vip', 'lb', 'ws', 'port'] satisfies Target[];

export type Target = 'cluster' | 'vip' | 'lb' | 'ws' | 'port';

export interface Operation<Input = never> {
  /** `ws.add` */
  name: string;
  target: Target;
  /** One line, for OpenAPI, `--help` and audit. */
  summary: string;
  /** Shape of the input, for documentation; short forms that `read` also takes are named in descriptions. */
  input: TSchema;
  http: HttpBinding;
  /** Input of unknown shape, checked and in its full form. */
  read: (input: unknown) => Parsed<Input>;
  apply: (cluster: Cluster | undefined, input: Input) => Applied;
}

/** How a v1 request becomes the input: parameters of the path by name, the body under `body`, or all of it. */
export interface HttpBinding {
  method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Below /clusters. */
  path: string;
  /** Field of the input that the body is put in. */
  body?: string;
  /** Schema of the body. */
  bodySchema?: TSchema;
  /** Path parameters that become a list of one under another name, e.g. `{ws: 'wss'}`. */
  lists?: Record<string, string>;
}

export function define<Input>(operation: Operation<Input>): Operation<Input> {
  return operation;
}

export function done(cluster: Cluster | undefined): Applied {
  return { ok: true, cluster };
}

/** Most items of one operation. */
export const MAX_ITEMS = 20000;

export const Names = Type.Array(Type.String({ maxLength: 255 }), { minItems: 1, maxItems: MAX_ITEMS });
export function oneOrMany(schema: TSchema): TSchema {
  return Type.Union([schema, Type.Array(schema, { minItems: 1, maxItems: MAX_ITEMS })]);
}

export const WsInput = Type.Union([text('hostname', 'a WS'), Ws], {
  description: '"HOST" or {ws, weight, state, address}',
});

export type Loose = Record<string, unknown>;

export function readSet<Input>(fields: readonly string[]): (input: unknown) => Parsed<Input> {
  const schema = Type.Object(
    Object.fromEntries(
      fields.map((f) => [f, f === 'set' ? Type.Object({}, { minProperties: 1 }) : Type.String({ maxLength: 255 })]),
    ),
    strict,
  );
  return (input) => parse(schema, input) as Parsed<Input>;
}

export type ReadOne<T> = (value: unknown, path: string) => Parsed<T>;

/** Reads `{...keys, [field]: one or many}`. */
export function readMany<Input, T>(
  field: keyof Input & string,
  one: ReadOne<T>,
  keys: readonly string[] = [],
): (input: unknown) => Parsed<Input> {
  const schema = Type.Object({ ...keyFields(keys), [field]: Type.Unknown() }, strict);
  return (input) => {
    const shape = parse(schema, input) as Parsed<Loose>;
    if (!shape.ok) return shape;
    const listed = shape.value[field];
    if (Array.isArray(listed) && (listed.length === 0 || listed.length > MAX_ITEMS)) {
      const message = `${field} holds ${listed.length} entries`;
      return { ok: false, problems: [error(field, { code: 'out_of_range', message, hint: `give 1 to ${MAX_ITEMS}` })] };
    }
    const items = parseMany(one, listed, field);
    return items.ok ? { ok: true, value: { ...shape.value, [field]: items.value } as Input } : items;
  };
}

/** Reads `{...keys, [field]: names}`; one name may stand without its list. */
export function readNames<Input>(
  field: keyof Input & string,
  keys: readonly string[] = [],
): (input: unknown) => Parsed<Input> {
  const schema = Type.Object({ ...keyFields(keys), [field]: Names }, strict);
  return (input) => {
    const value = input as Loose | null;
    const one = value !== null && typeof value === 'object' && typeof value[field] === 'string';
    return parse(schema, one ? { ...value, [field]: [value[field]] } : input) as Parsed<Input>;
  };
}

export function keyFields(keys: readonly string[]): Record<string, TSchema> {
  return Object.fromEntries(keys.map((k) => [k, Type.String({ maxLength: 255 })]));
}

export function onCluster(cluster: Cluster | undefined, change: (cluster: Cluster) => Applied): Applied {
  if (cluster) return change(cluster);
  return absent([
    error('', { code: 'unknown_cluster', message: 'there is no such cluster', hint: 'weir get clusters lists them' }),
  ]);
}

/** Changes one VIP in place; `change` answers the new VIP, or why not. */
export function onVip(cluster: Cluster | undefined, address: string, change: (vip: Vip) => Vip | Applied): Applied {
  return onCluster(cluster, (c) => {
    const index = c.vip2ws.findIndex((v) => v.vip === address);
    const vip = c.vip2ws[index];
    if (!vip)
      return absent(
        missing(
          [address],
          c.vip2ws.map((v) => v.vip),
          { what: 'VIP', path: 'vip', of: c.name },
        ),
      );
    const next = change(vip);
    return 'ok' in next ? next : done({ ...c, vip2ws: c.vip2ws.with(index, next) });
  });
}

export function refused(problems: Problem[]): Applied {
  return { ok: false, reason: 'invalid', problems };
}

export function absent(problems: Problem[]): Applied {
  return { ok: false, reason: 'not_found', problems };
}

export function taken(problems: Problem[]): Applied {
  return { ok: false, reason: 'exists', problems };
}

export interface Naming {
  what: string;
  path: string;
  of: string;
}

export function existing(wanted: readonly string[], there: ReadonlySet<string>, naming: Naming): Problem[] {
  return wanted.flatMap((name, i) =>
    there.has(name)
      ? error(`${naming.path}[${i}]`, {
          code: `${naming.what.toLowerCase()}_exists`,
          message: `${naming.what} ${name} is in ${naming.of} already`,
          hint: 'change it instead of adding it',
        })
      : [],
  );
}

/** Most misses that a near name is looked for: comparing every one of many with every name would take minutes. */
const MAX_GUESSES = 20;

export function missing(wanted: readonly string[], there: readonly string[], naming: Naming): Problem[] {
  const known = new Set(there);
  let guesses = 0;
  return wanted.flatMap((name, i) => {
    if (known.has(name)) return [];
    const near = guesses++ < MAX_GUESSES ? nearest(name, there) : undefined;
    return error(targets.includes(naming.path) ? naming.path : `${naming.path}[${i}]`, {
      code: `unknown_${naming.what.toLowerCase()}`,
      message: `there is no ${naming.what} ${show(name)} in ${naming.of}`,
      hint: near ? `did you mean ${near}?` : `weir show lists the ${naming.what}s`,
    });
  });
}

/** Refuses a merge patch that would change what names the thing. */
export function fixed(set: Record<string, unknown>, key: Record<string, string>): Problem | undefined {
  for (const [field, value] of Object.entries(key)) {
    if (!Object.hasOwn(set, field) || set[field] === value) continue;
    return error(`set.${field}`, {
      code: 'not_changeable',
      message: `${field} ${value} cannot be changed to ${show(set[field])}`,
      hint: 'add a new one and remove the old one',
    });
  }
  return undefined;
}

/** Levels that a merge patch goes down; the model has fewer, and input may be deeper than the stack. */
const MAX_DEPTH = 16;

/** RFC 7396 merge patch: null removes, objects merge, anything else replaces. */
export function merge(target: unknown, patch: unknown, depth = MAX_DEPTH): unknown {
  if (patch === null || typeof patch !== 'object' || Array.isArray(patch) || depth === 0) return patch;
  const base = target !== null && typeof target === 'object' && !Array.isArray(target) ? target : {};
  const next = new Map<string, unknown>(Object.entries(base));
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) next.delete(name);
    else next.set(name, merge(next.get(name), value, depth - 1));
  }
  return Object.fromEntries(next);
}
