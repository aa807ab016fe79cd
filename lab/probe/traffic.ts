/** What the prober's three kinds of traffic have in common. Imports types only. */
import type { Tally } from './window.ts';

export interface Traffic {
  readonly limitMs: number;
  readonly stallMs: number;
  /** Present ones. */
  targets(): readonly string[];
  /** The client's next address. */
  nextSource(): string;
  /** Of the present window. */
  tally(): Tally;
}

/**
 * Calls back after so many ms, and after the answers that had arrived by then were read: where this process was late, it
 * would otherwise take its own lateness for that of the answer.
 */
export function afterReading(ms: number, callback: () => void): NodeJS.Timeout {
  return setTimeout(() => setImmediate(callback), ms);
}
