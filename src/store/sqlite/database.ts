/**
 * The database file under the embedded store: opened for one process alone, with our schema,
 * durable transactions, and SQLite's faults as WeirErrors. Imported by this folder only.
 *
 * libsql keeps a connection (and its locks) alive as long as statements of it are reachable, even
 * after close(); so whatever must end with the store is ended by SQL before it.
 */
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import Database from 'libsql';
import { WeirError } from '../../domain/errors.ts';
import { faultOf } from './fault.ts';
import { lockFile } from './lock.ts';
import { APPLICATION_ID, migrations } from './schema.ts';

export type SqlValue = string | number | null;

export interface Statement<Row> {
  get(...values: SqlValue[]): Row | undefined;
  all(...values: SqlValue[]): Row[];
  /** Answers the number of rows changed. */
  run(...values: SqlValue[]): number;
}

export interface Connection {
  readonly description: string;
  prepare<Row = never>(sql: string): Statement<Row>;
  /** Runs `work` in a transaction, durable once this returns; rolled back if it throws or `keep` says no. */
  write<T>(work: () => T, keep?: (result: T) => boolean): T;
  close(): void;
}

/** How long a statement waits for a lock, e.g. of an operator's sqlite3 shell, in ms. All of Weir waits with it. */
const BUSY_TIMEOUT = 200;

/** The WAL file is cut back to this many bytes when it is reused. */
const WAL_LIMIT = 64 * 1024 * 1024;

export function openDatabase(path: string): Connection {
  if (path === ':memory:') return connect(path);
  try {
    const real = makeFile(path);
    const unlock = lockFile(real);
    try {
      return connect(real, unlock);
    } catch (thrown) {
      unlock();
      throw thrown;
    }
  } catch (thrown) {
    throw faultOf(thrown, path);
  }
}

/**
 * Creates the file if it is missing, for its owner only, and answers its real path. A file that exists is
 * never opened here: closing it would drop the locks that SQLite holds on it in this process (POSIX).
 */
function makeFile(path: string): string {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (thrown) {
    if (!existsSync(path)) throw thrown;
  }
  const real = realpathSync(path);
  if (!statSync(real).isFile()) {
    throw new WeirError('store', `store ${path}: not a file`, { hint: 'give the path of a file, not of a folder' });
  }
  return real;
}

function connect(path: string, unlock?: () => void): Connection {
  const sqlite = new Database(path, { timeout: BUSY_TIMEOUT });
  const file = unlock ? fileOf(path) : undefined;
  const connection: Connection = {
    description: `sqlite:${path}`,
    prepare: (sql) => prepare(sqlite, sql),
    write: (work, keep) => {
      if (file !== undefined && file !== fileOf(path)) throw missing(path);
      return transaction(sqlite, work, keep);
    },
    close: () => {
      if (unlock) checkpoint(sqlite);
      sqlite.close();
      unlock?.();
    },
  };
  try {
    refuseForeign(sqlite, path);
    if (unlock) protect(path);
    sqlite.exec(`PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA journal_size_limit=${WAL_LIMIT}`);
    migrate(sqlite);
  } catch (thrown) {
    sqlite.close();
    throw thrown;
  }
  return connection;
}

/** What tells a file from another that took its name: commits to a file without a name would be lost. */
function fileOf(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat && `${stat.dev}:${stat.ino}`;
}

function missing(path: string): WeirError {
  return new WeirError('store', `the database file ${path} was removed or replaced while Weir uses it`, {
    hint: 'put the file back where it was, or restart Weir to use the one that is there now',
  });
}

/** SQLite gives -wal and -shm the mode of the database as it makes them. */
function protect(path: string): void {
  for (const suffix of ['', '-wal', '-shm']) if (existsSync(path + suffix)) chmodSync(path + suffix, 0o600);
}

function refuseForeign(sqlite: Database.Database, path: string): void {
  const version = pragma(sqlite, 'user_version');
  const application = pragma(sqlite, 'application_id');
  const tables = prepare<{ n: number }>(sqlite, 'SELECT count(*) AS n FROM sqlite_schema').get()?.n ?? 0;
  if (application !== APPLICATION_ID && (tables > 0 || version > 0 || application !== 0)) {
    throw new WeirError('store', `${path} is a database of another program`, {
      hint: 'choose another path for the store',
    });
  }
  if (version > migrations.length) {
    throw new WeirError(
      'store',
      `${path} was written by a newer Weir: schema ${version}, this one knows up to ${migrations.length}`,
      {
        hint: 'run the newer Weir, or restore a backup from before the upgrade',
      },
    );
  }
}

function migrate(sqlite: Database.Database): void {
  for (let version = pragma(sqlite, 'user_version'); version < migrations.length; version++) {
    transaction(sqlite, () => {
      sqlite.exec(
        `${migrations[version]}; PRAGMA user_version=${version + 1}; PRAGMA application_id=${APPLICATION_ID}`,
      );
    });
  }
}

function pragma(sqlite: Database.Database, name: 'user_version' | 'application_id'): number {
  return prepare<Record<string, number>>(sqlite, `PRAGMA ${name}`).get()?.[name] ?? 0;
}

/** Values go in as one array: libsql takes a lone null for a missing list. */
function prepare<Row>(sqlite: Database.Database, sql: string): Statement<Row> {
  const statement = sqlite.prepare(sql);
  return {
    get: (...values) => statement.get(values) as Row | undefined,
    all: (...values) => statement.all(values) as Row[],
    run: (...values) => statement.run(values).changes,
  };
}

function transaction<T>(sqlite: Database.Database, work: () => T, keep: (result: T) => boolean = () => true): T {
  sqlite.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    sqlite.exec(keep(result) ? 'COMMIT' : 'ROLLBACK');
    return result;
  } catch (thrown) {
    rollBack(sqlite);
    throw thrown;
  }
}

/** SQLite rolls back by itself on some faults, e.g. a full disk; an error of a second ROLLBACK would hide the first. */
function rollBack(sqlite: Database.Database): void {
  try {
    if (sqlite.inTransaction) sqlite.exec('ROLLBACK');
  } catch {
    // What made the transaction fail is what the caller has to see.
  }
}

/** Moves the WAL into the database, so that a stopped Weir leaves one whole file. Nothing is lost where it fails. */
function checkpoint(sqlite: Database.Database): void {
  try {
    prepare(sqlite, 'PRAGMA wal_checkpoint(TRUNCATE)').all();
  } catch {
    // The next opening reads the WAL.
  }
}
