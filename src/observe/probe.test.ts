import { describe, expect, test } from 'vitest';
import type { Cluster, Lb } from '../domain/edge/model.ts';
import { disagreements } from './disagreements.ts';
import type { Disagreement } from './disagreements.ts';
import { probeFindingKinds } from './probe-findings.ts';
import type { ProbeCode } from './probe-findings.ts';
import { interfacesOf, neededModules, requestOf } from './probe.ts';
import { readProbe } from './probe-sections.ts';
import type { ProbeReport } from './probe-sections.ts';
import { splitSections } from './sections.ts';
import { document, lb, lips, probed, probedText } from './testing/probes.ts';
import type { Probed } from './testing/probes.ts';

const told = new Set<ProbeCode>();

/** `CODE OBJECT` of everything that disagrees. */
function codes(report: ProbeReport, cluster: Cluster, of: Lb = lb): string[] {
  return found(report, cluster, of).map(({ code, object }) => `${code} ${object}`);
}

function found(report: ProbeReport, cluster: Cluster, of: Lb = lb): Disagreement[] {
  const all = disagreements(cluster, of, report);
  for (const { code, severity, message, hint } of all) {
    told.add(code);
    expect(severity).toBe(probeFindingKinds[code].severity);
    expect(`${message}${hint}`).not.toMatch(/undefined|\{|null|\n/);
  }
  return all;
}

/** The one thing that disagrees. */
function only(report: ProbeReport, cluster: Cluster, of: Lb = lb): Disagreement {
  const all = found(report, cluster, of);
  expect(all.map(({ code }) => code)).toHaveLength(1);
  return all[0] as Disagreement;
}

describe('the request', () => {
  test('asks for what the document names, in lines', () => {
    const uplinks = [{ device: 'eth2', ospfnet: '10.2.0.0/24' }];
    const wide = { ...lb, device: 'eth1', innerdevice: 'bond0.100', uplinks };
    expect(requestOf(document('alibaba'), wide, lips).split('\n')).toEqual([
      'weir 1 probe',
      'module ip_vs',
      'module xt_ipvs',
      'module xt_statistic',
      'module ipt_SYNPROXY',
      'interface eth1',
      'interface bond0.100',
      'interface eth2',
      'lip 10.0.0.100 bond0.100',
      'lip 10.0.0.101 bond0.100',
      'end',
      '',
    ]);
  });

  test('asks for the kernel’s side of DPVS’ ports', () => {
    expect(interfacesOf(document('dpvs'), lb)).toEqual([{ device: 'eth0', kernel: 'eth0.kni' }]);
    expect(requestOf(document('dpvs'), lb, lips)).toContain('interface eth0.kni\nlip 10.0.0.100 eth0.kni\n');
  });

  test('asks for the modules of the schedulers and rules in use', () => {
    const [vip] = document('debian').vip2ws;
    const ports = (['sh', 'wrr', 'sh'] as const).map((scheduler, i) => ({
      sport: i + 1,
      dport: 1,
      synproxy: 0 as const,
      persistence_timeout: 0,
      scheduler,
    }));
    const cluster = document('debian', { ospf: { bfd: true }, vip2ws: vip ? [{ ...vip, ports }] : [] });
    const names = ['ip_vs_sh', 'ip_vs_wrr', 'xt_nat', 'xt_ipvs', 'xt_statistic', 'xt_addrtype', 'xt_tcpudp', 'xt_CT'];
    expect(neededModules(cluster)).toEqual(names);
    expect(requestOf(cluster, lb, []).match(/^module xt_ipvs$/gm)).toHaveLength(1);
    expect(neededModules(document('alibaba'))).toEqual([]);
    const answering = {
      ...cluster,
      ospf: {},
      vip2ws: cluster.vip2ws.map((v) => ({ ...v, ports: ports.map((port) => ({ ...port, synproxy: 1 as const })) })),
    };
    const more = ['xt_conntrack', 'xt_multiport', 'ipt_SYNPROXY'];
    expect(neededModules(answering)).toEqual([...names, ...more]);
  });
});

describe('a report', () => {
  test('of a Debian machine has its programs, interfaces and LIPs', () => {
    const report = probed('debian');
    expect(report).toMatchObject({
      root: true,
      kernel: '6.1.0-18-amd64',
      distribution: 'Debian GNU/Linux 12 (bookworm)',
      active: '50802343fe654d94dca48be34df97478',
      keepalived: {
        path: '/usr/sbin/keepalived',
        version: '2.2.7',
        words: 'Keepalived v2.2.7 (01/16,2022)',
        laddr: 'no',
      },
      dpvs: { dpip: null, running: false, ports: null },
      ipvs: { table: true, fullnat: false },
      iptables: 'iptables v1.8.9 (nf_tables)',
      ipvsadm: { path: '/usr/sbin/ipvsadm', laddr: 'no' },
      arping: 'iputils',
    });
    expect(report.keepalived?.options.slice(0, 3)).toEqual(['NFTABLES', 'LVS', 'REGEX']);
    expect(report.modules).toMatchObject({ xt_ipvs: 'available', xt_conntrack: 'loaded' });
    expect(report.routing.running.at(-1)).toEqual({ name: 'ospfd', pid: 922, path: '/usr/lib/frr/ospfd' });
    expect(report.tools['frr-reload.py']).toBe('/usr/lib/frr/frr-reload.py');
    expect(report.interfaces).toEqual([
      {
        name: 'eth0',
        present: true,
        operstate: 'up',
        enabled: true,
        carrier: true,
        speed: 10_000,
        driver: 'ixgbe',
        queues: { rx: 4, tx: 4 },
        maxQueues: 16,
        ring: { rx: 512, tx: 256, maxRx: 4096, maxTx: 4096 },
      },
    ]);
    expect(report.lips).toEqual(lips.map((address) => ({ address, interfaces: ['eth0'], state: 'here', words: '' })));
  });

  test('of an EL6 machine of Alibaba LVS has Quagga, and no channels', () => {
    const report = probed('alibaba');
    expect(report.keepalived).toMatchObject({ version: '1.2.2', laddr: 'yes', options: [] });
    expect(report.distribution).toBe('CentOS release 6.10 (Final)');
    expect(report.routing.installed.map(({ suite }) => suite)).toEqual(['quagga', 'quagga']);
    expect(report.interfaces[0]).toMatchObject({ speed: 1000, maxQueues: null, ring: { rx: 256, maxRx: 4096 } });
    expect(report.lips.map(({ state }) => state)).toEqual(['free', 'free']);
  });

  test('of a DPVS machine has its ports and the LIPs on them', () => {
    const report = probed('dpvs');
    expect(report.dpvs).toEqual({
      dpip: { path: '/usr/local/sbin/dpip', words: 'dpip-1.9' },
      running: true,
      ports: [
        { name: 'eth0', up: true, speed: 10_000, queues: { rx: 8, tx: 8 } },
        { name: 'dpdk1', up: false, speed: null, queues: { rx: 8, tx: 8 } },
      ],
    });
    expect(report.lips[0]).toEqual({ address: '10.0.0.100', interfaces: ['eth0'], state: 'here', words: '' });
  });

  test('of a machine that has nothing is a report of nothing', () => {
    const report = readProbe(splitSections(['@@weir machine', '@@weir end']) ?? [], ['10.0.0.100']);
    expect(report).toMatchObject({ root: false, keepalived: null, active: null, arping: 'none', interfaces: [] });
    expect(report.lips).toEqual([{ address: '10.0.0.100', interfaces: [], state: 'unasked', words: '' }]);
  });

  test('takes the speed from ethtool where /sys does not have it, and none where nobody knows', () => {
    expect(probed('debian', ['speed 10000', 'speed ']).interfaces[0]?.speed).toBe(10_000);
    const unknown = probed('debian', ['speed 10000', 'speed 4294967295'], ['Speed: 10000Mb/s', 'Speed: Unknown!']);
    expect(unknown.interfaces[0]?.speed).toBeNull();
  });
});

describe('a machine that is as its document says', () => {
  test.each<Probed>(['debian', 'dpvs'])('has nothing that disagrees: %s', (name) => {
    expect(codes(probed(name), document(name, { linkspeed: '10g' }))).toEqual([]);
  });

  test('has its LIPs to come where nothing was ever activated', () => {
    const { code, severity, message } = only(probed('alibaba'), document('alibaba', { linkspeed: '1g' }));
    expect([code, severity]).toEqual(['lip_pending', 'note']);
    expect(message).toContain('10.0.0.100, 10.0.0.101');
  });
});

describe('the dataplane', () => {
  const machines: Probed[] = ['debian', 'alibaba', 'dpvs'];
  const wrong = machines.flatMap((has) => machines.filter((says) => says !== has).map((says) => [has, says] as const));

  test.each(wrong)('of %s does not read the document of %s', (has, says) => {
    const routing = has === 'alibaba' ? 'quagga' : 'frr';
    const all = found(probed(has), document(says, { routing }));
    const { message, hint } = all.find(({ code }) => code === 'keepalived_dialect') ?? { message: '', hint: '' };
    expect(message).toContain(`the document says ${document(says).dataplane}, `);
    expect(message).toContain(probed(has).keepalived?.words);
    expect(hint).toContain('weir cluster set c dataplane=');
    expect(all.every(({ code, severity }) => code !== 'keepalived_dialect' || severity === 'deviation')).toBe(true);
  });

  test('is not that of Alibaba LVS or DPVS with mainline’s keepalived of the same version', () => {
    const [alibaba, dpvs] = [document('alibaba'), document('dpvs')];
    expect(codes(probed('alibaba', ['laddr yes', 'laddr no']), alibaba)[0]).toMatch(/^keepalived_dialect/);
    expect(only(probed('dpvs', ['laddr yes', 'laddr no']), dpvs).message).toContain('built without LIPs');
    expect(codes(probed('dpvs', ['laddr yes', 'laddr unknown']), dpvs)).toEqual([]);
    const fork = probed('debian', ['laddr no', 'laddr yes']);
    expect(only(fork, document('debian')).message).toContain('built for LIPs');
  });

  test.each([
    ['Keepalived v1.4.5 (01/01,2018)', true],
    ['Keepalived v2.0.0 (07/03,2018)', false],
    ['Keepalived v10.0.0 (01/01,2030)', false],
    ['keepalived: error while loading shared libraries: libnl-3.so', true],
  ])('ipvs with %s disagrees: %s', (words, disagrees) => {
    const report = probed('debian', ['Keepalived v2.2.7 (01/16,2022)', words]);
    const expected = disagrees ? ['keepalived_dialect /usr/sbin/keepalived'] : [];
    expect(codes(report, document('debian'))).toEqual(expected);
    if (disagrees) expect(only(report, document('debian')).message).toContain(words);
  });

  test('is told where keepalived hangs', () => {
    const report = probed('debian', [/code 0\nKeepalived[^]*?(?=@@weir)/, 'code 137\nKilled\n']);
    expect(only(report, document('debian')).message).toContain('did not end within 5 s');
  });

  test('needs a keepalived, built with LVS, and the one that runs is not another one', () => {
    const without = probed('debian', [/@@weir keepalived[^@]*/, '']);
    expect(codes(without, document('debian'))).toEqual(['keepalived_missing keepalived']);
    const vrrp = probed('debian', ['NFTABLES LVS ', 'NFTABLES ']);
    expect(codes(vrrp, document('debian'))).toEqual(['keepalived_without_ipvs /usr/sbin/keepalived']);
    const two = probed('debian', ['862 /usr/sbin/keepalived', '862 /opt/keepalived']);
    expect(only(two, document('debian'))).toMatchObject({ code: 'keepalived_other_program', severity: 'note' });
    expect(codes(probed('debian', ['862 /usr/sbin', '862 /sbin']), document('debian'))).toEqual([]);
  });

  test('dpvs needs dpip, a running DPVS, and its own ipvsadm', () => {
    const cluster = document('dpvs');
    expect(codes(probed('dpvs', [/@@weir dpip.*\n.*\n/, '']), cluster)).toEqual(['dpvs_missing dpip']);
    const down = probed('dpvs', ['dpvs 812 /usr/local/sbin/dpvs\n', '']);
    expect(codes(down, cluster)).toEqual(['dpvs_down dpvs']);
    const plain = probed('dpvs', [/(ipvsadm\n)laddr yes/, '$1laddr no']);
    expect(codes(plain, cluster)).toEqual(['dpvs_ipvsadm /usr/local/sbin/ipvsadm']);
  });

  test('other than dpvs disagrees with a DPVS that runs', () => {
    const report = probed('debian', ['@@weir processes', '@@weir processes\ndpvs 812 /usr/sbin/dpvs']);
    expect(codes(report, document('debian'))).toEqual(['dataplane_other dpvs']);
  });

  test('ipvs and fullnat need a kernel with IPVS, loaded or not', () => {
    const absent = [['table yes', 'table no'] as const, ['ip_vs loaded', 'ip_vs missing'] as const];
    const later = [['table yes', 'table no'] as const, ['ip_vs loaded', 'ip_vs available'] as const];
    const noSchedulers = ['ip_vs_wrr loaded', 'ip_vs_wrr missing'] as const;
    const report = probed('debian', ...absent, noSchedulers);
    expect(codes(report, document('debian'))).toEqual(['ipvs_missing ip_vs']);
    expect(only(report, document('debian')).message).toContain('kernel 6.1.0-18-amd64');
    expect(codes(probed('debian', ...later), document('debian'))).toEqual([]);
    expect(codes(probed('alibaba', ...absent), document('alibaba'))).toContain('ipvs_missing ip_vs');
    // Built in: there is no module to be found, and there is a table.
    expect(codes(probed('debian', ['ip_vs loaded', 'ip_vs missing']), document('debian'))).toEqual([]);
  });

  test('fullnat needs IPVS of Alibaba LVS', () => {
    const report = probed('alibaba', ['fullnat yes', 'fullnat no']);
    expect(codes(report, document('alibaba'))).toContain('fullnat_missing ip_vs');
    expect(codes(probed('alibaba', ['table yes', 'table no']), document('alibaba'))).not.toContain(
      'fullnat_missing ip_vs',
    );
  });

  test('ipvs needs the modules of its rules and schedulers', () => {
    const missing = probed(
      'debian',
      ['xt_ipvs available', 'xt_ipvs missing'],
      ['ip_vs_wrr loaded', 'ip_vs_wrr missing'],
    );
    expect(codes(missing, document('debian'))).toEqual(['module_missing ip_vs_wrr', 'module_missing xt_ipvs']);
    const unknown = probed('debian', ['xt_ipvs available', 'xt_ipvs unknown'], ['xt_CT loaded', 'xt_CT unknown']);
    expect(only(unknown, document('debian'))).toMatchObject({ code: 'modules_unknown', severity: 'note' });
    const bare = probed('alibaba', ['table yes', 'table no'], ['ip_vs loaded', 'ip_vs unknown']);
    expect(codes(bare, document('alibaba'))).toEqual(['modules_unknown modules', 'lip_pending LIPs']);
    expect(codes(probed('dpvs', ['ip_vs available', 'ip_vs unknown']), document('dpvs'))).toEqual([]);
  });
});

describe('routing', () => {
  test('of the other suite is told with its own words', () => {
    const quagga = document('debian', { routing: 'quagga' });
    const all = found(probed('debian'), quagga);
    expect(all.map(({ code, object }) => `${code} ${object}`)).toEqual([
      'routing_other_suite zebra',
      'routing_other_suite ospfd',
    ]);
    expect(all[1]?.message).toContain('process 922 is /usr/lib/frr/ospfd: ospfd version 8.4.4');
    const stopped = probed('debian', [/zebra 917.*\nospfd 922.*\n/, '']);
    expect(found(stopped, quagga)[0]?.message).toContain('/usr/lib/frr/zebra is FRR: zebra version 8.4.4');
    expect(codes(probed('alibaba'), document('alibaba', { routing: 'frr' }))).toContain('routing_other_suite ospfd');
  });

  test('that is installed beside the other suite counts, and so does which of them runs', () => {
    const both = [
      '@@weir tools',
      'zebra /usr/sbin/zebra zebra version 1.2.4\nospfd /usr/sbin/ospfd ospfd version 1.2.4\n@@weir tools',
    ] as const;
    expect(codes(probed('debian', both), document('debian'))).toEqual([]);
    const runs = probed('debian', both, ['922 /usr/lib/frr/ospfd', '922 /usr/sbin/ospfd']);
    expect(codes(runs, document('debian'))).toEqual(['routing_other_suite ospfd']);
  });

  test('that is missing or does not run is told', () => {
    const none = probed('debian', [/@@weir daemons\n[^@]*/, ''], [/watchfrr 901.*\nzebra 917.*\nospfd 922.*\n/, '']);
    expect(codes(none, document('debian'))).toEqual(['routing_missing zebra', 'routing_missing ospfd']);
    const stopped = only(probed('debian', [/ospfd 922.*\n/, '']), document('debian'));
    expect(stopped).toMatchObject({ code: 'routing_down', object: 'ospfd', severity: 'deviation' });
    expect(stopped.hint).toContain('ospfd=yes in /etc/frr/daemons');
  });

  test('needs bfdd where OSPF uses BFD', () => {
    const bfd = document('debian', { ospf: { bfd: true } });
    expect(codes(probed('debian'), bfd)).toEqual(['routing_down bfdd']);
    expect(codes(probed('debian', ['\nospfd 922', '\nbfdd 930 /usr/lib/frr/bfdd\nospfd 922']), bfd)).toEqual([]);
  });

  test('is judged by what is there where paths cannot be seen', () => {
    const report = probed(
      'debian',
      [/ \/usr\/lib\/frr\/zebra\n(?=ospfd)/, '\n'],
      [' /usr/lib/frr/ospfd (deleted)', ''],
    );
    expect(codes(report, document('debian'))).toEqual([]);
  });
});

describe('tools', () => {
  test.each([
    ['flock', 'deviation', 'tool_missing'],
    ['ip', 'deviation', 'tool_missing'],
    ['iptables-restore', 'deviation', 'tool_missing'],
    ['vtysh', 'deviation', 'tool_missing'],
    ['frr-reload.py', 'deviation', 'tool_missing'],
    ['ethtool', 'note', 'ethtool_missing'],
  ])('%s that is missing is a %s', (name, severity, code) => {
    const line = new RegExp(`\n${name.replaceAll('.', '\\.')} /.*`);
    expect(only(probed('debian', [line, '']), document('debian'))).toMatchObject({ object: name, severity, code });
  });

  test('of legacy iptables do as well', () => {
    const report = probed('debian', ['iptables-restore /usr/sbin/', 'iptables-legacy-restore /usr/sbin/']);
    expect(codes(report, document('debian'))).toEqual([]);
  });

  test('of FRR and iptables are not needed with Quagga and fullnat', () => {
    expect(Object.keys(probed('alibaba').tools)).not.toContain('vtysh');
    expect(codes(probed('alibaba'), document('alibaba'))).not.toContain('tool_missing vtysh');
  });
});

describe('interfaces', () => {
  test('that do not exist are named with their place in the document', () => {
    const other = { ...lb, innerdevice: 'em2', uplinks: [{ device: 'em3', ospfnet: '10.2.0.0/24' }] };
    const all = found(probed('debian'), document('debian'), other).filter(({ code }) => code === 'interface_missing');
    expect(all.map(({ object, message }) => [object, message])).toEqual([
      ['em2', 'the document names innerdevice em2; there is no em2'],
      ['em3', 'the document names uplink em3; there is no em3'],
    ]);
  });

  test.each([
    [['flags 0x1003', 'flags 0x1002'] as const, 'eth0 is switched off (operstate up)'],
    [['operstate up', 'operstate down'] as const, 'eth0 is down (operstate down, with carrier)'],
    [
      ['operstate up\ncarrier 1', 'operstate lowerlayerdown\ncarrier 0'] as const,
      'eth0 is down (operstate lowerlayerdown, no carrier)',
    ],
  ])('that are down are told: %j', (edit, message) => {
    const told = only(probed('debian', edit), document('debian', { linkspeed: '10g' }));
    expect(told).toMatchObject({ code: 'interface_down', object: 'eth0', message });
  });

  test('whose driver does not tell its state are up', () => {
    expect(codes(probed('debian', ['operstate up', 'operstate unknown']), document('debian'))).toEqual([]);
  });

  test.each<[string, '1g' | '10g', string[]]>([
    ['1000', '10g', ['linkspeed_slower eth0']],
    ['100', '1g', ['linkspeed_slower eth0']],
    ['10000', '1g', ['linkspeed_faster eth0']],
    ['25000', '10g', []],
    ['1000', '1g', []],
    ['-1', '10g', ['linkspeed_unknown eth0']],
  ])('of %s Mbit/s in a cluster of %s', (speed, linkspeed, expected) => {
    const report = probed('debian', ['speed 10000', `speed ${speed}`], ['Speed: 10000Mb/s', 'Speed: Unknown!']);
    expect(codes(report, document('debian', { linkspeed }))).toEqual(expected);
    expect(codes(report, document('debian'))).toEqual([]);
  });

  test('a slow NIC is a deviation with its driver, a fast one a note', () => {
    const slow = probed('debian', ['speed 10000', 'speed 1000']);
    const said = only(slow, document('debian', { linkspeed: '10g' }));
    expect(said.severity).toBe('deviation');
    expect(said.message).toBe('the document says 10g; eth0 (ixgbe) has 1000 Mbit/s');
    expect(only(probed('debian'), document('debian', { linkspeed: '1g' })).severity).toBe('note');
  });

  test('of DPVS are its ports, whatever the kernel’s side says', () => {
    const cluster = document('dpvs', { linkspeed: '10g' });
    expect(codes(probed('dpvs', ['UP 10000 Mbps', 'UP 1000 Mbps']), cluster)).toEqual(['linkspeed_slower eth0']);
    expect(codes(probed('dpvs', ['UP 10000 Mbps', 'DOWN 0 Mbps']), cluster)).toEqual(['interface_down eth0.kni']);
    const other = { ...lb, device: 'dpdk7', innerdevice: 'eth0' };
    const all = found(probed('dpvs'), cluster, other);
    expect(all.map(({ message }) => message)).toEqual(['the document names dpdk7; ports of DPVS: eth0, dpdk1']);
    const gone = probed('dpvs', [/operstate unknown[^@]*/, '']);
    expect(codes(gone, cluster)).toEqual(['interface_missing eth0.kni']);
  });
});

describe('LIPs', () => {
  const away = [/2: eth0 {4}inet 10\.0\.0\.10[01].*\n/g, ''] as const;
  const free = ['tool iputils', 'tool iputils\nfree 10.0.0.100\nfree 10.0.0.101'] as const;

  test('on no interface are deviations where a release is active', () => {
    expect(codes(probed('debian', away, free), document('debian'))).toEqual([
      'lip_missing 10.0.0.100',
      'lip_missing 10.0.0.101',
    ]);
  });

  test('on another interface are deviations', () => {
    const told = only(probed('debian', [/eth0( {4}inet 10\.0\.0\.101)/, 'lo$1']), document('debian'));
    expect(told).toMatchObject({ code: 'lip_other_interface', object: '10.0.0.101', severity: 'deviation' });
    const inner = { ...lb, device: 'eth0', innerdevice: 'eth1' };
    expect(codes(probed('debian'), document('debian'), inner)).toContain('lip_other_interface 10.0.0.100');
  });

  test('that another machine answers for are told with its MAC, before the first activation too', () => {
    const report = probed('alibaba', ['free 10.0.0.101', 'taken 10.0.0.101 52:54:00:12:34:5F']);
    const all = found(report, document('alibaba'));
    expect(all.map(({ code, severity }) => [code, severity])).toEqual([
      ['lip_taken', 'deviation'],
      ['lip_pending', 'note'],
    ]);
    expect(all[0]?.message).toBe('10.0.0.101 is answered for by 52:54:00:12:34:5f on the segment of eth0');
  });

  test.each([
    ['none', 'arping_missing arping', 'arping is not installed'],
    ['other', 'arping_missing arping', 'not the one of iputils or busybox'],
    ['busybox', 'lips_unasked LIPs', 'too many for 10 s'],
  ])('that nobody was asked for with arping %s are a note', (tool, code, words) => {
    const report = probed('alibaba', [/tool iputils\n[^@]*/, `tool ${tool}\n`]);
    expect(codes(report, document('alibaba'))).toEqual(['lip_pending LIPs', code]);
    const note = found(report, document('alibaba'))[1];
    expect(note).toMatchObject({ severity: 'note' });
    expect(note?.message).toContain(words);
  });

  test('that arping fails on are a note with its words', () => {
    const report = probed('alibaba', [/free 10.0.0.100/, 'failed 10.0.0.100 Interface "eth0" is down']);
    const note = found(report, document('alibaba'))[1];
    expect(note).toMatchObject({ code: 'lips_unasked', severity: 'note' });
    expect(note?.message).toBe('nobody could be asked for 10.0.0.100: Interface "eth0" is down');
  });

  test('are listed by their first where there are many', () => {
    const many = Array.from({ length: 4096 }, (_, i) => `10.3.${i >> 8}.${i & 255}`);
    const sections = splitSections(probedText('alibaba').split('\n')) ?? [];
    const all = found(readProbe(sections, many), document('alibaba'));
    expect(all.map(({ code }) => code)).toEqual(['lip_pending', 'lips_unasked']);
    expect(all[0]?.message).toMatch(/10\.3\.0\.3 and 4092 more$/);
  });
});

test('a view that is not root’s is noted', () => {
  expect(codes(probed('debian', ['uid 0', 'uid 1000']), document('debian'))).toEqual(['limited_view user']);
});

test('every kind of finding was made here', () => {
  expect(Object.keys(probeFindingKinds).filter((code) => !told.has(code as ProbeCode))).toEqual([]);
});
