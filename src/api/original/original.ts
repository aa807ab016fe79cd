/**
 * The API of the system that Weir replaces, at /lvs/: the same calls, arguments and answers, for scripts that are
 * there already. Changes become operations (translate.ts), a push becomes a publication (push.ts); nothing else is
 * changed or published from here. What Weir refuses is answered as the original answered a failure, with the reason
 * in a header; faults stay problems, as everywhere.
 * Only api/app.ts, api/auth.ts and server.ts import the folder.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { originalCluster } from '../../adopt/original/record.ts';
import { originalRoutes as routes } from '../../contract/original.ts';
import type { OriginalRoute } from '../../contract/original.ts';
import { ApiError } from '../../contract/schemas.ts';
import { errorKinds, WeirError } from '../../domain/errors.ts';
import type { Services } from '../app.ts';
import { param } from '../request.ts';
import type { Handler } from '../request.ts';
import { sendJson, sendOutcome } from './answers.ts';
import { readArguments } from './arguments.ts';
import type { Arguments } from './arguments.ts';
import { carryOut } from './carry-out.ts';
import type { Asked, Edges } from './carry-out.ts';
import { formTypes, installForms } from './forms.ts';
import { createPush } from './push.ts';
import { translations } from './translate.ts';
import type { ChangeName } from './translate.ts';

export interface OriginalOptions {
  logger: Logger;
  /** How long a push waits for other work on the cluster's LBs, in ms. */
  patienceMs: number;
}

export function originalApi(app: FastifyInstance, services: Services, options: OriginalOptions): void {
  const { state, publications } = services;
  installForms(app);
  installRetryAfter(app);
  readRoutes(app, services);
  const edges = { state, push: createPush({ publications, patienceMs: options.patienceMs }), logger: options.logger };

  for (const name of Object.keys(translations) as ChangeName[]) {
    const route: ChangingRoute = routes[name];
    const ask = (request: FastifyRequest, args: Arguments) => ({
      cluster: route.path.includes(':cluster') ? param(request, 'cluster') : args.text('name'),
      translate: () => translations[name](args),
      push: args.push && name !== 'clusterDelete',
    });
    addRoute(app, route, answering(route, ask, edges));
  }

  const sync = (_request: FastifyRequest, args: Arguments) => ({ cluster: args.text('name'), push: true });
  addRoute(app, routes.sync, answering(routes.sync, sync, edges));
}

function readRoutes(app: FastifyInstance, { state }: Services): void {
  addRoute(app, routes.clusterList, (_request, reply) => {
    const message = state.list().map(({ cluster }) => originalCluster(cluster));
    return sendJson(reply, { status: 'success', message });
  });

  addRoute(app, routes.clusterGet, (request, reply) => {
    const name = param(request, 'cluster');
    const found = state.get(name);
    if (!found) {
      const details = [`there is no cluster ${name}`];
      return sendOutcome(reply, routes.clusterGet.line, { ok: false, revision: undefined, details });
    }
    void reply.header('weir-revision', found.revision);
    return sendJson(reply, { status: 'success', message: originalCluster(found.cluster) });
  });

  addRoute(app, routes.vipNames, (_request, reply) => {
    const vips = state.list().flatMap(({ cluster }) => originalCluster(cluster).vip2ws);
    // One that moves is in two clusters.
    return sendJson(reply, [...new Set(vips.map(({ vip }) => vip))]);
  });

  addRoute(app, routes.lbNames, (_request, reply) => {
    const lbs = state.list().flatMap(({ cluster }) => cluster.lbinfos);
    return sendJson(
      reply,
      lbs.map(({ hostname }) => hostname),
    );
  });
}

type ChangingRoute = OriginalRoute & Required<Pick<OriginalRoute, 'args' | 'line'>>;
type Ask = (request: FastifyRequest, args: Arguments) => Omit<Asked, 'by'>;

/** Carries out what a call asks for, and answers with its line. */
function answering(route: ChangingRoute, ask: Ask, { logger, ...edges }: Edges & { logger: Logger }): Handler {
  return async (request, reply) => {
    const args = readArguments(request, route.args);
    const asked = { ...ask(request, args), by: request.by };
    const { ok, revision, details } = await carryOut(asked, edges);
    if (!ok) {
      const { cluster, by } = asked;
      logger.warn({ reqId: request.id, cluster, by, revision, details }, `${route.method} ${route.path} failed`);
    }
    const ignored = args.unknown.length > 0 ? [`passed over: ${args.unknown.join(', ')}`] : [];
    return sendOutcome(reply, route.line, { ok, revision, details: [...details, ...ignored] });
  };
}

const RETRY_AFTER_S = 5;

/** Faults of the store do not say when to come again; what runs the scripts may look for it. */
function installRetryAfter(app: FastifyInstance): void {
  app.setErrorHandler((thrown: Error, _request, reply) => {
    const passes = thrown instanceof WeirError && errorKinds[thrown.code].status === 503;
    if (passes) void reply.header('retry-after', RETRY_AFTER_S);
    throw thrown;
  });
}

const problem = { description: 'problem', content: { 'application/problem+json': { schema: ApiError } } };

/** As api/request.ts does for v1, with arguments where forms have them. */
function addRoute(app: FastifyInstance, route: OriginalRoute, handler: Handler): void {
  const { method, path, summary, args, answer } = route;
  const inBody = method === 'POST' || method === 'PATCH';
  const names = [...path.matchAll(/:(\w+)/g)].map((m) => m[1] ?? '');
  app.route({
    method,
    url: path,
    schema: {
      summary,
      tags: ['original'],
      ...(args ? (inBody ? { body: args, consumes: [...formTypes] } : { querystring: args }) : {}),
      params: { type: 'object', properties: Object.fromEntries(names.map((n) => [n, { type: 'string' }])) },
      response: {
        200: { description: 'done, or refused', content: { 'application/json': { schema: answer } } },
        '4xx': problem,
        '5xx': problem,
      },
    },
    handler,
  });
}
