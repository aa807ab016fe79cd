/**
 * Valid documents for tests: one that sets every field of the model, and arbitrary ones.
 * Imports the model, and fast-check; only tests import it.
 */
import fc from 'fast-check';
import { namesToResolve, nextAddresses, noAddresses } from '../edge/addresses.ts';
import type { Addresses } from '../edge/addresses.ts';
import type { Cluster, Dataplane, Lb, Port, PortCheck, Routing, Uplink, Vip, WsAttrs } from '../edge/model.ts';
import { forwardingOf, ospfAnnounceOf, portKey, routingOf, schedulersOf } from '../edge/model.ts';

/** A valid document in which every field of the model stands at least once, but for those that other data planes have. */
export function fullCluster(): Cluster {
  return {
    name: 'full-cluster',
    type: 'extra',
    device: 'em1',
    vipnets: ['60.28.208.0/25', '123.150.178.128/25'],
    dataplane: 'fullnat',
    routing: 'quagga',
    linkspeed: '10g',
    idc: 'room1',
    ospf: {
      area: '0.0.0.7',
      cost: 20,
      hello: 5,
      dead: 20,
      keyid: 9,
      key: 'S3cretKey',
      announce: 'network',
      bfd: false,
      oldkeyid: 8,
      oldkey: 'OldS3cret',
      stub: true,
      maxpaths: 16,
    },
    forwarding: 'fullnat',
    check: { path: '/health', host: 'health.example.com', status: 204, interval: 5, timeout: 4, retry: 2 },
    announce: 'all',
    ssh: { user: 'ops', port: 2222, address: '10.9.9.9', sudo: true },
    lbinfos: [
      {
        hostname: 'lb1.room1',
        routerid: '60.29.246.186',
        internalip: '10.0.19.226',
        internalnetmask: '255.255.255.224',
        internalgateway: '10.0.19.225',
        extraip: '60.29.246.186',
        extranetmask: '255.255.255.252',
        extragateway: '60.29.246.185',
        ospfnet: '60.29.246.184/30',
        device: 'em3',
        innerdevice: 'em2',
        uplinks: [{ device: 'em4', ospfnet: '60.29.247.0/30', cost: 30 }],
        lips: ['10.0.19.240', '10.0.19.242-245', '10.0.19.250-10.0.19.252'],
        state: 'drain',
        ssh: { user: 'root', port: 22, address: '10.9.9.8', sudo: false },
      },
      {
        hostname: 'lb2.room1',
        routerid: '60.29.246.190',
        internalip: '10.0.20.2',
        internalnetmask: '255.255.255.0',
        internalgateway: '10.0.20.1',
        extraip: '60.29.246.190',
        extranetmask: '255.255.255.252',
        extragateway: '60.29.246.189',
        ospfnet: '60.29.246.188/30',
        lipcount: 6,
      },
    ],
    vip2ws: [
      {
        vip: '60.28.208.1',
        wstype: 'apps',
        wss: ['ws1.room1', 'ws2.room1', 'ws3.room1'],
        ports: [
          { sport: 80, dport: 8080, synproxy: 1, persistence_timeout: 50, protocol: 'TCP', scheduler: 'wlc' },
          {
            sport: 443,
            dport: 443,
            synproxy: 0,
            persistence_timeout: 0,
            check: {
              type: 'https',
              path: '/ok',
              host: 'www.example.com',
              digest: '0123456789abcdef0123456789abcdef',
              interval: 7,
              timeout: 2,
              retry: 5,
            },
          },
          { sport: 8081, dport: 80, synproxy: 1, persistence_timeout: 50, check: { status: 200 } },
        ],
        wsattrs: {
          'ws1.room1': { weight: 10, state: 'up', address: '10.1.0.1' },
          'ws2.room1': { weight: 20, state: 'drain', address: '10.1.0.2' },
          'ws3.room1': { address: '10.1.0.3' },
        },
        domains: ['www.example.com', 'example.com'],
        owner: '运维 team A',
        quorum: 10,
        announce: 'degrade',
        forwarding: 'fullnat',
      },
    ],
  };
}

/** The same on a stock kernel, with a UDP port, a VIP whose WSs answer themselves, and VIPs that are redistributed. */
export function fullIpvsCluster(): Cluster {
  const full = fullCluster();
  const dns: Port = { sport: 53, dport: 53, synproxy: 0, persistence_timeout: 0, protocol: 'UDP', check: { retry: 2 } };
  return {
    ...full,
    dataplane: 'ipvs',
    routing: 'frr',
    ospf: { ...full.ospf, announce: 'redistribute', bfd: true, stub: false },
    synproxy: { timestamps: true, wscale: 9, mss: 1400 },
    vip2ws: [
      ...full.vip2ws.map((vip): Vip => ({ ...vip, announce: 'any', ports: [...vip.ports, dns] })),
      {
        vip: '60.28.208.2',
        wstype: 'video',
        wss: ['ws4.room1'],
        ports: [{ sport: 443, dport: 443, synproxy: 0, persistence_timeout: 0, scheduler: 'mh' }],
        wsattrs: { 'ws4.room1': { address: '10.1.0.4' } },
        forwarding: 'dr',
        announce: 'none',
      },
    ],
  };
}

/** The same with DPVS. */
export function fullDpvsCluster(): Cluster {
  const full = fullCluster();
  const quic: Port = { sport: 443, dport: 443, synproxy: 0, persistence_timeout: 0, protocol: 'UDP' };
  return {
    ...full,
    device: 'dpdk1',
    dataplane: 'dpvs',
    routing: 'frr',
    lbinfos: full.lbinfos.map((lb, i) =>
      i > 0
        ? lb
        : { ...lb, device: 'dpdk1', innerdevice: 'dpdk0', uplinks: [{ device: 'dpdk2', ospfnet: '60.29.247.0/30' }] },
    ),
    vip2ws: full.vip2ws.map((vip) => ({
      ...vip,
      ports: [
        ...vip.ports.map((port): Port => ({ ...port, establish_timeout: 300, proxy_protocol: 'v2' })),
        { ...quic, scheduler: 'conhash' },
      ],
      deny: ['198.51.100.7', '203.0.113.250-203.0.114.3'],
      allow: ['198.51.100.0-198.51.100.255'],
    })),
  };
}

/** Addresses of every name that a document leaves to be resolved: 10.200.0.0/16 by order. */
export function resolved(cluster: Cluster): Addresses {
  const found = namesToResolve(cluster).map((name, i) => {
    const address = `10.200.${i >> 8}.${i & 255}`;
    return [name, { address, source: 'hosts' as const }] as const;
  });
  return nextAddresses(noAddresses, Object.fromEntries(found));
}

type Loose<T> = { [K in keyof T]: T[K] | undefined };

/** Objects without the keys that are undefined, as documents have them. */
function compact<T extends object>(value: Loose<T>): T {
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as T;
}

function optional<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.option(arbitrary, { nil: undefined });
}

const path = fc.constantFrom('/', '/health', '/a/b?c=d&e=%20', '/http_check/index.html');
const host = fc.constantFrom('www.example.com', 'h');
const timing = {
  interval: optional(fc.integer({ min: 1, max: 60 })),
  timeout: optional(fc.integer({ min: 1, max: 30 })),
};

const httpCheck: fc.Arbitrary<PortCheck> = fc
  .record({
    type: fc.constantFrom('http' as const, 'https' as const),
    path: optional(path),
    host: optional(host),
    expected: fc.constantFrom({}, { status: 302 }, { digest: 'a'.repeat(32) }),
    ...timing,
    retry: optional(fc.integer({ min: 1, max: 9 })),
  })
  .map(({ expected, ...rest }) => compact<PortCheck>({ ...rest, ...expected }));

const tcpCheck: fc.Arbitrary<PortCheck> = fc
  .record({ type: fc.constant('tcp' as const), ...timing })
  .map(compact<PortCheck>);

/** Of mainline keepalived. */
const plainCheck: fc.Arbitrary<PortCheck> = fc
  .record({ ...timing, retry: optional(fc.integer({ min: 1, max: 100 })) })
  .map(compact<PortCheck>);

const clusterCheck = httpCheck.map(({ type: _type, ...check }) => check);

const portsOf = (dataplane: Dataplane): fc.Arbitrary<Port> =>
  fc
    .record({
      sport: fc.oneof(fc.constantFrom(80, 443), fc.integer({ min: 1, max: 65535 })),
      dport: fc.oneof(fc.constantFrom(80, 443), fc.integer({ min: 1, max: 65535 })),
      synproxy: fc.constantFrom(0 as const, 1 as const),
      persistence_timeout: fc.integer({ min: 0, max: 99999 }),
      protocol: optional(fc.constant('TCP' as const)),
      scheduler: optional(fc.constantFrom(...schedulersOf(dataplane))),
      check: optional(fc.oneof(httpCheck, tcpCheck)),
    })
    .map(compact<Port>);

const portArbitrary = portsOf('fullnat');

const wsArbitrary: fc.Arbitrary<WsAttrs> = fc
  .record({
    weight: optional(fc.integer({ min: 0, max: 300 })),
    state: optional(fc.constantFrom('up' as const, 'drain' as const, 'down' as const)),
  })
  .map(compact<WsAttrs>);

/** A port as keepalived 2 serves it: also UDP, longer persistence, retries of every check. */
function newerPortsOf(dataplane: 'ipvs' | 'dpvs'): fc.Arbitrary<Port> {
  const own = portsOf(dataplane);
  return fc.oneof(
    own,
    fc
      .record({
        port: own,
        persistence_timeout: fc.integer({ min: 0, max: 2678400 }),
        type: fc.constantFrom('tcp' as const, 'udp' as const),
        check: plainCheck,
      })
      .map(({ port, persistence_timeout, type, check }): Port => {
        const protocol = type === 'udp' ? 'UDP' : 'TCP';
        return { ...port, persistence_timeout, protocol, check: { ...check, type } };
      }),
    fc.record({ port: own, check: optional(fc.oneof(httpCheck, tcpCheck)) }).map(({ port, check }): Port => {
      const { check: _check, ...rest } = port;
      return { ...rest, protocol: 'UDP', ...(check ? { check } : {}) };
    }),
  );
}

const dpvsPortArbitrary: fc.Arbitrary<Port> = fc
  .record({
    port: newerPortsOf('dpvs'),
    establish_timeout: optional(fc.integer({ min: 1, max: 3600 })),
    proxy: optional(fc.constantFrom('v1' as const, 'v2' as const, 'v1-insecure' as const, 'v2-insecure' as const)),
  })
  .map(({ port, proxy, establish_timeout }) => {
    const fits = proxy !== undefined && !(port.protocol === 'UDP' && proxy.startsWith('v1'));
    return compact<Port>({ ...port, establish_timeout, proxy_protocol: fits ? proxy : undefined });
  });

const announceArbitrary = fc.constantFrom('any' as const, 'all' as const, 'degrade' as const, 'none' as const);
const forwardingArbitrary = fc.constantFrom('fullnat' as const, 'dr' as const, 'tun' as const);

/** A VIP by its number: its address, and WSs of its own, the first of which serves. */
export function vipArbitrary(number: number, port: fc.Arbitrary<Port> = portArbitrary): fc.Arbitrary<Vip> {
  return fc
    .record({
      ports: fc.uniqueArray(port, { selector: (p) => portKey(p), minLength: 1, maxLength: 4 }),
      wss: fc.array(fc.record({ attrs: optional(wsArbitrary), pinned: fc.boolean() }), { maxLength: 5 }),
      announce: optional(announceArbitrary),
      forwarding: optional(forwardingArbitrary),
      owner: optional(fc.constantFrom('team A', '运维')),
      quorum: optional(fc.integer({ min: 1, max: 50 })),
      wstype: fc.constantFrom('apps', 'search'),
    })
    .map(({ wss, ...rest }) => {
      const names = wss.map((_, i) => `ws${i}-${number}.room1`);
      const attrs = wss.flatMap(({ attrs: own, pinned }, i): [string, WsAttrs][] => {
        const serving = i === 0 ? { weight: 100, state: 'up' as const } : {};
        const address = pinned ? { address: `10.20.${number}.${i + 1}` } : {};
        const all = { ...own, ...serving, ...address };
        return Object.keys(all).length > 0 ? [[names[i] ?? '', all]] : [];
      });
      const wsattrs = attrs.length > 0 ? Object.fromEntries(attrs) : undefined;
      return compact<Vip>({ vip: `60.28.208.${number + 1}`, ...rest, wss: names, wsattrs });
    });
}

/** An LB by its number; all of them share the subnet 10.0.16.0/22. */
export function lbArbitrary(number: number): fc.Arbitrary<Lb> {
  const third = 100 + number;
  return fc
    .record({
      device: optional(fc.constantFrom('em3', 'bond0.100')),
      innerdevice: optional(fc.constantFrom('em2', 'em3')),
      lips: optional(
        fc.constantFrom<string[]>(
          [`10.77.${third}.10-17`],
          [`10.78.${2 * number}.1`, `10.78.${2 * number}.250-10.78.${2 * number + 1}.3`],
        ),
      ),
      lipcount: optional(fc.integer({ min: 4, max: 40 })),
      state: optional(fc.constantFrom('up' as const, 'drain' as const)),
      uplinks: optional(
        fc.constantFrom<Uplink[]>(
          [],
          [{ device: 'em9', ospfnet: `60.30.${third}.4/30`, cost: 99 }],
          [{ device: 'em9', ospfnet: `60.30.${third}.4/30` }],
        ),
      ),
      extra: fc.boolean(),
    })
    .map(({ extra: _extra, lips, lipcount, ...rest }) => {
      return compact<Lb>({
        hostname: `lb${number}.room1`,
        routerid: `60.29.${third}.2`,
        internalip: `10.0.16.${number + 2}`,
        internalnetmask: '255.255.252.0',
        internalgateway: '10.0.16.1',
        extraip: `60.29.${third}.2`,
        extranetmask: '255.255.255.252',
        extragateway: `60.29.${third}.1`,
        ospfnet: `60.29.${third}.0/30`,
        ...rest,
        lips,
        lipcount: lips ? undefined : lipcount,
      });
    });
}

function someOf<T>(most: number, one: (number: number) => fc.Arbitrary<T>): fc.Arbitrary<T[]> {
  const numbers = fc.uniqueArray(fc.nat({ max: most - 1 }), { maxLength: most });
  return numbers.chain((all) => fc.tuple(...all.map(one)));
}

function clustersOver(port: fc.Arbitrary<Port>): fc.Arbitrary<Cluster> {
  return fc
    .record({
      type: fc.constantFrom('extra' as const, 'internal' as const),
      device: fc.constantFrom('em1', 'eth0'),
      vipnets: fc.constantFrom<string[]>(['60.28.208.0/25'], ['125.39.93.48/28', '60.28.208.0/24', '60.29.0.1/32']),
      linkspeed: optional(fc.constantFrom('1g' as const, '10g' as const)),
      ospf: optional(
        fc
          .record({
            cost: optional(fc.integer({ min: 1, max: 1000 })),
            hello: optional(fc.integer({ min: 1, max: 10 })),
            keyid: optional(fc.integer({ min: 1, max: 255 })),
            key: optional(fc.constantFrom('S3cretKey', 'a+b/c=', '%^*~-@._')),
            old: optional(fc.constantFrom('OldS3cret', 'z')),
            stub: optional(fc.boolean()),
            maxpaths: optional(fc.constantFrom(1, 8, 64)),
            area: optional(fc.constantFrom('0.0.0.0', '0.0.0.7')),
            announce: optional(fc.constantFrom('network' as const, 'redistribute' as const)),
            bfd: optional(fc.boolean()),
          })
          .map(({ old, ...ospf }) => {
            const pair = old !== undefined && ospf.key !== undefined;
            const oldkeyid = pair ? (ospf.keyid === 200 ? 201 : 200) : undefined;
            return compact<NonNullable<Cluster['ospf']>>({ ...ospf, oldkeyid, oldkey: pair ? old : undefined });
          }),
      ),
      check: optional(clusterCheck),
      announce: optional(announceArbitrary),
      forwarding: optional(fc.oneof({ weight: 4, arbitrary: fc.constant('fullnat' as const) }, forwardingArbitrary)),
      lbinfos: someOf(5, lbArbitrary),
      vip2ws: someOf(5, (number) => vipArbitrary(number, port)),
    })
    .map(({ type, lbinfos, ...rest }) => {
      const sided = lbinfos.map((lb) => (type === 'extra' ? lb : { ...lb, ospfnet: '10.0.16.0/22' }));
      return compact<Cluster>({ name: 'c1', type, ...rest, lbinfos: sided });
    });
}

/** Valid documents, over everything that fullnat with quagga can express. */
export const clusterArbitrary: fc.Arbitrary<Cluster> = clustersOver(portArbitrary).map(withoutIdle);

const routingArbitrary = fc.constantFrom<(Routing | undefined)[]>(undefined, 'frr', 'quagga');

/** Valid documents, over everything that ipvs can express, mostly with frr. */
export const ipvsClusterArbitrary: fc.Arbitrary<Cluster> = fc
  .record({
    cluster: clustersOver(newerPortsOf('ipvs')),
    routing: routingArbitrary,
    synproxy: optional(
      fc
        .record({
          timestamps: optional(fc.boolean()),
          wscale: optional(fc.integer({ min: 0, max: 14 })),
          mss: optional(fc.constantFrom(536, 1460, 8960)),
        })
        .map(compact<NonNullable<Cluster['synproxy']>>),
    ),
  })
  .map(({ cluster, ...rest }) => withoutIdle(compact<Cluster>({ ...cluster, dataplane: 'ipvs', ...rest })));

/** Valid documents, over everything that dpvs can express, mostly with frr. */
export const dpvsClusterArbitrary: fc.Arbitrary<Cluster> = fc
  .record({
    cluster: clustersOver(dpvsPortArbitrary),
    routing: routingArbitrary,
    deny: fc.boolean(),
    allow: fc.boolean(),
  })
  .map(({ cluster, routing, deny, allow }) => {
    const clients = {
      ...(deny ? { deny: ['203.0.113.250-203.0.114.3', '198.51.100.7'] } : {}),
      ...(allow ? { allow: ['198.51.100.0-198.51.101.255'] } : {}),
    };
    const vip2ws = cluster.vip2ws.map((vip) => ({ ...vip, ...clients }));
    return withoutIdle(compact<Cluster>({ ...cluster, dataplane: 'dpvs', routing, vip2ws }));
  });

/** Without what has no effect and is refused: what a way to forward or to announce does not go with, BFD with quagga. */
function withoutIdle(cluster: Cluster): Cluster {
  return withoutIdleBfd(withoutIdleDegrade(withoutIdleStub(withFittingPorts(cluster))));
}

/** WSs that get packets as they are have the port of the VIP, and nothing is put before what they get. */
function withFittingPorts(cluster: Cluster): Cluster {
  const fitting = ({ proxy_protocol: _proxy, ...port }: Port): Port => ({ ...port, dport: port.sport });
  const vip2ws = cluster.vip2ws.map((vip) =>
    forwardingOf(cluster, vip) === 'fullnat' ? vip : { ...vip, ports: vip.ports.map(fitting) },
  );
  return { ...cluster, vip2ws };
}

/** The backbone is no stub, and a stub knows no routes from outside. */
function withoutIdleStub(cluster: Cluster): Cluster {
  const { ospf } = cluster;
  if (!ospf?.stub) return cluster;
  if (ospf.area === undefined || ospf.area === '0.0.0.0') return { ...cluster, ospf: { ...ospf, stub: false } };
  return { ...cluster, ospf: { ...ospf, announce: 'network' } };
}

function withoutIdleBfd(cluster: Cluster): Cluster {
  if (!cluster.ospf?.bfd || routingOf(cluster) === 'frr') return cluster;
  return { ...cluster, ospf: { ...cluster.ospf, bfd: false } };
}

function withoutIdleDegrade(cluster: Cluster): Cluster {
  if (ospfAnnounceOf(cluster) === 'network') return cluster;
  const calm = <T extends Cluster | Vip>(part: T): T =>
    part.announce === 'degrade' ? { ...part, announce: 'all' } : part;
  return { ...calm(cluster), vip2ws: cluster.vip2ws.map(calm) };
}
