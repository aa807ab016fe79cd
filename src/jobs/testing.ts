/** Jobs over a real store in a folder of its own, with machines that a test plays. Only tests import it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cluster } from '../domain/edge/model.ts';
import { WeirError } from '../domain/errors.ts';
import type { Remote, RemoteExit, RemoteSession, RunOptions, Target } from '../remote/port.ts';
import type { Store } from '../store/port.ts';
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts';
import { openState } from '../store/state.ts';
import type { State } from '../store/state.ts';
import { createActivations } from './activations.ts';
import type { ActivationOptions, Activations } from './activations.ts';
import { takeOverNow } from './leases.ts';
import { createLbRequests } from './lb-requests.ts';
import type { LbRequests } from './lb-requests.ts';
import { createProbes } from './probe.ts';
import type { Probes } from './probe.ts';
import { createPublications } from './publications.ts';
import type { PublicationOptions, Publications } from './publications.ts';
import { createPublished, lbsInService } from './published.ts';
import type { PublishedReleases } from './published.ts';
import { createReleases } from './releases.ts';
import type { Releases } from './releases.ts';
import { createResolve } from './resolve.ts';
import { createStatuses } from './status.ts';
import type { Statuses } from './status.ts';

/** Of a lease that is newer than all that were given out. */
export const NEWEST_FENCE = Number.MAX_SAFE_INTEGER;

export interface Jobs {
  store: Store;
  state: State;
  releases: Releases;
  published: PublishedReleases;
  publications: Publications;
  activations: Activations;
  lbRequests: LbRequests;
  statuses: Statuses;
  probes: Probes;
  neighbour: undefined;
  /** Sessions in the order in which they were opened. */
  sessions: PlayedSession[];
  /** What onError was told. */
  errors: string[];
  /** hosts(5) text from now on. */
  setHosts(text: string): void;
  /** Moves the clock on; it stands still otherwise. */
  pass(ms: number): void;
  create(cluster: Cluster): Promise<void>;
  /** Another process on the same store. */
  another(changes?: Partial<PublicationOptions>): Publications;
  /** Looks after what dead processes left. */
  takeOver(): Promise<void>;
  anotherActivations(changes?: Partial<ActivationOptions>): Activations;
  close(): Promise<void>;
}

export interface JobsOptions {
  parallel?: number;
  store?: (real: Store) => Store;
  /** Plays every machine, once its request has come; otherwise the test plays what it finds in `sessions`. */
  play?: (session: PlayedSession) => void;
}

export async function openJobs(options: JobsOptions = {}): Promise<Jobs> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-jobs-'));
  const hostsFile = join(folder, 'hosts');
  writeFileSync(hostsFile, '');
  const real = openSqliteStore(join(folder, 'weir.db'));
  const store = options.store?.(real) ?? real;
  const errors: string[] = [];
  let time = Date.parse('2024-05-01T08:00:00Z');
  let ids = 0;
  const now = () => new Date(time);
  const randomId = () => String(++ids).padStart(8, '0');
  const onError = (message: string) => errors.push(message);
  const state = await openState(real, { now, randomId, onError, inService: (cluster) => lbsInService(real, cluster) });
  const releases = createReleases(state, createResolve({ hostsFile, timeoutMs: 200, totalMs: 200 }));
  const published = createPublished(store, state, releases);
  const sessions: PlayedSession[] = [];
  const common = {
    store,
    state,
    releases,
    published,
    remote: playedRemote(sessions, options.play),
    now,
    randomId,
    timeoutMs: 10_000,
    owner: 'test',
    onError,
  };
  const another = (changes: Partial<PublicationOptions> = {}) =>
    createPublications({ ...common, parallel: options.parallel ?? 8, ...changes });
  const anotherActivations = (changes: Partial<ActivationOptions> = {}) =>
    createActivations({ ...common, waitSeconds: 30, ...changes });
  const publications = another();
  const activations = anotherActivations();
  return {
    store,
    state,
    releases,
    published,
    publications,
    activations,
    lbRequests: createLbRequests(common),
    statuses: createStatuses({ ...common, parallel: options.parallel ?? 8 }),
    probes: createProbes({ ...common, parallel: options.parallel ?? 8 }),
    neighbour: undefined,
    sessions,
    errors,
    another,
    anotherActivations,
    takeOver: () =>
      takeOverNow({
        ...common,
        owner: 'survivor',
        async settle({ cluster, id }) {
          await publications.interrupt(cluster, id);
          await activations.interrupt(cluster, id);
        },
      }),
    setHosts: (text) => writeFileSync(hostsFile, text),
    pass: (ms) => void (time += ms),
    create: async (cluster) => {
      await state.change({ cluster: cluster.name, calls: [{ op: 'cluster.create', input: { cluster } }], by: 'test' });
    },
    async close() {
      for (const session of sessions) session.fail('the test is over');
      await Promise.all([publications.close(), activations.close()]);
      state.close();
      await real.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A session whose machine is played by the test. */
export interface PlayedSession {
  readonly target: Target;
  readonly ended: boolean;
  /** The request line, and what came after. */
  readonly received: string;
  say(line: string): void;
  /** Plays a publication to its end. */
  publish(): void;
  /** Plays the end of what else an LB is asked for, e.g. `activated ID`. */
  done(what: string): void;
  /** Ends with these words on standard error. */
  fail(words: string): void;
}

function playedRemote(sessions: PlayedSession[], play: JobsOptions['play']): Remote {
  return {
    run(target, _command, options) {
      const { session, played } = openPlayed(target, options, play);
      sessions.push(played);
      return session;
    },
  };
}

function openPlayed(
  target: Target,
  { signal }: RunOptions,
  play: JobsOptions['play'],
): { session: RemoteSession; played: PlayedSession } {
  const lines: string[] = [];
  let received = '';
  let ended = false;
  let wake = (): void => {};
  let settle = (_exit: RemoteExit): void => {};
  const done = new Promise<RemoteExit>((resolve) => (settle = resolve));
  const end = (code: number | null, words: string) => {
    if (ended) return;
    ended = true;
    settle({ code, stderr: words, timedOut: false, bytesSent: received.length, bytesReceived: 0 });
    wake();
  };
  signal?.addEventListener('abort', () => end(null, ''));
  const played: PlayedSession = {
    target,
    get ended() {
      return ended;
    },
    get received() {
      return received;
    },
    say(line) {
      lines.push(line);
      wake();
    },
    publish() {
      for (const step of ['lock', 'stage', 'check', 'backup', 'switch', 'confirm']) played.say(`step ${step}`);
      played.say('done published x');
      end(0, '');
    },
    done(what) {
      played.say(`done ${what}`);
      end(0, '');
    },
    fail: (words) => end(1, words),
  };
  async function* read(): AsyncGenerator<string> {
    for (;;) {
      const line = lines.shift();
      if (line !== undefined) yield line;
      else if (ended) return;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  }
  const session: RemoteSession = {
    lines: read(),
    write(data) {
      if (ended) return Promise.reject(new WeirError('remote', 'The session is over'));
      const first = received === '';
      received += Buffer.from(data).toString('latin1');
      if (first) play?.(played);
      return Promise.resolve();
    },
    end() {},
    done,
    kill: () => end(null, ''),
  };
  return { session, played };
}
