/**
 * The store port: what Weir asks of whatever keeps its state. One contract suite
 * (store.contract.ts) decides what an implementation must do; the embedded one is sqlite/.
 * A store knows documents as opaque values in revisions; it never interprets them.
 * May import the domain only.
 */
import type { Claim, ClaimKey } from '../domain/edge/claims.ts';
import type { Call } from '../domain/edge/operations.ts';
import type { Problem } from '../domain/problem.ts';

/** Kinds of documents that have revisions. */
export type DocumentKind = 'cluster';

export interface DocumentId {
  readonly kind: DocumentKind;
  readonly name: string;
}

/** One document's part of a commit. */
export interface DocumentChange extends DocumentId {
  /** Revision it was made from: the newest, also that of a deletion; 0 if the name was never used. */
  readonly expected: number;
  /** Digest of that revision. Refused like another revision where it is not: a failover can lose a revision and another take its number. */
  readonly was?: string;
  /** The whole new document; null deletes. Stores serialise it only when they keep a copy. */
  readonly document: object | null;
  /** What differs from the revision `expected`; null where there was none before, or none is left. */
  readonly patch: object | null;
  readonly calls: readonly Call[];
  /** Digest of the new document; empty for a deletion. */
  readonly digest: string;
  /** Its number where that is not `expected` + 1: for a name that was never used, whose history begins there. */
  readonly revision?: number;
  /** A revision of a history that is brought back: kept like any other, while the name stays as if it were deleted. */
  readonly past?: true;
}

export function numberOf(change: DocumentChange): number {
  return change.revision ?? change.expected + 1;
}

export interface RecordId {
  /** `lips`, `addresses`, `publication`, `token`, `secret`, ... */
  readonly kind: string;
  readonly key: string;
}

export interface StoredRecord extends RecordId {
  /** 1, 2, 3 ... per record; a deleted and re-created record starts at 1 again. */
  readonly version: number;
  readonly value: unknown;
}

export interface RecordWrite extends RecordId {
  /** Version that must be there: 0 none. Left out: any. */
  readonly expected?: number;
  /** undefined deletes. */
  readonly value: unknown;
  /** Refused if the lease has been given out again since, with a higher fencing number. */
  readonly fence?: { readonly lease: string; readonly number: number };
}

export interface Commit {
  /** None for a commit of records alone. */
  readonly changes: readonly DocumentChange[];
  /** Removals come first; a removal counts only if the cluster named holds the claim. */
  readonly claims: { readonly remove: readonly { key: ClaimKey; cluster: string }[]; readonly add: readonly Claim[] };
  readonly records: readonly RecordWrite[];
  /** Who, e.g. the token's name. */
  readonly by: string;
  /** ISO time. */
  readonly at: string;
  readonly message?: string;
}

export type CommitResult =
  | { readonly ok: true; readonly event: StoreEvent }
  | { readonly ok: false; readonly conflict: Conflict };

/** Why a commit was refused; nothing of it was kept. */
export type Conflict =
  | { readonly type: 'revision'; readonly id: DocumentId; readonly current: number }
  | { readonly type: 'claims'; readonly refused: readonly { wanted: Claim; holder: Claim }[] }
  | { readonly type: 'record'; readonly id: RecordId; readonly current: number }
  | { readonly type: 'fence'; readonly lease: string; readonly current: number };

/** One commit, as the log keeps it. Ids increase, with gaps allowed. */
export interface StoreEvent {
  readonly id: number;
  readonly at: string;
  readonly by: string;
  readonly changes: readonly EventChange[];
  /** Records of the commit, as they are after it; value undefined where one was deleted. */
  readonly records: readonly (RecordId & { version: number; value?: unknown })[];
}

export interface EventChange extends DocumentId {
  readonly revision: number;
  readonly digest: string;
  readonly calls: readonly Call[];
  /** Nothing is there under the name: it was deleted, or its history is being brought back. */
  readonly deleted: boolean;
  readonly patch: object | null;
  /** Whole, where there is no patch to make it from (new documents). */
  readonly document?: object;
}

/** A document's state, put together from the newest copy and the patches after it. */
export interface StoredDocument extends DocumentId {
  readonly revision: number;
  readonly deleted: boolean;
  /** The newest whole copy at or below `revision`; absent for deleted ones. */
  readonly base?: { readonly revision: number; readonly document: object };
  /** Patches of the revisions after the base, in order. */
  readonly patches: readonly object[];
  readonly digest: string;
}

export interface HistoryEntry extends DocumentId {
  readonly revision: number;
  readonly at: string;
  readonly by: string;
  readonly message?: string;
  readonly calls: readonly Call[];
  readonly digest: string;
  readonly deleted: boolean;
}

export interface Lease {
  readonly name: string;
  readonly owner: string;
  /** Fencing number: higher at every acquisition, and never below the clock in milliseconds, so that a store made anew cannot fall behind what machines have seen. */
  readonly fence: number;
  /** ISO time. */
  readonly expires: string;
}

export interface Store {
  /** For messages: what and where, without secrets. */
  readonly description: string;
  /** Whether other processes may be at work on it: leases that are there may be alive. */
  readonly shared: boolean;
  /** Foreign writes to the mirrors of clusters; left out where the store has no mirrors. */
  readonly mirrors?: Mirrors;

  /** Every document that is there or was deleted, every claim, and the log position they belong to. */
  load(): Promise<{ documents: StoredDocument[]; claims: Claim[]; position: number }>;

  /** All of it, durably, or nothing. */
  commit(commit: Commit): Promise<CommitResult>;

  /** Newest first; `before` leaves out that revision and later ones. */
  history(id: DocumentId, page: { before?: number; limit: number }): Promise<HistoryEntry[]>;

  /** Everything needed to rebuild a revision; undefined if it never was or is no longer kept. */
  revision(id: DocumentId, revision: number): Promise<StoredDocument | undefined>;

  /** Events after an id, oldest first. */
  events(after: number, limit: number): Promise<StoreEvent[]>;

  /**
   * Calls `listener` for every event from now on, in order, also those of other processes; answers how to stop.
   * `onLost` hears that events were missed for good (the log was cut, or a failover lost its end): load again. It is
   * waited for by `sync`.
   */
  follow(listener: (event: StoreEvent) => void, onLost?: () => Promise<void>): () => void;
  /** Followers have heard every commit that was made before this was called once it answers. */
  sync(): Promise<void>;

  records(kind: string): Promise<StoredRecord[]>;
  record(id: RecordId): Promise<StoredRecord | undefined>;
  /** Writes one record without an event; for jobs, whose progress is not part of the model. */
  putRecord(write: RecordWrite): Promise<{ ok: true; version: number } | { ok: false; conflict: Conflict }>;

  /** undefined while another owner's lease lives. The owner's own lease is renewed with its fence kept. `now` in ms since 1970. */
  acquire(name: string, owner: string, options: { ttlMs: number; now: number }): Promise<Lease | undefined>;
  /** false if it is no longer the owner's. */
  renew(lease: Lease, options: { ttlMs: number; now: number }): Promise<boolean>;
  /** Gives it back; nothing happens if it is no longer the owner's. */
  release(lease: Lease): Promise<void>;
  leases(): Promise<Lease[]>;
  /** An operator ends somebody's lease; false if there was none. */
  breakLease(name: string): Promise<boolean>;

  /** Fails if the store does not answer or cannot write; answers the id of the newest event. */
  ping(): Promise<number>;
  close(): Promise<void>;
}

/** A write by another program to the mirror of a cluster. */
export interface ForeignWrite {
  readonly id: string;
  readonly cluster: string;
  /** ISO time at which it was noticed. */
  readonly at: string;
  /** What the mirror held before: that of a revision, or of the foreign write with that id. */
  readonly base: { readonly revision: number } | { readonly after: string };
  /** The mirror's fields; undefined where it was removed. */
  readonly fields: Readonly<Record<string, string>> | undefined;
  readonly outcome?: ForeignOutcome;
}

/** What became of a foreign write. */
export type ForeignOutcome =
  | { readonly state: 'merged'; readonly at: string; readonly revision: number }
  | {
      readonly state: 'conflict';
      readonly at: string;
      /** Revision of the document that stayed as it was. */
      readonly revision: number;
      readonly problems: readonly Problem[];
    }
  | { readonly state: 'dismissed'; readonly at: string; readonly by: string };

/** Mirrors of clusters in the form of the original, which other programs may read and write. */
export interface Mirrors {
  /** Calls back whenever there may be a foreign write that has no outcome; answers how to stop. */
  onForeign(listener: () => void): () => void;
  /** How many have no outcome. */
  open(): Promise<number>;
  /** Oldest first: those without an outcome, conflicts that nobody dismissed, and the newest 50 of all others. */
  foreign(): Promise<ForeignWrite[]>;
  settle(id: string, outcome: ForeignOutcome): Promise<void>;
  /** Writes the mirror of a document anew, unless a foreign write came after this one. */
  restore(write: ForeignWrite, document: object | null, revision: number): Promise<void>;
  /** Records in the original's form of clusters that are not in the store. */
  unknown(): Promise<string[]>;
}

/** A whole copy of a document is kept at every revision that is a multiple of this, and at the first. */
export const COPY_EVERY = 50;
