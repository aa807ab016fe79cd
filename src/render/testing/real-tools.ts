/**
 * The real keepalived and FRR of this machine, asked what they think of a release, as publishing asks
 * them on an LB: keepalived from a live path on, through its includes. Only tests import it.
 */
// oxlint-disable-next-line no-restricted-imports -- runs real programs
import { execFile, spawnSync } from 'node:child_process';
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

/** Writes a release as it lies on an LB; the path of its live file. `change` may spoil its texts first. */
function laidOut(folder: string, release: Release, change: Change): string {
  for (const [path, text] of textsOf(release)) {
    if (!path.startsWith('keepalived/')) continue;
    const file = join(folder, 'releases', release.id, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, change(text));
  }
  symlinkSync(`releases/${release.id}`, join(folder, 'current'));
  const live = join(folder, 'keepalived.conf');
  writeFileSync(live, `include ${folder}/current/keepalived/entry.conf\n`);
  return live;
}

export type Change = (text: string) => string;

const unchanged: Change = (text) => text;

/** `keepalived -t` of a release. */
export function keepalivedSays(release: Release, change = unchanged): Verdict {
  return inFolder((folder) => ask('keepalived', ['-t', '-l', '-f', laidOut(folder, release, change)]));
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
  return inFolder((folder) => ofOspfd(ask(ospfd ?? '', ['-C', '-f', written(folder, text)])));
}

function ofOspfd({ status, messages }: Verdict): Verdict {
  return {
    status,
    messages: messages.filter((m) => !/No such command on config line \d+: no ipv6 forwarding$/.test(m)),
  };
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

// many at once -----------------------------------------------------------------------------------

/** Of programs that run at once: each waits for the disk and the loader for much of its time. */
const AT_ONCE = 4;

/** As `ask`, without holding this process up. */
function asked(program: string, args: readonly string[]): Promise<Verdict> {
  return new Promise((resolve) => {
    const child = execFile(program, args, { timeout: 60_000 }, (error, stdout, stderr) => {
      forget(`${program}.${child.pid}`);
      const code = error ? error.code : 0;
      const messages = [...new Set(`${stdout}${stderr}`.split('\n').filter((line) => line !== ''))];
      resolve({ status: typeof code === 'number' ? code : null, messages });
    });
  });
}

/** Answers in the order of the things; some are worked on at once, each in a folder of its own. */
async function ofAll<T>(
  things: readonly T[],
  work: (thing: T, folder: string) => Promise<Verdict>,
): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  let next = 0;
  const worker = async (folder: string): Promise<void> => {
    for (let i = next++; i < things.length; i = next++) {
      const own = join(folder, String(i));
      mkdirSync(own);
      verdicts[i] = await work(things[i] as T, own);
      rmSync(own, { recursive: true });
    }
  };
  const folder = mkdtempSync(join(tmpdir(), 'weir-render-'));
  chmodSync(folder, 0o755);
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, () => worker(folder)));
  } finally {
    rmSync(folder, { recursive: true });
  }
  return verdicts;
}

/** `keepalived -t` of each release, from its live path on. */
export function keepalivedSaysOfAll(releases: readonly Release[], change = unchanged): Promise<Verdict[]> {
  return ofAll(releases, (release, folder) =>
    asked('keepalived', ['-t', '-l', '-f', laidOut(folder, release, change)]),
  );
}

/** `ospfd -C` of each frr.conf. */
export function ospfdSaysOfAll(texts: readonly string[]): Promise<Verdict[]> {
  return ofAll(texts, async (text, folder) => ofOspfd(await asked(ospfd ?? '', ['-C', '-f', written(folder, text)])));
}

/** Files that one vtysh reads one after the other: it looks at each line by itself, so that they do not meet. */
const BATCH = 50;

/** `vtysh -C` of each frr.conf. */
export async function vtyshSaysOfAll(texts: readonly string[]): Promise<Verdict[]> {
  const batches = Array.from({ length: Math.ceil(texts.length / BATCH) }, (_, i) =>
    texts.slice(i * BATCH, (i + 1) * BATCH),
  );
  const verdicts = await ofAll(batches, (batch, folder) =>
    asked('vtysh', ['-C', '-f', written(folder, batch.join(''))]),
  );
  return batches.flatMap((batch, i) => ofEach(batch, verdicts[i] ?? { status: null, messages: [] }));
}

/** The verdict on several files as those on each, by the numbers of lines. */
function ofEach(batch: readonly string[], { status, messages }: Verdict): Verdict[] {
  const verdicts = batch.map((): Verdict => ({ ...good, messages: [] }));
  const ends: number[] = [];
  for (const text of batch) ends.push((ends.at(-1) ?? 0) + text.split('\n').length - 1);
  for (const message of messages) {
    const line = Number(/^line (\d+):/.exec(message)?.[1] ?? Number.NaN);
    const at = ends.findIndex((end) => line <= end);
    // What names no line is said of all.
    for (const verdict of at < 0 ? verdicts : verdicts.slice(at, at + 1)) verdict.messages.push(message);
  }
  return verdicts.map((verdict) => ({
    ...verdict,
    status: messages.length === 0 || verdict.messages.length > 0 ? status : 0,
  }));
}
