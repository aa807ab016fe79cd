import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { clusterArbitrary, fullCluster } from '../testing/clusters.ts';
import { addressOf, namesToResolve, nextAddresses, noAddresses, parseHosts } from './addresses.ts';
import type { Addresses, FoundAddresses } from './addresses.ts';
import type { Vip } from './model.ts';

const finding = fc
  .dictionary(fc.constantFrom('a', 'b', 'c', 'constructor', '__proto__'), fc.nat({ max: 2 }), { noNullPrototype: true })
  .map(foundAt);

function foundAt(numbers: Record<string, number>): FoundAddresses {
  return Object.fromEntries(
    Object.entries(numbers).map(([name, n]) => [name, { address: `10.0.0.${n}`, source: 'dns' as const }]),
  );
}

describe('found addresses', () => {
  test('are exactly those that were found last, whatever was known before', () => {
    fc.assert(
      fc.property(fc.array(finding), (all) => {
        let addresses = noAddresses;
        for (const found of all) {
          addresses = nextAddresses(addresses, found);
          expect(addresses.found).toEqual(found);
          for (const name of ['a', 'constructor', 'toString']) {
            expect(addresses.get(name)).toEqual(Object.hasOwn(found, name) ? found[name] : undefined);
          }
        }
        expect(noAddresses.found).toEqual({});
      }),
    );
  });

  test('of one epoch never disagree, however they came from each other; older ones stay as they were', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(), finding, fc.boolean()), { maxLength: 12 }), (steps) => {
        const all: { addresses: Addresses; found: FoundAddresses }[] = [{ addresses: noAddresses, found: {} }];
        for (const [from, found, added] of steps) {
          const { addresses: base } = all[from % all.length] as (typeof all)[number];
          const addresses = added ? base.with(Object.entries(found)) : nextAddresses(base, found);
          all.push({ addresses, found: added ? { ...base.found, ...found } : found });
        }
        for (const one of all) {
          expect(one.addresses.found).toEqual(one.found);
          for (const other of all) {
            if (one.addresses.epoch !== other.addresses.epoch) continue;
            for (const name of Object.keys(one.found)) {
              const there = other.addresses.get(name);
              if (there) expect(there.address).toBe(one.found[name]?.address);
            }
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  test('keep their epoch when names are only added, so that nothing is rendered again', () => {
    const first = nextAddresses(noAddresses, foundAt({ a: 1 }));
    const more = nextAddresses(first, foundAt({ a: 1, b: 2 }));
    expect(more.epoch).toBe(first.epoch);
    expect(nextAddresses(more, foundAt({ a: 1, b: 3 })).epoch).not.toBe(first.epoch);
    expect(nextAddresses(more, foundAt({ a: 1 })).epoch).not.toBe(first.epoch);
    expect(more.with(Object.entries(foundAt({ a: 1 })))).toBe(more);
    expect(nextAddresses(noAddresses, foundAt({ a: 2 })).epoch).not.toBe(first.epoch);
  });
});

describe('the address of a WS', () => {
  const vip: Vip = { ...(fullCluster().vip2ws[0] as Vip), wss: ['ws1.room1', 'a', 'constructor'] };

  test('is that of the document, else what was found', () => {
    const addresses = nextAddresses(noAddresses, foundAt({ a: 1, 'ws1.room1': 2 }));
    expect(addressOf(vip, 'ws1.room1', addresses)).toBe('10.1.0.1');
    expect(addressOf(vip, 'a', addresses)).toBe('10.0.0.1');
    expect(addressOf(vip, 'constructor', addresses)).toBeUndefined();
    expect(addressOf({ ...vip, wsattrs: {} }, 'toString', noAddresses)).toBeUndefined();
  });

  test('has to be found for names that are configured and have none in the document, each once', () => {
    fc.assert(
      fc.property(clusterArbitrary, (cluster) => {
        const names = namesToResolve(cluster);
        expect(new Set(names).size).toBe(names.length);
        const wanted = cluster.vip2ws.flatMap((v) =>
          v.wss.filter((ws) => v.wsattrs?.[ws]?.state !== 'down' && v.wsattrs?.[ws]?.address === undefined),
        );
        expect(new Set(names)).toEqual(new Set(wanted));
      }),
    );
  });
});

describe('hosts(5)', () => {
  test('gives the first IPv4 address of each name, in any case; the rest is left out', () => {
    const text = `
# comment
10.0.0.1  ws1.room1 WS1   # another comment
10.0.0.2\tws2.room1\r
10.0.0.9 ws1.room1
::1 ws3.room1
010.0.0.3 ws4.room1
127.0.0.1 ws5.room1
10.0.0.6 bad_name ws6.room1
10.0.0.7
nonsense
`;
    expect([...parseHosts(text)]).toEqual([
      ['ws1.room1', '10.0.0.1'],
      ['ws1', '10.0.0.1'],
      ['ws2.room1', '10.0.0.2'],
      ['ws6.room1', '10.0.0.6'],
    ]);
  });

  test('never throws, and gives hostnames and addresses only', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }),
        fc.array(fc.constantFrom('10.0.0.1', 'a', ' ', '\n', '#', '\0', 'é', '\u212A')),
        (text, parts) => {
          for (const [name, address] of parseHosts(text + parts.join(''))) {
            expect(name).toMatch(/^[a-z0-9.-]+$/);
            expect(address).toMatch(/^[\d.]+$/);
          }
        },
      ),
    );
  });
});
