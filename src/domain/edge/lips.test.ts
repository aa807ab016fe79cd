import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addressNumber, expandRange, isHostOf, networkOf, parseMask } from '../address.ts';
import type { Problem } from '../problem.ts';
import { errorsOf } from '../problem.ts';
import { emptyLipPlan, freeLips, lipsInService, lipsOf, planLips } from './lips.ts';
import type { LipInput, LipPlan } from './lips.ts';
import type { Cluster, Lb, Vip } from './model.ts';

const NOW = '2024-05-01T08:00:00.000Z';

/** An LB of 10.0.19.224/27, gateway .225. */
function lbAt(last: number, parts: Partial<Lb> = {}): Lb {
  return {
    hostname: `lb${last}`,
    routerid: `10.0.19.${last}`,
    internalip: `10.0.19.${last}`,
    internalnetmask: '255.255.255.224',
    internalgateway: '10.0.19.225',
    ospfnet: '10.0.19.224/27',
    ...parts,
  };
}

function clusterOf(lbinfos: Lb[], vip2ws: Vip[] = []): Cluster {
  return { name: 'c', type: 'internal', device: 'em1', vipnets: ['10.0.19.0/24'], lbinfos, vip2ws };
}

function plan(cluster: Cluster, before: LipPlan = emptyLipPlan, more: Partial<LipInput> = {}) {
  return planLips({ cluster, plan: before, isTaken: () => false, now: NOW, ...more });
}

/** The plan, where there must be no error. */
function planned(cluster: Cluster, before: LipPlan = emptyLipPlan, more: Partial<LipInput> = {}): LipPlan {
  const outcome = plan(cluster, before, more);
  expect(errorsOf(outcome.problems)).toEqual([]);
  return outcome.plan;
}

const codes = (problems: readonly Problem[]) => problems.map((p) => `${p.path} ${p.code}`);
const lasts = (lips: readonly string[]) => lips.map((lip) => Number(lip.split('.')[3]));

describe('a planned LB', () => {
  test('gets eight addresses from the top of its subnet, and a warning that says so', () => {
    const { plan: first, problems } = plan(clusterOf([lbAt(226)]));
    expect(lasts(lipsOf(first, 'lb226'))).toEqual([247, 248, 249, 250, 251, 252, 253, 254]);
    expect(codes(problems)).toEqual(['lbinfos[0].lips lips_planned']);
    expect(problems[0]).toMatchObject({ severity: 'warning', message: expect.stringContaining('10.0.19.224/27') });
  });

  test('gets as many as lipcount says, and more or fewer when it changes', () => {
    const four = planned(clusterOf([lbAt(226, { lipcount: 4 })]));
    expect(lasts(lipsOf(four, 'lb226'))).toEqual([251, 252, 253, 254]);
    const six = planned(clusterOf([lbAt(226, { lipcount: 6 })]), four);
    expect(lasts(lipsOf(six, 'lb226'))).toEqual([249, 250, 251, 252, 253, 254]);
    const less = planned(clusterOf([lbAt(226, { lipcount: 4 })]), six);
    expect(lasts(lipsOf(less, 'lb226'))).toEqual([249, 250, 251, 252]);
    expect(lasts(Object.keys(less.quarantine))).toEqual([253, 254]);
  });

  test('shares no address with another LB of its subnet', () => {
    const both = planned(clusterOf([lbAt(226), lbAt(227)]));
    expect(lasts(lipsOf(both, 'lb227'))).toEqual([239, 240, 241, 242, 243, 244, 245, 246]);
  });

  test('gets no address that is a network, broadcast, gateway, LB, VIP, WS, explicit LIP or otherwise taken', () => {
    const vip: Vip = {
      vip: '10.0.19.254',
      wstype: 'a',
      wss: ['w'],
      ports: [{ sport: 80, dport: 80, synproxy: 1, persistence_timeout: 0 }],
      wsattrs: { w: { address: '10.0.19.253' } },
    };
    const lbs = [
      lbAt(226),
      lbAt(252, { lips: ['10.0.19.249-250'] }),
      lbAt(227, { internalgateway: '10.0.19.251', extraip: '10.0.19.248', extragateway: '10.0.19.247' }),
    ];
    const taken = ['10.0.19.246', '10.0.19.244'];
    const first = planned(clusterOf(lbs, [vip]), emptyLipPlan, { isTaken: (address) => taken.includes(address) });
    expect(lasts(lipsOf(first, 'lb226'))).toEqual([237, 238, 239, 240, 241, 242, 243, 245]);
  });

  test('with too small a subnet is told how many there are', () => {
    const { plan: first, problems } = plan(clusterOf([lbAt(226, { internalnetmask: '255.255.255.248' })]));
    expect(lasts(lipsOf(first, 'lb226'))).toEqual([227, 228, 229, 230]);
    expect(problems).toEqual([
      expect.objectContaining({
        path: 'lbinfos[0].lips',
        code: 'lips_exhausted',
        severity: 'error',
        message: '10.0.19.224/29 has 4 free addresses for LIPs of lb226, 8 are wanted',
      }),
    ]);
  });

  test.each(['255.255.255.255', '255.255.255.254'])('in a subnet of mask %s has none left', (internalnetmask) => {
    expect(codes(plan(clusterOf([lbAt(226, { internalnetmask, internalgateway: '10.0.19.227' })])).problems)).toEqual([
      'lbinfos[0].lips lips_exhausted',
    ]);
  });

  test('in a huge subnet that is all taken does not look at every address', () => {
    let asked = 0;
    const isTaken = () => {
      asked++;
      return true;
    };
    const { problems } = plan(clusterOf([lbAt(226, { internalnetmask: '255.0.0.0' })]), emptyLipPlan, { isTaken });
    expect(codes(problems)).toEqual(['lbinfos[0].lips lips_exhausted']);
    expect(asked).toBeLessThan(1.1 * 2 ** 20);
  });

  test('whose subnet moves leaves its LIPs to quarantine', () => {
    const first = planned(clusterOf([lbAt(226)]));
    const moved = planned(clusterOf([lbAt(226, { internalip: '10.0.20.2', internalgateway: '10.0.20.1' })]), first);
    expect(lipsOf(moved, 'lb226').every((lip) => lip.startsWith('10.0.20.'))).toBe(true);
    expect(lasts(Object.keys(moved.quarantine))).toEqual([247, 248, 249, 250, 251, 252, 253, 254]);
  });
});

describe('explicit LIPs', () => {
  test('are taken as they are, in their order, without a warning', () => {
    const { plan: first, problems } = plan(clusterOf([lbAt(226, { lips: ['10.9.0.7-8', '10.0.19.240', '10.9.1.1'] })]));
    expect(lipsOf(first, 'lb226')).toEqual(['10.9.0.7', '10.9.0.8', '10.0.19.240', '10.9.1.1']);
    expect(problems).toEqual([]);
  });

  test('take the place of planned ones, which go to quarantine unless they are among them', () => {
    const first = planned(clusterOf([lbAt(226)]));
    const next = planned(clusterOf([lbAt(226, { lips: ['10.0.19.250', '10.0.19.230'] })]), first);
    expect(lasts(lipsOf(next, 'lb226'))).toEqual([250, 230]);
    expect(lasts(Object.keys(next.quarantine))).toEqual([247, 248, 249, 251, 252, 253, 254]);
    expect(next.quarantine['10.0.19.247']).toEqual({ lb: 'lb226', since: NOW });
  });

  test('in the subnet are kept when the document leaves them out again', () => {
    const first = planned(clusterOf([lbAt(226, { lips: ['10.0.19.230-233', '10.9.0.1'] })]));
    const next = planned(clusterOf([lbAt(226, { lipcount: 4 })]), first);
    expect(lasts(lipsOf(next, 'lb226'))).toEqual([230, 231, 232, 233]);
    expect(Object.keys(next.quarantine)).toEqual(['10.9.0.1']);
  });

  test('cannot be those that another LB gave up, until they are freed', () => {
    const first = planned(clusterOf([lbAt(226)]));
    const gone = planned(clusterOf([]), first);
    const wanted = clusterOf([lbAt(227, { lips: ['10.0.19.250'] })]);
    const refused = plan(wanted, gone);
    expect(codes(refused.problems)).toEqual(['lbinfos[0].lips lip_quarantined']);
    expect(refused.problems[0]?.message).toContain('lb226');
    expect(lipsOf(planned(wanted, freeLips(gone, ['10.0.19.250']).plan), 'lb227')).toEqual(['10.0.19.250']);
  });

  test('cannot be those that another LB has, or gives up in the same change', () => {
    const first = planned(clusterOf([lbAt(226)]));
    const heir = lbAt(227, { lips: ['10.0.19.250'] });
    for (const lbs of [[lbAt(226), heir], [heir, lbAt(226, { lips: ['10.0.19.254'] })], [heir]]) {
      const { problems } = plan(clusterOf(lbs), first);
      expect(codes(problems)).toContain(`lbinfos[${lbs.indexOf(heir)}].lips lip_held`);
    }
  });

  test('of millions of addresses are not expanded before the check refuses them', () => {
    const lips = Array.from(
      { length: 4096 },
      (_, i) => `11.${i >> 4}.${(i & 15) << 4}.0-11.${i >> 4}.${((i & 15) << 4) + 15}.255`,
    );
    expect(expandRange(lips[4095] ?? '')).toHaveLength(4096);
    expect(lipsOf(plan(clusterOf([lbAt(226, { lips })])).plan, 'lb226').length).toBeLessThan(10_000);
  });
});

describe('quarantine', () => {
  test('holds what a removed LB had, with its name and the time, and survives further changes', () => {
    const first = planned(clusterOf([lbAt(226, { lipcount: 4 }), lbAt(227)]));
    const next = planned(clusterOf([lbAt(227)]), first);
    expect(next.quarantine).toEqual(
      Object.fromEntries([251, 252, 253, 254].map((n) => [`10.0.19.${n}`, { lb: 'lb226', since: NOW }])),
    );
    const later = planned(clusterOf([lbAt(227), lbAt(228)]), next, { now: 'later' });
    expect(later.quarantine).toEqual(next.quarantine);
    expect(lasts(lipsOf(later, 'lb228'))).toEqual([235, 236, 237, 238, 239, 240, 241, 242]);
  });

  test('is not passed by when one change removes an LB and adds another', () => {
    const first = planned(clusterOf([lbAt(226)]));
    const next = planned(clusterOf([lbAt(227)]), first);
    expect(lasts(lipsOf(next, 'lb227'))).toEqual([239, 240, 241, 242, 243, 244, 245, 246]);
    expect(lasts(Object.keys(next.quarantine))).toEqual([247, 248, 249, 250, 251, 252, 253, 254]);
  });

  test('gives its LIPs back to the LB that had them', () => {
    const first = planned(clusterOf([lbAt(226), lbAt(227)]));
    const gone = planned(clusterOf([lbAt(227)]), first);
    const back = planned(clusterOf([lbAt(227), lbAt(226)]), gone);
    expect(lipsOf(back, 'lb226')).toEqual(lipsOf(first, 'lb226'));
    expect(back.quarantine).toEqual({});
    const explicit = planned(clusterOf([lbAt(227), lbAt(226, { lips: ['10.0.19.254'] })]), gone);
    expect(lipsOf(explicit, 'lb226')).toEqual(['10.0.19.254']);
    expect(Object.keys(explicit.quarantine)).toHaveLength(7);
  });

  test('does not give back what somebody else has by now', () => {
    const gone = planned(clusterOf([]), planned(clusterOf([lbAt(226)])));
    const back = planned(clusterOf([lbAt(226), lbAt(254)]), gone, { isTaken: (address) => address === '10.0.19.253' });
    expect(lasts(lipsOf(back, 'lb226'))).toEqual([245, 246, 247, 248, 249, 250, 251, 252]);
  });

  test('is left by what an operator frees; unknown addresses are named', () => {
    const gone = planned(clusterOf([]), planned(clusterOf([lbAt(226, { lipcount: 4 })])));
    const freed = freeLips(gone, ['10.0.19.254', '10.0.19.1', 'constructor', '__proto__']);
    expect(freed.unknown).toEqual(['10.0.19.1', 'constructor', '__proto__']);
    expect(lasts(Object.keys(freed.plan.quarantine))).toEqual([251, 252, 253]);
    expect(Object.keys(gone.quarantine)).toHaveLength(4);
    expect(lasts(lipsOf(planned(clusterOf([lbAt(227, { lipcount: 4 })]), freed.plan), 'lb227'))).toEqual([
      248, 249, 250, 254,
    ]);
  });
});

describe('LIPs of an LB in service', () => {
  interface Found {
    dataplane?: Cluster['dataplane'];
    inService?: string[];
    /** LIPs that the LB runs; not known if left out. */
    serving?: string[];
  }
  const found = (from: Lb, to: Lb, options: Found = {}) => {
    const { dataplane, inService = ['lb226'] } = { dataplane: 'ipvs' as const, ...options };
    const [before, after] = [from, to].map((lb): Cluster => ({
      ...clusterOf([lbAt(227), lb]),
      ...(dataplane ? { dataplane } : {}),
    }));
    if (!before || !after) throw new Error('there are two');
    const plans = { from: planned(before), to: planned(after, planned(before)) };
    const problems = lipsInService({
      before,
      after,
      ...plans,
      inService: new Map(inService.map((lb) => [lb, options.serving])),
    });
    expect(
      problems.every(({ severity, hint }) => severity === 'error' && /weir lb drain c lb226|--lb lb226/.test(hint)),
    ).toBe(true);
    return codes(problems);
  };
  const had = lbAt(226, { lips: ['10.7.0.1-4'] });
  const fewer = { ...had, lips: ['10.7.0.1-3'] };
  const more = { ...had, lips: ['10.7.0.1-5'] };
  const refused = ['lbinfos[1].lips lips_in_service'];

  test('cannot be taken away', () => {
    expect(found(had, fewer)).toEqual(refused);
    expect(found(had, { ...had, lips: ['10.7.0.2-5'] })).toEqual(refused);
    expect(found(lbAt(226), { ...lbAt(226), lipcount: 4 })).toEqual(refused);
    for (const dataplane of ['dpvs', 'fullnat', undefined] as const) {
      expect(found(had, fewer, { dataplane })).toEqual(refused);
    }
  });

  test('can grow only where services do not name them', () => {
    expect(found(had, more)).toEqual([]);
    expect(found(had, more, { dataplane: 'dpvs' })).toEqual(refused);
    expect(found(had, more, { dataplane: 'fullnat' })).toEqual(refused);
  });

  test('are free to change while it is drained, but not in the change that drains it', () => {
    expect(found({ ...had, state: 'drain' }, { ...fewer, state: 'drain' })).toEqual([]);
    expect(found({ ...had, state: 'drain' }, { ...fewer, state: 'up' })).toEqual([]);
    expect(found(had, { ...fewer, state: 'drain' })).toEqual(refused);
  });

  test('are activated before it goes back into service', () => {
    const drained: Lb = { ...had, state: 'drain' };
    const runs = (...lasts_: number[]) => lasts_.map((last) => `10.7.0.${last}`);
    const back = (serving: string[] | undefined, dataplane: Cluster['dataplane'] = 'ipvs') =>
      found(drained, had, { dataplane, ...(serving ? { serving } : {}) });
    const early = ['lbinfos[1].state lips_in_service'];
    expect(back(runs(1, 2, 3, 4))).toEqual([]);
    expect(back(runs(1, 2, 3, 4, 5))).toEqual(early);
    expect(back(runs(1, 2, 3))).toEqual([]);
    expect(back(runs(1, 2, 3), 'fullnat')).toEqual(early);
    expect(back(undefined)).toEqual([]);
    expect(found(drained, { ...had, state: 'drain' }, { serving: runs(9) })).toEqual([]);
  });

  test('are free to change where it never served, and to be written down as they were planned', () => {
    expect(found(had, fewer, { inService: [] })).toEqual([]);
    expect(found(lbAt(226), lbAt(226, { lips: ['10.0.19.239-246'] }), { dataplane: 'fullnat' })).toEqual([]);
  });

  test('go with an LB that is removed', () => {
    const before = clusterOf([had]);
    const after = clusterOf([]);
    const plans = { from: planned(before), to: planned(after, planned(before)) };
    expect(lipsInService({ before, after, ...plans, inService: new Map([['lb226', undefined]]) })).toEqual([]);
  });
});

describe('LIPs of an LB that comes back and may still serve', () => {
  /** Removed, and added again by a change of its own. */
  const back = (had: Lb, lb: Lb, options: { dataplane?: Cluster['dataplane']; freed?: boolean } = {}) => {
    const by = { dataplane: options.dataplane ?? ('fullnat' as const) };
    const [first, before, after] = [[lbAt(227), had], [lbAt(227)], [lbAt(227), lb]].map((lbs): Cluster => ({
      ...clusterOf(lbs),
      ...by,
    }));
    if (!first || !before || !after) throw new Error('there are three');
    const removed = planned(before, planned(first));
    const from = options.freed ? freeLips(removed, Object.keys(removed.quarantine)).plan : removed;
    return codes(
      lipsInService({ before, after, from, to: planned(after, from), inService: new Map([['lb226', undefined]]) }),
    );
  };
  const had = lbAt(226, { lips: ['10.7.0.1-4'] });
  const others = lbAt(226, { lips: ['10.7.0.3-6'] });

  test.each(['fullnat', 'dpvs', 'ipvs'] as const)('are those that it had, with %s', (dataplane) => {
    expect(back(had, had, { dataplane })).toEqual([]);
    expect(back(lbAt(226), lbAt(226), { dataplane })).toEqual([]);
    expect(back(had, others, { dataplane })).toEqual(['lbinfos[1].lips lips_in_service']);
  });

  test('are any, once those that it had are freed', () => {
    expect(back(had, others, { freed: true })).toEqual([]);
  });
});

describe('LBs with names of objects', () => {
  test('have plans like others', () => {
    const lbs = ['constructor', 'toString', 'valueOf'].map((hostname, i) => lbAt(226 + i, { hostname, lipcount: 4 }));
    const first = planned(clusterOf(lbs));
    expect(lipsOf(first, 'constructor')).toHaveLength(4);
    expect(lipsOf(first, 'hasOwnProperty')).toEqual([]);
    expect(planned(clusterOf(lbs), first)).toBe(first);
  });
});

describe('properties', () => {
  /** Steps of an edge: which of eight LBs there are, and what each wants. */
  const wish = fc.record({
    lipcount: fc.option(fc.integer({ min: 4, max: 12 }), { nil: undefined }),
    explicit: fc.boolean(),
  });
  const steps = fc.array(fc.dictionary(fc.integer({ min: 2, max: 9 }).map(String), wish), {
    minLength: 1,
    maxLength: 8,
  });

  /** All in 10.0.0.0/24 but for explicit LIPs, which each has for itself. */
  function lbsOf(step: Record<string, { lipcount: number | undefined; explicit: boolean }>): Lb[] {
    return Object.entries(step).map(([number, { lipcount, explicit }]) => ({
      ...lbAt(226),
      hostname: `lb${number}`,
      internalip: `10.0.0.${number}`,
      internalgateway: '10.0.0.1',
      internalnetmask: '255.255.255.0',
      ...(explicit ? { lips: [`10.7.${number}.1-9`] } : lipcount === undefined ? {} : { lipcount }),
    }));
  }

  test('at every step LIPs are apart, hosts of the subnet, and nobody else’s', () => {
    fc.assert(
      fc.property(steps, fc.func(fc.boolean()), (all, taken) => {
        let current = emptyLipPlan;
        for (const step of all) {
          const lbinfos = lbsOf(step);
          const before = current;
          current = planned(clusterOf(lbinfos), before, {
            isTaken: (a) => (lasts([a])[0] as number) > 200 && taken(a),
          });
          expect(Object.keys(current.lbs).sort()).toEqual(lbinfos.map((lb) => lb.hostname).sort());
          const lips = Object.values(current.lbs).flat();
          const held = [...lips, ...Object.keys(current.quarantine), '10.0.0.1', ...lbinfos.map((lb) => lb.internalip)];
          expect(new Set(held).size).toBe(held.length);
          for (const lb of lbinfos) expectHosts(lb, lipsOf(current, lb.hostname));
        }
      }),
    );
  });

  test('a plan does not shift: an LB that stays as it is keeps its very list, whoever comes or goes', () => {
    fc.assert(
      fc.property(steps, (all) => {
        let current = emptyLipPlan;
        let last: Lb[] = [];
        for (const step of all) {
          const lbinfos = lbsOf(step);
          const next = planned(clusterOf(lbinfos), current);
          for (const lb of lbinfos) {
            if (last.some((old) => JSON.stringify(old) === JSON.stringify(lb))) {
              expect(lipsOf(next, lb.hostname)).toBe(lipsOf(current, lb.hostname));
            }
          }
          [current, last] = [next, lbinfos];
        }
      }),
    );
  });

  test('what is given up is in quarantine, and nothing leaves it but to the LB that had it', () => {
    fc.assert(
      fc.property(steps, (all) => {
        let current = emptyLipPlan;
        for (const step of all) {
          const next = planned(clusterOf(lbsOf(step)), current);
          for (const [lb, lips] of Object.entries(current.lbs)) {
            for (const lip of lips) if (!lipsOf(next, lb).includes(lip)) expect(next.quarantine[lip]?.lb).toBe(lb);
          }
          for (const [lip, { lb }] of Object.entries(current.quarantine)) {
            if (!next.quarantine[lip]) expect(lipsOf(next, lb)).toContain(lip);
          }
          current = next;
        }
      }),
    );
  });

  test('the same input gives the same plan, itself, in whatever order the LBs stand', () => {
    fc.assert(
      fc.property(steps, (all) => {
        let current = emptyLipPlan;
        for (const step of all) {
          const lbinfos = lbsOf(step);
          current = planned(clusterOf(lbinfos), current);
          expect(planned(clusterOf(lbinfos), current, { now: 'later' })).toBe(current);
          expect(planned(clusterOf(lbinfos.toReversed()), current)).toBe(current);
          expect(planned(clusterOf(structuredClone(lbinfos)), current)).toBe(current);
        }
      }),
    );
  });

  function expectHosts(lb: Lb, lips: readonly string[]): void {
    expect(lips).toHaveLength(lb.lips ? 9 : (lb.lipcount ?? 8));
    if (lb.lips) return;
    const prefix = parseMask(lb.internalnetmask) as number;
    const net = { base: networkOf(addressNumber(lb.internalip), prefix), prefix };
    for (const lip of lips) expect(isHostOf(net, addressNumber(lip))).toBe(true);
  }
});
