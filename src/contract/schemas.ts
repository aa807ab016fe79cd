/**
 * Shapes of what the API answers, for OpenAPI and for the client. What it takes stands with the
 * operations in the domain. May import the domain only.
 */
import Type from 'typebox';
import type { Static } from 'typebox';
import { ExportedCluster, ExportHead } from '../domain/edge/exported.ts';
import { Cluster, ClusterType } from '../domain/edge/model.ts';

const o = Type.Optional;
const text = Type.String();
const count = Type.Integer({ minimum: 0 });

export const ProblemItem = Type.Object({
  path: Type.String({ description: 'where, e.g. vip2ws[1].ports[0].dport' }),
  code: text,
  message: text,
  hint: text,
  severity: Type.Union([Type.Literal('error'), Type.Literal('warning')]),
});
export type ProblemItem = Static<typeof ProblemItem>;

/** RFC 9457. */
export const ApiError = Type.Object({
  type: text,
  title: text,
  status: Type.Integer(),
  detail: text,
  code: text,
  hint: o(text),
  revision: o(Type.Integer({ description: 'the current revision, where the caller’s was stale' })),
  problems: Type.Array(ProblemItem),
});
export type ApiError = Static<typeof ApiError>;

export const Operation = Type.Object({ op: text, input: Type.Unknown() });

export const ChangeResult = Type.Object(
  {
    cluster: text,
    revision: Type.Integer({ description: 'the revision that holds the change; in a dry run the one it would be' }),
    changed: Type.Boolean({ description: 'false: the document was as wanted already, no revision was made' }),
    dryRun: Type.Boolean(),
    deleted: Type.Boolean(),
    patch: Type.Union([Type.Unknown(), Type.Null()], {
      description: 'the parts that changed; null for a new or deleted document',
    }),
    lips: Type.Record(text, Type.Array(text), { description: 'LIPs by LB, for LBs of the change' }),
    warnings: Type.Array(ProblemItem),
  },
  { description: 'what a change did' },
);
export type ChangeResult = Static<typeof ChangeResult>;

export const MoveResult = Type.Object({
  vip: text,
  step: text,
  from: ChangeResult,
  to: ChangeResult,
});
export type MoveResult = Static<typeof MoveResult>;

export const ClusterSummary = Type.Object({
  name: text,
  type: ClusterType,
  revision: Type.Integer(),
  dataplane: text,
  idc: o(text),
  linkspeed: o(text),
  lbs: count,
  vips: count,
  wss: Type.Integer({ description: 'distinct WSs' }),
});
export type ClusterSummary = Static<typeof ClusterSummary>;

export const VipRow = Type.Object({
  cluster: text,
  vip: text,
  wstype: text,
  ports: Type.Array(text),
  wss: count,
  domains: Type.Array(text),
  owner: o(text),
});
export type VipRow = Static<typeof VipRow>;

export const LbRow = Type.Object({
  cluster: text,
  lb: text,
  routerid: text,
  internalip: text,
  extraip: o(text),
  state: text,
  lips: Type.Array(text),
});
export type LbRow = Static<typeof LbRow>;

export const WsRow = Type.Object({
  ws: text,
  cluster: text,
  vips: Type.Array(text),
  wstypes: Type.Array(text),
  address: o(text),
});
export type WsRow = Static<typeof WsRow>;

export const WstypeRow = Type.Object({ wstype: text, clusters: Type.Array(text), wss: count });
export type WstypeRow = Static<typeof WstypeRow>;

/** An Nginx machine of a wstype, once per cluster. */
export const WstypeWs = Type.Object({
  ws: text,
  cluster: text,
  vips: Type.Array(text, { description: 'VIPs of this wstype that it stands behind' }),
  network: ClusterType,
  idc: o(text),
  address: o(text),
});
export type WstypeWs = Static<typeof WstypeWs>;

export const HistoryRow = Type.Object({
  revision: Type.Integer(),
  at: text,
  by: text,
  message: o(text),
  deleted: Type.Boolean(),
  digest: text,
  operations: Type.Array(Operation),
});
export type HistoryRow = Static<typeof HistoryRow>;

export const RevisionDiff = Type.Object({
  cluster: text,
  from: Type.Integer(),
  to: Type.Integer(),
  patch: Type.Unknown({ description: 'parts that differ' }),
  diff: Type.String({ description: 'unified, of the documents as YAML' }),
});
export type RevisionDiff = Static<typeof RevisionDiff>;

export const ReleaseFile = Type.Object({
  path: text,
  mode: text,
  size: count,
  sha256: text,
  text: Type.String({ description: 'secrets are masked' }),
});

export const LbRelease = Type.Object({
  id: text,
  cluster: text,
  lb: text,
  revision: Type.Integer(),
  dataplane: text,
  routing: text,
  services: count,
  files: Type.Array(ReleaseFile),
});
export type LbRelease = Static<typeof LbRelease>;

export const PlanResult = Type.Object({
  cluster: text,
  revision: Type.Integer(),
  changes: Type.Boolean(),
  lbs: Type.Record(
    text,
    Type.Object({
      release: text,
      published: Type.Union(
        [
          Type.Object({
            release: text,
            revision: Type.Integer(),
            activated: Type.Boolean({
              description: 'whether Weir saw the LB activate it; a reload by hand is not seen',
            }),
          }),
          Type.Null(),
        ],
        { description: 'what Weir knows to be published there' },
      ),
      doubt: o(Type.String({ description: 'why it is not known, though something was published' })),
      files: Type.Integer({ description: 'files that differ' }),
    }),
  ),
  files: Type.Array(
    Type.Object({
      path: text,
      change: Type.Union([Type.Literal('added'), Type.Literal('removed'), Type.Literal('changed')]),
      lbs: Type.Array(text),
      diff: text,
    }),
  ),
  warnings: Type.Array(ProblemItem),
  truncated: Type.Boolean(),
});
export type PlanResult = Static<typeof PlanResult>;

export const LbProgress = Type.Object({
  state: Type.String({
    description:
      'waiting, running, failed, cancelled, unchanged; published, restored (publication); activated, undone: put back by the LB itself (activation)',
  }),
  step: Type.String({
    description:
      'publication: connect, lock, stage, check, backup, switch, confirm, restore; activation: connect, lock, check, guard, host, keepalived, routing, verify, confirm, undo',
  }),
  message: Type.String({ description: 'why it failed, with the other program’s own words' }),
  warnings: Type.Array(text),
  release: text,
  bytes: Type.Integer({ description: 'sent to the LB' }),
});
export type LbProgress = Static<typeof LbProgress>;

const job = {
  id: text,
  cluster: text,
  revision: Type.Integer(),
  state: Type.String({ description: 'running, done, failed, cancelled or interrupted' }),
  by: text,
  at: text,
  ended: o(text),
  warnings: Type.Array(ProblemItem),
  lbs: Type.Record(text, LbProgress),
};

/** What publications and activations have in common. */
export const LbJobView = Type.Object(job);
export type LbJobView = Static<typeof LbJobView>;

export const PublicationView = Type.Object({
  ...job,
  action: Type.Union([Type.Literal('publish'), Type.Literal('restore')]),
});
export type PublicationView = Static<typeof PublicationView>;

export const ActivationView = Type.Object({
  ...job,
  revision: Type.Integer({ description: 'newest of the revisions that the LBs run afterwards' }),
  wait: Type.Integer({ description: 'seconds that the checks after a reload may take until they pass' }),
});
export type ActivationView = Static<typeof ActivationView>;

export const LbAnswer = Type.Object({
  cluster: text,
  lb: text,
  revision: Type.Integer({ description: 'of the document; in a dry run the one it would be' }),
  state: Type.String({ description: 'the document’s state of the LB: up or drain' }),
  machine: Type.Object(
    {
      state: Type.String({ description: 'drained, undrained, undone or unchanged; unasked in a dry run' }),
      message: text,
      warnings: Type.Array(text),
    },
    { description: 'what the LB answered' },
  ),
  warnings: Type.Array(ProblemItem),
});
export type LbAnswer = Static<typeof LbAnswer>;

export const LipsView = Type.Object({
  lbs: Type.Record(text, Type.Array(text)),
  quarantine: Type.Record(text, Type.Object({ lb: text, since: text })),
});
export type LipsView = Static<typeof LipsView>;

export const ExportAnswer = Type.Object({ ...ExportHead.properties, clusters: Type.Array(ExportedCluster) });

export const ImportResult = Type.Object({
  cluster: text,
  outcome: Type.Union([Type.Literal('imported'), Type.Literal('unchanged'), Type.Literal('continues')], {
    description: 'unchanged: all of it was here; continues: the rest of its history is to be sent',
  }),
  revision: Type.Integer({ description: 'the newest here; in a dry run the one it would be' }),
  dryRun: Type.Boolean(),
  warnings: Type.Array(ProblemItem),
});
export type ImportResult = Static<typeof ImportResult>;

export const LeaseView = Type.Object({
  name: text,
  cluster: Type.Union([text, Type.Null()], { description: 'whose LBs are worked on' }),
  work: Type.String({
    description: 'publication, activation, drain, undrain, undo; takeover: what a dead process left',
  }),
  id: Type.String({ description: 'of the publication or activation' }),
  process: Type.String({ description: 'host, process number and random text' }),
  fence: Type.Integer({ description: 'LBs refuse lower numbers than the highest they have seen' }),
  expires: text,
  alive: Type.Boolean({ description: 'false: its process has not renewed it in time' }),
});
export type LeaseView = Static<typeof LeaseView>;

export const ConflictView = Type.Object({
  id: text,
  cluster: text,
  at: Type.String({ description: 'when it was noticed' }),
  revision: Type.Integer({ description: 'that stayed as it was' }),
  problems: Type.Array(ProblemItem),
  foreign: Type.Union([Type.Record(text, text), Type.Null()], {
    description: 'fields of the record as they were written; null: the record was removed',
  }),
  base: Type.Union([Cluster, Type.Null()], { description: 'document that the record was written from' }),
  present: Type.Union([Cluster, Type.Null()], { description: 'document now' }),
});
export type ConflictView = Static<typeof ConflictView>;

export const LipCapacityView = Type.Object({
  perLip: Type.Integer({ description: 'connections at once that one LIP is good for, to one port of one WS' }),
  lbs: Type.Array(
    Type.Object({
      lb: text,
      lips: count,
      connections: Type.Integer({ description: 'at once, to one port of one WS' }),
    }),
  ),
  needs: Type.Array(
    Type.Object({
      vip: text,
      port: text,
      ws: Type.String({ description: 'the busiest by weight' }),
      share: Type.Number({ description: 'of the port’s connections, 0 to 1' }),
      connections: Type.Integer({ description: 'at once, from one LB to it, while one LB is away' }),
      lips: Type.Integer({ description: 'that every LB needs for them' }),
    }),
    { description: 'with a peak: the port that needs most first, at most 100' },
  ),
  warnings: Type.Array(ProblemItem),
});
export type LipCapacityView = Static<typeof LipCapacityView>;

export interface Page<T> {
  items: T[];
  /** What to send as `after` for the rest; null at the end. */
  next: string | null;
}
