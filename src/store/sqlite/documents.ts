/**
 * Documents, their history, and the events made of it. A commit writes one row of history for each
 * document and one event; an event's changes are read back from history.
 */
import type { Call } from '../../domain/edge/operations.ts';
import { COPY_EVERY, numberOf } from '../port.ts';
import type {
  Commit,
  Conflict,
  DocumentChange,
  DocumentId,
  DocumentKind,
  EventChange,
  HistoryEntry,
  StoredDocument,
  StoreEvent,
} from '../port.ts';
import type { Connection } from './database.ts';

export function documentsIn(db: Connection) {
  const newest = db.prepare<NewestRow>(
    'SELECT revision, base, oldest, digest FROM documents WHERE kind = ? AND name = ?',
  );
  const setNewest = db.prepare(
    'INSERT OR REPLACE INTO documents (kind, name, revision, base, oldest, digest) VALUES (?, ?, ?, ?, ?, ?)',
  );
  const addHistory = db.prepare(
    `INSERT INTO history (kind, name, revision, event, at, by, message, digest, deleted, calls, patch, document)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );

  return {
    ...readersOf(db),

    /** Inside a transaction. The document is serialised only where a copy of it is kept. */
    append(
      change: DocumentChange,
      commit: Pick<Commit, 'at' | 'by' | 'message'>,
      event: number,
    ): EventChange | Conflict {
      const { kind, name, digest, calls } = change;
      const row = newest.get(kind, name);
      const current = row?.revision ?? 0;
      const other = change.was !== undefined && change.was !== (row?.digest ?? '');
      if (current !== change.expected || other) return { type: 'revision', id: { kind, name }, current };
      const revision = numberOf(change);
      const past = change.past === true;
      const deleted = change.document === null;
      const patch = deleted || !(row?.base || past) ? null : change.patch;
      const copied = !deleted && (patch === null || revision % COPY_EVERY === 0);
      const base = deleted || past ? null : copied ? revision : (row?.base ?? null);
      const texts = [
        JSON.stringify(calls),
        patch && JSON.stringify(patch),
        copied ? JSON.stringify(change.document) : null,
      ] as const;
      addHistory.run(
        kind,
        name,
        revision,
        event,
        commit.at,
        commit.by,
        commit.message ?? null,
        digest,
        deleted ? DELETION : past ? PAST : 0,
        ...texts,
      );
      setNewest.run(kind, name, revision, base, row?.oldest ?? revision, digest);
      if (deleted || past) return { kind, name, revision, digest, calls, deleted: true, patch: null };
      const document = patch || !change.document ? {} : { document: change.document };
      return { kind, name, revision, digest, calls, deleted, patch, ...document };
    },
  };
}

/** What history.deleted holds; 0 of all others. */
const DELETION = 1;
/** A revision that was brought back: its document is kept, and was never there. */
const PAST = 2;

interface NewestRow {
  revision: number;
  /** null while deleted. */
  base: number | null;
  oldest: number;
  digest: string;
}

function readersOf(db: Connection) {
  const all = db.prepare<LoadRow>(
    `SELECT d.kind, d.name, d.revision, d.digest, d.base, iif(h.revision = d.base, h.document, h.patch) AS text
     FROM documents d LEFT JOIN history h ON h.kind = d.kind AND h.name = d.name AND h.revision >= d.base
     ORDER BY d.kind, d.name, h.revision`,
  );
  const page = db.prepare<HistoryRow>(
    `SELECT h.revision, h.at, h.by, h.message, h.calls, h.digest, h.deleted
     FROM history h JOIN documents d ON d.kind = h.kind AND d.name = h.name
     WHERE h.kind = ? AND h.name = ? AND h.revision < ? AND h.revision >= d.oldest ORDER BY h.revision DESC LIMIT ?`,
  );
  const one = db.prepare<{ digest: string; base: number | null }>(
    `SELECT h.digest, iif(h.deleted = ${DELETION}, NULL, (SELECT max(b.revision) FROM history b
       WHERE b.kind = h.kind AND b.name = h.name AND b.revision <= h.revision AND b.document IS NOT NULL)) AS base
     FROM history h JOIN documents d ON d.kind = h.kind AND d.name = h.name
     WHERE h.kind = ? AND h.name = ? AND h.revision = ? AND h.revision >= d.oldest`,
  );
  const between = db.prepare<{ text: string }>(
    `SELECT iif(revision = ?, document, patch) AS text FROM history
     WHERE kind = ? AND name = ? AND revision BETWEEN ? AND ? ORDER BY revision`,
  );

  return {
    load: (): StoredDocument[] => grouped(all.all()),

    history: (
      { kind, name }: DocumentId,
      { before = Number.MAX_SAFE_INTEGER, limit }: { before?: number; limit: number },
    ): HistoryEntry[] => page.all(kind, name, before, limit).map((row) => entryOf({ kind, name }, row)),

    revision({ kind, name }: DocumentId, revision: number): StoredDocument | undefined {
      const found = one.get(kind, name, revision);
      if (!found) return undefined;
      const { digest, base } = found;
      const texts = base === null ? [] : between.all(base, kind, name, base, revision).map((row) => row.text);
      return storedOf({ kind, name, revision, digest, base, texts });
    },

    events: eventsIn(db),
  };
}

interface LoadRow {
  kind: DocumentKind;
  name: string;
  revision: number;
  digest: string;
  base: number | null;
  /** The base's document, then one row for each patch after it; null for a deleted document. */
  text: string | null;
}

/** Rows of one document stand together, the base first. */
function grouped(rows: readonly LoadRow[]): StoredDocument[] {
  const groups: { row: LoadRow; texts: string[] }[] = [];
  for (const row of rows) {
    let group = groups.at(-1);
    if (group?.row.kind !== row.kind || group.row.name !== row.name) groups.push((group = { row, texts: [] }));
    if (row.text !== null) group.texts.push(row.text);
  }
  return groups.map(({ row, texts }) => storedOf({ ...row, texts }));
}

interface Parts extends DocumentId {
  revision: number;
  digest: string;
  base: number | null;
  texts: readonly string[];
}

function storedOf({ kind, name, revision, digest, base, texts }: Parts): StoredDocument {
  if (base === null) return { kind, name, revision, deleted: true, patches: [], digest };
  const [document, ...patches] = texts.map((text) => JSON.parse(text) as object);
  if (!document) throw new Error(`no copy of ${kind} ${name} at revision ${base}`);
  return { kind, name, revision, deleted: false, base: { revision: base, document }, patches, digest };
}

interface HistoryRow {
  revision: number;
  at: string;
  by: string;
  message: string | null;
  calls: string;
  digest: string;
  deleted: number;
}

function entryOf(id: DocumentId, row: HistoryRow): HistoryEntry {
  const { revision, at, by, message, digest } = row;
  return {
    ...id,
    revision,
    at,
    by,
    ...(message === null ? {} : { message }),
    calls: JSON.parse(row.calls) as Call[],
    digest,
    deleted: row.deleted === DELETION,
  };
}

interface EventRow {
  id: number;
  at: string;
  by: string;
  records: string;
}

interface ChangeRow {
  event: number;
  kind: DocumentKind;
  name: string;
  revision: number;
  digest: string;
  deleted: number;
  calls: string;
  patch: string | null;
  document: string | null;
}

function eventsIn(db: Connection): (after: number, limit: number) => StoreEvent[] {
  const events = db.prepare<EventRow>('SELECT id, at, by, records FROM events WHERE id > ? ORDER BY id LIMIT ?');
  const changes = db.prepare<ChangeRow>(
    `SELECT event, kind, name, revision, digest, deleted, calls, patch, iif(patch IS NULL, document, NULL) AS document
     FROM history WHERE event BETWEEN ? AND ? ORDER BY event, id`,
  );

  return (after, limit) => {
    const rows = events.all(after, limit);
    const byEvent = new Map(rows.map((row) => [row.id, [] as EventChange[]]));
    for (const change of changes.all(rows[0]?.id ?? 0, rows.at(-1)?.id ?? 0))
      byEvent.get(change.event)?.push(changeOf(change));
    return rows.map(({ id, at, by, records }) => ({
      id,
      at,
      by,
      changes: byEvent.get(id) ?? [],
      records: JSON.parse(records) as StoreEvent['records'],
    }));
  };
}

function changeOf(row: ChangeRow): EventChange {
  const { kind, name, revision, digest } = row;
  const calls = JSON.parse(row.calls) as Call[];
  if (row.deleted !== 0) return { kind, name, revision, digest, calls, deleted: true, patch: null };
  return {
    kind,
    name,
    revision,
    digest,
    calls,
    deleted: false,
    patch: row.patch === null ? null : (JSON.parse(row.patch) as object),
    ...(row.document === null ? {} : { document: JSON.parse(row.document) as object }),
  };
}
