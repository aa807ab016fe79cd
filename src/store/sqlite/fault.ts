import { messageOf, WeirError } from '../../domain/errors.ts';

/** A fault of SQLite or of the file system becomes a WeirError; anything else is a bug and passes. */
export function faultOf(thrown: unknown, where: string): unknown {
  if (thrown instanceof WeirError || !(thrown instanceof Error)) return thrown;
  const code = 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : '';
  // The only fault without SQLite's code: libsql could not open the file (SQLITE_CANTOPEN), code ''.
  const unopened = thrown.message.startsWith('ConnectionFailed');
  if (!unopened && !code.startsWith('SQLITE_') && !/^E[A-Z]+$/.test(code)) return thrown;
  return new WeirError('store', `store ${where}: ${messageOf(thrown)}${code ? ` (${code})` : ''}`, {
    hint: hintOf(unopened ? 'SQLITE_CANTOPEN' : code),
    cause: thrown,
  });
}

const hints: readonly [start: string, hint: string][] = [
  ['SQLITE_FULL', 'free space on the disk of the store'],
  ['SQLITE_CORRUPT', 'stop Weir and restore a backup of the database; `sqlite3 FILE .recover` may save what is left'],
  ['SQLITE_NOTADB', 'stop Weir and restore a backup of the database, or choose another path'],
  ['SQLITE_READONLY', 'check owner and mode of the database and of its folder'],
  ['SQLITE_CANTOPEN', 'check owner and mode of the database and of its folder'],
  ['SQLITE_BUSY', 'another program holds a lock on the database; end it'],
  ['SQLITE_IOERR', 'check the disk of the store: space, quota, kernel messages'],
];

function hintOf(code: string): string {
  return hints.find(([start]) => code.startsWith(start))?.[1] ?? 'check the path of the store, its owner and mode';
}
