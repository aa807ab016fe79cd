/** What the history of a cluster tells of a VIP's move: its steps, and whether what waits for LBs is of these alone. */
import type { Client } from '../../client/client.ts';
import type { HistoryRow, Page } from '../../contract/schemas.ts';
import { pendingError } from './bring.ts';
import type { Pending, Waiting } from './bring.ts';
import { pathOf } from './shared.ts';

/** Steps of moves of a VIP between a cluster, in whose history they are, and another. */
export interface StepsIn {
  vip: string;
  cluster: string;
  partner: string;
}

/** Throws where anything waits that is not the move's own. */
export async function refuseForeign(client: Client, steps: StepsIn, { waiting }: Pending): Promise<void> {
  if (waiting.length === 0) return;
  const others = await othersSince(client, steps);
  const foreign = waiting.filter((one) => !isOwn(one, others));
  if (foreign.length > 0) throw pendingError(steps.cluster, foreign);
}

/** Whether what an LB waits for is the move's alone. What Weir did not see activated may be of any revision since it began. */
function isOwn({ why, published }: Waiting, others: readonly number[] | undefined): boolean {
  if (others === undefined) return false;
  return why === 'not published' ? others.every((revision) => revision <= published) : others.length === 0;
}

/** Revisions that are no step of the move, since it began; undefined if it did not begin, or long ago. */
async function othersSince(client: Client, steps: StepsIn): Promise<number[] | undefined> {
  const others: number[] = [];
  for await (const { revision, operations } of historyOf(client, steps.cluster)) {
    const step = stepOf(operations, steps);
    if (step === 'begin') return others;
    if (step === undefined) others.push(revision);
  }
  return undefined;
}

/** The newest one; undefined: none, or long ago. */
export async function lastStep(client: Client, steps: StepsIn): Promise<string | undefined> {
  for await (const { operations } of historyOf(client, steps.cluster)) {
    const step = stepOf(operations, steps);
    if (step !== undefined) return step;
  }
  return undefined;
}

/** Revisions that are looked at, a few at a time: each holds its operations, which may be whole documents. */
const MAX_REVISIONS = 400;
const AT_ONCE = 20;

/** Newest first. */
async function* historyOf(client: Client, cluster: string): AsyncGenerator<HistoryRow> {
  let after: string | undefined;
  for (let seen = 0; seen < MAX_REVISIONS; seen += AT_ONCE) {
    const query = { limit: AT_ONCE, after };
    const { data } = await client.call<Page<HistoryRow>>(pathOf(cluster, 'history'), { query });
    yield* data.items;
    if (data.next === null) return;
    after = data.next;
  }
}

function stepOf(operations: HistoryRow['operations'], { vip, partner }: StepsIn): string | undefined {
  const [only, ...more] = operations;
  const input = only?.input as { vip?: string; to?: string; from?: string } | undefined;
  if (more.length > 0 || only?.op.startsWith('vip.move.') !== true) return undefined;
  return input?.vip === vip && (input.to ?? input.from) === partner ? only.op.slice('vip.move.'.length) : undefined;
}
