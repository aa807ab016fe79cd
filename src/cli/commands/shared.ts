/** What several commands share: paths, options, how a change is reported. */
import type { ChangeResult, ProblemItem } from '../../contract/schemas.ts';
import type { CommandContext, CommandOption, Output } from '../command.ts';

export const dryRunOption: CommandOption = { flags: '--dry-run', help: 'show what would happen, change nothing' };
export const messageOption: CommandOption = { flags: '-m, --message <text>', help: 'why, kept in history' };

/** The cluster's path below /api/v1; further steps are escaped. */
export function pathOf(cluster: string | string[] | undefined, ...steps: (string | string[] | undefined)[]): string {
  return ['/clusters', ...[cluster, ...steps].map((step) => encodeURIComponent(String(step)))].join('/');
}

/** Warnings go to standard error, each with what to do. */
export function noteWarnings(context: CommandContext, warnings: readonly ProblemItem[]): void {
  const shown = warnings.slice(0, 20);
  for (const w of shown) context.note(`warning: ${w.path ? `${w.path}: ` : ''}${w.message}\n  ${w.hint}`);
  if (warnings.length > shown.length) context.note(`and ${warnings.length - shown.length} more warnings`);
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
