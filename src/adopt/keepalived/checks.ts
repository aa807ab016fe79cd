/** Health checks of real servers: what keepalived does, in words that can be compared, and what a document can have of it. */
import { PortCheck, defaults } from '../../domain/edge/model.ts';
import type { CheckType, Dataplane } from '../../domain/edge/model.ts';
import { parse } from '../../domain/schema.ts';
import { RETRY_DELAY } from '../../render/keepalived/keepalived.ts';
import { Block, numberOf } from './block.ts';
import type { Ledger } from './ledger.ts';
import type { Statement } from './statements.ts';
import { checkers, synonyms } from './words.ts';
import type { Checker } from './words.ts';

/** Statements of a virtual or real server that its checks inherit. */
export interface Inherited {
  timeout?: Statement | undefined;
  retry?: Statement | undefined;
  delay?: Statement | undefined;
  /** delay_loop. */
  interval?: Statement | undefined;
  virtualhost?: Statement | undefined;
}

export interface ReadCheck {
  /** What keepalived does, the same for the same checks. */
  does: string;
  /** What the document can have of it: every field that the check has; undefined: there is no check. */
  wanted: PortCheck | undefined;
  at: Statement;
}

interface Asked {
  dataplane: Dataplane;
  ledger: Ledger;
  protocol: string;
  /** Of the real server. */
  port: number;
  inherited: Inherited;
}

/** Seconds between checks without delay_loop (keepalived.conf(5)). */
const DEFAULT_INTERVAL = 60;

/** What a virtual or real server adds to what it inherits. 1.2.2 has the times in checks alone. */
export function inherit(block: Block, from: Inherited, dataplane: Dataplane): Inherited {
  const ofServer = block.statement.words[0] === 'real_server';
  if (dataplane === 'fullnat' && ofServer) return from;
  const virtualhost = block.one('virtualhost') ?? from.virtualhost;
  const interval = block.one('delay_loop') ?? from.interval;
  if (dataplane === 'fullnat') return { ...from, virtualhost, interval };
  return { ...timing(block, from), virtualhost, interval };
}

function timing(block: Block, from: Inherited): Inherited {
  return {
    ...from,
    timeout: block.one('connect_timeout') ?? from.timeout,
    retry: block.one(...synonyms.retry) ?? from.retry,
    delay: block.one('delay_before_retry') ?? from.delay,
  };
}

/** The check of a real server. Of several, the one that asks most is kept. */
export function readCheck(server: Block, asked: Asked): ReadCheck {
  const { ledger } = asked;
  const known =
    asked.dataplane === 'fullnat'
      ? ['HTTP_GET', 'SSL_GET', 'TCP_CHECK']
      : ['HTTP_GET', 'SSL_GET', 'TCP_CHECK', 'UDP_CHECK'];
  const all = checkers.flatMap((checker) => server.all([checker]));
  const kept = all.find((statement) => known.includes(statement.words[0] ?? ''));
  for (const statement of all) if (statement !== kept) loseCheck(statement, asked, kept !== undefined);
  if (kept) return oneCheck(kept, asked);
  const [other] = all;
  if (other) return { does: `${other.words[0]}, not expressed`, wanted: plainCheck(asked), at: other };
  ledger.remark(server.statement, {
    why: 'is not checked: Weir checks every WS, and takes it out while it does not answer',
    hint: 'see that the WS answers on its port',
    field: 'check',
  });
  return { does: 'no check', wanted: undefined, at: server.statement };
}

function loseCheck(statement: Statement, { ledger, dataplane }: Asked, another: boolean): void {
  const checker = statement.words[0] as Checker;
  const instead = another
    ? 'a WS has one check, and another one is taken'
    : 'the document has no such check: the WS is checked by whether it takes a connection';
  const old = dataplane === 'fullnat' && (checker === 'UDP_CHECK' || checker === 'DNS_CHECK');
  ledger.lose(statement, {
    why: old ? `keepalived 1.2.2 has no ${checker}: it takes the block’s end for that of the real server` : instead,
    hint: 'see that this check is enough, or set another: weir port set CLUSTER VIP PORT check=...',
    field: 'check',
  });
}

/** A check that takes nothing out that answers at all. */
function plainCheck({ protocol }: Asked): PortCheck {
  return { type: protocol === 'UDP' ? 'udp' : 'tcp' };
}

const types: Readonly<Record<string, CheckType>> = {
  HTTP_GET: 'http',
  SSL_GET: 'https',
  TCP_CHECK: 'tcp',
  UDP_CHECK: 'udp',
};

function oneCheck(statement: Statement, asked: Asked): ReadCheck {
  const { ledger, dataplane } = asked;
  const block = new Block(statement, ledger);
  const type = types[statement.words[0] ?? ''] ?? 'tcp';
  const asksPage = type === 'http' || type === 'https';
  const given = timing(block, asked.inherited);
  const interval = dataplane === 'fullnat' ? given.interval : (block.one('delay_loop') ?? given.interval);
  const times = readTimes(statement, { ...given, interval }, asked);
  const port = otherPort(block, asked);
  const page = asksPage ? readPage(block, type, asked) : undefined;
  block.rest('check');
  const { does, ...wantedTimes } = times;
  const plain = { ...plainCheck(asked), ...wantedTimes };
  const wanted = asksPage
    ? page?.wanted
      ? { type, ...page.wanted, ...wantedTimes }
      : plain
    : { type, ...wantedTimes };
  return {
    does: [`${type}${port}`, page?.does ?? '', does].filter((part) => part !== '').join(', '),
    wanted: fitting(wanted, asked),
    at: statement,
  };
}

/** 1.2.2's TCP_CHECK knows no retries; a UDP check says nothing of a TCP port. */
function fitting(check: PortCheck, { dataplane, protocol }: Asked): PortCheck {
  const type = check.type === 'udp' && protocol !== 'UDP' ? 'tcp' : check.type;
  const { retry, ...rest } = check;
  const noRetry = dataplane === 'fullnat' && (type === 'tcp' || type === 'udp');
  return { ...rest, ...(type === undefined ? {} : { type }), ...(retry === undefined || noRetry ? {} : { retry }) };
}

/** Where the check does not ask the port that is served; empty: it does. */
function otherPort(block: Block, { ledger, port }: Asked): string {
  const statement = block.one('connect_port');
  const asked = numberOf(statement, { min: 1, max: 65535 }, ledger);
  if (!statement || asked === undefined || asked === port) return '';
  ledger.lose(statement, {
    why: 'the check asks another port than the WS serves; Weir asks the port that is served',
    hint: 'see that the WS answers the check on its own port',
    field: 'check',
  });
  return ` of port ${asked}`;
}

interface Times {
  interval: number;
  timeout: number;
  retry?: number;
  does: string;
}

function readTimes(statement: Statement, given: Inherited, { ledger, dataplane }: Asked): Times {
  const old = dataplane === 'fullnat';
  const http = statement.words[0] === 'HTTP_GET' || statement.words[0] === 'SSL_GET';
  const field = 'check' as const;
  const interval = secondsOf(given.interval, { min: 1, max: 3600, otherwise: DEFAULT_INTERVAL }, ledger);
  const timeout = secondsOf(given.timeout, { min: 1, max: 300, otherwise: old ? 0 : 5 }, ledger);
  if (timeout.near === 0) {
    ledger.remark(statement, {
      why: 'without connect_timeout the check of keepalived 1.2.2 always fails: these WSs were never up',
      hint: `the document has ${defaults.check.timeout} s: see which WSs should serve`,
      field,
    });
  }
  const wanted = { interval: interval.near, timeout: timeout.near === 0 ? defaults.check.timeout : timeout.near };
  const does = `${timeout.text} s, every ${interval.text} s`;
  if (old && !http) {
    for (const idle of [given.retry, given.delay]) {
      if (idle) ledger.drop(idle, { why: 'keepalived 1.2.2 does not know the word in a TCP_CHECK' });
    }
    return { ...wanted, does };
  }
  const retry = secondsOf(given.retry, { min: 1, max: 100, otherwise: old ? 0 : 1 }, ledger);
  if (retry.near === 0) {
    ledger.remark(statement, {
      why: 'a WS is taken out by the first check that fails; Weir has one more try at least',
      field,
    });
  }
  const delay = delayOf(given.delay, { old, http });
  const apart = `${retry.text} tries ${delay} s apart`;
  if (delay !== String(RETRY_DELAY)) {
    ledger.remark(given.delay ?? statement, {
      why: `tries of a failing check come ${delay} s apart here, and always ${RETRY_DELAY} s with Weir`,
      hint: 'a WS that fails is taken out that much sooner or later; interval and retry of the check can make up for it',
      field,
    });
  }
  return { ...wanted, retry: Math.max(1, retry.near), does: `${apart}, ${does}` };
}

/** keepalived.conf(5); without it 1.2.2 retries at once. */
function delayOf(statement: Statement | undefined, { old, http }: { old: boolean; http: boolean }): string {
  const text = statement?.words[1];
  if (text !== undefined && /^\d{1,9}(?:\.\d{1,9})?$/.test(text)) return String(Number(text));
  return old ? '0' : http ? '3' : '1';
}

interface Seconds {
  /** As it was written. */
  text: string;
  near: number;
}

function secondsOf(
  statement: Statement | undefined,
  { min, max, otherwise }: { min: number; max: number; otherwise: number },
  ledger: Ledger,
): Seconds {
  const near = numberOf(statement, { min, max, reason: { field: 'check' } }, ledger);
  if (near === undefined) return { text: String(otherwise), near: otherwise };
  return { text: String(Number(statement?.words[1])), near };
}

interface Page {
  does: string;
  /** undefined: what it asks cannot be asked by a document. */
  wanted: Pick<PortCheck, 'path' | 'host' | 'status' | 'digest'> | undefined;
}

function readPage(block: Block, type: CheckType, asked: Asked): Page {
  const { ledger, dataplane, inherited } = asked;
  const [first, ...others] = block.all(['url']);
  for (const other of others) {
    ledger.lose(other, {
      why: 'a second page of one check: a document’s check asks one',
      hint: 'see that the first one is enough',
      field: 'check',
    });
  }
  const own = dataplane === 'fullnat' ? undefined : block.one('virtualhost');
  const sni = dataplane === 'fullnat' ? undefined : block.one('enable_sni');
  if (!first) {
    ledger.remark(block.statement, {
      why: 'asks no page: there is no url in it',
      hint: 'the WS is checked by whether it takes a connection',
      field: 'check',
    });
    return { does: 'no page', wanted: undefined };
  }
  const url = new Block(first, ledger);
  const hostAt = (dataplane === 'fullnat' ? undefined : url.one('virtualhost')) ?? own ?? inherited.virtualhost;
  const host = hostAt?.words[1];
  const pathAt = url.one('path');
  const path = pathAt?.words[1] ?? '/';
  const expected = readExpected(url, asked);
  url.rest('url');
  const named = type === 'https' && host !== undefined;
  if (named && !sni && dataplane !== 'fullnat') {
    ledger.remark(block.statement, {
      why: 'no enable_sni: Weir’s check of a host sends its name',
      hint: 'see that the WS has a certificate for it',
      field: 'check',
    });
  }
  const does = `${path}${host === undefined ? '' : ` of ${host}`}${named && sni ? ' by name' : ''} ${expected.does}`;
  const fits = [
    fitsCheck({ path }, pathAt ?? first, ledger),
    host === undefined || hostAt === undefined || fitsCheck({ host }, hostAt, ledger),
  ].every(Boolean);
  if (!fits || !expected.wanted) return { does, wanted: undefined };
  return { does, wanted: { path, ...(host === undefined ? {} : { host }), ...expected.wanted } };
}

function fitsCheck(check: PortCheck, at: Statement, ledger: Ledger): boolean {
  const parsed = parse(PortCheck, check);
  if (parsed.ok) return true;
  const [problem] = parsed.problems;
  ledger.remark(at, {
    why: `${problem?.message ?? 'a document cannot have it'}: the WS is checked by whether it takes a connection`,
    hint: problem?.hint ?? '',
    field: 'check',
  });
  return false;
}

/** What a page must answer: a status, or the digest of its body. */
function readExpected(url: Block, { ledger, dataplane }: Asked): Page {
  const status = url.one('status_code');
  const digest = url.one('digest');
  const field = 'check' as const;
  if (digest) {
    const text = digest.words[1] ?? '';
    if (status) {
      ledger.lose(status, {
        why: 'a check compares the digest or the status: the digest is taken',
        hint: 'leave the digest out where the status is enough',
        field,
      });
    }
    if (text !== text.toLowerCase() && dataplane === 'fullnat') {
      ledger.remark(digest, {
        why: 'keepalived 1.2.2 compares with lowercase: these WSs were never up',
        hint: 'see which WSs should serve',
        field,
      });
    }
    const wanted = { digest: text.toLowerCase() };
    const does = `with digest ${text}${status ? ` and status ${status.words.slice(1).join(' ')}` : ''}`;
    return { does, wanted: fitsCheck(wanted, digest, ledger) ? wanted : undefined };
  }
  const codes = status?.words.slice(1) ?? [];
  const [code = '200-299'] = codes;
  const does = `with status ${codes.length > 0 ? codes.join(' ') : '200-299'}`;
  if (codes.length === 1 && /^[1-5]\d\d$/.test(code)) return { does, wanted: { status: Number(code) } };
  const near = codes.length === 0 || holds(codes, 200) ? 200 : Number(/^[1-5]\d\d/.exec(code)?.[0] ?? 200);
  const old = dataplane === 'fullnat' && !status;
  ledger.remark(status ?? url.statement, {
    why: old
      ? 'keepalived 1.2.2 never takes a page without status_code and digest for good: these WSs were never up'
      : `any of ${codes.length > 0 ? codes.join(' ') : '200-299'} is good here; a document’s check wants one status, ${near}`,
    hint: `see that the page answers ${near} on every WS, or set another: weir port set CLUSTER VIP PORT check=...`,
    field,
  });
  return { does, wanted: { status: near } };
}

function holds(codes: readonly string[], status: number): boolean {
  return codes.some((code) => {
    const [first = 0, last = first] = code.split('-').map(Number);
    return first <= status && status <= last;
  });
}
