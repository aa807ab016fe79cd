/**
 * Draining a WS from the first step to the last: weight 0 in the document, published, activated, and then
 * waited for until no LB has connections or persistence entries of it.
 */
import type { Client } from '../../client/client.ts';
import type { ChangeResult } from '../../contract/schemas.ts';
import type { ConnectionsView } from '../../contract/status.ts';
import type { Cluster, Vip } from '../../domain/edge/model.ts';
import { stateOf } from '../../domain/edge/model.ts';
import { WeirError } from '../../domain/errors.ts';
import type { Command, CommandContext, Output } from '../command.ts';
import { durationOf, LOOK_MS, publishAndActivate, refusePending } from './bring.ts';
import { jobOutput } from './follow.ts';
import { changeOutput, dryRunOption, messageOption, noteWarnings, pathOf } from './shared.ts';

const common = [
  { flags: '--vip <vip...>', help: 'only on these VIPs; default all that have it' },
  { flags: '--pending', help: 'let other changes go along that are not published or not activated yet' },
  dryRunOption,
  messageOption,
];

const drain: Command = {
  name: 'ws drain',
  summary: 'Give a WS weight 0, publish, activate, and wait until nothing is connected to it any more',
  args: '<cluster> <ws>',
  options: [
    ...common,
    { flags: '--timeout <time>', help: 'how long to wait for its connections, e.g. 90s, 10m, 1h; default 10m' },
    { flags: '--no-wait', help: 'do not wait for its connections to go' },
  ],
  examples: [
    'weir ws drain CLUSTER ngx1.hy01',
    'weir ws drain CLUSTER ngx1.hy01 --vip 60.28.208.1 --timeout 1h',
    'weir ws set CLUSTER 60.28.208.1 ngx1.hy01 state=drain   # in the document only',
  ],
  async run(context, [cluster, ws]) {
    const timeoutMs = durationOf(String(context.options['timeout'] ?? '10m'));
    const { made, output } = await bringTo('drain', context, { cluster: String(cluster), ws: String(ws) });
    if (!made) return output;
    if (context.options['wait'] === false) return output;
    return waitUntilEmpty(context, made, timeoutMs);
  },
};

const undrain: Command = {
  name: 'ws undrain',
  summary: 'Give a WS its weight back, publish and activate',
  args: '<cluster> <ws>',
  options: common,
  examples: ['weir ws undrain CLUSTER ngx1.hy01'],
  run: async (context, [cluster, ws]) =>
    (await bringTo('up', context, { cluster: String(cluster), ws: String(ws) })).output,
};

interface Named {
  cluster: string;
  ws: string;
}

/** A WS that has its new state on every LB. */
interface Made extends Named {
  vips: readonly string[];
  /** Whether these were named, out of all that have it. */
  some: boolean;
  revision: number;
}

/** Changes the document, publishes and activates. Without `made` it went no further than `output` says. */
async function bringTo(
  state: 'drain' | 'up',
  context: CommandContext,
  named: Named,
): Promise<{ made?: Made; output: Output }> {
  const { cluster, ws } = named;
  const client = context.client();
  const { data: document, headers } = await client.call<Cluster>(pathOf(cluster));
  const vips = vipsOf(document, ws, context.options['vip'] as string[] | undefined);
  const { dryRun, message, pending } = context.options as { dryRun?: boolean; message?: string; pending?: boolean };
  if (!dryRun && !pending) await refusePending(client, cluster);
  const etag = headers.get('etag') ?? '*';
  const operations = changesTo(state, vips, ws);
  let revision = Number(etag.replaceAll('"', ''));
  if (operations.length > 0) {
    const { data: change } = await client.call<ChangeResult>(pathOf(cluster, 'batch'), {
      method: 'POST',
      headers: { 'if-match': etag },
      body: { operations },
      query: { dryRun, message },
    });
    noteWarnings(context, change.warnings);
    if (dryRun) return { output: changeOutput([change]) };
    revision = change.revision;
  } else if (dryRun) return { output: { data: null, text: `${ws}: ${state} already\n` } };
  const names = vips.map((v) => v.vip);
  context.note(`${ws}: ${state} on ${names.join(', ')} by revision ${revision}`);
  const made: Made = { ...named, vips: names, some: context.options['vip'] !== undefined, revision };
  const job = await publishAndActivate(context, made);
  if (job.state === 'done') {
    return {
      made,
      output: { ...jobOutput(job), data: { cluster, ws, vips: names, revision, state, activation: job } },
    };
  }
  context.note(
    `the document says ${state}, and not every LB has it; see why, then: weir ws ${state === 'up' ? 'undrain' : 'drain'} ${cluster} ${ws} --pending`,
  );
  return { output: jobOutput(job) };
}

/** VIPs by name, or all that have the WS. */
function vipsOf(cluster: Cluster, ws: string, wanted: readonly string[] | undefined): Vip[] {
  const having = cluster.vip2ws.filter((vip) => vip.wss.includes(ws));
  const missing = (wanted ?? []).filter((name) => !having.some(({ vip }) => vip === name));
  if (having.length === 0 || missing.length > 0) {
    const where = missing.length > 0 ? `VIP ${missing.join(', ')} has` : `no VIP of cluster ${cluster.name} has`;
    throw new WeirError('not_found', `${where} ${missing.length > 0 ? 'no ' : ''}WS ${ws}`, {
      hint: `weir show ${cluster.name} lists VIPs and their WSs`,
    });
  }
  return wanted ? having.filter(({ vip }) => wanted.includes(vip)) : having;
}

/** A WS that is down stays so. */
function changesTo(state: 'drain' | 'up', vips: readonly Vip[], ws: string): object[] {
  const from = state === 'drain' ? 'up' : 'drain';
  return vips.filter((vip) => stateOf(vip, ws) === from).map(({ vip }) => ({ op: 'ws.set', vip, ws, set: { state } }));
}

// waiting ------------------------------------------------------------------------------------

/** Connections and persistence entries of a WS, by LB. */
type Left = ConnectionsView['lbs'];

async function waitUntilEmpty(context: CommandContext, made: Made, timeoutMs: number): Promise<Output> {
  const client = context.client();
  const deadline = Date.now() + timeoutMs;
  const told = new Map<string, string>();
  for (;;) {
    const left = await leftOf(client, made);
    for (const [lb, row] of Object.entries(left)) {
      const line = lineOf(row);
      if (told.get(lb) !== line) context.note(`${lb}: ${line}`);
      told.set(lb, line);
    }
    if (Object.values(left).every(isEmpty)) {
      const uncounted = Object.keys(left).filter((lb) => left[lb]?.persistent === null);
      if (uncounted.length > 0) {
        context.note(
          `warning: ${uncounted.join(', ')} cannot count persistence entries: ipvsadm is not installed there`,
        );
      }
      return leftOutput(made, left, 'drained');
    }
    if (Date.now() + LOOK_MS > deadline) return timedOut(context, made, left);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

function timedOut(context: CommandContext, made: Made, left: Left): Output {
  const { cluster, ws } = made;
  context.note(
    `${ws} still has connections and stays drained: wait on with weir ws drain ${cluster} ${ws}, cut them by removing it (weir ws remove), or take it back with weir ws undrain ${cluster} ${ws}`,
  );
  return { ...leftOutput(made, left, 'draining'), exit: 1 };
}

async function leftOf(client: Client, { cluster, ws, vips, some }: Made): Promise<Left> {
  const query = { ws, vip: some ? vips.join(',') : undefined };
  return (await client.call<ConnectionsView>(pathOf(cluster, 'connections'), { query })).data.lbs;
}

/** An LB that could not be asked has null for its numbers. */
function isEmpty({ active, inactive, persistent }: Left[string]): boolean {
  return active === 0 && inactive === 0 && (persistent ?? 0) === 0;
}

function lineOf({ active, inactive, persistent, error }: Left[string]): string {
  if (error !== undefined) return `cannot be asked: ${error}`;
  return `${active ?? 'unknown'} active, ${inactive ?? 'unknown'} inactive connections, ${persistent ?? 'unknown'} persistence entries`;
}

function leftOutput({ cluster, ws, vips, revision }: Made, left: Left, state: 'drained' | 'draining'): Output {
  return {
    data: { cluster, ws, vips, revision, state, lbs: left },
    table: {
      columns: ['lb', 'active', 'inactive', 'persistent', 'error'],
      rows: Object.entries(left).map(([lb, row]) => [lb, row.active, row.inactive, row.persistent, row.error]),
    },
  };
}

export const wsDrainCommands: readonly Command[] = [drain, undrain];
