/**
 * Literals as Python 2, Python 3 and people write them, made up, and what a real Python reads in
 * them. Only tests import it.
 */
// oxlint-disable-next-line no-restricted-imports -- runs real programs
import { spawnSync } from 'node:child_process';
import fc from 'fast-check';

export interface Python {
  program: string;
  /** What it reads differently from the other. */
  version: 2 | 3;
  there: boolean;
  /** For titles of tests. */
  title: string;
}

export const pythons: Python[] = [pythonOf('python2.7', 2), pythonOf('python3', 3)];

function pythonOf(program: string, version: 2 | 3): Python {
  const there = spawnSync(program, ['-c', '']).status === 0;
  return { program, version, there, title: there ? program : `${program} (left out: it is not installed)` };
}

/** Answers each text's value, bytes read as UTF-8 and tuples as lists; null for what it refuses. */
const oracle = `
import ast, json, sys, warnings
warnings.simplefilter('ignore')

def plain(value):
    if isinstance(value, bytes):
        return value.decode('utf-8')
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return dict((plain(key), plain(item)) for key, item in value.items())
    return value

def read(text):
    try:
        return {'value': plain(ast.literal_eval(text))}
    except Exception:
        return None

print(json.dumps([read(text) for text in json.load(sys.stdin)]))
`;

/** What a real Python makes of each text, all in one process. */
export function readByPython({ program }: Python, texts: readonly string[]): ({ value: unknown } | null)[] {
  const { status, stdout, stderr } = spawnSync(program, ['-c', oracle], {
    input: JSON.stringify(texts),
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
  });
  if (status !== 0) throw new Error(`${program}: ${stderr}`);
  return JSON.parse(stdout) as ({ value: unknown } | null)[];
}

/** Texts of lists that the given Python accepts, and reads as we do. */
export function literalTexts(version: 2 | 3): fc.Arbitrary<string> {
  const leaf = fc.oneof(strings(version), integers(version), floats, fc.constantFrom('None', 'True', 'False'));
  const { list } = fc.letrec<{ value: string; list: string }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      leaf,
      tie('list'),
      brackets('(', ')', tie('value')),
      dict(tie),
    ),
    list: brackets('[', ']', tie('value')),
  }));
  return list;

  function dict(tie: fc.LetrecTypedTie<{ value: string; list: string }>): fc.Arbitrary<string> {
    // Of one kind only: bytes and text that read alike are two keys in Python, and become one here.
    const key = fc.oneof(textStrings, fc.constantFrom("'a'", "u'a'", '"__proto__"', "'constructor'"));
    const entry = fc.tuple(key, blank, blank, tie('value')).map(([k, a, b, v]) => `${k}${a}:${b}${v}`);
    return brackets('{', '}', entry);
  }
}

/** What may stand between tokens within brackets. */
const blank = fc.constantFrom('', '', ' ', '\n', '\t', '\r\n', ' # a comment, [\'"\n', '\\\n');

function brackets(open: string, close: string, item: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const items = fc.array(
    fc.tuple(blank, item, blank).map((parts) => parts.join('')),
    { maxLength: 4 },
  );
  return fc.tuple(items, fc.boolean(), blank).map(([all, trailing, end]) => {
    return `${open}${all.join(',')}${trailing && all.length > 0 ? ',' : ''}${end}${close}`;
  });
}

function integers(version: 2 | 3): fc.Arbitrary<string> {
  const digits = [
    (n: number) => String(n),
    (n: number) => `0x${n.toString(16)}`,
    (n: number) => `0X${n.toString(16).toUpperCase()}`,
    (n: number) => `0o${n.toString(8)}`,
    (n: number) => `0b${n.toString(2)}`,
    ...(version === 2
      ? [(n: number) => `0${n.toString(8)}`, (n: number) => `${n}L`, (n: number) => `0x${n.toString(16)}l`]
      : []),
  ];
  return fc
    .record({ number: fc.maxSafeNat(), write: fc.constantFrom(...digits), sign: fc.constantFrom('', '-', '- ') })
    .map(({ number, write, sign }) => `${sign}${write(number)}`);
}

const floats = fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => {
  const text = String(n);
  return /[.e]/.test(text) ? text : `${text}.0`;
});

/** Part of a string within quotes. */
type Part = (quote: string) => string;

function strings(version: 2 | 3): fc.Arbitrary<string> {
  return fc.oneof(
    textStrings,
    stringsOf([''], fc.oneof(shared, rawText, version === 2 ? utf8Escapes : unicodeEscapes)),
    stringsOf(['b', 'B'], fc.oneof(shared, version === 2 ? rawText : rawAscii, utf8Escapes)),
    stringsOf(['r', 'R'], fc.oneof(rawText, backslashes)),
    ...(version === 2 ? [stringsOf(['ur', 'UR'], fc.oneof(rawText, backslashes, unicodeEscapes))] : []),
  );
}

/** One string, or two side by side. */
function stringsOf(prefixes: string[], part: fc.Arbitrary<Part>): fc.Arbitrary<string> {
  const one = fc
    .record({
      prefix: fc.constantFrom(...prefixes),
      quote: fc.constantFrom("'", '"', "'''", '"""'),
      parts: fc.array(part, { maxLength: 5 }),
    })
    .map(({ prefix, quote, parts }) => `${prefix}${quote}${parts.map((p) => p(quote)).join('')}${quote}`);
  return fc.oneof(
    { weight: 4, arbitrary: one },
    fc.tuple(one, one).map((two) => two.join(' ')),
  );
}

const rawAscii: fc.Arbitrary<Part> = fc
  .string({ unit: 'grapheme-ascii' })
  .map((text) => () => text.replace(/['"\\]/g, '_'));
const rawText: fc.Arbitrary<Part> = fc
  .string({ unit: 'binary' })
  .map((text) => () => text.replace(/['"\\\r\n\0\p{Cs}]/gu, '_'));

/** The same in strings of every kind but raw ones. */
const shared: fc.Arbitrary<Part> = fc.oneof(
  fc
    .constantFrom(
      '\\\\',
      "\\'",
      '\\"',
      '\\a',
      '\\b',
      '\\f',
      '\\n',
      '\\r',
      '\\t',
      '\\v',
      '\\q',
      '\\8',
      '\\\n',
      '\\x41',
      '\\101',
    )
    .map((text) => () => text),
  fc.constant<Part>((quote) => (quote.startsWith("'") ? '"_' : "'_")),
  fc.constant<Part>((quote) => (quote.length === 3 ? '_\n\r\n_' : '_')),
);

const backslashes: fc.Arbitrary<Part> = fc
  .constantFrom('\\\\', "\\'", '\\"', '\\n', '\\x4', '\\\\u')
  .map((text) => () => text);

const codePoints: fc.Arbitrary<Part> = fc
  .nat(511)
  .map((n) => () => (n < 256 ? `\\x${n.toString(16).padStart(2, '0')}` : `\\${n.toString(8)}`));

const unicodeEscapes: fc.Arbitrary<Part> = fc.string({ unit: 'binary', maxLength: 1 }).map((text) => () => {
  const code = text.codePointAt(0) ?? 0x4e2d;
  return code > 0xffff ? `\\U${code.toString(16).padStart(8, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
});

const utf8Escapes: fc.Arbitrary<Part> = fc
  .tuple(fc.string({ unit: 'binary', maxLength: 3 }), fc.boolean())
  .map(([text, octal]) => () => {
    const bytes = [...Buffer.from(text, 'utf8')];
    return bytes
      .map((n) => (octal ? `\\${n.toString(8).padStart(3, '0')}` : `\\x${n.toString(16).padStart(2, '0')}`))
      .join('');
  });

const textStrings = stringsOf(['u', 'U'], fc.oneof(shared, rawText, codePoints, unicodeEscapes));
