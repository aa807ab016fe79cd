import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { announceFile, announceHelper } from './announce.ts';
import { openMachine, shellsHere } from './announce-machine.ts';
import type { Machine, Service } from './announce-machine.ts';

const VIP = '60.28.208.1';
const OTHER = '60.28.208.11';

describe.each(shellsHere('the announce script'))('the announce script with %s', (_name, shell) => {
  let machine: Machine;
  beforeAll(() => {
    machine = openMachine(shell);
  });
  afterAll(() => machine.close());
  beforeEach(() => machine.reset('kernel'));

  const run = (...args: readonly (string | number)[]) => machine.run(args.map(String));
  const places = (vip = VIP) => machine.places(vip);
  const dpdk = (vip = VIP) => machine.places(vip, 'dpdk');
  const changes = () => machine.changes();
  const drain = (on: boolean) => machine.drain(on);
  const set = (services: readonly Ports[] | undefined) =>
    machine.set(services?.map((service) => ({ vip: VIP, ...service })));

  /** Runs it without a fault, and tells where the VIP is then. */
  function announce(policy: string, quorum = 1): string[] {
    expect(run(VIP, policy, quorum)).toEqual({ status: 0, stderr: '' });
    return places();
  }

  const none: Ports[] = [
    { port: 80, weights: [] },
    { port: 443, weights: [] },
  ];
  const one: Ports[] = [
    { port: 80, weights: [100] },
    { port: 443, weights: [] },
  ];
  const both: Ports[] = [
    { port: 80, weights: [100] },
    { port: 443, weights: [100] },
  ];

  test.each<[policy: string, ...places: string[][]]>([
    ['any', [], ['lo'], ['lo']],
    ['all', [], [], ['lo']],
    ['degrade', [], ['weir-high'], ['lo']],
  ])('announces by policy %s: no port served %j, one %j, both %j', (policy, ...expected) => {
    [none, one, both].forEach((services, i) => {
      set(services);
      expect(announce(policy)).toEqual(expected[i]);
    });
    [both, one, none].forEach((services, i) => {
      set(services);
      expect(announce(policy)).toEqual(expected[2 - i]);
    });
  });

  test('counts weight, not WSs, and a port without enough of it is not served', () => {
    set([
      { port: 80, weights: [40, 0, 9] },
      { port: 443, weights: [25, 25] },
    ]);
    expect(announce('all', 49)).toEqual(['lo']);
    expect(announce('all', 50)).toEqual([]);
    expect(announce('any', 50)).toEqual(['lo']);
    expect(announce('degrade', 50)).toEqual(['weir-high']);
    expect(announce('any', 51)).toEqual([]);
  });

  test('does not take a port whose WSs all drain for served', () => {
    set([{ port: 80, weights: [0, 0] }]);
    expect(announce('any')).toEqual([]);
  });

  test('looks at its own VIP only, also at one that is the start of another', () => {
    set([
      { vip: OTHER, port: 80, weights: [100] },
      { vip: '60.28.208.2', port: 443, weights: [100] },
    ]);
    expect(announce('any')).toEqual([]);
    set([...both, { vip: OTHER, port: 80, weights: [] }]);
    expect(announce('all')).toEqual(['lo']);
    expect(run(OTHER, 'any', 1).status).toBe(0);
    expect([places(), places(OTHER)]).toEqual([['lo'], []]);
  });

  test('goes by the ports in the table, not by those of the configuration that calls', () => {
    set(both);
    expect(announce('all')).toEqual(['lo']);
    // A third port was removed: its quorum_down comes last, from the configuration that had it.
    expect(announce('all')).toEqual(['lo']);
    set([...both, { port: 8080, weights: [] }]);
    expect(announce('all')).toEqual([]);
    expect(announce('degrade')).toEqual(['weir-high']);
  });

  test('leaves the addresses of others alone', () => {
    const others = ['127.0.0.1/8', `${OTHER}/32`, '160.28.208.1/32'];
    machine.write('kernel', 'lo', others);
    set(both);
    announce('any');
    set(none);
    announce('any');
    expect(machine.addresses('kernel', 'lo')).toEqual(others);
  });

  test('keeps every VIP off while the LB drains, and puts it back afterwards', () => {
    set(both);
    expect(announce('any')).toEqual(['lo']);
    drain(true);
    expect(announce('any')).toEqual([]);
    expect(announce('degrade')).toEqual([]);
    drain(false);
    expect(announce('any')).toEqual(['lo']);
  });

  test('changes nothing where nothing is to be changed', () => {
    for (const services of [one, both, none]) {
      set(services);
      announce('degrade');
      changes();
      announce('degrade');
      expect(changes()).toEqual([]);
    }
  });

  test('adds the VIP at its new place before it removes it from the old one', () => {
    set(both);
    announce('degrade');
    changes();
    set(one);
    announce('degrade');
    expect(changes()).toEqual([
      'link add weir-high',
      'link up weir-high',
      `kernel add ${VIP}/32 weir-high`,
      `kernel del ${VIP}/32 lo`,
    ]);
    set(both);
    announce('degrade');
    expect(changes()).toEqual([`kernel add ${VIP}/32 lo`, `kernel del ${VIP}/32 weir-high`]);
  });

  test('keeps the old place and fails if the new one cannot be had', () => {
    set(both);
    announce('degrade');
    set(one);
    machine.ill('refuse-kernel');
    expect(run(VIP, 'degrade', 1).status).toBe(1);
    expect(places()).toEqual(['lo']);
  });

  test('takes a kernel without IPVS for one that serves nothing', () => {
    set(both);
    announce('any');
    set(undefined);
    expect(announce('any')).toEqual([]);
  });

  test('refuses what it cannot understand, and changes nothing', () => {
    set(both);
    for (const args of [[], [VIP], [VIP, 'any'], [VIP, 'any', 1, 2], [VIP, 'some', 1], ['x.y.z.w', 'any', 1]]) {
      expect(run(...args).status).toBe(2);
    }
    expect([places(), changes()]).toEqual([[], []]);
  });

  test('settles many VIPs in one go, each by its own policy, and leaves the rest when one line is wrong', () => {
    set([...one, { vip: OTHER, port: 80, weights: [100] }]);
    machine.write('kernel', 'lo', ['127.0.0.1/8', '60.28.208.5/32']);
    const input = `${VIP} degrade 1\n${OTHER} all 1\n60.28.208.5 any 1\n`;
    expect(machine.run(['-'], input)).toEqual({ status: 0, stderr: '' });
    expect([places(), places(OTHER), places('60.28.208.5')]).toEqual([['weir-high'], ['lo'], []]);
    changes();
    expect(machine.run(['-'], `${input}60.28.208.6 some 1\n`)).toEqual({
      status: 2,
      stderr: 'announce: unknown policy some\n',
    });
    expect(changes()).toEqual([]);
  });

  test('ends where the table says, whatever happened before, and in whatever order', () => {
    const weights = fc.array(fc.constantFrom(0, 1, 50, 100), { maxLength: 2 });
    const services = fc.tuple(weights, weights).map(([a, b]): Ports[] => [
      { port: 80, weights: a },
      { port: 443, weights: b },
    ]);
    const event = fc.record({ services, draining: fc.boolean() });
    fc.assert(
      fc.property(
        fc.constantFrom('any', 'all', 'degrade'),
        fc.array(event, { minLength: 1, maxLength: 4 }),
        (policy, events) => {
          for (const { services: table, draining } of events) {
            set(table);
            drain(draining);
            announce(policy, 50);
          }
          const last = events.at(-1);
          const served = (last?.services ?? []).filter((s) => s.weights.reduce((a, b) => a + b, 0) >= 50).length;
          expect(places()).toEqual(expectedPlaces(policy, last?.draining ? 0 : served));
        },
      ),
      { numRuns: 12 },
    );
  });

  test('may be called many times at once', async () => {
    set(both);
    const call = { vip: VIP, policy: 'any', quorum: 1 };
    machine.ill('slowly');
    const ran = await machine.together([call], [call], [call], [call]);
    expect(ran).toEqual(ran.map(() => ({ status: 0, stderr: '' })));
    expect([places(), changes()]).toEqual([['lo'], [`kernel add ${VIP}/32 lo`]]);
  });

  test('brings an interface of high cost up that a call which was killed left down', () => {
    set(one);
    expect(machine.killed([{ vip: VIP, policy: 'degrade', quorum: 1 }], 1, 'after')).toBe(true);
    expect([machine.isUp(), changes()]).toEqual([false, ['link add weir-high']]);
    expect(announce('degrade')).toEqual(['weir-high']);
    expect(machine.isUp()).toBe(true);
  });

  test('never announces a VIP of policy none, wherever it is, and leaves its services alone', () => {
    set(both);
    announce('any');
    machine.write('kernel', 'weir-high', [`${VIP}/32`]);
    machine.write('kernel', 'dpdk1.kni', [`${VIP}/32`]);
    expect(announce('none')).toEqual([]);
    changes();
    expect(announce('none', 0)).toEqual([]);
    expect(changes()).toEqual([]);
    expect(announce('any')).toEqual(['lo']);
  });

  test('goes by what announce.conf says, and does nothing where that cannot be', () => {
    set(both);
    for (const text of ['ipvs\n', 'fullnat\n', 'ipvs']) {
      machine.conf(text);
      expect(announce('any')).toEqual(['lo']);
    }
    set(none);
    for (const text of ['', 'dpvs\n', 'dpdk dpdk1\n', '\ndpvs dpdk1\n']) {
      machine.conf(text);
      expect(run(VIP, 'any', 1), text).toMatchObject({
        status: 1,
        stderr: expect.stringContaining('nothing was changed'),
      });
      expect(places()).toEqual(['lo']);
    }
  });

  describe('with dpvs', () => {
    beforeEach(() => machine.reset('dpvs'));

    test.each<[policy: string, ...places: string[][]]>([
      ['any', [], ['dpdk1.kni'], ['dpdk1.kni']],
      ['all', [], [], ['dpdk1.kni']],
      ['degrade', [], ['weir-high'], ['dpdk1.kni']],
      ['none', [], [], []],
    ])('announces by policy %s on both sides: no port served %j, one %j, both %j', (policy, ...expected) => {
      [none, one, both, both, one, none].forEach((services, i) => {
        const wanted = expected[Math.min(i, 5 - i)];
        set(services);
        expect(announce(policy)).toEqual(wanted);
        expect(dpdk()).toEqual(wanted?.length === 0 ? [] : ['dpdk1']);
        changes();
        announce(policy);
        expect(changes()).toEqual([]);
      });
    });

    test('has the VIP in DPVS before the kernel announces it, and until after', () => {
      set(both);
      announce('degrade');
      expect(changes()).toEqual([`dpdk add ${VIP}/32 dpdk1`, `kernel add ${VIP}/32 dpdk1.kni`]);
      set(one);
      announce('degrade');
      expect(changes().slice(2)).toEqual([`kernel add ${VIP}/32 weir-high`, `kernel del ${VIP}/32 dpdk1.kni`]);
      set(none);
      announce('degrade');
      expect(changes()).toEqual([`kernel del ${VIP}/32 weir-high`, `dpdk del ${VIP}/32 dpdk1`]);
    });

    test('takes a VIP from wherever another data plane or device had it', () => {
      machine.write('kernel', 'lo', ['127.0.0.1/8', `${VIP}/32`]);
      machine.write('kernel', 'dpdk0.kni', [`${VIP}/32`]);
      machine.write('dpdk', 'dpdk0', ['10.9.0.7/32', `${VIP}/32`]);
      set(both);
      expect(announce('any')).toEqual(['dpdk1.kni']);
      expect(dpdk()).toEqual(['dpdk1']);
      expect(changes()[0]).toBe(`dpdk add ${VIP}/32 dpdk1`);
      expect(machine.addresses('dpdk', 'dpdk0')).toEqual(['10.9.0.7/32']);
    });

    test('does not announce in the kernel what DPVS did not take, and says so; other VIPs are not kept back', () => {
      set([...both, { vip: OTHER, port: 80, weights: [1] }]);
      machine.ill('refuse-dpdk');
      expect(run(VIP, 'any', 1)).toEqual({ status: 1, stderr: 'dpip: already exist\n' });
      expect([places(), dpdk()]).toEqual([[], []]);
      // in one call, both ways around: the one is the start of the other
      for (const [refused, taken] of [
        [VIP, OTHER],
        [OTHER, VIP],
      ] as const) {
        machine.write('dpdk', 'dpdk1', []);
        machine.write('kernel', 'dpdk1.kni', []);
        machine.ill('refuse-dpdk', `${refused}/32`);
        expect(machine.run(['-'], `${OTHER} any 1\n${VIP} any 1\n`)).toMatchObject({ status: 1 });
        expect([places(refused), places(taken)]).toEqual([[], ['dpdk1.kni']]);
      }
      machine.ill('refuse-dpdk');
      machine.write('kernel', 'dpdk1.kni', []);
      machine.write('dpdk', 'dpdk1', [`${OTHER}/32`]);
      const input = `${VIP} any 1\n${OTHER} any 1\n`;
      expect(machine.run(['-'], input)).toMatchObject({ status: 1 });
      expect([places(), places(OTHER)]).toEqual([[], ['dpdk1.kni']]);
    });

    test('keeps a VIP in DPVS that the kernel did not let go', () => {
      set(both);
      announce('any');
      set(none);
      machine.ill('refuse-del-kernel');
      expect(run(VIP, 'any', 1).status).toBe(1);
      expect([places(), dpdk()]).toEqual([['dpdk1.kni'], ['dpdk1']]);
    });

    test.each(['dumb', 'slow'] as const)('changes nothing, and says why, where DPVS is %s', (state) => {
      set(both);
      announce('any');
      set(none);
      changes();
      machine.dpvs(state);
      expect(run(VIP, 'any', 1)).toEqual({
        status: 1,
        stderr: expect.stringMatching(
          /^announce: ipvsadm( did not answer within 10 s|: no memory); nothing was changed\n$/,
        ),
      });
      expect(changes()).toEqual([]);
      machine.dpvs('runs');
      expect(announce('any')).toEqual([]);
    });

    test('withdraws from the kernel, and announces nothing, where DPVS does not run', () => {
      set(both);
      announce('any');
      machine.dpvs('dead');
      expect(run(VIP, 'any', 1)).toEqual({
        status: 1,
        stderr:
          "announce: DPVS does not run (ipvsadm: Can't initialize ipvs: failed): its VIPs are taken off the kernel\n",
      });
      expect(places()).toEqual([]);
      changes();
      expect(run(VIP, 'any', 1).status).toBe(1);
      expect(changes()).toEqual([]);
      // it lost its addresses with its life
      machine.write('dpdk', 'dpdk1', []);
      machine.dpvs('runs');
      expect(announce('any')).toEqual(['dpdk1.kni']);
      expect(dpdk()).toEqual(['dpdk1']);
    });

    test('withdraws, and announces nothing, where dpip does not answer', () => {
      set([...both, { vip: OTHER, port: 80, weights: [1] }]);
      announce('any');
      set([{ vip: OTHER, port: 80, weights: [1] }]);
      machine.ill('refuse-show');
      expect(machine.run(['-'], `${VIP} any 1\n${OTHER} any 1\n`)).toEqual({
        status: 1,
        stderr: 'announce: dpip: dpip: no memory; VIPs are only withdrawn\n',
      });
      expect([places(), dpdk(), places(OTHER)]).toEqual([[], ['dpdk1'], []]);
      machine.ill('refuse-show', false);
      expect(machine.run(['-'], `${VIP} any 1\n${OTHER} any 1\n`)).toEqual({ status: 0, stderr: '' });
      expect([dpdk(), places(OTHER)]).toEqual([[], ['dpdk1.kni']]);
    });

    test('drains without asking for the table, also where DPVS does not answer', () => {
      set(both);
      announce('any');
      drain(true);
      machine.dpvs('dumb');
      expect(announce('any')).toEqual([]);
      expect(dpdk()).toEqual([]);
    });

    test('leaves the addresses of others in DPVS alone, and services that are none of the VIP', () => {
      set([{ vip: OTHER, port: 80, weights: [100] }]);
      expect(announce('any')).toEqual([]);
      expect(run(OTHER, 'any', 1).status).toBe(0);
      expect(run(OTHER, 'none', 1).status).toBe(0);
      expect(machine.addresses('dpdk', 'dpdk0')).toEqual(['10.9.0.1/24', '10.9.0.7/32']);
      expect(machine.addresses('dpdk', 'dpdk1')).toEqual(['10.0.0.1/24']);
      expect(machine.addresses('kernel', 'dpdk1.kni')).toEqual(['10.0.0.1/24']);
    });
  });
});

/** A service of VIP where it does not say otherwise. */
type Ports = Omit<Service, 'vip'> & { vip?: string };

function expectedPlaces(policy: string, served: number): string[] {
  if (served === 0) return [];
  if (served === 2 || policy === 'any') return ['lo'];
  return policy === 'all' ? [] : ['weir-high'];
}

test('the helper is named by its content, so that a running daemon never runs another’s', () => {
  expect(announceHelper.name).toBe(`announce-${announceFile.sha256.slice(0, 12)}`);
  expect(announceFile.mode).toBe('0755');
});
