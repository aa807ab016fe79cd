/**
 * How many connections the LIPs of the LBs can carry, and how many LIPs a peak needs. An LB's connection to a WS is
 * told from others by its LIP and source port, so that one LIP has as many to one port of one WS as there are ports.
 */
import { lipsOf } from './lips.ts';
import type { LipPlan } from './lips.ts';
import { dataplaneOf, portKey, stateOf, weightOf } from './model.ts';
import type { Cluster, Vip } from './model.ts';
import { warning } from '../problem.ts';
import type { Problem } from '../problem.ts';

/**
 * Source ports of one LIP. fullnat: Alibaba LVS v2 takes 5000 to 65535. dpvs: 1025 to 65535, split over its cores. ipvs:
 * netfilter gives 1024 to 65535 to a source port that was above 1023.
 */
const sourcePorts = { fullnat: 60_536, dpvs: 64_511, ipvs: 64_512 } as const;

/** Share of them that is planned with: connections that have ended hold theirs for a while, and a free one has to be found. */
const USABLE = 0.6;

/** Fewest LIPs of an LB that are sound: with fewer, one busy client or WS meets the end of a range soon. */
const FEW_LIPS = 4;

export interface LbCapacity {
  lb: string;
  lips: number;
  /** Connections at once to one port of one WS. */
  connections: number;
}

/** What the busiest WS of a port takes of the peak. */
export interface LipNeed {
  vip: string;
  /** SPORT, or SPORT:PROTOCOL where it is not TCP. */
  port: string;
  ws: string;
  /** Share of the port's connections that go to it, 0 to 1. */
  share: number;
  /** At once, from one LB to it, while one LB is away. */
  connections: number;
  /** LIPs that every LB needs for them. */
  lips: number;
}

export interface LipCapacity {
  /** Connections at once that one LIP is good for, to one port of one WS. */
  perLip: number;
  lbs: LbCapacity[];
  /** The port that needs most first; none without a peak. */
  needs: LipNeed[];
  problems: Problem[];
}

/** `peak`: connections at once of one port of a VIP, over all LBs, those in TIME_WAIT counted. Every port is taken to have it. */
export function lipCapacity(cluster: Cluster, plan: LipPlan, peak?: number): LipCapacity {
  const perLip = Math.floor(sourcePorts[dataplaneOf(cluster)] * USABLE);
  const lbs = cluster.lbinfos.map(({ hostname }) => {
    const lips = lipsOf(plan, hostname).length;
    return { lb: hostname, lips, connections: lips * perLip };
  });
  const serving = cluster.lbinfos.filter((lb) => lb.state !== 'drain').length;
  const perLb = peak === undefined ? undefined : peak / Math.max(1, serving - 1);
  const needs = perLb === undefined ? [] : cluster.vip2ws.flatMap((vip) => needsOf(vip, perLb, perLip));
  needs.sort((a, b) => b.lips - a.lips || b.connections - a.connections);
  return { perLip, lbs, needs, problems: [...fewLips(lbs), ...shortLips(lbs, needs[0])] };
}

function needsOf(vip: Vip, perLb: number, perLip: number): LipNeed[] {
  const busiest = busiestOf(vip);
  if (!busiest) return [];
  return vip.ports.map((port) => {
    const connections = Math.ceil(perLb * busiest.share);
    const lips = Math.max(FEW_LIPS, Math.ceil(connections / perLip));
    return { vip: vip.vip, port: portKey(port), ...busiest, connections, lips };
  });
}

/** By weight: persistence and hashes may give one more. undefined where nobody gets anything. */
function busiestOf(vip: Vip): { ws: string; share: number } | undefined {
  const weights = vip.wss.filter((ws) => stateOf(vip, ws) !== 'down').map((ws) => ({ ws, weight: weightOf(vip, ws) }));
  const total = weights.reduce((sum, { weight }) => sum + weight, 0);
  if (total === 0) return undefined;
  const most = weights.reduce((a, b) => (b.weight > a.weight ? b : a));
  return { ws: most.ws, share: most.weight / total };
}

function fewLips(lbs: readonly LbCapacity[]): Problem[] {
  return lbs.flatMap(({ lb, lips }, i) =>
    lips >= FEW_LIPS
      ? []
      : warning(`lbinfos[${i}].lips`, {
          code: 'few_lips',
          message: `LB ${lb} has ${lips} LIPs, fewer than ${FEW_LIPS}`,
          hint: 'give it more lips, or lipcount, while it is drained',
        }),
  );
}

function shortLips(lbs: readonly LbCapacity[], worst: LipNeed | undefined): Problem[] {
  if (!worst) return [];
  return lbs.flatMap(({ lb, lips }, i) =>
    lips >= worst.lips
      ? []
      : warning(`lbinfos[${i}].lips`, {
          code: 'lips_short',
          message: `LB ${lb} has ${lips} LIPs, ${worst.lips} are needed: ${worst.connections} connections at once to ${worst.ws} for ${worst.vip}:${worst.port}`,
          hint: 'give it more lips, spread the port over more WSs, or add an LB',
        }),
  );
}
