/**
 * A keepalived configuration as statements: one a line, comments at the start of a token, blocks in braces, includes
 * relative to the folder of the including file. What all three dialects have in common, and nothing of what words mean.
 * Pure: files come from a function. Sources: lib/parser.c of alibaba/LVS and of iqiyi/dpvs (tools/keepalived), and
 * runs of mainline 2.2.7.
 */

/** The text of a file by its absolute path; undefined: there is none. */
export type ReadFile = (path: string) => string | undefined;

export interface Statement {
  /** Tokens without the brace that opens its block. */
  words: string[];
  /** `FILE:LINE`. */
  at: string;
  block: Statement[] | undefined;
}

export type Complain = (at: string, what: string) => void;

/** Bytes of a line with which keepalived's buffer of 1024 is full, less a margin; the rest would be another line. */
const MAX_LINE_BYTES = 1000;

export interface Opening {
  readFile: ReadFile;
  /** Paths in the order in which they were opened; the callee adds to it. */
  files: string[];
  complain: Complain;
}

/** Statements of a file and of those that it includes, which stand in the place of their include. */
export function open(path: string, opening: Opening): Statement[] {
  const { readFile, files, complain } = opening;
  if (files.includes(path)) {
    complain(path, 'is included twice');
    return [];
  }
  files.push(path);
  const text = readFile(path);
  if (text === undefined) {
    complain(path, MISSING);
    return [];
  }
  const inlined = (statements: Statement[]): Statement[] =>
    statements.flatMap((statement) => {
      const target = includeOf(statement);
      if (target !== undefined) return open(resolvePath(path, target), opening);
      return [statement.block ? { ...statement, block: inlined(statement.block) } : statement];
    });
  return inlined(parse(path, text, complain));
}

export const MISSING = 'is missing: keepalived goes on without it, and removes what it held';

/** Statements of one text. An include is a statement like others. */
export function parse(path: string, text: string, complain: Complain): Statement[] {
  if (text !== '' && !text.endsWith('\n')) complain(path, 'has a last line without its end, which is not read');
  if (/[^\n\x20-\x7e]/.test(text)) complain(path, 'has bytes that are not printable ASCII');
  const top: Statement[] = [];
  const blocks: Statement[][] = [top];
  let number = 0;
  for (const line of text.split(/[\n\r]/)) {
    number += 1;
    const words = tokens(line);
    if (words.length === 0) continue;
    const at = `${path}:${number}`;
    if (line.length * 3 >= MAX_LINE_BYTES && Buffer.byteLength(line) >= MAX_LINE_BYTES) {
      complain(at, 'is too long a line');
    }
    if (words[0] === '}') {
      if (words.length > 1) complain(at, '} does not stand alone');
      if (blocks.length === 1) complain(at, '} closes nothing');
      else blocks.pop();
      continue;
    }
    const statement = statementOf(words, at, complain);
    if (words[0] === 'include') checkInclude(statement, blocks.length > 1, complain);
    blocks.at(-1)?.push(statement);
    if (statement.block) blocks.push(statement.block);
  }
  if (blocks.length > 1) complain(path, 'ends within a block');
  return top;
}

function statementOf(words: string[], at: string, complain: Complain): Statement {
  const opens = words.at(-1) === '{';
  if (opens) words.pop();
  if (words.length === 0) complain(at, '{ opens nothing');
  if (words.includes('{') || words.includes('}')) complain(at, 'a brace stands within a statement');
  return { words, at, block: opens ? [] : undefined };
}

function checkInclude(statement: Statement, inside: boolean, complain: Complain): void {
  if (inside) complain(statement.at, 'include stands within a block');
  if (includeOf(statement) === undefined) complain(statement.at, 'include takes one plain path');
}

/** The path of an include that names one file: no pattern, which may match nothing in silence. */
export function includeOf({ words: [word, path, ...more], block }: Statement): string | undefined {
  if (word !== 'include' || !path || more.length > 0 || block || /[*?[\]{~]/.test(path)) return undefined;
  return path;
}

/** keepalived changes directory to that of each file it reads. */
export function resolvePath(from: string, path: string): string {
  return path.startsWith('/') ? path : `${from.slice(0, from.lastIndexOf('/') + 1)}${path}`;
}

const token = /"|[^\s"]+/g;

/** As alloc_strvec: white space parts, each quote is a token, `!` and `#` at the start of a token end the line, also within quotes. */
export function tokens(line: string): string[] {
  const words = line.match(token) ?? [];
  const comment = words.findIndex(startsComment);
  return comment < 0 ? words : words.slice(0, comment);
}

function startsComment(word: string): boolean {
  const code = word.charCodeAt(0);
  return code === 33 || code === 35;
}
