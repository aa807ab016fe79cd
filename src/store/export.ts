/**
 * Everything that is kept of clusters, as text of the export's form: cluster by cluster and revision by
 * revision, so that a store of any size takes little memory.
 */
import type { ExportedRevision } from '../domain/edge/exported.ts';
import { emptyLipPlan } from '../domain/edge/lips.ts';
import type { Cluster } from '../domain/edge/model.ts';
import { diffCluster } from '../domain/edge/patch.ts';
import type { ClusterPatch } from '../domain/edge/patch.ts';
import type { DocumentId, HistoryEntry, Store } from './port.ts';
import { rebuild } from './present.ts';
import type { ClusterState } from './present.ts';
import { secretName, secretsOf } from './secrets.ts';
import type { State } from './state.ts';

export interface ExportOptions {
  /** Also every revision that is kept, and names of which nothing is left but those. */
  history: boolean;
  /** Also the OSPF keys that documents refer to. */
  secrets: boolean;
}

interface Source {
  store: Store;
  state: State;
}

/** Revisions that are held at a time. */
const AT_ONCE = 50;

/** One cluster's text after the other, each in pieces; `end` ends a cluster. */
export async function* exportedClusters(source: Source, options: ExportOptions): AsyncGenerator<string> {
  // As of now: states are immutable, and what is committed meanwhile is left out.
  const present = source.state.list();
  const deleted = options.history ? source.state.deleted() : [];
  let first = true;
  for (const state of present) {
    yield* separated(clusterText(source, { ...state, document: state.cluster }, options), first);
    first = false;
  }
  for (const { name, revision } of deleted) {
    // Nor one whose history is being brought back: the import of it goes on, or it is in what it is imported from.
    const [newest] = await source.store.history({ kind: 'cluster', name }, { limit: 1 });
    if (newest?.deleted !== true) continue;
    yield* separated(clusterText(source, { name, revision, document: undefined }, options), first);
    first = false;
  }
}

/** Each on a line of its own, so that a reader can go through them line by line. */
async function* separated(text: AsyncGenerator<string>, first: boolean): AsyncGenerator<string> {
  yield first ? '\n' : ',\n';
  yield* text;
}

type Exporting = Pick<ClusterState, 'name' | 'revision'> &
  Partial<Pick<ClusterState, 'lips' | 'addresses'>> & { document: Cluster | undefined };

async function* clusterText(source: Source, cluster: Exporting, options: ExportOptions): AsyncGenerator<string> {
  const { name, revision, document, lips = emptyLipPlan, addresses } = cluster;
  const references = new Set<string>();
  noteSecret(references, document);
  const head = { name, revision, document: document ?? null, lips, addresses: addresses?.found ?? {} };
  yield JSON.stringify(head).slice(0, -1);
  if (options.history) {
    yield ',"history":[';
    let first = true;
    for await (const entry of revisionsOf(source.store, { kind: 'cluster', name }, revision)) {
      noteSecret(references, entry.document ?? entry.patch?.head);
      yield (first ? '' : ',') + JSON.stringify(entry);
      first = false;
    }
    yield ']';
  }
  if (options.secrets) yield `,"secrets":${JSON.stringify(await valuesOf(source, references))}`;
  yield '}';
}

function noteSecret(references: Set<string>, part: Pick<Cluster, 'ospf'> | null | undefined): void {
  for (const { key } of secretsOf(part)) {
    const secret = secretName(key);
    if (secret !== undefined) references.add(secret);
  }
}

async function valuesOf({ store, state }: Source, names: ReadonlySet<string>): Promise<Record<string, string>> {
  const values: Record<string, string> = {};
  for (const name of names) {
    const value = state.secret(name) ?? (await store.record({ kind: 'secret', key: name }))?.value;
    if (typeof value === 'string') values[name] = value;
  }
  return values;
}

/** Revisions up to `newest` that are kept, oldest first. */
async function* revisionsOf(store: Store, id: DocumentId, newest: number): AsyncGenerator<ExportedRevision> {
  let whole = true;
  for (let from = await oldestOf(store, id, newest); from <= newest; from += AT_ONCE) {
    const to = Math.min(from + AT_ONCE - 1, newest);
    const entries = await store.history(id, { before: to + 1, limit: to - from + 1 });
    // Old ones may be forgotten meanwhile.
    const kept = entries.at(-1)?.revision ?? to + 1;
    const contents = await contentsOf(store, id, { from: kept, to, whole });
    for (const entry of entries.toReversed()) {
      const content = contents.get(entry.revision);
      if (!content) continue;
      yield exportedRevision(entry, content);
      whole = false;
    }
  }
}

type Content = { document: Cluster | null } | { patch: ClusterPatch };

function exportedRevision(entry: HistoryEntry, content: Content): ExportedRevision {
  const { revision, at, by, message, calls } = entry;
  return { revision, at, by, ...(message === undefined ? {} : { message }), operations: calls, ...content };
}

/** Those that are kept follow on one another. */
async function oldestOf(store: Store, id: DocumentId, newest: number): Promise<number> {
  let [low, high] = [1, newest];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const kept = (await store.history(id, { before: middle + 1, limit: 1 })).length > 0;
    if (kept) high = middle;
    else low = middle + 1;
  }
  return low;
}

interface Range {
  from: number;
  to: number;
  /** Nothing stands before `from`. */
  whole: boolean;
}

/** By revision: a patch where a document was there before it, whichever of them the store keeps whole. */
async function contentsOf(store: Store, id: DocumentId, { from, to, whole }: Range): Promise<Map<number, Content>> {
  const contents = new Map<number, Content>();
  let at = to;
  while (at >= from) {
    const stored = await store.revision(id, at);
    if (!stored?.base) {
      if (stored) contents.set(at, { document: null });
      at--;
      continue;
    }
    const { base, patches } = stored;
    patches.forEach((patch, i) => contents.set(base.revision + 1 + i, { patch }));
    if (base.revision >= from) contents.set(base.revision, await contentOfCopy(store, id, base));
    at = base.revision - 1;
  }
  const first = whole ? await store.revision(id, from) : undefined;
  if (first) contents.set(from, { document: rebuild(first) ?? null });
  return contents;
}

interface Copy {
  revision: number;
  document: object;
}

async function contentOfCopy(store: Store, id: DocumentId, { revision, document }: Copy): Promise<Content> {
  const stored = revision > 1 ? await store.revision(id, revision - 1) : undefined;
  const before = stored && rebuild(stored);
  return before ? { patch: diffCluster(before, document as Cluster) } : { document: document as Cluster };
}
