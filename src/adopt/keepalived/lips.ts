/** LIPs of a configuration, for the LB that it is of. */
import type { Lb } from '../../domain/edge/model.ts';
import type { Drafting } from './draft.ts';
import type { LipGroup, Served } from './served.ts';

/** The LB that the file is of: the only one, or the one that router_id names. */
function ownerOf(lbs: readonly Lb[], routerId: string | undefined): Lb | undefined {
  const named = lbs.filter((lb) => routerId === lb.hostname || routerId === `LVS_${lb.hostname}`);
  return named.length === 1 ? named[0] : lbs.length === 1 ? lbs[0] : undefined;
}

export function withLips(lbs: readonly Lb[], served: Served, drafting: Drafting): Lb[] {
  const groups = usedGroups(served, drafting);
  const lips = [...new Set(groups.flatMap((group) => group.lips))];
  if (lips.length === 0) return [...lbs];
  const owner = ownerOf(lbs, served.routerId);
  if (!owner) {
    looseLips(served, drafting);
    return [...lbs];
  }
  const device = groups.find((group) => group.device !== undefined)?.device;
  const present = owner.innerdevice ?? owner.device ?? drafting.base.device;
  const { lipcount: _planned, ...rest } = owner;
  const own = { ...rest, lips, ...(device !== undefined && device !== present ? { innerdevice: device } : {}) };
  return lbs.map((lb) => (lb === owner ? own : lb));
}

/** Groups of LIPs that services use; an LB has one pool of them. */
function usedGroups({ servers, lips }: Served, { ledger }: Drafting): LipGroup[] {
  const names = new Set(servers.flatMap((server) => server.lips ?? []));
  for (const group of lips.values()) {
    if (!names.has(group.name)) ledger.drop(group.statement, { why: 'no virtual_server uses these LIPs' });
  }
  const used = [...names].flatMap((name) => lips.get(name) ?? []);
  for (const group of used.slice(1)) {
    ledger.remark(group.statement, {
      why: 'a second group of LIPs in use: an LB has one pool for all services, which gets the addresses of all groups',
      hint: 'see that the WSs’ firewalls take them',
      field: 'lips',
    });
  }
  for (const server of servers) {
    if (server.lips === undefined || lips.has(server.lips)) continue;
    ledger.server = server.index;
    ledger.remark(server.statement, {
      why: `there is no local_address_group ${server.lips.slice(0, 40)}: the service has no LIPs today`,
      hint: 'with Weir it has those of the LB',
      field: 'lips',
    });
    ledger.server = undefined;
  }
  return used;
}

/** LIPs that no LB is known for. */
export function looseLips(served: Served, drafting: Drafting): void {
  const { ledger, base } = drafting;
  const groups = base.lbinfos ? [...served.lips.values()] : usedGroups(served, drafting);
  for (const group of groups) {
    if (group.lips.length === 0) continue;
    ledger.remark(group.statement, {
      why: `which LB has these LIPs (${group.lips.slice(0, 4).join(', ')}${group.lips.length > 4 ? ', ...' : ''}) cannot be told`,
      hint: `give the LB with --lb or --base (of several, the one that router_id names), or set lips on it; otherwise Weir plans others`,
      field: 'lips',
    });
  }
}
