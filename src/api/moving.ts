/** The route that moves a VIP between clusters, step by step. */
import type { FastifyInstance } from 'fastify';
import { routes } from '../contract/routes.ts';
import type { MoveResult } from '../contract/schemas.ts';
import type { Services } from './app.ts';
import { requestOf, resultOf } from './changes.ts';
import { addRoute, param, readBody } from './request.ts';

export function movingRoutes(app: FastifyInstance, { state }: Services): void {
  addRoute(app, routes.vipMove, async (request, reply): Promise<MoveResult> => {
    const { to, step } = readBody(request, routes.vipMove.body);
    const vip = param(request, 'vip');
    const { calls: _none, cluster: from, ...change } = requestOf(request, param(request, 'cluster'), []);
    const dryRun = change.dryRun === true;
    const outcome = await state.move({ ...change, vip, from, to, step });
    if (!dryRun) void reply.header('etag', `"${outcome.from.revision}"`);
    return {
      vip,
      step,
      from: resultOf(outcome.from, { cluster: from, dryRun }),
      to: resultOf(outcome.to, { cluster: to, dryRun }),
    };
  });
}
