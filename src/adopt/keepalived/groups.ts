/** Groups of addresses: LIPs, lists of clients, and the blocks of virtual_server_group by their names. */
import { formatAddress, isUnicast, lastOf, looksLikeIPv6, parseNet, parseRange } from '../../domain/address.ts';
import type { Ledger } from './ledger.ts';
import type { Clients, LipGroup } from './served.ts';
import type { Statement } from './statements.ts';

/** Blocks of a word by their names; of two with one name the first counts. */
export function named(statements: readonly Statement[], word: string, ledger: Ledger): Map<string, Statement> {
  const groups = new Map<string, Statement>();
  for (const statement of statements) {
    if (statement.words[0] !== word) continue;
    const name = statement.words[1] ?? '';
    if (groups.has(name))
      ledger.lose(statement, {
        why: `${word} ${name} stands twice: the first one is taken`,
        hint: 'give each its own name',
      });
    else {
      ledger.take(statement);
      groups.set(name, statement);
    }
  }
  return groups;
}

/** Addresses and ranges of a group; what is none is listed. */
function rangesOf(group: Statement, ledger: Ledger): string[] {
  return (group.block ?? []).flatMap((line) => {
    const [text = ''] = line.words;
    const range = rangeOf(text);
    if (range === undefined) {
      ledger.lose(line, {
        why: notAnAddress(text),
        hint: 'write an IPv4 address or a range of at most 4096',
        field: 'clients',
      });
      return [];
    }
    ledger.take(line);
    return [range];
  });
}

/** As a document writes it: `a.b.c.d`, or a range of addresses; undefined: it is none. */
export function rangeOf(text: string): string | undefined {
  const net = parseNet(text);
  if (net && net.prefix >= 20 && isUnicast(net.base)) {
    return net.prefix === 32 ? formatAddress(net.base) : `${formatAddress(net.base)}-${formatAddress(lastOf(net))}`;
  }
  const range = parseRange(text);
  return range && isUnicast(range.first) && isUnicast(range.last) ? text : undefined;
}

function notAnAddress(text: string): string {
  return looksLikeIPv6(text)
    ? 'IPv6, which Weir does not carry yet'
    : 'no unicast IPv4 address, and no range of at most 4096';
}

export function readClients(statements: readonly Statement[], ledger: Ledger): Map<string, Clients> {
  const all = new Map<string, Clients>();
  for (const word of ['deny_address_group', 'allow_address_group']) {
    for (const [name, group] of named(statements, word, ledger)) {
      all.set(`${word} ${name}`, { ranges: rangesOf(group, ledger), at: group });
    }
  }
  return all;
}

export function readLips(statements: readonly Statement[], ledger: Ledger): Map<string, LipGroup> {
  const groups = new Map<string, LipGroup>();
  for (const [name, statement] of named(statements, 'local_address_group', ledger)) {
    const devices = new Set((statement.block ?? []).flatMap((line) => line.words[1] ?? []));
    const [device] = devices;
    if (devices.size > 1) {
      ledger.remark(statement, {
        why: `LIPs on several interfaces (${[...devices].join(', ')}): an LB has one on the side of the WSs`,
        hint: 'move them to one interface first',
        field: 'lips',
      });
    }
    groups.set(name, { name, statement, lips: rangesOf(statement, ledger), device });
  }
  return groups;
}
