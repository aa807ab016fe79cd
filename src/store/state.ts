/**
 * The one way to change what Weir holds, and to read it: a change is prepared (change.ts), committed,
 * and comes back as the store's event to the present (present.ts), whoever made it. Reads of the
 * present never touch the store. store/ may import the domain only.
 */
import { sameFound } from '../domain/edge/addresses.ts';
import type { Addresses, FoundAddresses } from '../domain/edge/addresses.ts';
import { styleInService } from '../domain/edge/check-change.ts';
import { freeLips, lipsInService } from '../domain/edge/lips.ts';
import type { LipPlan } from '../domain/edge/lips.ts';
import { ospfAnnounceOf } from '../domain/edge/model.ts';
import type { Cluster } from '../domain/edge/model.ts';
import { messageOf, refuse, WeirError } from '../domain/errors.ts';
import { error } from '../domain/problem.ts';
import { prepare, refusedClaims, commitOf } from './change.ts';
import type { ChangeRequest, ChangeOutcome, Prepared } from './change.ts';
import { holdingsDelta } from './holdings.ts';
import type { HoldingsDelta } from './holdings.ts';
import { importCluster } from './import.ts';
import type { ImportOutcome, ImportRequest } from './import.ts';
import { moveVip } from './move.ts';
import type { MoveOutcome, MoveRequest } from './move.ts';
import type { RecordWrite, Store, StoreEvent } from './port.ts';
import { loadPresent, rebuild } from './present.ts';
import type { ClusterState, Present } from './present.ts';
import { extractSecrets, keysIn, secretName, secretsOf } from './secrets.ts';

export interface State {
  get(name: string): ClusterState | undefined;
  /** By name, ascending. */
  list(): ClusterState[];
  /** Clusters that have VIPs of a wstype. */
  withWstype(wstype: string): ClusterState[];
  wstypes(): string[];
  /** The newest event that was taken in. */
  version(): number;
  /** Changes whenever anything that can be read here may have; for caches of it. */
  generation(): number;
  /** Calls back where events were missed for good, so that who follows them has to begin anew; answers how to stop. */
  onMissed(listener: () => void): () => void;
  /** Takes in what the store has; false where an event of that id is not in it. */
  reached(position: number): Promise<boolean>;
  /** Takes in all that is committed now. */
  sync(): Promise<void>;
  /** The newest revision of a name, also that of a deletion; 0 if it was never used. */
  revisionOf(name: string): number;
  /** Names of which only the history is left, ascending. */
  deleted(): { name: string; revision: number }[];
  /** Knows the secrets that a cluster's document refers to, once it answers. */
  learnSecret(cluster: string): Promise<void>;
  change(request: ChangeRequest): Promise<ChangeOutcome>;
  /** A step of a VIP's move between clusters: both documents, or none. */
  move(request: MoveRequest): Promise<MoveOutcome>;
  /** Takes in a cluster that another Weir gave. */
  takeIn(request: ImportRequest): Promise<ImportOutcome>;
  /** Stores addresses that WSs were found at, if they differ. */
  setAddresses(cluster: string, found: FoundAddresses): Promise<void>;
  /** Ends the quarantine of LIPs. */
  freeLips(cluster: string, addresses: readonly string[], by: string): Promise<LipPlan>;
  /** The document of a revision that is still kept. */
  documentAt(name: string, revision: number): Promise<Cluster>;
  secret(reference: string): string | undefined;
  onEvent(listener: (event: StoreEvent) => void): () => void;
  close(): void;
}

export interface StateOptions {
  now: () => Date;
  /** Random text for the names of secrets. */
  randomId: () => string;
  onError: (message: string, thrown: unknown) => void;
  /** LBs of a cluster that Weir saw activate anything, by hostname, with the LIPs that each runs; without it none is known. */
  inService?: (cluster: string) => Promise<ReadonlyMap<string, readonly string[] | undefined>>;
}

/** Whether an LB goes back into service. */
function isUndrained(before: Cluster, after: Cluster): boolean {
  if (before.lbinfos === after.lbinfos) return false;
  const drained = new Set(before.lbinfos.flatMap((lb) => (lb.state === 'drain' ? lb.hostname : [])));
  return after.lbinfos.some((lb) => lb.state !== 'drain' && drained.has(lb.hostname));
}

/** Tries of one change against others of other processes before it is given up. */
const MAX_TRIES = 50;
/** Between tries to load everything again, in ms. */
const RELOAD_MS = 500;

export async function openState(store: Store, options: StateOptions): Promise<State> {
  const listeners = new Set<(event: StoreEvent) => void>();
  const queue = createQueue();
  /** Events that come while everything is loaded; undefined while nothing is. */
  let held: StoreEvent[] | undefined = [];
  const ending = new AbortController();
  const missed = new Set<() => void>();
  let reloading: Promise<void> | undefined;
  /** Losses so far: one that comes while everything is loaded makes it be loaded once more. */
  let losses = 0;
  let generation = 0;
  let present!: Present;
  const unfollow = store.follow((event) => (held ? held.push(event) : take(event)), reload);
  const first = await loadPresent(store).catch((thrown: unknown) => {
    unfollow();
    throw thrown;
  });
  if (losses === 0) {
    present = first;
    release();
  } else await reloading;

  function take(event: StoreEvent): void {
    generation++;
    try {
      present.take(event);
    } catch (thrown) {
      options.onError(`event ${event.id} cannot be taken in: ${messageOf(thrown)}; everything is loaded again`, thrown);
      void reload();
    }
    for (const listener of listeners) {
      try {
        listener(event);
      } catch (thrown) {
        options.onError(`a listener failed on event ${event.id}: ${messageOf(thrown)}`, thrown);
      }
    }
    for (const change of event.changes) {
      learnSecret(change.name).catch((thrown: unknown) => options.onError('a secret cannot be read', thrown));
    }
  }

  function release(): void {
    const events = held ?? [];
    held = undefined;
    events.forEach(take);
  }

  /** Until it has succeeded: what is held in memory meanwhile is old, and nothing can be made of the events that follow. */
  function reload(): Promise<void> {
    held ??= [];
    losses++;
    reloading ??= loadAgain();
    return reloading;
  }

  async function loadAgain(): Promise<void> {
    while (!ending.signal.aborted) {
      const seen = losses;
      try {
        const loaded = await loadPresent(store);
        if (seen !== losses) continue;
        present = loaded;
        break;
      } catch (thrown) {
        options.onError('the state cannot be loaded again', thrown);
        await new Promise((resolve) => setTimeout(resolve, RELOAD_MS));
      }
    }
    generation++;
    reloading = undefined;
    release();
    for (const listener of missed) listener();
  }

  /** Events carry no secrets: one that another process stored is read when a document first refers to it. */
  async function learnSecret(cluster: string): Promise<void> {
    for (const { key } of secretsOf(present.clusters.get(cluster)?.cluster)) await learn(key);
  }

  async function learn(reference: string): Promise<void> {
    const key = secretName(reference);
    if (key === undefined || present.secrets.has(key)) return;
    const record = await store.record({ kind: 'secret', key });
    if (record) present.secrets.set(key, String(record.value));
  }

  /** Written ahead of the document, and on their own, so that the log of events never holds them. */
  async function keepSecrets(secrets: readonly RecordWrite[]): Promise<void> {
    for (const secret of secrets) {
      if (present.secrets.has(secret.key)) continue;
      await store.putRecord(secret);
      present.secrets.set(secret.key, String(secret.value));
    }
  }

  /** After a commit. It is made, whether or not all of it can be loaded again soon. */
  async function settled(): Promise<void> {
    if (reloading) await store.sync().catch(() => undefined);
  }

  /** A refusal, or that nothing changes, is told only once all that others answered before is taken in. */
  async function prepared(request: ChangeRequest): Promise<Prepared> {
    if (store.shared) {
      try {
        const next = await attempt(request);
        if (next.outcome.changed) return next;
      } catch (thrown) {
        if (!(thrown instanceof WeirError)) throw thrown;
      }
      await store.sync();
    }
    return attempt(request);
  }

  async function attempt(request: ChangeRequest): Promise<Prepared> {
    const next = prepare(present, request, options.now().toISOString());
    await refuseInService(next);
    return next;
  }

  /** What LBs in service are is asked for only where LIPs, or how VIPs are announced, change at all. */
  async function refuseInService({ before, document, outcome }: Prepared): Promise<void> {
    if (!options.inService || !before || !document) return;
    const calm = before.lips === outcome.lips && ospfAnnounceOf(before.cluster) === ospfAnnounceOf(document);
    if (calm && !isUndrained(before.cluster, document)) return;
    const inService = await options.inService(before.name);
    const plans = { from: before.lips, to: outcome.lips };
    const problems = [
      ...lipsInService({ before: before.cluster, after: document, ...plans, inService }),
      ...styleInService(before.cluster, document, new Set(inService.keys())),
    ];
    if (problems.length > 0) throw refuse(problems, 'conflict');
  }

  async function commitChange(request: ChangeRequest): Promise<ChangeOutcome> {
    await learnSecret(request.cluster);
    for (const reference of keysIn(request.calls)) await learn(reference);
    const { calls, secrets } = extractSecrets(request.calls, {
      cluster: request.cluster,
      present: secretsOf(present.clusters.get(request.cluster)?.cluster).map(({ key }) => key),
      valueOf: (name) => present.secrets.get(name),
      randomId: options.randomId,
    });
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const next = await prepared({ ...request, calls });
      if (!next.outcome.changed || request.dryRun === true) return next.outcome;
      await keepSecrets(secrets);
      const commit = commitOf(next, { ...request, calls }, options.now().toISOString());
      const result = await store.commit(commit);
      if (result.ok) {
        await settled();
        return next.outcome;
      }
      if (result.conflict.type === 'claims' && present.knows(result.conflict))
        throw refusedClaims(next.document, result.conflict);
      await store.sync();
    }
    throw new WeirError('conflict', `cluster ${request.cluster} changes faster than this change can be made`, {
      hint: 'try again',
      retryAfter: 1,
    });
  }

  return {
    get: (name) => present.clusters.get(name),
    list: () => [...present.clusters.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    withWstype: (wstype) =>
      [...(present.byWstype.get(wstype) ?? [])].flatMap((name) => present.clusters.get(name) ?? []),
    wstypes: () => [...present.byWstype.keys()].sort(),
    version: () => present.version(),
    generation: () => generation,
    onMissed(listener) {
      missed.add(listener);
      return () => missed.delete(listener);
    },
    async reached(position) {
      if (present.version() >= position) return true;
      await store.sync();
      return present.version() >= position;
    },
    sync: () => store.sync(),
    revisionOf: (name) => present.clusters.get(name)?.revision ?? present.deleted.get(name) ?? 0,
    deleted: () =>
      [...present.deleted].map(([name, revision]) => ({ name, revision })).sort((a, b) => (a.name < b.name ? -1 : 1)),
    learnSecret,
    takeIn(request) {
      const work = () => importCluster(request, { store, present: () => present, now: options.now });
      return request.dryRun === true ? work() : queue(work);
    },
    move(request) {
      const work = () => moveVip(request, { store, present: () => present, now: options.now, settled });
      return request.dryRun === true ? work() : queue(work);
    },
    change: (request) => (request.dryRun === true ? commitChange(request) : queue(() => commitChange(request))),
    setAddresses: (cluster, found) =>
      queue(async () => {
        for (let tries = 1; ; tries++) {
          const state = present.clusters.get(cluster);
          if (!state || sameAddresses(state.addresses, found)) return;
          const record = { kind: 'addresses', key: cluster, expected: state.addressesVersion, value: found };
          try {
            await commitRecords([record], 'weir');
            return;
          } catch (thrown) {
            // Another process may have looked at the same time.
            if (tries === MAX_TRIES || !(thrown instanceof WeirError) || thrown.code !== 'conflict') throw thrown;
            await store.sync();
          }
        }
      }),
    freeLips: (cluster, addresses, by) =>
      queue(async () => {
        const state = present.clusters.get(cluster);
        if (!state)
          throw new WeirError('not_found', `there is no cluster ${cluster}`, { hint: 'weir get clusters lists them' });
        const { plan, unknown } = freeLips(state.lips, addresses);
        if (unknown.length > 0) {
          throw refuse(
            unknown.map((a) =>
              error('lips', {
                code: 'not_quarantined',
                message: `${a} is not in quarantine`,
                hint: 'weir show lists the quarantine',
              }),
            ),
            'not_found',
          );
        }
        const delta = holdingsDelta(state, { ...state, lips: plan });
        await commitRecords([{ kind: 'lips', key: cluster, expected: state.lipsVersion, value: plan }], by, delta);
        return plan;
      }),
    documentAt: (name, revision) => documentAt(store, name, revision),
    secret: (reference) => present.secrets.get(reference),
    onEvent(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close() {
      ending.abort();
      unfollow();
    },
  };

  async function commitRecords(records: RecordWrite[], by: string, delta?: HoldingsDelta): Promise<void> {
    const claims = { remove: delta?.remove ?? [], add: delta?.add ?? [] };
    const result = await store.commit({ changes: [], claims, records, by, at: options.now().toISOString() });
    if (!result.ok)
      throw new WeirError('conflict', 'another process changed it at the same time', { hint: 'try again' });
  }
}

async function documentAt(store: Store, name: string, revision: number): Promise<Cluster> {
  const stored = await store.revision({ kind: 'cluster', name }, revision);
  const cluster = stored && rebuild(stored);
  if (cluster) return cluster;
  throw new WeirError(
    'not_found',
    `revision ${revision} of cluster ${name} ${stored ? 'is a deletion' : 'is not kept or never was'}`,
    {
      hint: `weir history ${name} lists the revisions`,
    },
  );
}

/** Whether what was found is what is known. */
function sameAddresses(known: Addresses, found: FoundAddresses): boolean {
  const names = Object.keys(found);
  return names.length === Object.keys(known.found).length && names.every((n) => sameFound(known.get(n), found[n]));
}

/** One after the other; a failure does not stop the next. */
function createQueue(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return <T>(work: () => Promise<T>) => {
    const run = last.then(work, work);
    last = run.catch(() => undefined);
    return run;
  };
}
