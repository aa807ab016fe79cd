/**
 * Asking one LB for something at once, under the lease of its cluster: to withdraw its VIPs (drain) and
 * announce them again, or to go back to what it ran before its last activation (undo).
 */
import type { Cluster, Lb } from '../domain/edge/model.ts';
import { WeirError } from '../domain/errors.ts';
import { warning } from '../domain/problem.ts';
import type { Problem } from '../domain/problem.ts';
import { askLb } from '../publish/activate-lb.ts';
import type { LbOutcome, LbRequest } from '../publish/activate-lb.ts';
import type { Remote } from '../remote/port.ts';
import type { State } from '../store/state.ts';
import { newId } from './lb-jobs.ts';
import type { JobOptions } from './lb-jobs.ts';
import { changedNothing, chosenLbs, sudoOf, targetOf } from './lbs.ts';
import { holdLbs } from './leases.ts';
import type { Held } from './leases.ts';
import type { PublishedReleases } from './published.ts';
import { mustGet } from './releases.ts';

/** What an LB answered. */
export interface MachineAnswer {
  /** `unasked` in a dry run. */
  state: LbOutcome['state'] | 'unasked';
  message: string;
  warnings: readonly string[];
}

export interface LbAnswer {
  cluster: string;
  lb: string;
  /** Of the document, after it. */
  revision: number;
  /** The document's state of the LB, after it. */
  state: 'up' | 'drain';
  machine: MachineAnswer;
  warnings: readonly Problem[];
}

export interface DrainRequest {
  cluster: string;
  lb: string;
  by: string;
  /** What the LB is to be. */
  to: 'drain' | 'up';
  /** Why, on one line: kept on the LB, and in history where there is no message. */
  reason?: string | undefined;
  /** Why, kept in history. */
  message?: string | undefined;
  /** Only the LB is told; the document stays as it is. */
  override?: boolean | undefined;
  dryRun?: boolean | undefined;
  /** Refuse unless this is the current revision. */
  expected?: number | undefined;
}

export interface UndoRequest {
  cluster: string;
  lb: string;
}

export interface LbRequests {
  drain(request: DrainRequest): Promise<LbAnswer>;
  undo(request: UndoRequest): Promise<LbAnswer>;
  /** Ends sessions; the LBs go on. */
  close(): void;
}

export interface LbRequestOptions extends JobOptions {
  state: State;
  published: PublishedReleases;
  remote: Remote;
  /** One LB, in ms. */
  timeoutMs: number;
}

export function createLbRequests(options: LbRequestOptions): LbRequests {
  const { state, published } = options;
  const ending = new AbortController();

  async function drain(request: DrainRequest): Promise<LbAnswer> {
    mustFind(request);
    if (request.dryRun) return changed(request, { state: 'unasked', message: '', warnings: [] });
    const what = request.to === 'drain' ? 'drain' : 'undrain';
    return underLease(request, what, async (lease) => {
      const answer = await changed(request, { state: 'unasked', message: '', warnings: [] });
      const outcome = await ask(request, lease, toldOf(request));
      if (outcome.state !== 'failed' && outcome.state !== 'cancelled')
        return { ...answer, machine: machineOf(outcome) };
      throw untold(request, answer, outcome);
    });
  }

  /** Makes the change of the document, where there is one to make. */
  async function changed(request: DrainRequest, machine: MachineAnswer): Promise<LbAnswer> {
    const { cluster, lb, to } = request;
    const warnings: Problem[] = [];
    let { revision } = mustGet(state, cluster);
    if (!request.override) {
      const message = request.message ?? request.reason;
      const outcome = await state.change({
        cluster,
        calls: [{ op: 'lb.set', input: { lb, set: { state: to } } }],
        by: request.by,
        ...(message === undefined ? {} : { message }),
        ...(request.expected === undefined ? {} : { expected: request.expected }),
        dryRun: request.dryRun ?? false,
      });
      warnings.push(...outcome.warnings);
      revision = outcome.revision;
    }
    const now = mustFind(request);
    if (to === 'drain') warnings.push(...leftAlone(now.cluster, lb));
    const documentState = request.override ? (now.lb.state ?? 'up') : to;
    return { cluster, lb, revision, state: documentState, machine, warnings };
  }

  async function undo(request: UndoRequest): Promise<LbAnswer> {
    mustFind(request);
    return underLease(request, 'undo', async (lease) => {
      const { cluster, lb } = request;
      // Noted ahead: it stands if Weir dies before it has seen how it ends.
      const at = { cluster, lb, fence: lease.fence };
      await published.doubt(at, 'Weir did not see how its undo ended');
      const outcome = await ask(request, lease, { action: 'undo' });
      if (changedNothing(outcome) || outcome.state === 'unchanged') await published.doubt(at);
      if (outcome.state === 'failed' || outcome.state === 'cancelled') {
        throw new WeirError('remote', `LB ${lb} was not undone: ${reasonOf(outcome)}`, {
          hint: `on the LB itself: weir undo; weir status ${cluster} tells what it runs`,
        });
      }
      if (outcome.state === 'undone') await published.doubt(at, 'it went back by weir undo');
      const { revision } = mustGet(state, cluster);
      const documentState = mustFind(request).lb.state ?? 'up';
      return { cluster, lb, revision, state: documentState, machine: machineOf(outcome), warnings: [] };
    });
  }

  function mustFind(request: { cluster: string; lb: string }): { cluster: Cluster; lb: Lb } {
    const { cluster } = mustGet(state, request.cluster);
    const [lb] = chosenLbs(cluster, [request.lb]);
    if (!lb) throw new Error(`no LB ${request.lb}`);
    return { cluster, lb };
  }

  async function underLease<T>(
    { cluster }: { cluster: string },
    what: 'drain' | 'undrain' | 'undo',
    work: (lease: Held) => Promise<T>,
  ): Promise<T> {
    const lease = await holdLbs(cluster, { what, id: newId(options) }, options);
    try {
      return await work(lease);
    } finally {
      await lease.release();
    }
  }

  function ask(of: { cluster: string; lb: string }, lease: Held, request: LbRequest): Promise<LbOutcome> {
    const { cluster, lb } = mustFind(of);
    return askLb({
      remote: options.remote,
      target: targetOf(cluster, lb),
      sudo: sudoOf(cluster, lb),
      fence: lease.fence,
      request,
      timeoutMs: options.timeoutMs,
      signal: AbortSignal.any([lease.lost, ending.signal]),
      onStep: () => undefined,
    });
  }

  return { drain, undo, close: () => ending.abort() };
}

function toldOf({ to, reason, override }: DrainRequest): LbRequest {
  return to === 'drain'
    ? { action: 'drain', override: override ?? false, reason: reason ?? '' }
    : { action: 'undrain' };
}

function machineOf({ state, message, warnings }: LbOutcome): MachineAnswer {
  return { state, message, warnings };
}

function reasonOf({ step, message }: LbOutcome): string {
  return `${step}: ${message}`;
}

/** What the document says and what the LB does differ now, unless only the LB was meant. */
function untold(request: DrainRequest, answer: LbAnswer, outcome: LbOutcome): WeirError {
  const { cluster, lb } = request;
  const verb = request.to === 'drain' ? 'drain' : 'undrain';
  const said = request.override
    ? 'nothing was changed in the document'
    : `the document says ${answer.state} (revision ${answer.revision}), the LB does not know`;
  return new WeirError('remote', `LB ${lb} was not told: ${reasonOf(outcome)}; ${said}`, {
    hint: `on the LB itself: weir ${verb}; or, when it answers again: weir lb ${verb} ${cluster} ${lb}`,
  });
}

/** VIPs that nobody announces any more. */
function leftAlone(cluster: Cluster, lb: string): Problem[] {
  if (cluster.lbinfos.some((other) => other.hostname !== lb && other.state !== 'drain')) return [];
  return [
    warning('lbinfos', {
      code: 'no_lb_left',
      message: `no other LB of cluster ${cluster.name} is up: nobody announces its VIPs`,
      hint: `take one back into service: weir lb undrain ${cluster.name} LB`,
    }),
  ];
}
