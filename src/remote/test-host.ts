/**
 * One test host: an sshd in namespaces of its own, which end when it ends. Imported by test-hosts.ts alone.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, watch } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { messageOf, WeirError } from '../domain/errors.ts';
import { type ProgramOptions, type Ran, runProgram } from './program.ts';
import { programPath } from './test-host-needs.ts';

export interface TestHost {
  readonly name: string;
  /** Process 1 of the host, as this machine counts. */
  readonly pid: number;
  /**
   * `/proc/PID/root`: the host's file system, for node:fs. An absolute symbolic link in it is followed from this
   * machine's root, so read such paths with `exec`.
   */
  readonly root: string;
  /** sshd's words, and those of the set-up. */
  readonly logFile: string;
  /**
   * Runs a program on the host as root, without ssh: an argument array, looked up on the host. Ends when the
   * program has ended and its output is closed, so a daemon must be started with its output elsewhere.
   */
  exec(argv: readonly string[], options?: TestHostExecOptions): Promise<Ran>;
  /** Switches the power off. What was on the host's disk is gone. Resolves when nothing of it runs any more. */
  stop(): Promise<void>;
}

export interface TestHostExecOptions extends Omit<ProgramOptions, 'env' | 'kill'> {
  /** Added to PATH, HOME and LANG. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A running host's process, before it has a public face. */
export interface HostProcess extends TestHost {
  /** Resolves when the host is gone, for whatever reason. */
  readonly gone: Promise<void>;
}

/** The host's files that the set-up script puts into /etc/ssh. */
const sshFiles = ['sshd_config', 'ssh_host_ed25519_key', 'ssh_host_ed25519_key.pub', 'authorized_keys'] as const;

/** Set-up and sshd take a tenth of a second on an idle core; ms. */
const startTimeoutMs = 60_000;

/** The longest name that the kernel holds; sethostname(2). */
const longestNodeName = 64;

/**
 * Makes the host's file system, then becomes its sshd. /etc, /var and /usr/local are copies on write; /run, /root, /home,
 * /tmp and /usr/local/etc are empty; the rest of the root file system, and what sysctls are the whole machine's,
 * cannot be written. All that is written lies in one tmpfs.
 *
 * The first two lines of talk make sure of the parent: it gets the process ID as it counts, and if it dies before it
 * answers, `read` fails; later, it is the parent-death signals of setpriv and unshare that end the host.
 */
export const setUp = `
set -eu
read -r pid rest </proc/self/stat
echo "$pid"
read -r answer
cd "$WEIR_HOST_FILES"
echo "$WEIR_HOST_NODE" >/proc/sys/kernel/hostname
mount -t proc proc /proc
for folder in kernel vm fs; do mount --bind -o ro "/proc/sys/$folder" "/proc/sys/$folder"; done
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=0755,size=256m weir-test-host /tmp
mkdir -p /tmp/etc /tmp/var /tmp/usr/local /tmp/work/etc /tmp/work/var /tmp/work/usr/local /tmp/run/sshd /tmp/run/lock
mkdir -m 0755 /tmp/home
mkdir -m 0700 /tmp/root
mkdir -m 1777 /tmp/tmp
for folder in etc var usr/local; do
  mount -t overlay -o "lowerdir=/$folder,upperdir=/tmp/$folder,workdir=/tmp/work/$folder" weir-test-host "/$folder"
done
mount -o remount,bind,ro /
mount --bind /tmp/run /run
mount --bind /tmp/home /home
mount --bind /tmp/root /root
mount --bind /tmp/tmp /tmp
rm -rf /etc/ssh /etc/weir /etc/keepalived /etc/frr/frr.conf /var/lib/weir /usr/local/etc
mkdir -p /etc/ssh /usr/local/etc
cp -p ${sshFiles.join(' ')} /etc/ssh/
echo "$WEIR_HOST_NODE" >/etc/hostname
echo "127.0.1.1 $WEIR_HOST_NAME" >>/etc/hosts
# No password, and not locked either: without PAM, sshd refuses root where its password begins with "!".
sed -i 's/^root:.*/root:*:::::::/' /etc/shadow
ip link set lo up
# Without delayed acknowledgements (40 ms each): they are most of the time of a short session.
ip route change local 127.0.0.1 dev lo table local proto kernel scope host src 127.0.0.1 quickack 1
cd /
exec "$(command -v sshd)" -D -e -f /etc/ssh/sshd_config </dev/null >/dev/null
`;

interface HostFiles {
  /** Holds sshFiles; the log is made in it. */
  readonly folder: string;
  /** Holds setUp. A file, since an argument would be seen by whoever looks for daemons with `pgrep -f`. */
  readonly setUpFile: string;
}

/** Resolves when the host's sshd listens. */
export async function startHost(name: string, { folder, setUpFile }: HostFiles): Promise<HostProcess> {
  const logFile = join(folder, 'log');
  const log = await open(logFile, 'w');
  const child: ChildProcess = spawn('setpriv', hostArguments(setUpFile), {
    env: {
      PATH: programPath,
      WEIR_HOST_FILES: folder,
      WEIR_HOST_NAME: name,
      WEIR_HOST_NODE: name.length <= longestNodeName ? name : (name.split('.')[0] ?? name),
    },
    stdio: ['pipe', 'pipe', log.fd],
    // Ctrl-C at a terminal goes to Weir alone, which then closes its hosts.
    detached: true,
  });
  const gone = endOf(child);
  await log.close();
  try {
    const pid = await shakeHands(child.stdin, child.stdout);
    await listening(logFile, gone);
    return runningHost({ name, pid, logFile, gone });
  } catch (error) {
    child.kill('SIGKILL');
    await gone;
    const words = (await readFile(logFile, 'utf8').catch(() => '')).trim();
    const message = `The test host ${name} did not start: ${messageOf(error)}: ${words}`;
    throw new WeirError('remote', message, { cause: error });
  }
}

/**
 * setpriv: unshare is killed when this process dies. --kill-child: the host's process 1 is killed when unshare dies,
 * and the kernel kills a PID namespace along with its process 1.
 */
function hostArguments(setUpFile: string): string[] {
  const namespaces = ['--mount', '--net', '--pid', '--uts', '--ipc'];
  return ['--pdeathsig', 'KILL', '--', 'unshare', ...namespaces, '--fork', '--kill-child', 'sh', setUpFile];
}

function endOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('close', () => resolve());
    child.once('error', () => resolve());
  });
}

/** The process ID of the host's process 1, which then goes on. */
async function shakeHands(stdin: Writable | null, stdout: Readable | null): Promise<number> {
  if (!stdin || !stdout) throw new Error('no pipes: this process is out of file descriptors');
  stdin.on('error', () => {});
  const reader = createInterface({ input: stdout });
  try {
    const [line] = await Promise.race([once(reader, 'line'), once(reader, 'close')]);
    if (line === undefined) throw new Error('the set-up ended at once');
    stdin.end('go\n');
    return Number(line);
  } finally {
    reader.close();
    stdout.resume();
  }
}

/** Resolves when sshd says in its log that it listens. */
function listening(logFile: string, gone: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const watcher = watch(logFile, () => void look());
    const timer = setTimeout(() => settle(new Error(`no sshd after ${startTimeoutMs} ms`)), startTimeoutMs);
    watcher.on('error', settle);
    void gone.then(() => settle(new Error('its process ended')));
    void look();

    async function look(): Promise<void> {
      const words = await readFile(logFile, 'utf8').catch(() => '');
      if (words.includes('Server listening on')) settle();
    }

    function settle(failure?: Error): void {
      clearTimeout(timer);
      watcher.close();
      if (failure) reject(failure);
      else resolve();
    }
  });
}

interface Running {
  readonly name: string;
  readonly pid: number;
  readonly logFile: string;
  readonly gone: Promise<void>;
}

function runningHost({ name, pid, logFile, gone }: Running): HostProcess {
  const programs = new Set<Promise<unknown>>();
  let alive = true;
  const ended = gone.then(() => void (alive = false));

  function exec(argv: readonly string[], options: TestHostExecOptions = {}): Promise<Ran> {
    if (!alive) return Promise.reject(new WeirError('remote', `The test host ${name} is not running`));
    const running = runProgram('setpriv', execArguments(pid, argv), {
      ...options,
      env: { PATH: programPath, HOME: '/root', LANG: 'C.UTF-8', ...options.env },
      kill: killInside,
    });
    const forget = (): void => void programs.delete(running);
    programs.add(running);
    running.then(forget, forget);
    return running;
  }

  async function stop(): Promise<void> {
    if (alive) switchOff(pid);
    await ended;
    await Promise.allSettled(programs);
  }

  return { name, pid, root: `/proc/${pid}/root`, logFile, exec, stop, gone: ended };
}

function switchOff(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has just gone by itself.
  }
}

/** The inner setpriv ends the program where nsenter, outside, dies along with this process. */
function execArguments(pid: number, argv: readonly string[]): string[] {
  const mortal = ['--pdeathsig', 'KILL', '--'];
  const namespaces = ['--mount', '--net', '--pid', '--uts', '--ipc'];
  return [...mortal, 'nsenter', '--target', String(pid), ...namespaces, '--', 'setpriv', ...mortal, ...argv];
}

/**
 * Ends the program, and nsenter then ends with it. The other way round the program would be left to this machine's
 * process 1, and until that has reaped it (in a container, perhaps never) the host could not end.
 */
function killInside(nsenter: ChildProcess): void {
  try {
    const children = readFileSync(`/proc/${nsenter.pid}/task/${nsenter.pid}/children`, 'utf8').trim();
    if (children === '') nsenter.kill('SIGKILL');
    else for (const child of children.split(' ')) process.kill(Number(child), 'SIGKILL');
  } catch {
    // It has just ended by itself.
  }
}
