/**
 * The HTTP API as a Fastify app: a pure plugin over services that are handed in; tests inject into
 * it, server.ts listens with it. Every route is declared in contract/; every error leaves through errors.ts.
 * May import every layer but the client, the CLI and main.
 */
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import Fastify from 'fastify';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { Net } from '../domain/address.ts';
import type { Activations } from '../jobs/activations.ts';
import type { LbRequests } from '../jobs/lb-requests.ts';
import type { Neighbour } from '../jobs/neighbour.ts';
import type { Probes } from '../jobs/probe.ts';
import type { Publications } from '../jobs/publications.ts';
import type { PublishedReleases } from '../jobs/published.ts';
import type { Releases } from '../jobs/releases.ts';
import type { Statuses } from '../jobs/status.ts';
import type { State } from '../store/state.ts';
import type { Store } from '../store/port.ts';
import { activatingRoutes } from './activating.ts';
import { installAuth } from './auth.ts';
import { installBodies } from './bodies.ts';
import { changeRoutes } from './changes.ts';
import { installErrors, refuseUnread, refuseUnrouted } from './errors.ts';
import { eventRoutes } from './events.ts';
import { installFreshness } from './freshness.ts';
import { healthRoutes } from './health.ts';
import { installMetrics } from './metrics.ts';
import { movingRoutes } from './moving.ts';
import { originalApi } from './original/original.ts';
import { probeRoutes } from './probe.ts';
import { publishingRoutes } from './publishing.ts';
import { readRoutes } from './reads.ts';
import { sharingRoutes } from './sharing.ts';
import { statusRoutes } from './status.ts';
import { transferRoutes } from './transfer.ts';
import { wstypeRoutes } from './wstypes.ts';

export interface Services {
  store: Store;
  state: State;
  releases: Releases;
  published: PublishedReleases;
  publications: Publications;
  activations: Activations;
  lbRequests: LbRequests;
  statuses: Statuses;
  probes: Probes;
  /** Where the store has mirrors that another program may write. */
  neighbour: Neighbour | undefined;
  adminToken: string;
  version: string;
}

export interface AppOptions {
  /** Kept out of Fastify, which would make a child of it and listeners for every request. */
  logger: Logger;
  bodyLimit: number;
  original: {
    /** Requests from there need no token for the original's API. */
    networks: readonly Net[];
    /** How long its pushes wait for other work on the cluster's LBs, in ms. */
    patienceMs: number;
  };
}

export async function createApp(services: Services, options: AppOptions): Promise<FastifyInstance> {
  const common = {
    bodyLimit: options.bodyLimit,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 300 },
    forceCloseConnections: true as const,
    requestTimeout: 120_000,
    frameworkErrors: refuseUnrouted,
    clientErrorHandler: refuseUnread,
  };
  const app: FastifyInstance = Fastify(common);
  // Requests are checked in request.ts and the domain; schemas on routes are documentation.
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  installErrors(app, options.logger);
  installBodies(app);
  installAuth(app, { adminToken: services.adminToken, originalNetworks: options.original.networks });
  const metrics = installMetrics(app, services, options.logger);
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Weir',
        version: services.version,
        description: INTRODUCTION,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      security: [{ token: [] }],
    },
  });
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: true,
    uiConfig: { docExpansion: 'list', deepLinking: true },
  });
  healthRoutes(app, services, metrics);
  await app.register(
    async (v1) => {
      installFreshness(v1, services.state);
      changeRoutes(v1, services);
      movingRoutes(v1, services);
      readRoutes(v1, services);
      wstypeRoutes(v1, services);
      publishingRoutes(v1, services);
      activatingRoutes(v1, services);
      statusRoutes(v1, services);
      probeRoutes(v1, services);
      sharingRoutes(v1, services);
      transferRoutes(v1, services);
      eventRoutes(v1, services);
    },
    { prefix: '/api/v1' },
  );
  const { logger, original } = options;
  await app.register(async (scope) => originalApi(scope, services, { logger, patienceMs: original.patienceMs }));
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger());
  return app;
}

const INTRODUCTION = `Control plane of an edge made of LVS, OSPF, FULLNAT and Nginx.

Documents carry \`ETag: "REVISION"\`; \`If-Match\` on a change gives 412 with the current revision.
Several Weirs may share a store. Each answers from its memory, which follows the store within milliseconds. Who must not
read older than what it knows sends \`Weir-At-Least: REVISION\` with what it asks of a cluster, or
\`Weir-Position: POSITION\` as a change answered it, with anything: the answer waits until it holds that.
\`?dryRun=true\` on every change answers what would happen. Errors are RFC 9457 problems with
\`code\`, \`hint\` and every problem found, each with its path in the input or document.
Calls tagged \`original\` are those of the system before, for its scripts: they have answers of their own.
Bodies are JSON; with \`Content-Type: text/plain\` (or application/yaml, application/json5) text that
starts with { or [ is read as JSON5, anything else as YAML.`;
