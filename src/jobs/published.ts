/**
 * What Weir published where: per LB the release, and what it was rendered from, so that a plan can
 * show differences and a publication can send only what differs, also after a restart. This is what
 * Weir did, not what the machine runs: the machine verifies before it builds on it.
 */
import type { Cluster } from '../domain/edge/model.ts';
import { canonical } from '../domain/edge/patch.ts';
import { WeirError } from '../domain/errors.ts';
import type { Release } from '../render/cluster.ts';
import type { Store } from '../store/port.ts';
import type { ClusterState } from '../store/present.ts';
import type { State } from '../store/state.ts';
import type { Basis, Releases } from './releases.ts';

/** One LB's outcome; an empty release: the original files are back. */
export interface Published {
  lb: string;
  release: string;
}

interface PublishedRecord {
  bases: Record<string, Basis>;
  lbs: Record<string, { release: string; basis: string }>;
}

export interface PublishedReleases {
  record(cluster: ClusterState, outcomes: readonly Published[]): Promise<void>;
  /** Looks up releases of a cluster that LBs were given, by LB and ID. */
  releasesOf(cluster: string): Promise<(lb: string, id: string) => Release | undefined>;
  /** Release ID and revision that an LB was given last. */
  given(cluster: string): Promise<Map<string, { release: string; revision: number }>>;
}

const KIND = 'published';

export function createPublished(store: Store, state: State, releases: Releases): PublishedReleases {
  async function read(cluster: string): Promise<PublishedRecord> {
    const record = await store.record({ kind: KIND, key: cluster });
    return (record?.value as PublishedRecord | undefined) ?? { bases: {}, lbs: {} };
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
    async record(cluster, outcomes) {
      if (outcomes.length === 0) return;
      const before = await read(cluster.name);
      const basis: Basis = { revision: cluster.revision, lips: cluster.lips, found: cluster.addresses.found };
      const text = canonical(basis);
      const same = Object.entries(before.bases).find(([, b]) => canonical(b) === text)?.[0];
      const id = same ?? String(1 + Math.max(0, ...Object.keys(before.bases).map(Number)));
      const lbs = { ...before.lbs };
      for (const { lb, release } of outcomes) {
        if (release) lbs[lb] = { release, basis: id };
        else delete lbs[lb];
      }
      const present = new Set(cluster.cluster.lbinfos.map((lb) => lb.hostname));
      for (const lb of Object.keys(lbs)) if (!present.has(lb)) delete lbs[lb];
      const used = new Set(Object.values(lbs).map((lb) => lb.basis));
      const bases = Object.fromEntries(Object.entries({ ...before.bases, [id]: basis }).filter(([b]) => used.has(b)));
      await store.putRecord({ kind: KIND, key: cluster.name, value: { bases, lbs } });
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
      return new Map(
        Object.entries(lbs).map(([lb, g]) => [lb, { release: g.release, revision: bases[g.basis]?.revision ?? 0 }]),
      );
    },
  };
}
