/**
 * Taking an LB out of a cluster for good: drained, seen to announce nothing, waited for until its connections are gone,
 * and then removed from the document. What runs on the machine stays as it is, drained.
 */
import type { Client } from '../../client/client.ts';
import type { ChangeResult, LbAnswer, LipsView } from '../../contract/schemas.ts';
import type { LbStatusView } from '../../contract/status.ts';
import type { Cluster, Lb } from '../../domain/edge/model.ts';
import { WeirError } from '../../domain/errors.ts';
import type { Command, CommandContext, Output } from '../command.ts';
import { durationOf, listenForInterruption, LOOK_MS } from './bring.ts';
import type { Interruption } from './bring.ts';
import { lookUntil, statusOf, stillAnnounces } from './seen.ts';
import { changeOutput, dryRunOption, messageOption, noteWarnings, pathOf } from './shared.ts';

export const lbRetire: Command = {
  name: 'lb retire',
  summary: 'Take an LB out for good: drain it, wait until it announces nothing and its connections are gone, remove it',
  args: '<cluster> <lb>',
  options: [
    { flags: '--timeout <time>', help: 'how long to wait for its connections, e.g. 90s, 10m, 1h; default 10m' },
    { flags: '--now', help: 'do not wait for its connections: they end when keepalived is stopped there' },
    { flags: '--unreachable', help: 'remove it though it cannot be asked: it may still announce its VIPs' },
    { flags: '--last', help: 'though no other LB of the cluster announces its VIPs' },
    dryRunOption,
    messageOption,
  ],
  examples: ['weir lb retire CLUSTER lb1.hy01', 'weir lb retire CLUSTER lb1.hy01 --timeout 1h'],
  async run(context, [cluster, lb]) {
    const timeoutMs = durationOf(String(context.options['timeout'] ?? '10m'));
    const retiring: Retiring = { context, client: context.client(), cluster: String(cluster), lb: String(lb) };
    const { document } = await found(retiring);
    if (context.options['last'] !== true) refuseLast(document, retiring);
    const [row] = (await statusOf(retiring.client, retiring.cluster, retiring.lb)).lbs;
    const reached = row !== undefined && row.error === undefined;
    if (!reached) {
      if (context.options['unreachable'] !== true) throw unreachable(retiring, row);
      context.note(
        `warning: ${retiring.lb} cannot be asked (${row?.error ?? 'no answer'}): it announces its VIPs again if it comes back with its daemons; take care that it does not`,
      );
    }
    if (context.options['dryRun'] === true) return changeOutput([await remove(retiring, '*')]);
    if (!reached) return removed(retiring, '*');
    const stop = listenForInterruption(context);
    try {
      const ended = await empty(retiring, { timeoutMs, stop });
      if (ended) return ended;
      if (stop.asked()) return notRemoved(retiring, 'stopped: it stays drained; run the same command again to go on');
      return await removed(retiring, await stillDrained(retiring));
    } finally {
      stop.close();
    }
  },
};

interface Retiring {
  context: CommandContext;
  client: Client;
  cluster: string;
  lb: string;
}

async function found({ client, cluster, lb }: Retiring): Promise<{ document: Cluster; one: Lb; etag: string }> {
  const { data: document, headers } = await client.call<Cluster>(pathOf(cluster));
  const one = document.lbinfos.find(({ hostname }) => hostname === lb);
  if (one) return { document, one, etag: headers.get('etag') ?? '*' };
  throw new WeirError('not_found', `cluster ${cluster} has no LB ${lb}`, {
    hint: 'weir get lbs lists LBs; the LIPs of one that was removed are in quarantine (weir show)',
  });
}

function refuseLast({ lbinfos, vip2ws }: Cluster, { cluster, lb }: Retiring): void {
  if (vip2ws.length === 0 || lbinfos.some(({ hostname, state }) => hostname !== lb && state !== 'drain')) return;
  throw new WeirError(
    'conflict',
    `no other LB of cluster ${cluster} is in service: nobody would announce its ${vip2ws.length} VIPs`,
    {
      hint: 'add an LB or take one back into service first, move the VIPs (weir vip move), or say --last',
    },
  );
}

function unreachable({ cluster, lb }: Retiring, row: LbStatusView | undefined): WeirError {
  return new WeirError('remote', `LB ${lb} cannot be asked: ${row?.error ?? 'no answer'}`, {
    hint: `whether it still announces VIPs is not known; where it is gone for good: weir lb retire ${cluster} ${lb} --unreachable`,
  });
}

/** Longer than the server waits for an LB by any setting. */
const LB_ANSWERS_MS = 3_660_000;
/** How long an LB may take to withdraw all its VIPs, in ms. */
const WITHDRAWN_MS = 120_000;

interface Waits {
  timeoutMs: number;
  stop: Interruption;
}

/** Drained and without connections; an output where it is not. */
async function empty(retiring: Retiring, { timeoutMs, stop }: Waits): Promise<Output | undefined> {
  const { context, client, cluster, lb } = retiring;
  const { data } = await client.call<LbAnswer>(pathOf(cluster, 'lbs', lb, 'drain'), {
    method: 'POST',
    body: { reason: 'retired' },
    timeoutMs: LB_ANSWERS_MS,
  });
  noteWarnings(context, data.warnings);
  for (const warning of data.machine.warnings) context.note(`warning: ${lb}: ${warning}`);
  context.note(`${lb}: ${data.machine.state === 'unchanged' ? 'drained already' : data.machine.state}`);
  const left = await lookUntil(context, { cluster, lb, lacks: stillAnnounces(), limitMs: WITHDRAWN_MS, stop });
  if (left.size > 0) {
    return notRemoved(
      retiring,
      `${lb} is drained, and not seen to have withdrawn all: see weir status ${cluster} --lb ${lb}, then run the same command again`,
    );
  }
  context.note(`${lb}: announces nothing any more`);
  return context.options['now'] === true ? undefined : waitUntilEmpty(retiring, { timeoutMs, stop });
}

async function waitUntilEmpty(retiring: Retiring, { timeoutMs, stop }: Waits): Promise<Output | undefined> {
  const { context, client, cluster, lb } = retiring;
  const deadline = Date.now() + timeoutMs;
  let told = '';
  for (;;) {
    const [row] = (await statusOf(client, cluster, lb)).lbs;
    const connections = row?.kernel?.connections;
    const line = connections
      ? `${connections.active} active, ${connections.inactive} inactive connections`
      : `cannot be asked: ${row?.error ?? 'no answer'}`;
    if (line !== told) context.note(`${lb}: ${line}`);
    told = line;
    if (connections?.active === 0 && connections.inactive === 0) return undefined;
    if (stop.asked() || Date.now() + LOOK_MS > deadline) {
      const words = `${lb} still has connections, and stays drained: wait on by the same command, remove it with them (--now), or take it back with weir lb undrain ${cluster} ${lb}`;
      return notRemoved(retiring, words, connections);
    }
    await stop.pause(LOOK_MS);
  }
}

function notRemoved(
  { context, cluster, lb }: Retiring,
  words: string,
  connections?: { active: number; inactive: number },
): Output {
  context.note(words);
  return {
    data: { cluster, lb, state: 'draining', ...(connections ? { connections } : {}) },
    text: `${lb}: not removed\n`,
    exit: 1,
  };
}

/** The ETag that the removal is made from: who took the LB back meanwhile wants to keep it. */
async function stillDrained(retiring: Retiring): Promise<string> {
  const { one, etag } = await found(retiring);
  if (one.state === 'drain') return etag;
  throw new WeirError('conflict', `somebody has taken LB ${retiring.lb} back into service meanwhile`, {
    hint: `weir history ${retiring.cluster} tells who`,
  });
}

async function remove({ context, client, cluster, lb }: Retiring, etag: string): Promise<ChangeResult> {
  const { dryRun, message } = context.options as { dryRun?: boolean; message?: string };
  const { data } = await client.call<ChangeResult>(pathOf(cluster, 'batch'), {
    method: 'POST',
    headers: { 'if-match': etag },
    body: { operations: [{ op: 'lb.remove', lbs: [lb] }] },
    query: { dryRun, message },
  });
  noteWarnings(context, data.warnings);
  return data;
}

async function removed(retiring: Retiring, etag: string): Promise<Output> {
  const { context, client, cluster, lb } = retiring;
  const { revision } = await remove(retiring, etag);
  const { quarantine } = (await client.call<LipsView>(pathOf(cluster, 'lips'))).data;
  const lips = Object.entries(quarantine).flatMap(([lip, held]) => (held.lb === lb ? [lip] : []));
  context.note(`${lb}: removed from cluster ${cluster} by revision ${revision}`);
  if (lips.length > 0) {
    context.note(
      `its LIPs are in quarantine: ${lips.join(', ')}. Nobody gets them until you free them, once no WS knows connections of them: weir lb free ${cluster} ${lips.join(' ')}`,
    );
  }
  context.note(
    `the configuration on ${lb} stays as it is, drained: it announces nothing, also after a restart. keepalived and the OSPF daemons may be stopped there now`,
  );
  return { data: { cluster, lb, revision, state: 'retired', quarantined: lips }, text: `${lb}: retired\n` };
}
