/**
 * Documents in parts: head, LBs by hostname, VIPs by address. A patch holds only the parts that
 * differ between two revisions; history and events carry it, so that any revision is rebuilt
 * without running old code, and equal parts keep their identity on every process.
 */
import { createHash } from 'node:crypto';
import type { Cluster, Lb, Vip } from './model.ts';

/** Changes of a keyed list: removals, then replacements in place, then additions at the end, then `order` where that is not it. */
export interface ListPatch<T> {
  readonly remove?: readonly string[];
  readonly set?: readonly T[];
  readonly order?: readonly string[];
}

export type ClusterHead = Omit<Cluster, 'lbinfos' | 'vip2ws'>;

export interface ClusterPatch {
  readonly head?: ClusterHead;
  readonly lbinfos?: ListPatch<Lb>;
  readonly vip2ws?: ListPatch<Vip>;
}

const lbKey = (lb: Lb) => lb.hostname;
const vipKey = (vip: Vip) => vip.vip;

export function headOf(cluster: Cluster): ClusterHead {
  const { lbinfos: _lbs, vip2ws: _vips, ...head } = cluster;
  return head;
}

export function diffCluster(from: Cluster, to: Cluster): ClusterPatch {
  const head = headOf(to);
  const lbinfos = diffList(from.lbinfos, to.lbinfos, lbKey);
  const vip2ws = diffList(from.vip2ws, to.vip2ws, vipKey);
  return {
    ...(sameValue(headOf(from), head) ? {} : { head }),
    ...(lbinfos ? { lbinfos } : {}),
    ...(vip2ws ? { vip2ws } : {}),
  };
}

export function isEmptyPatch(patch: ClusterPatch): boolean {
  return patch.head === undefined && patch.lbinfos === undefined && patch.vip2ws === undefined;
}

export function applyPatch(from: Cluster, patch: ClusterPatch): Cluster {
  return inOrderOf(from, {
    ...(patch.head ?? headOf(from)),
    lbinfos: patch.lbinfos ? applyList(from.lbinfos, patch.lbinfos, lbKey) : from.lbinfos,
    vip2ws: patch.vip2ws ? applyList(from.vip2ws, patch.vip2ws, vipKey) : from.vip2ws,
  });
}

/** Fields in the order that the document had before, then new ones: so that texts of two revisions differ where they do. */
function inOrderOf(from: Cluster, to: Cluster): Cluster {
  const fields = to as Record<string, unknown>;
  const kept = Object.keys(from).filter((name) => Object.hasOwn(fields, name));
  return { ...Object.fromEntries(kept.map((name) => [name, fields[name]])), ...to };
}

function diffList<T>(from: readonly T[], to: readonly T[], key: (item: T) => string): ListPatch<T> | undefined {
  if (from === to) return undefined;
  if (from.length === to.length && to.every((item, i) => item === from[i] || key(item) === keyAt(from, i, key))) {
    const changed = to.filter((item, i) => item !== from[i] && !sameValue(from[i], item));
    return changed.length > 0 ? { set: changed } : undefined;
  }
  const before = new Map(from.map((item) => [key(item), item]));
  const after = new Set(to.map(key));
  const remove = from.map(key).filter((k) => !after.has(k));
  const set = to.filter((item) => {
    const old = before.get(key(item));
    return old !== item && (old === undefined || !sameValue(old, item));
  });
  const natural = [...from.map(key).filter((k) => after.has(k)), ...to.map(key).filter((k) => !before.has(k))];
  const ordered = to.every((item, i) => natural[i] === key(item));
  if (remove.length === 0 && set.length === 0 && ordered) return undefined;
  return {
    ...(remove.length > 0 ? { remove } : {}),
    ...(set.length > 0 ? { set } : {}),
    ...(ordered ? {} : { order: to.map(key) }),
  };
}

function keyAt<T>(items: readonly T[], index: number, key: (item: T) => string): string | undefined {
  const item = items[index];
  return item === undefined ? undefined : key(item);
}

function applyList<T>(from: T[], patch: ListPatch<T>, key: (item: T) => string): T[] {
  const removed = new Set(patch.remove);
  const set = new Map((patch.set ?? []).map((item) => [key(item), item]));
  const kept = from
    .filter((item) => !removed.has(key(item)))
    .map((item) => {
      const replacement = set.get(key(item));
      set.delete(key(item));
      return replacement ?? item;
    });
  const items = [...kept, ...set.values()];
  if (!patch.order) return items;
  const byKey = new Map(items.map((item) => [key(item), item]));
  return patch.order.flatMap((k) => byKey.get(k) ?? []);
}

/** A document equal to `next` that shares every equal part with `previous`. */
export function reconcile(previous: Cluster, next: Cluster): Cluster {
  const lbinfos = shareList(previous.lbinfos, next.lbinfos, lbKey);
  const vip2ws = shareList(previous.vip2ws, next.vip2ws, vipKey);
  const head = headOf(next) as Record<string, unknown>;
  const old = headOf(previous) as Record<string, unknown>;
  for (const [name, value] of Object.entries(head)) if (sameValue(value, old[name])) head[name] = old[name];
  return inOrderOf(previous, { ...(head as ClusterHead), lbinfos, vip2ws });
}

function shareList<T>(previous: T[], next: T[], key: (item: T) => string): T[] {
  if (previous === next) return previous;
  let before: Map<string, T> | undefined;
  const shared = next.map((item, i) => {
    if (item === previous[i]) return item;
    before ??= new Map(previous.map((old) => [key(old), old]));
    const old = before.get(key(item));
    return old !== undefined && sameValue(old, item) ? old : item;
  });
  return shared.length === previous.length && shared.every((item, i) => item === previous[i]) ? previous : shared;
}

/** Whether two JSON values are equal; the order of keys does not matter, absent and undefined are one. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (a === null || b === null || typeof a !== 'object' || typeof b !== 'object') return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((item, i) => sameValue(item, b[i]));
  }
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
  const keys = Object.keys(left).filter((k) => left[k] !== undefined);
  const others = Object.keys(right).filter((k) => right[k] !== undefined);
  return keys.length === others.length && keys.every((k) => Object.hasOwn(right, k) && sameValue(left[k], right[k]));
}

const partDigests = new WeakMap<object, string>();

function partDigest(part: object): string {
  let digest = partDigests.get(part);
  if (digest === undefined) {
    digest = sha256(canonical(part));
    partDigests.set(part, digest);
  }
  return digest;
}

/** SHA-256 over the document's parts, each digested once as long as it keeps its identity. */
export function digestOf(cluster: Cluster): string {
  const lists = [cluster.lbinfos, cluster.vip2ws].map((list) => list.map(partDigest).join(''));
  return sha256([canonical(headOf(cluster)), ...lists].join('\n'));
}

/** JSON with sorted keys. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, v: unknown) =>
    v !== null && typeof v === 'object' && !Array.isArray(v)
      ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1)))
      : v,
  );
}

function sha256(value: string): string {
  return createHash('sha256').update(value).digest('hex');
}
