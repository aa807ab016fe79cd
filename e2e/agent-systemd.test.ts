/**
 * The agent under a real systemd: one that runs in namespaces of its own, over copies of /etc and /var, with a program
 * in the place of keepalived that only lives. Nothing of the machine's own systemd is touched.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitFor } from '../lab/lab.ts';
import { agentFile } from '../src/render/host/agent.ts';

const systemd = ['/lib/systemd/systemd', '/usr/lib/systemd/systemd'].find((path) => existsSync(path));
const reason = whyNot();
if (reason !== undefined) console.warn(`left out: the agent under systemd: ${reason}`);

function whyNot(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root on Linux';
  return systemd === undefined ? 'systemd is not installed' : undefined;
}

/** The first process before systemd takes its place. $1: the folder that is shared, $2: systemd. */
const before = String.raw`
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mkdir /mnt/etc /mnt/etc.work /mnt/var /mnt/var.work /mnt/shared
mount --bind "$1" /mnt/shared
mount -t overlay -o lowerdir=/etc,upperdir=/mnt/etc,workdir=/mnt/etc.work overlay /etc
mount -t overlay -o lowerdir=/var,upperdir=/mnt/var,workdir=/mnt/var.work overlay /var
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup || true
mkdir -p /run/lock
rm -rf /etc/systemd/system/*.wants/* /etc/weir
# Nothing but what is tested runs: no sysctls, temporary files, modules or journal of the machine.
for unit in /lib/systemd/system/*.wants/*; do ln -sf /dev/null "/etc/systemd/system/${'$'}{unit##*/}"; done

cp /bin/sleep /mnt/keepalived
cp /bin/sleep /mnt/dpvs
cat >/etc/systemd/system/keepalived.service <<'UNIT'
[Service]
ExecStart=/mnt/keepalived 100000
UNIT
release=/etc/weir/releases/r1
mkdir -p /etc/weir/bin $release/keepalived/vips $release/host
install -m 0755 /mnt/shared/weir /etc/weir/bin/weir-1
ln -s weir-1 /etc/weir/bin/weir
: >$release/keepalived/vips/10.1.2.3.conf
echo "addr replace 10.1.9.9/32 dev lo" >$release/host/addresses
echo "net.ipv4.conf.all.arp_ignore = 1" >$release/host/sysctl.conf
printf '*raw\n:WEIR-PREROUTING - [0:0]\n-A WEIR-PREROUTING -p ospf -j ACCEPT\nCOMMIT\n' >$release/host/iptables
cp /mnt/shared/manifest.json $release
ln -s releases/r1 /etc/weir/current
ln -s releases/r1 /etc/weir/active

mkdir -p /etc/systemd/system/basic.target.wants
ln -s ../probe.service /etc/systemd/system/basic.target.wants
cat >/etc/systemd/system/probe.service <<'UNIT'
[Unit]
DefaultDependencies=no
After=basic.target
[Service]
StandardOutput=file:/mnt/shared/said
StandardError=inherit
ExecStart=/bin/sh /mnt/shared/probe
UNIT
export container=weir-test
exec "$2" --system --unit=basic.target --log-target=null --show-status=false </dev/null
`;

/** Waits for a state by asking again, for at most 20 s. */
const probe = String.raw`
until_true() { tries=0; until "$@"; do tries=$((tries + 1)); [ "$tries" -lt 200 ] || return 1; sleep 0.1; done; }
away() { ! ip -o addr show dev lo | grep -q 10.1.2.3/32; }
ip link set lo up
/etc/weir/bin/weir boot
echo "boot $?"
ip -o addr show dev lo | grep -q 10.1.9.9/32 && echo "lip there"
echo "unit $(systemctl is-enabled weir.service)"
systemd-analyze verify /etc/systemd/system/weir.service 2>&1 | sed -n 's/^/verify /p'
systemctl start keepalived
pid=$(systemctl show -p MainPID --value keepalived)
ip addr add 10.1.2.3/32 dev lo
/etc/weir/bin/weir withdraw
away || echo "withdraw leaves the VIP of a keepalived that lives"
kill -9 "$pid"
until_true away && echo "VIP away"
systemctl reset-failed keepalived
systemctl start keepalived
ip addr add 10.1.2.3/32 dev lo
systemctl stop keepalived
until_true away && echo "VIP away after a stop"
ip addr del 10.1.9.9/32 dev lo
echo 0 >/proc/sys/net/ipv4/conf/all/arp_ignore
iptables -t raw -F
iptables -t raw -X
systemctl start weir.service && ip -o addr show dev lo | grep -q 10.1.9.9/32 && echo "lip back by the unit"
echo "arp_ignore $(cat /proc/sys/net/ipv4/conf/all/arp_ignore)"
iptables -t raw -S | sed -n 's/^-A/chain/p'
systemctl show -p Before --value weir.service | tr ' ' '\n' | grep -E '^(keepalived|frr|zebra|ospfd)' | sort | sed 's/^/before /'
/etc/weir/bin/weir boot
ls /etc/systemd/system/keepalived.service.d | sed 's/^/drop-in /'
# a machine of DPVS: watched too
echo "dpvs dpdk1" >/etc/weir/releases/r1/host/announce.conf
setsid /mnt/dpvs 100000 </dev/null >/dev/null 2>&1 &
dpvs=$!
systemctl start keepalived
ip link add dpdk1.kni type veth peer name wire
ip addr add 10.1.2.3/32 dev dpdk1.kni
/etc/weir/bin/weir boot
watched() { [ "$(systemctl is-active weir-watch)" = active ]; }
until_true watched && echo "watched, $(systemctl is-enabled weir-watch), $(cat /etc/weir/announce.conf)"
systemd-analyze verify /etc/systemd/system/weir-watch.service 2>&1 | sed -n 's/^/verify /p'
sleep 2
ip -o addr show dev dpdk1.kni | grep -q 10.1.2.3/32 && echo "VIP there while DPVS is"
kill -9 $dpvs
gone() { ! ip -o addr show dev dpdk1.kni | grep -q 10.1.2.3/32; }
until_true gone && echo "VIP away with DPVS"
rm /etc/weir/releases/r1/host/announce.conf
/etc/weir/bin/weir boot
unwatched() { ! watched; }
until_true unwatched && [ ! -e /etc/systemd/system/weir-watch.service ] && [ ! -e /etc/weir/announce.conf ] && echo "not watched"
: >/mnt/shared/done
`;

const manifest = `{
"release": "r1",
"dataplane": "ipvs",
"routing": "frr",
"services": 1,
"loads": "0123456789",
"helper": "none",
"files": [
]
}
`;

describe.skipIf(reason !== undefined)(`the agent under systemd${reason ? ` (left out: ${reason})` : ''}`, () => {
  let folder: string;
  let machine: ChildProcess | undefined;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'weir-systemd-'));
    await writeFile(join(folder, 'weir'), agentFile.text());
    await writeFile(join(folder, 'manifest.json'), manifest);
    await writeFile(join(folder, 'probe'), probe);
  });
  afterAll(async () => {
    if (machine?.exitCode === null && machine.kill('SIGKILL')) await once(machine, 'close');
    await rm(folder, { recursive: true, force: true });
  });

  test('has its settings and its watch over keepalived as units', { timeout: 120_000 }, async () => {
    const namespaces = ['--pid', '--mount', '--cgroup', '--uts', '--net', '--ipc', '--fork', '--kill-child'];
    const words = [...namespaces, '--mount-proc', 'sh', '-c', before, 'sh', folder, systemd ?? ''];
    machine = spawn('unshare', words, { stdio: ['ignore', 'ignore', 'pipe'] });
    let complaints = '';
    machine.stderr?.on('data', (chunk: Buffer) => (complaints += chunk.toString()));
    const done = () => existsSync(join(folder, 'done')) || machine?.exitCode !== null;
    await waitFor('the probe to end', done, { timeoutMs: 100_000, everyMs: 100 });
    const said = await readFile(join(folder, 'said'), 'utf8').catch(() => complaints);
    expect(said.trim().split('\n')).toEqual([
      'boot 0',
      'lip there',
      'unit enabled',
      'withdraw leaves the VIP of a keepalived that lives',
      'VIP away',
      'VIP away after a stop',
      'lip back by the unit',
      'arp_ignore 1',
      'chain PREROUTING -j WEIR-PREROUTING',
      'chain WEIR-PREROUTING -p ospf -j ACCEPT',
      'before frr.service',
      'before keepalived.service',
      'before ospfd.service',
      'before zebra.service',
      'drop-in weir.conf',
      'watched, enabled, dpvs dpdk1',
      'VIP there while DPVS is',
      'VIP away with DPVS',
      'not watched',
    ]);
  });
});
