/**
 * Tables of the embedded store, and how older databases are brought forward.
 * PRAGMA user_version counts the migrations that a database has seen.
 */

/** PRAGMA application_id of our databases: "Weir" in ASCII. */
export const APPLICATION_ID = 0x57656972;

/**
 * Applied in order, each in its own transaction; the one at index i makes version i + 1.
 * A migration that has been shipped is never changed.
 */
export const migrations: readonly string[] = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;

  -- base: the newest whole copy, NULL while deleted. oldest: the oldest revision that can be asked for.
  CREATE TABLE documents (
    kind TEXT NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL, base INTEGER, oldest INTEGER NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (kind, name)
  ) STRICT, WITHOUT ROWID;

  -- The long columns stand last, so that reading the others does not touch their pages.
  CREATE TABLE history (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL, event INTEGER NOT NULL,
    at TEXT NOT NULL, by TEXT NOT NULL, message TEXT, digest TEXT NOT NULL, deleted INTEGER NOT NULL,
    calls TEXT NOT NULL, patch TEXT, document TEXT,
    UNIQUE (kind, name, revision)
  ) STRICT;
  CREATE INDEX history_by_event ON history (event);
  CREATE INDEX history_bases ON history (kind, name, revision) WHERE document IS NOT NULL OR deleted;

  CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, by TEXT NOT NULL, records TEXT NOT NULL) STRICT;

  CREATE TABLE claims (key TEXT PRIMARY KEY, cluster TEXT NOT NULL, what TEXT NOT NULL) STRICT, WITHOUT ROWID;

  CREATE TABLE records (
    kind TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (kind, key)
  ) STRICT;

  -- Rows stay when a lease ends, with owner NULL: the fence of its last owner is still needed. expires: ms since 1970.
  CREATE TABLE leases (name TEXT PRIMARY KEY, owner TEXT, fence INTEGER NOT NULL UNIQUE, expires INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  `,
  // Jobs are read by cluster.
  `
  UPDATE records SET kind = kind || ':' || substr(key, 1, instr(key, '/') - 1), key = substr(key, instr(key, '/') + 1)
  WHERE kind IN ('publication', 'activation') AND instr(key, '/') > 0;
  `,
];
