/** Connections that stay open and send a request every second. One that breaks is opened again a second later. */
import type { Socket } from 'node:net';
import { dial, isWhole, kindOf, readHead } from './dial.ts';
import { afterReading, type Traffic } from './traffic.ts';
import type { BreakKind, Tally } from './window.ts';

export interface Keepalives {
  /** Resolves when each has been answered or has failed once. */
  readonly first: Promise<unknown>;
  /** Open ones that have been answered. */
  open(): number;
  /** Those whose target is gone go to another; the others stay. */
  retarget(): void;
  /** All go, as clients end them, and come back by new connections. */
  renew(): void;
  /** Sends no more; what is under way goes on. */
  stop(): void;
}

const everyMs = 1000;

export function startKeepalives(traffic: Traffic, count: number): Keepalives {
  const all = Array.from({ length: count }, (_, number) => keepConnection(traffic, { number, count }));
  return {
    first: Promise.all(all.map(({ first }) => first)),
    open: () => all.filter((one) => one.isOpen()).length,
    retarget: () => all.forEach((one) => one.retarget()),
    renew: () => all.forEach((one) => one.renew()),
    stop: () => all.forEach((one) => one.stop()),
  };
}

interface Connection {
  readonly socket: Socket;
  readonly target: string;
  answers: number;
  text: string;
  /** The request that waits for its answer. */
  waiting: { readonly tally: Tally; readonly timer: NodeJS.Timeout } | undefined;
}

/** Number N of so many starts N parts of a second after the first, so that they spread. */
function keepConnection(traffic: Traffic, { number, count }: { number: number; count: number }) {
  let connection: Connection | undefined;
  let timer = setTimeout(beat, (number * everyMs) / count);
  let firstEnded = (): void => {};
  const first = new Promise<void>((resolve) => (firstEnded = resolve));

  function beat(): void {
    timer = setTimeout(beat, everyMs);
    connection ??= open();
    if (!connection.waiting) send(connection);
  }

  function open(): Connection {
    const targets = traffic.targets();
    const target = targets[number % targets.length] ?? '';
    const socket = dial(target, traffic.nextSource());
    const opened: Connection = { socket, target, answers: 0, text: '', waiting: undefined };
    socket.on('data', (chunk: Buffer) => receive(opened, chunk));
    socket.on('end', () => fail(opened, 'closed'));
    socket.on('error', (error) => fail(opened, kindOf(error) === 'timeout' ? 'timeout' : 'reset'));
    return opened;
  }

  function send(to: Connection): void {
    const tally = traffic.tally();
    tally.begun();
    tally.keepalive.requests += 1;
    to.waiting = { tally, timer: afterReading(traffic.limitMs, () => fail(to, 'timeout')) };
    to.socket.write(`GET / HTTP/1.1\r\nHost: ${to.target}\r\n\r\n`);
  }

  function receive(from: Connection, chunk: Buffer): void {
    from.text += chunk.toString('latin1');
    const head = readHead(from.text);
    if (!head || !isWhole(head, from.text)) return;
    if (head.status !== 200 || !from.waiting) return fail(from, 'wrong');
    from.text = '';
    from.answers += 1;
    from.waiting.tally.keepalive.answered += 1;
    settle(from);
  }

  /** A break counts for the window of the request under way, if there is one. */
  function fail(broken: Connection, kind: BreakKind): void {
    if (connection !== broken) return;
    const { keepalive } = broken.waiting?.tally ?? traffic.tally();
    if (broken.answers > 0) keepalive.kinds[kind] += 1;
    else keepalive.unopened += 1;
    leave(broken);
  }

  function leave(old: Connection): void {
    connection = undefined;
    old.socket.destroy();
    settle(old);
  }

  function settle(of: Connection): void {
    clearTimeout(of.waiting?.timer);
    of.waiting?.tally.ended();
    of.waiting = undefined;
    firstEnded();
  }

  function renew(): void {
    if (!connection) return;
    // What it waited for is left, and not counted.
    if (connection.waiting) connection.waiting.tally.keepalive.requests -= 1;
    leave(connection);
  }

  return {
    first,
    isOpen: () => connection !== undefined && connection.answers > 0,
    retarget(): void {
      if (connection && !traffic.targets().includes(connection.target)) renew();
    },
    renew,
    stop: () => clearTimeout(timer),
  };
}
