/** The log of changes as server-sent events. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { routes } from '../contract/routes.ts';
import { refuse } from '../domain/errors.ts';
import { error } from '../domain/problem.ts';
import type { StoreEvent } from '../store/port.ts';
import type { Services } from './app.ts';
import { addRoute, readQuery } from './request.ts';
import { openSse } from './sse.ts';
import type { Sse } from './sse.ts';

const PAGE = 500;

export function eventRoutes(app: FastifyInstance, { state, store }: Services): void {
  addRoute(app, routes.events, async (request, reply) => {
    const { cluster } = readQuery(request, routes.events.query);
    const last = lastEventId(request);
    const sse = openSse(reply);
    // An id from beyond the log was given out by a store that is gone: what happens from now on is all there is.
    let sent = Math.min(last ?? Infinity, state.version());
    let live = last === undefined;
    const forward = (event: StoreEvent) => {
      if (event.id <= sent) return;
      sent = event.id;
      sendEvent(sse, event, cluster);
    };
    const held: StoreEvent[] = [];
    sse.onClose(state.onEvent((event) => (live ? forward(event) : held.push(event))));
    // Numbers may mean other events from now on: the client comes again, with what it had last.
    sse.onClose(state.onMissed(() => sse.end()));
    try {
      while (!live) {
        const events = await store.events(sent, PAGE);
        events.forEach(forward);
        if (events.length === PAGE) continue;
        live = true;
        held.forEach(forward);
      }
    } catch (thrown) {
      sse.end();
      throw thrown;
    }
    return reply;
  });
}

function lastEventId(request: FastifyRequest): number | undefined {
  const header = request.headers['last-event-id'];
  if (header === undefined || header === '') return undefined;
  if (/^\d{1,15}$/.test(String(header))) return Number(header);
  throw refuse(
    [
      error('Last-Event-ID', {
        code: 'bad_event_id',
        message: `${String(header)} is no event id`,
        hint: 'send the id of the last event, a number',
      }),
    ],
    'bad_request',
  );
}

function sendEvent(sse: Sse, event: StoreEvent, cluster: string | undefined): void {
  const changes = event.changes.filter((change) => cluster === undefined || change.name === cluster);
  changes.forEach(({ name, revision, digest, deleted, calls }, i) => {
    // Who is cut off between two changes of one commit has not had that commit.
    const id = i === changes.length - 1 ? event.id : undefined;
    sse.send('change', { cluster: name, revision, digest, deleted, at: event.at, by: event.by, operations: calls }, id);
  });
}
