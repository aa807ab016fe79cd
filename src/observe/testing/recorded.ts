/**
 * Answers of the script from a User-Mode Linux guest of Debian 12 with IPVS, keepalived 2.2.7 and FRR 8.4.4, and
 * a neighbour router: two releases of cluster `c`, 2 and 3 VIPs on TCP 80 and UDP 53, two WSs, two LIPs.
 * Only tests import it.
 */
import { readFileSync } from 'node:fs';
import type { Wanted } from '../comparison.ts';
import type { Observation } from '../model.ts';
import { readObservation, splitSections } from '../sections.ts';

/** Its releases: the first with 2 VIPs, the second with 3. */
export const first = '50802343fe654d94dca48be34df97478';
export const second = '5952829ebc6d4e95527284ea43c1fcc5';

export type Recorded =
  /** Before Weir came. */
  | 'untouched'
  /** The first release is on the disk, and no daemon runs. */
  | 'published'
  /** It is active. */
  | 'active'
  /** The second one is published. */
  | 'published2'
  /** keepalived was sent a HUP by hand. */
  | 'reloaded'
  /** WS 10.200.0.1 fails its checks. */
  | 'ws-down'
  /** Somebody changed the kernel and FRR by hand, and drained the LB without its VIPs being withdrawn. */
  | 'broken'
  /** keepalived was killed. */
  | 'killed';

export function recordedText(name: Recorded): string {
  return readFileSync(new URL(`${name}.txt`, import.meta.url), 'utf8');
}

export function recorded(name: Recorded): Observation {
  const sections = splitSections(recordedText(name).split('\n'));
  if (!sections) throw new Error(`${name} is not whole`);
  return readObservation(sections);
}

/** What Weir wants of the recorded LB: the release, in revision 2. */
export function wanting(release: string, parts: Partial<Wanted> = {}): Wanted {
  return {
    cluster: 'c',
    lb: 'lb1.room1',
    desired: { release, revision: 2, state: 'up' },
    filesOf: () => undefined,
    given: { release: first, revision: 1 },
    vipnets: ['10.1.0.0/16'],
    limit: 100,
    services: false,
    ...parts,
  };
}
