/** What Weir renders is read back as what it was rendered from; no bytes make the import fail but with problems. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expandRange } from '../../domain/address.ts';
import { addressOf } from '../../domain/edge/addresses.ts';
import type { Addresses } from '../../domain/edge/addresses.ts';
import { emptyLipPlan, planLips } from '../../domain/edge/lips.ts';
import {
  checkTypeOf,
  dataplaneOf,
  defaults,
  forwardingOf,
  portKey,
  schedulerOf,
  stateOf,
  synproxyOf,
  weightOf,
} from '../../domain/edge/model.ts';
import type { Cluster, Port, Vip } from '../../domain/edge/model.ts';
import { WeirError } from '../../domain/errors.ts';
import {
  clusterArbitrary,
  dpvsClusterArbitrary,
  fullCluster,
  fullDpvsCluster,
  fullIpvsCluster,
  ipvsClusterArbitrary,
  resolved,
} from '../../domain/testing/clusters.ts';
import { renderCluster } from '../../render/cluster.ts';
import { filesOf } from './files.ts';
import { importKeepalived } from './keepalived.ts';
import { samples } from './testing/samples.ts';

/** The keepalived configuration of the first LB, or of one that is made up. */
function rendered(cluster: Cluster, addresses: Addresses): Map<string, string> {
  const lbs = cluster.lbinfos.length > 0 ? cluster.lbinfos : fullCluster().lbinfos.slice(1);
  const whole = { ...cluster, lbinfos: lbs };
  const { plan } = planLips({ cluster: whole, plan: emptyLipPlan, isTaken: () => false, now: '' });
  const made = renderCluster({ cluster: whole, lips: plan, addresses, ospfKeys: { key: 'key', oldKey: 'old' } });
  if (!made.ok) throw new Error(made.problems.map((problem) => problem.message).join('; '));
  return new Map(made.releases[0]?.files().map((file) => [file.path, file.text()]));
}

/** What of a VIP its configuration holds, the same for the same. */
function meaning(cluster: Cluster, vip: Vip, addresses: Addresses) {
  const fullnat = dataplaneOf(cluster) === 'fullnat';
  const served = vip.wss.filter((ws) => stateOf(vip, ws) !== 'down');
  const check = (port: Port) => {
    const type = checkTypeOf(port);
    const all = { ...defaults.check, ...cluster.check, ...port.check, type };
    const { path, host, status, digest: _digest, retry, ...times } = all;
    const asks = type === 'http' || type === 'https';
    const expected = port.check?.digest ?? (port.check?.status === undefined ? cluster.check?.digest : undefined);
    const page = asks ? { path, host, expected: expected ?? status } : {};
    return { ...times, ...page, ...(fullnat && !asks ? {} : { retry }) };
  };
  const ports = vip.ports.map((port) => ({
    key: portKey(port),
    dport: port.dport,
    scheduler: schedulerOf(port),
    persistence: port.persistence_timeout,
    synproxy: dataplaneOf(cluster) === 'ipvs' ? false : synproxyOf(cluster, vip, port),
    establish: port.establish_timeout,
    proxy: port.proxy_protocol,
    check: check(port),
  }));
  return {
    vip: vip.vip,
    quorum: vip.quorum ?? defaults.quorum,
    forwarding: forwardingOf(cluster, vip),
    deny: vip.deny?.flatMap(expandRange).toSorted(),
    allow: vip.allow?.flatMap(expandRange).toSorted(),
    wss: served.map((ws) => `${addressOf(vip, ws, addresses)} ${weightOf(vip, ws)}`).toSorted(),
    ports: ports.toSorted((a, b) => (a.key < b.key ? -1 : 1)),
  };
}

function expectSame(cluster: Cluster): void {
  const addresses = resolved(cluster);
  const { draft, findings, comparison, dataplane } = importKeepalived(
    filesOf(rendered(cluster, addresses)),
    'keepalived/keepalived.conf',
    { dataplane: dataplaneOf(cluster), wstype: 'apps' },
  );
  const wanted = cluster.vip2ws.filter((vip) => vip.wss.some((ws) => stateOf(vip, ws) !== 'down'));
  const back = {
    ...cluster,
    check: undefined,
    forwarding: undefined,
    announce: undefined,
    dataplane,
  } as unknown as Cluster;
  const got = draft.vip2ws.map((vip) => meaning(back, vip as Vip, addresses));
  expect(findings.filter((one) => one.severity === 'lost' && one.field !== 'lips')).toEqual([]);
  expect(got).toEqual(wanted.map((vip) => meaning(cluster, vip, addresses)));
  const services = wanted.reduce((sum, vip) => sum + vip.ports.length, 0);
  expect(comparison).toMatchObject({ services, equivalent: services, differences: [], unavailable: undefined });
}

describe('what Weir renders is imported as what it was', () => {
  test('with every field of the model', () => {
    for (const cluster of [fullCluster(), fullIpvsCluster(), fullDpvsCluster()]) expectSame(cluster);
  });

  test('for fullnat', () => {
    fc.assert(fc.property(clusterArbitrary, expectSame), { numRuns: 100 });
  });

  test('for ipvs', () => {
    fc.assert(fc.property(ipvsClusterArbitrary, expectSame), { numRuns: 100 });
  });

  test('for dpvs', () => {
    fc.assert(fc.property(dpvsClusterArbitrary, expectSame), { numRuns: 100 });
  });
});

/** What an import may do: answer, with every statement accounted for, or refuse with problems. */
function expectCalm(texts: ReadonlyMap<string, string | Uint8Array>, configId?: string): void {
  const files = {
    read(path: string) {
      const found = texts.get(path);
      return found === undefined ? undefined : { bytes: Buffer.from(found), executable: false };
    },
    list: () => [...texts.keys()],
  };
  try {
    const limits = { bytes: 1_000_000, statements: 10_000 };
    const { draft, comparison, findings } = importKeepalived(files, 'k.conf', { configId, limits, wstype: 'apps' });
    expect(comparison.differences.filter((one) => !one.explained)).toEqual([]);
    expect(JSON.stringify(draft)).not.toContain('null');
    for (const { file, line, statement, why, hint } of findings) {
      expect([line > 0, why !== '', /\p{Cc}/u.test([file, statement, why, hint].join(''))]).toEqual([
        true,
        true,
        false,
      ]);
    }
  } catch (thrown) {
    if (!(thrown instanceof WeirError)) throw thrown;
    expect(thrown.problems.length).toBeGreaterThan(0);
  }
}

describe('the import takes anything, or refuses it with problems', () => {
  test('random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => expectCalm(new Map([['k.conf', bytes]]))),
      { numRuns: 300 },
    );
  });

  test('random words of its own', () => {
    const words = [
      ...new Set(Object.values(samples).join(' ').split(/\s+/)),
      '~SEQ(A,1,2)',
      '$A',
      '${A}',
      '@a',
      '@^a',
      '\\',
      '$A=$A',
      '\u001b[31m',
    ];
    const line = fc.array(fc.constantFrom(...words, '{', '}', '"', '\n', 'include k.conf', 'include *.conf'), {
      maxLength: 60,
    });
    fc.assert(
      fc.property(line, fc.option(fc.constantFrom('a', 'b'), { nil: undefined }), (all, id) =>
        expectCalm(new Map([['k.conf', all.join(' ')]]), id),
      ),
      { numRuns: 400 },
    );
  });

  test('good files with lines taken out, doubled, moved, and changed', () => {
    const change = fc.record({
      kind: fc.constantFrom('out', 'double', 'word', 'swap', 'cut' as const),
      at: fc.nat(),
      other: fc.nat(),
      word: fc.constantFrom(
        '0',
        '-1',
        '99999999999',
        '1.5',
        '::1',
        '10.0.0.0/8',
        '0.0.0.0',
        '{',
        '}',
        '"',
        '',
        'NAT',
        'UDP',
        'DR',
        'TUN',
        'SNAT',
        'sed',
        'Z',
        '10.10.1.1',
        '10.0.20.12',
        '8080',
      ),
    });
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.values(samples)),
        fc.array(change, { minLength: 1, maxLength: 6 }),
        (text, changes) => {
          let lines = text.split('\n');
          for (const { kind, at, other, word } of changes) {
            const i = at % lines.length;
            const j = other % lines.length;
            const line = lines[i] ?? '';
            if (kind === 'out') lines.splice(i, 1);
            else if (kind === 'double') lines.splice(j, 0, line);
            else if (kind === 'swap') [lines[i], lines[j]] = [lines[j] ?? '', line];
            else if (kind === 'cut') lines[i] = line.slice(0, other % (line.length + 1));
            else lines[i] = line.replace(/\S+$/, word);
            if (lines.length === 0) lines = [''];
          }
          expectCalm(new Map([['k.conf', lines.join('\n')]]));
        },
      ),
      { numRuns: 400 },
    );
  });
});
