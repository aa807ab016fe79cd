/** Every error leaves here, as application/problem+json (RFC 9457). */
import type { Socket } from 'node:net';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { ApiError } from '../contract/schemas.ts';
import { errorKinds, WeirError } from '../domain/errors.ts';
import type { ErrorCode } from '../domain/errors.ts';

export function installErrors(app: FastifyInstance, logger: Logger): void {
  app.setErrorHandler((thrown: FastifyError | WeirError, request, reply) => {
    const failure = thrown instanceof WeirError ? thrown : fromFastify(thrown);
    if (failure.code === 'internal') logger.error({ err: thrown, url: request.url }, 'a fault while answering');
    return send(request, reply, failure);
  });
  app.setNotFoundHandler((request, reply) =>
    send(
      request,
      reply,
      new WeirError('not_found', `nothing answers ${request.method} ${request.url.split('?')[0]}`, {
        hint: 'see /docs',
      }),
    ),
  );
}

/** For what Fastify refuses before it knows the route: an address that cannot be decoded, or a too long name in it. */
export function refuseUnrouted(thrown: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  void send(request, reply, fromFastify(thrown));
}

/** For bytes that Node cannot read as a request; there is no reply to send, only the connection. */
export function refuseUnread(thrown: NodeJS.ErrnoException, socket: Socket): void {
  if (thrown.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const status = statuses[thrown.code ?? ''] ?? '400 Bad Request';
  const failure = new WeirError('bad_request', `this is no request that can be read: ${thrown.message}`, {
    hint: 'send HTTP/1.1, with at most 16 KiB of headers, without a pause of minutes',
  });
  const body = JSON.stringify({ ...problemOf(failure, false), status: Number.parseInt(status, 10) });
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

const statuses: Record<string, string> = {
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
};

function send(request: FastifyRequest, reply: FastifyReply, failure: WeirError): FastifyReply {
  const kind = errorKinds[failure.code];
  if (failure.retryAfter !== undefined) void reply.header('retry-after', failure.retryAfter);
  if (failure.revision !== undefined) void reply.header('etag', `"${failure.revision}"`);
  if (failure.code === 'unauthenticated') void reply.header('www-authenticate', 'Bearer');
  void reply.code(kind.status);
  if (request.routeOptions.config.countsItself) request.server.count(request, reply);
  return reply
    .header('content-type', 'application/problem+json')
    .send(JSON.stringify(problemOf(failure, /^zh\b/i.test(request.headers['accept-language'] ?? ''))));
}

function problemOf(failure: WeirError, chinese: boolean): ApiError {
  const kind = errorKinds[failure.code];
  return {
    type: `urn:weir:problem:${failure.code}`,
    title: chinese ? kind.zh : kind.en,
    status: kind.status,
    detail: failure.message,
    code: failure.code,
    ...(failure.hint === undefined ? {} : { hint: failure.hint }),
    ...(failure.revision === undefined ? {} : { revision: failure.revision }),
    problems: [...failure.problems],
  };
}

const fastifyCodes: Record<string, ErrorCode> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'media_type',
};

function fromFastify(thrown: FastifyError): WeirError {
  const code = fastifyCodes[thrown.code];
  if (code) return new WeirError(code, thrown.message, { hint: hints[code] ?? 'see /docs', cause: thrown });
  const status = thrown.statusCode ?? 500;
  if (status >= 400 && status < 500)
    return new WeirError('bad_request', thrown.message, { hint: 'see /docs', cause: thrown });
  return new WeirError('internal', 'a fault in Weir; the log has the details', {
    hint: 'try again; if it stays, report it with the log',
    cause: thrown,
  });
}

const hints: Partial<Record<ErrorCode, string>> = {
  too_large: 'split the request, or raise WEIR_BODY_LIMIT_MB',
  media_type: 'send application/json, or text/plain with JSON5 or YAML',
};
