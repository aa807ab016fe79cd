/** What the checks of clusters, LBs and VIPs share. */
import type { TSchema } from 'typebox';
import { error } from '../problem.ts';
import type { Problem } from '../problem.ts';
import { dataplaneOf, ospfAnnounceOf } from './model.ts';
import type { Cluster, PortCheck } from './model.ts';

/** Interfaces that Weir or the kernel owns, and words that the routing daemon and sysctl read as every interface. */
const reservedInterfaces: Readonly<Record<string, string>> = {
  lo: 'carries VIPs',
  'weir-high': 'carries VIPs that are announced at high cost',
  all: 'means every interface',
  default: 'means every interface',
};

export function isReserved(device: string): boolean {
  return Object.hasOwn(reservedInterfaces, device);
}

export function reservedInterface(path: string, device: string): Problem {
  return error(path, {
    code: 'reserved_interface',
    message: `${device} ${reservedInterfaces[device]} and cannot be an uplink`,
    hint: 'name the interface that faces the router, e.g. em1',
  });
}

/** Characters of an interface name: 15 in Linux, less `.kni` where the kernel's side of it is named after it. */
export function longestDevice(cluster: Cluster): number {
  return dataplaneOf(cluster) === 'dpvs' ? 11 : 15;
}

export function deviceTooLong(path: string, device: string): Problem {
  return error(path, {
    code: 'device_too_long',
    message: `${device}.kni, the kernel's side of ${device}, is longer than the 15 characters of an interface name`,
    hint: 'name the port of DPVS with at most 11 characters, e.g. dpdk0',
  });
}

export function prefixed(prefix: string, problems: readonly Problem[]): Problem[] {
  return problems.map((p) => ({ ...p, path: p.path ? `${prefix}.${p.path}` : prefix }));
}

export function checkConflicts(path: string, check: PortCheck | undefined): Problem[] {
  if (check?.digest === undefined || check.status === undefined) return [];
  return [
    error(`${path}.digest`, {
      code: 'check_conflict',
      message: 'a check compares the digest or the status, not both',
      hint: 'leave one of digest and status out',
    }),
  ];
}

export function duplicates(
  values: readonly string[],
  path: (index: number) => string,
  text: { code: string; what: string },
): Problem[] {
  if (new Set(values).size === values.length) return [];
  const first = new Map<string, number>();
  const problems: Problem[] = [];
  values.forEach((value, i) => {
    const before = first.get(value);
    if (before === undefined) {
      first.set(value, i);
      return;
    }
    problems.push(
      error(path(i), {
        code: text.code,
        message: `${text.what} ${value} stands twice (first at ${path(before)})`,
        hint: `name each ${text.what} once`,
      }),
    );
  });
  return problems;
}

/**
 * Quagga redistributes connected routes of every interface at one metric. FRR could tell interfaces apart
 * by its route-map, but zebra 8.4 goes on with the old interface of a VIP that was added to another one
 * before it was taken from there.
 */
export function checkDegrade(cluster: Cluster): Problem[] {
  if (ospfAnnounceOf(cluster) === 'network') return [];
  return [
    error('announce', {
      code: 'degrade_needs_network',
      message: 'announce degrade has no effect with ospf.announce redistribute: all VIPs go out at one metric',
      hint: 'set announce to any or all, or ospf.announce to network',
    }),
  ];
}

/** A list that is longer than its schema allows. */
export function tooLong(path: string, list: readonly unknown[], schema: TSchema): Problem[] {
  const { maxItems: most = Number.POSITIVE_INFINITY } = schema as { maxItems?: number };
  if (list.length <= most) return [];
  return [
    error(path, {
      code: 'out_of_range',
      message: `${path} would hold ${list.length} entries`,
      hint: `at most ${most}`,
    }),
  ];
}
