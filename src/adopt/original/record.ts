/**
 * Records of the original: Redis hashes `cluster:NAME` of five fields, three of them the text of
 * Python 2 literals. Read here into Weir's documents, and written as mirrors of them that the
 * original's readers, which evaluate the text, go on understanding. The folder also has what taking
 * over needs besides: its LIPs (lips.ts), and what others write to a mirror (merge.ts).
 * Pure: imports domain only. For api/ and cli/, and whoever wires a store with mirrors.
 */
import { duplicates } from '../../domain/edge/check-shared.ts';
import { portKey } from '../../domain/edge/model.ts';
import type { Cluster } from '../../domain/edge/model.ts';
import { parseCluster } from '../../domain/edge/read.ts';
import { error } from '../../domain/problem.ts';
import type { Problem } from '../../domain/problem.ts';
import type { Parsed } from '../../domain/schema.ts';
import { originalLb, originalVips } from './form.ts';
import type { OriginalLb, OriginalVip } from './form.ts';
import { readLiteral } from './literal.ts';
import { each, plainLb, plainVip, unknownField } from './plain.ts';
import type { Reading } from './plain.ts';

const plainFields = ['type', 'device'] as const;
const literalFields = ['lbinfos', 'vip2ws', 'vipnets'] as const;

/** Fields of the hash. */
export const recordFields = [...plainFields, ...literalFields] as const;
export type OriginalRecord = Record<(typeof recordFields)[number], string>;

/** What the original's API answers for a cluster. */
export interface OriginalCluster {
  name: string;
  type: Cluster['type'];
  lbinfos: OriginalLb[];
  vip2ws: OriginalVip[];
  vipnets: string[];
  device: string;
}

export function originalCluster(cluster: Cluster): OriginalCluster {
  const { name, type, vipnets, device } = cluster;
  return { name, type, lbinfos: cluster.lbinfos.map(originalLb), vip2ws: originalVips(cluster), vipnets, device };
}

/**
 * The mirror of a document. Its text is JSON and at the same time a Python 2 literal of the same
 * value: no true, false or null, and no escapes, which differ; the model's texts need none.
 */
export function recordOf(cluster: Cluster): OriginalRecord {
  return {
    type: cluster.type,
    device: cluster.device,
    lbinfos: `[${cluster.lbinfos.map((lb) => textOf(originalLb(lb))).join(',')}]`,
    vip2ws: `[${originalVips(cluster).map(textOf).join(',')}]`,
    vipnets: JSON.stringify(cluster.vipnets),
  };
}

const texts = new WeakMap<OriginalLb | OriginalVip, string>();

function textOf(form: OriginalLb | OriginalVip): string {
  let text = texts.get(form);
  if (text === undefined) {
    text = JSON.stringify(form);
    texts.set(form, text);
  }
  return text;
}

/** The document of a record, or all that is wrong with it. Rules beyond its shape are `checkCluster`'s. */
export function readRecord(name: string, fields: Readonly<Record<string, string>>): Parsed<Cluster> {
  const problems = Object.keys(fields)
    .filter((field) => !isRecordField(field))
    .map((field) => unknownField('', field, recordFields));
  const reading: Reading = { type: ownField(fields, 'type'), problems };
  const document: Record<string, unknown> = { name };
  for (const field of plainFields) if (Object.hasOwn(fields, field)) document[field] = fields[field];
  for (const field of literalFields) {
    const value = readField(field, ownField(fields, field), reading);
    if (value !== undefined) document[field] = plainField(field, value, reading);
  }
  const parsed = parseCluster(document);
  if (!parsed.ok) problems.push(...untold(parsed.problems, problems));
  else problems.push(...repeated(parsed.value));
  return parsed.ok && problems.length === 0 ? parsed : { ok: false, problems };
}

function isRecordField(field: string): boolean {
  return (recordFields as readonly string[]).includes(field);
}

function ownField(fields: Readonly<Record<string, string>>, field: string): string | undefined {
  return Object.hasOwn(fields, field) ? fields[field] : undefined;
}

function readField(field: string, text: string | undefined, { problems }: Reading): unknown {
  if (text === undefined) return undefined;
  const read = readLiteral(text);
  if (read.ok) return read.value;
  problems.push(
    error(field, {
      code: 'bad_literal',
      message: `${field} cannot be read, at character ${read.offset}: ${read.message}`,
      hint: 'write a Python literal or JSON; nothing in it is evaluated',
    }),
  );
  return undefined;
}

function plainField(field: (typeof literalFields)[number], value: unknown, reading: Reading): unknown {
  switch (field) {
    case 'lbinfos':
      return each(value, field, (lb, path) => plainLb(lb, path, reading));
    case 'vip2ws':
      return each(value, field, (vip, path) => plainVip(vip, path, reading));
    case 'vipnets':
      return value;
  }
}

/** Without those of places that something was told of already. */
function untold(found: readonly Problem[], told: readonly Problem[]): Problem[] {
  const paths = new Set(told.map((p) => p.path));
  return found.filter((p) => !paths.has(p.path));
}

/** Merging goes by what names a VIP, LB or port: one that stands twice would lose its second half unseen. */
function repeated({ lbinfos, vip2ws }: Cluster): Problem[] {
  return [
    ...duplicates(
      lbinfos.map((lb) => lb.hostname),
      (i) => `lbinfos[${i}].hostname`,
      { code: 'duplicate_lb', what: 'LB' },
    ),
    ...duplicates(
      vip2ws.map((vip) => vip.vip),
      (i) => `vip2ws[${i}].vip`,
      { code: 'duplicate_vip', what: 'VIP' },
    ),
    ...vip2ws.flatMap(({ ports }, i) =>
      duplicates(ports.map(portKey), (j) => `vip2ws[${i}].ports[${j}].sport`, { code: 'duplicate_port', what: 'port' }),
    ),
  ];
}
