/** Routes of releases, plans and publications. */
import { gzipSync } from 'node:zlib';
import type { FastifyInstance } from 'fastify';
import { routes } from '../contract/routes.ts';
import { WeirError } from '../domain/errors.ts';
import { makePlan } from '../jobs/plan.ts';
import type { Plan } from '../jobs/plan.ts';
import { mustGet } from '../jobs/releases.ts';
import { releaseTar } from '../publish/bundle.ts';
import type { RenderedFile } from '../render/files.ts';
import type { Services } from './app.ts';
import { jobRoutes } from './jobs.ts';
import { addRoute, param, readBody } from './request.ts';

export function publishingRoutes(app: FastifyInstance, services: Services): void {
  const { state, releases, published, publications } = services;

  addRoute(app, routes.release, async (request, reply) => {
    const lb = param(request, 'lb');
    const name = param(request, 'cluster');
    if (!mustGet(state, name).cluster.lbinfos.some((l) => l.hostname === lb)) throw unknownLb(name, lb);
    const { state: cluster } = await releases.refresh(name);
    const release = releases.of(cluster).find((r) => r.lb === lb);
    if (!release) throw unknownLb(name, lb);
    const files = [...release.files(), release.manifest()].map(masked);
    void reply.header('etag', `"${release.id}"`).header('vary', 'accept');
    if (/application\/(?:gzip|x-tar|x-gtar)/.test(request.headers.accept ?? '')) {
      const name = `${release.lb}-${release.id.slice(0, 12)}.tar.gz`;
      return reply
        .header('content-type', 'application/gzip')
        .header('content-disposition', `attachment; filename="${name}"`)
        .send(gzipSync(await releaseTar(files)));
    }
    return {
      id: release.id,
      cluster: release.cluster,
      lb: release.lb,
      revision: cluster.revision,
      dataplane: release.dataplane,
      routing: release.routing,
      services: release.services,
      files: files.map((f) => ({ path: f.path, mode: f.mode, size: f.size, sha256: f.sha256, text: f.text() })),
    };
  });

  addRoute(app, routes.plan, async (request) =>
    withoutKeys(await makePlan(param(request, 'cluster'), releases, published)),
  );

  addRoute(app, routes.publicationStart, async (request, reply) => {
    const body = readBody(request, routes.publicationStart.body);
    const publication = await publications.start({ cluster: param(request, 'cluster'), by: request.by, ...body });
    return reply
      .code(202)
      .header('location', `/api/v1/clusters/${publication.cluster}/publications/${publication.id}`)
      .send(publication);
  });

  jobRoutes(
    app,
    {
      list: routes.publicationList,
      get: routes.publicationGet,
      events: routes.publicationEvents,
      cancel: routes.publicationCancel,
    },
    { state, jobs: publications },
  );
}

function unknownLb(cluster: string, lb: string): WeirError {
  return new WeirError('not_found', `cluster ${cluster} has no LB ${lb}`, {
    hint: `weir show ${cluster} lists its LBs`,
  });
}

function masked(file: RenderedFile): RenderedFile {
  if (!isRouting(file.path)) return file;
  const text = mask(file.text());
  return { ...file, size: Buffer.byteLength(text), text: () => text };
}

/** Differences may show keys of earlier revisions, which are no less secret than the present one. */
function withoutKeys(plan: Plan): Plan {
  return { ...plan, files: plan.files.map((f) => (isRouting(f.path) ? { ...f, diff: mask(f.diff) } : f)) };
}

function isRouting(path: string): boolean {
  return path.startsWith('routing/');
}

/** Whatever the key is: it cannot hold a space. */
function mask(text: string): string {
  return text.replaceAll(/( md5) \S+/g, '$1 ******');
}
