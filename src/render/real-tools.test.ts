/** What is rendered for ipvs and for frr, in the eyes of the real keepalived and FRR. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { routingOf } from '../domain/edge/model.ts';
import type { Cluster } from '../domain/edge/model.ts';
import { fullDpvsCluster, fullIpvsCluster, ipvsClusterArbitrary } from '../domain/testing/clusters.ts';
import type { Release } from './cluster.ts';
import { caseNames, readCase } from './testing/cases.ts';
import { frrRuns, good, hasFrr, hasKeepalived, keepalivedSays, ospfdSays, vtyshSays } from './testing/real-tools.ts';
import { rendered, textsOf } from './testing/releases.ts';

if (!hasKeepalived)
  console.warn('left out: keepalived -t on what is rendered (no keepalived 2 here; Debian: keepalived)');
if (!hasFrr) console.warn('left out: FRR on what is rendered (no FRR here, or not root; Debian: frr)');

const cases: [string, Release][] = caseNames.flatMap((name) => {
  const { cluster, addresses } = readCase(name);
  return rendered(cluster, addresses).map((release): [string, Release] => [`${name}, ${release.lb}`, release]);
});
const ofIpvs = cases.filter(([, release]) => release.dataplane === 'ipvs');
const ofFrr = cases.filter(([, release]) => release.routing === 'frr');

const frrClusterArbitrary = ipvsClusterArbitrary.filter((cluster) => routingOf(cluster) === 'frr');

function first(cluster: Cluster): Release {
  const [release] = rendered(cluster);
  if (!release) throw new Error('there is no LB');
  return release;
}

function frrOf(release: Release): string {
  return textsOf(release).get('routing/frr.conf') ?? '';
}

describe.skipIf(!hasKeepalived)('the real keepalived', () => {
  test.each(ofIpvs)('has nothing to say about %s', (_, release) => {
    expect(keepalivedSays(release)).toEqual(good);
  });

  test.each([
    ['a word of another dialect', 'lb_kind NAT', 'lb_kind FNAT'],
    ['a missing brace', '    alpha\n', '    alpha {\n'],
    ['a VIP file that is missing', 'include vips/60.28.208.1.conf', 'include vips/60.28.208.9.conf'],
    ['a quorum that cannot be had', 'quorum 10\n', 'quorum 1000000\n'],
  ])('is asked so that it tells of %s', (_, from, to) => {
    const verdict = keepalivedSays(first(fullIpvsCluster()), (text) => text.replaceAll(from, to));
    expect(verdict.messages.length).toBeGreaterThan(0);
    expect(verdict.status).not.toBe(0);
  });
});

describe.skipIf(!hasFrr)('the real FRR', () => {
  test.each(ofFrr)('has nothing to say about %s', (_, release) => {
    expect(vtyshSays(frrOf(release))).toEqual(good);
    expect(ospfdSays(frrOf(release))).toEqual(good);
  });

  test('is asked so that it tells of unknown words, and of words that cannot stand together', () => {
    const text = frrOf(first(fullIpvsCluster()));
    const unknown = vtyshSays(text.replace(' passive-interface default', ' passive-interface-default'));
    expect(unknown.status).toBe(2);
    expect(unknown.messages.join()).toContain('Unknown command');
    const together = ospfdSays(text.replace(' network ', ' network 60.29.246.184/30 area 9\n network '));
    expect(together.messages.join()).toContain('Config Failed');
    expect(ospfdSays(text.replace('ge 32 le 32', 'ge 8 le 32')).messages.join()).toContain('Config Failed');
  });

  test.each(ofFrr)('runs %s as it stands, and prints it line by line', { timeout: 60_000 }, (_, release) => {
    expectRun(release);
  });

  test('prints what asks for BFD alike, whether its daemon runs or not', () => {
    const release = first(fullIpvsCluster());
    expect(frrOf(release)).toContain('\n ip ospf bfd\n');
    expectRun(release);
    expectRun(release, ['bfdd']);
  });

  /** All that an area within which VIPs are announced can have at once. */
  const everything: Cluster = {
    ...fullIpvsCluster(),
    ospf: {
      area: '0.0.0.7',
      stub: true,
      announce: 'network',
      key: 'New',
      keyid: 10,
      oldkey: 'Old',
      oldkeyid: 9,
      maxpaths: 16,
      bfd: true,
    },
  };

  test('runs a stub area with several uplinks, two keys and a limit of paths, and prints them', () => {
    const release = first(everything);
    const text = frrOf(release);
    expect(text.match(/^interface em.*$/gm)).toEqual(['interface em3', 'interface em4']);
    expect(text).toContain('\n area 0.0.0.7 stub\n');
    expect(text).toContain('\n maximum-paths 16\n');
    expect(vtyshSays(text)).toEqual(good);
    expect(ospfdSays(text)).toEqual(good);
    expectRun(release);
  });

  test.each([1, 255, 256])('prints a limit of %i paths as it stands in the file, or not at all', (maxpaths) => {
    expectRun(first({ ...everything, ospf: { ...everything.ospf, maxpaths } }));
  });

  test('runs what is rendered for dpvs, on the kernel’s interfaces', () => {
    const dpvs = fullDpvsCluster();
    const vip2ws = dpvs.vip2ws.map((vip) => ({ ...vip, announce: 'any' as const }));
    for (const announce of ['network', 'redistribute'] as const) {
      const release = first({ ...dpvs, vip2ws, ospf: { ...everything.ospf, stub: false, announce } });
      const text = frrOf(release);
      expect(text.match(/^interface dpdk.*$/gm)).toEqual(['interface dpdk1.kni', 'interface dpdk2.kni']);
      expect(vtyshSays(text)).toEqual(good);
      expect(ospfdSays(text)).toEqual(good);
      expectRun(release);
    }
  });

  test('runs any accepted document as it stands', { timeout: 60_000 }, () => {
    fc.assert(
      fc.property(frrClusterArbitrary, (cluster) => {
        for (const release of rendered(cluster).slice(0, 1)) expectRun(release);
      }),
      { numRuns: 10 },
    );
  });
});

const isKey = /^ ip ospf message-digest-key /;

/** FRR prints a host name of its own, and what vtysh is set to. */
const ofItself = /^(! Rendered|hostname|end$)/;

function expectRun(release: Release, more: readonly 'bfdd'[] = []): void {
  const { status, messages } = frrRuns(frrOf(release), more);
  expect(status).toBe(0);
  const running = messages.slice(messages.findIndex((line) => line.startsWith('frr defaults')));
  const published = frrOf(release).split('\n');
  expect(sections(running)).toEqual(sections(published));
}

/**
 * Sections by their first line, each with its lines in order; sections come in the order of names. Keys are printed in
 * the order of their texts, and stand in the file in that in which they are added.
 */
function sections(lines: readonly string[]): Record<string, string[]> {
  const all: Record<string, string[]> = {};
  let current = '';
  for (const line of lines) {
    if (line === '' || line === '!' || ofItself.test(line)) continue;
    if (!line.startsWith(' ') && line !== 'exit') current = /^(interface|router|route-map)/.test(line) ? line : '';
    (all[current] ??= []).push(line);
  }
  for (const section of Object.values(all)) {
    const at = section.findIndex((line) => isKey.test(line));
    const keys = section.filter((line) => isKey.test(line)).sort();
    if (keys.length > 0 && section.slice(at, at + keys.length).every((line) => isKey.test(line))) {
      section.splice(at, keys.length, ...keys);
    }
  }
  return all;
}
