/** Routes of releases, plans and publications. */
import { gzipSync } from 'node:zlib';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { routes } from '../contract/routes.ts';
import { WeirError } from '../domain/errors.ts';
import { makePlan } from '../jobs/plan.ts';
import type { Plan } from '../jobs/plan.ts';
import type { LbProgress, Publication } from '../jobs/publications.ts';
import { mustGet } from '../jobs/releases.ts';
import { releaseTar } from '../publish/bundle.ts';
import type { RenderedFile } from '../render/files.ts';
import type { Services } from './app.ts';
import { addRoute, pageOf, param, readBody, readQuery } from './request.ts';
import { openSse } from './sse.ts';

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

  addRoute(app, routes.publicationList, async (request) => {
    const query = readQuery(request, routes.publicationList.query);
    const name = param(request, 'cluster');
    const all = await publications.list(name, 1000);
    if (all.length === 0) mustGet(state, name);
    const after = query.after;
    const rest = after === undefined ? all : all.filter((p) => p.id < after);
    const page = pageOf(rest, { limit: query.limit ?? 100 }, (p) => p.id);
    return { items: page.items, next: rest.length > page.items.length ? (page.items.at(-1)?.id ?? null) : null };
  });

  addRoute(app, routes.publicationGet, (request) => publications.get(param(request, 'cluster'), param(request, 'id')));

  addRoute(app, routes.publicationCancel, (request) =>
    publications.cancel(param(request, 'cluster'), param(request, 'id')),
  );

  addRoute(app, routes.publicationEvents, async (request, reply) => {
    const publication = await publications.get(param(request, 'cluster'), param(request, 'id'));
    stream(reply, publication, publications);
    return reply;
  });
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

/** How often a publication that is not under way here is looked at. */
const LOOK_MS = 1000;

/** `snapshot`, then `lb` for each step of each LB, then `end`. */
function stream(reply: FastifyReply, publication: Publication, publications: Services['publications']): void {
  const sse = openSse(reply);
  let before = publication.lbs;
  sse.send('snapshot', publication);
  if (publication.ended !== undefined) {
    sse.send('end', publication);
    sse.end();
    return;
  }
  const onChange = (next: Publication) => {
    for (const [lb, progress] of Object.entries(next.lbs)) {
      if (before[lb] !== progress) sse.send('lb', { lb, ...(progress satisfies LbProgress) });
    }
    before = next.lbs;
    if (next.ended === undefined) return;
    sse.send('end', next);
    sse.end();
  };
  const stop = publications.watch(publication.id, onChange);
  if (stop) {
    sse.onClose(stop);
    return;
  }
  // Another process has it, or had it and died: its record tells, at the latest when its lease ends.
  const timer = setInterval(() => void look(), LOOK_MS);
  sse.onClose(() => clearInterval(timer));
  const look = async () => {
    const known = await publications.get(publication.cluster, publication.id).catch(() => undefined);
    if (known?.ended === undefined) return;
    clearInterval(timer);
    onChange(known);
  };
  void look();
}
