/**
 * The lab that stays: machines, Weir, and the lab's cluster published and activated, taken up again by later commands.
 * It is whole or not there: until it stands, it ends with the process that brings it up.
 */
import { randomBytes } from 'node:crypto';
import type { LbJobView } from '../../src/contract/schemas.ts';
import type { Client } from '../../src/client/client.ts';
import { WeirError } from '../../src/domain/errors.ts';
import { type Lab, type LabLb, type LabMakings, labsFolder, openLab, takeUpLab, waitFor } from '../lab.ts';
import { sweepLabs } from '../folder.ts';
import { exclusively } from './lock.ts';
import { type LabWeir, planWeir, startWeir, stopWeir, type WeirPlan, weirOf, weirRuns } from './weir.ts';

export interface EdgeOptions {
  /** Default /run/weir-lab. */
  readonly directory?: string | undefined;
  /** Default 2. */
  readonly lbs?: number | undefined;
  /** Default 3. */
  readonly wss?: number | undefined;
  /** BFD beside OSPF; default: none. */
  readonly bfd?: boolean | undefined;
  /** Default network. */
  readonly announce?: 'network' | 'redistribute' | undefined;
  /** Whether the LBs answer SYNs themselves; default: they do not. */
  readonly synproxy?: boolean | undefined;
  /** LBs of a second cluster; default 0: there is none. */
  readonly second?: number | undefined;
  /** ADDRESS:PORT of Weir; default 127.0.0.1:8084, or a free port where that is taken. */
  readonly listen?: string | undefined;
  /** As WEIR_STORE; default: the embedded one. */
  readonly store?: string | undefined;
}

export interface Edge {
  readonly lab: Lab;
  readonly weir: LabWeir;
}

/** Told as it goes on, a line each. */
export type Tell = (line: string) => void;

/**
 * Brings the lab up, or, where it stands already, what of it does not run: LBs without power, and Weir. Fails, and
 * leaves nothing, where a new lab does not come to answer requests.
 */
export async function bringUp(options: EdgeOptions, tell: Tell): Promise<Edge & { resumed: boolean }> {
  return exclusively(options.directory ?? labsFolder, async () => {
    const found = await takeUpLab(options.directory);
    if (!found) return { ...(await create(options, tell)), resumed: false };
    const plan = found.more as WeirPlan;
    refuseOther({ ...found.lab.makings, ...plan }, options);
    return { ...(await resume(found.lab, plan, tell)), resumed: true };
  });
}

/** The lab that stands. */
export async function findEdge(directory?: string): Promise<Edge> {
  const found = await takeUpLab(directory);
  if (!found) throw new WeirError('not_found', 'No lab is up', { hint: 'weir lab up' });
  return { lab: found.lab, weir: weirOf(found.lab, found.more as WeirPlan) };
}

/** Ends the lab and whatever dead processes left of one. Answers whether there was anything. */
export async function takeDown(directory?: string): Promise<boolean> {
  return exclusively(directory ?? labsFolder, async () => {
    const found = await takeUpLab(directory);
    if (found) {
      await stopWeir(found.lab);
      await found.lab.close();
    }
    const swept = await sweepLabs(directory);
    return found !== undefined || swept.length > 0;
  });
}

/** Changes the power of one LB; no other command does that meanwhile. */
export async function changeLb(
  name: string,
  work: (lb: LabLb) => Promise<string>,
  directory?: string,
): Promise<string> {
  return exclusively(directory ?? labsFolder, async () => work(lbNamed((await findEdge(directory)).lab, name)));
}

/** One by its name, or by its name without the domain. */
function lbNamed(lab: Lab, name: string): LabLb {
  const lb = lab.lbs.find((one) => one.name === name || one.name.split('.')[0] === name);
  if (lb) return lb;
  const names = lab.lbs.map((one) => one.name).join(', ');
  throw new WeirError('not_found', `The lab has no LB ${name}`, { hint: `its LBs are ${names}` });
}

function refuseOther(is: LabMakings & WeirPlan, wanted: EdgeOptions): void {
  const names = ['lbs', 'wss', 'bfd', 'announce', 'synproxy', 'second', 'listen', 'store'] as const;
  if (names.every((name) => wanted[name] === undefined || wanted[name] === is[name])) return;
  const words = [
    `${is.lbs} LBs${is.second ? `, ${is.second} of a second cluster` : ''} and ${is.wss} WSs`,
    `${is.bfd ? 'with' : 'without'} BFD`,
    `${is.synproxy ? 'with' : 'without'} SYN proxy`,
    `announced by ${is.announce}`,
    `Weir on ${is.listen}`,
  ].join(', ');
  throw new WeirError('conflict', `Another lab is up: ${words}`, { hint: 'weir lab down ends it' });
}

async function create(options: EdgeOptions, tell: Tell): Promise<Edge> {
  // FRR's routers follow what is redistributed a second later (docs/decisions/0013-bfd.md).
  const { directory, lbs = 2, wss = 3, bfd = false, announce = 'network', synproxy = false, second = 0 } = options;
  const plan = await planWeir(options.listen, options.store);
  const ospfKey = randomBytes(8).toString('hex');
  const makings = { lbs, wss, bfd, ospfKey, announce, synproxy, second } as const;
  const lab = await openLab({ ...(directory === undefined ? {} : { directory }), ...makings, boot: false });
  try {
    tell('nets, router and WSs run; booting LBs, starting Weir');
    const starting = startWeir(lab, plan);
    await all<unknown>([starting, ...lab.lbs.map((lb) => lb.boot())]);
    const weir = await starting;
    tell(`LBs have booted, Weir listens on ${weir.url}`);
    for (const cluster of lab.clusters()) {
      await weir.client.call(`/clusters/${cluster.name}`, { method: 'PUT', body: cluster });
    }
    const jobs = (kind: 'publications' | 'activations', body?: object) =>
      all<unknown>(lab.topology.clusters.map((cluster) => doJob(weir.client, `/clusters/${cluster}/${kind}`, body)));
    await jobs('publications');
    tell('published');
    await jobs('activations', { parallel: Math.max(lbs, second) });
    tell('activated');
    await waitForRoutes(lab);
    tell('the router sends packets for every VIP to all LBs');
    await waitForAnswers(lab);
    await lab.stay(plan);
    return { lab, weir };
  } catch (error) {
    await lab.close();
    throw error;
  }
}

/** As Promise.all, but nothing goes on any more once it has rejected. */
async function all<T>(work: readonly (T | Promise<T>)[]): Promise<T[]> {
  await Promise.allSettled(work);
  return Promise.all(work);
}

async function resume(lab: Lab, plan: WeirPlan, tell: Tell): Promise<Edge> {
  const off = await offOf(lab);
  if (off.length > 0) tell(`booting ${off.map(({ name }) => name).join(', ')}`);
  if (!weirRuns(lab)) tell('starting Weir again');
  await all<unknown>([weirRuns(lab) ? undefined : startWeir(lab, plan), ...off.map((lb) => lb.boot())]);
  return { lab, weir: weirOf(lab, plan) };
}

/** LBs without power. */
export async function offOf(lab: Lab): Promise<LabLb[]> {
  const running = await Promise.all(lab.lbs.map((lb) => lb.running()));
  return lab.lbs.filter((_, i) => running[i] === false);
}

const jobTimeoutMs = 180_000;

/** To its end; fails with the words of the LBs that failed. */
async function doJob(client: Client, path: string, body: object = {}): Promise<void> {
  const { data: started } = await client.call<LbJobView>(path, { method: 'POST', body });
  const isOver = async (): Promise<LbJobView | false> => {
    const { data } = await client.call<LbJobView>(`${path}/${started.id}`);
    return data.state !== 'running' && data;
  };
  const ended = await waitFor(`the end of ${path}/${started.id}`, isOver, { timeoutMs: jobTimeoutMs, everyMs: 100 });
  if (ended.state === 'done') return;
  const words = Object.entries(ended.lbs).map(
    ([lb, { state, step, message }]) => `${lb}: ${state} at ${step}: ${message}`,
  );
  throw new WeirError('failed', `${path}/${started.id} failed\n${words.join('\n')}`);
}

async function waitForRoutes(lab: Lab): Promise<void> {
  for (const { address, cluster } of lab.topology.vips) {
    const wanted = lab.topology.lbs.filter((lb) => lb.cluster === cluster).length;
    const isWhole = async (): Promise<boolean> => (await lab.routesTo(address)).length === wanted;
    await waitFor(`the router to have ${address} over all LBs`, isWhole, { timeoutMs: 60_000 });
  }
}

async function waitForAnswers(lab: Lab): Promise<void> {
  for (const { address } of lab.topology.vips) {
    const curl = ['curl', '-sS', '-m', '2', '-o', '/dev/null', `http://${address}/`];
    const hasAnswered = async (): Promise<boolean> => (await lab.client.exec(curl)).code === 0;
    await waitFor(`an answer of ${address}`, hasAnswered, { timeoutMs: 30_000 });
  }
}
