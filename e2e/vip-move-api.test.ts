/** Moving a VIP between clusters over HTTP: every step, every refusal, and all others who may not take what a step has set. */
import { Writable } from 'node:stream';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runCli } from '../src/cli/program.ts';
import type { ConflictView, HistoryRow, MoveResult, Page } from '../src/contract/schemas.ts';
import { MoveResult as MoveSchema } from '../src/contract/schemas.ts';
import type { Cluster, Vip } from '../src/domain/edge/model.ts';
import { parse } from '../src/domain/schema.ts';
import { hasRedis, startRedis } from '../src/store/redis/testing.ts';
import type { RedisServer } from '../src/store/redis/testing.ts';
import { clusterOf, create, everything, expectDone, expectProblem, post, sendTo, v1, vipOf } from './fixtures.ts';
import type { Reply, Sent } from './fixtures.ts';
import { startTestServer } from './harness.ts';
import type { TestServer } from './harness.ts';

const [a, b, c] = ['cluster-1', 'cluster-2', 'cluster-3'] as const;
const vip = vipOf(1, 1, { owner: 'team', domains: ['www.example.com'] });
const address = vip.vip;
const nets = [1, 2, 3].flatMap((n) => clusterOf(n).vipnets);

let server: TestServer;

/** Clusters 1 to 3 with the same nets; the first has the VIP. */
async function make(on: TestServer): Promise<void> {
  await create(
    on,
    clusterOf(1, { vipnets: nets, vip2ws: [vipOf(1, 9), vip] }),
    clusterOf(2, { vipnets: nets }),
    clusterOf(3, { vipnets: nets, vip2ws: [] }),
  );
}

const move = (step: string, sent: Sent & { from?: string; to?: string; of?: string; query?: string } = {}) => {
  const { from = a, to = b, of = address, query = '', ...rest } = sent;
  return v1(server, `/clusters/${from}/vips/${of}/move${query}`, { method: 'POST', json: { to, step }, ...rest });
};
const done = async (step: string) => expectDone(await move(step)).json<MoveResult>();
const document = async (name: string) => expectDone(await v1(server, `/clusters/${name}`)).json<Cluster>();
const held = async (name: string): Promise<Vip | undefined> =>
  (await document(name)).vip2ws.find((one) => one.vip === address);

async function refused(reply: Reply, wanted: { status: number; code: string; path?: string }): Promise<string> {
  const { hint = '' } = expectProblem(reply, wanted);
  return hint;
}

describe('over HTTP', () => {
  beforeEach(async () => {
    server = await startTestServer();
    await make(server);
    return () => server.close();
  });

  test('its steps answer what became of both documents, and both histories tell of them', async () => {
    const begun = await move('begin', { headers: { 'if-match': '"1"' }, query: '?message=why' });
    expect(begun.headers.etag).toBe('"2"');
    expect(parse(MoveSchema, begun.json()).ok).toBe(true);
    expect(begun.json()).toMatchObject({
      vip: address,
      step: 'begin',
      from: {
        cluster: a,
        revision: 2,
        changed: true,
        dryRun: false,
        patch: { vip2ws: { set: [{ moving: { to: b } }] } },
      },
      to: { cluster: b, revision: 2, changed: true, patch: { vip2ws: { set: [{ ...vip, moving: { from: a } }] } } },
    });
    expect(await held(b)).toEqual({ ...vip, moving: { from: a } });
    const withdrawn = await done('withdraw');
    expect(withdrawn).toMatchObject({ from: { revision: 3, changed: true }, to: { revision: 2, changed: false } });
    expect(await held(a)).toEqual({ ...vip, moving: { to: b }, announce: 'none' });
    expect(await done('end')).toMatchObject({ from: { revision: 4 }, to: { revision: 3 } });
    expect([await held(a), await held(b)]).toEqual([undefined, vip]);
    const rows = async (name: string) =>
      (await v1(server, `/clusters/${name}/history`)).json<Page<HistoryRow>>().items.map((row) => row.operations);
    const input = { vip: address, to: b };
    expect(await rows(a)).toMatchObject([
      [{ op: 'vip.move.end', input }],
      [{ op: 'vip.move.withdraw', input }],
      [{ op: 'vip.move.begin', input }],
      [{ op: 'cluster.create' }],
    ]);
    const other = { vip: address, from: a };
    expect(await rows(b)).toMatchObject([
      [{ op: 'vip.move.end', input: other }],
      [{ op: 'vip.move.begin', input: other }],
      [{ op: 'cluster.create' }],
    ]);
    const [, , first] = (await v1(server, `/clusters/${a}/history`)).json<Page<HistoryRow>>().items;
    expect(first?.message).toBe('why');
  });

  test('cancelled it is as it was; a dry run changes nothing', async () => {
    const [was, other] = await Promise.all([document(a), document(b)]);
    const before = await everything(server);
    const dry = await move('begin', { query: '?dryRun=true' });
    expect(dry.json()).toMatchObject({ from: { dryRun: true, revision: 2 }, to: { dryRun: true, revision: 2 } });
    expect(dry.headers.etag).toBeUndefined();
    expect(await everything(server)).toEqual(before);
    for (const steps of [['begin'], ['begin', 'withdraw']]) {
      for (const step of [...steps, 'restore', 'cancel']) await done(step);
      expect([await document(a), await document(b)]).toEqual([was, other]);
    }
  });

  test('it is over a restart what it was', async () => {
    await done('begin');
    await done('withdraw');
    await server.restart();
    await done('end');
    await server.restart();
    expect([await held(a), await held(b)]).toEqual([undefined, vip]);
    expectDone(await post(server, `/clusters/${b}/vips`, vipOf(2, 7)));
    await refused(await post(server, `/clusters/${a}/vips`, vip), { status: 409, code: 'vip_claimed' });
  });

  test('what it cannot do is refused with the reason, and changes nothing', async () => {
    const first = await everything(server);
    await refused(await move('begin', { from: 'nowhere' }), { status: 404, code: 'not_found' });
    await refused(await move('begin', { to: 'nowhere' }), { status: 404, code: 'not_found' });
    await refused(await move('begin', { of: '172.16.1.77' }), { status: 404, code: 'unknown_vip', path: 'vip' });
    await refused(await move('begin', { of: '%00' }), { status: 404, code: 'unknown_vip' });
    await refused(await move('begin', { to: a }), { status: 422, code: 'move_same_cluster', path: 'to' });
    await refused(await move('begin', { headers: { 'if-match': '"7"' } }), { status: 412, code: 'revision_mismatch' });
    for (const step of ['withdraw', 'end', 'restore', 'cancel']) {
      await refused(await move(step), { status: 409, code: 'vip_not_moving', path: 'vip' });
    }
    for (const json of [
      {},
      { to: b },
      { to: b, step: 'stop' },
      { to: 7, step: 'end' },
      { to: b, step: 'end', x: 1 },
      [],
      null,
    ]) {
      expect((await move('begin', { json })).status).toBe(400);
    }
    expect((await move('begin', { query: '?nonsense=1' })).status).toBe(400);
    expect(await everything(server)).toEqual(first);

    await done('begin');
    const begun = await everything(server);
    await refused(await move('begin'), { status: 409, code: 'vip_moving' });
    await refused(await move('begin', { to: c }), { status: 409, code: 'vip_moving' });
    await refused(await move('begin', { from: b, to: c }), { status: 409, code: 'vip_moving' });
    await refused(await move('end'), { status: 409, code: 'move_not_withdrawn' });
    await refused(await move('cancel'), { status: 409, code: 'move_not_withdrawn' });
    for (const step of ['withdraw', 'end', 'restore', 'cancel']) {
      await refused(await move(step, { to: c }), { status: 409, code: 'vip_not_moving' });
      await refused(await move(step, { from: b, to: a }), { status: 409, code: 'vip_not_moving' });
    }
    expect(await everything(server)).toEqual(begun);
  });

  test('the other cluster must have a place for it, and announce in the same way', async () => {
    await create(
      server,
      clusterOf(4),
      clusterOf(5, { vipnets: nets, vip2ws: [], routing: 'frr', ospf: { area: '0.0.0.5' } }),
    );
    const hint = await refused(await move('begin', { to: 'cluster-4' }), {
      status: 422,
      code: 'vip_outside_vipnets',
      path: 'to.vip2ws[1].vip',
    });
    expect(hint).toBe('add its net to vipnets of cluster cluster-4 first, or name another cluster');
    await refused(await move('begin', { to: 'cluster-5' }), { status: 409, code: 'ospf_style_mixed', path: 'to' });
    expectDone(await post(server, `/clusters/${c}/vips`, vipOf(3, 1)));
    const udp = { ports: [{ sport: 53, dport: 53, synproxy: 0, persistence_timeout: 0, protocol: 'UDP' }] };
    await create(
      server,
      clusterOf(6, { dataplane: 'ipvs', routing: 'quagga', ospf: { announce: 'network' }, vip2ws: [] }),
    );
    expectDone(await post(server, '/clusters/cluster-6/vips', { ...vipOf(6, 1), ...udp }));
    expectDone(
      await v1(server, `/clusters/${c}`, { method: 'PATCH', json: { vipnets: [...nets, ...clusterOf(6).vipnets] } }),
    );
    const dialect = await move('begin', { from: 'cluster-6', of: vipOf(6, 1).vip, to: c });
    await refused(dialect, { status: 422, code: 'fullnat_udp', path: 'to.vip2ws[1].ports[0].protocol' });
  });

  describe('while it moves', () => {
    beforeEach(() => done('begin'));

    test.each([a, b])('nothing takes it from %s, nor its moving, nor the cluster', async (name) => {
      const present = await document(name);
      const at = present.vip2ws.findIndex((one) => one.vip === address);
      const { moving: _moving, ...plain } = present.vip2ws[at] as Vip;
      const path = `/clusters/${name}`;
      const whole = (vip2ws: Vip[]) => ({ method: 'PUT', json: { ...present, vip2ws } });
      const before = await everything(server);
      const tries: [string, Sent, string][] = [
        [`${path}/vips/${address}`, { method: 'DELETE' }, 'vip2ws'],
        [`${path}/vips/${address}`, { method: 'PATCH', json: { moving: null } }, `vip2ws[${at}].moving`],
        [`${path}/vips/${address}`, { method: 'PATCH', json: { moving: { to: c } } }, `vip2ws[${at}].moving`],
        [path, { method: 'DELETE' }, ''],
        [path, whole(present.vip2ws.with(at, plain)), `vip2ws[${at}].moving`],
        [path, whole(present.vip2ws.toSpliced(at, 1)), 'vip2ws'],
        [path, { method: 'PATCH', json: { vip2ws: [] } }, 'vip2ws'],
        [
          `${path}/batch`,
          batch({ op: 'vip.remove', vips: [address] }, { op: 'vip.add', vips: [plain] }),
          `vip2ws[${name === a ? 1 : at}].moving`,
        ],
        [`${path}/batch`, batch({ op: 'cluster.delete' }), ''],
        [`${path}/rollback`, { method: 'POST', json: { to: 1 } }, name === a ? `vip2ws[${at}].moving` : 'vip2ws'],
        [path, { method: 'PATCH', json: { routing: 'frr' } }, 'ospf.announce'],
      ];
      for (const [where, sent, wanted] of tries) {
        const code = wanted === 'ospf.announce' ? 'ospf_style_mixed' : 'vip_moving';
        const hint = await refused(await v1(server, where, sent), { status: 409, code, path: wanted });
        expect(hint).toMatch(/^end (?:the move|or cancel)/);
      }
      expect(await everything(server)).toEqual(before);
    });

    test.each([a, b])('the original’s calls do not take it from %s either', async (name) => {
      const before = await everything(server);
      const form = { method: 'DELETE', type: 'application/x-www-form-urlencoded' };
      const vips = `vips=${encodeURIComponent(JSON.stringify([address]))}&cfg_push=False`;
      const removed = await sendTo(server, `/lvs/${name}/vips`, { ...form, text: vips });
      expect(removed.json()).toMatchObject({ status: 'failed' });
      expect(String(removed.headers['weir-detail'])).toContain('is moving');
      const deleted = await sendTo(server, `/lvs/${name}`, { ...form, text: 'cfg_push=False' });
      expect(deleted.json()).toMatchObject({ status: 'failed' });
      expect(await everything(server)).toEqual(before);
    });

    test('nothing changes how the old cluster announces it', async () => {
      const path = `/clusters/${a}/vips/${address}`;
      for (const announce of ['none', 'all']) {
        const reply = await v1(server, path, { method: 'PATCH', json: { announce } });
        await refused(reply, { status: 409, code: 'vip_moving', path: 'vip2ws[1].announce' });
      }
      expectDone(await v1(server, `/clusters/${b}/vips/${address}`, { method: 'PATCH', json: { announce: 'all' } }));
    });

    test('documents are shown with it, and may be put back as they are; all else of it may change', async () => {
      for (const name of [a, b]) {
        const shown = await v1(server, `/clusters/${name}`);
        const put = await v1(server, `/clusters/${name}`, {
          method: 'PUT',
          text: shown.text,
          type: 'application/json',
        });
        expect(put.json()).toMatchObject({ changed: false });
        expectDone(await post(server, `/clusters/${name}/vips/${address}/wss`, `ngx9.room${name}`));
        expectDone(await post(server, `/clusters/${name}/vips`, vipOf(name === a ? 1 : 2, 20)));
      }
      const listed = (await v1(server, `/vips?vip=${address}`)).json<Page<{ cluster: string }>>();
      expect(listed.items.map((row) => row.cluster).sort()).toEqual([a, b]);
    });

    test('nobody else gets the address', async () => {
      const added = await post(server, `/clusters/${c}/vips`, vip);
      await refused(added, { status: 409, code: 'vip_claimed', path: 'vip2ws[0].vip' });
      await done('withdraw');
      await done('end');
      await refused(await post(server, `/clusters/${c}/vips`, vip), { status: 409, code: 'vip_claimed' });
    });

    test('a rollback to a revision at which it moved is refused when it is over', async () => {
      await done('restore');
      await done('cancel');
      for (const name of [a, b]) {
        const reply = await post(server, `/clusters/${name}/rollback`, { to: 2 });
        const hint = await refused(reply, { status: 409, code: 'vip_moving' });
        expect(hint).toContain('weir vip move');
        expectDone(await post(server, `/clusters/${name}/rollback`, { to: 1 }));
      }
    });
  });

  test('nobody else sets moving', async () => {
    const moving = { moving: { to: b } };
    const added = { ...vipOf(3, 1), ...moving };
    const tries: [string, Sent][] = [
      [`/clusters/${c}/vips`, { method: 'POST', json: added }],
      [`/clusters/${a}/vips/${address}`, { method: 'PATCH', json: moving }],
      [`/clusters/${c}`, { method: 'PUT', json: clusterOf(3, { vip2ws: [added] }) }],
      [
        '/clusters/cluster-9',
        { method: 'PUT', json: clusterOf(9, { vip2ws: [{ ...vipOf(9, 1), moving: { from: a } }] }) },
      ],
      ['/clusters', { method: 'POST', json: clusterOf(9, { vip2ws: [{ ...vipOf(9, 1), ...moving }] }) }],
      [
        '/clusters',
        { method: 'POST', json: [clusterOf(8), clusterOf(9, { vip2ws: [{ ...vipOf(9, 1), moving: {} }] })] },
      ],
    ];
    const before = await everything(server);
    for (const [path, sent] of tries) {
      await refused(await v1(server, path, sent), { status: 409, code: 'vip_moving' });
    }
    expect(await everything(server)).toEqual(before);
  });

  test('weir apply puts back what weir show gave, and no other', async () => {
    await done('begin');
    const folder = mkdtempSync(join(tmpdir(), 'weir-move-'));
    const file = join(folder, 'document');
    try {
      const [shown] = await weir('show', a, '-o', 'yaml');
      writeFileSync(file, shown);
      expect(await weir('apply', '-f', file)).toEqual([
        `cluster ${a}: unchanged at revision 2\n`,
        expect.not.stringContaining('moving'),
        0,
      ]);
      writeFileSync(file, shown.replace(/\n +moving:\n +to: \S+/, ''));
      const [, err, code] = await weir('apply', '-f', file);
      expect([code, err]).toEqual([
        1,
        expect.stringMatching(/is moving from cluster cluster-1 to cluster-2.*\n {2}.*--cancel/),
      ]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('an export has it, and an import brings both halves of it back', async () => {
    await done('begin');
    await done('withdraw');
    const { clusters } = (await v1(server, '/export?history=true')).json<{ clusters: { name: string }[] }>();
    const other = await startTestServer();
    const own = server;
    try {
      server = other;
      for (const one of clusters) expectDone(await post(other, '/import', one));
      expect([await held(a), await held(b)]).toMatchObject([{ moving: { to: b } }, { moving: { from: a } }]);
      await done('end');
      expect([await held(a), await held(b)]).toEqual([undefined, vip]);
    } finally {
      server = own;
      await other.close();
    }
  });

  test('a half that is imported alone can be cleared away', async () => {
    await done('begin');
    const { clusters } = (await v1(server, '/export')).json<{ clusters: { name: string }[] }>();
    const other = await startTestServer();
    try {
      for (const one of clusters) if (one.name === b) expectDone(await post(other, '/import', one));
      expectDone(await v1(other, `/clusters/${b}/vips/${address}`, { method: 'PATCH', json: { moving: null } }));
      await refused(await post(other, '/clusters', clusterOf(1, { vipnets: nets, vip2ws: [vip] })), {
        status: 409,
        code: 'vip_claimed',
      });
    } finally {
      await other.close();
    }
  });

  test('connections may be asked of all WSs of a VIP, and not of nothing', async () => {
    const path = `/clusters/${a}/connections`;
    await refused(await v1(server, path), { status: 400, code: 'missing', path: 'query.ws' });
    await refused(await v1(server, `${path}?vip=172.16.1.99`), { status: 404, code: 'not_found' });
    const { text } = expectDone(await v1(server, `${path}?vip=${address}`));
    expect(JSON.parse(text)).toMatchObject({ ws: null, lbs: { 'lb1.room1': { active: null } } });
  });
});

function batch(...operations: object[]): Sent {
  return { method: 'POST', json: { operations } };
}

/** Standard output, standard error, exit code. */
async function weir(...argv: string[]): Promise<[string, string, number]> {
  const texts: [string, string] = ['', ''];
  const [stdout, stderr] = [0, 1].map((i) => {
    const write = (chunk: unknown, _encoding: unknown, next: () => void) => {
      texts[i as 0 | 1] += String(chunk);
      next();
    };
    return new Writable({ write }) as unknown as NodeJS.WriteStream;
  }) as [NodeJS.WriteStream, NodeJS.WriteStream];
  const options = { version: '0', extra: [], env: { WEIR_TOKEN: server.token }, stdout, stderr };
  const code = await runCli(['--url', server.url, ...argv], options);
  return [...texts, code];
}

describe.skipIf(!hasRedis)('beside the original, on Redis', { timeout: 60_000 }, () => {
  let redis: RedisServer;

  beforeEach(async () => {
    redis = await startRedis();
    server = await startTestServer({ settings: { store: redis.url } });
    await make(server);
  });
  afterEach(async () => {
    await server?.close();
    await redis?.close();
  });

  const mirror = async (name: string) =>
    JSON.parse((await redis.client.hget(`cluster:${name}`, 'vip2ws')) ?? '[]') as Vip[];
  const write = (name: string, vips: Vip[]) => redis.client.hset(`cluster:${name}`, 'vip2ws', JSON.stringify(vips));
  const conflicts = async () => (await v1(server, '/conflicts')).json<{ items: ConflictView[] }>().items;

  test('the mirrors of both have it meanwhile, with the documented fields, and foreign writes of it are merged', async () => {
    const [was] = (await mirror(a)).filter((one) => one.vip === address);
    await done('begin');
    for (const name of [a, b]) expect((await mirror(name)).find((one) => one.vip === address)).toEqual(was);
    for (const name of [a, b]) {
      const vips = await mirror(name);
      await write(
        name,
        vips.map((one) => (one.vip === address ? { ...one, wstype: `by-${name}` } : one)),
      );
      await expect.poll(async () => (await held(name))?.wstype, { timeout: 20_000 }).toBe(`by-${name}`);
    }
    expect([(await held(a))?.moving, (await held(b))?.moving]).toEqual([{ to: b }, { from: a }]);
    await done('withdraw');
    expect((await mirror(a)).find((one) => one.vip === address)).toMatchObject({ wstype: `by-${a}` });
    await done('end');
    expect([await mirror(a), await mirror(b)].map((vips) => vips.some((one) => one.vip === address))).toEqual([
      false,
      true,
    ]);
    expect(await conflicts()).toEqual([]);
  });

  test.each([a, b])(
    'one that removes it from %s, or the record, is a conflict, and the mirror is as it was',
    async (name) => {
      await done('begin');
      const vips = await mirror(name);
      await write(
        name,
        vips.filter((one) => one.vip !== address),
      );
      await expect.poll(async () => (await conflicts()).length, { timeout: 20_000 }).toBe(1);
      const [conflict] = await conflicts();
      expect(conflict?.problems).toMatchObject([{ code: 'vip_moving' }]);
      await expect.poll(() => mirror(name), { timeout: 20_000 }).toEqual(vips);
      await redis.client.del(`cluster:${name}`);
      await expect.poll(async () => (await conflicts()).length, { timeout: 20_000 }).toBe(2);
      await expect.poll(() => mirror(name), { timeout: 20_000 }).toEqual(vips);
      await done('restore');
      await done('cancel');
    },
  );
});
