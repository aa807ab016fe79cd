/** Every route of the contract that reads, the paging of lists, and how bodies and errors travel. */
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Page, PublicationView } from '../src/contract/schemas.ts';
import { routes } from '../src/contract/routes.ts';
import {
  clusterOf,
  create,
  everything,
  expectDone,
  expectProblem,
  pages,
  post,
  seedHosts,
  seedLb,
  seedName,
  seedText,
  sendTo,
  v1,
  vipOf,
} from './fixtures.ts';
import type { Reply } from './fixtures.ts';
import { startTestServer } from './harness.ts';
import type { TestServer } from './harness.ts';

let server: TestServer;
let publication: PublicationView;

/** Names that are easily sorted or cut wrongly: prefixes of each other, and as long as may be. */
const names = ['a', 'a-b', 'a.b', 'A', 'a0', 'b', 'x'.repeat(128)];
const long = `${'w'.repeat(63)}.${'w'.repeat(63)}.${'w'.repeat(63)}.${'w'.repeat(61)}`;

beforeAll(async () => {
  server = await startTestServer({ hosts: seedHosts });
  expectDone(await v1(server, '/clusters', { method: 'POST', text: seedText, type: 'text/plain' }));
  expectDone(await v1(server, `/clusters/${seedName}`, { method: 'PATCH', json: { linkspeed: '10g' } }));
  await create(
    server,
    ...names.map((name, n) =>
      clusterOf(n, {
        name,
        vip2ws: [vipOf(n, 1, { wss: ['a', 'a-b', 'a.b', long] }), vipOf(n, 2, { wstype: `w${n}`, wss: ['a'] })],
      }),
    ),
  );
  publication = expectDone(await post(server, `/clusters/${seedName}/publications`, {})).json();
  const events = await v1(server, `/clusters/${seedName}/publications/${publication.id}/events`);
  expect(events.text).toContain('event: end\n');
});

afterAll(() => server.close());

interface Read {
  path: string;
  method?: string;
  json?: unknown;
  /** Looks at a good answer. */
  check: (reply: Reply) => void;
  /** The same of things that are not there. */
  absent?: readonly string[];
}

const seed = `/clusters/${seedName}`;

function has(part: unknown): (reply: Reply) => void {
  return (reply) => expect(reply.json()).toMatchObject(part as object);
}

/** Changes of clusters are tested on their own, and so is what needs an LB that answers (src/api/activating.test.ts). */
const others = [
  'batch',
  'rollback',
  'lipsFree',
  'vipMove',
  'events',
  'publicationEvents',
  'activationStart',
  'activationGet',
  'activationEvents',
  'activationCancel',
  'lbDrain',
  'lbUndrain',
  'lbUndo',
  'leaseBreak',
  'importCluster',
  'conflictDismiss',
] as const;
type ReadName = Exclude<keyof typeof routes, (typeof others)[number]>;

function reads(): Record<ReadName, Read> {
  const published = `${seed}/publications/${publication.id}`;
  return {
    clusterList: {
      path: '/clusters?type=extra&idc=hy01',
      check: has({ items: [{ name: seedName, type: 'extra', revision: 2, idc: 'hy01', lbs: 1, vips: 2, wss: 2 }] }),
    },
    clusterGet: { path: seed, check: has({ name: seedName, linkspeed: '10g' }), absent: ['/clusters/nowhere'] },
    historyList: {
      path: `${seed}/history`,
      check: has({ items: [{ revision: 2 }, { revision: 1 }], next: null }),
      absent: ['/clusters/nowhere/history', '/clusters/nowhere/history?after=4'],
    },
    historyGet: {
      path: `${seed}/history/1`,
      check: has({ revision: 1, document: { name: seedName } }),
      absent: [`${seed}/history/3`, '/clusters/nowhere/history/1'],
    },
    diff: {
      path: `${seed}/diff?from=1`,
      check: has({ from: 1, to: 2, diff: expect.stringContaining('+linkspeed: 10g') }),
      absent: [`${seed}/diff?from=9`, `${seed}/diff?from=1&to=9`, '/clusters/nowhere/diff?from=1'],
    },
    exportAll: {
      path: '/export?history=true',
      check: has({
        format: 'weir-export',
        history: true,
        clusters: expect.arrayContaining([expect.objectContaining({ name: seedName, revision: 2 })]),
      }),
    },
    lipsGet: {
      path: `${seed}/lips`,
      check: has({ lbs: { [seedLb]: expect.any(Array) }, quarantine: {} }),
      absent: ['/clusters/nowhere/lips'],
    },
    lipsCapacity: {
      path: `${seed}/lips/capacity?peak=1000000`,
      check: has({
        perLip: 36321,
        lbs: [{ lb: seedLb, lips: 8, connections: 8 * 36321 }],
        needs: [{ connections: 1_000_000, lips: 28 }, {}, {}, {}],
        warnings: [{ code: 'lips_short' }],
      }),
      absent: ['/clusters/nowhere/lips/capacity'],
    },
    release: {
      path: `${seed}/lbs/${seedLb}/release`,
      check: has({ cluster: seedName, lb: seedLb, revision: 2, services: 4 }),
      absent: [`${seed}/lbs/nobody/release`, `/clusters/nowhere/lbs/${seedLb}/release`],
    },
    plan: {
      path: `${seed}/plan`,
      method: 'POST',
      check: has({ changes: true, lbs: { [seedLb]: { published: null } } }),
      absent: ['/clusters/nowhere/plan'],
    },
    leaseList: { path: '/leases', check: has({ items: expect.any(Array) }) },
    conflictList: { path: '/conflicts', check: has({ items: [], unknown: [] }) },
    publicationStart: {
      path: `${seed}/publications`,
      method: 'POST',
      json: { revision: 2 },
      check: has({ cluster: seedName, revision: 2, action: 'publish', lbs: { [seedLb]: {} } }),
      absent: ['/clusters/nowhere/publications'],
    },
    publicationList: {
      path: `${seed}/publications`,
      check: has({ items: expect.arrayContaining([expect.objectContaining({ id: publication.id })]) }),
      absent: ['/clusters/nowhere/publications'],
    },
    publicationGet: {
      path: published,
      check: has({ id: publication.id, state: 'failed', lbs: { [seedLb]: { state: 'failed', step: 'connect' } } }),
      absent: [`${seed}/publications/none`, `/clusters/a/publications/${publication.id}`],
    },
    publicationCancel: {
      path: `${published}/cancel`,
      method: 'POST',
      check: has({ id: publication.id }),
      absent: [`${seed}/publications/none/cancel`],
    },
    activationList: {
      path: `${seed}/activations`,
      check: has({ items: [], next: null }),
      absent: ['/clusters/nowhere/activations'],
    },
    clusterStatus: {
      path: `${seed}/status`,
      check: has({ cluster: seedName, revision: 2, lbs: [{ lb: seedLb, state: 'unreachable' }] }),
      absent: ['/clusters/nowhere/status', `${seed}/status?lbs=nobody`],
    },
    clusterProbe: {
      path: `${seed}/probe?lbs=${seedLb}`,
      method: 'POST',
      check: has({ cluster: seedName, revision: 2, lbs: [{ lb: seedLb, state: 'unreachable' }] }),
      absent: ['/clusters/nowhere/probe', `${seed}/probe?lbs=nobody`],
    },
    connections: {
      path: `${seed}/connections?ws=apps-extngtest0-bgp0.hy01`,
      check: has({ lbs: { [seedLb]: { active: null, error: expect.stringMatching(/\S/) } } }),
      absent: ['/clusters/nowhere/connections?ws=a', `${seed}/connections?ws=nobody`],
    },
    vipList: {
      path: '/vips?vip=60.28.208.1',
      check: has({ items: [{ cluster: seedName, wstype: 'apps', ports: ['80→80', '443→443'], wss: 1 }] }),
    },
    lbList: {
      path: `/lbs?lb=${seedLb}`,
      check: has({ items: [{ cluster: seedName, state: 'up', routerid: '60.29.246.186' }] }),
    },
    wsList: {
      path: '/wss?ws=a&cluster=b',
      check: has({ items: [{ ws: 'a', cluster: 'b', wstypes: ['apps', 'w5'] }] }),
    },
    wstypeList: { path: '/wstypes', check: has({ next: null }) },
    wstypeWss: {
      path: '/wstypes/search/wss',
      check: has({ items: [{ ws: 'search-extngtest0-bgp0.hy01', network: 'extra', idc: 'hy01' }] }),
      absent: ['/wstypes/none/wss'],
    },
  };
}

const readNames = Object.keys(routes).filter((name): name is ReadName => !others.some((other) => other === name));

describe.each(readNames)('%s', (name) => {
  test('answers what its summary says, as JSON', async () => {
    const { path, method, json, check } = reads()[name];
    const reply = expectDone(await v1(server, path, { method: method ?? 'GET', json }));
    expect(reply.headers['content-type']).toMatch(/^application\/json/);
    expect(reply.status).toBe(name === 'publicationStart' ? 202 : 200);
    check(reply);
  });

  test('is not found for what is not there, and refuses queries it does not know', async () => {
    const { path, method, json, absent } = reads()[name];
    const present = await everything(server);
    for (const missing of absent ?? []) {
      expectProblem(await v1(server, missing, { method: method ?? 'GET', json }), { status: 404, code: 'not_found' });
    }
    for (const query of ['nonsense=1', '__proto__=1', 'constructor=1', 'dryRun=true']) {
      const mark = path.includes('?') ? '&' : '?';
      const reply = await v1(server, `${path}${mark}${query}`, { method: method ?? 'GET', json });
      expectProblem(reply, { status: 400, code: 'unknown_field' });
    }
    expect(await everything(server)).toEqual(present);
  });
});

test('a document is answered with its ETag, and not again to who has it', async () => {
  const { headers } = expectDone(await v1(server, seed));
  expect(headers.etag).toBe('"2"');
  for (const tag of ['"2"', 'W/"2"', '"1", "2"', '*']) {
    const again = await v1(server, seed, { headers: { 'if-none-match': tag } });
    expect([again.status, again.text, again.headers.etag]).toEqual([304, '', '"2"']);
  }
  expect((await v1(server, seed, { headers: { 'if-none-match': '"1"' } })).status).toBe(200);
});

test('an older revision is answered with its own document and ETag', async () => {
  const old = expectDone(await v1(server, `${seed}?revision=1`));
  expect(old.headers.etag).toBe('"1"');
  expect(old.json()).not.toHaveProperty('linkspeed');
  expectProblem(await v1(server, `${seed}?revision=3`), { status: 404 });
  for (const revision of ['0', '-1', '1.5', 'x', '99999999999999999999']) {
    expectProblem(await v1(server, `${seed}?revision=${revision}`), { status: 400, path: 'query.revision' });
    expectProblem(await v1(server, `${seed}/history/${revision}`), { status: 400 });
  }
});

test('HEAD answers as GET does, without the body, and not at all for streams', async () => {
  const got = expectDone(await v1(server, seed));
  const head = await v1(server, seed, { method: 'HEAD' });
  expect([head.status, head.text, head.headers.etag, head.headers['content-length']]).toEqual([
    200,
    '',
    got.headers.etag,
    String(got.body.length),
  ]);
  expect((await v1(server, '/events', { method: 'HEAD' })).status).toBe(404);
});

test('a release is also a tar.gz, named after the LB', async () => {
  const path = `${seed}/lbs/${seedLb}/release`;
  const reply = expectDone(await v1(server, path, { headers: { accept: 'application/gzip' } }));
  expect(reply.headers['content-type']).toBe('application/gzip');
  expect(reply.headers['content-disposition']).toMatch(
    new RegExp(`^attachment; filename="${seedLb}-[0-9a-f]{12}.tar.gz"$`),
  );
  expect(reply.body.subarray(0, 2)).toEqual(Buffer.from([0x1f, 0x8b]));
  expect(reply.headers.etag).toBe(expectDone(await v1(server, path)).headers.etag);
});

test.each([
  ['POST', '/clusters/nowhere/activations'],
  ['GET', `${seed}/activations/none`],
  ['GET', `${seed}/activations/none/events`],
  ['POST', `${seed}/activations/none/cancel`],
  ...['drain', 'undrain', 'undo'].flatMap((word) => [
    ['POST', `${seed}/lbs/nobody/${word}`],
    ['POST', `/clusters/nowhere/lbs/${seedLb}/${word}`],
  ]),
])('%s %s is not found', async (method, path) => {
  expectProblem(await v1(server, path, { method }), { status: 404, code: 'not_found' });
});

describe('lists', () => {
  const lists = [
    '/clusters',
    '/clusters?type=internal',
    '/vips',
    '/vips?wstype=apps',
    '/lbs',
    '/wss',
    '/wss?ws=a',
    '/wstypes',
    '/wstypes/apps/wss',
    `${seed}/history`,
    `${seed}/publications`,
  ];

  test.each(lists)('%s comes in pages of any size, complete and without duplicates', async (path) => {
    const [whole] = await pages<unknown>(server, path);
    const items = whole?.items ?? [];
    expect(whole?.next).toBeNull();
    expect(items.length).toBeGreaterThan(0);
    for (const limit of [1, 2, 3, items.length, items.length + 1]) {
      const cut = await pages<unknown>(server, path, limit);
      expect(cut.flatMap((p) => p.items)).toEqual(items);
      expect(cut.slice(0, -1).every((p) => p.items.length === limit)).toBe(true);
      expect(cut).toHaveLength(Math.ceil(items.length / limit));
    }
    expect(new Set(items.map((i) => JSON.stringify(i))).size).toBe(items.length);
  });

  test('have every thing of every cluster', async () => {
    const count = async (path: string) => (await pages(server, path)).flatMap((p) => p.items).length;
    const n = names.length;
    expect(await count('/clusters')).toBe(n + 1);
    expect(await count('/vips')).toBe(2 * n + 2);
    expect(await count('/lbs')).toBe(n + 1);
    expect(await count('/wss')).toBe(4 * n + 2);
    expect(await count('/wstypes')).toBe(n + 2);
    expect(await count('/wstypes/apps/wss')).toBe(4 * n + 1);
  });

  test('go on behind what was removed meanwhile', async () => {
    const n = 900;
    await create(server, clusterOf(n, { vip2ws: [1, 2, 3, 4].map((i) => vipOf(n, i)) }));
    const path = `/vips?cluster=cluster-${n}&limit=2`;
    const first = expectDone(await v1(server, path)).json<Page<{ vip: string }>>();
    expectDone(await v1(server, `/clusters/cluster-${n}/vips/${first.next}`, { method: 'DELETE' }));
    const second = expectDone(await v1(server, `${path}&after=${first.next}`)).json<Page<{ vip: string }>>();
    expect(second.items.map((r) => r.vip)).toEqual([vipOf(n, 3).vip, vipOf(n, 4).vip]);
    expectDone(await v1(server, `/clusters/cluster-${n}`, { method: 'DELETE' }));
  });

  test('refuse limits and filters that mean nothing', async () => {
    for (const query of ['limit=0', 'limit=1001', 'limit=x', 'limit=1&limit=2', 'limit=', `after=${'x'.repeat(513)}`]) {
      expectProblem(await v1(server, `/clusters?${query}`), { status: 400, code: 'bad_request' });
    }
    expectProblem(await v1(server, '/clusters?type=external'), {
      status: 400,
      code: 'not_allowed',
      path: 'query.type',
    });
    expect(expectDone(await v1(server, '/vips?cluster=nowhere')).json()).toEqual({ items: [], next: null });
  });
});

describe('bodies', () => {
  test('of another content type are refused with 415', async () => {
    for (const type of [
      'application/xml',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      'nonsense',
    ]) {
      const reply = await v1(server, '/clusters', { method: 'POST', text: '<x/>', type });
      expectProblem(reply, { status: 415, code: 'media_type' });
    }
  });

  test('that cannot be read are refused with 400', async () => {
    for (const text of ['{', '{"a":1,}', "{'a':1}", '{"__proto__":{}}', '{"constructor":{"prototype":{}}}', '']) {
      expectProblem(await v1(server, '/clusters', { method: 'POST', text }), { status: 400, code: 'bad_request' });
    }
    for (const type of ['text/plain', 'application/yaml', 'application/json5']) {
      for (const text of ['{a: 1', 'a: [', 'a: 1\na: 2\n', '', '---\na: 1\n---\nb: 2\n', 'a: *nobody\n']) {
        const reply = await v1(server, '/clusters', { method: 'POST', text, type });
        expectProblem(reply, { status: 400, code: 'unreadable' });
      }
    }
  });

  test('are not read by routes that take none', async () => {
    const present = await everything(server);
    for (const [method, path] of [
      ['POST', `${seed}/plan`],
      ['DELETE', seed],
      ['DELETE', `${seed}/vips/60.28.208.1`],
    ] as const) {
      expectProblem(await v1(server, path, { method, json: { lbs: ['x'] } }), { status: 400, code: 'unknown_field' });
    }
    expectProblem(await v1(server, `${seed}/publications`, { method: 'POST', text: 'null' }), { status: 400 });
    expect(await everything(server)).toEqual(present);
  });

  test('that are too large are refused with 413', async () => {
    const small = await startTestServer({ settings: { body_limit_mb: '1' } });
    try {
      const text = ' '.repeat(1024 * 1024 + 1);
      for (const type of ['application/json', 'text/plain']) {
        const problem = expectProblem(await v1(small, '/clusters', { method: 'POST', text, type }), { status: 413 });
        expect(problem).toMatchObject({ code: 'too_large', hint: expect.stringContaining('WEIR_BODY_LIMIT_MB') });
      }
      expectDone(await post(small, '/clusters', clusterOf(1)));
    } finally {
      await small.close();
    }
  });
});

describe('errors', () => {
  test('have a Chinese title for who asks in Chinese', async () => {
    for (const language of ['zh', 'zh-CN,zh;q=0.9,en;q=0.8', 'ZH-TW']) {
      const reply = await v1(server, '/clusters/nowhere', { headers: { 'accept-language': language } });
      expect(expectProblem(reply, { status: 404 }).title).toBe('未找到');
    }
    for (const language of ['en', 'de, zh', 'zhx']) {
      const reply = await v1(server, '/clusters/nowhere', { headers: { 'accept-language': language } });
      expect(expectProblem(reply, { status: 404 }).title).toBe('Not found');
    }
  });

  test('are problems also where no route is found or the address cannot be read', async () => {
    expectProblem(await sendTo(server, '/nothing'), { status: 404, code: 'not_found' });
    expectProblem(await v1(server, '/clusters', { method: 'PUT', json: {} }), { status: 404, code: 'not_found' });
    expectProblem(await v1(server, '/clusters/%zz'), { status: 400, code: 'bad_request' });
    expectProblem(await v1(server, `/clusters/${'x'.repeat(400)}`), { status: 400, code: 'bad_request' });
    expectProblem(await v1(server, '/clusters/%00'), { status: 404 });
    expectProblem(await v1(server, `/clusters/${encodeURIComponent('集群')}`), { status: 404 });
  });

  test('are problems also where the bytes are no request', async () => {
    for (const [bytes, status] of [
      ['nonsense\r\n\r\n', 400],
      ['GET / HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n', 400],
      [`GET / HTTP/1.1\r\nhost: x\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
    ] as const) {
      const answer = await exchange(server, bytes);
      expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
      expect(answer).toContain('Content-Type: application/problem+json');
      expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))).toMatchObject({ status, code: 'bad_request' });
    }
  });
});

/** Sends bytes as they are and answers all that comes back until the end of the connection. */
function exchange(to: TestServer, bytes: string): Promise<string> {
  const { hostname, port } = new URL(to.url);
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(Number(port), hostname, () => socket.write(bytes));
    socket.on('data', (chunk) => (answer += String(chunk)));
    socket.on('end', () => resolve(answer));
    socket.on('error', reject);
  });
}
