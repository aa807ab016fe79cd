/** The kernel of an LB against what keepalived loaded and what was activated: a part of compare.ts. Pure. */
import { addressNumber, contains, parseNet } from '../domain/address.ts';
import { idOf } from './comparison.ts';
import type { Comparison } from './comparison.ts';
import { jumpsTo, parseChains, wantedAddresses } from './host.ts';
import { placeOf } from './ipvs.ts';
import type { Count, ExpectedServer, LbLayers, VirtualServer } from './model.ts';
import { isFull } from './routing.ts';
import { assignment } from './sections.ts';

type Expected = NonNullable<Comparison['seen']['expected']>;

export function compareKernel(it: Comparison): LbLayers['kernel'] {
  const { seen, current, active, loaded } = it;
  const settings = active ?? (loaded.release === current ? current : undefined);
  const lips = compareSettings(it, settings);
  const expected = expectedOf(it);
  const vips = compareVips(it, { loaded: expected, device: dpvsDevice(it, settings) });
  compareOspf(it, settings);
  const table = compareTable(it, expected);
  return {
    against: expected === undefined ? null : idOf(expected.folder),
    ...table,
    vips,
    lips,
    ospf: { full: seen.neighbours.filter(isFull).length, neighbours: [...seen.neighbours] },
    boot: { id: seen.boot, uptime: seen.uptime },
  };
}

/** The services of the release that is loaded; of the active one where nothing tells what is. */
function expectedOf({ seen, active, loaded }: Comparison): Expected | undefined {
  const folder = loaded.state === 'unknown' ? active : loaded.release;
  return folder !== null && folder === seen.expected?.folder ? seen.expected : undefined;
}

// host settings ------------------------------------------------------------------------------

/** Of the release that was activated; published ones are not in force yet. */
function compareSettings(it: Comparison, folder: string | undefined): Count {
  if (folder === undefined) return { expected: 0, present: 0 };
  compareSysctls(it, folder);
  compareFirewall(it, folder);
  const { seen, found } = it;
  const wanted = wantedAddresses(seen.texts.get(`${folder}/host/addresses`) ?? '');
  let present = 0;
  for (const { address, device } of wanted) {
    const devices = seen.addresses.get(address) ?? [];
    if (devices.includes(device)) present += 1;
    else {
      const where = devices.length > 0 ? `is on ${devices.join(', ')}` : 'is on no interface';
      found.add('lip_missing', address.replace('/32', ''), `LIP ${address} should be on ${device} and ${where}`);
    }
  }
  return { expected: wanted.length, present };
}

function compareSysctls({ seen, found }: Comparison, folder: string): void {
  const lines = (seen.texts.get(`${folder}/host/sysctl.conf`) ?? '').split('\n');
  for (const [key, value] of lines.flatMap(assignment)) {
    const is = seen.sysctls.get(key);
    if (is !== value) {
      const what = is === undefined ? 'this kernel has none, or its module is not loaded' : `is ${is}`;
      found.add('sysctl_differs', key, `should be ${value}: ${what}`);
    }
  }
}

function compareFirewall({ seen, found }: Comparison, folder: string): void {
  const text = seen.texts.get(`${folder}/host/iptables`);
  if (text === undefined) return;
  const chains = seen.chains ?? new Map<string, readonly string[]>();
  const wanted = parseChains([text.split('\n')]);
  for (const [key, rules] of wanted) {
    const is = chains.get(key);
    if (is === undefined || (is.length === 0 && rules.length > 0)) {
      found.add(missing(key), key, `chain ${key} is ${is ? 'empty' : 'missing'}`);
    } else if (is.join('\n') !== rules.join('\n')) {
      found.add(
        'firewall_differs',
        key,
        `chain ${key} has other rules than the release (${is.length}, not ${rules.length})`,
      );
    }
  }
  for (const key of chains.keys()) {
    if (key.includes(' WEIR-') && !wanted.has(key))
      found.add('firewall_differs', key, `chain ${key} is of no use to the release, and not removed`);
  }
  for (const [key, chain] of jumpsTo(wanted.keys())) {
    const rules = chains.get(key) ?? [];
    if (!rules.some((rule) => rule.endsWith(`-j ${chain}`))) found.add(missing(key), key, `no rule leads to ${chain}`);
  }
}

function missing(key: string): 'source_nat_missing' | 'firewall_differs' {
  return key.startsWith('nat ') ? 'source_nat_missing' : 'firewall_differs';
}

function compareOspf({ seen, found }: Comparison, settings: string | undefined): void {
  if (settings === undefined || seen.routing === undefined || 'failed' in seen.routing) return;
  if (seen.neighbours.some(isFull)) return;
  const states = seen.neighbours.map((n) => `${n.address} ${n.state}`).join(', ');
  found.add('ospf_no_neighbour', 'ospf', `no OSPF neighbour is Full${states ? `: ${states}` : ''}`);
}

// VIPs ---------------------------------------------------------------------------------------

const HIGH = 'weir-high';

/** Where a VIP is announced, if it is one of ours. */
function isPlace(device: string): boolean {
  return device === 'lo' || device === HIGH || device.endsWith('.kni');
}

/** The device by which a release has its VIPs in DPVS; undefined: it is not of dpvs. */
function dpvsDevice({ seen }: Comparison, folder: string | undefined): string | undefined {
  return /^dpvs (\S+)/.exec(seen.texts.get(`${folder}/host/announce.conf`) ?? '')?.[1];
}

interface Announcing {
  loaded: Expected | undefined;
  device: string | undefined;
}

function compareVips(it: Comparison, { loaded, device }: Announcing): LbLayers['kernel']['vips'] {
  const { seen, found, wanted } = it;
  const announced = new Map<string, NonNullable<ExpectedServer['announce']>>();
  for (const { vip, announce } of loaded?.servers ?? []) if (announce) announced.set(vip, announce);
  // without a table, nothing of DPVS serves them
  if (seen.table || device !== undefined) {
    const services = byVip(seen.table ?? []);
    for (const [vip, announce] of announced)
      compareVip(it, { vip, announce, services: services.get(vip) ?? [], device });
  }
  const nets = wanted.vipnets.flatMap((net) => parseNet(net) ?? []);
  const count = {
    expected: [...announced.values()].filter(({ policy }) => policy !== 'none').length,
    present: 0,
    high: 0,
  };
  for (const [key, devices] of seen.addresses) {
    const [vip = '', length] = key.split('/');
    const on = devices.filter(isPlace);
    const ours = announced.has(vip) || nets.some((net) => contains(net, addressNumber(vip)));
    if (length !== '32' || on.length === 0 || !ours) continue;
    if (on.some((device) => device !== HIGH)) count.present += 1;
    else count.high += 1;
    if (announced.has(vip)) continue;
    const where = `it is on ${on.join(', ')}`;
    if (it.loaded.state === 'down')
      found.add('vip_announced_without_servers', vip, `${where}, and keepalived does not run`);
    else if (loaded) found.add('vip_extra', vip, `${where}, and no service of the loaded release has it`);
  }
  return count;
}

function byVip(services: readonly VirtualServer[]): Map<string, VirtualServer[]> {
  const by = new Map<string, VirtualServer[]>();
  for (const service of services) {
    const others = by.get(service.vip);
    if (others) others.push(service);
    else by.set(service.vip, [service]);
  }
  return by;
}

interface VipComparison {
  vip: string;
  announce: NonNullable<ExpectedServer['announce']>;
  services: readonly VirtualServer[];
  /** Of DPVS. */
  device: string | undefined;
}

function compareVip(it: Comparison, { vip, announce, services, device }: VipComparison): void {
  const { seen, found, drained } = it;
  const home = device === undefined ? 'lo' : `${device}.kni`;
  const wanted = drained ? '' : placeOf(announce, services, home);
  const devices = (seen.addresses.get(`${vip}/32`) ?? []).filter(isPlace);
  const is = [home, HIGH].find((place) => devices.includes(place)) ?? devices[0] ?? '';
  if (is === wanted) {
    if (is !== '') compareDpdk(it, { vip, device, is });
  } else if (is === '') found.add('vip_not_announced', vip, `its ports are served, and it is not on ${wanted}`);
  else if (drained) found.add('vip_announced_while_drained', vip, `the LB is drained, and it is on ${is}`);
  else if (announce.policy === 'none')
    found.add('vip_extra', vip, `it is on ${is}, and the loaded release announces it never`);
  else if (device !== undefined && !seen.table)
    found.add('vip_announced_without_servers', vip, `it is on ${is}, and DPVS does not answer`);
  else if (wanted === '')
    found.add('vip_announced_without_servers', vip, `it is on ${is}, and its ports are not served`);
  else if (wanted === home)
    found.add('vip_not_announced', vip, `all its ports are served, and it is on ${is} only, not on ${home}`);
  else
    found.add('vip_announced_without_servers', vip, `some of its ports are not served, and it is on ${is} at low cost`);
}

/** What the kernel announces, DPVS must have: it drops packets to an address that is none of its own. */
function compareDpdk({ seen, found }: Comparison, at: { vip: string; device: string | undefined; is: string }): void {
  const { vip, device, is } = at;
  if (device === undefined || !seen.dpdk || seen.dpdk.get(`${vip}/32`)?.includes(device)) return;
  found.add('vip_announced_without_servers', vip, `it is on ${is}, and DPVS does not have it on ${device}`);
}

// services -----------------------------------------------------------------------------------

type Table = Pick<LbLayers['kernel'], 'services' | 'servers' | 'connections'>;

function compareTable(it: Comparison, expected: Expected | undefined): Table {
  const { seen, found } = it;
  const ofDpvs = expected && seen.manifests.get(expected.folder)?.dataplane === 'dpvs';
  const noTable = ofDpvs ? 'DPVS does not answer ipvsadm' : 'this kernel has no IPVS table';
  const present = new Map((seen.table ?? []).map((service) => [service.key, service]));
  const count = countOf(present.values());
  if (!expected) return count;
  if (!seen.table && expected.servers.length > 0) found.add('service_missing', 'ip_vs', noTable);
  for (const service of expected.servers) {
    count.services.expected += 1;
    count.servers.expected += service.servers.length;
    const is = present.get(service.key);
    present.delete(service.key);
    if (is) compareService(it, service, is);
    else if (seen.table)
      found.add(
        'service_missing',
        service.key,
        `keepalived loaded it, and ${ofDpvs ? 'DPVS' : 'the kernel'} does not have it`,
      );
  }
  for (const key of present.keys())
    found.add('service_extra', key, 'the kernel has it, and the loaded release does not');
  return count;
}

function countOf(services: Iterable<VirtualServer>): Table {
  const count = {
    services: { expected: 0, present: 0 },
    servers: { expected: 0, present: 0 },
    connections: { active: 0, inactive: 0 },
  };
  for (const { servers } of services) {
    count.services.present += 1;
    count.servers.present += servers.length;
    for (const { active, inactive } of servers) {
      count.connections.active += active;
      count.connections.inactive += inactive;
    }
  }
  return count;
}

/** keepalived takes a WS that fails its check out of the table: what is missing there is down, not wrong. */
function compareService({ found }: Comparison, wanted: ExpectedServer, is: VirtualServer): void {
  const { key } = wanted;
  if (is.scheduler !== wanted.scheduler || is.persistent !== wanted.persistent) {
    const words = (s: { scheduler: string; persistent: boolean }) =>
      `${s.scheduler}${s.persistent ? ', persistent' : ''}`;
    found.add('service_differs', key, `is ${words(is)}, not ${words(wanted)}`);
  }
  const servers = new Map(is.servers.map((server) => [server.key, server]));
  if (wanted.servers.length > 0 && servers.size === 0)
    found.add('service_unserved', key, 'it has no WS that passes its check');
  for (const server of wanted.servers) {
    const there = servers.get(server.key);
    servers.delete(server.key);
    if (!there) found.add('ws_down', `${key} ${server.key}`, 'it fails its check, keepalived took it out');
    else if (there.weight !== server.weight) {
      found.add('weight_differs', `${key} ${server.key}`, `its weight is ${there.weight}, not ${server.weight}`);
    }
  }
  for (const other of servers.keys())
    found.add('server_extra', `${key} ${other}`, 'the loaded release does not have it');
}
