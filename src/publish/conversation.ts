/**
 * What is said between Weir and a program on an LB, over one session: a line of request, then the program's lines
 * `step NAME`, `warn TEXT`, `fail STEP TEXT` and its own words. Shared by publishing and activation.
 * May import domain and remote.
 */
import { messageOf, WeirError } from '../domain/errors.ts';
import type { RemoteExit, RemoteSession } from '../remote/port.ts';

/** What an LB's lines have told so far. */
export interface Told<Step extends string> {
  step: Step;
  /** Whether it said anything, an empty line included. */
  heard: boolean;
  warnings: string[];
  /** The last lines that are not the program's: of a login script, or of what took the place of a shell. */
  strange: string[];
  /** Why not all was sent; the machine's own words come first. */
  unsent?: string;
  failure?: { step: Step; message: string };
}

export interface Talk<Step extends string> {
  session: RemoteSession;
  steps: readonly Step[];
  onStep: (step: Step) => void;
  /**
   * How long the machine may say nothing once it has spoken, in ms; default: for the whole session. Before, ssh's own
   * limits hold.
   */
  silenceMs?: number;
  /** A line that is not one of all programs; answers whether it was understood. Calls `alive` while it sends much. */
  onLine: (word: string, rest: string, alive: () => void) => boolean | Promise<boolean>;
}

const WARNINGS = 20;

/** Sends the request, reads lines to their end, and answers what was told and how the session ended. */
export async function talk<Step extends string>(
  request: string,
  { session, steps, onStep, onLine, silenceMs }: Talk<Step>,
): Promise<{ told: Told<Step>; exit: RemoteExit }> {
  const [first] = steps;
  if (first === undefined) throw new Error('a conversation has steps');
  const told: Told<Step> = { step: first, heard: false, warnings: [], strange: [] };
  const stepOf = (text: string): Step => steps.find((s) => s === text) ?? told.step;
  const silence = watchSilence(silenceMs, (words) => {
    told.failure ??= { step: told.step, message: words };
    session.kill();
  });
  onStep(first);
  try {
    await send(told, () => session.write(request));
    for await (const line of session.lines) {
      told.heard = true;
      silence.broken();
      const [word, rest] = splitOnce(line);
      if (word === 'step') {
        told.step = stepOf(rest);
        onStep(told.step);
      } else if (word === 'warn') {
        if (told.warnings.length < WARNINGS) told.warnings.push(rest);
      } else if (word === 'fail') {
        const [step, message] = splitOnce(rest);
        told.failure = { step: stepOf(step), message };
      } else if (!(await onLine(word, rest, silence.broken)) && line.trim() !== '') {
        told.strange = [...told.strange, line.slice(0, 200)].slice(-3);
      }
    }
  } catch (thrown) {
    told.failure ??= { step: told.step, message: messageOf(thrown) };
    session.kill();
  }
  silence.stop();
  session.end();
  return { told, exit: await session.done };
}

interface Silence {
  broken: () => void;
  stop: () => void;
}

function watchSilence(limitMs: number | undefined, onSilence: (words: string) => void): Silence {
  if (limitMs === undefined) return { broken() {}, stop() {} };
  const words = `no word for ${Math.round(limitMs / 1000)} s`;
  let timer: NodeJS.Timeout | undefined;
  return {
    broken: () => void (timer ? timer.refresh() : (timer = setTimeout(() => onSilence(words), limitMs))),
    stop: () => clearTimeout(timer),
  };
}

/** A write fails when the other side gave up; what it said last is still to be read. */
export async function send(told: { unsent?: string }, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (thrown) {
    if (!(thrown instanceof WeirError)) throw thrown;
    told.unsent = thrown.message;
  }
}

export function splitOnce(text: string): [string, string] {
  const space = text.indexOf(' ');
  return space < 0 ? [text, ''] : [text.slice(0, space), text.slice(space + 1)];
}

/** Why it failed: our words first, then the other program's own. */
export function failureText(told: Told<string>, exit: RemoteExit, timeoutMs: number): string {
  const words = exit.stderr.trim().split('\n').slice(-5).join('; ');
  if (exit.timedOut) return `no answer within ${Math.round(timeoutMs / 1000)} s${words ? `: ${words}` : ''}`;
  const own = told.failure?.message;
  if (own !== undefined) return words ? `${own}: ${words}` : own;
  if (words) return words;
  if (told.strange.length > 0) return told.strange.join('; ');
  if (exit.code === 0 && told.unsent !== undefined) return told.unsent;
  return exit.code === null ? 'ssh was ended by a signal' : `ssh ended with code ${exit.code} and without a word`;
}
