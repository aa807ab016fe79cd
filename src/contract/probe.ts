/** Shapes of the API's answers about what LBs are, against what their document says. May import the domain only. */
import Type from 'typebox';
import type { Static } from 'typebox';

const o = Type.Optional;
const text = Type.String();
const count = Type.Integer({ minimum: 0 });
const orNull = <S extends Type.TSchema>(schema: S) => Type.Union([schema, Type.Null()]);

const literals = <T extends string>(values: readonly T[], description: string) =>
  Type.Union(
    values.map((value) => Type.Literal(value)),
    { description },
  ) as unknown as Type.TUnsafe<T>;

const Known = literals(
  ['yes', 'no', 'unknown'],
  'whether it is a build with LIPs (laddr); unknown: it is a script, which may call one',
);

const Severity = literals(['deviation', 'note'], 'note: as it may be, but worth knowing');

export const ProbeFinding = Type.Object({
  severity: Severity,
  code: Type.String({ description: 'explained in docs/status.md' }),
  object: Type.String({ description: 'what it is about: a program, a module, an interface, an address' }),
  message: Type.String({ description: 'what the document says, and the machine’s own words' }),
  hint: Type.String({ description: 'what to do next' }),
});
export type ProbeFinding = Static<typeof ProbeFinding>;

const Queues = Type.Object({ rx: count, tx: count });

const Nic = Type.Object({
  name: Type.String({ description: 'the kernel’s; DEVICE.kni with dpvs' }),
  present: Type.Boolean(),
  operstate: Type.String({ description: 'as in /sys/class/net; unknown: the driver does not tell' }),
  enabled: Type.Boolean({ description: 'switched on (IFF_UP)' }),
  carrier: Type.Boolean(),
  speed: orNull(Type.Integer({ description: 'Mbit/s; null: the driver does not tell' })),
  driver: text,
  queues: Queues,
  maxQueues: orNull(Type.Integer({ description: 'that it could have, of one kind' })),
  ring: orNull(
    Type.Object({ rx: count, tx: count, maxRx: count, maxTx: count }, { description: 'descriptors, present and most' }),
  ),
});

const Daemon = Type.Object({
  name: text,
  path: text,
  words: Type.String({ description: 'its own, with -v' }),
  suite: literals(['frr', 'quagga', 'unknown'], 'by its version: Quagga ended with 1.2.4, FRR began with 2.0'),
});

const Running = Type.Object({
  name: text,
  pid: count,
  path: Type.String({ description: 'empty where ssh does not log in as root' }),
});

const Lip = Type.Object({
  address: text,
  interfaces: Type.Array(text, { description: 'that have it' }),
  state: literals(
    ['here', 'free', 'taken', 'failed', 'unasked'],
    'here: on the LB; free, taken: whether another machine answers for it; failed, unasked: nobody knows',
  ),
  words: Type.String({ description: 'MAC of who answers, or arping’s words' }),
});

const Machine = Type.Object({
  root: Type.Boolean({ description: 'ssh logs in as root' }),
  kernel: Type.String({ description: 'its release' }),
  distribution: text,
  active: orNull(Type.String({ description: 'release that was activated' })),
  keepalived: orNull(
    Type.Object({
      path: text,
      version: Type.String({ description: 'empty: it does not tell' }),
      words: Type.String({ description: 'its own, with -v' }),
      laddr: Known,
      options: Type.Array(text, { description: 'Config options, where it tells them' }),
    }),
  ),
  dpvs: Type.Object({
    dpip: orNull(Type.Object({ path: text, words: text })),
    running: Type.Boolean(),
    ports: orNull(Type.Array(Type.Object({ name: text, up: Type.Boolean(), speed: orNull(count), queues: Queues }))),
  }),
  ipvs: Type.Object({
    table: Type.Boolean({ description: '/proc/net/ip_vs is there' }),
    fullnat: Type.Boolean({ description: 'it is that of Alibaba LVS' }),
  }),
  modules: Type.Record(text, literals(['loaded', 'available', 'missing', 'unknown'], 'available: modprobe finds it')),
  routing: Type.Object({ installed: Type.Array(Daemon), running: Type.Array(Running) }),
  tools: Type.Record(text, text, { description: 'paths, by name' }),
  iptables: text,
  ipvsadm: orNull(Type.Object({ path: text, laddr: Known })),
  interfaces: Type.Array(Nic),
  arping: literals(['iputils', 'busybox', 'other', 'none'], 'other: one that does not detect duplicate addresses'),
  lips: Type.Array(Lip),
});

const Document = Type.Object({
  dataplane: text,
  routing: text,
  linkspeed: orNull(text),
  interfaces: Type.Array(text),
  lips: count,
});

/** One LB; what stands behind `error` is missing where it could not be asked. */
export const LbProbeView = Type.Object({
  lb: text,
  document: Document,
  state: literals(['ok', 'deviates', 'unreachable'], 'deviates: it has a finding that is not a note'),
  error: o(text),
  machine: o(Machine),
  deviations: o(count),
  notes: o(count),
  findings: o(Type.Array(ProbeFinding, { description: 'the first 100 of them, deviations before notes' })),
});
export type LbProbeView = Static<typeof LbProbeView>;

export const ClusterProbeView = Type.Object({ cluster: text, revision: count, lbs: Type.Array(LbProbeView) });
export type ClusterProbeView = Static<typeof ClusterProbeView>;
