/**
 * The lease over a cluster's LBs: one thing at a time works on them (a publication, an activation, a drain),
 * and the fencing numbers by which an LB tells the newest come from one sequence.
 */
import { WeirError } from '../domain/errors.ts';
import type { Store } from '../store/port.ts';

/** What works on the LBs, as it is told to whoever comes meanwhile. */
export type LbWork = 'publication' | 'activation' | 'drain' | 'undrain' | 'undo';

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

const LEASE_MS = 15_000;

/** Takes the lease of a cluster's LBs; throws `busy` with what has it. */
export async function holdLbs(
  cluster: string,
  work: { what: LbWork; id: string },
  options: LeaseOptions,
): Promise<Held> {
  const { store, now, onError } = options;
  const lease = await store.acquire(leaseName(cluster), `${options.owner}/${work.what}/${work.id}`, {
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
  }, LEASE_MS / 3);
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

function leaseName(cluster: string): string {
  return `publish:${cluster}`;
}

async function busy(store: Store, cluster: string): Promise<WeirError> {
  const lease = (await store.leases()).find((l) => l.name === leaseName(cluster));
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
