/**
 * An LB of the lab as its users see it, whatever it is made of: a machine that boots, loses power, and is reached by
 * ssh. A guest is the one kind there is; a network namespace, where the kernel has IPVS, would be another Machine.
 */
import type { Ran } from '../src/remote/program.ts';
import { type ExecOptions, type SshLink } from './ssh.ts';
import type { LbPlan } from './topology.ts';

/** What an LB is made of; sshd runs on it once it has booted. */
export interface Machine {
  /** What it said since the lab was opened. */
  readonly console: string;
  /** Its persistent folders, `/etc/weir` as `disk/etc/weir`, and `log/syslog`. To look at while it runs, not to write. */
  readonly share: string;
  boot(): Promise<void>;
  kill(): Promise<void>;
}

export interface LabLb extends Machine {
  readonly name: string;
  /** On eth0. */
  readonly address: string;
  readonly lips: readonly string[];
  /** Whether it has booted and its power has not been cut since. */
  readonly ready: boolean;
  /** Resolves when its daemons run and ssh gets through. */
  boot(): Promise<void>;
  /** Cuts its power. What it wrote to its persistent folders stays. */
  kill(): Promise<void>;
  /**
   * Over ssh, as root: words, or a shell script as one constant text, which may read data from its standard input.
   * `code` is 255 where ssh failed.
   */
  exec(command: string | readonly string[], options?: ExecOptions): Promise<Ran>;
}

export function makeLb(plan: LbPlan, machine: Machine, link: SshLink): LabLb {
  let ready = false;

  async function boot(): Promise<void> {
    await machine.boot();
    await link.open();
    ready = true;
  }

  async function kill(): Promise<void> {
    ready = false;
    await machine.kill();
    await link.drop();
  }

  return {
    name: plan.name,
    address: plan.address,
    lips: plan.lips,
    console: machine.console,
    share: machine.share,
    get ready() {
      return ready;
    },
    boot,
    kill,
    exec: (command, options) => link.exec(command, options),
  };
}
