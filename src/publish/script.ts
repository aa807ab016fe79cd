/**
 * The one constant command that publishing runs on an LB. All data comes on its standard input:
 * first a line `weir 1 ACTION FENCE ID SERVICES DIALECT FORCE`, then, after the script has said what
 * it holds, `same`, `full` or `delta BASE`, then a gzipped tar.
 * POSIX sh (dash, bash, busybox ash), no systemd; needs coreutils, tar, gzip, sed, grep, flock.
 *
 * It answers lines: `step NAME`, `have ID|none`, `warn TEXT`, `fail STEP TEXT`, `done WHAT ID`.
 * Nothing that a running daemon reads changes before step `switch`; a failure there puts back
 * what was. Every live file is replaced by one rename.
 */

import { liveStub } from '../render/keepalived/fullnat.ts';

const script = String.raw`
set -u
umask 022
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
LC_ALL=C
export PATH LC_ALL
etc=/etc/weir
stub="${liveStub.trim()}"
live="/etc/keepalived/keepalived.conf /usr/local/etc/zebra.conf /usr/local/etc/ospfd.conf"
step=start
switched=no

say() { printf "%s\n" "$*"; }
fail() {
  [ "$switched" = no ] || undo
  say "fail $step $*"
  exit 1
}
begin() { step=$1; say "step $1"; }

# file in the release that belongs to a live path; empty for keepalived.conf, which is constant
source_of() {
  case $1 in
    */zebra.conf) say "routing/zebra.conf" ;;
    */ospfd.conf) say "routing/ospfd.conf" ;;
  esac
}

# the sum of a file, or "none"
sum_of() { if [ -f "$1" ]; then sha256sum <"$1" | cut -c1-64; else say none; fi; }

# puts a file in the place of another by one rename, with the owner and group of what was there
put() {
  mkdir -p "${'$'}{2%/*}" || return 1
  owner=
  if [ -e "$2" ]; then
    owner=$(ls -lnd "$2" | { read -r _ _ u g _; say "$u:$g"; })
  elif [ "$3" = 0640 ] && id quagga >/dev/null 2>&1; then
    owner=$(id -u quagga):$(id -g quagga)
  fi
  rm -f "$2.weir-new"
  cp "$1" "$2.weir-new" && chmod "$3" "$2.weir-new" || return 1
  [ -z "$owner" ] || chown "$owner" "$2.weir-new" || return 1
  mv -f "$2.weir-new" "$2"
}

# points current at a release by one rename
point() {
  rm -f "$etc/current.new"
  ln -s "releases/$1" "$etc/current.new" && mv -T -f "$etc/current.new" "$etc/current"
}

# what a failed switch had changed goes back
undo() {
  switched=no
  for path in $live; do
    if [ -e "$etc/.undo$path" ]; then
      cp -a "$etc/.undo$path" "$path.weir-new" && mv -f "$path.weir-new" "$path"
    elif [ -e "$etc/.undo/absent" ] && grep -qx "$path" "$etc/.undo/absent"; then
      rm -f "$path"
    fi
  done
  if [ "$current" = none ]; then rm -f "$etc/current"; else point "$current"; fi
}

# copies the live paths below a folder, and lists those that are not there
copy_live() {
  mkdir -p "$1" || return 1
  : >"$1/absent" || return 1
  for path in $live; do
    if [ -e "$path" ] || [ -L "$path" ]; then
      mkdir -p "$1${'$'}{path%/*}" && cp -a "$path" "$1$path" || return 1
    else
      say "$path" >>"$1/absent" || return 1
    fi
  done
}

# verifies a folder against the manifest in it; says what differs
verify() {
  sed -n "s/^{\"path\":\"\([^\"]*\)\",\"sha256\":\"\([0-9a-f]*\)\".*/\2  \1/p" "$1/manifest.json" >"$etc/.sums" || return 1
  bad=$(cd "$1" && sha256sum -c "$etc/.sums" 2>&1 | grep -v ": OK$" | grep -v "^sha256sum: WARNING" | head -n 5)
  [ -z "$bad" ] || { say "$bad"; return 1; }
  found=$(find "$1" -type f | wc -l)
  listed=$(wc -l <"$etc/.sums")
  [ "$found" -eq $((listed + 1)) ] && [ "$listed" -gt 0 ] && return 0
  find "$1" -type f | while IFS= read -r file; do
    name=${'$'}{file#"$1"/}
    [ "$name" = manifest.json ] || grep -q "  $name\$" "$etc/.sums" || say "$name: not in the manifest"
  done | head -n 5
  return 1
}

one_line() { printf "%s" "$*" | tr "\n\t" "; " | cut -c1-600; }

IFS=" " read -r word version action fence id services dialect force || fail "no request"
[ "$word $version" = "weir 1" ] || fail "a request of another version: $word $version"

begin lock
[ "$(id -u)" = 0 ] || fail "not root but $(id -un): set ssh.user to root, or ssh.sudo"
command -v flock >/dev/null 2>&1 || fail "flock is not installed (package util-linux)"
mkdir -p "$etc/releases" "$etc/bin" || fail "cannot write $etc"
chmod 0755 "$etc" || fail "cannot write $etc"
exec 9>>"$etc/lock" || fail "cannot write $etc/lock"
flock -w 20 9 || fail "another publication works on this machine: it holds $etc/lock since 20 s"
seen=0
[ ! -r "$etc/fence" ] || read -r seen <"$etc/fence"
case $seen in ""|*[!0-9]*) seen=0 ;; esac
[ "$fence" -ge "$seen" ] || fail "refused: fencing number $fence is older than $seen, which this machine has seen; another Weir took over"
printf "%s\n" "$fence" >"$etc/fence.new" && mv -f "$etc/fence.new" "$etc/fence" || fail "cannot write $etc/fence"

current=none
if [ -L "$etc/current" ]; then current=$(readlink "$etc/current"); current=${'$'}{current##*/}; fi

if [ "$action" = restore ]; then
  begin restore
  [ -d "$etc/backup" ] || fail "nothing to put back: this machine has no $etc/backup"
  trap "" HUP INT TERM PIPE
  for path in $live; do
    if [ -e "$etc/backup$path" ] || [ -L "$etc/backup$path" ]; then
      rm -f "$path.weir-new"
      cp -a "$etc/backup$path" "$path.weir-new" && mv -f "$path.weir-new" "$path" || fail "cannot write $path"
    elif grep -qx "$path" "$etc/backup/absent"; then
      rm -f "$path" || fail "cannot remove $path"
    fi
  done
  rm -f "$etc/current" "$etc/written"
  rm -rf "$etc/backup" || fail "cannot remove $etc/backup"
  say "done restored none"
  exit 0
fi

have=none
if [ "$current" != none ]; then
  begin check
  if bad=$(verify "$etc/releases/$current"); then
    have=$current
  elif [ "$force" = yes ]; then
    say "warn files of the live release were changed by hand and are replaced: $(one_line "$bad")"
  else
    fail "files of the live release were changed by hand: $(one_line "$bad"); publish with --overwrite to replace them"
  fi
fi
say "have $have"
IFS=" " read -r kind base || fail "the connection ended before the bundle"
new=$etc/releases/$id
tmp=$etc/releases/.stage

begin stage
case $kind in
  same) ;;
  full|delta)
    rm -rf "$tmp" && mkdir -p "$tmp" || fail "cannot write $tmp"
    if [ "$kind" = delta ]; then
      cp -a "$etc/releases/$base/." "$tmp/" || fail "cannot copy release $base"
    fi
    tar -xzf - -C "$tmp" || fail "the bundle cannot be unpacked"
    if [ -f "$tmp/.remove" ]; then
      while IFS= read -r file; do rm -f "$tmp/$file" || fail "cannot write $tmp"; done <"$tmp/.remove"
      rm -f "$tmp/.remove"
    fi
    ;;
  *) fail "a request of another version: $kind" ;;
esac

begin check
if [ "$kind" = same ]; then
  dir=$new
else
  dir=$tmp
  bad=$(verify "$dir") || fail "the bundle does not match its manifest: $(one_line "$bad")"
fi
count=$(cd "$dir/keepalived" && sed -n "s/^include //p" "$(sed -n "s/^include //p" entry.conf)" | xargs cat 2>/dev/null | grep -c "^virtual_server group ")
[ "$count" = "$services" ] || fail "keepalived would find $count virtual services, not $services"
if [ -d "$new" ] && [ "$kind" != same ]; then
  if bad=$(verify "$new"); then
    rm -rf "$tmp"
  elif [ "$current" != "$id" ]; then
    rm -rf "$new" && mv "$tmp" "$new" || fail "cannot write $new"
  else
    (cd "$tmp" && find . -type f) | while IFS= read -r file; do
      mkdir -p "$new/${'$'}{file%/*}" && mv -f "$tmp/$file" "$new/$file" || exit 1
    done || fail "cannot write $new"
    sed -n "s/^{\"path\":\"\([^\"]*\)\".*/\1/p" "$new/manifest.json" >"$etc/.listed"
    (cd "$new" && find . -type f) | while IFS= read -r file; do
      name=${'$'}{file#./}
      [ "$name" = manifest.json ] || grep -qxF "$name" "$etc/.listed" || rm -f "$new/$name"
    done
    rm -rf "$tmp" "$etc/.listed"
    bad=$(verify "$new") || fail "the release cannot be put right: $(one_line "$bad")"
  fi
elif [ "$kind" != same ]; then
  mv "$tmp" "$new" || fail "cannot write $new"
fi
if command -v keepalived >/dev/null 2>&1; then
  words=$(keepalived -v 2>&1 | sed -n 1p)
  case "$dialect $words" in
    "fullnat "*v1.2.2*) ;;
    *) say "warn this machine's keepalived does not read the dialect $dialect: $(one_line "$words")" ;;
  esac
else
  say "warn keepalived is not installed on this machine"
fi

# live files that are neither ours nor part of a first publication
todo=
if [ -d "$etc/backup" ]; then
  edited=
  for path in $live; do
    if [ ! -e "$path" ] && [ ! -L "$path" ]; then
      say "warn $path was missing and is put back"
      continue
    fi
    if [ ! -L "$path" ] && grep -qxF "$(sum_of "$path")" "$etc/written" 2>/dev/null; then continue; fi
    edited="$edited $path"
  done
  if [ -n "$edited" ]; then
    [ "$force" = yes ] || fail "changed by hand:$edited; publish with --overwrite to replace (a copy is kept in $etc/edited)"
    for path in $edited; do
      mkdir -p "$etc/edited" && cp -a "$path" "$etc/edited/${'$'}{path##*/}.$(date +%s)" || fail "cannot write $etc/edited"
    done
  fi
fi
printf "%s\n" "$stub" >"$etc/.stub" || fail "cannot write $etc/.stub"
for path in $live; do
  source=$(source_of "$path")
  if [ -n "$source" ]; then source=$new/$source; else source=$etc/.stub; fi
  if [ -L "$path" ] || ! cmp -s "$source" "$path"; then todo="$todo $path"; fi
done
if [ -z "$todo" ] && [ "$current" = "$id" ]; then
  say "done unchanged $id"
  exit 0
fi

begin backup
if [ ! -d "$etc/backup" ]; then
  rm -rf "$etc/.backup"
  copy_live "$etc/.backup" || fail "cannot write $etc/.backup"
  mv "$etc/.backup" "$etc/backup" || fail "cannot write $etc/backup"
fi
rm -rf "$etc/.undo"
copy_live "$etc/.undo" || fail "cannot write $etc/.undo"
helper=$(sed -n "s/^\"helper\": \"\(announce-[0-9a-f]*\)\",$/\1/p" "$new/manifest.json")
[ -n "$helper" ] || fail "the manifest names no helper"
if ! cmp -s "$new/host/announce" "$etc/bin/$helper"; then
  cp "$new/host/announce" "$etc/bin/.new" && chmod 0755 "$etc/bin/.new" && mv -f "$etc/bin/.new" "$etc/bin/$helper" || fail "cannot write $etc/bin"
fi
{
  cat "$etc/written" 2>/dev/null
  sha256sum <"$etc/.stub" | cut -c1-64
  sha256sum <"$new/routing/zebra.conf" | cut -c1-64
  sha256sum <"$new/routing/ospfd.conf" | cut -c1-64
} | tail -n 60 >"$etc/written.new" && mv -f "$etc/written.new" "$etc/written" || fail "cannot write $etc/written"
sync -f "$etc" 2>/dev/null || sync

begin switch
trap "" HUP INT TERM PIPE
switched=yes
[ "$current" = "$id" ] || point "$id" || fail "cannot switch $etc/current"
for path in $todo; do
  source=$(source_of "$path")
  if [ -n "$source" ]; then
    put "$new/$source" "$path" 0640 || fail "cannot write $path"
  else
    put "$etc/.stub" "$path" 0644 || fail "cannot write $path"
  fi
done

begin confirm
[ "$(readlink "$etc/current")" = "releases/$id" ] || fail "$etc/current does not name the release"
for path in $live; do
  source=$(source_of "$path")
  if [ -n "$source" ]; then source=$new/$source; else source=$etc/.stub; fi
  cmp -s "$source" "$path" || fail "$path does not hold what was written"
done
switched=no
rm -rf "$etc/.undo"
kept=0
for old in $(ls -t "$etc/releases"); do
  kept=$((kept + 1))
  if [ "$kept" -gt 6 ] && [ "$old" != "$id" ] && [ "$old" != "$current" ]; then rm -rf "$etc/releases/$old"; fi
done
say "done published $id"
`;

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** For an LB where ssh logs in as root. */
export const publishCommand = `exec sh -c ${quote(script)}`;

/** For an LB where ssh logs in as a user who may run sh through sudo without a password. */
export const publishCommandSudo = `exec sudo -n sh -c ${quote(script)}`;
