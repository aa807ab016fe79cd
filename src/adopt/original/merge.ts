/**
 * What others wrote to a mirror, brought into the document: three ways, from the document that the
 * mirror was written from. The mirror has the original's fields only, so that a difference there is
 * made here in those fields, and Weir's own stay. Where both sides changed the same VIP, LB or field
 * of the head, and not alike, neither wins: that is a crossing, for people to decide.
 */
import { protocolOf } from '../../domain/edge/model.ts';
import type { Cluster, Lb, Port, Vip } from '../../domain/edge/model.ts';
import { sameValue } from '../../domain/edge/patch.ts';
import { show } from '../../domain/problem.ts';
import { lbFields, originalLb, originalPort, originalVip } from './form.ts';

/** A part that both sides changed; undefined where it is not there. */
export interface Crossing {
  /** By the part's name, `vip2ws["60.28.208.1"]`: its index differs between the documents. */
  readonly path: string;
  readonly what: 'vip' | 'lb' | 'head';
  /** The VIP, the LB's hostname, or the field. */
  readonly key: string;
  readonly base: unknown;
  readonly foreign: unknown;
  readonly present: unknown;
}

/** A part, or a whole document, as the three know it. */
interface Three<T> {
  /** From which the mirror was last written. */
  readonly base: T;
  /** As it was read from the mirror; names within it differ, `readRecord` has seen to that. */
  readonly foreign: T;
  readonly present: T;
}

/** `changed` false: `cluster` is `present` itself. */
export type Merged = { ok: true; cluster: Cluster; changed: boolean } | { ok: false; crossings: Crossing[] };

export function mergeForeign(input: Three<Cluster>): Merged {
  const crossings: Crossing[] = [];
  const head = mergeHead(input, crossings);
  const lbinfos = mergeList(listsOf(input, 'lbinfos'), lbRules, crossings);
  const vip2ws = mergeList(listsOf(input, 'vip2ws'), vipRules, crossings);
  if (crossings.length > 0) return { ok: false, crossings };
  const { present } = input;
  const changed = Object.keys(head).length > 0 || lbinfos !== present.lbinfos || vip2ws !== present.vip2ws;
  return { ok: true, cluster: changed ? { ...present, ...head, lbinfos, vip2ws } : present, changed };
}

function listsOf<Field extends 'lbinfos' | 'vip2ws'>(input: Three<Cluster>, field: Field): Three<Cluster[Field]> {
  return { base: input.base[field], foreign: input.foreign[field], present: input.present[field] };
}

/** The fields that the foreign side changes. */
function mergeHead({ base, foreign, present }: Three<Cluster>, crossings: Crossing[]): Partial<Cluster> {
  const head: Partial<Cluster> = {};
  for (const key of ['type', 'device', 'vipnets'] as const) {
    const three = { base: base[key], foreign: foreign[key], present: present[key] };
    const verdict = judge<string | string[]>(three, { alike: sameSet, same: sameSet });
    if (verdict === 'crosses') crossings.push({ path: key, what: 'head', key, ...three });
    if (verdict === 'applies') Object.assign(head, { [key]: foreign[key] });
  }
  return head.vipnets ? { ...head, vipnets: inOrderOf(present.vipnets, head.vipnets) } : head;
}

type Same<T> = (a: T, b: T) => boolean;

interface Comparing<T> {
  /** As far as the original sees. */
  alike: Same<T>;
  /** Weir's own fields too. */
  same: Same<T>;
}

function judge<T>(
  { base, foreign, present }: Three<T>,
  { alike, same }: Comparing<T>,
): 'stays' | 'applies' | 'crosses' {
  if (alike(base, foreign) || alike(present, foreign)) return 'stays';
  return same(base, present) ? 'applies' : 'crosses';
}

/** How items of a list are named, compared and changed. */
interface Rules<T> extends Comparing<T | undefined> {
  what: 'vip' | 'lb';
  field: 'vip2ws' | 'lbinfos';
  key: (item: T) => string;
  /** The present item, which is the base's, with the original's fields of the foreign one. */
  apply: (present: T, foreign: T) => T;
}

const lbRules: Rules<Lb> = {
  what: 'lb',
  field: 'lbinfos',
  key: (lb) => lb.hostname,
  alike: (a, b) => sameValue(a && originalLb(a), b && originalLb(b)),
  same: sameValue,
  apply: applyLb,
};

const vipRules: Rules<Vip> = {
  what: 'vip',
  field: 'vip2ws',
  key: (vip) => vip.vip,
  alike: (a, b) => sameValue(comparable(a), comparable(b)),
  same: sameValue,
  apply: applyVip,
};

/** Order is no difference, and a VIP without TCP ports is not there. */
function comparable(vip: Vip | undefined): unknown {
  const form = vip && originalVip(vip);
  if (!form || form.ports.length === 0) return undefined;
  return { ...form, wss: sorted(form.wss), ports: Object.fromEntries(form.ports.map((port) => [port.sport, port])) };
}

/** `present` itself if nothing in it changes; what is new stands at the end. */
function mergeList<T extends Lb | Vip>(lists: Three<T[]>, rules: Rules<T>, crossings: Crossing[]): T[] {
  const base = byKey(lists.base, rules.key);
  const foreign = byKey(lists.foreign, rules.key);
  const next = byKey(lists.present, rules.key);
  let changed = false;
  for (const key of new Set([...base.keys(), ...foreign.keys()])) {
    const three = { base: base.get(key), foreign: foreign.get(key), present: next.get(key) };
    const verdict = judge(three, rules);
    if (verdict === 'crosses') {
      crossings.push({ path: `${rules.field}[${show(key)}]`, what: rules.what, key, ...three });
    }
    if (verdict !== 'applies') continue;
    changed = true;
    if (three.foreign === undefined) next.delete(key);
    else next.set(key, three.present ? rules.apply(three.present, three.foreign) : three.foreign);
  }
  return changed ? [...next.values()] : lists.present;
}

function byKey<Key, T>(items: readonly T[], key: (item: T) => Key): Map<Key, T> {
  return new Map(items.map((item) => [key(item), item]));
}

function applyLb(present: Lb, foreign: Lb): Lb {
  const fields = new Map<string, unknown>(Object.entries(present));
  for (const field of lbFields) {
    if (foreign[field] === undefined) fields.delete(field);
    else fields.set(field, foreign[field]);
  }
  return Object.fromEntries(fields) as Lb;
}

/** Attributes of a WS go with it. */
function applyVip(present: Vip, foreign: Vip): Vip {
  const wss = inOrderOf(present.wss, foreign.wss);
  const next: Vip = { ...present, wstype: foreign.wstype, wss, ports: applyPorts(present.ports, foreign.ports) };
  if (present.wsattrs === undefined) return next;
  const listed = new Set(wss);
  next.wsattrs = Object.fromEntries(Object.entries(present.wsattrs).filter(([ws]) => listed.has(ws)));
  if (Object.keys(next.wsattrs).length === 0) delete next.wsattrs;
  return next;
}

/** A port that changes keeps its check and scheduler; those that are not TCP the foreign side does not know. */
function applyPorts(present: readonly Port[], foreign: readonly Port[]): Port[] {
  const added = byKey(foreign, (port) => port.sport);
  const kept = present.flatMap((port) => {
    if (protocolOf(port) !== 'TCP') return [port];
    const wanted = added.get(port.sport);
    added.delete(port.sport);
    return wanted ? [{ ...port, ...originalPort(wanted) }] : [];
  });
  return [...kept, ...added.values()];
}

/** The wanted items, each once: those that are there in their order, then the others. */
function inOrderOf(present: readonly string[], wanted: readonly string[]): string[] {
  const left = new Set(wanted);
  const kept = present.filter((item) => left.delete(item));
  return [...kept, ...left];
}

/** Of texts, or of lists whose order means nothing. */
function sameSet(a: string | readonly string[], b: string | readonly string[]): boolean {
  return sameValue(sorted(a), sorted(b));
}

function sorted(value: string | readonly string[]): unknown {
  return typeof value === 'string' ? value : [...new Set(value)].sort();
}
