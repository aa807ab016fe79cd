/** Bearer tokens. Everything needs one but what is named here, and what the settings open. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Net } from '../domain/address.ts';
import { WeirError } from '../domain/errors.ts';
import { addressWithin } from './original/networks.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks: the name of the token; `original:ADDRESS` for a call of the original's API without one. */
    by: string;
  }
}

/** Routes that answer without a token; a trailing slash opens everything below. */
const open = ['/healthz', '/readyz', '/openapi.json', '/docs', '/docs/'];

export interface AuthOptions {
  adminToken: string;
  /** Requests from there need no token for the original's API. */
  originalNetworks: readonly Net[];
}

export function installAuth(app: FastifyInstance, { adminToken, originalNetworks }: AuthOptions): void {
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
    const address = isOriginal(request) ? addressWithin(originalNetworks, request.socket.remoteAddress) : undefined;
    if (address !== undefined) request.by = `original:${address}`;
    done(address !== undefined || isOpen(request) ? undefined : refusal(header));
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

/**
 * Never what a page in a browser sends: it names its origin where it changes something elsewhere, and could make a
 * browser within the networks change clusters with a form.
 */
function isOriginal(request: FastifyRequest): boolean {
  return (request.routeOptions.url ?? '').startsWith('/lvs/') && request.headers.origin === undefined;
}

function refusal(header: string | undefined): WeirError {
  return new WeirError('unauthenticated', header === undefined ? 'no token was sent' : 'the token is not valid', {
    hint: 'send Authorization: Bearer TOKEN; the admin token is in the file admin-token of the data folder',
  });
}
