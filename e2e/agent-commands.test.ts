/** What an LB's agent is asked for beside activation, what it refuses, and what it does unasked. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openTestHosts } from '../src/remote/test-hosts.ts';
import type { TestHosts } from '../src/remote/test-hosts.ts';
import type { Release } from '../src/render/cluster.ts';
import { noHosts, title } from './testing/edge.ts';
import { sh } from './testing/machine.ts';
import { lbRelease, playLb, setUpByHand } from './testing/played-lb.ts';
import type { PlayedLb, SeenLb } from './testing/played-lb.ts';

const one = lbRelease({ vips: 2, lips: ['10.0.0.101', '10.0.0.102'] });
const two = lbRelease({ vips: 3, lips: ['10.0.0.102', '10.0.0.103'], cost: 20, path: '/second' });
const vipsOf = (seen: SeenLb) => seen.addresses.filter((a) => a.startsWith('10.1.'));
const noVips = (seen: SeenLb) => seen.addresses.filter((a) => !a.startsWith('10.1.'));

describe.skipIf(noHosts).concurrent(title("an LB's agent"), { timeout: 60_000 }, () => {
  let hosts: TestHosts;
  let count = 0;

  beforeAll(async () => {
    hosts = await openTestHosts();
  });
  afterAll(() => hosts?.close());

  const fresh = () => playLb(hosts, `lb${++count}`);

  async function activate(lb: PlayedLb, release: Release): Promise<SeenLb> {
    expect(await lb.publish(release)).toMatchObject({ message: '' });
    expect(await lb.activate(release)).toMatchObject({ state: 'activated', message: '' });
    return lb.see();
  }

  describe('undo', () => {
    test('goes back to what was active before, once', async () => {
      const lb = await fresh();
      const first = await activate(lb, one);
      await activate(lb, two);
      expect(await lb.weir('undo')).toEqual({ code: 0, output: expect.stringContaining(`done undone ${one.id}`) });
      await lb.settles({
        ...first,
        links: { current: one.id, active: one.id, previous: '' },
        undone: `${two.id} ${one.id} weir undo`,
      });
      expect(await lb.weir('undo')).toEqual({
        code: 1,
        output: expect.stringContaining('there is nothing to go back to on this machine'),
      });
    });

    test('after a first activation goes back to what a person had set up, asked by Weir too', async () => {
      const lb = await fresh();
      await setUpByHand(lb);
      const byHand = await lb.see();
      await activate(lb, one);
      expect(await lb.ask({ action: 'undo' })).toMatchObject({ state: 'undone', message: '' });
      await lb.settles({
        ...byHand,
        links: { current: one.id, active: '', previous: '' },
        undone: `${one.id} backup weir undo`,
      });
      expect(await lb.ask({ action: 'undo' })).toMatchObject({ state: 'failed', step: 'lock' });
      // and what Weir publishes next is taken over as at first
      expect(await lb.publish(one)).toMatchObject({ state: 'published', message: '' });
      expect(await lb.activate(one)).toMatchObject({ state: 'activated', message: '' });
    });

    test('is not led on by a release that was published and not activated', async () => {
      const lb = await fresh();
      const first = await activate(lb, one);
      await activate(lb, two);
      const three = lbRelease({ vips: 3, lips: ['10.0.0.102', '10.0.0.104'] });
      expect(await lb.publish(three)).toMatchObject({ state: 'published' });
      expect(await lb.weir('undo')).toMatchObject({ code: 0 });
      await lb.settles({
        ...first,
        links: { current: one.id, active: one.id, previous: '' },
        undone: expect.stringContaining(' weir undo'),
      });
    });

    test('after one, activating what is active again does not lead out of Weir', async () => {
      const lb = await fresh();
      await activate(lb, one);
      await activate(lb, two);
      expect(await lb.weir('undo')).toMatchObject({ code: 0 });
      expect(await lb.activate(one)).toMatchObject({ state: 'unchanged' });
      expect(await lb.weir('undo')).toMatchObject({
        code: 1,
        output: expect.stringContaining('nothing to go back to'),
      });
      expect((await lb.see()).links).toEqual({ current: one.id, active: one.id, previous: '' });
    });

    test('ends an activation whose checks have not passed yet', async () => {
      const lb = await fresh();
      const first = await activate(lb, one);
      expect(await lb.publish(two)).toMatchObject({ state: 'published' });
      lb.tell('keepalived.ills', `misses ${two.loads} 10.1.0.3\n`);
      const activating = lb.activate(two, { waitSeconds: 50 });
      await lb.until('[ "$(readlink /etc/weir/current)" = "releases/$1" ] && [ -e /etc/weir/activating ]', two.id);
      await lb.until('grep -q "loaded weir-$1" /run/played/keepalived.log', two.loads);
      expect(await lb.weir('undo')).toEqual({ code: 0, output: expect.stringContaining(`undone ${one.id}`) });
      expect(await activating).not.toMatchObject({ state: 'activated' });
      await lb.settles({
        ...first,
        links: { current: one.id, active: one.id, previous: '' },
        undone: expect.stringContaining(`${two.id} ${one.id} `),
      });
    });
  });

  test('activating again what is active does not go further back when a check fails', async () => {
    const lb = await fresh();
    await setUpByHand(lb);
    const first = await activate(lb, one);
    lb.tell('frr.ills', 'fails cost 15\n');
    await sh(lb.host, 'echo "! by hand" >>/run/played/frr.running');
    expect(await lb.activate(one)).toMatchObject({ step: 'routing', message: expect.stringContaining('cost 15') });
    const { undone: _, routing: __, ...wanted } = first;
    expect(await lb.see()).toMatchObject({ ...wanted, links: { current: one.id, active: one.id } });
  });

  describe('drain', () => {
    test('withdraws all VIPs and keeps everything else, also through activations, until undrain', async () => {
      const lb = await fresh();
      const before = await activate(lb, one);
      expect(await lb.ask({ action: 'drain', reason: 'kernel  update\n$(reboot)' })).toMatchObject({
        state: 'drained',
        message: '',
      });
      const drained = {
        ...before,
        addresses: noVips(before),
        drain: expect.stringMatching(/^weir \d+ kernel update \$\(reboot\)$/),
      };
      expect(await lb.see()).toEqual(drained);
      // neither a reload nor a service that comes puts one back
      await sh(lb.host, 'kill -HUP "$(cat /run/keepalived.pid)"');
      await lb.until('[ "$(grep -c loaded /run/played/keepalived.log)" = 2 ]');
      expect(await lb.see()).toEqual(drained);
      expect(await lb.ask({ action: 'undrain' })).toMatchObject({ state: 'undrained', message: '' });
      expect(await lb.see()).toEqual(before);
    });

    test('that was told beside the document stays through an activation of it', async () => {
      const lb = await fresh();
      await activate(lb, one);
      await lb.ask({ action: 'drain', override: true, reason: 'new NIC' });
      const drained = await lb.see();
      expect(drained.drain).toMatch(/^override \d+ new NIC$/);
      await lb.publish(two);
      expect(await lb.activate(two, { state: 'up' })).toMatchObject({ state: 'activated' });
      expect((await lb.see()).drain).toBe(drained.drain);
      expect(await sh(lb.host, 'ip -o addr show dev lo')).not.toContain('10.1.0.');
    });

    test('of the document comes with an activation and goes with one', async () => {
      const lb = await fresh();
      const before = await activate(lb, one);
      expect(await lb.activate(one, { state: 'drain' })).toMatchObject({
        message: '',
        warnings: [expect.stringContaining('rc.local')],
      });
      const drained = { ...before, addresses: noVips(before), drain: expect.stringMatching(/^weir \d+ /) };
      expect(await lb.see()).toEqual(drained);
      const release = two;
      await lb.publish(release);
      expect(await lb.activate(release, { state: 'drain' })).toMatchObject({ state: 'activated', message: '' });
      expect(vipsOf(await lb.see())).toEqual([]);
      expect(await lb.activate(release, { state: 'up' })).toMatchObject({ message: '' });
      expect(vipsOf(await lb.see())).toEqual(['10.1.0.1/32 lo', '10.1.0.2/32 lo', '10.1.0.3/32 lo']);
      expect((await lb.see()).drain).toBe('');
    });

    test('by hand on the LB stays whatever the document says, with a warning', async () => {
      const lb = await fresh();
      const before = await activate(lb, one);
      expect(await lb.weir('drain', 'new', 'NIC')).toEqual({
        code: 0,
        output: expect.stringContaining('done drained'),
      });
      await lb.publish(two);
      const outcome = await lb.activate(two);
      expect(outcome).toMatchObject({ state: 'activated', message: '' });
      expect(outcome.warnings).toContainEqual(
        expect.stringMatching(/drained beside the document \(local \d+ new NIC\) and stays so: weir undrain/),
      );
      expect(vipsOf(await lb.see())).toEqual([]);
      expect(await lb.weir('undrain')).toMatchObject({ code: 0 });
      expect(vipsOf(await lb.see())).toEqual([...vipsOf(before), '10.1.0.3/32 lo']);
    });

    test.for([
      ['drain', ''],
      ['up', 'weir'],
    ] as const)('that an activation which failed had changed to %s is as before', async ([state, was]) => {
      const lb = await fresh();
      await activate(lb, one);
      if (was) await lb.ask({ action: 'drain', reason: 'before' });
      const before = await lb.see();
      await lb.publish(two);
      lb.tell('frr.ills', 'fails cost 20\n');
      expect(await lb.activate(two, { state })).toMatchObject({ state: 'undone', step: 'routing' });
      await lb.settles({
        ...before,
        links: { current: one.id, active: one.id, previous: '' },
        undone: expect.stringContaining('routing'),
      });
    });
  });

  describe('refuses, and changes nothing, where', () => {
    const refusals: Record<
      string,
      { prepare?: (lb: PlayedLb) => unknown; asked?: Release; step: string; says: string }
    > = {
      'another release is published': {
        asked: two,
        step: 'check',
        says: `release ${one.id} is published here, not ${two.id}: publish first`,
      },
      'keepalived.conf was changed by hand': {
        prepare: ({ host }) => sh(host, 'echo "! mine" >>/etc/keepalived/keepalived.conf'),
        step: 'check',
        says: '/etc/keepalived/keepalived.conf is not what was published; publish with --overwrite to replace it',
      },
      'frr.conf was changed by hand': {
        prepare: ({ host }) => sh(host, 'echo "! mine" >>/etc/frr/frr.conf'),
        step: 'check',
        says: '/etc/frr/frr.conf is not what was published; publish with --overwrite to replace it',
      },
      'a file of the release was changed by hand': {
        prepare: ({ host }) => sh(host, 'echo "! mine" >>/etc/weir/current/keepalived/vips/10.1.0.2.conf'),
        step: 'check',
        says: 'files of the published release were changed by hand: keepalived/vips/10.1.0.2.conf: FAILED',
      },
      'keepalived is of another version': {
        prepare: (lb) => lb.tell('version', 'Keepalived v1.2.2 (01/01,2012)\n'),
        step: 'check',
        says: "this machine's keepalived does not read the dialect ipvs: Keepalived v1.2.2 (01/01,2012)",
      },
      'keepalived runs with a file of its own': {
        prepare: ({ host }) => sh(host, 'echo >/etc/my.conf; /usr/local/sbin/keepalived -f /etc/my.conf'),
        step: 'check',
        says: 'keepalived does not read /etc/keepalived/keepalived.conf: it runs as ',
      },
      'frr-reload.py is not installed': {
        prepare: ({ host }) => sh(host, 'rm /usr/lib/frr/frr-reload.py'),
        step: 'check',
        says: 'frr-reload.py is not installed (package frr-pythontools)',
      },
    };
    test.for(Object.entries(refusals))('%s', async ([, { prepare, asked = one, step, says }]) => {
      const lb = await fresh();
      await lb.publish(one);
      await prepare?.(lb);
      const before = await lb.see();
      expect(await lb.activate(asked)).toMatchObject({ state: 'failed', step, message: expect.stringContaining(says) });
      expect(await lb.see()).toEqual(before);
      expect(lb.told('frr.log')).toEqual([]);
    });

    test('nothing is published', async () => {
      const lb = await fresh();
      expect(await lb.activate(one)).toMatchObject({
        state: 'failed',
        step: 'connect',
        message: expect.stringContaining('nothing is published on this machine'),
      });
    });

    test('it is not run by root', async () => {
      const lb = await fresh();
      await lb.publish(one);
      const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '/etc/weir/bin/weir'];
      for (const words of [['activate'], ['undo'], ['drain', 'x'], ['undrain']]) {
        const { code, stdout } = await lb.host.exec([...nobody, ...words]);
        expect({ code, stdout }).toEqual({ code: 1, stdout: expect.stringContaining('fail lock not root but nobody') });
      }
    });

    test('a newer Weir has been there', async () => {
      const lb = await fresh();
      const before = await activate(lb, one);
      expect(await lb.ask({ action: 'drain', reason: 'x' }, { fence: 100 })).toMatchObject({ state: 'drained' });
      const seen = await lb.see();
      for (const request of [
        { action: 'activate', release: one.id, waitSeconds: 2, state: 'up' },
        { action: 'undo' },
        { action: 'drain', reason: 'late' },
        { action: 'undrain' },
      ] as const) {
        expect(await lb.ask(request, { fence: 99 })).toMatchObject({
          state: 'failed',
          step: 'lock',
          message: expect.stringContaining('refused: fencing number 99 is older than 100'),
        });
      }
      expect(await lb.see()).toEqual(seen);
      expect(await lb.ask({ action: 'undrain' }, { fence: 100 })).toMatchObject({ state: 'undrained' });
      expect(await lb.see()).toEqual(before);
    });
  });

  test('two activations at once are done one after the other', async () => {
    const lb = await fresh();
    await lb.publish(one);
    const outcomes = await Promise.all([lb.activate(one), lb.activate(one)]);
    // the one with the lower fencing number is refused where it comes second
    const [first, second] = outcomes.map((o) => `${o.state} ${o.message.includes('older') ? 'older' : ''}`).sort();
    expect(first).toBe('activated ');
    expect(['unchanged ', 'failed older']).toContain(second);
    expect(lb.told('keepalived.log')).toHaveLength(2);
  });

  test('nothing is published while an activation is not confirmed', async () => {
    const lb = await fresh();
    await activate(lb, one);
    await sh(lb.host, 'echo "$1 backup $(($(date +%s) + 50)) 1 x" >/etc/weir/activating', one.id);
    expect(await lb.publish(two)).toMatchObject({
      state: 'failed',
      step: 'lock',
      message: expect.stringContaining('not confirmed'),
    });
  });

  describe('watches keepalived', () => {
    const watchers = (lb: PlayedLb) =>
      sh(
        lb.host,
        'for file in /proc/[0-9]*/cmdline; do words=$(tr "\\0" " " <"$file" 2>/dev/null); case $words in *"/weir watch ") echo "$file" ;; esac; done',
      );

    test('killed with -9, it leaves no VIP on lo; when it is back, they are', async () => {
      const lb = await fresh();
      const before = await activate(lb, one);
      await sh(lb.host, 'kill -9 "$(cat /run/keepalived.pid)"');
      await lb.settles({ ...before, addresses: noVips(before), loaded: 'none', services: [] });
      await lb.startKeepalived();
      await lb.settles(before);
    });

    test('one that lives keeps its VIPs, whatever asks to withdraw them', async () => {
      const lb = await fresh();
      const before = await activate(lb, one);
      expect(await lb.weir('withdraw')).toEqual({ code: 0, output: '' });
      expect(await lb.see()).toEqual(before);
    });

    test('by one watcher, however often it is activated, which becomes a newer agent by itself', async () => {
      const lb = await fresh();
      await activate(lb, one);
      const [watcher] = (await watchers(lb)).split('\n');
      await activate(lb, two);
      expect(await watchers(lb)).toBe(`${watcher}\n`);
      await sh(
        lb.host,
        'cd /etc/weir/bin; { cat weir; echo "# newer"; } >weir-newer; chmod 755 weir-newer; ln -sf weir-newer weir',
      );
      // a shell reads its script through a descriptor of it
      const folder = (watcher ?? '').replace('cmdline', 'fd');
      await lb.until('ls -l "$1" | grep -q weir-newer', folder);
      expect(await watchers(lb)).toBe(`${watcher}\n`);
      await sh(lb.host, 'kill -9 "$(cat /run/keepalived.pid)"');
      await lb.until('! ip addr show dev lo | grep -q 10.1.0.1/32');
    });

    test('by systemd where that runs', async () => {
      const lb = await fresh();
      await sh(
        lb.host,
        `mkdir -p /run/systemd/system
         printf '#!/bin/sh\\necho "$*" >>/run/played/frr.log\\n[ "$1" != restart ] || exec /usr/local/sbin/keepalived\\n' >/usr/local/sbin/systemctl
         chmod 755 /usr/local/sbin/systemctl`,
      );
      const seen = await activate(lb, one);
      expect(await watchers(lb)).toBe('');
      expect(lb.told('frr.log')).toEqual([
        'daemon-reload',
        'daemon-reload',
        'enable weir.service',
        'restart keepalived',
        'changed',
      ]);
      const dropIn = await sh(lb.host, 'cat /etc/systemd/system/keepalived.service.d/weir.conf');
      expect(dropIn).toContain('[Service]\nExecStopPost=-/etc/weir/bin/weir withdraw\n');
      await lb.activate(one);
      expect(lb.told('frr.log')).toEqual([]);
      await sh(lb.host, 'kill -9 "$(cat /run/keepalived.pid)"');
      await lb.until('[ "$(grep -c Masq /run/played/ip_vs)" = 0 ]');
      expect(vipsOf(await lb.see())).toEqual(vipsOf(seen));
      expect(await lb.weir('withdraw')).toEqual({ code: 0, output: '' });
      expect(vipsOf(await lb.see())).toEqual([]);
    });
  });

  test('status tells what is published, active, loaded and announced', async () => {
    const lb = await fresh();
    await activate(lb, one);
    await lb.publish(two);
    const { code, output } = await lb.weir('status');
    expect(code).toBe(0);
    expect(output.split('\n')).toEqual([
      `current ${two.id}`,
      `active ${one.id}`,
      'previous backup',
      expect.stringMatching(/^keepalived \d+$/),
      `loaded ${one.loads} (release ${one.id})`,
      'announced 2',
      '',
    ]);
    expect(await lb.weir('nonsense')).toEqual({ code: 2, output: expect.stringContaining('usage: weir activate') });
  });
});
