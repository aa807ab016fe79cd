import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { getEventListeners } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Remote, RemoteSession, Target } from './port.ts';
import { openSsh } from './ssh.ts';
import { openTestHosts, type TestHost, type TestHosts, whyNoTestHosts } from './test-hosts.ts';

const timeoutMs = 20_000;

describe('ssh, with a program in its place', () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'weir-ssh-test-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test('is given safe options first, then what the target says, then the command as one argument', async () => {
    const remote = openSsh({
      program: await script('printf "%s\\n" "$@"'),
      configFile: '/some/config',
      connectTimeoutSeconds: 3,
    });
    const target = { host: 'lb1', user: 'weir', port: 2222, address: '10.0.0.1' };
    const args = await linesOf(remote.run(target, 'exec sh -c "a b"', { timeoutMs }));
    expect(args.slice(0, 3)).toEqual(['-F', '/some/config', '-T']);
    expect(args).toEqual(expect.arrayContaining(['BatchMode=yes', 'StrictHostKeyChecking=yes', 'ConnectTimeout=3']));
    expect(args.slice(-9)).toEqual([
      '-l', 'weir', '-p', '2222', '-o', 'HostName=10.0.0.1', '--', 'lb1', 'exec sh -c "a b"',
    ]); // prettier-ignore
  });

  test('a program that is not there is told by done', async () => {
    const session = openSsh({ program: 'no-such-ssh' }).run({ host: 'lb1' }, 'true', { timeoutMs });
    await expect(session.write('x')).rejects.toMatchObject({ name: 'WeirError', code: 'remote' });
    expect(await allLines(session)).toEqual([]);
    const { code, stderr, timedOut } = await session.done;
    expect({ code, timedOut }).toEqual({ code: null, timedOut: false });
    expect(stderr).toBe(
      'cannot start no-such-ssh: no such program; install the OpenSSH client (Debian: openssh-client)',
    );
  });

  test('a signal that has fired before starts nothing', async () => {
    const program = await script(`touch "${folder}/started"`);
    const session = openSsh({ program }).run({ host: 'lb1' }, 'true', { timeoutMs, signal: AbortSignal.abort() });
    expect(await allLines(session)).toEqual([]);
    expect(await session.done).toMatchObject({ code: null, timedOut: true });
    expect(existsSync(join(folder, 'started'))).toBe(false);
  });

  test('only the last 8 KiB of standard error are kept', async () => {
    const program = await script('head -c 100000 /dev/zero | tr "\\0" x >&2; echo " the end" >&2; exit 7');
    const { code, stderr } = await openSsh({ program }).run({ host: 'lb1' }, '', { timeoutMs }).done;
    expect(code).toBe(7);
    expect(stderr).toBe(`${'x'.repeat(8192 - 9)} the end\n`);
  });

  test('output that nobody read is there after the end', async () => {
    const session = openSsh({ program: await script('echo one; echo two; echo -n three') }).run({ host: 'lb1' }, '', {
      timeoutMs,
    });
    session.end();
    expect(await session.done).toMatchObject({ code: 0, bytesReceived: 13 });
    expect(await allLines(session)).toEqual(['one', 'two', 'three']);
  });

  test('a program that ignores SIGTERM is killed 2 s later, with what it started', async () => {
    const program = await script('trap "" TERM; sleep 1000 & echo $!; while :; do wait; done');
    const session = openSsh({ program }).run({ host: 'lb1' }, '', { timeoutMs });
    const { value: child } = await session.lines[Symbol.asyncIterator]().next();
    const start = performance.now();
    session.kill();
    expect(await session.done).toMatchObject({ code: null, timedOut: false });
    expect(performance.now() - start).toBeGreaterThan(1900);
    expect(performance.now() - start).toBeLessThan(4000);
    await vi.waitFor(() => expect(runs(Number(child))).toBe(false));
  });

  test('pipes that a process left behind keeps open do not hold up the end', async () => {
    const program = await script('sleep 1000 & echo $!');
    const session = openSsh({ program }).run({ host: 'lb1' }, '', { timeoutMs });
    const lines = allLines(session);
    expect(await session.done).toMatchObject({ code: 0 });
    const [child] = await lines;
    process.kill(Number(child), 'SIGKILL');
  });

  test('no time limit is too long', async () => {
    const program = await script('read line; exit 3');
    const session = openSsh({ program }).run({ host: 'lb1' }, '', { timeoutMs: Number.POSITIVE_INFINITY });
    await session.write('now\n');
    expect(await session.done).toMatchObject({ code: 3, timedOut: false, bytesSent: 4 });
  });

  test('leaves no timer, listener, pipe or process', async () => {
    const remote = openSsh({ program: await script('cat') });
    const before = resources();
    const { signal } = new AbortController();
    for (let round = 0; round < 20; round += 1) {
      const session = remote.run({ host: 'lb1' }, '', { timeoutMs, signal });
      await session.write('a\n');
      if (round % 2 === 0) session.end();
      else session.kill();
      await session.done;
      await openSsh({ program: 'no-such-ssh' }).run({ host: 'lb1' }, '', { timeoutMs, signal }).done;
    }
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    // Node lets go of a handle some turns of the loop after its end; the test runner has a few of its own.
    for (let turn = 0; turn < 100 && resources() > before + 5; turn += 1) await new Promise(setImmediate);
    expect(resources()).toBeLessThanOrEqual(before + 5);
  });

  test('writing after the input was closed is refused and loses nothing', async () => {
    const session = openSsh({ program: await script('wc -c') }).run({ host: 'lb1' }, '', { timeoutMs });
    const sent = session.write(Buffer.alloc(1_000_000));
    session.end();
    await expect(session.write('more')).rejects.toThrow('closed before');
    await sent;
    expect(await allLines(session)).toEqual(['1000000']);
  });

  async function script(body: string): Promise<string> {
    const file = join(folder, randomBytes(6).toString('hex'));
    await writeFile(file, `#!/bin/sh\n${body}\n`);
    await chmod(file, 0o755);
    return file;
  }
});

const reason = whyNoTestHosts();

describe.skipIf(reason !== undefined)(`ssh to a real sshd${reason ? ` (left out: ${reason})` : ''}`, () => {
  let hosts: TestHosts;
  let host: TestHost;
  let remote: Remote;
  const target: Target = { host: 'lb1.test' };

  beforeAll(async () => {
    hosts = await openTestHosts();
    host = await hosts.start('lb1.test');
    remote = openSsh({ configFile: hosts.configFile });
  });
  afterAll(() => hosts?.close());

  test('the command reads what is written and its lines come back as they are made', async () => {
    const session = remote.run(target, 'exec cat', { timeoutMs });
    const lines = session.lines[Symbol.asyncIterator]();
    await session.write('first\n');
    expect(await lines.next()).toEqual({ done: false, value: 'first' });
    await session.write('第二\n');
    expect(await lines.next()).toEqual({ done: false, value: '第二' });
    session.end();
    expect(await lines.next()).toEqual({ done: true, value: undefined });
    expect(await session.done).toEqual({ code: 0, stderr: '', timedOut: false, bytesSent: 13, bytesReceived: 13 });
  });

  test('the exit code and the words on standard error come through', async () => {
    const { code, stderr } = await remote.run(target, 'echo out of disk >&2; exit 42', { timeoutMs }).done;
    expect({ code, stderr }).toEqual({ code: 42, stderr: 'out of disk\n' });
  });

  test('a host whose key is not known is refused, and named', async () => {
    await withKnownHosts('', async () => {
      const { code, stderr } = await remote.run(target, 'true', { timeoutMs }).done;
      expect(code).toBe(255);
      expect(stderr).toContain('lb1.test');
      expect(stderr).toContain('Host key verification failed');
    });
  });

  test('a changed host key is refused', async () => {
    const other = await hosts.start('other.test');
    await withKnownHosts(await readFile(knownHosts('other.test'), 'utf8'), async () => {
      const { code, stderr } = await remote.run(target, 'true', { timeoutMs }).done;
      expect(code).toBe(255);
      expect(stderr).toContain('REMOTE HOST IDENTIFICATION HAS CHANGED');
    });
    await other.stop();
  });

  test('no configuration weakens the check of host keys, or hides why it failed', async () => {
    const weak = `StrictHostKeyChecking no
NoHostAuthenticationForLocalhost yes
LogLevel QUIET
ControlMaster auto
ControlPath ${hosts.directory}/shared
ControlPersist yes
RemoteCommand false
RequestTTY yes
`;
    const configFile = join(hosts.directory, 'weak');
    await writeFile(configFile, weak + (await readFile(hosts.configFile, 'utf8')));
    const weakened = openSsh({ configFile });
    expect(await weakened.run(target, 'exit 5', { timeoutMs }).done).toMatchObject({ code: 5, stderr: '' });
    const shared = spawnSync('ssh', ['-F', configFile, '-f', '-N', 'lb1.test'], { stdio: 'ignore' });
    expect(shared.status).toBe(0);
    await withKnownHosts('', async () => {
      const { code, stderr } = await weakened.run({ ...target, address: '127.0.0.1' }, 'true', { timeoutMs }).done;
      expect(code).toBe(255);
      expect(stderr).toContain('Host key verification failed');
      expect(await readFile(knownHosts('lb1.test'), 'utf8')).toBe('');
    });
    spawnSync('ssh', ['-F', configFile, '-O', 'exit', 'lb1.test'], { stdio: 'ignore' });
  });

  test('user, port and address of the target are used', async () => {
    const { code } = await host.exec(['useradd', '--create-home', '--password', '*', '--shell', '/bin/sh', 'deploy']);
    expect(code).toBe(0);
    const session = remote.run({ ...target, user: 'deploy', port: 22, address: '192.0.2.1' }, 'id -un', {
      timeoutMs,
    });
    expect(await linesOf(session)).toEqual(['deploy']);
    expect(await remote.run({ ...target, port: 2222 }, 'true', { timeoutMs }).done).toMatchObject({ code: 255 });
    const { stderr } = await remote.run({ ...target, user: 'nobody' }, 'true', { timeoutMs }).done;
    expect(stderr).not.toBe('');
  });

  test('a host that is not there is told in words', async () => {
    const { code, stderr } = await remote.run({ host: 'nowhere.test' }, 'true', { timeoutMs }).done;
    expect(code).toBe(255);
    expect(stderr).toContain('nowhere.test');
  });

  test('a machine that does not answer ends with the connect timeout', async () => {
    const mute = await hosts.start('mute.test');
    process.kill(mute.pid, 'SIGSTOP');
    const quick = openSsh({ configFile: hosts.configFile, connectTimeoutSeconds: 1 });
    const { code, stderr, timedOut } = await quick.run({ host: 'mute.test' }, 'true', { timeoutMs }).done;
    expect({ code, timedOut }).toEqual({ code: 255, timedOut: false });
    expect(stderr).toContain('timed out');
    await mute.stop();
  });

  test('the time limit ends the session', async () => {
    const start = performance.now();
    const session = remote.run(target, 'echo $$; exec sleep 1000', { timeoutMs: 700 });
    const lines = await allLines(session);
    expect(await session.done).toMatchObject({ code: null, timedOut: true });
    expect(lines).toHaveLength(1);
    expect(performance.now() - start).toBeLessThan(3000);
  });

  test('the signal ends the session', async () => {
    const controller = new AbortController();
    const session = remote.run(target, 'echo begun; exec sleep 1000', { timeoutMs, signal: controller.signal });
    await session.lines[Symbol.asyncIterator]().next();
    controller.abort();
    expect(await session.done).toMatchObject({ code: null, timedOut: true });
    await expect(session.write('x')).rejects.toMatchObject({ code: 'remote' });
  });

  test('a host that loses power ends the session', async () => {
    const brittle = await hosts.start('brittle.test');
    const session = remote.run({ host: 'brittle.test' }, 'echo begun; exec sleep 1000', { timeoutMs });
    await session.lines[Symbol.asyncIterator]().next();
    await brittle.stop();
    const { code, stderr } = await session.done;
    expect(code).toBe(255);
    expect(stderr).toContain('brittle.test');
  });

  test('20 MB go both ways intact', async () => {
    const bytes = Buffer.from(
      `${randomBytes(15_000_000)
        .toString('base64')
        .match(/.{1,1000}/g)
        ?.join('\n')}\n`,
    );
    const session = remote.run(target, 'exec cat', { timeoutMs });
    const sending = (async () => {
      for (let from = 0; from < bytes.length; from += 100_000)
        await session.write(bytes.subarray(from, from + 100_000));
      session.end();
    })();
    const hash = createHash('sha256');
    for await (const line of session.lines) hash.update(`${line}\n`);
    await sending;
    expect(await session.done).toMatchObject({ code: 0, bytesSent: bytes.length, bytesReceived: bytes.length });
    expect(hash.digest('hex')).toBe(createHash('sha256').update(bytes).digest('hex'));
  });

  test('a write waits where the command does not read', async () => {
    const session = remote.run(target, 'exec sleep 1000', { timeoutMs });
    let written = 0;
    const sending = (async () => {
      for (;;) {
        await session.write(Buffer.alloc(1_000_000));
        written += 1;
      }
    })();
    const stuck = await Promise.race([
      sending.catch(() => 'over'),
      new Promise((resolve) => setTimeout(resolve, 800, 'waits')),
    ]);
    expect(stuck).toBe('waits');
    expect(written).toBeLessThan(10);
    session.kill();
    await expect(sending).rejects.toMatchObject({ code: 'remote' });
    expect((await session.done).bytesSent).toBe(written * 1_000_000);
  });

  test('a command that ends while it is written to rejects the write, and keeps its exit code', async () => {
    const session = remote.run(target, 'head -c 1 >/dev/null; echo "refused: no lock" >&2; exit 9', { timeoutMs });
    const sending = (async () => {
      for (;;) await session.write(Buffer.alloc(1_000_000));
    })();
    await expect(sending).rejects.toMatchObject({ name: 'WeirError', code: 'remote' });
    expect(await session.done).toMatchObject({ code: 9, stderr: 'refused: no lock\n', timedOut: false });
  });

  test('50 sessions at once all succeed', async () => {
    const exits = await Promise.all(Array.from({ length: 50 }, () => remote.run(target, 'true', { timeoutMs }).done));
    expect(exits.filter(({ code }) => code !== 0)).toEqual([]);
  });

  function knownHosts(name: string): string {
    return join(hosts.directory, 'hosts', name, 'known_hosts');
  }

  /** Gives lb1.test another known_hosts for as long as the work takes. */
  async function withKnownHosts(text: string, work: () => Promise<void>): Promise<void> {
    const file = knownHosts('lb1.test');
    const before = await readFile(file, 'utf8');
    await writeFile(file, text);
    try {
      await work();
    } finally {
      await writeFile(file, before);
    }
  }
});

async function linesOf(session: RemoteSession): Promise<string[]> {
  session.end();
  const lines = await allLines(session);
  const { code, stderr } = await session.done;
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return lines;
}

async function allLines(session: RemoteSession): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of session.lines) lines.push(line);
  return lines;
}

/** How many timers, pipes and processes keep this process busy. */
function resources(): number {
  return process.getActiveResourcesInfo().filter((name) => /Pipe|Process|Timeout/.test(name)).length;
}

/** False for zombies too: when they are reaped is up to this machine's process 1. */
function runs(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
