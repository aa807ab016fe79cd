/**
 * The folder of a lab, and what to do with those whose owner died: a lab's processes, mounts and networks end with the
 * process that opened it (cell.ts), and only its folder can be left, unless the lab was left to itself.
 */
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { WeirError } from '../src/domain/errors.ts';
import { attachCell } from './cell.ts';
import { isAlive, markOf, type ProcessMark } from './process.ts';

/** Where labs lie if nothing else is said. */
export const labsFolder = '/run/weir-lab';

/** Longer ones leave no room for the names of sockets below; unix(7). */
const longestFolder = 60;

/** A new folder, named after this process and its start, that daemons which are not root can go through. */
export async function makeFolder(parent = labsFolder): Promise<string> {
  const base = resolve(parent);
  // It stands in a line that ssh gives to a shell, and on the command line of a kernel.
  if (!/^[\w/.+-]+$/.test(base) || base.length > longestFolder) {
    throw new WeirError('unavailable', `A lab cannot lie in ${base}`, {
      hint: `choose a folder whose path has letters, digits and /._+- only, at most ${longestFolder} characters`,
    });
  }
  await mkdir(base, { recursive: true, mode: 0o755 });
  await checkOpen(base);
  const folder = await mkdtemp(join(base, `${await pidNamespace()}-${process.pid}-${markOf(process.pid)?.start}-`));
  await chmod(folder, 0o755);
  return folder;
}

/** Daemons that are not root have files in a lab's folder. */
async function checkOpen(folder: string): Promise<void> {
  if (((await stat(folder)).mode & 0o001) === 0) {
    throw new WeirError('unavailable', `A lab cannot lie below ${folder}: FRR and nginx cannot go through it`, {
      hint: `chmod o+x ${folder}, or choose another folder`,
    });
  }
  if (folder !== '/') await checkOpen(dirname(folder));
}

/** What a process that did not open a lab finds in its folder: the cell, and what was told when it was left to itself. */
const cellFile = 'cell.json';
const stayFile = 'lab.json';

export async function writeCell(folder: string, first: ProcessMark): Promise<void> {
  await writeFile(join(folder, cellFile), JSON.stringify(first));
}

/** From now on the folder is not swept while its cell runs. */
export async function writeStay(folder: string, words: unknown): Promise<void> {
  const file = join(folder, stayFile);
  // The key of OSPF is among them.
  await writeFile(`${file}.new`, `${JSON.stringify(words, null, 2)}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
}

export interface StayingLab {
  readonly folder: string;
  readonly first: ProcessMark;
  /** As given to `writeStay`. */
  readonly words: unknown;
}

/** The lab that was left to itself, if there is one and it runs. */
export async function findStaying(parent = labsFolder): Promise<StayingLab | undefined> {
  for (const { folder, first } of await labsOf(resolve(parent))) {
    const text = await readFile(join(folder, stayFile), 'utf8').catch(() => undefined);
    if (text !== undefined && first && isAlive(first)) return { folder, first, words: JSON.parse(text) as unknown };
  }
  return undefined;
}

/**
 * Ends what dead owners left and answers their folders, which are gone then. A lab that was left to itself stays, and so
 * do those of other PID namespaces: they cannot be judged from here.
 */
export async function sweepLabs(parent = labsFolder): Promise<string[]> {
  const removed: string[] = [];
  for (const { folder, owner } of await labsOf(resolve(parent))) {
    if (isAlive(owner)) continue;
    // Now, when nobody writes it any more.
    const first = await readCell(folder);
    if (first && isAlive(first) && existsSync(join(folder, stayFile))) continue;
    if (first) await attachCell(folder, first).close();
    await rm(folder, { recursive: true, force: true });
    removed.push(folder);
  }
  return removed;
}

interface Found {
  readonly folder: string;
  readonly owner: ProcessMark;
  readonly first: ProcessMark | undefined;
}

async function labsOf(base: string): Promise<Found[]> {
  const namespace = await pidNamespace();
  const entries = await readdir(base).catch(() => []);
  const found = entries.flatMap((entry) => {
    const [, ofNamespace, pid, start] = /^(\d+)-(\d+)-(\d+)-\w+$/.exec(entry) ?? [];
    if (ofNamespace !== namespace || start === undefined) return [];
    return [{ folder: join(base, entry), owner: { pid: Number(pid), start } }];
  });
  return Promise.all(found.map(async (lab) => ({ ...lab, first: await readCell(lab.folder) })));
}

async function readCell(folder: string): Promise<ProcessMark | undefined> {
  try {
    return JSON.parse(await readFile(join(folder, cellFile), 'utf8')) as ProcessMark;
  } catch {
    return undefined;
  }
}

async function pidNamespace(): Promise<string> {
  return /\d+/.exec(await readlink('/proc/self/ns/pid'))?.[0] ?? '0';
}
