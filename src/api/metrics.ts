/** Counters for Prometheus. */
import type { FastifyInstance } from 'fastify';
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { Services } from './app.ts';

export function installMetrics(app: FastifyInstance, { state }: Services): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const requests = new Counter({
    name: 'weir_http_requests_total',
    help: 'Requests answered',
    labelNames: ['method', 'route', 'status'],
    registers: [registry],
  });
  const seconds = new Counter({
    name: 'weir_http_request_seconds_total',
    help: 'Seconds spent answering',
    labelNames: ['method', 'route'],
    registers: [registry],
  });
  const commits = new Counter({ name: 'weir_events_total', help: 'Events taken in', registers: [registry] });
  const clusters = new Gauge({
    name: 'weir_clusters',
    help: 'Clusters',
    registers: [registry],
    collect() {
      clusters.set(state.list().length);
    },
  });
  const stop = state.onEvent(() => commits.inc());
  app.addHook('onClose', async () => stop());
  app.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'none';
    requests.inc({ method: request.method, route, status: reply.statusCode });
    seconds.inc({ method: request.method, route }, reply.elapsedTime / 1000);
    if (reply.statusCode >= 500 || request.method !== 'GET') {
      request.log.info(
        {
          method: request.method,
          url: request.url,
          status: reply.statusCode,
          ms: Math.round(reply.elapsedTime),
          by: request.by,
        },
        'answered',
      );
    }
    done();
  });
  return registry;
}
