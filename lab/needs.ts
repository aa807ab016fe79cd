/** What this machine must have for a lab. Imports nothing of ours. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Debian's package of each program that is run, here or in a guest, which has this machine's files. */
const packages = {
  'linux.uml': 'user-mode-linux',
  ip: 'iproute2',
  unshare: 'util-linux',
  nsenter: 'util-linux',
  setpriv: 'util-linux',
  sysctl: 'procps',
  ssh: 'openssh-client',
  'ssh-keygen': 'openssh-client',
  sshd: 'openssh-server',
  // OpenBSD's: it alone can pass on a connected socket.
  'nc.openbsd': 'netcat-openbsd',
  // A guest's syslogd.
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

/** Where programs are looked for, on every machine of the lab. */
export const programPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The daemons of FRR, and its reload, stand apart. */
export const frrFolder = '/usr/lib/frr';

/** Does at once what a lab needs of the kernel; it ends with everything it made. */
const probe = `
set -e
mount -t tmpfs weir-lab /mnt
ip link add bridge0 type bridge
ip tuntap add dev tap0 mode tap
ip link set tap0 master bridge0
ip link add veth0 type veth peer name veth1
iptables -A INPUT -p tcp --dport 80 -j REJECT --reject-with tcp-reset
`;

let found: { reason: string | undefined } | undefined;

/** The reason why no lab can be opened here, with what to install; undefined where one can. Asked once. */
export function whyNoLab(): string | undefined {
  found ??= { reason: findReason() };
  return found.reason;
}

function findReason(): string | undefined {
  if (process.platform !== 'linux') return `a lab needs Linux; this is ${process.platform}`;
  if (process.arch !== 'x64') return `a lab needs User-Mode Linux, which runs on x64 alone; this is ${process.arch}`;
  if (process.geteuid?.() !== 0) return 'a lab needs root';
  const missing = Object.keys(packages).filter((program) => !isProgram(program)) as (keyof typeof packages)[];
  if (missing.length > 0) {
    const install = [...new Set(missing.map((program) => packages[program]))].join(' ');
    return `a lab needs ${missing.join(', ')}: apt-get install ${install}`;
  }
  if (!hasGuestModules()) return 'a lab needs the modules of linux.uml: apt-get install --reinstall user-mode-linux';
  const args = ['--mount', '--net', '--pid', '--fork', 'sh', '-c', probe];
  const tried = spawnSync('unshare', args, { env: { PATH: programPath }, encoding: 'utf8', timeout: 10_000 });
  if (tried.status === 0) return undefined;
  const words = tried.error?.message ?? tried.stderr.trim();
  return `a lab needs namespaces, bridges, taps and netfilter (in a container: --privileged --device /dev/net/tun): ${words}`;
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
