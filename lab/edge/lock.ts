/** One `weir lab` command at a time changes the lab. Imports domain/errors only. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { WeirError } from '../../src/domain/errors.ts';

/** Seconds that another command is waited for: one that was killed lets go within a moment. */
const patience = 5;

/** flock's exit code where another one holds the lock. */
const held = 75;

/** Does the work while no other process does such work on the same folder. The lock ends with this process. */
export async function exclusively<T>(folder: string, work: () => Promise<T>): Promise<T> {
  await mkdir(folder, { recursive: true, mode: 0o755 });
  const release = await acquire(join(folder, 'lock'));
  try {
    return await work();
  } finally {
    await release();
  }
}

async function acquire(file: string): Promise<() => Promise<void>> {
  const flock = ['--exclusive', '--wait', String(patience), '--conflict-exit-code', String(held), file];
  const holder = spawn('flock', [...flock, 'sh', '-c', 'echo held; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    // Ctrl-C is for the work.
    detached: true,
  });
  const closed = once(holder, 'close') as Promise<[number | null]>;
  const line = once(createInterface({ input: holder.stdout }), 'line').then(() => 'held' as const);
  const first = await Promise.race([line, closed.then(([code]) => code)]);
  if (first !== 'held') throw refusal(file, first);
  return async () => {
    holder.stdin.end();
    await closed;
  };
}

function refusal(file: string, code: number | null): WeirError {
  if (code !== held) return new WeirError('failed', `${file} could not be locked: flock ended with ${code}`);
  return new WeirError('conflict', 'Another weir lab command is at work', {
    hint: 'wait until it has ended, or end it; weir lab down then removes what it left',
  });
}
