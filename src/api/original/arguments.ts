/** Arguments of the original's calls by their declaration. */
import type { FastifyRequest } from 'fastify';
import type { TObject, TSchema } from 'typebox';
import { readLiteral } from '../../adopt/original/literal.ts';
import { MAX_ITEMS } from '../../domain/edge/operation.ts';
import { refuse } from '../../domain/errors.ts';
import { error, show } from '../../domain/problem.ts';
import type { Problem } from '../../domain/problem.ts';
import { fieldsOf } from './forms.ts';

type Loose = Record<string, unknown>;

/** What a call was given. `list` and `object` throw where the text is none. */
export interface Arguments {
  /** Empty if it is optional and was left out. */
  text(name: string): string;
  list(name: string): unknown[];
  object(name: string): Loose;
  /** Whether the configuration is to be pushed after the change. */
  readonly push: boolean;
  /** Arguments that the call does not have: passed over, as in the original, but told. */
  readonly unknown: readonly string[];
}

/** Longest argument that is no list or object, in UTF-16 units; the longest names have 253. */
const MAX_TEXT = 1000;

/** Throws `bad_request` with every required argument that is missing, and each text that is longer than any name. */
export function readArguments(request: FastifyRequest, declared: TObject): Arguments {
  const fields = fieldsOf(request);
  const properties = declared.properties as Record<string, TSchema & { contentMediaType?: string }>;
  const missing = (declared.required ?? []).filter((name) => !fields.has(name));
  const long = Object.keys(properties).filter(
    (name) => properties[name]?.contentMediaType === undefined && (fields.get(name)?.length ?? 0) > MAX_TEXT,
  );
  const problems = [...missing.map(absent), ...long.map(tooLong)];
  if (problems.length > 0) throw refuse(problems, 'bad_request');
  const text = (name: string) => fields.get(name) ?? '';
  return {
    text,
    list(name) {
      const value = valueOf(name, text(name));
      if (!Array.isArray(value)) throw refuse([wrongType(name, 'a list', value)]);
      if (value.length > MAX_ITEMS) throw refuse([tooMany(name, value.length)]);
      return value;
    },
    object(name) {
      const value = valueOf(name, text(name));
      if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value as Loose;
      throw refuse([wrongType(name, 'an object', value)]);
    },
    push: (fields.get('cfg_push') ?? 'True') === 'True',
    unknown: [...fields.keys()].filter((name) => !Object.hasOwn(properties, name)),
  };
}

/** JSON; scripts in Python 2 also sent what it prints of a list (`[u'60.28.208.1']`). */
function valueOf(name: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    const read = readLiteral(text);
    if (read.ok) return read.value;
    throw refuse([unreadable(name, `${read.message} (character ${read.offset + 1})`)]);
  }
}

function absent(name: string): Problem {
  return error(name, {
    code: 'missing',
    message: `the argument ${name} is missing`,
    hint: 'send it as a form field or query parameter',
  });
}

function wrongType(name: string, wanted: string, value: unknown): Problem {
  return error(name, { code: 'wrong_type', message: `must be ${wanted}, not ${show(value)}`, hint: 'send it as JSON' });
}

function tooLong(name: string): Problem {
  return error(name, {
    code: 'out_of_range',
    message: `the argument ${name} is longer than ${MAX_TEXT} characters`,
    hint: 'only lists and objects may be',
  });
}

function tooMany(name: string, length: number): Problem {
  return error(name, {
    code: 'out_of_range',
    message: `holds ${length} entries`,
    hint: `send at most ${MAX_ITEMS} at once`,
  });
}

function unreadable(name: string, words: string): Problem {
  return error(name, { code: 'unreadable', message: `cannot be read: ${words}`, hint: 'send JSON' });
}
