/**
 * The present, in memory: every cluster as an immutable value with its revision, LIP plan and
 * addresses, brought up to date by the store's events and by nothing else.
 */
import { nextAddresses, noAddresses } from '../domain/edge/addresses.ts';
import type { Addresses, FoundAddresses } from '../domain/edge/addresses.ts';
import { emptyLipPlan } from '../domain/edge/lips.ts';
import type { LipPlan } from '../domain/edge/lips.ts';
import type { Cluster, Vip } from '../domain/edge/model.ts';
import { applyPatch } from '../domain/edge/patch.ts';
import type { ClusterPatch } from '../domain/edge/patch.ts';
import { createHoldings, holdingsDelta } from './holdings.ts';
import type { Holder } from './holdings.ts';
import type { Conflict, Store, StoredDocument, StoreEvent } from './port.ts';

/** One cluster as it is now. The object is replaced whenever anything of it changes. */
export interface ClusterState extends Holder {
  readonly revision: number;
  readonly digest: string;
  readonly addresses: Addresses;
  readonly lipsVersion: number;
  readonly addressesVersion: number;
}

/** Everything that is held in memory. */
export interface Present {
  clusters: Map<string, ClusterState>;
  /** Revisions of deleted clusters: a new one of that name goes on from there. */
  deleted: Map<string, number>;
  secrets: Map<string, string>;
  byWstype: Map<string, Set<string>>;
  holdings: ReturnType<typeof createHoldings>;
  version(): number;
  take(event: StoreEvent): void;
  /** Whether the holders of refused claims are known here, so that trying again cannot help. */
  knows(conflict: Extract<Conflict, { type: 'claims' }>): boolean;
}

/** Clusters taken in at once: connections have deadlines, which must not pass meanwhile. */
const AT_ONCE = 20;

/** What the store has, as it is now. */
export async function loadPresent(store: Store): Promise<Present> {
  const { documents, position } = await store.load();
  // Read after the position that the events go on from: what changed in between is told once more by them.
  const [lips, addresses, secrets] = await Promise.all([
    store.records('lips'),
    store.records('addresses'),
    store.records('secret'),
  ]);
  const present = createPresent(position);
  for (const record of secrets) present.secrets.set(record.key, String(record.value));
  const lipsBy = new Map(lips.map((r) => [r.key, r]));
  const addressesBy = new Map(addresses.map((r) => [r.key, r]));
  for (const [i, stored] of documents.entries()) {
    if (i % AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve));
    const cluster = rebuild(stored);
    if (!cluster) {
      present.deleted.set(stored.name, stored.revision);
      continue;
    }
    const plan = lipsBy.get(stored.name);
    const found = addressesBy.get(stored.name);
    present.install({
      name: stored.name,
      revision: stored.revision,
      digest: stored.digest,
      cluster,
      lips: (plan?.value as LipPlan | undefined) ?? emptyLipPlan,
      lipsVersion: plan?.version ?? 0,
      addresses: nextAddresses(noAddresses, (found?.value as FoundAddresses | undefined) ?? {}),
      addressesVersion: found?.version ?? 0,
    });
  }
  return present;
}

function createPresent(position: number): Present & { install(state: ClusterState): void } {
  const clusters = new Map<string, ClusterState>();
  const deleted = new Map<string, number>();
  const secrets = new Map<string, string>();
  const byWstype = new Map<string, Set<string>>();
  const holdings = createHoldings();
  let at = position;

  function install(next: ClusterState): void {
    const before = clusters.get(next.name);
    holdings.apply(holdingsDelta(before, next));
    if (before?.addresses !== next.addresses) {
      holdings.applyFound(before?.addresses.values() ?? [], next.addresses.values());
    }
    clusters.set(next.name, next);
    reindex(next.name, before?.cluster.vip2ws, next.cluster.vip2ws);
    deleted.delete(next.name);
  }

  function uninstall(name: string, revision: number): void {
    const before = clusters.get(name);
    if (before) {
      holdings.apply(holdingsDelta(before, undefined));
      holdings.applyFound(before.addresses.values(), []);
      clusters.delete(name);
      reindex(name, before.cluster.vip2ws, undefined);
    }
    deleted.set(name, revision);
  }

  function reindex(name: string, from: readonly Vip[] | undefined, to: readonly Vip[] | undefined): void {
    if (from === to) return;
    const after = new Set(to?.map((v) => v.wstype));
    for (const wstype of new Set(from?.map((v) => v.wstype))) {
      if (after.has(wstype)) continue;
      const names = byWstype.get(wstype);
      names?.delete(name);
      if (names?.size === 0) byWstype.delete(wstype);
    }
    for (const wstype of after) {
      const names = byWstype.get(wstype);
      if (names) names.add(name);
      else byWstype.set(wstype, new Set([name]));
    }
  }

  function take(event: StoreEvent): void {
    if (event.id <= at) return;
    at = event.id;
    const touched = new Map<string, Partial<ClusterState>>();
    for (const record of event.records) {
      if (record.kind === 'lips') {
        const lips = (record.value as LipPlan | undefined) ?? emptyLipPlan;
        touched.set(record.key, { ...touched.get(record.key), lips, lipsVersion: record.version });
      }
      if (record.kind === 'addresses') {
        const previous = clusters.get(record.key)?.addresses ?? noAddresses;
        const addresses = nextAddresses(previous, (record.value as FoundAddresses | undefined) ?? {});
        touched.set(record.key, { ...touched.get(record.key), addresses, addressesVersion: record.version });
      }
    }
    for (const change of event.changes) {
      if (change.deleted) {
        uninstall(change.name, change.revision);
        touched.delete(change.name);
        continue;
      }
      const before = clusters.get(change.name);
      const cluster =
        (change.document as Cluster | undefined) ??
        (before && applyPatch(before.cluster, change.patch as ClusterPatch));
      if (!cluster) throw new Error(`no document to apply revision ${change.revision} of ${change.name} to`);
      touched.set(change.name, {
        ...touched.get(change.name),
        cluster,
        revision: change.revision,
        digest: change.digest,
      });
    }
    for (const [name, parts] of touched) {
      const before = clusters.get(name);
      if (before) install({ ...before, ...parts });
      else if (parts.cluster) install({ ...blank(name), ...parts, cluster: parts.cluster });
    }
  }

  return {
    clusters,
    deleted,
    secrets,
    byWstype,
    holdings,
    install,
    take,
    version: () => at,
    knows: (conflict) =>
      conflict.refused.every(({ wanted, holder }) => holdings.claim(wanted.key)?.cluster === holder.cluster),
  };
}

function blank(name: string): Omit<ClusterState, 'cluster'> {
  return {
    name,
    revision: 0,
    digest: '',
    lips: emptyLipPlan,
    lipsVersion: 0,
    addresses: noAddresses,
    addressesVersion: 0,
  };
}

/** The document that a base and the patches after it give; undefined for a deleted one. */
export function rebuild(stored: StoredDocument): Cluster | undefined {
  if (stored.deleted || !stored.base) return undefined;
  return stored.patches.reduce<Cluster>((doc, patch) => applyPatch(doc, patch), stored.base.document as Cluster);
}
