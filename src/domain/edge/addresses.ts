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

/** Names in the order they were added; only ever added to, so that a change costs what it adds. */
type Names = Map<string, { found: FoundAddress; order: number }>;

/**
 * Addresses by name, as an immutable view. `epoch` is the same object as long as no name that had an
 * address got another or lost it: what was rendered in an epoch stays valid when names are only added.
 */
export class Addresses {
  readonly #names: Names;
  readonly #size: number;

  constructor(names: Names, size: number) {
    this.#names = names;
    this.#size = size;
  }

  get epoch(): object {
    return this.#names;
  }

  get(name: string): FoundAddress | undefined {
    const entry = this.#names.get(name);
    return entry && entry.order < this.#size ? entry.found : undefined;
  }

  /** All of them, as they are stored. */
  get found(): FoundAddresses {
    return Object.fromEntries([...this.#own()].map(([name, entry]) => [name, entry.found]));
  }

  /** What was found, without the names: where only that counts, building `found` costs far more. */
  *values(): Generator<FoundAddress> {
    for (const [, { found }] of this.#own()) yield found;
  }

  /** Adds or changes what was found, and leaves the rest. */
  with(found: Iterable<readonly [string, FoundAddress]>): Addresses {
    const changes = [...found].filter(([name, next]) => !sameFound(this.get(name), next));
    if (changes.length === 0) return this;
    const moved = changes.some(([name, next]) => (this.get(name)?.address ?? next.address) !== next.address);
    const names = moved || this.#size === 0 || this.#names.size !== this.#size ? new Map(this.#own()) : this.#names;
    for (const [name, next] of changes) names.set(name, { found: next, order: names.get(name)?.order ?? names.size });
    return new Addresses(names, names.size);
  }

  *#own(): Generator<[string, { found: FoundAddress; order: number }]> {
    for (const item of this.#names) if (item[1].order < this.#size) yield item;
  }
}

export const noAddresses = new Addresses(new Map(), 0);

/** Addresses exactly as found: what was found before and is not now is gone. */
export function nextAddresses(previous: Addresses, found: FoundAddresses): Addresses {
  const gone = Object.keys(previous.found).some((name) => !Object.hasOwn(found, name));
  return (gone ? noAddresses : previous).with(Object.entries(found));
}

export function sameFound(a: FoundAddress | undefined, b: FoundAddress | undefined): boolean {
  return a?.address === b?.address && a?.source === b?.source && a?.missing === b?.missing;
}

/** The address that a WS of a VIP is configured with. */
export function addressOf(vip: Vip, ws: string, addresses: Addresses): string | undefined {
  const set = vip.wsattrs !== undefined && Object.hasOwn(vip.wsattrs, ws) ? vip.wsattrs[ws]?.address : undefined;
  if (set !== undefined) return set;
  return addresses.get(ws)?.address;
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
