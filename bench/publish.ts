/**
 * Publishing to 50 test hosts through the whole server, beside 50 equally parallel `ssh HOST true`,
 * fresh connections in both, in turn. Counts connections, bytes and processes on the machine.
 * Root on Linux.
 */
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { pino } from 'pino';
import { createClient } from '../src/client/client.ts';
import type { PublicationView } from '../src/contract/schemas.ts';
import { startServer } from '../src/server.ts';
import { openTestHosts, whyNoTestHosts } from '../src/remote/test-hosts.ts';
import type { TestHost } from '../src/remote/test-hosts.ts';
import { readSettings } from '../src/settings.ts';
import { makeCluster, makeAddresses } from './clusters.ts';
import { machine, median, ms, report } from './measure.ts';

const HOSTS = 50;
const PARALLEL = 50;
const ROUNDS = 5;

/** Processes that the machine has made so far. */
function forks(): number {
  return Number(/^processes (\d+)/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1]);
}

interface Cost {
  time: number;
  processes: number;
}

async function cost(work: () => Promise<unknown>): Promise<Cost> {
  const before = forks();
  const start = performance.now();
  await work();
  return { time: performance.now() - start, processes: forks() - before };
}

function sshTrue(config: string, host: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const child = spawn('ssh', ['-F', config, '-T', '-o', 'BatchMode=yes', host, 'true'], { stdio: 'ignore' });
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve(undefined) : reject(new Error(`ssh ${host}: ${code}`))));
  });
}

async function main(): Promise<void> {
  const reason = whyNoTestHosts();
  if (reason !== undefined) {
    console.log(`publishing is left out: ${reason}`);
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'weir-bench-'));
  const cluster = makeCluster('edge', { lbs: HOSTS, vips: 20, wss: 4 });
  const hostsFile = join(folder, 'hosts');
  const found = Object.entries(makeAddresses(cluster).found).map(([name, f]) => `${f.address} ${name}`);
  const extra = Array.from({ length: ROUNDS }, (_, i) => `10.200.0.${i + 1} extra${i}.hy01`);
  writeFileSync(hostsFile, `${[...found, ...extra].join('\n')}\n`);
  const hosts = await openTestHosts();
  try {
    const running = await hosts.startMany(cluster.lbinfos.map((lb) => lb.hostname));
    const flags = {
      listen: '127.0.0.1:0',
      data: join(folder, 'data'),
      hosts: hostsFile,
      ssh_config: hosts.configFile,
      ssh_parallel: String(PARALLEL),
    };
    const server = await startServer({ settings: readSettings({ flags, env: {} }), logger: pino({ level: 'silent' }) });
    const client = createClient({ url: server.url, token: server.token });
    await client.call('/clusters', { method: 'POST', body: cluster });
    await measure(client, { config: hosts.configFile, hosts: running });
    await server.close();
  } finally {
    await hosts.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measure(
  client: ReturnType<typeof createClient>,
  given: { config: string; hosts: TestHost[] },
): Promise<void> {
  const vip = makeCluster('edge', { lbs: 1, vips: 1, wss: 1 }).vip2ws[0]?.vip;
  const limit = pLimit(PARALLEL);
  const bare = () => cost(() => Promise.all(given.hosts.map((h) => limit(() => sshTrue(given.config, h.name)))));
  let last: PublicationView | undefined;
  const publish = () =>
    cost(async () => {
      const { data } = await client.call<PublicationView>('/clusters/edge/publications', { method: 'POST', body: {} });
      for await (const message of client.stream(`/clusters/edge/publications/${data.id}/events`)) {
        if (message.event === 'end') last = message.data as PublicationView;
      }
      const failed = Object.entries(last?.lbs ?? {}).filter(([, lb]) => lb.state === 'failed');
      if (failed.length > 0) throw new Error(`${failed[0]?.[0]}: ${failed[0]?.[1].message}`);
    });
  const bytes = () => Object.values(last?.lbs ?? {}).reduce((sum, lb) => sum + lb.bytes, 0) / HOSTS;
  const connections = () => sumLines(given.hosts, 'Accepted publickey');

  await bare();
  const first = await publish();
  const firstBytes = bytes();
  const rows: { bare: Cost; change: Cost; same: Cost }[] = [];
  let changeBytes = 0;
  let opened = 0;
  for (let round = 0; round < ROUNDS; round++) {
    await client.call(`/clusters/edge/vips/${vip}/wss`, { method: 'POST', body: `extra${round}.hy01` });
    const beside = await bare();
    const before = connections();
    const change = await publish();
    opened = connections() - before;
    changeBytes = bytes();
    rows.push({ bare: beside, change, same: await publish() });
  }
  const of = (pick: (row: (typeof rows)[number]) => number) => median(rows.map(pick));
  console.log(machine());
  report(
    `publishing to ${HOSTS} test hosts (20 VIPs x 2 ports x 4 WSs), ${PARALLEL} at once, median of ${ROUNDS} rounds in turn`,
    [
      [
        '50 x ssh HOST true',
        `${ms(of((r) => r.bare.time))}, ${of((r) => r.bare.processes) / HOSTS} processes per host`,
      ],
      [
        'publish after one WS was added',
        `${ms(of((r) => r.change.time))}, ${of((r) => r.change.processes) / HOSTS} processes per host`,
      ],
      ['ratio, round by round (aim: at most 1.5)', of((r) => r.change.time / r.bare.time).toFixed(2)],
      ['connections per LB', String(opened / HOSTS)],
      ['bytes sent per LB', changeBytes.toFixed(0)],
      [
        'publish again, nothing changed',
        `${ms(of((r) => r.same.time))}, ${of((r) => r.same.processes) / HOSTS} processes per host`,
      ],
      ['ratio, round by round', of((r) => r.same.time / r.bare.time).toFixed(2)],
      [
        'first publication (takes over, whole release)',
        `${ms(first.time)}, ${first.processes / HOSTS} processes per host, ${firstBytes.toFixed(0)} bytes per LB`,
      ],
    ],
  );
}

function sumLines(hosts: readonly TestHost[], text: string): number {
  return hosts.reduce((sum, host) => sum + readFileSync(host.logFile, 'utf8').split(text).length - 1, 0);
}

await main();
