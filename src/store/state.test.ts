import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Store, StoreEvent } from './port.ts';
import { openSqliteStore } from './sqlite/sqlite-store.ts';
import { openState } from './state.ts';
import type { State } from './state.ts';
import { cluster, lb, vip } from './testing.ts';

const LB = { ...lb('lb1.room1'), lips: ['10.0.0.10-10.0.0.13'] };
const document = cluster('a', { lbinfos: [LB], vip2ws: [vip('10.1.0.1', { wss: [] })] });

describe('two processes on one store, of which one hears late', () => {
  let real: Store;
  let first: State;
  let second: State;
  /** What the second has not heard yet. */
  let held: StoreEvent[];
  let lose: () => Promise<void>;
  const errors: string[] = [];
  /** LBs in service. */
  const serving = new Map<string, undefined>();

  beforeEach(async () => {
    real = openSqliteStore(':memory:');
    held = [];
    errors.length = 0;
    serving.clear();
    const listeners = new Set<(event: StoreEvent) => void>();
    real.follow((event) => held.push(event));
    const late: Store = {
      ...real,
      shared: true,
      follow(listener, onLost) {
        listeners.add(listener);
        lose = onLost ?? (() => Promise.resolve());
        return () => listeners.delete(listener);
      },
      async sync() {
        for (const event of held.splice(0)) for (const listener of listeners) listener(event);
      },
    };
    const options = {
      now: () => new Date(),
      randomId: () => 'id',
      onError: (message: string) => errors.push(message),
      inService: () => Promise.resolve(serving),
    };
    first = await openState({ ...real, shared: true }, options);
    second = await openState(late, options);
    await first.change({ cluster: 'a', calls: [{ op: 'cluster.create', input: { cluster: document } }], by: 'one' });
  });
  afterEach(async () => {
    first.close();
    second.close();
    await real.close();
  });

  const set = (state: State, fields: object, expected?: number) =>
    state.change({
      cluster: 'a',
      calls: [{ op: 'cluster.set', input: { set: fields } }],
      by: 'test',
      ...(expected === undefined ? {} : { expected }),
    });

  test('a change of what the other just made is not refused as unknown', async () => {
    expect(second.get('a')).toBeUndefined();
    expect(await set(second, { idc: 'room2' })).toMatchObject({ revision: 2, changed: true });
  });

  test('LIPs of an LB that the other just drained are not refused as those of one in service', async () => {
    await second.sync();
    serving.set(LB.hostname, undefined);
    const setLb = (state: State, fields: object) =>
      state.change({
        cluster: 'a',
        calls: [{ op: 'lb.set', input: { lb: LB.hostname, set: fields } }],
        by: 'test',
      });
    const lips = ['10.0.0.20-10.0.0.23'];
    await expect(setLb(second, { lips })).rejects.toMatchObject({ problems: [{ code: 'lips_in_service' }] });
    await setLb(first, { state: 'drain' });
    expect(await setLb(second, { lips })).toMatchObject({ revision: 3, changed: true });
  });

  test('the revision that the other answered is no mismatch, and an older one is', async () => {
    await set(first, { idc: 'room2' });
    expect(await set(second, { idc: 'room3' }, 2)).toMatchObject({ revision: 3 });
    await expect(set(second, { idc: 'room4' }, 2)).rejects.toMatchObject({ code: 'revision_mismatch', revision: 3 });
  });

  test('what the other changed meanwhile is not taken for unchanged', async () => {
    await set(first, { idc: 'room2' });
    expect(await set(second, { idc: 'room2' })).toMatchObject({ revision: 2, changed: false });
    await set(first, { idc: 'room3' });
    expect(await set(second, { idc: 'room2' })).toMatchObject({ revision: 4, changed: true });
    expect(first.get('a')?.cluster.idc).toBe('room2');
  });

  test('who waits for a position has what was committed up to it, and is told where it is not there', async () => {
    await set(first, { idc: 'room2' });
    const position = first.version();
    expect(second.version()).toBeLessThan(position);
    expect(await second.reached(position)).toBe(true);
    expect(second.get('a')?.cluster.idc).toBe('room2');
    expect(await second.reached(position + 1)).toBe(false);
  });

  test('events that were missed for good make everything be loaded again', async () => {
    await set(first, { idc: 'room2' });
    held.length = 0;
    await lose();
    expect(second.get('a')).toMatchObject({ revision: 2, cluster: { idc: 'room2' } });
    await set(first, { idc: 'room3' });
    await second.sync();
    expect(second.get('a')?.revision).toBe(3);
    expect(errors).toEqual([]);
  });

  test('a loss while everything is loaded again makes it be loaded once more', async () => {
    const generation = second.generation();
    let missed = 0;
    second.onMissed(() => missed++);
    const loading = lose();
    await set(first, { idc: 'room2' });
    await Promise.all([lose(), loading]);
    held.length = 0;
    expect(second.get('a')?.cluster.idc).toBe('room2');
    expect(second.generation()).toBeGreaterThan(generation);
    expect(missed).toBe(1);
  });

  test('addresses that both find at once are no conflict', async () => {
    await second.sync();
    const found = (address: string) => ({
      'ws1.room1': { address, source: 'hosts' as const, at: '2024-05-01T00:00:00Z' },
    });
    await first.setAddresses('a', found('10.9.0.1'));
    await second.setAddresses('a', found('10.9.0.2'));
    await second.setAddresses('a', found('10.9.0.2'));
    expect(second.get('a')?.addresses.found['ws1.room1']?.address).toBe('10.9.0.2');
  });

  test('a key that a rolled-back document refers to is known wherever it was stored', async () => {
    await second.sync();
    await real.putRecord({ kind: 'secret', key: 'ospf-old', value: 'key1' });
    expect(await set(second, { ospf: { key: 'secret:ospf-old' } })).toMatchObject({ changed: true });
    await expect(set(second, { ospf: { key: 'secret:never' } })).rejects.toMatchObject({ code: 'invalid' });
  });

  test('an event that cannot be taken in makes everything be loaded again', async () => {
    await second.sync();
    await set(first, { idc: 'room2' });
    await set(first, { idc: 'room3' });
    // Without the event that made it, a patch fits nothing that is here.
    held = held.map((event) => ({
      ...event,
      changes: event.changes.map((c) => ({ ...c, name: 'never', patch: null })),
    }));
    await second.sync();
    expect(errors[0]).toContain('everything is loaded again');
    await expect.poll(() => second.get('a')?.revision).toBe(3);
  });
});
