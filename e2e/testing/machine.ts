/** What tests do on a test host, and what they see of its files. */
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { TestHost } from '../../src/remote/test-hosts.ts';

/** Runs a shell script on the host with arguments, and answers its output; throws where it fails. */
export async function sh(host: TestHost, script: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await host.exec(['sh', '-c', script, 'sh', ...args]);
  if (code !== 0) throw new Error(`${script} ended with ${code}: ${stderr}`);
  return stdout;
}

/** The next publication to a host comes to a stop on it, until it is let go on. */
export async function holdUp(
  host: TestHost | undefined,
): Promise<{ waits: () => Promise<unknown>; go: () => Promise<unknown> }> {
  if (!host) throw new Error('there is no host to be held up');
  await sh(
    host,
    `rm -f /tmp/go /tmp/waiting; cat >/usr/local/sbin/find <<'END'
#!/bin/sh
: >/tmp/waiting
until [ -e /tmp/go ]; do sleep 0.02; done
exec /usr/bin/find "$@"
END
chmod 755 /usr/local/sbin/find`,
  );
  return {
    waits: () => sh(host, 'until [ -e /tmp/waiting ]; do sleep 0.02; done'),
    go: () => sh(host, 'rm /usr/local/sbin/find; : >/tmp/go'),
  };
}

export function read(host: TestHost, path: string): string {
  return readFileSync(join(host.root, path), 'utf8');
}

export function isThere(host: TestHost, path: string): boolean {
  return statOf(host, path) !== undefined;
}

/** All that can be seen of a file, a link or a folder but its access time. */
export interface Seen {
  type: 'file' | 'folder' | 'link';
  /** e.g. 0640 */
  mode: string;
  owner: string;
  /** Digest of a file, target of a link. */
  content: string;
  mtime: bigint;
  inode: bigint;
}

/** Everything at and below some paths, by path; paths that are not there are left out. */
export function look(host: TestHost, ...paths: string[]): Record<string, Seen> {
  const seen: Record<string, Seen> = {};
  const visit = (path: string): void => {
    const stat = statOf(host, path);
    if (!stat) return;
    const at = join(host.root, path);
    const type = stat.isSymbolicLink() ? 'link' : stat.isDirectory() ? 'folder' : 'file';
    const content = type === 'link' ? readlinkSync(at) : type === 'file' ? sha256(readFileSync(at)) : '';
    const mode = (Number(stat.mode) & 0o7777).toString(8).padStart(4, '0');
    seen[path] = { type, mode, owner: `${stat.uid}:${stat.gid}`, content, mtime: stat.mtimeNs, inode: stat.ino };
    if (type === 'folder') for (const name of readdirSync(at).sort()) visit(join(path, name));
  };
  for (const path of paths) visit(path);
  return seen;
}

/** The same without times and inodes: what is left when a file was put back as a copy. */
export function lookAtContent(host: TestHost, ...paths: string[]): Record<string, Omit<Seen, 'mtime' | 'inode'>> {
  return Object.fromEntries(
    Object.entries(look(host, ...paths)).map(([path, { type, mode, owner, content }]) => [
      path,
      { type, mode, owner, content },
    ]),
  );
}

function statOf(host: TestHost, path: string) {
  return lstatSync(join(host.root, path), { bigint: true, throwIfNoEntry: false });
}

export function sha256(data: Uint8Array | string): string {
  return createHash('sha256').update(data).digest('hex');
}

export const livePaths = [
  '/etc/keepalived/keepalived.conf',
  '/usr/local/etc/zebra.conf',
  '/usr/local/etc/ospfd.conf',
] as const;

/** Live paths of a cluster with `routing: frr`. */
export const frrLivePaths = ['/etc/keepalived/keepalived.conf', '/etc/frr/frr.conf'] as const;
