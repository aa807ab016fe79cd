/** A whole Weir, and clusters whose LBs are machines that play one: published to over ssh, activated, and asked. */
import { Writable } from 'node:stream';
import { runCli } from '../../src/cli/program.ts';
import type { Cluster } from '../../src/domain/edge/model.ts';
import { openTestHosts } from '../../src/remote/test-hosts.ts';
import { create } from '../fixtures.ts';
import { startTestServer } from '../harness.ts';
import type { TestServer } from '../harness.ts';
import { sh } from './machine.ts';
import { playLb } from './played-lb.ts';
import type { PlayedLb } from './played-lb.ts';

export interface Ran {
  code: number;
  out: string;
  err: string;
}

export interface PlayedClusters {
  server: TestServer;
  /** By hostname. */
  lbs: ReadonlyMap<string, PlayedLb>;
  weir(...argv: string[]): Promise<Ran>;
  /** VIPs of 10.1.0.0/16 that an LB announces. */
  announced(lb: string): Promise<string[]>;
  close(): Promise<void>;
}

/** The nth cluster, of some LBs `lbI.roomN` and VIPs `10.1.N.I`; all of them may have any VIP of 10.1.0.0/16. */
export function playedCluster(n: number, { lbs, vips }: { lbs: number; vips: number }): Cluster {
  const net = `10.0.${n}`;
  const numbers = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
  const port = (sport: number) => ({ sport, dport: sport, synproxy: 0 as const, persistence_timeout: 50 });
  return {
    name: `c${n}`,
    type: 'internal',
    device: 'eth0',
    dataplane: 'ipvs',
    vipnets: ['10.1.0.0/16'],
    lbinfos: numbers(lbs).map((i) => ({
      hostname: `lb${i}.room${n}`,
      routerid: `${net}.${i}`,
      internalip: `${net}.${i}`,
      internalnetmask: '255.255.255.0',
      internalgateway: `${net}.254`,
      ospfnet: `${net}.0/24`,
      lips: [`${net}.${i}1-${net}.${i}4`],
    })),
    vip2ws: numbers(vips).map((i) => ({
      vip: `10.1.${n}.${i}`,
      wstype: 'web',
      wss: ['ws1', 'ws2'],
      wsattrs: { ws1: { address: `10.9.${n}.1` }, ws2: { address: `10.9.${n}.2` } },
      ports: [port(80), port(443)],
    })),
  };
}

/** Starts a machine for each LB, makes the clusters, publishes and activates. */
export async function openPlayedClusters(...clusters: readonly Cluster[]): Promise<PlayedClusters> {
  const hosts = await openTestHosts();
  const server = await startTestServer({ settings: { ssh_config: hosts.configFile } });
  const lbs = new Map<string, PlayedLb>();
  const all = clusters.flatMap((cluster) => cluster.lbinfos);
  const close = () => Promise.all([server.close(), hosts.close()]).then(() => undefined);
  try {
    for (const { hostname, internalip } of all) {
      const lb = await playLb(hosts, hostname);
      await sh(lb.host, 'ip addr add "$1/24" dev eth0 2>/dev/null || :', internalip);
      lbs.set(hostname, lb);
    }
    const edge: PlayedClusters = {
      server,
      lbs,
      weir: (...argv) => weir(server, argv),
      announced: async (lb) => {
        const addresses = (await lbs.get(lb)?.see())?.addresses ?? [];
        return addresses.flatMap((line) => /^(10\.1\.\S+)\/32 lo$/.exec(line)?.[1] ?? []).sort();
      },
      close,
    };
    await create(server, ...clusters);
    for (const { name } of clusters) {
      for (const word of ['publish', 'activate']) {
        const { code, err } = await edge.weir(word, name);
        if (code !== 0) throw new Error(`${word} ${name}: ${err}`);
      }
    }
    return edge;
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

async function weir({ url, token }: TestServer, argv: readonly string[]): Promise<Ran> {
  const texts = { out: '', err: '' };
  const sink = (name: 'out' | 'err') =>
    new Writable({
      write(chunk, _encoding, done) {
        texts[name] += String(chunk);
        done();
      },
    }) as unknown as NodeJS.WriteStream;
  const options = { version: '0', extra: [], env: { WEIR_TOKEN: token }, stdout: sink('out'), stderr: sink('err') };
  const code = await runCli(['--url', url, ...argv], options);
  return { code, ...texts };
}
