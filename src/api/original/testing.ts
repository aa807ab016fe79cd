/** Calls of the original's API over jobs whose machines a test plays. Only tests import it. */
import type { LightMyRequestResponse } from 'fastify';
import { cluster } from '../../store/testing.ts';
import type { PlayedSession } from '../../jobs/testing.ts';
import { adminToken, openApi } from '../testing.ts';
import type { Api, ApiOptions } from '../testing.ts';

/** Fields of a form; what is no text is sent as JSON. */
export type Fields = Record<string, unknown>;

export interface Sent {
  form?: Fields;
  query?: Fields;
  /** Sent as it is. */
  body?: { type: string; text: string };
  /** null: none. Default: the admin token. */
  token?: string | null;
  from?: string;
  headers?: Record<string, string>;
}

export interface Original extends Api {
  /** `POST /c/vips`, below /lvs. */
  call(what: string, sent?: Sent): Promise<LightMyRequestResponse>;
  /** Plays every machine from now on; at first each does what it is asked. */
  play(session: (session: PlayedSession) => void): void;
}

/** With a cluster `c` of one LB and the VIP 10.1.0.1, all of whose WSs have addresses. */
export async function openOriginal(options: ApiOptions = {}): Promise<Original> {
  let played = (session: PlayedSession) => session.publish();
  const api = await openApi({ play: (session) => played(session), ...options });
  api.jobs.setHosts(Array.from({ length: 9 }, (_, i) => `10.9.0.${i + 1} ws${i + 1}.room1\n`).join(''));
  await api.jobs.create(cluster('c'));
  return {
    ...api,
    call: (what, sent = {}) => call(api, what, sent),
    play: (session) => void (played = session),
  };
}

function call({ app }: Api, what: string, sent: Sent): Promise<LightMyRequestResponse> {
  const [method, path] = what.split(' ') as ['GET' | 'POST' | 'PATCH' | 'DELETE', string];
  const { form, query, token = adminToken, from = '127.0.0.1', headers } = sent;
  const body = form ? { type: 'application/x-www-form-urlencoded', text: textOf(form) } : sent.body;
  return app.inject({
    method,
    url: `/lvs${path}${query ? `?${textOf(query)}` : ''}`,
    remoteAddress: from,
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(body ? { 'content-type': body.type } : {}),
      ...headers,
    },
    ...(body ? { payload: body.text } : {}),
  });
}

function textOf(fields: Fields): string {
  const texts = Object.entries(fields).map(
    ([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)] as const,
  );
  return new URLSearchParams(Object.fromEntries(texts)).toString();
}

export const noPush = { cfg_push: 'False' };

/** The line of an answer, and why, if it says so. */
export function told(reply: LightMyRequestResponse): string {
  const { 'weir-detail': detail } = reply.headers;
  const why = typeof detail === 'string' ? `: ${JSON.parse(detail) as string}` : '';
  return `${reply.statusCode} ${reply.body}${why}`;
}
