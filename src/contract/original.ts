/**
 * The calls of the system that Weir replaces (`/lvs/...`), as data: method, path, arguments, and the line they end
 * with. api/original/ answers them by these names, OpenAPI is made from them. It is the contract of scripts that
 * are there already: no word of it may be made better.
 * May import the domain only.
 */
import Type from 'typebox';
import type { TObject, TSchema } from 'typebox';
import { Cluster, ClusterType, Lb, Port, Vip } from '../domain/edge/model.ts';

export interface OriginalRoute {
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** The whole path; a trailing slash is optional. */
  path: string;
  summary: string;
  /** Form fields or query parameters. All are text; a `json` one holds JSON. */
  args?: TObject;
  /** What the answer's message is about, e.g. `port has been modified successfully`, `port modified failed`. */
  line?: Line;
  answer: TSchema;
}

export interface Line {
  thing: 'cluster' | 'vip' | 'lb' | 'ws' | 'port' | 'wstype';
  done: 'read' | 'added' | 'deleted' | 'modified' | 'synced';
}

const field = (description: string) => Type.String({ description });

const json = (contentSchema: TSchema, description: string) =>
  Type.String({ description, contentMediaType: 'application/json', contentSchema });

const push = {
  cfg_push: Type.Optional(
    Type.String({
      default: 'True',
      description:
        'absent or exactly `True`: publish the whole cluster afterwards, and wait for it; other text: do not',
    }),
  ),
};

const vip = field('address of the VIP');
const lbinfos = json(Type.Array(Lb), 'JSON list of LBs');
const vip2ws = json(Type.Array(Vip), 'JSON list of VIPs; without `ports` 80 and 443');
const wss = json(
  Type.Array(Type.Object({ vip: Type.String(), wss: Type.Array(Type.String()) })),
  'JSON list of `{"vip": VIP, "wss": [HOSTNAME, ...]}`',
);

const StatusObject = Type.Object({
  status: Type.Union([Type.Literal('success'), Type.Literal('failed')]),
  message: Type.String({ description: '`vip has been added successfully` or `vip added failed`' }),
});

/** The document as the original knows it: without Weir's own fields. */
const OriginalCluster = Type.Object({
  name: Type.String(),
  type: ClusterType,
  lbinfos: Type.Array(
    Type.Pick(Lb, [
      'hostname',
      'routerid',
      'internalip',
      'internalnetmask',
      'internalgateway',
      'extraip',
      'extranetmask',
      'extragateway',
      'ospfnet',
    ]),
  ),
  vip2ws: Type.Array(
    Type.Object({
      ...Type.Pick(Vip, ['vip', 'wstype', 'wss']).properties,
      ports: Type.Array(Type.Pick(Port, ['sport', 'dport', 'synproxy', 'persistence_timeout'])),
    }),
  ),
  vipnets: Cluster.properties.vipnets,
  device: Cluster.properties.device,
});

const read = (message: TSchema) => Type.Object({ status: Type.Literal('success'), message });

export const originalRoutes = {
  clusterList: {
    method: 'GET',
    path: '/lvs/',
    summary: 'All clusters',
    answer: read(Type.Array(OriginalCluster)),
  },
  clusterAdd: {
    method: 'POST',
    path: '/lvs/',
    summary: 'Create a cluster',
    args: Type.Object({
      name: field('name of the cluster'),
      type: field('extra or internal'),
      lbinfos,
      vip2ws,
      vipnets: json(Type.Array(Type.String()), 'JSON list of nets'),
      device: field('interface of the OSPF side'),
      ...push,
    }),
    line: { thing: 'cluster', done: 'added' },
    answer: StatusObject,
  },
  clusterGet: {
    method: 'GET',
    path: '/lvs/:cluster',
    summary: 'One cluster',
    line: { thing: 'cluster', done: 'read' },
    answer: read(OriginalCluster),
  },
  clusterDelete: {
    method: 'DELETE',
    path: '/lvs/:cluster',
    summary: 'Delete a cluster’s record; nothing is pushed, its machines are not touched',
    args: Type.Object(push),
    line: { thing: 'cluster', done: 'deleted' },
    answer: StatusObject,
  },
  vipAdd: {
    method: 'POST',
    path: '/lvs/:cluster/vips',
    summary: 'Add VIPs',
    args: Type.Object({ vip2ws, ...push }),
    line: { thing: 'vip', done: 'added' },
    answer: StatusObject,
  },
  vipDelete: {
    method: 'DELETE',
    path: '/lvs/:cluster/vips',
    summary: 'Delete VIPs',
    args: Type.Object({ vips: json(Type.Array(Type.String()), 'JSON list of VIPs'), ...push }),
    line: { thing: 'vip', done: 'deleted' },
    answer: StatusObject,
  },
  lbAdd: {
    method: 'POST',
    path: '/lvs/:cluster/lbs',
    summary: 'Add LBs',
    args: Type.Object({ lbinfos, ...push }),
    line: { thing: 'lb', done: 'added' },
    answer: StatusObject,
  },
  lbDelete: {
    method: 'DELETE',
    path: '/lvs/:cluster/lbs',
    summary: 'Delete LBs',
    args: Type.Object({ lbs: json(Type.Array(Type.String()), 'JSON list of hostnames'), ...push }),
    line: { thing: 'lb', done: 'deleted' },
    answer: StatusObject,
  },
  wsAdd: {
    method: 'POST',
    path: '/lvs/:cluster/wss',
    summary: 'Add WSs to VIPs; those that are there already stay',
    args: Type.Object({ vip2ws: wss, ...push }),
    line: { thing: 'ws', done: 'added' },
    answer: StatusObject,
  },
  wsDelete: {
    method: 'DELETE',
    path: '/lvs/:cluster/wss',
    summary: 'Delete WSs from VIPs; those that are not there are passed over',
    args: Type.Object({ vip2ws: wss, ...push }),
    line: { thing: 'ws', done: 'deleted' },
    answer: StatusObject,
  },
  portAdd: {
    method: 'POST',
    path: '/lvs/:cluster/ports',
    summary: 'Add TCP ports to a VIP',
    args: Type.Object({ vip, ports: json(Type.Array(Port), 'JSON list of ports'), ...push }),
    line: { thing: 'port', done: 'added' },
    answer: StatusObject,
  },
  portDelete: {
    method: 'DELETE',
    path: '/lvs/:cluster/ports',
    summary: 'Delete TCP ports of a VIP',
    args: Type.Object({ vip, sports: json(Type.Array(Type.Integer()), 'JSON list of ports on the VIP'), ...push }),
    line: { thing: 'port', done: 'deleted' },
    answer: StatusObject,
  },
  portSet: {
    method: 'PATCH',
    path: '/lvs/:cluster/ports',
    summary: 'Change fields of a TCP port of a VIP',
    args: Type.Object({
      vip,
      sport: field('the port on the VIP'),
      port: json(Type.Partial(Port), 'JSON object with the fields to change'),
      ...push,
    }),
    line: { thing: 'port', done: 'modified' },
    answer: StatusObject,
  },
  wstypeSet: {
    method: 'PATCH',
    path: '/lvs/:cluster/wstype',
    summary: 'Change the wstype of a VIP',
    args: Type.Object({ vip, wstype: field('business of its WSs'), ...push }),
    line: { thing: 'wstype', done: 'modified' },
    answer: StatusObject,
  },
  sync: {
    method: 'POST',
    path: '/lvs/sync',
    summary: 'Publish a cluster to all its LBs, and wait for it; nothing is reloaded',
    args: Type.Object({ name: field('name of the cluster') }),
    line: { thing: 'cluster', done: 'synced' },
    answer: StatusObject,
  },
  vipNames: {
    method: 'GET',
    path: '/lvs/vips',
    summary: 'VIPs of all clusters',
    answer: Type.Array(Type.String()),
  },
  lbNames: {
    method: 'GET',
    path: '/lvs/lbs',
    summary: 'LBs of all clusters',
    answer: Type.Array(Type.String()),
  },
} as const satisfies Record<string, OriginalRoute>;
