import { describe, expect, test } from 'vitest';
import { WeirError } from '../../domain/errors.ts';
import { filesOf, matches } from './files.ts';
import type { Files } from './files.ts';
import { Ledger } from './ledger.ts';
import { readTree } from './statements.ts';
import type { ReadOptions, Statement, Tree } from './statements.ts';

type Reading = Tree & { ledger: Ledger };

function read(files: Files | Record<string, string>, options: Partial<ReadOptions> = {}, path = 'k.conf'): Reading {
  const ledger = new Ledger();
  const given =
    typeof files['read'] === 'function' ? (files as Files) : filesOf(Object.entries(files as Record<string, string>));
  const tree = readTree(path, { files: given, ledger, old: false, configId: undefined, ...options });
  return { ...tree, ledger };
}

/** A tree as text: words joined by `_`, blocks in braces. */
function shape(statements: readonly Statement[]): string {
  return statements.map(({ words, block }) => words.join('_') + (block ? `{${shape(block)}}` : '')).join(' ');
}

function text(source: string, options: Partial<ReadOptions> = {}): string {
  return shape(read({ 'k.conf': source }, options).statements);
}

/** What is said, as `FILE:LINE why`. */
function said({ ledger }: Reading): string[] {
  return ledger.findings.map(({ file, line, severity, why }) => `${file}:${line} ${severity}: ${why}`);
}

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof WeirError && thrown.problems.length === 1) return thrown.message;
    throw thrown;
  }
  throw new Error('was not refused');
}

describe('statements', () => {
  test('braces stand at the end of a line, on their own, or around a block on one line', () => {
    expect(text('a 1 {\n b\n}\nc')).toBe('a_1{b} c');
    expect(text('a 1\n{\n b\n}\nc')).toBe('a_1{b} c');
    expect(text('a 1{\n b }\nc')).toBe('a_1{b} c');
    expect(text('a { b { c } } d')).toBe('a{b{c}} d');
    expect(text('a {\nb {\nc\n}}\nd')).toBe('a{b{c}} d');
    expect(text('a {\r\nb\r\n}\rc')).toBe('a{b} c');
  });

  test('a block on one line is taken apart by the words that it knows', () => {
    expect(text('url { path /retry status_code 200 }')).toBe('url{path_/retry status_code_200}');
    expect(text('real_server 10.0.0.1 80 { weight 1 TCP_CHECK { connect_timeout 3 } }')).toBe(
      'real_server_10.0.0.1_80{weight_1 TCP_CHECK{connect_timeout_3}}',
    );
    expect(text('url { path "status_code" }')).toBe('url{path_status_code}');
    expect(text('other { path / status_code 200 }')).toBe('other{path_/_status_code_200}');
  });

  test('comments start anywhere in a line, and with 1.2.2 where a word starts', () => {
    expect(text('a # b\n! c\nd 1!e\n#\n')).toBe('a d_1');
    expect(text('a # b\n! c\nd 1!e\n', { old: true })).toBe('a d_1!e');
    expect(text(String.raw`a \#b "c # d"`)).toBe('a_#b_c # d');
    expect(text('a "c # d" e', { old: true })).toBe('a_c');
  });

  test('quotes hold words together', () => {
    expect(text(`a "b  c" 'd "e' f"g h"i ""`)).toBe('a_b  c_d "e_fg hi_');
    expect(text(`a 'b c'`, { old: true })).toBe("a_'b_c'");
    expect(text('a "{" b')).toBe('a_{_b');
    expect(text('a "b c')).toBe('a_b c');
  });

  test('definitions are put in as they are used, also of several lines', () => {
    expect(text('$A=10.0.0\n$P=80\nx ${A}.1 $P $PP $A.1 ${B}')).toBe('x_10.0.0.1_80_$PP_$A.1_${B}');
    expect(text('$N=1\n$X= \\\n a ${N} { \\\n b \\\n }\n$X\n$N=2\n$X')).toBe('a_1{b} a_2{b}');
    expect(text('$A=${B}\n$B=b\n$A')).toBe('b');
    expect(text('$A=\nx $A')).toBe('x');
    expect(text('x ${_PWD} ${_HASH} ${_INSTANCE}', { configId: 'me' })).toBe('x_._#_me');
    expect(text('$A=1\nx $A', { old: true })).toBe('$A=1 x_$A');
  });

  test('definitions that hold themselves, or grow without end, are refused', () => {
    expect(refusal(() => text('$A=x${A}\n$A'))).toBe('k.conf:2: a definition holds itself');
    expect(text('$A=${A}\n$A')).toBe('${A}');
    const lines = Array.from({ length: 40 }, (_, i) => `$A${i + 1}=\${A${i}}\${A${i}}`);
    expect(refusal(() => text(['$A0=xxxxxxxx', ...lines, '$A40'].join('\n')))).toMatch(
      /^k\.conf:42: .*(?:too long|holds itself)/,
    );
    expect(refusal(() => text(`$A=${'x'.repeat(3000)}\nx ${'${A}'.repeat(1000)}`))).toMatch(
      /too long with its definitions/,
    );
  });

  test('lines for one machine hold there, and are said elsewhere', () => {
    const source = '@a x 1\n@^a x 2\nx 3';
    expect(text(source, { configId: 'a' })).toBe('x_1 x_3');
    expect(text(source, { configId: 'b' })).toBe('x_2 x_3');
    expect(said(read({ 'k.conf': source }, { configId: 'b' }))).toEqual([
      'k.conf:1 dropped: a line for machines with another config-id',
    ]);
    expect(said(read({ 'k.conf': source })).map((line) => line.slice(0, 20))).toEqual([
      'k.conf:1 lost: a lin',
      'k.conf:2 lost: a lin',
    ]);
    expect(read({ 'k.conf': source }).ledger.findings[1]?.hint).toContain('--config-id a');
  });

  test('a line that ends in a backslash goes on', () => {
    expect(text('a b \\\n c\nd')).toBe('a_b_c d');
    expect(text('a b \\\n c\nd', { old: true })).toBe('a_b_\\ c d');
  });

  test('braces that are missing or too many are said', () => {
    expect(said(read({ 'k.conf': 'a {\nb' }))).toEqual([
      'k.conf:1 lost: its block is not closed before the last file ends: what follows it is read into it',
    ]);
    expect(said(read({ 'k.conf': 'a\n}\nb' }))[0]).toMatch(/^k\.conf:2 lost: closes nothing/);
    expect(text('{ a }')).toBe('{{a}');
  });
});

describe('includes', () => {
  test('are relative to the including file, anywhere, by name or pattern', () => {
    const files = {
      'etc/k.conf': 'include vips/*.conf\nglobal {\ninclude part\n}\nincluder /abs/x\n',
      'etc/vips/b.conf': 'b',
      'etc/vips/a.conf': 'a\ninclude ../more\n',
      'etc/vips/.c.conf': 'hidden',
      'etc/vips/a.txt': 'other',
      'etc/vips/../more': 'more',
      'etc/part': 'inner',
      '/abs/x': 'x',
    };
    const tree = read(files, {}, 'etc/k.conf');
    expect(shape(tree.statements)).toBe(
      'include_vips/*.conf a include_../more more b global{include_part inner} includer_/abs/x x',
    );
    expect(tree.files).toEqual([
      'etc/k.conf',
      'etc/vips/a.conf',
      'etc/vips/../more',
      'etc/vips/b.conf',
      'etc/part',
      '/abs/x',
    ]);
    expect(tree.statements.filter(({ words }) => words[0] === 'b')[0]).toMatchObject({
      file: 'etc/vips/b.conf',
      line: 1,
    });
  });

  test('that find nothing are said', () => {
    expect(said(read({ 'k.conf': 'include gone\ninclude gone/*.conf\ninclude\n' }))).toEqual([
      'k.conf:1 lost: no such file: keepalived goes on without it, and so does the import',
      'k.conf:2 dropped: matches no file',
      'k.conf:3 lost: names no file',
    ]);
  });

  test('of files that may be executed are left out, but with 1.2.2', () => {
    const files: Files = {
      read: (path) => ({ bytes: Buffer.from(path === 'k.conf' ? 'include x\n' : 'inner'), executable: true }),
      list: () => [],
    };
    const tree = read(files);
    expect(shape(tree.statements)).toBe('include_x');
    expect(said(tree)[0]).toMatch(/^k\.conf:1 lost: x has an execute bit/);
    expect(shape(read(files, { old: true }).statements)).toBe('include_x inner');
  });

  test('of a file that ends within a block are said', () => {
    expect(said(read({ 'k.conf': 'include x\n}\n', x: 'a {\n' }))[0]).toMatch(
      /^k\.conf:1 lost: the file ends within a block/,
    );
  });

  test('in a ring, too deep, too many and too large are refused', () => {
    expect(refusal(() => read({ 'k.conf': 'include b', b: 'include k.conf' }))).toBe(
      'k.conf: files include each other without end: k.conf includes b includes k.conf',
    );
    const deep = Object.fromEntries(
      Array.from({ length: 50 }, (_, i) => [i === 0 ? 'k.conf' : `f${i}`, `include f${i + 1}`]),
    );
    expect(refusal(() => read(deep))).toBe('f32: is included more than 32 files deep');
    expect(refusal(() => read({ 'k.conf': 'include a\ninclude a\n', a: '' }, { limits: { files: 2 } }))).toBe(
      'a: is one more than 2 files',
    );
    expect(refusal(() => read({ 'k.conf': 'a\nb\nc\n' }, { limits: { statements: 2 } }))).toBe(
      'k.conf: is one statement more than 2',
    );
    expect(refusal(() => text('a {\n'.repeat(40)))).toMatch(/^k\.conf:\d+: more than 32 blocks/);
    const huge: Files = {
      read: (_path, most) => ({ bytes: most < 5_000_000 ? undefined : Buffer.alloc(most + 1), executable: false }),
      list: () => [],
    };
    expect(refusal(() => read(huge, { limits: { bytes: 4 * 1024 * 1024 } }))).toBe(
      'k.conf: is too large: all files together may have 4 MiB',
    );
  });

  test('what is no text, and what is not there, are refused', () => {
    expect(refusal(() => read({ 'k.conf': 'a\0b' }))).toMatch(/^k\.conf: is no text: it has NUL bytes/);
    expect(refusal(() => read({}))).toBe('k.conf: cannot be read: no such file');
    const files: Files = {
      read: () => ({ bytes: Buffer.from([0x23, 0xb9, 0xfa, 0x0a, 0x61]), executable: false }),
      list: () => [],
    };
    expect(shape(read(files).statements)).toBe('a');
  });
});

test('patterns match as glob(3) does', () => {
  const files = filesOf(['a/x1.conf', 'a/x2.conf', 'a/y.conf', 'b/x1.conf', 'a/.h', 'c'].map((name) => [name, '']));
  const all = (pattern: string) => matches(files, pattern).join(' ');
  expect(all('a/x?.conf')).toBe('a/x1.conf a/x2.conf');
  expect(all('*/x1.conf')).toBe('a/x1.conf b/x1.conf c/x1.conf');
  expect(all('a/[xy]*')).toBe('a/x1.conf a/x2.conf a/y.conf');
  expect(all('a/[!x]*')).toBe('a/y.conf');
  expect(all('a/x[0-1].*')).toBe('a/x1.conf');
  expect(all('{b,a}/x1.conf')).toBe('b/x1.conf a/x1.conf');
  expect(all('a/{x{1,2},y}.conf')).toBe('a/x1.conf a/x2.conf a/y.conf');
  expect(all('a/.*')).toBe('a/.h');
  expect(all('z/*')).toBe('');
  expect(all(`a/${'*a'.repeat(40)}`)).toBe('');
  // What its braces stand for is not counted out, and a path that nothing can have is not looked for.
  expect(matches(files, '{a,b}'.repeat(60))).toHaveLength(1000);
  expect(matches(files, `a/${'{'.repeat(8000)}x1.conf${'}'.repeat(8000)}`)).toEqual([]);
});
