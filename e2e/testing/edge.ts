/** A whole Weir with test hosts that play its LBs, and the documents that tests publish to them. */
import type { Cluster, Lb, Vip } from '../../src/domain/edge/model.ts';
import type { Publication } from '../../src/jobs/publications.ts';
import { openTestHosts, whyNoTestHosts } from '../../src/remote/test-hosts.ts';
import type { TestHost, TestHosts } from '../../src/remote/test-hosts.ts';
import { startTestServer } from '../harness.ts';
import type { TestServer } from '../harness.ts';

const reason = whyNoTestHosts();

/** For describe.skipIf, and the title, which says loudly why. */
export const noHosts = reason !== undefined;
export const title = (text: string) => (reason === undefined ? text : `${text} (left out: ${reason})`);

export interface PublishBody {
  lbs?: string[];
  revision?: number;
  overwrite?: boolean;
  action?: 'publish' | 'restore';
}

export interface Edge {
  server: TestServer;
  hosts: TestHosts;
  /** Starts a publication and waits for its end. */
  publish(cluster: string, body?: PublishBody): Promise<Publication>;
  restore(cluster: string): Promise<Publication>;
  close(): Promise<void>;
}

export interface EdgeOptions {
  /** hosts(5) text with addresses of WSs. */
  hosts?: string;
  settings?: Record<string, string>;
}

export async function openEdge(options: EdgeOptions = {}): Promise<Edge> {
  const hosts = await openTestHosts();
  try {
    const server = await startTestServer({
      ...(options.hosts === undefined ? {} : { hosts: options.hosts }),
      settings: { ssh_config: hosts.configFile, ...options.settings },
    });
    const publish = (cluster: string, body: PublishBody = {}) => publishWith(server, cluster, body);
    return {
      server,
      hosts,
      publish,
      restore: (cluster) => publish(cluster, { action: 'restore' }),
      close: () => Promise.all([server.close(), hosts.close()]).then(() => undefined),
    };
  } catch (thrown) {
    await hosts.close();
    throw thrown;
  }
}

async function publishWith({ client }: TestServer, cluster: string, body: PublishBody): Promise<Publication> {
  const path = `/clusters/${cluster}/publications`;
  const { data } = await client.call<Publication>(path, { method: 'POST', body });
  return endOf({ client }, data);
}

/** The publication as it is when it has ended. */
export async function endOf(
  { client }: Pick<TestServer, 'client'>,
  { cluster, id }: Publication,
): Promise<Publication> {
  for await (const message of client.stream(`/clusters/${cluster}/publications/${id}/events`)) {
    if (message.event === 'end') return message.data as Publication;
  }
  throw new Error(`the events of publication ${id} ended without an end`);
}

/** What a publication came to on an LB; on its only one if none is named. */
export function lbOf(publication: Publication, lb?: string): Publication['lbs'][string] {
  const found = lb === undefined ? Object.values(publication.lbs)[0] : publication.lbs[lb];
  if (!found) throw new Error(`publication ${publication.id} has no LB ${lb}`);
  return found;
}

// documents ----------------------------------------------------------------------------------

export interface Shape {
  lbs: number;
  vips: number;
  /** Path of every health check: tells revisions apart in every VIP file. */
  marker?: string;
}

/** A valid cluster whose WSs have addresses in the document; clusters of different n share nothing. */
export function clusterOf(n: number, { lbs, vips, marker }: Shape): Cluster {
  return {
    name: `cluster-${n}`,
    type: 'internal',
    device: 'em1',
    vipnets: [`172.${16 + n}.0.0/16`],
    lbinfos: range(lbs).map((i) => lb(n, i)),
    vip2ws: range(vips).map((i) => vip(n, i)),
    ...(marker === undefined ? {} : { check: { path: marker } }),
  };
}

export function lbName(n: number, i: number): string {
  return `lb${i}.room${n}`;
}

function lb(n: number, i: number): Lb {
  const net = `10.${n}.${i}`;
  return {
    hostname: lbName(n, i),
    routerid: `${net}.2`,
    internalip: `${net}.2`,
    internalnetmask: '255.255.255.0',
    internalgateway: `${net}.1`,
    ospfnet: `${net}.0/24`,
  };
}

/** Two WSs, ports 80 and 443. */
export function vip(n: number, i: number): Vip {
  const wss = [`ngx1-${i}.room${n}`, `ngx2-${i}.room${n}`];
  return {
    vip: `172.${16 + n}.${i >> 8}.${i & 255}`,
    wstype: 'apps',
    wss,
    wsattrs: Object.fromEntries(
      wss.map((ws, k) => [ws, { address: `10.${100 + n}.${(i >> 7) & 255}.${((i & 127) * 2 + k) & 255}` }]),
    ),
    ports: [80, 443].map((port) => ({ sport: port, dport: port, synproxy: 1, persistence_timeout: 50 })),
  };
}

/** 1, 2, ... count. */
export function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1);
}

export async function create({ server }: Edge, cluster: Cluster): Promise<void> {
  await server.client.call('/clusters', { method: 'POST', body: cluster });
}

/** Health checks of the whole cluster ask for this path from now on. */
export async function mark({ server }: Edge, cluster: string, marker: string): Promise<void> {
  await server.client.call(`/clusters/${cluster}`, { method: 'PATCH', body: { check: { path: marker } } });
}

export type { Publication, TestHost };
