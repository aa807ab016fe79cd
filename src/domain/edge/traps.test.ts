/**
 * Documents that a data plane or a routing daemon would take in silence and then do something else with, one file each:
 * refused, with the path and the reason that the file's second line names, and for nothing else.
 */
// oxlint-disable-next-line no-restricted-imports -- the corpus is files
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { errorsOf } from '../problem.ts';
import { checkCluster } from './check.ts';
import { emptyLipPlan, planLips } from './lips.ts';
import { readClusters } from './read.ts';

const folder = new URL('../testing/traps/', import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'));

function refusalOf(text: string): string {
  const read = readClusters(text);
  if (!read.ok) return written(read.problems);
  const [cluster] = read.value;
  if (!cluster) throw new Error('there is one cluster in each file');
  const plan = planLips({ cluster, plan: emptyLipPlan, isTaken: () => false, now: '' });
  return written(errorsOf([...checkCluster(cluster), ...plan.problems]));
}

function written(problems: readonly { path: string; code: string }[]): string {
  return problems.map(({ path, code }) => `${path} ${code}`).join(', ') || 'nothing';
}

describe('a document with a trap', () => {
  test.each(files)('%s', (name) => {
    const text = readFileSync(new URL(name, folder), 'utf8');
    const [, refused] = /^# .+\n# refused: (.+)\n/.exec(text) ?? [];
    expect(refusalOf(text)).toBe(refused);
  });

  test('is there for every kind of them', () => {
    expect(files.filter((name) => name.startsWith('good-'))).toHaveLength(3);
    expect(files.length).toBeGreaterThan(70);
  });
});
