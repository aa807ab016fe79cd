/**
 * Addresses of WSs as they were found: an input of rendering, stored per cluster and refreshed by
 * plan and publish only. Reading hosts(5) text is here; asking DNS is an edge (jobs/resolve.ts).
 */
import { isUnicast, parseAddress } from '../address.ts';
import { isHostname } from '../schema.ts';
import { stateOf } from './model.ts';
import type { Cluster, Vip } from './model.ts';

/** Where an address came from. Addresses in `wsattrs` are part of the document and not listed. */
export type AddressSource = 'hosts' | 'dns';

/** Stored: what a name resolved to. `missing`: it no longer resolves, the last address is kept. */
export interface FoundAddress {
  readonly address: string;
  readonly source: AddressSource;
  readonly missing?: true;
}

export type FoundAddresses = Readonly<Record<string, FoundAddress>>;

/**
 * Addresses by name. `epoch` is the same object as long as no name that had an address got another
 * or lost it: what was rendered in an epoch stays valid when names are only added. Of two that were
 * made from one and disagree, only the first keeps its epoch.
 */
export interface Addresses {
  readonly found: FoundAddresses;
  readonly epoch: object;
}

export const noAddresses: Addresses = { found: {}, epoch: {} };

/** What the newest of each epoch found. */
const newest = new WeakMap<object, FoundAddresses>();

export function nextAddresses(previous: Addresses, found: FoundAddresses): Addresses {
  const before = newest.get(previous.epoch) ?? previous.found;
  const kept = Object.entries(before).every(
    ([name, old]) => Object.hasOwn(found, name) && found[name]?.address === old.address,
  );
  const epoch = kept ? previous.epoch : {};
  newest.set(epoch, found);
  return { found, epoch };
}

/** The address that a WS of a VIP is configured with. */
export function addressOf(vip: Vip, ws: string, addresses: Addresses): string | undefined {
  const set = vip.wsattrs !== undefined && Object.hasOwn(vip.wsattrs, ws) ? vip.wsattrs[ws]?.address : undefined;
  if (set !== undefined) return set;
  return Object.hasOwn(addresses.found, ws) ? addresses.found[ws]?.address : undefined;
}

/** Names of WSs that rendering needs an address for and the document does not give, each once. */
export function namesToResolve(cluster: Cluster): string[] {
  const names = new Set<string>();
  for (const vip of cluster.vip2ws) {
    for (const ws of vip.wss) {
      if (stateOf(vip, ws) !== 'down' && vip.wsattrs?.[ws]?.address === undefined) names.add(ws);
    }
  }
  return [...names];
}

/** hosts(5): the first IPv4 address of each name; lines that are not understood are left out, as the C library does. */
export function parseHosts(text: string): Map<string, string> {
  const hosts = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [address, ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (address === undefined || !isUnicast(parseAddress(address) ?? 0)) continue;
    for (const name of names) {
      const key = name.toLowerCase();
      if (isHostname(name) && !hosts.has(key)) hosts.set(key, address);
    }
  }
  return hosts;
}
