/**
 * Documents and commits for tests of stores: small real clusters, changes of them with their patches,
 * and the rebuilding of what a store answers. Imports the domain and the port; only tests import it.
 */
import type { Claim } from '../domain/edge/claims.ts';
import type { Cluster, Lb, Vip } from '../domain/edge/model.ts';
import { applyPatch, diffCluster, digestOf } from '../domain/edge/patch.ts';
import type { ClusterPatch } from '../domain/edge/patch.ts';
import type { Commit, CommitResult, Conflict, DocumentChange, DocumentId, StoredDocument, StoreEvent } from './port.ts';

export const AT = '2024-05-01T08:00:00.000Z';

export function clusterId(name: string): DocumentId {
  return { kind: 'cluster', name };
}

export function cluster(name: string, parts: Partial<Cluster> = {}): Cluster {
  return {
    name,
    type: 'internal',
    device: 'eth0',
    vipnets: ['10.1.0.0/16'],
    lbinfos: [lb('lb1.room1')],
    vip2ws: [vip('10.1.0.1')],
    ...parts,
  };
}

export function lb(hostname: string): Lb {
  return {
    hostname,
    routerid: '10.0.0.1',
    internalip: '10.0.0.1',
    internalnetmask: '255.255.255.0',
    internalgateway: '10.0.0.254',
    ospfnet: '10.0.0.0/24',
  };
}

export function vip(address: string, parts: Partial<Vip> = {}): Vip {
  return {
    vip: address,
    wstype: 'web',
    wss: ['ws1.room1', 'ws2.room1'],
    ports: [{ sport: 80, dport: 80, synproxy: 1, persistence_timeout: 50 }],
    ...parts,
  };
}

/** The change from one document to the next; a patch where there are both. */
export function change(from: Cluster | undefined, to: Cluster, expected: number): DocumentChange {
  return {
    ...clusterId(to.name),
    expected,
    document: to,
    patch: from ? diffCluster(from, to) : null,
    calls: [{ op: from ? 'cluster.replace' : 'cluster.create', input: { cluster: to.name } }],
    digest: digestOf(to),
  };
}

export function deletion(name: string, expected: number): DocumentChange {
  return {
    ...clusterId(name),
    expected,
    document: null,
    patch: null,
    calls: [{ op: 'cluster.delete', input: {} }],
    digest: '',
  };
}

export function commitOf(parts: Omit<Partial<Commit>, 'claims'> & { claims?: Partial<Commit['claims']> }): Commit {
  return { changes: [], records: [], by: 'tester', at: AT, ...parts, claims: { remove: [], add: [], ...parts.claims } };
}

export function claim(key: string, owner: string, what = 'VIP'): Claim {
  return { key, cluster: owner, what };
}

export function eventOf(result: CommitResult): StoreEvent {
  if (!result.ok) throw new Error(`refused: ${JSON.stringify(result.conflict)}`);
  return result.event;
}

export function conflictOf(result: { ok: boolean; conflict?: Conflict }): Conflict {
  if (!result.conflict) throw new Error('nothing was refused');
  return result.conflict;
}

/** The document that a store's answer stands for; undefined for a deleted one. */
export function rebuilt(stored: StoredDocument | undefined): Cluster | undefined {
  if (!stored?.base) return undefined;
  return (stored.patches as ClusterPatch[]).reduce(applyPatch, stored.base.document as Cluster);
}

/** What a follower makes of events, by document name. */
export function replayed(events: readonly StoreEvent[]): Map<string, Cluster> {
  const documents = new Map<string, Cluster>();
  for (const { name, deleted, patch, document } of events.flatMap((event) => event.changes)) {
    const present = documents.get(name);
    if (deleted) documents.delete(name);
    else if (document) documents.set(name, document as Cluster);
    else if (present && patch) documents.set(name, applyPatch(present, patch));
    else throw new Error(`no document to patch: ${name}`);
  }
  return documents;
}
