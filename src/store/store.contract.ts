/**
 * What every store must do, as a suite that each implementation runs against itself.
 * Where the port leaves something open (e.g. which of two conflicts is reported), the suite does too.
 */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WeirError } from '../domain/errors.ts';
import type { Cluster } from '../domain/edge/model.ts';
import { digestOf } from '../domain/edge/patch.ts';
import { COPY_EVERY } from './port.ts';
import type { Lease, Store, StoreEvent } from './port.ts';
import {
  AT,
  change,
  claim,
  cluster,
  clusterId,
  commitOf,
  conflictOf,
  deletion,
  eventOf,
  lb,
  rebuilt,
  replayed,
  vip,
} from './testing.ts';

export interface Opened {
  readonly store: Store;
  /** Closes the store and answers one that has the same state; one without a file may answer itself. */
  readonly reopen: () => Promise<Store>;
  readonly cleanup: () => Promise<void>;
}

type Given = () => Opened;

export function storeContract(name: string, open: () => Promise<Opened>): void {
  describe(`${name} keeps the contract of stores`, () => {
    let opened: Opened;
    beforeEach(async () => {
      opened = await open();
    });
    afterEach(() => opened.cleanup());

    const given: Given = () => opened;
    describe('documents', () => documentSuite(given));
    describe('history', () => historySuite(given));
    describe('claims', () => claimSuite(given));
    describe('records', () => recordSuite(given));
    describe('events', () => eventSuite(given));
    describe('leases', () => leaseSuite(given));
    describe('a life', () => lifeSuite(given));
  });
}

/** Creates a document and changes it until it has `revisions`; answers every state, index 0 being revision 1. */
async function grow(store: Store, name: string, revisions: number): Promise<Cluster[]> {
  const states = [cluster(name)];
  eventOf(await store.commit(commitOf({ changes: [change(undefined, cluster(name), 0)] })));
  while (states.length < revisions) {
    const last = states.at(-1) ?? cluster(name);
    const next = { ...last, device: `eth${states.length}` };
    eventOf(await store.commit(commitOf({ changes: [change(last, next, states.length)] })));
    states.push(next);
  }
  return states;
}

async function create(store: Store, ...names: string[]): Promise<StoreEvent> {
  return eventOf(await store.commit(commitOf({ changes: names.map((name) => change(undefined, cluster(name), 0)) })));
}

/** Everything a reader can see, to tell whether a refused commit left something behind. */
async function everything(store: Store): Promise<unknown> {
  return { ...(await store.load()), events: await store.events(0, 1000), records: await store.records('lips') };
}

function documentSuite(given: Given): void {
  test('an empty store has no documents, no claims, and position 0 or later', async () => {
    const loaded = await given().store.load();
    expect(loaded).toMatchObject({ documents: [], claims: [] });
    expect(loaded.position).toBeGreaterThanOrEqual(0);
  });

  test('a commit answers its event: who, when, and each change with revision, digest, calls', async () => {
    const created = change(undefined, cluster('a'), 0);
    const event = eventOf(await given().store.commit(commitOf({ changes: [created], by: 'zhang', message: 'first' })));
    expect(event).toEqual({
      id: expect.any(Number),
      at: AT,
      by: 'zhang',
      records: [],
      changes: [
        {
          kind: 'cluster',
          name: 'a',
          revision: 1,
          digest: created.digest,
          calls: created.calls,
          deleted: false,
          patch: null,
          document: cluster('a'),
        },
      ],
    });
  });

  test('revisions of each document count 1, 2, 3 without gaps, also over refused commits', async () => {
    const { store } = given();
    await grow(store, 'a', 3);
    await create(store, 'b');
    expect((await store.commit(commitOf({ changes: [change(undefined, cluster('a'), 0)] }))).ok).toBe(false);
    const event = eventOf(await store.commit(commitOf({ changes: [deletion('a', 3), deletion('b', 1)] })));
    expect(event.changes.map((c) => [c.name, c.revision])).toEqual([
      ['a', 4],
      ['b', 2],
    ]);
    expect((await store.history(clusterId('a'), { limit: 10 })).map((h) => h.revision)).toEqual([4, 3, 2, 1]);
  });

  test('a commit made from another revision than the newest is refused with the newest', async () => {
    const { store } = given();
    await grow(store, 'a', 2);
    for (const expected of [0, 1, 3]) {
      const result = await store.commit(commitOf({ changes: [change(cluster('a'), cluster('a'), expected)] }));
      expect(conflictOf(result)).toEqual({ type: 'revision', id: clusterId('a'), current: 2 });
    }
    const unknown = await store.commit(commitOf({ changes: [change(undefined, cluster('new'), 1)] }));
    expect(conflictOf(unknown)).toEqual({ type: 'revision', id: clusterId('new'), current: 0 });
  });

  test('a commit made from another document of the same revision is refused', async () => {
    const { store } = given();
    const [first, second] = await grow(store, 'a', 2);
    if (!first || !second) throw new Error('nothing grew');
    const next = cluster('a', { device: 'bond0' });
    const stale = { ...change(second, next, 2), was: digestOf(first) };
    expect(conflictOf(await store.commit(commitOf({ changes: [stale] })))).toMatchObject({
      type: 'revision',
      current: 2,
    });
    eventOf(await store.commit(commitOf({ changes: [{ ...stale, was: digestOf(second) }] })));
    expect(rebuilt((await store.load()).documents[0])).toEqual(next);
  });

  test('of commits that race for one revision, exactly one is accepted', async () => {
    const { store } = given();
    const from = cluster('a');
    await create(store, 'a');
    const racers = Array.from({ length: 10 }, (_, i) => ({ ...from, device: `eth${i}` }));
    const results = await Promise.all(racers.map((to) => store.commit(commitOf({ changes: [change(from, to, 1)] }))));
    expect(results.filter((r) => r.ok)).toHaveLength(1);
    const winner = racers[results.findIndex((r) => r.ok)];
    expect(rebuilt((await store.load()).documents[0])).toEqual(winner);
  });

  test('a refused commit leaves nothing: no document, claim, record, history or event', async () => {
    const { store } = given();
    eventOf(
      await store.commit(
        commitOf({ changes: [change(undefined, cluster('a'), 0)], claims: { add: [claim('ip:10.1.0.1', 'a')] } }),
      ),
    );
    eventOf(await store.commit(commitOf({ records: [{ kind: 'lips', key: 'a', value: 1 }] })));
    const before = await everything(store);
    const good = {
      changes: [change(undefined, cluster('b'), 0)],
      claims: { remove: [{ key: 'ip:10.1.0.1', cluster: 'a' }], add: [claim('ip:10.1.0.2', 'b')] },
      records: [{ kind: 'lips', key: 'b', value: 1 }],
    };
    const bad = [
      { ...good, changes: [...good.changes, change(undefined, cluster('a'), 0)] },
      { ...good, claims: { add: [...good.claims.add, claim('ip:10.1.0.1', 'b')] } },
      { ...good, records: [...good.records, { kind: 'lips', key: 'a', value: 2, expected: 7 }] },
    ];
    for (const parts of bad) expect((await store.commit(commitOf(parts))).ok).toBe(false);
    expect(await everything(store)).toEqual(before);
    expect(await store.history(clusterId('b'), { limit: 10 })).toEqual([]);
    eventOf(await store.commit(commitOf(good)));
  });

  test('several documents change in one commit and one event', async () => {
    const { store } = given();
    const event = await create(store, 'a', 'b', 'c');
    expect(event.changes.map((c) => [c.name, c.revision])).toEqual([
      ['a', 1],
      ['b', 1],
      ['c', 1],
    ]);
    expect((await store.load()).documents.map((d) => d.name).sort()).toEqual(['a', 'b', 'c']);
    expect((await store.load()).position).toBe(event.id);
  });

  test('a deleted document stays as a tombstone, and its revisions go on when it is made again', async () => {
    const { store } = given();
    await grow(store, 'a', 2);
    const gone = eventOf(await store.commit(commitOf({ changes: [deletion('a', 2)] })));
    expect(gone.changes[0]).toMatchObject({ revision: 3, deleted: true, patch: null, digest: '' });
    expect(gone.changes[0]).not.toHaveProperty('document');
    const tombstone = { ...clusterId('a'), revision: 3, deleted: true, patches: [], digest: '' };
    expect((await store.load()).documents).toEqual([tombstone]);
    const stale = await store.commit(commitOf({ changes: [change(undefined, cluster('a'), 0)] }));
    expect(conflictOf(stale)).toMatchObject({ type: 'revision', current: 3 });

    const again = cluster('a', { device: 'bond0' });
    const event = eventOf(await store.commit(commitOf({ changes: [change(undefined, again, 3)] })));
    expect(event.changes[0]).toMatchObject({ revision: 4, deleted: false, document: again });
    const [document] = (await store.load()).documents;
    expect(document).toMatchObject({ revision: 4, deleted: false, base: { revision: 4 }, patches: [] });
    expect(rebuilt(document)).toEqual(again);
  });

  test('loading answers the newest copy and only the patches after it', async () => {
    const { store } = given();
    const states = await grow(store, 'a', COPY_EVERY + 2);
    await create(store, 'b');
    const { documents } = await store.load();
    const a = documents.find((d) => d.name === 'a');
    expect(a?.base?.revision).toBe(COPY_EVERY);
    expect(a?.patches).toHaveLength(2);
    expect(a?.digest).toBe(digestOf(states.at(-1) ?? cluster('a')));
    expect(rebuilt(a)).toEqual(states.at(-1));
    expect(rebuilt(documents.find((d) => d.name === 'b'))).toEqual(cluster('b'));
  });

  test('a change without a patch replaces the document whole', async () => {
    const { store } = given();
    await grow(store, 'a', 2);
    const next = cluster('a', { device: 'bond1' });
    const event = eventOf(await store.commit(commitOf({ changes: [{ ...change(undefined, next, 2) }] })));
    expect(event.changes[0]).toMatchObject({ revision: 3, patch: null, document: next });
    const [document] = (await store.load()).documents;
    expect(document).toMatchObject({ base: { revision: 3 }, patches: [] });
  });

  test('text of every kind comes back as it was', async () => {
    const { store } = given();
    const text = `naïve 中文 \u{1f310} " \\ \n \u0000 \u2028 \ud800 '); DROP TABLE history; --`;
    const document = cluster('a', { vip2ws: [vip('10.1.0.1', { owner: text })] });
    const made = change(undefined, document, 0);
    const calls = [{ op: 'cluster.create', input: { text } }];
    const records = [{ kind: 'lips', key: "it's", value: { text } }];
    eventOf(await store.commit(commitOf({ changes: [{ ...made, calls }], records, by: '张', message: '加入 "VIP"' })));
    expect(rebuilt((await store.load()).documents[0])).toEqual(document);
    expect(await store.history(clusterId('a'), { limit: 1 })).toMatchObject([
      { by: '张', message: '加入 "VIP"', calls },
    ]);
    expect((await store.record({ kind: 'lips', key: "it's" }))?.value).toEqual({ text });
  });
}

function historySuite(given: Given): void {
  test('history is newest first, and has who, when, message, calls and digest of each revision', async () => {
    const { store } = given();
    const first = change(undefined, cluster('a'), 0);
    eventOf(await store.commit(commitOf({ changes: [first], by: 'zhang', message: 'first' })));
    eventOf(await store.commit(commitOf({ changes: [deletion('a', 1)], at: '2024-05-02T00:00:00.000Z' })));
    expect(await store.history(clusterId('a'), { limit: 10 })).toEqual([
      {
        ...clusterId('a'),
        revision: 2,
        at: '2024-05-02T00:00:00.000Z',
        by: 'tester',
        calls: [{ op: 'cluster.delete', input: {} }],
        digest: '',
        deleted: true,
      },
      {
        ...clusterId('a'),
        revision: 1,
        at: AT,
        by: 'zhang',
        message: 'first',
        calls: first.calls,
        digest: first.digest,
        deleted: false,
      },
    ]);
  });

  test('history is read page by page, of one document only', async () => {
    const { store } = given();
    await grow(store, 'a', 7);
    await grow(store, 'b', 3);
    const page = async (before?: number) => {
      const entries = await store.history(clusterId('a'), { limit: 3, ...(before === undefined ? {} : { before }) });
      return entries.map((entry) => entry.revision);
    };
    expect([await page(), await page(5), await page(2), await page(1)]).toEqual([[7, 6, 5], [4, 3, 2], [1], []]);
    expect(await store.history(clusterId('nobody'), { limit: 3 })).toEqual([]);
  });

  test('a revision that never was is undefined', async () => {
    const { store } = given();
    await grow(store, 'a', 2);
    for (const revision of [-1, 0, 3, 1000]) expect(await store.revision(clusterId('a'), revision)).toBeUndefined();
    expect(await store.revision(clusterId('b'), 1)).toBeUndefined();
  });

  test('a revision of a deletion says deleted; those before and after it rebuild each from its own copy', async () => {
    const { store } = given();
    const states = await grow(store, 'a', 3);
    eventOf(await store.commit(commitOf({ changes: [deletion('a', 3)] })));
    const again = cluster('a', { device: 'bond0' });
    const edited = { ...again, device: 'bond1' };
    eventOf(await store.commit(commitOf({ changes: [change(undefined, again, 4)] })));
    eventOf(await store.commit(commitOf({ changes: [change(again, edited, 5)] })));
    expect(rebuilt(await store.revision(clusterId('a'), 3))).toEqual(states[2]);
    const gone = { ...clusterId('a'), revision: 4, deleted: true, patches: [], digest: '' };
    expect(await store.revision(clusterId('a'), 4)).toEqual(gone);
    expect(await store.revision(clusterId('a'), 6)).toMatchObject({ base: { revision: 5 }, digest: digestOf(edited) });
    expect(rebuilt(await store.revision(clusterId('a'), 6))).toEqual(edited);
  });

  test('a whole copy is kept at the first revision and at multiples of COPY_EVERY', async () => {
    const { store } = given();
    const states = await grow(store, 'a', 2 * COPY_EVERY + 1);
    const bases = [1, 2, COPY_EVERY - 1, COPY_EVERY, COPY_EVERY + 1, 2 * COPY_EVERY, 2 * COPY_EVERY + 1];
    for (const revision of bases) {
      const stored = await store.revision(clusterId('a'), revision);
      const base = Math.max(1, revision - (revision % COPY_EVERY));
      expect(stored).toMatchObject({ revision, deleted: false, base: { revision: base } });
      expect(stored?.patches).toHaveLength(revision - base);
      expect(rebuilt(stored)).toEqual(states[revision - 1]);
    }
  });

  test('a history may begin at any number where the name was never used', async () => {
    const { store } = given();
    eventOf(
      await store.commit(commitOf({ changes: [{ ...change(undefined, cluster('a'), 0), revision: 2 * COPY_EVERY }] })),
    );
    const next = cluster('a', { device: 'eth9' });
    const event = eventOf(await store.commit(commitOf({ changes: [change(cluster('a'), next, 2 * COPY_EVERY)] })));
    expect(event.changes[0]?.revision).toBe(2 * COPY_EVERY + 1);
    const entries = await store.history(clusterId('a'), { limit: 10 });
    expect(entries.map((h) => h.revision)).toEqual([2 * COPY_EVERY + 1, 2 * COPY_EVERY]);
    expect(await store.history(clusterId('a'), { limit: 1, before: 2 * COPY_EVERY })).toEqual([]);
    expect(await store.revision(clusterId('a'), 2 * COPY_EVERY - 1)).toBeUndefined();
    expect(rebuilt(await store.revision(clusterId('a'), 2 * COPY_EVERY + 1))).toEqual(next);
    expect((await store.load()).documents).toMatchObject([{ name: 'a', revision: 2 * COPY_EVERY + 1, deleted: false }]);
  });

  test('revisions that are brought back are kept, while nothing is there under the name', async () => {
    const { store } = given();
    const states = [1, 2, 3].map((n) => cluster('a', { device: `eth${n}` }));
    const past = (n: number) => ({ ...change(states[n - 1], states[n] ?? cluster('a'), 6 + n), past: true as const });
    const first = { ...change(undefined, states[0] ?? cluster('a'), 0), revision: 7, past: true as const };
    const events = [];
    for (const made of [first, past(1)]) events.push(eventOf(await store.commit(commitOf({ changes: [made] }))));
    expect(events.flatMap((e) => e.changes)).toMatchObject(
      [7, 8].map((revision) => ({ revision, deleted: true, patch: null })),
    );
    const position = (await store.load()).position;
    expect((await store.load()).documents).toMatchObject([{ name: 'a', revision: 8, deleted: true }]);
    expect(await store.events(0, 10)).toEqual(events);
    for (const n of [7, 8]) expect(rebuilt(await store.revision(clusterId('a'), n))).toEqual(states[n - 7]);
    expect(await store.history(clusterId('a'), { limit: 9 })).toMatchObject([{ deleted: false }, { deleted: false }]);
    // What follows is a new document under a name that was used before.
    const last = { ...change(undefined, states[2] ?? cluster('a'), 8) };
    eventOf(await store.commit(commitOf({ changes: [last] })));
    for (const n of [7, 8, 9]) expect(rebuilt(await store.revision(clusterId('a'), n))).toEqual(states[n - 7]);
    expect(rebuilt((await store.load()).documents[0])).toEqual(states[2]);
    expect(replayed(await store.events(position, 10)).get('a')).toEqual(states[2]);
  });

  test('many revisions that are brought back are found one by one, also over a deletion and a copy', async () => {
    const { store } = given();
    const states: (Cluster | undefined)[] = [];
    for (let n = 1; n <= 2 * COPY_EVERY + 5; n++) {
      const from = states.at(-1);
      const to = n === 20 ? undefined : cluster('a', { device: `eth${n}` });
      const made = to ? change(from, to, n - 1) : deletion('a', n - 1);
      eventOf(await store.commit(commitOf({ changes: [{ ...made, past: true }] })));
      states.push(to);
    }
    for (const [i, state] of states.entries())
      expect(rebuilt(await store.revision(clusterId('a'), i + 1))).toEqual(state);
    expect((await store.load()).documents).toMatchObject([{ revision: states.length, deleted: true }]);
  });

  test('whatever the changes were, every revision rebuilds to what it was, and events replay to the present', async () => {
    const { store } = given();
    let run = 0;
    const property = fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 130 }), async (steps) => {
      const name = `c${run++}`;
      const { position } = await store.load();
      const states = await walk(store, name, steps);
      for (const [i, state] of states.entries()) {
        const stored = await store.revision(clusterId(name), i + 1);
        expect(rebuilt(stored)).toEqual(state);
        expect(stored?.digest).toBe(state ? digestOf(state) : '');
      }
      const newest = (await store.load()).documents.find((d) => d.name === name);
      expect(newest?.revision).toBe(states.length);
      expect(rebuilt(newest)).toEqual(states.at(-1));
      expect(replayed(await store.events(position, 1000)).get(name)).toEqual(states.at(-1));
    });
    // One long walk for certain, which crosses a copy, whatever the random ones do.
    const long = Array.from({ length: COPY_EVERY + 5 }, (_, i): Step => ({ type: 'vip', n: i % 4, owner: `o${i}` }));
    // Shrinking a failure would go on for minutes.
    await fc.assert(property, { numRuns: 15, examples: [[long]], interruptAfterTimeLimit: 20_000 });
  });
}

type Step =
  | { type: 'vip'; n: number; owner: string }
  | { type: 'unvip'; n: number }
  | { type: 'reorder' }
  | { type: 'device'; n: number }
  | { type: 'lb'; n: number }
  | { type: 'unlb'; n: number }
  | { type: 'same' }
  | { type: 'replace'; n: number }
  | { type: 'delete' };

const small = fc.nat(5);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ type: fc.constant('vip' as const), n: small, owner: fc.string({ maxLength: 8 }) }),
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constantFrom('unvip' as const, 'device' as const), n: small }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constantFrom('lb' as const, 'unlb' as const), n: small }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constantFrom('reorder' as const, 'same' as const) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('replace' as const), n: small }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('delete' as const) }) },
);

/** Commits the steps one by one; answers the document after each, undefined while it is deleted. */
async function walk(store: Store, name: string, steps: readonly Step[]): Promise<(Cluster | undefined)[]> {
  const states: (Cluster | undefined)[] = [];
  for (const taken of steps) {
    const from = states.at(-1);
    const to = from ? after(from, taken) : cluster(name);
    const whole = from === undefined || taken.type === 'replace';
    const made = to ? change(whole ? undefined : from, to, states.length) : deletion(name, states.length);
    eventOf(await store.commit(commitOf({ changes: [made] })));
    states.push(to);
  }
  return states;
}

function after(from: Cluster, taken: Step): Cluster | undefined {
  const without = (address: string) => from.vip2ws.filter((v) => v.vip !== address);
  switch (taken.type) {
    case 'vip':
      return { ...from, vip2ws: [...without(`10.1.0.${taken.n}`), vip(`10.1.0.${taken.n}`, { owner: taken.owner })] };
    case 'unvip':
      return { ...from, vip2ws: without(`10.1.0.${taken.n}`) };
    case 'reorder':
      return { ...from, vip2ws: from.vip2ws.toReversed() };
    case 'device':
      return { ...from, device: `eth${taken.n}` };
    case 'lb':
      return from.lbinfos.some((l) => l.hostname === `lb${taken.n}`)
        ? from
        : { ...from, lbinfos: [lb(`lb${taken.n}`), ...from.lbinfos] };
    case 'unlb':
      return { ...from, lbinfos: from.lbinfos.filter((l) => l.hostname !== `lb${taken.n}`) };
    case 'same':
      return from;
    case 'replace':
      return cluster(from.name, { device: `bond${taken.n}` });
    case 'delete':
      return undefined;
  }
}

function claimSuite(given: Given): void {
  const held = [claim('ip:10.1.0.1', 'a'), claim('ip:10.1.0.2', 'a'), claim('lb:lb1', 'b', 'LB lb1')];
  beforeEach(async () => {
    eventOf(await given().store.commit(commitOf({ claims: { add: held } })));
  });

  const claims = async () => (await given().store.load()).claims.toSorted((a, b) => (a.key < b.key ? -1 : 1));

  test('claims are there after the commit that made them', async () => {
    expect(await claims()).toEqual(held);
  });

  test('all claims that another holds are reported at once, with their holders', async () => {
    const add = [claim('ip:10.1.0.2', 'c'), claim('ip:10.1.0.3', 'c'), claim('lb:lb1', 'c', 'LB lb1')];
    const conflict = conflictOf(await given().store.commit(commitOf({ claims: { add } })));
    expect(conflict).toEqual({
      type: 'claims',
      refused: [
        { wanted: add[0], holder: held[1] },
        { wanted: add[2], holder: held[2] },
      ],
    });
    expect(await claims()).toEqual(held);
  });

  test('a claim is held once, also within one cluster and with the same words', async () => {
    const again = conflictOf(await given().store.commit(commitOf({ claims: { add: [claim('ip:10.1.0.1', 'a')] } })));
    expect(again).toMatchObject({ type: 'claims', refused: [{ holder: held[0] }] });
    const twice = [claim('ip:10.1.0.9', 'a'), claim('ip:10.1.0.9', 'a', 'LIP of LB lb1')];
    const conflict = conflictOf(await given().store.commit(commitOf({ claims: { add: twice } })));
    expect(conflict).toEqual({ type: 'claims', refused: [{ wanted: twice[1], holder: twice[0] }] });
    expect(await claims()).toEqual(held);
  });

  test('clusters swap claims within one commit, since removals come first', async () => {
    const swap = {
      remove: [
        { key: 'ip:10.1.0.1', cluster: 'a' },
        { key: 'lb:lb1', cluster: 'b' },
      ],
      add: [claim('ip:10.1.0.1', 'b'), claim('lb:lb1', 'a', 'LB lb1')],
    };
    eventOf(await given().store.commit(commitOf({ claims: swap })));
    expect((await claims()).map((c) => [c.key, c.cluster])).toEqual([
      ['ip:10.1.0.1', 'b'],
      ['ip:10.1.0.2', 'a'],
      ['lb:lb1', 'a'],
    ]);
  });

  test('a claim changes its words by being removed and added in one commit', async () => {
    const renamed = claim('ip:10.1.0.1', 'a', 'LIP of LB lb1');
    const remove = [{ key: 'ip:10.1.0.1', cluster: 'a' }];
    eventOf(await given().store.commit(commitOf({ claims: { remove, add: [renamed] } })));
    expect((await claims())[0]).toEqual(renamed);
  });

  test('only the holder gives a claim back; the removal by another counts for nothing', async () => {
    const remove = [
      { key: 'ip:10.1.0.1', cluster: 'b' },
      { key: 'ip:10.9.9.9', cluster: 'b' },
    ];
    eventOf(await given().store.commit(commitOf({ claims: { remove, add: [] } })));
    expect(await claims()).toEqual(held);
    const conflict = conflictOf(
      await given().store.commit(commitOf({ claims: { remove, add: [claim('ip:10.1.0.1', 'b')] } })),
    );
    expect(conflict).toMatchObject({ type: 'claims', refused: [{ holder: held[0] }] });
  });
}

function recordSuite(given: Given): void {
  const id = { kind: 'lips', key: 'a' };

  test('a record counts its versions, and starts anew after it was deleted', async () => {
    const { store } = given();
    expect(await store.record(id)).toBeUndefined();
    expect(await store.putRecord({ ...id, value: { n: 1 } })).toEqual({ ok: true, version: 1 });
    expect(await store.putRecord({ ...id, value: null })).toEqual({ ok: true, version: 2 });
    expect(await store.record(id)).toEqual({ ...id, version: 2, value: null });
    expect((await store.putRecord({ ...id, value: undefined })).ok).toBe(true);
    expect(await store.record(id)).toBeUndefined();
    expect(await store.putRecord({ ...id, value: [3] })).toEqual({ ok: true, version: 1 });
  });

  test('records of one kind are listed, of others not', async () => {
    const { store } = given();
    await store.putRecord({ kind: 'lips', key: 'b', value: 1 });
    await store.putRecord({ kind: 'lips', key: 'a', value: 'x' });
    await store.putRecord({ kind: 'token', key: 'a', value: 2 });
    const listed = (await store.records('lips')).toSorted((a, b) => (a.key < b.key ? -1 : 1));
    expect(listed).toEqual([
      { kind: 'lips', key: 'a', version: 1, value: 'x' },
      { kind: 'lips', key: 'b', version: 1, value: 1 },
    ]);
    expect(await store.records('nothing')).toEqual([]);
  });

  test('a write or deletion that expects another version is refused with the present one', async () => {
    const { store } = given();
    const refused = (current: number) => ({ ok: false, conflict: { type: 'record', id, current } });
    expect(await store.putRecord({ ...id, value: 1, expected: 1 })).toEqual(refused(0));
    expect(await store.putRecord({ ...id, value: 1, expected: 0 })).toEqual({ ok: true, version: 1 });
    expect(await store.putRecord({ ...id, value: 2, expected: 0 })).toEqual(refused(1));
    expect(await store.putRecord({ ...id, value: undefined, expected: 2 })).toEqual(refused(1));
    expect(await store.putRecord({ ...id, value: 2, expected: 1 })).toEqual({ ok: true, version: 2 });
    expect(await store.record(id)).toEqual({ ...id, version: 2, value: 2 });
  });

  test('records of a commit are written with it, and its event shows them as they are then', async () => {
    const { store } = given();
    await store.putRecord({ kind: 'lips', key: 'gone', value: 1 });
    const records = [
      { ...id, value: { plan: [1] }, expected: 0 },
      { kind: 'lips', key: 'gone', value: undefined },
    ];
    const changes = [change(undefined, cluster('a'), 0)];
    const event = eventOf(await store.commit(commitOf({ changes, records })));
    expect(event.changes).toHaveLength(1);
    expect(event.records).toEqual([
      { ...id, version: 1, value: { plan: [1] } },
      { kind: 'lips', key: 'gone', version: expect.any(Number) },
    ]);
    expect(await store.records('lips')).toEqual([{ ...id, version: 1, value: { plan: [1] } }]);
  });

  test('putRecord makes no event', async () => {
    const { store } = given();
    const { position } = await store.load();
    await store.putRecord({ ...id, value: 1 });
    expect(await store.events(position, 10)).toEqual([]);
  });

  test('a fenced write is refused once the lease was given out again, also after it ended', async () => {
    const { store } = given();
    const old = await acquired(store, 'lb1', { owner: 'p1', now: 1000 });
    const fence = { lease: 'lb1', number: old.fence };
    expect(await store.putRecord({ ...id, value: 1, fence })).toEqual({ ok: true, version: 1 });

    const next = await acquired(store, 'lb1', { owner: 'p2', now: 5000 });
    const refused = { ok: false, conflict: { type: 'fence', lease: 'lb1', current: next.fence } };
    expect(await store.putRecord({ ...id, value: 2, fence })).toEqual(refused);
    expect(await store.commit(commitOf({ records: [{ ...id, value: 2, fence }] }))).toEqual(refused);
    await store.release(next);
    expect(await store.putRecord({ ...id, value: 2, fence })).toEqual(refused);
    expect((await store.record(id))?.value).toBe(1);
    const newer = { lease: 'lb1', number: next.fence };
    expect(await store.putRecord({ ...id, value: 3, fence: newer })).toEqual({ ok: true, version: 2 });
  });
}

function eventSuite(given: Given): void {
  test('events are read from any position on, oldest first, with increasing ids', async () => {
    const { store } = given();
    const { position } = await store.load();
    const made: StoreEvent[] = [];
    for (const name of ['a', 'b', 'c', 'd']) made.push(await create(store, name));
    eventOf(
      await store.commit(commitOf({ changes: [deletion('a', 1)], records: [{ kind: 'k', key: 'x', value: 1 }] })),
    );
    const all = await store.events(position, 100);
    expect(all).toHaveLength(5);
    expect(all.slice(0, 4)).toEqual(made);
    expect(all.map((e) => e.id)).toEqual(all.map((e) => e.id).toSorted((a, b) => a - b));
    expect(new Set(all.map((e) => e.id)).size).toBe(5);
    for (const [i, event] of all.entries()) expect(await store.events(event.id, 2)).toEqual(all.slice(i + 1, i + 3));
    expect((await store.load()).position).toBe(all.at(-1)?.id);
  });

  test('an event has the patch where there is one, and the whole document where not, also where a copy is kept', async () => {
    const { store } = given();
    const { position } = await store.load();
    await grow(store, 'a', COPY_EVERY);
    const events = await store.events(position, 1000);
    expect(events[0]?.changes[0]).toMatchObject({ revision: 1, patch: null, document: { name: 'a' } });
    for (const { changes } of events.slice(1)) {
      expect(changes[0]?.patch).toMatchObject({ head: {} });
      expect(changes[0]).not.toHaveProperty('document');
    }
  });

  test('events that are read equal those that commits answered, in every field', async () => {
    const { store } = given();
    const { position } = await store.load();
    const first = await create(store, 'a', 'b');
    const records = [
      { kind: 'lips', key: 'a', value: { deep: [1, null, 'x'] } },
      { kind: 'lips', key: 'b', value: undefined },
    ];
    const changes = [change(cluster('a'), cluster('a', { device: 'eth9' }), 1), deletion('b', 1)];
    const second = eventOf(await store.commit(commitOf({ changes, records, message: 'm' })));
    expect(await store.events(position, 10)).toEqual([first, second]);
  });

  test('a follower hears every commit after it began, in order, until it stops', async () => {
    const { store } = given();
    await create(store, 'before');
    const heard: StoreEvent[] = [];
    const stop = store.follow((event) => heard.push(event));
    const names = Array.from({ length: 20 }, (_, i) => `c${i}`);
    const made = await Promise.all(names.map((name) => create(store, name)));
    await expect.poll(() => heard.length).toBe(20);
    expect(heard).toEqual(made.toSorted((a, b) => a.id - b.id));
    stop();
    stop();
    const others: StoreEvent[] = [];
    store.follow((event) => others.push(event));
    await create(store, 'after');
    await expect.poll(() => others.length).toBe(1);
    expect(heard).toHaveLength(20);
  });

  test('once a sync answers, everything committed before it was heard; a ping tells the newest event', async () => {
    const { store } = given();
    const heard: number[] = [];
    store.follow((event) => heard.push(event.id));
    for (const name of ['a', 'b', 'c']) {
      const { id } = await create(store, name);
      await store.sync();
      expect(heard.at(-1)).toBe(id);
      expect(await store.ping()).toBe(id);
    }
  });

  test('a refused commit is not heard, and a written record neither', async () => {
    const { store } = given();
    const heard: StoreEvent[] = [];
    store.follow((event) => heard.push(event));
    expect((await store.commit(commitOf({ changes: [change(undefined, cluster('a'), 7)] }))).ok).toBe(false);
    await store.putRecord({ kind: 'lips', key: 'a', value: 1 });
    const event = await create(store, 'a');
    await expect.poll(() => heard).toEqual([event]);
  });

  test('what is heard can be read: a follower is told after the commit is kept', async () => {
    const { store } = given();
    const read = new Promise<unknown>((resolve, reject) => {
      store.follow(
        (event) => void store.revision(clusterId('a'), event.changes[0]?.revision ?? 0).then(resolve, reject),
      );
    });
    await create(store, 'a');
    expect(await read).toMatchObject({ revision: 1, base: { document: { name: 'a' } } });
  });

  test('followers hear commits in order also where one of them commits itself', async () => {
    const { store } = given();
    const heard: string[] = [];
    const nested = new Promise<void>((resolve, reject) => {
      store.follow((event) => {
        if (event.changes[0]?.name === 'a') create(store, 'b').then(() => resolve(), reject);
      });
    });
    store.follow((event) => heard.push(event.changes[0]?.name ?? ''));
    await create(store, 'a');
    await nested;
    await expect.poll(() => heard).toEqual(['a', 'b']);
  });
}

async function acquired(
  store: Store,
  name: string,
  by: { owner: string; now: number; ttlMs?: number },
): Promise<Lease> {
  const lease = await store.acquire(name, by.owner, { ttlMs: by.ttlMs ?? 1000, now: by.now });
  if (!lease) throw new Error(`${name} is held`);
  return lease;
}

function leaseSuite(given: Given): void {
  const START = Date.parse(AT);

  test('a lease has one owner until it expires, then the next with a higher fence', async () => {
    const { store } = given();
    const first = await acquired(store, 'lb1', { owner: 'p1', now: START });
    expect(first).toEqual({ name: 'lb1', owner: 'p1', fence: first.fence, expires: '2024-05-01T08:00:01.000Z' });
    expect(await store.acquire('lb1', 'p2', { ttlMs: 1000, now: START + 999 })).toBeUndefined();
    expect(await store.leases()).toEqual([first]);
    const next = await acquired(store, 'lb1', { owner: 'p2', now: START + 1001 });
    expect(next.fence).toBeGreaterThan(first.fence);
    expect(await store.leases()).toEqual([next]);
  });

  test('a fence is never below the clock, and increases over all leases also where the clock does not', async () => {
    const { store } = given();
    const first = await acquired(store, 'lb1', { owner: 'p1', now: START });
    expect(first.fence).toBeGreaterThanOrEqual(START);
    const second = await acquired(store, 'lb2', { owner: 'p1', now: START });
    expect(second.fence).toBeGreaterThan(first.fence);
    const back = await acquired(store, 'lb3', { owner: 'p1', now: START - 60_000 });
    expect(back.fence).toBeGreaterThan(second.fence);
    const later = await acquired(store, 'lb4', { owner: 'p1', now: START + 60_000 });
    expect(later.fence).toBeGreaterThanOrEqual(START + 60_000);
  });

  test('acquiring what one owns renews it with its fence kept', async () => {
    const { store } = given();
    const first = await acquired(store, 'lb1', { owner: 'p1', now: START });
    const again = await acquired(store, 'lb1', { owner: 'p1', now: START + 500 });
    expect(again).toEqual({ ...first, expires: '2024-05-01T08:00:01.500Z' });
    expect(await store.acquire('lb1', 'p2', { ttlMs: 1000, now: START + 1200 })).toBeUndefined();
  });

  test('the owner renews; who is not the owner any more does not', async () => {
    const { store } = given();
    const old = await acquired(store, 'lb1', { owner: 'p1', now: START });
    expect(await store.renew(old, { ttlMs: 5000, now: START + 500 })).toBe(true);
    expect(await store.leases()).toEqual([{ ...old, expires: '2024-05-01T08:00:05.500Z' }]);
    expect(await store.renew({ ...old, owner: 'p2' }, { ttlMs: 5000, now: START + 600 })).toBe(false);

    const next = await acquired(store, 'lb1', { owner: 'p2', now: START + 6000 });
    expect(await store.renew(old, { ttlMs: 5000, now: START + 6001 })).toBe(false);
    expect(await store.leases()).toEqual([next]);
    expect(await store.renew({ ...old, name: 'never' }, { ttlMs: 5000, now: START })).toBe(false);
  });

  test('an owner that lost its lease and got it again cannot renew by the old fence', async () => {
    const { store } = given();
    const old = await acquired(store, 'lb1', { owner: 'p1', now: START });
    await store.release(await acquired(store, 'lb1', { owner: 'p2', now: START + 2000 }));
    const again = await acquired(store, 'lb1', { owner: 'p1', now: START + 3000 });
    expect(again.fence).toBeGreaterThan(old.fence);
    expect(await store.renew(old, { ttlMs: 5000, now: START + 3001 })).toBe(false);
    await store.release(old);
    expect(await store.leases()).toEqual([again]);
  });

  test('a released lease is free at once, and its next fence is higher all the same', async () => {
    const { store } = given();
    const first = await acquired(store, 'lb1', { owner: 'p1', now: START });
    await store.release(first);
    expect(await store.leases()).toEqual([]);
    expect(await store.renew(first, { ttlMs: 1000, now: START + 1 })).toBe(false);
    const next = await acquired(store, 'lb1', { owner: 'p1', now: START });
    expect(next.fence).toBeGreaterThan(first.fence);
    await store.release(first);
    expect(await store.leases()).toEqual([next]);
  });

  test('an operator breaks a lease: it is free, and its owner cannot renew', async () => {
    const { store } = given();
    expect(await store.breakLease('lb1')).toBe(false);
    const first = await acquired(store, 'lb1', { owner: 'p1', now: START });
    expect(await store.breakLease('lb1')).toBe(true);
    expect(await store.breakLease('lb1')).toBe(false);
    expect(await store.renew(first, { ttlMs: 1000, now: START + 1 })).toBe(false);
    const next = await acquired(store, 'lb1', { owner: 'p2', now: START + 1 });
    expect(next.fence).toBeGreaterThan(first.fence);
  });

  test('of many that want a lease, one gets it', async () => {
    const { store } = given();
    const owners = Array.from({ length: 10 }, (_, i) => `p${i}`);
    const got = await Promise.all(owners.map((owner) => store.acquire('lb1', owner, { ttlMs: 1000, now: START })));
    expect(got.filter((lease) => lease !== undefined)).toHaveLength(1);
  });
}

function lifeSuite(given: Given): void {
  test('everything is there after reopening: documents, claims, records, leases, history, events, positions', async () => {
    const { store, reopen } = given();
    const states = await grow(store, 'a', 3);
    await create(store, 'b');
    const parts = {
      changes: [deletion('b', 1)],
      claims: { add: [claim('ip:10.1.0.1', 'a')] },
      records: [{ kind: 'lips', key: 'a', value: { n: 1 } }],
    };
    const last = eventOf(await store.commit(commitOf(parts)));
    const lease = await acquired(store, 'lb1', { owner: 'p1', now: Date.parse(AT) });
    const before = {
      ...((await everything(store)) as object),
      history: await store.history(clusterId('a'), { limit: 9 }),
    };

    const again = await reopen();
    expect({
      ...((await everything(again)) as object),
      history: await again.history(clusterId('a'), { limit: 9 }),
    }).toEqual(before);
    expect(rebuilt(await again.revision(clusterId('a'), 2))).toEqual(states[1]);
    expect(await again.leases()).toEqual([lease]);
    const next = await create(again, 'c');
    expect(next.id).toBeGreaterThan(last.id);
    expect((await acquired(again, 'lb2', { owner: 'p1', now: 0 })).fence).toBeGreaterThan(lease.fence);
  });

  test('a store answers a ping until it is closed; then every call fails with code store', async () => {
    const { store } = given();
    expect(store.description).not.toBe('');
    await store.ping();
    await store.close();
    await store.close();
    const calls = [store.ping(), store.load(), store.commit(commitOf({})), store.records('lips'), store.leases()];
    for (const outcome of await Promise.allSettled(calls)) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'store' } });
      expect(outcome.status === 'rejected' && outcome.reason).toBeInstanceOf(WeirError);
    }
  });
}
