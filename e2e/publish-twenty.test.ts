/**
 * A bad day: twenty LBs of one cluster, six of which cannot be published to, each for a reason of its own. The others are
 * published, the six are as they were to the inode, each is named with its step and the other program's words, and all of it
 * takes no longer than the one LB that never answers.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Cluster } from '../src/domain/edge/model.ts';
import { clusterOf, create, lbName, mark, noHosts, openEdge, range, title } from './testing/edge.ts';
import type { Edge, Publication, TestHost } from './testing/edge.ts';
import { look, read, sh } from './testing/machine.ts';
import type { Seen } from './testing/machine.ts';
import { isInstalled } from './testing/programs.ts';

const keepalived = isInstalled('keepalived');

/** The slowest time limit: that of a machine which takes a connection and never answers. */
const CONNECT_SECONDS = 10;

/** What fourteen publications on the cores of Weir itself may take beside it, on a busy machine. */
const MARGIN_SECONDS = 10;

interface Ill {
  make: (host: TestHost, edge: Edge) => Promise<unknown>;
  step: Publication['lbs'][string]['step'];
  says: string[];
}

const elsewhere = async (host: TestHost, edge: Edge) =>
  edge.server.client.call(`/clusters/cluster-1/lbs/${host.name}`, { method: 'PATCH', body: { ssh: { port: 2222 } } });
const refuses: Ill = { make: elsewhere, step: 'connect', says: ['did not pass back a connection'] };

const ills: Record<string, Ill> = {
  'refuses connections': refuses,
  'refuses connections too': refuses,
  'takes a connection and never answers': {
    make: async (host) => process.kill(host.pid, 'SIGSTOP'),
    step: 'connect',
    says: ['Connection timed out during banner exchange'],
  },
  'has a full disk': {
    make: (host) => sh(host, 'dd if=/dev/zero of=/etc/weir/filler bs=4k 2>/dev/null || [ -s /etc/weir/filler ]'),
    step: 'lock',
    says: ['cannot write /etc/weir/fence: the disk is full'],
  },
  'has another host key': {
    make: async (host, edge) => {
      const key = await sh(host, 'ssh-keygen -q -t ed25519 -N "" -f /tmp/other; cut -d" " -f1,2 /tmp/other.pub');
      await writeFile(join(edge.hosts.directory, 'hosts', host.name, 'known_hosts'), `* ${key}`);
    },
    step: 'connect',
    says: ['Host key for lb14.room1 has changed', 'Host key verification failed'],
  },
  'has a keepalived that was built without the scheduler wrr': {
    make: (host) =>
      sh(
        host,
        `mkdir -p /usr/local/sbin
        perl -0777 -pe 's/\\bwrr\\0/wrx\\0/' /usr/sbin/keepalived >/usr/local/sbin/keepalived
        chmod 755 /usr/local/sbin/keepalived`,
      ),
    step: 'check',
    says: ['keepalived -t: (vips/172.17.0.1.conf: Line ', "Invalid lvs_scheduler 'wrr'"],
  },
};

const leftOut = keepalived ? '' : ' (left out: keepalived is not installed)';

describe.skipIf(noHosts || !keepalived)(title(`of twenty LBs on a bad day${leftOut}`), () => {
  const cluster: Cluster = { ...clusterOf(1, { lbs: 20, vips: 5, marker: '/a' }), dataplane: 'ipvs', routing: 'frr' };
  const names = Object.keys(ills);
  /** Not one after the other, as they would not be. */
  const illLb = (i: number) => lbName(1, 3 * i + 2);
  const well = range(20)
    .map((i) => lbName(1, i))
    .filter((name) => !names.some((_, i) => illLb(i) === name));
  const machines = new Map<string, TestHost>();
  const before = new Map<string, Record<string, Seen>>();
  let edge: Edge;
  let publication: Publication;
  let seconds: number;

  /** All that daemons read, and all of Weir's but what tells of the visit itself. */
  function treeOf(host: TestHost): Record<string, Seen> {
    const seen = look(host, '/etc/keepalived', '/etc/frr', '/etc/weir', '/usr/local/etc', '/usr/local/sbin/weir');
    const visits = [
      '/etc/weir',
      '/etc/weir/releases',
      '/etc/weir/lock',
      '/etc/weir/fence',
      '/etc/weir/keepalived.version',
    ];
    for (const path of visits) delete seen[path];
    return seen;
  }

  function machine(name: string): TestHost {
    const host = machines.get(name);
    if (!host) throw new Error(`there is no ${name}`);
    return host;
  }

  const path = (host: TestHost) =>
    /path (\S+)/.exec(read(host, '/etc/weir/current/keepalived/vips/172.17.0.1.conf'))?.[1];

  beforeAll(async () => {
    edge = await openEdge({ settings: { ssh_connect_timeout: String(CONNECT_SECONDS) } });
    await create(edge, cluster);
    for (const host of await edge.hosts.startMany(cluster.lbinfos.map((lb) => lb.hostname))) {
      machines.set(host.name, host);
      await sh(host, 'mkdir -p /etc/weir; mount -t tmpfs -o size=1m weir-test /etc/weir');
    }
    expect((await edge.publish(cluster.name)).state).toBe('done');
    for (const [i, name] of names.entries()) await ills[name]?.make(machine(illLb(i)), edge);
    for (const [i] of names.entries()) before.set(illLb(i), treeOf(machine(illLb(i))));
    await mark(edge, cluster.name, '/b');
    const start = performance.now();
    publication = await edge.publish(cluster.name);
    seconds = (performance.now() - start) / 1000;
  }, 180_000);
  afterAll(async () => {
    await edge?.close();
  });

  for (const [i, name] of names.entries()) {
    test(`one that ${name} is named with its step and words, and is as it was`, () => {
      const { step, says } = ills[name] ?? refuses;
      const outcome = publication.lbs[illLb(i)];
      expect(outcome).toMatchObject({ state: 'failed', step });
      for (const words of says) expect(outcome?.message).toContain(words);
      expect(treeOf(machine(illLb(i)))).toEqual(before.get(illLb(i)));
      expect(path(machine(illLb(i)))).toBe('/a');
    });
  }

  test('the other fourteen are published', () => {
    expect(publication.state).toBe('failed');
    expect(well).toHaveLength(14);
    for (const name of well) {
      expect(publication.lbs[name], name).toMatchObject({ state: 'published', message: '', warnings: [] });
      expect(path(machine(name))).toBe('/b');
    }
  });

  test('all of it takes no longer than the one that never answers', () => {
    expect(seconds).toBeGreaterThan(CONNECT_SECONDS - 1);
    expect(seconds).toBeLessThan(CONNECT_SECONDS + MARGIN_SECONDS);
  });

  test('those that are well again are published next time, and only they change', async () => {
    process.kill(machine(illLb(2)).pid, 'SIGCONT');
    await sh(machine(illLb(3)), 'rm /etc/weir/filler');
    await sh(machine(illLb(5)), 'rm /usr/local/sbin/keepalived');
    const again = await edge.publish(cluster.name);
    const states = (state: string) => Object.keys(again.lbs).filter((lb) => again.lbs[lb]?.state === state);
    expect(states('published').sort()).toEqual([2, 3, 5].map(illLb).sort());
    expect(states('unchanged').sort()).toEqual([...well].sort());
    expect(states('failed').sort()).toEqual([0, 1, 4].map(illLb).sort());
  });
});
