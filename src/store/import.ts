/**
 * Taking in a cluster that another Weir exported, as it was there: document, LIP plan, quarantine,
 * addresses, secrets and history. Whatever is there already is never overwritten. A history comes back
 * revision by revision, with nothing there under the name until the last: so no document of the past can
 * be published or claim anything, and an import that was interrupted goes on where it ended.
 */
import { mixedStyles } from '../domain/edge/check-change.ts';
import { checkCluster } from '../domain/edge/check.ts';
import type { ExportedCluster } from '../domain/edge/exported.ts';
import { planLips } from '../domain/edge/lips.ts';
import type { Cluster } from '../domain/edge/model.ts';
import { comingFrom, isWhole as isWholeMove } from '../domain/edge/moving.ts';
import { digestOf, sameValue } from '../domain/edge/patch.ts';
import { refuse, WeirError } from '../domain/errors.ts';
import { error, errorsOf, warningsOf } from '../domain/problem.ts';
import type { Problem } from '../domain/problem.ts';
import { claimProblems, refusedClaims } from './change.ts';
import { holdingsDelta } from './holdings.ts';
import type { HoldingsDelta } from './holdings.ts';
import { sourceOf, startOf, stepsOf } from './import-history.ts';
import type { Begun, Start, Step } from './import-history.ts';
import { keepSecrets, lostSecrets, newSecrets, storedSecret } from './import-secrets.ts';
import type { Commit, Conflict, DocumentChange, RecordWrite, Store } from './port.ts';
import type { ClusterState, Present } from './present.ts';
import { secretName, secretsOf } from './secrets.ts';
import type { SecretField } from './secrets.ts';

export interface ImportRequest {
  /** Or a part of it: the first revisions of its history, or those that follow behind the last that was sent. */
  exported: ExportedCluster;
  by: string;
  dryRun?: boolean;
}

export interface ImportOutcome {
  /** `unchanged`: all of it is here. `continues`: the rest of the history is to be sent. */
  outcome: 'imported' | 'unchanged' | 'continues';
  /** The newest revision here; in a dry run the one that it would be. */
  revision: number;
  warnings: Problem[];
}

export interface ImportContext {
  store: Store;
  present: () => Present;
  now: () => Date;
}

/** Tries against changes of other processes. */
const MAX_TRIES = 20;

/** Throws a WeirError with every problem where the cluster cannot be taken in. */
export async function importCluster(request: ImportRequest, context: ImportContext): Promise<ImportOutcome> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const outcome = await attempt(request, context);
    if (outcome) return outcome;
    await context.store.sync();
  }
  throw new WeirError('conflict', `cluster ${request.exported.name} is changed by others while it is imported`, {
    hint: 'import it again; it goes on where it ended',
    retryAfter: 1,
  });
}

/** undefined: others changed something meanwhile. */
async function attempt(request: ImportRequest, context: ImportContext): Promise<ImportOutcome | undefined> {
  const { exported } = request;
  const before = context.present().clusters.get(exported.name);
  if (before) return compare(before, exported, context);
  const secrets = await newSecrets(exported, context);
  const landing = exported.document && checkLanding(exported, exported.document, context);
  const start = await startOf(exported, context);
  const steps = stepsOf(exported, start, { at: context.now().toISOString(), by: request.by });
  const warnings = [...(landing?.warnings ?? []), ...lostSecrets(exported, secrets)];
  const revision = steps.at(-1)?.number ?? start.base;
  if (request.dryRun === true || steps.length === 0) return { ...ending(exported, steps), revision, warnings };
  if (!(await keepSecrets(secrets.write, context))) return undefined;
  for (const [i, step] of steps.entries()) {
    const commit = commitOf(exported, step, { start, first: i === 0, claims: landing?.delta });
    const result = await context.store.commit(commit);
    if (result.ok) continue;
    refuseClaims(exported, result.conflict, context);
    return undefined;
  }
  return { ...ending(exported, steps), revision, warnings };
}

/** `unchanged` where even the last revision is here. */
function ending(exported: ExportedCluster, steps: readonly Step[]): Pick<ImportOutcome, 'outcome'> {
  if (!isWhole(exported)) return { outcome: 'continues' };
  return { outcome: steps.length === 0 ? 'unchanged' : 'imported' };
}

/** Whether the last revision is in it. */
function isWhole({ history, revision }: ExportedCluster): boolean {
  return history === undefined || history.at(-1)?.revision === revision;
}

// what is there already ----------------------------------------------------------------------

async function compare(
  before: ClusterState,
  exported: ExportedCluster,
  context: ImportContext,
): Promise<ImportOutcome> {
  const { document, lips, name } = exported;
  const keys = await Promise.all([
    valuesOf(before.cluster, {}, context),
    valuesOf(document, exported.secrets ?? {}, context),
  ]);
  const parts = [
    ...(document && sameValue(withoutKeys(before.cluster), withoutKeys(document)) ? [] : ['document']),
    ...(sameValue(keys[0], keys[1]) ? [] : ['OSPF key']),
    ...(sameValue(before.lips, lips) ? [] : ['LIPs']),
  ];
  if (parts.length === 0) return { outcome: 'unchanged', revision: before.revision, warnings: [] };
  const problem = error('document', {
    code: 'cluster_differs',
    message: `cluster ${name} is here at revision ${before.revision}, and differs: ${parts.join(', ')}`,
    hint: 'an import overwrites nothing: take over by hand what is right, or delete the cluster and import it again',
  });
  throw refuse([problem], 'exists');
}

function withoutKeys(cluster: Cluster): Cluster {
  return cluster.ospf ? { ...cluster, ospf: { ...cluster.ospf, key: '', oldkey: '' } } : cluster;
}

/** The keys that references stand for, or a reference itself where nobody knows its key. */
async function valuesOf(
  cluster: Cluster | null | undefined,
  given: Readonly<Record<string, string>>,
  context: ImportContext,
): Promise<Partial<Record<SecretField, string>>> {
  const values: Partial<Record<SecretField, string>> = {};
  for (const { name: field, key } of secretsOf(cluster)) {
    const name = secretName(key);
    if (name === undefined) values[field] = key;
    else values[field] = (Object.hasOwn(given, name) ? given[name] : await storedSecret(name, context)) ?? key;
  }
  return values;
}

// the document that will be there ------------------------------------------------------------

interface Landing {
  delta: HoldingsDelta;
  warnings: Problem[];
}

/** The newest document with its LIP plan, held against every rule and against what other clusters hold. */
function checkLanding({ name, lips }: ExportedCluster, document: Cluster, context: ImportContext): Landing {
  const present = context.present();
  const holder = { name, cluster: document, lips };
  const delta = holdingsDelta(undefined, holder);
  const planned = planLips({ cluster: document, plan: lips, isTaken: () => false, now: context.now().toISOString() });
  const others = [...present.clusters.values()].map((state) => state.cluster);
  const problems = [...checkCluster(document), ...mixedStyles(document, others), ...planned.problems];
  // A plan that fits is what planning makes of it.
  if (planned.plan !== lips && errorsOf(planned.problems).length === 0) problems.push(otherPlan(name));
  const errors = within(errorsOf(problems), 'document');
  const claimed = within([...claimProblems(present, holder, delta), ...otherHalves(present, document)], 'document');
  if (errors.length > 0) throw refuse([...errors, ...claimed]);
  if (claimed.length > 0) throw refuse(claimed, 'claimed');
  return { delta, warnings: warningsOf(problems) };
}

/** VIPs that move by the file alone: the cluster at the other end has them, and knows of no move to or from this one. */
function otherHalves(present: Present, document: Cluster): Problem[] {
  return document.vip2ws.flatMap((vip, i) => {
    const other = present.clusters.get(comingFrom(vip) ?? '')?.cluster;
    if (!other?.vip2ws.some((v) => v.vip === vip.vip) || isWholeMove(document.name, vip, other)) return [];
    return error(`vip2ws[${i}].moving`, {
      code: 'vip_not_moving',
      message: `VIP ${vip.vip} comes from cluster ${other.name}, which has it, and is not moving it to ${document.name}`,
      hint: `import cluster ${other.name} as it was at the same time, or take the VIP out of the file`,
    });
  });
}

function within(problems: readonly Problem[], base: string): Problem[] {
  return problems.map((p) => (p.path === 'lips' ? p : { ...p, path: p.path === '' ? base : `${base}.${p.path}` }));
}

function otherPlan(name: string): Problem {
  return error('lips', {
    code: 'lips_mismatch',
    message: `the LIPs in the file are not what the LBs of cluster ${name} have by its document`,
    hint: 'every LB has the LIPs of its lips or lipcount; import the file as weir export wrote it',
  });
}

/** Others were faster. Where that is known here, trying again cannot help. */
function refuseClaims({ document }: ExportedCluster, conflict: Conflict, context: ImportContext): void {
  if (conflict.type === 'claims' && document && context.present().knows(conflict)) {
    throw refusedClaims(document, conflict);
  }
}

interface Committing {
  start: Start;
  /** Of this request. */
  first: boolean;
  claims: HoldingsDelta | undefined;
}

function commitOf(exported: ExportedCluster, step: Step, { start, first, claims }: Committing): Commit {
  const { name, lips, addresses } = exported;
  const { number, document, patch, calls, at, by, message } = step;
  const live = step.last && document !== null;
  const fresh = start.base === 0 && first;
  const change: DocumentChange = {
    kind: 'cluster',
    name,
    expected: fresh ? 0 : number - 1,
    ...(fresh ? { revision: number } : {}),
    ...(live ? {} : { past: true }),
    document,
    patch: live ? null : patch,
    calls,
    digest: document ? digestOf(document) : '',
  };
  const begun: Begun = { source: sourceOf(exported), offset: start.offset };
  const records: RecordWrite[] = [
    ...(exported.history && first ? [{ kind: 'import', key: name, value: begun }] : []),
    ...(live ? [{ kind: 'lips', key: name, expected: 0, value: lips }] : []),
    ...(live && Object.keys(addresses).length > 0
      ? [{ kind: 'addresses', key: name, expected: 0, value: addresses }]
      : []),
  ];
  return {
    changes: [change],
    claims: { remove: [], add: live ? (claims?.add ?? []) : [] },
    records,
    by,
    at,
    ...(message === undefined ? {} : { message }),
  };
}
