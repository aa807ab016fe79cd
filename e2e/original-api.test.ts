/**
 * The API of the original as its scripts use it, with curl: every call, its answers to the byte, what v1 sees of them
 * and the other way round, pushes to machines that play LBs, and who may ask.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { originalRoutes } from '../src/contract/original.ts';
import type { HistoryRow, Page, PublicationView } from '../src/contract/schemas.ts';
import type { Cluster } from '../src/domain/edge/model.ts';
import { readText } from '../src/domain/edge/read.ts';
import { expectDone, seedHosts, seedLb, seedName, seedText, v1 } from './fixtures.ts';
import { startTestServer } from './harness.ts';
import type { TestServer } from './harness.ts';
import { noHosts, openEdge, title } from './testing/edge.ts';
import type { Edge } from './testing/edge.ts';
import { readLive } from './testing/live-config.ts';
import { isThere, read } from './testing/machine.ts';

const run = promisify(execFile);

interface Answer {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** curl with these arguments; `path` below /lvs. */
async function curl(url: string, path: string, args: readonly string[]): Promise<Answer> {
  const { stdout } = await run('curl', ['-sS', '-i', ...args, `${url}/lvs${path}`], { maxBuffer: 64 * 1024 * 1024 });
  // Of a large body curl asks first, and is answered with a head of its own.
  const answer = stdout.replace(/^HTTP\/1\.1 100 Continue\r\n\r\n/, '');
  const end = answer.indexOf('\r\n\r\n');
  const [first = '', ...lines] = answer.slice(0, end).split('\r\n');
  const headers = lines.map((line) => line.split(/: (.*)/s).slice(0, 2) as [string, string]);
  return {
    status: Number(first.split(' ')[1]),
    headers: Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value])),
    body: answer.slice(end + 4),
  };
}

const json = 'application/json; charset=UTF-8';

/** The answer as the original's scripts see it: status, content type, body. */
function seen({ status, headers, body }: Answer): [number, string | undefined, string] {
  return [status, headers['content-type'], body];
}

function success(message: string): [number, string, string] {
  return [200, json, `{"status":"success","message":"${message}"}`];
}

function failed(message: string): [number, string, string] {
  return [200, json, `{"status":"failed","message":"${message}"}`];
}

function whyOf({ headers }: Answer): string {
  return JSON.parse(headers['weir-detail'] ?? '""') as string;
}

const example = readText(seedText);
if (!example.ok) throw new Error('the example cannot be read');
const seed = example.values[0] as Cluster;

function creation(cluster: Pick<Cluster, 'name' | 'type' | 'lbinfos' | 'vip2ws' | 'vipnets' | 'device'>): string[] {
  const { name, type, device, lbinfos, vip2ws, vipnets } = cluster;
  const lists = Object.entries({ lbinfos, vip2ws, vipnets }).flatMap(([field, value]) => [
    '--data-urlencode',
    `${field}=${JSON.stringify(value)}`,
  ]);
  return ['-d', `name=${name}`, '-d', `type=${type}`, '-d', `device=${device}`, ...lists];
}

const quiet = ['-d', 'cfg_push=False'];

async function documentOf(server: TestServer, name: string): Promise<Cluster> {
  return expectDone(await v1(server, `/clusters/${name}`)).json();
}

async function historyOf(server: TestServer, name: string): Promise<HistoryRow[]> {
  return expectDone(await v1(server, `/clusters/${name}/history`)).json<Page<HistoryRow>>().items;
}

describe('every call of the table', () => {
  let server: TestServer;

  beforeAll(async () => {
    server = await startTestServer({ hosts: seedHosts, settings: { original_networks: '10.0.0.0/8,127.0.0.1' } });
  });
  afterAll(() => server.close());

  const call = (path: string, ...args: string[]) => curl(server.url, path, args);
  const at = `/${seedName}`;
  const [VIP, other] = ['60.28.208.1', '60.28.208.2'];

  async function vipOf(address: string): Promise<Cluster['vip2ws'][number] | undefined> {
    return (await documentOf(server, seedName)).vip2ws.find((v) => v.vip === address);
  }

  test('POST /lvs/ creates the cluster of the seed, GET /lvs/NAME gives it back', async () => {
    const made = await call('/', ...creation(seed), ...quiet);
    expect(seen(made)).toEqual(success('cluster has been added successfully'));
    expect(made.headers['weir-revision']).toBe('1');
    const whole = await documentOf(server, seedName);
    expect(whole).toEqual({ ...seed, lbinfos: seed.lbinfos.map((lb) => ({ ...lb, lips: ['10.0.19.227-254'] })) });
    for (const path of [at, `${at}/`]) {
      const got = await call(path);
      expect([got.status, got.headers['content-type']]).toEqual([200, json]);
      expect(JSON.parse(got.body)).toEqual({ status: 'success', message: seed });
    }
    const again = await call('/', ...creation(seed), ...quiet);
    expect(seen(again)).toEqual(failed('cluster added failed'));
    expect(whyOf(again)).toContain(`cluster ${seedName} exists`);
  });

  test('GET /lvs/, /lvs/vips and /lvs/lbs list everything', async () => {
    for (const path of ['', '/']) {
      expect(JSON.parse((await call(path)).body)).toEqual({ status: 'success', message: [seed] });
    }
    expect(seen(await call('/vips'))).toEqual([200, json, `["${VIP}","${other}"]`]);
    expect(seen(await call('/lbs/'))).toEqual([200, json, `["${seedLb}"]`]);
  });

  test('POST and DELETE /lvs/NAME/vips', async () => {
    const added =
      '[{"vip":"60.28.208.3","wstype":"img","wss":["search-extngtest0-bgp0.hy01"]},{"vip":"60.28.208.4","wstype":"img","wss":[]}]';
    expect(seen(await call(`${at}/vips`, '-d', `vip2ws=${added}`, ...quiet))).toEqual(
      success('vip has been added successfully'),
    );
    expect((await vipOf('60.28.208.3'))?.ports).toEqual(
      [80, 443].map((n) => ({ sport: n, dport: n, synproxy: 1, persistence_timeout: 50 })),
    );
    expect(seen(await call(`${at}/vips`, '-d', `vip2ws=${added}`, ...quiet))).toEqual(failed('vip added failed'));
    const remove = (vips: string) =>
      call(`${at}/vips/?cfg_push=False`, '-X', 'DELETE', '-G', '--data-urlencode', `vips=${vips}`);
    const gone = await remove('["60.28.208.3","60.28.208.4"]');
    expect(seen(gone)).toEqual(success('vip has been deleted successfully'));
    expect(await vipOf('60.28.208.3')).toBeUndefined();
    expect(seen(await remove('["60.28.208.3"]'))).toEqual(failed('vip deleted failed'));
  });

  test('POST and DELETE /lvs/NAME/lbs', async () => {
    const lb = {
      ...seed.lbinfos[0],
      hostname: 'sa-extlbtest1-bgp0.hy01',
      routerid: '60.29.246.190',
      extraip: '60.29.246.190',
      extragateway: '60.29.246.189',
      ospfnet: '60.29.246.188/30',
      internalip: '10.0.20.226',
      internalgateway: '10.0.20.225',
    };
    const add = () => call(`${at}/lbs`, '--data-urlencode', `lbinfos=${JSON.stringify([lb])}`, ...quiet);
    expect(seen(await add())).toEqual(success('lb has been added successfully'));
    expect((await documentOf(server, seedName)).lbinfos[1]).toEqual({ ...lb, lips: ['10.0.20.227-254'] });
    expect((await call('/lbs')).body).toBe(`["${seedLb}","${lb.hostname}"]`);
    expect(seen(await add())).toEqual(failed('lb added failed'));
    const remove = () => call(`${at}/lbs`, '-X', 'DELETE', '-d', `lbs=["${lb.hostname}"]`, ...quiet);
    expect(seen(await remove())).toEqual(success('lb has been deleted successfully'));
    expect((await documentOf(server, seedName)).lbinfos).toHaveLength(1);
    const refused = await remove();
    expect(seen(refused)).toEqual(failed('lb deleted failed'));
    expect(whyOf(refused)).toContain(lb.hostname);
  });

  test('POST and DELETE /lvs/NAME/wss', async () => {
    const before = (await vipOf(VIP))?.wss ?? [];
    const wss = (names: string) => `vip2ws=[{"vip":"${VIP}","wss":[${names}]},{"vip":"${other}","wss":["img-0.hy01"]}]`;
    const add = () => call(`${at}/wss`, '-d', wss(`"${before[0]}","img-0.hy01","img-0.hy01"`), ...quiet);
    const revisions = new Set<string | undefined>();
    for (const _ of [1, 2]) {
      const added = await add();
      expect(seen(added)).toEqual(success('ws has been added successfully'));
      revisions.add(added.headers['weir-revision']);
    }
    expect(revisions.size).toBe(1);
    expect((await vipOf(VIP))?.wss).toEqual([...before, 'img-0.hy01']);
    const remove = () =>
      call(`${at}/wss`, '-X', 'DELETE', '-G', '--data-urlencode', wss('"img-0.hy01","nobody.hy01"'), ...quiet);
    for (const _ of [1, 2]) expect(seen(await remove())).toEqual(success('ws has been deleted successfully'));
    expect((await vipOf(VIP))?.wss).toEqual(before);
    const strange = 'vip2ws=[{"vip":"60.28.208.99","wss":["img-0.hy01"]}]';
    expect(seen(await call(`${at}/wss`, '-d', strange, ...quiet))).toEqual(failed('ws added failed'));
    expect(seen(await call(`${at}/wss`, '-X', 'DELETE', '-d', strange, ...quiet))).toEqual(failed('ws deleted failed'));
  });

  test('POST, PATCH and DELETE /lvs/NAME/ports', async () => {
    const add = () =>
      call(`${at}/ports`, '-d', `vip=${VIP}`, '-d', 'ports=[{"sport":8080,"dport":80,"synproxy":0}]', ...quiet);
    expect(seen(await add())).toEqual(success('port has been added successfully'));
    expect(seen(await add())).toEqual(failed('port added failed'));
    const patch = (sport: number, port: string) =>
      call(`${at}/ports`, '-X', 'PATCH', '-d', `vip=${VIP}`, '-d', `sport=${sport}`, '-d', `port=${port}`, ...quiet);
    expect(seen(await patch(8080, '{"dport":8081,"persistence_timeout":0}'))).toEqual(
      success('port has been modified successfully'),
    );
    expect(seen(await patch(8088, '{"dport":8081}'))).toEqual(failed('port modified failed'));
    expect((await vipOf(VIP))?.ports[2]).toEqual({ sport: 8080, dport: 8081, synproxy: 0, persistence_timeout: 0 });
    const remove = () =>
      call(`${at}/ports?cfg_push=no&vip=${VIP}`, '-X', 'DELETE', '-G', '--data-urlencode', 'sports=[8080]');
    expect(seen(await remove())).toEqual(success('port has been deleted successfully'));
    expect(seen(await remove())).toEqual(failed('port deleted failed'));
    expect((await vipOf(VIP))?.ports).toEqual(seed.vip2ws[0]?.ports);
  });

  test('PATCH /lvs/NAME/wstype', async () => {
    const patch = (...args: string[]) => call(`${at}/wstype`, '-X', 'PATCH', ...args);
    expect(seen(await patch('-d', `vip=${VIP}`, '-d', 'wstype=apps-new', ...quiet))).toEqual(
      success('wstype has been modified successfully'),
    );
    expect((await vipOf(VIP))?.wstype).toBe('apps-new');
    const multipart = ['-F', `vip=${VIP}`, '-F', 'wstype=apps', '-F', 'cfg_push=False'];
    expect(seen(await patch(...multipart))).toEqual(success('wstype has been modified successfully'));
    expect((await vipOf(VIP))?.wstype).toBe('apps');
    expect(seen(await patch('-d', 'vip=60.28.208.99', '-d', 'wstype=x', ...quiet))).toEqual(
      failed('wstype modified failed'),
    );
  });

  test('POST /lvs/sync fails where nothing can be pushed, and says why', async () => {
    expect(seen(await call('/sync', '-d', 'name=nowhere'))).toEqual(failed('cluster synced failed'));
    const unknown = await call('/sync', '-X', 'POST');
    expect(unknown.status).toBe(400);
    expect(unknown.headers['content-type']).toMatch(/^application\/problem\+json/);
    expect(JSON.parse(unknown.body)).toMatchObject({ problems: [{ path: 'name', code: 'missing' }] });
  });

  test('is history like any other, with the address that asked', async () => {
    const history = await historyOf(server, seedName);
    expect(new Set(history.map((h) => h.by))).toEqual(new Set(['original:127.0.0.1']));
    expect(history.toReversed().map((h) => h.operations.map((o) => o.op).join(' '))).toEqual([
      'cluster.create',
      'vip.add',
      'vip.remove',
      'lb.add',
      'lb.remove',
      'ws.add ws.add',
      'ws.remove ws.remove',
      'port.add',
      'port.set',
      'port.remove',
      'vip.set',
      'vip.set',
    ]);
  });

  test('DELETE /lvs/NAME, last of all', async () => {
    const remove = () => call(at, '-X', 'DELETE');
    expect(seen(await remove())).toEqual(success('cluster has been deleted successfully'));
    expect(seen(await remove())).toEqual(failed('cluster deleted failed'));
    expect((await v1(server, `/clusters/${seedName}`)).status).toBe(404);
    expect(seen(await call(''))).toEqual([200, json, '{"status":"success","message":[]}']);
    expect(seen(await call('/vips'))).toEqual([200, json, '[]']);
    expect(seen(await call(at))).toEqual(failed('cluster read failed'));
  });
});

describe('arguments of any size and kind', () => {
  let server: TestServer;
  let folder: string;

  beforeAll(async () => {
    server = await startTestServer({ settings: { original_networks: '127.0.0.1' } });
    folder = await mkdtemp(join(tmpdir(), 'weir-original-'));
    expectDone(await v1(server, '/clusters', { method: 'POST', text: seedText, type: 'text/plain' }));
  });
  afterAll(async () => {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });

  test('are refused in words where they are too much, and harm nobody', async () => {
    const size = 10 * 1024 * 1024;
    const item = '{"vip":"60.28.208.1","wss":["a.b"]},';
    const texts = ['['.repeat(size), `["${'x'.repeat(size)}"]`, `[${item.repeat(size / item.length)}0]`];
    const file = join(folder, 'field');
    const sent: [text: string, way: string][] = [
      ...texts.map((text): [string, string] => [`vip2ws=${encodeURIComponent(text)}`, '-d@']),
      ['x'.repeat(size), '-Fvip2ws=<'],
    ];
    for (const [text, way] of sent) {
      await writeFile(file, text);
      const answer = await curl(server.url, `/${seedName}/wss?cfg_push=0`, [`${way}${file}`]);
      expect(seen(answer)).toEqual(failed('ws added failed'));
      expect(whyOf(answer)).toMatch(/^vip2ws/);
      expect(answer.headers['weir-detail']?.length).toBeLessThan(1100);
    }
    expect((await historyOf(server, seedName)).length).toBe(1);
  });

  test('in an address are no fault either', async () => {
    const names = ['x'.repeat(250), '%00', '%2e%2e', '%E7%BD%91', '__proto__', 'constructor', 'a%20b', '%27%3B--'];
    for (const name of names) {
      expect(seen(await curl(server.url, `/${name}`, ['--path-as-is']))).toEqual(failed('cluster read failed'));
      const deleted = await curl(server.url, `/${name}`, ['--path-as-is', '-X', 'DELETE']);
      expect(seen(deleted)).toEqual(failed('cluster deleted failed'));
    }
    for (const name of ['x'.repeat(2000), '%zz', '%ff']) {
      expect((await curl(server.url, `/${name}`, [])).status).toBeLessThan(500);
    }
  });

  test('of another content type are refused with what to send', async () => {
    const sent = await curl(server.url, `/${seedName}/vips`, ['--json', '{"vip2ws":[]}']);
    expect(sent.status).toBe(415);
    expect(JSON.parse(sent.body)).toMatchObject({ hint: expect.stringContaining('x-www-form-urlencoded') });
  });
});

describe('who may ask', () => {
  const paths = Object.values(originalRoutes).map(({ method, path }) => ({
    method,
    path: path.slice(4).replace(':cluster', seedName),
  }));

  test('needs a token, unless the settings open the network', async () => {
    const server = await startTestServer();
    try {
      for (const { method, path } of paths) {
        const refused = await curl(server.url, path, ['-X', method]);
        expect([refused.status, refused.headers['content-type']]).toEqual([
          401,
          expect.stringContaining('problem+json'),
        ]);
        const token = ['-H', `Authorization: Bearer ${server.token}`];
        expect([200, 400]).toContain((await curl(server.url, path, ['-X', method, ...token])).status);
      }
      const made = await curl(server.url, '/', [
        ...creation(seed),
        ...quiet,
        '-H',
        `Authorization: Bearer ${server.token}`,
      ]);
      expect(seen(made)).toEqual(success('cluster has been added successfully'));
      expect((await historyOf(server, seedName)).map((h) => h.by)).toEqual(['admin']);
    } finally {
      await server.close();
    }
  });

  test('from an open network does not, for this API alone', async () => {
    const server = await startTestServer({ settings: { original_networks: '127.0.0.0/8' } });
    try {
      expect((await curl(server.url, '/', [])).status).toBe(200);
      for (const path of ['/../api/v1/clusters', '/../metrics', '/../api/v1/vips']) {
        expect((await curl(server.url, path, [])).status).toBe(401);
        expect((await curl(server.url, path, ['--path-as-is'])).status).toBe(401);
      }
    } finally {
      await server.close();
    }
  });

  test('is not told by a proxy', async () => {
    const server = await startTestServer({ settings: { original_networks: '10.0.0.0/8' } });
    try {
      const headers = ['-H', 'X-Forwarded-For: 10.0.0.1', '-H', 'X-Real-IP: 10.0.0.1', '-H', 'Forwarded: for=10.0.0.1'];
      expect((await curl(server.url, '/', headers)).status).toBe(401);
    } finally {
      await server.close();
    }
  });

  test('is a setting that weir serve reads, and refuses where it is wrong', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'weir-original-'));
    try {
      const wrong = await serve(folder, '10.0.0.1/8');
      expect(wrong).toMatchObject({ code: 2, out: '' });
      expect(wrong.err).toMatch(/WEIR_ORIGINAL_NETWORKS: 10\.0\.0\.1\/8 is not .*\n.*e\.g\. 10\.0\.0\.0\/8/);
      const right = await serve(folder, '127.0.0.1', (url) => curl(url, '/vips', []));
      expect(right).toMatchObject({ code: 0, answer: { status: 200, body: '[]' } });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  /** `weir serve` as a process, until it ends or `ask` was answered. */
  async function serve(
    folder: string,
    networks: string,
    ask?: (url: string) => Promise<Answer>,
  ): Promise<{ code: number | null; out: string; err: string; answer?: Answer }> {
    const main = new URL('../src/main.ts', import.meta.url).href;
    const code = `const { main } = await import('${main}'); await main(process.argv.slice(1));`;
    const args = ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', code, '--', 'serve'];
    const child = spawn(process.execPath, [...args, '--listen', '127.0.0.1:0', '--log-level', 'silent'], {
      cwd: folder,
      env: { PATH: process.env['PATH'] ?? '', HOME: folder, WEIR_ORIGINAL_NETWORKS: networks },
    });
    const output = { out: '', err: '' };
    const ended = once(child, 'close') as Promise<[number | null]>;
    child.stderr.on('data', (chunk) => (output.err += String(chunk)));
    const listens = new Promise<string>((resolve) => {
      child.stdout.on('data', (chunk) => {
        output.out += String(chunk);
        const url = /listens on (http:\S+?),/.exec(output.out)?.[1];
        if (url) resolve(url);
      });
    });
    const url = await Promise.race([listens, ended.then(() => undefined)]);
    const answer = url === undefined ? undefined : await ask?.(url);
    child.kill('SIGTERM');
    const [status] = await ended;
    return { code: status, ...output, ...(answer ? { answer } : {}) };
  }
});

describe.skipIf(noHosts)(title('a push'), () => {
  let edge: Edge;

  beforeAll(async () => {
    edge = await openEdge({
      hosts: `${seedHosts}\n10.0.20.13 apps-extngtest1-bgp0.hy01\n10.0.20.14 img0.hy01\n10.0.20.15 ngx2.hy01\n`,
      settings: { original_networks: '127.0.0.1', publish_timeout: '20' },
    });
  });
  afterAll(() => edge?.close());

  const call = (path: string, ...args: string[]) => curl(edge.server.url, path, args);
  const VIP = '60.28.208.1';

  async function publications(): Promise<PublicationView[]> {
    const path = `/clusters/${seedName}/publications`;
    return expectDone(await v1(edge.server, path)).json<Page<PublicationView>>().items;
  }

  function setWstype(wstype: string, ...more: string[]): Promise<Answer> {
    return call(`/${seedName}/wstype`, '-X', 'PATCH', '-d', `vip=${VIP}`, '-d', `wstype=${wstype}`, ...more);
  }

  test('follows the creation of a cluster, and is over when it is answered', async () => {
    const host = await edge.hosts.start(seedLb);
    expect(seen(await call('/', ...creation(seed)))).toEqual(success('cluster has been added successfully'));
    const live = readLive(host);
    expect(live.complaints).toEqual([]);
    expect(Object.keys(live.services)).toHaveLength(4);
    expect(live.lips).toHaveLength(28);
    expect(live.lips).toContain('10.0.19.227');
    expect(isThere(host, '/etc/weir/active')).toBe(false);
    expect(read(host, '/usr/local/etc/ospfd.conf')).toContain('router-id 60.29.246.186');
    expect(await publications()).toMatchObject([{ revision: 1, state: 'done', by: 'original:127.0.0.1' }]);
    await host.stop();
  });

  test('follows each change, unless cfg_push is there and is not True', async () => {
    const host = await edge.hosts.start(seedLb);
    expect(seen(await call('/sync', '-d', `name=${seedName}`))).toEqual(
      success('cluster has been synced successfully'),
    );
    const pushed = (await publications()).length;
    for (const text of ['true', 'TRUE', '1', 'False', '']) {
      expect(seen(await setWstype('quiet', '-d', `cfg_push=${text}`))).toEqual(
        success('wstype has been modified successfully'),
      );
    }
    expect((await publications()).length).toBe(pushed);
    const added = await call(
      `/${seedName}/vips`,
      '-d',
      'vip2ws=[{"vip":"60.28.208.9","wstype":"apps","wss":["apps-extngtest1-bgp0.hy01"],"ports":[{"sport":81,"dport":81}]}]',
    );
    expect(seen(added)).toEqual(success('vip has been added successfully'));
    expect(Object.keys(readLive(host).services)).toContain('60.28.208.9:81/TCP');
    const gone = await call(
      `/${seedName}/vips?cfg_push=True`,
      '-X',
      'DELETE',
      '-G',
      '--data-urlencode',
      'vips=["60.28.208.9"]',
    );
    expect(seen(gone)).toEqual(success('vip has been deleted successfully'));
    expect(Object.keys(readLive(host).services)).not.toContain('60.28.208.9:81/TCP');
    const again = await call('/sync', '-d', `name=${seedName}`);
    expect(seen(again)).toEqual(success('cluster has been synced successfully'));
    expect((await publications())[0]?.lbs[seedLb]?.state).toBe('unchanged');
    await host.stop();
  });

  test('that does not reach an LB is a failure that says which and why; the change stays', async () => {
    const answer = await setWstype('unreachable');
    expect(seen(answer)).toEqual(failed('wstype modified failed'));
    expect(whyOf(answer)).toMatch(new RegExp(`^revision \\d+ is kept, but not on all LBs: ${seedLb} \\(connect\\): .`));
    const document = await documentOf(edge.server, seedName);
    expect(document.vip2ws[0]?.wstype).toBe('unreachable');
    expect(answer.headers['weir-revision']).toBe(String((await historyOf(edge.server, seedName))[0]?.revision));
  });

  test('that is asked for by many scripts at once reaches the LB with the changes of all', async () => {
    const host = await edge.hosts.start(seedLb);
    const before = (await publications()).length;
    const answers = await Promise.all(
      [...Array(8).keys()].map((i) =>
        call(`/${seedName}/ports`, '-d', `vip=${VIP}`, '-d', `ports=[{"sport":${9000 + i},"dport":80}]`),
      ),
    );
    for (const answer of answers) expect(seen(answer)).toEqual(success('port has been added successfully'));
    const services = Object.keys(readLive(host).services);
    for (let i = 0; i < 8; i++) expect(services).toContain(`${VIP}:${9000 + i}/TCP`);
    expect((await publications()).length - before).toBeLessThan(8);
    await host.stop();
  });

  test('waits for a publication of somebody else', async () => {
    const host = await edge.hosts.start(seedLb);
    const path = `/clusters/${seedName}/publications`;
    const [started, answer] = await Promise.all([
      v1(edge.server, path, { method: 'POST', json: {} }),
      setWstype('after'),
    ]);
    expect([202, 409]).toContain(started.status);
    expect(seen(answer)).toEqual(success('wstype has been modified successfully'));
    await host.stop();
  });

  test('names all WSs that have no address', async () => {
    const vip2ws = `vip2ws=[{"vip":"${VIP}","wss":["no-address-1.invalid","no-address-2.invalid"]}]`;
    const answer = await call(`/${seedName}/wss`, '-d', vip2ws);
    expect(seen(answer)).toEqual(failed('ws added failed'));
    expect(whyOf(answer)).toMatch(/kept.*no-address-1\.invalid.*no-address-2\.invalid/);
  });

  test('is what the examples of the documentation do, by copy and paste', async () => {
    const host = await edge.hosts.start(seedLb);
    await call(`/${seedName}`, '-X', 'DELETE');
    const folder = await mkdtemp(join(tmpdir(), 'weir-original-'));
    try {
      await writeFile(join(folder, 'lbs.json'), JSON.stringify(seed.lbinfos));
      await writeFile(join(folder, 'vips.json'), JSON.stringify(seed.vip2ws));
      const script = examples()
        .replace('http://127.0.0.1:8084', edge.server.url)
        .replaceAll(/\ncurl/g, '\necho\ncurl -sS');
      const { stdout, stderr } = await run('bash', ['-u', '-c', script], { cwd: folder });
      expect(stderr).toBe('');
      const answers = stdout.trim().split('\n');
      const messages = answers
        .filter((line) => line !== '')
        .map((line) => (JSON.parse(line) as { message: unknown }).message);
      expect(messages.slice(0, -1)).toEqual([
        'cluster has been added successfully',
        'vip has been added successfully',
        'vip has been deleted successfully',
        'ws has been added successfully',
        'port has been added successfully',
        'port has been modified successfully',
        'port has been deleted successfully',
        'wstype has been modified successfully',
        'cluster has been synced successfully',
      ]);
      expect(messages.at(-1)).toMatchObject({ name: seedName, vip2ws: [{ vip: VIP, wstype: 'apps-new' }, {}] });
    } finally {
      await rm(folder, { recursive: true, force: true });
      await host.stop();
    }
  });
});

/** The commands under the heading Examples. */
function examples(): string {
  const page = readFileSync(new URL('../docs/original-api.md', import.meta.url), 'utf8');
  return page.split('## Examples\n')[1]?.split('```')[1] ?? '';
}
