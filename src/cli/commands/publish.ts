/** Commands that bring configuration to LBs: plan, publish. */
import { colours as pc } from '../colours.ts';
import type { Client } from '../../client/client.ts';
import type { LbProgress, Page, PlanResult, PublicationView } from '../../contract/schemas.ts';
import { WeirError } from '../../domain/errors.ts';
import type { Command, CommandContext, Output } from '../command.ts';
import { noteWarnings, pathOf } from './shared.ts';

const plan: Command = {
  name: 'plan',
  summary: 'Show which files publishing would change on each LB; exit 3 if any',
  args: '<cluster>',
  options: [{ flags: '--no-diff', help: 'only name the files' }],
  async run(context, [cluster]) {
    const { data } = await context.client().call<PlanResult>(`${pathOf(cluster)}/plan`, { method: 'POST', body: {} });
    noteWarnings(context, data.warnings);
    return { data, text: planText(data, context.options['diff'] !== false), exit: data.changes ? 3 : 0 };
  },
};

function planText(result: PlanResult, diffs: boolean): string {
  if (!result.changes) return `every LB of ${result.cluster} has revision ${result.revision} published\n`;
  const lines = [`plan of ${result.cluster}, revision ${result.revision}:`];
  for (const [lb, row] of Object.entries(result.lbs)) {
    const before = row.published
      ? `release ${row.published.release.slice(0, 12)} (revision ${row.published.revision})`
      : 'nothing published by Weir yet';
    const after =
      row.published?.release === row.release
        ? 'unchanged'
        : `release ${row.release.slice(0, 12)}, ${row.files} files differ`;
    lines.push(`  ${lb}: ${before} → ${after}`);
  }
  lines.push('');
  for (const file of result.files) {
    const where = file.lbs.length === Object.keys(result.lbs).length ? 'all LBs' : file.lbs.join(', ');
    lines.push(`${file.change} ${file.path} (${where})`);
    if (diffs && file.change === 'changed') lines.push(...file.diff.split('\n').slice(1).map(coloured));
  }
  if (result.truncated) lines.push('(differences were left out for size)');
  return `${lines.join('\n')}\n`;
}

function coloured(line: string): string {
  if (line.startsWith('+')) return pc.green(line);
  return line.startsWith('-') ? pc.red(line) : line;
}

const publish: Command = {
  name: 'publish',
  summary: 'Bring a cluster’s configuration onto its LBs; reloads nothing',
  args: '<cluster>',
  options: [
    { flags: '--lb <lb...>', help: 'only these LBs' },
    { flags: '--revision <revision>', help: 'refuse unless this is the current revision' },
    { flags: '--overwrite', help: 'replace files that were changed by hand on the LB; copies are kept there' },
    { flags: '--restore', help: 'put back what was on the LBs before the first publication' },
    { flags: '--no-wait', help: 'do not wait for the end' },
  ],
  examples: ['weir plan CLUSTER; weir publish CLUSTER', 'weir publish CLUSTER --lb lb1.hy01'],
  async run(context, [cluster]) {
    const { lb, revision, overwrite, restore, wait } = context.options as {
      lb?: string[];
      revision?: string;
      overwrite?: boolean;
      restore?: boolean;
      wait?: boolean;
    };
    const client = context.client();
    const { data: started } = await client.call<PublicationView>(`${pathOf(cluster)}/publications`, {
      method: 'POST',
      body: {
        ...(lb ? { lbs: lb } : {}),
        ...(revision === undefined ? {} : { revision: /^\d+$/.test(revision) ? Number(revision) : revision }),
        ...(overwrite ? { overwrite } : {}),
        ...(restore ? { action: 'restore' } : {}),
      },
    });
    noteWarnings(context, started.warnings);
    if (wait === false) return publicationOutput(started);
    const ended = await follow(context, client, started);
    for (const [name, row] of Object.entries(ended.lbs))
      for (const w of row.warnings) context.note(`warning: ${name}: ${w}`);
    return publicationOutput(ended);
  },
};

const publications: Command = {
  name: 'publications',
  summary: 'Publications of a cluster, newest first',
  args: '<cluster>',
  async run(context, [cluster]) {
    const { data } = await context
      .client()
      .call<Page<PublicationView>>(`${pathOf(cluster)}/publications`, { query: { limit: 20 } });
    const rows = data.items.map((p) => [p.id, p.revision, p.action, p.state, p.by, Object.keys(p.lbs).length]);
    return { data: data.items, table: { columns: ['id', 'revision', 'action', 'state', 'by', 'lbs'], rows } };
  },
};

function publicationOutput(publication: PublicationView): Output {
  const rows = Object.entries(publication.lbs).map(([lb, row]) => [
    lb,
    row.state,
    row.step,
    row.release.slice(0, 12),
    row.message,
  ]);
  const failed = publication.state !== 'done' && publication.state !== 'running';
  return {
    data: publication,
    table: { columns: ['lb', 'state', 'step', 'release', 'message'], rows },
    exit: failed ? 1 : 0,
  };
}

/** Shows progress until the end: drawn on a terminal, plain lines elsewhere. */
async function follow(context: CommandContext, client: Client, started: PublicationView): Promise<PublicationView> {
  const watcher = createWatcher();
  const shown = context.terminal ? drawn(started, watcher) : plain(context, watcher);
  const path = pathOf(started.cluster, 'publications', started.id);
  let ended: PublicationView | undefined;
  try {
    for await (const message of client.stream(`${path}/events`)) {
      if (message.event === 'snapshot')
        for (const [lb, row] of Object.entries((message.data as PublicationView).lbs)) watcher.tell(lb, row);
      if (message.event === 'lb') {
        const { lb, ...row } = message.data as LbProgress & { lb: string };
        watcher.tell(lb, row);
      }
      if (message.event === 'end') {
        ended = message.data as PublicationView;
        for (const [lb, row] of Object.entries(ended.lbs)) watcher.tell(lb, row);
      }
    }
  } finally {
    watcher.close();
    await shown;
  }
  if (ended) return ended;
  throw new WeirError('unavailable', `the connection to Weir was lost; publication ${started.id} may go on`, {
    hint: `weir publications ${started.cluster} tells how it ended`,
  });
}

interface Watcher {
  tell(lb: string, row: LbProgress): void;
  /** Nothing more will be told. */
  close(): void;
  listen(listener: (lb: string, row: LbProgress) => void, onClose: () => void): void;
}

function createWatcher(): Watcher {
  const listeners: ((lb: string, row: LbProgress) => void)[] = [];
  const closers: (() => void)[] = [];
  return {
    tell: (lb, row) => listeners.forEach((l) => l(lb, row)),
    close: () => closers.forEach((c) => c()),
    listen(listener, onClose) {
      listeners.push(listener);
      closers.push(onClose);
    },
  };
}

function isOver(row: LbProgress): boolean {
  return row.state !== 'waiting' && row.state !== 'running';
}

function plain(context: CommandContext, watcher: Watcher): Promise<void> {
  const over = new Set<string>();
  watcher.listen(
    (lb, row) => {
      if (!isOver(row) || over.has(lb)) return;
      over.add(lb);
      context.note(`${lb}: ${row.state}${row.message ? ` at ${row.step}: ${row.message}` : ''}`);
    },
    () => undefined,
  );
  return Promise.resolve();
}

/** One line per LB, with the step it is at. */
async function drawn(started: PublicationView, watcher: Watcher): Promise<void> {
  const tasks = Object.keys(started.lbs).map((name) => ({
    title: name,
    task: (_: unknown, task: { output: string; title: string }) =>
      new Promise<void>((resolve, reject) => {
        watcher.listen((lb, row) => {
          if (lb !== name) return;
          if (!isOver(row)) task.output = row.step;
          else if (row.state === 'failed' || row.state === 'cancelled')
            reject(new Error(`${name}: ${row.state} at ${row.step}: ${row.message}`));
          else {
            task.title = `${name}: ${row.state}`;
            resolve();
          }
        }, resolve);
      }),
  }));
  const { Listr } = await import('listr2');
  await new Listr(tasks, { concurrent: true, exitOnError: false, collectErrors: false, renderer: 'default' })
    .run()
    .catch(() => undefined);
}

export const publishCommands: readonly Command[] = [plan, publish, publications];
