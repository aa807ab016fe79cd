/** The CLI as a process of its own: streams, terminals, pipes, completion, signals. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { commands } from '../src/cli/commands/commands.ts';
import { clusterOf, create, seedHosts, seedText, vipOf } from './fixtures.ts';
import { startTestServer } from './harness.ts';
import type { TestServer } from './harness.ts';

let server: TestServer;
let folder: string;

beforeAll(async () => {
  server = await startTestServer({ hosts: seedHosts });
  // More than a pipe holds, once it is listed.
  const domains = [...Array(20).keys()].map((i) => `${'d'.repeat(60)}.${i}.example`);
  const vip2ws = [...Array(200).keys()].map((i) => vipOf(1, i + 1, { domains }));
  await create(server, clusterOf(1, { vip2ws }));
  folder = await mkdtemp(join(tmpdir(), 'weir-process-'));
  await writeFile(join(folder, 'seed.txt'), seedText);
  // What bin/weir is, without a build.
  const main = new URL('../src/main.ts', import.meta.url).href;
  const code = `const { main } = await import('${main}'); await main(process.argv.slice(1));`;
  const weir = `#!/bin/sh\nexec '${process.execPath}' --import '${import.meta.resolve('tsx')}' --input-type=module -e "${code}" -- "$@"\n`;
  await writeFile(join(folder, 'weir'), weir, { mode: 0o755 });
});

afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

interface Ran {
  code: number | null;
  out: string;
  err: string;
}

/** A line of bash, with weir in its PATH. Extra variables are set; standard input is `input`, or closed at once. */
async function bash(line: string, extra: { env?: Record<string, string>; input?: string } = {}): Promise<Ran> {
  const child = spawn('bash', ['-c', line], {
    cwd: folder,
    env: {
      PATH: `${folder}:${process.env['PATH'] ?? ''}`,
      HOME: folder,
      WEIR_URL: server.url,
      WEIR_TOKEN: server.token,
      ...extra.env,
    },
  });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => (out += String(chunk)));
  child.stderr.on('data', (chunk) => (err += String(chunk)));
  child.stdin.end(extra.input ?? '');
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out, err };
}

test('results go to standard output, warnings and errors to standard error, without colours', async () => {
  const env = { CI: 'true' };
  const [applied, refused] = await Promise.all([
    bash('weir apply -f seed.txt', { env }),
    bash('weir show nowhere', { env }),
  ]);
  expect(applied.out).toMatch(/^cluster \S+: revision 1; publish it with: weir publish \S+\n$/);
  expect(applied.err).toMatch(/^warning: /);
  expect([refused.code, refused.out]).toEqual([1, '']);
  expect(refused.err).toMatch(/^error: .*\(not_found\)\n {2}weir get clusters/);
  for (const { out, err } of [applied, refused]) expect(out + err).toBe(stripVTControlCharacters(out + err));
});

test('a reader that has enough ends it quietly', async () => {
  const { code, out, err } = await bash('set -o pipefail; weir get vips -o json | head -1; echo ${PIPESTATUS[0]}');
  expect({ code, out, err }).toEqual({ code: 0, out: '[\n0\n', err: '' });
});

test('nothing prompts: empty and closed standard input are input like any other', async () => {
  const [closed, piped] = await Promise.all([
    bash('weir apply -f - <&-'),
    bash('weir diff -f -', { input: seedText.replace('em1', 'em2') }),
  ]);
  expect([closed.code, closed.out]).toEqual([2, '']);
  expect(closed.err).toMatch(/^error: .*\n {2}\S/);
  expect(closed.err).toContain('holds no document');
  expect([piped.code, piped.err]).toEqual([3, '']);
  expect(piped.out).toContain('+device: em2');
});

test('a server that does not answer is told, with what to do, and exit 1', async () => {
  const { code, out, err } = await bash('weir get clusters', { env: { WEIR_URL: 'http://127.0.0.1:1' } });
  expect([code, out]).toEqual([1, '']);
  expect(err).toMatch(/^error: http:\/\/127\.0\.0\.1:1 does not answer: .+ \(unavailable\)\n {2}start it/);
});

test('the script for completion parses, and completes commands and options', async () => {
  const complete = (words: string) => {
    const list = words.split(' ');
    return `COMP_WORDS=(${list.map((w) => `'${w}'`).join(' ')}); COMP_CWORD=${list.length - 1}; _weir; echo "\${COMPREPLY[*]}"`;
  };
  const lines = [
    'weir ',
    'weir g',
    'weir get ',
    'weir get v',
    'weir show --',
    'weir vip add c --w',
    'weir completion ',
    'weir x ',
  ];
  const { code, out, err } = await bash(
    `set -e; weir completion bash > c; bash -n c; set +e; source c; ${lines.map(complete).join('; ')}; true`,
  );
  expect([code, err]).toEqual([0, '']);
  const [all, g, get, v, show, vip, shells, unknown] = out.split('\n');
  const first = [...new Set(commands.map((c) => c.name.split(' ')[0]))];
  expect(all?.split(' ')).toEqual(expect.arrayContaining([...first, 'serve', 'completion']));
  expect(g).toBe('get');
  expect(get?.split(' ').toSorted()).toEqual(['clusters', 'lbs', 'vips', 'wss', 'wstypes']);
  expect(v).toBe('vips');
  expect(show?.split(' ').toSorted()).toEqual(['--help', '--output', '--revision']);
  expect(vip?.split(' ').toSorted()).toEqual(['--ws', '--wstype']);
  expect(shells).toBe('--help bash zsh fish');
  expect(unknown).toBe('');
});

test('serve says where it listens and where the token is, and ends at SIGTERM', async () => {
  const child = spawn(join(folder, 'weir'), ['serve', '--listen', '127.0.0.1:0', '--data', 'served'], {
    cwd: folder,
    env: { PATH: process.env['PATH'] ?? '', WEIR_LOG_LEVEL: 'warn' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = once(child, 'close');
  let out = '';
  let err = '';
  child.stderr.on('data', (chunk) => (err += String(chunk)));
  for await (const chunk of child.stdout) {
    out += String(chunk);
    if (out.includes('WEIR_TOKEN')) break;
  }
  expect(out).toMatch(/^Weir \S+ listens on http:\/\/127\.0\.0\.1:\d+, documentation at \S+\/docs\n/);
  expect((await stat(join(folder, 'served', 'admin-token'))).mode & 0o777).toBe(0o600);
  const second = await bash('weir serve --listen 127.0.0.1:0 --data served');
  expect([second.code, second.out]).toEqual([1, '']);
  expect(second.err).toMatch(/in use by process \d+ \(store_in_use\)\n {2}\S/);
  child.kill('SIGTERM');
  expect([await ended, err]).toEqual([[0, null], '']);
  const wrong = await bash('weir serve --listen nonsense --data other');
  expect(wrong.code).toBe(2);
  expect(wrong.out).toBe('');
  expect(wrong.err).toMatch(/nonsense is not ADDRESS:PORT \(usage\)\n {2}\S/);
});
