/** Routes that read: clusters, lists over all of them, history. All but history come from memory. */
import { createTwoFilesPatch } from 'diff';
import type { FastifyInstance } from 'fastify';
import { stringify } from 'yaml';
import { routes } from '../contract/routes.ts';
import type { ClusterSummary, HistoryRow, LbRow, VipRow, WsRow } from '../contract/schemas.ts';
import { addressOf } from '../domain/edge/addresses.ts';
import { lipCapacity } from '../domain/edge/capacity.ts';
import { lipsOf } from '../domain/edge/lips.ts';
import { dataplaneOf, idcOf, portKey } from '../domain/edge/model.ts';
import type { Cluster, Vip } from '../domain/edge/model.ts';
import { diffCluster } from '../domain/edge/patch.ts';
import { WeirError } from '../domain/errors.ts';
import { mustGet } from '../jobs/releases.ts';
import type { HistoryEntry } from '../store/port.ts';
import type { ClusterState } from '../store/present.ts';
import type { Services } from './app.ts';
import { addRoute, pageOf, param, readQuery, revisionParam } from './request.ts';

/** Ports that a capacity names: those that need most. */
const MOST_NEEDS = 100;

export function readRoutes(app: FastifyInstance, services: Services): void {
  const { state, store } = services;

  addRoute(app, routes.clusterList, (request) => {
    const query = readQuery(request, routes.clusterList.query);
    const rows = state
      .list()
      .filter(
        (c) =>
          (query.type === undefined || c.cluster.type === query.type) &&
          (query.idc === undefined || idcOf(c.cluster) === query.idc),
      );
    const page = pageOf(rows, query, (c) => c.name);
    return { items: page.items.map(summaryOf), next: page.next };
  });

  addRoute(app, routes.clusterGet, async (request, reply) => {
    const { revision } = readQuery(request, routes.clusterGet.query);
    const name = param(request, 'cluster');
    if (revision !== undefined) {
      return reply.header('etag', `"${revision}"`).send(await state.documentAt(name, revision));
    }
    const cluster = mustGet(state, name);
    const etag = `"${cluster.revision}"`;
    void reply.header('etag', etag);
    if (hasTag(request.headers['if-none-match'], etag)) return reply.code(304).send();
    return reply.header('content-type', 'application/json; charset=utf-8').send(textOf(cluster.cluster));
  });

  addRoute(app, routes.historyList, async (request) => {
    const query = readQuery(request, routes.historyList.query);
    const name = param(request, 'cluster');
    const limit = query.limit ?? 100;
    const entries = await store.history(
      { kind: 'cluster', name },
      { limit: limit + 1, ...(query.after === undefined ? {} : { before: query.after }) },
    );
    if (entries.length === 0 && !(await wasEver(name))) mustGet(state, name);
    const items = entries.slice(0, limit).map(historyRow);
    return { items, next: entries.length > limit ? String(items.at(-1)?.revision) : null };
  });

  /** A deleted cluster still has its history. */
  async function wasEver(name: string): Promise<boolean> {
    return (await store.history({ kind: 'cluster', name }, { limit: 1 })).length > 0;
  }

  addRoute(app, routes.historyGet, async (request) => {
    const name = param(request, 'cluster');
    const revision = revisionParam(request, 'revision');
    const [entry] = await store.history({ kind: 'cluster', name }, { before: revision + 1, limit: 1 });
    if (entry?.revision !== revision) throw unknownRevision(name, revision);
    return { ...historyRow(entry), document: entry.deleted ? null : await state.documentAt(name, revision) };
  });

  addRoute(app, routes.diff, async (request) => {
    const query = readQuery(request, routes.diff.query);
    const name = param(request, 'cluster');
    const to = query.to ?? mustGet(state, name).revision;
    const [before, after] = await Promise.all([state.documentAt(name, query.from), state.documentAt(name, to)]);
    return {
      cluster: name,
      from: query.from,
      to,
      patch: diffCluster(before, after),
      diff: documentDiff(before, after, [query.from, to]),
    };
  });

  addRoute(app, routes.lipsGet, (request) => mustGet(state, param(request, 'cluster')).lips);

  addRoute(app, routes.lipsCapacity, (request) => {
    const { peak } = readQuery(request, routes.lipsCapacity.query);
    const { cluster, lips } = mustGet(state, param(request, 'cluster'));
    const { problems, needs, ...capacity } = lipCapacity(cluster, lips, peak);
    return { ...capacity, needs: needs.slice(0, MOST_NEEDS), warnings: problems };
  });

  addRoute(app, routes.vipList, (request) => {
    const query = readQuery(request, routes.vipList.query);
    const rows = chosen(services, query.cluster).flatMap((c) =>
      c.cluster.vip2ws
        .filter(
          (v) =>
            (query.wstype === undefined || v.wstype === query.wstype) &&
            (query.vip === undefined || v.vip === query.vip),
        )
        .map((v) => ({
          // A VIP that moves is in two clusters: the one that it comes from first.
          key: v.moving?.from === undefined ? v.vip : `${v.vip} ${c.name}`,
          row: vipRow(c.name, v),
        })),
    );
    const page = pageOf(
      sorted(rows, (r) => r.key),
      query,
      (r) => r.key,
    );
    return { ...page, items: page.items.map((r) => r.row) };
  });

  addRoute(app, routes.lbList, (request) => {
    const query = readQuery(request, routes.lbList.query);
    const rows = chosen(services, query.cluster).flatMap((c) =>
      c.cluster.lbinfos
        .filter((lb) => query.lb === undefined || lb.hostname === query.lb)
        .map((lb): LbRow => ({
          cluster: c.name,
          lb: lb.hostname,
          routerid: lb.routerid,
          internalip: lb.internalip,
          ...(lb.extraip === undefined ? {} : { extraip: lb.extraip }),
          state: lb.state ?? 'up',
          lips: [...lipsOf(c.lips, lb.hostname)],
        })),
    );
    return pageOf(
      sorted(rows, (r) => r.lb),
      query,
      (r) => r.lb,
    );
  });

  addRoute(app, routes.wsList, (request) => {
    const query = readQuery(request, routes.wsList.query);
    const rows = chosen(services, query.cluster).flatMap((c) => wssOf(c, query.ws));
    return pageOf(sorted(rows, wsKey), query, wsKey);
  });
}

/** `If-None-Match`: `*`, or a list of tags, which proxies that compress make weak. */
function hasTag(header: string | undefined, etag: string): boolean {
  const tags = header?.split(',').map((tag) => tag.trim().replace(/^W\//, '')) ?? [];
  return tags.includes('*') || tags.includes(etag);
}

const wsKey = (row: WsRow) => `${row.ws} ${row.cluster}`;

function sorted<T>(rows: T[], key: (row: T) => string): T[] {
  return rows.sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

function vipRow(cluster: string, { vip, wstype, ports, wss, domains = [], owner }: Vip): VipRow {
  const shown = ports.map((p) => `${portKey(p)}→${p.dport}`);
  return { cluster, vip, wstype, ports: shown, wss: wss.length, domains, ...(owner === undefined ? {} : { owner }) };
}

function chosen({ state }: Services, name: string | undefined): ClusterState[] {
  if (name === undefined) return state.list();
  const one = state.get(name);
  return one ? [one] : [];
}

function wssOf(state: ClusterState, only: string | undefined): WsRow[] {
  const rows = new Map<string, WsRow>();
  for (const vip of state.cluster.vip2ws) {
    for (const ws of vip.wss) {
      if (only !== undefined && ws !== only) continue;
      const row = rows.get(ws) ?? { ws, cluster: state.name, vips: [], wstypes: [] };
      row.vips.push(vip.vip);
      if (!row.wstypes.includes(vip.wstype)) row.wstypes.push(vip.wstype);
      const address = addressOf(vip, ws, state.addresses);
      if (address !== undefined) row.address ??= address;
      rows.set(ws, row);
    }
  }
  return [...rows.values()];
}

const summaries = new WeakMap<ClusterState, ClusterSummary>();

function summaryOf(state: ClusterState): ClusterSummary {
  let summary = summaries.get(state);
  if (!summary) {
    const { cluster } = state;
    const idc = idcOf(cluster);
    summary = {
      name: state.name,
      type: cluster.type,
      revision: state.revision,
      dataplane: dataplaneOf(cluster),
      ...(idc === undefined ? {} : { idc }),
      ...(cluster.linkspeed === undefined ? {} : { linkspeed: cluster.linkspeed }),
      lbs: cluster.lbinfos.length,
      vips: cluster.vip2ws.length,
      wss: new Set(cluster.vip2ws.flatMap((v) => v.wss)).size,
    };
    summaries.set(state, summary);
  }
  return summary;
}

const texts = new WeakMap<Cluster, string>();

function textOf(cluster: Cluster): string {
  let text = texts.get(cluster);
  if (text === undefined) {
    text = JSON.stringify(cluster);
    texts.set(cluster, text);
  }
  return text;
}

function historyRow(entry: HistoryEntry): HistoryRow {
  return {
    revision: entry.revision,
    at: entry.at,
    by: entry.by,
    ...(entry.message === undefined ? {} : { message: entry.message }),
    deleted: entry.deleted,
    digest: entry.digest,
    operations: entry.calls.map((c) => ({ op: c.op, input: c.input })),
  };
}

function unknownRevision(name: string, revision: number): WeirError {
  return new WeirError('not_found', `revision ${revision} of cluster ${name} is not kept or never was`, {
    hint: `weir history ${name} lists the revisions`,
  });
}

/** Lines added and removed that a difference of documents may take to find. */
const MAX_EDITS = 20_000;

function documentDiff(before: Cluster, after: Cluster, [from, to]: readonly [number, number]): string {
  const options = { context: 3, maxEditLength: MAX_EDITS, timeout: 2000 };
  const text = createTwoFilesPatch(
    `revision ${from}`,
    `revision ${to}`,
    stringify(before),
    stringify(after),
    undefined,
    undefined,
    options,
  );
  return text ?? 'the documents differ too much to show; see patch\n';
}
