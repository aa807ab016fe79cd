/**
 * The folder of a lab, and what to do with those whose owner died: a lab's processes, mounts and networks end with the
 * process that opened it (cell.ts), and only its folder can be left. Imports domain/errors only.
 */
import { readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readlink, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { WeirError } from '../src/domain/errors.ts';

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
  const folder = await mkdtemp(join(base, `${await pidNamespace()}-${process.pid}-${startOf(process.pid)}-`));
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

/** Removes the folders of dead owners and answers them; those of other PID namespaces cannot be judged from here. */
export async function sweepLabs(parent = labsFolder): Promise<string[]> {
  const base = resolve(parent);
  const namespace = await pidNamespace();
  const removed: string[] = [];
  for (const entry of await readdir(base).catch(() => [])) {
    const [, ofNamespace, pid, start] = /^(\d+)-(\d+)-(\d+)-\w+$/.exec(entry) ?? [];
    if (ofNamespace !== namespace || startOf(Number(pid)) === start) continue;
    await rm(join(base, entry), { recursive: true, force: true });
    removed.push(join(base, entry));
  }
  return removed;
}

async function pidNamespace(): Promise<string> {
  return /\d+/.exec(await readlink('/proc/self/ns/pid'))?.[0] ?? '0';
}

/** Clock ticks from the boot to a process's start: field 22 of /proc/PID/stat, proc(5); undefined if it is gone. */
function startOf(pid: number): string | undefined {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, field 2, may hold blanks and brackets.
    return line.slice(line.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
