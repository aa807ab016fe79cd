import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseExpected, parseTable, placeOf, sumConnections } from './ipvs.ts';
import type { VirtualServer } from './model.ts';

describe('the IPVS table', () => {
  // From a kernel 6.1.
  const proc = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
UDP  0A320001:0035 rr${'  '}
  -> 0A1E000B:0035      Masq    1      0          0${'         '}
TCP  0A320001:0050 wrr  persistent 5000 FFFFFFFF
  -> 0A1E000C:1F90      Masq    0      0          0${'         '}
  -> 0A1E0001:1F90      Masq    100    17         1${'         '}
TCP  0A320003:01BB wlc${'  '}
TCP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0050 rr${' '}
  -> [2001:0db8:0000:0000:0000:0000:0000:0002]:0050      Masq    1      0          0${'         '}
FWM  00000005 rr${' '}
  -> 0A1E0009:0050      Masq    1      0          0${'         '}
`;

  test('is read with its servers, without services of IPv6 and of firewall marks', () => {
    expect(parseTable(proc.split('\n'))).toEqual([
      {
        key: 'UDP 10.50.0.1:53',
        protocol: 'UDP',
        vip: '10.50.0.1',
        port: 53,
        scheduler: 'rr',
        persistent: false,
        servers: [{ key: '10.30.0.11:53', weight: 1, active: 0, inactive: 0 }],
      },
      {
        key: 'TCP 10.50.0.1:80',
        protocol: 'TCP',
        vip: '10.50.0.1',
        port: 80,
        scheduler: 'wrr',
        persistent: true,
        servers: [
          { key: '10.30.0.12:8080', weight: 0, active: 0, inactive: 0 },
          { key: '10.30.0.1:8080', weight: 100, active: 17, inactive: 1 },
        ],
      },
      expect.objectContaining({ key: 'TCP 10.50.0.3:443', servers: [] }),
    ]);
  });

  test('has its addresses decoded whatever they are', () => {
    const part = fc.integer({ min: 0, max: 255 });
    fc.assert(
      fc.property(fc.tuple(part, part, part, part), fc.integer({ min: 0, max: 65535 }), (parts, port) => {
        const hex = parts.map((p) => p.toString(16).padStart(2, '0')).join('');
        const line = `TCP  ${hex.toUpperCase()}:${port.toString(16).padStart(4, '0').toUpperCase()} rr  `;
        expect(parseTable([line])[0]?.key).toBe(`TCP ${parts.join('.')}:${port}`);
      }),
    );
  });
});

describe('what a release wants', () => {
  test('is read from groups and from services of their own', () => {
    const lines = `virtual_server_group 10.1.0.1_80
address 10.1.0.1 80
virtual_server group 10.1.0.1_80
lb_algo wrr
protocol TCP
persistence_timeout 50
quorum 1
    quorum_up "/etc/weir/bin/announce-ab9106c38877 10.1.0.1 degrade 7"
real_server 10.200.0.0 8080
weight 100
real_server 10.200.0.1 8080
weight 0
virtual_server 10.1.0.2 53
lb_algo rr
protocol UDP
real_server 10.200.0.0 53`.split('\n');
    expect(parseExpected(lines)).toEqual([
      {
        key: 'TCP 10.1.0.1:80',
        protocol: 'TCP',
        vip: '10.1.0.1',
        port: 80,
        scheduler: 'wrr',
        persistent: true,
        announce: { policy: 'degrade', quorum: 7 },
        servers: [
          { key: '10.200.0.0:8080', weight: 100 },
          { key: '10.200.0.1:8080', weight: 0 },
        ],
      },
      {
        key: 'UDP 10.1.0.2:53',
        protocol: 'UDP',
        vip: '10.1.0.2',
        port: 53,
        scheduler: 'rr',
        persistent: false,
        announce: undefined,
        servers: [{ key: '10.200.0.0:53', weight: 1 }],
      },
    ]);
  });
});

describe('the place of a VIP', () => {
  function ports(...weights: number[]): VirtualServer[] {
    return weights.map((weight, i) => ({
      key: `TCP 10.1.0.1:${i}`,
      protocol: 'TCP',
      vip: '10.1.0.1',
      port: i,
      scheduler: 'rr',
      persistent: false,
      servers: weight === 0 ? [] : [{ key: '10.2.0.1:80', weight, active: 0, inactive: 0 }],
    }));
  }

  const cases: [announce: { policy: string; quorum: number }, weights: number[], place: string][] = [
    [{ policy: 'none', quorum: 1 }, [1, 1], ''],
    [{ policy: 'any', quorum: 1 }, [1, 0], 'lo'],
    [{ policy: 'any', quorum: 1 }, [0, 0], ''],
    [{ policy: 'any', quorum: 10 }, [5, 9], ''],
    [{ policy: 'any', quorum: 10 }, [5, 10], 'lo'],
    [{ policy: 'any', quorum: 1 }, [], ''],
    [{ policy: 'all', quorum: 1 }, [1, 1], 'lo'],
    [{ policy: 'all', quorum: 1 }, [1, 0], ''],
    [{ policy: 'degrade', quorum: 1 }, [1, 1], 'lo'],
    [{ policy: 'degrade', quorum: 1 }, [1, 0], 'weir-high'],
    [{ policy: 'degrade', quorum: 1 }, [0, 0], ''],
  ];
  test.each(cases)('by %j and ports of weight %j is "%s"', (announce, weights, place) => {
    expect(placeOf(announce, ports(...weights), 'lo')).toBe(place);
    expect(placeOf(announce, ports(...weights), 'dpdk1.kni')).toBe(place === 'lo' ? 'dpdk1.kni' : place);
  });
});

test('a VIP that is announced never is read from its release', () => {
  const lines = [
    'virtual_server 10.1.0.1 80',
    'protocol TCP',
    'quorum_up "/etc/weir/bin/announce-ab91 10.1.0.1 none 1"',
  ];
  expect(parseExpected(lines)[0]?.announce).toEqual({ policy: 'none', quorum: 1 });
});

describe('connections of a WS', () => {
  test('are summed over its ports', () => {
    const rows = ['0A320001:0050 0A1E0001:1F90 0 3 40', '0A320001:01BB 0A1E0001:20FB 0 4 2'];
    expect(
      sumConnections(rows, ['10.50.0.1:80 10.30.0.1:8080 5', '10.50.0.1:443 10.30.0.1:8443 1', 'complete']),
    ).toEqual({
      active: 7,
      inactive: 42,
      persistent: 6,
      servers: 2,
    });
    expect(sumConnections([], ['complete'])).toEqual({ active: 0, inactive: 0, persistent: 0, servers: 0 });
  });

  test('have an unknown number of persistence entries where ipvsadm is not there, or did not end well', () => {
    expect(sumConnections([], undefined).persistent).toBeNull();
    expect(sumConnections([], []).persistent).toBeNull();
    expect(sumConnections([], ['10.50.0.1:80 10.30.0.1:8080 5']).persistent).toBeNull();
  });
});
