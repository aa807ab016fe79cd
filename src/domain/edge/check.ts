/**
 * The rules of one cluster's document that its schema cannot say: uniqueness, subnets, what the
 * data plane can express. Findings are cached by the identity of VIPs and LBs, so that checking
 * after a change costs what changed.
 */
import {
  checkConflicts,
  checkDegrade,
  deviceTooLong,
  duplicates,
  isReserved,
  longestDevice,
  prefixed,
  reservedInterface,
  tooLong,
} from './check-shared.ts';
import { addressNumber, parseRange } from '../address.ts';
import { error, warning } from '../problem.ts';
import type { Problem } from '../problem.ts';
import { lbProblems, lipTaken } from './check-lb.ts';
import { ospfProblems } from './check-ospf.ts';
import { vipProblems } from './check-vip.ts';
import { Cluster, dataplaneOf, defaults, routingOf } from './model.ts';
import type { Lb } from './model.ts';

/** Every problem of a document, errors and warnings, with paths into it. */
export function checkCluster(cluster: Cluster): Problem[] {
  return [
    ...checkHead(cluster),
    ...checkLengths(cluster),
    ...eachPart('lbinfos', cluster.lbinfos, (lb) => lbProblems(cluster, lb)),
    ...eachPart('vip2ws', cluster.vip2ws, (vip) => vipProblems(cluster, vip)),
    ...checkUnique(cluster),
    ...checkLipsApart(cluster),
  ];
}

/** Lists that operations add to, against the limits of their schemas. */
function checkLengths(cluster: Cluster): Problem[] {
  return [
    ...tooLong('lbinfos', cluster.lbinfos, Cluster.properties.lbinfos),
    ...tooLong('vip2ws', cluster.vip2ws, Cluster.properties.vip2ws),
  ];
}

function eachPart<T>(field: string, parts: readonly T[], problemsOf: (part: T) => readonly Problem[]): Problem[] {
  const all: Problem[] = [];
  for (const [i, part] of parts.entries()) {
    const problems = problemsOf(part);
    if (problems.length > 0) all.push(...prefixed(`${field}[${i}]`, problems));
  }
  return all;
}

function checkHead(cluster: Cluster): Problem[] {
  const problems: Problem[] = [];
  if (isReserved(cluster.device)) problems.push(reservedInterface('device', cluster.device));
  const hello = cluster.ospf?.hello ?? defaults.ospf.hello;
  const dead = cluster.ospf?.dead ?? defaults.ospf.dead;
  if (dead <= hello) {
    problems.push(
      error('ospf.dead', {
        code: 'ospf_timers',
        message: `dead interval ${dead} s is not longer than hello ${hello} s`,
        hint: 'set dead to about four times hello',
      }),
    );
  }
  if (cluster.ospf?.key === undefined) {
    problems.push(
      warning('ospf.key', {
        code: 'ospf_unauthenticated',
        message: 'OSPF runs without authentication: any machine on the uplink can announce routes',
        hint: 'set ospf.key to the MD5 key that the routers use',
      }),
    );
  }
  problems.push(...checkBfd(cluster), ...ospfProblems(cluster), ...checkSynproxySettings(cluster));
  if (cluster.device.length > longestDevice(cluster)) problems.push(deviceTooLong('device', cluster.device));
  if (cluster.announce === 'degrade') problems.push(...checkDegrade(cluster));
  problems.push(...checkConflicts('check', cluster.check));
  problems.push(...duplicates(cluster.vipnets, (i) => `vipnets[${i}]`, { code: 'duplicate_net', what: 'net' }));
  return problems;
}

/** Quagga has no BFD: there is none in its ospfd, and 0.99.20 ends at the line `ip ospf bfd`. */
function checkBfd(cluster: Cluster): Problem[] {
  if (!cluster.ospf?.bfd || routingOf(cluster) === 'frr') return [];
  return [
    error('ospf.bfd', {
      code: 'bfd_needs_frr',
      message: 'ospf.bfd is for routing frr: Quagga has no BFD',
      hint: 'set routing to frr where the LBs run FRR, or leave ospf.bfd out and shorten ospf.hello and ospf.dead',
    }),
  ];
}

/** Settings of a SYN proxy that the data plane does itself, as fullnat's and dpvs's do. */
function checkSynproxySettings(cluster: Cluster): Problem[] {
  if (cluster.synproxy === undefined || dataplaneOf(cluster) === 'ipvs') return [];
  return [
    error('synproxy', {
      code: 'needs_ipvs',
      message: `settings of synproxy have no effect with dataplane ${dataplaneOf(cluster)}`,
      hint: 'leave synproxy out of the cluster; synproxy of ports stays as it is',
    }),
  ];
}

function checkUnique(cluster: Cluster): Problem[] {
  const lbs = cluster.lbinfos;
  const problems = [
    ...duplicates(
      lbs.map((lb) => lb.hostname.toLowerCase()),
      (i) => `lbinfos[${i}].hostname`,
      { code: 'duplicate_lb', what: 'LB' },
    ),
    ...duplicates(
      lbs.map((lb) => lb.routerid),
      (i) => `lbinfos[${i}].routerid`,
      { code: 'duplicate_router_id', what: 'router-id' },
    ),
    ...duplicates(
      cluster.vip2ws.map((v) => v.vip),
      (i) => `vip2ws[${i}].vip`,
      { code: 'duplicate_vip', what: 'VIP' },
    ),
  ];
  const holders = new Map<string, { lb: Lb; as: string }>();
  lbs.forEach((lb, i) => {
    for (const field of ['internalip', 'extraip'] as const) {
      const address = lb[field];
      if (address === undefined) continue;
      const other = holders.get(address);
      if (other && other.lb !== lb) {
        problems.push(
          error(`lbinfos[${i}].${field}`, {
            code: 'duplicate_lb_address',
            message: `${lb.hostname} and ${other.lb.hostname} both have ${address}`,
            hint: 'give each LB its own address',
          }),
        );
      }
      holders.set(address, { lb, as: field });
    }
  });
  cluster.vip2ws.forEach((vip, i) => {
    const other = holders.get(vip.vip);
    if (!other) return;
    problems.push(
      error(`vip2ws[${i}].vip`, {
        code: 'vip_is_lb_address',
        message: `VIP ${vip.vip} is the ${other.as} of ${other.lb.hostname}`,
        hint: 'choose another VIP',
      }),
    );
  });
  return problems;
}

interface LipRange {
  first: number;
  last: number;
  text: string;
  lb: Lb;
  path: string;
}

/** Explicit LIPs against everything else in the document; within one LB, `checkLips` has looked. */
function checkLipsApart(cluster: Cluster): Problem[] {
  const ranges = cluster.lbinfos.flatMap((lb, i) =>
    (lb.lips ?? []).flatMap((text, j): LipRange[] => {
      const range = parseRange(text);
      return range ? [{ ...range, text, lb, path: `lbinfos[${i}].lips[${j}]` }] : [];
    }),
  );
  if (ranges.length === 0) return [];
  ranges.sort((a, b) => a.first - b.first);
  const problems: Problem[] = [];
  let widest: LipRange | undefined;
  for (const range of ranges) {
    if (widest && widest.lb !== range.lb && range.first <= widest.last) {
      problems.push(lipTaken(range.path, range.text, `a LIP of ${widest.lb.hostname} too`));
    }
    if (!widest || range.last > widest.last) widest = range;
  }
  for (const { address, what, lb } of addressesBeside(cluster)) {
    const range = rangeWith(ranges, addressNumber(address));
    if (range && range.lb !== lb) problems.push(lipTaken(range.path, range.text, what));
  }
  return problems;
}

/** Addresses that no LIP may have; `lb`: whose own LIPs were compared with it before. */
function* addressesBeside(cluster: Cluster): Generator<{ address: string; what: string; lb?: Lb }> {
  for (const lb of cluster.lbinfos) {
    for (const field of ['internalip', 'internalgateway', 'extraip', 'extragateway'] as const) {
      const address = lb[field];
      if (address !== undefined) yield { address, what: `the ${field} of ${lb.hostname}`, lb };
    }
  }
  for (const vip of cluster.vip2ws) {
    yield { address: vip.vip, what: `the VIP ${vip.vip}` };
    for (const [ws, { address }] of Object.entries(vip.wsattrs ?? {})) {
      if (address !== undefined) yield { address, what: `the address of ${ws}` };
    }
  }
}

/** The last range that starts at or below an address, if it holds it; ranges are sorted. */
function rangeWith(ranges: readonly LipRange[], address: number): LipRange | undefined {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ranges[middle]?.first ?? 0) <= address) low = middle + 1;
    else high = middle;
  }
  const range = ranges[low - 1];
  return range && address <= range.last ? range : undefined;
}
