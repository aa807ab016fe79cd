/**
 * A process of its own for the tests: `node --import tsx test-child.mjs hold|write|fill PATH`.
 * Prints one line of JSON for each thing done.
 */
import { writeSync } from 'node:fs';
import { change, cluster, commitOf } from '../testing.ts';
import { openSqliteStore } from './sqlite-store.ts';

const [, , task, path] = process.argv;

try {
  const store = openSqliteStore(path);
  say({ open: process.pid });
  if (task === 'hold') process.stdin.resume().on('end', () => void store.close());
  if (task === 'write') await write(store, '');
  if (task === 'fill') await write(store, 'x'.repeat(20_000));
} catch (thrown) {
  say({ code: thrown.code, message: thrown.message, hint: thrown.hint });
}

/** Commits revisions of cluster `a` without end, and one record with each; says each after it was acknowledged. */
async function write(store, padding) {
  let revision = (await store.load()).documents[0]?.revision ?? 0;
  for (;;) {
    const from = revision === 0 ? undefined : at(revision, padding);
    const changes = [change(from, at(revision + 1, padding), revision)];
    const records = [{ kind: 'lips', key: 'a', value: revision + 1 }];
    const result = await store.commit(commitOf({ changes, records }));
    if (!result.ok) throw new Error(JSON.stringify(result.conflict));
    revision++;
    say({ revision });
  }
}

function at(revision, padding) {
  return cluster('a', { device: `eth${revision}${padding}` });
}

function say(line) {
  writeSync(1, `${JSON.stringify(line)}\n`);
}
