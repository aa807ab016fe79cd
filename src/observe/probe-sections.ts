/** The probe's answer as a report: facts only, each in the machine's own words where it has some. Plain JSON. */
import { parseAddresses } from './host.ts';
import type { Section } from './sections.ts';

/** Whether a program has a word in it that only builds with LIPs have; `unknown`: it is a script. */
export type Known = 'yes' | 'no' | 'unknown';

export type ModuleState =
  /** In the kernel now. */
  | 'loaded'
  /** modprobe would find it. */
  | 'available'
  | 'missing'
  /** Nothing on the machine tells. */
  | 'unknown';

export type Suite = 'frr' | 'quagga' | 'unknown';

export interface Daemon {
  /** zebra, ospfd or bfdd. */
  name: string;
  path: string;
  /** Its own first line, e.g. `ospfd version 8.4.4`. */
  words: string;
  suite: Suite;
}

export interface RunningDaemon {
  /** keepalived, dpvs, watchfrr, zebra, ospfd or bfdd. */
  name: string;
  pid: number;
  /** Empty where ssh does not log in as root. */
  path: string;
}

export interface Nic {
  /** The kernel's name. */
  name: string;
  present: boolean;
  /** As in /sys/class/net: up, down, lowerlayerdown, dormant, unknown (the driver does not tell) ...; empty: absent. */
  operstate: string;
  /** Somebody has switched it on (IFF_UP). */
  enabled: boolean;
  carrier: boolean;
  /** Mbit/s; null where the driver does not tell, as that of a virtual machine, or the link is down. */
  speed: number | null;
  driver: string;
  queues: { rx: number; tx: number };
  /** Queues that it could have, of one kind; null where the driver does not tell. */
  maxQueues: number | null;
  /** Descriptors, present and most; null where the driver has no rings or does not tell. */
  ring: { rx: number; tx: number; maxRx: number; maxTx: number } | null;
}

/** A port of DPVS. */
export interface DpvsPort {
  name: string;
  up: boolean;
  /** Mbit/s */
  speed: number | null;
  queues: { rx: number; tx: number };
}

export interface LipState {
  address: string;
  /** On which interfaces of the machine, those of DPVS too. */
  interfaces: string[];
  /**
   * `here`: on the machine, nobody was asked. `free`: nobody on the segment answers for it. `taken`: somebody does.
   * `failed`: arping failed. `unasked`: there is no arping, or there was no time.
   */
  state: 'here' | 'free' | 'taken' | 'failed' | 'unasked';
  /** MAC of who answers, or arping's words. */
  words: string;
}

export interface ProbeReport {
  root: boolean;
  /** Release of the kernel. */
  kernel: string;
  /** Empty where the machine does not tell. */
  distribution: string;
  /** Folder of the release that was activated; null: none is. */
  active: string | null;
  keepalived: {
    path: string;
    /** Empty where it could not be read. */
    version: string;
    /** The first line of `keepalived -v`. */
    words: string;
    laddr: Known;
    /** `Config options` of mainline from 2.0 on; empty where it prints none. */
    options: string[];
  } | null;
  dpvs: {
    /** `dpip -V`, e.g. `dpip-1.9`. */
    dpip: { path: string; words: string } | null;
    running: boolean;
    /** null: dpip did not tell. */
    ports: DpvsPort[] | null;
  };
  ipvs: { table: boolean; fullnat: boolean };
  modules: Record<string, ModuleState>;
  routing: { installed: Daemon[]; running: RunningDaemon[] };
  /** Paths by name of those that are there. */
  tools: Record<string, string>;
  /** e.g. `iptables v1.8.9 (nf_tables)`; empty where it is not there. */
  iptables: string;
  ipvsadm: { path: string; laddr: Known } | null;
  interfaces: Nic[];
  /** Which arping was used: `other` is one that does not detect duplicate addresses. */
  arping: 'iputils' | 'busybox' | 'other' | 'none';
  lips: LipState[];
}

export function readProbe(sections: readonly Section[], lips: readonly string[]): ProbeReport {
  const byName = new Map(sections.map((section) => [section.name, section]));
  const linesOf = (name: string): string[] => byName.get(name)?.lines ?? [];
  const machine = pairs(linesOf('machine'));
  const ipvs = pairs(linesOf('ipvs'));
  const dpip = byName.get('dpip');
  const ipvsadm = byName.get('ipvsadm');
  const links = byName.get('dpvs-links');
  const running = linesOf('processes').flatMap(processOf);
  return {
    root: machine.get('uid') === '0',
    kernel: machine.get('kernel') ?? '',
    distribution: (machine.get('distribution') ?? '').replaceAll('"', ''),
    active: machine.get('active') ?? null,
    keepalived: keepalivedOf(byName.get('keepalived')),
    dpvs: {
      dpip: dpip ? { path: dpip.argument, words: dpip.lines[0] ?? '' } : null,
      running: running.some(({ name }) => name === 'dpvs'),
      ports: links?.argument === '0' ? portsOf(links.lines) : null,
    },
    ipvs: { table: ipvs.get('table') === 'yes', fullnat: ipvs.get('fullnat') === 'yes' },
    modules: Object.fromEntries([...pairs(linesOf('modules'))].map(([name, state]) => [name, moduleState(state)])),
    routing: { installed: linesOf('daemons').flatMap(daemonOf), running },
    tools: Object.fromEntries(pairs(linesOf('tools'))),
    iptables: linesOf('iptables')[0] ?? '',
    ipvsadm: ipvsadm ? { path: ipvsadm.argument, laddr: known(pairs(ipvsadm.lines).get('laddr')) } : null,
    interfaces: sections.filter(({ name }) => name === 'interface').map((section) => nicOf(section, sections)),
    arping: toolOf(linesOf('arp')),
    lips: lipsIn(lips, linesOf('arp'), addressesOf(linesOf('addresses'), linesOf('dpvs-addresses'))),
  };
}

/** `NAME VALUE...` lines. */
function pairs(lines: readonly string[]): Map<string, string> {
  return new Map(
    lines.flatMap((line): [string, string][] => {
      const found = /^(\S+) ?(.*)$/.exec(line);
      return found ? [[found[1] ?? '', found[2] ?? '']] : [];
    }),
  );
}

function known(text: string | undefined): Known {
  return text === 'yes' || text === 'no' ? text : 'unknown';
}

function moduleState(text: string): ModuleState {
  return text === 'loaded' || text === 'available' || text === 'missing' ? text : 'unknown';
}

/** Lines `laddr KNOWN` and `code CODE`, then what it prints. */
function keepalivedOf(section: Section | undefined): ProbeReport['keepalived'] {
  if (!section) return null;
  const [laddr = '', code = '', ...said] = section.lines;
  const hung = code === 'code 124' || code === 'code 137';
  const options = said.find((line) => line.startsWith('Config options:'));
  return {
    path: section.argument,
    version: said.map((line) => /^Keepalived v([\d.]+)/.exec(line)?.[1]).find((version) => version !== undefined) ?? '',
    words: hung ? 'keepalived -v did not end within 5 s' : (said.find((line) => line.trim() !== '') ?? code),
    laddr: known(laddr.replace('laddr ', '')),
    options: options?.split(/\s+/).slice(2) ?? [],
  };
}

/** `NAME PID PATH`; the kernel adds ` (deleted)` to the path of a program that was replaced since. */
function processOf(line: string): RunningDaemon[] {
  const found = /^(\w+) (\d+) ?(.*?)(?: \(deleted\))?$/.exec(line);
  return found ? [{ name: found[1] ?? '', pid: Number(found[2]), path: found[3] ?? '' }] : [];
}

/** `NAME PATH WORDS...` */
function daemonOf(line: string): Daemon[] {
  const found = /^(\w+) (\S+) ?(.*)$/.exec(line);
  if (!found) return [];
  const [, name = '', path = '', words = ''] = found;
  return [{ name, path, words, suite: suiteOf(words) }];
}

/** Both print `ospfd version N`. Quagga ended with 1.2.4, and FRR began with 2.0. */
function suiteOf(words: string): Suite {
  const major = /version (\d+)\./.exec(words)?.[1];
  if (major === undefined) return 'unknown';
  return Number(major) < 2 ? 'quagga' : 'frr';
}

/**
 * `dpip link show`, two lines a port: `1: dpdk0: socket 0 mtu 1500 rx-queue 8 tx-queue 8` and
 * `    UP 10000 Mbps full-duplex auto-nego` (tools/dpip/link.c of iqiyi/dpvs).
 */
function portsOf(lines: readonly string[]): DpvsPort[] {
  return lines.flatMap((line, i) => {
    const found = /^\d+: (\S+): socket .* rx-queue (\d+) tx-queue (\d+)/.exec(line);
    const link = /^\s+(\S+ )?(\d+) Mbps/.exec(lines[i + 1] ?? '');
    if (!found) return [];
    const queues = { rx: Number(found[2]), tx: Number(found[3]) };
    return [{ name: found[1] ?? '', up: link?.[1] === 'UP ', speed: speedOf(link?.[2]), queues }];
  });
}

/** Unknown is -1 in /sys, and 4294967295 there on some old kernels and in DPDK. */
function speedOf(text: string | undefined): number | null {
  const speed = Number(text || 'x');
  return speed > 0 && speed < 10_000_000 ? speed : null;
}

function nicOf({ argument: name, lines }: Section, sections: readonly Section[]): Nic {
  const values = pairs(lines);
  const said = (option: string) =>
    sections.find((section) => section.name === `ethtool${option}` && section.argument === name)?.lines ?? [];
  const speed = said('').find((line) => line.includes('Speed:'));
  return {
    name,
    present: values.has('operstate'),
    operstate: values.get('operstate') ?? '',
    enabled: Number(values.get('flags') || 0) % 2 === 1,
    carrier: values.get('carrier') === '1',
    speed: speedOf(values.get('speed')) ?? speedOf(/(\d+)Mb\/s/.exec(speed ?? '')?.[1]),
    driver: /^driver: (\S+)/.exec(said('-i')[0] ?? '')?.[1] ?? '',
    queues: { rx: Number(values.get('rx-queues') ?? 0), tx: Number(values.get('tx-queues') ?? 0) },
    maxQueues: maxQueuesOf(said('-l')),
    ring: ringOf(said('-g')),
  };
}

/** ethtool's `NAME:  VALUE` lines, those of the most and those of the present. */
function mostAndPresent(lines: readonly string[]): [Map<string, number>, Map<string, number>] {
  const middle = lines.findIndex((line) => line.startsWith('Current hardware settings'));
  const numbers = (part: readonly string[]) =>
    new Map(
      part.flatMap((line): [string, number][] => {
        const found = /^([A-Za-z ]+):\s+(\d+)$/.exec(line);
        return found ? [[found[1] ?? '', Number(found[2])]] : [];
      }),
    );
  return middle < 0 ? [new Map(), new Map()] : [numbers(lines.slice(0, middle)), numbers(lines.slice(middle))];
}

function maxQueuesOf(lines: readonly string[]): number | null {
  const [most] = mostAndPresent(lines);
  const number = Math.max(most.get('Combined') ?? 0, most.get('RX') ?? 0);
  return number > 0 ? number : null;
}

function ringOf(lines: readonly string[]): Nic['ring'] {
  const [most, present] = mostAndPresent(lines);
  const [rx, tx] = [present.get('RX'), present.get('TX')];
  if (rx === undefined || tx === undefined) return null;
  return { rx, tx, maxRx: most.get('RX') ?? rx, maxTx: most.get('TX') ?? tx };
}

function toolOf(lines: readonly string[]): ProbeReport['arping'] {
  const tool = pairs(lines).get('tool');
  return tool === 'iputils' || tool === 'busybox' || tool === 'other' ? tool : 'none';
}

/**
 * Interfaces by address, those of the kernel and of DPVS, whose `dpip addr show` prints
 * `inet 10.0.19.200/32 scope global dpdk0` (tools/dpip/addr.c of iqiyi/dpvs).
 */
function addressesOf(kernel: readonly string[], dpvs: readonly string[]): Map<string, string[]> {
  const addresses = new Map<string, string[]>();
  const add = (address: string, devices: readonly string[]) =>
    addresses.set(address, [...(addresses.get(address) ?? []), ...devices]);
  for (const [address, devices] of parseAddresses(kernel)) add(address.replace(/\/.*$/, ''), devices);
  for (const line of dpvs) {
    const found = /^inet ([\d.]+)\/\d+ scope \S+ (\S+)/.exec(line);
    if (found) add(found[1] ?? '', [found[2] ?? '']);
  }
  return addresses;
}

/** Lines `free LIP`, `taken LIP MAC` and `failed LIP WORDS...`. */
function lipsIn(
  lips: readonly string[],
  lines: readonly string[],
  addresses: ReadonlyMap<string, string[]>,
): LipState[] {
  const answers = new Map<string, Pick<LipState, 'state' | 'words'>>();
  for (const line of lines) {
    const found = /^(free|taken|failed) (\S+) ?(.*)$/.exec(line);
    if (!found) continue;
    const [, state, address = '', words = ''] = found;
    answers.set(address, { state: state as LipState['state'], words: state === 'taken' ? words.toLowerCase() : words });
  }
  return lips.map((address) => {
    const interfaces = addresses.get(address) ?? [];
    const other = { state: interfaces.length > 0 ? ('here' as const) : ('unasked' as const), words: '' };
    return { address, interfaces, ...(answers.get(address) ?? other) };
  });
}
