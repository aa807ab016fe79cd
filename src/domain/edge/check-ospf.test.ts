import { describe, expect, test } from 'vitest';
import { fullCluster } from '../testing/clusters.ts';
import { ospfProblems } from './check-ospf.ts';
import type { Cluster, Lb } from './model.ts';

const [drained, other] = fullCluster().lbinfos as [Lb, Lb];

/** With so many uplinks, one of which is lb2's. */
function withPaths(paths: number, maxpaths?: number): Cluster {
  const uplinks = Array.from({ length: paths - 2 }, (_, i) => ({ device: `ul${i}`, ospfnet: `60.29.${i}.0/30` }));
  const ospf = maxpaths === undefined ? {} : { maxpaths };
  return { ...fullCluster(), ospf, lbinfos: [{ ...drained, state: 'up', uplinks }, other] };
}

function codes(cluster: Cluster): string[] {
  return ospfProblems(cluster).map((p) => `${p.severity} ${p.path} ${p.code}`);
}

const tooMany = 'warning ospf.maxpaths too_many_paths';

describe('paths of equal cost', () => {
  test('are warned of once, from the first that routers would not use', () => {
    expect(codes(withPaths(8))).toEqual([]);
    expect(codes(withPaths(9))).toEqual([tooMany]);
    expect(codes(withPaths(30))).toEqual([tooMany]);
    expect(codes(withPaths(9, 9))).toEqual([]);
    expect(codes(withPaths(10, 9))).toEqual([tooMany]);
    expect(codes(withPaths(3, 2))).toEqual([tooMany]);
    const [problem] = ospfProblems(withPaths(9));
    expect(problem?.message).toContain('2 LBs have 9 uplinks together, and routers use 8 paths');
    expect(problem?.hint).toContain('default 8');
  });

  test('of LBs that are drained do not count', () => {
    const cluster = withPaths(9);
    const [first, second] = cluster.lbinfos as [Lb, Lb];
    expect(codes({ ...cluster, lbinfos: [{ ...first, state: 'drain' }, second] })).toEqual([]);
    expect(codes({ ...cluster, lbinfos: [first, { ...second, state: 'drain' }] })).toEqual([]);
  });
});

describe('a stub area', () => {
  const stub = { area: '0.0.0.7', stub: true };
  const of = (parts: Partial<Cluster>) => codes({ ...fullCluster(), ...parts });

  test('goes with network statements, chosen or by default', () => {
    expect(of({ ospf: stub })).toEqual([]);
    expect(of({ ospf: { ...stub, announce: 'network' }, routing: 'frr' })).toEqual([]);
  });

  test('carries nothing that is redistributed, chosen or by default', () => {
    const refused = ['error ospf.stub stub_needs_network'];
    expect(of({ ospf: { ...stub, announce: 'redistribute' } })).toEqual(refused);
    expect(of({ ospf: stub, routing: 'frr' })).toEqual(refused);
    const { routing: _routing, ...byDefault } = fullCluster();
    expect(codes({ ...byDefault, ospf: stub })).toEqual([]);
    expect(codes({ ...byDefault, ospf: stub, dataplane: 'ipvs' })).toEqual(refused);
    expect(of({ ospf: { ...stub, stub: false, announce: 'redistribute' } })).toEqual([]);
  });

  test('is never the backbone, which is the area where none is given', () => {
    const refused = ['error ospf.stub stub_backbone'];
    expect(of({ ospf: { stub: true } })).toEqual(refused);
    expect(of({ ospf: { stub: true, area: '0.0.0.0' } })).toEqual(refused);
    expect(of({ ospf: { stub: false } })).toEqual([]);
  });
});

describe('two keys', () => {
  const of = (ospf: Cluster['ospf']) => codes({ ...fullCluster(), ospf: ospf ?? {} });

  test('stand together with an ID each, whichever is the higher one, with a warning of what ospfd accepts', () => {
    const warned = ['warning ospf.oldkey oldkey_not_accepted'];
    expect(of({ key: 'New', keyid: 9, oldkey: 'Old', oldkeyid: 8 })).toEqual(warned);
    expect(of({ key: 'New', keyid: 7, oldkey: 'Old', oldkeyid: 8 })).toEqual(warned);
    expect(of({ key: 'New', oldkey: 'Old', oldkeyid: 9 })).toEqual(warned);
    const ospf = { key: 'New', keyid: 9, oldkey: 'Old', oldkeyid: 8 };
    const message = (routing: 'quagga' | 'frr') => ospfProblems({ ...fullCluster(), routing, ospf })[0]?.message;
    expect(message('quagga')).toMatch(/^Quagga accepts/);
    expect(message('frr')).toMatch(/^FRR up to 8\.4 accepts/);
    expect(of({ key: 'New', keyid: 9 })).toEqual([]);
  });

  test('have different IDs, also where one is the default', () => {
    expect(of({ key: 'New', oldkey: 'Old', oldkeyid: 8 })).toEqual(['error ospf.oldkeyid ospf_keyids']);
    expect(of({ key: 'New', keyid: 3, oldkey: 'Old', oldkeyid: 3 })).toEqual(['error ospf.oldkeyid ospf_keyids']);
  });

  test('are whole, or refused', () => {
    expect(of({ key: 'New', oldkey: 'Old' })).toEqual(['error ospf.oldkeyid oldkey_incomplete']);
    expect(of({ key: 'New', oldkeyid: 3 })).toEqual(['error ospf.oldkey oldkey_incomplete']);
    expect(of({ oldkey: 'Old', oldkeyid: 3 })).toEqual(['error ospf.oldkey oldkey_needs_key']);
  });
});
