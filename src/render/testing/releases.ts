/**
 * Releases for tests: documents rendered as they are published, and read back as keepalived reads
 * them. Only tests import it.
 */
import { parseRange } from '../../domain/address.ts';
import { errorsOf } from '../../domain/problem.ts';
import type { Addresses } from '../../domain/edge/addresses.ts';
import { addressOf } from '../../domain/edge/addresses.ts';
import { checkCluster } from '../../domain/edge/check.ts';
import { emptyLipPlan, planLips } from '../../domain/edge/lips.ts';
import type { LipPlan } from '../../domain/edge/lips.ts';
import { checkTypeOf, dataplaneOf, defaults, protocolOf, stateOf, weightOf } from '../../domain/edge/model.ts';
import type { Cluster, Forwarding, Port, Vip } from '../../domain/edge/model.ts';
import { resolved } from '../../domain/testing/clusters.ts';
import { renderCluster } from '../cluster.ts';
import type { Release, Rendered } from '../cluster.ts';
import { ospfKeysOf } from '../routing/ospf.ts';
import { joinRanges } from '../keepalived/grammar/groups.ts';
import { readKeepalived } from '../keepalived/grammar/reader.ts';
import type { HealthCheck, Reading, VirtualService } from '../keepalived/grammar/reader.ts';

/** The plan of a document without a history. */
export function planOf(cluster: Cluster): LipPlan {
  return planLips({ cluster, plan: emptyLipPlan, isTaken: () => false, now: '' }).plan;
}

/** As an edge renders it: the key in the clear, a plan, addresses. */
export function tryRender(cluster: Cluster, addresses: Addresses = resolved(cluster)): Rendered {
  return renderCluster({ cluster, lips: planOf(cluster), addresses, ospfKeys: ospfKeysOf(cluster) });
}

/** The releases of a document that must be valid. */
export function rendered(cluster: Cluster, addresses: Addresses = resolved(cluster)): Release[] {
  const errors = errorsOf(checkCluster(cluster));
  if (errors.length > 0) throw new Error(JSON.stringify(errors, null, 1));
  const result = tryRender(cluster, addresses);
  if (!result.ok) throw new Error(JSON.stringify(result.problems, null, 1));
  return result.releases;
}

/** Texts of a release by path, with its manifest. */
export function textsOf(release: Release): Map<string, string> {
  return new Map([...release.files(), release.manifest()].map((file) => [file.path, file.text()]));
}

/** What keepalived reads of a release, from the live path on. */
export function readRelease(release: Release): Reading {
  const texts = textsOf(release);
  const root = '/etc/weir/current/';
  return readKeepalived(
    (path) => (path.startsWith(root) ? texts.get(path.slice(root.length)) : undefined),
    `${root}keepalived/entry.conf`,
    release.dataplane,
  );
}

/** The virtual services that a document asks for, in the order of its VIPs and their ports; made without the renderer. */
export function servicesOf(cluster: Cluster, addresses: Addresses, lips: readonly string[]): Partial<VirtualService>[] {
  const dataplane = dataplaneOf(cluster);
  return cluster.vip2ws.flatMap((vip) => {
    const active = vip.wss.filter((ws) => stateOf(vip, ws) !== 'down');
    if (active.length === 0) return [];
    const forwarding = vip.forwarding ?? cluster.forwarding ?? 'fullnat';
    // On a stock kernel both LIPs and SYN proxies are netfilter's.
    const throughLips = forwarding === 'fullnat' && dataplane !== 'ipvs';
    const ports = vip.ports.toSorted((a, b) => a.sport - b.sport || (protocolOf(a) === 'TCP' ? -1 : 1));
    return ports.map((port) => ({
      vip: vip.vip,
      port: port.sport,
      interval: port.check?.interval ?? cluster.check?.interval ?? 6,
      scheduler: port.scheduler ?? 'wrr',
      kind: kinds[forwarding] ?? (dataplane === 'ipvs' ? 'NAT' : 'FNAT'),
      protocol: protocolOf(port),
      persistence: port.persistence_timeout,
      synproxy: throughLips && protocolOf(port) === 'TCP' && port.synproxy === 1,
      lips: throughLips ? lips : [],
      quorum: vip.quorum ?? 1,
      host: dataplane === 'fullnat' ? hostOf(cluster, port) : undefined,
      establishTimeout: port.establish_timeout,
      proxyProtocol: port.proxy_protocol,
      hashTarget: undefined,
      deny: vip.deny && clientsOf(vip.deny),
      allow: vip.allow && clientsOf(vip.allow),
      realServers: active.map((ws) => ({
        address: addressOf(vip, ws, addresses) ?? 'none',
        port: port.dport,
        weight: weightOf(vip, ws),
        check: checkOf(cluster, port),
      })),
    }));
  });
}

const kinds: Partial<Record<Forwarding, string>> = { dr: 'DR', tun: 'TUN' };

function clientsOf(texts: readonly string[]): string[] {
  return joinRanges(texts.flatMap((text) => parseRange(text) ?? []));
}

/** Host header of a check that asks for a page. */
function hostOf(cluster: Cluster, port: Port): string | undefined {
  return ['http', 'https'].includes(checkTypeOf(port)) ? (port.check?.host ?? cluster.check?.host) : undefined;
}

const checkWords = { http: 'HTTP_GET', https: 'SSL_GET', tcp: 'TCP_CHECK', udp: 'UDP_CHECK' } as const;

function checkOf(cluster: Cluster, port: Port): HealthCheck {
  const fullnat = dataplaneOf(cluster) === 'fullnat';
  const [own, common] = [port.check ?? {}, cluster.check ?? {}];
  const type = checkTypeOf(port);
  const connectTimeout = own.timeout ?? common.timeout ?? 3;
  const base: HealthCheck = { type: checkWords[type], connectTimeout };
  const page = type === 'http' || type === 'https';
  if (page || !fullnat) Object.assign(base, { retries: own.retry ?? common.retry ?? 3, retryDelay: 3 });
  if (!page) return base;
  const host = fullnat ? undefined : hostOf(cluster, port);
  if (host !== undefined) Object.assign(base, { host }, type === 'https' ? { sni: true } : {});
  // The nearest of the port's and the cluster's that says one of both decides.
  const deciding = [own, common].find((c) => c.digest !== undefined || c.status !== undefined) ?? {};
  const expected = deciding.digest === undefined ? { status: deciding.status ?? 200 } : { digest: deciding.digest };
  return { ...base, path: own.path ?? common.path ?? defaults.check.path, ...expected };
}

export function announceOf(cluster: Cluster, vip: Vip): string {
  return `${vip.vip} ${vip.announce ?? cluster.announce ?? 'any'} ${vip.quorum ?? 1}`;
}
