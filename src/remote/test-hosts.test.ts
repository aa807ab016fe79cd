import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { openSsh } from './ssh.ts';
import { openTestHosts, type TestHost, type TestHosts, whyNoTestHosts } from './test-hosts.ts';

const reason = whyNoTestHosts();

describe.skipIf(reason !== undefined)(`test hosts${reason ? ` (left out: ${reason})` : ''}`, () => {
  let parent: string;
  let hosts: TestHosts;
  let a: TestHost;
  let b: TestHost;

  beforeAll(async () => {
    parent = await mkdtemp(join(tmpdir(), 'weir-hosts-test-'));
    hosts = await openTestHosts({ directory: parent });
    [a, b] = (await hosts.startMany(['a.test', 'b.test'])) as [TestHost, TestHost];
  });
  afterAll(async () => {
    await hosts?.close();
    await rm(parent, { recursive: true, force: true });
  });

  test('are reached by ssh, each under its name', async () => {
    const remote = openSsh({ configFile: hosts.configFile });
    for (const host of [a, b]) {
      const session = remote.run({ host: host.name }, 'hostname; id -u', { timeoutMs: 20_000 });
      session.end();
      const lines: string[] = [];
      for await (const line of session.lines) lines.push(line);
      expect(lines).toEqual([host.name, '0']);
    }
  });

  test('run programs with an argument array, input and environment', async () => {
    const script = 'cat; echo "$1" "$WORD" "$HOME" >&2; exit 3';
    const ran = await a.exec(['sh', '-c', script, 'sh', '$(a) "b'], { input: '数据', env: { WORD: 'w' } });
    expect(ran).toEqual({ code: 3, stdout: '数据', stderr: '$(a) "b w /root\n' });
    expect((await a.exec(['no-such-program'])).code).not.toBe(0);
  });

  test('a time limit or a signal ends a program on the host', async () => {
    expect(await a.exec(['sleep', '1001'], { timeoutMs: 300 })).toMatchObject({ code: null });
    const controller = new AbortController();
    const running = a.exec(['sh', '-c', 'echo begun >/tmp/begun; exec sleep 1001'], { signal: controller.signal });
    await vi.waitFor(() => expect(existsSync(join(a.root, 'tmp/begun'))).toBe(true));
    controller.abort();
    expect(await running).toMatchObject({ code: null });
    await vi.waitFor(async () => expect((await a.exec(['pgrep', '-f', 'sleep 1001'])).code).toBe(1));
  });

  test('what one writes is not seen on another, nor on this machine', async () => {
    const folders = ['/etc', '/run', '/root', '/home', '/tmp', '/var/lib', '/usr/local/etc', '/usr/local/sbin'];
    for (const folder of folders) {
      const file = join(folder, 'weir-isolation');
      expect(await a.exec(['sh', '-c', 'echo mine >"$1"', 'sh', file])).toMatchObject({ code: 0 });
      expect(await readFile(join(a.root, file), 'utf8')).toBe('mine\n');
      expect(existsSync(join(b.root, file))).toBe(false);
      expect(existsSync(file)).toBe(false);
    }
    await writeFile(join(b.root, 'etc/from-outside'), 'seen\n');
    expect((await b.exec(['cat', '/etc/from-outside'])).stdout).toBe('seen\n');
  });

  test('the rest of the file system and the sysctls of the whole machine cannot be written', async () => {
    expect((await a.exec(['touch', '/weir-isolation'])).stderr).toContain('Read-only');
    expect((await a.exec(['touch', '/usr/weir-isolation'])).stderr).toContain('Read-only');
    const { stderr } = await a.exec(['sh', '-c', 'cat /proc/sys/vm/swappiness >/proc/sys/vm/swappiness']);
    expect(stderr).toContain('Read-only');
    const own = await a.exec(['sh', '-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward; cat /proc/sys/net/ipv4/ip_forward']);
    expect(own.stdout).toBe('1\n');
    expect((await b.exec(['cat', '/proc/sys/net/ipv4/ip_forward'])).stdout).toBe('0\n');
  });

  test('have a network and processes of their own', async () => {
    const own = [a, b].map((host) => readlinkSync(`/proc/${host.pid}/ns/net`));
    expect(new Set([...own, readlinkSync('/proc/self/ns/net')]).size).toBe(3);
    await a.exec(['ip', 'addr', 'add', '192.0.2.7/32', 'dev', 'lo']);
    expect((await a.exec(['ip', '-br', 'addr'])).stdout).toContain('192.0.2.7');
    expect((await b.exec(['ip', '-br', 'addr'])).stdout).not.toContain('192.0.2.7');
    expect((await a.exec(['ls', '/sys/class/net'])).stdout).toBe('lo\n');
    expect((await a.exec(['pgrep', '-a', '.'])).stdout).not.toContain('node');
  });

  test('start without what publishing makes, and without the keys of this machine', async () => {
    for (const folder of ['/etc/weir', '/etc/keepalived', '/var/lib/weir']) {
      expect(existsSync(join(b.root, folder)), folder).toBe(false);
    }
    const keys = readdirSync(join(b.root, 'etc/ssh')).filter((name) => name.startsWith('ssh_host'));
    expect(keys).toEqual(['ssh_host_ed25519_key', 'ssh_host_ed25519_key.pub']);
  });

  test('processes that outlive their parents are reaped', async () => {
    await a.exec(['sh', '-c', '(sh -c "exec sleep 0.05" >/dev/null 2>&1 &) ; exit 0']);
    await vi.waitFor(async () => {
      const states = (await a.exec(['ps', '-e', '-o', 'stat=,args='])).stdout;
      expect(states).not.toMatch(/^Z/m);
      expect(states).not.toContain('sleep 0.05');
    });
  });

  test('names are checked, and used once', async () => {
    for (const name of ['', '-a', 'a_b', 'a/b', '../a', 'a b', 'a;b', 'a%n', `${'a'.repeat(64)}.test`, 'a..b']) {
      await expect(hosts.start(name), name).rejects.toMatchObject({ code: 'invalid' });
    }
    await expect(hosts.start('a.test')).rejects.toMatchObject({ code: 'exists' });
  });

  test('a name as long as they get works', async () => {
    const label = 'l'.repeat(61);
    const long = await hosts.start([label, label, label, label].join('.'));
    expect((await long.exec(['hostname'])).stdout).toBe(`${label}\n`);
    await long.stop();
  });

  test('one that was stopped comes back under its name, with its key and a fresh disk', async () => {
    const first = await hosts.start('again.test');
    await first.exec(['touch', '/etc/left']);
    const running = first.exec(['sleep', '1000']);
    await first.stop();
    await first.stop();
    expect((await running).code).not.toBe(0);
    expect(existsSync(`/proc/${first.pid}`)).toBe(false);
    await expect(first.exec(['true'])).rejects.toMatchObject({ code: 'remote' });

    const second = await hosts.start('again.test');
    expect(existsSync(join(second.root, 'etc/left'))).toBe(false);
    const ssh = openSsh({ configFile: hosts.configFile });
    expect(await ssh.run({ host: 'again.test' }, 'exit 4', { timeoutMs: 20_000 }).done).toMatchObject({ code: 4 });
    await second.stop();
  });

  test('one that does not start says why, and leaves nothing', async () => {
    const own = await openTestHosts({ directory: parent });
    await writeFile(join(own.directory, 'sshd_config'), 'NoSuchSetting yes\n');
    await expect(own.startMany(['bad.test'])).rejects.toThrow(/bad\.test did not start: .*NoSuchSetting/s);
    await own.close();
    expect(existsSync(own.directory)).toBe(false);
  });

  test('closing leaves no process, mount or folder', async () => {
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
    const own = await openTestHosts({ directory: parent });
    const started = await own.startMany(['c.test', 'd.test', 'e.test']);
    const late = own.start('late.test');
    const namespaces = started.map(networkOf);
    for (const host of started) await host.exec(['sh', '-c', 'setsid sleep 1000 >/dev/null 2>&1 &']);
    expect(inNetworks(namespaces).length).toBeGreaterThanOrEqual(6);
    await own.close();
    await own.close();
    expect(existsSync(`/proc/${(await late).pid}`)).toBe(false);
    expect(inNetworks(namespaces)).toEqual([]);
    expect(existsSync(own.directory)).toBe(false);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).toBe(mounts);
    await expect(own.start('f.test')).rejects.toMatchObject({ code: 'unavailable' });
  });

  test('a parent that is killed takes its hosts along, and the next one removes its folder', async () => {
    const owner = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', ownerProgram], {
      env: { ...process.env, MODULE: pathToFileURL(join(import.meta.dirname, 'test-hosts.ts')).href, PARENT: parent },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(createInterface({ input: owner.stdout }), 'line')) as [string];
    const { directory, pids } = JSON.parse(line) as { directory: string; pids: number[] };
    const namespaces = pids.map((pid) => readlinkSync(`/proc/${pid}/ns/net`));
    expect(inNetworks(namespaces).length).toBeGreaterThanOrEqual(pids.length);
    owner.kill('SIGKILL');
    await once(owner, 'exit');
    await vi.waitFor(() => expect(inNetworks(namespaces)).toEqual([]), { timeout: 5000 });
    expect(existsSync(directory)).toBe(true);

    const next = await openTestHosts({ directory: parent });
    expect(existsSync(directory)).toBe(false);
    expect(existsSync(hosts.directory)).toBe(true);
    await next.close();
  });

  test('a folder of another PID namespace, or of others, is let be', async () => {
    const foreign = ['weir-test-hosts-1-1-1-abcdef', 'weir-test-hosts-mine', 'other'];
    for (const name of foreign) await mkdir(join(parent, name));
    await (await openTestHosts({ directory: parent })).close();
    expect(await readdir(parent)).toEqual(expect.arrayContaining(foreign));
  });

  test('a folder that a shell would read otherwise is refused, and left empty', async () => {
    const odd = join(parent, 'a b');
    await expect(openTestHosts({ directory: odd })).rejects.toMatchObject({ code: 'unavailable' });
    expect(readdirSync(odd)).toEqual([]);
  });

  test('fifty start within ten seconds', { timeout: 60_000 }, async () => {
    const own = await openTestHosts({ directory: parent });
    const start = performance.now();
    const many = await own.startMany(Array.from({ length: 50 }, (_, index) => `lb${index}.many.test`));
    expect(performance.now() - start).toBeLessThan(10_000);
    expect(new Set(many.map(networkOf)).size).toBe(50);
    await own.close();
  });
});

const ownerProgram = `
const { openTestHosts } = await import(process.env.MODULE);
const hosts = await openTestHosts({ directory: process.env.PARENT });
const started = await hosts.startMany(['x.test', 'y.test']);
for (const host of started) await host.exec(['sh', '-c', 'setsid sleep 1000 >/dev/null 2>&1 &']);
void started[0].exec(['sleep', '1000']);
console.log(JSON.stringify({ directory: hosts.directory, pids: started.map((host) => host.pid) }));
setInterval(() => {}, 1000);
`;

function networkOf(host: TestHost): string {
  return readlinkSync(`/proc/${host.pid}/ns/net`);
}

/** Processes of this machine in one of these network namespaces. */
function inNetworks(namespaces: readonly string[]): string[] {
  return readdirSync('/proc').filter((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    try {
      return namespaces.includes(readlinkSync(`/proc/${entry}/ns/net`));
    } catch {
      return false;
    }
  });
}
