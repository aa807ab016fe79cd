/** Forgets old history and old events, a little at a time. */
import type { DocumentId } from '../port.ts';
import type { Connection } from './database.ts';

export interface Retention {
  /** Newest revisions of each document that can be asked for; up to PRUNE_EVERY plus COPY_EVERY more are. Default 1000. */
  readonly keepRevisions?: number;
  /** Newest events that can be followed from; up to PRUNE_EVERY more are. Default 10,000. */
  readonly keepEvents?: number;
}

/** Commits of one document, or events, from one pruning to the next. */
export const PRUNE_EVERY = 100;

export function retentionIn(db: Connection, { keepRevisions = 1000, keepEvents = 10_000 }: Retention) {
  const base = db.prepare<{ revision: number | null }>(
    `SELECT max(revision) AS revision FROM history
     WHERE kind = ? AND name = ? AND revision <= ? AND (document IS NOT NULL OR deleted)
     AND (document IS NOT NULL OR deleted = 1)`, // The first is the index's; a revision that was brought back is no base by itself.
  );
  const setOldest = db.prepare('UPDATE documents SET oldest = ? WHERE kind = ? AND name = ?');
  const dropCopies = db.prepare(
    `UPDATE history SET document = NULL WHERE kind = ? AND name = ? AND revision < ? AND patch IS NOT NULL
     AND (document IS NOT NULL OR deleted)`,
  );
  // Rows that an event is made of stay as long as the event.
  const dropRows = db.prepare(
    'DELETE FROM history WHERE kind = ? AND name = ? AND revision < ? AND event < (SELECT coalesce(min(id), 0) FROM events)',
  );
  const dropEvents = db.prepare('DELETE FROM events WHERE id <= ?');

  return {
    /** Inside the transaction that made the event. */
    prune(event: number, documents: readonly (DocumentId & { revision: number })[]): void {
      if (event % PRUNE_EVERY === 0) dropEvents.run(event - keepEvents);
      for (const { kind, name, revision } of documents) {
        if (revision % PRUNE_EVERY !== 0) continue;
        const oldest = base.get(kind, name, revision - keepRevisions + 1)?.revision;
        if (oldest === null || oldest === undefined) continue;
        setOldest.run(oldest, kind, name);
        dropCopies.run(kind, name, oldest);
        dropRows.run(kind, name, oldest);
      }
    },
  };
}
