/**
 * What LBs are, asked over real ssh: a test host with this machine's own keepalived, FRR, ethtool and arping, and a
 * segment on which another machine has one of its LIPs. Asking changes nothing on the LB.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openLab, whyNoLab } from '../lab/lab.ts';
import { lbKind } from '../lab/needs.ts';
import { runCli } from '../src/cli/program.ts';
import { ClusterProbeView } from '../src/contract/probe.ts';
import type { LbProbeView } from '../src/contract/probe.ts';
import { parse } from '../src/domain/schema.ts';
import { probeFindingKinds } from '../src/observe/probe-findings.ts';
import { startTestServer } from './harness.ts';
import { clusterOf, create, lbName, noHosts, openEdge, title } from './testing/edge.ts';
import type { Edge, TestHost } from './testing/edge.ts';
import { look, sh } from './testing/machine.ts';
import { isInstalled } from './testing/programs.ts';

const name = 'cluster-1';
const [first, second, absent] = [lbName(1, 1), lbName(1, 2), lbName(1, 3)];

const needed = ['keepalived', 'ospfd', 'vtysh', 'ethtool', 'arping', 'frr-reload.py'];
const lacking = needed.filter((program) => !isInstalled(program));
const leftOut = lacking.length > 0 ? ` (left out: no ${lacking.join(', ')} here)` : '';

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

/** `CODE OBJECT` of what disagrees, sorted; of one kind of code if it is named. */
function told(row: LbProbeView, kind = ''): string[] {
  const found = (row.findings ?? []).map(({ code, object }) => `${code} ${object}`);
  return found.filter((line) => line.startsWith(kind)).sort();
}

describe.skipIf(noHosts || lacking.length > 0)(title(`probing LBs${leftOut}`), () => {
  let edge: Edge;
  let host: TestHost;
  let lips: string[];

  beforeAll(async () => {
    edge = await openEdge();
    [host] = await Promise.all([edge.hosts.start(first), edge.hosts.start(second)]);
    // Announced in one way throughout: a document that changes it on LBs that are up is refused.
    await create(edge, { ...clusterOf(1, { lbs: 3, vips: 2 }), ospf: { announce: 'network' } });
    const { data } = await edge.server.client.call<{ lbs: Record<string, string[]> }>(`/clusters/${name}/lips`);
    lips = data.lbs[first] ?? [];
    expect(lips).toHaveLength(8);
  });
  afterAll(() => edge?.close());

  async function probe(query = ''): Promise<ClusterProbeView> {
    const path = `/clusters/${name}/probe${query}`;
    const { data } = await edge.server.client.call<ClusterProbeView>(path, { method: 'POST' });
    const parsed = parse(ClusterProbeView, data);
    expect(parsed.ok ? [] : parsed.problems).toEqual([]);
    return data;
  }

  async function probeOf(lb: string): Promise<LbProbeView> {
    const [row, ...others] = (await probe(`?lbs=${lb}`)).lbs;
    expect([row?.lb, others]).toEqual([lb, []]);
    return row as LbProbeView;
  }

  async function set(fields: object): Promise<void> {
    await edge.server.client.call(`/clusters/${name}`, { method: 'PATCH', body: fields });
  }

  async function weir(...args: string[]): Promise<{ code: number; out: string }> {
    const [stdout, stderr] = [sink(), sink()];
    const env = { WEIR_TOKEN: edge.server.token };
    const options = { version: '0', extra: [], env, stdout: stdout.stream, stderr: stderr.stream };
    return { code: await runCli(['--url', edge.server.url, ...args], options), out: stdout.text() };
  }

  test('a stock machine does not fit a document for FULLNAT and Quagga, and stays as it was', async () => {
    const folders = ['/etc', '/usr/local', '/root', '/home', '/run/weir', '/var/tmp', '/run/frr', '/tmp'];
    const before = look(host, ...folders);
    const row = await probeOf(first);
    expect(look(host, ...folders)).toEqual(before);
    expect(row).toMatchObject({
      state: 'deviates',
      document: { dataplane: 'fullnat', routing: 'quagga', linkspeed: null, interfaces: ['em1'], lips: 8 },
      machine: { root: true, active: null, arping: 'iputils', keepalived: { laddr: 'no' } },
    });
    const words = (await sh(host, 'keepalived -v 2>&1')).split('\n')[0] ?? '';
    const dialect = row.findings?.find(({ code }) => code === 'keepalived_dialect');
    expect(words).toMatch(/^Keepalived v2\./);
    expect(dialect?.message).toContain(words);
    expect(told(row)).toEqual(
      expect.arrayContaining([
        'interface_missing em1',
        'lip_pending LIPs',
        'lips_unasked LIPs',
        'routing_other_suite ospfd',
        'routing_other_suite zebra',
      ]),
    );
    expect(row.findings?.find(({ code }) => code === 'lips_unasked')?.message).toContain('em1');
    const seen = row.machine?.routing.installed.find((daemon) => daemon.name === 'ospfd');
    expect(seen).toMatchObject({ path: '/usr/lib/frr/ospfd', suite: 'frr' });
  });

  test('an LB that cannot be asked is a row with ssh’s words', async () => {
    const row = await probeOf(absent);
    expect(row).toMatchObject({ state: 'unreachable', document: { dataplane: 'fullnat' } });
    expect(row.error).toMatch(/\S/);
    expect(row).not.toHaveProperty('machine');
  });

  test('keepalived that says 1.2.2 fits fullnat', async () => {
    await sh(
      host,
      `printf '#!/bin/sh\necho "Keepalived v1.2.2 (11/03,2014)" >&2\n' >/usr/local/sbin/keepalived
       chmod 755 /usr/local/sbin/keepalived`,
    );
    const row = await probeOf(first);
    expect(row.machine?.keepalived).toMatchObject({ path: '/usr/local/sbin/keepalived', version: '1.2.2' });
    expect(told(row, 'keepalived')).toEqual([]);
    await set({ dataplane: 'ipvs' });
    expect(told(await probeOf(first), 'keepalived')).toEqual(['keepalived_dialect /usr/local/sbin/keepalived']);
    await sh(host, 'rm /usr/local/sbin/keepalived');
  });

  test('a document for what is there leaves what the machine itself lacks', async () => {
    await set({ dataplane: 'ipvs', routing: 'frr' });
    const row = await probeOf(first);
    expect(told(row, 'keepalived')).toEqual([]);
    expect(told(row, 'routing')).toEqual(['routing_down ospfd', 'routing_down zebra']);
    expect(told(row, 'tool')).toEqual([]);
    const finds = (module: string) => sh(host, 'if modprobe -n -q "$1"; then echo yes; else echo no; fi', module);
    const ipvs = row.machine?.ipvs.table === true || (await finds('ip_vs')) === 'yes\n';
    expect(told(row, 'ipvs')).toEqual(ipvs ? [] : ['ipvs_missing ip_vs']);
    for (const line of told(row, 'module_missing')) expect(await finds(line.split(' ')[1] ?? '')).toBe('no\n');
  });

  test('FRR that runs is seen', async () => {
    await sh(
      host,
      `mkdir -p /run/frr && chown frr:frr /run/frr
       for daemon in zebra ospfd; do
         : >/etc/frr/$daemon.conf
         /usr/lib/frr/$daemon -d -f /etc/frr/$daemon.conf </dev/null >/dev/null 2>&1
       done`,
    );
    const row = await probeOf(first);
    expect(told(row, 'routing')).toEqual([]);
    expect(row.machine?.routing.running).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ name: 'zebra', path: '/usr/lib/frr/zebra' }),
        expect.objectContaining({ name: 'ospfd', path: '/usr/lib/frr/ospfd' }),
      ]),
    );
    await set({ routing: 'quagga' });
    expect(told(await probeOf(first), 'routing')).toEqual(['routing_other_suite ospfd', 'routing_other_suite zebra']);
    await set({ routing: 'frr', ospf: { announce: 'network', bfd: true } });
    expect(told(await probeOf(first), 'routing')).toEqual(['routing_down bfdd']);
    await set({ ospf: { announce: 'network' } });
  });

  describe('on a segment', () => {
    const mac = '02:00:00:00:00:05';

    beforeAll(async () => {
      const [taken = '', here = ''] = lips;
      await sh(
        host,
        `ip link add em1 type veth peer name peer0 address ${mac}
         unshare --net sleep 600 </dev/null >/dev/null 2>&1 & peer=$!
         until [ "$(readlink /proc/$peer/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
         ip link set peer0 netns $peer
         nsenter --target $peer --net sh -c "ip link set peer0 up; ip addr add $1/24 dev peer0"
         ip addr add $2/32 dev em1`,
        taken,
        here,
      );
    });

    test('an interface that is switched off is told', async () => {
      const row = await probeOf(first);
      expect(told(row, 'interface')).toEqual(['interface_down em1']);
      expect(row.machine?.interfaces[0]).toMatchObject({ name: 'em1', present: true, enabled: false, driver: 'veth' });
      await sh(host, 'ip link set em1 up; until grep -q up /sys/class/net/em1/operstate; do sleep 0.05; done');
      expect(told(await probeOf(first), 'interface')).toEqual([]);
    });

    test('a LIP that another machine answers for is told with its MAC, and nobody’s are free', async () => {
      const [taken = '', here = '', ...others] = lips;
      const row = await probeOf(first);
      expect(told(row, 'lip')).toEqual(['lip_pending LIPs', `lip_taken ${taken}`]);
      expect(row.findings?.find(({ code }) => code === 'lip_taken')).toMatchObject({
        severity: 'deviation',
        message: `${taken} is answered for by ${mac} on the segment of em1`,
      });
      const states = Object.fromEntries((row.machine?.lips ?? []).map(({ address, state }) => [address, state]));
      expect(states).toEqual({
        [taken]: 'taken',
        [here]: 'here',
        ...Object.fromEntries(others.map((lip) => [lip, 'free'])),
      });
      expect(row.findings?.find(({ code }) => code === 'lip_pending')?.message).not.toContain(`${here},`);
    });

    test('busybox’s arping answers the same', async () => {
      await sh(host, 'ln -s "$(command -v busybox)" /usr/local/sbin/arping');
      const row = await probeOf(first);
      expect(row.machine?.arping).toBe('busybox');
      expect(told(row, 'lip')).toEqual(['lip_pending LIPs', `lip_taken ${lips[0]}`]);
      expect(row.findings?.find(({ code }) => code === 'lip_taken')?.message).toContain(mac);
      await sh(host, 'rm /usr/local/sbin/arping');
    });

    test('the speed of the interface is held against the document’s', async () => {
      const speed = Number(await sh(host, 'cat /sys/class/net/em1/speed'));
      expect((await probeOf(first)).machine?.interfaces[0]?.speed).toBe(speed);
      await set({ linkspeed: '10g' });
      expect(told(await probeOf(first), 'linkspeed')).toEqual(speed >= 10_000 ? [] : ['linkspeed_slower em1']);
      await set({ linkspeed: '1g' });
      expect(told(await probeOf(first), 'linkspeed')).toEqual(speed > 1000 ? ['linkspeed_faster em1'] : []);
      await set({ linkspeed: null });
    });

    test('LIPs that are missing are deviations once a release is active', async () => {
      await sh(host, 'mkdir -p /etc/weir/releases/0123456789abcdef; ln -s releases/0123456789abcdef /etc/weir/active');
      const row = await probeOf(first);
      const missing = lips.filter((_lip, i) => i !== 1).map((lip) => `lip_missing ${lip}`);
      expect(told(row, 'lip')).toEqual([...missing, `lip_taken ${lips[0]}`].sort());
      await sh(host, 'rm -r /etc/weir');
    });
  });

  test('the command line shows all LBs within 100 columns, and exits with 1 for the one that cannot be asked', async () => {
    const all = await weir('lb', 'probe', name);
    expect(all.code).toBe(1);
    expect(all.out).toContain(`${absent}:\n  cannot be asked: `);
    const lines = all.out.split('\n').map((line) => stripVTControlCharacters(line));
    const table = lines.slice(0, lines.indexOf(''));
    expect(table[0]).toMatch(/^LB +WHAT +MACHINE +DOCUMENT$/);
    expect(table.map((line) => line.split(' ')[0]).filter((cell) => cell !== '')).toEqual([
      'LB',
      first,
      second,
      absent,
    ]);
    expect(Math.max(...table.map((line) => line.length))).toBeLessThanOrEqual(100);
    const some = await weir('lb', 'probe', name, first, second);
    expect(some.code).toBe(3);
    expect(some.out).not.toContain(absent);
    expect(some.out).toContain('lip_taken: ');
    const json = await weir('lb', 'probe', name, first, '-o', 'json');
    expect((JSON.parse(json.out) as ClusterProbeView).lbs).toHaveLength(1);
    expect(await weir('lb', 'probe', name, first, '-o', 'yaml')).toMatchObject({ code: 3 });
  });

  test('hints name commands that exist', async () => {
    const { out } = await weir('--help');
    const hints = Object.values(probeFindingKinds).map(({ hint }) => hint);
    const used = hints.flatMap((hint) => [...hint.matchAll(/weir ([a-z]+)[^,;]* \{cluster\}/g)].map((m) => m[1] ?? ''));
    expect(used.length).toBeGreaterThan(5);
    expect([...new Set(used)].filter((word) => !new RegExp(`^  ${word} `, 'm').test(out))).toEqual([]);
  });
});

const noLab = whyNoLab();

describe.skipIf(noLab !== undefined)(`probing an LB of the lab${noLab ? ` (left out: ${noLab})` : ''}`, () => {
  test('finds what its document says, loads no module, and leaves the LB as it was', { timeout: 120_000 }, async () => {
    const lab = await openLab({ lbs: 1, wss: 1 });
    const server = await startTestServer({ settings: { ssh_config: lab.sshConfig } });
    try {
      await server.client.call('/clusters', { method: 'POST', body: lab.cluster() });
      for (const again of [false, true]) {
        const { data } = await server.client.call<ClusterProbeView>('/clusters/lab/probe', { method: 'POST' });
        const [row] = data.lbs;
        expect({ again, ...row }).toMatchObject({ again, state: 'ok', deviations: 0 });
        expect(told(row as LbProbeView)).toEqual(['lip_pending LIPs']);
        expect(row?.machine?.ipvs).toEqual({ table: lbKind() === 'namespace', fullnat: false });
        expect(row?.machine?.lips.every(({ state }) => state === 'free')).toBe(true);
      }
    } finally {
      await server.close();
      await lab.close();
    }
  });
});

test('every kind of finding of the probe is explained', () => {
  const page = readFileSync(join(import.meta.dirname, '../docs/status.md'), 'utf8');
  const probing = page.slice(page.indexOf('## Probing'));
  expect(Object.keys(probeFindingKinds).filter((code) => !probing.includes(`| \`${code}\` |`))).toEqual([]);
});
