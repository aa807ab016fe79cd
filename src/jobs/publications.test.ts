import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Cluster } from '../domain/edge/model.ts';
import { cluster, lb, vip } from '../store/testing.ts';
import { WeirError } from '../domain/errors.ts';
import type { Publication, PublicationRequest, Publications } from './publications.ts';
import { openJobs } from './testing.ts';
import type { Jobs, JobsOptions } from './testing.ts';

const HOSTS = '10.9.0.1 ws1.room1\n10.9.0.2 ws2.room1\n';

let jobs: Jobs;

afterEach(() => jobs?.close());

/** A cluster `c` with some LBs whose WSs resolve. */
async function open(lbs: number, options: JobsOptions = {}): Promise<Cluster> {
  jobs = await openJobs(options);
  jobs.setHosts(HOSTS);
  const document = clusterWith(lbs);
  await jobs.create(document);
  return document;
}

function clusterWith(lbs: number): Cluster {
  const lbinfos = Array.from({ length: lbs }, (_, i) => ({
    ...lb(`lb${i + 1}.room1`),
    routerid: `10.0.${i}.1`,
    internalip: `10.0.${i}.1`,
    internalgateway: `10.0.${i}.254`,
    ospfnet: `10.0.${i}.0/24`,
  }));
  return cluster('c', { lbinfos });
}

function start(request: Partial<PublicationRequest> = {}): Promise<Publication> {
  return jobs.publications.start({ cluster: 'c', by: 'test', ...request });
}

/** The publication as a watcher is told of its end. */
function endOf(id: string): Promise<Publication> {
  return new Promise((resolve, reject) => {
    const stop = jobs.publications.watch(id, (publication) => {
      if (publication.ended !== undefined) resolve(publication);
    });
    if (!stop) reject(new Error('it is not under way'));
  });
}

/** The nth session, as soon as it has been opened. */
async function session(n: number): Promise<Jobs['sessions'][number]> {
  const look = () => {
    const found = jobs.sessions[n];
    if (!found?.received) throw new Error(`no session ${n}`);
    return found;
  };
  return vi.waitFor(look, { interval: 1 });
}

const statesOf = (publication: Publication) => Object.values(publication.lbs).map((l) => l.state);

describe('a publication', () => {
  test('works on as many LBs at once as it may, and on all in the end', async () => {
    await open(6, { parallel: 2 });
    const { id, lbs } = await start();
    expect(Object.values(lbs).map((l) => l.state)).toEqual(Array.from({ length: 6 }, () => 'waiting'));
    const end = endOf(id);
    for (let n = 0; n < 6; n += 1) {
      (await session(n)).say('step lock');
      expect(jobs.sessions.filter((s) => !s.ended).length).toBeLessThanOrEqual(2);
      if (n % 2 === 1) for (const s of jobs.sessions) s.publish();
    }
    const publication = await end;
    expect(publication.state).toBe('done');
    expect(statesOf(publication)).toEqual(Array.from({ length: 6 }, () => 'published'));
  });

  test('tells watchers each step of each LB in order, and then the end', async () => {
    await open(2);
    const { id } = await start();
    const told: string[] = [];
    let before: Publication['lbs'] = {};
    jobs.publications.watch(id, (p) => {
      for (const [name, progress] of Object.entries(p.lbs)) {
        if (before[name] !== progress && name === 'lb1.room1') told.push(`${progress.state} ${progress.step}`);
      }
      before = p.lbs;
      if (p.ended !== undefined) told.push('end');
    });
    const end = endOf(id);
    for (const n of [0, 1]) (await session(n)).publish();
    await end;
    const steps = ['connect', 'lock', 'stage', 'check', 'backup', 'switch', 'confirm'].map((s) => `running ${s}`);
    expect([...new Set(told)].filter((t) => !t.startsWith('waiting'))).toEqual([...steps, 'published confirm', 'end']);
    expect(told.at(-1)).toBe('end');
  });

  test('of a cluster that is being published is refused, and possible at the moment of the end', async () => {
    await open(1);
    const first = await start();
    await expect(start()).rejects.toMatchObject({ code: 'busy', message: expect.stringContaining(first.id) as string });
    const again = endOf(first.id).then(() => start());
    (await session(0)).publish();
    expect((await again).state).toBe('running');
    (await session(1)).publish();
  });

  test('of one LB that fails goes on with the others, and has failed', async () => {
    await open(3);
    const { id } = await start();
    const end = endOf(id);
    (await session(0)).fail('ssh: connect to host lb1.room1: No route to host');
    (await session(1)).say('fail stage the bundle cannot be unpacked');
    (await session(1)).fail('tar: short read');
    (await session(2)).publish();
    const publication = await end;
    expect(publication.state).toBe('failed');
    expect(publication.lbs).toMatchObject({
      'lb1.room1': { state: 'failed', step: 'connect', message: 'ssh: connect to host lb1.room1: No route to host' },
      'lb2.room1': { state: 'failed', step: 'stage', message: 'the bundle cannot be unpacked: tar: short read' },
      'lb3.room1': { state: 'published', step: 'confirm', message: '' },
    });
    const given = await jobs.published.given('c');
    expect([...given.keys()]).toEqual(['lb3.room1']);
  });

  test('goes to the LBs that were asked for only', async () => {
    await open(3);
    const { id, lbs } = await start({ lbs: ['lb3.room1', 'lb1.room1', 'lb3.room1'] });
    expect(Object.keys(lbs)).toEqual(['lb3.room1', 'lb1.room1']);
    const end = endOf(id);
    for (const n of [0, 1]) (await session(n)).publish();
    await end;
    expect(jobs.sessions.map((s) => s.target.host)).toEqual(['lb3.room1', 'lb1.room1']);
  });

  test('of LBs that are not there names them all, of another revision the present one, and neither begins', async () => {
    await open(1);
    await expect(start({ lbs: ['lb1.room1', 'x', 'y'] })).rejects.toMatchObject({
      code: 'not_found',
      problems: [{ message: 'cluster c has no LB x' }, { message: 'cluster c has no LB y' }],
    });
    await expect(start({ revision: 7 })).rejects.toMatchObject({ code: 'revision_mismatch', revision: 1 });
    await expect(start({ cluster: 'none' })).rejects.toMatchObject({ code: 'not_found' });
    expect(jobs.sessions).toEqual([]);
    expect(await jobs.store.leases()).toEqual([]);
    expect(await jobs.publications.list('c', 10)).toEqual([]);
  });

  test('of WSs without addresses names them all and publishes nothing', async () => {
    await open(1);
    jobs.setHosts('');
    await jobs.create({
      ...cluster('d', { vipnets: ['10.2.0.0/16'], vip2ws: [vip('10.2.0.1')] }),
      lbinfos: [otherLb()],
    });
    const refused = start({ cluster: 'd' });
    await expect(refused).rejects.toMatchObject({
      code: 'unresolved',
      problems: [
        { path: 'vip2ws[0].wss[0]', message: expect.stringContaining('ws1.room1') as string },
        { path: 'vip2ws[0].wss[1]', message: expect.stringContaining('ws2.room1') as string },
      ],
    });
    expect(jobs.sessions).toEqual([]);
    expect(await jobs.store.leases()).toEqual([]);
  });

  test('has a higher fencing number than the one before', async () => {
    await open(1);
    for (const n of [0, 1]) {
      const { id } = await start();
      const end = endOf(id);
      (await session(n)).publish();
      await end;
    }
    const [first = 0, second = 0] = jobs.sessions.map((s) => Number(s.received.split(' ')[3]));
    expect(second).toBeGreaterThan(first);
  });
});

function otherLb() {
  return {
    ...lb('lb9.room9'),
    routerid: '10.0.99.1',
    internalip: '10.0.99.1',
    ospfnet: '10.0.99.0/24',
    internalgateway: '10.0.99.254',
  };
}

describe('a publication that is cancelled', () => {
  test('ends its sessions, begins no more, and is recorded so', async () => {
    await open(4, { parallel: 2 });
    const { id } = await start();
    const end = endOf(id);
    (await session(0)).publish();
    (await session(1)).say('step stage');
    await session(2);
    await jobs.publications.cancel('c', id);
    const publication = await end;
    expect(publication.state).toBe('cancelled');
    expect(publication.lbs).toMatchObject({
      'lb1.room1': { state: 'published' },
      'lb2.room1': { state: 'cancelled', step: 'stage' },
      'lb3.room1': { state: 'cancelled' },
      'lb4.room1': { state: 'cancelled', step: '', message: 'cancelled before it began' },
    });
    expect(jobs.sessions).toHaveLength(3);
    expect(await jobs.publications.get('c', id)).toEqual(publication);
    expect([...(await jobs.published.given('c')).keys()]).toEqual(['lb1.room1']);
  });

  test('by the end of Weir is recorded as cancelled', async () => {
    await open(1);
    const { id } = await start();
    await session(0);
    await jobs.publications.close();
    expect(await jobs.another().get('c', id)).toMatchObject({
      state: 'cancelled',
      ended: expect.any(String) as string,
    });
    expect(await jobs.store.leases()).toEqual([]);
  });

  test('by an operator who broke its lease stops', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    try {
      await open(1);
      const { id } = await start();
      const end = endOf(id);
      await session(0);
      await jobs.store.breakLease('publish:c');
      vi.advanceTimersByTime(5000);
      expect((await end).state).toBe('cancelled');
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('a publication whose process died', () => {
  /** Leaves it as it stands, with its lease. */
  async function die(): Promise<{ id: string; dead: Publications }> {
    await open(2);
    const dead = jobs.another();
    const publication = await dead.start({ cluster: 'c', by: 'test' });
    await session(1);
    return { id: publication.id, dead };
  }

  test('is running until its lease ends, then interrupted, whoever asks first and without a restart', async () => {
    const { id } = await die();
    await jobs.takeOver();
    expect(await jobs.publications.get('c', id)).toMatchObject({ state: 'running' });
    await expect(start()).rejects.toMatchObject({ code: 'busy' });
    jobs.pass(16_000);
    const [listed] = await jobs.publications.list('c', 10);
    expect(listed).toMatchObject({
      state: 'interrupted',
      lbs: { 'lb1.room1': { state: 'failed', message: 'Weir ended while this LB was under way; publish again' } },
    });
    expect(await jobs.publications.get('c', id)).toEqual(listed);
    expect((await start()).state).toBe('running');
  });

  test('is interrupted for who asks for it alone', async () => {
    const { id } = await die();
    jobs.pass(16_000);
    expect(await jobs.publications.get('c', id)).toMatchObject({ state: 'interrupted' });
  });

  test('is marked by whoever looks for leases that ended, and the lease is free then', async () => {
    const { id } = await die();
    jobs.pass(16_000);
    await jobs.takeOver();
    expect((await jobs.store.record({ kind: 'publication:c', key: id }))?.value).toMatchObject({
      state: 'interrupted',
    });
    expect(await jobs.store.leases()).toEqual([]);
  });

  test('that only slept does not write over what was made of it meanwhile', async () => {
    const { id, dead } = await die();
    jobs.pass(16_000);
    await jobs.takeOver();
    await dead.close();
    expect(await jobs.publications.get('c', id)).toMatchObject({ state: 'interrupted' });
  });
});

describe('a store that fails', () => {
  test('that is away as a publication ends has its end once it is back, and what was published', async () => {
    let away = false;
    await open(1, {
      store: (real) => ({
        ...real,
        putRecord: (write) => (away ? Promise.reject(new WeirError('store', 'it is away')) : real.putRecord(write)),
      }),
    });
    const { id } = await start();
    const end = endOf(id);
    const played = await session(0);
    away = true;
    played.publish();
    await vi.waitFor(() => expect(jobs.errors.length).toBeGreaterThan(1));
    away = false;
    expect((await end).state).toBe('done');
    expect((await jobs.store.record({ kind: 'publication:c', key: id }))?.value).toMatchObject({ state: 'done' });
    expect((await jobs.published.given('c')).size).toBe(1);
    expect(await jobs.store.leases()).toEqual([]);
  });

  test('while progress is saved does not keep a publication from its end', async () => {
    let failing = false;
    await open(2, {
      store: (real) => ({
        ...real,
        putRecord: (write) =>
          failing && write.kind === 'publication:c'
            ? Promise.reject(new Error('the disk is full'))
            : real.putRecord(write),
      }),
    });
    const { id } = await start();
    const end = endOf(id);
    failing = true;
    (await session(0)).publish();
    await vi.waitFor(() => expect(jobs.errors).toContain('progress of a publication cannot be saved'));
    failing = false;
    (await session(1)).publish();
    expect((await end).state).toBe('done');
    expect(await jobs.publications.get('c', id)).toMatchObject({ state: 'done' });
    expect((await start()).state).toBe('running');
  });

  test('before the first session is told for each LB, and the publication ends', async () => {
    await open(2, {
      store: (real) => ({
        ...real,
        record: (id) => (id.kind === 'published' ? Promise.reject(new Error('the disk is gone')) : real.record(id)),
      }),
    });
    const { id } = await start();
    const publication = await endOf(id);
    expect(publication.state).toBe('failed');
    for (const progress of Object.values(publication.lbs)) {
      expect(progress).toMatchObject({ state: 'failed', message: 'Weir failed: the disk is gone' });
    }
    expect(await jobs.store.leases()).toEqual([]);
  });
});

test('the last hundred publications of a cluster are kept, newest first', async () => {
  await open(1);
  for (let n = 0; n < 103; n += 1) {
    jobs.pass(1000);
    const { id } = await start();
    const end = endOf(id);
    (await session(n)).publish();
    await end;
  }
  await vi.waitFor(async () => expect(await jobs.publications.list('c', 1000)).toHaveLength(100));
  const ids = (await jobs.publications.list('c', 3)).map((p) => p.id);
  expect(ids).toEqual([...ids].sort().toReversed());
  expect(await jobs.publications.list('other', 10)).toEqual([]);
});
