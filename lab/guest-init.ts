/**
 * The first process of a guest. The root file system is this machine's, read-only; what the guest writes goes to a tmpfs
 * that ends with it, but for the folders of `persistentFolders`, which lie in its share.
 */
import { initOf } from './init.ts';

/** The environment is what the kernel's command line gives; LAB_INIT is this file. */
export const guestInit = initOf(String.raw`
modules=/usr/lib/uml/modules/$(uname -r)

if [ -z "$LAB_INNER" ]; then
  mount -t tmpfs -o mode=0755 lab /mnt
  mkdir /mnt/upper /mnt/work /mnt/root
  insmod "$modules/kernel/fs/overlayfs/overlay.ko"
  mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work lab /mnt/root
  LAB_INNER=1 exec chroot /mnt/root /bin/sh "$LAB_INIT"
fi

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t hostfs -o "$LAB_SHARE" lab /mnt
mkdir -p /usr/lib/modules
ln -s "$modules" /usr/lib/modules/
# The guest's kernel has no nftables for IP.
for action in '' -save -restore; do ln -sf /usr/sbin/iptables-legacy$action /etc/alternatives/iptables$action; done
links='link set vec0 name eth0
link set vec1 name eth1'
`);
