/**
 * The form in which one Weir gives its clusters to another: a head, then each cluster with all that is
 * kept of it. Read strictly, since a file may come from anywhere and may have been edited.
 */
import Type from 'typebox';
import type { Static } from 'typebox';
import { error, show } from '../problem.ts';
import type { Problem } from '../problem.ts';
import { parse, strict, text } from '../schema.ts';
import type { Parsed } from '../schema.ts';
import type { FoundAddresses } from './addresses.ts';
import type { LipPlan } from './lips.ts';
import { Cluster, headFields, Lb, Vip } from './model.ts';
import type { Call } from './operations.ts';
import type { ClusterPatch } from './patch.ts';

const o = Type.Optional;

/** What `format` says in every file. */
export const EXPORT_FORMAT = 'weir-export';
/** Goes up when an older Weir would read a file wrongly. */
export const EXPORT_VERSION = 1;

const time = (description: string) =>
  Type.String({ description, pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(?:\\.\\d{1,9})?Z$' });

const Revision = Type.Integer({ minimum: 1, maximum: 1_000_000_000 });

/** What stands before the clusters. */
export const ExportHead = Type.Object(
  {
    format: Type.Literal(EXPORT_FORMAT),
    version: Type.Integer({ description: 'of the format' }),
    weir: Type.String({ description: 'version of the Weir that wrote it' }),
    at: time('when it was written'),
    source: Type.String({ description: 'the store it was read from' }),
    history: Type.Boolean({ description: 'whether the revisions that are kept are in it' }),
    secrets: Type.Boolean({ description: 'whether OSPF keys are in it' }),
    nginx: Type.Array(Type.Unknown(), { maxItems: 0, description: 'objects of Nginx: none yet' }),
  },
  strict,
);
export type ExportHead = Static<typeof ExportHead>;

function listPatch<Item extends typeof Lb | typeof Vip>(item: Item) {
  const names = Type.Array(Type.String({ maxLength: 253 }));
  return Type.Object({ remove: o(names), set: o(Type.Array(item)), order: o(names) }, strict);
}

const Patch = Type.Object(
  {
    head: o(Type.Object({ name: Cluster.properties.name, ...headFields }, strict)),
    lbinfos: o(listPatch(Lb)),
    vip2ws: o(listPatch(Vip)),
  },
  strict,
);

const entryFields = {
  revision: Revision,
  at: time('when it was made'),
  by: Type.String({ maxLength: 256 }),
  message: o(Type.String({ maxLength: 65536 })),
  operations: Type.Array(Type.Object({ op: Type.String({ maxLength: 256 }), input: Type.Unknown() }, strict)),
};

const lips = Type.Object(
  {
    lbs: Type.Record(Type.String(), Type.Array(text('address', 'LIP')), { propertyNames: text('hostname', 'LB') }),
    quarantine: Type.Record(
      Type.String(),
      Type.Object({ lb: text('hostname', 'LB'), since: time('since when') }, strict),
      {
        propertyNames: text('address', 'LIP'),
      },
    ),
  },
  { ...strict, description: 'LIPs by LB, and those in quarantine' },
);

const clusterFields = {
  name: Cluster.properties.name,
  revision: { ...Revision, description: 'the newest' } as typeof Revision,
  lips,
  addresses: Type.Record(
    Type.String(),
    Type.Object(
      {
        address: text('address', 'of the WS'),
        source: Type.Union([Type.Literal('hosts'), Type.Literal('dns')]),
        missing: o(Type.Literal(true)),
      },
      strict,
    ),
    { propertyNames: text('hostname', 'WS'), description: 'addresses that WSs were found at' },
  ),
  secrets: o(
    Type.Record(Type.String(), text('ospf-key', 'OSPF key'), {
      propertyNames: Type.String({ pattern: '^[A-Za-z0-9._-]{1,160}$' }),
      description: 'OSPF keys by the name that documents refer to',
    }),
  ),
};

const noDocument = Type.Union([Cluster, Type.Null()], { description: 'null: it is deleted' });

/** One cluster, for OpenAPI; what is read is `readExported`'s. */
export const ExportedCluster = Type.Object(
  {
    ...clusterFields,
    document: noDocument,
    history: o(
      Type.Array(Type.Object({ ...entryFields, document: o(noDocument), patch: o(Patch) }, strict), {
        minItems: 1,
        description:
          'revisions, oldest first, each with its document or with what differs from the one before; may end before `revision` where the rest follows',
      }),
    ),
  },
  strict,
);

/** One revision: `document` whole (null: a deletion), or `patch` from the one before. */
export interface ExportedRevision {
  readonly revision: number;
  /** ISO time. */
  readonly at: string;
  readonly by: string;
  readonly message?: string;
  readonly operations: readonly Call[];
  readonly document?: Cluster | null;
  readonly patch?: ClusterPatch;
}

export interface ExportedCluster {
  readonly name: string;
  readonly revision: number;
  readonly document: Cluster | null;
  readonly lips: LipPlan;
  readonly addresses: FoundAddresses;
  /** Values by name; left out where the file holds none. */
  readonly secrets?: Readonly<Record<string, string>>;
  readonly history?: readonly ExportedRevision[];
}

const Envelope = Type.Object(
  {
    ...clusterFields,
    document: Type.Unknown(),
    history: o(
      Type.Array(Type.Object({ ...entryFields, document: o(Type.Unknown()), patch: o(Patch) }, strict), {
        minItems: 1,
      }),
    ),
  },
  strict,
);

/** The head of a file; that of a newer format is refused as such. */
export function readHead(value: unknown): Parsed<ExportHead> {
  const { format, version } = (value ?? {}) as Partial<Record<string, unknown>>;
  if (format !== EXPORT_FORMAT) {
    return refused('format', {
      code: 'not_an_export',
      message: `format is ${show(format)}, not ${EXPORT_FORMAT}`,
      hint: 'name a file that weir export wrote',
    });
  }
  if (version !== EXPORT_VERSION) {
    return refused('version', {
      code: 'export_version',
      message: `version ${show(version)} of the format is not known here, only ${EXPORT_VERSION}`,
      hint: 'import it with the Weir version that wrote it, or a newer one',
    });
  }
  return parse(ExportHead, value);
}

function refused(path: string, problem: Parameters<typeof error>[1]): { ok: false; problems: Problem[] } {
  return { ok: false, problems: [error(path, problem)] };
}

/** One cluster, with every problem of its shape. Values of secrets are never shown. */
export function readExported(value: unknown): Parsed<ExportedCluster> {
  const read = parse(Envelope, value);
  if (!read.ok) return { ok: false, problems: read.problems.map(hidden) };
  const problems: Problem[] = [];
  const documentAt = (given: unknown, path: string): Cluster | null => {
    if (given === null) return null;
    const document = parse(Cluster, given, path);
    if (!document.ok) problems.push(...document.problems.map(hidden));
    else if (document.value.name !== read.value.name) problems.push(otherName(path, document.value.name));
    return document.ok ? document.value : null;
  };
  const document = documentAt(read.value.document, 'document');
  if (document === null && read.value.document === null && !read.value.history) problems.push(nothing());
  const history = read.value.history?.map((entry, i): ExportedRevision => {
    const path = `history[${i}]`;
    if ((entry.document === undefined) === (entry.patch === undefined)) problems.push(neither(path));
    const { document: given, ...rest } = entry as typeof entry & { patch?: ClusterPatch };
    return given === undefined ? rest : { ...rest, document: documentAt(given, `${path}.document`) };
  });
  if (problems.length > 0) return { ok: false, problems };
  return { ok: true, value: { ...read.value, document, ...(history ? { history } : {}) } as ExportedCluster };
}

/** Whatever stands where a secret should. */
function hidden(problem: Problem): Problem {
  return /(?:^secrets|\.ospf(?:\.(?:old)?key)?$)/.test(problem.path)
    ? { ...problem, message: 'what was given is not allowed here' }
    : problem;
}

function otherName(path: string, name: string): Problem {
  return error(`${path}.name`, {
    code: 'name_mismatch',
    message: `the document's name is ${name}, that of its cluster is another`,
    hint: 'use the same name in both',
  });
}

function nothing(): Problem {
  return error('history', {
    code: 'missing',
    message: 'the cluster is deleted, and its history is missing: nothing of it is left',
    hint: 'leave the cluster out of the file',
  });
}

function neither(path: string): Problem {
  return error(path, {
    code: 'bad_history',
    message: 'a revision has its document or a patch, and not both',
    hint: 'import the file as weir export wrote it, or an export without history',
  });
}
