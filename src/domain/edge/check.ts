/**
 * The rules of one cluster's document that its schema cannot say: uniqueness, subnets, what the
 * data plane can express. Findings are cached by the identity of VIPs and LBs, so that checking
 * after a change costs what changed.
 */
import { addressNumber, contains, isHostOf, networkOf, parseMask, parseNet, parseRange } from '../address.ts';
import type { Net } from '../address.ts';
import { error, warning } from '../problem.ts';
import type { Problem } from '../problem.ts';
import {
  checkTypeOf,
  dataplaneOf,
  defaults,
  deviceOf,
  MAX_LIPS,
  ospfAnnounceOf,
  ospfAddressOf,
  portKey,
  protocolOf,
  routingOf,
  stateOf,
  weightOf,
} from './model.ts';
import type { Cluster, Lb, Port, PortCheck, Vip } from './model.ts';

/** Longest persistence that keepalived 1.2.2 (fullnat) reads: it takes five characters. */
const FULLNAT_MAX_PERSISTENCE = 99999;

/** Interfaces that Weir or the kernel owns, and words that the routing daemon and sysctl read as every interface. */
const reservedInterfaces: Readonly<Record<string, string>> = {
  lo: 'carries VIPs',
  'weir-high': 'carries VIPs that are announced at high cost',
  all: 'means every interface',
  default: 'means every interface',
};

function isReserved(device: string): boolean {
  return Object.hasOwn(reservedInterfaces, device);
}

/** Every problem of a document, errors and warnings, with paths into it. */
export function checkCluster(cluster: Cluster): Problem[] {
  return [
    ...checkHead(cluster),
    ...eachPart('lbinfos', cluster.lbinfos, (lb) => lbProblems(cluster, lb)),
    ...eachPart('vip2ws', cluster.vip2ws, (vip) => vipProblems(cluster, vip)),
    ...checkUnique(cluster),
    ...checkLipsApart(cluster),
  ];
}

function eachPart<T>(field: string, parts: readonly T[], problemsOf: (part: T) => readonly Problem[]): Problem[] {
  const all: Problem[] = [];
  for (const [i, part] of parts.entries()) {
    const problems = problemsOf(part);
    if (problems.length > 0) all.push(...prefixed(`${field}[${i}]`, problems));
  }
  return all;
}

function prefixed(prefix: string, problems: readonly Problem[]): Problem[] {
  return problems.map((p) => ({ ...p, path: p.path ? `${prefix}.${p.path}` : prefix }));
}

function checkHead(cluster: Cluster): Problem[] {
  const problems: Problem[] = [];
  if (dataplaneOf(cluster) !== 'fullnat') {
    problems.push(
      error('dataplane', {
        code: 'dataplane_unsupported',
        message: `data plane ${dataplaneOf(cluster)} cannot be rendered yet`,
        hint: 'leave dataplane out, or set it to fullnat',
      }),
    );
  }
  if (routingOf(cluster) !== 'quagga') {
    problems.push(
      error('routing', {
        code: 'routing_unsupported',
        message: `routing suite ${routingOf(cluster)} cannot be rendered yet`,
        hint: 'leave routing out, or set it to quagga',
      }),
    );
  }
  if (isReserved(cluster.device)) problems.push(reservedInterface('device', cluster.device));
  const hello = cluster.ospf?.hello ?? defaults.ospf.hello;
  const dead = cluster.ospf?.dead ?? defaults.ospf.dead;
  if (dead <= hello) {
    problems.push(
      error('ospf.dead', {
        code: 'ospf_timers',
        message: `dead interval ${dead} s is not longer than hello ${hello} s`,
        hint: 'set dead to about four times hello',
      }),
    );
  }
  if (cluster.ospf?.key === undefined) {
    problems.push(
      warning('ospf.key', {
        code: 'ospf_unauthenticated',
        message: 'OSPF runs without authentication: any machine on the uplink can announce routes',
        hint: 'set ospf.key to the MD5 key that the routers use',
      }),
    );
  }
  if (cluster.announce === 'degrade') problems.push(...checkDegrade(cluster));
  problems.push(...checkConflicts('check', cluster.check));
  problems.push(...duplicates(cluster.vipnets, (i) => `vipnets[${i}]`, { code: 'duplicate_net', what: 'net' }));
  return problems;
}

/** Quagga redistributes connected routes of every interface at one metric. */
function checkDegrade(cluster: Cluster): Problem[] {
  if (ospfAnnounceOf(cluster) === 'network') return [];
  return [
    error('announce', {
      code: 'degrade_needs_network',
      message: 'announce degrade has no effect with ospf.announce redistribute: all VIPs go out at one metric',
      hint: 'set announce to any or all, or ospf.announce to network',
    }),
  ];
}

function reservedInterface(path: string, device: string): Problem {
  return error(path, {
    code: 'reserved_interface',
    message: `${device} ${reservedInterfaces[device]} and cannot be an uplink`,
    hint: 'name the interface that faces the router, e.g. em1',
  });
}

interface VipContext {
  vipnets: readonly string[];
  dataplane: string;
  ospfAnnounce: string;
  check: Cluster['check'];
  problems: Problem[];
}

const vipCache = new WeakMap<Vip, VipContext>();

function vipProblems(cluster: Cluster, vip: Vip): Problem[] {
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
  problems.push(...checkWss(vip));
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
  if (type === 'tcp' && port.check) {
    const unused = dataplaneOf(cluster) === 'fullnat' ? (['retry'] as const) : [];
    for (const field of ['path', 'host', 'status', 'digest', ...unused] as const) {
      if (port.check[field] === undefined) continue;
      problems.push(
        error(`check.${field}`, {
          code: 'check_field_unused',
          message: `a tcp check has no ${field} here`,
          hint: 'set check.type to http or https, or leave the field out',
        }),
      );
    }
  }
  problems.push(...checkConflicts('check', port.check));
  return problems;
}

function checkConflicts(path: string, check: PortCheck | undefined): Problem[] {
  if (check?.digest === undefined || check.status === undefined) return [];
  return [
    error(`${path}.digest`, {
      code: 'check_conflict',
      message: 'a check compares the digest or the status, not both',
      hint: 'leave one of digest and status out',
    }),
  ];
}

const lbCache = new WeakMap<Lb, { type: Cluster['type']; device: string; problems: Problem[] }>();

function lbProblems(cluster: Cluster, lb: Lb): Problem[] {
  const known = lbCache.get(lb);
  if (known && known.type === cluster.type && known.device === cluster.device) return known.problems;
  const problems = checkLb(cluster, lb);
  lbCache.set(lb, { type: cluster.type, device: cluster.device, problems });
  return problems;
}

function checkLb(cluster: Cluster, lb: Lb): Problem[] {
  const problems: Problem[] = [];
  if (cluster.type === 'extra') {
    for (const field of ['extraip', 'extranetmask', 'extragateway'] as const) {
      if (lb[field] !== undefined) continue;
      problems.push(
        error(field, {
          code: 'missing',
          message: `${field} is missing`,
          hint: `a cluster of type extra needs ${field}`,
        }),
      );
    }
  }
  problems.push(...checkSide('internal', { ip: lb.internalip, mask: lb.internalnetmask, gateway: lb.internalgateway }));
  if (lb.extraip !== undefined && lb.extranetmask !== undefined) {
    problems.push(...checkSide('extra', { ip: lb.extraip, mask: lb.extranetmask, gateway: lb.extragateway }));
  }
  const own = ospfAddressOf(cluster.type, lb);
  const net = parseNet(lb.ospfnet);
  if (own !== undefined && net && !contains(net, addressNumber(own))) {
    problems.push(
      error('ospfnet', {
        code: 'ospfnet_mismatch',
        message: `ospfnet ${lb.ospfnet} does not hold the LB's OSPF address ${own}`,
        hint: `a cluster of type ${cluster.type} speaks OSPF on ${cluster.type === 'extra' ? 'extraip' : 'internalip'}`,
      }),
    );
  }
  problems.push(...checkInterfaces(cluster, lb), ...checkLips(lb));
  return problems;
}

interface Side {
  ip: string;
  mask: string;
  gateway: string | undefined;
}

function checkSide(side: 'internal' | 'extra', { ip, mask, gateway }: Side): Problem[] {
  const problems: Problem[] = [];
  const prefix = parseMask(mask) ?? 32;
  const address = addressNumber(ip);
  const net = { base: networkOf(address, prefix), prefix };
  if (!isHostOf(net, address)) {
    problems.push(
      error(`${side}ip`, {
        code: 'not_a_host',
        message: `${ip} is the network or broadcast address of its subnet (mask ${mask})`,
        hint: `correct ${side}ip or ${side}netmask`,
      }),
    );
  }
  if (gateway === undefined) return problems;
  if (!isHostOf(net, addressNumber(gateway))) {
    problems.push(
      error(`${side}gateway`, {
        code: 'gateway_outside_subnet',
        message: `gateway ${gateway} is no host of the subnet of ${ip} (mask ${mask})`,
        hint: `correct ${side}gateway or ${side}netmask`,
      }),
    );
  } else if (gateway === ip) {
    problems.push(
      error(`${side}gateway`, {
        code: 'gateway_is_lb',
        message: `gateway ${gateway} is the LB's own address`,
        hint: `correct ${side}gateway`,
      }),
    );
  }
  return problems;
}

function checkInterfaces(cluster: Cluster, lb: Lb): Problem[] {
  const problems: Problem[] = [];
  for (const field of ['device', 'innerdevice'] as const) {
    const device = lb[field];
    if (device !== undefined && isReserved(device)) problems.push(reservedInterface(field, device));
  }
  const uplinks = lb.uplinks ?? [];
  uplinks.forEach((uplink, i) => {
    if (isReserved(uplink.device)) problems.push(reservedInterface(`uplinks[${i}].device`, uplink.device));
  });
  const at = (field: string) => (i: number) => (i === 0 ? field : `uplinks[${i - 1}].${field}`);
  problems.push(
    ...duplicates([deviceOf(cluster, lb), ...uplinks.map((u) => u.device)], at('device'), {
      code: 'duplicate_device',
      what: 'interface',
    }),
    ...duplicates([lb.ospfnet, ...uplinks.map((u) => u.ospfnet)], at('ospfnet'), {
      code: 'duplicate_net',
      what: 'net',
    }),
  );
  return problems;
}

function checkLips(lb: Lb): Problem[] {
  if (!lb.lips) return [];
  const problems: Problem[] = [];
  if (lb.lipcount !== undefined) {
    problems.push(
      error('lipcount', {
        code: 'lips_and_lipcount',
        message: 'lips are given, so lipcount has no effect',
        hint: 'leave lipcount out, or leave lips out to have them planned',
      }),
    );
  }
  const prefix = parseMask(lb.internalnetmask) ?? 32;
  const net = { base: networkOf(addressNumber(lb.internalip), prefix), prefix };
  const count = lb.lips.map(parseRange).reduce((sum, range) => sum + (range ? range.last - range.first + 1 : 0), 0);
  if (count > MAX_LIPS) {
    problems.push(
      error('lips', {
        code: 'too_many_lips',
        message: `lips hold ${count} addresses, more than ${MAX_LIPS}`,
        hint: 'a LIP carries about 60,000 connections to each WS: a few are enough',
      }),
    );
    return problems;
  }
  const taken = new Map<number, string>([
    [addressNumber(lb.internalip), "the LB's internalip"],
    [addressNumber(lb.internalgateway), "the LB's internalgateway"],
  ]);
  if (lb.extraip) taken.set(addressNumber(lb.extraip), "the LB's extraip");
  if (lb.extragateway) taken.set(addressNumber(lb.extragateway), "the LB's extragateway");
  lb.lips.forEach((text, i) => {
    const range = parseRange(text);
    if (!range) return;
    for (let address = range.first; address <= range.last; address++) {
      const holder =
        taken.get(address) ??
        (contains(net, address) && !isHostOf(net, address)
          ? 'the network or broadcast address of the internal subnet'
          : undefined);
      if (holder !== undefined) {
        problems.push(lipTaken(`lips[${i}]`, text, holder));
        break;
      }
      taken.set(address, `in lips[${i}] already`);
    }
  });
  return problems;
}

function lipTaken(path: string, lip: string, holder: string): Problem {
  return error(path, {
    code: 'lip_taken',
    message: `LIP ${lip} holds an address that is ${holder}`,
    hint: 'leave that address out of lips',
  });
}

function checkUnique(cluster: Cluster): Problem[] {
  const lbs = cluster.lbinfos;
  const problems = [
    ...duplicates(
      lbs.map((lb) => lb.hostname.toLowerCase()),
      (i) => `lbinfos[${i}].hostname`,
      { code: 'duplicate_lb', what: 'LB' },
    ),
    ...duplicates(
      lbs.map((lb) => lb.routerid),
      (i) => `lbinfos[${i}].routerid`,
      { code: 'duplicate_router_id', what: 'router-id' },
    ),
    ...duplicates(
      cluster.vip2ws.map((v) => v.vip),
      (i) => `vip2ws[${i}].vip`,
      { code: 'duplicate_vip', what: 'VIP' },
    ),
  ];
  const holders = new Map<string, { lb: Lb; as: string }>();
  lbs.forEach((lb, i) => {
    for (const field of ['internalip', 'extraip'] as const) {
      const address = lb[field];
      if (address === undefined) continue;
      const other = holders.get(address);
      if (other && other.lb !== lb) {
        problems.push(
          error(`lbinfos[${i}].${field}`, {
            code: 'duplicate_lb_address',
            message: `${lb.hostname} and ${other.lb.hostname} both have ${address}`,
            hint: 'give each LB its own address',
          }),
        );
      }
      holders.set(address, { lb, as: field });
    }
  });
  cluster.vip2ws.forEach((vip, i) => {
    const other = holders.get(vip.vip);
    if (!other) return;
    problems.push(
      error(`vip2ws[${i}].vip`, {
        code: 'vip_is_lb_address',
        message: `VIP ${vip.vip} is the ${other.as} of ${other.lb.hostname}`,
        hint: 'choose another VIP',
      }),
    );
  });
  return problems;
}

interface LipRange {
  first: number;
  last: number;
  text: string;
  lb: Lb;
  path: string;
}

/** Explicit LIPs against everything else in the document; within one LB, `checkLips` has looked. */
function checkLipsApart(cluster: Cluster): Problem[] {
  const ranges = cluster.lbinfos.flatMap((lb, i) =>
    (lb.lips ?? []).flatMap((text, j): LipRange[] => {
      const range = parseRange(text);
      return range ? [{ ...range, text, lb, path: `lbinfos[${i}].lips[${j}]` }] : [];
    }),
  );
  if (ranges.length === 0) return [];
  ranges.sort((a, b) => a.first - b.first);
  const problems: Problem[] = [];
  let widest: LipRange | undefined;
  for (const range of ranges) {
    if (widest && widest.lb !== range.lb && range.first <= widest.last) {
      problems.push(lipTaken(range.path, range.text, `a LIP of ${widest.lb.hostname} too`));
    }
    if (!widest || range.last > widest.last) widest = range;
  }
  for (const { address, what, lb } of addressesBeside(cluster)) {
    const range = rangeWith(ranges, addressNumber(address));
    if (range && range.lb !== lb) problems.push(lipTaken(range.path, range.text, what));
  }
  return problems;
}

/** Addresses that no LIP may have; `lb`: whose own LIPs were compared with it before. */
function* addressesBeside(cluster: Cluster): Generator<{ address: string; what: string; lb?: Lb }> {
  for (const lb of cluster.lbinfos) {
    for (const field of ['internalip', 'internalgateway', 'extraip', 'extragateway'] as const) {
      const address = lb[field];
      if (address !== undefined) yield { address, what: `the ${field} of ${lb.hostname}`, lb };
    }
  }
  for (const vip of cluster.vip2ws) {
    yield { address: vip.vip, what: `the VIP ${vip.vip}` };
    for (const [ws, { address }] of Object.entries(vip.wsattrs ?? {})) {
      if (address !== undefined) yield { address, what: `the address of ${ws}` };
    }
  }
}

/** The last range that starts at or below an address, if it holds it; ranges are sorted. */
function rangeWith(ranges: readonly LipRange[], address: number): LipRange | undefined {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ranges[middle]?.first ?? 0) <= address) low = middle + 1;
    else high = middle;
  }
  const range = ranges[low - 1];
  return range && address <= range.last ? range : undefined;
}

function duplicates(
  values: readonly string[],
  path: (index: number) => string,
  text: { code: string; what: string },
): Problem[] {
  if (new Set(values).size === values.length) return [];
  const first = new Map<string, number>();
  const problems: Problem[] = [];
  values.forEach((value, i) => {
    const before = first.get(value);
    if (before === undefined) {
      first.set(value, i);
      return;
    }
    problems.push(
      error(path(i), {
        code: text.code,
        message: `${text.what} ${value} stands twice (first at ${path(before)})`,
        hint: `name each ${text.what} once`,
      }),
    );
  });
  return problems;
}
