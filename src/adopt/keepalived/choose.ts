/** Which services of a VIP can stand in one document: those whose traffic goes to the same WSs in the same way. */
import type { Forwarding } from '../../domain/edge/model.ts';
import { tell } from './draft.ts';
import type { Drafting } from './draft.ts';
import type { RealServer, Service, VirtualServer } from './served.ts';

export const forwardings: Readonly<Record<string, Forwarding>> = {
  FNAT: 'fullnat',
  NAT: 'fullnat',
  DR: 'dr',
  TUN: 'tun',
};

/** Whether the data plane can have the service as it is. */
export function isPossible(service: Service, { dataplane, ledger }: Drafting): boolean {
  const { server } = service;
  const refuse = (why: string, hint: string, at = server.statement) => {
    tell(ledger, service, { why, hint, service: '', at });
    return false;
  };
  if (server.protocol !== 'TCP' && server.protocol !== 'UDP') {
    return refuse(
      `protocol ${server.protocol} is none that a document may have: the service is left out`,
      'serve it elsewhere',
      server.protocolAt,
    );
  }
  if (server.protocol === 'UDP' && dataplane === 'fullnat') {
    return refuse(
      'keepalived 1.2.2 (fullnat) has no health check for UDP, so that a document has none of it there: the service is left out',
      'serve UDP from a cluster with another data plane',
      server.protocolAt,
    );
  }
  if (server.kind === 'SNAT' || !Object.hasOwn(forwardings, server.kind)) {
    return refuse(
      `lb_kind ${server.kind} is not in a document: the service is left out`,
      'serve it elsewhere',
      server.kindAt,
    );
  }
  return true;
}

/** A document has no VIP whose WSs all have weight 0; one without WSs is served by nobody, and said to be. */
export function servesAny(services: readonly Service[], { ledger }: Drafting): boolean {
  const [first] = services;
  const weights = first ? usable(first.server, first.vip).map((ws) => ws.weight) : [];
  const idle = weights.length > 0 && weights.every((weight) => weight === 0);
  for (const service of services) {
    if (idle)
      tell(ledger, service, {
        why: `all WSs of ${service.vip} have weight 0, so that it serves nobody: it is left out`,
        hint: 'give a WS weight, or let the VIP go',
        service: service.vip,
      });
    else if (weights.length === 0)
      tell(ledger, service, {
        why: 'no WS that a document can have: the VIP is in it without WSs, and not announced',
        hint: 'weir ws add CLUSTER VIP WS',
        service: '',
      });
  }
  return !idle;
}

/** Of the services of one VIP, those that go to the same WSs in the same way; of several such groups the largest. */
export function choose(services: readonly Service[], { ledger }: Drafting): Service[] {
  const seen = new Set<string>();
  const groups = new Map<string, Service[]>();
  for (const service of services) {
    if (seen.has(service.key)) {
      tell(ledger, service, {
        why: `${service.key} is served twice: the first one is taken`,
        hint: 'take one of them out',
      });
      continue;
    }
    seen.add(service.key);
    const way = wayOf(service);
    const group = groups.get(way);
    if (group) group.push(service);
    else groups.set(way, [service]);
  }
  const size = (group: readonly Service[]) => group.length + (group[0] && addressesOf(group[0]).length > 0 ? 1000 : 0);
  const [largest = [], ...others] = [...groups.values()].toSorted((a, b) => size(b) - size(a));
  const [first] = largest;
  for (const service of others.flat()) {
    if (!first) break;
    tell(ledger, service, {
      why: `port ${service.port} is left out: a VIP has one list of WSs and one way to them for all of its ports, and port ${first.port} has ${difference(service, first)}`,
      hint: 'give it a VIP of its own, or the same WSs',
    });
  }
  return largest;
}

/** Where traffic of a service goes, and whose. */
function wayOf(service: Service): string {
  const { server } = service;
  const clients = (list: VirtualServer['deny']) => list?.ranges.join(' ') ?? '';
  return [server.kind, addressesOf(service).join(' '), clients(server.deny), clients(server.allow)].join('/');
}

function difference(one: Service, other: Service): string {
  if (one.server.kind !== other.server.kind) return `lb_kind ${other.server.kind}`;
  if (addressesOf(one).join(' ') !== addressesOf(other).join(' ')) return 'other WSs';
  return 'other lists of clients';
}

function addressesOf({ server, vip }: Service): string[] {
  return usable(server, vip)
    .map((ws) => ws.address)
    .toSorted();
}

/** Real servers of the port that most have, each address once; a document has one port of the WSs for a port of the VIP. */
export function usable({ servers, kind }: VirtualServer, vip: string): RealServer[] {
  const port = commonest(servers.map((ws) => ws.port));
  const bare = kind === 'DR' || kind === 'TUN';
  return servers.filter((ws) => (bare || ws.port === port) && ws.address !== vip);
}

export function commonest<T>(values: readonly T[]): T | undefined {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  // Not by Math.max(...): of a hundred thousand of them that is more than a call takes.
  let most: [T, number] | undefined;
  for (const one of counts) if (!most || one[1] > most[1]) most = one;
  return most?.[0];
}
