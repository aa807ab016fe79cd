/**
 * Files of a keepalived configuration as an import reads them: through a function, within limits, and with the patterns
 * of `include` as glob(3) and keepalived take them. Pure: whoever imports hands the file system in.
 */
import { refuse } from '../../domain/errors.ts';
import { error, show } from '../../domain/problem.ts';

/** A file system, or what plays one. Paths are as they were written, relative ones to where the import runs. */
export interface Files {
  /** undefined: there is no such file. `bytes` undefined: there are more than `most`. */
  read(path: string, most: number): FoundFile | undefined;
  /** Names of what is in a folder; none where there is no such folder. */
  list(folder: string): readonly string[];
}

interface FoundFile {
  bytes: Uint8Array | undefined;
  /** Any execute bit. */
  executable: boolean;
}

/** Limits of one import. A million lines, 12,500 VIPs with two ports, took 24 MB of text and 1.8 GB of memory. */
export interface Limits {
  /** Bytes over all files. */
  bytes: number;
  files: number;
  /** Statements over all files, after definitions were put in. */
  statements: number;
  /** Files within files, blocks within blocks, definitions within definitions. */
  depth: number;
}

export const limits: Limits = { bytes: 32 * 1024 * 1024, files: 25_000, statements: 1_250_000, depth: 32 };

/** Texts by path, as files that nobody may execute. */
export function filesOf(texts: Iterable<readonly [string, string]>): Files {
  const map = new Map(texts);
  return {
    read(path) {
      const text = map.get(path);
      return text === undefined ? undefined : { bytes: Buffer.from(text), executable: false };
    },
    list(folder) {
      const start = folder === '.' ? '' : `${folder}/`;
      const below = [...map.keys()].filter((path) => path.startsWith(start));
      return [...new Set(below.map((path) => path.slice(start.length).split('/')[0] ?? ''))];
    },
  };
}

/**
 * The text of a file. Comments may be in any encoding: what is no UTF-8 is read byte by byte.
 * Throws a WeirError with what is wrong where there are NUL bytes, which no keepalived.conf has.
 */
export function decode(path: string, bytes: Uint8Array): string {
  if (bytes.includes(0)) {
    throw unreadable(
      path,
      'is no text: it has NUL bytes',
      'name a keepalived.conf; unpack one that is compressed first',
    );
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return Buffer.from(bytes).toString('latin1');
  }
}

/** What cannot be read at all ends the import. */
export function unreadable(path: string, what: string, hint: string): Error {
  return refuse([error(show(path).slice(1, -1), { code: 'unreadable', message: what, hint })]);
}

export function folderOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? '.' : slash === 0 ? '/' : path.slice(0, slash);
}

/** keepalived changes directory to that of each file it reads. */
export function resolve(from: string, path: string): string {
  if (path.startsWith('/')) return path;
  const folder = folderOf(from);
  return folder === '.' ? path.replace(/^(?:\.\/)+/, '') : `${folder === '/' ? '' : folder}/${path}`;
}

export function isPattern(path: string): boolean {
  return /[*?[{]/.test(path);
}

/** Paths that a pattern of `include` matches, sorted within each alternative of a brace as glob(3) does; whether they are there is for reading to find. */
export function matches(files: Files, pattern: string): string[] {
  if (pattern.length > MAX_PATH) return [];
  return alternatives(pattern).flatMap((one) => {
    if (!/[*?[]/.test(one)) return [one];
    const absolute = one.startsWith('/');
    const steps = one.split('/').filter((step) => step !== '');
    let paths = [absolute ? '/' : '.'];
    for (const step of steps) paths = paths.flatMap((path) => stepInto(files, path, step));
    return paths;
  });
}

function stepInto(files: Files, folder: string, step: string): string[] {
  const join = (name: string) => (folder === '.' ? name : folder === '/' ? `/${name}` : `${folder}/${name}`);
  if (!/[*?[]/.test(step)) return [join(step)];
  const rule = globRule(step);
  const hidden = step.startsWith('.');
  const names = files.list(folder).filter((name) => (hidden || !name.startsWith('.')) && rule(name));
  return names.toSorted().map(join);
}

/** PATH_MAX of Linux; nothing that is there has a longer one. */
const MAX_PATH = 4096;
/** Most paths that the braces of one pattern stand for. */
const MAX_ALTERNATIVES = 1000;

/** `a{b,c}` is `ab` and `ac`, also within each other, from the left. */
function alternatives(pattern: string): string[] {
  const brace = firstBrace(pattern);
  if (!brace) return [pattern];
  const { before, parts, after } = brace;
  const all: string[] = [];
  for (const part of parts) {
    if (all.length >= MAX_ALTERNATIVES) return all;
    for (const one of alternatives(part + after)) {
      if (all.length >= MAX_ALTERNATIVES) return all;
      all.push(before + one);
    }
  }
  return all;
}

/** The first brace that is closed, with the parts between its own commas. */
function firstBrace(text: string): { before: string; parts: string[]; after: string } | undefined {
  const start = text.indexOf('{');
  if (start < 0) return undefined;
  const parts: string[] = [''];
  let depth = 0;
  for (let i = start + 1; i < text.length; i++) {
    const character = text[i] ?? '';
    if (character === '}' && depth === 0) return { before: text.slice(0, start), parts, after: text.slice(i + 1) };
    if (character === '{') depth++;
    else if (character === '}') depth--;
    if (character === ',' && depth === 0) parts.push('');
    else parts.push(`${parts.pop() ?? ''}${character}`);
  }
  return undefined;
}

/** One step of a path: `*`, `?` and `[...]`. By hand, since a regular expression of a stranger's can take for ever. */
function globRule(step: string): (name: string) => boolean {
  const parts = [...step.matchAll(/\*+|\?|\[[!^]?\]?[^\]]*\]|[^]/g)].map(([part]) => part);
  return (name) => {
    // States are positions in the pattern that the characters so far lead to.
    let states = closure(parts, new Set([0]));
    for (const character of name) {
      const next = new Set<number>();
      for (const at of states) {
        const part = parts[at] ?? '';
        if (part.startsWith('*')) next.add(at);
        else if (part !== '' && fits(part, character)) next.add(at + 1);
      }
      states = closure(parts, next);
    }
    return states.has(parts.length);
  };
}

function closure(parts: readonly string[], states: Set<number>): Set<number> {
  for (const at of states) if (parts[at]?.startsWith('*') === true) states.add(at + 1);
  return states;
}

function fits(part: string, character: string): boolean {
  if (part === '?') return true;
  if (part.length === 1) return part === character;
  const not = part[1] === '!' || part[1] === '^';
  const set = part.slice(not ? 2 : 1, -1);
  let found = false;
  for (let i = 0; i < set.length; i++) {
    const first = set[i] ?? '';
    const last = set[i + 2];
    if (set[i + 1] === '-' && last !== undefined) {
      if (character >= first && character <= last) found = true;
      i += 2;
    } else if (character === first) found = true;
  }
  return found !== not;
}
