import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import { refuse, WeirError } from '../domain/errors.ts';
import { error } from '../domain/problem.ts';
import { errorText, printed } from './print.ts';

function table(rows: readonly (readonly unknown[])[], columns = ['name', 'value']): string[] {
  return stripVTControlCharacters(printed({ data: null, table: { columns, rows } }, 'table')).split('\n');
}

test('columns are as wide as what stands in them, lists are joined, nothing is a dash', () => {
  expect(
    table([
      ['a', ['x', 'y']],
      ['longer', undefined],
    ]),
  ).toEqual(['NAME    VALUE', 'a       x, y', 'longer  -', '']);
});

test('East Asian letters take two columns', () => {
  expect(table([['网络组', 1]])).toEqual(['NAME    VALUE', '网络组  1', '']);
});

test('the widest columns give way until a table has 100 columns', () => {
  const lines = table([['a'.repeat(300), 'b'.repeat(90), 'c']], ['one', 'two', 'three']);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(100);
  expect(lines.join('').replaceAll(/[^a]/g, '')).toHaveLength(300);
  expect(lines.join('').replaceAll(/[^b]/g, '')).toHaveLength(90);
});

test('an empty table says so', () => {
  expect(table([])).toEqual(['NAME  VALUE', '(none)', '']);
});

test('an error has its code and hint, several problems each their own', () => {
  const problem = (path: string) => error(path, { code: 'bad', message: `${path} is bad`, hint: `fix ${path}` });
  const text = (failure: WeirError) => stripVTControlCharacters(errorText(failure));
  expect(text(new WeirError('failed', 'it failed', { hint: 'try again' }))).toBe(
    'error: it failed (failed)\n  try again\n',
  );
  expect(text(refuse([problem('a'), problem('b')]))).toBe(
    'error: a: a is bad (and 1 more) (invalid)\n  a: a is bad [bad]\n    fix a\n  b: b is bad [bad]\n    fix b\n',
  );
  const many = Array.from({ length: 60 }, (_, i) => problem(`p${i}`));
  expect(text(refuse(many))).toMatch(/ {2}and 10 more\n$/);
});
