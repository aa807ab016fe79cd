/** What the LBs of a cluster are, against what the document says of them: lb probe. */
import type { ClusterProbeView, LbProbeView, ProbeFinding } from '../../contract/probe.ts';
import { tableText } from '../print.ts';
import type { Command, Output } from '../command.ts';
import { pathOf } from './shared.ts';

export const probeCommand: Command = {
  name: 'lb probe',
  summary: 'What the LBs are, against the document; exit 3 where they disagree, 1 where an LB cannot be asked',
  args: '<cluster> [lb...]',
  examples: ['weir lb probe CLUSTER', 'weir lb probe CLUSTER lb1.hy01 -o json'],
  async run(context, [cluster, lbs = []]) {
    const query = { lbs: lbs.length > 0 ? [lbs].flat().join(',') : undefined };
    const { data } = await context.client().call<ClusterProbeView>(pathOf(cluster, 'probe'), { method: 'POST', query });
    return probeOutput(data);
  },
};

export function probeOutput(probe: ClusterProbeView): Output {
  const states = new Set(probe.lbs.map(({ state }) => state));
  const exit = states.has('unreachable') ? 1 : states.has('deviates') ? 3 : 0;
  return { data: probe, text: textOf(probe), exit };
}

function textOf({ lbs }: ClusterProbeView): string {
  const parts = [tableText(['lb', 'what', 'machine', 'document'], lbs.flatMap(rowsOf))];
  for (const lb of lbs) {
    const lines = linesOf(lb);
    if (lines.length > 0) parts.push(`${lb.lb}:\n${lines.map((line) => `  ${line}\n`).join('')}`);
  }
  return parts.join('\n');
}

type Machine = NonNullable<LbProbeView['machine']>;

/** The LB's name stands in its first row. */
function rowsOf({ lb, document, machine, state }: LbProbeView): string[][] {
  if (!machine) return [[lb, 'state', state, '']];
  const rows = [
    ['keepalived', keepalivedText(machine), document.dataplane],
    ['kernel', kernelText(machine), ''],
    ...(document.dataplane === 'dpvs' || machine.dpvs.running ? [['dpvs', dpvsText(machine), '']] : []),
    ['routing', routingText(machine), document.routing],
    ...machine.interfaces.map((nic) => [nic.name, nicText(nic), document.linkspeed ?? '']),
    ['LIPs', lipsText(machine), String(document.lips)],
  ];
  return rows.map((row, i) => [i === 0 ? lb : '', ...row]);
}

function keepalivedText({ keepalived }: Machine): string {
  if (!keepalived) return 'not installed';
  const build = keepalived.laddr === 'yes' ? ', with LIPs' : '';
  return `${keepalived.version || keepalived.words}${build}`;
}

function kernelText({ kernel, ipvs, modules }: Machine): string {
  if (ipvs.table) return `${kernel}, ${ipvs.fullnat ? 'IPVS with FULLNAT' : 'IPVS'}`;
  const words = { loaded: 'IPVS', available: 'IPVS not loaded', missing: 'no IPVS', unknown: 'IPVS unknown' };
  return `${kernel}, ${words[modules['ip_vs'] ?? 'unknown']}`;
}

function dpvsText({ dpvs }: Machine): string {
  return `${dpvs.dpip?.words || 'no dpip'}, ${dpvs.running ? 'runs' : 'does not run'}`;
}

function routingText({ routing }: Machine): string {
  const { installed, running } = routing;
  const versions = new Set(
    installed.filter(({ name }) => name === 'ospfd').map(({ suite, words }) => `${suite} ${words.split(' ').at(-1)}`),
  );
  const names = new Set(running.map(({ name }) => name).filter((name) => ['zebra', 'ospfd', 'bfdd'].includes(name)));
  return `${[...versions].join(' and ') || 'no ospfd'}, ${names.size > 0 ? [...names].join(' ') : 'nothing'} running`;
}

function nicText({
  present,
  operstate,
  speed,
  driver,
  queues,
  maxQueues,
  ring,
}: Machine['interfaces'][number]): string {
  if (!present) return 'not there';
  return [
    operstate,
    speed === null ? 'speed unknown' : `${speed} Mb/s`,
    driver || 'no driver known',
    `queues ${queues.rx}${maxQueues === null ? '' : `/${maxQueues}`}`,
    ...(ring ? [`ring ${ring.rx}/${ring.maxRx}`] : []),
  ].join(', ');
}

function lipsText({ lips }: Machine): string {
  const on = new Set(lips.flatMap(({ interfaces }) => interfaces));
  const here = lips.filter(({ interfaces }) => interfaces.length > 0).length;
  const taken = lips.filter(({ state }) => state === 'taken').length;
  const where = on.size > 0 ? ` on ${[...on].join(', ')}` : '';
  return `${here}${where}${taken > 0 ? `, ${taken} taken` : ''}`;
}

/** Findings shown for each LB. */
const SHOWN = 20;

/** The first findings; a hint that the next one shares is said once. */
function linesOf({ error, deviations = 0, notes = 0, findings = [] }: LbProbeView): string[] {
  if (error !== undefined) return [`cannot be asked: ${error}`];
  const first = findings.slice(0, SHOWN);
  const lines = first.flatMap((finding, i) => [
    headOf(finding),
    ...(first[i + 1]?.hint === finding.hint ? [] : [`  ${finding.hint}`]),
  ]);
  const more = deviations + notes - first.length;
  return more > 0 ? [...lines, `and ${more} more (-o json)`] : lines;
}

function headOf({ severity, code, message }: ProbeFinding): string {
  return `${severity === 'note' ? 'note ' : ''}${code}: ${message}`;
}
