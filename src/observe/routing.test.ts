import { expect, test } from 'vitest';
import { isFull, parseNeighbours, routingDifferences, routingLines } from './routing.ts';

const published = `! Rendered by Weir. Changes made here are named at the next publication.
frr defaults traditional
hostname lb1.room1
log syslog informational
!
interface v0
 ip ospf area 0.0.0.0
 ip ospf message-digest-key 8 md5 S3cretKey8
 ip ospf hello-interval 10
 ip ospf cost 15
 no ip ospf passive
exit
!
router ospf
 ospf router-id 10.20.0.11
 passive-interface default
 redistribute connected metric 100 metric-type 1 route-map VIP-OUT
exit
!
ip prefix-list VIPS seq 5 permit 10.50.0.0/24 ge 32 le 32
route-map VIP-OUT permit 10
 match interface lo
exit
route-map VIP-OUT deny 1000
exit
`;

// As FRR 8.4.4 prints it: other order, no defaults, and what it adds.
const running = `Building configuration...

Current configuration:
!
frr version 8.4.4
frr defaults traditional
hostname lb1.room1
log syslog informational
no ip forwarding
no ipv6 forwarding
hostname vm
service integrated-vtysh-config
!
interface v0
 ip ospf area 0.0.0.0
 ip ospf cost 15
 ip ospf message-digest-key 8 md5 S3cretKey8
 no ip ospf passive
exit
!
router ospf
 ospf router-id 10.20.0.11
 redistribute connected metric 100 metric-type 1 route-map VIP-OUT
 passive-interface default
exit
!
ip prefix-list VIPS seq 5 permit 10.50.0.0/24 ge 32 le 32
!
route-map VIP-OUT permit 10
 match interface lo
exit
!
route-map VIP-OUT deny 1000
exit
!
end
`;

test('a running configuration equals the file it was loaded from', () => {
  expect(routingDifferences(published, running)).toEqual([]);
});

test('Quagga names every interface of the machine, and its own lines', () => {
  const zebra = 'hostname lb1\nlog syslog informational\n!\n';
  const ospfd = 'hostname lb1\n!\ninterface em1\n ip ospf cost 15\n!\nrouter ospf\n ospf router-id 10.0.0.2\n!\n';
  const shown = `
Current configuration:
!
hostname lb1
log syslog informational
!
interface em1
 ip ospf cost 15
 ipv6 nd suppress-ra
!
interface em2
 ipv6 nd suppress-ra
!
interface lo
!
router ospf
 ospf router-id 10.0.0.2
!
ip forwarding
!
line vty
!
end
`;
  expect(routingDifferences(`${zebra}\n${ospfd}`, shown)).toEqual([]);
});

test('lines differ within their section, and keys are not shown', () => {
  const changed = running
    .replace(' ip ospf cost 15\n', ' ip ospf cost 16\n')
    .replace('md5 S3cretKey8', 'md5 Another')
    .replace(' match interface lo\n', '')
    .replace('exit\n!\nrouter ospf', 'exit\n!\ninterface v1\n ip ospf cost 15\nexit\n!\nrouter ospf');
  expect(routingDifferences(published, changed)).toEqual([
    '- interface v0 > ip ospf message-digest-key 8 md5 ******',
    '- interface v0 > ip ospf cost 15',
    '- route-map VIP-OUT permit 10 > match interface lo',
    '+ interface v0 > ip ospf cost 16',
    '+ interface v0 > ip ospf message-digest-key 8 md5 ******',
    '+ interface v1 > ip ospf cost 15',
  ]);
});

test('a passive uplink is a difference', () => {
  expect(routingDifferences(published, running.replace(' no ip ospf passive\n', ''))).toEqual([
    '- interface v0 > no ip ospf passive',
  ]);
});

test('a default that is written out is no difference, another value is', () => {
  expect(routingLines('interface a\n ip ospf hello-interval 10\n')).toEqual(new Set());
  expect(routingDifferences('interface a\n ip ospf hello-interval 3\n', 'interface a\n')).toEqual([
    '- interface a > ip ospf hello-interval 3',
  ]);
});

test('neighbours are read from the JSON of FRR', () => {
  const text = `{ "neighbors":{ "10.20.0.1":[ { "priority":1, "state":"Full\\/DR", "nbrState":"Full\\/DR",
    "address":"10.20.0.1", "ifaceAddress":"10.20.0.1", "ifaceName":"v0:10.20.0.11" } ] } }`;
  const neighbours = parseNeighbours(text);
  expect(neighbours).toEqual([{ id: '10.20.0.1', state: 'Full/DR', address: '10.20.0.1', interface: 'v0' }]);
  expect(neighbours.filter(isFull)).toHaveLength(1);
  expect(parseNeighbours('{ "neighbors": {} }')).toEqual([]);
  expect(parseNeighbours('{ torn')).toEqual([]);
});

test('neighbours are read from the tables of FRR and Quagga', () => {
  const frr = `
Neighbor ID     Pri State           Up Time         Dead Time Address         Interface                        RXmtL RqstL DBsmL
10.20.0.1         1 Full/DR         1.379s             3.620s 10.20.0.1       v0:10.20.0.11                        1     0     0
`;
  const quagga = `
    Neighbor ID Pri State           Dead Time Address         Interface            RXmtL RqstL DBsmL
60.29.246.185     1 Full/DR           10.123s 60.29.246.185   em1:60.29.246.186        0     0     0
60.29.246.190     0 2-Way/DROther     11.002s 60.29.246.190   em1:60.29.246.186        0     0     0
`;
  expect(parseNeighbours(frr)).toEqual([{ id: '10.20.0.1', state: 'Full/DR', address: '10.20.0.1', interface: 'v0' }]);
  expect(parseNeighbours(quagga).map((n) => `${n.address} ${n.state} ${n.interface}`)).toEqual([
    '60.29.246.185 Full/DR em1',
    '60.29.246.190 2-Way/DROther em1',
  ]);
  expect(parseNeighbours(quagga).filter(isFull)).toHaveLength(1);
});
