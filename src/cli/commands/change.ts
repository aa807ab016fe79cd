/** Commands that run one operation: cluster, vip, lb, ws, port. */
import type { ChangeResult } from '../../contract/schemas.ts';
import { Cluster, Lb, Port, Vip, WsAttrs } from '../../domain/edge/model.ts';
import { readClusters, readText } from '../../domain/edge/read.ts';
import { refuse, WeirError } from '../../domain/errors.ts';
import { readAssignments } from '../assignments.ts';
import type { Command, CommandContext, CommandOption, Output } from '../command.ts';
import { lbDrainCommands } from './activate.ts';
import { wsDrainCommands } from './drain.ts';
import { lbRetire } from './lb-retire.ts';
import { changeOutput, dryRunOption, messageOption, noteWarnings, numeric, pathOf } from './shared.ts';
import { vipMove } from './vip-move.ts';

type Arg = string | string[] | undefined;

interface Sending {
  method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  path: string;
  body?: unknown;
}

const common = [dryRunOption, messageOption];
const fileOption: CommandOption = {
  flags: '-f, --file <file>',
  help: 'JSON5 or YAML with one or many; - for standard input',
};

async function send(context: CommandContext, { method, path, body }: Sending): Promise<Output> {
  const { dryRun, message } = context.options as { dryRun?: boolean; message?: string };
  const { data } = await context
    .client()
    .call<ChangeResult | ChangeResult[]>(path, { method, body, query: { dryRun, message } });
  const results = Array.isArray(data) ? data : [data];
  for (const result of results) noteWarnings(context, result.warnings);
  return changeOutput(results);
}

/** Several removals as one batch, all or nothing. */
function batch(context: CommandContext, cluster: Arg, operations: readonly unknown[]): Promise<Output> {
  return send(context, { method: 'POST', path: `${pathOf(cluster)}/batch`, body: { operations } });
}

function list(arg: Arg): string[] {
  return arg === undefined ? [] : Array.isArray(arg) ? arg : [arg];
}

async function fromFile(context: CommandContext): Promise<unknown[] | undefined> {
  const file = context.options['file'];
  if (file === undefined) return undefined;
  const read = readText(await context.readFile(String(file)));
  if (!read.ok) throw refuse(read.problems);
  return read.values.flatMap((v) => (Array.isArray(v) ? (v as unknown[]) : [v]));
}

function needs(what: string, hint: string): WeirError {
  return new WeirError('usage', `${what} is missing`, { hint });
}

const clusterCommands: Command[] = [
  {
    name: 'cluster create',
    summary: 'Create clusters from a file',
    options: [{ ...fileOption, required: true }, ...common],
    async run(context) {
      const read = readClusters(await context.readFile(String(context.options['file'])));
      if (!read.ok) throw refuse(read.problems);
      const [first, ...more] = read.value;
      return send(context, { method: 'POST', path: '/clusters', body: more.length > 0 ? read.value : first });
    },
  },
  {
    name: 'cluster set',
    summary: 'Change fields of a cluster',
    args: '<cluster> <field=value...>',
    options: common,
    examples: [
      'weir cluster set CLUSTER linkspeed=10g ospf.cost=20',
      'weir cluster set CLUSTER ospf.key=KEY   # stored as a secret',
    ],
    run: (context, [cluster, fields]) =>
      send(context, { method: 'PATCH', path: pathOf(cluster), body: readAssignments(Cluster, list(fields)) }),
  },
  {
    name: 'cluster delete',
    summary: 'Delete a cluster’s record; its machines are not touched',
    args: '<cluster>',
    options: common,
    run: (context, [cluster]) => send(context, { method: 'DELETE', path: pathOf(cluster) }),
  },
];

/** `80`, `80:8080` (sport:dport), with the ports' options. */
function portsOf(texts: readonly string[], options: Readonly<Record<string, unknown>>): unknown[] {
  return texts.map((text) => {
    const [sport = '', dport = sport] = text.split(':');
    return {
      sport: numeric(sport),
      dport: numeric(dport),
      ...(options['synproxy'] === undefined ? {} : { synproxy: numeric(options['synproxy']) }),
      ...(options['persistence'] === undefined ? {} : { persistence_timeout: numeric(options['persistence']) }),
      ...(options['scheduler'] === undefined ? {} : { scheduler: options['scheduler'] }),
      ...(options['check'] === undefined ? {} : { check: { type: options['check'] } }),
    };
  });
}

const portOptions: CommandOption[] = [
  { flags: '--synproxy <0|1>', help: 'the LB answers SYNs itself; default 1' },
  { flags: '--persistence <seconds>', help: 'a client keeps its WS; 0 off; default 50' },
  { flags: '--scheduler <name>', help: 'default wrr' },
  { flags: '--check <type>', help: 'http, https or tcp; by default as the port on the WSs says' },
];

const vipCommands: Command[] = [
  {
    name: 'vip add',
    summary: 'Add VIPs; without --port they get 80 and 443',
    args: '<cluster> [vip...]',
    options: [
      { flags: '--wstype <wstype>', help: 'business of the WSs' },
      { flags: '--ws <host...>', help: 'WSs' },
      { flags: '--port <port...>', help: 'ports, each SPORT or SPORT:DPORT' },
      { flags: '--owner <text>', help: 'who answers for it' },
      fileOption,
      ...common,
    ],
    examples: ['weir vip add CLUSTER 60.28.208.3 --wstype apps --ws ngx1.hy01 ngx2.hy01 --port 80 443:8443'],
    async run(context, [cluster, vips]) {
      const { wstype, ws, port, owner } = context.options as {
        wstype?: string;
        ws?: string[];
        port?: string[];
        owner?: string;
      };
      const given = await fromFile(context);
      if (!given && list(vips).length === 0) throw needs('a VIP', 'name one, or a file with -f');
      if (!given && wstype === undefined) throw needs('--wstype', 'name the business of its WSs, e.g. --wstype apps');
      const made = list(vips).map((vip) => ({
        vip,
        wstype,
        wss: ws ?? [],
        ...(port ? { ports: portsOf(port, {}) } : {}),
        ...(owner === undefined ? {} : { owner }),
      }));
      return send(context, { method: 'POST', path: `${pathOf(cluster)}/vips`, body: [...(given ?? []), ...made] });
    },
  },
  {
    name: 'vip set',
    summary: 'Change fields of a VIP, e.g. wstype=search',
    args: '<cluster> <vip> <field=value...>',
    options: common,
    examples: ['weir vip set CLUSTER 60.28.208.1 wstype=search owner=null'],
    run: (context, [cluster, vip, fields]) =>
      send(context, {
        method: 'PATCH',
        path: `${pathOf(cluster)}/vips/${encodeURIComponent(String(vip))}`,
        body: readAssignments(Vip, list(fields)),
      }),
  },
  {
    name: 'vip remove',
    summary: 'Remove VIPs',
    args: '<cluster> <vip...>',
    options: common,
    run: (context, [cluster, vips]) => batch(context, cluster, [{ op: 'vip.remove', vips: list(vips) }]),
  },
  vipMove,
];

const lbCommands: Command[] = [
  {
    name: 'lb add',
    summary: 'Add an LB by its fields, or LBs from a file; LIPs are planned unless given',
    args: '<cluster> [field=value...]',
    options: [fileOption, ...common],
    examples: [
      'weir lb add CLUSTER hostname=lb2.hy01 routerid=60.29.246.190 internalip=10.0.19.227 internalnetmask=255.255.255.224 \\',
      '    internalgateway=10.0.19.225 extraip=60.29.246.190 extranetmask=255.255.255.252 extragateway=60.29.246.189 ospfnet=60.29.246.188/30',
    ],
    async run(context, [cluster, fields]) {
      const given = await fromFile(context);
      if (!given && list(fields).length === 0) throw needs('the LB', 'give its fields, or a file with -f');
      const made = list(fields).length > 0 ? [readAssignments(Lb, list(fields))] : [];
      return send(context, { method: 'POST', path: `${pathOf(cluster)}/lbs`, body: [...(given ?? []), ...made] });
    },
  },
  {
    name: 'lb set',
    summary: 'Change fields of an LB',
    args: '<cluster> <lb> <field=value...>',
    options: common,
    examples: ['weir lb set CLUSTER lb1.hy01 lips=10.0.19.240-247   # confirms or changes its LIPs'],
    run: (context, [cluster, lb, fields]) =>
      send(context, {
        method: 'PATCH',
        path: `${pathOf(cluster)}/lbs/${encodeURIComponent(String(lb))}`,
        body: readAssignments(Lb, list(fields)),
      }),
  },
  ...lbDrainCommands,
  lbRetire,
  {
    name: 'lb remove',
    summary: 'Remove LBs; their LIPs go into quarantine',
    args: '<cluster> <lb...>',
    options: common,
    run: (context, [cluster, lbs]) => batch(context, cluster, [{ op: 'lb.remove', lbs: list(lbs) }]),
  },
  {
    name: 'lb free',
    summary: 'End the quarantine of LIPs that removed LBs had',
    args: '<cluster> <lip...>',
    async run(context, [cluster, lips]) {
      const { data } = await context
        .client()
        .call(`${pathOf(cluster)}/lips/free`, { method: 'POST', body: { lips: list(lips) } });
      return { data, text: `freed ${list(lips).join(', ')}\n` };
    },
  },
];

const wsCommands: Command[] = [
  {
    name: 'ws add',
    summary: 'Add WSs to a VIP',
    args: '<cluster> <vip> <ws...>',
    options: [
      { flags: '--weight <n>', help: '0 to 65535; default 100' },
      { flags: '--address <ip>', help: 'default: what the name resolves to' },
      ...common,
    ],
    run(context, [cluster, vip, wss]) {
      const { weight, address } = context.options as { weight?: string; address?: string };
      const attrs = {
        ...(weight === undefined ? {} : { weight: numeric(weight) }),
        ...(address === undefined ? {} : { address }),
      };
      const body = list(wss).map((ws) => (Object.keys(attrs).length > 0 ? { ws, ...attrs } : ws));
      return send(context, {
        method: 'POST',
        path: `${pathOf(cluster)}/vips/${encodeURIComponent(String(vip))}/wss`,
        body,
      });
    },
  },
  {
    name: 'ws set',
    summary: 'Change weight, state or address of a WS',
    args: '<cluster> <vip> <ws> <field=value...>',
    options: common,
    examples: ['weir ws set CLUSTER 60.28.208.1 ngx1.hy01 weight=50'],
    run: (context, [cluster, vip, ws, fields]) =>
      send(context, {
        method: 'PATCH',
        path: `${pathOf(cluster)}/vips/${encodeURIComponent(String(vip))}/wss/${encodeURIComponent(String(ws))}`,
        body: readAssignments(WsAttrs, list(fields)),
      }),
  },
  ...wsDrainCommands,
  {
    name: 'ws remove',
    summary: 'Remove WSs from a VIP',
    args: '<cluster> <vip> <ws...>',
    options: common,
    run: (context, [cluster, vip, wss]) => batch(context, cluster, [{ op: 'ws.remove', vip, wss: list(wss) }]),
  },
];

const portCommands: Command[] = [
  {
    name: 'port add',
    summary: 'Add ports to a VIP',
    args: '<cluster> <vip> <sport[:dport]...>',
    options: [...portOptions, ...common],
    run: (context, [cluster, vip, ports]) =>
      send(context, {
        method: 'POST',
        path: `${pathOf(cluster)}/vips/${encodeURIComponent(String(vip))}/ports`,
        body: portsOf(list(ports), context.options),
      }),
  },
  {
    name: 'port set',
    summary: 'Change fields of a port',
    args: '<cluster> <vip> <sport> <field=value...>',
    options: common,
    examples: ['weir port set CLUSTER 60.28.208.1 80 dport=8080 persistence_timeout=0'],
    run: (context, [cluster, vip, port, fields]) =>
      send(context, {
        method: 'PATCH',
        path: `${pathOf(cluster)}/vips/${encodeURIComponent(String(vip))}/ports/${encodeURIComponent(String(port))}`,
        body: portFields(list(fields)),
      }),
  },
  {
    name: 'port remove',
    summary: 'Remove ports from a VIP',
    args: '<cluster> <vip> <sport...>',
    options: common,
    run: (context, [cluster, vip, ports]) => batch(context, cluster, [{ op: 'port.remove', vip, ports: list(ports) }]),
  },
];

/** synproxy is 0 or 1, which its union of literals does not tell readAssignments. */
function portFields(texts: readonly string[]): Record<string, unknown> {
  const set = readAssignments(Port, texts);
  return set['synproxy'] === undefined || set['synproxy'] === null
    ? set
    : { ...set, synproxy: numeric(set['synproxy']) };
}

export const changeCommands: readonly Command[] = [
  ...clusterCommands,
  ...vipCommands,
  ...lbCommands,
  ...wsCommands,
  ...portCommands,
];
