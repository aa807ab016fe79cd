/**
 * Two Weirs at once, one of them paused or cut off: what it holds on a machine is taken from it by a newer one, and what it
 * still wants when it wakes is refused. Also machines that are too busy to let anybody in, or that stop in the middle.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createClient } from '../src/client/client.ts';
import type { Client } from '../src/client/client.ts';
import { fullBundle } from '../src/publish/bundle.ts';
import { publishCommand } from '../src/publish/script.ts';
import { publisherTo, releaseOf, withoutSsh } from '../src/publish/testing.ts';
import type { Remote, RemoteSession } from '../src/remote/port.ts';
import { openSsh } from '../src/remote/ssh.ts';
import { openTestHosts } from '../src/remote/test-hosts.ts';
import type { TestHosts } from '../src/remote/test-hosts.ts';
import { clusterOf, endOf, lbName, noHosts, title } from './testing/edge.ts';
import type { Publication, TestHost } from './testing/edge.ts';
import { holdUp, isThere, read, sh } from './testing/machine.ts';

const a = releaseOf(clusterOf(1, { lbs: 1, vips: 3, marker: '/a' }));
const b = releaseOf(clusterOf(1, { lbs: 1, vips: 3, marker: '/b' }));

/** Waits on a host until a shell's test is true. */
async function until(host: TestHost, condition: string): Promise<void> {
  const script = `until ${condition}; do sleep 0.02; done`;
  const { code } = await host.exec(['sh', '-c', script], { timeoutMs: 20_000 });
  expect(code, `${condition} on ${host.name}`).toBe(0);
}

describe.skipIf(noHosts)(title('a machine'), () => {
  let hosts: TestHosts;
  let used = 0;

  beforeAll(async () => {
    hosts = await openTestHosts();
  });
  afterAll(() => hosts?.close());

  async function nextHost(script = ':'): Promise<TestHost> {
    used += 1;
    const host = await hosts.start(`lb${used}.room1`);
    await sh(host, script);
    return host;
  }

  describe.concurrent('that a publication holds whose Weir says no more', () => {
    interface Silent {
      session: RemoteSession;
      lines: string[];
      /** Until it waits. */
      waits: Promise<void>;
      ended: Promise<void>;
    }

    /** A publication that stops after a part of what it has to say. */
    function fallSilent(remote: Remote, host: TestHost, say: (session: RemoteSession) => Promise<void>): Silent {
      const session = remote.run({ host: host.name }, publishCommand, { timeoutMs: 60_000 });
      const lines: string[] = [];
      let waits = (): void => {};
      const waiting = new Promise<void>((resolve) => {
        waits = resolve;
      });
      const ended = (async () => {
        await session.write(`weir 1 publish 5 ${a.id} ${a.services} fullnat quagga no\n`);
        for await (const line of session.lines) {
          lines.push(line);
          if (!line.startsWith('have ')) continue;
          await say(session);
          waits();
        }
        await session.done;
      })();
      return { session, lines, waits: waiting, ended };
    }

    const silences: Record<string, (session: RemoteSession) => Promise<void>> = {
      'before it said what it sends': () => Promise.resolve(),
      'in the middle of the bundle': async (session) => {
        const [shared, own] = await fullBundle(a);
        if (!shared || !own) throw new Error('the bundle has two parts');
        await session.write('full\n');
        await session.write(shared);
        await session.write(own.subarray(0, 100));
      },
    };
    const shells = {
      dash: ':',
      bash: 'mount --bind /usr/bin/bash /usr/bin/dash',
      'the ash of busybox': 'mount --bind /bin/busybox /usr/bin/dash',
    };

    for (const [when, say] of Object.entries(silences)) {
      for (const [shell, script] of Object.entries(shells)) {
        test(`${when}, is taken over by a newer one (${shell})`, async () => {
          const host = await nextHost(script);
          const remote = openSsh({ configFile: hosts.configFile });
          const silent = fallSilent(remote, host, say);
          await silent.waits;
          const outcome = await publisherTo(remote, host.name).publish(b, { fence: 6 });
          expect(outcome).toMatchObject({ state: 'published', message: '' });
          await silent.ended;
          expect(silent.lines.at(-1)).toMatch(/^fail (lock|stage) ended by a signal: a newer publication took over/);
          expect(read(host, '/etc/weir/current/keepalived/vips/172.17.0.1.conf')).toContain('path /b');
          expect(await sh(host, 'ls -A /etc/weir /etc/weir/releases | grep "^\\." || true')).toBe('');
          expect(await sh(host, 'pgrep -x tar || true')).toBe('');
        });
      }
    }

    test('is not taken over by an older one, which is refused at once', async () => {
      const host = await nextHost();
      const remote = withoutSsh(host, hosts.directory);
      const silent = fallSilent(remote, host, () => Promise.resolve());
      await silent.waits;
      const outcome = await publisherTo(remote, host.name).publish(b, { fence: 4 });
      expect(outcome).toMatchObject({ state: 'failed', step: 'lock' });
      expect(outcome.message).toContain('refused: fencing number 4 is older than 5');
      silent.session.end();
      await silent.ended;
    });

    test('is not mistaken for another process that got its number', async () => {
      const host = await nextHost(
        'mkdir -p /etc/weir/bin /etc/weir/releases; setsid sleep 1000 >/dev/null 2>&1 & echo $! >/tmp/pid',
      );
      await sh(host, 'echo 3 >/etc/weir/fence; echo "$(cat /tmp/pid) 12345 $(cat /tmp/pid)" >/etc/weir/lock');
      await sh(
        host,
        'setsid flock /etc/weir/lock sh -c ": >/tmp/held; until [ -e /tmp/free ]; do sleep 0.1; done" >/dev/null 2>&1 &',
      );
      await until(host, '[ -e /tmp/held ]');
      const publishing = publisherTo(withoutSsh(host, hosts.directory), host.name).publish(a, { fence: 6 });
      // It would have been ended after 5 s.
      await sh(host, 'sleep 7; : >/tmp/free');
      expect((await publishing).state).toBe('published');
      await sh(host, 'kill -0 "$(cat /tmp/pid)"');
    });
  });

  describe('that stops in the middle', () => {
    test('is named with the step where it says no more, and is taken over by the next publication', async () => {
      const host = await nextHost(
        'printf "#!/bin/sh\\n: >/tmp/syncing; exec sleep 1000\\n" >/usr/local/sbin/sync; chmod 755 /usr/local/sbin/sync',
      );
      const to = publisherTo(openSsh({ configFile: hosts.configFile }), host.name);
      const outcome = await to.publish(a, { silenceMs: 1500 });
      expect(outcome).toMatchObject({ state: 'failed', step: 'backup', message: 'no word for 2 s' });
      expect(isThere(host, '/tmp/syncing')).toBe(true);
      expect(isThere(host, '/etc/keepalived/keepalived.conf')).toBe(false);
      await sh(host, 'rm /usr/local/sbin/sync');
      expect(await to.publish(b)).toMatchObject({ state: 'published', message: '' });
    });
  });

  describe('whose sshd has too many unfinished logins', () => {
    /** A second sshd that lets one in at a time, and somebody who has come to its door and stands there. */
    const besieged = `
      sed 's/^MaxStartups.*/MaxStartups 1/; s/^PidFile.*/PidFile none/' /etc/ssh/sshd_config >/tmp/sshd_config
      /usr/sbin/sshd -f /tmp/sshd_config -p 2200 -E /tmp/sshd2.log
      until grep -q listening /tmp/sshd2.log; do sleep 0.02; done
      setsid perl -MIO::Socket::INET -e '
        my $s = IO::Socket::INET->new("127.0.0.1:2200") or die; my $hello = <$s>;
        open my $f, ">", "/tmp/standing"; close $f;
        select undef, undef, undef, 0.02 until -e "/tmp/leave";' >/dev/null 2>&1 &
      until [ -e /tmp/standing ]; do sleep 0.02; done`;

    test('is asked again until it lets us in', async () => {
      const host = await nextHost(besieged);
      const to = publisherTo(openSsh({ configFile: hosts.configFile }), host.name);
      const publishing = to.publish(a, { target: { host: host.name, port: 2200 } });
      await until(host, 'grep -q "drop connection" /tmp/sshd2.log');
      await sh(host, ': >/tmp/leave');
      const outcome = await publishing;
      expect(outcome).toMatchObject({ state: 'published', message: '' });
      expect(outcome.warnings.join()).toMatch(/turned \d connections away/);
    });

    test('is given up in time, and named with what ssh said', async () => {
      const host = await nextHost(besieged);
      const to = publisherTo(openSsh({ configFile: hosts.configFile }), host.name);
      const outcome = await to.publish(a, { target: { host: host.name, port: 2200 }, timeoutMs: 3000 });
      expect(outcome).toMatchObject({ state: 'failed', step: 'connect' });
      expect(outcome.message).toMatch(/^turned away \d times: kex_exchange_identification: /);
      expect(isThere(host, '/etc/weir')).toBe(false);
    });
  });
});

/** A Weir as a process of its own, as bin/weir starts it, without a build. */
interface Process {
  child: ChildProcess;
  client: Client;
  stop(): Promise<void>;
}

const token = 'a-token-of-the-tests';

async function serve(data: string, configFile: string): Promise<Process> {
  const main = new URL('../src/main.ts', import.meta.url).href;
  const code = `const { main } = await import('${main}'); await main(process.argv.slice(1));`;
  const args = ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', code, '--', 'serve'];
  const child = spawn(process.execPath, args, {
    env: {
      ...process.env,
      WEIR_LISTEN: '127.0.0.1:0',
      WEIR_DATA: data,
      WEIR_ADMIN_TOKEN: token,
      WEIR_SSH_CONFIG: configFile,
      // One LB after the other.
      WEIR_SSH_PARALLEL: '1',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit');
  const url = await Promise.race([listening(child), exited.then(() => undefined)]);
  if (url === undefined) throw new Error('weir serve ended at once');
  return {
    child,
    client: createClient({ url, token }),
    async stop() {
      child.kill('SIGCONT');
      child.kill('SIGTERM');
      await exited;
    },
  };
}

async function listening(child: ChildProcess): Promise<string> {
  if (!child.stdout || !child.stderr) throw new Error('no pipes');
  const found = [child.stdout, child.stderr].map(async (stream) => {
    for await (const line of createInterface({ input: stream })) {
      const url = /http:\/\/127\.0\.0\.1:\d+/.exec(line)?.[0];
      if (url !== undefined) {
        stream.resume();
        return url;
      }
    }
    return new Promise<string>(() => {});
  });
  return Promise.race(found);
}

describe.skipIf(noHosts)(title('a Weir that is paused while it publishes'), () => {
  const cluster = clusterOf(1, { lbs: 2, vips: 3, marker: '/a' });
  const path = `/clusters/${cluster.name}`;
  const folders: string[] = [];
  let hosts: TestHosts;
  let machines: TestHost[];
  let first: Process;
  let second: Process;

  beforeAll(async () => {
    hosts = await openTestHosts();
    machines = await hosts.startMany([lbName(1, 1), lbName(1, 2)]);
    const folder = await mkdtemp(join(tmpdir(), 'weir-rivals-'));
    folders.push(folder);
    const [one, two] = [join(folder, 'one'), join(folder, 'two')];
    const before = await serve(one, hosts.configFile);
    await before.client.call('/clusters', { method: 'POST', body: cluster });
    expect((await publish(before)).state).toBe('done');
    await before.stop();
    // The same edge in two stores: what is left after one was restored from a copy while the other still runs.
    await cp(one, two, { recursive: true });
    [first, second] = await Promise.all([serve(one, hosts.configFile), serve(two, hosts.configFile)]);
  }, 120_000);
  afterAll(async () => {
    await Promise.all([first?.stop(), second?.stop()]);
    await hosts?.close();
    for (const folder of folders) await rm(folder, { recursive: true, force: true });
  });

  async function begin({ client }: Process): Promise<Publication> {
    return (await client.call<Publication>(`${path}/publications`, { method: 'POST', body: {} })).data;
  }
  async function publish(weir: Process): Promise<Publication> {
    return endOf(weir, await begin(weir));
  }
  const mark = ({ client }: Process, marker: string) =>
    client.call(path, { method: 'PATCH', body: { check: { path: marker } } });
  const published = (host: TestHost) =>
    /path (\S+)/.exec(read(host, '/etc/weir/current/keepalived/vips/172.17.0.1.conf'))?.[1];

  test('is refused by every LB when it wakes after another has published', { timeout: 120_000 }, async () => {
    const [lb1, lb2] = machines as [TestHost, TestHost];
    // The first LB comes to a stop, until the first Weir does.
    const held = await holdUp(lb1);
    await mark(first, '/first');
    await mark(second, '/second');
    const publication = await begin(first);
    await held.waits();
    first.child.kill('SIGSTOP');
    await held.go();

    const won = await publish(second);
    expect(won.state).toBe('done');
    expect(machines.map(published)).toEqual(['/second', '/second']);

    first.child.kill('SIGCONT');
    const lost = await endOf(first, publication);
    expect(lost.state).toBe('failed');
    expect(lost.lbs[lb1.name]).toMatchObject({ state: 'failed', step: 'check' });
    expect(lost.lbs[lb1.name]?.message).toContain('a newer publication took over');
    expect(lost.lbs[lb2.name]).toMatchObject({ state: 'failed', step: 'lock' });
    expect(lost.lbs[lb2.name]?.message).toMatch(/refused: fencing number \d+ is older than \d+/);
    expect(machines.map(published)).toEqual(['/second', '/second']);
    expect((await publish(second)).state).toBe('done');
  });
});
