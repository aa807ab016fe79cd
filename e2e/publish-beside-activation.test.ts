/**
 * Publishing to machines on which activations go on: their helpers are put in place, what they may go back to is kept,
 * what they put back is taken for what it is, and nothing is published while one is not decided.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { publisherTo, releaseOf, withoutSsh } from '../src/publish/testing.ts';
import type { Publisher } from '../src/publish/testing.ts';
import { openTestHosts } from '../src/remote/test-hosts.ts';
import type { TestHosts } from '../src/remote/test-hosts.ts';
import type { Release } from '../src/render/cluster.ts';
import { agentHelper } from '../src/render/host/agent.ts';
import { clusterOf, noHosts, title } from './testing/edge.ts';
import type { TestHost } from './testing/edge.ts';
import { isThere, livePaths, look, lookAtContent, read, sh } from './testing/machine.ts';

function release(marker: string, cost = 15): Release {
  return releaseOf({ ...clusterOf(1, { lbs: 1, vips: 2, marker }), ospf: { cost } });
}

const [a, b, c] = ['/a', '/b', '/c'].map((marker, i) => release(marker, 10 + i)) as [Release, Release, Release];
const sbin = '/usr/local/sbin/weir';

describe.skipIf(noHosts)(title('publishing beside activations'), () => {
  let hosts: TestHosts;
  let folder: string;
  let host: TestHost;
  let to: Publisher;
  let used = 0;

  beforeAll(async () => {
    hosts = await openTestHosts();
    folder = await mkdtemp(join(tmpdir(), 'weir-beside-'));
  });
  afterAll(async () => {
    await hosts?.close();
    await rm(folder, { recursive: true, force: true });
  });
  beforeEach(async () => {
    used += 1;
    host = await hosts.start(`lb${used}.room1`);
    to = publisherTo(withoutSsh(host, folder), host.name);
  });

  async function publish(next: Release | undefined): Promise<string[]> {
    const { state, message, warnings } = await to.publish(next);
    expect({ state, message }).toEqual({ state: next ? 'published' : 'restored', message: '' });
    return warnings.filter((words) => !words.includes('keepalived'));
  }

  const linkAt = (path: string) => look(host, path)[path]?.content;
  const releases = async () => (await sh(host, 'ls /etc/weir/releases')).trim().split('\n');

  describe('the agent', () => {
    test('of the release that is published can be called by its name, and by root as weir', async () => {
      expect(await publish(a)).toEqual([]);
      expect(linkAt('/etc/weir/bin/weir')).toBe(agentHelper.name);
      expect(linkAt(sbin)).toBe('/etc/weir/bin/weir');
      expect(read(host, `/etc/weir/bin/${agentHelper.name}`)).toBe(agentHelper.file.text());
      expect(await sh(host, 'weir nonsense 2>&1 || echo "ended with $?"')).toContain('usage: weir');
    });

    test('that is lost, or is another one, is put back', async () => {
      await publish(a);
      for (const damage of ['rm /etc/weir/bin/weir', 'ln -sfn weir-0 /etc/weir/bin/weir', 'rm /etc/weir/bin/weir-*']) {
        await sh(host, damage);
        await publish(a);
        expect(await sh(host, 'cat /etc/weir/bin/weir')).toBe(agentHelper.file.text());
        expect((await to.publish(a)).state).toBe('unchanged');
      }
    });

    const foreign = {
      'a program of others': 'printf "#!/bin/sh\\necho mine\\n" >"$1"; chmod 755 "$1"',
      'a link of others': 'ln -s /usr/bin/true "$1"',
      'a link of others that leads nowhere': 'ln -s /nowhere "$1"',
    };
    for (const [what, script] of Object.entries(foreign)) {
      test(`is not put in the place of ${what}, neither by publishing nor by restoring`, async () => {
        await sh(host, `mkdir -p /usr/local/sbin; ${script}`, sbin);
        const before = look(host, sbin);
        expect((await publish(a)).join()).toContain(`${sbin} is another program`);
        expect(await publish(b)).toEqual([]);
        await publish(undefined);
        expect(look(host, sbin)).toEqual(before);
      });
    }

    test('is told where it is on a machine that has no place for its name', async () => {
      await sh(host, 'rm -rf /usr/local/sbin');
      expect((await publish(a)).join()).toContain('the agent is /etc/weir/bin/weir');
      expect((await to.publish(a)).state).toBe('unchanged');
    });

    test('is the one of before where the switch fails', async () => {
      await publish(a);
      await sh(host, 'ln -sfn weir-old /etc/weir/bin/weir; cd /etc/weir/bin; cp weir-?????????* weir-old');
      await sh(host, 'mount --bind /usr/local/etc/ospfd.conf /usr/local/etc/ospfd.conf');
      expect(await to.publish(b)).toMatchObject({ state: 'failed', step: 'switch' });
      expect(linkAt('/etc/weir/bin/weir')).toBe('weir-old');
      expect(linkAt('/etc/weir/current')).toBe(`releases/${a.id}`);
    });
  });

  describe('while an activation is not confirmed', () => {
    const activating = (seconds: number) =>
      sh(host, 'echo "$1 backup $(($(date +%s) + $2)) 1 none" >/etc/weir/activating', a.id, String(seconds));

    for (const [what, next] of [
      ['publish', b],
      ['restore', undefined],
    ] as const) {
      test(`a ${what} is refused, with how long that may last`, async () => {
        await publish(a);
        for (const seconds of [90, -50]) {
          await activating(seconds);
          const before = look(host, ...livePaths, '/etc/weir/current', '/etc/weir/releases');
          const outcome = await to.publish(next);
          expect(outcome).toMatchObject({ state: 'failed', step: 'lock' });
          expect(outcome.message).toContain(`release ${a.id} is being activated and not confirmed`);
          expect(outcome.message).toMatch(/in (90|8\d|-5\d) s at the latest/);
          expect(look(host, ...livePaths, '/etc/weir/current', '/etc/weir/releases')).toEqual(before);
        }
      });
    }

    test('one that nobody decided in its time and a minute more is warned of, and does not stop others', async () => {
      await publish(a);
      await activating(-65);
      expect((await publish(b)).join()).toContain(`the activation of release ${a.id} was neither confirmed nor undone`);
      await activating(-65);
      await publish(undefined);
      expect(isThere(host, '/etc/weir/activating')).toBe(false);
    });
  });

  describe('what activations may go back to is kept among many releases:', () => {
    const many = [...Array(9).keys()].map((i) => release(`/many${i}`));

    const names = {
      active: (id: string) => sh(host, 'ln -s "releases/$1" /etc/weir/active', id),
      previous: (id: string) => sh(host, 'ln -s "releases/$1" /etc/weir/previous', id),
      'activating, as the release': (id: string) => sh(host, 'echo "$1 backup 1 1 none" >/etc/weir/activating', id),
      'activating, as what was before': (id: string) => sh(host, 'echo "0 $1 1 1 none" >/etc/weir/activating', id),
    };
    for (const [what, name] of Object.entries(names)) {
      test(`what is named by ${what}`, async () => {
        await publish(a);
        await publish(b);
        await name(a.id);
        for (const next of many) await publish(next);
        const kept = await releases();
        expect(kept).toContain(a.id);
        expect(kept).not.toContain(b.id);
        expect(kept).toHaveLength(7);
      });
    }

    test('also where previous names no release', async () => {
      await publish(a);
      await sh(host, 'ln -s backup /etc/weir/previous; ln -s releases/gone /etc/weir/active');
      for (const next of many) await publish(next);
      expect(await releases()).toHaveLength(6);
    });
  });

  describe('after an undo on the machine,', () => {
    /** As the agent puts a release back: by renames, without a word in /etc/weir/written. */
    const undoTo = (release: Release) =>
      sh(
        host,
        `ln -sfn "releases/$1" /etc/weir/current
        for name in zebra ospfd; do
          cp "/etc/weir/current/routing/$name.conf" /usr/local/etc/$name.new
          mv /usr/local/etc/$name.new /usr/local/etc/$name.conf
        done`,
        release.id,
      );

    test('files of the release that came back are not taken for edits', async () => {
      for (const next of [a, b, c]) await publish(next);
      await undoTo(a);
      expect((await to.publish(a)).state).toBe('unchanged');
      await undoTo(a);
      await publish(c);
      await undoTo(a);
      await publish(undefined);
      for (const path of livePaths) expect(isThere(host, path)).toBe(false);
      expect(isThere(host, '/etc/weir/edited')).toBe(false);
    });

    test('edits of them are', async () => {
      for (const next of [a, b]) await publish(next);
      await undoTo(a);
      await sh(host, 'echo "! mine" >>/usr/local/etc/ospfd.conf');
      expect((await to.publish(b)).message).toContain('changed by hand: /usr/local/etc/ospfd.conf;');
    });

    test('to what was there before the first publication, the next one begins from there', async () => {
      await sh(
        host,
        'echo "! old" >/usr/local/etc/ospfd.conf; mkdir -p /etc/keepalived; echo x >/etc/keepalived/x.conf',
      );
      const before = lookAtContent(host, '/etc/keepalived', '/usr/local/etc');
      await publish(a);
      const backToBackup = () =>
        sh(
          host,
          `: >/etc/weir/backup/.taking
          cp -a /etc/weir/backup/usr/local/etc/ospfd.conf /usr/local/etc/ospfd.conf
          rm /etc/keepalived/keepalived.conf /usr/local/etc/zebra.conf`,
        );
      await backToBackup();
      expect(await publish(b)).toEqual([]);
      expect(isThere(host, '/etc/weir/backup/.taking')).toBe(false);
      await backToBackup();
      await sh(host, 'echo "! mine" >>/usr/local/etc/ospfd.conf');
      expect((await to.publish(b)).message).toContain('changed by hand: /usr/local/etc/ospfd.conf;');
      await sh(host, 'echo "! old" >/usr/local/etc/ospfd.conf');
      await publish(undefined);
      expect(lookAtContent(host, '/etc/keepalived', '/usr/local/etc')).toEqual(before);
    });
  });

  test('a restore forgets all activations, and keeps a drain', async () => {
    await publish(a);
    await sh(
      host,
      `cd /etc/weir; ln -s "releases/$1" active; ln -s backup previous; echo x >loaded; echo x >undone; echo local 1 mine >drain`,
      a.id,
    );
    await publish(undefined);
    for (const name of ['active', 'previous', 'loaded', 'undone', 'bin/weir', 'backup', 'written']) {
      expect(isThere(host, `/etc/weir/${name}`), name).toBe(false);
    }
    expect(isThere(host, sbin)).toBe(false);
    expect(read(host, '/etc/weir/drain')).toBe('local 1 mine\n');
    await publish(b);
    expect(read(host, '/etc/weir/drain')).toBe('local 1 mine\n');
  });

  for (const watch of ['/etc/systemd/system/keepalived.service.d/weir.conf', '/run/weir/watch.pid']) {
    test(`a restore leaves the agent to what watches over keepalived by ${watch}`, async () => {
      await publish(a);
      await sh(host, 'mkdir -p "${1%/*}"; echo x >"$1"', watch);
      await publish(undefined);
      expect(linkAt('/etc/weir/bin/weir')).toBe(agentHelper.name);
      expect(isThere(host, sbin)).toBe(false);
      await publish(b);
      expect((await to.publish(b)).state).toBe('unchanged');
    });
  }

  test('a release that is not live and was changed by hand is not lost where it is published again', async () => {
    await publish(a);
    await publish(b);
    await sh(host, 'echo "! mine" >>"/etc/weir/releases/$1/keepalived/keepalived.conf"', a.id);
    const edited = read(host, `/etc/weir/releases/${a.id}/keepalived/keepalived.conf`);
    expect((await publish(a)).join()).toContain(`release ${a.id}, which is not live, was changed by hand`);
    expect(await sh(host, 'cat /etc/weir/edited/*/keepalived/keepalived.conf')).toBe(edited);
    expect((await to.publish(a)).state).toBe('unchanged');
  });
});

describe.skipIf(noHosts)(title('a cluster that changes its routing suite'), () => {
  const quagga = release('/q', 12);
  const frr = releaseOf({ ...clusterOf(1, { lbs: 1, vips: 2, marker: '/f' }), routing: 'frr', ospf: { cost: 12 } });
  const shown = ['/etc/keepalived', '/usr/local/etc', '/etc/frr'];
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
    await sh(
      host,
      `mkdir -p /etc/frr /etc/keepalived; rm -f /etc/frr/frr.conf
      for file in /etc/keepalived/keepalived.conf /usr/local/etc/ospfd.conf; do echo "! old" >$file; done`,
    );
  });

  async function expectThere(release: Release): Promise<void> {
    for (const file of release.files().filter((f) => f.path.startsWith('routing/'))) {
      const path = `${release.routing === 'frr' ? '/etc/frr' : '/usr/local/etc'}/${file.path.split('/')[1]}`;
      expect(read(host, path)).toBe(file.text());
    }
    expect((await to.publish(release)).state).toBe('unchanged');
  }

  const before: Record<string, { script: string; warning: string }> = {
    'that the other one was never configured': { script: ':', warning: '' },
    'that the other one had been configured by hand': {
      script: 'echo "! mine" >/etc/frr/frr.conf; chown 5:6 /etc/frr/frr.conf; chmod 604 /etc/frr/frr.conf',
      warning: '/etc/frr/frr.conf is taken over now; what it holds stays in /etc/weir/backup',
    },
  };
  for (const [what, { script, warning }] of Object.entries(before)) {
    test(`on a machine ${what} gets files of the new one, goes back, and gives back all`, async () => {
      await sh(host, script);
      const was = lookAtContent(host, ...shown);
      expect((await to.publish(quagga)).state).toBe('published');
      const taken = await to.publish(frr);
      expect(taken.state).toBe('published');
      if (warning) expect(taken.warnings.join()).toContain(warning);
      await expectThere(frr);
      expect((await to.publish(quagga)).state).toBe('published');
      await expectThere(quagga);
      const back = await to.publish(frr);
      expect(back.state).toBe('published');
      expect(back.warnings.join()).not.toContain('taken over');
      expect(await to.publish(undefined)).toMatchObject({ state: 'restored', message: '' });
      expect(lookAtContent(host, ...shown)).toEqual(was);
      expect(isThere(host, '/etc/weir/edited')).toBe(false);
    });
  }

  test('does not overwrite unasked what was written there since the first publication', async () => {
    await to.publish(quagga);
    await sh(host, 'echo "! newer" >/etc/frr/frr.conf');
    const refused = await to.publish(frr);
    expect(refused).toMatchObject({ state: 'failed', step: 'check' });
    expect(refused.message).toContain('changed by hand: /etc/frr/frr.conf;');
    expect(read(host, '/etc/frr/frr.conf')).toBe('! newer\n');
    expect((await to.publish(frr, { overwrite: true })).state).toBe('published');
    expect(await sh(host, 'cat /etc/weir/edited/frr.conf.*')).toBe('! newer\n');
    await expectThere(frr);
  });

  test('leaves files alone that it never wrote, whatever became of them', async () => {
    await to.publish(quagga);
    await sh(host, 'echo "! of others" >/etc/frr/frr.conf');
    const others = look(host, '/etc/frr/frr.conf');
    expect(await to.publish(undefined)).toMatchObject({ state: 'restored', message: '' });
    expect(look(host, '/etc/frr/frr.conf')).toEqual(others);
    expect(isThere(host, '/etc/weir/edited')).toBe(false);
  });

  test('names edits of what it wrote for the other suite only when it comes back to it', async () => {
    await to.publish(quagga);
    await to.publish(frr);
    await sh(host, 'echo "! mine" >>/usr/local/etc/ospfd.conf');
    expect((await to.publish(frr)).state).toBe('unchanged');
    expect((await to.publish(quagga)).message).toContain('changed by hand: /usr/local/etc/ospfd.conf;');
  });

  test('and frr.conf, where it is new, belongs to FRR’s user', async () => {
    await sh(
      host,
      'id frr >/dev/null 2>&1 || { echo frr:x:4321:4322::/run:/bin/false >>/etc/passwd; echo frr:x:4322: >>/etc/group; }',
    );
    await to.publish(frr);
    const [uid, gid] = (await sh(host, 'id -u frr; id -g frr')).trim().split('\n');
    expect(look(host, '/etc/frr/frr.conf')['/etc/frr/frr.conf']).toMatchObject({
      mode: '0640',
      owner: `${uid}:${gid}`,
    });
  });
});
