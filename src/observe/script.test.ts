import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sumConnections } from './ipvs.ts';
import { observeCommand } from './script.ts';
import { splitSections } from './sections.ts';
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

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'weir-observe-'));
  writeFileSync(join(folder, 'ip_vs'), table);
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
  /** As a remote shell would run it, but for the shell in it. */
  function run(
    request: string,
    file = 'ip_vs',
  ): { code: number | null; sections: Section[] | undefined; stderr: string } {
    const command = observeCommand.replace(/^exec sh /, `exec ${[program, ...args].join(' ')} `);
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
    const { sections } = run('weir 1 connections 10.50.0.1=10.30.0.1\n', 'none');
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

  test.each(['', 'weir 2 status\n', 'weir 1 dance\n', 'status\n'])('refuses the request %j', (request) => {
    expect(run(request)).toMatchObject({ code: 2, sections: undefined });
  });
});
