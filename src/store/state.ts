/**
 * The present, in memory, and the one way to change it. Every document is held here as an immutable
 * value with its revision, LIP plan and addresses, and is brought up to date by the store's events
 * alone, so that a change made here and one made by another process take the same path.
 * Reads of the present never touch the store. May import the domain and the store port.
 */
import { nextAddresses, noAddresses, sameFound } from '../domain/edge/addresses.ts';
import type { Addresses, FoundAddresses } from '../domain/edge/addresses.ts';
import { checkCluster } from '../domain/edge/check.ts';
import { claimProblem } from '../domain/edge/claims.ts';
import { emptyLipPlan, freeLips, planLips } from '../domain/edge/lips.ts';
import type { LipPlan } from '../domain/edge/lips.ts';
import type { Cluster, Vip } from '../domain/edge/model.ts';
import { applyCalls } from '../domain/edge/operations.ts';
import type { Call } from '../domain/edge/operations.ts';
import { applyPatch, diffCluster, digestOf, isEmptyPatch, reconcile } from '../domain/edge/patch.ts';
import type { ClusterPatch } from '../domain/edge/patch.ts';
import { messageOf, refuse, WeirError } from '../domain/errors.ts';
import { error, errorsOf, warningsOf } from '../domain/problem.ts';
import type { Problem } from '../domain/problem.ts';
import { createHoldings, holdingsDelta } from './holdings.ts';
import type { Holder, HoldingsDelta } from './holdings.ts';
import type { Commit, Conflict, RecordWrite, Store, StoredDocument, StoreEvent } from './port.ts';
import { extractSecrets, secretName, withoutSecrets } from './secrets.ts';

/** One cluster as it is now. The object is replaced whenever anything of it changes. */
export interface ClusterState extends Holder {
  readonly revision: number;
  readonly digest: string;
  readonly addresses: Addresses;
  readonly lipsVersion: number;
  readonly addressesVersion: number;
}

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

export interface State {
  get(name: string): ClusterState | undefined;
  /** By name, ascending. */
  list(): ClusterState[];
  /** Clusters that have VIPs of a wstype. */
  withWstype(wstype: string): ClusterState[];
  wstypes(): string[];
  /** Goes up with every event that was taken in; for caches of what was read. */
  version(): number;
  change(request: ChangeRequest): Promise<ChangeOutcome>;
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
}

/** Tries of one change against others of other processes before it is given up. */
const MAX_TRIES = 50;

export async function openState(store: Store, options: StateOptions): Promise<State> {
  const present = await loadPresent(store);
  const listeners = new Set<(event: StoreEvent) => void>();
  const queue = createQueue();
  const stop = store.follow((event) => {
    try {
      present.take(event);
    } catch (thrown) {
      options.onError(`event ${event.id} cannot be taken in: ${messageOf(thrown)}`, thrown);
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
  });

  /** Events carry no secrets: one that another process stored is read when a document first refers to it. */
  async function learnSecret(cluster: string): Promise<void> {
    const key = secretName(present.clusters.get(cluster)?.cluster.ospf?.key);
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

  async function commitChange(request: ChangeRequest): Promise<ChangeOutcome> {
    const { calls, secrets } = extractSecrets(request.calls, {
      cluster: request.cluster,
      present: present.clusters.get(request.cluster)?.cluster.ospf?.key,
      valueOf: (name) => present.secrets.get(name),
      randomId: options.randomId,
    });
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const next = prepare(present, { ...request, calls }, options.now().toISOString());
      if (!next.outcome.changed || request.dryRun === true) return next.outcome;
      await keepSecrets(secrets);
      const commit = commitOf(next, { ...request, calls }, options.now().toISOString());
      const result = await store.commit(commit);
      if (result.ok) return next.outcome;
      if (result.conflict.type === 'claims' && present.knows(result.conflict))
        throw refusedClaims(next.document, result.conflict);
      await present.catchUp(store);
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
    change: (request) => (request.dryRun === true ? commitChange(request) : queue(() => commitChange(request))),
    setAddresses: (cluster, found) =>
      queue(async () => {
        const state = present.clusters.get(cluster);
        if (!state || sameAddresses(state.addresses, found)) return;
        await commitRecords(
          [{ kind: 'addresses', key: cluster, expected: state.addressesVersion, value: found }],
          'weir',
        );
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
    close: stop,
  };

  async function commitRecords(records: RecordWrite[], by: string, delta?: HoldingsDelta): Promise<void> {
    const claims = { remove: delta?.remove ?? [], add: delta?.add ?? [] };
    const result = await store.commit({ changes: [], claims, records, by, at: options.now().toISOString() });
    if (!result.ok)
      throw new WeirError('conflict', 'another process changed it at the same time', { hint: 'try again' });
  }
}

// the present --------------------------------------------------------------------------------

interface Present {
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
  catchUp(store: Store): Promise<void>;
}

async function loadPresent(store: Store): Promise<Present> {
  const [{ documents, position }, lips, addresses, secrets] = await Promise.all([
    store.load(),
    store.records('lips'),
    store.records('addresses'),
    store.records('secret'),
  ]);
  const present = createPresent(position);
  for (const record of secrets) present.secrets.set(record.key, String(record.value));
  const lipsBy = new Map(lips.map((r) => [r.key, r]));
  const addressesBy = new Map(addresses.map((r) => [r.key, r]));
  for (const stored of documents) {
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
      holdings.applyFound(before?.addresses.found ?? {}, next.addresses.found);
    }
    clusters.set(next.name, next);
    reindex(next.name, before?.cluster.vip2ws, next.cluster.vip2ws);
    deleted.delete(next.name);
  }

  function uninstall(name: string, revision: number): void {
    const before = clusters.get(name);
    if (before) {
      holdings.apply(holdingsDelta(before, undefined));
      holdings.applyFound(before.addresses.found, {});
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
    async catchUp(store) {
      for (;;) {
        const events = await store.events(at, 500);
        for (const event of events) take(event);
        if (events.length < 500) return;
      }
    },
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

// one change ---------------------------------------------------------------------------------

interface Prepared {
  before: ClusterState | undefined;
  /** Newest revision of the name, also that of a deletion. */
  base: number;
  document: Cluster | undefined;
  delta: HoldingsDelta;
  outcome: ChangeOutcome;
}

/** Makes the next document and holds it against every rule; throws a WeirError with all problems. */
function prepare(present: Present, request: ChangeRequest, now: string): Prepared {
  const before = present.clusters.get(request.cluster);
  const base = before?.revision ?? present.deleted.get(request.cluster) ?? 0;
  if (request.expected !== undefined && request.expected !== (before?.revision ?? 0)) {
    throw new WeirError(
      'revision_mismatch',
      `cluster ${request.cluster} is at revision ${before?.revision ?? 0}, not ${request.expected}`,
      {
        hint: 'read it again, make the change on that, and send its ETag',
        revision: before?.revision ?? 0,
      },
    );
  }
  const applied = applyCalls(before?.cluster, request.calls);
  if (!applied.ok) throw refuse(withoutSecrets(applied.problems), applied.reason);
  const document = applied.cluster && (before ? reconcile(before.cluster, applied.cluster) : applied.cluster);
  if (document && document.name !== request.cluster) throw refuse([nameMismatch(request.cluster, document.name)]);
  if (!document) return prepareDeletion(before, base);
  const patch = before ? diffCluster(before.cluster, document) : null;
  const plan = planFor(present, { before, document, now });
  const holder = { name: request.cluster, cluster: document, lips: plan.lips };
  const delta = holdingsDelta(before, holder);
  const problems = [...checkCluster(document), ...plan.problems];
  const claimed = claimProblems(present, holder, delta);
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
function claimProblems(present: Present, holder: Holder, delta: HoldingsDelta): Problem[] {
  const given = new Set(delta.remove.map((c) => c.key));
  const wanted = new Map<string, (typeof delta.add)[number]>();
  const problems: Problem[] = [];
  for (const claim of delta.add) {
    const other = wanted.get(claim.key) ?? (given.has(claim.key) ? undefined : present.holdings.claim(claim.key));
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

function mentionedLip(address: string, what: string): Problem {
  return error('', {
    code: 'address_is_lip',
    message: `${address} is a gateway or WS here, but it is ${what}`,
    hint: 'correct the address, or give that LB other lips first',
  });
}

function refusedClaims(document: Cluster | undefined, conflict: Extract<Conflict, { type: 'claims' }>): WeirError {
  if (!document)
    return new WeirError('conflict', 'claims changed while the cluster was deleted', { hint: 'try again' });
  return refuse(
    conflict.refused.map(({ wanted, holder }) => claimProblem(document, wanted, holder)),
    'claimed',
  );
}

function commitOf(next: Prepared, request: ChangeRequest, at: string): Commit {
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

// ---------------------------------------------------------------------------------------------

function rebuild(stored: StoredDocument): Cluster | undefined {
  if (stored.deleted || !stored.base) return undefined;
  return stored.patches.reduce<Cluster>((doc, patch) => applyPatch(doc, patch), stored.base.document as Cluster);
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
