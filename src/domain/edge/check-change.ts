/**
 * The rules between documents: what a cluster must not become from what it is, and how it goes with others. What is
 * right by itself can still take the traffic away while LB after LB is activated.
 */
import { lastOf, parseNet } from '../address.ts';
import { error, warning } from '../problem.ts';
import type { Problem } from '../problem.ts';
import { defaults, ospfAnnounceOf } from './model.ts';
import type { Cluster } from './model.ts';

/** Problems of a document as the next one of another, with paths into it. */
export function changeProblems(before: Cluster, after: Cluster): Problem[] {
  return checkKeyChange(before, after);
}

// how VIPs are announced ---------------------------------------------------------------------

/**
 * LBs in service (by hostname, those that Weir saw activate anything) that are up before or after: a drain of the same
 * change is not made yet, and an LB that is removed still runs.
 */
export function styleInService(before: Cluster, after: Cluster, inService: ReadonlySet<string>): Problem[] {
  const [from, to] = [ospfAnnounceOf(before), ospfAnnounceOf(after)];
  const up = new Set([...upIn(before), ...upIn(after)].filter((lb) => inService.has(lb))).size;
  if (from === to || up <= 1) return [];
  return [
    error('ospf.announce', {
      code: 'ospf_style_mixed',
      message: `${up} LBs of cluster ${after.name} are in service: while they are activated one after the other, some would announce by ${from} and some by ${to}, and those with network would get all traffic`,
      hint: `drain all LBs but one (weir lb drain ${after.name} LB), change it, publish, activate, and undrain them; to keep it, set ospf.announce to ${from}`,
    }),
  ];
}

function upIn({ lbinfos }: Cluster): string[] {
  return lbinfos.filter((lb) => lb.state !== 'drain').map((lb) => lb.hostname);
}

/** Whether the second announces other nets, elsewhere or otherwise than the first: only then others have to be looked at. */
export function announcesOtherwise(before: Cluster, after: Cluster): boolean {
  const same =
    areaOf(before) === areaOf(after) &&
    ospfAnnounceOf(before) === ospfAnnounceOf(after) &&
    before.vipnets.join(' ') === after.vipnets.join(' ');
  return !same;
}

/**
 * RFC 2328, 16.4: a router prefers routes within the area to external ones, whatever they cost. So within one area,
 * clusters whose VIP nets overlap announce in the same way.
 */
export function mixedStyles(cluster: Cluster, others: Iterable<Cluster>): Problem[] {
  const [area, style] = [areaOf(cluster), ospfAnnounceOf(cluster)];
  const problems: Problem[] = [];
  for (const other of others) {
    if (other.name === cluster.name || areaOf(other) !== area || ospfAnnounceOf(other) === style) continue;
    const shared = sharedNet(cluster.vipnets, other.vipnets);
    if (shared === undefined) continue;
    problems.push(
      error('ospf.announce', {
        code: 'ospf_style_mixed',
        message: `VIPs of ${shared} are announced by ${ospfAnnounceOf(other)} in area ${area} by cluster ${other.name}, and here by ${style}: routers would send everything to those with network`,
        hint: `set ospf.announce to ${ospfAnnounceOf(other)}, or give the clusters areas or vipnets of their own`,
      }),
    );
  }
  return problems;
}

function areaOf(cluster: Cluster): string {
  return cluster.ospf?.area ?? defaults.ospf.area;
}

/** The first net that overlaps one of the others. */
function sharedNet(nets: readonly string[], others: readonly string[]): string | undefined {
  const theirs = others.flatMap((net) => parseNet(net) ?? []);
  return nets.find((text) => {
    const net = parseNet(text);
    return net && theirs.some((other) => net.base <= lastOf(other) && other.base <= lastOf(net));
  });
}

// keys ---------------------------------------------------------------------------------------

/** A key of a document; documents have references, which are the same for the same key. */
interface Key {
  id: number;
  key: string;
}

function keyOf({ ospf }: Cluster): Key | undefined {
  return ospf?.key === undefined ? undefined : { id: ospf.keyid ?? defaults.ospf.keyid, key: ospf.key };
}

function oldKeyOf({ ospf }: Cluster): Key | undefined {
  const { oldkey, oldkeyid } = ospf ?? {};
  return oldkey === undefined || oldkeyid === undefined ? undefined : { id: oldkeyid, key: oldkey };
}

function isSame(one: Key | undefined, other: Key | undefined): boolean {
  return one?.id === other?.id && one?.key === other?.key;
}

function hasLbs(before: Cluster, after: Cluster): boolean {
  return before.lbinfos.length > 0 && after.lbinfos.length > 0;
}

/** What the routers send with today has to be accepted until they have the new key too. */
function checkKeyChange(before: Cluster, after: Cluster): Problem[] {
  const sent = keyOf(before);
  if (!sent || !hasLbs(before, after)) return [];
  if ([keyOf(after), oldKeyOf(after)].some((key) => isSame(key, sent))) return [];
  return [
    warning('ospf.key', {
      code: 'ospf_key_replaced',
      message: `OSPF key ${sent.id} of cluster ${after.name} is ${keyOf(after) ? 'replaced' : 'removed'}: an LB loses its neighbours from its activation on, until the routers are changed too`,
      hint: `to keep the old key beside a new one for a time: weir cluster rotate-key ${after.name} --keyid ID --key-file FILE`,
    }),
  ];
}
