/**
 * A keepalived configuration as a tree of statements, as far as any keepalived would understand it: both styles of
 * braces, blocks on one line, quotes, includes anywhere, and mainline's definitions, conditions and continued lines
 * (keepalived.conf(5)). Lenient where the dialects differ: what it is for is finding out what a file means.
 */
import { decode, folderOf, isPattern, limits, matches, resolve, unreadable } from './files.ts';
import type { Files, Limits } from './files.ts';
import type { Ledger } from './ledger.ts';
import { isWordIn } from './words.ts';

export interface Statement {
  words: readonly string[];
  file: string;
  /** From 1. */
  line: number;
  block: Statement[] | undefined;
}

export interface ReadOptions {
  files: Files;
  ledger: Ledger;
  /**
   * 1.2.2: comments only where a word starts, also within quotes; no definitions, conditions and continued lines;
   * files with an execute bit are read.
   */
  old: boolean;
  /** keepalived's --config-id. */
  configId: string | undefined;
  limits?: Partial<Limits> | undefined;
}

export interface Tree {
  statements: Statement[];
  /** In the order in which they were opened. */
  files: string[];
  lines: number;
}

/** Throws a WeirError where the main file cannot be read, and where files are beyond the limits or include each other. */
export function readTree(path: string, options: ReadOptions): Tree {
  return new Reader(options).read(path);
}

interface Place {
  file: string;
  line: number;
}

/** Characters of one line with its definitions put in. */
const MAX_LINE = 1024 * 1024;

const NO_SUCH_FILE = 'no such file: keepalived goes on without it, and so does the import';

class Reader {
  readonly #options: ReadOptions;
  readonly #limits: Limits;
  readonly #tree: Tree = { statements: [], files: [], lines: 0 };
  /** The open blocks, innermost last; the first is the top. */
  readonly #blocks: { list: Statement[]; opener: Statement | undefined }[] = [
    { list: this.#tree.statements, opener: undefined },
  ];
  /** Files that are being read, outermost first. */
  readonly #open: string[] = [];
  readonly #definitions = new Map<string, string>();
  #bytes = 0;
  #statements = 0;

  constructor(options: ReadOptions) {
    this.#options = options;
    this.#limits = { ...limits, ...options.limits };
  }

  read(path: string): Tree {
    if (!this.#file(path)) throw unreadable(path, 'cannot be read: no such file', 'name a keepalived.conf');
    const [, unclosed] = this.#blocks;
    if (unclosed?.opener) {
      this.#options.ledger.remark(unclosed.opener, {
        why: 'its block is not closed before the last file ends: what follows it is read into it',
        hint: 'add the } that is missing',
      });
    }
    return this.#tree;
  }

  /** Whether there is such a file. */
  #file(path: string, by?: Statement): boolean {
    const found = this.#options.files.read(path, this.#limits.bytes - this.#bytes);
    if (!found) return false;
    if (by && found.executable && !this.#options.old) {
      this.#options.ledger.lose(by, {
        why: `${path} has an execute bit: keepalived 2 leaves it out, and so does the import`,
        hint: `chmod -x ${path}, if it should count`,
      });
      return true;
    }
    if (this.#open.includes(path)) {
      const loop = [...this.#open.slice(this.#open.indexOf(path)), path].join(' includes ');
      throw unreadable(path, `files include each other without end: ${loop}`, 'take one of the includes out');
    }
    if (this.#open.length >= this.#limits.depth) {
      throw unreadable(path, `is included more than ${this.#limits.depth} files deep`, 'include it from further up');
    }
    if (!found.bytes) {
      const most = `${Math.floor(this.#limits.bytes / 1024 / 1024)} MiB`;
      throw unreadable(path, `is too large: all files together may have ${most}`, 'import it in parts, with --base');
    }
    if (this.#tree.files.length >= this.#limits.files) {
      throw unreadable(path, `is one more than ${this.#limits.files} files`, 'import it in parts, with --base');
    }
    this.#bytes += found.bytes.byteLength;
    this.#tree.files.push(path);
    this.#open.push(path);
    const depth = this.#blocks.length;
    this.#text(path, decode(path, found.bytes));
    if (by && this.#blocks.length > depth) {
      this.#options.ledger.remark(by, {
        why: 'the file ends within a block: what follows is read into it',
        hint: 'add the } that is missing',
      });
    }
    this.#open.pop();
    return true;
  }

  #text(file: string, text: string): void {
    const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/);
    this.#tree.lines += lines.length - (lines.at(-1) === '' ? 1 : 0);
    let continued: string[] = [];
    for (const [i, line] of lines.entries()) {
      // Of a definition, its lines; of anything else, one line.
      if (!this.#options.old && /(?:^|[^\\])(?:\\\\)*\\$/.test(line) && i < lines.length - 1) {
        continued.push(line.slice(0, -1));
        continue;
      }
      const all = [...continued, line];
      const by = { file, line: i + 1 - continued.length };
      continued = [];
      const separator = /^\s*(?:@\S+\s+)?\$\w+=/.test(all[0] ?? '') ? '\n' : ' ';
      this.#line(all.join(separator), by, 0);
    }
  }

  #line(line: string, place: Place, depth: number): void {
    if (this.#options.old || !/[@$]/.test(line)) {
      this.#feed(line, place);
      return;
    }
    if (depth > this.#limits.depth) {
      throw unreadable(`${place.file}:${place.line}`, 'a definition holds itself', 'write it out');
    }
    const text = this.#conditional(line.trimStart(), place);
    if (text === undefined) return;
    const definition = /^\$([A-Za-z_]\w*)=([^]*)$/.exec(text);
    if (definition) {
      this.#definitions.set(definition[1] ?? '', (definition[2] ?? '').trim());
      return;
    }
    const replaced = this.#replace(text, place);
    if (replaced === text) this.#feed(text, place);
    else for (const one of replaced.split('\n')) this.#line(one, place, depth + 1);
  }

  /** What of a line that starts with `@ID` or `@^ID` holds here. */
  #conditional(line: string, place: Place): string | undefined {
    const condition = /^@(\^?)(\S*)\s*([^]*)$/.exec(line);
    if (!condition) return line;
    const [, not, id = '', rest = ''] = condition;
    const { configId, ledger } = this.#options;
    const holds = (id === configId) !== (not === '^');
    if (configId !== undefined && holds) return rest;
    const statement = { words: line.trim().split(/\s+/), ...place, block: undefined };
    if (configId === undefined) {
      ledger.lose(statement, {
        why: 'a line that holds on some machines alone, by their keepalived --config-id',
        hint: `say which machine it is: --config-id ${id || 'ID'}`,
      });
    } else ledger.drop(statement, { why: 'a line for machines with another config-id' });
    return undefined;
  }

  #replace(text: string, place: Place): string {
    const { file } = place;
    const built: Record<string, string | undefined> = {
      _PWD: folderOf(file),
      _INSTANCE: this.#options.configId,
      _HASH: String.raw`\#`,
      _BANG: String.raw`\!`,
    };
    let length = text.length;
    return text.replaceAll(/\$\{(\w+)\}|\$([A-Za-z_]\w*)(?=\s|$)/g, (whole, braced?: string, bare?: string) => {
      const name = braced ?? bare ?? '';
      const value = this.#definitions.get(name) ?? built[name] ?? whole;
      length += value.length;
      this.#bytes += value === whole ? 0 : value.length;
      if (length > MAX_LINE || this.#bytes > this.#limits.bytes) {
        throw unreadable(`${file}:${place.line}`, 'is too long with its definitions put in', 'write less in one line');
      }
      return value;
    });
  }

  /** Tokens of one line into the tree. */
  #feed(line: string, place: Place): void {
    const found = tokens(line, this.#options.old);
    const crowded = found.some(isBrace);
    let words: Token[] = [];
    for (const token of found) {
      if (!isBrace(token)) {
        words.push(token);
        continue;
      }
      if (token.text === '{') this.#openBlock(words, place);
      else {
        this.#leaves(words, place, crowded);
        this.#closeBlock(place);
      }
      words = [];
    }
    this.#leaves(words, place, crowded);
  }

  /** One statement; where a whole block stands on one line, as many as there are words that start one. */
  #leaves(words: readonly Token[], place: Place, crowded: boolean): void {
    for (const part of crowded ? this.#split(words) : [words]) {
      if (part.length === 0) continue;
      const statement = this.#add(part, place, undefined);
      if (/^include[rmwba]?$/.test(statement.words[0] ?? '')) this.#include(statement);
    }
  }

  #split(words: readonly Token[]): Token[][] {
    const parent = this.#blocks.at(-1)?.opener?.words[0];
    const parts: Token[][] = [];
    for (const word of words) {
      const starts = parts.length === 0 || (word.bare && parent !== undefined && isWordIn(parent, word.text));
      if (starts) parts.push([word]);
      else parts.at(-1)?.push(word);
    }
    return parts;
  }

  #add(words: readonly Token[], place: Place, block: Statement[] | undefined): Statement {
    if (++this.#statements > this.#limits.statements) {
      const { statements } = this.#limits;
      throw unreadable(place.file, `is one statement more than ${statements}`, 'import it in parts, with --base');
    }
    const statement: Statement = { words: words.map((word) => word.text), ...place, block };
    this.#blocks.at(-1)?.list.push(statement);
    return statement;
  }

  #openBlock(words: readonly Token[], place: Place): void {
    const last = this.#blocks.at(-1)?.list.at(-1);
    let opener: Statement;
    if (words.length > 0) {
      const parts = this.#split(words);
      const own = parts.pop() ?? [];
      for (const part of parts) this.#add(part, place, undefined);
      opener = this.#add(own, place, []);
    } else if (last && !last.block && last.words[0] !== 'include') {
      // Its brace stands on a line of its own.
      last.block = [];
      opener = last;
    } else opener = this.#add([{ text: '{', bare: true }], place, []);
    if (this.#blocks.length > this.#limits.depth) {
      throw unreadable(
        `${place.file}:${place.line}`,
        `more than ${this.#limits.depth} blocks in each other`,
        'see what is not closed before it',
      );
    }
    this.#blocks.push({ list: opener.block ?? [], opener });
  }

  #closeBlock(place: Place): void {
    if (this.#blocks.length > 1) {
      this.#blocks.pop();
      return;
    }
    this.#options.ledger.lose(this.#add([{ text: '}', bare: true }], place, undefined), {
      why: 'closes nothing: what stands after it may be read otherwise by keepalived',
      hint: 'take it out, or find the { that is missing before it',
    });
  }

  #include(statement: Statement): void {
    const { ledger, files } = this.#options;
    ledger.take(statement);
    const [, path] = statement.words;
    if (path === undefined) {
      ledger.lose(statement, { why: 'names no file' });
      return;
    }
    const pattern = resolve(statement.file, path);
    const paths = matches(files, pattern);
    const there = paths.filter((one) => this.#file(one, statement));
    if (there.length > 0) return;
    if (isPattern(pattern)) ledger.drop(statement, { why: 'matches no file' });
    else ledger.lose(statement, { why: NO_SUCH_FILE, hint: 'bring it to where the including file looks for it' });
  }
}

interface Token {
  text: string;
  /** Not in quotes, in no part. */
  bare: boolean;
}

function isBrace(token: Token): boolean {
  return token.bare && (token.text === '{' || token.text === '}');
}

function tokens(line: string, old: boolean): Token[] {
  if (!/["'\\#!]/.test(line)) return plainTokens(line);
  const found: Token[] = [];
  let at = 0;
  for (;;) {
    while (/\s/.test(line[at] ?? '')) at++;
    const first = line[at];
    if (first === undefined || first === '#' || first === '!') return found;
    const { token, end } = oneToken(line, at, old);
    found.push(...parted(token));
    at = end;
  }
}

/** Of most lines: no quotes, escapes and comments. */
function plainTokens(line: string): Token[] {
  return (line.match(/\S+/g) ?? []).flatMap((text) => parted({ text, bare: true }));
}

function oneToken(line: string, start: number, old: boolean): { token: Token; end: number } {
  let text = '';
  let bare = true;
  let quote: string | undefined;
  let at = start;
  for (; at < line.length; at++) {
    const character = line[at] ?? '';
    if (!old && character === '\\' && at + 1 < line.length) text += line[++at] ?? '';
    else if (quote !== undefined) {
      if (character === quote) quote = undefined;
      // 1.2.2 looks for comments in quoted text too.
      else if (old && /[#!]/.test(character) && /\s/.test(line[at - 1] ?? ''))
        return { token: { text: text.trim(), bare }, end: line.length };
      else text += character;
    } else if (character === '"' || (!old && character === "'")) {
      quote = character;
      bare = false;
    } else if (/\s/.test(character)) break;
    else if (!old && /[#!]/.test(character)) return { token: { text, bare }, end: line.length };
    else text += character;
  }
  return { token: { text, bare }, end: at };
}

/** `80{` is two words, and so is `}}`; braces of definitions and of patterns stay. */
function parted(token: Token): Token[] {
  if (!token.bare || token.text.length < 2) return [token];
  if (/^[{}]+$/.test(token.text)) return token.text.split('').map((text) => ({ text, bare: true }));
  if (/^[^{}$]+\{$/.test(token.text)) {
    return [
      { text: token.text.slice(0, -1), bare: true },
      { text: '{', bare: true },
    ];
  }
  return [token];
}
