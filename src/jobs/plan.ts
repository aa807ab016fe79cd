/**
 * Plans: what publishing would change on each LB against what Weir published there last, as files
 * and their differences. Differences that LBs share are made and shown once.
 */
import { createTwoFilesPatch } from 'diff';
import { wsNotes } from '../domain/edge/notes.ts';
import type { Problem } from '../domain/problem.ts';
import type { Release } from '../render/cluster.ts';
import type { RenderedFile } from '../render/files.ts';
import type { Given, PublishedReleases } from './published.ts';
import type { Releases } from './releases.ts';

export interface FileChange {
  path: string;
  change: 'added' | 'removed' | 'changed';
  lbs: string[];
  /** Unified; empty where the plan is too large to show all. Secrets are masked. */
  diff: string;
}

export interface Plan {
  cluster: string;
  revision: number;
  /** Whether any LB would get another release than it was given. */
  changes: boolean;
  lbs: Record<string, PlannedLb>;
  files: FileChange[];
  warnings: Problem[];
  /** True where differences were left out for size. */
  truncated: boolean;
}

export interface PlannedLb {
  /** What it would get. */
  release: string;
  /** What Weir knows that it has; null where nothing is known. */
  published: Given | null;
  /** Why it is not known, though something was published. */
  doubt?: string;
  /** Files that differ. */
  files: number;
}

/** All differences of one plan together, in characters. */
const MAX_DIFF = 1024 * 1024;
/** Lines added and removed that one difference may take to find. */
const MAX_EDITS = 4000;

export async function makePlan(cluster: string, releases: Releases, published: PublishedReleases): Promise<Plan> {
  const { state, warnings } = await releases.refresh(cluster);
  const desired = releases.of(state);
  const given = await published.given(cluster);
  const doubts = await published.doubts(cluster);
  const known = await published.releasesOf(cluster);
  const changes = new Map<string, FileChange & { from: RenderedFile | undefined; to: RenderedFile | undefined }>();
  const lbs: Plan['lbs'] = {};
  for (const release of desired) {
    const before = given.get(release.lb);
    const base = before && known(release.lb, before.release);
    const differing = before?.release === release.id ? [] : compare(base, release);
    for (const { path, from, to } of differing) {
      const key = `${path} ${from?.sha256} ${to?.sha256}`;
      const change = changes.get(key);
      if (change) change.lbs.push(release.lb);
      else
        changes.set(key, {
          path,
          change: from ? (to ? 'changed' : 'removed') : 'added',
          lbs: [release.lb],
          diff: '',
          from,
          to,
        });
    }
    const doubt = doubts.get(release.lb);
    lbs[release.lb] = {
      release: release.id,
      published: before ?? null,
      ...(doubt === undefined ? {} : { doubt }),
      files: differing.length,
    };
  }
  let room = MAX_DIFF;
  let truncated = false;
  const files = [...changes.values()].sort(byPath).map(({ from, to, ...change }) => {
    const diff = room > 0 ? mask(unified(change.path, from, to)) : '';
    room -= diff.length;
    if (diff === '') truncated = true;
    return { ...change, diff };
  });
  return {
    cluster,
    revision: state.revision,
    changes: Object.values(lbs).some((lb) => lb.published?.release !== lb.release),
    lbs,
    files,
    warnings: [...warnings, ...wsNotes(state.cluster)],
    truncated,
  };
}

function byPath(a: FileChange, b: FileChange): number {
  if (a.path === b.path) return (a.lbs[0] ?? '') < (b.lbs[0] ?? '') ? -1 : 1;
  return a.path < b.path ? -1 : 1;
}

interface Difference {
  path: string;
  from: RenderedFile | undefined;
  to: RenderedFile | undefined;
}

function compare(base: Release | undefined, release: Release): Difference[] {
  const before = new Map((base?.files() ?? []).map((f) => [f.path, f]));
  const differing: Difference[] = [];
  for (const to of release.files()) {
    const from = before.get(to.path);
    before.delete(to.path);
    if (from?.sha256 !== to.sha256 || from.mode !== to.mode) differing.push({ path: to.path, from, to });
  }
  for (const from of before.values()) differing.push({ path: from.path, from, to: undefined });
  return differing;
}

function unified(path: string, from: RenderedFile | undefined, to: RenderedFile | undefined): string {
  return (
    createTwoFilesPatch(
      from ? `a/${path}` : '/dev/null',
      to ? `b/${path}` : '/dev/null',
      from?.text() ?? '',
      to?.text() ?? '',
      undefined,
      undefined,
      {
        context: 3,
        maxEditLength: MAX_EDITS,
        timeout: 1000,
      },
    ) ?? ''
  );
}

/** Text without OSPF keys, also those of earlier revisions, which may still be in use. A key holds no space. */
function mask(text: string): string {
  return text.replaceAll(/( md5) \S+/g, '$1 ******');
}
