/** Shell text of the agent (agent.ts): activation and its checks. */

export const activate = String.raw`# --- commands ---------------------------------------------------------------------------------------------------

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
  if [ "$dataplane" = dpvs ]; then
    all_vips >"$run/vips"
    in_dpdk "$run/vips" >"$etc/announced.dpdk" || fail "cannot write $etc/announced.dpdk"
  fi
  full_neighbours
  full_before=$full
}

# What is not as it should be after loading; nothing if all is. Sets trouble, and waiting: VIPs that were not announced
# before and are not yet. Those that are to be announced never are left out.
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
  read_table || return 1
  found=$( { all_vips; echo; announced; echo; cat "$@" /dev/null; } | awk -v table="$services" -v before="$etc/announced" -v drained="$drained" "
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
    \$1 == \"quorum_up\" && \$4 == \"none\" { hidden[\$3] = 1; next }
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
        if (f[1] in ours && !(f[1] in on) && !(f[1] in hidden)) complain(\"VIP \" f[1] \" was announced before and is not now\")
      }
      if (!drained) for (a in ours) if (!(a in on) && !(a in was) && !(a in hidden)) { if (m++ < 5) print \"new \" a }
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
    "dpvs "*" v2.0.19"*)
      { read -r _ device _ <"$dir/host/announce.conf"; } 2>/dev/null || fail "the release names no device of DPVS"
      check_dpvs "$device" || fail "$trouble" ;;
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
  rm -f "$etc/activating" "$etc/announced" "$etc/announced.dpdk" "$etc/drain.before" "$etc/undone" "$run/restarted"
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

`;
