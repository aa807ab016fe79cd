/**
 * Who holds what over all clusters: claims, and addresses that are only mentioned (gateways, WSs).
 * Kept up to date part by part; the store's claims decide in the end, this tells beforehand and with reasons.
 */
import { lbClaims, mentionsOfLb, mentionsOfVip, vipClaims } from '../domain/edge/claims.ts';
import type { Claim, ClaimKey } from '../domain/edge/claims.ts';
import type { FoundAddress } from '../domain/edge/addresses.ts';
import { lipsOf } from '../domain/edge/lips.ts';
import type { LipPlan } from '../domain/edge/lips.ts';
import type { Cluster, Lb, Vip } from '../domain/edge/model.ts';

/** What of a cluster holds or mentions something. */
export interface Holder {
  readonly name: string;
  readonly cluster: Cluster;
  readonly lips: LipPlan;
}

export interface HoldingsDelta {
  remove: Claim[];
  add: Claim[];
  /** Addresses newly mentioned, and no longer. */
  mention: string[];
  forget: string[];
}

/** What changes hands between two states of one cluster; costs what differs. */
export function holdingsDelta(from: Holder | undefined, to: Holder | undefined): HoldingsDelta {
  const delta: HoldingsDelta = { remove: [], add: [], mention: [], forget: [] };
  const [oldVips, newVips] = changed(from?.cluster.vip2ws, to?.cluster.vip2ws);
  for (const vip of oldVips) leaveVip(delta, from, vip);
  for (const vip of newVips) enterVip(delta, to, vip);
  const lbsDiffer = from?.cluster.lbinfos !== to?.cluster.lbinfos || from?.lips !== to?.lips;
  if (lbsDiffer) {
    const same = from && to ? sharedLbs(from, to) : new Set<Lb>();
    for (const lb of from?.cluster.lbinfos ?? []) if (!same.has(lb)) leaveLb(delta, from, lb);
    for (const lb of to?.cluster.lbinfos ?? []) if (!same.has(lb)) enterLb(delta, to, lb);
  }
  if (from?.lips.quarantine !== to?.lips.quarantine) {
    if (from) delta.remove.push(...quarantineClaims(from));
    if (to) delta.add.push(...quarantineClaims(to));
  }
  return cancelled(delta);
}

function leaveVip(delta: HoldingsDelta, from: Holder | undefined, vip: Vip): void {
  delta.remove.push(...vipClaims(from?.name ?? '', vip));
  delta.forget.push(...mentionsOfVip(vip));
}

function enterVip(delta: HoldingsDelta, to: Holder | undefined, vip: Vip): void {
  delta.add.push(...vipClaims(to?.name ?? '', vip));
  delta.mention.push(...mentionsOfVip(vip));
}

function leaveLb(delta: HoldingsDelta, from: Holder | undefined, lb: Lb): void {
  if (from) delta.remove.push(...lbClaims(from.name, lb, lipsOf(from.lips, lb.hostname)));
  delta.forget.push(...mentionsOfLb(lb));
}

function enterLb(delta: HoldingsDelta, to: Holder | undefined, lb: Lb): void {
  if (to) delta.add.push(...lbClaims(to.name, lb, lipsOf(to.lips, lb.hostname)));
  delta.mention.push(...mentionsOfLb(lb));
}

/** LBs that are the same object with the same LIPs in both. */
function sharedLbs(from: Holder, to: Holder): Set<Lb> {
  const before = new Set(from.cluster.lbinfos);
  return new Set(
    to.cluster.lbinfos.filter(
      (lb) => before.has(lb) && lipsOf(from.lips, lb.hostname) === lipsOf(to.lips, lb.hostname),
    ),
  );
}

function quarantineClaims(holder: Holder): Claim[] {
  return Object.entries(holder.lips.quarantine).map(([address, held]) => ({
    key: `ip:${address}`,
    cluster: holder.name,
    what: `quarantined LIP of LB ${held.lb}`,
  }));
}

/** Parts of each list that the other has not, by identity. */
function changed<T>(from: readonly T[] = [], to: readonly T[] = []): [T[], T[]] {
  if (from === to) return [[], []];
  const before = new Set(from);
  const after = new Set(to);
  return [from.filter((item) => !after.has(item)), to.filter((item) => !before.has(item))];
}

/** Without what is given back and claimed again alike. */
function cancelled(delta: HoldingsDelta): HoldingsDelta {
  const same = (claim: Claim) => `${claim.key} ${claim.what}`;
  const removed = new Set(delta.remove.map(same));
  const both = new Set(delta.add.map(same).filter((k) => removed.has(k)));
  if (both.size === 0) return delta;
  return {
    ...delta,
    remove: delta.remove.filter((c) => !both.has(same(c))),
    add: delta.add.filter((c) => !both.has(same(c))),
  };
}

/** The holdings of all clusters, in memory. */
export interface Holdings {
  claim(key: ClaimKey): Claim | undefined;
  /** Whether an address is a gateway or a WS of any cluster. */
  isMentioned(address: string): boolean;
  apply(delta: HoldingsDelta): void;
  /** Addresses that WSs were found at. */
  applyFound(from: Iterable<FoundAddress>, to: Iterable<FoundAddress>): void;
}

export function createHoldings(): Holdings {
  const claims = new Map<ClaimKey, Claim>();
  const mentions = new Map<string, number>();
  const count = (address: string, by: 1 | -1) => {
    const next = (mentions.get(address) ?? 0) + by;
    if (next > 0) mentions.set(address, next);
    else mentions.delete(address);
  };
  return {
    claim: (key) => claims.get(key),
    isMentioned: (address) => mentions.has(address),
    apply(delta) {
      for (const claim of delta.remove) if (claims.get(claim.key)?.cluster === claim.cluster) claims.delete(claim.key);
      for (const claim of delta.add) claims.set(claim.key, claim);
      for (const address of delta.forget) count(address, -1);
      for (const address of delta.mention) count(address, 1);
    },
    applyFound(from, to) {
      for (const found of from) count(found.address, -1);
      for (const found of to) count(found.address, 1);
    },
  };
}
