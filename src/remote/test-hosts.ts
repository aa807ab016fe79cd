/**
 * Test hosts: machines with a real sshd for tests, benchmarks and `weir serve --demo`. Each has its own network,
 * processes and writable folders, and is reached by ssh with the generated `configFile`; the network and the files of
 * the machine that they run on are not touched. They die with the process that opened them, however that dies.
 * May be imported by demo.ts, tests and benchmarks; needs root on Linux, see whyNoTestHosts.
 */
import { readFileSync, rmSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import pLimit from 'p-limit';
import { WeirError } from '../domain/errors.ts';
import { runProgram } from './program.ts';
import { programPath, whyNoTestHosts } from './test-host-needs.ts';
import { type HostProcess, setUp, startHost, type TestHost } from './test-host.ts';

export type { TestHost } from './test-host.ts';
export { whyNoTestHosts } from './test-host-needs.ts';

export interface TestHosts {
  /** For `ssh -F`: reaches every host that runs by its name. */
  readonly configFile: string;
  readonly directory: string;
  /**
   * Starts a host; resolves when its sshd listens. A name that ran before comes back with its host key and a fresh
   * disk. Several may start at once.
   */
  start(name: string): Promise<TestHost>;
  /** All of them, in the order of the names, or none: a failure stops those that had started. */
  startMany(names: readonly string[], parallel?: number): Promise<TestHost[]>;
  /** Stops all hosts and removes the folder. */
  close(): Promise<void>;
}

export interface TestHostsOptions {
  /** Where the hosts' own folder is made; default: the system's folder for temporary files. */
  readonly directory?: string;
}

const folderPrefix = 'weir-test-hosts-';

/** Some settings come with a version of OpenSSH only. */
const sshdConfig = `# A test host of Weir.
ListenAddress 127.0.0.1
Port 22
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/authorized_keys
PidFile /run/sshd.pid
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
PrintLastLog no
MaxStartups 1000
MaxSessions 1000
LogLevel INFO
Subsystem sftp internal-sftp
`;

/** From OpenSSH 9.8 on, sshd shuts out an address that failed often: here all clients have the same one. */
const noPenalties = 'PerSourcePenalties no\n';

export async function openTestHosts(options: TestHostsOptions = {}): Promise<TestHosts> {
  const reason = whyNoTestHosts();
  if (reason !== undefined) throw new WeirError('unavailable', reason);
  const parent = resolve(options.directory ?? tmpdir());
  await mkdir(parent, { recursive: true });
  await removeStale(parent);
  const directory = await mkdtemp(join(parent, `${folderPrefix}${await ownerName()}-`));
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  process.once('exit', remove);
  try {
    await writeCommonFiles(directory);
  } catch (error) {
    process.off('exit', remove);
    remove();
    throw error;
  }
  return openedHosts(directory, () => process.off('exit', remove));
}

function openedHosts(directory: string, closed: () => void): TestHosts {
  const hosts = new Map<string, Promise<HostProcess>>();
  let open = true;

  async function start(name: string): Promise<TestHost> {
    if (!open) throw new WeirError('unavailable', 'The test hosts are closed');
    checkHostName(name);
    if (hosts.has(name)) throw new WeirError('exists', `The test host ${name} runs already`);
    const starting = bringUp(directory, name, () => hosts.delete(name));
    hosts.set(name, starting);
    starting.catch(() => hosts.delete(name));
    return starting;
  }

  async function startMany(names: readonly string[], parallel = 2 * availableParallelism()): Promise<TestHost[]> {
    const limit = pLimit(parallel);
    const outcomes = await Promise.allSettled(names.map((name) => limit(() => start(name))));
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    const started = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    if (!failed) return started;
    await Promise.all(started.map((host) => host.stop()));
    throw failed.reason;
  }

  async function close(): Promise<void> {
    open = false;
    const outcomes = await Promise.allSettled(hosts.values());
    const running = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    await Promise.all(running.map((host) => host.stop()));
    await rm(directory, { recursive: true, force: true });
    closed();
  }

  return { configFile: join(directory, 'ssh_config'), directory, start, startMany, close };
}

async function bringUp(directory: string, name: string, forget: () => void): Promise<HostProcess> {
  const folder = join(directory, 'hosts', name);
  const network = join(folder, 'net');
  await writeHostFiles(directory, folder);
  const host = await startHost(name, { folder, setUpFile: join(directory, 'set-up') });
  await symlink(`/proc/${host.pid}/ns/net`, network);
  // Its process ID will be given to others: the name must not lead there.
  const gone = host.gone.then(() => rm(network, { force: true })).then(forget);
  return { ...host, gone, stop: () => host.stop().then(() => gone) };
}

/** RFC 1123: such a name is also safe as a file's name and in ssh_config. */
function checkHostName(name: string): void {
  const label = '[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?';
  if (name.length <= 253 && new RegExp(`^${label}(\\.${label})*$`).test(name)) return;
  throw new WeirError('invalid', `Not a host name (RFC 1123): ${JSON.stringify(name)}`);
}

async function writeCommonFiles(directory: string): Promise<void> {
  await makeKey(join(directory, 'id_ed25519'), 'weir');
  await writeFile(join(directory, 'ssh_config'), sshConfig(directory));
  await writeFile(join(directory, 'set-up'), setUp);
  await writeFile(join(directory, 'sshd_config'), (await hasPenalties()) ? sshdConfig + noPenalties : sshdConfig);
}

/**
 * The same for all hosts, by ssh_config's tokens: %n is the name as it was asked for. nc connects inside the host's
 * network and passes the connected socket on (-F), so that no process stands between ssh and sshd; ssh's
 * ConnectTimeout does not count that time, hence -w. The key exchange
 * is a quick one: OpenSSH 9's default, sntrup761x25519, takes more than half of the time of a session.
 */
function sshConfig(directory: string): string {
  // The folder stands in a line that ssh gives to a shell.
  if (!/^[\w/.+-]+$/.test(directory)) {
    throw new WeirError('unavailable', `Test hosts cannot lie in ${directory}`, {
      hint: 'choose a folder whose path has letters, digits and /._+- only, for instance by TMPDIR',
    });
  }
  return `Host *
  User root
  IdentityFile ${directory}/id_ed25519
  IdentitiesOnly yes
  IdentityAgent none
  PreferredAuthentications publickey
  KexAlgorithms curve25519-sha256
  UserKnownHostsFile ${directory}/hosts/%n/known_hosts
  GlobalKnownHostsFile none
  ProxyUseFdpass yes
  ProxyCommand nsenter --net=${directory}/hosts/%n/net nc.openbsd -F -w 10 127.0.0.1 %p
`;
}

async function hasPenalties(): Promise<boolean> {
  const { stderr } = await runProgram('ssh', ['-V'], { env: { PATH: programPath } });
  const [, major = '0', minor = '0'] = /^OpenSSH_(\d+)\.(\d+)/.exec(stderr) ?? [];
  return Number(major) > 9 || (Number(major) === 9 && Number(minor) >= 8);
}

async function writeHostFiles(directory: string, folder: string): Promise<void> {
  const key = join(folder, 'ssh_host_ed25519_key');
  const hasKey = await stat(key).then(
    () => true,
    () => false,
  );
  if (hasKey) return;
  await mkdir(folder, { recursive: true });
  await makeKey(key, 'host');
  const [type, text] = (await readFile(`${key}.pub`, 'utf8')).split(' ');
  // Whatever address the name is reached by: the file is this host's alone.
  await writeFile(join(folder, 'known_hosts'), `* ${type} ${text}\n`);
  await copyFile(join(directory, 'sshd_config'), join(folder, 'sshd_config'));
  await copyFile(join(directory, 'id_ed25519.pub'), join(folder, 'authorized_keys'));
}

async function makeKey(file: string, comment: string): Promise<void> {
  const args = ['-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', file];
  const { code, stderr } = await runProgram('ssh-keygen', args, { env: { PATH: programPath } });
  if (code !== 0) throw new WeirError('failed', `ssh-keygen could not make ${file}: ${stderr.trim()}`);
}

/** Names this process among all that ran or will run: its PID namespace, its ID there, and when it started. */
async function ownerName(): Promise<string> {
  return `${await pidNamespace()}-${process.pid}-${startTimeOf(process.pid)}`;
}

/** Removes the folders of owners that are dead; those of other PID namespaces cannot be judged from here. */
async function removeStale(parent: string): Promise<void> {
  const namespace = await pidNamespace();
  for (const entry of await readdir(parent)) {
    const [, ofNamespace, pid, startTime] = /^weir-test-hosts-(\d+)-(\d+)-(\d+)-\w+$/.exec(entry) ?? [];
    if (ofNamespace !== namespace || startTimeOf(Number(pid)) === startTime) continue;
    await rm(join(parent, entry), { recursive: true, force: true });
  }
}

async function pidNamespace(): Promise<string> {
  return /\d+/.exec(await readlink('/proc/self/ns/pid'))?.[0] ?? '0';
}

/** Clock ticks from the boot to the start of a process: field 22 of /proc/PID/stat, proc(5); undefined if it is gone. */
function startTimeOf(pid: number): string | undefined {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field, the name, may hold blanks and brackets.
    return line.slice(line.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
