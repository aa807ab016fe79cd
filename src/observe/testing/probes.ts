/**
 * Answers of the probe from three kinds of LBs that are as their documents say. The Debian one was recorded on Debian 12
 * (keepalived 2.2.7, FRR 8.4.4, ethtool 6.1, arping of iputils 20221126), its IPVS and modules set in. The other two
 * are made after what their programs' sources print: alibaba/LVS (keepalived 1.2.2 on EL6 with Quagga 0.99) and
 * iqiyi/dpvs (tools/dpip/dpip.c, link.c and addr.c). Only tests import it.
 */
import type { Cluster, Lb } from '../../domain/edge/model.ts';
import { readProbe } from '../probe-sections.ts';
import type { ProbeReport } from '../probe-sections.ts';
import { splitSections } from '../sections.ts';

export type Probed = 'debian' | 'alibaba' | 'dpvs';

export const lips = ['10.0.0.100', '10.0.0.101'];

const debian = `Welcome to lb1
@@weir machine
uid 0
kernel 6.1.0-18-amd64
distribution "Debian GNU/Linux 12 (bookworm)"
active 50802343fe654d94dca48be34df97478
@@weir keepalived /usr/sbin/keepalived
laddr no
code 0
Keepalived v2.2.7 (01/16,2022)

Copyright(C) 2001-2022 Alexandre Cassen, <acassen@gmail.com>

Built with kernel headers for Linux 5.19.11
Running on Linux 6.1.0-18-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1
Distro: Debian GNU/Linux 12 (bookworm)

configure options: --build=x86_64-linux-gnu --prefix=/usr

Config options:  NFTABLES LVS REGEX VRRP VRRP_AUTH VRRP_VMAC JSON BFD OLD_CHKSUM_COMPAT INIT=systemd SYSTEMD_NOTIFY

System options:  VSYSLOG MEMFD_CREATE IPV6_MULTICAST_ALL IPV4_DEVCONF LIBNL3
@@weir processes
keepalived 862 /usr/sbin/keepalived
watchfrr 901 /usr/lib/frr/watchfrr
zebra 917 /usr/lib/frr/zebra
ospfd 922 /usr/lib/frr/ospfd (deleted)
@@weir ipvs
table yes
fullnat no
@@weir modules
ip_vs loaded
xt_ipvs available
xt_statistic loaded
ipt_SYNPROXY available
ip_vs_wrr loaded
xt_nat loaded
xt_addrtype loaded
xt_tcpudp loaded
xt_CT loaded
xt_conntrack loaded
xt_multiport available
@@weir daemons
zebra /usr/lib/frr/zebra zebra version 8.4.4
ospfd /usr/lib/frr/ospfd ospfd version 8.4.4
bfdd /usr/lib/frr/bfdd bfdd version 8.4.4
@@weir tools
vtysh /usr/bin/vtysh
frr-reload.py /usr/lib/frr/frr-reload.py
flock /usr/bin/flock
ip /usr/sbin/ip
iptables /usr/sbin/iptables
iptables-restore /usr/sbin/iptables-restore
ipvsadm /usr/sbin/ipvsadm
ethtool /usr/sbin/ethtool
arping /usr/bin/arping
modprobe /usr/sbin/modprobe
@@weir iptables
iptables v1.8.9 (nf_tables)
@@weir ipvsadm /usr/sbin/ipvsadm
laddr no
@@weir interface eth0
operstate up
carrier 1
flags 0x1003
speed 10000
rx-queues 4
tx-queues 4
@@weir ethtool eth0
Settings for eth0:
	Supported ports: [  ]
	Speed: 10000Mb/s
	Duplex: Full
	Link detected: yes
@@weir ethtool-i eth0
driver: ixgbe
version: 6.1.0-18-amd64
firmware-version: 0x800003df
@@weir ethtool-g eth0
Ring parameters for eth0:
Pre-set maximums:
RX:		4096
RX Mini:	n/a
RX Jumbo:	n/a
TX:		4096
Current hardware settings:
RX:		512
RX Mini:	n/a
RX Jumbo:	n/a
TX:		256
RX Buf Len:		n/a
@@weir ethtool-l eth0
Channel parameters for eth0:
Pre-set maximums:
RX:		n/a
TX:		n/a
Other:		1
Combined:	16
Current hardware settings:
RX:		n/a
TX:		n/a
Other:		1
Combined:	4
@@weir addresses
1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
1: lo    inet 10.1.0.1/32 scope global lo\\       valid_lft forever preferred_lft forever
2: eth0    inet 10.0.0.1/24 brd 10.0.0.255 scope global eth0\\       valid_lft forever preferred_lft forever
2: eth0    inet 10.0.0.100/32 scope global eth0\\       valid_lft forever preferred_lft forever
2: eth0    inet 10.0.0.101/32 scope global eth0\\       valid_lft forever preferred_lft forever
@@weir arp
tool iputils
@@weir end
`;

const alibaba = `
@@weir machine
uid 0
kernel 2.6.32-220.23.3.el6.x86_64
distribution CentOS release 6.10 (Final)
@@weir keepalived /usr/local/sbin/keepalived
laddr yes
code 0
Keepalived v1.2.2 (11/03,2014)
@@weir processes
keepalived 1862 /usr/local/sbin/keepalived
zebra 917 /usr/local/sbin/zebra
ospfd 922 /usr/local/sbin/ospfd
@@weir ipvs
table yes
fullnat yes
@@weir modules
ip_vs loaded
xt_ipvs missing
xt_statistic available
ipt_SYNPROXY missing
@@weir daemons
zebra /usr/local/sbin/zebra zebra version 0.99.20.1
ospfd /usr/local/sbin/ospfd ospfd version 0.99.20.1
@@weir tools
flock /usr/bin/flock
ip /sbin/ip
ethtool /sbin/ethtool
arping /sbin/arping
modprobe /sbin/modprobe
@@weir ipvsadm /sbin/ipvsadm
laddr yes
@@weir interface eth0
operstate up
carrier 1
flags 0x1003
speed 1000
rx-queues 0
tx-queues 0
@@weir ethtool eth0
Settings for eth0:
	Speed: 1000Mb/s
@@weir ethtool-i eth0
driver: igb
@@weir ethtool-g eth0
Ring parameters for eth0:
Pre-set maximums:
RX:		4096
TX:		4096
Current hardware settings:
RX:		256
TX:		256
@@weir ethtool-l eth0
Cannot get device channel parameters
: Operation not supported
@@weir addresses
2: eth0    inet 10.0.0.1/24 brd 10.0.0.255 scope global eth0
@@weir arp
tool iputils
free 10.0.0.100
free 10.0.0.101
@@weir end
`;

const dpvs = `
@@weir machine
uid 0
kernel 4.18.0-372.el8.x86_64
distribution "CentOS Stream 8"
@@weir keepalived /usr/local/sbin/keepalived
laddr yes
code 0
Keepalived v2.0.19 (10/19,2019)

Copyright(C) 2001-2019 Alexandre Cassen, <acassen@gmail.com>
@@weir processes
dpvs 812 /usr/local/sbin/dpvs
keepalived 862 /usr/local/sbin/keepalived
zebra 917 /usr/lib/frr/zebra
ospfd 922 /usr/lib/frr/ospfd
@@weir dpip /usr/local/sbin/dpip
dpip-1.9
@@weir dpvs-links 0
1: eth0: socket 0 mtu 1500 rx-queue 8 tx-queue 8
    UP 10000 Mbps full-duplex auto-nego
    addr A0:36:9F:9D:61:F4 OF_RX_IP_CSUM OF_TX_IP_CSUM
2: dpdk1: socket 0 mtu 1500 rx-queue 8 tx-queue 8
    DOWN 0 Mbps half-duplex fixed-nego
    addr A0:36:9F:9D:61:F6
@@weir dpvs-addresses 0
inet 10.0.0.100/32 scope global eth0
     valid_lft forever preferred_lft forever sa_used 0 sa_free 64511 sa_miss 0
inet 10.0.0.101/32 scope global eth0
     valid_lft forever preferred_lft forever sa_used 0 sa_free 64511 sa_miss 0
@@weir ipvs
table no
fullnat no
@@weir modules
ip_vs available
xt_ipvs available
xt_statistic available
ipt_SYNPROXY available
@@weir daemons
zebra /usr/lib/frr/zebra zebra version 8.4.4
ospfd /usr/lib/frr/ospfd ospfd version 8.4.4
@@weir tools
vtysh /usr/bin/vtysh
frr-reload.py /usr/lib/frr/frr-reload.py
flock /usr/bin/flock
ip /usr/sbin/ip
ethtool /usr/sbin/ethtool
arping /usr/sbin/arping
modprobe /usr/sbin/modprobe
@@weir ipvsadm /usr/local/sbin/ipvsadm
laddr yes
@@weir interface eth0.kni
operstate unknown
carrier 1
flags 0x1003
speed -1
rx-queues 1
tx-queues 1
@@weir addresses
9: eth0.kni    inet 10.0.0.1/24 brd 10.0.0.255 scope global eth0.kni
@@weir arp
tool iputils
@@weir end
`;

const answers: Readonly<Record<Probed, string>> = { debian, alibaba, dpvs };

export function probedText(name: Probed): string {
  return answers[name];
}

/** The machine's report, with edits of its answer: every text that is to be replaced must be in it. */
export function probed(name: Probed, ...edits: readonly (readonly [string | RegExp, string])[]): ProbeReport {
  let text = answers[name];
  for (const [from, to] of edits) {
    if (text.search(from) < 0 && !text.includes(String(from))) throw new Error(`${name} has no ${String(from)}`);
    text = text.replace(from, to);
  }
  const sections = splitSections(text.split('\n'));
  if (!sections) throw new Error(`${name} is not whole`);
  return readProbe(sections, lips);
}

/** The LB of the documents that fit the three machines. */
export const lb: Lb = {
  hostname: 'lb1.room1',
  routerid: '10.0.0.1',
  internalip: '10.0.0.1',
  internalnetmask: '255.255.255.0',
  internalgateway: '10.0.0.254',
  ospfnet: '10.0.0.0/24',
  lips,
};

export function document(of: Probed, parts: Partial<Cluster> = {}): Cluster {
  const dataplane = { debian: 'ipvs', alibaba: 'fullnat', dpvs: 'dpvs' } as const;
  return {
    name: 'c',
    type: 'internal',
    device: 'eth0',
    vipnets: ['10.1.0.0/16'],
    dataplane: dataplane[of],
    lbinfos: [lb],
    vip2ws: [
      {
        vip: '10.1.0.1',
        wstype: 'web',
        wss: ['ws1.room1'],
        ports: [{ sport: 80, dport: 80, synproxy: 0, persistence_timeout: 50 }],
      },
    ],
    ...parts,
  };
}
