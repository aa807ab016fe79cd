import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Cluster } from '../domain/edge/model.ts';
import { cluster, lb } from '../store/testing.ts';
import type { Activation, ActivationRequest } from './activations.ts';
import { makePlan } from './plan.ts';
import { NEWEST_FENCE, openJobs } from './testing.ts';
import type { Jobs, JobsOptions, PlayedSession } from './testing.ts';

let jobs: Jobs;

afterEach(() => jobs?.close());

/** A cluster `c` whose LBs have been published to. */
async function open(lbs: number, options: JobsOptions = {}): Promise<Cluster> {
  jobs = await openJobs(options);
  jobs.setHosts('10.9.0.1 ws1.room1\n10.9.0.2 ws2.room1\n');
  const lbinfos = Array.from({ length: lbs }, (_, i) => ({
    ...lb(`lb${i + 1}.room1`),
    routerid: `10.0.${i}.1`,
    internalip: `10.0.${i}.1`,
    internalgateway: `10.0.${i}.254`,
    ospfnet: `10.0.${i}.0/24`,
  }));
  const document = cluster('c', { lbinfos });
  await jobs.create(document);
  await publish();
  return document;
}

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

const nextRelease = (n: number) => change('vip.set', { vip: '10.1.0.1', set: { quorum: 10 + n } });

function start(request: Partial<ActivationRequest> = {}): Promise<Activation> {
  return jobs.activations.start({ cluster: 'c', by: 'test', ...request });
}

function endOf(id: string): Promise<Activation> {
  return new Promise((resolve, reject) => {
    const stop = jobs.activations.watch(id, (activation) => {
      if (activation.ended !== undefined) resolve(activation);
    });
    if (!stop) reject(new Error('it is not under way'));
  });
}

/** The nth session, as soon as its request has come. */
async function session(n: number): Promise<PlayedSession> {
  const look = () => {
    const found = jobs.sessions[n];
    if (!found?.received) throw new Error(`no session ${n}`);
    return found;
  };
  return vi.waitFor(look, { interval: 1 });
}

const requestOf = (of: PlayedSession) => of.received.trim().split(' ');
const given = async (name: string) => (await jobs.published.given('c')).get(name);

describe('an activation', () => {
  test('asks one LB after the other, in the document’s order, for what it was given', async () => {
    await open(3);
    const { id, lbs, wait, revision } = await start({ lbs: ['lb3.room1', 'lb1.room1', 'lb2.room1'], wait: 7 });
    expect([wait, revision, Object.keys(lbs)]).toEqual([7, 1, ['lb1.room1', 'lb2.room1', 'lb3.room1']]);
    const end = endOf(id);
    for (let n = 0; n < 3; n += 1) {
      const asked = await session(n);
      expect(jobs.sessions).toHaveLength(n + 1);
      const release = (await given(asked.target.host))?.release ?? lbs[asked.target.host]?.release;
      expect(requestOf(asked)).toEqual(['weir', '1', 'activate', expect.any(String), release, '7', 'up', 'keep']);
      asked.done('activated x');
    }
    const activation = await end;
    expect(activation.state).toBe('done');
    expect(jobs.sessions.map((s) => s.target.host)).toEqual(['lb1.room1', 'lb2.room1', 'lb3.room1']);
    expect(Object.values(activation.lbs).map((l) => l.state)).toEqual(['activated', 'activated', 'activated']);
    expect(await jobs.anotherActivations().get('c', id)).toEqual(activation);
    expect(await jobs.store.leases()).toEqual([]);
  });

  test('tells watchers its steps, and what the LB warns of', async () => {
    await open(1);
    const { id } = await start();
    const told: string[] = [];
    jobs.activations.watch(id, ({ lbs, ended }) => {
      const { state, step } = lbs['lb1.room1'] ?? { state: '?', step: '?' };
      told.push(ended === undefined ? `${state} ${step}` : 'end');
    });
    const end = endOf(id);
    const asked = await session(0);
    const steps = ['lock', 'check', 'guard', 'host', 'keepalived', 'routing', 'verify', 'confirm'];
    for (const step of steps) asked.say(`step ${step}`);
    asked.say('warn two WSs are down');
    asked.done('unchanged x');
    const activation = await end;
    expect(activation.lbs['lb1.room1']).toMatchObject({ state: 'unchanged', warnings: ['two WSs are down'] });
    const running = [...new Set(told)].filter((t) => t.startsWith('running'));
    expect(running).toEqual(['connect', ...steps].map((step) => `running ${step}`));
    expect(told.at(-1)).toBe('end');
  });

  test('stops at the first LB that fails, and the others are not begun', async () => {
    await open(3);
    const { id } = await start();
    const end = endOf(id);
    (await session(0)).done('activated x');
    const second = await session(1);
    second.say('fail check /etc/weir/current is not that release');
    second.fail('');
    const activation = await end;
    expect(activation.state).toBe('failed');
    expect(activation.lbs).toMatchObject({
      'lb1.room1': { state: 'activated' },
      'lb2.room1': { state: 'failed', step: 'check', message: '/etc/weir/current is not that release' },
      'lb3.room1': { state: 'cancelled', step: '', message: 'not activated: LB lb2.room1 failed' },
    });
    expect(jobs.sessions).toHaveLength(2);
    expect([await given('lb1.room1'), await given('lb2.room1')]).toMatchObject([
      { activated: true },
      { activated: false },
    ]);
  });

  test('goes to several LBs at once where it is asked to, and one that fails stops those that have not begun', async () => {
    await open(4);
    const { id } = await start({ parallel: 2 });
    const end = endOf(id);
    const [first, second] = [await session(0), await session(1)];
    expect(jobs.sessions).toHaveLength(2);
    first.done('activated x');
    const third = await session(2);
    second.say('fail check no keepalived');
    second.fail('');
    third.done('activated x');
    const activation = await end;
    expect(activation.state).toBe('failed');
    expect(Object.values(activation.lbs).map((row) => row.state)).toEqual([
      'activated',
      'failed',
      'activated',
      'cancelled',
    ]);
    expect(jobs.sessions).toHaveLength(3);
  });

  test('of an LB that put itself back has failed, and a plan no longer says what is published there', async () => {
    await open(2);
    const { id } = await start();
    const end = endOf(id);
    const asked = await session(0);
    for (const line of ['step verify', 'step undo', 'undone 0123', 'fail verify 10.1.0.1 is not on lo'])
      asked.say(line);
    asked.fail('');
    const activation = await end;
    expect(activation.state).toBe('failed');
    expect(activation.lbs).toMatchObject({
      'lb1.room1': { state: 'undone', step: 'verify', message: '10.1.0.1 is not on lo' },
      'lb2.room1': { state: 'cancelled', message: 'not activated: LB lb1.room1 was undone' },
    });
    const plan = await makePlan('c', jobs.releases, jobs.published);
    expect(plan.changes).toBe(true);
    expect(plan.lbs['lb1.room1']).toMatchObject({
      published: null,
      doubt: `it went back to what it had before its activation ${id}`,
    });
    expect(plan.lbs['lb2.room1']).toMatchObject({ published: { revision: 1, activated: false }, files: 0 });
    await expect(start()).rejects.toMatchObject({
      code: 'not_published',
      problems: [{ code: 'not_published', message: expect.stringContaining('lb1.room1 is not known') as string }],
    });
    await publish();
    expect(await makePlan('c', jobs.releases, jobs.published)).toMatchObject({ changes: false });
  });

  test('says in time when a drain came while it was under way', async () => {
    await open(2);
    const { id } = await start();
    const end = endOf(id);
    const first = await session(0);
    await change('lb.set', { lb: 'lb2.room1', set: { state: 'drain' } });
    first.done('activated x');
    const second = await session(1);
    expect([requestOf(first)[6], requestOf(second)[6]]).toEqual(['up', 'drain']);
    second.done('activated x');
    expect((await end).state).toBe('done');
  });

  test('has a higher fencing number than the publication before it', async () => {
    await open(1);
    const publication = await jobs.publications.start({ cluster: 'c', by: 'test' });
    const published = new Promise<void>((resolve) => {
      jobs.publications.watch(publication.id, ({ ended }) => ended !== undefined && resolve());
    });
    (await session(0)).publish();
    await published;
    const { id } = await start();
    const end = endOf(id);
    (await session(1)).done('activated x');
    await end;
    const [first = 0, second = 0] = jobs.sessions.map((s) => Number(requestOf(s)[3]));
    expect(second).toBeGreaterThan(first);
  });
});

describe('an activation is refused and begins nothing', () => {
  afterEach(async () => {
    expect(jobs.sessions).toEqual([]);
    expect(await jobs.store.leases()).toEqual([]);
    expect(await jobs.activations.list('c', 10)).toEqual([]);
  });

  test('where an LB was never published to, naming all of them', async () => {
    await open(3);
    const { state } = await jobs.releases.refresh('c');
    await jobs.published.record(
      state,
      [
        { lb: 'lb1.room1', release: '' },
        { lb: 'lb3.room1', release: '' },
      ],
      NEWEST_FENCE,
    );
    await expect(start()).rejects.toMatchObject({
      code: 'not_published',
      hint: 'weir publish c --lb lb1.room1',
      problems: [
        { code: 'not_published', message: 'Weir has published nothing on LB lb1.room1 yet' },
        { code: 'not_published', message: 'Weir has published nothing on LB lb3.room1 yet' },
      ],
    });
  });

  test('where another revision is published on one of the LBs', async () => {
    await open(2);
    await nextRelease(1);
    await publish('lb1.room1');
    await expect(start({ revision: 2 })).rejects.toMatchObject({
      code: 'revision_mismatch',
      message: 'LB lb2.room1 has revision 1 published, not 2',
    });
  });

  test('of LBs and clusters that are not there', async () => {
    await open(1);
    await expect(start({ lbs: ['x', 'lb1.room1', 'y'] })).rejects.toMatchObject({
      code: 'not_found',
      problems: [{ message: 'cluster c has no LB x' }, { message: 'cluster c has no LB y' }],
    });
    await expect(start({ cluster: 'none' })).rejects.toMatchObject({ code: 'not_found' });
  });
});

test('an activation of what is not the newest says so, and one of the same release does not', async () => {
  await open(2);
  await change('lb.set', { lb: 'lb2.room1', set: { state: 'drain' } });
  await nextRelease(1);
  await publish('lb1.room1');
  const activation = await start();
  expect(activation.revision).toBe(3);
  expect(activation.warnings).toMatchObject([
    {
      code: 'older_published',
      message: expect.stringMatching(/revision 3 is the newest.* by: lb2\.room1 \(1\)$/) as string,
    },
  ]);
  const end = endOf(activation.id);
  for (const n of [0, 1]) (await session(n)).done('activated x');
  await end;
  await change('lb.set', { lb: 'lb2.room1', set: { state: 'up' } });
  const again = await start({ lbs: ['lb1.room1'] });
  expect(again.warnings).toEqual([]);
  const ended = endOf(again.id);
  (await session(2)).done('unchanged x');
  await ended;
});

describe('an activation that is cancelled', () => {
  test('lets the LB that is under way go on to its end, and begins no other', async () => {
    await open(3);
    const { id } = await start();
    const end = endOf(id);
    const asked = await session(0);
    asked.say('step keepalived');
    await jobs.activations.cancel('c', id);
    expect(asked.ended).toBe(false);
    asked.done('activated x');
    const activation = await end;
    expect(activation.state).toBe('cancelled');
    expect(activation.lbs).toMatchObject({
      'lb1.room1': { state: 'activated' },
      'lb2.room1': { state: 'cancelled', message: 'cancelled before it began' },
      'lb3.room1': { state: 'cancelled', message: 'cancelled before it began' },
    });
    expect(jobs.sessions).toHaveLength(1);
  });

  test('by the end of Weir ends its session, says that the LB goes on, and leaves what it has in doubt', async () => {
    await open(2);
    const { id } = await start();
    const asked = await session(0);
    asked.say('step keepalived');
    await vi.waitFor(async () =>
      expect((await jobs.activations.get('c', id)).lbs['lb1.room1']?.step).toBe('keepalived'),
    );
    await jobs.activations.close();
    expect(asked.ended).toBe(true);
    const activation = await jobs.anotherActivations().get('c', id);
    expect(activation).toMatchObject({
      state: 'cancelled',
      lbs: {
        'lb1.room1': { state: 'cancelled', message: expect.stringContaining('by itself') as string },
        'lb2.room1': { state: 'cancelled' },
      },
    });
    expect([...(await jobs.published.doubts('c')).keys()]).toEqual(['lb1.room1']);
    expect(await jobs.store.leases()).toEqual([]);
  });
});

describe('an activation whose process died', () => {
  test('is interrupted once its lease ends: the LB under way goes on, the others were not begun', async () => {
    await open(2);
    const dead = jobs.anotherActivations();
    const { id } = await dead.start({ cluster: 'c', by: 'test' });
    await session(0);
    expect(await jobs.activations.get('c', id)).toMatchObject({ state: 'running' });
    await vi.waitFor(async () =>
      expect((await jobs.store.record({ kind: 'activation:c', key: id }))?.value).toMatchObject({
        lbs: { 'lb1.room1': { state: 'running' } },
      }),
    );
    jobs.pass(16_000);
    await jobs.takeOver();
    const activation = await jobs.activations.get('c', id);
    expect(activation).toMatchObject({
      state: 'interrupted',
      lbs: {
        'lb1.room1': { state: 'failed', message: expect.stringContaining('the LB goes on') as string },
        'lb2.room1': { state: 'failed', message: 'not activated: Weir ended before its turn' },
      },
    });
    expect((await jobs.published.doubts('c')).get('lb1.room1')).toContain(id);
    expect((await makePlan('c', jobs.releases, jobs.published)).changes).toBe(true);
  });
});

describe('activations and publications of a cluster', () => {
  test('wait for each other, and say what is under way', async () => {
    await open(1);
    const activation = await start();
    const refused = jobs.publications.start({ cluster: 'c', by: 'test' });
    await expect(refused).rejects.toMatchObject({
      code: 'busy',
      message: `the LBs of cluster c are taken: an activation is under way (${activation.id})`,
    });
    const end = endOf(activation.id);
    (await session(0)).done('activated x');
    await end;
    const publication = await jobs.publications.start({ cluster: 'c', by: 'test' });
    await expect(start()).rejects.toMatchObject({
      code: 'busy',
      message: `the LBs of cluster c are taken: a publication is under way (${publication.id})`,
    });
    await expect(jobs.lbRequests.undo({ cluster: 'c', lb: 'lb1.room1' })).rejects.toMatchObject({ code: 'busy' });
    (await session(1)).publish();
  });

  test('are listed apart', async () => {
    await open(1);
    const { id } = await start();
    const end = endOf(id);
    (await session(0)).done('activated x');
    await end;
    expect((await jobs.activations.list('c', 10)).map((a) => a.id)).toEqual([id]);
    expect(await jobs.publications.list('c', 10)).toEqual([]);
    await expect(jobs.publications.get('c', id)).rejects.toMatchObject({ code: 'not_found' });
    await expect(jobs.activations.get('c', 'none')).rejects.toMatchObject({
      code: 'not_found',
      hint: 'GET /api/v1/clusters/c/activations lists them',
    });
  });
});

test('a store that cannot note what is begun keeps the LB from being asked', async () => {
  let failing = false;
  await open(2, {
    store: (real) => ({
      ...real,
      putRecord: (write) =>
        failing && write.kind === 'published' ? Promise.reject(new Error('the disk is full')) : real.putRecord(write),
    }),
  });
  failing = true;
  const { id } = await start();
  const activation = await endOf(id);
  expect(activation.state).toBe('failed');
  for (const progress of Object.values(activation.lbs)) {
    expect(progress).toMatchObject({ state: 'failed', message: 'Weir failed: the disk is full' });
  }
  expect(jobs.sessions).toEqual([]);
});
