/** Shell text of the agent (agent.ts): keepalived: finding it, what it has loaded, starting it and making it load. */

export const keepalived = String.raw`# --- keepalived -------------------------------------------------------------------------------------------------

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

`;
