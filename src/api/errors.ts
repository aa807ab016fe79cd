/** Every error leaves here, as application/problem+json (RFC 9457). */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ApiError } from '../contract/schemas.ts';
import { errorKinds, WeirError } from '../domain/errors.ts';
import type { ErrorCode } from '../domain/errors.ts';

export function installErrors(app: FastifyInstance): void {
  app.setErrorHandler((thrown: FastifyError | WeirError, request, reply) => {
    const failure = thrown instanceof WeirError ? thrown : fromFastify(thrown);
    if (failure.code === 'internal') request.log.error({ err: thrown, url: request.url }, 'a fault while answering');
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

function send(request: FastifyRequest, reply: FastifyReply, failure: WeirError): FastifyReply {
  const kind = errorKinds[failure.code];
  if (failure.retryAfter !== undefined) void reply.header('retry-after', failure.retryAfter);
  if (failure.revision !== undefined) void reply.header('etag', `"${failure.revision}"`);
  if (failure.code === 'unauthenticated') void reply.header('www-authenticate', 'Bearer');
  return reply
    .code(kind.status)
    .header('content-type', 'application/problem+json')
    .send(JSON.stringify(bodyOf(request, failure)));
}

function bodyOf(request: FastifyRequest, failure: WeirError): ApiError {
  const kind = errorKinds[failure.code];
  const chinese = request.headers['accept-language']?.startsWith('zh') === true;
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
