/**
 * Follows the log and tells this process of every event once and in order, its own and those of others. A
 * commit of our own is told at once where nothing lies between; a blocking read brings the rest. Each event
 * names the tag of the one before it: where that does not fit, the log was cut or its end was lost in a
 * failover, and followers are told to load again.
 */
import { WeirError } from '../../domain/errors.ts';
import type { StoreEvent } from '../port.ts';
import type { LoggedEvent } from './commit.ts';
import type { Connection } from './connection.ts';
import { endOfLog, readEntry, readLog } from './documents.ts';
import type { Position } from './documents.ts';

/** How long one blocking read waits, in ms. */
export const BLOCK_MS = 2000;

const PAGE = 200;

/** How long who asks for what is newest waits for it, in ms. */
const PATIENCE_MS = 8000;

export interface FeedOptions {
  /** For short calls. */
  connection: Connection;
  /** For blocking reads alone. */
  blocking: Connection;
  start: Position;
  deliver: (event: StoreEvent) => void;
  /** Events were missed for good; answers when what was missed has been loaded. */
  lost: () => Promise<void>;
  onError: (thrown: unknown) => void;
}

export interface Feed {
  /** Tells of an own commit, and of all that lies before it. */
  take(logged: LoggedEvent): Promise<void>;
  /** Tells of everything that is in the log now. */
  sync(): Promise<void>;
  close(): void;
}

export function createFeed(options: FeedOptions): Feed {
  const { connection, blocking, deliver } = options;
  let at = options.start;
  const ending = new AbortController();
  let checking: Promise<void> = Promise.resolve();

  /** False where it does not follow on what was told last. */
  function offer({ event, tag, prev }: LoggedEvent): boolean {
    if (event.id <= at.id) return true;
    if (event.id !== at.id + 1 || prev !== at.tag) return false;
    at = { id: event.id, tag };
    deliver(event);
    return true;
  }

  /** Not longer than a call may wait: loading everything again goes on for as long as it takes. */
  async function sync(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(behind()), PATIENCE_MS);
    });
    await Promise.race([synced(), late]).finally(() => clearTimeout(timer));
  }

  /** One at a time; who comes meanwhile waits for the next, which begins after they came. */
  async function synced(): Promise<void> {
    const run = checking.catch(() => undefined).then(catchUp);
    checking = run;
    await run;
  }

  async function catchUp(): Promise<void> {
    for (;;) {
      const before = at;
      const end = await endOfLog(connection);
      if (at.id > before.id) continue;
      if (end.id === at.id && end.tag === at.tag) return;
      const events = end.id > at.id ? await readLog(connection, at.id, PAGE) : [];
      if (events.length > 0 && events.every(offer)) continue;
      if (at.id > before.id) continue;
      at = await endOfLog(connection);
      options.onError(cut(before, at));
      await options.lost();
      return;
    }
  }

  /** Until it is closed. A connection that breaks is made again; what was missed meanwhile is caught up with. */
  async function follow(): Promise<void> {
    while (!ending.signal.aborted) {
      try {
        const from = `${at.id}-0`;
        const answer = await blocking.call((redis) =>
          redis.xread('COUNT', PAGE, 'BLOCK', BLOCK_MS, 'STREAMS', 'weir:events', from),
        );
        const entries = answer?.[0]?.[1] ?? [];
        if (entries.length === 0 || !entries.map(readEntry).every(offer)) await synced();
      } catch (thrown) {
        if (ending.signal.aborted) return;
        options.onError(thrown);
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    }
  }

  void follow();
  // A new connection may lead to another master: whether its log is the one that is known is seen at once.
  blocking.onReady(() => {
    if (ending.signal.aborted) return;
    sync().catch((thrown: unknown) => ending.signal.aborted || options.onError(thrown));
  });
  return {
    async take(logged) {
      const { event, tag } = logged;
      const other = event.id < at.id || (event.id === at.id && tag !== at.tag);
      if (other || !offer(logged)) await sync();
    },
    sync,
    close: () => ending.abort(),
  };
}

function behind(): WeirError {
  return new WeirError('store', 'this process is behind the store, and loads what it has missed', {
    hint: 'try again in a moment; the log has the reason',
    retryAfter: 2,
  });
}

function cut(seen: Position, now: Position): Error {
  return new Error(
    `the log of events does not go on from event ${seen.id}, which was seen last: it ends at event ${now.id} now. A failover lost its end, a backup was put back, or it was cut; everything is loaded again`,
  );
}
