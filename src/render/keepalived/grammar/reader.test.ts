import { describe, expect, test } from 'vitest';
import { schedulersOf } from '../../../domain/edge/model.ts';
import { dialects } from './dialects.ts';
import { joinRanges } from './groups.ts';
import { readKeepalived } from './reader.ts';
import type { KeepalivedGrammar, Reading } from './reader.ts';
import { open, tokens } from './statements.ts';

const helper = '/etc/weir/bin/announce-0123456789ab';

const main = `global_defs {
    notification_email {
    }
    smtp_server 127.0.0.1
    smtp_connect_timeout 30
    router_id LVS_lb1
}
local_address_group laddr_g1 {
    10.0.19.200
    10.0.19.201-203
}
include vips/10.10.1.1.conf
`;

const vip = `virtual_server_group 10.10.1.1_80 {
    10.10.1.1 80
}
virtual_server group 10.10.1.1_80 {
    delay_loop 6
    lb_algo wrr
    lb_kind FNAT
    protocol TCP
    persistence_timeout 50
    syn_proxy
    laddr_group_name laddr_g1
    alpha
    omega
    quorum 1
    hysteresis 0
    quorum_up "${helper} 10.10.1.1 any 1"
    quorum_down "${helper} 10.10.1.1 any 1"
    real_server 10.0.20.11 80 {
        weight 100
        HTTP_GET {
            url {
                path /http_check/index.html
                status_code 200
            }
            connect_timeout 3
            nb_get_retry 3
            delay_before_retry 3
        }
    }
}
`;

const newerGlobals = `global_defs {
    router_id LVS_lb1
    script_user root
    enable_script_security
`;

const tls = (text: string) =>
  text
    .replace('HTTP_GET {', 'SSL_GET {\n            enable_sni')
    .replace('status_code 200', 'status_code 200\n                virtualhost www.example.com')
    .replace('nb_get_retry', 'retry');

const dpvsMain = `${newerGlobals}    lvs_process_name weir-0123456789
}
local_address_group laddr_g1 {
    10.0.19.200 dpdk0
    10.0.19.201-202 dpdk0
}
include vips/10.10.1.1.conf
`;

const dpvsVip = `deny_address_group deny_10.10.1.1 {
    203.0.113.250-254
    203.0.113.255
    203.0.114.0-3
    198.51.100.7
}
allow_address_group allow_10.10.1.1 {
    192.0.2.1
}
${tls(vip).replace(
  '    laddr_group_name',
  `    establish_timeout 300
    proxy_protocol v2-insecure
    hash_target qid
    daddr_group_name deny_10.10.1.1
    waddr_group_name allow_10.10.1.1
    laddr_group_name`,
)}`.replace('lb_algo wrr', 'lb_algo conhash');

const ipvsMain = `${newerGlobals}    include_check
    reload_check_config
    lvs_flush
    checker_process_name weir-0123456789
}
include vips/10.10.1.1.conf
`;

const ipvsVip = tls(vip).replace('FNAT', 'NAT').replace('    syn_proxy\n    laddr_group_name laddr_g1\n', '');

const tlsCheck = {
  type: 'SSL_GET',
  path: '/http_check/index.html',
  status: 200,
  host: 'www.example.com',
  sni: true,
  connectTimeout: 3,
  retries: 3,
  retryDelay: 3,
};

function readTree(tree: Record<string, string>, grammar?: KeepalivedGrammar, path = '/etc/k/keepalived.conf'): Reading {
  return readKeepalived((name) => tree[name], path, grammar);
}

function readBoth(mainText: string, vipText: string, grammar?: KeepalivedGrammar): Reading {
  return readTree({ '/etc/k/keepalived.conf': mainText, '/etc/k/vips/10.10.1.1.conf': vipText }, grammar);
}

describe('what a configuration says', () => {
  const common = {
    group: '10.10.1.1_80',
    vip: '10.10.1.1',
    port: 80,
    interval: 6,
    scheduler: 'wrr',
    protocol: 'TCP',
    persistence: 50,
    quorum: 1,
    quorumUp: `${helper} 10.10.1.1 any 1`,
    quorumDown: `${helper} 10.10.1.1 any 1`,
    host: undefined,
  };

  test('is read from fullnat', () => {
    const reading = readBoth(main, vip);
    expect(reading.complaints).toEqual([]);
    expect(reading.routerId).toBe('LVS_lb1');
    expect(reading.processName).toBeUndefined();
    const lips = ['10.0.19.200', '10.0.19.201', '10.0.19.202', '10.0.19.203'];
    expect(reading.lips).toEqual(new Map([['laddr_g1', lips]]));
    const { host: _host, sni: _sni, ...check } = tlsCheck;
    expect(reading.services).toEqual([
      {
        ...common,
        kind: 'FNAT',
        synproxy: true,
        lips,
        realServers: [{ address: '10.0.20.11', port: 80, weight: 100, check: { ...check, type: 'HTTP_GET' } }],
      },
    ]);
  });

  test('is read from dpvs', () => {
    const reading = readBoth(dpvsMain, dpvsVip, 'dpvs');
    expect(reading.complaints).toEqual([]);
    expect([reading.routerId, reading.processName]).toEqual(['LVS_lb1', 'weir-0123456789']);
    expect(reading.services).toEqual([
      {
        ...common,
        scheduler: 'conhash',
        kind: 'FNAT',
        synproxy: true,
        lips: ['10.0.19.200', '10.0.19.201', '10.0.19.202'],
        establishTimeout: 300,
        proxyProtocol: 'v2-insecure',
        hashTarget: 'qid',
        deny: ['198.51.100.7', '203.0.113.250-203.0.114.3'],
        allow: ['192.0.2.1'],
        realServers: [{ address: '10.0.20.11', port: 80, weight: 100, check: tlsCheck }],
      },
    ]);
  });

  test('is read from ipvs', () => {
    const reading = readBoth(ipvsMain, ipvsVip, 'ipvs');
    expect(reading.complaints).toEqual([]);
    expect([reading.routerId, reading.processName]).toEqual(['LVS_lb1', 'weir-0123456789']);
    expect(reading.services).toEqual([
      {
        ...common,
        kind: 'NAT',
        synproxy: false,
        lips: [],
        realServers: [{ address: '10.0.20.11', port: 80, weight: 100, check: tlsCheck }],
      },
    ]);
  });

  test('is a digest, no persistence, DR, UDP where it says so', () => {
    const digest = readBoth(main, vip.replace('status_code 200', `digest ${'a'.repeat(32)}`)).services[0];
    expect(digest?.realServers[0]?.check).toMatchObject({ digest: 'a'.repeat(32) });
    const own = '    persistence_timeout 50\n    syn_proxy\n    laddr_group_name laddr_g1\n';
    const direct = readBoth(main, vip.replace(own, '').replace('FNAT', 'DR'));
    expect(direct.complaints).toEqual([]);
    expect(direct.services[0]).toMatchObject({ kind: 'DR', persistence: 0, synproxy: false, lips: [] });
    const check = ipvsVip.slice(ipvsVip.indexOf('        SSL_GET'), ipvsVip.lastIndexOf('    }\n}'));
    const udpCheck = '        UDP_CHECK {\n connect_timeout 3\n retry 3\n delay_before_retry 3\n }\n';
    const udp = readBoth(ipvsMain, ipvsVip.replace(check, udpCheck).replace('TCP', 'UDP'), 'ipvs');
    expect(udp.complaints).toEqual([]);
    expect(udp.services[0]).toMatchObject({ protocol: 'UDP', realServers: [{ check: { type: 'UDP_CHECK' } }] });
  });

  test('is schedulers that the model has for the same data plane', () => {
    for (const [grammar, { schedulers }] of Object.entries(dialects)) {
      expect(schedulers.toSorted()).toEqual(schedulersOf(grammar as KeepalivedGrammar).toSorted());
    }
  });
});

describe('files of a configuration', () => {
  test('are found relative to the file that includes, as keepalived changes directory', () => {
    const tree = {
      '/etc/keepalived/keepalived.conf': 'include /etc/weir/current/keepalived/entry.conf\n',
      '/etc/weir/current/keepalived/entry.conf': 'include keepalived.conf\n',
      '/etc/weir/current/keepalived/keepalived.conf': main,
      '/etc/weir/current/keepalived/vips/10.10.1.1.conf': vip,
    };
    const reading = readTree(tree, 'fullnat', '/etc/keepalived/keepalived.conf');
    expect(reading.complaints).toEqual([]);
    expect(reading.files).toEqual(Object.keys(tree));
    const entered = readTree(tree, 'fullnat', '/etc/weir/current/keepalived/entry.conf');
    expect(entered.services).toHaveLength(1);
    const path = '/etc/keepalived/keepalived.conf';
    const beside = readTree({ [path]: main }, 'fullnat', path);
    expect(beside.complaints).toEqual([
      `${path}:12 /etc/keepalived/vips/10.10.1.1.conf is missing: keepalived goes on without it, and removes what it held`,
    ]);
  });

  test('are complained about where the first is missing', () => {
    expect(readTree({}).complaints[0]).toContain('/etc/k/keepalived.conf is missing');
  });

  test.each<[what: string, second: string]>([
    ['vips/2.conf:1 virtual_server_group 10.10.1.1_80 stands twice, first at /etc/k/vips/10.10.1.1.conf:1', vip],
    [
      'vips/2.conf:4 service 10.10.1.1:80:TCP stands twice, first at /etc/k/vips/10.10.1.1.conf:4',
      vip.replaceAll('1_80', '1_81'),
    ],
    ['vips/2.conf:1 global_defs stands twice, first at /etc/k/keepalived.conf:1', main.split('local')[0] ?? ''],
    ['vips/2.conf:1 local_address_group laddr_g1 stands twice', 'local_address_group laddr_g1 {\n    10.0.19.9\n}\n'],
    ['one helper per LB', vip.replaceAll('10.10.1.1', '10.10.1.2').replaceAll('announce-0', 'announce-1')],
    ['vips/2.conf VIP 10.0.19.202 is a LIP of laddr_g1', vip.replaceAll('10.10.1.1', '10.0.19.202')],
    [
      'vips/2.conf:4 there is no local_address_group g2',
      vip.replaceAll('10.10.1.1', '10.10.1.2').replace('laddr_g1', 'g2'),
    ],
    ['/etc/k/vips/10.10.1.1.conf is included twice', 'include 10.10.1.1.conf\n'],
  ])('are complained about beside one another: %s', (what, second) => {
    const tree = {
      '/etc/k/keepalived.conf': `${main}include vips/2.conf\n`,
      '/etc/k/vips/10.10.1.1.conf': vip,
      '/etc/k/vips/2.conf': second,
    };
    expect(readTree(tree).complaints.join('\n')).toContain(what);
  });

  test('may hold another VIP', () => {
    const tree = {
      '/etc/k/keepalived.conf': `${main}include vips/2.conf\n`,
      '/etc/k/vips/10.10.1.1.conf': vip,
      '/etc/k/vips/2.conf': vip.replaceAll('10.10.1.1', '10.10.1.2'),
    };
    expect(readTree(tree).complaints).toEqual([]);
    expect(readTree(tree).services.map((s) => s.vip)).toEqual(['10.10.1.1', '10.10.1.2']);
  });
});

describe('a text', () => {
  test('is taken apart line by line as keepalived does', () => {
    expect(tokens('  a b\tc ')).toEqual(['a', 'b', 'c']);
    expect(tokens('a "b c"d')).toEqual(['a', '"', 'b', 'c', '"', 'd']);
    expect(tokens('! comment')).toEqual([]);
    expect(tokens('  # comment')).toEqual([]);
    expect(tokens('a !b')).toEqual(['a']);
    expect(tokens('a b! c#')).toEqual(['a', 'b!', 'c#']);
    expect(tokens('a "b #c"')).toEqual(['a', '"', 'b']);
    expect(tokens('')).toEqual([]);
  });

  test('is opened with what it includes in its place, also within blocks, each file once', () => {
    const tree: Record<string, string> = {
      '/a': 'one\ninclude b\nblock {\n  include sub/c\n  last\n}\n',
      '/b': 'two\ninclude a\n',
      '/sub/c': 'three {\n}\n',
    };
    const complaints: string[] = [];
    const files: string[] = [];
    const complain = (at: string, what: string) => complaints.push(`${at} ${what}`);
    const statements = open('/a', { readFile: (path) => tree[path], files, complain });
    expect(statements).toEqual([
      { words: ['one'], at: '/a:1', block: undefined },
      { words: ['two'], at: '/b:1', block: undefined },
      {
        words: ['block'],
        at: '/a:3',
        block: [
          { words: ['three'], at: '/sub/c:1', block: [] },
          { words: ['last'], at: '/a:5', block: undefined },
        ],
      },
    ]);
    expect(files).toEqual(['/a', '/b', '/sub/c']);
    expect(complaints).toEqual(['/a:4 include stands within a block', '/a is included twice']);
  });

  test.each<[what: string, from: string, to: string]>([
    ['global_defs takes nothing', 'global_defs {', 'global_defs lb1 {'],
    ['a virtual_server_group has one name', 'virtual_server_group 10.10.1.1_80 {', 'virtual_server_group {'],
    ['a virtual_server_group has one name', '1_80 {\n    10.10', '1_80 more {\n    10.10'],
    ['a virtual_server_group has one name', 'virtual_server_group 10.10.1.1_80', 'virtual_server_group "10.10.1.1_80"'],
    [
      'local_address_group has no block',
      'local_address_group laddr_g1 {',
      'local_address_group laddr_g1\nglobal_defs {',
    ],
    [
      'virtual_server has no block',
      'virtual_server group 10.10.1.1_80 {',
      'virtual_server group 10.10.1.1_80\nglobal_defs {',
    ],
    ['alpha takes no block', '    alpha\n', '    alpha {\n    }\n'],
    ['protocol takes no block', 'protocol TCP\n', 'protocol TCP {\n    }\n'],
    [
      'quorum_up takes no block',
      `quorum_up "${helper} 10.10.1.1 any 1"\n`,
      `quorum_up "${helper} 10.10.1.1 any 1" {\n    }\n`,
    ],
    ['HTTP_GET takes nothing', 'HTTP_GET {', 'HTTP_GET twice {'],
    ['url takes nothing', 'url {', 'url / {'],
    ['a real_server has one address and port', '10.0.20.11 80 {', '10.0.20.11 80 81 {'],
    ['a virtual_server is given by its group', 'server group 10.10.1.1_80', 'server group 10.10.1.1_80 more'],
  ])('is complained about where a statement has another form: %s', (what, from, to) => {
    expect(main + vip).toContain(from);
    expect(readBoth(main.replace(from, to), vip.replace(from, to)).complaints.join('\n')).toContain(what);
  });

  test('that includes what is not there is complained about by what opens it', () => {
    const complaints: string[] = [];
    const complain = (at: string, what: string) => complaints.push(`${at} ${what}`);
    const readFile = (path: string) => (path === '/a' ? 'include b\n' : undefined);
    expect(open('/a', { readFile, files: [], complain })).toEqual([]);
    expect(complaints).toEqual(['/b is missing: keepalived goes on without it, and removes what it held']);
  });

  test('is complained about where a brace stands on a line of its own', () => {
    const reading = readBoth(main.replace('global_defs {', 'global_defs\n{'), vip);
    expect(reading.complaints).toContain('/etc/k/keepalived.conf:2 { opens nothing');
  });
});

test('ranges of addresses are joined where they touch or overlap', () => {
  const range = (first: number, last: number) => ({ first, last });
  expect(joinRanges([range(9, 9), range(1, 3), range(4, 5), range(2, 2)])).toEqual(['0.0.0.1-0.0.0.5', '0.0.0.9']);
  expect(joinRanges([])).toEqual([]);
});
