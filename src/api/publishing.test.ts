import { afterEach, beforeEach, expect, test } from 'vitest';
import type { PlanResult } from '../contract/schemas.ts';
import { cluster } from '../store/testing.ts';
import { openApi } from './testing.ts';
import type { Api } from './testing.ts';

let api: Api;

beforeEach(async () => {
  api = await openApi();
  api.jobs.setHosts('10.9.0.1 ws1.room1\n10.9.0.2 ws2.room1\n');
  await api.jobs.create(cluster('c'));
});

afterEach(() => api.close());

async function setKey(key: string | null): Promise<void> {
  const set = { op: 'cluster.set', input: { set: { ospf: { key } } } };
  await api.jobs.state.change({ cluster: 'c', calls: [set], by: 'tester' });
}

/** As if the present state had been published. */
async function publish(): Promise<void> {
  const { releases, published } = api.jobs;
  const present = (await releases.refresh('c')).state;
  const outcomes = releases.of(present).map((r) => ({ lb: r.lb, release: r.id }));
  await published.record(present, outcomes, Number.MAX_SAFE_INTEGER);
}

async function plan(): Promise<PlanResult> {
  const reply = await api.send('POST', '/clusters/c/plan');
  return reply.json<PlanResult>();
}

test('a plan shows neither the present key nor those of what was published before', async () => {
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
  await setKey('KeyOfBefore');
  await publish();
  expect(await plan()).toMatchObject({ changes: false, files: [] });
});
