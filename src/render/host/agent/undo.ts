/** Shell text of the agent (agent.ts): going back, by itself or when it is asked to. */

export const undo = String.raw`# --- undo -------------------------------------------------------------------------------------------------------

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
    apply_host "$to" on || complaints="$complaints; $trouble"
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
      [ ! -r "$etc/announced.dpdk" ] || dpdk_all add <"$etc/announced.dpdk"
      # as it was: what was announced comes back, what this activation announced goes
      sed "s|\([^ ]*\) \(.*\)|addr replace \1/32 dev \2|" "$etc/announced" | ip -force -batch - 2>/dev/null
      announced | awk -v before="$etc/announced" "
        BEGIN { while ((getline line <before) > 0) was[line] = 1 }
        !(\$0 in was) { print \"addr del \" \$1 \"/32 dev \" \$2 }" | ip -force -batch - 2>/dev/null
      if [ -r "$etc/announced.dpdk" ]; then
        all_vips >"$run/vips"
        in_dpdk "$run/vips" | grep -vxF -f "$etc/announced.dpdk" | dpdk_all del
      fi
    fi
  fi
  if [ -n "$to" ]; then point active "releases/${'$'}{to##*/}"; else rm -f "$etc/active" "$etc/loaded"; fi
  rm -f "$etc/previous"
  clock
  put undone "$now $from_release $target $(one_line "$why$complaints")"
  sync -f "$etc" 2>/dev/null || sync
  rm -f "$etc/activating" "$etc/announced" "$etc/announced.dpdk" "$etc/drain.before"
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

`;
