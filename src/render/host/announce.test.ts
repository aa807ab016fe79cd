// oxlint-disable-next-line no-restricted-imports -- runs the script with real shells
import { spawnSync } from 'node:child_process';
// oxlint-disable-next-line no-restricted-imports -- runs the script with real shells
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
// oxlint-disable-next-line no-restricted-imports -- runs the script with real shells
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { announceFile, announceHelper } from './announce.ts';

const VIP = '60.28.208.1';
const OTHER = '60.28.208.11';

/** Keeps the addresses of each interface in a file of its name, and complains where the real one does. */
const fakeIp = String.raw`#!/bin/sh
cd "$FAKE_IP" || exit 1
say() { echo "$*" >> log; }
one() {
  case "$*" in
    "-o addr show")
      for dev in *; do
        case $dev in log|refuse) continue ;; esac
        while read -r a; do echo "1: $dev    inet $a scope global $dev\       valid_lft forever preferred_lft forever"; done < "$dev"
      done ;;
    "link show dev "*) [ -e "$4" ] || return 1 ;;
    "link add "*" type dummy") [ ! -e "$3" ] || return 2; say "$@"; : > "$3" ;;
    "link set "*" up") [ -e "$3" ] || return 1; say "$@" ;;
    "addr add "*" dev "*)
      [ -e "$5" ] || return 1
      if grep -qxF -- "$3" "$5"; then echo "RTNETLINK answers: File exists" >&2; return 2; fi
      [ ! -e refuse ] || return 2
      say "$@"; echo "$3" >> "$5" ;;
    "addr del "*" dev "*)
      grep -qxF -- "$3" "$5" || { echo "RTNETLINK answers: Cannot assign requested address" >&2; return 2; }
      say "$@"; grep -vxF -- "$3" "$5" > rest; cat rest > "$5"; rm rest ;;
    *) echo "fake ip: $*" >&2; return 99 ;;
  esac
}
case "$*" in
  "-force -batch -") rc=0; while read -r line; do one $line || rc=1; done; exit $rc ;;
  *) one "$@" ;;
esac
`;

let root: string;
const script = () => join(root, 'announce');

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'weir-announce-'));
  mkdirSync(join(root, 'bin'));
  writeFileSync(join(root, 'bin/ip'), fakeIp);
  writeFileSync(script(), announceFile.text());
  for (const path of ['bin/ip', 'announce']) chmodSync(join(root, path), 0o755);
});
afterAll(() => rmSync(root, { recursive: true }));

/** A service as /proc/net/ip_vs shows it: port, and the weights of its WSs. */
interface Service {
  vip?: string;
  port: number;
  weights: readonly number[];
}

function hex(address: string): string {
  return address
    .split('.')
    .map((part) => Number(part).toString(16).toUpperCase().padStart(2, '0'))
    .join('');
}

function tableOf(services: readonly Service[]): string {
  const lines = services.flatMap(({ vip = VIP, port, weights }) => [
    `TCP  ${hex(vip)}:${port.toString(16).toUpperCase().padStart(4, '0')} wrr persistent 50 FFFFFFFF`,
    ...weights.map((weight, i) => `  -> 0A0014${(i + 11).toString(16)}:0050      FullNat ${weight}      7          99`),
  ]);
  const head = [
    'IP Virtual Server version 1.2.1 (size=4194304)',
    'Prot LocalAddress:Port Scheduler Flags',
    '  -> RemoteAddress:Port Forward Weight ActiveConn InActConn',
  ];
  return `${[...head, ...lines].join('\n')}\n`;
}

function set(services: readonly Service[] | undefined): void {
  const path = join(root, 'ip_vs');
  if (services) writeFileSync(path, tableOf(services));
  else rmSync(path, { force: true });
}

function drain(on: boolean): void {
  if (on) writeFileSync(join(root, 'etc/drain'), '');
  else rmSync(join(root, 'etc/drain'), { force: true });
}

/** Where the VIP is, by interface. */
function places(vip = VIP): string[] {
  const folder = join(root, 'net');
  return readdirSync(folder)
    .filter((dev) => dev !== 'log' && readFileSync(join(folder, dev), 'utf8').split('\n').includes(`${vip}/32`))
    .sort();
}

/** What was changed since it was last asked. */
function changes(): string[] {
  const path = join(root, 'net/log');
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').trim().split('\n');
  rmSync(path);
  return lines;
}

const shells: Record<string, readonly string[]> = {
  dash: ['dash'],
  'bash --posix': ['bash', '--posix'],
  'busybox sh': ['busybox', 'sh'],
};

const present = Object.entries(shells).filter(([, [program = '']]) => !spawnSync(program, ['true']).error);
const missing = Object.keys(shells).filter((name) => !present.some(([there]) => there === name));
if (missing.length > 0) console.warn(`left out: the announce script with ${missing.join(', ')} (not installed here)`);

describe.each(present)('the announce script with %s', (_name, shell) => {
  beforeEach(() => {
    for (const folder of ['etc', 'run', 'net']) {
      rmSync(join(root, folder), { recursive: true, force: true });
      if (folder !== 'run') mkdirSync(join(root, folder));
    }
    writeFileSync(join(root, 'net/lo'), '127.0.0.1/8\n');
    set([]);
  });

  function run(...args: readonly (string | number)[]) {
    return runWith('', ...args);
  }

  function runWith(input: string, ...args: readonly (string | number)[]) {
    const [program = '', ...before] = shell;
    const { status, stderr } = spawnSync(program, [...before, script(), ...args.map(String)], {
      encoding: 'utf8',
      input,
      env: {
        PATH: `${join(root, 'bin')}:${process.env['PATH']}`,
        FAKE_IP: join(root, 'net'),
        WEIR_ETC: join(root, 'etc'),
        WEIR_RUN: join(root, 'run'),
        WEIR_IPVS: join(root, 'ip_vs'),
      },
    });
    return { status, stderr };
  }

  /** Runs it without a fault, and tells where the VIP is then. */
  function announce(policy: string, quorum = 1): string[] {
    expect(run(VIP, policy, quorum)).toEqual({ status: 0, stderr: '' });
    return places();
  }

  const none: Service[] = [
    { port: 80, weights: [] },
    { port: 443, weights: [] },
  ];
  const one: Service[] = [
    { port: 80, weights: [100] },
    { port: 443, weights: [] },
  ];
  const both: Service[] = [
    { port: 80, weights: [100] },
    { port: 443, weights: [100] },
  ];

  test.each<[policy: string, ...places: string[][]]>([
    ['any', [], ['lo'], ['lo']],
    ['all', [], [], ['lo']],
    ['degrade', [], ['weir-high'], ['lo']],
  ])('announces by policy %s: no port served %j, one %j, both %j', (policy, ...expected) => {
    [none, one, both].forEach((services, i) => {
      set(services);
      expect(announce(policy)).toEqual(expected[i]);
    });
    [both, one, none].forEach((services, i) => {
      set(services);
      expect(announce(policy)).toEqual(expected[2 - i]);
    });
  });

  test('counts weight, not WSs, and a port without enough of it is not served', () => {
    set([
      { port: 80, weights: [40, 0, 9] },
      { port: 443, weights: [25, 25] },
    ]);
    expect(announce('all', 49)).toEqual(['lo']);
    expect(announce('all', 50)).toEqual([]);
    expect(announce('any', 50)).toEqual(['lo']);
    expect(announce('degrade', 50)).toEqual(['weir-high']);
    expect(announce('any', 51)).toEqual([]);
  });

  test('does not take a port whose WSs all drain for served', () => {
    set([{ port: 80, weights: [0, 0] }]);
    expect(announce('any')).toEqual([]);
  });

  test('looks at its own VIP only, also at one that is the start of another', () => {
    set([
      { vip: OTHER, port: 80, weights: [100] },
      { vip: '60.28.208.2', port: 443, weights: [100] },
    ]);
    expect(announce('any')).toEqual([]);
    set([...both, { vip: OTHER, port: 80, weights: [] }]);
    expect(announce('all')).toEqual(['lo']);
    expect(run(OTHER, 'any', 1).status).toBe(0);
    expect([places(), places(OTHER)]).toEqual([['lo'], []]);
  });

  test('goes by the ports in the table, not by those of the configuration that calls', () => {
    set(both);
    expect(announce('all')).toEqual(['lo']);
    // A third port was removed: its quorum_down comes last, from the configuration that had it.
    expect(announce('all')).toEqual(['lo']);
    set([...both, { port: 8080, weights: [] }]);
    expect(announce('all')).toEqual([]);
    expect(announce('degrade')).toEqual(['weir-high']);
  });

  test('leaves the addresses of others alone', () => {
    writeFileSync(join(root, 'net/lo'), `127.0.0.1/8\n${OTHER}/32\n160.28.208.1/32\n`);
    set(both);
    announce('any');
    set(none);
    announce('any');
    expect(readFileSync(join(root, 'net/lo'), 'utf8')).toBe(`127.0.0.1/8\n${OTHER}/32\n160.28.208.1/32\n`);
  });

  test('keeps every VIP off while the LB drains, and puts it back afterwards', () => {
    set(both);
    expect(announce('any')).toEqual(['lo']);
    drain(true);
    expect(announce('any')).toEqual([]);
    expect(announce('degrade')).toEqual([]);
    drain(false);
    expect(announce('any')).toEqual(['lo']);
  });

  test('changes nothing where nothing is to be changed', () => {
    for (const services of [one, both, none]) {
      set(services);
      announce('degrade');
      changes();
      announce('degrade');
      expect(changes()).toEqual([]);
    }
  });

  test('adds the VIP at its new place before it removes it from the old one', () => {
    set(both);
    announce('degrade');
    changes();
    set(one);
    announce('degrade');
    expect(changes()).toEqual([
      'link add weir-high type dummy',
      'link set weir-high up',
      `addr add ${VIP}/32 dev weir-high`,
      `addr del ${VIP}/32 dev lo`,
    ]);
    set(both);
    announce('degrade');
    expect(changes()).toEqual([`addr add ${VIP}/32 dev lo`, `addr del ${VIP}/32 dev weir-high`]);
  });

  test('keeps the old place and fails if the new one cannot be had', () => {
    set(both);
    announce('degrade');
    set(one);
    writeFileSync(join(root, 'net/refuse'), '');
    expect(run(VIP, 'degrade', 1).status).toBe(1);
    expect(places()).toEqual(['lo']);
  });

  test('takes a kernel without IPVS for one that serves nothing', () => {
    set(both);
    announce('any');
    set(undefined);
    expect(announce('any')).toEqual([]);
  });

  test('refuses what it cannot understand, and changes nothing', () => {
    set(both);
    for (const args of [[], [VIP], [VIP, 'any'], [VIP, 'any', 1, 2], [VIP, 'some', 1], ['x.y.z.w', 'any', 1]]) {
      expect(run(...args).status).toBe(2);
    }
    expect([places(), changes()]).toEqual([[], []]);
  });

  test('settles many VIPs in one go, each by its own policy, and leaves the rest when one line is wrong', () => {
    set([...one, { vip: OTHER, port: 80, weights: [100] }]);
    writeFileSync(join(root, 'net/lo'), `127.0.0.1/8\n60.28.208.5/32\n`);
    const input = `${VIP} degrade 1\n${OTHER} all 1\n60.28.208.5 any 1\n`;
    expect(runWith(input, '-')).toEqual({ status: 0, stderr: '' });
    expect([places(), places(OTHER), places('60.28.208.5')]).toEqual([['weir-high'], ['lo'], []]);
    changes();
    expect(runWith(`${input}60.28.208.6 some 1\n`, '-')).toEqual({
      status: 2,
      stderr: 'announce: unknown policy some\n',
    });
    expect(changes()).toEqual([]);
  });

  test('ends where the table says, whatever happened before, and in whatever order', () => {
    const weights = fc.array(fc.constantFrom(0, 1, 50, 100), { maxLength: 2 });
    const services = fc.tuple(weights, weights).map(([a, b]): Service[] => [
      { port: 80, weights: a },
      { port: 443, weights: b },
    ]);
    const event = fc.record({ services, draining: fc.boolean() });
    fc.assert(
      fc.property(
        fc.constantFrom('any', 'all', 'degrade'),
        fc.array(event, { minLength: 1, maxLength: 4 }),
        (policy, events) => {
          for (const { services: table, draining } of events) {
            set(table);
            drain(draining);
            announce(policy, 50);
          }
          const last = events.at(-1);
          const served = (last?.services ?? []).filter((s) => s.weights.reduce((a, b) => a + b, 0) >= 50).length;
          expect(places()).toEqual(expectedPlaces(policy, last?.draining ? 0 : served));
        },
      ),
      { numRuns: 12 },
    );
  });

  test('may be called many times at once', () => {
    set(both);
    const calls = `for i in 1 2 3 4 5 6 7 8; do "$@" ${VIP} any 1 & done; wait`;
    const environment = {
      PATH: `${join(root, 'bin')}:${process.env['PATH']}`,
      FAKE_IP: join(root, 'net'),
      WEIR_ETC: join(root, 'etc'),
      WEIR_RUN: join(root, 'run'),
      WEIR_IPVS: join(root, 'ip_vs'),
    };
    const { stderr } = spawnSync('sh', ['-c', calls, 'sh', ...shell, script()], { encoding: 'utf8', env: environment });
    expect(stderr).toBe('');
    expect([places(), changes()]).toEqual([['lo'], [`addr add ${VIP}/32 dev lo`]]);
  });
});

function expectedPlaces(policy: string, served: number): string[] {
  if (served === 0) return [];
  if (served === 2 || policy === 'any') return ['lo'];
  return policy === 'all' ? [] : ['weir-high'];
}

test('the helper is named by its content, so that a running daemon never runs another’s', () => {
  expect(announceHelper.name).toBe(`announce-${announceFile.sha256.slice(0, 12)}`);
  expect(announceFile.mode).toBe('0755');
});
