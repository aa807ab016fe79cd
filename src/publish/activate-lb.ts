/**
 * Activating on one LB: one SSH session that runs the agent of the published release with a request on
 * its standard input. The LB checks itself and goes back by itself; what happens to this session does not matter
 * to it. Also drain, undrain and undo, which are requests of the same kind.
 * May import domain, render and remote.
 */
import type { Remote, Target } from '../remote/port.ts';

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
    }
  | { action: 'undo' }
  | { action: 'drain'; reason: string }
  | { action: 'undrain' };

export interface LbOutcome {
  /** `undone`: changed, and put back by the LB; `failed`: nothing was changed, or it is not known (message says which). */
  state: 'activated' | 'unchanged' | 'undone' | 'drained' | 'undrained' | 'failed' | 'cancelled';
  step: ActivateStep;
  message: string;
  warnings: string[];
  bytes: number;
}

export interface AskLb {
  remote: Remote;
  target: Target;
  sudo: boolean;
  fence: number;
  request: LbRequest;
  timeoutMs: number;
  signal?: AbortSignal;
  onStep: (step: ActivateStep) => void;
}

export function askLb(_options: AskLb): Promise<LbOutcome> {
  return Promise.reject(new Error('not yet'));
}
