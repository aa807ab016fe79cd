/**
 * One change: the next document, held against every rule and against what all other clusters hold, and
 * the commit that makes it. Pure but for reading the present.
 */
import { announcesOtherwise, changeProblems, mixedStyles } from '../domain/edge/check-change.ts';
import { checkCluster } from '../domain/edge/check.ts';
import { claimProblem } from '../domain/edge/claims.ts';
import type { Claim } from '../domain/edge/claims.ts';
import { emptyLipPlan, planLips } from '../domain/edge/lips.ts';
import type { LipPlan } from '../domain/edge/lips.ts';
import type { Cluster } from '../domain/edge/model.ts';
import { comingFrom, leavingFor, movingProblems } from '../domain/edge/moving.ts';
import { applyCalls } from '../domain/edge/operations.ts';
import type { Call } from '../domain/edge/operations.ts';
import { diffCluster, digestOf, isEmptyPatch, reconcile } from '../domain/edge/patch.ts';
import type { ClusterPatch } from '../domain/edge/patch.ts';
import { refuse, WeirError } from '../domain/errors.ts';
import { error, errorsOf, warningsOf } from '../domain/problem.ts';
import type { Problem } from '../domain/problem.ts';
import { holdingsDelta } from './holdings.ts';
import type { Holder, HoldingsDelta } from './holdings.ts';
import type { Commit, Conflict, RecordWrite } from './port.ts';
import type { ClusterState, Present } from './present.ts';
import { withoutSecrets } from './secrets.ts';

export interface ChangeRequest {
  cluster: string;
  /** In order, all or nothing. */
  calls: readonly Call[];
  by: string;
  /** If-Match: refuse unless this is the current revision. */
  expected?: number;
  dryRun?: boolean;
  message?: string;
}

export interface ChangeOutcome {
  /** The revision that holds the change; in a dry run the one it would be. */
  revision: number;
  /** False if the document was as wanted already: no revision was made. */
  changed: boolean;
  /** The document after the change; undefined if it was deleted. */
  cluster: Cluster | undefined;
  lips: LipPlan;
  patch: ClusterPatch | null;
  warnings: Problem[];
}

/** A change that may be committed. */
export interface Prepared {
  before: ClusterState | undefined;
  /** Newest revision of the name, also that of a deletion. */
  base: number;
  document: Cluster | undefined;
  delta: HoldingsDelta;
  outcome: ChangeOutcome;
}

/** Makes the next document and holds it against every rule; throws a WeirError with all problems. */
export function prepare(present: Present, request: ChangeRequest, now: string): Prepared {
  const before = present.clusters.get(request.cluster);
  const base = before?.revision ?? present.deleted.get(request.cluster) ?? 0;
  refuseOther(request.cluster, before, request.expected);
  const applied = applyCalls(before?.cluster, request.calls);
  if (!applied.ok) throw refuse(withoutSecrets(applied.problems), applied.reason);
  const document = applied.cluster && (before ? reconcile(before.cluster, applied.cluster) : applied.cluster);
  if (document && document.name !== request.cluster) throw refuse([nameMismatch(request.cluster, document.name)]);
  const clusterOf = (name: string) => present.clusters.get(name)?.cluster;
  const moving = movingProblems(before?.cluster, document, clusterOf);
  if (moving.length > 0) throw refuse(moving, 'conflict');
  if (!document) return prepareDeletion(before, base);
  return prepareDocument(present, { before, base, document, now });
}

/** If-Match. */
export function refuseOther(name: string, present: ClusterState | undefined, expected: number | undefined): void {
  const revision = present?.revision ?? 0;
  if (expected === undefined || expected === revision) return;
  throw new WeirError('revision_mismatch', `cluster ${name} is at revision ${revision}, not ${expected}`, {
    hint: 'read it again, make the change on that, and send its ETag',
    revision,
  });
}

export interface Preparing {
  before: ClusterState | undefined;
  base: number;
  document: Cluster;
  /** ISO time. */
  now: string;
  /** Claims that their holder gives back in the same commit. */
  freed?: readonly Claim[];
}

/** Holds a document against every rule and against what all other clusters hold; throws a WeirError with all problems. */
export function prepareDocument(present: Present, { before, base, document, now, freed = [] }: Preparing): Prepared {
  const patch = before ? diffCluster(before.cluster, document) : null;
  const plan = planFor(present, { before, document, now });
  const holder = { name: document.name, cluster: document, lips: plan.lips };
  const delta = holdingsDelta(before, holder);
  const problems = [
    ...checkCluster(document),
    ...betweenProblems(present, before?.cluster, document),
    ...plan.problems,
  ];
  const claimed = claimProblems(present, holder, { ...delta, remove: [...freed, ...delta.remove] });
  const errors = errorsOf(problems);
  if (errors.length > 0) throw refuse([...errors, ...claimed]);
  if (claimed.length > 0) throw refuse(claimed, 'claimed');
  const changed = patch === null || !isEmptyPatch(patch);
  return {
    before,
    base,
    document,
    delta,
    outcome: {
      revision: changed ? base + 1 : base,
      changed,
      cluster: changed ? document : before?.cluster,
      lips: plan.lips,
      patch,
      warnings: warningsOf(problems),
    },
  };
}

/** Against what the cluster was, and against other clusters where it announces otherwise than it did. */
function betweenProblems(present: Present, before: Cluster | undefined, document: Cluster): Problem[] {
  const own = before ? changeProblems(before, document) : [];
  if (before && !announcesOtherwise(before, document)) return own;
  const all = [...present.clusters.values()].map((state) => state.cluster);
  return [...own, ...mixedStyles(document, all)];
}

function prepareDeletion(before: ClusterState | undefined, base: number): Prepared {
  const lips = before?.lips ?? emptyLipPlan;
  // A batch may create and delete: of a cluster that was not there, nothing is left to commit.
  const changed = before !== undefined;
  const revision = changed ? base + 1 : base;
  return {
    before,
    base,
    document: undefined,
    delta: holdingsDelta(before, undefined),
    outcome: { revision, changed, cluster: undefined, lips, patch: null, warnings: [] },
  };
}

function nameMismatch(wanted: string, given: string): Problem {
  return error('name', {
    code: 'name_mismatch',
    message: `the document's name is ${given}, the address names ${wanted}`,
    hint: 'use the same name in both',
  });
}

function planFor(
  present: Present,
  { before, document, now }: { before: ClusterState | undefined; document: Cluster; now: string },
): { lips: LipPlan; problems: Problem[] } {
  if (before && before.cluster.lbinfos === document.lbinfos) return { lips: before.lips, problems: [] };
  const { holdings } = present;
  const outcome = planLips({
    cluster: document,
    plan: before?.lips ?? emptyLipPlan,
    isTaken: (address) => {
      const holder = holdings.claim(`ip:${address}`);
      return (holder !== undefined && holder.cluster !== document.name) || holdings.isMentioned(address);
    },
    now,
  });
  return { lips: outcome.plan, problems: outcome.problems };
}

/** Claims that others hold, claims made twice within the document, LIPs at addresses that are mentioned. */
export function claimProblems(present: Present, holder: Holder, delta: HoldingsDelta): Problem[] {
  const given = new Set(delta.remove.map((c) => c.key));
  const wanted = new Map<string, (typeof delta.add)[number]>();
  const problems: Problem[] = [];
  for (const claim of delta.add) {
    const other =
      wanted.get(claim.key) ??
      (given.has(claim.key) ? undefined : present.holdings.claim(claim.key)) ??
      half(present, holder, claim);
    wanted.set(claim.key, claim);
    if (other && (other.cluster !== claim.cluster || other.what !== claim.what)) {
      problems.push(claimProblem(holder.cluster, claim, other));
    } else if (claim.what.startsWith('LIP') && present.holdings.isMentioned(claim.key.slice(3))) {
      problems.push(
        claimProblem(holder.cluster, claim, { ...claim, cluster: 'known', what: 'a gateway or WS has this address' }),
      );
    }
  }
  for (const address of delta.mention) {
    const lip =
      wanted.get(`ip:${address}`) ?? (given.has(`ip:${address}`) ? undefined : present.holdings.claim(`ip:${address}`));
    if (lip?.what.includes('LIP')) problems.push(mentionedLip(address, lip.what));
  }
  return problems;
}

/**
 * Who has a VIP that is wanted, or the other half of its move, where this is no part of the same move. A cluster may be
 * imported alone, while it only has the half that holds no address yet, though it serves and announces it.
 */
function half({ holdings }: Present, { name, cluster }: Holder, { key }: Claim): Claim | undefined {
  const [kind, address = ''] = key.split(':');
  const other =
    kind === 'ip' || kind === 'moving' ? holdings.claim(`${kind === 'ip' ? 'moving' : 'ip'}:${address}`) : undefined;
  if (!other || other.cluster === name) return undefined;
  const vip = cluster.vip2ws.find((v) => v.vip === address);
  const partner = vip && (kind === 'ip' ? leavingFor(vip) : comingFrom(vip));
  return partner === other.cluster ? undefined : other;
}

function mentionedLip(address: string, what: string): Problem {
  return error('', {
    code: 'address_is_lip',
    message: `${address} is a gateway or WS here, but it is ${what}`,
    hint: 'correct the address, or give that LB other lips first',
  });
}

/** What the store refused because somebody else was faster. */
export function refusedClaims(
  document: Cluster | undefined,
  conflict: Extract<Conflict, { type: 'claims' }>,
): WeirError {
  if (!document)
    return new WeirError('conflict', 'claims changed while the cluster was deleted', { hint: 'try again' });
  return refuse(
    conflict.refused.map(({ wanted, holder }) => claimProblem(document, wanted, holder)),
    'claimed',
  );
}

/** Everything of a change, for the store. */
export function commitOf(next: Prepared, request: ChangeRequest, at: string): Commit {
  const { before, document, outcome } = next;
  const lips: RecordWrite[] =
    before && document && outcome.lips === before.lips
      ? []
      : [
          {
            kind: 'lips',
            key: request.cluster,
            expected: before?.lipsVersion ?? 0,
            value: document ? outcome.lips : undefined,
          },
        ];
  const gone: RecordWrite[] =
    document || !before || before.addressesVersion === 0
      ? []
      : [{ kind: 'addresses', key: request.cluster, expected: before.addressesVersion, value: undefined }];
  return {
    changes: [
      {
        kind: 'cluster',
        name: request.cluster,
        expected: next.base,
        ...(before ? { was: before.digest } : {}),
        document: document ?? null,
        patch: outcome.patch,
        calls: request.calls,
        digest: document ? digestOf(document) : '',
      },
    ],
    claims: { remove: next.delta.remove, add: next.delta.add },
    records: [...lips, ...gone],
    by: request.by,
    at,
    ...(request.message === undefined ? {} : { message: request.message }),
  };
}
