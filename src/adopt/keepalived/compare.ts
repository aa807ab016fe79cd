/**
 * Whether the imported document means the same: it is rendered, the rendered files are read as the source was, and both
 * are compared service by service. A difference is explained by a finding about the same thing, or stands for itself.
 */
import { addressNumber, expandRange, formatAddress, rangeHolds } from '../../domain/address.ts';
import { noAddresses } from '../../domain/edge/addresses.ts';
import { checkCluster } from '../../domain/edge/check.ts';
import { emptyLipPlan, planLips } from '../../domain/edge/lips.ts';
import type { Cluster, Dataplane, Lb, Vip } from '../../domain/edge/model.ts';
import { parseCluster } from '../../domain/edge/read.ts';
import { WeirError } from '../../domain/errors.ts';
import { errorsOf } from '../../domain/problem.ts';
import type { Problem } from '../../domain/problem.ts';
import { renderCluster } from '../../render/cluster.ts';
import type { Draft, DraftVip } from './draft.ts';
import { filesOf } from './files.ts';
import type { Limits } from './files.ts';
import { Ledger } from './ledger.ts';
import type { Field, Finding } from './ledger.ts';
import { readServices } from './services.ts';
import type { Clients, RealServer, Served, Service, VirtualServer } from './served.ts';
import { readTree } from './statements.ts';

export interface Difference {
  /** `VIP:PORT/PROTOCOL` */
  service: string;
  field: Field;
  was: string;
  becomes: string;
  /** Whether a finding says so. */
  explained: boolean;
}

export interface Comparison {
  /** Of the source. */
  services: number;
  realServers: number;
  /** Neither different, nor with anything lost. */
  equivalent: number;
  /** Different, or with something lost, as findings say. */
  explained: number;
  /** With a difference that no finding explains. */
  unexplained: number;
  differences: Difference[];
  /** Why nothing was compared. */
  unavailable: string | undefined;
}

export interface Comparing {
  source: Served;
  draft: Draft;
  dataplane: Dataplane;
  findings: readonly Finding[];
  limits?: Partial<Limits> | undefined;
}

export function compare({ source, draft, dataplane, findings, limits }: Comparing): Comparison {
  const services = firsts(source.services);
  const result: Comparison = {
    services: services.length,
    realServers: services.reduce((sum, { server }) => sum + server.servers.length, 0),
    equivalent: 0,
    explained: 0,
    unexplained: 0,
    differences: [],
    unavailable: undefined,
  };
  const vips = new Set(services.map((service) => service.vip));
  const rendered = renderedAgain({ draft, dataplane, limits }, vips);
  if (typeof rendered === 'string') return { ...result, unavailable: rendered };
  const again = new Map(rendered.services.map((service) => [service.key, service]));
  const reasons = new Reasons(findings);
  for (const service of services) {
    const differences = differencesOf(service, again.get(service.key)).map((found) => ({
      ...found,
      service: service.key,
      explained: reasons.explain(service, found.field),
    }));
    result.differences.push(...differences);
    if (differences.some((found) => !found.explained)) result.unexplained++;
    else if (differences.length > 0 || reasons.touch(service)) result.explained++;
    else result.equivalent++;
  }
  return result;
}

/** Of services that stand twice, the one that counts. */
function firsts(services: readonly Service[]): Service[] {
  const seen = new Map<string, Service>();
  for (const service of services) if (!seen.has(service.key)) seen.set(service.key, service);
  return [...seen.values()];
}

/** What was lost, by what it is about. */
class Reasons {
  readonly #said = new Set<string>();
  readonly #touched = new Set<string>();

  constructor(findings: readonly Finding[]) {
    for (const { severity, server, service, field } of findings) {
      if (severity !== 'lost' || server === undefined) continue;
      const about = service === undefined || service === '' ? '*' : service;
      this.#said.add(`${server} ${about} ${field}`);
      this.#touched.add(`${server} ${about}`);
    }
  }

  explain({ server, key, vip }: Service, field: Field): boolean {
    const fields = [field, 'service'] as const;
    return ['*', key, vip].some((about) => fields.some((one) => this.#said.has(`${server.index} ${about} ${one}`)));
  }

  touch({ server, key, vip }: Service): boolean {
    return ['*', key, vip].some((about) => this.#touched.has(`${server.index} ${about}`));
  }
}

// what differs -------------------------------------------------------------------------------

type Found = Pick<Difference, 'field' | 'was' | 'becomes'>;

function differencesOf(was: Service, becomes: Service | undefined): Found[] {
  if (!becomes) return [{ field: 'service', was: 'served', becomes: 'not in the document' }];
  const names = new Set(namesOf(becomes));
  const shared = new Set(namesOf(was).filter((name) => names.has(name)));
  const [before, after] = [meaning(was, shared), meaning(becomes, shared)];
  return (Object.keys(before) as (keyof typeof before)[]).flatMap((field) =>
    before[field] === after[field] ? [] : [{ field, was: before[field], becomes: after[field] }],
  );
}

/** Weights and checks only of WSs that both have: that one is gone is a difference of its own. */
function meaning(service: Service, shared: ReadonlySet<string>) {
  const { server } = service;
  const named = server.servers
    .map((ws) => ({ ws, name: nameOf(server, ws) }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const both = named.filter(({ name }) => shared.has(name));
  return {
    scheduler: server.scheduler,
    kind: server.kind,
    persistence: String(server.persistence),
    synproxy: server.synproxy ? 'on' : 'off',
    quorum: String(server.quorum),
    timeouts: `${server.establish ?? 'default'} ${server.proxy ?? 'no PROXY protocol'}`,
    clients: `deny ${clientsText(server.deny)}, allow ${clientsText(server.allow)}`,
    servers: named.map(({ name }) => name).join(' '),
    weight: both.map(({ ws, name }) => `${name} ${ws.weight}`).join(', '),
    check: [...new Set(both.map(({ ws }) => ws.check.does))].toSorted().join('; '),
  } satisfies Partial<Record<Field, string>>;
}

function namesOf({ server }: Service): string[] {
  return server.servers.map((ws) => nameOf(server, ws));
}

/** WSs that get packets as they are, get them for the port of the VIP. */
function nameOf({ kind }: VirtualServer, { address, port }: RealServer): string {
  return kind === 'DR' || kind === 'TUN' ? address : `${address}:${port}`;
}

function clientsText(clients: Clients | undefined): string {
  if (!clients) return 'nobody';
  const numbers = clients.ranges.flatMap(expandRange).map(addressNumber);
  return numbers
    .toSorted((a, b) => a - b)
    .map(formatAddress)
    .join(' ');
}

// rendering again ----------------------------------------------------------------------------

/** What the document serves of some VIPs; or why that cannot be said. */
function renderedAgain(
  { draft, dataplane, limits }: Pick<Comparing, 'draft' | 'dataplane' | 'limits'>,
  vips: ReadonlySet<string>,
): Served | string {
  const cluster = standIn(
    draft,
    draft.vip2ws.filter((vip) => vips.has(vip.vip)),
    dataplane,
  );
  const lips = planLips({ cluster, plan: emptyLipPlan, isTaken: () => false, now: '' });
  const rendered = renderCluster({ cluster, lips: lips.plan, addresses: noAddresses });
  if (!rendered.ok) return firstOf(rendered.problems);
  const texts = (rendered.releases[0]?.files() ?? []).map((file) => [file.path, file.text()] as const);
  const ledger = new Ledger();
  const options = { files: filesOf(texts), ledger, old: dataplane === 'fullnat', configId: undefined, limits };
  try {
    return readServices(readTree('keepalived/keepalived.conf', options).statements, dataplane, ledger);
  } catch (thrown) {
    // Ranges of VIPs are written out there: it may be beyond the limits where the source is not.
    if (!(thrown instanceof WeirError)) throw thrown;
    return `what is rendered is too large to be read again: ${firstOf(thrown.problems)}`;
  }
}

function firstOf(problems: readonly Problem[]): string {
  const [first] = problems;
  return first ? `${first.path}: ${first.message}` : 'nothing was rendered';
}

/** The document with everything that keepalived’s configuration does not go by made up, and without VIPs that are not valid. */
function standIn(draft: Draft, vip2ws: readonly DraftVip[], dataplane: Dataplane): Cluster {
  const vips = vip2ws.map(({ announce: _announce, moving: _moving, ...vip }): Vip => ({ wstype: 'imported', ...vip }));
  const octets = new Set(vips.map((vip) => vip.vip.split('.')[0] ?? ''));
  const whole: Cluster = {
    name: 'imported',
    type: 'internal',
    device: 'dpdk0',
    vipnets: octets.size > 0 ? [...octets].map((octet) => `${octet}.0.0.0/8`) : ['10.0.0.0/8'],
    dataplane,
    ...(draft.check ? { check: draft.check } : {}),
    ...(draft.forwarding === undefined ? {} : { forwarding: draft.forwarding }),
    lbinfos: [standInLb(vips)],
    vip2ws: vips,
  };
  const parsed = parseCluster(whole);
  const problems = parsed.ok ? errorsOf(checkCluster(whole)) : parsed.problems;
  const wrong = new Set(problems.flatMap((problem) => /^vip2ws\[(\d+)\]/.exec(problem.path)?.[1] ?? []));
  return wrong.size === 0 ? whole : { ...whole, vip2ws: vips.filter((_, i) => !wrong.has(String(i))) };
}

/** In a net that no VIP and no WS is in. */
function standInLb(vips: readonly Vip[]): Lb {
  const taken = vips.flatMap((vip) => [
    vip.vip,
    ...Object.values(vip.wsattrs ?? {}).flatMap((attrs) => attrs.address ?? []),
  ]);
  const nets = Array.from({ length: 512 }, (_, i) => `198.${18 + (i >> 8)}.${i & 255}`);
  const net =
    nets.find((start) => !taken.some((address) => rangeHolds(`${start}.0-255`, addressNumber(address)))) ?? '198.18.0';
  return {
    hostname: 'imported',
    routerid: `${net}.2`,
    internalip: `${net}.2`,
    internalnetmask: '255.255.255.0',
    internalgateway: `${net}.1`,
    ospfnet: `${net}.0/24`,
    lips: [`${net}.10-17`],
  };
}
