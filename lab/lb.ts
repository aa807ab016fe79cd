/**
 * An LB of the lab as its users see it, whatever it is made of: a machine that boots, loses power, and is reached by
 * ssh.
 */
import type { Ran } from '../src/remote/program.ts';
import type { Machine } from './machine.ts';
import type { ExecOptions, SshLink } from './ssh.ts';
import type { LbPlan } from './topology.ts';

export interface LabLb extends Machine {
  readonly name: string;
  /** On eth0. */
  readonly address: string;
  readonly lips: readonly string[];
  /** Whether this process has booted it and not cut its power since. */
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
    running: () => machine.running(),
    exec: (command, options) => link.exec(command, options),
  };
}
