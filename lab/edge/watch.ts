/** Requests from the lab's client, for a person who watches what a change or a fault costs. */
import { setTimeout as pause } from 'node:timers/promises';
import { WeirError } from '../../src/domain/errors.ts';
import type { Lab } from '../lab.ts';
import { lossOf, startProbe, type Window } from '../probe/probe.ts';
import type { Tell } from './edge.ts';

export interface WatchOptions {
  /** `VIP:PORT` each; default: port 80 of every VIP of the lab. */
  readonly targets?: readonly string[] | undefined;
  /** Default: until the first SIGINT. */
  readonly seconds?: number | undefined;
  /** New connections per second; default 100. */
  readonly rate?: number | undefined;
  /** Default 0. */
  readonly downloads?: number | undefined;
}

/** Milliseconds between two lines. */
const everyMs = 2000;

const mostRate = 1000;

/** Tells a line every two seconds; answers how many requests failed and connections broke. */
export async function probeFor(lab: Lab, options: WatchOptions, tell: Tell): Promise<number> {
  const { targets = lab.topology.vips.map(({ address }) => `${address}:80`), rate = 100, downloads = 0 } = options;
  check(targets, rate);
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  const probe = await startProbe(lab.client, { targets, rate, downloads });
  const end = performance.now() + (options.seconds ?? Number.POSITIVE_INFINITY) * 1000;
  let failed = 0;
  const told = (window: Window): void => {
    const { reset, stalled } = window.downloads.broken;
    failed += window.failed + window.keepalive.breaks + reset + stalled;
    tell(`${new Date(window.from).toISOString().slice(11, 19)}  ${lossOf(window)}  ${sharesOf(window)}`);
  };
  while (performance.now() < end - 1 && !stop.signal.aborted) {
    await pause(Math.min(everyMs, end - performance.now()), undefined, { signal: stop.signal }).catch(() => undefined);
    told(await probe.window('watched'));
  }
  told(await probe.stop());
  return failed;
}

function check(targets: readonly string[], rate: number): void {
  const odd = targets.find((target) => !/^\d+\.\d+\.\d+\.\d+:\d{1,5}$/.test(target));
  if (odd !== undefined) throw new WeirError('usage', `${odd} is not VIP:PORT`, { hint: 'e.g. 10.50.0.1:80' });
  if (rate < 1 || rate > mostRate) {
    throw new WeirError('usage', `--rate ${rate} is not 1 to ${mostRate}`, { hint: 'e.g. --rate 100' });
  }
}

function sharesOf({ perWs }: Window): string {
  return Object.entries(perWs)
    .map(([ws, count]) => `${ws.split('.')[0]} ${count}`)
    .join(' ');
}
