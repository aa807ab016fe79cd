import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonical } from '../../domain/edge/patch.ts';
import { MAX_LITERAL, MAX_NESTING, readLiteral } from './literal.ts';
import { literalTexts, pythons, readByPython } from './testing/literals.ts';

function valueOf(source: string): unknown {
  const read = readLiteral(source);
  if (!read.ok) throw new Error(`${JSON.stringify(source)} at ${read.offset}: ${read.message}`);
  return read.value;
}

/** As Python 2.7 prints them. */
const printed: [text: string, value: unknown][] = [
  [
    "[{u'wstype': u'apps', u'vip': u'60.28.208.1', 'ports': [{'dport': 80, 'synproxy': 1, 'sport': 80, 'persistence_timeout': 50}], 'wss': [u'apps-extngtest0-bgp0.hy01']}]",
    [
      {
        wstype: 'apps',
        vip: '60.28.208.1',
        ports: [{ dport: 80, synproxy: 1, sport: 80, persistence_timeout: 50 }],
        wss: ['apps-extngtest0-bgp0.hy01'],
      },
    ],
  ],
  ["[u'60.28.208.0/25', '123.150.178.128/25']", ['60.28.208.0/25', '123.150.178.128/25']],
  ['[]', []],
  ['{}', {}],
  ['()', []],
  ['(1,)', [1]],
  ['(1, 2)', [1, 2]],
  ['[None, True, False]', [null, true, false]],
  ['1099511627776', 2 ** 40],
  ['80L', 80],
  ['-5', -5],
  ['0.1', 0.1],
  ['1e+100', 1e100],
  ['1e-07', 1e-7],
  ['-0.0', -0],
  ['"it\'s"', "it's"],
  ['\'say "hi"\'', 'say "hi"'],
  ["'it\\'s \"both\"'", 'it\'s "both"'],
  ['u"it\'s"', "it's"],
  ["u'\\u4e2d\\u6587'", '中文'],
  ["'\\xe4\\xb8\\xad\\xe6\\x96\\x87'", '中文'],
  ["u'\\U0001f310'", '🌐'],
  ["u'\\xe4\\xff'", 'äÿ'],
  ["'\\x00\\x1f\\x7f'", '\0\x1f\x7f'],
  ["u'\\x00\\u2028'", '\0\u2028'],
  ["'back\\\\slash'", 'back\\slash'],
  ["u'back\\\\slash \\\\u4e2d'", 'back\\slash \\u4e2d'],
  ["'tab\\tnl\\ncr\\r'", 'tab\tnl\ncr\r'],
];

/** As people write them, or other programs. */
const written: [text: string, value: unknown][] = [
  ['[1,]', [1]],
  ['(1)', 1],
  ['((1, 2))', [1, 2]],
  ['(((1,),),)', [[[1]]]],
  ['{"a": 1,}', { a: 1 }],
  ['{"a": 1, "b": 2, "a": 3}', { a: 3, b: 2 }],
  ["{('a'): 1}", { a: 1 }],
  ['# VIPs\n[ # first\n\t1,\r\n\f2 \\\n, 3]\n# end', [1, 2, 3]],
  ['\uFEFF[1]', [1]],
  ['017', 15],
  ['0o17', 15],
  ['0O17L', 15],
  ['0', 0],
  ['00', 0],
  ['0L', 0],
  ['0xFf', 255],
  ['0X1fL', 31],
  ['0b101', 5],
  ['+1', 1],
  ['- 1', -1],
  ['-0', 0],
  ['1.', 1],
  ['.5', 0.5],
  ['010.5', 10.5],
  ['089e1', 890],
  ['9007199254740991', Number.MAX_SAFE_INTEGER],
  ['-9007199254740991', -Number.MAX_SAFE_INTEGER],
  ["'a' \"b\" u'c' '''d'''", 'abcd'],
  ["('a'\n 'b')", 'ab'],
  ["''", ''],
  ['""""""', ''],
  ["'' ''", ''],
  ["'''a\nb\r\nc\rd'''", 'a\nb\nc\nd'],
  ['"""say "hi" """', 'say "hi" '],
  ["'a\\\nb\\\r\nc'", 'abc'],
  ["'中'", '中'],
  ["u'中'", '中'],
  ["b'\\xe4\\xb8\\xad'", '中'],
  ["'\\344\\270\\255'", '中'],
  ["'\\xef\\xbb\\xbfa'", '\uFEFFa'],
  ["'\\xe4' '\\xb8\\xad'", '中'],
  ["u'\\344\\7\\777'", 'ä\u0007\u01ff'],
  ["'\\7\\08'", '\u0007\x008'],
  ["'\\541'", 'a'],
  ["u'\\ud83c\\udf10'", '🌐'],
  ["r'\\n\\''", "\\n\\'"],
  ["R'''a'b\n'''", "a'b\n"],
  ["br'\\xe4'", '\\xe4'],
  ["ur'\\u4e2d\\\\u4e2d\\n'", '中\\\\u4e2d\\n'],
  ["b'\\u4e2d\\N{DASH}\\/'", '\\u4e2d\\N{DASH}\\/'],
  ["u'\\/\\q'", '\\/\\q'],
];

/** Read as JSON means it, where Python 2 would read the backslash. */
const json: [text: string, value: unknown][] = [
  ['[true, false, null]', [true, false, null]],
  ['"\\u4e2d\\ud83c\\udf10"', '中🌐'],
  ['"60.28.208.0\\/25"', '60.28.208.0/25'],
  ["'\\u4e2d'", '中'],
  ["'\\U0001f310'", '🌐'],
  ["'\\u12 \\users'", '\\u12 \\users'],
];

const refused: [text: string, offset: number, message: string | RegExp][] = [
  ['', 0, /ends where a value should/],
  [' \n', 2, /ends where a value should/],
  ['# only', 6, /ends where a value should/],
  ['[1', 2, /, or \] should stand here, not the end of the text/],
  ['[1 2]', 3, /, or \] should stand here, not "2\]"/],
  ['[,]', 1, /stands where a value should/],
  ['(,)', 1, /stands where a value should/],
  ['[1)', 2, /, or \] should stand/],
  ['[1] [2]', 4, '"[2]" stands after the value'],
  ['1, 2', 1, /stands after the value/],
  ['{1: 2}', 1, 'a key must be a string, not 1'],
  ['{"a": 1, None: 2}', 9, 'a key must be a string, not null'],
  ["{'a'}", 4, /: should follow the key "a"/],
  ['{a: 1}', 1, /"a" stands without quotes/],
  ['open("x")', 0, /"open" stands without quotes/],
  ['[undefined]', 1, /"undefined" stands without quotes/],
  ['True1', 0, /"True1" stands without quotes/],
  ['1 + 1', 2, /stands after the value/],
  ['`1`', 0, /stands where a value should/],
  ['08', 0, /not an octal number/],
  ['1j', 0, /"1j" is not a number/],
  ['1_000', 0, /not a number/],
  ['1.5L', 0, /not a number/],
  ['0x', 0, /not a number/],
  ['0b2', 0, /not a number/],
  ['1.2.3', 0, /not a number/],
  ['--1', 0, /not a number/],
  ['-True', 0, /not a number/],
  ['[80, 9007199254740992]', 5, /"9007199254740992" is too large/],
  ['-9007199254740993L', 0, /too large/],
  ['0xffffffffffffffff', 0, /too large/],
  ['1e999', 0, /too large/],
  ["'abc", 0, /is not closed/],
  ["'a\nb'", 0, /not closed in its line/],
  ["'''a''", 0, /is not closed/],
  ["'\\'", 0, /is not closed/],
  ["r'\\'", 1, /is not closed/],
  ["'\\x4'", 1, /\\x should be followed by two hex digits/],
  ["u'\\u12'", 2, /\\u should be followed by four hex digits/],
  ["u'\\U00110000'", 2, /\\U by eight/],
  ["ur'\\u12'", 3, /\\u should be/],
  ["u'a\\N{DASH}'", 3, /characters by their name are not read/],
  ["'\\N{DASH}'", 1, /characters by their name are not read/],
  ["['\\xe4']", 2, /not UTF-8/],
  ["'\\xe4中'", 1, /not UTF-8/],
  ["'a\\xe4' u'b'", 2, /not UTF-8/],
  ["u'\\ud83c'", 0, /half of a surrogate pair/],
  ["'\\udf10\\ud83c'", 0, /half of a surrogate pair/],
  ["'\ud83c'", 0, /half of a surrogate pair/],
  ["'a\0'", 2, /NUL/],
  ["ub'a'", 0, /"ub" stands without quotes/],
];

describe('a literal', () => {
  test.each(printed)('as Python 2 prints it: %s', (text, value) => {
    expect(valueOf(text)).toStrictEqual(value);
  });

  test.each(written)('as it may be written: %j', (text, value) => {
    expect(valueOf(text)).toStrictEqual(value);
  });

  test.each(json)('of JSON: %s', (text, value) => {
    expect(valueOf(text)).toStrictEqual(value);
  });

  test.each(refused)('is not %j', (text, offset, message) => {
    const read = readLiteral(text);
    const told = typeof message === 'string' ? message : expect.stringMatching(message);
    expect(read).toEqual({ ok: false, offset, message: told });
  });

  const [python2] = pythons.filter((python) => python.version === 2 && python.there);
  test.skipIf(!python2)('is what Python 2 reads, in each of these cases', () => {
    const all = [...printed, ...written];
    const texts = all.map(([text]) => text);
    const read = python2 ? readByPython(python2, texts) : [];
    // Its `literal_eval` knows no plus, and its decoded sources no byte order mark.
    expect(texts.filter((_, i) => read[i] === null)).toEqual(['\uFEFF[1]', '+1']);
    for (const [i, [text, value]] of all.entries()) if (read[i]) expect(read[i]?.value, text).toEqual(value);
  });

  test('never reaches a prototype by its keys', () => {
    const value = valueOf("{'__proto__': {'polluted': 1}, 'constructor': 2, 'toString': 3}") as object;
    expect(Object.keys(value)).toEqual(['__proto__', 'constructor', 'toString']);
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  test('may be nested as deep as the limit and no deeper, whatever the brackets', () => {
    for (const [open = '', close = ''] of ['[]', '()']) {
      const nested = (depth: number) => `${open.repeat(depth)}1${close.repeat(depth)}`;
      expect(readLiteral(nested(MAX_NESTING)).ok).toBe(true);
      expect(readLiteral(nested(MAX_NESTING + 1))).toMatchObject({ ok: false, offset: MAX_NESTING });
    }
    expect(readLiteral('{"a":'.repeat(1e5))).toMatchObject({ ok: false, offset: MAX_NESTING * 5 });
  });

  test('may be as long as the limit and no longer', () => {
    expect(readLiteral(`${' '.repeat(MAX_LITERAL - 1)}1`)).toEqual({ ok: true, value: 1 });
    expect(readLiteral(`${' '.repeat(MAX_LITERAL)}1`)).toMatchObject({ ok: false, offset: 0 });
  });
});

describe.each(pythons)('the real $title', (python) => {
  test.skipIf(!python.there)('reads the same in any literal', () => {
    const texts = fc.sample(literalTexts(python.version), 2000);
    const read = readByPython(python, texts);
    for (const [i, text] of texts.entries()) {
      expect(read[i], `${python.program} refuses ${JSON.stringify(text)}`).not.toBeNull();
      expect(canonical(valueOf(text)), text).toBe(canonical(read[i]?.value));
    }
  });
});

describe('properties', () => {
  const jsonValue = fc.jsonValue({ stringUnit: 'grapheme' }).map((value) => JSON.stringify(value, small));

  /** Integers that JSON has no limit for, and we have. */
  function small(_key: string, value: unknown): unknown {
    return typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value)
      ? value % 2 ** 40
      : value;
  }

  test('any JSON is read as JSON, also with everything escaped that may be', () => {
    fc.assert(
      fc.property(jsonValue, (text) => {
        const escaped = text
          .replace(/[^\0-\x7f]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
          .replaceAll('/', '\\/');
        for (const source of [text, escaped, JSON.stringify(JSON.parse(text), null, 2)]) {
          expect(JSON.stringify(valueOf(source))).toBe(text);
        }
      }),
    );
  });

  const marks = `[ ] ( ) { } , : ' " ''' """ \\ \\x \\u \\N{ u b r ur 0 7 9 . e x L - + # None True null __proto__ 中`;
  const tokens = fc.constantFrom(' ', '\n', '\r', '\0', '\ud83c', ...marks.split(' '));
  const noise = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(tokens, { maxLength: 30 }).map((all) => all.join('')),
  );
  const mutated = fc
    .record({ text: fc.oneof(literalTexts(2), literalTexts(3)), at: fc.nat(), length: fc.nat(3), put: noise })
    .map(({ text, at, length, put }) => {
      const from = at % (text.length + 1);
      return text.slice(0, from) + put + text.slice(from + length);
    });

  test('any text at all gives a value, or where and why not', () => {
    fc.assert(
      fc.property(fc.oneof(noise, mutated), (text) => {
        const read = readLiteral(text);
        if (read.ok) {
          expect(JSON.stringify(read.value)).toBeTypeOf('string');
          return;
        }
        expect(read.offset).toBeGreaterThanOrEqual(0);
        expect(read.offset).toBeLessThanOrEqual(text.length);
        expect(read.message).toMatch(/^[^\p{Cc}\p{Cs}]+$/u);
      }),
      { numRuns: 5000 },
    );
  });

  test('a text that breaks off anywhere is no list any more', () => {
    fc.assert(
      fc.property(literalTexts(2), fc.nat(), (text, at) => {
        const whole = text.trimEnd();
        expect(readLiteral(whole.slice(0, at % whole.length)).ok).toBe(false);
      }),
    );
  });
});
