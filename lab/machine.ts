/**
 * A machine that boots and loses its power: what the kinds of LBs have in common. Everything that is needed to boot and
 * to end one lies in its folder and in /proc, so that another process can do it too.
 */
import { existsSync, readFileSync } from 'node:fs';
import { chmod, copyFile, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, WeirError } from '../src/domain/errors.ts';
import type { Cell } from './cell.ts';
import { persistentFolders, shareInside } from './init.ts';
import { processesWith } from './process.ts';
import { publicPart, type SshFiles, sshdConfig } from './ssh.ts';
import { type LbPlan, routerAddress } from './topology.ts';
import { waitFor } from './wait.ts';

export interface MachineOptions {
  /** The lab's folder. */
  readonly folder: string;
  readonly plan: LbPlan;
  readonly ssh: SshFiles;
  /** MiB of a guest; 64 is too little. */
  readonly memory: number;
  readonly bfd: boolean;
}

/** What an LB is made of; sshd runs on it once it has booted. */
export interface Machine {
  /** What it said since the lab was opened: the boot's words, and its kernel's if it has one of its own. */
  readonly console: string;
  /** Its persistent folders, `/etc/weir` as `disk/etc/weir`, and `log/syslog`. To look at while it runs, not to write. */
  readonly share: string;
  /** Resolves when its daemons run; rejects, with the console's last words, where they do not. */
  boot(): Promise<void>;
  /** Cuts the power. Resolves when nothing of it is left. */
  kill(): Promise<void>;
  running(): Promise<boolean>;
}

/** What a kind of machine does its own way. */
export interface Kind {
  /** The script of its first process; it lies at `init` in the machine's folder. */
  readonly init: string;
  /** Words that stand together on the command lines of its processes alone. */
  marks(options: MachineOptions): readonly string[];
  /** Runs in the fabric as long as the machine does; the first of a PID namespace below it is the machine's first. */
  command(cell: Cell, options: MachineOptions): readonly string[];
  /** Once, before the first boot. */
  prepare(cell: Cell, options: MachineOptions): Promise<void>;
  /** Removes what a power cut leaves; nothing may be there. */
  clear(cell: Cell, options: MachineOptions): Promise<void>;
}

/** An idle machine takes a tenth of it. */
const bootTimeoutMs = 90_000;

/** The folder of a machine: `init`, `share`, `console.log` and what its kind puts there. */
export function folderOf({ folder, plan }: MachineOptions): string {
  return join(folder, plan.name);
}

/** What the first process finds in its environment. */
export function environmentOf(options: MachineOptions): string[] {
  const { plan } = options;
  return [
    `LAB_SHARE=${join(folderOf(options), 'share')}`,
    `LAB_NAME=${plan.name}`,
    `LAB_UPLINK=${plan.address}/24`,
    `LAB_GATEWAY=${routerAddress.uplink}`,
    `LAB_MANAGE=${plan.management}/24`,
  ];
}

/** Writes what it boots from; once, before the first boot. */
export async function prepareMachine(cell: Cell, kind: Kind, options: MachineOptions): Promise<void> {
  const own = folderOf(options);
  await writeShare(cell, join(own, 'share'), options);
  await writeFile(join(own, 'init'), kind.init, { mode: 0o755 });
  await kind.prepare(cell, options);
}

/** A prepared machine, whether it runs or not. */
export function machineOf(cell: Cell, kind: Kind, options: MachineOptions): Machine {
  const own = folderOf(options);
  const share = join(own, 'share');
  const console = join(own, 'console.log');
  const marks = kind.marks(options);

  async function boot(): Promise<void> {
    if (await running()) throw new WeirError('exists', `${options.plan.name} runs already`);
    await rm(join(share, 'ready'), { force: true });
    await kind.clear(cell, options);
    const output = await open(console, 'a');
    const child = cell.start('fabric', kind.command(cell, options), output.fd);
    const ended = new AbortController();
    child.once('close', () => ended.abort(new WeirError('failed', 'its process ended')));
    await output.close();
    try {
      const isReady = (): boolean => existsSync(join(share, 'ready'));
      await waitFor('its daemons', isReady, { timeoutMs: bootTimeoutMs, signal: ended.signal });
    } catch (error) {
      await kill();
      const words = (await readFile(console, 'utf8')).trimEnd().split('\n').slice(-20).join('\n');
      const message = `${options.plan.name} did not boot: ${messageOf(error)}\n${words}`;
      throw new WeirError('failed', message, { cause: error });
    }
  }

  async function kill(): Promise<void> {
    // All others of the machine die with the first.
    // Again and again: one that is just being booted has no first process yet.
    const cutAll = (): void => processesWith(marks).forEach(({ pid }) => isFirst(pid) && cut(pid));
    cutAll();
    await kind.clear(cell, options);
    const isGone = async (): Promise<boolean> => {
      cutAll();
      return !(await running());
    };
    await waitFor(`the end of ${options.plan.name}`, isGone, {
      timeoutMs: 60_000,
      everyMs: 10,
    });
    await rm(join(share, 'ready'), { force: true });
  }

  async function running(): Promise<boolean> {
    return processesWith(marks).length > 0;
  }

  return { console, share, boot, kill, running };
}

/** Whether it is the first process of its PID namespace; proc(5): the last of NSpid is its ID there. */
function isFirst(pid: number): boolean {
  try {
    return /^NSpid:.*\t1$/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

function cut(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has just ended by itself.
  }
}

/** What a machine has when the packages have been installed and nobody has configured anything. */
async function writeShare(cell: Cell, share: string, { plan, ssh, bfd }: MachineOptions): Promise<void> {
  await mkdir(join(share, 'log'), { recursive: true });
  for (const folder of persistentFolders) await mkdir(join(share, 'disk', folder), { recursive: true });
  const hostKey = ssh.hostKeys.get(plan.name) ?? '';
  await copyFile(hostKey, join(share, 'host_key'));
  await chmod(join(share, 'host_key'), 0o600);
  await writeFile(join(share, 'authorized_keys'), `${await publicPart(ssh.clientKey)}\n`);
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
