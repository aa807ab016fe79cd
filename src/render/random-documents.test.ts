/**
 * Random valid documents in the eyes of the real keepalived and FRR, many more than real-tools.test.ts looks at: 2,000,
 * or as many as WEIR_RANDOM_DOCUMENTS says (npm run soak:render). The seed is told where something is found, and
 * WEIR_RANDOM_SEED takes it.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { routingOf } from '../domain/edge/model.ts';
import type { Cluster } from '../domain/edge/model.ts';
import { ipvsClusterArbitrary } from '../domain/testing/clusters.ts';
import type { Release } from './cluster.ts';
import {
  good,
  hasFrr,
  hasKeepalived,
  keepalivedSaysOfAll,
  ospfdSaysOfAll,
  vtyshSaysOfAll,
} from './testing/real-tools.ts';
import type { Verdict } from './testing/real-tools.ts';
import { rendered, textsOf } from './testing/releases.ts';

if (!hasKeepalived)
  console.warn('left out: random documents for keepalived (no keepalived 2 here; Debian: keepalived)');
if (!hasFrr) console.warn('left out: random documents for FRR (no FRR here, or not root; Debian: frr)');

const count = Number(process.env['WEIR_RANDOM_DOCUMENTS'] ?? 2000);
const seed = Number(process.env['WEIR_RANDOM_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const minute = 60_000;
const timeout = Math.max(5, count / 200) * minute;

const withLbs = ipvsClusterArbitrary.filter((cluster) => cluster.lbinfos.length > 0);

function sample(documents: fc.Arbitrary<Cluster>): Cluster[] {
  return fc.sample(documents, { numRuns: count, seed });
}

/** The releases of one LB each: all have the same VIP files, and an LB's own ones are rendered alike. */
function oneOfEach(documents: readonly Cluster[]): Release[] {
  return documents.map((document, i) => {
    const releases = rendered(document);
    const release = releases[i % releases.length];
    if (!release) throw new Error('there is an LB');
    return release;
  });
}

/** Documents that a tool had something to say about, the shortest first. */
function complaints(documents: readonly Cluster[], verdicts: readonly Verdict[]): string[] {
  return documents
    .flatMap((document, i) => {
      const { status, messages } = verdicts[i] ?? { status: null, messages: ['no verdict'] };
      if (status === good.status && messages.length === 0) return [];
      return `code ${status}: ${messages.slice(0, 3).join('; ')}: ${JSON.stringify(document)}`;
    })
    .sort((a, b) => a.length - b.length)
    .slice(0, 3);
}

describe.skipIf(!hasKeepalived)('keepalived', () => {
  test(`has nothing to say about any of ${count} random documents (seed ${seed})`, { timeout }, async () => {
    const documents = sample(withLbs);
    expect(complaints(documents, await keepalivedSaysOfAll(oneOfEach(documents)))).toEqual([]);
  });

  test('is asked so that one that is spoilt is found among many', { timeout: minute }, async () => {
    const documents = fc.sample(
      withLbs.filter(({ vip2ws }) => vip2ws.some(({ wss }) => wss.length > 0)),
      { numRuns: 20, seed },
    );
    const releases = oneOfEach(documents);
    const spoilt = releases.slice(7, 8);
    const verdicts = await keepalivedSaysOfAll([...releases.slice(0, 7), ...releases.slice(8)]);
    const found = await keepalivedSaysOfAll(spoilt, (text) => text.replace('lb_kind ', 'lb_kind F'));
    expect(verdicts.filter(({ status, messages }) => status !== 0 || messages.length > 0)).toEqual([]);
    expect(found).toEqual([expect.objectContaining({ status: 5 })]);
    expect(complaints(documents.slice(7, 8), found)).toHaveLength(1);
  });
});

const ofFrr = withLbs.filter((cluster) => routingOf(cluster) === 'frr');

function textOf(release: Release): string {
  return textsOf(release).get('routing/frr.conf') ?? '';
}

describe.skipIf(!hasFrr)('FRR', () => {
  test(`has nothing to say about any of ${count} random documents (seed ${seed})`, { timeout }, async () => {
    const documents = sample(ofFrr);
    const texts = oneOfEach(documents).map(textOf);
    expect(complaints(documents, await vtyshSaysOfAll(texts))).toEqual([]);
    expect(complaints(documents, await ospfdSaysOfAll(texts))).toEqual([]);
  });

  test('is asked so that one that is spoilt is found among many', { timeout: minute }, async () => {
    const documents = fc.sample(ofFrr, { numRuns: 120, seed });
    const texts = oneOfEach(documents).map(textOf);
    const at = 77;
    const spoilt = (from: string, to: string) => texts.map((text, i) => (i === at ? text.replace(from, to) : text));
    const found = (verdicts: readonly Verdict[]) =>
      verdicts.flatMap(({ status, messages }, i) => (status === 0 && messages.length === 0 ? [] : [i]));
    const unknown = spoilt(' passive-interface default', ' passive-interface-default');
    expect(found(await vtyshSaysOfAll(unknown))).toEqual([at]);
    expect(found(await ospfdSaysOfAll(unknown))).toEqual([at]);
    // Words that cannot stand together pass vtysh, which looks at each line by itself.
    const together = spoilt(
      ' ospf router-id',
      ' network 60.29.246.184/30 area 9\n network 60.29.246.184/30 area 8\n ospf router-id',
    );
    expect(found(await vtyshSaysOfAll(together))).toEqual([]);
    expect(found(await ospfdSaysOfAll(together))).toEqual([at]);
  });
});
