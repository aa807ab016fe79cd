/** Every command of the CLI against a server, in this process: what it prints where, and its exit code. */
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import JSON5 from 'json5';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse as parseYaml } from 'yaml';
import { commands } from '../src/cli/commands/commands.ts';
import { runCli } from '../src/cli/program.ts';
import type { ChangeResult } from '../src/contract/schemas.ts';
import type { Cluster } from '../src/domain/edge/model.ts';
import {
  clusterOf,
  create,
  everything,
  expectDone,
  lbOf,
  seedHosts,
  seedLb,
  seedName,
  seedText,
  v1,
  vipOf,
} from './fixtures.ts';
import { startTestServer } from './harness.ts';
import type { TestServer } from './harness.ts';

let server: TestServer;
let folder: string;
const ran = new Set<string>();

beforeEach(async () => {
  server = await startTestServer({ hosts: seedHosts });
  folder = await mkdtemp(join(tmpdir(), 'weir-cli-'));
  expectDone(await v1(server, '/clusters', { method: 'POST', text: seedText, type: 'text/plain' }));
});

afterEach(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

interface Ran {
  code: number;
  out: string;
  err: string;
}

/** What stands on a screen that is none. */
function sink(): { stream: NodeJS.WriteStream; text: () => string } {
  let text = '';
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk);
      done();
    },
  });
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => text };
}

interface Env {
  WEIR_URL?: string;
  WEIR_TOKEN?: string;
}

async function weir(
  argv: readonly string[],
  env: Env = { WEIR_URL: server.url, WEIR_TOKEN: server.token },
): Promise<Ran> {
  const name = commands.map((c) => c.name).find((n) => `${argv.join(' ')} `.startsWith(`${n} `));
  if (name !== undefined) ran.add(name);
  const stdout = sink();
  const stderr = sink();
  const url = env.WEIR_URL === undefined ? [] : ['--url', env.WEIR_URL];
  const options = { version: '0.0.0', extra: [], env: { ...env }, stdout: stdout.stream, stderr: stderr.stream };
  const code = await runCli([...url, ...argv], options);
  return { code, out: stdout.text(), err: stderr.text() };
}

/** A command that is done: its output, plain, and nothing wider than a screen. */
async function done(...argv: readonly string[]): Promise<string> {
  const { code, out, err } = await weir(argv);
  expect({ argv, code, err: code === 0 ? '' : err }).toEqual({ argv, code: 0, err: '' });
  expectPlain(out);
  expectPlain(err);
  return out;
}

function expectPlain(text: string): void {
  expect(text).toBe(stripVTControlCharacters(text));
}

/** Nothing on standard output; on standard error what happened, with its code, and what to do. */
async function refused(argv: readonly string[], wanted: { code: number; says: RegExp }, env?: Env): Promise<void> {
  const { code, out, err } = await weir(argv, env);
  expect({ argv, code, out }).toEqual({ argv, code: wanted.code, out: '' });
  expect(err).toMatch(wanted.says);
  expect(err.trim().split('\n').length).toBeGreaterThan(1);
  expectPlain(err);
}

async function file(text: string): Promise<string> {
  const path = join(folder, `input-${Math.random()}`);
  await writeFile(path, text);
  return path;
}

async function seed(): Promise<Cluster> {
  return (await server.client.call<Cluster>(`/clusters/${seedName}`)).data;
}

const vip = '60.28.208.1';
const ws = 'apps-extngtest0-bgp0.hy01';

describe('cluster', () => {
  test('create, set and delete change the record, and say what is next', async () => {
    const made = await done('cluster', 'create', '-f', await file(JSON.stringify(clusterOf(1))), '-m', 'why');
    expect(made).toBe('cluster cluster-1: revision 1; publish it with: weir publish cluster-1\n');
    expect(await done('cluster', 'set', 'cluster-1', 'linkspeed=10g', 'ospf.cost=20')).toContain('revision 2');
    expect((await server.client.call<Cluster>('/clusters/cluster-1')).data).toMatchObject({
      linkspeed: '10g',
      ospf: { cost: 20 },
    });
    expect(await done('cluster', 'set', 'cluster-1', 'linkspeed=null')).toContain('revision 3');
    expect(await done('cluster', 'set', 'cluster-1', 'check={path:"/ok", status: 204}')).toContain('revision 4');
    expect(await done('cluster', 'set', 'cluster-1', 'ospf.cost=20')).toContain('unchanged at revision 4');
    expect(await done('cluster', 'delete', 'cluster-1', '--dry-run')).toContain('would be deleted');
    expect(await done('cluster', 'delete', 'cluster-1')).toContain('deleted; its machines are not touched');
  });

  test('create makes all of a file', async () => {
    const path = await file(JSON.stringify([clusterOf(1), clusterOf(2)]));
    expect((await done('cluster', 'create', '-f', path)).split('\n')).toHaveLength(3);
  });

  test('what is refused says where and what to do, with exit 2 for input and 1 for the state of things', async () => {
    const before = await everything(server);
    await refused(['cluster', 'set', seedName, 'device=lo'], { code: 2, says: /device.*\(invalid\)\n {2}\S/ });
    await refused(['cluster', 'set', seedName, 'devise=em1'], { code: 2, says: /devise.*\n {2}did you mean device/ });
    await refused(['cluster', 'set', seedName, 'linkspeed'], { code: 2, says: /write field=value/ });
    await refused(['cluster', 'set', 'nowhere', 'linkspeed=1g'], { code: 1, says: /\(not_found\)/ });
    await refused(['cluster', 'create', '-f', await file(seedText)], { code: 1, says: /\(exists\)/ });
    await refused(['cluster', 'create', '-f', await file('{a: 1')], { code: 2, says: /cannot be read/ });
    await refused(['cluster', 'create', '-f', await file('')], { code: 2, says: /holds no document/ });
    await refused(['cluster', 'create', '-f', '/nowhere/at/all'], { code: 2, says: /cannot be read/ });
    await refused(['cluster', 'create'], { code: 2, says: /--file/ });
    await refused(['cluster', 'nonsense'], { code: 2, says: /weir/ });
    await refused(['nonsense'], { code: 2, says: /unknown command/ });
    await refused(['show'], { code: 2, says: /missing required argument/ });
    await refused(['show', seedName, '-o', 'xml'], { code: 2, says: /Allowed choices/ });
    await refused(['show', seedName, '--nonsense'], { code: 2, says: /unknown option/ });
    await refused([], { code: 2, says: /Usage: weir/ });
    expect(await everything(server)).toEqual(before);
  });

  test('every problem of an input is told, each with its path', async () => {
    const json = { ...clusterOf(1), device: 'lo', vip2ws: [vipOf(1, 1, { quorum: 999 })] };
    const { code, out, err } = await weir(['apply', '-f', await file(JSON.stringify(json))]);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(/^ {2}device: .*\[reserved_interface\]$/m);
    expect(err).toMatch(/^ {2}vip2ws\[0\]\.quorum: .*\[quorum_unreachable\]$/m);
  });
});

describe('vip, lb, ws and port', () => {
  test('vip add, set and remove', async () => {
    await done(
      'vip',
      'add',
      seedName,
      '60.28.208.3',
      '--wstype',
      'mail',
      '--ws',
      'a.room',
      'b.room',
      '--port',
      '80',
      '443:8443',
      '--owner',
      '网络组',
    );
    expect((await seed()).vip2ws[2]).toEqual({
      vip: '60.28.208.3',
      wstype: 'mail',
      wss: ['a.room', 'b.room'],
      owner: '网络组',
      ports: [
        { sport: 80, dport: 80, synproxy: 1, persistence_timeout: 50 },
        { sport: 443, dport: 8443, synproxy: 1, persistence_timeout: 50 },
      ],
    });
    await done('vip', 'add', seedName, '-f', await file('vip: 60.28.208.4\nwstype: x\nwss: [c.room]\n'));
    expect((await seed()).vip2ws[3]?.ports.map((p) => p.sport)).toEqual([80, 443]);
    await done('vip', 'set', seedName, '60.28.208.3', 'wstype=post', 'owner=null', 'domains=a.example,b.example');
    expect((await seed()).vip2ws[2]).toMatchObject({ wstype: 'post', domains: ['a.example', 'b.example'] });
    await done('vip', 'remove', seedName, '60.28.208.3', '60.28.208.4');
    expect((await seed()).vip2ws).toHaveLength(2);
    await refused(['vip', 'remove', seedName, vip, '60.28.208.9'], { code: 1, says: /no VIP "60.28.208.9"/ });
    expect((await seed()).vip2ws).toHaveLength(2);
    await refused(['vip', 'add', seedName], { code: 2, says: /a VIP is missing \(usage\)\n {2}\S/ });
    await refused(['vip', 'add', seedName, '60.28.208.5'], { code: 2, says: /--wstype is missing/ });
    await refused(['vip', 'add', seedName, 'x', '--wstype', 'a'], { code: 2, says: /unicast IPv4/ });
  });

  test('lb add, set, drain, undrain, remove and free', async () => {
    const fields = Object.entries(
      lbOf(7, 2, {
        extraip: '60.29.246.190',
        extranetmask: '255.255.255.252',
        extragateway: '60.29.246.189',
        ospfnet: '60.29.246.188/30',
      }),
    );
    await done('lb', 'add', seedName, ...fields.map(([name, value]) => `${name}=${String(value)}`));
    const { hostname } = lbOf(7, 2);
    await done('lb', 'set', seedName, hostname, 'lips=10.100.7.10-12,10.100.7.20');
    expect((await seed()).lbinfos[1]?.lips).toEqual(['10.100.7.10-12', '10.100.7.20']);
    const lips = await done('lb', 'lips', seedName, '--peak', '1000000');
    expect(lips).toContain('one LIP carries 36321 connections');
    expect(lips).toContain(`LB ${hostname}  4 LIPs, 145284 connections\n`);
    expect(lips).toContain('VIP 60.28.208.1:80  28 LIPs for 1000000 connections to apps-extngtest0-bgp0.hy01\n');
    expect(await done('lb', 'lips', seedName)).not.toContain('VIP');
    await refused(['lb', 'lips', seedName, '--peak', 'many'], { code: 2, says: /peak/ });
    await refused(['lb', 'drain', seedName, seedLb], { code: 1, says: /the document says drain \(revision \d+\)/ });
    expect((await seed()).lbinfos.map((lb) => lb.state)).toEqual(['drain', undefined]);
    await refused(['lb', 'undrain', seedName, seedLb], { code: 1, says: /the document says up .*weir lb undrain/s });
    expect((await seed()).lbinfos.map((lb) => lb.state)).toEqual(['up', undefined]);
    await refused(['lb', 'drain', seedName, seedLb, '--override'], { code: 1, says: /nothing was changed/ });
    await refused(['lb', 'drain', seedName, 'nobody.room'], { code: 1, says: /nobody\.room/ });
    await refused(['lb', 'drain', seedName, seedLb, '--reason', 'a\nb'], { code: 2, says: /reason/ });
    expect((await seed()).lbinfos.map((lb) => lb.state)).toEqual(['up', undefined]);
    await done('lb', 'remove', seedName, hostname);
    expect(await done('show', seedName)).toContain(`quarantined LIP 10.100.7.10 of ${hostname}`);
    expect(await done('lb', 'free', seedName, '10.100.7.10', '10.100.7.11')).toBe('freed 10.100.7.10, 10.100.7.11\n');
    await refused(['lb', 'free', seedName, '10.100.7.10'], { code: 1, says: /not in quarantine/ });
    await refused(['lb', 'add', seedName], { code: 2, says: /the LB is missing/ });
  });

  test('vip move and lb retire say what stands in their way before they change anything', async () => {
    const wsattrs = { 'ngx1.room1': { address: '10.9.9.1' }, 'ngx2.room1': { address: '10.9.9.2' } };
    const other = clusterOf(1, { vip2ws: [vipOf(1, 1, { wsattrs })] });
    await done('cluster', 'create', '-f', await file(JSON.stringify(other)));
    await done('lb', 'set', 'cluster-1', 'lb1.room1', 'state=drain');
    // A plan keeps the addresses that it finds.
    expect((await weir(['plan', seedName])).code).toBe(3);
    const before = await everything(server);
    const move = ['vip', 'move', vip, '--from', seedName, '--to'];
    await refused([...move, 'cluster-1'], { code: 1, says: /cluster-1 has no LB in service.*\n {2}add one/ });
    await refused([...move, seedName], { code: 2, says: /both ends of the move/ });
    await refused([...move, 'nowhere'], { code: 1, says: /not_found/ });
    await refused([...move, 'cluster-1', '--timeout', 'soon'], { code: 2, says: /is no time/ });
    await refused([...move, 'cluster-1', '--cancel'], { code: 1, says: /is not moving from cluster/ });
    await refused(['vip', 'move', vip, '--to', seedName], { code: 2, says: /--from/ });
    await refused(['vip', 'move', '172.16.1.1', '--from', 'cluster-1', '--to', seedName], {
      code: 1,
      says: /other changes wait to be brought to the LBs: .*--pending/s,
    });
    const pending = ['vip', 'move', '172.16.1.1', '--from', 'cluster-1', '--to', seedName, '--pending'];
    await refused(pending, { code: 2, says: /to\.vip2ws\[2\]\.vip: .*add its net to vipnets of cluster hy-outer/s });
    await refused(['lb', 'retire', seedName, seedLb], { code: 1, says: /no other LB .* is in service.*--last/s });
    await refused(['lb', 'retire', seedName, seedLb, '--last'], { code: 1, says: /cannot be asked: .*--unreachable/s });
    await refused(['lb', 'retire', seedName, 'nobody', '--last'], { code: 1, says: /has no LB nobody/ });
    expect(await everything(server)).toEqual(before);
    const retire = ['lb', 'retire', seedName, seedLb, '--last', '--unreachable'];
    expect((await weir([...retire, '--dry-run'])).out).toBe(`cluster ${seedName}: would become revision 2\n`);
    const { code, out, err } = await weir(retire);
    expect([code, out]).toEqual([0, `${seedLb}: retired\n`]);
    expect(err).toMatch(/^warning: .*cannot be asked.*\n(?:.*\n)*its LIPs are in quarantine: 10\.0\.19\./);
  });

  test('ws add, set, drain, undrain and remove', async () => {
    await done('ws', 'add', seedName, vip, 'a.room', 'b.room', '--weight', '50');
    await done('ws', 'set', seedName, vip, 'a.room', 'weight=7', 'address=10.9.9.1');
    await done('ws', 'set', seedName, vip, 'b.room', 'address=10.9.9.2');
    await refused(['ws', 'drain', seedName, 'a.room'], { code: 1, says: /not published: .*--pending/s });
    await refused(['ws', 'drain', seedName, 'nobody'], { code: 1, says: /no VIP of cluster \S+ has WS nobody/ });
    await refused(['ws', 'drain', seedName, 'a.room', '--timeout', 'x'], { code: 2, says: /is no time/ });
    expect(await done('ws', 'drain', seedName, 'a.room', '--dry-run')).toContain('would become revision');
    expect((await seed()).vip2ws[0]?.wsattrs?.['a.room']).toEqual({ weight: 7, address: '10.9.9.1' });
    const failed = await weir(['ws', 'drain', seedName, 'a.room', '--vip', vip, '--pending']);
    expect(failed.code).toBe(1);
    expect(failed.err).toContain(`weir ws drain ${seedName} a.room --pending`);
    expect((await seed()).vip2ws[0]?.wsattrs?.['a.room']?.state).toBe('drain');
    await done('ws', 'set', seedName, vip, 'b.room', 'state=drain');
    expect((await weir(['ws', 'undrain', seedName, 'a.room', '--pending'])).code).toBe(1);
    expect((await seed()).vip2ws[0]?.wsattrs).toEqual({
      'a.room': { weight: 7, address: '10.9.9.1', state: 'up' },
      'b.room': { weight: 50, address: '10.9.9.2', state: 'drain' },
    });
    await done('ws', 'remove', seedName, vip, 'a.room', 'b.room');
    expect((await seed()).vip2ws[0]?.wss).toEqual([ws]);
    await refused(['ws', 'add', seedName, vip, 'a.room', '--weight', 'many'], { code: 2, says: /weight/ });
  });

  test('port add, set and remove', async () => {
    await done(
      'port',
      'add',
      seedName,
      vip,
      '8080:80',
      '25',
      '--persistence',
      '0',
      '--scheduler',
      'wlc',
      '--synproxy',
      '0',
      '--check',
      'tcp',
    );
    expect((await seed()).vip2ws[0]?.ports.slice(2)).toEqual(
      [
        [8080, 80],
        [25, 25],
      ].map(([sport, dport]) => ({
        sport,
        dport,
        synproxy: 0,
        persistence_timeout: 0,
        scheduler: 'wlc',
        check: { type: 'tcp' },
      })),
    );
    await done('port', 'set', seedName, vip, '25', 'dport=2525', 'synproxy=1');
    expect((await seed()).vip2ws[0]?.ports[3]).toMatchObject({ sport: 25, dport: 2525, synproxy: 1 });
    await done('port', 'remove', seedName, vip, '25', '8080');
    expect((await seed()).vip2ws[0]?.ports).toHaveLength(2);
    await refused(['port', 'add', seedName, vip, '99999'], { code: 2, says: /99999/ });
  });

  test('a dry run changes nothing and says what would be', async () => {
    const changes = [
      ['vip', 'set', seedName, vip, 'wstype=x'],
      ['ws', 'set', seedName, vip, ws, 'weight=5'],
      ['port', 'remove', seedName, vip, '80'],
      ['rollback', seedName, '--to', '1'],
    ];
    await done('cluster', 'set', seedName, 'linkspeed=10g');
    const before = await everything(server);
    for (const argv of changes) {
      expect((await weir([...argv, '--dry-run'])).out).toBe(`cluster ${seedName}: would become revision 3\n`);
    }
    expect(await everything(server)).toEqual(before);
  });
});

describe('documents', () => {
  test('apply makes clusters as the file says, and twice is once', async () => {
    const path = await file(JSON5.stringify(clusterOf(1)));
    expect(await done('apply', '-f', path, '--dry-run')).toContain('would become revision 1');
    expect(await done('apply', '-f', path, '-m', 'first')).toContain('revision 1');
    expect(await done('apply', '-f', path)).toContain('unchanged at revision 1');
    const edited = (await done('show', 'cluster-1', '-o', 'yaml')).replace('em1', 'em2');
    expect(await done('apply', '-f', await file(edited))).toContain('revision 2');
    const two = [clusterOf(1), clusterOf(2)].map((c) => `---\n${JSON.stringify(c).replace('{', '{ ')}`).join('\n');
    expect(await done('apply', '-f', await file(`# two\n${two}`))).toMatch(
      /cluster-1: revision 3.*\ncluster cluster-2: revision 1/,
    );
  });

  test('apply tells what is made already when a later cluster of the file is refused', async () => {
    const path = await file(JSON.stringify([clusterOf(1), clusterOf(2, { device: 'lo' })]));
    const { code, out, err } = await weir(['apply', '-f', path]);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain('cluster cluster-1: revision 1');
  });

  test('diff answers 3 where something differs, 0 where nothing does', async () => {
    const same = await file(seedText);
    expect(await done('diff', '-f', same)).toBe('');
    const other = await weir(['diff', '-f', await file(seedText.replace('em1', 'em2'))]);
    expect(other.code).toBe(3);
    expect(other.out).toContain('-device: em1\n+device: em2\n');
    const unknown = await weir(['diff', '-f', await file(JSON.stringify(clusterOf(9)))]);
    expect([unknown.code, unknown.err]).toEqual([3, '']);
    await done('cluster', 'set', seedName, 'linkspeed=10g');
    const revisions = await weir(['diff', seedName, '--from', '1']);
    expect(revisions.code).toBe(3);
    expect(revisions.out).toContain('+linkspeed: 10g');
    expect(await done('diff', seedName, '--from', '2', '--to', '2')).toBeDefined();
    await refused(['diff', seedName], { code: 2, says: /nothing to compare/ });
    await refused(['diff', seedName, '--from', '99'], { code: 1, says: /not kept or never was/ });
    await refused(['diff', seedName, '--from', 'x'], { code: 2, says: /from/ });
  });

  test('show, history and rollback', async () => {
    await done('cluster', 'set', seedName, 'linkspeed=10g', '-m', 'faster');
    const shown = await done('show', seedName);
    expect(shown).toContain(`LB ${seedLb} (up)`);
    expect(shown).toContain(`VIP ${vip}  wstype apps, ports 80 443`);
    const document: unknown = parseYaml(await done('show', seedName, '--revision', '1', '-o', 'yaml'));
    expect(document).not.toHaveProperty('linkspeed');
    expect(JSON.parse(await done('show', seedName, '-o', 'json'))).toEqual(await seed());
    const history = await done('history', seedName);
    expect(history).toMatch(/^REVISION {2,}AT {2,}BY/);
    expect(history).toMatch(/^\d+ +\S+ +admin +cluster\.set +faster$/m);
    expect(JSON.parse(await done('history', seedName, '--limit', '1', '-o', 'json'))).toHaveLength(1);
    await refused(['history', 'nowhere'], { code: 1, says: /not_found/ });
    await refused(['history', seedName, '--limit', 'x'], { code: 2, says: /limit/ });
    const rows = JSON.parse(await done('history', seedName, '-o', 'json')) as { revision: number }[];
    const older = String((rows[0]?.revision ?? 0) - 1);
    expect(await done('rollback', seedName, '--to', older)).toContain(`revision ${Number(older) + 2}`);
    expect(await seed()).not.toHaveProperty('linkspeed');
    await refused(['rollback', seedName, '--to', 'x'], { code: 2, says: /\bto\b/ });
    await refused(['rollback', seedName], { code: 2, says: /--to/ });
  });
});

describe('lists', () => {
  const lists = [
    ['get', 'clusters'],
    ['get', 'vips'],
    ['get', 'lbs'],
    ['get', 'wss'],
    ['get', 'wstypes'],
    ['wstype', 'list'],
    ['wstype', 'get', 'apps'],
    ['history', seedName],
    ['publications', seedName],
    ['activations', seedName],
  ];

  test.each(lists)('%s %s prints a table, JSON or YAML of the same', async (...argv) => {
    const table = await done(...argv);
    expect(table.split('\n')[0]).toMatch(/^[A-Z-]+(?: {2,}[A-Z-]+)*$/);
    const json: unknown = JSON.parse(await done(...argv, '-o', 'json'));
    expect(parseYaml(await done(...argv, '-o', 'yaml'))).toEqual(json);
    expect(json).toBeInstanceOf(Array);
    if ((json as unknown[]).length === 0) expect(table).toMatch(/\(none\)\n$/);
  });

  test('are at most 100 columns wide, whatever stands in them', async () => {
    const long = `${'w'.repeat(63)}.${'w'.repeat(63)}.${'w'.repeat(63)}.${'w'.repeat(61)}`;
    const n = 5;
    const wide = clusterOf(n, {
      name: 'x'.repeat(128),
      idc: 'i'.repeat(128),
      lbinfos: [lbOf(n, 1, { hostname: long })],
      vip2ws: [vipOf(n, 1, { wstype: 't'.repeat(128), wss: [long], owner: '网络组'.repeat(60) })],
    });
    await create(server, wide);
    const all = [...lists, ['wstype', 'get', 't'.repeat(128)], ['history', wide.name]];
    for (const argv of all) {
      const table = await done(...argv);
      for (const line of table.split('\n')) expect(columns(line)).toBeLessThanOrEqual(100);
    }
    await create(server, clusterOf(6, { vip2ws: [vipOf(6, 1, { owner: '网络组' })] }));
    expect(await done('get', 'vips', '--cluster', 'cluster-6')).toContain('网络组');
  });

  /** On a screen, where these characters take two. */
  function columns(line: string): number {
    return line.replaceAll(/\p{Script=Han}/gu, '..').length;
  }

  test('are filtered, and complete beyond one page', async () => {
    await create(
      server,
      clusterOf(1, { vip2ws: [...Array(250).keys()].map((i) => vipOf(1, i + 1, { wstype: 'many' })) }),
    );
    const rows = async (...argv: string[]) => (JSON.parse(await done(...argv, '-o', 'json')) as unknown[]).length;
    expect(await rows('get', 'vips', '--wstype', 'many')).toBe(250);
    expect(await rows('get', 'vips', '--cluster', seedName)).toBe(2);
    expect(await rows('get', 'clusters', '--type', 'internal')).toBe(1);
    expect(await rows('get', 'clusters', '--idc', 'hy01')).toBe(1);
    expect(await rows('get', 'lbs', '--cluster', 'cluster-1')).toBe(1);
    expect(await rows('get', 'wss', '--cluster', 'cluster-1')).toBe(2);
    expect(await done('wstype', 'get', 'many', '--names')).toBe('ngx1.room1\nngx2.room1\n');
    expect(await rows('wstype', 'get', 'many', '--cluster', seedName)).toBe(0);
    await refused(['wstype', 'get', 'none'], { code: 1, says: /there are: apps, many, search/ });
    await refused(['get', 'clusters', '--type', 'outer'], { code: 2, says: /extra, internal/ });
  });

  test('a change answers -o json and yaml too', async () => {
    const json = JSON.parse(await done('cluster', 'set', seedName, 'linkspeed=1g', '-o', 'json')) as ChangeResult;
    expect(json).toMatchObject({ cluster: seedName, changed: true, dryRun: false });
    expect(parseYaml(await done('cluster', 'set', seedName, 'linkspeed=1g', '-o', 'yaml'))).toMatchObject({
      changed: false,
    });
  });
});

describe('publishing', () => {
  test('plan answers 3 where a publication would change something', async () => {
    const { code, out, err } = await weir(['plan', seedName]);
    expect(code).toBe(3);
    expect(out).toContain(`${seedLb}: nothing published by Weir yet`);
    expect(out).toContain('added keepalived/keepalived.conf (all LBs)');
    expect(err).not.toContain('error');
    expectPlain(out);
    const json = await weir(['plan', seedName, '--no-diff', '-o', 'json']);
    expect([json.code, JSON.parse(json.out)]).toEqual([3, expect.objectContaining({ changes: true })]);
    await refused(['plan', 'nowhere'], { code: 1, says: /not_found/ });
  });

  test('publish that fails answers 1, with each LB and why', async () => {
    const { code, out, err } = await weir(['publish', seedName]);
    expect(code).toBe(1);
    expect(out).toMatch(new RegExp(`^${seedLb} +failed +connect`, 'm'));
    expect(err).toContain(`${seedLb}: failed at connect`);
    for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
    expect(await done('publications', seedName)).toMatch(/^\d{17}-\w+ +\d+ +publish +failed +admin +1$/m);
    await refused(['publish', seedName, '--lb', 'nobody'], { code: 1, says: /has no LB nobody/ });
    await refused(['publish', seedName, '--revision', '99'], { code: 1, says: /revision_mismatch/ });
    await refused(['publish', seedName, '--revision', 'x'], { code: 2, says: /revision/ });
    const started = await weir(['publish', seedName, '--no-wait', '--restore', '--overwrite', '-o', 'json']);
    expect(started.code).toBe(0);
    expect(JSON.parse(started.out)).toMatchObject({ action: 'restore', state: 'running' });
  });
});

describe('activating', () => {
  test('what was never published, and undoing what cannot be reached, answer 1 and what to do', async () => {
    await refused(['activate', seedName], { code: 1, says: /\(not_published\)\n {2}weir publish/ });
    await refused(['activate', seedName, '--lb', 'nobody'], { code: 1, says: /has no LB nobody/ });
    await refused(['activate', seedName, '--wait', 'x'], { code: 2, says: /wait/ });
    await refused(['undo', seedName, seedLb], { code: 1, says: /was not undone: connect: .*\(remote\)/ });
    await refused(['undo', seedName, 'nobody'], { code: 1, says: /has no LB nobody/ });
  });
});

describe('cluster rotate-key', () => {
  const ospf = async () => (await seed()).ospf;
  const rotate = ['cluster', 'rotate-key', seedName];

  test('sends the new key and accepts the old one, then the new one alone', async () => {
    await done('cluster', 'set', seedName, 'ospf.key=FirstKey');
    const first = (await ospf())?.key;
    const path = await file('SecondKey\n');
    expect(await done(...rotate, '--keyid', '9', '--key-file', path, '--dry-run')).toContain('would become revision 3');
    expect(await done(...rotate, '--keyid', '9', '--key-file', path)).toContain('revision 3; publish it with');
    expect(await ospf()).toMatchObject({ keyid: 9, oldkey: first, oldkeyid: 8 });
    expect((await ospf())?.key).not.toBe(first);
    expect(await done(...rotate, '--finish', '-m', 'routers are done')).toContain('revision 4');
    expect(Object.keys((await ospf()) ?? {}).sort()).toEqual(['key', 'keyid']);
    expect(await done(...rotate, '--finish')).toContain('unchanged at revision 4');
    expect(await done(...rotate, '--keyid', '8', '--key', 'ThirdKey')).toContain('revision 5');
    expect(await ospf()).toMatchObject({ keyid: 8, oldkeyid: 9 });
  });

  test('says what is missing, and never a key', async () => {
    await refused([...rotate, '--keyid', '9', '--key', 'K'], {
      code: 1,
      says: /has no OSPF key yet.*\n {2}weir cluster set/,
    });
    await done('cluster', 'set', seedName, 'ospf.key=FirstKey');
    await refused(rotate, { code: 2, says: /--keyid is missing/ });
    await refused([...rotate, '--keyid', '9'], { code: 2, says: /--key or by --key-file/ });
    await refused([...rotate, '--keyid', '9', '--key', 'K', '--key-file', '-'], { code: 2, says: /name one of them/ });
    for (const text of ['', '\n', 'Two\nLines\n']) {
      await refused([...rotate, '--keyid', '9', '--key-file', await file(text)], { code: 2, says: /on one line/ });
    }
    await refused([...rotate, '--keyid', '8', '--key', 'SecondKey'], {
      code: 2,
      says: /oldkeyid.*both OSPF keys have/,
    });
    await refused([...rotate, '--keyid', '300', '--key', 'SecondKey'], { code: 2, says: /ospf\.keyid/ });
    await refused([...rotate, '--finish', '--keyid', '9'], { code: 2, says: /--finish takes no key/ });
    const { err } = await weir([...rotate, '--keyid', '9', '--key', 'a key with spaces']);
    expect(err).toMatch(/set\.ospf\.key/);
    expect(err).not.toContain('with spaces');
    await done(...rotate, '--keyid', '9', '--key', 'SecondKey');
    await refused([...rotate, '--keyid', '10', '--key', 'ThirdKey'], {
      code: 1,
      says: /still has OSPF key 8.*\n.*--finish/,
    });
    expect(await ospf()).toMatchObject({ keyid: 9, oldkeyid: 8 });
  });
});

describe('probing', () => {
  test('an LB that cannot be asked is a row with ssh’s words, and exit 1', async () => {
    const { code, out, err } = await weir(['lb', 'probe', seedName]);
    expect([code, err]).toEqual([1, '']);
    expect(out).toMatch(new RegExp(`^${seedLb} +state +unreachable$`, 'm'));
    expect(out).toMatch(/^ {2}cannot be asked: \S/m);
    expectPlain(out);
    await refused(['lb', 'probe', seedName, 'nobody'], { code: 1, says: /has no LB nobody/ });
    await refused(['lb', 'probe', 'nowhere'], { code: 1, says: /not_found/ });
  });
});

describe('render', () => {
  const expected = [
    'host/addresses',
    'keepalived/entry.conf',
    'keepalived/keepalived.conf',
    `keepalived/vips/${vip}.conf`,
    'keepalived/vips/60.28.208.2.conf',
    'manifest.json',
    'routing/ospfd.conf',
    'routing/zebra.conf',
  ];

  async function filesIn(path: string): Promise<string[]> {
    const entries = await readdir(path, { recursive: true, withFileTypes: true });
    return entries
      .filter((e) => e.isFile())
      .map((e) => join(e.parentPath, e.name).slice(path.length + 1))
      .toSorted();
  }

  test('with -f writes an LB’s files without any server', async () => {
    const out = join(folder, 'out');
    const nowhere = { WEIR_URL: 'http://127.0.0.1:1' };
    const argv = ['render', '-f', await file(seedText), '--hosts', await file(seedHosts), '-o', out];
    const { code, out: printed, err } = await weir(argv, nowhere);
    expect(code).toBe(0);
    expect(printed).toContain('RELEASE');
    expect(err).toContain('warning: ');
    expect(await readdir(out)).toEqual([seedLb]);
    expect(await filesIn(join(out, seedLb))).toEqual(expect.arrayContaining(expected));
    expect(await readFile(join(out, seedLb, 'keepalived/vips', `${vip}.conf`), 'utf8')).toContain('10.0.20.11');
    await writeFile(join(out, seedLb, 'stale'), 'x');
    expect((await weir(argv, nowhere)).out).toBe(printed);
    expect(await filesIn(join(out, seedLb))).not.toContain('stale');
  });

  test('of a cluster writes the same files as -f does', async () => {
    await done('render', seedName, '-o', join(folder, 'served'));
    await done(
      'render',
      '-f',
      await file(seedText),
      '--hosts',
      await file(seedHosts),
      '-o',
      join(folder, 'offline'),
      '--lb',
      seedLb,
    );
    const files = await filesIn(join(folder, 'served', seedLb));
    expect(files).toEqual(await filesIn(join(folder, 'offline', seedLb)));
    for (const path of files.filter((p) => p !== 'manifest.json')) {
      const [served, offline] = await Promise.all(
        ['served', 'offline'].map((f) => readFile(join(folder, f, seedLb, path), 'utf8')),
      );
      expect(served).toBe(offline);
    }
  });

  test('what cannot be rendered is refused, and nothing is written', async () => {
    const out = join(folder, 'out');
    const path = await file(seedText);
    await refused(['render', '-f', path, '-o', out], { code: 1, says: /unresolved/ });
    await refused(['render', '-o', out], { code: 2, says: /nothing to render/ });
    await refused(['render', seedName], { code: 2, says: /--output/ });
    await refused(['render', seedName, '-o', out, '--lb', 'nobody'], { code: 1, says: /no LB nobody/ });
    await refused(['render', seedName, '-o', '/dev/null/x'], { code: 1, says: /cannot be written/ });
    await expect(readdir(out)).rejects.toThrow('ENOENT');
  });
});

describe('the server', () => {
  test('that does not answer, or another token, is told with what to do, and exit 1', async () => {
    const nowhere = { WEIR_URL: 'http://127.0.0.1:1', WEIR_TOKEN: 'x' };
    await refused(['get', 'clusters'], { code: 1, says: /does not answer: .*\n {2}start it with weir serve/ }, nowhere);
    const noToken = { WEIR_URL: server.url };
    await refused(['get', 'clusters'], { code: 1, says: /\(unauthenticated\)\n {2}\S/ }, noToken);
    const wrong = { WEIR_URL: server.url, WEIR_TOKEN: 'wrong' };
    await refused(['apply', '-f', await file(seedText)], { code: 1, says: /unauthenticated/ }, wrong);
    await refused(['get', 'clusters'], { code: 1, says: /\S/ }, { WEIR_URL: 'nonsense' });
  });

  test('takes its token from a file', async () => {
    const path = await file(`${server.token}\n`);
    const { code } = await weir(['--token-file', path, 'get', 'clusters'], { WEIR_URL: server.url });
    expect(code).toBe(0);
    await refused(['--token-file', '/nowhere', 'get', 'clusters'], { code: 2, says: /token file/ });
  });
});

test('export writes a file that import export finds unchanged', async () => {
  const path = join(folder, 'weir.json');
  expect(await done('export', '-o', path, '--with-history')).toMatch(/weir\.json: \d+ bytes\n$/);
  const { code, out, err } = await weir(['import', 'export', '-f', path]);
  expect([code, /unchanged +1/.test(out)]).toEqual([0, true]);
  expect(err).toContain('0 imported, 1 unchanged, 0 refused\n');
  await refused(['export'], { code: 2, says: /--output/ });
  await refused(['import', 'export', '-f', '/nowhere'], { code: 2, says: /cannot be read/ });
});

test('import keepalived makes a document of a configuration, and needs no server', async () => {
  const services = `virtual_server 60.28.208.1 80 {
    delay_loop 6
    lb_algo wrr
    lb_kind FNAT
    laddr_group_name g
    quorum_up "ip addr add 60.28.208.1/32 dev lo"
    real_server 10.1.0.1 80 {
        TCP_CHECK {
            connect_timeout 3
        }
    }
}
`;
  const config = await file(services);
  const base = await file(seedText);
  const { code, out, err } = await weir(['import', 'keepalived', config, '--base', base], {});
  expect(code).toBe(3);
  expect(err).toContain('there is no local_address_group g');
  const [first] = (parseYaml(out) as Cluster).vip2ws;
  expect(first).toMatchObject({ wstype: 'apps', wss: ['ws-10-1-0-1'], ports: [{ sport: 80, check: { type: 'tcp' } }] });
  await refused(['import', 'keepalived', '/nowhere/at/all'], { code: 2, says: /no such file/ });
});

test('help names every command, and a command’s help its options', async () => {
  const { code, out } = await weir(['--help']);
  expect(code).toBe(0);
  for (const { name } of commands) expect(out).toContain(name.split(' ')[0]);
  for (const { name, summary, options = [] } of commands) {
    const help = await weir([...name.split(' '), '--help']);
    expect([help.code, help.err]).toEqual([0, '']);
    expect(help.out.replaceAll(/\s+/g, ' ')).toContain(summary);
    for (const { flags } of options) expect(help.out).toContain(/--[\w-]+/.exec(flags)?.[0]);
  }
});

test('completion prints a script for each shell it knows', async () => {
  expect(await done('completion', 'zsh')).toMatch(/^#compdef weir\n/);
  expect(await done('completion', 'fish')).toMatch(/^(?:complete -c weir .*\n)+$/);
  await refused(['completion', 'tcsh'], { code: 2, says: /one of: bash, zsh, fish/ });
});

test('every command was run here', () => {
  expect(commands.map((c) => c.name).filter((name) => !ran.has(name))).toEqual([]);
});
