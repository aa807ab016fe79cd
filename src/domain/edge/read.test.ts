import JSON5 from 'json5';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseDocument, stringify } from 'yaml';
import type { Parsed } from '../schema.ts';
import { clusterArbitrary, fullCluster } from '../testing/clusters.ts';
import { seedText } from '../testing/seed.ts';
import { checkCluster } from './check.ts';
import { defaultPorts, parseCluster, parseMany, parsePort, parseVip, parseWs, readClusters, readText } from './read.ts';

/** What is found wrong, as `path code`. */
function found(parsed: Parsed<unknown>): string[] {
  return parsed.ok ? [] : parsed.problems.map((p) => `${p.path} ${p.code}`);
}

function valueOf<T>(parsed: Parsed<T>): T {
  if (parsed.ok) return parsed.value;
  throw new Error(parsed.problems.map((p) => `${p.path} ${p.code} ${p.message}`).join('\n'));
}

const vip = { vip: '60.28.208.9', wstype: 'apps', wss: ['ws1.room1'], ports: [...defaultPorts] };

describe("the seed's example", () => {
  const [seed] = valueOf(readClusters(seedText));

  test('is accepted as it stands, with tabs and unquoted keys', () => {
    expect(seedText).toContain('\t\twstype: "apps"');
    expect(seed).toMatchObject({
      name: 'hy-outer-global-proxy-test',
      type: 'extra',
      device: 'em1',
      vipnets: ['60.28.208.0/25', '123.150.178.128/25', '125.39.93.48/28', '125.39.216.0/25'],
      lbinfos: [{ hostname: 'sa-extlbtest0-bgp0.hy01', ospfnet: '60.29.246.184/30' }],
      vip2ws: [
        { vip: '60.28.208.1', wstype: 'apps', wss: ['apps-extngtest0-bgp0.hy01'], ports: defaultPorts },
        { vip: '60.28.208.2', wstype: 'search', wss: ['search-extngtest0-bgp0.hy01'], ports: defaultPorts },
      ],
    });
  });

  test('has nothing added and nothing left out', () => {
    expect(seed).toEqual(JSON5.parse(seedText));
  });

  test('has no errors', () => {
    expect(seed && checkCluster(seed).filter((p) => p.severity === 'error')).toEqual([]);
  });

  test('is the same as YAML, and as strict JSON', () => {
    expect(readClusters(stringify(seed))).toEqual({ ok: true, value: [seed] });
    expect(readClusters(JSON.stringify(seed))).toEqual({ ok: true, value: [seed] });
    expect(readClusters(`\uFEFF \n${seedText}`)).toEqual({ ok: true, value: [seed] });
  });
});

describe('text', () => {
  test('of any valid document reads as that document, as JSON, JSON5 and YAML', () => {
    fc.assert(
      fc.property(clusterArbitrary, (cluster) => {
        for (const text of [JSON.stringify(cluster), JSON5.stringify(cluster, null, '\t'), stringify(cluster)]) {
          expect(readClusters(text)).toEqual({ ok: true, value: [cluster] });
        }
      }),
      { numRuns: 50 },
    );
  });

  test('may hold a list of clusters, or several YAML documents', () => {
    const [a, b] = [fullCluster(), { ...fullCluster(), name: 'b' }];
    expect(valueOf(readClusters(JSON.stringify([a, b])))).toEqual([a, b]);
    expect(valueOf(readClusters(`${stringify(a)}---\n${stringify(b)}`))).toEqual([a, b]);
    expect(valueOf(readClusters(stringify([a, b])))).toEqual([a, b]);
  });

  test('with problems in several documents tells all of them, and which document', () => {
    const bad = { ...fullCluster(), device: 'a b', nmae: 1 };
    expect(found(readClusters(JSON.stringify([fullCluster(), bad, 5])))).toEqual([
      '[1].nmae unknown_field',
      '[1].device bad_interface',
      '[2] wrong_type',
    ]);
  });

  test.each([
    ['', 'no document'],
    ['# only a comment\n', 'no document'],
    ['[]', 'no document'],
    ['{', 'JSON5'],
    ['{name: "a",,}', 'JSON5'],
    ['a: b: c', 'cannot be read'],
    ['name: a\nname: b\n', 'unique'],
    ['name: "unfinished', 'cannot be read'],
    ['\tname: a', 'cannot be read'],
    ['name: *nowhere', 'cannot be read'],
    ['{name: 1} trailing', 'JSON5'],
  ])('%j cannot be read', (source, message) => {
    const read = readClusters(source);
    expect(found(read)).toEqual([' unreadable']);
    expect(!read.ok && read.problems[0]?.message).toContain(message);
    expect(!read.ok && read.problems[0]?.hint).not.toBe('');
  });

  test.each(['null', '5', 'just words', '- 5', '---\n...\n', '[null]'])('%j is no cluster', (source) => {
    expect(found(readClusters(source))).toEqual([' wrong_type']);
  });

  test('with YAML of types that JSON has not is refused', () => {
    for (const source of ['!!binary aGFsbG8=', '%YAML 1.1\n---\n2001-01-01\n', '%YAML 1.1\n---\n!!set {a, b}\n']) {
      expect(readClusters(source).ok).toBe(false);
    }
  });

  test('never makes reading throw, whatever it is', () => {
    const pieces = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ':',
      ' ',
      '\n',
      '- ',
      '&a',
      '*a',
      '"',
      "'",
      '!!',
      '|',
      '>',
      '#',
      'a',
      '---',
      ',',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.array(pieces).map((p) => p.join('')),
        ),
        (source) => {
          expect(readClusters(source).ok).toBe(false);
        },
      ),
    );
  });

  test('that is nested deeper than the stack is refused', () => {
    for (const depth of [1000, 100_000]) {
      const deep = '['.repeat(depth) + ']'.repeat(depth);
      expect(readClusters(deep).ok).toBe(false);
      expect(readClusters(`{name: ${deep}}`).ok).toBe(false);
      expect(readClusters(`{vip2ws: [{wss: ${deep}, wsattrs: ${deep}}]}`).ok).toBe(false);
      expect(readClusters(`name: ${deep}`).ok).toBe(false);
      expect(readClusters(`{lbinfos: ${'{a:'.repeat(depth)}1${'}'.repeat(depth)}}`).ok).toBe(false);
    }
  });

  test('of megabytes is read', () => {
    const ws = Array.from({ length: 2000 }, (_, i) => `ws-${i}.${'x'.repeat(60)}.${'y'.repeat(60)}.room1`);
    const many = Array.from({ length: 20 }, (_, i) => ({ ...vip, vip: `60.28.208.${i + 1}`, wss: ws }));
    const source = JSON.stringify({ ...fullCluster(), vip2ws: many });
    expect(source.length).toBeGreaterThan(5_000_000);
    expect(valueOf(readClusters(source))[0]?.vip2ws).toHaveLength(20);
  });

  test('of too many VIPs or WSs is refused', () => {
    const wss = Array.from({ length: 2001 }, (_, i) => `ws${i}`);
    expect(found(parseVip({ ...vip, wss }))).toEqual(['wss invalid_value']);
    const vip2ws = Array.from({ length: 20_001 }, () => vip);
    expect(found(parseCluster({ ...fullCluster(), vip2ws }))).toEqual(['vip2ws invalid_value']);
  });

  test('cannot grow without bounds by YAML aliases, nor hold itself', () => {
    const levels = Array.from('bcdefgh', (key) => key).map(
      (key, i) => `${key}: &${key} [${Array(9).fill(`*${'abcdefg'[i]}`).join(', ')}]`,
    );
    const bomb = `a: &a [x, x, x, x, x, x, x, x, x]\n${levels.join('\n')}\n`;
    expect(parseDocument(bomb).errors).toEqual([]);
    expect(found(readClusters(bomb))).toEqual([' unreadable']);
    for (const ring of ['name: &a [*a]', '&a\nvip2ws: [*a]', 'vip2ws: &a [{wss: *a, ports: *a}]', '&a {lbinfos: *a}']) {
      expect(readClusters(ring).ok).toBe(false);
    }
  });

  test('may use YAML anchors for what is equal', () => {
    const [cluster] = valueOf(
      readClusters(
        stringify(fullCluster()).replace(
          'vip2ws:\n',
          `vip2ws:\n  - {vip: 60.28.208.8, wstype: apps, wss: &w [a, b]}\n  - {vip: 60.28.208.9, wstype: apps, wss: *w}\n`,
        ),
      ),
    );
    expect(cluster?.vip2ws[1]?.wss).toEqual(['a', 'b']);
  });

  test('is not run, and cannot reach prototypes', () => {
    for (const source of [
      '{"__proto__": {"name": "x"}}',
      '__proto__:\n  name: x\n',
      '{name: "x", __proto__: {type: "extra"}}',
    ]) {
      expect(found(readClusters(source))).toContain('__proto__ unknown_field');
    }
    expect(({} as Record<string, unknown>)['name']).toBeUndefined();
    expect(readText('a: !!js/function "function () {}"')).toMatchObject({
      ok: true,
      values: [{ a: 'function () {}' }],
    });
  });
});

describe('short forms', () => {
  test('missing ports are 80 and 443, both with synproxy 1 and persistence 50, as in the original', () => {
    const { ports: _ports, ...short } = vip;
    expect(valueOf(parseVip(short)).ports).toEqual([
      { sport: 80, dport: 80, synproxy: 1, persistence_timeout: 50 },
      { sport: 443, dport: 443, synproxy: 1, persistence_timeout: 50 },
    ]);
    expect(found(parseVip({ ...vip, ports: [] }))).toEqual(['ports invalid_value']);
  });

  test('a port without synproxy and persistence_timeout gets 1 and 50, and keeps what it says', () => {
    expect(valueOf(parsePort({ sport: 1, dport: 2 }))).toEqual({
      sport: 1,
      dport: 2,
      synproxy: 1,
      persistence_timeout: 50,
    });
    const said = { sport: 1, dport: 2, synproxy: 0, persistence_timeout: 0 };
    expect(valueOf(parsePort(said))).toEqual(said);
  });

  test('check: tcp is check: {type: tcp}', () => {
    expect(valueOf(parsePort({ sport: 1, dport: 2, check: 'tcp' })).check).toEqual({ type: 'tcp' });
    expect(found(parsePort({ sport: 1, dport: 2, check: 'icmp' }))).toEqual(['check.type not_allowed']);
  });

  test('missing wss are none', () => {
    const { wss: _wss, ...short } = vip;
    expect(valueOf(parseVip(short)).wss).toEqual([]);
  });

  test('a WS with attributes is its name and an entry of wsattrs', () => {
    const wss = ['a', { ws: 'b', weight: 5, state: 'drain' }, { ws: 'c' }, { ws: 'constructor', address: '10.0.0.9' }];
    expect(valueOf(parseVip({ ...vip, wss }))).toEqual({
      ...vip,
      wss: ['a', 'b', 'c', 'constructor'],
      wsattrs: { b: { weight: 5, state: 'drain' }, constructor: { address: '10.0.0.9' } },
    });
  });

  test('attributes in both places are joined; none is lost', () => {
    const both = { ...vip, wss: [{ ws: 'a', weight: 5 }], wsattrs: { a: { address: '10.0.0.9' }, b: { weight: 1 } } };
    expect(valueOf(parseVip(both)).wsattrs).toEqual({ a: { weight: 5, address: '10.0.0.9' }, b: { weight: 1 } });
  });

  test('a WS that stands twice with attributes is read, and found by the check', () => {
    const twice = valueOf(
      parseVip({
        ...vip,
        wss: [
          { ws: 'a', weight: 5 },
          { ws: 'a', weight: 6 },
        ],
      }),
    );
    const problems = checkCluster({ ...fullCluster(), vip2ws: [twice] });
    expect(problems.map((p) => `${p.path} ${p.code}`)).toContain('vip2ws[0].wss[1] duplicate_ws');
  });

  test.each([
    [{ wss: [{ ws: 'a', wieght: 1 }] }, 'wsattrs.a.wieght unknown_field'],
    [{ wss: [{ ws: '__proto__', weight: 1 }] }, 'wsattrs.__proto__ bad_hostname'],
    [{ wss: [{ ws: 'a b', weight: 1 }] }, 'wsattrs["a b"] bad_hostname'],
    [{ wss: [{ weight: 1 }] }, 'wss[0] wrong_type'],
    [{ wss: [{ ws: 5 }] }, 'wss[0] wrong_type'],
    [{ wss: [['a']] }, 'wss[0] wrong_type'],
    [{ wss: 'a' }, 'wss wrong_type'],
    [{ wss: null }, 'wss wrong_type'],
    [{ wss: [{ ws: 'a', weight: 1 }], wsattrs: 'abc' }, 'wsattrs wrong_type'],
    [{ wss: [{ ws: 'a', weight: 1 }], wsattrs: ['abc'] }, 'wsattrs wrong_type'],
    [{ wss: [{ ws: 'a', weight: 1 }], wsattrs: { a: 'abc' } }, 'wsattrs.a wrong_type'],
    [{ wsattrs: { 'ws1.room1': 5 } }, 'wsattrs["ws1.room1"] wrong_type'],
    [{ wsattrs: null }, 'wsattrs wrong_type'],
    [{ ports: 80 }, 'ports wrong_type'],
    [{ ports: null }, 'ports wrong_type'],
    [{ ports: [80] }, 'ports[0] wrong_type'],
    [{ ports: [null] }, 'ports[0] wrong_type'],
  ])('%j in a VIP is answered with its problem', (part, problem) => {
    expect(found(parseVip({ ...vip, ...part }))).toContain(problem);
  });

  test('one or many of something are read, with the place of each problem', () => {
    expect(parseMany(parseWs, 'a', 'wss')).toEqual({ ok: true, value: [{ ws: 'a' }] });
    expect(parseMany(parseWs, ['a', { ws: 'b', weight: 1 }], 'wss')).toEqual({
      ok: true,
      value: [{ ws: 'a' }, { ws: 'b', weight: 1 }],
    });
    expect(found(parseMany(parseWs, ['a', 5, 'b c'], 'wss'))).toEqual(['wss[1] wrong_type', 'wss[2].ws bad_hostname']);
    expect(found(parseMany(parseWs, 5, 'wss'))).toEqual(['wss wrong_type']);
  });

  test('are not needed: a document in its full form stays as it is', () => {
    expect(valueOf(parseCluster(fullCluster()))).toEqual(fullCluster());
  });
});

test('YAML of more than a limit is refused before it is read, with what to send instead', () => {
  const read = readText(`a: ${'x'.repeat(1000)}`, 1000);
  expect(read.ok ? [] : read.problems.map((p) => [p.code, p.message])).toEqual([
    ['unreadable', expect.stringContaining('send JSON')],
  ]);
});
