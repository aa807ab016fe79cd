/** Several Weirs on one Redis and the LBs of one cluster: one that dies while it publishes, or is asked at another. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openTestHosts } from '../src/remote/test-hosts.ts';
import type { TestHosts } from '../src/remote/test-hosts.ts';
import { hasRedis, startRedis } from '../src/store/redis/testing.ts';
import type { RedisServer } from '../src/store/redis/testing.ts';
import { clusterOf, endOf, lbName, noHosts, title } from './testing/edge.ts';
import type { Publication, TestHost } from './testing/edge.ts';
import { holdUp, read } from './testing/machine.ts';
import { startWeir } from './testing/weirs.ts';
import type { Weir } from './testing/weirs.ts';

const cluster = clusterOf(1, { lbs: 2, vips: 3, marker: '/a' });
const path = `/clusters/${cluster.name}`;

describe.skipIf(noHosts || !hasRedis)(title('two Weirs on one Redis'), { timeout: 120_000 }, () => {
  let redis: RedisServer;
  let hosts: TestHosts;
  let machines: TestHost[];
  let one: Weir;
  let two: Weir;

  beforeAll(async () => {
    [redis, hosts] = await Promise.all([startRedis(), openTestHosts()]);
    machines = await hosts.startMany([lbName(1, 1), lbName(1, 2)]);
    const settings = { store: redis.url, 'ssh-config': hosts.configFile, 'ssh-parallel': 1 };
    [one, two] = await Promise.all([startWeir(settings), startWeir(settings)]);
    await one.client.call('/clusters', { method: 'POST', body: cluster });
    expect((await publish(one)).state).toBe('done');
  }, 120_000);
  afterAll(() => Promise.all([one?.close(), two?.close(), hosts?.close(), redis?.close()]));

  async function begin({ client }: Weir): Promise<Publication> {
    return (await client.call<Publication>(`${path}/publications`, { method: 'POST', body: {} })).data;
  }
  async function publish(weir: Weir): Promise<Publication> {
    return endOf(weir, await begin(weir));
  }
  const mark = ({ client }: Weir, marker: string) =>
    client.call(path, { method: 'PATCH', body: { check: { path: marker } } });
  const published = (host: TestHost) =>
    /path (\S+)/.exec(read(host, '/etc/weir/current/keepalived/vips/172.17.0.1.conf'))?.[1];
  const stateAt = async ({ client }: Weir, id: string) =>
    (await client.call<Publication>(`${path}/publications/${id}`)).data;

  test('one is told busy, with who works there, while the other publishes; it can follow and cancel', async () => {
    await mark(one, '/cancelled');
    const { waits, go } = await holdUp(machines[0]);
    const publication = await begin(one);
    await waits();
    await expect(begin(two)).rejects.toMatchObject({ code: 'busy', message: expect.stringContaining(publication.id) });
    const { data } = await two.client.call<{ items: { id: string; alive: boolean }[] }>('/leases');
    expect(data.items).toMatchObject([{ work: 'publication', cluster: cluster.name, id: publication.id, alive: true }]);
    const end = endOf(two, publication);
    await two.client.call(`${path}/publications/${publication.id}/cancel`, { method: 'POST' });
    const ended = await end;
    await go();
    expect(ended.state).toBe('cancelled');
    expect(await stateAt(one, publication.id)).toEqual(await stateAt(two, publication.id));
    expect((await publish(two)).state).toBe('done');
    expect(machines.map(published)).toEqual(['/cancelled', '/cancelled']);
  });

  test('what one published is known to the other: publishing again there changes nothing', async () => {
    await mark(two, '/known');
    expect((await publish(one)).state).toBe('done');
    const again = await publish(two);
    expect(Object.values(again.lbs).map((lb) => lb.state)).toEqual(['unchanged', 'unchanged']);
  });

  test('one that is killed while it publishes: interrupted within 10 s at the other, the LBs whole, the next one fine', async () => {
    await mark(one, '/killed');
    const { waits, go } = await holdUp(machines[0]);
    const publication = await begin(one);
    await waits();
    await one.kill();
    const killed = performance.now();
    await expect.poll(async () => (await stateAt(two, publication.id)).state, { timeout: 15_000 }).toBe('interrupted');
    const took = performance.now() - killed;
    process.stdout.write(`interrupted after ${(took / 1000).toFixed(1)} s\n`);
    expect(took).toBeLessThan(10_000);
    await go();
    expect(machines.map(published)).toEqual(['/known', '/known']);
    const leases = async () => (await two.client.call<{ items: object[] }>('/leases')).data.items;
    await expect.poll(leases, { timeout: 5000 }).toEqual([]);
    const next = await publish(two);
    expect(next.state).toBe('done');
    expect(machines.map(published)).toEqual(['/killed', '/killed']);
    await one.restart();
    expect((await stateAt(one, publication.id)).state).toBe('interrupted');
  });

  test('a lease that an operator breaks ends the work under it', async () => {
    await mark(two, '/broken');
    const { waits, go } = await holdUp(machines[0]);
    const publication = await begin(one);
    await waits();
    await two.client.call(`/leases/${encodeURIComponent(`publish:${cluster.name}`)}`, { method: 'DELETE' });
    const ended = await endOf(two, publication);
    await go();
    expect(ended.state).not.toBe('done');
    expect((await publish(two)).state).toBe('done');
    expect(machines.map(published)).toEqual(['/broken', '/broken']);
  });
});
