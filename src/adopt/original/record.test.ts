import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { checkCluster } from '../../domain/edge/check.ts';
import type { Cluster, Vip } from '../../domain/edge/model.ts';
import { defaultPorts, readClusters } from '../../domain/edge/read.ts';
import { errorsOf } from '../../domain/problem.ts';
import type { Parsed } from '../../domain/schema.ts';
import { clusterArbitrary, fullCluster, fullIpvsCluster, ipvsClusterArbitrary } from '../../domain/testing/clusters.ts';
import { seedText } from '../../domain/testing/seed.ts';
import { originalCluster, readRecord, recordFields, recordOf } from './record.ts';
import type { OriginalRecord } from './record.ts';
import { pythons, readByPython } from './testing/literals.ts';

/** The seed's cluster as the original stores it; printed by Python 2.7. */
const seedRecord: OriginalRecord = {
  type: 'extra',
  device: 'em1',
  lbinfos:
    "[{u'routerid': u'60.29.246.186', u'internalnetmask': u'255.255.255.224', u'hostname': u'sa-extlbtest0-bgp0.hy01', u'internalgateway': u'10.0.19.225', u'internalip': u'10.0.19.226', u'extragateway': u'60.29.246.185', u'ospfnet': u'60.29.246.184/30', u'extraip': u'60.29.246.186', u'extranetmask': u'255.255.255.252'}]",
  vip2ws:
    "[{u'wstype': u'apps', u'vip': u'60.28.208.1', u'wss': [u'apps-extngtest0-bgp0.hy01'], u'ports': [{u'dport': 80, u'synproxy': 1, u'sport': 80, u'persistence_timeout': 50}, {u'dport': 443, u'synproxy': 1, u'sport': 443, u'persistence_timeout': 50}]}, {u'wstype': u'search', u'vip': u'60.28.208.2', u'wss': [u'search-extngtest0-bgp0.hy01'], u'ports': [{u'dport': 80, u'synproxy': 1, u'sport': 80, u'persistence_timeout': 50}, {u'dport': 443, u'synproxy': 1, u'sport': 443, u'persistence_timeout': 50}]}]",
  vipnets: "[u'60.28.208.0/25', u'123.150.178.128/25', u'125.39.93.48/28', u'125.39.216.0/25']",
};
const seedName = 'hy-outer-global-proxy-test';

function valueOf<T>(parsed: Parsed<T>): T {
  if (parsed.ok) return parsed.value;
  throw new Error(parsed.problems.map((p) => `${p.path} ${p.code} ${p.message}`).join('\n'));
}

/** The seed's record with other texts in it, read. */
function read(parts: Readonly<Record<string, string>>): Parsed<Cluster> {
  return readRecord(seedName, { ...seedRecord, ...parts });
}

function found(parsed: Parsed<unknown>): string[] {
  return parsed.ok ? [] : parsed.problems.map((p) => `${p.path} ${p.code}`);
}

/** One VIP with `{...}` of fields, as text. */
function vipText(fields: string): string {
  return `[{'vip': '60.28.208.1', 'wstype': 'apps', ${fields}}]`;
}

const lbText = (fields: string) =>
  `[{'hostname': 'lb1', 'routerid': '10.0.0.2', 'internalip': '10.0.0.2', 'internalnetmask': '255.255.255.0', 'internalgateway': '10.0.0.1', 'ospfnet': '10.0.0.0/24', ${fields}}]`;

describe('a record', () => {
  test("of the seed's cluster is its document", () => {
    const [seed] = valueOf(readClusters(seedText));
    expect(readRecord(seedName, seedRecord)).toEqual({ ok: true, value: seed });
  });

  test('that leaves out what has defaults in the original gets them', () => {
    const [bare, port] = valueOf(
      read({
        vip2ws: `${vipText("'wss': []").slice(0, -1)}, {'vip': '60.28.208.2', 'wstype': 'b', 'ports': [{'sport': 81, 'dport': 82}]}]`,
      }),
    ).vip2ws;
    expect(bare?.ports).toEqual(defaultPorts);
    expect(port).toMatchObject({
      wss: [],
      ports: [{ sport: 81, dport: 82, synproxy: 1, persistence_timeout: 50 }],
    });
  });

  test('may have None for what is absent', () => {
    const { vip2ws, lbinfos } = valueOf(
      read({
        type: 'internal',
        lbinfos: lbText("'extraip': None, 'extranetmask': None, 'extragateway': None"),
        vip2ws: `(${vipText("'wss': None, 'ports': None").slice(1, -1)}, {'vip': '60.28.208.2', 'wstype': 'b', 'ports': [{'sport': 81, 'dport': 82, 'synproxy': None, 'persistence_timeout': None}]})`,
      }),
    );
    expect(Object.keys(lbinfos[0] ?? {})).not.toContain('extraip');
    expect(vip2ws.map((vip) => vip.wss)).toEqual([[], []]);
    expect(vip2ws.flatMap((vip) => vip.ports)).toEqual([
      ...defaultPorts,
      { sport: 81, dport: 82, synproxy: 1, persistence_timeout: 50 },
    ]);
  });

  test('may have numbers as text, long integers and truth as a number', () => {
    const { vip2ws } = valueOf(
      read({
        vip2ws: vipText(
          "'ports': [{'sport': '80', 'dport': u'8080', 'synproxy': '0', 'persistence_timeout': '0'}, {'sport': 443L, 'dport': 443L, 'synproxy': True, 'persistence_timeout': 50L}]",
        ),
      }),
    );
    expect(vip2ws[0]?.ports).toEqual([
      { sport: 80, dport: 8080, synproxy: 0, persistence_timeout: 0 },
      { sport: 443, dport: 443, synproxy: 1, persistence_timeout: 50 },
    ]);
  });

  test('of an internal cluster may have empty text for the external side', () => {
    const lbinfos = lbText("'extraip': '', 'extranetmask': '', 'extragateway': ''");
    const internal = valueOf(read({ type: 'internal', lbinfos }));
    expect(Object.keys(internal.lbinfos[0] ?? {})).toHaveLength(6);
    expect(found(read({ type: 'extra', lbinfos }))).toEqual([
      'lbinfos[0].extraip bad_address',
      'lbinfos[0].extranetmask bad_mask',
      'lbinfos[0].extragateway bad_address',
    ]);
  });

  const ports = (text: string) => ({ vip2ws: vipText(`'ports': [${text}]`) });
  const wrong: [what: string, parts: Readonly<Record<string, string>>, problems: string[]][] = [
    ['text that is no literal', { vip2ws: '[1', lbinfos: 'x' }, ['lbinfos bad_literal', 'vip2ws bad_literal']],
    ['no text', { vipnets: '' }, ['vipnets bad_literal']],
    ['another field', { vip2wss: '[]', name: 'x' }, ['vip2wss unknown_field', 'name unknown_field']],
    ['something else than lists', { lbinfos: '{}', vip2ws: 'None' }, ['lbinfos wrong_type', 'vip2ws wrong_type']],
    ['no nets', { vipnets: '[]' }, ['vipnets invalid_value']],
    ['a net that is none', { vipnets: "['10.0.0.0/24', '10.0.0.1/24']" }, ['vipnets[1] bad_net']],
    ['a type that is none', { type: 'outer' }, ['type not_allowed']],
    ['a device that is none', { device: 'a b' }, ['device bad_interface']],
    ['VIPs that are none', { vip2ws: "[1, 'a', None, []]" }, [0, 1, 2, 3].map((i) => `vip2ws[${i}] wrong_type`)],
    ['a field of Weir in a VIP', { vip2ws: vipText("'owner': 'a'") }, ['vip2ws[0].owner unknown_field']],
    ['None in an unknown field', { vip2ws: vipText("'x y': None") }, ['vip2ws[0]["x y"] unknown_field']],
    ['a prototype', { vip2ws: vipText("'__proto__': {'ports': []}") }, ['vip2ws[0].__proto__ unknown_field']],
    ['a field of Weir in an LB', { lbinfos: lbText("'lips': ['10.0.0.9']") }, ['lbinfos[0].lips unknown_field']],
    ['a WS with attributes', { vip2ws: vipText("'wss': ['a', {'ws': 'b'}]") }, ['vip2ws[0].wss[1] wrong_type']],
    ['a WS that is None', { vip2ws: vipText("'wss': [None]") }, ['vip2ws[0].wss[0] wrong_type']],
    ['no ports in a list of them', ports(''), ['vip2ws[0].ports invalid_value']],
    [
      'a field of Weir in a port',
      ports("{'sport': 1, 'dport': 2, 'check': 'tcp'}"),
      ['vip2ws[0].ports[0].check unknown_field'],
    ],
    [
      'a port without numbers',
      ports("{'sport': None}"),
      ['vip2ws[0].ports[0].dport missing', 'vip2ws[0].ports[0].sport wrong_type'],
    ],
    ['a number too large', ports("{'sport': 80, 'dport': '65536'}"), ['vip2ws[0].ports[0].dport out_of_range']],
    [
      'text that is no number',
      ports("{'sport': '080', 'dport': ' 80'}"),
      ['vip2ws[0].ports[0].dport wrong_type', 'vip2ws[0].ports[0].sport wrong_type'],
    ],
    ['True for a port', ports("{'sport': 80, 'dport': True}"), ['vip2ws[0].ports[0].dport wrong_type']],
    ['synproxy 2', ports("{'sport': 80, 'dport': 80, 'synproxy': 2}"), ['vip2ws[0].ports[0].synproxy not_allowed']],
    [
      'a port twice',
      ports("{'sport': 80, 'dport': 80}, {'sport': '80', 'dport': 81}"),
      ['vip2ws[0].ports[1].sport duplicate_port'],
    ],
    ['a VIP twice', { vip2ws: `${vipText('').slice(0, -1)},${vipText('').slice(1)}` }, ['vip2ws[1].vip duplicate_vip']],
    [
      'an LB twice',
      { lbinfos: `${lbText('').slice(0, -1)},${lbText('').slice(1)}` },
      ['lbinfos[1].hostname duplicate_lb'],
    ],
  ];

  test.each(wrong)('with %s is refused, and told where', (_what, parts, problems) => {
    expect(found(read(parts)).sort()).toEqual(problems.toSorted());
  });

  test.each(recordFields)('without %s is refused', (field) => {
    const { [field]: _left, ...rest } = seedRecord;
    expect(found(readRecord(seedName, rest))).toEqual([`${field} missing`]);
  });

  test('is refused with all that is wrong in it at once', () => {
    const all = read({ ...ports("{'sport': 0, 'dport': 80, 'sprt': 1}"), type: 'x', vipnets: "[u'a'", more: '' });
    expect(found(all)).toEqual([
      'more unknown_field',
      'vip2ws[0].ports[0].sprt unknown_field',
      'vipnets bad_literal',
      'type not_allowed',
      'vip2ws[0].ports[0].sport out_of_range',
    ]);
    expect(all.ok ? [] : all.problems.slice(1, 3)).toMatchObject([
      { hint: 'did you mean sport?' },
      { message: 'vipnets cannot be read, at character 5: , or ] should stand here, not the end of the text' },
    ]);
  });

  test('with a bad name is refused', () => {
    expect(found(readRecord('a b', seedRecord))).toEqual(['name bad_name']);
  });
});

describe('the mirror of a document', () => {
  test('has the documented fields and nothing else, and TCP ports only', () => {
    const udp: Vip = { vip: '60.28.208.9', wstype: 'dns', wss: ['ws1.room1'], ports: [] };
    udp.ports.push({ sport: 53, dport: 53, synproxy: 0, persistence_timeout: 0, protocol: 'UDP' });
    const full = fullIpvsCluster();
    const mirror = recordOf({ ...full, vip2ws: [udp, ...full.vip2ws.slice(0, 1)] });
    expect(Object.keys(mirror).sort()).toEqual([...recordFields].sort());
    expect(mirror).toMatchObject({ type: 'extra', device: 'em1', vipnets: '["60.28.208.0/25","123.150.178.128/25"]' });
    expect(JSON.parse(mirror.vip2ws)).toEqual([
      {
        wstype: 'apps',
        vip: '60.28.208.1',
        wss: ['ws1.room1', 'ws2.room1', 'ws3.room1'],
        ports: [
          { dport: 8080, synproxy: 1, sport: 80, persistence_timeout: 50 },
          { dport: 443, synproxy: 0, sport: 443, persistence_timeout: 0 },
          { dport: 80, synproxy: 1, sport: 8081, persistence_timeout: 50 },
        ],
      },
    ]);
    expect((JSON.parse(mirror.lbinfos) as object[])[0]).toEqual({
      internalgateway: '10.0.19.225',
      routerid: '60.29.246.186',
      internalip: '10.0.19.226',
      internalnetmask: '255.255.255.224',
      extragateway: '60.29.246.185',
      ospfnet: '60.29.246.184/30',
      hostname: 'lb1.room1',
      extraip: '60.29.246.186',
      extranetmask: '255.255.255.252',
    });
  });

  test('leaves out the external side of LBs that have none', () => {
    const internal = valueOf(read({ type: 'internal', lbinfos: lbText('') }));
    expect(recordOf(internal).lbinfos).not.toContain('extra');
    expect(Object.keys(originalCluster(internal).lbinfos[0] ?? {})).toHaveLength(6);
    expect(valueOf(readRecord(seedName, { ...recordOf(internal) }))).toEqual(internal);
  });

  test("of the seed's cluster reads as the seed's cluster", () => {
    const [seed] = valueOf(readClusters(seedText));
    expect(seed && readRecord(seedName, { ...recordOf(seed) })).toEqual({ ok: true, value: seed });
    expect(seed && originalCluster(seed)).toEqual(seed);
  });

  const anyCluster = fc.oneof(clusterArbitrary, ipvsClusterArbitrary);

  test('reads as what the API of the original answers, and has no errors where the document has none', () => {
    fc.assert(
      fc.property(anyCluster, (cluster) => {
        const before = structuredClone(cluster);
        const mirror = recordOf(cluster);
        const back = valueOf(readRecord(cluster.name, { ...mirror }));
        expect(back).toEqual(originalCluster(cluster));
        expect(recordOf(back)).toEqual(mirror);
        // UDP is left out: without it, fullnat would do.
        expect(errorsOf(checkCluster(back)).filter((p) => p.code !== 'fullnat_persistence')).toEqual([]);
        expect(cluster).toEqual(before);
      }),
    );
  });

  describe.each(pythons)('in the real $title', (python) => {
    test.skipIf(!python.there)('is a literal of the same value as in JSON, without escapes', () => {
      const clusters = [fullCluster(), fullIpvsCluster(), ...fc.sample(anyCluster, 100)];
      const texts = clusters.map(recordOf).flatMap(({ lbinfos, vip2ws, vipnets }) => [lbinfos, vip2ws, vipnets]);
      expect(texts.filter((text) => /\\|true|false|null/.test(text))).toEqual([]);
      expect(readByPython(python, texts).map((read) => read?.value)).toEqual(texts.map((text) => JSON.parse(text)));
    });
  });

  test('of a document in which one VIP of a thousand changed makes the text of that one', () => {
    const vips = Array.from({ length: 1000 }, (_, i): Vip => {
      return { vip: `60.28.${i >> 8}.${i & 255}`, wstype: 'apps', wss: ['ws1'], ports: [...defaultPorts] };
    });
    const before: Cluster = { ...fullCluster(), vip2ws: vips };
    recordOf(before);
    const after: Cluster = { ...before, vip2ws: vips.with(500, { ...(vips[500] as Vip), wstype: 'search' }) };
    const made = vi.spyOn(JSON, 'stringify');
    const mirror = recordOf(after);
    const calls = made.mock.calls.length;
    made.mockRestore();
    expect(calls).toBe(2);
    expect(mirror).toEqual(recordOf(structuredClone(after)));
  });
});
