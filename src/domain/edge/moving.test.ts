import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkCluster } from './check.ts';
import { vipClaims } from './claims.ts';
import type { Cluster, Vip } from './model.ts';
import { applyMove, isWhole, leavingFor, movingProblems, moveSteps } from './moving.ts';
import type { Moved, MoveStep } from './moving.ts';
import { applyCalls } from './operations.ts';
import type { Call } from './operations.ts';
import { reconcile } from './patch.ts';
import { errorsOf } from '../problem.ts';

const address = '10.1.0.1';
const other = '10.1.0.2';

function vip(parts: Partial<Vip> = {}): Vip {
  return {
    vip: address,
    wstype: 'web',
    wss: ['ws1.room1', 'ws2.room1'],
    ports: [{ sport: 80, dport: 8080, synproxy: 0, persistence_timeout: 0, scheduler: 'wlc' }],
    wsattrs: { 'ws1.room1': { weight: 7, address: '10.9.0.1' } },
    domains: ['www.example.com'],
    owner: 'team',
    quorum: 3,
    ...parts,
  };
}

function cluster(name: string, vips: Vip[], parts: Partial<Cluster> = {}): Cluster {
  return { name, type: 'internal', device: 'eth0', vipnets: ['10.1.0.0/16'], lbinfos: [], vip2ws: vips, ...parts };
}

const a = cluster('a', [vip({ vip: other }), vip()]);
const b = cluster('b', []);

type Documents = Extract<Moved, { ok: true }>;

function done(moved: Moved): Documents {
  if (!moved.ok) throw new Error(JSON.stringify(moved.problems));
  return moved;
}

/** The documents after some steps. */
function after(steps: readonly MoveStep[], from = a, to = b): { from: Cluster; to: Cluster } {
  return steps.reduce((at, step) => done(applyMove(step, { vip: address, from: at.from, to: at.to })), { from, to });
}

function codesOf(moved: Moved): string[] {
  return moved.ok ? [] : [moved.reason, ...moved.problems.map(({ path, code }) => `${path} ${code}`)];
}

function of(step: MoveStep, move: { from: Cluster; to: Cluster; vip?: string }): string[] {
  return codesOf(applyMove(step, { vip: address, ...move }));
}

describe('a move', () => {
  test('begins with the VIP in both, with all its fields, and is valid in both', () => {
    const { from, to } = after(['begin']);
    expect(from).toEqual({ ...a, vip2ws: [vip({ vip: other }), vip({ moving: { to: 'b' } })] });
    expect(to).toEqual({ ...b, vip2ws: [vip({ moving: { from: 'a' } })] });
    for (const document of [from, to]) expect(errorsOf(checkCluster(document))).toEqual([]);
  });

  test('is announced by the old cluster until it is withdrawn there, which changes nothing else', () => {
    const begun = after(['begin']);
    const { from, to } = after(['begin', 'withdraw']);
    expect(to).toEqual(begun.to);
    expect(from.vip2ws[1]).toEqual({ ...begun.from.vip2ws[1], announce: 'none' });
    expect(from.vip2ws[0]).toBe(a.vip2ws[0]);
    expect(after(['begin', 'withdraw', 'withdraw'])).toEqual({ ok: true, from, to });
  });

  test('ends with the VIP in the new cluster as it was in the old one', () => {
    const { from, to } = after(['begin', 'withdraw', 'end']);
    expect(from).toEqual(cluster('a', [vip({ vip: other })]));
    expect(to).toEqual(cluster('b', [vip()]));
  });

  test.each([
    ['none', vip()],
    ['its own', vip({ announce: 'all' })],
    ['none at all', vip({ announce: 'none' })],
  ])('that is cancelled leaves both as they were, with an announce of %s', (_, moved) => {
    const from = cluster('a', [moved]);
    const to = cluster('b', [vip({ vip: other })]);
    for (const steps of [
      ['begin', 'restore', 'cancel'],
      ['begin', 'withdraw', 'restore', 'cancel'],
      ['begin', 'restore', 'restore', 'begin', 'withdraw', 'restore', 'cancel'],
    ] as const) {
      const back = after(steps, from, to);
      expect(back.from).toEqual(from);
      expect(back.to).toEqual(to);
    }
  });

  test('goes back make before break: announced by the old cluster as before, and by the new one no more', () => {
    const { from, to } = after(['begin', 'withdraw', 'restore']);
    expect(from.vip2ws[1]).toEqual(vip({ moving: { to: 'b', back: true } }));
    expect(to.vip2ws).toEqual([vip({ announce: 'none', moving: { from: 'a', announce: 'any', back: true } })]);
    for (const document of [from, to]) expect(errorsOf(checkCluster(document))).toEqual([]);
    expect(of('withdraw', { from, to })).toEqual(['conflict', 'vip move_not_withdrawn']);
    expect(of('end', { from, to })).toEqual(['conflict', 'vip move_not_withdrawn']);
  });

  test('goes forward again after it went back, as if it had not', () => {
    for (const [heading, own] of [
      [{}, {}],
      [{ announce: 'all' as const }, {}],
      [{ announce: 'all' as const }, { announce: 'any' as const }],
    ]) {
      const [old, next] = [cluster('a', [vip(own)]), cluster('b', [], heading)];
      expect(after(['begin', 'restore', 'begin'], old, next)).toEqual(after(['begin'], old, next));
      expect(after(['begin', 'withdraw', 'restore', 'begin'], old, next)).toEqual(after(['begin'], old, next));
    }
  });

  test('carries what the VIP has from the head of its cluster, where the other head says otherwise', () => {
    const from = cluster('a', [vip()], { announce: 'all', forwarding: 'dr', dataplane: 'ipvs' });
    const { to } = after(['begin'], from, cluster('b', [], { routing: 'frr' }));
    expect(to.vip2ws).toEqual([vip({ announce: 'all', forwarding: 'dr', moving: { from: 'a' } })]);
    const alike = after(['begin'], from, cluster('b', [], { announce: 'all', forwarding: 'dr', dataplane: 'ipvs' }));
    expect(alike.to.vip2ws).toEqual([vip({ moving: { from: 'a' } })]);
    const explicit = after(['begin'], cluster('a', [vip({ announce: 'any' })]), cluster('b', [], { announce: 'all' }));
    expect(explicit.to.vip2ws).toEqual([vip({ announce: 'any', moving: { from: 'a' } })]);
    const default_ = after(['begin'], a, cluster('b', [], { announce: 'all' }));
    expect(default_.to.vip2ws).toEqual([vip({ announce: 'any', moving: { from: 'a' } })]);
  });

  test('does not begin where it cannot, with the reason', () => {
    expect(of('begin', { from: a, to: a })).toEqual(['invalid', 'to move_same_cluster']);
    expect(of('begin', { from: b, to: a })).toEqual(['not_found', 'vip unknown_vip']);
    expect(of('begin', { from: a, to: cluster('b', [vip()]) })).toEqual(['exists', 'to vip_exists']);
    const begun = after(['begin']);
    expect(of('begin', { from: begun.from, to: cluster('c', []) })).toEqual(['conflict', 'vip vip_moving']);
    expect(of('begin', { from: begun.to, to: cluster('c', []) })).toEqual(['conflict', 'vip vip_moving']);
    expect(of('begin', begun)).toEqual(['conflict', 'vip vip_moving']);
  });

  test.each([
    [{}, { routing: 'frr' as const }, 'a'],
    [{ dataplane: 'ipvs' as const }, {}, 'b'],
    [{ ospf: { announce: 'redistribute' as const } }, {}, 'b'],
  ])('does not begin between clusters that announce in different ways: %j and %j', (old, next, winner) => {
    const moved = applyMove('begin', { vip: address, from: cluster('a', [vip()], old), to: cluster('b', [], next) });
    expect(codesOf(moved)).toEqual(['conflict', 'to ospf_style_mixed']);
    expect(moved.ok ? '' : moved.problems[0]?.message).toContain(`send everything to ${winner} at once`);
  });

  test('goes on only between the two clusters where it began, and in its order', () => {
    const begun = after(['begin']);
    for (const step of ['withdraw', 'end', 'restore', 'cancel'] as const) {
      expect(of(step, { from: a, to: b })).toEqual(['conflict', 'vip vip_not_moving']);
      expect(of(step, { from: begun.from, to: cluster('c', []) })).toEqual(['conflict', 'vip vip_not_moving']);
      expect(of(step, { from: begun.to, to: begun.from })).toEqual(['conflict', 'vip vip_not_moving']);
      expect(of(step, { from: begun.from, to: b })).toEqual(['conflict', 'vip vip_not_moving']);
      expect(of(step, { ...begun, vip: '10.1.0.9' })).toEqual(['not_found', 'vip unknown_vip']);
      expect(of(step, { from: begun.from, to: begun.from })).toEqual(['invalid', 'to move_same_cluster']);
    }
    expect(of('end', begun)).toEqual(['conflict', 'vip move_not_withdrawn']);
    expect(of('cancel', begun)).toEqual(['conflict', 'to move_not_withdrawn']);
  });

  test('is whole where both documents carry their half', () => {
    const { from, to } = after(['begin']);
    const [leaving, coming] = [from.vip2ws[1] as Vip, to.vip2ws[0] as Vip];
    expect([isWhole('a', leaving, to), isWhole('b', coming, from)]).toEqual([true, true]);
    const half = cluster('b', [vip({ moving: { from: 'c' } })]);
    for (const there of [undefined, b, half, cluster('b', [vip()])]) expect(isWhole('a', leaving, there)).toBe(false);
    for (const there of [undefined, a]) expect(isWhole('b', coming, there)).toBe(false);
  });
});

describe('nothing but its steps', () => {
  const begun = after(['begin']);
  const withdrawn = after(['begin', 'withdraw']);
  const both = new Map([begun.from, begun.to].map((c) => [c.name, c]));
  const told = (
    before: Cluster | undefined,
    next: Cluster | undefined,
    clusters: ReadonlyMap<string, Cluster> = both,
  ) => movingProblems(before, next, (name) => clusters.get(name)).map(({ path, code }) => `${path} ${code}`);
  const changed = (of_: Cluster, parts: Partial<Vip>) => ({
    ...of_,
    vip2ws: of_.vip2ws.map((v) => (v.vip === address ? { ...v, ...parts } : v)),
  });

  test('sets moving', () => {
    const moving = cluster('a', [vip({ vip: other }), vip({ moving: { to: 'b' } })]);
    expect(told(undefined, moving)).toEqual(['vip2ws[1].moving vip_moving']);
    expect(told(a, moving)).toEqual(['vip2ws[1].moving vip_moving']);
    expect(told(b, cluster('b', [vip({ moving: { from: 'a' } })]))).toEqual(['vip2ws[0].moving vip_moving']);
    expect(told(b, cluster('b', [vip({ moving: {} })]))).toEqual(['vip2ws[0].moving vip_moving']);
  });

  test('changes or removes moving, the VIP or the cluster', () => {
    for (const document of both.values()) {
      const place = document === begun.from ? 'vip2ws[1]' : 'vip2ws[0]';
      const { moving: _moving, ...settled } = document.vip2ws.at(-1) as Vip;
      expect(told(document, { ...document, vip2ws: [...document.vip2ws.slice(0, -1), settled] })).toEqual([
        `${place}.moving vip_moving`,
      ]);
      expect(told(document, changed(document, { moving: { to: 'c' } }))).toEqual([`${place}.moving vip_moving`]);
      expect(told(document, { ...document, vip2ws: [] })).toEqual(['vip2ws vip_moving']);
      expect(told(document, undefined)).toEqual([' vip_moving']);
    }
  });

  test('changes how the old cluster announces it', () => {
    expect(told(begun.from, changed(begun.from, { announce: 'none' }))).toEqual(['vip2ws[1].announce vip_moving']);
    expect(told(withdrawn.from, changed(withdrawn.from, { announce: 'any' }))).toEqual([
      'vip2ws[1].announce vip_moving',
    ]);
    expect(told(begun.to, changed(begun.to, { announce: 'all' }))).toEqual([]);
  });

  test('makes the two announce in different ways', () => {
    expect(told(begun.from, { ...begun.from, routing: 'frr' })).toEqual(['ospf.announce ospf_style_mixed']);
    expect(told(begun.to, { ...begun.to, ospf: { announce: 'redistribute' } })).toEqual([
      'ospf.announce ospf_style_mixed',
    ]);
    expect(told(a, { ...a, routing: 'frr' })).toEqual([]);
  });

  test('and all else may change', () => {
    for (const document of both.values()) {
      expect(told(document, document)).toEqual([]);
      expect(told(document, structuredClone(document))).toEqual([]);
      expect(told(document, { ...document, linkspeed: '10g' })).toEqual([]);
      expect(told(document, changed(document, { owner: 'others', wss: ['ws3.room1'] }))).toEqual([]);
      expect(told(document, { ...document, vip2ws: [...document.vip2ws, vip({ vip: '10.1.0.7' })] })).toEqual([]);
    }
    expect(told(undefined, a)).toEqual([]);
    expect(told(a, undefined)).toEqual([]);
    expect(told(undefined, undefined)).toEqual([]);
  });

  test('but a half without its other half may be cleared away, and not be made another', () => {
    const alone = new Map([['b', begun.to]]);
    expect(told(begun.to, undefined, alone)).toEqual([]);
    expect(told(begun.to, b, alone)).toEqual([]);
    expect(told(begun.to, cluster('b', [vip()]), alone)).toEqual([]);
    expect(told(begun.to, changed(begun.to, { moving: { from: 'c' } }), alone)).toEqual([
      'vip2ws[0].moving vip_moving',
    ]);
  });
});

test('a step on half a move says how to clear that half away', () => {
  const begun = after(['begin']);
  const clear = (own: string) =>
    `clear that half of a move away: weir vip set ${own} ${address} moving=null; or remove the VIP there`;
  for (const [from, to, own] of [
    [begun.from, b, 'a'],
    [a, begun.to, 'b'],
  ] as const) {
    for (const step of ['withdraw', 'restore', 'cancel', 'end'] as const) {
      const moved = applyMove(step, { vip: address, from, to });
      expect(moved).toMatchObject({ ok: false, problems: [{ code: 'vip_not_moving', hint: clear(own) }] });
    }
  }
  for (const [from, to, own] of [
    [begun.from, b, 'a'],
    [begun.to, cluster('a', []), 'b'],
  ] as const) {
    const moved = applyMove('begin', { vip: address, from, to });
    expect(moved).toMatchObject({ ok: false, problems: [{ code: 'vip_not_moving', hint: clear(own) }] });
  }
});

// properties ---------------------------------------------------------------------------------

type Doing =
  | { kind: 'step'; step: MoveStep; from: number; to: number; vip: string; aimed: boolean }
  | { kind: 'calls'; on: number; calls: Call[] }
  | { kind: 'rollback'; on: number; back: number };

const names = ['a', 'b', 'c'];
const index = fc.nat({ max: names.length - 1 });
const someVip = fc.constantFrom(address, other);
const someMoving = fc.constantFrom({ to: 'b' }, { from: 'a' }, { to: 'c', announce: 'all' as const }, {});

const someCall: fc.Arbitrary<Call> = fc.oneof(
  someVip.map((name) => ({ op: 'vip.add', input: { vips: [vip({ vip: name })] } })),
  fc.tuple(someVip, someMoving).map(([name, moving]) => ({
    op: 'vip.add',
    input: { vips: [vip({ vip: name, moving })] },
  })),
  someVip.map((name) => ({ op: 'vip.remove', input: { vips: [name] } })),
  fc
    .tuple(someVip, fc.constantFrom({ announce: 'none' }, { announce: 'all' }, { owner: 'x' }, { moving: null }))
    .map(([name, set]) => ({ op: 'vip.set', input: { vip: name, set } })),
  fc.tuple(someVip, someMoving).map(([name, moving]) => ({ op: 'vip.set', input: { vip: name, set: { moving } } })),
  fc.constantFrom<Call>(
    { op: 'cluster.delete', input: {} },
    { op: 'cluster.set', input: { set: { routing: 'frr' } } },
    { op: 'cluster.set', input: { set: { routing: 'quagga' } } },
    { op: 'cluster.set', input: { set: { vip2ws: [] } } },
    { op: 'cluster.set', input: { set: { announce: 'all' } } },
  ),
);

const doing: fc.Arbitrary<Doing> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('step' as const),
      step: fc.constantFrom(...moveSteps),
      from: index,
      to: index,
      vip: someVip,
      aimed: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('calls' as const),
      on: index,
      calls: fc.array(someCall, { minLength: 1, maxLength: 2 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('rollback' as const), on: index, back: fc.nat({ max: 20 }) }) },
);

/** Clusters as a store keeps them: claims decide, and every document that ever was can come back. */
class Edge {
  readonly present = new Map<string, Cluster>([a, b, cluster('c', [])].map((c) => [c.name, c]));
  readonly past = new Map<string, Cluster[]>(
    names.map((name) => [name, [...this.present.values()].filter((c) => c.name === name)]),
  );

  run(what: Doing): boolean {
    switch (what.kind) {
      case 'step':
        return this.move(what);
      case 'calls': {
        const name = names[what.on] ?? '';
        const applied = applyCalls(this.present.get(name), what.calls);
        return applied.ok && this.change(name, applied.cluster);
      }
      case 'rollback': {
        const name = names[what.on] ?? '';
        const past = this.past.get(name) ?? [];
        return this.change(name, past[what.back % past.length]);
      }
    }
  }

  /** One that is aimed goes on with the move that is under way. */
  move({ step, from, to, vip: name, aimed }: Extract<Doing, { kind: 'step' }>): boolean {
    const leaving = [...this.present.values()].flatMap((c) => {
      const goal = c.vip2ws.find((v) => v.vip === name)?.moving?.to;
      return goal === undefined ? [] : [{ old: c, next: this.present.get(goal) }];
    })[0];
    const named = { old: this.present.get(names[from] ?? ''), next: this.present.get(names[to] ?? '') };
    const { old, next } = aimed && leaving ? leaving : named;
    const moved = old && next ? applyMove(step, { vip: name, from: old, to: next }) : undefined;
    return moved?.ok === true && this.commit([moved.from, moved.to]);
  }

  change(name: string, document: Cluster | undefined): boolean {
    const before = this.present.get(name);
    const next = document && before ? reconcile(before, document) : document;
    if (movingProblems(before, next, (n) => this.present.get(n)).length > 0) return false;
    if (next) return this.commit([next]);
    return this.present.delete(name);
  }

  commit(documents: readonly Cluster[]): boolean {
    const after_ = new Map(this.present);
    for (const document of documents) after_.set(document.name, document);
    const keys = [...after_.values()].flatMap(claimsOf);
    if (new Set(keys).size < keys.length) return false;
    for (const document of documents) {
      this.present.set(document.name, document);
      this.past.get(document.name)?.push(document);
    }
    return true;
  }
}

function claimsOf({ name, vip2ws }: Cluster): string[] {
  return vip2ws.flatMap((v) => vipClaims(name, v).map(({ key }) => key));
}

describe('any sequence of steps and changes', () => {
  test('keeps a VIP claimed once, in a move whose halves are both there', () => {
    const seen = { steps: new Set<string>(), refused: 0 };
    fc.assert(
      fc.property(fc.array(doing, { minLength: 5, maxLength: 40 }), (doings) => {
        const edge = new Edge();
        for (const what of doings) {
          if (!edge.run(what)) {
            seen.refused++;
            continue;
          }
          if (what.kind === 'step') seen.steps.add(what.step);
          const keys = [...edge.present.values()].flatMap(claimsOf);
          for (const { name, vip2ws } of edge.present.values()) {
            for (const v of vip2ws) {
              expect(keys.filter((key) => key === `ip:${v.vip}`)).toHaveLength(1);
              const partner = v.moving && edge.present.get(leavingFor(v) ?? v.moving.from ?? '');
              if (v.moving) expect(isWhole(name, v, partner)).toBe(true);
            }
          }
        }
      }),
      { numRuns: 1500 },
    );
    expect([...seen.steps].sort()).toEqual([...moveSteps].sort());
    expect(seen.refused).toBeGreaterThan(0);
  });

  test('then cancelled or ended, leaves both documents as they should be', () => {
    const parts = fc.record(
      { announce: fc.constantFrom('any' as const, 'all' as const, 'none' as const), owner: fc.constantFrom('x', 'y') },
      { requiredKeys: [] },
    );
    const head = fc.record({ announce: fc.constantFrom('any' as const, 'all' as const) }, { requiredKeys: [] });
    fc.assert(
      fc.property(parts, head, head, (own, heading, otherHeading) => {
        const from = cluster('a', [vip({ vip: other }), vip(own)], heading);
        const to = cluster('b', [vip({ vip: '10.1.0.3' })], otherHeading);
        for (const steps of [['begin'], ['begin', 'withdraw']] as const) {
          expect(after([...steps, 'restore', 'cancel'], from, to)).toEqual({ ok: true, from, to });
        }
        const ended = after(['begin', 'withdraw', 'end'], from, to);
        expect(ended.from.vip2ws).toEqual([vip({ vip: other })]);
        const [, arrived] = ended.to.vip2ws;
        const announce = own.announce ?? heading.announce ?? 'any';
        expect(arrived?.announce ?? otherHeading.announce ?? 'any').toBe(announce);
        const { announce: _a, ...rest } = arrived as Vip;
        const { announce: _b, ...was } = vip(own);
        expect(rest).toEqual(was);
      }),
    );
  });
});
