/**
 * Activations: the LBs of a cluster make their daemons run what was published there last, one after the
 * other in the document's order, unless several at once are asked for. Each LB checks itself and goes back
 * by itself; the first that does not get there stops those that have not begun.
 */
import pLimit from 'p-limit';
import type { Cluster, Lb } from '../domain/edge/model.ts';
import { refuse, WeirError } from '../domain/errors.ts';
import { error, warning } from '../domain/problem.ts';
import type { Problem } from '../domain/problem.ts';
import { askLb } from '../publish/activate-lb.ts';
import type { LbOutcome } from '../publish/activate-lb.ts';
import type { Remote } from '../remote/port.ts';
import type { ClusterState } from '../store/present.ts';
import type { State } from '../store/state.ts';
import { createLbJobs, waiting } from './lb-jobs.ts';
import type { Begun, JobKind, JobOptions, JobRun, Jobs, LbJob } from './lb-jobs.ts';
import { changedNothing, chosenLbs, sudoOf, targetOf } from './lbs.ts';
import type { Place, Given, PublishedReleases } from './published.ts';
import { mustGet } from './releases.ts';
import type { Releases } from './releases.ts';

export interface Activation extends LbJob {
  /** Newest of the revisions that the LBs run afterwards. */
  readonly revision: number;
  /** Seconds that the checks after a reload may take until they pass. */
  readonly wait: number;
}

export interface ActivationRequest {
  cluster: string;
  by: string;
  /** Only these LBs; all if left out. */
  lbs?: readonly string[] | undefined;
  /** Refuse unless this revision is what is published on all of them. */
  revision?: number | undefined;
  /** Seconds; default by the settings. */
  wait?: number | undefined;
  /** Restart Quagga where its files changed, with the VIPs withdrawn meanwhile. */
  restartRouting?: boolean | undefined;
  /** LBs at once; default 1. */
  parallel?: number | undefined;
}

export interface Activations extends Jobs<Activation> {
  start(request: ActivationRequest): Promise<Activation>;
}

export interface ActivationOptions extends JobOptions {
  state: State;
  releases: Releases;
  published: PublishedReleases;
  remote: Remote;
  /** Default of a request's `wait`, in seconds. */
  waitSeconds: number;
  /** One LB, from connect to confirm, without the wait for its checks, in ms. */
  timeoutMs: number;
}

const kind: JobKind = {
  name: 'activation',
  outcomeOf(states) {
    if (states.has('failed') || states.has('undone')) return 'failed';
    return states.has('cancelled') ? 'cancelled' : 'done';
  },
  unseen: (lb) =>
    lb.state === 'running'
      ? 'Weir ended while this LB was under way; the LB goes on and checks itself: see weir status'
      : 'not activated: Weir ended before its turn',
};

interface GivenLb {
  lb: Lb;
  given: Given;
}

interface Work {
  cluster: Cluster;
  /** In the document's order. */
  lbs: readonly GivenLb[];
  wait: number;
  restartRouting: boolean;
  parallel: number;
}

export function createActivations(options: ActivationOptions): Activations {
  const { state, releases, published } = options;
  const jobs = createLbJobs<Activation>(kind, options);

  async function begin(request: ActivationRequest): Promise<Begun<Activation>> {
    const cluster = mustGet(state, request.cluster);
    const lbs = await givenLbs(cluster, request.lbs);
    const other = lbs.find(({ given }) => request.revision !== undefined && given.revision !== request.revision);
    if (other) throw otherRevision(cluster, other, request.revision);
    const wait = request.wait ?? options.waitSeconds;
    return {
      job: {
        cluster: cluster.name,
        revision: Math.max(...lbs.map(({ given }) => given.revision)),
        wait,
        by: request.by,
        warnings: olderThanNewest(cluster, lbs),
        lbs: Object.fromEntries(lbs.map(({ lb, given }) => [lb.hostname, waiting(given.release)])),
      },
      work: (run) =>
        activate(run, {
          cluster: cluster.cluster,
          lbs,
          wait,
          restartRouting: request.restartRouting ?? false,
          parallel: request.parallel ?? 1,
        }),
    };
  }

  async function givenLbs(cluster: ClusterState, wanted: readonly string[] | undefined): Promise<GivenLb[]> {
    const chosen = new Set(chosenLbs(cluster.cluster, wanted));
    const given = await published.given(cluster.name);
    const doubts = await published.doubts(cluster.name);
    const problems: Problem[] = [];
    const lbs: GivenLb[] = [];
    for (const lb of cluster.cluster.lbinfos.filter((one) => chosen.has(one))) {
      const its = given.get(lb.hostname);
      if (its) lbs.push({ lb, given: its });
      else problems.push(notPublished(cluster.name, lb.hostname, doubts.get(lb.hostname)));
    }
    if (problems.length > 0) throw refuse(problems, 'not_published');
    return lbs;
  }

  /** Names the LBs whose release is not what the newest revision gives. */
  function olderThanNewest(cluster: ClusterState, lbs: readonly GivenLb[]): Problem[] {
    const newest = newestReleases(cluster);
    const older = lbs.filter(({ lb, given }) =>
      newest ? newest.get(lb.hostname) !== given.release : given.revision !== cluster.revision,
    );
    if (older.length === 0) return [];
    const named = older.map(({ lb, given }) => `${lb.hostname} (${given.revision})`).slice(0, 10);
    return [
      warning('revision', {
        code: 'older_published',
        message: `revision ${cluster.revision} is the newest; older ones are published on, and activated by: ${named.join(', ')}`,
        hint: `weir plan ${cluster.name} shows what is not published`,
      }),
    ];
  }

  function newestReleases(cluster: ClusterState): Map<string, string> | undefined {
    try {
      return new Map(releases.of(cluster).map((release) => [release.lb, release.id]));
    } catch (thrown) {
      if (thrown instanceof WeirError) return undefined;
      throw thrown;
    }
  }

  async function activate(run: JobRun, work: Work): Promise<void> {
    const limit = pLimit(work.parallel);
    let over: string | undefined;
    let broken = false;
    const next = async ({ lb, given }: GivenLb): Promise<void> => {
      // The runner tells those that have no outcome.
      if (broken) return;
      if (over === undefined && run.stop.aborted) over = 'cancelled before it began';
      if (over !== undefined) return run.tell(lb.hostname, { state: 'cancelled', message: over });
      const outcome = await one(run, { lb, given }, work).catch((thrown: unknown) => {
        broken = true;
        throw thrown;
      });
      if (outcome.state === 'activated' || outcome.state === 'unchanged') return;
      over ??= `not activated: LB ${lb.hostname} ${outcome.state === 'undone' ? 'was undone' : 'failed'}`;
    };
    const all = work.lbs.map((lb) => limit(next, lb));
    // Whatever becomes of one, the job ends when none is under way.
    await Promise.allSettled(all);
    await Promise.all(all);
  }

  async function one(run: JobRun, { lb, given }: GivenLb, work: Work): Promise<LbOutcome> {
    const name = lb.hostname;
    run.tell(name, { state: 'running', step: 'connect' });
    run.save();
    // Noted ahead: it stands if Weir dies before it has seen how it ends.
    const at = { cluster: work.cluster.name, lb: name, fence: run.fence };
    await published.doubt(at, `Weir did not see how its activation ${run.id} ended`);
    const outcome = await askLb({
      remote: options.remote,
      target: targetOf(work.cluster, lb),
      sudo: sudoOf(work.cluster, lb),
      fence: run.fence,
      request: {
        action: 'activate',
        release: given.release,
        waitSeconds: work.wait,
        state: stateNow(work.cluster.name, lb),
        restartRouting: work.restartRouting,
      },
      timeoutMs: options.timeoutMs + work.wait * 1000,
      signal: run.ending,
      onStep: (step) => run.tell(name, { step }),
    });
    run.tell(name, outcome);
    run.save();
    await run.keep(() => recordOf(outcome, at, run.id));
    return outcome;
  }

  /** As the document says now: a drain may have come since the job began. */
  function stateNow(cluster: string, lb: Lb): 'up' | 'drain' {
    const now = state.get(cluster)?.cluster.lbinfos.find((one) => one.hostname === lb.hostname);
    return (now ?? lb).state ?? 'up';
  }

  async function recordOf(outcome: LbOutcome, at: Place, id: string): Promise<void> {
    if (outcome.state === 'activated' || outcome.state === 'unchanged') await published.activated(at);
    else if (outcome.state === 'undone')
      await published.doubt(at, `it went back to what it had before its activation ${id}`);
    else if (changedNothing(outcome)) await published.doubt(at);
  }

  return { ...jobs, start: (request) => jobs.start(request.cluster, () => begin(request)) };
}

function notPublished(cluster: string, lb: string, doubt: string | undefined): Problem {
  return error('lbs', {
    code: 'not_published',
    message:
      doubt === undefined
        ? `Weir has published nothing on LB ${lb} yet`
        : `what is published on LB ${lb} is not known: ${doubt}`,
    hint: `weir publish ${cluster} --lb ${lb}`,
  });
}

function otherRevision(cluster: ClusterState, { lb, given }: GivenLb, wanted: number | undefined): WeirError {
  return new WeirError(
    'revision_mismatch',
    `LB ${lb.hostname} has revision ${given.revision} published, not ${wanted}`,
    {
      hint: `publish it first: weir publish ${cluster.name} --revision ${wanted}`,
      revision: cluster.revision,
    },
  );
}
