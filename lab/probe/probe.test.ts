import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { isAlive, markOf } from '../process.ts';
import { waitFor } from '../wait.ts';
import { startDownloads } from './downloads.ts';
import { type ProbeOptions, startProbe, type Window } from './probe.ts';
import { openTally } from './window.ts';

const sources = ['127.77.1.1', '127.77.1.2'];
const quiet = { sources, rate: 0, keepalives: 0, downloads: 0 };
const open: { close(): unknown }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).toReversed()) await one.close();
});

describe('new connections', () => {
  test('each is counted, by the WS that answered, the source that it saw, and the target', async () => {
    const servers = [await serve((socket) => tell(socket, 'ws1')), await serve((socket) => tell(socket, 'ws2'))];
    const targets = servers.map(({ target }) => target);
    const { probe } = await start({ targets, rate: 200 });
    await waitFor('requests', () => servers.every(({ sockets }) => sockets.length >= 20));
    const window = await probe.stop();
    const [first = 0, second = 0] = servers.map(({ sockets }) => sockets.length);
    expect(window).toMatchObject({ started: first + second, ok: first + second, failed: 0, failures: [] });
    expect(window.perWs).toEqual({ ws1: first, ws2: second });
    expect(Math.abs(first - second)).toBeLessThanOrEqual(1);
    expect(window.perTarget).toEqual({
      [targets[0] ?? '']: { ok: first, failed: 0 },
      [targets[1] ?? '']: { ok: second, failed: 0 },
    });
    expect(window.latency?.max).toBeGreaterThan(0);
  });

  test('they come from the addresses of the client in turn', async () => {
    const server = await serve((socket) => tell(socket, 'ws1'));
    const { probe } = await start({ targets: [server.target], rate: 200 });
    await waitFor('requests', () => server.sockets.length >= 20);
    const { perSource, started } = await probe.stop();
    expect(Object.keys(perSource)).toEqual(sources);
    expect(Math.abs((perSource[sources[0] ?? ''] ?? 0) - started / 2)).toBeLessThan(1);
  });

  test.each<[string, (socket: Socket) => unknown]>([
    ['reset', (socket) => socket.once('data', () => socket.resetAndDestroy())],
    ['timeout', () => {}],
    ['short', (socket) => socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"ws"'))],
    ['short', (socket) => socket.once('data', () => socket.end())],
    ['wrong', (socket) => socket.once('data', () => socket.end(answer('{"ws":"ws1","source":"lip"}', 503)))],
    ['wrong', (socket) => socket.once('data', () => socket.end(answer('<html>')))],
  ])('one that fails is counted as what it is: %s', async (kind, behave) => {
    const server = await serve(behave);
    const before = Date.now();
    const { probe } = await start({ targets: [server.target], rate: 100, ...(kind === 'timeout' && { limitMs: 200 }) });
    await waitFor('requests', () => server.sockets.length >= 5);
    const window = await probe.stop();
    expect(window.kinds[kind as 'reset'], JSON.stringify(window)).toBe(window.started);
    expect(window).toMatchObject({ ok: 0, failed: window.started, perTarget: { [server.target]: { ok: 0 } } });
    const [first, last] = [window.failures[0], window.failures.at(-1)];
    expect(first).toMatchObject({ target: server.target, client: sources[0], kind });
    expect(first?.at).toBeGreaterThanOrEqual(before);
    expect(window.failedSpan).toEqual({
      first: first?.at,
      last: last?.at,
      length: (last?.at ?? 0) - (first?.at ?? 0),
    });
  });

  test('nobody who listens, and addresses that this machine does not have, are told apart', async () => {
    const closed = await serve(() => {});
    await closed.close();
    const refused = await (await start({ targets: [closed.target], rate: 100 })).probe.stop();
    expect(refused.kinds.refused).toBe(refused.started);
    expect(refused.failures[0]).toMatchObject({ error: 'ECONNREFUSED' });
    const other = await (await start({ targets: [closed.target], rate: 100, sources: ['192.0.2.1'] })).probe.stop();
    expect(other.kinds.other).toBe(other.started);
    expect(other.failures[0]).toMatchObject({ error: 'EADDRNOTAVAIL', client: '192.0.2.1' });
  });

  test('a request counts for the window in which it was started, which is told when all of its have ended', async () => {
    const held: Socket[] = [];
    let isHolding = false;
    const server = await serve((socket) => (isHolding ? held.push(socket) : tell(socket, 'ws1')));
    const { probe } = await start({ targets: [server.target], rate: 50, limitMs: 20_000 });
    isHolding = true;
    await waitFor('requests', () => held.length >= 5);
    let told = false;
    const first = probe.window('first').finally(() => (told = true));
    const inFirst = held.length;
    await waitFor('requests of the next window', () => held.length >= inFirst + 10);
    expect(told).toBe(false);
    isHolding = false;
    for (const socket of held) socket.end(answer(JSON.stringify({ ws: 'ws1', source: 'late' })));
    const window = await first;
    const last = await probe.stop();
    expect(window.started).toBeGreaterThanOrEqual(5);
    expect(window).toMatchObject({ name: 'first', ok: window.started, failed: 0 });
    expect(last).toMatchObject({ name: 'last', ok: last.started });
    expect(window.started + last.started).toBe(server.sockets.length);
    expect(window.to).toBeLessThanOrEqual(last.from);
  });

  test('where the prober was held up, all requests are sent after all, and it tells how late', async () => {
    const server = await serve((socket) => tell(socket, 'ws1'));
    const { probe, child } = await start({ targets: [server.target], rate: 200 });
    await probe.window('before');
    child.kill('SIGSTOP');
    await pause(600);
    child.kill('SIGCONT');
    const window = await probe.window('held up');
    expect(window.late).toBeGreaterThanOrEqual(500);
    const expected = ((window.to - window.from) * 200) / 1000;
    expect(Math.abs(window.started - expected)).toBeLessThanOrEqual(2);
    expect(window).toMatchObject({ ok: window.started, failed: 0 });
  });

  test('answers that came while the prober was held up longer than the limit are in time', async () => {
    let holdUp = (): void => {};
    const server = await serve((socket) => {
      socket.once('data', () => {
        holdUp();
        socket.end(answer(JSON.stringify({ ws: 'ws1', source: 'late' })));
      });
    });
    const { probe, child } = await start({ targets: [server.target], rate: 2, limitMs: 1000 });
    const heldUp = new Promise<void>((resolve) => {
      holdUp = () => {
        holdUp = () => {};
        child.kill('SIGSTOP');
        resolve();
      };
    });
    await heldUp;
    await pause(1500);
    child.kill('SIGCONT');
    const { ok, failed, perSource } = await probe.stop();
    expect({ failed, answered: perSource.late }).toEqual({ failed: 0, answered: ok });
  });

  test('they go to other targets when told', async () => {
    const [old, fresh] = [await serve((socket) => tell(socket, 'old')), await serve((socket) => tell(socket, 'new'))];
    const { probe } = await start({ targets: [old.target], rate: 100 });
    await probe.retarget([fresh.target]);
    await probe.window('before');
    await waitFor('requests', () => fresh.sockets.length >= 5);
    const window = await probe.stop();
    expect(window.perWs).toEqual({ new: window.started });
  });
});

describe('keep-alive connections', () => {
  test('each sends its requests on one connection', async () => {
    const server = await serve((socket) => tellAlways(socket));
    const { probe } = await start({ targets: [server.target], keepalives: 3 });
    await waitFor('second requests', () => server.requests() >= 6);
    const { keepalive } = await probe.stop();
    expect(server.sockets).toHaveLength(3);
    expect(keepalive).toMatchObject({ open: 3, requests: server.requests(), answered: keepalive.requests, breaks: 0 });
  });

  test('one that is reset, closed or not answered any more breaks and is opened again', async () => {
    const servers = [
      await serve((socket, count) => tellOnce(socket, count, () => socket.resetAndDestroy())),
      await serve((socket, count) => tellOnce(socket, count, () => socket.end())),
      await serve((socket, count) => tellOnce(socket, count, () => {})),
    ];
    const targets = servers.map(({ target }) => target);
    const { probe } = await start({ targets, keepalives: 3, limitMs: 1500 });
    await waitFor('new connections', () => servers.every(({ sockets }) => sockets.length === 2));
    const { keepalive } = await probe.stop();
    expect(keepalive.kinds).toMatchObject({ reset: 1, closed: 1, timeout: 1, wrong: 0 });
    expect(keepalive).toMatchObject({ breaks: 3, unopened: 0 });
  });

  test('one that is closed between two requests breaks', async () => {
    const server = await serve((socket, count) => {
      tellAlways(socket);
      if (count === 1) socket.once('data', () => setImmediate(() => socket.end()));
    });
    const { probe } = await start({ targets: [server.target], keepalives: 1 });
    await waitFor('a new connection', () => server.sockets.length === 2);
    expect((await probe.stop()).keepalive).toMatchObject({ kinds: { closed: 1 }, answered: server.requests() });
  });

  test('an attempt that does not reach an answer is no break', async () => {
    const server = await serve((socket) => socket.once('data', () => socket.resetAndDestroy()));
    const { probe } = await start({ targets: [server.target], keepalives: 1 });
    const { keepalive } = await probe.stop();
    expect(keepalive).toMatchObject({ open: 0, breaks: 0, answered: 0, unopened: server.sockets.length });
  });

  test('they leave a target that is gone, which is no break, and stay with one that is not', async () => {
    const [old, kept, fresh] = [await serve(tellAlways), await serve(tellAlways), await serve(tellAlways)];
    const { probe } = await start({ targets: [old.target, kept.target], keepalives: 2 });
    await probe.retarget([fresh.target, kept.target]);
    await waitFor('its requests', () => fresh.requests() > 1 && kept.requests() > 1);
    const { keepalive } = await probe.stop();
    expect(keepalive).toMatchObject({ open: 2, breaks: 0, unopened: 0 });
    expect([old, kept, fresh].map(({ sockets }) => sockets.length)).toEqual([1, 1, 1]);
  });
});

describe('long downloads', () => {
  const slow = { stallMs: 2000 };

  test('those that flow are running, by their WS; one that has come to its end is opened again', async () => {
    const [flowing, short] = [
      await serve((socket) => flow(socket)),
      await serve((socket, count) => flow(socket, count === 1 ? 3 : undefined)),
    ];
    const { probe } = await start({ targets: [flowing.target, short.target], downloads: 2, ...slow });
    await waitFor('the second of the short', () => short.sockets.length === 2);
    const window = await probe.window('one');
    expect(window.downloads).toMatchObject({ finished: 1, resumed: 0, broken: { reset: 0, stalled: 0 } });
    expect(window.downloads.running).toBe(2);
    expect(window.downloads.perWs).toMatchObject({ slow: expect.any(Number) });
    expect(flowing.sockets).toHaveLength(1);
  });

  test.each<[string, (socket: Socket) => unknown]>([
    ['reset', (socket) => socket.resetAndDestroy()],
    ['closed early', (socket) => socket.end()],
  ])('one that is %s is broken, and opened again when asked only', async (_how, end) => {
    const server = await serve((socket) => flow(socket));
    const { probe } = await start({ targets: [server.target], downloads: 2, ...slow });
    expect((await probe.window('before')).downloads).toMatchObject({ running: 2, perWs: { slow: 2 } });
    if (server.sockets[0]) end(server.sockets[0]);
    const broken = await waitFor('the break', async () => withBreak(await probe.window('break')));
    expect(broken.downloads).toMatchObject({ running: 1, broken: { reset: 1, stalled: 0 } });
    expect(server.sockets).toHaveLength(2);
    expect(await probe.reopenDownloads()).toBe(1);
    expect(server.sockets).toHaveLength(3);
    expect((await probe.stop()).downloads).toMatchObject({ running: 2, broken: { reset: 0, stalled: 0 } });
  });

  test('those of a WS, and keep-alive connections, end and come back as clients end them, and nothing broke', async () => {
    const [slowly, often] = [await serve((socket) => flow(socket)), await serve(tellAlways)];
    const { probe } = await start({ targets: [slowly.target], downloads: 2, ...slow });
    expect(await probe.release('other')).toBe(0);
    expect(await probe.release('slow')).toBe(2);
    expect(slowly.sockets).toHaveLength(4);
    expect((await probe.stop()).downloads).toMatchObject({ running: 2, finished: 0, broken: { reset: 0, stalled: 0 } });

    const { probe: other } = await start({ targets: [often.target], keepalives: 2 });
    await waitFor('their requests', () => often.requests() >= 2);
    await other.release('slow');
    await waitFor('their successors', () => often.sockets.length === 4);
    expect((await other.stop()).keepalive).toMatchObject({ breaks: 0, unopened: 0 });
  });

  test('an answer that is no download is broken', async () => {
    const server = await serve((socket) => socket.once('data', () => socket.write(answer('no such page', 404))));
    const { probe } = await start({ targets: [server.target], downloads: 1, ...slow });
    expect((await probe.stop()).downloads).toMatchObject({ running: 0, broken: { reset: 1, stalled: 0 } });
  });

  test('one without a byte for too long is stalled, once', async () => {
    const server = await serve((socket) => stall(socket));
    const { probe } = await start({ targets: [server.target], downloads: 1, ...slow });
    expect((await probe.window('before')).downloads).toMatchObject({ running: 1 });
    const stalled = await waitFor('the stall', async () => withBreak(await probe.window('stall')));
    expect(stalled.downloads).toMatchObject({ running: 0, broken: { reset: 0, stalled: 1 } });
    server.sockets[0]?.resetAndDestroy();
    expect(await probe.reopenDownloads()).toBe(1);
    expect((await probe.window('after')).downloads).toMatchObject({ running: 1, broken: { reset: 0, stalled: 0 } });
  });

  test('one that flows on after a stall has resumed and is not broken', async () => {
    const server = await serve((socket) => stall(socket));
    const { tally, downloads } = downloadHere(server);
    await waitFor('the stall', () => tally.downloads.stalled === 1);
    expect(downloads.live()).toMatchObject({ running: 0 });
    server.sockets[0]?.write('more');
    await waitFor('its end', () => tally.downloads.resumed === 1);
    expect(tally.downloads).toMatchObject({ reset: 0, stalled: 0, finished: 0 });
    expect(downloads.live()).toMatchObject({ running: 1 });
  });

  test('one that stalls and is reset in the same window counts as reset', async () => {
    const server = await serve((socket) => stall(socket));
    const { tally } = downloadHere(server);
    await waitFor('the stall', () => tally.downloads.stalled === 1);
    server.sockets[0]?.resetAndDestroy();
    await waitFor('the reset', () => tally.downloads.reset === 1);
    expect(tally.downloads).toMatchObject({ stalled: 0, resumed: 0, finished: 0 });
  });

  test('one that stalled in an earlier window and is reset then is not counted again', async () => {
    const server = await serve((socket) => stall(socket));
    const { probe } = await start({ targets: [server.target], downloads: 2, stallMs: 400 });
    let stalled = 0;
    await waitFor('the stalls', async () => {
      stalled += (await probe.window('stall')).downloads.broken.stalled;
      return stalled === 2;
    });
    server.sockets[0]?.resetAndDestroy();
    server.sockets[1]?.write('more');
    const window = await waitFor('the other to resume', async () => {
      const next = await probe.window('after');
      expect(next.downloads.broken.reset).toBe(0);
      return next.downloads.resumed === 1 && next;
    });
    expect(window.downloads.running).toBe(1);
  });

  test('they leave a target that is gone, which is no break', async () => {
    const [old, fresh] = [await serve((socket) => flow(socket)), await serve((socket) => flow(socket))];
    const { probe } = await start({ targets: [old.target], downloads: 2, ...slow });
    await probe.retarget([fresh.target]);
    await waitFor('the new ones', () => fresh.requests() === 2);
    expect((await probe.stop()).downloads).toMatchObject({ running: 2, broken: { reset: 0, stalled: 0 } });
  });
});

describe('the program', () => {
  test('what is answered last is the rest, and it has ended then', async () => {
    const server = await serve((socket) => tell(socket, 'ws1'));
    const { probe, child } = await start({ targets: [server.target], rate: 50 });
    const last = probe.stop();
    expect(probe.stop()).toBe(last);
    expect(await last).toMatchObject({ name: 'last' });
    expect(child.exitCode).toBe(0);
    await expect(probe.window('late')).rejects.toMatchObject({ code: 'failed', message: 'The prober ended (0)' });
  });

  test('its own words are told when it fails', async () => {
    const failing = start({ targets: ['127.0.0.1:80'], sources: ['no address'], rate: 10 });
    await expect(failing).rejects.toThrow(/The prober ended .*no address/s);
  });

  test('who waits for an answer is told when it is killed', async () => {
    const server = await serve(() => {});
    const { probe, child } = await start({ targets: [server.target], downloads: 1, stallMs: 300 });
    const window = probe.reopenDownloads();
    child.kill('SIGKILL');
    await expect(window).rejects.toThrow('The prober ended (SIGKILL)');
    await expect(probe.stop()).rejects.toThrow('The prober ended (SIGKILL)');
  });

  test('it ends with its owner', async () => {
    const server = await serve((socket) => tell(socket, 'ws1'));
    const owner = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', ownerProgram], {
      env: { ...process.env, MODULE: pathToFileURL(join(import.meta.dirname, 'probe.ts')).href, TARGET: server.target },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [pid] = (await once(createInterface({ input: owner.stdout }), 'line')) as [string];
    const prober = markOf(Number(pid));
    expect(prober && isAlive(prober)).toBe(true);
    owner.kill('SIGKILL');
    await waitFor('its end', () => prober && !isAlive(prober), { timeoutMs: 20_000 });
  });
});

const ownerProgram = `
import { spawn } from 'node:child_process';
const { startProbe } = await import(process.env.MODULE);
let child;
const place = { spawn: (argv, stdio) => (child = spawn(argv[0], argv.slice(1), { stdio })) };
await startProbe(place, { sources: ['127.77.1.1'], targets: [process.env.TARGET], rate: 20, keepalives: 0, downloads: 0 });
console.log(child.pid);
setInterval(() => {}, 1000);
`;

async function start(options: Partial<ProbeOptions> & Pick<ProbeOptions, 'targets'>) {
  const children: ChildProcess[] = [];
  const place = {
    spawn([program = '', ...args]: readonly string[], stdio: StdioOptions): ChildProcess {
      const child = spawn(program, args, { stdio });
      children.push(child);
      open.push({ close: () => child.kill('SIGKILL') });
      return child;
    },
  };
  const probe = await startProbe(place, { ...quiet, ...options });
  return { probe, child: children[0] as ChildProcess };
}

/** One download in this process, whose counts can be seen while they change. */
function downloadHere({ target }: Server) {
  const tally = openTally();
  const traffic = { limitMs: 3000, stallMs: 400, targets: () => [target], nextSource: () => '127.77.1.1' };
  const downloads = startDownloads({ ...traffic, tally: () => tally }, { count: 1, path: '/slow' });
  open.push({ close: () => downloads.stop() });
  return { tally, downloads };
}

interface Server {
  readonly target: string;
  /** In the order of their connection. */
  readonly sockets: Socket[];
  /** Requests that came, on all of them. */
  requests(): number;
  close(): Promise<unknown>;
}

/** `count`: of its connections up to this one. */
async function serve(behave: (socket: Socket, count: number) => unknown): Promise<Server> {
  const sockets: Socket[] = [];
  let requests = 0;
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => (requests += chunk.toString().split('GET ').length - 1));
    behave(socket, sockets.length);
  });
  server.listen({ host: '127.77.0.1', port: 0, backlog: 1024 });
  await once(server, 'listening');
  async function close(): Promise<void> {
    if (!server.listening) return;
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  }
  open.push({ close });
  return { target: `127.77.0.1:${(server.address() as AddressInfo).port}`, sockets, requests: () => requests, close };
}

function answer(body: string, status = 200): string {
  return `HTTP/1.1 ${status} Said\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

/** As a WS does, and closes. */
function tell(socket: Socket, ws: string): void {
  socket.once('data', () => socket.end(answer(JSON.stringify({ ws, source: socket.remoteAddress }))));
}

function tellAlways(socket: Socket): void {
  socket.on('data', () => socket.write(answer('{}')));
}

/** What comes after the first answer on the first connection is left to `then`. */
function tellOnce(socket: Socket, count: number, then: () => unknown): void {
  if (count > 1) return tellAlways(socket);
  socket.once('data', () => {
    socket.write(answer('{}'));
    socket.once('data', then);
  });
}

const head = (length: number): string => `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\nX-Ws: slow\r\n\r\n`;

/** So many bytes, ten each second; by default far more than a test waits for. */
function flow(socket: Socket, bytes = 100_000): void {
  socket.once('data', () => {
    socket.write(head(bytes));
    let left = bytes;
    const clock = setInterval(() => {
      socket.write('x');
      left -= 1;
      if (left === 0) clearInterval(clock);
    }, 100);
    socket.on('close', () => clearInterval(clock));
  });
}

function stall(socket: Socket): void {
  socket.once('data', () => socket.write(`${head(1000)}some`));
}

function withBreak(window: Window): Window | undefined {
  const { reset, stalled } = window.downloads.broken;
  return reset + stalled > 0 ? window : undefined;
}
