/**
 * The real keepalived and FRR of this machine, asked what they think of a release, as publishing asks
 * them on an LB: keepalived from a live path on, through its includes. Only tests import it.
 */
// oxlint-disable-next-line no-restricted-imports -- runs real programs
import { spawnSync } from 'node:child_process';
// oxlint-disable-next-line no-restricted-imports -- runs real programs
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
// oxlint-disable-next-line no-restricted-imports -- runs real programs
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { Release } from '../cluster.ts';
import { textsOf } from './releases.ts';

export interface Verdict {
  status: number | null;
  /** Everything that the tool said, deduplicated. */
  messages: string[];
}

/** What a tool says of a file that is good. */
export const good: Verdict = { status: 0, messages: [] };

function answers(program: string, args: readonly string[]): string | undefined {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  return status === 0 ? stdout + stderr : undefined;
}

/** Whether mainline keepalived 2 is here. */
export const hasKeepalived = /Keepalived v2\./.test(answers('keepalived', ['-v']) ?? '');

const ospfd = ['/usr/lib/frr/ospfd', '/usr/libexec/frr/ospfd', '/usr/lib64/frr/ospfd'].find(
  (path) => answers(path, ['--version']) !== undefined,
);

/** User and group that FRR's daemons become when they start as root. */
const frrIds = ['-u', '-g'].map((flag) => Number(answers('id', [flag, 'frr']) ?? Number.NaN));

/** Whether FRR is here with all that asking it needs. */
export const hasFrr = ospfd !== undefined && answers('vtysh', ['--help']) !== undefined && process.getuid?.() === 0;

/** Runs with a folder that everybody can read, and removes it. */
function inFolder<T>(run: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'weir-render-'));
  chmodSync(folder, 0o755);
  try {
    return run(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function ask(program: string, args: readonly string[]): Verdict {
  const { pid, status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: 20_000 });
  forget(`${program}.${pid}`);
  return { status, messages: [...new Set(`${stdout}${stderr}`.split('\n').filter((line) => line !== ''))] };
}

/** FRR's daemons leave a folder behind at every start. */
function forget(program: string): void {
  const folder = join('/var/tmp/frr', basename(program));
  if (existsSync(folder)) rmdirSync(folder);
}

/** `keepalived -t` of a release; `change` may spoil its texts first. */
export function keepalivedSays(release: Release, change: (text: string) => string = (text) => text): Verdict {
  return inFolder((folder) => {
    for (const [path, text] of textsOf(release)) {
      if (!path.startsWith('keepalived/')) continue;
      const file = join(folder, 'releases', release.id, path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, change(text));
    }
    symlinkSync(`releases/${release.id}`, join(folder, 'current'));
    const live = join(folder, 'keepalived.conf');
    writeFileSync(live, `include ${folder}/current/keepalived/entry.conf\n`);
    return ask('keepalived', ['-t', '-l', '-f', live]);
  });
}

/** `vtysh -C` of an frr.conf: the words of all daemons. */
export function vtyshSays(text: string): Verdict {
  return inFolder((folder) => ask('vtysh', ['-C', '-f', written(folder, text)]));
}

/**
 * `ospfd -C` of an frr.conf: what the words mean. It reads as user frr, says nothing with its code, and
 * complains about the words of other daemons, which are left out here.
 */
export function ospfdSays(text: string): Verdict {
  return inFolder((folder) => {
    const { status, messages } = ask(ospfd ?? '', ['-C', '-f', written(folder, text)]);
    return {
      status,
      messages: messages.filter((m) => !/No such command on config line \d+: no ipv6 forwarding$/.test(m)),
    };
  });
}

function written(folder: string, text: string): string {
  const path = join(folder, 'frr.conf');
  writeFileSync(path, text, { mode: 0o640 });
  const [uid = 0, gid = 0] = frrIds;
  chownSync(path, uid, gid);
  return path;
}

/**
 * Runs in a network namespace of its own: daemons that load a file, and what they then print.
 * Daemons have gone to the background when they can be asked.
 */
const runningScript = String.raw`
set -u
echo 1 >/proc/sys/net/ipv4/ip_forward
for daemon in $3; do
  control=
  [ "$daemon" != bfdd ] || control="--bfdctl $1/bfdd.sock"
  "$2/$daemon" -d -P 0 -f "$1/none" -i "$1/$daemon.pid" -z "$1/zserv.api" --vty_socket "$1" $control 2>/dev/null || exit 9
done
vtysh --vty_socket "$1" --config_dir "$1" -b 2>&1 | grep -v ZEBRA >&2
vtysh --vty_socket "$1" --config_dir "$1" -c "show running-config"
for daemon in $3; do
  read -r pid <"$1/$daemon.pid"
  kill "$pid"
  echo "$daemon.$pid"
done
`;

/** What zebra and ospfd, and others that are asked for, print as their running configuration after they loaded an frr.conf. */
export function frrRuns(text: string, more: readonly 'bfdd'[] = []): Verdict {
  return inFolder((folder) => {
    const [uid = 0, gid = 0] = frrIds;
    written(folder, text);
    for (const name of ['vtysh.conf', 'none']) writeFileSync(join(folder, name), '');
    chownSync(folder, uid, gid);
    const daemons = ['zebra', ...more, 'ospfd'];
    const args = ['-n', 'sh', '-c', runningScript, 'sh', folder, dirname(ospfd ?? ''), daemons.join(' ')];
    const { status, stdout, stderr } = spawnSync('unshare', args, { encoding: 'utf8', timeout: 60_000 });
    const lines = stdout.trimEnd().split('\n');
    for (const daemon of lines.splice(-daemons.length)) forget(daemon);
    return { status, messages: [...stderr.split('\n'), ...lines] };
  });
}
