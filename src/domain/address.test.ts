import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  addressNumber,
  contains,
  expandRange,
  formatAddress,
  isHostOf,
  isUnicast,
  lastOf,
  looksLikeIPv6,
  networkOf,
  parseAddress,
  parseMask,
  parseNet,
  parseRange,
  rangeHolds,
} from './address.ts';

const number = fc.nat({ max: 0xffffffff });
const prefix = fc.integer({ min: 0, max: 32 });

describe('an address', () => {
  test('that is written strictly is its number', () => {
    expect(parseAddress('0.0.0.0')).toBe(0);
    expect(parseAddress('10.0.19.226')).toBe(0x0a0013e2);
    expect(parseAddress('255.255.255.255')).toBe(0xffffffff);
  });

  test.each([
    '010.1.1.1',
    '1.2.3.04',
    '1.2',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '1.2.3.4 ',
    ' 1.2.3.4',
    '1.2.3.4\n',
    '1.2.3.4\0',
    '1..3.4',
    '-1.2.3.4',
    '+1.2.3.4',
    '0x1.2.3.4',
    '1e1.2.3.4',
    '１.2.3.4',
    '١.2.3.4',
    '1。2。3。4',
    '16909060',
    '',
    'a.b.c.d',
    '1.2.3.4/32',
    '::1',
  ])('is refused as %j', (text) => {
    expect(parseAddress(text)).toBeUndefined();
    expect(() => addressNumber(text)).toThrow('not an IPv4 address');
  });

  test('comes back from its number', () => {
    fc.assert(
      fc.property(number, (n) => {
        expect(parseAddress(formatAddress(n))).toBe(n);
      }),
    );
  });

  test('is accepted from any text only if it is the canonical form', () => {
    const octets = fc.array(fc.oneof(fc.nat({ max: 300 }).map(String), fc.string({ maxLength: 3 })), { maxLength: 5 });
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          octets.map((o) => o.join('.')),
        ),
        (text) => {
          const parsed = parseAddress(text);
          if (parsed !== undefined) expect(formatAddress(parsed)).toBe(text);
        },
      ),
    );
  });

  test.each(['0.1.2.3', '127.0.0.1', '224.0.0.5', '240.0.0.1', '255.255.255.255'])('%s is not unicast', (text) => {
    expect(isUnicast(addressNumber(text))).toBe(false);
  });

  test.each(['1.0.0.0', '10.0.0.1', '126.255.255.255', '128.0.0.1', '223.255.255.255'])('%s is unicast', (text) => {
    expect(isUnicast(addressNumber(text))).toBe(true);
  });
});

describe('a mask', () => {
  test('of every length is its prefix', () => {
    fc.assert(
      fc.property(prefix, (length) => {
        expect(parseMask(formatAddress(networkOf(0xffffffff, length)))).toBe(length);
      }),
    );
  });

  test('with a hole is refused', () => {
    for (const text of ['255.0.255.0', '0.255.255.255', '255.255.255.253', '0.0.0.1', '24', '255.255.255.0 ']) {
      expect(parseMask(text)).toBeUndefined();
    }
  });

  test('is accepted exactly where its bits are contiguous', () => {
    fc.assert(
      fc.property(number, (n) => {
        const contiguous = /^1*0*$/.test(n.toString(2).padStart(32, '0'));
        expect(parseMask(formatAddress(n)) !== undefined).toBe(contiguous);
      }),
    );
  });
});

describe('a net', () => {
  test('is its network address and its prefix', () => {
    expect(parseNet('60.28.208.0/25')).toEqual({ base: addressNumber('60.28.208.0'), prefix: 25 });
    expect(parseNet('0.0.0.0/0')).toEqual({ base: 0, prefix: 0 });
    expect(parseNet('10.1.2.3/32')).toEqual({ base: addressNumber('10.1.2.3'), prefix: 32 });
  });

  test.each([
    '60.28.208.1/25',
    '60.28.208.0',
    '60.28.208.0/',
    '60.28.208.0/33',
    '60.28.208.0/025',
    '60.28.208.0/ 25',
    '60.28.208.0/-1',
    '60.28.208.0/25/25',
    '60.28.208.0/25 ',
    '/25',
    '60.28.208/25',
    '60.28.208.0/２',
  ])('is refused as %j', (text) => {
    expect(parseNet(text)).toBeUndefined();
  });

  test('holds its first and last address, and neither neighbour', () => {
    fc.assert(
      fc.property(number, prefix, (n, length) => {
        const net = { base: networkOf(n, length), prefix: length };
        const text = `${formatAddress(net.base)}/${length}`;
        expect(parseNet(text)).toEqual(net);
        expect(contains(net, n)).toBe(true);
        expect(contains(net, net.base) && contains(net, lastOf(net))).toBe(true);
        if (net.base > 0) expect(contains(net, net.base - 1)).toBe(false);
        if (lastOf(net) < 0xffffffff) expect(contains(net, lastOf(net) + 1)).toBe(false);
      }),
    );
  });

  test('has hosts between its network and broadcast address; /31 and /32 have no such two', () => {
    const net = { base: addressNumber('10.0.0.8'), prefix: 30 };
    const hosts = (size: Parameters<typeof isHostOf>[0]) =>
      [7, 8, 9, 10, 11, 12].filter((last) => isHostOf(size, addressNumber(`10.0.0.${last}`)));
    expect(hosts(net)).toEqual([9, 10]);
    expect(hosts({ ...net, prefix: 31 })).toEqual([8, 9]);
    expect(hosts({ ...net, prefix: 32 })).toEqual([8]);
  });
});

describe('a range', () => {
  test('is one address, a last octet, or two addresses', () => {
    expect(expandRange('10.0.0.7')).toEqual(['10.0.0.7']);
    expect(expandRange('10.0.0.7-9')).toEqual(['10.0.0.7', '10.0.0.8', '10.0.0.9']);
    expect(expandRange('10.0.0.254-10.0.1.1')).toEqual(['10.0.0.254', '10.0.0.255', '10.0.1.0', '10.0.1.1']);
  });

  test.each([
    '10.0.0.7-',
    '10.0.0.7-6',
    '10.0.0.7-256',
    '10.0.0.7-08',
    '10.0.0.7-1.2',
    '10.0.0.7 - 9',
    '10.0.0.7-9-11',
    '-9',
    '',
    '10.0.0.0-10.0.16.0',
    '10.0.0.7-９',
  ])('is refused as %j', (text) => {
    expect(parseRange(text)).toBeUndefined();
    expect(expandRange(text)).toEqual([]);
    expect(rangeHolds(text, addressNumber('10.0.0.7'))).toBe(false);
  });

  test('of 4096 addresses is the largest', () => {
    expect(expandRange('10.0.0.0-10.0.15.255')).toHaveLength(4096);
    expect(parseRange('10.0.0.0-10.0.16.0')).toBeUndefined();
  });

  test('comes back from how it is written, and holds what it expands to and nothing else', () => {
    fc.assert(
      fc.property(fc.nat({ max: 0xffffffff - 100 }), fc.nat({ max: 60 }), (first, more) => {
        const last = first + more;
        const text = `${formatAddress(first)}-${formatAddress(last)}`;
        expect(parseRange(text)).toEqual({ first, last });
        expect(expandRange(text).map(addressNumber)).toEqual(Array.from({ length: more + 1 }, (_, i) => first + i));
        expect([first - 1, first, last, last + 1].map((n) => rangeHolds(text, n))).toEqual([false, true, true, false]);
        const short = `${formatAddress(first)}-${last & 255}`;
        expect(parseRange(short)).toEqual(first >>> 8 === last >>> 8 ? { first, last } : shortRange(first, last & 255));
      }),
    );
  });
});

/** What a last octet means when the real end is in another /24. */
function shortRange(first: number, octet: number): { first: number; last: number } | undefined {
  const last = (first & ~255) >>> 0;
  return last + octet < first ? undefined : { first, last: last + octet };
}

test('IPv6 is known as such: addresses, nets and ranges', () => {
  for (const text of ['::', '2001:db8::1', '2001:db8::/32', 'fe80::1-fe80::9', '::ffff:1.2.3.4']) {
    expect(looksLikeIPv6(text)).toBe(true);
  }
  for (const text of ['1.2.3.4', '10.0.0.0/8', '10.0.0.1-9', 'host', ':', '1:2', '']) {
    expect(looksLikeIPv6(text)).toBe(false);
  }
});
