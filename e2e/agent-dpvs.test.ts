/** Activation on an LB of DPVS, whose table and addresses are not the kernel's, and which may die by itself. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { openTestHosts } from '../src/remote/test-hosts.ts';
import type { TestHosts } from '../src/remote/test-hosts.ts';
import { noHosts, title } from './testing/edge.ts';
import { sh } from './testing/machine.ts';
import { lbRelease, playLb, setUpByHand } from './testing/played-lb.ts';
import type { PlayedLb, ReleaseParts, SeenLb, Shell } from './testing/played-lb.ts';

const dpvs = (parts: ReleaseParts = {}) => lbRelease({ vips: 2, dataplane: 'dpvs', ...parts });
const ipvsKeepalived = 'Keepalived v2.2.7 (01/16,2022)\n';
const dpvsKeepalived = 'Keepalived v2.0.19 (07/21,2019)\n';

/** What of an LB tells whether its VIPs are announced. */
function vipsOf({ addresses, dpdk }: SeenLb): { kernel: string[]; dpdk: string[] } {
  const vips = (lines: readonly string[]) => lines.filter((line) => line.startsWith('10.1.'));
  return { kernel: vips(addresses), dpdk: vips(dpdk) };
}

function announced(...vips: string[]): { kernel: string[]; dpdk: string[] } {
  return { kernel: vips.map((vip) => `${vip}/32 dpdk1.kni`), dpdk: vips.map((vip) => `${vip}/32 dpdk1`) };
}

describe.skipIf(noHosts).concurrent(title('activation with DPVS'), { timeout: 90_000 }, () => {
  let hosts: TestHosts;
  let count = 0;

  beforeAll(async () => {
    hosts = await openTestHosts();
  });
  afterAll(() => hosts?.close());

  async function fresh(shell?: Shell): Promise<PlayedLb> {
    const lb = await playLb(hosts, `lb${++count}`, shell);
    await lb.startDpvs();
    return lb;
  }

  async function activated(release = dpvs(), shell?: Shell): Promise<PlayedLb> {
    const lb = await fresh(shell);
    expect(await lb.publish(release)).toMatchObject({ state: 'published', message: '' });
    expect(await lb.activate(release)).toMatchObject({ state: 'activated', message: '' });
    return lb;
  }

  async function settles(lb: PlayedLb, wanted: ReturnType<typeof vipsOf>): Promise<void> {
    const look = async () => expect(vipsOf(await lb.see())).toEqual(wanted);
    await vi.waitFor(look, { timeout: 15_000, interval: 200 });
  }

  test.for(['dash', 'bash', 'busybox'] as const)(
    'announces on both sides of the device, gives LIPs to no interface, and does nothing again (%s)',
    async (shell) => {
      const lb = await activated(dpvs(), shell);
      const before = await lb.see();
      expect(vipsOf(before)).toEqual(announced('10.1.0.1', '10.1.0.2'));
      expect(before).toMatchObject({
        plane: 'dpvs dpdk1',
        addresses: before.addresses.filter((a) => a.startsWith('10.1.')),
        dpdk: expect.arrayContaining(['10.0.0.1/24 dpdk1']),
        chains: [],
        routing: 'as the live file',
      });
      expect(await lb.activate(dpvs())).toMatchObject({ state: 'unchanged', message: '' });
      expect(await lb.see()).toEqual(before);
      expect((await lb.weir('status')).output).toContain('announced 2\n');
      const changed = dpvs({ vips: 3, path: '/second' });
      await lb.publish(changed);
      expect(await lb.activate(changed)).toMatchObject({ state: 'activated', message: '' });
      expect(vipsOf(await lb.see())).toEqual(announced('10.1.0.1', '10.1.0.2', '10.1.0.3'));
      expect(await lb.weir('undo')).toMatchObject({ code: 0 });
      expect(vipsOf(await lb.see())).toEqual(vipsOf(before));
    },
  );

  test.for(['dash', 'busybox'] as const)('goes back when its checks fail (%s)', async (shell) => {
    const lb = await activated(dpvs(), shell);
    const before = await lb.see();
    const changed = dpvs({ vips: 4 });
    await lb.publish(changed);
    lb.tell('keepalived.ills', 'misses * 10.1.0.4\n');
    expect(await lb.activate(changed, { waitSeconds: 2 })).toMatchObject({
      state: 'undone',
      step: 'verify',
      message: 'after 2 s: service TCP 10.1.0.4:80 is not in the kernel',
    });
    const { active } = before.links;
    await lb.settles({
      ...before,
      links: { current: active, active, previous: '' },
      undone: expect.stringContaining(`${changed.id} ${active} verify`),
    });
  });

  test('sees a weight in DPVS that is not that of the release', async () => {
    const lb = await activated();
    await sh(lb.host, `kill -STOP "$(cat /run/checkers.pid)"; sed -i 's/100 /7   /' /run/played/ip_vs`);
    const outcome = await lb.activate(dpvs(), { waitSeconds: 2 });
    await sh(lb.host, 'kill -CONT "$(cat /run/checkers.pid)"');
    expect(outcome).toMatchObject({
      step: 'verify',
      message: expect.stringContaining('has a WS of weight 7, not 100'),
    });
  });

  /** What a person may have set up: keepalived with a VIP, and VIPs on both sides. */
  async function setUpDpvsByHand(lb: PlayedLb): Promise<SeenLb> {
    await setUpByHand(lb);
    await sh(
      lb.host,
      `printf '10.1.0.1/32 dpdk1\\n10.1.77.1/32 dpdk1\\n' >>/run/played/dpdk
       ip addr del 10.1.0.1/32 dev lo
       ip addr add 10.1.0.1/32 dev dpdk1.kni
       sed -i 's/dev lo/dev dpdk1.kni/' /etc/keepalived/keepalived.conf`,
    );
    // announce.conf stays, for the last calls of the release
    return { ...(await lb.see()), plane: 'dpvs dpdk1', links: { current: dpvs().id, active: '', previous: '' } };
  }

  test('undo of a first one leaves what a person had in DPVS and in the kernel', async () => {
    const lb = await fresh();
    const byHand = await setUpDpvsByHand(lb);
    await lb.publish(dpvs());
    expect(await lb.activate(dpvs())).toMatchObject({ state: 'activated', message: '' });
    expect(vipsOf(await lb.see()).kernel).toEqual(announced('10.1.0.1', '10.1.0.2').kernel);
    expect(await lb.weir('undo')).toMatchObject({ code: 0 });
    await lb.settles({ ...byHand, undone: `${dpvs().id} backup weir undo` });
  });

  test('a first one that fails leaves what a person had in DPVS and in the kernel', async () => {
    const lb = await fresh();
    // one that nothing serves as well, neither before nor by the release
    await sh(lb.host, 'printf "10.1.0.2/32 dpdk1\\n" >>/run/played/dpdk; ip addr add 10.1.0.2/32 dev dpdk1.kni');
    lb.tell('keepalived.ills', 'unhealthy * 10.1.0.2\n');
    const byHand = await setUpDpvsByHand(lb);
    await lb.publish(dpvs());
    lb.tell('frr.ills', 'fails cost 15\n');
    expect(await lb.activate(dpvs())).toMatchObject({ state: 'undone', step: 'routing' });
    await lb.settles({ ...byHand, undone: expect.stringContaining('backup routing') });
  });

  test('comes from another data plane and goes back to it, with all that is its own', async () => {
    const lb = await fresh();
    const first = lbRelease({ vips: 2 });
    lb.tell('version', ipvsKeepalived);
    await lb.publish(first);
    expect(await lb.activate(first)).toMatchObject({ state: 'activated', message: '' });
    const before = await lb.see();
    expect(before).toMatchObject({ plane: '' });
    expect(vipsOf(before).dpdk).toEqual([]);
    lb.tell('version', dpvsKeepalived);
    await lb.publish(dpvs());
    expect(await lb.activate(dpvs())).toMatchObject({ state: 'activated', message: '' });
    const seen = await lb.see();
    expect(vipsOf(seen)).toEqual(announced('10.1.0.1', '10.1.0.2'));
    expect(seen).toMatchObject({ chains: [], addresses: vipsOf(seen).kernel });
    expect(await lb.weir('undo')).toMatchObject({ code: 0 });
    await lb.settles({
      ...before,
      dpdk: expect.anything(),
      links: { current: first.id, active: first.id, previous: '' },
      undone: expect.anything(),
    });
  });

  test('drains on both sides, also where DPVS does not answer, and comes back', async () => {
    const lb = await activated();
    const before = await lb.see();
    expect(await lb.ask({ action: 'drain', reason: 'x' })).toMatchObject({ state: 'drained', message: '' });
    expect(vipsOf(await lb.see())).toEqual(announced());
    expect(await lb.ask({ action: 'undrain' })).toMatchObject({ state: 'undrained', message: '' });
    expect(await lb.see()).toEqual(before);
    lb.tell('dpvs.ills', 'dumb\n');
    // the kernel draws no traffic, and that something is left is said
    expect(await lb.ask({ action: 'drain', reason: 'x' })).toMatchObject({
      state: 'drained',
      warnings: [expect.stringContaining('did not do all it should')],
    });
    expect(await lb.ask({ action: 'undrain' })).toMatchObject({
      state: 'failed',
      message: expect.stringContaining('VIPs cannot be changed: announce: ipvsadm: no memory; nothing was changed'),
    });
    expect(vipsOf(await lb.see())).toEqual({ kernel: [], dpdk: vipsOf(before).dpdk });
    lb.tell('dpvs.ills', '');
    expect(await lb.ask({ action: 'undrain' })).toMatchObject({ state: 'undrained', message: '' });
    expect(vipsOf(await lb.see())).toEqual(vipsOf(before));
  });

  test('withdraws on both sides when keepalived dies', async () => {
    const lb = await activated();
    await sh(lb.host, 'kill -9 "$(cat /run/keepalived.pid)"');
    await settles(lb, announced());
    expect((await lb.see()).dpdk).toEqual(['10.0.0.1/24 dpdk1']);
  });

  test.for(['dash', 'busybox'] as const)('withdraws from the kernel when DPVS dies (%s)', async (shell) => {
    const lb = await activated(dpvs(), shell);
    await sh(lb.host, 'kill -9 "$(cat /run/played/dpvs.pid)"');
    const { dpdk } = vipsOf(await lb.see());
    await settles(lb, { kernel: [], dpdk });
    // nothing announces it while DPVS is away
    const [helper] = (await sh(lb.host, 'ls /etc/weir/bin')).split('\n');
    const { code, stderr } = await lb.host.exec([`/etc/weir/bin/${helper}`, '10.1.0.1', 'any', '1']);
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('DPVS does not run') });
    expect(vipsOf(await lb.see()).kernel).toEqual([]);
    await lb.startDpvs();
    await sh(lb.host, 'kill -HUP "$(cat /run/keepalived.pid)"');
    expect(await lb.weir('undrain')).toMatchObject({ code: 0 });
    await settles(lb, announced('10.1.0.1', '10.1.0.2'));
  });

  test('has its plane again after a restart of the machine', async () => {
    const lb = await activated();
    const before = await lb.see();
    await sh(lb.host, 'rm /etc/weir/announce.conf');
    await sh(lb.host, 'kill -9 "$(cat /run/played/dpvs.pid)"');
    const boot = await lb.weir('boot');
    expect(boot).toEqual({ code: 0, output: '' });
    expect((await lb.see()).plane).toBe(before.plane);
  });

  describe('is refused, and changes nothing, where', () => {
    const refusals: Record<string, { ill: (lb: PlayedLb) => unknown; says: string }> = {
      'dpip is not installed': {
        ill: ({ host }) => sh(host, 'rm /usr/local/sbin/dpip'),
        says: 'dpip of DPVS is not installed',
      },
      'DPVS does not run': {
        ill: ({ host }) => sh(host, 'kill -9 "$(cat /run/played/dpvs.pid)"'),
        says: "DPVS does not answer: ipvsadm: Can't initialize ipvs: failed",
      },
      'ipvsadm is not that of DPVS': {
        ill: ({ host }) => sh(host, 'cp /bin/true /usr/local/sbin/ipvsadm'),
        says: '/usr/local/sbin/ipvsadm is not the ipvsadm of DPVS',
      },
      'the device has no interface in the kernel': {
        ill: ({ host }) => sh(host, 'ip link del dpdk1.kni'),
        says: 'DPVS has no interface dpdk1.kni in the kernel',
      },
      'keepalived is not that of DPVS': {
        ill: (lb) => lb.tell('version', ipvsKeepalived),
        says: "this machine's keepalived does not read the dialect dpvs",
      },
    };
    test.for(Object.entries(refusals))('%s', async ([, { ill, says }]) => {
      const lb = await fresh();
      await lb.publish(dpvs());
      await ill(lb);
      const before = await lb.see();
      expect(await lb.activate(dpvs())).toMatchObject({
        state: 'failed',
        step: 'check',
        message: expect.stringContaining(says),
      });
      expect(await lb.see()).toEqual(before);
    });
  });
});
