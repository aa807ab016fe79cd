/**
 * What this machine must have for test hosts: root, namespaces, overlay mounts and some programs of Debian.
 * Imported by test-hosts.ts alone, which gives it on.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

/** Debian's package of each program that is run. `nc` must be OpenBSD's: it alone can pass on a connected socket. */
const packages = {
  sshd: 'openssh-server',
  ssh: 'openssh-client',
  'ssh-keygen': 'openssh-client',
  'nc.openbsd': 'netcat-openbsd',
  ip: 'iproute2',
  setpriv: 'util-linux',
  unshare: 'util-linux',
  nsenter: 'util-linux',
  mount: 'mount',
} as const;

/** Where programs are looked for, here and on test hosts: what sshd gives root on Debian. */
export const programPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Does at once what hosts need of the kernel; it ends with everything it made. */
const probe = `
set -e
mount -t tmpfs weir-test-host /tmp
mkdir /tmp/upper /tmp/work
mount -t overlay -o lowerdir=/etc,upperdir=/tmp/upper,workdir=/tmp/work weir-test-host /etc
ip link set lo up
`;

let found: { reason: string | undefined } | undefined;

/** The reason why test hosts cannot run here, with what to install; undefined where they can. Asked once. */
export function whyNoTestHosts(): string | undefined {
  found ??= { reason: findReason() };
  return found.reason;
}

function findReason(): string | undefined {
  if (process.platform !== 'linux') return `test hosts need Linux; this is ${process.platform}`;
  if (process.geteuid?.() !== 0) return 'test hosts need root';
  const missing = Object.keys(packages).filter((program) => !isProgram(program)) as (keyof typeof packages)[];
  if (missing.length > 0) {
    const install = [...new Set(missing.map((program) => packages[program]))].join(' ');
    return `test hosts need ${missing.join(', ')}: apt-get install ${install}`;
  }
  const args = ['--mount', '--net', '--pid', '--uts', '--ipc', '--fork', 'sh', '-c', probe];
  const tried = spawnSync('unshare', args, { env: { PATH: programPath }, encoding: 'utf8', timeout: 10_000 });
  if (tried.status === 0) return undefined;
  const words = tried.error?.message ?? tried.stderr.trim();
  return `test hosts need namespaces and overlay mounts (in a container: --privileged): ${words}`;
}

function isProgram(name: string): boolean {
  return programPath.split(':').some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
