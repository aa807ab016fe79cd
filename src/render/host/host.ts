/**
 * Host settings of a fullnat LB: its LIPs as addresses, and sysctls. Data for `ip -batch` and
 * `sysctl -p`; nothing here runs by being published.
 */
import { innerDeviceOf } from '../../domain/edge/model.ts';
import type { Cluster, Lb } from '../../domain/edge/model.ts';
import { renderFile } from '../files.ts';
import type { RenderedFile } from '../files.ts';

/** `ip -batch FILE` puts every LIP on the interface of the WSs; `replace` makes it repeatable. */
export function addressesFile(cluster: Cluster, lb: Lb, lips: readonly string[]): RenderedFile {
  const device = innerDeviceOf(cluster, lb);
  return renderFile({ path: 'host/addresses' }, () =>
    lips.map((lip) => `addr replace ${lip}/32 dev ${device}\n`).join(''),
  );
}

/**
 * VIPs are on lo and LIPs on the inner interface: answer ARP for neither on the wrong side. A WS at
 * weight 0 gets no clients back by their persistence.
 */
export const sysctlFile: RenderedFile = renderFile(
  { path: 'host/sysctl.conf' },
  () => `net.ipv4.conf.all.arp_ignore = 1
net.ipv4.conf.all.arp_announce = 2
net.core.netdev_max_backlog = 500000
net.ipv4.vs.expire_quiescent_template = 1
`,
);
