/** The route that asks LBs what they are. Nothing is changed on them; it is a POST since ARP requests leave them. */
import type { FastifyInstance } from 'fastify';
import { routes } from '../contract/routes.ts';
import type { Services } from './app.ts';
import { addRoute, param, readQuery } from './request.ts';

export function probeRoutes(app: FastifyInstance, { probes }: Services): void {
  addRoute(app, routes.clusterProbe, (request) => {
    const { lbs } = readQuery(request, routes.clusterProbe.query);
    return probes.of({ cluster: param(request, 'cluster'), lbs: lbs?.split(',').filter((name) => name !== '') });
  });
}
