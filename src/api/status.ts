/** Routes of what LBs really run. They read from the machines at the time of asking; nothing is changed. */
import type { FastifyInstance } from 'fastify';
import { routes } from '../contract/routes.ts';
import { refuse } from '../domain/errors.ts';
import { error } from '../domain/problem.ts';
import type { Problem } from '../domain/problem.ts';
import type { Services } from './app.ts';
import { addRoute, param, readQuery } from './request.ts';

export function statusRoutes(app: FastifyInstance, { statuses }: Services): void {
  addRoute(app, routes.clusterStatus, (request) => {
    const { lbs, services } = readQuery(request, routes.clusterStatus.query);
    return statuses.of({ cluster: param(request, 'cluster'), lbs: listed(lbs), services });
  });

  addRoute(app, routes.connections, (request) => {
    const { ws, vip } = readQuery(request, routes.connections.query);
    const vips = listed(vip);
    if (ws === undefined && vips === undefined) throw refuse([nobody()], 'bad_request');
    return statuses.connections({ cluster: param(request, 'cluster'), ws, vips });
  });
}

function nobody(): Problem {
  return error('query.ws', {
    code: 'missing',
    message: 'neither ws nor vip is given',
    hint: 'name a WS, VIPs, or both',
  });
}

function listed(text: string | undefined): string[] | undefined {
  return text?.split(',').filter((name) => name !== '');
}
