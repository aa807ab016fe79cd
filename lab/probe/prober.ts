/**
 * A program that sends traffic and counts what becomes of it: new connections at a steady rate, keep-alive connections,
 * long downloads. It runs where the clients are (`node prober.js OPTIONS`), driven by JSON lines on standard input, see
 * protocol.ts; probe.ts is its controller. It ends with its standard input. Imports Node and this folder only.
 */
import { createInterface } from 'node:readline';
import { startDownloads } from './downloads.ts';
import { startKeepalives } from './keepalives.ts';
import type { Command, ProberOptions, Reply } from './protocol.ts';
import { startRequests } from './requests.ts';
import type { Traffic } from './traffic.ts';
import { openTally, type Window } from './window.ts';

run(JSON.parse(process.argv[2] ?? '') as ProberOptions);

function run(options: ProberOptions): void {
  const { rate = 100, keepalives: count = 10, downloads: most = 30, downloadPath: path = '/slow' } = options;
  const { limitMs = 3000, stallMs = 5000, sources } = options;
  let { targets } = options;
  let tally = openTally();
  let dialled = 0;
  let stopped = false;
  const nextSource = (): string => sources[dialled++ % sources.length] ?? '0.0.0.0';
  const traffic: Traffic = { limitMs, stallMs, targets: () => targets, nextSource, tally: () => tally };
  const requests = startRequests(traffic, rate);
  const keepalives = startKeepalives(traffic, count);
  const downloads = startDownloads(traffic, { count: most, path });

  function mark(name: string): Promise<Window> {
    if (!stopped) requests.catchUp();
    const window = tally.close(name, { keepalives: keepalives.open(), downloads: downloads.live() });
    tally = openTally();
    return window;
  }

  function retarget(to: readonly string[]): void {
    requests.catchUp();
    targets = to;
    keepalives.retarget();
    downloads.retarget();
  }

  async function stop(id?: number): Promise<void> {
    if (stopped) return;
    const last = mark('last');
    stopped = true;
    requests.stop();
    keepalives.stop();
    downloads.stop();
    tell({ told: 'window', window: await last, ...named(id) }, () => process.exit(0));
  }

  async function obey(command: Command): Promise<void> {
    const id = named(command.id);
    switch (command.do) {
      case 'mark':
        return tell({ told: 'window', window: await mark(command.name), ...id });
      case 'retarget':
        retarget(command.targets);
        return tell({ told: 'retargeted', ...id });
      case 'reopen':
        return tell({ told: 'reopened', count: await downloads.reopen(), ...id });
      case 'release':
        keepalives.renew();
        return tell({ told: 'reopened', count: await downloads.release(command.ws), ...id });
      case 'stop':
        return stop(command.id);
    }
  }

  void Promise.all([requests.first, keepalives.first, downloads.first]).then(() => tell({ told: 'running' }));
  const commands = createInterface({ input: process.stdin });
  commands.on('line', (line) => void obey(JSON.parse(line) as Command));
  commands.on('close', () => void stop());
  // Nobody reads any more.
  process.stdout.on('error', () => process.exit(1));
}

function named(id: number | undefined): { id?: number } {
  return id === undefined ? {} : { id };
}

function tell(reply: Reply, written?: () => void): void {
  process.stdout.write(`${JSON.stringify(reply)}\n`, written);
}
