/**
 * Valid documents for tests: one that sets every field of the model, and arbitrary ones.
 * Imports the model, and fast-check; only tests import it.
 */
import fc from 'fast-check';
import { namesToResolve, nextAddresses, noAddresses } from '../edge/addresses.ts';
import type { Addresses } from '../edge/addresses.ts';
import type { Cluster, Lb, Port, PortCheck, Routing, Uplink, Vip, WsAttrs } from '../edge/model.ts';
import { ospfAnnounceOf, portKey, routingOf, schedulers } from '../edge/model.ts';

/** A valid document in which every field of the model stands at least once. */
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
    },
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
      },
    ],
  };
}

/** The same on a stock kernel, with a UDP port, and VIPs that are redistributed. */
export function fullIpvsCluster(): Cluster {
  const full = fullCluster();
  const dns: Port = { sport: 53, dport: 53, synproxy: 0, persistence_timeout: 0, protocol: 'UDP', check: { retry: 2 } };
  return {
    ...full,
    dataplane: 'ipvs',
    routing: 'frr',
    ospf: { ...full.ospf, announce: 'redistribute', bfd: true },
    vip2ws: full.vip2ws.map((vip) => ({ ...vip, announce: 'any', ports: [...vip.ports, dns] })),
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

const portArbitrary: fc.Arbitrary<Port> = fc
  .record({
    sport: fc.oneof(fc.constantFrom(80, 443), fc.integer({ min: 1, max: 65535 })),
    dport: fc.oneof(fc.constantFrom(80, 443), fc.integer({ min: 1, max: 65535 })),
    synproxy: fc.constantFrom(0 as const, 1 as const),
    persistence_timeout: fc.integer({ min: 0, max: 99999 }),
    protocol: optional(fc.constant('TCP' as const)),
    scheduler: optional(fc.constantFrom(...schedulers)),
    check: optional(fc.oneof(httpCheck, tcpCheck)),
  })
  .map(compact<Port>);

const wsArbitrary: fc.Arbitrary<WsAttrs> = fc
  .record({
    weight: optional(fc.integer({ min: 0, max: 300 })),
    state: optional(fc.constantFrom('up' as const, 'drain' as const, 'down' as const)),
  })
  .map(compact<WsAttrs>);

/** A port as mainline keepalived serves it: also UDP, longer persistence, retries of every check. */
const ipvsPortArbitrary: fc.Arbitrary<Port> = fc.oneof(
  portArbitrary,
  fc
    .record({
      port: portArbitrary,
      persistence_timeout: fc.integer({ min: 0, max: 2678400 }),
      type: fc.constantFrom('tcp' as const, 'udp' as const),
      check: plainCheck,
    })
    .map(({ port, persistence_timeout, type, check }): Port => {
      const protocol = type === 'udp' ? 'UDP' : 'TCP';
      return { ...port, persistence_timeout, protocol, check: { ...check, type } };
    }),
  fc.record({ port: portArbitrary, check: optional(fc.oneof(httpCheck, tcpCheck)) }).map(({ port, check }): Port => {
    const { check: _check, ...rest } = port;
    return { ...rest, protocol: 'UDP', ...(check ? { check } : {}) };
  }),
);

/** A VIP by its number: its address, and WSs of its own, the first of which serves. */
export function vipArbitrary(number: number, port: fc.Arbitrary<Port> = portArbitrary): fc.Arbitrary<Vip> {
  return fc
    .record({
      ports: fc.uniqueArray(port, { selector: (p) => portKey(p), minLength: 1, maxLength: 4 }),
      wss: fc.array(fc.record({ attrs: optional(wsArbitrary), pinned: fc.boolean() }), { maxLength: 5 }),
      announce: optional(fc.constantFrom('any' as const, 'all' as const, 'degrade' as const)),
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
            area: optional(fc.constantFrom('0.0.0.0', '0.0.0.7')),
            announce: optional(fc.constantFrom('network' as const, 'redistribute' as const)),
            bfd: optional(fc.boolean()),
          })
          .map(compact<NonNullable<Cluster['ospf']>>),
      ),
      check: optional(clusterCheck),
      announce: optional(fc.constantFrom('any' as const, 'all' as const, 'degrade' as const)),
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

/** Valid documents, over everything that ipvs can express, mostly with frr. */
export const ipvsClusterArbitrary: fc.Arbitrary<Cluster> = fc
  .tuple(clustersOver(ipvsPortArbitrary), fc.constantFrom<(Routing | undefined)[]>(undefined, 'frr', 'quagga'))
  .map(([cluster, routing]) => withoutIdle(compact<Cluster>({ ...cluster, dataplane: 'ipvs', routing })));

/** Without what has no effect and is refused: `degrade` where VIPs are redistributed, BFD with quagga. */
function withoutIdle(cluster: Cluster): Cluster {
  return withoutIdleBfd(withoutIdleDegrade(cluster));
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
