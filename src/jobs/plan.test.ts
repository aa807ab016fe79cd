import { afterEach, beforeEach, expect, test } from 'vitest';
import { cluster, lb, vip } from '../store/testing.ts';
import { makePlan } from './plan.ts';
import type { Plan } from './plan.ts';
import { NEWEST_FENCE, openJobs } from './testing.ts';
import type { Jobs } from './testing.ts';

let jobs: Jobs;

beforeEach(async () => {
  jobs = await openJobs();
  jobs.setHosts('10.9.0.1 ws1.room1\n10.9.0.2 ws2.room1\n');
  const second = { ...lb('lb2.room1'), routerid: '10.0.0.2', internalip: '10.0.0.2' };
  await jobs.create(cluster('c', { lbinfos: [lb('lb1.room1'), second], vip2ws: [vip('10.1.0.1'), vip('10.1.0.2')] }));
});
afterEach(() => jobs?.close());

const plan = (): Promise<Plan> => makePlan('c', jobs.releases, jobs.published);

/** Records a publication that went well. */
async function publish(...lbs: string[]): Promise<void> {
  const { state } = await jobs.releases.refresh('c');
  const releases = jobs.releases.of(state).filter((r) => lbs.length === 0 || lbs.includes(r.lb));
  await jobs.published.record(
    state,
    releases.map((r) => ({ lb: r.lb, release: r.id })),
    NEWEST_FENCE,
  );
}

async function change(op: string, input: object): Promise<void> {
  await jobs.state.change({ cluster: 'c', calls: [{ op, input: { cluster: 'c', ...input } }], by: 'test' });
}

/** Files of an LB's release. */
async function fileCount(lb: string): Promise<number> {
  const { state } = await jobs.releases.refresh('c');
  return (
    jobs.releases
      .of(state)
      .find((r) => r.lb === lb)
      ?.files().length ?? 0
  );
}

const pathsOf = (p: Plan) => p.files.map((f) => `${f.change} ${f.path} ${f.lbs.join('+')}`);

test('a plan before anything was published adds all files, each that LBs share once', async () => {
  const first = await plan();
  expect(first).toMatchObject({ changes: true, revision: 1, truncated: false });
  expect(pathsOf(first)).toContain('added keepalived/vips/10.1.0.1.conf lb1.room1+lb2.room1');
  expect(pathsOf(first)).toContain('added routing/ospfd.conf lb1.room1');
  expect(pathsOf(first)).toContain('added routing/ospfd.conf lb2.room1');
  expect(first.files[0]?.diff).toContain('--- /dev/null');
});

test('a plan after publishing is empty, also with another process on the store', async () => {
  await publish();
  expect(await plan()).toMatchObject({ changes: false, files: [], warnings: [] });
});

test('a plan shows what a change changes, and what is published on which LB', async () => {
  await publish();
  await change('vip.set', { vip: '10.1.0.2', set: { quorum: 50 } });
  await publish('lb1.room1');
  const next = await plan();
  expect(pathsOf(next)).toEqual(['changed keepalived/vips/10.1.0.2.conf lb2.room1']);
  expect(next.files[0]?.diff).toMatch(/^-\s+quorum 1$/m);
  expect(next.files[0]?.diff).toMatch(/^\+\s+quorum 50$/m);
  expect(next.lbs).toMatchObject({
    'lb1.room1': { files: 0, published: { revision: 2 } },
    'lb2.room1': { files: 1, published: { revision: 1 } },
  });
  expect(next.changes).toBe(true);
});

test('a removed VIP is shown as removed, with all of its text', async () => {
  await publish();
  await change('vip.remove', { vips: ['10.1.0.1'] });
  const next = await plan();
  expect(pathsOf(next)).toContain('removed keepalived/vips/10.1.0.1.conf lb1.room1+lb2.room1');
  expect(next.files.find((f) => f.change === 'removed')?.diff).toContain('+++ /dev/null');
});

test('a change that is taken back leaves nothing to publish', async () => {
  await publish();
  await change('vip.set', { vip: '10.1.0.2', set: { quorum: 50 } });
  await change('vip.set', { vip: '10.1.0.2', set: { quorum: 1 } });
  expect(await plan()).toMatchObject({ changes: false, files: [], revision: 3 });
});

test('neither the new OSPF key nor those before are shown', async () => {
  for (const key of ['firstKey', 'secondKey']) {
    await change('cluster.set', { set: { ospf: { key } } });
    const text = JSON.stringify(await plan());
    expect(text).toContain('md5 ******');
    expect(text).not.toMatch(/firstKey|secondKey/);
    await publish();
  }
  await change('cluster.set', { set: { ospf: null } });
  expect(JSON.stringify(await plan())).not.toMatch(/firstKey|secondKey/);
});

test('a changed address of a WS is shown, with a warning', async () => {
  await publish();
  jobs.setHosts('10.9.0.1 ws1.room1\n10.9.0.99 ws2.room1\n');
  const next = await plan();
  expect(next.warnings).toMatchObject([
    { code: 'address_changed', message: 'ws2.room1 moved from 10.9.0.2 to 10.9.0.99' },
  ]);
  expect(next.files).toHaveLength(2);
  expect(next.files[0]?.diff).toContain('+    real_server 10.9.0.99 80 {');
});

test('what was published from a revision that is no longer kept is told by its ID, with all files as added', async () => {
  const { state } = await jobs.releases.refresh('c');
  await jobs.published.record(
    { ...state, revision: 999 },
    [{ lb: 'lb1.room1', release: 'f'.repeat(32) }],
    NEWEST_FENCE,
  );
  const next = await plan();
  const files = await fileCount('lb1.room1');
  expect(next.lbs['lb1.room1']).toMatchObject({ published: { release: 'f'.repeat(32), revision: 999 }, files });
  expect(next.changes).toBe(true);
});

test('differences too large to show are left out, and the plan says so', async () => {
  const ports = Array.from({ length: 256 }, (_, i) => ({
    sport: i + 1,
    dport: i + 1,
    synproxy: 1 as const,
    persistence_timeout: 50,
  }));
  for (let i = 3; i < 20; i += 1) await change('vip.add', { vips: [vip(`10.1.0.${i}`, { ports })] });
  const next = await plan();
  expect(next.truncated).toBe(true);
  expect(next.files.filter((f) => f.diff === '').length).toBeGreaterThan(0);
  expect(next.files.reduce((sum, f) => sum + f.diff.length, 0)).toBeLessThan(1.3 * 1024 * 1024);
});

test('an LB that gave its files back has all of them to get again', async () => {
  await publish();
  const { state } = await jobs.releases.refresh('c');
  await jobs.published.record(state, [{ lb: 'lb1.room1', release: '' }], NEWEST_FENCE);
  const next = await plan();
  const files = await fileCount('lb1.room1');
  expect(next.lbs).toMatchObject({ 'lb1.room1': { published: null, files }, 'lb2.room1': { files: 0 } });
  expect(next.lbs['lb1.room1']).not.toHaveProperty('doubt');
});
