/**
 * Configurations of routing daemons as sets of lines, whatever the order and decoration they are printed in, and
 * OSPF neighbours. FRR 8 and Quagga 0.99.
 */
import type { Neighbour } from './model.ts';

/**
 * `SECTION > LINE` for lines within interfaces, routers and route-maps, `LINE` for others. What daemons add by
 * themselves, what is their default, and how they log is left out.
 */
export function routingLines(text: string): Set<string> {
  const lines = new Set<string>();
  let section = '';
  for (const raw of text.split('\n')) {
    const line = raw.trimEnd();
    const inner = /^\s/.test(line);
    const words = line.trim().replaceAll(/\s+/g, ' ');
    if (words === '' || words.startsWith('!') || ignored.some((pattern) => pattern.test(words))) continue;
    if (!inner) section = words;
    // An interface without a line of its own is only one that the machine has.
    if (inner) lines.add(`${section} > ${words}`);
    else if (!words.startsWith('interface ')) lines.add(words);
  }
  return lines;
}

/** What running-config shows besides the configuration, and what it does not show, being a default. */
const ignored: readonly RegExp[] = [
  /^(?:Building configuration\.\.\.|Current configuration:|end|exit|exit-vrf|line vty)$/,
  /^frr (?:version|defaults) /,
  /^(?:hostname|log|password|enable password|banner|domainname) /,
  /^(?:no )?service /,
  // They tell the kernel's state, which sysctl.conf decides.
  /^(?:no )?ipv?6? ?forwarding$/,
  /^(?:no )?link-detect$/,
  /^(?:no )?ipv6 nd (?:suppress-ra|ra-interval .*)$/,
  /^ip ospf (?:hello-interval 10|dead-interval 40|priority 1|retransmit-interval 5|transmit-delay 1)$/,
  /^ip ospf network broadcast$/,
];

/** Lines by which a running configuration differs: `+` runs, `-` does not. Keys are masked. */
export function routingDifferences(wanted: string, running: string): string[] {
  const [from, to] = [routingLines(wanted), routingLines(running)];
  const missing = [...from].filter((line) => !to.has(line)).map((line) => `- ${line}`);
  const extra = [...to].filter((line) => !from.has(line)).map((line) => `+ ${line}`);
  return [...missing, ...extra].map(withoutKeys);
}

/** Whatever the key is: it cannot hold a space. */
function withoutKeys(text: string): string {
  return text.replaceAll(/( md5| authentication-key) \S+/g, '$1 ******');
}

/** `show ip ospf neighbor`, as JSON (FRR) or as a table (Quagga). */
export function parseNeighbours(text: string): Neighbour[] {
  if (text.trimStart().startsWith('{')) return neighboursOfJson(text);
  return text.split('\n').flatMap((line) => {
    const found = /^(\d+\.\d+\.\d+\.\d+)\s+\d+\s+(\S+\/\S+)\s.*?\s(\d+\.\d+\.\d+\.\d+)\s+([^\s:]+)/.exec(line);
    if (!found) return [];
    return [{ id: found[1] ?? '', state: found[2] ?? '', address: found[3] ?? '', interface: found[4] ?? '' }];
  });
}

interface FrrNeighbour {
  state?: string;
  nbrState?: string;
  address?: string;
  ifaceAddress?: string;
  ifaceName?: string;
}

function neighboursOfJson(text: string): Neighbour[] {
  let parsed: { neighbors?: Record<string, FrrNeighbour[]> };
  try {
    parsed = JSON.parse(text) as typeof parsed;
  } catch {
    return [];
  }
  return Object.entries(parsed.neighbors ?? {}).flatMap(([id, all]) =>
    (Array.isArray(all) ? all : []).map((n) => ({
      id,
      state: n.nbrState ?? n.state ?? '',
      address: n.ifaceAddress ?? n.address ?? '',
      interface: (n.ifaceName ?? '').replace(/:.*$/, ''),
    })),
  );
}

export function isFull({ state }: Neighbour): boolean {
  return state.startsWith('Full');
}
