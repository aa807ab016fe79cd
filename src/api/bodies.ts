/** How bodies are read: strict JSON, or the relaxed text that people write. */
import type { FastifyInstance } from 'fastify';
import { readText } from '../domain/edge/read.ts';
import { refuse } from '../domain/errors.ts';
import { error } from '../domain/problem.ts';

/** Content types of text that is read as JSON5 or YAML. */
export const relaxed = ['text/plain', 'application/yaml', 'application/x-yaml', 'text/yaml', 'application/json5'];

/** Most characters of a YAML body: about a second of reading. JSON has no limit but that of the request. */
const MAX_YAML = 4 * 1024 * 1024;

export function installBodies(app: FastifyInstance): void {
  const json = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser('application/merge-patch+json', { parseAs: 'string' }, json);
  app.removeContentTypeParser('text/plain');
  app.addContentTypeParser(relaxed, { parseAs: 'string' }, (_request, body, done) => {
    const read = readText(String(body), MAX_YAML);
    if (!read.ok) {
      done(refuse(read.problems, 'bad_request'));
      return;
    }
    if (read.values.length !== 1) {
      const hint = 'send one document; a list of them in [ ] where the route takes many';
      done(
        refuse(
          [error('', { code: 'unreadable', message: `the body holds ${read.values.length} documents`, hint })],
          'bad_request',
        ),
      );
      return;
    }
    done(null, read.values[0]);
  });
}
