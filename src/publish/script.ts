/**
 * The one constant command that publishing runs on an LB. All data comes on its standard input:
 * first a line `weir 1 ACTION FENCE ID SERVICES DIALECT FORCE`, then, after the script has said what
 * it holds, `same`, `full` or `delta BASE`, then a gzipped tar.
 * POSIX sh (dash, bash 4.1, busybox ash), no systemd; needs coreutils 8.4, tar, gzip, sed, awk, find, flock.
 *
 * It answers lines: `step NAME`, `have ID|none`, `warn TEXT`, `fail STEP TEXT`, `done WHAT ID`.
 * Nothing that a running daemon reads changes before step `switch`, which is renames of files that
 * lie ready, so that a full disk or a kill cannot tear it; a failure there puts back what was.
 * Folders that a keepalived may still be reading are neither changed nor moved: releases that were live
 * stay for some publications, and `current` stays when the original files are put back.
 *
 * Publications go to many LBs at once: what every one of them runs costs as few processes as can be.
 */

import { createHash } from 'node:crypto';
import { liveStub } from '../render/keepalived/fullnat.ts';

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
live="/etc/keepalived/keepalived.conf /usr/local/etc/zebra.conf /usr/local/etc/ospfd.conf"
newline="
"
step=start
locked=no
switched=no
began=no
moved=

say() { printf "%s\n" "$*"; }
begin() { step=$1; say "step $1"; }
fail() {
  words=$*
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
  for path in $live; do
    for file in "$path.weir-new" "$path.weir-old"; do if there "$file"; then rubbish="$rubbish $file"; fi; done
  done
  for file in "$tmp" "$etc/current.new" "$etc/fence.new" "$etc/written.new" "$etc/bin/.new" "$etc/.backup"; do
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
    *) source= ;;
  esac
}

# Verifies a folder against the manifest in it, in three processes whatever its size. "bad" is what differs;
# "found", "helper_name" and "count" are the release's ID, its helper, and the virtual services that keepalived would find.
verify() {
  bad=
  found=
  helper_name=
  count=
  cd "$1" 2>/dev/null || { bad="$1 is missing"; return 1; }
  if [ ! -r manifest.json ]; then
    bad="manifest.json is missing"
  else
    facts=$(find . ! -path ./manifest.json -type f -exec sha256sum {} + -o ! -type d ! -path ./manifest.json -print 2>/dev/null | awk -F"\"" "
      function complain(words) { if (n++ < 5) text = text \"\n\" words }
      FILENAME == \"manifest.json\" {
        if (\$2 == \"path\") { sum[\"./\" \$4] = \$8; listed++ }
        else if (\$2 == \"release\") release = \$4
        else if (\$2 == \"helper\") helper = \$4
        next
      }
      substr(\$0, 65, 4) != \"  ./\" { complain(substr(\$0, 3) \": not in the manifest\"); strange[\$0] = 1; next }
      {
        path = substr(\$0, 67)
        if (!(path in sum)) complain(substr(path, 3) \": not in the manifest\")
        else { if (sum[path] != substr(\$0, 1, 64)) complain(substr(path, 3) \": FAILED\"); delete sum[path] }
      }
      END {
        for (path in sum) if (!(path in strange)) complain(substr(path, 3) \": FAILED open or read\")
        if (listed == 0) complain(\"manifest.json cannot be read\")
        while ((getline line <\"keepalived/entry.conf\") > 0) if (line ~ /^include /) main = \"keepalived/\" substr(line, 9)
        while (main != \"\" && (getline line <main) > 0) {
          if (line ~ /^virtual_server group /) services++
          if (line !~ /^include /) continue
          file = \"keepalived/\" substr(line, 9)
          while ((getline more <file) > 0) if (more ~ /^virtual_server group /) services++
          close(file)
        }
        print (release == \"\" ? \"none\" : release), (helper == \"\" ? \"none\" : helper), services + 0 text
      }" manifest.json -)
    bad=${'$'}{facts#*"$newline"}
    [ "$bad" != "$facts" ] || bad=
    set -- ${'$'}{facts%%"$newline"*}
    if [ $# = 3 ]; then found=$1 helper_name=$2 count=$3; else bad="manifest.json cannot be read"; fi
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

# whether a live path holds what some publication wrote there; after sum_at
is_ours() {
  [ ! -L "$1" ] || return 1
  case " $written " in *" $sum "*) return 0 ;; esac
  return 1
}
read_written() {
  written=
  [ ! -r "$etc/written" ] || read -r written <"$etc/written" || written=
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

# copies the live paths below a folder, and lists those that are not there, with their folders
copy_live() {
  mkdir "$1" && printf "" >"$1/absent" && printf "" >"$1/.taking" || return 1
  for path in $live; do
    if there "$path"; then
      mkdir -p "$1${'$'}{path%/*}" && cp -a "$path" "$1$path" || return 1
    else
      say "$path" >>"$1/absent" || return 1
      [ -d "${'$'}{path%/*}" ] || say "${'$'}{path%/*}" >>"$1/absent" || return 1
    fi
  done
}

owner_of() { set -- $(ls -lnLd "$1") && owner=$3:$4; }

# lays a file ready beside a live path, with the owner and group of what is there, and a copy of that for undo
lay_ready() {
  folder=${'$'}{1%/*}
  [ -d "$folder" ] || mkdir -p "$folder" || return 1
  owner=0:0
  if [ -e "$1" ]; then
    owner_of "$1" || return 1
  elif [ -n "$2" ] && id quagga >/dev/null 2>&1; then
    owner=$(id -u quagga):$(id -g quagga)
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
  if [ "$current" != none ] && [ "$(readlink "$etc/current")" != "releases/$current" ]; then
    ln -s "releases/$current" "$etc/current.new" && mv -T -f "$etc/current.new" "$etc/current"
  fi
}

sync_disks() {
  set -- "$etc"
  for path in $todo; do set -- "$@" "${'$'}{path%/*}"; done
  sync -f "$@" 2>/dev/null || sync
}

say
IFS=" " read -r word version action fence id services dialect force || fail "no request"
[ "$word $version" = "weir 1" ] || fail "a request of another version: $word $version"
case $action in publish|restore) ;; *) fail "a request of another version: $action" ;; esac
case $fence$id in *[!0-9a-z]*) fail "a request of another version: $fence $id" ;; esac

begin lock
[ -O / ] || [ "$(id -u)" = 0 ] || fail "not root but $(id -un): set ssh.user to root, or ssh.sudo"
command -v flock >/dev/null 2>&1 || fail "flock is not installed (package util-linux)"
if [ ! -d "$etc/bin" ]; then
  mkdir -p "$etc/releases" "$etc/bin" && chmod 0755 "$etc" || fail "cannot write $etc"
fi
# printf first: in dash, a redirection of exec that fails ends the shell without a word of ours
printf "" >>"$etc/lock" || fail "cannot write $etc/lock"
exec 9>>"$etc/lock"
flock -n 9 || flock -w 20 9 || fail "another publication works on this machine: it holds $etc/lock since 20 s"
seen=0
[ ! -r "$etc/fence" ] || read -r seen <"$etc/fence"
case $seen in ""|*[!0-9]*) seen=0 ;; esac
[ "$fence" -ge "$seen" ] || fail "refused: fencing number $fence is older than $seen, which this machine has seen; another Weir took over"
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
taken=no
[ ! -d "$etc/backup" ] || taken=yes

if [ "$action" = restore ]; then
  begin restore
  if [ "$taken" = no ]; then
    say "warn nothing to put back: this machine has no $etc/backup"
    say "done unchanged none"
    exit 0
  fi
  read_written
  read_sums $live
  todo=
  for path in $live; do
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
fi
[ "$found" = "$id" ] || fail "the manifest is not that of release $id"
case $helper_name in announce-*[!0-9a-f]*|none) fail "the manifest names no helper" ;; esac
helper=$etc/bin/$helper_name
if [ "$kind" != same ]; then
  # never in the place of what is live
  if [ "$current" = "$id" ]; then target=$id.fix; fi
  dir=$etc/releases/$target
  [ ! -d "$dir" ] || rm -rf "$dir" || fail "cannot write $dir"
  mv -T "$tmp" "$dir" || fail "cannot write $dir"
fi

# live files that are neither ours nor part of a first publication
read_written
read_sums $live "$dir/routing/zebra.conf" "$dir/routing/ospfd.conf" "$dir/host/announce" "$helper"
todo=
edited=
writes=
for path in $live; do
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
  elif is_ours "$path"; then
    writes="$writes $sum"
  elif [ -e "$etc/backup/.taking" ] && is_as_before "$path"; then
    continue
  elif there "$path"; then
    edited="$edited $path"
  else
    say "warn $path was missing and is put back"
  fi
done
sum_at "$dir/host/announce"
wanted=$sum
sum_at "$helper"
helped=yes
[ "$sum" = "$wanted" ] && [ -x "$helper" ] || helped=no
if [ "$taken$helped$todo" = yesyes ] && [ "$current" = "$target" ]; then
  [ ! -e "$etc/backup/.taking" ] || rm -f "$etc/backup/.taking"
  say "done unchanged $id"
  exit 0
fi
if [ -n "$edited" ]; then
  [ "$force" = yes ] || fail "changed by hand:$edited; publish with --overwrite to replace (a copy is kept in $etc/edited)"
  for path in $edited; do keep_copy "$path"; done
fi
# What this machine's keepalived says of itself, which takes it as long as ten other programs: asked again only when
# the program is another one, by inode, size and time.
if program=$(command -v keepalived 2>/dev/null); then
  file=$(ls -lniL "$program" 2>/dev/null)
  known=
  [ ! -r "$etc/keepalived.version" ] || { read -r known && read -r words; } <"$etc/keepalived.version"
  if [ -z "$file" ] || [ "$known" != "$file" ]; then
    words=$(keepalived -v 2>&1 </dev/null)
    words=${'$'}{words%%"$newline"*}
    say "$file$newline$words" >"$etc/keepalived.version" || fail "cannot write $etc/keepalived.version"
  fi
  case "$dialect $words" in
    "fullnat "*v1.2.2*) ;;
    *) say "warn this machine's keepalived does not read the dialect $dialect: $words" ;;
  esac
else
  say "warn keepalived is not installed on this machine"
fi

begin backup
if [ "$taken" = no ]; then
  copy_live "$etc/.backup" && mv -T "$etc/.backup" "$etc/backup" || fail "cannot write $etc/backup"
  began=yes
fi
[ -z "$edited_release" ] || keep_copy "$etc/releases/$edited_release"
if [ "$helped" = no ]; then
  cp "$dir/host/announce" "$etc/bin/.new" && chmod 0755 "$etc/bin/.new" && mv -f "$etc/bin/.new" "$helper" || fail "cannot write $etc/bin"
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
set -- "$etc/releases/"*
if [ $# -gt 6 ]; then
  kept=0
  for old in $(ls -t "$etc/releases"); do
    kept=$((kept + 1))
    case ${'$'}{old%.fix} in *[!0-9a-f]*) continue ;; esac
    if [ "$kept" -gt 6 ] && [ "$old" != "$target" ] && [ "$old" != "$current" ]; then rm -rf "$etc/releases/$old"; fi
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
