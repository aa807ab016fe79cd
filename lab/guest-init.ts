/**
 * The first process of a guest, for its shell (dash). The root file system is this machine's, read-only; what the guest
 * writes goes to a tmpfs that ends with it, but for the folders of `persistentFolders`, which lie in its share.
 * It brings up what a bare LB has before anyone configures it: addresses, sshd, a syslog, and the packages' daemons.
 * LVS, OSPF, LIPs, sysctls and netfilter are not its business. Imports nothing.
 */

/** Outlive a reboot of the guest; in the share below `disk`. */
export const persistentFolders = ['/etc/weir', '/etc/keepalived', '/etc/frr', '/usr/local/sbin'] as const;

/** Where the guest sees its share: a folder that it and this machine both write. */
export const shareInside = '/run/lab';

/**
 * A fork costs 45 ms in a guest, so that one mount, one mkdir or one `ip` does many things where it can. The tmpfs over
 * /root also keeps ssh from running this machine's .bashrc.
 *
 * The environment is what the kernel's command line gives: LAB_INIT this file, LAB_SHARE the share on this machine,
 * LAB_NAME the host name, LAB_UPLINK and LAB_MANAGE the addresses with prefix lengths, LAB_GATEWAY.
 */
export const guestInit = String.raw`#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
modules=/usr/lib/uml/modules/$(uname -r)

if [ -z "$LAB_INNER" ]; then
  mount -t tmpfs -o mode=0755 lab /mnt
  mkdir /mnt/upper /mnt/work /mnt/root
  insmod "$modules/kernel/fs/overlayfs/overlay.ko"
  mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work lab /mnt/root
  LAB_INNER=1 exec chroot /mnt/root /bin/sh "$LAB_INIT"
fi

say() {
  read -r seconds rest </proc/uptime
  echo "lab: $seconds $*"
}

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for folder in /run /tmp /root /home /var/log /var/tmp; do mount -t tmpfs -o mode=0755 lab "$folder"; done
mkdir -p /dev/pts /dev/shm /run/lab /run/sshd /run/lock /run/keepalived /usr/lib/modules ${persistentFolders.join(' ')}
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t hostfs -o "$LAB_SHARE" lab ${shareInside}
for folder in ${persistentFolders.join(' ')}; do mount --bind "${shareInside}/disk$folder" "$folder"; done
install -d -o frr -g frr -m 0755 /run/frr /var/log/frr
chmod 0700 /root
chmod 1777 /tmp /var/tmp
ln -s "$modules" /usr/lib/modules/
say mounted

echo "$LAB_NAME" >/proc/sys/kernel/hostname
echo "$LAB_NAME" >/etc/hostname
echo "127.0.0.1 localhost
127.0.1.1 $LAB_NAME" >/etc/hosts
# No password, and not locked either: without PAM, sshd refuses root where its password begins with "!".
sed -i 's/^root:[^:]*:/root:*:/' /etc/shadow
ip -batch - <<END
link set lo up
link set vec0 name eth0
link set vec1 name eth1
link set eth0 up
link set eth1 up
addr add $LAB_UPLINK dev eth0
addr add $LAB_MANAGE dev eth1
route add default via $LAB_GATEWAY
END
# The guest's kernel has no nftables for IP.
for action in '' -save -restore; do ln -sf /usr/sbin/iptables-legacy$action /etc/alternatives/iptables$action; done
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
