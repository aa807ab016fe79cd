// oxlint-disable-next-line no-restricted-imports -- compares the rules' sources with the cases below
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { errorsOf } from '../problem.ts';
import type { Problem } from '../problem.ts';
import {
  clusterArbitrary,
  dpvsClusterArbitrary,
  fullCluster,
  fullDpvsCluster,
  fullIpvsCluster,
  ipvsClusterArbitrary,
} from '../testing/clusters.ts';
import { fieldsOf, pathOf, placesOf, withKey, withValue } from '../testing/walk.ts';
import { checkCluster } from './check.ts';
import { emptyLipPlan, planLips } from './lips.ts';
import { Cluster } from './model.ts';
import type { Lb, Port, Vip } from './model.ts';
import { parseCluster } from './read.ts';

/** Everything that is found wrong with a document: by its shape, or else by the rules and the LIP plan. */
function problemsOf(document: unknown): Problem[] {
  const parsed = parseCluster(document);
  if (!parsed.ok) return parsed.problems;
  const plan = planLips({ cluster: parsed.value, plan: emptyLipPlan, isTaken: () => false, now: '' });
  return [...checkCluster(parsed.value), ...plan.problems];
}

/** A document whose parts may be changed at will, also to what the model refuses. */
interface Draft extends Omit<Cluster, 'lbinfos' | 'vip2ws'> {
  lb: Lb;
  lb2: Lb;
  vip: Vip;
  port: Port;
  add: (vip: Partial<Vip>) => void;
  /** Sets what types do not allow. */
  put: (target: object, fields: object) => void;
}

function drafted(change: (draft: Draft) => void): Cluster {
  const cluster = fullCluster();
  const [lb, lb2] = cluster.lbinfos as [Lb, Lb];
  const [vip] = cluster.vip2ws as [Vip];
  const [port] = vip.ports as [Port];
  const add = (more: Partial<Vip>) => {
    cluster.vip2ws.push({ vip: '60.28.208.2', wstype: 'apps', wss: ['ws9.room1'], ports: [{ ...port }], ...more });
  };
  const hidden = { lb, lb2, vip, port, add, put: Object.assign };
  // Fields of the cluster itself are set on it; the named parts are those inside it.
  const draft = new Proxy(cluster, {
    get: (target, key) => (key in hidden ? hidden[key as 'lb'] : target[key as 'name']),
  });
  change(draft as unknown as Draft);
  return cluster;
}

type Case = [code: string, path: string, change: (d: Draft) => void];

const shape: Case[] = [
  ['missing', 'lbinfos[0].routerid', (d) => d.put(d.lb, { routerid: undefined })],
  ['missing', 'lbinfos[0].extraip', (d) => d.put(d.lb, { extraip: undefined })],
  ['missing', 'lbinfos[0].extranetmask', (d) => d.put(d.lb, { extranetmask: undefined })],
  ['missing', 'lbinfos[0].extragateway', (d) => d.put(d.lb, { extragateway: undefined })],
  ['wrong_type', 'vip2ws[0].ports[0].sport', (d) => d.put(d.port, { sport: '80' })],
  ['unknown_field', 'vip2ws[0].ports[0].persistance_timeout', (d) => d.put(d.port, { persistance_timeout: 50 })],
  ['not_allowed', 'type', (d) => d.put(d, { type: 'external' })],
  ['not_allowed', 'announce', (d) => d.put(d, { announce: 'some' })],
  ['not_allowed', 'vip2ws[0].ports[0].synproxy', (d) => d.put(d.port, { synproxy: 2 })],
  ['not_allowed', 'vip2ws[0].ports[0].scheduler', (d) => d.put(d.port, { scheduler: 'rrr' })],
  ['not_allowed', 'vip2ws[0].ports[0].protocol', (d) => d.put(d.port, { protocol: 'tcp' })],
  ['out_of_range', 'vip2ws[0].ports[0].sport', (d) => (d.port.sport = 0)],
  ['out_of_range', 'vip2ws[0].ports[0].dport', (d) => (d.port.dport = 99999)],
  ['out_of_range', 'vip2ws[0].ports[0].persistence_timeout', (d) => (d.port.persistence_timeout = -1)],
  ['out_of_range', 'vip2ws[0].quorum', (d) => (d.vip.quorum = 0)],
  ['out_of_range', 'lbinfos[1].lipcount', (d) => (d.lb2.lipcount = 3)],
  ['out_of_range', 'ospf.keyid', (d) => (d.ospf = { keyid: 256 })],
  ['invalid_value', 'vip2ws[0].ports', (d) => (d.vip.ports = [])],
  ['invalid_value', 'vipnets', (d) => (d.vipnets = [])],
  ['bad_address', 'vip2ws[0].vip', (d) => (d.vip.vip = '60.28.208.01')],
  ['bad_router_id', 'lbinfos[0].routerid', (d) => (d.lb.routerid = '0.0.0.0')],
  ['bad_area', 'ospf.area', (d) => (d.ospf = { area: '0' })],
  ['bad_mask', 'lbinfos[0].internalnetmask', (d) => (d.lb.internalnetmask = '255.255.255.1')],
  ['bad_net', 'vipnets[0]', (d) => (d.vipnets = ['60.28.208.1/25'])],
  ['bad_range', 'lbinfos[0].lips[0]', (d) => (d.lb.lips = ['10.0.19.9-1'])],
  ['bad_hostname', 'vip2ws[0].wss[0]', (d) => (d.vip.wss = ['a_b'])],
  ['bad_interface', 'device', (d) => (d.device = 'an-interface-name')],
  ['bad_name', 'vip2ws[0].wstype', (d) => (d.vip.wstype = 'a b')],
  ['bad_path', 'check.path', (d) => (d.check = { path: 'index.html' })],
  ['bad_digest', 'vip2ws[0].ports[0].check.digest', (d) => (d.port.check = { type: 'http', digest: 'A'.repeat(32) })],
  ['bad_ospf_key', 'ospf.key', (d) => (d.ospf = { key: 'has a space' })],
  ['bad_text', 'vip2ws[0].owner', (d) => (d.vip.owner = 'two\nlines')],
  ['bad_user', 'ssh.user', (d) => (d.ssh = { user: '-oProxyCommand=x' })],
  ['ipv6_unsupported', 'vip2ws[0].vip', (d) => (d.vip.vip = '2001:db8::1')],
  ['ipv6_unsupported', 'vipnets[0]', (d) => (d.vipnets = ['2001:db8::/32'])],
  ['ipv6_unsupported', 'lbinfos[0].internalip', (d) => (d.lb.internalip = '2001:db8::1')],
  ['ipv6_unsupported', 'lbinfos[0].lips[0]', (d) => (d.lb.lips = ['2001:db8::1-2001:db8::9'])],
  [
    'ipv6_unsupported',
    'vip2ws[0].wsattrs["ws1.room1"].address',
    (d) => (d.vip.wsattrs = { 'ws1.room1': { address: '::1' } }),
  ],
];

const rules: Case[] = [
  ['reserved_interface', 'device', (d) => (d.device = 'lo')],
  ['reserved_interface', 'device', (d) => (d.device = 'default')],
  ['reserved_interface', 'lbinfos[0].device', (d) => (d.lb.device = 'weir-high')],
  ['reserved_interface', 'lbinfos[0].innerdevice', (d) => (d.lb.innerdevice = 'lo')],
  [
    'reserved_interface',
    'lbinfos[0].uplinks[0].device',
    (d) => (d.lb.uplinks = [{ device: 'all', ospfnet: '10.9.0.0/30' }]),
  ],
  ['ospf_timers', 'ospf.dead', (d) => (d.ospf = { hello: 20, dead: 20 })],
  ['ospf_timers', 'ospf.dead', (d) => (d.ospf = { hello: 12 })],
  ['bfd_needs_frr', 'ospf.bfd', (d) => (d.ospf = { bfd: true })],
  ['degrade_needs_network', 'announce', (d) => d.put(d, { announce: 'degrade', ospf: { announce: 'redistribute' } })],
  ['degrade_needs_network', 'vip2ws[0].announce', (d) => (d.ospf = { announce: 'redistribute' })],
  ['degrade_needs_network', 'vip2ws[0].announce', (d) => d.put(d, { routing: 'frr', ospf: {} })],
  ['check_conflict', 'check.digest', (d) => (d.check = { status: 200, digest: 'a'.repeat(32) })],
  [
    'check_conflict',
    'vip2ws[0].ports[0].check.digest',
    (d) => (d.port.check = { type: 'http', status: 200, digest: 'a'.repeat(32) }),
  ],
  ['duplicate_net', 'vipnets[1]', (d) => (d.vipnets = ['60.28.208.0/25', '60.28.208.0/25'])],
  [
    'duplicate_net',
    'lbinfos[0].uplinks[0].ospfnet',
    (d) => (d.lb.uplinks = [{ device: 'em4', ospfnet: d.lb.ospfnet }]),
  ],
  [
    'duplicate_device',
    'lbinfos[0].uplinks[0].device',
    (d) => (d.lb.uplinks = [{ device: 'em3', ospfnet: '10.9.0.0/30' }]),
  ],
  [
    'duplicate_device',
    'lbinfos[1].uplinks[0].device',
    (d) => (d.lb2.uplinks = [{ device: 'em1', ospfnet: '10.9.0.0/30' }]),
  ],
  ['vip_outside_vipnets', 'vip2ws[0].vip', (d) => (d.vip.vip = '60.28.208.128')],
  ['duplicate_ws', 'vip2ws[0].wss[3]', (d) => d.vip.wss.push('WS1.room1')],
  ['unknown_ws', 'vip2ws[0].wsattrs["ws9.room1"]', (d) => (d.vip.wsattrs = { 'ws9.room1': { weight: 1 } })],
  [
    'duplicate_ws_address',
    'vip2ws[0].wsattrs["ws2.room1"].address',
    (d) => d.put(d.vip.wsattrs?.['ws2.room1'] ?? {}, { address: '10.1.0.1' }),
  ],
  [
    'ws_is_vip',
    'vip2ws[0].wsattrs["ws1.room1"].address',
    (d) => d.put(d.vip.wsattrs?.['ws1.room1'] ?? {}, { address: d.vip.vip }),
  ],
  ['quorum_unreachable', 'vip2ws[0].quorum', (d) => (d.vip.quorum = 111)],
  [
    'quorum_unreachable',
    'vip2ws[0].quorum',
    (d) => d.put(d.vip, { wss: ['a'], wsattrs: { a: { state: 'drain' } }, quorum: undefined }),
  ],
  ['quorum_unreachable', 'vip2ws[0].quorum', (d) => d.put(d.vip, { wss: ['a'], wsattrs: { a: { state: 'down' } } })],
  ['duplicate_port', 'vip2ws[0].ports[3].sport', (d) => d.vip.ports.push({ ...d.port, protocol: 'TCP' })],
  ['duplicate_domain', 'vip2ws[0].domains[1]', (d) => (d.vip.domains = ['a.com', 'a.com'])],
  ['fullnat_udp', 'vip2ws[0].ports[0].protocol', (d) => (d.port.protocol = 'UDP')],
  ['fullnat_persistence', 'vip2ws[0].ports[0].persistence_timeout', (d) => (d.port.persistence_timeout = 100_000)],
  ['check_field_unused', 'vip2ws[0].ports[0].check.path', (d) => (d.port.check = { path: '/' })],
  ['check_field_unused', 'vip2ws[0].ports[0].check.host', (d) => (d.port.check = { type: 'tcp', host: 'a.com' })],
  ['check_field_unused', 'vip2ws[0].ports[0].check.status', (d) => (d.port.check = { status: 200 })],
  ['check_field_unused', 'vip2ws[0].ports[0].check.digest', (d) => (d.port.check = { digest: 'a'.repeat(32) })],
  ['check_field_unused', 'vip2ws[0].ports[0].check.retry', (d) => (d.port.check = { retry: 3 })],
  [
    'check_field_unused',
    'vip2ws[0].ports[0].check.path',
    (d) =>
      d.put(d, { dataplane: 'ipvs', vip2ws: [{ ...d.vip, ports: [{ ...d.port, check: { path: '/', retry: 3 } }] }] }),
  ],
  [
    'check_field_unused',
    'vip2ws[0].ports[3].check.path',
    (d) => {
      d.dataplane = 'ipvs';
      d.vip.ports.push({ ...d.port, protocol: 'UDP', check: { path: '/' } });
    },
  ],
  ['udp_check_of_tcp', 'vip2ws[0].ports[0].check.type', (d) => (d.port.check = { type: 'udp' })],
  ['not_a_host', 'lbinfos[0].internalip', (d) => (d.lb.internalip = '10.0.19.224')],
  ['not_a_host', 'lbinfos[0].extraip', (d) => (d.lb.extraip = '60.29.246.187')],
  ['gateway_outside_subnet', 'lbinfos[0].internalgateway', (d) => (d.lb.internalgateway = '10.0.19.223')],
  ['gateway_outside_subnet', 'lbinfos[0].internalgateway', (d) => (d.lb.internalgateway = '10.0.19.255')],
  ['gateway_outside_subnet', 'lbinfos[0].extragateway', (d) => (d.lb.extragateway = '60.29.246.184')],
  ['gateway_is_lb', 'lbinfos[0].internalgateway', (d) => (d.lb.internalgateway = d.lb.internalip)],
  ['gateway_is_lb', 'lbinfos[0].extragateway', (d) => (d.lb.extragateway = '60.29.246.186')],
  ['ospfnet_mismatch', 'lbinfos[0].ospfnet', (d) => (d.lb.ospfnet = '60.29.246.188/30')],
  ['ospfnet_mismatch', 'lbinfos[0].ospfnet', (d) => (d.type = 'internal')],
  ['lips_and_lipcount', 'lbinfos[0].lipcount', (d) => (d.lb.lipcount = 8)],
  ['too_many_lips', 'lbinfos[0].lips', (d) => (d.lb.lips = ['10.8.0.0-10.8.15.255', '10.8.16.0'])],
  ['lip_taken', 'lbinfos[0].lips[1]', (d) => (d.lb.lips = ['10.0.19.240-245', '10.0.19.245-246'])],
  ['lip_taken', 'lbinfos[0].lips[0]', (d) => (d.lb.lips = [d.lb.internalip])],
  ['lip_taken', 'lbinfos[0].lips[0]', (d) => (d.lb.lips = [d.lb.internalgateway])],
  ['lip_taken', 'lbinfos[0].lips[0]', (d) => (d.lb.lips = ['60.29.246.186'])],
  ['lip_taken', 'lbinfos[0].lips[0]', (d) => (d.lb.lips = ['60.29.246.185'])],
  ['lip_taken', 'lbinfos[0].lips[0]', (d) => (d.lb.lips = ['10.0.19.224'])],
  ['lip_taken', 'lbinfos[0].lips[0]', (d) => (d.lb.lips = ['10.0.19.250-255'])],
  ['lip_taken', 'lbinfos[1].lips[0]', (d) => d.put(d.lb2, { lipcount: undefined, lips: ['10.0.19.251-253'] })],
  ['lip_taken', 'lbinfos[0].lips[1]', (d) => (d.lb.lips = ['10.0.19.240', '10.0.20.2-9'])],
  ['lip_taken', 'lbinfos[0].lips[0]', (d) => (d.lb.lips = ['60.29.246.189'])],
  ['lip_taken', 'lbinfos[0].lips[0]', (d) => (d.lb.lips = ['60.28.208.1-5'])],
  ['lip_taken', 'lbinfos[0].lips[0]', (d) => (d.lb.lips = ['10.1.0.0-10.1.0.1'])],
  ['duplicate_lb', 'lbinfos[1].hostname', (d) => (d.lb2.hostname = 'LB1.room1')],
  ['duplicate_router_id', 'lbinfos[1].routerid', (d) => (d.lb2.routerid = d.lb.routerid)],
  ['duplicate_vip', 'vip2ws[1].vip', (d) => d.add({ vip: '60.28.208.1' })],
  ['duplicate_lb_address', 'lbinfos[1].internalip', (d) => (d.lb2.internalip = d.lb.internalip)],
  ['duplicate_lb_address', 'lbinfos[1].internalip', (d) => (d.lb2.internalip = '60.29.246.186')],
  [
    'vip_is_lb_address',
    'vip2ws[0].vip',
    (d) => d.put(d, { vipnets: ['60.29.246.0/24'], vip2ws: [{ ...d.vip, vip: '60.29.246.190' }] }),
  ],
  ['scheduler_unsupported', 'vip2ws[0].ports[0].scheduler', (d) => (d.port.scheduler = 'mh')],
  [
    'scheduler_unsupported',
    'vip2ws[0].ports[0].scheduler',
    (d) => d.put(d, { ...ofDpvs(d), vip2ws: [withPort(d, { scheduler: 'sh' })] }),
  ],
  [
    'scheduler_unsupported',
    'vip2ws[0].ports[0].scheduler',
    (d) => d.put(d, { dataplane: 'ipvs', vip2ws: [withPort(d, { scheduler: 'conhash' })] }),
  ],
  ['forwarding_port', 'vip2ws[0].ports[0].dport', (d) => d.put(d.vip, { forwarding: 'dr' })],
  [
    'forwarding_port',
    'vip2ws[0].ports[0].dport',
    (d) => {
      d.forwarding = 'tun';
      d.put(d.vip, { forwarding: undefined });
    },
  ],
  ['needs_dpvs', 'vip2ws[0].ports[0].establish_timeout', (d) => (d.port.establish_timeout = 90)],
  ['needs_dpvs', 'vip2ws[0].ports[0].proxy_protocol', (d) => (d.port.proxy_protocol = 'v2')],
  ['needs_dpvs', 'vip2ws[0].deny', (d) => (d.vip.deny = ['198.51.100.7'])],
  ['needs_dpvs', 'vip2ws[0].allow', (d) => (d.vip.allow = ['198.51.100.7'])],
  ['needs_ipvs', 'synproxy', (d) => (d.synproxy = { wscale: 7 })],
  [
    'too_many_addresses',
    'vip2ws[0].deny',
    (d) => d.put(d, { ...ofDpvs(d), vip2ws: [{ ...d.vip, deny: ['10.9.0.0-10.9.15.255', '10.9.16.0'] }] }),
  ],
  [
    'duplicate_address',
    'vip2ws[0].allow[0]',
    (d) => d.put(d, { ...ofDpvs(d), vip2ws: [{ ...d.vip, allow: ['10.9.0.7-9', '10.9.0.1-7'] }] }),
  ],
  [
    'proxy_protocol_udp',
    'vip2ws[0].ports[0].proxy_protocol',
    (d) => d.put(d, { ...ofDpvs(d), vip2ws: [withPort(d, { protocol: 'UDP', proxy_protocol: 'v1' })] }),
  ],
  [
    'proxy_protocol_forwarding',
    'vip2ws[0].ports[0].proxy_protocol',
    (d) =>
      d.put(d, { ...ofDpvs(d), vip2ws: [{ ...withPort(d, { dport: 80, proxy_protocol: 'v2' }), forwarding: 'dr' }] }),
  ],
  ['oldkey_incomplete', 'ospf.oldkeyid', (d) => (d.ospf = { key: 'New', oldkey: 'Old' })],
  ['oldkey_incomplete', 'ospf.oldkey', (d) => (d.ospf = { key: 'New', oldkeyid: 7 })],
  ['oldkey_needs_key', 'ospf.oldkey', (d) => (d.ospf = { oldkey: 'Old', oldkeyid: 7 })],
  ['ospf_keyids', 'ospf.oldkeyid', (d) => (d.ospf = { key: 'New', oldkey: 'Old', oldkeyid: 8 })],
  ['ospf_keyids', 'ospf.oldkeyid', (d) => (d.ospf = { key: 'New', keyid: 7, oldkey: 'Old', oldkeyid: 7 })],
  ['stub_backbone', 'ospf.stub', (d) => (d.ospf = { stub: true })],
  ['stub_backbone', 'ospf.stub', (d) => (d.ospf = { stub: true, area: '0.0.0.0' })],
  ['stub_needs_network', 'ospf.stub', (d) => (d.ospf = { stub: true, area: '0.0.0.7', announce: 'redistribute' })],
  ['stub_needs_network', 'ospf.stub', (d) => d.put(d, { routing: 'frr', ospf: { stub: true, area: '0.0.0.7' } })],
  ['device_too_long', 'device', (d) => d.put(d, { ...ofDpvs(d), device: 'dpdk12345678' })],
  [
    'device_too_long',
    'lbinfos[0].innerdevice',
    (d) => {
      d.put(d, ofDpvs(d));
      d.lb.innerdevice = 'dpdk12345678';
    },
  ],
  [
    'device_too_long',
    'lbinfos[0].uplinks[0].device',
    (d) => {
      d.put(d, ofDpvs(d));
      d.lb.uplinks = [{ device: 'dpdk12345678', ospfnet: '60.29.247.0/30' }];
    },
  ],
  ['lips_exhausted', 'lbinfos[1].lips', (d) => (d.lb2.lipcount = 1024)],
];

/** What makes the document one of DPVS. */
function ofDpvs(d: Draft): Partial<Cluster> {
  return { dataplane: 'dpvs', vip2ws: [withPort(d, {})] };
}

/** The VIP with one port, the first as it is or changed. */
function withPort(d: Draft, fields: Partial<Port>): Vip {
  return { ...d.vip, ports: [{ ...d.port, ...fields }] };
}

function straight(port: Port): Port {
  return { ...port, dport: port.sport };
}

const warnings: Case[] = [
  ['ospf_unauthenticated', 'ospf.key', (d) => (d.ospf = {})],
  ['oldkey_not_accepted', 'ospf.oldkey', (d) => (d.ospf = { key: 'New', keyid: 9, oldkey: 'Old', oldkeyid: 8 })],
  [
    'too_many_paths',
    'ospf.maxpaths',
    (d) => {
      d.lb.state = 'up';
      d.put(d.ospf ?? {}, { maxpaths: 2 });
    },
  ],
  ['no_ws', 'vip2ws[0].wss', (d) => d.put(d.vip, { wss: [], wsattrs: undefined })],
  ['lips_planned', 'lbinfos[1].lips', () => undefined],
  ['synproxy_unused', 'vip2ws[1].ports[0].synproxy', (d) => d.add({ forwarding: 'tun', ports: [straight(d.port)] })],
];

describe('the full document', () => {
  test('has no errors', () => {
    expect(errorsOf(problemsOf(fullCluster()))).toEqual([]);
  });

  test('has every field of the model', () => {
    const moving = drafted((d) => d.add({ moving: { to: 'other', from: 'another', announce: 'any', back: true } }));
    const present = [fullCluster(), fullIpvsCluster(), fullDpvsCluster(), moving].flatMap((document) =>
      placesOf(Cluster, document).flatMap(({ kind, steps, fields }) => {
        if (kind !== 'object' || !fields) return [];
        const value = steps.reduce<unknown>((v, s) => (v as Record<string | number, unknown>)[s], document);
        return Object.keys(value as object).map((name) => generic([...steps, name]));
      }),
    );
    // A digest excludes a status; the port's check has one.
    expect([...new Set(present), 'check.digest'].sort()).toEqual(fieldsOf(Cluster).sort());
  });
});

/** `vip2ws[].wsattrs{}.weight` */
function generic(steps: readonly (string | number)[]): string {
  const named = steps.map((step, i) =>
    steps[i - 1] === 'wsattrs' ? '{}' : typeof step === 'number' ? '[]' : `.${step}`,
  );
  return named.join('').slice(1);
}

describe('a rule', () => {
  test.each([...shape, ...rules])('%s at %s refuses', (code, path, change) => {
    const problems = problemsOf(JSON.parse(JSON.stringify(drafted(change))));
    const found = problems.filter((p) => p.code === code && p.path === path);
    expect(found, JSON.stringify(problems, null, 1)).toHaveLength(1);
    expect(found[0]?.severity).toBe('error');
    expectTexts(problems);
  });

  test.each(warnings)('%s at %s warns', (code, path, change) => {
    const problems = problemsOf(JSON.parse(JSON.stringify(drafted(change))));
    expect(problems).toContainEqual(expect.objectContaining({ code, path, severity: 'warning' }));
    expect(errorsOf(problems)).toEqual([]);
    expectTexts(problems);
  });

  test('has a case above for every code that the model can answer', () => {
    const tried = new Set([...shape, ...rules, ...warnings].map(([code]) => code));
    const sources = [
      '../schema.ts',
      './check.ts',
      './check-lb.ts',
      './check-ospf.ts',
      './check-vip.ts',
      './check-shared.ts',
      './lips.ts',
    ].map((name) => readFileSync(new URL(name, import.meta.url), 'utf8'));
    const codes = sources.flatMap((source) => [...source.matchAll(/\bcode: '(\w+)'/g)].map((m) => m[1] ?? ''));
    // These need a plan with a history: lips.test.ts has them.
    const elsewhere = ['lip_held', 'lip_quarantined', 'lips_in_service'];
    expect(codes.length).toBeGreaterThan(40);
    expect([...new Set(codes)].filter((code) => !tried.has(code) && !elsewhere.includes(code))).toEqual([]);
  });
});

describe('at the limit', () => {
  test.each<[what: string, change: (d: Draft) => void]>([
    ['a quorum of the whole weight', (d) => (d.vip.quorum = 110)],
    ['a dead interval one longer than hello', (d) => (d.ospf = { hello: 11 })],
    ['the longest persistence', (d) => (d.port.persistence_timeout = 99_999)],
    ['ports 1 and 65535', (d) => d.put(d.port, { sport: 65_535, dport: 1 })],
    ['4096 LIPs', (d) => (d.lb.lips = ['10.8.0.0-10.8.15.255'])],
    [
      'an address of /31 and of /32',
      (d) => d.put(d.lb, { extranetmask: '255.255.255.254', extragateway: '60.29.246.187' }),
    ],
    ['the first and last LIP of a subnet', (d) => (d.lb.lips = ['10.0.19.227-254'])],
    ['the first and last VIP of a net', (d) => (d.vip.vip = '60.28.208.127')],
    ['an LIP beside the address of a WS', (d) => (d.lb.lips = ['10.1.0.4-9'])],
    [
      'the same WS behind two VIPs',
      (d) => d.add({ wss: ['ws1.room1'], wsattrs: { 'ws1.room1': { address: '10.1.0.1' } } }),
    ],
    [
      'what mainline keepalived serves',
      (d) => {
        d.dataplane = 'ipvs';
        d.put(d.port, { protocol: 'UDP', persistence_timeout: 2_678_400, check: { retry: 3 } });
        d.vip.ports.push({ ...d.port, protocol: 'TCP', check: { type: 'tcp', retry: 3 } });
        d.vip.ports.push({ ...d.port, sport: 444, check: { type: 'https', path: '/' } });
      },
    ],
    ['frr with fullnat, degrading by network statements', (d) => (d.routing = 'frr')],
    ['quagga with ipvs', (d) => d.put(d, { dataplane: 'ipvs', routing: 'quagga' })],
    ['a retry of an http check', (d) => (d.port.check = { type: 'http', retry: 3 })],
    ['no LBs and no VIPs', (d) => d.put(d, { lbinfos: [], vip2ws: [] })],
  ])('%s is accepted', (_, change) => {
    expect(errorsOf(problemsOf(drafted(change)))).toEqual([]);
  });
});

/** Every problem says what is wrong and what to do, each on one line. */
function expectTexts(problems: readonly Problem[]): void {
  for (const { message, hint } of problems) {
    expect(message).toMatch(/^[^\n]{5,400}$/);
    expect(hint).toMatch(/^[^\n]{5,400}$/);
    expect(message).not.toContain('undefined');
  }
}

describe('a SYN proxy that would see no answers', () => {
  test('is no matter for a port that is UDP, or whose synproxy is 0', () => {
    const document = drafted((d) => {
      d.put(d, { dataplane: 'ipvs', forwarding: 'dr' });
      d.vip.ports = [d.port, { ...straight(d.port), sport: 81, dport: 81, synproxy: 0 }];
      d.put(d.port, { dport: 80 });
      d.put(d.port, { protocol: 'UDP', synproxy: 1 });
      d.put(d.vip, { forwarding: undefined });
    });
    expect(errorsOf(problemsOf(document))).toEqual([]);
    expect(problemsOf(document).map((p) => p.code)).not.toContain('synproxy_unused');
    expect(problemsOf(fullCluster()).map((p) => p.code)).not.toContain('synproxy_unused');
  });

  test('is warned of once for all ports of a VIP', () => {
    const document = drafted((d) =>
      d.add({ forwarding: 'tun', ports: [straight(d.port), { ...straight(d.port), sport: 81, dport: 81 }] }),
    );
    expect(problemsOf(document).filter((p) => p.code === 'synproxy_unused')).toHaveLength(1);
  });
});

describe('a document of another data plane', () => {
  test.each([['ipvs', fullIpvsCluster()] as const, ['dpvs', fullDpvsCluster()] as const])(
    '%s has no errors',
    (_, document) => {
      expect(errorsOf(problemsOf(document))).toEqual([]);
    },
  );

  test.each([['ipvs', ipvsClusterArbitrary] as const, ['dpvs', dpvsClusterArbitrary] as const])(
    '%s is accepted, whatever its fields',
    (_, documents) => {
      fc.assert(
        fc.property(documents, (document) => {
          expect(errorsOf(problemsOf(document))).toEqual([]);
        }),
      );
    },
  );

  test('does not keep what was found with the data plane of before', () => {
    const document = fullCluster();
    expect(errorsOf(problemsOf(document))).toEqual([]);
    const asIpvs = { ...document, dataplane: 'ipvs' as const, forwarding: 'tun' as const };
    const asDpvs = { ...document, dataplane: 'dpvs' as const };
    const [vip] = document.vip2ws as [Vip];
    expect(checkCluster(asIpvs).map((p) => p.code)).not.toContain('forwarding_port');
    const open = { ...asIpvs, vip2ws: [{ ...vip, forwarding: undefined as never }] };
    expect(checkCluster(open).map((p) => p.code)).toContain('forwarding_port');
    expect(checkCluster({ ...open, forwarding: 'fullnat' }).map((p) => p.code)).not.toContain('forwarding_port');
    expect(checkCluster({ ...asDpvs, device: 'dpdk0' }).map((p) => p.code)).not.toContain('fullnat_udp');
  });
});

describe('all problems', () => {
  test('are reported at once, each with its path', () => {
    const document = drafted((d) => {
      d.vip.quorum = 1000;
      d.vip.domains = ['a', 'a'];
      d.port.protocol = 'UDP';
      d.lb.internalgateway = d.lb.internalip;
      d.lb2.routerid = d.lb.routerid;
      d.ospf = { hello: 50 };
      d.add({ vip: '9.9.9.9', wss: [] });
    });
    expect(problemsOf(document).map((p) => `${p.path} ${p.code}`)).toEqual([
      'ospf.dead ospf_timers',
      'ospf.key ospf_unauthenticated',
      'lbinfos[0].internalgateway gateway_is_lb',
      'vip2ws[0].quorum quorum_unreachable',
      'vip2ws[0].domains[1] duplicate_domain',
      'vip2ws[0].ports[0].protocol fullnat_udp',
      'vip2ws[1].vip vip_outside_vipnets',
      'vip2ws[1].wss no_ws',
      'vip2ws[1].ports[0].protocol fullnat_udp',
      'lbinfos[1].routerid duplicate_router_id',
      'lbinfos[1].lips lips_planned',
    ]);
  });

  test('of shape are too', () => {
    const document = drafted((d) => {
      d.put(d, { devise: 'em1', device: 5 });
      d.put(d.vip, { vip: 'x', wss: ['a b', 'c d'] });
      d.put(d.lb, { routerid: undefined });
    });
    const found = problemsOf(JSON.parse(JSON.stringify(document))).map((p) => `${p.path} ${p.code}`);
    expect(found.sort()).toEqual([
      'device wrong_type',
      'devise unknown_field',
      'lbinfos[0].routerid missing',
      'vip2ws[0].vip bad_address',
      'vip2ws[0].wss[0] bad_hostname',
      'vip2ws[0].wss[1] bad_hostname',
    ]);
  });
});

describe('a misspelt field', () => {
  const places = placesOf(Cluster, fullCluster()).filter((p) => p.kind === 'object' && p.fields);

  test.each(places.flatMap((p) => (p.fields ?? []).map((field) => [pathOf(p.steps), field, p.steps] as const)))(
    'of %s for %s is unknown, and known again by its hint',
    (path, field, steps) => {
      const misspelt = `${field.slice(0, -1)}${field.slice(-1)}${field.slice(-1)}`;
      const document = withValue(fullCluster(), [...steps, misspelt], 1);
      const problems = problemsOf(document);
      expect(problems).toEqual([
        expect.objectContaining({ path: path ? `${path}.${misspelt}` : misspelt, code: 'unknown_field' }),
      ]);
      expect(problems[0]?.hint).toMatch(new RegExp(`^did you mean ${field}\\?$`));
    },
  );

  test('is refused also where the right one is missing', () => {
    for (const { steps, fields } of places) {
      const value = steps.reduce<unknown>((v, s) => (v as Record<string | number, unknown>)[s], fullCluster());
      for (const field of (fields ?? []).filter((f) => Object.hasOwn(value as object, f))) {
        const document = withKey(fullCluster(), steps, [field, `${field}x`]);
        expect(problemsOf(document).map((p) => p.code)).toContain('unknown_field');
      }
    }
  });
});

describe('checking', () => {
  test('any arbitrary valid document finds no errors', () => {
    fc.assert(
      fc.property(clusterArbitrary, (cluster) => {
        expect(errorsOf(problemsOf(cluster))).toEqual([]);
      }),
    );
  });

  test('again finds the same, also after parts were checked within other documents', () => {
    fc.assert(
      fc.property(clusterArbitrary, clusterArbitrary, (a, b) => {
        checkCluster(a);
        const mixed: Cluster = { ...b, vip2ws: a.vip2ws, lbinfos: a.lbinfos };
        checkCluster({ ...mixed, type: a.type });
        expect(checkCluster(mixed)).toEqual(checkCluster(structuredClone(mixed)));
      }),
    );
  });

  test('the same parts within another cluster looks at what of it matters to them', () => {
    const cluster = fullCluster();
    const codes = (changes: Partial<Cluster>) => errorsOf(checkCluster({ ...cluster, ...changes })).map((p) => p.code);
    expect(codes({})).toEqual([]);
    expect(codes({ vipnets: ['10.0.0.0/8'] })).toEqual(['vip_outside_vipnets']);
    expect(codes({ ospf: { announce: 'redistribute' } })).toEqual(['degrade_needs_network']);
    expect(codes({ type: 'internal' })).toEqual(['ospfnet_mismatch', 'ospfnet_mismatch']);
    const plain = { ...cluster, lbinfos: cluster.lbinfos.map(({ device: _device, ...lb }) => lb) };
    expect(errorsOf(checkCluster(plain))).toEqual([]);
    expect(errorsOf(checkCluster({ ...plain, device: 'em4' })).map((p) => p.code)).toEqual(['duplicate_device']);
    expect(codes({})).toEqual([]);
  });

  test('BFD goes with frr, whichever way that was chosen, and quagga may say that it has none', () => {
    const codes = (changes: Partial<Cluster>) =>
      errorsOf(checkCluster({ ...fullIpvsCluster(), ospf: { bfd: true }, ...changes })).map((p) => p.code);
    expect(codes({ routing: 'frr' })).toEqual([]);
    const { routing: _routing, ...byDefault } = fullIpvsCluster();
    expect(errorsOf(checkCluster({ ...byDefault, ospf: { bfd: true } }))).toEqual([]);
    expect(codes({ routing: 'quagga' })).toEqual(['bfd_needs_frr']);
    expect(codes({ routing: 'quagga', ospf: { bfd: false } })).toEqual([]);
  });

  test('a document at the limits of size takes no square of them', () => {
    const ports = fullCluster().vip2ws[0]?.ports.slice(0, 1) ?? [];
    const vip2ws = Array.from({ length: 20_000 }, (_, i) => ({
      vip: `60.${28 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`,
      wstype: 'apps',
      wss: [`ws${i}`],
      ports,
    }));
    const lbinfos = Array.from({ length: 300 }, (_, i) => ({
      ...(fullCluster().lbinfos[1] as Lb),
      hostname: `lb${i}`,
      lips: Array.from({ length: 200 }, (_unused, j) => `11.${i >> 8}.${i & 255}.${j}`),
    }));
    const problems = checkCluster({ ...fullCluster(), vipnets: ['60.0.0.0/8'], vip2ws, lbinfos });
    expect(problems.filter((p) => p.code === 'lip_taken')).toEqual([]);
  });
});
