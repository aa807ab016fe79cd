/** With BFD an LB that vanishes takes almost nothing along. What was measured is told as a table. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { whyNoLab } from '../lab/lab.ts';
import { type LabEdge, openFigures, openLabEdge } from './testing/lab-edge.ts';

const reason = whyNoLab();
if (reason !== undefined) console.warn(`left out: the edge with BFD: ${reason}`);

const VIP = '10.50.0.1';
const minute = 60_000;

describe.skipIf(reason !== undefined)(
  `the edge with BFD${reason ? ` (left out: ${reason})` : ''}`,
  { timeout: 3 * minute },
  () => {
    let edge: LabEdge;
    const figures = openFigures();

    beforeAll(async () => {
      edge = await openLabEdge({ bfd: true, wss: 2, targets: [`${VIP}:80`] });
    }, 3 * minute);
    afterAll(async () => {
      figures.tell();
      await edge?.close();
    }, minute);
    beforeEach(async () => {
      await edge.probe.reopenDownloads();
    });

    const routed = (...numbers: number[]) => {
      const wanted = numbers.map((number) => edge.lb(number).address).join();
      return edge.routes.until(VIP, (hops) => hops.join() === wanted, minute);
    };

    test('an LB that is cut off is left by all within a second', async () => {
      let at = 0;
      const window = await edge.during('LB cut off', async () => {
        at = Date.now();
        await edge.lb(2).kill();
        await routed(1);
      });
      const change = edge.routes.changes(VIP, at)[0]?.at ?? 0;
      expect(window.failures.filter((failure) => failure.at > at + 1000)).toEqual([]);
      const last = window.failedSpan
        ? `the last ${((window.failedSpan.last - at) / 1000).toFixed(2)} s after it`
        : 'none';
      const words = `route changed after ${((change - at) / 1000).toFixed(2)} s`;
      figures.add('an LB is cut off, with BFD', 'losses end within 1 s', window, last, words);
    });

    test('publishing and activating lose nothing beside it', async () => {
      // A flow that the router moved as the LB came back breaks at its next packet: within this window, not the next.
      await edge.during('it boots again', async () => {
        await edge.lb(2).boot();
        await routed(1, 2);
      });
      await edge.probe.reopenDownloads();
      await edge.weir(['ws', 'set', 'lab', VIP, 'ws2.lab', 'weight=50']);
      const window = await edge.during('publish and activate', async () => {
        await edge.publish();
        await edge.activate();
      });
      const { failures, downloads, keepalive } = window;
      // Told where something breaks: a route that moved, or a WS that a check took out, takes its connections along.
      const moves = edge.routes.changes(VIP, window.from);
      expect({
        failures,
        moves,
        removed: edge.removed(window),
        kept: keepalive.kinds,
        broken: downloads.broken,
      }).toEqual({
        failures: [],
        moves: [],
        removed: [],
        kept: { reset: 0, closed: 0, timeout: 0, wrong: 0 },
        broken: { reset: 0, stalled: 0 },
      });
      figures.add('publish and activate a weight, with BFD', '0 failed, 0 downloads broken', window);
    });
  },
);
