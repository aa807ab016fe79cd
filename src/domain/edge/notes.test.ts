import { describe, expect, test } from 'vitest';
import { fullCluster, fullDpvsCluster, fullIpvsCluster } from '../testing/clusters.ts';
import type { Cluster } from './model.ts';
import { wsNotes } from './notes.ts';

const notes = (cluster: Cluster) => wsNotes(cluster).map(({ path, code }) => `${path} ${code}`);

describe('what WSs have to be ready for', () => {
  test('is nothing where a data plane brings the client’s address along', () => {
    expect(notes(fullCluster())).toEqual([]);
    expect(notes(fullDpvsCluster())).toEqual([]);
  });

  test('is that clients’ addresses are hidden, and that they have the VIP themselves', () => {
    const both = ['vip2ws[0].forwarding client_addresses_hidden', 'vip2ws[1].forwarding ws_needs_vip'];
    expect(notes(fullIpvsCluster())).toEqual(both);
  });

  test('is said once for many VIPs, and goes by the cluster’s own way to forward', () => {
    const cluster = fullIpvsCluster();
    const open = cluster.vip2ws.map(({ forwarding: _forwarding, ...vip }) => vip);
    expect(notes({ ...cluster, vip2ws: open })).toEqual(['vip2ws[0].forwarding client_addresses_hidden']);
    expect(notes({ ...cluster, vip2ws: open, forwarding: 'tun' })).toEqual(['vip2ws[0].forwarding ws_needs_vip']);
    expect(notes({ ...cluster, vip2ws: [] })).toEqual([]);
  });

  test('is that a SYN proxy without timestamps offers clients no scaled windows', () => {
    const { synproxy: _synproxy, ...cluster } = fullIpvsCluster();
    const code = 'vip2ws[0].ports synproxy_unscaled';
    expect(notes(cluster)).toContain(code);
    expect(notes({ ...cluster, synproxy: { wscale: 9 } })).toContain(code);
    expect(notes({ ...cluster, synproxy: { timestamps: true } })).not.toContain(code);
    const silent = cluster.vip2ws.map((vip) => ({
      ...vip,
      ports: vip.ports.map((port) => ({ ...port, synproxy: 0 as const })),
    }));
    expect(notes({ ...cluster, vip2ws: silent })).not.toContain(code);
  });
});
