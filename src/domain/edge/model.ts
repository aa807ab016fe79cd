/**
 * The cluster document: the seed's, with its field names, and Weir's optional additions.
 * A schema and its type share one name. Values are kept as they were given; defaults that are not
 * part of the document stand in `defaults` and are applied where they are read.
 */
import Type from 'typebox';
import type { Static, TLiteral } from 'typebox';
import { strict, text } from '../schema.ts';

const o = Type.Optional;

/** Values of optional fields that a document leaves out. Times in seconds. */
export const defaults = {
  dataplane: 'fullnat',
  announce: 'any',
  forwarding: 'fullnat',
  lipcount: 8,
  weight: 100,
  quorum: 1,
  scheduler: 'wrr',
  protocol: 'TCP',
  persistence_timeout: 50,
  synproxy: 1,
  synproxySettings: { timestamps: false, wscale: 7, mss: 1460 },
  ospf: { area: '0.0.0.0', cost: 15, hello: 3, dead: 12, keyid: 8, bfd: false, stub: false, maxpaths: 8 },
  check: { path: '/http_check/index.html', status: 200, interval: 6, timeout: 3, retry: 3 },
} as const;

export const ClusterType = Type.Union([Type.Literal('extra'), Type.Literal('internal')], {
  description: 'extra: external network, OSPF on extraip. internal: OSPF on internalip.',
});
export type ClusterType = Static<typeof ClusterType>;

export const Announce = Type.Union(
  [Type.Literal('any'), Type.Literal('all'), Type.Literal('degrade'), Type.Literal('none')],
  {
    description:
      'When a VIP is announced: any (default) or all of its ports have healthy WSs; degrade: some healthy, announced at high cost; none: never, though it is served.',
  },
);
export type Announce = Static<typeof Announce>;

export const Forwarding = Type.Union([Type.Literal('fullnat'), Type.Literal('dr'), Type.Literal('tun')], {
  description:
    'How packets reach the WSs: fullnat (default): from a LIP, answers come back through the LB; dr, tun: with the client’s address and the VIP, in a frame or a tunnel to the WS, which has the VIP itself and answers the client directly.',
});
export type Forwarding = Static<typeof Forwarding>;

/** Health check. `digest`: MD5 of the body in lowercase hex, instead of `status`. Times in seconds. */
const checkFields = {
  path: o(text('check-path', 'path that is requested; default /http_check/index.html')),
  host: o(text('hostname', 'Host header; default none')),
  status: o(
    Type.Integer({ minimum: 100, maximum: 599, description: 'HTTP status that counts as healthy; default 200' }),
  ),
  digest: o(text('md5', 'MD5 of the body, lowercase hex; checked instead of the status')),
  interval: o(Type.Integer({ minimum: 1, maximum: 3600, description: 'seconds between checks; default 6' })),
  timeout: o(Type.Integer({ minimum: 1, maximum: 300, description: 'seconds until a check has failed; default 3' })),
  retry: o(
    Type.Integer({ minimum: 1, maximum: 100, description: 'tries, 3 s apart, until a WS is taken out; default 3' }),
  ),
};

export const Check = Type.Object(checkFields, { ...strict, description: 'default health check' });
export type Check = Static<typeof Check>;

export const CheckType = Type.Union([
  Type.Literal('http'),
  Type.Literal('https'),
  Type.Literal('tcp'),
  Type.Literal('udp'),
]);
export type CheckType = Static<typeof CheckType>;

export const PortCheck = Type.Object(
  { type: o(CheckType), ...checkFields },
  {
    ...strict,
    description: 'health check of a port; type of a UDP port udp, else by dport: 80 http, 443 https, else tcp',
  },
);
export type PortCheck = Static<typeof PortCheck>;

export const Protocol = Type.Union([Type.Literal('TCP'), Type.Literal('UDP')]);
export type Protocol = Static<typeof Protocol>;

/** Of any data plane; `schedulersOf` are those that one has. */
export const schedulers = [
  ...(['rr', 'wrr', 'lc', 'wlc', 'lblc', 'lblcr', 'sh', 'dh', 'sed', 'nq'] as const),
  ...(['mh', 'fo', 'ovf', 'twos', 'conhash'] as const),
] as const;
type Literals<Texts extends readonly string[]> = { -readonly [K in keyof Texts]: TLiteral<Texts[K]> };
export const Scheduler = Type.Union(schedulers.map((s) => Type.Literal(s)) as unknown as Literals<typeof schedulers>, {
  description: 'scheduler of the data plane; default wrr',
});
export type Scheduler = Static<typeof Scheduler>;

export const ProxyProtocol = Type.Union(
  [Type.Literal('v1'), Type.Literal('v2'), Type.Literal('v1-insecure'), Type.Literal('v2-insecure')],
  {
    description:
      'PROXY protocol towards the WSs, which must expect it; -insecure passes on a header that the client sent itself; with dpvs; default none',
  },
);
export type ProxyProtocol = Static<typeof ProxyProtocol>;

const portNumber = (description: string) => Type.Integer({ minimum: 1, maximum: 65535, description });

export const Port = Type.Object(
  {
    sport: portNumber('port on the VIP'),
    dport: portNumber('port on the WSs'),
    synproxy: Type.Union([Type.Literal(0), Type.Literal(1)], {
      description: '1: the LB answers SYNs itself; default 1',
    }),
    persistence_timeout: Type.Integer({
      minimum: 0,
      maximum: 2678400,
      description: 'seconds a client keeps its WS after its last connection closed; 0 off; default 50',
    }),
    protocol: o(Protocol),
    scheduler: o(Scheduler),
    check: o(PortCheck),
    establish_timeout: o(
      Type.Integer({
        minimum: 1,
        maximum: 3600,
        description: 'seconds until an idle connection is forgotten; with dpvs; default that of dpvs',
      }),
    ),
    proxy_protocol: o(ProxyProtocol),
  },
  strict,
);
export type Port = Static<typeof Port>;

export const WsState = Type.Union([Type.Literal('up'), Type.Literal('drain'), Type.Literal('down')], {
  description: 'up (default); drain: weight 0, connections go on; down: not configured on the LBs',
});
export type WsState = Static<typeof WsState>;

export const WsAttrs = Type.Object(
  {
    weight: o(Type.Integer({ minimum: 0, maximum: 65535, description: 'default 100' })),
    state: o(WsState),
    address: o(text('address', 'address of the WS; default: what its name resolves to')),
  },
  strict,
);
export type WsAttrs = Static<typeof WsAttrs>;

/** Most entries of a VIP's `deny` or `allow`. */
const MAX_ADDRESS_LINES = 1000;

/** While a VIP moves, both clusters have it, one of them with `to`, the other with `from`. Set and removed by moving it, and by nothing else. */
export const Moving = Type.Object(
  {
    to: o(text('name', 'cluster that it moves to')),
    from: o(text('name', 'cluster that it comes from, which holds it until the move has ended')),
    announce: o(Announce),
    back: o(Type.Literal(true, { description: 'it goes back: the cluster that it was going to announces it no more' })),
  },
  {
    ...strict,
    description:
      'set while the VIP moves between clusters; weir vip move sets and removes it; announce: what it goes back to',
  },
);
export type Moving = Static<typeof Moving>;

export const Vip = Type.Object(
  {
    vip: text('address', 'the address that domains resolve to'),
    wstype: text('name', 'business of the WSs'),
    wss: Type.Array(text('hostname', 'WS'), { maxItems: 2000 }),
    ports: Type.Array(Port, { minItems: 1, maxItems: 256 }),
    wsattrs: o(
      Type.Record(Type.String(), WsAttrs, {
        description: 'attributes of WSs, by hostname',
        propertyNames: text('hostname', 'WS'),
      }),
    ),
    domains: o(Type.Array(text('hostname', 'domain that should resolve to the VIP'), { maxItems: 1000 })),
    owner: o(text('text', 'who answers for it')),
    quorum: o(Type.Integer({ minimum: 1, maximum: 131070000, description: 'total weight needed; default 1' })),
    announce: o(Announce),
    forwarding: o(Forwarding),
    deny: o(
      Type.Array(text('range', 'clients that are refused: addresses and ranges'), {
        minItems: 1,
        maxItems: MAX_ADDRESS_LINES,
      }),
    ),
    allow: o(
      Type.Array(text('range', 'the only clients that are served: addresses and ranges'), {
        minItems: 1,
        maxItems: MAX_ADDRESS_LINES,
      }),
    ),
    moving: o(Moving),
  },
  strict,
);
export type Vip = Static<typeof Vip>;

export const Ssh = Type.Object(
  {
    user: o(text('user', 'login; default by ssh_config')),
    port: o(portNumber('port of sshd; default by ssh_config')),
    address: o(text('address', 'address to connect to; default: the hostname as ssh_config resolves it')),
    sudo: o(Type.Boolean({ description: 'run through sudo -n; default false' })),
  },
  strict,
);
export type Ssh = Static<typeof Ssh>;

export const Uplink = Type.Object(
  {
    device: text('interface', 'interface'),
    ospfnet: text('net', 'net of the link, spoken OSPF on'),
    cost: o(Type.Integer({ minimum: 1, maximum: 65535, description: 'default: the cluster’s' })),
  },
  { ...strict, description: 'a further uplink besides device and ospfnet' },
);
export type Uplink = Static<typeof Uplink>;

/** Most LIPs of one LB, planned or given. */
export const MAX_LIPS = 4096;

export const LbState = Type.Union([Type.Literal('up'), Type.Literal('drain')]);

export const Lb = Type.Object(
  {
    hostname: text('hostname', 'the LB; SSH goes to it'),
    routerid: text('router-id', 'OSPF router-id'),
    internalip: text('address', 'address on the side of the WSs'),
    internalnetmask: text('mask', 'its mask'),
    internalgateway: text('address', 'its gateway'),
    extraip: o(text('address', 'external address; needed for type extra')),
    extranetmask: o(text('mask', 'its mask')),
    extragateway: o(text('address', 'its gateway')),
    ospfnet: text('net', 'net that OSPF is spoken on; holds the OSPF address'),
    device: o(text('interface', 'interface of the OSPF side; default the cluster’s device')),
    innerdevice: o(text('interface', 'interface of the WSs and LIPs; default device')),
    uplinks: o(Type.Array(Uplink, { maxItems: 16 })),
    lips: o(Type.Array(text('range', 'LIPs: addresses and ranges'), { minItems: 1, maxItems: MAX_LIPS })),
    lipcount: o(Type.Integer({ minimum: 4, maximum: 1024, description: 'LIPs to plan; default 8' })),
    state: o(LbState),
    ssh: o(Ssh),
  },
  strict,
);
export type Lb = Static<typeof Lb>;

export const Ospf = Type.Object(
  {
    area: o(text('area', 'default 0.0.0.0')),
    cost: o(Type.Integer({ minimum: 1, maximum: 65535, description: 'cost of the uplinks; default 15' })),
    hello: o(Type.Integer({ minimum: 1, maximum: 65535, description: 'seconds; default 3' })),
    dead: o(Type.Integer({ minimum: 1, maximum: 65535, description: 'seconds; default 12' })),
    keyid: o(Type.Integer({ minimum: 1, maximum: 255, description: 'MD5 key id; default 8' })),
    key: o(text('ospf-key', 'MD5 key, at most 16 characters; stored as a secret and shown as secret:NAME')),
    oldkeyid: o(Type.Integer({ minimum: 1, maximum: 255, description: 'id of oldkey' })),
    oldkey: o(
      text(
        'ospf-key',
        'the key of before, kept beside key while keys are changed; LBs send with key; a secret as key is',
      ),
    ),
    announce: o(
      Type.Union([Type.Literal('network'), Type.Literal('redistribute')], {
        description: 'how VIPs are announced; default network with quagga, redistribute with frr',
      }),
    ),
    bfd: o(
      Type.Boolean({
        description:
          'BFD on the uplinks, 3 x 300 ms: an LB that vanishes is noticed within about a second, not after dead; needs frr, bfdd on the LBs, and BFD on the routers; default false',
      }),
    ),
    stub: o(
      Type.Boolean({
        description: 'the area is a stub: no external routes, so announce must be network; default false',
      }),
    ),
    maxpaths: o(
      Type.Integer({
        minimum: 1,
        maximum: 256,
        description:
          'paths of equal cost that the routers use for one VIP, and with frr the LBs for the routes back; default 8',
      }),
    ),
  },
  strict,
);
export type Ospf = Static<typeof Ospf>;

/** What a SYN proxy of the kernel tells clients on behalf of the WSs. */
export const SynproxySettings = Type.Object(
  {
    timestamps: o(
      Type.Boolean({
        description:
          'answer with TCP timestamps, and so with SACK and window scaling; WSs with kernels from 6.15 on then stall about 1 % of connections; default false',
      }),
    ),
    wscale: o(
      Type.Integer({ minimum: 0, maximum: 14, description: 'window scale of the WSs, which it must equal; default 7' }),
    ),
    mss: o(Type.Integer({ minimum: 536, maximum: 8960, description: 'MSS of the WSs in bytes; default 1460' })),
  },
  { ...strict, description: 'settings of ports with synproxy 1, with dataplane ipvs' },
);
export type SynproxySettings = Static<typeof SynproxySettings>;

/** All fields of a cluster but its parts (`lbinfos`, `vip2ws`) and its name. */
export const headFields = {
  type: ClusterType,
  device: text('interface', 'interface of the OSPF side'),
  vipnets: Type.Array(text('net', 'net of VIPs'), { minItems: 1, maxItems: 256 }),
  dataplane: o(Type.Union([Type.Literal('fullnat'), Type.Literal('dpvs'), Type.Literal('ipvs')])),
  routing: o(Type.Union([Type.Literal('quagga'), Type.Literal('frr')])),
  linkspeed: o(Type.Union([Type.Literal('1g'), Type.Literal('10g')])),
  idc: o(text('name', 'machine room; default: what follows the first dot of the LBs’ hostnames')),
  ospf: o(Ospf),
  check: o(Check),
  announce: o(Announce),
  forwarding: o(Forwarding),
  synproxy: o(SynproxySettings),
  ssh: o(Ssh),
};

export const Cluster = Type.Object(
  {
    name: text('name', 'unique'),
    ...headFields,
    lbinfos: Type.Array(Lb, { maxItems: 1000 }),
    vip2ws: Type.Array(Vip, { maxItems: 20000 }),
  },
  { ...strict, description: 'LBs, VIPs and WSs that belong together' },
);
export type Cluster = Static<typeof Cluster>;

/** A WS as the API takes it: `"HOST"`, or its name with attributes. */
export const Ws = Type.Object({ ws: text('hostname', 'the WS'), ...WsAttrs.properties }, strict);
export type Ws = Static<typeof Ws>;

export type Dataplane = 'fullnat' | 'dpvs' | 'ipvs';

export function dataplaneOf(cluster: Cluster): Dataplane {
  return cluster.dataplane ?? defaults.dataplane;
}

export type Routing = 'quagga' | 'frr';

export function routingOf(cluster: Cluster): Routing {
  return cluster.routing ?? (dataplaneOf(cluster) === 'fullnat' ? 'quagga' : 'frr');
}

export function ospfAnnounceOf(cluster: Cluster): 'network' | 'redistribute' {
  return cluster.ospf?.announce ?? (routingOf(cluster) === 'quagga' ? 'network' : 'redistribute');
}

/** The address that OSPF uses: `extraip` in an `extra` cluster, else `internalip`. */
export function ospfAddressOf(type: ClusterType, lb: Lb): string | undefined {
  return type === 'extra' ? lb.extraip : lb.internalip;
}

export function deviceOf(cluster: Cluster, lb: Lb): string {
  return lb.device ?? cluster.device;
}

export function innerDeviceOf(cluster: Cluster, lb: Lb): string {
  return lb.innerdevice ?? deviceOf(cluster, lb);
}

export function protocolOf(port: Port): Protocol {
  return port.protocol ?? defaults.protocol;
}

export function schedulerOf(port: Port): Scheduler {
  return port.scheduler ?? defaults.scheduler;
}

export function forwardingOf(cluster: { forwarding?: Forwarding | undefined }, vip: Vip): Forwarding {
  return vip.forwarding ?? cluster.forwarding ?? defaults.forwarding;
}

const dataplaneSchedulers: Readonly<Record<Dataplane, readonly Scheduler[]>> = {
  fullnat: ['rr', 'wrr', 'lc', 'wlc', 'lblc', 'lblcr', 'sh', 'dh', 'sed', 'nq'],
  dpvs: ['rr', 'wrr', 'wlc', 'conhash', 'fo', 'mh'],
  ipvs: ['rr', 'wrr', 'lc', 'wlc', 'lblc', 'lblcr', 'sh', 'dh', 'sed', 'nq', 'mh', 'fo', 'ovf', 'twos'],
};

/** Schedulers that a data plane has: fullnat those of Linux 2.6.32. */
export function schedulersOf(dataplane: Dataplane): readonly Scheduler[] {
  return dataplaneSchedulers[dataplane];
}

/** Whether the LB answers the SYNs of a port itself: only TCP, and only where answers come back through it. */
export function synproxyOf(cluster: { forwarding?: Forwarding | undefined }, vip: Vip, port: Port): boolean {
  return port.synproxy === 1 && protocolOf(port) === 'TCP' && forwardingOf(cluster, vip) === 'fullnat';
}

/**
 * The kernel's interface of a device: with dpvs the device is a port of DPDK, and the kernel has NAME.kni, by which
 * OSPF is spoken (dpvs.conf, kni_name of a port).
 */
export function kernelDeviceOf(cluster: Pick<Cluster, 'dataplane'>, device: string): string {
  return (cluster.dataplane ?? defaults.dataplane) === 'dpvs' ? `${device}.kni` : device;
}

export function stateOf(vip: Vip, ws: string): WsState {
  return vip.wsattrs?.[ws]?.state ?? 'up';
}

/** The weight that the LBs get: 0 while a WS drains. */
export function weightOf(vip: Vip, ws: string): number {
  const attrs = vip.wsattrs?.[ws];
  return attrs?.state === 'drain' ? 0 : (attrs?.weight ?? defaults.weight);
}

export function checkTypeOf(port: Port): CheckType {
  if (port.check?.type !== undefined) return port.check.type;
  if (protocolOf(port) === 'UDP') return 'udp';
  return port.dport === 80 ? 'http' : port.dport === 443 ? 'https' : 'tcp';
}

/** `SPORT`, or `SPORT:PROTOCOL` where it is not TCP: what names a port within its VIP. */
export function portKey(port: Pick<Port, 'sport' | 'protocol'>): string {
  const protocol = port.protocol ?? defaults.protocol;
  return protocol === 'TCP' ? String(port.sport) : `${port.sport}:${protocol}`;
}

/** The machine room of a name: what follows its first dot. */
export function roomOf(hostname: string): string | undefined {
  const dot = hostname.indexOf('.');
  return dot < 0 ? undefined : hostname.slice(dot + 1);
}

export function idcOf(cluster: Cluster): string | undefined {
  if (cluster.idc !== undefined) return cluster.idc;
  for (const lb of cluster.lbinfos) {
    const room = roomOf(lb.hostname);
    if (room !== undefined) return room;
  }
  return undefined;
}
