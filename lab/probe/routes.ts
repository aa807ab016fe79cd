/**
 * The routes of the router's kernel to the VIPs, as a record of what they were when, by the clock of Date.now. FRR
 * replaces a route at once, with all of its nexthops in one message, although they are a group of nexthops: the kernel
 * tells of a changed group as of a changed route (net.ipv4.nexthop_compat_mode).
 */
import { WeirError } from '../../src/domain/errors.ts';
import { openProgram, type Place } from './program.ts';

export interface RouteChange {
  /** When it was told, ms since the epoch; when the watch began, for what was there before. */
  readonly at: number;
  /** Addresses that packets for the VIP go to, sorted; none where there is no route. */
  readonly nexthops: readonly string[];
}

export interface RouteWatch {
  /** Present ones. */
  nexthops(vip: string): readonly string[];
  /** Those from that time on; default: all. What is not told has not changed; a VIP starts without a route. */
  changes(vip: string, sinceMs?: number): readonly RouteChange[];
  /**
   * The change that made it true; a past one where it is true already. Rejects when the time is over and when the watch
   * ends.
   */
  until(vip: string, isWanted: (nexthops: readonly string[]) => boolean, timeoutMs: number): Promise<RouteChange>;
  stop(): Promise<void>;
}

/** Resolves when no change can be missed any more. */
export async function watchRoutes(router: Place): Promise<RouteWatch> {
  const record = openRecord(Date.now());
  let ready = (): void => {};
  const listening = new Promise<void>((resolve) => (ready = resolve));
  const program = openProgram(router.spawn(['sh', '-euc', follow], 'pipe'), 'ip monitor', (line) => {
    if (line === 'ready') return ready();
    const told = readTold(line);
    if (told?.route) record.hear(told.route, told.at);
    else if (told) void readAll(router, record, told.at).catch(() => program.end());
  });
  void program.gone.then((error) => record.end(error));
  const failed = program.gone.then((error) => Promise.reject(error));
  await Promise.race([listening.then(() => readAll(router, record, record.begun)), failed]);
  failed.catch(() => {});
  return { nexthops: record.nexthops, changes: record.changes, until: record.until, stop: () => program.end() };
}

/**
 * Says `ready` when the kernel knows that it listens; ends with its standard input. TZ: -ts names no zone. Links and
 * nexthops are asked for since the kernel removes routes without a word when their link goes down or their nexthop is
 * deleted.
 */
const follow = String.raw`
exec 3<&0
TZ=UTC ip -ts -o monitor link route nexthop &
monitor=$!
until grep -q "^[0-9a-f]* *0 *$monitor " /proc/net/netlink; do
  kill -0 "$monitor"
  sleep 0.01
done
echo ready
{ cat <&3; kill "$monitor"; } >/dev/null 2>&1 &
wait "$monitor"
`;

interface Route {
  readonly vip: string;
  readonly metric: number;
  /** Undefined: it was deleted. */
  readonly nexthops: readonly string[] | undefined;
}

interface Told {
  readonly at: number;
  /** None where it tells of something else, after which all routes have to be read. */
  readonly route?: Route;
}

/** A line of `ip -ts -o monitor`; undefined where routes to VIPs have nothing to do with it. */
function readTold(line: string): Told | undefined {
  const [, stamp, text] = /^\[(\S+)\] (.*)$/.exec(line) ?? [];
  if (stamp === undefined || text === undefined) return undefined;
  const at = Date.parse(`${stamp.slice(0, '2000-01-01T00:00:00.000'.length)}Z`);
  if (/^(Deleted )?\d+: |^Deleted id /.test(text)) return { at };
  const route = readRoute(text);
  return route && { at, route };
}

/** A line of `ip -o route`, of a route to one address in the main table. */
function readRoute(text: string): Route | undefined {
  const [, deleted, vip, rest] = /^(Deleted )?(\d+\.\d+\.\d+\.\d+) (.*)$/.exec(text) ?? [];
  if (vip === undefined || rest === undefined || / table /.test(rest)) return undefined;
  const hops = Array.from(rest.matchAll(/\bvia (\S+)/g), ([, address]) => address ?? '').sort();
  return { vip, metric: Number(/ metric (\d+)/.exec(rest)?.[1] ?? 0), nexthops: deleted ? undefined : hops };
}

/**
 * The kernel tells that a link goes down before it removes its routes, which it does under a lock. To set what is set
 * already changes and tells nothing, but waits for that lock.
 */
const show = 'ip link set lo up && exec ip -o route show';

async function readAll(router: Place, record: RouteRecord, at: number): Promise<void> {
  const settle = record.compare(at);
  const routes: Route[] = [];
  const program = openProgram(router.spawn(['sh', '-c', show], 'pipe'), 'ip route', (line) => {
    const route = readRoute(line);
    if (route) routes.push(route);
  });
  await program.end();
  settle(routes);
}

interface RouteRecord extends Omit<RouteWatch, 'stop'> {
  readonly begun: number;
  hear(route: Route, at: number): void;
  /** Starts to read all routes. What was heard from then on is newer than what was read. */
  compare(at: number): (routes: readonly Route[]) => void;
  end(error: WeirError): void;
}

function openRecord(begun: number): RouteRecord {
  /** By VIP and metric: of several routes the kernel takes that of the lowest. */
  const tables = new Map<string, Map<number, readonly string[]>>();
  const changes = new Map<string, RouteChange[]>();
  const waiting = new Set<{ check(): void; reject(error: WeirError): void }>();
  const comparing = new Set<Set<string>>();
  let ended: WeirError | undefined;

  function hear({ vip, metric, nexthops }: Route, at: number): void {
    for (const heard of comparing) heard.add(vip);
    const table = tables.get(vip) ?? new Map<number, readonly string[]>();
    tables.set(vip, table);
    if (nexthops) table.set(metric, nexthops);
    else table.delete(metric);
    note(vip, at);
  }

  function compare(at: number) {
    const heard = new Set<string>();
    comparing.add(heard);
    return (routes: readonly Route[]): void => {
      comparing.delete(heard);
      const vips = new Set([...tables.keys(), ...routes.map(({ vip }) => vip)]);
      for (const vip of [...vips].filter((vip) => !heard.has(vip))) {
        const own = routes.filter((route) => route.vip === vip);
        tables.set(vip, new Map(own.map(({ metric, nexthops = [] }) => [metric, nexthops])));
        note(vip, at);
      }
    };
  }

  function note(vip: string, at: number): void {
    const table = tables.get(vip) ?? new Map<number, readonly string[]>();
    const nexthops = table.get(Math.min(...table.keys())) ?? [];
    if (nexthops.join(' ') === latest(vip).nexthops.join(' ')) return;
    changes.set(vip, [...(changes.get(vip) ?? []), { at, nexthops }]);
    for (const waiter of waiting) waiter.check();
  }

  function latest(vip: string): RouteChange {
    return changes.get(vip)?.at(-1) ?? { at: begun, nexthops: [] };
  }

  async function until(
    vip: string,
    isWanted: (nexthops: readonly string[]) => boolean,
    timeoutMs: number,
  ): Promise<RouteChange> {
    let leave = (): void => {};
    const wanted = new Promise<RouteChange>((resolve, reject) => {
      const check = (): void => void (isWanted(latest(vip).nexthops) && resolve(latest(vip)));
      const waiter = { check, reject };
      const late = (): void => reject(tooLate(vip, timeoutMs, latest(vip)));
      const timer = setTimeout(late, timeoutMs);
      leave = () => {
        clearTimeout(timer);
        waiting.delete(waiter);
      };
      waiting.add(waiter);
      check();
      if (ended) reject(ended);
    });
    return wanted.finally(leave);
  }

  return {
    begun,
    hear,
    compare,
    nexthops: (vip) => latest(vip).nexthops,
    changes: (vip, sinceMs = 0) => (changes.get(vip) ?? []).filter(({ at }) => at >= sinceMs),
    until,
    end(error) {
      ended = error;
      for (const waiter of waiting) waiter.reject(error);
    },
  };
}

function tooLate(vip: string, timeoutMs: number, { nexthops }: RouteChange): WeirError {
  const present = nexthops.join(' ') || 'none';
  return new WeirError('failed', `Waited ${timeoutMs} ms for other routes to ${vip}; they are: ${present}`);
}
