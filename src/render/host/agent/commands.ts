/** Shell text of the agent (agent.ts): the other commands, and which one it is. */

export const commands = String.raw`# $1: weir (as the document says), override (beside it) or local (by hand on the LB); only the first ends with an
# activation. $2: reason
drain() {
  begin host
  put drain "$1 $(date +%s) $(one_line "$2")" || fail "cannot write $etc/drain"
  settle || warn "what announces the VIPs did not do all it should; what counts is whether they are announced"
  left=$(announced | grep -c .)
  [ "$left" = 0 ] || fail "$left VIPs are still on this machine"
  say "done drained none"
}

undrain() {
  begin host
  rm -f "$etc/drain" || fail "cannot remove $etc/drain"
  settle || fail "VIPs cannot be changed"
  say "done undrained none"
}

# VIPs as the release wants them that keepalived has loaded
settle() {
  folder_of active
  [ -n "$folder" ] || folder_of current
  [ -n "$folder" ] || return 0
  reconcile "$folder"
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
    rm -f "$etc/drain.before" "$etc/announced" "$etc/announced.dpdk"
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
    apply_host "$folder" on || { echo "weir: $trouble" >&2; rc=1; }
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
`;
