/** Seeing by the status of LBs that what was activated is so: VIPs announced and served, or announced no more. */
import type { Client } from '../../client/client.ts';
import type { ClusterStatusView, LbStatusView } from '../../contract/status.ts';
import { defaults, protocolOf, stateOf, weightOf } from '../../domain/edge/model.ts';
import type { Cluster, Vip } from '../../domain/edge/model.ts';
import type { CommandContext } from '../command.ts';
import { LOOK_MS } from './bring.ts';
import type { Interruption } from './bring.ts';
import { pathOf } from './shared.ts';

export interface Looking {
  cluster: string;
  /** Only at this LB; all if left out. */
  lb?: string;
  /** What an LB lacks; undefined: it is as wanted. */
  lacks: (row: LbStatusView) => string | undefined;
  /** How long it may take, in ms. */
  limitMs: number;
  stop: Interruption;
}

/** What each LB lacks at the end; empty: all are as wanted. At least one look is taken. */
export async function lookUntil(
  context: CommandContext,
  { cluster, lb, lacks, limitMs, stop }: Looking,
): Promise<Map<string, string>> {
  const deadline = Date.now() + limitMs;
  const told = new Map<string, string>();
  for (;;) {
    const { lbs } = await statusOf(context.client(), cluster, lb);
    const left = new Map(lbs.flatMap((row) => [[row.lb, lacks(row)] as const]).flatMap(present));
    for (const [name, words] of left) if (told.get(name) !== words) context.note(`${name}: ${words}`);
    for (const name of told.keys()) if (!left.has(name)) context.note(`${name}: as it should be`);
    told.clear();
    for (const [name, words] of left) told.set(name, words);
    if (left.size === 0 || stop.asked() || Date.now() + LOOK_MS > deadline) return left;
    await stop.pause(LOOK_MS);
  }
}

function present([name, words]: readonly [string, string | undefined]): [string, string][] {
  return words === undefined ? [] : [[name, words]];
}

/** With the services and announced VIPs of each LB. */
export async function statusOf(client: Client, cluster: string, lb?: string): Promise<ClusterStatusView> {
  const query = { services: true, lbs: lb };
  return (await client.call<ClusterStatusView>(pathOf(cluster, 'status'), { query })).data;
}

/** Whether LBs that are in service should announce a VIP, where its WSs are healthy. */
export function isToBeAnnounced(cluster: Cluster, vip: Vip): boolean {
  const policy = vip.announce ?? cluster.announce ?? defaults.announce;
  return policy !== 'none' && vip.wss.some((ws) => stateOf(vip, ws) !== 'down' && weightOf(vip, ws) > 0);
}

/** What an LB that is in service lacks of serving and announcing a VIP. */
export function lacksService(vip: Vip): (row: LbStatusView) => string | undefined {
  return (row) => {
    if (row.error !== undefined) return `cannot be read: ${row.error}`;
    if (row.drained) return undefined;
    const services = new Map((row.services ?? []).map(({ service, servers }) => [service, servers]));
    for (const port of vip.ports) {
      const key = `${protocolOf(port)} ${vip.vip}:${port.sport}`;
      const servers = services.get(key);
      if (!servers) return `its kernel has no service ${key}`;
      if (!servers.some(({ weight }) => weight > 0)) return `no WS of ${key} is healthy`;
    }
    const on = row.announced?.find((one) => one.vip === vip.vip)?.on;
    if (on === undefined) return `it does not announce ${vip.vip}`;
    if (on !== 'lo') return `it announces ${vip.vip} at high cost only: some of its ports are not served`;
    return row.kernel?.ospf.full === 0 ? 'no OSPF neighbour is full: nobody hears what it announces' : undefined;
  };
}

/** What an LB still announces of some VIPs; of all where none is named. */
export function stillAnnounces(vip?: string): (row: LbStatusView) => string | undefined {
  return (row) => {
    if (row.error !== undefined) return `cannot be read: ${row.error}`;
    const left = (row.announced ?? []).filter((one) => vip === undefined || one.vip === vip).map((one) => one.vip);
    if (left.length === 0) return undefined;
    const shown = left.slice(0, 5).join(', ');
    return `it still announces ${left.length > 5 ? `${shown} and ${left.length - 5} more` : shown}`;
  };
}
