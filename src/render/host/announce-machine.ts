/**
 * A machine for the announce script to run on: programs in its PATH that keep addresses in files, complain where the
 * real ones do, and write down each change; a table of services in the form of the kernel and in that of DPVS.
 * Only tests import it.
 */
// oxlint-disable-next-line no-restricted-imports -- runs the script with real shells
import { spawn, spawnSync } from 'node:child_process';
// oxlint-disable-next-line no-restricted-imports -- runs the script with real shells
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
// oxlint-disable-next-line no-restricted-imports -- runs the script with real shells
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { announceFile } from './announce.ts';

/**
 * In no process but its own. With a file `kill` of "NUMBER before|after" the whole session is killed at that change.
 */
const common = String.raw`#!/bin/sh
cd "$FAKE_NET" || exit 1
exists() { while read -r line; do [ "$line" != "$1" ] || return 0; done <"$2"; return 1; }
killed() {
  [ -e kill ] || return 0
  read -r at when <kill
  [ "$when" = "$1" ] || return 0
  read -r count <count
  [ "$count" = "$at" ] || return 0
  read -r _ _ _ _ _ session _ </proc/self/stat
  kill -9 "-$session" 0
}
change() {
  if [ -e kill ]; then read -r count <count; echo "$((count + 1))" >count; fi
  killed before
}
changed() { echo "$*" >>log; killed after; }
# a side's addresses by device, one a line
add() {
  [ -e "$1/$3" ] || { echo "Cannot find device $3" >&2; return 1; }
  if exists "$2" "$1/$3"; then echo "RTNETLINK answers: File exists" >&2; return 2; fi
  if [ -e "refuse-$1" ]; then
    read -r only <"refuse-$1"
    case $only in ""|"$2") echo "refused" >&2; return 2 ;; esac
  fi
  change; echo "$2" >>"$1/$3"; changed "$1 add $2 $3"
}
del() {
  exists "$2" "$1/$3" || { echo "RTNETLINK answers: Cannot assign requested address" >&2; return 2; }
  [ ! -e "refuse-del-$1" ] || { echo "refused" >&2; return 2; }
  change
  rest=
  while read -r line; do [ "$line" = "$2" ] || rest="$rest$line
"; done <"$1/$3"
  printf "%s" "$rest" >"$1/$3"; changed "$1 del $2 $3"
}
`;

const ip = String.raw`${common}
one() {
  case "$*" in
    "-o addr show")
      [ ! -e slowly ] || sleep 0.2
      for file in kernel/*; do
        dev=${'$'}{file#kernel/}
        while read -r a; do echo "1: $dev    inet $a scope global $dev\       valid_lft forever preferred_lft forever"; done <"$file"
      done ;;
    "-o link show dev "*)
      [ -e "kernel/$5" ] || return 1
      up=
      [ ! -e up ] || up=",UP,LOWER_UP"
      echo "9: $5: <BROADCAST,NOARP$up> mtu 1500 qdisc noqueue state UNKNOWN mode DEFAULT" ;;
    "link add "*" type dummy") [ ! -e "kernel/$3" ] || return 2; change; : >"kernel/$3"; changed "link add $3" ;;
    "link set "*" up") [ -e "kernel/$3" ] || return 1; change; : >up; changed "link up $3" ;;
    "addr add "*" dev "*) add kernel "$3" "$5" ;;
    "addr del "*" dev "*) del kernel "$3" "$5" ;;
    *) echo "fake ip: $*" >&2; return 99 ;;
  esac
}
case "$*" in
  "-force -batch -") rc=0; while read -r words; do one $words || rc=1; done; exit $rc ;;
  *) one "$@" ;;
esac
`;

/** dpip as DPVS's: a line of two for an address, one address a call, and words and code 1 where DPVS is not there. */
const dpip = String.raw`${common}
read -r state <dpvs
case $state in
  runs|dumb) ;;
  slow) exec sleep 60 ;;
  *) echo "[sockopt_msg_send] socket msg connection error: Connection refused" >&2; echo "dpip: failed" >&2; exit 1 ;;
esac
case "$*" in
  "addr show")
    [ ! -e refuse-show ] || { echo "dpip: no memory" >&2; exit 1; }
    for file in dpdk/*; do
      dev=${'$'}{file#dpdk/}
      while read -r a; do printf "inet %s scope global %s \n    valid_lft forever preferred_lft forever\n" "$a" "$dev"; done <"$file"
    done ;;
  "addr add "*" dev "*) add dpdk "$3" "$5" 2>/dev/null || { echo "dpip: already exist" >&2; exit 1; } ;;
  "addr del "*" dev "*) del dpdk "$3" "$5" 2>/dev/null || { echo "dpip: not exist" >&2; exit 1; } ;;
  *) echo "fake dpip: $*" >&2; exit 99 ;;
esac
`;

/** `runs`, `dead`; `dumb`: it says no; `slow`: it does not answer. */
export type DpvsState = 'runs' | 'dead' | 'dumb' | 'slow';

const ipvsadm = String.raw`${common}
[ "$*" = -Ln ] || exit 99
read -r state <dpvs
case $state in
  runs) while IFS= read -r line; do printf "%s\n" "$line"; done <ipvsadm ;;
  slow) exec sleep 60 ;;
  dumb) echo "IP Virtual Server version 1.2.1 (size=0)"; echo "no memory" >&2; exit 1 ;;
  *) echo "[sockopt_msg_send] socket msg connection error: Connection refused" >&2; echo "Can't initialize ipvs: failed" >&2; exit 2 ;;
esac
`;

/** All limits of time are one second. */
const timeout = '#!/bin/sh\nshift\nexec /usr/bin/timeout 1 "$@"\n';

/** A service of the table: port, and the weights of its WSs. */
export interface Service {
  vip: string;
  port: number;
  weights: readonly number[];
  protocol?: string;
}

/** What the script is called with for one VIP. */
export interface Call {
  vip: string;
  policy: string;
  quorum: number;
}

export interface Ran {
  status: number | null;
  stderr: string;
}

export interface Machine {
  /** `kernel`: VIPs on lo, as without announce.conf. `dpvs`: on dpdk1. */
  reset(plane: 'kernel' | 'dpvs'): void;
  /** The table of services of both planes; undefined: this kernel has none. */
  set(services: readonly Service[] | undefined): void;
  drain(on: boolean): void;
  dpvs(state: DpvsState): void;
  /** Text of announce.conf. */
  conf(text: string): void;
  /** refuse-kernel, refuse-del-kernel, refuse-dpdk, refuse-show: changes, those of one address, and what is asked for; slowly: ip takes its time. */
  ill(name: string, how?: boolean | string): void;
  run(args: readonly string[], input?: string): Ran;
  /** `announce -` for several VIPs, `announce VIP...` for one. */
  announce(...calls: readonly Call[]): Ran;
  /** The same, killed at a change; whether it came to that. */
  killed(calls: readonly Call[], at: number, when: 'before' | 'after'): boolean;
  /** Several at once. */
  together(...sets: readonly (readonly Call[])[]): Promise<Ran[]>;
  addresses(side: 'kernel' | 'dpdk', device: string): string[];
  write(side: 'kernel' | 'dpdk', device: string, addresses: readonly string[]): void;
  /** Interfaces of a side that have the VIP. */
  places(vip: string, side?: 'kernel' | 'dpdk'): string[];
  /** Changes since it was last asked: `SIDE add|del ADDRESS/32 DEVICE`, `link add|up NAME`. */
  changes(): string[];
  /** Whether the interface of high cost is up. */
  isUp(): boolean;
  close(): void;
}

/** Shells that are here, as `describe.each` takes them; says aloud which are not. */
export function shellsHere(what: string): [name: string, argv: readonly string[]][] {
  const shells: Record<string, readonly string[]> = {
    dash: ['dash'],
    'bash --posix': ['bash', '--posix'],
    'busybox sh': ['busybox', 'sh'],
  };
  const here = Object.entries(shells).filter(([, [program = '']]) => !spawnSync(program, ['true']).error);
  const missing = Object.keys(shells).filter((name) => !here.some(([there]) => there === name));
  // oxlint-disable-next-line no-console -- a test that is left out is said aloud
  if (missing.length > 0) console.warn(`left out: ${what} with ${missing.join(', ')} (not installed here)`);
  return here;
}

export function openMachine([program = '', ...before]: readonly string[]): Machine {
  const root = mkdtempSync(join(tmpdir(), 'weir-announce-'));
  const at = (...path: string[]) => join(root, ...path);
  mkdirSync(at('bin'));
  for (const [name, text] of Object.entries({ ip, dpip, ipvsadm, timeout }))
    writeFileSync(at('bin', name), text, { mode: 0o755 });
  writeFileSync(at('announce'), announceFile.text(), { mode: 0o755 });
  const env = {
    PATH: `${at('bin')}:${process.env['PATH']}`,
    FAKE_NET: at('net'),
    WEIR_ETC: at('etc'),
    WEIR_RUN: at('run'),
    WEIR_IPVS: at('net/ip_vs'),
    WEIR_PROC: at('proc'),
  };
  const flag = (path: string, how: boolean | string) => {
    if (how !== false) writeFileSync(path, how === true ? '' : `${how}\n`);
    else rmSync(path, { force: true });
  };
  const words = (calls: readonly Call[]): { args: string[]; input: string } => {
    const [first] = calls;
    const lines = calls.map(({ vip, policy, quorum }) => `${vip} ${policy} ${quorum}`);
    return calls.length === 1 && first
      ? { args: [first.vip, first.policy, String(first.quorum)], input: '' }
      : { args: ['-'], input: lines.map((line) => `${line}\n`).join('') };
  };

  const machine: Machine = {
    reset(plane) {
      for (const folder of ['etc', 'run', 'net', 'proc']) rmSync(at(folder), { recursive: true, force: true });
      for (const folder of ['etc', 'net/kernel', 'net/dpdk', 'proc']) mkdirSync(at(folder), { recursive: true });
      machine.write('kernel', 'lo', ['127.0.0.1/8']);
      machine.dpvs('dead');
      machine.set([]);
      if (plane === 'dpvs') {
        machine.conf('dpvs dpdk1\n');
        machine.write('kernel', 'dpdk1.kni', ['10.0.0.1/24']);
        machine.write('dpdk', 'dpdk0', ['10.9.0.1/24', '10.9.0.7/32']);
        machine.write('dpdk', 'dpdk1', ['10.0.0.1/24']);
        machine.dpvs('runs');
      }
    },
    set(services) {
      if (!services) {
        rmSync(at('net/ip_vs'), { force: true });
        return;
      }
      writeFileSync(at('net/ip_vs'), kernelTable(services));
      writeFileSync(at('net/ipvsadm'), dpvsTable(services));
    },
    drain: (on) => flag(at('etc/drain'), on),
    dpvs(state) {
      writeFileSync(at('net/dpvs'), `${state}\n`);
      mkdirSync(at('proc/77'), { recursive: true });
      mkdirSync(at('proc/self'), { recursive: true });
      writeFileSync(at('proc/77/stat'), `77 (dpvs) ${state === 'dead' ? 'Z' : 'R'} 1 77 77 0 -1 4194560\n`);
    },
    conf: (text) => writeFileSync(at('etc/announce.conf'), text),
    ill: (name, how = true) => flag(at('net', name), how),
    run(args, input = '') {
      const { status, stderr } = spawnSync(program, [...before, at('announce'), ...args], {
        encoding: 'utf8',
        input,
        env,
      });
      return { status, stderr };
    },
    announce(...calls) {
      const { args, input } = words(calls);
      return machine.run(args, input);
    },
    killed(calls, number, when) {
      const { args, input } = words(calls);
      writeFileSync(at('net/count'), '0\n');
      writeFileSync(at('net/kill'), `${number} ${when}\n`);
      const { status } = spawnSync('setsid', [program, ...before, at('announce'), ...args], { input, env });
      rmSync(at('net/kill'));
      return status === null;
    },
    together: (...sets) =>
      Promise.all(
        sets.map(
          (calls) =>
            new Promise<Ran>((resolve, reject) => {
              const { args, input } = words(calls);
              const child = spawn(program, [...before, at('announce'), ...args], { env });
              let stderr = '';
              child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
              child.on('close', (status) => resolve({ status, stderr }));
              child.on('error', reject);
              // a call for one VIP does not read it
              child.stdin.on('error', () => undefined);
              child.stdin.end(input);
            }),
        ),
      ),
    addresses: (side, device) => {
      const path = at('net', side, device);
      return existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : [];
    },
    write: (side, device, addresses) =>
      writeFileSync(at('net', side, device), addresses.map((address) => `${address}\n`).join('')),
    places: (vip, side = 'kernel') =>
      readdirSync(at('net', side))
        .filter((device) => machine.addresses(side, device).includes(`${vip}/32`))
        .sort(),
    changes() {
      const path = at('net/log');
      if (!existsSync(path)) return [];
      const lines = readFileSync(path, 'utf8').trim().split('\n');
      rmSync(path);
      return lines;
    },
    isUp: () => existsSync(at('net/up')),
    close: () => rmSync(root, { recursive: true, force: true }),
  };
  return machine;
}

const head = [
  'IP Virtual Server version 1.2.1 (size=4194304)',
  'Prot LocalAddress:Port Scheduler Flags',
  '  -> RemoteAddress:Port Forward Weight ActiveConn InActConn',
];

export function hex(address: string): string {
  return address
    .split('.')
    .map((part) => Number(part).toString(16).toUpperCase().padStart(2, '0'))
    .join('');
}

/** As /proc/net/ip_vs has it. */
function kernelTable(services: readonly Service[]): string {
  const lines = services.flatMap(({ vip, port, weights, protocol = 'TCP' }) => [
    `${protocol}  ${hex(vip)}:${port.toString(16).toUpperCase().padStart(4, '0')} wrr persistent 50 FFFFFFFF`,
    ...weights.map((weight, i) => `  -> 0A0014${(i + 11).toString(16)}:0050      FullNat ${weight}      7          99`),
  ]);
  return `${[...head, ...lines].join('\n')}\n`;
}

/** As DPVS's `ipvsadm -Ln` prints it, among services that are none of ours. */
function dpvsTable(services: readonly Service[]): string {
  const lines = services.flatMap(({ vip, port, weights, protocol = 'TCP' }) => [
    `${protocol}  ${vip}:${port} wrr persistent 50 synproxy conn_timeout 300`,
    ...weights.map(
      (weight, i) =>
        `  -> ${`10.0.20.${i + 11}:80`.padEnd(28)} FullNat ${String(weight).padEnd(6)} 7          99        `,
    ),
  ]);
  const others = [
    'MATCH tcp,from=10.0.0.0-10.0.0.255:0-0,oif=dpdk1 rr',
    '  -> 1.2.3.4:0                    SNAT    1      0          0         ',
    'TCP  [2001:db8::1]:80 rr',
    '  -> [2001:db8::2]:80             FullNat 100    0          0         ',
  ];
  return `${[...head, ...lines, ...others].join('\n')}\n`;
}
