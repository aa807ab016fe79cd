/** The probe's script in each shell, with programs that stand for those of an LB, and with this machine's own. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { probeCommand, probeCommandSudo } from './probe-script.ts';
import { readProbe } from './probe-sections.ts';
import type { ProbeReport } from './probe-sections.ts';
import { splitSections } from './sections.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'weir-probe-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A program that is found before this machine's own. It may write down its arguments: `say "$*"`. */
function program(name: string, script: string): void {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\nsay() { echo "$1" >>"${folder}/said"; }\n${script}\n`);
  chmodSync(path, 0o755);
}

function said(): string[] {
  const path = join(folder, 'said');
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
}

const shells: Record<string, readonly string[]> = {
  dash: ['dash'],
  'bash --posix': ['bash', '--posix'],
  'busybox sh': ['busybox', 'sh'],
};
const present = Object.entries(shells).filter(([, [shell = '']]) => !spawnSync(shell, ['true']).error);
const missing = Object.keys(shells).filter((name) => !present.some(([there]) => there === name));
if (missing.length > 0) console.warn(`left out: the probing script with ${missing.join(', ')} (not installed here)`);

interface Ran {
  code: number | null;
  report: ProbeReport | undefined;
  stdout: string;
  stderr: string;
  /** ms */
  took: number;
}

function runWith(command: string, request: readonly string[], lips: readonly string[]): Ran {
  const began = Date.now();
  const { status, stdout, stderr } = spawnSync('sh', ['-c', command], {
    input: request.map((line) => `${line}\n`).join(''),
    encoding: 'utf8',
    // Without SHLVL bash takes a socket as standard input for a remote login, and reads .bashrc.
    env: { PATH: process.env['PATH'], SHLVL: '2' },
  });
  const sections = splitSections(stdout.split('\n'));
  const report = sections && readProbe(sections, lips);
  return { code: status, report, stdout, stderr, took: Date.now() - began };
}

/** As a remote shell would run it, but for the shell in it and the programs that are found first. */
function runIn(shell: readonly string[], lines: readonly string[], lips: readonly string[]): Ran {
  const command = probeCommand
    .replace(/^exec sh /, `exec ${shell.join(' ')} `)
    .replace('PATH=/usr/local/sbin:', `PATH=${folder}:/usr/local/sbin:`);
  return runWith(command, ['weir 1 probe', ...lines, 'end'], lips);
}

describe.each(present)('the probing script with %s', (_name, shell) => {
  function run(lines: readonly string[], lips: readonly string[] = []): Ran {
    return runIn(shell, lines, lips);
  }

  function reportOf(lines: readonly string[], lips: readonly string[] = []): ProbeReport {
    const { code, report, stderr } = run(lines, lips);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    if (!report) throw new Error('the answer is not whole');
    return report;
  }

  test('tells what this machine is, and prints no error', () => {
    const report = reportOf(['module ip_vs', 'module nonsense', 'interface lo', 'interface nope0'], ['127.0.0.1']);
    expect(report.root).toBe(process.geteuid?.() === 0);
    expect(report.kernel).toBe(readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim());
    expect(report.modules['nonsense']).toMatch(/^(?:missing|unknown)$/);
    expect(report.interfaces.map(({ name, present: there }) => [name, there])).toEqual([
      ['lo', true],
      ['nope0', false],
    ]);
    expect(report.interfaces[0]).toMatchObject({ enabled: true, operstate: 'unknown', speed: null });
    expect(report.lips).toEqual([{ address: '127.0.0.1', interfaces: ['lo'], state: 'here', words: '' }]);
    expect(report.tools['flock']).toMatch(/^\/.*\/flock$/);
    expect(report.ipvs.table).toBe(existsSync('/proc/net/ip_vs'));
  });

  test('takes the words of keepalived, whichever output they are on', () => {
    program('keepalived', 'say "keepalived $*"; echo "Keepalived v1.2.2 (11/03,2014)" >&2');
    expect(reportOf([]).keepalived).toEqual({
      path: join(folder, 'keepalived'),
      version: '1.2.2',
      words: 'Keepalived v1.2.2 (11/03,2014)',
      laddr: 'unknown',
      options: [],
    });
    expect(said()).toEqual(['keepalived -v']);
  });

  test('looks into programs for what their version does not tell, and does not run ipvsadm', () => {
    writeFileSync(join(folder, 'ipvsadm'), 'ELF\0--add-laddr\0');
    chmodSync(join(folder, 'ipvsadm'), 0o755);
    expect(reportOf([]).ipvsadm).toEqual({ path: join(folder, 'ipvsadm'), laddr: 'yes' });
    writeFileSync(join(folder, 'ipvsadm'), 'ELF\0--add-service\0');
    expect(reportOf([]).ipvsadm?.laddr).toBe('no');
    program('ipvsadm', 'say "ipvsadm $*"');
    expect(reportOf([]).ipvsadm?.laddr).toBe('unknown');
    expect(said()).toEqual([]);
  });

  test('ends a program that hangs', () => {
    program('keepalived', 'exec sleep 60');
    const { report, took } = run([]);
    expect(report?.keepalived).toMatchObject({ version: '', words: 'keepalived -v did not end within 5 s' });
    expect(took).toBeGreaterThan(4900);
    expect(took).toBeLessThan(20_000);
  });

  test('asks modprobe without loading anything, and never busybox’s, which cannot', () => {
    program(
      'modprobe',
      'say "modprobe $*"; case "$*" in --version) echo "kmod version 30" ;; *there) ;; *) exit 1 ;; esac',
    );
    const modules = ['module weir_there', 'module weir_absent'];
    expect(reportOf(modules).modules).toEqual({ weir_there: 'available', weir_absent: 'missing' });
    expect(said()).toEqual(['modprobe --version', 'modprobe -n -q weir_there', 'modprobe -n -q weir_absent']);
    rmSync(join(folder, 'said'));
    program('modprobe', 'say "modprobe $*"; echo "BusyBox v1.35.0 multi-call binary." >&2; exit 1');
    const lists = existsSync(`/lib/modules/${readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim()}/modules.dep`);
    expect(reportOf(modules).modules['weir_there']).toBe(lists ? 'missing' : 'unknown');
    expect(said()).toEqual(['modprobe --version']);
  });

  test('finds routing daemons, with their suite by version', () => {
    program('zebra', 'echo "zebra version 0.99.20.1"; echo "Copyright 1996-2005 Kunihiro Ishiguro, et al."');
    program('ospfd', 'echo "ospfd version 0.99.20.1"');
    const ours = reportOf([]).routing.installed.filter(({ path }) => path.startsWith(folder));
    expect(ours.map(({ name, suite, words }) => [name, suite, words])).toEqual([
      ['zebra', 'quagga', 'zebra version 0.99.20.1'],
      ['ospfd', 'quagga', 'ospfd version 0.99.20.1'],
    ]);
  });

  test('takes the words of ethtool for each interface', () => {
    const rings =
      'Ring parameters for lo:\\nPre-set maximums:\\nRX:\\t4096\\nTX:\\t4096\\nCurrent hardware settings:\\nRX:\\t512\\nTX:\\t256\\n';
    program(
      'ethtool',
      `say "ethtool $*"; case $1 in -i) echo "driver: ixgbe" ;; -g) printf "${rings}" ;; -l) exit 1 ;; *) echo "	Speed: 10000Mb/s" ;; esac`,
    );
    expect(reportOf(['interface lo', 'interface nope0']).interfaces[0]).toMatchObject({
      speed: 10_000,
      driver: 'ixgbe',
      ring: { rx: 512, tx: 256, maxRx: 4096, maxTx: 4096 },
      maxQueues: null,
    });
    expect(said()).toEqual(['ethtool -i lo', 'ethtool lo', 'ethtool -g lo', 'ethtool -l lo']);
  });

  test('does not ask the driver for rings that hangs the machine then', () => {
    program('ethtool', 'say "ethtool $*"; echo "driver: uml-vector"; echo "version: 6.1.176"');
    expect(reportOf(['interface lo']).interfaces[0]).toMatchObject({ driver: 'uml-vector', ring: null, speed: null });
    expect(said()).toEqual(['ethtool -i lo']);
  });

  describe('and DPVS', () => {
    beforeEach(() => {
      program(
        'dpip',
        `case "$*" in
          -V) echo dpip-1.9 ;;
          "link show") printf "1: dpdk0: socket 0 mtu 1500 rx-queue 8 tx-queue 8\\n    UP 10000 Mbps full-duplex\\n" ;;
          "addr show") printf "inet 198.51.100.77/32 scope global dpdk0\\n     valid_lft forever\\n" ;;
        esac
        say "dpip $*"`,
      );
      program('arping', 'case $1 in -V) echo "arping from iputils 1" ;; *) say "arping $*" ;; esac');
    });

    /** Instead of this machine's processes, on which somebody may try DPVS. Of other files nothing is seen then. */
    function processes(stat: string): void {
      program('cat', `case $1 in /proc/*/stat) echo "${stat}" ;; esac`);
    }

    test('that does not run is not asked', () => {
      processes('1 (init) S 0\n4242 (dpvs) Z 1');
      expect(reportOf([]).dpvs).toMatchObject({ dpip: { words: 'dpip-1.9' }, running: false, ports: null });
      expect(said()).toEqual(['dpip -V']);
    });

    test('that runs tells its ports and addresses, which nobody is asked for', () => {
      processes('4242 (dpvs) S 1');
      const report = reportOf(['lip 198.51.100.77 lo'], ['198.51.100.77']);
      expect(report.dpvs.ports).toEqual([{ name: 'dpdk0', up: true, speed: 10_000, queues: { rx: 8, tx: 8 } }]);
      expect(report.lips).toEqual([{ address: '198.51.100.77', interfaces: ['dpdk0'], state: 'here', words: '' }]);
      expect(said().filter((line) => line.startsWith('arping'))).toEqual([]);
    });
  });

  describe('and LIPs', () => {
    const asked = 'say "arping $*"; for address; do :; done';
    const reply = 'Unicast reply from 198.51.100.2 [52:54:00:AB:CD:EF]  0.592ms';
    const answers = `case $address in
        198.51.100.2) echo "ARPING 198.51.100.2 from 0.0.0.0 lo"; echo "${reply}"; exit 1 ;;
        198.51.100.3) echo "Interface \\"lo\\" is down" >&2; exit 2 ;;
        198.51.100.4) exec sleep 60 ;;
      esac`;
    const lips = ['127.0.0.1', '198.51.100.1', '198.51.100.2', '198.51.100.3'];
    const lines = lips.map((lip) => `lip ${lip} lo`);

    test.each([
      ['iputils', 'echo "arping utility, iputils-sss20071127"'],
      ['busybox', 'echo "BusyBox v1.35.0 multi-call binary." >&2; exit 1'],
    ])('asks the segment for those that are not here, with arping of %s', (kind, version) => {
      program('arping', `case $1 in -V) ${version} ;; *) ${asked}; ${answers} ;; esac`);
      const report = reportOf(lines, lips);
      expect(report.arping).toBe(kind);
      expect(report.lips.map(({ address, state, words }) => `${address} ${state} ${words}`)).toEqual([
        '127.0.0.1 here ',
        '198.51.100.1 free ',
        '198.51.100.2 taken 52:54:00:ab:cd:ef',
        '198.51.100.3 failed Interface "lo" is down',
      ]);
      expect(said().sort()).toEqual([1, 2, 3].map((n) => `arping -D -f -c 2 -w 2 -I lo 198.51.100.${n}`));
    });

    test('takes busybox’s where arping is one that cannot, and says so where there is none', () => {
      program('arping', 'echo "arping: invalid option" >&2; echo "ARPing 2.23, by Thomas Habets" >&2; exit 1');
      program('busybox', `case "$2" in --help) echo "Usage: arping [-fqbDUA] DST_IP" >&2 ;; *) ${asked} ;; esac`);
      expect(reportOf(['lip 198.51.100.1 lo'], ['198.51.100.1'])).toMatchObject({
        arping: 'busybox',
        lips: [{ state: 'free' }],
      });
      expect(said()).toEqual(['arping arping -D -f -c 2 -w 2 -I lo 198.51.100.1']);
      program('busybox', 'echo "arping: applet not found" >&2; exit 127');
      const { arping, lips: states } = reportOf(['lip 198.51.100.1 lo'], ['198.51.100.1']);
      expect([arping, states[0]?.state]).toEqual(['other', 'unasked']);
    });

    test('ends an arping that hangs', () => {
      program('arping', `case $1 in -V) echo iputils ;; *) ${asked}; ${answers} ;; esac`);
      const report = reportOf(['lip 198.51.100.4 lo', 'lip 198.51.100.1 lo'], ['198.51.100.4', '198.51.100.1']);
      expect(report.lips.map(({ state, words }) => `${state} ${words}`)).toEqual([
        'failed arping did not end within 5 s',
        'free ',
      ]);
    });
  });

  test.each([
    'module ip_vs;reboot',
    'module $(reboot)',
    'interface ../../etc',
    'interface -h',
    'interface ..',
    'interface *',
    'interface ',
    'lip 10.0.0.1',
    'lip 10.0.0.1 -I',
    'lip -h eth0',
    'reboot now',
  ])('refuses %j', (line) => {
    const { code, report, stdout } = run([line]);
    expect({ code, report, stdout: stdout.trim() }).toEqual({ code: 2, report: undefined, stdout: '@@weir refused' });
  });

  test.each([[[]], [['weir 2 probe', 'end']], [['weir 1 status', 'end']], [['weir 1 probe', 'interface lo']]])(
    'refuses what is no request, or not all of one: %j',
    (lines) => {
      const command = probeCommand.replace(/^exec sh /, `exec ${shell.join(' ')} `);
      expect(runWith(command, lines, [])).toMatchObject({ code: 2, report: undefined });
    },
  );
});

test('4096 LIPs are asked for 64 at a time, and ends within its limit', () => {
  program('arping', 'case $1 in -V) echo iputils ;; *) exec sleep 2 ;; esac');
  const many = Array.from({ length: 4096 }, (_, i) => `198.18.${i >> 8}.${i & 255}`);
  const { report, took } = runIn(
    ['sh'],
    many.map((lip) => `lip ${lip} averylongdevice`),
    many,
  );
  const free = report?.lips.filter(({ state }) => state === 'free').length ?? 0;
  expect(free).toBeGreaterThanOrEqual(64);
  expect(free % 64).toBe(0);
  expect(report?.lips.filter(({ state }) => state === 'unasked')).toHaveLength(4096 - free);
  expect(took).toBeLessThan(25_000);
}, 60_000);

const noSudo = process.geteuid?.() !== 0 || spawnSync('sudo', ['-n', 'true']).status !== 0;

describe.skipIf(noSudo)('the probing script through sudo', () => {
  test('answers the same', () => {
    const ran = runWith(probeCommandSudo, ['weir 1 probe', 'interface lo', 'end'], []);
    expect(ran).toMatchObject({ code: 0, stderr: '', report: { root: true, interfaces: [{ name: 'lo' }] } });
  });
});
