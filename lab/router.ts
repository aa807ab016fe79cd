/**
 * The lab's router: FRR's zebra and ospfd (and bfdd) with files and sockets of their own, ECMP by address and port.
 * All of its configuration is the lab's.
 */
import type { ChildProcess, StdioOptions } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Ran } from '../src/remote/program.ts';
import type { Cell, CellRunOptions } from './cell.ts';
import { frrFolder } from './needs.ts';
import { ospfKeyId, routerAddress, type Topology, uplinkNet, wsNet } from './topology.ts';

export interface Router {
  exec(argv: readonly string[], options?: CellRunOptions): Promise<Ran>;
  /** Starts a program that ends with this process, at the latest. */
  spawn(argv: readonly string[], stdio: StdioOptions): ChildProcess;
  /** A command of its vtysh, and the answer; throws where vtysh fails. */
  vtysh(command: string): Promise<string>;
  /** Addresses of the LBs that its forwarding table sends packets for the VIP to, sorted; none where it has no route. */
  routesTo(vip: string): Promise<string[]>;
  /** FRR's own words. */
  readonly logFile: string;
}

/** The kernel's part: hashing by ports too, and no check of the way back, which another LB may take. */
const sysctls = [
  'net.ipv4.ip_forward=1',
  'net.ipv4.fib_multipath_hash_policy=1',
  'net.ipv4.conf.all.rp_filter=0',
  'net.ipv4.conf.default.rp_filter=0',
];

/** Resolves when its daemons run. */
export async function startRouter(cell: Cell, folder: string, topology: Topology): Promise<void> {
  const own = join(folder, 'router');
  const logFile = logIn(own);
  await cell.must('router', ['install', '-d', '-o', 'frr', '-g', 'frr', '-m', '0755', own]);
  await cell.must('router', ['sysctl', '-qw', ...sysctls]);
  await writeFile(join(own, 'zebra.conf'), `hostname router\nlog file ${logFile}\n`);
  const ospfd = join(own, 'ospfd.conf');
  // The key is in it.
  await writeFile(ospfd, `hostname router\nlog file ${logFile}\n${ospfConfiguration(topology)}`, { mode: 0o640 });
  await cell.must('router', ['chown', 'frr:frr', ospfd]);
  await writeFile(join(own, 'bfdd.conf'), `hostname router\nlog file ${logFile}\n`);
  for (const daemon of ['zebra', ...(topology.bfd ? ['bfdd'] : []), 'ospfd']) {
    await cell.must('router', [join(frrFolder, daemon), ...daemonArguments(own, daemon)]);
  }
}

/** The router of a lab in that folder, whether its daemons run or not. */
export function routerOf(cell: Cell, folder: string): Router {
  const own = join(folder, 'router');
  return {
    exec: (argv, options) => cell.run('router', argv, options),
    spawn: (argv, stdio) => cell.spawn('router', argv, stdio),
    vtysh: (command) => cell.must('router', ['vtysh', '--vty_socket', own, '-c', command]),
    routesTo: (vip) => routesTo(cell, vip),
    logFile: logIn(own),
  };
}

function logIn(own: string): string {
  return join(own, 'frr.log');
}

function daemonArguments(own: string, daemon: string): string[] {
  const control = daemon === 'bfdd' ? ['--bfdctl', join(own, 'bfdd.sock')] : [];
  // -P 0: no port for telnet.
  const files = ['-f', join(own, `${daemon}.conf`), '-i', join(own, `${daemon}.pid`), '-z', join(own, 'zserv.api')];
  return ['-d', '-P', '0', ...files, '--vty_socket', own, ...control];
}

/**
 * min-arrival 0: otherwise the router drops the LSA in which an LB tells that it has just become its neighbour, since an
 * older one came milliseconds before, and takes it from a retransmission 5 to 10 s later only.
 */
function ospfConfiguration({ ospf, bfd }: Topology): string {
  const key =
    ospf.key === undefined
      ? []
      : [' ip ospf authentication message-digest', ` ip ospf message-digest-key ${ospfKeyId} md5 ${ospf.key}`];
  return [
    'interface uplink',
    ...key,
    ` ip ospf hello-interval ${ospf.hello}`,
    ` ip ospf dead-interval ${ospf.dead}`,
    ' ip ospf priority 100',
    ...(bfd ? [' ip ospf bfd'] : []),
    'exit',
    'router ospf',
    ` ospf router-id ${routerAddress.uplink}`,
    ' maximum-paths 16',
    ' timers throttle spf 10 50 500',
    ' timers lsa min-arrival 0',
    ' passive-interface ws',
    ` network ${uplinkNet} area 0`,
    ` network ${wsNet} area 0`,
    'exit',
    '',
  ].join('\n');
}

interface Route {
  readonly gateway?: string;
  readonly nexthops?: readonly { readonly gateway?: string }[];
}

async function routesTo(cell: Cell, vip: string): Promise<string[]> {
  const text = await cell.must('router', ['ip', '-json', 'route', 'show', 'exact', `${vip}/32`]);
  const routes = JSON.parse(text) as Route[];
  const hops = routes.flatMap((route) => route.nexthops ?? [route]);
  return hops.flatMap(({ gateway }) => (gateway === undefined ? [] : [gateway])).sort();
}
