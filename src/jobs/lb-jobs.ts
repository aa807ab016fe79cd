/**
 * Jobs on the LBs of a cluster: under the cluster's lease, recorded, watched, cancelled, and known as
 * interrupted when their process died. What a job does on the LBs is its kind's own (publications.ts,
 * activations.ts).
 * jobs/ may import domain, render, store, publish, observe and remote.
 */
import { setMaxListeners } from 'node:events';
import { messageOf, WeirError } from '../domain/errors.ts';
import type { Problem } from '../domain/problem.ts';
import type { ActivateStep, LbOutcome as AskedOutcome } from '../publish/activate-lb.ts';
import type { LbOutcome as PublishOutcome, PublishStep } from '../publish/publish-lb.ts';
import { articled, holdLbs, leaseOf, LEASE_MS, workUnderLease } from './leases.ts';
import type { Held, LeaseOptions } from './leases.ts';

export type LbState = 'waiting' | 'running' | PublishOutcome['state'] | AskedOutcome['state'];

export interface LbProgress {
  readonly state: LbState;
  readonly step: PublishStep | ActivateStep | '';
  readonly message: string;
  readonly warnings: readonly string[];
  /** Release that the LB gets or runs; empty when the original files are put back. */
  readonly release: string;
  /** Bytes sent to the LB. */
  readonly bytes: number;
}

export type JobState = 'running' | 'done' | 'failed' | 'cancelled' | 'interrupted';

export interface LbJob {
  readonly id: string;
  readonly cluster: string;
  readonly revision: number;
  readonly state: JobState;
  readonly by: string;
  /** ISO times. */
  readonly at: string;
  readonly ended?: string;
  readonly warnings: readonly Problem[];
  readonly lbs: Readonly<Record<string, LbProgress>>;
}

export interface JobKind {
  /** The word for it; records have it as their kind. */
  name: 'publication' | 'activation';
  /** What a job came to, from its LBs' outcomes. */
  outcomeOf: (states: ReadonlySet<LbState>) => JobState;
  /** What is told of an LB whose outcome nobody saw, since Weir died. */
  unseen: (lb: LbProgress) => string;
}

export interface JobOptions extends LeaseOptions {
  randomId: () => string;
}

/** What a kind does once its job may begin. */
export interface Begun<J extends LbJob> {
  job: Omit<J, 'id' | 'state' | 'at'>;
  /** Until every LB has its outcome; what it throws is told of those that have none. */
  work: (run: JobRun) => Promise<void>;
}

/** A job that is under way, for its work. */
export interface JobRun {
  readonly id: string;
  readonly fence: number;
  /** Fires when no LB is to be begun any more: cancelled, or ending. */
  readonly stop: AbortSignal;
  /** Fires when sessions are to be ended: the lease was lost, or Weir ends. */
  readonly ending: AbortSignal;
  tell(lb: string, change: Partial<LbProgress>): void;
  /** Records what was told so far. */
  save(): void;
  /** Writes to the store, again and again where it is away, as long as the work may still be this process's. */
  keep(write: () => Promise<void>): Promise<void>;
}

/** Jobs of one kind, to be looked at and cancelled. */
export interface Jobs<J extends LbJob> {
  get(cluster: string, id: string): Promise<J>;
  /** Newest first. */
  list(cluster: string, limit: number): Promise<J[]>;
  cancel(cluster: string, id: string): Promise<J>;
  /** Calls back at every change until the end; answers how to stop. undefined if it is not under way here. */
  watch(id: string, listener: (job: J) => void): (() => void) | undefined;
  /** Marks a job whose process died as interrupted. */
  interrupt(cluster: string, id: string): Promise<void>;
  /** Cancels what is under way and waits for it. */
  close(): Promise<void>;
}

export interface LbJobs<J extends LbJob> extends Jobs<J> {
  /** Takes the lease, lets `begin` look at what there is to do, records the job and starts its work. */
  start(cluster: string, begin: () => Promise<Begun<J>>): Promise<J>;
}

/** Between tries to write to a store that is away, in ms. */
const AGAIN_MS = 500;

/** Kind of the record by which a process is asked to cancel a job that it has. */
const CANCEL = 'cancel';

/** Jobs kept per cluster and kind. */
const KEPT = 100;

interface Running<J> {
  job: J;
  /** Of its lease. */
  fence: number;
  listeners: Set<(job: J) => void>;
  stop: AbortController;
  ending: AbortController;
  finished: Promise<void>;
  saving: Promise<void>;
}

export function createLbJobs<J extends LbJob>(kind: JobKind, options: JobOptions): LbJobs<J> {
  const { store } = options;
  const running = new Map<string, Running<J>>();

  const unfollow = store.follow((event) => {
    for (const { kind: asked, key } of event.records) {
      if (asked === CANCEL) running.get(key)?.stop.abort();
    }
  });

  /** Another process has it: the log of events brings it there. Nothing is kept. */
  async function askToCancel(id: string): Promise<void> {
    const records = [{ kind: CANCEL, key: id, value: undefined }];
    const claims = { remove: [], add: [] };
    const at = options.now().toISOString();
    await store.commit({ changes: [], claims, records, by: options.owner, at });
  }

  async function start(cluster: string, begin: () => Promise<Begun<J>>): Promise<J> {
    const id = newId(options);
    const lease = await holdLbs(cluster, { what: kind.name, id }, options);
    try {
      const { job: given, work } = await begin();
      const job = { ...given, id, state: 'running', at: options.now().toISOString() } as J;
      const run = runningOf(job, lease.fence);
      await put(run, job, 0);
      running.set(id, run);
      lease.lost.addEventListener('abort', () => end(run));
      run.finished = workOn(run, lease, work);
      return job;
    } catch (thrown) {
      await lease.release();
      throw thrown;
    }
  }

  async function workOn(run: Running<J>, lease: Held, work: Begun<J>['work']): Promise<void> {
    try {
      await work({
        id: run.job.id,
        fence: lease.fence,
        stop: run.stop.signal,
        ending: run.ending.signal,
        tell: (lb, change) => update(run, { lbs: { ...run.job.lbs, [lb]: { ...progressOf(run.job, lb), ...change } } }),
        save: () => void save(run),
        keep: (write) => keep(run, write),
      });
    } catch (thrown) {
      options.onError(`${kind.name} ${run.job.id} failed`, thrown);
      update(run, { lbs: unfinished(run.job, () => `Weir failed: ${messageOf(thrown)}`) });
    }
    await finish(run, lease);
    await prune(run.job.cluster).catch((thrown: unknown) =>
      options.onError(`old ${kind.name}s cannot be removed`, thrown),
    );
  }

  /** Who hears of the end may start again at once: it is recorded and the lease is free by then. */
  async function finish(run: Running<J>, lease: Held): Promise<void> {
    const states = new Set(Object.values(run.job.lbs).map((lb) => lb.state));
    const ended = { state: kind.outcomeOf(states), ended: options.now().toISOString() };
    await save(run);
    await keep(run, () => put(run, { ...run.job, ...ended }));
    await lease.release();
    running.delete(run.job.id);
    update(run, ended);
    run.listeners.clear();
  }

  function update(run: Running<J>, change: Partial<LbJob>): void {
    run.job = { ...run.job, ...change };
    for (const listener of run.listeners) listener(run.job);
  }

  /** Saves the newest progress; saves asked for meanwhile become one. Never rejects: the next save has it all. */
  function save(run: Running<J>): Promise<void> {
    const asked = run.job;
    run.saving = run.saving.then(() => (run.job === asked ? put(run, asked) : undefined)).catch(unsaved);
    return run.saving;
  }

  function unsaved(thrown: unknown): void {
    options.onError(`progress of ${articled(kind.name)} cannot be saved`, thrown);
  }

  /** Never rejects. */
  async function keep(run: Running<J>, write: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        await write();
        return;
      } catch (thrown) {
        unsaved(thrown);
        const away = thrown instanceof WeirError && thrown.code === 'store';
        if (!away || run.ending.signal.aborted) return;
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
  }

  /** Not over what another process made of it, once it has the lease. */
  async function put(run: Running<J>, job: J, expected?: number): Promise<void> {
    const fence = { lease: leaseOf(job.cluster), number: run.fence };
    const at = expected === undefined ? {} : { expected };
    await store.putRecord({ kind: recordKind(job.cluster), key: job.id, value: job, fence, ...at });
  }

  function recordKind(cluster: string): string {
    return `${kind.name}:${cluster}`;
  }

  async function stored(cluster: string): Promise<J[]> {
    const all = (await store.records(recordKind(cluster))).map((record) => record.value as J);
    return (await settled(all)).sort((a, b) => (a.id < b.id ? 1 : -1));
  }

  /** Those that say they run although their process died are marked as interrupted, once their lease has ended. */
  async function settled(jobs: readonly J[]): Promise<J[]> {
    const open = jobs.filter((job) => job.state === 'running' && !running.has(job.id));
    if (open.length === 0) return [...jobs];
    const alive = await workUnderLease(store, options.now());
    const dead = open.filter((job) => !alive.has(job.id));
    const marked = await Promise.all(dead.map(({ cluster, id }) => takenOver(cluster, id)));
    const byId = new Map(marked.flatMap((job) => (job ? [[job.id, job]] : [])));
    return jobs.map((job) => byId.get(job.id) ?? job);
  }

  /** Under the lease, so that one that lives after all is left alone. */
  async function takenOver(cluster: string, id: string): Promise<J | undefined> {
    const term = { ttlMs: LEASE_MS, now: options.now().getTime() };
    const held = await store.acquire(leaseOf(cluster), `${options.owner}/takeover/${id}`, term);
    if (!held) return undefined;
    try {
      return await interrupted(cluster, id);
    } finally {
      await store.release(held);
    }
  }

  /** One that ended while this was asked has its end in the store. */
  async function interrupted(cluster: string, id: string): Promise<J | undefined> {
    const record = await store.record({ kind: recordKind(cluster), key: id });
    if (!record) return undefined;
    const job = record.value as J;
    if (job.state !== 'running' || running.has(id)) return job;
    const lbs = unfinished(job, kind.unseen);
    const ended: J = { ...job, state: 'interrupted', ended: options.now().toISOString(), lbs };
    await store.putRecord({ kind: recordKind(cluster), key: id, value: ended, expected: record.version });
    return ended;
  }

  async function prune(cluster: string): Promise<void> {
    for (const old of (await stored(cluster)).slice(KEPT)) {
      await store.putRecord({ kind: recordKind(cluster), key: old.id, value: undefined });
    }
  }

  async function get(cluster: string, id: string): Promise<J> {
    const here = running.get(id);
    if (here && here.job.cluster === cluster) return here.job;
    const record = await store.record({ kind: recordKind(cluster), key: id });
    const [job] = record ? await settled([record.value as J]) : [];
    if (job) return job;
    throw new WeirError('not_found', `there is no ${kind.name} ${id} of cluster ${cluster}`, {
      hint: `GET /api/v1/clusters/${cluster}/${kind.name}s lists them`,
    });
  }

  return {
    start,
    get,
    async list(cluster, count) {
      const here = new Map([...running.values()].map(({ job }) => [job.id, job]));
      return (await stored(cluster)).slice(0, count).map((job) => here.get(job.id) ?? job);
    },
    async cancel(cluster, id) {
      const job = await get(cluster, id);
      if (running.has(id)) running.get(id)?.stop.abort();
      else if (job.state === 'running') await askToCancel(id);
      return job;
    },
    watch(id, listener) {
      const run = running.get(id);
      if (!run) return undefined;
      run.listeners.add(listener);
      return () => run.listeners.delete(listener);
    },
    async interrupt(cluster, id) {
      await interrupted(cluster, id);
    },
    async close() {
      unfollow();
      for (const run of running.values()) end(run);
      await Promise.allSettled([...running.values()].map((run) => run.finished));
    },
  };
}

function runningOf<J>(job: J, fence: number): Running<J> {
  const stop = new AbortController();
  const ending = new AbortController();
  // One of each session.
  for (const { signal } of [stop, ending]) setMaxListeners(0, signal);
  const nothing = Promise.resolve();
  return { job, fence, listeners: new Set(), stop, ending, finished: nothing, saving: nothing };
}

function end(run: Pick<Running<unknown>, 'stop' | 'ending'>): void {
  run.stop.abort();
  run.ending.abort();
}

/** Sorts by time. */
export function newId({ now, randomId }: Pick<JobOptions, 'now' | 'randomId'>): string {
  const at = now()
    .toISOString()
    .replaceAll(/[-:.TZ]/g, '');
  return `${at.slice(0, 17)}-${randomId()}`;
}

export function waiting(release: string): LbProgress {
  return { state: 'waiting', step: '', message: '', warnings: [], release, bytes: 0 };
}

function progressOf(job: LbJob, lb: string): LbProgress {
  return job.lbs[lb] ?? waiting('');
}

/** LBs that have no outcome yet have failed. */
function unfinished({ lbs }: LbJob, message: (lb: LbProgress) => string): LbJob['lbs'] {
  return Object.fromEntries(
    Object.entries(lbs).map(([name, lb]) => [
      name,
      lb.state === 'waiting' || lb.state === 'running' ? { ...lb, state: 'failed' as const, message: message(lb) } : lb,
    ]),
  );
}
