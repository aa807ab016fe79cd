/** Kills an LB's agent in the middle of an activation, at a program of one's choice. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Remote } from '../../src/remote/port.ts';
import { openSsh } from '../../src/remote/ssh.ts';
import { tablePath } from './lb-daemons.ts';
import { sh } from './machine.ts';
import type { PlayedLb } from './played-lb.ts';

/** What the agent runs on its way, but those that are built into some shells or played. */
const programs = [
  'awk', 'cat', 'chmod', 'chown', 'cmp', 'cp', 'cut', 'date', 'flock', 'grep', 'id', 'ip', 'ln', 'ls', 'mkdir', 'mv',
  'readlink', 'rm', 'sed', 'setsid', 'sha256sum', 'sleep', 'sync', 'timeout', 'tr',
] as const; // prettier-ignore

/**
 * In the place of each program: at the chosen call by the session that was let in last, which its guard and its
 * watcher are not in, it kills the session's first process, the agent. The program is left out or runs on as an orphan.
 */
const wrapper = `#!/bin/sh
read -r _ _ _ _ _ session _ </proc/self/stat
read -r agent </run/kill/agent
if [ "$session" = "$agent" ]; then
  printf x >>/run/kill/count
  read -r count </run/kill/count
  read -r at how </run/kill/at
  if [ "\${#count}" = "$at" ]; then
    kill -9 "$session"
    [ "$how" = run ] || exit 137
  fi
fi
for folder in /usr/bin /bin /usr/sbin /sbin; do
  [ ! -x "$folder/\${0##*/}" ] || exec "$folder/\${0##*/}" "$@"
done
`;

/** One way to kill the agent while something is asked of it. */
export interface AgentKill {
  name: string;
  during<T>(ask: () => Promise<T>): Promise<T>;
}

export interface AgentKills {
  /** To ask the LB through. */
  remote: Remote;
  /** At the nth program that it runs, counted from 1. */
  atProgram(nth: number, how: 'run' | 'skip'): AgentKill;
  /** Some time after it was asked; ms. */
  after(ms: number): AgentKill;
  /** Programs that the last one ran. */
  count(): number;
}

export async function makeAgentKillable({ host, folder }: PlayedLb): Promise<AgentKills> {
  const install =
    'mkdir -p /run/kill; echo none >/run/kill/agent; cat >/run/kill/wrapper; chmod 755 /run/kill/wrapper; for name; do ln -s /run/kill/wrapper "/usr/local/sbin/$name"; done';
  const { code, stderr } = await host.exec(['sh', '-c', install, 'sh', ...programs], { input: wrapper });
  if (code !== 0) throw new Error(stderr);
  const program = join(folder, `killable-${host.name}`);
  const enter = `nsenter --target ${host.pid} --mount --net --pid --uts --ipc -- setsid --wait`;
  const first = 'read -r pid _ </proc/self/stat; echo "$pid" >/run/kill/agent; exec sh -c "$1"';
  writeFileSync(
    program,
    `#!/bin/sh\nfor command; do :; done\nexport WEIR_IPVS=${tablePath}\ncd /\nexec ${enter} sh -c '${first}' sh "$command"\n`,
    { mode: 0o755 },
  );
  const file = (name: string) => join(host.root, 'run/kill', name);
  const arm = (at: number, how: 'run' | 'skip') => {
    writeFileSync(file('count'), '');
    writeFileSync(file('at'), `${at} ${how}\n`);
  };
  arm(0, 'run');
  return {
    remote: openSsh({ program }),
    atProgram: (nth, how) => ({
      name: `killed at program ${nth} (${how})`,
      during(ask) {
        arm(nth, how);
        return ask().finally(() => arm(0, 'run'));
      },
    }),
    after: (ms) => ({
      name: `killed after ${Math.round(ms)} ms`,
      async during(ask) {
        writeFileSync(file('agent'), 'none\n');
        const asked = ask();
        await setTimeout(ms);
        await host.exec(['sh', '-c', 'read -r pid </run/kill/agent; kill -9 "$pid"']);
        return asked;
      },
    }),
    count: () => readFileSync(file('count')).length,
  };
}

/** Kills every agent's process on the machine: whoever activates, its guards and the watcher. */
export async function killAgents({ host }: PlayedLb): Promise<void> {
  await sh(
    host,
    `for file in /proc/[0-9]*/cmdline; do
       words=$(tr "\\0" " " <"$file" 2>/dev/null)
       case $words in */weir\\ remote*|*/weir\\ guard*|*/weir\\ watch*) pid=\${file%/cmdline}; kill -9 "\${pid#/proc/}" ;; esac
     done`,
  );
}
