import { expect, test } from 'vitest';
import { Cluster, Lb, Vip } from '../domain/edge/model.ts';
import { readAssignments } from './assignments.ts';

test('values are read as the schema wants them', () => {
  expect(readAssignments(Lb, ['lipcount=12', 'lips=10.0.0.1,10.0.0.3-5', 'ssh.sudo=true', 'state=drain'])).toEqual({
    lipcount: 12,
    lips: ['10.0.0.1', '10.0.0.3-5'],
    ssh: { sudo: true },
    state: 'drain',
  });
  expect(readAssignments(Cluster, ['routing=frr', 'ospf.bfd=true', 'ospf.dead=4'])).toEqual({
    routing: 'frr',
    ospf: { bfd: true, dead: 4 },
  });
});

test('null removes, structures are JSON5, and what does not fit is left to the server to refuse', () => {
  expect(
    readAssignments(Cluster, ['ospf.key=null', 'ospf.cost=many', 'check={status: 204}', 'vipnets=["10.0.0.0/8"]']),
  ).toEqual({
    ospf: { key: null, cost: 'many' },
    check: { status: 204 },
    vipnets: ['10.0.0.0/8'],
  });
  expect(readAssignments(Vip, ['owner=a=b, c', 'domains='])).toEqual({ owner: 'a=b, c', domains: [] });
});

test('fields that are not there are refused, with the one that was meant', () => {
  expect(() => readAssignments(Cluster, ['ospf.csot=1'])).toThrow(/ospf\.csot/);
  for (const text of ['ospf', '=1', '__proto__.x=1', 'constructor.x=1', 'ospf.__proto__=1', 'check={a']) {
    expect(() => readAssignments(Cluster, [text])).toThrow(/not a field that can be set/);
  }
});
