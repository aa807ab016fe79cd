/** Clusters of any size, for benchmarks. */
import { nextAddresses, noAddresses } from '../src/domain/edge/addresses.ts';
import type { Addresses, FoundAddresses } from '../src/domain/edge/addresses.ts';
import { formatAddress } from '../src/domain/address.ts';
import type { Cluster } from '../src/domain/edge/model.ts';

export interface Size {
  lbs: number;
  vips: number;
  wss: number;
}

const at = (base: number, offset: number) => formatAddress(base + offset);
const VIP_BASE = 60 * 2 ** 24 + 28 * 2 ** 16;
const LB_BASE = 10 * 2 ** 24 + 2 ** 16;
const EXTRA_BASE = 61 * 2 ** 24;
const WS_BASE = 10 * 2 ** 24 + 64 * 2 ** 16;

/** `index` keeps the addresses of several clusters apart. */
export function makeCluster(name: string, { lbs, vips, wss }: Size, index = 0): Cluster {
  return {
    name,
    type: 'extra',
    device: 'em1',
    vipnets: [`${at(VIP_BASE, index * 4096)}/20`],
    lbinfos: Array.from({ length: lbs }, (_, i) => {
      const internal = LB_BASE + (index * lbs + i) * 32;
      const extra = EXTRA_BASE + (index * lbs + i) * 4;
      return {
        hostname: `lb${i}-${name}.hy01`,
        routerid: at(extra, 2),
        internalip: at(internal, 2),
        internalnetmask: '255.255.255.224',
        internalgateway: at(internal, 1),
        extraip: at(extra, 2),
        extranetmask: '255.255.255.252',
        extragateway: at(extra, 1),
        ospfnet: `${at(extra, 0)}/30`,
      };
    }),
    vip2ws: Array.from({ length: vips }, (_, v) => ({
      vip: at(VIP_BASE, index * 4096 + v + 1),
      wstype: `type${v % 50}`,
      wss: Array.from({ length: wss }, (_, w) => wsName(name, v * wss + w)),
      ports: [80, 443].map((port) => ({ sport: port, dport: port, synproxy: 1 as const, persistence_timeout: 50 })),
    })),
  };
}

function wsName(cluster: string, n: number): string {
  return `ngx${n}-${cluster}.hy01`;
}

export function makeAddresses(cluster: Cluster): Addresses {
  return nextAddresses(noAddresses, makeFound(cluster));
}

/** `first`: how many addresses other clusters have before. */
export function makeFound(cluster: Cluster, first = 0): FoundAddresses {
  const names = cluster.vip2ws.flatMap((v) => v.wss);
  return Object.fromEntries(names.map((n, i) => [n, { address: at(WS_BASE, first + i), source: 'hosts' as const }]));
}
