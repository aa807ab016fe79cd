/** weir import original, weir export, weir import export: through the real command line, servers and Redis. */
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { importOriginal } from '../src/cli/commands/import-original.ts';
import { runCli } from '../src/cli/program.ts';
import type { ExportedCluster } from '../src/domain/edge/exported.ts';
import type { Cluster } from '../src/domain/edge/model.ts';
import { readOriginalKeys } from '../src/store/redis/original-records.ts';
import { hasRedis, startRedis } from '../src/store/redis/testing.ts';
import type { RedisServer } from '../src/store/redis/testing.ts';
import {
  clusterOf,
  create,
  everything,
  expectProblem,
  lbOf,
  post,
  seedHosts,
  seedName,
  v1,
  vipOf,
} from './fixtures.ts';
import { startTestServer } from './harness.ts';
import type { TestServer } from './harness.ts';

let server: TestServer;
let folder: string;
const closing: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  server = await startServerOf();
  folder = await mkdtemp(join(tmpdir(), 'weir-import-'));
  closing.push(() => rm(folder, { recursive: true, force: true }));
});

afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function startServerOf(settings: Record<string, string> = {}): Promise<TestServer> {
  const started = await startTestServer({ hosts: seedHosts, settings });
  closing.push(() => started.close());
  return started;
}

async function redisServer(more: readonly string[] = []): Promise<RedisServer> {
  const started = await startRedis(more);
  closing.push(() => started.close());
  return started;
}

interface Ran {
  code: number;
  out: string;
  err: string;
}

async function weir(argv: readonly string[], at: TestServer = server): Promise<Ran> {
  const [stdout, stderr] = [sink(), sink()];
  const code = await runCli(['--url', at.url, ...argv], {
    version: '0.0.0',
    extra: [importOriginal(readOriginalKeys)],
    env: { WEIR_TOKEN: at.token },
    stdout: stdout.stream,
    stderr: stderr.stream,
  });
  return { code, out: stdout.text(), err: stderr.text() };
}

function sink(): { stream: NodeJS.WriteStream; text: () => string } {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      chunks.push(Buffer.from(chunk as Buffer));
      done();
    },
  });
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => Buffer.concat(chunks).toString('utf8') };
}

/** Rows of a table, each as its words. */
function rows({ out }: Ran): string[] {
  return out
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line) =>
      line
        .trim()
        .split(/\s{2,}/)
        .join(' '),
    );
}

async function documentOf(name: string, at: TestServer = server): Promise<Cluster> {
  return (await at.client.call<Cluster>(`/clusters/${name}`)).data;
}

// the original -------------------------------------------------------------------------------

/** As Python 2 prints what it read from JSON. */
function python(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(python).join(', ')}]`;
  if (typeof value === 'string') return `u'${value}'`;
  if (typeof value !== 'object' || value === null) return String(value);
  return `{${Object.entries(value)
    .map(([name, item]) => `${python(name)}: ${python(item)}`)
    .join(', ')}}`;
}

function recordOf({ type, device, vipnets, lbinfos, vip2ws }: Cluster): Record<string, string> {
  return { type, device, vipnets: python(vipnets), lbinfos: python(lbinfos), vip2ws: python(vip2ws) };
}

const seedRecord = {
  type: 'extra',
  device: 'em1',
  // Both quotes, escapes, a tuple, long integers, None, and text where numbers should be: all of it was written.
  lbinfos: `({'routerid': "60.29.246.186", u'internalnetmask': '255.255.255.224', 'hostname': u'sa\\x2dextlbtest0-bgp0.hy01', 'internalgateway': u"10.0.19.225", 'internalip': u'10.0.19.226', 'extragateway': '60.29.246.185', 'ospfnet': '60.29.246.184/30', 'extraip': '60.29.246.186', 'extranetmask': '255.255.255.252'},)`,
  vip2ws: `[{u'wstype': u'\\u0061pps', u'vip': u'60.28.208.1', u'wss': (u'apps-extngtest0-bgp0.hy01',), u'ports': [{u'dport': 80L, u'synproxy': 1, u'sport': '80', u'persistence_timeout': 50}, {'dport': 443, 'synproxy': True, 'sport': 443, 'persistence_timeout': None}]}, {'wstype': 'search', 'vip': '60.28.208.2', 'wss': ['search-extngtest0-bgp0.hy01'], 'ports': None}]`,
  vipnets: "['60.28.208.0/25', u'123.150.178.128/25']",
};

const first = clusterOf(1);

/** Three whole records, and everything that may be wrong with others. */
async function fill({ client }: RedisServer): Promise<void> {
  await client.hset(`cluster:${seedName}`, seedRecord);
  await client.hset('cluster:cluster-1', recordOf(first));
  await client.hset('cluster:cluster-2', recordOf(clusterOf(2, { lbinfos: [lbOf(2, 1), lbOf(2, 2)] })));
  await client.set('cluster:text', 'x');
  await client.rpush('cluster:list', 'x');
  await client.hset('cluster:half', { type: 'extra', device: 'em1' });
  await client.hset('cluster:others', { colour: 'red' });
  await client.hset('cluster:evil', { ...seedRecord, vip2ws: "[__import__('os').system('true')]" });
  await client.hset('cluster:typed', { ...seedRecord, lbinfos: "[{'hostname': 5}, u'lb']", vipnets: '7' });
  await client.hset('cluster:b c', seedRecord);
  await client.hset('cluster:crossing', recordOf(clusterOf(3, { vip2ws: [vipOf(1, 1)], vipnets: first.vipnets })));
  await client.hset('session:1', { user: 'x' });
}

const refused = ['b c', 'crossing', 'evil', 'half', 'list', 'others', 'text', 'typed'];

describe.skipIf(!hasRedis)('the original', () => {
  let redis: RedisServer;
  const run = (...more: string[]) => weir(['import', 'original', '--redis', redis.url, ...more]);

  beforeEach(async () => {
    redis = await redisServer();
    await fill(redis);
  });

  test('is shown in a dry run, with every problem, and nothing is changed', async () => {
    const before = await everything(server);
    const ran = await run('--dry-run');
    expect(ran.code).toBe(1);
    expect(rows(ran)).toEqual(
      [
        'b c - - - refused',
        'cluster-1 1 1 2 would be created',
        'cluster-2 2 1 2 would be created',
        'crossing 1 1 2 refused',
        'evil - - - refused',
        'half - - - refused',
        `${seedName} 1 2 2 would be created`,
        'list - - - refused',
        'others - - - refused',
        'text - - - refused',
        'typed - - - refused',
      ].toSorted(),
    );
    for (const name of refused) expect(ran.err).toContain(`cluster ${name} is refused:`);
    expect(ran.err).toContain('11 records in redis://127.0.0.1:');
    for (const words of [
      /cluster evil is refused:\n {2}vip2ws: .*at character 1: .*\[bad_literal\]\n {4}\S/,
      /cluster half is refused:\n(?: {2}(?:lbinfos|vip2ws|vipnets): .*\[missing\]\n {4}.*\n){3}/,
      /cluster typed is refused:\n(?:.*\n)* {2}lbinfos\[1\]: .*\[wrong_type\]/,
      /cluster text is refused:\n.*no hash \[not_a_record\]/,
      /cluster crossing is refused:\n {2}vip2ws\[0\]\.vip: .*cluster-1.*\[vip_claimed\]/,
      /cluster b c is refused:\n {2}name: .*\[bad_name\]/,
      /cluster cluster-2:\nwarning: lbinfos\[0\]\.lips: .*\n {2}\S/,
    ])
      expect(ran.err).toMatch(words);
    expect(await everything(server)).toEqual(before);
    expect((await run('--dry-run', '--cluster', seedName, 'cluster-1')).code).toBe(3);
  });

  test('is taken over as far as it is valid, and again without a change', async () => {
    const ran = await run();
    expect(ran.code).toBe(1);
    const outcomes = (of: Ran) =>
      rows(of)
        .map((line) => line.split(' ').at(-1) ?? '')
        .toSorted();
    expect(outcomes(ran)).toEqual([...Array(3).fill('created'), ...Array(8).fill('refused')]);
    expect((await documentOf(seedName)).lbinfos).toMatchObject([
      { hostname: 'sa-extlbtest0-bgp0.hy01', lips: ['10.0.19.227-254'] },
    ]);
    expect((await documentOf(seedName)).vip2ws[0]?.ports[1]).toMatchObject({ synproxy: 1, persistence_timeout: 50 });
    await post(server, `/clusters/${seedName}/batch`, {
      operations: [{ op: 'cluster.set', set: { linkspeed: '10g' } }],
    });
    const before = await everything(server);
    const again = await run();
    expect(again.code).toBe(1);
    expect(outcomes(again)).toEqual([...Array(8).fill('refused'), ...Array(3).fill('unchanged')]);
    const good = await run('--cluster', seedName, 'cluster-1', 'cluster-2');
    expect(good.code).toBe(0);
    expect((await run('--dry-run', '--cluster', 'cluster-1')).code).toBe(0);
    expect(await everything(server)).toEqual(before);
    const rendered = await weir(['render', seedName, '-o', join(folder, 'out')]);
    expect([rendered.code, rendered.err]).toEqual([0, '']);
    const files = await readdir(join(folder, 'out'), { recursive: true });
    expect(files.some((file) => file.endsWith('60.28.208.1.conf'))).toBe(true);
    const planned = await weir(['plan', seedName]);
    expect([planned.code, planned.out.includes('60.28.208.2')]).toEqual([3, true]);
  });

  test('that differs from what is here is shown and left, until it is to be brought in', async () => {
    await run('--cluster', seedName);
    await weir(['cluster', 'set', seedName, 'linkspeed=10g']);
    await weir(['ws', 'set', seedName, '60.28.208.1', 'apps-extngtest0-bgp0.hy01', 'weight=50']);
    const before = await everything(server);
    const vip2ws = seedRecord.vip2ws.replace("u'sport': '80'", "u'sport': 8080");
    await redis.client.hset(`cluster:${seedName}`, { ...seedRecord, vip2ws });
    const ran = await run('--cluster', seedName);
    expect([ran.code, rows(ran)]).toEqual([1, [`${seedName} 1 2 2 differs`]]);
    expect(ran.err).toMatch(
      /differs from its record(?:.*\n)*-.*sport: 80\n(?:.*\n)*\+.*sport: 8080\n(?:.*\n)*.*--replace/,
    );
    const dry = await run('--cluster', seedName, '--replace', '--dry-run');
    expect([dry.code, rows(dry)]).toEqual([3, [`${seedName} 1 2 2 would be updated`]]);
    expect(await everything(server)).toEqual(before);
    const replaced = await run('--cluster', seedName, '--replace');
    expect([replaced.code, rows(replaced)]).toEqual([0, [`${seedName} 1 2 2 updated`]]);
    const document = await documentOf(seedName);
    expect(document).toMatchObject({ linkspeed: '10g', lbinfos: [{ lips: ['10.0.19.227-254'] }] });
    expect(document.vip2ws[0]).toMatchObject({ wsattrs: { 'apps-extngtest0-bgp0.hy01': { weight: 50 } } });
    expect(document.vip2ws[0]?.ports.map((p) => p.sport).toSorted()).toEqual([443, 8080]);
    expect((await run('--cluster', seedName)).code).toBe(0);
  });

  test('is read by a user who may do no more, from a replica, and from another database', async () => {
    await redis.client.call('ACL', 'SETUSER', 'reader', 'on', '>pw', '~cluster:*', '+select', '+scan', '+hmget');
    const replica = await redisServer([`replicaof 127.0.0.1 ${redis.port}`]);
    await expect.poll(() => replica.client.exists('session:1'), { timeout: 10_000 }).toBe(1);
    const urls = [`redis://reader:pw@127.0.0.1:${redis.port}`, replica.url, `redis://127.0.0.1:${redis.port}/1`];
    for (const url of urls) {
      const ran = await weir(['import', 'original', '--redis', url, '--dry-run', '--cluster', seedName]);
      expect([ran.code, ran.out.includes('would be created')]).toEqual([3, true]);
      expect(rows(await weir(['import', 'original', '--redis', url, '--dry-run']))).toHaveLength(11);
    }
    expect((await run('--db', '0')).out).toContain('(none)');
    const stats = await redis.client.info('commandstats');
    await redis.client.call('CONFIG', 'RESETSTAT');
    await run();
    const used = [...(await redis.client.info('commandstats')).matchAll(/cmdstat_([\w|]+):/g)].map((m) => m[1] ?? '');
    const own = ['config|resetstat', 'info', 'replconf', 'ping', 'psync'];
    expect(used.filter((name) => !own.includes(name) && !name.startsWith('client|')).toSorted()).toEqual([
      'hmget',
      'scan',
      'select',
    ]);
    expect(stats).not.toBe('');
  });

  test('that cannot be read is told with what to do', async () => {
    await redis.client.call('ACL', 'SETUSER', 'nobody', 'on', '>pw', '~cluster:*', '+select', '+scan');
    for (const [url, code, words] of [
      [`redis://nobody:pw@127.0.0.1:${redis.port}`, 1, /NOPERM.*\n.*\+hmget/],
      [`redis://nobody:wrong@127.0.0.1:${redis.port}`, 1, /\(unavailable\)\n {2}\S/],
      ['redis://127.0.0.1:1', 1, /cannot be reached.*\n {2}\S/],
      [`redis://127.0.0.1:${redis.port}/99`, 1, /DB index.*\n {2}\S/],
      ['http://127.0.0.1', 2, /cannot be used.*\n {2}\S/],
    ] as const) {
      const ran = await weir(['import', 'original', '--redis', url]);
      expect([url, ran.code, ran.out]).toEqual([url, code, '']);
      expect(ran.err).toMatch(words);
    }
    expect((await run('--db', 'x')).code).toBe(2);
    expect((await run('--cluster', 'absent')).err).toMatch(/cluster absent is refused:\n.*\[not_a_record\]/);
  });

  test('in the store of Weir itself is what Weir has', async () => {
    await redis.client.flushall();
    const shared = await startServerOf({ store: redis.url });
    await create(shared, clusterOf(1), clusterOf(2));
    const ran = await weir(['import', 'original', '--redis', redis.url], shared);
    expect([ran.code, rows(ran)]).toEqual([0, ['cluster-1 1 1 2 unchanged', 'cluster-2 1 1 2 unchanged']]);
  });

  test('is a command of the program that is installed', async () => {
    const main = new URL('../src/main.ts', import.meta.url).href;
    const code = `const { main } = await import('${main}'); await main(process.argv.slice(1));`;
    const node = ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', code, '--'];
    const argv = ['--url', server.url, 'import', 'original', '--redis', redis.url, '--cluster', seedName];
    const env = { ...process.env, WEIR_TOKEN: server.token };
    const { stdout } = await promisify(execFile)(process.execPath, [...node, ...argv], { env });
    expect(stdout).toContain('created');
  });
});

// export and import --------------------------------------------------------------------------

/** Clusters with all that an export may hold. */
async function live(at: TestServer): Promise<void> {
  await create(
    at,
    clusterOf(1),
    clusterOf(2, { ospf: { key: 'S3cretKey' }, lbinfos: [lbOf(2, 1), lbOf(2, 2)] }),
    clusterOf(3),
  );
  await weir(['vip', 'set', 'cluster-1', '172.16.1.1', 'owner=运维', 'domains=["www.example.com"]'], at);
  await weir(['lb', 'remove', 'cluster-2', 'lb2.room2'], at);
  await weir(['cluster', 'set', 'cluster-2', 'ospf.key=OtherKey'], at);
  await weir(['cluster', 'delete', 'cluster-3'], at);
  await weir(['apply', '-f', join(import.meta.dirname, '../examples/seed-cluster.txt')], at);
  // Finds addresses.
  await weir(['plan', seedName], at);
}

interface Exported {
  clusters: ExportedCluster[];
}

async function exported(path: string): Promise<Exported> {
  return JSON.parse(await readFile(path, 'utf8')) as Exported;
}

const full = ['--with-history', '--with-secrets'];

describe('an export', () => {
  test('is one file for its owner alone, with secrets and history only where they are asked for', async () => {
    await live(server);
    const path = join(folder, 'weir.json');
    await writeFile(path, 'old', { mode: 0o644 });
    const ran = await weir(['export', '-o', path]);
    expect([ran.code, ran.err]).toEqual([0, '']);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(folder)).toEqual(['weir.json']);
    const text = await readFile(path, 'utf8');
    expect(text).not.toMatch(/S3cretKey|OtherKey|"history":\[/);
    expect(JSON.parse(text)).toMatchObject({
      format: 'weir-export',
      version: 1,
      history: false,
      secrets: false,
      nginx: [],
      clusters: [
        { name: 'cluster-1', revision: 2 },
        { name: 'cluster-2', lips: { quarantine: expect.objectContaining({}) } },
        { name: seedName, addresses: { 'apps-extngtest0-bgp0.hy01': { source: 'hosts' } } },
      ],
    });
    const printed = await weir(['export', '-o', '-', ...full]);
    expect(printed.out).toContain('OtherKey');
    expect((JSON.parse(printed.out) as Exported).clusters.map((c) => [c.name, c.history?.length])).toEqual([
      ['cluster-1', 2],
      ['cluster-2', 3],
      [seedName, 1],
      ['cluster-3', 2],
    ]);
    expect(await weir(['export', '-o', join(folder, 'nowhere', 'x')])).toMatchObject({ code: 1, out: '' });
    const reply = await v1(server, '/export?secrets=maybe');
    expectProblem(reply, { status: 400, path: 'query.secrets' });
  });

  test('that breaks off leaves no file, and the one that was there', async () => {
    const broken = createServer((_request, response) => {
      response.write('{"format":');
      setTimeout(() => response.destroy(), 100);
    });
    await new Promise<void>((resolve) => broken.listen(0, '127.0.0.1', resolve));
    closing.push(async () => void broken.close());
    const path = join(folder, 'weir.json');
    await writeFile(path, 'old');
    const url = `http://127.0.0.1:${(broken.address() as AddressInfo).port}`;
    const ran = await weir(['export', '-o', path], { ...server, url });
    expect([ran.code, ran.out]).toEqual([1, '']);
    expect(ran.err).toMatch(/\n {2}\S/);
    expect(await readFile(path, 'utf8')).toBe('old');
    expect(await readdir(folder)).toEqual(['weir.json']);
  });

  test.skipIf(!hasRedis)('goes from SQLite into Redis and back, and is the same', async () => {
    await live(server);
    const redis = await redisServer();
    const shared = await startServerOf({ store: redis.url });
    const back = await startServerOf();
    const [path, second, third] = ['1', '2', '3'].map((name) => join(folder, name)) as [string, string, string];
    await weir(['export', '-o', path, ...full]);
    const dry = await weir(['import', 'export', '-f', path, '--dry-run'], shared);
    expect([dry.code, rows(dry).map((line) => line.split(' ')[1])]).toEqual([3, Array(4).fill('imported')]);
    const ran = await weir(['import', 'export', '-f', path], shared);
    expect([ran.code, rows(ran).map((line) => line.split(' ')[1])]).toEqual([0, Array(4).fill('imported')]);
    expect(ran.err).toMatch(/^written at .* by Weir .* from sqlite:.*\n(?:.*\n)*4 imported, 0 unchanged, 0 refused\n$/);
    await weir(['export', '-o', second, ...full], shared);
    expect((await exported(second)).clusters).toEqual((await exported(path)).clusters);
    const again = await weir(['import', 'export', '-f', path], shared);
    expect([again.code, rows(again).map((line) => line.split(' ')[1])]).toEqual([0, Array(4).fill('unchanged')]);
    expect(await redis.client.hget('cluster:cluster-1', 'device')).toBe('em1');
    expect(await redis.client.keys('cluster:*')).toHaveLength(3);
    await weir(['import', 'export', '-f', second], back);
    await weir(['export', '-o', third, ...full], back);
    expect((await exported(third)).clusters).toEqual((await exported(path)).clusters);
    const releases = await Promise.all([server, shared, back].map((at) => releaseOf(at)));
    expect(new Set(releases).size).toBe(1);
  });

  async function releaseOf(at: TestServer): Promise<string> {
    return (await at.client.call<{ id: string }>(`/clusters/${seedName}/lbs/sa-extlbtest0-bgp0.hy01/release`)).data.id;
  }

  test('is read whatever its lines are, and refuses a cluster without keeping the others out', async () => {
    await live(server);
    const path = join(folder, 'weir.json');
    await weir(['export', '-o', path]);
    const pretty = join(folder, 'pretty.json');
    await writeFile(pretty, JSON.stringify(await exported(path), null, 2));
    const target = await startServerOf();
    // Without its key, and with a VIP that another has: both are refused, one goes on.
    await create(target, clusterOf(9, { vipnets: ['172.16.1.0/24'], vip2ws: [vipOf(1, 1)] }));
    const ran = await weir(['import', 'export', '-f', pretty], target);
    expect(ran.code).toBe(1);
    expect(rows(ran)).toEqual([
      'cluster-1 refused - vip_claimed',
      'cluster-2 refused - unknown_secret',
      `${seedName} imported 1`,
    ]);
    expect(ran.err).toMatch(
      /cluster cluster-1 \(clusters\[0\]\) is refused:\n {2}document\.vip2ws\[0\]\.vip: .*\[vip_claimed\]/,
    );
    expect(ran.err).toMatch(
      /document\.ospf\.key: secret:ospf-cluster-2-\w+ refers.*\[unknown_secret\]\n {4}.*--with-secrets/,
    );
    const json = await weir(['import', 'export', '-f', pretty, '-o', 'json'], server);
    expect(json.code).toBe(0);
    expect(JSON.parse(json.out)).toMatchObject({
      clusters: Array.from({ length: 3 }, () => ({ outcome: 'unchanged' })),
    });
    await weir(['cluster', 'set', 'cluster-1', 'linkspeed=1g']);
    const before = await everything(server);
    const differing = await weir(['import', 'export', '-f', path]);
    expect([differing.code, differing.err]).toEqual([
      1,
      expect.stringMatching(/revision 3, and differs: document \[cluster_differs\]/),
    ]);
    expect(await everything(server)).toEqual(before);
  });

  test('of a long history goes in parts', async () => {
    await create(server, clusterOf(1));
    const domains = Array.from({ length: 900 }, (_, i) => `${'d'.repeat(60)}.${'e'.repeat(60)}.${i}.example`);
    for (let n = 0; n < 25; n++) {
      const vip2ws = [1, 2, 3, 4].map((i) => vipOf(1, i, { domains: domains.map((d) => `n${n}.${d}`) }));
      await v1(server, '/clusters/cluster-1', { method: 'PUT', json: clusterOf(1, { vip2ws }) });
    }
    const path = join(folder, 'weir.json');
    await weir(['export', '-o', path, ...full]);
    expect((await stat(path)).size).toBeGreaterThan(20_000_000);
    const target = await startServerOf();
    expect((await weir(['import', 'export', '-f', path, '--dry-run'], target)).code).toBe(3);
    expect((await weir(['import', 'export', '-f', path], target)).code).toBe(0);
    await weir(['export', '-o', join(folder, 'second'), ...full], target);
    expect((await exported(join(folder, 'second'))).clusters).toEqual((await exported(path)).clusters);
  }, 120_000);
});

describe('a file that is none', () => {
  const head = {
    format: 'weir-export',
    version: 1,
    weir: '0.1.0',
    at: '2024-05-01T08:00:00Z',
    source: 'sqlite:x',
    history: false,
    secrets: false,
    nginx: [],
  };
  const lips = { lbs: {}, quarantine: {} };
  const one = { name: 'a', revision: 1, document: clusterOf(1), lips, addresses: {} };

  test.each<[what: string, content: string, says: RegExp]>([
    ['nothing', '', /this is no JSON.*\n {2}\S/],
    ['text', 'weir'.repeat(1000), /this is no JSON.*\(invalid\)\n {2}\S/],
    ['100 MB of nonsense', '{"x":'.repeat(20_000_000), /this is no JSON/],
    ['100 MB of lines', 'clusters:[\n'.repeat(9_000_000), /this is no JSON/],
    ['a string', '"weir"', /an export is an object, not "weir"/],
    ['null', 'null', /an export is an object/],
    ['another object', '{"name": "x"}', /format: .*not weir-export/],
    ['another format', JSON.stringify({ ...head, format: 'x', clusters: [] }), /format: format is "x"/],
    [
      'a newer version',
      JSON.stringify({ ...head, version: 2, clusters: [] }),
      /version: version 2 .*\n {2}import it with/,
    ],
    ['unknown fields', JSON.stringify({ ...head, more: 1, clusters: [] }), /more: unknown field/],
    ['Nginx objects', JSON.stringify({ ...head, nginx: [{}], clusters: [] }), /nginx/],
    ['no clusters', JSON.stringify(head), /clusters: must be an array/],
    ['clusters that are none', JSON.stringify({ ...head, clusters: {} }), /clusters: must be an array/],
    [
      'an end that is missing',
      `${JSON.stringify(head).slice(0, -1)},"clusters":[\n`,
      /line 2: the file ends in the middle.*\n {2}\S/,
    ],
    ['a line that is none', `${JSON.stringify(head).slice(0, -1)},"clusters":[\nx\n]}`, /line 2: this is no JSON/],
  ])(
    '%s: is refused, with exit 2',
    async (_what, content, says) => {
      const path = join(folder, 'x');
      await writeFile(path, content);
      const ran = await weir(['import', 'export', '-f', path]);
      expect([ran.code, ran.out]).toEqual([2, '']);
      expect(ran.err).toMatch(says);
    },
    60_000,
  );

  test.each<[what: string, cluster: unknown, says: RegExp]>([
    ['a string', 'x', /clusters\[0\]\) cannot be read:\n {2}\(document\): .*\[wrong_type\]/],
    ['null', null, /\[wrong_type\]/],
    ['a list', [], /\[wrong_type\]/],
    [
      'a document that is a string',
      { ...one, document: 'x' },
      /document: must be an object, not "x" \[wrong_type\]\n {4}\S/,
    ],
    ['a document of another name', one, /document\.name: .*\[name_mismatch\]/],
    ['an unknown field', { ...one, more: 1 }, /more: .*\[unknown_field\]/],
    [
      'LIPs that are none',
      { ...one, lips: { lbs: { lb1: ['x'] }, quarantine: {} } },
      /lips\.lbs\.lb1\[0\]: .*\[bad_address\]/,
    ],
    [
      'a prototype',
      JSON.parse(JSON.stringify(one).replace('"lbs":{}', '"lbs":{"__proto__":["10.0.0.1"]}')),
      /\[bad_hostname\]/,
    ],
    ['a secret that is a number', { ...one, secrets: { x: 12_345_678 } }, /secrets\.x: what was given is not allowed/],
    ['history that is a string', { ...one, history: 'x' }, /history: must be an array/],
    ['nothing but its name', { ...one, document: null }, /history: .*\[missing\]/],
    [
      'a revision with neither document nor patch',
      { ...one, history: [{ revision: 1, at: head.at, by: 'x', operations: [] }] },
      /history\[0\]: .*\[bad_history\]/,
    ],
  ])('a cluster that is %s: is refused here and by the API', async (_what, cluster, says) => {
    const path = join(folder, 'x');
    await writeFile(path, JSON.stringify({ ...head, clusters: [cluster] }));
    const ran = await weir(['import', 'export', '-f', path]);
    expect(ran.code).toBe(2);
    expect(ran.err).toMatch(says);
    expect(ran.err).not.toContain('12345678');
    const reply = await post(server, '/import', cluster);
    expect(reply.status).toBeGreaterThanOrEqual(400);
    expect(reply.status).toBeLessThan(500);
    expectProblem(reply, { status: reply.status });
    expect(await everything(server)).toMatchObject({ clusters: [] });
  });

  test('that is not there is told', async () => {
    const ran = await weir(['import', 'export', '-f', join(folder, 'nowhere')]);
    expect([ran.code, ran.out]).toEqual([2, '']);
    expect(ran.err).toMatch(/cannot be read.*\n {2}\S/);
    expect((await weir(['import', 'export', '-f', folder])).code).toBe(2);
  });
});
