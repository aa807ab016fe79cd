/**
 * The original's changes as operations of ours, so that history, audit and every rule see them as any others. What
 * an entry may hold is what the original documents, read as its records are (adopt/original/).
 */
import Type from 'typebox';
import { withOriginalLips } from '../../adopt/original/lips.ts';
import { plainLb, plainVip } from '../../adopt/original/plain.ts';
import type { originalRoutes } from '../../contract/original.ts';
import type { Cluster, Lb, Vip } from '../../domain/edge/model.ts';
import { missing } from '../../domain/edge/operation.ts';
import { readCall } from '../../domain/edge/operations.ts';
import type { Call } from '../../domain/edge/operations.ts';
import { refuse } from '../../domain/errors.ts';
import { error, show } from '../../domain/problem.ts';
import type { Problem } from '../../domain/problem.ts';
import { parse, strict } from '../../domain/schema.ts';
import type { Arguments } from './arguments.ts';

/**
 * The operations that bring what was asked for to a cluster as it is; none where it is so already. Asked again when
 * another change came between.
 */
export type Translation = (present: Present) => Call[];

/** The cluster as it is; throws where there is none. */
export type Present = () => Cluster;

/** The calls that change a cluster. */
export type ChangeName = Exclude<
  keyof typeof originalRoutes,
  'clusterList' | 'clusterGet' | 'vipNames' | 'lbNames' | 'sync'
>;

/** Each reads its arguments at once, and throws with what is wrong in them. */
export const translations: Readonly<Record<ChangeName, (args: Arguments) => Translation>> = {
  clusterAdd(args) {
    const type = args.text('type');
    const document = {
      name: args.text('name'),
      type,
      device: args.text('device'),
      vipnets: args.list('vipnets'),
      lbinfos: plainLbs(args, type),
      vip2ws: plainVips(args),
    };
    const { op, input } = call('cluster.create', { cluster: document }, { of: 'cluster.', as: '' });
    const { cluster } = withOriginalLips((input as { cluster: Cluster }).cluster);
    return () => [{ op, input: { cluster } }];
  },

  clusterDelete: () => () => [call('cluster.delete', {})],

  vipAdd(args) {
    const add = some(plainVips(args), (vips) => call('vip.add', { vips }, { of: 'vips', as: 'vip2ws' }));
    return () => add;
  },

  vipDelete(args) {
    const remove = some(args.list('vips'), (vips) => call('vip.remove', { vips }));
    return () => remove;
  },

  lbAdd(args) {
    const given = args.list('lbinfos');
    return (present) =>
      some(given, () => {
        const cluster = present();
        const { op, input } = call('lb.add', { lbs: plainLbs(args, cluster.type) }, { of: 'lbs', as: 'lbinfos' });
        return { op, input: { lbs: withLips((input as { lbs: Lb[] }).lbs, cluster) } };
      });
  },

  lbDelete(args) {
    const remove = some(args.list('lbs'), (lbs) => call('lb.remove', { lbs }));
    return () => remove;
  },

  /** A union: WSs that are there already are as wanted. */
  wsAdd(args) {
    const wanted = wssByVip(args);
    return (present) => {
      const vipOf = vipsOf(present());
      return wanted.flatMap(([vip, names]) => {
        const there = new Set(vipOf(vip).wss);
        const absent = names.filter((ws) => !there.has(ws));
        return some(absent, (wss) => call('ws.add', { vip, wss }, { of: 'wss', as: 'vip2ws.wss' }));
      });
    };
  },

  wsDelete(args) {
    const unwanted = wssByVip(args);
    return (present) => {
      const vipOf = vipsOf(present());
      return unwanted.flatMap(([vip, names]) => {
        const there = new Set(vipOf(vip).wss);
        const gone = names.filter((ws) => there.has(ws));
        return some(gone, (wss) => call('ws.remove', { vip, wss }));
      });
    };
  },

  portAdd(args) {
    const vip = args.text('vip');
    const add = some(plainPorts(args.list('ports')), (ports) => call('port.add', { vip, ports }));
    return onVip(vip, add);
  },

  portDelete(args) {
    const vip = args.text('vip');
    const sports = args.list('sports').map((sport) => sportOf('sports', sport));
    const remove = some(sports, (ports) => call('port.remove', { vip, ports }));
    return onVip(vip, remove);
  },

  portSet(args) {
    const port = sportOf('sport', args.text('sport'));
    const [set] = plainPorts([args.object('port')]);
    const change = call('port.set', { vip: args.text('vip'), port, set }, { of: 'set', as: 'port' });
    return () => [change];
  },

  wstypeSet(args) {
    const set = { wstype: args.text('wstype') };
    const change = call('vip.set', { vip: args.text('vip'), set }, { of: 'set.', as: '' });
    return () => [change];
  },
};

/** A checked call; its problems have paths that begin with the argument that holds the input. */
function call(op: string, input: object, argument = { of: '', as: '' }): Call {
  const read = readCall({ op, ...input });
  if (read.ok) return read.value;
  const { of, as } = argument;
  throw refuse(read.problems.map((p) => (p.path.startsWith(of) ? { ...p, path: as + p.path.slice(of.length) } : p)));
}

/** One call on all items; none where there are none, which the original took for done. */
function some<T>(items: readonly T[], make: (items: readonly T[]) => Call): Call[] {
  return items.length > 0 ? [make(items)] : [];
}

function plainLbs(args: Arguments, type: string | undefined): unknown[] {
  return plain((problems) => args.list('lbinfos').map((lb, i) => plainLb(lb, `lbinfos[${i}]`, { type, problems })));
}

function plainVips(args: Arguments): unknown[] {
  return plain((problems) =>
    args.list('vip2ws').map((vip, i) => plainVip(vip, `vip2ws[${i}]`, { type: undefined, problems })),
  );
}

function plainPorts(ports: readonly unknown[]): unknown[] {
  const vip = plain((problems) => plainVip({ ports }, '', { type: undefined, problems }));
  return (vip as { ports: unknown[] }).ports;
}

/** Throws with what a reader found wrong. */
function plain<T>(read: (problems: Problem[]) => T): T {
  const problems: Problem[] = [];
  const value = read(problems);
  if (problems.length === 0) return value;
  throw refuse(problems.map((p) => ({ ...p, path: p.path.replace(/^\./, '') })));
}

/** LBs with the LIPs that the original gives them beside those that are there. */
function withLips(lbs: readonly Lb[], cluster: Cluster): Lb[] {
  const next = withOriginalLips({ ...cluster, lbinfos: [...cluster.lbinfos, ...lbs] });
  return next.cluster.lbinfos.slice(cluster.lbinfos.length);
}

/** What else a VIP's entry holds is passed over: scripts send whole entries here. */
const WsEntry = Type.Object(
  {
    vip: Type.String(),
    wss: Type.Array(Type.String()),
    wstype: Type.Optional(Type.Unknown()),
    ports: Type.Optional(Type.Unknown()),
  },
  strict,
);

/** Names of WSs by VIP, each once. */
function wssByVip(args: Arguments): [string, string[]][] {
  const entries = parse(Type.Array(WsEntry), args.list('vip2ws'), 'vip2ws');
  if (!entries.ok) throw refuse(entries.problems);
  const byVip = new Map<string, Set<string>>();
  for (const { vip, wss } of entries.value) {
    const names = byVip.get(vip) ?? new Set();
    byVip.set(vip, names);
    for (const ws of wss) names.add(ws);
  }
  return [...byVip].map(([vip, wss]) => [vip, [...wss]]);
}

/** An empty list changes nothing, but of a VIP that is there. */
function onVip(vip: string, calls: Call[]): Translation {
  return (present) => {
    vipsOf(present())(vip);
    return calls;
  };
}

/** VIPs of a cluster by address; throws where there is none. */
function vipsOf({ name, vip2ws }: Cluster): (address: string) => Vip {
  const vips = new Map(vip2ws.map((vip) => [vip.vip, vip]));
  return (address) => {
    const vip = vips.get(address);
    if (vip) return vip;
    throw refuse(missing([address], [...vips.keys()], { what: 'VIP', path: 'vip', of: name }), 'not_found');
  };
}

/** What names a TCP port within its VIP. */
function sportOf(path: string, value: unknown): string {
  const number = typeof value === 'string' && /^\d{1,5}$/.test(value) ? Number(value) : value;
  if (Number.isInteger(number)) return String(number);
  throw refuse([
    error(path, { code: 'wrong_type', message: `must be a port, not ${show(value)}`, hint: 'send a number, e.g. 80' }),
  ]);
}
