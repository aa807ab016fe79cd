/** One real_server of a virtual_server. */
import { isUnicast, looksLikeIPv6, parseAddress } from '../../domain/address.ts';
import { Block, numberOf } from './block.ts';
import { inherit, readCheck } from './checks.ts';
import type { Inherited } from './checks.ts';
import type { Ledger } from './ledger.ts';
import type { Reading, RealServer, VirtualServer } from './served.ts';
import type { Statement } from './statements.ts';
import { synonyms } from './words.ts';

interface Within {
  server: Pick<VirtualServer, 'protocol' | 'kind'>;
  inherited: Inherited;
  reading: Reading;
}

export function readRealServer(statement: Statement, { server, inherited, reading }: Within): RealServer | undefined {
  const { dataplane, ledger } = reading;
  const [, address = '', portText = ''] = statement.words;
  const field = 'servers' as const;
  if (!isUnicast(parseAddress(address) ?? 0)) {
    ledger.lose(statement, {
      why: looksLikeIPv6(address)
        ? 'a WS with IPv6, which Weir does not carry yet'
        : 'no unicast IPv4 address: the WS is left out',
      hint: 'write its address',
      field,
    });
    return undefined;
  }
  const port = portOf(portText);
  if (port === undefined) {
    ledger.lose(statement, {
      why: 'no port: services of all ports are not in the document',
      hint: 'name each port that is served',
      field,
    });
    return undefined;
  }
  const block = new Block(statement, ledger);
  const method = block.one(...synonyms.kind);
  if (method && method.words[1] !== server.kind) {
    ledger.lose(statement, {
      why: 'another way of forwarding than that of the virtual server: the WS is left out',
      hint: 'give such WSs a VIP of their own',
      field,
    });
    return undefined;
  }
  const weightAt = block.one('weight');
  const weight = numberOf(weightAt, { min: 0, max: 65_535, reason: { field: 'weight' } }, ledger) ?? 1;
  const check = readCheck(block, {
    dataplane,
    ledger,
    protocol: server.protocol,
    port,
    inherited: inherit(block, inherited, dataplane),
  });
  block.rest('real_server');
  return { address, port, weight, check, statement, weightAt };
}

export function portOf(text: string): number | undefined {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : undefined;
}

export function withoutTwins(servers: readonly RealServer[], ledger: Ledger): RealServer[] {
  const seen = new Set<string>();
  return servers.filter((server) => {
    const key = `${server.address}:${server.port}`;
    if (seen.has(key))
      ledger.lose(server.statement, {
        why: 'the WS stands twice: the first is taken',
        hint: 'give it once, with the weight that it should have',
        field: 'servers',
      });
    const fresh = !seen.has(key);
    seen.add(key);
    return fresh;
  });
}
