/** Commands that carry clusters from one Weir to another: export, import export. */
import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { ImportResult } from '../../contract/schemas.ts';
import { readExported } from '../../domain/edge/exported.ts';
import type { ExportedCluster, ExportedRevision } from '../../domain/edge/exported.ts';
import { messageOf, WeirError } from '../../domain/errors.ts';
import type { ErrorCode } from '../../domain/errors.ts';
import { show } from '../../domain/problem.ts';
import type { Problem } from '../../domain/problem.ts';
import type { Client } from '../../client/client.ts';
import type { Command, CommandContext, Output } from '../command.ts';
import { openExport } from '../export-file.ts';
import { dryRunOption, noteProblems, noteWarnings, problemsOf } from './shared.ts';

const exportCommand: Command = {
  name: 'export',
  summary: 'Write all clusters into one file: documents, LIPs with quarantine, found addresses',
  options: [
    { flags: '-o, --output <file>', help: 'file to write, for its owner alone; - for standard output', required: true },
    { flags: '--with-history', help: 'also every revision that is kept, and clusters that were deleted' },
    { flags: '--with-secrets', help: 'also OSPF keys, in the clear; otherwise only their names' },
  ],
  output: 'target',
  examples: ['weir export -o weir.json --with-history --with-secrets', 'weir export -o - | jq -r ".clusters[].name"'],
  async run(context) {
    const path = String(context.options['output']);
    const query = {
      history: context.options['withHistory'] === true ? true : undefined,
      secrets: context.options['withSecrets'] === true ? true : undefined,
    };
    const chunks = context.client().download('/export', query);
    if (path === '-') {
      for await (const chunk of chunks) await context.write(chunk);
      return undefined;
    }
    const bytes = await writeWhole(path, chunks);
    return { data: { file: path, bytes }, text: `${path}: ${bytes} bytes\n` };
  },
};

/** At no instant is there a file of that name that is not whole. */
async function writeWhole(path: string, chunks: AsyncIterable<Uint8Array>): Promise<number> {
  const fresh = join(dirname(path), `.${basename(path)}.${process.pid}`);
  let bytes = 0;
  try {
    const file = await open(fresh, 'wx', 0o600);
    try {
      for await (const chunk of chunks) {
        await file.writeFile(chunk);
        bytes += chunk.byteLength;
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(fresh, path);
    return bytes;
  } catch (thrown) {
    await rm(fresh, { force: true });
    if (thrown instanceof WeirError) throw thrown;
    throw new WeirError('failed', `${path} cannot be written: ${messageOf(thrown)}`, {
      hint: 'name a file in a folder that you may write to',
      cause: thrown,
    });
  }
}

interface Row {
  cluster: string;
  /** `unreadable`: not what an export has, by its shape alone. */
  outcome: 'imported' | 'unchanged' | 'refused' | 'unreadable';
  /** null: nothing is there. */
  revision: number | null;
  problems: readonly Problem[];
}

const importExport: Command = {
  name: 'import export',
  summary: 'Take in the clusters of an export, as they were there; overwrites nothing',
  options: [
    { flags: '-f, --file <file>', help: 'what weir export wrote; - for standard input', required: true },
    dryRunOption,
  ],
  examples: ['weir import export -f weir.json --dry-run', 'WEIR_URL=http://other:8084 weir import export -f weir.json'],
  async run(context) {
    const { head, clusters } = await openExport(String(context.options['file']));
    context.note(`written at ${head.at} by Weir ${head.weir} from ${head.source}`);
    const dryRun = context.options['dryRun'] === true;
    const rows: Row[] = [];
    try {
      for await (const value of clusters) {
        rows.push(await importOne(context, value, { index: rows.length, dryRun }));
        if (rows.length % 100 === 0) context.note(`${rows.length} clusters`);
      }
    } catch (thrown) {
      // What was done before it stands.
      if (rows.length > 0) context.note(counts(rows, dryRun));
      throw thrown;
    }
    context.note(counts(rows, dryRun));
    return output(rows, dryRun);
  },
};

/** What refuses one cluster; anything else is wrong with the server or the way to it, and ends the import. */
const refusals: readonly ErrorCode[] = ['invalid', 'bad_request', 'exists', 'claimed', 'conflict', 'too_large'];

async function importOne(
  context: CommandContext,
  value: unknown,
  { index, dryRun }: { index: number; dryRun: boolean },
): Promise<Row> {
  const read = readExported(value);
  const name = read.ok ? read.value.name : nameIn(value, index);
  const label = `cluster ${name} (clusters[${index}])`;
  if (!read.ok) {
    noteProblems(context, `${label} cannot be read`, read.problems);
    return { cluster: name, outcome: 'unreadable', revision: null, problems: read.problems };
  }
  try {
    const result = await send(context.client(), read.value, dryRun);
    noteWarnings(context, result.warnings);
    const outcome = result.outcome === 'unchanged' ? 'unchanged' : 'imported';
    return { cluster: name, outcome, revision: result.revision, problems: [] };
  } catch (thrown) {
    if (!(thrown instanceof WeirError) || !refusals.includes(thrown.code)) throw thrown;
    const problems = problemsOf(thrown);
    noteProblems(context, `${label} is refused`, problems);
    return { cluster: name, outcome: 'refused', revision: null, problems };
  }
}

function nameIn(value: unknown, index: number): string {
  const { name } = (value ?? {}) as { name?: unknown };
  return typeof name === 'string' ? show(name).slice(1, -1) : `clusters[${index}]`;
}

/** Characters of a history that are sent at once: well below what a request may have. */
const PART = 8 * 1024 * 1024;

async function send(client: Client, cluster: ExportedCluster, dryRun: boolean): Promise<ImportResult> {
  const parts = partsOf(cluster.history ?? []);
  // A part of a history can only be looked at when those before it are there.
  const wanted = dryRun && parts.length > 1 ? [undefined] : parts;
  let result: ImportResult | undefined;
  for (const history of wanted.length > 0 ? wanted : [undefined]) {
    const { history: _all, ...rest } = cluster;
    const body = { ...rest, ...(history ? { history } : {}) };
    const query = { dryRun: dryRun ? true : undefined };
    result = (await client.call<ImportResult>('/import', { method: 'POST', body, query })).data;
    if (result.outcome !== 'continues') break;
  }
  if (!result) throw new Error('nothing was sent');
  return result;
}

function partsOf(history: readonly ExportedRevision[]): ExportedRevision[][] {
  const parts: ExportedRevision[][] = [];
  let size = Infinity;
  for (const entry of history) {
    const { length } = JSON.stringify(entry);
    if (size + length > PART) {
      parts.push([]);
      size = 0;
    }
    parts.at(-1)?.push(entry);
    size += length;
  }
  return parts;
}

function counts(rows: readonly Row[], dryRun: boolean): string {
  const number = (outcome: Row['outcome']) => rows.filter((row) => row.outcome === outcome).length;
  const words = dryRun ? 'would be imported' : 'imported';
  const refused = number('refused') + number('unreadable');
  return `${number('imported')} ${words}, ${number('unchanged')} unchanged, ${refused} refused`;
}

function output(rows: readonly Row[], dryRun: boolean): Output {
  const has = (outcome: Row['outcome']) => rows.some((row) => row.outcome === outcome);
  const lines = rows.map((row) => [
    row.cluster,
    row.outcome,
    row.revision,
    [...new Set(row.problems.map((p) => p.code))],
  ]);
  return {
    data: { dryRun, clusters: rows },
    table: { columns: ['cluster', 'outcome', 'revision', 'why'], rows: lines },
    exit: has('unreadable') ? 2 : has('refused') ? 1 : dryRun && has('imported') ? 3 : 0,
  };
}

export const transferCommands: readonly Command[] = [exportCommand, importExport];
