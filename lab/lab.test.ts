import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSsh } from '../src/remote/ssh.ts';
import { type Lab, type LabLb, openLab, waitFor, whyNoLab } from './lab.ts';

const reason = whyNoLab();
const vip = '10.50.0.1';

/** As an operator would write it. */
const frr = `log syslog informational
interface eth0
 ip ospf area 0.0.0.0
 ip ospf hello-interval 1
 ip ospf dead-interval 4
 ip ospf priority 0
exit
router ospf
 ospf router-id 10.20.0.11
 timers throttle lsa all 200
 redistribute connected metric 100 metric-type 1 route-map VIPS
exit
ip prefix-list VIPS seq 5 permit 10.50.0.0/24 ge 32 le 32
route-map VIPS permit 10
 match ip address prefix-list VIPS
exit
`;

/** The WS answers by the LB, since it sees a LIP as the client. */
const netfilter = `*nat
-A POSTROUTING -m ipvs --vdir ORIGINAL --vmethod MASQ -j SNAT --to-source 10.20.0.101
COMMIT
`;

const keepalived = `virtual_server ${vip} 80 {
  delay_loop 1
  lb_algo rr
  lb_kind NAT
  protocol TCP
  real_server 10.30.0.11 80 {
    HTTP_GET {
      url {
        path /http_check/index.html
        status_code 200
      }
      connect_timeout 1
      retry 1
      delay_before_retry 1
    }
  }
}
`;

// Times are those of a machine that is busy with other tests.
const longest = { timeout: 120_000 };
const waiting = { timeoutMs: 60_000 };

describe.skipIf(reason !== undefined)(`the lab${reason ? ` (left out: ${reason})` : ''}`, longest, () => {
  let parent: string;
  let lab: Lab;
  let lb: LabLb;

  beforeAll(async () => {
    parent = await mkdtemp('/tmp/weir-lab-test-');
    await chmod(parent, 0o755);
    lab = await openLab({ directory: parent, lbs: 1, wss: 1 });
    lb = lab.lbs[0] as LabLb;
  }, 120_000);
  afterAll(async () => {
    await lab?.close();
    await rm(parent, { recursive: true, force: true });
  });

  test('Weir’s own ssh reaches an LB by its name, and its key is verified', async () => {
    const session = openSsh({ configFile: lab.sshConfig }).run({ host: lb.name }, 'hostname; id -u', {
      timeoutMs: 20_000,
    });
    session.end();
    const lines: string[] = [];
    for await (const line of session.lines) lines.push(line);
    expect(lines).toEqual([lb.name, '0']);
    const known = await readFile(join(lab.directory, 'ssh/known_hosts'), 'utf8');
    expect(known).toMatch(/^lb1\.lab ssh-ed25519 \S+\n$/);
  });

  test('commands are words or one constant text, and take data on standard input', async () => {
    expect(lb.ready).toBe(true);
    expect(await lb.exec(['ip', '-br', 'addr', 'show', 'dev', 'eth0'])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(lb.address),
    });
    expect(await lb.exec('cat; echo words >&2; exit 3', { input: '$(数据)' })).toEqual({
      code: 3,
      stdout: '$(数据)',
      stderr: 'words\n',
    });
    expect(() => lb.exec(['echo', '$HOME'])).toThrow(/would not take/);
  });

  test('an LB boots bare: no LIP, no sysctl, no rule, no service, no OSPF, no keepalived', async () => {
    const { stdout } = await lb.exec(`
      ip -4 -o addr show | wc -l
      cat /proc/sys/net/ipv4/ip_forward
      iptables-save | wc -l
      ls /etc/weir /etc/keepalived /usr/local/sbin | grep -v :
      grep -sE '^(TCP|UDP|FWM)' /proc/net/ip_vs
      pgrep keepalived
      pgrep -x 'watchfrr|zebra|ospfd|staticd|bfdd' | wc -l
      vtysh -c 'show ip ospf'
    `);
    expect(stdout.replaceAll(/^\s+/gm, '').split('\n')).toEqual(['3', '0', '0', '4', '']);
  });

  test('its kernel loads IPVS and what netfilter needs', async () => {
    const modules = ['ip_vs', 'ip_vs_wrr', 'iptable_nat', 'iptable_raw', 'xt_ipvs', 'xt_statistic', 'xt_CT', 'dummy'];
    expect(await lb.exec(['modprobe', '-a', ...modules])).toMatchObject({ code: 0, stderr: '' });
    expect((await lb.exec(['cat', '/proc/net/ip_vs'])).stdout).toContain('IP Virtual Server');
    expect(await lb.exec(['sysctl', '-w', 'net.ipv4.vs.conntrack=1', 'net.ipv4.ip_forward=1'])).toMatchObject({
      code: 0,
    });
  });

  test('OSPF comes by frr-reload, and the router then sends packets for the VIP to the LB', async () => {
    expect(await lab.routesTo(vip)).toEqual([]);
    const put = 'install -o frr -g frr -m 0640 /dev/stdin /etc/frr/frr.conf';
    expect(await lb.exec(put, { input: frr })).toMatchObject({ code: 0, stderr: '' });
    expect(await lb.exec(['/usr/lib/frr/frr-reload.py', '--reload', '/etc/frr/frr.conf'])).toMatchObject({ code: 0 });
    expect(await lb.exec(['ip', 'addr', 'add', `${vip}/32`, 'dev', 'lo'])).toMatchObject({ code: 0 });
    await waitFor('the route', async () => (await lab.routesTo(vip)).join(' ') === lb.address, waiting);
    expect(await lab.router.vtysh('show ip ospf neighbor')).toContain('10.20.0.11');
  });

  test('with keepalived and source NAT the VIP answers the client, and the WS sees the LIP', async () => {
    await lb.exec(['ip', 'addr', 'add', '10.20.0.101/32', 'dev', 'eth0']);
    expect(await lb.exec('iptables-restore --noflush', { input: netfilter })).toMatchObject({ code: 0, stderr: '' });
    const start = 'cat >/etc/keepalived/keepalived.conf && /etc/init.d/keepalived start';
    expect(await lb.exec(start, { input: keepalived })).toMatchObject({ code: 0, stderr: '' });
    const answer = await waitFor('an answer', ask, waiting);
    expect(JSON.parse(answer)).toEqual({ ws: 'ws1.lab', source: '10.20.0.101' });
    const [line] = (await readFile(lab.wss[0]?.accessLog ?? '', 'utf8')).split('\n');
    expect(line).toMatch(/ 10\.20\.0\.101:\d+ 80 200 \/$/);
    expect(await readFile(join(lb.share, 'log/syslog'), 'utf8')).toContain('Keepalived_healthcheckers');
  });

  test('a blocked port of a WS refuses until it is unblocked', async () => {
    const [ws] = lab.wss;
    await ws?.block(80);
    await ws?.block(80);
    expect(await curl(`http://${ws?.address}/`)).toMatchObject({ code: 7 });
    await waitFor('the check to fail', async () => !(await servers()).includes('10.30.0.11'), waiting);
    expect(await curl(`https://${ws?.address}/http_check/index.html`)).toMatchObject({ code: 0, stdout: 'ok\n' });
    await ws?.unblock(80);
    await ws?.unblock(80);
    await waitFor('the check to pass', async () => (await servers()).includes('10.30.0.11'), waiting);
  });

  test('power cut, the routes go; booted again, it has what was in its folders and nothing else', async () => {
    const boot =
      '#!/bin/sh\necho "$1: $(pgrep -c "keepalived|zebra")" >/etc/weir/booted\nip addr add 10.50.0.9/32 dev lo\n';
    const put = 'mkdir -p /etc/weir/bin && cat >/etc/weir/bin/weir && chmod 0755 /etc/weir/bin/weir && touch /etc/lost';
    expect(await lb.exec(put, { input: boot })).toMatchObject({ code: 0, stderr: '' });
    await lb.kill();
    expect(lb.ready).toBe(false);
    await waitFor('the routes to go', async () => (await lab.routesTo(vip)).length === 0, waiting);
    expect((await lb.exec(['true'])).code).toBe(255);

    await lb.boot();
    expect((await lb.exec('cat /etc/weir/booted; ls /etc/lost')).stdout).toBe('boot: 0\n');
    expect((await lb.exec(['pgrep', '-c', 'keepalived'])).code).toBe(0);
    const running = await lb.exec(`vtysh -c 'show running-config'`);
    expect(running.stdout).toContain('ospf router-id 10.20.0.11');
    await waitFor('the route', async () => (await lab.routesTo('10.50.0.9')).length === 1, waiting);
    await expect(lb.boot()).rejects.toMatchObject({ code: 'exists' });
  });

  test('a second lab beside it has the same addresses and does not disturb it', async () => {
    const other = await openLab({ directory: parent, lbs: 2, wss: 2, boot: false, bfd: true, ospfKey: 'labkey' });
    expect(other.lbs.map(({ ready }) => ready)).toEqual([false, false]);
    const configuration = await other.router.vtysh('show running-config');
    expect(configuration).toContain(' ip ospf message-digest-key 8 md5 labkey\n');
    expect(configuration).toContain(' ip ospf bfd\n');
    const answer = await other.client.exec([
      'curl',
      '-s',
      '-m',
      '5',
      '--interface',
      '10.10.0.65',
      'http://10.30.0.12/',
    ]);
    expect(JSON.parse(answer.stdout)).toEqual({ ws: 'ws2.lab', source: '10.10.0.65' });
    expect(await curl('http://10.30.0.12/')).not.toMatchObject({ code: 0 });
    await other.close();
    expect(existsSync(other.directory)).toBe(false);
    expect(await lb.exec(['hostname'])).toMatchObject({ stdout: 'lb1.lab\n' });
  });

  test('closing leaves no process, network, mount or folder', async () => {
    const own = await openLab({ directory: parent, lbs: 1, wss: 1 });
    const before = partsOf(own.directory);
    expect(before).toMatchObject({ guests: expect.any(Number), folder: true });
    expect(before.processes).toBeGreaterThan(10);
    await own.close();
    expect(partsOf(own.directory)).toEqual({ processes: 0, guests: 0, folder: false });
    await expect(own.client.exec(['true'])).rejects.toMatchObject({ code: 'unavailable' });
  });

  test('an owner that is killed takes its lab along, and the next lab removes its folder', async () => {
    const owner = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', ownerProgram], {
      env: { ...process.env, MODULE: pathToFileURL(join(import.meta.dirname, 'lab.ts')).href, PARENT: parent },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [directory] = (await once(createInterface({ input: owner.stdout }), 'line')) as [string];
    expect(partsOf(directory).processes).toBeGreaterThan(10);
    owner.kill('SIGKILL');
    await once(owner, 'exit');
    const isGone = (): boolean => partsOf(directory).processes === 0;
    await waitFor('the end of its processes', isGone, waiting);
    expect(partsOf(directory)).toEqual({ processes: 0, guests: 0, folder: true });

    await (await openLab({ directory: parent, lbs: 1, wss: 1, boot: false })).close();
    expect(existsSync(directory)).toBe(false);
    expect(existsSync(lab.directory)).toBe(true);
  });

  test('counts that no lab has are refused', async () => {
    for (const options of [{ lbs: 0 }, { lbs: 9 }, { wss: 0 }, { wss: 65 }, { lbs: 1.5 }]) {
      await expect(openLab({ directory: parent, ...options }), JSON.stringify(options)).rejects.toMatchObject({
        code: 'usage',
      });
    }
  });

  async function ask(): Promise<string | undefined> {
    const { code, stdout } = await curl(`http://${vip}/`);
    return code === 0 ? stdout : undefined;
  }

  function curl(url: string): ReturnType<Lab['client']['exec']> {
    return lab.client.exec(['curl', '-sk', '-m', '3', url]);
  }

  async function servers(): Promise<string> {
    return (await lb.exec(['ipvsadm', '-Ln'])).stdout;
  }
});

const ownerProgram = `
const { openLab } = await import(process.env.MODULE);
const lab = await openLab({ directory: process.env.PARENT, lbs: 1, wss: 1 });
console.log(lab.directory);
setInterval(() => {}, 1000);
`;

/** Processes are a lab's where they are in the mount namespace of one that names its folder. */
function partsOf(directory: string): { processes: number; guests: number; folder: boolean } {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const named = pids.filter((pid) => read(`/proc/${pid}/cmdline`).includes(directory));
  const here = readlinkSync('/proc/self/ns/mnt');
  const spaces = new Set(named.map(mountsOf).filter((space) => space !== undefined && space !== here));
  const inside = pids.filter((pid) => named.includes(pid) || spaces.has(mountsOf(pid)));
  return {
    processes: inside.length,
    guests: named.filter((pid) => read(`/proc/${pid}/cmdline`).startsWith('linux.uml')).length,
    folder: existsSync(directory),
  };
}

function mountsOf(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/mnt`);
  } catch {
    return undefined;
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
