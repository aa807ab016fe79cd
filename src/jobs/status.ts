/**
 * What the LBs of a cluster really run, asked of all of them at once: each an SSH session that only reads. No lease
 * is taken and nothing is stored: the answer is about now. An LB that cannot be reached is a row of its own.
 */
import { setMaxListeners } from 'node:events';
import pLimit from 'p-limit';
import { contains, parseAddress, parseNet } from '../domain/address.ts';
import { addressOf } from '../domain/edge/addresses.ts';
import type { Lb } from '../domain/edge/model.ts';
import { messageOf, WeirError } from '../domain/errors.ts';
import { compareLb } from '../observe/compare.ts';
import type { LbConnections } from '../observe/ipvs.ts';
import type { LbStatus, Observation } from '../observe/model.ts';
import { connectionsOf, observeLb } from '../observe/observe-lb.ts';
import type { ObserveLb, VipWs } from '../observe/observe-lb.ts';
import type { Remote } from '../remote/port.ts';
import type { Release } from '../render/cluster.ts';
import type { ClusterState } from '../store/present.ts';
import type { State } from '../store/state.ts';
import { chosenLbs, sudoOf, targetOf } from './lbs.ts';
import type { PublishedReleases } from './published.ts';
import { mustGet } from './releases.ts';
import type { Releases } from './releases.ts';

export interface StatusOptions {
  state: State;
  releases: Releases;
  published: PublishedReleases;
  remote: Remote;
  /** SSH sessions at once. */
  parallel: number;
  /** One LB, from connect to the end of its answer; default 30 s. */
  timeoutMs?: number;
  /** Findings that are listed for each LB; default 100. */
  limit?: number;
}

export interface ClusterStatus {
  cluster: string;
  /** Of the document. */
  revision: number;
  /** Why nothing can be rendered from it, so that nothing is desired; null where it can. */
  unrenderable: string | null;
  /** In the document's order. */
  lbs: LbStatusRow[];
}

/** `announced` with `services`, of an LB that can be read. */
export type LbStatusRow = LbStatus & { announced?: Announced[] };

/** An address of the VIP nets that an LB has where OSPF announces it. */
export interface Announced {
  vip: string;
  on: 'lo' | 'weir-high';
}

export interface StatusRequest {
  cluster: string;
  /** Only these LBs; all if left out. */
  lbs?: readonly string[] | undefined;
  /** List every service of the kernel. */
  services?: boolean | undefined;
}

export interface ConnectionsRequest {
  cluster: string;
  /** All WSs of `vips` if left out. */
  ws?: string | undefined;
  /** Only behind these VIPs; all VIPs of the WS if left out. */
  vips?: readonly string[] | undefined;
}

/** An LB that could not be asked has an error, and null for its numbers. */
export type ConnectionsRow =
  | LbConnections
  | { active: null; inactive: null; persistent: null; servers: null; error: string };

export interface Connections {
  /** null: all WSs of the VIPs. */
  ws: string | null;
  lbs: Record<string, ConnectionsRow>;
}

export interface Statuses {
  of(request: StatusRequest): Promise<ClusterStatus>;
  /** Connections that lead to a WS, or to all of some VIPs, on each LB, over all ports. */
  connections(request: ConnectionsRequest): Promise<Connections>;
  /** Ends sessions. */
  close(): void;
}

export function createStatuses(options: StatusOptions): Statuses {
  const { state, releases, published } = options;
  const limit = pLimit(options.parallel);
  const ending = new AbortController();
  // One for each LB that is asked.
  setMaxListeners(0, ending.signal);

  function sessionTo(cluster: ClusterState, lb: Lb): ObserveLb {
    return {
      remote: options.remote,
      target: targetOf(cluster.cluster, lb),
      sudo: sudoOf(cluster.cluster, lb),
      timeoutMs: options.timeoutMs ?? 30_000,
      signal: ending.signal,
    };
  }

  return {
    async of(request) {
      const cluster = mustGet(state, request.cluster);
      const chosen = new Set(chosenLbs(cluster.cluster, request.lbs));
      const lbs = cluster.cluster.lbinfos.filter((lb) => chosen.has(lb));
      const { desired, unrenderable } = desiredOf(cluster);
      const given = await published.given(cluster.name);
      const one = async (lb: Lb): Promise<LbStatusRow> => {
        const release = desired.get(lb.hostname);
        const wanted = release
          ? { release: release.id, revision: cluster.revision, state: lb.state ?? ('up' as const) }
          : null;
        const observed = await observeLb(sessionTo(cluster, lb));
        if (!observed.ok) return { lb: lb.hostname, desired: wanted, state: 'unreachable', error: observed.error };
        const comparison = {
          cluster: cluster.name,
          lb: lb.hostname,
          desired: wanted,
          filesOf: (id: string) => (release?.id === id ? sumsOf(release) : undefined),
          given: given.get(lb.hostname),
          vipnets: cluster.cluster.vipnets,
          limit: options.limit ?? 100,
          services: request.services ?? false,
        };
        const status = compareLb(comparison, observed.value);
        return request.services
          ? { ...status, announced: announcedOf(observed.value, cluster.cluster.vipnets) }
          : status;
      };
      return {
        cluster: cluster.name,
        revision: cluster.revision,
        unrenderable,
        lbs: await Promise.all(lbs.map((lb) => limit(() => one(lb)))),
      };
    },

    async connections({ cluster: name, ws, vips }) {
      const cluster = mustGet(state, name);
      const pairs = ws === undefined ? pairsOfVips(cluster, vips ?? []) : pairsOf(cluster, ws, vips);
      const rows = await Promise.all(
        cluster.cluster.lbinfos.map((lb) =>
          limit(async (): Promise<[string, ConnectionsRow]> => {
            const answer = await connectionsOf(sessionTo(cluster, lb), pairs);
            return [lb.hostname, answer.ok ? answer.value : { ...unknown, error: answer.error }];
          }),
        ),
      );
      return { ws: ws ?? null, lbs: Object.fromEntries(rows) };
    },

    close: () => ending.abort(),
  };

  /** Rendered from the addresses that were found last: to look is not to ask DNS, nor to store. */
  function desiredOf(cluster: ClusterState): { desired: Map<string, Release>; unrenderable: string | null } {
    try {
      return { desired: new Map(releases.of(cluster).map((r) => [r.lb, r])), unrenderable: null };
    } catch (thrown) {
      if (!(thrown instanceof WeirError)) throw thrown;
      return { desired: new Map(), unrenderable: messageOf(thrown) };
    }
  }
}

const unknown = { active: null, inactive: null, persistent: null, servers: null } as const;

/** By what the kernel has, whatever any release says. */
function announcedOf({ addresses }: Observation, vipnets: readonly string[]): Announced[] {
  const nets = vipnets.flatMap((net) => parseNet(net) ?? []);
  return [...addresses].flatMap(([key, devices]) => {
    const [vip = '', length] = key.split('/');
    const on = (['lo', 'weir-high'] as const).find((device) => devices.includes(device));
    if (length !== '32' || on === undefined) return [];
    const number = parseAddress(vip) ?? -1;
    return nets.some((net) => contains(net, number)) ? [{ vip, on }] : [];
  });
}

function sumsOf(release: Release): Map<string, string> {
  return new Map(release.files().map((file) => [file.path, file.sha256]));
}

/** Of all WSs that have an address. */
function pairsOfVips({ name, cluster, addresses }: ClusterState, vips: readonly string[]): VipWs[] {
  const missing = vips.filter((vip) => !cluster.vip2ws.some((v) => v.vip === vip));
  if (missing.length > 0) {
    throw new WeirError('not_found', `cluster ${name} has no VIP ${missing.join(', ')}`, {
      hint: 'weir get vips lists VIPs',
    });
  }
  return cluster.vip2ws
    .filter((vip) => vips.includes(vip.vip))
    .flatMap((vip) =>
      vip.wss.flatMap((ws) => {
        const address = addressOf(vip, ws, addresses);
        return address === undefined ? [] : [{ vip: vip.vip, address }];
      }),
    );
}

function pairsOf({ cluster, addresses }: ClusterState, ws: string, vips: readonly string[] | undefined): VipWs[] {
  const having = cluster.vip2ws.filter((vip) => vip.wss.includes(ws));
  const behind = having.filter((vip) => vips === undefined || vips.includes(vip.vip));
  if (behind.length === 0) {
    const where = vips === undefined ? `cluster ${cluster.name}` : `VIP ${vips.join(', ')}`;
    throw new WeirError('not_found', `${ws} is not behind ${where}`, {
      hint: having.length > 0 ? `it is behind ${having.map((v) => v.vip).join(', ')}` : 'weir get wss lists WSs',
    });
  }
  const pairs = behind.flatMap((vip) => {
    const address = addressOf(vip, ws, addresses);
    return address === undefined ? [] : [{ vip: vip.vip, address }];
  });
  if (pairs.length > 0) return pairs;
  throw new WeirError('unresolved', `${ws} has no address`, {
    hint: `set its address (weir ws set CLUSTER VIP ${ws} --address A), or plan once its name resolves`,
  });
}
