/**
 * A real edge on one machine: LBs with IPVS, a router with OSPF and ECMP, WSs with nginx, a client, and a management
 * net for ssh. The lab makes machines and nets; whatever configures LVS, OSPF, LIPs, sysctls and netfilter on an LB is
 * published and activated by Weir. Needs root on Linux, see whyNoLab. May import src/remote and src/domain; may be
 * imported by tests and by what is built on the lab, never by src/.
 */
import type { ChildProcess, StdioOptions } from 'node:child_process';
import { rmSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { WeirError } from '../src/domain/errors.ts';
import type { Cluster } from '../src/domain/edge/model.ts';
import type { Ran } from '../src/remote/program.ts';
import { attachCell, type Cell, type CellRunOptions, openCell } from './cell.ts';
import { wire } from './fabric.ts';
import { findStaying, makeFolder, sweepLabs, writeCell, writeStay } from './folder.ts';
import { kinds } from './kinds.ts';
import { type LabLb, makeLb } from './lb.ts';
import { type Kind, machineOf, prepareMachine } from './machine.ts';
import { type LbKind, lbKind, whyNoLab } from './needs.ts';
import { type Router, routerOf, startRouter } from './router.ts';
import { linkTo, makeSshFiles, type SshFiles, sshFilesIn } from './ssh.ts';
import { clusterOf, MAX_LBS, MAX_WSS, planTopology, type Topology, type TopologyOptions } from './topology.ts';
import { startWss, type Ws, wsOf } from './ws.ts';

export type { LabLb } from './lb.ts';
export { labsFolder } from './folder.ts';
export { whyNoLab } from './needs.ts';
export { waitFor } from './wait.ts';

/** What a lab is made of; a process that takes it up has to know them. */
export interface LabMakings extends TopologyOptions {
  /** What the LBs are; default: namespaces where this kernel has IPVS, else guests. */
  readonly kind?: LbKind;
  /** MiB of each guest; default 128. What it does not use is not taken from this machine. */
  readonly memory?: number;
}

export interface LabOptions extends LabMakings {
  /** Where the lab's own folder is made; default /run/weir-lab. */
  readonly directory?: string;
  /** Whether the LBs are booted too; default true. */
  readonly boot?: boolean;
}

/** A machine of the lab that is a network alone. */
export interface Place {
  exec(argv: readonly string[], options?: CellRunOptions): Promise<Ran>;
  /** Starts a program that ends with this process, at the latest. */
  spawn(argv: readonly string[], stdio: StdioOptions): ChildProcess;
}

export interface Lab {
  readonly directory: string;
  readonly makings: LabMakings;
  readonly topology: Topology;
  readonly lbs: readonly LabLb[];
  readonly wss: readonly Ws[];
  readonly router: Router;
  readonly client: Place;
  /** For `ssh -F`: reaches every LB by its name, from this machine's own network. */
  readonly sshConfig: string;
  /** The same for programs that `startBeside` starts. */
  readonly sshConfigBeside: string;
  /** The lab's cluster as a document. */
  cluster(): Cluster;
  /** All of its clusters. */
  clusters(): Cluster[];
  /** As the router's: the LBs' addresses that packets for the VIP go to. */
  routesTo(vip: string): Promise<string[]>;
  /** Starts a program in this machine's own network that ends with the lab; its output is appended to a file. */
  startBeside(argv: readonly string[], output: string): Promise<ChildProcess>;
  /** From now on the lab outlives this process; `takeUpLab` finds it, and what is told here. */
  stay(more: unknown): Promise<void>;
  /** Ends everything and removes the folder. */
  close(): Promise<void>;
}

/**
 * Resolves when all machines run, the LBs without any configuration. Several labs may be open at once, each with the
 * same addresses. What dead processes left is removed first.
 */
export async function openLab(options: LabOptions = {}): Promise<Lab> {
  const { directory: parent, boot = true, kind = lbKind(), ...others } = options;
  const reason = whyNoLab(kind);
  if (reason !== undefined) throw new WeirError('unavailable', reason);
  checkCount('LBs', options.lbs ?? 1, MAX_LBS);
  checkCount('LBs', (options.lbs ?? 2) + (options.second ?? 0), MAX_LBS);
  checkCount('WSs', options.wss ?? 1, MAX_WSS);
  const makings = { ...others, kind };
  const topology = planTopology(makings);
  await sweepLabs(parent);
  const directory = await makeFolder(parent);
  const remove = (): void => {
    try {
      rmSync(directory, { recursive: true, force: true });
    } catch {
      // Its machines still write there; the next lab removes it.
    }
  };
  process.once('exit', remove);
  const disown = (): void => void process.off('exit', remove);
  let cell: Cell | undefined;
  try {
    cell = await openCell(directory, topology.networks);
    await writeCell(directory, cell.first);
    const lab = labOf({
      cell,
      directory,
      makings,
      topology,
      ssh: sshFilesIn(`${directory}/ssh`, topology.lbs),
      disown,
    });
    await prepare({ cell, directory, makings, topology }, boot ? lab.lbs : []);
    return lab;
  } catch (error) {
    await cell?.close();
    disown();
    remove();
    throw error;
  }
}

/** The lab that was told to stay, and what was told with it; undefined where there is none, or it has ended since. */
export async function takeUpLab(parent?: string): Promise<{ lab: Lab; more: unknown } | undefined> {
  const found = await findStaying(parent);
  if (!found) return undefined;
  const { folder: directory, first, words } = found;
  const { makings, more } = words as { makings: LabMakings; more: unknown };
  const topology = planTopology(makings);
  const ssh = sshFilesIn(`${directory}/ssh`, topology.lbs);
  const cell = attachCell(directory, first);
  return { lab: labOf({ cell, directory, makings, topology, ssh, disown: () => undefined }), more };
}

function checkCount(what: string, count: number, most: number): void {
  if (Number.isInteger(count) && count >= 1 && count <= most) return;
  throw new WeirError('usage', `A lab has 1 to ${most} ${what}, not ${count}`);
}

interface Ground {
  readonly cell: Cell;
  readonly directory: string;
  readonly makings: LabMakings;
  readonly topology: Topology;
}

/** Makes nets and machines, and starts them; resolves when they run. */
async function prepare(ground: Ground, boot: readonly LabLb[]): Promise<void> {
  const { cell, directory, makings, topology } = ground;
  const [ssh] = await Promise.all([makeSshFiles(cell, `${directory}/ssh`, topology.lbs), wire(cell, topology)]);
  await Promise.all(
    topology.lbs.map((plan) => prepareMachine(cell, kindOf(makings), machineOptions(ground, plan.name, ssh))),
  );
  await settled([
    startRouter(cell, directory, topology),
    startWss(cell, directory, topology.wss),
    ...boot.map((lb) => lb.boot()),
  ]);
}

/** As Promise.all, but nothing goes on any more once it has rejected. */
async function settled(work: readonly Promise<unknown>[]): Promise<void> {
  await Promise.allSettled(work);
  await Promise.all(work);
}

function kindOf({ kind = lbKind() }: LabMakings): Kind {
  return kinds[kind];
}

function machineOptions({ directory, makings, topology }: Ground, name: string, ssh: SshFiles) {
  const plan = topology.lbs.find((lb) => lb.name === name);
  if (!plan) throw new WeirError('not_found', `The lab has no LB ${name}`);
  return { folder: directory, plan, ssh, memory: makings.memory ?? 128, bfd: topology.bfd };
}

interface Parts extends Ground {
  readonly ssh: SshFiles;
  /** The end of this process does not end the lab any more. */
  readonly disown: () => void;
}

function labOf(parts: Parts): Lab {
  const { cell, directory, makings, topology, ssh, disown } = parts;
  const lbs = topology.lbs.map((plan) =>
    makeLb(plan, machineOf(cell, kindOf(makings), machineOptions(parts, plan.name, ssh)), linkTo(plan.name, ssh)),
  );
  const router = routerOf(cell, directory);
  return {
    directory,
    makings,
    topology,
    lbs,
    wss: topology.wss.map((plan) => wsOf(cell, directory, plan)),
    router,
    client: {
      exec: (argv, options) => cell.run('client', argv, options),
      spawn: (argv, stdio) => cell.spawn('client', argv, stdio),
    },
    sshConfig: ssh.configFile,
    sshConfigBeside: ssh.configFileBeside,
    cluster: () => clusterOf(topology),
    clusters: () => topology.clusters.map((name) => clusterOf(topology, name)),
    routesTo: (vip) => router.routesTo(vip),
    async startBeside(argv, output) {
      const file = await open(output, 'a');
      const child = cell.start(undefined, argv, file.fd);
      await file.close();
      return child;
    },
    async stay(more) {
      await writeStay(directory, { makings, more });
      disown();
      cell.stay();
    },
    async close() {
      // One that does not end by itself ends with the cell.
      await Promise.allSettled(lbs.map((lb) => lb.kill()));
      await cell.close();
      await rm(directory, { recursive: true, force: true });
      disown();
    },
  };
}
