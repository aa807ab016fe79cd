/** The rules of one VIP: its WSs, ports and health checks. Cached by the VIP's identity. */
import { checkConflicts, checkDegrade, duplicates, prefixed, tooLong } from './check-shared.ts';
import { addressNumber, parseNet, contains } from '../address.ts';
import type { Net } from '../address.ts';
import { error, warning } from '../problem.ts';
import type { Problem } from '../problem.ts';
import {
  checkTypeOf,
  dataplaneOf,
  defaults,
  ospfAnnounceOf,
  portKey,
  protocolOf,
  stateOf,
  Vip,
  weightOf,
} from './model.ts';
import type { Cluster, Port } from './model.ts';

/** Longest persistence that keepalived 1.2.2 (fullnat) reads: it takes five characters. */
const FULLNAT_MAX_PERSISTENCE = 99999;

interface VipContext {
  vipnets: readonly string[];
  dataplane: string;
  ospfAnnounce: string;
  check: Cluster['check'];
  problems: Problem[];
}

const vipCache = new WeakMap<Vip, VipContext>();

export function vipProblems(cluster: Cluster, vip: Vip): Problem[] {
  const dataplane = dataplaneOf(cluster);
  const ospfAnnounce = ospfAnnounceOf(cluster);
  const known = vipCache.get(vip);
  if (
    known &&
    known.vipnets === cluster.vipnets &&
    known.dataplane === dataplane &&
    known.ospfAnnounce === ospfAnnounce &&
    known.check === cluster.check
  ) {
    return known.problems;
  }
  const problems = checkVip(cluster, vip);
  vipCache.set(vip, { vipnets: cluster.vipnets, dataplane, ospfAnnounce, check: cluster.check, problems });
  return problems;
}

const netCache = new WeakMap<readonly string[], Net[]>();

function netsOf(texts: readonly string[]): Net[] {
  let nets = netCache.get(texts);
  if (!nets) {
    nets = texts.flatMap((t) => parseNet(t) ?? []);
    netCache.set(texts, nets);
  }
  return nets;
}

function checkVip(cluster: Cluster, vip: Vip): Problem[] {
  const problems: Problem[] = [];
  const address = addressNumber(vip.vip);
  if (!netsOf(cluster.vipnets).some((net) => contains(net, address))) {
    problems.push(
      error('vip', {
        code: 'vip_outside_vipnets',
        message: `VIP ${vip.vip} lies in none of the cluster's vipnets (${cluster.vipnets.slice(0, 4).join(', ')})`,
        hint: 'choose an address within vipnets, or add its net to vipnets first',
      }),
    );
  }
  if (vip.announce === 'degrade') problems.push(...checkDegrade(cluster));
  problems.push(
    ...tooLong('wss', vip.wss, Vip.properties.wss),
    ...tooLong('ports', vip.ports, Vip.properties.ports),
    ...checkWss(vip),
  );
  problems.push(
    ...duplicates(
      vip.ports.map((p) => portKey(p)),
      (i) => `ports[${i}].sport`,
      { code: 'duplicate_port', what: 'port' },
    ),
    ...duplicates(vip.domains ?? [], (i) => `domains[${i}]`, { code: 'duplicate_domain', what: 'domain' }),
  );
  vip.ports.forEach((port, i) => problems.push(...prefixed(`ports[${i}]`, checkPort(cluster, port))));
  return problems;
}

function checkWss(vip: Vip): Problem[] {
  const problems = duplicates(
    vip.wss.map((ws) => ws.toLowerCase()),
    (i) => `wss[${i}]`,
    { code: 'duplicate_ws', what: 'WS' },
  );
  const listed = new Set(vip.wss);
  const byAddress = new Map<string, string>();
  for (const [ws, attrs] of Object.entries(vip.wsattrs ?? {})) {
    const path = `wsattrs[${JSON.stringify(ws)}]`;
    if (!listed.has(ws)) {
      problems.push(
        error(path, {
          code: 'unknown_ws',
          message: `${ws} has attributes but is not among the VIP's wss`,
          hint: 'add it to wss, or remove its attributes',
        }),
      );
    }
    if (attrs.address === undefined) continue;
    const other = byAddress.get(attrs.address);
    byAddress.set(attrs.address, ws);
    if (other !== undefined) problems.push(duplicateAddress(`${path}.address`, [ws, other], attrs.address));
    if (attrs.address === vip.vip) problems.push(wsIsVip(`${path}.address`, ws, vip.vip));
  }
  if (vip.wss.length === 0) {
    problems.push(
      warning('wss', { code: 'no_ws', message: `VIP ${vip.vip} has no WS: it will not be announced`, hint: 'add WSs' }),
    );
    return problems;
  }
  const total = vip.wss.reduce((sum, ws) => sum + (stateOf(vip, ws) === 'down' ? 0 : weightOf(vip, ws)), 0);
  const quorum = vip.quorum ?? defaults.quorum;
  if (total < quorum) {
    problems.push(
      error('quorum', {
        code: 'quorum_unreachable',
        message: `the WSs of VIP ${vip.vip} weigh ${total} together, less than its quorum ${quorum}: it would never be announced`,
        hint: 'add or enable a WS, raise weights, or lower the quorum (it counts weight, not WSs)',
      }),
    );
  }
  return problems;
}

export function duplicateAddress(path: string, [ws, other]: readonly [string, string], address: string): Problem {
  return error(path, {
    code: 'duplicate_ws_address',
    message: `${ws} and ${other} have the same address ${address}`,
    hint: 'the LB can carry an address only once per port: remove one of them or correct its address',
  });
}

export function wsIsVip(path: string, ws: string, address: string): Problem {
  return error(path, {
    code: 'ws_is_vip',
    message: `${ws} has the address of the VIP itself, ${address}`,
    hint: 'give the WS its own address',
  });
}

function checkPort(cluster: Cluster, port: Port): Problem[] {
  const problems: Problem[] = [];
  const type = checkTypeOf(port);
  if (protocolOf(port) === 'UDP' && dataplaneOf(cluster) === 'fullnat') {
    problems.push(
      error('protocol', {
        code: 'fullnat_udp',
        message: 'keepalived 1.2.2 (fullnat) has no health check for UDP',
        hint: 'serve UDP from a cluster with another data plane',
      }),
    );
  }
  if (port.persistence_timeout > FULLNAT_MAX_PERSISTENCE && dataplaneOf(cluster) === 'fullnat') {
    problems.push(
      error('persistence_timeout', {
        code: 'fullnat_persistence',
        message: `${port.persistence_timeout} s: keepalived 1.2.2 (fullnat) reads five digits only`,
        hint: `use at most ${FULLNAT_MAX_PERSISTENCE}`,
      }),
    );
  }
  if (type === 'udp' && protocolOf(port) !== 'UDP') {
    problems.push(
      error('check.type', {
        code: 'udp_check_of_tcp',
        message: 'a udp check says nothing about a TCP port',
        hint: 'set check.type to tcp, http or https, or leave it out',
      }),
    );
  }
  if ((type === 'tcp' || type === 'udp') && port.check) {
    const unused = dataplaneOf(cluster) === 'fullnat' ? (['retry'] as const) : [];
    for (const field of ['path', 'host', 'status', 'digest', ...unused] as const) {
      if (port.check[field] === undefined) continue;
      problems.push(
        error(`check.${field}`, {
          code: 'check_field_unused',
          message: `a ${type} check has no ${field} here`,
          hint: 'set check.type to http or https, or leave the field out',
        }),
      );
    }
  }
  problems.push(...checkConflicts('check', port.check));
  return problems;
}
