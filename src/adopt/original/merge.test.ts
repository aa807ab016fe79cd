import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkCluster } from '../../domain/edge/check.ts';
import type { Cluster, Lb, Port, Vip } from '../../domain/edge/model.ts';
import { headOf, sameValue } from '../../domain/edge/patch.ts';
import { errorsOf } from '../../domain/problem.ts';
import { clusterArbitrary, fullCluster, fullIpvsCluster, ipvsClusterArbitrary } from '../../domain/testing/clusters.ts';
import { mergeForeign } from './merge.ts';
import type { Crossing } from './merge.ts';
import { originalCluster, readRecord, recordOf } from './record.ts';

/** What is read back from a document's mirror. */
function mirrored(cluster: Cluster): Cluster {
  const read = readRecord(cluster.name, { ...recordOf(cluster) });
  if (!read.ok) throw new Error(JSON.stringify(read.problems));
  return read.value;
}

function merged(base: Cluster, foreign: Cluster, present = base): Cluster {
  const outcome = mergeForeign({ base, foreign, present });
  if (!outcome.ok) throw new Error(outcome.crossings.map((c) => c.path).join());
  expect(outcome.changed).toBe(outcome.cluster !== present);
  return outcome.cluster;
}

function crossed(base: Cluster, foreign: Cluster, present: Cluster): Crossing[] {
  const outcome = mergeForeign({ base, foreign, present });
  return outcome.ok ? [] : outcome.crossings;
}

const base = fullCluster();
const [vip, lb] = [base.vip2ws[0] as Vip, base.lbinfos[0] as Lb];

/** `base` as others see it, with another first VIP or LB. */
function foreignVip(change: (vip: Vip) => Vip): Cluster {
  const mirror = mirrored(base);
  return { ...mirror, vip2ws: mirror.vip2ws.map(change) };
}
function foreignLb(change: (lb: Lb) => Lb): Cluster {
  const mirror = mirrored(base);
  return { ...mirror, lbinfos: mirror.lbinfos.map((l, i) => (i === 0 ? change(l) : l)) };
}

describe('a foreign write', () => {
  test('of the mirror as it was changes nothing, whatever has changed in Weir', () => {
    const present = { ...base, device: 'em9', vip2ws: [] };
    expect(mergeForeign({ base, foreign: mirrored(base), present })).toEqual({
      ok: true,
      cluster: present,
      changed: false,
    });
    expect(merged(base, mirrored(base), present)).toBe(present);
  });

  test('that differs in order only changes nothing', () => {
    const mirror = mirrored(base);
    const foreign = {
      ...mirror,
      vipnets: mirror.vipnets.toReversed(),
      lbinfos: mirror.lbinfos.toReversed(),
      vip2ws: mirror.vip2ws.map((v) => ({ ...v, wss: v.wss.toReversed(), ports: v.ports.toReversed() })),
    };
    expect(merged(base, foreign)).toBe(base);
  });

  test('changes the head, and keeps its own fields and the order of nets', () => {
    const foreign = { ...mirrored(base), device: 'em7', vipnets: ['10.0.0.0/8', ...base.vipnets.slice(1)] };
    const next = merged(base, foreign);
    expect(next).toEqual({ ...base, device: 'em7', vipnets: [...base.vipnets.slice(1), '10.0.0.0/8'] });
    expect(next.vip2ws).toBe(base.vip2ws);
    expect(next.lbinfos).toBe(base.lbinfos);
    expect(merged(base, { ...mirrored(base), type: 'internal' })).toEqual({ ...base, type: 'internal' });
  });

  test('changes a wstype', () => {
    expect(
      merged(
        base,
        foreignVip((v) => ({ ...v, wstype: 'search' })),
      ).vip2ws,
    ).toEqual([{ ...vip, wstype: 'search' }]);
  });

  test('adds WSs at the end, and removes others with their attributes', () => {
    const { vip2ws } = merged(
      base,
      foreignVip((v) => ({ ...v, wss: ['ws9.room1', 'ws3.room1', 'ws1.room1'] })),
    );
    const { 'ws2.room1': _gone, ...wsattrs } = vip.wsattrs ?? {};
    expect(vip2ws).toEqual([{ ...vip, wss: ['ws1.room1', 'ws3.room1', 'ws9.room1'], wsattrs }]);
    const [empty] = merged(
      base,
      foreignVip((v) => ({ ...v, wss: [] })),
    ).vip2ws;
    expect(empty && 'wsattrs' in empty).toBe(false);
  });

  test('changes, adds and removes ports; those that stay keep checks and schedulers', () => {
    const added: Port = { sport: 8443, dport: 8443, synproxy: 0, persistence_timeout: 10 };
    const { vip2ws } = merged(
      base,
      foreignVip((v) => ({
        ...v,
        ports: [added, ...v.ports.flatMap((p) => (p.sport === 8081 ? [] : [{ ...p, dport: 9000 + p.sport }]))],
      })),
    );
    expect(vip2ws[0]?.ports).toEqual([{ ...vip.ports[0], dport: 9080 }, { ...vip.ports[1], dport: 9443 }, added]);
  });

  test('does not touch ports that are not TCP, also where all others go', () => {
    const ipvs = fullIpvsCluster();
    const udp = ipvs.vip2ws[0]?.ports.at(-1) as Port;
    const mirror = mirrored(ipvs);
    const only = { sport: 53, dport: 5353, synproxy: 0, persistence_timeout: 0 } as const;
    const next = merged(ipvs, { ...mirror, vip2ws: mirror.vip2ws.map((v) => ({ ...v, ports: [only] })) });
    expect(next.vip2ws[0]?.ports).toEqual([udp, only]);
  });

  test('knows nothing of a VIP without TCP ports, and adds to it what it brings', () => {
    const udp: Port = { sport: 53, dport: 53, synproxy: 0, persistence_timeout: 0, protocol: 'UDP' };
    const hidden = { ...fullIpvsCluster(), vip2ws: [{ ...vip, ports: [udp] }] };
    const mirror = mirrored(hidden);
    expect(mirror.vip2ws).toEqual([]);
    expect(merged(hidden, mirror)).toBe(hidden);
    const [tcp] = vip.ports as [Port];
    const brought: Vip = { vip: vip.vip, wstype: 'new', wss: ['ws1.room1'], ports: [tcp] };
    expect(merged(hidden, { ...mirror, vip2ws: [brought] }).vip2ws).toEqual([
      {
        ...vip,
        wstype: 'new',
        wss: ['ws1.room1'],
        wsattrs: { 'ws1.room1': vip.wsattrs?.['ws1.room1'] },
        ports: [udp, tcp],
      },
    ]);
  });

  test('changes, adds and removes fields of an LB, and keeps its own', () => {
    const { vip2ws, lbinfos } = merged(
      base,
      foreignLb((l) => ({ ...l, routerid: '1.2.3.4' })),
    );
    expect(lbinfos).toEqual([{ ...lb, routerid: '1.2.3.4' }, base.lbinfos[1]]);
    expect(lbinfos[1]).toBe(base.lbinfos[1]);
    expect(vip2ws).toBe(base.vip2ws);
    const { extraip: _ip, extragateway: _gateway, ...rest } = lb;
    expect(
      merged(
        base,
        foreignLb(({ extraip: _i, extragateway: _g, ...l }) => l),
      ).lbinfos[0],
    ).toEqual(rest);
    const bare = { ...base, lbinfos: [rest] };
    const full = { ...mirrored(bare), lbinfos: [mirrored(base).lbinfos[0] as Lb] };
    expect(merged(bare, full).lbinfos).toEqual([lb]);
  });

  test('adds VIPs and LBs at the end, and removes others', () => {
    const mirror = mirrored(base);
    const newVip: Vip = { vip: '60.28.208.9', wstype: 'a', wss: [], ports: [vip.ports[1] as Port] };
    const newLb: Lb = { ...(mirror.lbinfos[0] as Lb), hostname: 'lb9' };
    const next = merged(base, {
      ...mirror,
      vip2ws: [newVip, ...mirror.vip2ws],
      lbinfos: [newLb, mirror.lbinfos[0] as Lb],
    });
    expect(next.vip2ws).toEqual([vip, newVip]);
    expect(next.lbinfos).toEqual([lb, newLb]);
    expect(merged(base, { ...mirror, vip2ws: [], lbinfos: [] })).toEqual({ ...base, vip2ws: [], lbinfos: [] });
  });
});

describe('what both sides changed', () => {
  const mirror = mirrored(base);
  const withVip = (parts: Partial<Vip>): Cluster => ({ ...base, vip2ws: [{ ...vip, ...parts }] });

  test('crosses, and is told with all three', () => {
    const foreign = foreignVip((v) => ({ ...v, wstype: 'search' }));
    const present = withVip({ wstype: 'mail' });
    expect(crossed(base, foreign, present)).toEqual([
      {
        path: 'vip2ws["60.28.208.1"]',
        what: 'vip',
        key: '60.28.208.1',
        base: vip,
        foreign: foreign.vip2ws[0],
        present: present.vip2ws[0],
      },
    ]);
    const moved = foreignLb((l) => ({ ...l, routerid: '1.2.3.4' }));
    const drained = { ...base, lbinfos: base.lbinfos.map((l) => ({ ...l, state: 'up' as const })) };
    expect(crossed(base, moved, drained)).toEqual([
      {
        path: 'lbinfos["lb1.room1"]',
        what: 'lb',
        key: 'lb1.room1',
        base: lb,
        foreign: moved.lbinfos[0],
        present: drained.lbinfos[0],
      },
    ]);
    expect(crossed(base, { ...mirror, device: 'em7' }, { ...base, device: 'em8' })).toEqual([
      { path: 'device', what: 'head', key: 'device', base: 'em1', foreign: 'em7', present: 'em8' },
    ]);
    expect(
      crossed(base, { ...mirror, vipnets: ['10.0.0.0/8'] }, { ...base, vipnets: base.vipnets.slice(1) }),
    ).toMatchObject([{ path: 'vipnets', what: 'head', foreign: ['10.0.0.0/8'] }]);
  });

  test('crosses where one side removed it, or both added it', () => {
    const gone = { ...mirror, vip2ws: [] };
    const other = withVip({ quorum: 3 });
    expect(crossed(base, gone, other)).toMatchObject([{ key: vip.vip, foreign: undefined, present: other.vip2ws[0] }]);
    const changed = foreignVip((v) => ({ ...v, wstype: 'search' }));
    expect(crossed(base, changed, { ...base, vip2ws: [] })).toMatchObject([{ key: vip.vip, present: undefined }]);
    const empty = { ...base, vip2ws: [] };
    expect(crossed(empty, changed, base)).toMatchObject([{ key: vip.vip, base: undefined }]);
  });

  test('crosses in all its places at once, and nothing is changed', () => {
    const foreign = { ...foreignVip((v) => ({ ...v, wstype: 'search' })), type: 'internal' as const, device: 'em7' };
    expect(crossed(base, foreign, { ...withVip({ owner: 'b' }), device: 'em8' }).map((c) => c.path)).toEqual([
      'device',
      'vip2ws["60.28.208.1"]',
    ]);
  });

  test('alike is no crossing, and Weir’s own changes beside it stay', () => {
    const foreign = { ...foreignVip((v) => ({ ...v, wstype: 'search' })), device: 'em7', lbinfos: [] };
    const present = { ...withVip({ wstype: 'search', owner: 'b' }), device: 'em7', lbinfos: [] };
    expect(merged(base, foreign, present)).toBe(present);
    expect(merged(base, { ...mirror, vip2ws: [] }, { ...base, vip2ws: [] }).vip2ws).toEqual([]);
    expect(merged({ ...base, vip2ws: [] }, mirror, base)).toBe(base);
  });

  test('in Weir’s own fields of the head does not cross what others change there', () => {
    const { ospf: _ospf, ...present } = { ...base, announce: 'any' as const };
    expect(merged(base, { ...mirror, device: 'em7' }, present)).toEqual({ ...present, device: 'em7' });
  });
});

describe('properties', () => {
  const any = fc.oneof(clusterArbitrary, ipvsClusterArbitrary);

  /** As the original sees a document, order aside. */
  function seen(cluster: Cluster): object {
    const { vip2ws, lbinfos, vipnets, ...head } = originalCluster(cluster);
    return {
      ...head,
      vipnets: vipnets.toSorted(),
      lbinfos: Object.fromEntries(lbinfos.map((l) => [l.hostname, l])),
      vip2ws: Object.fromEntries(
        vip2ws.map((v) => [
          v.vip,
          { ...v, wss: v.wss.toSorted(), ports: v.ports.toSorted((a, b) => a.sport - b.sport) },
        ]),
      ),
    };
  }

  test('a write of what was there changes nothing', () => {
    fc.assert(
      fc.property(any, any, (from, present) => {
        expect(merged(from, mirrored(from), present)).toBe(present);
      }),
    );
  });

  test('a write of what Weir made of it meanwhile changes nothing', () => {
    fc.assert(
      fc.property(any, any, (from, present) => {
        expect(merged(from, mirrored(present), present)).toBe(present);
      }),
    );
  });

  test('where Weir changed nothing, the outcome is for the original what was written', () => {
    fc.assert(
      fc.property(any, any, (present, other) => {
        const before = structuredClone(present);
        const next = merged(present, mirrored(other));
        expect(seen(next)).toEqual(seen(other));
        expect(seen(next)).toEqual(seen(mirrored(next)));
        expect(present).toEqual(before);
      }),
    );
  });

  test('Weir’s own fields stay with what stays', () => {
    fc.assert(
      fc.property(any, any, (present, other) => {
        const next = merged(present, mirrored(other));
        expect(ownOfHead(next)).toEqual(ownOfHead(present));
        for (const [before, after] of pairs(present.lbinfos, next.lbinfos, (l) => l.hostname)) {
          expect(ownOfLb(after)).toEqual(ownOfLb(before));
        }
        for (const [before, after] of pairs(present.vip2ws, next.vip2ws, (v) => v.vip)) expectOwnKept(before, after);
        expect(errorsOf(checkCluster(next)).filter((p) => p.code === 'unknown_ws')).toEqual([]);
      }),
    );
  });

  test('edits of different parts come together, in whichever side they were made', () => {
    fc.assert(
      fc.property(fc.tuple(any, any, any), fc.func(fc.boolean()), ([from, ours, theirs], isOurs) => {
        const present = mixed(from, ours, (key) => isOurs(key));
        const foreign = mirrored(mixed(from, theirs, (key) => !isOurs(key)));
        const next = merged(from, foreign, present);
        expect(seen(next)).toEqual(seen(mixed(present, theirs, (key) => !isOurs(key))));
        for (const part of [...present.vip2ws, ...present.lbinfos]) {
          const key = 'vip' in part ? part.vip : part.hostname;
          if (isOurs(key)) expect([...next.vip2ws, ...next.lbinfos]).toContain(part);
        }
      }),
    );
  });

  test('there is a crossing for exactly what both sides changed, and not alike', () => {
    fc.assert(
      fc.property(any, any, any, (from, theirs, present) => {
        const foreign = mirrored(theirs);
        const [a, b, c] = [from, foreign, present].map((cluster) => new Map(Object.entries(partsOf(cluster))));
        const [seenA, seenB, seenC] = [from, foreign, present].map(
          (cluster) => new Map(Object.entries(partsOf(seen(cluster) as never))),
        );
        const expected = [...new Set([...(a?.keys() ?? []), ...(b?.keys() ?? [])])].filter((key) => {
          const changedHere = !sameValue(a?.get(key), c?.get(key));
          return (
            changedHere && !sameValue(seenA?.get(key), seenB?.get(key)) && !sameValue(seenC?.get(key), seenB?.get(key))
          );
        });
        expect(
          crossed(from, foreign, present)
            .map((x) => x.key)
            .sort(),
        ).toEqual(expected.sort());
      }),
    );
  });

  /** Head fields, LBs and VIPs by their names. */
  function partsOf({ type, device, vipnets, lbinfos, vip2ws }: Cluster): Record<string, unknown> {
    return {
      type,
      device,
      vipnets: vipnets.toSorted(),
      ...Object.fromEntries(Object.values(lbinfos).map((l) => [l.hostname, l])),
      ...Object.fromEntries(Object.values(vip2ws).map((v) => [v.vip, v])),
    };
  }

  /** `from` with those parts of `other` that are picked by name. */
  function mixed(from: Cluster, other: Cluster, pick: (key: string) => boolean): Cluster {
    const list = <T>(before: T[], after: T[], key: (item: T) => string) => [
      ...before.filter((item) => !pick(key(item))),
      ...after.filter((item) => pick(key(item))),
    ];
    return {
      ...from,
      type: pick('type') ? other.type : from.type,
      device: pick('device') ? other.device : from.device,
      vipnets: pick('vipnets') ? other.vipnets : from.vipnets,
      lbinfos: list(from.lbinfos, other.lbinfos, (l) => l.hostname),
      vip2ws: list(from.vip2ws, other.vip2ws, (v) => v.vip),
    };
  }

  function pairs<T>(before: T[], after: T[], key: (item: T) => string): [T, T][] {
    const old = new Map(before.map((item) => [key(item), item]));
    return after.flatMap((item): [T, T][] => {
      const match = old.get(key(item));
      return match ? [[match, item]] : [];
    });
  }

  function ownOfHead(cluster: Cluster): object {
    return { ...headOf(cluster), type: '', device: '', vipnets: [] };
  }

  function ownOfLb({ hostname, device, innerdevice, uplinks, lips, lipcount, state, ssh }: Lb): object {
    return { hostname, device, innerdevice, uplinks, lips, lipcount, state, ssh };
  }

  function expectOwnKept(before: Vip, after: Vip): void {
    const { domains, owner, quorum, announce } = before;
    expect(after).toMatchObject(
      Object.fromEntries(Object.entries({ domains, owner, quorum, announce }).filter(([, v]) => v !== undefined)),
    );
    const attrs = Object.entries(before.wsattrs ?? {}).filter(([ws]) => after.wss.includes(ws));
    expect(Object.entries(after.wsattrs ?? {})).toEqual(attrs);
    for (const port of before.ports) {
      const now = after.ports.find((p) => p.sport === port.sport && p.protocol === port.protocol);
      if (port.protocol === 'UDP') expect(now).toEqual(port);
      else if (now) expect([now.check, now.scheduler]).toEqual([port.check, port.scheduler]);
    }
  }
});
