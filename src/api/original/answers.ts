/** How calls of the original's API are answered: its bodies, and what they have no place for in headers. */
import type { FastifyReply } from 'fastify';
import type { Line } from '../../contract/original.ts';
import type { ErrorCode } from '../../domain/errors.ts';
import { WeirError } from '../../domain/errors.ts';

/** How a change or a push ended. */
export interface Outcome {
  ok: boolean;
  /** Of the cluster; undefined where there is none. */
  revision: number | undefined;
  /** In words: why it failed, what was passed over. */
  details: readonly string[];
}

/** Status 200 whether it was done or not, as the original had it. */
export function sendOutcome(reply: FastifyReply, { thing, done }: Line, outcome: Outcome): FastifyReply {
  const { ok, revision, details } = outcome;
  if (revision !== undefined) void reply.header('weir-revision', revision);
  if (details.length > 0) void reply.header('weir-detail', headerText(details.join('; ')));
  return sendJson(reply, {
    status: ok ? 'success' : 'failed',
    message: ok ? `${thing} has been ${done} successfully` : `${thing} ${done} failed`,
  });
}

/** With the content type of Tornado. */
export function sendJson(reply: FastifyReply, value: unknown): FastifyReply {
  return reply.header('content-type', 'application/json; charset=UTF-8').send(JSON.stringify(value));
}

/** Characters of a header's value: clients and proxies take a few thousand in all. */
const MAX_HEADER = 1000;

/** A JSON string of ASCII, cut to what a header may hold. */
export function headerText(text: string): string {
  let body = '';
  for (const character of text) {
    const next = escaped(character);
    if (body.length + next.length > MAX_HEADER) return `"${body}..."`;
    body += next;
  }
  return `"${body}"`;
}

function escaped(character: string): string {
  if (/^[ -~]$/.test(character)) return JSON.stringify(character).slice(1, -1);
  return character.replaceAll(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** What a change or a push can be refused with; anything else is a fault, which is answered as one. */
const refusals: readonly ErrorCode[] = [
  'invalid',
  'not_found',
  'exists',
  'claimed',
  'conflict',
  'busy',
  'not_published',
  'unresolved',
  'remote',
  'failed',
];

/** Most problems that are told; what is left is of the same kind as a rule. */
const MAX_TOLD = 20;

/** Why it was refused, problems with their paths; undefined for a fault. */
export function whyRefused(thrown: unknown): string | undefined {
  if (!(thrown instanceof WeirError) || !refusals.includes(thrown.code)) return undefined;
  const { message, hint, problems } = thrown;
  if (problems.length === 0) return hint === undefined ? message : `${message} (${hint})`;
  const told = problems.slice(0, MAX_TOLD).map((p) => `${p.path ? `${p.path}: ` : ''}${p.message} (${p.hint})`);
  const more = problems.length > MAX_TOLD ? [`and ${problems.length - MAX_TOLD} more`] : [];
  return [...told, ...more].join('; ');
}
