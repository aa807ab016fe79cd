import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { ActivationView, ApiError, LbAnswer, PlanResult, PublicationView } from '../contract/schemas.ts';
import type { PlayedSession } from '../jobs/testing.ts';
import { cluster, lb } from '../store/testing.ts';
import { openApi } from './testing.ts';
import type { Api } from './testing.ts';

let api: Api;

beforeEach(async () => {
  api = await openApi();
  api.jobs.setHosts('10.9.0.1 ws1.room1\n10.9.0.2 ws2.room1\n');
  const second = { ...lb('lb2.room1'), routerid: '10.0.0.2', internalip: '10.0.0.2' };
  await api.jobs.create(cluster('c', { lbinfos: [lb('lb1.room1'), second] }));
});

afterEach(() => api.close());

async function session(n: number): Promise<PlayedSession> {
  const look = () => {
    const found = api.jobs.sessions[n];
    if (!found?.received) throw new Error(`no session ${n}`);
    return found;
  };
  return vi.waitFor(look, { interval: 1 });
}

/** Starts a job over the API, plays its machines one after the other, and answers it as it ended. */
async function run<J>(kind: 'publications' | 'activations', play: (session: PlayedSession) => void): Promise<J> {
  const from = api.jobs.sessions.length;
  const started = await api.send('POST', `/clusters/c/${kind}`, {});
  expect(started.statusCode).toBe(202);
  const { id } = started.json<{ id: string }>();
  expect(started.headers['location']).toBe(`/api/v1/clusters/c/${kind}/${id}`);
  for (const n of [0, 1]) play(await session(from + n));
  return vi.waitFor(async () => {
    const job = (await api.send('GET', `/clusters/c/${kind}/${id}`)).json<J & { ended?: string }>();
    expect(job.ended).toBeDefined();
    return job;
  });
}

const plan = async () => (await api.send('POST', '/clusters/c/plan')).json<PlanResult>();
const publish = () => run<PublicationView>('publications', (s) => s.publish());

describe('activations', () => {
  test('before anything was published are refused with every LB and what to do', async () => {
    const reply = await api.send('POST', '/clusters/c/activations', {});
    expect(reply.statusCode).toBe(409);
    expect(reply.json<ApiError>()).toMatchObject({
      code: 'not_published',
      hint: 'weir publish c --lb lb1.room1',
      problems: [{ path: 'lbs' }, { path: 'lbs' }],
    });
  });

  test('are started, watched, listed and got, and the plan knows of them', async () => {
    await publish();
    expect((await plan()).lbs['lb1.room1']?.published).toMatchObject({ revision: 1, activated: false });
    const ended = await run<ActivationView>('activations', (s) => s.done('activated x'));
    expect(ended).toMatchObject({ cluster: 'c', revision: 1, wait: 30, state: 'done', by: 'admin', warnings: [] });
    expect(Object.values(ended.lbs).map((l) => l.state)).toEqual(['activated', 'activated']);
    const { items } = (await api.send('GET', '/clusters/c/activations')).json<{ items: ActivationView[] }>();
    expect(items).toEqual([ended]);
    const events = await api.send('GET', `/clusters/c/activations/${ended.id}/events`);
    expect(events.body.match(/^event: \w+$/gm)).toEqual(['event: snapshot', 'event: end']);
    expect((await plan()).lbs['lb1.room1']?.published).toMatchObject({ revision: 1, activated: true });
  });

  test('are cancelled after the LB that is under way', async () => {
    await publish();
    const { id } = (await api.send('POST', '/clusters/c/activations', { wait: 0 })).json<ActivationView>();
    const asked = await session(2);
    const cancelled = await api.send('POST', `/clusters/c/activations/${id}/cancel`);
    expect(cancelled.json<ActivationView>()).toMatchObject({ id, state: 'running' });
    asked.done('activated x');
    await vi.waitFor(async () => {
      const { state, lbs } = (await api.send('GET', `/clusters/c/activations/${id}`)).json<ActivationView>();
      expect([state, Object.values(lbs).map((l) => l.state)]).toEqual(['cancelled', ['activated', 'cancelled']]);
    });
  });

  test.each([
    [{ wait: -1 }, 'wait'],
    [{ wait: 'long' }, 'wait'],
    [{ lbs: [] }, 'lbs'],
    [{ revision: 0 }, 'revision'],
    [{ overwrite: true }, 'overwrite'],
  ])('with %j are refused', async (body, path) => {
    const reply = await api.send('POST', '/clusters/c/activations', body);
    expect(reply.statusCode).toBe(400);
    expect(reply.json<ApiError>().problems.map((p) => p.path)).toEqual([path]);
    expect(api.jobs.sessions).toEqual([]);
  });
});

describe('an LB', () => {
  test('is drained and taken back, in the document and on the machine', async () => {
    const drained = api.send('POST', '/clusters/c/lbs/lb1.room1/drain?message=why', { reason: 'new disk' });
    (await session(0)).done('drained');
    expect((await drained).json<LbAnswer>()).toMatchObject({
      state: 'drain',
      revision: 2,
      machine: { state: 'drained' },
    });
    const back = api.send('POST', '/clusters/c/lbs/lb1.room1/undrain');
    (await session(1)).done('undrained');
    expect((await back).json<LbAnswer>()).toMatchObject({ state: 'up', revision: 3, machine: { state: 'undrained' } });
    const [, second] = await api.jobs.store.history({ kind: 'cluster', name: 'c' }, { limit: 2 });
    expect(second?.message).toBe('why');
  });

  test('that cannot be told is an error of the machine', async () => {
    const asking = api.send('POST', '/clusters/c/lbs/lb1.room1/drain', { override: true });
    (await session(0)).fail('Host key verification failed.');
    const reply = await asking;
    expect(reply.statusCode).toBe(502);
    expect(reply.json<ApiError>()).toMatchObject({
      code: 'remote',
      detail: 'LB lb1.room1 was not told: connect: Host key verification failed.; nothing was changed in the document',
    });
    expect(api.jobs.state.get('c')?.revision).toBe(1);
  });

  test.each([{ reason: 'two\nlines' }, { reason: 'x'.repeat(201) }, { reason: 7 }, { why: 'x' }])(
    'is not drained by %j',
    async (body) => {
      expect((await api.send('POST', '/clusters/c/lbs/lb1.room1/drain', body)).statusCode).toBe(400);
      expect(api.jobs.sessions).toEqual([]);
      expect(api.jobs.state.get('c')?.revision).toBe(1);
    },
  );

  test('that went back has its whole release to get again', async () => {
    await publish();
    const undone = api.send('POST', '/clusters/c/lbs/lb2.room1/undo');
    (await session(2)).done('undone 0123');
    expect((await undone).json<LbAnswer>()).toMatchObject({ lb: 'lb2.room1', machine: { state: 'undone' } });
    expect(await plan()).toMatchObject({
      changes: true,
      lbs: { 'lb1.room1': { files: 0 }, 'lb2.room1': { published: null, doubt: 'it went back by weir undo' } },
    });
    expect((await publish()).state).toBe('done');
    expect((await plan()).changes).toBe(false);
  });
});
