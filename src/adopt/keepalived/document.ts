/**
 * Services to the part of a document that they can be: one VIP has one list of WSs for all of its ports, one way of
 * forwarding, one quorum. A port that differs in where its traffic goes is left out rather than sent elsewhere.
 */
import { defaults } from '../../domain/edge/model.ts';
import type { WsAttrs } from '../../domain/edge/model.ts';
import { choose, commonest, forwardings, isPossible, servesAny, usable } from './choose.ts';
import { tell } from './draft.ts';
import type { Draft, Drafting, DraftVip } from './draft.ts';
import type { Ledger } from './ledger.ts';
import { looseLips, withLips } from './lips.ts';
import { Names } from './names.ts';
import { documentPort } from './port.ts';
import type { Served, Service } from './served.ts';

export interface Drafted {
  draft: Draft;
  /** WSs whose names were made from their addresses. */
  madeNames: number;
  /** Of services that became part of the document. */
  expressed: readonly Service[];
}

export function draftOf(served: Served, drafting: Drafting): Drafted {
  const { base, replace } = drafting;
  const chosen = new Map<string, Service[]>();
  for (const [vip, services] of byVip(served.services)) {
    const kept = choose(
      services.filter((service) => isPossible(service, drafting)),
      drafting,
    );
    if (kept.length > 0 && servesAny(kept, drafting)) chosen.set(vip, kept);
  }
  const names = new Names(drafting);
  const before = new Map(base.vip2ws.map((vip) => [vip.vip, vip]));
  const fresh = new Map(
    [...chosen].map(([vip, services]) => [vip, draftVip(services, { drafting, names, before: before.get(vip) })]),
  );
  const kept = base.vip2ws.flatMap((vip) => {
    const changed = fresh.get(vip.vip);
    fresh.delete(vip.vip);
    return changed ? [changed] : replace ? [] : [vip];
  });
  const { lbinfos, vip2ws: _before, ...head } = base;
  const same = base.dataplane === undefined && drafting.dataplane === defaults.dataplane;
  const draft: Draft = {
    ...head,
    ...(same ? {} : { dataplane: drafting.dataplane }),
    ...(lbinfos ? { lbinfos: withLips(lbinfos, served, drafting) } : {}),
    vip2ws: [...kept, ...fresh.values()],
  };
  if (!lbinfos) looseLips(served, drafting);
  return { draft, madeNames: names.made, expressed: [...chosen.values()].flat() };
}

function byVip(services: readonly Service[]): Map<string, Service[]> {
  const all = new Map<string, Service[]>();
  for (const service of services) {
    const others = all.get(service.vip);
    if (others) others.push(service);
    else all.set(service.vip, [service]);
  }
  return all;
}

interface Making {
  drafting: Drafting;
  names: Names;
  /** The VIP as the base has it. */
  before: DraftVip | undefined;
}

function draftVip(services: readonly Service[], { drafting, names, before }: Making): DraftVip {
  const { base, ledger, wstype, dataplane } = drafting;
  const [first] = services as [Service, ...Service[]];
  const { vip, server } = first;
  for (const service of services) {
    toldKind(service, drafting);
    leftOut(service, ledger);
  }
  const weights = weightsOf(services, ledger);
  const wss = names.of([...weights.keys()]);
  const wsattrs = Object.fromEntries(
    [...weights].map(([address, weight], i): [string, WsAttrs] => [
      wss[i] ?? '',
      { ...(weight === defaults.weight ? {} : { weight }), address },
    ]),
  );
  const forwarding = forwardings[server.kind] ?? defaults.forwarding;
  const quorum = quorumOf(services, { total: [...weights.values()].reduce((sum, weight) => sum + weight, 0), ledger });
  const announce = server.announce ?? before?.announce;
  const type = wstype ?? before?.wstype;
  return {
    vip,
    ...(type === undefined ? {} : { wstype: type }),
    wss,
    ports: services.map((service) => documentPort(service, { dataplane, base, ledger })),
    ...(wss.length > 0 ? { wsattrs } : {}),
    ...(before?.domains ? { domains: before.domains } : {}),
    ...(before?.owner === undefined ? {} : { owner: before.owner }),
    ...(quorum === defaults.quorum ? {} : { quorum }),
    ...(announce === undefined || announce === (base.announce ?? defaults.announce) ? {} : { announce }),
    ...(forwarding === (base.forwarding ?? defaults.forwarding) ? {} : { forwarding }),
    ...(server.deny && server.deny.ranges.length > 0 ? { deny: [...server.deny.ranges] } : {}),
    ...(server.allow && server.allow.ranges.length > 0 ? { allow: [...server.allow.ranges] } : {}),
    ...(before?.moving ? { moving: before.moving } : {}),
  };
}

function toldKind(service: Service, { dataplane, ledger }: Drafting): void {
  const { kind, kindAt, statement } = service.server;
  if (kind !== 'NAT' || dataplane === 'ipvs') return;
  tell(ledger, service, {
    why: `NAT becomes FULLNAT: with dataplane ${dataplane} WSs get connections from LIPs, and answer to them`,
    hint: 'let the WSs learn the client’s address by TOA, or serve these VIPs from a cluster with dataplane ipvs',
    field: 'kind',
    service: '',
    at: kindAt ?? statement,
  });
}

/** Real servers that a port of a document cannot have. */
function leftOut(service: Service, ledger: Ledger): void {
  const { server, vip } = service;
  const used = new Set(usable(server, vip));
  for (const ws of server.servers) {
    if (used.has(ws)) continue;
    const own = ws.address === vip;
    const why = own
      ? 'the WS is the VIP itself'
      : 'another port of the WS than most have: a port of a VIP goes to one port of all WSs';
    tell(ledger, service, {
      why: `${why}: it is left out`,
      hint: 'give it the port of the others, or a VIP of its own',
      field: 'servers',
      service: own ? vip : '',
      at: ws.statement,
    });
  }
  const common = commonest([...used].map((ws) => ws.check.does));
  for (const ws of used) {
    if (ws.check.does === common) continue;
    tell(ledger, service, {
      why: `another check than most WSs of the port have (${common}): a port has one`,
      hint: 'see that the WS passes it',
      field: 'check',
      service: '',
      at: ws.check.at,
    });
  }
}

/** Weights of the WSs by address: those of the first port. */
function weightsOf(services: readonly Service[], ledger: Ledger): Map<string, number> {
  const weights = new Map<string, number>();
  for (const service of services) {
    for (const ws of usable(service.server, service.vip)) {
      const weight = weights.get(ws.address);
      if (weight === undefined) weights.set(ws.address, ws.weight);
      else if (weight !== ws.weight) {
        tell(ledger, service, {
          why: `${service.vip}: weight ${ws.weight} on port ${service.port} and ${weight} on port ${services[0]?.port}: a WS has one weight for all ports of a VIP, ${weight}`,
          hint: 'give the port a VIP of its own where the weights matter',
          field: 'weight',
          at: ws.weightAt ?? ws.statement,
        });
      }
    }
  }
  return weights;
}

function quorumOf(services: readonly Service[], { total, ledger }: { total: number; ledger: Ledger }): number {
  const [first, ...others] = services;
  const quorum = first?.server.quorum ?? defaults.quorum;
  for (const other of others) {
    if (other.server.quorum === quorum) continue;
    tell(ledger, other, {
      why: `quorum ${other.server.quorum} on port ${other.port} and ${quorum} on port ${first?.port}: a VIP has one, ${quorum}`,
      hint: 'weir vip set CLUSTER VIP quorum=N',
      field: 'quorum',
      at: other.server.quorumAt ?? other.server.statement,
    });
  }
  if (first && total > 0 && quorum > total) {
    tell(ledger, first, {
      why: `quorum ${quorum} is more than all WSs weigh together: it is never reached, and ${total} in the document`,
      hint: 'see what it should be; with announce none a VIP is served and never announced',
      field: 'quorum',
      at: first.server.quorumAt ?? first.server.statement,
    });
    return total;
  }
  return quorum;
}
