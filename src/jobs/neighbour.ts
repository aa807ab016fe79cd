/**
 * The original as a neighbour: what it writes to the mirrors of clusters becomes a revision by `external` where
 * it crosses no change of ours, and is reported with both versions where it does. Of several processes one works
 * on a cluster's writes at a time.
 */
import { withLipsOfNew } from '../adopt/original/lips.ts';
import { mergeForeign } from '../adopt/original/merge.ts';
import type { Crossing } from '../adopt/original/merge.ts';
import { readRecord } from '../adopt/original/record.ts';
import type { Cluster } from '../domain/edge/model.ts';
import type { Call } from '../domain/edge/operations.ts';
import { sameValue } from '../domain/edge/patch.ts';
import { messageOf, WeirError } from '../domain/errors.ts';
import { error } from '../domain/problem.ts';
import type { Problem } from '../domain/problem.ts';
import type { ForeignOutcome, ForeignWrite, Mirrors, Store } from '../store/port.ts';
import type { State } from '../store/state.ts';

/** Who a merged foreign write is by. */
export const EXTERNAL = 'external';

export interface NeighbourOptions {
  store: Store;
  state: State;
  now: () => Date;
  /** Names this process as owner of leases. */
  owner: string;
  onError: (message: string, thrown: unknown) => void;
}

export interface Neighbour {
  /** Foreign writes that crossed ours or made no valid document, newest first. */
  conflicts(): Promise<ForeignConflict[]>;
  dismiss(id: string, by: string): Promise<void>;
  /** Resolves when what is there now has its outcome. */
  settle(): Promise<void>;
  close(): void;
}

/** A foreign write with what it was made from and what stands instead. */
export interface ForeignConflict {
  id: string;
  cluster: string;
  at: string;
  /** Revision of `present`. */
  revision: number;
  problems: readonly Problem[];
  /** The mirror's fields as they were written; null where it was removed. */
  foreign: Readonly<Record<string, string>> | null;
  base: Cluster | null;
  present: Cluster | null;
}

const LEASE_MS = 10_000;
const LOOK_MS = 5000;

/** undefined where the store has no mirrors. */
export function createNeighbour(options: NeighbourOptions): Neighbour | undefined {
  const { store, state } = options;
  const { mirrors } = store;
  if (!mirrors) return undefined;
  const known: Mirrors = mirrors;
  let last: Promise<void> = Promise.resolve();

  function settle(): Promise<void> {
    last = last
      .then(settleNow)
      .catch((thrown: unknown) => options.onError('foreign writes cannot be looked at', thrown));
    return last;
  }

  async function settleNow(): Promise<void> {
    if ((await known.open()) === 0) return;
    const all = await known.foreign();
    const clusters = new Set(all.filter((write) => !write.outcome).map((write) => write.cluster));
    for (const cluster of clusters) {
      // One that cannot be settled does not hold up the others.
      await settleCluster(cluster).catch((thrown: unknown) =>
        options.onError(`foreign writes to cluster ${cluster} cannot be looked at: ${messageOf(thrown)}`, thrown),
      );
    }
  }

  async function settleCluster(cluster: string): Promise<void> {
    const term = { ttlMs: LEASE_MS, now: options.now().getTime() };
    const lease = await store.acquire(`external:${cluster}`, options.owner, term);
    if (!lease) return;
    try {
      const all = (await known.foreign()).filter((write) => write.cluster === cluster);
      for (const write of all) {
        if (!write.outcome) await known.settle(write.id, await outcomeOf(write, all));
      }
    } finally {
      await store.release(lease);
    }
  }

  async function outcomeOf(write: ForeignWrite, all: readonly ForeignWrite[]): Promise<ForeignOutcome> {
    const at = options.now().toISOString();
    const merged = await merge(write, all).catch((thrown: unknown) => refusedBy(thrown));
    const { revision } = state.get(write.cluster) ?? { revision: state.revisionOf(write.cluster) };
    const present = state.get(write.cluster)?.cluster ?? null;
    await known.restore(write, present, revision);
    if (merged.length === 0) return { state: 'merged', at, revision };
    if (all.some((other) => isRepeated(write, other))) return { state: 'dismissed', at, by: 'weir' };
    options.onError(`a foreign write to cluster ${write.cluster} conflicts: ${merged[0]?.message ?? ''}`, undefined);
    return { state: 'conflict', at, revision, problems: merged };
  }

  /** Tried anew where the document changed meanwhile. Answers why it cannot be. */
  async function merge(write: ForeignWrite, all: readonly ForeignWrite[]): Promise<Problem[]> {
    await state.sync();
    if (await isMerged(write)) return [];
    for (let tries = 0; ; tries++) {
      const present = state.get(write.cluster);
      const next = await merged(write, { all, present: present?.cluster });
      if (next.problems) return next.problems;
      if (!next.call) return [];
      try {
        await state.change({
          cluster: write.cluster,
          calls: [next.call],
          by: EXTERNAL,
          expected: present?.revision ?? 0,
          message: messageFor(write),
        });
        return [];
      } catch (thrown) {
        if (!(thrown instanceof WeirError) || thrown.code !== 'revision_mismatch' || tries > 20) throw thrown;
      }
    }
  }

  async function isMerged(write: ForeignWrite): Promise<boolean> {
    const recent = await store.history({ kind: 'cluster', name: write.cluster }, { limit: 50 });
    return recent.some(({ by, message }) => by === EXTERNAL && message === messageFor(write));
  }

  async function merged(
    write: ForeignWrite,
    { all, present }: { all: readonly ForeignWrite[]; present: Cluster | undefined },
  ): Promise<{ call?: Call; problems?: Problem[] }> {
    const base = await baseOf(write, all);
    if (!write.fields) return present ? removal(write.cluster, base, present) : {};
    const foreign = readRecord(write.cluster, write.fields);
    if (!foreign.ok) return { problems: foreign.problems };
    if (!present) return { problems: [gone(write.cluster)] };
    const outcome = mergeForeign({ base: base ?? present, foreign: foreign.value, present });
    if (!outcome.ok) return { problems: outcome.crossings.map(crossed) };
    if (!outcome.changed) return {};
    // A record from before its cluster was taken over, say, that is not what was taken over.
    if (!base) return { problems: [baseless(write.cluster)] };
    return { call: { op: 'cluster.replace', input: { cluster: withLipsOfNew(outcome.cluster, present) } } };
  }

  /** What the writer had before it: a revision, or a revision with an earlier foreign write on top. */
  async function baseOf(write: ForeignWrite, all: readonly ForeignWrite[]): Promise<Cluster | undefined> {
    if ('revision' in write.base) return documentAt(write.cluster, write.base.revision);
    const { after } = write.base;
    const earlier = all.find((other) => other.id === after);
    const under = earlier && (await baseOf(earlier, all));
    if (!earlier?.fields || !under) return under;
    const foreign = readRecord(write.cluster, earlier.fields);
    if (!foreign.ok) return under;
    const outcome = mergeForeign({ base: under, foreign: foreign.value, present: under });
    return outcome.ok ? outcome.cluster : under;
  }

  async function documentAt(cluster: string, revision: number): Promise<Cluster | undefined> {
    const present = state.get(cluster);
    if (present?.revision === revision) return present.cluster;
    return state.documentAt(cluster, revision).catch(() => undefined);
  }

  const stop = known.onForeign(() => void settle());
  // What a process that died was at is left to whoever looks next.
  const timer = setInterval(() => void settle(), LOOK_MS);
  void settle();
  return {
    settle,
    close() {
      clearInterval(timer);
      stop();
    },
    async conflicts() {
      const all = await known.foreign();
      const open = all.filter((write) => write.outcome?.state === 'conflict').toReversed();
      return Promise.all(open.map((write) => described(write, all)));
    },
    async dismiss(id, by) {
      const write = (await known.foreign()).find((other) => other.id === id);
      if (write?.outcome?.state !== 'conflict') {
        throw new WeirError('not_found', `there is no conflict ${id}`, { hint: 'weir conflict list shows them' });
      }
      await known.settle(id, { state: 'dismissed', at: options.now().toISOString(), by });
    },
  };

  async function described(write: ForeignWrite, all: readonly ForeignWrite[]): Promise<ForeignConflict> {
    const { id, cluster, at, fields, outcome } = write;
    const conflict = outcome?.state === 'conflict' ? outcome : { revision: 0, problems: [] };
    const present = state.get(cluster)?.cluster ?? null;
    const base = (await baseOf(write, all)) ?? null;
    const { revision, problems } = conflict;
    return { id, cluster, at, revision, problems, foreign: fields ?? null, base, present };
  }
}

/** Its id is in the revision that was made of it, so that it is not merged again where its outcome was not kept. */
function messageFor({ cluster, id }: ForeignWrite): string {
  return `written to cluster:${cluster} by another program (${id})`;
}

/** The same conflict once more: a script that writes the same record again and again. */
function isRepeated(write: ForeignWrite, other: ForeignWrite): boolean {
  return (
    other.id !== write.id &&
    other.cluster === write.cluster &&
    other.outcome?.state === 'conflict' &&
    sameValue(other.fields, write.fields)
  );
}

/** A record that was removed removes the cluster, unless it has changed since. */
function removal(name: string, base: Cluster | undefined, present: Cluster): { call?: Call; problems?: Problem[] } {
  if (base === present) return { call: { op: 'cluster.delete', input: {} } };
  return {
    problems: [
      error('', {
        code: 'crossing',
        message: `cluster:${name} was removed by another program after it had changed here`,
        hint: `delete it yourself if that is right: weir cluster delete ${name}`,
      }),
    ],
  };
}

function crossed({ path, what, key }: Crossing): Problem {
  const thing = what === 'head' ? key : `${what.toUpperCase()} ${key}`;
  return error(path, {
    code: 'crossing',
    message: `${thing} was changed here and by another program`,
    hint: 'weir conflict show tells both versions: make the change that is right, then weir conflict dismiss',
  });
}

function gone(name: string): Problem {
  return error('', {
    code: 'crossing',
    message: `cluster ${name} was changed by another program after it had been deleted here`,
    hint: 'import it: weir import original',
  });
}

function baseless(name: string): Problem {
  return error('', {
    code: 'unknown_base',
    message: `what the record of cluster ${name} was made from is no longer kept`,
    hint: 'weir conflict show tells what was written: make that change here',
  });
}

/** Refused by the rules of the model, or by what other clusters hold. Faults of the store are none of that. */
function refusedBy(thrown: unknown): Problem[] {
  if (!(thrown instanceof WeirError) || thrown.code === 'store' || thrown.code === 'unavailable') throw thrown;
  if (thrown.problems.length > 0) return [...thrown.problems];
  return [error('', { code: thrown.code, message: messageOf(thrown), hint: thrown.hint ?? 'make the change here' })];
}
