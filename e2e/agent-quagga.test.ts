/** Activation on an LB of FULLNAT with Quagga, which take a change by a restart, and do not tell what they have loaded. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openTestHosts } from '../src/remote/test-hosts.ts';
import type { TestHosts } from '../src/remote/test-hosts.ts';
import { noHosts, title } from './testing/edge.ts';
import { lbRelease, playLb } from './testing/played-lb.ts';
import type { PlayedLb, ReleaseParts, Shell } from './testing/played-lb.ts';

const fullnat = (parts: ReleaseParts = {}) => lbRelease({ vips: 2, dataplane: 'fullnat', ...parts });
const restarted = ['zebra restart with 0 VIPs', 'ospfd restart with 0 VIPs'];

describe.skipIf(noHosts).concurrent(title('activation with Quagga'), { timeout: 60_000 }, () => {
  let hosts: TestHosts;
  let count = 0;

  beforeAll(async () => {
    hosts = await openTestHosts();
  });
  afterAll(() => hosts?.close());

  async function fresh(shell?: Shell): Promise<PlayedLb> {
    const lb = await playLb(hosts, `lb${++count}`, shell);
    lb.tell('version', 'Keepalived v1.2.2 (09/28,2011)\n');
    return lb;
  }

  async function activated(shell?: Shell): Promise<PlayedLb> {
    const lb = await fresh(shell);
    const release = fullnat();
    expect(await lb.publish(release)).toMatchObject({ state: 'published', message: '' });
    expect(await lb.activate(release, { restartRouting: true })).toMatchObject({ state: 'activated', message: '' });
    expect(lb.told('quagga.log')).toEqual(restarted);
    expect(lb.told('keepalived.log')).toEqual(['started /usr/local/sbin/keepalived ', 'loaded keepalived']);
    return lb;
  }

  const addresses = ['10.0.0.101', '10.0.0.102', '10.0.0.103', '10.0.0.104']
    .map((lip) => `${lip}/32 eth0`)
    .concat('10.1.0.1/32 lo', '10.1.0.2/32 lo');

  test.for(['dash', 'bash', 'busybox'] as const)(
    'restarts Quagga with the VIPs withdrawn, where that is asked for, and does nothing again (%s)',
    async (shell) => {
      const lb = await activated(shell);
      const before = await lb.see();
      expect(before).toMatchObject({ addresses, drain: '', services: ['TCP  0A010001:0050', 'TCP  0A010002:0050'] });
      expect(await lb.activate(fullnat(), { restartRouting: true })).toMatchObject({ state: 'unchanged', message: '' });
      expect(await lb.see()).toEqual(before);
      for (const log of ['quagga.log', 'keepalived.log'] as const) expect(lb.told(log)).toEqual([]);
    },
  );

  test('refuses a change of routing without being asked for a restart, and changes nothing', async () => {
    const lb = await activated();
    const changed = fullnat({ cost: 20, path: '/second' });
    expect(await lb.publish(changed)).toMatchObject({ state: 'published', message: '' });
    const before = await lb.see();
    expect(await lb.activate(changed)).toMatchObject({
      state: 'failed',
      step: 'check',
      message: expect.stringContaining('activate with --restart-routing'),
    });
    expect(await lb.see()).toEqual(before);
    for (const log of ['quagga.log', 'keepalived.log'] as const) expect(lb.told(log)).toEqual([]);
  });

  test('reloads keepalived once for a changed VIP, and leaves Quagga alone', async () => {
    const lb = await activated();
    const changed = fullnat({ vips: 3 });
    await lb.publish(changed);
    expect(await lb.activate(changed)).toMatchObject({ state: 'activated', message: '' });
    expect(lb.told('keepalived.log')).toEqual(['HUP', 'loaded keepalived']);
    expect(lb.told('quagga.log')).toEqual([]);
    expect((await lb.see()).addresses).toEqual([...addresses, '10.1.0.3/32 lo']);
  });

  test.for(['dash', 'busybox'] as const)('goes back with another restart when its checks fail (%s)', async (shell) => {
    const lb = await activated(shell);
    const before = await lb.see();
    const changed = fullnat({ cost: 20, vips: 4 });
    await lb.publish(changed);
    lb.tell('keepalived.ills', 'misses * 10.1.0.4\n');
    expect(await lb.activate(changed, { restartRouting: true, waitSeconds: 2 })).toMatchObject({
      state: 'undone',
      step: 'verify',
      message: 'after 2 s: service TCP 10.1.0.4:80 is not in the kernel',
    });
    expect(lb.told('quagga.log')).toEqual([...restarted, ...restarted]);
    const { active } = before.links;
    await lb.settles({
      ...before,
      links: { current: active, active, previous: '' },
      undone: expect.stringContaining(`${changed.id} ${active} verify`),
    });
  });

  test('stays drained through a restart of Quagga', async () => {
    const lb = await activated();
    expect(await lb.ask({ action: 'drain', reason: 'x' })).toMatchObject({ state: 'drained' });
    const changed = fullnat({ cost: 20 });
    await lb.publish(changed);
    expect(await lb.activate(changed, { restartRouting: true, state: 'drain' })).toMatchObject({ state: 'activated' });
    const seen = await lb.see();
    expect(seen.drain).toMatch(/^weir \d+ x$/);
    expect(seen.addresses).toEqual(addresses.filter((a) => a.endsWith('eth0')));
  });
});
