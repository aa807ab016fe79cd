/** A block's statements by their words, and values as keepalived reads them. Whatever is not read is listed. */
import type { Ledger, Reason } from './ledger.ts';
import type { Statement } from './statements.ts';
import { wordOf } from './words.ts';
import type { Block as BlockName } from './words.ts';

export class Block {
  readonly statement: Statement;
  readonly #ledger: Ledger;
  readonly #by = new Map<string, Statement[]>();
  readonly #read = new Set<string>();

  constructor(statement: Statement, ledger: Ledger) {
    this.statement = statement;
    this.#ledger = ledger;
    ledger.take(statement);
    for (const inner of statement.block ?? []) {
      const word = inner.words[0] ?? '';
      const others = this.#by.get(word);
      if (others) others.push(inner);
      else this.#by.set(word, [inner]);
    }
  }

  /** All statements of some words, in the order of the block; it is for the caller to take them. */
  all(words: readonly string[]): Statement[] {
    for (const word of words) this.#read.add(word);
    const found = words.flatMap((word) => this.#by.get(word) ?? []);
    if (words.length === 1 || found.length < 2) return found;
    const order = new Map((this.statement.block ?? []).map((inner, i) => [inner, i]));
    return found.toSorted((a, b) => (order.get(a) ?? 0) - (order.get(b) ?? 0));
  }

  /** The statement of a word or its synonyms; the last one counts, as in keepalived. */
  one(...words: readonly string[]): Statement | undefined {
    const found = this.all(words);
    const last = found.pop();
    for (const before of found)
      this.#ledger.drop(before, { why: `${before.words[0]} stands again further down, where it counts` });
    if (last) this.#ledger.take(last);
    return last;
  }

  /** Lists everything that was not read, by the table of the block. */
  rest(name: BlockName): void {
    for (const [word, statements] of this.#by) {
      const known = this.#read.has(word) ? undefined : wordOf(name, word);
      if (!known) continue;
      const { severity, ...reason } = known;
      for (const statement of statements) {
        if (severity === 'lost') this.#ledger.lose(statement, reason);
        else this.#ledger.drop(statement, reason);
      }
    }
  }
}

export interface Range {
  min: number;
  max: number;
  /** What a value outside means for the import. */
  reason?: Partial<Reason>;
}

/**
 * The number of a statement, brought into the range; a fraction is rounded up. undefined: there is no statement, or no
 * number, which is listed.
 */
export function numberOf(
  statement: Statement | undefined,
  { min, max, reason }: Range,
  ledger: Ledger,
): number | undefined {
  if (!statement) return undefined;
  const text = statement.words[1] ?? '';
  if (!/^\d{1,15}(?:\.\d{1,9})?$/.test(text)) {
    ledger.lose(statement, { why: 'needs a number', hint: 'write one, or take the line out', ...reason });
    return undefined;
  }
  const value = Number(text);
  const near = Math.min(max, Math.max(min, Math.ceil(value)));
  if (near !== value) {
    ledger.remark(statement, {
      why: `is ${near} in the document, which takes whole numbers from ${min} to ${max}`,
      ...reason,
    });
  }
  return near;
}
