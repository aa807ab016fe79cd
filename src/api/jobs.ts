/** Routes that all kinds of jobs on LBs have: to list, look at, follow and cancel them. */
import type { FastifyInstance, FastifyReply } from 'fastify';
import { routes } from '../contract/routes.ts';
import type { Route } from '../contract/routes.ts';
import type { Jobs, LbJob, LbProgress } from '../jobs/lb-jobs.ts';
import { sameValue } from '../domain/edge/patch.ts';
import { mustGet } from '../jobs/releases.ts';
import type { State } from '../store/state.ts';
import { addRoute, pageOf, param, readQuery } from './request.ts';
import { openSse } from './sse.ts';

/** The declared routes of a kind. */
export interface JobRoutes {
  list: Route;
  get: Route;
  events: Route;
  cancel: Route;
}

export interface JobServices {
  state: State;
  jobs: Jobs<LbJob>;
}

export function jobRoutes(app: FastifyInstance, declared: JobRoutes, { state, jobs }: JobServices): void {
  addRoute(app, declared.list, async (request) => {
    const query = readQuery(request, routes.publicationList.query);
    const name = param(request, 'cluster');
    const all = await jobs.list(name, 1000);
    if (all.length === 0) mustGet(state, name);
    const after = query.after;
    const rest = after === undefined ? all : all.filter((job) => job.id < after);
    const page = pageOf(rest, { limit: query.limit ?? 100 }, (job) => job.id);
    return { items: page.items, next: rest.length > page.items.length ? (page.items.at(-1)?.id ?? null) : null };
  });

  addRoute(app, declared.get, (request) => jobs.get(param(request, 'cluster'), param(request, 'id')));

  addRoute(app, declared.cancel, (request) => jobs.cancel(param(request, 'cluster'), param(request, 'id')));

  addRoute(app, declared.events, async (request, reply) => {
    const job = await jobs.get(param(request, 'cluster'), param(request, 'id'));
    stream(reply, job, jobs);
    return reply;
  });
}

/** How often a job that is under way at another process is looked at. */
const LOOK_MS = 500;

/** `snapshot`, then `lb` for each step of each LB, then `end`. */
function stream(reply: FastifyReply, job: LbJob, jobs: Jobs<LbJob>): void {
  const sse = openSse(reply);
  let before = job.lbs;
  sse.send('snapshot', job);
  if (job.ended !== undefined) {
    sse.send('end', job);
    sse.end();
    return;
  }
  const onChange = (next: LbJob) => {
    for (const [lb, progress] of Object.entries(next.lbs)) {
      if (!sameValue(before[lb], progress)) sse.send('lb', { lb, ...(progress satisfies LbProgress) });
    }
    before = next.lbs;
    if (next.ended === undefined) return;
    sse.send('end', next);
    sse.end();
  };
  const stop = jobs.watch(job.id, onChange);
  if (stop) {
    sse.onClose(stop);
    return;
  }
  // Another process has it, or had it and died: its record tells, at the latest when its lease ends.
  let ended = false;
  const timer = setInterval(() => void look(), LOOK_MS);
  sse.onClose(() => clearInterval(timer));
  const look = async () => {
    const known = await jobs.get(job.cluster, job.id).catch(() => undefined);
    if (!known || ended) return;
    ended = known.ended !== undefined;
    if (ended) clearInterval(timer);
    onChange(known);
  };
  void look();
}
