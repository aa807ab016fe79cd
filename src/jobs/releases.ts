/**
 * Releases of clusters as they are now: refreshing addresses and rendering, for plans and
 * publications. Rendered once per state of a cluster.
 */
import { namesToResolve, nextAddresses, noAddresses } from '../domain/edge/addresses.ts';
import type { FoundAddresses } from '../domain/edge/addresses.ts';
import type { LipPlan } from '../domain/edge/lips.ts';
import type { Cluster } from '../domain/edge/model.ts';
import { refuse, WeirError } from '../domain/errors.ts';
import type { Problem } from '../domain/problem.ts';
import { renderCluster } from '../render/cluster.ts';
import type { Release, Rendered } from '../render/cluster.ts';
import { secretName } from '../store/secrets.ts';
import type { ClusterState } from '../store/present.ts';
import type { State } from '../store/state.ts';
import type { Resolve } from './resolve.ts';

export interface Releases {
  /** Asks for addresses anew, stores them, and answers the state with them and what was found odd. */
  refresh(cluster: string): Promise<{ state: ClusterState; warnings: Problem[] }>;
  /** Releases of a state; throws with all names that have no address. */
  of(state: ClusterState): Release[];
  /** The releases that inputs of an earlier time give; none where these are no longer whole. */
  rebuild(basis: Basis, cluster: Cluster): Release[];
}

/** What a publication rendered from, besides the document of its revision. Small enough to keep. */
export interface Basis {
  revision: number;
  lips: LipPlan;
  found: FoundAddresses;
}

export function createReleases(state: State, resolve: Resolve): Releases {
  const rendered = new WeakMap<ClusterState, Rendered>();

  function keyOf(cluster: Cluster): string | undefined {
    const name = secretName(cluster.ospf?.key);
    if (name === undefined) return undefined;
    const key = state.secret(name);
    if (key !== undefined) return key;
    throw new WeirError('failed', `the OSPF key ${cluster.ospf?.key} of cluster ${cluster.name} is not in the store`, {
      hint: `set it again: weir cluster set ${cluster.name} ospf.key=KEY`,
    });
  }

  return {
    async refresh(name) {
      // A change that another process just answered is not to be missed.
      await state.sync();
      const before = mustGet(state, name);
      const { found, warnings } = await resolve(namesToResolve(before.cluster), before.addresses.found);
      await state.setAddresses(name, found);
      await state.learnSecret(name);
      return { state: mustGet(state, name), warnings };
    },
    of(cluster) {
      let result = rendered.get(cluster);
      if (!result?.ok) {
        const { lips, addresses } = cluster;
        result = renderCluster({ cluster: cluster.cluster, lips, addresses, ospfKey: keyOf(cluster.cluster) });
        rendered.set(cluster, result);
      }
      if (!result.ok) throw refuse(result.problems, 'unresolved');
      return result.releases;
    },
    rebuild(basis, cluster) {
      // From the present ones, so that files whose addresses did not change are not rendered again.
      const addresses = nextAddresses(state.get(cluster.name)?.addresses ?? noAddresses, basis.found);
      const name = secretName(cluster.ospf?.key);
      const ospfKey = name === undefined ? undefined : state.secret(name);
      const result = renderCluster({ cluster, lips: basis.lips, addresses, ospfKey });
      return result.ok ? result.releases : [];
    },
  };
}

export function mustGet(state: State, name: string): ClusterState {
  const cluster = state.get(name);
  if (cluster) return cluster;
  throw new WeirError('not_found', `there is no cluster ${name}`, { hint: 'weir get clusters lists them' });
}
