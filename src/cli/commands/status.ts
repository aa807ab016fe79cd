/** What the LBs of a cluster really run: status. */
import type { ClusterStatusView, Finding, LbStatusView } from '../../contract/status.ts';
import { tableText } from '../print.ts';
import type { Command, Output } from '../command.ts';
import { pathOf } from './shared.ts';

export const statusCommand: Command = {
  name: 'status',
  summary: 'What the LBs of a cluster really run; exit 3 where it deviates, 1 where an LB cannot be read',
  args: '<cluster>',
  options: [
    { flags: '--lb <lb...>', help: 'only these LBs' },
    { flags: '--services', help: 'with -o json or yaml, also every service of the kernel' },
  ],
  examples: ['weir status CLUSTER', 'weir status CLUSTER --lb lb1.hy01 -o json'],
  async run(context, [cluster]) {
    const { lb, services } = context.options as { lb?: string[]; services?: boolean };
    const { data } = await context.client().call<ClusterStatusView>(`${pathOf(cluster)}/status`, {
      query: { lbs: lb?.join(','), services },
    });
    return statusOutput(data);
  },
};

export function statusOutput(status: ClusterStatusView): Output {
  if (status.lbs.some((lb) => lb.state === 'unreachable')) return { data: status, text: textOf(status), exit: 1 };
  const deviates = status.unrenderable !== null || status.lbs.some((lb) => lb.state === 'deviates');
  return { data: status, text: textOf(status), exit: deviates ? 3 : 0 };
}

const columns = ['lb', 'published', 'loaded', 'services', 'vips', 'ospf', 'state'];

function textOf(status: ClusterStatusView): string {
  const parts = [tableText(columns, status.lbs.map(rowOf))];
  if (status.unrenderable !== null)
    parts.push(`revision ${status.revision} cannot be rendered: ${status.unrenderable}\n`);
  for (const lb of status.lbs) {
    const lines = linesOf(lb);
    if (lines.length > 0) parts.push(`${lb.lb}:\n${lines.map((line) => `  ${line}\n`).join('')}`);
  }
  return parts.join('\n');
}

function rowOf({ lb, state, published, loaded, kernel, drained, deviations }: LbStatusView): string[] {
  if (!kernel || !loaded || !deviations) return [lb, '?', '?', '?', '?', '?', state];
  const words = deviations.total === 0 ? 'ok' : `${deviations.total} deviation${deviations.total === 1 ? '' : 's'}`;
  return [
    lb,
    published?.release.slice(0, 12) ?? '-',
    loadedText(loaded, published?.release),
    countText(kernel.services, kernel.against),
    `${countText(kernel.vips, kernel.against)}${kernel.vips.high > 0 ? ` +${kernel.vips.high} high` : ''}`,
    String(kernel.ospf.full),
    drained ? `drained, ${words}` : words,
  ];
}

function loadedText({ keepalived }: NonNullable<LbStatusView['loaded']>, published: string | undefined): string {
  if (keepalived.release === null) return keepalived.state;
  return keepalived.release === published ? 'published' : keepalived.release.slice(0, 12);
}

/** What is there, of what should be there. */
function countText({ expected, present }: { expected: number; present: number }, against: string | null): string {
  return against === null ? String(present) : `${present}/${expected}`;
}

/** Findings shown for each LB. */
const SHOWN = 20;

function linesOf({ error, drained, deviations, notes }: LbStatusView): string[] {
  if (error !== undefined) return [`cannot be read: ${error}`];
  const others = (notes?.items ?? []).filter((note) => note.code !== 'drained');
  return [
    ...(drained ? [drainText(drained)] : []),
    ...shown(deviations, deviations?.items ?? []).flatMap((line) => line),
    ...shown(notes && { total: notes.total - (drained ? 1 : 0) }, others),
  ];
}

function drainText({ origin, since, reason }: NonNullable<LbStatusView['drained']>): string {
  const when = since === 0 ? '' : ` since ${new Date(since * 1000).toISOString()}`;
  const who = origin === 'local' ? 'on the LB itself' : `by ${origin}`;
  return `drained ${who}${when}${reason ? `: ${reason}` : ''}`;
}

/** The first findings; a hint that many share is said once. */
function shown(of: { total: number } | undefined, items: readonly Finding[]): string[] {
  const first = items.slice(0, SHOWN);
  const lines = first.flatMap((finding, i) => [
    `${finding.code} ${finding.object}: ${finding.message}`,
    ...(first[i + 1]?.hint === finding.hint ? [] : [`  ${finding.hint}`]),
  ]);
  const more = (of?.total ?? 0) - first.length;
  return more > 0 ? [...lines, `and ${more} more (-o json)`] : lines;
}
