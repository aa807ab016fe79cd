/** Many writers at once, restarts and kill -9: no acknowledged change is lost, and nothing is given out twice. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ChangeResult, HistoryRow } from '../src/contract/schemas.ts';
import { createClient } from '../src/client/client.ts';
import type { Cluster } from '../src/domain/edge/model.ts';
import { applyCalls } from '../src/domain/edge/operations.ts';
import {
  clusterOf,
  create,
  everything,
  expectDone,
  expectProblem,
  lbOf,
  pages,
  portOf,
  v1,
  vipOf,
} from './fixtures.ts';
import type { Reply, Sent } from './fixtures.ts';
import { startTestServer } from './harness.ts';
import type { TestServer } from './harness.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});

afterAll(() => server.close());

async function historyOf(name: string): Promise<HistoryRow[]> {
  return (await pages<HistoryRow>(server, `/clusters/${name}/history`)).flatMap((p) => p.items).toReversed();
}

/** Revisions 1, 2, 3 ... whose operations, run anew, give each document that history has, and the present one. */
async function expectReplayable(name: string): Promise<void> {
  const rows = await historyOf(name);
  expect(rows.map((r) => r.revision)).toEqual(rows.map((_, i) => i + 1));
  let replayed: Cluster | undefined;
  for (const row of rows) {
    const applied = applyCalls(
      replayed,
      row.operations.map(({ op, input }) => ({ op, input })),
    );
    if (!applied.ok) throw new Error(JSON.stringify(applied.problems));
    replayed = applied.cluster;
    if (row.revision % 7 !== 0 && row.revision !== rows.length) continue;
    const then = expectDone(await v1(server, `/clusters/${name}/history/${row.revision}`)).json<{
      document: unknown;
    }>();
    expect(then.document).toEqual(replayed ?? null);
  }
  const present = expectDone(await v1(server, `/clusters/${name}`));
  expect(present.json()).toEqual(replayed);
  expect(present.headers.etag).toBe(`"${rows.length}"`);
}

/** The ith of many changes that each leave a mark of their own. */
function markOf(n: number, i: number): Sent & { path: string } {
  const cluster = `/clusters/cluster-${n}`;
  const vip = `${cluster}/vips/${vipOf(n, 1).vip}`;
  const host = `mark${i}.room${n}`;
  switch (i % 5) {
    case 0:
      return { method: 'POST', path: `${cluster}/vips`, json: vipOf(n, 20 + i, { owner: host }) };
    case 1:
      return { method: 'POST', path: `${vip}/wss`, json: { ws: host, weight: i } };
    case 2:
      return { method: 'POST', path: `${vip}/ports`, json: portOf(10_000 + i) };
    case 3:
      return { method: 'POST', path: `${cluster}/lbs`, json: lbOf(n, 1 + i / 5, { hostname: host, ...marked(n, i) }) };
    default:
      return {
        method: 'POST',
        path: `${cluster}/batch`,
        json: { operations: [{ op: 'ws.add', vip: vipOf(n, 1).vip, wss: [host] }] },
      };
  }
}

function marked(n: number, i: number): { internalip: string; routerid: string; lips: string[] } {
  const address = `10.100.${n}.${10 + i}`;
  return { internalip: address, routerid: address, lips: [`10.101.${n}.${i}`] };
}

test('of 200 writers of one cluster each has its change in the document and once in history', async () => {
  const n = 1;
  await create(server, clusterOf(n));
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const replies = await Promise.all(
    Array.from({ length: 200 }, (_, i) => {
      const { path, ...sent } = markOf(n, i);
      return v1(server, `${path}?message=mark-${i}`, { ...sent, ...(i % 2 === 0 ? { agent } : {}) });
    }),
  );
  agent.destroy();
  const revisions = replies.map((r) => expectDone(r).json<ChangeResult>().revision);
  expect(revisions.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, i) => i + 2));
  const rows = await historyOf(`cluster-${n}`);
  const byRevision = new Map(rows.map((r) => [r.revision, r.message]));
  revisions.forEach((revision, i) => expect(byRevision.get(revision)).toBe(`mark-${i}`));
  const document = expectDone(await v1(server, `/clusters/cluster-${n}`)).json<Cluster>();
  const [vip] = document.vip2ws;
  expect(document.vip2ws).toHaveLength(1 + 40);
  expect(document.lbinfos).toHaveLength(1 + 40);
  expect(vip?.wss).toHaveLength(2 + 80);
  expect(vip?.ports).toHaveLength(2 + 40);
  expect(Object.keys(vip?.wsattrs ?? {})).toHaveLength(40);
  await expectReplayable(`cluster-${n}`);
});

test('of two writers with the same If-Match exactly one wins, again and again', async () => {
  const n = 2;
  await create(server, clusterOf(n));
  const path = `/clusters/cluster-${n}/vips/${vipOf(n, 1).vip}`;
  for (let round = 1; round <= 30; round++) {
    const replies = await Promise.all(
      ['a', 'b', 'c'].map((name) =>
        v1(server, path, {
          method: 'PATCH',
          json: { owner: `${name} ${round}` },
          headers: { 'if-match': `"${round}"` },
        }),
      ),
    );
    const won = replies.filter((r) => r.status === 200);
    expect(won).toHaveLength(1);
    expect(won[0]?.headers.etag).toBe(`"${round + 1}"`);
    for (const lost of replies.filter((r) => r.status !== 200)) {
      expect(expectProblem(lost, { status: 412 }).revision).toBe(round + 1);
      expect(lost.headers.etag).toBe(`"${round + 1}"`);
    }
  }
  await expectReplayable(`cluster-${n}`);
});

test('creating, deleting and changing one name at once leaves no gap and no half', async () => {
  const n = 3;
  const path = `/clusters/cluster-${n}`;
  const replies: Reply[] = await Promise.all(
    Array.from({ length: 90 }, (_, i) => {
      if (i % 3 === 0) return v1(server, '/clusters', { method: 'POST', json: clusterOf(n) });
      if (i % 3 === 1) return v1(server, path, { method: 'PATCH', json: { ospf: { cost: i + 1 } } });
      return v1(server, path, { method: 'DELETE' });
    }),
  );
  const accepted = replies.filter((r) => r.status < 300).map((r) => r.json<ChangeResult>());
  for (const refused of replies.filter((r) => r.status >= 300)) expect([404, 409]).toContain(refused.status);
  const made = accepted.filter((r) => r.changed).map((r) => r.revision);
  expect(made.toSorted((a, b) => a - b)).toEqual(made.map((_, i) => i + 1));
  const rows = await historyOf(`cluster-${n}`);
  expect(rows.map((r) => r.revision)).toEqual(made.map((_, i) => i + 1));
  if (rows.at(-1)?.deleted === false) await expectReplayable(`cluster-${n}`);
});

test('200 LBs added to 200 clusters of one subnet at once share no LIP, router-id or address', async () => {
  const subnet = {
    internalnetmask: '255.255.252.0',
    internalgateway: '10.80.0.1',
    ospfnet: '10.80.0.0/22',
    lipcount: 4,
  };
  const clusters = Array.from({ length: 200 }, (_, i) => clusterOf(1000 + i, { lbinfos: [] }));
  await Promise.all(clusters.map((c) => create(server, c)));
  const added = await Promise.all(
    clusters.map(({ name }, i) => {
      const internalip = `10.80.${(i + 2) >> 8}.${(i + 2) & 255}`;
      const json = lbOf(1000 + i, 1, { ...subnet, internalip, routerid: internalip });
      return v1(server, `/clusters/${name}/lbs`, { method: 'POST', json });
    }),
  );
  const lips = added.flatMap((r) => Object.values(expectDone(r).json<ChangeResult>().lips).flat());
  expect(lips).toHaveLength(800);
  const rows = (await pages<{ internalip: string; routerid: string; lips: string[]; cluster: string }>(server, '/lbs'))
    .flatMap((p) => p.items)
    .filter((r) => clusters.some((c) => c.name === r.cluster));
  expect(rows).toHaveLength(200);
  expect(rows.flatMap((r) => r.lips).toSorted()).toEqual(lips.toSorted());
  const addresses = [...rows.flatMap((r) => [r.internalip, ...r.lips]), subnet.internalgateway];
  expect(new Set(addresses).size).toBe(200 + 800 + 1);
  expect(new Set(rows.map((r) => r.routerid)).size).toBe(200);
  const more = lbOf(1, 1, { ...subnet, hostname: 'full.room', internalip: '10.80.3.254', routerid: '10.80.3.254' });
  const refused = await v1(server, '/clusters/cluster-1/lbs', { method: 'POST', json: more });
  expect(expectProblem(refused, { status: 409, code: 'address_claimed' }).problems.length).toBeGreaterThan(0);
});

test('of clusters that want the same VIP at once exactly one gets it', async () => {
  const shared = { vipnets: ['172.31.0.0/24'], vip2ws: [vipOf(1, 1, { vip: '172.31.0.1' })] };
  const replies = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      v1(server, '/clusters', { method: 'POST', json: clusterOf(1300 + i, shared) }),
    ),
  );
  expect(replies.filter((r) => r.status === 201)).toHaveLength(1);
  for (const reply of replies.filter((r) => r.status !== 201)) {
    expectProblem(reply, { status: 409, code: 'vip_claimed', path: 'vip2ws[0].vip' });
  }
});

test('a restart keeps documents, LIPs, history, claims and quarantine', async () => {
  expectDone(await v1(server, `/clusters/cluster-1/lbs/${lbOf(1, 1).hostname}`, { method: 'DELETE' }));
  const before = await everything(server);
  await server.restart();
  expect(await everything(server)).toEqual({ ...(before as object), events: 0 });
  await expectReplayable('cluster-1');
  const taken = await v1(server, '/clusters', { method: 'POST', json: clusterOf(1400, { lbinfos: [lbOf(1000, 1)] }) });
  expectProblem(taken, { status: 409, code: 'lb_claimed' });
});

// kill -9 ------------------------------------------------------------------------------------

interface Child {
  process: ChildProcess;
  url: string;
  token: string;
}

const main = new URL('../src/main.ts', import.meta.url).href;

async function serve(data: string): Promise<Child> {
  const code = `const { main } = await import(${JSON.stringify(main)}); await main(process.argv.slice(1));`;
  const args = ['--import', 'tsx', '--input-type=module', '-e', code, 'serve', '--listen', '127.0.0.1:0'];
  const child = spawn(process.execPath, [...args, '--data', data, '--log-level', 'silent'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /listens on (\S+),/.exec(line)?.[1];
    if (url === undefined) continue;
    return { process: child, url, token: (await readFile(join(data, 'admin-token'), 'utf8')).trim() };
  }
  throw new Error('the server ended before it listened');
}

test('a server killed while it is written to has every acknowledged change afterwards, without gaps', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'weir-kill-'));
  const acknowledged = new Map<number, string>();
  try {
    for (let round = 0; round < 2; round++) {
      const child = await serve(folder);
      const client = createClient(child);
      if (round === 0) await client.call('/clusters', { method: 'POST', body: clusterOf(1) });
      const ended = once(child.process, 'exit');
      const writer = async (name: number) => {
        for (let i = 0; ; i++) {
          const owner = `${round}/${name}/${i}`;
          const path = `/clusters/cluster-1/vips/${vipOf(1, 1).vip}`;
          const { data } = await client.call<ChangeResult>(path, { method: 'PATCH', body: { owner } });
          acknowledged.set(data.revision, owner);
          if (acknowledged.size >= 60 * (round + 1)) child.process.kill('SIGKILL');
        }
      };
      const writers = await Promise.allSettled(Array.from({ length: 8 }, (_, name) => writer(name)));
      expect(writers.every((w) => w.status === 'rejected')).toBe(true);
      expect(await ended).toEqual([null, 'SIGKILL']);
    }
    const child = await serve(folder);
    const client = createClient(child);
    const { data } = await client.call<{ items: HistoryRow[] }>('/clusters/cluster-1/history', {
      query: { limit: 1000 },
    });
    const rows = data.items.toReversed();
    expect(rows.map((r) => r.revision)).toEqual(rows.map((_, i) => i + 1));
    expect(acknowledged.size).toBeGreaterThanOrEqual(120);
    for (const [revision, owner] of acknowledged) {
      expect(rows[revision - 1]?.operations).toEqual([
        { op: 'vip.set', input: { vip: vipOf(1, 1).vip, set: { owner } } },
      ]);
    }
    const { data: document, headers } = await client.call<Cluster>('/clusters/cluster-1');
    const newest = rows.at(-1)?.operations[0]?.input as { set: { owner: string } };
    expect(document.vip2ws[0]?.owner).toBe(newest.set.owner);
    expect(headers.get('etag')).toBe(`"${rows.length}"`);
    const ended = once(child.process, 'exit');
    child.process.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
