/**
 * Weir of a standing lab: `weir serve` as a process of the lab's, in this machine's own network, so that a browser and
 * the command line reach it on loopback. It ends with the lab. May import src/client.
 */
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type Client, createClient } from '../../src/client/client.ts';
import { messageOf, WeirError } from '../../src/domain/errors.ts';
import { projectFile } from '../../src/project.ts';
import type { Lab } from '../lab.ts';
import { markOf, processesWith, signal } from '../process.ts';
import { waitFor } from '../wait.ts';

/** What a process that takes the lab up needs to know of its Weir. */
export interface WeirPlan {
  /** ADDRESS:PORT. */
  readonly listen: string;
  /** As WEIR_STORE; empty: the embedded one, in the lab's folder. */
  readonly store: string;
}

export interface LabWeir {
  readonly url: string;
  readonly token: string;
  readonly client: Client;
}

const defaultPort = 8084;

/** What was asked for; else the usual port of loopback, or any free one where that is taken. */
export async function planWeir(listen: string | undefined, store: string | undefined): Promise<WeirPlan> {
  const host = '127.0.0.1';
  const free = async (): Promise<number> => (await freePort(host, defaultPort)) ?? (await freePort(host, 0)) ?? 0;
  return { listen: listen ?? `${host}:${await free()}`, store: store ?? '' };
}

/** Undefined where it is taken; 0 asks for any. */
function freePort(host: string, port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, host, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' ? address?.port : undefined));
    });
  });
}

const startTimeoutMs = 30_000;

/** Resolves when it answers. */
export async function startWeir(lab: Lab, plan: WeirPlan): Promise<LabWeir> {
  const log = logOf(lab);
  await mkdir(dataOf(lab), { recursive: true, mode: 0o700 });
  await writeSettings(lab, plan);
  const child = await lab.startBeside(
    [process.execPath, projectFile('bin/weir'), 'serve', '--config', settingsOf(lab)],
    log,
  );
  const ended = new AbortController();
  child.once('close', () => ended.abort(new WeirError('failed', 'its process ended')));
  const isReady = async (): Promise<boolean> => existsSync(tokenFile(lab)) && (await answers(lab, plan));
  try {
    await waitFor('its first answer', isReady, { timeoutMs: startTimeoutMs, signal: ended.signal });
  } catch (error) {
    const words = (await readFile(log, 'utf8').catch(() => '')).trimEnd().split('\n').slice(-10).join('\n');
    throw new WeirError('failed', `Weir did not start: ${messageOf(error)}\n${words}`, { cause: error });
  }
  return weirOf(lab, plan);
}

/** Of a lab whose Weir has been started, whether it still runs or not. */
export function weirOf(lab: Lab, plan: WeirPlan): LabWeir {
  const url = `http://${plan.listen}`;
  const token = readFileSync(tokenFile(lab), 'utf8').trim();
  return { url, token, client: createClient({ url, token }) };
}

export function weirRuns(lab: Lab): boolean {
  return pidsOf(lab).length > 0;
}

/** Asks it to end, and waits for that; one that does not end within seconds ends with the lab. */
export async function stopWeir(lab: Lab): Promise<void> {
  for (const pid of pidsOf(lab)) {
    const mark = markOf(pid);
    if (mark) signal(mark, 'SIGTERM');
  }
  await waitFor('the end of Weir', () => pidsOf(lab).length === 0, { timeoutMs: 5000 }).catch(() => undefined);
}

function pidsOf(lab: Lab): number[] {
  const found = processesWith(['serve', '--config', settingsOf(lab)]);
  return found.filter(({ words }) => words[0] !== 'nsenter').map(({ pid }) => pid);
}

/** In a file, since the address of a store may hold a password. JSON is YAML. */
async function writeSettings(lab: Lab, { listen, store }: WeirPlan): Promise<void> {
  const settings = { listen, data: dataOf(lab), ssh_config: lab.sshConfigBeside, ...(store === '' ? {} : { store }) };
  await writeFile(settingsOf(lab), `${JSON.stringify(settings, null, 2)}\n`, { mode: 0o600 });
}

function settingsOf(lab: Lab): string {
  return join(dataOf(lab), 'weir.yaml');
}

/** With its token: another Weir may have the address. */
async function answers(lab: Lab, plan: WeirPlan): Promise<boolean> {
  const { status } = await weirOf(lab, plan).client.call('/clusters', { query: { limit: 1 }, timeoutMs: 5000 });
  return status === 200;
}

function dataOf(lab: Lab): string {
  return join(lab.directory, 'weir');
}

/** What it says. */
export function logOf(lab: Lab): string {
  return join(lab.directory, 'weir.log');
}

function tokenFile(lab: Lab): string {
  return join(dataOf(lab), 'admin-token');
}
