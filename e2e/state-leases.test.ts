import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openSqliteStore } from '../src/store/sqlite/sqlite-store.ts';
import { startTestServer } from './harness.ts';

test('a lease that a dead process left in the embedded store does not outlive the next start', async () => {
  const data = await mkdtemp(join(tmpdir(), 'weir-lease-'));
  const hour = 3_600_000;
  const store = openSqliteStore(join(data, 'weir.db'));
  const left = await store.acquire('publish:edge', 'dead/publication', { ttlMs: hour, now: Date.now() });
  expect(left?.owner).toBe('dead/publication');
  await store.close();

  const server = await startTestServer({ settings: { data } });
  await server.close();

  const after = openSqliteStore(join(data, 'weir.db'));
  const mine = await after.acquire('publish:edge', 'me', { ttlMs: hour, now: Date.now() });
  expect(mine?.owner).toBe('me');
  expect(mine?.fence).toBeGreaterThan(left?.fence ?? Number.POSITIVE_INFINITY);
  await after.close();
  await rm(data, { recursive: true, force: true });
});
