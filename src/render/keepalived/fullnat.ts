/**
 * keepalived 1.2.2 of Alibaba LVS v2 (`fullnat`): the constant entry, the LB's main file, one file per VIP.
 * That parser has no test mode and no error exit, skips words it does not know, and takes one
 * statement a line; everything here was checked at the border, and is written in the order it needs.
 */
import { addressOf } from '../../domain/edge/addresses.ts';
import type { Addresses } from '../../domain/edge/addresses.ts';
import { duplicateAddress, wsIsVip } from '../../domain/edge/check-vip.ts';
import { checkTypeOf, defaults, portKey, protocolOf, stateOf, weightOf } from '../../domain/edge/model.ts';
import type { Cluster, Lb, Port, PortCheck, Vip } from '../../domain/edge/model.ts';
import { error } from '../../domain/problem.ts';
import type { Problem } from '../../domain/problem.ts';
import { announceHelper } from '../host/announce.ts';
import { renderFile } from '../files.ts';
import type { RenderedFile } from '../files.ts';

/** The same in every release, so that keepalived reads one whole release whatever is switched meanwhile. */
export const entryFile: RenderedFile = renderFile({ path: 'keepalived/entry.conf' }, () => 'include keepalived.conf\n');

/** What /etc/keepalived/keepalived.conf holds on every LB that Weir publishes to. */
export const liveStub = 'include /etc/weir/current/keepalived/entry.conf\n';

/** Group of the LB's LIPs; the name is local to each LB. */
const LIP_GROUP = 'laddr_g1';

export function mainFile(lb: Lb, lips: readonly string[], vips: readonly string[]): RenderedFile {
  return renderFile({ path: 'keepalived/keepalived.conf' }, () =>
    [
      '! Rendered by Weir. Changes made here are lost at the next publication.',
      'global_defs {',
      '    notification_email {',
      '    }',
      '    smtp_server 127.0.0.1',
      '    smtp_connect_timeout 30',
      `    router_id LVS_${lb.hostname}`,
      '}',
      `local_address_group ${LIP_GROUP} {`,
      ...lips.map((lip) => `    ${lip}`),
      '}',
      ...vips.map((vip) => `include vips/${vip}.conf`),
      '',
    ].join('\n'),
  );
}

/** What of the cluster a VIP's file depends on. */
export interface VipContext {
  check: Cluster['check'];
  announce: Cluster['announce'];
}

export interface RenderedVip {
  file: RenderedFile;
  /** Virtual services in it. */
  services: number;
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
    known.check === context.check &&
    known.announce === context.announce
  ) {
    return known.rendered;
  }
  const rendered = renderVip(vip, context, addresses);
  if (rendered.problems.length === 0) {
    cache.set(vip, { check: context.check, announce: context.announce, epoch: addresses.epoch, rendered });
  }
  return rendered;
}

interface RealServer {
  address: string;
  weight: number;
}

/** Renders without the cache; the property test holds both against each other. */
export function renderVip(vip: Vip, context: VipContext, addresses: Addresses): RenderedVip {
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
  const file = renderFile({ path: `keepalived/vips/${vip.vip}.conf` }, () => vipText(vip, context, servers));
  return { file, services, problems };
}

function vipText(vip: Vip, context: VipContext, servers: readonly RealServer[]): string {
  let text = `! VIP ${vip.vip}, wstype ${vip.wstype}\n`;
  if (servers.length === 0) return `${text}! no WS\n`;
  const policy = vip.announce ?? context.announce ?? defaults.announce;
  const quorum = vip.quorum ?? defaults.quorum;
  const announce = `/etc/weir/bin/${announceHelper.name} ${vip.vip} ${policy} ${quorum}`;
  for (const port of [...vip.ports].sort(byPort)) {
    const check = { ...defaults.check, ...statusless(context.check), ...statusless(port.check) };
    const group = `${vip.vip}_${port.sport}${protocolOf(port) === 'TCP' ? '' : `_${protocolOf(port)}`}`;
    text += serviceHead({ vip, port, group, check, announce, quorum });
    for (const server of servers) text += realServer(server, port, check);
    text += '}\n';
  }
  return text;
}

function byPort(a: Port, b: Port): number {
  return a.sport - b.sport || (portKey(a) < portKey(b) ? -1 : 1);
}

/** A check that asks for a digest must not inherit a status. */
function statusless(check: PortCheck | undefined): Omit<PortCheck, 'status'> & { status?: number | undefined } {
  return check?.digest === undefined ? (check ?? {}) : { ...check, status: undefined };
}

type ResolvedCheck = Omit<PortCheck, 'status'> & {
  path: string;
  status: number | undefined;
  interval: number;
  timeout: number;
  retry: number;
};

interface Service {
  vip: Vip;
  port: Port;
  group: string;
  check: ResolvedCheck;
  announce: string;
  quorum: number;
}

/** `alpha` before every real_server, or 1.2.2 never adds it; `quorum` before `hysteresis`. */
function serviceHead({ vip, port, group, check, announce, quorum }: Service): string {
  const persistence = port.persistence_timeout > 0 ? `    persistence_timeout ${port.persistence_timeout}\n` : '';
  const synproxy = port.synproxy === 1 && protocolOf(port) === 'TCP' ? '    syn_proxy\n' : '';
  const host = check.host !== undefined && checkTypeOf(port) !== 'tcp' ? `    virtualhost ${check.host}\n` : '';
  return `virtual_server_group ${group} {
    ${vip.vip} ${port.sport}
}
virtual_server group ${group} {
    delay_loop ${check.interval}
    lb_algo ${port.scheduler ?? defaults.scheduler}
    lb_kind FNAT
    protocol ${protocolOf(port)}
${persistence}${synproxy}    laddr_group_name ${LIP_GROUP}
    alpha
    omega
    quorum ${quorum}
    hysteresis 0
    quorum_up "${announce}"
    quorum_down "${announce}"
${host}`;
}

function realServer(server: RealServer, port: Port, check: ResolvedCheck): string {
  return `    real_server ${server.address} ${port.dport} {
        weight ${server.weight}
${checker(port, check)}    }
`;
}

function checker(port: Port, check: ResolvedCheck): string {
  const type = checkTypeOf(port);
  if (type === 'tcp') {
    return `        TCP_CHECK {
            connect_timeout ${check.timeout}
        }
`;
  }
  const expected = check.status === undefined ? `digest ${check.digest}` : `status_code ${check.status}`;
  return `        ${type === 'https' ? 'SSL_GET' : 'HTTP_GET'} {
            url {
                path ${check.path}
                ${expected}
            }
            connect_timeout ${check.timeout}
            nb_get_retry ${check.retry}
            delay_before_retry ${RETRY_DELAY}
        }
`;
}

/** Seconds between tries of a failing check; without it 1.2.2 retries in a busy loop. */
const RETRY_DELAY = 3;
