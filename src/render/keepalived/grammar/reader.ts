/**
 * A strict reader of the three dialects of keepalived that Weir writes: keepalived 1.2.2 of Alibaba LVS v2 (`fullnat`),
 * 2.0.19 of DPVS (`dpvs`), mainline 2.2 (`ipvs`). The real parsers skip words that they do not know, or take anything for
 * a number; this one complains about all of it, and about every mistake that its dialect would accept in silence.
 * One file is read by itself (`readFile`); what files are to each other is asked of their names alone (`complaintsAmong`),
 * so that a file that many LBs share is read once.
 * Pure: files come from a function. May import the domain.
 */
import { dialects } from './dialects.ts';
import type { Dialect, KeepalivedGrammar } from './dialects.ts';
import { globals } from './globals.ts';
import { clientGroup, lipGroup, nameOf, virtualAddress } from './groups.ts';
import type { FileNames, FileReading, Include, Named, Reading } from './reading.ts';
import { programOf, virtualServer, wordsOf } from './services.ts';
import type { ReadService } from './services.ts';
import { includeOf, MISSING, parse, resolvePath, tokens } from './statements.ts';
import type { Complain, ReadFile, Statement } from './statements.ts';

export type { KeepalivedGrammar } from './dialects.ts';
export type { HealthCheck, Reading, VirtualService } from './reading.ts';

/** A configuration from its main file on. */
export function readKeepalived(readText: ReadFile, path: string, grammar: KeepalivedGrammar = 'fullnat'): Reading {
  const files: FileReading[] = [];
  const followed = follow(path, (file) => {
    const text = readText(file);
    if (text === undefined) return undefined;
    const reading = readFile({ path: file, text, grammar });
    files.push(reading);
    return reading;
  });
  const lips = new Map(files.flatMap((file) => [...file.lipGroups].map(([name, all]) => [name, [...all]])));
  const services = files.flatMap((file) =>
    file.virtualServices.map(({ lipGroup: group, at: _at, ...service }) => ({
      ...service,
      lips: group === undefined ? [] : (lips.get(group) ?? []),
    })),
  );
  return {
    services,
    lips,
    routerId: files.find((file) => file.routerId !== undefined)?.routerId,
    processName: files.find((file) => file.processName !== undefined)?.processName,
    files: followed.files,
    complaints: followed.complaints,
  };
}

export interface Followed {
  /** In the order in which they are opened, with those that are not there. */
  files: string[];
  complaints: string[];
}

/** Reads files from one on along their includes, in keepalived's order, and tells what is wrong with any of them. */
export function follow(start: string, read: (path: string) => FileNames | undefined): Followed {
  const opened = new Map<string, FileNames | undefined>();
  const complaints: string[] = [];
  const open = (path: string, by: string) => {
    if (opened.has(path)) {
      complaints.push(`${by}${path} is included twice`);
      return;
    }
    const file = read(path);
    opened.set(path, file);
    if (!file) complaints.push(`${by}${path} ${MISSING}`);
    complaints.push(...(file?.complaints ?? []));
    for (const include of file?.includes ?? []) open(resolvePath(path, include.path), `${include.at} `);
  };
  open(start, '');
  const readings = [...opened.values()].filter((file) => file !== undefined);
  return { files: [...opened.keys()], complaints: [...complaints, ...complaintsAmong(readings, start)] };
}

/** What is wrong with files beside one another: names that stand twice, groups that are not there. */
function complaintsAmong(files: readonly FileNames[], start: string): string[] {
  const complaints: string[] = [];
  const known = new Map<string, string>();
  const lips = new Map<string, string>();
  const programs = new Set<string>();
  for (const file of files) {
    for (const { what, at } of file.named) {
      const other = known.get(what);
      if (other === undefined) known.set(what, at);
      else complaints.push(`${at} ${what} stands twice, first at ${other}`);
    }
    for (const [name, all] of file.lipGroups) for (const lip of all) lips.set(lip, name);
    for (const program of file.programs) programs.add(program);
  }
  for (const file of files) {
    for (const [name, at] of file.wantedLips) {
      if (!known.has(`local_address_group ${name}`)) complaints.push(`${at} there is no local_address_group ${name}`);
    }
    for (const vip of file.vips) {
      if (lips.has(vip)) complaints.push(`${file.path} VIP ${vip} is a LIP of ${lips.get(vip)}`);
    }
  }
  if (!known.has('global_defs')) complaints.push(`${start} there is no global_defs`);
  if (programs.size > 1) {
    complaints.push(
      `${start} quorum_up and quorum_down run ${[...programs].join(', ')}: one helper per LB knows all ports`,
    );
  }
  return complaints;
}

export interface FileText {
  path: string;
  text: string;
  grammar: KeepalivedGrammar;
}

/** One file without those that it includes. Groups that its services name stand in it, but for those of LIPs. */
export function readFile(file: FileText): FileReading {
  const complaints: string[] = [];
  const complain: Complain = (at, what) => complaints.push(`${at} ${what}`);
  expectPlain(file, complain);
  const parts = partsOf(parse(file.path, file.text, complain), dialects[file.grammar], complain);
  const services = servicesOf(parts, file.grammar, complain);
  const { includes, named, lipGroups, head } = parts;
  return {
    path: file.path,
    includes,
    named: [...named, ...services.filter(({ vip }) => vip !== '').map((service) => nameOfService(service))],
    wantedLips: new Map(services.flatMap(({ lipGroup: name, at }) => (name === undefined ? [] : [[name, at]]))),
    lipGroups,
    vips: new Set(services.map((service) => service.vip)),
    services: services.length,
    programs: programsOf(services),
    complaints,
    ...head,
    virtualServices: services,
  };
}

/** What stands at the top of one file. */
interface Parts {
  includes: Include[];
  named: Named[];
  head: Pick<Reading, 'routerId' | 'processName'>;
  lipGroups: Map<string, string[]>;
  virtual: Map<string, { vip: string; port: number }>;
  deny: Map<string, string[]>;
  allow: Map<string, string[]>;
  servers: Statement[];
}

function partsOf(statements: readonly Statement[], dialect: Dialect, complain: Complain): Parts {
  const parts: Parts = {
    includes: [],
    named: [],
    head: { routerId: undefined, processName: undefined },
    lipGroups: new Map(),
    virtual: new Map(),
    deny: new Map(),
    allow: new Map(),
    servers: [],
  };
  const define = (statement: Statement): string => {
    const name = nameOf(statement, complain);
    parts.named.push({ what: `${statement.words[0]} ${name}`, at: statement.at });
    return name;
  };
  for (const statement of statements) {
    switch (wordOf(statement, dialect)) {
      case 'include': {
        const target = includeOf(statement);
        if (target !== undefined) parts.includes.push({ path: target, at: statement.at });
        break;
      }
      case 'global_defs':
        parts.named.push({ what: 'global_defs', at: statement.at });
        parts.head = globals(statement, dialect, complain);
        break;
      case 'local_address_group':
        parts.lipGroups.set(define(statement), lipGroup(statement, dialect, complain));
        break;
      case 'deny_address_group':
        parts.deny.set(define(statement), clientGroup(statement, complain));
        break;
      case 'allow_address_group':
        parts.allow.set(define(statement), clientGroup(statement, complain));
        break;
      case 'virtual_server_group':
        parts.virtual.set(define(statement), virtualAddress(statement, complain));
        break;
      case 'virtual_server':
        parts.servers.push(statement);
        break;
      default:
        complain(statement.at, `unknown keyword ${statement.words[0]}`);
    }
  }
  return parts;
}

/** The word of a statement, where the dialect has it at the top of a file. */
function wordOf({ words: [word = ''] }: Statement, dialect: Dialect): string | undefined {
  const group = /^(local|deny|allow)_address_group$/.test(word);
  return !group || dialect.groups.some((known) => known === word) ? word : undefined;
}

type PlacedService = ReadService & { at: string };

/** Each with the place where it stands. A group belongs to one service, but for clients, whose group serves all ports of a VIP. */
function servicesOf(parts: Parts, grammar: KeepalivedGrammar, complain: Complain): PlacedService[] {
  const uses = new Map<string, number>();
  const use = (what: string) => uses.set(what, (uses.get(what) ?? 0) + 1);
  const { virtual, deny, allow } = parts;
  const context = {
    dialect: dialects[grammar],
    words: wordsOf(grammar),
    groups: { virtual, deny, allow, use },
    complain,
  };
  const services = parts.servers.map((statement) => ({ ...virtualServer(statement, context), at: statement.at }));
  for (const { what, at } of parts.named) {
    if (!/^(virtual_server|deny_address|allow_address)_group /.test(what)) continue;
    const times = uses.get(what) ?? 0;
    if (times === 0) complain(at, `${what} is not used`);
    if (times > 1 && what.startsWith('virtual')) complain(at, `${what} is used ${times} times`);
  }
  return services;
}

function nameOfService({ vip, port, protocol, at }: PlacedService): Named {
  return { what: `service ${vip}:${port}:${protocol}`, at };
}

function programsOf(services: readonly ReadService[]): Set<string> {
  const programs = services.flatMap((service) => [programOf(service.quorumUp), programOf(service.quorumDown)]);
  return new Set(programs.filter((program) => program !== ''));
}

/** Whether nothing in a text is read as something else than itself. */
function expectPlain({ path, text, grammar }: FileText, complain: Complain): void {
  const { special } = dialects[grammar];
  if (special.length === 0 || !/[$\\@~]/.test(text)) return;
  for (const [i, line] of text.split('\n').entries()) {
    if (tokens(line).length === 0) continue;
    for (const { pattern, does } of special) {
      const found = pattern.exec(line);
      if (found) complain(`${path}:${i + 1}`, `${found[0].trim()} ${does}`);
    }
  }
}
