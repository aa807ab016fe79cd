/**
 * A real edge on one machine: LBs with IPVS, a router with OSPF and ECMP, WSs with nginx, a client, and a management
 * net for ssh. The lab makes machines and nets; whatever configures LVS, OSPF, LIPs, sysctls and netfilter on an LB is
 * published and activated by Weir. Needs root on Linux, see whyNoLab. May import src/remote and src/domain; may be
 * imported by tests and by what is built on the lab, never by src/.
 */
import { rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { WeirError } from '../src/domain/errors.ts';
import type { Cluster } from '../src/domain/edge/model.ts';
import type { Ran } from '../src/remote/program.ts';
import { type Cell, type CellRunOptions, openCell } from './cell.ts';
import { wire } from './fabric.ts';
import { makeFolder, sweepLabs } from './folder.ts';
import { makeGuest } from './guest.ts';
import { type LabLb, makeLb } from './lb.ts';
import { whyNoLab } from './needs.ts';
import { type Router, startRouter } from './router.ts';
import { linkTo, makeSshFiles } from './ssh.ts';
import { clusterOf, MAX_LBS, MAX_WSS, planTopology, type Topology, type TopologyOptions } from './topology.ts';
import { startWss, type Ws } from './ws.ts';

export type { LabLb } from './lb.ts';
export { whyNoLab } from './needs.ts';
export { waitFor } from './wait.ts';

export interface LabOptions extends TopologyOptions {
  /** Where the lab's own folder is made; default /run/weir-lab. */
  readonly directory?: string;
  /** MiB of each LB; default 128. What it does not use is not taken from this machine. */
  readonly memory?: number;
  /** Whether the LBs are booted too; default true. */
  readonly boot?: boolean;
}

export interface Lab {
  readonly directory: string;
  readonly topology: Topology;
  readonly lbs: readonly LabLb[];
  readonly wss: readonly Ws[];
  readonly router: Router;
  readonly client: { exec(argv: readonly string[], options?: CellRunOptions): Promise<Ran> };
  /** For `ssh -F`: reaches every LB by its name, from this machine's own network. */
  readonly sshConfig: string;
  /** The lab's cluster as a document. */
  cluster(): Cluster;
  /** As the router's: the LBs' addresses that packets for the VIP go to. */
  routesTo(vip: string): Promise<string[]>;
  /** Ends everything and removes the folder. */
  close(): Promise<void>;
}

/**
 * Resolves when all machines run, the LBs without any configuration. Several labs may be open at once, each with the
 * same addresses. What dead processes left is removed first.
 */
export async function openLab(options: LabOptions = {}): Promise<Lab> {
  const reason = whyNoLab();
  if (reason !== undefined) throw new WeirError('unavailable', reason);
  checkCount('LBs', options.lbs ?? 1, MAX_LBS);
  checkCount('WSs', options.wss ?? 1, MAX_WSS);
  const topology = planTopology(options);
  await sweepLabs(options.directory);
  const directory = await makeFolder(options.directory);
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  process.once('exit', remove);
  let cell: Cell | undefined;
  try {
    cell = await openCell(directory, topology.networks);
    return await build({ cell, directory, topology, options, closed: () => process.off('exit', remove) });
  } catch (error) {
    await cell?.close();
    process.off('exit', remove);
    remove();
    throw error;
  }
}

function checkCount(what: string, count: number, most: number): void {
  if (Number.isInteger(count) && count >= 1 && count <= most) return;
  throw new WeirError('usage', `A lab has 1 to ${most} ${what}, not ${count}`);
}

interface Parts {
  readonly cell: Cell;
  readonly directory: string;
  readonly topology: Topology;
  readonly options: LabOptions;
  readonly closed: () => void;
}

async function build(parts: Parts): Promise<Lab> {
  const { cell, directory, topology, options } = parts;
  await wire(cell, topology);
  const ssh = await makeSshFiles(cell, `${directory}/ssh`, topology.lbs);
  const { memory = 128, boot = true } = options;
  const lbs = await Promise.all(
    topology.lbs.map(async (plan) => {
      const guest = await makeGuest(cell, { folder: directory, plan, ssh, memory, bfd: topology.bfd });
      return makeLb(plan, guest, linkTo(plan.name, ssh));
    }),
  );
  const [router, wss] = await settled([
    startRouter(cell, directory, topology),
    startWss(cell, directory, topology.wss),
    settled(boot ? lbs.map((lb) => lb.boot()) : []),
  ]).catch(async (error: unknown) => {
    await powerOff();
    throw error;
  });

  async function powerOff(): Promise<void> {
    await Promise.all(lbs.map((lb) => lb.kill()));
  }

  async function close(): Promise<void> {
    await powerOff();
    await cell.close();
    await rm(directory, { recursive: true, force: true });
    parts.closed();
  }

  return {
    directory,
    topology,
    lbs,
    wss,
    router,
    client: { exec: (argv, runOptions) => cell.run('client', argv, runOptions) },
    sshConfig: ssh.configFile,
    cluster: () => clusterOf(topology),
    routesTo: (vip) => router.routesTo(vip),
    close,
  };
}

/** As Promise.all, but nothing goes on any more once it has rejected. */
async function settled<T extends readonly unknown[] | []>(
  work: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(work);
  return Promise.all(work);
}
