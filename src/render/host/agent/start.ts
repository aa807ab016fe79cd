/** Shell text of the agent (agent.ts): what everything uses: the machine's paths, words for Weir, small files written in one go. */

export const start = String.raw`#!/bin/sh
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
watch_unit=/etc/systemd/system/weir-watch.service
dpvs=none

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

`;
