/** Addresses and packet filter rules of an LB, as the kernel's tools print them and as a release wants them. */

/** Lines of `ip -o -4 addr show`: `2: eth0    inet 10.0.0.1/24 brd ... scope global eth0 ...`; interfaces by address. */
export function parseAddresses(lines: readonly string[]): Map<string, string[]> {
  const addresses = new Map<string, string[]>();
  for (const line of lines) {
    const found = /^\d+: ([^\s@]+)\S*\s+inet ([\d.]+)(?: peer ([\d.]+))?(\/\d+)?/.exec(line);
    if (!found) continue;
    const [, device = '', address = '', , length = '/32'] = found;
    const key = `${address}${length}`;
    addresses.set(key, [...(addresses.get(key) ?? []), device]);
  }
  return addresses;
}

/**
 * Lines of DPVS's `dpip addr show`: `inet 10.0.0.1/32 scope global dpdk1 ...`, and a second one for each address. Devices by
 * address; undefined where it was not asked, or did not answer.
 */
export function parseDpdk(lines: readonly string[] | undefined): Map<string, string[]> | undefined {
  if (lines === undefined || lines.includes('absent')) return undefined;
  const addresses = new Map<string, string[]>();
  for (const line of lines) {
    const [, address = '', device = ''] = /^inet ([\d.]+\/\d+) scope \S+ (\S+)/.exec(line) ?? [];
    if (address !== '') addresses.set(address, [...(addresses.get(address) ?? []), device]);
  }
  return addresses;
}

/** Addresses that a release's host/addresses puts on interfaces: lines `addr replace ADDRESS/32 dev DEVICE`. */
export function wantedAddresses(text: string): { address: string; device: string }[] {
  return [...text.matchAll(/^addr replace (\S+) dev (\S+)$/gm)].map((m) => ({
    address: m[1] ?? '',
    device: m[2] ?? '',
  }));
}

/**
 * Rules of iptables-save, or of a file in its format, that are in our chains (WEIR-*) or lead into them, by
 * `TABLE CHAIN`. Several texts: of nft and legacy tables; a chain is taken where it is found first.
 */
export function parseChains(texts: readonly (readonly string[])[]): Map<string, string[]> {
  const chains = new Map<string, string[]>();
  for (const lines of texts) {
    const here = new Map<string, string[]>();
    let table = '';
    for (const line of lines) {
      const chain = /^:(WEIR-\S+)/.exec(line)?.[1];
      const rule = /^-A (\S+) (.*)$/.exec(line);
      if (line.startsWith('*')) table = line.slice(1).trim();
      else if (chain !== undefined) here.set(`${table} ${chain}`, here.get(`${table} ${chain}`) ?? []);
      else if (rule && line.includes('WEIR-')) {
        const key = `${table} ${rule[1]}`;
        here.set(key, [...(here.get(key) ?? []), ruleText(rule[2] ?? '')]);
      }
    }
    for (const [key, rules] of here) if (!chains.has(key)) chains.set(key, rules);
  }
  return chains;
}

/** Blanks made one. */
function ruleText(rule: string): string {
  return rule.trim().replaceAll(/\s+/g, ' ');
}

/**
 * Jumps that the agent makes for a release's chains, by `TABLE CHAIN`: from the kernel's chain NAME to WEIR-NAME. Releases
 * had WEIR-RAW once, for two of them.
 */
export function jumpsTo(chains: Iterable<string>): [from: string, chain: string][] {
  return [...chains].flatMap((key): [string, string][] => {
    const [table = '', chain = ''] = key.split(' ');
    const builtin = /^WEIR-(PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING)$/.exec(chain)?.[1];
    if (builtin !== undefined) return [[`${table} ${builtin}`, chain]];
    return key === 'raw WEIR-RAW' ? ['raw PREROUTING', 'raw OUTPUT'].map((from) => [from, chain]) : [];
  });
}
