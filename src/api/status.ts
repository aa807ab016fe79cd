/** Routes of what LBs really run. They read from the machines at the time of asking; nothing is changed. */
import type { FastifyInstance } from 'fastify';
import { routes } from '../contract/routes.ts';
import type { Services } from './app.ts';
import { addRoute, param, readQuery } from './request.ts';

export function statusRoutes(app: FastifyInstance, { statuses }: Services): void {
  addRoute(app, routes.clusterStatus, (request) => {
    const { lbs, services } = readQuery(request, routes.clusterStatus.query);
    return statuses.of({ cluster: param(request, 'cluster'), lbs: listed(lbs), services });
  });

  addRoute(app, routes.connections, (request) => {
    const { ws, vip } = readQuery(request, routes.connections.query);
    return statuses.connections({ cluster: param(request, 'cluster'), ws, vips: listed(vip) });
  });
}

function listed(text: string | undefined): string[] | undefined {
  return text?.split(',').filter((name) => name !== '');
}
