/**
 * IPv4 addresses, masks, nets and ranges: strict reading and arithmetic.
 * Text stays the canonical form in documents; numbers (unsigned 32 bit) are for arithmetic only,
 * so that IPv6 can join by a second branch here and nowhere else.
 */
import { isIPv4, isIPv6 } from 'node:net';

/** An IPv4 net: `base` is the network address as an unsigned number. */
export interface Net {
  readonly base: number;
  readonly prefix: number;
}

/** The number of a dotted quad; leading zeros, spaces and short forms are refused by answering undefined. */
export function parseAddress(text: string): number | undefined {
  if (!isIPv4(text)) return undefined;
  let value = 0;
  for (const part of text.split('.')) value = value * 256 + Number(part);
  return value;
}

/** For text that was checked at the border. */
export function addressNumber(text: string): number {
  const value = parseAddress(text);
  if (value === undefined) throw new Error(`not an IPv4 address: ${text}`);
  return value;
}

export function formatAddress(value: number): string {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join('.');
}

/** `a.b.c.d/n` with no bit set behind the prefix. */
export function parseNet(text: string): Net | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return undefined;
  const base = parseAddress(text.slice(0, slash));
  const prefixText = text.slice(slash + 1);
  if (base === undefined || !/^(?:\d|[12]\d|3[0-2])$/.test(prefixText)) return undefined;
  const prefix = Number(prefixText);
  return networkOf(base, prefix) === base ? { base, prefix } : undefined;
}

/** The prefix length of a dotted mask whose bits are contiguous. */
export function parseMask(text: string): number | undefined {
  const value = parseAddress(text);
  if (value === undefined) return undefined;
  const inverted = ~value >>> 0;
  return ((inverted + 1) & inverted) === 0 ? Math.clz32(inverted) : undefined;
}

export function networkOf(address: number, prefix: number): number {
  return prefix === 0 ? 0 : (address & (-1 << (32 - prefix))) >>> 0;
}

export function lastOf(net: Net): number {
  return net.base + 2 ** (32 - net.prefix) - 1;
}

export function contains(net: Net, address: number): boolean {
  return networkOf(address, net.prefix) === net.base;
}

/** Whether an address can be a host of its subnet: /31 and /32 have no network or broadcast address. */
export function isHostOf(net: Net, address: number): boolean {
  if (!contains(net, address)) return false;
  return net.prefix >= 31 || (address !== net.base && address !== lastOf(net));
}

/** 0.0.0.0/8, loopback, multicast and above: never an address of a VIP, LB, WS or LIP. */
export function isUnicast(address: number): boolean {
  const first = address >>> 24;
  return first !== 0 && first !== 127 && first < 224;
}

/** `a.b.c.d`, `a.b.c.d-e` (last octet) or `a.b.c.d-w.x.y.z`; ascending, at most 4096 addresses. */
export function parseRange(text: string): { first: number; last: number } | undefined {
  const dash = text.indexOf('-');
  const first = parseAddress(dash < 0 ? text : text.slice(0, dash));
  if (first === undefined) return undefined;
  if (dash < 0) return { first, last: first };
  const tail = text.slice(dash + 1);
  const last = /^(?:\d|[1-9]\d{1,2})$/.test(tail)
    ? parseAddress(`${formatAddress(first).replace(/\d+$/, '')}${tail}`)
    : parseAddress(tail);
  if (last === undefined || last < first || last - first >= 4096) return undefined;
  return { first, last };
}

/** Whether a range that may be malformed holds an address. */
export function rangeHolds(text: string, address: number): boolean {
  const range = parseRange(text);
  return range !== undefined && address >= range.first && address <= range.last;
}

export function expandRange(text: string): string[] {
  const range = parseRange(text);
  if (!range) return [];
  return Array.from({ length: range.last - range.first + 1 }, (_, i) => formatAddress(range.first + i));
}

/** Whether text is an address of the family that Weir does not carry yet (`a::b`, `a::b/64`, `a::b-a::c`). */
export function looksLikeIPv6(text: string): boolean {
  return isIPv6(text.replace(/\/\d{1,3}$|-.*$/, ''));
}
