import { afterEach, beforeEach, expect, test } from 'vitest';
import { cluster, lb, vip } from '../store/testing.ts';
import { createPublished } from './published.ts';
import { NEWEST_FENCE, openJobs } from './testing.ts';
import type { Jobs } from './testing.ts';

const LB1 = { cluster: 'c', lb: 'lb1.room1', fence: NEWEST_FENCE };

let jobs: Jobs;

beforeEach(async () => {
  jobs = await openJobs();
  jobs.setHosts('10.9.0.1 ws1.room1\n10.9.0.2 ws2.room1\n');
  const second = { ...lb('lb2.room1'), routerid: '10.0.0.2', internalip: '10.0.0.2' };
  await jobs.create(cluster('c', { lbinfos: [lb('lb1.room1'), second] }));
});
afterEach(() => jobs?.close());

async function record(...lbs: string[]) {
  const { state } = await jobs.releases.refresh('c');
  const releases = jobs.releases.of(state).filter((r) => lbs.includes(r.lb));
  await jobs.published.record(
    state,
    releases.map((r) => ({ lb: r.lb, release: r.id })),
    NEWEST_FENCE,
  );
  return releases;
}

async function change(op: string, input: object): Promise<void> {
  await jobs.state.change({ cluster: 'c', calls: [{ op, input: { cluster: 'c', ...input } }], by: 'test' });
}

test('releases of earlier revisions, addresses and keys are rebuilt to the byte', async () => {
  await change('cluster.set', { set: { ospf: { key: 'firstKey' } } });
  const [first] = await record('lb1.room1');
  await change('cluster.set', { set: { ospf: { key: 'secondKey', cost: 99 } } });
  await change('vip.set', { vip: '10.1.0.1', set: { quorum: 7 } });
  jobs.setHosts('10.9.0.1 ws1.room1\n10.9.0.50 ws2.room1\n');
  const [second] = await record('lb2.room1');
  // As after a restart: nothing of what was rendered is at hand.
  const known = await createPublished(jobs.store, jobs.state, jobs.releases).releasesOf('c');
  for (const release of [first, second]) {
    const again = known(release?.lb ?? '', release?.id ?? '');
    expect(again?.id).toBe(release?.id);
    expect(again?.manifest().text()).toBe(release?.manifest().text());
    expect(again?.files().map((f) => f.text())).toEqual(release?.files().map((f) => f.text()));
  }
  expect(known('lb1.room1', second?.id ?? '')).toBeUndefined();
});

test('only the bases in use are kept, and LBs that left are forgotten', async () => {
  await record('lb1.room1', 'lb2.room1');
  await change('vip.set', { vip: '10.1.0.1', set: { quorum: 7 } });
  await record('lb1.room1');
  const stored = async () =>
    (await jobs.store.record({ kind: 'published', key: 'c' }))?.value as { bases: object; lbs: object };
  expect(Object.keys((await stored()).bases)).toHaveLength(2);
  await change('lb.remove', { lbs: ['lb2.room1'] });
  await record('lb1.room1');
  expect(Object.keys((await stored()).bases)).toHaveLength(1);
  expect(Object.keys((await stored()).lbs)).toEqual(['lb1.room1']);
});

test('a revision that is no longer kept gives no release, and no failure', async () => {
  const { state } = await jobs.releases.refresh('c');
  await jobs.published.record(
    { ...state, revision: 999 },
    [{ lb: 'lb1.room1', release: 'f'.repeat(32) }],
    NEWEST_FENCE,
  );
  expect((await jobs.published.releasesOf('c'))('lb1.room1', 'f'.repeat(32))).toBeUndefined();
  expect(await jobs.published.given('none')).toEqual(new Map());
});

test('rebuilding what was published does not make the present be rendered again', async () => {
  await change('vip.add', { vips: [vip('10.1.0.2')] });
  await record('lb1.room1');
  await change('vip.set', { vip: '10.1.0.2', set: { quorum: 7 } });
  const { state } = await jobs.releases.refresh('c');
  const fileOf = () =>
    jobs.releases
      .of(state)[0]
      ?.files()
      .find((f) => f.path.endsWith('10.1.0.1.conf'));
  const before = fileOf();
  await jobs.published.releasesOf('c');
  await change('vip.set', { vip: '10.1.0.2', set: { quorum: 8 } });
  const { state: next } = await jobs.releases.refresh('c');
  expect(jobs.releases.of(next)[0]?.files()).toContain(before);
});

test('what an LB activated counts until it is published to again, also by another process', async () => {
  const [, ...rest] = await record('lb1.room1', 'lb2.room1');
  expect(rest).toHaveLength(1);
  await jobs.published.activated(LB1);
  const states = async () => {
    const given = await createPublished(jobs.store, jobs.state, jobs.releases).given('c');
    return [...given].map(([lb, { activated }]) => [lb, activated]);
  };
  expect(await states()).toEqual([
    ['lb1.room1', true],
    ['lb2.room1', false],
  ]);
  await record('lb1.room1');
  expect(await states()).toContainEqual(['lb1.room1', true]);
  await change('vip.set', { vip: '10.1.0.1', set: { quorum: 7 } });
  await record('lb1.room1');
  expect(await states()).toContainEqual(['lb1.room1', false]);
});

test('an LB in doubt is given nothing that is known, until the doubt ends or it is published to again', async () => {
  await record('lb1.room1', 'lb2.room1');
  await jobs.published.activated(LB1);
  await jobs.published.doubt(LB1, 'it may have gone back');
  await jobs.published.doubt({ ...LB1, lb: 'lb9.room1' }, 'it was never published to');
  expect([...(await jobs.published.given('c')).keys()]).toEqual(['lb2.room1']);
  expect([...(await jobs.published.doubts('c'))]).toEqual([['lb1.room1', 'it may have gone back']]);
  await jobs.published.doubt(LB1);
  expect((await jobs.published.given('c')).get('lb1.room1')).toMatchObject({ revision: 1, activated: true });
  expect([...(await jobs.published.doubts('c'))]).toEqual([]);
  await jobs.published.doubt(LB1, 'it went back');
  await record('lb1.room1');
  expect((await jobs.published.given('c')).get('lb1.room1')).toMatchObject({ activated: false });
  expect([...(await jobs.published.doubts('c'))]).toEqual([]);
});

test('what several LBs are noted for at once is all kept; what is noted by who lost the lease is not', async () => {
  await record('lb1.room1', 'lb2.room1');
  const places = ['lb1.room1', 'lb2.room1'].map((lb) => ({ ...LB1, lb }));
  await Promise.all(places.map((place) => jobs.published.doubt(place, 'both')));
  expect([...(await jobs.published.doubts('c')).keys()].sort()).toEqual(['lb1.room1', 'lb2.room1']);
  const lease = await jobs.store.acquire('publish:c', 'other', { ttlMs: 1000, now: Date.now() });
  await jobs.published.doubt({ ...LB1, fence: (lease?.fence ?? 0) - 1 });
  expect((await jobs.published.doubts('c')).size).toBe(2);
  await jobs.published.doubt({ ...LB1, fence: lease?.fence ?? 0 });
  expect((await jobs.published.doubts('c')).size).toBe(1);
});

test('LIPs of an LB that activated something do not change under its connections, until it is drained', async () => {
  await change('cluster.set', { set: { dataplane: 'ipvs' } });
  const lips = (last: number) => ({ lb: 'lb1.room1', set: { lips: [`10.8.0.1-${last}`] } });
  await change('lb.set', lips(5));
  await record('lb1.room1');
  await change('lb.set', lips(6));
  await jobs.published.activated(LB1);
  await change('lb.set', lips(7));
  const fewer = change('lb.set', lips(4));
  await expect(fewer).rejects.toMatchObject({
    code: 'conflict',
    problems: [{ code: 'lips_in_service', path: 'lbinfos[0].lips' }],
  });
  await change('lb.set', { lb: 'lb1.room1', set: { state: 'drain' } });
  await change('lb.set', lips(4));
  expect(jobs.state.get('c')?.lips.lbs['lb1.room1']).toHaveLength(4);
  const undrain = () => change('lb.set', { lb: 'lb1.room1', set: { state: 'up' } });
  const early = { code: 'conflict', problems: [{ code: 'lips_in_service', path: 'lbinfos[0].state' }] };
  await expect(undrain()).rejects.toMatchObject(early);
  await record('lb1.room1');
  await expect(undrain()).rejects.toMatchObject(early);
  await jobs.published.activated(LB1);
  await undrain();
});

test('an LB that went back serves still, also when something is published to it since', async () => {
  const lips = (last: number) => change('lb.set', { lb: 'lb1.room1', set: { lips: [`10.8.0.1-${last}`] } });
  await lips(5);
  await record('lb1.room1');
  await jobs.published.activated(LB1);
  await jobs.published.doubt(LB1, 'it went back to what it had before its activation');
  await expect(lips(4)).rejects.toMatchObject({ problems: [{ code: 'lips_in_service' }] });
  await record('lb1.room1');
  await expect(lips(4)).rejects.toMatchObject({ problems: [{ code: 'lips_in_service' }] });
});

test('an LB in service that was removed can come back as it was', async () => {
  await record('lb1.room1');
  await jobs.published.activated(LB1);
  const before = jobs.state.get('c')?.lips.lbs['lb1.room1'];
  await change('lb.remove', { lbs: ['lb1.room1'] });
  await change('lb.add', { lbs: [lb('lb1.room1')] });
  expect(jobs.state.get('c')?.lips.lbs['lb1.room1']).toEqual(before);
});
