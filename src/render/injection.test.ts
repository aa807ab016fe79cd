/**
 * No accepted text breaks out of its place: arbitrary text in every text field of the model is
 * refused, or stands in the rendered files as (part of) one token, where a harmless text stood.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { errorsOf } from '../domain/problem.ts';
import { checkCluster } from '../domain/edge/check.ts';
import { emptyLipPlan, planLips } from '../domain/edge/lips.ts';
import { Cluster } from '../domain/edge/model.ts';
import { parseCluster } from '../domain/edge/read.ts';
import { fullCluster, fullIpvsCluster, resolved } from '../domain/testing/clusters.ts';
import { pathOf, placesOf, withKey, withValue } from '../domain/testing/walk.ts';
import type { Place } from '../domain/testing/walk.ts';
import { renderCluster } from './cluster.ts';
import { ospfKeysOf } from './routing/ospf.ts';
import { readRelease } from './testing/releases.ts';

/** Files of all LBs by path, but for the manifest, which is JSON. Undefined: the document is refused. */
function filesOf(document: unknown): Map<string, string> | undefined {
  const parsed = parseCluster(document);
  if (!parsed.ok) return undefined;
  const cluster = parsed.value;
  const plan = planLips({ cluster, plan: emptyLipPlan, isTaken: () => false, now: '' });
  if (errorsOf([...checkCluster(cluster), ...plan.problems]).length > 0) return undefined;
  const result = renderCluster({
    cluster,
    lips: plan.plan,
    addresses: resolved(cluster),
    ospfKeys: ospfKeysOf(cluster),
  });
  if (!result.ok) throw new Error(`an accepted document does not render: ${JSON.stringify(result.problems)}`);
  for (const release of result.releases) {
    JSON.parse(release.manifest().text());
    expect(readRelease(release).complaints).toEqual([]);
  }
  return new Map(
    result.releases.flatMap((r, i) => r.files().map((f): [string, string] => [`${i}/${f.path}`, unmarked(f.text())])),
  );
}

/** The mark of what is loaded goes by all of it. */
function unmarked(text: string): string {
  return text.replace(/^( {4}checker_process_name) weir-[0-9a-f]{10}$/m, '$1 MARK');
}

/** Lines of tokens, as every reader of these files takes them apart. */
function structure(text: string): string[][] {
  return text.split(/[\n\r]/).map((line) => line.split(/\s+/));
}

const documents = { 'fullnat and quagga': fullCluster, 'ipvs and frr': fullIpvsCluster };

/** Files differ from the harmless ones only within tokens that hold the harmless text: each is as it was, or has the text in its place. */
function expectContained(
  { files, harmless }: { files: Map<string, string>; harmless: Map<string, string> },
  from: string,
  to: string,
): void {
  expect(files.size).toBe(harmless.size);
  for (const [path, text] of harmless) {
    const content = files.get(path) ?? files.get(path.replaceAll(from, to));
    if (content === text) continue;
    const lines = structure(content ?? '');
    const expected = structure(text).map((line, i) =>
      line.map((token, j) => (lines[i]?.[j] === token ? token : token.replaceAll(from, to))),
    );
    expect(lines).toEqual(expected);
  }
}

const nastyTexts = [
  '\n',
  '\r',
  '\r\n',
  '\0',
  '\t',
  ' ',
  '"',
  "'",
  '`',
  '{',
  '}',
  '!',
  '#',
  ';',
  '&',
  '|',
  '$(reboot)',
  '${x}',
  '\\',
  '<',
  '>',
  '*',
  '..',
  '../',
  '//',
  '%0a',
  '\u2028',
  '\u0085',
  '\u212A',
  '\u202E',
  '😀',
  '路',
  'include /etc/passwd',
  '\n}\n',
  ' {',
  '-',
  '.',
  '_',
  ':',
];
const nasty = fc.constantFrom(...nastyTexts);
const anything = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string(),
  fc.array(fc.oneof(nasty, fc.string({ maxLength: 3 })), { maxLength: 4 }).map((p) => p.join('')),
);

/** Arbitrary text, alone or around a text that is accepted. */
function textsAround(text: string): fc.Arbitrary<string> {
  return fc.oneof(
    anything,
    anything.map((more) => text + more),
    anything.map((more) => more + text),
    fc.tuple(fc.nat({ max: text.length }), anything).map(([i, more]) => text.slice(0, i) + more + text.slice(i)),
  );
}

function placesIn(document: Cluster): Place[] {
  return placesOf(Cluster, document).filter((place) => place.kind !== 'object');
}

const title = (place: Place) =>
  place.kind === 'key' ? `the key ${JSON.stringify(place.text)} of ${pathOf(place.steps)}` : pathOf(place.steps);

/** Texts of which many are accepted: what stands in a file, or names something. */
const open = ['name', 'wstype', 'owner', 'path', 'host', 'hostname', 'key', 'device', 'innerdevice', 'idc'];

describe.each(Object.entries(documents))('arbitrary text, with %s,', (_dialect, document) => {
  const places = placesIn(document());
  const harmless = filesOf(document()) ?? new Map<string, string>();

  test.each(places.map((place) => [title(place), place] as const))(
    'in %s stays in its place, or is refused',
    (_, place) => {
      let accepted = 0;
      const put = (text: string) => {
        const files = filesOf(with1(document(), place, text));
        if (!files) return;
        accepted++;
        for (const content of files.values()) expect(content).not.toMatch(/[^\n\x20-\x7e]/);
        if (!isComputed(place)) expectContained({ files, harmless }, place.text, text);
      };
      const middle = place.text.length >> 1;
      for (const bad of nastyTexts) {
        for (const text of [bad, bad + place.text, place.text + bad]) put(text);
        put(place.text.slice(0, middle) + bad + place.text.slice(middle));
      }
      fc.assert(fc.property(textsAround(place.text), put), { numRuns: 60 });
      if (open.includes(String(place.steps.at(-1)))) expect(accepted).toBeGreaterThan(0);
    },
  );

  test('is tried in every text field', () => {
    expect(places.length).toBeGreaterThan(50);
    for (const place of places) expect(filesOf(with1(document(), place, 'two\nlines {'))).toBeUndefined();
  });
});

function with1(document: Cluster, place: Place, text: string): unknown {
  if (place.kind === 'key') return withKey(document, place.steps, [place.text, text]);
  return withValue(document, place.steps, text);
}

/** Whether other tokens are made from the value: LIPs, and what is a choice of few words. */
function isComputed({ steps }: Place): boolean {
  const field = String(steps.findLast((step) => typeof step === 'string'));
  const choices = ['type', 'dataplane', 'routing', 'linkspeed', 'announce', 'state', 'protocol', 'scheduler'];
  return [...choices, 'lips', 'internalnetmask'].includes(field);
}
