/** What commands share that bring a change to LBs and wait for what comes of it: pending changes, times, interruption. */
import type { Client } from '../../client/client.ts';
import type { ActivationView, LbJobView, PlanResult, PublicationView } from '../../contract/schemas.ts';
import { WeirError } from '../../domain/errors.ts';
import type { CommandContext } from '../command.ts';
import { runJob } from './follow.ts';
import { pathOf } from './shared.ts';

/** Between looks at LBs that are waited for, in ms. */
export const LOOK_MS = 2000;

/** An LB that does not run what the document says. */
export interface Waiting {
  lb: string;
  /** Revision that is published there; 0: none. */
  published: number;
  why: 'not published' | 'not activated';
  /** For people. */
  text: string;
}

export interface Pending {
  /** Of the document. */
  revision: number;
  waiting: Waiting[];
}

/** What waits to be brought to LBs. */
export async function pendingIn(client: Client, cluster: string): Promise<Pending> {
  const { data } = await client.call<PlanResult>(pathOf(cluster, 'plan'), { method: 'POST', body: {} });
  const waiting = Object.entries(data.lbs).flatMap(([lb, row]): Waiting[] => {
    const published = row.published?.revision ?? 0;
    if (row.published?.release !== row.release) {
      return [{ lb, published, why: 'not published', text: `${lb} (not published: ${changedFiles(data, lb)})` }];
    }
    if (row.published.activated) return [];
    return [{ lb, published, why: 'not activated', text: `${lb} (published, not activated)` }];
  });
  return { revision: data.revision, waiting };
}

function changedFiles({ files }: PlanResult, lb: string): string {
  const paths = files.filter((file) => file.lbs.includes(lb)).map((file) => file.path);
  return paths.length > 3 ? `${paths.slice(0, 3).join(', ')} and ${paths.length - 3} more` : paths.join(', ');
}

/** Publishing and activating brings all that waits, which is not what was asked for. */
export async function refusePending(client: Client, cluster: string): Promise<void> {
  const { waiting } = await pendingIn(client, cluster);
  if (waiting.length > 0) throw pendingError(cluster, waiting);
}

export function pendingError(cluster: string, waiting: readonly Waiting[]): WeirError {
  const texts = waiting.map(({ text }) => text).join('; ');
  return new WeirError('conflict', `other changes wait to be brought to the LBs: ${texts}`, {
    hint: `look at them with weir plan ${cluster}; bring them with weir publish and weir activate first, or let them go along with --pending`,
  });
}

/** The activation, or what ended before it. */
export async function publishAndActivate(
  context: CommandContext,
  { cluster, revision }: { cluster: string; revision: number },
): Promise<LbJobView> {
  const request = { cluster, body: { revision }, wait: true };
  const publication = await runJob<PublicationView>(context, 'publication', request);
  if (publication.state !== 'done') return publication;
  return runJob<ActivationView>(context, 'activation', request);
}

/** `90s`, `10m`, `1h`; seconds without a unit. In ms. `flag`: of the option, for what is said where it is no time. */
export function durationOf(text: string, flag = '--timeout'): number {
  const found = /^(\d{1,6})([smh]?)$/.exec(text);
  if (!found) {
    throw new WeirError('usage', `${text} is no time`, { hint: `write e.g. ${flag} 90s, 10m or 1h` });
  }
  const unit = { s: 1000, m: 60_000, h: 3_600_000 }[found[2] === '' ? 's' : (found[2] ?? 's')] ?? 1000;
  return Number(found[1]) * unit;
}

/** Whether the person wants to stop. The first Ctrl-C is kept until a step is done, the second ends the program. */
export interface Interruption {
  asked(): boolean;
  /** Resolves after so many ms, or when it is asked for. */
  pause(ms: number): Promise<void>;
  close(): void;
}

export function listenForInterruption(context: CommandContext): Interruption {
  const asked = new AbortController();
  const { signal } = asked;
  const hear = () => {
    context.note('stopping as soon as this step is done; once more to stop at once');
    asked.abort();
  };
  process.once('SIGINT', hear);
  return {
    asked: () => signal.aborted,
    pause: (ms) =>
      new Promise((resolve) => {
        const timer = setTimeout(over, ms);
        function over(): void {
          clearTimeout(timer);
          signal.removeEventListener('abort', over);
          resolve();
        }
        if (signal.aborted) over();
        else signal.addEventListener('abort', over);
      }),
    close: () => void process.removeListener('SIGINT', hear),
  };
}
