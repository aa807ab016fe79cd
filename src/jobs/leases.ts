/**
 * The lease over a cluster's LBs: one thing at a time works on them (a publication, an activation, a drain),
 * and the fencing numbers by which an LB tells the newest come from one sequence.
 */
import { WeirError } from '../domain/errors.ts';
import type { Lease, Store } from '../store/port.ts';

/** What works on the LBs, as it is told to whoever comes meanwhile. */
export type LbWork = 'publication' | 'activation' | 'drain' | 'undrain' | 'undo' | 'takeover';

export interface LeaseOptions {
  store: Store;
  now: () => Date;
  /** Names this process as owner of leases. */
  owner: string;
  onError: (message: string, thrown: unknown) => void;
}

/** A lease that is renewed until it is released. */
export interface Held {
  readonly fence: number;
  /** Fires where another took it, or an operator broke it. */
  readonly lost: AbortSignal;
  /** Never rejects. */
  release(): Promise<void>;
}

/** A process that died is noticed after so long at the latest, in ms. */
export const LEASE_MS = 8000;
/** How often it is renewed, in ms: three times may fail. */
const RENEW_MS = 2000;
/** How often leases are looked at that nobody renewed, in ms. */
const LOOK_MS = 1000;

/** Takes the lease of a cluster's LBs; throws `busy` with what has it. */
export async function holdLbs(
  cluster: string,
  work: { what: LbWork; id: string },
  options: LeaseOptions,
): Promise<Held> {
  const { store, now, onError } = options;
  const lease = await store.acquire(leaseOf(cluster), `${options.owner}/${work.what}/${work.id}`, {
    ttlMs: LEASE_MS,
    now: now().getTime(),
  });
  if (!lease) throw await busy(store, cluster);
  const lost = new AbortController();
  const heart = setInterval(() => {
    store.renew(lease, { ttlMs: LEASE_MS, now: now().getTime() }).then(
      (kept) => kept || lost.abort(),
      (thrown: unknown) => onError(`lease ${lease.name} cannot be renewed`, thrown),
    );
  }, RENEW_MS);
  return {
    fence: lease.fence,
    lost: lost.signal,
    async release() {
      clearInterval(heart);
      await store.release(lease).catch((thrown: unknown) => onError('a lease cannot be given back', thrown));
    },
  };
}

/** IDs of the work whose lease lives. */
export async function workUnderLease(store: Store, now: Date): Promise<Set<string>> {
  const alive = (await store.leases()).filter((l) => l.expires > now.toISOString());
  return new Set(alive.flatMap((l) => l.owner.split('/').at(-1) ?? []));
}

/** The name of the lease over a cluster's LBs. */
export function leaseOf(cluster: string): string {
  return `${PREFIX}${cluster}`;
}

const PREFIX = 'publish:';

/** What a lease tells of the work under it. */
export interface Work {
  readonly cluster: string;
  /** Names the process: host, number, random text. */
  readonly process: string;
  readonly what: LbWork;
  readonly id: string;
}

/** What is worked on under a lease; undefined for one of another kind. */
export function workOf({ name, owner }: Pick<Lease, 'name' | 'owner'>): Work | undefined {
  const [id = '', what = '', ...process] = owner.split('/').toReversed();
  if (!name.startsWith(PREFIX) || process.length === 0) return undefined;
  return { cluster: name.slice(PREFIX.length), process: process.toReversed().join('/'), what: what as LbWork, id };
}

export interface TakeOverOptions extends LeaseOptions {
  /** Brings to its end what a dead process was at, under its lease, which is held meanwhile. */
  settle: (work: Work) => Promise<void>;
}

/** Looks for leases that a dead process left, once a second; of several processes one settles each. Answers how to stop. */
export function takeOver(options: TakeOverOptions): () => void {
  let looking = false;
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    takeOverNow(options)
      .catch((thrown: unknown) => options.onError('leases cannot be looked at', thrown))
      .finally(() => (looking = false));
  }, LOOK_MS);
  return () => clearInterval(timer);
}

/** All leases that nobody holds any more; `all`: those of everybody, where the store is one process's alone and it has just begun. */
export async function takeOverNow(options: TakeOverOptions, { all = false } = {}): Promise<void> {
  const { store, now, owner } = options;
  const at = now().toISOString();
  for (const left of await store.leases()) {
    if (!all && left.expires > at) continue;
    if (all) await store.breakLease(left.name);
    const work = workOf(left);
    // This process is late with its own: it renews them, or finds them taken.
    if (!all && work?.process === owner) continue;
    const held = await store.acquire(left.name, `${owner}/takeover/${work?.id ?? ''}`, {
      ttlMs: LEASE_MS,
      now: now().getTime(),
    });
    if (!held) continue;
    try {
      if (work) await options.settle(work);
    } finally {
      await store.release(held);
    }
  }
}

async function busy(store: Store, cluster: string): Promise<WeirError> {
  const lease = (await store.leases()).find((l) => l.name === leaseOf(cluster));
  const [what = '', id] = lease?.owner.split('/').slice(-2) ?? [];
  return new WeirError(
    'busy',
    `the LBs of cluster ${cluster} are taken${lease ? `: ${articled(what)} is under way (${id})` : ''}`,
    {
      hint: `wait for it, or cancel it; a lease of a process that died ends by itself${lease ? ` at ${lease.expires}` : ''}`,
      retryAfter: Math.ceil(LEASE_MS / 1000),
    },
  );
}

/** `a drain`, `an activation` */
export function articled(word: string): string {
  return `${/^[aeiou]/.test(word) ? 'an' : 'a'} ${word}`;
}
