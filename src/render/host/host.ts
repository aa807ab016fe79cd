/**
 * Host settings of an LB, as data: for `ip -batch`, `sysctl -p`, `modprobe` line by line, and
 * `iptables-restore --noflush`. Nothing here runs by being published.
 */
import { addressNumber, formatAddress } from '../../domain/address.ts';
import { defaults, deviceOf, innerDeviceOf } from '../../domain/edge/model.ts';
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
  /** Ports whose SYNs the LB answers, `VIP PORT,PORT` each, in the order of the document. */
  synproxies: readonly string[];
}

export function fullnatHostFiles(input: HostInput): RenderedFile[] {
  return [addressesFile(input), fullnatSysctl];
}

export function ipvsHostFiles(input: HostInput): RenderedFile[] {
  return [addressesFile(input), ipvsSysctlFile(input), modulesFile(input), iptablesFile(input)];
}

/** LIPs are not the kernel's here: keepalived gives them to DPVS. */
export function dpvsHostFiles(input: HostInput): RenderedFile[] {
  const { cluster, lb } = input;
  const announce = renderFile({ path: 'host/announce.conf' }, () => `dpvs ${deviceOf(cluster, lb)}\n`);
  return [dpvsSysctl, dpvsModules, announce];
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

/** The kernel has the VIPs on an interface of DPVS's (kni): it answers ARP for none but those of the interface asked on. */
const dpvsSysctl: RenderedFile = renderFile(
  { path: 'host/sysctl.conf' },
  () => `net.ipv4.conf.all.arp_ignore = 1
net.ipv4.conf.all.arp_announce = 2
`,
);

/** `dummy` is for VIPs at high cost. */
const dpvsModules: RenderedFile = renderFile({ path: 'host/modules' }, () => 'dummy\n');

/**
 * Beside what fullnat needs: replies of WSs are forwarded; with several uplinks they leave by another
 * one than they came in by (rp_filter 2, loose: the highest of `all` and the interface counts); source
 * NAT works on tracked connections, and a full table of them drops packets (a million entries take
 * 320 MB when they are used); connections to a WS that was removed are reset instead of hanging.
 * A SYN proxy answers with SYN cookies, keeps its own in timestamps, and knows a client's last packet of a
 * handshake only where connections are not picked up in their middle (`tcp_loose`).
 */
function ipvsSysctlFile({ synproxies }: HostInput): RenderedFile {
  const synproxy = `net.netfilter.nf_conntrack_tcp_loose = 0
net.ipv4.tcp_syncookies = 1
net.ipv4.tcp_timestamps = 1
`;
  return renderFile(
    { path: 'host/sysctl.conf' },
    () => `net.ipv4.ip_forward = 1
net.ipv4.conf.all.rp_filter = 2
net.ipv4.conf.all.arp_ignore = 1
net.ipv4.conf.all.arp_announce = 2
net.ipv4.vs.conntrack = 1
net.ipv4.vs.expire_nodest_conn = 1
net.ipv4.vs.expire_quiescent_template = 1
net.netfilter.nf_conntrack_max = 1048576
${synproxies.length > 0 ? synproxy : ''}`,
  );
}

/**
 * In this order: ip_vs draws nf_conntrack in, and parameters count at loading. Buckets for a million
 * tracked connections (2 MB) and as many of IPVS (8 MB); the kernel's own sizes, 4096 for IPVS, make
 * chains of hundreds. `xt_*` are what host/iptables needs, `dummy` is for VIPs at high cost.
 */
export function ipvsModules({ cluster, schedulers, synproxies }: Omit<HostInput, 'lb' | 'lips'>): string[] {
  return [
    'nf_conntrack hashsize=262144',
    'ip_vs conn_tab_bits=20',
    ...schedulers.map((scheduler) => `ip_vs_${scheduler}`),
    'iptable_nat',
    'iptable_raw',
    'xt_nat',
    'xt_ipvs',
    'xt_statistic',
    'xt_addrtype',
    ...(cluster.ospf?.bfd || synproxies.length > 0 ? ['xt_tcpudp'] : []),
    'xt_CT',
    ...(synproxies.length > 0 ? ['iptable_filter', 'xt_conntrack', 'xt_multiport', 'ipt_SYNPROXY'] : []),
    'dummy',
  ];
}

function modulesFile(input: HostInput): RenderedFile {
  const modules = ipvsModules(input);
  return renderFile({ path: 'host/modules' }, () => modules.map((module) => `${module}\n`).join(''));
}

/**
 * Source NAT of connections to WSs, to each LIP in turn, and OSPF and BFD untracked, so that a full table
 * cannot take the neighbours away, and stray packets dropped, and SYNs answered for ports with synproxy. A range in one
 * `--to-source` would choose by hash and not spread one client. Only chains of ours: WEIR-BUILTIN is jumped to from
 * BUILTIN of its table, the others from ours.
 * A source port of chance: a client that uses its port again within a minute would else come to a WS by the LIP and port
 * of before, where that connection is in TIME_WAIT, and be answered out of turn (seen with the SYN proxy, which without
 * timestamps has nothing to tell them apart by: 7 of 30,000). Needs iptables 1.6.2.
 * Tables come into force one after the other, and the rest does not where one is refused: what answers SYNs before what
 * keeps them untracked. A SYN that nobody tracks and nobody answers gets to a WS with the client's address.
 */
function iptablesFile(input: HostInput): RenderedFile {
  const { lips } = input;
  const last = lips.length - 1;
  const turns = lips.map((lip, i) => {
    const turn = i === last ? '' : ` -m statistic --mode nth --every ${lips.length - i} --packet 0`;
    return `-A WEIR-LIPS${turn} -j SNAT --to-source ${lip} --random-fully\n`;
  });
  const untracked = ['-p ospf', ...bfdMatches(input)];
  const notrack = (chain: string) => untracked.map((match) => `-A ${chain} ${match} -j CT --notrack\n`).join('');
  const { raw, filter } = synproxyRules(input);
  return renderFile(
    { path: 'host/iptables' },
    () => `*nat
:WEIR-LIPS - [0:0]
:WEIR-POSTROUTING - [0:0]
${turns.join('')}-A WEIR-POSTROUTING -m ipvs --vdir ORIGINAL --vmethod MASQ -j WEIR-LIPS
COMMIT
${filter.rules === '' ? '' : `*filter\n:WEIR-INPUT - [0:0]\n${filter.chains}${filter.rules}COMMIT\n`}*raw
:WEIR-OUTPUT - [0:0]
:WEIR-PREROUTING - [0:0]
${raw.chains}${notrack('WEIR-OUTPUT')}${notrack('WEIR-PREROUTING')}${strayRules(input).join('')}${raw.rules}COMMIT
`,
  );
}

interface Rules {
  chains: string;
  rules: string;
}

/**
 * SYNs are answered with a cookie instead of being tracked, and what answers that is checked before anything of it is
 * known: floods of SYNs leave the tables of IPVS and of tracked connections as they are (lab, 20,000 spoofed SYNs).
 * Without timestamps the cookie has no room for what the WS is not asked for: no SACK, no scaling of windows.
 */
function synproxyRules({ cluster, synproxies }: HostInput): { raw: Rules; filter: Rules } {
  if (synproxies.length === 0) return { raw: { chains: '', rules: '' }, filter: { chains: '', rules: '' } };
  const { timestamps, wscale, mss } = { ...defaults.synproxySettings, ...cluster.synproxy };
  const options = `--sack-perm${timestamps ? ' --timestamp' : ''} --wscale ${wscale} --mss ${mss}`;
  const raw = dispatch(synproxies, '-j CT --notrack');
  const filter = dispatch(synproxies, `-j SYNPROXY ${options}`);
  const syns = '-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN';
  const strangers = '-p tcp -m conntrack --ctstate INVALID,UNTRACKED';
  return {
    raw: { chains: raw.chains, rules: `-A WEIR-PREROUTING ${syns} -j WEIR-SYN\n${raw.rules}` },
    filter: { chains: filter.chains, rules: `-A WEIR-INPUT ${strangers} -j WEIR-SYN\n${filter.rules}` },
  };
}

/** VIPs that are looked through one after the other; with more, by nets of 64 addresses first. */
const FLAT = 32;
const NET = 64;

/** Rules from WEIR-SYN to a target, by VIP and port. */
function dispatch(synproxies: readonly string[], target: string): Rules {
  const chains = new Map<string, string[]>([['WEIR-SYN', []]]);
  for (const synproxy of synproxies) {
    const [vip = '', ports = ''] = synproxy.split(' ');
    const number = addressNumber(vip);
    const net = formatAddress(number - (number % NET));
    const chain = synproxies.length > FLAT ? `WEIR-SYN-${net}` : 'WEIR-SYN';
    if (!chains.has(chain)) {
      chains.set(chain, []);
      chains.get('WEIR-SYN')?.push(`-d ${net}/26 -j ${chain}`);
    }
    for (const match of portMatches(ports.split(',')))
      chains.get(chain)?.push(`-d ${vip}/32 -p tcp ${match} ${target}`);
  }
  const named = [...chains];
  return {
    chains: named.map(([chain]) => `:${chain} - [0:0]\n`).join(''),
    rules: named.flatMap(([chain, rules]) => rules.map((rule) => `-A ${chain} ${rule}\n`)).join(''),
  };
}

/** One multiport match takes 15 ports (iptables-extensions(8)). */
const MULTIPORT = 15;

function portMatches(ports: readonly string[]): string[] {
  if (ports.length === 1) return [`-m tcp --dport ${ports[0]}`];
  const parts = Array.from({ length: Math.ceil(ports.length / MULTIPORT) }, (_, i) =>
    ports.slice(i * MULTIPORT, (i + 1) * MULTIPORT),
  );
  return parts.map((part) => `-m multiport --dports ${part.join(',')}`);
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
    [...devices].map((device) => `-A WEIR-PREROUTING -d ${net} -i ${device} -m addrtype --dst-type UNICAST -j DROP\n`),
  );
}

/** Control packets of one hop go to this port, both ways, from any port (RFC 5881, section 4). */
const BFD_PORT = 3784;

/** In the words of iptables-save. Within the nets of the uplinks: a VIP or WS may use the same port. */
function bfdMatches({ cluster, lb }: HostInput): string[] {
  if (!cluster.ospf?.bfd) return [];
  return linksOf({ cluster, lb }).map(({ ospfnet }) => `-s ${ospfnet} -d ${ospfnet} -p udp -m udp --dport ${BFD_PORT}`);
}
