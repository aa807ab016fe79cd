/** What this machine must have for a lab. Imports nothing of ours. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, readdirSync } from 'node:fs';
import { join } from 'node:path';

/**
 * What the LBs of a lab are made of: User-Mode Linux guests with a kernel of their own (guest.ts), or namespaces of this
 * machine's kernel (namespace.ts).
 */
export type LbKind = 'guest' | 'namespace';

/** Debian's package of each program that is run, here or on an LB, which has this machine's files. */
const packages = {
  ip: 'iproute2',
  unshare: 'util-linux',
  nsenter: 'util-linux',
  flock: 'util-linux',
  setpriv: 'util-linux',
  sysctl: 'procps',
  ssh: 'openssh-client',
  'ssh-keygen': 'openssh-client',
  sshd: 'openssh-server',
  // OpenBSD's: it alone can pass on a connected socket.
  'nc.openbsd': 'netcat-openbsd',
  // An LB's syslogd.
  busybox: 'busybox',
  modprobe: 'kmod',
  zebra: 'frr',
  vtysh: 'frr',
  'frr-reload.py': 'frr-pythontools',
  keepalived: 'keepalived',
  ipvsadm: 'ipvsadm',
  iptables: 'iptables',
  nginx: 'nginx-light',
  openssl: 'openssl',
  curl: 'curl',
} as const;

const guestPackages = { 'linux.uml': 'user-mode-linux', taskset: 'util-linux' } as const;

/** Where programs are looked for, on every machine of the lab. */
export const programPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The daemons of FRR, and its reload, stand apart. */
export const frrFolder = '/usr/lib/frr';

/**
 * Says whether a new network has IPVS, and whether what source NAT of its connections needs is there too, or can be
 * loaded (CAP_SYS_MODULE is bit 16; capabilities(7)). It loads nothing.
 */
const ipvsProbe = `
for module in ip_vs xt_ipvs xt_statistic; do
  [ -d "/sys/module/$module" ] || missing="$missing $module"
done
[ ! -d /sys/module/ip_vs ] || [ -e /proc/net/ip_vs ] || exit 1
[ -n "$missing" ] || exit 0
modprobe -nqa $missing || exit 1
read -r disabled </proc/sys/kernel/modules_disabled
capabilities=$(sed -n 's/^CapEff:[[:blank:]]*/0x/p' /proc/self/status)
[ "$disabled $((capabilities >> 16 & 1))" = "0 1" ]
`;

let kindHere: LbKind | undefined;

/** Namespaces where this kernel has IPVS, else guests. Asked once. */
export function lbKind(): LbKind {
  kindHere ??= hasIpvs() ? 'namespace' : 'guest';
  return kindHere;
}

function hasIpvs(): boolean {
  if (process.platform !== 'linux') return false;
  return spawnSync('unshare', ['--net', 'sh', '-c', ipvsProbe], probing).status === 0;
}

const probing = { env: { PATH: programPath }, encoding: 'utf8', timeout: 10_000 } as const;

/** Do at once what a lab needs of the kernel; they end with everything they made. */
const probe = `
set -e
mount -t tmpfs weir-lab /mnt
ip link add bridge0 type bridge
ip link add veth0 type veth peer name veth1
ip link set veth0 master bridge0
iptables -A INPUT -p tcp --dport 80 -j REJECT --reject-with tcp-reset
`;

const kindProbes: Readonly<Record<LbKind, string>> = {
  guest: `
ip tuntap add dev tap0 mode tap
ip link set tap0 master bridge0
`,
  namespace: `
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work weir-lab /mnt/root
`,
};

const found = new Map<LbKind, string | undefined>();

/** The reason why no lab can be opened here, with what to install; undefined where one can. Asked once for each kind. */
export function whyNoLab(kind = lbKind()): string | undefined {
  if (!found.has(kind)) found.set(kind, findReason(kind));
  return found.get(kind);
}

/** Packages were installed: it is asked anew. */
export function forgetWhyNoLab(): void {
  kindHere = undefined;
  found.clear();
}

function findReason(kind: LbKind): string | undefined {
  if (process.platform !== 'linux') return `a lab needs Linux; this is ${process.platform}`;
  if (process.geteuid?.() !== 0) return 'a lab needs root';
  if (kind === 'guest' && process.arch !== 'x64') {
    return `a lab needs IPVS in this kernel, or User-Mode Linux, which runs on x64 alone; this is ${process.arch}`;
  }
  const missing = missingPrograms(kind);
  if (missing.length > 0) {
    return `a lab needs ${missing.join(', ')}: apt-get install ${missingPackages(kind).join(' ')}`;
  }
  if (kind === 'guest' && !hasGuestModules()) {
    return 'a lab needs the modules of linux.uml: apt-get install --reinstall user-mode-linux';
  }
  const args = ['--mount', '--net', '--pid', '--fork', 'sh', '-c', probe + kindProbes[kind]];
  const tried = spawnSync('unshare', args, probing);
  if (tried.status === 0) return undefined;
  const words = tried.error?.message ?? tried.stderr.trim();
  return `a lab needs ${kernelNeeds[kind]}: ${words}`;
}

const kernelNeeds: Readonly<Record<LbKind, string>> = {
  guest: 'namespaces, bridges, taps and netfilter (in a container: --privileged --device /dev/net/tun)',
  namespace: 'namespaces, bridges, overlays and netfilter (in a container: --privileged)',
};

/** Debian's packages of the programs that are not there. */
export function missingPackages(kind = lbKind()): string[] {
  const needed: Readonly<Record<string, string>> = packagesOf(kind);
  return [...new Set(missingPrograms(kind).map((program) => needed[program] ?? program))];
}

function missingPrograms(kind: LbKind): string[] {
  return Object.keys(packagesOf(kind)).filter((program) => !isProgram(program));
}

function packagesOf(kind: LbKind) {
  return kind === 'guest' ? { ...packages, ...guestPackages } : packages;
}

function isProgram(name: string): boolean {
  return [...programPath.split(':'), frrFolder].some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function hasGuestModules(): boolean {
  try {
    return readdirSync('/usr/lib/uml/modules').length > 0;
  } catch {
    return false;
  }
}
