/**
 * Publishing to one LB: one SSH session, one constant command, the bundle on its standard input.
 * Brings a release onto the machine and makes it the one that the next (re)load reads; never
 * signals a daemon. May import domain, render and remote.
 */
import type { RemoteExit, Remote, RemoteSession, Target } from '../remote/port.ts';
import type { Release } from '../render/cluster.ts';
import { deltaBundle, fullBundle } from './bundle.ts';
import { failureText, send, talk } from './conversation.ts';
import type { Told } from './conversation.ts';
import { untilLetIn, wasTurnedAway } from './let-in.ts';
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
  /** From connect to confirm. */
  timeoutMs: number;
  /** How long the machine may be busy with one thing; default: 60 s, twice its own longest limit. */
  silenceMs?: number;
  signal?: AbortSignal;
  onStep: (step: PublishStep) => void;
}

/** ms; what the script runs with a limit of its own has one of 30 s at most. */
const silenceMs = 60_000;

/** Bytes that are sent at once: a slow line is told from a dead one by their going on. */
const CHUNK = 64 * 1024;

type Done = 'published' | 'unchanged' | 'restored';

export async function publishToLb(options: PublishLb): Promise<LbOutcome> {
  const { result, turnedAway } = await untilLetIn(async (timeoutMs) => {
    const tried = await publishOnce({ ...options, timeoutMs });
    return { result: tried, turnedAway: wasTurnedAway(tried.exit, tried.told.heard) };
  }, options);
  const { told } = result;
  if (turnedAway > 0 && told.heard) told.warnings.push(`sshd or a jump host turned ${turnedAway} connections away`);
  if (turnedAway > 0 && !told.heard) {
    told.failure ??= { step: 'connect', message: `turned away ${turnedAway} times` };
  }
  return outcomeOf(result, options);
}

interface Published {
  told: Told<PublishStep>;
  exit: RemoteExit;
  done: Done | undefined;
}

async function publishOnce(options: PublishLb): Promise<Published> {
  const session = options.remote.run(options.target, options.sudo ? publishCommandSudo : publishCommand, {
    timeoutMs: options.timeoutMs,
    ...(options.signal ? { signal: options.signal } : {}),
  });
  let done: Done | undefined;
  const unsent: { unsent?: string } = {};
  const { told, exit } = await talk(requestLine(options), {
    session,
    steps: publishSteps,
    onStep: options.onStep,
    silenceMs: options.silenceMs ?? silenceMs,
    async onLine(word, rest, alive) {
      if (word === 'have') {
        await send(unsent, () => answer({ session, alive }, rest, options));
        session.end();
      } else if (word === 'done') {
        done = doneOf(rest.split(' ')[0]);
      } else {
        return false;
      }
      return true;
    },
  });
  return { told: { ...unsent, ...told }, exit, done };
}

function doneOf(what: string | undefined): Done | undefined {
  return what === 'published' || what === 'unchanged' || what === 'restored' ? what : undefined;
}

function requestLine({ release, fence, overwrite }: PublishLb): string {
  const fields = release
    ? ['publish', fence, release.id, release.services, release.dataplane, release.routing]
    : ['restore', fence, 'none', 0, 'none', 'none'];
  return `${['weir', 1, ...fields, overwrite ? 'yes' : 'no'].join(' ')}\n`;
}

interface Line {
  session: RemoteSession;
  /** Called whenever a part was taken. */
  alive: () => void;
}

async function answer(line: Line, have: string, { release, known }: PublishLb): Promise<void> {
  if (!release) return;
  const base = have === 'none' ? undefined : known(have);
  if (have === release.id) {
    await line.session.write('same\n');
  } else if (base) {
    await line.session.write(`delta ${base.id}\n`);
    await sendAll(line, await deltaBundle(base, release));
  } else {
    await line.session.write('full\n');
    await sendAll(line, await fullBundle(release));
  }
}

async function sendAll({ session, alive }: Line, parts: readonly Uint8Array[]): Promise<void> {
  for (const part of parts) {
    for (let at = 0; at < part.length; at += CHUNK) {
      await session.write(part.subarray(at, at + CHUNK));
      alive();
    }
  }
}

function outcomeOf({ told, exit, done }: Published, options: PublishLb): LbOutcome {
  const base = { warnings: told.warnings, bytes: exit.bytesSent };
  if (done && exit.code === 0) return { state: done, step: 'confirm', message: '', ...base };
  const step = told.failure?.step ?? told.step;
  if (options.signal?.aborted === true) return { state: 'cancelled', step, message: 'cancelled', ...base };
  return { state: 'failed', step, message: failureText(told, exit, options.timeoutMs), ...base };
}
