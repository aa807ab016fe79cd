/** Processes that benchmarks start, what they cost, and their end. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** Of the servers that are started. */
export const token = 'bench-token-0123456789abcdef0123456789';

export interface Running {
  child: ChildProcess;
  pid: number;
  url: string;
  /** ms from its start until it listens. */
  startedIn: number;
}

/** `weir serve` as it runs in production; needs a build. Its data folder and store are given by `env`. */
export function serve(env: Record<string, string>): Promise<Running> {
  return start([join(import.meta.dirname, '../bin/weir'), 'serve'], {
    WEIR_LISTEN: '127.0.0.1:0',
    WEIR_ADMIN_TOKEN: token,
    ...env,
  });
}

/** Node with these arguments; waits until it says where it listens. */
export async function start(args: string[], env: Record<string, string>): Promise<Running> {
  const began = performance.now();
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  process.once('exit', () => child.kill());
  for await (const line of createInterface({ input: child.stdout })) {
    const found = /listens on (http:\S+?),|listening (\d+)/.exec(line);
    const url = found?.[1] ?? `http://127.0.0.1:${found?.[2]}`;
    if (found) return { child, pid: child.pid ?? 0, url, startedIn: performance.now() - began };
  }
  throw new Error('the server did not start');
}

export async function stop({ child }: Pick<Running, 'child'>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill();
  await ended;
}

/** CPU seconds of a process so far: user and system, /proc/PID/stat fields 14 and 15 in ticks of 1/100 s. */
export function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** MB in memory, now and at most so far. */
export function memoryOf(pid: number): { now: number; peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const of = (name: string) => (Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024) / 1e6;
  return { now: of('VmRSS'), peak: of('VmHWM') };
}
