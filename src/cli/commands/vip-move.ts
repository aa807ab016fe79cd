/**
 * Moving a VIP between clusters, make before break: the new cluster serves and announces it, is seen to do so, and only
 * then the old one withdraws it, lets its connections go, and loses it. What was done is read from the documents and
 * from what is published, so that a move that was interrupted goes on where it was.
 */
import type { Client } from '../../client/client.ts';
import type { MoveResult } from '../../contract/schemas.ts';
import type { ConnectionsView } from '../../contract/status.ts';
import type { Cluster, Vip } from '../../domain/edge/model.ts';
import { comingFrom, isGoingBack, isWithdrawn, leavingFor } from '../../domain/edge/moving.ts';
import type { MoveStep } from '../../domain/edge/moving.ts';
import { WeirError } from '../../domain/errors.ts';
import type { Command, CommandContext, Output } from '../command.ts';
import { durationOf, listenForInterruption, LOOK_MS, pendingIn, publishAndActivate } from './bring.ts';
import type { Interruption, Pending } from './bring.ts';
import { jobOutput } from './follow.ts';
import { lastStep, refuseForeign } from './move-history.ts';
import type { StepsIn } from './move-history.ts';
import { isToBeAnnounced, lacksService, lookUntil, stillAnnounces } from './seen.ts';
import { changeOutput, dryRunOption, messageOption, noteWarnings, pathOf } from './shared.ts';

export const vipMove: Command = {
  name: 'vip move',
  summary: 'Move a VIP to another cluster, make before break; run again, it goes on where it was',
  args: '<vip>',
  options: [
    { flags: '--from <cluster>', help: 'the cluster that it leaves', required: true },
    { flags: '--to <cluster>', help: 'the cluster that it goes to', required: true },
    {
      flags: '--timeout <time>',
      help: 'how long to wait for its connections in the old cluster, e.g. 90s, 10m, 1h; 0: not at all; default 10m',
    },
    {
      flags: '--seen <time>',
      help: 'how long LBs may take to serve and announce it, or to withdraw it, once that is activated; default 2m',
    },
    { flags: '--cancel', help: 'go back: the old cluster announces it again, the new one withdraws it, then loses it' },
    { flags: '--pending', help: 'let other changes go along that are not published or not activated yet' },
    dryRunOption,
    messageOption,
  ],
  examples: [
    'weir vip move 60.28.208.1 --from hy-1g --to hy-10g',
    'weir vip move 60.28.208.1 --from hy-1g --to hy-10g --cancel',
  ],
  async run(context, [vip]) {
    const { from, to, timeout = '10m', seen = '2m' } = context.options as Record<string, string | undefined>;
    const timeoutMs = durationOf(timeout);
    const seenMs = durationOf(seen, '--seen');
    const named = { vip: String(vip), from: String(from), to: String(to) };
    const stop = listenForInterruption(context);
    try {
      const move = await found(context, named, { timeoutMs, seenMs, stop });
      return await (context.options['cancel'] === true ? goBack(move) : goOn(move));
    } finally {
      stop.close();
    }
  },
};

interface Named {
  vip: string;
  from: string;
  to: string;
}

interface Times {
  timeoutMs: number;
  seenMs: number;
  stop: Interruption;
}

/** A move with both documents as they are now. */
interface Moving extends Named, Times {
  context: CommandContext;
  client: Client;
  /** The VIP in the document of the cluster that it leaves, and in that of the other. */
  old: Vip | undefined;
  next: Vip | undefined;
  fromCluster: Cluster;
  toCluster: Cluster;
}

/** Ends the command with what it has to show; undefined: go on. */
type Step = (move: Moving) => Promise<Output | undefined>;

async function found(context: CommandContext, named: Named, times: Times): Promise<Moving> {
  const client = context.client();
  if (named.from === named.to) {
    throw new WeirError('usage', `${named.from} is both ends of the move`, { hint: 'name two clusters' });
  }
  const [fromCluster, toCluster] = await Promise.all(
    [named.from, named.to].map(async (name) => (await client.call<Cluster>(pathOf(name))).data),
  );
  if (!fromCluster || !toCluster) throw new Error('two clusters were asked for');
  const inIt = (cluster: Cluster) => cluster.vip2ws.find(({ vip }) => vip === named.vip);
  return { ...named, ...times, context, client, old: inIt(fromCluster), next: inIt(toCluster), fromCluster, toCluster };
}

async function again(move: Moving): Promise<Moving> {
  return found(move.context, move, move);
}

function isUnderWay({ old, next, from, to }: Moving): boolean {
  return old !== undefined && next !== undefined && leavingFor(old) === to && comingFrom(next) === from;
}

function goesBack({ next }: Moving): boolean {
  return next !== undefined && isGoingBack(next);
}

// forward ------------------------------------------------------------------------------------

/** Its document part has ended, and what is left is to bring the old cluster's. */
function isOver({ old, next }: Moving): boolean {
  return old === undefined && next !== undefined && next.moving === undefined;
}

async function goOn(move: Moving): Promise<Output> {
  const { context } = move;
  const over = isOver(move);
  if (over && !(await wasMoved(move))) throw inOther(move);
  if (!over) refuseUnservable(move);
  if (context.options['dryRun'] === true) return dryRun(move);
  await refusePending(move);
  const steps: Step[] = over
    ? [bringOld, sayNew]
    : [begin, bringNew, seeNew, withdraw, bringOld, seeWithdrawn, waitUntilGone, end, bringOld, sayNew];
  const ended = await run(move, steps, 'go on with it by the same command, or go back with --cancel');
  return ended ?? outcome(await again(move), 'moved');
}

/** Each on the documents as they are by then; between two of them the person may stop. */
async function run(move: Moving, steps: readonly Step[], next: string): Promise<Output | undefined> {
  for (const step of steps) {
    if (move.stop.asked()) {
      move.context.note(`stopped: ${next}`);
      return { ...outcome(await again(move), 'stopped'), exit: 1 };
    }
    const ended = await step(await again(move));
    if (ended) return ended;
  }
  return undefined;
}

function outcome({ vip, from, to, old, next }: Moving, state: 'moved' | 'moving' | 'cancelled' | 'stopped'): Output {
  const where = [old ? [from] : [], next ? [to] : []].flat();
  const text = { moved: `is in cluster ${to}`, cancelled: `is in cluster ${from} as before` };
  const words = state === 'moved' || state === 'cancelled' ? text[state] : `is in ${where.join(' and ')}, on its way`;
  return { data: { vip, from, to, state, clusters: where }, text: `VIP ${vip} ${words}\n` };
}

async function dryRun(move: Moving): Promise<Output> {
  if (isOver(move)) return outcome(move, 'moved');
  const { old } = move;
  const step = !isUnderWay(move) || goesBack(move) ? 'begin' : old && isWithdrawn(old) ? 'end' : 'withdraw';
  const { from, to } = await take(move, step);
  return changeOutput([from, to]);
}

const begin: Step = async (move) => {
  if (isUnderWay(move) && !goesBack(move)) {
    move.context.note(`VIP ${move.vip} is on its way already`);
    return undefined;
  }
  const { from, to } = await take(move, 'begin');
  move.context.note(
    `VIP ${move.vip} is in both by revision ${from.revision} of ${move.from} and ${to.revision} of ${move.to}`,
  );
  return undefined;
};

const withdraw: Step = async (move) => {
  if (move.old && isWithdrawn(move.old)) return undefined;
  const { from } = await take(move, 'withdraw');
  move.context.note(`${move.from} is to announce it no more, by revision ${from.revision}`);
  return undefined;
};

const end: Step = async (move) => {
  const { from, to } = await take(move, 'end');
  move.context.note(
    `VIP ${move.vip} is ${move.to}'s alone by revision ${from.revision} of ${move.from} and ${to.revision} of ${move.to}`,
  );
  return undefined;
};

async function take({ context, client, vip, from, to }: Moving, step: MoveStep): Promise<MoveResult> {
  const { dryRun: dry, message } = context.options as { dryRun?: boolean; message?: string };
  const { data } = await client.call<MoveResult>(pathOf(from, 'vips', vip, 'move'), {
    method: 'POST',
    body: { to, step },
    query: { dryRun: dry, message },
  });
  noteWarnings(context, data.to.warnings);
  return data;
}

const bringNew: Step = (move) =>
  bring(move, move.to, `cluster ${move.from} serves and announces VIP ${move.vip} as before`);
const bringOld: Step = (move) => bring(move, move.from, `cluster ${move.to} serves and announces VIP ${move.vip}`);

/** Publishes and activates where anything waits to be; `safe`: what stands if that fails. */
async function bring(move: Moving, cluster: string, safe: string): Promise<Output | undefined> {
  const { context, client } = move;
  const pending = await pendingIn(client, cluster);
  if (pending.waiting.length === 0) {
    context.note(`${cluster}: every LB runs this already`);
    return undefined;
  }
  await refuseOthers(move, cluster, pending);
  const job = await publishAndActivate(context, { cluster, revision: pending.revision });
  if (job.state === 'done') return undefined;
  context.note(`not every LB of ${cluster} has it; ${safe}. See why, then run the same command again`);
  return jobOutput(job);
}

const seeNew: Step = (move) => seeServed(move, { cluster: move.toCluster, vip: move.next, back: move.from });

/** Nothing is taken away from the other cluster before every LB in service serves and announces it. */
async function seeServed(
  move: Moving,
  { cluster, vip, back }: { cluster: Cluster; vip: Vip | undefined; back: string },
): Promise<Output | undefined> {
  const { context, stop, seenMs: limitMs } = move;
  if (!vip) throw changedMeanwhile(move);
  if (!isToBeAnnounced(cluster, vip)) {
    context.note(`${cluster.name}: nothing to see, VIP ${vip.vip} is not to be announced, or has no WS in service`);
    return undefined;
  }
  const { name } = cluster;
  let inService = 0;
  const served = lacksService(vip);
  const lacks: typeof served = (row) => {
    if (!isUp(cluster, row.lb)) return undefined;
    if (row.error === undefined && !row.drained) inService++;
    return served(row);
  };
  const left = await lookUntil(context, { cluster: name, lacks, limitMs, stop });
  if (left.size === 0 && inService > 0) {
    context.note(`${name}: every LB in service serves and announces VIP ${vip.vip}`);
    return undefined;
  }
  const who = left.size > 0 ? [...left.keys()].join(', ') : 'no LB in service';
  context.note(
    `${name}: VIP ${vip.vip} is not served and announced as it should be (${who}). Nothing was taken from ${back}: see weir status ${name}, then run the same command again${move.context.options['cancel'] === true ? '' : ', or go back with --cancel'}`,
  );
  return { ...outcome(move, stop.asked() ? 'stopped' : 'moving'), exit: 1 };
}

function isUp(cluster: Cluster, lb: string): boolean {
  return cluster.lbinfos.some(({ hostname, state }) => hostname === lb && state !== 'drain');
}

const seeWithdrawn: Step = (move) => seeGone(move, { cluster: move.from, other: move.to });

/** No LB of a cluster announces it any more; the other cluster does. */
async function seeGone(
  move: Moving,
  { cluster, other }: { cluster: string; other: string },
): Promise<Output | undefined> {
  const { context, vip, seenMs: limitMs, stop } = move;
  const left = await lookUntil(context, { cluster, lacks: stillAnnounces(vip), limitMs, stop });
  if (left.size === 0) {
    context.note(`${cluster}: no LB announces VIP ${vip} any more`);
    return undefined;
  }
  const cancelling = context.options['cancel'] === true;
  context.note(
    `${cluster}: ${[...left.keys()].join(', ')} may still announce VIP ${vip}; ${other} does too, so that it is served. See weir status ${cluster}, then run the same command again${cancelling ? '' : ', or go back with --cancel'}`,
  );
  return { ...outcome(move, stop.asked() ? 'stopped' : 'moving'), exit: 1 };
}

const waitUntilGone: Step = (move) => waitForConnections(move, move.from);

/** Until a cluster that withdrew it has no connections of it any more, or their time is over. */
async function waitForConnections(move: Moving, from: string): Promise<Output | undefined> {
  const { context, client, vip, timeoutMs, stop } = move;
  if (timeoutMs === 0) return undefined;
  const deadline = Date.now() + timeoutMs;
  let told = '';
  for (;;) {
    const { data } = await client.call<ConnectionsView>(pathOf(from, 'connections'), { query: { vip } });
    const left = Object.entries(data.lbs).filter(([, row]) => row.active !== 0 || row.inactive !== 0);
    const words = left.map(([lb, row]) => `${lb} ${row.error ?? `${row.active} active, ${row.inactive} inactive`}`);
    const line = words.length > 0 ? `${from}: connections of VIP ${vip} on ${words.join('; ')}` : '';
    if (line !== '' && line !== told) context.note(line);
    told = line;
    if (left.length === 0) {
      context.note(`${from}: no connections of VIP ${vip} are left`);
      return undefined;
    }
    // What is asked for here is answered between two steps.
    if (stop.asked()) return undefined;
    if (Date.now() + LOOK_MS > deadline) {
      context.note(`${from}: their time is over: they end with its services`);
      return undefined;
    }
    await stop.pause(LOOK_MS);
  }
}

/** The end changes the new cluster's document, and nothing that is rendered from it. */
const sayNew: Step = async ({ context, client, to }) => {
  const { waiting } = await pendingIn(client, to);
  const others = waiting.map(({ text }) => text).join('; ');
  context.note(
    waiting.length === 0
      ? `${to}: nothing to publish, its LBs run this already`
      : `${to}: other changes wait to be brought to its LBs: ${others}`,
  );
  return undefined;
};

// back ---------------------------------------------------------------------------------------

async function goBack(move: Moving): Promise<Output> {
  const { context, vip, from, to } = move;
  if (!isUnderWay(move)) {
    const cancelled =
      move.old && !move.old.moving && !move.next && (await lastStep(move.client, stepsIn(move, from))) === 'cancel';
    if (!cancelled) {
      throw new WeirError('conflict', `VIP ${vip} is not moving from cluster ${from} to ${to}`, {
        hint:
          move.next && !move.old
            ? `move it back: weir vip move ${vip} --from ${to} --to ${from}`
            : `weir history ${from} tells what became of it`,
      });
    }
  }
  if (context.options['dryRun'] === true) {
    if (!isUnderWay(move)) return outcome(move, 'cancelled');
    const result = await take(move, goesBack(move) ? 'cancel' : 'restore');
    return changeOutput([result.from, result.to]);
  }
  await refusePending(move);
  const steps: Step[] = isUnderWay(move)
    ? [restore, bringOld, seeOld, bringNew, seeNewWithdrawn, waitUntilNewGone, cancel, bringNew]
    : [bringOld, bringNew];
  const ended = await run(move, steps, 'go on with it by the same command');
  return ended ?? outcome(await again(move), 'cancelled');
}

const restore: Step = async (move) => {
  if (goesBack(move)) return undefined;
  const { from, to } = await take(move, 'restore');
  move.context.note(
    `VIP ${move.vip} is to be announced by ${move.from} and no more by ${move.to}, by revision ${from.revision} of ${move.from} and ${to.revision} of ${move.to}`,
  );
  return undefined;
};

const seeNewWithdrawn: Step = (move) => seeGone(move, { cluster: move.to, other: move.from });
const waitUntilNewGone: Step = (move) => waitForConnections(move, move.to);

const cancel: Step = async (move) => {
  if (!isUnderWay(move)) return undefined;
  const { from, to } = await take(move, 'cancel');
  move.context.note(
    `VIP ${move.vip} is ${move.from}'s alone by revision ${from.revision} of ${move.from} and ${to.revision} of ${move.to}`,
  );
  return undefined;
};

const seeOld: Step = (move) => seeServed(move, { cluster: move.fromCluster, vip: move.old, back: move.to });

// what stands in the way ---------------------------------------------------------------------

/** Refused before anything is changed, since the move would stop half-way. */
function refuseUnservable({ to, toCluster }: Moving): void {
  if (toCluster.lbinfos.some(({ state }) => state !== 'drain')) return;
  throw new WeirError('conflict', `cluster ${to} has no LB in service`, {
    hint: `add one (weir lb add ${to}), or take one back into service (weir lb undrain ${to} LB)`,
  });
}

function inOther({ vip, from, to }: Moving): WeirError {
  return new WeirError(
    'not_found',
    `cluster ${from} has no VIP ${vip}; cluster ${to} has it, and it did not come from there`,
    {
      hint: 'weir get vips lists VIPs with their clusters',
    },
  );
}

function changedMeanwhile({ vip }: Named): WeirError {
  return new WeirError('conflict', `somebody else has ended or cancelled the move of VIP ${vip} meanwhile`, {
    hint: 'weir get vips and weir history tell where it is',
  });
}

/** In both clusters; what waits since the move itself is what the move brings. */
async function refusePending(move: Moving): Promise<void> {
  for (const cluster of [move.from, move.to]) await refuseOthers(move, cluster, await pendingIn(move.client, cluster));
}

async function refuseOthers(move: Moving, cluster: string, pending: Pending): Promise<void> {
  if (move.context.options['pending'] === true) return;
  await refuseForeign(move.client, stepsIn(move, cluster), pending);
}

async function wasMoved(move: Moving): Promise<boolean> {
  return (await lastStep(move.client, stepsIn(move, move.from))) === 'end';
}

function stepsIn({ vip, from, to }: Named, cluster: string): StepsIn {
  return { vip, cluster, partner: cluster === from ? to : from };
}
