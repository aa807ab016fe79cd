/** Routes about what several Weirs, and the original, do on one store: leases, and foreign writes that crossed ours. */
import type { FastifyInstance } from 'fastify';
import { routes } from '../contract/routes.ts';
import type { ConflictView, LeaseView } from '../contract/schemas.ts';
import { WeirError } from '../domain/errors.ts';
import { workOf } from '../jobs/leases.ts';
import type { Lease } from '../store/port.ts';
import { withoutSecrets } from '../store/secrets.ts';
import type { Services } from './app.ts';
import { addRoute, param } from './request.ts';

export function sharingRoutes(app: FastifyInstance, { store, neighbour }: Services): void {
  addRoute(app, routes.leaseList, async () => ({ items: (await store.leases()).map(leaseView) }));

  addRoute(app, routes.leaseBreak, async (request) => {
    const name = param(request, 'lease');
    const lease = (await store.leases()).find((held) => held.name === name);
    if (!lease || !(await store.breakLease(name))) {
      throw new WeirError('not_found', `there is no lease ${name}`, { hint: 'weir lease list shows them' });
    }
    return leaseView(lease);
  });

  addRoute(app, routes.conflictList, async () => {
    const items: ConflictView[] = ((await neighbour?.conflicts()) ?? []).map((conflict) => ({
      ...conflict,
      foreign: conflict.foreign && { ...conflict.foreign },
      problems: withoutSecrets(conflict.problems),
    }));
    return { items, unknown: (await store.mirrors?.unknown()) ?? [] };
  });

  addRoute(app, routes.conflictDismiss, async (request) => {
    const id = param(request, 'conflict');
    if (!neighbour) {
      throw new WeirError('not_found', `there is no conflict ${id}`, { hint: 'only a Redis store has mirrors' });
    }
    await neighbour.dismiss(id, request.by);
    return { id, state: 'dismissed' };
  });
}

function leaseView(lease: Lease): LeaseView {
  const { name, owner, fence, expires } = lease;
  const work = workOf(lease);
  const { cluster = null, what = 'other', id = '', process = owner } = work ?? {};
  return { name, cluster, work: what, id, process, fence, expires, alive: Date.parse(expires) > Date.now() };
}
