import { stripVTControlCharacters } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { LbProbeView, ProbeFinding } from '../../contract/probe.ts';
import { printed } from '../print.ts';
import { probeOutput } from './probe.ts';

function finding(code: string, parts: Partial<ProbeFinding> = {}): ProbeFinding {
  return { severity: 'deviation', code, object: 'x', message: `the matter of ${code}`, hint: 'do it', ...parts };
}

type Machine = NonNullable<LbProbeView['machine']>;

const machine: Machine = {
  root: true,
  kernel: '6.1.0-18-amd64',
  distribution: 'Debian GNU/Linux 12 (bookworm)',
  active: null,
  keepalived: { path: '/usr/sbin/keepalived', version: '2.2.7', words: 'Keepalived v2.2.7', laddr: 'no', options: [] },
  dpvs: { dpip: null, running: false, ports: null },
  ipvs: { table: true, fullnat: false },
  modules: { ip_vs: 'loaded' },
  routing: {
    installed: [{ name: 'ospfd', path: '/usr/lib/frr/ospfd', words: 'ospfd version 8.4.4', suite: 'frr' }],
    running: [
      { name: 'keepalived', pid: 1, path: '' },
      { name: 'zebra', pid: 2, path: '' },
      { name: 'ospfd', pid: 3, path: '' },
    ],
  },
  tools: {},
  iptables: '',
  ipvsadm: null,
  interfaces: [
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
      ring: { rx: 512, tx: 512, maxRx: 4096, maxTx: 4096 },
    },
  ],
  arping: 'iputils',
  lips: [
    { address: '10.0.0.1', interfaces: ['eth0'], state: 'here', words: '' },
    { address: '10.0.0.2', interfaces: [], state: 'taken', words: '52:54:00:12:34:56' },
  ],
};

function lb(parts: Partial<Machine> = {}, findings: ProbeFinding[] = []): LbProbeView {
  const deviations = findings.filter(({ severity }) => severity === 'deviation').length;
  return {
    lb: 'sa-extlbtest0-bgp0.hy01',
    document: { dataplane: 'ipvs', routing: 'frr', linkspeed: '10g', interfaces: ['eth0'], lips: 2 },
    state: deviations > 0 ? 'deviates' : 'ok',
    machine: { ...machine, ...parts },
    deviations,
    notes: findings.length - deviations,
    findings,
  };
}

const silent: LbProbeView = {
  lb: 'lb2.hy01',
  document: lb().document,
  state: 'unreachable',
  error: 'Connection refused',
};

function shown(...lbs: LbProbeView[]): { exit: number | undefined; lines: string[] } {
  const output = probeOutput({ cluster: 'c', revision: 7, lbs });
  return { exit: output.exit, lines: stripVTControlCharacters(printed(output, 'table')).trimEnd().split('\n') };
}

/** Cells of the row about something. */
function row(lines: readonly string[], what: string): string[] {
  const line = lines.find((text) => text.includes(` ${what} `)) ?? '';
  return line
    .slice(line.indexOf(` ${what} `))
    .trim()
    .split(/\s{2,}/);
}

describe('weir lb probe', () => {
  test('shows what the machine is beside what the document says', () => {
    const { exit, lines } = shown(lb());
    expect(exit).toBe(0);
    expect(lines.map((line) => line.trim().split(/\s{2,}/))).toEqual([
      ['LB', 'WHAT', 'MACHINE', 'DOCUMENT'],
      ['sa-extlbtest0-bgp0.hy01', 'keepalived', '2.2.7', 'ipvs'],
      ['kernel', '6.1.0-18-amd64, IPVS'],
      ['routing', 'frr 8.4.4, zebra ospfd running', 'frr'],
      ['eth0', 'up, 10000 Mb/s, ixgbe, queues 4/16, ring 512/4096', '10g'],
      ['LIPs', '1 on eth0, 1 taken', '2'],
    ]);
  });

  test('shows machines of other kinds', () => {
    const none = shown(
      lb({
        keepalived: null,
        ipvs: { table: false, fullnat: false },
        modules: { ip_vs: 'missing' },
        routing: { installed: [], running: [] },
        interfaces: machine.interfaces.map((nic) => ({ ...nic, present: false })),
        lips: [],
      }),
    ).lines;
    expect(row(none, 'keepalived')).toEqual(['keepalived', 'not installed', 'ipvs']);
    expect(row(none, 'kernel')).toEqual(['kernel', '6.1.0-18-amd64, no IPVS']);
    expect(row(none, 'routing')).toEqual(['routing', 'no ospfd, nothing running', 'frr']);
    expect(row(none, 'eth0')).toEqual(['eth0', 'not there', '10g']);
    expect(row(none, 'LIPs')).toEqual(['LIPs', '0', '2']);
    const dpvs = { dpip: { path: '/usr/sbin/dpip', words: 'dpip-1.9' }, running: true, ports: [] };
    const keepalived = { path: '', version: '1.2.2', words: '', laddr: 'yes' as const, options: [] };
    const other = shown(lb({ dpvs, keepalived, ipvs: { table: true, fullnat: true } })).lines;
    expect(row(other, 'dpvs')).toEqual(['dpvs', 'dpip-1.9, runs']);
    expect(row(other, 'keepalived')).toEqual(['keepalived', '1.2.2, with LIPs', 'ipvs']);
    expect(row(other, 'kernel')).toEqual(['kernel', '6.1.0-18-amd64, IPVS with FULLNAT']);
  });

  test('exits with 3 where something disagrees, and says what to do, once where several need the same', () => {
    const findings = [finding('a_a'), finding('b_b'), finding('c_c', { severity: 'note', hint: 'else' })];
    const { exit, lines } = shown(lb({}, findings));
    expect(exit).toBe(3);
    expect(lines.slice(-7)).toEqual([
      '',
      'sa-extlbtest0-bgp0.hy01:',
      '  a_a: the matter of a_a',
      '  b_b: the matter of b_b',
      '    do it',
      '  note c_c: the matter of c_c',
      '    else',
    ]);
  });

  test('exits with 0 for notes alone, and with 1 where an LB cannot be asked, whatever the others are', () => {
    expect(shown(lb({}, [finding('c_c', { severity: 'note' })])).exit).toBe(0);
    const { exit, lines } = shown(lb({}, [finding('a_a')]), silent);
    expect(exit).toBe(1);
    expect(lines.find((line) => line.startsWith('lb2.hy01 '))?.split(/\s{2,}/)).toEqual([
      'lb2.hy01',
      'state',
      'unreachable',
    ]);
    expect(lines.at(-1)).toBe('  cannot be asked: Connection refused');
  });

  test('cuts a long list, and says how long it is', () => {
    const many = Array.from({ length: 100 }, (_, i) => finding(`a_${i}`));
    const { lines } = shown({ ...lb({}, many), deviations: 4000 });
    expect(lines.at(-1)).toBe('  and 3980 more (-o json)');
    expect(lines.length).toBeLessThan(40);
  });

  test('fits 100 columns, whatever stands in the table', () => {
    const wide = machine.interfaces.map((nic) => ({ ...nic, name: 'n'.repeat(15), driver: 'd'.repeat(60) }));
    const { lines } = shown({ ...lb({ interfaces: wide, kernel: 'k'.repeat(90) }), lb: 'l'.repeat(200) });
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(100);
  });
});
