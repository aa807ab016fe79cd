/**
 * One program as a RemoteSession: pipes, limits and the end of the process. Knows nothing of ssh's arguments.
 * For src/remote only; imports domain/errors and the port.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { messageOf, WeirError } from '../domain/errors.ts';
import { readLines } from './lines.ts';
import type { RemoteExit, RemoteSession, RunOptions } from './port.ts';

const stderrTailBytes = 8 * 1024;

/** Between SIGTERM, on which ssh puts its connection and its proxy in order, and SIGKILL; ms. */
const killAfterMs = 2000;

/** How long pipes may stay open after the process is gone, held by a process that it left behind; ms. */
const pipeGraceMs = 1000;

/** The longest delay of a timer in Node; anything above fires at once. */
const longestTimerMs = 2 ** 31 - 1;

export function startSession(program: string, args: readonly string[], options: RunOptions): RemoteSession {
  if (options.signal?.aborted) return neverStarted(Promise.resolve(''), true);
  // Its own process group: Ctrl-C at Weir's terminal does not cut a publication short, and what ssh started
  // (ProxyCommand, ProxyJump) can be ended along with it.
  const child: ChildProcess = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  const { stdin, stdout, stderr } = child;
  // Node makes no pipes where it is out of file descriptors.
  if (!stdin || !stdout || !stderr) return neverStarted(failureOf(child, program), false);

  const input = openInput(stdin);
  const lines = readLines(stdout);
  const tail = keepTail(stderr);
  const limits = limit(child, options);
  const done = endOf(child, lines.drain).then((failure): RemoteExit => ({
    code: failure || limits.ended() ? null : child.exitCode,
    stderr: failure ? wordsOf(failure, program) : tail(),
    timedOut: limits.timedOut(),
    bytesSent: input.sent(),
    bytesReceived: lines.received(),
  }));
  return { lines: lines.iterator, write: input.write, end: input.end, done, kill: limits.end };
}

function neverStarted(words: Promise<string>, timedOut: boolean): RemoteSession {
  return {
    lines: { [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve({ done: true, value: undefined }) }) },
    write: () => handled(Promise.reject(new WeirError('remote', 'The session never started'))),
    end() {},
    done: words.then((stderr) => ({ code: null, stderr, timedOut, bytesSent: 0, bytesReceived: 0 })),
    kill() {},
  };
}

async function failureOf(child: ChildProcess, program: string): Promise<string> {
  const [failure] = await once(child, 'error');
  return wordsOf(failure, program);
}

function wordsOf(failure: unknown, program: string): string {
  const missing = failure instanceof Error && 'code' in failure && failure.code === 'ENOENT';
  return missing
    ? `cannot start ${program}: no such program; install the OpenSSH client (Debian: openssh-client)`
    : `cannot start ${program}: ${messageOf(failure)}`;
}

interface Input {
  readonly write: (data: Uint8Array | string) => Promise<void>;
  readonly end: () => void;
  readonly sent: () => number;
}

function openInput(stdin: Writable): Input {
  let sent = 0;
  // EPIPE, where the command ended before it read everything: told by the promise of the write.
  stdin.on('error', () => {});

  function write(data: Uint8Array | string): Promise<void> {
    if (stdin.writableEnded) return handled(Promise.reject(new WeirError('remote', 'The input was closed before')));
    const taken = new Promise<void>((resolve, reject) => {
      stdin.write(data, (failure) => {
        if (failure) {
          reject(new WeirError('remote', 'The session is over', { cause: failure }));
          return;
        }
        sent += typeof data === 'string' ? Buffer.byteLength(data) : data.byteLength;
        resolve();
      });
    });
    return handled(taken);
  }

  return { write, end: () => void stdin.end(), sent: () => sent };
}

/** The caller may look at the promise late, or never: the end of the session tells it too. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

function keepTail(stream: Readable): () => string {
  let tail = Buffer.alloc(0);
  stream.on('data', (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk]);
    if (tail.length > stderrTailBytes) tail = Buffer.from(tail.subarray(-stderrTailBytes));
  });
  stream.on('error', () => {});
  // ssh ends the lines of its own words with CR LF.
  return () => tail.toString('utf8').replaceAll('\r\n', '\n');
}

interface Limits {
  readonly end: () => void;
  readonly ended: () => boolean;
  readonly timedOut: () => boolean;
}

/** Ends the process where its time is over, the signal fires, or the caller wants it. */
function limit(child: ChildProcess, { timeoutMs, signal }: RunOptions): Limits {
  let ended = false;
  let timedOut = false;
  let killer: NodeJS.Timeout | undefined;
  const timer = setTimeout(stop, Math.min(timeoutMs, longestTimerMs));
  signal?.addEventListener('abort', stop, { once: true });
  child.once('error', release);
  child.once('exit', () => {
    release();
    // ssh is gone, and so is the use of what it started.
    if (ended) signalGroup(child, 'SIGKILL');
  });

  function stop(): void {
    if (!running(child)) return;
    timedOut ||= !ended;
    end();
  }

  function end(): void {
    if (ended || !running(child)) return;
    ended = true;
    signalGroup(child, 'SIGTERM');
    killer = setTimeout(() => signalGroup(child, 'SIGKILL'), killAfterMs);
  }

  function release(): void {
    clearTimeout(timer);
    clearTimeout(killer);
    signal?.removeEventListener('abort', stop);
  }

  return { end, ended: () => ended, timedOut: () => timedOut };
}

function running(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // The group is empty already.
  }
}

/** Resolves when the process is gone and its pipes are read, with the failure if it never started. */
function endOf(child: ChildProcess, drain: () => void): Promise<Error | undefined> {
  return new Promise((resolve) => {
    let grace: NodeJS.Timeout | undefined;
    child.on('error', (failure) => {
      if (child.pid === undefined) resolve(failure);
    });
    child.once('exit', () => {
      drain();
      grace = setTimeout(() => {
        for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.destroy();
      }, pipeGraceMs);
    });
    child.once('close', () => {
      clearTimeout(grace);
      resolve(undefined);
    });
  });
}
