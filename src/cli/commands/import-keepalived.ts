/**
 * `weir import keepalived`: a keepalived.conf of any dialect becomes a document on standard output; what it does not
 * express, what is missing and how it compares with its rendering goes to standard error. Needs no server.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import type { Stats } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import type { Draft } from '../../adopt/keepalived/draft.ts';
import type { Files } from '../../adopt/keepalived/files.ts';
import { importKeepalived } from '../../adopt/keepalived/keepalived.ts';
import type { Imported } from '../../adopt/keepalived/keepalived.ts';
import type { Comparison } from '../../adopt/keepalived/compare.ts';
import type { Finding, Severity } from '../../adopt/keepalived/ledger.ts';
import { parseHosts } from '../../domain/edge/addresses.ts';
import { checkCluster } from '../../domain/edge/check.ts';
import { Lb } from '../../domain/edge/model.ts';
import type { ClusterType, Dataplane } from '../../domain/edge/model.ts';
import { parseCluster, parseMany, readText } from '../../domain/edge/read.ts';
import { messageOf, refuse, WeirError } from '../../domain/errors.ts';
import { errorsOf, warningsOf } from '../../domain/problem.ts';
import type { Problem } from '../../domain/problem.ts';
import { parse } from '../../domain/schema.ts';
import type { Command, CommandContext, Output } from '../command.ts';
import { noteProblems, noteWarnings } from './shared.ts';

const dataplanes = ['fullnat', 'dpvs', 'ipvs'] as const;

export const importKeepalivedCommand: Command = {
  name: 'import keepalived',
  summary: 'Make a document of a keepalived.conf with its includes, and say what it does not express; needs no server',
  args: '<file>',
  options: [
    { flags: '--name <name>', help: 'name of the cluster; default the base’s' },
    {
      flags: '--dataplane <dataplane>',
      help: 'fullnat, dpvs or ipvs; default the base’s, else what the words of the file say',
    },
    {
      flags: '--base <file>',
      help: 'document with what the file does not hold (weir show CLUSTER -o yaml); its other VIPs stay',
    },
    { flags: '--replace', help: 'VIPs of the base that are not in the file go' },
    { flags: '--lb <file>', help: 'LBs: one, a list of them, or a document with lbinfos; default the base’s' },
    { flags: '--type <type>', help: 'extra or internal; default the base’s' },
    { flags: '--device <interface>', help: 'interface of the OSPF side; default the base’s' },
    { flags: '--vipnet <net...>', help: 'nets of the VIPs; default the base’s' },
    { flags: '--wstype <wstype>', help: 'business of the WSs; default that of the same VIP in the base' },
    { flags: '--hosts <file>', help: 'hosts(5) file with names of the WSs; otherwise names are made from addresses' },
    { flags: '--config-id <id>', help: 'keepalived’s --config-id of the machine, by which lines with @ID hold' },
    { flags: '--report <file>', help: 'write everything that was found, as JSON' },
  ],
  examples: [
    'weir import keepalived /etc/keepalived/keepalived.conf --base cluster.yaml --wstype apps > new.yaml',
    'weir import keepalived keepalived.conf --name c1 --type internal --device em1 --vipnet 10.10.1.0/24 --lb lb.yaml --wstype apps',
    '  exit 0: a valid document that expresses everything; 3: a valid one, and something is lost; 1: not valid yet',
  ],
  async run(context, [file]) {
    const path = String(file);
    const { base, wstype } = await givenOf(context);
    const imported = importKeepalived(await filesFor(context, path), path, {
      dataplane: dataplaneOf(context),
      configId: text(context, 'configId'),
      base,
      replace: context.options['replace'] === true,
      wstype,
      names: await namesOf(context),
    });
    const problems = problemsOf(imported.draft);
    tell(context, imported, problems);
    await report(context, imported, problems);
    return output(imported, problems);
  },
};

function text(context: CommandContext, option: string): string | undefined {
  const value = context.options[option];
  return value === undefined ? undefined : String(value);
}

function dataplaneOf(context: CommandContext): Dataplane | undefined {
  const asked = text(context, 'dataplane');
  if (asked === undefined) return undefined;
  const known = dataplanes.find((dataplane) => dataplane === asked);
  if (known) return known;
  throw new WeirError('usage', `--dataplane ${asked} is none`, { hint: `one of: ${dataplanes.join(', ')}` });
}

// input --------------------------------------------------------------------------------------

async function filesFor(context: CommandContext, path: string): Promise<Files> {
  if (path !== '-') return disk;
  const bytes = Buffer.from(await context.readFile('-'));
  return { ...disk, read: (name, most) => (name === '-' ? { bytes, executable: false } : disk.read(name, most)) };
}

const disk: Files = {
  read(path, most) {
    const found = statOf(path);
    if (!found || found.isDirectory()) return undefined;
    // A pipe or a device has no size, and may have no end.
    if (!found.isFile()) {
      throw new WeirError('usage', `${path} is no regular file`, { hint: 'name a file, or - for standard input' });
    }
    const executable = (found.mode & 0o111) !== 0;
    return { bytes: found.size > most ? undefined : reading(path, () => readFileSync(path)), executable };
  },
  list(folder) {
    try {
      return readdirSync(folder);
    } catch {
      return [];
    }
  },
};

function statOf(path: string): Stats | undefined {
  return path.includes('\0') ? undefined : reading(path, () => statSync(path, { throwIfNoEntry: false }));
}

/** undefined: there is no such file. */
function reading<T>(path: string, work: () => T): T | undefined {
  try {
    return work();
  } catch (thrown) {
    if (/^(?:ENOENT|ENOTDIR|ELOOP|ENAMETOOLONG)$/.test((thrown as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw new WeirError('usage', `${path} cannot be read: ${messageOf(thrown)}`, {
      hint: 'read it as root, or copy the whole folder to where it can be read',
      cause: thrown,
    });
  }
}

async function namesOf(context: CommandContext): Promise<ReadonlyMap<string, string> | undefined> {
  const path = text(context, 'hosts');
  if (path === undefined) return undefined;
  const names = new Map<string, string>();
  for (const [name, address] of parseHosts(await context.readFile(path)))
    if (!names.has(address)) names.set(address, name);
  return names;
}

/** What is known of the cluster besides the file. */
async function givenOf(context: CommandContext): Promise<{ base: Draft; wstype: string | undefined }> {
  const path = text(context, 'base');
  const base = path === undefined ? undefined : await readBase(context, path);
  const lbs = text(context, 'lb');
  const vipnets = context.options['vipnet'] as string[] | undefined;
  const name = text(context, 'name') ?? base?.name;
  const type = text(context, 'type') ?? base?.type;
  const device = text(context, 'device') ?? base?.device;
  const lbinfos = lbs === undefined ? base?.lbinfos : await readLbs(context, lbs);
  const nets = vipnets ?? base?.vipnets;
  const { name: _name, type: _type, device: _device, vipnets: _nets, lbinfos: _lbs, vip2ws = [], ...rest } = base ?? {};
  const given: Draft = {
    ...(name === undefined ? {} : { name }),
    ...(type === undefined ? {} : { type: type as ClusterType }),
    ...(device === undefined ? {} : { device }),
    ...(nets === undefined ? {} : { vipnets: nets }),
    ...rest,
    ...(lbinfos === undefined ? {} : { lbinfos }),
    vip2ws,
  };
  return { base: given, wstype: text(context, 'wstype') };
}

/** One document; it may be without VIPs. */
async function readBase(context: CommandContext, path: string): Promise<Partial<Draft>> {
  const [value] = await readValues(context, path);
  const parsed = parseCluster(typeof value === 'object' && value !== null ? { vip2ws: [], ...value } : value);
  if (!parsed.ok) throw refuse(parsed.problems);
  return parsed.value;
}

async function readLbs(context: CommandContext, path: string): Promise<Lb[]> {
  const values = (await readValues(context, path)).flatMap((value) => {
    const inner = typeof value === 'object' && value !== null && 'lbinfos' in value ? value.lbinfos : value;
    return (Array.isArray(inner) ? inner : [inner]) as unknown[];
  });
  const parsed = parseMany((value, at) => parse(Lb, value, at), values, 'lbinfos');
  if (!parsed.ok) throw refuse(parsed.problems);
  return parsed.value;
}

async function readValues(context: CommandContext, path: string): Promise<unknown[]> {
  const read = readText(await context.readFile(path));
  if (!read.ok) throw refuse(read.problems);
  return read.values;
}

// what is to be said -------------------------------------------------------------------------

/** Of the document as it would be applied. */
function problemsOf(draft: Draft): Problem[] {
  const parsed = parseCluster(draft);
  return parsed.ok ? checkCluster(parsed.value) : parsed.problems;
}

/** Statements that are shown of one reason, where they have no effect anyway; --report has all. */
const SHOWN_DROPPED = 10;

function tell(context: CommandContext, imported: Imported, problems: readonly Problem[]): void {
  const { files, lines, notes, findings, comparison, draft } = imported;
  context.note(`${counted(files.length, 'file')}, ${counted(lines, 'line')}`);
  for (const note of notes) context.note(note);
  const lost = findings.filter((finding) => finding.severity === 'lost');
  const dropped = findings.filter((finding) => finding.severity === 'dropped');
  tellFindings(context, 'dropped', dropped);
  tellFindings(context, 'lost', lost);
  tellComparison(context, comparison);
  const errors = errorsOf(problems);
  if (errors.length === 0) {
    noteWarnings(context, warningsOf(problems));
    return;
  }
  noteProblems(context, 'the document is not valid yet', withHints(errors, draft));
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

const headings: Readonly<Record<Severity, string>> = {
  lost: 'lost: what is not in the document, and would change',
  dropped: 'dropped: without effect on traffic, or written by Weir itself',
};

/** Every statement, by its reason. */
function tellFindings(context: CommandContext, severity: Severity, findings: readonly Finding[]): void {
  if (findings.length === 0) return;
  const reasons = new Map<string, Finding[]>();
  for (const finding of findings) {
    const others = reasons.get(finding.why);
    if (others) others.push(finding);
    else reasons.set(finding.why, [finding]);
  }
  const blocks = [...reasons].map(([why, all]) => {
    const shown = severity === 'lost' ? all : all.slice(0, SHOWN_DROPPED);
    const places = shown.map(
      (one) => `    ${one.file}:${one.line}: ${one.statement}${one.within > 0 ? ` { ${one.within} more }` : ''}`,
    );
    const more =
      all.length > shown.length ? [`    and ${all.length - shown.length} more; all of them with --report FILE`] : [];
    const hint = all[0]?.hint ?? '';
    return [`  ${why}`, ...places, ...more, ...(hint === '' ? [] : [`    > ${hint}`])].join('\n');
  });
  context.note(`${headings[severity]} (${counted(findings.length, 'finding')})\n${blocks.join('\n')}`);
}

function tellComparison(context: CommandContext, comparison: Comparison): void {
  const { services, realServers, equivalent, explained, unexplained, differences, unavailable } = comparison;
  const all = `${counted(services, 'service')}, ${counted(realServers, 'real server')}`;
  if (unavailable !== undefined) {
    context.note(`${all}; not compared with what Weir renders of the document: ${unavailable}`);
    return;
  }
  context.note(
    `compared with what Weir renders of the document: ${all}: ${equivalent} equivalent, ${explained} with what is lost above, ${unexplained} different otherwise`,
  );
  const shown = differences.filter((one) => !one.explained);
  for (const one of shown) context.note(`  ${one.service}: ${one.field} was ${one.was}, becomes ${one.becomes}`);
}

/** What to fill in, by the option that does it; a field that each VIP lacks is named once. */
function withHints(problems: readonly Problem[], draft: Draft): Problem[] {
  const options: Readonly<Record<string, string>> = {
    name: 'the name of the cluster: --name NAME',
    type: '--type extra where OSPF is spoken on the external side, else --type internal',
    device: 'the interface that faces the router: --device em1',
    vipnets: `the nets that VIPs come from: --vipnet ${netsOf(draft).join(' ')}`,
    lbinfos: 'the LBs, with addresses, router-id and OSPF net: --lb FILE, or --base FILE',
    wstype: 'the business of the WSs: --wstype NAME, or --base FILE with the VIPs',
  };
  const seen = new Map<string, number>();
  const missing = (problem: Problem) =>
    problem.code === 'missing' ? (/^(?:vip2ws\[\d+\]\.)?(\w+)$/.exec(problem.path)?.[1] ?? '') : '';
  for (const problem of problems) seen.set(missing(problem), (seen.get(missing(problem)) ?? 0) + 1);
  const told = new Set<string>();
  return problems.flatMap((problem) => {
    const field = missing(problem);
    const hint = options[field];
    if (hint === undefined) return [problem];
    if (told.has(field)) return [];
    told.add(field);
    const others = (seen.get(field) ?? 1) - 1;
    return [
      { ...problem, message: `${problem.message}${others > 0 ? `, here and in ${others} more VIPs` : ''}`, hint },
    ];
  });
}

/** Nets of 256 addresses that hold the VIPs, as a proposal. */
function netsOf(draft: Draft): string[] {
  const nets = [...new Set(draft.vip2ws.map((vip) => vip.vip.replace(/\d+$/, '0/24')))];
  if (nets.length === 0) return ['10.10.1.0/24'];
  return nets.length > 8 ? [...nets.slice(0, 8), '...'] : nets;
}

async function report(context: CommandContext, imported: Imported, problems: readonly Problem[]): Promise<void> {
  const path = text(context, 'report');
  if (path === undefined) return;
  const { draft: _draft, ...rest } = imported;
  try {
    await writeFile(path, `${JSON.stringify({ ...rest, problems }, null, 2)}\n`);
  } catch (thrown) {
    throw new WeirError('failed', `${path} cannot be written: ${messageOf(thrown)}`, {
      hint: 'name another file',
      cause: thrown,
    });
  }
}

function output({ draft, findings, comparison }: Imported, problems: readonly Problem[]): Output {
  const lost = findings.some((finding) => finding.severity === 'lost') || comparison.unexplained > 0;
  return { data: draft, exit: errorsOf(problems).length > 0 ? 1 : lost ? 3 : 0 };
}
