/** What a standing lab is, for people and for programs. */
import { offOf, type Edge } from './edge.ts';
import { clientAddresses, managerAddress, routerAddress, uplinkNet, vipNet, wsNet } from '../topology.ts';
import { weirRuns } from './weir.ts';

/** `weir lab status -o json`. */
export interface LabView {
  readonly url: string;
  readonly token: string;
  readonly vips: readonly string[];
  readonly lbs: readonly string[];
  readonly wss: readonly string[];
  /** Each VIP's LBs, as the router sends packets at present. */
  readonly routes: Readonly<Record<string, readonly string[]>>;
  /** LBs whose power was cut. */
  readonly off: readonly string[];
  /** Whether its Weir runs. */
  readonly weir: 'up' | 'down';
  readonly bfd: boolean;
  readonly announce: 'network' | 'redistribute';
  readonly synproxy: boolean;
  /** LBs and VIPs of each cluster. */
  readonly clusters: Readonly<Record<string, { readonly lbs: readonly string[]; readonly vips: readonly string[] }>>;
  readonly addresses: {
    readonly client: readonly string[];
    readonly router: Readonly<Record<string, string>>;
    /** LBs and WSs; LBs on the uplink net. */
    readonly machines: Readonly<Record<string, string>>;
    readonly lips: Readonly<Record<string, readonly string[]>>;
    readonly ports: Readonly<Record<string, readonly number[]>>;
  };
  /** Logs, disks of the LBs, ssh_config: where they lie on this machine. */
  readonly directory: string;
  readonly sshConfig: string;
}

export async function viewOf({ lab, weir }: Edge): Promise<LabView> {
  const { topology } = lab;
  const vips = topology.vips.map(({ address }) => address);
  const byAddress = new Map(topology.lbs.map(({ address, name }) => [address, name]));
  const routes = await Promise.all(vips.map((vip) => lab.routesTo(vip)));
  const machines = [...topology.lbs, ...topology.wss];
  return {
    url: weir.url,
    token: weir.token,
    vips,
    lbs: topology.lbs.map(({ name }) => name),
    wss: topology.wss.map(({ name }) => name),
    routes: Object.fromEntries(vips.map((vip, i) => [vip, routes[i]?.map((hop) => byAddress.get(hop) ?? hop) ?? []])),
    off: (await offOf(lab)).map(({ name }) => name),
    weir: weirRuns(lab) ? 'up' : 'down',
    bfd: topology.bfd,
    announce: topology.ospf.announce ?? 'redistribute',
    synproxy: topology.synproxy,
    clusters: Object.fromEntries(
      lab
        .clusters()
        .map(({ name, lbinfos, vip2ws }) => [
          name,
          { lbs: lbinfos.map(({ hostname }) => hostname), vips: vip2ws.map(({ vip }) => vip) },
        ]),
    ),
    addresses: {
      client: clientAddresses,
      router: routerAddress,
      machines: Object.fromEntries(machines.map(({ name, address }) => [name, address])),
      lips: Object.fromEntries(topology.lbs.map(({ name, lips }) => [name, lips])),
      ports: Object.fromEntries(topology.vips.map(({ address, ports }) => [address, ports])),
    },
    directory: lab.directory,
    sshConfig: lab.sshConfig,
  };
}

export function describe(view: LabView): string {
  return [picture(view), vipLines(view), weirLines(view), tries(view)].join('\n');
}

function picture(view: LabView): string {
  const { client, router, machines, lips } = view.addresses;
  const lbs = view.lbs.map((lb) => {
    const cluster = view.clusters['lab2']?.lbs.includes(lb) === true ? '   cluster lab2' : '';
    const power = view.off.includes(lb) ? '   no power' : '';
    return `    ${lb.padEnd(10)} ${machines[lb]}   LIPs ${range(lips[lb] ?? [])}${cluster}${power}`;
  });
  const wss = view.wss.map((ws) => `    ${ws.padEnd(10)} ${machines[ws]}`);
  return [
    `client ${range(client)}`,
    `  |`,
    `router ${router['client']}  ECMP over the LBs by OSPF (${view.announce})${view.bfd ? ' and BFD' : ''}`,
    `  |-- uplink ${uplinkNet}, router ${router['uplink']}`,
    ...lbs,
    `  |-- WSs ${wsNet}, router ${router['ws']}`,
    ...wss,
    `Weir reaches the LBs by ssh on a net of its own (${managerAddress}); VIPs are of ${vipNet}.`,
    '',
  ].join('\n');
}

/** The first address, and the end of the last: they follow one another. */
function range(addresses: readonly string[]): string {
  const [first = '', last = ''] = [addresses[0], addresses.at(-1)];
  return first === last ? first : `${first}-${last.slice(last.lastIndexOf('.') + 1)}`;
}

function vipLines(view: LabView): string {
  const lines = view.vips.map((vip) => {
    const ports = view.addresses.ports[vip]?.join(', ') ?? '';
    return `VIP ${vip}  ports ${ports.padEnd(8)}  routed to ${view.routes[vip]?.join(', ') || 'no LB'}`;
  });
  return `${lines.join('\n')}\n`;
}

function weirLines({ url, token, weir, sshConfig }: LabView): string {
  return [
    `Weir ${weir === 'up' ? 'listens on' : 'does not run (weir lab up starts it):'} ${url}, documentation at ${url}/docs`,
    `  export WEIR_URL=${url} WEIR_TOKEN=${token}`,
    `ssh to an LB:  ssh -F ${sshConfig} lb1.lab`,
    '',
  ].join('\n');
}

function tries({ vips, lbs }: LabView): string {
  const [lb = ''] = lbs;
  const [short] = lb.split('.');
  return [
    'Three things to try, after the export above, with bin/weir lab probe in another terminal:',
    `  bin/weir lab run -- curl -s http://${vips[0]}/           # a request: the WS, and the LIP that it saw`,
    `  bin/weir lb drain lab ${lb}; bin/weir lab status    # taken out of ECMP; back: bin/weir lb undrain lab ${lb}`,
    `  bin/weir lab kill ${short}; bin/weir status lab            # its power is cut; back: bin/weir lab start ${short}`,
    '',
  ].join('\n');
}
