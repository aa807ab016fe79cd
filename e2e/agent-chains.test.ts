/**
 * The agent's chains with the real iptables, of nftables and legacy, in a network of its own: what a release declares is
 * there and jumped to, what an older one declared is gone, and the rules of others are what they were. The agent runs as
 * at a machine's start.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { agentFile } from '../src/render/host/agent.ts';

const programs = ['iptables-nft', 'iptables-legacy'].filter((name) => works(name));
const reason = whyNot();
if (reason !== undefined) console.warn(`left out: chains with the real iptables: ${reason}`);

function works(name: string): boolean {
  const { status } = spawnSync('unshare', ['-n', name, '-t', 'raw', '-S'], { stdio: 'ignore' });
  return status === 0;
}

function whyNot(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root on Linux';
  if (programs.length === 0) return 'neither iptables-nft nor iptables-legacy works here';
  return spawnSync('unshare', ['-n', '-m', '-p', '--fork', '--mount-proc', 'true']).status === 0
    ? undefined
    : 'unshare does not work here';
}

const shells = ['dash', 'bash', 'busybox'].filter((name) => !spawnSync(name, ['true']).error);

const table = (name: string, ...lines: string[]) => [`*${name}`, ...lines, 'COMMIT', ''].join('\n');
const nat = (lip: string) =>
  table(
    'nat',
    ':WEIR-LIPS - [0:0]',
    ':WEIR-POSTROUTING - [0:0]',
    `-A WEIR-LIPS -j SNAT --to-source ${lip}`,
    '-A WEIR-POSTROUTING -d 10.1.1.1/32 -j WEIR-LIPS',
  );

/** As releases had it when one chain was for both of the kernel's, and as they have it. */
const older = nat('10.0.0.1') + table('raw', ':WEIR-RAW - [0:0]', '-A WEIR-RAW -p ospf -j ACCEPT');
const plain =
  nat('10.0.0.2') +
  table(
    'raw',
    ':WEIR-OUTPUT - [0:0]',
    ':WEIR-PREROUTING - [0:0]',
    '-A WEIR-OUTPUT -p ospf -j ACCEPT',
    '-A WEIR-PREROUTING -p ospf -j ACCEPT',
  );
const newer =
  plain.replace('-A WEIR-OUTPUT', ':WEIR-SYN - [0:0]\n-A WEIR-PREROUTING -p tcp -j WEIR-SYN\n-A WEIR-OUTPUT') +
  table('filter', ':WEIR-INPUT - [0:0]', ':WEIR-SYN - [0:0]', '-A WEIR-INPUT -p tcp -j WEIR-SYN');

const manifest = `{
"release": "r1",
"dataplane": "ipvs",
"routing": "frr",
"services": 1,
"loads": "0123456789",
"helper": "none",
"files": [
]
}
`;

/** Rules of others, some of which look a little like ours. */
const others = String.raw`
$iptables -A INPUT -s 10.9.9.9/32 -j DROP
$iptables -A INPUT -m comment --comment WEIR-RAW
$iptables -N WEIRD
$iptables -A FORWARD -j WEIRD
$iptables -t nat -A POSTROUTING -o foo -j MASQUERADE
$iptables -t mangle -N OTHERS
$iptables -t mangle -A PREROUTING -m comment --comment "a -j WEIR-RAW b" -j OTHERS
`;

/** A machine without systemd and with nothing of Weir; "boot FILE" is a start with that file as the release's. */
const machine = String.raw`
set -eu
shared=$1 shell=$2 iptables=$3
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /mnt
mkdir /mnt/etc /mnt/work /mnt/bin
mount -t overlay -o lowerdir=/etc,upperdir=/mnt/etc,workdir=/mnt/work overlay /etc
rm -rf /etc/weir
mkdir -p /etc/weir/bin /etc/weir/releases/r1/host
cp "$shared/weir" /etc/weir/bin/weir
cp "$shared/manifest.json" /etc/weir/releases/r1
ln -s releases/r1 /etc/weir/current
ln -s releases/r1 /etc/weir/active
for part in "" -save -restore; do ln -s "$(command -v "$iptables$part")" "/mnt/bin/iptables$part"; done
case $iptables in
  # an alternative that is the legacy one has the legacy one beside it too
  *legacy) ;;
  *) for part in "" -save -restore; do printf '#!/bin/sh\nexit 1\n' >"/mnt/bin/iptables-legacy$part"; chmod 755 "/mnt/bin/iptables-legacy$part"; done ;;
esac
mount --bind /mnt/bin /usr/local/sbin
[ "$shell" != busybox ] || shell="busybox sh"
boot() { cp "$shared/$1" /etc/weir/releases/r1/host/iptables; PATH=/mnt/bin:$PATH $shell /etc/weir/bin/weir boot || echo "boot of $1 failed"; }
saved() { $iptables-save | sed '/^#/d; s/ \[[0-9:]*\]$//'; }
ours() { saved | grep -E '^\*|WEIR-'; }
of_others() { saved | grep -vE '^:WEIR-|^-A WEIR-|-j WEIR-[A-Z]*$'; }
`;

describe
  .skipIf(reason !== undefined)
  .each(programs.flatMap((program) => shells.map((shell) => [program, shell] as const)))(
  `chains with %s and %s${reason ? ` (left out: ${reason})` : ''}`,
  (iptables, shell) => {
    let folder: string;

    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), 'weir-chains-'));
      mkdirSync(folder, { recursive: true });
      for (const [name, text] of Object.entries({
        weir: agentFile.text(),
        'manifest.json': manifest,
        older,
        plain,
        newer,
      }))
        writeFileSync(join(folder, name), text);
      chmodSync(join(folder, 'weir'), 0o755);
    });
    afterAll(() => rmSync(folder, { recursive: true, force: true }));

    /** What a script on the machine says. */
    function on(script: string): string[] {
      const namespaces = ['-n', '-m', '-p', '--fork', '--kill-child', '--mount-proc'];
      const { status, stdout, stderr } = spawnSync(
        'unshare',
        [...namespaces, 'sh', '-c', machine + script, 'sh', folder, shell, iptables],
        { encoding: 'utf8' },
      );
      expect({ status, stderr }).toMatchObject({ status: 0 });
      return stdout.split('\n').filter(Boolean);
    }

    const sorted = (lines: readonly string[]) => lines.filter((line) => !line.startsWith('*')).toSorted();

    test('are jumped to by their names, and starting again changes nothing', () => {
      const said = on(`boot newer; ours >/run/1; boot newer; ours >/run/2; cmp /run/1 /run/2; cat /run/1`);
      expect(sorted(said)).toEqual([
        '-A INPUT -j WEIR-INPUT',
        '-A OUTPUT -j WEIR-OUTPUT',
        '-A POSTROUTING -j WEIR-POSTROUTING',
        '-A PREROUTING -j WEIR-PREROUTING',
        '-A WEIR-INPUT -p tcp -j WEIR-SYN',
        '-A WEIR-LIPS -j SNAT --to-source 10.0.0.2',
        '-A WEIR-OUTPUT -p ospf -j ACCEPT',
        '-A WEIR-POSTROUTING -d 10.1.1.1/32 -j WEIR-LIPS',
        '-A WEIR-PREROUTING -p ospf -j ACCEPT',
        '-A WEIR-PREROUTING -p tcp -j WEIR-SYN',
        ':WEIR-INPUT -',
        ':WEIR-LIPS -',
        ':WEIR-OUTPUT -',
        ':WEIR-POSTROUTING -',
        ':WEIR-PREROUTING -',
        ':WEIR-SYN -',
        ':WEIR-SYN -',
      ]);
    });

    test('of an older release go when the new ones are there, in every table, and the rules of others stay', () => {
      const said = on(`${others}
      boot older; of_others >/run/others; ours | sed 's/^/first /'
      boot newer; of_others | diff /run/others - >&2; ours | sed 's/^/then /'
      boot plain; of_others | diff /run/others - >&2; ours | sed 's/^/last /'`);
      const at = (word: string) =>
        said.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1));
      const raw = (lines: readonly string[]) =>
        lines.filter((line) => line.includes('RAW') && !line.includes('comment'));
      expect(raw(at('first'))).toEqual([
        ':WEIR-RAW -',
        '-A PREROUTING -j WEIR-RAW',
        '-A OUTPUT -j WEIR-RAW',
        '-A WEIR-RAW -p ospf -j ACCEPT',
      ]);
      expect(raw(at('then'))).toEqual([]);
      expect(at('then')).toEqual(
        expect.arrayContaining(['-A INPUT -j WEIR-INPUT', '-A PREROUTING -j WEIR-PREROUTING']),
      );
      expect(at('last').filter((line) => /WEIR-INPUT|SYN/.test(line))).toEqual([]);
      expect(at('last')).toContain('-A WEIR-LIPS -j SNAT --to-source 10.0.0.2');
    });

    test('are first in INPUT, whoever came before, and jumped to once', () => {
      const said = on(`${others}
      boot newer
      $iptables -I INPUT -s 10.8.8.8/32 -j DROP
      boot newer
      $iptables -S INPUT
      $iptables -A INPUT -j WEIR-INPUT
      $iptables -t nat -A POSTROUTING -j WEIR-POSTROUTING
      boot newer
      $iptables -S INPUT; $iptables -t nat -S POSTROUTING`);
      const input = [
        '-P INPUT ACCEPT',
        '-A INPUT -j WEIR-INPUT',
        '-A INPUT -s 10.8.8.8/32 -j DROP',
        '-A INPUT -s 10.9.9.9/32 -j DROP',
        '-A INPUT -m comment --comment WEIR-RAW',
      ];
      expect(said).toEqual([
        ...input,
        ...input,
        '-P POSTROUTING ACCEPT',
        '-A POSTROUTING -o foo -j MASQUERADE',
        '-A POSTROUTING -j WEIR-POSTROUTING',
      ]);
    });

    test('of a table are as they were where one of its rules is refused', () => {
      const said = on(`
      boot older; ours >/run/before
      sed 's/-A WEIR-INPUT -p tcp/-A WEIR-INPUT -p nonsense/' "$shared/newer" >/run/bad
      mkdir /run/shared; cp /run/bad "$shared"/weir "$shared"/manifest.json /run/shared
      shared=/run/shared
      boot bad 2>/dev/null
      $iptables -S | grep WEIR- || echo nothing in filter`);
      expect(said).toEqual(['boot of bad failed', 'nothing in filter']);
    });

    test('are there when the machine has started, though its kernel lacks a sysctl of the release', () => {
      const said = on(`
      echo 'net.ipv4.weir_has_none = 1' >/etc/weir/releases/r1/host/sysctl.conf
      boot newer 2>&1
      ours | grep -c WEIR-`);
      expect(said).toEqual([
        'weir: sysctl net.ipv4.weir_has_none: this kernel does not have it',
        'boot of newer failed',
        '17',
      ]);
    });

    test('are read whole where iptables-save says something of its own in the middle of a line', () => {
      const said = on(`
      boot older
      rm /mnt/bin/iptables-save
      cat >/mnt/bin/iptables-save <<EOF
#!/bin/sh
$iptables-save | while IFS= read -r line; do
  case \\$line in
    :WEIR-RAW*) printf ":WEIR-R"; echo "# Warning: iptables-legacy tables present, use iptables-legacy-save to see them" >&2; echo "AW - [0:0]" ;;
    *) printf "%s\\\\n" "\\$line" ;;
  esac
done
EOF
      chmod 755 /mnt/bin/iptables-save
      boot newer
      ours | grep -c RAW || :`);
      expect(said).toEqual(['0']);
    });

    test.runIf(iptables === 'iptables-nft' && programs.length === 2)(
      'that the legacy one took while the other could not go when it can',
      () => {
        const said = on(`
          for part in "" -save -restore; do rm "/mnt/bin/iptables-legacy$part"; ln -s "$(PATH=/usr/sbin:/sbin command -v "iptables-legacy$part")" "/mnt/bin/iptables-legacy$part"; done
          rm /mnt/bin/iptables-restore
          printf '#!/bin/sh\\necho "Extension ipvs revision 0 not supported" >&2\\nexit 1\\n' >/mnt/bin/iptables-restore
          chmod 755 /mnt/bin/iptables-restore
          boot older
          iptables-legacy-save | grep -c WEIR-; ours | grep -c WEIR- || :
          rm /mnt/bin/iptables-restore
          ln -s "$(PATH=/usr/sbin:/sbin command -v iptables-nft-restore)" /mnt/bin/iptables-restore
          boot newer
          iptables-legacy-save | grep -c WEIR- || :
          ours | grep -c WEIR-`);
        expect(said).toEqual(['9', '0', '0', '17']);
      },
    );
  },
);
