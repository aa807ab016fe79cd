/**
 * FRR 8.4: the integrated frr.conf of one LB, in the words and the order in which FRR itself prints
 * what it runs, without what it leaves out as its default, so that the two can be compared and its
 * reload by difference changes nothing else.
 */
import { parseNet } from '../../domain/address.ts';
import { defaults, ospfAnnounceOf } from '../../domain/edge/model.ts';
import { renderFile } from '../files.ts';
import type { RenderedFile } from '../files.ts';
import {
  HIGH_COST,
  HIGH_COST_DEVICE,
  keyLines,
  linksOf,
  lipsOn,
  networksOf,
  REDISTRIBUTE_METRIC,
  speakerOn,
  vipDeviceOf,
  vipPrefixes,
} from './ospf.ts';
import type { Link, RoutingInput } from './ospf.ts';

export function frrFiles(input: RoutingInput): RenderedFile[] {
  return [renderFile({ path: 'routing/frr.conf', mode: '0640' }, () => frrText(input))];
}

/** FRR's own hello interval, in seconds; it does not print it. */
const FRR_HELLO = 10;

/** Paths of equal cost that FRR uses by itself and then does not print: all that it was built for, 256 in Debian's. */
const FRR_MAX_PATHS = 256;

/**
 * Seconds until an announcement that was not acknowledged is sent again. A router drops one that
 * comes within a second of the last (RFC 2328, MinLSArrival 1 s), so that a VIP that goes and comes
 * back is away for as long as this: 4 s measured, 10 s with FRR's own 5.
 */
const RETRANSMIT = 2;

/** Milliseconds between copies of one announcement: an LB that starts again has to outdo what the routers remember of it. */
const LSA_THROTTLE = 200;

/** Without the line about IPv6, a reload by difference would switch the kernel's forwarding of IPv6 on where it is off. */
function frrText(input: RoutingInput): string {
  const network = ospfAnnounceOf(input.cluster) === 'network';
  const lines = [
    '! Rendered by Weir. Changes made here are named at the next publication.',
    'frr defaults traditional',
    `hostname ${input.lb.hostname}`,
    'log syslog informational',
    'no ipv6 forwarding',
    ...linksOf(input).flatMap((link) => uplink(link, input)),
    ...(network ? ['!', `interface ${HIGH_COST_DEVICE}`, ` ip ospf cost ${HIGH_COST}`, 'exit'] : []),
    ...router(input),
    ...(network ? [] : ['!', ...vipPrefixes(input.cluster), ...routeMap(vipDeviceOf(input))]),
    '!',
  ];
  return `${lines.join('\n')}\n`;
}

/**
 * No `ip ospf network`: both ends have to agree on it, and the segment may have more than two.
 * Priority 0: an LB never becomes the designated router of a shared segment.
 * Where VIPs are on the interface too, it stays passive but for the LB's own address; FRR drops that line unless
 * something else is set for the address before it (8.4.4), which is the same priority.
 * BFD at FRR's own times, 3 x 300 ms, which it prints by the bare word only; ospfd takes the word without bfdd too.
 */
function uplink(link: Link, input: RoutingInput): string[] {
  const ospf = { ...defaults.ospf, ...input.cluster.ospf };
  const keys = keyLines(input);
  const speaker = speakerOn(link, input);
  const lines = [
    ...(keys.length > 0 ? ['ip ospf authentication message-digest'] : []),
    ...keys,
    ...(ospf.bfd ? ['ip ospf bfd'] : []),
    `ip ospf cost ${link.cost}`,
    `ip ospf dead-interval ${ospf.dead}`,
    ...(ospf.hello === FRR_HELLO ? [] : [`ip ospf hello-interval ${ospf.hello}`]),
    ...lipsOn(link, input).map((lip) => `ip ospf passive ${lip}`),
    'ip ospf priority 0',
    ...(speaker === undefined ? [] : [`ip ospf priority 0 ${speaker}`]),
    `ip ospf retransmit-interval ${RETRANSMIT}`,
    speaker === undefined ? 'no ip ospf passive' : `no ip ospf passive ${speaker}`,
  ];
  return ['!', `interface ${link.device}`, ...lines.sort(byWords).map((line) => ` ${line}`), 'exit'];
}

/** As FRR prints an interface's lines, but for its keys: they stay in the order in which it has to be given them. */
function byWords(a: string, b: string): number {
  const [one, other] = [a, b].map((line) => line.replace(/(?<=^ip ospf message-digest-key ).*/, '')) as [
    string,
    string,
  ];
  return one < other ? -1 : Number(one > other);
}

function router(input: RoutingInput): string[] {
  const { cluster, lb, keys } = input;
  const { area, stub, maxpaths } = { ...defaults.ospf, maxpaths: undefined, ...cluster.ospf };
  const redistribute = ` redistribute connected metric ${REDISTRIBUTE_METRIC} metric-type 1 route-map VIP-OUT`;
  return [
    '!',
    'router ospf',
    ` ospf router-id ${lb.routerid}`,
    ' log-adjacency-changes',
    ` timers throttle lsa all ${LSA_THROTTLE}`,
    ...(maxpaths === undefined || maxpaths === FRR_MAX_PATHS ? [] : [` maximum-paths ${maxpaths}`]),
    ...(ospfAnnounceOf(cluster) === 'network' ? [] : [redistribute]),
    ' passive-interface default',
    ...networksOf(input)
      .sort(byNet)
      .map((net) => ` network ${net} area ${area}`),
    ...(keys.key === undefined ? [] : [` area ${area} authentication message-digest`]),
    ...(stub ? [` area ${area} stub`] : []),
    'exit',
  ];
}

/** Nets by address, the wider first. */
function byNet(a: string, b: string): number {
  const [one, other] = [parseNet(a), parseNet(b)];
  return one && other ? one.base - other.base || one.prefix - other.prefix : 0;
}

/** VIPs go out, and nothing else. */
function routeMap(vipDevice: string): string[] {
  return [
    '!',
    'route-map VIP-OUT permit 10',
    ` match interface ${vipDevice}`,
    ' match ip address prefix-list VIPS',
    'exit',
    '!',
    'route-map VIP-OUT deny 1000',
    'exit',
  ];
}
