/** Connections of the prober, and as much of HTTP as it reads. Imports nothing but Node. */
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { FailureKind } from './window.ts';

/** What may be written at once is sent when the connection is there. `target`: `ADDRESS:PORT`. */
export function dial(target: string, source: string): Socket {
  const colon = target.lastIndexOf(':');
  const options = { host: target.slice(0, colon), port: Number(target.slice(colon + 1)), localAddress: source };
  // The WSs of a lab have a certificate of their own making.
  return options.port === 443 ? connectTls({ ...options, rejectUnauthorized: false }) : connectTcp(options);
}

export function kindOf(error: NodeJS.ErrnoException): FailureKind {
  switch (error.code) {
    case 'ECONNREFUSED':
      return 'refused';
    case 'ECONNRESET':
    case 'EPIPE':
      return 'reset';
    case 'ETIMEDOUT':
      return 'timeout';
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return 'unreachable';
    default:
      return 'other';
  }
}

export interface Head {
  readonly status: number;
  /** Undefined where the body ends with the connection. */
  readonly length: number | undefined;
  /** The WS's name, where it tells it. */
  readonly ws: string | undefined;
  /** Where the body starts. */
  readonly end: number;
}

/** The head of an answer, one character per byte; undefined as long as it is not whole. */
export function readHead(text: string): Head | undefined {
  const blank = text.indexOf('\r\n\r\n');
  if (blank < 0) return undefined;
  const head = text.slice(0, blank);
  const length = /^content-length: *(\d+)/im.exec(head)?.[1];
  return {
    status: Number(/^HTTP\/1\.\d (\d{3})/.exec(head)?.[1] ?? 0),
    length: length === undefined ? undefined : Number(length),
    ws: /^x-ws: *(\S+)/im.exec(head)?.[1],
    end: blank + 4,
  };
}

export function isWhole(head: Head, text: string): boolean {
  return head.length !== undefined && text.length >= head.end + head.length;
}
