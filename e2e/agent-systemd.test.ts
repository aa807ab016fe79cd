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
systemctl start weir.service && ip -o addr show dev lo | grep -q 10.1.9.9/32 && echo "lip back by the unit"
/etc/weir/bin/weir boot
ls /etc/systemd/system/keepalived.service.d | sed 's/^/drop-in /'
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
      'drop-in weir.conf',
    ]);
  });
});
