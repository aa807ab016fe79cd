/** Export and import over every pair of stores: what goes out comes in as it was. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { readExported } from '../domain/edge/exported.ts';
import type { ExportedCluster, ExportedRevision } from '../domain/edge/exported.ts';
import type { Cluster } from '../domain/edge/model.ts';
import type { Call } from '../domain/edge/operations.ts';
import { WeirError } from '../domain/errors.ts';
import { clusterArbitrary, ipvsClusterArbitrary } from '../domain/testing/clusters.ts';
import { exportedClusters } from './export.ts';
import type { ExportOptions } from './export.ts';
import { COPY_EVERY } from './port.ts';
import type { Store } from './port.ts';
import { openRedisStore } from './redis/redis-store.ts';
import { hasRedis, startRedis } from './redis/testing.ts';
import type { RedisServer } from './redis/testing.ts';
import { openSqliteStore } from './sqlite/sqlite-store.ts';
import { openState } from './state.ts';
import type { State } from './state.ts';
import { cluster as small, lb, vip } from './testing.ts';

interface Weir {
  store: Store;
  state: State;
  close(): Promise<void>;
}

let folder: string;
let redis: RedisServer | undefined;
let opened = 0;
const open: Weir[] = [];

beforeAll(async () => {
  if (hasRedis) redis = await startRedis();
});
afterAll(() => redis?.close());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'weir-transfer-'));
});
afterEach(async () => {
  for (const weir of open.splice(0)) await weir.close();
  rmSync(folder, { recursive: true, force: true });
});

type Kind = 'sqlite' | 'redis';
const kinds: Kind[] = hasRedis ? ['sqlite', 'redis'] : ['sqlite'];
const pairs = kinds.flatMap((from) => kinds.map((to): [Kind, Kind] => [from, to]));

/** A Weir on an empty store of its own. */
async function weir(kind: Kind, keepRevisions = 1000): Promise<Weir> {
  const number = ++opened;
  const path = join(folder, `${number}.db`);
  // A database of Redis each; they come round again after all of them.
  const url = `redis://127.0.0.1:${redis?.port}/${number % 16}`;
  if (kind === 'redis') await redis?.client.select(number % 16).then(() => redis?.client.flushdb());
  const store =
    kind === 'sqlite' ? openSqliteStore(path, { keepRevisions }) : await openRedisStore(url, { keepRevisions });
  let time = Date.parse('2024-05-01T08:00:00Z');
  let ids = 0;
  const state = await openState(store, {
    now: () => new Date((time += 1000)),
    randomId: () => `w${number}x${++ids}`,
    onError(message, thrown) {
      throw new Error(message, { cause: thrown });
    },
  });
  const made = {
    store,
    state,
    async close() {
      state.close();
      await store.close();
    },
  };
  open.push(made);
  return made;
}

function change({ state }: Weir, cluster: string, ...calls: Call[]): Promise<unknown> {
  return state.change({ cluster, calls, by: 'tester', message: `for ${calls[0]?.op ?? ''}` });
}

function replace(at: Weir, document: Cluster): Promise<unknown> {
  return change(at, document.name, { op: 'cluster.replace', input: { cluster: document } });
}

const all: ExportOptions = { history: true, secrets: true };

async function exportOf({ store, state }: Weir, options: ExportOptions = all): Promise<ExportedCluster[]> {
  let text = '';
  for await (const piece of exportedClusters({ store, state }, options)) text += piece;
  return JSON.parse(`[${text}]`) as ExportedCluster[];
}

/** As the API reads it, and another object than what was given. */
function read(exported: unknown): ExportedCluster {
  const found = readExported(structuredClone(exported));
  if (!found.ok) throw new Error(JSON.stringify(found.problems));
  return found.value;
}

function takeIn({ state }: Weir, exported: unknown, dryRun = false) {
  return state.takeIn({ exported: read(exported), by: 'importer', dryRun });
}

async function refusal(work: Promise<unknown>): Promise<{ code: string; problems: string[] }> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(thrown instanceof WeirError)) throw new Error('it was not refused', { cause: thrown });
  for (const { hint } of thrown.problems) expect(hint).toMatch(/\S/);
  return { code: thrown.code, problems: thrown.problems.map((p) => `${p.path} ${p.code}`) };
}

/** A Weir with what a life leaves: quarantine, addresses, keys, a long history, deletions. */
async function lived(kind: Kind, keepRevisions?: number): Promise<Weir> {
  const at = await weir(kind, keepRevisions);
  const ospf = { key: 'first' };
  await replace(at, small('a', { ospf, lbinfos: [lb('lb1.room1')] }));
  await replace(at, small('a', { ospf: { key: 'second' }, lbinfos: [lb('lb2.room1')] }));
  for (let n = 1; n <= COPY_EVERY + 20; n++) await change(at, 'a', setDevice(`eth${n}`));
  await at.state.setAddresses('a', { 'ws1.room1': { address: '10.9.0.1', source: 'dns', missing: true } });
  const other = {
    vip2ws: [vip('10.1.0.9', { domains: ['www.example.com'], owner: '运维' })],
    lbinfos: [{ ...lb('lb9'), routerid: '10.0.0.9', internalip: '10.0.0.9' }],
  };
  await replace(at, small('b', other));
  await change(at, 'b', { op: 'cluster.delete', input: {} });
  await replace(at, small('b', other));
  await replace(at, small('gone', { ...other, vip2ws: [], lbinfos: [] }));
  await change(at, 'gone', { op: 'cluster.delete', input: {} });
  return at;
}

function setDevice(device: string): Call {
  return { op: 'cluster.set', input: { set: { device } } };
}

describe.each(pairs)('an export from %s into %s', (from, to) => {
  test('is equal after the round trip: documents, LIPs, quarantine, addresses, secrets, history', async () => {
    const source = await lived(from);
    const target = await weir(to);
    const exported = await exportOf(source);
    expect(exported.map((c) => [c.name, c.revision, c.document === null, c.history?.length])).toEqual([
      ['a', COPY_EVERY + 22, false, COPY_EVERY + 22],
      ['b', 3, false, 3],
      ['gone', 2, true, 2],
    ]);
    expect(Object.keys(exported[0]?.lips.quarantine ?? {})).toHaveLength(8);
    expect(Object.values(exported[0]?.secrets ?? {})).toEqual(expect.arrayContaining(['first', 'second']));
    for (const one of exported)
      expect(await takeIn(target, one)).toEqual({
        outcome: 'imported',
        revision: one.revision,
        warnings: expect.any(Array),
      });
    expect(await exportOf(target)).toEqual(exported);
    // What the present follows is what is loaded anew.
    const again = await openState(target.store, {
      now: () => new Date(),
      randomId: () => 'x',
      onError: () => undefined,
    });
    expect(await exportOf({ ...target, state: again })).toEqual(exported);
    again.close();
    expect((await target.store.load()).claims.map((c) => c.key).toSorted()).toEqual(
      (await source.store.load()).claims.map((c) => c.key).toSorted(),
    );
  });

  test('changes nothing when it is repeated, and goes on from there', async () => {
    const source = await lived(from);
    const target = await weir(to);
    const exported = await exportOf(source);
    for (const one of exported) await takeIn(target, one);
    const before = await exportOf(target);
    const { position } = await target.store.load();
    for (const one of exported) expect(await takeIn(target, one)).toMatchObject({ outcome: 'unchanged' });
    expect(await exportOf(target)).toEqual(before);
    expect((await target.store.load()).position).toBe(position);
    await change(target, 'a', setDevice('bond0'));
    expect(target.state.get('a')).toMatchObject({ revision: COPY_EVERY + 23, cluster: { device: 'bond0' } });
    expect((await target.state.documentAt('a', COPY_EVERY)).device).toBe(`eth${COPY_EVERY - 2}`);
    const rollback = await target.state.documentAt('a', 1);
    await replace(target, { ...rollback, lbinfos: target.state.get('a')?.cluster.lbinfos ?? [] });
    expect(target.state.secret(target.state.get('a')?.cluster.ospf?.key?.slice('secret:'.length) ?? '')).toBe('first');
  });

  test('without history has the numbers of the source, and says that it was imported', async () => {
    const source = await lived(from);
    const target = await weir(to);
    const options = { history: false, secrets: true };
    const exported = await exportOf(source, options);
    for (const one of exported) await takeIn(target, one);
    expect(await exportOf(target, options)).toEqual(exported);
    const history = await target.store.history({ kind: 'cluster', name: 'a' }, { limit: 9 });
    expect(history).toMatchObject([
      { revision: COPY_EVERY + 22, by: 'importer', message: expect.stringMatching(/imported/) },
    ]);
    expect((await exportOf(target)).map((c) => c.history?.length)).toEqual([1, 1]);
  });

  test('of a history whose beginning was forgotten begins where that does', async () => {
    const source = await weir(from, 50);
    await replace(source, small('a'));
    for (let n = 0; n < 250; n++) await change(source, 'a', setDevice(`eth${n}`));
    const [one] = await exportOf(source);
    expect(one?.history?.[0]).toMatchObject({ revision: 150, document: { name: 'a' } });
    const target = await weir(to);
    await takeIn(target, one);
    expect(await exportOf(target)).toEqual([one]);
  });

  test('whatever the clusters and their changes were, comes in as it was', async () => {
    const life = fc.record({
      documents: fc.array(fc.option(fc.oneof(clusterArbitrary, ipvsClusterArbitrary)), { minLength: 1, maxLength: 6 }),
      parts: fc.integer({ min: 1, max: 4 }),
    });
    const property = fc.asyncProperty(life, async ({ documents, parts }) => {
      const source = await weir(from);
      for (const document of documents) {
        if (document) await replace(source, document).catch(passRefusals);
        else await change(source, 'c1', { op: 'cluster.delete', input: {} }).catch(passRefusals);
      }
      const target = await weir(to);
      const exported = await exportOf(source);
      for (const one of exported) for (const part of partsOf(one, parts)) await takeIn(target, part);
      expect(await exportOf(target)).toEqual(exported);
      for (const one of exported) expect((await takeIn(target, one)).outcome).toBe('unchanged');
      for (const used of open.splice(0)) await used.close();
    });
    await fc.assert(property, { numRuns: 15, interruptAfterTimeLimit: 15_000 });
  });
});

/** A change that the model refuses leaves the cluster as it is. */
function passRefusals(thrown: unknown): void {
  if (!(thrown instanceof WeirError)) throw thrown;
}

/** As a client sends a long history. */
function partsOf(one: ExportedCluster, size: number): ExportedCluster[] {
  const history = one.history ?? [];
  const parts: ExportedCluster[] = [];
  for (let from = 0; from < history.length; from += size) {
    parts.push({ ...one, history: history.slice(from, from + size) });
  }
  return parts;
}

describe.each(kinds)('an import into %s', (kind) => {
  test('that is interrupted leaves nothing under the name, and goes on when it is repeated', async () => {
    const source = await lived('sqlite');
    const target = await weir(kind);
    const [one] = await exportOf(source);
    if (!one) throw new Error('nothing exported');
    const parts = partsOf(one, 20);
    for (const part of parts.slice(0, 2)) expect(await takeIn(target, part)).toMatchObject({ outcome: 'continues' });
    expect(target.state.get('a')).toBeUndefined();
    expect(target.state.deleted()).toEqual([{ name: 'a', revision: 40 }]);
    expect((await target.store.load()).claims).toEqual([]);
    for (const part of parts.slice(0, 2))
      expect(await takeIn(target, part)).toMatchObject({ outcome: 'continues', revision: 40 });
    // Whole, as another client would send it.
    expect(await takeIn(target, one)).toMatchObject({ outcome: 'imported', revision: one.revision });
    expect((await exportOf(target))[0]).toEqual(one);
  });

  test('that is interrupted goes on with a newer export too', async () => {
    const source = await lived('sqlite');
    const target = await weir(kind);
    const [old] = await exportOf(source);
    if (!old) throw new Error('nothing exported');
    for (const part of partsOf(old, 20).slice(0, 2)) await takeIn(target, part);
    await change(source, 'a', setDevice('newer'));
    const [one] = await exportOf(source);
    expect(await takeIn(target, one)).toMatchObject({ outcome: 'imported', revision: COPY_EVERY + 23 });
    expect((await exportOf(target))[0]).toEqual(one);
  });

  test('under a name that was used before goes on behind its revisions, also when it is interrupted', async () => {
    const source = await weir('sqlite');
    for (const device of ['eth1', 'eth2', 'eth3']) await replace(source, small('a', { device }));
    const [one] = await exportOf(source);
    if (!one) throw new Error('nothing exported');
    const target = await weir(kind);
    await replace(target, small('a', { device: 'old' }));
    await change(target, 'a', { op: 'cluster.delete', input: {} });
    const [first, ...rest] = partsOf(one, 1);
    await takeIn(target, first);
    for (const part of [first, ...rest]) await takeIn(target, part);
    const [there] = await exportOf(target);
    const renumbered = one.history?.map((entry) => ({ ...entry, revision: entry.revision + 2 })) ?? [];
    expect(there).toMatchObject({ revision: 5, document: one.document, lips: one.lips });
    expect(there?.history?.slice(2)).toEqual(renumbered);
    // Deleted, and imported once more.
    await change(target, 'a', { op: 'cluster.delete', input: {} });
    expect(await takeIn(target, one)).toMatchObject({ outcome: 'imported', revision: 9 });
  });

  test('in a dry run changes nothing, and says what it would', async () => {
    const source = await lived('sqlite');
    const target = await weir(kind);
    const [one] = await exportOf(source);
    expect(await takeIn(target, one, true)).toMatchObject({ outcome: 'imported', revision: one?.revision });
    expect(await exportOf(target)).toEqual([]);
    expect(await target.store.records('secret')).toEqual([]);
    expect((await target.store.load()).position).toBe(0);
  });

  test('does not overwrite what differs, in its document, key or LIPs', async () => {
    const source = await lived('sqlite');
    const [one] = await exportOf(source);
    if (!one?.document) throw new Error('nothing exported');
    const target = await weir(kind);
    await takeIn(target, one);
    const name = one.document.ospf?.key?.slice('secret:'.length) ?? '';
    const others: unknown[] = [
      { ...one, document: { ...one.document, device: 'other' } },
      { ...one, document: { ...one.document, ospf: { key: 'secret:fresh' } }, secrets: { fresh: 'other' } },
      { ...one, lips: { ...one.lips, quarantine: {} } },
      { ...one, document: null },
    ];
    const before = await exportOf(target);
    for (const other of others) {
      expect(await refusal(takeIn(target, other))).toEqual({ code: 'exists', problems: ['document cluster_differs'] });
    }
    expect(await exportOf(target)).toEqual(before);
    // The same key under another name is the same.
    const renamed = {
      ...one,
      document: { ...one.document, ospf: { key: 'secret:fresh' } },
      secrets: { fresh: one.secrets?.[name] },
    };
    expect(await takeIn(target, renamed)).toMatchObject({ outcome: 'unchanged' });
  });

  test('needs the secret of the document, in the file or here', async () => {
    const source = await lived('sqlite');
    const [one] = await exportOf(source, { history: true, secrets: false });
    if (!one) throw new Error('nothing exported');
    expect(JSON.stringify(one)).not.toContain('second');
    const target = await weir(kind);
    const missing = { code: 'invalid', problems: ['document.ospf.key unknown_secret'] };
    expect(await refusal(takeIn(target, one))).toEqual(missing);
    expect(await target.store.history({ kind: 'cluster', name: 'a' }, { limit: 1 })).toEqual([]);
    const name = one.document?.ospf?.key?.slice('secret:'.length) ?? '';
    await target.store.putRecord({ kind: 'secret', key: name, value: 'second' });
    expect(await takeIn(target, one)).toMatchObject({
      outcome: 'imported',
      warnings: expect.arrayContaining([expect.objectContaining({ code: 'unknown_secret', path: 'history' })]),
    });
    expect(await exportOf(target, { history: true, secrets: false })).toEqual([one]);
    expect(await refusal(takeIn(await weir(kind), { ...one, secrets: { [name]: 'secret:x' } }))).toMatchObject({
      problems: [expect.stringMatching(/^secrets.* secret_misplaced$/)],
    });
    const fresh = await weir(kind);
    await fresh.store.putRecord({ kind: 'secret', key: name, value: 'another' });
    expect(await refusal(takeIn(fresh, { ...one, secrets: { [name]: 'second' } }))).toMatchObject({
      problems: [expect.stringMatching(/^secrets.* secret_differs$/)],
    });
  });

  test('takes no key that stands where everybody reads', async () => {
    const source = await lived('sqlite');
    const [one] = await exportOf(source);
    if (!one?.document || !one.history) throw new Error('nothing exported');
    const [first, ...rest] = one.history;
    const call: Call = { op: 'cluster.set', input: { set: { ospf: { key: 'plain' } } } };
    const target = await weir(kind);
    for (const edited of [
      { ...one, document: { ...one.document, ospf: { key: 'plain' } } },
      { ...one, history: [{ ...first, operations: [call] }, ...rest] },
    ]) {
      const { problems } = await refusal(takeIn(target, edited));
      expect(problems).toEqual([expect.stringMatching(/ospf\.key secret_misplaced$/)]);
    }
  });

  /** In the middle of a change of keys, with history. */
  async function rotating(): Promise<ExportedCluster> {
    const source = await weir('sqlite');
    const ospf = { key: 'New', keyid: 9, oldkey: 'Old', oldkeyid: 8 };
    await replace(source, small('a', { ospf: { key: 'Old' } }));
    await replace(source, small('a', { ospf }));
    await replace(source, small('a', { ospf, device: 'eth9' }));
    const [bare] = await exportOf(source, { history: false, secrets: true });
    expect(Object.values(bare?.secrets ?? {}).sort()).toEqual(['New', 'Old']);
    const [one] = await exportOf(source);
    if (!one?.document) throw new Error('nothing exported');
    return one;
  }

  test('of two keys takes both along, and compares both', async () => {
    const one = await rotating();
    const { key = '', oldkey = '' } = one.document?.ospf ?? {};
    expect(JSON.stringify({ ...one, secrets: undefined })).not.toMatch(/"(?:New|Old)"/);
    expect(one.secrets).toEqual({ [key.slice(7)]: 'New', [oldkey.slice(7)]: 'Old' });
    const target = await weir(kind);
    expect(await takeIn(target, one)).toMatchObject({ outcome: 'imported' });
    expect(await exportOf(target)).toEqual([one]);
    expect(await takeIn(target, one)).toMatchObject({ outcome: 'unchanged' });
    const exists = { code: 'exists', problems: ['document cluster_differs'] };
    const document = { ...one.document, ospf: { ...one.document?.ospf, oldkey: 'secret:fresh' } };
    const secrets = { ...one.secrets, fresh: 'Another' };
    expect(await refusal(takeIn(target, { ...one, document, secrets }))).toEqual(exists);
    const renamed = { ...one, document, secrets: { ...one.secrets, fresh: 'Old' } };
    expect(await takeIn(target, renamed)).toMatchObject({ outcome: 'unchanged' });
  });

  test('of two keys needs both, and takes neither where everybody reads', async () => {
    const one = await rotating();
    const [key, oldkey] = [one.document?.ospf?.key?.slice(7) ?? '', one.document?.ospf?.oldkey?.slice(7) ?? ''];
    const target = await weir(kind);
    const only = (name: string) => ({ ...one, secrets: { [name]: one.secrets?.[name] } });
    const missing = (field: string) => ({ code: 'invalid', problems: [`document.ospf.${field} unknown_secret`] });
    expect(await refusal(takeIn(target, only(key)))).toEqual(missing('oldkey'));
    expect(await refusal(takeIn(target, only(oldkey)))).toEqual(missing('key'));
    const plain = { ...one, document: { ...one.document, ospf: { ...one.document?.ospf, oldkey: 'plain' } } };
    expect((await refusal(takeIn(target, plain))).problems).toEqual(['document.ospf.oldkey secret_misplaced']);
    const call: Call = { op: 'cluster.set', input: { set: { ospf: { oldkey: 'plain' } } } };
    const [first, ...rest] = one.history ?? [];
    const inCall = { ...one, history: [{ ...first, operations: [call] }, ...rest] };
    expect((await refusal(takeIn(target, inCall))).problems).toEqual([
      'history[0].operations[0].input.set.ospf.oldkey secret_misplaced',
    ]);
    expect(target.state.revisionOf('a')).toBe(0);
  });

  test('is refused where another cluster holds something, and leaves nothing', async () => {
    const source = await lived('sqlite');
    const [one] = await exportOf(source);
    if (!one) throw new Error('nothing exported');
    const lips = Object.values(one.lips.lbs).flat();
    const target = await weir(kind);
    const holder: Cluster = small('holder', {
      vip2ws: [vip('10.1.0.1')],
      lbinfos: [{ ...lb('other'), routerid: '10.0.0.77', internalip: '10.0.0.77', lips: [lips[0] ?? ''] }],
    });
    await replace(target, holder);
    const { code, problems } = await refusal(takeIn(target, one));
    expect(code).toBe('claimed');
    expect(problems.toSorted()).toEqual(['document address_claimed', 'document.vip2ws[0].vip vip_claimed']);
    expect(target.state.revisionOf('a')).toBe(0);
  });

  test('of a VIP that moves needs both clusters, in any order; with one alone nobody else gets it', async () => {
    const source = await weir('sqlite');
    const at = (n: number) => ({ lbinfos: [{ ...lb(`lb${n}`), routerid: `10.0.0.${n}`, internalip: `10.0.0.${n}` }] });
    await replace(source, small('a', at(1)));
    for (const [i, name] of ['b', 'c', 'd'].entries()) await replace(source, small(name, { ...at(i + 2), vip2ws: [] }));
    const still = (await exportOf(source))[0];
    await source.state.move({ vip: '10.1.0.1', from: 'a', to: 'b', step: 'begin', by: 'mover' });
    const [a, b, c, d] = await exportOf(source);
    const target = await weir(kind);
    for (const one of [b, c]) await takeIn(target, one);
    const added = change(target, 'c', { op: 'vip.add', input: { vips: [vip('10.1.0.1')] } });
    expect(await refusal(added)).toEqual({ code: 'claimed', problems: ['vip2ws[0].vip vip_claimed'] });
    expect(await refusal(takeIn(target, still))).toEqual({
      code: 'claimed',
      problems: ['document.vip2ws[0].vip vip_claimed'],
    });
    await takeIn(target, a);
    await takeIn(target, d);
    await target.state.move({ vip: '10.1.0.1', from: 'a', to: 'b', step: 'withdraw', by: 'mover' });
    await target.state.move({ vip: '10.1.0.1', from: 'a', to: 'b', step: 'end', by: 'mover' });
    expect(target.state.get('b')?.cluster.vip2ws).toEqual([vip('10.1.0.1')]);

    const other = await weir(kind);
    await takeIn(other, still);
    expect(await refusal(takeIn(other, b))).toEqual({
      code: 'claimed',
      problems: ['document.vip2ws[0].moving vip_not_moving'],
    });
    await change(other, 'a', { op: 'cluster.delete', input: {} });
    await takeIn(other, c);
    await change(other, 'c', { op: 'vip.add', input: { vips: [vip('10.1.0.1')] } });
    const { problems } = await refusal(takeIn(other, b));
    expect(problems).toEqual(['document.vip2ws[0].vip vip_claimed']);
  });

  test('keeps the LIPs of the file, and refuses those that do not fit its document', async () => {
    const source = await weir('sqlite');
    // Planned around what another cluster had there.
    await replace(
      source,
      small('first', { vip2ws: [], lbinfos: [{ ...lb('lbx'), internalip: '10.0.0.250', routerid: '1.1.1.1' }] }),
    );
    await replace(source, small('a'));
    const one = (await exportOf(source)).find((c) => c.name === 'a');
    if (!one) throw new Error('nothing exported');
    const target = await weir(kind);
    const [lips = []] = Object.values(one.lips.lbs);
    for (const lbs of [{}, { 'lb1.room1': lips.slice(1) }, { 'lb1.room1': lips, 'lb2.room1': ['10.7.7.7'] }]) {
      const { problems } = await refusal(takeIn(target, { ...one, lips: { ...one.lips, lbs } }));
      expect(problems).toEqual(['lips lips_mismatch']);
    }
    await takeIn(target, one);
    expect(target.state.get('a')?.lips).toEqual(one.lips);
  });

  test('brings back a past that would cross what others hold now', async () => {
    const source = await weir('sqlite');
    await replace(source, small('a', { vip2ws: [vip('10.1.0.1')] }));
    await replace(source, small('a', { vip2ws: [vip('10.1.0.2')] }));
    const b = { lbinfos: [{ ...lb('lb9'), routerid: '10.0.0.9', internalip: '10.0.0.9' }] };
    await replace(source, small('b', { ...b, vip2ws: [vip('10.1.0.1')] }));
    const exported = await exportOf(source);
    const target = await weir(kind);
    for (const one of exported.toReversed()) expect((await takeIn(target, one)).outcome).toBe('imported');
    expect(await exportOf(target)).toEqual(exported);
    await change(target, 'b', { op: 'vip.set', input: { vip: '10.1.0.1', set: { owner: 'b' } } });
  });

  test.each<[what: string, edit: (history: ExportedRevision[]) => unknown[], problem: string]>([
    ['a gap', ([first, , ...rest]) => [first, ...rest], 'history[1].revision bad_history'],
    ['a patch on nothing', ([, ...rest]) => rest, 'history[0].patch bad_history'],
    [
      'another end',
      (history) => history.with(history.length - 1, { ...last(history), patch: {} }),
      'history[71] bad_history',
    ],
    [
      'a patch that makes no document',
      (history) =>
        history.with(3, {
          ...entryAt(history, 3),
          patch: { head: { ...small('b'), lbinfos: undefined, vip2ws: undefined } as never },
        }),
      'history[3].patch bad_history',
    ],
  ])('of a history with %s is refused, and leaves nothing', async (_what, edit, problem) => {
    const [one] = await exportOf(await lived('sqlite'));
    const target = await weir(kind);
    const edited = JSON.parse(JSON.stringify({ ...one, history: edit([...(one?.history ?? [])]) })) as unknown;
    expect((await refusal(takeIn(target, edited))).problems).toEqual([problem]);
    expect(target.state.revisionOf('a')).toBe(0);
  });
});

function last(history: readonly ExportedRevision[]): ExportedRevision {
  return entryAt(history, history.length - 1);
}

function entryAt(history: readonly ExportedRevision[], index: number): ExportedRevision {
  const entry = history[index];
  if (!entry) throw new Error(`no revision at ${index}`);
  return entry;
}
