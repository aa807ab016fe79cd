/** Following a job on LBs (a publication, an activation) to its end, and showing what it came to. */
import type { Client } from '../../client/client.ts';
import type { LbJobView, LbProgress } from '../../contract/schemas.ts';
import { WeirError } from '../../domain/errors.ts';
import type { CommandContext, Output } from '../command.ts';
import { noteWarnings, pathOf } from './shared.ts';

export type JobName = 'publication' | 'activation';

/** Starts a job and, unless told otherwise, shows its progress until its end. */
export async function runJob<J extends LbJobView>(
  context: CommandContext,
  name: JobName,
  request: { cluster: string; body: object; wait: boolean },
): Promise<J> {
  const client = context.client();
  const { data: started } = await client.call<J>(pathOf(request.cluster, `${name}s`), {
    method: 'POST',
    body: request.body,
  });
  noteWarnings(context, started.warnings);
  if (!request.wait) return started;
  const ended = await follow(context, client, { name, started });
  for (const [lb, row] of Object.entries(ended.lbs)) for (const w of row.warnings) context.note(`warning: ${lb}: ${w}`);
  return ended;
}

export function jobOutput(job: LbJobView): Output {
  const rows = Object.entries(job.lbs).map(([lb, row]) => [
    lb,
    row.state,
    row.step,
    row.release.slice(0, 12),
    row.message,
  ]);
  const failed = job.state !== 'done' && job.state !== 'running';
  return {
    data: job,
    table: { columns: ['lb', 'state', 'step', 'release', 'message'], rows },
    exit: failed ? 1 : 0,
  };
}

interface Following<J> {
  name: JobName;
  started: J;
}

/** Shows progress until the end: drawn on a terminal, plain lines elsewhere. */
async function follow<J extends LbJobView>(
  context: CommandContext,
  client: Client,
  { name, started }: Following<J>,
): Promise<J> {
  const watcher = createWatcher();
  const shown = context.terminal ? drawn(started, watcher) : plain(context, watcher);
  let ended: J | undefined;
  try {
    for await (const message of client.stream(pathOf(started.cluster, `${name}s`, started.id, 'events'))) {
      if (message.event === 'snapshot')
        for (const [lb, row] of Object.entries((message.data as J).lbs)) watcher.tell(lb, row);
      if (message.event === 'lb') {
        const { lb, ...row } = message.data as LbProgress & { lb: string };
        watcher.tell(lb, row);
      }
      if (message.event === 'end') {
        ended = message.data as J;
        for (const [lb, row] of Object.entries(ended.lbs)) watcher.tell(lb, row);
      }
    }
  } finally {
    watcher.close();
    await shown;
  }
  if (ended) return ended;
  throw new WeirError('unavailable', `the connection to Weir was lost; ${name} ${started.id} may go on`, {
    hint: `weir ${name}s ${started.cluster} tells how it ended`,
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

function isBad(row: LbProgress): boolean {
  return row.state === 'failed' || row.state === 'cancelled' || row.state === 'undone';
}

function lineOf(lb: string, row: LbProgress): string {
  if (!row.message) return `${lb}: ${row.state}`;
  return `${lb}: ${row.state}${row.step ? ` at ${row.step}` : ''}: ${row.message}`;
}

function plain(context: CommandContext, watcher: Watcher): Promise<void> {
  const over = new Set<string>();
  watcher.listen(
    (lb, row) => {
      if (!isOver(row) || over.has(lb)) return;
      over.add(lb);
      context.note(lineOf(lb, row));
    },
    () => undefined,
  );
  return Promise.resolve();
}

/** One line per LB, with the step it is at. */
async function drawn(started: LbJobView, watcher: Watcher): Promise<void> {
  const tasks = Object.keys(started.lbs).map((name) => ({
    title: name,
    task: (_: unknown, task: { output: string; title: string }) =>
      new Promise<void>((resolve, reject) => {
        watcher.listen((lb, row) => {
          if (lb !== name) return;
          if (!isOver(row)) task.output = row.step;
          else if (isBad(row)) reject(new Error(lineOf(name, row)));
          else {
            task.title = `${name}: ${row.state}`;
            resolve();
          }
        }, resolve);
      }),
  }));
  const { Listr } = await import('listr2');
  // Its own listener would end the program for a command that wants to stop after this job.
  const registerSignalListeners = process.listenerCount('SIGINT') === 0;
  const quiet = { exitOnError: false, collectErrors: false } as const;
  await new Listr(tasks, { concurrent: true, ...quiet, registerSignalListeners, renderer: 'default' })
    .run()
    .catch(() => undefined);
}
