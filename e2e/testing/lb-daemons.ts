/**
 * Programs that stand for an LB's daemons and tools on a test host, for what the agent does with them: keepalived 2.2
 * over a kernel with IPVS, FRR with its reload by difference, modprobe. `ip` and most sysctls are real.
 * All state of them is in files below /run/played, and so is what they are told to do wrong.
 */

/** Where the programs keep and are told everything. */
export const played = '/run/played';

/** In the place of /proc/net/ip_vs. */
export const tablePath = `${played}/ip_vs`;

/**
 * keepalived: a parent with that name and its checker, which empties the table and ends some time after a parent that
 * is killed; until then another one does not start. Reads the live path as the real one does, names the
 * checker before it touches the table, and runs quorum_up and quorum_down where a service becomes served or not.
 * Lines `WHAT LOADS [VIP]` of /run/played/keepalived.ills say what goes wrong once that is loaded ("*": whatever is):
 * `dies`, `hangs`, `misses VIP`, `unhealthy VIP`.
 */
const keepalived = String.raw`#!/usr/bin/perl
use strict; use POSIX ();
my $play = '/run/played';
my ($conf, $pidfile, $checker_pidfile) = ('/etc/keepalived/keepalived.conf', '/run/keepalived.pid', '/run/checkers.pid');
my $run_as = "$0 @ARGV";
while (@ARGV) {
  my $option = shift @ARGV;
  if ($option eq '-v') { print STDERR slurp("$play/version") || "Keepalived v2.2.7 (01/16,2022)\n"; exit 0 }
  if ($option eq '-t') { exit 0 }
  if ($option eq '-f') { $conf = shift @ARGV }
}

sub slurp { open(my $in, '<', $_[0]) or return ''; local $/; my $text = <$in>; return $text // '' }
sub name { open(my $out, '>', '/proc/self/comm') or return; print $out $_[0] }
sub told { open(my $out, '>>', "$play/keepalived.log") or return; print $out "@_\n" }
sub hex_of { return sprintf('%02X%02X%02X%02X', split /\./, $_[0]) }

sub read_conf {
  my ($pattern, $lines) = @_;
  for my $file (glob $pattern) {
    open(my $in, '<', $file) or next;
    my $before = POSIX::getcwd();
    chdir($1) if $file =~ m{^(.*)/[^/]*$};
    while (my $line = <$in>) {
      if ($line =~ /^\s*include\s+(\S+)/) { read_conf($1, $lines) } else { push @$lines, $line }
    }
    close $in;
    chdir($before);
  }
}

sub load_conf {
  chdir '/';
  read_conf($conf, \my @lines);
  my (%services, %groups, $group, $service, $server);
  my $name = 'keepalived';
  for (@lines) {
    if (/^\s*checker_process_name (\S+)/) { $name = $1 }
    elsif (/^virtual_server_group (\S+)/) { $group = $1 }
    elsif ($group && /^\s+([\d.]+) (\d+)/) { $groups{$group} = [$1, $2]; $group = '' }
    elsif (/^virtual_server group (\S+)/) { $service = { at => $groups{$1}, servers => [] } }
    elsif (/^virtual_server ([\d.]+) (\d+)/) { $service = { at => [$1, $2], servers => [] } }
    elsif (/^\s+protocol (\S+)/) {
      $services{sprintf('%s  %s:%04X', $1, hex_of($service->{at}[0]), $service->{at}[1])} = $service;
    }
    elsif (/^\s+(quorum_up|quorum_down) "(.*)"/) { $service->{$1} = $2 }
    elsif (/^\s+real_server ([\d.]+) (\d+)/) { push @{$service->{servers}}, $server = [hex_of($1), $2, 1] }
    elsif (/^\s+weight (\d+)/) { $server->[2] = $1 }
  }
  my $loads = $name =~ /^weir-(.*)/ ? $1 : 'none';
  my %ills;
  for (split /\n/, slurp("$play/keepalived.ills")) {
    my ($what, $of, $vip) = split / /;
    $ills{$what}{$vip // 'all'} = 1 if $of eq '*' || $of eq $loads;
  }
  for (keys %services) {
    my $vip = $services{$_}{at}[0];
    delete $services{$_} if $ills{misses}{$vip};
    $services{$_}{servers} = [] if $services{$_} && $ills{unhealthy}{$vip};
  }
  return { name => $name, services => \%services, ills => \%ills };
}

my $loaded = { services => {} };
sub write_table {
  open(my $out, '>', "$play/ip_vs.new");
  print $out "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n";
  print $out "  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n";
  for my $at (sort keys %{$loaded->{services}}) {
    print $out "$at wrr persistent 50 FFFFFFFF\n";
    printf $out "  -> %s:%04X      Masq    %-6d 0          0\n", @$_ for @{$loaded->{services}{$at}{servers}};
  }
  close $out;
  rename "$play/ip_vs.new", "$play/ip_vs";
}
sub script { $ENV{WEIR_IPVS} = "$play/ip_vs"; system(split / /, $_[0]) if $_[0] }
sub take {
  my $next = shift;
  my $was = $loaded->{services};
  $loaded = $next;
  write_table();
  # and the table is there before the VIPs are
  select undef, undef, undef, 0.2;
  for my $at (sort keys %$was) {
    my $now = $next->{services}{$at};
    script($was->{$at}{quorum_down}) if @{$was->{$at}{servers}} && !($now && @{$now->{servers}});
  }
  for my $at (sort keys %{$next->{services}}) {
    my $now = $next->{services}{$at};
    script($now->{quorum_up}) if @{$now->{servers}} && !($was->{$at} && @{$was->{$at}{servers}});
  }
}

my $parent;
sub load {
  my $next = load_conf();
  return if $next->{ills}{hangs};
  kill 'KILL', $parent, $$ if $next->{ills}{dies};
  name($next->{name});
  # the name is there before the table is
  select undef, undef, undef, 0.2;
  take($next);
  told("loaded $next->{name}");
}

sub checker {
  my $alive = shift;
  my ($again, $end) = (1, 0);
  $SIG{HUP} = sub { $again = 1 };
  $SIG{TERM} = sub { $end = 1 };
  until ($end) {
    if ($again) { $again = 0; load(); next }
    my $bits = ''; vec($bits, fileno $alive, 1) = 1;
    # only a parent that is gone closes its end
    next if select($bits, undef, undef, 1) <= 0;
    select undef, undef, undef, 0.3;
    $loaded = { services => {} };
    write_table();
    POSIX::_exit(0);
  }
  take({ services => {} });
  POSIX::_exit(0);
}

for my $running (map { slurp($_) } $pidfile, $checker_pidfile) {
  chomp $running;
  if ($running && slurp("/proc/$running/comm") =~ /^(keepalived|weir-)/) { told('daemon is already running'); exit 0 }
}
pipe(my $ready, my $tell) or die;
if (fork) { close $tell; sysread $ready, my $byte, 1; exit 0 }
POSIX::setsid();
name('keepalived');
$parent = $$;
close $ready;
open(STDIN, '<', '/dev/null'); open(STDOUT, '>', '/dev/null'); open(STDERR, '>', '/dev/null');
my ($again, $end) = (0, 0);
$SIG{HUP} = sub { $again = 1 };
$SIG{TERM} = sub { $end = 1 };
pipe(my $alive, my $living) or die;
my $checker = fork;
if (!$checker) { close $living; close $tell; checker($alive) }
close $alive;
sub put { open(my $out, '>', $_[0]); print $out "$_[1]\n" }
put($pidfile, $$);
put($checker_pidfile, $checker);
told("started $run_as");
syswrite $tell, 'x';
close $tell;
until ($end) {
  select undef, undef, undef, 1 if !$again;
  if ($again) { $again = 0; told('HUP'); kill 'HUP', $checker }
  $end = 1 if waitpid($checker, POSIX::WNOHANG()) > 0;
}
kill 'TERM', $checker;
waitpid $checker, 0;
told('ended');
unlink $pidfile, $checker_pidfile;
`;

/** As Debian's: starts with what /etc/default/keepalived says, and stops by the pid file. */
const keepalivedInit = String.raw`#!/bin/sh
pid=
[ ! -r /run/keepalived.pid ] || read -r pid </run/keepalived.pid
case $1 in
  start) exec /usr/local/sbin/keepalived ;;
  stop)
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || exit 0
    while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
    ;;
esac
`;

/**
 * FRR, with bfdd where there is a file /run/played/bfdd: two full neighbours and one that is not, unless the running configuration holds a text that a line
 * `loses TEXT` of /run/played/frr.ills names; and that configuration, or a file that it reads whole, unless a line
 * `fails-whole` of frr.ills is there. Writes down which addresses eth0 has whenever it is asked.
 */
const vtysh = String.raw`#!/bin/sh
play=/run/played
case $* in
  *"show running-config"*) exec cat "$play/frr.running" ;;
  *"show daemons"*)
    bfdd=
    [ ! -e "$play/bfdd" ] || bfdd=" bfdd"
    echo " zebra ospfd watchfrr staticd$bfdd"
    exit
    ;;
  *"show ip ospf neighbor"*) ;;
  "-f "*)
    grep -q "^fails-whole" "$play/frr.ills" && { echo "line 4: % Unknown command"; exit 1; }
    cp "$2" "$play/frr.running"
    echo whole >>"$play/frr.log"
    exit
    ;;
  *) exit 0 ;;
esac
ip -o -4 addr show dev eth0 | awk '{ printf "%s ", $4 } END { print "" }' >>"$play/asked.log"
full=2
while read -r what text; do
  if [ "$what" = loses ] && grep -qF "$text" "$play/frr.running"; then full=1; fi
done <"$play/frr.ills"
echo
echo "Neighbor ID     Pri State           Up Time         Dead Time Address         Interface                        RXmtL RqstL DBsmL"
echo "10.0.0.253        1 Init/DROther    1h02m03s           9.9s 10.0.0.253      eth0:10.0.0.1                        0     0     0"
echo "10.0.0.254        1 Full/DR         1h02m03s           9.9s 10.0.0.254      eth0:10.0.0.1                        0     0     0"
[ "$full" = 1 ] || echo "10.0.0.252        1 Full/Backup     1h02m03s           9.9s 10.0.0.252      eth0:10.0.0.1                        0     0     0"
`;

/**
 * frr-reload.py: makes frr.running what the file says. Lines `fails TEXT`, `hangs TEXT` and `fells TEXT` of frr.ills go
 * by the file; the last one makes keepalived die meanwhile.
 */
const frrReload = String.raw`#!/bin/sh
play=/run/played
for file; do :; done
while read -r what text; do
  grep -qF "$text" "$file" || continue
  case $what in
    fails) echo "vtysh failed to process new configuration: line 4: % Unknown command: $text" >&2; exit 1 ;;
    hangs) echo hung >>"$play/frr.log"; exec sleep 600 ;;
    fells) read -r pid </run/keepalived.pid; kill -9 "$pid"; while [ -e "/proc/$pid" ]; do sleep 0.05; done ;;
  esac
done <"$play/frr.ills"
if cmp -s "$file" "$play/frr.running"; then echo same >>"$play/frr.log"; exit 0; fi
cp "$file" "$play/frr.running"
echo changed >>"$play/frr.log"
`;

/** Quagga's start scripts, which write down how many VIPs are on lo meanwhile. */
const quaggaInit = String.raw`#!/bin/sh
echo "${'$'}{0##*/} $1 with $(ip -o -4 addr show dev lo | grep -c /32) VIPs" >>/run/played/quagga.log
`;

const modprobe = String.raw`#!/bin/sh
echo "$*" >>/run/played/modules
`;

/**
 * Ten times as fast as it was, from the moment on that /run/played/hurry is made: what waits for seconds, or limits
 * something to them, can then be tested.
 */
const date = String.raw`#!/bin/sh
now=$(/bin/date "$@") || exit
read -r from 2>/dev/null </run/played/hurry || from=$now
[ "$*" != +%s ] || now=$((from + (now - from) * 10))
echo "$now"
`;
const timeout = String.raw`#!/bin/sh
seconds=$1
shift
[ ! -e /run/played/hurry ] || seconds=$((seconds / 10))
exec /usr/bin/timeout "$seconds" "$@"
`;

/** By the path on the host. */
export const programFiles: Readonly<Record<string, string>> = {
  '/usr/local/sbin/keepalived': keepalived,
  '/etc/init.d/keepalived': keepalivedInit,
  '/etc/init.d/zebra': quaggaInit,
  '/etc/init.d/ospfd': quaggaInit,
  '/usr/local/sbin/vtysh': vtysh,
  // what is asked to run /usr/lib/frr/frr-reload.py, which is only looked for
  '/usr/local/sbin/python3': frrReload,
  '/usr/local/sbin/modprobe': modprobe,
};

/** Instead of the machine's own, where time is to go faster. */
export const hurriedFiles: Readonly<Record<string, string>> = {
  '/usr/local/sbin/date': date,
  '/usr/local/sbin/timeout': timeout,
};
