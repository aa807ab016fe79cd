/**
 * The status of LBs over real ssh: machines that Weir never touched, that hold a release, that were changed by hand,
 * that cannot be reached; and that asking for it changes nothing on them.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCli } from '../src/cli/program.ts';
import { ClusterStatusView, ConnectionsView } from '../src/contract/status.ts';
import type { LbStatusView } from '../src/contract/status.ts';
import { parse } from '../src/domain/schema.ts';
import { findingKinds } from '../src/observe/findings.ts';
import { startDaemons } from './testing/daemons.ts';
import { clusterOf, create, lbName, mark, noHosts, openEdge, title } from './testing/edge.ts';
import type { Edge, TestHost } from './testing/edge.ts';
import { look, sh } from './testing/machine.ts';

const name = 'cluster-1';
const [first, second, absent] = [lbName(1, 1), lbName(1, 2), lbName(1, 3)];

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

/** `CODE OBJECT`, sorted. */
function told(findings: LbStatusView['deviations']): string[] {
  return (findings?.items ?? []).map(({ code, object }) => `${code} ${object}`).sort();
}

describe.skipIf(noHosts)(title('the status of LBs'), () => {
  let edge: Edge;
  let host: TestHost;
  let other: TestHost;

  beforeAll(async () => {
    edge = await openEdge();
    [host, other] = await Promise.all([edge.hosts.start(first), edge.hosts.start(second)]);
    await create(edge, clusterOf(1, { lbs: 3, vips: 2 }));
  });
  afterAll(() => edge?.close());

  async function status(query = ''): Promise<ClusterStatusView> {
    const { data } = await edge.server.client.call<ClusterStatusView>(`/clusters/${name}/status${query}`);
    const parsed = parse(ClusterStatusView, data);
    expect(parsed.ok ? [] : parsed.problems).toEqual([]);
    return data;
  }

  async function statusOf(lb: string, query = ''): Promise<LbStatusView> {
    const found = (await status(query)).lbs.find((row) => row.lb === lb);
    if (!found) throw new Error(`no ${lb}`);
    return found;
  }

  async function weir(...args: string[]): Promise<{ code: number; out: string }> {
    const [stdout, stderr] = [sink(), sink()];
    const env = { WEIR_TOKEN: edge.server.token };
    const options = { version: '0', extra: [], env, stdout: stdout.stream, stderr: stderr.stream };
    return { code: await runCli(['--url', edge.server.url, ...args], options), out: stdout.text() };
  }

  /** All that publishing and its daemons may leave; what ssh itself leaves is elsewhere. */
  function everything(of: TestHost) {
    return look(of, '/etc', '/usr/local/etc', '/usr/local/sbin', '/root', '/home', '/run/weir');
  }

  test('a machine that Weir never touched has nothing, and stays as it was', async () => {
    const before = everything(host);
    const row = await statusOf(first);
    expect(row).toMatchObject({
      state: 'deviates',
      published: null,
      desired: { revision: 1, state: 'up' },
      drained: null,
    });
    expect(row.loaded?.keepalived).toMatchObject({ state: 'down', release: null });
    expect(row.kernel).toMatchObject({ against: null, services: { expected: 0, present: 0 } });
    expect(row.kernel?.boot.uptime).toBeGreaterThan(0);
    expect(told(row.deviations)).toEqual([`not_published ${row.desired?.release}`]);
    expect(everything(host)).toEqual(before);
  });

  test('an LB that cannot be reached is a row with ssh’s words', async () => {
    const row = await statusOf(absent);
    expect(row.state).toBe('unreachable');
    expect(row.error).toMatch(/\S/);
    expect(row).not.toHaveProperty('kernel');
  });

  test('a published release is verified, is not active, and asking changes nothing', async () => {
    await edge.publish(name, { lbs: [first, second] });
    const before = everything(host);
    const row = await statusOf(first);
    expect(row.published).toMatchObject({
      release: row.desired?.release,
      revision: 1,
      verified: true,
      dataplane: 'fullnat',
      routing: 'quagga',
      services: 4,
      active: null,
    });
    expect(told(row.deviations)).toEqual([`not_activated ${row.desired?.release}`]);
    expect(everything(host)).toEqual(before);
  });

  test('a newer revision is desired and not published', async () => {
    const [was] = (await status()).lbs;
    await mark(edge, name, '/second');
    const row = await statusOf(first);
    expect(row.desired).toMatchObject({ revision: 2 });
    expect(row.desired?.release).not.toBe(was?.desired?.release);
    expect(row.published).toMatchObject({ release: was?.published?.release, revision: 1, verified: true });
    expect(told(row.deviations)).toContain(`not_published ${row.desired?.release}`);
    await edge.publish(name, { lbs: [first, second] });
    expect(told((await statusOf(first)).deviations)).toEqual([`not_activated ${row.desired?.release}`]);
  });

  test('what was changed by hand on one LB is named, and the other one is as it was', async () => {
    const release = (await statusOf(second)).published?.release;
    const folder = `/etc/weir/releases/${release}`;
    await sh(
      other,
      `cp -p /etc/keepalived/keepalived.conf /root/kept
       rm /etc/keepalived/keepalived.conf; ln -s /root/kept /etc/keepalived/keepalived.conf
       echo "! by hand" >>/usr/local/etc/ospfd.conf
       echo "! extra" >"$1/keepalived/extra.conf"
       mv "$1/host/addresses" /root/addresses
       rm /etc/weir/bin/announce-*`,
      folder,
    );
    const row = await statusOf(second);
    expect(row.published?.verified).toBe(false);
    expect(told(row.deviations).filter((line) => !line.startsWith('not_activated'))).toEqual([
      'edited_file /etc/keepalived/keepalived.conf',
      `edited_file ${folder}/host/addresses`,
      `edited_file ${folder}/keepalived/extra.conf`,
      'edited_file /usr/local/etc/ospfd.conf',
      expect.stringMatching(/^helper_missing \/etc\/weir\/bin\/announce-/),
    ]);
    expect((await statusOf(first)).published?.verified).toBe(true);
    await edge.publish(name, { lbs: [second], overwrite: true });
    expect((await statusOf(second)).published?.verified).toBe(true);
  });

  test('a drained LB says so, with who and why', async () => {
    await sh(host, 'echo "local 1700000000 new disk" >/etc/weir/drain');
    const row = await statusOf(first);
    expect(row.drained).toEqual({ origin: 'local', since: 1_700_000_000, reason: 'new disk' });
    expect(told(row.notes)).toContain(`drained ${first}`);
    await sh(host, 'rm /etc/weir/drain');
    expect((await statusOf(first)).drained).toBeNull();
  });

  test('the command line shows all LBs, and exits with 1 for the one that cannot be read, else with 3', async () => {
    const all = await weir('status', name);
    expect(all.code).toBe(1);
    expect(all.out).toContain('cannot be read: ');
    const table = all.out.split('\n').slice(0, 4);
    expect(table.map((line) => line.split(/\s{2,}/)[0])).toEqual(['LB', first, second, absent]);
    const some = await weir('status', name, '--lb', first, second);
    expect(some.code).toBe(3);
    expect(some.out).toContain(`weir activate ${name} --lb ${first}`);
    expect(some.out).not.toContain(absent);
    const json = await weir('status', name, '--lb', first, '-o', 'json');
    expect((JSON.parse(json.out) as ClusterStatusView).lbs).toHaveLength(1);
    expect((await weir('status', 'nowhere')).code).toBe(1);
  });

  test('hints name commands that exist', async () => {
    const { out } = await weir('--help');
    const hints = Object.values(findingKinds).map(({ hint }) => hint);
    const used = hints.flatMap((hint) => [...hint.matchAll(/weir ([a-z]+)[^,;]* \{cluster\}/g)].map((m) => m[1] ?? ''));
    expect(used.length).toBeGreaterThan(5);
    expect([...new Set(used)].filter((word) => !new RegExp(`^  ${word} `, 'm').test(out))).toEqual([]);
  });

  describe('with a keepalived that was activated, and an IPVS table', () => {
    let release = '';

    beforeAll(async () => {
      const daemons = await startDaemons(host);
      expect(daemons.signals().keepalived).toEqual([]);
      release = (await statusOf(first)).published?.release ?? '';
      // 172.17.0.1 and .2, ports 80 and 443; of the second one 443 is missing, and a WS of the first one is down.
      await sh(
        host,
        String.raw`
        ln -s "releases/$1" /etc/weir/active
        loads=$(sed -n 's/^"loads": "\(.*\)",$/\1/p' "/etc/weir/releases/$1/manifest.json")
        read -r pid </run/keepalived.pid
        echo "$loads $pid $(sed 's/.*) //' /proc/$pid/stat | cut -d' ' -f20) record" >/etc/weir/loaded
        cat >/root/ip_vs <<'END'
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  AC110001:0050 wrr  persistent 5000 FFFFFFFF
  -> 0A650002:0050      FullNat 100    17         3
TCP  AC110001:01BB wrr  persistent 5000 FFFFFFFF
  -> 0A650002:01BB      FullNat 100    1          0
  -> 0A650003:01BB      FullNat 100    0          0
TCP  AC110002:0050 wrr  persistent 5000 FFFFFFFF
  -> 0A650004:0050      FullNat 100    4          0
  -> 0A650005:0050      FullNat 100    4          0
END
        ip addr add 172.17.0.1/32 dev lo
        printf '#!/bin/sh\nexport WEIR_IPVS=/root/ip_vs\nexec /bin/sh "$@"\n' >/usr/local/bin/login-shell
        chmod 755 /usr/local/bin/login-shell
        sed -i 's|^\(root:.*:\)[^:]*$|\1/usr/local/bin/login-shell|' /etc/passwd
        printf '#!/bin/sh\necho "TCP  172.17.0.1:80 wrr persistent 50"\necho "  -> 10.101.0.2:80    100   5   17   3"\n' >/usr/local/sbin/ipvsadm
        chmod 755 /usr/local/sbin/ipvsadm`,
        release,
      );
    });

    test('the kernel is compared with what was loaded', async () => {
      const row = await statusOf(first, '?services=true');
      expect(row.loaded?.keepalived).toMatchObject({ state: 'release', release, source: 'record' });
      expect(row.kernel).toMatchObject({
        against: release,
        services: { expected: 4, present: 3 },
        servers: { expected: 8, present: 5 },
        connections: { active: 26, inactive: 3 },
        vips: { expected: 2, present: 1, high: 0 },
      });
      const codes = told(row.deviations).filter((line) => /^(?:service|vip)/.test(line));
      expect(codes).toEqual(['service_missing TCP 172.17.0.2:443', 'vip_not_announced 172.17.0.2']);
      expect(told(row.notes)).toEqual(['ws_down TCP 172.17.0.1:80 10.101.0.3:80']);
      expect(row.services?.map((s) => s.service)).toEqual([
        'TCP 172.17.0.1:80',
        'TCP 172.17.0.1:443',
        'TCP 172.17.0.2:80',
      ]);
      expect(await statusOf(first)).not.toHaveProperty('services');
    });

    test('connections of a WS are told for each LB', async () => {
      const path = `/clusters/${name}/connections?ws=ngx1-1.room1`;
      const { data } = await edge.server.client.call<ConnectionsView>(path);
      expect(parse(ConnectionsView, data).ok).toBe(true);
      expect(data.lbs[first]).toEqual({ active: 18, inactive: 3, persistent: 5, servers: 2 });
      expect(data.lbs[second]).toMatchObject({ active: null, error: 'this kernel has no IPVS table' });
      expect(data.lbs[absent]?.error).toMatch(/\S/);
      const behind = await edge.server.fetch(`${path}&vip=172.17.0.2`);
      expect(behind.status).toBe(404);
    });

    test('a keepalived that was started since has loaded nobody knows what', async () => {
      await sh(host, 'sed -i "s/ [0-9]* record/ 1 record/" /etc/weir/loaded');
      const row = await statusOf(first);
      expect(row.loaded?.keepalived).toMatchObject({ state: 'unknown', source: null });
      expect(told(row.notes)).toContain('loaded_unknown keepalived');
      expect(row.kernel?.against).toBe(release);
    });
  });
});

test('every kind of finding is explained', () => {
  const page = readFileSync(join(import.meta.dirname, '../docs/status.md'), 'utf8');
  expect(Object.keys(findingKinds).filter((code) => !page.includes(`\`${code}\``))).toEqual([]);
});
