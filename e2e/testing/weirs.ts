/** Several real `weir serve` processes on one store, to be killed and started again, and clients that write through all of them. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect } from 'vitest';
import { createClient } from '../../src/client/client.ts';
import type { Client } from '../../src/client/client.ts';
import type { HistoryRow, Page } from '../../src/contract/schemas.ts';
import { WeirError } from '../../src/domain/errors.ts';
import { clusterOf, vipOf } from '../fixtures.ts';
import { freePort } from '../../src/store/redis/testing.ts';

const program = join(import.meta.dirname, '..', '..', 'bin', 'weir');
const TOKEN = 'a-token-of-the-tests';

export interface Weir {
  readonly url: string;
  readonly client: Client;
  readonly process: ChildProcess;
  /** Lines of its log. */
  readonly log: string[];
  /** kill -9 */
  kill(): Promise<void>;
  /** On the same address. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

/** Waits until it listens. `settings`: flags without their dashes. */
export async function startWeir(settings: Readonly<Record<string, string | number>>): Promise<Weir> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-shared-'));
  const url = `http://127.0.0.1:${await freePort()}`;
  const log: string[] = [];
  const flags = { data: join(folder, 'data'), listen: url.slice('http://'.length), ...settings };
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
  let child = await start();

  async function start(): Promise<ChildProcess> {
    const env = { ...process.env, WEIR_ADMIN_TOKEN: TOKEN, WEIR_LOG_LEVEL: 'warn' };
    const started = spawn(program, ['serve', ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    createInterface(started.stderr).on('line', (line) => log.push(line));
    for await (const line of createInterface(started.stdout)) if (line.includes('listens on')) return started;
    throw new Error(`weir serve ended: ${log.slice(-3).join('\n')}`);
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }

  return {
    url,
    client: createClient({ url, token: TOKEN }),
    get process() {
      return child;
    },
    log,
    kill: () => end('SIGKILL'),
    async restart() {
      await end('SIGKILL');
      child = await start();
    },
    async close() {
      await end('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** What many clients got answered. */
export interface Written {
  /** Marks of changes that were acknowledged, by cluster. */
  acknowledged: Map<string, string[]>;
  /** Of those nobody knows. */
  unknown: Set<string>;
  /** Answers that were no success: HTTP status or error code, and how many. */
  refusals: Map<string, number>;
  /** Milliseconds of acknowledged changes. */
  took: number[];
}

export interface WriteOptions {
  weirs: readonly Weir[];
  /** How many: cluster-1, cluster-2 ... */
  clusters: number;
  clients: number;
  /** Between the changes of one client, in ms. */
  pauseMs: number;
  until: Promise<unknown>;
}

/** Each client changes the owner of a VIP again and again, every time to a mark of its own, at a Weir at random. */
export async function writeUntil({ weirs, clusters, clients, pauseMs, until }: WriteOptions): Promise<Written> {
  const written: Written = { acknowledged: new Map(), unknown: new Set(), refusals: new Map(), took: [] };
  const end = new AbortController();
  void until.finally(() => end.abort());
  await Promise.all(Array.from({ length: clients }, (_, client) => write(client)));
  return written;

  async function write(client: number): Promise<void> {
    for (let n = 0; !end.signal.aborted; n++) {
      const mark = `mark-${client}-${n}`;
      const number = 1 + Math.floor(Math.random() * clusters);
      const cluster = `cluster-${number}`;
      const weir = weirs[Math.floor(Math.random() * weirs.length)];
      const began = performance.now();
      try {
        await weir?.client.call(`/clusters/${cluster}/vips/${vipOf(number, 1).vip}`, {
          method: 'PATCH',
          body: { owner: mark },
          query: { message: mark },
          timeoutMs: 15_000,
        });
        written.took.push(performance.now() - began);
        written.acknowledged.set(cluster, [...(written.acknowledged.get(cluster) ?? []), mark]);
        if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
      } catch (thrown) {
        if (!(thrown instanceof WeirError)) throw thrown;
        written.unknown.add(mark);
        written.refusals.set(thrown.code, (written.refusals.get(thrown.code) ?? 0) + 1);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }
}

/** Makes cluster-1 ... of one VIP each. */
export async function makeClusters(weir: Weir, count: number): Promise<void> {
  const body = Array.from({ length: count }, (_, i) => clusterOf(i + 1));
  await weir.client.call('/clusters', { method: 'POST', body });
}

/** Everything acknowledged is in history once, nothing is twice, revisions have no gaps, and all Weirs answer the same. */
export async function expectKept(weirs: readonly Weir[], { acknowledged, unknown }: Written): Promise<void> {
  for (const [cluster, marks] of acknowledged) {
    const history = await wholeHistory(weirs[0], cluster);
    expect(history.map((row) => row.revision)).toEqual(history.map((_, i) => i + 1));
    const seen = new Map<string, number>();
    for (const { message = '' } of history) seen.set(message, (seen.get(message) ?? 0) + 1);
    expect(marks.filter((mark) => seen.get(mark) !== 1)).toEqual([]);
    expect([...seen].filter(([mark, times]) => unknown.has(mark) && times > 1)).toEqual([]);
    const least = { 'weir-at-least': String(history.at(-1)?.revision) };
    const answers = await Promise.all(
      weirs.map((weir) => weir.client.call(`/clusters/${cluster}`, { headers: least })),
    );
    for (const { data, headers } of answers) {
      expect(data).toEqual(answers[0]?.data);
      expect(headers.get('etag')).toBe(`"${history.length}"`);
    }
  }
}

/** Oldest first. */
export async function wholeHistory(weir: Pick<Weir, 'client'> | undefined, cluster: string): Promise<HistoryRow[]> {
  const rows: HistoryRow[] = [];
  let after: string | undefined;
  do {
    const query = { limit: 1000, after };
    const { data } = (await weir?.client.call<Page<HistoryRow>>(`/clusters/${cluster}/history`, { query })) ?? {
      data: { items: [], next: null },
    };
    rows.push(...data.items);
    after = data.next ?? undefined;
  } while (after !== undefined);
  return rows.toReversed();
}

/** The value at a share of sorted figures, e.g. 0.99. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
