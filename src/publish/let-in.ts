/**
 * Connecting again where a machine turned the connection away before anything was said on it: sshd that has too many
 * unfinished logins at once (MaxStartups), or a jump host that has. Nothing had begun, so trying again is safe.
 * May import remote.
 */
import { setTimeout as wait } from 'node:timers/promises';
import type { RemoteExit } from '../remote/port.ts';

/** Between tries, in ms, before chance is added: all LBs behind one jump host are turned away at once. */
const delaysMs = [500, 1000, 2000, 4000] as const;

export interface LetIn {
  /** For all tries together. */
  timeoutMs: number;
  signal?: AbortSignal | undefined;
  /** Between 0 and 1. */
  random?: () => number;
}

export interface Try<T> {
  result: T;
  turnedAway: boolean;
}

/** The result of the first try that was let in, or of the last; and how many were not. */
export async function untilLetIn<T>(
  attempt: (timeoutMs: number) => Promise<Try<T>>,
  { timeoutMs, signal, random = Math.random }: LetIn,
): Promise<{ result: T; turnedAway: number }> {
  const end = performance.now() + timeoutMs;
  for (let turnedAway = 0; ; turnedAway += 1) {
    const tried = await attempt(Math.max(1, end - performance.now()));
    if (!tried.turnedAway) return { result: tried.result, turnedAway };
    const delay = delaysMs[turnedAway];
    const pause = delay === undefined ? Infinity : delay * (0.5 + random());
    const over = signal?.aborted === true || performance.now() + pause > end;
    if (over || !(await waited(pause, signal))) return { result: tried.result, turnedAway: turnedAway + 1 };
  }
}

/** False where the signal came first. */
function waited(ms: number, signal: AbortSignal | undefined): Promise<boolean> {
  return wait(ms, undefined, { signal }).then(
    () => true,
    () => false,
  );
}

/**
 * Whether a machine turned a session away that it might let in later: ssh ended before the two sides had even told
 * their versions. Refused, timed-out and unknown machines, and host keys that do not fit, are answers.
 */
export function wasTurnedAway({ code, stderr }: RemoteExit, heard: boolean): boolean {
  if (heard || code !== 255) return false;
  if (/refused|timed out|No route|unreachable|open failed/i.test(stderr)) return false;
  return /(kex|ssh)_exchange_identification: .*(closed|reset|Exceeded|Not allowed)/i.test(stderr);
}
