import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { cluster, lb } from '../store/testing.ts';
import type { DrainRequest, LbAnswer } from './lb-requests.ts';
import { NEWEST_FENCE, openJobs } from './testing.ts';
import type { Jobs, PlayedSession } from './testing.ts';

let jobs: Jobs;

beforeEach(async () => {
  jobs = await openJobs();
  jobs.setHosts('10.9.0.1 ws1.room1\n10.9.0.2 ws2.room1\n');
  const second = { ...lb('lb2.room1'), routerid: '10.0.0.2', internalip: '10.0.0.2' };
  await jobs.create(cluster('c', { lbinfos: [lb('lb1.room1'), second] }));
});
afterEach(() => jobs?.close());

const revision = () => jobs.state.get('c')?.revision;
const stateOf = (name: string) => jobs.state.get('c')?.cluster.lbinfos.find((l) => l.hostname === name)?.state;
const leases = () => jobs.store.leases();

function drain(request: Partial<DrainRequest> = {}): Promise<LbAnswer> {
  return jobs.lbRequests.drain({ cluster: 'c', lb: 'lb1.room1', by: 'test', to: 'drain', ...request });
}

async function session(n: number): Promise<PlayedSession> {
  const look = () => {
    const found = jobs.sessions[n];
    if (!found?.received) throw new Error(`no session ${n}`);
    return found;
  };
  return vi.waitFor(look, { interval: 1 });
}

/** Plays one request to its end; answers its line without fencing number and what came of it. */
async function played(asking: Promise<LbAnswer>, what: string): Promise<{ line: string; answer: LbAnswer }> {
  const asked = await session(jobs.sessions.length);
  asked.done(what);
  return { line: asked.received.replace(/ \d{13,}/, ' N'), answer: await asking };
}

describe('a drain', () => {
  test('changes the document and tells the LB, and so does its end', async () => {
    const first = await played(drain({ reason: 'new disk' }), 'drained');
    expect(first.line).toBe('weir 1 drain N weir new disk\n');
    expect(first.answer).toEqual({
      cluster: 'c',
      lb: 'lb1.room1',
      revision: 2,
      state: 'drain',
      machine: { state: 'drained', message: '', warnings: [] },
      warnings: expect.any(Array) as unknown[],
    });
    expect([stateOf('lb1.room1'), stateOf('lb2.room1')]).toEqual(['drain', undefined]);
    const history = await jobs.store.history({ kind: 'cluster', name: 'c' }, { limit: 1 });
    expect(history[0]).toMatchObject({ revision: 2, message: 'new disk', by: 'test' });
    const second = await played(drain({ to: 'up' }), 'undrained');
    expect(second.line).toBe('weir 1 undrain N\n');
    expect(second.answer).toMatchObject({ revision: 3, state: 'up', machine: { state: 'undrained' } });
    expect(await leases()).toEqual([]);
  });

  test('as an override tells the LB alone', async () => {
    const { answer } = await played(drain({ override: true }), 'drained');
    expect(answer).toMatchObject({ revision: 1, state: 'up', machine: { state: 'drained' } });
    expect([revision(), stateOf('lb1.room1')]).toEqual([1, undefined]);
  });

  test('as a dry run tells nobody and changes nothing', async () => {
    expect(await drain({ dryRun: true })).toMatchObject({ revision: 2, state: 'drain', machine: { state: 'unasked' } });
    expect([revision(), jobs.sessions.length]).toEqual([1, 0]);
  });

  test('of an LB that cannot be told keeps the document’s change, and says so and what to do', async () => {
    const asking = drain();
    (await session(0)).fail('ssh: connect to host lb1.room1 port 22: No route to host');
    await expect(asking).rejects.toMatchObject({
      code: 'remote',
      message:
        'LB lb1.room1 was not told: connect: ssh: connect to host lb1.room1 port 22: No route to host; the document says drain (revision 2), the LB does not know',
      hint: expect.stringContaining('weir lb drain c lb1.room1') as string,
    });
    expect(stateOf('lb1.room1')).toBe('drain');
    expect(await leases()).toEqual([]);
    const again = await played(drain(), 'drained');
    expect(again.answer).toMatchObject({ revision: 2, machine: { state: 'drained' } });
  });

  test('of the last LB that is up warns that nobody announces the VIPs any more', async () => {
    const one = await played(drain({ lb: 'lb1.room1' }), 'drained');
    expect(one.answer.warnings.map((w) => w.code)).not.toContain('no_lb_left');
    const other = await played(drain({ lb: 'lb2.room1' }), 'drained');
    expect(other.answer.warnings).toContainEqual(expect.objectContaining({ code: 'no_lb_left' }));
  });

  test('of what is not there, or against a newer revision, asks nobody', async () => {
    await expect(drain({ lb: 'nobody' })).rejects.toMatchObject({ code: 'not_found' });
    await expect(drain({ cluster: 'none' })).rejects.toMatchObject({ code: 'not_found' });
    await expect(drain({ expected: 7 })).rejects.toMatchObject({ code: 'revision_mismatch', revision: 1 });
    expect(jobs.sessions).toEqual([]);
    expect(await leases()).toEqual([]);
  });

  test('waits for nothing: while the LBs are taken it is refused, with the document as it was', async () => {
    await jobs.publications.start({ cluster: 'c', by: 'test' });
    await expect(drain()).rejects.toMatchObject({ code: 'busy' });
    expect(revision()).toBe(1);
  });
});

describe('an undo', () => {
  const undo = () => jobs.lbRequests.undo({ cluster: 'c', lb: 'lb1.room1' });
  const doubts = async () => [...(await jobs.published.doubts('c')).keys()];

  beforeEach(async () => {
    const { state } = await jobs.releases.refresh('c');
    await jobs.published.record(
      state,
      jobs.releases.of(state).map((r) => ({ lb: r.lb, release: r.id })),
      NEWEST_FENCE,
    );
  });

  test('leaves what is published on that LB in doubt until it is published to again', async () => {
    const { line, answer } = await played(undo(), 'undone 0123');
    expect(line).toBe('weir 1 undo N\n');
    expect(answer).toMatchObject({ lb: 'lb1.room1', revision: 1, state: 'up', machine: { state: 'undone' } });
    expect(await doubts()).toEqual(['lb1.room1']);
    expect([...(await jobs.published.given('c')).keys()]).toEqual(['lb2.room1']);
    expect(await leases()).toEqual([]);
  });

  test('that the LB refuses, or that never reached it, leaves none', async () => {
    const refused = undo();
    const asked = await session(0);
    asked.say('fail check there is nothing to go back to');
    asked.fail('');
    await expect(refused).rejects.toMatchObject({
      code: 'remote',
      message: 'LB lb1.room1 was not undone: check: there is nothing to go back to',
    });
    const unreached = undo();
    (await session(1)).fail('ssh: Could not resolve hostname');
    await expect(unreached).rejects.toMatchObject({ code: 'remote' });
    expect(await doubts()).toEqual([]);
  });

  test('whose end nobody saw leaves doubt', async () => {
    const cut = undo();
    const asked = await session(0);
    asked.say('step undo');
    asked.fail('Connection reset by peer');
    await expect(cut).rejects.toMatchObject({ code: 'remote' });
    expect(await doubts()).toEqual(['lb1.room1']);
  });
});

test('the end of Weir ends what is being asked', async () => {
  const asking = drain();
  const asked = await session(0);
  jobs.lbRequests.close();
  await expect(asking).rejects.toMatchObject({ code: 'remote' });
  expect(asked.ended).toBe(true);
  expect(await leases()).toEqual([]);
});
