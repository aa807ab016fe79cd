/**
 * Strings of Python 2 literals and of JSON. Three kinds, by what a backslash means in them:
 * `text` (u'') holds code points; `bytes` (b'') holds bytes, read as UTF-8; `plain` (no prefix) is
 * Python 2's bytes too, but may come from JSON, whose \uXXXX and \/ are escapes there. Python 2 would
 * keep their backslash, yet its own `repr` never writes one that stands single before u or /.
 * Where \u is an escape, \N{NAME} is one too, and refused: a table of all names is not worth having.
 */
import { fail, isNewline, skipBlank, take } from './cursor.ts';
import type { Cursor } from './cursor.ts';

const opening = /([uUbB]?)([rR]?)("""|'''|"|')/y;

export function startsString({ source, at }: Cursor): boolean {
  opening.lastIndex = at;
  return opening.test(source);
}

interface Piece {
  kind: 'text' | 'bytes' | 'plain';
  raw: boolean;
  quote: string;
}

/** What was read so far: text, and bytes after it that wait for the rest of their character. */
interface Reading {
  text: string[];
  bytes: number[];
  /** Of the first of the bytes. */
  bytesFrom: number;
}

/** What most strings are: no prefix, no backslash, not three quotes. */
const easy = /'([\x20-\x26\x28-\x5b\x5d-\x7e]*)'(?!')|"([\x20\x21\x23-\x5b\x5d-\x7e]*)"(?!")/y;

/** One string, or several beside one another, which Python joins. */
export function readStrings(cursor: Cursor): string | undefined {
  const start = cursor.at;
  const [, single, double] = take(cursor, easy) ?? [];
  const reading: Reading = { text: [single ?? double ?? ''], bytes: [], bytesFrom: start };
  for (;;) {
    skipBlank(cursor);
    const piece = pieceAt(cursor);
    if (!piece) break;
    if (!readPiece(cursor, piece, reading)) return undefined;
  }
  if (!flush(cursor, reading)) return undefined;
  const text = reading.text.join('');
  return /\p{Cs}/u.test(text) ? fail(cursor, 'the string holds half of a surrogate pair', start) : text;
}

function pieceAt(cursor: Cursor): Piece | undefined {
  const [, prefix = '', raw = '', quote = ''] = take(cursor, opening) ?? [];
  if (quote === '') return undefined;
  return { kind: prefix === '' ? 'plain' : /u/i.test(prefix) ? 'text' : 'bytes', raw: raw !== '', quote };
}

const plainRun = /[^\\'"\r\n]+/y;

function readPiece(cursor: Cursor, piece: Piece, reading: Reading): true | undefined {
  const { source } = cursor;
  const start = cursor.at;
  const long = piece.quote.length === 3;
  for (;;) {
    const run = take(cursor, plainRun)?.[0];
    if (run !== undefined && !add(cursor, reading, run)) return undefined;
    const character = source[cursor.at];
    if (character === undefined) return fail(cursor, 'the string is not closed', start - piece.quote.length);
    if (source.startsWith(piece.quote, cursor.at)) {
      cursor.at += piece.quote.length;
      return true;
    }
    if (isNewline(character) && !long) return fail(cursor, 'the string is not closed in its line', start - 1);
    const read = character === '\\' ? readBackslash(cursor, piece, reading) : add(cursor, reading, takeOne(cursor));
    if (!read) return undefined;
  }
}

/** One character; a line's end counts as one, and is \n as Python reads it. */
function takeOne(cursor: Cursor): string {
  return (take(cursor, /\r\n?|[^]/uy)?.[0] ?? '').replace(/^\r\n?$/, '\n');
}

function readBackslash(cursor: Cursor, piece: Piece, reading: Reading): true | undefined {
  if (piece.raw) return readRaw(cursor, piece, reading);
  const next = cursor.source[cursor.at + 1] ?? '';
  if (isNewline(next)) {
    take(cursor, /\\(?:\r\n?|\n)/y);
    return true;
  }
  if (Object.hasOwn(simple, next)) {
    cursor.at += 2;
    return add(cursor, reading, simple[next] ?? '');
  }
  if (next === 'x' || /[0-7]/.test(next)) return readCode(cursor, piece, reading);
  if (piece.kind === 'bytes') return keepBackslash(cursor, reading);
  if (next === '/' && piece.kind === 'plain') {
    cursor.at += 2;
    return add(cursor, reading, '/');
  }
  if (cursor.source.startsWith('\\N{', cursor.at)) {
    return fail(cursor, 'characters by their name are not read: write \\u and the code in its place');
  }
  if (next === 'u' || next === 'U') return readUnicode(cursor, piece, reading);
  return keepBackslash(cursor, reading);
}

const simple: Readonly<Record<string, string>> = {
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\u0007',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

/** Backslash and what follows it stay, but for \u in ur''. */
function readRaw(cursor: Cursor, piece: Piece, reading: Reading): true | undefined {
  const next = cursor.source[cursor.at + 1];
  if (piece.kind === 'text' && (next === 'u' || next === 'U')) return readUnicode(cursor, piece, reading);
  cursor.at++;
  return next === undefined ? add(cursor, reading, '\\') : add(cursor, reading, `\\${takeOne(cursor)}`);
}

/** Python leaves a backslash alone that starts no escape. */
function keepBackslash(cursor: Cursor, reading: Reading): true | undefined {
  cursor.at++;
  return add(cursor, reading, '\\');
}

/** \xHH and octal: a byte, or in u'' a code point. */
function readCode(cursor: Cursor, piece: Piece, reading: Reading): true | undefined {
  const start = cursor.at;
  const [, hex, octal] = take(cursor, /\\(?:x([\da-fA-F]{2})|([0-7]{1,3}))/y) ?? [];
  if (hex === undefined && octal === undefined) return fail(cursor, '\\x should be followed by two hex digits');
  const code = hex === undefined ? Number.parseInt(octal ?? '', 8) : Number.parseInt(hex, 16);
  if (piece.kind === 'text') return add(cursor, reading, String.fromCodePoint(code));
  // Python 2 drops what an octal escape has beyond a byte.
  const byte = code & 255;
  if (byte < 128) return add(cursor, reading, String.fromCodePoint(byte));
  if (reading.bytes.length === 0) reading.bytesFrom = start;
  reading.bytes.push(byte);
  return true;
}

function readUnicode(cursor: Cursor, piece: Piece, reading: Reading): true | undefined {
  const start = cursor.at;
  const [, short, long] = take(cursor, /\\(?:u([\da-fA-F]{4})|U([\da-fA-F]{8}))/y) ?? [];
  const code = Number.parseInt(short ?? long ?? '', 16);
  if (code <= 0x10ffff) {
    // Halves of a pair must become one character: by UTF-16 units they do.
    return add(cursor, reading, short === undefined ? String.fromCodePoint(code) : String.fromCharCode(code));
  }
  cursor.at = start;
  if (piece.kind === 'plain') return keepBackslash(cursor, reading);
  return fail(cursor, '\\u should be followed by four hex digits, \\U by eight up to 0010ffff');
}

function add(cursor: Cursor, reading: Reading, text: string): true | undefined {
  if (!flush(cursor, reading)) return undefined;
  reading.text.push(text);
  return true;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Bytes that wait become text. A character's bytes stand together: raw text within them is none. */
function flush(cursor: Cursor, reading: Reading): true | undefined {
  if (reading.bytes.length === 0) return true;
  const bytes = Uint8Array.from(reading.bytes);
  reading.bytes.length = 0;
  try {
    reading.text.push(utf8.decode(bytes));
    return true;
  } catch {
    return fail(cursor, 'bytes in the string are not UTF-8', reading.bytesFrom);
  }
}
