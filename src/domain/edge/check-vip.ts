/** The rules of one VIP: its WSs, ports and health checks. Cached by the VIP's identity. */
import { checkConflicts, checkDegrade, duplicates, prefixed, tooLong } from './check-shared.ts';
import { addressNumber, parseNet, parseRange, contains } from '../address.ts';
import type { Net } from '../address.ts';
import { error, warning } from '../problem.ts';
import type { Problem } from '../problem.ts';
import {
  checkTypeOf,
  dataplaneOf,
  defaults,
  forwardingOf,
  ospfAnnounceOf,
  portKey,
  protocolOf,
  schedulerOf,
  schedulersOf,
  stateOf,
  Vip,
  weightOf,
} from './model.ts';
import type { Cluster, Dataplane, Port } from './model.ts';

/** Longest persistence that keepalived 1.2.2 (fullnat) reads: it takes five characters. */
const FULLNAT_MAX_PERSISTENCE = 99999;

interface VipContext {
  vipnets: readonly string[];
  dataplane: Dataplane;
  forwarding: Cluster['forwarding'];
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
    known.forwarding === cluster.forwarding &&
    known.ospfAnnounce === ospfAnnounce &&
    known.check === cluster.check
  ) {
    return known.problems;
  }
  const problems = checkVip(cluster, vip);
  const { vipnets, forwarding, check } = cluster;
  vipCache.set(vip, { vipnets, dataplane, forwarding, ospfAnnounce, check, problems });
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
  problems.push(...checkClients(cluster, vip), ...checkIdleSynproxy(cluster, vip));
  vip.ports.forEach((port, i) => problems.push(...prefixed(`ports[${i}]`, checkPort(cluster, vip, port))));
  return problems;
}

/** Most addresses of a VIP's `deny` or `allow`: DPVS keeps each by itself. */
const MAX_CLIENTS = 4096;

function checkClients(cluster: Cluster, vip: Vip): Problem[] {
  return (['deny', 'allow'] as const).flatMap((field) => {
    const ranges = vip[field];
    if (!ranges) return [];
    if (dataplaneOf(cluster) !== 'dpvs') return [needsDpvs(field, cluster)];
    const parsed = ranges.flatMap((text, i) => {
      const range = parseRange(text);
      return range ? [{ ...range, text, path: `${field}[${i}]` }] : [];
    });
    const count = parsed.reduce((sum, range) => sum + range.last - range.first + 1, 0);
    if (count > MAX_CLIENTS) {
      return [
        error(field, {
          code: 'too_many_addresses',
          message: `${field} holds ${count} addresses, more than ${MAX_CLIENTS}`,
          hint: 'filter whole nets on the routers',
        }),
      ];
    }
    const sorted = parsed.toSorted((a, b) => a.first - b.first);
    return sorted.flatMap((range, i) => {
      const before = sorted[i - 1];
      if (!before || range.first > before.last) return [];
      return [
        error(range.path, {
          code: 'duplicate_address',
          message: `${range.text} overlaps ${before.text} (${before.path})`,
          hint: 'name each address once',
        }),
      ];
    });
  });
}

function needsDpvs(field: string, cluster: Cluster): Problem {
  return error(field, {
    code: 'needs_dpvs',
    message: `${field} is for dataplane dpvs; this cluster has ${dataplaneOf(cluster)}`,
    hint: `leave ${field} out`,
  });
}

/** One warning a VIP: synproxy is 1 wherever nobody said otherwise. */
function checkIdleSynproxy(cluster: Cluster, vip: Vip): Problem[] {
  const forwarding = forwardingOf(cluster, vip);
  if (forwarding === 'fullnat') return [];
  const i = vip.ports.findIndex((port) => port.synproxy === 1 && protocolOf(port) === 'TCP');
  if (i < 0) return [];
  return [
    warning(`ports[${i}].synproxy`, {
      code: 'synproxy_unused',
      message: `synproxy has no effect with forwarding ${forwarding}: the LB does not see the answers of the WSs`,
      hint: 'set synproxy to 0 on the ports of this VIP',
    }),
  ];
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

function checkPort(cluster: Cluster, vip: Vip, port: Port): Problem[] {
  const problems: Problem[] = [...checkScheduler(cluster, port), ...checkForwarding(cluster, vip, port)];
  for (const field of ['establish_timeout', 'proxy_protocol'] as const) {
    if (port[field] !== undefined && dataplaneOf(cluster) !== 'dpvs') problems.push(needsDpvs(field, cluster));
  }
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

/** A scheduler that the data plane lacks passes the tests of its keepalived, and fails when the service is made. */
function checkScheduler(cluster: Cluster, port: Port): Problem[] {
  const scheduler = schedulerOf(port);
  const dataplane = dataplaneOf(cluster);
  if (schedulersOf(dataplane).includes(scheduler)) return [];
  return [
    error('scheduler', {
      code: 'scheduler_unsupported',
      message: `dataplane ${dataplane} has no scheduler ${scheduler}`,
      hint: `use one of ${schedulersOf(dataplane).join(', ')}`,
    }),
  ];
}

/** What needs the LB to translate ports, or to see what the WS answers. */
function checkForwarding(cluster: Cluster, vip: Vip, port: Port): Problem[] {
  const forwarding = forwardingOf(cluster, vip);
  const problems: Problem[] = [];
  if (forwarding !== 'fullnat' && port.sport !== port.dport) {
    problems.push(
      error('dport', {
        code: 'forwarding_port',
        message: `with forwarding ${forwarding} the WS gets packets for port ${port.sport} as they are; ${port.dport} cannot be another`,
        hint: `set dport to ${port.sport}, or forwarding to fullnat`,
      }),
    );
  }
  if (port.proxy_protocol === undefined) return problems;
  if (forwarding !== 'fullnat') {
    problems.push(
      error('proxy_protocol', {
        code: 'proxy_protocol_forwarding',
        message: `with forwarding ${forwarding} packets pass as they are: nothing can be put before them`,
        hint: 'leave proxy_protocol out: the WS sees the client’s address anyway',
      }),
    );
  }
  if (protocolOf(port) === 'UDP' && port.proxy_protocol.startsWith('v1')) {
    problems.push(
      error('proxy_protocol', {
        code: 'proxy_protocol_udp',
        message: 'version 1 of the PROXY protocol is for TCP',
        hint: 'use v2, or leave proxy_protocol out',
      }),
    );
  }
  return problems;
}
