/**
 * The agent: what an LB does by itself, without Weir: activating the published release under a
 * dead-man's timer, undoing, draining, watching keepalived, and restoring host settings at boot.
 * Part of every release; installed as /etc/weir/bin/NAME, with /etc/weir/bin/weir naming the published one's.
 *
 * Whatever is changed is changed while /etc/weir/activating says where to go back to. It goes away when the checks
 * have passed, or when everything is back: so a kill, a lost connection or a reboot at any point ends with one of the two.
 * POSIX sh (dash, bash 4.1, busybox ash); needs coreutils 8.4, awk, sed, flock, ip; iptables and frr-reload.py where
 * the release wants them. Forks are few: a small machine or a busy one takes long for each.
 */
import { liveStub } from '../keepalived/keepalived.ts';
import { renderFile } from '../files.ts';
import type { RenderedFile } from '../files.ts';

const usage = `usage: weir activate [SECONDS]    load what is published; goes back by itself unless its checks pass
       weir undo                  back to what was active before the last activation
       weir drain [REASON]        withdraw all VIPs, until weir undrain
       weir undrain
       weir status                what is published, active and loaded
       weir boot                  for the machine's start, before keepalived: host settings, unfinished activations`;

const script = String.raw`#!/bin/sh
# The agent of Weir on this LB. Weir asks it for activations; it works without Weir too.
set -u
umask 022
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
LC_ALL=C
export PATH LC_ALL
unset GREP_OPTIONS CDPATH
etc=/etc/weir
run=/var/run/weir
self=$etc/bin/weir
table=${'$'}{WEIR_IPVS:-/proc/net/ip_vs}
stub="@STUB@"
stub_path=/etc/keepalived/keepalived.conf
newline="
"
# seconds that reloads may take, beside the time for the checks
grace=60
step=start
began=no
# unless it is known that routing has not been changed yet
routing_touched=yes
previous=none
drop_in=/etc/systemd/system/keepalived.service.d/weir.conf
boot_unit=/etc/systemd/system/weir.service

say() { printf "%s\n" "$*"; }
begin() { step=$1; say "step $1"; }
warn() { say "warn $*"; }
one_line() { printf "%s" "$*" | tr "\n\t" "; " | cut -c1-600; }
there() { [ -e "$1" ] || [ -L "$1" ]; }
nap() { sleep 0.3 2>/dev/null || sleep 1; }
clock() { now=$(date +%s); }
# keeps a command that hangs from hanging an activation
limited() { seconds=$1; shift; timeout "$seconds" "$@"; }

fail() {
  failed=$step failure=$*
  if [ "$began" = yes ]; then
    begin undo
    undo_to "$previous" "$failed: $failure" all
    say "undone $previous"
  fi
  say "fail $failed $failure"
  exit 1
}

# writes a small file in one go
put() { printf "%s\n" "$2" >"$etc/$1.new" && mv -f "$etc/$1.new" "$etc/$1"; }
# makes a link of /etc/weir name something else, in one go
point() { rm -rf "$etc/$1.new"; ln -s "$2" "$etc/$1.new" && mv -T -f "$etc/$1.new" "$etc/$1"; }

# --- releases ---------------------------------------------------------------------------------------------------

# the folder that a link of /etc/weir names; empty where it names none
folder_of() {
  folder=
  [ -L "$etc/$1" ] || return 0
  folder=$(readlink "$etc/$1")
  folder=$etc/$folder
  [ -d "$folder" ] || folder=
}

# fields of a release's manifest
read_manifest() {
  m_release= m_dataplane= m_routing= m_loads= m_helper= m_services=0
  [ -r "$1/manifest.json" ] || return 1
  while IFS="\"" read -r _ m_key m_bare m_value _; do
    case $m_key in
      services) m_services=${'$'}{m_bare#: }; m_services=${'$'}{m_services%,} ;;
      release) m_release=$m_value ;;
      dataplane) m_dataplane=$m_value ;;
      routing) m_routing=$m_value ;;
      loads) m_loads=$m_value ;;
      helper) m_helper=$m_value ;;
      files) break ;;
    esac
  done <"$1/manifest.json"
  [ -n "$m_release" ]
}

# names what of a release is not as its manifest says
verify() {
  cd "$1" || return 1
  bad=$(awk -F"\"" "\$2 == \"path\" { print \$8 \"  \" \$4 }" manifest.json | sha256sum -c 2>/dev/null | grep -v ": OK\$" | head -n 5)
  cd /
  [ -z "$bad" ]
}

# live routing files of a routing suite
routing_files() {
  case $1 in
    frr) routing_live=/etc/frr/frr.conf ;;
    *) routing_live="/usr/local/etc/zebra.conf /usr/local/etc/ospfd.conf" ;;
  esac
}

# lines "VIP POLICY QUORUM" of a release, as its quorum_up has them
vips_of() {
  [ -d "$1/keepalived/vips" ] || return 0
  set -- "$1/keepalived/vips/"*.conf
  [ -e "$1" ] || return 0
  awk "\$1 == \"quorum_up\" { line = \$3 \" \" \$4 \" \" \$5; gsub(/\"/, \"\", line); if (!(line in seen)) { seen[line] = 1; print line } }" "$@"
}

# addresses of every VIP that any release on this machine has
all_vips() { ls "$etc/releases/"*/keepalived/vips 2>/dev/null | sed -n "s/\.conf\$//p"; }

# --- keepalived -------------------------------------------------------------------------------------------------

# pid, comm, state, ppid and ticks of a process
read_stat() {
  { read -r stat_line <"$1"; } 2>/dev/null || return 1
  pid=${'$'}{stat_line%% *}
  comm=${'$'}{stat_line#*\(}
  comm=${'$'}{comm%\)*}
  set -- ${'$'}{stat_line##*\) }
  state=$1 ppid=$2
  shift 9
  ticks=${'$'}{11}
}
is_keepalived() { read_stat "/proc/$1/stat" && [ "$comm" = keepalived ] && [ "$state" != Z ] && [ "$state" != X ]; }

# the parent of keepalived's processes, or none
find_keepalived() {
  keepalived=none keepalived_ticks=
  for file in /run/keepalived.pid /var/run/keepalived.pid /run/keepalived/keepalived.pid; do
    candidate=
    { read -r candidate <"$file"; } 2>/dev/null
    case $candidate in ""|*[!0-9]*) continue ;; esac
    if is_keepalived "$candidate"; then keepalived=$candidate keepalived_ticks=$ticks; return 0; fi
  done
  for file in /proc/[0-9]*/stat; do
    candidate=${'$'}{file#/proc/}
    candidate=${'$'}{candidate%/stat}
    is_keepalived "$candidate" || continue
    candidate_ticks=$ticks
    if is_keepalived "$ppid"; then continue; fi
    keepalived=$candidate keepalived_ticks=$candidate_ticks
    return 0
  done
  return 1
}

# What keepalived has loaded: keepalived 2.2 names its checker process by it at every load; else what was written at the
# last activation, if it is still the same process. "none" where it is not known to be a release's.
find_loaded() {
  loaded=none
  [ "$keepalived" != none ] || return 0
  for file in /proc/[0-9]*/stat; do
    read_stat "$file" || continue
    if [ "$ppid" != "$keepalived" ] || [ "$state" = Z ]; then continue; fi
    case $comm in weir-*) loaded=${'$'}{comm#weir-}; return 0 ;; esac
  done
  if [ -r "$etc/loaded" ]; then
    read -r was_loads was_pid was_ticks was_how <"$etc/loaded" || return 0
    if [ "$was_pid $was_ticks" = "$keepalived $keepalived_ticks" ] && [ "$was_how" = record ]; then loaded=$was_loads; fi
  fi
}

# processes of keepalived that are left, also those whose parent is gone
find_leftovers() {
  leftovers=
  for file in /proc/[0-9]*/stat; do
    read_stat "$file" || continue
    case $comm in keepalived|weir-*) ;; *) continue ;; esac
    case $state in Z|X) continue ;; esac
    case $(readlink "/proc/$pid/exe" 2>/dev/null) in */keepalived*) leftovers="$leftovers $pid" ;; esac
  done
  [ -n "$leftovers" ]
}

# Starts it anew. One that is left of a process that ended keeps the next one from starting, and empties the table when
# it goes.
start_keepalived() {
  if [ -d /run/systemd/system ]; then limited 30 systemctl restart keepalived 9>&- 8>&-
  else
    tries=0
    while find_leftovers; do
      tries=$((tries + 1))
      if [ "$tries" = 1 ]; then kill -TERM $leftovers 2>/dev/null; fi
      if [ "$tries" -gt 30 ]; then kill -KILL $leftovers 2>/dev/null; fi
      [ "$tries" -lt 40 ] || break
      nap
    done
    if [ -x /etc/init.d/keepalived ]; then limited 30 /etc/init.d/keepalived start >/dev/null 2>&1 </dev/null 9>&- 8>&-
    elif [ -s "$run/keepalived.command" ]; then xargs -0 setsid <"$run/keepalived.command" >/dev/null 2>&1 9>&- 8>&- &
    else return 1
    fi
  fi
  tries=0
  until find_keepalived; do
    tries=$((tries + 1))
    [ "$tries" -lt 30 ] || return 1
    nap
  done
}

# Makes keepalived load what the live path holds, and waits until it says so. $1: what a release loads, or nothing;
# $2: how it tells, "process" or "record". The name changes at the beginning of a load: the table is looked at later.
load_keepalived() {
  # from here on it is not known what it has loaded
  rm -f "$etc/loaded"
  find_keepalived
  if [ "$keepalived" = none ]; then
    start_keepalived || { trouble="keepalived does not run, and cannot be started"; return 1; }
  else
    cat "/proc/$keepalived/cmdline" >"$run/keepalived.command" 2>/dev/null
    kill -HUP "$keepalived" || { trouble="keepalived cannot be signalled"; return 1; }
  fi
  [ -n "$1" ] || return 0
  clock
  until_time=$((now + 20))
  while :; do
    if [ "$keepalived" = none ] || ! is_keepalived "$keepalived"; then trouble="keepalived ended while it loaded the release"; return 1; fi
    if [ "$2" = record ]; then
      sleep 1
      if is_keepalived "$keepalived"; then return 0; fi
      continue
    fi
    find_loaded
    [ "$loaded" != "$1" ] || return 0
    clock
    [ "$now" -lt "$until_time" ] || { trouble="keepalived did not load the release within 20 s: its checker does not name itself weir-$1"; return 1; }
    nap
  done
}

# --- VIPs -------------------------------------------------------------------------------------------------------

# Makes the VIPs of a release be where the IPVS table says. $1: its folder.
reconcile() {
  read_manifest "$1" || return 0
  [ -x "$etc/bin/$m_helper" ] || return 0
  vips_of "$1" | WEIR_IPVS=$table "$etc/bin/$m_helper" - 9>&-
}

# Sees to the VIPs that one release has and another has not. $1: the one, $2: the other
settle_gone() {
  [ -n "$1" ] && [ "$1" != "$2" ] && read_manifest "$1" && [ -x "$etc/bin/$m_helper" ] || return 0
  vips_of "$1" | while read -r vip words; do
    [ -e "$2/keepalived/vips/$vip.conf" ] || say "$vip $words"
  done | WEIR_IPVS=$table "$etc/bin/$m_helper" - 9>&-
}

# VIPs of ours that are on lo or weir-high, one a line
announced() {
  { all_vips; echo; ip -o addr show 2>/dev/null; } | awk "
    !listed && NF == 0 { listed = 1; next }
    !listed { ours[\$1] = 1; next }
    { sub(/@.*/, \"\", \$2); split(\$4, a, \"/\") }
    (\$2 == \"lo\" || \$2 == \"weir-high\") && a[2] == 32 && a[1] in ours { print a[1], \$2 }"
}

# the addresses of all_vips in a file, so that nothing has to be looked up when it matters
list_vips() { [ -e "$run/vips" ] && [ ! "$etc/releases" -nt "$run/vips" ] || all_vips >"$run/vips"; }

# Takes every VIP off, if keepalived is not there to look after them. In few processes: seconds count.
withdraw() {
  [ -d "$run" ] || mkdir -p "$run"
  list_vips
  exec 7>"$run/announce.lock" || return 1
  flock 7 || return 1
  find_keepalived || ip -o addr show 2>/dev/null | awk -v list="$run/vips" "
    BEGIN { while ((getline line <list) > 0) ours[line \"/32\"] = 1 }
    (\$2 == \"lo\" || \$2 == \"weir-high\") && \$4 in ours { print \"addr del\", \$4, \"dev\", \$2 }" | ip -force -batch -
  exec 7>&-
}

watch() {
  mkdir -p "$run"
  exec 8>"$run/watch.lock" || exit 1
  flock -n 8 || exit 0
  me=$(readlink -f "$0")
  guarding=none
  find_keepalived
  while :; do
    # nothing is left of it: another watcher, or none, goes on
    [ -x "$self" ] || exit 0
    [ "$self" -ef "$me" ] || exec "$self" watch
    if [ "$keepalived" = none ] || ! is_keepalived "$keepalived"; then
      if ! find_keepalived; then withdraw; fi
    fi
    list_vips
    # a second guard does no harm, and the first may have been killed
    line=
    [ ! -e "$etc/activating" ] || { read -r line <"$etc/activating"; } 2>/dev/null
    if [ -n "$line" ] && ! kill -0 "$guarding" 2>/dev/null; then
      setsid "$self" guard "$line" </dev/null >/dev/null 2>&1 8>&- &
      guarding=$!
    fi
    sleep 1
  done
}

# Sees to it that VIPs leave lo when keepalived dies.
ensure_watch() {
  rm -f "$run/vips"
  if [ -d /run/systemd/system ]; then
    wanted="# Written by Weir: VIPs leave lo whenever keepalived ends, however it ends.${'$'}{newline}[Service]${'$'}{newline}ExecStopPost=-$self withdraw"
    if [ "$(cat "$drop_in" 2>/dev/null)" != "$wanted" ]; then
      mkdir -p "${'$'}{drop_in%/*}" && printf "%s\n" "$wanted" >"$drop_in.new" && mv -f "$drop_in.new" "$drop_in" || return 1
      limited 30 systemctl daemon-reload || return 1
    fi
    wanted="# Written by Weir: host settings, and an activation that a restart of the machine cut short.
[Unit]
Description=Weir: host settings of this LB
After=network-online.target
Wants=network-online.target
Before=keepalived.service frr.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=$self boot
[Install]
WantedBy=multi-user.target"
    if [ "$(cat "$boot_unit" 2>/dev/null)" != "$wanted" ]; then
      printf "%s\n" "$wanted" >"$boot_unit.new" && mv -f "$boot_unit.new" "$boot_unit" || return 1
      limited 30 systemctl daemon-reload && limited 30 systemctl enable weir.service >/dev/null 2>&1 || return 1
    fi
  else
    setsid "$self" watch </dev/null >/dev/null 2>&1 9>&- 8>&- &
  fi
}

boots_by_itself() {
  [ ! -d /run/systemd/system ] || return 0
  grep -qs "weir boot" /etc/rc.local /etc/rc.d/rc.local /etc/inittab /etc/cron.d/* /var/spool/cron/root
}

# --- host settings ----------------------------------------------------------------------------------------------

sysctl_path() {
  key=$1 path=/proc/sys
  oldifs=$IFS; IFS=.
  set -- $1
  IFS=$oldifs
  for part; do path=$path/$part; done
}

# Puts the host settings of a release in place; what was there before is kept. Sets trouble.
apply_host() {
  trouble=
  if [ -r "$1/host/modules" ]; then
    while read -r module options; do
      name=$module
      case $module in *-*) name=$(printf %s "$module" | tr - _) ;; esac
      [ -n "$module" ] && [ ! -d "/sys/module/$name" ] || continue
      # what of it is really missing shows where it is used
      words=$(modprobe "$module" $options 2>&1) || [ -d "/sys/module/$name" ] || warn "modprobe $module: $(one_line "$words")"
    done <"$1/host/modules"
  fi
  kept=" "
  [ ! -r "$etc/sysctl.before" ] || while read -r key _; do kept="$kept$key "; done <"$etc/sysctl.before"
  if [ -r "$1/host/sysctl.conf" ]; then
    # in one process, and not by "read": a shell reads byte by byte, and the kernel gives only the first of a sysctl
    wanted=$(awk "
      \$1 !~ /^#/ && \$2 == \"=\" {
        path = \$1
        gsub(/\\./, \"/\", path)
        was = \"\"
        if ((getline was <(\"/proc/sys/\" path)) <= 0) { print \"missing\", \$1; next }
        close(\"/proc/sys/\" path)
        want = \$0
        sub(/^[^=]*= */, \"\", want)
        gsub(/[ \\t]+/, \" \", was)
        if (was != want) print \"set\", \$1, path, was \"=\" want
      }" "$1/host/sysctl.conf") || { trouble="sysctl: awk failed"; return 1; }
    printf "%s\n" "$wanted" >"$run/sysctls" || { trouble="cannot write $run"; return 1; }
    while read -r what key path values; do
      case $what in
        missing) trouble="sysctl $key: this kernel does not have it" ;;
        set)
          case $kept in *" $key "*) ;; *) printf "%s = %s\n" "$key" "${'$'}{values%%=*}" >>"$etc/sysctl.before"; kept="$kept$key " ;; esac
          { printf "%s\n" "${'$'}{values#*=}" >"/proc/sys/$path"; } 2>/dev/null || trouble="sysctl $key = ${'$'}{values#*=}: refused by the kernel"
          ;;
      esac
    done <"$run/sysctls"
    [ -z "$trouble" ] || return 1
  fi
  if [ -s "$1/host/addresses" ]; then
    # what this puts on an interface, and only that, may be taken away again later
    there=$(ip -o addr show) || { trouble="ip addr show failed"; return 1; }
    printf "%s\n" "$there" | awk -v added="$etc/added" "
      FILENAME == \"-\" { there[\$4] = 1; next }
      \$1 == \"addr\" && !(\$3 in there) { print \$3, \$5 >>added }" - "$1/host/addresses"
    words=$(ip -batch "$1/host/addresses" 2>&1) || { trouble="LIPs: $words"; return 1; }
  fi
  if [ -r "$1/host/iptables" ]; then
    load_chains "$1/host/iptables" || return 1
    jump nat POSTROUTING WEIR-POSTROUTING && jump raw PREROUTING WEIR-RAW && jump raw OUTPUT WEIR-RAW || { trouble="$iptables: $words"; return 1; }
  fi
}

# Debian's iptables is the one of nftables, which not every kernel has for what the rules need; the legacy one then.
load_chains() {
  for iptables in iptables iptables-legacy; do
    command -v "$iptables-restore" >/dev/null 2>&1 || continue
    if words=$("$iptables-restore" -w 10 --noflush <"$1" 2>&1); then
      trouble=
      return 0
    fi
    [ -n "$trouble" ] || trouble="$iptables-restore: $words"
  done
  [ -n "$trouble" ] || trouble="iptables is not installed (package iptables)"
  return 1
}
# the one that has our chains
find_chains() {
  for iptables in iptables iptables-legacy; do
    if "$iptables" -w 10 -t nat -S WEIR-LIPS >/dev/null 2>&1; then return 0; fi
  done
  return 1
}
jump() {
  "$iptables" -w 10 -t "$1" -C "$2" -j "$3" 2>/dev/null || words=$("$iptables" -w 10 -t "$1" -A "$2" -j "$3" 2>&1)
}

# Takes away what releases put on the machine and this one, or none, does not want. $1: the last one, or nothing; $2: to,
# or nothing
remove_host() {
  old=$1 new=$2
  if [ -s "$etc/added" ]; then
    wanted=/dev/null
    if [ -n "$new" ] && [ -r "$new/host/addresses" ]; then wanted=$new/host/addresses; fi
    awk -v wanted="$wanted" "
      BEGIN { while ((getline line <wanted) > 0) { split(line, f, \" \"); keep[f[3], f[5]] = 1 } }
      { print ((\$1, \$2) in keep ? \"keep \" : \"addr del \") \$1 \" dev \" \$2 }" "$etc/added" >"$run/lips"
    sed -n "s/^addr del/&/p" "$run/lips" | ip -force -batch - 2>/dev/null
    sed -n "s/^keep \(.*\) dev /\1 /p" "$run/lips" | sort -u >"$etc/added.new" && mv -f "$etc/added.new" "$etc/added"
  fi
  if [ -r "$old/host/sysctl.conf" ] && [ -r "$etc/sysctl.before" ]; then
    stays=" "
    if [ -n "$new" ] && [ -r "$new/host/sysctl.conf" ]; then while read -r key _; do stays="$stays$key "; done <"$new/host/sysctl.conf"; fi
    while read -r key equals value; do
      case $stays in *" $key "*) continue ;; esac
      sysctl_path "$key"
      { printf "%s\n" "$value" >"$path"; } 2>/dev/null
    done <"$etc/sysctl.before"
  fi
  if [ -r "$old/host/iptables" ] && { [ -z "$new" ] || [ ! -r "$new/host/iptables" ]; } && find_chains; then
    for place in "nat POSTROUTING WEIR-POSTROUTING" "raw PREROUTING WEIR-RAW" "raw OUTPUT WEIR-RAW"; do
      set -- $place
      "$iptables" -w 10 -t "$1" -D "$2" -j "$3" 2>/dev/null
    done
    for place in "nat WEIR-POSTROUTING" "nat WEIR-LIPS" "raw WEIR-RAW"; do
      set -- $place
      "$iptables" -w 10 -t "$1" -F "$2" 2>/dev/null
      "$iptables" -w 10 -t "$1" -X "$2" 2>/dev/null
    done
  fi
  if [ -z "$new" ]; then rm -f "$etc/added" "$etc/sysctl.before"; fi
  return 0
}

# --- routing ----------------------------------------------------------------------------------------------------

full_neighbours() {
  full=$(limited 10 vtysh -c "show ip ospf neighbor" 2>/dev/null | grep -c "Full/")
  case $full in ""|*[!0-9]*) full=0 ;; esac
}

# whether OSPF is to use BFD. $1: frr.conf
wants_bfd() {
  while read -r line; do [ "$line" != "ip ospf bfd" ] || return 0; done <"$1"
  return 1
}
# FRR takes the configuration without its BFD daemon too, and then notices nothing sooner.
bfdd_runs() {
  words=$(limited 10 vtysh -c "show daemons" 2>/dev/null 9>&-)
  case " $words$newline" in *" bfdd "*|*" bfdd$newline"*) return 0 ;; esac
  return 1
}

find_frr_reload() {
  for frr_reload in /usr/lib/frr/frr-reload.py /usr/lib64/frr/frr-reload.py /usr/libexec/frr/frr-reload.py; do
    [ ! -r "$frr_reload" ] || return 0
  done
  return 1
}

# what FRR runs, and a digest of that and of a file
routed_by() {
  running=$(limited 10 vtysh -c "show running-config" 2>/dev/null) || running=
  routed=$( { cat "$1"; printf "%s\n" "$running"; } | sha256sum)
}

# whether FRR runs nothing that is not in a file too, but for what it always prints. $1: frr.conf, after routed_by
runs_nothing_else() {
  # to its end, or nothing is known
  case $running in *"${'$'}{newline}end") ;; *) return 1 ;; esac
  wanted=$newline$(cat "$1")$newline
  while read -r line; do
    case $line in
      ""|!|end|"Building configuration..."|"Current configuration:"|"frr version "*|"hostname "*|"service integrated-vtysh-config") ;;
      # within a block, the same words may mean something else
      "interface "*|"router "*|"route-map "*|"vrf "*|"exit"*) return 1 ;;
      *) case $wanted in *"$newline$line$newline"*) ;; *) return 1 ;; esac ;;
    esac
  done <<END
$running
END
}

# FRR changes by the difference that its own tool computes. That takes it seconds: it is not asked where file and running
# configuration are what they were after it was asked last, nor where the difference is the file.
load_frr() {
  routed_by "$1"
  { read -r known <"$etc/routed"; } 2>/dev/null || known=
  [ "$known" != "$routed" ] || return 0
  rm -f "$etc/routed"
  find_frr_reload || { trouble="frr-reload.py is not installed (package frr-pythontools)"; return 1; }
  if runs_nothing_else "$1"; then tool="vtysh -f" words=$(limited 50 vtysh -f "$1" 2>&1 9>&-)
  else tool=frr-reload.py words=$(limited 50 python3 "$frr_reload" --reload --stdout "$1" 2>&1 9>&-)
  fi
  code=$?
  [ "$code" != 0 ] || case $words in *"Failed to execute"*|*"failed due to"*) code=1 ;; esac
  [ "$code" = 0 ] || trouble="$tool: $(one_line "$(printf "%s\n" "$words" | grep -iE "error|fail|unknown|refused" | tail -n 5 | sed "s/ md5 [^ ]*/ md5 ***/g")") (code $code)"
  if [ "$code" = 0 ]; then
    routed_by "$1"
    put routed "$routed"
  fi
  return "$code"
}

# Quagga reads its files at its start only. VIPs are withdrawn meanwhile.
restart_quagga() {
  held=no
  if [ ! -e "$etc/drain" ]; then held=yes; put drain "routing $(date +%s) ospfd is restarted"; fi
  reconcile "$1"
  sleep 2
  rc=0
  for daemon in zebra ospfd; do
    if [ -d /run/systemd/system ]; then words=$(limited 30 systemctl restart "$daemon" 2>&1 9>&-) || rc=1
    elif [ -x "/etc/init.d/$daemon" ]; then words=$(limited 30 "/etc/init.d/$daemon" restart 2>&1 </dev/null 9>&-) || rc=1
    else words="there is neither systemd nor /etc/init.d/$daemon" rc=1
    fi
    [ "$rc" = 0 ] || break
  done
  [ "$held" = no ] || rm -f "$etc/drain"
  reconcile "$1"
  [ "$rc" = 0 ] || trouble="$daemon cannot be restarted: $words"
  return "$rc"
}

# --- undo -------------------------------------------------------------------------------------------------------

owner_of() { set -- $(ls -lnLd "$1") && owner=$3:$4; }

# brings a file to a live path by one rename; owner and mode of what is there stay
place() {
  # nothing changes where it is there already
  if [ ! -L "$2" ] && cmp -s "$1" "$2"; then return 0; fi
  rm -f "$2.weir-new"
  cp -a --remove-destination "$1" "$2.weir-new" || return 1
  if [ "$3" = keep ] && [ -e "$2" ]; then
    owner_of "$2" && chown "$owner" "$2.weir-new" && chmod "$4" "$2.weir-new" || return 1
  fi
  mv -T -f "$2.weir-new" "$2"
}

# makes the live paths hold a release, or what was there before the first publication
files_of() {
  if [ "$1" = backup ]; then
    # the next publication may take them over again
    : >"$etc/backup/.taking"
    # only what publishing ever took over: the others are not ours
    taken=
    { read -r taken <"$etc/backup/paths"; } 2>/dev/null
    for path in ${'$'}{taken:-$stub_path /usr/local/etc/zebra.conf /usr/local/etc/ospfd.conf /etc/frr/frr.conf}; do
      if there "$etc/backup$path"; then place "$etc/backup$path" "$path" as-it-was
      elif grep -qxF "$path" "$etc/backup/absent"; then rm -f "$path"
      fi
    done
    return 0
  fi
  dir=$etc/releases/$1
  [ -d "$dir" ] || dir=$dir.fix
  read_manifest "$dir" || return 1
  point current "releases/${'$'}{dir##*/}"
  printf "%s\n" "$stub" >"$run/stub" && place "$run/stub" "$stub_path" keep 0644
  routing_files "$m_routing"
  for path in $routing_live; do place "$dir/routing/${'$'}{path##*/}" "$path" keep 0640; done
}

# Back to a release or to "backup": files, host settings, keepalived, routing, VIPs. Goes on whatever fails.
undo_to() {
  trap "" HUP INT TERM PIPE
  began=no
  target=$1 why=$2
  how=record
  complaints=
  folder_of current
  from=$folder
  from_release=${'$'}{from##*/}
  # an undo that is done again has switched already
  if [ -r "$etc/activating" ]; then
    read -r from_release _ <"$etc/activating"
    [ ! -d "$etc/releases/$from_release" ] || from=$etc/releases/$from_release
  fi
  from_routing=
  if [ -n "$from" ] && read_manifest "$from"; then from_routing=$m_routing; fi
  mkdir -p "$run"
  if [ -s "$etc/drain.before" ]; then mv -f "$etc/drain.before" "$etc/drain"
  elif [ -e "$etc/drain.before" ]; then rm -f "$etc/drain"
  fi
  files_of "$target" || complaints="$complaints; files of $target"
  to=
  loads=
  to_routing=$from_routing
  if [ "$target" != backup ]; then
    folder_of current
    to=$folder
    if [ -n "$to" ] && read_manifest "$to"; then
      loads=$m_loads to_routing=$m_routing
      how_loaded "$m_dataplane" "$m_services"
    fi
    apply_host "$to" || complaints="$complaints; $trouble"
  fi
  if [ "$3" != files ]; then
    find_keepalived
    find_loaded
    if [ ! -e "$stub_path" ]; then
      # there was none before: it did not run either
      [ "$keepalived" = none ] || kill -TERM "$keepalived"
    elif [ "$keepalived" = none ] || [ -z "$loads" ] || [ "$loaded" != "$loads" ]; then
      load_keepalived "$loads" "$how" || {
        # one that came down, or does not answer, is started anew with what is good
        start_keepalived || complaints="$complaints; $trouble"
      }
    fi
    if [ "$routing_touched" = no ]; then : as it was
    elif [ "$to_routing" = frr ]; then
      if [ -r /etc/frr/frr.conf ]; then load_frr /etc/frr/frr.conf || complaints="$complaints; $trouble"
      else
        : >"$run/frr.conf"
        load_frr "$run/frr.conf" || complaints="$complaints; $trouble"
        rm -f /etc/frr/frr.conf
      fi
    elif [ -e "$run/restarted" ]; then
      restart_quagga "$to" || complaints="$complaints; $trouble"
      rm -f "$run/restarted"
    fi
  fi
  remove_host "$from" "$to"
  if [ "$3" != files ]; then
    if [ -n "$to" ]; then
      settle_gone "$from" "$to" || complaints="$complaints; VIPs cannot be withdrawn"
      reconcile "$to" || complaints="$complaints; VIPs cannot be announced"
      if find_keepalived; then put loaded "$loads $keepalived $keepalived_ticks $how"; fi
    else
      [ -z "$from" ] || reconcile "$from"
    fi
    if [ -z "$to" ] && [ -r "$etc/announced" ]; then
      # as it was: what this activation put on lo goes, what was there comes back
      announced | awk -v before="$etc/announced" "
        BEGIN { while ((getline line <before) > 0) { split(line, f, \" \"); was[f[1]] = 1 } }
        !(\$1 in was) { print \"addr del \" \$1 \"/32 dev \" \$2 }" | ip -force -batch - 2>/dev/null
      sed "s|\([^ ]*\) \(.*\)|addr replace \1/32 dev \2|" "$etc/announced" | ip -force -batch - 2>/dev/null
    fi
  fi
  if [ -n "$to" ]; then point active "releases/${'$'}{to##*/}"; else rm -f "$etc/active" "$etc/loaded"; fi
  rm -f "$etc/previous"
  clock
  put undone "$now $from_release $target $(one_line "$why$complaints")"
  sync -f "$etc" 2>/dev/null || sync
  rm -f "$etc/activating" "$etc/announced" "$etc/drain.before"
  [ -z "$complaints" ] || warn "not all could be put back: ${'$'}{complaints#; }"
}

# How keepalived tells what it has loaded. Without a virtual service, and before 2.2, it does not.
how_loaded() { how=process; if [ "$1" != ipvs ] || [ "$2" = 0 ]; then how=record; fi; }

# The dead-man's timer: goes back when the activation ended without a word, or takes too long. $1: the line of
# /etc/weir/activating
guard() {
  exec 9>>"$etc/lock" || exit 1
  set -- "$1" $1
  deadline=$4 worker=$5
  trap "" HUP INT TERM PIPE
  until [ "$(cat "$etc/activating" 2>/dev/null)" = "$1" ]; do
    kill -0 "$worker" 2>/dev/null || exit 0
    nap
  done
  while :; do
    sleep 1
    line=
    { read -r line <"$etc/activating"; } 2>/dev/null
    [ "$line" = "$1" ] || exit 0
    why="the activation ended before its checks had passed"
    if ! flock -n 9; then
      clock
      [ "$now" -ge "$deadline" ] || continue
      why="the checks did not pass in time"
      kill -KILL "$worker" 2>/dev/null
      flock -w 60 9 || continue
    fi
    line=
    { read -r line <"$etc/activating"; } 2>/dev/null
    [ "$line" = "$1" ] || exit 0
    undo_to "$3" "$why" all >/dev/null 2>&1
    exit 0
  done
}

# --- commands ---------------------------------------------------------------------------------------------------

# Ends a publication that holds the lock: its Weir may be paused or cut off, and it then waits for it. The machine is left
# as it was.
end_publication() {
  { read -r holder holder_ticks holder_group <"$etc/lock"; } 2>/dev/null || return 0
  read_stat "/proc/$holder/stat" && [ "$ticks" = "$holder_ticks" ] && kill -TERM "-$holder_group" 2>/dev/null
}

# $1: "wait" for a publication that is under way, or "end" it
take_lock() {
  [ "$step" = lock ] || begin lock
  [ "$(id -u)" = 0 ] || fail "not root but $(id -un): set ssh.user to root, or ssh.sudo"
  [ -d "$etc/releases" ] || fail "nothing is published on this machine"
  command -v flock >/dev/null 2>&1 || fail "flock is not installed (package util-linux)"
  printf "" >>"$etc/lock" || fail "cannot write $etc/lock"
  exec 9>>"$etc/lock"
  flock -n 9 || flock -w 5 9 || { [ "$1" = wait ] || end_publication; flock -w 15 9; } ||
    fail "something else works on this machine: it holds $etc/lock since 20 s"
  mkdir -p "$run" || fail "cannot write $run"
}

# refuses a Weir that another one has replaced
refuse_older() {
  seen=0
  { read -r seen <"$etc/fence"; } 2>/dev/null
  case $seen in ""|*[!0-9]*) seen=0 ;; esac
  [ "$1" -ge "$seen" ] || fail "refused: fencing number $1 is older than $seen, which this machine has seen; another Weir took over"
}
check_fence() {
  refuse_older "$1"
  put fence "$1" || fail "cannot write $etc/fence"
}

# Who holds the lock and finds an activation that is not confirmed knows that its process is dead, and that its guard
# has not come yet or is dead too.
finish_unfinished() {
  [ -e "$etc/activating" ] || return 0
  read -r _ left_to _ <"$etc/activating"
  begin undo
  undo_to "$left_to" "an activation ended before its checks had passed" all
  warn "an activation that had ended before its checks passed was undone first: back to $left_to"
}

# VIPs announced and OSPF neighbours full before anything is changed: what must be so afterwards
remember() {
  announced >"$etc/announced.new" && mv -f "$etc/announced.new" "$etc/announced" || fail "cannot write $etc/announced"
  full_neighbours
  full_before=$full
}

# What is not as it should be after loading; nothing if all is. Sets trouble, and waiting: VIPs that were not announced
# before and are not yet.
look() {
  trouble= waiting=
  if ! is_keepalived "$keepalived"; then
    trouble="keepalived ended"
    return 1
  fi
  set -- "$dir/keepalived/vips/"*.conf
  [ -e "$1" ] || set --
  drained=0
  [ ! -e "$etc/drain" ] || drained=1
  found=$( { all_vips; echo; announced; echo; cat "$@" /dev/null; } | awk -v table="$table" -v before="$etc/announced" -v drained="$drained" "
    function hex(address, part) { split(address, part, \".\"); return sprintf(\"%02X%02X%02X%02X\", part[1], part[2], part[3], part[4]) }
    function key(address, port) { return hex(address) \":\" sprintf(\"%04X\", port) }
    function complain(words) { if (n++ < 5) print \"bad \" words }
    listed < 2 && NF == 0 { listed++; next }
    !listed { known[hex(\$1)] = 1; next }
    listed == 1 { on[\$1] = 1; next }
    \$1 == \"virtual_server_group\" { group = \$2; ingroup = 1; next }
    ingroup { address[group] = \$1; port[group] = \$2; ingroup = 0; next }
    \$1 == \"virtual_server\" && \$2 == \"group\" { a = address[\$3]; p = port[\$3]; next }
    \$1 == \"virtual_server\" { a = \$2; p = \$3; next }
    \$1 == \"protocol\" { k = \$2 \" \" key(a, p); want[k] = \$2 \" \" a \":\" p; ours[a] = 1; next }
    \$1 == \"real_server\" { r = key(\$2, \$3); next }
    \$1 == \"weight\" { weight[k, r] = \$2; next }
    END {
      while ((getline line <table) > 0) {
        split(line, f, \" \")
        if (f[1] == \"TCP\" || f[1] == \"UDP\" || f[1] == \"SCTP\") {
          k = f[1] \" \" toupper(f[2])
          split(f[2], end, \":\")
          mine = k in want
          if (mine) there[k] = 1
          else if (toupper(end[1]) in known) complain(\"service \" k \" is still in the kernel\")
        } else if (f[1] == \"FWM\") mine = 0
        else if (f[1] == \"->\" && mine && f[2] ~ /:/) {
          # one that is missing is a matter of its health
          r = toupper(f[2])
          if (!((k, r) in weight)) complain(\"service \" want[k] \" still has a WS of before\")
          else if (weight[k, r] != f[4]) complain(\"service \" want[k] \" has a WS of weight \" f[4] \", not \" weight[k, r])
        }
      }
      for (k in want) if (!(k in there)) complain(\"service \" want[k] \" is not in the kernel\")
      while (!drained && (getline line <before) > 0) {
        split(line, f, \" \")
        was[f[1]] = 1
        if (f[1] in ours && !(f[1] in on)) complain(\"VIP \" f[1] \" was announced before and is not now\")
      }
      if (!drained) for (a in ours) if (!(a in on) && !(a in was)) { if (m++ < 5) print \"new \" a }
    }")
  trouble=$(printf "%s\n" "$found" | sed -n "s/^bad //p")
  waiting=$(printf "%s\n" "$found" | sed -n "s/^new //p")
  if [ -z "$trouble" ] && [ "$full_before" -gt 0 ]; then
    full_neighbours
    [ "$full" -ge "$full_before" ] || trouble="$full OSPF neighbours are full, $full_before were before"
  fi
  trouble=$(one_line "$trouble")
  waiting=$(one_line "$waiting")
  [ -z "$trouble" ]
}

# $1: release or "current", $2: seconds for the checks, $3: up, drain or keep, $4: keep or restart (Quagga)
activate() {
  wait=$2 wanted_state=$3 may_restart=$4
  finish_unfinished
  begin check
  folder_of current
  dir=$folder
  [ -n "$dir" ] && read_manifest "$dir" || fail "nothing is published on this machine"
  release=$m_release dataplane=$m_dataplane routing=$m_routing loads=$m_loads
  how_loaded "$dataplane" "$m_services"
  how_to_tell=$how
  [ "$1" = current ] || [ "$release" = "$1" ] || fail "release $release is published here, not $1: publish first"
  verify "$dir" || fail "files of the published release were changed by hand: $(one_line "$bad"); publish with --overwrite to replace them"
  [ "$(cat "$stub_path" 2>/dev/null)" = "$stub" ] && [ ! -L "$stub_path" ] || fail "$stub_path is not what was published; publish with --overwrite to replace it"
  routing_files "$routing"
  for path in $routing_live; do
    cmp -s "$dir/routing/${'$'}{path##*/}" "$path" || fail "$path is not what was published; publish with --overwrite to replace it"
  done
  command -v keepalived >/dev/null 2>&1 || fail "keepalived is not installed on this machine"
  words=$(limited 20 keepalived -v 2>&1 </dev/null)
  case "$dataplane $words" in
    "fullnat "*v1.2.2*|"ipvs "*" v2."*) ;;
    *) fail "this machine's keepalived does not read the dialect $dataplane: ${'$'}{words%%"$newline"*}" ;;
  esac
  routing_changed=yes
  if [ "$routing" = frr ]; then
    find_frr_reload || fail "frr-reload.py is not installed (package frr-pythontools), and FRR is not changed without it"
    if wants_bfd /etc/frr/frr.conf; then
      bfdd_runs || fail "bfdd does not run on this machine, and OSPF is to use BFD: set bfdd=yes in /etc/frr/daemons and reload FRR (service frr reload), which leaves its other daemons running; or take ospf.bfd out of the document"
    fi
  else
    folder_of active
    before=$folder/routing
    [ -n "$folder" ] || before=$etc/backup/usr/local/etc
    if cmp -s "$before/zebra.conf" "$dir/routing/zebra.conf" && cmp -s "$before/ospfd.conf" "$dir/routing/ospfd.conf"; then routing_changed=no; fi
    [ "$routing_changed$may_restart" != yeskeep ] || fail "ospfd.conf or zebra.conf changed, and Quagga takes that only by a restart: activate with --restart-routing, which withdraws the VIPs of this LB meanwhile"
  fi
  find_keepalived
  find_loaded
  was_loaded=$loaded
  if [ "$keepalived" != none ]; then
    words=$(tr "\0" " " <"/proc/$keepalived/cmdline")
    case "$words " in
      *" -f $stub_path "*|*" --use-file $stub_path "*|*" --use-file=$stub_path "*) ;;
      *" -f "*|*" --use-file"*) fail "keepalived does not read $stub_path: it runs as $words" ;;
    esac
  fi

  # what to go back to: what is loaded, else what was active, else what was there before the first publication
  previous=
  if [ "$was_loaded" != none ] && [ "$was_loaded" != "$loads" ]; then
    for candidate in "$etc/active" "$etc/releases/"*; do
      if [ -z "$previous" ] && read_manifest "$candidate" && [ "$m_loads" = "$was_loaded" ]; then previous=$m_release; fi
    done
  fi
  folder_of active
  was_active=$folder
  if [ -z "$previous" ] && [ -n "$was_active" ] && read_manifest "$was_active"; then previous=$m_release; fi
  [ -n "$previous" ] || previous=backup

  begin guard
  remember
  if [ -e "$etc/drain" ]; then cp -p "$etc/drain" "$etc/drain.before"; else : >"$etc/drain.before"; fi || fail "cannot write $etc/drain.before"
  clock
  boot_id=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)
  line="$release $previous $((now + wait + grace)) $$ $boot_id"
  # before the note is there, so that it never stands without somebody behind it
  setsid "$self" guard "$line" </dev/null >/dev/null 2>&1 9>&- &
  put activating "$line" || fail "cannot write $etc/activating"
  sync -f "$etc" 2>/dev/null || sync
  trap "" HUP INT PIPE
  began=yes
  routing_touched=no

  begin host
  apply_host "$dir" || fail "$(one_line "$trouble")"
  ensure_watch || warn "VIPs would stay on lo if keepalived died: $drop_in cannot be written"
  boots_by_itself || warn "nothing on this machine runs \"$self boot\" at its start, so host settings are lost by a restart: add it to /etc/rc.local, before keepalived"
  set_state

  begin keepalived
  changed=no
  [ "$was_active" = "$dir" ] || changed=yes
  if [ "$keepalived" = none ] || [ "$was_loaded" != "$loads" ]; then
    changed=yes
    load_keepalived "$loads" "$how_to_tell" || fail "$trouble"
  fi

  begin routing
  routing_touched=yes
  if [ "$routing" = frr ]; then load_frr /etc/frr/frr.conf || fail "$trouble"
  elif [ "$routing_changed" = yes ]; then
    : >"$run/restarted"
    restart_quagga "$dir" || fail "$trouble"
  fi

  begin verify
  clock
  started=$now
  while :; do
    if look; then
      clock
      # new VIPs get half of the time to be served
      if [ -z "$waiting" ] || [ $((now - started)) -ge $((wait / 2)) ]; then
        # keepalived's own calls may still be on their way: where the table has VIPs is what counts
        reconcile "$dir" || warn "VIPs cannot be announced"
        if look; then break; fi
      fi
    fi
    if [ "$keepalived" = none ] || ! is_keepalived "$keepalived"; then fail "${'$'}{trouble:-keepalived ended}"; fi
    clock
    [ $((now - started)) -lt "$wait" ] || fail "after $wait s: $trouble"
    nap
  done
  settle_gone "$was_active" "$dir" || warn "VIPs that the release no longer has cannot be withdrawn"
  [ -z "$waiting" ] || warn "not announced, since no WS of theirs is healthy: $waiting"

  begin confirm
  point active "releases/${'$'}{dir##*/}" || fail "cannot write $etc/active"
  # what was active already stays what it is undone to
  if [ "$previous" = backup ]; then point previous backup
  elif [ "$previous" != "$release" ]; then point previous "releases/$previous"
  fi || fail "cannot write $etc/previous"
  put loaded "$loads $keepalived $keepalived_ticks $how_to_tell" || fail "cannot write $etc/loaded"
  remove_host "$was_active" "$dir"
  sync -f "$etc" 2>/dev/null || sync
  began=no
  rm -f "$etc/activating" "$etc/announced" "$etc/drain.before" "$etc/undone" "$run/restarted"
  if [ "$changed" = yes ]; then say "done activated $release"; else say "done unchanged $release"; fi
}

# the document's state of the LB, as the file that the announce script honours
set_state() {
  origin=
  { read -r origin _ <"$etc/drain"; } 2>/dev/null
  told=no
  case $wanted_state in
    drain)
      if [ -z "$origin" ]; then told=yes; put drain "weir $(date +%s) state drain in the document" || fail "cannot write $etc/drain"; fi ;;
    up)
      if [ "$origin" = weir ]; then told=yes; rm -f "$etc/drain"
      elif [ -n "$origin" ]; then warn "this LB is drained beside the document ($(one_line "$(cat "$etc/drain")")) and stays so: weir undrain"
      fi ;;
  esac
  if [ "$told" = yes ] && [ -n "$was_active" ]; then reconcile "$was_active"; fi
}

# $1: weir (as the document says), override (beside it) or local (by hand on the LB); only the first ends with an
# activation. $2: reason
drain() {
  begin host
  put drain "$1 $(date +%s) $(one_line "$2")" || fail "cannot write $etc/drain"
  settle
  left=$(announced | grep -c .)
  [ "$left" = 0 ] || fail "$left VIPs are still on this machine"
  say "done drained none"
}

undrain() {
  begin host
  rm -f "$etc/drain" || fail "cannot remove $etc/drain"
  settle
  say "done undrained none"
}

# VIPs as the release wants them that keepalived has loaded
settle() {
  folder_of active
  [ -n "$folder" ] || folder_of current
  [ -n "$folder" ] || return 0
  reconcile "$folder" || fail "VIPs cannot be changed"
}

# An activation that is under way holds the lock: it is ended first.
stop_activation() {
  stopped=
  { read -r stopped <"$etc/activating"; } 2>/dev/null || return 0
  set -- $stopped
  case $(tr "\0" " " 2>/dev/null <"/proc/${'$'}{4:-none}/cmdline") in *weir*) kill -KILL "$4" 2>/dev/null ;; esac
}

undo() {
  if [ -e "$etc/activating" ]; then
    read -r _ previous _ <"$etc/activating"
  elif [ -n "$stopped" ] && [ -r "$etc/undone" ]; then
    # its guard was faster
    read -r _ _ previous _ <"$etc/undone"
    say "undone $previous"
    say "done undone $previous"
    return 0
  elif [ -L "$etc/previous" ]; then
    previous=$(readlink "$etc/previous")
    previous=${'$'}{previous##*/}
    rm -f "$etc/drain.before" "$etc/announced"
  else
    fail "there is nothing to go back to on this machine"
  fi
  [ "$previous" = backup ] || [ -d "$etc/releases/$previous" ] || fail "release $previous is no longer on this machine"
  begin undo
  undo_to "$previous" "weir undo" all
  say "undone $previous"
  say "done undone $previous"
}

boot() {
  [ -d "$etc/releases" ] || exit 0
  exec 9>>"$etc/lock" || exit 1
  mkdir -p "$run"
  if [ -e "$etc/activating" ] && flock -n 9; then
    read -r _ previous _ <"$etc/activating"
    undo_to "$previous" "the machine was restarted before the checks had passed" files
  fi
  folder_of current
  if [ -n "$folder" ] && [ -L "$etc/active" ]; then
    apply_host "$folder" || { echo "weir: $trouble" >&2; rc=1; }
    ensure_watch || echo "weir: VIPs would stay on lo if keepalived died" >&2
  fi
  exit "${'$'}{rc:-0}"
}

status() {
  for link in current active previous; do
    at=none
    [ ! -L "$etc/$link" ] || at=$(readlink "$etc/$link")
    say "$link ${'$'}{at##*/}"
  done
  find_keepalived
  find_loaded
  name=$loaded
  for candidate in "$etc/active" "$etc/current" "$etc/releases/"*; do
    if [ "$name" = "$loaded" ] && read_manifest "$candidate" && [ "$m_loads" = "$loaded" ]; then name="$loaded (release $m_release)"; fi
  done
  say "keepalived $keepalived"
  say "loaded $name"
  for file in activating undone drain; do
    if [ -r "$etc/$file" ]; then say "$file $(cat "$etc/$file")"; fi
  done
  say "announced $(announced | grep -c .)"
}

remote() {
  say
  IFS=" " read -r word version action fence rest || fail "no request"
  [ "$word $version" = "weir 1" ] || fail "a request of another version: $word $version"
  case $fence in ""|*[!0-9]*) fail "a request of another version: $fence" ;; esac
  case $action in activate|undo|drain|undrain) ;; *) fail "a request of another version: $action" ;; esac
  # before anything of another Weir is ended
  begin lock
  refuse_older "$fence"
  case $action in
    activate) take_lock wait ;;
    undo) stop_activation; take_lock end ;;
    *) take_lock end ;;
  esac
  check_fence "$fence"
  case $action in
    activate)
      set -- $rest
      case ${'$'}{2:-x} in *[!0-9]*) fail "a request of another version: $rest" ;; esac
      activate "$1" "$2" "$3" "${'$'}{4:-keep}"
      ;;
    undo) undo ;;
    drain)
      case $rest in override*) origin=override ;; *) origin=weir ;; esac
      case $rest in *" "*) rest=${'$'}{rest#* } ;; *) rest= ;; esac
      drain "$origin" "$rest"
      ;;
    undrain) undrain ;;
  esac
}

command=${'$'}{1:-help}
[ $# = 0 ] || shift
case $command in
  activate) take_lock wait; activate current "${'$'}{1:-30}" keep keep ;;
  undo) stop_activation; take_lock end; undo ;;
  drain) take_lock end; drain local "${'$'}{*:-by hand}" ;;
  undrain) take_lock end; undrain ;;
  status) status ;;
  boot) boot ;;
  watch) watch ;;
  withdraw) withdraw ;;
  guard) guard "$1" ;;
  remote) remote ;;
  *) printf "%s\n" "@USAGE@" >&2; exit 2 ;;
esac
`
  .replace('@STUB@', liveStub.trim())
  .replace('@USAGE@', usage);

export const agentFile: RenderedFile = renderFile({ path: 'host/weir', mode: '0755' }, () => script);

export const agentHelper = {
  name: `weir-${agentFile.sha256.slice(0, 12)}`,
  file: agentFile,
} as const;
