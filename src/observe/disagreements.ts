/** Where what an LB is disagrees with what its document says of it. Pure. */
import { dataplaneOf, deviceOf, innerDeviceOf, routingOf } from '../domain/edge/model.ts';
import type { Cluster, Dataplane, Lb } from '../domain/edge/model.ts';
import { probeFindingKinds } from './probe-findings.ts';
import type { ProbeCode } from './probe-findings.ts';
import { interfacesOf, neededModules } from './probe.ts';
import type { AskedInterface } from './probe.ts';
import type { Known, LipState, Nic, ProbeReport, Suite } from './probe-sections.ts';

export interface Disagreement {
  severity: 'deviation' | 'note';
  code: ProbeCode;
  /** What it is about: a program, a module, an interface, an address. */
  object: string;
  message: string;
  /** What to do next. */
  hint: string;
}

/** One LB under judgement. */
interface Judged {
  cluster: Cluster;
  lb: Lb;
  report: ProbeReport;
  add: (code: ProbeCode, object: string, message: string) => void;
}

/** Everything that disagrees, in the order dataplane, kernel, routing, tools, interfaces, LIPs. */
export function disagreements(cluster: Cluster, lb: Lb, report: ProbeReport): Disagreement[] {
  const found: Disagreement[] = [];
  const it: Judged = {
    cluster,
    lb,
    report,
    add(code, object, message) {
      const { severity, hint } = probeFindingKinds[code];
      const names = { cluster: cluster.name, lb: lb.hostname, object };
      const said = hint.replaceAll(/\{(cluster|lb|object)\}/g, (_all, name: keyof typeof names) => names[name]);
      found.push({ severity, code, object, message, hint: said });
    },
  };
  if (!report.root)
    it.add('limited_view', 'user', 'ssh does not log in as root: nobody can be asked by ARP from there');
  judgeKeepalived(it);
  judgeDataplane(it);
  judgeModules(it);
  judgeRouting(it);
  judgeTools(it);
  for (const asked of interfacesOf(cluster, lb)) judgeInterface(it, asked);
  judgeLips(it);
  return found;
}

// dataplane ----------------------------------------------------------------------------------

const readers: Readonly<Record<Dataplane, string>> = {
  fullnat: 'keepalived 1.2.2 of Alibaba LVS',
  dpvs: 'keepalived 2.0.19 of DPVS',
  ipvs: 'mainline keepalived 2.0 or newer',
};

function judgeKeepalived({ cluster, report, add }: Judged): void {
  const dataplane = dataplaneOf(cluster);
  const { keepalived } = report;
  const wants = `the document says ${dataplane}, which ${readers[dataplane]} reads`;
  if (!keepalived) {
    add('keepalived_missing', 'keepalived', `${wants}; keepalived is not installed`);
    return;
  }
  const { path, version, words, laddr, options } = keepalived;
  const lacks = reads(dataplane, version) ? lacking(dataplane, laddr) : '';
  if (!reads(dataplane, version) || lacks !== '') {
    add('keepalived_dialect', path, `${wants}; ${path} says: ${words}${lacks}`);
  } else if (options.length > 0 && !options.includes('LVS')) {
    add('keepalived_without_ipvs', path, `${words} at ${path} is built without LVS: ${options.join(' ')}`);
  }
  const other = report.routing.running.find((p) => p.name === 'keepalived' && p.path !== '' && !same(p.path, path));
  if (other) {
    add('keepalived_other_program', other.path, `process ${other.pid} runs ${other.path}, and PATH finds ${path}`);
  }
}

function reads(dataplane: Dataplane, version: string): boolean {
  switch (dataplane) {
    case 'fullnat':
      return version === '1.2.2';
    case 'dpvs':
      return version === '2.0.19';
    case 'ipvs':
      return Number(version.split('.')[0]) >= 2;
  }
}

/** A build of the same version may be another one: mainline has a 1.2.2 and a 2.0.19 too. */
function lacking(dataplane: Dataplane, laddr: Known): string {
  if (dataplane === 'ipvs') return laddr === 'yes' ? ', and is built for LIPs (it knows laddr_group_name)' : '';
  return laddr === 'no' ? ', and is built without LIPs (it does not know laddr_group_name)' : '';
}

/** /sbin and /bin are links into /usr on many machines. */
function same(a: string, b: string): boolean {
  return a.replace(/^\/usr/, '') === b.replace(/^\/usr/, '');
}

function judgeDataplane({ cluster, report, add }: Judged): void {
  const dataplane = dataplaneOf(cluster);
  const { dpvs, ipvs, ipvsadm, kernel, routing } = report;
  if (dataplane === 'dpvs') {
    if (!dpvs.dpip) add('dpvs_missing', 'dpip', 'the document says dpvs; dpip is not installed');
    if (!dpvs.running) add('dpvs_down', 'dpvs', 'the document says dpvs; no process dpvs runs');
    if (ipvsadm?.laddr === 'no') add('dpvs_ipvsadm', ipvsadm.path, `${ipvsadm.path} is not the one of DPVS`);
    return;
  }
  const process = routing.running.find(({ name }) => name === 'dpvs');
  if (process) add('dataplane_other', 'dpvs', `the document says ${dataplane}; process ${process.pid} is dpvs`);
  if (!ipvs.table && report.modules['ip_vs'] === 'missing') {
    const message = `the document says ${dataplane}; kernel ${kernel} has no /proc/net/ip_vs, and no module ip_vs`;
    add('ipvs_missing', 'ip_vs', message);
  }
  if (dataplane === 'fullnat' && ipvs.table && !ipvs.fullnat) {
    const sysctl = '/proc/sys/net/ipv4/vs/fullnat_timestamp_remove_entry';
    add('fullnat_missing', 'ip_vs', `the document says fullnat; IPVS of kernel ${kernel} has no ${sysctl}`);
  }
}

function judgeModules({ cluster, report, add }: Judged): void {
  const needed = neededModules(cluster);
  const missing = needed.filter((name) => report.modules[name] === 'missing');
  // Its schedulers are missing along with it.
  const noIpvs = !report.ipvs.table && report.modules['ip_vs'] === 'missing';
  for (const name of missing) {
    if (noIpvs && name.startsWith('ip_vs_')) continue;
    add('module_missing', name, `kernel ${report.kernel} has no ${name}: it is neither loaded nor found`);
  }
  const first = dataplaneOf(cluster) !== 'dpvs' && !report.ipvs.table ? ['ip_vs'] : [];
  const unknown = [...first, ...needed].filter((name) => report.modules[name] === 'unknown');
  if (unknown.length > 0) add('modules_unknown', 'modules', `nothing tells whether there are ${unknown.join(', ')}`);
}

// routing ------------------------------------------------------------------------------------

const suiteNames: Readonly<Record<Suite, string>> = { frr: 'FRR', quagga: 'Quagga', unknown: 'of an unknown suite' };

function judgeRouting({ cluster, report, add }: Judged): void {
  const wanted = routingOf(cluster);
  const { installed, running } = report.routing;
  const fits = (suite: Suite | undefined) => suite === undefined || suite === wanted || suite === 'unknown';
  let otherSuite = false;
  for (const name of ['zebra', 'ospfd', ...(cluster.ospf?.bfd ? ['bfdd'] : [])]) {
    const there = installed.filter((daemon) => daemon.name === name);
    const processes = running.filter((process) => process.name === name);
    const foreign = processes.find(({ path }) => !fits(installed.find((d) => d.path === path)?.suite));
    if (foreign) {
      const words = installed.find((d) => d.path === foreign.path)?.words ?? foreign.path;
      add(
        'routing_other_suite',
        name,
        `the document says ${wanted}; process ${foreign.pid} is ${foreign.path}: ${words}`,
      );
      otherSuite = true;
    } else if (processes.length > 0) {
      continue;
    } else if (there.some(({ suite }) => fits(suite))) {
      const which = there.find(({ suite }) => fits(suite));
      add('routing_down', name, `${name} does not run; there is ${which?.path} (${which?.words})`);
    } else if (there[0]) {
      const { path, words, suite } = there[0];
      add('routing_other_suite', name, `the document says ${wanted}; ${path} is ${suiteNames[suite]}: ${words}`);
      otherSuite = true;
    } else if (!otherSuite) {
      add('routing_missing', name, `the document says ${wanted}; there is no ${name}`);
    }
  }
}

// tools --------------------------------------------------------------------------------------

/** Debian's packages; RHEL has the same names but for FRR's. */
const packages: Readonly<Record<string, string>> = {
  flock: 'util-linux',
  ip: 'iproute2',
  'iptables-restore': 'iptables',
  vtysh: 'frr',
  'frr-reload.py': 'frr-pythontools',
};

function judgeTools({ cluster, report: { tools }, add }: Judged): void {
  const needed = [
    'flock',
    'ip',
    ...(dataplaneOf(cluster) === 'ipvs' && !tools['iptables-legacy-restore'] ? ['iptables-restore'] : []),
    ...(routingOf(cluster) === 'frr' ? ['vtysh', 'frr-reload.py'] : []),
  ];
  for (const name of needed) {
    if (!tools[name]) add('tool_missing', name, `${name} is not installed (package ${packages[name]})`);
  }
  if (!tools['ethtool']) add('ethtool_missing', 'ethtool', 'ethtool is not installed');
}

// interfaces ---------------------------------------------------------------------------------

function judgeInterface(it: Judged, { device, kernel }: AskedInterface): void {
  const { cluster, report, add } = it;
  const nic = report.interfaces.find(({ name }) => name === kernel);
  const port = report.dpvs.ports?.find(({ name }) => name === device);
  if (dataplaneOf(cluster) === 'dpvs' && report.dpvs.ports && !port) {
    const ports = report.dpvs.ports.map(({ name }) => name).join(', ') || 'none';
    add('interface_missing', device, `the document names ${device}; ports of DPVS: ${ports}`);
    return;
  }
  if (!nic?.present) {
    add('interface_missing', kernel, `the document names ${placesOf(it, device)} ${device}; there is no ${kernel}`);
    return;
  }
  const down = port && !port.up ? `DPVS says that ${device} is down` : downText(nic);
  if (down !== '') {
    add('interface_down', kernel, down);
    return;
  }
  if (cluster.linkspeed === undefined) return;
  const speed = port ? port.speed : nic.speed;
  const wanted = cluster.linkspeed === '10g' ? 10_000 : 1000;
  const said = `the document says ${cluster.linkspeed}; ${device} (${nic.driver || 'unknown driver'})`;
  if (speed === null) add('linkspeed_unknown', device, `${said} does not tell its speed`);
  else if (speed < wanted) add('linkspeed_slower', device, `${said} has ${speed} Mbit/s`);
  else if (speed > wanted && wanted === 1000) add('linkspeed_faster', device, `${said} has ${speed} Mbit/s`);
}

function placesOf({ cluster, lb }: Judged, device: string): string {
  if (device === deviceOf(cluster, lb)) return 'device';
  return device === innerDeviceOf(cluster, lb) ? 'innerdevice' : 'uplink';
}

/** Empty where it is up. `unknown` is said by drivers that do not tell, as those of kni and tun. */
function downText({ name, operstate, enabled, carrier }: Nic): string {
  if (!enabled) return `${name} is switched off (operstate ${operstate})`;
  if (['up', 'unknown'].includes(operstate) || (operstate === 'dormant' && carrier)) return '';
  return `${name} is down (operstate ${operstate}, ${carrier ? 'with' : 'no'} carrier)`;
}

// LIPs ---------------------------------------------------------------------------------------

function judgeLips(it: Judged): void {
  const { cluster, lb, report, add } = it;
  const inner = innerDeviceOf(cluster, lb);
  const away: LipState[] = [];
  for (const lip of report.lips) {
    const { address, interfaces, state, words } = lip;
    if (state === 'taken') {
      add('lip_taken', address, `${address} is answered for by ${words} on the segment of ${inner}`);
    }
    if (interfaces.length === 0) {
      away.push(lip);
    } else if (!interfaces.includes(inner)) {
      add('lip_other_interface', address, `${address} is on ${interfaces.join(', ')}, and not on ${inner}`);
    }
  }
  if (away.length === 0) return;
  if (report.active === null) {
    add('lip_pending', 'LIPs', `nothing was activated, and no interface has ${listed(away.map((lip) => lip.address))}`);
  } else {
    for (const { address } of away) {
      add('lip_missing', address, `${address} is on no interface, and release ${report.active.slice(0, 12)} is active`);
    }
  }
  judgeArp(it, away);
}

function judgeArp({ report, add }: Judged, away: readonly LipState[]): void {
  const failed = away.filter(({ state }) => state === 'failed');
  const unasked = away.filter(({ state }) => state === 'unasked').map(({ address }) => address);
  const why = {
    none: 'arping is not installed',
    other: 'its arping is not the one of iputils or busybox, which detect duplicate addresses',
    iputils: 'there were too many for 10 s',
    busybox: 'there were too many for 10 s',
  }[report.arping];
  if (unasked.length > 0) {
    const code = report.arping === 'none' || report.arping === 'other' ? 'arping_missing' : 'lips_unasked';
    add(code, code === 'arping_missing' ? 'arping' : 'LIPs', `nobody was asked for ${listed(unasked)}: ${why}`);
  }
  if (failed.length > 0) {
    const addresses = listed(failed.map(({ address }) => address));
    add('lips_unasked', 'LIPs', `nobody could be asked for ${addresses}: ${failed[0]?.words}`);
  }
}

/** The first of them, and how many there are. */
function listed(addresses: readonly string[]): string {
  const [shown, more] = [addresses.slice(0, 4).join(', '), addresses.length - 4];
  return more > 0 ? `${shown} and ${more} more` : shown;
}
