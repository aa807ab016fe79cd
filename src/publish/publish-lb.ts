/**
 * Publishing to one LB: one SSH session, one constant command, the bundle on its standard input.
 * Brings a release onto the machine and makes it the one that the next (re)load reads; never
 * signals a daemon. May import domain, render and remote.
 */
import type { RemoteExit, Remote, RemoteSession, Target } from '../remote/port.ts';
import type { Release } from '../render/cluster.ts';
import { messageOf, WeirError } from '../domain/errors.ts';
import { deltaBundle, fullBundle } from './bundle.ts';
import { publishCommand, publishCommandSudo } from './script.ts';

export const publishSteps = ['connect', 'lock', 'stage', 'check', 'backup', 'switch', 'confirm', 'restore'] as const;
export type PublishStep = (typeof publishSteps)[number];

export type LbOutcome =
  | {
      state: 'published' | 'unchanged' | 'restored';
      step: PublishStep;
      message: string;
      warnings: string[];
      bytes: number;
    }
  | { state: 'failed' | 'cancelled'; step: PublishStep; message: string; warnings: string[]; bytes: number };

export interface PublishLb {
  remote: Remote;
  target: Target;
  sudo: boolean;
  /** Highest seen wins: the machine refuses lower ones. */
  fence: number;
  /** Left out: put back what was there before the first publication. */
  release?: Release;
  /** A release that the machine may have, by its ID, to send only what differs. */
  known: (id: string) => Release | undefined;
  /** Replace live files that were changed by hand; copies are kept on the machine. */
  overwrite: boolean;
  timeoutMs: number;
  signal?: AbortSignal;
  onStep: (step: PublishStep) => void;
}

export async function publishToLb(options: PublishLb): Promise<LbOutcome> {
  const session = options.remote.run(options.target, options.sudo ? publishCommandSudo : publishCommand, {
    timeoutMs: options.timeoutMs,
    ...(options.signal ? { signal: options.signal } : {}),
  });
  const progress: Progress = { step: 'connect', warnings: [], strange: [] };
  options.onStep('connect');
  try {
    await send(progress, () => session.write(requestLine(options)));
    for await (const line of session.lines) await onLine(line, { session, progress, options });
  } catch (thrown) {
    progress.failure ??= { step: progress.step, message: messageOf(thrown) };
    session.kill();
  }
  session.end();
  const exit = await session.done;
  return outcomeOf(progress, exit, options);
}

/** A write fails when the other side gave up; what it said last is still to be read. */
async function send(progress: Progress, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (thrown) {
    if (!(thrown instanceof WeirError)) throw thrown;
    progress.unsent = thrown.message;
  }
}

interface Progress {
  step: PublishStep;
  warnings: string[];
  /** The last lines that are not the script's: of a login script, or of what took the place of a shell. */
  strange: string[];
  /** Why not all was sent; the machine's own words come first. */
  unsent?: string;
  failure?: { step: PublishStep; message: string };
  done?: 'published' | 'unchanged' | 'restored';
}

function requestLine({ release, fence, overwrite }: PublishLb): string {
  const action = release ? 'publish' : 'restore';
  const fields = [
    'weir',
    1,
    action,
    fence,
    release?.id ?? 'none',
    release?.services ?? 0,
    release?.dataplane ?? 'none',
  ];
  return `${[...fields, overwrite ? 'yes' : 'no'].join(' ')}\n`;
}

interface LineContext {
  session: RemoteSession;
  progress: Progress;
  options: PublishLb;
}

async function onLine(line: string, { session, progress, options }: LineContext): Promise<void> {
  const [word, rest] = splitOnce(line);
  switch (word) {
    case 'step':
      progress.step = stepOf(rest, progress.step);
      options.onStep(progress.step);
      return;
    case 'have':
      await send(progress, () => answer(session, options.release, { have: rest, known: options.known }));
      session.end();
      return;
    case 'warn':
      if (progress.warnings.length < 20) progress.warnings.push(rest);
      return;
    case 'fail': {
      const [step, message] = splitOnce(rest);
      progress.failure = { step: stepOf(step, progress.step), message };
      return;
    }
    case 'done': {
      const [what] = splitOnce(rest);
      if (what === 'published' || what === 'unchanged' || what === 'restored') progress.done = what;
      return;
    }
    default:
      if (line.trim() !== '') progress.strange = [...progress.strange, line.slice(0, 200)].slice(-3);
      return;
  }
}

async function answer(
  session: RemoteSession,
  release: Release | undefined,
  { have, known }: { have: string; known: PublishLb['known'] },
): Promise<void> {
  if (!release) return;
  const base = have === 'none' ? undefined : known(have);
  if (have === release.id) {
    await session.write('same\n');
  } else if (base) {
    await session.write(`delta ${base.id}\n`);
    for (const part of await deltaBundle(base, release)) await session.write(part);
  } else {
    await session.write('full\n');
    for (const part of await fullBundle(release)) await session.write(part);
  }
}

function splitOnce(text: string): [string, string] {
  const space = text.indexOf(' ');
  return space < 0 ? [text, ''] : [text.slice(0, space), text.slice(space + 1)];
}

function stepOf(text: string, otherwise: PublishStep): PublishStep {
  return publishSteps.find((s) => s === text) ?? otherwise;
}

function outcomeOf(progress: Progress, exit: RemoteExit, options: PublishLb): LbOutcome {
  const base = { warnings: progress.warnings, bytes: exit.bytesSent };
  if (progress.done && exit.code === 0) return { state: progress.done, step: 'confirm', message: '', ...base };
  const step = progress.failure?.step ?? progress.step;
  if (options.signal?.aborted === true) return { state: 'cancelled', step, message: 'cancelled', ...base };
  return { state: 'failed', step, message: failureText(progress, exit, options), ...base };
}

/** Our words first, then the other program's own. */
function failureText(progress: Progress, exit: RemoteExit, options: PublishLb): string {
  const words = exit.stderr.trim().split('\n').slice(-5).join('; ');
  if (exit.timedOut) return `no answer within ${Math.round(options.timeoutMs / 1000)} s${words ? `: ${words}` : ''}`;
  const own = progress.failure?.message;
  if (own !== undefined) return words ? `${own}: ${words}` : own;
  if (words) return words;
  if (progress.strange.length > 0) return progress.strange.join('; ');
  if (exit.code === 0 && progress.unsent !== undefined) return progress.unsent;
  return exit.code === null ? 'ssh was ended by a signal' : `ssh ended with code ${exit.code} and without a word`;
}
