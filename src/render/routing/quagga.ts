/**
 * Quagga 0.99.20: zebra.conf and ospfd.conf of one LB. No vty password is set, so that telnet to
 * the daemons is refused; vtysh on the machine works without one. Logs go to syslog.
 */
import { defaults, ospfAnnounceOf } from '../../domain/edge/model.ts';
import type { Lb } from '../../domain/edge/model.ts';
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
  vipPrefixes,
} from './ospf.ts';
import type { RoutingInput } from './ospf.ts';

export function quaggaFiles(input: RoutingInput): RenderedFile[] {
  return [
    renderFile({ path: 'routing/zebra.conf', mode: '0640' }, () => `${header(input.lb)}!\n`),
    renderFile({ path: 'routing/ospfd.conf', mode: '0640' }, () => ospfdText(input)),
  ];
}

function header(lb: Lb): string {
  return `! Rendered by Weir. Changes made here are named at the next publication.
hostname ${lb.hostname}
log syslog informational
`;
}

function ospfdText(input: RoutingInput): string {
  const { cluster, lb } = input;
  const ospf = { ...defaults.ospf, ...cluster.ospf };
  const links = linksOf(input);
  const keys = keyLines(input);
  const network = ospfAnnounceOf(cluster) === 'network';
  const lines = [
    ...links.flatMap((link) => [
      '!',
      `interface ${link.device}`,
      ...(keys.length > 0 ? [' ip ospf authentication message-digest'] : []),
      ...keys.map((line) => ` ${line}`),
      ` ip ospf cost ${link.cost}`,
      ` ip ospf hello-interval ${ospf.hello}`,
      ` ip ospf dead-interval ${ospf.dead}`,
      ' ip ospf priority 0',
    ]),
    ...(network ? ['!', `interface ${HIGH_COST_DEVICE}`, ` ip ospf cost ${HIGH_COST}`] : []),
    '!',
    'router ospf',
    ` ospf router-id ${lb.routerid}`,
    ' log-adjacency-changes',
    ' passive-interface default',
    ...links.map((link) => ` no passive-interface ${link.device}`),
    ...links.flatMap((link) => lipsOn(link, input).map((lip) => ` passive-interface ${link.device} ${lip}`)),
    ...networksOf(input).map((net) => ` network ${net} area ${ospf.area}`),
    ...(network ? [] : [` redistribute connected metric ${REDISTRIBUTE_METRIC} metric-type 1 route-map VIP-OUT`]),
    ...(keys.length > 0 ? [` area ${ospf.area} authentication message-digest`] : []),
    ...(ospf.stub ? [` area ${ospf.area} stub`] : []),
    ...(network
      ? []
      : [
          '!',
          ...vipPrefixes(cluster),
          '!',
          'route-map VIP-OUT permit 10',
          ' match ip address prefix-list VIPS',
          '!',
          'route-map VIP-OUT deny 1000',
        ]),
    '!',
  ];
  return `${header(lb)}${lines.join('\n')}\n`;
}
