/**
 * Activating on one LB: one SSH session that runs the agent of the published release with a request on
 * its standard input. The LB checks itself and goes back by itself; what happens to this session does not matter
 * to it. Also drain, undrain and undo, which are requests of the same kind.
 * May import domain, render and remote.
 */
import type { Remote, RemoteExit, Target } from '../remote/port.ts';
import { failureText, talk } from './conversation.ts';
import type { Told } from './conversation.ts';
import { untilLetIn, wasTurnedAway } from './let-in.ts';

export const activateSteps = [
  'connect',
  'lock',
  'check',
  'guard',
  'host',
  'keepalived',
  'routing',
  'verify',
  'confirm',
  'undo',
] as const;
export type ActivateStep = (typeof activateSteps)[number];

/** What an LB is asked for. */
export type LbRequest =
  | {
      action: 'activate';
      /** Release that must be the published one. */
      release: string;
      /** Seconds that the checks after the reload may take until they pass. */
      waitSeconds: number;
      /** The document's state of the LB. */
      state: 'up' | 'drain';
      /** Restart Quagga where its files changed, with the VIPs withdrawn meanwhile; refused otherwise. */
      restartRouting?: boolean;
    }
  | { action: 'undo' }
  | {
      action: 'drain';
      /** Told beside the document, and so not ended by an activation of it. */
      override?: boolean;
      reason: string;
    }
  | { action: 'undrain' };

export interface LbOutcome {
  /** `undone`: changed, and put back by the LB; `failed`: see untouched. */
  state: 'activated' | 'unchanged' | 'undone' | 'drained' | 'undrained' | 'failed' | 'cancelled';
  step: ActivateStep;
  message: string;
  warnings: string[];
  bytes: number;
  /** It is known that nothing was changed: the LB said so, or was never reached. */
  untouched: boolean;
}

export interface AskLb {
  remote: Remote;
  target: Target;
  sudo: boolean;
  /** Highest seen wins: the machine refuses lower ones. */
  fence: number;
  request: LbRequest;
  /** The whole session, in ms. The LB goes on by itself where it ends earlier. */
  timeoutMs: number;
  signal?: AbortSignal;
  onStep: (step: ActivateStep) => void;
}

/** The agent of the published release. Constant; the request comes on its standard input. */
const script = `w=/etc/weir/bin/weir
[ -x $w ] || { echo; echo "fail connect nothing is published on this machine: it has no $w"; exit 1; }
exec $w remote`;

const askCommand = `exec sh -c '${script}'`;
const askCommandSudo = `exec sudo -n sh -c '${script}'`;

const outcomes = ['activated', 'unchanged', 'undone', 'drained', 'undrained'] as const;
type Done = (typeof outcomes)[number];

/** Steps at which nothing has been changed yet. */
const harmless: readonly ActivateStep[] = ['connect', 'lock', 'check', 'guard'];

export async function askLb(options: AskLb): Promise<LbOutcome> {
  const { result, turnedAway } = await untilLetIn(async (timeoutMs) => {
    const tried = await askOnce({ ...options, timeoutMs });
    return { result: tried, turnedAway: wasTurnedAway(tried.exit, tried.told.heard) };
  }, options);
  if (turnedAway > 0 && !result.told.heard) {
    result.told.failure ??= { step: 'connect', message: `turned away ${turnedAway} times` };
  }
  return outcomeOf(result, options);
}

interface Asked {
  told: Told<ActivateStep>;
  exit: RemoteExit;
  done: Done | undefined;
  undone: boolean;
}

async function askOnce(options: AskLb): Promise<Asked> {
  const session = options.remote.run(options.target, options.sudo ? askCommandSudo : askCommand, {
    timeoutMs: options.timeoutMs,
    ...(options.signal ? { signal: options.signal } : {}),
  });
  let done: Done | undefined;
  let undone = false;
  const { told, exit } = await talk(requestLine(options), {
    session,
    steps: activateSteps,
    onStep: options.onStep,
    onLine: (word, rest) => {
      if (word === 'undone') undone = true;
      else if (word === 'done') done = outcomes.find((o) => o === rest.split(' ')[0]);
      else return false;
      return true;
    },
  });
  return { told, exit, done, undone };
}

function outcomeOf({ told, exit, done, undone }: Asked, options: AskLb): LbOutcome {
  const base = { warnings: told.warnings, bytes: exit.bytesSent, untouched: false };
  if (done && exit.code === 0) return { state: done, step: told.step, message: '', ...base };
  const step = told.failure?.step ?? told.step;
  const words = failureText(told, exit, options.timeoutMs);
  if (undone) return { state: 'undone', step, message: words, ...base };
  const neverReached = !told.heard && !exit.timedOut && exit.code !== null;
  const untouched = neverReached || (told.failure !== undefined && harmless.includes(step));
  const cancelled = options.signal?.aborted === true;
  const why = cancelled ? 'cancelled' : words;
  const message = untouched ? why : `${why}; the LB finishes or goes back by itself: weir status tells`;
  return { state: cancelled ? 'cancelled' : 'failed', step, message, ...base, untouched };
}

function requestLine({ fence, request }: AskLb): string {
  const head = ['weir', 1, request.action, fence];
  switch (request.action) {
    case 'activate':
      return `${[...head, request.release, request.waitSeconds, request.state, request.restartRouting ? 'restart' : 'keep'].join(' ')}\n`;
    case 'drain':
      return `${[...head, request.override ? 'override' : 'weir', request.reason.replaceAll(/\s+/g, ' ').trim().slice(0, 200)].join(' ')}\n`;
    case 'undo':
    case 'undrain':
      return `${head.join(' ')}\n`;
  }
}
