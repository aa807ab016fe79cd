/** Printing: tables to read, JSON and YAML to process, errors that say what to do. */
import Table from 'cli-table3';
import { colours as pc } from './colours.ts';
import { stringify } from 'yaml';
import { WeirError } from '../domain/errors.ts';
import type { Output } from './command.ts';

export type Format = 'table' | 'json' | 'yaml';

/** Tables fit this width. */
const WIDTH = 100;

export function printed(output: Output, format: Format): string {
  switch (format) {
    case 'json':
      return `${JSON.stringify(output.data, null, 2)}\n`;
    case 'yaml':
      return stringify(output.data);
    case 'table':
      if (output.text !== undefined) return output.text;
      return output.table ? tableText(output.table.columns, output.table.rows) : stringify(output.data);
  }
}

export function tableText(columns: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const cells = rows.map((row) => row.map(cellText));
  const widths = fit(columns.map((name, i) => Math.max(name.length, ...cells.map((row) => width(row[i] ?? '')))));
  const none = {
    top: '',
    'top-mid': '',
    'top-left': '',
    'top-right': '',
    bottom: '',
    'bottom-mid': '',
    'bottom-left': '',
    'bottom-right': '',
  };
  const table = new Table({
    head: columns.map((c) => c.toUpperCase()),
    colWidths: widths.map((w) => w + 2),
    wordWrap: true,
    wrapOnWordBoundary: false,
    chars: { ...none, left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '', middle: '' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2, compact: true },
  });
  table.push(...cells);
  // Coloured at last: what breaks long cells into lines would count the colours' codes as letters.
  const [head = '', ...lines] = table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd());
  return `${[pc.bold(head), ...lines].join('\n')}\n${rows.length === 0 ? '(none)\n' : ''}`;
}

/** Shrinks the widest columns until the table fits. */
function fit(widths: number[]): number[] {
  const fitted = [...widths];
  for (;;) {
    const total = fitted.reduce((sum, w) => sum + w + 2, 0);
    const widest = Math.max(...fitted);
    if (total <= WIDTH || widest <= 12) return fitted;
    fitted[fitted.indexOf(widest)] = Math.max(12, widest - (total - WIDTH));
  }
}

/** Columns on a screen: letters of East Asian scripts take two. */
function width(text: string): number {
  return Math.max(...text.split('\n').map((line) => line.replace(wide, '..').length));
}

const wide =
  /[\u1100-\u115F\u2E80-\u303E\u3041-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\uFFE0-\uFFE6]/g;

function cellText(value: unknown): string {
  if (value === undefined || value === null) return '-';
  return Array.isArray(value) ? value.join(', ') : String(value);
}

/** What went wrong, every problem, and what to do next. */
export function errorText(failure: WeirError): string {
  const lines = [`${pc.red('error')}: ${failure.message} (${failure.code})`];
  const shown = failure.problems.slice(0, 50);
  if (failure.problems.length > 1) {
    for (const p of shown) lines.push(`  ${p.path || '(document)'}: ${p.message} [${p.code}]`, `    ${pc.dim(p.hint)}`);
    if (failure.problems.length > shown.length) lines.push(`  and ${failure.problems.length - shown.length} more`);
  } else if (failure.hint) {
    lines.push(`  ${failure.hint}`);
  }
  return `${lines.join('\n')}\n`;
}
