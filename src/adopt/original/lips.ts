/**
 * The LIPs that LBs of the original have: it gave each the hosts of its internal subnet without the
 * first two, which it took to be the gateway and the LB. A cluster that is taken over keeps them by
 * having them as explicit `lips`; where that cannot be, Weir plans others, and a warning says so.
 */
import { addressNumber, formatAddress, lastOf, networkOf, parseMask, parseRange } from '../../domain/address.ts';
import type { Net } from '../../domain/address.ts';
import { mentionsOfLb, mentionsOfVip } from '../../domain/edge/claims.ts';
import { MAX_LIPS } from '../../domain/edge/model.ts';
import type { Cluster, Lb } from '../../domain/edge/model.ts';
import { warning } from '../../domain/problem.ts';
import type { Problem } from '../../domain/problem.ts';

/** `problem`: a warning at `lips`. */
export type OriginalLips = { ok: true; lips: string[] } | { ok: false; problem: Problem };

/** Besides the LB's own addresses, those that are taken by others are left out. */
export function originalLips(lb: Lb, isTaken: (address: number) => boolean = () => false): OriginalLips {
  const net = netOf(lb);
  // Between the network and the broadcast address, without the first two.
  const [first, last] = [net.base + 3, lastOf(net) - 1];
  const count = Math.max(0, last - first + 1);
  if (count > MAX_LIPS) return { ok: false, problem: tooMany(lb, count) };
  const own = new Set(addressesOf(lb));
  const free = Array.from({ length: count }, (_, i) => first + i).filter((a) => !own.has(a) && !isTaken(a));
  return free.length > 0 ? { ok: true, lips: rangesOf(free) } : { ok: false, problem: noneLeft(lb) };
}

function netOf(lb: Lb): Net {
  const prefix = parseMask(lb.internalnetmask) ?? 32;
  return { base: networkOf(addressNumber(lb.internalip), prefix), prefix };
}

function addressesOf(lb: Lb): number[] {
  const own = lb.extraip === undefined ? [lb.internalip] : [lb.internalip, lb.extraip];
  return [...own, ...mentionsOfLb(lb)].map(addressNumber);
}

/** Ascending addresses as the fewest texts: `10.0.19.227-254`, or `10.0.16.3-10.0.17.254` over several /24. */
function rangesOf(addresses: readonly number[]): string[] {
  const starts = addresses.filter((address, i) => address - 1 !== addresses[i - 1]);
  const ends = addresses.filter((address, i) => address + 1 !== addresses[i + 1]);
  return starts.map((start, i) => rangeText(start, ends[i] ?? start));
}

function rangeText(first: number, last: number): string {
  if (first === last) return formatAddress(first);
  return `${formatAddress(first)}-${first >>> 8 === last >>> 8 ? last & 255 : formatAddress(last)}`;
}

/**
 * Explicit `lips` for each LB that has none and does not ask for planned ones by `lipcount`. Without
 * them, and with a warning, stay LBs whose subnet is too large or not theirs alone: the original gave
 * all LBs of a subnet the same addresses, each other's own among them.
 */
export function withOriginalLips(cluster: Cluster): { cluster: Cluster; warnings: Problem[] } {
  const warnings: Problem[] = [];
  const document = documentOf(cluster);
  const lbinfos = cluster.lbinfos.map((lb, i) => {
    if (lb.lips !== undefined || lb.lipcount !== undefined) return lb;
    const found = lipsWithin(document, lb);
    if (found.ok) return { ...lb, lips: found.lips };
    warnings.push({ ...found.problem, path: `lbinfos[${i}].lips` });
    return lb;
  });
  const same = lbinfos.every((lb, i) => lb === cluster.lbinfos[i]);
  return { cluster: same ? cluster : { ...cluster, lbinfos }, warnings };
}

/** LBs that the original added to a cluster have the LIPs that it gives them; the others keep theirs. */
export function withLipsOfNew(next: Cluster, present: Cluster): Cluster {
  const known = new Set(present.lbinfos.map((lb) => lb.hostname));
  if (next.lbinfos.every((lb) => known.has(lb.hostname))) return next;
  const { cluster } = withOriginalLips(next);
  return { ...next, lbinfos: next.lbinfos.map((lb, i) => (known.has(lb.hostname) ? lb : (cluster.lbinfos[i] ?? lb))) };
}

interface Document {
  nets: readonly { lb: Lb; net: Net }[];
  /** Of LBs, gateways, VIPs, and WSs where the document gives them. */
  addresses: ReadonlySet<number>;
  given: readonly { first: number; last: number }[];
}

function documentOf({ lbinfos, vip2ws }: Cluster): Document {
  return {
    nets: lbinfos.map((lb) => ({ lb, net: netOf(lb) })),
    addresses: new Set([
      ...lbinfos.flatMap(addressesOf),
      ...vip2ws.flatMap((vip) => [vip.vip, ...mentionsOfVip(vip)].map(addressNumber)),
    ]),
    given: lbinfos.flatMap((lb) => lb.lips ?? []).flatMap((text) => parseRange(text) ?? []),
  };
}

function lipsWithin({ nets, addresses, given }: Document, lb: Lb): OriginalLips {
  const net = netOf(lb);
  const others = nets.filter((other) => other.lb !== lb && overlap(other.net, net)).map((other) => other.lb.hostname);
  if (others.length > 0) return { ok: false, problem: shared(lb, others) };
  const within = given.filter(({ first, last }) => first <= lastOf(net) && last >= net.base);
  return originalLips(lb, (a) => addresses.has(a) || within.some(({ first, last }) => a >= first && a <= last));
}

function overlap(a: Net, b: Net): boolean {
  return a.base <= lastOf(b) && b.base <= lastOf(a);
}

function shared(lb: Lb, others: readonly string[]): Problem {
  const more = others.length > 1 ? ` and ${others.length - 1} more` : '';
  return warning('lips', {
    code: 'lips_shared',
    message: `${lb.hostname} shares its internal subnet ${netText(lb)} with ${others[0]}${more}: the original gave them the same LIPs, so its LIPs are planned anew`,
    hint: 'set lips on each LB to addresses of its own, if those that are planned do not suit',
  });
}

function tooMany(lb: Lb, count: number): Problem {
  return warning('lips', {
    code: 'too_many_lips',
    message: `the original gave ${lb.hostname} all ${count} hosts of ${netText(lb)} as LIPs, more than ${MAX_LIPS}, so its LIPs are planned anew`,
    hint: 'set lips to the ranges that it should keep, if those that are planned do not suit',
  });
}

function noneLeft(lb: Lb): Problem {
  return warning('lips', {
    code: 'no_lips',
    message: `the original's LIPs of ${lb.hostname} would come from ${netText(lb)}, which has no address left`,
    hint: 'set lips to addresses of another net',
  });
}

function netText(lb: Lb): string {
  const { base, prefix } = netOf(lb);
  return `${formatAddress(base)}/${prefix}`;
}
