import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nextAddresses, noAddresses } from '../domain/edge/addresses.ts';
import type { FoundAddresses } from '../domain/edge/addresses.ts';
import { emptyLipPlan, lipsOf, planLips } from '../domain/edge/lips.ts';
import type { LipPlan } from '../domain/edge/lips.ts';
import type { Cluster } from '../domain/edge/model.ts';
import { applyCalls, readCall } from '../domain/edge/operations.ts';
import {
  clusterArbitrary,
  dpvsClusterArbitrary,
  fullCluster,
  fullDpvsCluster,
  fullIpvsCluster,
  ipvsClusterArbitrary,
  lbArbitrary,
  resolved,
  vipArbitrary,
} from '../domain/testing/clusters.ts';
import { readClusters } from '../domain/edge/read.ts';
import { seedText } from '../domain/testing/seed.ts';
import { renderCluster } from './cluster.ts';
import type { Release, RenderInput } from './cluster.ts';
import { agentHelper } from './host/agent.ts';
import { announceHelper } from './host/announce.ts';
import { ospfKeysOf } from './routing/ospf.ts';
import { announceOf, planOf, readRelease, rendered, servicesOf, textsOf, tryRender } from './testing/releases.ts';

function seedCluster(): Cluster {
  const read = readClusters(seedText);
  if (!read.ok || !read.value[0]) throw new Error('the seed cannot be read');
  return read.value[0];
}

const anyCluster = fc.oneof(clusterArbitrary, ipvsClusterArbitrary, dpvsClusterArbitrary);

function firstOf(releases: readonly Release[]): Release {
  if (!releases[0]) throw new Error('there is no release');
  return releases[0];
}

/** Everything of releases as plain values. */
function plain(releases: readonly Release[]) {
  return releases.map((release) => ({
    id: release.id,
    lb: release.lb,
    services: release.services,
    loads: release.loads,
    texts: textsOf(release),
  }));
}

/** Every option of a document, as another process has it: no part is the same object. */
function elsewhere(input: RenderInput): RenderInput {
  const addresses = nextAddresses(noAddresses, input.addresses.found);
  return { ...input, cluster: structuredClone(input.cluster), lips: structuredClone(input.lips), addresses };
}

describe('what keepalived reads of a release', () => {
  test('is what the document says, for any valid document', () => {
    fc.assert(
      fc.property(anyCluster, (cluster) => {
        const addresses = resolved(cluster);
        const plan = planOf(cluster);
        for (const release of rendered(cluster, addresses)) {
          const lips = lipsOf(plan, release.lb);
          const reading = readRelease(release);
          expect(reading.complaints).toEqual([]);
          expect(reading.services.map(({ group: _g, quorumUp: _u, quorumDown: _d, ...rest }) => rest)).toEqual(
            servicesOf(cluster, addresses, lips),
          );
          expect(release.services).toBe(reading.services.length);
          const mainline = release.dataplane === 'ipvs';
          expect(reading.lips).toEqual(new Map(mainline ? [] : [['laddr_g1', lips]]));
          expect(reading.processName).toBe(mainline ? `weir-${release.loads}` : undefined);
          expect(reading.routerId).toBe(`LVS_${release.lb}`);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('calls one helper for every port of a VIP, up and down, with what it needs to know', () => {
    fc.assert(
      fc.property(anyCluster, (cluster) => {
        for (const release of rendered(cluster)) {
          for (const service of readRelease(release).services) {
            const vip = cluster.vip2ws.find((v) => v.vip === service.vip) as Cluster['vip2ws'][number];
            expect(service.quorumUp).toBe(`/etc/weir/bin/${announceHelper.name} ${announceOf(cluster, vip)}`);
            expect(service.quorumDown).toBe(service.quorumUp);
          }
        }
      }),
      { numRuns: 50 },
    );
  });

  test("of the seed's cluster is four services with one WS each", () => {
    const cluster = seedCluster();
    const reading = readRelease(firstOf(rendered(cluster)));
    expect(reading.complaints).toEqual([]);
    expect(reading.services.map((s) => [s.vip, s.port, s.realServers.length])).toEqual([
      ['60.28.208.1', 80, 1],
      ['60.28.208.1', 443, 1],
      ['60.28.208.2', 80, 1],
      ['60.28.208.2', 443, 1],
    ]);
  });
});

describe('a release', () => {
  test('has its files sorted by path, each with its digest, size and mode in the manifest', () => {
    fc.assert(
      fc.property(anyCluster, (cluster) => {
        for (const release of rendered(cluster)) {
          const files = release.files();
          expect(files.map((f) => f.path)).toEqual(files.map((f) => f.path).sort());
          expect(new Set(files.map((f) => f.path)).size).toBe(files.length);
          const manifest = JSON.parse(release.manifest().text()) as { files: object[] };
          expect(manifest).toMatchObject({
            format: 1,
            release: release.id,
            cluster: cluster.name,
            lb: release.lb,
            dataplane: release.dataplane,
            routing: release.routing,
            services: release.services,
            loads: release.loads,
            helper: announceHelper.name,
            agent: agentHelper.name,
          });
          expect(manifest.files).toEqual(files.map(({ path, sha256, size, mode }) => ({ path, sha256, size, mode })));
          for (const file of files) expect(Buffer.byteLength(file.text())).toBe(file.size);
          expect(release.id).toMatch(/^[0-9a-f]{32}$/);
          expect(release.loads).toMatch(/^[0-9a-f]{10}$/);
        }
      }),
      { numRuns: 50 },
    );
  });

  test('has modes that keep the OSPF key from others, and configuration that cannot be executed', () => {
    const modesOf = (release: Release) => Object.fromEntries(release.files().map((f) => [f.path, f.mode]));
    const holding = (release: Release) =>
      [...textsOf(release)].filter(([, text]) => text.includes('S3cretKey')).map(([path]) => path);
    const common = {
      'host/addresses': '0644',
      'host/announce': '0755',
      'host/sysctl.conf': '0644',
      'host/weir': '0755',
      'keepalived/entry.conf': '0644',
      'keepalived/keepalived.conf': '0644',
      'keepalived/vips/60.28.208.1.conf': '0644',
    };
    const fullnat = firstOf(rendered(fullCluster()));
    expect(modesOf(fullnat)).toEqual({ ...common, 'routing/ospfd.conf': '0640', 'routing/zebra.conf': '0640' });
    expect(holding(fullnat)).toEqual(['routing/ospfd.conf']);
    const ipvs = firstOf(rendered(fullIpvsCluster()));
    const own = { 'host/iptables': '0644', 'host/modules': '0644', 'keepalived/vips/60.28.208.2.conf': '0644' };
    expect(modesOf(ipvs)).toEqual({ ...common, ...own, 'routing/frr.conf': '0640' });
    expect(holding(ipvs)).toEqual(['routing/frr.conf']);
    const dpvs = firstOf(rendered(fullDpvsCluster()));
    const { 'host/addresses': _addresses, ...others } = common;
    const ofDpvs = { 'host/modules': '0644', 'host/announce.conf': '0644', 'routing/frr.conf': '0640' };
    expect(modesOf(dpvs)).toEqual({ ...others, ...ofDpvs });
  });

  test('has an ID that differs exactly where its files do', () => {
    fc.assert(
      fc.property(anyCluster, anyCluster, (a, b) => {
        const releases = [a, { ...b, lbinfos: a.lbinfos, type: a.type }].flatMap((c) => tryReleases(c));
        for (const one of releases) {
          for (const other of releases) expect(one.id === other.id).toBe(filesOf(one) === filesOf(other));
        }
      }),
      { numRuns: 50 },
    );
  });

  test('is the same bytes every time, also on another process', () => {
    fc.assert(
      fc.property(anyCluster, (cluster) => {
        const input: RenderInput = {
          cluster,
          lips: planOf(cluster),
          addresses: resolved(cluster),
          ospfKeys: ospfKeysOf(cluster),
        };
        const first = renderCluster(input);
        if (!first.ok) throw new Error('it does not render');
        for (const again of [renderCluster(input), renderCluster(elsewhere(input))]) {
          expect(again.ok && plain(again.releases)).toEqual(plain(first.releases));
        }
      }),
      { numRuns: 100 },
    );
  });

  test('does not depend on what it has no use for', () => {
    const ids = (cluster: Cluster) => rendered(cluster).map((r) => r.id);
    const { idc: _idc, linkspeed: _speed, ssh: _ssh, ...less } = fullCluster();
    const vips = less.vip2ws.map(({ owner: _owner, domains: _domains, ...vip }) => vip);
    expect(ids({ ...less, vip2ws: vips })).toEqual(ids(fullCluster()));
    for (const cluster of [fullCluster(), fullIpvsCluster()]) {
      const turned = cluster.lbinfos.map((lb) => ({ ...lb, state: lb.state === 'drain' ? 'up' : 'drain' }) as const);
      expect(ids({ ...cluster, lbinfos: turned })).toEqual(ids(cluster));
    }
  });
});

describe('what is loaded', () => {
  const loads = (cluster: Cluster) => rendered(cluster).map((release) => release.loads);

  test.each([
    ['fullnat', fullCluster()],
    ['ipvs', fullIpvsCluster()],
  ])('of %s is known by one digest, whatever else changes on the host', (_, cluster) => {
    const [first, second] = loads(cluster);
    expect(first).not.toBe(second);
    const others: Cluster[] = [
      { ...cluster, ospf: { ...cluster.ospf, cost: 77 } },
      { ...cluster, device: 'em9', vipnets: [...cluster.vipnets, '60.30.0.0/24'] },
    ];
    for (const other of others) {
      expect(rendered(other).map((r) => r.id)).not.toEqual(rendered(cluster).map((r) => r.id));
      expect(loads(other)).toEqual(loads(cluster));
    }
  });

  test.each([
    ['fullnat', fullCluster()],
    ['ipvs', fullIpvsCluster()],
  ])('of %s is another one when keepalived would load anything else', (_, cluster) => {
    const [vip] = cluster.vip2ws as [Cluster['vip2ws'][number]];
    const changed: Cluster[] = [
      { ...cluster, vip2ws: [{ ...vip, quorum: 11 }] },
      { ...cluster, vip2ws: [{ ...vip, announce: 'all' }] },
      { ...cluster, vip2ws: [] },
      { ...cluster, vip2ws: [vip, { ...vip, vip: '60.28.208.2', wss: [], wsattrs: {} }] },
      { ...cluster, check: { interval: 9 } },
    ];
    for (const other of changed) for (const [i, one] of loads(other).entries()) expect(one).not.toBe(loads(cluster)[i]);
  });

  test('of ipvs does not go by LIPs, of fullnat it does', () => {
    for (const cluster of [fullCluster(), fullIpvsCluster()]) {
      const lbinfos = cluster.lbinfos.map((lb, i) => (i === 0 ? { ...lb, lips: ['10.0.19.240-244'] } : lb));
      const same = loads({ ...cluster, lbinfos })[0] === loads(cluster)[0];
      expect(same).toBe(cluster.dataplane === 'ipvs');
    }
  });
});

function filesOf(release: Release): string {
  return JSON.stringify(release.files().map((f) => [f.path, f.mode, f.text()]));
}

function tryReleases(cluster: Cluster): Release[] {
  const result = tryRender(cluster);
  return result.ok ? result.releases : [];
}

describe('rendering', () => {
  test('tells every WS without an address, and every address that cannot stand', () => {
    const cluster = seedCluster();
    const found: FoundAddresses = { 'apps-extngtest0-bgp0.hy01': { address: '60.28.208.1', source: 'dns' } };
    const none = tryRender(cluster, noAddresses);
    expect(!none.ok && none.problems.map((p) => `${p.path} ${p.code}`)).toEqual([
      'vip2ws[0].wss[0] unresolved_ws',
      'vip2ws[1].wss[0] unresolved_ws',
    ]);
    const bad = tryRender(cluster, nextAddresses(noAddresses, found));
    expect(!bad.ok && bad.problems.map((p) => `${p.path} ${p.code}`)).toEqual([
      'vip2ws[0].wss[0] ws_is_vip',
      'vip2ws[1].wss[0] unresolved_ws',
    ]);
  });

  test('refuses two WSs of a VIP that were found at one address; one that is down does not matter', () => {
    const vip = { vip: '60.28.208.1', wstype: 'a', wss: ['a', 'b'], ports: seedCluster().vip2ws[0]?.ports ?? [] };
    const found: FoundAddresses = {
      a: { address: '10.1.1.1', source: 'dns' },
      b: { address: '10.1.1.1', source: 'dns' },
    };
    const addresses = nextAddresses(noAddresses, found);
    const both = tryRender({ ...seedCluster(), vip2ws: [vip] }, addresses);
    expect(!both.ok && both.problems.map((p) => `${p.path} ${p.code}`)).toEqual([
      'vip2ws[0].wss[1] duplicate_ws_address',
    ]);
    const down = { ...vip, wsattrs: { b: { state: 'down' as const } } };
    const release = firstOf(rendered({ ...seedCluster(), vip2ws: [down] }, addresses));
    expect(readRelease(release).services.map((s) => s.realServers.map((r) => r.address))).toEqual([
      ['10.1.1.1'],
      ['10.1.1.1'],
    ]);
  });

  test('refuses an LB without LIPs, and an OSPF key that is not at hand, instead of leaving them out', () => {
    const cluster = fullCluster();
    const result = renderCluster({ cluster, lips: emptyLipPlan, addresses: resolved(cluster), ospfKeys: undefined });
    expect(!result.ok && result.problems.map((p) => `${p.path} ${p.code}`)).toEqual([
      'lbinfos[0].lips no_lips',
      'lbinfos[1].lips no_lips',
      'ospf.key no_ospf_key',
      'ospf.oldkey no_ospf_key',
    ]);
    expect(JSON.stringify(result)).not.toContain('S3cret');
  });

  test('a VIP without WSs gives no service, and no complaint', () => {
    const cluster = { ...seedCluster(), vip2ws: seedCluster().vip2ws.map((v) => ({ ...v, wss: [] })) };
    const release = firstOf(rendered(cluster));
    expect(release.services).toBe(0);
    expect(readRelease(release)).toMatchObject({ services: [], complaints: [] });
  });
});

describe('rendering from the cache', () => {
  /** What happens to an edge: operations, names found anew, a key set anew. */
  type Step = { call: object } | { resolve: number } | { key: string; old: string };

  const step: fc.Arbitrary<Step> = fc.oneof(
    fc
      .nat({ max: 6 })
      .chain(vipArbitrary)
      .map((vips) => ({ call: { op: 'vip.add', vips } })),
    fc.nat({ max: 6 }).map((n) => ({ call: { op: 'vip.remove', vips: `60.28.208.${n + 1}` } })),
    fc
      .nat({ max: 6 })
      .chain(lbArbitrary)
      .map((lbs) => ({ call: { op: 'lb.add', lbs } })),
    fc.nat({ max: 6 }).map((n) => ({ call: { op: 'lb.remove', lbs: `lb${n}.room1` } })),
    fc
      .tuple(fc.nat({ max: 6 }), fc.constantFrom('up', 'drain', null))
      .map(([n, state]) => ({ call: { op: 'lb.set', lb: `lb${n}.room1`, set: { state } } })),
    fc.tuple(fc.nat({ max: 6 }), fc.nat({ max: 3 }), fc.constantFrom('up', 'drain', 'down')).map(([n, i, state]) => ({
      call: { op: 'ws.set', vip: `60.28.208.${n + 1}`, ws: `ws${i}-${n}.room1`, set: { state } },
    })),
    fc
      .constantFrom<object>(
        { announce: 'all' },
        { announce: null },
        { check: { path: '/x', digest: null, status: null } },
        { check: { digest: 'b'.repeat(32), status: null } },
        { check: null },
        { device: 'eth7' },
        { vipnets: ['60.28.208.0/24'] },
        { ospf: { cost: 77 } },
        { ospf: null },
        { dataplane: 'ipvs', routing: null },
        { dataplane: null, routing: null },
        { dataplane: 'ipvs', routing: 'quagga' },
        { dataplane: 'fullnat', routing: 'frr' },
      )
      .map((set) => ({ call: { op: 'cluster.set', set } })),
    fc.nat({ max: 3 }).map((resolve) => ({ resolve })),
    fc.record({ key: fc.constantFrom('k1', 'k2'), old: fc.constantFrom('k3', 'k4') }),
  );

  test('equals rendering anew, after any sequence of changes', () => {
    fc.assert(
      fc.property(anyCluster, fc.array(step, { maxLength: 8 }), (start, steps) => {
        let input = nextInput({ cluster: start, lips: emptyLipPlan, addresses: noAddresses }, 0);
        for (const one of steps) {
          input = nextInput(after(input, one), 'resolve' in one ? one.resolve : 0);
          const cached = renderCluster(input);
          const anew = renderCluster(elsewhere(input));
          expect(cached.ok ? plain(cached.releases) : cached.problems).toEqual(
            anew.ok ? plain(anew.releases) : anew.problems,
          );
        }
      }),
      { numRuns: 150 },
    );
  });

  function after(input: RenderInput, one: Step): RenderInput {
    if ('key' in one) return { ...input, ospfKeys: { key: one.key, oldKey: one.old } };
    if (!('call' in one)) return input;
    const call = readCall(one.call);
    if (!call.ok) throw new Error(JSON.stringify(call.problems));
    const applied = applyCalls(input.cluster, [call.value]);
    return applied.ok && applied.cluster ? { ...input, cluster: applied.cluster } : input;
  }

  /** Names are found at addresses that depend on the turn, as DNS may answer anything. */
  function nextInput(input: RenderInput, turn: number): RenderInput {
    const { cluster } = input;
    const found = Object.fromEntries(
      Object.entries(resolved(cluster).found).map(([name, at], i) => {
        const address = turn > 0 && i % 3 === 0 ? `10.9.${turn}.${i}` : at.address;
        return [name, { ...at, address }];
      }),
    );
    const lips: LipPlan = planLips({ cluster, plan: input.lips, isTaken: () => false, now: '' }).plan;
    return { ...input, lips, addresses: nextAddresses(input.addresses, found) };
  }

  test('gives the very same files for what did not change', () => {
    const before = fullCluster();
    const addresses = resolved(before);
    const lips = planOf(before);
    const files = (cluster: Cluster) => {
      const result = renderCluster({ cluster, lips, addresses, ospfKeys: ospfKeysOf(before) });
      return result.ok ? result.releases.map((r) => r.files()) : [];
    };
    const [lb1, lb2] = files(before);
    const [moved1, moved2] = files({
      ...before,
      lbinfos: before.lbinfos.with(1, { ...(before.lbinfos[1] as Cluster['lbinfos'][number]), device: 'em7' }),
    });
    moved1?.forEach((file, i) => expect(file).toBe(lb1?.[i]));
    const changed = moved2?.filter((file) => !lb2?.includes(file)).map((f) => f.path) ?? [];
    expect(changed).not.toContain('keepalived/vips/60.28.208.1.conf');
    expect(moved2?.filter((file) => !lb2?.some((f) => f.sha256 === file.sha256)).map((f) => f.path)).toEqual([
      'host/addresses',
      'routing/ospfd.conf',
    ]);
  });

  test('asks for the modules of the schedulers that are in use now', () => {
    const cluster = fullIpvsCluster();
    const input = { lips: planOf(cluster), addresses: resolved(cluster), ospfKeys: ospfKeysOf(cluster) };
    const modules = (changed: Cluster) => {
      const result = renderCluster({ ...input, cluster: changed });
      return (
        result.ok &&
        textsOf(firstOf(result.releases))
          .get('host/modules')
          ?.match(/^ip_vs_.*/gm)
      );
    };
    const [vip] = cluster.vip2ws as [Cluster['vip2ws'][number]];
    const ports = vip.ports.map((port) => ({ ...port, scheduler: 'sh' as const }));
    expect(modules(cluster)).toEqual(['ip_vs_mh', 'ip_vs_wlc', 'ip_vs_wrr']);
    expect(modules({ ...cluster, vip2ws: [{ ...vip, ports }] })).toEqual(['ip_vs_sh']);
    expect(modules(cluster)).toEqual(['ip_vs_mh', 'ip_vs_wlc', 'ip_vs_wrr']);
  });

  test('of addresses that were found apart from each other does not mix them up', () => {
    const cluster = seedCluster();
    const at = (last: number) => {
      const found = Object.entries(resolved(cluster).found).map(([name, f], i) => [
        name,
        { ...f, address: `10.8.${last}.${i}` },
      ]);
      return nextAddresses(noAddresses, Object.fromEntries(found) as FoundAddresses);
    };
    const [present, past] = [at(1), at(2)];
    for (const [addresses, third] of [
      [present, 1],
      [past, 2],
      [present, 1],
    ] as const) {
      const servers = readRelease(firstOf(rendered(cluster, addresses))).services.flatMap((s) => s.realServers);
      expect(servers.every((s) => s.address.startsWith(`10.8.${third}.`))).toBe(true);
    }
  });
});

describe('the defects of the original', () => {
  test('two LBs in one subnet have no LIP in common', () => {
    const lb = fullCluster().lbinfos[1] as Cluster['lbinfos'][number];
    const other = {
      ...lb,
      hostname: 'lb3.room1',
      routerid: '1.1.1.1',
      internalip: '10.0.20.3',
      extraip: '60.29.246.189',
      extragateway: '60.29.246.190',
    };
    const [first, second] = rendered({ ...fullCluster(), lbinfos: [lb, other] }).map(
      (r) => readRelease(r).lips.get('laddr_g1') ?? [],
    );
    expect(first).toHaveLength(6);
    expect(second?.filter((lip) => first?.includes(lip) || lip === lb.internalip)).toEqual([]);
  });

  test('no digest is asked for unless the document has one', () => {
    const texts = [...textsOf(firstOf(rendered(seedCluster()))).values()];
    expect(texts.filter((text) => /^\s*digest/m.test(text))).toEqual([]);
  });

  test('nothing is configured that runs by being published', () => {
    const paths = [...textsOf(firstOf(rendered(seedCluster()))).keys()];
    expect(paths.filter((path) => !/^(keepalived|routing|host)\/|^manifest\.json$/.test(path))).toEqual([]);
  });
});
