/**
 * What a machine's own programs say of a release before it is made live: keepalived's and FRR's real tests, with
 * errors that only they know, and programs that hang, are missing or are others.
 */
import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Cluster } from '../src/domain/edge/model.ts';
import { doctored, publisherTo, releaseOf, withoutSsh } from '../src/publish/testing.ts';
import type { Publisher } from '../src/publish/testing.ts';
import { openTestHosts } from '../src/remote/test-hosts.ts';
import type { TestHosts } from '../src/remote/test-hosts.ts';
import type { Release } from '../src/render/cluster.ts';
import { clusterOf, noHosts, title } from './testing/edge.ts';
import type { TestHost } from './testing/edge.ts';
import { isThere, look, sh } from './testing/machine.ts';
import { isInstalled } from './testing/programs.ts';

const needs = ['keepalived', 'vtysh', 'ospfd'].filter((name) => !isInstalled(name));
const leftOut = needs.length > 0 ? ` (left out: not installed: ${needs.join(', ')})` : '';

function release(marker: string, parts: Partial<Cluster> = {}): Release {
  return releaseOf({ ...clusterOf(1, { lbs: 1, vips: 4, marker }), dataplane: 'ipvs', routing: 'frr', ...parts });
}

const good = release('/good');
const vipFile = 'keepalived/vips/172.17.0.1.conf';

/** Edits of a good release, and what the real programs say of it. */
const errors: Record<string, { path: string; edit: (text: string) => string; says: string[] }> = {
  'a scheduler that keepalived does not know': {
    path: vipFile,
    edit: (text) => text.replaceAll('lb_algo wrr', 'lb_algo fastest'),
    says: ['keepalived -t: ', "Invalid lvs_scheduler 'fastest'"],
  },
  'a word that keepalived does not know': {
    path: vipFile,
    edit: (text) => text.replaceAll('delay_loop', 'delay_lop'),
    says: ['(vips/172.17.0.1.conf: Line ', "Unknown keyword 'delay_lop'"],
  },
  'a brace too few, which would swallow other VIPs': {
    path: vipFile,
    edit: (text) => text.replace(/\}\n$/, ''),
    says: ["missing '}'s"],
  },
  'a real server without its check': {
    path: vipFile,
    edit: (text) => text.replaceAll(/url \{[^}]*\}/g, ''),
    says: ['no urls specified'],
  },
  'an include that leads nowhere': {
    path: 'keepalived/keepalived.conf',
    edit: (text) => `${text}include vips/gone.conf\n`,
    says: ['keepalived -t: (keepalived.conf: Line ', "Config files missing 'vips/gone.conf'"],
  },
  'an include that leads nowhere, where keepalived is not asked to check them and ends with 0': {
    path: 'keepalived/keepalived.conf',
    edit: (text) => `${text.replace(/ *include_check\n/, '')}include vips/gone.conf\n`,
    says: ["Config files missing 'vips/gone.conf'"],
  },
  'a line that FRR does not know': {
    path: 'routing/frr.conf',
    edit: (text) => `${text}nonsense 42\n`,
    says: ['vtysh -C: ', 'Unknown command', 'nonsense 42'],
  },
  'a range of prefixes that only ospfd understands to be wrong': {
    path: 'routing/frr.conf',
    edit: (text) => text.replaceAll('ge 32 le 32', 'ge 8 le 4'),
    says: ['ospfd -C: ', 'Invalid prefix range', 'Config Failed on config line'],
  },
};

describe.skipIf(noHosts || needs.length > 0)(title(`a machine that tests what it gets${leftOut}`), () => {
  let hosts: TestHosts;
  let folder: string;
  let host: TestHost;
  let to: Publisher;
  let used = 0;

  beforeAll(async () => {
    hosts = await openTestHosts();
    folder = await mkdtemp(join(tmpdir(), 'weir-programs-'));
  });
  afterAll(async () => {
    await hosts?.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function nextHost(script = ''): Promise<void> {
    used += 1;
    host = await hosts.start(`lb${used}.room1`);
    await sh(host, script);
    to = publisherTo(withoutSsh(host, folder), host.name);
  }

  /** Everything that a daemon reads or would read, and which releases there are. */
  const seen = () => ({
    files: look(
      host,
      '/etc/keepalived',
      '/etc/frr',
      `/etc/weir/releases/${good.id}`,
      '/etc/weir/current',
      '/etc/weir/bin',
    ),
    releases: readdirSync(join(host.root, '/etc/weir/releases')),
  });

  describe('refuses', () => {
    beforeAll(async () => {
      await nextHost();
      expect(await to.publish(good)).toMatchObject({ state: 'published', message: '', warnings: [] });
    });

    for (const [what, { path, edit, says }] of Object.entries(errors)) {
      test(`${what}, in the program's own words, and stays as it is`, async () => {
        const before = seen();
        const outcome = await to.publish(doctored(release('/next'), { [path]: edit }));
        expect(outcome).toMatchObject({ state: 'failed', step: 'check' });
        for (const words of says) expect(outcome.message).toContain(words);
        expect(seen()).toEqual(before);
      });
    }

    test('on a first publication too, which leaves the machine as it was', async () => {
      await nextHost('mkdir -p /etc/frr; echo "! mine" >/etc/frr/frr.conf');
      const before = look(host, '/etc/keepalived', '/etc/frr', '/usr/local');
      const bad = doctored(good, { [vipFile]: (text) => text.replaceAll('wrr', 'fastest') });
      expect(await to.publish(bad)).toMatchObject({ state: 'failed', step: 'check' });
      expect(look(host, '/etc/keepalived', '/etc/frr', '/usr/local')).toEqual(before);
      expect(isThere(host, '/etc/weir/backup')).toBe(false);
      expect((await to.publish(good)).state).toBe('published');
    });

    test('each of many errors once, and not all of them', async () => {
      await nextHost();
      const open = doctored(good, { [vipFile]: (text) => text.replace(/\}\n$/, '') });
      expect((await to.publish(open)).message.split("missing '}'s")).toHaveLength(2);
      const vips = releaseOf({ ...clusterOf(1, { lbs: 1, vips: 300 }), dataplane: 'ipvs' });
      const edits = vips.files().filter((f) => f.path.startsWith('keepalived/vips/'));
      const bad = doctored(vips, Object.fromEntries(edits.map((f) => [f.path, (text) => text.replaceAll('wrr', 'x')])));
      const { message } = await to.publish(bad);
      expect(message.length).toBeLessThan(1000);
      const said = message.replace('keepalived -t: ', '').split('; ');
      expect(new Set(said).size).toBe(said.length);
    });

    test('what is going to be unreadable, not what is going to be old', async () => {
      await nextHost();
      const old = doctored(good, { [vipFile]: (text) => text.replaceAll(' retry 3', ' nb_get_retry 3') });
      const outcome = await to.publish(old);
      expect(outcome).toMatchObject({ state: 'published', message: '' });
      expect(outcome.warnings.join()).toContain("nb_get_retry is deprecated - please use 'retry'");
    });
  });

  test('a live file that may be executed, which keepalived 2 leaves out, is named as changed', async () => {
    await nextHost();
    await to.publish(good);
    await sh(host, `chmod g+x "/etc/weir/current/${vipFile}"`);
    expect((await to.publish(good)).message).toContain(`changed by hand: ${vipFile}: may be executed`);
    expect((await to.publish(good, { overwrite: true })).state).toBe('published');
    expect((await to.publish(good)).state).toBe('unchanged');
  });

  /** In the place of a program: what it does with arguments that match a pattern of the shell; otherwise the real one runs. */
  function stand(name: string, pattern: string, action: string): string {
    return `cat >/usr/local/sbin/${name} <<'END'
#!/bin/sh
case "$*" in ${pattern}) ${action} ;; esac
PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/frr
exec ${name} "$@"
END
chmod 755 /usr/local/sbin/${name}
`;
  }

  /** A machine where everything is given one second only. */
  const impatient = stand('timeout', '"-s KILL "*', 'shift 3; exec /usr/bin/timeout -s KILL 1 "$@"');

  const hanging = {
    'keepalived -t': [stand('keepalived', '*-t*', 'exec sleep 1000'), 'keepalived -t did not end within 30 s'],
    'vtysh -C': [stand('vtysh', '*-C*', 'exec sleep 1000'), 'vtysh -C did not end within 20 s'],
    'ospfd -C': [
      'mkdir /tmp/ospfd; printf "#!/bin/sh\\nexec sleep 1000\\n" >/tmp/ospfd/ospfd; chmod 755 /tmp/ospfd/ospfd; mount --bind /tmp/ospfd/ospfd /usr/lib/frr/ospfd',
      'ospfd -C did not end within 20 s',
    ],
  };
  for (const [what, [script = '', words = '']] of Object.entries(hanging)) {
    test(`whose ${what} never ends is told so, and nothing of it goes on`, async () => {
      await nextHost(impatient + script);
      expect(await to.publish(good)).toMatchObject({ state: 'failed', step: 'check', message: words });
      expect(isThere(host, '/etc/weir/backup')).toBe(false);
      expect(await sh(host, 'pgrep -c sleep || true')).toBe('0\n');
    });
  }

  const crashes = {
    'whose keepalived crashes': [stand('keepalived', '*-t*', 'kill -SEGV $$'), 'keepalived -t ended with code 139'],
    'whose keepalived gives up without a word': [stand('keepalived', '*-t*', 'exit 5'), 'code 5 and without a word'],
  };
  for (const [what, [script = '', words = '']] of Object.entries(crashes)) {
    test(`${what} is told so`, async () => {
      await nextHost(script);
      const outcome = await to.publish(good);
      expect(outcome).toMatchObject({ state: 'failed', step: 'check' });
      expect(outcome.message).toContain(words);
    });
  }

  const odd = {
    'whose keepalived is 1.2.2': [
      stand('keepalived', '*-v*', 'echo "Keepalived v1.2.2 (01/01,2012)" >&2; exit 0'),
      ['this machine’s keepalived does not read the dialect ipvs: Keepalived v1.2.2 (01/01,2012)'],
    ],
    'without keepalived': ['mount --bind /dev/null /usr/sbin/keepalived', ['keepalived is not installed']],
    'without FRR': [
      'for f in /usr/bin/vtysh /usr/lib/frr/ospfd; do mount --bind /dev/null $f; done',
      ['vtysh is not installed', 'ospfd is not installed'],
    ],
    'whose vtysh has no configuration of its own': ['rm -f /etc/frr/vtysh.conf', []],
    'without timeout': ['mount --bind /dev/null /usr/bin/timeout', []],
  } as const;
  for (const [what, [script, warnings]] of Object.entries(odd)) {
    test(`${what} is published to, and warned of if that matters`, async () => {
      await nextHost(script);
      const outcome = await to.publish(good);
      expect(outcome).toMatchObject({ state: 'published', message: '' });
      expect(outcome.warnings).toHaveLength(warnings.length);
      warnings.forEach((words, i) => expect(outcome.warnings[i]).toContain(words.replace('’', "'")));
    });
  }

  test('FRR whose bfdd does not run is warned of where the release has BFD, and only there', async () => {
    const start = (daemon: string) => sh(host, `/usr/lib/frr/${daemon} -d -A 127.0.0.1 >/dev/null 2>&1`);
    const withBfd = (marker: string) => release(marker, { ospf: { bfd: true } });
    const warned = [expect.stringMatching(/^bfdd does not run on this machine, .*bfdd=yes in \/etc\/frr\/daemons/)];
    await nextHost('mkdir -p /run/frr; chown frr:frr /run/frr');
    expect(await to.publish(withBfd('/a'))).toMatchObject({ state: 'published', warnings: warned });
    for (const daemon of ['zebra', 'ospfd']) await start(daemon);
    expect(await to.publish(withBfd('/b'))).toMatchObject({ state: 'published', warnings: warned });
    expect(await to.publish(release('/b'))).toMatchObject({ state: 'published', warnings: [] });
    await start('bfdd');
    expect(await to.publish(withBfd('/c'))).toMatchObject({ state: 'published', warnings: [] });
  });

  test('another keepalived is asked for its version again', async () => {
    await nextHost();
    expect((await to.publish(good)).warnings).toEqual([]);
    await sh(host, stand('keepalived', '*-v*', 'echo "Keepalived v1.2.2 (01/01,2012)" >&2; exit 0'));
    expect((await to.publish(release('/b'))).warnings.join()).toContain('v1.2.2');
    await sh(host, 'rm /usr/local/sbin/keepalived');
    expect((await to.publish(good)).warnings).toEqual([]);
  });

  test('going back to a release is tested again', async () => {
    await nextHost();
    await to.publish(good);
    await to.publish(release('/b'));
    // The same program, built without a scheduler.
    await sh(host, `perl -0777 -pe 's/\\bwrr\\0/wrx\\0/' /usr/sbin/keepalived >/usr/local/sbin/keepalived`);
    await sh(host, 'chmod 755 /usr/local/sbin/keepalived');
    const outcome = await to.publish(good);
    expect(outcome).toMatchObject({ state: 'failed', step: 'check' });
    expect(outcome.message).toContain("Invalid lvs_scheduler 'wrr'");
  });

  test('nothing is left of the tests, and FRR’s daemons that run are not disturbed', async () => {
    await nextHost('rm -rf /var/tmp/frr');
    await to.publish(good);
    await to.publish(release('/b'));
    expect(await sh(host, 'ls -A /var/tmp/frr; ls -A /etc/weir /etc/weir/releases | grep "^\\." || true')).toBe('');
    const path = `/etc/weir/current/routing/frr.conf`;
    expect(await sh(host, 'stat -c "%a %U" "$1"', path)).toBe('640 root\n');
  });
});
