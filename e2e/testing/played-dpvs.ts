/**
 * DPVS for a test host: a process with that name, its ipvsadm and dpip, its interface in the kernel. The table is the one
 * that the played keepalived writes, the addresses are lines `ADDRESS/LENGTH DEVICE` of /run/played/dpdk.
 * /run/played/dpvs.ills of `dumb` makes it refuse to answer.
 */
import { played, tablePath } from './lb-daemons.ts';

const alive = String.raw`#!/usr/bin/perl
use strict;
sub slurp { open(my $in, '<', $_[0]) or return ''; local $/; my $text = <$in>; return $text // '' }
my $pid = slurp('${played}/dpvs.pid');
chomp $pid;
# one that is dead, and nobody has waited for, is there too
my ($state) = slurp("/proc/$pid/stat") =~ /\(dpvs\) (\S)/;
if (!$pid || !$state || $state eq 'Z') { print STDERR "[sockopt_msg_send] socket msg connection error: Connection refused\nCan't initialize ipvs: failed\n"; exit 2 }
if (slurp('${played}/dpvs.ills') =~ /dumb/) { print STDERR "no memory\n"; exit 1 }
`;

const ipvsadm = String.raw`${alive}
exit 99 if "@ARGV" ne '-Ln';
sub people { my ($a, $port) = split /:/, $_[0]; return join('.', map { hex } $a =~ /../g) . ':' . hex $port }
for (split /\n/, slurp('${tablePath}')) {
  s/^([TU][CD]P  )([0-9A-F]+:[0-9A-F]+) (.*?) FFFFFFFF$/$1 . people($2) . " $3 conn_timeout 300"/e;
  s/^  -> ([0-9A-F]+:[0-9A-F]+) .* (\d+) +0 +0$/sprintf('  -> %-28s FullNat %-6d 0          0         ', people($1), $2)/e;
  print "$_\n";
}
print "MATCH tcp,from=10.0.0.0-10.0.0.255:0-0,oif=dpdk1 rr\n  -> 1.2.3.4:0                    SNAT    1      0          0         \n";
`;

const dpip = String.raw`${alive}
my $file = '${played}/dpdk';
my @lines = split /\n/, slurp($file);
my ($of, $what, $address, undef, $device) = @ARGV;
if ("$of $what" eq 'addr show') { print map { my ($a, $d) = split / /; "inet $a scope global $d \n    valid_lft forever preferred_lft forever\n" } @lines; exit 0 }
my $there = grep { $_ eq "$address $device" } @lines;
if ($what eq 'add') { if ($there) { print STDERR "dpip: already exist\n"; exit 1 } push @lines, "$address $device" }
elsif ($what eq 'del') { if (!$there) { print STDERR "dpip: not exist\n"; exit 1 } @lines = grep { $_ ne "$address $device" } @lines }
else { exit 99 }
open(my $out, '>', "$file.new"); print $out "$_\n" for @lines; close $out; rename "$file.new", $file;
`;

/** By the path on the host. */
export const dpvsFiles: Readonly<Record<string, string>> = {
  '/usr/local/sbin/ipvsadm': ipvsadm,
  '/usr/local/sbin/dpip': dpip,
};

/** Starts it; it knows no address yet. Its interface is there for as long as it lives. */
export const startDpvs = String.raw`
cp "$(readlink -f "$(command -v sleep)")" /usr/local/sbin/dpvs
setsid /usr/local/sbin/dpvs 100000 </dev/null >/dev/null 2>&1 &
echo $! >${played}/dpvs.pid
: >${played}/dpvs.ills
printf '10.0.0.1/24 dpdk1\n' >${played}/dpdk
ip link del dpdk1.kni 2>/dev/null
ip link add dpdk1.kni type veth peer name kniwire
ip link set kniwire up
ip link set dpdk1.kni up
ip addr add 10.0.9.1/24 dev dpdk1.kni
`;
