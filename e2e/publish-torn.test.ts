/**
 * What a keepalived that starts or reloads reads is one whole release at every instant, also where the remote
 * shell is killed: a process on the machine reads as keepalived does, as fast as it can, and tells what it saw.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Cluster } from '../src/domain/edge/model.ts';
import { openSsh } from '../src/remote/ssh.ts';
import { openTestHosts } from '../src/remote/test-hosts.ts';
import type { TestHosts } from '../src/remote/test-hosts.ts';
import type { Release } from '../src/render/cluster.ts';
import { makeKillable, publisherTo, releaseOf, withoutSsh } from '../src/publish/testing.ts';
import type { Killing, Publisher } from '../src/publish/testing.ts';
import { clusterOf, noHosts, title } from './testing/edge.ts';
import type { TestHost } from './testing/edge.ts';
import { frrLivePaths, isThere, livePaths, lookAtContent, read, sh } from './testing/machine.ts';
import { watchConfig, wholeOf } from './testing/watcher.ts';
import type { Watched } from './testing/watcher.ts';

const VIPS = 60;
/** Where publications are many. */
const FEW_VIPS = 12;
/**
 * Kills at random instants per dialect; WEIR_TEST_KILLS=1000 for a long run, which also kills at every program in both
 * dialects.
 */
const asked = process.env['WEIR_TEST_KILLS'];
const kills = Number(asked ?? 12);

interface Dialect {
  parts: Partial<Cluster>;
  paths: readonly string[];
  /** Of publications one after the other. */
  rounds: number;
  /** 3: only every third program is killed, since it is the same script that the other dialect kills everywhere. */
  stride: number;
  /** Live routing files and the release's. */
  routing: Readonly<Record<string, string>>;
}

const dialects: Record<string, Dialect> = {
  'fullnat and quagga': {
    parts: {},
    paths: livePaths,
    rounds: 8,
    stride: asked === undefined ? 3 : 1,
    routing: {
      '/usr/local/etc/zebra.conf': 'routing/zebra.conf',
      '/usr/local/etc/ospfd.conf': 'routing/ospfd.conf',
    },
  },
  'ipvs and frr': {
    parts: { dataplane: 'ipvs', routing: 'frr' },
    paths: frrLivePaths,
    rounds: 4,
    stride: 1,
    routing: { '/etc/frr/frr.conf': 'routing/frr.conf' },
  },
};

/** Two releases that differ in every VIP file and in a routing file, and how the watcher names them. */
interface Two {
  a: Release;
  b: Release;
  whole: string[];
}

function twoReleases(vips: number, parts: Partial<Cluster>): Two {
  const release = (marker: string, cost: number) =>
    releaseOf({ ...clusterOf(1, { lbs: 1, vips, marker }), ospf: { cost }, ...parts });
  return { a: release('/a', 10), b: release('/b', 20), whole: [`${2 * vips} /a`, `${2 * vips} /b`] };
}

const byHand = `
  mkdir -p /etc/keepalived /etc/frr
  for n in 1 2 3 4 5; do
    echo "include part$n.conf"
    printf 'virtual_server group old%s {\n    path /old\n}\n' "$n" >/etc/keepalived/part$n.conf
  done >/etc/keepalived/keepalived.conf
  for file in /usr/local/etc/zebra.conf /usr/local/etc/ospfd.conf /etc/frr/frr.conf; do echo '! old' >$file; done`;
const handWritten = { services: '5 /old', routing: wholeOf('! old\n') };

/** Everywhere that publishing writes but in its own folder. */
const folders = ['/etc/keepalived', '/usr/local/etc', '/etc/frr', '/usr/local/sbin/weir'];

describe.skipIf(noHosts).each(Object.entries(dialects))(
  title('with %s, a reader of the configuration'),
  (_, dialect) => {
    const many = twoReleases(VIPS, dialect.parts);
    const few = twoReleases(FEW_VIPS, dialect.parts);
    const routing = Object.keys(dialect.routing);
    let hosts: TestHosts;
    let host: TestHost;
    let to: Publisher;
    let used = 0;

    beforeAll(async () => {
      hosts = await openTestHosts();
    });
    afterAll(() => hosts?.close());
    beforeEach(async () => {
      used += 1;
      host = await hosts.start(`lb${used}.room1`);
      to = publisherTo(openSsh({ configFile: hosts.configFile }), host.name);
    });

    async function publish(next: Release | undefined): Promise<void> {
      const { state, message, step } = await to.publish(next);
      expect({ state, message, step }).toMatchObject({ state: next ? 'published' : 'restored', message: '' });
    }

    /** Whole files only; services of one whole configuration only. */
    function expectWhole(seen: Watched, { a, b, whole }: Two, before: (typeof handWritten)[] = []): void {
      const known = new Set([...whole, ...before.map((o) => o.services)]);
      expect(seen.services.filter((services) => !known.has(services))).toEqual([]);
      for (const [path, file] of Object.entries(dialect.routing)) {
        const files = new Set([...[a, b].map((r) => wholeOf(textOf(r, file))), ...before.map((o) => o.routing)]);
        expect(seen.routing[path]?.filter((whole) => !files.has(whole))).toEqual([]);
      }
    }

    test('sees one whole release while publications alternate', { timeout: 60_000 }, async () => {
      const { a, b, whole } = many;
      await publish(a);
      const watcher = await watchConfig(host, routing);
      for (let round = 0; round < dialect.rounds; round += 1) {
        await publish(b);
        await publish(a);
      }
      const seen = await watcher.stop();
      expectWhole(seen, many);
      expect(seen.services).toEqual(whole);
      expect(seen.reads).toBeGreaterThan(100);
    });

    test('sees the files of before or a whole release over take-overs and restores', { timeout: 60_000 }, async () => {
      await sh(host, byHand);
      const watcher = await watchConfig(host, routing);
      for (let round = 0; round < dialect.rounds; round += 1) {
        await publish(round % 2 === 0 ? many.a : many.b);
        await publish(undefined);
      }
      const seen = await watcher.stop();
      expectWhole(seen, many, [handWritten]);
      expect(seen.services).toEqual([...many.whole, handWritten.services]);
    });

    test('sees one whole release while the live one is repaired', { timeout: 60_000 }, async () => {
      const { a, b } = many;
      await publish(a);
      const watcher = await watchConfig(host, routing);
      for (let round = 0; round < dialect.rounds / 2; round += 1) {
        await sh(host, 'echo "! mine" >>/etc/weir/current/keepalived/vips/172.17.0.1.conf');
        expect((await to.publish(a, { overwrite: true })).state).toBe('published');
        await sh(host, 'touch /etc/weir/current/keepalived/extra');
        expect((await to.publish(b, { overwrite: true })).state).toBe('published');
        await publish(a);
      }
      expectWhole(await watcher.stop(), many);
    });

    describe('and a remote shell that is killed', () => {
      const { a, b } = few;
      let killing: Killing;

      /** For publications that are many. */
      async function withoutHandshakes(): Promise<void> {
        to = publisherTo(withoutSsh(host, hosts.directory), host.name);
        killing = await makeKillable(host);
      }

      const roundOf = (at: number) => Math.ceil(at / dialect.stride);

      /** One publication that dies at its nth program; answers whether it did. */
      async function dieAt(at: number, next: Release | undefined): Promise<boolean> {
        killing.arm(at, roundOf(at) % 4 === 0 ? 'run' : 'skip');
        const { state } = await to.publish(next);
        killing.disarm();
        return state === 'failed';
      }

      /** How many programs a publication runs that nobody kills. */
      async function programsOf(next: Release | undefined): Promise<number> {
        killing.disarm();
        await publish(next);
        return killing.count();
      }

      test(
        'at every program in turn: whole releases, and the next publication succeeds',
        { timeout: 240_000 },
        async () => {
          await withoutHandshakes();
          await publish(a);
          const usual = await programsOf(b);
          const watcher = await watchConfig(host, routing);
          let at = 1;
          for (; ; at += dialect.stride) {
            const next = roundOf(at) % 2 === 1 ? a : b;
            // Sent anew each time.
            await watcher.readAgain();
            await sh(host, 'rm -rf /etc/weir/releases/"$1"*', next.id);
            const died = await dieAt(at, next);
            expect((await to.publish(next)).state, `after a kill at program ${at}`).toMatch(/published|unchanged/);
            for (const [path, file] of Object.entries(dialect.routing))
              expect(read(host, path)).toBe(textOf(next, file));
            if (!died) break;
          }
          expect(at).toBeGreaterThan(usual - 3);
          expectWhole(await watcher.stop(), few);
          await expectTidy();
        },
      );

      test(
        'at every program of a first publication: what was there before can still be put back',
        { timeout: 240_000 },
        async () => {
          await withoutHandshakes();
          await sh(host, byHand);
          const before = lookAtContent(host, ...folders);
          const forget = () => sh(host, 'rm -rf /etc/weir/releases/* /etc/weir/current');
          await publish(a);
          await publish(undefined);
          await forget();
          const usual = await programsOf(a);
          await publish(undefined);
          const watcher = await watchConfig(host, routing);
          let at = 1;
          for (; ; at += dialect.stride) {
            await watcher.readAgain();
            await forget();
            const died = await dieAt(at, roundOf(at) % 3 === 0 ? b : a);
            // Now and then the operator gives up at once.
            if (roundOf(at) % 4 !== 0)
              expect((await to.publish(a)).state, `after a kill at program ${at}`).toMatch(/published|unchanged/);
            expect((await to.publish(undefined)).state).toMatch(/restored|unchanged/);
            expect(lookAtContent(host, ...folders), `after a kill at program ${at}`).toEqual(before);
            if (!died) break;
          }
          expect(at).toBeGreaterThan(usual - 3);
          expectWhole(await watcher.stop(), few, [handWritten]);
        },
      );

      test(
        'at every program of a restore: the next restore succeeds, and so does the next publication',
        { timeout: 240_000 },
        async () => {
          await withoutHandshakes();
          await sh(host, byHand);
          const before = lookAtContent(host, ...folders);
          await publish(a);
          const usual = await programsOf(undefined);
          const watcher = await watchConfig(host, routing);
          let at = 1;
          for (; ; at += dialect.stride) {
            await publish(a);
            const died = await dieAt(at, undefined);
            if (roundOf(at) % 2 === 0)
              expect((await to.publish(b)).state, `after a kill at program ${at}`).toMatch(/published|unchanged/);
            expect((await to.publish(undefined)).state).toMatch(/restored|unchanged/);
            expect(lookAtContent(host, ...folders), `after a kill at program ${at}`).toEqual(before);
            if (!died) break;
          }
          expect(at).toBeGreaterThan(usual - 3);
          expectWhole(await watcher.stop(), few, [handWritten]);
        },
      );

      test(
        `at ${kills} random instants, take-overs and restores among them`,
        { timeout: 60_000 + kills * 3000 },
        async () => {
          await sh(host, byHand);
          await publish(a);
          const watcher = await watchConfig(host, routing);
          const start = performance.now();
          await publish(b);
          const usual = performance.now() - start;
          const die = async (next: Release | undefined) => {
            const killer = host.exec(['perl', '-e', killAfter, String((usual * Math.random()) / 1000)]);
            await to.publish(next);
            expect((await killer).code).toBe(0);
          };
          for (let n = 0; n < kills; n += 1) {
            const next = n % 2 === 0 ? a : b;
            if (n % 5 === 3) {
              await die(undefined);
              expect((await to.publish(undefined)).state).toMatch(/restored|unchanged/);
            }
            await die(next);
            expect(await to.publish(next)).toMatchObject({
              state: expect.stringMatching(/published|unchanged/),
              message: '',
            });
          }
          expectWhole(await watcher.stop(), few, [handWritten]);
          await expectTidy();
        },
      );

      /** Nothing is left of what was killed. */
      async function expectTidy(): Promise<void> {
        const left = await sh(
          host,
          'ls -A /etc/weir /etc/weir/bin /etc/weir/releases /etc/keepalived /usr/local/etc /etc/frr',
        );
        expect(left).not.toMatch(/weir-(new|old)|\.(new|stage|backup|restored|weir|test)/);
        for (const path of dialect.paths) expect(isThere(host, path)).toBe(true);
      }
    });
  },
);

function textOf(of: Release, path: string): string {
  return (
    of
      .files()
      .find((f) => f.path === path)
      ?.text() ?? ''
  );
}

/** Waits for a shell that publishes, then some seconds, and kills it. One that is gone by then is as well. */
const killAfter = String.raw`
use strict;
my ($seconds) = @ARGV;
my $found;
for (1 .. 20000) {
  for my $file (glob '/proc/[0-9]*/cmdline') {
    open(my $in, '<', $file) or next;
    local $/; my $text = <$in> // '';
    ($found) = $file =~ m{(\d+)} if $text =~ m{^sh\0-c\0} && $text =~ m{etc=/etc/weir};
  }
  last if $found;
  select undef, undef, undef, 0.002;
}
exit 1 unless $found;
select undef, undef, undef, $seconds;
kill 9, $found;
`;
