/**
 * Long downloads. One that has finished is opened again within a second; a broken one only when asked, so that what
 * breaks cannot hide behind its successor.
 */
import type { Socket } from 'node:net';
import { dial, type Head, readHead } from './dial.ts';
import type { Traffic } from './traffic.ts';
import { countBy, type DownloadFigures, type Tally } from './window.ts';

export interface Downloads {
  /** Resolves when each flows, or has failed. */
  readonly first: Promise<unknown>;
  live(): Pick<DownloadFigures, 'running' | 'perWs'>;
  /** Those whose target is gone go to another; the others stay. */
  retarget(): void;
  /** Opens broken ones again, stalled ones too; answers how many when each flows, or has failed. */
  reopen(): Promise<number>;
  /** Ends those of a WS, as a client would, and opens others instead. */
  release(ws: string): Promise<number>;
  stop(): void;
}

type State = 'opening' | 'flowing' | 'stalled' | 'broken' | 'finished';

interface Download {
  readonly number: number;
  readonly target: string;
  readonly socket: Socket;
  state: State;
  /** Of the last byte, or of the start; by performance.now(). */
  seen: number;
  text: string;
  head: Head | undefined;
  received: number;
  /** The window in which it was found stalled. */
  stalledIn: Tally | undefined;
  /** Called when it flows or has failed. */
  decided: () => void;
}

const everyMs = 500;

export function startDownloads(traffic: Traffic, { count, path }: { count: number; path: string }): Downloads {
  const slots: Download[] = [];
  const first = Promise.all(Array.from({ length: count }, (_, number) => open(number)));
  // What had arrived is read first, see afterReading.
  const clock = setInterval(() => setImmediate(look), everyMs);

  function open(number: number): Promise<void> {
    return new Promise((decided) => {
      const targets = traffic.targets();
      const target = targets[number % targets.length] ?? '';
      slots[number] = openDownload(traffic, { number, target, path, decided });
    });
  }

  function look(): void {
    for (const download of slots) {
      if (download.state === 'finished') void open(download.number);
      else if (isSilent(download, traffic.stallMs)) stall(traffic, download);
    }
  }

  function openAgain(some: readonly Download[]): Promise<unknown> {
    for (const download of some) close(download);
    return Promise.all(some.map(({ number }) => open(number)));
  }

  return {
    first,
    live() {
      const running = slots.filter(({ state }) => state === 'opening' || state === 'flowing');
      return { running: running.length, perWs: countBy(running, ({ head }) => head?.ws ?? '?') };
    },
    retarget() {
      const targets = traffic.targets();
      void openAgain(slots.filter(({ target, state }) => state !== 'broken' && !targets.includes(target)));
    },
    async reopen() {
      const broken = slots.filter(({ state }) => state === 'broken' || state === 'stalled');
      await openAgain(broken);
      return broken.length;
    },
    async release(ws) {
      const own = slots.filter(({ state, head }) => state === 'flowing' && head?.ws === ws);
      await openAgain(own);
      return own.length;
    },
    stop() {
      clearInterval(clock);
      slots.forEach(close);
    },
  };
}

function isSilent({ state, seen }: Download, stallMs: number): boolean {
  return (state === 'opening' || state === 'flowing') && performance.now() - seen > stallMs;
}

interface Opening extends Pick<Download, 'number' | 'target' | 'decided'> {
  readonly path: string;
}

function openDownload(traffic: Traffic, { path, ...rest }: Opening): Download {
  const socket = dial(rest.target, traffic.nextSource());
  const fresh = { state: 'opening', seen: performance.now(), text: '', received: 0 } as const;
  const download: Download = { ...rest, ...fresh, socket, head: undefined, stalledIn: undefined };
  socket.on('data', (chunk: Buffer) => receive(traffic, download, chunk));
  socket.on('end', () => settle(traffic, download, 'broken'));
  socket.on('error', () => settle(traffic, download, 'broken'));
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${rest.target}\r\n\r\n`);
  return download;
}

function receive(traffic: Traffic, download: Download, chunk: Buffer): void {
  download.seen = performance.now();
  if (download.state === 'stalled') resume(traffic, download);
  readBody(download, chunk);
  const { head, received } = download;
  if (!head) return;
  if (head.status !== 200 || head.length === undefined) return settle(traffic, download, 'broken');
  if (received >= head.length) return settle(traffic, download, 'finished');
  download.state = 'flowing';
  download.decided();
}

function readBody(download: Download, chunk: Buffer): void {
  if (download.head) {
    download.received += chunk.length;
    return;
  }
  download.text += chunk.toString('latin1');
  download.head = readHead(download.text);
  if (download.head) download.received = download.text.length - download.head.end;
}

function stall(traffic: Traffic, download: Download): void {
  const tally = traffic.tally();
  tally.downloads.stalled += 1;
  download.stalledIn = tally;
  download.state = 'stalled';
  download.decided();
}

function resume(traffic: Traffic, download: Download): void {
  const tally = traffic.tally();
  tally.downloads.resumed += 1;
  if (download.stalledIn === tally) tally.downloads.stalled -= 1;
  download.stalledIn = undefined;
  download.state = 'flowing';
}

function settle(traffic: Traffic, download: Download, state: 'broken' | 'finished'): void {
  if (download.state === 'broken' || download.state === 'finished') return;
  const { downloads } = traffic.tally();
  if (state === 'finished') downloads.finished += 1;
  else if (download.stalledIn === undefined) downloads.reset += 1;
  else if (download.stalledIn === traffic.tally()) {
    downloads.stalled -= 1;
    downloads.reset += 1;
  }
  download.state = state;
  close(download);
}

/** Nothing of it is counted any more. */
function close(download: Download): void {
  if (download.state !== 'finished') download.state = 'broken';
  download.socket.destroy();
  download.decided();
}
