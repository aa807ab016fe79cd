/** `field=value` arguments as merge patches: the schema says what a value is. */
import type { TSchema } from 'typebox';
import JSON5 from 'json5';
import { error } from '../domain/problem.ts';
import { refuse } from '../domain/errors.ts';
import { nearest } from '../domain/schema.ts';

interface Shape {
  type?: string;
  properties?: Record<string, Shape>;
  anyOf?: Shape[];
  additionalProperties?: unknown;
}

/** `ospf.cost=20 wstype=apps lips=10.0.0.1,10.0.0.2 owner=null`: dotted fields nest, lists are split at commas, null removes. */
export function readAssignments(schema: TSchema, texts: readonly string[]): Record<string, unknown> {
  const set: Record<string, unknown> = {};
  for (const text of texts) {
    const equals = text.indexOf('=');
    if (equals < 1) throw usage(text, 'write field=value, e.g. wstype=apps; field=null removes it');
    const steps = text.slice(0, equals).split('.');
    assign(set, steps, valueOf(text, schemaAt(schema, steps), text.slice(equals + 1)));
  }
  return set;
}

function assign(target: Record<string, unknown>, steps: readonly string[], value: unknown): void {
  const [first = '', ...rest] = steps;
  if (rest.length === 0) {
    target[first] = value;
    return;
  }
  const below = (target[first] ?? {}) as Record<string, unknown>;
  target[first] = below;
  assign(below, rest, value);
}

function schemaAt(schema: TSchema, steps: readonly string[]): Shape {
  let at = schema as Shape;
  for (const step of steps) {
    const known = Object.keys(at.properties ?? {});
    const next = at.properties !== undefined && Object.hasOwn(at.properties, step) ? at.properties[step] : undefined;
    if (!next) {
      const near = nearest(step, known);
      throw usage(steps.join('.'), near ? `did you mean ${near}?` : `known fields: ${known.join(', ')}`);
    }
    at = next;
  }
  return at;
}

function valueOf(text: string, shape: Shape, value: string): unknown {
  if (value === 'null') return null;
  if (shape.anyOf) return value;
  switch (shape.type) {
    case 'integer':
      return /^-?\d{1,15}$/.test(value) ? Number(value) : value;
    case 'boolean':
      return value === 'true' ? true : value === 'false' ? false : value;
    case 'array':
    case 'object':
      if (/^\s*[[{]/.test(value)) return structured(text, value);
      return shape.type === 'array' ? value.split(',').filter(Boolean) : value;
    default:
      return value;
  }
}

function structured(text: string, value: string): unknown {
  try {
    return JSON5.parse(value);
  } catch {
    throw usage(text, 'write JSON5 after =, e.g. {path:"/ok"}');
  }
}

function usage(text: string, hint: string): Error {
  return refuse([error(text, { code: 'bad_assignment', message: 'is not a field that can be set', hint })], 'usage');
}
