import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { chmod, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Lab, type LabLb, openLab, waitFor, whyNoLab } from './lab.ts';

const reason = whyNoLab('namespace');
const vip = '10.50.0.1';

const frr = `log syslog informational
interface eth0
 ip ospf area 0.0.0.0
 ip ospf hello-interval 1
 ip ospf dead-interval 4
 ip ospf priority 0
exit
router ospf
 ospf router-id 10.20.0.11
 redistribute connected
exit
`;

const conntrackMax = '/proc/sys/net/netfilter/nf_conntrack_max';

// Times are those of a machine that is busy with other tests. What needs IPVS is not asked here: it is namespaces that
// are tested, on every kernel.
const longest = { timeout: 120_000 };
const waiting = { timeoutMs: 60_000 };

describe.skipIf(reason !== undefined)(`an LB of namespaces${reason ? ` (left out: ${reason})` : ''}`, longest, () => {
  let before: Map<string, string>;
  let parent: string;
  let lab: Lab;
  let lb: LabLb;

  beforeAll(async () => {
    before = settingsHere();
    parent = await mkdtemp('/tmp/weir-lab-test-');
    await chmod(parent, 0o755);
    lab = await openLab({ kind: 'namespace', directory: parent, lbs: 2, wss: 1 });
    lb = lab.lbs[0] as LabLb;
  }, 120_000);
  afterAll(async () => {
    await lab?.close();
    await rm(parent, { recursive: true, force: true });
  });

  /** A shell script on the LB; its standard output. */
  async function on(script: string): Promise<string> {
    const { code, stdout, stderr } = await lb.exec(script);
    expect(code, `${script}: ${stderr}`).toBe(0);
    return stdout;
  }

  test('has a host name, processes, addresses and a syslog of its own, and nobody has configured anything', async () => {
    const lines = await on(`
      hostname
      cat /proc/1/comm
      ip -4 -o addr show | awk '{ print $2, $4 }'
      cat /proc/sys/net/ipv4/ip_forward /sys/class/net/eth0/address
      ls /etc/weir /etc/keepalived /usr/local/sbin | grep -v : | xargs
      ls /root /home | xargs
      ps -eo comm= | sort -u | grep -E 'watchfrr|zebra|ospfd|staticd|bfdd|keepalived|sshd|nginx' | xargs`);
    expect(lines.trimEnd().split('\n')).toEqual([
      'lb1.lab',
      'sh',
      'lo 127.0.0.1/8',
      'eth0 10.20.0.11/24',
      'eth1 10.99.0.11/24',
      '0',
      '52:54:00:20:00:11',
      '',
      '/home: /root:',
      'ospfd sshd staticd watchfrr zebra',
    ]);
    expect(await readFile(join(lb.share, 'log/syslog'), 'utf8')).toContain('watchfrr');
  });

  test('becomes a neighbour of the router, which sends packets for the VIP to it', async () => {
    await on(`ip addr add ${vip}/32 dev lo`);
    const put = 'install -o frr -g frr -m 0640 /dev/stdin /etc/frr/frr.conf';
    expect(await lb.exec(put, { input: frr })).toMatchObject({ code: 0, stderr: '' });
    await on('/usr/lib/frr/frr-reload.py --reload /etc/frr/frr.conf');
    await waitFor('the route', async () => (await lab.routesTo(vip)).join(' ') === lb.address, waiting);
    // It refuses, since nothing listens.
    expect(await lab.client.exec(['curl', '-s', '-m', '10', `http://${vip}/`])).toMatchObject({ code: 7 });
  });

  test('writes its own settings and reads them back, and this machine keeps its own', async () => {
    const here = readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8');
    await on('echo 1 >/proc/sys/net/ipv4/ip_forward; echo 2 >/proc/sys/net/ipv4/conf/all/rp_filter');
    expect(await on('cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/all/rp_filter')).toBe('1\n2\n');
    expect(readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8')).toBe(here);
  });

  test('does so with the limit of tracked connections, which is global', async ({ skip }) => {
    skip(!existsSync(conntrackMax), 'this kernel does not track connections');
    const here = readFileSync(conntrackMax, 'utf8');
    expect(await on(`cat ${conntrackMax}`)).toBe(here);
    await on(`echo 4321 >${conntrackMax}`);
    expect(await on(`cat ${conntrackMax}`)).toBe('4321\n');
    expect(readFileSync(conntrackMax, 'utf8')).toBe(here);
    expect(await (lab.lbs[1] as LabLb).exec(`cat ${conntrackMax}`)).toMatchObject({ stdout: here });
  });

  test.each(['/proc/sys/kernel/printk', '/proc/sys/fs/file-max', '/proc/sys/vm/swappiness'])(
    'cannot write what is global: %s',
    async (file) => {
      const here = readFileSync(file, 'utf8');
      expect(await lb.exec(`cat ${file} >${file}`)).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('Read-only'),
      });
      expect(readFileSync(file, 'utf8')).toBe(here);
    },
  );

  test('has no way to write to /sys, and writes files without this machine’s seeing them', async () => {
    expect(await on(`awk '$2 == "/sys" { print substr($4, 1, 2) }' /proc/mounts`)).toBe('ro\n');
    await on('for folder in / /etc /usr /var /run /tmp /dev /root /opt; do echo >$folder/weir-lost; done');
    for (const folder of ['/', '/etc', '/usr', '/var', '/run', '/tmp', '/dev', '/root', '/opt']) {
      expect(existsSync(join(folder, 'weir-lost')), folder).toBe(false);
    }
    // Nothing is mounted below: the root that was there before stood at /run.
    expect(await on(`awk '$5 == "/run"' /proc/self/mountinfo | wc -l`)).toBe('1\n');
  });

  test('power cut, the routes go; booted again, it has what was in its folders and nothing else', async () => {
    const boot = '#!/bin/sh\necho "$1: $(pgrep -c "keepalived|zebra")" >/etc/weir/booted\n';
    const put = 'mkdir -p /etc/weir/bin && cat >/etc/weir/bin/weir && chmod 0755 /etc/weir/bin/weir';
    expect(await lb.exec(put, { input: boot })).toMatchObject({ code: 0, stderr: '' });
    expect(await lb.running()).toBe(true);
    const space = (await on('readlink /proc/self/ns/pid')).trim();
    expect(processesIn(space)).toBeGreaterThan(5);
    // As the kernel does while it clears up: the network is still there when the next one comes.
    const network = await open(`/proc/${firstOf(space)}/ns/net`);
    await lb.kill();
    expect([await lb.running(), processesIn(space)]).toEqual([false, 0]);
    await waitFor('the route to go', async () => (await lab.routesTo(vip)).length === 0, waiting);

    await lb.boot();
    await network.close();
    await expect(lb.boot()).rejects.toMatchObject({ code: 'exists' });
    expect(await on('cat /etc/weir/booted /proc/sys/net/ipv4/ip_forward; ls /etc/weir-lost 2>/dev/null || true')).toBe(
      'boot: 0\n0\n',
    );
    expect(await on('ip -o addr show dev lo')).not.toContain(vip);
    await on(`ip addr add ${vip}/32 dev lo`);
    await waitFor('the route', async () => (await lab.routesTo(vip)).join(' ') === lb.address, waiting);
  });

  test('one whose first process ended by itself is not running, and boots', async () => {
    const other = lab.lbs[1] as LabLb;
    const space = (await other.exec('readlink /proc/self/ns/pid')).stdout.trim();
    process.kill(firstOf(space), 'SIGKILL');
    await waitFor('its end', async () => !(await other.running()), waiting);
    await other.boot();
    expect(await other.exec(['hostname'])).toMatchObject({ stdout: 'lb2.lab\n' });
  });

  test('an owner that is killed takes it along', async () => {
    const owner = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', ownerProgram], {
      env: { ...process.env, MODULE: pathToFileURL(join(import.meta.dirname, 'lab.ts')).href, PARENT: parent },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [space] = (await once(createInterface({ input: owner.stdout }), 'line')) as [string];
    expect(processesIn(space)).toBeGreaterThan(5);
    owner.kill('SIGKILL');
    await waitFor('the end of its processes', () => processesIn(space) === 0, waiting);
  });

  test('leaves nothing behind, and this machine’s settings, mounts and interfaces are what they were', async () => {
    const space = (await on('readlink /proc/self/ns/pid')).trim();
    await lab.close();
    expect(processesIn(space)).toBe(0);
    expect(existsSync(lab.directory)).toBe(false);
    const after = settingsHere();
    for (const [name, value] of before) expect(`${name} = ${after.get(name)}`).toBe(`${name} = ${value}`);
  });
});

const ownerProgram = `
const { openLab } = await import(process.env.MODULE);
const lab = await openLab({ kind: 'namespace', directory: process.env.PARENT, lbs: 1, wss: 1 });
console.log((await lab.lbs[0].exec('readlink /proc/self/ns/pid')).stdout.trim());
setInterval(() => {}, 1000);
`;

function processesIn(space: string): number {
  return pidsIn(space).length;
}

function pidsIn(space: string): number[] {
  return readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) && spaceOf(name) === space ? [Number(name)] : []));
}

/** The process that is 1 in its PID namespace. */
function firstOf(space: string): number {
  const first = pidsIn(space).find((pid) => /^NSpid:.*\t1$/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')));
  if (first === undefined) throw new Error(`nothing runs in ${space}`);
  return first;
}

function spaceOf(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return undefined;
  }
}

/** What can be written of this machine's kernel, as it is now, and names of what an LB could have made. */
function settingsHere(): Map<string, string> {
  const parameters = readdirSync('/sys/module').flatMap((module) => filesBelow(`/sys/module/${module}/parameters`));
  const files = [...filesBelow('/proc/sys'), ...parameters];
  const lists = ['/sys/class/net', '/dev', '/run/netns'].map((folder): [string, string] => [
    folder,
    (existsSync(folder) ? readdirSync(folder) : []).join(' '),
  ]);
  const mounts = readFileSync('/proc/self/mounts', 'utf8');
  return new Map([...files.map((file): [string, string] => [file, valueOf(file)]), ...lists, ['mounts', mounts]]);
}

/** Those that can be read and written; that which counts processes changes by itself. */
function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => (statSync(file).mode & 0o600) === 0o600 && !file.endsWith('/ns_last_pid'));
}

function valueOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return 'unreadable';
  }
}
