/** What the project's scripts share: running commands, installing what is missing. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const bin = join(root, 'node_modules', '.bin');

/** Runs a command with the terminal's streams; answers its exit code. */
export function run(program, args, options = {}) {
  const result = spawnSync(program, args, { cwd: root, stdio: 'inherit', ...options });
  if (result.error) {
    console.error(`${program}: ${result.error.message}`);
    return 1;
  }
  return result.status ?? 1;
}

/** Runs a tool of node_modules. */
export function tool(name, args, options = {}) {
  return run(join(bin, name), args, options);
}

/** Runs it, and ends this process with its code if it fails. */
export function must(code, what) {
  if (code === 0) return;
  console.error(`\n${what} failed`);
  process.exit(code);
}

/** npm ci, if node_modules does not belong to package-lock.json. */
export function ensureInstalled() {
  const stamp = join(root, 'node_modules', '.weir-lock');
  const lock = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .update(process.version)
    .digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  console.log('installing npm packages');
  must(run('npm', ['ci', '--no-fund', '--no-audit', '--loglevel=error']), 'npm ci');
  writeFileSync(stamp, lock);
}

/** Compiles to dist/. */
export function build() {
  must(tool('tsc', ['-p', 'tsconfig.build.json']), 'the build');
}

/** Debian packages by the program that shows whether each is there. */
const debianPackages = {
  sshd: 'openssh-server',
  ssh: 'openssh-client',
  nsenter: 'util-linux',
  setpriv: 'util-linux',
  ip: 'iproute2',
  nc: 'netcat-openbsd',
  keepalived: 'keepalived',
  busybox: 'busybox',
  dash: 'dash',
  bash: 'bash',
  sudo: 'sudo',
  pgrep: 'procps',
  useradd: 'passwd',
  curl: 'curl',
  ospfd: 'frr',
  'frr-reload.py': 'frr-pythontools',
  'linux.uml': 'user-mode-linux',
  modprobe: 'kmod',
  ipvsadm: 'ipvsadm',
  iptables: 'iptables',
  ethtool: 'ethtool',
  arping: 'iputils-arping',
  nginx: 'nginx-light',
  openssl: 'openssl',
  'redis-server': 'redis-server',
  'redis-sentinel': 'redis-sentinel',
  python3: 'python3',
};

const places = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin', '/usr/lib/frr'];

function missingPackages(more) {
  const missing = Object.entries({ ...debianPackages, ...more }).filter(
    ([program]) => !places.some((dir) => isFile(join(dir, program))),
  );
  return [...new Set(missing.map(([, name]) => name))];
}

function isFile(path) {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** Installs Debian packages that tests need (and `more`), as root on Debian; elsewhere says what is missing. */
export function ensureDebianPackages(more = {}) {
  const missing = missingPackages(more);
  if (missing.length === 0) return;
  const debian = existsSync('/etc/debian_version') && existsSync('/usr/bin/apt-get');
  if (!debian || process.getuid?.() !== 0) {
    console.warn(
      `NOTE: not installed: ${missing.join(', ')}; tests that need them are left out (npm test as root on Debian installs them)`,
    );
    return;
  }
  console.log(`installing Debian packages: ${missing.join(', ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const install = ['install', '-y', '--no-install-recommends', '-o', 'Dpkg::Use-Pty=0', '-qq', ...missing];
  const quiet = { env, stdio: ['ignore', 'ignore', 'inherit'] };
  withoutServices(() => {
    if (run('apt-get', ['update', '-qq'], quiet) === 0 && run('apt-get', install, quiet) === 0) return;
    console.warn(`NOTE: these could not be installed: ${missing.join(', ')}; tests that need them are left out`);
  });
}

/** Packages that are installed meanwhile do not start their daemons on this machine; tests start their own. */
function withoutServices(work) {
  const policy = '/usr/sbin/policy-rc.d';
  const ours = !existsSync(policy);
  if (ours) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    work();
  } finally {
    if (ours) rmSync(policy);
  }
}
