import { describe, expect, test } from 'vitest';
import { fullCluster } from '../testing/clusters.ts';
import { announcesOtherwise, changeProblems, mixedStyles, styleInService } from './check-change.ts';
import type { Cluster, Lb } from './model.ts';

const [lb1, lb2] = fullCluster().lbinfos as [Lb, Lb];

function clusterOf(parts: Partial<Cluster> = {}): Cluster {
  const lbinfos: Lb[] = [{ ...lb1, state: 'up' }, lb2];
  return { ...fullCluster(), ospf: {}, lbinfos, ...parts };
}

function found(before: Cluster, after: Cluster): string[] {
  return changeProblems(before, after).map((p) => `${p.severity} ${p.path} ${p.code}`);
}

describe('how VIPs are announced', () => {
  const mixed = ['error ospf.announce ospf_style_mixed'];
  const redistribute = { ospf: { announce: 'redistribute' as const } };

  const all = new Set([lb1.hostname, lb2.hostname]);
  const style = (before: Cluster, after: Cluster, inService: ReadonlySet<string> = all) =>
    styleInService(before, after, inService).map((p) => `${p.severity} ${p.path} ${p.code}`);

  test('does not change while more than one LB is in service', () => {
    expect(style(clusterOf(), clusterOf(redistribute))).toEqual(mixed);
    expect(style(clusterOf(redistribute), clusterOf())).toEqual(mixed);
    // By what follows from other fields.
    expect(style(clusterOf(), clusterOf({ routing: 'frr' }))).toEqual(mixed);
    const { routing: _routing, ...byDefault } = clusterOf();
    expect(style(byDefault, { ...byDefault, dataplane: 'ipvs' })).toEqual(mixed);
    expect(styleInService(clusterOf(), clusterOf(redistribute), all)[0]?.message).toMatch(
      /^2 LBs of cluster full-cluster are in service: .* by network and some by redistribute/,
    );
  });

  test('changes where no other LB activated anything', () => {
    expect(style(clusterOf(), clusterOf(redistribute), new Set())).toEqual([]);
    expect(style(clusterOf(), clusterOf(redistribute), new Set([lb2.hostname, 'other']))).toEqual([]);
  });

  test('changes where all LBs but one are drained, or there are no more', () => {
    for (const lbinfos of [
      [{ ...lb1, state: 'drain' as const }, lb2],
      [
        { ...lb1, state: 'drain' as const },
        { ...lb2, state: 'drain' as const },
      ],
      [lb2],
      [],
    ]) {
      expect(style(clusterOf({ lbinfos }), clusterOf({ lbinfos, ...redistribute }))).toEqual([]);
    }
  });

  test('does not change along with the drain, the removal or the return of the other LB', () => {
    const one: Lb[] = [{ ...lb1, state: 'drain' }, lb2];
    expect(style(clusterOf(), clusterOf({ lbinfos: one, ...redistribute }))).toEqual(mixed);
    expect(style(clusterOf({ lbinfos: one }), clusterOf(redistribute))).toEqual(mixed);
    expect(style(clusterOf(), clusterOf({ lbinfos: [lb2], ...redistribute }))).toEqual(mixed);
    expect(style(clusterOf({ lbinfos: [lb2] }), clusterOf(redistribute))).toEqual(mixed);
  });

  test('is no matter of any other change', () => {
    expect(style(clusterOf(), clusterOf())).toEqual([]);
    expect(style(clusterOf(), clusterOf({ ospf: { announce: 'network', cost: 20, area: '0.0.0.7' } }))).toEqual([]);
    expect(style(clusterOf(), clusterOf({ routing: 'frr', ospf: { announce: 'network' } }))).toEqual([]);
  });
});

describe('clusters of one area', () => {
  const other = (parts: Partial<Cluster>): Cluster => clusterOf({ name: 'other', ...parts });
  const by = { announce: 'redistribute' as const };
  const codes = (cluster: Cluster, ...others: Cluster[]) => mixedStyles(cluster, others).map((p) => p.code);

  test('announce nets that overlap in one way', () => {
    const problems = mixedStyles(clusterOf(), [other({ ospf: by })]);
    expect(problems).toMatchObject([{ path: 'ospf.announce', code: 'ospf_style_mixed', severity: 'error' }]);
    expect(problems[0]?.message).toMatch(/by redistribute in area 0\.0\.0\.0 by cluster other, and here by network/);
    expect(codes(clusterOf({ ospf: by }), other({}))).toEqual(['ospf_style_mixed']);
    expect(codes(clusterOf(), other({ routing: 'frr' }))).toEqual(['ospf_style_mixed']);
    expect(codes(clusterOf(), other({}), clusterOf({ name: 'third', ospf: { announce: 'network' } }))).toEqual([]);
  });

  test.each([
    [['10.1.0.0/16'], ['10.1.255.0/24'], 1],
    [['10.1.255.0/24'], ['10.1.0.0/16'], 1],
    [['10.1.0.0/24'], ['10.1.0.255/32'], 1],
    [['10.1.0.0/24'], ['10.1.1.0/24'], 0],
    [['10.1.1.0/24'], ['10.1.0.0/24'], 0],
    [['10.1.0.0/24', '10.2.0.0/24'], ['10.3.0.0/24', '10.2.0.0/25'], 1],
  ])('%j and %j overlap %i times', (vipnets, theirs, count) => {
    expect(codes(clusterOf({ vipnets }), other({ vipnets: theirs, ospf: by }))).toHaveLength(count);
  });

  test('have nothing to do with another area, nor with what they were', () => {
    expect(codes(clusterOf(), other({ ospf: { ...by, area: '0.0.0.7' } }))).toEqual([]);
    expect(codes(clusterOf({ ospf: { area: '0.0.0.0' } }), other({ ospf: by }))).toHaveLength(1);
    expect(codes(clusterOf(), clusterOf({ ospf: by }))).toEqual([]);
  });

  test('have to be looked at where area, style or nets change', () => {
    const before = clusterOf();
    const changed = (parts: Partial<Cluster>) => announcesOtherwise(before, clusterOf(parts));
    expect(changed({ ospf: { cost: 9, area: '0.0.0.0', announce: 'network' }, lbinfos: [] })).toBe(false);
    expect(changed({ ospf: { area: '0.0.0.7' } })).toBe(true);
    expect(changed({ ospf: by })).toBe(true);
    expect(changed({ routing: 'frr' })).toBe(true);
    expect(changed({ vipnets: [...before.vipnets, '10.9.0.0/24'] })).toBe(true);
  });
});

describe('the key that is sent', () => {
  const replaced = ['warning ospf.key ospf_key_replaced'];
  const keyed = (ospf: Cluster['ospf'], parts: Partial<Cluster> = {}) => clusterOf({ ospf: ospf ?? {}, ...parts });
  const eight = { key: 'secret:a' };

  test('is kept while another takes its place, or its loss is warned of', () => {
    const next = (ospf: Cluster['ospf']) => found(keyed(eight), keyed(ospf));
    expect(next({ key: 'secret:b', keyid: 9, oldkey: 'secret:a', oldkeyid: 8 })).toEqual([]);
    expect(next({ key: 'secret:a', keyid: 8, cost: 3 })).toEqual([]);
    expect(next({ key: 'secret:b' })).toEqual(replaced);
    expect(next({ key: 'secret:b', keyid: 9 })).toEqual(replaced);
    expect(next({ key: 'secret:a', keyid: 9 })).toEqual(replaced);
    expect(next({ key: 'secret:b', keyid: 9, oldkey: 'secret:c', oldkeyid: 8 })).toEqual(replaced);
    expect(next({ key: 'secret:b', keyid: 9, oldkey: 'secret:a', oldkeyid: 7 })).toEqual(replaced);
    expect(next({})).toEqual(replaced);
    expect(changeProblems(keyed(eight), keyed({}))[0]?.message).toMatch(
      /^OSPF key 8 of cluster full-cluster is removed/,
    );
    expect(changeProblems(keyed(eight), keyed({ key: 'secret:b' }))[0]?.message).toContain('is replaced');
  });

  test('stays when the one before it goes', () => {
    const both = { key: 'secret:b', keyid: 9, oldkey: 'secret:a', oldkeyid: 8 };
    expect(found(keyed(both), keyed({ key: 'secret:b', keyid: 9 }))).toEqual([]);
    expect(found(keyed(both), keyed(eight))).toEqual(replaced);
  });

  test('is no matter without LBs, nor where there was none', () => {
    const none = { lbinfos: [] };
    expect(found(keyed(eight, none), keyed({ key: 'secret:b' }, none))).toEqual([]);
    expect(found(keyed(eight, none), keyed({ key: 'secret:b' }))).toEqual([]);
    expect(found(keyed({}), keyed(eight))).toEqual([]);
  });
});
