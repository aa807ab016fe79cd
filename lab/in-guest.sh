#!/bin/sh
# usage: lab/in-guest.sh COMMAND...
#
# Runs a command in this folder's project inside a User-Mode Linux guest, as root, and fails where it fails. The guest's
# kernel has IPVS: so labs with LBs of namespaces can be tried where this machine's kernel has none.
#
#     lab/in-guest.sh node_modules/.bin/vitest run --cache=false lab/namespace.test.ts
#     lab/in-guest.sh node_modules/.bin/vitest run --cache=false e2e/real-lb.test.ts
#
# It sees this machine's files and writes to none of them. It is slow: a fork costs 45 ms, and it has one processor.
# MEMORY: MiB, 2048 if nothing else is said.
set -eu

if [ -z "${GUEST_SHARE:-}" ]; then
  project=$(cd "$(dirname "$0")/.." && pwd)
  share=$(mktemp -d)
  trap 'rm -rf "$share"' EXIT
  printf '%s\0' "$@" >"$share/command"
  unshare --pid --fork --kill-child --net -- linux.uml "mem=${MEMORY:-2048}M" "uml_dir=$share/" \
    root=/dev/root rootfstype=hostfs rootflags=/ ro quiet con=null con0=fd:0,fd:1 \
    "init=$project/lab/in-guest.sh" "GUEST_SHARE=$share" "GUEST_PROJECT=$project" </dev/null || true
  code=1
  if [ -e "$share/code" ]; then read -r code <"$share/code"; fi
  exit "$code"
fi

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
modules=/usr/lib/uml/modules/$(uname -r)
mount -t tmpfs -o mode=0755 guest /mnt
mkdir /mnt/upper /mnt/work /mnt/root
insmod "$modules/kernel/fs/overlayfs/overlay.ko"
root=/mnt/root
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work guest "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sys "$root/sys"
mount -t devtmpfs dev "$root/dev"
mkdir -p "$root/usr/lib/modules"
ln -s "$modules" "$root/usr/lib/modules/"
# Not chroot: the kernel looks for modprobe and its modules in the root of its own threads.
cd "$root"
pivot_root . run
cd /
umount -l /run
for folder in /run /tmp /root /var/log /var/tmp; do mount -t tmpfs -o mode=0755 guest "$folder"; done
chmod 1777 /tmp
mkdir -p /dev/pts /dev/shm /run/lock /run/share
mount -t hostfs -o "$GUEST_SHARE" share /run/share
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
ln -s /proc/self/fd /dev/fd
# The guest's kernel has no nftables for IP.
for action in '' -save -restore; do ln -sf /usr/sbin/iptables-legacy$action /etc/alternatives/iptables$action; done
ip link set lo up
cd "$GUEST_PROJECT"
unset GUEST_SHARE GUEST_PROJECT
# Through a pipe, so that nothing takes the console for a terminal.
{
  code=0
  xargs -0 -a /run/share/command env </dev/null 2>&1 || code=$?
  echo "$code" >/run/share/code
} | cat
sync
poweroff -f
