import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { lipsOf } from '../domain/edge/lips.ts';
import type { Cluster } from '../domain/edge/model.ts';
import {
  clusterArbitrary,
  dpvsClusterArbitrary,
  fullCluster,
  fullDpvsCluster,
  fullIpvsCluster,
  ipvsClusterArbitrary,
  resolved,
} from '../domain/testing/clusters.ts';
import type { Release } from './cluster.ts';
import { renderFile } from './files.ts';
import type { RenderedFile } from './files.ts';
import { planOf, readRelease, rendered, servicesOf } from './testing/releases.ts';
import { readAhead, validateRelease } from './validate.ts';

const full = { fullnat: fullCluster, dpvs: fullDpvsCluster, ipvs: fullIpvsCluster };
const arbitrary = { fullnat: clusterArbitrary, dpvs: dpvsClusterArbitrary, ipvs: ipvsClusterArbitrary };
const dataplanes = Object.keys(full) as (keyof typeof full)[];

const VIP_FILE = 'keepalived/vips/60.28.208.1.conf';
const MAIN = 'keepalived/keepalived.conf';

/** A release with other files. */
function withFiles(release: Release, change: (files: RenderedFile[]) => RenderedFile[]): Release {
  const files = change(release.files());
  return { ...release, files: () => files };
}

/** A release whose file at a path has another text. */
function spoiled(release: Release, path: string, change: (text: string) => string): Release {
  return withFiles(release, (files) =>
    files.map((file) => {
      if (file.path !== path) return file;
      const text = change(file.text());
      expect(text).not.toBe(file.text());
      return renderFile(file, () => text);
    }),
  );
}

function first(cluster: Cluster): Release {
  const [release] = rendered(cluster);
  if (!release) throw new Error('there is no LB');
  return release;
}

describe.each(dataplanes)('a release of %s', (dataplane) => {
  test('has no problem, and leads to the services that any valid document asks for', () => {
    fc.assert(
      fc.property(arbitrary[dataplane], (cluster) => {
        const addresses = resolved(cluster);
        for (const release of rendered(cluster, addresses)) {
          expect(release.dataplane).toBe(dataplane);
          expect(validateRelease(release)).toEqual([]);
          const services = servicesOf(cluster, addresses, lipsOf(planOf(cluster), release.lb));
          expect(readRelease(release).services).toEqual(services.map((service) => expect.objectContaining(service)));
        }
      }),
      { numRuns: 150 },
    );
  });

  test('has the mistakes of its files, each by file and line', () => {
    const release = spoiled(first(full[dataplane]()), VIP_FILE, (text) => text.replace('    omega\n', ''));
    const at = release
      .files()
      .find((file) => file.path === VIP_FILE)
      ?.text()
      .split('\n')
      .findIndex((line) => line.startsWith('virtual_server group'));
    expect(validateRelease(release)).toEqual([
      {
        path: VIP_FILE,
        code: 'invalid_rendering',
        message: `${VIP_FILE}:${(at ?? 0) + 1} omega is missing`,
        hint: expect.stringContaining('nothing was sent') as string,
        severity: 'error',
      },
    ]);
    const main = spoiled(first(full[dataplane]()), MAIN, (text) => text.replace('    router_id', '    router'));
    expect(validateRelease(main).map(({ path, message }) => `${path} ${message}`)).toContainEqual(
      expect.stringMatching(`^${MAIN} ${MAIN}:\\d+ unknown keyword router in global_defs$`) as string,
    );
  });
});

describe('files beside one another', () => {
  const release = first(fullCluster());
  const messages = (other: Release) => validateRelease(other).map((problem) => problem.message);

  test('that are missing, or that nothing includes, are problems', () => {
    const without = withFiles(release, (files) => files.filter((file) => file.path !== VIP_FILE));
    expect(messages(without)).toEqual([
      expect.stringMatching(`^${MAIN}:\\d+ ${VIP_FILE} is missing`) as string,
      'keepalived/entry.conf leads to 0 services, not to the 3 of the release',
    ]);
    const idle = withFiles(release, (files) => [
      ...files,
      renderFile({ path: 'keepalived/vips/60.28.208.9.conf' }, () => '! no WS\n'),
    ]);
    expect(messages(idle)).toEqual(['keepalived/vips/60.28.208.9.conf is not included']);
    expect(messages(withFiles(release, () => []))[0]).toContain('keepalived/entry.conf is missing');
  });

  test('that are executable are a problem: keepalived 2 leaves them out', () => {
    const executable = withFiles(release, (files) =>
      files.map((file) => (file.path === VIP_FILE ? { ...file, mode: '0755' as const } : file)),
    );
    expect(messages(executable)).toEqual([`${VIP_FILE} is executable: keepalived leaves it out`]);
  });

  test('with one name twice are a problem', () => {
    const twice = withFiles(
      spoiled(release, MAIN, (text) => `${text}include vips/2.conf\n`),
      (files) => [
        ...files,
        renderFile(
          { path: 'keepalived/vips/2.conf' },
          () => files.find((file) => file.path === VIP_FILE)?.text() ?? '',
        ),
      ],
    );
    expect(
      messages({ ...twice, services: 6 }).filter((message) => !message.includes(' stands twice, first at ')),
    ).toEqual([]);
    expect(messages({ ...twice, services: 6 })).toHaveLength(6);
  });

  test('that run another helper than the one that is installed are a problem', () => {
    const other = spoiled(release, VIP_FILE, (text) =>
      text.replaceAll(/\/announce-[0-9a-f]+/g, '/announce-000000000000'),
    );
    expect(messages(other)).toEqual([
      'keepalived/entry.conf leads to /etc/weir/bin/announce-000000000000, which the release does not install',
    ]);
  });

  test('are asked for their texts once, whatever number of LBs have them, and again only where they changed', () => {
    const cluster = fullCluster();
    const { read, count } = counter();
    const validate = (of: Cluster) => {
      for (const one of rendered(of)) {
        const release = withFiles(one, (files) => files.map(count));
        expect(validateRelease(release)).toEqual([]);
      }
      return read.splice(0).toSorted();
    };
    const vips = [...cluster.vip2ws, ...cluster.vip2ws.map((vip) => ({ ...vip, vip: '60.28.208.2' }))];
    const both = { ...cluster, vip2ws: vips };
    expect(validate(both)).toEqual([
      'keepalived/entry.conf',
      ...both.lbinfos.map(() => MAIN),
      VIP_FILE,
      'keepalived/vips/60.28.208.2.conf',
    ]);
    // LIPs are planned anew each time, so that main files are others.
    expect(validate(both).filter((path) => path !== MAIN)).toEqual([]);
    const changed = { ...both, vip2ws: vips.map((vip, i) => (i === 1 ? { ...vip, quorum: 20 } : vip)) };
    expect(validate(changed).filter((path) => path !== MAIN)).toEqual(['keepalived/vips/60.28.208.2.conf']);
  });

  test('can be read ahead one by one, and are not read again then', () => {
    const { read, count } = counter();
    const one = withFiles(first(fullDpvsCluster()), (files) => files.map(count));
    const steps = readAhead(one);
    expect([steps.next().done, read.length]).toEqual([false, 1]);
    expect([...steps]).toHaveLength(2);
    expect(read.splice(0).toSorted()).toEqual(['keepalived/entry.conf', MAIN, VIP_FILE]);
    expect([validateRelease(one), [...readAhead(one)], read]).toEqual([[], [], []]);
  });
});

/** Files that tell when they are asked for their text. */
function counter(): { read: string[]; count: (file: RenderedFile) => RenderedFile } {
  const read: string[] = [];
  const counted = new Map<RenderedFile, RenderedFile>();
  const count = (file: RenderedFile): RenderedFile => {
    const text = () => {
      read.push(file.path);
      return file.text();
    };
    const known = counted.get(file) ?? { ...file, text };
    counted.set(file, known);
    return known;
  };
  return { read, count };
}
