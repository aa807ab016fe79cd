/** Every route that runs an operation, and batch, rollback and LIPs: what they do, and that what is refused or dry does nothing. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ChangeResult, HistoryRow, Page } from '../src/contract/schemas.ts';
import { operationRoutes } from '../src/contract/routes.ts';
import type { Cluster } from '../src/domain/edge/model.ts';
import { operations } from '../src/domain/edge/operations.ts';
import {
  clusterOf,
  create,
  eventCount,
  everything,
  expectDone,
  expectProblem,
  lbOf,
  portOf,
  post,
  seedLb,
  seedName,
  seedText,
  v1,
  vipOf,
} from './fixtures.ts';
import type { Sent } from './fixtures.ts';
import { startTestServer } from './harness.ts';
import type { TestServer } from './harness.ts';

let server: TestServer;
let last = 0;

beforeAll(async () => {
  server = await startTestServer();
});

afterAll(() => server.close());

/** A cluster of its own for a test: two LBs, two VIPs. */
async function fresh(): Promise<{ n: number; name: string; before: Cluster }> {
  const n = ++last;
  const before = clusterOf(n, { lbinfos: [lbOf(n, 1), lbOf(n, 2)], vip2ws: [vipOf(n, 1), vipOf(n, 2)] });
  await create(server, before);
  return { n, name: before.name, before };
}

async function documentOf(name: string): Promise<{ document: Cluster; etag: string | undefined }> {
  const reply = expectDone(await v1(server, `/clusters/${name}`));
  return { document: reply.json(), etag: reply.headers.etag };
}

interface Change {
  op: string;
  /** Address and body for the nth cluster. */
  request: (n: number) => { method: string; path: string; json?: unknown };
  /** The document afterwards. */
  after: (before: Cluster, n: number) => Cluster | undefined;
  /** A part that is not there, in the address. */
  absent?: (n: number) => string;
}

function at(n: number, ...steps: readonly (string | number)[]): string {
  return ['/clusters', `cluster-${n}`, ...steps].join('/');
}

function withVip(cluster: Cluster, change: (vip: Cluster['vip2ws'][number]) => object): Cluster {
  const [vip, ...others] = cluster.vip2ws;
  return { ...cluster, vip2ws: [{ ...vip, ...change(vip!) } as Cluster['vip2ws'][number], ...others] };
}

const vip = (n: number) => vipOf(n, 1).vip;

const changes: readonly Change[] = [
  {
    op: 'cluster.replace',
    request: (n) => ({ method: 'PUT', path: at(n), json: clusterOf(n, { linkspeed: '10g' }) }),
    after: (_before, n) => clusterOf(n, { linkspeed: '10g' }),
  },
  {
    op: 'cluster.set',
    request: (n) => ({ method: 'PATCH', path: at(n), json: { linkspeed: '1g', ospf: { cost: 20 } } }),
    after: (before) => ({ ...before, linkspeed: '1g', ospf: { cost: 20 } }),
  },
  { op: 'cluster.delete', request: (n) => ({ method: 'DELETE', path: at(n) }), after: () => undefined },
  {
    op: 'vip.add',
    request: (n) => ({ method: 'POST', path: at(n, 'vips'), json: { ...vipOf(n, 3), ports: undefined } }),
    after: (before, n) => ({ ...before, vip2ws: [...before.vip2ws, vipOf(n, 3)] }),
  },
  {
    op: 'vip.set',
    request: (n) => ({ method: 'PATCH', path: at(n, 'vips', vip(n)), json: { wstype: 'search', owner: '网络组' } }),
    after: (before) => withVip(before, () => ({ wstype: 'search', owner: '网络组' })),
    absent: (n) => at(n, 'vips', '172.31.9.9'),
  },
  {
    op: 'vip.remove',
    request: (n) => ({ method: 'DELETE', path: at(n, 'vips', vip(n)) }),
    after: (before) => ({ ...before, vip2ws: before.vip2ws.slice(1) }),
    absent: (n) => at(n, 'vips', '172.31.9.9'),
  },
  {
    op: 'lb.add',
    request: (n) => ({ method: 'POST', path: at(n, 'lbs'), json: lbOf(n, 3) }),
    after: (before, n) => ({ ...before, lbinfos: [...before.lbinfos, lbOf(n, 3)] }),
  },
  {
    op: 'lb.set',
    request: (n) => ({ method: 'PATCH', path: at(n, 'lbs', lbOf(n, 2).hostname), json: { state: 'drain' } }),
    after: (before, n) => ({ ...before, lbinfos: [lbOf(n, 1), lbOf(n, 2, { state: 'drain' })] }),
    absent: (n) => at(n, 'lbs', 'nobody.room'),
  },
  {
    op: 'lb.remove',
    request: (n) => ({ method: 'DELETE', path: at(n, 'lbs', lbOf(n, 2).hostname) }),
    after: (before, n) => ({ ...before, lbinfos: [lbOf(n, 1)] }),
    absent: (n) => at(n, 'lbs', 'nobody.room'),
  },
  {
    op: 'ws.add',
    request: (n) => ({
      method: 'POST',
      path: at(n, 'vips', vip(n), 'wss'),
      json: ['ngx3.room', { ws: 'ngx4.room', weight: 7 }],
    }),
    after: (before) =>
      withVip(before, (v) => ({
        wss: [...v.wss, 'ngx3.room', 'ngx4.room'],
        wsattrs: { 'ngx4.room': { weight: 7 } },
      })),
  },
  {
    op: 'ws.set',
    request: (n) => ({
      method: 'PATCH',
      path: at(n, 'vips', vip(n), 'wss', `ngx1.room${n}`),
      json: { state: 'drain' },
    }),
    after: (before, n) => withVip(before, () => ({ wsattrs: { [`ngx1.room${n}`]: { state: 'drain' } } })),
    absent: (n) => at(n, 'vips', vip(n), 'wss', 'nobody.room'),
  },
  {
    op: 'ws.remove',
    request: (n) => ({ method: 'DELETE', path: at(n, 'vips', vip(n), 'wss', `ngx1.room${n}`) }),
    after: (before, n) => withVip(before, () => ({ wss: [`ngx2.room${n}`] })),
    absent: (n) => at(n, 'vips', vip(n), 'wss', 'nobody.room'),
  },
  {
    op: 'port.add',
    request: (n) => ({ method: 'POST', path: at(n, 'vips', vip(n), 'ports'), json: { sport: 8080, dport: 80 } }),
    after: (before) => withVip(before, (v) => ({ ports: [...v.ports, portOf(80, { sport: 8080 })] })),
  },
  {
    op: 'port.set',
    request: (n) => ({ method: 'PATCH', path: at(n, 'vips', vip(n), 'ports', '443:TCP'), json: { dport: 8443 } }),
    after: (before) => withVip(before, () => ({ ports: [portOf(80), portOf(443, { dport: 8443 })] })),
    absent: (n) => at(n, 'vips', vip(n), 'ports', 81),
  },
  {
    op: 'port.remove',
    request: (n) => ({ method: 'DELETE', path: at(n, 'vips', vip(n), 'ports', 443) }),
    after: (before) => withVip(before, () => ({ ports: [portOf(80)] })),
    absent: (n) => at(n, 'vips', vip(n), 'ports', 81),
  },
];

test('the changes tested here are all operations of the domain, each on its route', () => {
  const tested = [...changes.map((c) => c.op), 'cluster.create'].toSorted();
  expect(tested).toEqual([...operations.keys()].toSorted());
  expect(operationRoutes.map((r) => r.operation).toSorted()).toEqual(tested);
});

describe.each(changes)('$op', ({ op, request, after, absent }) => {
  function send(n: number, extra: Sent & { query?: string } = {}) {
    const { path, ...sent } = request(n);
    return v1(server, `${path}${extra.query ?? ''}`, { ...sent, ...extra });
  }

  test('makes the next revision, keeps it in history with its message, and answers its ETag', async () => {
    const { n, name, before } = await fresh();
    const reply = expectDone(await send(n, { query: '?message=why%20not', headers: { 'if-match': '"1"' } }));
    const wanted = after(before, n);
    expect(reply.json<ChangeResult>()).toMatchObject({
      cluster: name,
      revision: 2,
      changed: true,
      dryRun: false,
      deleted: wanted === undefined,
    });
    const [newest, first] = expectDone(await v1(server, `/clusters/${name}/history`)).json<Page<HistoryRow>>().items;
    expect(newest).toMatchObject({ revision: 2, by: 'admin', message: 'why not', operations: [{ op }] });
    expect(first?.revision).toBe(1);
    if (wanted === undefined) {
      expectProblem(await v1(server, `/clusters/${name}`), { status: 404, code: 'not_found' });
      return;
    }
    expect(reply.headers.etag).toBe('"2"');
    expect(await documentOf(name)).toEqual({ document: JSON.parse(JSON.stringify(wanted)), etag: '"2"' });
  });

  test('changes nothing in a dry run, but answers what would be', async () => {
    const { n, before } = await fresh();
    const present = await everything(server);
    const reply = expectDone(await send(n, { query: '?dryRun=true' }));
    expect(reply.json<ChangeResult>()).toMatchObject({ revision: 2, changed: true, dryRun: true });
    expect(reply.json<ChangeResult>().deleted).toBe(after(before, n) === undefined);
    expect(reply.headers.etag).toBeUndefined();
    expect(await everything(server)).toEqual(present);
  });

  test('is refused with the current revision and ETag where If-Match is stale', async () => {
    const { n } = await fresh();
    const present = await everything(server);
    const reply = await send(n, { headers: { 'if-match': '"7"' } });
    const problem = expectProblem(reply, { status: 412, code: 'revision_mismatch' });
    expect(problem.revision).toBe(1);
    expect(reply.headers.etag).toBe('"1"');
    expect(await everything(server)).toEqual(present);
  });

  test('refuses unknown and malformed query parameters and tags, and does nothing', async () => {
    const { n } = await fresh();
    const present = await everything(server);
    for (const query of ['?dryrun=true', '?dryRun=yes', '?dryRun=true&dryRun=true', '?__proto__=1']) {
      expectProblem(await send(n, { query }), { status: 400, code: 'bad_request' });
    }
    expectProblem(await send(n, { headers: { 'if-match': '7' } }), { status: 400, code: 'bad_etag' });
    expect(await everything(server)).toEqual(present);
  });

  test('is not found for a cluster or a part that is not there', async () => {
    const { n } = await fresh();
    const present = await everything(server);
    const { path, ...sent } = request(n);
    if (op !== 'cluster.replace') {
      const reply = await v1(server, path.replace(`cluster-${n}`, 'nowhere'), sent);
      expectProblem(reply, { status: 404, code: 'unknown_cluster' });
    }
    if (absent) expectProblem(await v1(server, absent(n), sent), { status: 404, code: 'not_found' });
    expect(await everything(server)).toEqual(present);
  });
});

describe('cluster.create', () => {
  test('takes the seed’s example as it stands, as text, JSON5 and YAML', async () => {
    const types = ['text/plain', 'text/plain; charset=utf-8', 'application/json5', 'application/yaml', 'text/yaml'];
    for (const type of types) {
      const reply = expectDone(await v1(server, '/clusters', { method: 'POST', text: seedText, type }));
      expect(reply.status).toBe(201);
      expect(reply.headers.location).toBe(`/api/v1/clusters/${seedName}`);
      const { revision, lips } = reply.json<ChangeResult>();
      expect(reply.headers.etag).toBe(`"${revision}"`);
      expect(lips[seedLb]).toHaveLength(8);
      const { document } = await documentOf(seedName);
      expect(document).toMatchObject({ device: 'em1', type: 'extra', lbinfos: [{ hostname: seedLb }] });
      expect(document.vip2ws.map((v) => v.wss)).toEqual([
        ['apps-extngtest0-bgp0.hy01'],
        ['search-extngtest0-bgp0.hy01'],
      ]);
      expectDone(await v1(server, `/clusters/${seedName}`, { method: 'DELETE' }));
    }
  });

  test('goes on with the revisions of a deleted cluster of that name', async () => {
    const { n, name } = await fresh();
    expectDone(await v1(server, at(n), { method: 'DELETE' }));
    const reply = expectDone(await post(server, '/clusters', clusterOf(n)));
    expect(reply.headers.etag).toBe('"3"');
    const { items } = expectDone(await v1(server, `/clusters/${name}/history`)).json<Page<HistoryRow>>();
    expect(items.map((r) => [r.revision, r.deleted])).toEqual([
      [3, false],
      [2, true],
      [1, false],
    ]);
    expect(expectDone(await v1(server, at(n, 'history', 2))).json()).toMatchObject({ document: null, deleted: true });
  });

  test('makes a whole list, or nothing of it', async () => {
    const [a, b, c] = [++last, ++last, ++last];
    const present = await everything(server);
    const broken = [clusterOf(a), clusterOf(b, { device: 'lo' })];
    expectProblem(await post(server, '/clusters', broken), { status: 422, path: '[1].device' });
    const same = [clusterOf(a), clusterOf(a)];
    expectProblem(await post(server, '/clusters', same), { status: 422, code: 'duplicate_cluster', path: '[1].name' });
    // Either would be right alone.
    const vipnets = [a, b].flatMap((n) => clusterOf(n).vipnets);
    const mixed = [
      clusterOf(a, { vipnets, ospf: { announce: 'network' } }),
      clusterOf(b, { vipnets, ospf: { announce: 'redistribute' } }),
    ];
    const style = { status: 422, code: 'ospf_style_mixed', path: '[1].ospf.announce' };
    expectProblem(await post(server, '/clusters', mixed), style);
    const crossing = [
      clusterOf(a),
      clusterOf(b),
      clusterOf(c, { vipnets: clusterOf(a).vipnets, vip2ws: [vipOf(a, 1)] }),
    ];
    const problem = expectProblem(await post(server, '/clusters', crossing), { status: 409, code: 'vip_claimed' });
    expect(problem.problems.map((p) => p.path)).toEqual(['[2].vip2ws[0].vip']);
    expectProblem(await post(server, '/clusters', []), { status: 422 });
    expectDone(await post(server, '/clusters?dryRun=true', [clusterOf(a), clusterOf(b)]));
    expect(await everything(server)).toEqual(present);
    const reply = expectDone(await post(server, '/clusters', [clusterOf(a), clusterOf(b)]));
    expect(reply.status).toBe(201);
    expect(reply.json<ChangeResult[]>().map((r) => [r.cluster, r.revision])).toEqual([
      [`cluster-${a}`, 1],
      [`cluster-${b}`, 1],
    ]);
  });

  test('is refused where the cluster exists', async () => {
    const { before } = await fresh();
    const present = await everything(server);
    expectProblem(await post(server, '/clusters', before), { status: 409, code: 'cluster_exists' });
    expectProblem(await post(server, '/clusters?dryRun=true', before), { status: 409, code: 'cluster_exists' });
    expect(await everything(server)).toEqual(present);
  });
});

describe('cluster.replace', () => {
  test('makes a cluster that is not there, with 201', async () => {
    const n = ++last;
    const dry = expectDone(await v1(server, `${at(n)}?dryRun=true`, { method: 'PUT', json: clusterOf(n) }));
    expect(dry.status).toBe(200);
    expectProblem(await v1(server, at(n)), { status: 404 });
    expect(expectDone(await v1(server, at(n), { method: 'PUT', json: clusterOf(n) })).status).toBe(201);
  });

  test('makes no revision and no event of a document that is there already, whatever the order of its keys', async () => {
    const { n, before } = await fresh();
    const present = await everything(server);
    const turned = Object.fromEntries(Object.entries(before).toReversed());
    const reply = expectDone(await v1(server, at(n), { method: 'PUT', json: turned }));
    expect(reply.json<ChangeResult>()).toMatchObject({ changed: false, revision: 1 });
    expect(reply.headers.etag).toBe('"1"');
    expect(await everything(server)).toEqual(present);
  });

  test('takes back what GET answered', async () => {
    const { n, name } = await fresh();
    const { document } = await documentOf(name);
    expect(expectDone(await v1(server, at(n), { method: 'PUT', json: document })).json()).toMatchObject({
      changed: false,
    });
  });

  test('is refused under another name than the address has', async () => {
    const { n } = await fresh();
    const json = clusterOf(n, { name: 'other' });
    expectProblem(await v1(server, at(n), { method: 'PUT', json }), {
      status: 422,
      code: 'name_mismatch',
      path: 'name',
    });
  });
});

describe('batch', () => {
  test('does all of its operations in one revision, or none', async () => {
    const { n, name } = await fresh();
    const good = [
      { op: 'ws.add', vip: vip(n), wss: 'ngx9.room' },
      { op: 'port.remove', vip: vip(n), ports: '443' },
      { op: 'vip.remove', vips: vipOf(n, 2).vip },
    ];
    const present = await everything(server);
    const bad = { operations: [...good, { op: 'ws.remove', vip: vip(n), wss: ['nobody.room'] }] };
    const refused = await post(server, at(n, 'batch'), bad);
    expectProblem(refused, { status: 404, code: 'unknown_ws', path: 'operations[3].wss[0]' });
    const unknown = {
      operations: [
        { op: 'ws.ad', vip: vip(n) },
        { op: 'lb.set', lb: 'x', sets: {} },
      ],
    };
    const problem = expectProblem(await post(server, at(n, 'batch'), unknown), { status: 422 });
    expect(problem.problems.map((p) => p.path)).toEqual(
      expect.arrayContaining(['operations[0].op', 'operations[1].sets', 'operations[1].set']),
    );
    expectDone(await post(server, `${at(n, 'batch')}?dryRun=true`, { operations: good }));
    expect(await everything(server)).toEqual(present);
    const reply = expectDone(await post(server, at(n, 'batch'), { operations: good }));
    expect(reply.headers.etag).toBe('"2"');
    const { document } = await documentOf(name);
    expect(document.vip2ws).toEqual([vipOf(n, 1, { wss: [...vipOf(n, 1).wss, 'ngx9.room'], ports: [portOf(80)] })]);
  });

  test('may create the cluster first', async () => {
    const n = ++last;
    const calls = [
      { op: 'cluster.create', cluster: clusterOf(n) },
      { op: 'lb.add', lbs: [lbOf(n, 2)] },
    ];
    expectDone(await post(server, at(n, 'batch'), { operations: calls }));
    expect((await documentOf(`cluster-${n}`)).document.lbinfos).toHaveLength(2);
  });

  test('leaves no trace of a cluster that it creates and deletes', async () => {
    const n = ++last;
    const events = await eventCount(server);
    const operations = [{ op: 'cluster.create', cluster: clusterOf(n) }, { op: 'cluster.delete' }];
    const reply = expectDone(await post(server, at(n, 'batch'), { operations }));
    expect(reply.json<ChangeResult>()).toMatchObject({ changed: false, revision: 0, deleted: true });
    expect(await eventCount(server)).toBe(events);
    expectProblem(await v1(server, at(n, 'history')), { status: 404 });
  });

  test('is refused where If-Match is stale', async () => {
    const { n } = await fresh();
    const json = { operations: [{ op: 'cluster.delete' }] };
    const reply = await v1(server, at(n, 'batch'), { method: 'POST', json, headers: { 'if-match': '"2"' } });
    expect(expectProblem(reply, { status: 412 }).revision).toBe(1);
  });
});

describe('rollback', () => {
  test('makes a new revision that equals an old one', async () => {
    const { n, name, before } = await fresh();
    expectDone(await v1(server, at(n), { method: 'PATCH', json: { linkspeed: '1g' } }));
    expectDone(await v1(server, at(n, 'vips', vip(n)), { method: 'DELETE' }));
    const present = await everything(server);
    expectDone(await post(server, `${at(n, 'rollback')}?dryRun=true`, { to: 1 }));
    const stale = { method: 'POST', json: { to: 1 }, headers: { 'if-match': '"2"' } };
    expect(expectProblem(await v1(server, at(n, 'rollback'), stale), { status: 412 }).revision).toBe(3);
    expectProblem(await post(server, at(n, 'rollback'), { to: 99 }), { status: 404 });
    expectProblem(await post(server, at(n, 'rollback'), { to: 0 }), { status: 400, path: 'to' });
    expectProblem(await post(server, at(n, 'rollback'), {}), { status: 400, path: 'to' });
    expect(await everything(server)).toEqual(present);
    const reply = expectDone(await post(server, at(n, 'rollback'), { to: 1 }));
    expect(reply.headers.etag).toBe('"4"');
    expect((await documentOf(name)).document).toEqual(before);
    const [newest] = expectDone(await v1(server, at(n, 'history'))).json<Page<HistoryRow>>().items;
    expect(newest?.message).toBe('rollback to revision 1');
  });

  test('brings back a deleted cluster', async () => {
    const { n, name, before } = await fresh();
    expectDone(await v1(server, at(n), { method: 'DELETE' }));
    expectDone(await post(server, at(n, 'rollback'), { to: 1 }));
    expect(await documentOf(name)).toEqual({ document: before, etag: '"3"' });
  });
});

test('what a deleted cluster held and mentioned can be had by others', async () => {
  const [a, b] = [++last, ++last];
  await create(server, clusterOf(a));
  const gateway = lbOf(a, 1).internalgateway;
  const taking = clusterOf(b, { lbinfos: [lbOf(b, 1, { lips: [gateway] })] });
  expectProblem(await post(server, '/clusters', taking), { status: 409, code: 'address_claimed' });
  expectProblem(await post(server, '/clusters', clusterOf(a, { name: `cluster-${b}` })), {
    status: 409,
    code: 'claimed',
  });
  expectDone(await v1(server, at(a), { method: 'DELETE' }));
  expectDone(await post(server, '/clusters', taking));
  expectDone(await v1(server, at(b), { method: 'DELETE' }));
  expectDone(await post(server, '/clusters', clusterOf(a, { name: `cluster-${b}` })));
});

describe('LIPs', () => {
  interface Lips {
    lbs: Record<string, string[]>;
    quarantine: Record<string, { lb: string }>;
  }

  test('of a removed LB stay in quarantine until they are freed', async () => {
    const { n } = await fresh();
    const before = expectDone(await v1(server, at(n, 'lips'))).json<Lips>();
    const gone = lbOf(n, 2).hostname;
    const theirs = before.lbs[gone] ?? [];
    expect(theirs).toHaveLength(8);
    expectDone(await v1(server, at(n, 'lbs', gone), { method: 'DELETE' }));
    const after = expectDone(await v1(server, at(n, 'lips'))).json<Lips>();
    expect(Object.keys(after.lbs)).toEqual([lbOf(n, 1).hostname]);
    expect(Object.keys(after.quarantine).toSorted()).toEqual(theirs.toSorted());
    const taken = await v1(server, at(n, 'lbs'), { method: 'POST', json: lbOf(n, 3, { lips: [theirs[0] ?? ''] }) });
    expectProblem(taken, { status: 422, code: 'lip_quarantined', path: 'lbinfos[1].lips' });
    const present = await everything(server);
    expectProblem(await post(server, at(n, 'lips/free'), { lips: ['10.9.9.9'] }), {
      status: 404,
      code: 'not_quarantined',
    });
    expectProblem(await post(server, `${at(n, 'lips/free')}?dryRun=true`, { lips: theirs }), { status: 400 });
    expectProblem(await post(server, '/clusters/nowhere/lips/free', { lips: theirs }), { status: 404 });
    expect(await everything(server)).toEqual(present);
    const freed = expectDone(await post(server, at(n, 'lips/free'), { lips: theirs }));
    expect(freed.json<Lips>().quarantine).toEqual({});
    expectDone(await v1(server, at(n, 'lbs'), { method: 'POST', json: lbOf(n, 3, { lips: theirs }) }));
  });
});
