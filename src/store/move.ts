/**
 * A step of a VIP's move between clusters: both documents in one commit, so that its claim never has two holders or
 * none, whatever dies in between. A document that the step does not touch makes no revision.
 */
import { applyMove } from '../domain/edge/moving.ts';
import type { MoveStep } from '../domain/edge/moving.ts';
import { reconcile } from '../domain/edge/patch.ts';
import { refuse, WeirError } from '../domain/errors.ts';
import type { Problem } from '../domain/problem.ts';
import { commitOf, prepareDocument, refuseOther, refusedClaims } from './change.ts';
import type { ChangeOutcome, Prepared } from './change.ts';
import type { Commit, Conflict, Store } from './port.ts';
import type { ClusterState, Present } from './present.ts';

export interface MoveRequest {
  vip: string;
  /** The cluster that it leaves. */
  from: string;
  to: string;
  step: MoveStep;
  by: string;
  /** If-Match: refuse unless this is the current revision of `from`. */
  expected?: number;
  dryRun?: boolean;
  message?: string;
}

export interface MoveOutcome {
  from: ChangeOutcome;
  to: ChangeOutcome;
}

export interface MoveContext {
  store: Store;
  present: () => Present;
  now: () => Date;
  /** Waits until what is loaded anew, if anything is, is there. */
  settled: () => Promise<void>;
}

/** Tries against changes of other processes. */
const MAX_TRIES = 50;

/** Throws a WeirError with every problem where the step cannot be taken. */
export async function moveVip(request: MoveRequest, context: MoveContext): Promise<MoveOutcome> {
  const { store } = context;
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const next = await prepared(request, context);
    const outcome = { from: next.from.outcome, to: next.to.outcome };
    if (request.dryRun === true || !(outcome.from.changed || outcome.to.changed)) return outcome;
    const result = await store.commit(moveCommit(next, request, context.now().toISOString()));
    if (result.ok) {
      await context.settled();
      return outcome;
    }
    const { conflict } = result;
    if (conflict.type === 'claims' && context.present().knows(conflict)) throw refusedBy(next, conflict);
    await store.sync();
  }
  throw new WeirError(
    'conflict',
    `clusters ${request.from} and ${request.to} change faster than VIP ${request.vip} can be moved`,
    {
      hint: 'try again',
      retryAfter: 1,
    },
  );
}

interface PreparedMove {
  from: Prepared;
  to: Prepared;
}

/** A refusal, or that nothing changes, is told only once all that others answered before is taken in. */
async function prepared(request: MoveRequest, { store, present, now }: MoveContext): Promise<PreparedMove> {
  if (store.shared) {
    try {
      const next = prepareMove(present(), request, now().toISOString());
      if (next.from.outcome.changed) return next;
    } catch (thrown) {
      if (!(thrown instanceof WeirError)) throw thrown;
    }
    await store.sync();
  }
  return prepareMove(present(), request, now().toISOString());
}

function prepareMove(present: Present, request: MoveRequest, now: string): PreparedMove {
  const from = mustHave(present, request.from);
  refuseOther(request.from, from, request.expected);
  const to = mustHave(present, request.to);
  const moved = applyMove(request.step, { vip: request.vip, from: from.cluster, to: to.cluster });
  if (!moved.ok) throw refuse(moved.problems, moved.reason);
  const leaving = prepareDocument(present, {
    before: from,
    base: from.revision,
    document: reconcile(from.cluster, moved.from),
    now,
  });
  const document = reconcile(to.cluster, moved.to);
  const freed = leaving.delta.remove;
  const coming = within(request.to, () =>
    prepareDocument(present, { before: to, base: to.revision, document, now, freed }),
  );
  return { from: leaving, to: coming };
}

function mustHave(present: Present, name: string): ClusterState {
  const state = present.clusters.get(name);
  if (state) return state;
  throw new WeirError('not_found', `there is no cluster ${name}`, { hint: 'weir get clusters lists them' });
}

/** Problems of the document of the cluster that the VIP goes to, with paths that say so. */
function within<T>(to: string, work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    if (!(thrown instanceof WeirError) || thrown.problems.length === 0) throw thrown;
    throw refuse(
      thrown.problems.map((problem) => inOther(to, problem)),
      thrown.code,
    );
  }
}

function inOther(to: string, problem: Problem): Problem {
  const path = problem.path === '' ? 'to' : `to.${problem.path}`;
  if (problem.code !== 'vip_outside_vipnets') return { ...problem, path };
  return { ...problem, path, hint: `add its net to vipnets of cluster ${to} first, or name another cluster` };
}

function refusedBy({ from, to }: PreparedMove, conflict: Extract<Conflict, { type: 'claims' }>): WeirError {
  const wanted = conflict.refused[0]?.wanted.cluster;
  return refusedClaims(wanted === from.document?.name ? from.document : to.document, conflict);
}

function moveCommit({ from, to }: PreparedMove, request: MoveRequest, at: string): Commit {
  const { vip, by, step, message } = request;
  const op = `vip.move.${step}`;
  const said = message === undefined ? {} : { message };
  const commits = [
    { next: from, cluster: request.from, input: { vip, to: request.to } },
    { next: to, cluster: request.to, input: { vip, from: request.from } },
  ]
    .filter(({ next }) => next.outcome.changed)
    .map(({ next, cluster, input }) => commitOf(next, { cluster, calls: [{ op, input }], by, ...said }, at));
  return {
    changes: commits.flatMap((commit) => commit.changes),
    claims: {
      remove: commits.flatMap((commit) => commit.claims.remove),
      add: commits.flatMap((commit) => commit.claims.add),
    },
    records: commits.flatMap((commit) => commit.records),
    by,
    at,
    ...said,
  };
}
