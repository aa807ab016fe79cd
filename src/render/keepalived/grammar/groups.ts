/**
 * Groups of addresses: LIPs, clients that are refused or alone served, and the address and port of a virtual server.
 * A line is `a.b.c.d` or `a.b.c.d-E`, where E is the last octet of the last address, below 255: alloc_laddr_entry and
 * its like in check_data.c of both forks leave out other ranges with a line in the log, and never look at the address.
 */
import { addressNumber, formatAddress, isUnicast, parseAddress } from '../../../domain/address.ts';
import { eachRepeated, numberIn } from './block.ts';
import type { Dialect } from './dialects.ts';
import type { Complain, Statement } from './statements.ts';

/** IFNAMSIZ without its end. */
const MAX_INTERFACE_NAME = 15;

/** Addresses as numbers, both in it. */
export interface AddressRange {
  first: number;
  last: number;
}

export function isHostAddress(text: string): boolean {
  return isUnicast(parseAddress(text) ?? 0);
}

/** The one name that stands behind a word. */
export function nameOf(statement: Statement, complain: Complain): string {
  const [word, name, ...more] = statement.words;
  if (!name || name === '"' || more.length > 0) complain(statement.at, `a ${word} has one name`);
  if (!statement.block) complain(statement.at, `${word} has no block`);
  return name ?? '';
}

/** All LIPs of a group, one by one. */
export function lipGroup(statement: Statement, dialect: Dialect, complain: Complain): string[] {
  const lips = (statement.block ?? []).flatMap((line) => {
    const [text = '', device, ...more] = line.words;
    if (dialect.lipLine === 'address') {
      if (line.words.length !== 1) complain(line.at, 'a line of a local_address_group is one address or range');
    } else if (device === undefined || more.length > 0) {
      complain(
        line.at,
        'a line of a local_address_group is an address or range and its interface; dpvs crashes without',
      );
    } else if (device.length > MAX_INTERFACE_NAME) {
      complain(line.at, `${device} is longer than an interface's name of ${MAX_INTERFACE_NAME} characters`);
    }
    const range = addressLine(text);
    if (!range) complain(line.at, `${text} is no LIP`);
    const { first, last } = range ?? { first: 0, last: -1 };
    return Array.from({ length: last - first + 1 }, (_, i) => formatAddress(first + i));
  });
  if (lips.length === 0) complain(statement.at, 'a local_address_group is empty: FNAT would run without LIPs');
  eachRepeated(lips, (lip) => complain(statement.at, `LIP ${lip} stands twice`));
  return lips;
}

/** Clients that are refused or served. */
export function clientGroup(statement: Statement, complain: Complain): string[] {
  const ranges = (statement.block ?? []).flatMap((line) => {
    const [text = ''] = line.words;
    if (line.words.length !== 1) complain(line.at, 'a line of a group of clients is one address or range');
    const range = addressLine(text);
    if (!range) complain(line.at, `${text} is no client`);
    return range ?? [];
  });
  if (ranges.length === 0) complain(statement.at, `a ${statement.words[0]} is empty`);
  const sorted = ranges.toSorted((a, b) => a.first - b.first);
  sorted.forEach(({ first }, i) => {
    if (first <= (sorted[i - 1]?.last ?? -1)) complain(statement.at, `client ${formatAddress(first)} stands twice`);
  });
  return joinRanges(ranges);
}

function addressLine(text: string): AddressRange | undefined {
  const [address = '', tail, ...more] = text.split('-');
  if (!isHostAddress(address) || more.length > 0) return undefined;
  const first = addressNumber(address);
  if (tail === undefined) return { first, last: first };
  let fits = true;
  const end = numberIn(tail, [Math.max(1, first & 255), 254], () => (fits = false));
  return fits ? { first, last: first - (first & 255) + end } : undefined;
}

/** The same set of addresses as the fewest ranges in their order, as `a.b.c.d` or `a.b.c.d-w.x.y.z`. */
export function joinRanges(ranges: readonly AddressRange[]): string[] {
  const joined: AddressRange[] = [];
  for (const { first, last } of ranges.toSorted((a, b) => a.first - b.first)) {
    const before = joined.at(-1);
    if (before && first <= before.last + 1) before.last = Math.max(before.last, last);
    else joined.push({ first, last });
  }
  return joined.map(({ first, last }) =>
    first === last ? formatAddress(first) : `${formatAddress(first)}-${formatAddress(last)}`,
  );
}

/** The only line of a virtual_server_group. */
export function virtualAddress(statement: Statement, complain: Complain): { vip: string; port: number } {
  const [line, second] = statement.block ?? [];
  if (!line || second || line.words.length > 2) {
    complain(statement.at, 'a virtual_server_group holds one address and port');
  }
  return line ? endpoint(line, line.words, complain) : { vip: '', port: Number.NaN };
}

/** An address and a port, of a VIP or a WS. */
export function endpoint(
  statement: Statement,
  [address = '', port]: readonly string[],
  complain: Complain,
): { vip: string; port: number } {
  if (!isHostAddress(address)) complain(statement.at, `${address} is no IPv4 address of a host; 1.2.2 reads 0.0.0.0`);
  if (port === undefined) complain(statement.at, `${address} has no port`);
  else return { vip: address, port: numberIn(port, [1, 65535], () => complain(statement.at, `${port} is no port`)) };
  return { vip: address, port: Number.NaN };
}
