/**
 * Golden files: one case, one file: the document, a line, then every rendered file with its path.
 * After a change on purpose: UPDATE_GOLDEN=1 npx vitest run src/render/golden.test.ts, and read the difference.
 */
import { describe, expect, test } from 'vitest';
import { lipsOf } from '../domain/edge/lips.ts';
import { agentFile } from './host/agent.ts';
import { announceFile } from './host/announce.ts';
import type { Release } from './cluster.ts';
import { caseNames, readCase, writeCase } from './testing/cases.ts';
import { steady } from './testing/steady.ts';
import { planOf, readRelease, rendered, servicesOf, textsOf } from './testing/releases.ts';

const scripts = [agentFile.path, announceFile.path];

/** Files that all LBs share stand once, under `*`. */
function print(releases: readonly Release[]): string {
  const all = releases.map((release) => ({ lb: release.lb, texts: textsOf(release) }));
  const paths = [...new Set(all.flatMap(({ texts }) => [...texts.keys()]))].sort();
  return paths
    .flatMap((path) => {
      const variants = new Set(all.map(({ texts }) => texts.get(path)));
      const shown = releases.length > 1 && variants.size === 1 ? [{ ...all[0], lb: '*' }] : all;
      return shown.map(({ lb, texts }) => {
        const text = scripts.includes(path) ? '(a script that is the same everywhere)\n' : (texts?.get(path) ?? '');
        return `--- ${lb}/${path}\n${steady(text)}`;
      });
    })
    .join('');
}

describe.each(caseNames)('%s', (name) => {
  const { input, cluster, addresses, expected } = readCase(name);

  test('renders to the files that follow it', () => {
    const actual = print(rendered(cluster, addresses));
    if (process.env['UPDATE_GOLDEN']) writeCase(name, input, actual);
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

test('there is a case for the seed, for much of the model, and for every dialect and way to announce', () => {
  expect(caseNames.toSorted()).toEqual([
    'dpvs.txt',
    'fullnat-frr.txt',
    'internal.txt',
    'ipvs-bfd.txt',
    'ipvs-checks.txt',
    'ipvs-forwarding.txt',
    'ipvs-network.txt',
    'ipvs-quagga.txt',
    'ipvs-uplinks.txt',
    'ipvs.txt',
    'redistribute.txt',
    'seed.txt',
  ]);
});
