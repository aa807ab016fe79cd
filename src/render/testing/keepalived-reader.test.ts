import { describe, expect, test } from 'vitest';
import { readKeepalived, tokens } from './keepalived-reader.ts';
import type { Reading } from './keepalived-reader.ts';

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
    quorum_up "/usr/local/sbin/HELPER up 10.10.1.1 80"
    quorum_down "/usr/local/sbin/HELPER down 10.10.1.1 80"
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

/** Reads the accepted sample, with some text of either file replaced. */
function readWith(...replacements: (readonly [from: string, to: string])[]): Reading {
  let texts = [main, vip];
  for (const [from, to] of replacements) {
    expect(texts.join('')).toContain(from);
    texts = texts.map((text) => text.replace(from, to));
  }
  return readTree({ '/etc/k/keepalived.conf': texts[0] ?? '', '/etc/k/vips/10.10.1.1.conf': texts[1] ?? '' });
}

function readTree(tree: Record<string, string>, path = '/etc/k/keepalived.conf'): Reading {
  return readKeepalived((name) => tree[name], path);
}

describe('the accepted sample', () => {
  test('is read without a complaint', () => {
    const reading = readWith();
    expect(reading.complaints).toEqual([]);
    expect(reading.routerId).toBe('LVS_lb1');
    expect(reading.services).toEqual([
      {
        group: '10.10.1.1_80',
        vip: '10.10.1.1',
        port: 80,
        interval: 6,
        scheduler: 'wrr',
        kind: 'FNAT',
        protocol: 'TCP',
        persistence: 50,
        synproxy: true,
        lips: ['10.0.19.200', '10.0.19.201', '10.0.19.202', '10.0.19.203'],
        quorum: 1,
        quorumUp: '/usr/local/sbin/HELPER up 10.10.1.1 80',
        quorumDown: '/usr/local/sbin/HELPER down 10.10.1.1 80',
        host: undefined,
        realServers: [
          {
            address: '10.0.20.11',
            port: 80,
            weight: 100,
            check: {
              type: 'HTTP_GET',
              path: '/http_check/index.html',
              status: 200,
              connectTimeout: 3,
              retries: 3,
              retryDelay: 3,
            },
          },
        ],
      },
    ]);
  });

  test('reads the same with a digest, another check, or no persistence', () => {
    const digest = readWith(['status_code 200', `digest ${'a'.repeat(32)}`]);
    expect(digest.complaints).toEqual([]);
    expect(digest.services[0]?.realServers[0]?.check.digest).toBe('a'.repeat(32));
    expect(readWith(['HTTP_GET', 'SSL_GET']).complaints).toEqual([]);
    const none = readWith(['    persistence_timeout 50\n    syn_proxy\n', '']);
    expect([none.complaints, none.services[0]?.persistence, none.services[0]?.synproxy]).toEqual([[], 0, false]);
  });
});

describe('a mistake that keepalived accepts in silence', () => {
  const server = vip.slice(vip.indexOf('    real_server'), vip.lastIndexOf('}'));
  test.each<[what: string, from: string, to: string]>([
    ['a real_server stands before the end of the settings', `    alpha\n`, `${server}    alpha\n`],
    ['alpha is missing', '    alpha\n', ''],
    ['omega is missing', '    omega\n', ''],
    ['hysteresis stands before quorum', '    quorum 1\n    hysteresis 0\n', '    hysteresis 0\n    quorum 1\n'],
    ['persistence_timeout takes one value', 'persistence_timeout 50', 'persistence_timeout'],
    ['persistence_timeout is not a number from 1', 'persistence_timeout 50', 'persistence_timeout 0'],
    ['persistence_timeout is not a number from 1', 'persistence_timeout 50', 'persistence_timeout 100000'],
    ['persistence_timeout stands twice', '    syn_proxy', '    persistence_timeout 50'],
    ['protocol tcp is read as UDP', 'protocol TCP', 'protocol tcp'],
    ['lb_kind DNAT is not that of fullnat', 'FNAT', 'DNAT'],
    ['lb_kind NAT is not that of fullnat', 'FNAT', 'NAT'],
    ['unknown scheduler conhash', 'wrr', 'conhash'],
    ['FNAT without LIPs', 'laddr_group_name laddr_g1', 'laddr_group_name laddr_g2'],
    ['laddr_group_name is missing', '    laddr_group_name laddr_g1\n', ''],
    ['a local_address_group is empty', '    10.0.19.200\n    10.0.19.201-203\n', ''],
    ['10.0.19.201-255 is no LIP', '10.0.19.201-203', '10.0.19.201-255'],
    ['10.0.19.201-200 is no LIP', '10.0.19.201-203', '10.0.19.201-200'],
    ['LIP 10.0.19.200 stands twice', '10.0.19.201-203', '10.0.19.200'],
    ['lb1 is no LIP', '10.0.19.200\n', 'lb1\n'],
    ['99999 is no port', '10.10.1.1 80\n}', '10.10.1.1 99999\n}'],
    ['0 is no port', '10.0.20.11 80', '10.0.20.11 0'],
    ['ws1 is read as 0.0.0.0', '10.0.20.11', 'ws1'],
    ['10.10.1.1/32 is read as 0.0.0.0', '    10.10.1.1 80\n', '    10.10.1.1/32 80\n'],
    ['a real_server is the VIP', '10.0.20.11', '10.10.1.1'],
    ['real_server 10.0.20.11 stands twice', server, server + server],
    ['there is no real_server', server, ''],
    ['weight is not a number', 'weight 100', 'weight 65536'],
    ['weight is missing', '        weight 100\n', ''],
    ['quorum 101 is above the total weight 100', 'quorum 1\n', 'quorum 101\n'],
    ['connect_timeout is missing', '            connect_timeout 3\n', ''],
    ['delay_before_retry is missing', '            delay_before_retry 3\n', ''],
    ['nb_get_retry is missing', '            nb_get_retry 3\n', ''],
    ['delay_loop is not a number', 'delay_loop 6', 'delay_loop 0'],
    ['a check has either a digest or a status_code', '                status_code 200\n', ''],
    ['a check has either a digest or a status_code', 'status_code 200', `status_code 200\ndigest ${'a'.repeat(32)}`],
    ['never matches', 'status_code 200', `digest ${'A'.repeat(32)}`],
    ['path http_check does not start with /', '/http_check/index.html', 'http_check'],
    ['path is missing', '                path /http_check/index.html\n', ''],
    ['unknown keyword UDP_CHECK', 'HTTP_GET', 'UDP_CHECK'],
    ['unknown keyword retry', 'nb_get_retry 3', 'nb_get_retry 3\nretry 3'],
    ['quorum_up needs one text in quotes', '"/usr/local/sbin/HELPER up 10.10.1.1 80"', '/usr/local/sbin/HELPER up'],
    ['quorum_up needs one text in quotes', 'HELPER up', 'HELPER #up'],
    ['quorum_up needs one text in quotes', 'HELPER up', 'HELPER !up'],
    ['quorum_down is missing', '    quorum_down "/usr/local/sbin/HELPER down 10.10.1.1 80"\n', ''],
    ['unknown keyword vip', 'include', 'vip x\ninclude'],
    ['is used 0 times', 'virtual_server group', '! virtual_server group'],
    ['is served twice', 'include', `${vip.replaceAll('_80', '_81')}include`],
    ['is used 2 times', 'include', `${vip.slice(vip.indexOf('virtual_server group'))}include`],
    ['there is no virtual_server_group', 'virtual_server_group 10.10.1.1_80', 'virtual_server_group 10.10.1.1_81'],
    ['a virtual_server_group holds one address and port', '    10.10.1.1 80\n', '    10.10.1.1 80\n    10.10.1.1 81\n'],
    ['a virtual_server is given by its group', 'virtual_server group 10.10.1.1_80 {', 'virtual_server 10.10.1.1 80 {'],
    ['vips/other.conf is missing', '10.10.1.1.conf', 'other.conf'],
    ['include takes one plain path', '10.10.1.1.conf', '*.conf'],
    [
      'is included twice',
      'include vips/10.10.1.1.conf\n',
      'include vips/10.10.1.1.conf\ninclude vips/10.10.1.1.conf\n',
    ],
    ['include stands within a block', '    smtp_server', '    include x\n    smtp_server'],
    ['a brace stands within a statement', '    notification_email {\n    }\n', '    notification_email { }\n'],
    ['} does not stand alone', '    alpha', '    } alpha'],
    ['} closes nothing', 'include', '}\ninclude'],
    ['ends within a block', 'weight 100', 'weight 100 {'],
    ['{ opens nothing', '    alpha', '    {'],
    ['is too long a line', 'LVS_lb1', `LVS_${'x'.repeat(1000)}`],
    ['has a last line without its end', 'include vips/10.10.1.1.conf\n', 'include vips/10.10.1.1.conf'],
    ['not printable ASCII', 'LVS_lb1', 'LVS_路'],
    ['not printable ASCII', 'LVS_lb1', 'LVS_lb1\r'],
    ['router_id is missing', '    router_id LVS_lb1\n', ''],
    ['router_id takes one value', 'LVS_lb1', 'LVS lb1'],
  ])('is complained about: %s', (what, from, to) => {
    expect(readWith([from, to]).complaints.join('\n')).toContain(what);
  });
});

describe('of mainline', () => {
  const mainlineMain = `global_defs {
    include_check
    reload_check_config
    router_id LVS_lb1
    script_user root
    enable_script_security
    lvs_flush
    checker_process_name weir-0123456789
}
include vips/10.10.1.1.conf
`;
  const mainlineVip = vip
    .replace('FNAT', 'NAT')
    .replace('    syn_proxy\n    laddr_group_name laddr_g1\n', '')
    .replace('HTTP_GET {', 'SSL_GET {\n            enable_sni')
    .replace('status_code 200', 'status_code 200\n                virtualhost www.example.com')
    .replace('nb_get_retry', 'retry');

  function readMainline(from: string, to: string): Reading {
    expect(mainlineMain + mainlineVip).toContain(from);
    const tree: Record<string, string> = {
      '/etc/k/keepalived.conf': mainlineMain.replace(from, to),
      '/etc/k/vips/10.10.1.1.conf': mainlineVip.replace(from, to),
    };
    return readKeepalived((name) => tree[name], '/etc/k/keepalived.conf', 'ipvs');
  }

  test('the accepted sample is read without a complaint', () => {
    const reading = readMainline('a', 'a');
    expect(reading.complaints).toEqual([]);
    expect([reading.routerId, reading.processName]).toEqual(['LVS_lb1', 'weir-0123456789']);
    expect(reading.services[0]).toMatchObject({ kind: 'NAT', synproxy: false, lips: [], persistence: 50 });
    expect(reading.services[0]?.realServers[0]?.check).toEqual({
      type: 'SSL_GET',
      path: '/http_check/index.html',
      status: 200,
      host: 'www.example.com',
      sni: true,
      connectTimeout: 3,
      retries: 3,
      retryDelay: 3,
    });
  });

  test.each<[what: string, from: string, to: string]>([
    ['lb_kind FNAT is not that of ipvs', 'lb_kind NAT', 'lb_kind FNAT'],
    ['unknown keyword syn_proxy', '    alpha', '    syn_proxy\n    alpha'],
    ['unknown keyword laddr_group_name', '    alpha', '    laddr_group_name g\n    alpha'],
    ['unknown keyword local_address_group', 'include vips', 'local_address_group g {\n10.0.0.1\n}\ninclude vips'],
    ['unknown keyword nb_get_retry', ' retry 3', ' nb_get_retry 3'],
    ['retry is missing', '            retry 3\n', ''],
    ['unknown keyword notification_email', 'router_id', 'notification_email {\n}\nrouter_id'],
    ['include_check is missing', '    include_check\n', ''],
    ['reload_check_config is missing', '    reload_check_config\n', ''],
    ['enable_script_security is missing', '    enable_script_security\n', ''],
    ['the announce script needs root', 'script_user root', 'script_user nobody'],
    ['checker_process_name is missing', '    checker_process_name weir-0123456789\n', ''],
    ['is cut to 15 characters', 'weir-0123456789', 'weir-0123456789a'],
    ['persistence_timeout is not a number from 1 to 2678400', 'timeout 50', 'timeout 2678401'],
    ['enable_sni has no name to send', '                virtualhost www.example.com\n', ''],
    ['unknown keyword enable_sni', 'SSL_GET', 'HTTP_GET'],
    ['protocol SCTP is read as UDP', 'protocol TCP', 'protocol SCTP'],
    ['is above the total weight', 'quorum 1\n', 'quorum 101\n'],
  ])('is complained about: %s', (what, from, to) => {
    expect(readMainline(from, to).complaints.join('\n')).toContain(what);
  });

  test('a UDP port may be checked by UDP', () => {
    const check = mainlineVip.slice(mainlineVip.indexOf('        SSL_GET'), mainlineVip.lastIndexOf('    }\n}'));
    const udp = '        UDP_CHECK {\n connect_timeout 3\n retry 3\n delay_before_retry 3\n }\n';
    const reading = readMainline(check, udp);
    expect(reading.complaints).toEqual([]);
    expect(reading.services[0]?.realServers[0]?.check.type).toBe('UDP_CHECK');
    expect(readMainline('protocol TCP', 'protocol UDP').complaints).toEqual([]);
  });
});

describe('reading', () => {
  test('follows includes relative to the file that includes, as keepalived changes directory', () => {
    const tree = {
      '/etc/keepalived/keepalived.conf': 'include /etc/weir/current/keepalived/entry.conf\n',
      '/etc/weir/current/keepalived/entry.conf': 'include keepalived.conf\n',
      '/etc/weir/current/keepalived/keepalived.conf': main,
      '/etc/weir/current/keepalived/vips/10.10.1.1.conf': vip,
    };
    const reading = readTree(tree, '/etc/keepalived/keepalived.conf');
    expect(reading.complaints).toEqual([]);
    expect(reading.files).toEqual(Object.keys(tree));
    const entered = readTree(tree, '/etc/weir/current/keepalived/entry.conf');
    expect(entered.services).toHaveLength(1);
    const beside = readTree({ '/etc/keepalived/keepalived.conf': main }, '/etc/keepalived/keepalived.conf');
    expect(beside.complaints.join()).toContain('/etc/keepalived/vips/10.10.1.1.conf is missing');
  });

  test('a missing main file is complained about', () => {
    expect(readTree({}).complaints[0]).toContain('is missing');
  });

  test('takes a line apart as keepalived does', () => {
    expect(tokens('  a b\tc ')).toEqual(['a', 'b', 'c']);
    expect(tokens('a "b c"d')).toEqual(['a', '"', 'b', 'c', '"', 'd']);
    expect(tokens('! comment')).toEqual([]);
    expect(tokens('  # comment')).toEqual([]);
    expect(tokens('a !b')).toEqual(['a']);
    expect(tokens('a b! c#')).toEqual(['a', 'b!', 'c#']);
    expect(tokens('a "b #c"')).toEqual(['a', '"', 'b']);
    expect(tokens('')).toEqual([]);
  });
});
