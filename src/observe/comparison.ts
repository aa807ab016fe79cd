/** What a comparison is given, and what its parts share. */
import type { Collected } from './collect.ts';
import type { Desired, Drained, LbLayers, Observation } from './model.ts';

export interface Wanted {
  cluster: string;
  lb: string;
  /** What Weir would publish now; null where it cannot be rendered. */
  desired: Desired | null;
  /** SHA-256 by path of a release's files, where Weir has it. */
  filesOf: (release: string) => ReadonlyMap<string, string> | undefined;
  /** What Weir published there last. */
  given: { release: string; revision: number } | undefined;
  vipnets: readonly string[];
  /** Findings of each kind that are listed; all are counted. */
  limit: number;
  /** Whether to list every service of the kernel. */
  services: boolean;
}

/** One LB under comparison. */
export interface Comparison {
  wanted: Wanted;
  seen: Observation;
  found: Collected;
  /** Folder of the published release, as `current` names it; undefined: none. */
  current: string | undefined;
  active: string | undefined;
  drained: Drained | null;
  loaded: LbLayers['loaded']['keepalived'];
}

/** A folder ID.fix took the place of a live release that was changed by hand. */
export function idOf(folder: string): string {
  return folder.replace(/\.fix$/, '');
}
