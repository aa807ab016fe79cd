/**
 * Publishing straight to a test host, without a server, and a host whose remote shell is killed at a command
 * of one's choice. Only tests import it.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cluster } from '../domain/edge/model.ts';
import type { Remote } from '../remote/port.ts';
import { openSsh } from '../remote/ssh.ts';
import type { TestHost } from '../remote/test-hosts.ts';
import type { Release } from '../render/cluster.ts';
import { digestFiles, renderFile } from '../render/files.ts';
import { rendered } from '../render/testing/releases.ts';
import { publishToLb } from './publish-lb.ts';
import type { LbOutcome, PublishLb, PublishStep } from './publish-lb.ts';

/** A valid cluster `c` of two LBs with some VIPs; two WSs and a port each. */
export function clusterWith(vips: number, parts: Partial<Cluster> = {}): Cluster {
  return {
    name: 'c',
    type: 'internal',
    device: 'eth0',
    vipnets: ['10.1.0.0/16'],
    lbinfos: [1, 2].map((n) => ({
      hostname: `lb${n}.room1`,
      routerid: `10.0.0.${n}`,
      internalip: `10.0.0.${n}`,
      internalnetmask: '255.255.255.0',
      internalgateway: '10.0.0.254',
      ospfnet: '10.0.0.0/24',
    })),
    vip2ws: Array.from({ length: vips }, (_, i) => ({
      vip: `10.1.${i >> 7}.${(i & 127) + 1}`,
      wstype: 'web',
      wss: ['ws1.room1', 'ws2.room1'],
      ports: [{ sport: 80, dport: 80, synproxy: 1, persistence_timeout: 50 }],
    })),
    ...parts,
  };
}

/** The release of a cluster's first LB. */
export function releaseOf(cluster: Cluster): Release {
  const [release] = rendered(cluster);
  if (!release) throw new Error('the cluster has no LB');
  return release;
}

/** A release whose files say something else, whole in all other ways. The edits are by path. */
export function doctored(release: Release, edits: Readonly<Record<string, (text: string) => string>>): Release {
  const files = release.files().map((file) => {
    const edit = edits[file.path];
    return edit ? renderFile({ path: file.path, mode: file.mode }, () => edit(file.text())) : file;
  });
  const id = createHash('sha256').update(digestFiles(files)).digest('hex').slice(0, 32);
  const list = files.map((f) => JSON.stringify({ path: f.path, sha256: f.sha256, size: f.size, mode: f.mode }));
  const head = release.manifest().text().split('"files": [\n')[0]?.replace(release.id, id) ?? '';
  const manifest = `${head}"files": [\n${list.join(',\n')}\n]\n}\n`;
  return { ...release, id, files: () => files, manifest: () => renderFile({ path: 'manifest.json' }, () => manifest) };
}

export interface Publisher {
  publish(release: Release | undefined, options?: Partial<PublishLb>): Promise<LbOutcome & { steps: PublishStep[] }>;
}

/** Publishes with growing fencing numbers; knows every release that it was ever given. */
export function publisherTo(remote: Remote, host: string): Publisher {
  const known = new Map<string, Release>();
  let fence = 0;
  return {
    async publish(release, options = {}) {
      const steps: PublishStep[] = [];
      const outcome = await publishToLb({
        remote,
        target: { host },
        sudo: false,
        fence: ++fence,
        ...(release ? { release } : {}),
        known: (id) => known.get(id),
        overwrite: false,
        timeoutMs: 60_000,
        onStep: (step) => steps.push(step),
        ...options,
      });
      if (release) known.set(release.id, release);
      return { ...outcome, steps };
    },
  };
}

/**
 * Runs commands on a host as sshd would, in a session of their own, without the handshake: for tests that publish
 * hundreds of times. The folder takes a program that stands in the place of ssh.
 */
export function withoutSsh(host: TestHost, folder: string): Remote {
  const program = join(folder, `into-${host.name}`);
  const enter = `nsenter --target ${host.pid} --mount --net --pid --uts --ipc -- setsid --wait`;
  writeFileSync(program, `#!/bin/sh\nfor command; do :; done\ncd /\nexec ${enter} sh -c "$command"\n`, { mode: 0o755 });
  return openSsh({ program });
}

/** Every program that the script runs on its way, but those that are built into some shells. */
const programs = [
  'awk', 'cat', 'chgrp', 'chmod', 'chown', 'cmp', 'cp', 'date', 'find', 'flock', 'grep', 'id', 'keepalived', 'ln',
  'ls', 'mkdir', 'mv', 'readlink', 'rm', 'rmdir', 'sed', 'sha256sum', 'sync', 'tar', 'timeout', 'touch', 'vtysh', 'xargs',
] as const; // prettier-ignore

/**
 * Stands in the place of each program. At the chosen call it kills the session's first process, which is the
 * remote shell, from inside the host; the program is then left out or still runs, as an orphan.
 */
const wrapper = `#!/bin/sh
PATH=/usr/bin:/bin:/usr/sbin:/sbin
printf x >>/run/kill/count
read -r count </run/kill/count
count=\${#count}
at=0 how=
read -r at how </run/kill/at
if [ "$at" -gt 0 ] && [ "$count" -ge "$at" ]; then
  read -r _ _ _ _ _ session _ </proc/self/stat
  kill -9 "$session"
  [ "$how" = run ] || exit 137
fi
exec "\${0##*/}" "$@"
`;

export interface Killing {
  /** The next publication dies at its nth program, counted from 1, which still runs or does not. */
  arm(at: number, how: 'run' | 'skip'): void;
  /** From now on nothing is killed. */
  disarm(): void;
  /** Programs that were run since. */
  count(): number;
}

export async function makeKillable(host: TestHost): Promise<Killing> {
  const script =
    'mkdir -p /run/kill /usr/local/sbin; cat >/run/kill/wrapper; chmod 755 /run/kill/wrapper; for name; do ln -sf /run/kill/wrapper "/usr/local/sbin/$name"; done';
  const { code, stderr } = await host.exec(['/bin/sh', '-c', script, 'sh', ...programs], { input: wrapper });
  if (code !== 0) throw new Error(stderr);
  const file = (name: string) => join(host.root, 'run/kill', name);
  const arm = (line: string) => {
    writeFileSync(file('count'), '');
    writeFileSync(file('at'), `${line}\n`);
  };
  arm('0 run');
  return {
    arm: (at, how) => arm(`${at} ${how}`),
    disarm: () => arm('0 run'),
    count: () => readFileSync(file('count')).length,
  };
}
