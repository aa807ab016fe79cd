/**
 * What Weir promises of an edge under traffic, scenario by scenario: new connections from 64 addresses at a steady rate,
 * keep-alive connections and 30 long downloads run through all of them. Each goes on from where the one before ended.
 * What was measured is told as a table; lab/README.md has a recorded one.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type LabLb, waitFor, whyNoLab } from '../lab/lab.ts';
import type { Window } from '../lab/probe/probe.ts';
import type { ClusterStatusView } from '../src/contract/status.ts';
import type { Cluster } from '../src/domain/edge/model.ts';
import { kernelState, type LabEdge, openFigures, openLabEdge } from './testing/lab-edge.ts';

/** How VIPs are announced, and whether LBs answer SYNs: `npm run soak:lab` runs all of this in each way. */
const announce = process.env['WEIR_LAB_ANNOUNCE'] === 'redistribute' ? 'redistribute' : 'network';
const synproxy = process.env['WEIR_LAB_SYNPROXY'] === '1';

const reason = whyNoLab();
if (reason !== undefined) console.warn(`left out: the edge under traffic: ${reason}`);

const VIP = '10.50.0.1';
/** Clients keep their WS here. */
const STICKY = '10.50.0.2';
const minute = 60_000;
const waiting = { timeoutMs: minute };

describe.skipIf(reason !== undefined)(
  `the edge under traffic${reason ? ` (left out: ${reason})` : ''}`,
  { timeout: 5 * minute },
  () => {
    let edge: LabEdge;
    const figures = openFigures();
    const usual = [`${VIP}:80`, `${STICKY}:80`, `${VIP}:80`, `${VIP}:443`];

    beforeAll(async () => {
      edge = await openLabEdge({ targets: usual, rate: 200, announce, synproxy });
    }, 5 * minute);
    afterAll(async () => {
      figures.tell();
      await edge?.close();
    }, minute);
    beforeEach(async () => {
      await edge.probe.reopenDownloads();
    });

    const weir = (...words: string[]) => edge.weir(words);
    const publishAndActivate = async () => {
      await edge.publish();
      await edge.activate();
    };
    const addresses = (...lbs: LabLb[]) => lbs.map(({ address }) => address).join();
    const both = () => addresses(edge.lb(1), edge.lb(2));
    const routed = (vip: string, to: string) => edge.routes.until(vip, (hops) => hops.join() === to, minute);
    const answers = (port: number) => async () => {
      const scheme = port === 443 ? 'https' : 'http';
      const curl = ['curl', '-sk', '-m', '2', '-o', '/dev/null', `${scheme}://${VIP}:${port}/`];
      return (await edge.lab.client.exec(curl)).code === 0;
    };
    const document = async () => (await edge.client.call<Cluster>('/clusters/lab')).data;
    const revision = async () =>
      Number((await edge.client.call('/clusters/lab')).headers.get('etag')?.replaceAll('"', ''));

    /** New connections, keep-alive connections and downloads: none of them. */
    function expectNoLoss(window: Window, atLeast = 1000): void {
      expect(window.started).toBeGreaterThanOrEqual(atLeast);
      const moves = [VIP, STICKY].flatMap((vip) => edge.routes.changes(vip, window.from));
      const { keepalive, downloads, failures } = window;
      expect({
        failures,
        moves,
        // a WS that a check takes out of the table takes its connections along
        removed: edge.removed(window),
        kinds: keepalive.kinds,
        unopened: keepalive.unopened,
        broken: downloads.broken,
      }).toEqual({
        failures: [],
        moves: [],
        removed: [],
        kinds: { reset: 0, closed: 0, timeout: 0, wrong: 0 },
        unopened: 0,
        broken: { reset: 0, stalled: 0 },
      });
    }

    /**
     * Failures of connections that were not open while the router moved its flows: when an LB joins or leaves ECMP,
     * those that are open at that moment come to an LB that does not know them, and break.
     */
    function unmoved({ failures, from }: Window): Window['failures'] {
      const moves = [VIP, STICKY].flatMap((vip) => edge.routes.changes(vip, from).map(({ at }) => at));
      // the times of the kernel's message and of the prober's clock are some milliseconds apart
      const wasOpen = ({ at, took }: Window['failures'][number]) =>
        moves.some((move) => at - 20 <= move && move <= at + took + 50);
      return failures.filter((failure) => failure.kind === 'unreachable' || !wasOpen(failure));
    }

    /**
     * A VIP is announced as soon as one of its ports is served; where keepalived has just started, the checks of the
     * others may take a second more.
     */
    function expectReturn(window: Window, scenario: string): void {
      const returned = edge.routes.changes(VIP, window.from)[0]?.at ?? 0;
      expect(unmoved(window).filter((failure) => failure.at > returned + 3000)).toEqual([]);
      figures.add(scenario, 'losses end within 3 s of the return of its route', window, last(window, returned));
    }

    /** Shares of the answers, in percent. */
    function shares(counts: Readonly<Record<string, number>>): Record<string, number> {
      const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
      return Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, (100 * count) / total]));
    }

    function drawn(counts: Readonly<Record<string, number>>): string {
      const parts = Object.entries(shares(counts)).map(
        ([name, share]) => `${name} ${'#'.repeat(Math.round(share / 5))} ${share.toFixed(1)} %`,
      );
      return parts.join(', ');
    }

    const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
    const last = ({ failedSpan }: Window, at: number) =>
      failedSpan ? `the last ${seconds(failedSpan.last - at)} after it` : 'none';

    const perLb = (window: Window) =>
      Object.fromEntries(
        edge.lab.lbs.map(({ name, lips }) => [name, lips.reduce((sum, lip) => sum + (window.perSource[lip] ?? 0), 0)]),
      );

    test('requests come over all LBs, from all LIPs, to all WSs', async () => {
      const window = await edge.during('spread', async () => undefined, 1500);
      expectNoLoss(window, 1500);
      const lips = edge.lab.lbs.flatMap((lb) => lb.lips);
      expect(Object.keys(window.perSource).sort()).toEqual([...lips].sort());
      for (const share of Object.values(shares(perLb(window)))) expect(share).toBeGreaterThan(30);
      for (const share of Object.values(shares(window.perSource))) expect(share).toBeGreaterThan(5);
      for (const share of Object.values(shares(window.perWs))) expect(share).toBeGreaterThan(20);
      const logs = await Promise.all(edge.lab.wss.map((ws) => readFile(ws.accessLog, 'utf8')));
      const sources = new Set(
        logs.flatMap((log) => Array.from(log.matchAll(/ (\S+):\d+ (?:80|443) 200 \/$/gm), ([, ip]) => ip)),
      );
      expect(sources).toEqual(new Set(lips));
      figures.add('`weir lab up` until requests flow', 'under 30 s on two cores', `${(edge.upMs / 1000).toFixed(1)} s`);
      figures.add(
        'nothing',
        'spread over LBs, LIPs and WSs',
        window,
        drawn(perLb(window)),
        drawn(window.perWs),
        drawn(window.perSource),
      );
    });

    test('a client of the VIP with persistence keeps its WS on each LB', async () => {
      const ask = String.raw`for source in $(ip -o -4 addr show dev eth0 | sed -n 's/.*inet \([0-9.]*\).*/\1/p'); do
        for i in 1 2 3; do curl -s -m 3 --interface "$source" "http://${STICKY}/" | sed "s/^/$source /"; done
      done`;
      const { stdout } = await edge.lab.client.exec(['sh', '-c', ask], { timeoutMs: 2 * minute });
      const lbOf = (lip: string) => edge.lab.lbs.find(({ lips }) => lips.includes(lip))?.name;
      const kept = new Map<string, Set<string>>();
      for (const [, client, text] of stdout.matchAll(/^(\S+) (\{.*\})$/gm)) {
        const { ws, source } = JSON.parse(text ?? '') as { ws: string; source: string };
        const key = `${client} at ${lbOf(source)}`;
        kept.set(key, (kept.get(key) ?? new Set()).add(ws));
      }
      expect(kept.size).toBeGreaterThanOrEqual(64);
      expect([...kept].filter(([, wss]) => wss.size > 1)).toEqual([]);
    });

    test('publishing changes nothing in the kernel and loses nothing', async () => {
      await weir('ws', 'set', 'lab', VIP, 'ws2.lab', 'weight=50');
      const before = await Promise.all(edge.lab.lbs.map((lb) => edge.on(lb, kernelState)));
      const window = await edge.during('publish', () => edge.publish());
      expect(await Promise.all(edge.lab.lbs.map((lb) => edge.on(lb, kernelState)))).toEqual(before);
      expectNoLoss(window);
      figures.add('publish a changed weight', '0 failed, 0 downloads broken; the kernel as before', window);
    });

    test('activating a changed weight loses nothing, and shares follow weights', async () => {
      const window = await edge.during('activate a weight', () => edge.activate());
      expectNoLoss(window);
      figures.add('activate it', '0 failed, 0 downloads broken', window);
      await edge.probe.retarget([`${VIP}:80`]);
      const half = await edge.during('weight 50', async () => undefined);
      for (const [name, wanted] of Object.entries({ 'ws1.lab': 40, 'ws2.lab': 20, 'ws3.lab': 40 })) {
        expect(Math.abs((shares(half.perWs)[name] ?? 0) - wanted)).toBeLessThan(8);
      }
      await weir('ws', 'set', 'lab', VIP, 'ws2.lab', 'weight=0');
      await publishAndActivate();
      const none = await edge.during('weight 0', async () => undefined);
      expect(none.perWs['ws2.lab']).toBeUndefined();
      expectNoLoss(none);
      figures.add('ws2 at weight 50, others 100', 'shares by weight', half, drawn(half.perWs));
      figures.add('ws2 at weight 0, others 100', 'shares by weight', none, drawn(none.perWs));
      await weir('ws', 'set', 'lab', VIP, 'ws2.lab', 'weight=100');
      await edge.probe.retarget(usual);
    });

    test('a service and a VIP are added and removed without a loss to the others', async () => {
      const NEW = '10.50.0.3';
      await weir('port', 'add', 'lab', VIP, '8080:80');
      await weir('vip', 'add', 'lab', NEW, '--wstype', 'web', '--ws', 'ws1.lab', 'ws2.lab', '--port', '80');
      for (const ws of ['ws1.lab', 'ws2.lab']) {
        const address = edge.lab.topology.wss.find(({ name }) => name === ws)?.address;
        await weir('ws', 'set', 'lab', NEW, ws, `address=${address}`);
      }
      await edge.publish();
      const start = Date.now();
      const added = await edge.during('add a port and a VIP', async () => {
        await edge.activate();
        await routed(NEW, both());
      });
      const route = edge.routes.changes(NEW, start).find(({ nexthops }) => nexthops.join() === both());
      expect(await waitFor('the new port to answer', answers(8080), waiting)).toBe(true);
      expectNoLoss(added);
      figures.add(
        'activate a new port and a new VIP',
        '0 failed, 0 downloads broken',
        added,
        `the VIP over both LBs after ${((Number(route?.at) - start) / 1000).toFixed(1)} s`,
      );
      await weir('port', 'remove', 'lab', VIP, '8080');
      await weir('vip', 'remove', 'lab', NEW);
      await edge.publish();
      const removed = await edge.during('remove a port and a VIP', () => edge.activate());
      await routed(NEW, '');
      expectNoLoss(removed);
      figures.add('activate their removal', '0 failed, 0 downloads broken', removed);
    });

    test('a rollback, and undo on an LB, lose nothing', async () => {
      const before = await revision();
      await weir('ws', 'set', 'lab', VIP, 'ws1.lab', 'weight=90');
      await publishAndActivate();
      const back = await edge.during('rollback', async () => {
        await weir('rollback', 'lab', '--to', String(before));
        await publishAndActivate();
      });
      expectNoLoss(back);
      figures.add('rollback, publish, activate', '0 failed, 0 downloads broken', back);
      const undone = await edge.during('undo', () => edge.on(edge.lb(1), 'weir undo'));
      expectNoLoss(undone);
      expect(await edge.on(edge.lb(1), 'ipvsadm -Sn')).toContain('-w 90');
      figures.add('`weir undo` on an LB', '0 failed, 0 downloads broken', undone);
      await publishAndActivate();
      expect(await edge.on(edge.lb(1), 'ipvsadm -Sn')).not.toContain('-w 90');
    });

    test('a configuration that an LB’s own check refuses reaches no kernel', async () => {
      const lb = edge.lb(2);
      // As a keepalived that does not know the scheduler would say it.
      const older = String.raw`#!/bin/sh
case " $* " in *" -t "*) echo "(/etc/keepalived/keepalived.conf: Line 3) Unknown scheduler" >&2; exit 4;; esac
exec /usr/sbin/keepalived "$@"`;
      const put = await lb.exec('cat >/usr/local/sbin/keepalived && chmod 0755 /usr/local/sbin/keepalived', {
        input: `${older}\n`,
      });
      expect(put.code).toBe(0);
      await weir('ws', 'set', 'lab', VIP, 'ws1.lab', 'weight=80');
      const before = await edge.on(lb, kernelState);
      const window = await edge.during('refused', async () => {
        const refused = await edge.weir(['publish', 'lab'], 1);
        expect(refused.out + refused.err).toContain('Unknown scheduler');
      });
      expect(await edge.on(lb, kernelState)).toBe(before);
      expectNoLoss(window);
      figures.add('publish what the check of an LB refuses', '0 failed; that LB as before', window);
      await edge.on(lb, 'rm /usr/local/sbin/keepalived');
      await weir('ws', 'set', 'lab', VIP, 'ws1.lab', 'weight=100');
      await publishAndActivate();
    });

    test('a WS is drained without a loss', async () => {
      await edge.probe.retarget([`${VIP}:80`, `${VIP}:443`]);
      const drained = await edge.during('WS drain', () =>
        edge.weir(['ws', 'drain', 'lab', 'ws3.lab', '--vip', VIP, '--no-wait']),
      );
      expectNoLoss(drained);
      figures.add('WS drain', '0 failed, 0 downloads broken', drained);
      // the clients leave it in their own time; that the kernel forgets closed connections takes two minutes
      await edge.probe.release('ws3.lab');
      await edge.probe.retarget(usual);
    });

    test('443 dead on all WSs takes nothing from port 80 of the same VIP', async () => {
      await edge.probe.retarget([`${VIP}:80`]);
      const window = await edge.during('443 dead', async () => {
        await Promise.all(edge.lab.wss.map((ws) => ws.block(443)));
        await waitFor(
          '443 to be without a WS',
          async () => !(await edge.on(edge.lb(1), 'ipvsadm -Ln')).match(/10\.30\.0\.\d+:443/),
          waiting,
        );
        await pause(5000);
      });
      expect(window.started).toBeGreaterThanOrEqual(1000);
      expect(window.failures).toEqual([]);
      expect(edge.routes.nexthops(VIP).join()).toBe(both());
      figures.add('443 dead on all WSs, policy `any`', 'port 80: 0 failed', window);
      await Promise.all(edge.lab.wss.map((ws) => ws.unblock(443)));
      await waitFor('443 to answer', answers(443), waiting);
      await edge.probe.retarget(usual);
    });

    test('443 dead for one LB: with the policy `all` its VIP goes to the other LB', async () => {
      await weir('vip', 'set', 'lab', VIP, 'announce=all');
      await publishAndActivate();
      await edge.probe.retarget([`${VIP}:80`, `${VIP}:443`]);
      const lb = edge.lb(1);
      const path = [lb.address, ...lb.lips].flatMap((source) => [['-s', source]]);
      const rule = (action: string) =>
        Promise.all(
          edge.lab.wss.flatMap((ws) =>
            path.map((from) =>
              ws.exec([
                'iptables',
                '-w',
                action,
                'INPUT',
                ...from,
                '-p',
                'tcp',
                '--dport',
                '443',
                '-j',
                'REJECT',
                '--reject-with',
                'tcp-reset',
              ]),
            ),
          ),
        );
      let at = 0;
      const window = await edge.during(
        '443 dead for one LB',
        async () => {
          at = Date.now();
          await rule('-A');
          await routed(VIP, addresses(edge.lb(2)));
        },
        2000,
      );
      const move = edge.routes.changes(VIP, at)[0]?.at ?? 0;
      const after = unmoved(window).filter((failure) => failure.at > move);
      expect(after).toEqual([]);
      figures.add(
        '443 dead for one LB, policy `all`',
        'losses end when the route changes',
        window,
        `route changed after ${((move - at) / 1000).toFixed(1)} s`,
      );
      const back = await edge.during('443 back', async () => {
        await rule('-D');
        await routed(VIP, both());
      });
      expect(unmoved(back)).toEqual([]);
      figures.add('443 back', '0 failed, but flows that were open when they were moved', back);
      await weir('vip', 'set', 'lab', VIP, 'announce=null');
      await publishAndActivate();
      await edge.probe.retarget(usual);
    });

    test('a WS that dies is left out within seconds', async () => {
      const ws = edge.ws(2);
      let at = 0;
      const dead = await edge.during('a WS dies', async () => {
        at = Date.now();
        await ws.exec(['ip', 'link', 'set', 'dev', 'eth0', 'down']);
        await pause(11_500);
      });
      // interval 1 s, timeout 3 s, one retry after 1 s with as long a timeout, and the checker's own time
      expect(dead.failures.filter((failure) => failure.at > at + 10_000)).toEqual([]);
      figures.add('a WS loses its link', 'losses end within 10 s', dead, last(dead, at));
      const back = await edge.during('a WS comes back', async () => {
        await ws.exec(['sh', '-c', 'ip link set dev eth0 up; ip route replace default via 10.30.0.1']);
        const isBack = async () => (await edge.on(edge.lb(1), 'ipvsadm -Sn')).includes(`-r ${ws.address}:80`);
        await waitFor('its return', isBack, waiting);
      });
      expect(back.failures).toEqual([]);
      figures.add('it comes back', '0 failed', back);
    });

    test('an LB that is drained for maintenance, and its return, lose no new connection', async () => {
      const lb = edge.lb(1);
      const drained = await edge.during('LB drain', async () => {
        await weir('lb', 'drain', 'lab', lb.name, '--reason', 'new disk');
        await routed(VIP, addresses(edge.lb(2)));
      });
      expect(unmoved(drained)).toEqual([]);
      expect(drained.started).toBeGreaterThanOrEqual(1000);
      figures.add('LB drain', '0 failed, but flows that were open when they were moved', drained);
      await edge.probe.reopenDownloads();
      const back = await edge.during('LB return', async () => {
        await weir('lb', 'undrain', 'lab', lb.name);
        await routed(VIP, both());
      });
      expect(unmoved(back)).toEqual([]);
      figures.add('LB return', '0 failed, but flows that were open when they were moved', back);
    });

    test('an LB that is cut off is left by all within the dead interval and a second, and comes back without a loss', async () => {
      const lb = edge.lb(2);
      const { dead } = edge.lab.topology.ospf;
      let at = 0;
      const window = await edge.during(
        'LB cut off',
        async () => {
          at = Date.now();
          await lb.kill();
          await routed(VIP, addresses(edge.lb(1)));
        },
        2000,
      );
      const change = edge.routes.changes(VIP, at)[0]?.at ?? 0;
      expect(window.failures.filter((failure) => failure.at > at + (dead + 1) * 1000)).toEqual([]);
      figures.add(
        'an LB is cut off',
        `losses end within ${dead + 1} s`,
        window,
        `${last(window, at)}; route changed after ${seconds(change - at)}`,
      );
      await edge.probe.reopenDownloads();
      const back = await edge.during('LB boots', async () => {
        await lb.boot();
        await routed(VIP, both());
      });
      expectReturn(back, 'it boots again');
      await waitFor('its status', isWell, waiting);
    });

    async function isWell(): Promise<boolean> {
      const { data } = await edge.client.call<ClusterStatusView>('/clusters/lab/status');
      return data.lbs.every((row) => row.state === 'ok');
    }

    test('an LB whose keepalived is killed is left by all within seconds, and comes back with it', async () => {
      const lb = edge.lb(1);
      let at = 0;
      const killed = await edge.during(
        'keepalived killed',
        async () => {
          at = Date.now();
          await edge.on(lb, 'kill -9 "$(cat /run/keepalived.pid)"');
          await routed(VIP, addresses(edge.lb(2)));
          await routed(STICKY, addresses(edge.lb(2)));
        },
        2000,
      );
      const change = edge.routes.changes(VIP, at)[0]?.at ?? 0;
      const back = await edge.during('keepalived back', async () => {
        await edge.on(lb, '/etc/init.d/keepalived start </dev/null >/dev/null 2>&1');
        await routed(VIP, both());
        await routed(STICKY, both());
      });
      // its checker empties the table before anything else on the LB can see that keepalived is dead
      expect(killed.failures.filter((failure) => failure.at > at + 4000)).toEqual([]);
      const words = `${last(killed, at)}; route changed after ${seconds(change - at)}`;
      figures.add('keepalived is killed', 'losses end within 4 s', killed, words);
      expectReturn(back, 'it is started again');
      await waitFor('its status', isWell, waiting);
    });

    test('Weir that is killed takes nothing along', async () => {
      const window = await edge.during('Weir killed', async () => {
        const { stdout } = await edge.lab.client.exec(['pgrep', '-f', 'weir serve --config']);
        await edge.lab.client.exec(['kill', '-9', ...stdout.trim().split('\n')]);
        await edge.weir(['lab', 'up']);
      });
      expectNoLoss(window);
      await waitFor('its status', isWell, waiting);
      figures.add('Weir is killed and started again', '0 failed, 0 downloads broken', window);
    });

    test('the drained WS is removed, and added again, without a loss', async () => {
      await edge.probe.retarget([`${VIP}:80`, `${VIP}:443`]);
      await edge.weir(['ws', 'drain', 'lab', 'ws3.lab', '--vip', VIP, '--timeout', '4m']);
      const removed = await edge.during('WS removed', async () => {
        await weir('ws', 'remove', 'lab', VIP, 'ws3.lab');
        await publishAndActivate();
      });
      expectNoLoss(removed);
      expect(removed.perWs['ws3.lab']).toBeUndefined();
      figures.add('WS removed after the drain', '0 failed, 0 downloads broken', removed);
      const added = await edge.during('WS added', async () => {
        await weir('ws', 'add', 'lab', VIP, 'ws3.lab');
        const address = (await document()).vip2ws.find(({ vip }) => vip === STICKY)?.wsattrs?.['ws3.lab']?.address;
        await weir('ws', 'set', 'lab', VIP, 'ws3.lab', `address=${address}`);
        await publishAndActivate();
      });
      expectNoLoss(added);
      figures.add('WS added', '0 failed, 0 downloads broken', added);
      const after = await edge.during('after', async () => undefined);
      expect(after.perWs['ws3.lab']).toBeGreaterThan(100);
    });
  },
);
