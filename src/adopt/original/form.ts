/**
 * The original's form of VIPs and LBs: its documented fields and no others. Made once per VIP and
 * LB, as long as they keep their identity: the form of a whole cluster is needed at every commit.
 */
import { protocolOf } from '../../domain/edge/model.ts';
import type { Cluster, Lb, Port, Vip } from '../../domain/edge/model.ts';

export const portFields = ['dport', 'synproxy', 'sport', 'persistence_timeout'] as const;
export type OriginalPort = Pick<Port, (typeof portFields)[number]>;

export const vipFields = ['wstype', 'vip', 'wss', 'ports'] as const;
export type OriginalVip = Pick<Vip, 'wstype' | 'vip' | 'wss'> & { ports: OriginalPort[] };

export const lbFields = [
  'internalgateway',
  'routerid',
  'internalip',
  'internalnetmask',
  'extragateway',
  'ospfnet',
  'hostname',
  'extraip',
  'extranetmask',
] as const;
export type OriginalLb = Pick<Lb, (typeof lbFields)[number]>;

const vips = new WeakMap<Vip, OriginalVip>();

/** The original knows TCP only: a VIP of other protocols has no ports here, and does not exist for it. */
export function originalVip(vip: Vip): OriginalVip {
  let form = vips.get(vip);
  if (!form) {
    const ports = vip.ports.filter((port) => protocolOf(port) === 'TCP').map(originalPort);
    form = { wstype: vip.wstype, vip: vip.vip, wss: vip.wss, ports };
    vips.set(vip, form);
  }
  return form;
}

export function originalPort({ dport, synproxy, sport, persistence_timeout }: Port): OriginalPort {
  return { dport, synproxy, sport, persistence_timeout };
}

const lbs = new WeakMap<Lb, OriginalLb>();

export function originalLb(lb: Lb): OriginalLb {
  let form = lbs.get(lb);
  if (!form) {
    form = Object.fromEntries(lbFields.flatMap((f) => (lb[f] === undefined ? [] : [[f, lb[f]]]))) as OriginalLb;
    lbs.set(lb, form);
  }
  return form;
}

/** VIPs as far as they exist for the original. */
export function originalVips(cluster: Cluster): OriginalVip[] {
  return cluster.vip2ws.map(originalVip).filter((vip) => vip.ports.length > 0);
}
