/**
 * The announce script: every quorum_up and quorum_down of every port of a VIP calls it. It is
 * level-triggered: it looks at the kernel's IPVS table and makes the VIP's presence on lo match,
 * so that the order of calls, lost calls and repeated calls do not matter.
 * POSIX sh; needs ip, awk, and flock where there is one.
 */
import { renderFile } from '../files.ts';
import type { RenderedFile } from '../files.ts';

const script = String.raw`#!/bin/sh
# weir announce: put a VIP on lo while its ports are served, by what the IPVS table says now.
# usage: announce VIP any|all|degrade QUORUM
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

[ $# -eq 3 ] || { echo "usage: announce VIP any|all|degrade QUORUM" >&2; exit 2; }
vip=$1 policy=$2 quorum=$3

mkdir -p "$run" || exit 1
exec 9>"$run/announce.lock" || exit 1
if command -v flock >/dev/null 2>&1; then flock 9 || exit 1; fi

oldifs=$IFS; IFS=.
# shellcheck disable=SC2086
set -- $vip
IFS=$oldifs
hex=$(printf '%02X%02X%02X%02X' "$1" "$2" "$3" "$4") || exit 2

# Ports of the VIP in the table, and those of them whose WSs weigh at least QUORUM together. What the caller thinks
# its ports are is not asked: when a port goes, the call for it comes from a configuration that still had it.
served=0 ports=0
if [ -r "$table" ]; then
  counts=$(awk -v vip="$hex" -v quorum="$quorum" '
    function close_service() { if (mine) { ports++; if (weight >= quorum) served++ } mine = 0; weight = 0 }
    $1 == "TCP" || $1 == "UDP" || $1 == "SCTP" { close_service(); split($2, at, ":"); mine = (toupper(at[1]) == vip); next }
    $1 == "FWM" { close_service(); next }
    $1 == "->" && mine { weight += $4 }
    END { close_service(); print served + 0, ports + 0 }' "$table") || exit 1
  served=${'$'}{counts%% *} ports=${'$'}{counts##* }
fi

want=none
if [ ! -e "$etc/drain" ] && [ "$served" -gt 0 ]; then
  case $policy in
    any) want=lo ;;
    all) [ "$served" -ge "$ports" ] && want=lo ;;
    degrade) if [ "$served" -ge "$ports" ]; then want=lo; else want=$high; fi ;;
    *) echo "announce: unknown policy $policy" >&2; exit 2 ;;
  esac
fi

on() { ip -o addr show dev "$1" 2>/dev/null | awk -v a="$vip/32" '$4 == a { found = 1 } END { exit !found }'; }

# Added before it is removed elsewhere: the VIP is never away in between.
rc=0
if [ "$want" = "$high" ] && ! ip link show dev "$high" >/dev/null 2>&1; then
  ip link add "$high" type dummy && ip link set "$high" up || rc=1
fi
if [ "$want" != none ] && ! on "$want"; then
  ip addr add "$vip/32" dev "$want" || rc=1
fi
if [ $rc -eq 0 ]; then
  for dev in lo "$high"; do
    [ "$dev" = "$want" ] && continue
    if on "$dev"; then ip addr del "$vip/32" dev "$dev" || rc=1; fi
  done
fi
exit $rc
`;

/** Part of every release; installed as /etc/weir/bin/NAME, so that a running daemon never runs another's. */
export const announceFile: RenderedFile = renderFile({ path: 'host/announce', mode: '0755' }, () => script);

export const announceHelper = {
  name: `announce-${announceFile.sha256.slice(0, 12)}`,
  file: announceFile,
} as const;
