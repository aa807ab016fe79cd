/** Waiting for a state that nothing tells of. Imports domain/errors only. */
import { setTimeout as pause } from 'node:timers/promises';
import { messageOf, WeirError } from '../src/domain/errors.ts';

export interface WaitOptions {
  /** Default 10 s. A probe that is under way at that time still counts. */
  readonly timeoutMs?: number;
  /** Between the end of a probe and the next; default 50 ms. */
  readonly everyMs?: number;
  /** Ends the waiting with the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * Asks the probe until it answers something else than false or undefined, and gives that. A probe that throws is asked
 * again; what it threw last is told where the time is over.
 */
export async function waitFor<T>(
  description: string,
  probe: () => T | Promise<T>,
  { timeoutMs = 10_000, everyMs = 50, signal }: WaitOptions = {},
): Promise<Exclude<T, false | undefined>> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    signal?.throwIfAborted();
    let failure: unknown;
    try {
      const answer = await probe();
      if (answer !== false && answer !== undefined) return answer as Exclude<T, false | undefined>;
    } catch (error) {
      failure = error;
    }
    if (performance.now() >= end) throw tooLate(`Waited ${timeoutMs} ms for ${description}`, failure);
    // An abort is noticed at the start of the next round.
    await pause(everyMs, undefined, signal ? { signal } : {}).catch(() => undefined);
  }
}

function tooLate(message: string, failure: unknown): WeirError {
  if (failure === undefined) return new WeirError('failed', message);
  return new WeirError('failed', `${message}: ${messageOf(failure)}`, { cause: failure });
}
