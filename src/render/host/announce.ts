/**
 * The announce script: every quorum_up and quorum_down of every port of a VIP calls it. It is
 * level-triggered: it looks at the table of services and makes the VIP's presence match, so that the order of calls,
 * lost calls and repeated calls do not matter. The table is the kernel's and the VIP is on lo, or with dpvs the table is
 * that of DPVS, and the VIP is on both sides of its device: in DPVS, and on the kernel's DEVICE.kni, which OSPF announces.
 * One VIP costs as many processes as a thousand (with dpvs one more for each VIP that comes or goes), so that a start of
 * keepalived with many is settled in one go by the agent. POSIX sh; needs ip, awk, sed, and flock where there is one; with
 * dpvs timeout, grep, dpip and DPVS's own ipvsadm.
 */
import { renderFile } from '../files.ts';
import type { RenderedFile } from '../files.ts';

const script = String.raw`#!/bin/sh
# weir announce: have VIPs announced while their ports are served, by what the table of services says now.
# usage: announce VIP any|all|degrade|none QUORUM
#        announce -      such lines on standard input, for many VIPs in one go
#   QUORUM  weight that a port's WSs must have together to count as served
# /etc/weir/drain, while it exists, keeps every VIP off.
# /etc/weir/announce.conf names the data plane, and with dpvs its device: "dpvs dpdk1". Without it: the kernel's, and lo.
# Paths may be set for tests: WEIR_ETC, WEIR_RUN, WEIR_IPVS, WEIR_PROC.
set -u
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
etc=${'$'}{WEIR_ETC:-/etc/weir}
run=${'$'}{WEIR_RUN:-/var/run/weir}
table=${'$'}{WEIR_IPVS:-/proc/net/ip_vs}
proc=${'$'}{WEIR_PROC:-/proc}
high=weir-high
newline="
"

case $# in
  1) [ "$1" = - ] ;;
  3) ;;
  *) false ;;
esac || { echo "usage: announce VIP any|all|degrade|none QUORUM, or announce -" >&2; exit 2; }

say() { printf "announce: %s\n" "$*" >&2; }

mkdir -p "$run" || exit 1
exec 9>"$run/announce.lock" || exit 1
if command -v flock >/dev/null 2>&1; then flock 9 || exit 1; fi

# where VIPs are announced from
plane=ipvs device= home=lo
if [ -e "$etc/announce.conf" ]; then
  { read -r plane device _ <"$etc/announce.conf"; } 2>/dev/null
  case $plane-$device in
    dpvs-?*) home=$device.kni ;;
    ipvs-*|fullnat-*) device= ;;
    *) say "$etc/announce.conf names no data plane that is known, or no device of dpvs; nothing was changed"; exit 1 ;;
  esac
fi

dpvs_runs() {
  for file in "$proc"/[0-9]*/stat; do
    { read -r line <"$file"; } 2>/dev/null || continue
    case $line in *" (dpvs) "[!ZX]*) return 0 ;; esac
  done
  return 1
}

rc=0
off=0
[ ! -e "$etc/drain" ] || off=1

# DPVS may not answer: then it is not known what is served, and nothing changes. Where it does not run at all, nothing is
# served, and the kernel must not draw traffic.
seen= sides= reached=1
if [ -n "$device" ]; then
  [ "$off" = 1 ] || seen=$(timeout 10 ipvsadm -Ln 2>&1) || {
    code=$?
    seen=${'$'}{seen##*"$newline"}
    if [ "$code" = 124 ]; then say "ipvsadm did not answer within 10 s; nothing was changed"; exit 1; fi
    if dpvs_runs; then say "ipvsadm: ${'$'}{seen:-code $code}; nothing was changed"; exit 1; fi
    say "DPVS does not run (ipvsadm: ${'$'}{seen:-code $code}): its VIPs are taken off the kernel"
    rc=1 off=1 seen=
  }
  # once it is dead, there is nothing to ask
  if [ "$rc" = 1 ]; then reached=0
  elif ! sides=$(timeout 10 dpip addr show 2>&1); then
    say "dpip: ${'$'}{sides##*"$newline"}; VIPs are only withdrawn"
    rc=1 reached=0 sides=
  fi
fi

# What is wanted, then what is there. Ports are those of the VIP in the table, and what the caller thinks its ports are
# is not asked: when a port goes, the call for it comes from a configuration that still had it.
changes=$({
  if [ $# = 3 ]; then printf "%s %s %s\n" "$1" "$2" "$3"; else cat; fi
  echo "@ kernel"
  ip -o addr show 2>/dev/null
  printf "@ dpdk\n%s\n@ table\n%s\n" "$sides" "$seen"
} | awk -v table="$table" -v off="$off" -v high="$high" -v home="$home" -v device="$device" -v reached="$reached" '
  function hex(address, part) {
    if (address !~ /^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$/) return ""
    split(address, part, ".")
    return sprintf("%02X%02X%02X%02X", part[1], part[2], part[3], part[4])
  }
  function close_service() { if (vip != "") { ports[vip]++; if (weight >= quorum[vip]) served[vip]++ } vip = ""; weight = 0 }
  # addresses are hexadecimal in the kernel, and as people write them in DPVS
  function row(line, f, fields, end, at) {
    fields = split(line, f, " ")
    if (f[1] == "->") { if (vip != "" && fields >= 4) weight += f[4]; return }
    close_service()
    if (f[1] != "TCP" && f[1] != "UDP" && f[1] != "SCTP") return
    split(f[2], end, ":")
    at = end[1] ~ /\./ ? hex(end[1]) : toupper(end[1])
    if (at in name) vip = at
  }
  $1 == "@" { part = $2; next }
  part == "" {
    if (NF == 0) next
    at = hex($1)
    if (at == "") { print "bad announce: not an IPv4 address: " $1; next }
    if ($2 != "any" && $2 != "all" && $2 != "degrade" && $2 != "none") { print "bad announce: unknown policy " $2; next }
    if (!(at in name)) order[++count] = at
    name[at] = $1; policy[at] = $2; quorum[at] = $3
    next
  }
  part == "kernel" {
    sub(/@.*/, "", $2)
    if ($2 != "lo" && $2 != high && $2 !~ /\.kni$/) next
    there[$2, $4] = 1
    if (!($2 in listed)) { listed[$2] = 1; places[++placed] = $2 }
    next
  }
  part == "dpdk" {
    if ($3 != "scope") next
    inside[$5, $2] = 1
    if (!($5 in ported)) { ported[$5] = 1; dpdk[++dpdks] = $5 }
    next
  }
  part == "table" { row($0) }
  END {
    while (!off && device == "" && (getline line <table) > 0) row(line)
    close_service()
    for (i = 1; i <= count; i++) {
      at = order[i]
      want = "none"
      if (!off && served[at] > 0) {
        if (policy[at] == "any" || policy[at] != "none" && served[at] >= ports[at]) want = home
        else if (policy[at] == "degrade") want = high
      }
      if (want != "none" && !reached) continue
      address = name[at] "/32"
      made = "add"
      if (want == high) degraded = 1
      if (want != "none" && device != "" && !((device, address) in inside)) { print "into " address " " device; made = "then"; calls++ }
      if (want != "none" && !((want, address) in there)) print made " addr add " address " dev " want
      gone = want == "none" ? "off" : "del"
      for (d = 1; d <= placed; d++) {
        if (places[d] != want && ((places[d], address) in there)) print gone " addr del " address " dev " places[d]
      }
      for (d = 1; d <= dpdks; d++) {
        if ((want == "none" || dpdk[d] != device) && ((dpdk[d], address) in inside)) { print "out-" gone " " address " " dpdk[d]; calls++ }
      }
    }
    if (degraded) print "need high"
    if (calls) print "limit " int(30 + calls / 20)
  }') || exit 1
[ -n "$changes" ] || exit $rc
changes=$newline$changes$newline

case $changes in *"${'$'}{newline}bad "*) printf "%s" "$changes" | sed -n "s/^bad //p" >&2; rc=2 ;; esac

lines() { printf "%s" "$changes" | sed -n "s/^$1 //p"; }
do_all() { lines "$1" | ip -force -batch -; }
# dpip takes one address a call. Says which it could, with blanks around, so that no other one looks the same. All of them
# have 30 s, and 50 ms each
in_dpdk() {
  limit=${'$'}{changes##*"${'$'}{newline}limit "}
  lines "$1" | timeout "${'$'}{limit%%"$newline"*}" sh -c "while read -r a d; do dpip addr $2 \"\$a\" dev \"\$d\" >&2 && echo \" \$a \" || echo failed; done"
}

# Added before it is removed elsewhere: a VIP is never away in between. DPVS has it before the kernel announces it.
case $changes in *"${'$'}{newline}need high"*)
  words=$(ip -o link show dev "$high" 2>/dev/null)
  case $words in
    *[,\<]UP[,\>]*) ;;
    *)
      # one that a call which was killed left, it is not up
      { [ -n "$words" ] || ip link add "$high" type dummy; } && ip link set "$high" up || rc=1 ;;
  esac ;;
esac
made=
case $changes in *"${'$'}{newline}into "*)
  made=$(in_dpdk into add) || rc=1
  case $made in *failed*) rc=1 ;; esac ;;
esac
case $changes in *"${'$'}{newline}add "*) do_all add || rc=1 ;; esac
case $made in *" "*) lines "then" | grep -F "$made" | ip -force -batch - || rc=1 ;; esac
case $changes in *"${'$'}{newline}del "*) [ "$rc" = 1 ] || do_all del || rc=1 ;; esac
case $changes in *"${'$'}{newline}out-del "*) [ "$rc" = 1 ] || in_dpdk out-del del >/dev/null ;; esac
# Withdrawn: routes lead elsewhere before DPVS refuses packets to it.
case $changes in *"${'$'}{newline}off "*) do_all off || { rc=1; changes=; } ;; esac
case $changes in *"${'$'}{newline}out-off "*)
  case $(in_dpdk out-off del) in *failed*) rc=1 ;; esac ;;
esac
exit $rc
`;

/** Part of every release; installed as /etc/weir/bin/NAME, so that a running daemon never runs another's. */
export const announceFile: RenderedFile = renderFile({ path: 'host/announce', mode: '0755' }, () => script);

export const announceHelper = {
  name: `announce-${announceFile.sha256.slice(0, 12)}`,
  file: announceFile,
} as const;
