import { afterEach, describe, expect, test, vi } from 'vitest';
import { cluster, lb, vip } from '../store/testing.ts';
import { fullnat } from '../render/keepalived/fullnat.ts';
import { openJobs } from './testing.ts';
import type { Jobs } from './testing.ts';

let jobs: Jobs;

afterEach(async () => {
  vi.restoreAllMocks();
  await jobs?.close();
});

/** A cluster of two LBs, rendered by a renderer with a fault. */
async function open(fault: (text: string) => string): Promise<void> {
  const { service } = fullnat;
  vi.spyOn(fullnat, 'service').mockImplementation((asked) => fault(service(asked)));
  jobs = await openJobs();
  jobs.setHosts('10.9.0.1 ws1.room1\n10.9.0.2 ws2.room1\n');
  const second = { ...lb('lb2.room1'), routerid: '10.0.0.2', internalip: '10.0.0.2' };
  const vips = ['10.1.0.1', '10.1.0.2'].map((address) => vip(address));
  await jobs.create(cluster('c', { lbinfos: [lb('lb1.room1'), second], vip2ws: vips }));
}

function start(action: 'publish' | 'restore' = 'publish') {
  return jobs.publications.start({ cluster: 'c', by: 'test', action });
}

describe('a publication of what a renderer with a fault made', () => {
  test('is refused, with each mistake by file and line, and nothing is sent', async () => {
    await open((text) => text.replace('    alpha\n', ''));
    const files = ['keepalived/vips/10.1.0.1.conf', 'keepalived/vips/10.1.0.2.conf'];
    await expect(start()).rejects.toMatchObject({
      code: 'internal',
      message: `Weir rendered a configuration that it must not publish: ${files[0]}:5 alpha is missing (and 1 more)`,
      hint: 'this is a fault of Weir: report it with this message and the document; nothing was sent to any LB',
      problems: files.map((path) => ({ path, code: 'invalid_rendering', message: `${path}:5 alpha is missing` })),
    });
    expect(jobs.sessions).toEqual([]);
    expect(await jobs.publications.list('c', 10)).toEqual([]);
    expect(await jobs.store.leases()).toEqual([]);
    expect(await jobs.published.given('c')).toEqual(new Map());
  });

  test('is not needed to see it, and to put back what was there before the first one', async () => {
    await open((text) => text.replace('protocol TCP', 'protocol tcp'));
    const { state } = await jobs.releases.refresh('c');
    expect(jobs.releases.of(state)).toHaveLength(2);
    expect(await start('restore')).toMatchObject({ action: 'restore', state: 'running' });
  });

  test('goes on where there is no fault', async () => {
    await open((text) => text);
    expect(await start()).toMatchObject({ state: 'running' });
  });
});
