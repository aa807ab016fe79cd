/**
 * Quagga 0.99.20: zebra.conf and ospfd.conf of one LB. No vty password is set, so that telnet to
 * the daemons is refused; vtysh on the machine works without one. Logs go to syslog.
 */
import { addressNumber, contains, parseNet } from '../../domain/address.ts';
import { defaults, deviceOf, innerDeviceOf, ospfAnnounceOf } from '../../domain/edge/model.ts';
import type { Cluster, Lb } from '../../domain/edge/model.ts';
import { renderFile } from '../files.ts';
import type { RenderedFile } from '../files.ts';

/** Cost of what is drained or degraded: `network` announcements of that interface move away at it. */
const HIGH_COST = 60000;

/** Where VIPs with announce `degrade` go while only some of their ports are served. */
export const HIGH_COST_DEVICE = 'weir-high';

export function zebraFile(lb: Lb): RenderedFile {
  return renderFile({ path: 'routing/zebra.conf', mode: '0640' }, () => `${header(lb)}!\n`);
}

function header(lb: Lb): string {
  return `! Rendered by Weir. Changes made here are named at the next publication.
hostname ${lb.hostname}
log syslog informational
`;
}

interface Link {
  device: string;
  ospfnet: string;
  cost: number;
}

export interface OspfdInput {
  lips: readonly string[];
  /** The MD5 key in the clear; undefined: no authentication. */
  key: string | undefined;
}

export function ospfdFile(cluster: Cluster, lb: Lb, input: OspfdInput): RenderedFile {
  return renderFile({ path: 'routing/ospfd.conf', mode: '0640' }, () => ospfdText(cluster, lb, input));
}

function ospfdText(cluster: Cluster, lb: Lb, { lips, key }: OspfdInput): string {
  const ospf = { ...defaults.ospf, ...cluster.ospf };
  const links: Link[] = [
    { device: deviceOf(cluster, lb), ospfnet: lb.ospfnet, cost: ospf.cost },
    ...(lb.uplinks ?? []).map((u) => ({ device: u.device, ospfnet: u.ospfnet, cost: u.cost ?? ospf.cost })),
  ];
  const network = ospfAnnounceOf(cluster) === 'network';
  const draining = lb.state === 'drain';
  const lines = [
    ...links.flatMap((link) => [
      '!',
      `interface ${link.device}`,
      ...(key === undefined
        ? []
        : [' ip ospf authentication message-digest', ` ip ospf message-digest-key ${ospf.keyid} md5 ${key}`]),
      ` ip ospf cost ${link.cost}`,
      ` ip ospf hello-interval ${ospf.hello}`,
      ` ip ospf dead-interval ${ospf.dead}`,
      ' ip ospf priority 0',
    ]),
    ...(network && draining ? ['!', 'interface lo', ` ip ospf cost ${HIGH_COST}`] : []),
    ...(network ? ['!', `interface ${HIGH_COST_DEVICE}`, ` ip ospf cost ${HIGH_COST}`] : []),
    '!',
    'router ospf',
    ` ospf router-id ${lb.routerid}`,
    ' log-adjacency-changes',
    ' passive-interface default',
    ...links.map((link) => ` no passive-interface ${link.device}`),
    ...links.flatMap((link) =>
      lipsOn(link, innerDeviceOf(cluster, lb), lips).map((lip) => ` passive-interface ${link.device} ${lip}`),
    ),
    ...links.map((link) => ` network ${link.ospfnet} area ${ospf.area}`),
    ...(network ? cluster.vipnets.map((net) => ` network ${net} area ${ospf.area}`) : []),
    ...(network ? [] : [` redistribute connected metric ${REDISTRIBUTE_METRIC} metric-type 1 route-map VIP-OUT`]),
    ...(key === undefined ? [] : [` area ${ospf.area} authentication message-digest`]),
    ...(network ? [] : routeMap(cluster, draining)),
    '!',
  ];
  return `${header(lb)}${lines.join('\n')}\n`;
}

/** LIPs that lie on the net of a link: each would be an OSPF interface of its own, sending hellos with mask /32. */
function lipsOn(link: Link, innerDevice: string, lips: readonly string[]): string[] {
  const net = parseNet(link.ospfnet);
  if (!net || link.device !== innerDevice) return [];
  return lips.filter((lip) => contains(net, addressNumber(lip)));
}

const REDISTRIBUTE_METRIC = 100;

/** Only host routes within the VIP nets leave; a draining LB announces none. */
function routeMap(cluster: Cluster, draining: boolean): string[] {
  return [
    '!',
    ...cluster.vipnets.map((net, i) => {
      // Quagga wants its net shorter than `ge`, and drops `ge 32` of a /32 in silence when it reads the file.
      const range = net.endsWith('/32') ? '' : ' ge 32 le 32';
      return `ip prefix-list VIPS seq ${(i + 1) * 5} ${draining ? 'deny' : 'permit'} ${net}${range}`;
    }),
    '!',
    'route-map VIP-OUT permit 10',
    ' match ip address prefix-list VIPS',
    '!',
    'route-map VIP-OUT deny 1000',
  ];
}
