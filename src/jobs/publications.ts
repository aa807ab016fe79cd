/** Publications: bringing a cluster's releases onto its LBs, in parallel; one LB that fails does not stop the others. */
import pLimit from 'p-limit';
import { lipsOf } from '../domain/edge/lips.ts';
import type { Lb } from '../domain/edge/model.ts';
import { WeirError } from '../domain/errors.ts';
import { publishToLb } from '../publish/publish-lb.ts';
import type { Remote } from '../remote/port.ts';
import type { Release } from '../render/cluster.ts';
import { readAhead, validateRelease } from '../render/validate.ts';
import type { ClusterState } from '../store/present.ts';
import type { State } from '../store/state.ts';
import { createLbJobs, waiting } from './lb-jobs.ts';
import type { Begun, JobKind, JobOptions, JobRun, Jobs, LbJob } from './lb-jobs.ts';
import { chosenLbs, sudoOf, targetOf } from './lbs.ts';
import type { Published, PublishedReleases } from './published.ts';
import { mustGet } from './releases.ts';
import type { Releases } from './releases.ts';

export interface Publication extends LbJob {
  /** `restore`: what was there before the first publication is put back. */
  readonly action: 'publish' | 'restore';
}

export interface PublicationRequest {
  cluster: string;
  by: string;
  /** Only these LBs; all if left out. */
  lbs?: readonly string[] | undefined;
  /** Refuse unless this is the current revision. */
  revision?: number | undefined;
  /** Replace files that were changed by hand on the LB. */
  overwrite?: boolean | undefined;
  action?: 'publish' | 'restore' | undefined;
}

export interface Publications extends Jobs<Publication> {
  start(request: PublicationRequest): Promise<Publication>;
}

export interface PublicationOptions extends JobOptions {
  state: State;
  releases: Releases;
  published: PublishedReleases;
  remote: Remote;
  /** Sessions at once over all publications. */
  parallel: number;
  /** One LB, from connect to confirm, in ms. */
  timeoutMs: number;
}

const kind: JobKind = {
  name: 'publication',
  outcomeOf: (states) => (states.has('cancelled') ? 'cancelled' : states.has('failed') ? 'failed' : 'done'),
  unseen: () => 'Weir ended while this LB was under way; publish again',
};

interface Work {
  cluster: ClusterState;
  lbs: readonly Lb[];
  byLb: ReadonlyMap<string, Release>;
  overwrite: boolean;
}

type Known = (lb: string, id: string) => Release | undefined;

export function createPublications(options: PublicationOptions): Publications {
  const { state, releases, published } = options;
  const jobs = createLbJobs<Publication>(kind, options);
  const limit = pLimit(options.parallel);

  async function begin(request: PublicationRequest): Promise<Begun<Publication>> {
    const action = request.action ?? 'publish';
    const { state: cluster, warnings } =
      action === 'publish'
        ? await releases.refresh(request.cluster)
        : { state: mustGet(state, request.cluster), warnings: [] };
    if (request.revision !== undefined && request.revision !== cluster.revision) throw stale(cluster, request.revision);
    const lbs = chosenLbs(cluster.cluster, request.lbs);
    for (const { hostname } of lbs) {
      if (lipsOf(cluster.lips, hostname).length === 0) throw new Error(`no LIPs of ${hostname}`);
    }
    const byLb = new Map(action === 'publish' ? releases.of(cluster).map((r) => [r.lb, r]) : []);
    await expectValid(lbs.flatMap((lb) => byLb.get(lb.hostname) ?? []));
    return {
      job: {
        cluster: cluster.name,
        revision: cluster.revision,
        action,
        by: request.by,
        warnings,
        lbs: Object.fromEntries(lbs.map((lb) => [lb.hostname, waiting(byLb.get(lb.hostname)?.id ?? '')])),
      },
      work: (run) => publish(run, { cluster, lbs, byLb, overwrite: request.overwrite ?? false }),
    };
  }

  async function publish(run: JobRun, work: Work): Promise<void> {
    const known = await published.releasesOf(work.cluster.name);
    const outcomes = await Promise.all(work.lbs.map((lb) => limit(() => one(run, lb, { ...work, known }))));
    const seen = outcomes.filter((o) => o !== undefined);
    await run.keep(() => published.record(work.cluster, seen, run.fence));
  }

  async function one(run: JobRun, lb: Lb, work: Work & { known: Known }): Promise<Published | undefined> {
    const name = lb.hostname;
    if (run.stop.aborted) {
      run.tell(name, { state: 'cancelled', message: 'cancelled before it began' });
      return undefined;
    }
    run.tell(name, { state: 'running', step: 'connect' });
    const release = work.byLb.get(name);
    const outcome = await publishToLb({
      remote: options.remote,
      target: targetOf(work.cluster.cluster, lb),
      sudo: sudoOf(work.cluster.cluster, lb),
      fence: run.fence,
      ...(release ? { release } : {}),
      known: (id) => work.known(name, id),
      overwrite: work.overwrite,
      timeoutMs: options.timeoutMs,
      signal: run.stop,
      onStep: (step) => run.tell(name, { step }),
    });
    run.tell(name, outcome);
    run.save();
    if (outcome.state === 'published' || outcome.state === 'unchanged') return { lb: name, release: release?.id ?? '' };
    return outcome.state === 'restored' ? { lb: name, release: '' } : undefined;
  }

  return { ...jobs, start: (request) => jobs.start(request.cluster, () => begin(request)) };
}

/** Nothing is sent of releases of which one would not do what it means; a file that LBs share is named once. */
async function expectValid(releases: readonly Release[]): Promise<void> {
  for (const release of releases) {
    for (const _step of readAhead(release)) await new Promise((resolve) => setImmediate(resolve));
  }
  const problems = new Map(releases.flatMap(validateRelease).map((problem) => [problem.message, problem]));
  const [first] = problems.values();
  if (!first) return;
  const more = problems.size > 1 ? ` (and ${problems.size - 1} more)` : '';
  throw new WeirError('internal', `Weir rendered a configuration that it must not publish: ${first.message}${more}`, {
    hint: first.hint,
    problems: [...problems.values()],
  });
}

function stale(cluster: ClusterState, wanted: number): WeirError {
  return new WeirError(
    'revision_mismatch',
    `cluster ${cluster.name} is at revision ${cluster.revision}, not ${wanted}`,
    {
      hint: `see what changed: weir diff, then publish revision ${cluster.revision}`,
      revision: cluster.revision,
    },
  );
}
