/**
 * Machines that cannot be published to: the outcome says which, at what step and why in the tool's own words, the
 * machine is as before, and the others are published. Also machines that are odd and yet are published to.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Ssh } from '../src/domain/edge/model.ts';
import { openTestHosts } from '../src/remote/test-hosts.ts';
import type { TestHosts } from '../src/remote/test-hosts.ts';
import { openSsh } from '../src/remote/ssh.ts';
import { doctored, publisherTo, releaseOf, withoutSsh } from '../src/publish/testing.ts';
import { clusterOf, create, lbName, noHosts, openEdge, range, title } from './testing/edge.ts';
import type { Edge, Publication, TestHost } from './testing/edge.ts';
import { readLive, wantedOf } from './testing/live-config.ts';
import { frrLivePaths, livePaths, look, sh } from './testing/machine.ts';
import type { Seen } from './testing/machine.ts';
import { isInstalled } from './testing/programs.ts';

interface Case {
  ssh?: Ssh;
  /** Runs on the host before. */
  script?: string;
  /** Done from outside. */
  prepare?: (host: TestHost, edge: Edge) => Promise<void>;
  step: Publication['lbs'][string]['step'];
  /** Words of ours and of the tool. */
  says: string[];
}

const user = `
  echo 'weir:x:4000:4000::/home/weir:/bin/sh' >>/etc/passwd; echo 'weir:x:4000:' >>/etc/group
  echo 'weir:*:::::::' >>/etc/shadow; mkdir -p /home/weir; chown 4000:4000 /home/weir`;

const knownHosts = (edge: Edge, host: TestHost) => join(edge.hosts.directory, 'hosts', host.name, 'known_hosts');

const cases: Record<string, Case> = {
  'nothing listens on the port of sshd': {
    ssh: { port: 2222 },
    step: 'connect',
    says: ['did not pass back a connection'],
  },
  'the machine is switched off': { prepare: (host) => host.stop(), step: 'connect', says: ['nsenter'] },
  'the host key is unknown': {
    prepare: (host, edge) => writeFile(knownHosts(edge, host), ''),
    step: 'connect',
    says: ['Host key verification failed'],
  },
  'the host key is another one': {
    prepare: async (host, edge) => {
      const key = await sh(host, 'ssh-keygen -q -t ed25519 -N "" -f /tmp/other; cut -d" " -f1,2 /tmp/other.pub');
      await writeFile(knownHosts(edge, host), `* ${key}`);
    },
    step: 'connect',
    says: ['has changed and you have requested strict checking', 'Host key verification failed'],
  },
  'our key is not authorized': { script: ': >/etc/ssh/authorized_keys', step: 'connect', says: ['Permission denied'] },
  'root may not log in to a shell': {
    script: "sed -i 's#^\\(root:.*:\\)[^:]*$#\\1/usr/sbin/nologin#' /etc/passwd",
    step: 'connect',
    says: ['This account is currently not available'],
  },
  'the user is not root': {
    ssh: { user: 'weir' },
    script: user,
    step: 'lock',
    says: ['not root but weir', 'ssh.sudo'],
  },
  'sudo wants a password': {
    ssh: { user: 'weir', sudo: true },
    script: user,
    step: 'connect',
    says: ['sudo: a password is required'],
  },
  '/etc/weir is read only': {
    script: 'mkdir -p /etc/weir; mount -t tmpfs none /etc/weir; mkdir /etc/weir/bin; mount -o remount,ro /etc/weir',
    step: 'lock',
    says: ['cannot write /etc/weir/lock', 'Read-only file system'],
  },
  '/etc/keepalived is read only': {
    script: 'mkdir /etc/keepalived; mount -t tmpfs -o ro none /etc/keepalived',
    step: 'backup',
    says: ['cannot write /etc/keepalived/keepalived.conf', 'Read-only file system'],
  },
  'a live file cannot be replaced': {
    script: 'echo old >/usr/local/etc/ospfd.conf; mount --bind /usr/local/etc/ospfd.conf /usr/local/etc/ospfd.conf',
    step: 'switch',
    says: ['cannot write /usr/local/etc/ospfd.conf', 'Device or resource busy'],
  },
  'a live path is a folder': {
    script: 'mkdir -p /etc/keepalived/keepalived.conf',
    step: 'check',
    says: ['/etc/keepalived/keepalived.conf is a folder'],
  },
  'the disk is full': {
    script: 'mkdir -p /etc/weir; mount -t tmpfs -o size=16k none /etc/weir',
    step: 'stage',
    says: ['the bundle cannot be unpacked', 'No space left on device'],
  },
  'flock is missing': {
    script: 'mount --bind /dev/null /usr/bin/flock',
    step: 'lock',
    says: ['flock is not installed (package util-linux)'],
  },
  'somebody holds the lock': {
    script: 'mkdir -p /etc/weir/bin /etc/weir/releases; setsid flock /etc/weir/lock sleep 1000 >/dev/null 2>&1 &',
    step: 'lock',
    says: ['another publication works on this machine', '/etc/weir/lock'],
  },
  'the machine has seen a higher fencing number': {
    script: 'mkdir -p /etc/weir; echo 98765432109876 >/etc/weir/fence',
    step: 'lock',
    says: ['refused: fencing number', 'older than 98765432109876', 'another Weir took over'],
  },
};

describe.skipIf(noHosts)(title('where a machine cannot be published to because'), () => {
  const names = Object.keys(cases);
  const cluster = clusterOf(1, { lbs: names.length + 3, vips: 3 });
  const healthy = range(3).map((i) => lbName(1, names.length + i));
  const before = new Map<string, Record<string, Seen>>();
  const machines = new Map<string, TestHost>();
  let edge: Edge;
  let publication: Publication;

  const everything = (host: TestHost) => look(host, '/etc/keepalived', '/usr/local/etc');

  beforeAll(async () => {
    edge = await openEdge();
    const { lbinfos } = cluster;
    names.forEach((name, i) => {
      const lb = lbinfos[i];
      const ssh = cases[name]?.ssh;
      if (lb && ssh) lbinfos[i] = { ...lb, ssh };
    });
    await create(edge, cluster);
    for (const host of await edge.hosts.startMany(lbinfos.map((lb) => lb.hostname))) machines.set(host.name, host);
    for (const [i, name] of names.entries()) {
      const host = machines.get(lbName(1, i + 1));
      const { script, prepare } = cases[name] ?? {};
      if (!host) continue;
      if (script !== undefined) await sh(host, script);
      before.set(name, everything(host));
      await prepare?.(host, edge);
    }
    publication = await edge.publish(cluster.name);
  }, 120_000);
  afterAll(() => edge?.close());

  for (const [i, [name, { step, says }]] of Object.entries(cases).entries()) {
    test(`${name}, the outcome says so at step ${step}, and the machine is as before`, () => {
      const outcome = publication.lbs[lbName(1, i + 1)];
      expect(outcome).toMatchObject({ state: 'failed', step });
      for (const words of says) expect(outcome?.message).toContain(words);
      const host = machines.get(lbName(1, i + 1));
      if (!host || name.includes('switched off')) return;
      const seen = everything(host);
      for (const [path, was] of Object.entries(before.get(name) ?? {})) {
        // A switch that was undone leaves copies.
        const { inode: _, mtime: __, ...content } = was;
        expect(seen[path], path).toMatchObject(step === 'switch' || was.type === 'folder' ? content : was);
      }
      expect(Object.keys(seen)).toEqual(Object.keys(before.get(name) ?? {}));
      expect(Object.keys(look(host, '/etc/weir/releases/.stage', '/etc/weir/backup'))).toEqual([]);
    });
  }

  test('and all others are published, and the whole has failed', () => {
    expect(publication.state).toBe('failed');
    for (const name of healthy) {
      const host = machines.get(name);
      expect(publication.lbs[name]).toMatchObject({ state: 'published', message: '' });
      if (host) expect(readLive(host).services).toEqual(wantedOf(cluster));
    }
  });

  test('a second publication is refused only by those that still cannot', async () => {
    const busy = machines.get(lbName(1, names.indexOf('the machine has seen a higher fencing number') + 1));
    const full = machines.get(lbName(1, names.indexOf('the disk is full') + 1));
    if (!busy || !full) throw new Error('the cases are gone');
    await sh(busy, 'rm /etc/weir/fence');
    await sh(full, 'mount -o remount,size=1m /etc/weir');
    const again = await edge.publish(cluster.name, { lbs: [busy.name, full.name, healthy[0] ?? ''] });
    expect(again.state).toBe('done');
    expect(Object.values(again.lbs).map((lb) => lb.state)).toEqual(['published', 'published', 'unchanged']);
  });
});

describe.skipIf(noHosts)(title('a machine'), () => {
  const cluster = clusterOf(1, { lbs: 1, vips: 20, marker: '/a' });
  const a = releaseOf(cluster);
  const b = releaseOf(clusterOf(1, { lbs: 1, vips: 19, marker: '/b' }));
  let hosts: TestHosts;
  let folder: string;
  let used = 0;

  beforeAll(async () => {
    hosts = await openTestHosts();
    folder = await mkdtemp(join(tmpdir(), 'weir-publish-test-'));
  });
  afterAll(async () => {
    await hosts?.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function nextHost(script = ''): Promise<TestHost> {
    used += 1;
    const host = await hosts.start(`lb${used}.room1`);
    await sh(host, script);
    return host;
  }

  /** Everything that publishing does: from nothing, again, a delta, named and replaced edits, back, and away. */
  async function expectWholeLife(host: TestHost, remote = openSsh({ configFile: hosts.configFile }), sudo = false) {
    const to = publisherTo(remote, host.name);
    const publish = (release: typeof a | undefined, overwrite = false) => to.publish(release, { sudo, overwrite });
    expect(await publish(a)).toMatchObject({ state: 'published', message: '' });
    expect(readLive(host)).toMatchObject({ complaints: [], services: wantedOf(cluster) });
    expect(await publish(a)).toMatchObject({ state: 'unchanged', message: '' });
    expect(await publish(b)).toMatchObject({ state: 'published', message: '' });
    expect(Object.keys(readLive(host).services)).toHaveLength(38);
    await sh(
      host,
      'echo x >>/etc/weir/current/manifest.json; echo x >/etc/weir/current/host/sysctl.conf; echo x >>/usr/local/etc/zebra.conf',
    );
    expect((await publish(b)).message).toContain('host/sysctl.conf: FAILED');
    expect(await publish(b, true)).toMatchObject({ state: 'published', message: '' });
    expect(await publish(a)).toMatchObject({ state: 'published', message: '' });
    expect(await publish(undefined)).toMatchObject({ state: 'restored', message: '' });
    for (const path of livePaths) expect(look(host, path)).toEqual({});
  }

  /** The same with FRR and the tests of keepalived and FRR, where they are installed. */
  async function expectLifeWithFrr(host: TestHost, remote = openSsh({ configFile: hosts.configFile })) {
    const frr = (marker: string, vips: number) =>
      releaseOf({ ...clusterOf(1, { lbs: 1, vips, marker }), dataplane: 'ipvs', routing: 'frr' });
    const [c, d] = [frr('/c', 20), frr('/d', 19)];
    const to = publisherTo(remote, host.name);
    const publish = (release: typeof c | undefined, overwrite = false) =>
      to.publish(release, { overwrite, fence: (fence += 1) });
    let fence = 100;
    for (const release of [c, d, c]) expect(await publish(release)).toMatchObject({ state: 'published', message: '' });
    expect(Object.keys(readLive(host).services)).toHaveLength(40);
    expect(await publish(c)).toMatchObject({ state: 'unchanged', message: '' });
    await sh(host, 'echo "! mine" >>/etc/frr/frr.conf');
    expect((await publish(d)).message).toContain('changed by hand: /etc/frr/frr.conf;');
    const bad = doctored(d, {
      'keepalived/vips/172.17.0.1.conf': (text) => text.replaceAll('delay_loop', 'delay_lop'),
    });
    if (isInstalled('keepalived')) expect((await publish(bad, true)).message).toContain("Unknown keyword 'delay_lop'");
    expect(await publish(d, true)).toMatchObject({ state: 'published', message: '' });
    expect(await publish(undefined)).toMatchObject({ state: 'restored', message: '' });
    for (const path of frrLivePaths) expect(look(host, path)).toEqual({});
  }

  const tools = [
    'awk', 'cat', 'chmod', 'chown', 'cmp', 'cp', 'cut', 'date', 'find', 'grep', 'gzip', 'head', 'id', 'ln', 'ls',
    'mkdir', 'mv', 'readlink', 'rm', 'rmdir', 'sed', 'sha256sum', 'sync', 'tar', 'timeout', 'touch', 'tr', 'xargs',
  ]; // prettier-ignore

  const odd: Record<string, string> = {
    'whose sh is dash': '',
    'whose sh is bash': 'mount --bind /usr/bin/bash /usr/bin/dash',
    'whose sh is that of busybox': 'mount --bind /bin/busybox /usr/bin/dash',
    'whose programs are those of busybox': `mkdir -p /usr/local/sbin; for tool in ${tools.join(' ')}; do ln -s /bin/busybox /usr/local/sbin/$tool; done`,
    'whose sync knows no options':
      'printf "#!/bin/sh\\n[ \\$# = 0 ]\\n" >/usr/local/sbin/sync; chmod 755 /usr/local/sbin/sync',
    'whose login prints before anything else, without a line of its own':
      'printf "echo -n welcome\\n" >/root/.bashrc; chsh -s /bin/bash root',
    'with settings of old in its environment':
      'printf "export GREP_OPTIONS=--color=always TAR_OPTIONS=--keep-old-files CDPATH=/tmp LANG=zh_CN.GBK POSIXLY_CORRECT=1\\n" >/root/.bashrc; chsh -s /bin/bash root',
    'whose folders are links':
      'mkdir -p /var/k /var/w /var/u; ln -s /var/k /etc/keepalived; ln -s /var/w /etc/weir; rmdir /usr/local/etc; ln -s ../../var/u /usr/local/etc',
  };

  for (const [what, script] of Object.entries(odd)) {
    test(`${what} is published to`, async () => {
      // Absolute links are followed on the host only, so the files are looked at where they are.
      const host = await nextHost(script);
      if (what === 'whose folders are links') {
        const to = publisherTo(openSsh({ configFile: hosts.configFile }), host.name);
        expect(await to.publish(a)).toMatchObject({ state: 'published', message: '' });
        expect(await sh(host, 'cat /etc/keepalived/keepalived.conf; ls /etc/weir/current/ /var/u')).toContain(
          'ospfd.conf',
        );
        expect(await to.publish(undefined)).toMatchObject({ state: 'restored', message: '' });
        expect(await sh(host, 'ls /var/k /var/u')).not.toContain('conf');
      } else {
        await expectWholeLife(host);
        if (what.startsWith('whose sh is') || what.includes('programs')) await expectLifeWithFrr(host);
      }
    });
  }

  test('that is reached as another user is published to through sudo', async () => {
    const host = await nextHost(
      `${user}; echo 'weir ALL=(root) NOPASSWD: ALL' >/etc/sudoers.d/weir; chmod 440 /etc/sudoers.d/weir`,
    );
    const remote = openSsh({ configFile: hosts.configFile });
    await expectWholeLife(host, { run: (target, ...rest) => remote.run({ ...target, user: 'weir' }, ...rest) }, true);
  });

  test('whose disk fills up at any moment is as before, and is published to when there is room', async () => {
    const host = await nextHost(
      'mkdir -p /etc/weir; mount -t tmpfs -o size=400k none /etc/weir; echo old >/usr/local/etc/ospfd.conf',
    );
    const to = publisherTo(withoutSsh(host, folder), host.name);
    expect((await to.publish(a)).state).toBe('published');
    const live = () => look(host, ...livePaths, '/etc/weir/current', `/etc/weir/releases/${a.id}`);
    const before = live();
    const used = Number((await sh(host, 'df -k --output=used /etc/weir')).split('\n')[1]);
    const steps = new Set<string>();
    let outcome = await to.publish(a);
    for (let room = 0; outcome.state !== 'published'; room += 4) {
      await sh(host, 'mount -o "remount,size=$1k" /etc/weir', String(used + room));
      expect(live()).toEqual(before);
      outcome = await to.publish(b);
      if (outcome.state !== 'failed') continue;
      expect(outcome.message).toMatch(/No space left on device|I\/O error|write error/);
      steps.add(outcome.step);
    }
    expect([...steps]).toEqual(expect.arrayContaining(['lock', 'stage']));
    expect(Object.keys(readLive(host).services)).toHaveLength(38);
  });

  test('whose disk of routing files is full is as before', async () => {
    const host = await nextHost('mount -t tmpfs -o size=4k none /usr/local/etc; echo old >/usr/local/etc/ospfd.conf');
    const before = look(host, ...livePaths);
    const outcome = await publisherTo(withoutSsh(host, folder), host.name).publish(a);
    expect(outcome).toMatchObject({ state: 'failed', step: 'backup' });
    expect(outcome.message).toContain('cannot write /usr/local/etc/');
    expect(look(host, ...livePaths)).toEqual(before);
    expect(Object.keys(look(host, '/usr/local/etc'))).toEqual(['/usr/local/etc', '/usr/local/etc/ospfd.conf']);
  });

  test.each(['new', 'old'])('is not made to write through links of others to its .weir-%s', async (suffix) => {
    const host = await nextHost('echo precious >/etc/precious; echo old >/usr/local/etc/zebra.conf');
    const attack = host.exec(['perl', '-e', linkAll, '/etc/precious', suffix]);
    const to = publisherTo(withoutSsh(host, folder), host.name);
    for (const release of [a, b, undefined, b, a, undefined]) await to.publish(release, { overwrite: true });
    await sh(host, ': >/tmp/stop');
    expect((await attack).code).toBe(0);
    expect(await sh(host, 'cat /etc/precious')).toBe('precious\n');
  });
});

/** Puts links to a file where publishing lays files ready, as fast as it can. */
const linkAll = String.raw`
my ($to, $suffix) = @ARGV;
until (-e '/tmp/stop') {
  symlink $to, "/usr/local/etc/$_.conf.weir-$suffix" for qw(zebra ospfd);
}
unlink glob '/usr/local/etc/*.weir-*';
`;
