/**
 * One process per database file. The lock is SQLite's own on a file of its own, PATH.lock: a kernel
 * lock, which dies with its process. It is held as a write transaction that never commits, so that
 * others can still read who holds it, and operators can still read the database itself.
 */
import { closeSync, existsSync, openSync } from 'node:fs';
import Database from 'libsql';
import { WeirError } from '../../domain/errors.ts';
import { faultOf } from './fault.ts';

/** Answers how to unlock. */
export function lockFile(path: string): () => void {
  const lockPath = `${path}.lock`;
  makePrivate(lockPath);
  const lock = open(lockPath);
  try {
    hold(lock, path);
  } catch (thrown) {
    lock.close();
    throw faultOf(thrown, lockPath);
  }
  return () => {
    lock.exec('ROLLBACK');
    lock.close();
  };
}

/** Long enough to wait, in ms, until another process has committed its pid. */
const TIMEOUT = 50;

function open(lockPath: string): Database.Database {
  try {
    return new Database(lockPath, { timeout: TIMEOUT });
  } catch (thrown) {
    throw faultOf(thrown, lockPath);
  }
}

/** Never opens a file that is there: closing it would drop this process's locks on it (POSIX). */
function makePrivate(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (thrown) {
    if (!existsSync(path)) throw thrown;
  }
}

/**
 * The pid has to be committed before the lock is held for good, and another process may come in
 * between: then its pid stands there, and either it holds the lock or we write ours again.
 */
function hold(lock: Database.Database, path: string): void {
  do {
    begin(lock, path);
    if (pidIn(lock) !== process.pid) {
      lock.exec(`PRAGMA user_version=${process.pid}; COMMIT`);
      begin(lock, path);
    }
  } while (pidIn(lock) !== process.pid && release(lock));
}

function release(lock: Database.Database): true {
  lock.exec('ROLLBACK');
  return true;
}

function begin(lock: Database.Database, path: string): void {
  try {
    lock.exec('BEGIN IMMEDIATE');
  } catch (thrown) {
    if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'SQLITE_BUSY')) throw thrown;
    const pid = pidIn(lock);
    throw new WeirError(
      'store_in_use',
      `${path} is in use by ${pid === process.pid ? 'this process' : `process ${pid}`}`,
      {
        hint: 'stop the other Weir first, give this one another store, or let both share a Redis store',
        cause: thrown,
      },
    );
  }
}

/** PRAGMA user_version of the lock file holds the pid: it can be read while the lock is held. */
function pidIn(lock: Database.Database): number {
  const row = lock.prepare('PRAGMA user_version').get([]) as { user_version: number };
  return row.user_version;
}
