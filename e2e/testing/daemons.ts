/**
 * Processes that stand for keepalived, zebra and ospfd on a test host: they carry those names, have pid files
 * in the usual places, and write down every signal that they are sent.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestHost } from '../../src/remote/test-hosts.ts';
import { sh } from './machine.ts';

const folder = '/var/lib/weir-test-daemons';

const pidFiles = {
  keepalived: '/run/keepalived.pid',
  zebra: '/run/quagga/zebra.pid',
  ospfd: '/run/quagga/ospfd.pid',
} as const;
export type Daemon = keyof typeof pidFiles;
export const daemonNames = Object.keys(pidFiles) as Daemon[];

/** Its parent goes when every handler stands and the pid file is there. */
const program = String.raw`
use strict; use POSIX ();
my ($log, $pidfile) = @ARGV;
pipe(my $ready, my $tell) or die;
if (fork) { close $tell; sysread $ready, my $byte, 1 or die; exit 0 }
close $ready;
POSIX::setsid();
open(my $out, '>>', $log) or die;
for my $name (grep { !/^(KILL|STOP|ZERO|NUM\d+|RT.*|CHLD|CLD)$/ } keys %SIG) {
  $SIG{$name} = sub { syswrite $out, "$name\n" };
}
open(my $pid, '>', $pidfile) or die; print $pid "$$\n"; close $pid;
open(STDIN, '<', '/dev/null'); open(STDOUT, '>', '/dev/null'); open(STDERR, '>', '/dev/null');
syswrite $tell, 'x';
close $tell;
sleep 3600 while 1;
`;

export interface Daemons {
  /** Signals since the start, by daemon; `gone` where it no longer runs. */
  signals(): Record<Daemon, string[]>;
  /** Sends a signal by the pid file, as operators do. */
  send(daemon: Daemon, signal: string): Promise<void>;
}

export async function startDaemons(host: TestHost): Promise<Daemons> {
  await sh(
    host,
    'mkdir -p "$1" /run/quagga; for name in keepalived zebra ospfd; do ln -s /usr/bin/perl "$1/$name"; done',
    folder,
  );
  for (const name of daemonNames) {
    await sh(host, 'exec "$1" -e "$2" "$1.log" "$3" >/dev/null 2>&1', `${folder}/${name}`, program, pidFiles[name]);
  }
  const started = Object.fromEntries(daemonNames.map((name) => [name, pidOf(host, name)]));
  return {
    signals: () => {
      const entries = daemonNames.map((name) => {
        const words = readFileSync(join(host.root, `${folder}/${name}.log`), 'utf8')
          .split('\n')
          .filter(Boolean);
        return [name, runs(host, name, started[name] ?? '') ? words : [...words, 'gone']];
      });
      return Object.fromEntries(entries) as Record<Daemon, string[]>;
    },
    send: async (daemon, signal) => {
      await sh(host, 'kill -s "$1" "$(cat "$2")"', signal, pidFiles[daemon]);
    },
  };
}

function pidOf(host: TestHost, name: Daemon): string {
  return readFileSync(join(host.root, pidFiles[name]), 'utf8').trim();
}

function runs(host: TestHost, name: Daemon, pid: string): boolean {
  const comm = join(host.root, 'proc', pid, 'comm');
  return existsSync(comm) && readFileSync(comm, 'utf8') === `${name}\n`;
}
