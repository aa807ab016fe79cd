/** A test host that plays a whole LB (see lb-daemons.ts): what tests do to it, and all that can be seen of it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, vi } from 'vitest';
import { askLb } from '../../src/publish/activate-lb.ts';
import type { ActivateStep, AskLb, LbOutcome, LbRequest } from '../../src/publish/activate-lb.ts';
import type { LbOutcome as PublishOutcome, PublishLb } from '../../src/publish/publish-lb.ts';
import { clusterWith, publisherTo, releaseOf } from '../../src/publish/testing.ts';
import type { Remote } from '../../src/remote/port.ts';
import { openSsh } from '../../src/remote/ssh.ts';
import type { TestHost, TestHosts } from '../../src/remote/test-hosts.ts';
import type { Release } from '../../src/render/cluster.ts';
import { hurriedFiles, played, programFiles, tablePath } from './lb-daemons.ts';
import { isThere, lookAtContent, read, sh } from './machine.ts';
import { dpvsFiles, startDpvs } from './played-dpvs.ts';
import { iptablesFiles } from './played-iptables.ts';

const livePaths = [
  '/etc/keepalived/keepalived.conf',
  '/etc/frr/frr.conf',
  '/usr/local/etc/zebra.conf',
  '/usr/local/etc/ospfd.conf',
] as const;

/** What differs between the releases of a test. */
export interface ReleaseParts {
  vips?: number;
  /** Asked for by every health check: another one is another configuration of keepalived, of the same services. */
  path?: string;
  /** Of OSPF: another one is another configuration of FRR alone. */
  cost?: number;
  bfd?: boolean;
  /** Of every WS. */
  weight?: number;
  lips?: string[];
  /** Where the LIPs go; the host has eth0 alone. */
  innerdevice?: string;
  /** FULLNAT goes with Quagga; DPVS has dpdk1 and dpdk0 for the WSs. */
  dataplane?: 'ipvs' | 'fullnat' | 'dpvs';
  /** Of every VIP. */
  announce?: 'any' | 'degrade' | 'none';
  synproxy?: 0 | 1;
}

/** A release of the host's LB, 10.0.0.1 on eth0: VIPs from 10.1.0.1 on, a port each. */
export function lbRelease(parts: ReleaseParts = {}): Release {
  const {
    vips = 3,
    path = '/first',
    cost = 15,
    bfd = false,
    lips = defaultLips,
    innerdevice = 'eth0',
    weight = 100,
    dataplane = 'ipvs',
    announce = 'any',
    synproxy = 0,
  } = parts;
  const dpdk = dataplane === 'dpvs';
  const { lbinfos, vip2ws } = clusterWith(vips);
  return releaseOf(
    clusterWith(vips, {
      dataplane,
      announce,
      ...(dpdk ? { device: 'dpdk1' } : {}),
      check: { path },
      ospf: { cost, bfd },
      vip2ws: vip2ws.map((vip) => ({
        ...vip,
        ports: vip.ports.map((port) => ({ ...port, synproxy })),
        wsattrs: Object.fromEntries(vip.wss.map((ws) => [ws, { weight }])),
      })),
      lbinfos: lbinfos.slice(0, 1).map((lb) => ({ ...lb, lips, innerdevice: dpdk ? 'dpdk0' : innerdevice })),
    }),
  );
}

const defaultLips = ['10.0.0.101', '10.0.0.102', '10.0.0.103', '10.0.0.104'];

export type Shell = 'dash' | 'bash' | 'busybox';

/** What the agent may change, and what tells of it. */
export interface SeenLb {
  /** Names of releases, `backup`, or empty. */
  links: { current: string; active: string; previous: string };
  /** Path, mode, owner and digest. */
  live: ReturnType<typeof lookAtContent>;
  /** `ADDRESS/LENGTH DEVICE`, sorted; those that the host itself has are left out. */
  addresses: string[];
  sysctls: Record<string, string>;
  /** `TABLE RULE`, sorted within a table's chains only. */
  chains: string[];
  /** What DPVS has, as `ADDRESS/LENGTH DEVICE`, sorted. */
  dpdk: string[];
  /** Text of announce.conf. */
  plane: string;
  /** Mark of what the checker process has loaded; `foreign`, or `none` where there is no keepalived. */
  loaded: string;
  /** The table's services as `PROTOCOL HEX:PORT`, and whether FRR runs what the live file says. */
  services: string[];
  routing: 'as the live file' | 'other';
  drain: string;
  /** Without its time. */
  undone: string;
  activating: boolean;
}

export interface PlayedLb {
  host: TestHost;
  /** On this machine, for programs that lead there. */
  folder: string;
  remote: Remote;
  /** Over a real sshd. */
  ssh: Remote;
  publish(release: Release | undefined, options?: Partial<PublishLb>): Promise<PublishOutcome>;
  ask(request: LbRequest, options?: Partial<AskLb>): Promise<LbOutcome & { steps: ActivateStep[] }>;
  /** Activates what was published last, with little time for the checks. */
  activate(
    release: Release,
    more?: Partial<Extract<LbRequest, { action: 'activate' }>>,
    options?: Partial<AskLb>,
  ): Promise<LbOutcome & { steps: ActivateStep[] }>;
  /** The agent's command line on the machine itself: exit code and output. */
  weir(...args: string[]): Promise<{ code: number | null; output: string }>;
  see(): Promise<SeenLb>;
  /** Writes a file below /run/played: what goes wrong from now on. */
  tell(file: string, text: string): void;
  /** Lines that a program wrote down since the last call. */
  told(file: 'keepalived.log' | 'frr.log' | 'quagga.log' | 'asked.log' | 'modules'): string[];
  /** Resolves when it is seen as expected: keepalived announces in its own time. */
  settles(wanted: SeenLb, where?: string): Promise<void>;
  /** Resolves as soon as a shell condition holds on the host. */
  until(condition: string, ...args: string[]): Promise<void>;
  /** Everything ends and what is not on a disk is gone; then the machine's start, with the agent's part of it. */
  reboot(): Promise<{ code: number | null; output: string }>;
  startKeepalived(): Promise<void>;
  /** Makes it a machine of DPVS, or starts that anew. */
  startDpvs(): Promise<void>;
  /** From now on the machine's clock and its limits of time go ten times as fast; not with busybox. */
  hurry(): void;
}

/** Sysctls that releases set; those that a network namespace or this kernel does not have are played. */
const sysctlKeys = [
  'net.ipv4.ip_forward',
  'net.ipv4.conf.all.rp_filter',
  'net.ipv4.conf.all.arp_ignore',
  'net.ipv4.conf.all.arp_announce',
  'net.ipv4.vs.conntrack',
  'net.ipv4.vs.expire_nodest_conn',
  'net.ipv4.vs.expire_quiescent_template',
  'net.netfilter.nf_conntrack_max',
  'net.core.netdev_max_backlog',
  'net.netfilter.nf_conntrack_tcp_loose',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.tcp_timestamps',
] as const;

/** frr-reload.py is only looked for, and ospfd finds nothing wrong; sshd starts every command in a shell that knows the table's place. */
const setUp = String.raw`
set -eu
ip link add eth0 type veth peer name wire
ip link set wire up
ip link set eth0 up
ip addr add 10.0.0.1/24 dev eth0
mkdir -p /run/sys /run/over/upper/frr /run/over/work /run/weir
mount --bind /proc/sys/net /run/sys
mount -t tmpfs -o mode=0755 weir-played /proc/sys/net
mkdir -p /proc/sys/net/ipv4/vs /proc/sys/net/netfilter /proc/sys/net/core
ln -s /run/sys/ipv4/conf /run/sys/ipv4/ip_forward /proc/sys/net/ipv4/
touch /run/over/upper/frr/frr-reload.py
printf '#!/bin/sh\n' >/run/over/upper/frr/ospfd
chmod 755 /run/over/upper/frr/ospfd
mount -t overlay -o lowerdir=/usr/lib,upperdir=/run/over/upper,workdir=/run/over/work weir-played /usr/lib
printf '#!/bin/sh\nexport WEIR_IPVS=%s\nexec /bin/sh "$@"\n' "$1" >/usr/local/bin/login-shell
chmod 755 /usr/local/bin/login-shell
sed -i 's|^\(root:.*:\)[^:]*$|\1/usr/local/bin/login-shell|' /etc/passwd
case $2 in
  bash) mount --bind "$(command -v bash)" "$(readlink -f /bin/sh)" ;;
  busybox) mount --bind "$(command -v busybox)" "$(readlink -f /bin/sh)" ;;
esac
`;

/** What a machine has when it starts. */
const powerOn = String.raw`
for key in ip_forward conf/all/rp_filter conf/all/arp_ignore conf/all/arp_announce vs/conntrack vs/expire_nodest_conn vs/expire_quiescent_template; do
  echo 0 >"/proc/sys/net/ipv4/$key"
done
echo 262144 >/proc/sys/net/netfilter/nf_conntrack_max
echo 1000 >/proc/sys/net/core/netdev_max_backlog
echo 1 >/proc/sys/net/netfilter/nf_conntrack_tcp_loose
echo 0 >/proc/sys/net/ipv4/tcp_syncookies
echo 1 >/proc/sys/net/ipv4/tcp_timestamps
ip link del weir-high 2>/dev/null
ip -o -4 addr show | while read -r _ device _ address _; do
  case $device-$address in lo-127.0.0.1/8|eth0-10.0.0.1/24) ;; *) ip addr del "$address" dev "$device" ;; esac
done
ip link del dpdk1.kni 2>/dev/null
rm -rf /run/weir /run/keepalived.pid /run/checkers.pid /run/played/chains /run/played/chains.legacy /run/played/dpdk
for file in chains frr.ills frr.running keepalived.ills iptables.ills; do [ -e "/run/played/$file" ] || : >"/run/played/$file"; done
printf "IP Virtual Server version 1.2.1 (size=4096)\n" >/run/played/ip_vs
`;

const seeScript = String.raw`
for link in current active previous; do
  to=$(readlink "/etc/weir/$link") || to=
  echo "link $link ${'$'}{to##*/}"
done
ip -o -4 addr show | while read -r _ device _ address _; do echo "address $address $device"; done
for key; do
  path=$(echo "$key" | tr . /)
  echo "sysctl $key $(cat "/proc/sys/$path")"
done
sed 's/^/chain /' /run/played/chains
[ ! -e /run/played/dpdk ] || sed 's/^/dpdk /' /run/played/dpdk
[ ! -e /etc/weir/announce.conf ] || sed 's/^/plane /' /etc/weir/announce.conf
sed -n 's/^\([TU][CD]P *[0-9A-F:]*\) .*/service \1/p' /run/played/ip_vs
cmp -s /etc/frr/frr.conf /run/played/frr.running && echo "routing same"
read -r pid 2>/dev/null </run/keepalived.pid || pid=none
if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = keepalived ]; then
  for child in $(cat "/proc/$pid/task/$pid/children"); do echo "loaded $(cat "/proc/$child/comm")"; done
fi
for file in drain undone; do [ ! -e "/etc/weir/$file" ] || echo "$file $(cat "/etc/weir/$file")"; done
[ ! -e /etc/weir/activating ] || echo activating
`;

export async function playLb(hosts: TestHosts, name: string, shell: Shell = 'dash'): Promise<PlayedLb> {
  const host = await hosts.start(name);
  await sh(host, setUp, tablePath, shell);
  await sh(host, 'mkdir -p "$1" /etc/init.d; rm -f /etc/rc.local', played);
  const write = (path: string, text: string, mode = 0o644) => {
    writeFileSync(join(host.root, path), text, { mode });
  };
  for (const [path, text] of Object.entries({ ...programFiles, ...iptablesFiles })) write(path, text, 0o755);
  await sh(host, powerOn);

  const program = join(hosts.directory, `into-${name}`);
  const enter = `nsenter --target ${host.pid} --mount --net --pid --uts --ipc -- setsid --wait`;
  writeFileSync(
    program,
    `#!/bin/sh\nfor command; do :; done\nexport WEIR_IPVS=${tablePath}\ncd /\nexec ${enter} sh -c "$command"\n`,
    { mode: 0o755 },
  );
  const remote = openSsh({ program });
  const ssh = openSsh({ configFile: hosts.configFile });
  const publisher = publisherTo(remote, name);
  const heard = new Map<string, number>();
  let fence = 0;

  async function exec(argv: string[]): Promise<{ code: number | null; output: string }> {
    const { code, stdout, stderr } = await host.exec(argv, { env: { WEIR_IPVS: tablePath } });
    return { code, output: stdout + stderr };
  }

  const lb: PlayedLb = {
    host,
    folder: hosts.directory,
    remote,
    ssh,
    publish: (release, options) => publisher.publish(release, { fence: ++fence, ...options }),
    async ask(request, options = {}) {
      const steps: ActivateStep[] = [];
      const onStep = (step: ActivateStep) => void steps.push(step);
      const base = { remote, target: { host: name }, sudo: false, timeoutMs: 120_000 };
      return { ...(await askLb({ ...base, fence: ++fence, request, onStep, ...options })), steps };
    },
    activate: (release, more = {}, options = {}) =>
      lb.ask({ action: 'activate', release: release.id, waitSeconds: 4, state: 'up', ...more }, options),
    weir: (...args) => exec(['/etc/weir/bin/weir', ...args]),
    see: async () => seenOf(await sh(host, seeScript, ...sysctlKeys), lookAtContent(host, ...livePaths)),
    tell: (file, text) => write(`${played}/${file}`, text),
    told(file) {
      const lines = linesOf(host, `${played}/${file}`);
      const news = lines.slice(heard.get(file) ?? 0);
      heard.set(file, lines.length);
      return news;
    },
    async settles(wanted, where) {
      await vi.waitFor(async () => expect(await lb.see(), where).toEqual(wanted), { timeout: 10_000, interval: 100 });
    },
    async until(condition, ...args) {
      const wait = `until ${condition}; do sleep 0.05; done`;
      const { code } = await host.exec(['sh', '-c', wait, 'sh', ...args], { timeoutMs: 30_000 });
      if (code !== 0) throw new Error(`never came true on ${name}: ${condition}`);
    },
    async reboot() {
      await host.exec(['sh', '-c', 'kill -9 -1']);
      await sh(host, powerOn);
      const boot = await exec(['/etc/weir/bin/weir', 'boot']);
      await sh(host, 'cp /etc/frr/frr.conf "$1/frr.running"', played);
      await lb.startKeepalived();
      return boot;
    },
    async startKeepalived() {
      await sh(host, '/etc/init.d/keepalived start >/dev/null 2>&1');
    },
    async startDpvs() {
      for (const [path, text] of Object.entries(dpvsFiles)) write(path, text, 0o755);
      lb.tell('version', 'Keepalived v2.0.19 (07/21,2019)\n');
      await sh(host, startDpvs);
    },
    hurry() {
      for (const [path, text] of Object.entries(hurriedFiles)) write(path, text, 0o755);
      lb.tell('hurry', `${Math.floor(Date.now() / 1000)}\n`);
    },
  };
  return lb;
}

/**
 * What a person had set up by hand before Weir: keepalived with a VIP of the releases, on lo, with a LIP of theirs; FRR; a
 * sysctl and a rule.
 */
export async function setUpByHand(lb: PlayedLb): Promise<void> {
  await sh(lb.host, handWork, handKeepalived, handFrr);
  await lb.startKeepalived();
  await lb.until('ip addr show dev lo | grep -q 10.1.0.1');
}

const handKeepalived = `global_defs {
    router_id BY_HAND
}
virtual_server 10.1.0.1 80 {
    lb_algo wrr
    lb_kind NAT
    protocol TCP
    alpha
    omega
    quorum_up "ip addr add 10.1.0.1/32 dev lo"
    quorum_down "ip addr del 10.1.0.1/32 dev lo"
    real_server 10.0.1.1 80 {
        weight 7
    }
}
`;

const handFrr = 'hostname by-hand\nrouter ospf\n network 10.0.0.0/24 area 0.0.0.0\nexit\n';

const handWork = String.raw`
mkdir -p /etc/keepalived /etc/frr
printf %s "$1" >/etc/keepalived/keepalived.conf
chmod 600 /etc/keepalived/keepalived.conf
printf %s "$2" >/etc/frr/frr.conf
chown 4711:4712 /etc/frr/frr.conf
chmod 604 /etc/frr/frr.conf
cp /etc/frr/frr.conf /run/played/frr.running
ip addr add 10.0.0.102/32 dev eth0
echo 1 >/proc/sys/net/ipv4/vs/conntrack
iptables -t nat -A POSTROUTING -o wire -j MASQUERADE
`;

function linesOf(host: TestHost, path: string): string[] {
  return isThere(host, path) ? read(host, path).split('\n').filter(Boolean) : [];
}

function seenOf(output: string, live: SeenLb['live']): SeenLb {
  const lines = output.split('\n').filter(Boolean);
  const all = (word: string) => lines.filter((l) => l.startsWith(`${word} `)).map((l) => l.slice(word.length + 1));
  const [loaded = 'none'] = all('loaded');
  const link = (name: string) =>
    all('link')
      .find((l) => l.startsWith(`${name} `))
      ?.split(' ')[1] ?? '';
  return {
    links: { current: link('current'), active: link('active'), previous: link('previous') },
    live,
    addresses: all('address')
      .filter((a) => !hostAddresses.has(a))
      .sort(),
    sysctls: Object.fromEntries(all('sysctl').map((l) => l.split(' ') as [string, string])),
    chains: all('chain').sort(byChain),
    dpdk: all('dpdk').sort(),
    plane: all('plane').join('\n'),
    loaded: loaded === 'keepalived' ? 'foreign' : loaded.replace(/^weir-/, ''),
    services: all('service'),
    routing: lines.includes('routing same') ? 'as the live file' : 'other',
    drain: all('drain').join('\n'),
    undone: all('undone').join('\n').replace(/^\d+ /, ''),
    activating: lines.includes('activating'),
  };
}

const hostAddresses: ReadonlySet<string> = new Set(['127.0.0.1/8 lo', '10.0.0.1/24 eth0', '10.0.9.1/24 dpdk1.kni']);

/** By table and chain; the order within a chain matters and stays. */
function byChain(a: string, b: string): number {
  const key = (rule: string) => rule.replace(/^(\S+) (?::(\S+)|-A (\S+)).*/, '$1 $2$3');
  return key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0;
}
