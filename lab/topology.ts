/**
 * The names and addresses of a lab, as data: a router between the uplink net of the LBs, the net of the WSs and the
 * client, and a management net beside them. Pure; imports the model for the document only.
 *
 *     client 10.10.0.2 ... --- router --- 10.20.0.0/24 uplink --- LBs .11, .12 ... with LIPs .101-.104, .111-.114 ...
 *                                 |                                |
 *                          10.30.0.0/24 WSs .11, .12 ...    10.99.0.0/24 manager .1
 *
 * Replies of WSs to LIPs go by the router, which asks for a LIP on the uplink net as for any neighbour.
 */
import type { Cluster, Lb, Ospf, Vip } from '../src/domain/edge/model.ts';

/** At most: LIPs of the last one end at 10.20.0.174, and a bridge has room for its taps. */
export const MAX_LBS = 8;
export const MAX_WSS = 64;

export interface TopologyOptions {
  /** LBs: 1 to MAX_LBS; default 2. */
  readonly lbs?: number;
  /** WSs: 1 to MAX_WSS; default 3. */
  readonly wss?: number;
  /** OSPF timers of the router and of the document, in seconds; default 1 and 4. */
  readonly hello?: number;
  readonly dead?: number;
  /** MD5 key of OSPF, at most 16 characters; default: no authentication. */
  readonly ospfKey?: string;
  /** How the document announces VIPs; default: as Weir does if nothing is said. */
  readonly announce?: 'network' | 'redistribute';
  /** BFD beside OSPF: on the router, and its daemon on the LBs. Default: none. */
  readonly bfd?: boolean;
  /** Whether the LBs answer SYNs themselves. Default: they do not. */
  readonly synproxy?: boolean;
  /** LBs of a second cluster, `lab2`, beside those of `lab`; together at most MAX_LBS. Default 0: there is none. */
  readonly second?: number;
}

export type LabCluster = 'lab' | 'lab2';

export interface LbPlan {
  readonly name: string;
  readonly cluster: LabCluster;
  /** On eth0: uplink, OSPF, the side of the WSs. */
  readonly address: string;
  /** On eth1: where ssh goes. */
  readonly management: string;
  readonly lips: readonly string[];
  /** Taps in the fabric, by the guest's interface. */
  readonly taps: { readonly eth0: string; readonly eth1: string };
  readonly macs: { readonly eth0: string; readonly eth1: string };
}

export interface WsPlan {
  readonly name: string;
  readonly address: string;
  /** Its network, and its interface in the fabric. */
  readonly network: string;
}

export interface VipPlan {
  readonly address: string;
  readonly cluster: LabCluster;
  readonly ports: readonly number[];
  /** Seconds a client keeps its WS; 0: it does not. */
  readonly persistence: number;
}

export interface Topology {
  readonly lbs: readonly LbPlan[];
  readonly wss: readonly WsPlan[];
  /** All networks of the lab, `fabric` first: it holds the bridges. */
  readonly networks: readonly string[];
  readonly vips: readonly VipPlan[];
  /** `lab` first. */
  readonly clusters: readonly LabCluster[];
  /** As the document has it. */
  readonly ospf: Ospf & Required<Pick<Ospf, 'hello' | 'dead'>>;
  readonly bfd: boolean;
  readonly synproxy: boolean;
}

export const vipNet = '10.50.0.0/24';
export const uplinkNet = '10.20.0.0/24';
export const wsNet = '10.30.0.0/24';
/** The router's addresses: everyone's gateway on that side. */
export const routerAddress = { client: '10.10.0.1', uplink: '10.20.0.1', ws: '10.30.0.1' } as const;
export const managerAddress = '10.99.0.1';
/** The client can send from each of them. */
export const clientAddresses: readonly string[] = Array.from({ length: 64 }, (_, i) => `10.10.0.${2 + i}`);
/** Id of the MD5 key: the document's default. */
export const ospfKeyId = 8;

export function planTopology(options: TopologyOptions = {}): Topology {
  const {
    lbs = 2,
    wss = 3,
    hello = 1,
    dead = 4,
    ospfKey,
    bfd = false,
    announce,
    synproxy = false,
    second = 0,
  } = options;
  const webServers = countTo(wss).map(planWs);
  return {
    lbs: countTo(lbs + second).map((number) => planLb(number, number > lbs ? 'lab2' : 'lab')),
    wss: webServers,
    networks: ['fabric', 'router', 'client', 'manager', ...webServers.map(({ network }) => network)],
    vips: [
      { address: '10.50.0.1', cluster: 'lab', ports: [80, 443], persistence: 0 },
      { address: '10.50.0.2', cluster: 'lab', ports: [80], persistence: 50 },
      ...(second > 0 ? [{ address: '10.50.0.9', cluster: 'lab2', ports: [80], persistence: 0 } as const] : []),
    ],
    clusters: second > 0 ? ['lab', 'lab2'] : ['lab'],
    ospf: {
      hello,
      dead,
      ...(ospfKey === undefined ? {} : { key: ospfKey }),
      ...(announce === undefined ? {} : { announce }),
      ...(bfd ? { bfd } : {}),
    },
    bfd,
    synproxy,
  };
}

function countTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1);
}

function planLb(number: number, cluster: LabCluster): LbPlan {
  return {
    name: `lb${number}.lab`,
    cluster,
    address: `10.20.0.${10 + number}`,
    management: `10.99.0.${10 + number}`,
    lips: countTo(4).map((lip) => `10.20.0.${90 + 10 * number + lip}`),
    taps: { eth0: `lb${number}-uplink`, eth1: `lb${number}-manage` },
    macs: { eth0: `52:54:00:20:00:${10 + number}`, eth1: `52:54:00:99:00:${10 + number}` },
  };
}

function planWs(number: number): WsPlan {
  return { name: `ws${number}.lab`, address: `10.30.0.${10 + number}`, network: `ws${number}` };
}

/** The document of a cluster of the lab: its VIPs with all WSs, its LBs, quick checks and timers. */
export function clusterOf(topology: Topology, name: LabCluster = 'lab'): Cluster {
  const of = <T extends { readonly cluster: LabCluster }>(parts: readonly T[]) =>
    parts.filter(({ cluster }) => cluster === name);
  return {
    name,
    type: 'internal',
    device: 'eth0',
    vipnets: [vipNet],
    dataplane: 'ipvs',
    routing: 'frr',
    ospf: topology.ospf,
    // A machine that is busy with much else may take more than a second for an answer.
    check: { interval: 1, timeout: 3, retry: 1 },
    lbinfos: of(topology.lbs).map(documentLb),
    vip2ws: of(topology.vips).map((vip) => documentVip(vip, topology)),
  };
}

function documentLb({ name, address, lips }: LbPlan): Lb {
  return {
    hostname: name,
    routerid: address,
    internalip: address,
    internalnetmask: '255.255.255.0',
    internalgateway: routerAddress.uplink,
    ospfnet: uplinkNet,
    lips: [...lips],
  };
}

function documentVip({ address: vip, ports, persistence }: VipPlan, { wss, synproxy }: Topology): Vip {
  return {
    vip,
    wstype: 'web',
    wss: wss.map(({ name }) => name),
    ports: ports.map((port) => ({
      sport: port,
      dport: port,
      synproxy: synproxy ? 1 : 0,
      persistence_timeout: persistence,
    })),
    wsattrs: Object.fromEntries(wss.map(({ name, address }) => [name, { address }])),
  };
}
