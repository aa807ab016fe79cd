/**
 * What records say in other words than the model: numbers as text, None for what is absent, empty
 * text for the external side of an internal cluster. Fields that the original does not document are
 * problems, Weir's own too: nothing that stands in a record is dropped in silence.
 */
import { error, show } from '../../domain/problem.ts';
import type { Problem } from '../../domain/problem.ts';
import { dot, nearest } from '../../domain/schema.ts';
import { lbFields, portFields, vipFields } from './form.ts';

export interface Reading {
  /** Of the cluster, as the record has it. */
  type: string | undefined;
  /** What is found wrong is added here. */
  problems: Problem[];
}

type Loose = Record<string, unknown>;

export function plainLb(value: unknown, path: string, reading: Reading): unknown {
  if (!isLoose(value)) return value;
  const lb = documented(value, lbFields, { path, reading });
  const extra = ['extraip', 'extranetmask', 'extragateway'];
  return without(lb, extra, (given) => given === null || (given === '' && reading.type === 'internal'));
}

export function plainVip(value: unknown, path: string, reading: Reading): unknown {
  if (!isLoose(value)) return value;
  const vip = without(documented(value, vipFields, { path, reading }), ['wss', 'ports'], isNone);
  return {
    ...vip,
    wss: each(vip['wss'], `${path}.wss`, (ws, at) => plainWs(ws, at, reading)),
    ports: each(vip['ports'], `${path}.ports`, (port, at) => plainPort(port, at, reading)),
  };
}

/** The short form `{ws, weight, ...}` is Weir's, not the original's. */
function plainWs(value: unknown, path: string, reading: Reading): unknown {
  if (!isLoose(value)) return value;
  reading.problems.push(
    error(path, {
      code: 'wrong_type',
      message: `must be a string, not ${show(value)}`,
      hint: 'a record names WSs only; their attributes are set in Weir',
    }),
  );
  return null;
}

/** Without `synproxy` or `persistence_timeout` they are 1 and 50, as the original's API has it. */
function plainPort(value: unknown, path: string, reading: Reading): unknown {
  if (!isLoose(value)) return value;
  const port = documented(value, portFields, { path, reading });
  const given = without(port, ['synproxy', 'persistence_timeout'], isNone);
  return Object.fromEntries(Object.entries(given).map(([field, item]) => [field, plainNumber(field, item)]));
}

function plainNumber(field: string, value: unknown): unknown {
  if (field === 'synproxy' && typeof value === 'boolean') return Number(value);
  return typeof value === 'string' && /^(?:0|[1-9]\d{0,14})$/.test(value) ? Number(value) : value;
}

/** Applies to the items of a list; anything else is left to the schema. */
export function each(value: unknown, path: string, plain: (item: unknown, path: string) => unknown): unknown {
  return Array.isArray(value) ? value.map((item: unknown, i) => plain(item, `${path}[${i}]`)) : value;
}

/** The documented fields; each other one is a problem. */
function documented(value: Loose, fields: readonly string[], at: { path: string; reading: Reading }): Loose {
  for (const field of Object.keys(value)) {
    if (!fields.includes(field)) at.reading.problems.push(unknownField(at.path, field, fields));
  }
  return Object.fromEntries(Object.entries(value).filter(([field]) => fields.includes(field)));
}

export function unknownField(path: string, field: string, known: readonly string[]): Problem {
  const near = nearest(field, known);
  return error(dot(path, field), {
    code: 'unknown_field',
    message: `unknown field ${show(field)}`,
    hint: near ? `did you mean ${near}?` : `the original knows here: ${known.join(', ')}`,
  });
}

function without(value: Loose, fields: readonly string[], absent: (given: unknown) => boolean): Loose {
  return Object.fromEntries(
    Object.entries(value).filter(([field, given]) => !fields.includes(field) || !absent(given)),
  );
}

function isNone(value: unknown): boolean {
  return value === null;
}

function isLoose(value: unknown): value is Loose {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
