/** Routes that carry clusters from one Weir to another: export and import. */
import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { routes } from '../contract/routes.ts';
import type { ImportResult } from '../contract/schemas.ts';
import { EXPORT_FORMAT, EXPORT_VERSION, readExported } from '../domain/edge/exported.ts';
import type { ExportHead } from '../domain/edge/exported.ts';
import { refuse } from '../domain/errors.ts';
import { exportedClusters } from '../store/export.ts';
import type { ExportOptions } from '../store/export.ts';
import type { Services } from './app.ts';
import { addRoute, readQuery } from './request.ts';

export function transferRoutes(app: FastifyInstance, services: Services): void {
  addRoute(app, routes.exportAll, (request, reply) => {
    const { history = false, secrets = false } = readQuery(request, routes.exportAll.query);
    return reply
      .header('content-type', 'application/json; charset=utf-8')
      .header('cache-control', 'no-store')
      .send(Readable.from(exportText(services, { history, secrets })));
  });

  addRoute(app, routes.importCluster, async (request): Promise<ImportResult> => {
    const { dryRun = false } = readQuery(request, routes.importCluster.query);
    const read = readExported(request.body);
    if (!read.ok) throw refuse(read.problems);
    const outcome = await services.state.takeIn({ exported: read.value, by: request.by, dryRun });
    return { cluster: read.value.name, dryRun, ...outcome };
  });
}

/** The head on the first line, then a line for each cluster. What fails midway breaks the connection, and no end comes. */
async function* exportText(services: Services, options: ExportOptions): AsyncGenerator<string> {
  const head: ExportHead = {
    format: EXPORT_FORMAT,
    version: EXPORT_VERSION,
    weir: services.version,
    at: new Date().toISOString(),
    source: services.store.description,
    ...options,
    nginx: [],
  };
  yield `${JSON.stringify(head).slice(0, -1)},"clusters":[`;
  yield* exportedClusters(services, options);
  yield '\n]}\n';
}
