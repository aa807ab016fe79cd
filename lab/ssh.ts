/**
 * SSH into a lab: keys, an ssh_config that reaches every LB by its name through the management net, and commands over
 * one connection that stays open, since a cold one costs a guest almost a second.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WeirError } from '../src/domain/errors.ts';
import { type ProgramOptions, type Ran, runProgram } from '../src/remote/program.ts';
import type { Cell } from './cell.ts';
import { programPath } from './needs.ts';
import type { LbPlan } from './topology.ts';
import { waitFor } from './wait.ts';

export interface SshFiles {
  /** For `ssh -F`, from this machine's own network. */
  readonly configFile: string;
  /** The same for a process of the cell that has this machine's network. */
  readonly configFileBeside: string;
  /** The client's key; the public one is beside it. */
  readonly clientKey: string;
  /** Private host keys, by the LB's name. */
  readonly hostKeys: ReadonlyMap<string, string>;
}

export interface SshLink {
  /** Resolves when the machine has answered. Later commands use that connection. */
  open(): Promise<void>;
  /** Drops the connection, without the machine's help. */
  drop(): Promise<void>;
  exec(command: string | readonly string[], options?: ExecOptions): Promise<Ran>;
}

export type ExecOptions = Omit<ProgramOptions, 'env' | 'kill'>;

const environment = { PATH: programPath, HOME: '/root', LANG: 'C.UTF-8' };

/** Where they lie, made or not. */
export function sshFilesIn(folder: string, lbs: readonly LbPlan[]): SshFiles {
  return {
    configFile: join(folder, 'ssh_config'),
    configFileBeside: join(folder, 'ssh_config.beside'),
    clientKey: join(folder, 'id_ed25519'),
    hostKeys: new Map(lbs.map(({ name }) => [name, join(folder, `${name}.key`)])),
  };
}

export async function makeSshFiles(cell: Cell, folder: string, lbs: readonly LbPlan[]): Promise<SshFiles> {
  await mkdir(folder, { mode: 0o700 });
  const files = sshFilesIn(folder, lbs);
  const { hostKeys, clientKey } = files;
  await Promise.all([clientKey, ...hostKeys.values()].map((file) => makeKey(cell, file)));
  const known = await Promise.all(
    lbs.map(async ({ name }) => `${name} ${await publicPart(hostKeys.get(name) ?? '')}\n`),
  );
  await writeFile(join(folder, 'known_hosts'), known.join(''));
  await writeFile(files.configFile, sshConfig(cell.networkFile('manager'), folder, lbs));
  await writeFile(files.configFileBeside, sshConfig(cell.networkPath('manager'), folder, lbs));
  return files;
}

async function makeKey(cell: Cell, file: string): Promise<void> {
  await cell.must('fabric', ['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'weir-lab', '-f', file]);
}

/** Type and key, without the comment. */
export async function publicPart(file: string): Promise<string> {
  const [type, text] = (await readFile(`${file}.pub`, 'utf8')).split(' ');
  return `${type} ${text}`;
}

/**
 * nc connects from the manager's network and passes the socket on (-F), so that no process stands between ssh and sshd;
 * ssh's ConnectTimeout does not count that time, hence -w. The key exchange is a quick one: OpenSSH 9's default,
 * sntrup761x25519, takes most of the time of a cold session with a guest.
 */
function sshConfig(manager: string, folder: string, lbs: readonly LbPlan[]): string {
  const hosts = lbs.map(({ name, management }) => `Host ${name}\n  HostName ${management}\n  HostKeyAlias ${name}\n`);
  return `${hosts.join('')}Host *
  User root
  IdentityFile ${folder}/id_ed25519
  IdentitiesOnly yes
  IdentityAgent none
  PreferredAuthentications publickey
  BatchMode yes
  KexAlgorithms curve25519-sha256
  StrictHostKeyChecking yes
  UserKnownHostsFile ${folder}/known_hosts
  GlobalKnownHostsFile none
  ProxyUseFdpass yes
  ProxyCommand nsenter --net=${manager} nc.openbsd -F -w 10 %h %p
`;
}

/** An sshd that asks nobody anything: no PAM, no DNS. */
export function sshdConfig(address: string, share: string): string {
  return `ListenAddress ${address}
HostKey ${share}/host_key
AuthorizedKeysFile ${share}/authorized_keys
StrictModes no
PidFile /run/sshd.pid
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
PrintLastLog no
MaxStartups 100
MaxSessions 100
Subsystem sftp internal-sftp
`;
}

export function linkTo(name: string, { configFile }: SshFiles): SshLink {
  const socket = join(configFile, '..', `${name}.sock`);
  const common = ['-F', configFile, '-T', '-o', 'LogLevel=ERROR', '-o', 'ConnectTimeout=10'];
  let master: ChildProcess | undefined;

  async function open(): Promise<void> {
    await drop();
    // The connection ends with this process.
    const args = [...common, '-N', '-o', 'ControlMaster=yes', '-o', `ControlPath=${socket}`, '--', name];
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'ssh', ...args], {
      env: environment,
      stdio: 'ignore',
    });
    const ended = new AbortController();
    child.once('close', () => ended.abort(new WeirError('remote', `ssh to ${name} ended`)));
    child.unref();
    master = child;
    await waitFor(`an answer of ${name}`, () => existsSync(socket), { timeoutMs: 30_000, signal: ended.signal });
  }

  async function drop(): Promise<void> {
    if (master && master.exitCode === null && master.signalCode === null) {
      const closed = once(master, 'close');
      master.kill('SIGKILL');
      await closed;
    }
    master = undefined;
    await rm(socket, { force: true });
  }

  function exec(command: string | readonly string[], options: ExecOptions = {}): Promise<Ran> {
    const words = typeof command === 'string' ? command : commandOf(command);
    const args = [...common, '-o', 'ControlMaster=no', '-o', `ControlPath=${socket}`, '--', name, words];
    return runProgram('ssh', args, { ...options, env: environment });
  }

  return { open, drop, exec };
}

/** ssh hands one text to the machine's shell: words that it would not take as they are have to go by standard input. */
export function commandOf(words: readonly string[]): string {
  // A first word with an equals sign would be an assignment.
  const odd = words.find((word, i) => !/^[\w@%+=:,./-]+$/.test(word) || (i === 0 && word.includes('=')));
  if (odd === undefined) return words.join(' ');
  throw new WeirError('usage', `A shell would not take this word as it is: ${JSON.stringify(odd)}`, {
    hint: 'give data on standard input, or a constant script as one text',
  });
}
