/** Server-sent events over a reply. A client that does not read is dropped, not buffered for. */
import type { FastifyReply } from 'fastify';

export interface Sse {
  send(event: string, data: unknown, id?: number): void;
  end(): void;
  onClose(listener: () => void): void;
}

const HEARTBEAT_MS = 15_000;
const MAX_PENDING_BYTES = 16 * 1024 * 1024;

export function openSse(reply: FastifyReply): Sse {
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache, no-transform',
    'x-accel-buffering': 'no',
  });
  raw.flushHeaders();
  const heart = setInterval(() => write(': \n\n'), HEARTBEAT_MS);
  onClose(() => clearInterval(heart));
  raw.on('error', () => raw.destroy());

  function write(text: string): void {
    if (raw.writableEnded || raw.destroyed) return;
    raw.write(text);
    if (raw.writableLength > MAX_PENDING_BYTES) raw.destroy();
  }

  /** Also for a client that left before the stream was opened, whose `close` has been. */
  function onClose(listener: () => void): void {
    if (raw.closed || raw.destroyed) listener();
    else raw.on('close', listener);
  }

  return {
    send(event, data, id) {
      write(`${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    },
    end() {
      clearInterval(heart);
      raw.end();
    },
    onClose,
  };
}
