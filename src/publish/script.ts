/**
 * The one constant command that publishing runs on an LB. All data comes on its standard input:
 * first a line `weir 1 ACTION FENCE ID SERVICES DIALECT ROUTING FORCE`, then, after the script has said
 * what it holds, `same`, `full` or `delta BASE`, then a gzipped tar.
 * POSIX sh (dash, bash 4.1, busybox ash), no systemd; needs coreutils 8.4, tar, gzip, sed, awk, find, flock.
 *
 * It answers lines: `step NAME`, `have ID|none`, `warn TEXT`, `fail STEP TEXT`, `done WHAT ID`.
 * Nothing that a running daemon reads changes before step `switch`, which is renames of files that
 * lie ready, so that a full disk or a kill cannot tear it; a failure there puts back what was.
 * Folders that a keepalived may still be reading are neither changed nor moved: releases that were live
 * stay for some publications, and `current` stays when the original files are put back.
 *
 * Whoever holds the lock writes `PID START_TICKS PGRP` into it. One that waits for a Weir which says no more is
 * ended by a newer one: by TERM, which is ignored while files are switched.
 *
 * Publications go to many LBs at once: what every one of them runs costs as few processes as can be.
 */

import { createHash } from 'node:crypto';
import { liveStub } from '../render/keepalived/keepalived.ts';

const stubSum = createHash('sha256').update(liveStub).digest('hex');

const script = String.raw`
set -u
umask 022
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
LC_ALL=C
export PATH LC_ALL
unset GREP_OPTIONS TAR_OPTIONS GZIP CDPATH
etc=/etc/weir
tmp=$etc/releases/.stage
stub="${liveStub.trim()}"
stub_sum=${stubSum}
# every path that a daemon reads and that we may write; "live" are those of the release's routing suite
conf=/etc/keepalived/keepalived.conf
paths="$conf /usr/local/etc/zebra.conf /usr/local/etc/ospfd.conf /etc/frr/frr.conf"
sbin=/usr/local/sbin/weir
newline="
"
step=start
locked=no
switched=no
began=no
moved=
relinked=no

say() { printf "%s\n" "$*"; }
begin() { step=$1; say "step $1"; }
fail() {
  words=$*
  trap "" HUP INT TERM PIPE
  # a signal may have come while lines were taken apart
  IFS=" $newline"
  set +f
  # dash calls a full disk an I/O error
  case $words in
    "cannot write /"*)
      place=${'$'}{words#cannot write }
      case $(df -P "${'$'}{place%/*}" 2>/dev/null) in *" 100% "*) words="$words: the disk is full" ;; esac
      ;;
  esac
  [ "$switched" = no ] || undo
  # a first publication that failed leaves no backup: what it holds may be changed before the next
  [ "$began" = no ] || mv -T "$etc/backup" "$etc/.restored"
  [ "$locked" = no ] || sweep
  say "fail $step $words"
  exit 1
}
one_line() { printf "%s" "$*" | tr "\n\t" "; " | cut -c1-600; }
there() { [ -e "$1" ] || [ -L "$1" ]; }

# removes what this publication, or one that was killed, left beside its work
sweep() {
  rubbish=
  for path in $paths; do
    for file in "$path.weir-new" "$path.weir-old"; do if there "$file"; then rubbish="$rubbish $file"; fi; done
  done
  for file in "$tmp" "$etc/current.new" "$etc/fence.new" "$etc/written.new" "$etc/bin/.new" "$etc/bin/.weir" "$etc/.backup" "$etc/.test.conf"; do
    if there "$file"; then rubbish="$rubbish $file"; fi
  done
  [ -z "$rubbish" ] || rm -rf $rubbish
  [ -d "$etc/.restored" ] || return 0
  # folders that were made for live files go again if nothing else came into them
  while read -r path; do [ ! -d "$path" ] || rmdir "$path" 2>/dev/null; done <"$etc/.restored/absent"
  rm -rf "$etc/.restored"
}

# file in the release that belongs to a live path; empty for keepalived.conf, which is constant
source_of() {
  case $1 in
    */zebra.conf) source=$dir/routing/zebra.conf ;;
    */ospfd.conf) source=$dir/routing/ospfd.conf ;;
    */frr.conf) source=$dir/routing/frr.conf ;;
    *) source= ;;
  esac
}

# Verifies a folder against the manifest in it, in three processes whatever its size. "bad" is what differs;
# "found", "helper_name", "agent_name" and "count" are the release's ID, its helpers, and the virtual services that keepalived
# would find. keepalived 2 leaves out files that may be executed, and says nothing.
verify() {
  bad=
  found=
  helper_name=
  agent_name=
  count=
  cd "$1" 2>/dev/null || { bad="$1 is missing"; return 1; }
  if [ ! -r manifest.json ]; then
    bad="manifest.json is missing"
  else
    facts=$(find . -path "./keepalived/*" -type f \( -perm -0100 -o -perm -0010 -o -perm -0001 \) -print -print -o ! -path ./manifest.json -type f -exec sha256sum {} + -o ! -type d ! -path ./manifest.json -print 2>/dev/null | awk -F"\"" "
      function complain(words) { if (n++ < 5) text = text \"\n\" words }
      FILENAME == \"manifest.json\" {
        if (\$2 == \"path\") { sum[\"./\" \$4] = \$8; listed++ }
        else if (\$2 == \"release\") release = \$4
        else if (\$2 == \"helper\") helper = \$4
        else if (\$2 == \"agent\") agent = \$4
        next
      }
      substr(\$0, 65, 4) != \"  ./\" { strange[\$0]++; next }
      {
        path = substr(\$0, 67)
        if (!(path in sum)) complain(substr(path, 3) \": not in the manifest\")
        else { if (sum[path] != substr(\$0, 1, 64)) complain(substr(path, 3) \": FAILED\"); delete sum[path] }
      }
      END {
        for (path in strange) complain(substr(path, 3) (strange[path] > 1 ? \": may be executed\" : \": not in the manifest\"))
        for (path in sum) if (!(path in strange)) complain(substr(path, 3) \": FAILED open or read\")
        if (listed == 0) complain(\"manifest.json cannot be read\")
        while ((getline line <\"keepalived/entry.conf\") > 0) if (line ~ /^include /) main = \"keepalived/\" substr(line, 9)
        while (main != \"\" && (getline line <main) > 0) {
          if (line ~ /^virtual_server /) services++
          if (line !~ /^include /) continue
          file = \"keepalived/\" substr(line, 9)
          while ((getline more <file) > 0) if (more ~ /^virtual_server /) services++
          close(file)
        }
        print (release == \"\" ? \"none\" : release), (helper == \"\" ? \"none\" : helper), (agent == \"\" ? \"none\" : agent), services + 0 text
      }" manifest.json -)
    bad=${'$'}{facts#*"$newline"}
    [ "$bad" != "$facts" ] || bad=
    set -- ${'$'}{facts%%"$newline"*}
    if [ $# = 4 ]; then found=$1 helper_name=$2 agent_name=$3 count=$4; else bad="manifest.json cannot be read"; fi
  fi
  cd /
  [ -z "$bad" ]
}

# sums of files, in one process; sum_at reads them
read_sums() {
  set -- $(sha256sum "$@" 2>/dev/null)
  sums=" "
  while [ $# -gt 1 ]; do sums="$sums$2=$1 "; shift 2; done
}
sum_at() {
  sum=${'$'}{sums#*" $1="}
  if [ "$sum" = "$sums" ]; then sum=none; else sum=${'$'}{sum%% *}; fi
}

# Whether a live path holds what some publication wrote there, or what an undo put back: the routing files of the release
# that is published now. After read_sums with current_routing, and sum_at.
is_ours() {
  [ ! -L "$1" ] || return 1
  case " $written $restored " in *" $sum "*) return 0 ;; esac
  return 1
}
read_written() {
  written=
  [ ! -r "$etc/written" ] || read -r written <"$etc/written" || written=
  restored=
  for file in $current_routing; do
    sum_at "$file"
    [ "$sum" = none ] || restored="$restored $sum"
  done
}

# the paths that publishing ever took over here
read_taken() {
  taken_paths=
  [ ! -r "$etc/backup/paths" ] || read -r taken_paths <"$etc/backup/paths" || taken_paths=
  [ -n "$taken_paths" ] || taken_paths="$conf /usr/local/etc/zebra.conf /usr/local/etc/ospfd.conf"
}

# Whether a live path is as the backup has it. The first publication may have been killed before it took over all.
is_as_before() {
  if ! there "$1"; then grep -qxF "$1" "$etc/backup/absent"
  elif [ -L "$1" ] || [ -L "$etc/backup$1" ]; then
    [ -L "$1" ] && [ -L "$etc/backup$1" ] && [ "$(readlink "$1")" = "$(readlink "$etc/backup$1")" ]
  else cmp -s "$1" "$etc/backup$1"
  fi
}

# keeps a copy of what a person wrote
keep_copy() {
  [ -d "$etc/edited" ] || mkdir "$etc/edited" || fail "cannot write $etc/edited"
  cp -a "$1" "$etc/edited/${'$'}{1##*/}.$(date +%s)-$$" || fail "cannot write $etc/edited"
}

# copies all paths below a folder, also of the other routing suite, and lists those that are not there, with their folders
copy_live() {
  mkdir "$1" && printf "" >"$1/absent" && printf "" >"$1/.taking" && say "$live" >"$1/paths" || return 1
  for path in $paths; do
    if there "$path"; then
      mkdir -p "$1${'$'}{path%/*}" && cp -a "$path" "$1$path" || return 1
    else
      say "$path" >>"$1/absent" || return 1
      [ -d "${'$'}{path%/*}" ] || say "${'$'}{path%/*}" >>"$1/absent" || return 1
    fi
  done
}

owner_of() { set -- $(ls -lnLd "$1") && owner=$3:$4; }

# Lays a file ready beside a live path, and a copy of what is there for undo. A routing file gets the owner of what is there;
# the daemon's user instead of root, since the daemon rewrites it.
lay_ready() {
  folder=${'$'}{1%/*}
  [ -d "$folder" ] || mkdir -p "$folder" || return 1
  owner=0:0
  if [ -e "$1" ]; then owner_of "$1" || return 1; fi
  if [ -n "$2" ] && [ "${'$'}{owner%%:*}" = 0 ]; then
    user=quagga
    [ "${'$'}{1##*/}" != frr.conf ] || user=frr
    if id "$user" >/dev/null 2>&1; then owner=$user:; fi
  fi
  # noclobber: made anew, never through a link that somebody else put there
  set -C
  if [ -n "$2" ]; then umask 026; cat "$2" >"$1.weir-new"; else say "$stub" >"$1.weir-new"; fi
  made=$?
  set +C
  umask 022
  [ "$made" = 0 ] || return 1
  if [ "$owner" != 0:0 ] || [ -g "$folder" ]; then chown -h "$owner" "$1.weir-new" || return 1; fi
  ! there "$1" || cp -a --remove-destination "$1" "$1.weir-old"
}

# what a failed switch had changed goes back, by renames
undo() {
  switched=no
  for path in $moved; do
    if there "$path.weir-old"; then mv -T -f "$path.weir-old" "$path"; else rm -f "$path"; fi
  done
  [ "$action" = publish ] || return 0
  if [ "$relinked" = yes ]; then
    rm -f "$etc/bin/weir"
    [ -z "$was_agent" ] || ln -s "$was_agent" "$etc/bin/weir"
  fi
  if [ "$current" != none ] && [ "$(readlink "$etc/current")" != "releases/$current" ]; then
    ln -s "releases/$current" "$etc/current.new" && mv -T -f "$etc/current.new" "$etc/current"
  fi
}

sync_disks() {
  set -- "$etc"
  for path in $todo; do set -- "$@" "${'$'}{path%/*}"; done
  sync -f "$@" 2>/dev/null || sync
}

# --- this machine's own programs -----------------------------------------------------------------------------------

# looks for a program in folders, joined by colons
find_program() {
  name=$1
  ifs=$IFS
  IFS=:
  set -- $2
  IFS=$ifs
  for folder; do
    program=$folder/$name
    if [ -f "$program" ] && [ -x "$program" ]; then return 0; fi
  done
  program=
  return 1
}

# Runs a program that may hang, without our lock: "code", and its "words". Weir hears that it goes on.
limited() {
  seconds=$1
  shift
  say
  if find_program timeout "$PATH"; then set -- "$program" -s KILL "$seconds" "$@"; fi
  words=$( { "$@" 2>&1 </dev/null 9>&-; } 2>/dev/null)
  code=$?
}

# Lines of "words", each once and the first few of each: "errors", which are those of patterns, and "notes", all others.
# Without a pattern all are errors.
sort_words() {
  errors=
  notes=
  set -f
  ifs=$IFS
  IFS=$newline
  for line in $words; do
    [ "${'$'}{#errors}" -lt 500 ] || break
    if is_error "$1" "$line"; then
      case "; $errors; " in *"; $line; "*) ;; *) errors="${'$'}{errors:+$errors; }$line" ;; esac
    elif [ "${'$'}{#notes}" -lt 500 ]; then
      case "; $notes; " in *"; $line; "*) ;; *) notes="${'$'}{notes:+$notes; }$line" ;; esac
    fi
  done
  IFS=$ifs
  set +f
}

is_error() {
  case $1:$2 in
    # a word that is to go one day, which keepalived counts as an error of the configuration
    keepalived*:*deprecated*) return 1 ;;
    # what it does not read, and ends with 0 all the same
    keepalived0:*[Mm]issing*|keepalived0:*skipping*|keepalived0:*ignoring*|keepalived0:*[Ii]nvalid*|keepalived0:*[Uu]nknown*) return 0 ;;
    keepalived0:*) return 1 ;;
    keepalived*:*) return 0 ;;
    vtysh:*vtysh.conf*) return 1 ;;
    vtysh:*"% "*) return 0 ;;
    # a word of another daemon, which vtysh has judged
    ospfd:*"No such command"*) return 1 ;;
    ospfd:*" on config line "*|ospfd:*"rror description"*|ospfd:"Please "*) return 0 ;;
  esac
  return 1
}

# keepalived's own test, through a file that leads to the release as the live path does
test_keepalived() {
  say "include $dir/keepalived/entry.conf" >"$etc/.test.conf" || fail "cannot write $etc/.test.conf"
  limited 30 "$keepalived" -t -l -f "$etc/.test.conf"
  if [ "$code" = 0 ]; then sort_words keepalived0; else sort_words keepalived; fi
  case $code in
    0|5|6) ;;
    124|137|143) fail "keepalived -t did not end within 30 s" ;;
    *) fail "keepalived -t ended with code $code: $errors" ;;
  esac
  [ -z "$errors" ] || fail "keepalived -t: $errors"
  [ "$code" = 0 ] || [ -n "$notes" ] || fail "keepalived -t ended with code $code and without a word"
  [ -z "$notes" ] || say "warn keepalived -t: $notes"
}

# Whether the BFD daemon runs where OSPF is to use BFD: FRR takes the configuration without it, and then notices nothing
# sooner. $1: vtysh
test_bfdd() {
  wanted=no
  while read -r line; do [ "$line" != "ip ospf bfd" ] || wanted=yes; done <"$file"
  [ "$wanted" = yes ] || return 0
  limited 10 "$1" -c "show daemons"
  case " $words$newline" in *" bfdd "*|*" bfdd$newline"*) return 0 ;; esac
  say "warn bfdd does not run on this machine, and OSPF is to use BFD: set bfdd=yes in /etc/frr/daemons and reload FRR (service frr reload), which leaves its other daemons running; activation is refused until then"
}

# vtysh knows the words of all daemons, and ospfd what they mean
test_frr() {
  file=$dir/routing/frr.conf
  # ospfd reads it as its own user
  chgrp frr "$file" 2>/dev/null
  if find_program vtysh "$PATH"; then
    vtysh=$program
    limited 20 "$vtysh" -C -f "$file"
    sort_words vtysh
    case $code in 124|137|143) fail "vtysh -C did not end within 20 s" ;; esac
    [ -z "$errors" ] || fail "vtysh -C: $errors"
    [ "$code" = 0 ] || say "warn vtysh -C ended with code $code: $(one_line "$words")"
    test_bfdd "$vtysh"
  else
    say "warn FRR's vtysh is not installed on this machine"
  fi
  if find_program ospfd "/usr/lib/frr:/usr/lib64/frr:/usr/libexec/frr:$PATH"; then
    limited 20 sh -c "echo \$\$; exec \"\$0\" -C -f \"\$1\"" "$program" "$file"
    # it leaves a folder of its own behind at every start
    rmdir "/var/tmp/frr/ospfd.${'$'}{words%%"$newline"*}" 2>/dev/null
    sort_words ospfd
    case $code in
      0|1) ;;
      124|137|143) fail "ospfd -C did not end within 20 s" ;;
      *) fail "ospfd -C ended with code $code: $(one_line "$words")" ;;
    esac
    [ -z "$errors" ] || fail "ospfd -C: $errors"
    case $code$words in 1*|*"open configuration file"*) say "warn ospfd -C could not try frr.conf: $(one_line "${'$'}{words#*"$newline"}")" ;; esac
  else
    say "warn FRR's ospfd is not installed on this machine"
  fi
}

# What this machine's keepalived says of itself, which takes it as long as ten other programs: asked again only when
# the program is another one, by inode, size and time. Then its test, if it is one that has a test.
test_programs() {
  if find_program keepalived "$PATH"; then
    keepalived=$program
    file=$(ls -lniL "$keepalived" 2>/dev/null)
    known=
    [ ! -r "$etc/keepalived.version" ] || { read -r known && read -r version; } <"$etc/keepalived.version"
    if [ -z "$file" ] || [ "$known" != "$file" ]; then
      limited 20 "$keepalived" -v
      version=${'$'}{words%%"$newline"*}
      say "$file$newline$version" >"$etc/keepalived.version" || fail "cannot write $etc/keepalived.version"
    fi
    case "$dialect $version" in
      "fullnat "*v1.2.2*) ;;
      "ipvs "*" v2."*) test_keepalived ;;
      *) say "warn this machine's keepalived does not read the dialect $dialect: $version" ;;
    esac
  else
    say "warn keepalived is not installed on this machine"
  fi
  [ "$routing" != frr ] || test_frr
}

# --- lock ----------------------------------------------------------------------------------------------------------

# start and process group of a process; "start" is empty where there is none
read_process() {
  start=
  { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 0
  set -- ${'$'}{line##*) }
  pgrp=$3
  start=${'$'}{20}
}

# Ends a publication that holds the lock, with what it runs. One that switches files ignores it and goes on to its end.
end_holder() {
  holder=
  { read -r holder began_at _ <"$etc/lock"; } 2>/dev/null
  case $holder in ""|*[!0-9]*) return 0 ;; esac
  read_process "$holder"
  if [ -n "$start" ] && [ "$start" = "$began_at" ]; then kill -TERM "-$pgrp"; fi
}

take_lock() {
  # printf first: in dash, a redirection of exec that fails ends the shell without a word of ours
  printf "" >>"$etc/lock" || fail "cannot write $etc/lock"
  exec 9>>"$etc/lock"
  if ! flock -n 9; then
    check_fence
    if ! flock -w 5 9; then
      [ "$fence" = "$seen" ] || end_holder
      flock -w 15 9
    fi || {
      refuse_while_activating
      fail "another publication works on this machine: it holds $etc/lock since 20 s"
    }
  fi
  read_process "$$"
  say "$$ $start $pgrp" >"$etc/lock" || fail "cannot write $etc/lock"
}

check_fence() {
  seen=0
  [ ! -r "$etc/fence" ] || read -r seen <"$etc/fence"
  case $seen in ""|*[!0-9]*) seen=0 ;; esac
  [ "$fence" -ge "$seen" ] || fail "refused: fencing number $fence is older than $seen, which this machine has seen; another Weir took over"
}

# An activation that is not confirmed may go back to what is published now.
refuse_while_activating() {
  activating=
  [ -r "$etc/activating" ] || return 0
  read -r activating before deadline _ <"$etc/activating"
  activating="$activating $before"
  case $deadline in ""|*[!0-9]*) return 0 ;; esac
  left=$((deadline - $(date +%s)))
  [ "$left" -lt -60 ] || fail "release ${'$'}{activating%% *} is being activated and not confirmed: until that is decided, in $left s at the latest, nothing is published here (weir undo on the LB ends it)"
  say "warn the activation of release ${'$'}{activating%% *} was neither confirmed nor undone, $((-left)) s after its time"
}

say
IFS=" " read -r word version action fence id services dialect routing force || fail "no request"
[ "$word $version" = "weir 1" ] || fail "a request of another version: $word $version"
case $action in publish|restore) ;; *) fail "a request of another version: $action" ;; esac
case $fence$id in *[!0-9a-z]*) fail "a request of another version: $fence $id" ;; esac
case $routing in
  quagga) live="$conf /usr/local/etc/zebra.conf /usr/local/etc/ospfd.conf" ;;
  frr) live="$conf /etc/frr/frr.conf" ;;
  none) live= ;;
  *) fail "a request of another version: $routing" ;;
esac

begin lock
[ -O / ] || [ "$(id -u)" = 0 ] || fail "not root but $(id -un): set ssh.user to root, or ssh.sudo"
command -v flock >/dev/null 2>&1 || fail "flock is not installed (package util-linux)"
if [ ! -d "$etc/bin" ]; then
  mkdir -p "$etc/releases" "$etc/bin" && chmod 0755 "$etc" || fail "cannot write $etc"
fi
take_lock
trap "fail \"ended by a signal: a newer publication took over, or the machine goes down\"" TERM
check_fence
locked=yes
sweep
say "$fence" >"$etc/fence.new" && mv -f "$etc/fence.new" "$etc/fence" || fail "cannot write $etc/fence"

# names a folder in releases/: an ID, or ID.fix where a live release that was changed by hand was replaced
current=none
if cd -P "$etc/current" 2>/dev/null; then
  current=${'$'}{PWD##*/}
  cd /
elif [ -L "$etc/current" ]; then
  current=$(readlink "$etc/current")
  current=${'$'}{current##*/}
fi
current_routing=
if [ "$current" != none ]; then
  for file in zebra.conf ospfd.conf frr.conf; do
    file=$etc/releases/$current/routing/$file
    [ ! -f "$file" ] || current_routing="$current_routing $file"
  done
fi
taken=no
if [ -d "$etc/backup" ]; then
  taken=yes
  read_taken
fi
refuse_while_activating

if [ "$action" = restore ]; then
  begin restore
  if [ "$taken" = no ]; then
    say "warn nothing to put back: this machine has no $etc/backup"
    say "done unchanged none"
    exit 0
  fi
  read_sums $taken_paths $current_routing
  read_written
  todo=
  for path in $taken_paths; do
    sum_at "$path"
    if there "$path" && ! is_ours "$path" && ! is_as_before "$path"; then
      keep_copy "$path"
      say "warn $path was changed by hand; a copy is kept in $etc/edited"
    fi
    if there "$etc/backup$path"; then
      [ -d "${'$'}{path%/*}" ] || mkdir -p "${'$'}{path%/*}" || fail "cannot write $path"
      cp -a --remove-destination "$etc/backup$path" "$path.weir-new" || fail "cannot write $path"
    elif ! grep -qxF "$path" "$etc/backup/absent"; then
      fail "$etc/backup is not whole: it has no $path, and does not list it as absent"
    fi
    ! there "$path" || cp -a --remove-destination "$path" "$path.weir-old" || fail "cannot write $path"
    todo="$todo $path"
  done
  # a restore that is killed leaves live files that are as before; publishing may replace them
  printf "" >"$etc/backup/.taking" || fail "cannot write $etc/backup"
  sync_disks
  trap "" HUP INT TERM PIPE
  switched=yes
  for path in $todo; do
    if there "$path.weir-new"; then mv -T -f "$path.weir-new" "$path"; else rm -f "$path"; fi || fail "cannot write $path"
    moved="$moved $path"
  done
  # what activations knew of releases, which nothing reads any more; a drain is the operator's
  set -- "$etc/active" "$etc/previous" "$etc/loaded" "$etc/undone" "$etc/activating"
  # what watches over a keepalived that still runs with our services calls the agent
  watched=no
  for file in /etc/systemd/system/keepalived.service.d/weir.conf /var/run/weir/watch.pid; do
    [ ! -e "$file" ] || watched=yes
  done
  [ "$watched" = yes ] || set -- "$@" "$etc/bin/weir"
  if [ -L "$sbin" ] && [ "$sbin" -ef "$etc/bin/weir" ]; then set -- "$@" "$sbin"; fi
  rm -f "$@"
  mv -T "$etc/backup" "$etc/.restored" || fail "cannot remove $etc/backup"
  switched=no
  rm -f "$etc/written"
  sync_disks
  sweep
  say "done restored none"
  exit 0
fi

have=none
edited_release=
if [ "$current" != none ]; then
  begin check
  if verify "$etc/releases/$current"; then
    have=${'$'}{current%.fix}
  elif [ "$taken" = no ]; then
    : nothing reads it
  elif [ ! -d "$etc/releases/$current" ]; then
    say "warn the live release $current was missing and is put back"
  elif [ "$force" = yes ]; then
    edited_release=$current
    say "warn files of the live release were changed by hand and are replaced; a copy is kept in $etc/edited: $(one_line "$bad")"
  else
    fail "files of the live release were changed by hand: $(one_line "$bad"); publish with --overwrite to replace them"
  fi
fi
target=$id
[ "$have" != "$id" ] || target=$current
if [ "$have" != "$id" ] && [ -d "$etc/releases/$id" ] && [ "$current" != "$id" ] && verify "$etc/releases/$id"; then have=$id; fi
say "have $have"
IFS=" " read -r kind base || fail "the connection ended before the bundle"

begin stage
case $kind in
  same) [ "$have" = "$id" ] || fail "this machine does not have release $id" ;;
  full) mkdir "$tmp" || fail "cannot write $tmp" ;;
  delta)
    if [ "${'$'}{current%.fix}" = "$base" ]; then base=$current; fi
    cp -a "$etc/releases/$base" "$tmp" || fail "cannot copy release $base"
    ;;
  *) fail "a request of another version: $kind" ;;
esac
if [ "$kind" != same ]; then
  tar -xzmf - -C "$tmp" || fail "the bundle cannot be unpacked"
  if [ -f "$tmp/.remove" ]; then
    (cd "$tmp" && xargs rm -f .remove <.remove) || fail "cannot write $tmp"
  fi
fi

begin check
dir=$etc/releases/$target
if [ "$kind" != same ]; then
  dir=$tmp
  verify "$dir" || fail "the bundle does not match its manifest: $(one_line "$bad")"
  [ "$count" = "$services" ] || fail "keepalived would find $count virtual services, not $services"
  # never in the place of what is live
  if [ "$current" = "$id" ]; then target=$id.fix; fi
fi
[ "$found" = "$id" ] || fail "the manifest is not that of release $id"
case $helper_name in announce-*[!0-9a-f]*|none) fail "the manifest names no helper" ;; esac
case $agent_name in weir-*[!0-9a-f]*|none) fail "the manifest names no agent" ;; esac
helper=$etc/bin/$helper_name
agent=$etc/bin/$agent_name

# live files that are neither ours nor part of a first publication
read_sums $paths $current_routing "$dir/routing/"*.conf "$dir/host/announce" "$helper" "$dir/host/weir" "$agent"
read_written
todo=
edited=
writes=
newly=
for path in $paths; do
  case " $live " in
    *" $path "*) ;;
    *)
      # of the other routing suite: stays as it is, and ours if it was
      sum_at "$path"
      ! is_ours "$path" || writes="$writes $sum"
      continue
      ;;
  esac
  source_of "$path"
  if [ -n "$source" ]; then sum_at "$source"; else sum=$stub_sum; fi
  wanted=$sum
  sum_at "$path"
  if [ -d "$path" ]; then fail "$path is a folder, not a file"; fi
  writes="$writes $wanted"
  if [ "$sum" = "$wanted" ] && [ ! -L "$path" ]; then continue; fi
  todo="$todo $path"
  if [ "$taken" = no ]; then
    continue
  fi
  case " $taken_paths " in *" $path "*) ;; *) newly="$newly $path" ;; esac
  if is_ours "$path"; then
    writes="$writes $sum"
  elif [ -e "$etc/backup/.taking" ] && is_as_before "$path"; then
    continue
  elif [ "${'$'}{newly##* }" = "$path" ] && is_as_before "$path"; then
    say "warn $path is taken over now; what it holds stays in $etc/backup"
  elif there "$path"; then
    edited="$edited $path"
  else
    say "warn $path was missing and is put back"
  fi
done
# helpers of the release that are not in $etc/bin as they should be
unhelped=
for name in announce weir; do
  sum_at "$dir/host/$name"
  wanted=$sum
  if [ "$name" = weir ]; then file=$agent; else file=$helper; fi
  sum_at "$file"
  if [ "$sum" != "$wanted" ] || [ ! -x "$file" ]; then unhelped="$unhelped $name"; fi
done
linked=no
if [ -L "$etc/bin/weir" ] && [ "$etc/bin/weir" -ef "$agent" ]; then linked=yes; fi
if [ "$taken$linked$unhelped$todo$newly" = yesyes ] && [ "$current" = "$target" ]; then
  [ ! -e "$etc/backup/.taking" ] || rm -f "$etc/backup/.taking"
  say "done unchanged $id"
  exit 0
fi
if [ -n "$edited" ]; then
  [ "$force" = yes ] || fail "changed by hand:$edited; publish with --overwrite to replace (a copy is kept in $etc/edited)"
  for path in $edited; do keep_copy "$path"; done
fi
test_programs
if [ "$kind" != same ]; then
  dir=$etc/releases/$target
  if [ -d "$dir" ]; then
    keep_copy "$dir"
    say "warn release $target, which is not live, was changed by hand and is replaced; a copy is kept in $etc/edited"
    rm -rf "$dir" || fail "cannot write $dir"
  fi
  mv -T "$tmp" "$dir" || fail "cannot write $dir"
fi

begin backup
if [ "$taken" = no ]; then
  copy_live "$etc/.backup" && mv -T "$etc/.backup" "$etc/backup" || fail "cannot write $etc/backup"
  began=yes
fi
[ -z "$edited_release" ] || keep_copy "$etc/releases/$edited_release"
for name in $unhelped; do
  if [ "$name" = weir ]; then file=$agent; else file=$helper; fi
  cp "$dir/host/$name" "$etc/bin/.new" && { [ -x "$etc/bin/.new" ] || chmod 0755 "$etc/bin/.new"; } &&
    mv -f "$etc/bin/.new" "$file" || fail "cannot write $etc/bin"
done
if [ "$linked" = no ]; then
  was_agent=
  [ ! -L "$etc/bin/weir" ] || was_agent=$(readlink "$etc/bin/weir")
  ln -s "$agent_name" "$etc/bin/.weir" || fail "cannot write $etc/bin"
fi
if [ -n "$newly" ]; then
  say "$taken_paths$newly" >"$etc/backup/paths.new" && mv -f "$etc/backup/paths.new" "$etc/backup/paths" || fail "cannot write $etc/backup"
fi
for path in $todo; do
  source_of "$path"
  lay_ready "$path" "$source" || fail "cannot write $path"
done
if [ "$current" != "$target" ]; then
  ln -s "releases/$target" "$etc/current.new" || fail "cannot write $etc/current"
  # the last ones to be live are kept, by their time
  [ "$kind" != same ] || touch "$dir" || fail "cannot write $dir"
fi
if [ "$written" != "${'$'}{writes# }" ]; then
  say "${'$'}{writes# }" >"$etc/written.new" && mv -f "$etc/written.new" "$etc/written" || fail "cannot write $etc/written"
fi
sync_disks

begin switch
trap "" HUP INT TERM PIPE
switched=yes
if [ "$current" != "$target" ]; then
  mv -T -f "$etc/current.new" "$etc/current" || fail "cannot switch $etc/current"
fi
if [ "$linked" = no ]; then
  relinked=yes
  mv -T -f "$etc/bin/.weir" "$etc/bin/weir" || fail "cannot switch $etc/bin/weir"
fi
for path in $todo; do
  mv -T -f "$path.weir-new" "$path" || fail "cannot write $path"
  moved="$moved $path"
done

begin confirm
cd -P "$etc/current" 2>/dev/null || fail "$etc/current does not name a release"
case $PWD in */releases/"$target") ;; *) fail "$etc/current does not name the release" ;; esac
cd /
if [ -n "$todo" ]; then
  read_sums $todo
  for path in $todo; do
    sum_at "$path"
    case "$writes " in *" $sum "*) ;; *) fail "$path does not hold what was written" ;; esac
  done
fi
switched=no
began=no
sync_disks
[ ! -e "$etc/backup/.taking" ] || rm -f "$etc/backup/.taking"
sweep
if ! there "$sbin"; then
  ln -s "$etc/bin/weir" "$sbin" 2>/dev/null || say "warn $sbin cannot be made: the agent is $etc/bin/weir"
elif [ "$linked" = no ] && [ ! "$sbin" -ef "$etc/bin/weir" ]; then
  say "warn $sbin is another program: the agent is $etc/bin/weir"
fi
set -- "$etc/releases/"*
if [ $# -gt 6 ]; then
  # the last ones, and what activations name
  keep=" $target $current $activating "
  for link in active previous; do
    if cd -P "$etc/$link" 2>/dev/null; then keep="$keep${'$'}{PWD##*/} "; cd /; fi
  done
  kept=0
  for old in $(ls -t "$etc/releases"); do
    kept=$((kept + 1))
    case ${'$'}{old%.fix} in *[!0-9a-f]*) continue ;; esac
    case $keep in *" $old "*|*" ${'$'}{old%.fix} "*) continue ;; esac
    [ "$kept" -le 6 ] || rm -rf "$etc/releases/$old"
  done
fi
say "done published $id"
`;

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** For an LB where ssh logs in as root. */
export const publishCommand = `exec sh -c ${quote(script)}`;

/** For an LB where ssh logs in as a user who may run sh through sudo without a password. */
export const publishCommandSudo = `exec sudo -n sh -c ${quote(script)}`;
