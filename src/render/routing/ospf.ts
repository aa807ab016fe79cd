/**
 * What the routing suites share: an LB's uplinks, its keys, and the costs at which VIPs go out.
 */
import { addressNumber, contains, parseNet } from '../../domain/address.ts';
import {
  dataplaneOf,
  defaults,
  deviceOf,
  innerDeviceOf,
  kernelDeviceOf,
  ospfAddressOf,
  ospfAnnounceOf,
} from '../../domain/edge/model.ts';
import type { Cluster, Lb } from '../../domain/edge/model.ts';

export interface RoutingInput {
  cluster: Cluster;
  lb: Lb;
  lips: readonly string[];
  keys: OspfKeys;
}

/** MD5 keys in the clear. */
export interface OspfKeys {
  /** What is sent; undefined: no authentication. */
  key: string | undefined;
  /** What stands beside it while keys are changed; undefined: nothing. */
  oldKey: string | undefined;
}

/** The keys of a document: what `valueOf` finds for its references, or its own where they are in the clear. */
export function ospfKeysOf(
  { ospf }: Pick<Cluster, 'ospf'>,
  valueOf: (key: string) => string | undefined = (key) => key,
): OspfKeys {
  return {
    key: ospf?.key === undefined ? undefined : valueOf(ospf.key),
    oldKey: ospf?.oldkey === undefined ? undefined : valueOf(ospf.oldkey),
  };
}

/** Cost of what is degraded: routers prefer every other LB's announcement. */
export const HIGH_COST = 60000;

/** Where VIPs with announce `degrade` go while only some of their ports are served. */
export const HIGH_COST_DEVICE = 'weir-high';

/** External metric (type 1) of VIPs that are redistributed. */
export const REDISTRIBUTE_METRIC = 100;

export interface Link {
  /** The kernel's interface. */
  device: string;
  ospfnet: string;
  cost: number;
}

/** The uplinks, the one of `device` first. */
export function linksOf({ cluster, lb }: Pick<RoutingInput, 'cluster' | 'lb'>): Link[] {
  const cost = cluster.ospf?.cost ?? defaults.ospf.cost;
  const links = [
    { device: deviceOf(cluster, lb), ospfnet: lb.ospfnet, cost },
    ...(lb.uplinks ?? []).map((u) => ({ device: u.device, ospfnet: u.ospfnet, cost: u.cost ?? cost })),
  ];
  return links.map((link) => ({ ...link, device: kernelDeviceOf(cluster, link.device) }));
}

/** The kernel's interface that VIPs are on: lo, and with dpvs that of the LB's first device. */
export function vipDeviceOf({ cluster, lb }: Pick<RoutingInput, 'cluster' | 'lb'>): string {
  return dataplaneOf(cluster) === 'dpvs' ? kernelDeviceOf(cluster, deviceOf(cluster, lb)) : 'lo';
}

/**
 * The address by which OSPF is spoken on a link that VIPs are on too, where their nets are nets of OSPF: each VIP would
 * be an OSPF interface of its own, sending hellos with mask /32. undefined: by whatever address lies in the link's net.
 */
export function speakerOn(link: Link, input: RoutingInput): string | undefined {
  const { cluster, lb } = input;
  if (ospfAnnounceOf(cluster) !== 'network' || link.device !== vipDeviceOf(input)) return undefined;
  return ospfAddressOf(cluster.type, lb);
}

/**
 * The keys of an interface, the one that is sent last: ospfd sends with the one that it was given last, whatever the IDs
 * (FRR 8.4.4, live; Quagga 0.99, ospf_packet.c: the tail of auth_crypt). Both also accept that one only; newer FRR
 * accepts whatever it has (ospf_auth.c).
 */
export function keyLines({ cluster, keys }: RoutingInput): string[] {
  const { key, oldKey } = keys;
  if (key === undefined) return [];
  const { keyid, oldkeyid } = { ...defaults.ospf, ...cluster.ospf };
  return [
    ...(oldKey === undefined || oldkeyid === undefined ? [] : [`ip ospf message-digest-key ${oldkeyid} md5 ${oldKey}`]),
    `ip ospf message-digest-key ${keyid} md5 ${key}`,
  ];
}

/** Nets whose addresses OSPF speaks on: those of the uplinks, and with `network` announcements those of the VIPs. */
export function networksOf(input: RoutingInput): string[] {
  const { cluster } = input;
  const vipnets = ospfAnnounceOf(cluster) === 'network' ? cluster.vipnets : [];
  return [...new Set([...linksOf(input).map((link) => link.ospfnet), ...vipnets])];
}

/**
 * LIPs on a link that lie in those nets: each would be an OSPF interface of its own, sending hellos with mask /32.
 * With dpvs none: LIPs are on DPDK's side of the device, which is no interface of the kernel's.
 */
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
