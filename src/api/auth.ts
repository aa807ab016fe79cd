/** Bearer tokens. Everything needs one but what is named here. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { WeirError } from '../domain/errors.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks: the name of the token. */
    by: string;
  }
}

/** Routes that answer without a token; a trailing slash opens everything below. */
const open = ['/healthz', '/readyz', '/openapi.json', '/docs', '/docs/'];

export function installAuth(app: FastifyInstance, adminToken: string): void {
  const expected = digest(adminToken);
  app.decorateRequest('by', '');
  app.addHook('onRequest', (request, _reply, done) => {
    const header = request.headers.authorization;
    const token = header === undefined ? undefined : /^Bearer +(.*)$/i.exec(header)?.[1];
    if (token !== undefined && timingSafeEqual(digest(token), expected)) {
      request.by = 'admin';
      done();
      return;
    }
    done(isOpen(request) ? undefined : refusal(header));
  });
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/** By the route that was found, never by the text of the address, which can be written in many ways. */
function isOpen(request: FastifyRequest): boolean {
  const path = request.routeOptions.url ?? '';
  return open.some((prefix) => path === prefix || (prefix.endsWith('/') && path.startsWith(prefix)));
}

function refusal(header: string | undefined): WeirError {
  return new WeirError('unauthenticated', header === undefined ? 'no token was sent' : 'the token is not valid', {
    hint: 'send Authorization: Bearer TOKEN; the admin token is in the file admin-token of the data folder',
  });
}
