/** Whatever is wrong with a request, over HTTP: it is refused with path, code and hint, and nothing changes. */
import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { operationRoutes, routes } from '../src/contract/routes.ts';
import type { Cluster, Lb, Port, Vip } from '../src/domain/edge/model.ts';
import { clusterOf, create, everything, expectDone, expectProblem, lbOf, portOf, post, v1, vipOf } from './fixtures.ts';
import { startTestServer } from './harness.ts';
import type { TestServer } from './harness.ts';

let server: TestServer;
let before: unknown;

/** Stands there, whole and with all that rules speak of. */
const present: Cluster = {
  ...clusterOf(1),
  type: 'extra',
  lbinfos: [extraLb(1), extraLb(2)],
  vip2ws: [vipOf(1, 1), vipOf(1, 2)],
};
const other = clusterOf(2, {
  lbinfos: [lbOf(2, 1, { lips: ['10.100.2.200-203'] }), lbOf(2, 2)],
  vip2ws: [vipOf(2, 1, { wsattrs: { 'ngx1.room2': { address: '10.100.2.99' } } })],
});
/** Holds a LIP in quarantine. */
const emptied = clusterOf(3);

function extraLb(i: number, parts: Partial<Lb> = {}): Lb {
  const net = `192.0.2.${i * 8}`;
  return lbOf(1, i, {
    routerid: `192.0.2.${i * 8 + 2}`,
    extraip: `192.0.2.${i * 8 + 2}`,
    extranetmask: '255.255.255.248',
    extragateway: `192.0.2.${i * 8 + 1}`,
    ospfnet: `${net}/29`,
    ...parts,
  });
}

beforeAll(async () => {
  server = await startTestServer();
  await create(server, present, other, emptied);
  const lb = lbOf(3, 2, { lips: ['10.100.3.77'] });
  expectDone(await post(server, `/clusters/${emptied.name}/lbs`, lb));
  expectDone(await v1(server, `/clusters/${emptied.name}/lbs/${lb.hostname}`, { method: 'DELETE' }));
});

afterAll(() => server.close());

beforeEach(async () => {
  before = await everything(server);
});

afterEach(async () => {
  expect(await everything(server)).toEqual(before);
});

// rules --------------------------------------------------------------------------------------

interface Broken {
  code: string;
  path: string;
  /** A document that breaks this rule. */
  document: unknown;
  status?: number;
}

type Loose = Record<string, unknown>;

function head(parts: Loose): unknown {
  return { ...present, ...parts };
}

function lb(parts: Loose, base: Lb = extraLb(1)): unknown {
  return { ...present, lbinfos: [{ ...base, ...parts }, extraLb(2)] };
}

function vip(parts: Loose | Partial<Vip>): unknown {
  return { ...present, vip2ws: [{ ...vipOf(1, 1), ...parts }, vipOf(1, 2)] };
}

function port(parts: Loose | Partial<Port>): unknown {
  return vip({ ports: [{ ...portOf(80), ...parts }] as Port[] });
}

function onDpvs(parts: Loose | Partial<Vip>): Loose {
  return { ...present, dataplane: 'dpvs', vip2ws: [{ ...vipOf(1, 1), ...parts }] };
}

function without(value: object, field: string): Loose {
  return Object.fromEntries(Object.entries(value).filter(([name]) => name !== field));
}

function case_(code: string, path: string, document: unknown): Broken {
  return { code, path, document };
}

const v = 'vip2ws[0]';
const l = 'lbinfos[0]';
const key = 'k'.repeat(40);

const broken: readonly Broken[] = [
  // shape
  case_('missing', 'device', without(present, 'device')),
  case_('missing', `${l}.routerid`, { ...present, lbinfos: [without(extraLb(1), 'routerid')] }),
  case_('missing', `${v}.wstype`, { ...present, vip2ws: [without(vipOf(1, 1), 'wstype')] }),
  case_('missing', `${v}.ports[0].dport`, vip({ ports: [without(portOf(80), 'dport')] as Port[] })),
  case_('missing', `${l}.extraip`, { ...present, lbinfos: [without(extraLb(1), 'extraip')] }),
  case_('missing', `${l}.extragateway`, { ...present, lbinfos: [without(extraLb(1), 'extragateway')] }),
  case_('missing', `${l}.extranetmask`, { ...present, lbinfos: [without(extraLb(1), 'extranetmask')] }),
  case_('unknown_field', 'devise', head({ devise: 'em1' })),
  case_('unknown_field', 'constructor', head({ constructor: 1 })),
  case_('unknown_field', `${l}.lip`, lb({ lip: '10.0.0.1' })),
  case_('unknown_field', `${v}.ports[0].check.url`, port({ check: { url: '/' } })),
  case_('wrong_type', 'vip2ws', head({ vip2ws: {} })),
  case_('wrong_type', `${v}.wss`, vip({ wss: 'ngx1.room1' })),
  case_('wrong_type', `${v}.ports[0].dport`, port({ dport: '80' })),
  case_('wrong_type', 'ssh.sudo', head({ ssh: { sudo: 'yes' } })),
  case_('not_allowed', 'type', head({ type: 'external' })),
  case_('not_allowed', 'linkspeed', head({ linkspeed: '40g' })),
  case_('not_allowed', `${v}.announce`, vip({ announce: 'some' })),
  case_('not_allowed', `${v}.ports[0].synproxy`, port({ synproxy: 2 })),
  case_('not_allowed', `${v}.ports[0].scheduler`, port({ scheduler: 'fastest' })),
  case_('not_allowed', `${v}.wsattrs["ngx1.room1"].state`, vip({ wsattrs: { 'ngx1.room1': { state: 'off' } } })),
  case_('out_of_range', `${v}.ports[0].sport`, port({ sport: 0 })),
  case_('out_of_range', `${v}.ports[0].dport`, port({ dport: 65536 })),
  case_('out_of_range', `${l}.lipcount`, lb({ lipcount: 3 })),
  case_('out_of_range', 'ospf.keyid', head({ ospf: { keyid: 256 } })),
  case_('wrong_type', 'ospf.cost', head({ ospf: { cost: 1.5 } })),
  case_('invalid_value', 'vipnets', head({ vipnets: [] })),
  case_('invalid_value', `${v}.ports`, vip({ ports: [] })),
  // formats
  case_('bad_name', 'name', head({ name: '-x' })),
  case_('bad_name', `${v}.wstype`, vip({ wstype: 'a b' })),
  case_('bad_name', 'idc', head({ idc: 'hy01\n' })),
  case_('bad_interface', 'device', head({ device: 'em1; reboot' })),
  case_('bad_interface', `${l}.innerdevice`, lb({ innerdevice: 'x'.repeat(16) })),
  case_('bad_address', `${v}.vip`, vip({ vip: '172.16.1.256' })),
  case_('bad_address', `${l}.internalip`, lb({ internalip: '10.0.0.01' })),
  case_('bad_address', `${l}.extragateway`, lb({ extragateway: '127.0.0.1' })),
  case_('bad_address', 'ssh.address', head({ ssh: { address: '224.0.0.1' } })),
  case_('ipv6_unsupported', `${v}.vip`, vip({ vip: '2001:db8::1' })),
  case_('ipv6_unsupported', 'vipnets[0]', head({ vipnets: ['2001:db8::/64'] })),
  case_('bad_mask', `${l}.internalnetmask`, lb({ internalnetmask: '255.0.255.0' })),
  case_('bad_net', 'vipnets[0]', head({ vipnets: ['172.16.1.1/24'] })),
  case_('bad_net', `${l}.ospfnet`, lb({ ospfnet: '192.0.2.8' })),
  case_('bad_range', `${l}.lips[0]`, lb({ lips: ['10.100.1.9-8'] })),
  case_('bad_router_id', `${l}.routerid`, lb({ routerid: '0.0.0.0' })),
  case_('bad_area', 'ospf.area', head({ ospf: { area: '0' } })),
  case_('bad_hostname', `${l}.hostname`, lb({ hostname: '../etc' })),
  case_('bad_hostname', `${v}.wss[0]`, vip({ wss: ['ngx1 room'] })),
  case_('bad_hostname', `${v}.domains[0]`, vip({ domains: ['-.example'] })),
  case_('bad_hostname', `${v}.ports[0].check.host`, port({ check: { host: 'a\nb' } })),
  case_('bad_path', 'check.path', head({ check: { path: '/a b' } })),
  case_('bad_path', `${v}.ports[0].check.path`, port({ check: { path: '/"' } })),
  case_('bad_digest', 'check.digest', head({ check: { digest: 'ABC' } })),
  case_('bad_text', `${v}.owner`, vip({ owner: 'a\u2028b' })),
  case_('bad_user', 'ssh.user', head({ ssh: { user: '-oProxyCommand=x' } })),
  case_('bad_ospf_key', 'ospf.key', head({ ospf: { key } })),
  // one document
  case_('needs_dpvs', `${v}.ports[0].establish_timeout`, port({ establish_timeout: 90 })),
  case_('needs_ipvs', 'synproxy', head({ synproxy: { wscale: 9 } })),
  case_('scheduler_unsupported', `${v}.ports[0].scheduler`, port({ scheduler: 'mh' })),
  case_('forwarding_port', `${v}.ports[0].dport`, {
    ...present,
    vip2ws: [{ ...vipOf(1, 1), forwarding: 'dr', ports: [{ ...portOf(80), dport: 8080 }] }],
  }),
  case_('too_many_addresses', `${v}.deny`, onDpvs({ deny: ['10.9.0.0-10.9.15.255', '10.9.16.0'] })),
  case_('duplicate_address', `${v}.allow[1]`, onDpvs({ allow: ['10.9.0.1-7', '10.9.0.7-9'] })),
  case_(
    'proxy_protocol_udp',
    `${v}.ports[0].proxy_protocol`,
    onDpvs({ ports: [{ ...portOf(80), protocol: 'UDP', proxy_protocol: 'v1' }] }),
  ),
  case_(
    'proxy_protocol_forwarding',
    `${v}.ports[0].proxy_protocol`,
    onDpvs({ forwarding: 'tun', ports: [{ ...portOf(80), proxy_protocol: 'v2' }] }),
  ),
  case_('device_too_long', 'device', { ...onDpvs({}), device: 'dpdk12345678' }),
  case_('stub_backbone', 'ospf.stub', head({ ospf: { stub: true } })),
  case_('stub_needs_network', 'ospf.stub', head({ routing: 'frr', ospf: { stub: true, area: '0.0.0.7' } })),
  case_('oldkey_incomplete', 'ospf.oldkeyid', head({ ospf: { key: 'k', oldkey: 'o' } })),
  case_('oldkey_needs_key', 'ospf.oldkey', head({ ospf: { oldkey: 'o', oldkeyid: 7 } })),
  case_('ospf_keyids', 'ospf.oldkeyid', head({ ospf: { key: 'k', oldkey: 'o', oldkeyid: 8 } })),
  case_('reserved_interface', 'device', head({ device: 'lo' })),
  case_('reserved_interface', `${l}.innerdevice`, lb({ innerdevice: 'lo' })),
  case_('reserved_interface', `${l}.uplinks[0].device`, lb({ uplinks: [{ device: 'lo', ospfnet: '192.0.3.0/30' }] })),
  case_('duplicate_device', `${l}.uplinks[0].device`, lb({ uplinks: [{ device: 'em1', ospfnet: '192.0.3.0/30' }] })),
  case_('duplicate_net', `${l}.uplinks[0].ospfnet`, lb({ uplinks: [{ device: 'em2', ospfnet: extraLb(1).ospfnet }] })),
  case_('duplicate_net', 'vipnets[1]', head({ vipnets: [...present.vipnets, ...present.vipnets] })),
  case_('ospf_timers', 'ospf.dead', head({ ospf: { hello: 20 } })),
  case_('bfd_needs_frr', 'ospf.bfd', head({ ospf: { bfd: true } })),
  case_('degrade_needs_network', 'announce', head({ announce: 'degrade', ospf: { announce: 'redistribute' } })),
  case_('check_conflict', 'check.digest', head({ check: { digest: 'a'.repeat(32), status: 200 } })),
  case_('vip_outside_vipnets', `${v}.vip`, vip({ vip: '172.20.1.1' })),
  case_('duplicate_port', `${v}.ports[1].sport`, vip({ ports: [portOf(80), portOf(80, { dport: 81 })] })),
  case_('duplicate_domain', `${v}.domains[1]`, vip({ domains: ['a.example', 'a.example'] })),
  case_('duplicate_ws', `${v}.wss[1]`, vip({ wss: ['ngx1.room1', 'NGX1.room1'] })),
  case_('unknown_ws', `${v}.wsattrs["ngx9.room1"]`, vip({ wsattrs: { 'ngx9.room1': { weight: 1 } } })),
  case_(
    'duplicate_ws_address',
    `${v}.wsattrs["ngx2.room1"].address`,
    vip({ wsattrs: { 'ngx1.room1': { address: '10.9.9.9' }, 'ngx2.room1': { address: '10.9.9.9' } } }),
  ),
  case_(
    'ws_is_vip',
    `${v}.wsattrs["ngx1.room1"].address`,
    vip({ wsattrs: { 'ngx1.room1': { address: vipOf(1, 1).vip } } }),
  ),
  case_('quorum_unreachable', `${v}.quorum`, vip({ quorum: 201 })),
  case_('fullnat_udp', `${v}.ports[0].protocol`, port({ protocol: 'UDP' })),
  case_('fullnat_persistence', `${v}.ports[0].persistence_timeout`, port({ persistence_timeout: 100_000 })),
  case_('check_field_unused', `${v}.ports[0].check.path`, port({ check: { type: 'tcp', path: '/' } })),
  case_('udp_check_of_tcp', `${v}.ports[0].check.type`, port({ check: { type: 'udp' } })),
  case_('not_a_host', `${l}.internalip`, lb({ internalip: '10.100.1.255' })),
  case_('gateway_outside_subnet', `${l}.internalgateway`, lb({ internalgateway: '10.100.9.1' })),
  case_('gateway_is_lb', `${l}.extragateway`, lb({ extragateway: extraLb(1).extraip })),
  case_('ospfnet_mismatch', `${l}.ospfnet`, lb({ ospfnet: '192.0.3.0/29' })),
  case_('lips_and_lipcount', `${l}.lipcount`, lb({ lips: ['10.100.1.100'], lipcount: 8 })),
  case_('lip_taken', `${l}.lips[0]`, lb({ lips: [extraLb(1).internalip] })),
  case_('lip_taken', `${l}.lips[1]`, lb({ lips: ['10.100.1.100-105', '10.100.1.105'] })),
  case_('too_many_lips', `${l}.lips`, lb({ lips: ['10.8.0.0-10.8.15.255', '10.8.16.0'] })),
  case_('lips_exhausted', `${l}.lips`, lb({ internalnetmask: '255.255.255.252' })),
  case_('duplicate_lb', 'lbinfos[1].hostname', lb({ hostname: extraLb(2).hostname.toUpperCase() })),
  case_('duplicate_router_id', 'lbinfos[1].routerid', lb({ routerid: extraLb(2).routerid })),
  case_('duplicate_lb_address', 'lbinfos[1].internalip', lb({ internalip: extraLb(2).internalip })),
  case_('duplicate_vip', 'vip2ws[1].vip', vip({ vip: vipOf(1, 2).vip })),
  case_('vip_is_lb_address', `${v}.vip`, {
    ...present,
    vipnets: ['10.100.1.0/24'],
    vip2ws: [vipOf(1, 1, { vip: extraLb(1).internalip })],
  }),
  // across clusters
  case_('vip_claimed', `${v}.vip`, head({ vipnets: other.vipnets, vip2ws: [vipOf(2, 1, { wsattrs: {} })] })),
  case_('lb_claimed', `${l}.hostname`, lb({ hostname: lbOf(2, 1).hostname.toUpperCase() })),
  case_('router_id_claimed', `${l}.routerid`, lb({ routerid: lbOf(2, 1).routerid })),
  case_('address_claimed', `${l}.internalip`, lb({ internalip: lbOf(2, 1).internalip, internalgateway: '10.100.2.1' })),
  case_('address_claimed', `${l}.lips`, lb({ lips: ['10.100.2.202'] })),
  case_(
    'address_claimed',
    `${v}.vip`,
    head({ vipnets: ['10.100.2.0/24'], vip2ws: [vipOf(1, 1, { vip: '10.100.2.201' })] }),
  ),
  case_('address_claimed', `${l}.lips`, lb({ lips: ['10.100.3.77'] })),
  case_('address_claimed', `${l}.lips`, lb({ lips: ['10.100.2.99'] })),
  case_('address_is_lip', '', vip({ wsattrs: { 'ngx1.room1': { address: '10.100.2.200' } } })),
  case_('lip_held', `${l}.lips`, lb({ lips: ['10.100.1.254'] }, lbOf(1, 1, { hostname: 'new.room1' }))),
];

/** Refused because of others, not because of itself. */
const claims = ['vip_claimed', 'lb_claimed', 'router_id_claimed', 'address_claimed', 'address_is_lip'];

describe('a document', () => {
  const titled = broken.map((b) => ({ ...b, title: `${b.code} at ${b.path || 'its whole'}` }));

  test.each(titled)('is refused with $title', async ({ code, path, document }) => {
    const status = claims.includes(code) ? 409 : 422;
    const json = document as Cluster;
    if (code === 'lip_held') {
      // The planned LIPs of the first LB are the highest of its subnet.
      const lips = expectDone(await v1(server, `/clusters/${present.name}/lips`)).json<{
        lbs: Record<string, string[]>;
      }>();
      expect(Object.values(lips.lbs).flat()).toContain('10.100.1.254');
    }
    const replaced = await v1(server, `/clusters/${json.name ?? present.name}`, { method: 'PUT', json });
    if (code === 'bad_name' && path === 'name') {
      expectProblem(await v1(server, `/clusters/${present.name}`, { method: 'PUT', json }), { status, code, path });
      return;
    }
    const problem = expectProblem(replaced, { status, code, path });
    const item = problem.problems.find((p) => p.code === code && p.path === path);
    expect(item).toMatchObject({ severity: 'error', hint: expect.stringMatching(/\w/) });
    const dry = await v1(server, `/clusters/${present.name}?dryRun=true`, { method: 'PUT', json });
    expectProblem(dry, { status, code, path });
  });

  test('that breaks a rule of any kind is among those above', () => {
    const sources = [
      'edge/check.ts',
      'edge/check-lb.ts',
      'edge/check-vip.ts',
      'edge/check-shared.ts',
      'edge/check-ospf.ts',
      'edge/lips.ts',
      'edge/claims.ts',
      'schema.ts',
    ].map((name) => readFileSync(new URL(`../src/domain/${name}`, import.meta.url), 'utf8'));
    const codes = sources.join('\n').matchAll(/code: (?:.*\? )?'(\w+)'/g);
    const warnings = [
      'ospf_unauthenticated',
      'no_ws',
      'lips_planned',
      'synproxy_unused',
      'oldkey_not_accepted',
      'too_many_paths',
    ];
    const elsewhere = ['claimed', 'lip_quarantined', 'lips_in_service', 'vip_moving', 'bad_key'];
    const tested = new Set([...broken.map((b) => b.code), ...warnings, ...elsewhere]);
    expect([...new Set([...codes].map((m) => m[1]))].filter((code) => !tested.has(code ?? ''))).toEqual([]);
  });

  test('has all of its problems told at once', async () => {
    const json = {
      ...present,
      device: 'lo',
      ospf: { hello: 20 },
      vip2ws: [vipOf(1, 1, { vip: '172.20.1.1', quorum: 999 })],
    };
    const problem = expectProblem(await v1(server, `/clusters/${present.name}`, { method: 'PUT', json }), {
      status: 422,
    });
    expect(problem.problems.map((p) => p.path).toSorted()).toEqual(['device', 'ospf.dead', `${v}.quorum`, `${v}.vip`]);
  });
});

test('a field that names a thing is not changeable', async () => {
  for (const [path, json, at] of [
    [`/clusters/${present.name}`, { name: 'x' }, 'set.name'],
    [`/clusters/${present.name}/vips/${vipOf(1, 1).vip}`, { vip: '172.16.1.9' }, 'set.vip'],
    [`/clusters/${present.name}/lbs/${lbOf(1, 1).hostname}`, { hostname: 'x.room' }, 'set.hostname'],
  ] as const) {
    expectProblem(await v1(server, path, { method: 'PATCH', json }), { status: 422, code: 'not_changeable', path: at });
  }
});

test('what is there already, and the last port, are refused', async () => {
  const vips = `/clusters/${present.name}/vips`;
  const first = vipOf(1, 1);
  expectProblem(await post(server, vips, first), { status: 409, code: 'vip_exists', path: 'vips[0]' });
  expectProblem(await post(server, `${vips}/${first.vip}/wss`, 'ngx1.room1'), { status: 409, code: 'ws_exists' });
  expectProblem(await post(server, `${vips}/${first.vip}/ports`, portOf(80)), { status: 409, code: 'port_exists' });
  expectProblem(await post(server, `/clusters/${present.name}/lbs`, extraLb(1)), { status: 409, code: 'lb_exists' });
  const operations = [{ op: 'port.remove', vip: first.vip, ports: ['80', '443'] }];
  expectProblem(await post(server, `/clusters/${present.name}/batch`, { operations }), {
    status: 422,
    code: 'last_port',
  });
});

// shapes -------------------------------------------------------------------------------------

const taking = [...operationRoutes, ...Object.values(routes)]
  .filter((route) => route.method !== 'GET' && 'body' in route && route.body !== undefined)
  .map(({ method, path }) => ({
    method,
    path: path
      .replace(':cluster', present.name)
      .replace(':vip', vipOf(1, 1).vip)
      .replace(':lb', lbOf(1, 1).hostname)
      .replace(':ws', 'ngx1.room1')
      .replace(':port', '80'),
  }));

function nested(open: string, close: string): string {
  return open.repeat(10_000) + close.repeat(10_000);
}

const deepList = nested('[', ']');
const deepObject = `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`;
const longText = JSON.stringify('x'.repeat(5 * 1024 * 1024));
const manyNumbers = JSON.stringify(Array.from({ length: 200_000 }, (_, i) => i));
const manyObjects = JSON.stringify(Array.from({ length: 30_000 }, () => ({})));

const bodies: Record<string, string> = {
  'a number': '3',
  'a negative number': '-1e308',
  'an empty text': '""',
  'a text that is no name': '"a b"',
  true: 'true',
  null: 'null',
  'an empty list': '[]',
  'a list of null': '[null]',
  'a list of lists': '[[[[]]]]',
  'a list of numbers': '[1,2,3]',
  'an object with a strange key': '{"\\u0000": 1}',
  'an object with constructor': '{"constructor": {"name": "x"}}',
  'an object with __proto__': '{"__proto__": {"name": "x"}}',
  'an object with a nested __proto__': '{"ospf": {"__proto__": {"cost": 1}}}',
  'lists 10,000 deep': deepList,
  'objects 10,000 deep': deepObject,
  'fields that are deep': `{"name": ${deepList}, "ospf": ${deepObject}, "operations": ${deepList}, "to": ${deepList}, "lips": ${deepList}, "vip": ${deepList}, "lbs": ${deepObject}}`,
  'an operation that is deep': `{"operations": [{"op": "cluster.set", "set": {"ospf": ${deepObject}, "check": ${deepList}}}]}`,
  'a text of 5 MB': longText,
  'a field of 5 MB': `{"name": ${longText}, "wstype": 1, "to": ${longText}}`,
  'a list of 200,000 numbers': manyNumbers,
  'a list of 30,000 objects': manyObjects,
  'a field that is a huge list': `{"operations": ${manyNumbers}, "lips": ${manyNumbers}, "lbs": ${manyNumbers}, "vip2ws": ${manyNumbers}, "wss": ${manyNumbers}}`,
};

describe.each(Object.entries(bodies))('a body that is %s', (_name, text) => {
  test('is refused by every route that takes one', async () => {
    for (const { method, path } of taking) {
      const reply = await v1(server, path, { method, text });
      expect([400, 404, 413, 422]).toContain(reply.status);
      const problem = expectProblem(reply, { status: reply.status });
      expect(problem.problems.length).toBeLessThanOrEqual(1000);
      expect(reply.text.length).toBeLessThan(1024 * 1024);
    }
  });
});

test('text bodies that are deep, long or poisoned are refused as well', async () => {
  const texts = [
    deepList,
    deepObject,
    `a: ${deepList}`,
    `${Array.from({ length: 3000 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')} 1`,
    longText,
    `a: ${'x'.repeat(5 * 1024 * 1024)}`,
    '{__proto__: {name: "x"}}',
    '__proto__:\n  name: x\n',
    '? [1, 2]\n: x\n',
    '!!js/function x\n',
    'a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b, *b, *b, *b]\nd: [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\n',
  ];
  for (const text of texts) {
    for (const type of ['text/plain', 'application/yaml']) {
      const reply = await v1(server, '/clusters', { method: 'POST', text, type });
      expect([400, 422]).toContain(reply.status);
      expectProblem(reply, { status: reply.status });
    }
  }
});

test('wsattrs with keys that are no hostnames are refused, those that are names of methods are not confused', async () => {
  const path = `/clusters/${present.name}`;
  for (const name of ['__proto__', 'a b', '', '../x']) {
    const text = JSON.stringify(vip({})).replace('"wstype"', `"wsattrs":{"${name}":{"weight":1}},"wstype"`);
    const reply = await v1(server, path, { method: 'PUT', text, type: 'application/json5' });
    expectProblem(reply, { status: 422 });
  }
  const json = vip({ wss: ['constructor', 'valueof'], wsattrs: { constructor: { weight: 3 } } });
  expectDone(await v1(server, `${path}?dryRun=true`, { method: 'PUT', json }));
  const set = { method: 'PATCH', json: { weight: 3 } };
  const ws = await v1(server, `${path}/vips/${vipOf(1, 1).vip}/wss/__proto__`, set);
  expectProblem(ws, { status: 404, code: 'unknown_ws' });
});
