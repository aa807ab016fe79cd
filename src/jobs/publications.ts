/**
 * Publications: bringing a cluster's releases onto its LBs, in parallel, as a job that is recorded,
 * can be watched, cancelled, and is known as interrupted when its process died. One publication of a
 * cluster at a time, by a lease whose fencing number the LBs check.
 * jobs/ may import domain, render, store, publish, observe and remote.
 */
import { setMaxListeners } from 'node:events';
import pLimit from 'p-limit';
import { lipsOf } from '../domain/edge/lips.ts';
import type { Lb, Cluster } from '../domain/edge/model.ts';
import { messageOf, refuse, WeirError } from '../domain/errors.ts';
import { error } from '../domain/problem.ts';
import type { Problem } from '../domain/problem.ts';
import { publishToLb } from '../publish/publish-lb.ts';
import type { LbOutcome, PublishStep } from '../publish/publish-lb.ts';
import type { Remote, Target } from '../remote/port.ts';
import type { Release } from '../render/cluster.ts';
import type { Lease, Store } from '../store/port.ts';
import type { ClusterState } from '../store/present.ts';
import type { State } from '../store/state.ts';
import type { Published, PublishedReleases } from './published.ts';
import { mustGet } from './releases.ts';
import type { Releases } from './releases.ts';

export type LbState = 'waiting' | 'running' | LbOutcome['state'];

export interface LbProgress {
  readonly state: LbState;
  readonly step: PublishStep | '';
  readonly message: string;
  readonly warnings: readonly string[];
  /** Release that the LB gets; empty when the original files are put back. */
  readonly release: string;
  /** Bytes sent to the LB. */
  readonly bytes: number;
}

export type PublicationState = 'running' | 'done' | 'failed' | 'cancelled' | 'interrupted';

export interface Publication {
  readonly id: string;
  readonly cluster: string;
  readonly revision: number;
  /** `restore`: what was there before the first publication is put back. */
  readonly action: 'publish' | 'restore';
  readonly state: PublicationState;
  readonly by: string;
  /** ISO times. */
  readonly at: string;
  readonly ended?: string;
  readonly warnings: readonly Problem[];
  readonly lbs: Readonly<Record<string, LbProgress>>;
}

export interface PublicationRequest {
  cluster: string;
  by: string;
  /** Only these LBs; all if left out. */
  lbs?: readonly string[] | undefined;
  /** Refuse unless this is the current revision. */
  revision?: number | undefined;
  /** Replace files that were changed by hand on the LB. */
  overwrite?: boolean | undefined;
  action?: 'publish' | 'restore' | undefined;
}

export interface Publications {
  start(request: PublicationRequest): Promise<Publication>;
  get(cluster: string, id: string): Promise<Publication>;
  /** Newest first. */
  list(cluster: string, limit: number): Promise<Publication[]>;
  cancel(cluster: string, id: string): Promise<Publication>;
  /** Calls back at every change until the end; answers how to stop. undefined if it is not under way here. */
  watch(id: string, listener: (publication: Publication) => void): (() => void) | undefined;
  /** Marks publications whose process died as interrupted. */
  recover(): Promise<void>;
  /** Cancels what is under way and waits for it. */
  close(): Promise<void>;
}

export interface PublicationOptions {
  store: Store;
  state: State;
  releases: Releases;
  published: PublishedReleases;
  remote: Remote;
  now: () => Date;
  randomId: () => string;
  /** Sessions at once over all publications. */
  parallel: number;
  /** One LB, from connect to confirm, in ms. */
  timeoutMs: number;
  /** Names this process as owner of leases. */
  owner: string;
  onError: (message: string, thrown: unknown) => void;
}

const LEASE_MS = 15_000;
const KIND = 'publication';
/** Publications kept per cluster. */
const KEPT = 100;

interface Running {
  publication: Publication;
  listeners: Set<(publication: Publication) => void>;
  abort: AbortController;
  finished: Promise<void>;
  saving: Promise<void>;
}

/** A lease that is renewed until it is released. */
interface Held {
  readonly fence: number;
  readonly lost: AbortSignal;
  /** Never rejects. */
  release(): Promise<void>;
}

export function createPublications(options: PublicationOptions): Publications {
  const { store, state, releases, published } = options;
  const running = new Map<string, Running>();
  const limit = pLimit(options.parallel);

  async function start(request: PublicationRequest): Promise<Publication> {
    const id = newId(options);
    const owner = `${options.owner}/${id}`;
    const lease = await store.acquire(leaseName(request.cluster), owner, {
      ttlMs: LEASE_MS,
      now: options.now().getTime(),
    });
    if (!lease) throw await busy(store, request.cluster);
    const held = hold(lease);
    try {
      return await begin(id, request, held);
    } catch (thrown) {
      await held.release();
      throw thrown;
    }
  }

  /** Keeps a lease while work goes on; `lost` fires where another took it. */
  function hold(lease: Lease): Held {
    const lost = new AbortController();
    const heart = setInterval(() => {
      store.renew(lease, { ttlMs: LEASE_MS, now: options.now().getTime() }).then(
        (kept) => kept || lost.abort(),
        (thrown: unknown) => options.onError(`lease ${lease.name} cannot be renewed`, thrown),
      );
    }, LEASE_MS / 3);
    return {
      fence: lease.fence,
      lost: lost.signal,
      async release() {
        clearInterval(heart);
        await store.release(lease).catch((thrown: unknown) => options.onError('a lease cannot be given back', thrown));
      },
    };
  }

  async function begin(id: string, request: PublicationRequest, lease: Held): Promise<Publication> {
    const action = request.action ?? 'publish';
    const { state: cluster, warnings } =
      action === 'publish'
        ? await releases.refresh(request.cluster)
        : { state: mustGet(state, request.cluster), warnings: [] };
    if (request.revision !== undefined && request.revision !== cluster.revision) {
      throw new WeirError(
        'revision_mismatch',
        `cluster ${cluster.name} is at revision ${cluster.revision}, not ${request.revision}`,
        {
          hint: `see what changed: weir diff, then publish revision ${cluster.revision}`,
          revision: cluster.revision,
        },
      );
    }
    const lbs = chosenLbs(cluster, request.lbs);
    const byLb = new Map(action === 'publish' ? releases.of(cluster).map((r) => [r.lb, r]) : []);
    const publication: Publication = {
      id,
      cluster: cluster.name,
      revision: cluster.revision,
      action,
      state: 'running',
      by: request.by,
      at: options.now().toISOString(),
      warnings,
      lbs: Object.fromEntries(lbs.map((lb) => [lb.hostname, waiting(byLb.get(lb.hostname)?.id ?? '')])),
    };
    await put(publication, 0);
    const abort = new AbortController();
    // One of each session.
    setMaxListeners(0, abort.signal);
    const job: Running = {
      publication,
      listeners: new Set(),
      abort,
      finished: Promise.resolve(),
      saving: Promise.resolve(),
    };
    running.set(id, job);
    lease.lost.addEventListener('abort', () => job.abort.abort());
    job.finished = work(job, { cluster, lbs, byLb, lease, overwrite: request.overwrite ?? false });
    return publication;
  }

  interface Work {
    cluster: ClusterState;
    lbs: readonly Lb[];
    byLb: ReadonlyMap<string, Release>;
    lease: Held;
    overwrite: boolean;
  }

  async function work(job: Running, given: Work): Promise<void> {
    try {
      const known = await published.releasesOf(given.cluster.name);
      const outcomes = await Promise.all(given.lbs.map((lb) => limit(() => one(job, lb, { ...given, known }))));
      await published.record(
        given.cluster,
        outcomes.filter((o) => o !== undefined),
      );
    } catch (thrown) {
      options.onError(`publication ${job.publication.id} failed`, thrown);
      update(job, { lbs: unfinished(job.publication, `Weir failed: ${messageOf(thrown)}`) });
    }
    await finish(job, given.lease);
    await prune(given.cluster.name).catch((thrown: unknown) =>
      options.onError('old publications cannot be removed', thrown),
    );
  }

  /** Who hears of the end may publish again at once: it is recorded and the lease is free by then. */
  async function finish(job: Running, lease: Held): Promise<void> {
    const ended = { state: overallState(job.publication), ended: options.now().toISOString() };
    await save(job, ended);
    await lease.release();
    running.delete(job.publication.id);
    update(job, ended);
    job.listeners.clear();
  }

  async function one(
    job: Running,
    lb: Lb,
    given: Work & { known: (lb: string, id: string) => Release | undefined },
  ): Promise<Published | undefined> {
    const name = lb.hostname;
    if (job.abort.signal.aborted) {
      updateLb(job, name, { state: 'cancelled', message: 'cancelled before it began' });
      return undefined;
    }
    updateLb(job, name, { state: 'running', step: 'connect' });
    const release = given.byLb.get(name);
    const outcome = await publishToLb({
      remote: options.remote,
      target: targetOf(given.cluster.cluster, lb),
      sudo: lb.ssh?.sudo ?? given.cluster.cluster.ssh?.sudo ?? false,
      fence: given.lease.fence,
      ...(release ? { release } : {}),
      known: (id) => given.known(name, id),
      overwrite: given.overwrite,
      timeoutMs: options.timeoutMs,
      signal: job.abort.signal,
      onStep: (step) => updateLb(job, name, { step }),
    });
    updateLb(job, name, outcome);
    void save(job);
    if (outcome.state === 'published' || outcome.state === 'unchanged') return { lb: name, release: release?.id ?? '' };
    return outcome.state === 'restored' ? { lb: name, release: '' } : undefined;
  }

  function updateLb(job: Running, lb: string, change: Partial<LbProgress>): void {
    const before = job.publication.lbs[lb] ?? waiting('');
    update(job, { lbs: { ...job.publication.lbs, [lb]: { ...before, ...change } } });
  }

  function update(job: Running, change: Partial<Publication>): void {
    job.publication = { ...job.publication, ...change };
    for (const listener of job.listeners) listener(job.publication);
  }

  /** Saves the newest progress; saves asked for meanwhile become one. Never rejects: the next save has it all. */
  function save(job: Running, last: Partial<Publication> = {}): Promise<void> {
    const asked = job.publication;
    job.saving = job.saving
      .then(() => (job.publication === asked ? put({ ...asked, ...last }) : undefined))
      .catch((thrown: unknown) => options.onError('progress of a publication cannot be saved', thrown));
    return job.saving;
  }

  async function put(publication: Publication, expected?: number): Promise<void> {
    const key = keyOf(publication.cluster, publication.id);
    await store.putRecord({ kind: KIND, key, value: publication, ...(expected === undefined ? {} : { expected }) });
  }

  async function stored(cluster: string): Promise<Publication[]> {
    const records = await store.records(KIND);
    const all = records.filter((r) => r.key.startsWith(`${cluster}/`)).map((r) => r.value as Publication);
    return (await settled(all)).sort((a, b) => (a.id < b.id ? 1 : -1));
  }

  /** Those that say they run although their process died are marked as interrupted, once their lease has ended. */
  async function settled(publications: readonly Publication[]): Promise<Publication[]> {
    const open = publications.filter((p) => p.state === 'running' && !running.has(p.id));
    if (open.length === 0) return [...publications];
    const now = options.now();
    const owners = (await store.leases()).filter((l) => l.expires > now.toISOString()).map((l) => l.owner);
    const dead = open.filter((p) => !owners.some((owner) => owner.endsWith(`/${p.id}`)));
    // One that ended while this was asked has its end in the store.
    const marked = await Promise.all(
      dead.map(async ({ cluster, id }) => {
        const record = await store.record({ kind: KIND, key: keyOf(cluster, id) });
        if (!record) return undefined;
        const publication = record.value as Publication;
        if (publication.state !== 'running' || running.has(id)) return publication;
        const ended = interrupted(publication, now);
        await put(ended, record.version);
        return ended;
      }),
    );
    const byId = new Map(marked.flatMap((p) => (p ? [[p.id, p]] : [])));
    return publications.map((p) => byId.get(p.id) ?? p);
  }

  async function prune(cluster: string): Promise<void> {
    for (const old of (await stored(cluster)).slice(KEPT)) {
      await store.putRecord({ kind: KIND, key: keyOf(cluster, old.id), value: undefined });
    }
  }

  async function get(cluster: string, id: string): Promise<Publication> {
    const here = running.get(id);
    if (here && here.publication.cluster === cluster) return here.publication;
    const record = await store.record({ kind: KIND, key: keyOf(cluster, id) });
    const [publication] = record ? await settled([record.value as Publication]) : [];
    if (publication) return publication;
    throw new WeirError('not_found', `there is no publication ${id} of cluster ${cluster}`, {
      hint: `GET /api/v1/clusters/${cluster}/publications lists them`,
    });
  }

  return {
    start,
    get,
    async list(cluster, count) {
      const here = new Map([...running.values()].map((job) => [job.publication.id, job.publication]));
      return (await stored(cluster)).slice(0, count).map((p) => here.get(p.id) ?? p);
    },
    async cancel(cluster, id) {
      const publication = await get(cluster, id);
      running.get(id)?.abort.abort();
      return publication;
    },
    watch(id, listener) {
      const job = running.get(id);
      if (!job) return undefined;
      job.listeners.add(listener);
      return () => job.listeners.delete(listener);
    },
    async recover() {
      await settled((await store.records(KIND)).map((record) => record.value as Publication));
    },
    async close() {
      for (const job of running.values()) job.abort.abort();
      await Promise.allSettled([...running.values()].map((job) => job.finished));
    },
  };
}

function leaseName(cluster: string): string {
  return `publish:${cluster}`;
}

function keyOf(cluster: string, id: string): string {
  return `${cluster}/${id}`;
}

/** Sorts by time. */
function newId(options: PublicationOptions): string {
  const at = options
    .now()
    .toISOString()
    .replaceAll(/[-:.TZ]/g, '');
  return `${at.slice(0, 17)}-${options.randomId()}`;
}

async function busy(store: Store, cluster: string): Promise<WeirError> {
  const lease = (await store.leases()).find((l) => l.name === leaseName(cluster));
  return new WeirError(
    'busy',
    `another publication of cluster ${cluster} is under way${lease ? ` (${lease.owner.split('/').at(-1)})` : ''}`,
    {
      hint: `wait for it, or cancel it; a lease of a process that died ends by itself${lease ? ` at ${lease.expires}` : ''}`,
      retryAfter: Math.ceil(LEASE_MS / 1000),
    },
  );
}

function chosenLbs(state: ClusterState, wanted: readonly string[] | undefined): Lb[] {
  const { cluster } = state;
  if (cluster.lbinfos.length === 0) {
    throw refuse([
      error('lbinfos', {
        code: 'no_lb',
        message: `cluster ${cluster.name} has no LB`,
        hint: `add one: weir lb add ${cluster.name}`,
      }),
    ]);
  }
  for (const lb of cluster.lbinfos)
    if (lipsOf(state.lips, lb.hostname).length === 0) throw new Error(`no LIPs of ${lb.hostname}`);
  if (!wanted) return cluster.lbinfos;
  const known = new Map(cluster.lbinfos.map((lb) => [lb.hostname, lb]));
  const unknown = wanted.filter((name) => !known.has(name));
  if (unknown.length > 0) {
    throw refuse(
      unknown.map((name) =>
        error('lbs', {
          code: 'unknown_lb',
          message: `cluster ${cluster.name} has no LB ${name}`,
          hint: `it has: ${[...known.keys()].slice(0, 10).join(', ')}`,
        }),
      ),
      'not_found',
    );
  }
  return [...new Set(wanted)].flatMap((name) => known.get(name) ?? []);
}

export function targetOf(cluster: Cluster, lb: Lb): Target {
  const ssh = { ...cluster.ssh, ...lb.ssh };
  return {
    host: lb.hostname,
    ...(ssh.user === undefined ? {} : { user: ssh.user }),
    ...(ssh.port === undefined ? {} : { port: ssh.port }),
    ...(lb.ssh?.address === undefined ? {} : { address: lb.ssh.address }),
  };
}

function waiting(release: string): LbProgress {
  return { state: 'waiting', step: '', message: '', warnings: [], release, bytes: 0 };
}

function overallState(publication: Publication): PublicationState {
  const states = Object.values(publication.lbs).map((lb) => lb.state);
  if (states.includes('cancelled')) return 'cancelled';
  return states.includes('failed') ? 'failed' : 'done';
}

function interrupted(publication: Publication, now: Date): Publication {
  const lbs = unfinished(publication, 'Weir ended while this LB was under way; publish again');
  return { ...publication, state: 'interrupted', ended: now.toISOString(), lbs };
}

/** LBs that have no outcome yet get this one. */
function unfinished({ lbs }: Publication, message: string): Publication['lbs'] {
  return Object.fromEntries(
    Object.entries(lbs).map(([name, lb]) => [
      name,
      lb.state === 'waiting' || lb.state === 'running' ? { ...lb, state: 'failed' as const, message } : lb,
    ]),
  );
}
