import { Resolver } from 'node:dns/promises';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { createResolve } from './resolve.ts';

let folder: string;
let hostsFile: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weir-resolve-test-'));
  hostsFile = join(folder, 'hosts');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Names that are not in the hosts file are not asked for: no time is left for DNS. */
function resolverWith(hosts: string) {
  return writeFile(hostsFile, hosts).then(() => createResolve({ hostsFile, totalMs: -1 }));
}

test('names are found in the hosts file, whatever their case', async () => {
  const resolve = await resolverWith('10.0.0.1 One.room1 alias.room1 # comment\n');
  expect(await resolve(['one.room1', 'ALIAS.room1'], {})).toEqual({
    found: {
      'one.room1': { address: '10.0.0.1', source: 'hosts' },
      'ALIAS.room1': { address: '10.0.0.1', source: 'hosts' },
    },
    warnings: [],
  });
});

test('the hosts file is read anew each time, and a changed address is told', async () => {
  const resolve = await resolverWith('10.0.0.1 one.room1\n');
  const { found } = await resolve(['one.room1'], {});
  await writeFile(hostsFile, '10.0.0.2 one.room1\n');
  const next = await resolve(['one.room1'], found);
  expect(next.found['one.room1']?.address).toBe('10.0.0.2');
  expect(next.warnings).toMatchObject([
    { code: 'address_changed', message: 'one.room1 moved from 10.0.0.1 to 10.0.0.2' },
  ]);
});

test('a name that is gone keeps its last address and is marked; one that never was has none', async () => {
  const resolve = await resolverWith('');
  const known = { 'one.room1': { address: '10.0.0.1', source: 'hosts' as const } };
  const { found, warnings } = await resolve(['one.room1', 'two.room1'], known);
  expect(found).toEqual({ 'one.room1': { address: '10.0.0.1', source: 'hosts', missing: true } });
  expect(warnings).toMatchObject([{ code: 'address_kept', severity: 'warning' }]);
  expect(warnings[0]?.message).toContain('its last address 10.0.0.1 is kept');
});

test('names that no longer matter are forgotten', async () => {
  const resolve = await resolverWith('10.0.0.1 one.room1\n');
  expect(
    (await resolve(['one.room1'], { 'old.room1': { address: '10.0.0.9', source: 'dns' } })).found,
  ).not.toHaveProperty('old.room1');
});

test('a hosts file that cannot be read is an error, not an empty one', async () => {
  const resolve = createResolve({ hostsFile: join(folder, 'missing') });
  await expect(resolve(['one.room1'], {})).rejects.toMatchObject({
    code: 'failed',
    hint: 'correct WEIR_HOSTS, or unset it',
  });
});

test('what DNS says of a name that is to lead nowhere is no address of a WS', async () => {
  const resolve4 = vi.spyOn(Resolver.prototype, 'resolve4') as { mockResolvedValue: (answers: string[]) => unknown };
  resolve4.mockResolvedValue(['127.0.0.1', '0.0.0.0']);
  const known = { 'one.room1': { address: '10.0.0.1', source: 'dns' as const } };
  const { found, warnings } = await createResolve({})(['one.room1', 'two.room1'], known);
  expect(found).toEqual({ 'one.room1': { address: '10.0.0.1', source: 'dns', missing: true } });
  expect(warnings).toMatchObject([{ code: 'address_kept' }]);
  expect(warnings[0]?.message).toContain('(DNS says 0.0.0.0, 127.0.0.1)');
  resolve4.mockResolvedValue(['127.0.0.1', '10.0.0.2']);
  expect((await createResolve({})(['two.room1'], {})).found['two.room1']?.address).toBe('10.0.0.2');
  vi.restoreAllMocks();
});

test('a name such as those that every object has is nothing special', async () => {
  const resolve = await resolverWith('');
  expect(await resolve(['constructor', 'toString'], {})).toEqual({ found: {}, warnings: [] });
});
