/** Registering declared routes, and reading their queries, parameters and bodies. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import Type from 'typebox';
import type { Static, TObject, TSchema } from 'typebox';
import { relaxed } from './bodies.ts';
import type { Page } from '../contract/schemas.ts';
import * as s from '../contract/schemas.ts';
import type { Route } from '../contract/routes.ts';
import { refuse } from '../domain/errors.ts';
import { error } from '../domain/problem.ts';
import { parse, strict } from '../domain/schema.ts';

export type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown;

/** Registers a declared route, with its documentation. */
export function addRoute(app: FastifyInstance, route: Route, handler: Handler): void {
  app.route({
    method: route.method,
    url: route.path,
    schema: {
      summary: route.summary,
      tags: [route.tag],
      ...(route.description === undefined ? {} : { description: route.description }),
      ...(route.query ? { querystring: route.query } : {}),
      ...(route.body ? { body: route.body, consumes: ['application/json', ...relaxed] } : {}),
      params: paramsOf(route.path),
      response: {
        ...Object.fromEntries(statusesOf(route).map((status) => [status, answerOf(route)])),
        '4xx': problem,
        '5xx': problem,
      },
    },
    // A HEAD of a stream would never end.
    exposeHeadRoute: route.method === 'GET' && !route.stream,
    ...(route.hot ? { config: { countsItself: true as const } } : {}),
    handler(request, reply) {
      if (!route.query) readQuery(request, nothing);
      if (!route.body && request.body !== undefined) readBody(request, nothing);
      return handler(request, reply);
    },
  });
}

/** What a route takes that declares nothing: a misplaced dryRun must not be dropped in silence. */
const nothing = Type.Object({}, strict);

const problem = { description: 'problem', content: { 'application/problem+json': { schema: s.ApiError } } };

/** A document that PUT makes anew is answered with 201. */
function statusesOf(route: Route): number[] {
  return route.method === 'PUT' ? [200, 201] : [route.status ?? 200];
}

function answerOf(route: Route): object {
  const text = { schema: { type: 'string' } };
  const others = (route.stream ? ['text/event-stream'] : (route.types ?? [])).map((type) => [type, text] as const);
  const content = {
    ...(route.answer ? { 'application/json': { schema: route.answer } } : {}),
    ...Object.fromEntries(others),
  };
  return { description: 'done', content };
}

function paramsOf(path: string): object {
  const names = [...path.matchAll(/:(\w+)/g)].map((m) => m[1] ?? '');
  return { type: 'object', properties: Object.fromEntries(names.map((n) => [n, { type: 'string' }])) };
}

/** A parameter of the path. */
export function param(request: FastifyRequest, name: string): string {
  return (request.params as Record<string, string>)[name] ?? '';
}

/** Query parameters by their schema; text becomes the number or boolean that the schema wants. */
export function readQuery<S extends TSchema>(request: FastifyRequest, schema: S): Static<S> {
  const properties = (schema as unknown as TObject).properties as Record<string, { type?: string }>;
  const values = Object.entries(request.query as Record<string, unknown>).map(([name, value]) => [
    name,
    coerce(value, Object.hasOwn(properties, name) ? properties[name]?.type : undefined),
  ]);
  return readAs(schema, Object.fromEntries(values), 'query');
}

function coerce(value: unknown, type: string | undefined): unknown {
  if (typeof value !== 'string') return value;
  if (type === 'integer' && /^-?\d{1,15}$/.test(value)) return Number(value);
  if (type === 'boolean' && (value === 'true' || value === 'false')) return value === 'true';
  return value;
}

/** A body by its schema; none at all is an empty object, `null` is not. */
export function readBody<S extends TSchema>(request: FastifyRequest, schema: S): Static<S> {
  return readAs(schema, request.body === undefined ? {} : request.body, '');
}

function readAs<S extends TSchema>(schema: S, value: unknown, path: string): Static<S> {
  const parsed = parse(schema, value, path);
  if (parsed.ok) return parsed.value;
  throw refuse(parsed.problems, 'bad_request');
}

/** A number in the path that counts from 1. */
export function revisionParam(request: FastifyRequest, name: string): number {
  const text = param(request, name);
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw refuse(
    [error(name, { code: 'out_of_range', message: `${text} is not a revision`, hint: 'revisions count 1, 2, 3 ...' })],
    'bad_request',
  );
}

/** `If-Match: "REVISION"`; `*` and none mean any. */
export function ifMatch(request: FastifyRequest): number | undefined {
  const header = request.headers['if-match'];
  if (header === undefined || header === '*') return undefined;
  const found = /^(?:W\/)?"(\d{1,15})"$/.exec(header.trim());
  if (found) return Number(found[1]);
  throw refuse(
    [
      error('If-Match', {
        code: 'bad_etag',
        message: `${header} is not an ETag of Weir`,
        hint: 'send the ETag as it was answered, e.g. "7"',
      }),
    ],
    'bad_request',
  );
}

/** A page of sorted rows: those behind `after`, at most `limit`. */
export function pageOf<T>(
  rows: readonly T[],
  query: { limit?: number; after?: string },
  key: (row: T) => string,
): Page<T> {
  const limit = query.limit ?? 100;
  const after = query.after;
  const from = after === undefined ? 0 : rows.findIndex((row) => key(row) > after);
  const items = from < 0 ? [] : rows.slice(from, from + limit);
  const last = items.at(-1);
  return { items: [...items], next: last !== undefined && from + limit < rows.length ? key(last) : null };
}
