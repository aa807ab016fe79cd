/** Addresses and ports that a virtual_server stands for, by itself or by its group. */
import { expandRange, looksLikeIPv6 } from '../../domain/address.ts';
import { rangeOf } from './groups.ts';
import { portOf } from './real-server.ts';
import type { Reading } from './served.ts';
import type { Statement } from './statements.ts';

/** Services that one file may have: as many as a cluster of 20,000 VIPs could. */
const MAX_SERVICES = 200_000;

interface Endpoint {
  vip: string;
  port: number;
}

/** Addresses and ports of a virtual server; where there are none, its whole block is listed. */
export function endpoints(statement: Statement, reading: Reading): Endpoint[] {
  const { ledger, groups } = reading;
  const [, first = '', second = ''] = statement.words;
  const field = 'service' as const;
  const lose = (why: string, hint: string): Endpoint[] => {
    ledger.lose(statement, { why, hint, field });
    return [];
  };
  if (first === 'fwmark') return lose(byMark, nameThem);
  if (first === 'match')
    return lose('a service by what it matches: in a document it is an address and a port', nameThem);
  if (first !== 'group') {
    const found = endpointsOf(first, second, reading);
    return typeof found === 'string' ? lose(found, 'give it a unicast IPv4 address and a port') : found;
  }
  const group = groups.get(second);
  if (!group)
    return lose(
      `there is no virtual_server_group ${second.slice(0, 40)}: keepalived leaves the service out`,
      'bring the group, or take the virtual_server out',
    );
  const all = (group.block ?? []).flatMap((line) => {
    const [address = '', port = ''] = line.words;
    const found = address === 'fwmark' ? byMark : endpointsOf(address, port, reading);
    if (typeof found !== 'string') {
      ledger.take(line);
      return found;
    }
    ledger.lose(line, {
      why: found,
      hint: address === 'fwmark' ? nameThem : 'give it a unicast IPv4 address and a port',
      field,
    });
    return [];
  });
  return all.length > 0 ? all : lose('its group has no address that a document may have', nameThem);
}

const byMark = 'a service by firewall mark: in a document it is an address and a port';
const nameThem = 'name the VIPs and ports that it stands for';

/** Or what is wrong with them. */
function endpointsOf(address: string, portText: string, reading: Reading): Endpoint[] | string {
  if (looksLikeIPv6(address)) return 'a VIP with IPv6, which Weir does not carry yet';
  const range = rangeOf(address);
  if (range === undefined) return 'the VIP is no unicast IPv4 address or range of at most 4096';
  const port = portOf(portText);
  if (port === undefined) return 'no port: services of all ports are not in the document';
  const vips = expandRange(range);
  reading.count += vips.length;
  if (reading.count > MAX_SERVICES) return `more than ${MAX_SERVICES} services`;
  return vips.map((vip) => ({ vip, port }));
}
