/** Shapes of the API's answers about what LBs really run. May import the domain only. */
import Type from 'typebox';
import type { Static } from 'typebox';

const o = Type.Optional;
const text = Type.String();
const count = Type.Integer({ minimum: 0 });
const orNull = <S extends Type.TSchema>(schema: S) => Type.Union([schema, Type.Null()]);

export const Finding = Type.Object({
  code: Type.String({ description: 'explained in docs/status.md' }),
  layer: Type.Union([Type.Literal('published'), Type.Literal('loaded'), Type.Literal('kernel')]),
  object: Type.String({ description: 'what it is about: a release, a path, a service, an address' }),
  message: text,
  hint: Type.String({ description: 'what to do next' }),
});
export type Finding = Static<typeof Finding>;

const Findings = Type.Object({
  total: count,
  items: Type.Array(Finding, { description: 'the first 100 of them' }),
});

const Count = { expected: count, present: count };

const RealServer = Type.Object({
  key: Type.String({ description: 'ADDRESS:PORT' }),
  weight: Type.Integer(),
  active: count,
  inactive: count,
});

const Desired = Type.Object(
  { release: text, revision: count, state: Type.Union([Type.Literal('up'), Type.Literal('drain')]) },
  { description: 'what Weir would publish now; null where the document cannot be rendered' },
);

const Published = Type.Object(
  {
    release: text,
    revision: orNull(Type.Integer({ description: 'revision it was published with, where Weir knows' })),
    verified: Type.Boolean({ description: 'files are as the release has them, those that daemons read too' }),
    dataplane: text,
    routing: text,
    services: count,
    active: orNull(Type.String({ description: 'release that was activated last, and confirmed' })),
    previous: orNull(Type.String({ description: 'release that undo goes back to, or backup' })),
    activating: orNull(Type.Object({ release: text, deadline: Type.Integer({ description: 'epoch seconds' }) })),
    undone: orNull(
      Type.Object({ at: Type.Integer({ description: 'epoch seconds' }), from: text, to: text, reason: text }),
    ),
  },
  { description: 'on the disk of the LB; null where Weir has nothing there' },
);

const Loaded = Type.Object({
  keepalived: Type.Object({
    state: Type.String({
      description: 'release, foreign, none (runs without services), unknown, or down',
    }),
    release: orNull(text),
    loads: orNull(Type.String({ description: 'digest of what was loaded' })),
    source: orNull(Type.String({ description: 'process: the checker’s name; record: what the activation wrote down' })),
    pid: orNull(Type.Integer()),
  }),
  routing: Type.Object({
    state: Type.String({
      description: 'published, active (the release that was activated), differs, unknown, or down',
    }),
    differences: Type.Array(text, { description: '+ runs, - does not; keys are masked' }),
  }),
});

const Kernel = Type.Object({
  against: orNull(Type.String({ description: 'release it was compared with: the loaded one' })),
  services: Type.Object(Count),
  servers: Type.Object(Count),
  connections: Type.Object({ active: count, inactive: count }),
  vips: Type.Object({ ...Count, high: Type.Integer({ description: 'announced at high cost' }) }),
  lips: Type.Object(Count),
  ospf: Type.Object({
    full: count,
    neighbours: Type.Array(Type.Object({ id: text, address: text, state: text, interface: text })),
  }),
  boot: Type.Object({ id: text, uptime: Type.Number({ description: 'seconds' }) }),
});

const Drained = Type.Object({
  origin: Type.String({ description: 'weir: with the document; override: beside it; local: by a person on the LB' }),
  since: Type.Integer({ description: 'epoch seconds; 0: unknown' }),
  reason: text,
});

/** One LB; what stands behind `error` is missing where it could not be read. */
export const LbStatusView = Type.Object({
  lb: text,
  state: Type.Union([Type.Literal('ok'), Type.Literal('deviates'), Type.Literal('unreachable')]),
  error: o(text),
  desired: orNull(Desired),
  published: o(orNull(Published)),
  loaded: o(Loaded),
  kernel: o(Kernel),
  drained: o(orNull(Drained)),
  deviations: o(Findings),
  notes: o(Findings),
  announced: o(
    Type.Array(Type.Object({ vip: text, on: Type.String({ description: 'lo, or weir-high: at high cost' }) }), {
      description: 'addresses of vipnets that the LB announces, with services=true',
    }),
  ),
  services: o(
    Type.Array(Type.Object({ service: text, scheduler: text, servers: Type.Array(RealServer) }), {
      description: 'the IPVS table, with services=true',
    }),
  ),
});
export type LbStatusView = Static<typeof LbStatusView>;

export const ClusterStatusView = Type.Object({
  cluster: text,
  revision: count,
  unrenderable: orNull(Type.String({ description: 'why nothing is desired' })),
  lbs: Type.Array(LbStatusView),
});
export type ClusterStatusView = Static<typeof ClusterStatusView>;

export const ConnectionsView = Type.Object({
  ws: orNull(Type.String({ description: 'null: all of these VIPs' })),
  lbs: Type.Record(
    text,
    Type.Object({
      active: orNull(count),
      inactive: orNull(count),
      persistent: orNull(Type.Integer({ description: 'entries that bring clients back; null: the LB cannot tell' })),
      servers: orNull(Type.Integer({ description: 'entries of the IPVS table that lead to it' })),
      error: o(text),
    }),
  ),
});
export type ConnectionsView = Static<typeof ConnectionsView>;
