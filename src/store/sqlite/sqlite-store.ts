/**
 * The embedded store: one SQLite file, one process. An acknowledged commit is on disk (WAL with
 * synchronous=FULL); a second process on the same file is refused.
 * Calls run at once and one after the other, since SQLite is called synchronously; each answers a
 * promise because the port does.
 * May import the domain and the port. server.ts and tests import it.
 */
import { WeirError } from '../../domain/errors.ts';
import { followersOf } from '../followers.ts';
import type { Commit, CommitResult, Conflict, EventChange, RecordWrite, Store, StoreEvent } from '../port.ts';
import { claimsIn } from './claims.ts';
import { openDatabase } from './database.ts';
import type { Connection } from './database.ts';
import { documentsIn } from './documents.ts';
import { faultOf } from './fault.ts';
import { leasesIn, recordsIn } from './records.ts';
import { retentionIn } from './retention.ts';
import type { Retention } from './retention.ts';

export interface SqliteOptions extends Retention {
  /** Hears what a follower threw. Default: a process warning. */
  readonly onFollowerError?: (thrown: unknown) => void;
}

/** Throws a WeirError: `store_in_use` if another process has the file, else `store`. */
export function openSqliteStore(path: string, options: SqliteOptions = {}): Store {
  const db = openDatabase(path);
  try {
    return storeOn(db, options);
  } catch (thrown) {
    db.close();
    throw faultOf(thrown, db.description);
  }
}

function storeOn(db: Connection, options: SqliteOptions): Store {
  const answer = answersOf(db);
  const tables = tablesIn(db, options);
  const { documents, claims, records, leases } = tables;
  const { follow, deliver } = followersOf(options.onFollowerError ?? warn);
  tables.touch();

  return {
    description: db.description,
    shared: false,
    load: () => answer(() => ({ documents: documents.load(), claims: claims.all(), position: tables.position() })),
    commit: (commit) =>
      answer(() => {
        const result = db.write(() => write(tables, commit), isOk);
        if (result.ok) deliver(result.event);
        return result;
      }),
    history: (id, page) => answer(() => documents.history(id, page)),
    revision: (id, revision) => answer(() => documents.revision(id, revision)),
    events: (after, limit) => answer(() => documents.events(after, limit)),
    follow: (listener) => follow(listener),
    // Commits are told before they are answered.
    sync: () => Promise.resolve(),
    records: (kind) => answer(() => records.ofKind(kind)),
    record: (id) => answer(() => records.one(id)),
    putRecord: (wanted) => answer(() => db.write(() => putRecord(tables, wanted), isOk)),
    acquire: (name, owner, term) => answer(() => leases.acquire(name, owner, term)),
    renew: (lease, term) => answer(() => leases.renew(lease, term)),
    release: (lease) => answer(() => leases.release(lease)),
    leases: () => answer(() => leases.all()),
    breakLease: (name) => answer(() => leases.end(name)),
    ping: () =>
      answer(() => {
        tables.touch();
        return tables.position();
      }),
    close: () => answer.last(() => db.close()),
  };
}

type Tables = ReturnType<typeof tablesIn>;

function tablesIn(db: Connection, options: SqliteOptions) {
  const addEvent = db.prepare<{ id: number }>("INSERT INTO events (at, by, records) VALUES (?, ?, '[]') RETURNING id");
  const setRecords = db.prepare('UPDATE events SET records = ? WHERE id = ?');
  const last = db.prepare<{ id: number }>("SELECT seq AS id FROM sqlite_sequence WHERE name = 'events'");
  const touch = db.prepare(
    "INSERT INTO meta (key, value) VALUES ('pings', 1) ON CONFLICT DO UPDATE SET value = value + 1",
  );

  return {
    documents: documentsIn(db),
    claims: claimsIn(db),
    records: recordsIn(db),
    leases: leasesIn(db),
    retention: retentionIn(db, options),
    addEvent: (commit: Commit): number => addEvent.get(commit.at, commit.by)?.id ?? 0,
    setRecords: (event: number, records: StoreEvent['records']) => setRecords.run(JSON.stringify(records), event),
    /** The id of the newest event that ever was. */
    position: (): number => last.get()?.id ?? 0,
    /** Proves that the database can be written. */
    touch: (): void => void db.write(() => touch.run()),
  };
}

/** Inside a transaction, which the caller rolls back on a conflict. */
function write(tables: Tables, commit: Commit): CommitResult {
  const id = tables.addEvent(commit);
  const changes: EventChange[] = [];
  for (const change of commit.changes) {
    const made = tables.documents.append(change, commit, id);
    if (isConflict(made)) return { ok: false, conflict: made };
    changes.push(made);
  }
  const refused = tables.claims.change(commit.claims);
  if (refused) return { ok: false, conflict: refused };
  const records: StoreEvent['records'][number][] = [];
  for (const wanted of commit.records) {
    const made = tables.records.write(wanted);
    if (isConflict(made)) return { ok: false, conflict: made };
    records.push(made);
  }
  if (records.length > 0) tables.setRecords(id, records);
  tables.retention.prune(id, changes);
  return { ok: true, event: { id, at: commit.at, by: commit.by, changes, records } };
}

type Put = Awaited<ReturnType<Store['putRecord']>>;

function putRecord(tables: Tables, wanted: RecordWrite): Put {
  const made = tables.records.write(wanted);
  return isConflict(made) ? { ok: false, conflict: made } : { ok: true, version: made.version };
}

function isConflict(made: object): made is Conflict {
  return 'type' in made;
}

function isOk(result: { ok: boolean }): boolean {
  return result.ok;
}

/** Answers are promises; faults of the database become WeirErrors, and a closed store says so. */
function answersOf(db: Connection) {
  let closed = false;
  function answer<T>(work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      try {
        if (closed) throw new WeirError('store', `store ${db.description} is closed`);
        resolve(work());
      } catch (thrown) {
        reject(faultOf(thrown, db.description));
      }
    });
  }
  /** Closing twice is no error. */
  function last(work: () => void): Promise<void> {
    if (closed) return Promise.resolve();
    return answer(() => {
      closed = true;
      work();
    });
  }
  return Object.assign(answer, { last });
}

function warn(thrown: unknown): void {
  process.emitWarning(thrown instanceof Error ? thrown : String(thrown));
}
