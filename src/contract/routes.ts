/**
 * Every route of v1 as data: method, path, what it takes and answers. The API registers handlers by
 * these names, OpenAPI is made from them, the client and CLI call them. Routes that change clusters
 * come from the operations of the domain.
 */
import Type from 'typebox';
import type { TSchema } from 'typebox';
import { ExportedCluster } from '../domain/edge/exported.ts';
import { Cluster, ClusterType } from '../domain/edge/model.ts';
import { moveSteps } from '../domain/edge/moving.ts';
import { operations } from '../domain/edge/operations.ts';
import { strict, text } from '../domain/schema.ts';
import { ClusterProbeView } from './probe.ts';
import * as s from './schemas.ts';
import { ClusterStatusView, ConnectionsView } from './status.ts';

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

const someLbs = o(
  Type.Array(Type.String({ maxLength: 253 }), { minItems: 1, maxItems: 1000, description: 'only these LBs' }),
);

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
  vipMove: {
    method: 'POST',
    path: '/clusters/:cluster/vips/:vip/move',
    tag: 'clusters',
    summary: 'A step of moving a VIP to another cluster; publishes nothing',
    description:
      'begin: the other cluster gets it too. withdraw: this cluster announces it no more, and serves it still. end: this cluster loses it. restore: this cluster announces it as before, and the other no more, though it serves it still; begin goes forward again. cancel, after restore: the other loses it. Each changes both documents at once, or neither. While it moves, nothing else may remove it or set `moving`. If-Match is the ETag of this cluster.',
    query: changeQuery,
    body: Type.Object(
      { to: text('name', 'the other cluster'), step: Type.Union(moveSteps.map((step) => Type.Literal(step))) },
      strict,
    ),
    answer: s.MoveResult,
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
  lipsCapacity: {
    method: 'GET',
    path: '/clusters/:cluster/lips/capacity',
    tag: 'clusters',
    summary: 'How many connections the LIPs carry, and how many LIPs a peak needs',
    query: Type.Object(
      {
        peak: o(
          Type.Integer({
            minimum: 1,
            maximum: 1_000_000_000,
            description: 'connections at once of one port of a VIP over all LBs, those in TIME_WAIT counted',
          }),
        ),
      },
      strict,
    ),
    answer: s.LipCapacityView,
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
        lbs: someLbs,
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
  activationStart: {
    method: 'POST',
    path: '/clusters/:cluster/activations',
    tag: 'activating',
    summary: 'Make the LBs run what is published on them, one after the other unless told otherwise',
    description:
      'Reloads keepalived, routing where its configuration changed, and sets host settings. Each LB checks itself afterwards, and goes back by itself where a check fails. The first LB that fails or goes back stops those that have not begun. An LB on which Weir has published nothing is refused with `not_published`.',
    status: 202,
    body: Type.Object(
      {
        lbs: someLbs,
        revision: o(
          Type.Integer({ minimum: 1, description: 'refuse unless this revision is what is published on all of them' }),
        ),
        wait: o(
          Type.Integer({
            minimum: 0,
            maximum: 3600,
            description: 'seconds that the checks after the reload may take until they pass',
          }),
        ),
        parallel: o(
          Type.Integer({
            minimum: 1,
            maximum: 1000,
            description:
              'LBs at once; default 1. For a cluster that serves nothing yet: a fault that the checks do not see comes to as many LBs at once',
          }),
        ),
        restartRouting: o(
          flag('restart Quagga where its files changed, with the VIPs withdrawn meanwhile; refused otherwise'),
        ),
      },
      strict,
    ),
    answer: s.ActivationView,
  },
  activationList: {
    method: 'GET',
    path: '/clusters/:cluster/activations',
    tag: 'activating',
    summary: 'Activations, newest first',
    query: Type.Object(paging, strict),
    answer: page(s.ActivationView),
  },
  activationGet: {
    method: 'GET',
    path: '/clusters/:cluster/activations/:id',
    tag: 'activating',
    summary: 'One activation',
    answer: s.ActivationView,
  },
  activationEvents: {
    method: 'GET',
    path: '/clusters/:cluster/activations/:id/events',
    tag: 'activating',
    summary: 'Progress of an activation',
    stream: true,
    description: 'Server-sent events: `snapshot` (the activation), `lb` ({lb, ...progress}), `end` (the activation).',
  },
  activationCancel: {
    method: 'POST',
    path: '/clusters/:cluster/activations/:id/cancel',
    tag: 'activating',
    summary: 'Begin no further LB; the one that is under way goes on to its end',
    answer: s.ActivationView,
  },
  lbDrain: {
    method: 'POST',
    path: '/clusters/:cluster/lbs/:lb/drain',
    tag: 'activating',
    summary: 'Withdraw the VIPs of an LB, so that the routers send everything to the others',
    description:
      'Sets the LB’s state in the document and tells the LB, at once and without a publication. Flows that move to another LB break. Where the LB cannot be told the document’s change stays, and the answer is an error that says so.',
    query: changeQuery,
    body: Type.Object(
      {
        reason: o(text('text', 'why, kept on the LB and in history')),
        override: o(flag('tell the LB only; the document stays as it is')),
      },
      strict,
    ),
    answer: s.LbAnswer,
  },
  lbUndrain: {
    method: 'POST',
    path: '/clusters/:cluster/lbs/:lb/undrain',
    tag: 'activating',
    summary: 'Take an LB back into service: it announces its VIPs again',
    query: changeQuery,
    body: Type.Object({ override: o(flag('tell the LB only; the document stays as it is')) }, strict),
    answer: s.LbAnswer,
  },
  lbUndo: {
    method: 'POST',
    path: '/clusters/:cluster/lbs/:lb/undo',
    tag: 'activating',
    summary: 'Let an LB go back to what it ran before its last activation',
    description:
      'The same as `weir undo` on the LB. Afterwards an older release is published there than the document says: the next plan shows it, and the next publication brings the newest.',
    answer: s.LbAnswer,
  },
  clusterStatus: {
    method: 'GET',
    path: '/clusters/:cluster/status',
    tag: 'status',
    summary: 'What the LBs really run, layer by layer, and where it deviates',
    description:
      'Asks the LBs at once, and changes nothing on them. An LB that cannot be read is `unreachable` with its error.',
    query: Type.Object(
      {
        lbs: o(Type.String({ description: 'only these LBs, separated by commas', maxLength: 65536 })),
        services: o(flag('also every service of the kernel with its servers')),
      },
      strict,
    ),
    answer: ClusterStatusView,
  },
  connections: {
    method: 'GET',
    path: '/clusters/:cluster/connections',
    tag: 'status',
    summary: 'Connections and persistence entries that lead to a WS, or to all of a VIP, on each LB',
    description:
      'Summed over ports and VIPs. Name a WS, VIPs, or both. An LB that cannot be read has `error`, and null for its numbers.',
    query: Type.Object(
      {
        ws: o(str('hostname; default all WSs of these VIPs')),
        vip: o(Type.String({ description: 'only behind these VIPs, separated by commas', maxLength: 65536 })),
      },
      strict,
    ),
    answer: ConnectionsView,
  },
  clusterProbe: {
    method: 'POST',
    path: '/clusters/:cluster/probe',
    tag: 'status',
    summary: 'What the LBs are, and where that disagrees with the document: dataplane, routing, interfaces, LIPs',
    description:
      'Asks the LBs at once, and changes nothing on them. Each sends ARP requests for its LIPs that are not on it. An LB that cannot be asked is `unreachable` with its error.',
    query: Type.Object(
      { lbs: o(Type.String({ description: 'only these LBs, separated by commas', maxLength: 65536 })) },
      strict,
    ),
    answer: ClusterProbeView,
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
  exportAll: {
    method: 'GET',
    path: '/export',
    tag: 'transfer',
    summary: 'Everything that is kept of all clusters, as one JSON document',
    description:
      'Sent cluster by cluster, each on a line of its own. Documents refer to secrets; their values are in it only with `secrets`.',
    query: Type.Object(
      {
        history: o(flag('also every revision that is kept, and clusters of which only their history is left')),
        secrets: o(flag('also OSPF keys')),
      },
      strict,
    ),
    answer: s.ExportAnswer,
  },
  importCluster: {
    method: 'POST',
    path: '/import',
    tag: 'transfer',
    summary: 'Take in one cluster of an export, as it was there',
    description:
      'Nothing is overwritten: a cluster that is here and differs is refused with `cluster_differs`. A long history is sent in parts, in order, each with everything else of the cluster. Nothing is there under the name until the last part. What was interrupted is sent again from the start, and goes on where it ended.',
    query: Type.Object({ dryRun: o(flag('answer what would happen, change nothing')) }, strict),
    body: ExportedCluster,
    answer: s.ImportResult,
  },
  leaseList: {
    method: 'GET',
    path: '/leases',
    tag: 'leases',
    summary: 'What is under way, and at which process',
    description:
      'A lease that its process does not renew ends by itself, and another process looks after what it left.',
    answer: Type.Object({ items: Type.Array(s.LeaseView) }),
  },
  leaseBreak: {
    method: 'DELETE',
    path: '/leases/:lease',
    tag: 'leases',
    summary: 'End somebody’s lease',
    description:
      'What works under it ends its sessions as soon as it notices; LBs refuse it once another has worked on them.',
    answer: s.LeaseView,
  },
  conflictList: {
    method: 'GET',
    path: '/conflicts',
    tag: 'original',
    summary: 'What another program wrote to the mirrors in Redis that could not be merged, newest first',
    answer: Type.Object({ items: Type.Array(s.ConflictView), unknown: Type.Array(Type.String()) }),
  },
  conflictDismiss: {
    method: 'DELETE',
    path: '/conflicts/:conflict',
    tag: 'original',
    summary: 'A conflict is dealt with: what is in Weir stands',
    answer: Type.Object({ id: Type.String(), state: Type.Literal('dismissed') }),
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
