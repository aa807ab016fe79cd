/**
 * Which Nginx machines a wstype has: the call that other services make most. Answers are kept as
 * bytes until the next event of any cluster.
 */
import type { FastifyInstance } from 'fastify';
import { LRUCache } from 'lru-cache';
import { routes } from '../contract/routes.ts';
import type { WstypeRow, WstypeWs } from '../contract/schemas.ts';
import { addressOf } from '../domain/edge/addresses.ts';
import { idcOf, roomOf } from '../domain/edge/model.ts';
import type { Vip } from '../domain/edge/model.ts';
import { WeirError } from '../domain/errors.ts';
import type { ClusterState } from '../store/present.ts';
import type { Services } from './app.ts';
import { addRoute, pageOf, param, readQuery } from './request.ts';

interface Kept {
  version: number;
  body: Buffer;
  type: string;
}

const KEPT_BYTES = 64 * 1024 * 1024;

export function wstypeRoutes(app: FastifyInstance, { state }: Services): void {
  const kept = new LRUCache<string, Kept>({
    maxSize: KEPT_BYTES,
    sizeCalculation: (k, url) => k.body.length + url.length + 100,
  });

  addRoute(app, routes.wstypeWss, (request, reply) => {
    const version = state.generation();
    let answer = kept.get(request.url);
    if (answer?.version !== version) {
      const query = readQuery(request, routes.wstypeWss.query);
      const wstype = param(request, 'wstype');
      const clusters = state.withWstype(wstype);
      if (clusters.length === 0) throw unknown(wstype, state.wstypes());
      const rows = clusters
        .filter(
          (c) =>
            (query.cluster === undefined || c.name === query.cluster) &&
            (query.type === undefined || c.cluster.type === query.type),
        )
        .flatMap((c) => rowsOf(c, wstype))
        .filter((row) => query.idc === undefined || row.idc === query.idc)
        .sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
      const page = pageOf(rows, { limit: MAX_ROWS, ...query }, keyOf);
      answer =
        query.format === 'text'
          ? {
              version,
              body: Buffer.from([...new Set(page.items.map((r) => `${r.ws}\n`))].join('')),
              type: 'text/plain; charset=utf-8',
            }
          : { version, body: Buffer.from(JSON.stringify(page)), type: 'application/json; charset=utf-8' };
      kept.set(request.url, answer);
    }
    app.count(request, reply);
    return reply.header('content-type', answer.type).send(answer.body);
  });

  addRoute(app, routes.wstypeList, (request) => {
    const page = pageOf(state.wstypes(), readQuery(request, routes.wstypeList.query), (t) => t);
    const items = page.items.map((wstype): WstypeRow => {
      const clusters = state.withWstype(wstype);
      const wss = new Set(clusters.flatMap((c) => vipsOf(c, wstype).flatMap((v) => v.wss)));
      return { wstype, clusters: clusters.map((c) => c.name).sort(), wss: wss.size };
    });
    return { items, next: page.next };
  });
}

const MAX_ROWS = 1_000_000;

const keyOf = (row: WstypeWs) => `${row.ws} ${row.cluster}`;

function vipsOf({ cluster }: ClusterState, wstype: string): Vip[] {
  return cluster.vip2ws.filter((v) => v.wstype === wstype);
}

function rowsOf(state: ClusterState, wstype: string): WstypeWs[] {
  const rows = new Map<string, WstypeWs>();
  const idc = idcOf(state.cluster);
  for (const vip of vipsOf(state, wstype)) {
    for (const ws of vip.wss) {
      const row = rows.get(ws);
      if (row) {
        row.vips.push(vip.vip);
        continue;
      }
      const address = addressOf(vip, ws, state.addresses);
      const room = state.cluster.idc ?? roomOf(ws) ?? idc;
      rows.set(ws, {
        ws,
        cluster: state.name,
        vips: [vip.vip],
        network: state.cluster.type,
        ...(room === undefined ? {} : { idc: room }),
        ...(address === undefined ? {} : { address }),
      });
    }
  }
  return [...rows.values()];
}

function unknown(wstype: string, known: readonly string[]): WeirError {
  return new WeirError('not_found', `no VIP has the wstype ${wstype}`, {
    hint: known.length > 0 ? `there are: ${known.slice(0, 10).join(', ')}` : 'there are no VIPs yet',
  });
}
