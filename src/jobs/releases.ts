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
import { ospfKeysOf } from '../render/routing/ospf.ts';
import type { OspfKeys } from '../render/routing/ospf.ts';
import { secretName, secretsOf } from '../store/secrets.ts';
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

  /** undefined for those that are not in the store. */
  function keysOf(cluster: Cluster): OspfKeys {
    return ospfKeysOf(cluster, (reference) => {
      const name = secretName(reference);
      return name === undefined ? undefined : state.secret(name);
    });
  }

  function knownKeysOf(cluster: Cluster): OspfKeys {
    for (const { name: field, key } of secretsOf(cluster)) {
      const name = secretName(key);
      if (name === undefined || state.secret(name) !== undefined) continue;
      throw new WeirError('failed', `the OSPF key ${key} of cluster ${cluster.name} is not in the store`, {
        hint: `set it again: weir cluster set ${cluster.name} ospf.${field}=KEY`,
      });
    }
    return keysOf(cluster);
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
        result = renderCluster({ cluster: cluster.cluster, lips, addresses, ospfKeys: knownKeysOf(cluster.cluster) });
        rendered.set(cluster, result);
      }
      if (!result.ok) throw refuse(result.problems, 'unresolved');
      return result.releases;
    },
    rebuild(basis, cluster) {
      // From the present ones, so that files whose addresses did not change are not rendered again.
      const addresses = nextAddresses(state.get(cluster.name)?.addresses ?? noAddresses, basis.found);
      const result = renderCluster({ cluster, lips: basis.lips, addresses, ospfKeys: keysOf(cluster) });
      return result.ok ? result.releases : [];
    },
  };
}

export function mustGet(state: State, name: string): ClusterState {
  const cluster = state.get(name);
  if (cluster) return cluster;
  throw new WeirError('not_found', `there is no cluster ${name}`, { hint: 'weir get clusters lists them' });
}
