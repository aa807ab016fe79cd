/**
 * What operators do on an LB with a stock kernel, by FRR's own means and with keepalived's files: it is named, nothing of it is
 * overwritten unasked, and what they had before Weir came is given back byte for byte.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { publisherTo, releaseOf, withoutSsh } from '../src/publish/testing.ts';
import type { Publisher } from '../src/publish/testing.ts';
import { openTestHosts } from '../src/remote/test-hosts.ts';
import type { TestHosts } from '../src/remote/test-hosts.ts';
import type { Release } from '../src/render/cluster.ts';
import { clusterOf, noHosts, title } from './testing/edge.ts';
import type { TestHost } from './testing/edge.ts';
import { frrLivePaths, look, lookAtContent, read, sh } from './testing/machine.ts';
import { isInstalled } from './testing/programs.ts';

const missing = ['keepalived', 'zebra', 'ospfd', 'vtysh'].filter((name) => !isInstalled(name));
const leftOut = missing.length > 0 ? ` (left out: not installed: ${missing.join(', ')})` : '';

const frrConf = '/etc/frr/frr.conf';
const keepalivedConf = '/etc/keepalived/keepalived.conf';

function release(marker: string, cost = 15): Release {
  const cluster = clusterOf(1, { lbs: 1, vips: 3, marker });
  return releaseOf({ ...cluster, dataplane: 'ipvs', routing: 'frr', ospf: { cost } });
}

/** FRR as Debian starts it: one frr.conf, given to the daemons by vtysh. */
const startFrr = `
  mkdir -p /run/frr; chown frr:frr /run/frr
  echo 'service integrated-vtysh-config' >/etc/frr/vtysh.conf
  ip link add em1 type dummy; ip addr add 10.1.1.2/24 dev em1; ip link set em1 up
  /usr/lib/frr/zebra -d -A 127.0.0.1 >/dev/null 2>&1
  /usr/lib/frr/ospfd -d -A 127.0.0.1 >/dev/null 2>&1`;

const byHand = `
  mkdir -p /etc/keepalived/conf.d; chmod 0750 /etc/keepalived/conf.d
  printf 'global_defs {\\n    router_id mine\\n}\\ninclude conf.d/*.conf\\n' >${keepalivedConf}; chmod 0640 ${keepalivedConf}
  printf 'virtual_server 10.9.9.9 80 {\\n}\\n' >/etc/keepalived/conf.d/vip.conf
  printf 'hostname mine\\nrouter ospf\\n ospf router-id 10.9.9.1\\nexit\\n' >${frrConf}; chown frr:frr ${frrConf}; chmod 0640 ${frrConf}
  touch -d 2020-02-03 ${keepalivedConf} ${frrConf}`;

describe.skipIf(noHosts || missing.length > 0)(title(`an operator's work on an LB with FRR${leftOut}`), () => {
  const a = release('/a');
  const b = release('/b', 20);
  let hosts: TestHosts;
  let host: TestHost;
  let to: Publisher;
  let used = 0;

  beforeAll(async () => {
    hosts = await openTestHosts();
  });
  afterAll(() => hosts?.close());
  beforeEach(async () => {
    used += 1;
    host = await hosts.start(`lb${used}.room1`);
    to = publisherTo(withoutSsh(host, hosts.directory), host.name);
  });

  const everything = () => look(host, '/etc/keepalived', '/etc/frr', '/etc/weir/current', '/etc/weir/backup');

  async function publish(next: Release | undefined): Promise<void> {
    const { state, message } = await to.publish(next);
    expect({ state, message }).toEqual({ state: next ? 'published' : 'restored', message: '' });
  }

  /** Publishing names it and leaves it; asked to, it overwrites and keeps a copy. */
  async function expectNamed(path: string, words: string): Promise<void> {
    const before = everything();
    const edited = read(host, path);
    for (const next of [a, b]) {
      const refused = await to.publish(next);
      expect(refused).toMatchObject({ state: 'failed', step: 'check' });
      expect(refused.message).toContain(words);
      expect(refused.message).toContain('--overwrite');
      expect(everything()).toEqual(before);
    }
    expect(await to.publish(b, { overwrite: true })).toMatchObject({ state: 'published', message: '' });
    expect(await sh(host, 'find /etc/weir/edited -type f -exec cat {} +')).toContain(edited);
    expect((await to.publish(b)).state).toBe('unchanged');
  }

  describe('with the daemons of FRR running on what was published,', () => {
    beforeEach(async () => {
      await sh(host, startFrr);
      await publish(a);
      await sh(host, `vtysh -b && vtysh -c 'show running-config' | grep -q 'ip ospf cost 15'`);
    });

    test('`write memory` after a change is named', async () => {
      await sh(
        host,
        "vtysh -c 'configure terminal' -c 'interface em1' -c 'ip ospf cost 777' -c end -c 'write memory' 2>&1",
      );
      expect(read(host, frrConf)).toContain('ip ospf cost 777');
      await expectNamed(frrConf, `changed by hand: ${frrConf};`);
    });

    test('`write memory` leaves a file that the daemon may write and nobody else may read', async () => {
      await sh(host, "vtysh -c 'configure terminal' -c 'hostname other' -c end -c 'write memory' 2>&1");
      const written = look(host, frrConf)[frrConf];
      await to.publish(a, { overwrite: true });
      const { mode, owner } = look(host, frrConf)[frrConf] ?? {};
      expect({ mode, owner }).toEqual({ mode: '0640', owner: written?.owner });
      expect(await sh(host, `id -u frr; stat -c %u ${frrConf}`)).toMatch(/^(\d+)\n\1\n$/);
    });

    test('publishing does not change what they run', async () => {
      const running = () => sh(host, "vtysh -c 'show running-config'");
      const before = await running();
      await publish(b);
      await publish(undefined);
      expect(await running()).toBe(before);
    });
  });

  const edits: Record<string, { script: string; path: string; words: string }> = {
    'a keepalived.conf of their own': {
      script: `printf 'global_defs {\\n}\\n' >${keepalivedConf}`,
      path: keepalivedConf,
      words: `changed by hand: ${keepalivedConf};`,
    },
    'a file more in the release that is live': {
      script: 'echo "virtual_server 10.9.9.9 80 {" >/etc/weir/current/keepalived/vips/mine.conf',
      path: '/etc/weir/current/keepalived/vips/mine.conf',
      words: 'keepalived/vips/mine.conf: not in the manifest',
    },
    'a file changed in the release that is live': {
      script: 'sed -i "s/weight 100/weight 1/" /etc/weir/current/keepalived/vips/172.17.0.1.conf',
      path: '/etc/weir/current/keepalived/vips/172.17.0.1.conf',
      words: 'keepalived/vips/172.17.0.1.conf: FAILED',
    },
    'host settings changed in the release that is live': {
      script: 'echo "net.ipv4.ip_forward = 0" >>/etc/weir/current/host/sysctl.conf',
      path: '/etc/weir/current/host/sysctl.conf',
      words: 'host/sysctl.conf: FAILED',
    },
  };
  for (const [what, { script, path, words }] of Object.entries(edits)) {
    test(`${what} is named`, async () => {
      await publish(a);
      await sh(host, script);
      await expectNamed(path, words);
    });
  }

  describe('before Weir came', () => {
    const shown = ['/etc/keepalived', '/etc/frr', '/usr/local'];

    test('is taken over, and given back with bytes, owners, modes and times', async () => {
      await sh(host, byHand);
      const before = lookAtContent(host, ...shown);
      const times = look(host, ...frrLivePaths);
      await publish(a);
      expect(read(host, keepalivedConf)).toBe('include /etc/weir/current/keepalived/entry.conf\n');
      expect(read(host, frrConf)).toBe(
        a
          .files()
          .find((f) => f.path === 'routing/frr.conf')
          ?.text(),
      );
      await publish(b);
      await publish(undefined);
      expect(lookAtContent(host, ...shown)).toEqual(before);
      for (const [path, { mtime }] of Object.entries(times)) expect(look(host, path)[path]?.mtime).toBe(mtime);
    });

    test('is taken over from daemons that run on it, which go on with it', async () => {
      await sh(host, byHand);
      await sh(host, `${startFrr}\nvtysh -b`);
      const running = () => sh(host, "vtysh -c 'show running-config'");
      const before = await running();
      expect(before).toContain('ospf router-id 10.9.9.1');
      await publish(a);
      expect(await running()).toBe(before);
    });

    test('is not touched by a first publication that fails', async () => {
      await sh(host, byHand);
      await sh(host, `mount --bind ${frrConf} ${frrConf}`);
      const before = lookAtContent(host, ...shown);
      expect(await to.publish(a)).toMatchObject({ state: 'failed', step: 'switch' });
      await sh(host, `umount ${frrConf}`);
      expect(lookAtContent(host, ...shown)).toEqual(before);
    });
  });
});
