/**
 * iptables, iptables-save, iptables-restore and their legacy twins for a test host, whose own kernel may lack what the rules
 * need. Rules are lines `TABLE WORDS`, of the legacy ones in a file of their own. A restore changes all or nothing. A rule
 * with a word of /run/played/iptables.ills is refused.
 */
import { played } from './lb-daemons.ts';

const program = String.raw`#!/usr/bin/perl
use strict;
my ($program) = $0 =~ m{([^/]+)$};
my $file = '${played}/chains' . ($program =~ /legacy/ ? '.legacy' : '');
sub slurp { open(my $in, '<', $_[0]) or return (); chomp(my @lines = <$in>); return @lines }
my @rules = slurp($file);
my @refused = slurp('${played}/iptables.ills');
sub keep { open(my $out, '>', "$file.new"); print $out "$_\n" for @rules; close $out; rename "$file.new", $file }

my $table = 'filter';
sub has { my $chain = shift; return $chain !~ /^WEIR/ || grep { $_ eq "$table :$chain" } @rules }
# one command; answers whether it could be done
sub apply {
  my ($what, $chain, @words) = @_;
  return 0 if !has($chain);
  my ($target) = (join ' ', @words) =~ /-j (WEIR\S*)$/;
  return 0 if $target && $what ne '-D' && !has($target);
  if ($what eq '-I') { shift @words }
  my $rule = join ' ', $table, '-A', $chain, @words;
  my ($at) = grep { $rules[$_] eq $rule } 0 .. $#rules;
  if ($what eq '-A') { push @rules, $rule }
  elsif ($what eq '-I') { unshift @rules, $rule }
  elsif ($what eq '-D') { return 0 if !defined $at; splice @rules, $at, 1 }
  elsif ($what eq '-F') { @rules = grep { index($_, "$table -A $chain ") != 0 } @rules }
  elsif ($what eq '-X') {
    return 0 if grep { / -j \Q$chain\E$/ && /^$table / || index($_, "$table -A $chain ") == 0 } @rules;
    @rules = grep { $_ ne "$table :$chain" } @rules;
  }
  else { return 0 }
  return 1;
}

if ($program =~ /save/) {
  for my $each (qw(mangle raw filter nat)) {
    my @mine = map { /^$each (.*)/ ? $1 : () } @rules or next;
    print "*$each\n";
    print "$_ - [0:0]\n" for grep { /^:/ } @mine;
    print "$_\n" for grep { /^-A/ } @mine;
    print "COMMIT\n";
  }
} elsif ($program =~ /restore/) {
  die "without --noflush everything of others would go\n" if !grep { $_ eq '--noflush' } @ARGV;
  while (<STDIN>) {
    chomp;
    my $line = $_;
    my $bad = grep { index($line, $_) >= 0 } @refused;
    if (/^\*(\S+)/) { $table = $1 }
    elsif (/^:(\S+)/) {
      my $chain = $1;
      @rules = grep { index($_, "$table -A $chain ") != 0 && $_ ne "$table :$chain" } @rules;
      push @rules, "$table :$chain";
    }
    elsif (/^-/) { $bad ||= !apply(split / /) }
    if ($bad) { print STDERR "$program: line $. failed\n"; exit 1 }
  }
  keep();
} else {
  while (@ARGV && $ARGV[0] =~ /^-[wt]$/) { my $option = shift @ARGV; my $value = shift @ARGV; $table = $value if $option eq '-t' }
  if (!apply(@ARGV)) { print STDERR "$program: No chain/target/match by that name.\n"; exit 1 }
  keep();
}
`;

/** By the path on the host. */
export const iptablesFiles: Readonly<Record<string, string>> = Object.fromEntries(
  ['iptables', 'iptables-legacy'].flatMap((name) =>
    ['', '-save', '-restore'].map((part) => [`/usr/local/sbin/${name}${part}`, program]),
  ),
);
