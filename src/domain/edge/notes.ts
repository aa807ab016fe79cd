/** What a plan says of a cluster beside its files: what the WSs have to be ready for. */
import { warning } from '../problem.ts';
import type { Problem } from '../problem.ts';
import { dataplaneOf, forwardingOf, synproxyOf } from './model.ts';
import type { Cluster, Forwarding } from './model.ts';

/** Warnings, one for all VIPs that it is about. */
export function wsNotes(cluster: Cluster): Problem[] {
  const at = (forwarding: Forwarding) => cluster.vip2ws.findIndex((vip) => forwardingOf(cluster, vip) === forwarding);
  const path = (i: number) => `vip2ws[${i}].forwarding`;
  const notes: Problem[] = [];
  const hidden = at('fullnat');
  if (dataplaneOf(cluster) === 'ipvs' && hidden >= 0) {
    notes.push(
      warning(path(hidden), {
        code: 'client_addresses_hidden',
        message: `the WSs see LIPs as the addresses of clients: a stock kernel has no TOA (VIP ${cluster.vip2ws[hidden]?.vip} is the first of these)`,
        hint: 'where WSs need the client’s address, use forwarding dr or tun, or dataplane fullnat or dpvs (docs/dialects.md)',
      }),
    );
  }
  const answering = cluster.vip2ws.findIndex((vip) => vip.ports.some((port) => synproxyOf(cluster, vip, port)));
  if (dataplaneOf(cluster) === 'ipvs' && answering >= 0 && cluster.synproxy?.timestamps !== true) {
    notes.push(
      warning(`vip2ws[${answering}].ports`, {
        code: 'synproxy_unscaled',
        message: `connections of ports with synproxy have neither SACK nor scaled windows, which slows long downloads, and about one in 8,000 hangs (VIP ${cluster.vip2ws[answering]?.vip} is the first of these)`,
        hint: 'set synproxy to 0 on ports that need none, or synproxy.timestamps where the WSs’ kernels are older than 6.15 (docs/dialects.md)',
      }),
    );
  }
  for (const forwarding of ['dr', 'tun'] as const) {
    const i = at(forwarding);
    if (i < 0) continue;
    const device = forwarding === 'dr' ? 'lo, and answer no ARP for it' : 'tunl0';
    notes.push(
      warning(path(i), {
        code: 'ws_needs_vip',
        message: `with forwarding ${forwarding} each WS has the VIP on ${device}, and answers clients past the LBs (VIP ${cluster.vip2ws[i]?.vip} is the first of these)`,
        hint: 'prepare the WSs before activating (docs/dialects.md)',
      }),
    );
  }
  return notes;
}
