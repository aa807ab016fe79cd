/**
 * The one constant command by which an LB is asked what it is: which keepalived, DPVS, IPVS, routing daemons, interfaces
 * and tools it has, and whether another machine answers for its LIPs. It writes nothing, signals nothing and loads no
 * kernel module; what leaves the machine is ARP requests for LIPs that are not on it.
 * POSIX sh (dash, bash 4.1, busybox ash), no systemd; needs coreutils 8.4 or busybox, awk, grep. Every program that is
 * not of these is ended after 5 s.
 *
 * On its standard input `weir 1 probe`, then lines `module NAME`, `interface NAME`, `lip ADDRESS INTERFACE`, then `end`.
 * It answers sections: a line `@@weir NAME [ARGUMENT]`, then the section's lines; `@@weir end` is the last.
 *
 * ipvsadm is read, not run: mainline's loads ip_vs whatever it is asked for. Nor is `dpvs -v` run: a DPVS without
 * that option would start.
 */

const script = String.raw`
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
LC_ALL=C
export PATH LC_ALL
unset GREP_OPTIONS CDPATH
etc=/etc/weir
newline="
"

say() { printf "%s\n" "$*"; }
section() { say "@@weir $*"; }
# by KILL, which takes no time; "timeout" has no -k in coreutils 8.4
limited() { if command -v timeout >/dev/null 2>&1; then timeout -s KILL "$@"; else shift; "$@"; fi; }
first_line() { line=; [ ! -r "$1" ] || IFS= read -r line <"$1" 2>/dev/null || :; }
# both outputs of a program, and its code
run() { words=$(limited 5 "$@" 2>&1 </dev/null); code=$?; }
find_program() { program=$(command -v "$1" 2>/dev/null) || program=; case $program in /*) ;; *) program= ;; esac; [ -n "$program" ]; }
# whether a program has a word in it; a script may call another program that has
knows() {
  first_line "$1"
  case $line in
    "#!"*) known=unknown ;;
    *) if limited 5 grep -q -e "$2" "$1" 2>/dev/null; then known=yes; else known=no; fi ;;
  esac
}

say
IFS=" " read -r word version action || word=
if [ "$word $version $action" != "weir 1 probe" ]; then section refused; exit 2; fi
modules= interfaces= lips= whole=no
while IFS=" " read -r kind name device; do
  case $name$device in *[!A-Za-z0-9._-]*) section refused; exit 2 ;; esac
  case $kind:$name in
    end:) whole=yes; break ;;
    *:|*:-*|*:.*) section refused; exit 2 ;;
    module:*) modules="$modules $name" ;;
    interface:*) interfaces="$interfaces $name" ;;
    lip:*) case $device in ""|[-.]*) section refused; exit 2 ;; esac; lips="$lips $name=$device" ;;
    *) section refused; exit 2 ;;
  esac
done
if [ $whole = no ]; then section refused; exit 2; fi
cd /

section machine
say "uid $(id -u)"
first_line /proc/sys/kernel/osrelease
kernel=$line
say "kernel $kernel"
distribution=
if [ -r /etc/os-release ]; then
  while IFS= read -r line; do case $line in PRETTY_NAME=*) distribution=${'$'}{line#*=} ;; esac; done </etc/os-release
fi
if [ -z "$distribution" ]; then first_line /etc/redhat-release; distribution=$line; fi
say "distribution $distribution"
if cd -P $etc/active 2>/dev/null; then say "active ${'$'}{PWD##*/}"; cd /; fi

if find_program keepalived; then
  knows "$program" laddr_group_name
  run "$program" -v
  section keepalived "$program"
  say "laddr $known"
  say "code $code"
  say "$words"
fi

# daemons by the name of their process, which is 15 characters at most
section processes
running=$(cat /proc/[0-9]*/stat 2>/dev/null | awk "
  match(\$0, /^[0-9]+ \((keepalived|dpvs|watchfrr|zebra|ospfd|bfdd)\) /) {
    split(substr(\$0, 1, RLENGTH), name, / \(|\) /)
    if (substr(\$0, RLENGTH + 1, 1) != \"Z\") print name[1], name[2]
  }")
dpvs=no
say "$running" | while IFS=" " read -r pid name; do
  [ -z "$pid" ] || say "$name $pid $(readlink "/proc/$pid/exe" 2>/dev/null)"
done
case "$newline$running$newline" in *" dpvs$newline"*) dpvs=yes ;; esac

dpvs_addresses=
if find_program dpip; then
  run "$program" -V
  section dpip "$program"
  say "$words"
  if [ $dpvs = yes ]; then
    run "$program" link show
    section dpvs-links "$code"
    say "$words"
    run "$program" addr show
    section dpvs-addresses "$code"
    say "$words"
    [ $code != 0 ] || dpvs_addresses=$words
  fi
fi

section ipvs
if [ -e /proc/net/ip_vs ]; then say "table yes"; else say "table no"; fi
if [ -e /proc/sys/net/ipv4/vs/fullnat_timestamp_remove_entry ]; then say "fullnat yes"; else say "fullnat no"; fi

# what is built in and has no parameter is in no list but that of iptables
loaded=$(
  cat /proc/modules 2>/dev/null | awk "{ print \$1 }"
  cat /proc/net/ip_tables_matches /proc/net/ip_tables_targets 2>/dev/null | awk "
    { print \"xt_\" \$1 }
    \$1 == \"SNAT\" { print \"xt_nat\" }
    \$1 == \"tcp\" { print \"xt_tcpudp\" }"
)
loaded="$newline$loaded$newline"
# busybox has a modprobe without -n, which might load what it is asked for
modprobe=
if find_program modprobe; then
  run "$program" --version
  case $words in *BusyBox*|"") ;; *) [ $code != 0 ] || modprobe=$program ;; esac
fi
lists=
for file in "/lib/modules/$kernel/modules.dep" "/lib/modules/$kernel/modules.builtin"; do
  [ ! -r "$file" ] || lists="$lists $file"
done
section modules
for name in $modules; do
  state=unknown
  case $loaded in *"$newline$name$newline"*) state=loaded ;; esac
  [ ! -d "/sys/module/$name" ] || state=loaded
  if [ $state = loaded ]; then :
  elif [ -n "$modprobe" ]; then
    run "$modprobe" -n -q "$name"
    case $code in 0) state=available ;; 124|137) ;; *) state=missing ;; esac
  elif [ -n "$lists" ]; then
    if grep -q -e "^$name\.ko" -e "/$name\.ko" $lists; then state=available; else state=missing; fi
  fi
  say "$name $state"
done

# all routing daemons that are installed: FRR's and Quagga's may both be
section daemons
seen=
look_in() {
  cd -P "$1" 2>/dev/null || return 0
  folder=$PWD
  cd /
  case $seen in *":$folder:"*) return 0 ;; esac
  seen="$seen:$folder:"
  for name in zebra ospfd bfdd; do
    [ -f "$folder/$name" ] && [ -x "$folder/$name" ] || continue
    run "$folder/$name" -v
    say "$name $folder/$name ${'$'}{words%%"$newline"*}"
  done
}
for folder in /usr/lib/frr /usr/lib64/frr /usr/libexec/frr /usr/lib/quagga /usr/lib64/quagga; do look_in "$folder"; done
rest=$PATH:
while [ -n "$rest" ]; do
  folder=${'$'}{rest%%:*}
  rest=${'$'}{rest#*:}
  case $folder in /*) look_in "$folder" ;; esac
done

section tools
for name in vtysh frr-reload.py flock ip iptables iptables-restore iptables-legacy-restore ipvsadm ethtool arping modprobe; do
  if find_program "$name"; then
    say "$name $program"
  elif [ "$name" = frr-reload.py ]; then
    for folder in /usr/lib/frr /usr/lib64/frr /usr/libexec/frr; do
      if [ -f "$folder/$name" ]; then say "$name $folder/$name"; break; fi
    done
  fi
done
if find_program iptables; then
  run "$program" -V
  section iptables
  say "${'$'}{words%%"$newline"*}"
fi
if find_program ipvsadm; then
  knows "$program" laddr
  section ipvsadm "$program"
  say "laddr $known"
fi

count() { [ -e "$1" ] || shift; number=$#; }
for name in $interfaces; do
  section interface "$name"
  at=/sys/class/net/$name
  [ -e "$at" ] || continue
  for value in operstate carrier flags speed; do
    line=
    # it cannot be read of an interface that is down
    { IFS= read -r line <"$at/$value"; } 2>/dev/null || :
    say "$value $line"
  done
  count "$at"/queues/rx-*
  say "rx-queues $number"
  count "$at"/queues/tx-*
  say "tx-queues $number"
  if find_program ethtool; then
    for option in -i "" -g -l; do
      run "$program" $option "$name"
      section "ethtool$option" "$name"
      say "$words"
      # a User-Mode Linux guest (seen with 6.1) hangs for good when its uml-vector driver is asked for rings
      case $option$words in "-i"*"driver: uml-vector"*) break ;; esac
    done
  fi
done

section addresses
addresses=
if find_program ip; then
  addresses=$(limited 5 "$program" -o -4 addr show 2>/dev/null </dev/null)
  say "$addresses"
fi

# Duplicate address detection (RFC 5227): an ARP request from 0.0.0.0, which changes nobody's table. Two requests a second
# apart, 64 LIPs at a time, begun within 10 s. Answered by iputils' and busybox's arping with 1, by nobody with 0.
section arp
absent=$(
  {
    say "$addresses"
    say "$dpvs_addresses"
    [ -z "$lips" ] || printf "lip %s\n" $lips
  } | awk "
    \$1 == \"lip\" { split(\$2, lip, \"=\"); if (!(lip[1] in here)) print \$2; next }
    { for (i = 1; i < NF; i++) if (\$i == \"inet\") { split(\$(i + 1), address, \"/\"); here[address[1]] = 1 } }"
)
arping=
kind=none
if find_program arping; then
  arping=$program
  run "$arping" -V
  case $words in
    *iputils*) kind=iputils ;;
    *BusyBox*) kind=busybox ;;
    *) kind=other ;;
  esac
fi
case $kind in
  none|other)
    if find_program busybox; then
      run "$program" arping --help
      case $words in *"Usage: arping"*) arping="$program arping" kind=busybox ;; esac
    fi
    ;;
esac
say "tool $kind"
ask() {
  # $arping is one word or two
  words=$(limited 5 $arping -D -f -c 2 -w 2 -I "$2" "$1" 2>&1 </dev/null)
  code=$?
  mac=
  case $words in *"reply from"*"["*"]"*) mac=${'$'}{words#*"reply from"*"["}; mac=${'$'}{mac%%"]"*} ;; esac
  case $code:$mac in
    0:*) say "free $1" ;;
    1:?*) say "taken $1 $mac" ;;
    124:*|137:*) say "failed $1 arping did not end within 5 s" ;;
    *) say "failed $1 ${'$'}{words%%"$newline"*}" ;;
  esac
}
case $kind in
  iputils|busybox)
    began=$(date +%s)
    asked=0
    for lip in $absent; do
      if [ $((asked % 64)) = 0 ]; then
        wait
        if [ $(($(date +%s) - began)) -ge 10 ]; then break; fi
      fi
      asked=$((asked + 1))
      ask "${'$'}{lip%%=*}" "${'$'}{lip#*=}" &
    done
    wait
    ;;
esac
section end
`;

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** For an LB where ssh logs in as root, or as a user who may not see all and may not send ARP. */
export const probeCommand = `exec sh -c ${quote(script)}`;

/** For an LB where ssh logs in as a user who may run sh through sudo without a password. */
export const probeCommandSudo = `exec sudo -n sh -c ${quote(script)}`;
