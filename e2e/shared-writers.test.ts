/**
 * Several Weirs on one Redis under writes: processes killed, Redis killed, a failover. WEIR_TEST_SECONDS and
 * WEIR_TEST_KILLS make it longer, WEIR_TEST_CLIENTS heavier (npm run soak:shared).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import type { RedisServer, SentinelServer } from '../src/store/redis/testing.ts';
import { hasRedis, startRedis, startSentinel } from '../src/store/redis/testing.ts';
import { expectKept, makeClusters, quantile, startWeir, writeUntil } from './testing/weirs.ts';
import type { Weir, Written } from './testing/weirs.ts';

const seconds = Number(process.env['WEIR_TEST_SECONDS'] ?? 8);
const kills = Number(process.env['WEIR_TEST_KILLS'] ?? 3);
const CLUSTERS = 20;
const clients = Number(process.env['WEIR_TEST_CLIENTS'] ?? 12);
/** Other tests run beside this one in npm test, and some of them measure losses of a real edge. */
const load = { clusters: CLUSTERS, clients, pauseMs: clients < 50 ? 30 : 0 };

const things: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const thing of things.splice(0).toReversed()) await thing.close();
});

function kept<T extends { close(): Promise<void> }>(thing: T): T {
  things.push(thing);
  return thing;
}

async function threeWeirs(store: string, settings: Record<string, string | number> = {}): Promise<Weir[]> {
  const all = { store, 'keep-revisions': 1_000_000, ...settings };
  const weirs = await Promise.all([1, 2, 3].map(() => startWeir(all)));
  return weirs.map(kept);
}

function tell(what: string, written: Written): void {
  const acknowledged = [...written.acknowledged.values()].flat().length;
  const refused = [...written.refusals].map(([code, times]) => `${code} ${times}`).join(', ') || 'none';
  const [p50, p99] = [0.5, 0.99].map((share) => Math.round(quantile(written.took, share)));
  process.stdout.write(
    `${what}: ${acknowledged} changes acknowledged, p50 ${p50} ms, p99 ${p99} ms, refused: ${refused}\n`,
  );
}

describe.skipIf(!hasRedis)('three Weirs on one Redis', { timeout: 120_000 + seconds * 2000 + kills * 10_000 }, () => {
  test('keep every acknowledged change once, while they are killed and started again at random', async () => {
    const redis = kept(await startRedis());
    const weirs = await threeWeirs(redis.url);
    await makeClusters(weirs[0] as Weir, CLUSTERS);
    let restarts = 0;
    const killing = (async () => {
      const end = performance.now() + seconds * 1000;
      while (performance.now() < end || restarts < 3) {
        await sleep(300 + Math.random() * 1200);
        await weirs[Math.floor(Math.random() * weirs.length)]?.restart();
        restarts++;
      }
    })();
    const written = await writeUntil({ weirs, ...load, until: killing });
    await killing;
    tell(`Weirs killed ${restarts} times in ${seconds} s`, written);
    expect(written.took.length).toBeGreaterThan(100);
    await expectKept(weirs, written);
  });

  test('lose nothing where Redis is killed and started again; requests meanwhile fail clearly, nobody needs a restart', async () => {
    const redis = kept(await startRedis());
    const weirs = await threeWeirs(redis.url);
    await makeClusters(weirs[0] as Weir, CLUSTERS);
    const killing = (async () => {
      for (let n = 0; n < kills; n++) {
        await sleep(400 + Math.random() * 400);
        await redis.kill();
        // Every second time longer than a call is patient.
        await sleep(n % 2 === 0 ? 200 : 3600);
        await redis.restart();
      }
      await sleep(500);
    })();
    const written = await writeUntil({ weirs, ...load, until: killing });
    await killing;
    tell(`Redis killed ${kills} times`, written);
    expect([...written.refusals.keys()]).toEqual(['store']);
    await expectKept(weirs, written);
    for (const weir of weirs) expect((await fetch(`${weir.url}/readyz`)).status).toBe(200);
  });

  test('answer 503 with Retry-After and Redis’s own words while it is gone, and are not ready', async () => {
    const redis = kept(await startRedis());
    const weir = kept(await startWeir({ store: redis.url }));
    await makeClusters(weir, 1);
    await redis.kill();
    const answer = await fetch(`${weir.url}/api/v1/clusters/cluster-1`, {
      method: 'PATCH',
      headers: { authorization: 'Bearer a-token-of-the-tests', 'content-type': 'application/json' },
      body: JSON.stringify({ linkspeed: '10g' }),
    });
    expect(answer.status).toBe(503);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await answer.json()).toMatchObject({ code: 'store', detail: expect.stringContaining('ECONNREFUSED') });
    expect((await fetch(`${weir.url}/readyz`)).status).toBe(503);
    const { data } = await weir.client.call('/clusters/cluster-1');
    expect(data).toMatchObject({ name: 'cluster-1' });
    await redis.restart();
    await expect.poll(async () => (await fetch(`${weir.url}/readyz`)).status).toBe(200);
    await weir.client.call('/clusters/cluster-1', { method: 'PATCH', body: { linkspeed: '10g' } });
  });

  test('read what another answered at once, or not older than what they are told', async () => {
    const redis = kept(await startRedis());
    const [one, two] = (await threeWeirs(redis.url)) as [Weir, Weir, Weir];
    await makeClusters(one, 1);
    for (let n = 1; n <= 50; n++) {
      const { headers } = await one.client.call('/clusters/cluster-1', { method: 'PATCH', body: { idc: `room${n}` } });
      const position = { 'weir-position': headers.get('weir-position') ?? '' };
      const { data } = await two.client.call('/clusters/cluster-1', { headers: position });
      expect(data).toMatchObject({ idc: `room${n}` });
    }
    const ahead = two.client.call('/clusters/cluster-1', { headers: { 'weir-at-least': '1000' } });
    await expect(ahead).rejects.toMatchObject({ code: 'unavailable' });
  });
});

describe.skipIf(!hasRedis)('a failover by Sentinel', { timeout: 180_000 }, () => {
  async function replicated(): Promise<{ master: RedisServer; url: string }> {
    const lines = ['min-replicas-to-write 0', 'repl-diskless-sync-delay 0'];
    const master = kept(await startRedis(lines));
    for (let n = 0; n < 2; n++) kept(await startRedis([...lines, `replicaof 127.0.0.1 ${master.port}`]));
    await expect.poll(() => master.client.info('replication'), { timeout: 20_000 }).toContain('connected_slaves:2');
    const sentinels: SentinelServer[] = [];
    for (let n = 0; n < 3; n++) sentinels.push(kept(await startSentinel(master, 2)));
    const hosts = sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',');
    return { master, url: `redis+sentinel://${hosts}/1?master=weir` };
  }

  test('loses nothing that a replica was waited for, and needs no restart of Weir', async () => {
    const { master, url } = await replicated();
    const weirs = await threeWeirs(url, { 'redis-wait': 1 });
    await makeClusters(weirs[0] as Weir, CLUSTERS);
    let gap = 0;
    const failing = (async () => {
      await sleep(1500);
      const began = performance.now();
      await master.kill();
      while ((await fetch(`${weirs[0]?.url}/readyz`)).status !== 200) await sleep(50);
      gap = performance.now() - began;
      await sleep(1500);
    })();
    const written = await writeUntil({ weirs, ...load, until: failing });
    await failing;
    tell(`failover, ready again after ${Math.round(gap)} ms`, written);
    expect([...written.refusals.keys()].filter((code) => code !== 'store')).toEqual([]);
    await expectKept(weirs, written);
  });
});
