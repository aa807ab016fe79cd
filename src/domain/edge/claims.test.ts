import { describe, expect, test } from 'vitest';
import { fullCluster } from '../testing/clusters.ts';
import { claimProblem, lbClaims, mentionsOfLb, mentionsOfVip, vipClaims } from './claims.ts';
import type { Claim } from './claims.ts';
import type { Lb, Vip } from './model.ts';

const cluster = fullCluster();
const [lb] = cluster.lbinfos as [Lb];
const [vip] = cluster.vip2ws as [Vip];

describe('claims', () => {
  test('of a VIP are its address', () => {
    expect(vipClaims('c', vip)).toEqual([{ key: 'ip:60.28.208.1', cluster: 'c', what: 'VIP' }]);
  });

  test('of an LB are its name in any case, its router-id, its addresses and its LIPs, each once', () => {
    const keys = lbClaims('c', { ...lb, hostname: 'LB1.room1' }, ['10.0.19.240']).map((c) => c.key);
    expect(keys).toEqual([
      'lb:lb1.room1',
      'routerid:60.29.246.186',
      'ip:10.0.19.226',
      'ip:60.29.246.186',
      'ip:10.0.19.240',
    ]);
    const one = lbClaims('c', { ...lb, extraip: lb.internalip }, []).map((c) => c.key);
    expect(one.filter((key) => key.startsWith('ip:'))).toEqual(['ip:10.0.19.226']);
  });

  test('are not made on gateways and WSs, which may be shared, but these are mentioned', () => {
    expect(mentionsOfLb(lb)).toEqual(['10.0.19.225', '60.29.246.185']);
    expect(mentionsOfVip(vip)).toEqual(['10.1.0.1', '10.1.0.2', '10.1.0.3']);
    expect(mentionsOfVip({ ...vip, wsattrs: { a: { weight: 1 } } })).toEqual([]);
  });
});

describe('a refused claim', () => {
  const other = (what: string): Claim => ({ key: 'x', cluster: 'other', what });
  const [byName, byRouterId, byInternal, byExtra, byLip] = lbClaims('c', lb, ['10.0.19.243']) as [
    Claim,
    Claim,
    Claim,
    Claim,
    Claim,
  ];

  test.each<[string, string, Claim, Claim]>([
    ['vip2ws[0].vip', 'vip_claimed', vipClaims('c', vip)[0] as Claim, other('VIP')],
    ['vip2ws[0].vip', 'address_claimed', vipClaims('c', vip)[0] as Claim, other('LIP of LB x')],
    ['lbinfos[0].hostname', 'lb_claimed', byName, other('LB lb1.room1')],
    ['lbinfos[0].routerid', 'router_id_claimed', byRouterId, other('LB x')],
    ['lbinfos[0].internalip', 'address_claimed', byInternal, other('address of LB x')],
    ['lbinfos[0].extraip', 'address_claimed', byExtra, other('VIP')],
    ['lbinfos[0].lips', 'address_claimed', byLip, other('LIP of LB x')],
    ['', 'address_claimed', { key: 'ip:10.99.0.1', cluster: 'c', what: 'LIP of LB lb2' }, other('LIP of LB x')],
  ])('at %j is %s, and says who holds it', (path, code, ...[wanted, holder]) => {
    const problem = claimProblem(cluster, wanted, holder);
    expect(problem).toMatchObject({ path, code, severity: 'error' });
    expect(problem.message).toContain('cluster other');
    expect(problem.hint).toContain('cluster other');
  });
});
