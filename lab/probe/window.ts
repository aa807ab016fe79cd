/** Counting: what was started in one stretch of time, and what became of it. Imports nothing of ours. */

export const failureKinds = ['refused', 'reset', 'timeout', 'unreachable', 'short', 'wrong', 'other'] as const;
/**
 * `short`: closed before the answer was whole. `wrong`: a whole answer that is none of a WS. `other`: this machine's own
 * trouble, like a lack of ports.
 */
export type FailureKind = (typeof failureKinds)[number];

export const breakKinds = ['reset', 'closed', 'timeout', 'wrong'] as const;
export type BreakKind = (typeof breakKinds)[number];

export interface Failure {
  /** Start of the request, ms since the epoch. */
  readonly at: number;
  /** From its start until it had failed, in ms. */
  readonly took: number;
  readonly kind: FailureKind;
  readonly target: string;
  /** The client's address. */
  readonly client: string;
  /** The system's name of the error, where there is one. */
  readonly error?: string;
}

/** All times are ms since the epoch, by Date.now(); all spans are ms. */
export interface Window {
  readonly name: string;
  readonly from: number;
  readonly to: number;
  /** New connections, by the time of their start. `ok` and `failed` add up to it. */
  readonly started: number;
  readonly ok: number;
  readonly failed: number;
  readonly kinds: Readonly<Record<FailureKind, number>>;
  readonly failures: readonly Failure[];
  /** Starts of the first and the last request that failed, and the time between them. */
  readonly failedSpan?: { readonly first: number; readonly last: number; readonly length: number };
  /** Of those that were answered, from the start of the connection to the last byte. */
  readonly latency?: { readonly p50: number; readonly p99: number; readonly max: number };
  /** Answers by the WS that gave them, and by the source that it saw: the LIP. */
  readonly perWs: Readonly<Record<string, number>>;
  readonly perSource: Readonly<Record<string, number>>;
  readonly perTarget: Readonly<Record<string, { readonly ok: number; readonly failed: number }>>;
  /** At most, how long after its time a request was sent. Above some 100 the machine was busy: other times suffer too. */
  readonly late: number;
  readonly keepalive: KeepaliveFigures;
  readonly downloads: DownloadFigures;
}

export interface KeepaliveFigures {
  /** Connections that had been answered and were open at the end of the window. */
  readonly open: number;
  readonly requests: number;
  readonly answered: number;
  /** Connections that were answered before and then broke, also between two requests. */
  readonly breaks: number;
  readonly kinds: Readonly<Record<BreakKind, number>>;
  /** Attempts to connect that ended before the first answer. */
  readonly unopened: number;
}

export interface DownloadFigures {
  /** At the end of the window, those that stalled left out. */
  readonly running: number;
  /** Running ones by their WS. */
  readonly perWs: Readonly<Record<string, number>>;
  readonly finished: number;
  /**
   * Broken in this window: `reset` by an error, an early end or a wrong answer; `stalled` at its end, since it was found
   * in this window. One that stalls and is reset later is counted once.
   */
  readonly broken: { readonly reset: number; readonly stalled: number };
  /** Flowed on after a stall. */
  readonly resumed: number;
}

/** What is counted while a window lasts. A request belongs to the window in which it was started. */
export interface Tally {
  readonly keepalive: { requests: number; answered: number; unopened: number; kinds: Record<BreakKind, number> };
  readonly downloads: { finished: number; reset: number; stalled: number; resumed: number };
  /** The window will not be told before `ended` was called as often. */
  begun(): void;
  ended(): void;
  /** A new connection was sent so many ms late. */
  sent(late: number): void;
  answered(answer: Answered): void;
  failed(failure: Failure): void;
  /** Ends the window; resolves when all of its requests have ended. */
  close(name: string, live: Live): Promise<Window>;
}

export interface Answered {
  readonly target: string;
  readonly ws: string;
  readonly source: string;
  readonly latency: number;
}

/** What is open at the end of a window. */
export interface Live {
  readonly keepalives: number;
  readonly downloads: Pick<DownloadFigures, 'running' | 'perWs'>;
}

export function openTally(): Tally {
  const from = Date.now();
  const keepalive = { requests: 0, answered: 0, unopened: 0, kinds: zeros(breakKinds) };
  const downloads = { finished: 0, reset: 0, stalled: 0, resumed: 0 };
  const answers: Answered[] = [];
  const failures: Failure[] = [];
  let started = 0;
  let late = 0;
  let pending = 0;
  let drained: (() => void) | undefined;

  function ended(): void {
    pending -= 1;
    if (pending === 0) drained?.();
  }

  async function close(name: string, live: Live): Promise<Window> {
    const to = Date.now();
    if (pending > 0) await new Promise<void>((resolve) => (drained = resolve));
    const { reset, stalled, ...others } = downloads;
    const { kinds } = keepalive;
    return {
      name,
      from,
      to,
      ...requestFigures(started, answers, failures),
      late: Math.round(late),
      keepalive: { open: live.keepalives, ...keepalive, breaks: sum(Object.values(kinds)) },
      downloads: { ...live.downloads, ...others, broken: { reset, stalled } },
    };
  }

  return {
    keepalive,
    downloads,
    begun: () => void (pending += 1),
    ended,
    sent: (ms) => {
      started += 1;
      late = Math.max(late, ms);
    },
    answered: (answer) => void answers.push(answer),
    failed: (failure) => void failures.push(failure),
    close,
  };
}

function requestFigures(started: number, answers: readonly Answered[], unsorted: readonly Failure[]) {
  const failures = [...unsorted].sort((a, b) => a.at - b.at);
  const kinds = zeros(failureKinds);
  for (const { kind } of failures) kinds[kind] += 1;
  return {
    started,
    ok: answers.length,
    failed: failures.length,
    kinds,
    failures,
    ...spanOf(failures),
    ...latencyOf(answers),
    perWs: countBy(answers, ({ ws }) => ws),
    perSource: countBy(answers, ({ source }) => source),
    perTarget: perTarget(answers, failures),
  };
}

function spanOf(failures: readonly Failure[]): Pick<Window, 'failedSpan'> {
  const [first, last] = [failures[0]?.at, failures.at(-1)?.at];
  if (first === undefined || last === undefined) return {};
  return { failedSpan: { first, last, length: last - first } };
}

function latencyOf(answers: readonly Answered[]): Pick<Window, 'latency'> {
  const sorted = Float64Array.from(answers, ({ latency }) => latency).sort();
  if (sorted.length === 0) return {};
  const at = (share: number): number => Math.round((sorted[Math.ceil(share * sorted.length) - 1] ?? 0) * 10) / 10;
  return { latency: { p50: at(0.5), p99: at(0.99), max: at(1) } };
}

function perTarget(answers: readonly Answered[], failures: readonly Failure[]): Window['perTarget'] {
  const [ok, failed] = [countBy(answers, ({ target }) => target), countBy(failures, ({ target }) => target)];
  const targets = Object.keys({ ...ok, ...failed }).sort();
  return Object.fromEntries(targets.map((target) => [target, { ok: ok[target] ?? 0, failed: failed[target] ?? 0 }]));
}

/** Sorted by their names. */
export function countBy<T>(things: readonly T[], nameOf: (thing: T) => string): Record<string, number> {
  const counts = new Map<string, number>();
  for (const name of things.map(nameOf)) counts.set(name, (counts.get(name) ?? 0) + 1);
  return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function zeros<K extends string>(names: readonly K[]): Record<K, number> {
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<K, number>;
}

/** For tables: `12 of 900 failed (9 timeout, 3 reset) within 3.2 s; p99 12 ms`, and what else broke. */
export function lossOf(window: Window): string {
  const { failed, started, failedSpan, latency, keepalive, downloads, late } = window;
  const { reset, stalled } = downloads.broken;
  const within = failedSpan ? ` (${named(window.kinds)}) within ${(failedSpan.length / 1000).toFixed(1)} s` : '';
  return [
    `${inGroups(failed)} of ${inGroups(started)} failed${within}`,
    ...(latency ? [`p99 ${Math.round(latency.p99)} ms`] : []),
    ...(keepalive.breaks > 0 ? [`${keepalive.breaks} keep-alive broken (${named(keepalive.kinds)})`] : []),
    ...(reset + stalled > 0 ? [`${reset + stalled} downloads broken (${named({ reset, stalled })})`] : []),
    ...(late >= 100 ? [`sent up to ${inGroups(late)} ms late`] : []),
  ].join('; ');
}

/** The greatest first; what was not seen is left out. */
function named(counts: Readonly<Record<string, number>>): string {
  const seen = Object.entries(counts).filter(([, count]) => count > 0);
  return seen
    .sort(([, a], [, b]) => b - a)
    .map(([name, count]) => `${inGroups(count)} ${name}`)
    .join(', ');
}

function inGroups(count: number): string {
  return count.toLocaleString('en');
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
