import { expect, test } from 'vitest';
import { jumpsTo, parseAddresses, parseChains, parseDpdk, wantedAddresses } from './host.ts';

test('addresses are read with every interface that has them', () => {
  const lines = String.raw`1: lo    inet 127.0.0.1/8 scope host lo\       valid_lft forever preferred_lft forever
1: lo    inet 10.50.0.1/32 scope global lo\       valid_lft forever preferred_lft forever
3: eth0@if4    inet 10.30.0.1/24 brd 10.30.0.255 scope global eth0\       valid_lft forever preferred_lft forever
4: weir-high    inet 10.50.0.1/32 scope global weir-high\       valid_lft forever preferred_lft forever
5: tun0    inet 10.9.0.1 peer 10.9.0.2/32 scope global tun0\       valid_lft forever preferred_lft forever`;
  expect(Object.fromEntries(parseAddresses(lines.split('\n')))).toEqual({
    '127.0.0.1/8': ['lo'],
    '10.50.0.1/32': ['lo', 'weir-high'],
    '10.30.0.1/24': ['eth0'],
    '10.9.0.1/32': ['tun0'],
  });
});

test('LIPs of a release are what it puts on interfaces', () => {
  expect(wantedAddresses('addr replace 10.0.0.1/32 dev em1\naddr replace 10.0.0.2/32 dev em2\n')).toEqual([
    { address: '10.0.0.1/32', device: 'em1' },
    { address: '10.0.0.2/32', device: 'em2' },
  ]);
});

test('our chains and the jumps into them are found among the rules of others, in the legacy tables too', () => {
  const nft = `*nat
:DOCKER - [0:0]
-A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE
COMMIT`;
  const legacy = `*raw
:PREROUTING ACCEPT [0:0]
:WEIR-RAW - [0:0]
-A PREROUTING -j WEIR-RAW
COMMIT
*nat
:WEIR-LIPS - [0:0]
:WEIR-POSTROUTING - [0:0]
-A POSTROUTING -j WEIR-POSTROUTING
-A WEIR-LIPS -p tcp  -m statistic --mode nth --every 2 --packet 0 -j SNAT --to-source 10.60.0.1
-A WEIR-LIPS -p tcp -j SNAT --to-source 10.60.0.2
COMMIT`;
  expect(Object.fromEntries(parseChains([nft.split('\n'), legacy.split('\n')]))).toEqual({
    'raw WEIR-RAW': [],
    'raw PREROUTING': ['-j WEIR-RAW'],
    'nat WEIR-LIPS': [
      '-p tcp -m statistic --mode nth --every 2 --packet 0 -j SNAT --to-source 10.60.0.1',
      '-p tcp -j SNAT --to-source 10.60.0.2',
    ],
    'nat WEIR-POSTROUTING': [],
    'nat POSTROUTING': ['-j WEIR-POSTROUTING'],
  });
});

test('the jumps of a release are those to chains that are named like one of the kernel’s', () => {
  expect(
    jumpsTo(['nat WEIR-LIPS', 'nat WEIR-POSTROUTING', 'raw WEIR-RAW', 'filter WEIR-INPUT', 'filter WEIR-RAW']),
  ).toEqual([
    ['nat POSTROUTING', 'WEIR-POSTROUTING'],
    ['raw PREROUTING', 'WEIR-RAW'],
    ['raw OUTPUT', 'WEIR-RAW'],
    ['filter INPUT', 'WEIR-INPUT'],
  ]);
});

test('addresses of DPVS are read with every device that has them', () => {
  const lines = `inet 10.50.0.1/32 scope global dpdk1${' '}
    valid_lft forever preferred_lft forever
inet 10.50.0.1/32 scope global dpdk0${' '}
    valid_lft forever preferred_lft forever
inet 10.60.0.1/32 scope global dpdk0 broadcast 10.60.0.255
    valid_lft forever preferred_lft forever sa_used 0 sa_free 1032176 sa_miss 0
inet6 2001:db8::1/64 scope global dpdk0${' '}
    valid_lft forever preferred_lft forever`;
  expect(Object.fromEntries(parseDpdk(lines.split('\n')) ?? [])).toEqual({
    '10.50.0.1/32': ['dpdk1', 'dpdk0'],
    '10.60.0.1/32': ['dpdk0'],
  });
  expect(parseDpdk(['absent'])).toBeUndefined();
  expect(parseDpdk(undefined)).toBeUndefined();
});
