/**
 * The agent is killed, its connection is cut, the machine is restarted in the middle of an activation: the LB
 * either has activated or is as it was, and never in between.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openTestHosts } from '../src/remote/test-hosts.ts';
import type { TestHosts } from '../src/remote/test-hosts.ts';
import type { Release } from '../src/render/cluster.ts';
import { killAgents, makeAgentKillable } from './testing/agent-kills.ts';
import type { AgentKills } from './testing/agent-kills.ts';
import { noHosts, title } from './testing/edge.ts';
import { lbRelease, playLb, setUpByHand } from './testing/played-lb.ts';
import type { PlayedLb, SeenLb, Shell } from './testing/played-lb.ts';

/** Kills at programs per shell, and as many at instants; WEIR_TEST_KILLS=1000 kills at each program. */
const kills = Number(process.env['WEIR_TEST_KILLS'] ?? 2);

/** What the machine differs in is everything that an activation changes. */
const one = lbRelease({ vips: 2, lips: ['10.0.0.101', '10.0.0.102'] });
const two = lbRelease({ vips: 3, lips: ['10.0.0.102', '10.0.0.103'], cost: 20, path: '/second', weight: 50 });

describe
  .skipIf(noHosts)
  .concurrent(title('an activation that is cut short'), { timeout: 60_000 + 30_000 * kills }, () => {
    let hosts: TestHosts;
    let count = 0;

    beforeAll(async () => {
      hosts = await openTestHosts();
    });
    afterAll(() => hosts?.close());

    const fresh = (shell?: Shell) => playLb(hosts, `lb${++count}`, shell);

    async function activate(lb: PlayedLb, release: Release): Promise<SeenLb> {
      expect(await lb.publish(release)).toMatchObject({ message: '' });
      expect(await lb.activate(release)).toMatchObject({ state: 'activated', message: '' });
      return lb.see();
    }

    test.for(['dash', 'bash', 'busybox'] as const)(
      'ends with one of both releases, wherever the agent is killed (%s)',
      async (shell) => {
        const lb = await fresh(shell);
        const seen = new Map([
          [one.id, await activate(lb, one)],
          [two.id, await activate(lb, two)],
        ]);
        await activate(lb, one);
        const killing = await makeAgentKillable(lb);
        let at: Release = one;
        const programs = await programsOf(lb, { killing, release: one });
        const atPrograms = spread(programs, kills).map((nth) => killing.atProgram(nth, nth % 2 === 0 ? 'run' : 'skip'));
        const atInstants = atPrograms.map(() => killing.after(1500 * Math.random()));
        for (const kill of [...atPrograms, ...atInstants]) {
          const to = at === one ? two : one;
          expect(await lb.publish(to), `before it is ${kill.name}`).toMatchObject({ message: '' });
          const outcome = await kill.during(() => lb.activate(to, {}, { remote: killing.remote }));
          const where = `${kill.name} of ${programs}, it answered ${outcome.state} at ${outcome.step}`;
          await expect(lb.until('[ ! -e /etc/weir/activating ]'), where).resolves.toBeUndefined();
          const { links } = await lb.see();
          expect([one.id, two.id], where).toContain(links.active);
          at = links.active === one.id ? one : two;
          // until the guard stands, nothing is changed, and what is published stays published
          const untouched = at !== to && links.current === to.id;
          if (untouched) expect(['connect', 'lock', 'check', 'guard'], where).toContain(outcome.step);
          const { live, routing, ...wanted } = seen.get(at.id) as SeenLb;
          await lb.settles(
            {
              ...wanted,
              links: { ...links, current: untouched ? to.id : at.id, active: at.id },
              live: untouched ? expect.anything() : live,
              routing: untouched ? expect.anything() : routing,
              undone: expect.anything(),
            },
            where,
          );
        }
      },
    );

    test('goes back to the end also where the agent is killed while it goes back', async () => {
      const lb = await fresh();
      const before = await activate(lb, one);
      lb.tell('frr.ills', 'fails cost 20\n');
      const killing = await makeAgentKillable(lb);
      await lb.publish(two);
      expect(await lb.activate(two, {}, { remote: killing.remote })).toMatchObject({
        state: 'undone',
        step: 'routing',
      });
      const programs = killing.count();
      for (const nth of spread(programs, 2 * kills).filter((nth) => nth > programs / 3)) {
        expect(await lb.publish(two)).toMatchObject({ state: 'published', message: '' });
        const kill = killing.atProgram(nth, nth % 2 === 0 ? 'run' : 'skip');
        const outcome = await kill.during(() => lb.activate(two, {}, { remote: killing.remote }));
        const where = `${kill.name} of ${programs}, it answered ${outcome.state} at ${outcome.step}`;
        await expect(lb.until('[ ! -e /etc/weir/activating ]'), where).resolves.toBeUndefined();
        await lb.settles(backAt(before, expect.stringContaining(`${two.id} ${one.id} `)), where);
      }
    });

    test('a first one ends with the release or with what a person had set up', async () => {
      const lb = await fresh();
      await setUpByHand(lb);
      const byHand = await lb.see();
      const killing = await makeAgentKillable(lb);
      const back = { ...byHand, links: { current: one.id, active: '', previous: '' }, undone: expect.anything() };
      await lb.publish(one);
      expect(await lb.activate(one, {}, { remote: killing.remote })).toMatchObject({ state: 'activated', message: '' });
      const programs = killing.count();
      expect(await lb.weir('undo')).toMatchObject({ code: 0 });
      await lb.settles(back);
      for (const nth of [0.4, 0.6, 0.8].map((share) => Math.round(share * programs))) {
        expect(await lb.publish(one)).toMatchObject({ state: 'published', message: '' });
        const kill = killing.atProgram(nth, 'run');
        const outcome = await kill.during(() => lb.activate(one, {}, { remote: killing.remote }));
        expect(outcome).toMatchObject({ state: 'failed' });
        await lb.until('[ ! -e /etc/weir/activating ]');
        await lb.settles(back, `killed at program ${nth} of ${programs}`);
      }
    });

    test.for([
      ['guard', 'dash'],
      ['keepalived', 'bash'],
      ['verify', 'busybox'],
    ] as const)('goes on to its end when the connection is cut at its step %s (%s)', async ([step, shell]) => {
      const lb = await fresh(shell);
      await activate(lb, one);
      await lb.publish(two);
      const cut = new AbortController();
      const onStep = (at: string) => at === step && cut.abort();
      const outcome = await lb.activate(two, {}, { remote: lb.ssh, signal: cut.signal, onStep });
      expect(outcome).toMatchObject({ state: 'cancelled' });
      await lb.until('[ "$(readlink /etc/weir/active)" = "releases/$1" ] && [ ! -e /etc/weir/activating ]', two.id);
      expect(await lb.see()).toMatchObject({ loaded: two.loads, routing: 'as the live file', undone: '' });
    });

    test('and fails after its connection was cut goes back all the same', async () => {
      const lb = await fresh();
      const before = await activate(lb, one);
      await lb.publish(two);
      lb.tell('keepalived.ills', `misses ${two.loads} 10.1.0.3\n`);
      const cut = new AbortController();
      const onStep = (at: string) => at === 'verify' && cut.abort();
      await lb.activate(two, { waitSeconds: 2 }, { remote: lb.ssh, signal: cut.signal, onStep });
      await lb.until('[ ! -e /etc/weir/activating ]');
      await lb.settles(
        backAt(before, `${two.id} ${one.id} verify: after 2 s: service TCP 10.1.0.3:80 is not in the kernel`),
      );
    });

    test.for(['dash', 'busybox'] as const)('by a restart of the machine is undone at its start (%s)', async (shell) => {
      const lb = await fresh(shell);
      const before = await activate(lb, one);
      await lb.publish(two);
      lb.tell('keepalived.ills', `misses ${two.loads} 10.1.0.3\n`);
      const activating = lb.activate(two, { waitSeconds: 50 });
      await lb.until(
        'grep -q "loaded weir-$1" /run/played/keepalived.log && cmp -s /etc/frr/frr.conf /run/played/frr.running',
        two.loads,
      );
      expect(await lb.reboot()).toEqual({ code: 0, output: '' });
      expect(await activating).toMatchObject({
        state: 'failed',
        message: expect.stringContaining('goes back by itself'),
      });
      await lb.settles(backAt(before, `${two.id} ${one.id} the machine was restarted before the checks had passed`));
    });

    test('a first one by a restart of the machine leaves what a person had set up', async () => {
      const lb = await fresh();
      await setUpByHand(lb);
      const byHand = await lb.see();
      await lb.publish(one);
      lb.tell('frr.ills', 'hangs cost 15\n');
      const activating = lb.activate(one);
      await lb.until('[ -e /run/played/frr.log ]');
      expect(await lb.reboot()).toEqual({ code: 0, output: '' });
      await activating;
      // a LIP, a sysctl and a rule that a person set without a file are gone, as after every restart
      await lb.settles({
        ...byHand,
        links: { current: one.id, active: '', previous: '' },
        addresses: ['10.1.0.1/32 lo'],
        sysctls: { ...byHand.sysctls, 'net.ipv4.vs.conntrack': '0' },
        chains: [],
        undone: `${one.id} backup the machine was restarted before the checks had passed`,
      });
    });

    test('after a restart of the machine everything of a confirmed one is there again', async () => {
      const lb = await fresh();
      const before = await activate(lb, one);
      expect(await lb.reboot()).toEqual({ code: 0, output: '' });
      await lb.settles(before);
    });

    test('with all that watches over it is undone by the next request, first of all', async () => {
      const lb = await fresh();
      const before = await activate(lb, one);
      await lb.publish(two);
      lb.tell('keepalived.ills', `misses ${two.loads} 10.1.0.3\n`);
      const activating = lb.activate(two, { waitSeconds: 50 });
      await lb.until('grep -q "loaded weir-$1" /run/played/keepalived.log', two.loads);
      await killAgents(lb);
      await activating;
      expect(await lb.see()).toMatchObject({ activating: true, loaded: two.loads });
      const next = await lb.activate(one);
      expect(next).toMatchObject({ state: 'unchanged', message: '' });
      expect(next.warnings).toContainEqual(expect.stringContaining(`was undone first: back to ${one.id}`));
      await lb.settles({ ...before, links: { current: one.id, active: one.id, previous: '' } });
    });
  });

/** What an LB looks like that went back to the release it had. */
function backAt(before: SeenLb, undone: string): SeenLb {
  const { active } = before.links;
  return { ...before, links: { current: active, active, previous: '' }, undone };
}

/** How many programs an activation runs that changes everything. */
async function programsOf(lb: PlayedLb, { killing, release }: { killing: AgentKills; release: Release }) {
  await lb.publish(two);
  expect(await lb.activate(two, {}, { remote: killing.remote })).toMatchObject({ state: 'activated' });
  const programs = killing.count();
  await lb.publish(release);
  expect(await lb.activate(release)).toMatchObject({ state: 'activated' });
  return programs;
}

/** So many numbers from 1 to the highest, all of them if there are not more. */
function spread(highest: number, wanted: number): number[] {
  if (wanted >= highest) return Array.from({ length: highest }, (_, i) => i + 1);
  return Array.from({ length: wanted }, (_, i) => Math.ceil(((i + Math.random()) * highest) / wanted));
}
