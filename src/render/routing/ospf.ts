/**
 * What the routing suites share: an LB's uplinks, and the costs at which VIPs go out.
 */
import { addressNumber, contains, parseNet } from '../../domain/address.ts';
import { defaults, deviceOf, innerDeviceOf, ospfAnnounceOf } from '../../domain/edge/model.ts';
import type { Cluster, Lb } from '../../domain/edge/model.ts';

export interface RoutingInput {
  cluster: Cluster;
  lb: Lb;
  lips: readonly string[];
  /** The MD5 key in the clear; undefined: no authentication. */
  key: string | undefined;
}

/** Cost of what is degraded: routers prefer every other LB's announcement. */
export const HIGH_COST = 60000;

/** Where VIPs with announce `degrade` go while only some of their ports are served. */
export const HIGH_COST_DEVICE = 'weir-high';

/** External metric (type 1) of VIPs that are redistributed. */
export const REDISTRIBUTE_METRIC = 100;

export interface Link {
  device: string;
  ospfnet: string;
  cost: number;
}

export function linksOf({ cluster, lb }: Pick<RoutingInput, 'cluster' | 'lb'>): Link[] {
  const cost = cluster.ospf?.cost ?? defaults.ospf.cost;
  return [
    { device: deviceOf(cluster, lb), ospfnet: lb.ospfnet, cost },
    ...(lb.uplinks ?? []).map((u) => ({ device: u.device, ospfnet: u.ospfnet, cost: u.cost ?? cost })),
  ];
}

/** Nets whose addresses OSPF speaks on: those of the uplinks, and with `network` announcements those of the VIPs. */
export function networksOf(input: RoutingInput): string[] {
  const { cluster } = input;
  const vipnets = ospfAnnounceOf(cluster) === 'network' ? cluster.vipnets : [];
  return [...new Set([...linksOf(input).map((link) => link.ospfnet), ...vipnets])];
}

/** LIPs on a link that lie in those nets: each would be an OSPF interface of its own, sending hellos with mask /32. */
export function lipsOn(link: Link, input: RoutingInput): string[] {
  if (link.device !== innerDeviceOf(input.cluster, input.lb)) return [];
  const nets = networksOf(input).flatMap((net) => parseNet(net) ?? []);
  return input.lips.filter((lip) => nets.some((net) => contains(net, addressNumber(lip))));
}

/** Lines that let only host routes within the VIP nets pass. */
export function vipPrefixes(cluster: Cluster): string[] {
  return cluster.vipnets.map((net, i) => {
    // A net must be shorter than `ge`; Quagga drops `ge 32` of a /32 in silence when it reads the file.
    const range = net.endsWith('/32') ? '' : ' ge 32 le 32';
    return `ip prefix-list VIPS seq ${(i + 1) * 5} permit ${net}${range}`;
  });
}
