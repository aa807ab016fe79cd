import fc from 'fast-check';
import Type from 'typebox';
import { describe, expect, test } from 'vitest';
import { error, errorsOf, show, warning, warningsOf } from './problem.ts';
import { errorKinds, messageOf, refuse, WeirError } from './errors.ts';
import { dot, isHostname, nearest, parse, strict, text } from './schema.ts';
import type { Parsed } from './schema.ts';

/** What is found wrong, as `path code`. */
function found(parsed: Parsed<unknown>): string[] {
  return parsed.ok ? [] : parsed.problems.map((p) => `${p.path} ${p.code}`);
}

function hintOf(parsed: Parsed<unknown>): string | undefined {
  return parsed.ok ? undefined : parsed.problems[0]?.hint;
}

const good: Record<string, readonly string[]> = {
  address: ['10.0.19.226', '1.0.0.1', '223.255.255.255'],
  'router-id': ['60.29.246.186', '0.0.0.1', '255.255.255.255'],
  area: ['0.0.0.0', '0.0.0.7'],
  mask: ['255.0.0.0', '255.255.255.224', '255.255.255.255'],
  net: ['60.28.208.0/25', '10.0.0.0/8', '10.0.0.1/32'],
  range: ['10.0.19.227', '10.0.19.227-234', '10.0.19.227-10.0.20.3'],
  hostname: ['a', 'apps-extngtest0-bgp0.hy01', 'A.B', '3com.example', 'x'.repeat(63), 'constructor', 'toString'],
  interface: ['em1', 'bond0.100', 'eth0-1', 'x'.repeat(15)],
  name: ['hy-outer-global-proxy-test', 'a', 'A_b.c', 'x'.repeat(128)],
  'check-path': ['/', '/http_check/index.html', '/a?b=c&d=%20,e:f@g+h~i'],
  md5: ['0123456789abcdef0123456789abcdef'],
  'ospf-key': ['k', 'S3cret+/=@%^*~-_', 'secret:cluster.key-1'],
  text: ['', '运维 team', 'a "quoted" line; with $(anything)'],
  user: ['root', '_svc', 'ops.team-1'],
};

const bad: Record<string, { code: string; texts: readonly string[] }> = {
  address: {
    code: 'bad_address',
    texts: ['010.1.1.1', '1.2', '1.2.3.4 ', '１.2.3.4', '0.0.0.0', '127.0.0.1', '224.0.0.5'],
  },
  'router-id': { code: 'bad_router_id', texts: ['0.0.0.0', '1', '1.2.3.4/32', '::1'] },
  area: { code: 'bad_area', texts: ['0', 'backbone', '0.0.0.00'] },
  mask: { code: 'bad_mask', texts: ['255.0.255.0', '/24', '254.0.0.0', '0.0.0.0'] },
  net: {
    code: 'bad_net',
    texts: ['60.28.208.1/25', '60.28.208.0', '0.0.0.0/0', '10.0.0.0/7', '224.0.0.0/24', '0.0.0.0/8'],
  },
  range: { code: 'bad_range', texts: ['10.0.0.9-1', '10.0.0.0/24', '127.0.0.1-9', '223.255.255.250-224.0.0.1'] },
  hostname: {
    code: 'bad_hostname',
    texts: [
      '',
      '-a',
      'a-',
      'a..b',
      'a.',
      '.a',
      'a_b',
      'a b',
      '1.2.3.4',
      '123',
      'x'.repeat(64),
      'é',
      '\u212Aey',
      'ſ',
      'a\n',
      'a.'.repeat(127),
    ],
  },
  interface: {
    code: 'bad_interface',
    texts: ['', 'x'.repeat(16), 'eth0:1', 'a/b', '.', '..', '-x', 'a b', 'em1\n', 'ém1'],
  },
  name: { code: 'bad_name', texts: ['', '-a', 'a-', '..', 'a/b', 'a b', 'x'.repeat(129), 'é', '__proto__', 'a\n'] },
  'check-path': {
    code: 'bad_path',
    texts: ['', 'a', '/a b', '/a"', '/#a', '/!', '/a;b', '/a\n', '/a\\', '/{', `/${'x'.repeat(200)}`, 'http://h/'],
  },
  md5: {
    code: 'bad_digest',
    texts: ['', '0123456789ABCDEF0123456789ABCDEF', 'x'.repeat(32), '0'.repeat(31), `${'0'.repeat(32)}\n`],
  },
  'ospf-key': {
    code: 'bad_ospf_key',
    texts: ['', 'x'.repeat(17), 'a b', 'a?b', 'a!', 'a#', 'secret:', 'secret:a b', 'a\n'],
  },
  text: { code: 'bad_text', texts: ['x'.repeat(201), 'a\nb', 'a\tb', 'a\0', 'a\u2028b', 'a\u0085b', 'a\u001b[0m'] },
  user: { code: 'bad_user', texts: ['', '-oProxyCommand', '1a', 'a b', 'a$', 'x'.repeat(33), 'a\n'] },
};

describe('each format', () => {
  for (const [format, texts] of Object.entries(good)) {
    test.each(texts)(`${format} accepts %j`, (value) => {
      expect(parse(text(format, ''), value)).toEqual({ ok: true, value });
    });
  }
  for (const [format, { code, texts }] of Object.entries(bad)) {
    test.each(texts)(`${format} refuses %j`, (value) => {
      const parsed = parse(text(format, ''), value, 'here');
      expect(found(parsed)).toEqual([`here ${code}`]);
      expect(hintOf(parsed)).not.toBe('');
    });
  }

  test('is tried above, on both sides', () => {
    expect(Object.keys(bad)).toEqual(Object.keys(good));
  });

  test('refuses texts of megabytes at once, in a short message', () => {
    for (const format of Object.keys(good)) {
      const parsed = parse(text(format, ''), 'a'.repeat(5_000_000));
      if (parsed.ok) throw new Error(`${format} accepted it`);
      for (const problem of parsed.problems) expect(problem.message.length).toBeLessThan(200);
    }
  });
});

test.each([
  ['address', '2001:db8::1'],
  ['address', '::ffff:1.2.3.4'],
  ['net', '2001:db8::/32'],
  ['range', '2001:db8::1'],
  ['range', '2001:db8::1-2001:db8::9'],
  ['mask', 'ffff:ffff::'],
])('IPv6 in %s has a code of its own', (format, value) => {
  expect(found(parse(text(format, ''), value, 'p'))).toEqual(['p ipv6_unsupported']);
});

describe('a hostname', () => {
  test('has at most 253 characters', () => {
    const name = `${'a'.repeat(49)}.`.repeat(5);
    expect(isHostname(`${name}abc`)).toBe(true);
    expect(isHostname(`${name}abcd`)).toBe(false);
  });

  test('is ASCII letters, digits, hyphens and dots, whatever text is tried', () => {
    const near = fc.string({ unit: fc.constantFrom('a', 'Z', '0', '-', '.', '\u212A', 'ſ', 'İ', '_', ' ', '\n') });
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), near), (value) => {
        if (isHostname(value)) expect(value).toMatch(/^(?![\d.]+$)[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/);
      }),
    );
  });
});

describe('parsing', () => {
  const Leaf = Type.Object(
    { state: Type.Union([Type.Literal('up'), Type.Literal('drain'), Type.Literal('down')]), weight: Type.Integer() },
    strict,
  );
  const Tree = Type.Object(
    {
      name: text('name', ''),
      port: Type.Integer({ minimum: 1, maximum: 65535 }),
      leaves: Type.Array(Type.Partial(Leaf, strict), { maxItems: 3 }),
      by: Type.Optional(Type.Record(Type.String(), Type.Object({}, strict), { propertyNames: text('hostname', '') })),
    },
    strict,
  );
  const tree = { name: 'n', port: 1, leaves: [{ state: 'up', weight: 1 }] };

  test('answers what it was given, itself', () => {
    const parsed = parse(Tree, tree);
    expect(parsed.ok && parsed.value).toBe(tree);
  });

  test('reports every problem at once, each with its path', () => {
    const value = { port: 0, leaves: [{ wieght: 1 }, 5, { state: 'upp', weight: '1' }], nmae: 'x' };
    expect(found(parse(Tree, value, 'in')).sort()).toEqual([
      'in.leaves[0].wieght unknown_field',
      'in.leaves[1] wrong_type',
      'in.leaves[2].state not_allowed',
      'in.leaves[2].weight wrong_type',
      'in.name missing',
      'in.nmae unknown_field',
      'in.port out_of_range',
    ]);
  });

  test('guesses what a misspelt field was meant to be, and lists the known ones where it cannot', () => {
    expect(hintOf(parse(Tree, { ...tree, leavs: 1 }))).toBe('did you mean leaves?');
    expect(hintOf(parse(Tree, { ...tree, Name: 1 }))).toBe('did you mean name?');
    expect(hintOf(parse(Tree, { ...tree, zzzzzz: 1 }))).toBe('known here: name, port, leaves, by');
  });

  test('names all values that are allowed, and the range of a number', () => {
    expect(hintOf(parse(Tree, { ...tree, leaves: [{ state: 'upp' }] }))).toBe('one of: up, drain, down');
    expect(hintOf(parse(Tree, { ...tree, leaves: [{ state: 5 }] }))).toBe('one of: up, drain, down');
    expect(hintOf(parse(Tree, { ...tree, port: 65536 }))).toBe('use 1 to 65535');
  });

  test('tells a value of another type, with the value', () => {
    const parsed = parse(Tree, { ...tree, port: '80' });
    expect(!parsed.ok && parsed.problems[0]?.message).toBe('must be an integer, not "80"');
    for (const port of [1.5, Number.NaN, Infinity, null, true, [80], {}]) {
      expect(found(parse(Tree, { ...tree, port }))).toEqual(['port wrong_type']);
    }
  });

  test('tells too many items', () => {
    expect(found(parse(Tree, { ...tree, leaves: [{}, {}, {}, {}] }))).toEqual(['leaves invalid_value']);
  });

  test.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty', '', 'a b', 'a\nb', 'a.b', 'a]b', '运维'])(
    'refuses the unknown field %j, on one line',
    (name) => {
      const parsed = parse(Tree, { ...tree, ...JSON.parse(`{${JSON.stringify(name)}: {"a": 1}}`) }, 'in');
      if (parsed.ok) throw new Error('it was accepted');
      expect(parsed.problems).toHaveLength(1);
      expect(parsed.problems[0]?.code).toBe('unknown_field');
      expect(parsed.problems[0]?.path).toMatch(/^in[.[].*$/);
    },
  );

  test.each(['__proto__', 'a b', 'a\nb', '', 'x'.repeat(300), '1.2.3.4'])('refuses the free key %j', (name) => {
    const by = JSON.parse(`{${JSON.stringify(name)}: {}}`) as unknown;
    const parsed = parse(Tree, { ...tree, by });
    if (parsed.ok) throw new Error('it was accepted');
    expect(parsed.problems.map((p) => p.code)).toContain('bad_hostname');
    for (const problem of parsed.problems) expect(`${problem.path} ${problem.message}`).not.toContain('\n');
  });

  test.each([undefined, null, 5, 'x', true, [], [tree], () => tree])('refuses %j for an object', (value) => {
    expect(found(parse(Tree, value))).toEqual([' wrong_type']);
  });

  test('never throws, and never answers ok for something else than the schema says', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(parse(Tree, value).ok).toBe(false);
        expect(parse(Tree, { ...tree, by: value }, 'x').ok).toBe(isEmptyRecord(value));
      }),
    );
  });
});

/** Arbitrary values that are an optional field left out, or a record without keys. */
function isEmptyRecord(value: unknown): boolean {
  if (value === undefined) return true;
  return value !== null && typeof value === 'object' && !Array.isArray(value) && Object.keys(value).length === 0;
}

describe('a value in a message', () => {
  test('is JSON on one line, without control characters, at most 81 characters', () => {
    expect(show('a\nb')).toBe('"a\\nb"');
    expect(show({ a: [1, null, 'x'], b: true })).toBe('{"a":[1,null,"x"],"b":true}');
    expect(show(undefined)).toBe('undefined');
    fc.assert(
      fc.property(fc.anything(), fc.string({ unit: 'binary' }), (value, more) => {
        for (const shown of [show(value), show(more), show({ [more]: value })]) {
          expect(shown).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}]/u);
          expect(shown.length).toBeLessThanOrEqual(81);
        }
      }),
    );
  });

  test('may be deeper than the stack, hold itself, or be very long', () => {
    let deep: unknown = 1;
    for (let i = 0; i < 100_000; i++) deep = [deep];
    expect(show(deep)).toBe('[[[…]]]');
    const ring: unknown[] = [];
    ring.push(ring, { ring });
    expect(show(ring)).toMatch(/^\[\[\[…/);
    expect(show('x'.repeat(1_000_000))).toBe(`"${'x'.repeat(79)}…`);
    expect(show(`${'x'.repeat(78)}😀`)).toBe(`"${'x'.repeat(78)}…`);
  });
});

describe('a path', () => {
  test('puts odd keys into brackets', () => {
    expect(dot('', 'a')).toBe('a');
    expect(dot('a[0]', 'b-c')).toBe('a[0].b-c');
    expect(dot('a', 'b.c')).toBe('a["b.c"]');
    expect(dot('', 'b c')).toBe('["b c"]');
  });
});

describe('a guess', () => {
  test('is the known word that differs least, if it is near enough', () => {
    expect(nearest('persistance_timeout', ['sport', 'persistence_timeout'])).toBe('persistence_timeout');
    expect(nearest('wss', ['ws', 'wss'])).toBe('wss');
    expect(nearest('x', ['sport', 'dport'])).toBeUndefined();
    expect(nearest('a'.repeat(1_000_000), ['b'])).toBeUndefined();
    expect(nearest('a', [])).toBeUndefined();
  });
});

describe('errors', () => {
  test('are told from warnings', () => {
    const texts = { code: 'c', message: 'm', hint: 'h' };
    const both = [error('a', texts), warning('b', texts)];
    expect(errorsOf(both)).toEqual([{ path: 'a', ...texts, severity: 'error' }]);
    expect(warningsOf(both)).toEqual([{ path: 'b', ...texts, severity: 'warning' }]);
  });

  test('lead with the first problem, and carry all of them', () => {
    const one = error('a.b', { code: 'c', message: 'is wrong', hint: 'mend it' });
    expect(refuse([one])).toMatchObject({
      code: 'invalid',
      message: 'a.b: is wrong',
      hint: 'mend it',
      problems: [one],
    });
    expect(refuse([one, one, one], 'claimed')).toMatchObject({
      code: 'claimed',
      message: 'a.b: is wrong (and 2 more)',
    });
    expect(refuse([{ ...one, path: '' }]).message).toBe('is wrong');
    expect(refuse([]).message).toBe('refused');
  });

  test('keep their cause, and have a message whatever was thrown', () => {
    const cause = new Error('below');
    expect(new WeirError('store', 'above', { cause, retryAfter: 3 })).toMatchObject({
      cause,
      retryAfter: 3,
      problems: [],
    });
    expect(messageOf(cause)).toBe('below');
    expect(messageOf('text')).toBe('text');
  });

  test('have a status of their kind, an exit code, and both languages', () => {
    for (const kind of Object.values(errorKinds)) {
      expect(kind.status).toBeGreaterThanOrEqual(400);
      expect(kind.en).toMatch(/^[A-Z].*[^.]$/);
      expect(kind.zh).toMatch(/\p{Script=Han}/u);
    }
  });
});
