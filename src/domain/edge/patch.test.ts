import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { clusterArbitrary, fullCluster } from '../testing/clusters.ts';
import type { Cluster } from './model.ts';
import { applyPatch, canonical, diffCluster, digestOf, headOf, isEmptyPatch, reconcile, sameValue } from './patch.ts';

/** Two documents that share some parts, by identity or by value, in any order. */
const relatives = fc
  .tuple(clusterArbitrary, clusterArbitrary, fc.infiniteStream(fc.nat({ max: 3 })))
  .map(([a, b, choices]): [Cluster, Cluster] => {
    const mixed: Cluster = {
      ...(choose(choices) === 0 ? headOf(b) : headOf(a)),
      lbinfos: mix([a.lbinfos, b.lbinfos], (lb) => lb.hostname, choices),
      vip2ws: mix([a.vip2ws, b.vip2ws], (vip) => vip.vip, choices),
    };
    return [a, mixed];
  });

function choose(choices: fc.Stream<number>): number {
  return choices.next().value;
}

/** Some of two lists, one per key, some as copies, shuffled. */
function mix<T>([a, b]: readonly [T[], T[]], key: (item: T) => string, choices: fc.Stream<number>): T[] {
  const items = new Map<string, T>();
  for (const item of [...a, ...b]) {
    const choice = choose(choices);
    if (choice === 0) continue;
    items.set(key(item), choice === 1 ? structuredClone(item) : (items.get(key(item)) ?? item));
  }
  const shuffled: T[] = [];
  for (const item of items.values()) shuffled.splice(choose(choices) % (shuffled.length + 1), 0, item);
  return choose(choices) === 0 ? shuffled : [...items.values()];
}

/** The same value with the keys of every object in another order. */
function reordered<T>(value: T): T {
  if (Array.isArray(value)) return value.map(reordered) as T;
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([k, v]) => [k, reordered(v)]),
  ) as T;
}

const partsOf = (cluster: Cluster) => [...cluster.lbinfos, ...cluster.vip2ws];

describe('a patch', () => {
  test('leads from one document to the other, also after a round trip through JSON', () => {
    fc.assert(
      fc.property(relatives, ([a, b]) => {
        const patch = diffCluster(a, b);
        expect(applyPatch(a, patch)).toEqual(b);
        const sent = JSON.parse(JSON.stringify(patch)) as typeof patch;
        expect(applyPatch(a, sent)).toEqual(b);
        expect(digestOf(applyPatch(structuredClone(a), sent))).toBe(digestOf(b));
      }),
      { numRuns: 500 },
    );
  });

  test('there and back again gives the first document', () => {
    fc.assert(
      fc.property(relatives, ([a, b]) => {
        expect(applyPatch(applyPatch(a, diffCluster(a, b)), diffCluster(b, a))).toEqual(a);
      }),
    );
  });

  test('is empty exactly between equal documents', () => {
    fc.assert(
      fc.property(relatives, ([a, b]) => {
        expect(isEmptyPatch(diffCluster(a, b))).toBe(sameValue(a, b));
        expect(isEmptyPatch(diffCluster(a, reordered(structuredClone(a))))).toBe(true);
      }),
    );
  });

  test('keeps the identity of what it does not change, and changes neither document', () => {
    fc.assert(
      fc.property(relatives, ([a, b]) => {
        const copies = structuredClone([a, b]);
        const next = applyPatch(a, diffCluster(a, b));
        for (const part of partsOf(next)) {
          const old = partsOf(a).find((p) => sameValue(p, part));
          if (old) expect(part).toBe(old);
        }
        if (sameValue(a.vip2ws, b.vip2ws)) expect(next.vip2ws).toBe(a.vip2ws);
        if (sameValue(a.lbinfos, b.lbinfos)) expect(next.lbinfos).toBe(a.lbinfos);
        expect([a, b]).toEqual(copies);
      }),
    );
  });

  test('holds the parts that differ and nothing else', () => {
    const a = fullCluster();
    const vip = { ...(a.vip2ws[0] as Cluster['vip2ws'][number]), vip: '60.28.208.2' };
    expect(diffCluster(a, { ...a, vip2ws: [...a.vip2ws, vip] })).toEqual({ vip2ws: { set: [vip] } });
    expect(diffCluster(a, { ...a, vip2ws: [vip, ...a.vip2ws] })).toEqual({
      vip2ws: { set: [vip], order: ['60.28.208.2', '60.28.208.1'] },
    });
    expect(diffCluster(a, { ...a, lbinfos: a.lbinfos.slice(1) })).toEqual({ lbinfos: { remove: ['lb1.room1'] } });
    expect(diffCluster(a, { ...a, lbinfos: a.lbinfos.toReversed() })).toEqual({
      lbinfos: { order: ['lb2.room1', 'lb1.room1'] },
    });
    expect(diffCluster(a, { ...a, device: 'x' })).toEqual({ head: { ...headOf(a), device: 'x' } });
    expect(diffCluster(a, a)).toEqual({});
  });

  test('can remove and add fields of the head', () => {
    const { idc: _idc, ...without } = fullCluster();
    for (const [from, to] of [
      [fullCluster(), without],
      [without, fullCluster()],
    ] as const) {
      expect(applyPatch(from, diffCluster(from, to))).toEqual(to);
    }
  });
});

describe('reconciling', () => {
  test('gives an equal document that shares every equal part', () => {
    fc.assert(
      fc.property(relatives, ([a, b]) => {
        const copy = structuredClone(b);
        const next = reconcile(a, copy);
        expect(next).toEqual(b);
        for (const part of partsOf(next)) {
          const old = partsOf(a).find((p) => sameValue(p, part));
          if (old) expect(part).toBe(old);
        }
        const heads = [headOf(a), headOf(next)] as Record<string, unknown>[];
        for (const [name, value] of Object.entries(heads[1] ?? {})) {
          if (sameValue(value, heads[0]?.[name])) expect(value).toBe(heads[0]?.[name]);
        }
      }),
    );
  });

  test('with an equal document shares its lists too', () => {
    const a = fullCluster();
    const next = reconcile(a, reordered(structuredClone(a)));
    expect(next.lbinfos).toBe(a.lbinfos);
    expect(next.vip2ws).toBe(a.vip2ws);
    expect(next.vipnets).toBe(a.vipnets);
    expect(isEmptyPatch(diffCluster(a, next))).toBe(true);
  });

  test('keeps the order and the number of parts of the new document', () => {
    const a = fullCluster();
    expect(reconcile(a, { ...structuredClone(a), lbinfos: a.lbinfos.toReversed() }).lbinfos).toEqual(
      a.lbinfos.toReversed(),
    );
    expect(reconcile(a, { ...structuredClone(a), lbinfos: [] }).lbinfos).toEqual([]);
  });
});

describe('a digest', () => {
  test('is the same exactly where documents are the same value', () => {
    fc.assert(
      fc.property(relatives, ([a, b]) => {
        expect(digestOf(a) === digestOf(b)).toBe(sameValue(a, b));
        expect(digestOf(reordered(a))).toBe(digestOf(a));
        expect(digestOf(structuredClone(a))).toBe(digestOf(a));
      }),
    );
  });

  test('differs where only the order of parts, or one field deep inside, does', () => {
    const a = fullCluster();
    const changed = structuredClone(a);
    for (const vip of changed.vip2ws) for (const port of vip.ports) port.dport = 8;
    const digests = [
      a,
      changed,
      { ...a, lbinfos: a.lbinfos.toReversed() },
      { ...a, lbinfos: [] },
      { ...a, name: 'b' },
    ].map(digestOf);
    expect(new Set(digests).size).toBe(5);
    expect(digests[0]).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe('the same value', () => {
  test('is the same canonical text, for any JSON', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
        expect(sameValue(a, structuredClone(a))).toBe(true);
        expect(sameValue(a, reordered(a))).toBe(true);
        expect(sameValue(a, b)).toBe(canonical(a) === canonical(b));
        expect(JSON.parse(canonical(a))).toEqual(JSON.parse(JSON.stringify(a)));
      }),
      { numRuns: 500 },
    );
  });

  test('has no difference between a key that is absent and one that is undefined, and one between kinds', () => {
    expect(sameValue({ a: 1, b: undefined }, { a: 1 })).toBe(true);
    expect(sameValue({ a: 1, b: undefined }, { a: 1, c: undefined })).toBe(true);
    expect(sameValue({ b: undefined }, { b: null })).toBe(false);
    expect(sameValue([], {})).toBe(false);
    expect(sameValue({ 0: 'a' }, ['a'])).toBe(false);
    expect(sameValue(null, {})).toBe(false);
    expect(sameValue({ a: 1 }, { toString: 1 })).toBe(false);
    expect(sameValue(1, '1')).toBe(false);
  });
});
