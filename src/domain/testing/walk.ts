/**
 * Walks a schema along with a document: every object and every text in it, so that tests can be
 * made for all of them, also for those that are added to the model later. Only tests import it.
 */
import type { TSchema } from 'typebox';

export type Steps = readonly (string | number)[];

export interface Place {
  readonly kind: 'object' | 'text' | 'key';
  /** From the document; of a `key`, to the object that it is in. */
  readonly steps: Steps;
  /** Of a `text` its value, of a `key` its name. */
  readonly text: string;
  /** Fields of an `object`; undefined where any name may stand. */
  readonly fields: readonly string[] | undefined;
}

interface Shape {
  type?: string;
  properties?: Record<string, Shape>;
  patternProperties?: Record<string, Shape>;
  items?: Shape;
}

/** All objects, texts and free keys of a document, in its order. */
export function placesOf(schema: TSchema, document: unknown): Place[] {
  return [...walk(schema, document, [])];
}

function* walk(shape: Shape, value: unknown, steps: Steps): Generator<Place> {
  if (typeof value === 'string' && shape.type === 'string')
    yield { kind: 'text', steps, text: value, fields: undefined };
  if (Array.isArray(value) && shape.items) {
    for (const [i, item] of value.entries()) yield* walk(shape.items, item, [...steps, i]);
  } else if (value !== null && typeof value === 'object') {
    const free = Object.values(shape.patternProperties ?? {})[0];
    const fields = shape.properties && Object.keys(shape.properties);
    yield { kind: 'object', steps, text: '', fields };
    for (const [name, item] of Object.entries(value)) {
      if (free) yield { kind: 'key', steps, text: name, fields: undefined };
      const next = shape.properties?.[name] ?? free;
      if (next) yield* walk(next, item, [...steps, name]);
    }
  }
}

/** Every field that a schema knows, as `vip2ws[].ports[].sport`. */
export function fieldsOf(schema: TSchema): string[] {
  return [...fields(schema, '')];
}

function* fields(shape: Shape, path: string): Generator<string> {
  for (const [name, field] of Object.entries(shape.properties ?? {})) {
    const at = path ? `${path}.${name}` : name;
    yield at;
    yield* fields(field, at);
  }
  for (const field of Object.values(shape.patternProperties ?? {})) yield* fields(field, `${path}{}`);
  if (shape.items) yield* fields(shape.items, `${path}[]`);
}

/** A copy of a document with another value in one place. */
export function withValue<T>(document: T, steps: Steps, value: unknown): T {
  const copy = structuredClone(document);
  const parent = at(copy, steps.slice(0, -1)) as Record<string | number, unknown>;
  parent[steps.at(-1) ?? ''] = value;
  return copy;
}

/** A copy of a document in which a key of the object at `steps` has another name. */
export function withKey<T>(document: T, steps: Steps, [from, to]: readonly [string, string]): T {
  const entries = Object.entries(at(document, steps) as object);
  return withValue(document, steps, Object.fromEntries(entries.map(([k, v]) => [k === from ? to : k, v])));
}

export function at(document: unknown, steps: Steps): unknown {
  return steps.reduce<unknown>((value, step) => (value as Record<string | number, unknown>)[step], document);
}

/** A path as problems have it. */
export function pathOf(steps: Steps): string {
  return steps.reduce<string>((path, step) => {
    if (typeof step === 'number') return `${path}[${step}]`;
    if (!/^[A-Za-z_][\w-]*$/.test(step)) return `${path}[${JSON.stringify(step)}]`;
    return path ? `${path}.${step}` : step;
  }, '');
}
