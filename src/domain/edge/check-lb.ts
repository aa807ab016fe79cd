/** The rules of one LB: addresses, subnets, interfaces, explicit LIPs. Cached by the LB's identity. */
import { deviceTooLong, duplicates, isReserved, longestDevice, reservedInterface } from './check-shared.ts';
import { addressNumber, parseNet, parseMask, networkOf, contains, isHostOf, parseRange } from '../address.ts';
import { error } from '../problem.ts';
import type { Problem } from '../problem.ts';
import { MAX_LIPS, deviceOf, ospfAddressOf } from './model.ts';
import type { Cluster, Lb } from './model.ts';

interface LbContext {
  type: Cluster['type'];
  device: string;
  longest: number;
  problems: Problem[];
}

const lbCache = new WeakMap<Lb, LbContext>();

export function lbProblems(cluster: Cluster, lb: Lb): Problem[] {
  const known = lbCache.get(lb);
  const longest = longestDevice(cluster);
  if (known && known.type === cluster.type && known.device === cluster.device && known.longest === longest) {
    return known.problems;
  }
  const problems = checkLb(cluster, lb);
  lbCache.set(lb, { type: cluster.type, device: cluster.device, longest, problems });
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
    if (device !== undefined && device.length > longestDevice(cluster)) problems.push(deviceTooLong(field, device));
  }
  const uplinks = lb.uplinks ?? [];
  uplinks.forEach((uplink, i) => {
    if (isReserved(uplink.device)) problems.push(reservedInterface(`uplinks[${i}].device`, uplink.device));
    if (uplink.device.length > longestDevice(cluster)) {
      problems.push(deviceTooLong(`uplinks[${i}].device`, uplink.device));
    }
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

export function lipTaken(path: string, lip: string, holder: string): Problem {
  return error(path, {
    code: 'lip_taken',
    message: `LIP ${lip} holds an address that is ${holder}`,
    hint: 'leave that address out of lips',
  });
}
