/** The script's answer as an observation. Imports the parsers of each section. */
import { parseAddresses, parseChains, parseDpdk } from './host.ts';
import { parseExpected, parseTable } from './ipvs.ts';
import type { ManifestHead, Observation, Process } from './model.ts';
import { parseNeighbours } from './routing.ts';

export interface Section {
  name: string;
  argument: string;
  lines: string[];
}

/** Sections of a stream of lines; what stands before the first is of a login shell. Undefined: not whole. */
export function splitSections(lines: Iterable<string>): Section[] | undefined {
  const sections: Section[] = [];
  for (const line of lines) {
    const found = /^@@weir (\S+) ?(.*)$/.exec(line);
    if (found) sections.push({ name: found[1] ?? '', argument: found[2] ?? '', lines: [] });
    else sections.at(-1)?.lines.push(line);
  }
  return sections.at(-1)?.name === 'end' ? sections : undefined;
}

export function readObservation(sections: readonly Section[]): Observation {
  const byName = new Map(sections.map((section) => [section.name, section]));
  const linesOf = (name: string): string[] => byName.get(name)?.lines ?? [];
  const machine = pairs(linesOf('machine'));
  const keepalived = linesOf('keepalived').map((line) => line.split(' '));
  const expected = byName.get('expected');
  const table = linesOf('ipvs');
  const iptables = sections.filter((section) => section.name === 'iptables');
  return {
    root: machine.get('uid') === '0',
    uptime: Number(machine.get('uptime') ?? 0),
    boot: machine.get('boot') ?? '',
    time: Number(machine.get('time') ?? 0),
    links: linksOf(linesOf('links')),
    files: pairs(linesOf('files')),
    manifests: manifestsOf(linesOf('manifests')),
    listed: listedIn(linesOf('manifest')),
    present: sumsOf(linesOf('sums')),
    live: sumsOf(linesOf('live')),
    pidFile: numberOf(keepalived.find(([word]) => word === 'pidfile')?.[1]),
    processes: keepalived.filter(([word]) => word === 'process').map(processOf),
    expected: expected && { folder: expected.argument, servers: parseExpected(expected.lines) },
    texts: textsOf(sections),
    sysctls: new Map(linesOf('sysctl').flatMap(assignment)),
    addresses: parseAddresses(linesOf('addresses')),
    dpdk: parseDpdk(byName.get('dpdk')?.lines),
    table: table[0] === 'absent' || table.length === 0 ? undefined : parseTable(table),
    chains: iptables.length === 0 ? undefined : parseChains(iptables.map((section) => section.lines)),
    routing: routingOf(byName),
    neighbours: parseNeighbours(linesOf('neighbours').join('\n')),
  };
}

function routingOf(byName: ReadonlyMap<string, Section>): Observation['routing'] {
  const running = byName.get('running');
  if (!running) return undefined;
  const failed = byName.get('routing-failed');
  return failed ? { failed: failed.lines.join('; ').trim() } : { running: running.lines.join('\n') };
}

/** `NAME VALUE...` lines. */
function pairs(lines: readonly string[]): Map<string, string> {
  return new Map(
    lines.map((line) => {
      const space = line.indexOf(' ');
      return space < 0 ? [line, ''] : [line.slice(0, space), line.slice(space + 1)];
    }),
  );
}

/** `ls -l` of symbolic links: `... NAME -> TARGET`. */
function linksOf(lines: readonly string[]): Map<string, string> {
  return new Map(
    lines.flatMap((line) => {
      const found = /^l.* (\/\S+) -> (\S+)$/.exec(line);
      return found ? [[found[1] ?? '', found[2] ?? '']] : [];
    }),
  );
}

/** Lines `FOLDER/manifest.json:"KEY": VALUE,` of grep. */
function manifestsOf(lines: readonly string[]): Map<string, ManifestHead> {
  const heads = new Map<string, ManifestHead>();
  for (const line of lines) {
    const found = /^([^/]+)\/manifest\.json:"(\w+)": (.*?),?$/.exec(line);
    if (!found) continue;
    const [, folder = '', key = '', text = ''] = found;
    const head = heads.get(folder) ?? { ...noHead };
    const value = text.replaceAll('"', '');
    heads.set(folder, { ...head, [key]: key === 'services' ? Number(value) : value });
  }
  return heads;
}

const noHead: ManifestHead = {
  release: '',
  cluster: '',
  lb: '',
  dataplane: '',
  routing: '',
  services: 0,
  helper: '',
  agent: '',
  loads: '',
};

/** One file a line in our manifests. */
function listedIn(lines: readonly string[]): Map<string, string> {
  return new Map(
    lines.flatMap((line) => {
      const found = /^\{"path":"([^"]+)","sha256":"([0-9a-f]{64})"/.exec(line);
      return found ? [[found[1] ?? '', found[2] ?? '']] : [];
    }),
  );
}

/** Lines of sha256sum; a line of another form is the path of what is no file. `./` is taken off. */
function sumsOf(lines: readonly string[]): Map<string, string> {
  return new Map(
    lines.flatMap((line) => {
      const found = /^\\?([0-9a-f]{64}) [ *](.+)$/.exec(line);
      const path = (found?.[2] ?? line).replace(/^\.\//, '');
      return path === '' ? [] : [[path, found?.[1] ?? 'no file']];
    }),
  );
}

function processOf([, pid, ppid, start, comm = '']: readonly string[]): Process {
  return { pid: Number(pid), ppid: Number(ppid), start: Number(start), comm };
}

function textsOf(sections: readonly Section[]): Map<string, string> {
  const files = sections.filter((section) => section.name === 'file');
  return new Map(files.map((section) => [section.argument, section.lines.map((line) => `${line}\n`).join('')]));
}

/** `KEY = VALUE`, blanks in the value made one. */
export function assignment(line: string): [string, string][] {
  const found = /^\s*([^#;=\s][^=]*?)\s*=\s*(.*?)\s*$/.exec(line);
  return found ? [[found[1] ?? '', (found[2] ?? '').replaceAll(/\s+/g, ' ')]] : [];
}

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}
