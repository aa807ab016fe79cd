import { once } from 'node:events';
import { request } from 'node:http';
import type { ClientRequest, IncomingMessage } from 'node:http';
import Fastify from 'fastify';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { WeirError } from '../domain/errors.ts';
import type { StoreEvent } from '../store/port.ts';
import type { Services } from './app.ts';
import { eventRoutes } from './events.ts';
import { openSse } from './sse.ts';

/** A state and a log that count who listens. */
function fakeServices(most = 0): {
  services: Services;
  listeners: Set<(event: StoreEvent) => void>;
  log: StoreEvent[];
  /** Events were missed for good. */
  miss: () => void;
  /** The log cannot be read from now on. */
  fail: () => void;
} {
  const listeners = new Set<(event: StoreEvent) => void>();
  const log: StoreEvent[] = [];
  const missed = new Set<() => void>();
  let failing = false;
  const services = {
    state: {
      version: () => log.length,
      onEvent(listener: (event: StoreEvent) => void) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      onMissed(listener: () => void) {
        missed.add(listener);
        return () => missed.delete(listener);
      },
    },
    store: {
      async events(after: number, limit: number) {
        if (failing) throw new WeirError('store', 'it is away');
        const page = log.filter((e) => e.id > after);
        // Made while the log is read: both in what is read and told.
        if (page.length < limit && log.length < most) append(page);
        return page.slice(0, limit);
      },
    },
  };
  function append(page: StoreEvent[]): void {
    const event = eventOf(log.length + 1);
    log.push(event);
    page.push(event);
    for (const listener of listeners) listener(event);
  }
  return {
    services: services as unknown as Services,
    listeners,
    log,
    miss: () => missed.forEach((listener) => listener()),
    fail: () => {
      failing = true;
    },
  };
}

function eventOf(id: number): StoreEvent {
  const change = {
    kind: 'cluster',
    name: 'c',
    revision: id,
    digest: '',
    calls: [],
    deleted: false,
    patch: null,
  } as const;
  return { id, at: '', by: 'tester', changes: [change], records: [] };
}

let app: FastifyInstance;
let fakes: ReturnType<typeof fakeServices>;
let url: string;

beforeEach(async () => {
  fakes = fakeServices(1235);
  app = Fastify({ forceCloseConnections: true });
  app.setValidatorCompiler(() => () => true);
  eventRoutes(app, fakes.services);
  url = await app.listen({ port: 0, host: '127.0.0.1' });
});

afterEach(() => app.close());

async function follow(lastEventId?: number): Promise<{ made: ClientRequest; response: IncomingMessage }> {
  const headers = lastEventId === undefined ? {} : { 'last-event-id': String(lastEventId) };
  const made = request(`${url}/events`, { headers, agent: false });
  made.end();
  const [response] = (await once(made, 'response')) as [IncomingMessage];
  return { made, response };
}

test('a client that leaves is no longer told of events', async () => {
  const clients = await Promise.all(Array.from({ length: 20 }, () => follow()));
  expect(fakes.listeners.size).toBe(20);
  for (const { made } of clients) made.destroy();
  await expect.poll(() => fakes.listeners.size).toBe(0);
});

test('a client that resumes gets every event of a long log once, also those made while it is read', async () => {
  for (let id = 1; id <= 1234; id++) fakes.log.push(eventOf(id));
  const { response } = await follow(34);
  for (let id = 1236; id <= 1240; id++) {
    fakes.log.push(eventOf(id));
    for (const listener of fakes.listeners) listener(eventOf(id));
  }
  let text = '';
  for await (const chunk of response) {
    text += String(chunk);
    if (text.includes('id: 1240\n')) break;
  }
  const ids = [...text.matchAll(/^id: (\d+)$/gm)].map((m) => Number(m[1]));
  expect(ids).toEqual(Array.from({ length: 1206 }, (_, i) => 35 + i));
});

test('a stream that is opened for a client that left already holds nothing', async () => {
  let stopped = 0;
  const opened = new Promise<void>((resolve) => {
    const reply = {
      hijack: () => undefined,
      raw: { closed: true, destroyed: true, writableEnded: true, writeHead() {}, flushHeaders() {}, on() {} },
    };
    openSse(reply as unknown as FastifyReply).onClose(() => {
      stopped++;
      resolve();
    });
  });
  await opened;
  expect(stopped).toBe(1);
});

test('a stream ends where the log cannot be read, or goes on with other events: the client comes again', async () => {
  fakes.log.push(eventOf(1), eventOf(2));
  const { response } = await follow();
  const ended = once(response.resume(), 'end');
  await vi.waitFor(() => expect(fakes.listeners.size).toBe(1));
  fakes.miss();
  await ended;
  fakes.fail();
  const { response: failed } = await follow(1);
  await once(failed.resume(), 'end');
  await vi.waitFor(() => expect(fakes.listeners.size).toBe(0));
});
