/** The kernel's IPVS table, and what a release says it should be. Addresses in /proc are hexadecimal. */
import type { ExpectedServer, RealServer, VirtualServer } from './model.ts';

/**
 * Lines of /proc/net/ip_vs. Services of firewall marks and of IPv6 are left out: Weir makes none. The time of
 * `persistent` is in jiffies there, whose length is not told, so only that it is on is read.
 */
export function parseTable(lines: readonly string[]): VirtualServer[] {
  const services: VirtualServer[] = [];
  let service: VirtualServer | undefined;
  for (const line of lines) {
    const field = line.split(/\s+/);
    if (field[1] === '->') {
      const at = decode(field[2] ?? '');
      if (service && at)
        service.servers.push({
          key: `${at.address}:${at.port}`,
          weight: Number(field[4]),
          active: Number(field[5]),
          inactive: Number(field[6]),
        });
    } else {
      service = serviceOf(field);
      if (service) services.push(service);
    }
  }
  return services;
}

function serviceOf([protocol = '', at = '', scheduler = '', ...flags]: readonly string[]): VirtualServer | undefined {
  if (!/^(?:TCP|UDP|SCTP)$/.test(protocol)) return undefined;
  const found = decode(at);
  if (!found) return undefined;
  return {
    key: `${protocol} ${found.address}:${found.port}`,
    protocol,
    vip: found.address,
    port: found.port,
    scheduler,
    persistent: flags.includes('persistent'),
    servers: [],
  };
}

/** `0A320001:0050`; undefined for other families. */
function decode(text: string): { address: string; port: number } | undefined {
  if (!/^[0-9A-Fa-f]{8}:[0-9A-Fa-f]{4}$/.test(text)) return undefined;
  const number = Number.parseInt(text.slice(0, 8), 16);
  const address = `${number >>> 24}.${(number >>> 16) & 255}.${(number >>> 8) & 255}.${number & 255}`;
  return { address, port: Number.parseInt(text.slice(9), 16) };
}

/**
 * What the script takes out of a release's keepalived files, statement by statement: groups with their addresses
 * (fullnat) or services with their own (ipvs).
 */
export function parseExpected(lines: readonly string[]): ExpectedServer[] {
  const groups = new Map<string, { vip: string; port: number }[]>();
  const services: ExpectedServer[] = [];
  let group = '';
  let made: ExpectedServer[] = [];
  for (const line of lines) {
    const [word, first = '', second = ''] = line.trim().split(/\s+/);
    switch (word) {
      case 'virtual_server_group':
        group = first;
        groups.set(group, []);
        break;
      case 'address':
        groups.get(group)?.push({ vip: first, port: Number(second) });
        break;
      case 'virtual_server': {
        const at = first === 'group' ? (groups.get(second) ?? []) : [{ vip: first, port: Number(second) }];
        made = at.map(({ vip, port }) => blank(vip, port));
        services.push(...made);
        break;
      }
      default:
        for (const service of made) statement(service, line.trim());
    }
  }
  for (const service of services) service.key = `${service.protocol} ${service.vip}:${service.port}`;
  return services;
}

function blank(vip: string, port: number): ExpectedServer {
  return { key: '', protocol: 'TCP', vip, port, scheduler: '', persistent: false, announce: undefined, servers: [] };
}

function statement(service: ExpectedServer, line: string): void {
  const [word, first = '', second = ''] = line.split(/\s+/);
  const server = service.servers.at(-1);
  switch (word) {
    case 'protocol':
      service.protocol = first;
      break;
    case 'lb_algo':
      service.scheduler = first;
      break;
    case 'persistence_timeout':
      service.persistent = Number(first) > 0;
      break;
    case 'quorum_up':
      service.announce = announceOf(line);
      break;
    case 'real_server':
      service.servers.push({ key: `${first}:${second}`, weight: 1 });
      break;
    case 'weight':
      if (server) server.weight = Number(first);
      break;
    default:
  }
}

/** `quorum_up "/etc/weir/bin/announce-DIGEST VIP POLICY QUORUM"` */
function announceOf(line: string): ExpectedServer['announce'] {
  const found = /announce\S* \S+ (any|all|degrade|none) (\d+)/.exec(line);
  return found ? { policy: found[1] ?? '', quorum: Number(found[2]) } : undefined;
}

/**
 * Interface where the announce script puts a VIP, by the table as it is; empty: nowhere. `home`: where VIPs are announced at
 * their usual cost, lo or with dpvs DEVICE.kni.
 */
export function placeOf(
  announce: { policy: string; quorum: number },
  services: readonly VirtualServer[],
  home: string,
): string {
  const served = services.filter((service) => weightOf(service.servers) >= announce.quorum).length;
  if (served === 0 || announce.policy === 'none') return '';
  if (announce.policy === 'any' || served === services.length) return home;
  return announce.policy === 'degrade' ? 'weir-high' : '';
}

function weightOf(servers: readonly RealServer[]): number {
  return servers.reduce((sum, server) => sum + server.weight, 0);
}

/** Connections on a WS of one LB; `persistent` null: this LB cannot tell. */
export interface LbConnections {
  active: number;
  inactive: number;
  persistent: number | null;
  /** Entries of the table that lead to it; a WS that fails its check has none. */
  servers: number;
}

/** Rows `VIP:PORT WS:PORT WEIGHT ACTIVE INACTIVE`, and `VIP:PORT WS:PORT PERSISTENT`, the last one being `complete`. */
export function sumConnections(rows: readonly string[], persistent: readonly string[] | undefined): LbConnections {
  const fields = rows.map((row) => row.split(' ')).filter((field) => field.length === 5);
  const known = persistent?.at(-1) === 'complete';
  return {
    active: sum(fields.map((field) => field[3])),
    inactive: sum(fields.map((field) => field[4])),
    persistent: known ? sum(persistent.slice(0, -1).map((row) => row.split(' ')[2])) : null,
    servers: fields.length,
  };
}

function sum(values: readonly (string | undefined)[]): number {
  return values.reduce((total, value) => total + (Number(value) || 0), 0);
}
