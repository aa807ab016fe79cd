/**
 * Publishing a cluster through its life to a machine that plays its LB: what is read there is what the document of
 * the revision says, plans tell it beforehand, no daemon is signalled, and files of others stay as they are.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LbRelease } from '../src/contract/schemas.ts';
import { parseHosts } from '../src/domain/edge/addresses.ts';
import type { Cluster } from '../src/domain/edge/model.ts';
import type { Plan } from '../src/jobs/plan.ts';
import { seedHosts, seedLb, seedName, seedText } from './fixtures.ts';
import { startDaemons } from './testing/daemons.ts';
import type { Daemons } from './testing/daemons.ts';
import { lbOf, noHosts, openEdge, title } from './testing/edge.ts';
import type { Edge, PublishBody, TestHost } from './testing/edge.ts';
import { readLive, wantedOf } from './testing/live-config.ts';
import { isThere, livePaths, look, read, sh } from './testing/machine.ts';
import type { Seen } from './testing/machine.ts';

const hostsText = `${seedHosts}\n10.0.20.13 apps-extngtest1-bgp0.hy01\n`;
const quiet = { keepalived: [], zebra: [], ospfd: [] };

/** Files that are not ours, in the folders that are written to and elsewhere. */
const foreign: Record<string, string> = {
  '/etc/keepalived/60.28.208.1.conf': '! of the system before\n',
  '/etc/keepalived/other.conf': 'include nothing\n',
  '/etc/keepalived/sub/deep.conf': '! deep\n',
  '/usr/local/etc/bgpd.conf': 'router bgp 1\n',
  '/usr/local/etc/ospfd.conf.sav': '! saved by the daemon\n',
  '/etc/keepalived.conf': '! elsewhere\n',
  '/etc/quagga/zebra.conf': '! of the distribution\n',
};

describe.skipIf(noHosts)(title('publishing the cluster of the seed through its life'), () => {
  let edge: Edge;
  let host: TestHost;
  let daemons: Daemons;
  let others: Record<string, Seen>;

  beforeAll(async () => {
    edge = await openEdge({ hosts: hostsText });
    host = await edge.hosts.start(seedLb);
    daemons = await startDaemons(host);
    for (const [path, text] of Object.entries(foreign)) {
      mkdirSync(dirname(join(host.root, path)), { recursive: true });
      writeFileSync(join(host.root, path), text);
    }
    await sh(
      host,
      'chmod 600 /usr/local/etc/bgpd.conf; chown 7:8 /usr/local/etc/bgpd.conf; touch -d 2020-01-01 /etc/keepalived/other.conf',
    );
    await sh(host, 'ln -s other.conf /etc/keepalived/link.conf');
    others = seenOfOthers();
    const response = await edge.server.fetch('/clusters', {
      method: 'POST',
      body: seedText,
      headers: { 'content-type': 'text/plain' },
    });
    expect(response.status).toBe(201);
  });
  afterAll(() => edge?.close());

  /** Everything in /etc and /usr/local but what publishing is there to write; folders without their times. */
  function seenOfOthers(): Record<string, Seen> {
    const seen = look(host, '/etc', '/usr/local');
    return Object.fromEntries(
      Object.entries(seen)
        .filter(
          ([path]) =>
            path !== '/etc/weir' &&
            path !== '/usr/local/sbin/weir' &&
            !path.startsWith('/etc/weir/') &&
            !livePaths.some((p) => p === path),
        )
        .map(([path, file]) => [path, file.type === 'folder' ? { ...file, mtime: 0n } : file]),
    );
  }

  async function change(method: 'POST' | 'PATCH' | 'DELETE', path: string, body?: unknown): Promise<void> {
    await edge.server.client.call(`/clusters/${seedName}${path}`, { method, body });
  }

  async function plan(): Promise<Plan> {
    return (await edge.server.client.call<Plan>(`/clusters/${seedName}/plan`, { method: 'POST' })).data;
  }

  async function publishAndCompare(body: PublishBody = {}): Promise<void> {
    const publication = await edge.publish(seedName, body);
    expect(lbOf(publication)).toMatchObject({ state: 'published', message: '' });
    expect(publication.state).toBe('done');
    await compare(publication.revision);
  }

  /** What lies on the machine against the document of a revision and against the release. */
  async function compare(revision: number): Promise<void> {
    const { data: document, headers } = await edge.server.client.call<Cluster>(`/clusters/${seedName}`);
    expect(headers.get('etag')).toBe(`"${revision}"`);
    const found = Object.fromEntries(
      [...parseHosts(hostsText)].map(([name, address]) => [name, { address, source: 'hosts' as const }]),
    );
    const { data: lips } = await edge.server.client.call<{ lbs: Record<string, string[]> }>(
      `/clusters/${seedName}/lips`,
    );
    expect(readLive(host)).toEqual({ complaints: [], lips: lips.lbs[seedLb], services: wantedOf(document, found) });
    const { data: release } = await edge.server.client.call<LbRelease>(`/clusters/${seedName}/lbs/${seedLb}/release`);
    for (const name of ['zebra.conf', 'ospfd.conf']) {
      const path = `/usr/local/etc/${name}`;
      expect(read(host, path)).toBe(release.files.find((f) => f.path === `routing/${name}`)?.text);
      expect(look(host, path)[path]).toMatchObject({ type: 'file', mode: '0640' });
    }
    const conf = '/etc/keepalived/keepalived.conf';
    expect(look(host, conf)[conf]).toMatchObject({ type: 'file', mode: '0644' });
    expect(read(host, conf)).toBe('include /etc/weir/current/keepalived/entry.conf\n');
    for (const file of release.files) {
      const path = `/etc/weir/releases/${release.id}/${file.path}`;
      expect(look(host, path)[path]).toMatchObject({
        type: 'file',
        mode: file.mode,
        content: file.sha256,
        owner: '0:0',
      });
    }
    expect(await sh(host, 'readlink /etc/weir/current')).toBe(`releases/${release.id}\n`);
    expect(daemons.signals()).toEqual(quiet);
    expect(seenOfOthers()).toEqual(others);
  }

  const steps: { name: string; changed: string[]; run: () => Promise<void> }[] = [
    {
      name: 'a new VIP',
      changed: ['keepalived/keepalived.conf', 'keepalived/vips/60.28.208.3.conf'],
      run: () => change('POST', '/vips', { vip: '60.28.208.3', wstype: 'img', wss: ['search-extngtest0-bgp0.hy01'] }),
    },
    {
      name: 'a new WS',
      changed: ['keepalived/vips/60.28.208.1.conf'],
      run: () => change('POST', '/vips/60.28.208.1/wss', 'apps-extngtest1-bgp0.hy01'),
    },
    {
      name: 'a new port',
      changed: ['keepalived/vips/60.28.208.1.conf'],
      run: () =>
        change('POST', '/vips/60.28.208.1/ports', { sport: 8080, dport: 80, synproxy: 0, persistence_timeout: 0 }),
    },
    {
      name: 'another wstype',
      changed: ['keepalived/vips/60.28.208.2.conf'],
      run: () => change('PATCH', '/vips/60.28.208.2', { wstype: 'find' }),
    },
    {
      name: 'a WS in drain',
      changed: ['keepalived/vips/60.28.208.1.conf'],
      run: () => change('PATCH', '/vips/60.28.208.1/wss/apps-extngtest0-bgp0.hy01', { state: 'drain' }),
    },
    {
      name: 'another cost of the uplinks',
      changed: ['routing/ospfd.conf'],
      run: () => change('PATCH', '', { ospf: { cost: 20 } }),
    },
    {
      name: 'a port less',
      changed: ['keepalived/vips/60.28.208.1.conf'],
      run: () => change('DELETE', '/vips/60.28.208.1/ports/8080'),
    },
    {
      name: 'a WS less',
      changed: ['keepalived/vips/60.28.208.1.conf'],
      run: () => change('DELETE', '/vips/60.28.208.1/wss/apps-extngtest0-bgp0.hy01'),
    },
    {
      name: 'a VIP less',
      changed: ['keepalived/keepalived.conf', 'keepalived/vips/60.28.208.3.conf'],
      run: () => change('DELETE', '/vips/60.28.208.3'),
    },
  ];

  test('the plan of a machine that has nothing shows every file as added', async () => {
    const first = await plan();
    expect(first.changes).toBe(true);
    expect(first.lbs[seedLb]).toMatchObject({ published: null, files: 10 });
    expect(first.files.every((f) => f.change === 'added' && f.diff.includes('+++ b/'))).toBe(true);
  });

  test('the first publication puts the release in place beside the files of others', async () => {
    await publishAndCompare();
    expect(await plan()).toMatchObject({ changes: false, files: [] });
  });

  test('each change is planned, published and read back as it was wanted', async () => {
    for (const step of steps) {
      await step.run();
      const planned = await plan();
      expect(
        planned.files.map((f) => f.path),
        step.name,
      ).toEqual(step.changed);
      expect(planned.changes, step.name).toBe(true);
      await publishAndCompare();
      expect(await plan(), step.name).toMatchObject({ changes: false, files: [] });
    }
  });

  test('a VIP without its WSs is served by nobody, and announced by nobody', async () => {
    await change('DELETE', '/vips/60.28.208.1/wss/apps-extngtest1-bgp0.hy01');
    await publishAndCompare();
    expect(Object.keys(readLive(host).services)).toEqual(['60.28.208.2:443/TCP', '60.28.208.2:80/TCP']);
  });

  test('an OSPF key reaches the machine, and neither plan nor publication shows it', async () => {
    const keys = ['s3cretKey1', 's3cretKey2'];
    for (const key of keys) {
      await change('PATCH', '', { ospf: { cost: 20, key } });
      const planned = JSON.stringify(await plan());
      expect(planned).toContain('md5 ******');
      for (const k of keys) expect(planned).not.toContain(k);
      const publication = await edge.publish(seedName);
      expect(publication.state).toBe('done');
      expect(JSON.stringify(publication)).not.toContain(key);
      const ospfd = read(host, '/usr/local/etc/ospfd.conf');
      expect(ospfd).toContain(` md5 ${key}\n`);
      const readable = Object.entries(look(host, '/etc/weir', '/usr/local/etc')).filter(
        ([path, file]) => path.endsWith('ospfd.conf') && file.mode !== '0640',
      );
      expect(readable).toEqual([]);
    }
    await change('PATCH', '', { ospf: { key: null } });
    await publishAndCompare();
  });

  test('a publication that fails signals no daemon and touches no file of others', async () => {
    await change('PATCH', '', { ospf: { cost: 21 } });
    const before = look(host, ...livePaths);
    await sh(host, 'echo 99999999999999 >/etc/weir/fence');
    const publication = await edge.publish(seedName);
    expect(publication.state).toBe('failed');
    expect(lbOf(publication).message).toContain('another Weir took over');
    await sh(host, 'rm /etc/weir/fence');
    expect(look(host, ...livePaths)).toEqual(before);
    expect(daemons.signals()).toEqual(quiet);
    expect(seenOfOthers()).toEqual(others);
  });

  test('what was there before comes back, and nobody was signalled over all of it', async () => {
    expect(lbOf(await edge.restore(seedName)).state).toBe('restored');
    for (const path of [...livePaths, '/usr/local/sbin/weir', '/etc/weir/bin/weir'])
      expect(isThere(host, path)).toBe(false);
    expect(seenOfOthers()).toEqual(others);
    expect(await plan()).toMatchObject({ changes: true });
    await publishAndCompare();
    await daemons.send('keepalived', 'HUP');
    await expect.poll(() => daemons.signals()).toEqual({ ...quiet, keepalived: ['HUP'] });
  });
});
