/** Form fields and query parameters, read as Tornado read them for the original. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { WeirError } from '../../domain/errors.ts';
import { error } from '../../domain/problem.ts';

type Field = readonly [name: string, value: string];

const URLENCODED = 'application/x-www-form-urlencoded';
const MULTIPART = 'multipart/form-data';

/** Content types of bodies. */
export const formTypes = [URLENCODED, MULTIPART] as const;

/** Bodies of a scope: forms and nothing else. */
export function installForms(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(URLENCODED, { parseAs: 'string' }, (_request, body, done) => {
    try {
      done(null, urlencoded(String(body)));
    } catch (thrown) {
      done(thrown as Error);
    }
  });
  app.addContentTypeParser(MULTIPART, { parseAs: 'buffer' }, (request: FastifyRequest, body: Buffer) =>
    multipart(request.headers['content-type'] ?? '', body),
  );
  app.addContentTypeParser('*', { parseAs: 'string' }, (request, body, done) => {
    // Clients that name a type whatever they send: Tornado looked at the two above only.
    done(body === '' ? null : notForm(request.headers['content-type']), []);
  });
}

/** Of each name the last value, those of the body behind those of the address (Tornado's `get_argument`). */
export function fieldsOf(request: FastifyRequest): Map<string, string> {
  const mark = request.url.indexOf('?');
  const query = mark < 0 ? [] : urlencoded(request.url.slice(mark + 1));
  const body = (request.body as readonly Field[] | undefined) ?? [];
  return new Map([...query, ...body].map(([name, value]) => [name, tidy(value)]));
}

/** As Tornado: control characters but tab and line breaks are blanks, and none stands around a value. */
function tidy(value: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is meant
  return value.replaceAll(/[\u0000-\u0008\u000e-\u001f]/g, ' ').trim();
}

/** Most fields of one request: calls have at most seven, and each costs more memory than its text. */
const MAX_FIELDS = 1000;

function urlencoded(text: string): Field[] {
  if (text.split('&', MAX_FIELDS + 1).length > MAX_FIELDS) throw tooMany();
  return [...new URLSearchParams(text)];
}

/** By the platform's own reader, which takes the whole body at once; the server limits its size. */
async function multipart(type: string, body: Buffer): Promise<Field[]> {
  const form = await new Response(body, { headers: { 'content-type': type } }).formData().catch((thrown: unknown) => {
    throw unreadable('', 'the multipart body cannot be read', { hint: `send ${URLENCODED}`, cause: thrown });
  });
  const fields = [...form];
  if (fields.length > MAX_FIELDS) throw tooMany();
  return fields.map(([name, value]) => {
    if (typeof value === 'string') return [name, value];
    throw unreadable(name, `${name} is a file`, { hint: 'send it as a field, without a file name' });
  });
}

function tooMany(): WeirError {
  return unreadable('', `more than ${MAX_FIELDS} fields`, { hint: 'send JSON lists in one field' });
}

function unreadable(path: string, message: string, { hint, cause }: { hint: string; cause?: unknown }): WeirError {
  const problems = [error(path, { code: 'unreadable', message, hint })];
  return new WeirError('bad_request', message, { problems, hint, cause });
}

function notForm(type: string | undefined): WeirError {
  return new WeirError('media_type', `this call takes a form, not ${type ?? 'a body without a content type'}`, {
    hint: `send ${URLENCODED} or ${MULTIPART}; JSON belongs in the fields that are lists`,
  });
}
