/** Commands that bring configuration to LBs: plan, publish. */
import { colours as pc } from '../colours.ts';
import type { Page, PlanResult, PublicationView } from '../../contract/schemas.ts';
import type { Command } from '../command.ts';
import { jobOutput, runJob } from './follow.ts';
import { noteWarnings, numeric, pathOf } from './shared.ts';

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
  if (!result.changes)
    return `every LB of ${result.cluster} has revision ${result.revision} published\n${idle(result)}`;
  const lines = [`plan of ${result.cluster}, revision ${result.revision}:`];
  for (const [lb, row] of Object.entries(result.lbs)) {
    const before = row.published
      ? `release ${row.published.release.slice(0, 12)} (revision ${row.published.revision})`
      : (row.doubt ?? 'nothing published by Weir yet');
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

/** What is published and was not activated by Weir. */
function idle(result: PlanResult): string {
  const lbs = Object.entries(result.lbs).flatMap(([lb, row]) => (row.published?.activated === false ? [lb] : []));
  if (lbs.length === 0) return '';
  return `not activated by Weir on ${lbs.join(', ')}: weir activate ${result.cluster}\n`;
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
    const publication = await runJob<PublicationView>(context, 'publication', {
      cluster: String(cluster),
      body: {
        ...(lb ? { lbs: lb } : {}),
        ...(revision === undefined ? {} : { revision: numeric(revision) }),
        ...(overwrite ? { overwrite } : {}),
        ...(restore ? { action: 'restore' } : {}),
      },
      wait: wait !== false,
    });
    if (publication.state === 'done' && !restore)
      context.note(`loaded by nothing yet: weir activate ${String(cluster)}`);
    return jobOutput(publication);
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

export const publishCommands: readonly Command[] = [plan, publish, publications];
