/** Health checks of a real_server. */
import { Block } from './block.ts';
import type { Dialect } from './dialects.ts';
import type { CheckType, HealthCheck } from './reading.ts';
import type { Complain, Statement } from './statements.ts';

export interface CheckContext {
  dialect: Dialect;
  words: Words;
  complain: Complain;
}

/** Words of each block of a dialect, made once. */
export interface Words {
  service: ReadonlySet<string>;
  server: ReadonlySet<string>;
  url: ReadonlySet<string>;
  check: ReadonlyMap<CheckType, ReadonlySet<string>>;
}

const pages: readonly CheckType[] = ['HTTP_GET', 'SSL_GET'];

export function checkWordsOf(dialect: Dialect): Words['check'] {
  return new Map(
    dialect.checks.map((type): [CheckType, ReadonlySet<string>] => {
      const url = pages.includes(type) ? ['url'] : [];
      const retry = dialect.retry.checks.includes(type) ? [dialect.retry.word, 'delay_before_retry'] : [];
      const sni = dialect.sniChecks.includes(type) ? ['enable_sni'] : [];
      return [type, new Set(['connect_timeout', ...url, ...retry, ...sni])];
    }),
  );
}

/** `connect_timeout` and `delay_before_retry` have no defaults in 1.2.2: 0 fails always, or tries without a pause. */
export function healthCheck(statement: Statement, type: CheckType, context: CheckContext): HealthCheck {
  const { dialect, complain } = context;
  if (statement.words.length > 1) complain(statement.at, `${type} takes nothing`);
  const block = new Block(statement, context.words.check.get(type) ?? new Set(), complain);
  const check: HealthCheck = { type, connectTimeout: block.number('connect_timeout', [1, 3600]) };
  if (dialect.retry.checks.includes(type)) {
    check.retries = block.number(dialect.retry.word, [1, 1000]);
    check.retryDelay = block.number('delay_before_retry', [1, 3600]);
  }
  if (!pages.includes(type)) return check;
  const url = block.must('url');
  if (url?.block) Object.assign(check, page(url, context));
  else if (url) complain(url.at, 'url has no block');
  if (!dialect.sniChecks.includes(type) || !block.flag('enable_sni')) return check;
  if (check.host === undefined) complain(statement.at, 'enable_sni has no name to send');
  return { ...check, sni: true };
}

/** The digest is compared as text with MD5 in lowercase hex; a check that compares nothing never succeeds in 1.2.2. */
function page(
  statement: Statement,
  { dialect, words, complain }: CheckContext,
): Pick<HealthCheck, 'path' | 'status' | 'digest' | 'host'> {
  if (statement.words.length > 1) complain(statement.at, 'url takes nothing');
  const url = new Block(statement, words.url, complain);
  const path = url.text('path');
  if (path !== '' && !path.startsWith('/')) complain(statement.at, `path ${path} does not start with /`);
  const host = dialect.urlWords.includes('virtualhost') ? url.optional('virtualhost') : undefined;
  const asked = { path, ...(host === undefined ? {} : { host }) };
  const status = url.optionalNumber('status_code', [100, 599]);
  const digest = url.optional('digest');
  if ((digest === undefined) === (status === undefined)) {
    complain(statement.at, 'a check has either a digest or a status_code');
  }
  if (digest !== undefined && !/^[0-9a-f]{32}$/.test(digest)) {
    complain(statement.at, `digest ${digest} never matches: it is no MD5 in lowercase hex`);
  }
  return { ...asked, ...(status === undefined ? {} : { status }), ...(digest === undefined ? {} : { digest }) };
}
