import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSsh } from '../remote/ssh.ts';
import { openTestHosts, whyNoTestHosts } from '../remote/test-hosts.ts';
import type { TestHosts } from '../remote/test-hosts.ts';
import { publishCommand, publishCommandSudo } from './script.ts';
import { clusterWith, makeKillable, publisherTo, releaseOf } from './testing.ts';

const small = releaseOf(clusterWith(3));
const large = releaseOf(clusterWith(1000));
const changedLarge = releaseOf(clusterWith(1000, { ospf: { cost: 20 } }));
const largeIpvs = releaseOf(clusterWith(1000, { dataplane: 'ipvs' }));
const changedIpvs = releaseOf(clusterWith(1000, { dataplane: 'ipvs', ospf: { cost: 20 } }));

describe('publishing to a machine that is played by a script', () => {
  let folder: string;
  let scripts = 0;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'weir-publish-lb-test-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** What stands in the place of ssh, the last word of its arguments being the command. */
  async function machine(body: string) {
    const program = join(folder, String(++scripts));
    await writeFile(program, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
    return publisherTo(openSsh({ program }), 'lb1');
  }

  test('sends one line of request, and the bundle only when it was told what is there', async () => {
    const to = await machine(`read -r line; echo "warn $line"; echo have none; read -r kind; echo "warn $kind"
      wc -c >"${folder}/bytes"; echo "done published x"`);
    const outcome = await to.publish(small, { overwrite: true, fence: 42 });
    expect(outcome).toMatchObject({
      state: 'published',
      step: 'confirm',
      warnings: [`weir 1 publish 42 ${small.id} 3 fullnat quagga yes`, 'full'],
    });
  });

  test('sends nothing to one that has the release, a delta to one whose release is known, else all', async () => {
    const other = releaseOf(clusterWith(4));
    const kinds: Record<string, string> = {
      [small.id]: 'same',
      [other.id]: `delta ${other.id}`,
      ['0'.repeat(32)]: 'full',
    };
    for (const [have, kind] of Object.entries(kinds)) {
      const to = await machine(
        `read -r line; echo have ${have}; read -r kind; echo "warn $kind"; cat >/dev/null; echo done unchanged x`,
      );
      const outcome = await to.publish(small, { known: (id) => (id === other.id ? other : undefined) });
      expect(outcome).toMatchObject({ state: 'unchanged', warnings: [kind] });
    }
  });

  test('a restore asks for no release and sends no bundle', async () => {
    const to = await machine('read -r line; echo "warn $line"; echo done restored none');
    expect(await to.publish(undefined, { fence: 7 })).toMatchObject({
      state: 'restored',
      warnings: ['weir 1 restore 7 none 0 none none no'],
    });
  });

  test('what a machine says that gives up while the bundle is sent is not lost', async () => {
    const to = await machine(`read -r line; echo step stage; echo have none; read -r kind; exec <&-
      echo "tar: No space left" >&2; echo "fail stage the bundle cannot be unpacked"; exit 1`);
    expect(await to.publish(large)).toMatchObject({
      state: 'failed',
      step: 'stage',
      message: 'the bundle cannot be unpacked: tar: No space left',
    });
  });

  test('of a machine that speaks of other things, its last lines are told where nothing else is', async () => {
    const to = await machine('echo Welcome; echo; echo "This account is closed."; exit 1');
    expect(await to.publish(small)).toMatchObject({
      state: 'failed',
      step: 'connect',
      message: 'Welcome; This account is closed.',
    });
  });

  test('an end without a word is told by its code, an end before its time by the time', async () => {
    for (const body of ['exit 3', 'exec <&-; exit 3']) {
      expect((await (await machine(body)).publish(small)).message).toBe('ssh ended with code 3 and without a word');
    }
    const to = await machine('echo step lock; echo waiting >&2; exec sleep 1000');
    expect(await to.publish(small, { timeoutMs: 300 })).toMatchObject({
      state: 'failed',
      step: 'lock',
      message: 'no answer within 0 s: waiting',
    });
  });

  test('done is believed only of a command that ended well', async () => {
    const to = await machine('exec <&-; echo step confirm; echo done published x; exit 1');
    expect(await to.publish(small)).toMatchObject({ state: 'failed', step: 'confirm' });
  });

  test('steps that are unknown, and warnings without end, do no harm', async () => {
    const to = await machine(
      'echo step dance; echo fail dance oh; i=0; while [ $i -lt 50 ]; do echo warn $i; i=$((i + 1)); done; exit 1',
    );
    const outcome = await to.publish(small);
    expect(outcome).toMatchObject({ state: 'failed', step: 'connect', message: 'oh' });
    expect(outcome.warnings).toHaveLength(20);
  });

  test('a signal ends it as cancelled', async () => {
    const stop = new AbortController();
    const to = await machine('echo step stage; exec sleep 1000');
    const outcome = await to.publish(small, {
      signal: stop.signal,
      onStep: (step) => step === 'stage' && stop.abort(),
    });
    expect(outcome).toMatchObject({ state: 'cancelled', step: 'stage', message: 'cancelled' });
  });
});

test('the command is constant, and its script is one quoted word', () => {
  for (const command of [publishCommand, publishCommandSudo]) {
    const words = command.replaceAll("'\\''", '').split("'");
    expect(words).toHaveLength(3);
    expect(words[0]).toMatch(/^exec (sudo -n )?sh -c $/);
    expect(words[2]).toBe('');
  }
});

const reason = whyNoTestHosts();

describe.skipIf(reason !== undefined)(`publishing to a machine${reason ? ` (left out: ${reason})` : ''}`, () => {
  let hosts: TestHosts;

  beforeAll(async () => {
    hosts = await openTestHosts();
  });
  afterAll(() => hosts?.close());

  /** Programs of a first publication, of one that changes nothing, of a change, of going back, of a restore. */
  const most = {
    'fullnat and quagga': [39, 5, 23, 21, 20],
    'ipvs and frr': [46, 5, 30, 28, 20],
  };

  for (const [i, [name, limits]] of Object.entries(most).entries()) {
    test(`runs few programs, however many VIPs there are, with ${name}`, async () => {
      const host = await hosts.start(`lb${i + 1}.room1`);
      const programs = await makeKillable(host);
      const to = publisherTo(openSsh({ configFile: hosts.configFile }), host.name);
      const [first, changed] = i === 0 ? [large, changedLarge] : [largeIpvs, changedIpvs];
      const rounds = [
        ['published', first],
        ['unchanged', first],
        ['published', changed],
        ['published', first],
        ['restored', undefined],
      ] as const;
      const counts: number[] = [];
      for (const [wanted, release] of rounds) {
        programs.disarm();
        expect(await to.publish(release)).toMatchObject({ state: wanted, message: '' });
        counts.push(programs.count());
      }
      expect(counts.map((count, k) => Math.max(count, limits[k] ?? 0))).toEqual(limits);
      expect(Math.min(...counts)).toBeGreaterThan(3);
    });
  }

  test('of a thousand VIPs that all change at once, and lose a hundred', { timeout: 60_000 }, async () => {
    const host = await hosts.start('lb3.room1');
    const to = publisherTo(openSsh({ configFile: hosts.configFile }), host.name);
    const checked = { check: { path: '/other' } };
    for (const next of [large, releaseOf(clusterWith(1000, checked)), releaseOf(clusterWith(900, checked))]) {
      expect(await to.publish(next)).toMatchObject({ state: 'published', message: '' });
    }
    expect((await host.exec(['sh', '-c', 'ls /etc/weir/current/keepalived/vips | wc -l'])).stdout.trim()).toBe('900');
  });
});
