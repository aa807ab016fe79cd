/**
 * The revisions that an import is still to make: all of its history, or what follows behind those that are here
 * already from an import that was interrupted.
 */
import type { ExportedCluster, ExportedRevision } from '../domain/edge/exported.ts';
import { Cluster } from '../domain/edge/model.ts';
import type { Call } from '../domain/edge/operations.ts';
import { applyPatch, diffCluster, digestOf, reconcile, sameValue } from '../domain/edge/patch.ts';
import { refuse } from '../domain/errors.ts';
import { error } from '../domain/problem.ts';
import type { Problem } from '../domain/problem.ts';
import { parse } from '../domain/schema.ts';
import type { HistoryEntry, Store } from './port.ts';
import { rebuild } from './present.ts';
import type { Present } from './present.ts';

/** Where an import stands in the target. */
export interface Start {
  /** Newest revision of the name here, of which nothing is there; 0 if it was never used. */
  base: number;
  /** What is added to the file's numbers: 0 where the name was not used before. */
  offset: number;
  /** Document that the next patch is made on. */
  document: Cluster | undefined;
  /** File's newest revision that is here already; 0 none. */
  done: number;
}

/** Record of an import that has begun: under the name, what it is of. Kept, so that it can be repeated. */
export interface Begun {
  source: string;
  offset: number;
}

/** What an import is of: its last revision, and the document that is there then. */
export function sourceOf({ revision, document }: ExportedCluster): string {
  return `${revision} ${document ? digestOf(document) : ''}`;
}

interface Places {
  store: Store;
  present: () => Present;
}

export async function startOf(exported: ExportedCluster, { store, present }: Places): Promise<Start> {
  const { name, history, revision } = exported;
  const base = present().deleted.get(name) ?? 0;
  const id = { kind: 'cluster', name } as const;
  const begun = base > 0 && history ? (await store.record({ kind: 'import', key: name }))?.value : undefined;
  const { source, offset = 0 } = (begun ?? {}) as Partial<Begun>;
  const done = begun === undefined ? 0 : base - offset;
  if (history && done > 0 && done <= revision) {
    const [here] = await store.history(id, { before: base + 1, limit: 1 });
    const there = history.find((entry) => entry.revision === done);
    // A part may lie before or behind the revision that is here.
    const same = there ? here && sameRevision(here, there) : source === sourceOf(exported);
    const stored = same ? await store.revision(id, base) : undefined;
    if (stored) return { base, offset, done, document: rebuild(stored) };
  }
  const first = history?.[0]?.revision ?? revision;
  return { base, offset: base === 0 ? 0 : base + 1 - first, done: 0, document: undefined };
}

function sameRevision(here: HistoryEntry, there: ExportedRevision): boolean {
  return here.at === there.at && here.by === there.by && here.deleted === (there.document === null);
}

/** One revision to be made. */
export interface Step {
  number: number;
  document: Cluster | null;
  patch: object | null;
  calls: readonly Call[];
  at: string;
  by: string;
  message: string | undefined;
  /** The file's newest. */
  last: boolean;
}

/** `said`: of an import without history, which is a revision of its own. */
export function stepsOf(exported: ExportedCluster, start: Start, said: { at: string; by: string }): Step[] {
  const { history, document, revision } = exported;
  if (!history) {
    const call: Call = { op: 'cluster.create', input: { cluster: document } };
    const message = `imported, revision ${revision} of its source`;
    return [{ number: revision + start.offset, document, patch: null, calls: [call], ...said, message, last: true }];
  }
  const problems = orderProblems(exported);
  if (problems.length > 0) throw refuse(problems);
  const steps: Step[] = [];
  let previous = start.document;
  for (const [i, entry] of history.entries()) {
    if (entry.revision <= start.done) continue;
    const made = documentOf(entry, previous, `history[${i}]`);
    const patch = made && previous ? diffCluster(previous, made) : null;
    const last = entry.revision === revision;
    if (last && !sameValue(made ?? null, document)) throw refuse([otherEnd(i)]);
    const { at, by: author, message, operations: calls } = entry;
    const number = entry.revision + start.offset;
    steps.push({ number, document: made ?? null, patch, calls, at, by: author, message, last });
    previous = made;
  }
  const first = steps[0]?.number;
  if (first !== undefined && start.base > 0 && first !== start.base + 1)
    throw refuse([gap(0, start.base - start.offset)]);
  return steps;
}

/** Revisions follow on one another, and none is newer than the newest. */
function orderProblems({ history = [], revision }: ExportedCluster): Problem[] {
  return history.flatMap((entry, i) => {
    const before = history[i - 1]?.revision;
    if (before !== undefined && entry.revision !== before + 1) return [gap(i, before)];
    return entry.revision > revision ? [gap(i, revision)] : [];
  });
}

function documentOf(
  { document, patch }: ExportedRevision,
  previous: Cluster | undefined,
  path: string,
): Cluster | undefined {
  if (document === null) return undefined;
  if (document) return previous ? reconcile(previous, document) : document;
  if (!previous || !patch) throw refuse([noBase(path)]);
  const made = parse(Cluster, applyPatch(previous, patch), `${path}.patch`);
  if (!made.ok) throw refuse(made.problems);
  if (made.value.name !== previous.name) throw refuse([noBase(path)]);
  return made.value;
}

const asItWas = 'import the file as weir export wrote it, or an export without history';

function gap(index: number, before: number): Problem {
  const message = `this revision does not follow on revision ${before}`;
  return error(`history[${index}].revision`, { code: 'bad_history', message, hint: asItWas });
}

function noBase(path: string): Problem {
  const message = 'there is no document that this patch could be made on';
  return error(`${path}.patch`, { code: 'bad_history', message, hint: asItWas });
}

function otherEnd(index: number): Problem {
  const message = 'the newest revision of the history is not the document';
  return error(`history[${index}]`, { code: 'bad_history', message, hint: asItWas });
}
