/**
 * Every kind of finding of a probe: whether it is a deviation or a note, and what to do next. The one table of their
 * codes; docs/status.md explains each. Imports nothing of ours.
 */

interface Kind {
  /** A note is as it may be. */
  severity: 'deviation' | 'note';
  /** What to do next; `{cluster}`, `{lb}` and `{object}` stand for the names. */
  hint: string;
}

const otherDialect =
  'install the keepalived that the dataplane needs, or set the one that fits: weir cluster set {cluster} dataplane=...';

export const probeFindingKinds = {
  keepalived_missing: { severity: 'deviation', hint: otherDialect },
  keepalived_dialect: { severity: 'deviation', hint: otherDialect },
  keepalived_without_ipvs: {
    severity: 'deviation',
    hint: 'install a keepalived that is built with LVS: it would run, and balance nothing',
  },
  keepalived_other_program: {
    severity: 'note',
    hint: 'find out which is meant; Weir tests and judges the one that is found first in PATH',
  },
  dataplane_other: {
    severity: 'deviation',
    hint: 'stop it on the LB, or set the dataplane: weir cluster set {cluster} dataplane=dpvs',
  },
  dpvs_missing: {
    severity: 'deviation',
    hint: 'install DPVS on the LB, or set the dataplane that it has: weir cluster set {cluster} dataplane=...',
  },
  dpvs_down: { severity: 'deviation', hint: 'start DPVS on the LB' },
  dpvs_ipvsadm: {
    severity: 'note',
    hint: 'use the ipvsadm that DPVS builds: another one shows the kernel’s table, which is empty',
  },
  ipvs_missing: {
    severity: 'deviation',
    hint: 'boot a kernel that has IPVS, or install its modules on the LB',
  },
  fullnat_missing: {
    severity: 'deviation',
    hint: 'boot the kernel of Alibaba LVS, or set the dataplane that this one has: weir cluster set {cluster} dataplane=ipvs',
  },
  module_missing: {
    severity: 'deviation',
    hint: 'install the kernel’s modules on the LB (Debian: linux-image; RHEL: kernel-modules-extra)',
  },
  modules_unknown: { severity: 'note', hint: 'install modprobe (package kmod), which tells' },
  routing_missing: { severity: 'deviation', hint: 'install it on the LB' },
  routing_other_suite: {
    severity: 'deviation',
    hint: 'install and start what the document says, or set what is there: weir cluster set {cluster} routing=...',
  },
  routing_down: {
    severity: 'deviation',
    hint: 'start it on the LB (FRR: {object}=yes in /etc/frr/daemons, then service frr reload)',
  },
  tool_missing: { severity: 'deviation', hint: 'install it on the LB' },
  ethtool_missing: {
    severity: 'note',
    hint: 'install ethtool on the LB, so that drivers, queues and rings are seen',
  },
  interface_missing: {
    severity: 'deviation',
    hint: 'weir lb set {cluster} {lb} device=... or innerdevice=..., or name the interface so on the LB',
  },
  interface_down: {
    severity: 'deviation',
    hint: 'look at the cable and the switch; ip link set {object} up on the LB',
  },
  linkspeed_slower: {
    severity: 'deviation',
    hint: 'look at the NIC, the module and the switch’s port; or weir cluster set {cluster} linkspeed=...',
  },
  linkspeed_faster: {
    severity: 'note',
    hint: 'if all LBs are so: weir cluster set {cluster} linkspeed=10g',
  },
  linkspeed_unknown: { severity: 'note', hint: 'look at the hypervisor or the switch: the driver does not tell' },
  lip_missing: {
    severity: 'deviation',
    hint: 'ip -batch /etc/weir/active/host/addresses on the LB, or weir activate {cluster} --lb {lb}',
  },
  lip_pending: {
    severity: 'note',
    hint: 'the first activation brings them: weir publish {cluster} --lb {lb}, weir activate {cluster} --lb {lb}',
  },
  lip_other_interface: {
    severity: 'deviation',
    hint: 'weir lb set {cluster} {lb} innerdevice=..., or take the LIP off there: weir activate {cluster} --lb {lb}',
  },
  lip_taken: {
    severity: 'deviation',
    hint: 'find the machine by its MAC (a router with proxy ARP answers for all); weir lb set {cluster} {lb} lips=... takes others',
  },
  arping_missing: {
    severity: 'note',
    hint: 'install arping of iputils (Debian: iputils-arping; RHEL: iputils) or of busybox on the LB',
  },
  lips_unasked: { severity: 'note', hint: 'correct what the message names, and probe again' },
  limited_view: { severity: 'note', hint: 'set ssh.user to root, or ssh.sudo, so that all can be seen' },
} as const satisfies Record<string, Kind>;

export type ProbeCode = keyof typeof probeFindingKinds;
