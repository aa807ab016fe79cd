/** Routes of activations, and of what one LB is asked for: drain, undrain, undo. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { changeQuery, routes } from '../contract/routes.ts';
import type { LbAnswer, DrainRequest } from '../jobs/lb-requests.ts';
import type { Services } from './app.ts';
import { jobRoutes } from './jobs.ts';
import { addRoute, ifMatch, param, readBody, readQuery } from './request.ts';

export function activatingRoutes(app: FastifyInstance, { state, activations, lbRequests }: Services): void {
  addRoute(app, routes.activationStart, async (request, reply) => {
    const body = readBody(request, routes.activationStart.body);
    const activation = await activations.start({ cluster: param(request, 'cluster'), by: request.by, ...body });
    return reply
      .code(202)
      .header('location', `/api/v1/clusters/${activation.cluster}/activations/${activation.id}`)
      .send(activation);
  });

  jobRoutes(
    app,
    {
      list: routes.activationList,
      get: routes.activationGet,
      events: routes.activationEvents,
      cancel: routes.activationCancel,
    },
    { state, jobs: activations },
  );

  addRoute(app, routes.lbDrain, (request): Promise<LbAnswer> => {
    const { reason, override } = readBody(request, routes.lbDrain.body);
    return lbRequests.drain({
      ...drainOf(request, override),
      to: 'drain',
      ...(reason === undefined ? {} : { reason }),
    });
  });

  addRoute(app, routes.lbUndrain, (request): Promise<LbAnswer> => {
    const { override } = readBody(request, routes.lbUndrain.body);
    return lbRequests.drain({ ...drainOf(request, override), to: 'up' });
  });

  addRoute(app, routes.lbUndo, (request) =>
    lbRequests.undo({ cluster: param(request, 'cluster'), lb: param(request, 'lb') }),
  );
}

function drainOf(request: FastifyRequest, override: boolean | undefined): Omit<DrainRequest, 'to'> {
  const { dryRun, message } = readQuery(request, changeQuery);
  return {
    cluster: param(request, 'cluster'),
    lb: param(request, 'lb'),
    by: request.by,
    override,
    dryRun,
    message,
    expected: ifMatch(request),
  };
}
