/** weir import keepalived: through the real command line, on real files. */
import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Writable } from 'node:stream';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse as parseYaml } from 'yaml';
import type { Imported } from '../src/adopt/keepalived/keepalived.ts';
import { samples } from '../src/adopt/keepalived/testing/samples.ts';
import { runCli } from '../src/cli/program.ts';
import { checkCluster } from '../src/domain/edge/check.ts';
import type { Cluster } from '../src/domain/edge/model.ts';
import { parseCluster } from '../src/domain/edge/read.ts';
import { errorsOf } from '../src/domain/problem.ts';

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'weir-import-keepalived-'));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Ran {
  code: number;
  out: string;
  err: string;
}

/** In this process; no server is there, and none is asked. */
async function weir(argv: readonly string[]): Promise<Ran> {
  const [stdout, stderr] = [sink(), sink()];
  const options = {
    version: '0.0.0',
    extra: [],
    env: { WEIR_URL: 'http://127.0.0.1:1' },
    stdout: stdout.stream,
    stderr: stderr.stream,
  };
  const code = await runCli(['import', 'keepalived', ...argv], options);
  return { code, out: stdout.text(), err: stderr.text() };
}

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

/** What bin/weir is, without a build, as a process of its own in the folder of the files. */
async function weirProcess(argv: readonly string[], input: string): Promise<Ran> {
  const main = new URL('../src/main.ts', import.meta.url).href;
  const code = `const { main } = await import('${main}'); await main(process.argv.slice(1));`;
  const node = ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', code, '--'];
  const env = { PATH: process.env['PATH'] ?? '', WEIR_URL: 'http://127.0.0.1:1' };
  const child = execFile(process.execPath, [...node, 'import', 'keepalived', ...argv], { cwd: folder, env });
  let out = '';
  let err = '';
  child.stdout?.on('data', (chunk) => (out += String(chunk)));
  child.stderr?.on('data', (chunk) => (err += String(chunk)));
  child.stdin?.end(input);
  const [exit] = (await once(child, 'close')) as [number | null];
  return { code: exit ?? -1, out, err };
}

function file(name: string, text: string | Uint8Array): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}

const lb = {
  hostname: 'lb1.room',
  routerid: '10.0.19.2',
  internalip: '10.0.19.2',
  internalnetmask: '255.255.255.0',
  internalgateway: '10.0.19.1',
  ospfnet: '10.0.19.0/24',
};

function head(...more: string[]): string[] {
  return [
    '--name',
    'c1',
    '--type',
    'internal',
    '--device',
    'em1',
    '--lb',
    file('lb.json', JSON.stringify(lb)),
    ...more,
  ];
}

const whole = () => head('--wstype', 'apps', '--vipnet', '10.10.1.0/24');

/** The document that was printed, which must be valid. */
function documentOf({ out }: Ran): Cluster {
  const parsed = parseCluster(parseYaml(out));
  if (!parsed.ok) throw new Error(parsed.problems.map((problem) => `${problem.path}: ${problem.message}`).join('; '));
  expect(errorsOf(checkCluster(parsed.value))).toEqual([]);
  return parsed.value;
}

describe('the accepted samples of the three data planes', () => {
  test.each(Object.entries(samples))('%s: a valid document that expresses everything', async (dataplane, text) => {
    const ran = await weir([file(`${dataplane}.conf`, text), ...whole()]);
    expect([ran.code, ran.err]).toEqual([0, expect.stringContaining(`read as ${dataplane}, `)]);
    expect(ran.err).toContain(
      '2 services, 4 real servers: 2 equivalent, 0 with what is lost above, 0 different otherwise',
    );
    const cluster = documentOf(ran);
    expect(cluster.lbinfos[0]?.lips).toEqual(dataplane === 'ipvs' ? undefined : ['10.0.19.200', '10.0.19.201-203']);
    expect(cluster.vip2ws.map((vip) => [vip.vip, vip.wss, vip.ports.length])).toEqual([
      ['10.10.1.1', ['ws-10-0-20-11', 'ws-10-0-20-12'], 2],
    ]);
  });
});

describe('what the file does not hold', () => {
  test('is named with what to fill in, and the document has no place-holders', async () => {
    const ran = await weir([file('k.conf', samples.fullnat)]);
    expect(ran.code).toBe(1);
    for (const option of [
      '--name NAME',
      '--type extra',
      '--device em1',
      '--vipnet 10.10.1.0/24',
      '--lb FILE',
      '--wstype NAME',
    ])
      expect(ran.err).toContain(option);
    expect(Object.keys(parseYaml(ran.out) as object)).toEqual(['vip2ws']);
  });

  test('comes from a base, whose other VIPs stay, or go with --replace', async () => {
    const first = documentOf(await weir([file('k.conf', samples.fullnat), ...whole()]));
    const other = { ...first.vip2ws[0], vip: '10.10.1.9', owner: 'me' };
    const base = file('base.json', JSON.stringify({ ...first, vip2ws: [other] }));
    const merged = await weir([join(folder, 'k.conf'), '--base', base, '--wstype', 'shop']);
    expect([merged.code, documentOf(merged).vip2ws.map((vip) => [vip.vip, vip.wstype])]).toEqual([
      0,
      [
        ['10.10.1.9', 'apps'],
        ['10.10.1.1', 'shop'],
      ],
    ]);
    const replaced = await weirProcess(
      ['k.conf', '--base', '-', '--wstype', 'shop', '--replace', '-o', 'json'],
      readFileSync(base, 'utf8'),
    );
    expect(replaced.code).toBe(0);
    expect((JSON.parse(replaced.out) as Cluster).vip2ws.map((vip) => vip.vip)).toEqual(['10.10.1.1']);
  });

  test('names of WSs come from a hosts file', async () => {
    const hosts = file('hosts', '10.0.20.11 web1.room www\n10.0.20.12 web2.room\n');
    const ran = await weir([file('k.conf', samples.fullnat), ...whole(), '--hosts', hosts]);
    expect(documentOf(ran).vip2ws[0]?.wss).toEqual(['web1.room', 'web2.room']);
    expect(ran.err).not.toContain('made from');
  });
});

describe('files', () => {
  test('are found from where the including one is, and those with an execute bit are said', async () => {
    const [main = '', ...services] = samples.ipvs.split(/(?=^virtual_server_group)/m);
    file('etc/k.conf', `${main}include vips/*.conf\ninclude gone.conf\n`);
    for (const [i, text] of services.entries()) file(`etc/vips/${i}.conf`, text);
    chmodSync(join(folder, 'etc/vips/1.conf'), 0o755);
    const ran = await weir([join(folder, 'etc/k.conf'), ...whole()]);
    expect(ran.code).toBe(3);
    expect(ran.err).toMatch(/etc\/vips\/1\.conf has an execute bit.*\n {4}\S*etc\/k\.conf:6: include vips\/\*\.conf\n/);
    expect(ran.err).toMatch(
      /no such file: keepalived goes on without it.*\n {4}\S*etc\/k\.conf:7: include gone\.conf\n/,
    );
    expect(documentOf(ran).vip2ws[0]?.ports.map((port) => port.sport)).toEqual([80]);
  });

  test('that are no configuration are refused with what to do', async () => {
    const good = file('k.conf', samples.fullnat);
    for (const [argv, says] of [
      [[join(folder, 'gone.conf')], /no such file/],
      [[folder], /no such file/],
      [['/dev/zero'], /is no regular file/],
      [[file('loop.conf', 'include loop.conf\n')], /include each other without end/],
      [[file('packed.gz', Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0]))], /NUL bytes.*\n {2}.*unpack/],
      [[good, '--dataplane', 'linux'], /--dataplane linux is none/],
      [[good, '--base', join(folder, 'gone')], /cannot be read/],
      [[good, '--base', file('bad.json', '{"colour": 1}')], /colour/],
      [[good, '--lb', file('bad.json', '{"colour": 1}')], /colour/],
      [[], /missing required argument/],
    ] as const) {
      const ran = await weir(argv);
      expect([argv, ran.code, ran.out]).toEqual([argv, 2, '']);
      expect(ran.err).toMatch(says);
    }
  });

  test('come from standard input too', async () => {
    expect((await weirProcess(['-', ...whole()], samples.ipvs)).code).toBe(0);
  });

  test('a report has everything that was found', async () => {
    const ran = await weir([
      file('k.conf', samples.ipvs.replace('alpha', 'sorry_server 10.0.20.9 80')),
      ...whole(),
      '--report',
      join(folder, 'report.json'),
    ]);
    expect(ran.code).toBe(3);
    const { findings, comparison, problems } = JSON.parse(
      readFileSync(join(folder, 'report.json'), 'utf8'),
    ) as Imported & { problems: unknown[] };
    expect(findings.filter((one) => one.severity === 'lost').map((one) => [one.file, one.line, one.statement])).toEqual(
      [[expect.stringContaining('k.conf'), 15, 'sorry_server 10.0.20.9 80']],
    );
    expect(comparison).toMatchObject({ equivalent: 1, explained: 1, unexplained: 0 });
    expect(problems).toEqual([expect.objectContaining({ code: 'ospf_unauthenticated', severity: 'warning' })]);
  });
});

test('what docs/moving.md shows is what is said', async () => {
  const check = `HTTP_GET {
            url {
                path /healthz
                status_code 200
            }
            connect_timeout 3
            retry 3
            delay_before_retry 3
        }`;
  const ws = (address: string, weight: number) => `    real_server ${address} 8080 {
        weight ${weight}
        ${check}
    }
`;
  const server = `virtual_server 10.10.1.1 80 {
    delay_loop 6
    lb_algo wlc
    lb_kind NAT
    persistence_timeout 50
    sorry_server 10.0.20.99 80
${ws('10.0.20.11', 100)}${ws('10.0.20.12', 50)}}
`;
  const main = `global_defs {
    router_id LVS_lb1.hy01
    notification_email {
        ops@example.com
    }
}
vrrp_instance edge {
    interface em1
    virtual_router_id 51
    virtual_ipaddress {
        10.10.1.1
    }
}
include vips/*.conf
`;
  file('keepalived.conf', main);
  file('vips/shop.conf', server);
  file('hosts', '10.0.20.11 web1.hy01\n10.0.20.12 web2.hy01\n');
  const page = readFileSync(new URL('../docs/moving.md', import.meta.url), 'utf8');
  const [, options = ''] = /weir import keepalived keepalived\.conf ([^>]*?) > shop\.yaml/.exec(page) ?? [];
  const argv = options.replaceAll('\\\n', '').replace('lb.yaml', 'lb.json').split(/\s+/);
  head();
  const ran = await weirProcess(['keepalived.conf', ...argv], '');
  expect(ran.code).toBe(3);
  expect(page).toContain(`\n\`\`\`\n${ran.err}\`\`\`\n`);
});

/** Samples of Debian's keepalived: installed, or from its package where dpkg leaves documentation out. */
function debianSamples(): string | undefined {
  const installed = '/usr/share/doc/keepalived/samples';
  if (existsSync(installed)) return installed;
  const target = mkdtempSync(join(tmpdir(), 'weir-keepalived-package-'));
  spawnSync('apt-get', ['download', 'keepalived'], { cwd: target, timeout: 120_000 });
  const [package_] = readdirSync(target).filter((name) => name.endsWith('.deb'));
  const [unpack, ...extract] = ['dpkg-deb', '-x'] as const;
  if (package_ !== undefined) spawnSync(unpack, [...extract, package_, target], { cwd: target, timeout: 60_000 });
  const unpacked = join(target, installed);
  return existsSync(unpacked) ? unpacked : undefined;
}

const samplesFolder = debianSamples();
if (samplesFolder === undefined) {
  console.error(
    'SKIPPED: the samples of Debian’s keepalived are not installed, and apt-get download keepalived does not work here',
  );
}

/** [services, of which all WSs and settings are in the document, exit code] with everything given that a file does not hold. */
const outcomes: Readonly<Record<string, [number, number, number]>> = {
  'HTTP_GET.port': [1, 0, 3],
  IPv6: [0, 0, 3],
  PING_CHECK: [1, 0, 3],
  SMTP_CHECK: [1, 0, 3],
  SSL_GET: [2, 0, 3],
  UDP_CHECK: [1, 1, 0],
  conditional_conf: [0, 0, 3],
  fwmark: [0, 0, 3],
  inhibit: [1, 0, 3],
  misc_check: [1, 0, 3],
  misc_check_arg: [1, 0, 3],
  quorum: [1, 0, 3],
  sample: [1, 0, 3],
  status_code: [1, 0, 3],
  track_interface: [0, 0, 3],
  virtual_server_group: [11, 0, 3],
  virtualhost: [1, 0, 3],
  vrrp: [0, 0, 3],
  'vrrp.localcheck': [0, 0, 3],
  'vrrp.lvs_syncd': [1, 0, 3],
  'vrrp.routes': [0, 0, 3],
  'vrrp.rules': [0, 0, 3],
  'vrrp.scripts': [0, 0, 3],
  'vrrp.static_ipaddress': [0, 0, 3],
  'vrrp.sync': [0, 0, 3],
};

describe.skipIf(samplesFolder === undefined)('the samples of Debian’s keepalived', () => {
  const names = samplesFolder === undefined ? [] : readdirSync(samplesFolder).toSorted();

  test.each(names)('%s is imported, or refused with reasons', async (name) => {
    const packed = readFileSync(join(samplesFolder ?? '', name));
    const path = file(`samples/${name.replace(/\.gz$/, '')}`, name.endsWith('.gz') ? gunzipSync(packed) : packed);
    const ran = await weir([
      path,
      ...head('--wstype', 'apps', '--vipnet', '10.0.0.0/8', '192.168.0.0/16'),
      '-o',
      'json',
      '--report',
      join(folder, 'sample.json'),
    ]);
    const { findings, comparison } = JSON.parse(readFileSync(join(folder, 'sample.json'), 'utf8')) as Imported;
    expect(ran.err).not.toMatch(/^ {4}at /m);
    expect(errorsOf(checkCluster(JSON.parse(ran.out) as Cluster))).toEqual([]);
    expect([comparison.unexplained, comparison.unavailable]).toEqual([0, undefined]);
    expect(findings.every((one) => one.why !== '' && one.line > 0)).toBe(true);
    const unknown = findings.filter((one) => one.why.startsWith('not a word'));
    // Scripts lie there too.
    if (!name.startsWith('keepalived.conf.')) expect(unknown.length).toBeGreaterThan(0);
    else {
      expect(unknown).toEqual([]);
      const outcome = outcomes[name.replace('keepalived.conf.', '')];
      if (outcome) expect([comparison.services, comparison.equivalent, ran.code]).toEqual(outcome);
    }
  });
});

/** A VIP with two ports and three WSs, over 100 lines. */
function bulk(number: number): string {
  const address = `10.10.${number >> 8}.${number & 255}`;
  return samples.ipvs
    .slice(samples.ipvs.indexOf('virtual_server_group'))
    .replaceAll('10.10.1.1', address)
    .replaceAll('10.0.20.', `10.${20 + (number >> 8)}.${number & 255}.`);
}

test('ten thousand lines are imported as a whole', { timeout: 120_000 }, async () => {
  const text = Array.from({ length: 125 }, (_, i) => bulk(i + 1)).join('');
  expect(text.split('\n').length).toBeGreaterThan(10_000);
  const started = performance.now();
  const ran = await weir([file('bulk.conf', text), ...head('--wstype', 'apps', '--vipnet', '10.10.0.0/16')]);
  console.log(
    `weir import keepalived: ${text.split('\n').length} lines in ${Math.round(performance.now() - started)} ms, start included`,
  );
  expect([ran.code, documentOf(ran).vip2ws.length]).toEqual([0, 125]);
  expect(ran.err).toContain(
    '250 services, 500 real servers: 250 equivalent, 0 with what is lost above, 0 different otherwise',
  );
});
