import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect as connectTo, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Store, StoreEvent } from '../port.ts';
import { storeContract } from '../store.contract.ts';
import { AT, change, claim, cluster, clusterId, commitOf, conflictOf, deletion, eventOf, rebuilt } from '../testing.ts';
import { openRedisStore } from './redis-store.ts';
import type { RedisStoreOptions } from './redis-store.ts';
import { freePort, hasRedis, startRedis } from './testing.ts';
import type { RedisServer } from './testing.ts';

const contents = (name: string) => JSON.stringify([name]);

/** A mirror of a few texts; the store does not know what they mean. */
const mirrorOf: NonNullable<RedisStoreOptions['mirrorOf']> = (document) => {
  const { name, device } = document as { name: string; device: string };
  return { type: 'internal', device, lbinfos: contents(name), vip2ws: '[]', vipnets: '[]' };
};

describe.skipIf(!hasRedis)('on a real Redis', { timeout: 30_000 }, () => {
  let redis: RedisServer;
  const stores: Store[] = [];
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis?.close());
  beforeEach(() => redis.client.flushall());
  afterEach(async () => {
    for (const store of stores.splice(0)) await store.close();
  });

  async function open(options: RedisStoreOptions = {}, url = redis.url): Promise<Store> {
    const store = await openRedisStore(url, { onError: () => undefined, ...options });
    stores.push(store);
    return store;
  }

  storeContract('the Redis store', async () => {
    await redis.client.flushall();
    const openOne = () => openRedisStore(redis.url, { clock: 'caller' });
    let store = await openOne();
    return {
      store,
      reopen: async () => {
        await store.close();
        return (store = await openOne());
      },
      cleanup: () => store.close(),
    };
  });

  const create = async (store: Store, name: string) =>
    eventOf(await store.commit(commitOf({ changes: [change(undefined, cluster(name), 0)] })));

  describe('several processes', () => {
    test('hear the same events in the same order, whoever commits', async () => {
      const all = await Promise.all([open(), open(), open()]);
      const heard = all.map((store) => {
        const events: StoreEvent[] = [];
        store.follow((event) => events.push(event));
        return events;
      });
      await Promise.all(Array.from({ length: 60 }, (_, i) => create(all[i % 3] as Store, `c${i}`)));
      await Promise.all(all.map((store) => store.sync()));
      expect(heard[0]?.map((event) => event.id)).toEqual(Array.from({ length: 60 }, (_, i) => i + 1));
      expect(heard[1]).toEqual(heard[0]);
      expect(heard[2]).toEqual(heard[0]);
    });

    test('have heard everything committed before a sync once it answers', async () => {
      const [one, two] = [await open(), await open()];
      const heard: number[] = [];
      two.follow((event) => heard.push(event.id));
      for (let n = 1; n <= 30; n++) {
        const { id } = await create(one, `c${n}`);
        await two.sync();
        expect(heard.at(-1)).toBe(id);
      }
    });

    test('load documents as they were at one position, while others commit', async () => {
      const [one, two] = [await open(), await open()];
      for (let n = 0; n < 50; n++) await create(one, `c${n}`);
      const end = new AbortController();
      const writing = (async () => {
        for (let r = 1; !end.signal.aborted; r++) {
          for (const n of [0, 17, 49]) {
            const [from, to] = [r - 1, r].map((i) => cluster(`c${n}`, { device: `eth${i}` }));
            if (from && to) await one.commit(commitOf({ changes: [change(r === 1 ? cluster(`c${n}`) : from, to, r)] }));
          }
        }
      })();
      for (let n = 0; n < 20; n++) {
        const { documents, position } = await two.load();
        const events = await two.events(0, 10_000);
        const last = new Map<string, number>();
        for (const event of events.filter(({ id }) => id <= position)) {
          for (const { name, revision } of event.changes) last.set(name, revision);
        }
        expect(new Map(documents.map(({ name, revision }) => [name, revision]))).toEqual(last);
      }
      end.abort();
      await writing;
    });

    test('lease by the clock of Redis: one whose clock runs ahead takes nothing from others', async () => {
      const [one, two] = [await open(), await open()];
      const now = Date.now();
      expect(await one.acquire('lb1', 'p1', { ttlMs: 10_000, now })).toMatchObject({ owner: 'p1' });
      expect(await two.acquire('lb1', 'p2', { ttlMs: 10_000, now: now + 3_600_000 })).toBeUndefined();
      const [lease] = await two.leases();
      expect(Math.abs(Date.parse(lease?.expires ?? '') - now - 10_000)).toBeLessThan(5000);
    });
  });

  describe('a log that lost its end', () => {
    /** All that Redis has now, to be put back: as a failover to a replica does that was behind. */
    async function snapshot(): Promise<() => Promise<void>> {
      const keys = await redis.client.keys('*');
      const dumps = await Promise.all(keys.map((key) => redis.client.dumpBuffer(key)));
      return async () => {
        const multi = redis.client.multi().flushdb();
        keys.forEach((key, i) => multi.restore(key, 0, dumps[i] ?? ''));
        await multi.exec();
      };
    }

    test('is noticed, also where other events took the numbers, and nothing is built on what is gone', async () => {
      const told: string[] = [];
      const [one, two] = [await open({ onError: (thrown) => told.push(String(thrown)) }), await open()];
      await create(one, 'a');
      await two.sync();
      const putBack = await snapshot();
      const lost: string[] = [];
      one.follow(
        () => undefined,
        async () => void lost.push('one'),
      );
      const gone = cluster('a', { device: 'gone' });
      eventOf(await one.commit(commitOf({ changes: [change(cluster('a'), gone, 1)] })));
      await two.close();
      await putBack();
      // Another process makes the revision anew.
      const three = await open();
      const other = cluster('a', { device: 'other' });
      eventOf(await three.commit(commitOf({ changes: [change(cluster('a'), other, 1)] })));

      const onGone = { ...change(gone, cluster('a', { device: 'next' }), 2), was: change(gone, gone, 2).digest };
      const refused = conflictOf(await one.commit(commitOf({ changes: [onGone] })));
      expect(refused).toEqual({ type: 'revision', id: clusterId('a'), current: 2 });
      await one.sync();
      expect(lost).toEqual(['one']);
      expect(told.join()).toContain('the log of events does not go on from event 2');
      expect(rebuilt((await one.load()).documents[0])).toEqual(other);
      const heard: StoreEvent[] = [];
      one.follow((event) => heard.push(event));
      const event = await create(three, 'b');
      await one.sync();
      expect(heard).toEqual([event]);
    });

    test('an own commit on the new end is in the memory of its process once it is acknowledged', async () => {
      const [one, two] = [await open(), await open()];
      for (const name of ['a', 'b']) await create(one, name);
      const putBack = await snapshot();
      for (const name of ['c', 'd', 'e']) await create(one, name);
      await two.sync();
      const told: string[] = [];
      two.follow(
        (event) => told.push(event.changes[0]?.name ?? ''),
        async () => void told.push('lost'),
      );
      await putBack();
      await create(two, 'f');
      // Where the blocking read saw it first, the commit is one that goes on from there.
      expect([['lost'], ['lost', 'f']]).toContainEqual(told);
      expect((await two.load()).documents.map((d) => d.name)).toEqual(['a', 'b', 'f']);
    });

    test('loading goes on from what is there where the end is lost meanwhile', async () => {
      const store = await open();
      for (let n = 0; n < 60; n++) await create(store, `c${n}`);
      const putBack = await snapshot();
      for (let n = 60; n < 90; n++) await create(store, `c${n}`);
      const loading = store.load();
      await putBack();
      const { documents, position } = await loading;
      expect([60, 90]).toContain(position);
      expect(documents).toHaveLength(position);
      expect((await store.load()).position).toBe(60);
    });

    test('one that was cut shorter than what a process has seen is noticed too', async () => {
      const one = await open();
      const lost = new Promise<void>((resolve) =>
        one.follow(
          () => undefined,
          async () => resolve(),
        ),
      );
      await create(one, 'a');
      await redis.client.flushdb();
      await lost;
      expect((await one.load()).documents).toEqual([]);
    });
  });

  describe('a connection that breaks', () => {
    /** Passes everything on, until it is told to break the connection instead of answering. */
    async function startProxy(): Promise<{ url: string; breakAtAnswer(to: string): void; close(): void }> {
      let breaking: string | undefined;
      const sockets = new Set<Socket>();
      const server = createServer((near) => {
        const far = connectTo(redis.port, '127.0.0.1');
        let asked = false;
        for (const socket of [near, far]) {
          sockets.add(socket);
          socket.on('error', () => undefined);
          socket.on('close', () => [near, far].forEach((other) => other.destroy()));
        }
        near.on('data', (data) => {
          if (breaking !== undefined && data.includes(breaking)) asked = true;
          far.write(data);
        });
        far.on('data', (data) => {
          if (!asked) near.write(data);
          else {
            breaking = undefined;
            near.destroy();
          }
        });
      }).listen(await freePort(), '127.0.0.1');
      await new Promise((resolve) => server.once('listening', resolve));
      return {
        url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}/1`,
        breakAtAnswer: (to) => (breaking = to),
        close() {
          server.close();
          for (const socket of sockets) socket.destroy();
        },
      };
    }

    test('after a commit was made and before it was answered does not make it twice, and it is acknowledged', async () => {
      const proxy = await startProxy();
      const store = await open({}, proxy.url);
      proxy.breakAtAnswer('a-mark');
      const made = await store.commit(commitOf({ changes: [change(undefined, cluster('a'), 0)], message: 'a-mark' }));
      expect(eventOf(made).changes).toMatchObject([{ name: 'a', revision: 1 }]);
      proxy.breakAtAnswer('another-mark');
      expect(await store.putRecord({ kind: 'k', key: 'another-mark', value: 1, expected: 0 })).toEqual({
        ok: true,
        version: 1,
      });
      expect(await store.history(clusterId('a'), { limit: 9 })).toHaveLength(1);
      expect(await store.events(0, 9)).toHaveLength(1);
      await store.close();
      proxy.close();
    });
  });

  test('an outage is caught up with from the log: nothing is missed, and nobody has to load again', async () => {
    const server = await startRedis();
    const [one, two] = [await open({}, server.url), await open({}, server.url)];
    const heard: number[] = [];
    let lost = 0;
    two.follow(
      (event) => heard.push(event.id),
      async () => void lost++,
    );
    for (let n = 0; n < 3; n++) {
      await create(one, `before-${n}`);
      await server.restart();
      await create(one, `after-${n}`);
    }
    await expect.poll(() => heard).toEqual([1, 2, 3, 4, 5, 6]);
    expect(lost).toBe(0);
    for (const store of stores.splice(0)) await store.close();
    await server.close();
  });

  describe('mirrors', () => {
    test('are written with the commit, changed with it, and go with their document', async () => {
      const store = await open({ mirrorOf });
      await create(store, 'a');
      expect(await redis.client.hgetall('cluster:a')).toEqual(mirrorOf(cluster('a')));
      const next = cluster('a', { device: 'bond0' });
      eventOf(await store.commit(commitOf({ changes: [change(cluster('a'), next, 1)] })));
      expect(await redis.client.hget('cluster:a', 'device')).toBe('bond0');
      eventOf(await store.commit(commitOf({ changes: [deletion('a', 2)] })));
      expect(await redis.client.exists('cluster:a')).toBe(0);
      expect(await store.mirrors?.foreign()).toEqual([]);
    });

    test('tell of a foreign write at once, keep it, and what it was made from', async () => {
      const store = await open({ mirrorOf });
      await create(store, 'a');
      const told = new Promise<void>((resolve) => store.mirrors?.onForeign(resolve));
      await redis.client.hset('cluster:a', 'device', 'theirs');
      await told;
      expect(await store.mirrors?.foreign()).toMatchObject([
        { cluster: 'a', base: { revision: 1 }, fields: { device: 'theirs' } },
      ]);
      expect(await store.mirrors?.open()).toBe(1);
    });

    test('a commit over a foreign write that nobody saw yet keeps it aside', async () => {
      const store = await open({ mirrorOf });
      await create(store, 'a');
      const next = cluster('a', { device: 'ours' });
      await Promise.all([
        redis.client.hset('cluster:a', 'device', 'theirs'),
        store.commit(commitOf({ changes: [change(cluster('a'), next, 1)] })),
      ]);
      await expect
        .poll(async () => (await store.mirrors?.foreign())?.map((w) => w.fields?.['device']))
        .toEqual(['theirs']);
    });

    test('are put right where they still hold the foreign write, and left alone where another came', async () => {
      const store = await open({ mirrorOf });
      await create(store, 'a');
      await redis.client.hset('cluster:a', 'device', 'theirs');
      await expect.poll(() => store.mirrors?.open()).toBe(1);
      const [write] = (await store.mirrors?.foreign()) ?? [];
      if (!write) throw new Error('nothing was kept');
      await redis.client.hset('cluster:a', 'device', 'newer');
      await store.mirrors?.restore(write, cluster('a'), 1);
      expect(await redis.client.hget('cluster:a', 'device')).toBe('newer');
      await expect.poll(() => store.mirrors?.open()).toBe(2);
      const newer = (await store.mirrors?.foreign())?.at(-1);
      expect(newer?.base).toEqual({ after: write.id });
      if (newer) await store.mirrors?.restore(newer, cluster('a'), 1);
      expect(await redis.client.hgetall('cluster:a')).toEqual(mirrorOf(cluster('a')));
    });

    test('a key of that name that is no hash refuses the whole commit, and holds up no other cluster', async () => {
      const store = await open({ mirrorOf });
      await create(store, 'b');
      await redis.client.set('cluster:a', 'somebody’s');
      await expect(create(store, 'a')).rejects.toMatchObject({
        code: 'conflict',
        message: expect.stringContaining('cluster:a'),
      });
      expect((await store.load()).documents.map((d) => d.name)).toEqual(['b']);
      expect(await store.events(0, 9)).toHaveLength(1);
      expect(await redis.client.get('cluster:a')).toBe('somebody’s');
      // One whose mirror was replaced by such a key can still be deleted, and the others are still looked at.
      await redis.client.multi().del('cluster:b').set('cluster:b', 'somebody’s').exec();
      await create(store, 'c');
      await redis.client.hset('cluster:c', 'device', 'theirs');
      await expect.poll(() => store.mirrors?.open()).toBe(1);
      eventOf(await store.commit(commitOf({ changes: [deletion('b', 1)] })));
      expect(await redis.client.get('cluster:b')).toBe('somebody’s');
    });

    test('records of clusters that are not here are told, and never touched', async () => {
      const store = await open({ mirrorOf });
      await redis.client.hset('cluster:old', { type: 'extra' });
      expect(await store.mirrors?.unknown()).toEqual(['old']);
      expect(await store.mirrors?.foreign()).toEqual([]);
      expect(await redis.client.hgetall('cluster:old')).toEqual({ type: 'extra' });
    });
  });

  test('takes a commit of more claims than a call has arguments', async () => {
    const store = await open();
    const add = Array.from({ length: 150_000 }, (_, i) => ({ key: `ip:${i}`, cluster: 'a', what: 'LIP' }));
    eventOf(await store.commit(commitOf({ changes: [change(undefined, cluster('a'), 0)], claims: { add } })));
    expect((await store.load()).claims).toHaveLength(150_000);
  });

  describe('retention', () => {
    test('old revisions go, those kept all rebuild, and numbers go on', async () => {
      const store = await open({ keepRevisions: 120 });
      let from = cluster('a');
      await create(store, 'a');
      for (let revision = 1; revision < 300; revision++) {
        const to = cluster('a', { device: `eth${revision + 1}` });
        eventOf(await store.commit(commitOf({ changes: [change(from, to, revision)] })));
        from = to;
      }
      const kept = (await store.history(clusterId('a'), { limit: 1000 })).map((entry) => entry.revision);
      expect(kept).toEqual(Array.from({ length: 151 }, (_, i) => 300 - i));
      for (const revision of kept) {
        expect(rebuilt(await store.revision(clusterId('a'), revision))?.device).toBe(`eth${revision}`);
      }
      expect(await store.revision(clusterId('a'), 149)).toBeUndefined();
      // Nothing else is left of them: an entry and a patch each, and the whole copies at 150, 200, 250, 300.
      expect(await redis.client.hlen('weir:history:cluster:a')).toBe(2 * 151 + 4);
    });
  });

  describe('a Redis that does not fit', () => {
    const refusal = async (url: string) =>
      openRedisStore(url).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );

    test('one that a newer Weir wrote is refused', async () => {
      await redis.client.hset('weir:meta', 'format', 99);
      expect(await refusal(redis.url)).toMatchObject({ code: 'store', message: expect.stringContaining('format 99') });
    });

    test('one that nobody answers for is told in Redis’s or the system’s own words, without the password', async () => {
      const thrown = await refusal(`redis://u:secret@127.0.0.1:${await freePort()}/1`);
      expect(thrown).toMatchObject({ code: 'store', message: expect.stringContaining('ECONNREFUSED'), retryAfter: 2 });
      expect(String(thrown)).not.toContain('secret');
    });

    test('one that wants a password, a replica, and a Redis Cluster are told', async () => {
      const [locked, replica, part] = await Promise.all([
        startRedis(['requirepass right']),
        startRedis([`replicaof 127.0.0.1 ${redis.port}`]),
        startRedis(['cluster-enabled yes'], 0),
      ]);
      try {
        expect(await refusal(locked.url)).toMatchObject({ message: expect.stringContaining('NOAUTH') });
        expect(await refusal(locked.url.replace('//', '//:wrong@'))).toMatchObject({
          message: expect.stringContaining('WRONGPASS'),
        });
        await (await openRedisStore(locked.url.replace('//', '//:right@'))).close();
        expect(await refusal(replica.url)).toMatchObject({ message: expect.stringContaining('READONLY') });
        expect(await refusal(part.url.replace(/1$/, '0'))).toMatchObject({
          message: expect.stringContaining('Redis Cluster'),
        });
      } finally {
        await Promise.all([locked, replica, part].map((server) => server.close()));
      }
    });

    test('what loses state is warned of', async () => {
      const lax = await startRedis(['maxmemory-policy allkeys-lru']);
      await lax.client.config('SET', 'appendfsync', 'everysec');
      const warnings: string[] = [];
      const store = await openRedisStore(lax.url, { onError: (thrown) => warnings.push(String(thrown)) });
      expect(warnings).toEqual([expect.stringContaining('allkeys-lru'), expect.stringContaining('everysec')]);
      await store.close();
      await lax.close();
    });
  });

  test('the user that docs/redis.md names may do all that Weir does, and no command is denied', async () => {
    const page = readFileSync(new URL('../../../docs/redis.md', import.meta.url), 'utf8');
    const [, rules = ''] = /^ACL SETUSER weir (.*)$/m.exec(page) ?? [];
    await redis.client.acl('SETUSER', 'weir', ...rules.replace('>PASSWORD', '>secret').split(' '));
    const store = await open({ mirrorOf, keepRevisions: 1 }, redis.url.replace('//', '//weir:secret@'));
    await create(store, 'a');
    const next = cluster('a', { device: 'bond0' });
    eventOf(
      await store.commit(commitOf({ changes: [change(cluster('a'), next, 1)], claims: { add: [claim('ip:1', 'a')] } })),
    );
    await redis.client.hset('cluster:a', 'device', 'theirs');
    await expect.poll(() => store.mirrors?.open()).toBe(1);
    const [write] = (await store.mirrors?.foreign()) ?? [];
    if (!write) throw new Error('nothing was kept');
    await store.mirrors?.restore(write, next, 2);
    await store.mirrors?.settle(write.id, { state: 'merged', at: AT, revision: 2 });
    expect(await store.mirrors?.unknown()).toEqual([]);
    await store.putRecord({ kind: 'k', key: 'x', value: 1 });
    expect([await store.record({ kind: 'k', key: 'x' }), await store.records('k')]).toMatchObject([{ value: 1 }, [{}]]);
    const lease = await store.acquire('lb1', 'p1', { ttlMs: 1000, now: 0 });
    if (lease) await store.renew(lease, { ttlMs: 1000, now: 0 });
    expect(await store.leases()).toHaveLength(1);
    expect(await store.breakLease('lb1')).toBe(true);
    expect(await store.history(clusterId('a'), { limit: 9 })).toHaveLength(2);
    expect(await store.revision(clusterId('a'), 2)).toBeDefined();
    eventOf(
      await store.commit(
        commitOf({ changes: [deletion('a', 2)], claims: { remove: [{ key: 'ip:1', cluster: 'a' }] } }),
      ),
    );
    expect(await store.ping()).toBe(3);
    expect((await store.load()).position).toBe(3);
    await store.sync();
    expect(await redis.client.acl('LOG')).toEqual([]);
    await store.close();
    await redis.client.acl('DELUSER', 'weir');
  });

  test('speaks TLS, and believes only the authority that it is given', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'weir-tls-'));
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
    execFileSync(
      'openssl',
      ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', cert, ...subject],
      { stdio: 'ignore' },
    );
    const port = await freePort();
    const tls = [`tls-port ${port}`, `tls-cert-file ${cert}`, `tls-key-file ${key}`, 'tls-auth-clients no'];
    const server = await startRedis([...tls, `tls-ca-cert-file ${cert}`]);
    const store = await openRedisStore(`rediss://127.0.0.1:${port}/1?ca=${cert}`);
    await create(store, 'a');
    await store.close();
    const distrusted = openRedisStore(`rediss://127.0.0.1:${port}/1`);
    await expect(distrusted).rejects.toMatchObject({ code: 'store', message: expect.stringMatching(/certificate/i) });
    await server.close();
    rmSync(folder, { recursive: true });
  });
});
