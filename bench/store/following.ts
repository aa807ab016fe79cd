/** From a commit at one process until another has it in memory, and until it can be read there over HTTP. */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '../../src/client/client.ts';
import type { Client } from '../../src/client/client.ts';
import { ms, quantile, report } from '../measure.ts';
import { serve, stop, token } from '../processes.ts';
import type { Notes } from './follower.ts';
import { create, makePlace, nthChange, open } from './places.ts';
import type { Place } from './places.ts';

const COMMITS = 800;
const WARM_UP = 100;
/** Between commits, so that each is followed by itself. */
const PAUSE_MS = 3;
/** No commit is made later than this after the first, in ms. */
const LONGEST_MS = 30_000;
const VIPS = 100;

export async function following(): Promise<void> {
  const place = await makePlace('redis');
  const opened = await open(place, { mirror: true });
  await create(opened.state, 0, VIPS);
  await opened.close();
  await inMemory(place);
  await overHttp(place);
  await place.end();
}

interface Sent {
  began: bigint;
  answered: bigint;
}

async function inMemory(place: Place): Promise<void> {
  const follower = fork(join(import.meta.dirname, 'follower.ts'), [place.address], { execArgv: ['--import', 'tsx'] });
  await once(follower, 'message');
  const { state, close } = await open(place, { mirror: true });
  const commits = new Map<string, Sent>();
  const entries = new Map<string, Sent>();
  const until = performance.now() + LONGEST_MS;
  for (let n = 0; n < COMMITS && performance.now() < until; n++) {
    const { cluster } = state.get('c0') ?? {};
    if (!cluster) throw new Error('no cluster');
    const calls = [nthChange(cluster, n).call];
    commits.set(
      String(state.revisionOf('c0') + 1),
      await timed(() => state.change({ cluster: 'c0', calls, by: 'bench' })),
    );
    await sleep(PAUSE_MS);
    entries.set(String(n), await timed(() => place.redis?.client.xadd('bare', '*', 'n', String(n))));
    await sleep(PAUSE_MS);
  }
  const notes = await notesOf(follower);
  await close();
  await stop({ child: follower });
  const weir = delays(commits, notes.revisions);
  const bare = delays(entries, notes.entries);
  report('from a commit at one process until another has it in memory', [
    ['since it was begun', spreadOf(weir.begun)],
    ['since it was answered (below 0: before)', spreadOf(weir.answered)],
    ['bare XADD and blocking XREAD, since it was begun', spreadOf(bare.begun)],
    ['bare, since it was answered', spreadOf(bare.answered)],
  ]);
}

async function timed(work: () => unknown): Promise<Sent> {
  const began = process.hrtime.bigint();
  await work();
  return { began, answered: process.hrtime.bigint() };
}

async function notesOf(follower: ChildProcess): Promise<Notes> {
  await sleep(500);
  follower.send('notes');
  const [notes] = (await once(follower, 'message')) as [Notes];
  return notes;
}

/** ms. */
function delays(sent: ReadonlyMap<string, Sent>, seen: readonly (readonly [string | number, string])[]) {
  const pairs = seen.flatMap(([key, at]) => {
    const from = sent.get(String(key));
    return from ? [{ from, at: BigInt(at) }] : [];
  });
  if (pairs.length !== sent.size) throw new Error(`${sent.size} were sent, ${pairs.length} were seen`);
  const since = (moment: keyof Sent) => pairs.slice(WARM_UP).map(({ from, at }) => Number(at - from[moment]) / 1e6);
  return { begun: since('began'), answered: since('answered') };
}

async function overHttp(place: Place): Promise<void> {
  const [writer, reader] = [await serveOn(place, 'a'), await serveOn(place, 'b')];
  const { at: atWriter } = writer;
  const { at: atReader } = reader;
  const figures = { seen: [] as number[], plain: [] as number[], old: 0 };
  const until = performance.now() + LONGEST_MS;
  for (let n = 0; n < COMMITS && performance.now() < until; n++) {
    const path = `/clusters/c0/vips/60.28.0.${1 + (n % VIPS)}`;
    const { headers } = await atWriter.call(path, { method: 'PATCH', body: { owner: `n${n}` } });
    const wanted = revisionOf(headers);
    let began = performance.now();
    const answered = began;
    for (;;) {
      const { headers: read } = await atReader.call('/clusters/c0');
      if (revisionOf(read) >= wanted) break;
      if (n >= WARM_UP) figures.old++;
    }
    if (n >= WARM_UP) figures.seen.push(performance.now() - answered);
    began = performance.now();
    await atReader.call('/clusters/c0');
    if (n >= WARM_UP) figures.plain.push(performance.now() - began);
  }
  await stop(writer.running);
  await stop(reader.running);
  report('from a change answered by one weir serve until a read at another shows it (100 VIPs over HTTP)', [
    ['answered until it was read', spreadOf(figures.seen)],
    ['a read alone', spreadOf(figures.plain)],
    ['reads in between that were older', `${figures.old} of ${figures.seen.length + figures.old}`],
  ]);
}

/** A client of its own each, so that neither tells the other's server what it has seen. */
async function serveOn(place: Place, name: string) {
  const running = await serve({
    WEIR_STORE: place.address,
    WEIR_DATA: join(place.folder, name),
    WEIR_LOG_LEVEL: 'warn',
  });
  const at: Client = createClient({ url: running.url, token });
  return { running, at };
}

function revisionOf(headers: Headers): number {
  return Number(headers.get('etag')?.replaceAll('"', ''));
}

function spreadOf(samples: readonly number[]): string {
  return `p50 ${ms(quantile(samples, 0.5))}, p99 ${ms(quantile(samples, 0.99))}, most ${ms(Math.max(...samples))}`;
}
