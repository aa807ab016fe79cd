/**
 * The announce script against a model of what should be announced: whatever happens in whatever order, with calls that
 * are lost, repeated, made for many VIPs, made twice at once, or killed between two changes, the next call that ends
 * makes the VIPs that it names be where the model says, and takes none away in between that was and stays announced.
 * WEIR_TEST_RUNS=1000 plays so many sequences on each shell and data plane.
 */
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { openMachine, shellsHere } from './announce-machine.ts';
import type { Call, DpvsState, Machine, Service } from './announce-machine.ts';

const runs = Number(process.env['WEIR_TEST_RUNS'] ?? 8);

/** One is the start of another, in both ways of writing it. */
const vips = ['60.28.208.1', '60.28.208.11', '160.28.208.1'];
const ports = [80, 443, 8080];

type Event =
  /** A port comes, or its WSs or their weights change. */
  | { what: 'port'; vip: string; port: number; weights: number[] }
  | { what: 'port removed'; vip: string; port: number }
  | { what: 'vip removed'; vip: string }
  /** A release with another policy; keepalived calls with it from now on. */
  | { what: 'policy'; vip: string; policy: string; quorum: number }
  | { what: 'drain'; on: boolean }
  | { what: 'dpvs'; state: DpvsState }
  | { what: 'call'; of: string[]; twice: boolean }
  | { what: 'killed call'; of: string[]; at: number; when: 'before' | 'after' }
  | { what: 'calls at once'; of: string[][] };

interface Model {
  services: Map<string, Service>;
  calls: Map<string, Call>;
  drained: boolean;
  dpvs: DpvsState;
}

type Plane = 'kernel' | 'dpvs';

const vip = fc.constantFrom(...vips);
const weights = fc.array(fc.constantFrom(0, 1, 49, 50, 100), { maxLength: 3 });
const some = fc.subarray(vips, { minLength: 1 });
const call = fc.record({ what: fc.constant('call' as const), of: some, twice: fc.boolean() });
const port = fc.record({ what: fc.constant('port' as const), vip, port: fc.constantFrom(...ports), weights });
const policy = fc.constantFrom('any', 'all', 'degrade', 'none');

const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 4, arbitrary: port },
  {
    weight: 1,
    arbitrary: fc.record({ what: fc.constant('port removed' as const), vip, port: fc.constantFrom(...ports) }),
  },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('vip removed' as const), vip }) },
  {
    weight: 1,
    arbitrary: fc.record({ what: fc.constant('policy' as const), vip, policy, quorum: fc.constantFrom(1, 50, 100) }),
  },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('drain' as const), on: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      what: fc.constant('dpvs' as const),
      state: fc.constantFrom<DpvsState>('runs', 'runs', 'dead', 'dumb'),
    }),
  },
  { weight: 5, arbitrary: call },
  {
    weight: 3,
    arbitrary: fc.record({
      what: fc.constant('killed call' as const),
      of: some,
      at: fc.integer({ min: 1, max: 4 }),
      when: fc.constantFrom('before' as const, 'after' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('calls at once' as const), of: fc.tuple(some, some) }) },
);

/** Served from the first, so that there is something to lose. */
const start = fc.record({
  policies: fc.tuple(policy, policy, policy),
  services: fc.tuple(weights, weights, weights, weights, weights, weights),
});

/** Where a VIP belongs; the empty text: nowhere. */
function placeOf({ services, calls, drained }: Model, plane: Plane, vip: string): string {
  const { policy, quorum } = calls.get(vip) ?? { policy: 'none', quorum: 1 };
  const all = [...services.values()].filter((service) => service.vip === vip);
  const served = all.filter((service) => service.weights.reduce((a, b) => a + b, 0) >= quorum).length;
  const home = plane === 'dpvs' ? 'dpdk1.kni' : 'lo';
  if (drained || policy === 'none' || served === 0) return '';
  if (policy === 'any' || served === all.length) return home;
  return policy === 'degrade' ? 'weir-high' : '';
}

/** What a VIP has on both sides. */
interface Place {
  kernel: string[];
  dpdk: string[];
}

const look = (machine: Machine, vip: string): Place => ({
  kernel: machine.places(vip),
  dpdk: machine.places(vip, 'dpdk'),
});

/** What the next call that ends makes of it. */
function wanted(model: Model, vip: string, { before, plane }: { before: Place; plane: Plane }): Place {
  // the kernel draws no traffic to a DPVS that is dead; what to take from DPVS, only DPVS can be told
  if (plane === 'dpvs' && model.dpvs === 'dead') return { kernel: [], dpdk: before.dpdk };
  // a drain needs no table
  if (plane === 'dpvs' && model.dpvs === 'dumb' && !model.drained) return before;
  const place = placeOf(model, plane, vip);
  return { kernel: place === '' ? [] : [place], dpdk: place === '' || plane === 'kernel' ? [] : ['dpdk1'] };
}

/** A VIP that is announced before and after is so at every change in between, and on dpvs DPVS has it all the time. */
function expectNoGap(
  changes: readonly string[],
  vip: string,
  { before, plane }: { before: Place; plane: Plane },
): void {
  const at = { kernel: new Set(before.kernel), dpdk: new Set(before.dpdk) };
  for (const change of changes) {
    const [side, verb, address, device = ''] = change.split(' ');
    if (address !== `${vip}/32` || (side !== 'kernel' && side !== 'dpdk')) continue;
    if (verb === 'add') at[side].add(device);
    else at[side].delete(device);
    expect(at.kernel.size, `${vip} is away after ${change} in ${changes.join(', ')}`).toBeGreaterThan(0);
    if (plane === 'dpvs') expect(at.dpdk.has('dpdk1'), `DPVS lacks ${vip} after ${change}`).toBe(true);
  }
}

/** No VIP is announced, at any time, that DPVS does not have. */
function expectBacked(changes: readonly string[], vip: string, before: Place): void {
  const at = { kernel: new Set(before.kernel), dpdk: new Set(before.dpdk) };
  if (at.kernel.size > 0 && at.dpdk.size === 0) return;
  for (const change of changes) {
    const [side, verb, address, device = ''] = change.split(' ');
    if (address !== `${vip}/32` || (side !== 'kernel' && side !== 'dpdk')) continue;
    if (verb === 'add') at[side].add(device);
    else at[side].delete(device);
    if (at.kernel.size > 0) expect(at.dpdk.size, `${vip} after ${change} in ${changes.join(', ')}`).toBeGreaterThan(0);
  }
}

class Play {
  readonly machine: Machine;
  readonly plane: Plane;
  readonly model: Model = { services: new Map(), calls: new Map(), drained: false, dpvs: 'runs' };

  constructor(machine: Machine, plane: Plane) {
    this.machine = machine;
    this.plane = plane;
    machine.reset(plane);
  }

  async take(event: Event): Promise<void> {
    const { machine, model } = this;
    switch (event.what) {
      case 'port':
        return this.change(() => model.services.set(`${event.vip}:${event.port}`, event));
      case 'port removed':
        return this.change(() => model.services.delete(`${event.vip}:${event.port}`));
      case 'vip removed':
        return this.change(() => {
          for (const [key, service] of model.services) if (service.vip === event.vip) model.services.delete(key);
        });
      case 'policy':
        model.calls.set(event.vip, event);
        return;
      case 'drain':
        model.drained = event.on;
        machine.drain(event.on);
        return;
      case 'dpvs':
        this.dpvsIs(event.state);
        return;
      case 'call':
        this.call(event.of, event.twice);
        return;
      case 'killed call':
        return this.watched(event.of, () => {
          machine.killed(this.callsOf(event.of), event.at, event.when);
          return false;
        });
      case 'calls at once': {
        const all = [...new Set(event.of.flat())];
        const before = new Map(all.map((vip) => [vip, look(machine, vip)]));
        machine.changes();
        const ran = await machine.together(...event.of.map((of) => this.callsOf(of)));
        for (const { status, stderr } of ran) expect(status, stderr).toBe(this.trouble() ? 1 : 0);
        this.settled(all, before, machine.changes());
      }
    }
  }

  private change(edit: () => unknown): void {
    edit();
    this.machine.set([...this.model.services.values()]);
  }

  /** With its life DPVS loses its addresses; the kernel's side goes with it or, as here, does not. */
  private dpvsIs(state: DpvsState): void {
    if (this.plane === 'kernel') return;
    if (state === 'dead') this.machine.write('dpdk', 'dpdk1', ['10.0.0.1/24']);
    this.model.dpvs = state;
    this.machine.dpvs(state);
  }

  callsOf(of: readonly string[]): Call[] {
    return of.map((vip) => this.model.calls.get(vip) ?? { vip, policy: 'none', quorum: 1 });
  }

  /** Whether a call says that it could not do all. */
  private trouble(): boolean {
    const { dpvs, drained } = this.model;
    return this.plane === 'dpvs' && dpvs !== 'runs' && !(drained && dpvs === 'dumb');
  }

  call(of: readonly string[], twice: boolean): void {
    const trouble = this.trouble();
    const call = () => {
      const { status, stderr } = this.machine.announce(...this.callsOf(of));
      expect({ status, said: stderr !== '' }, stderr).toEqual({ status: trouble ? 1 : 0, said: trouble });
      return true;
    };
    this.watched(of, call);
    if (!twice) return;
    call();
    expect(this.machine.changes(), 'changes of a second call').toEqual([]);
  }

  /** Does something for VIPs, and looks at what it did; `act` tells whether it came to its end. */
  private watched(of: readonly string[], act: () => boolean): void {
    const { machine } = this;
    const before = new Map(of.map((vip) => [vip, look(machine, vip)]));
    const others = vips.filter((vip) => !of.includes(vip)).map((vip) => [vip, look(machine, vip)] as const);
    machine.changes();
    const ended = act();
    const changes = machine.changes();
    for (const [vip, place] of others) expect(look(machine, vip), `${vip}, which was not named`).toEqual(place);
    if (ended) this.settled(of, before, changes);
    else this.unsettled(before, changes);
  }

  private settled(of: readonly string[], before: ReadonlyMap<string, Place>, changes: readonly string[]): void {
    const { machine, model, plane } = this;
    for (const vip of of) {
      const was = before.get(vip) ?? { kernel: [], dpdk: [] };
      const want = wanted(model, vip, { before: was, plane });
      expect(look(machine, vip), `${vip}: ${changes.join(', ')}`).toEqual(want);
      if (want.kernel.includes('weir-high')) expect(machine.isUp()).toBe(true);
      this.unbroken(vip, was, { changes, stays: want.kernel.length > 0 });
    }
  }

  /** A call that was killed may have done anything but take away what stays. */
  private unsettled(before: ReadonlyMap<string, Place>, changes: readonly string[]): void {
    for (const [vip, was] of before) {
      const stays = wanted(this.model, vip, { before: was, plane: this.plane }).kernel.length > 0;
      this.unbroken(vip, was, { changes, stays });
    }
  }

  private unbroken(
    vip: string,
    before: Place,
    { changes, stays }: { changes: readonly string[]; stays: boolean },
  ): void {
    const { plane } = this;
    const whole = before.kernel.length > 0 && (plane === 'kernel' || before.dpdk.includes('dpdk1'));
    if (stays && whole) expectNoGap(changes, vip, { before, plane });
    if (plane === 'dpvs') expectBacked(changes, vip, before);
  }
}

describe.each(shellsHere('the model of the announce script'))('with %s', (_name, shell) => {
  const machine = openMachine(shell);
  afterAll(() => machine.close());

  test.each<Plane>(['kernel', 'dpvs'])(
    'VIPs are where the model says after every call that ends (%s)',
    { timeout: 30_000 + runs * 5000 },
    async (plane) => {
      await fc.assert(
        fc.asyncProperty(start, fc.array(event, { minLength: 4, maxLength: 14 }), async (first, events) => {
          const play = new Play(machine, plane);
          for (const [i, vip] of vips.entries()) {
            await play.take({ what: 'policy', vip, policy: first.policies[i] ?? 'any', quorum: 50 });
            for (const [j, port] of [80, 443].entries())
              await play.take({ what: 'port', vip, port, weights: first.services[2 * i + j] ?? [] });
          }
          play.call(vips, false);
          for (const event of events) await play.take(event);
          await play.take({ what: 'dpvs', state: 'runs' });
          play.call(vips, true);
        }),
        { numRuns: runs },
      );
    },
  );
});
