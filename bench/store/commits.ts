/** Commits through the state on both stores, beside the least that each of them can do durably. */
import { join } from 'node:path';
import Database from 'libsql';
import { median, ms, quantile, report } from '../measure.ts';
import { cpuOf } from '../processes.ts';
import { create, makePlace, nthChange, open } from './places.ts';
import type { Opened, Place } from './places.ts';

/** Of each case in a round: what one commit leaves to be done falls upon the next of its own. */
const IN_A_ROW = 20;
const ROUNDS = 40;
/** No round begins later than this, in ms. */
const LONGEST_MS = 100_000;
const sizes = [100, 1000] as const;

interface Case {
  name: string;
  work: () => Promise<unknown>;
  /** The case it stands beside; itself where left out. */
  bare?: Case;
  /** ms each. */
  samples: number[];
  /** Seconds of CPU in all: this process, and Redis. */
  cpu: { own: number; redis: number };
  /** Where it commits to. */
  place: Place;
}

export async function commits(): Promise<void> {
  const places = {
    mirrored: await makePlace('redis'),
    plain: await makePlace('redis'),
    file: await makePlace('sqlite'),
  };
  const set = newCase('Redis: plain SET', places.plain, () => places.plain.redis?.client.set('bare', 'x'.repeat(100)));
  const rows = openRows(places.file);
  const row = newCase('SQLite: one row', places.file, () => rows.insert());
  const opened = {
    mirrored: await open(places.mirrored, { mirror: true }),
    plain: await open(places.plain, { mirror: false }),
    file: await open(places.file, { mirror: false }),
  };
  const cases = [
    set,
    ...(await changes(opened.mirrored, { name: 'Redis with mirrors', place: places.mirrored, bare: set })),
    ...(await changes(opened.plain, { name: 'Redis, mirrors off', place: places.plain, bare: set })),
    row,
    ...(await changes(opened.file, { name: 'SQLite', place: places.file, bare: row })),
  ];
  await runInTurn(cases);
  report(`commits: one WS added or removed, ${sizes.join(' and ')} VIPs x 20 WSs`, cases.map(line));
  rows.close();
  for (const { close } of Object.values(opened)) await close();
  for (const { end } of Object.values(places)) await end();
}

/** One case per size. */
async function changes(
  { state }: Opened,
  { name, place, bare }: { name: string; place: Place; bare: Case },
): Promise<Case[]> {
  const cases: Case[] = [];
  for (const [i, vips] of sizes.entries()) {
    const cluster = await create(state, i, vips);
    let n = 0;
    const work = () => state.change({ cluster: cluster.name, calls: [nthChange(cluster, n++).call], by: 'bench' });
    cases.push({ ...newCase(`${name}, ${vips} VIPs`, place, work), bare });
  }
  return cases;
}

function newCase(name: string, place: Place, work: () => unknown): Case {
  return { name, place, work: async () => work(), samples: [], cpu: { own: 0, redis: 0 } };
}

/** One row and one transaction each, as durable as the embedded store. */
function openRows({ folder }: Place): { insert(): void; close(): void } {
  const db = new Database(join(folder, 'rows.db'));
  db.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE rows (text TEXT)');
  const statement = db.prepare('INSERT INTO rows (text) VALUES (?)');
  return {
    insert() {
      db.exec('BEGIN IMMEDIATE');
      statement.run(['x'.repeat(100)]);
      db.exec('COMMIT');
    },
    close: () => db.close(),
  };
}

async function runInTurn(cases: readonly Case[]): Promise<void> {
  const until = performance.now() + LONGEST_MS;
  for (const one of cases) for (let i = 0; i < 2 * IN_A_ROW; i++) await one.work();
  for (let round = 0; round < ROUNDS && performance.now() < until; round++) {
    for (const one of cases) await runSome(one);
  }
}

async function runSome(one: Case): Promise<void> {
  const redis = one.place.redis?.process.pid;
  const before = { own: cpuOf(process.pid), redis: redis === undefined ? 0 : cpuOf(redis) };
  for (let i = 0; i < IN_A_ROW; i++) {
    const began = performance.now();
    await one.work();
    one.samples.push(performance.now() - began);
  }
  one.cpu.own += cpuOf(process.pid) - before.own;
  if (redis !== undefined) one.cpu.redis += cpuOf(redis) - before.redis;
}

function line({ name, bare, samples, cpu }: Case): [string, string] {
  const all = samples.reduce((sum, sample) => sum + sample, 0);
  const parts = [
    `${((1000 * samples.length) / all).toFixed(0)}/s`,
    `p50 ${ms(median(samples))}`,
    `p99 ${ms(quantile(samples, 0.99))}`,
    `CPU ${ms((1000 * cpu.own) / samples.length)}`,
    ...(cpu.redis > 0 ? [`of Redis ${ms((1000 * cpu.redis) / samples.length)}`] : []),
    ...(bare ? [`p50 is ${(median(samples) / median(bare.samples)).toFixed(1)} times the bare one`] : []),
  ];
  return [name, parts.join(', ')];
}
