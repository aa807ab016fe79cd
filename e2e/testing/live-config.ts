/** What a keepalived that starts now would run, read from a test host's disk through the live path, and what it should be. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { addressOf, nextAddresses, noAddresses } from '../../src/domain/edge/addresses.ts';
import type { FoundAddresses } from '../../src/domain/edge/addresses.ts';
import { protocolOf, stateOf, weightOf } from '../../src/domain/edge/model.ts';
import type { Cluster } from '../../src/domain/edge/model.ts';
import type { TestHost } from '../../src/remote/test-hosts.ts';
import type { KeepalivedGrammar } from '../../src/render/keepalived/grammar/dialects.ts';
import { readKeepalived } from '../../src/render/keepalived/grammar/reader.ts';

export interface LiveConfig {
  /** What a strict reader of its data plane's grammar has to say against it. */
  complaints: string[];
  lips: string[];
  /** `VIP:SPORT/PROTOCOL`, each with its real servers as `ADDRESS:DPORT weight W`; all sorted. */
  services: Record<string, string[]>;
}

export function readLive(host: TestHost): LiveConfig {
  const readFile = (path: string): string | undefined => {
    try {
      return readFileSync(join(host.root, path), 'utf8');
    } catch {
      return undefined;
    }
  };
  const grammar = grammarOf(readFile('/etc/weir/current/manifest.json'));
  const reading = readKeepalived(readFile, '/etc/keepalived/keepalived.conf', grammar);
  const services = reading.services.map((s): [string, string[]] => [
    `${s.vip}:${s.port}/${s.protocol}`,
    s.realServers.map((r) => `${r.address}:${r.port} weight ${r.weight}`).sort(),
  ]);
  return {
    complaints: reading.complaints,
    lips: [...reading.lips.values()].flat(),
    services: Object.fromEntries(services.sort(byName)),
  };
}

/** That of the release which is published; fullnat's where there is none. */
function grammarOf(manifest: string | undefined): KeepalivedGrammar {
  if (manifest === undefined) return 'fullnat';
  return (JSON.parse(manifest) as { dataplane: KeepalivedGrammar }).dataplane;
}

/** What the document of a revision says should be read. */
export function wantedOf(cluster: Cluster, found: FoundAddresses = {}): LiveConfig['services'] {
  const addresses = nextAddresses(noAddresses, found);
  const services = cluster.vip2ws.flatMap((vip) => {
    const wss = vip.wss.filter((ws) => stateOf(vip, ws) !== 'down');
    if (wss.length === 0) return [];
    return vip.ports.map((port): [string, string[]] => [
      `${vip.vip}:${port.sport}/${protocolOf(port)}`,
      wss.map((ws) => `${addressOf(vip, ws, addresses)}:${port.dport} weight ${weightOf(vip, ws)}`).sort(),
    ]);
  });
  return Object.fromEntries(services.sort(byName));
}

function byName([a]: [string, unknown], [b]: [string, unknown]): number {
  return a < b ? -1 : 1;
}
