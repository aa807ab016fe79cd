import { describe, expect, test } from 'vitest';
import { readObservation, splitSections } from './sections.ts';
import { first, recorded, second } from './testing/recorded.ts';

describe('an answer', () => {
  test('is whole only with its end', () => {
    expect(splitSections(['@@weir machine', 'uid 0', '@@weir links'])).toBeUndefined();
    expect(splitSections(['bash: sh: command not found'])).toBeUndefined();
    expect(splitSections(['', '@@weir machine', 'uid 0', '@@weir end'])).toHaveLength(2);
  });

  test('may come behind the words of a login shell', () => {
    expect(splitSections(['Welcome!', '@@weir machine', 'uid 0', '@@weir end'])?.[0]).toEqual({
      name: 'machine',
      argument: '',
      lines: ['uid 0'],
    });
  });

  test('of a machine that has nothing is an observation of nothing', () => {
    const seen = readObservation(splitSections(['@@weir machine', '@@weir ipvs', 'absent', '@@weir end']) ?? []);
    expect(seen).toMatchObject({
      root: false,
      expected: undefined,
      table: undefined,
      chains: undefined,
      routing: undefined,
    });
    expect(seen.processes).toEqual([]);
  });
});

describe('the recorded LB', () => {
  const seen = recorded('reloaded');

  test('has its links, its releases and their files', () => {
    expect(seen.links.get('/etc/weir/current')).toBe(`releases/${second}`);
    expect(seen.links.get('/etc/weir/active')).toBe(`releases/${first}`);
    expect(seen.manifests.get(second)).toMatchObject({
      cluster: 'c',
      lb: 'lb1.room1',
      dataplane: 'ipvs',
      routing: 'frr',
      services: 6,
    });
    expect(seen.manifests.get(first)?.loads).toMatch(/^[0-9a-f]{10}$/);
    expect(seen.listed.size).toBeGreaterThan(8);
    expect([...seen.listed].filter(([path, sum]) => seen.present.get(path) !== sum)).toEqual([]);
    expect(seen.present.has('manifest.json')).toBe(true);
    expect(seen.live.get('/etc/frr/frr.conf')).toBe(seen.listed.get('routing/frr.conf'));
  });

  test('has keepalived with a checker that is named by what it loaded', () => {
    const parent = seen.processes.find((p) => p.comm === 'keepalived');
    expect(parent?.pid).toBe(seen.pidFile);
    expect(parent?.start).toBeGreaterThan(0);
    const checker = seen.processes.find((p) => p.ppid === parent?.pid);
    expect(checker?.comm).toBe(`weir-${seen.manifests.get(second)?.loads}`);
    expect(seen.expected?.folder).toBe(second);
    expect(seen.expected?.servers).toHaveLength(6);
    expect(seen.expected?.servers[0]?.announce).toEqual({ policy: 'degrade', quorum: 1 });
  });

  test('has the texts of both releases, and the values of their sysctls', () => {
    for (const folder of [first, second]) {
      expect(seen.texts.get(`${folder}/host/addresses`)).toContain('addr replace 10.0.0.100/32 dev eth0\n');
      expect(seen.texts.get(`${folder}/routing/frr.conf`)).toContain('router ospf\n');
    }
    expect(seen.sysctls.get('net.ipv4.ip_forward')).toBe('1');
    expect(seen.chains?.get('nat WEIR-POSTROUTING')).toHaveLength(1);
  });
});
