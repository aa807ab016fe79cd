/**
 * LIP plans: which local addresses each LB of a cluster has. A plan, once made, is kept: LBs that
 * come or go do not shift those of others, and LIPs given up stay in quarantine until an operator
 * frees them, since WSs and conntrack tables may still know their connections.
 */
import { addressNumber, expandRange, formatAddress, isHostOf, lastOf, networkOf, parseMask } from '../address.ts';
import type { Net } from '../address.ts';
import { mentionsOfLb, mentionsOfVip } from './claims.ts';
import { error, warning } from '../problem.ts';
import type { Problem } from '../problem.ts';
import { dataplaneOf, defaults, MAX_LIPS } from './model.ts';
import type { Cluster, Lb } from './model.ts';

/** Stored per cluster. `since` is an ISO time. */
export interface LipPlan {
  readonly lbs: Readonly<Record<string, readonly string[]>>;
  readonly quarantine: Readonly<Record<string, { readonly lb: string; readonly since: string }>>;
}

export const emptyLipPlan: LipPlan = { lbs: {}, quarantine: {} };

export interface LipInput {
  cluster: Cluster;
  /** The plan so far. */
  plan: LipPlan;
  /** Whether anything in any other cluster has or mentions an address, or a WS was found at it. */
  isTaken: (address: string) => boolean;
  /** ISO time for what enters quarantine. */
  now: string;
}

export interface LipOutcome {
  plan: LipPlan;
  problems: Problem[];
}

/** Most addresses looked at while planning one LB: a /8 full of taken addresses must not stall a request. */
const MAX_SCAN = 1 << 20;

/** The LIPs of an LB by a plan; empty if it is not in it. */
export function lipsOf(plan: LipPlan, hostname: string): readonly string[] {
  return Object.hasOwn(plan.lbs, hostname) ? (plan.lbs[hostname] ?? []) : [];
}

/** The next plan after a change of the document. Identical input answers the identical plan object. */
export function planLips(input: LipInput): LipOutcome {
  const { cluster, plan } = input;
  const problems: Problem[] = [];
  const lbs: Record<string, readonly string[]> = {};
  const quarantine = new Map(Object.entries(plan.quarantine));
  const used = addressesIn(cluster, plan);
  const holders = holdersOf(plan);
  cluster.lbinfos.forEach((lb, i) => {
    const before = lipsOf(plan, lb.hostname);
    const outcome = lb.lips
      ? explicitLips(lb, { holders, quarantine })
      : plannedLips(lb, { input, before, used, quarantine });
    for (const address of outcome.lips) {
      used.add(address);
      quarantine.delete(address);
    }
    for (const problem of outcome.problems) problems.push({ ...problem, path: `lbinfos[${i}].${problem.path}` });
    lbs[lb.hostname] = sameList(before, outcome.lips) ? before : outcome.lips;
  });
  const held = new Set(Object.values(lbs).flat());
  for (const [lb, lips] of Object.entries(plan.lbs)) {
    for (const lip of lips) if (!held.has(lip) && !quarantine.has(lip)) quarantine.set(lip, { lb, since: input.now });
  }
  const unchanged =
    Object.keys(lbs).length === Object.keys(plan.lbs).length &&
    Object.entries(lbs).every(([lb, lips]) => plan.lbs[lb] === lips) &&
    quarantine.size === Object.keys(plan.quarantine).length;
  return { plan: unchanged ? plan : { lbs, quarantine: Object.fromEntries(quarantine) }, problems };
}

/** Every address that the cluster itself has, mentions, or has planned. */
function addressesIn(cluster: Cluster, plan: LipPlan): Set<string> {
  const addresses = new Set<string>();
  for (const lb of cluster.lbinfos) {
    for (const address of [lb.internalip, lb.extraip, ...mentionsOfLb(lb), ...givenLips(lb)]) {
      if (address !== undefined) addresses.add(address);
    }
  }
  // Those of an LB that goes with this change too: they are about to enter quarantine.
  for (const lip of Object.values(plan.lbs).flat()) addresses.add(lip);
  for (const vip of cluster.vip2ws) {
    addresses.add(vip.vip);
    for (const address of mentionsOfVip(vip)) addresses.add(address);
  }
  return addresses;
}

/** The explicit LIPs of an LB. A document that gives too many is refused by its checks, and may come here first. */
function givenLips(lb: Lb): string[] {
  const lips: string[] = [];
  for (const text of lb.lips ?? []) {
    if (lips.length > MAX_LIPS) break;
    lips.push(...expandRange(text));
  }
  return lips;
}

/** The LB of each LIP in the plan. */
function holdersOf(plan: LipPlan): Map<string, string> {
  return new Map(Object.entries(plan.lbs).flatMap(([lb, lips]) => lips.map((lip) => [lip, lb] as const)));
}

interface LbLips {
  lips: readonly string[];
  problems: Problem[];
}

interface Holding {
  holders: ReadonlyMap<string, string>;
  quarantine: ReadonlyMap<string, { lb: string }>;
}

/** A LIP does not go from LB to LB within one change either: it would miss its quarantine. */
function explicitLips(lb: Lb, { holders, quarantine }: Holding): LbLips {
  const lips = givenLips(lb);
  const problems = lips.flatMap((lip) => {
    const holder = holders.get(lip);
    if (holder !== undefined && holder !== lb.hostname) {
      return error('lips', {
        code: 'lip_held',
        message: `LIP ${lip} is one of ${holder}`,
        hint: `choose another, or take it from ${holder} in a change of its own and free it once no WS knows connections of it`,
      });
    }
    const held = quarantine.get(lip);
    if (!held || held.lb === lb.hostname) return [];
    return error('lips', {
      code: 'lip_quarantined',
      message: `LIP ${lip} was given up by ${held.lb} and is in quarantine`,
      hint: 'free it once no WS knows connections of it any more, or choose another',
    });
  });
  return { lips, problems };
}

interface Planning {
  input: LipInput;
  before: readonly string[];
  used: ReadonlySet<string>;
  quarantine: ReadonlyMap<string, { lb: string }>;
}

/**
 * Planned from the top of the subnet: gateways and LBs are numbered from its bottom, and an LB that
 * comes later should find its own address free.
 */
function plannedLips(lb: Lb, { input, before, used, quarantine }: Planning): LbLips {
  const prefix = parseMask(lb.internalnetmask) ?? 32;
  const net: Net = { base: networkOf(addressNumber(lb.internalip), prefix), prefix };
  const wanted = lb.lipcount ?? defaults.lipcount;
  const kept = before.filter((address) => isHostOf(net, addressNumber(address)));
  const lips = kept.slice(0, wanted);
  for (const [address, held] of quarantine) {
    const own = held.lb === lb.hostname && isHostOf(net, addressNumber(address));
    if (own && lips.length < wanted && !used.has(address) && !input.isTaken(address)) lips.push(address);
  }
  const end = Math.max(net.base, lastOf(net) - MAX_SCAN);
  for (let number = lastOf(net); lips.length < wanted && number >= end; number--) {
    const address = formatAddress(number);
    if (!isHostOf(net, number) || used.has(address) || lips.includes(address)) continue;
    if (!quarantine.has(address) && !input.isTaken(address)) lips.push(address);
  }
  lips.sort((a, b) => addressNumber(a) - addressNumber(b));
  if (lips.length < wanted) {
    return {
      lips,
      problems: [
        error('lips', {
          code: 'lips_exhausted',
          message: `${formatAddress(net.base)}/${prefix} has ${lips.length} free addresses for LIPs of ${lb.hostname}, ${wanted} are wanted`,
          hint: 'give lips from another net, or lower lipcount (at least 4)',
        }),
      ],
    };
  }
  return {
    lips,
    problems: [
      warning('lips', {
        code: 'lips_planned',
        message: `LIPs of ${lb.hostname} are planned from ${formatAddress(net.base)}/${prefix} (${lips[0]} …): that net is taken to be the LBs' own`,
        hint: 'check that nothing else uses these addresses, then confirm by setting lips on the LB',
      }),
    ],
  };
}

export interface LipChange {
  before: Cluster;
  after: Cluster;
  from: LipPlan;
  to: LipPlan;
  /** LBs whose LIPs connections may have now, by hostname, with the LIPs that each runs, where that is known. */
  inService: ReadonlyMap<string, readonly string[] | undefined>;
}

/**
 * LIPs are not changed under connections. Those of a LIP that goes break; and where keepalived names LIPs (fullnat,
 * dpvs), any change of them makes it create all virtual services of the LB anew.
 */
export function lipsInService({ before, after, from, to, inService }: LipChange): Problem[] {
  const states = new Map(before.lbinfos.map((lb) => [lb.hostname, lb.state ?? 'up']));
  return after.lbinfos.flatMap(({ hostname, state: then }, i) => {
    const state = states.get(hostname);
    if (!inService.has(hostname)) return [];
    const next = lipsOf(to, hostname);
    if (state === 'drain') {
      const serving = then === 'drain' ? undefined : inService.get(hostname);
      return serving ? undrained(`lbinfos[${i}].state`, { cluster: after, hostname, serving, next }) : [];
    }
    const old = lipsOf(from, hostname);
    if (state === undefined) return returning(`lbinfos[${i}].lips`, { cluster: after.name, hostname, next, from });
    const gone = old.filter((lip) => !next.includes(lip));
    const come = next.filter((lip) => !old.includes(lip));
    const anew = dataplaneOf(after) !== 'ipvs' && come.length > 0;
    if (gone.length === 0 && !anew) return [];
    const what = gone.length > 0 ? `would lose ${shorten(gone)}` : `would get ${shorten(come)}`;
    const why = anew ? 'all of its connections break when its services are created anew' : 'their connections break';
    return error(`lbinfos[${i}].lips`, {
      code: 'lips_in_service',
      message: `LB ${hostname} serves and ${what}: ${why}`,
      hint: `drain it first (weir lb drain ${after.name} ${hostname}), change its LIPs, publish, activate, and undrain it`,
    });
  });
}

/** An LB that goes back into service with other LIPs than those that it runs would change them at its next activation. */
function undrained(
  path: string,
  {
    cluster,
    hostname,
    serving,
    next,
  }: { cluster: Cluster; hostname: string; serving: readonly string[]; next: readonly string[] },
): Problem[] {
  const gone = serving.some((lip) => !next.includes(lip));
  const come = next.some((lip) => !serving.includes(lip));
  if (!gone && !(come && dataplaneOf(cluster) !== 'ipvs')) return [];
  return [
    error(path, {
      code: 'lips_in_service',
      message: `LB ${hostname} still runs ${shorten(serving)}, which its next activation would change under its connections`,
      hint: `publish and activate it while it is drained (weir publish ${cluster.name}, weir activate ${cluster.name} --lb ${hostname}), then undrain it`,
    }),
  ];
}

/** An LB that was removed may run on, and cannot be drained by then: it comes back with LIPs of those it gave up, or these are freed. */
function returning(
  path: string,
  { cluster, hostname, next, from }: { cluster: string; hostname: string; next: readonly string[]; from: LipPlan },
): Problem[] {
  const had = Object.entries(from.quarantine).flatMap(([lip, { lb }]) => (lb === hostname ? [lip] : []));
  const come = next.filter((lip) => !had.includes(lip));
  if (had.length === 0 || come.length === 0) return [];
  return [
    error(path, {
      code: 'lips_in_service',
      message: `LB ${hostname} comes back with ${shorten(come)} that it did not have, and may still serve with those that it had: its connections would break`,
      hint: `give it LIPs that it had (${had.slice(0, 3).join(', ')}${had.length > 3 ? ' ...; weir show lists them' : ''}), or free those first, once no WS knows connections of them: weir lb free ${cluster} LIP`,
    }),
  ];
}

function shorten(lips: readonly string[]): string {
  return lips.length > 3 ? `${lips.slice(0, 3).join(', ')} and ${lips.length - 3} more LIPs` : `LIP ${lips.join(', ')}`;
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}

/** The plan without some addresses in quarantine; those that were not in it are answered as unknown. */
export function freeLips(plan: LipPlan, addresses: readonly string[]): { plan: LipPlan; unknown: string[] } {
  const quarantine = { ...plan.quarantine };
  const unknown = addresses.filter((a) => !Object.hasOwn(quarantine, a));
  for (const address of addresses) delete quarantine[address];
  return { plan: { lbs: plan.lbs, quarantine }, unknown };
}
