/**
 * `weir lab ...`: the lab that stays, for people. Everything that makes machines is loaded when it is asked for, so that
 * other commands start as quickly as without it. May import src/cli's command type; main.ts puts these into its table.
 */
import { constants } from 'node:os';
import { resolve } from 'node:path';
import type { Command, CommandContext, Output } from '../../src/cli/command.ts';
import { WeirError } from '../../src/domain/errors.ts';
import type { Edge, EdgeOptions } from './edge.ts';

const up: Command = {
  name: 'lab up',
  summary: 'Bring up a real edge on this machine: LBs, router, WSs, a client, and Weir with its cluster activated',
  options: [
    { flags: '--lbs <count>', help: 'LBs, 1 to 8; default 2' },
    { flags: '--wss <count>', help: 'WSs, 1 to 64; default 3' },
    { flags: '--announce <style>', help: 'how VIPs are announced: network (default) or redistribute' },
    { flags: '--synproxy', help: 'the LBs answer SYNs themselves' },
    { flags: '--second <count>', help: 'LBs of a second cluster, lab2, to move VIPs to' },
    { flags: '--bfd', help: 'BFD beside OSPF: an LB that vanishes is noticed within a second' },
    { flags: '--install', help: 'install the Debian packages that are missing' },
    { flags: '--listen <address>', help: 'ADDRESS:PORT of Weir; default 127.0.0.1:8084, or a free port' },
    { flags: '--store <store>', help: 'as WEIR_STORE; default the embedded one, which ends with the lab' },
  ],
  examples: ['weir lab up', 'weir lab up --lbs 3 --wss 5 --bfd --install', 'weir lab up --second 2 --synproxy'],
  async run(context) {
    requireRoot();
    const options = edgeOptions(context.options);
    // What runs ends with this process; an orderly end removes the folder too.
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, () => process.exit(1));
    // FRR and nginx read files here that are not theirs.
    process.umask(0o022);
    const [{ requireLab }, { bringUp }] = await Promise.all([import('./install.ts'), import('./edge.ts')]);
    await requireLab(options.directory, {
      install: context.options['install'] === true,
      tell: (line) => context.note(line),
    });
    const started = performance.now();
    const seconds = (): string => ((performance.now() - started) / 1000).toFixed(1);
    const { resumed, ...edge } = await bringUp(options, (line) => context.note(`${seconds().padStart(5)} s  ${line}`));
    context.note(resumed ? 'the lab is up already' : `${seconds().padStart(5)} s  requests are answered`);
    return statusOutput(edge);
  },
};

const status: Command = {
  name: 'lab status',
  summary: 'Show the lab: machines, routes, the address of its Weir and the token',
  examples: ['weir lab status', 'weir lab status -o json'],
  async run() {
    return statusOutput(await edge());
  },
};

const run: Command = {
  name: 'lab run',
  summary: 'Run a command in the lab’s client, and end with its exit code',
  args: '<command...>',
  output: 'none',
  examples: ['weir lab run -- curl -s http://10.50.0.1/', 'weir lab run -- bash'],
  async run(_context, [words]) {
    const { lab } = await edge();
    const child = lab.client.spawn(['env', `--chdir=${process.cwd()}`, '--', ...(words as string[])], 'inherit');
    return { data: null, text: '', exit: await exitOf(child) };
  },
};

const probe: Command = {
  name: 'lab probe',
  summary: 'Send requests from the client and tell every two seconds what was lost',
  options: [
    { flags: '--target <target...>', help: 'VIP:PORT, by HTTPS where the port is 443; default port 80 of every VIP' },
    { flags: '--rate <rate>', help: 'new connections per second, up to 1000; default 100' },
    { flags: '--seconds <seconds>', help: 'how long; default until Ctrl-C' },
    { flags: '--downloads <count>', help: 'long downloads beside them; default 0' },
  ],
  examples: ['weir lab probe', 'weir lab probe --seconds 20 --downloads 30 --target 10.50.0.1:80 10.50.0.1:443'],
  async run(context) {
    const { target, ...given } = context.options as { target?: string[] };
    const wanted = given as Readonly<Record<string, unknown>>;
    const seconds = count(wanted['seconds'], '--seconds');
    const numbers = { rate: count(wanted['rate'], '--rate'), downloads: count(wanted['downloads'], '--downloads') };
    const { lab } = await edge();
    const { probeFor } = await import('./watch.ts');
    const failed = await probeFor(lab, { targets: target, seconds, ...numbers }, (line) => context.note(line));
    return { data: { failed }, text: '', exit: failed > 0 ? 1 : 0 };
  },
};

const kill: Command = {
  name: 'lab kill',
  summary: 'Cut the power of an LB of the lab',
  args: '<lb>',
  output: 'none',
  examples: ['weir lab kill lb1'],
  run: (_context, [name]) =>
    atLb(String(name), async (lb) => {
      if (!(await lb.running())) return `${lb.name} has no power already`;
      await lb.kill();
      return `${lb.name}: power cut`;
    }),
};

const start: Command = {
  name: 'lab start',
  summary: 'Boot an LB of the lab again',
  args: '<lb>',
  output: 'none',
  examples: ['weir lab start lb1'],
  run: (_context, [name]) =>
    atLb(String(name), async (lb) => {
      if (await lb.running()) return `${lb.name} runs already`;
      await lb.boot();
      return `${lb.name} has booted`;
    }),
};

const down: Command = {
  name: 'lab down',
  summary: 'End the lab and everything it started',
  output: 'none',
  examples: ['weir lab down'],
  async run() {
    requireRoot();
    const { takeDown } = await import('./edge.ts');
    const was = await takeDown(directory());
    return { data: null, text: was ? 'the lab is down\n' : 'no lab was up\n' };
  },
};

export const labCommands: readonly Command[] = [up, status, run, probe, kill, start, down];

function edgeOptions(given: CommandContext['options']): EdgeOptions {
  return {
    directory: directory(),
    lbs: count(given['lbs'], '--lbs'),
    wss: count(given['wss'], '--wss'),
    bfd: given['bfd'] === true ? true : undefined,
    announce: announceOf(given['announce']),
    synproxy: given['synproxy'] === true ? true : undefined,
    second: count(given['second'], '--second'),
    listen: given['listen'] as string | undefined,
    store: storeOf(given['store'] as string | undefined),
  };
}

function announceOf(text: unknown): EdgeOptions['announce'] {
  if (text === undefined || text === 'network' || text === 'redistribute') return text;
  throw new WeirError('usage', `--announce ${String(text)} is no style`, { hint: 'write network or redistribute' });
}

/** Weir's folder is another than this one. */
function storeOf(text: string | undefined): string | undefined {
  const [, path] = /^sqlite:(.+)$/.exec(text ?? '') ?? [];
  return path === undefined ? text : `sqlite:${resolve(path)}`;
}

/** Undefined: where labs lie. */
function directory(): string | undefined {
  return process.env['WEIR_LAB'] || undefined;
}

function count(text: unknown, flag: string): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,4}$/.test(String(text))) return Number(text);
  throw new WeirError('usage', `${flag} ${String(text)} is no count`, { hint: `write e.g. ${flag} 2` });
}

async function edge(): Promise<Edge> {
  requireRoot();
  const { findEdge } = await import('./edge.ts');
  return findEdge(directory());
}

/** Others can neither see nor end what a lab is made of. */
function requireRoot(): void {
  if (process.platform === 'linux' && process.geteuid?.() === 0) return;
  throw new WeirError('unavailable', 'a lab needs root on Linux', { hint: 'run it as root, or with sudo' });
}

async function atLb(name: string, work: (lb: Edge['lab']['lbs'][number]) => Promise<string>): Promise<Output> {
  requireRoot();
  process.umask(0o022);
  const { changeLb } = await import('./edge.ts');
  return { data: null, text: `${await changeLb(name, work, directory())}\n` };
}

async function statusOutput(edge: Edge): Promise<Output> {
  const { describe, viewOf } = await import('./describe.ts');
  const view = await viewOf(edge);
  return { data: view, text: describe(view) };
}

/** A program that a signal ended has its number above 128, as in a shell. */
function exitOf(child: ReturnType<Edge['lab']['client']['spawn']>): Promise<number> {
  // They go to the whole foreground; this process ends after the program.
  for (const name of ['SIGINT', 'SIGQUIT'] as const) process.on(name, () => undefined);
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)));
  });
}
