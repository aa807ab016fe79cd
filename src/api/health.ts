/** Health for balancers and supervisors, and metrics. */
import type { FastifyInstance } from 'fastify';
import type { Registry } from 'prom-client';
import { messageOf, WeirError } from '../domain/errors.ts';
import type { Services } from './app.ts';

const BEHIND_MS = 1000;

export function healthRoutes(app: FastifyInstance, { store, state, version }: Services, metrics: Registry): void {
  const hidden = { schema: { hide: true } };
  app.get('/healthz', hidden, () => ({ status: 'ok', version }));
  app.get('/readyz', hidden, async () => {
    const newest = await store.ping().catch((thrown: unknown) => {
      throw unready(`the store does not answer: ${messageOf(thrown)}`, thrown);
    });
    if (state.version() < newest && !(await caughtUp(newest))) {
      throw unready(`this process is ${newest - state.version()} changes behind the store`);
    }
    return { status: 'ready', store: store.description };
  });
  app.get('/metrics', hidden, async (_request, reply) =>
    reply.header('content-type', metrics.contentType).send(await metrics.metrics()),
  );

  /** Events are on their way all the time: behind is who does not get there within a second. */
  async function caughtUp(newest: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), BEHIND_MS)));
    const reached = state.reached(newest).catch(() => false);
    return Promise.race([reached, late]).finally(() => clearTimeout(timer));
  }
}

function unready(message: string, cause?: unknown): WeirError {
  return new WeirError('unavailable', message, { hint: 'see the log', retryAfter: 5, cause });
}
