/** Commands about what several Weirs, and the original, do on one store: lease, conflict. */
import { createTwoFilesPatch } from 'diff';
import { stringify } from 'yaml';
import type { ConflictView, LeaseView } from '../../contract/schemas.ts';
import { WeirError } from '../../domain/errors.ts';
import type { Command, CommandContext } from '../command.ts';

const leaseList: Command = {
  name: 'lease list',
  summary: 'What is under way on the LBs of clusters, and at which Weir',
  async run(context) {
    const { data } = await context.client().call<{ items: LeaseView[] }>('/leases');
    return {
      data: data.items,
      table: {
        columns: ['lease', 'work', 'id', 'process', 'expires', 'alive'],
        rows: data.items.map((l) => [l.name, l.work, l.id, l.process, l.expires.slice(11, 19), l.alive ? 'yes' : 'no']),
      },
    };
  },
};

const leaseBreak: Command = {
  name: 'lease break',
  summary: 'End somebody’s lease: its work stops, and its LBs refuse it once others worked on them',
  args: '<lease>',
  examples: ['weir lease list', 'weir lease break publish:CLUSTER'],
  async run(context, [name]) {
    const path = `/leases/${encodeURIComponent(String(name))}`;
    const { data } = await context.client().call<LeaseView>(path, { method: 'DELETE' });
    return { data, text: `lease ${data.name}: broken; ${data.process} had it for ${data.work} ${data.id}\n` };
  },
};

interface Conflicts {
  items: ConflictView[];
  unknown: string[];
}

async function conflicts(context: CommandContext): Promise<Conflicts> {
  const { data } = await context.client().call<Conflicts>('/conflicts');
  if (data.unknown.length > 0) {
    const names = data.unknown.slice(0, 10).join(', ');
    context.note(`records in Redis of clusters that are not here: ${names}\n  take them over: weir import original`);
  }
  return data;
}

const conflictList: Command = {
  name: 'conflict list',
  summary: 'What another program wrote to cluster:NAME in Redis that could not be merged',
  async run(context) {
    const { items } = await conflicts(context);
    return {
      data: items,
      table: {
        columns: ['id', 'cluster', 'at', 'revision', 'what'],
        rows: items.map((c) => [c.id, c.cluster, c.at.slice(0, 19), c.revision, c.problems[0]?.message ?? '']),
      },
    };
  },
};

const conflictShow: Command = {
  name: 'conflict show',
  summary: 'Both versions of a conflict, and every problem',
  args: '<id>',
  async run(context, [id]) {
    const { items } = await conflicts(context);
    const found = items.find((conflict) => conflict.id === id);
    if (!found) throw new WeirError('not_found', `there is no conflict ${String(id)}`, { hint: 'weir conflict list' });
    return { data: found, text: describe(found) };
  },
};

function describe({ cluster, at, revision, problems, foreign, base, present }: ConflictView): string {
  const ours = createTwoFilesPatch('before', `here, revision ${revision}`, textOf(base), textOf(present));
  const fields = Object.entries(foreign ?? {}).map(([name, text]) => `${name}: ${text}`);
  return [
    `cluster ${cluster}, written by another program, noticed at ${at}`,
    ...problems.map((p) => `  ${p.path ? `${p.path}: ` : ''}${p.message}\n    ${p.hint}`),
    '',
    foreign === null ? 'it removed the record' : 'it wrote:',
    ...fields,
    '',
    ours,
  ].join('\n');
}

function textOf(document: object | null): string {
  return document === null ? '' : stringify(document);
}

const conflictDismiss: Command = {
  name: 'conflict dismiss',
  summary: 'A conflict is dealt with: what is in Weir stands',
  args: '<id>',
  async run(context, [id]) {
    await context.client().call(`/conflicts/${encodeURIComponent(String(id))}`, { method: 'DELETE' });
    return { data: { id, state: 'dismissed' }, text: `conflict ${String(id)}: dismissed\n` };
  },
};

export const sharingCommands: readonly Command[] = [leaseList, leaseBreak, conflictList, conflictShow, conflictDismiss];
