/**
 * Golden files: one case, one file: the document, a line, then every rendered file with its path.
 * After a change on purpose: UPDATE_GOLDEN=1 npx vitest run src/render/golden.test.ts, and read the difference.
 */
// oxlint-disable-next-line no-restricted-imports -- cases are files
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { namesToResolve, nextAddresses, noAddresses, parseHosts } from '../domain/edge/addresses.ts';
import type { Addresses } from '../domain/edge/addresses.ts';
import { lipsOf } from '../domain/edge/lips.ts';
import type { Cluster } from '../domain/edge/model.ts';
import { readClusters } from '../domain/edge/read.ts';
import { announceFile } from './host/announce.ts';
import type { Release } from './cluster.ts';
import { planOf, readRelease, rendered, servicesOf, textsOf } from './testing/releases.ts';

const folder = new URL('./golden/', import.meta.url);
const names = readdirSync(folder).filter((name) => name.endsWith('.txt'));

const HOSTS = '=== hosts ===\n';
const RENDERED = '=== rendered ===\n';

interface Case {
  input: string;
  cluster: Cluster;
  addresses: Addresses;
  expected: string;
}

function read(name: string): Case {
  const [input = '', expected = ''] = readFileSync(new URL(name, folder), 'utf8').split(RENDERED);
  const [document = '', hostsText = ''] = input.split(HOSTS);
  const parsed = readClusters(document);
  if (!parsed.ok || !parsed.value[0]) throw new Error(JSON.stringify(parsed));
  const [cluster] = parsed.value;
  const hosts = parseHosts(hostsText);
  const found = namesToResolve(cluster).map((ws) => [ws, { address: hosts.get(ws) ?? '', source: 'hosts' as const }]);
  return { input, cluster, addresses: nextAddresses(noAddresses, Object.fromEntries(found)), expected };
}

/** Files that all LBs share stand once, under `*`; the announce script only in the seed's case. */
function print(releases: readonly Release[], name: string): string {
  const all = releases.map((release) => ({ lb: release.lb, texts: textsOf(release) }));
  const paths = [...new Set(all.flatMap(({ texts }) => [...texts.keys()]))].sort();
  return paths
    .flatMap((path) => {
      const variants = new Set(all.map(({ texts }) => texts.get(path)));
      const shown = releases.length > 1 && variants.size === 1 ? [{ ...all[0], lb: '*' }] : all;
      return shown.map(({ lb, texts }) => {
        const text = path === announceFile.path && name !== 'seed.txt' ? '(see seed.txt)\n' : (texts?.get(path) ?? '');
        return `--- ${lb}/${path}\n${text}`;
      });
    })
    .join('');
}

describe.each(names)('%s', (name) => {
  const { input, cluster, addresses, expected } = read(name);

  test('renders to the files that follow it', () => {
    const actual = print(rendered(cluster, addresses), name);
    if (process.env['UPDATE_GOLDEN']) writeFileSync(new URL(name, folder), `${input}${RENDERED}${actual}`);
    else expect(actual).toBe(expected);
  });

  test('is read by keepalived as the document says', () => {
    for (const release of rendered(cluster, addresses)) {
      const reading = readRelease(release);
      expect(reading.complaints).toEqual([]);
      const services = servicesOf(cluster, addresses, lipsOf(planOf(cluster), release.lb));
      expect(reading.services).toEqual(services.map((service) => expect.objectContaining(service)));
    }
  });
});

test('there is a case for the seed, for much of the model, and for redistributed announcements', () => {
  expect(names).toEqual(expect.arrayContaining(['seed.txt', 'internal.txt', 'redistribute.txt']));
});
