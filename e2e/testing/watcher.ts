/**
 * A process on a test host that reads what publishing writes, over and over and as fast as it can: keepalived's
 * configuration as keepalived reads it, and the routing files. It tells what it ever saw.
 */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestHost } from '../../src/remote/test-hosts.ts';

/**
 * As read_conf_file of 1.2.2, and of 2.2: glob, open, remember the folder, go into that of the file, read, go back by name.
 * A routing file is told by its length and the sum of its bytes.
 */
const program = String.raw`
use strict; use POSIX ();
my ($started, $stop, $asked, @routing) = @ARGV;
my (%seen, $services, %markers);
sub read_conf {
  for my $file (glob $_[0]) {
    open(my $in, '<', $file) or next;
    my $before = POSIX::getcwd();
    chdir($file =~ m{^(.*)/[^/]*$} ? ($1 eq '' ? '/' : $1) : '.');
    while (my $line = <$in>) {
      if ($line =~ /^\s*include\s+(\S+)/) { read_conf($1) }
      elsif ($line =~ /^virtual_server /) { $services++ }
      elsif ($line =~ /^\s+path (\S+)/) { $markers{$1} = 1 }
    }
    close $in;
    chdir($before);
  }
}
sub read_whole {
  open(my $in, '<', $_[0]) or return 'missing';
  local $/; my $text = <$in>;
  return defined $text ? length($text) . '/' . unpack('%32C*', $text) : 'empty';
}
my $reads = 0;
until (-e $stop) {
  chdir '/';
  my $answer = -e $asked;
  ($services, %markers) = (0);
  read_conf('/etc/keepalived/keepalived.conf');
  $seen{"services $services " . join(',', sort keys %markers)}++;
  $seen{"$_ " . read_whole($_)}++ for @routing;
  unlink $asked if $answer;
  if (++$reads == 1) { open(my $out, '>', $started); close $out }
}
print "reads $reads\n";
print "$_\n" for sort keys %seen;
`;

export interface Watched {
  reads: number;
  /** `COUNT MARKERS` of the virtual services read together. */
  services: string[];
  /** By path of a routing file: `LENGTH/SUM` or `missing`, as wholeOf says. */
  routing: Record<string, string[]>;
}

export interface Watcher {
  /** Resolves when it has read once more from the beginning: what was live before is no longer in its hands. */
  readAgain(): Promise<void>;
  stop(): Promise<Watched>;
}

/** Resolves when it has read once. */
export async function watchConfig(host: TestHost, routing: readonly string[]): Promise<Watcher> {
  const started = '/tmp/watcher-started';
  const stop = '/tmp/watcher-stop';
  const asked = '/tmp/watcher-asked';
  const running = host.exec(['perl', '-e', program, started, stop, asked, ...routing]);
  await host.exec(['sh', '-c', 'until [ -e "$1" ]; do sleep 0.01; done', 'sh', started], { timeoutMs: 10_000 });
  return {
    async readAgain() {
      await writeFile(join(host.root, asked), '');
      await host.exec(['sh', '-c', 'while [ -e "$1" ]; do sleep 0.01; done', 'sh', asked], { timeoutMs: 20_000 });
    },
    async stop() {
      await writeFile(join(host.root, stop), '');
      const { stdout, stderr } = await running;
      for (const file of [started, stop]) await rm(join(host.root, file));
      const lines = stdout.trim().split('\n');
      const of = (word: string) => lines.filter((l) => l.startsWith(`${word} `)).map((l) => l.slice(word.length + 1));
      if (lines.length < 2 + routing.length) throw new Error(`the watcher failed: ${stdout}${stderr}`);
      const files = routing.map((path): [string, string[]] => [path, of(path)]);
      return { reads: Number(of('reads')[0]), services: of('services'), routing: Object.fromEntries(files) };
    },
  };
}

/** How a watcher names a whole file. */
export function wholeOf(text: string): string {
  const bytes = Buffer.from(text);
  return `${bytes.length}/${bytes.reduce((sum, byte) => sum + byte, 0)}`;
}
