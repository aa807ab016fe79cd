/**
 * The first process of an LB, for its shell (dash): what every kind of LB does at its boot. It brings up what a bare LB
 * has before anyone configures it: addresses, sshd, a syslog, and the packages' daemons. LVS, OSPF, LIPs, sysctls and
 * netfilter are not its business. Imports nothing.
 */

/** Outlive a reboot; in the share below `disk`. */
export const persistentFolders = ['/etc/weir', '/etc/keepalived', '/etc/frr', '/usr/local/sbin'] as const;

/** Where an LB sees its share: a folder that it and this machine both write. */
export const shareInside = '/run/lab';

/**
 * A script from its front, which makes the place: a root whose files are this machine's and can be written without
 * reaching it, with /proc, /sys, /dev, the share on /mnt, and eth0 and eth1, or what `links`, lines for `ip -batch`,
 * makes them of.
 *
 * A fork costs 45 ms in a guest, so that one mount, one mkdir or one `ip` does many things where it can. The tmpfs over
 * /root also keeps ssh from running this machine's .bashrc.
 *
 * The environment: LAB_SHARE the share on this machine, LAB_NAME the host name, LAB_UPLINK and LAB_MANAGE the addresses
 * with prefix lengths, LAB_GATEWAY.
 */
export function initOf(front: string): string {
  return String.raw`#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
links=

say() {
  read -r seconds rest </proc/uptime
  echo "lab: $seconds $*"
}

${front.trim()}

for folder in /run /tmp /root /home /var/log /var/tmp; do mount -t tmpfs -o mode=0755 lab "$folder"; done
mkdir -p /dev/pts /dev/shm ${shareInside} /run/sshd /run/lock /run/keepalived ${persistentFolders.join(' ')}
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount --move /mnt ${shareInside}
for folder in ${persistentFolders.join(' ')}; do mount --bind "${shareInside}/disk$folder" "$folder"; done
install -d -o frr -g frr -m 0755 /run/frr /var/log/frr
chmod 0700 /root
chmod 1777 /tmp /var/tmp
say mounted

echo "$LAB_NAME" >/proc/sys/kernel/hostname
echo "$LAB_NAME" >/etc/hostname
echo "127.0.0.1 localhost
127.0.1.1 $LAB_NAME" >/etc/hosts
# No password, and not locked either: without PAM, sshd refuses root where its password begins with "!".
sed -i 's/^root:[^:]*:/root:*:/' /etc/shadow
ip -batch - <<END
$links
link set lo up
link set eth0 up
link set eth1 up
addr add $LAB_UPLINK dev eth0
addr add $LAB_MANAGE dev eth1
route add default via $LAB_GATEWAY
END
busybox syslogd -O ${shareInside}/log/syslog
/usr/sbin/sshd -f ${shareInside}/sshd_config -E ${shareInside}/log/sshd
say connected

if [ -x /etc/weir/bin/weir ]; then
  /etc/weir/bin/weir boot </dev/null >>${shareInside}/log/weir-boot 2>&1
  say "weir boot: $?"
fi
if [ -e /etc/keepalived/keepalived.conf ]; then /etc/init.d/keepalived start </dev/null; fi
# What frrinit.sh does, without its forks: watchfrr finds the daemons running, and restarts them by watchfrr.sh.
. /etc/frr/daemons
daemons='zebra staticd'
if [ "$ospfd" = yes ]; then daemons="$daemons ospfd"; fi
if [ "$bfdd" = yes ]; then daemons="$daemons bfdd"; fi
for daemon in $daemons; do
  eval "options=\$$daemon"_options
  /usr/lib/frr/$daemon -d -F traditional $options
done
if [ -r /etc/frr/frr.conf ]; then vtysh -b; fi
/usr/lib/frr/watchfrr -d -F traditional $daemons
say ready
: >${shareInside}/ready

# Whatever lost its parent is reaped by wait.
while :; do
  sleep 86400 &
  wait "$!"
done
`;
}
