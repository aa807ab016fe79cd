/**
 * The ledger of an import: every statement is expressed in the document, or stands here with the reason. What was never
 * looked at is found at the end, so that nothing can be left out in silence.
 */
import type { Statement } from './statements.ts';

/** What of a service a finding is about; a difference after rendering again is explained by one of the same field. */
export type Field =
  | 'service'
  | 'servers'
  | 'weight'
  | 'check'
  | 'scheduler'
  | 'kind'
  | 'persistence'
  | 'synproxy'
  | 'quorum'
  | 'clients'
  | 'timeouts'
  | 'lips'
  | 'other';

/** `lost`: traffic, or what is done about it, would change. `dropped`: no effect on traffic, or Weir writes it itself. */
export type Severity = 'lost' | 'dropped';

export interface Finding {
  severity: Severity;
  file: string;
  /** From 1. */
  line: number;
  /** The statement's words, on one line. */
  statement: string;
  /** Statements in its block, for which it stands too. */
  within: number;
  why: string;
  /** What to do; empty: nothing. */
  hint: string;
  field: Field;
  /** Which virtual_server it is about, in the order of the files. */
  server: number | undefined;
  /** `VIP:PORT/PROTOCOL` or the VIP, where it is about one of a server's several. */
  service: string | undefined;
}

export interface Reason {
  why: string;
  hint?: string;
  field?: Field;
  service?: string;
}

export class Ledger {
  readonly findings: Finding[] = [];
  /** The virtual_server that is being read: what is found belongs to it. */
  server: number | undefined;
  readonly #open = new Set<Statement>();
  readonly #closed = new Set<Statement>();
  readonly #said = new Map<Statement, Set<string>>();

  /** The document says what it says; its block is looked at by itself. */
  take(statement: Statement): void {
    this.#open.add(statement);
  }

  lose(statement: Statement, reason: Reason): void {
    this.#closed.add(statement);
    this.#add('lost', statement, reason);
  }

  drop(statement: Statement, reason: Reason): void {
    this.#closed.add(statement);
    this.#add('dropped', statement, reason);
  }

  /** Of a statement that is expressed as far as it can be. */
  remark(statement: Statement, reason: Reason): void {
    this.#open.add(statement);
    this.#add('lost', statement, { ...reason, within: 0 });
  }

  /** Everything that nobody has looked at. */
  close(statements: readonly Statement[]): void {
    for (const statement of statements) {
      if (this.#closed.has(statement)) continue;
      if (this.#open.has(statement)) this.close(statement.block ?? []);
      else
        this.lose(statement, {
          why: 'not a word that the import knows here',
          hint: 'see what it does, and whether Weir has it',
        });
    }
  }

  #add(severity: Severity, statement: Statement, reason: Reason & { within?: number }): void {
    const said = this.#said.get(statement) ?? new Set();
    const key = `${reason.why} ${reason.service ?? ''}`;
    if (said.has(key)) return;
    this.#said.set(statement, said.add(key));
    this.findings.push({
      severity,
      file: plain(statement.file),
      line: statement.line,
      statement: wordsOf(statement),
      within: reason.within ?? countOf(statement.block),
      why: plain(reason.why),
      hint: plain(reason.hint ?? ''),
      field: reason.field ?? 'other',
      server: this.server,
      service: reason.service,
    });
  }
}

/** Characters of a statement that are shown. */
const SHOWN = 160;

/** Text of a file as it may be printed. */
export function plain(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]/gu, '?');
}

/** Words as they may be printed: cut, and without control characters. */
export function wordsOf(statement: Statement): string {
  const text = plain(statement.words.join(' '));
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
}

function countOf(block: readonly Statement[] | undefined): number {
  return (block ?? []).reduce((sum, statement) => sum + 1 + countOf(statement.block), 0);
}
