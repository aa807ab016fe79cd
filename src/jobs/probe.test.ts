import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { lips, probedText } from '../observe/testing/probes.ts';
import { cluster, lb } from '../store/testing.ts';
import { createProbes } from './probe.ts';
import type { ClusterProbe, Probes } from './probe.ts';
import { answeringRemote } from './testing-machines.ts';
import type { Asked, Machine } from './testing-machines.ts';
import { openJobs } from './testing.ts';
import type { Jobs } from './testing.ts';

let jobs: Jobs;
let asked: Asked[];

beforeEach(async () => {
  asked = [];
  jobs = await openJobs();
  const second = {
    ...lb('lb2.room1'),
    routerid: '10.0.0.2',
    internalip: '10.0.0.2',
    lips: ['10.0.0.200'],
    ssh: { address: '192.0.2.2', sudo: true },
  };
  const lbinfos = [{ ...lb('lb1.room1'), lips: [...lips] }, second];
  await jobs.create(cluster('c', { dataplane: 'ipvs', linkspeed: '10g', lbinfos }));
});
afterEach(() => jobs?.close());

/** Asks machines that answer as they are told, by name. */
function asking(machines: Record<string, Machine> = {}, limits: { timeoutMs?: number; limit?: number } = {}): Probes {
  const remote = answeringRemote(machines, probedText('debian'), asked);
  return createProbes({ ...jobs, remote, parallel: 1, ...limits });
}

function rowOf(probe: ClusterProbe, name: string): ClusterProbe['lbs'][number] {
  const row = probe.lbs.find((l) => l.lb === name);
  if (!row) throw new Error(`no ${name}`);
  return row;
}

describe('the probe of a cluster', () => {
  test('says what each LB is, beside what the document says', async () => {
    const probe = await asking().of({ cluster: 'c' });
    expect(probe).toMatchObject({ cluster: 'c', revision: 1 });
    expect(probe.lbs.map((l) => l.lb)).toEqual(['lb1.room1', 'lb2.room1']);
    const document = { dataplane: 'ipvs', routing: 'frr', linkspeed: '10g', interfaces: ['eth0'], lips: 2 };
    expect(rowOf(probe, 'lb1.room1')).toMatchObject({
      document,
      state: 'ok',
      machine: { keepalived: { version: '2.2.7' }, lips: lips.map((address) => ({ address, state: 'here' })) },
      deviations: 0,
      notes: 0,
      findings: [],
    });
    expect(rowOf(probe, 'lb2.room1')).toMatchObject({
      document: { ...document, lips: 1 },
      state: 'deviates',
      deviations: 1,
      notes: 1,
      findings: [{ code: 'lip_missing', object: '10.0.0.200' }, { code: 'lips_unasked' }],
    });
  });

  test('reaches each LB as its document says, with a constant command and its own LIPs', async () => {
    await asking().of({ cluster: 'c' });
    expect(asked.map(({ target }) => target)).toEqual([
      { host: 'lb1.room1' },
      { host: 'lb2.room1', address: '192.0.2.2' },
    ]);
    expect(asked.map(({ command }) => command.slice(0, 11))).toEqual(['exec sh -c ', 'exec sudo -']);
    expect(asked.map(({ request }) => request.match(/^lip .*$/gm))).toEqual([
      lips.map((lip) => `lip ${lip} eth0`),
      ['lip 10.0.0.200 eth0'],
    ]);
    expect(asked.every(({ request }) => /^weir 1 probe\n[^]*\nend\n$/.test(request))).toBe(true);
  });

  test.each<[string, Machine, string]>([
    [
      'refuses',
      { exit: { code: 255, stderr: 'ssh: connect to host lb1 port 22: Connection refused\n' } },
      'ssh: connect',
    ],
    ['hangs', { exit: { code: null, timedOut: true } }, 'no answer within 60 s'],
    ['answers something else', { answer: 'This account is not available.' }, 'it answered something else: This acc'],
    ['is killed', { exit: { code: null } }, 'ssh was ended by a signal'],
    ['ends in silence', { exit: { code: 1 } }, 'ssh ended with code 1 and without a word'],
    [
      'is cut off',
      { answer: probedText('debian').replace(/@@weir end\n$/, ''), exit: { code: 255, stderr: 'Connection closed\n' } },
      'Connection closed',
    ],
    ['floods', { answer: 'x'.repeat(65 * 1024 * 1024) }, 'it answered more than 67108864 characters'],
  ])('has an LB that %s as a row with its error, and the other one as it is', async (_name, machine, error) => {
    const probe = await asking({ 'lb1.room1': machine }).of({ cluster: 'c' });
    expect(rowOf(probe, 'lb1.room1')).toMatchObject({ state: 'unreachable', document: { dataplane: 'ipvs' } });
    expect(rowOf(probe, 'lb1.room1')).toHaveProperty('error', expect.stringContaining(error));
    expect(rowOf(probe, 'lb2.room1').state).toBe('deviates');
  });

  test('lists the first findings, deviations before notes, and counts all', async () => {
    const answer = probedText('debian').replace('\nethtool /usr/sbin/ethtool', '').replace('flock', 'other');
    const probe = await asking({ 'lb1.room1': { answer } }, { limit: 1 }).of({ cluster: 'c', lbs: ['lb1.room1'] });
    expect(rowOf(probe, 'lb1.room1')).toMatchObject({ deviations: 1, notes: 1, findings: [{ code: 'tool_missing' }] });
    const all = await asking({ 'lb1.room1': { answer } }).of({ cluster: 'c', lbs: ['lb1.room1'] });
    expect(rowOf(all, 'lb1.room1')).toMatchObject({ findings: [{ severity: 'deviation' }, { severity: 'note' }] });
  });

  test('is not a deviation for its notes', async () => {
    const answer = probedText('debian').replace('\nethtool /usr/sbin/ethtool', '');
    const probe = await asking({ 'lb1.room1': { answer } }).of({ cluster: 'c', lbs: ['lb1.room1'] });
    expect(rowOf(probe, 'lb1.room1')).toMatchObject({ state: 'ok', notes: 1 });
  });

  test('is asked of chosen LBs only, and refuses those that are not there', async () => {
    const probes = asking();
    expect((await probes.of({ cluster: 'c', lbs: ['lb2.room1'] })).lbs.map((l) => l.lb)).toEqual(['lb2.room1']);
    await expect(probes.of({ cluster: 'c', lbs: ['lb3.room1'] })).rejects.toMatchObject({ code: 'not_found' });
    await expect(probes.of({ cluster: 'x' })).rejects.toMatchObject({ code: 'not_found' });
    expect(asked).toHaveLength(1);
  });

  test('ends its sessions when it is closed', async () => {
    const probes = asking();
    await probes.of({ cluster: 'c' });
    expect(asked.map(({ signal }) => signal?.aborted)).toEqual([false, false]);
    probes.close();
    expect(asked.map(({ signal }) => signal?.aborted)).toEqual([true, true]);
  });

  test('stores nothing and takes no lease', async () => {
    const before = jobs.state.get('c');
    await jobs.store.acquire('publish:c', 'another', { ttlMs: 60_000, now: Date.now() });
    await asking().of({ cluster: 'c' });
    expect(jobs.state.get('c')).toBe(before);
  });
});
