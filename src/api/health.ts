/** Health for balancers and supervisors, and metrics. */
import type { FastifyInstance } from 'fastify';
import type { Registry } from 'prom-client';
import { messageOf, WeirError } from '../domain/errors.ts';
import type { Services } from './app.ts';

export function healthRoutes(app: FastifyInstance, { store, version }: Services, metrics: Registry): void {
  const hidden = { schema: { hide: true } };
  app.get('/healthz', hidden, () => ({ status: 'ok', version }));
  app.get('/readyz', hidden, async () => {
    try {
      await store.ping();
      return { status: 'ready', store: store.description };
    } catch (thrown) {
      throw new WeirError('unavailable', `the store does not answer: ${messageOf(thrown)}`, {
        hint: 'see the log',
        retryAfter: 5,
        cause: thrown,
      });
    }
  });
  app.get('/metrics', hidden, async (_request, reply) =>
    reply.header('content-type', metrics.contentType).send(await metrics.metrics()),
  );
}
