/**
 * Python 2 literals, as the original's `repr` wrote them and as people edit them, and JSON. Read
 * strictly and never evaluated: any text gives a value or the place where it stops being one.
 */
import { show } from '../../domain/problem.ts';
import { fail, skipBlank, take } from './cursor.ts';
import type { Cursor, Fault } from './cursor.ts';
import { readStrings, startsString } from './literal-string.ts';

/** Tuples are arrays, long integers numbers, dicts objects with own properties only. */
export type Literal = null | boolean | number | string | Literal[] | { [key: string]: Literal };

/** `offset`: in UTF-16 units from the start of the text. */
export type LiteralRead = { ok: true; value: Literal } | ({ ok: false } & Fault);

/** Longest text that is read, in UTF-16 units; 20,000 VIPs are about 12 million. */
export const MAX_LITERAL = 32 * 1024 * 1024;

/** Most brackets within one another; a record has four, and Python 2 itself gives up at about 90. */
export const MAX_NESTING = 64;

export function readLiteral(source: string): LiteralRead {
  const cursor: Cursor = { source, at: source.startsWith('\uFEFF') ? 1 : 0, fault: { offset: 0, message: '' } };
  const value = readWhole(cursor);
  return value === undefined ? { ok: false, ...cursor.fault } : { ok: true, value };
}

/** Undefined, here and below: the cursor's fault says why. */
type Read<T> = T | undefined;

function readWhole(cursor: Cursor): Read<Literal> {
  const { length } = cursor.source;
  if (length > MAX_LITERAL) return fail(cursor, `${length} characters are more than ${MAX_LITERAL}`, 0);
  const nul = cursor.source.indexOf('\0');
  if (nul >= 0) return fail(cursor, 'a NUL character stands in the text', nul);
  const value = readValue(cursor, 0);
  if (value === undefined) return undefined;
  skipBlank(cursor);
  return cursor.at < length ? fail(cursor, `${here(cursor)} stands after the value`) : value;
}

function readValue(cursor: Cursor, depth: number): Read<Literal> {
  skipBlank(cursor);
  const character = cursor.source[cursor.at];
  if (character === undefined) return fail(cursor, 'the text ends where a value should stand');
  if ('[({'.includes(character)) return readBracket(cursor, depth);
  if ('0123456789.+-'.includes(character)) return readNumber(cursor);
  if (startsString(cursor)) return readStrings(cursor);
  return readName(cursor);
}

function readBracket(cursor: Cursor, depth: number): Read<Literal> {
  if (depth === MAX_NESTING) return fail(cursor, `more than ${MAX_NESTING} brackets within one another`);
  const bracket = cursor.source[cursor.at++];
  if (bracket === '{') return readDict(cursor, depth + 1);
  const list = readItems(cursor, bracket === '[' ? ']' : ')', (inner) => readValue(inner, depth + 1));
  const [only] = list?.items ?? [];
  // `(1)` is 1 in brackets, `(1,)` a tuple.
  if (bracket === '(' && list?.items.length === 1 && !list.trailing) return only;
  return list?.items;
}

/** The last of equal keys wins, as in Python: what the original ran with is what is taken over. */
function readDict(cursor: Cursor, depth: number): Read<Literal> {
  const list = readItems(cursor, '}', (inner) => readEntry(inner, depth));
  // Unlike assignment, this makes `__proto__` a key like any other.
  return list && Object.fromEntries(list.items);
}

function readEntry(cursor: Cursor, depth: number): Read<[string, Literal]> {
  skipBlank(cursor);
  const start = cursor.at;
  const key = readValue(cursor, depth);
  if (key === undefined) return undefined;
  if (typeof key !== 'string') return fail(cursor, `a key must be a string, not ${show(key)}`, start);
  skipBlank(cursor);
  if (cursor.source[cursor.at] !== ':')
    return fail(cursor, `: should follow the key ${show(key)}, not ${here(cursor)}`);
  cursor.at++;
  const value = readValue(cursor, depth);
  return value === undefined ? undefined : [key, value];
}

interface Items<T> {
  items: T[];
  /** A comma follows the last. */
  trailing: boolean;
}

function readItems<T>(cursor: Cursor, end: string, read: (cursor: Cursor) => Read<T>): Read<Items<T>> {
  const items: T[] = [];
  let trailing = false;
  for (;;) {
    skipBlank(cursor);
    if (cursor.source[cursor.at] === end) break;
    if (items.length > 0 && !trailing) return fail(cursor, `, or ${end} should stand here, not ${here(cursor)}`);
    const item = read(cursor);
    if (item === undefined) return undefined;
    items.push(item);
    skipBlank(cursor);
    trailing = cursor.source[cursor.at] === ',';
    if (trailing) cursor.at++;
  }
  cursor.at++;
  return { items, trailing };
}

const numeral =
  /(\d+\.\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)|(0[xX][\da-fA-F]+|0[oO][0-7]+|0[bB][01]+|\d+)[lL]?/y;
const sign = /[+-]/y;
/** What must not follow a number at once. */
const rest = /[\w.]/y;

function readNumber(cursor: Cursor): Read<number> {
  const start = cursor.at;
  const negative = take(cursor, sign)?.[0] === '-';
  skipBlank(cursor);
  const [text = '', float, integer] = take(cursor, numeral) ?? [];
  if (text === '' || take(cursor, rest)) return fail(cursor, `${here(cursor, start)} is not a number`, start);
  const value = float === undefined ? integerOf(integer ?? '') : Number(float);
  if (Number.isNaN(value)) return fail(cursor, `${show(text)} is not an octal number`, start);
  const most = float === undefined ? Number.MAX_SAFE_INTEGER : Number.MAX_VALUE;
  if (value > most) return fail(cursor, `${show(text)} is too large to be kept exactly`, start);
  // Python has one integer zero.
  return negative && (float !== undefined || value !== 0) ? -value : value;
}

/** Python 2: a leading zero makes it octal. */
function integerOf(text: string): number {
  if (!/^0\d/.test(text)) return Number(text);
  return /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number.NaN;
}

const names = new Map<string, Literal>([
  ['None', null],
  ['True', true],
  ['False', false],
  ['null', null],
  ['true', true],
  ['false', false],
]);

const word = /[\p{L}_][\p{L}\p{N}_]*/uy;

function readName(cursor: Cursor): Read<Literal> {
  const start = cursor.at;
  const name = take(cursor, word)?.[0];
  if (name === undefined) return fail(cursor, `${here(cursor)} stands where a value should`);
  const value = names.get(name);
  if (value !== undefined) return value;
  return fail(cursor, `${show(name)} stands without quotes and is none of ${[...names.keys()].join(', ')}`, start);
}

/** What stands at a place, to be shown. */
function here({ source, at }: Cursor, from = at): string {
  const text = source.slice(from, from + 20);
  return text === '' ? 'the end of the text' : show(text.split(/[\r\n]/)[0] || text);
}
