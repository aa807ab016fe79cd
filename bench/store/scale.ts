/** A thousand clusters beside ten, on both stores: start-up, memory, and what one change costs at `weir serve`. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '../../src/client/client.ts';
import type { Client } from '../../src/client/client.ts';
import type { Cluster } from '../../src/domain/edge/model.ts';
import { makeCluster } from '../clusters.ts';
import { median, ms, quantile, report } from '../measure.ts';
import { cpuOf, memoryOf, serve, stop, token } from '../processes.ts';
import type { Running } from '../processes.ts';
import { fill, findAddresses, makePlace, nthChange, open } from './places.ts';
import type { Place } from './places.ts';

const VIPS = 100;
const FEW = 10;
const MANY = 1000;
const STARTS = 2;
const ROUNDS = 20;
const IN_A_ROW = 30;
/** Changes of one cluster before anything is measured, so that code is compiled. */
const WARM_UP = 150;
/** Clusters that are changed for the first time since the start. */
const FIRST = 200;
/** No round begins later than this, in ms. */
const LONGEST_MS = 60_000;

interface Case {
  name: string;
  clusters: number;
  place: Place;
  running: Running;
  client: Client;
  /** ms each: the first change of a cluster since the start, and the others. */
  first: number[];
  samples: number[];
  /** Seconds in all of `samples`. */
  cpu: { weir: number; redis: number };
}

export async function scale(): Promise<void> {
  const cases: Case[] = [];
  for (const kind of ['redis', 'sqlite'] as const) {
    for (const clusters of [FEW, MANY]) cases.push(await startOn(kind, clusters));
  }
  await changeInTurn(cases);
  report('one change over HTTP: one WS added or removed, 10 clusters in turn', [...cases.map(line), ...ratios(cases)]);
  for (const { running, place } of cases) {
    await stop(running);
    await place.end();
  }
}

/** Fills a store and leaves a server running on it. */
async function startOn(kind: 'redis' | 'sqlite', clusters: number): Promise<Case> {
  const name = `${kind === 'redis' ? 'Redis' : 'SQLite'}, ${clusters} clusters`;
  const place = await makePlace(kind);
  const opened = await open(place, { mirror: true });
  await fill(opened, { clusters, vips: VIPS });
  await opened.close();
  const plain = await startSome(place);
  await stop(plain.running);
  const again = await open(place, { mirror: true });
  await findAddresses(again);
  await again.close();
  const { running, told } = await startSome(place);
  report(`${name} x ${VIPS} VIPs x 20 WSs`, [
    ['documents alone', plain.told],
    ['with an address found for each WS', told],
  ]);
  const client = createClient({ url: running.url, token });
  return { name, clusters, place, running, client, first: [], samples: [], cpu: { weir: 0, redis: 0 } };
}

/** Starts a server some times, and leaves the last one running. */
async function startSome(place: Place): Promise<{ running: Running; told: string }> {
  const starts: number[] = [];
  const cpu: number[] = [];
  let running = await serveOn(place);
  for (;;) {
    starts.push(running.startedIn);
    cpu.push(1000 * cpuOf(running.pid));
    if (starts.length === STARTS) break;
    await stop(running);
    running = await serveOn(place);
  }
  await sleep(1000);
  const { now, peak } = memoryOf(running.pid);
  const parts = [
    `listens after ${starts.map(ms).join(', ')}`,
    `CPU ${cpu.map(ms).join(', ')}`,
    `RSS ${now.toFixed(0)} MB, at most ${peak.toFixed(0)} MB`,
    await keptBy(place),
  ];
  return { running, told: parts.join('; ') };
}

function serveOn({ address, folder }: Place): Promise<Running> {
  return serve({ WEIR_STORE: address, WEIR_DATA: folder, WEIR_LOG_LEVEL: 'warn' });
}

async function keptBy({ redis, folder }: Place): Promise<string> {
  if (!redis) {
    const files = readdirSync(folder).filter((name) => name.startsWith('weir.db'));
    const bytes = files.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
    return `${(bytes / 1e6).toFixed(0)} MB of files`;
  }
  const info = await redis.client.info('memory');
  const used = Number(/used_memory:(\d+)/.exec(info)?.[1]);
  return `${(used / 1e6).toFixed(0)} MB of Redis (used_memory)`;
}

async function changeInTurn(cases: readonly Case[]): Promise<void> {
  const clusters = Array.from({ length: FIRST }, (_, i) => makeCluster(`c${i}`, { lbs: 2, vips: VIPS, wss: 20 }, i));
  const [warm, ...others] = clusters as [Cluster, ...Cluster[]];
  for (const one of cases) for (let n = 0; n < WARM_UP; n++) await change(one, warm, n);
  for (const one of cases) {
    for (const cluster of others.slice(0, one.clusters - 1)) one.first.push(await change(one, cluster, 0));
    for (const cluster of others.slice(0, one.clusters - 1)) await change(one, cluster, 1);
  }
  const until = performance.now() + LONGEST_MS;
  for (let round = 0; round < ROUNDS && performance.now() < until; round++) {
    for (const one of cases) await changeSome(one, { clusters: clusters.slice(0, FEW), from: round * IN_A_ROW });
  }
}

async function changeSome(
  one: Case,
  { clusters, from }: { clusters: readonly Cluster[]; from: number },
): Promise<void> {
  const pids = { weir: one.running.pid, redis: one.place.redis?.process.pid };
  const before = { weir: cpuOf(pids.weir), redis: pids.redis === undefined ? 0 : cpuOf(pids.redis) };
  for (let i = 0; i < IN_A_ROW; i++) {
    const turn = from + i;
    const cluster = clusters[turn % FEW] as Cluster;
    one.samples.push(await change(one, cluster, WARM_UP + Math.floor(turn / FEW)));
  }
  one.cpu.weir += cpuOf(pids.weir) - before.weir;
  if (pids.redis !== undefined) one.cpu.redis += cpuOf(pids.redis) - before.redis;
}

/** Answers how long it took, in ms. */
async function change({ client }: Case, cluster: Cluster, n: number): Promise<number> {
  const { vip, ws, call } = nthChange(cluster, n);
  const wss = `/clusters/${cluster.name}/vips/${vip}/wss`;
  const began = performance.now();
  if (call.op === 'ws.add') await client.call(wss, { method: 'POST', body: { ws } });
  else await client.call(`${wss}/${ws}`, { method: 'DELETE' });
  return performance.now() - began;
}

function line({ name, first, samples, cpu }: Case): [string, string] {
  const each = (seconds: number) => ms((1000 * seconds) / samples.length);
  const parts = [
    `p50 ${ms(median(samples))}`,
    `p99 ${ms(quantile(samples, 0.99))}`,
    `CPU of weir ${each(cpu.weir)}`,
    `of Redis ${each(cpu.redis)}`,
    `first change of a cluster p50 ${ms(median(first))}`,
  ];
  return [name, parts.join(', ')];
}

/** Of many clusters to few. */
function ratios(cases: readonly Case[]): [string, string][] {
  return cases.flatMap((many, i) => {
    const few = cases[i - 1];
    if (!few || many.clusters === FEW) return [];
    const of = (figure: (one: Case) => number) => (figure(many) / figure(few)).toFixed(2);
    const parts = [
      `p50 ${of((one) => median(one.samples))}`,
      `CPU ${of((one) => one.cpu.weir)}`,
      `first change ${of((one) => median(one.first))}`,
    ];
    return [[`${many.name}: times ${FEW} clusters (aim: at most 2)`, parts.join(', ')]];
  });
}
