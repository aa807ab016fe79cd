import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Publication } from '../../jobs/publications.ts';
import { holdLbs } from '../../jobs/leases.ts';
import type { PlayedSession } from '../../jobs/testing.ts';
import { lb, vip } from '../../store/testing.ts';
import { openOriginal, told } from './testing.ts';
import type { Fields, Original } from './testing.ts';

let api: Original;

beforeEach(async () => {
  api = await openOriginal({ original: { patienceMs: 700 } });
});

afterEach(() => api.close());

const VIP = '10.1.0.1';
const success = '200 {"status":"success","message":"wstype has been modified successfully"}';
const failed = '200 {"status":"failed","message":"wstype modified failed"}';

async function setWstype(wstype: string, more: Fields = {}): Promise<string> {
  return told(await api.call('PATCH /c/wstype', { form: { vip: VIP, wstype, ...more } }));
}

async function sync(name = 'c'): Promise<string> {
  return told(await api.call('POST /sync', { form: { name } }));
}

/** Newest first. */
function publications(): Promise<Publication[]> {
  return api.jobs.publications.list('c', 100);
}

/** Sessions whose end the test decides. */
function hold(): PlayedSession[] {
  const held: PlayedSession[] = [];
  api.play((session) => held.push(session));
  return held;
}

function revision(): number | undefined {
  return api.jobs.state.get('c')?.revision;
}

describe('a change', () => {
  test('is pushed if cfg_push is left out, or exactly True', async () => {
    expect(await setWstype('a')).toBe(success);
    expect(await setWstype('b', { cfg_push: 'True' })).toBe(success);
    expect(await setWstype('c', { cfg_push: ' True ' })).toBe(success);
    expect(await publications()).toMatchObject([4, 3, 2].map((n) => ({ revision: n, state: 'done', by: 'admin' })));
  });

  test.each(['true', 'TRUE', '1', 'False', '', 'Yes'])('is not pushed if cfg_push is "%s"', async (text) => {
    expect(await setWstype('a', { cfg_push: text })).toBe(success);
    expect(api.jobs.sessions).toEqual([]);
  });

  test('that leaves nothing to do is pushed all the same', async () => {
    expect(await setWstype('web')).toBe(success);
    const vip2ws = [{ vip: VIP, wss: ['ws1.room1'] }];
    expect(told(await api.call('POST /c/wss', { form: { vip2ws } }))).toContain('"success"');
    expect(await publications()).toHaveLength(2);
    expect(revision()).toBe(1);
  });

  test('that is refused is not pushed', async () => {
    expect(await setWstype('a b')).toMatch(failed);
    expect(told(await api.call('PATCH /c/wstype', { form: { vip: VIP } }))).toMatch(/^400/);
    expect(api.jobs.sessions).toEqual([]);
  });

  test('is answered once the LBs have it, not before', async () => {
    const held = hold();
    let answer: string | undefined;
    const asked = setWstype('a').then((said) => (answer = said));
    await expect.poll(() => held.length).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(answer).toBeUndefined();
    held[0]?.publish();
    expect(await asked).toBe(success);
  });
});

describe('what hinders a push', () => {
  test('is told LB by LB; the change is kept, and the answer is a failure', async () => {
    const more = { ...lb('lb2.room1'), routerid: '10.0.0.2', internalip: '10.0.0.2' };
    await api.jobs.state.change({ cluster: 'c', by: 'test', calls: [{ op: 'lb.add', input: { lbs: [more] } }] });
    api.play((session) => (session.target.host === 'lb2.room1' ? session.fail('no space left') : session.publish()));
    const reply = await api.call('PATCH /c/wstype', { form: { vip: VIP, wstype: 'a' } });
    expect(told(reply)).toMatch(
      /^200 .*failed"}: revision 3 is kept, but not on all LBs: lb2\.room1 \(.*\): .*no space left/,
    );
    expect(told(reply)).not.toContain('lb1.room1');
    expect(reply.headers['weir-revision']).toBe('3');
    expect(api.jobs.state.get('c')?.cluster.vip2ws[0]?.wstype).toBe('a');
    expect(api.logged).toMatchObject([{ msg: 'PATCH /lvs/:cluster/wstype failed', cluster: 'c', revision: 3 }]);
  });

  test('may be names without an address', async () => {
    const vip2ws = [{ vip: VIP, wss: ['nobody.room9'] }];
    expect(told(await api.call('POST /c/wss', { form: { vip2ws } }))).toMatch(
      /failed.*not on all LBs: .*nobody\.room9/,
    );
    expect(revision()).toBe(2);
    expect(await sync()).toMatch(/"cluster synced failed"}: [^:]*: .*nobody\.room9/);
  });

  test('is never that there is no LB', async () => {
    expect(told(await api.call('DELETE /c/lbs', { form: { lbs: ['lb1.room1'] } }))).toBe(
      '200 {"status":"success","message":"lb has been deleted successfully"}: c has no LB to push to',
    );
    expect(await publications()).toEqual([]);
  });

  test('ends with Weir', async () => {
    const held = hold();
    const asked = setWstype('a');
    await expect.poll(() => held.length).toBe(1);
    await api.jobs.publications.close();
    expect(await asked).toMatch(failed);
  });
});

describe('other work on the LBs', () => {
  function holdLease(): ReturnType<typeof holdLbs> {
    const { store } = api.jobs;
    return holdLbs(
      'c',
      { what: 'drain', id: '1' },
      { store, now: () => new Date(), owner: 'other', onError: () => {} },
    );
  }

  test('is waited for', async () => {
    const lease = await holdLease();
    const asked = setWstype('a');
    await expect.poll(revision).toBe(2);
    await new Promise((resolve) => setTimeout(resolve, 250));
    expect(api.jobs.sessions).toEqual([]);
    await lease.release();
    expect(await asked).toBe(success);
  });

  test('that goes on for too long is a failure, which says what it is', async () => {
    const lease = await holdLease();
    expect(await setWstype('a')).toMatch(/failed.*revision 2 is kept, .*taken: a drain is under way/);
    await lease.release();
    expect(await sync()).toMatch(/success/);
  });
});

test('those who ask while a push is under way share the next one', async () => {
  const held = hold();
  const first = setWstype('first');
  await expect.poll(() => held.length).toBe(1);
  const others = [setWstype('a'), setWstype('b'), sync(), setWstype('c')];
  await expect.poll(revision).toBe(5);
  held[0]?.publish();
  expect(await first).toBe(success);
  await expect.poll(() => held.length).toBe(2);
  const late = setWstype('late');
  await expect.poll(revision).toBe(6);
  held[1]?.publish();
  for (const said of await Promise.all(others)) expect(said).toMatch(/"success"/);
  await expect.poll(() => held.length).toBe(3);
  held[2]?.fail('gone');
  expect(await late).toMatch(failed);
  expect((await publications()).map((p) => [p.revision, p.state])).toEqual([
    [6, 'failed'],
    [5, 'done'],
    [2, 'done'],
  ]);
  api.play((session) => session.publish());
  expect(await sync()).toMatch(/success/);
});

test('sync pushes what is there, and changes nothing', async () => {
  expect(await sync()).toBe('200 {"status":"success","message":"cluster has been synced successfully"}');
  expect(await sync('x')).toBe(
    '200 {"status":"failed","message":"cluster synced failed"}: there is no cluster x (weir get clusters lists them)',
  );
  expect(await publications()).toMatchObject([{ revision: 1, action: 'publish', state: 'done' }]);
});

test('LBs that have it already count as those that get it', async () => {
  api.play((session) => session.done('unchanged x'));
  expect(await sync()).toMatch(/success/);
  expect(await publications()).toMatchObject([{ lbs: { 'lb1.room1': { state: 'unchanged' } } }]);
});

test('a cluster that is created is pushed', async () => {
  const lbinfos = [
    {
      ...lb('lb9.room1'),
      routerid: '10.4.0.2',
      internalip: '10.4.0.2',
      internalgateway: '10.4.0.1',
      ospfnet: '10.4.0.0/24',
    },
  ];
  const form = {
    name: 'd',
    type: 'internal',
    device: 'em1',
    vipnets: ['10.5.0.0/16'],
    lbinfos,
    vip2ws: [vip('10.5.0.1')],
  };
  expect(told(await api.call('POST /', { form }))).toBe(
    '200 {"status":"success","message":"cluster has been added successfully"}',
  );
  expect(api.jobs.sessions.map((s) => s.target.host)).toEqual(['lb9.room1']);
});
