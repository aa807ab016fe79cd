/** Commands that make LBs run what is published on them, or stand back: activate, undo, lb drain and undrain. */
import type { ActivationView, LbAnswer, Page } from '../../contract/schemas.ts';
import type { Command, CommandContext, Output } from '../command.ts';
import { jobOutput, runJob } from './follow.ts';
import { dryRunOption, messageOption, noteWarnings, numeric, pathOf } from './shared.ts';

const activate: Command = {
  name: 'activate',
  summary: 'Make the LBs of a cluster run what is published on them, one after the other unless told otherwise',
  args: '<cluster>',
  options: [
    { flags: '--lb <lb...>', help: 'only these LBs' },
    { flags: '--revision <revision>', help: 'refuse unless this revision is what is published on all of them' },
    {
      flags: '--wait <seconds>',
      help: 'how long the checks after the reload may take; default by the server’s settings',
    },
    {
      flags: '--restart-routing',
      help: 'restart Quagga where its files changed, with the VIPs withdrawn meanwhile; refused otherwise',
    },
    { flags: '--parallel <lbs>', help: 'LBs at once, e.g. for a cluster that serves nothing yet; default 1' },
    { flags: '--no-wait', help: 'do not wait for the end' },
  ],
  examples: [
    'weir publish CLUSTER && weir activate CLUSTER --lb lb1.hy01   # one LB first',
    'weir activate CLUSTER',
    'weir undo CLUSTER LB                                          # back again',
  ],
  async run(context, [cluster]) {
    const { lb, revision, wait, restartRouting, parallel } = context.options as {
      lb?: string[];
      revision?: string;
      wait?: string | false;
      restartRouting?: boolean;
      parallel?: string;
    };
    const activation = await runJob<ActivationView>(context, 'activation', {
      cluster: String(cluster),
      body: {
        ...(lb ? { lbs: lb } : {}),
        ...(revision === undefined ? {} : { revision: numeric(revision) }),
        ...(typeof wait === 'string' ? { wait: numeric(wait) } : {}),
        ...(restartRouting ? { restartRouting } : {}),
        ...(parallel === undefined ? {} : { parallel: numeric(parallel) }),
      },
      wait: wait !== false,
    });
    return jobOutput(activation);
  },
};

/** Longer than the server waits for an LB by any setting. */
const LB_ANSWERS_MS = 3_660_000;

const activations: Command = {
  name: 'activations',
  summary: 'Activations of a cluster, newest first',
  args: '<cluster>',
  async run(context, [cluster]) {
    const { data } = await context
      .client()
      .call<Page<ActivationView>>(pathOf(cluster, 'activations'), { query: { limit: 20 } });
    const rows = data.items.map((a) => [a.id, a.revision, a.state, a.by, Object.keys(a.lbs).length]);
    return { data: data.items, table: { columns: ['id', 'revision', 'state', 'by', 'lbs'], rows } };
  },
};

const undo: Command = {
  name: 'undo',
  summary: 'Let an LB go back to what it ran before its last activation',
  args: '<cluster> <lb>',
  examples: ['weir undo CLUSTER lb1.hy01', 'ssh root@lb1.hy01 weir undo   # the same without Weir'],
  async run(context, [cluster, lb]) {
    const { data } = await context.client().call<LbAnswer>(pathOf(cluster, 'lbs', lb, 'undo'), {
      method: 'POST',
      timeoutMs: LB_ANSWERS_MS,
    });
    const output = answered(context, data);
    context.note(`weir plan ${String(cluster)} shows what is not published there now`);
    return output;
  },
};

const overrideOption = {
  flags: '--override',
  help: 'tell the LB only; the document stays as it is, and the next activation goes by it',
};

const lbDrain: Command = {
  name: 'lb drain',
  summary: 'Withdraw the VIPs of an LB at once: the routers send everything to the others',
  args: '<cluster> <lb>',
  options: [{ flags: '--reason <text>', help: 'why; kept on the LB' }, overrideOption, dryRunOption, messageOption],
  examples: [
    'weir lb drain CLUSTER lb1.hy01 --reason "new disk"',
    'ssh root@lb1.hy01 weir drain "new disk"   # the same without Weir; publishing leaves it so',
  ],
  run: (context, [cluster, lb]) => askDrain(context, pathOf(cluster, 'lbs', lb, 'drain')),
};

const lbUndrain: Command = {
  name: 'lb undrain',
  summary: 'Take an LB back into service: it announces its VIPs again',
  args: '<cluster> <lb>',
  options: [overrideOption, dryRunOption, messageOption],
  run: (context, [cluster, lb]) => askDrain(context, pathOf(cluster, 'lbs', lb, 'undrain')),
};

async function askDrain(context: CommandContext, path: string): Promise<Output> {
  const { reason, override, dryRun, message } = context.options as {
    reason?: string;
    override?: boolean;
    dryRun?: boolean;
    message?: string;
  };
  const { data } = await context.client().call<LbAnswer>(path, {
    method: 'POST',
    body: { ...(reason === undefined ? {} : { reason }), ...(override ? { override } : {}) },
    query: { dryRun, message },
    timeoutMs: LB_ANSWERS_MS,
  });
  return answered(context, data);
}

function answered(context: CommandContext, answer: LbAnswer): Output {
  noteWarnings(context, answer.warnings);
  const { cluster, lb, revision, state, machine } = answer;
  for (const warning of machine.warnings) context.note(`warning: ${lb}: ${warning}`);
  const said = machine.message ? `${machine.state} (${machine.message})` : machine.state;
  const text =
    machine.state === 'unasked'
      ? `${lb}: the document of ${cluster} would say ${state} at revision ${revision}\n`
      : `${lb}: ${said}; the document of ${cluster} says ${state} at revision ${revision}\n`;
  return { data: answer, text };
}

export const activateCommands: readonly Command[] = [activate, activations, undo];
/** Among the commands of `lb`. */
export const lbDrainCommands: readonly Command[] = [lbDrain, lbUndrain];
