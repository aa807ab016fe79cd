import { describe, expect, test } from 'vitest';
import type { Lb } from '../../domain/edge/model.ts';
import { filesOf } from './files.ts';
import { importKeepalived } from './keepalived.ts';
import type { Imported, ImportOptions } from './keepalived.ts';
import { samples } from './testing/samples.ts';

function imported(text: string, options: ImportOptions = {}): Imported {
  return importKeepalived(filesOf([['k.conf', text]]), 'k.conf', { wstype: 'apps', ...options });
}

/** Findings of one severity as `LINE STATEMENT: why`. */
function said({ findings }: Imported, severity: 'lost' | 'dropped'): string[] {
  return findings.filter((one) => one.severity === severity).map((one) => `${one.line} ${one.statement}: ${one.why}`);
}

const lb: Lb = {
  hostname: 'lb1',
  routerid: '10.0.19.2',
  internalip: '10.0.19.2',
  internalnetmask: '255.255.255.0',
  internalgateway: '10.0.19.1',
  ospfnet: '10.0.19.0/24',
};

const ports = [80, 443].map((sport) => ({ sport, dport: sport, synproxy: 1, persistence_timeout: 50 }));
const wsattrs = {
  'ws-10-0-20-11': { address: '10.0.20.11' },
  'ws-10-0-20-12': { weight: 50, address: '10.0.20.12' },
};
const vip = { vip: '10.10.1.1', wstype: 'apps', wss: Object.keys(wsattrs), ports, wsattrs };

describe('a configuration of each data plane', () => {
  test('fullnat: LIPs go to the LB, and the rest is all there', () => {
    const result = imported(samples.fullnat, { base: { lbinfos: [lb], vip2ws: [] } });
    expect(result.dataplane).toBe('fullnat');
    expect(result.draft).toEqual({ lbinfos: [{ ...lb, lips: ['10.0.19.200', '10.0.19.201-203'] }], vip2ws: [vip] });
    expect(said(result, 'lost')).toEqual([]);
    expect(result.comparison).toMatchObject({
      services: 2,
      realServers: 4,
      equivalent: 2,
      explained: 0,
      unexplained: 0,
    });
    expect(result.notes[0]).toBe('read as fullnat, by 10.0.19.200 (k.conf:9)');
  });

  test('dpvs: LIPs have an interface, and establish_timeout stays', () => {
    const result = imported(samples.dpvs, { base: { device: 'dpdk1', lbinfos: [lb], vip2ws: [] } });
    expect(result.draft).toEqual({
      device: 'dpdk1',
      dataplane: 'dpvs',
      lbinfos: [{ ...lb, lips: ['10.0.19.200', '10.0.19.201-203'], innerdevice: 'dpdk0' }],
      vip2ws: [{ ...vip, ports: [{ ...ports[0], establish_timeout: 300 }, ports[1]] }],
    });
    expect(said(result, 'lost')).toEqual([]);
    expect(result.comparison).toMatchObject({ equivalent: 2, unexplained: 0 });
  });

  test('ipvs: no LIPs, no SYN proxy', () => {
    const result = imported(samples.ipvs);
    expect(result.draft).toEqual({
      dataplane: 'ipvs',
      vip2ws: [{ ...vip, ports: ports.map((port) => ({ ...port, synproxy: 0 })) }],
    });
    expect(said(result, 'lost')).toEqual([]);
    expect(result.comparison).toMatchObject({ equivalent: 2, unexplained: 0 });
    expect(result.notes.join()).toContain('source NAT');
  });

  test('what Weir writes itself is dropped, each statement with its reason', () => {
    expect(said(imported(samples.ipvs), 'dropped').map((text) => text.replace(/ .*?: /, ' '))).toEqual([
      '2 Weir writes its own',
      '3 Weir writes its own',
      '4 Weir writes its own',
      ...[15, 16].map((line) => `${line} Weir writes its own`),
      ...[19, 20].map((line) => expect.stringMatching(`^${line} puts the VIP on lo`) as string),
      ...[55, 56].map((line) => `${line} Weir writes its own`),
      ...[59, 60].map((line) => expect.stringMatching(`^${line} puts the VIP on lo`) as string),
    ]);
  });

  test('words of another data plane speak against one that was asked for', () => {
    const { notes, findings } = imported(samples.fullnat, { dataplane: 'ipvs' });
    expect(notes.join('\n')).toMatch(/against ipvs speaks 10\.0\.19\.200 \(k\.conf:9\), which is of fullnat/);
    expect(findings.filter((one) => one.field === 'lips' && one.severity === 'lost')).toHaveLength(2);
    expect(imported(samples.dpvs.replaceAll('_203 dpdk0', '')).dataplane).toBe('dpvs');
    const mixed = imported(samples.dpvs.replace('.200 dpdk0', '.200'));
    expect(mixed.dataplane).toBe('dpvs');
    expect(mixed.notes.join('\n')).toMatch(/against dpvs speaks 10\.0\.19\.200 /);
  });
});

/** A service of ipvs by its own statements, and those of its real servers. */
function one(
  server: string[],
  ws: string[] = ['weight 100', 'TCP_CHECK {', 'retry 3', 'delay_before_retry 3', '}'],
  top: string[] = [],
): string {
  return [
    ...top,
    'virtual_server 10.10.1.1 80 {',
    'lb_algo wrr',
    'lb_kind NAT',
    'protocol TCP',
    'delay_loop 6',
    ...server,
    'real_server 10.0.20.11 80 {',
    ...ws,
    '}',
    '}',
    '',
  ].join('\n');
}

const check = (kind: string, ...lines: string[]) => [
  'weight 100',
  `${kind} {`,
  ...lines,
  'retry 3',
  'delay_before_retry 3',
  '}',
];
const page = (...lines: string[]) => check('HTTP_GET', 'url {', ...lines, '}');

describe('a statement that the document cannot have', () => {
  test('nothing is found where there is none', () => {
    const result = imported(one([]));
    expect(result.findings).toEqual([]);
    expect(result.comparison.equivalent).toBe(1);
  });

  /** [what, the configuration, what is said of which statement, what of the service it is about] */
  const lost: [string, string, RegExp, string][] = [
    [
      'a sorry server',
      one(['sorry_server 10.0.20.99 80']),
      /^6 sorry_server 10\.0\.20\.99 80: a sorry server/,
      'other',
    ],
    ['hysteresis', one(['hysteresis 2']), /^6 hysteresis 2: a margin/, 'quorum'],
    ['persistence of nets', one(['persistence_granularity 255.255.255.0']), /^6 .*clients of one net/, 'persistence'],
    ['one-packet scheduling', one(['ops']), /^6 ops: each packet/, 'other'],
    ['a flag of the scheduler', one(['mh-port']), /^6 mh-port: a flag/, 'scheduler'],
    [
      'a scheduler that is none',
      one(['lb_algo best']),
      /^6 lb_algo best: dataplane ipvs has no scheduler best/,
      'scheduler',
    ],
    ['a way of forwarding that is none', one(['lb_kind WIRE']), /^6 lb_kind WIRE: no way of forwarding/, 'kind'],
    ['a kind of tunnel', one(['lb_kind TUN type gue port 6080']), /^6 .*settings of the tunnel/, 'kind'],
    ['a script', one(['quorum_up "/usr/local/bin/page me"']), /^6 .*script that would not run/, 'other'],
    [
      'a script that does more',
      one(['quorum_up "ip addr add 10.10.1.1/32 dev lo; mail me"']),
      /^6 .*script that would not/,
      'other',
    ],
    ['persistence without end', one(['persistence_timeout 99999999']), /^6 .*is 2678400/, 'persistence'],
    ['a quorum that is never reached', one(['quorum 101']), /^6 quorum 101: .*never reached, and 100/, 'quorum'],
    ['a protocol', one(['protocol SCTP']), /^6 protocol SCTP: .*left out/, 'service'],
    ['a firewall mark', one([]).replace('10.10.1.1 80', 'fwmark 3'), /^1 virtual_server fwmark 3: /, 'service'],
    [
      'a VIP with IPv6',
      one([]).replace('10.10.1.1 80', 'fd00::1 80'),
      /^1 virtual_server fd00::1 80: .*IPv6/,
      'service',
    ],
    ['a VIP without a port', one([]).replace('10.10.1.1 80', '10.10.1.1'), /^1 .*no port/, 'service'],
    [
      'a group that is not there',
      one([]).replace('10.10.1.1 80', 'group g'),
      /^1 .*no virtual_server_group g/,
      'service',
    ],
    ['a WS with IPv6', one([]).replace('10.0.20.11 80', 'fd00::2 80'), /^6 real_server fd00::2 80: .*IPv6/, 'servers'],
    ['a WS by name', one([]).replace('10.0.20.11 80', 'web1 80'), /^6 real_server web1 80: no unicast/, 'servers'],
    ['a WS without a port', one([]).replace('10.0.20.11 80', '10.0.20.11'), /^6 .*no port/, 'servers'],
    [
      'a WS that is the VIP',
      one([]).replace('10.0.20.11 80', '10.10.1.1 80'),
      /^6 .*the WS is the VIP itself/,
      'servers',
    ],
    [
      'a WS that is forwarded to otherwise',
      one([], [...check('TCP_CHECK'), 'lvs_method DR']),
      /^6 .*another way of/,
      'servers',
    ],
    [
      'all WSs at weight 0',
      one([], ['weight 0', ...check('TCP_CHECK').slice(1)]),
      /^1 .*weight 0.*left out/,
      'service',
    ],
    ['inhibit_on_failure', one([], [...check('TCP_CHECK'), 'inhibit_on_failure']), /^12 inhibit_on_failure: /, 'other'],
    ['limits on connections', one([], [...check('TCP_CHECK'), 'uthreshold 9']), /^12 uthreshold 9: a limit/, 'other'],
    [
      'a script of a WS',
      one([], [...check('TCP_CHECK'), 'notify_down /bin/x']),
      /^12 notify_down \/bin\/x: a script/,
      'other',
    ],
    ['no check', one([], ['weight 100']), /^6 real_server .*is not checked/, 'check'],
    ...['MISC_CHECK', 'SMTP_CHECK', 'DNS_CHECK', 'PING_CHECK', 'BFD_CHECK', 'FILE_CHECK'].map(
      (kind): [string, string, RegExp, string] => [
        kind,
        one([], check(kind, 'misc_path /x')),
        new RegExp(`^8 ${kind}: the document has no such check`),
        'check',
      ],
    ),
    ['a second check', one([], [...check('TCP_CHECK'), 'PING_CHECK {', '}']), /^12 PING_CHECK: .*another one/, 'check'],
    [
      'another port of the check',
      one([], check('TCP_CHECK', 'connect_port 81')),
      /^9 connect_port 81: .*another port/,
      'check',
    ],
    [
      'another machine of the check',
      one([], check('TCP_CHECK', 'connect_ip 10.0.20.1')),
      /^9 connect_ip .*another machine/,
      'check',
    ],
    [
      'where the check comes from',
      one([], check('TCP_CHECK', 'bindto 10.0.0.1')),
      /^9 bindto .*source address/,
      'check',
    ],
    [
      'a second page',
      one([], check('HTTP_GET', 'url {', 'path /', 'status_code 200', '}', 'url {', 'path /b', '}')),
      /^13 url: a second page/,
      'check',
    ],
    ['several statuses', one([], page('path /', 'status_code 200-299 404')), /^11 .*any of 200-299 404.*200$/, 'check'],
    ['no status', one([], page('path /')), /^9 url: any of 200-299/, 'check'],
    [
      'status and digest',
      one([], page('path /', `digest ${'a'.repeat(32)}`, 'status_code 200')),
      /^12 status_code 200: .*digest is taken/,
      'check',
    ],
    [
      'a search in the page',
      one([], page('path /', 'status_code 200', 'regex ok')),
      /^12 regex ok: the page is searched/,
      'check',
    ],
    [
      'a path that no document has',
      one([], page('path /a;b', 'status_code 200')),
      /^10 path \/a;b: .*takes a connection/,
      'check',
    ],
    [
      'a host that is none',
      one([], page('path /', 'status_code 200', 'virtualhost a_b')),
      /^12 virtualhost a_b: /,
      'check',
    ],
    ['a digest that is none', one([], page('path /', 'digest abc')), /^11 digest abc: /, 'check'],
    ['no page', one([], check('HTTP_GET')), /^8 HTTP_GET: asks no page/, 'check'],
    [
      'a host without its name',
      one([], check('SSL_GET', 'url {', 'path /', 'status_code 200', 'virtualhost a', '}')),
      /^8 SSL_GET: no enable_sni/,
      'check',
    ],
    [
      'other times between tries',
      one([], check('TCP_CHECK').with(3, 'delay_before_retry 5')),
      /^10 delay_before_retry 5: .*come 5 s apart/,
      'check',
    ],
    ['no tries', one([], check('TCP_CHECK').with(2, 'retry 0')), /^9 retry 0: is 1/, 'check'],
    ['fractions', one(['delay_loop 2.5']), /^6 delay_loop 2\.5: is 3/, 'check'],
    ['a heavy WS', one([], ['weight 70000', ...check('TCP_CHECK').slice(1)]), /^7 weight 70000: is 65535/, 'weight'],
    ['words that nobody knows', one(['colour red']), /^6 colour red: not a word/, 'other'],
    ['VRRP', one([], undefined, ['vrrp_instance a {', 'priority 1', '}']), /^1 vrrp_instance a: VRRP/, 'other'],
    ['groups of VRRP', one([], undefined, ['vrrp_sync_group a {', '}']), /^1 vrrp_sync_group a: VRRP/, 'other'],
    [
      'routes',
      one([], undefined, ['static_routes {', '10.0.0.0/8 via 10.1.1.1', '}']),
      /^1 static_routes: addresses/,
      'other',
    ],
    ['BFD', one([], undefined, ['bfd_instance a {', '}']), /^1 bfd_instance a: BFD/, 'other'],
    ['namespaces', one([], undefined, ['net_namespace a']), /^1 net_namespace a: /, 'other'],
    [
      'synchronous connections',
      one([], undefined, ['global_defs {', 'lvs_sync_daemon eth0', '}']),
      /^2 lvs_sync_daemon eth0: /,
      'other',
    ],
    [
      'timeouts',
      one([], undefined, ['global_defs {', 'lvs_timeouts tcp 5', '}']),
      /^2 lvs_timeouts tcp 5: /,
      'timeouts',
    ],
    ['a number that is none', one(['quorum many']), /^6 quorum many: needs a number/, 'quorum'],
    ['sequences', one([], undefined, ['~SEQ(A, 1, 3) x']), /^1 ~SEQ\(A, 1, 3\) x: not a word/, 'other'],
    ['a service that stands twice', `${one([])}${one([])}`, /^14 virtual_server .*served twice/, 'service'],
    [
      'a group that stands twice',
      one([], undefined, ['virtual_server_group g {', '}', 'virtual_server_group g {', '}']),
      /^3 .*stands twice/,
      'other',
    ],
    [
      'a WS that stands twice',
      one(['real_server 10.0.20.11 80 {', ...check('TCP_CHECK'), '}']),
      /^13 .*stands twice/,
      'servers',
    ],
  ];

  test.each(lost)('%s is lost', (...given) => {
    const [, text, wanted, field] = given;
    const result = imported(text);
    const found = said(result, 'lost');
    expect(found).toContainEqual(expect.stringMatching(wanted));
    const index = found.findIndex((line) => wanted.test(line));
    const finding = result.findings.filter((entry) => entry.severity === 'lost')[index];
    expect([finding?.file, finding?.field]).toEqual(['k.conf', field]);
    expect(result.comparison).toMatchObject({ unexplained: 0 });
    const touched = finding?.server !== undefined && !finding.why.includes('served twice');
    if (touched && result.comparison.services === 1) expect(result.comparison.explained).toBe(1);
  });

  test('a lost block says how much is in it', () => {
    const { findings } = imported('vrrp_instance a {\nauthentication {\nauth_type PASS\nauth_pass x\n}\n}\n');
    expect(findings.map(({ statement, within }) => [statement, within])).toEqual([['vrrp_instance a', 3]]);
  });

  test('a word that stands twice counts the last time', () => {
    const result = imported(one(['lb_algo rr', 'lvs_sched lc']));
    expect(result.draft.vip2ws[0]?.ports[0]?.scheduler).toBe('lc');
    expect(said(result, 'dropped')).toEqual([
      '2 lb_algo wrr: lb_algo stands again further down, where it counts',
      '6 lb_algo rr: lb_algo stands again further down, where it counts',
    ]);
  });

  test('mail, logs and processes are dropped', () => {
    const globals = [
      'notification_email {',
      'a@b',
      '}',
      'smtp_server 1.1.1.1',
      'vrrp_strict',
      'checker_priority 3',
      'enable_dbus',
    ];
    const result = imported(one([], undefined, ['global_defs {', ...globals, '}']));
    expect(said(result, 'lost')).toEqual([]);
    expect(said(result, 'dropped').map((text) => text.split(' ')[0])).toEqual(['2', '5', '6', '7', '8']);
  });
});

describe('keepalived 1.2.2', () => {
  const fullnat = (text: string) => imported(text, { dataplane: 'fullnat', base: { lbinfos: [lb], vip2ws: [] } });

  test('serves no UDP that a document may have', () => {
    const result = fullnat(samples.fullnat.replace('protocol TCP', 'protocol udp'));
    expect(said(result, 'lost')).toEqual([expect.stringMatching(/^21 protocol udp: .*no health check for UDP/)]);
    expect(result.draft.vip2ws[0]?.ports.map((port) => port.sport)).toEqual([443]);
  });

  test('has checks that were never passed', () => {
    const result = fullnat(
      samples.fullnat
        .replace('connect_timeout 3\n            nb', 'nb')
        .replace('status_code 200', `digest ${'A'.repeat(32)}`),
    );
    expect(said(result, 'lost').join('\n')).toMatch(/without connect_timeout.*always fails/);
    expect(said(result, 'lost').join('\n')).toMatch(/compares with lowercase/);
  });

  test('tells NAT from FULLNAT', () => {
    const result = fullnat(samples.fullnat.replaceAll('lb_kind FNAT', 'lb_kind NAT'));
    expect(said(result, 'lost')).toEqual([
      expect.stringMatching(/NAT becomes FULLNAT/),
      expect.stringMatching(/NAT becomes FULLNAT/),
    ]);
    expect(result.comparison).toMatchObject({ equivalent: 0, explained: 2, unexplained: 0 });
  });

  test('persistence without a number is said', () => {
    expect(said(fullnat(samples.fullnat.replace('persistence_timeout 50', 'persistence_timeout')), 'lost')[0]).toMatch(
      /crashes again and again/,
    );
    expect(
      imported(samples.ipvs.replace('persistence_timeout 50', 'persistence_timeout')).draft.vip2ws[0]?.ports[0],
    ).toMatchObject({ persistence_timeout: 360 });
  });

  test('has its own words for retries of a TCP check, which is none', () => {
    const text = samples.fullnat.replaceAll(
      /HTTP_GET \{[^]*?\n {8}\}/g,
      'TCP_CHECK {\nconnect_timeout 3\nnb_get_retry 3\n}',
    );
    const result = fullnat(text);
    expect(said(result, 'lost')).toEqual([]);
    expect(said(result, 'dropped').filter((line) => line.includes('nb_get_retry'))).toHaveLength(2);
    expect(result.draft.vip2ws[0]?.ports[0]?.check).toEqual({ type: 'tcp' });
  });
});

describe('what is not written is what keepalived does without it', () => {
  test('mainline: weight 1, one more try after 1 s or 3 s, 5 s to answer, a check a minute', () => {
    const bare = one([], ['TCP_CHECK {', '}']).replace('delay_loop 6\n', '');
    const result = imported(bare.replace('lb_algo wrr\n', ''));
    const [port] = result.draft.vip2ws[0]?.ports ?? [];
    expect(port).toMatchObject({ persistence_timeout: 0, scheduler: 'wlc' });
    expect(port?.check).toEqual({ type: 'tcp', interval: 60, timeout: 5, retry: 1 });
    expect(result.draft.vip2ws[0]?.wsattrs).toEqual({ 'ws-10-0-20-11': { weight: 1, address: '10.0.20.11' } });
    expect(said(result, 'lost')).toEqual([expect.stringMatching(/TCP_CHECK: tries of a failing check come 1 s apart/)]);
    const http = imported(one([], ['HTTP_GET {', 'url {', 'path /', 'status_code 200', '}', '}']));
    expect(http.findings).toEqual([]);
    expect(http.draft.vip2ws[0]?.ports[0]?.check).toEqual({ path: '/', timeout: 5, retry: 1 });
  });

  test('1.2.2: no tries, and at once', () => {
    const text = samples.fullnat.replace('nb_get_retry 3\n            delay_before_retry 3\n', '');
    expect(said(imported(text, { base: { lbinfos: [lb], vip2ws: [] } }), 'lost')).toEqual([
      expect.stringMatching(/HTTP_GET: a WS is taken out by the first check that fails/),
      expect.stringMatching(/HTTP_GET: tries of a failing check come 0 s apart/),
      expect.stringMatching(/HTTP_GET: another check than most/),
    ]);
  });

  test('1.2.2: only the virtual server has a virtualhost', () => {
    const base = { lbinfos: [lb], vip2ws: [] };
    const inner = imported(samples.fullnat.replace('weight 100\n', 'weight 100\nvirtualhost a.example\n'), { base });
    expect(said(inner, 'lost')).toEqual([expect.stringMatching(/virtualhost a\.example: not a word/)]);
    const outer = imported(samples.fullnat.replace('    alpha\n', '    virtualhost a.example\n'), { base });
    expect(said(outer, 'lost')).toEqual([]);
    expect(outer.draft.vip2ws[0]?.ports.map((port) => port.check?.host)).toEqual(['a.example', undefined]);
  });

  test('LIPs with an interface are of dpvs, without any other sign', () => {
    const text = 'local_address_group g {\n10.0.19.200 dpdk0\n}\n';
    expect(imported(text).dataplane).toBe('dpvs');
    expect(imported(text.replace(' dpdk0', '')).dataplane).toBe('fullnat');
    expect(imported('virtual_server 10.0.0.1 80 {\nsyn_proxy\n}\nglobal_defs {\nscript_user root\n}\n').dataplane).toBe(
      'dpvs',
    );
  });
});

describe('the ports of one VIP', () => {
  const two = (first: string, second: string) => `${first}${second.replace('10.10.1.1 80', '10.10.1.1 81')}`;
  const plain = one([]);

  test('share one list of WSs: a port with others is left out', () => {
    const result = imported(two(plain, plain.replace('10.0.20.11', '10.0.20.12')));
    expect(result.draft.vip2ws.map(({ wss, ports: all }) => [wss, all.map((port) => port.sport)])).toEqual([
      [['ws-10-0-20-11'], [80]],
    ]);
    expect(said(result, 'lost')).toEqual([
      expect.stringMatching(/^14 virtual_server 10\.10\.1\.1 81: port 81 is left out.*port 80 has other WSs/),
    ]);
    expect(result.comparison).toMatchObject({ services: 2, equivalent: 1, explained: 1, unexplained: 0 });
  });

  test('of several lists, that of most ports is taken', () => {
    const third = plain.replace('10.10.1.1 80', '10.10.1.1 82');
    const result = imported(`${plain.replace('10.0.20.11', '10.0.20.12')}${two('', plain)}${third}`);
    expect(result.draft.vip2ws[0]?.ports.map((port) => port.sport)).toEqual([81, 82]);
  });

  test('share the weights of their WSs', () => {
    const result = imported(two(plain, plain.replace('weight 100', 'weight 7')));
    expect(said(result, 'lost')).toEqual([
      expect.stringMatching(/^20 weight 7: 10\.10\.1\.1: weight 7 on port 81 and 100 on port 80/),
    ]);
    expect(result.comparison).toMatchObject({ equivalent: 1, explained: 1, unexplained: 0 });
  });

  test('share a quorum', () => {
    const result = imported(two(one(['quorum 2']), one(['quorum 3'])));
    expect(said(result, 'lost')).toEqual([expect.stringMatching(/^20 quorum 3: quorum 3 on port 81 and 2 on port 80/)]);
    expect(result.draft.vip2ws[0]?.quorum).toBe(2);
  });

  test('go to one port of the WSs', () => {
    const result = imported(
      one([
        'real_server 10.0.20.12 80 {',
        ...check('TCP_CHECK'),
        '}',
        'real_server 10.0.20.13 81 {',
        ...check('TCP_CHECK'),
        '}',
      ]),
    );
    expect(result.draft.vip2ws[0]?.wss).toEqual(['ws-10-0-20-12', 'ws-10-0-20-11']);
    expect(said(result, 'lost')).toEqual([expect.stringMatching(/^13 real_server 10\.0\.20\.13 81: another port/)]);
  });

  test('have one check each, that of most WSs', () => {
    const result = imported(
      one([
        'real_server 10.0.20.12 80 {',
        ...check('TCP_CHECK'),
        '}',
        'real_server 10.0.20.13 80 {',
        ...page('path /', 'status_code 200'),
        '}',
      ]),
    );
    expect(result.draft.vip2ws[0]?.ports[0]?.check).toEqual({ type: 'tcp', timeout: 5 });
    expect(said(result, 'lost')).toEqual([expect.stringMatching(/^15 HTTP_GET: another check than most/)]);
  });
});

describe('groups and inheritance', () => {
  test('a group stands for its addresses and ranges, each a VIP', () => {
    const group = [
      'virtual_server_group g {',
      '10.10.1.1 80',
      '10.10.1.4-6 80',
      '10.10.2.0/30 81',
      'fwmark 1',
      'fd00::1-2 80',
      '10.10.1.9',
      '}',
    ];
    const result = imported(one([], undefined, group).replace('virtual_server 10.10.1.1 80', 'virtual_server group g'));
    expect(result.draft.vip2ws.map((one_) => `${one_.vip}:${one_.ports[0]?.sport}`)).toEqual([
      '10.10.1.1:80',
      '10.10.1.4:80',
      '10.10.1.5:80',
      '10.10.1.6:80',
      '10.10.2.0:81',
      '10.10.2.1:81',
      '10.10.2.2:81',
      '10.10.2.3:81',
    ]);
    expect(said(result, 'lost').map((text) => text.split(':')[0])).toEqual(['5 fwmark 1', '6 fd00', '7 10.10.1.9']);
  });

  test('a group that nothing uses is dropped', () => {
    expect(said(imported(one([], undefined, ['virtual_server_group g {', '10.10.1.2 80', '}'])), 'dropped')).toEqual([
      expect.stringMatching(/^1 virtual_server_group g: no virtual_server/),
    ]);
  });

  test('real servers and checks inherit, and say otherwise', () => {
    const server = ['connect_timeout 7', 'retry 2', 'delay_before_retry 3', 'virtualhost a.example'];
    const ws = [
      'weight 100',
      'retry 4',
      'HTTP_GET {',
      'connect_timeout 8',
      'url {',
      'path /',
      'status_code 204',
      '}',
      '}',
    ];
    const result = imported(one(server, ws));
    expect(result.findings).toEqual([]);
    expect(result.draft.vip2ws[0]?.ports[0]?.check).toEqual({
      path: '/',
      host: 'a.example',
      status: 204,
      timeout: 8,
      retry: 4,
    });
  });

  test('DR and TUN are ways of forwarding', () => {
    for (const [kind, forwarding] of [
      ['DR', 'dr'],
      ['TUN', 'tun'],
    ] as const) {
      const result = imported(one([`lb_kind ${kind}`]));
      expect(result.draft.vip2ws[0]?.forwarding).toBe(forwarding);
      expect(result.comparison).toMatchObject({ equivalent: 1, unexplained: 0 });
    }
  });

  test('lists of clients are of dpvs', () => {
    const groups = 'deny_address_group bad {\n198.51.100.7\n198.51.100.0/30\nfd00::1\n}\n';
    const used = (text: string) =>
      groups + text.replaceAll('    alpha\n', '    daddr_group_name bad\n    waddr_group_name gone\n');
    const result = imported(used(samples.dpvs), { base: { lbinfos: [lb], vip2ws: [] } });
    expect(result.draft.vip2ws[0]?.deny).toEqual(['198.51.100.7', '198.51.100.0-198.51.100.3']);
    expect(said(result, 'lost').map((text) => text.split(':')[0])).toEqual([
      '4 fd00',
      '28 waddr_group_name gone',
      '71 waddr_group_name gone',
    ]);
  });
});

describe('what is known besides', () => {
  const base = { name: 'c1', type: 'internal' as const, device: 'em1', vipnets: ['10.10.1.0/24'], vip2ws: [] };

  test('VIPs of the base keep what no keepalived.conf has, and others stay', () => {
    const other = { ...vip, vip: '10.10.1.2', wstype: 'search', ports: [] };
    const same = {
      ...vip,
      wstype: 'shop',
      owner: 'me',
      domains: ['a.example'],
      quorum: 5,
      wss: ['web1'],
      wsattrs: { web1: { address: '10.0.20.11' } },
      ports: [],
    };
    const options = { base: { ...base, vip2ws: [other, same] }, wstype: undefined };
    const result = imported(samples.fullnat, options);
    expect(result.draft.vip2ws).toEqual([
      other,
      {
        ...vip,
        wstype: 'shop',
        owner: 'me',
        domains: ['a.example'],
        wss: ['web1', 'ws-10-0-20-12'],
        wsattrs: { web1: { address: '10.0.20.11' }, 'ws-10-0-20-12': wsattrs['ws-10-0-20-12'] },
      },
    ]);
    expect(imported(samples.fullnat, { ...options, replace: true }).draft.vip2ws).toHaveLength(1);
  });

  test('names come from the hosts file', () => {
    const { draft, notes } = imported(samples.fullnat, {
      base,
      names: new Map([
        ['10.0.20.11', 'web1.room'],
        ['10.0.20.12', 'WEB1.room'],
      ]),
    });
    expect(draft.vip2ws[0]?.wss).toEqual(['web1.room', 'ws-10-0-20-12']);
    expect(notes.join('\n')).toMatch(/made from their addresses .*: 1;/);
  });

  test('checks are said as far as they differ from those of the cluster', () => {
    const own = { ...base, check: { path: '/x', digest: 'a'.repeat(32), timeout: 9 } };
    const { draft, comparison } = imported(samples.fullnat, { base: own });
    expect(draft.vip2ws[0]?.ports[0]?.check).toEqual({ path: '/http_check/index.html', status: 200, timeout: 3 });
    expect(comparison).toMatchObject({ equivalent: 2, unexplained: 0 });
  });

  test('a host that the cluster’s check has and the file does not is shown as a difference', () => {
    const { comparison } = imported(samples.ipvs, { base: { ...base, check: { host: 'a.example' } } });
    expect(comparison).toMatchObject({ equivalent: 0, unexplained: 2 });
    expect(comparison.differences[0]).toMatchObject({ field: 'check', explained: false });
  });

  test('of several LBs, LIPs are those of the one that router_id names', () => {
    const lbs = [lb, { ...lb, hostname: 'lb2', internalip: '10.0.19.3', routerid: '10.0.19.3' }];
    const named = imported(samples.fullnat.replace('LVS_lb1', 'lb2'), { base: { ...base, lbinfos: lbs } });
    expect(named.draft.lbinfos?.map((one_) => one_.lips?.length)).toEqual([undefined, 2]);
    const unnamed = imported(samples.fullnat.replace('LVS_lb1', 'x'), { base: { ...base, lbinfos: lbs } });
    expect(said(unnamed, 'lost')).toEqual([expect.stringMatching(/^8 local_address_group laddr_g1: which LB/)]);
    expect(unnamed.draft.lbinfos).toEqual(lbs);
  });

  test('the file of another LB adds its LIPs, and the same file changes nothing', () => {
    const lbs = [lb, { ...lb, hostname: 'lb2', internalip: '10.0.19.3', routerid: '10.0.19.3' }];
    const first = imported(samples.fullnat, { base: { ...base, lbinfos: lbs } }).draft;
    expect(imported(samples.fullnat, { base: first, wstype: undefined }).draft).toEqual(first);
    const other = samples.fullnat
      .replace('LVS_lb1', 'LVS_lb2')
      .replace('19.200', '19.210')
      .replace('19.201-203', '19.211');
    const second = imported(other, { base: first, wstype: undefined }).draft;
    expect(second.vip2ws).toEqual(first.vip2ws);
    expect(second.lbinfos?.map((one_) => one_.lips)).toEqual([
      ['10.0.19.200', '10.0.19.201-203'],
      ['10.0.19.210', '10.0.19.211'],
    ]);
  });

  test('several groups of LIPs are one pool, and one that is not used is dropped', () => {
    const two = samples.fullnat
      .replace(
        'virtual_server_group',
        'local_address_group g2 {\n10.0.19.210\n}\nlocal_address_group g3 {\n}\nvirtual_server_group',
      )
      .replace('laddr_group_name laddr_g1', 'laddr_group_name g2');
    const result = imported(two, { base: { ...base, lbinfos: [lb] } });
    expect(result.draft.lbinfos?.[0]?.lips?.toSorted()).toEqual(['10.0.19.200', '10.0.19.201-203', '10.0.19.210']);
    expect(said(result, 'lost')).toEqual([expect.stringMatching(/one pool for all services/)]);
    expect(said(result, 'dropped').join('\n')).toMatch(/local_address_group g3: no virtual_server uses/);
  });

  test('ranges that are too many to be compared one by one are a document all the same', () => {
    const range = samples.ipvs.replaceAll('10.10.1.1 ', '10.10.1.1-60 ');
    const whole = imported(range);
    expect(whole.draft.vip2ws).toHaveLength(60);
    expect(whole.comparison.unavailable).toBeUndefined();
    const { draft, comparison } = imported(range, { limits: { statements: 300 } });
    expect(draft).toEqual(whole.draft);
    expect(comparison.unavailable).toMatch(/^what is rendered is too large to be read again: .*300/);
  });

  test('Weir’s own announcing is read, and other ways of putting a VIP on lo are known', () => {
    const own = imported(one(['quorum_up "/etc/weir/bin/announce-0123456789ab 10.10.1.1 all 1"']));
    expect(own.draft.vip2ws[0]?.announce).toBe('all');
    for (const script of [
      '/sbin/ip addr add 10.10.1.1/32 dev lo',
      'ip a del 10.10.1.1/32 dev lo label lo:1',
      'ip -4 address add 10.10.1.1 dev lo; ip addr del 10.10.1.2/32 dev lo',
      '/sbin/ifconfig lo:0 10.10.1.1 netmask 255.255.255.255 up',
      'ifconfig lo:0 down',
      '/usr/local/sbin/vip.sh up 10.10.1.1',
    ])
      expect([script, said(imported(one([`quorum_up "${script}"`])), 'lost')]).toEqual([script, []]);
  });
});
