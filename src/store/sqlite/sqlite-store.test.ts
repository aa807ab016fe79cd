import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import Database from 'libsql';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { WeirError } from '../../domain/errors.ts';
import type { Cluster } from '../../domain/edge/model.ts';
import { COPY_EVERY } from '../port.ts';
import type { Store, StoreEvent } from '../port.ts';
import { storeContract } from '../store.contract.ts';
import { change, cluster, clusterId, commitOf, deletion, eventOf, rebuilt, replayed } from '../testing.ts';
import { openSqliteStore } from './sqlite-store.ts';
import type { SqliteOptions } from './sqlite-store.ts';

storeContract('SQLite in a file', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-store-'));
  const path = join(folder, 'weir.db');
  let store = openSqliteStore(path);
  return {
    store,
    reopen: async () => {
      await store.close();
      return (store = openSqliteStore(path));
    },
    cleanup: async () => {
      await store.close();
      rmSync(folder, { recursive: true });
    },
  };
});

storeContract('SQLite in memory', async () => {
  const store = openSqliteStore(':memory:');
  return { store, reopen: async () => store, cleanup: () => store.close() };
});

let folder: string;
let path: string;
const stores: Store[] = [];
const children: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'weir-store-'));
  path = join(folder, 'weir.db');
});

afterEach(async () => {
  for (const child of children.splice(0)) await killed(child);
  for (const store of stores.splice(0)) await store.close();
  rmSync(folder, { recursive: true });
});

function open(options?: SqliteOptions): Store {
  const store = openSqliteStore(path, options);
  stores.push(store);
  return store;
}

/** The error that opening throws. */
function refusal(): WeirError {
  try {
    open();
  } catch (thrown) {
    return thrown as WeirError;
  }
  throw new Error('it was opened');
}

type Line = { open?: number; revision?: number; code?: string; message?: string; hint?: string };

/** Starts a child; `fileLimit` is the size in KiB that no file of it can outgrow. */
function child(task: 'hold' | 'write' | 'fill', fileLimit?: number) {
  const script = join(import.meta.dirname, 'test-child.mjs');
  const run = `${fileLimit === undefined ? '' : `ulimit -f ${fileLimit}; `}exec "$@"`;
  const args = ['-c', run, 'bash', process.execPath, '--import', 'tsx', script, task, path];
  const process_ = spawn('bash', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  children.push(process_);
  const lines = createInterface(process_.stdout)[Symbol.asyncIterator]();
  return {
    process: process_,
    /** The next line it prints; undefined at its end. */
    next: async (): Promise<Line | undefined> => {
      const line = await lines.next();
      return line.done ? undefined : (JSON.parse(line.value) as Line);
    },
  };
}

async function killed(process_: ChildProcess): Promise<void> {
  if (process_.exitCode !== null || process_.signalCode !== null) return;
  const end = once(process_, 'exit');
  process_.kill('SIGKILL');
  await end;
}

async function last<T>(next: () => Promise<T | undefined>): Promise<T | undefined> {
  let found: T | undefined;
  for (let line = await next(); line !== undefined; line = await next()) found = line;
  return found;
}

async function created(store: Store, document: Cluster): Promise<StoreEvent> {
  return eventOf(await store.commit(commitOf({ changes: [change(undefined, document, 0)] })));
}

/** Commits small changes to `name` until it has this revision. */
async function until(store: Store, name: string, revision: number): Promise<void> {
  const present = (await store.load()).documents.find((d) => d.name === name);
  let from = rebuilt(present);
  for (let made = present?.revision ?? 0; made < revision; made++) {
    const to = cluster(name, { device: `eth${made + 1}` });
    eventOf(await store.commit(commitOf({ changes: [change(from, to, made)] })));
    from = to;
  }
}

describe('one process has the file', () => {
  test('a second process is refused at once with the pid of the first', async () => {
    const store = open();
    await created(store, cluster('a'));
    const line = await child('hold').next();
    expect(line).toMatchObject({ code: 'store_in_use', message: `${path} is in use by process ${process.pid}` });
    expect(line?.hint).toContain('stop the other Weir');
    expect((await store.load()).documents).toHaveLength(1);
  });

  test('the pid is that of the present holder, not of one before', async () => {
    await open().close();
    const holder = child('hold');
    const { open: pid } = (await holder.next()) ?? {};
    expect(pid).toBe(holder.process.pid);
    expect(refusal()).toMatchObject({ code: 'store_in_use', message: `${path} is in use by process ${pid}` });
    holder.process.stdin?.end();
    await once(holder.process, 'exit');
    open();
  });

  test('the same process is refused too, also by another name of the file', () => {
    open();
    expect(refusal()).toMatchObject({ code: 'store_in_use', message: `${path} is in use by this process` });
    const link = join(folder, 'link.db');
    symlinkSync(path, link);
    expect(() => openSqliteStore(link)).toThrow('in use by this process');
    expect(() => openSqliteStore(path)).toThrow('in use by this process');
  });

  test('a refused opening does not free the lock of the holder', async () => {
    open();
    expect(refusal().code).toBe('store_in_use');
    expect(await child('hold').next()).toMatchObject({ code: 'store_in_use' });
  });

  test('kill -9 of the holder frees the file', async () => {
    const holder = child('hold');
    await holder.next();
    expect(refusal().code).toBe('store_in_use');
    await killed(holder.process);
    await open().ping();
  });

  test('a closed store frees the file for another process', async () => {
    await open().close();
    expect(await child('hold').next()).toEqual({ open: expect.any(Number) });
  });
});

describe('durability', () => {
  test('every acknowledged commit is there after kill -9 of the writer in the midst of commits', async () => {
    let before = 0;
    for (const commits of [1, 7, 60, 33]) {
      const writer = child('write');
      await writer.next();
      for (let i = 0; i < commits; i++) await writer.next();
      await killed(writer.process);
      const acknowledged = (await last(writer.next))?.revision ?? before + commits;
      before = await inspected(acknowledged);
    }
    expect(before).toBeGreaterThan(COPY_EVERY);
  });

  /** The store after the kill: all that was acknowledged, at most the one commit under way besides, nothing torn. */
  async function inspected(acknowledged: number): Promise<number> {
    const store = openSqliteStore(path);
    const [document] = (await store.load()).documents;
    const newest = document?.revision ?? 0;
    expect(newest).toBeGreaterThanOrEqual(acknowledged);
    expect(newest).toBeLessThanOrEqual(acknowledged + 1);
    for (let revision = 1; revision <= newest; revision++) {
      expect(rebuilt(await store.revision(clusterId('a'), revision))?.device).toBe(`eth${revision}`);
    }
    expect((await store.record({ kind: 'lips', key: 'a' }))?.value).toBe(newest);
    expect(replayed(await store.events(0, 100_000)).get('a')).toEqual(rebuilt(document));
    await store.close();
    return newest;
  }
});

describe('files', () => {
  const mode = (suffix: string) => (statSync(path + suffix).mode & 0o777).toString(8);

  test('the database, its WAL and its lock are for their owner only, whatever the umask', async () => {
    const umask = process.umask(0);
    try {
      await created(open(), cluster('a'));
    } finally {
      process.umask(umask);
    }
    expect(['', '-wal', '-shm', '.lock'].map(mode)).toEqual(['600', '600', '600', '600']);
  });

  test('a database that others could read is closed to them when it is opened', async () => {
    await open().close();
    chmodSync(path, 0o644);
    open();
    expect(['', '-wal', '-shm'].map(mode)).toEqual(['600', '600', '600']);
  });

  test('the folder is made', async () => {
    path = join(folder, 'deep', 'er', 'weir.db');
    await open().ping();
    expect((statSync(join(folder, 'deep')).mode & 0o777).toString(8)).toBe('700');
  });

  test('a closed store leaves all of its state in the one file', async () => {
    const store = open();
    await created(store, cluster('a'));
    await store.close();
    expect(existsSync(`${path}-wal`) ? statSync(`${path}-wal`).size : 0).toBe(0);
    path = join(folder, 'copy.db');
    writeFileSync(path, readFileSync(join(folder, 'weir.db')));
    expect((await open().load()).documents).toHaveLength(1);
  });

  test('a database file that is taken away under the store fails commits instead of losing them', async () => {
    const store = open();
    await created(store, cluster('a'));
    renameSync(path, `${path}.away`);
    const lost = expect.objectContaining({ code: 'store', message: expect.stringContaining('removed or replaced') });
    await expect(store.ping()).rejects.toEqual(lost);
    await expect(created(store, cluster('b'))).rejects.toEqual(lost);
    renameSync(`${path}.away`, path);
    await created(store, cluster('b'));
  });
});

describe('databases that do not fit', () => {
  /** Runs SQL on the file, which no store has open. */
  function sql(text: string): void {
    const database = new Database(path);
    database.exec(text);
    database.close();
  }

  test('one that a newer Weir wrote is refused and left as it is', async () => {
    await open().close();
    sql('PRAGMA user_version = 99');
    const error = refusal();
    expect(error).toMatchObject({ code: 'store' });
    expect(error.message).toMatch(/written by a newer Weir: schema 99, this one knows up to \d+/);
    expect(error.hint).toContain('newer Weir');
    sql('PRAGMA user_version = 1');
    await open().ping();
  });

  test('one of another program is refused and left as it is', () => {
    sql('CREATE TABLE theirs (a)');
    const before = readFileSync(path);
    expect(refusal()).toMatchObject({ code: 'store', message: `${path} is a database of another program` });
    expect(readFileSync(path)).toEqual(before);
  });

  test('a file that is no database gives a clear error, and the lock is free again', () => {
    writeFileSync(path, 'not a database '.repeat(1000));
    for (const _again of [1, 2]) {
      const error = refusal();
      expect(error).toMatchObject({ code: 'store', cause: { code: 'SQLITE_NOTADB' } });
      expect(error.message).toBe(`store ${path}: file is not a database (SQLITE_NOTADB)`);
      expect(error.hint).toContain('restore a backup');
    }
  });

  test('a damaged database gives SQLite’s own words as a store error', async () => {
    const store = open();
    await until(store, 'a', 200);
    await store.close();
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.fill(0xa5, 4096 * 2));
    const damaged = async () => {
      const again = open();
      await again.load();
      await again.history(clusterId('a'), { limit: 1000 });
    };
    await expect(damaged()).rejects.toMatchObject({
      code: 'store',
      cause: { code: expect.stringContaining('CORRUPT') },
    });
  });

  test('a path that cannot be opened gives a store error', () => {
    writeFileSync(join(folder, 'file'), '');
    for (const bad of [join(folder, 'file', 'weir.db'), folder]) {
      expect(() => openSqliteStore(bad)).toThrow(expect.objectContaining({ code: 'store' }));
    }
    expect(existsSync(`${folder}.lock`)).toBe(false);
  });

  test('a disk that takes no more fails the commit with code store, and all before it stays', async () => {
    const filler = child('fill', 2048);
    const said: Line[] = [];
    for (let line = await filler.next(); line; line = await filler.next()) said.push(line);
    expect(said.at(-1)).toMatchObject({ code: 'store', message: expect.stringMatching(/disk|full/) });
    const acknowledged = said.at(-2)?.revision ?? 0;
    expect(acknowledged).toBeGreaterThan(10);
    const store = open();
    expect((await store.load()).documents[0]?.revision).toBe(acknowledged);
    expect(await store.history(clusterId('a'), { limit: 10_000 })).toHaveLength(acknowledged);
  });
});

describe('documents are serialised only where a copy is kept', () => {
  test('a small change does not serialise its document, until the next copy is due', async () => {
    const store = open();
    await until(store, 'a', COPY_EVERY - 3);
    for (let revision = COPY_EVERY - 3; ; revision++) {
      const [from, to] = [revision, revision + 1].map((r) => cluster('a', { device: `eth${r}` }));
      if (!from || !to) throw new Error('unreachable');
      const made = change(from, to, revision);
      const document = { ...to, toJSON: () => raise() };
      const committed = store.commit(commitOf({ changes: [{ ...made, document }] }));
      if (revision + 1 < COPY_EVERY) eventOf(await committed);
      else return expect(committed).rejects.toThrow('serialised');
    }
  });

  function raise(): never {
    throw new Error('serialised');
  }

  test('a patch where there is nothing to patch is not relied on: the document is kept whole', async () => {
    const store = open();
    const stray = { ...change(undefined, cluster('a'), 0), patch: { head: {} } };
    const event = eventOf(await store.commit(commitOf({ changes: [stray] })));
    expect(event.changes[0]).toMatchObject({ patch: null, document: cluster('a') });
    eventOf(await store.commit(commitOf({ changes: [deletion('a', 1)] })));
    eventOf(await store.commit(commitOf({ changes: [{ ...stray, expected: 2 }] })));
    expect(rebuilt((await store.load()).documents[0])).toEqual(cluster('a'));
  });

  test('a bug that shows while committing is no store error, and leaves nothing', async () => {
    const store = open();
    const bad = { ...change(undefined, cluster('a'), 0), document: { toJSON: () => raise() } };
    await expect(store.commit(commitOf({ changes: [bad] }))).rejects.not.toHaveProperty('code');
    expect((await store.load()).documents).toEqual([]);
    await created(store, cluster('a'));
  });
});

describe('followers', () => {
  test('one that throws breaks neither the commit nor the others', async () => {
    const thrown: unknown[] = [];
    const store = open({ onFollowerError: (error) => thrown.push(error) });
    const heard: StoreEvent[] = [];
    store.follow(() => {
      throw new Error('broken follower');
    });
    store.follow((event) => heard.push(event));
    const events = [await created(store, cluster('a')), await created(store, cluster('b'))];
    expect(heard).toEqual(events);
    await expect.poll(() => thrown).toEqual([new Error('broken follower'), new Error('broken follower')]);
  });
});

describe('retention', () => {
  test('old revisions go, those kept all rebuild, and numbers go on', async () => {
    const store = open({ keepRevisions: 120, keepEvents: 10 });
    await until(store, 'a', 300);
    const kept = (await store.history(clusterId('a'), { limit: 1000 })).map((entry) => entry.revision);
    const oldest = kept.at(-1) ?? 0;
    expect(kept.length).toBeGreaterThanOrEqual(120);
    expect(oldest).toBe(150);
    expect(kept).toEqual(Array.from({ length: 300 - oldest + 1 }, (_, i) => 300 - i));
    for (const revision of kept) {
      expect(rebuilt(await store.revision(clusterId('a'), revision))?.device).toBe(`eth${revision}`);
    }
    expect(await store.revision(clusterId('a'), oldest - 1)).toBeUndefined();
    await until(store, 'a', 301);
    expect((await store.load()).documents).toMatchObject([{ revision: 301, base: { revision: 300 } }]);
  });

  test('a deletion can be the oldest revision kept', async () => {
    const store = open({ keepRevisions: 50 });
    await until(store, 'a', 30);
    eventOf(await store.commit(commitOf({ changes: [deletion('a', 30)] })));
    await until(store, 'a', 60);
    eventOf(await store.commit(commitOf({ changes: [deletion('a', 60)] })));
    await until(store, 'a', 110);
    const kept = await store.history(clusterId('a'), { limit: 1000 });
    expect(kept.at(-1)).toMatchObject({ revision: 50 });
    expect(await store.revision(clusterId('a'), 61)).toMatchObject({ deleted: true });
    expect(rebuilt(await store.revision(clusterId('a'), 60 + 2))?.device).toBe('eth62');
  });

  test('events are whole as long as they are kept, also where history is gone', async () => {
    const store = open({ keepRevisions: 1, keepEvents: 250 });
    await until(store, 'a', 200);
    expect(replayed(await store.events(0, 1000)).get('a')?.device).toBe('eth200');
    expect(await store.revision(clusterId('a'), 199)).toBeUndefined();
    await until(store, 'a', 400);
    const events = await store.events(0, 1000);
    expect(events).toHaveLength(250);
    expect(events.every((event) => event.changes.length === 1)).toBe(true);
  });

  test('what is gone takes no space: rows go with the events that needed them, copies before', async () => {
    expect(await size({ keepRevisions: 10, keepEvents: 100 })).toEqual({ rows: 101, copies: 2 });
    rmSync(path);
    expect(await size({ keepRevisions: 10 })).toEqual({ rows: 401, copies: 3 });
  });

  /** What 401 revisions leave in the file; the last pruning was at 400. */
  async function size(options: SqliteOptions): Promise<{ rows: number; copies: number }> {
    const store = open(options);
    await until(store, 'a', 401);
    await store.close();
    const database = new Database(path);
    const row = database.prepare('SELECT count(*) AS rows, count(document) AS copies FROM history').get([]);
    database.close();
    const { rows, copies } = row as { rows: number; copies: number };
    return { rows, copies };
  }

  test('documents that are left alone keep their history while others change', async () => {
    const store = open({ keepRevisions: 10, keepEvents: 10 });
    await until(store, 'quiet', 20);
    await until(store, 'busy', 300);
    expect(await store.history(clusterId('quiet'), { limit: 100 })).toHaveLength(20);
    expect(rebuilt(await store.revision(clusterId('quiet'), 7))?.device).toBe('eth7');
    expect((await store.load()).position).toBe(320);
  });
});
