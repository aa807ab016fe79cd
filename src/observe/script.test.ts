import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseTable, sumConnections } from './ipvs.ts';
import { observeCommand } from './script.ts';
import { readObservation, splitSections } from './sections.ts';
import type { Section } from './sections.ts';

// TCP 10.50.0.1:80 and :443, UDP :53, TCP 10.50.0.2:80 and a firewall mark, on WSs 10.30.0.1 and 10.30.0.12.
const table = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
UDP  0A320001:0035 rr${'  '}
  -> 0A1E0001:0035      Masq    0      2          0${'         '}
TCP  0A320001:0050 wrr  persistent 5000 FFFFFFFF
  -> 0A1E000C:1F90      Masq    100    50         60${'         '}
  -> 0A1E0001:1F90      Masq    0      17         1${'         '}
TCP  0A320001:01BB wrr${'  '}
  -> 0A1E0001:20FB      Masq    0      1          4${'         '}
TCP  0A320002:0050 wrr${'  '}
  -> 0A1E0001:1F90      Masq    0      1000       2000${'         '}
FWM  00000005 rr${' '}
  -> 0A1E0001:0050      Masq    1      9          9${'         '}
`;

// The same without what DPVS has not, in its own words.
const dpvsTable = `IP Virtual Server version 0.0.0 (size=0)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
UDP  10.50.0.1:53 rr
  -> 10.30.0.1:53                 FullNat 0      2          0${'         '}
TCP  10.50.0.1:80 wrr persistent 50 synproxy conn_timeout 300
  -> 10.30.0.12:8080              FullNat 100    50         60${'        '}
  -> 10.30.0.1:8080               FullNat 0      17         1${'         '}
MATCH tcp,from=10.30.0.0-10.30.0.255:0-0,oif=dpdk1 rr
  -> 10.30.0.1:0                  SNAT    7      7          7${'         '}
TCP  [2001:db8::1]:80 rr
  -> [2001:db8::2]:80             FullNat 1      1          1${'         '}
`;

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'weir-observe-'));
  writeFileSync(join(folder, 'ip_vs'), table);
  for (const name of ['bin', 'dpvs']) mkdirSync(join(folder, name));
  writeFileSync(join(folder, 'dpvs/announce.conf'), 'dpvs dpdk1\n');
});
afterAll(() => rmSync(folder, { recursive: true }));

const shells: Record<string, readonly string[]> = {
  dash: ['dash'],
  'bash --posix': ['bash', '--posix'],
  'busybox sh': ['busybox', 'sh'],
};
const present = Object.entries(shells).filter(([, [program = '']]) => !spawnSync(program, ['true']).error);
const missing = Object.keys(shells).filter((name) => !present.some(([there]) => there === name));
if (missing.length > 0) console.warn(`left out: the observing script with ${missing.join(', ')} (not installed here)`);

describe.each(present)('the observing script with %s', (_name, [program = '', ...args]) => {
  /** As a remote shell would run it, but for the shell in it and where it looks. */
  function run(
    request: string,
    { file = 'ip_vs', etc = '/etc/weir' } = {},
  ): { code: number | null; sections: Section[] | undefined; stderr: string } {
    const command = observeCommand
      .replace(/^exec sh /, `exec ${[program, ...args].join(' ')} `)
      .replace('etc=/etc/weir', `etc=${etc}`)
      .replace('PATH=/usr/local/sbin', `PATH=${join(folder, 'bin')}:/usr/local/sbin`);
    const { status, stdout, stderr } = spawnSync('sh', ['-c', command], {
      input: request,
      encoding: 'utf8',
      // Without SHLVL bash takes a socket as standard input for a remote login, and reads .bashrc.
      env: { PATH: process.env['PATH'], SHLVL: '2', WEIR_IPVS: join(folder, file) },
    });
    return { code: status, sections: splitSections(stdout.split('\n')), stderr };
  }

  function rows(pairs: string): string[] {
    const { sections } = run(`weir 1 connections ${pairs}\n`);
    const [first, ...rest] = sections?.find((s) => s.name === 'connections')?.lines ?? [];
    expect(first).toBe('table yes');
    return rest;
  }

  test('counts the connections of a WS behind one VIP, over all its ports', () => {
    const { persistent: _unknown, ...sum } = sumConnections(rows('10.50.0.1=10.30.0.1'), undefined);
    expect(sum).toEqual({ active: 20, inactive: 5, servers: 3 });
  });

  test('counts behind several VIPs, and nothing where there is nothing', () => {
    expect(sumConnections(rows('10.50.0.1=10.30.0.1 10.50.0.2=10.30.0.1'), undefined).active).toBe(1020);
    expect(sumConnections(rows('10.50.0.2=10.30.0.12'), undefined)).toMatchObject({ active: 0, servers: 0 });
  });

  test('says where the kernel has no table', () => {
    const { sections } = run('weir 1 connections 10.50.0.1=10.30.0.1\n', { file: 'none' });
    expect(sections?.map((s) => [s.name, ...s.lines.filter((line) => line !== '')])).toEqual([
      ['connections', 'table no'],
      ['end'],
    ]);
  });

  test('prints the table as it is, and no error', () => {
    const { code, sections, stderr } = run('weir 1 status\n');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(sections?.find((s) => s.name === 'ipvs')?.lines).toEqual(table.split('\n').slice(0, -1));
  });

  describe('on an LB of dpvs', () => {
    const etc = () => join(folder, 'dpvs');
    function tool(name: string, text: string): void {
      writeFileSync(join(folder, 'bin', name), text);
      chmodSync(join(folder, 'bin', name), 0o755);
    }
    beforeAll(() => {
      writeFileSync(join(folder, 'dpvs.table'), dpvsTable);
      tool('ipvsadm', `#!/bin/sh\n[ "$*" = -Ln ] && cat ${join(folder, 'dpvs.table')}\n`);
      tool(
        'dpip',
        '#!/bin/sh\nprintf "inet 10.50.0.1/32 scope global dpdk1 \\n    valid_lft forever preferred_lft forever\\n"\n',
      );
    });
    afterAll(() => {
      for (const name of ['ipvsadm', 'dpip']) rmSync(join(folder, 'bin', name));
    });

    test('tells the table and the addresses of DPVS, not those of the kernel', () => {
      const { code, sections, stderr } = run('weir 1 status\n', { etc: etc() });
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      const seen = readObservation(sections ?? []);
      expect(Object.fromEntries(seen.dpdk ?? [])).toEqual({ '10.50.0.1/32': ['dpdk1'] });
      const ofKernel = parseTable(table.split('\n')).filter(({ vip, port }) => vip === '10.50.0.1' && port !== 443);
      expect(seen.table).toEqual(ofKernel);
    });

    test('counts connections in it', () => {
      const { sections } = run('weir 1 connections 10.50.0.1=10.30.0.1\n', { etc: etc() });
      const [first, ...rest] = sections?.find((s) => s.name === 'connections')?.lines ?? [];
      expect(first).toBe('table yes');
      const { persistent: _unknown, ...sum } = sumConnections(rest, undefined);
      expect(sum).toEqual({ active: 19, inactive: 1, servers: 2 });
    });

    test('says where DPVS does not answer, and runs no ipvsadm that is the kernel’s', () => {
      const path = join(folder, 'ran');
      // a program that is no script, and knows no LIPs
      writeFileSync(join(folder, 'bin/ipvsadm'), `\n: >${path}\n`, { mode: 0o755 });
      for (const text of ['', '#!/bin/sh\nexit 2\n']) {
        if (text !== '') tool('ipvsadm', text);
        tool('dpip', '#!/bin/sh\nexit 1\n');
        const { sections } = run('weir 1 status\n', { etc: etc() });
        const seen = readObservation(sections ?? []);
        expect([seen.table, seen.dpdk]).toEqual([undefined, undefined]);
        expect(existsSync(path)).toBe(false);
      }
    });
  });

  test.each(['', 'weir 2 status\n', 'weir 1 dance\n', 'status\n'])('refuses the request %j', (request) => {
    expect(run(request)).toMatchObject({ code: 2, sections: undefined });
  });
});
