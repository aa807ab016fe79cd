/**
 * Lines of a byte stream as an async iterator: the reading half of a session. Splits over chunk
 * boundaries on bytes, so that no UTF-8 character is torn, and holds a bounded amount in memory.
 * Imports nothing of ours.
 */
import type { Readable } from 'node:stream';

/** Bytes of one line that are given; the rest of the line is dropped, so that a machine cannot fill Weir's memory. */
export const maxLineBytes = 64 * 1024;

/** Bytes of lines that wait for the reader before the stream is paused; the pipe then holds the machine back. */
const pauseAtBytes = 256 * 1024;

const newline = 0x0a;

export interface Lines {
  /**
   * For one reader. Leaving a `for await` early says that the rest is not wanted: it is read and dropped, so
   * that the command can go on to its end.
   */
  readonly iterator: AsyncIterableIterator<string>;
  /** Bytes of the stream so far, dropped ones included. */
  readonly received: () => number;
  /** Reads on without holding back: the writer is gone, what is left is what the pipe still holds. */
  readonly drain: () => void;
}

interface Waiter {
  resolve(result: IteratorResult<string>): void;
}

export function readLines(stream: Readable): Lines {
  const splitter = openSplitter();
  const waiters: Waiter[] = [];
  let ready: string[] = [];
  let at = 0;
  let waiting = 0;
  let received = 0;
  let state: 'flowing' | 'draining' | 'ended' = 'flowing';
  let wanted = true;

  stream.on('data', (chunk: Buffer) => {
    received += chunk.length;
    if (!wanted) return;
    take(splitter.push(chunk));
    waiting = at < ready.length ? waiting + chunk.length : 0;
    if (state === 'flowing' && waiting >= pauseAtBytes) stream.pause();
  });
  // A broken pipe ends the lines; why it broke is told by the process's end.
  stream.on('error', () => {});
  stream.once('close', () => {
    state = 'ended';
    if (wanted) take(splitter.rest());
    for (const waiter of waiters.splice(0)) waiter.resolve({ done: true, value: undefined });
  });

  function take(lines: readonly string[]): void {
    for (const line of lines) {
      const waiter = waiters.shift();
      if (waiter) waiter.resolve({ done: false, value: line });
      else ready.push(line);
    }
  }

  function next(): Promise<IteratorResult<string>> {
    const line = ready[at];
    if (line !== undefined) {
      at += 1;
      if (at === ready.length) resume();
      return Promise.resolve({ done: false, value: line });
    }
    if (state === 'ended' || !wanted) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => waiters.push({ resolve }));
  }

  function resume(): void {
    ready = [];
    at = 0;
    waiting = 0;
    if (state !== 'ended') stream.resume();
  }

  function drop(): Promise<IteratorResult<string>> {
    wanted = false;
    resume();
    for (const waiter of waiters.splice(0)) waiter.resolve({ done: true, value: undefined });
    return Promise.resolve({ done: true, value: undefined });
  }

  const iterator: AsyncIterableIterator<string> = {
    next,
    return: drop,
    [Symbol.asyncIterator]() {
      if (!wanted) throw new Error('the lines of this session were given up by leaving the loop that read them');
      return iterator;
    },
  };
  return {
    iterator,
    received: () => received,
    drain() {
      if (state === 'flowing') state = 'draining';
      stream.resume();
    },
  };
}

interface Splitter {
  push(chunk: Buffer): string[];
  /** What stands after the last newline, if anything does. */
  rest(): string[];
}

function openSplitter(): Splitter {
  let parts: Buffer[] = [];
  let length = 0;

  function keep(part: Buffer): void {
    const room = maxLineBytes - length;
    if (part.length === 0 || room <= 0) return;
    parts.push(part.length > room ? part.subarray(0, room) : part);
    length += Math.min(part.length, room);
  }

  function line(): string {
    const whole = parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts, length);
    parts = [];
    length = 0;
    return (whole.length < maxLineBytes ? whole : withoutTornCharacter(whole)).toString('utf8');
  }

  return {
    push(chunk) {
      const lines: string[] = [];
      let from = 0;
      for (let to = chunk.indexOf(newline); to !== -1; to = chunk.indexOf(newline, from)) {
        keep(chunk.subarray(from, to));
        lines.push(line());
        from = to + 1;
      }
      keep(chunk.subarray(from));
      return lines;
    },
    rest: () => (length > 0 ? [line()] : []),
  };
}

/** Takes away the beginning of a UTF-8 character whose end was cut off. */
function withoutTornCharacter(bytes: Buffer): Buffer {
  for (let back = 1; back <= 3; back += 1) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte < 0x80) return bytes;
    if (byte >= 0xc0) return byteLengthOf(byte) > back ? bytes.subarray(0, bytes.length - back) : bytes;
  }
  return bytes;
}

/** Length of a UTF-8 character by its first byte, which is at least 0xc0. */
function byteLengthOf(first: number): number {
  if (first >= 0xf0) return 4;
  return first >= 0xe0 ? 3 : 2;
}
