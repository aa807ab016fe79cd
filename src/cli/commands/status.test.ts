import { stripVTControlCharacters } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { ClusterStatusView, Finding, LbStatusView } from '../../contract/status.ts';
import { printed } from '../print.ts';
import { statusOutput } from './status.ts';

const release = '50802343fe654d94dca48be34df97478';

function finding(code: string, object: string, hint = 'weir activate c --lb lb1'): Finding {
  return { code, layer: 'kernel', object, message: `the matter of ${object}`, hint };
}

function findings(...items: Finding[]): { total: number; items: Finding[] } {
  return { total: items.length, items };
}

function lb(parts: Partial<LbStatusView> = {}): LbStatusView {
  const deviations = parts.deviations ?? findings();
  return {
    lb: 'sa-extlbtest0-bgp0.hy01',
    state: (deviations?.total ?? 0) > 0 ? 'deviates' : 'ok',
    desired: { release, revision: 7, state: 'up' },
    published: {
      release,
      revision: 7,
      verified: true,
      dataplane: 'ipvs',
      routing: 'frr',
      services: 4,
      active: release,
      previous: null,
      activating: null,
      undone: null,
    },
    loaded: {
      keepalived: { state: 'release', release, loads: '4c033fbaf0', source: 'process', pid: 864 },
      routing: { state: 'published', differences: [] },
    },
    kernel: {
      against: release,
      services: { expected: 2000, present: 1999 },
      servers: { expected: 40_000, present: 40_000 },
      connections: { active: 1, inactive: 2 },
      vips: { expected: 1000, present: 998, high: 2 },
      lips: { expected: 8, present: 8 },
      ospf: { full: 2, neighbours: [] },
      boot: { id: 'x', uptime: 7 },
    },
    drained: null,
    notes: findings(),
    ...parts,
    deviations,
  };
}

function shown(...lbs: LbStatusView[]): { exit: number | undefined; lines: string[] } {
  const status: ClusterStatusView = { cluster: 'c', revision: 7, unrenderable: null, lbs };
  const output = statusOutput(status);
  return { exit: output.exit, lines: stripVTControlCharacters(printed(output, 'table')).trimEnd().split('\n') };
}

describe('weir status', () => {
  test('shows an LB in one line, with what is there of what should be', () => {
    const { exit, lines } = shown(lb());
    expect(exit).toBe(0);
    expect(lines.map((line) => line.split(/\s{2,}/))).toEqual([
      ['LB', 'PUBLISHED', 'LOADED', 'SERVICES', 'VIPS', 'OSPF', 'STATE'],
      ['sa-extlbtest0-bgp0.hy01', '50802343fe65', 'published', '1999/2000', '998/1000 +2 high', '2', 'ok'],
    ]);
  });

  test('shows deviations with what to do, once where several need the same', () => {
    const deviations = findings(
      finding('service_missing', 'a'),
      finding('service_missing', 'b'),
      finding('x', 'c', 'else'),
    );
    const { exit, lines } = shown(lb({ deviations }));
    expect(exit).toBe(3);
    expect(lines[1]).toMatch(/3 deviations$/);
    expect(lines.slice(2)).toEqual([
      '',
      'sa-extlbtest0-bgp0.hy01:',
      '  service_missing a: the matter of a',
      '  service_missing b: the matter of b',
      '    weir activate c --lb lb1',
      '  x c: the matter of c',
      '    else',
    ]);
  });

  test('exits with 1 where an LB cannot be read, and shows the others', () => {
    const { exit, lines } = shown(lb({ deviations: findings(finding('x', 'a')) }), {
      lb: 'lb2',
      state: 'unreachable',
      desired: null,
      error: 'Connection refused',
    });
    expect(exit).toBe(1);
    expect(lines[2]?.split(/\s{2,}/)).toEqual(['lb2', '?', '?', '?', '?', '?', 'unreachable']);
    expect(lines.at(-1)).toBe('  cannot be read: Connection refused');
  });

  test('says that an LB is drained, by whom and why, and exits with 0', () => {
    const drained = { origin: 'local', since: 1_700_000_000, reason: 'new disk' };
    const { exit, lines } = shown(lb({ drained, notes: findings(finding('drained', 'lb'), finding('ws_down', 'ws')) }));
    expect(exit).toBe(0);
    expect(lines[1]).toMatch(/drained, ok$/);
    expect(lines.slice(4)).toEqual([
      '  drained on the LB itself since 2023-11-14T22:13:20.000Z: new disk',
      '  ws_down ws: the matter of ws',
      '    weir activate c --lb lb1',
    ]);
  });

  test('names what is loaded where it is not what is published', () => {
    const keepalived = { state: 'release', release: 'f'.repeat(32), loads: 'a', source: 'process', pid: 1 };
    const routing = { state: 'active', differences: [] };
    expect(shown(lb({ loaded: { keepalived, routing } })).lines[1]?.split(/\s{2,}/)[2]).toBe('ffffffffffff');
    const foreign = { ...keepalived, state: 'foreign', release: null };
    expect(shown(lb({ loaded: { keepalived: foreign, routing } })).lines[1]?.split(/\s{2,}/)[2]).toBe('foreign');
  });

  test('cuts a long list, and says how long it is', () => {
    const items = Array.from({ length: 100 }, (_, i) => finding('service_missing', String(i)));
    const { lines } = shown(lb({ deviations: { total: 2000, items } }));
    expect(lines.at(-1)).toBe('  and 1980 more (-o json)');
    expect(lines.length).toBeLessThan(30);
  });

  test('fits 100 columns', () => {
    const drained = { origin: 'weir', since: 0, reason: '' };
    const { lines } = shown(lb({ drained, deviations: findings(finding('x', 'a'), finding('x', 'b')) }));
    expect(Math.max(...lines.slice(0, 2).map((line) => line.length))).toBeLessThanOrEqual(100);
  });

  test('exits with 3 where the document cannot be rendered', () => {
    const output = statusOutput({ cluster: 'c', revision: 7, unrenderable: 'ws1 has no address', lbs: [lb()] });
    expect(output.exit).toBe(3);
    expect(output.text).toContain('revision 7 cannot be rendered: ws1 has no address');
  });
});
