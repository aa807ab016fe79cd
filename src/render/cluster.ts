/**
 * Documents to releases: everything an LB of a cluster gets, deterministic to the byte. VIP files
 * are shared by all LBs and cached by identity; an LB's own files by what they depend on, so that
 * rendering again after a change costs what changed.
 * render/ imports the domain only.
 */
import { createHash } from 'node:crypto';
import type { Addresses } from '../domain/edge/addresses.ts';
import { lipsOf } from '../domain/edge/lips.ts';
import type { LipPlan } from '../domain/edge/lips.ts';
import { dataplaneOf, innerDeviceOf, routingOf } from '../domain/edge/model.ts';
import type { Cluster, Dataplane, Lb, Routing } from '../domain/edge/model.ts';
import { error } from '../domain/problem.ts';
import type { Problem } from '../domain/problem.ts';
import { digestFiles, renderFile } from './files.ts';
import type { RenderedFile } from './files.ts';
import { agentFile, agentHelper } from './host/agent.ts';
import { announceFile, announceHelper } from './host/announce.ts';
import { dpvsHostFiles, fullnatHostFiles, ipvsHostFiles } from './host/host.ts';
import type { HostInput } from './host/host.ts';
import { dpvs } from './keepalived/dpvs.ts';
import { fullnat } from './keepalived/fullnat.ts';
import { ipvs } from './keepalived/ipvs.ts';
import { entryFile, loadsOf, mainFile, vipFile } from './keepalived/keepalived.ts';
import type { KeepalivedDialect, MainFile } from './keepalived/keepalived.ts';
import { frrFiles } from './routing/frr.ts';
import type { OspfKeys, RoutingInput } from './routing/ospf.ts';
import { quaggaFiles } from './routing/quagga.ts';

interface DataplaneRenderer {
  keepalived: KeepalivedDialect;
  host: (input: HostInput) => RenderedFile[];
}

const dataplanes: Readonly<Record<Dataplane, DataplaneRenderer>> = {
  fullnat: { keepalived: fullnat, host: fullnatHostFiles },
  dpvs: { keepalived: dpvs, host: dpvsHostFiles },
  ipvs: { keepalived: ipvs, host: ipvsHostFiles },
};

const routings: Readonly<Record<Routing, (input: RoutingInput) => RenderedFile[]>> = {
  quagga: quaggaFiles,
  frr: frrFiles,
};

export interface RenderInput {
  cluster: Cluster;
  lips: LipPlan;
  addresses: Addresses;
  /** The OSPF MD5 keys in the clear, where the document refers to them. */
  ospfKeys?: OspfKeys | undefined;
}

/** Everything of one LB. */
export interface Release {
  /** 32 hex digits: digest of the files. */
  readonly id: string;
  readonly cluster: string;
  readonly lb: string;
  readonly dataplane: Dataplane;
  readonly routing: Routing;
  /** Virtual services that a keepalived reads in it. */
  readonly services: number;
  /** 10 hex digits: the same as long as keepalived would load the same. */
  readonly loads: string;
  /** All files but the manifest, sorted by path. */
  readonly files: () => RenderedFile[];
  /** manifest.json. */
  readonly manifest: () => RenderedFile;
}

export type Rendered = { ok: true; releases: Release[] } | { ok: false; problems: Problem[] };

/** Releases of the cluster's LBs in the order of the document; or why there are none. */
export function renderCluster(input: RenderInput): Rendered {
  const shared = renderVips(input.cluster, input.addresses);
  const problems = [...shared.problems, ...missingParts(input)];
  if (problems.length > 0) return { ok: false, problems };
  return { ok: true, releases: input.cluster.lbinfos.map((lb) => renderLb(input, lb, shared)) };
}

/** What would be left out in silence: connections without LIPs, OSPF without the authentication that was asked for. */
function missingParts({ cluster, lips, ospfKeys }: RenderInput): Problem[] {
  const problems = cluster.lbinfos.flatMap((lb, i) =>
    lipsOf(lips, lb.hostname).length > 0
      ? []
      : error(`lbinfos[${i}].lips`, {
          code: 'no_lips',
          message: `LB ${lb.hostname} has no LIPs`,
          hint: 'plan LIPs first, or set lips on the LB',
        }),
  );
  const { key, oldkey } = cluster.ospf ?? {};
  if (key !== undefined && ospfKeys?.key === undefined) problems.push(missingKey('key'));
  if (oldkey !== undefined && ospfKeys?.oldKey === undefined) problems.push(missingKey('oldkey'));
  return problems;
}

function missingKey(field: 'key' | 'oldkey'): Problem {
  return error(`ospf.${field}`, {
    code: 'no_ospf_key',
    message: `the OSPF ${field} that the document asks for is not at hand`,
    hint: `set ospf.${field} again`,
  });
}

const noKeys: OspfKeys = { key: undefined, oldKey: undefined };

/** What all LBs of a cluster share. */
interface SharedFiles {
  files: readonly RenderedFile[];
  vips: readonly string[];
  /** The VIPs as one text: what an LB's main file depends on. */
  names: string;
  services: number;
  /** Asked for by any port, sorted, as one text. */
  schedulers: string;
  /** Ports whose SYNs the LBs answer, as one text: `VIP PORT,PORT` a line. */
  synproxies: string;
  digest: string;
  problems: Problem[];
}

function renderVips(cluster: Cluster, addresses: Addresses): SharedFiles {
  const { keepalived: dialect } = dataplanes[dataplaneOf(cluster)];
  const { check, announce, forwarding } = cluster;
  const context = { dialect, check, announce, forwarding };
  const problems: Problem[] = [];
  const files: RenderedFile[] = [];
  const vips: string[] = [];
  const schedulers = new Set<string>();
  const synproxies: string[] = [];
  let services = 0;
  cluster.vip2ws.forEach((vip, i) => {
    const rendered = vipFile(vip, context, addresses);
    for (const p of rendered.problems) problems.push({ ...p, path: `vip2ws[${i}].${p.path}` });
    files.push(rendered.file);
    vips.push(vip.vip);
    services += rendered.services;
    for (const scheduler of rendered.schedulers) schedulers.add(scheduler);
    if (rendered.synproxies.length > 0) synproxies.push(`${vip.vip} ${rendered.synproxies.join(',')}`);
  });
  const names = vips.join('\n');
  const digest = createHash('sha256')
    .update(files.map((file) => file.sha256).join(''))
    .update(names)
    .digest('hex');
  return {
    files,
    vips,
    names,
    services,
    schedulers: [...schedulers].sort().join(' '),
    synproxies: synproxies.join('\n'),
    digest,
    problems,
  };
}

interface LbFiles {
  /** Everything that the files were made from, compared by identity. */
  from: readonly unknown[];
  files: readonly RenderedFile[];
  main: MainFile;
  digest: string;
}

const lbCache = new WeakMap<Lb, LbFiles>();

function renderLb(input: RenderInput, lb: Lb, shared: SharedFiles): Release {
  const { cluster } = input;
  const own = lbFiles(input, lb, shared);
  const id = createHash('sha256')
    .update(`weir release 1\n${shared.digest}\n${own.digest}\n`)
    .digest('hex')
    .slice(0, 32);
  const base = {
    id,
    cluster: cluster.name,
    lb: lb.hostname,
    dataplane: dataplaneOf(cluster),
    routing: routingOf(cluster),
    services: shared.services,
    loads: loadsOf(own.main, shared.digest),
  };
  const files = () =>
    [own.main.file(base.loads), ...own.files, ...shared.files].sort((a, b) => (a.path < b.path ? -1 : 1));
  return { ...base, files, manifest: () => manifestFile(base, files()) };
}

function lbFiles(input: RenderInput, lb: Lb, shared: SharedFiles): LbFiles {
  const { cluster } = input;
  const lips = lipsOf(input.lips, lb.hostname);
  const keys = input.ospfKeys ?? noKeys;
  const from = [
    lips,
    shared.names,
    shared.schedulers,
    shared.synproxies,
    cluster.synproxy,
    cluster.type,
    cluster.device,
    cluster.vipnets,
    cluster.ospf,
    cluster.dataplane,
    cluster.routing,
    keys.key,
    keys.oldKey,
  ];
  const known = lbCache.get(lb);
  if (known && known.from.every((value, i) => value === from[i])) return known;
  const { keepalived: dialect, host } = dataplanes[dataplaneOf(cluster)];
  const main = mainFile(dialect, { lb, lips, innerDevice: innerDeviceOf(cluster, lb), vips: shared.vips });
  const schedulers = shared.schedulers.split(' ').filter((scheduler) => scheduler !== '');
  const files = [
    entryFile,
    ...routings[routingOf(cluster)]({ cluster, lb, lips, keys }),
    ...host({ cluster, lb, lips, schedulers, synproxies: shared.synproxies.split('\n').filter(Boolean) }),
    announceFile,
    agentFile,
  ];
  const rendered = { from, files, main, digest: `${main.digest} ${digestFiles(files)}` };
  lbCache.set(lb, rendered);
  return rendered;
}

/** One file a line, so that a POSIX shell can read it too. */
function manifestFile(base: Omit<Release, 'files' | 'manifest'>, files: readonly RenderedFile[]): RenderedFile {
  return renderFile({ path: 'manifest.json' }, () => {
    const head = {
      format: 1,
      release: base.id,
      ...base,
      id: undefined,
      helper: announceHelper.name,
      agent: agentHelper.name,
    };
    const fields = Object.entries(head).flatMap(([k, v]) =>
      v === undefined ? [] : `${JSON.stringify(k)}: ${JSON.stringify(v)},\n`,
    );
    const listed = files.map((f) => JSON.stringify({ path: f.path, sha256: f.sha256, size: f.size, mode: f.mode }));
    return `{\n${fields.join('')}"files": [\n${listed.join(',\n')}\n]\n}\n`;
  });
}
