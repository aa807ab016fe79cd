import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Release } from '../render/cluster.ts';
import { rendered } from '../render/testing/releases.ts';
import { deltaBundle, fullBundle, releaseTar } from './bundle.ts';
import { clusterWith } from './testing.ts';

const unpackers = ['tar', 'busybox tar'].map((name) => {
  const [program = '', ...args] = name.split(' ');
  return { name, program, args, there: spawnSync(program, [...args, '--help']).error === undefined };
});

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'weir-bundle-test-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function releasesOf(vips: number, cost = 15): Release[] {
  return rendered(clusterWith(vips, { ospf: { cost } }));
}

function releaseOf(vips: number, cost?: number): Release {
  const [release] = releasesOf(vips, cost);
  if (!release) throw new Error('no release');
  return release;
}

/** Path, mode and text of everything below a folder. */
function contents(at: string, below = ''): Record<string, string> {
  return Object.fromEntries(
    readdirSync(join(at, below)).flatMap((name) => {
      const path = join(below, name);
      const stat = statSync(join(at, path));
      if (stat.isDirectory()) return Object.entries(contents(at, path));
      return [[path, `${(stat.mode & 0o777).toString(8).padStart(4, '0')} ${readFileSync(join(at, path), 'utf8')}`]];
    }),
  );
}

function wanted(release: Release): Record<string, string> {
  return Object.fromEntries([...release.files(), release.manifest()].map((f) => [f.path, `${f.mode} ${f.text()}`]));
}

for (const { name, program, args, there } of unpackers) {
  describe.skipIf(!there)(`a bundle unpacked by ${name}${there ? '' : ' (left out: it is not installed)'}`, () => {
    const unpack = (parts: readonly Uint8Array[], to = folder): string => {
      mkdirSync(to, { recursive: true });
      const ran = spawnSync(program, [...args, '-xzmf', '-', '-C', to], {
        input: Buffer.concat(parts),
        encoding: 'utf8',
      });
      expect(ran.status).toBe(0);
      return ran.stderr;
    };

    test('whole is the release, in two gzip members, without a word', async () => {
      const release = releaseOf(30);
      const parts = await fullBundle(release);
      expect(parts).toHaveLength(2);
      expect(unpack(parts)).toBe('');
      expect(contents(folder)).toEqual(wanted(release));
    });

    test('of a cluster without VIPs is the release too', async () => {
      const release = releaseOf(0);
      unpack(await fullBundle(release));
      expect(contents(folder)).toEqual(wanted(release));
    });

    test('as a delta over its base is the release', async () => {
      for (const [from, to] of [
        [releaseOf(5), releaseOf(7, 20)],
        [releaseOf(7, 20), releaseOf(5)],
        [releaseOf(5), releaseOf(0)],
        [releaseOf(5), releaseOf(5)],
      ] as const) {
        const at = join(folder, `${from.id}-${to.id}`);
        unpack(await fullBundle(from), at);
        unpack(await deltaBundle(from, to), at);
        const list = join(at, '.remove');
        if (statSync(list, { throwIfNoEntry: false })) {
          execFileSync('sh', ['-c', 'xargs rm .remove <.remove'], { cwd: at });
        }
        expect(contents(at)).toEqual(wanted(to));
      }
    });
  });
}

test('the files that LBs share are packed once, and other LBs’ own files apart', async () => {
  const [first, second] = releasesOf(5);
  if (!first || !second) throw new Error('two releases were wanted');
  const [shared, own] = await fullBundle(first);
  const [sharedAgain, ownOther] = await fullBundle(second);
  expect(sharedAgain).toBe(shared);
  const atOnce = await Promise.all(releasesOf(6).map((release) => fullBundle(release)));
  expect(atOnce[0]?.[0]).toBe(atOnce[1]?.[0]);
  expect(Buffer.from(own ?? []).equals(Buffer.from(ownOther ?? []))).toBe(false);
});

test('the same release is the same bytes', async () => {
  const [a, b] = [releaseOf(3), releaseOf(3)];
  expect(await deltaBundle(releaseOf(2), a)).toEqual(await deltaBundle(releaseOf(2), b));
  expect((await fullBundle(a))[1]).toEqual((await fullBundle(b))[1]);
});

test('a delta of one VIP among a thousand is a fraction of the whole', async () => {
  const size = (parts: readonly Uint8Array[]) => parts.reduce((sum, part) => sum + part.length, 0);
  const full = size(await fullBundle(releaseOf(1000)));
  const delta = size(await deltaBundle(releaseOf(999), releaseOf(1000)));
  expect(delta).toBeLessThan(0.7 * full);
});

test('a plain tar holds all files', async () => {
  const release = releaseOf(2);
  const file = join(folder, 'x.tar');
  writeFileSync(file, await releaseTar(release.files()));
  const listed = execFileSync('tar', ['-tf', file], { encoding: 'utf8' }).trim().split('\n');
  expect(listed).toEqual(release.files().map((f) => f.path));
});
