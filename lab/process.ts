/** Processes of this machine, told apart from later ones with the same ID. Imports nothing of ours. */
import { readdirSync, readFileSync } from 'node:fs';

export interface ProcessMark {
  readonly pid: number;
  /** Clock ticks from the boot of this machine to its start. */
  readonly start: string;
}

/** Undefined where there is no such process. */
export function markOf(pid: number): ProcessMark | undefined {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // proc(5): the name, field 2, may hold blanks and brackets; the start is field 22.
    const start = line.slice(line.lastIndexOf(')') + 2).split(' ')[19];
    return start === undefined ? undefined : { pid, start };
  } catch {
    return undefined;
  }
}

export function isAlive({ pid, start }: ProcessMark): boolean {
  return markOf(pid)?.start === start;
}

/** Nothing happens where it has ended. */
export function signal(mark: ProcessMark, name: NodeJS.Signals): void {
  try {
    if (isAlive(mark)) process.kill(mark.pid, name);
  } catch {
    // It has just ended by itself.
  }
}

/** Those whose arguments hold all of these words, each as a whole; `words` are all of its arguments. */
export function processesWith(wanted: readonly string[]): { pid: number; words: string[] }[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.flatMap((pid) => {
    const words = commandLine(pid);
    return wanted.every((word) => words.includes(word)) ? [{ pid: Number(pid), words }] : [];
  });
}

function commandLine(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}
