import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { PlanResult } from '../contract/schemas.ts';
import type { Publications } from '../jobs/publications.ts';
import { createPublished } from '../jobs/published.ts';
import type { PublishedReleases } from '../jobs/published.ts';
import { createReleases } from '../jobs/releases.ts';
import type { Releases } from '../jobs/releases.ts';
import type { Store } from '../store/port.ts';
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts';
import { openState } from '../store/state.ts';
import type { State } from '../store/state.ts';
import { cluster } from '../store/testing.ts';
import { createApp } from './app.ts';

let folder: string;
let store: Store;
let state: State;
let releases: Releases;
let published: PublishedReleases;
let app: FastifyInstance;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weir-api-'));
  store = openSqliteStore(join(folder, 'weir.db'));
  let id = 0;
  const onError = (message: string, thrown: unknown) => {
    throw new Error(message, { cause: thrown });
  };
  state = await openState(store, { now: () => new Date(0), randomId: () => String(++id), onError });
  releases = createReleases(state, async (names) => ({
    found: Object.fromEntries(names.map((n, i) => [n, { address: `10.9.0.${i + 1}`, source: 'hosts' as const }])),
    warnings: [],
  }));
  published = createPublished(store, state, releases);
  const publications = {} as Publications;
  const services = { store, state, releases, published, publications, adminToken: 'token', version: '0' };
  app = await createApp(services, { logger: pino({ level: 'silent' }), bodyLimit: 1024 });
});

afterEach(async () => {
  await app.close();
  state.close();
  await store.close();
  await rm(folder, { recursive: true });
});

async function setKey(key: string | null): Promise<void> {
  const set = { op: 'cluster.set', input: { set: { ospf: { key } } } };
  await state.change({ cluster: 'c', calls: [set], by: 'tester' });
}

/** As if the present state had been published. */
async function publish(): Promise<void> {
  const present = (await releases.refresh('c')).state;
  const outcomes = releases.of(present).map((r) => ({ lb: r.lb, release: r.id }));
  await published.record(present, outcomes);
}

async function plan(): Promise<PlanResult> {
  const reply = await app.inject({
    method: 'POST',
    url: '/api/v1/clusters/c/plan',
    headers: { authorization: 'Bearer token' },
  });
  return reply.json<PlanResult>();
}

test('a plan shows neither the present key nor those of what was published before', async () => {
  await state.change({
    cluster: 'c',
    calls: [{ op: 'cluster.create', input: { cluster: cluster('c') } }],
    by: 'tester',
  });
  await setKey('KeyOfBefore');
  await publish();
  for (const next of ['KeyOfAfter', null]) {
    await setKey(next);
    const { files } = await plan();
    const ospfd = files.find((f) => f.path === 'routing/ospfd.conf');
    expect(ospfd?.change).toBe('changed');
    expect(ospfd?.diff).toContain('- ip ospf message-digest-key 8 md5 ******\n');
    expect(JSON.stringify(files)).not.toMatch(/KeyOf/);
  }
});

test('a plan after publishing is empty', async () => {
  await state.change({
    cluster: 'c',
    calls: [{ op: 'cluster.create', input: { cluster: cluster('c') } }],
    by: 'tester',
  });
  await setKey('KeyOfBefore');
  await publish();
  expect(await plan()).toMatchObject({ changes: false, files: [] });
});
