/** The stream of changes, and the wstypes that other services ask for after each of them. */
import { request } from 'node:http';
import type { ClientRequest } from 'node:http';
import { createParser } from 'eventsource-parser';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { SseMessage } from '../src/client/client.ts';
import { clusterOf, create, expectDone, expectProblem, lbOf, post, sendTo, v1, vipOf } from './fixtures.ts';
import { startTestServer } from './harness.ts';
import type { TestServer } from './harness.ts';

let server: TestServer;
let open: Follower[] = [];

beforeEach(async () => {
  server = await startTestServer();
});

afterEach(async () => {
  for (const follower of open) follower.leave();
  open = [];
  await server.close();
});

interface Change {
  cluster: string;
  revision: number;
  deleted: boolean;
  by: string;
  operations: { op: string }[];
}

interface Follower {
  /** The next so many changes. */
  take(count: number): Promise<{ id: string | undefined; change: Change }[]>;
  leave(): void;
  /** When the server has closed the connection. */
  gone: Promise<void>;
}

/** Resolves when the server has answered, so that what is changed afterwards is seen. */
function follow(query = '', lastEventId?: string): Promise<Follower> {
  const { hostname, port } = new URL(server.url);
  const headers = {
    authorization: `Bearer ${server.token}`,
    ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
  };
  return new Promise((resolve, reject) => {
    const made: ClientRequest = request({ hostname, port, path: `/api/v1/events${query}`, headers, agent: false });
    made.on('error', reject);
    made.on('response', (response) => {
      expect(response.statusCode).toBe(200);
      expect(response.headers['content-type']).toBe('text/event-stream; charset=utf-8');
      const arrived: SseMessage[] = [];
      let wake = () => {};
      const parser = createParser({
        onEvent: ({ event = 'message', data, id }) => arrived.push({ event, data: JSON.parse(data) as unknown, id }),
      });
      response.on('data', (chunk) => {
        parser.feed(String(chunk));
        wake();
      });
      const gone = new Promise<void>((over) => {
        response.on('close', over);
      });
      const follower = {
        gone,
        leave: () => made.destroy(),
        async take(count: number) {
          while (arrived.length < count) await new Promise<void>((more) => (wake = more));
          return arrived.splice(0, count).map(({ event, data, id }) => {
            expect(event).toBe('change');
            return { id, change: data as Change };
          });
        },
      };
      open.push(follower);
      resolve(follower);
    });
    made.end();
  });
}

async function cost(n: number, value: number): Promise<void> {
  expectDone(await v1(server, `/clusters/cluster-${n}`, { method: 'PATCH', json: { ospf: { cost: value } } }));
}

describe('events', () => {
  test('come in the order of the changes, to every client alike, each with what was done', async () => {
    const [one, two] = await Promise.all([follow(), follow()]);
    await create(server, clusterOf(1), clusterOf(2));
    await Promise.all([...Array(20).keys()].map((i) => cost(1 + (i % 2), 100 + i)));
    expectDone(await v1(server, '/clusters/cluster-1', { method: 'DELETE' }));
    const seen = await one.take(23);
    expect(await two.take(23)).toEqual(seen);
    const ids = seen.map((s) => Number(s.id));
    expect(ids).toEqual(ids.toSorted((a, b) => a - b));
    expect(new Set(ids).size).toBe(23);
    for (const n of [1, 2]) {
      const revisions = seen.filter((s) => s.change.cluster === `cluster-${n}`).map((s) => s.change.revision);
      expect(revisions).toEqual(revisions.map((_, i) => i + 1));
    }
    expect(seen[0]?.change).toMatchObject({ by: 'admin', deleted: false, operations: [{ op: 'cluster.create' }] });
    expect(seen.at(-1)?.change).toMatchObject({ deleted: true, revision: 12, operations: [{ op: 'cluster.delete' }] });
  });

  test('go on behind Last-Event-ID without gap or duplicate, also while changes are made and after a restart', async () => {
    const all = await follow();
    await create(server, clusterOf(1));
    for (let i = 0; i < 10; i++) await cost(1, 100 + i);
    const seen = await all.take(11);
    const resumed = async (id: string) => {
      const [follower] = await Promise.all([follow('', id), ...[...Array(5).keys()].map((i) => cost(1, 200 + i))]);
      return follower;
    };
    const half = seen[4]?.id ?? '';
    const rest = await (await resumed(half)).take(11);
    expect(rest.map((s) => s.change.revision)).toEqual([6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    expect(rest.slice(0, 6)).toEqual(seen.slice(5));
    await server.restart();
    expect(await (await follow('', half)).take(11)).toEqual(rest);
    const everything = await (await follow('', '0')).take(16);
    expect(everything.map((s) => s.change.revision)).toEqual([...Array(16).keys()].map((i) => i + 1));
  });

  test('behind an id that was never given out are those from now on', async () => {
    await create(server, clusterOf(1));
    const follower = await follow('', '999999999999');
    await cost(1, 100);
    const [next] = await follower.take(1);
    expect(next?.change.revision).toBe(2);
    for (const id of ['x', '-1', '1e3', '1.5']) {
      const headers = { 'last-event-id': id };
      expectProblem(await v1(server, '/events', { headers }), { status: 400, code: 'bad_event_id' });
    }
    expectProblem(await v1(server, '/events?clusters=x'), { status: 400, code: 'unknown_field' });
  });

  test('of one cluster leave those of the others out', async () => {
    const follower = await follow('?cluster=cluster-2');
    await create(server, clusterOf(1), clusterOf(2));
    await cost(1, 100);
    await cost(2, 100);
    const seen = await follower.take(2);
    expect(seen.map((s) => [s.change.cluster, s.change.revision])).toEqual([
      ['cluster-2', 1],
      ['cluster-2', 2],
    ]);
  });

  test('are not told of what is refused, dry, or changes nothing', async () => {
    await create(server, clusterOf(1));
    const follower = await follow();
    await post(server, '/clusters', clusterOf(1));
    await post(server, '/clusters?dryRun=true', clusterOf(2));
    await v1(server, '/clusters/cluster-1', { method: 'PUT', json: clusterOf(1) });
    await cost(1, 100);
    const [next] = await follower.take(1);
    expect(next?.change).toMatchObject({ cluster: 'cluster-1', revision: 2 });
  });

  test('to clients that left cost nothing more, and the server ends with clients at it', async () => {
    await create(server, clusterOf(1));
    const handles = async () => {
      const { text } = await sendTo(server, '/metrics');
      return Number(/^nodejs_active_handles_total (\d+)/m.exec(text)?.[1]);
    };
    const before = await handles();
    const followers = await Promise.all(Array.from({ length: 30 }, () => follow('', '0')));
    expect(await handles()).toBeGreaterThanOrEqual(before + 30);
    for (const follower of followers) follower.leave();
    await Promise.all(followers.map((f) => f.gone));
    await expect.poll(handles).toBeLessThanOrEqual(before);
    await cost(1, 100);
    const staying = await follow();
    await server.restart();
    await staying.gone;
  });
});

describe('wstypes', () => {
  interface Row {
    ws: string;
    cluster: string;
    vips: string[];
    network: string;
    idc?: string;
    address?: string;
  }

  async function wss(query = '', wstype = 'apps'): Promise<Row[]> {
    return expectDone(await v1(server, `/wstypes/${wstype}/wss${query}`)).json<{ items: Row[] }>().items;
  }

  async function names(query = '', wstype = 'apps'): Promise<string> {
    return expectDone(await v1(server, `/wstypes/${wstype}/wss?format=text${query}`)).text;
  }

  test('name each machine once per cluster with all VIPs it stands behind', async () => {
    const attrs = { 'ngx1.room1': { address: '10.1.1.1' } };
    await create(
      server,
      clusterOf(1, { vip2ws: [vipOf(1, 1, { wsattrs: attrs }), vipOf(1, 2), vipOf(1, 3, { wstype: 'search' })] }),
      clusterOf(2, { vip2ws: [vipOf(2, 1, { wss: ['ngx1.room1', 'alone'] })] }),
    );
    const both = [vipOf(1, 1).vip, vipOf(1, 2).vip];
    const network = 'internal';
    expect(await wss()).toEqual([
      { ws: 'alone', cluster: 'cluster-2', vips: [vipOf(2, 1).vip], network, idc: 'room2' },
      { ws: 'ngx1.room1', cluster: 'cluster-1', vips: both, network, idc: 'room1', address: '10.1.1.1' },
      { ws: 'ngx1.room1', cluster: 'cluster-2', vips: [vipOf(2, 1).vip], network, idc: 'room1' },
      { ws: 'ngx2.room1', cluster: 'cluster-1', vips: both, network, idc: 'room1' },
    ]);
    const text = await v1(server, '/wstypes/apps/wss?format=text');
    expect(text.headers['content-type']).toBe('text/plain; charset=utf-8');
    expect(text.text).toBe('alone\nngx1.room1\nngx2.room1\n');
  });

  test('are filtered by cluster, type and machine room, in every combination', async () => {
    const extra = {
      extraip: '192.0.2.2',
      extranetmask: '255.255.255.252',
      extragateway: '192.0.2.1',
      ospfnet: '192.0.2.0/30',
    };
    await create(server, clusterOf(1), clusterOf(2, { type: 'extra', lbinfos: [lbOf(2, 1, extra)], idc: 'far' }));
    expect(await names('&cluster=cluster-1')).toBe('ngx1.room1\nngx2.room1\n');
    expect(await names('&type=extra')).toBe('ngx1.room2\nngx2.room2\n');
    expect(await names('&idc=room1')).toBe('ngx1.room1\nngx2.room1\n');
    expect(await names('&idc=far')).toBe('ngx1.room2\nngx2.room2\n');
    expect(await names('&idc=far&type=internal')).toBe('');
    expect(await names('&cluster=nowhere')).toBe('');
    expectProblem(await v1(server, '/wstypes/apps/wss?type=outer'), { status: 400, path: 'query.type' });
    expectProblem(await v1(server, '/wstypes/apps/wss?format=xml'), { status: 400, path: 'query.format' });
  });

  test('are new at once after every kind of change', async () => {
    await create(server, clusterOf(1));
    const path = '/clusters/cluster-1';
    const vip = `${path}/vips/${vipOf(1, 1).vip}`;
    expect(await names()).toBe('ngx1.room1\nngx2.room1\n');
    for (let i = 10; i < 30; i++) {
      expectDone(await post(server, `${vip}/wss`, `ngx${i}.room1`));
      expect(await names()).toContain(`ngx${i}.room1\n`);
      expectDone(await v1(server, `${vip}/wss/ngx${i}.room1`, { method: 'DELETE' }));
      expect(await names()).not.toContain(`ngx${i}.room1\n`);
    }
    expectDone(await v1(server, `${vip}/wss/ngx1.room1`, { method: 'PATCH', json: { address: '10.1.1.1' } }));
    expect((await wss())[0]?.address).toBe('10.1.1.1');
    expectDone(await v1(server, vip, { method: 'PATCH', json: { wstype: 'search' } }));
    expectProblem(await v1(server, '/wstypes/apps/wss?format=text'), { status: 404, code: 'not_found' });
    expect(await names('', 'search')).toBe('ngx1.room1\nngx2.room1\n');
    expect(expectDone(await v1(server, '/wstypes')).json()).toMatchObject({
      items: [{ wstype: 'search', clusters: ['cluster-1'], wss: 2 }],
    });
    expectDone(await v1(server, path, { method: 'DELETE' }));
    expectProblem(await v1(server, '/wstypes/search/wss'), { status: 404 });
    expect(expectDone(await v1(server, '/wstypes')).json()).toEqual({ items: [], next: null });
  });
});
