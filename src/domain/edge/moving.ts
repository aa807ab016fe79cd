/**
 * Moving a VIP from one cluster to another, make before break. While it moves both have it: the one that it leaves
 * (`moving: {to}`) holds its claim until the end, the other (`moving: {from}`) already serves and announces it.
 * Each step makes the next two documents, which are committed as one; nothing else may touch what a step has set.
 */
import { error } from '../problem.ts';
import type { Problem } from '../problem.ts';
import { defaults, forwardingOf, ospfAnnounceOf } from './model.ts';
import type { Cluster, Vip } from './model.ts';
import { missing } from './operation.ts';
import { sameValue } from './patch.ts';

/**
 * Forward: `begin`: the other cluster gets it too. `withdraw`: the old one no longer announces it, though it serves it
 * still. `end`: the old one loses it.
 * Back: `restore`: the old one announces it as before, and the new one no more, though it serves it still. `cancel`: the
 * new one loses it. After `restore`, `begin` goes forward again.
 */
export const moveSteps = ['begin', 'withdraw', 'end', 'restore', 'cancel'] as const;
export type MoveStep = (typeof moveSteps)[number];

/** Both clusters, as they are before a step. */
export interface Move {
  readonly vip: string;
  readonly from: Cluster;
  readonly to: Cluster;
}

/** The next documents, or why not. `reason` decides the error's code. */
export type Moved =
  | { ok: true; from: Cluster; to: Cluster }
  | { ok: false; reason: 'invalid' | 'not_found' | 'exists' | 'conflict'; problems: Problem[] };

export function applyMove(step: MoveStep, move: Move): Moved {
  switch (step) {
    case 'begin':
      return beginMove(move);
    case 'withdraw':
      return withdrawMove(move);
    case 'end':
      return endMove(move);
    case 'restore':
      return restoreMove(move);
    case 'cancel':
      return cancelMove(move);
  }
}

/** The cluster that a VIP is leaving for; undefined if it is not. */
export function leavingFor(vip: Vip): string | undefined {
  return vip.moving?.to;
}

/** The cluster that a VIP is coming from; undefined if it is not. */
export function comingFrom(vip: Vip): string | undefined {
  return vip.moving?.from;
}

/** Whether a VIP is on its way back: the cluster that it was going to announces it no more. Both halves say so. */
export function isGoingBack(vip: Vip): boolean {
  return vip.moving?.back === true;
}

/** Whether its old cluster announces a VIP no more. */
export function isWithdrawn(vip: Vip): boolean {
  return vip.announce === 'none';
}

/** Whether the other cluster's document carries its half of the move too. Both are written in one commit, but a cluster may be imported alone. */
export function isWhole(cluster: string, vip: Vip, other: Cluster | undefined): boolean {
  const there = other?.vip2ws.find((v) => v.vip === vip.vip);
  if (!there) return false;
  return leavingFor(vip) === undefined ? leavingFor(there) === cluster : comingFrom(there) === cluster;
}

// the steps ----------------------------------------------------------------------------------

export function beginMove({ vip: address, from, to }: Move): Moved {
  if (from.name === to.name) return sameCluster(address, from.name);
  const vip = vipIn(from, address);
  if (!vip) return unknown(address, from);
  const coming = vipIn(to, address);
  if (coming && isGoingBack(coming) && isWhole(from.name, vip, to))
    return forwardAgain({ from, to }, { leaving: vip, coming });
  if (isHalf(vip, from, to)) return { ok: false, reason: 'conflict', problems: [halfAlone(vip, from, to)] };
  if (vip.moving) return { ok: false, reason: 'conflict', problems: [underWay(from.name, vip, 'vip')] };
  if (vipIn(to, address)) return there(address, to.name);
  const mixed = styleProblem(from, to);
  if (mixed) return { ok: false, reason: 'conflict', problems: [mixed] };
  const former = vip.announce === undefined ? {} : { announce: vip.announce };
  return {
    ok: true,
    from: withVip(from, { ...vip, moving: { to: to.name, ...former } }),
    to: { ...to, vip2ws: [...to.vip2ws, arriving(vip, from, to)] },
  };
}

interface Halves {
  leaving: Vip;
  coming: Vip;
}

/** As `begin` made it: both announce it. */
function forwardAgain({ from, to }: Pick<Move, 'from' | 'to'>, { leaving, coming }: Halves): Moved {
  const { announce: former = defaults.announce, back: _back, ...moving } = coming.moving ?? {};
  const { announce: _none, ...vip } = coming;
  const own = former === (to.announce ?? defaults.announce) ? {} : { announce: former };
  const { back: _back2, ...going } = leaving.moving ?? {};
  return { ok: true, from: withVip(from, { ...leaving, moving: going }), to: withVip(to, { ...vip, ...own, moving }) };
}

/** Equal documents where it is withdrawn already. */
export function withdrawMove(move: Move): Moved {
  const found = halves(move);
  if ('problems' in found) return found;
  if (isGoingBack(found.coming)) return announcedBy(move.from.name, { vip: move.vip, path: 'vip', next: 'begin' });
  return { ok: true, from: withVip(move.from, { ...found.leaving, announce: 'none' }), to: move.to };
}

export function endMove(move: Move): Moved {
  const found = halves(move);
  if ('problems' in found) return found;
  const { from, to } = move;
  const { leaving, coming } = found;
  if (!isWithdrawn(leaving)) return announcedBy(from.name, { vip: leaving.vip, path: 'vip', next: 'withdraw' });
  return { ok: true, from: withoutVip(from, leaving), to: withVip(to, settled(coming)) };
}

/** Equal documents where it is on its way back already. */
export function restoreMove(move: Move): Moved {
  const found = halves(move);
  if ('problems' in found) return found;
  const { from, to } = move;
  const { leaving, coming } = found;
  if (isGoingBack(coming)) return { ok: true, from, to };
  const announce = coming.announce ?? to.announce ?? defaults.announce;
  return {
    ok: true,
    from: withVip(from, { ...asItWas(leaving), moving: { ...leaving.moving, back: true } }),
    to: withVip(to, { ...coming, announce: 'none', moving: { ...coming.moving, announce, back: true } }),
  };
}

export function cancelMove(move: Move): Moved {
  const found = halves(move);
  if ('problems' in found) return found;
  const { from, to } = move;
  const { leaving, coming } = found;
  if (!isGoingBack(coming)) return announcedBy(to.name, { vip: coming.vip, path: 'to', next: 'restore' });
  return { ok: true, from: withVip(from, asItWas(leaving)), to: withoutVip(to, coming) };
}

/** As the old cluster had it before the move. */
function asItWas({ moving, announce: _withdrawn, ...vip }: Vip): Vip {
  return moving?.announce === undefined ? vip : { ...vip, announce: moving.announce };
}

/** A cluster that has not withdrawn what it would lose. */
function announcedBy(
  cluster: string,
  { vip, path, next }: { vip: string; path: string; next: MoveStep },
): Extract<Moved, { ok: false }> {
  const problem = error(path, {
    code: 'move_not_withdrawn',
    message: `cluster ${cluster} announces VIP ${vip} still, as far as the documents say`,
    hint: `take the step ${next} first, publish and activate that: clients would lose the VIP otherwise`,
  });
  return { ok: false, reason: 'conflict', problems: [problem] };
}

/**
 * All fields as they are, moving from A. What it has from the head of A's document is set on the VIP itself where the
 * head of B's says otherwise; what B cannot express is refused by the checks of B's document.
 */
function arriving(vip: Vip, from: Cluster, to: Cluster): Vip {
  const announce = vip.announce ?? from.announce ?? defaults.announce;
  const forwarding = forwardingOf(from, vip);
  return {
    ...vip,
    ...(announce === (vip.announce ?? to.announce ?? defaults.announce) ? {} : { announce }),
    ...(forwarding === forwardingOf(to, vip) ? {} : { forwarding }),
    moving: { from: from.name },
  };
}

function settled({ moving: _moving, ...vip }: Vip): Vip {
  return vip;
}

function vipIn(cluster: Cluster, address: string): Vip | undefined {
  return cluster.vip2ws.find((v) => v.vip === address);
}

function withVip(cluster: Cluster, vip: Vip): Cluster {
  return { ...cluster, vip2ws: cluster.vip2ws.map((v) => (v.vip === vip.vip ? vip : v)) };
}

function withoutVip(cluster: Cluster, vip: Vip): Cluster {
  return { ...cluster, vip2ws: cluster.vip2ws.filter((v) => v.vip !== vip.vip) };
}

/** Both halves of a move that is under way between just these two, or why not. */
function halves({ vip: address, from, to }: Move): Halves | Extract<Moved, { ok: false }> {
  if (from.name === to.name) return sameCluster(address, from.name);
  const leaving = vipIn(from, address);
  if (!leaving) return unknown(address, from);
  const goal = leavingFor(leaving);
  const coming = vipIn(to, address);
  if (goal === to.name && coming && isWhole(from.name, leaving, to)) return { leaving, coming };
  for (const [vip, own, other] of [[leaving, from, to] as const, [coming, to, from] as const]) {
    if (vip && isHalf(vip, own, other))
      return { ok: false, reason: 'conflict', problems: [halfAlone(vip, own, other)] };
  }
  const elsewhere = goal === undefined || goal === to.name ? '' : `, but to ${goal}`;
  const problem = error('vip', {
    code: 'vip_not_moving',
    message: `VIP ${address} is not moving from cluster ${from.name} to ${to.name}${elsewhere}`,
    hint: elsewhere === '' ? 'begin the move first' : `name the cluster that it is moving to: ${goal}`,
  });
  return { ok: false, reason: 'conflict', problems: [problem] };
}

/** Whether a VIP moves to or from another cluster, whose document does not say so. */
function isHalf(vip: Vip, own: Cluster, other: Cluster): boolean {
  return (leavingFor(vip) ?? comingFrom(vip)) === other.name && !isWhole(own.name, vip, other);
}

function halfAlone({ vip }: Vip, own: Cluster, other: Cluster): Problem {
  return error('vip', {
    code: 'vip_not_moving',
    message: `VIP ${vip} is moving by the document of cluster ${own.name} alone: cluster ${other.name} does not say so`,
    hint: `clear that half of a move away: weir vip set ${own.name} ${vip} moving=null; or remove the VIP there`,
  });
}

function sameCluster(address: string, name: string): Extract<Moved, { ok: false }> {
  const problem = error('to', {
    code: 'move_same_cluster',
    message: `VIP ${address} would move from cluster ${name} to itself`,
    hint: 'name another cluster',
  });
  return { ok: false, reason: 'invalid', problems: [problem] };
}

function unknown(address: string, { name, vip2ws }: Cluster): Extract<Moved, { ok: false }> {
  const known = vip2ws.map((v) => v.vip);
  return {
    ok: false,
    reason: 'not_found',
    problems: missing([address], known, { what: 'VIP', path: 'vip', of: name }),
  };
}

function there(address: string, name: string): Extract<Moved, { ok: false }> {
  const problem = error('to', {
    code: 'vip_exists',
    message: `VIP ${address} is in cluster ${name} already`,
    hint: `remove it from cluster ${name} first, or name another cluster`,
  });
  return { ok: false, reason: 'exists', problems: [problem] };
}

/** RFC 2328, 16.4: routes within the area are preferred to external ones, whatever they cost. */
function styleProblem(from: Cluster, to: Cluster): Problem | undefined {
  const [old, next] = [ospfAnnounceOf(from), ospfAnnounceOf(to)];
  if (old === next) return undefined;
  const winner = old === 'network' ? from.name : to.name;
  return error('to', {
    code: 'ospf_style_mixed',
    message: `cluster ${from.name} announces VIPs by ${old} and cluster ${to.name} by ${next}: while both announce it, routers would send everything to ${winner} at once`,
    hint: 'set ospf.announce of one cluster as the other has it, publish and activate that first',
  });
}

// what nothing else may do -------------------------------------------------------------------

/**
 * Why a change of one cluster may not be: it sets, changes or removes `moving`, takes a VIP that moves, changes how
 * the cluster that it leaves announces it, or makes the two announce in different ways. A half whose other half is not
 * there may be cleared away.
 */
export function movingProblems(
  before: Cluster | undefined,
  after: Cluster | undefined,
  clusterOf: (name: string) => Cluster | undefined,
): Problem[] {
  const was = movers(before);
  const is = before?.vip2ws === after?.vip2ws ? was : movers(after);
  const problems: Problem[] = [];
  if (before) for (const vip of was.values()) problems.push(...keptProblems(before, after, { vip, clusterOf }));
  for (const vip of is.values()) {
    if (was.has(vip.vip)) continue;
    problems.push(
      error(after ? pathOf(after, vip.vip, 'moving') : '', {
        code: 'vip_moving',
        message: `moving of VIP ${vip.vip} is set by moving it, and by nothing else`,
        hint: 'leave moving out, or roll back to a revision at which it was not moving; weir vip move moves a VIP',
      }),
    );
  }
  return problems;
}

function movers(cluster: Cluster | undefined): Map<string, Vip> {
  const found = new Map<string, Vip>();
  for (const vip of cluster?.vip2ws ?? []) if (vip.moving) found.set(vip.vip, vip);
  return found;
}

interface Kept {
  /** As it was, moving. */
  vip: Vip;
  clusterOf: (name: string) => Cluster | undefined;
}

function keptProblems(before: Cluster, after: Cluster | undefined, { vip, clusterOf }: Kept): Problem[] {
  const other = clusterOf(leavingFor(vip) ?? comingFrom(vip) ?? '');
  const whole = isWhole(before.name, vip, other);
  if (!after) return whole ? [underWay(before.name, vip, '')] : [];
  const next = vipIn(after, vip.vip);
  if (!next) return whole ? [underWay(before.name, vip, 'vip2ws')] : [];
  if (!sameValue(next.moving, vip.moving)) {
    const cleared = !whole && next.moving === undefined;
    return cleared ? [] : [underWay(before.name, vip, pathOf(after, vip.vip, 'moving'))];
  }
  if (!whole) return [];
  if ((leavingFor(vip) !== undefined || isGoingBack(vip)) && next.announce !== vip.announce) {
    return [underWay(before.name, vip, pathOf(after, vip.vip, 'announce'))];
  }
  const mixed = other && ospfAnnounceOf(before) !== ospfAnnounceOf(after) ? styleProblem(after, other) : undefined;
  return mixed ? [{ ...mixed, path: 'ospf.announce', hint: `end or cancel the move of VIP ${vip.vip} first` }] : [];
}

function pathOf(cluster: Cluster, address: string, field: string): string {
  return `vip2ws[${cluster.vip2ws.findIndex((v) => v.vip === address)}].${field}`;
}

/** Of a VIP that moves, in the document of a cluster. */
function underWay(cluster: string, vip: Vip, path: string): Problem {
  const from = comingFrom(vip) ?? cluster;
  const to = leavingFor(vip) ?? cluster;
  return error(path, {
    code: 'vip_moving',
    message: `VIP ${vip.vip} is moving from cluster ${from} to ${to}`,
    hint: `end the move first: weir vip move ${vip.vip} --from ${from} --to ${to}; or go back with --cancel`,
  });
}
