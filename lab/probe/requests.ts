/** New connections at a steady rate, one request each; whether they are answered does not change the rate. */
import { dial, type Head, isWhole, kindOf, readHead } from './dial.ts';
import { afterReading, type Traffic } from './traffic.ts';
import type { FailureKind } from './window.ts';

export interface Requests {
  /** Resolves when the first one has ended. */
  readonly first: Promise<void>;
  /** Sends at once what should have been sent by now. */
  catchUp(): void;
  /** Those under way go on. */
  stop(): void;
}

/** Times come from the start alone, so that a late one delays no other. */
export function startRequests(traffic: Traffic, rate: number): Requests {
  if (rate === 0) return { first: Promise.resolve(), catchUp: () => {}, stop: () => {} };
  const begun = performance.now();
  let sent = 0;
  let timer: NodeJS.Timeout | undefined;
  let firstEnded = (): void => {};
  const first = new Promise<void>((resolve) => (firstEnded = resolve));
  const due = (): number => begun + (sent * 1000) / rate;

  function catchUp(): void {
    for (let now = performance.now(); due() <= now; now = performance.now()) {
      const targets = traffic.targets();
      request(traffic, { target: targets[sent % targets.length] ?? '', late: now - due(), ended: firstEnded });
      sent += 1;
    }
  }

  function run(): void {
    catchUp();
    timer = setTimeout(run, due() - performance.now());
  }

  run();
  return { first, catchUp, stop: () => clearTimeout(timer) };
}

interface Sending {
  readonly target: string;
  readonly late: number;
  readonly ended: () => void;
}

type Outcome =
  | { readonly ws: string; readonly source: string }
  | { readonly kind: FailureKind; readonly error?: string };

function request(traffic: Traffic, { target, late, ended }: Sending): void {
  const tally = traffic.tally();
  const [client, at, start] = [traffic.nextSource(), Date.now(), performance.now()];
  tally.begun();
  tally.sent(late);
  exchange({ target, client, limitMs: traffic.limitMs }, (outcome) => {
    if ('kind' in outcome)
      tally.failed({ at, took: Math.round(performance.now() - start), target, client, ...outcome });
    else tally.answered({ ...outcome, target, latency: performance.now() - start });
    tally.ended();
    ended();
  });
}

interface Asked {
  readonly target: string;
  readonly client: string;
  readonly limitMs: number;
}

/** One connection, one request, one call of `done`. */
function exchange({ target, client, limitMs }: Asked, done: (outcome: Outcome) => void): void {
  const socket = dial(target, client);
  const timer = afterReading(limitMs, () => finish({ kind: 'timeout' }));
  let text = '';
  let finished = false;

  function finish(outcome: Outcome): void {
    if (finished) return;
    finished = true;
    clearTimeout(timer);
    socket.destroy();
    done(outcome);
  }

  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    const head = readHead(text);
    if (head && isWhole(head, text)) finish(judge(head, text));
  });
  socket.on('end', () => finish(judgeEnd(text)));
  // Stays for ever: an error that comes after the end is none of ours.
  socket.on('error', (error: NodeJS.ErrnoException) => {
    finish({ kind: kindOf(error), ...(error.code === undefined ? {} : { error: error.code }) });
  });
  socket.write(`GET / HTTP/1.0\r\nHost: ${target}\r\nConnection: close\r\n\r\n`);
}

function judgeEnd(text: string): Outcome {
  const head = readHead(text);
  if (!head || head.length !== undefined) return { kind: 'short' };
  return judge(head, text);
}

function judge({ status, end }: Head, text: string): Outcome {
  try {
    const { ws, source } = JSON.parse(text.slice(end)) as { ws?: unknown; source?: unknown };
    if (status === 200 && typeof ws === 'string' && typeof source === 'string') return { ws, source };
  } catch {
    // No JSON.
  }
  return { kind: 'wrong' };
}
