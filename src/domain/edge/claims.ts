/**
 * What one cluster holds to the exclusion of all others, and the addresses it mentions.
 * Claims are contributed part by part (a VIP, an LB), so that what a change claims or gives back
 * is found by comparing the identity of parts.
 */
import { parseAddress, rangeHolds } from '../address.ts';
import { error } from '../problem.ts';
import type { Problem } from '../problem.ts';
import type { Cluster, Lb, Vip } from './model.ts';

/**
 * `lb:HOST`, `routerid:A`, `ip:A` (a VIP, an LB's address or a LIP: no two things may share one), or `moving:A` (a VIP
 * that another cluster holds until its move here has ended).
 */
export type ClaimKey = string;

/** Who holds a claim: the cluster, and what in it. Stored, and shown to who is refused. */
export interface Claim {
  readonly key: ClaimKey;
  readonly cluster: string;
  readonly what: string;
}

/** While a VIP moves, the cluster that it leaves holds its address, and the one that it goes to that it comes there. */
export function vipClaims(cluster: string, vip: Vip): Claim[] {
  const kind = vip.moving?.from === undefined ? 'ip' : 'moving';
  return [{ key: `${kind}:${vip.vip}`, cluster, what: 'VIP' }];
}

export function lbClaims(cluster: string, lb: Lb, lips: readonly string[]): Claim[] {
  const what = `LB ${lb.hostname}`;
  const addresses =
    lb.extraip === undefined || lb.extraip === lb.internalip ? [lb.internalip] : [lb.internalip, lb.extraip];
  return [
    { key: `lb:${lb.hostname.toLowerCase()}`, cluster, what },
    { key: `routerid:${lb.routerid}`, cluster, what },
    ...addresses.map((a) => ({ key: `ip:${a}`, cluster, what: `address of ${what}` })),
    ...lips.map((a) => ({ key: `ip:${a}`, cluster, what: `LIP of ${what}` })),
  ];
}

/** Addresses that may be shared between parts but must never become a LIP: gateways and WSs with a set address. */
export function mentionsOfLb(lb: Lb): string[] {
  return lb.extragateway === undefined ? [lb.internalgateway] : [lb.internalgateway, lb.extragateway];
}

export function mentionsOfVip(vip: Vip): string[] {
  return Object.values(vip.wsattrs ?? {}).flatMap((attrs) => attrs.address ?? []);
}

const codes: Record<string, { code: string; thing: string }> = {
  lb: { code: 'lb_claimed', thing: 'LB' },
  routerid: { code: 'router_id_claimed', thing: 'router-id' },
  ip: { code: 'address_claimed', thing: 'address' },
  moving: { code: 'vip_claimed', thing: 'VIP' },
};

/** Why a claim is refused, with the path of the part that wants it. */
export function claimProblem(cluster: Cluster, wanted: Claim, holder: Claim): Problem {
  const [kind, value] = split(wanted.key);
  const { code, thing } = codes[kind] ?? { code: 'claimed', thing: kind };
  return error(pathOf(cluster, wanted.key), {
    code: kind === 'ip' && wanted.what === 'VIP' && holder.what === 'VIP' ? 'vip_claimed' : code,
    message: `${thing} ${value} (${wanted.what}) belongs to cluster ${holder.cluster} already (${holder.what})`,
    hint: `choose another, or remove it from cluster ${holder.cluster} first`,
  });
}

function split(key: ClaimKey): [string, string] {
  const colon = key.indexOf(':');
  return [key.slice(0, colon), key.slice(colon + 1)];
}

function pathOf(cluster: Cluster, key: ClaimKey): string {
  const [kind, value] = split(key);
  const vip = cluster.vip2ws.findIndex((v) => (kind === 'ip' || kind === 'moving') && v.vip === value);
  if (vip >= 0) return `vip2ws[${vip}].vip`;
  const lb = cluster.lbinfos.findIndex((l) =>
    kind === 'lb' ? l.hostname.toLowerCase() === value : kind === 'routerid' ? l.routerid === value : false,
  );
  if (lb >= 0) return `lbinfos[${lb}].${kind === 'lb' ? 'hostname' : 'routerid'}`;
  const byAddress = cluster.lbinfos.findIndex((l) => l.internalip === value || l.extraip === value);
  if (byAddress >= 0)
    return `lbinfos[${byAddress}].${cluster.lbinfos[byAddress]?.internalip === value ? 'internalip' : 'extraip'}`;
  const address = parseAddress(value) ?? -1;
  const byLips = cluster.lbinfos.findIndex((l) => l.lips?.some((text) => rangeHolds(text, address)));
  return byLips >= 0 ? `lbinfos[${byLips}].lips` : '';
}
