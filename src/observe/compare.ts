/**
 * An observation compared, layer by layer, with what Weir would render, with the releases on the machine, and with
 * the kernel. Pure. What keepalived should have made is read from the release on the machine that it loaded, not
 * from one that Weir renders: the LB may have loaded an older release, one that its own undo put back, or another
 * Weir's, and that the files are as that release has them is a comparison of its own.
 */
import { createHash } from 'node:crypto';
import { liveStub } from '../render/keepalived/keepalived.ts';
import { compareKernel } from './compare-kernel.ts';
import { collectFindings } from './collect.ts';
import { idOf } from './comparison.ts';
import type { Comparison, Wanted } from './comparison.ts';
import type { Drained, LbLayers, LbStatus, ManifestHead, Observation, Process } from './model.ts';
import { routingDifferences } from './routing.ts';

const stubSum = createHash('sha256').update(liveStub).digest('hex');
const livePath = '/etc/keepalived/keepalived.conf';

export function compareLb(wanted: Wanted, seen: Observation): LbStatus {
  const found = collectFindings(wanted);
  const current = publishedFolder(seen);
  const active = folderAt(seen, '/etc/weir/active');
  const drained = drainedOf(seen);
  const loaded = loadedOf(seen, { current, active });
  const it: Comparison = { wanted, seen, found, current, active, drained, loaded };
  if (!seen.root) found.add('limited_view', 'user', 'ssh does not log in as root: routing and files may be hidden');
  const published = comparePublished(it);
  compareLoaded(it);
  const routing = compareRouting(it);
  const kernel = compareKernel(it);
  if (drained) {
    const who = drained.origin === 'local' ? 'on the LB itself' : `by ${drained.origin}`;
    found.add('drained', wanted.lb, `drained ${who}: ${drained.reason || 'no reason given'}`);
  }
  if (!drained && published?.active && wanted.desired?.state === 'drain') {
    found.add('not_drained', wanted.lb, 'the document drains it, and its VIPs are not withdrawn');
  }
  return {
    lb: wanted.lb,
    desired: wanted.desired,
    state: found.deviations().total > 0 ? 'deviates' : 'ok',
    drained,
    published,
    loaded: { keepalived: loaded, routing },
    kernel,
    deviations: found.deviations(),
    notes: found.notes(),
    ...(wanted.services
      ? { services: (seen.table ?? []).map(({ key, scheduler, servers }) => ({ service: key, scheduler, servers })) }
      : {}),
  };
}

// published ----------------------------------------------------------------------------------

/** `current` stays after the original files are back; then nothing of Weir is read. */
function publishedFolder(seen: Observation): string | undefined {
  const folder = folderAt(seen, '/etc/weir/current');
  if (folder === undefined || !seen.files.has('backup')) return undefined;
  const wentBackToOriginals = undoneOf(seen)?.to === 'backup' && seen.live.get(livePath) !== stubSum;
  return wentBackToOriginals ? undefined : folder;
}

function folderAt(seen: Observation, path: string): string | undefined {
  const target = seen.links.get(path);
  return target === undefined ? undefined : target.replace(/^.*\//, '');
}

function short(folder: string): string {
  return idOf(folder).slice(0, 12);
}

function comparePublished(it: Comparison): LbLayers['published'] {
  const { wanted, seen, found, current } = it;
  const undone = undoneOf(seen);
  if (undone) {
    const to = undone.to === 'backup' ? 'the original files' : `release ${short(undone.to)}`;
    found.add('undone', undone.from, `release ${short(undone.from)} was undone, back to ${to}: ${undone.reason}`);
  }
  const desired = wanted.desired?.release;
  if (current === undefined) {
    found.add('not_published', desired ?? 'release', 'Weir has published nothing on this LB');
    return null;
  }
  const release = idOf(current);
  if (desired !== undefined && desired !== release) {
    const which = wanted.given?.release === release ? ` (revision ${wanted.given.revision})` : '';
    const message = `published is release ${short(release)}${which}, revision ${wanted.desired?.revision} gives ${short(desired)}`;
    found.add('not_published', desired, message);
  }
  const head = seen.manifests.get(current);
  const edited = compareFiles(it, current, head);
  compareHelpers(it, head);
  const activating = activatingOf(seen);
  if (activating) {
    const left = activating.deadline - seen.time;
    const when = left >= 0 ? `goes back by itself in ${left} s` : `its deadline passed ${-left} s ago`;
    found.add('activation_unconfirmed', activating.release, `release ${short(activating.release)}: ${when}`);
  }
  return {
    release,
    revision: revisionOf(wanted, release),
    verified: edited === 0,
    dataplane: head?.dataplane ?? '',
    routing: head?.routing ?? '',
    services: head?.services ?? 0,
    active: it.active === undefined ? null : idOf(it.active),
    previous: folderAt(seen, '/etc/weir/previous') ?? null,
    activating,
    undone,
  };
}

function revisionOf({ desired, given }: Wanted, release: string): number | null {
  if (given?.release === release) return given.revision;
  return desired?.release === release ? desired.revision : null;
}

/** Answers how many files are not as the release has them. */
function compareFiles({ wanted, seen, found }: Comparison, folder: string, head: ManifestHead | undefined): number {
  const known = wanted.filesOf(idOf(folder));
  const should = known ?? seen.listed;
  const where = `/etc/weir/releases/${folder}`;
  let edited = 0;
  const add = (object: string, message: string) => {
    edited += 1;
    found.add('edited_file', object, message);
  };
  if (!head || seen.listed.size === 0)
    add(`${where}/manifest.json`, 'the manifest of the published release is missing or torn');
  for (const [path, sum] of should) {
    const is = seen.present.get(path);
    if (is === undefined && seen.root) add(`${where}/${path}`, 'a file of the published release is missing');
    else if (is !== undefined && is !== sum) add(`${where}/${path}`, 'a file of the published release was changed');
  }
  for (const path of seen.present.keys()) {
    if (path !== 'manifest.json' && !should.has(path)) add(`${where}/${path}`, 'is not part of the published release');
  }
  for (const [path, sum] of livePaths(head, should)) {
    const is = seen.live.get(path);
    if (seen.links.has(path)) add(path, `is a symbolic link to ${seen.links.get(path)}`);
    else if (is === undefined) {
      if (seen.root) add(path, 'is missing');
    } else if (is !== sum) add(path, 'was changed: it is not what Weir wrote there');
  }
  return edited;
}

/** What daemons read, and its digest. */
function livePaths(head: ManifestHead | undefined, files: ReadonlyMap<string, string>): [string, string | undefined][] {
  const routing: [string, string][] =
    head?.routing === 'frr'
      ? [['/etc/frr/frr.conf', 'routing/frr.conf']]
      : [
          ['/usr/local/etc/zebra.conf', 'routing/zebra.conf'],
          ['/usr/local/etc/ospfd.conf', 'routing/ospfd.conf'],
        ];
  return [[livePath, stubSum], ...routing.map(([path, file]): [string, string | undefined] => [path, files.get(file)])];
}

function compareHelpers({ seen, found }: Comparison, head: ManifestHead | undefined): void {
  const helpers = [
    [head?.helper, 'host/announce'],
    [head?.agent, 'host/weir'],
  ] as const;
  for (const [name, file] of helpers) {
    const sum = seen.listed.get(file);
    if (name === undefined || name === '' || sum === undefined) continue;
    const path = `/etc/weir/bin/${name}`;
    const is = seen.live.get(path);
    if (is !== sum) found.add('helper_missing', path, is === undefined ? 'is missing' : 'was changed');
  }
}

/** `ID PREVIOUS DEADLINE PID BOOTID` */
function activatingOf(seen: Observation): { release: string; deadline: number } | null {
  const line = seen.files.get('activating');
  if (line === undefined) return null;
  const [release = '', , deadline] = line.split(' ');
  return { release, deadline: Number(deadline) || 0 };
}

/** `EPOCH FROM TO REASON...` */
function undoneOf(seen: Observation): { at: number; from: string; to: string; reason: string } | null {
  const line = seen.files.get('undone');
  if (line === undefined) return null;
  const [at, from = '', to = '', ...reason] = line.split(' ');
  return { at: Number(at) || 0, from, to, reason: reason.join(' ') };
}

/** `ORIGIN EPOCH REASON...`; a file that a person made empty counts. */
function drainedOf(seen: Observation): Drained | null {
  const line = seen.files.get('drain');
  if (line === undefined) return null;
  const [origin, since, ...reason] = line.split(' ');
  return { origin: origin || 'local', since: Number(since) || 0, reason: reason.join(' ') };
}

// loaded -------------------------------------------------------------------------------------

type Folders = Pick<Comparison, 'current' | 'active'>;

function loadedOf(seen: Observation, folders: Folders): Comparison['loaded'] {
  const parent = parentOf(seen);
  const blank = { release: null, loads: null, source: null, pid: parent?.pid ?? null };
  if (!parent) return { state: 'down', ...blank };
  const children = seen.processes.filter((process) => process.ppid === parent.pid);
  const checker = children.find((process) => process.comm.startsWith('weir-'));
  if (checker) return loadedBy(checker.comm.slice('weir-'.length), 'process');
  const dataplane = dataplaneOf(seen, folders);
  if (dataplane === undefined) return { state: 'foreign', ...blank };
  // keepalived 2.2 carries the name that its configuration gives it; without one it did not read a release's.
  if (dataplane === 'ipvs' && children.length > 0) return { state: 'foreign', ...blank };
  const [loads = '', pid, start, how = 'record'] = (seen.files.get('loaded') ?? '').split(' ');
  const same = Number(pid) === parent.pid && Number(start) === parent.start;
  if (loads !== '' && same && how === 'record') return loadedBy(loads, 'record');
  return { state: dataplane === 'ipvs' ? 'none' : 'unknown', ...blank };

  function loadedBy(digest: string, source: 'process' | 'record'): Comparison['loaded'] {
    const folder = folderWith(seen, digest, folders);
    const state = folder === undefined ? 'foreign' : 'release';
    return { state, release: folder ?? null, loads: digest, source, pid: parent?.pid ?? null };
  }
}

/** The process of the pid file, if it is a keepalived; else one that no other keepalived started. */
function parentOf({ processes, pidFile }: Observation): Process | undefined {
  const pids = new Set(processes.map((process) => process.pid));
  const roots = processes.filter((process) => process.comm === 'keepalived' && !pids.has(process.ppid));
  return roots.find((process) => process.pid === pidFile) ?? roots.sort((a, b) => a.pid - b.pid)[0];
}

function dataplaneOf(seen: Observation, { current, active }: Folders): string | undefined {
  return seen.manifests.get(active ?? current ?? '')?.dataplane;
}

/** Several releases may have the same keepalived files: the published one first, then the active one. */
function folderWith(seen: Observation, loads: string, { current, active }: Folders): string | undefined {
  const folders = [...seen.manifests].filter(([, head]) => head.loads === loads).map(([folder]) => folder);
  return folders.find((f) => f === current) ?? folders.find((f) => f === active) ?? folders[0];
}

function compareLoaded(it: Comparison): void {
  const { seen, found, current, active, loaded } = it;
  if (current === undefined || seen.files.has('activating')) return;
  const name = `release ${short(current)}`;
  const notActivated = () =>
    found.add(
      'not_activated',
      current,
      active === undefined
        ? `${name} is published and was never activated`
        : `published is ${name}, active is ${short(active)}`,
    );
  switch (loaded.state) {
    case 'down':
      if (active === undefined) notActivated();
      else found.add('keepalived_down', 'keepalived', 'keepalived does not run');
      return;
    case 'foreign':
      if (active === undefined && loaded.source === null) notActivated();
      else found.add('foreign_configuration', 'keepalived', foreignWords(loaded.loads));
      return;
    case 'none':
      if ((seen.manifests.get(current)?.services ?? 0) === 0) {
        if (active !== current) notActivated();
      } else if (active === undefined) notActivated();
      else found.add('foreign_configuration', 'keepalived', 'keepalived runs without any virtual server');
      return;
    case 'unknown':
      found.add('loaded_unknown', 'keepalived', 'keepalived runs, and nothing tells with which configuration');
      if (active !== current) notActivated();
      return;
    case 'release':
      compareRelease(it, loaded.release ?? '', notActivated);
      return;
  }
}

function foreignWords(loads: string | null): string {
  return loads === null
    ? 'keepalived runs with a configuration that is not of Weir'
    : `keepalived runs with a release (weir-${loads}) that is no longer on this LB`;
}

function compareRelease(
  { seen, found, current = '', active }: Comparison,
  folder: string,
  notActivated: () => void,
): void {
  const loadsOf = (f: string | undefined) => (f === undefined ? undefined : seen.manifests.get(f)?.loads);
  if (loadsOf(folder) !== loadsOf(current)) {
    const words = active === current ? `, although ${short(current)} was activated` : '';
    found.add(
      'not_activated',
      current,
      `keepalived runs release ${short(folder)}, published is ${short(current)}${words}`,
    );
  } else if (active !== current && loadsOf(active) === loadsOf(current)) {
    notActivated();
  } else if (active !== current) {
    const was = active === undefined ? 'nothing was activated' : `active is ${short(active)}`;
    found.add('reloaded_by_hand', current, `keepalived runs the published release ${short(current)}, but ${was}`);
  }
}

// routing ------------------------------------------------------------------------------------

/** Differences that are listed. */
const MAX_DIFFERENCES = 50;

function compareRouting({ seen, found, current, active, loaded }: Comparison): LbLayers['loaded']['routing'] {
  const { routing } = seen;
  const expected = active ?? (loaded.release === current ? current : undefined);
  if (routing === undefined) return { state: 'unknown', differences: [] };
  if ('failed' in routing) {
    if (expected !== undefined) found.add('routing_down', 'routing', `vtysh: ${routing.failed || 'no answer'}`);
    return { state: 'down', differences: [] };
  }
  if (current === undefined) return { state: 'unknown', differences: [] };
  const differences = routingDifferences(routingText(seen, current), routing.running);
  if (differences.length === 0) return { state: 'published', differences };
  if (expected !== undefined && expected !== current) {
    const fromActive = routingDifferences(routingText(seen, expected), routing.running);
    if (fromActive.length === 0) return { state: 'active', differences: differences.slice(0, MAX_DIFFERENCES) };
  }
  if (expected !== undefined) {
    const shown = differences.slice(0, 3).join('; ');
    const more = differences.length > 3 ? ` and ${differences.length - 3} more` : '';
    found.add('routing_differs', 'routing', `the daemons differ from release ${short(current)}: ${shown}${more}`);
  }
  return { state: 'differs', differences: differences.slice(0, MAX_DIFFERENCES) };
}

function routingText(seen: Observation, folder: string): string {
  return ['frr.conf', 'zebra.conf', 'ospfd.conf']
    .map((name) => seen.texts.get(`${folder}/routing/${name}`) ?? '')
    .join('\n');
}
