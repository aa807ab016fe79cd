import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { originalRoutes } from '../../contract/original.ts';
import type { OriginalRoute } from '../../contract/original.ts';
import { checkCluster } from '../../domain/edge/check.ts';
import { errorsOf } from '../../domain/problem.ts';
import type { ApiError } from '../../contract/schemas.ts';
import { noPush, openOriginal, told } from './testing.ts';
import type { Original, Sent } from './testing.ts';

let api: Original;

beforeAll(async () => {
  api = await openOriginal();
});

afterAll(() => api.close());

const routes: Record<string, OriginalRoute> = originalRoutes;
const VIP = '10.1.0.1';
const URLENCODED = 'application/x-www-form-urlencoded';

function wstype(): string | undefined {
  return api.jobs.state.get('c')?.cluster.vip2ws[0]?.wstype;
}

/** A change of the wstype that pushes nothing, with the arguments as they are given here. */
async function setWstype(sent: Sent): Promise<string | undefined> {
  const reply = await api.call('PATCH /c/wstype', { query: noPush, ...sent });
  expect(told(reply)).toContain('"success"');
  return wstype();
}

const body = (text: string, type = URLENCODED) => ({ body: { type, text } });

describe('arguments', () => {
  test('are taken from the body and from the address, in the body first', async () => {
    expect(await setWstype({ form: { vip: VIP, wstype: 'in-body' } })).toBe('in-body');
    expect(await setWstype({ query: { ...noPush, vip: VIP, wstype: 'in-query' } })).toBe('in-query');
    const both = { query: { ...noPush, vip: 'x', wstype: 'of-query' }, form: { vip: VIP } };
    expect(await setWstype(both)).toBe('of-query');
  });

  test('count by their last value, without white space around it', async () => {
    expect(await setWstype(body(`vip=1&wstype=a&vip=%20${VIP}%0A&wstype=b&wstype=+last%00`))).toBe('last');
    expect(await setWstype(body(`vip=${VIP}&wstype=%E3%80%80wide%C2%A0`))).toBe('wide');
  });

  test('may come as multipart, but not as files', async () => {
    const part = (name: string, value: string, more = '') =>
      `--b\r\nContent-Disposition: form-data; name="${name}"${more}\r\n\r\n${value}\r\n`;
    const type = 'multipart/form-data; boundary=b';
    expect(await setWstype(body(`${part('vip', VIP)}${part('wstype', ' parts')}--b--\r\n`, type))).toBe('parts');
    const file = await api.call('PATCH /c/wstype', body(`${part('vip', VIP, '; filename="x"')}--b--\r\n`, type));
    expect(file.statusCode).toBe(400);
    expect(file.json<ApiError>().detail).toBe('vip is a file');
    const broken = [body('--b\r\nnonsense', type), body('', type), body('x', 'multipart/form-data')];
    for (const sent of broken) expect((await api.call('PATCH /c/wstype', sent)).statusCode).toBe(400);
  });

  test('that are missing are named, all of them', async () => {
    const reply = await api.call('PATCH /c/ports', { form: { vip: VIP } });
    expect(reply.statusCode).toBe(400);
    expect(reply.json<ApiError>().problems.map((p) => [p.path, p.code])).toEqual([
      ['sport', 'missing'],
      ['port', 'missing'],
    ]);
    const none = await api.call('POST /');
    const wanted = ['name', 'type', 'lbinfos', 'vip2ws', 'vipnets', 'device'];
    expect(none.json<ApiError>().problems.map((p) => p.path)).toEqual(wanted);
  });

  test('that are no lists are as long as a name may be, and no longer', async () => {
    const long = 'x'.repeat(1001);
    const reply = await api.call('PATCH /c/wstype', { form: { vip: long, wstype: long, ...noPush } });
    expect(reply.statusCode).toBe(400);
    expect(reply.json<ApiError>().problems.map((p) => [p.path, p.code])).toEqual([
      ['vip', 'out_of_range'],
      ['wstype', 'out_of_range'],
    ]);
    expect(told(await api.call('POST /sync', { form: { name: 'x'.repeat(1000) } }))).toContain('"failed"');
  });

  test('that a call does not have are passed over, and told', async () => {
    const reply = await api.call('PATCH /c/wstype', {
      form: { vip: VIP, wstype: 'x', wstyp: '1', ключ: '', ...noPush },
    });
    expect(told(reply)).toMatch(/success.*: passed over: wstyp, ключ$/);
  });

  test('that are lists may be Python literals, and numbers text', async () => {
    const add = (vip2ws: string) => api.call('POST /c/wss', { form: { vip2ws, ...noPush } });
    expect(told(await add(`[{u'vip': '${VIP}', 'wss': (u'ws3.room1', "ws4.room1",)}]`))).toContain('success');
    expect(api.jobs.state.get('c')?.cluster.vip2ws[0]?.wss).toHaveLength(4);
    const remove = await api.call('DELETE /c/wss', {
      query: { vip2ws: `[{'vip': '${VIP}', 'wss': ['ws3.room1', 'ws4.room1']}]`, ...noPush },
    });
    expect(told(remove)).toContain('success');
  });

  test('that are no JSON, or another thing than they should be, are a failure that says where', async () => {
    const wrong: [what: string, form: object, why: RegExp][] = [
      ['POST /c/vips', { vip2ws: '[{"vip"' }, /vip2ws: cannot be read: .*character 8/],
      ['POST /c/vips', { vip2ws: '' }, /vip2ws: cannot be read/],
      ['POST /c/vips', { vip2ws: '{}' }, /vip2ws: must be a list, not \{\}/],
      ['POST /c/vips', { vip2ws: `[${'0,'.repeat(20000)}0]` }, /vip2ws: holds 20001 entries/],
      ['POST /c/vips', { vip2ws: '[1]' }, /vip2ws\[0\]: must be an object, not 1/],
      ['POST /c/vips', { vip2ws: '[[]]' }, /vip2ws\[0\]: must be an object/],
      ['POST /c/vips', { vip2ws: '[{"vip":1,"wstype":"x"}]' }, /vip2ws\[0\]\.vip: must be a string/],
      ['DELETE /c/vips', { vips: '"10.1.0.1"' }, /vips: must be a list/],
      ['DELETE /c/vips', { vips: '[null]' }, /vips\[0\]: must be a string/],
      ['DELETE /c/lbs', { lbs: '[{"hostname":"lb1.room1"}]' }, /lbs\[0\]: must be a string/],
      ['POST /c/wss', { vip2ws: `[{"vip":"${VIP}","wss":"ws1.room1"}]` }, /vip2ws\[0\]\.wss: must be an array/],
      ['POST /c/wss', { vip2ws: `[{"vip":"${VIP}"}]` }, /vip2ws\[0\]\.wss: wss is missing/],
      ['POST /c/ports', { vip: VIP, ports: '[80]' }, /ports\[0\]: must be an object/],
      ['POST /c/ports', { vip: VIP, ports: '[{"sport":81,"dport":"x"}]' }, /ports\[0\]\.dport: must be an integer/],
      ['DELETE /c/ports', { vip: VIP, sports: '[80.5]' }, /sports: must be a port/],
      ['DELETE /c/ports', { vip: VIP, sports: '80' }, /sports: must be a list/],
      ['PATCH /c/ports', { vip: VIP, sport: 'http', port: '{}' }, /sport: must be a port, not "http"/],
      ['PATCH /c/ports', { vip: VIP, sport: '80', port: '[]' }, /port: must be an object/],
      ['PATCH /c/ports', { vip: VIP, sport: '80', port: 'null' }, /port: must be an object, not null/],
      ['POST /c/lbs', { lbinfos: '[{"__proto__":{"hostname":"x"}}]' }, /lbinfos\[0\]/],
    ];
    for (const [what, form, why] of wrong) {
      const said = told(await api.call(what, { form: { ...form, ...noPush } }));
      expect(said).toMatch(/^200 .*"failed"/);
      expect(said).toMatch(why);
    }
  });
});

test('of many problems the first are told', async () => {
  const vip2ws = Array.from({ length: 500 }, () => ({ viip: VIP }));
  await api.call('POST /c/vips', { form: { vip2ws, ...noPush } });
  expect(api.logged.at(-1)?.['details']).toHaveLength(1);
  expect(String(api.logged.at(-1)?.['details'])).toMatch(
    /^vip2ws\[0\]\.viip: unknown field "viip" \(did you mean vip\?\); .*; and 480 more$/,
  );
});

describe('bodies', () => {
  test('of other types are refused with what to send, unless they are empty', async () => {
    for (const type of ['application/json', 'text/plain', 'application/xml']) {
      const reply = await api.call('PATCH /c/wstype', body('{}', type));
      expect(reply.statusCode).toBe(415);
      expect(reply.json<ApiError>().hint).toContain(URLENCODED);
      expect(await setWstype({ query: { ...noPush, vip: VIP, wstype: 'x' }, headers: { 'content-type': type } })).toBe(
        'x',
      );
    }
  });

  test('are read by their type, however it is written', async () => {
    expect(await setWstype(body(`vip=${VIP}&wstype=upper`, 'Application/X-WWW-Form-URLencoded; Charset=UTF-8'))).toBe(
      'upper',
    );
  });

  test('of more fields than any call has are refused', async () => {
    const part = '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n';
    const many = [
      body(`vip=${VIP}&wstype=x${'&a'.repeat(1000)}`),
      body(`${part.repeat(1001)}--b--\r\n`, 'multipart/form-data; boundary=b'),
    ];
    for (const sent of many) {
      const reply = await api.call('PATCH /c/wstype', sent);
      expect(reply.statusCode).toBe(400);
      expect(reply.json<ApiError>().detail).toBe('more than 1000 fields');
    }
  });
});

const changing = Object.entries(routes).filter(([name, { args }]) => args && name !== 'clusterDelete');

test('no text in any argument is a fault, or breaks a document', async () => {
  const value = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.json({ maxDepth: 4 }),
    fc.constantFrom(VIP, '80', '[]', '{}', 'null', '\u0000', '[{"vip":"10.1.0.1","wss":["a b"]}]', '['.repeat(5000)),
  );
  const call = fc.constantFrom(...changing.map(([name]) => name)).chain((name) => {
    const fields = Object.keys(routes[name]?.args?.properties ?? {}).filter((field) => field !== 'cfg_push');
    return fc.record({ name: fc.constant(name), form: fc.record(Object.fromEntries(fields.map((f) => [f, value]))) });
  });
  await fc.assert(
    fc.asyncProperty(call, async ({ name, form }) => {
      const { method = '', path = '' } = routes[name] ?? {};
      const reply = await api.call(`${method} ${path.slice(4).replace(':cluster', 'c')}`, {
        form: { ...form, ...noPush },
      });
      expect([200, 400]).toContain(reply.statusCode);
      expect(['success', 'failed', 400]).toContain(reply.json<{ status: unknown }>().status);
      for (const { cluster } of api.jobs.state.list()) expect(errorsOf(checkCluster(cluster))).toEqual([]);
    }),
    { numRuns: 300 },
  );
});
