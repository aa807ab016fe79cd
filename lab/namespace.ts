/**
 * An LB as namespaces of this machine's kernel, for one that has IPVS: network, processes, mounts, host name and IPC of
 * its own, over this machine's files. What it writes goes to a tmpfs that ends with it, but for the folders of
 * `persistentFolders`; of the kernel's settings it can write those of its own network and its host name.
 *
 * One thing cannot be its own: modules. Those that IPVS needs are loaded into this machine's kernel, without parameters,
 * and stay there.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cablesOf, unplug } from './fabric.ts';
import { initOf } from './init.ts';
import { environmentOf, folderOf, type Kind, type MachineOptions } from './machine.ts';

/**
 * Modules are there before the activation loads them with parameters, which are global. /etc and others may be file
 * systems of their own, which an overlay of / does not show.
 *
 * /sys and what is global in /proc are read-only. Two sysctls that every network shows are global all the same, and
 * the first is among an LB's settings: a file stands over each, so that it can be written and read back.
 *
 * pivot_root also takes away the way to what lies below the root. Whatever fails before it ends the boot: what comes
 * after would write to this machine.
 */
const namespaceInit = initOf(String.raw`
modprobe -qa nf_conntrack ip_vs || true
# Without an interface of its own in this machine's network.
modprobe -q dummy numdummies=0 || true
set -e
nsenter --net="$LAB_FABRIC" ip -batch "$LAB_CABLES"

mount -t tmpfs -o mode=0755 lab /mnt
root=/mnt/root
layer() {
  mkdir -p "/mnt/$1/upper" "/mnt/$1/work"
  mount -t overlay -o "lowerdir=$2,upperdir=/mnt/$1/upper,workdir=/mnt/$1/work" lab "$root$2"
}
mkdir "$root"
layer files /
for name in etc opt usr var; do
  if mountpoint -q "/$name"; then layer "$name" "/$name"; fi
done

mount -t tmpfs -o mode=0755 dev "$root/dev"
while read -r name major minor; do mknod -m 0666 "$root/dev/$name" c "$major" "$minor"; done <<END
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
ptmx 5 2
END
mount -t sysfs -o ro sys "$root/sys"
mount -t proc proc "$root/proc"
mount --bind "$LAB_SHARE" "$root/mnt"
cd "$root"
pivot_root . run

cd /proc/sys
for path in net kernel/hostname kernel/domainname; do mount --bind "$path" "$path"; done
for path in net/netfilter/nf_conntrack_max net/ipv4/vs/debug_level; do
  if [ -e "$path" ]; then
    file=/run/mnt/$(basename "$path")
    cat "$path" >"$file"
    mount --bind "$file" "$path"
  fi
done
cd /proc
mount --rbind sys sys
for path in bus fs irq sysrq-trigger; do
  if [ -e "$path" ]; then mount --bind "$path" "$path"; fi
done
for path in sys bus fs irq sysrq-trigger; do
  if [ -e "$path" ]; then mount -o remount,bind,ro "$path"; fi
done
cd /
umount -l /run
set +e
`);

export const namespace: Kind = {
  init: namespaceInit,
  marks,
  command: (cell, options) => [
    ...outer,
    'env',
    ...environmentOf(options),
    `LAB_CABLES=${cablesFile(options)}`,
    `LAB_FABRIC=${cell.networkPath('fabric')}`,
    'sh',
    ...marks(options),
  ],
  async prepare(_cell, options) {
    await writeFile(cablesFile(options), cablesOf(options.plan).join('\n'));
  },
  clear: (cell, { plan }) => unplug(cell, plan),
};

/** All of its own but users: root of another user namespace could not load modules, nor set up IPVS. */
const outer = ['unshare', '--mount', '--pid', '--uts', '--ipc', '--net', '--fork', '--kill-child', '--'] as const;

function marks(options: MachineOptions): string[] {
  return [join(folderOf(options), 'init')];
}

function cablesFile(options: MachineOptions): string {
  return join(folderOf(options), 'cables');
}
