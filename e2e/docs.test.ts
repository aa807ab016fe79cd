import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { labCommands } from '../lab/edge/commands.ts';
import { commands } from '../src/cli/commands/commands.ts';
import { operations } from '../src/domain/edge/operations.ts';
import { settingsHelp } from '../src/settings.ts';

const root = resolve(import.meta.dirname, '..');

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !/\.(test|contract)\.ts$|testing/.test(name))
    .map((name) => read(join(folder, name)));
}

function markdown(): string[] {
  const pages = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' }).filter((n) => n.endsWith('.md'));
  return ['README.md', 'bench/README.md', ...pages.map((n) => join('docs', n))];
}

describe('the documentation', () => {
  it('explains every problem code that the code can give', () => {
    const codes = sources('src').flatMap((text) =>
      [...text.matchAll(/\bcode: '([a-z0-9]+(?:_[a-z0-9]+)+)'/g)].map((m) => m[1]),
    );
    const page = read('docs/model.md');
    expect(codes.length).toBeGreaterThan(60);
    expect([...new Set(codes)].filter((code) => !page.includes(`\`${code}\``))).toEqual([]);
  });

  it('lists every setting with its flag and its variable', () => {
    const page = read('docs/operating.md');
    const missing = settingsHelp().filter(
      ({ flag, env }) => !page.includes(`\`${flag}\``) || !page.includes(`\`${env}\``),
    );
    expect(missing).toEqual([]);
  });

  it('names every operation', () => {
    const page = read('docs/model.md');
    expect([...operations.keys()].filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  });

  it('links only to pages that are there', () => {
    const broken = markdown().flatMap((page) =>
      [...read(page).matchAll(/\]\((?!http)([^)#]+)/g)]
        .map((m) => join(dirname(page), m[1] ?? ''))
        .filter((target) => !existsSync(join(root, target)))
        .map((target) => `${page}: ${target}`),
    );
    expect(broken).toEqual([]);
  });

  it('uses in the README only commands that exist', () => {
    const names = new Set([
      ...commands.map((c) => c.name),
      ...labCommands.map((c) => c.name),
      'serve',
      'completion bash',
    ]);
    const used = [...read('README.md').matchAll(/bin\/weir ((?:[a-z]+)(?: [a-z]+)?)/g)].map((m) => m[1] ?? '');
    expect(used.length).toBeGreaterThan(10);
    expect(used.filter((text) => !names.has(text) && !names.has(text.split(' ')[0] ?? ''))).toEqual([]);
  });
});
