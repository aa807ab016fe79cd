import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { cluster, lb } from '../store/testing.ts';
import { createStatuses } from './status.ts';
import type { ClusterStatus, Statuses } from './status.ts';
import { answeringRemote } from './testing-machines.ts';
import type { Asked, Machine } from './testing-machines.ts';
import { openJobs } from './testing.ts';
import type { Jobs } from './testing.ts';

/** Of a machine that Weir never touched. */
const untouched = readFileSync(new URL('../observe/testing/untouched.txt', import.meta.url), 'utf8');

let jobs: Jobs;
let asked: Asked[];

beforeEach(async () => {
  asked = [];
  jobs = await openJobs();
  jobs.setHosts('10.9.0.1 ws1.room1\n10.9.0.2 ws2.room1\n');
  const second = {
    ...lb('lb2.room1'),
    routerid: '10.0.0.2',
    internalip: '10.0.0.2',
    ssh: { address: '192.0.2.2', sudo: true },
  };
  await jobs.create(cluster('c', { lbinfos: [lb('lb1.room1'), second] }));
});
afterEach(() => jobs?.close());

/** Asks machines that answer as they are told, by name. */
function asking(machines: Record<string, Machine>, limits: { timeoutMs?: number; limit?: number } = {}): Statuses {
  const remote = answeringRemote(machines, untouched, asked);
  return createStatuses({ ...jobs, remote, parallel: 1, ...limits });
}

function rowOf(status: ClusterStatus, name: string): ClusterStatus['lbs'][number] {
  const row = status.lbs.find((l) => l.lb === name);
  if (!row) throw new Error(`no ${name}`);
  return row;
}

/** As after a plan, which finds addresses. */
async function refresh(): Promise<string[]> {
  const { state } = await jobs.releases.refresh('c');
  return jobs.releases.of(state).map((release) => release.id);
}

describe('the status of a cluster', () => {
  test('says what each LB should have, and that it has nothing', async () => {
    const [wanted] = await refresh();
    const status = await asking({}).of({ cluster: 'c' });
    expect(status).toMatchObject({ cluster: 'c', revision: 1, unrenderable: null });
    expect(status.lbs.map((l) => l.lb)).toEqual(['lb1.room1', 'lb2.room1']);
    expect(rowOf(status, 'lb1.room1')).toMatchObject({
      state: 'deviates',
      desired: { release: wanted, revision: 1, state: 'up' },
      published: null,
      deviations: { total: 1, items: [{ code: 'not_published' }] },
    });
  });

  test('reaches each LB as its document says, with a constant command', async () => {
    await asking({}).of({ cluster: 'c' });
    expect(asked.map(({ target, request }) => [target, request])).toEqual([
      [{ host: 'lb1.room1' }, 'weir 1 status\n'],
      [{ host: 'lb2.room1', address: '192.0.2.2' }, 'weir 1 status\n'],
    ]);
    expect(asked.map(({ command }) => command.slice(0, 11))).toEqual(['exec sh -c ', 'exec sudo -']);
  });

  test.each<[string, Machine, string]>([
    [
      'refuses',
      { exit: { code: 255, stderr: 'ssh: connect to host lb1.room1 port 22: Connection refused\n' } },
      'ssh: connect to host lb1.room1 port 22: Connection refused',
    ],
    ['hangs', { exit: { code: null, timedOut: true } }, 'no answer within 30 s'],
    [
      'answers something else',
      { answer: 'This account is not available.' },
      'it answered something else: This account is not available.',
    ],
    [
      'is cut off',
      { answer: untouched.replace(/@@weir end\n$/, ''), exit: { code: 255, stderr: 'Connection closed\n' } },
      'Connection closed',
    ],
  ])('has an LB that %s as a row with its error, and the other one as it is', async (_name, machine, error) => {
    const status = await asking({ 'lb1.room1': machine }).of({ cluster: 'c' });
    expect(rowOf(status, 'lb1.room1')).toMatchObject({ state: 'unreachable', error });
    expect(rowOf(status, 'lb2.room1').state).toBe('deviates');
  });

  test('is asked of chosen LBs only, and refuses those that are not there', async () => {
    const statuses = asking({});
    const status = await statuses.of({ cluster: 'c', lbs: ['lb2.room1'] });
    expect(status.lbs.map((l) => l.lb)).toEqual(['lb2.room1']);
    await expect(statuses.of({ cluster: 'c', lbs: ['lb3.room1'] })).rejects.toMatchObject({ code: 'not_found' });
    await expect(statuses.of({ cluster: 'x' })).rejects.toMatchObject({ code: 'not_found' });
    expect(asked).toHaveLength(1);
  });

  test('tells why nothing is desired where a WS has no address, and still looks at the LBs', async () => {
    jobs.setHosts('');
    const status = await asking({}).of({ cluster: 'c' });
    expect(status.unrenderable).toContain('ws1.room1 has no address');
    expect(status.lbs.map((l) => [l.state, l.desired])).toEqual([
      ['deviates', null],
      ['deviates', null],
    ]);
  });

  test('ends its sessions when it is closed', async () => {
    const statuses = asking({});
    await statuses.of({ cluster: 'c' });
    expect(asked.map(({ signal }) => signal?.aborted)).toEqual([false, false]);
    statuses.close();
    expect(asked.map(({ signal }) => signal?.aborted)).toEqual([true, true]);
  });

  test('stores nothing and takes no lease', async () => {
    await refresh();
    const before = jobs.state.get('c');
    await jobs.store.acquire('publish:c', 'another', { ttlMs: 60_000, now: Date.now() });
    await asking({}).of({ cluster: 'c' });
    expect(jobs.state.get('c')).toBe(before);
  });
});

describe('the connections of a WS', () => {
  const answer = `
@@weir connections
table yes
0A010001:0050 0A090001:1F90 0 17 3
@@weir persistent
10.1.0.1:80 10.9.0.1:8080 4
complete
@@weir end
`;

  test('are asked for by address, and told for each LB', async () => {
    await refresh();
    const address = jobs.state.get('c')?.addresses.found['ws1.room1']?.address;
    const vip = jobs.state.get('c')?.cluster.vip2ws[0]?.vip;
    const machines = { 'lb1.room1': { answer }, 'lb2.room1': { exit: { code: 255, stderr: 'no route' } } };
    expect(await asking(machines).connections({ cluster: 'c', ws: 'ws1.room1' })).toEqual({
      ws: 'ws1.room1',
      lbs: {
        'lb1.room1': { active: 17, inactive: 3, persistent: 4, servers: 1 },
        'lb2.room1': { active: null, inactive: null, persistent: null, servers: null, error: 'no route' },
      },
    });
    expect(asked[0]?.request).toBe(`weir 1 connections ${vip}=${address}\n`);
  });

  test('are not zero where the kernel has no table', async () => {
    await refresh();
    const machine = { answer: '@@weir connections\ntable no\n@@weir end\n' };
    const { lbs } = await asking({ 'lb1.room1': machine, 'lb2.room1': machine }).connections({
      cluster: 'c',
      ws: 'ws1.room1',
    });
    expect(lbs['lb1.room1']).toMatchObject({ active: null, error: 'this kernel has no IPVS table' });
  });

  test('are refused of a WS that is not there, or not behind the VIP', async () => {
    await refresh();
    const statuses = asking({});
    await expect(statuses.connections({ cluster: 'c', ws: 'ws9.room1' })).rejects.toMatchObject({ code: 'not_found' });
    await expect(statuses.connections({ cluster: 'c', ws: 'ws1.room1', vips: ['10.9.9.9'] })).rejects.toMatchObject({
      code: 'not_found',
    });
    expect(asked).toEqual([]);
  });

  test('are refused of a WS without an address', async () => {
    jobs.setHosts('');
    await expect(asking({}).connections({ cluster: 'c', ws: 'ws1.room1' })).rejects.toMatchObject({
      code: 'unresolved',
    });
  });
});
