/**
 * A push of the original onto a machine that Weir publishes to: it erases /etc/keepalived and /usr/local/etc, then copies its
 * own files there. What is missing is named and put back; what it wrote is named, and overwritten only if asked to.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Publication } from '../src/jobs/publications.ts';
import { clusterOf, create, lbName, lbOf, noHosts, openEdge, title } from './testing/edge.ts';
import type { Edge, TestHost } from './testing/edge.ts';
import { isThere, livePaths, look, lookAtContent, read, sh } from './testing/machine.ts';

const ERASE = 'rm -rf /etc/keepalived/* /usr/local/etc/*';

/** As the original leaves a machine, before Weir and after each of its pushes. */
const PUSH = `${ERASE}
  mkdir -p /etc/keepalived /usr/local/etc
  printf 'global_defs {\\n}\\ninclude 172.17.0.1.conf\\n' >/etc/keepalived/keepalived.conf
  printf 'virtual_server group one {\\n}\\n' >/etc/keepalived/172.17.0.1.conf
  printf 'hostname theirs\\n' >/usr/local/etc/zebra.conf
  printf 'hostname theirs\\nrouter ospf\\n' >/usr/local/etc/ospfd.conf`;

describe.skipIf(noHosts)(title('a machine that the original pushed to after Weir,'), () => {
  let edge: Edge;
  let host: TestHost;
  let used = 0;
  let cluster = '';

  beforeAll(async () => {
    edge = await openEdge();
  });
  afterAll(() => edge?.close());
  beforeEach(async () => {
    used += 1;
    cluster = `cluster-${used}`;
    host = await edge.hosts.start(lbName(used, 1));
    await sh(host, PUSH);
    await create(edge, clusterOf(used, { lbs: 1, vips: 2 }));
    expectDone(await edge.publish(cluster));
  });

  const content = () => lookAtContent(host, ...livePaths, '/etc/weir/current');

  function expectDone(publication: Publication): readonly string[] {
    const { state, message, warnings } = lbOf(publication);
    expect({ state, message }).toEqual({ state: 'published', message: '' });
    return warnings;
  }

  const warned = (warnings: readonly string[], words: string) => warnings.filter((text) => text.includes(words));

  test('with only /etc/keepalived erased, is told of it and gets it back', async () => {
    const before = content();
    await sh(host, 'rm -rf /etc/keepalived/*');
    const warnings = expectDone(await edge.publish(cluster));
    expect(warned(warnings, 'was missing')).toEqual(['/etc/keepalived/keepalived.conf was missing and is put back']);
    expect(content()).toEqual(before);
    expect(lbOf(await edge.publish(cluster)).state).toBe('unchanged');
  });

  test('with all live paths erased, is told of each and gets it back, owners and modes included', async () => {
    const before = content();
    for (const erase of [ERASE, 'rm -rf /etc/keepalived /usr/local/etc']) {
      await sh(host, erase);
      const warnings = expectDone(await edge.publish(cluster));
      expect(warned(warnings, 'was missing')).toEqual(livePaths.map((path) => `${path} was missing and is put back`));
      expect(content()).toEqual(before);
    }
  });

  test('keeps the release that keepalived reads: nothing below /etc/weir was erased', async () => {
    const before = look(host, '/etc/weir/current/', '/etc/weir/releases', '/etc/weir/bin');
    await sh(host, ERASE);
    expectDone(await edge.publish(cluster));
    expect(look(host, '/etc/weir/current/', '/etc/weir/releases', '/etc/weir/bin')).toEqual(before);
  });

  test('with the original’s files in their places, is left alone until overwriting is asked for, which keeps them', async () => {
    const ours = content();
    await sh(host, PUSH);
    const theirs = content();
    const refused = lbOf(await edge.publish(cluster));
    expect(refused).toMatchObject({ state: 'failed', step: 'check' });
    for (const path of livePaths) expect(refused.message).toContain(path);
    expect(refused.message).toContain('--overwrite');
    expect(content()).toEqual(theirs);
    expectDone(await edge.publish(cluster, { overwrite: true }));
    expect(content()).toEqual(ours);
    expect(await sh(host, 'cat /etc/weir/edited/keepalived.conf.*')).toContain('include 172.17.0.1.conf');
    expect(isThere(host, '/etc/keepalived/172.17.0.1.conf')).toBe(true);
  });

  test('gets back what was there before Weir, also after it was erased', async () => {
    await sh(host, ERASE);
    expect(lbOf(await edge.restore(cluster)).state).toBe('restored');
    expect(read(host, '/etc/keepalived/keepalived.conf')).toContain('include 172.17.0.1.conf');
    expect(read(host, '/usr/local/etc/zebra.conf')).toBe('hostname theirs\n');
    expect(isThere(host, '/etc/keepalived/172.17.0.1.conf')).toBe(false);
  });
});
