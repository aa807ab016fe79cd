/**
 * Typed HTTP client of the API, shared by the CLI and end-to-end tests. Errors of the API come back
 * as the WeirError they were. May import contract and domain.
 */
import { createParser } from 'eventsource-parser';
import type { ApiError } from '../contract/schemas.ts';
import { errorKinds, messageOf, WeirError } from '../domain/errors.ts';
import type { ErrorCode } from '../domain/errors.ts';

export interface ClientOptions {
  /** e.g. http://127.0.0.1:8084 */
  url: string;
  token: string | undefined;
  /** Per request that is no stream, in ms. Default 120000. */
  timeoutMs?: number;
}

export interface Call {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  query?: Record<string, string | number | boolean | undefined>;
  body?: unknown;
  headers?: Record<string, string>;
  /** For an answer that takes longer than others, in ms. */
  timeoutMs?: number;
}

export interface Answer<T> {
  status: number;
  headers: Headers;
  data: T;
}

export interface SseMessage {
  event: string;
  data: unknown;
  id: string | undefined;
}

export interface Client {
  readonly url: string;
  /** Sends a request below /api/v1 and answers its JSON (or text). */
  call<T>(path: string, call?: Call): Promise<Answer<T>>;
  /** An answer of any length, piece by piece; it ends or throws, also where the connection breaks. */
  download(path: string, query?: Call['query']): AsyncGenerator<Uint8Array>;
  /** Messages of a stream until it ends. */
  stream(path: string, signal?: AbortSignal): AsyncGenerator<SseMessage>;
}

export function createClient(options: ClientOptions): Client {
  const base = options.url.replace(/\/+$/, '');
  /** Of the newest change answered: a balancer may send what comes next to another Weir, which must not be behind it. */
  let position: string | undefined;

  async function send(path: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    if (options.token) headers.set('authorization', `Bearer ${options.token}`);
    if (position !== undefined) headers.set('weir-position', position);
    let response: Response;
    try {
      response = await fetch(`${base}/api/v1${path}`, { ...init, headers });
    } catch (thrown) {
      throw unreachable(base, thrown);
    }
    if (!response.ok) throw await failureOf(response);
    position = response.headers.get('weir-position') ?? position;
    return response;
  }

  return {
    url: base,
    async call<T>(path: string, call: Call = {}) {
      const response = await send(path + queryOf(call.query), {
        method: call.method ?? 'GET',
        headers: { ...(call.body === undefined ? {} : { 'content-type': 'application/json' }), ...call.headers },
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
        signal: AbortSignal.timeout(call.timeoutMs ?? options.timeoutMs ?? 120_000),
      });
      const json = response.headers.get('content-type')?.includes('json') === true;
      const data = (json ? await response.json() : await response.text()) as T;
      return { status: response.status, headers: response.headers, data };
    },
    async *download(path, query) {
      const response = await send(path + queryOf(query), {});
      try {
        for await (const chunk of response.body ?? []) yield chunk as Uint8Array;
      } catch (thrown) {
        throw unreachable(base, thrown);
      }
    },
    async *stream(path, signal) {
      const response = await send(path, { headers: { accept: 'text/event-stream' }, ...(signal ? { signal } : {}) });
      const pending: SseMessage[] = [];
      const parser = createParser({
        onEvent: (e) => pending.push({ event: e.event ?? 'message', data: JSON.parse(e.data) as unknown, id: e.id }),
      });
      const decoder = new TextDecoder();
      for await (const chunk of response.body ?? []) {
        parser.feed(decoder.decode(chunk as Uint8Array, { stream: true }));
        while (pending.length > 0) {
          const message = pending.shift();
          if (message) yield message;
        }
      }
    },
  };
}

function queryOf(query: Call['query']): string {
  const given = Object.entries(query ?? {}).filter(([, v]) => v !== undefined);
  if (given.length === 0) return '';
  return `?${new URLSearchParams(given.map(([k, v]): [string, string] => [k, String(v)])).toString()}`;
}

const TOKEN_HINT = 'export WEIR_TOKEN=$(cat data/admin-token), where data is the data folder of the server';

function unreachable(base: string, thrown: unknown): WeirError {
  const cause = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause.message : messageOf(thrown);
  const timeout = thrown instanceof Error && thrown.name === 'TimeoutError';
  return new WeirError(
    'unavailable',
    timeout ? `${base} did not answer in time` : `${base} does not answer: ${cause}`,
    {
      hint: 'start it with weir serve, or set WEIR_URL to where it runs',
      cause: thrown,
    },
  );
}

async function failureOf(response: Response): Promise<WeirError> {
  const text = await response.text();
  let body: Partial<ApiError> = {};
  try {
    body = JSON.parse(text) as Partial<ApiError>;
  } catch {
    // Something between us and Weir answered; its words are all there is.
  }
  const code: ErrorCode =
    body.code !== undefined && Object.hasOwn(errorKinds, body.code) ? (body.code as ErrorCode) : 'failed';
  return new WeirError(code, body.detail ?? `HTTP ${response.status}: ${text.slice(0, 200)}`, {
    ...(body.hint === undefined ? {} : { hint: code === 'unauthenticated' ? TOKEN_HINT : body.hint }),
    problems: body.problems ?? [],
    ...(body.revision === undefined ? {} : { revision: body.revision }),
  });
}
