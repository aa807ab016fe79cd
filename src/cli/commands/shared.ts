/** What several commands share: paths, options, how a change is reported. */
import type { Client } from '../../client/client.ts';
import type { ChangeResult, ProblemItem } from '../../contract/schemas.ts';
import type { Cluster } from '../../domain/edge/model.ts';
import { WeirError } from '../../domain/errors.ts';
import { error } from '../../domain/problem.ts';
import type { Problem } from '../../domain/problem.ts';
import type { CommandContext, CommandOption, Output } from '../command.ts';

export const dryRunOption: CommandOption = { flags: '--dry-run', help: 'show what would happen, change nothing' };
export const messageOption: CommandOption = { flags: '-m, --message <text>', help: 'why, kept in history' };

/** The cluster's path below /api/v1; further steps are escaped. */
export function pathOf(cluster: string | string[] | undefined, ...steps: (string | string[] | undefined)[]): string {
  return ['/clusters', ...[cluster, ...steps].map((step) => encodeURIComponent(String(step)))].join('/');
}

/** A cluster's document, with its ETag; undefined if there is none. */
export async function presentOf(
  client: Client,
  name: string,
): Promise<{ document: Cluster; revision: string } | undefined> {
  try {
    const { data, headers } = await client.call<Cluster>(pathOf(name));
    return { document: data, revision: headers.get('etag') ?? '*' };
  } catch (thrown) {
    if (thrown instanceof WeirError && thrown.code === 'not_found') return undefined;
    throw thrown;
  }
}

/** Warnings go to standard error, each with what to do. */
export function noteWarnings(context: CommandContext, warnings: readonly ProblemItem[]): void {
  const shown = warnings.slice(0, 20);
  for (const w of shown) context.note(`warning: ${w.path ? `${w.path}: ` : ''}${w.message}\n  ${w.hint}`);
  if (warnings.length > shown.length) context.note(`and ${warnings.length - shown.length} more warnings`);
}

/** Those of a refusal, or the refusal itself as one. */
export function problemsOf({ code, message, hint = 'see weir --help', problems }: WeirError): readonly Problem[] {
  return problems.length > 0 ? problems : [error('', { code, message, hint })];
}

/** Everything that is wrong with one of many, on standard error. */
export function noteProblems(context: CommandContext, what: string, problems: readonly ProblemItem[]): void {
  const shown = problems.slice(0, 50);
  const lines = shown.flatMap((p) => [`  ${p.path || '(document)'}: ${p.message} [${p.code}]`, `    ${p.hint}`]);
  const more = problems.length > shown.length ? [`  and ${problems.length - shown.length} more`] : [];
  context.note([`${what}:`, ...lines, ...more].join('\n'));
}

export function changeOutput(results: readonly ChangeResult[]): Output {
  return { data: results.length === 1 ? results[0] : results, text: results.map((r) => `${changeLine(r)}\n`).join('') };
}

/** A change in one line, with what is next. */
export function changeLine(result: ChangeResult): string {
  const name = `cluster ${result.cluster}`;
  if (!result.changed) return `${name}: unchanged at revision ${result.revision}`;
  if (result.deleted)
    return result.dryRun ? `${name}: would be deleted` : `${name}: deleted; its machines are not touched`;
  if (result.dryRun) return `${name}: would become revision ${result.revision}`;
  return `${name}: revision ${result.revision}; publish it with: weir publish ${result.cluster}`;
}

/** Text that is a number, as one; the server says what is wrong with any other. */
export function numeric(value: unknown): unknown {
  return /^\d{1,9}$/.test(String(value)) ? Number(value) : value;
}
