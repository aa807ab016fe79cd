/**
 * The one constant command that observing runs on an LB. It reads and prints; it writes nothing, signals nothing,
 * loads no kernel module, and works on a machine that Weir never touched.
 * POSIX sh (dash, bash 4.1, busybox ash), no systemd; needs coreutils 8.4, awk, find, grep; uses ip, vtysh, ipvsadm,
 * iptables-save and dpip where they are. Where the activated release announces by DPVS, the table is that of DPVS, in the
 * form of /proc/net/ip_vs all the same.
 *
 * A request on its standard input, `weir 1 status` or `weir 1 connections PAIR...` with pairs VIP=WS of addresses.
 * It answers sections: a line `@@weir NAME [ARGUMENT]`, then the section's lines; `@@weir end` is the last.
 * WEIR_IPVS may name another table, for tests.
 */

const script = String.raw`
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
LC_ALL=C
export PATH LC_ALL
unset GREP_OPTIONS CDPATH
etc=/etc/weir
table=${'$'}{WEIR_IPVS:-/proc/net/ip_vs}
newline="
"

say() { printf "%s\n" "$*"; }
section() { say "@@weir $*"; }
limited() { if command -v timeout >/dev/null 2>&1; then timeout "$@"; else shift; "$@"; fi; }
first_line() { line=; [ ! -r "$1" ] || IFS= read -r line <"$1" || :; }
# the folder that a link names, without a process
folder_of() {
  folder=
  if cd -P "$1" 2>/dev/null; then folder=${'$'}{PWD##*/}; cd /; fi
}

# what VIPs are announced by: an activation of dpvs leaves this file
first_line $etc/announce.conf
case $line in "dpvs "*) plane=dpvs ;; *) plane=kernel ;; esac

# Whether the ipvsadm of this machine is DPVS's: that of the kernel knows no LIPs, and loads ip_vs whatever it is asked for,
# so that it is read. A script may call any.
dpvs_ipvsadm() {
  program=$(command -v ipvsadm 2>/dev/null) || return 1
  first_line "$program" 2>/dev/null
  case $line in "#!"*) return 0 ;; esac
  grep -q laddr "$program" 2>/dev/null
}

# the table of services as /proc/net/ip_vs has it; what is none of TCP, UDP and SCTP ends the service before it
show_table() {
  if [ "$plane" = kernel ]; then
    [ -r "$table" ] && cat "$table"
    return
  fi
  dpvs_ipvsadm && words=$(limited 10 ipvsadm -Ln 2>/dev/null) || return 1
  say "$words" | awk "
    function hex(at, part) {
      if (at !~ /^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+:[0-9]+\$/) return at
      split(at, part, /[.:]/)
      return sprintf(\"%02X%02X%02X%02X:%04X\", part[1], part[2], part[3], part[4], part[5])
    }
    \$1 == \"->\" { \$2 = hex(\$2); print \"  \" \$0; next }
    \$1 == \"TCP\" || \$1 == \"UDP\" || \$1 == \"SCTP\" { \$2 = hex(\$2); print; next }
    { print \"FWM 0\" }"
}

say
IFS=" " read -r word version action pairs || word=
if [ "$word $version" != "weir 1" ]; then section refused; exit 2; fi
cd /

if [ "$action" = connections ]; then
  section connections
  if shown=$(show_table); then say "table yes"; there=yes; else say "table no"; there=no; fi
  # rows VIP:PORT WS:PORT WEIGHT ACTIVE INACTIVE
  [ $there = no ] || say "$shown" | awk -v pairs="$pairs" "
    function hex(address, part) { split(address, part, \".\"); return sprintf(\"%02X%02X%02X%02X\", part[1], part[2], part[3], part[4]) }
    BEGIN { count = split(pairs, each, \" \"); for (i = 1; i <= count; i++) { split(each[i], pair, \"=\"); wanted[hex(pair[1]) \" \" hex(pair[2])] = 1 } }
    \$1 == \"TCP\" || \$1 == \"UDP\" || \$1 == \"SCTP\" || \$1 == \"FWM\" { service = \$2; split(toupper(service), at, \":\"); next }
    \$1 == \"->\" { split(toupper(\$2), to, \":\"); if ((at[1] \" \" to[1]) in wanted) print service, \$2, \$4, \$5, \$6 }"
  # rows VIP:PORT WS:PORT PERSISTENT
  if [ $there = yes ] && command -v ipvsadm >/dev/null 2>&1; then
    section persistent
    { limited 30 ipvsadm -Ln --persistent-conn 2>&1 && say "complete"; } | awk -v pairs="$pairs" "
      BEGIN { count = split(pairs, each, \" \"); for (i = 1; i <= count; i++) wanted[each[i]] = 1 }
      \$1 == \"TCP\" || \$1 == \"UDP\" || \$1 == \"SCTP\" || \$1 == \"FWM\" { service = \$2; split(service, at, \":\"); next }
      \$1 == \"->\" { split(\$2, to, \":\"); if ((at[1] \"=\" to[1]) in wanted) print service, \$2, \$4; next }
      \$1 == \"complete\""
  fi
  section end
  exit 0
fi
if [ "$action" != status ]; then section refused; exit 2; fi

section machine
say "uid $(id -u)"
first_line /proc/uptime
say "uptime ${'$'}{line%% *}"
first_line /proc/sys/kernel/random/boot_id
say "boot $line"
say "time $(date +%s)"

# what lies below /etc/weir
section links
live="/etc/keepalived/keepalived.conf /etc/frr/frr.conf /usr/local/etc/zebra.conf /usr/local/etc/ospfd.conf"
ls -ld $etc/current $etc/active $etc/previous $etc/bin/weir /usr/local/sbin/weir $live 2>/dev/null
section files
for name in activating undone loaded drain fence; do
  if [ -e "$etc/$name" ]; then first_line "$etc/$name"; say "$name $line"; fi
done
[ ! -e $etc/backup ] || say "backup "
folder_of $etc/current
current=$folder
folder_of $etc/active
active=$folder

section manifests
cd $etc/releases 2>/dev/null && set -- */manifest.json || set --
heads=
if [ -r "${'$'}{1-}" ]; then
  heads=$(grep -E "^\"(release|cluster|lb|dataplane|routing|services|helper|agent|loads)\": " /dev/null "$@")
  say "$heads"
fi
cd /

# the release's own list of its files, and what the files are
if [ -n "$current" ]; then
  section manifest "$current"
  [ ! -r "$etc/current/manifest.json" ] || cat "$etc/current/manifest.json"
  section sums "$current"
  (cd "$etc/releases/$current" && find . -type f -exec sha256sum {} + -o ! -type d -print 2>/dev/null)
fi
section live
sha256sum $live $etc/bin/* 2>/dev/null

# keepalived: COMM of a child may be weir-LOADS, the checker's name, which tells what it has loaded
section keepalived
for file in /run/keepalived.pid /var/run/keepalived.pid /run/keepalived/keepalived.pid; do
  if [ -r $file ]; then first_line $file; say "pidfile $line"; break; fi
done
processes=$(cat /proc/[0-9]*/stat 2>/dev/null | awk "
  match(\$0, /^[0-9]+ \((keepalived|weir-[0-9a-f]+)\) /) {
    split(substr(\$0, 1, RLENGTH), name, / \(|\) /)
    split(substr(\$0, RLENGTH + 1), field, \" \")
    if (field[1] == \"Z\") next
    if (name[2] == \"keepalived\") keepalived[name[1]] = 1
    parent[name[1]] = field[2]
    row[name[1]] = name[1] \" \" field[2] \" \" field[20] \" \" name[2]
  }
  END { for (pid in row) if ((pid in keepalived) || (parent[pid] in keepalived)) print \"process\", row[pid] }")
[ -z "$processes" ] || say "$processes"

# what keepalived reads of one release: that which it loaded, if a release here is, else the active one, else the current
loads=
case $processes in
  *" weir-"*) loads=${'$'}{processes##* weir-}; loads=${'$'}{loads%%"$newline"*} ;;
  *) first_line $etc/loaded; loads=${'$'}{line%% *} ;;
esac
case $loads in *[!0-9a-f]*) loads= ;; esac
expected=${'$'}{active:-$current}
if [ -n "$loads" ]; then
  mark="manifest.json:\"loads\": \"$loads\""
  case "$newline$heads" in
    *"$newline$current/$mark"*) expected=$current ;;
    *"/$mark"*)
      expected=${'$'}{heads%%/"$mark"*}
      expected=${'$'}{expected##*"$newline"}
      ;;
  esac
fi
if [ -n "$expected" ] && [ -r "$etc/releases/$expected/keepalived/entry.conf" ]; then
  section expected "$expected"
  (cd "$etc/releases/$expected/keepalived" && awk "
    function show(  word) {
      word = \$1
      if (word == \"virtual_server_group\") { group = 1; print word, \$2 }
      else if (word == \"virtual_server\") { print word, \$2, (\$2 == \"group\" || \$3 != \"{\") ? \$3 : \"\" }
      else if (word == \"real_server\") print word, \$2, \$3
      else if (word == \"protocol\" || word == \"lb_algo\" || word == \"persistence_timeout\" || word == \"quorum\" || word == \"weight\") print word, \$2
      else if (word == \"quorum_up\") print
      else if (group && word == \"}\") group = 0
      else if (group && word ~ /^[0-9]/) print \"address\", \$1, \$2
    }
    function enter(path, depth,  line) {
      while ((getline line <path) > 0) {
        \$0 = line
        if (\$1 != \"include\") show()
        else if (depth < 4) enter(\$2, depth + 1)
      }
      close(path)
    }
    BEGIN { enter(\"entry.conf\", 0) }" </dev/null)
fi

# host settings and routing as the releases have them: that which is published, and that which was activated
set --
for id in $current $active; do
  for name in host/addresses host/announce.conf host/sysctl.conf host/iptables routing/frr.conf routing/zebra.conf routing/ospfd.conf; do
    if [ -r "$etc/releases/$id/$name" ]; then set -- "$@" "$etc/releases/$id/$name"; fi
  done
  [ "$active" != "$current" ] || break
done
if [ $# -gt 0 ]; then
  awk "FNR == 1 { print \"@@weir file \" substr(FILENAME, length(\"$etc/releases/\") + 1) } { print }" "$@"
  section sysctl
  awk "
    /^[ \t]*([#;]|\$)/ || FILENAME !~ /sysctl.conf\$/ { next }
    {
      split(\$0, pair, /[ \t]*=/)
      key = pair[1]
      sub(/^[ \t]+/, \"\", key)
      if (key in seen) next
      seen[key] = 1
      path = key
      if (path !~ /\//) gsub(/\./, \"/\", path)
      path = \"/proc/sys/\" path
      if ((getline value <path) > 0) print key \" = \" value
      close(path)
    }" "$@"
fi

section addresses
ip -o -4 addr show 2>/dev/null
section ipvs
show_table || say "absent"
if [ $plane = dpvs ]; then
  section dpdk
  limited 10 dpip addr show 2>/dev/null || say "absent"
fi

# without -t: only tables that exist are shown, and none is made; where legacy tables are, nft is asked last
case "$*" in
  *host/iptables*)
    first_line /proc/net/ip_tables_names
    if [ -n "$line" ]; then set -- iptables-legacy-save iptables-save; else set -- iptables-save iptables-legacy-save; fi
    for program; do
      command -v $program >/dev/null 2>&1 || continue
      chains=$(limited 10 $program 2>/dev/null | grep -E "^\*|WEIR-")
      section iptables "$program"
      say "$chains"
      case $chains in *WEIR-*) break ;; esac
    done
    ;;
esac

if command -v vtysh >/dev/null 2>&1; then
  section running
  if words=$(limited 10 vtysh -c "show running-config" 2>&1 </dev/null); then
    say "$words"
    section neighbours
    words=$(limited 10 vtysh -c "show ip ospf neighbor json" 2>/dev/null </dev/null)
    case $words in
      "{"*) say "$words" ;;
      *) limited 10 vtysh -c "show ip ospf neighbor" 2>/dev/null </dev/null ;;
    esac
  else
    section routing-failed
    say "$words"
  fi
fi
section end
`;

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** For an LB where ssh logs in as root, or as a user who may not see all. */
export const observeCommand = `exec sh -c ${quote(script)}`;

/** For an LB where ssh logs in as a user who may run sh through sudo without a password. */
export const observeCommandSudo = `exec sudo -n sh -c ${quote(script)}`;
