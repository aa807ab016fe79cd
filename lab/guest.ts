/**
 * An LB as a User-Mode Linux guest: its own kernel, with IPVS, over this machine's files. Everything that is needed to
 * boot and to end one lies in its folder and in /proc, so that another process can do it too.
 */
import { existsSync, readFileSync } from 'node:fs';
import { chmod, copyFile, mkdir, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, WeirError } from '../src/domain/errors.ts';
import type { Cell } from './cell.ts';
import { guestInit, persistentFolders, shareInside } from './guest-init.ts';
import { type SshFiles, sshdConfig } from './ssh.ts';
import { type LbPlan, routerAddress } from './topology.ts';
import { waitFor } from './wait.ts';

export interface GuestOptions {
  /** The lab's folder. */
  readonly folder: string;
  readonly plan: LbPlan;
  readonly ssh: SshFiles;
  /** MiB of the guest; 64 is too little. */
  readonly memory: number;
  readonly bfd: boolean;
}

export interface Guest {
  /** What it said since the lab was opened: the kernel's words and the boot's. */
  readonly console: string;
  /** Written by it and seen here: `disk/` holds its persistent folders, `log/` its syslog. */
  readonly share: string;
  /** Resolves when its daemons run; rejects, with the console's last words, where they do not. */
  boot(): Promise<void>;
  /** Cuts the power. Resolves when nothing of it is left. */
  kill(): Promise<void>;
  running(): Promise<boolean>;
}

/** An idle machine takes a tenth of it. */
const bootTimeoutMs = 90_000;

export async function makeGuest(cell: Cell, options: GuestOptions): Promise<Guest> {
  const { folder, plan } = options;
  const own = join(folder, plan.name);
  const share = join(own, 'share');
  const console = join(own, 'console.log');
  const marks = [`umid=${plan.name}`, `uml_dir=${join(folder, 'uml')}/`];
  await writeShare(cell, share, options);
  await writeFile(join(own, 'init'), guestInit, { mode: 0o755 });

  async function boot(): Promise<void> {
    if (await running()) throw new WeirError('exists', `${plan.name} runs already`);
    await rm(join(share, 'ready'), { force: true });
    await rm(join(folder, 'uml', plan.name), { recursive: true, force: true });
    await mkdir(join(folder, 'uml'), { recursive: true });
    const output = await open(console, 'a');
    const child = cell.start('fabric', kernelCommand(own, options, marks), output.fd);
    const ended = new AbortController();
    child.once('close', () => ended.abort(new WeirError('failed', 'its process ended')));
    await output.close();
    try {
      const isReady = (): boolean => existsSync(join(share, 'ready'));
      await waitFor('its daemons', isReady, { timeoutMs: bootTimeoutMs, signal: ended.signal });
    } catch (error) {
      await kill();
      const words = (await readFile(console, 'utf8')).trimEnd().split('\n').slice(-20).join('\n');
      throw new WeirError('failed', `${plan.name} did not boot: ${messageOf(error)}\n${words}`, { cause: error });
    }
  }

  async function kill(): Promise<void> {
    // The guest's main process is the first of a PID namespace: all others of the guest die with it.
    for (const { pid, program } of await processesWith(marks)) if (program === 'linux.uml') cut(pid);
    const isGone = async (): Promise<boolean> => (await processesWith(marks)).length === 0;
    await waitFor(`the end of ${plan.name}`, isGone, { timeoutMs: 60_000, everyMs: 10 });
    await rm(join(share, 'ready'), { force: true });
  }

  async function running(): Promise<boolean> {
    return (await processesWith(marks)).length > 0;
  }

  return { console, share, boot, kill, running };
}

function cut(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has just ended by itself.
  }
}

/** Of the guest, and of those that wait for it. The guest's own processes show no command line here. */
async function processesWith(marks: readonly string[]): Promise<{ pid: number; program: string }[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  return pids.flatMap((pid) => {
    const words = commandLine(pid);
    return marks.every((mark) => words.includes(mark)) ? [{ pid: Number(pid), program: words[0] ?? '' }] : [];
  });
}

function commandLine(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

/** The kernel is the first process of a PID namespace, so that its end is that of all its processes. */
const outer = ['unshare', '--pid', '--fork', '--kill-child', '--', 'linux.uml'] as const;

/** The root file system is this machine's, read-only; the console is the output of the process. */
const fixedKernelWords = [
  'root=/dev/root',
  'rootfstype=hostfs',
  'rootflags=/',
  'ro',
  'quiet',
  'con=null',
  'con0=fd:0,fd:1',
] as const;

function kernelCommand(own: string, { plan, memory }: GuestOptions, marks: readonly string[]): string[] {
  const device = (number: number, tap: string, mac: string): string =>
    // Without gro, packets of the LB that it did not segment itself are lost.
    `vec${number}:transport=tap,ifname=${tap},depth=128,gro=1,mac=${mac}`;
  return [
    ...outer,
    ...marks,
    ...fixedKernelWords,
    `mem=${memory}M`,
    `init=${join(own, 'init')}`,
    device(0, plan.taps.eth0, plan.macs.eth0),
    device(1, plan.taps.eth1, plan.macs.eth1),
    `LAB_INIT=${join(own, 'init')}`,
    `LAB_SHARE=${join(own, 'share')}`,
    `LAB_NAME=${plan.name}`,
    `LAB_UPLINK=${plan.address}/24`,
    `LAB_GATEWAY=${routerAddress.uplink}`,
    `LAB_MANAGE=${plan.management}/24`,
  ];
}

/** What a machine has when the packages have been installed and nobody has configured anything. */
async function writeShare(cell: Cell, share: string, { plan, ssh, bfd }: GuestOptions): Promise<void> {
  await mkdir(join(share, 'log'), { recursive: true });
  for (const folder of persistentFolders) await mkdir(join(share, 'disk', folder), { recursive: true });
  const hostKey = ssh.hostKeys.get(plan.name) ?? '';
  await copyFile(hostKey, join(share, 'host_key'));
  await chmod(join(share, 'host_key'), 0o600);
  await writeFile(join(share, 'authorized_keys'), `${ssh.publicKey}\n`);
  await writeFile(join(share, 'sshd_config'), sshdConfig(plan.management, shareInside));
  const frr = join(share, 'disk/etc/frr');
  await writeFile(join(frr, 'daemons'), frrDaemons(bfd));
  await writeFile(join(frr, 'vtysh.conf'), 'service integrated-vtysh-config\n');
  await writeFile(join(frr, 'frr.conf'), 'log syslog informational\n');
  await cell.must('fabric', ['chown', '-R', 'frr:frr', frr]);
  await cell.must('fabric', ['chmod', '-R', 'u=rwX,g=rX,o=', frr]);
}

/** Debian's, with ospfd, and bfdd where it is asked for; watchfrr, zebra and staticd are always started. */
function frrDaemons(bfd: boolean): string {
  return `ospfd=yes
bfdd=${bfd ? 'yes' : 'no'}
vtysh_enable=yes
zebra_options="  -A 127.0.0.1 -s 90000000"
ospfd_options="  -A 127.0.0.1"
staticd_options="-A 127.0.0.1"
bfdd_options="   -A 127.0.0.1"
`;
}
