/**
 * Reads a release's keepalived files as the LB will, from entry.conf on, by the strict grammar of its data plane: the
 * parser of fullnat has no test of its own, and those of the others let mistakes pass.
 * A file is read once, whatever number of LBs share it; what is asked per LB is asked of the names in files alone.
 * May import the domain and what render/ shares; no I/O.
 */
import { error } from '../domain/problem.ts';
import type { Problem } from '../domain/problem.ts';
import type { Release } from './cluster.ts';
import type { RenderedFile } from './files.ts';
import { announceHelper } from './host/announce.ts';
import type { KeepalivedGrammar } from './keepalived/grammar/dialects.ts';
import { follow, readFile } from './keepalived/grammar/reader.ts';
import type { FileNames } from './keepalived/grammar/reading.ts';

const FOLDER = 'keepalived/';
const ENTRY = `${FOLDER}entry.conf`;

/** By identity of the file; the grammar is that of the cluster, which entry.conf alone has several of. */
const readings = new WeakMap<RenderedFile, Map<KeepalivedGrammar, FileNames>>();

/** Everything that keepalived would not do as the release means it, all as errors `invalid_rendering` of their files. */
export function validateRelease(release: Release): Problem[] {
  const files = new Map(release.files().flatMap((file) => (file.path.startsWith(FOLDER) ? [[file.path, file]] : [])));
  let services = 0;
  const programs = new Set<string>();
  const read = (path: string): FileNames | undefined => {
    const file = files.get(path);
    if (!file) return undefined;
    const names = namesOf(file, release.dataplane);
    services += names.services;
    for (const program of names.programs) programs.add(program);
    return names;
  };
  const { files: opened, complaints } = follow(ENTRY, read);
  const problems = complaints.map(fault);
  const reached = new Set(opened);
  for (const { path, mode } of files.values()) {
    if (!reached.has(path)) problems.push(fault(`${path} is not included`));
    if (mode === '0755') problems.push(fault(`${path} is executable: keepalived leaves it out`));
  }
  if (services !== release.services) {
    problems.push(fault(`${ENTRY} leads to ${services} services, not to the ${release.services} of the release`));
  }
  const helper = `/etc/weir/bin/${announceHelper.name}`;
  for (const program of programs) {
    if (program !== helper) problems.push(fault(`${ENTRY} leads to ${program}, which the release does not install`));
  }
  return problems;
}

/**
 * Reads what was not read before of a release's files, one a step (a millisecond for a VIP of 2 ports and 20 WSs), so
 * that a server can answer in between; `validateRelease` needs some milliseconds then.
 */
export function* readAhead(release: Release): Generator<void, void> {
  for (const file of release.files()) {
    if (!file.path.startsWith(FOLDER) || readings.get(file)?.has(release.dataplane)) continue;
    namesOf(file, release.dataplane);
    yield;
  }
}

function namesOf(file: RenderedFile, grammar: KeepalivedGrammar): FileNames {
  let known = readings.get(file);
  if (!known) readings.set(file, (known = new Map()));
  let names = known.get(grammar);
  if (!names) {
    const { path, includes, named, wantedLips, lipGroups, vips, services, programs, complaints } = readFile({
      path: file.path,
      text: file.text(),
      grammar,
    });
    names = { path, includes, named, wantedLips, lipGroups, vips, services, programs, complaints };
    known.set(grammar, names);
  }
  return names;
}

/** `FILE:LINE what is wrong`. */
function fault(complaint: string): Problem {
  return error(/^[^\s:]*/.exec(complaint)?.[0] ?? '', {
    code: 'invalid_rendering',
    message: complaint,
    hint: 'this is a fault of Weir: report it with this message and the document; nothing was sent to any LB',
  });
}
