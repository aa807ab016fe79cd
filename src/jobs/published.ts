/**
 * What Weir published where: per LB the release, and what it was rendered from, so that a plan can
 * show differences and a publication can send only what differs, also after a restart. This is what
 * Weir did, not what the machine runs: the machine verifies before it builds on it.
 */
import { lipsOf } from '../domain/edge/lips.ts';
import type { Cluster } from '../domain/edge/model.ts';
import { canonical } from '../domain/edge/patch.ts';
import { WeirError } from '../domain/errors.ts';
import type { Release } from '../render/cluster.ts';
import type { Store } from '../store/port.ts';
import type { ClusterState } from '../store/present.ts';
import type { State } from '../store/state.ts';
import { leaseOf } from './leases.ts';
import type { Basis, Releases } from './releases.ts';

/** One LB's outcome; an empty release: the original files are back. */
export interface Published {
  lb: string;
  release: string;
}

/** What one LB was given. */
export interface Given {
  release: string;
  revision: number;
  /** Whether Weir saw the LB activate it. A reload by hand is not seen here. */
  activated: boolean;
}

interface LbRecord {
  release: string;
  basis: string;
  /** Release that the LB activated last. */
  active?: string;
  /** It activated something once: it serves, also where it may have gone back since. */
  serves?: true;
  /** LIPs that it activated last. */
  lips?: readonly string[];
  /** Why the LB may have another release by now. */
  doubt?: string;
}

interface PublishedRecord {
  bases: Record<string, Basis>;
  lbs: Record<string, LbRecord>;
}

export interface PublishedReleases {
  record(cluster: ClusterState, outcomes: readonly Published[], fence: number): Promise<void>;
  /** Looks up releases of a cluster that LBs were given, by LB and ID. */
  releasesOf(cluster: string): Promise<(lb: string, id: string) => Release | undefined>;
  /** What each LB was given last, without LBs in doubt. */
  given(cluster: string): Promise<Map<string, Given>>;
  /** LBs that may have gone back to an older release, each with why, until they are published to again. */
  doubts(cluster: string): Promise<Map<string, string>>;
  /** Says why an LB may have gone back; without a reason that it has not. */
  doubt(at: Place, why?: string): Promise<void>;
  /** An LB activated what it was given. */
  activated(at: Place): Promise<void>;
}

/** An LB, for who holds the lease of its cluster: what one writes who has lost it meanwhile is dropped. */
export interface Place {
  cluster: string;
  lb: string;
  /** Of the lease. */
  fence: number;
}

const KIND = 'published';

const nothing: PublishedRecord = { bases: {}, lbs: {} };

export function createPublished(store: Store, state: State, releases: Releases): PublishedReleases {
  async function read(cluster: string): Promise<PublishedRecord> {
    const record = await store.record({ kind: KIND, key: cluster });
    return (record?.value as PublishedRecord | undefined) ?? nothing;
  }

  /** Nothing where the LB was never given anything. */
  function amend({ cluster, lb, fence }: Place, change: (of: LbRecord) => LbRecord): Promise<void> {
    return rewrite(cluster, fence, (before) => {
      const of = before.lbs[lb];
      return of && { ...before, lbs: { ...before.lbs, [lb]: change(of) } };
    });
  }

  /** Made again on what is there where several write at once. */
  async function rewrite(
    cluster: string,
    fence: number,
    change: (before: PublishedRecord) => PublishedRecord | undefined,
  ): Promise<void> {
    for (;;) {
      const record = await store.record({ kind: KIND, key: cluster });
      const value = change((record?.value as PublishedRecord | undefined) ?? nothing);
      if (!value) return;
      const result = await store.putRecord({
        kind: KIND,
        key: cluster,
        value,
        expected: record?.version ?? 0,
        fence: { lease: leaseOf(cluster), number: fence },
      });
      if (result.ok || result.conflict.type !== 'record') return;
    }
  }

  /** The document of a basis, from history; undefined if it is no longer kept. */
  async function documentOf(cluster: string, basis: Basis): Promise<Cluster | undefined> {
    const present = state.get(cluster);
    if (present?.revision === basis.revision) return present.cluster;
    try {
      return await state.documentAt(cluster, basis.revision);
    } catch (thrown) {
      if (thrown instanceof WeirError && thrown.code === 'not_found') return undefined;
      throw thrown;
    }
  }

  return {
    async record(cluster, outcomes, fence) {
      if (outcomes.length === 0) return;
      await rewrite(cluster.name, fence, (before) => withOutcomes(before, cluster, outcomes));
    },

    async releasesOf(cluster) {
      const { bases, lbs } = await read(cluster);
      const byKey = new Map<string, Release>();
      for (const [id, basis] of Object.entries(bases)) {
        const document = await documentOf(cluster, basis);
        if (!document) continue;
        for (const release of releases.rebuild(basis, document)) {
          if (lbs[release.lb]?.basis === id) byKey.set(`${release.lb} ${release.id}`, release);
        }
      }
      return (lb, id) => byKey.get(`${lb} ${id}`);
    },

    async given(cluster) {
      const { bases, lbs } = await read(cluster);
      const sure = Object.entries(lbs).filter(([, of]) => of.doubt === undefined);
      return new Map(
        sure.map(([lb, { release, basis, active }]) => [
          lb,
          { release, revision: bases[basis]?.revision ?? 0, activated: active === release },
        ]),
      );
    },

    async doubts(cluster) {
      const { lbs } = await read(cluster);
      return new Map(Object.entries(lbs).flatMap(([lb, { doubt }]) => (doubt === undefined ? [] : [[lb, doubt]])));
    },

    doubt: (at, why) => amend(at, ({ doubt: _ended, ...of }) => (why === undefined ? of : { ...of, doubt: why })),

    activated: ({ cluster, lb, fence }) =>
      rewrite(cluster, fence, (before) => {
        const found = before.lbs[lb];
        if (!found) return undefined;
        const { doubt: _ended, ...of } = found;
        const basis = before.bases[of.basis];
        const lips = basis ? { lips: lipsOf(basis.lips, lb) } : {};
        return { ...before, lbs: { ...before.lbs, [lb]: { ...of, active: of.release, serves: true, ...lips } } };
      }),
  };
}

/** LBs of a cluster that Weir saw activate anything, with the LIPs that each activated last, where that is known. */
export async function lbsInService(
  store: Store,
  cluster: string,
): Promise<ReadonlyMap<string, readonly string[] | undefined>> {
  const record = await store.record({ kind: KIND, key: cluster });
  const { lbs } = (record?.value as PublishedRecord | undefined) ?? nothing;
  const serving = Object.entries(lbs).filter(([, of]) => of.serves ?? of.active !== undefined);
  return new Map(serving.map(([lb, { lips }]) => [lb, lips]));
}

function withOutcomes(before: PublishedRecord, cluster: ClusterState, outcomes: readonly Published[]): PublishedRecord {
  const basis: Basis = { revision: cluster.revision, lips: cluster.lips, found: cluster.addresses.found };
  const text = canonical(basis);
  const same = Object.entries(before.bases).find(([, b]) => canonical(b) === text)?.[0];
  const id = same ?? String(1 + Math.max(0, ...Object.keys(before.bases).map(Number)));
  const lbs = { ...before.lbs };
  for (const { lb, release } of outcomes) {
    const had = lbs[lb];
    const active = had?.doubt === undefined ? had?.active : undefined;
    const lips = had?.lips ? { lips: had.lips } : {};
    const serves = (had?.serves ?? had?.active !== undefined) ? { serves: true as const, ...lips } : {};
    if (release) lbs[lb] = { release, basis: id, ...(active === undefined ? {} : { active }), ...serves };
    else delete lbs[lb];
  }
  const present = new Set(cluster.cluster.lbinfos.map((lb) => lb.hostname));
  for (const lb of Object.keys(lbs)) if (!present.has(lb)) delete lbs[lb];
  const used = new Set(Object.values(lbs).map((lb) => lb.basis));
  const bases = Object.fromEntries(Object.entries({ ...before.bases, [id]: basis }).filter(([b]) => used.has(b)));
  return { bases, lbs };
}
