/**
 * wstype lookups per second and CPU per request of `weir serve` as it is run in production, beside
 * a bare node:http server that checks the same token and sends the same bytes; in turn, one run.
 * Needs a build (npm run build) and wrk (Debian).
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createClient } from '../src/client/client.ts';
import { makeCluster } from './clusters.ts';
import { machine, median, report } from './measure.ts';
import { cpuOf, serve, start, stop, token } from './processes.ts';
import type { Running } from './processes.ts';

const run = promisify(execFile);
const ROUNDS = 5;
const SECONDS = 4;
const CONNECTIONS = 32;

async function load(server: Running, path: string): Promise<{ rate: number; cpu: number }> {
  const before = cpuOf(server.pid);
  const args = [
    '-t',
    '1',
    '-c',
    String(CONNECTIONS),
    '-d',
    `${SECONDS}s`,
    '-H',
    `Authorization: Bearer ${token}`,
    server.url + path,
  ];
  const { stdout } = await run('wrk', args);
  const requests = Number(/(\d+) requests in/.exec(stdout)?.[1]);
  const rate = Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]);
  if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(stdout);
  return { rate, cpu: ((cpuOf(server.pid) - before) / requests) * 1e6 };
}

const folder = mkdtempSync(join(tmpdir(), 'weir-bench-'));
const weir = await serve({ WEIR_DATA: folder });
const client = createClient({ url: weir.url, token });
for (let i = 0; i < 10; i++) {
  await client.call('/clusters', { method: 'POST', body: makeCluster(`cluster${i}`, { lbs: 2, vips: 50, wss: 4 }, i) });
}
const path = '/api/v1/wstypes/type7/wss';
const { data } = await client.call<object>('/wstypes/type7/wss');
const body = Buffer.from(JSON.stringify(data));
const bare = await start(
  ['--import', 'tsx', join(import.meta.dirname, 'bare-server.ts'), token, body.toString('base64')],
  {},
);

const samples = { weir: [] as { rate: number; cpu: number }[], bare: [] as { rate: number; cpu: number }[] };
await load(weir, path);
await load(bare, path);
for (let round = 0; round < ROUNDS; round++) {
  samples.weir.push(await load(weir, path));
  samples.bare.push(await load(bare, path));
}
await stop(weir);
await stop(bare);
rmSync(folder, { recursive: true, force: true });

const rate = (name: 'weir' | 'bare') => median(samples[name].map((s) => s.rate));
const cpu = (name: 'weir' | 'bare') => median(samples[name].map((s) => s.cpu));
console.log(machine());
report(`wstype lookups, ${body.length} bytes, ${CONNECTIONS} connections, ${ROUNDS} rounds of ${SECONDS} s in turn`, [
  ['weir serve', `${rate('weir').toFixed(0)} requests/s, ${cpu('weir').toFixed(1)} µs CPU per request`],
  [
    'bare node:http with the same token check',
    `${rate('bare').toFixed(0)} requests/s, ${cpu('bare').toFixed(1)} µs CPU per request`,
  ],
  ['requests/s, share of bare (aim: 70 %)', `${((rate('weir') / rate('bare')) * 100).toFixed(0)} %`],
  ['CPU per request, bare / weir', `${((cpu('bare') / cpu('weir')) * 100).toFixed(0)} %`],
]);
