/**
 * Host settings of an LB, as data: for `ip -batch`, `sysctl -p`, `modprobe` line by line, and
 * `iptables-restore --noflush`. Nothing here runs by being published.
 */
import { innerDeviceOf } from '../../domain/edge/model.ts';
import type { Cluster, Lb } from '../../domain/edge/model.ts';
import { renderFile } from '../files.ts';
import type { RenderedFile } from '../files.ts';
import { linksOf } from '../routing/ospf.ts';

export interface HostInput {
  cluster: Cluster;
  lb: Lb;
  lips: readonly string[];
  /** Schedulers that the cluster's ports ask for, sorted. */
  schedulers: readonly string[];
}

export function fullnatHostFiles(input: HostInput): RenderedFile[] {
  return [addressesFile(input), fullnatSysctl];
}

export function ipvsHostFiles(input: HostInput): RenderedFile[] {
  return [addressesFile(input), ipvsSysctl, modulesFile(input), iptablesFile(input)];
}

/** `ip -batch FILE` puts every LIP on the interface of the WSs; `replace` makes it repeatable. */
function addressesFile({ cluster, lb, lips }: HostInput): RenderedFile {
  const device = innerDeviceOf(cluster, lb);
  return renderFile({ path: 'host/addresses' }, () =>
    lips.map((lip) => `addr replace ${lip}/32 dev ${device}\n`).join(''),
  );
}

/**
 * VIPs are on lo and LIPs on the inner interface: answer ARP for neither on the wrong side. A WS at
 * weight 0 gets no clients back by their persistence.
 */
const fullnatSysctl: RenderedFile = renderFile(
  { path: 'host/sysctl.conf' },
  () => `net.ipv4.conf.all.arp_ignore = 1
net.ipv4.conf.all.arp_announce = 2
net.core.netdev_max_backlog = 500000
net.ipv4.vs.expire_quiescent_template = 1
`,
);

/**
 * Beside what fullnat needs: replies of WSs are forwarded; with several uplinks they leave by another
 * one than they came in by (rp_filter 2, loose: the highest of `all` and the interface counts); source
 * NAT works on tracked connections, and a full table of them drops packets (a million entries take
 * 320 MB when they are used); connections to a WS that was removed are reset instead of hanging.
 */
const ipvsSysctl: RenderedFile = renderFile(
  { path: 'host/sysctl.conf' },
  () => `net.ipv4.ip_forward = 1
net.ipv4.conf.all.rp_filter = 2
net.ipv4.conf.all.arp_ignore = 1
net.ipv4.conf.all.arp_announce = 2
net.ipv4.vs.conntrack = 1
net.ipv4.vs.expire_nodest_conn = 1
net.ipv4.vs.expire_quiescent_template = 1
net.netfilter.nf_conntrack_max = 1048576
`,
);

/**
 * In this order: ip_vs draws nf_conntrack in, and parameters count at loading. Buckets for a million
 * tracked connections (2 MB) and as many of IPVS (8 MB); the kernel's own sizes, 4096 for IPVS, make
 * chains of hundreds. `xt_*` are what host/iptables needs, `dummy` is for VIPs at high cost.
 */
function modulesFile({ cluster, schedulers }: HostInput): RenderedFile {
  const modules = [
    'nf_conntrack hashsize=262144',
    'ip_vs conn_tab_bits=20',
    ...schedulers.map((scheduler) => `ip_vs_${scheduler}`),
    'iptable_nat',
    'iptable_raw',
    'xt_nat',
    'xt_ipvs',
    'xt_statistic',
    'xt_addrtype',
    ...(cluster.ospf?.bfd ? ['xt_tcpudp'] : []),
    'xt_CT',
    'dummy',
  ];
  return renderFile({ path: 'host/modules' }, () => modules.map((module) => `${module}\n`).join(''));
}

/**
 * Source NAT of connections to WSs, to each LIP in turn, and OSPF and BFD untracked, so that a full table
 * cannot take the neighbours away, and stray packets dropped. A range in one `--to-source` would choose by hash and not spread
 * one client. Only chains of ours: those of others jump into them.
 */
function iptablesFile(input: HostInput): RenderedFile {
  const { lips } = input;
  const last = lips.length - 1;
  const turns = lips.map((lip, i) => {
    const turn = i === last ? '' : ` -m statistic --mode nth --every ${lips.length - i} --packet 0`;
    return `-A WEIR-LIPS${turn} -j SNAT --to-source ${lip}\n`;
  });
  return renderFile(
    { path: 'host/iptables' },
    () => `*nat
:WEIR-LIPS - [0:0]
:WEIR-POSTROUTING - [0:0]
${turns.join('')}-A WEIR-POSTROUTING -m ipvs --vdir ORIGINAL --vmethod MASQ -j WEIR-LIPS
COMMIT
*raw
:WEIR-RAW - [0:0]
-A WEIR-RAW -p ospf -j CT --notrack
${bfdRules(input).join('')}${strayRules(input).join('')}COMMIT
`,
  );
}

/**
 * Packets to a VIP that is not on this LB: it has just been withdrawn, and the routers do not know yet. Forwarded, they
 * would come back from the router until their hops are used up, and the client would hear that the VIP is unreachable;
 * dropped, they are sent again a second later, to another LB. By the interface that they come in by: what the LB itself
 * sends is not meant.
 */
function strayRules({ cluster, lb }: HostInput): string[] {
  const devices = new Set([...linksOf({ cluster, lb }).map(({ device }) => device), innerDeviceOf(cluster, lb)]);
  return cluster.vipnets.flatMap((net) =>
    [...devices].map((device) => `-A WEIR-RAW -d ${net} -i ${device} -m addrtype --dst-type UNICAST -j DROP\n`),
  );
}

/** Control packets of one hop go to this port, both ways, from any port (RFC 5881, section 4). */
const BFD_PORT = 3784;

/** In the words of iptables-save. Within the nets of the uplinks: a VIP or WS may use the same port. */
function bfdRules({ cluster, lb }: HostInput): string[] {
  if (!cluster.ospf?.bfd) return [];
  return linksOf({ cluster, lb }).map(
    ({ ospfnet }) => `-A WEIR-RAW -s ${ospfnet} -d ${ospfnet} -p udp -m udp --dport ${BFD_PORT} -j CT --notrack\n`,
  );
}
