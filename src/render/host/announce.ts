/**
 * The announce script: every quorum_up and quorum_down of every port of a VIP calls it. It is
 * level-triggered: it looks at the kernel's IPVS table and makes the VIP's presence on lo match,
 * so that the order of calls, lost calls and repeated calls do not matter.
 * One VIP costs as many processes as a thousand, so that a start of keepalived with many is settled in one go by the
 * agent. POSIX sh; needs ip, awk, sed, and flock where there is one.
 */
import { renderFile } from '../files.ts';
import type { RenderedFile } from '../files.ts';

const script = String.raw`#!/bin/sh
# weir announce: put VIPs on lo while their ports are served, by what the IPVS table says now.
# usage: announce VIP any|all|degrade QUORUM
#        announce -      such lines on standard input, for many VIPs in one go
#   QUORUM  weight that a port's WSs must have together to count as served
# /etc/weir/drain, while it exists, keeps every VIP off.
# Paths may be set for tests: WEIR_ETC, WEIR_RUN, WEIR_IPVS.
set -u
PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
etc=${'$'}{WEIR_ETC:-/etc/weir}
run=${'$'}{WEIR_RUN:-/var/run/weir}
table=${'$'}{WEIR_IPVS:-/proc/net/ip_vs}
high=weir-high

case $# in
  1) [ "$1" = - ] ;;
  3) ;;
  *) false ;;
esac || { echo "usage: announce VIP any|all|degrade QUORUM, or announce -" >&2; exit 2; }

mkdir -p "$run" || exit 1
exec 9>"$run/announce.lock" || exit 1
if command -v flock >/dev/null 2>&1; then flock 9 || exit 1; fi

drained=0
[ ! -e "$etc/drain" ] || drained=1

# What is wanted, then what is there. Ports are those of the VIP in the table, and what the caller thinks its ports are
# is not asked: when a port goes, the call for it comes from a configuration that still had it.
changes=$({
  if [ $# = 3 ]; then printf "%s %s %s\n" "$1" "$2" "$3"; else cat; fi
  echo
  ip -o addr show 2>/dev/null
} | awk -v table="$table" -v drained="$drained" -v high="$high" '
  function hex(address, part) {
    if (address !~ /^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$/) return ""
    split(address, part, ".")
    return sprintf("%02X%02X%02X%02X", part[1], part[2], part[3], part[4])
  }
  function close_service() { if (vip != "") { ports[vip]++; if (weight >= quorum[vip]) served[vip]++ } vip = ""; weight = 0 }
  !asked && NF == 0 { asked = 1; next }
  !asked {
    at = hex($1)
    if (at == "") { print "bad announce: not an IPv4 address: " $1; next }
    if ($2 != "any" && $2 != "all" && $2 != "degrade") { print "bad announce: unknown policy " $2; next }
    if (!(at in name)) order[++count] = at
    name[at] = $1; policy[at] = $2; quorum[at] = $3
    next
  }
  {
    device = $2
    sub(/@.*/, "", device)
    if (device == high) exists = 1
    if (device == "lo" || device == high) there[device, $4] = 1
  }
  END {
    while (!drained && (getline line <table) > 0) {
      fields = split(line, f, " ")
      if (f[1] == "TCP" || f[1] == "UDP" || f[1] == "SCTP") {
        close_service()
        split(f[2], end, ":")
        at = toupper(end[1])
        if (at in name) vip = at
      } else if (f[1] == "FWM") close_service()
      else if (f[1] == "->" && vip != "" && fields >= 4) weight += f[4]
    }
    close_service()
    for (i = 1; i <= count; i++) {
      at = order[i]
      want = "none"
      if (served[at] > 0) {
        if (policy[at] == "any" || served[at] >= ports[at]) want = "lo"
        else if (policy[at] == "degrade") want = high
      }
      address = name[at] "/32"
      if (want == high) degraded = 1
      if (want != "none" && !((want, address) in there)) print "add addr add " address " dev " want
      for (d = 1; d <= 2; d++) {
        device = d == 1 ? "lo" : high
        if (device != want && ((device, address) in there)) print (want == "none" ? "off" : "del") " addr del " address " dev " device
      }
    }
    if (degraded) print "need high"
  }') || exit 1

rc=0
case $changes in *bad\ *) printf "%s\n" "$changes" | sed -n "s/^bad //p" >&2; rc=2 ;; esac

do_all() { printf "%s\n" "$changes" | sed -n "s/^$1 //p" | ip -force -batch -; }

# Added before it is removed elsewhere: a VIP is never away in between.
case $changes in *need\ high*)
  if ! ip link show dev "$high" >/dev/null 2>&1; then
    ip link add "$high" type dummy && ip link set "$high" up || rc=1
  fi ;;
esac
case $changes in *add\ *) do_all add || rc=1 ;; esac
case $changes in *del\ addr*) [ "$rc" = 1 ] || do_all del || rc=1 ;; esac
case $changes in *off\ *) do_all off || rc=1 ;; esac
exit $rc
`;

/** Part of every release; installed as /etc/weir/bin/NAME, so that a running daemon never runs another's. */
export const announceFile: RenderedFile = renderFile({ path: 'host/announce', mode: '0755' }, () => script);

export const announceHelper = {
  name: `announce-${announceFile.sha256.slice(0, 12)}`,
  file: announceFile,
} as const;
