/** Counters for Prometheus. What every request counts is kept plainly, and handed over when it is asked for. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { Services } from './app.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * The route counts itself as it answers. An onResponse hook costs a fifth of a small answer
     * (bench/README.md), so the one route that is asked thousands of times a second goes without.
     */
    countsItself?: true;
  }
  interface FastifyInstance {
    /** Counts an answer that is about to be sent. */
    count(request: FastifyRequest, reply: FastifyReply): void;
  }
}

interface RouteCounts {
  method: string;
  route: string;
  seconds: number;
  byStatus: Map<number, number>;
}

export function installMetrics(app: FastifyInstance, { state }: Services, logger: Logger): Registry {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const counts = new Map<string, RouteCounts>();
  const requests: Counter = new Counter({
    name: 'weir_http_requests_total',
    help: 'Requests answered',
    labelNames: ['method', 'route', 'status'],
    registers,
    collect() {
      requests.reset();
      for (const { method, route, byStatus } of counts.values()) {
        for (const [status, count] of byStatus) requests.inc({ method, route, status }, count);
      }
    },
  });
  const seconds: Counter = new Counter({
    name: 'weir_http_request_seconds_total',
    help: 'Seconds spent answering',
    labelNames: ['method', 'route'],
    registers,
    collect() {
      seconds.reset();
      for (const count of counts.values()) seconds.inc({ method: count.method, route: count.route }, count.seconds);
    },
  });
  const events = new Counter({ name: 'weir_events_total', help: 'Events taken in', registers });
  const clusters: Gauge = new Gauge({
    name: 'weir_clusters',
    help: 'Clusters',
    registers,
    collect() {
      clusters.set(state.list().length);
    },
  });
  const stop = state.onEvent(() => events.inc());
  app.addHook('onClose', async () => stop());
  const count = (request: FastifyRequest, reply: FastifyReply) => {
    const counted = countsOf(counts, request);
    const { statusCode, elapsedTime } = reply;
    counted.byStatus.set(statusCode, (counted.byStatus.get(statusCode) ?? 0) + 1);
    // Fastify takes the time for routes with an onResponse hook only.
    if (elapsedTime > 0) counted.seconds += elapsedTime / 1000;
    if (statusCode >= 500 || request.method !== 'GET') {
      const { id, method, url, by } = request;
      logger.info({ reqId: id, method, url, status: statusCode, ms: Math.round(elapsedTime), by }, 'answered');
    }
  };
  app.decorate('count', count);
  app.addHook('onRoute', (route) => {
    if (route.config?.countsItself) return;
    route.onResponse = async (request: FastifyRequest, reply: FastifyReply) => count(request, reply);
  });
  return registry;
}

function countsOf(counts: Map<string, RouteCounts>, request: FastifyRequest): RouteCounts {
  const route = request.routeOptions.url ?? 'none';
  const key = request.method + route;
  let count = counts.get(key);
  if (!count) {
    count = { method: request.method, route, seconds: 0, byStatus: new Map() };
    counts.set(key, count);
  }
  return count;
}
