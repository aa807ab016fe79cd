/** Reads that are never older than what a client has seen, whichever of several Weirs it saw it at. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { refuse, WeirError } from '../domain/errors.ts';
import { error } from '../domain/problem.ts';
import type { State } from '../store/state.ts';

/** Revision of the cluster in the path that an answer must not be older than. */
const AT_LEAST = 'weir-at-least';
/** Place in the log of events that an answer must not be older than. */
const POSITION = 'weir-position';

/** For /api/v1. Costs nothing where neither header is sent. */
export function installFreshness(app: FastifyInstance, state: State): void {
  app.addHook('preHandler', (request, _reply, done) => {
    const { [AT_LEAST]: least, [POSITION]: position } = request.headers;
    if (least === undefined && position === undefined) done();
    else void waitFor(request, state, done);
  });
  app.addHook('onRoute', (route) => {
    if (route.method === 'GET' || route.method === 'HEAD') return;
    route.onSend = async (_request, reply) => void reply.header(POSITION, state.version());
  });
}

async function waitFor(request: FastifyRequest, state: State, done: (thrown?: Error) => void): Promise<void> {
  let failure: Error | undefined;
  try {
    await fresh(request, state);
  } catch (thrown) {
    failure = thrown as Error;
  }
  done(failure);
}

async function fresh(request: FastifyRequest, state: State): Promise<void> {
  const position = numberIn(request, POSITION);
  if (position !== undefined && !(await state.reached(position))) throw behind(`event ${position}`);
  const { cluster } = request.params as { cluster?: string };
  const least = numberIn(request, AT_LEAST);
  if (least === undefined || cluster === undefined || state.revisionOf(cluster) >= least) return;
  await state.sync();
  if (state.revisionOf(cluster) < least) throw behind(`revision ${least} of cluster ${cluster}`);
}

function numberIn(request: FastifyRequest, name: string): number | undefined {
  const text = request.headers[name];
  if (text === undefined) return undefined;
  if (/^\d{1,15}$/.test(String(text))) return Number(text);
  throw refuse(
    [
      error(name, {
        code: 'out_of_range',
        message: `${String(text)} is no number`,
        hint: 'send it as it was answered',
      }),
    ],
    'bad_request',
  );
}

function behind(what: string): WeirError {
  return new WeirError('unavailable', `${what} is not in the store`, {
    hint: 'if it was answered once, a failover of the store may have lost it: look at the history before trying again',
    retryAfter: 1,
  });
}
