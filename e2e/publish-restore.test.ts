/** Taking over machines that somebody configured by hand, and putting back what was there. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { clusterOf, create, lbName, lbOf, mark, noHosts, openEdge, title } from './testing/edge.ts';
import type { Edge, Publication, TestHost } from './testing/edge.ts';
import { readLive, wantedOf } from './testing/live-config.ts';
import { isThere, livePaths, look, lookAtContent, read, sh } from './testing/machine.ts';

const [conf, zebra, ospfd] = livePaths;

/** Everything a person had written, with what must survive of it. */
const byHand = {
  'a file in each place, with modes and owners of its own': `
    mkdir -p /etc/keepalived
    echo 'include VIP.conf' >/etc/keepalived/keepalived.conf; chmod 0600 /etc/keepalived/keepalived.conf
    echo '! the VIP' >/etc/keepalived/VIP.conf
    echo 'hostname old' >/usr/local/etc/zebra.conf; chmod 0644 /usr/local/etc/zebra.conf
    echo 'router ospf' >/usr/local/etc/ospfd.conf; chmod 0600 /usr/local/etc/ospfd.conf
    chown 92:93 /usr/local/etc/zebra.conf /usr/local/etc/ospfd.conf
    touch -d 2019-03-04 /etc/keepalived/keepalived.conf /usr/local/etc/zebra.conf`,
  'links to files elsewhere, relative and absolute': `
    mkdir -p /etc/keepalived/real /etc/quagga
    echo '! real' >/etc/keepalived/real/a.conf; ln -s real/a.conf /etc/keepalived/keepalived.conf
    echo 'hostname far' >/etc/quagga/zebra.conf; chown 92:93 /etc/quagga/zebra.conf
    ln -s /etc/quagga/zebra.conf /usr/local/etc/zebra.conf
    ln -s nowhere /usr/local/etc/ospfd.conf`,
  'a folder for keepalived with nothing in it': 'mkdir -p /etc/keepalived; chmod 0700 /etc/keepalived',
  'neither /etc/keepalived nor /usr/local/etc': 'rm -rf /etc/keepalived /usr/local/etc',
};

describe.skipIf(noHosts)(title('taking over a machine and giving it back'), () => {
  const cluster = clusterOf(1, { lbs: 12, vips: 2 });
  const shown = ['/etc/keepalived', '/etc/quagga', '/usr/local/etc'];
  let edge: Edge;
  let used = 0;

  beforeAll(async () => {
    edge = await openEdge();
    await create(edge, cluster);
  });
  afterAll(() => edge?.close());

  async function nextHost(): Promise<TestHost> {
    used += 1;
    return edge.hosts.start(lbName(1, used));
  }

  async function publish(host: TestHost, body: { overwrite?: boolean } = {}): Promise<Publication['lbs'][string]> {
    return lbOf(await edge.publish(cluster.name, { lbs: [host.name], ...body }));
  }

  async function restore(host: TestHost): Promise<Publication['lbs'][string]> {
    return lbOf(await edge.publish(cluster.name, { lbs: [host.name], action: 'restore' }));
  }

  for (const [name, script] of Object.entries(byHand)) {
    test(`of ${name}`, async () => {
      const host = await nextHost();
      await sh(host, script);
      const before = lookAtContent(host, ...shown);
      const times = look(host, ...livePaths);
      expect((await publish(host)).state).toBe('published');
      expect(readLive(host)).toMatchObject({ complaints: [], services: wantedOf(cluster) });
      for (const path of livePaths) expect(look(host, path)[path]?.type).toBe('file');
      const release = await sh(host, 'readlink /etc/weir/current');
      expect((await restore(host)).state).toBe('restored');
      expect(lookAtContent(host, ...shown)).toEqual(before);
      // A keepalived that read the include just before must still find what it leads to.
      expect(await sh(host, 'readlink /etc/weir/current; cat /etc/weir/current/keepalived/entry.conf')).toBe(
        `${release}include keepalived.conf\n`,
      );
      for (const [path, { mtime }] of Object.entries(times)) expect(look(host, path)[path]?.mtime).toBe(mtime);
    });
  }

  test('routing files keep the owner that they had, also behind a link', async () => {
    const host = await nextHost();
    await sh(
      host,
      `${byHand['links to files elsewhere, relative and absolute']}; chown -h 5:5 /usr/local/etc/zebra.conf`,
    );
    await publish(host);
    expect(look(host, zebra)[zebra]).toMatchObject({ mode: '0640', owner: '92:93' });
  });

  test('routing files that are new belong to the user of the daemon where there is one', async () => {
    const host = await nextHost();
    await sh(host, 'echo "quagga:x:4321:4322::/run:/bin/false" >>/etc/passwd; echo "quagga:x:4322:" >>/etc/group');
    await sh(host, 'chgrp 50 /usr/local/etc; chmod 2775 /usr/local/etc /etc');
    await publish(host);
    for (const path of [zebra, ospfd])
      expect(look(host, path)[path]).toMatchObject({ mode: '0640', owner: '4321:4322' });
    expect(look(host, conf)[conf]).toMatchObject({ mode: '0644', owner: '0:0' });
  });

  test('routing files of root belong to the user of the daemon from then on, who could not read them otherwise', async () => {
    const host = await nextHost();
    await sh(host, 'echo "quagga:x:4321:4322::/run:/bin/false" >>/etc/passwd; echo "quagga:x:4322:" >>/etc/group');
    await sh(host, 'echo "! old" >/usr/local/etc/zebra.conf; echo "! old" >/usr/local/etc/ospfd.conf');
    await sh(host, 'chown 0:7 /usr/local/etc/zebra.conf; chown 8:0 /usr/local/etc/ospfd.conf');
    await publish(host);
    expect(look(host, zebra)[zebra]).toMatchObject({ mode: '0640', owner: '4321:4322' });
    expect(look(host, ospfd)[ospfd]).toMatchObject({ mode: '0640', owner: '8:0' });
  });

  test('restoring twice does nothing the second time, and says so', async () => {
    const host = await nextHost();
    await sh(host, byHand['a file in each place, with modes and owners of its own']);
    await publish(host);
    await restore(host);
    const before = look(host, ...shown);
    expect(await restore(host)).toMatchObject({
      state: 'unchanged',
      warnings: ['nothing to put back: this machine has no /etc/weir/backup'],
    });
    expect(look(host, ...shown)).toEqual(before);
  });

  test('publishing after a restore backs up what is there now', async () => {
    const host = await nextHost();
    await sh(host, byHand['a file in each place, with modes and owners of its own']);
    await publish(host);
    await restore(host);
    await sh(host, 'echo "! newer" >/etc/keepalived/keepalived.conf; rm /usr/local/etc/zebra.conf');
    const before = lookAtContent(host, ...shown);
    expect((await publish(host)).state).toBe('published');
    expect(readLive(host).services).toEqual(wantedOf(cluster));
    expect((await restore(host)).state).toBe('restored');
    expect(lookAtContent(host, ...shown)).toEqual(before);
  });

  test('a restore keeps a copy of what was written by hand since, and says so', async () => {
    const host = await nextHost();
    await publish(host);
    await sh(host, 'echo "! mine" >>/usr/local/etc/ospfd.conf');
    const edited = read(host, ospfd);
    expect(await restore(host)).toMatchObject({
      state: 'restored',
      warnings: ['/usr/local/etc/ospfd.conf was changed by hand; a copy is kept in /etc/weir/edited'],
    });
    expect(isThere(host, ospfd)).toBe(false);
    expect(await sh(host, 'cat /etc/weir/edited/ospfd.conf.*')).toBe(edited);
  });

  test('a first publication that fails leaves no backup, so that the next takes one of what is there then', async () => {
    const host = await nextHost();
    await sh(host, byHand['a file in each place, with modes and owners of its own']);
    const before = look(host, ...shown);
    await sh(host, 'mount --bind /usr/local/etc/ospfd.conf /usr/local/etc/ospfd.conf');
    expect(await publish(host)).toMatchObject({ state: 'failed', step: 'switch' });
    await sh(host, 'umount /usr/local/etc/ospfd.conf');
    const after = look(host, ...shown);
    for (const path of livePaths) expect(after[path], path).toMatchObject(contentOf(before[path]));
    await sh(host, 'echo "! newer" >/etc/keepalived/keepalived.conf');
    expect((await publish(host)).state).toBe('published');
    await restore(host);
    expect(readFileSync(join(host.root, conf), 'utf8')).toBe('! newer\n');
  });

  test('restoring one LB is planned as a publication of all its files', async () => {
    const host = await nextHost();
    await mark(edge, cluster.name, '/other');
    await publish(host);
    const planOf = async () => {
      const { data } = await edge.server.client.call<{ lbs: Record<string, { published: unknown; files: number }> }>(
        `/clusters/${cluster.name}/plan`,
        { method: 'POST' },
      );
      return data.lbs[host.name];
    };
    expect(await planOf()).toMatchObject({ files: 0, published: { revision: 2 } });
    await restore(host);
    expect(await planOf()).toMatchObject({ files: 10, published: null });
  });
});

function contentOf(seen: ReturnType<typeof look>[string] | undefined) {
  if (!seen) throw new Error('it was not there');
  const { type, mode, owner, content, mtime } = seen;
  return { type, mode, owner, content, mtime };
}
