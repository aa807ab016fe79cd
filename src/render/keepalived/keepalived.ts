/**
 * What the dialects of keepalived share: the constant entry, a VIP's servers with what is wrong with
 * them, health checks with their defaults, and files cached by the identity of what they are made
 * from. A dialect is its text alone; everything it writes was checked at the border.
 * May import the domain and what render/ shares.
 */
import { createHash } from 'node:crypto';
import { addressOf } from '../../domain/edge/addresses.ts';
import type { Addresses } from '../../domain/edge/addresses.ts';
import { duplicateAddress, wsIsVip } from '../../domain/edge/check-vip.ts';
import {
  defaults,
  forwardingOf,
  portKey,
  protocolOf,
  schedulerOf,
  stateOf,
  synproxyOf,
  weightOf,
} from '../../domain/edge/model.ts';
import type { Cluster, Forwarding, Lb, Port, PortCheck, Vip } from '../../domain/edge/model.ts';
import { error } from '../../domain/problem.ts';
import type { Problem } from '../../domain/problem.ts';
import { announceHelper } from '../host/announce.ts';
import { renderFile } from '../files.ts';
import type { RenderedFile } from '../files.ts';

/** The same in every release, so that keepalived reads one whole release whatever is switched meanwhile. */
export const entryFile: RenderedFile = renderFile({ path: 'keepalived/entry.conf' }, () => 'include keepalived.conf\n');

/** What /etc/keepalived/keepalived.conf holds on every LB that Weir publishes to. */
export const liveStub = 'include /etc/weir/current/keepalived/entry.conf\n';

export interface KeepalivedDialect {
  /** Whether the main file holds the mark of what is loaded, which goes by the VIP files too. */
  marked: boolean;
  /** Lines of the main file before its includes. */
  head: (input: HeadInput) => string[];
  /** What stands in a VIP's file before its services; nothing where there is nothing. */
  vipHead?: (vip: Vip) => string;
  /** One virtual service, whole. */
  service: (service: Service) => string;
}

export interface HeadInput {
  lb: Lb;
  lips: readonly string[];
  /** Interface of the LIPs. */
  innerDevice: string;
  /** Undefined where the main file's own digest is made. */
  loads: string | undefined;
}

/** One port of a VIP with everything that its virtual service says. */
export interface Service {
  vip: Vip;
  port: Port;
  /** Name of its virtual_server_group, unique on the LB. */
  group: string;
  forwarding: Forwarding;
  /** Whether the LB answers SYNs itself. */
  synproxy: boolean;
  check: ResolvedCheck;
  /** The announce helper's command line, the same for every port of the VIP. */
  announce: string;
  /** Total weight needed. */
  quorum: number;
  servers: readonly RealServer[];
}

export interface RealServer {
  address: string;
  weight: number;
}

/** `status` or `digest` is what is compared. Times in seconds. */
export type ResolvedCheck = Omit<PortCheck, 'status'> & {
  path: string;
  status: number | undefined;
  interval: number;
  timeout: number;
  retry: number;
};

/** Seconds between tries of a failing check; without it 1.2.2 retries in a busy loop. */
export const RETRY_DELAY = 3;

/** An LB's main file, as far as it does not go by what is in the VIP files. */
export interface MainFile {
  /** Of the main file without the mark, hex. */
  digest: string;
  /** The file itself; `loads` as `loadsOf` makes it. */
  file: (loads: string) => RenderedFile;
}

export function mainFile(
  dialect: KeepalivedDialect,
  { vips, ...input }: Omit<HeadInput, 'loads'> & { vips: readonly string[] },
): MainFile {
  const text = (loads: string | undefined) =>
    [...dialect.head({ ...input, loads }), ...vips.map((vip) => `include vips/${vip}.conf`), ''].join('\n');
  const path = 'keepalived/keepalived.conf';
  if (!dialect.marked) {
    const file = renderFile({ path }, () => text(undefined));
    return { digest: file.sha256, file: () => file };
  }
  let last: { loads: string; file: RenderedFile } | undefined;
  return {
    digest: createHash('sha256').update(text(undefined)).digest('hex'),
    file(loads) {
      if (last?.loads !== loads) last = { loads, file: renderFile({ path }, () => text(loads)) };
      return last.file;
    },
  };
}

/** 10 hex digits, the same as long as keepalived would load the same. */
export function loadsOf(main: MainFile, vipsDigest: string): string {
  return createHash('sha256').update(`weir loads 1\n${vipsDigest}\n${main.digest}\n`).digest('hex').slice(0, 10);
}

/** What of the cluster a VIP's file depends on. */
export interface VipContext {
  dialect: KeepalivedDialect;
  check: Cluster['check'];
  announce: Cluster['announce'];
  forwarding: Cluster['forwarding'];
}

export interface RenderedVip {
  file: RenderedFile;
  /** Virtual services in it. */
  services: number;
  /** Schedulers that they ask for. */
  schedulers: readonly string[];
  /** Ports whose SYNs the LBs answer, ascending. */
  synproxies: readonly number[];
  /** Names without an address, and addresses that cannot stand together; paths within the VIP. */
  problems: readonly Problem[];
}

interface CachedVip extends VipContext {
  epoch: object;
  rendered: RenderedVip;
}

const cache = new WeakMap<Vip, CachedVip>();

/** The file of one VIP, the same for every LB; cached by the identity of what it is made from. */
export function vipFile(vip: Vip, context: VipContext, addresses: Addresses): RenderedVip {
  const known = cache.get(vip);
  if (
    known &&
    known.epoch === addresses.epoch &&
    known.dialect === context.dialect &&
    known.check === context.check &&
    known.announce === context.announce &&
    known.forwarding === context.forwarding
  ) {
    return known.rendered;
  }
  const rendered = renderVip(vip, context, addresses);
  if (rendered.problems.length === 0) cache.set(vip, { ...context, epoch: addresses.epoch, rendered });
  return rendered;
}

function renderVip(vip: Vip, context: VipContext, addresses: Addresses): RenderedVip {
  const problems: Problem[] = [];
  const servers: RealServer[] = [];
  const byAddress = new Map<string, string>();
  vip.wss.forEach((ws, i) => {
    if (stateOf(vip, ws) === 'down') return;
    const path = `wss[${i}]`;
    const address = addressOf(vip, ws, addresses);
    if (address === undefined) {
      problems.push(
        error(path, {
          code: 'unresolved_ws',
          message: `${ws} has no address: no wsattrs.address, not in the hosts file, not in DNS`,
          hint: 'set its address (weir ws set CLUSTER VIP WS --address A), or add it to WEIR_HOSTS or DNS',
        }),
      );
      return;
    }
    const other = byAddress.get(address);
    if (other !== undefined) problems.push(duplicateAddress(path, [ws, other], address));
    if (address === vip.vip) problems.push(wsIsVip(path, ws, address));
    byAddress.set(address, ws);
    servers.push({ address, weight: weightOf(vip, ws) });
  });
  const services = servers.length > 0 ? vip.ports.length : 0;
  const schedulers = [...new Set(vip.ports.map(schedulerOf))];
  const file = renderFile({ path: `keepalived/vips/${vip.vip}.conf` }, () => vipText(vip, context, servers));
  const answered = vip.ports.filter((port) => servers.length > 0 && synproxyOf(context, vip, port));
  const synproxies = answered.map((port) => port.sport).sort((a, b) => a - b);
  return { file, services, schedulers, synproxies, problems };
}

function vipText(vip: Vip, context: VipContext, servers: readonly RealServer[]): string {
  const head = `! VIP ${vip.vip}, wstype ${vip.wstype}\n`;
  if (servers.length === 0) return `${head}! no WS\n`;
  const policy = vip.announce ?? context.announce ?? defaults.announce;
  const quorum = vip.quorum ?? defaults.quorum;
  const announce = `/etc/weir/bin/${announceHelper.name} ${vip.vip} ${policy} ${quorum}`;
  const forwarding = forwardingOf(context, vip);
  const services = [...vip.ports].sort(byPort).map((port) => {
    const check = { ...defaults.check, ...statusless(context.check), ...statusless(port.check) };
    const synproxy = synproxyOf(context, vip, port);
    const group = `${vip.vip}_${port.sport}${protocolOf(port) === 'TCP' ? '' : `_${protocolOf(port)}`}`;
    return context.dialect.service({ vip, port, group, forwarding, synproxy, check, announce, quorum, servers });
  });
  return head + (context.dialect.vipHead?.(vip) ?? '') + services.join('');
}

function byPort(a: Port, b: Port): number {
  return a.sport - b.sport || (portKey(a) < portKey(b) ? -1 : 1);
}

/** A check that asks for a digest must not inherit a status. */
function statusless(check: PortCheck | undefined): Omit<PortCheck, 'status'> & { status?: number | undefined } {
  return check?.digest === undefined ? (check ?? {}) : { ...check, status: undefined };
}

/** Optional lines of a service, each with its end. */
export function line(given: unknown, text: string): string {
  return given ? `    ${text}\n` : '';
}
