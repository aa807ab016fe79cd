/** Wires a lab: three bridges in the fabric, a cable to every network, a tap or a cable for every interface of an LB. */
import type { Cell } from './cell.ts';
import { clientAddresses, type LbPlan, managerAddress, routerAddress, type Topology, type WsPlan } from './topology.ts';

/** The bridges, each a net of its own. */
const bridges = ['uplink', 'ws', 'manage'] as const;
type Bridge = (typeof bridges)[number];

/** One end of a cable: an interface with its addresses. */
interface End {
  readonly network: string;
  readonly device: string;
  /** With their prefix lengths. */
  readonly addresses: readonly string[];
  readonly gateway?: string;
}

export async function wire(cell: Cell, topology: Topology): Promise<void> {
  const cables: [End, Bridge][] = [
    [{ network: 'router', device: 'uplink', addresses: [`${routerAddress.uplink}/24`] }, 'uplink'],
    [{ network: 'router', device: 'ws', addresses: [`${routerAddress.ws}/24`] }, 'ws'],
    [{ network: 'manager', device: 'eth0', addresses: [`${managerAddress}/24`] }, 'manage'],
    ...topology.wss.map((ws): [End, Bridge] => [wsEnd(ws), 'ws']),
  ];
  const client: End = {
    network: 'client',
    device: 'eth0',
    addresses: clientAddresses.map((address) => `${address}/24`),
    gateway: routerAddress.client,
  };
  const router: End = { network: 'router', device: 'client', addresses: [`${routerAddress.client}/24`] };
  await makeSwitches(cell);
  await batch(cell, 'fabric', [
    ...cables.flatMap(([end, bridge]) => plug(cell, end, bridge)),
    `link add ${at(cell, client)} type veth peer name ${router.device} netns ${cell.networkPath(router.network)}`,
  ]);
  const ends = [...cables.map(([end]) => end), client, router];
  await Promise.all(topology.networks.map((network) => address(cell, network, ends)));
}

/** The taps of a guest. */
export async function plugTaps(cell: Cell, { taps }: LbPlan): Promise<void> {
  await batch(cell, 'fabric', [...tap(taps.eth0, 'uplink'), ...tap(taps.eth1, 'manage')]);
}

function tap(name: string, bridge: Bridge): string[] {
  return [`tuntap add dev ${name} mode tap`, `link set dev ${name} master br-${bridge} up`];
}

/** For `ip -batch` in the fabric: eth0 and eth1 of the network that the first process of the PID namespace has. */
export function cablesOf({ taps, macs }: LbPlan): string[] {
  const cable = (device: 'eth0' | 'eth1', bridge: Bridge): string[] => [
    `link add name ${taps[device]} type veth peer name ${device} address ${macs[device]} netns 1`,
    `link set dev ${taps[device]} master br-${bridge} up`,
  ];
  return [...cable('eth0', 'uplink'), ...cable('eth1', 'manage')];
}

/** Takes such cables away at once; the kernel takes its time over those of a network that has ended. */
export async function unplug(cell: Cell, { taps }: LbPlan): Promise<void> {
  const lines = Object.values(taps).map((name) => `link delete dev ${name}\n`);
  // Without a lab, they are gone.
  await cell.run('fabric', ['ip', '-force', '-batch', '-'], { input: lines.join('') }).catch(() => undefined);
}

function wsEnd({ network, address: own }: WsPlan): End {
  return { network, device: 'eth0', addresses: [`${own}/24`], gateway: routerAddress.ws };
}

async function makeSwitches(cell: Cell): Promise<void> {
  await cell.must('fabric', ['sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1']);
  const lines = bridges.flatMap((name) => [`link add name br-${name} type bridge`, `link set dev br-${name} up`]);
  await batch(cell, 'fabric', lines);
}

function plug(cell: Cell, end: End, bridge: Bridge): string[] {
  const port = `${end.network}-${end.device}`;
  return [`link add name ${port} type veth peer ${at(cell, end)}`, `link set dev ${port} master br-${bridge} up`];
}

function at(cell: Cell, { network, device }: End): string {
  return `name ${device} netns ${cell.networkPath(network)}`;
}

async function address(cell: Cell, network: string, ends: readonly End[]): Promise<void> {
  const lines = ends
    .filter((end) => end.network === network)
    .flatMap(({ device, addresses, gateway }) => [
      ...addresses.map((own) => `addr add ${own} dev ${device}`),
      `link set dev ${device} up`,
      ...(gateway === undefined ? [] : [`route add default via ${gateway}`]),
    ]);
  if (lines.length > 0) await batch(cell, network, lines);
}

async function batch(cell: Cell, network: string, lines: readonly string[]): Promise<void> {
  await cell.must(network, ['ip', '-batch', '-'], { input: `${lines.join('\n')}\n` });
}
