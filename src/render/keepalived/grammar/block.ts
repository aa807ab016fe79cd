/** The statements of one block by their keywords, and the values that stand behind them. */
import type { Complain, Statement } from './statements.ts';

/** Least and most, both allowed. */
export type Bounds = readonly [least: number, most: number];

/** Statements by keyword; unknown and repeated ones, and values of another form, are complained about. */
export class Block {
  readonly at: string;
  readonly #statements = new Map<string, Statement[]>();
  readonly #complain: Complain;

  constructor(statement: Statement, known: ReadonlySet<string>, complain: Complain) {
    this.at = statement.at;
    this.#complain = complain;
    if (!statement.block) complain(statement.at, `${statement.words[0]} has no block`);
    for (const inner of statement.block ?? []) {
      const word = inner.words[0] ?? '';
      if (!known.has(word)) {
        // An include within a block was complained about where the file was taken apart.
        if (word !== 'include') complain(inner.at, `unknown keyword ${word} in ${statement.words[0]}`);
        continue;
      }
      const others = this.#statements.get(word);
      if (others) others.push(inner);
      else this.#statements.set(word, [inner]);
    }
  }

  all(word: string): readonly Statement[] {
    return this.#statements.get(word) ?? [];
  }

  one(word: string): Statement | undefined {
    const [first, second] = this.all(word);
    if (second) this.#complain(second.at, `${word} stands twice`);
    return first;
  }

  /** Of a keyword that must stand; one without a value in its place. */
  must(word: string): Statement | undefined {
    const statement = this.one(word);
    if (!statement) this.#complain(this.at, `${word} is missing`);
    return statement;
  }

  flag(word: string): boolean {
    const statement = this.one(word);
    if (statement && statement.words.length !== 1) this.#complain(statement.at, `${word} takes nothing`);
    this.#expectNoBlock(statement);
    return statement !== undefined;
  }

  /** Empty where it is missing or not one word, which is complained about. */
  text(word: string): string {
    const statement = this.must(word);
    return (statement && this.#single(statement)) ?? '';
  }

  optional(word: string): string | undefined {
    const statement = this.one(word);
    return statement && this.#single(statement);
  }

  /** NaN where it is missing or another text, which is complained about. */
  number(word: string, bounds: Bounds): number {
    const statement = this.must(word);
    return statement ? this.#numberOf(statement, bounds) : Number.NaN;
  }

  optionalNumber(word: string, bounds: Bounds): number | undefined {
    const statement = this.one(word);
    return statement && this.#numberOf(statement, bounds);
  }

  /** Empty where it is missing, which is complained about, as is another word than these. */
  choice(word: string, choices: readonly string[]): string {
    const statement = this.must(word);
    return statement ? this.#choiceOf(statement, choices) : '';
  }

  optionalChoice(word: string, choices: readonly string[]): string | undefined {
    const statement = this.one(word);
    return statement && this.#choiceOf(statement, choices);
  }

  /** The text between two quotes, which must end the statement; empty where there is none, which is complained about. */
  quoted(word: string): string {
    const statement = this.must(word);
    if (!statement) return '';
    this.#expectNoBlock(statement);
    const [, first, ...rest] = statement.words;
    const last = rest.pop();
    if (first === '"' && last === '"' && rest.length > 0 && !rest.includes('"')) return rest.join(' ');
    this.#complain(statement.at, `${word} needs one text in quotes; without them its first word is taken`);
    return '';
  }

  #numberOf(statement: Statement, [least, most]: Bounds): number {
    const text = this.#single(statement);
    if (text === undefined) return Number.NaN;
    return numberIn(text, [least, most], () =>
      this.#complain(statement.at, `${statement.words[0]} is not a number from ${least} to ${most}`),
    );
  }

  #choiceOf(statement: Statement, choices: readonly string[]): string {
    const text = this.#single(statement);
    if (text !== undefined && !choices.includes(text)) {
      this.#complain(statement.at, `${statement.words[0]} ${text} is none of: ${choices.join(' ')}`);
    }
    return text ?? '';
  }

  #single(statement: Statement): string | undefined {
    this.#expectNoBlock(statement);
    if (statement.words.length === 2) return statement.words[1];
    this.#complain(statement.at, `${statement.words[0]} takes one value`);
    return undefined;
  }

  #expectNoBlock(statement: Statement | undefined): void {
    if (statement?.block) this.#complain(statement.at, `${statement.words[0]} takes no block`);
  }
}

/** A decimal number without sign or leading zeros; else NaN. */
export function numberIn(text: string, [least, most]: Bounds, complain: () => void): number {
  const value = /^(0|[1-9]\d*)$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most)) complain();
  return value;
}

export function eachRepeated(values: Iterable<string>, found: (value: string) => void): void {
  const seen = new Set<string>();
  for (const value of values) {
    if (seen.has(value)) found(value);
    seen.add(value);
  }
}
