/**
 * Problems: expected findings about data that somebody gave us, as values.
 * Every check answers a list of them, so that a user sees all at once.
 * Imports nothing.
 */

/** `error` refuses the input; `warning` lets it pass and is shown. */
export type Severity = 'error' | 'warning';

/** One finding. `path` points into the document or request, e.g. `vip2ws[1].ports[0].dport`; empty for the whole. */
export interface Problem {
  readonly path: string;
  /** Stable, snake_case; listed in docs/model.md. */
  readonly code: string;
  /** What is wrong, with the value, on one line. */
  readonly message: string;
  /** What to do about it. */
  readonly hint: string;
  readonly severity: Severity;
}

export interface ProblemText {
  code: string;
  message: string;
  hint: string;
}

export function error(path: string, text: ProblemText): Problem {
  return { path, ...text, severity: 'error' };
}

export function warning(path: string, text: ProblemText): Problem {
  return { path, ...text, severity: 'warning' };
}

export function errorsOf(problems: readonly Problem[]): Problem[] {
  return problems.filter((p) => p.severity === 'error');
}

export function warningsOf(problems: readonly Problem[]): Problem[] {
  return problems.filter((p) => p.severity === 'warning');
}

const SHOWN = 80;

/** A value as it may stand in a message: JSON, cut, never a line break or a control character. */
export function show(value: unknown): string {
  const text = shown(value, SHOWN_DEPTH).replace(/[\u007f-\u009f\u2028\u2029]/g, escaped);
  return text.length > SHOWN ? `${text.slice(0, SHOWN).replace(/[\ud800-\udbff]$/, '')}…` : text;
}

/** Levels of a value that are shown: input may be deeper than the stack, or hold itself (YAML anchors). */
const SHOWN_DEPTH = 3;

function shown(value: unknown, depth: number): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, SHOWN + 1));
  if (value === null || typeof value !== 'object') return String(value);
  if (depth === 0) return '…';
  if (Array.isArray(value))
    return `[${value
      .slice(0, SHOWN)
      .map((item) => shown(item, depth - 1))
      .join(',')}]`;
  const fields = Object.entries(value).slice(0, SHOWN);
  return `{${fields.map(([key, item]) => `${shown(key, depth)}:${shown(item, depth - 1)}`).join(',')}}`;
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
