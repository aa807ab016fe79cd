/**
 * Every route of v1 as data: method, path, what it takes and answers. The API registers handlers by
 * these names, OpenAPI is made from them, the client and CLI call them. Routes that change clusters
 * come from the operations of the domain.
 */
import Type from 'typebox';
import type { TSchema } from 'typebox';
import { Cluster, ClusterType } from '../domain/edge/model.ts';
import { operations } from '../domain/edge/operations.ts';
import { strict } from '../domain/schema.ts';
import * as s from './schemas.ts';

export interface Route {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Below /api/v1. */
  path: string;
  tag: string;
  summary: string;
  description?: string;
  query?: TSchema;
  body?: TSchema;
  /** Answer of success. */
  answer?: TSchema;
  status?: number;
  /** Content types that it answers besides JSON. */
  types?: readonly string[];
  /** text/event-stream */
  stream?: true;
  /** Asked so often that it goes without hooks it can do without. */
  hot?: true;
}

const o = Type.Optional;
const str = (description: string) => Type.String({ description, maxLength: 256 });
const flag = (description: string) => Type.Boolean({ description });

const paging = {
  limit: o(Type.Integer({ minimum: 1, maximum: 1000, description: 'items of one answer; default 100' })),
  after: o(Type.String({ description: 'continue behind this item: what `next` said', maxLength: 512 })),
};

const page = (item: TSchema) =>
  Type.Object({ items: Type.Array(item), next: Type.Union([Type.String(), Type.Null()]) });

export const changeQuery = Type.Object(
  { dryRun: o(flag('answer what would happen, change nothing')), message: o(str('why, kept in history')) },
  strict,
);

export const routes = {
  clusterList: {
    method: 'GET',
    path: '/clusters',
    tag: 'clusters',
    summary: 'List clusters',
    query: Type.Object({ ...paging, type: o(ClusterType), idc: o(str('machine room')) }, strict),
    answer: page(s.ClusterSummary),
  },
  clusterGet: {
    method: 'GET',
    path: '/clusters/:cluster',
    tag: 'clusters',
    summary: 'Get a cluster’s document',
    description: 'ETag carries the revision. Secrets are shown as references, which PUT takes back.',
    query: Type.Object({ revision: o(Type.Integer({ minimum: 1, description: 'an older revision' })) }, strict),
    answer: Cluster,
  },
  batch: {
    method: 'POST',
    path: '/clusters/:cluster/batch',
    tag: 'clusters',
    summary: 'Several operations, all or nothing',
    description:
      'Each is `{op, ...input}`, e.g. `{"op":"ws.add","vip":"60.28.208.1","wss":["ngx2.hy01"]}`. The cluster may be created by the first.',
    query: changeQuery,
    body: Type.Object(
      { operations: Type.Array(Type.Object({ op: Type.String() }), { minItems: 1, maxItems: 10000 }) },
      strict,
    ),
    answer: s.ChangeResult,
  },
  historyList: {
    method: 'GET',
    path: '/clusters/:cluster/history',
    tag: 'history',
    summary: 'Revisions, newest first',
    query: Type.Object(
      { limit: paging.limit, after: o(Type.Integer({ minimum: 1, description: 'continue below this revision' })) },
      strict,
    ),
    answer: page(s.HistoryRow),
  },
  historyGet: {
    method: 'GET',
    path: '/clusters/:cluster/history/:revision',
    tag: 'history',
    summary: 'One revision with its document',
    answer: Type.Object({ ...s.HistoryRow.properties, document: Type.Union([Cluster, Type.Null()]) }),
  },
  diff: {
    method: 'GET',
    path: '/clusters/:cluster/diff',
    tag: 'history',
    summary: 'What differs between two revisions',
    query: Type.Object(
      {
        from: Type.Integer({ minimum: 1, description: 'revision' }),
        to: o(Type.Integer({ minimum: 1, description: 'revision; default the current one' })),
      },
      strict,
    ),
    answer: s.RevisionDiff,
  },
  rollback: {
    method: 'POST',
    path: '/clusters/:cluster/rollback',
    tag: 'history',
    summary: 'Make a new revision equal to an old one; publishes nothing',
    query: changeQuery,
    body: Type.Object({ to: Type.Integer({ minimum: 1, description: 'revision' }) }, strict),
    answer: s.ChangeResult,
  },
  lipsGet: {
    method: 'GET',
    path: '/clusters/:cluster/lips',
    tag: 'clusters',
    summary: 'LIPs by LB, and those in quarantine',
    answer: s.LipsView,
  },
  lipsFree: {
    method: 'POST',
    path: '/clusters/:cluster/lips/free',
    tag: 'clusters',
    summary: 'End the quarantine of LIPs',
    body: Type.Object({ lips: Type.Array(Type.String({ maxLength: 64 }), { minItems: 1, maxItems: 4096 }) }, strict),
    answer: s.LipsView,
  },
  release: {
    method: 'GET',
    path: '/clusters/:cluster/lbs/:lb/release',
    tag: 'publishing',
    summary: 'The files an LB would get',
    description:
      'JSON, or a tar.gz with `Accept: application/gzip`. Secrets are masked, so masked files differ from their digest.',
    answer: s.LbRelease,
    types: ['application/gzip'],
  },
  plan: {
    method: 'POST',
    path: '/clusters/:cluster/plan',
    tag: 'publishing',
    summary: 'Files that publishing would change on each LB',
    answer: s.PlanResult,
  },
  publicationStart: {
    method: 'POST',
    path: '/clusters/:cluster/publications',
    tag: 'publishing',
    summary: 'Publish the current revision to the LBs; reloads nothing',
    status: 202,
    body: Type.Object(
      {
        lbs: o(
          Type.Array(Type.String({ maxLength: 253 }), { minItems: 1, maxItems: 1000, description: 'only these LBs' }),
        ),
        revision: o(Type.Integer({ minimum: 1, description: 'refuse unless this is the current revision' })),
        overwrite: o(flag('replace files that were changed by hand on the LB; copies are kept there')),
        action: o(
          Type.Union([Type.Literal('publish'), Type.Literal('restore')], {
            description: 'restore: put back what was there before the first publication',
          }),
        ),
      },
      strict,
    ),
    answer: s.PublicationView,
  },
  publicationList: {
    method: 'GET',
    path: '/clusters/:cluster/publications',
    tag: 'publishing',
    summary: 'Publications, newest first',
    query: Type.Object(paging, strict),
    answer: page(s.PublicationView),
  },
  publicationGet: {
    method: 'GET',
    path: '/clusters/:cluster/publications/:id',
    tag: 'publishing',
    summary: 'One publication',
    answer: s.PublicationView,
  },
  publicationEvents: {
    method: 'GET',
    path: '/clusters/:cluster/publications/:id/events',
    tag: 'publishing',
    summary: 'Progress of a publication',
    stream: true,
    description: 'Server-sent events: `snapshot` (the publication), `lb` ({lb, ...progress}), `end` (the publication).',
  },
  publicationCancel: {
    method: 'POST',
    path: '/clusters/:cluster/publications/:id/cancel',
    tag: 'publishing',
    summary: 'Cancel what has not begun, and end sessions',
    answer: s.PublicationView,
  },
  vipList: {
    method: 'GET',
    path: '/vips',
    tag: 'lists',
    summary: 'VIPs of all clusters',
    query: Type.Object(
      { ...paging, cluster: o(str('cluster')), wstype: o(str('wstype')), vip: o(str('address')) },
      strict,
    ),
    answer: page(s.VipRow),
  },
  lbList: {
    method: 'GET',
    path: '/lbs',
    tag: 'lists',
    summary: 'LBs of all clusters',
    query: Type.Object({ ...paging, cluster: o(str('cluster')), lb: o(str('hostname')) }, strict),
    answer: page(s.LbRow),
  },
  wsList: {
    method: 'GET',
    path: '/wss',
    tag: 'lists',
    summary: 'WSs of all clusters',
    query: Type.Object({ ...paging, cluster: o(str('cluster')), ws: o(str('hostname')) }, strict),
    answer: page(s.WsRow),
  },
  wstypeList: {
    method: 'GET',
    path: '/wstypes',
    tag: 'lists',
    summary: 'wstypes',
    query: Type.Object(paging, strict),
    answer: page(s.WstypeRow),
  },
  wstypeWss: {
    method: 'GET',
    path: '/wstypes/:wstype/wss',
    hot: true,
    tag: 'lists',
    summary: 'The Nginx machines of a wstype',
    query: Type.Object(
      {
        ...paging,
        limit: o(Type.Integer({ minimum: 1, maximum: 100000, description: 'items of one answer; default all' })),
        cluster: o(str('cluster')),
        type: o(ClusterType),
        idc: o(str('machine room')),
        format: o(
          Type.Union([Type.Literal('json'), Type.Literal('text')], { description: 'text: one hostname a line' }),
        ),
      },
      strict,
    ),
    answer: page(s.WstypeWs),
    types: ['text/plain'],
  },
  events: {
    method: 'GET',
    path: '/events',
    tag: 'events',
    summary: 'Changes of clusters as they happen',
    stream: true,
    description: 'Server-sent events, resumed by Last-Event-ID as far as the log reaches.',
    query: Type.Object({ cluster: o(str('only this cluster')) }, strict),
  },
} as const satisfies Record<string, Route>;

/** A route that runs an operation. */
export interface OperationRoute extends Route {
  operation: string;
}

export const operationRoutes: readonly OperationRoute[] = [...operations.values()].map((operation) => ({
  operation: operation.name,
  method: operation.http.method,
  path: `/clusters${operation.http.path}`,
  tag: 'clusters',
  summary: operation.summary,
  query: changeQuery,
  ...(operation.http.bodySchema ? { body: operation.http.bodySchema } : {}),
  ...(operation.name === 'cluster.create' ? { status: 201 } : {}),
  answer: s.ChangeResult,
}));
