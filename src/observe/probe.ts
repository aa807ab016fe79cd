/**
 * What an LB is, as its own programs tell: one SSH session, one constant command (probe-script.ts), its answer as a
 * report. What of it disagrees with the document is told apart, in disagreements.ts. An LB that cannot be asked is a
 * value, not an exception. observe/ may import domain, render and remote.
 */
import { dataplaneOf, deviceOf, innerDeviceOf, kernelDeviceOf, schedulerOf, synproxyOf } from '../domain/edge/model.ts';
import type { Cluster, Lb } from '../domain/edge/model.ts';
import { ipvsModules } from '../render/host/host.ts';
import { ask } from './observe-lb.ts';
import type { Asking, Observed, ObserveLb } from './observe-lb.ts';
import { probeCommand, probeCommandSudo } from './probe-script.ts';
import { readProbe } from './probe-sections.ts';
import type { ProbeReport } from './probe-sections.ts';

/** An interface that the document names, and what the kernel calls it. */
export interface AskedInterface {
  device: string;
  /** DPVS takes the NIC from the kernel, and gives it DEVICE.kni for what is not load balanced. */
  kernel: string;
}

/** In the order device, innerdevice, uplinks; each once. */
export function interfacesOf(cluster: Cluster, lb: Lb): AskedInterface[] {
  const uplinks = (lb.uplinks ?? []).map(({ device }) => device);
  const devices = new Set([deviceOf(cluster, lb), innerDeviceOf(cluster, lb), ...uplinks]);
  return [...devices].map((device) => ({ device, kernel: kernelDeviceOf(cluster, device) }));
}

/**
 * Modules without which host/iptables of the dataplane ipvs is not loaded, and its services are not made. Tables may be
 * those of nftables.
 */
export function neededModules(cluster: Cluster): string[] {
  if (dataplaneOf(cluster) !== 'ipvs') return [];
  const schedulers = [...new Set(cluster.vip2ws.flatMap((vip) => vip.ports.map(schedulerOf)))].sort();
  const synproxies = cluster.vip2ws.flatMap((vip) =>
    vip.ports.some((port) => synproxyOf(cluster, vip, port)) ? vip.vip : [],
  );
  const names = ipvsModules({ cluster, schedulers, synproxies }).map((module) => module.split(' ')[0] ?? '');
  return names.filter((name) => /^(ip_vs_|xt_|ipt_)/.test(name));
}

/** Asked of every LB: what a machine could be made of. */
const always = ['ip_vs', 'xt_ipvs', 'xt_statistic', 'ipt_SYNPROXY'];

/** The request on standard input of the command. */
export function requestOf(cluster: Cluster, lb: Lb, lips: readonly string[]): string {
  const inner = kernelDeviceOf(cluster, innerDeviceOf(cluster, lb));
  const lines = [
    ...new Set([...always, ...neededModules(cluster)].map((module) => `module ${module}`)),
    ...interfacesOf(cluster, lb).map(({ kernel }) => `interface ${kernel}`),
    ...lips.map((lip) => `lip ${lip} ${inner}`),
  ];
  return ['weir 1 probe', ...lines, 'end', ''].join('\n');
}

export interface ProbeLb extends ObserveLb {
  cluster: Cluster;
  lb: Lb;
  /** Addresses, all different. */
  lips: readonly string[];
}

const probing: Asking = { plain: probeCommand, sudo: probeCommandSudo };

export async function probeLb(options: ProbeLb): Promise<Observed<ProbeReport>> {
  const answer = await ask(options, probing, requestOf(options.cluster, options.lb, options.lips));
  return answer.ok ? { ok: true, value: readProbe(answer.value, options.lips) } : answer;
}
