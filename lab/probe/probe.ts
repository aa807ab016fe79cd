/**
 * The lab's prober, for tests and commands: a program in the client's network sends new connections at a steady rate,
 * holds keep-alive connections and long downloads, and counts what becomes of each. routes.ts beside it watches the
 * router's routes by the same clock. May import src/domain/errors and the lab's topology only.
 */
import { extname, join } from 'node:path';
import type { WeirError } from '../../src/domain/errors.ts';
import { clientAddresses } from '../topology.ts';
import { openProgram, type Place } from './program.ts';
import type { Command, ProberOptions, Reply } from './protocol.ts';
import type { Window } from './window.ts';

export type { Place } from './program.ts';
export { lossOf, type Window } from './window.ts';

export type ProbeOptions = Omit<ProberOptions, 'sources'> & {
  /** Default: all addresses of the lab's client. */
  readonly sources?: readonly string[];
};

export interface Probe {
  /**
   * Ends the present window and answers it under that name; the next one starts at once. Comes when the requests that
   * were started in it have ended: after `limitMs` at the latest.
   */
  window(name: string): Promise<Window>;
  /** New connections go there from now on; keep-alive connections and downloads move only where their target is gone. */
  retarget(targets: readonly string[]): Promise<void>;
  /** Opens broken and stalled ones again; answers how many when each flows, or has failed again. */
  reopenDownloads(): Promise<number>;
  /**
   * Ends the downloads that come from a WS and all keep-alive connections, as their clients would, and opens others;
   * answers as `reopenDownloads`.
   */
  release(ws: string): Promise<number>;
  /** Answers the last window when all has ended. */
  stop(): Promise<Window>;
}

/**
 * Resolves when each kind of traffic has been tried, whether it succeeded or not. The prober ends with this process. All
 * answers reject with its own words once it has failed.
 */
export async function startProbe(client: Place, options: ProbeOptions): Promise<Probe> {
  const controller = control(client, { sources: clientAddresses, ...options });
  await controller.running;
  let last: Promise<Window> | undefined;
  return {
    window: async (name) => windowIn(await controller.ask({ do: 'mark', name })),
    retarget: async (targets) => void (await controller.ask({ do: 'retarget', targets })),
    reopenDownloads: async () => countIn(await controller.ask({ do: 'reopen' })),
    release: async (ws) => countIn(await controller.ask({ do: 'release', ws })),
    stop: () => (last ??= stop(controller)),
  };
}

interface Controller {
  readonly running: Promise<unknown>;
  ask(command: Command): Promise<Reply>;
  end(): Promise<void>;
}

/** Replies are told apart by the command's id; the first, that everything runs, has none. */
function control(client: Place, options: ProberOptions): Controller {
  const waiting = new Map<number | undefined, { resolve(reply: Reply): void; reject(error: WeirError): void }>();
  const program = openProgram(client.spawn([...proberCommand(), JSON.stringify(options)], 'pipe'), 'The prober', hear);
  let asked = 0;
  let failure: WeirError | undefined;
  void program.gone.then(fail);

  function fail(error: WeirError): void {
    failure = error;
    for (const waiter of waiting.values()) waiter.reject(error);
  }

  function hear(line: string): void {
    const reply = JSON.parse(line) as Reply;
    waiting.get(reply.id)?.resolve(reply);
    waiting.delete(reply.id);
  }

  function replyTo(id: number | undefined): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (failure) reject(failure);
      else waiting.set(id, { resolve, reject });
    });
  }

  return {
    running: replyTo(undefined),
    ask(command) {
      asked += 1;
      const reply = replyTo(asked);
      program.send(JSON.stringify({ ...command, id: asked }));
      return reply;
    },
    end: () => program.end(),
  };
}

/** The prober beside this file, compiled or not. `tsx` by its place: the client's folder is another. */
function proberCommand(): string[] {
  const extension = extname(import.meta.filename);
  const loader = extension === '.ts' ? ['--import', import.meta.resolve('tsx')] : [];
  return [process.execPath, ...loader, join(import.meta.dirname, `prober${extension}`)];
}

async function stop(controller: Controller): Promise<Window> {
  const window = windowIn(await controller.ask({ do: 'stop' }));
  await controller.end();
  return window;
}

function countIn(reply: Reply): number {
  if (reply.told !== 'reopened') throw new Error(`not a count: ${reply.told}`);
  return reply.count;
}

function windowIn(reply: Reply): Window {
  if (reply.told !== 'window') throw new Error(`not a window: ${reply.told}`);
  return reply.window;
}
