/** Publishing to a machine that Weir knows: only what differs is sent, and what a person changed there is not lost. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { clusterOf, create, lbName, lbOf, mark, noHosts, openEdge, title, vip } from './testing/edge.ts';
import type { Edge, Publication, PublishBody, TestHost } from './testing/edge.ts';
import { readLive, wantedOf } from './testing/live-config.ts';
import { livePaths, look, read, sh } from './testing/machine.ts';
import type { Seen } from './testing/machine.ts';

/** The lines that go to a machine that has the release already. */
const MOST_BYTES_WITHOUT_BUNDLE = 120;

describe.skipIf(noHosts)(title('publishing again'), () => {
  let edge: Edge;
  let used = 0;

  beforeAll(async () => {
    edge = await openEdge();
  });
  afterAll(() => edge?.close());

  /** A cluster and a machine of a test's own, published to once. */
  async function published(vips = 4): Promise<{ host: TestHost; name: string; full: number }> {
    used += 1;
    const host = await edge.hosts.start(lbName(used, 1));
    const cluster = clusterOf(used, { lbs: 1, vips, marker: '/first' });
    await create(edge, cluster);
    const first = lbOf(await edge.publish(cluster.name));
    expect(first.state).toBe('published');
    return { host, name: cluster.name, full: first.bytes };
  }

  async function publish(name: string, body: PublishBody = {}): Promise<Publication['lbs'][string]> {
    return lbOf(await edge.publish(name, body));
  }

  /** Live files and releases. */
  function lookAtLive(host: TestHost): Record<string, Seen> {
    return look(host, ...livePaths, '/etc/weir/current', '/etc/weir/releases', '/etc/weir/bin', '/etc/weir/backup');
  }

  async function liveRelease(host: TestHost): Promise<string> {
    return (await sh(host, 'readlink -f /etc/weir/current')).trim();
  }

  test('what is there already is unchanged: no bundle is sent, no inode changes', async () => {
    const { host, name } = await published();
    const before = lookAtLive(host);
    const again = await publish(name);
    expect(again).toMatchObject({ state: 'unchanged', message: '', warnings: [] });
    expect(again.bytes).toBeLessThan(MOST_BYTES_WITHOUT_BUNDLE);
    expect(lookAtLive(host)).toEqual(before);
  });

  test('only what differs is sent, also after Weir was started anew', async () => {
    const { host, name, full } = await published(60);
    const change = (i: number) =>
      edge.server.client.call(`/clusters/${name}/vips/${vip(used, i).vip}`, { method: 'PATCH', body: { quorum: 50 } });
    await change(1);
    const delta = await publish(name);
    expect(delta.state).toBe('published');
    // What is left is the list of all files, which names the digest of each.
    const limit = 0.6 * full;
    expect(delta.bytes).toBeLessThan(limit);
    await edge.server.restart();
    await change(2);
    const later = await publish(name);
    expect(later.state).toBe('published');
    expect(later.bytes).toBeLessThan(limit);
    await edge.server.client.call(`/clusters/${name}/vips/${vip(used, 3).vip}`, { method: 'DELETE' });
    expect((await publish(name)).bytes).toBeLessThan(limit);
    expect(Object.keys(readLive(host).services)).toHaveLength(118);
    expect((await sh(host, 'ls /etc/weir/current/keepalived/vips')).trim().split('\n')).toHaveLength(59);
  });

  test('going back to a release that the machine still has sends no bundle', async () => {
    const { host, name } = await published();
    const first = await liveRelease(host);
    await mark(edge, name, '/second');
    await publish(name);
    await mark(edge, name, '/first');
    const back = await publish(name);
    expect(back.state).toBe('published');
    expect(back.bytes).toBeLessThan(MOST_BYTES_WITHOUT_BUNDLE);
    expect(await liveRelease(host)).toBe(first);
    expect(read(host, '/etc/weir/current/keepalived/vips/172.19.0.1.conf')).toContain('path /first');
  });

  test('the last releases are kept, and what is live always', async () => {
    const { host, name } = await published();
    const all = [await liveRelease(host)];
    for (const marker of ['/b', '/c', '/d', '/e', '/f', '/g', '/h', '/i']) {
      await mark(edge, name, marker);
      await publish(name);
      all.push(await liveRelease(host));
    }
    const kept = (await sh(host, 'ls -d /etc/weir/releases/*')).trim().split('\n');
    expect(kept.sort()).toEqual(all.slice(-6).sort());
    await mark(edge, name, '/d');
    await publish(name);
    await sh(host, 'touch -d 2001-01-01 "$1"', await liveRelease(host));
    await mark(edge, name, '/j');
    await publish(name);
    expect((await sh(host, 'ls -d /etc/weir/releases/*')).trim().split('\n')).toContain(all[3]);
  });

  describe('of a live release that somebody changed', () => {
    const damages = {
      'a changed file': 'for file in keepalived/vips/*.1.conf; do echo "! mine" >>"$file"; done',
      'a missing file': 'rm keepalived/vips/*.1.conf',
      'an extra file': 'echo x >keepalived/vips/extra.conf',
      'an extra file with an odd name': `touch 'keepalived/vips/a b"$(x)[.conf'`,
      'a link in the place of a file': 'mv routing/zebra.conf /tmp/z; ln -s /tmp/z routing/zebra.conf',
      'a link in the place of a folder': 'mv keepalived/vips /tmp/vips; ln -s /tmp/vips keepalived/vips',
      'a missing manifest': 'rm manifest.json',
    };
    const named = {
      'a changed file': 'keepalived/vips/IP.conf: FAILED',
      'a missing file': 'keepalived/vips/IP.conf: FAILED open or read',
      'an extra file': 'keepalived/vips/extra.conf: not in the manifest',
      'an extra file with an odd name': 'keepalived/vips/a b"$(x)[.conf: not in the manifest',
      'a link in the place of a file': 'routing/zebra.conf: not in the manifest',
      'a link in the place of a folder': 'keepalived/vips: not in the manifest',
      'a missing manifest': 'manifest.json is missing',
    };

    for (const [what, damage] of Object.entries(damages)) {
      test(`${what} is named; asked to, the release is replaced and a copy of it kept`, async () => {
        const { host, name } = await published();
        const folder = await liveRelease(host);
        await sh(host, `cd "$1"; ${damage}`, folder);
        const before = lookAtLive(host);
        for (const marker of ['/first', '/second']) {
          await mark(edge, name, marker);
          const refused = await publish(name);
          expect(refused).toMatchObject({ state: 'failed', step: 'check' });
          const words = named[what as keyof typeof named].replace('IP', vip(used, 1).vip);
          expect(refused.message).toContain(words);
          expect(refused.message).toContain('--overwrite');
          expect(lookAtLive(host)).toEqual(before);
        }
        await mark(edge, name, '/first');
        const done = await publish(name, { overwrite: true });
        expect(done.state).toBe('published');
        expect(done.warnings.join()).toContain('were changed by hand and are replaced');
        expect(readLive(host)).toMatchObject({
          complaints: [],
          services: wantedOf(clusterOf(used, { lbs: 1, vips: 4 })),
        });
        const copy = (await sh(host, 'ls -d /etc/weir/edited/*')).trim();
        const inCopy = (at: string) =>
          Object.values(look(host, at)).map(({ type, content, mode }) => [type, content, mode]);
        expect(inCopy(copy)).toEqual(inCopy(folder));
        expect((await publish(name)).state).toBe('unchanged');
      });
    }

    test('a repaired release can be changed, repaired again and followed by others', async () => {
      const { host, name } = await published();
      for (const round of [1, 2, 3]) {
        await sh(host, 'echo "! mine" >>/etc/weir/current/keepalived/keepalived.conf');
        expect((await publish(name)).state, `round ${round}`).toBe('failed');
        expect((await publish(name, { overwrite: true })).state, `round ${round}`).toBe('published');
        expect((await publish(name)).state, `round ${round}`).toBe('unchanged');
        expect(readLive(host).complaints).toEqual([]);
      }
      await mark(edge, name, '/second');
      expect((await publish(name)).state).toBe('published');
      expect(await liveRelease(host)).toMatch(/\/[0-9a-f]{32}$/);
    });

    test('a release that is gone as a whole is put back with a warning', async () => {
      const { host, name } = await published();
      await sh(host, 'rm -rf /etc/weir/releases/*');
      const done = await publish(name);
      expect(done.state).toBe('published');
      expect(done.warnings.join()).toContain('was missing and is put back');
      expect(Object.keys(readLive(host).services)).toHaveLength(8);
    });
  });

  describe('of live files that somebody changed', () => {
    const [conf, , ospfd] = livePaths;
    const edits = {
      'ospfd.conf with a line more': { path: ospfd, script: 'echo "! mine" >>"$1"' },
      'keepalived.conf with a text of its own': { path: conf, script: 'echo "! mine" >"$1"' },
      'keepalived.conf as a link to a file': { path: conf, script: 'echo x >/etc/my.conf; ln -sf /etc/my.conf "$1"' },
      'ospfd.conf as a link to what was published': { path: ospfd, script: 'mv "$1" /tmp/o; ln -s /tmp/o "$1"' },
    };

    for (const [what, { path, script }] of Object.entries(edits)) {
      test(`${what} is named; asked to, it is replaced and a copy kept`, async () => {
        const { host, name } = await published();
        await sh(host, script, path);
        const before = lookAtLive(host);
        const edited = look(host, path)[path];
        const refused = await publish(name);
        expect(refused).toMatchObject({ state: 'failed', step: 'check' });
        expect(refused.message).toContain(`changed by hand: ${path};`);
        expect(lookAtLive(host)).toEqual(before);
        expect((await publish(name, { overwrite: true })).state).toBe('published');
        expect(readLive(host).complaints).toEqual([]);
        expect(look(host, path)[path]?.type).toBe('file');
        const [copy] = Object.values(look(host, '/etc/weir/edited')).filter((seen) => seen.type !== 'folder');
        expect(copy).toMatchObject({ type: edited?.type, content: edited?.content, mode: edited?.mode });
        expect((await publish(name)).state).toBe('unchanged');
      });
    }

    test('a refusal for one LB does not keep another from being published', async () => {
      const { host, name } = await published();
      const document = clusterOf(used, { lbs: 2, vips: 4 });
      const second = await edge.hosts.start(lbName(used, 2));
      await edge.server.client.call(`/clusters/${name}/lbs`, { method: 'POST', body: document.lbinfos[1] });
      await sh(host, 'echo "! mine" >>/usr/local/etc/ospfd.conf');
      const publication = await edge.publish(name);
      expect(publication.state).toBe('failed');
      expect(lbOf(publication, host.name).state).toBe('failed');
      expect(lbOf(publication, second.name).state).toBe('published');
    });

    test('erased ones are put back with a warning, and so are helpers', async () => {
      const { host, name } = await published();
      await sh(host, 'rm -rf /etc/keepalived/* /usr/local/etc/zebra.conf /etc/weir/bin/*');
      const done = await publish(name);
      expect(done).toMatchObject({ state: 'published' });
      expect(done.warnings).toEqual(
        expect.arrayContaining([
          '/etc/keepalived/keepalived.conf was missing and is put back',
          '/usr/local/etc/zebra.conf was missing and is put back',
        ]),
      );
      expect(readLive(host).complaints).toEqual([]);
      expect(await sh(host, 'for helper in /etc/weir/bin/*; do [ -x "$helper" ] && echo whole; done')).toBe(
        'whole\nwhole\nwhole\n',
      );
      expect((await publish(name)).state).toBe('unchanged');
    });
  });
});
