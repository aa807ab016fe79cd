/**
 * Every operation on clusters, declared once: name, summary, input, HTTP binding, pure `apply`.
 * v1 routes, the CLI, batches, history and audit all work from this list.
 */
import Type from 'typebox';
import { error, show } from '../problem.ts';
import { strict, parse, dot, nearest } from '../schema.ts';
import type { Parsed } from '../schema.ts';
import { Port, WsAttrs, Vip, Lb, Cluster, Ws, portKey } from './model.ts';
import {
  define,
  done,
  Names,
  oneOrMany,
  WsInput,
  readSet,
  readMany,
  readNames,
  onCluster,
  onVip,
  refused,
  absent,
  taken,
  existing,
  missing,
  fixed,
  merge,
} from './operation.ts';
import type { Applied, Operation, Loose } from './operation.ts';
import { reconcile } from './patch.ts';
import { parseCluster, parseVip, parsePort, parseWs } from './read.ts';

// cluster ------------------------------------------------------------------------------------

const clusterCreate = define<{ cluster: Cluster }>({
  name: 'cluster.create',
  target: 'cluster',
  summary: 'Create a cluster',
  input: Type.Object({ cluster: Cluster }, strict),
  http: { method: 'POST', path: '', body: 'cluster', bodySchema: Cluster },
  read: readCluster,
  apply: (cluster, input) =>
    cluster
      ? taken([
          error('cluster.name', {
            code: 'cluster_exists',
            message: `cluster ${cluster.name} exists`,
            hint: 'replace it with PUT or weir apply',
          }),
        ])
      : done(input.cluster),
});

const clusterReplace = define<{ cluster: Cluster }>({
  name: 'cluster.replace',
  target: 'cluster',
  summary: 'Replace a cluster by a whole document, or create it',
  input: Type.Object({ cluster: Cluster }, strict),
  http: { method: 'PUT', path: '/:cluster', body: 'cluster', bodySchema: Cluster },
  read: readCluster,
  apply: (_cluster, input) => done(input.cluster),
});

const clusterSet = define<{ set: Loose }>({
  name: 'cluster.set',
  target: 'cluster',
  summary: 'Change fields of a cluster (merge patch: null removes an optional field)',
  input: Type.Object({ set: Type.Partial(Cluster) }, strict),
  http: { method: 'PATCH', path: '/:cluster', body: 'set', bodySchema: Type.Partial(Cluster) },
  read: readSet(['set']),
  apply: (cluster, input) =>
    onCluster(cluster, (c) => {
      const renamed = fixed(input.set, { name: c.name });
      if (renamed) return refused([renamed]);
      const next = parseCluster(merge(c, input.set), 'set');
      return next.ok ? done(reconcile(c, next.value)) : refused(next.problems);
    }),
});

const clusterDelete = define<object>({
  name: 'cluster.delete',
  target: 'cluster',
  summary: 'Delete a cluster’s record; its machines are not touched',
  input: Type.Object({}, strict),
  http: { method: 'DELETE', path: '/:cluster' },
  read: (input) => parse(Type.Object({}, strict), input),
  apply: (cluster) => onCluster(cluster, () => done(undefined)),
});

function readCluster(input: unknown): Parsed<{ cluster: Cluster }> {
  const shape = parse(Type.Object({ cluster: Type.Unknown() }, strict), input);
  if (!shape.ok) return shape;
  const cluster = parseCluster(shape.value.cluster, 'cluster');
  return cluster.ok ? { ok: true, value: { cluster: cluster.value } } : cluster;
}

// vip ----------------------------------------------------------------------------------------

const vipAdd = define<{ vips: Vip[] }>({
  name: 'vip.add',
  target: 'vip',
  summary: 'Add VIPs; ports left out mean 80 and 443',
  input: Type.Object({ vips: oneOrMany(Vip) }, strict),
  http: { method: 'POST', path: '/:cluster/vips', body: 'vips', bodySchema: oneOrMany(Vip) },
  read: readMany('vips', parseVip),
  apply: (cluster, input) =>
    onCluster(cluster, (c) => {
      const there = new Set(c.vip2ws.map((v) => v.vip));
      const problems = existing(
        input.vips.map((v) => v.vip),
        there,
        { what: 'VIP', path: 'vips', of: c.name },
      );
      return problems.length > 0 ? taken(problems) : done({ ...c, vip2ws: [...c.vip2ws, ...input.vips] });
    }),
});

const vipSet = define<{ vip: string; set: Loose }>({
  name: 'vip.set',
  target: 'vip',
  summary: 'Change fields of a VIP, e.g. its wstype (merge patch)',
  input: Type.Object({ vip: Type.String(), set: Type.Partial(Vip) }, strict),
  http: { method: 'PATCH', path: '/:cluster/vips/:vip', body: 'set', bodySchema: Type.Partial(Vip) },
  read: readSet(['vip', 'set']),
  apply: (cluster, input) =>
    onVip(cluster, input.vip, (vip) => {
      const renamed = fixed(input.set, { vip: vip.vip });
      if (renamed) return refused([renamed]);
      const next = parseVip(merge(vip, input.set), 'set');
      return next.ok ? next.value : refused(next.problems);
    }),
});

const vipRemove = define<{ vips: string[] }>({
  name: 'vip.remove',
  target: 'vip',
  summary: 'Remove VIPs',
  input: Type.Object({ vips: Names }, strict),
  http: { method: 'DELETE', path: '/:cluster/vips/:vip', lists: { vip: 'vips' } },
  read: readNames('vips'),
  apply: (cluster, input) =>
    onCluster(cluster, (c) => {
      const problems = missing(
        input.vips,
        c.vip2ws.map((v) => v.vip),
        { what: 'VIP', path: 'vips', of: c.name },
      );
      if (problems.length > 0) return absent(problems);
      const gone = new Set(input.vips);
      return done({ ...c, vip2ws: c.vip2ws.filter((v) => !gone.has(v.vip)) });
    }),
});

// lb -----------------------------------------------------------------------------------------

const lbAdd = define<{ lbs: Lb[] }>({
  name: 'lb.add',
  target: 'lb',
  summary: 'Add LBs; their LIPs are planned unless given',
  input: Type.Object({ lbs: oneOrMany(Lb) }, strict),
  http: { method: 'POST', path: '/:cluster/lbs', body: 'lbs', bodySchema: oneOrMany(Lb) },
  read: readMany('lbs', (value, path) => parse(Lb, value, path)),
  apply: (cluster, input) =>
    onCluster(cluster, (c) => {
      const there = new Set(c.lbinfos.map((lb) => lb.hostname));
      const problems = existing(
        input.lbs.map((lb) => lb.hostname),
        there,
        { what: 'LB', path: 'lbs', of: c.name },
      );
      return problems.length > 0 ? taken(problems) : done({ ...c, lbinfos: [...c.lbinfos, ...input.lbs] });
    }),
});

const lbSet = define<{ lb: string; set: Loose }>({
  name: 'lb.set',
  target: 'lb',
  summary: 'Change fields of an LB (merge patch)',
  input: Type.Object({ lb: Type.String(), set: Type.Partial(Lb) }, strict),
  http: { method: 'PATCH', path: '/:cluster/lbs/:lb', body: 'set', bodySchema: Type.Partial(Lb) },
  read: readSet(['lb', 'set']),
  apply: (cluster, input) =>
    onCluster(cluster, (c) => {
      const hostname = input.lb;
      const index = c.lbinfos.findIndex((lb) => lb.hostname === hostname);
      const lb = c.lbinfos[index];
      if (!lb)
        return absent(
          missing(
            [hostname],
            c.lbinfos.map((l) => l.hostname),
            { what: 'LB', path: 'lb', of: c.name },
          ),
        );
      const renamed = fixed(input.set, { hostname });
      if (renamed) return refused([renamed]);
      const next = parse(Lb, merge(lb, input.set), 'set');
      return next.ok ? done({ ...c, lbinfos: c.lbinfos.with(index, next.value) }) : refused(next.problems);
    }),
});

const lbRemove = define<{ lbs: string[] }>({
  name: 'lb.remove',
  target: 'lb',
  summary: 'Remove LBs; their LIPs go into quarantine',
  input: Type.Object({ lbs: Names }, strict),
  http: { method: 'DELETE', path: '/:cluster/lbs/:lb', lists: { lb: 'lbs' } },
  read: readNames('lbs'),
  apply: (cluster, input) =>
    onCluster(cluster, (c) => {
      const problems = missing(
        input.lbs,
        c.lbinfos.map((lb) => lb.hostname),
        { what: 'LB', path: 'lbs', of: c.name },
      );
      if (problems.length > 0) return absent(problems);
      const gone = new Set(input.lbs);
      return done({ ...c, lbinfos: c.lbinfos.filter((lb) => !gone.has(lb.hostname)) });
    }),
});

// ws -----------------------------------------------------------------------------------------

const wsAdd = define<{ vip: string; wss: Ws[] }>({
  name: 'ws.add',
  target: 'ws',
  summary: 'Add WSs to a VIP',
  input: Type.Object({ vip: Type.String(), wss: oneOrMany(WsInput) }, strict),
  http: { method: 'POST', path: '/:cluster/vips/:vip/wss', body: 'wss', bodySchema: oneOrMany(WsInput) },
  read: readMany('wss', parseWs, ['vip']),
  apply: (cluster, input) =>
    onVip(cluster, input.vip, (vip) => {
      const problems = existing(
        input.wss.map((w) => w.ws),
        new Set(vip.wss),
        { what: 'WS', path: 'wss', of: vip.vip },
      );
      if (problems.length > 0) return taken(problems);
      const added: Record<string, WsAttrs> = {};
      for (const { ws, ...attrs } of input.wss) if (Object.keys(attrs).length > 0) added[ws] = attrs;
      const next = { ...vip, wss: [...vip.wss, ...input.wss.map((w) => w.ws)] };
      return Object.keys(added).length > 0 ? { ...next, wsattrs: { ...vip.wsattrs, ...added } } : next;
    }),
});

const wsSet = define<{ vip: string; ws: string; set: Loose }>({
  name: 'ws.set',
  target: 'ws',
  summary: 'Change weight, state or address of a WS of a VIP (merge patch)',
  input: Type.Object({ vip: Type.String(), ws: Type.String(), set: Type.Partial(WsAttrs) }, strict),
  http: { method: 'PATCH', path: '/:cluster/vips/:vip/wss/:ws', body: 'set', bodySchema: Type.Partial(WsAttrs) },
  read: readSet(['vip', 'ws', 'set']),
  apply: (cluster, input) =>
    onVip(cluster, input.vip, (vip) => {
      const ws = input.ws;
      if (!vip.wss.includes(ws)) return absent(missing([ws], vip.wss, { what: 'WS', path: 'ws', of: vip.vip }));
      const { [ws]: present = {}, ...others } = ownAttrs(vip);
      const attrs = parse(WsAttrs, merge(present, input.set), 'set');
      if (!attrs.ok) return refused(attrs.problems);
      return withAttrs(vip, Object.keys(attrs.value).length > 0 ? { ...others, [ws]: attrs.value } : others);
    }),
});

const wsRemove = define<{ vip: string; wss: string[] }>({
  name: 'ws.remove',
  target: 'ws',
  summary: 'Remove WSs from a VIP',
  input: Type.Object({ vip: Type.String(), wss: Names }, strict),
  http: { method: 'DELETE', path: '/:cluster/vips/:vip/wss/:ws', lists: { ws: 'wss' } },
  read: readNames('wss', ['vip']),
  apply: (cluster, input) =>
    onVip(cluster, input.vip, (vip) => {
      const problems = missing(input.wss, vip.wss, { what: 'WS', path: 'wss', of: vip.vip });
      if (problems.length > 0) return absent(problems);
      const gone = new Set(input.wss);
      const kept = Object.fromEntries(Object.entries(ownAttrs(vip)).filter(([ws]) => !gone.has(ws)));
      return withAttrs({ ...vip, wss: vip.wss.filter((ws) => !gone.has(ws)) }, kept);
    }),
});

function ownAttrs(vip: Vip): Record<string, WsAttrs> {
  return { ...vip.wsattrs };
}

function withAttrs(vip: Vip, attrs: Record<string, WsAttrs>): Vip {
  const { wsattrs: _old, ...rest } = vip;
  return Object.keys(attrs).length > 0 ? { ...rest, wsattrs: attrs } : rest;
}

// port ---------------------------------------------------------------------------------------

const portAdd = define<{ vip: string; ports: Port[] }>({
  name: 'port.add',
  target: 'port',
  summary: 'Add ports to a VIP',
  input: Type.Object({ vip: Type.String(), ports: oneOrMany(Port) }, strict),
  http: { method: 'POST', path: '/:cluster/vips/:vip/ports', body: 'ports', bodySchema: oneOrMany(Port) },
  read: readMany('ports', parsePort, ['vip']),
  apply: (cluster, input) =>
    onVip(cluster, input.vip, (vip) => {
      const there = new Set(vip.ports.map(portKey));
      const problems = existing(input.ports.map(portKey), there, { what: 'port', path: 'ports', of: vip.vip });
      return problems.length > 0 ? taken(problems) : { ...vip, ports: [...vip.ports, ...input.ports] };
    }),
});

const portSet = define<{ vip: string; port: string; set: Loose }>({
  name: 'port.set',
  target: 'port',
  summary: 'Change fields of a port of a VIP (merge patch)',
  input: Type.Object(
    { vip: Type.String(), port: Type.String({ description: 'SPORT[:PROTOCOL]' }), set: Type.Partial(Port) },
    strict,
  ),
  http: { method: 'PATCH', path: '/:cluster/vips/:vip/ports/:port', body: 'set', bodySchema: Type.Partial(Port) },
  read: readSet(['vip', 'port', 'set']),
  apply: (cluster, input) =>
    onVip(cluster, input.vip, (vip) => {
      const key = normalPort(input.port);
      const index = vip.ports.findIndex((p) => portKey(p) === key);
      const port = vip.ports[index];
      if (!port) return absent(missing([key], vip.ports.map(portKey), { what: 'port', path: 'port', of: vip.vip }));
      const next = parsePort(merge(port, input.set), 'set');
      return next.ok ? { ...vip, ports: vip.ports.with(index, next.value) } : refused(next.problems);
    }),
});

const portRemove = define<{ vip: string; ports: string[] }>({
  name: 'port.remove',
  target: 'port',
  summary: 'Remove ports from a VIP',
  input: Type.Object({ vip: Type.String(), ports: Names }, strict),
  http: { method: 'DELETE', path: '/:cluster/vips/:vip/ports/:port', lists: { port: 'ports' } },
  read: readNames('ports', ['vip']),
  apply: (cluster, input) =>
    onVip(cluster, input.vip, (vip) => {
      const keys = input.ports.map(normalPort);
      const problems = missing(keys, vip.ports.map(portKey), { what: 'port', path: 'ports', of: vip.vip });
      if (problems.length > 0) return absent(problems);
      const ports = vip.ports.filter((p) => !keys.includes(portKey(p)));
      return ports.length > 0
        ? { ...vip, ports }
        : refused([
            error('ports', {
              code: 'last_port',
              message: `VIP ${vip.vip} would have no port left`,
              hint: 'remove the VIP instead',
            }),
          ]);
    }),
});

/** `80:TCP` is `80`. */
function normalPort(key: string): string {
  return key.toUpperCase().replace(/:TCP$/, '');
}

// --------------------------------------------------------------------------------------------

/** Every operation, by name. */
export const operations: ReadonlyMap<string, Operation> = new Map(
  [
    clusterCreate,
    clusterReplace,
    clusterSet,
    clusterDelete,
    vipAdd,
    vipSet,
    vipRemove,
    lbAdd,
    lbSet,
    lbRemove,
    wsAdd,
    wsSet,
    wsRemove,
    portAdd,
    portSet,
    portRemove,
  ].map((op) => [op.name, op as unknown as Operation]),
);

/** A checked call of an operation, as history keeps it. */
export interface Call {
  op: string;
  input: unknown;
}

/** Reads `{op, ...input}`, the form of batches. */
export function readCall(value: unknown, path = ''): Parsed<Call> {
  const shape = parse(Type.Object({ op: Type.String() }), value, path);
  if (!shape.ok) return shape;
  const { op: name, ...input } = value as { op: string };
  const operation = operations.get(name);
  if (!operation) {
    const near = nearest(name, [...operations.keys()]);
    return {
      ok: false,
      problems: [
        error(dot(path, 'op'), {
          code: 'unknown_operation',
          message: `unknown operation ${show(name)}`,
          hint: near ? `did you mean ${near}?` : `one of: ${[...operations.keys()].join(', ')}`,
        }),
      ],
    };
  }
  const read = operation.read(input);
  if (read.ok) return { ok: true, value: { op: name, input: read.value } };
  return { ok: false, problems: read.problems.map((p) => ({ ...p, path: path ? dotted(path, p.path) : p.path })) };
}

function dotted(base: string, path: string): string {
  return path === '' || path.startsWith('[') ? base + path : `${base}.${path}`;
}

/** Applies calls in order; the first that fails decides. */
export function applyCalls(cluster: Cluster | undefined, calls: readonly Call[]): Applied {
  let next = cluster;
  for (const [i, call] of calls.entries()) {
    const operation = operations.get(call.op);
    if (!operation) throw new Error(`unknown operation ${call.op}`);
    const applied = operation.apply(next, call.input as never);
    if (!applied.ok) {
      return calls.length === 1
        ? applied
        : { ...applied, problems: applied.problems.map((p) => ({ ...p, path: dotted(`operations[${i}]`, p.path) })) };
    }
    next = applied.cluster;
  }
  return done(next);
}
