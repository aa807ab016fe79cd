/**
 * Reading the file of an export cluster by cluster, as it was written: the head on the first line, then each cluster on
 * one of its own, so that a file of any size takes little memory. One that was written anew, with other lines, is read
 * as a whole.
 */
import { createReadStream } from 'node:fs';
import { readHead } from '../domain/edge/exported.ts';
import type { ExportHead } from '../domain/edge/exported.ts';
import { messageOf, refuse, WeirError } from '../domain/errors.ts';
import { error, show } from '../domain/problem.ts';
import type { Parsed } from '../domain/schema.ts';

export interface ExportFile {
  head: ExportHead;
  /** Unknown until each is read. */
  clusters: AsyncIterable<unknown>;
}

/** `-` is standard input. Throws a WeirError where it is no export; `clusters` does where it breaks off. */
export async function openExport(path: string): Promise<ExportFile> {
  const lines = linesOf(path);
  const { value: first = '' } = await lines.next();
  const opening = tryParse(`${first}]}`);
  if (opening === undefined || !first.trimEnd().endsWith('[')) return readWhole(first, lines);
  const { clusters: _none, ...head } = opening as Record<string, unknown>;
  return { head: taken(readHead(head)), clusters: clustersOf(lines) };
}

async function* linesOf(path: string): AsyncGenerator<string, undefined> {
  const input = path === '-' ? process.stdin.setEncoding('utf8') : createReadStream(path, 'utf8');
  let rest = '';
  try {
    for await (const chunk of input) {
      const [end = '', ...others] = String(chunk).split('\n');
      rest += end;
      for (const next of others) {
        yield rest;
        rest = next;
      }
    }
    if (rest !== '') yield rest;
    return undefined;
  } catch (thrown) {
    throw new WeirError('usage', `${path} cannot be read: ${messageOf(thrown)}`, {
      hint: 'name a file that weir export wrote, or - for standard input',
      cause: thrown,
    });
  }
}

async function* clustersOf(lines: AsyncIterator<string>): AsyncGenerator {
  for (let number = 2; ; number++) {
    const { value: line, done } = await lines.next();
    if (done === true) throw refuse([brokenOff(number)]);
    const text = line.trimEnd();
    if (text === ']}') return;
    const value = tryParse(text.replace(/,$/, ''));
    if (value === undefined) throw refuse([notJson(`line ${number}`, line)]);
    yield value;
  }
}

/** Line breaks mean nothing to JSON, so that the lines can be joined without them. */
async function readWhole(first: string, lines: AsyncIterable<string>): Promise<ExportFile> {
  const all = [first];
  for await (const line of lines) all.push(line);
  const text = all.join('\n');
  const value = tryParse(text);
  if (value === undefined) throw refuse([notJson('', text)]);
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw refuse([noObject(value)]);
  const { clusters, ...head } = value as Record<string, unknown>;
  const read = taken(readHead(head));
  if (!Array.isArray(clusters)) throw refuse([noList(clusters)]);
  return { head: read, clusters: each(clusters) };
}

async function* each(clusters: readonly unknown[]): AsyncGenerator {
  yield* clusters;
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function taken<T>(parsed: Parsed<T>): T {
  if (parsed.ok) return parsed.value;
  throw refuse(parsed.problems);
}

const another = 'name a file that weir export wrote';

function notJson(path: string, text: string) {
  return error(path, { code: 'unreadable', message: `this is no JSON: ${show(text.slice(0, 40))}`, hint: another });
}

function noObject(value: unknown) {
  return error('', { code: 'wrong_type', message: `an export is an object, not ${show(value)}`, hint: another });
}

function noList(value: unknown) {
  return error('clusters', { code: 'wrong_type', message: `must be an array, not ${show(value)}`, hint: another });
}

function brokenOff(number: number) {
  return error(`line ${number}`, {
    code: 'unreadable',
    message: 'the file ends in the middle',
    hint: 'clusters before this line are taken in; export again, then import all: those are unchanged',
  });
}
