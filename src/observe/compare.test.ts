import { describe, expect, test } from 'vitest';
import { compareLb } from './compare.ts';
import type { Wanted } from './comparison.ts';
import type { FindingCode } from './findings.ts';
import type { Findings, LbStatus, Observation, VirtualServer } from './model.ts';
import { first, recorded, second, wanting } from './testing/recorded.ts';
import type { Recorded } from './testing/recorded.ts';

type Read = Exclude<LbStatus, { state: 'unreachable' }>;

function compared(seen: Observation, wanted: Wanted): Read {
  const status = compareLb(wanted, seen);
  if (status.state === 'unreachable') throw new Error(status.error);
  return status;
}

/** `CODE OBJECT`, without the order. */
function told({ items }: Findings): string[] {
  return items.map(({ code, object }) => `${code} ${object}`).sort();
}

describe('an LB as it was recorded', () => {
  const wsDown = ['10.1.0.1', '10.1.0.2', '10.1.0.3'].flatMap((vip) => [
    `ws_down TCP ${vip}:80 10.200.0.1:80`,
    `ws_down UDP ${vip}:53 10.200.0.1:80`,
  ]);
  const byHand = [
    'routing_differs routing',
    'sysctl_differs net.ipv4.ip_forward',
    'source_nat_missing nat WEIR-LIPS',
    'firewall_differs raw OUTPUT',
    'lip_missing 10.0.0.100',
  ];
  const cases: { name: Recorded; wants: string; deviations: string[]; notes?: string[] }[] = [
    { name: 'untouched', wants: first, deviations: [`not_published ${first}`] },
    { name: 'published', wants: first, deviations: [`not_activated ${first}`] },
    { name: 'active', wants: first, deviations: [] },
    { name: 'active', wants: second, deviations: [`not_published ${second}`] },
    { name: 'published2', wants: second, deviations: [`not_activated ${second}`] },
    { name: 'reloaded', wants: second, deviations: [`reloaded_by_hand ${second}`] },
    { name: 'ws-down', wants: second, deviations: [`reloaded_by_hand ${second}`], notes: wsDown },
    {
      name: 'broken',
      wants: second,
      deviations: [
        ...byHand,
        `reloaded_by_hand ${second}`,
        ...['10.1.0.1', '10.1.0.2', '10.1.0.3'].map((vip) => `vip_announced_while_drained ${vip}`),
        'vip_extra 10.1.7.7',
        'service_missing TCP 10.1.0.1:80',
        'service_extra TCP 10.9.9.9:99',
      ],
      notes: [...wsDown.filter((note) => note !== 'ws_down TCP 10.1.0.1:80 10.200.0.1:80'), 'drained lb1.room1'],
    },
    {
      name: 'killed',
      wants: second,
      deviations: [
        ...byHand,
        'keepalived_down keepalived',
        'ospf_no_neighbour ospf',
        ...['10.1.0.2', '10.1.0.3', '10.1.7.7'].map((vip) => `vip_announced_without_servers ${vip}`),
      ],
      notes: ['drained lb1.room1'],
    },
  ];

  test.each(cases)('$name, where Weir wants $wants: $deviations', ({ name, wants, deviations, notes = [] }) => {
    const status = compared(recorded(name), wanting(wants));
    expect(told(status.deviations)).toEqual(deviations.sort());
    expect(told(status.notes)).toEqual(notes.sort());
    expect(status.deviations.total).toBe(deviations.length);
    expect(status.state).toBe(deviations.length > 0 ? 'deviates' : 'ok');
  });

  test('tells every layer apart', () => {
    const { published, loaded, kernel, drained } = compared(recorded('published2'), wanting(second));
    expect(published).toMatchObject({ release: second, active: first, revision: 2, verified: true, services: 6 });
    expect(loaded.keepalived).toMatchObject({ state: 'release', release: first, source: 'process' });
    expect(loaded.routing).toEqual({ state: 'published', differences: [] });
    expect(kernel).toMatchObject({
      against: first,
      services: { expected: 4, present: 4 },
      servers: { expected: 8, present: 8 },
      vips: { expected: 2, present: 2, high: 0 },
      lips: { expected: 2, present: 2 },
      ospf: { full: 1 },
    });
    expect(drained).toBeNull();
  });

  test('has its differences of routing listed, without keys', () => {
    const status = compared(recorded('broken'), wanting(second));
    expect(status.loaded.routing).toEqual({
      state: 'differs',
      differences: [
        '- interface eth0 > ip ospf cost 15',
        '+ interface eth0 > ip ospf cost 77',
        '+ interface eth0 > ip ospf message-digest-key 9 md5 ******',
      ],
    });
    expect(JSON.stringify(status)).not.toMatch(/S3cretKey8|Other/);
    expect(status.drained).toEqual({ origin: 'local', since: 1_700_000_000, reason: 'maintenance of the switch' });
  });

  test('lists every service where that is asked', () => {
    const { services } = compared(recorded('active'), wanting(first, { services: true }));
    expect(services).toHaveLength(4);
    expect(services?.[0]).toMatchObject({ servers: [{ weight: 100 }, { weight: 100 }] });
  });
});

describe('an active LB that is otherwise', () => {
  /** The recorded one with parts changed. */
  function seeing(parts: Partial<Observation> | ((seen: Observation) => Partial<Observation>)): Observation {
    const seen = recorded('active');
    return { ...seen, ...(typeof parts === 'function' ? parts(seen) : parts) };
  }

  function put<K, V>(map: ReadonlyMap<K, V>, key: K, value: V | undefined): Map<K, V> {
    const copy = new Map(map);
    if (value === undefined) copy.delete(key);
    else copy.set(key, value);
    return copy;
  }

  function withFile(name: string, line: string) {
    return ({ files }: Observation) => ({ files: put(files, name, line) });
  }

  function withService(key: string, change: (service: VirtualServer) => VirtualServer | undefined) {
    return ({ table }: Observation) => ({
      table: (table ?? []).flatMap((service) => (service.key === key ? (change(service) ?? []) : [service])),
    });
  }

  function withVip(vip: string, ...devices: string[]) {
    return ({ addresses }: Observation) => ({
      addresses: put(addresses, `${vip}/32`, devices.length > 0 ? devices : undefined),
    });
  }

  /** keepalived without the name that its configuration gives the checker. */
  const nameless = (seen: Observation) => ({
    processes: seen.processes.map((p) => (p.comm.startsWith('weir-') ? { ...p, comm: 'keepalived' } : p)),
  });
  const parentOnly = (seen: Observation) => ({ processes: seen.processes.filter((p) => p.comm === 'keepalived') });

  /** A kernel and keepalived that cannot tell what was loaded. */
  function fullnat(loaded: string | undefined) {
    return (seen: Observation): Partial<Observation> => ({
      ...nameless(seen),
      manifests: new Map([...seen.manifests].map(([folder, head]) => [folder, { ...head, dataplane: 'fullnat' }])),
      files: put(seen.files, 'loaded', loaded),
    });
  }

  function recordOf(seen: Observation, parts: { pid?: number; start?: number } = {}): string {
    const parent = seen.processes.find((p) => p.comm === 'keepalived');
    const loads = seen.manifests.get(first)?.loads;
    return `${loads} ${parts.pid ?? parent?.pid} ${parts.start ?? parent?.start} record`;
  }

  /** 10.1.0.1 by another policy. */
  function announcing(policy: string) {
    return ({ expected }: Observation): Partial<Observation> => ({
      expected: expected && {
        ...expected,
        servers: expected.servers.map((server) =>
          server.vip === '10.1.0.1' ? { ...server, announce: { policy, quorum: 1 } } : server,
        ),
      },
    });
  }

  /** The same LB with DPVS, by dpdk1: VIPs on both sides, no LIP on an interface, no chains. */
  function onDpvs(seen: Observation): Partial<Observation> {
    const vips = ['10.1.0.1/32', '10.1.0.2/32'];
    const texts = put(put(seen.texts, `${first}/host/iptables`, undefined), `${first}/host/addresses`, undefined);
    return {
      ...fullnat(recordOf(seen))(seen),
      manifests: new Map([...seen.manifests].map(([folder, head]) => [folder, { ...head, dataplane: 'dpvs' }])),
      texts: put(texts, `${first}/host/announce.conf`, 'dpvs dpdk1\n'),
      chains: undefined,
      addresses: new Map(vips.map((vip) => [vip, ['dpdk1.kni']])),
      dpdk: new Map(vips.map((vip) => [vip, ['dpdk1']])),
    };
  }

  const drop = (key: string) => withService(key, () => undefined);
  const empty = (key: string) => withService(key, (service) => ({ ...service, servers: [] }));
  const conf = '/etc/keepalived/keepalived.conf';
  const release = `/etc/weir/releases/${first}`;

  const cases: {
    name: string;
    seen: Parameters<typeof seeing>[0];
    deviations?: string[];
    notes?: string[];
    wanted?: Partial<Wanted>;
  }[] = [
    // published
    {
      name: 'with a keepalived.conf replaced by hand',
      seen: ({ live }) => ({ live: put(live, conf, 'a'.repeat(64)) }),
      deviations: [`edited_file ${conf}`],
    },
    {
      name: 'with a keepalived.conf that is a link',
      seen: ({ links }) => ({ links: put(links, conf, '/root/mine.conf') }),
      deviations: [`edited_file ${conf}`],
    },
    {
      name: 'with an frr.conf that was written by write memory',
      seen: ({ live }) => ({ live: put(live, '/etc/frr/frr.conf', 'b'.repeat(64)) }),
      deviations: ['edited_file /etc/frr/frr.conf'],
    },
    {
      name: 'with a changed, a missing and an extra file in the release',
      seen: ({ present }) => ({
        present: put(
          put(put(present, 'host/addresses', 'c'.repeat(64)), 'host/sysctl.conf', undefined),
          'keepalived/x.conf',
          'd'.repeat(64),
        ),
      }),
      deviations: [
        `edited_file ${release}/host/addresses`,
        `edited_file ${release}/host/sysctl.conf`,
        `edited_file ${release}/keepalived/x.conf`,
      ],
    },
    {
      name: 'with files that agree with a manifest that was changed along with them',
      seen: ({ present, listed }) => ({
        present: put(present, 'host/addresses', 'c'.repeat(64)),
        listed: put(listed, 'host/addresses', 'c'.repeat(64)),
      }),
      wanted: { filesOf: () => recorded('active').listed },
      deviations: [`edited_file ${release}/host/addresses`],
    },
    {
      name: 'without the announce helper',
      seen: ({ live, manifests }) => ({ live: put(live, `/etc/weir/bin/${manifests.get(first)?.helper}`, undefined) }),
      deviations: [`helper_missing /etc/weir/bin/${recorded('active').manifests.get(first)?.helper}`],
    },
    {
      name: 'whose original files were put back',
      seen: ({ files }) => ({ files: put(files, 'backup', undefined) }),
      deviations: [`not_published ${first}`],
    },
    {
      name: 'in the middle of an activation',
      seen: (seen) => ({
        files: put(seen.files, 'activating', `${first} backup ${seen.time + 20} 77 boot`),
        links: put(seen.links, '/etc/weir/active', undefined),
      }),
      deviations: [`activation_unconfirmed ${first}`],
    },
    {
      name: 'that undid an activation',
      seen: withFile('undone', `1700000000 ${second} ${first} verify: VIP 10.1.0.3 was announced before`),
      deviations: [`undone ${second}`],
    },
    {
      name: 'that undid its first activation, so that the original files are back',
      seen: (seen) => ({
        files: put(seen.files, 'undone', `1700000000 ${first} backup verify: no`),
        live: put(seen.live, conf, 'a'.repeat(64)),
        links: put(seen.links, '/etc/weir/active', undefined),
        ...nameless(seen),
      }),
      deviations: [`not_published ${first}`, `undone ${first}`],
    },
    { name: 'read without being root', seen: { root: false }, notes: ['limited_view user'] },
    // loaded
    { name: 'without keepalived', seen: { processes: [] }, deviations: ['keepalived_down keepalived', ...announced()] },
    {
      name: 'whose keepalived reads a configuration of others',
      seen: nameless,
      deviations: ['foreign_configuration keepalived'],
    },
    {
      name: 'whose keepalived found no virtual server',
      seen: parentOnly,
      deviations: ['foreign_configuration keepalived'],
    },
    {
      name: 'whose keepalived loaded a release that is gone',
      seen: ({ processes }) => ({
        processes: processes.map((p) => (p.comm.startsWith('weir-') ? { ...p, comm: 'weir-0000000000' } : p)),
      }),
      deviations: ['foreign_configuration keepalived'],
    },
    {
      name: 'that nobody activated',
      seen: ({ links }) => ({ links: put(links, '/etc/weir/active', undefined) }),
      deviations: [`reloaded_by_hand ${first}`],
    },
    {
      name: 'whose published release differs from the active one in host settings only',
      seen: (seen) => {
        const head = seen.manifests.get(first);
        if (!head) throw new Error('no manifest');
        return {
          manifests: put(seen.manifests, 'feed', head),
          links: put(seen.links, '/etc/weir/active', 'releases/feed'),
          texts: new Map([...seen.texts].map(([path, text]) => [path.replace(first, 'feed'), text])),
        };
      },
      deviations: [`not_activated ${first}`],
    },
    {
      name: 'of fullnat that was activated by Weir',
      seen: (seen) => fullnat(recordOf(seen))(seen),
    },
    {
      name: 'of fullnat that was restarted since',
      seen: (seen) => fullnat(recordOf(seen, { pid: 1 }))(seen),
      notes: ['loaded_unknown keepalived'],
    },
    {
      name: 'of fullnat whose pid was used again',
      seen: (seen) => fullnat(recordOf(seen, { start: 1 }))(seen),
      notes: ['loaded_unknown keepalived'],
    },
    {
      name: 'without routing daemons',
      seen: { routing: { failed: 'Exiting: failed to connect to any daemons.' }, neighbours: [] },
      deviations: ['routing_down routing'],
    },
    { name: 'without vtysh', seen: { routing: undefined, neighbours: [] } },
    // kernel
    {
      name: 'whose neighbour is not Full',
      seen: { neighbours: [{ id: '10.0.0.254', address: '10.0.0.254', state: 'Init/DROther', interface: 'eth0' }] },
      deviations: ['ospf_no_neighbour ospf'],
    },
    {
      name: 'that lost a service',
      seen: drop('TCP 10.1.0.1:80'),
      deviations: ['service_missing TCP 10.1.0.1:80'],
    },
    {
      name: 'without IPVS',
      seen: { table: undefined },
      deviations: ['service_missing ip_vs'],
    },
    {
      name: 'with another scheduler',
      seen: withService('TCP 10.1.0.1:80', (service) => ({ ...service, scheduler: 'rr' })),
      deviations: ['service_differs TCP 10.1.0.1:80'],
    },
    {
      name: 'without persistence',
      seen: withService('TCP 10.1.0.1:80', (service) => ({ ...service, persistent: false })),
      deviations: ['service_differs TCP 10.1.0.1:80'],
    },
    {
      name: 'with another weight and a WS too many',
      seen: withService('TCP 10.1.0.1:80', (service) => ({
        ...service,
        servers: [
          ...service.servers.map((s, i) => (i === 0 ? { ...s, weight: 7 } : s)),
          { key: '10.9.9.9:80', weight: 1, active: 0, inactive: 0 },
        ],
      })),
      deviations: [
        'server_extra TCP 10.1.0.1:80 10.9.9.9:80',
        `weight_differs TCP 10.1.0.1:80 ${recorded('active').table?.find((s) => s.key === 'TCP 10.1.0.1:80')?.servers[0]?.key}`,
      ],
    },
    {
      name: 'with a VIP that is served and not announced',
      seen: withVip('10.1.0.1'),
      deviations: ['vip_not_announced 10.1.0.1'],
    },
    {
      name: 'with a VIP that is served and announced at high cost only',
      seen: withVip('10.1.0.1', 'weir-high'),
      deviations: ['vip_not_announced 10.1.0.1'],
    },
    {
      name: 'with a VIP announced at low cost although one port is not served, by policy degrade',
      seen: empty('UDP 10.1.0.1:53'),
      deviations: ['vip_announced_without_servers 10.1.0.1'],
      notes: unserved('UDP 10.1.0.1:53'),
    },
    {
      name: 'with the same VIP at high cost',
      seen: (seen) => ({ ...empty('UDP 10.1.0.1:53')(seen), ...withVip('10.1.0.1', 'weir-high')(seen) }),
      notes: unserved('UDP 10.1.0.1:53'),
    },
    {
      name: 'with a VIP that is not served and announced',
      seen: (seen) => empty('UDP 10.1.0.1:53')({ ...seen, ...empty('TCP 10.1.0.1:80')(seen) }),
      deviations: ['vip_announced_without_servers 10.1.0.1'],
      notes: [...unserved('UDP 10.1.0.1:53'), ...unserved('TCP 10.1.0.1:80')].sort(),
    },
    {
      name: 'with a VIP that is neither served nor announced',
      seen: (seen) => ({
        ...empty('UDP 10.1.0.1:53')({ ...seen, ...empty('TCP 10.1.0.1:80')(seen) }),
        ...withVip('10.1.0.1')(seen),
      }),
      notes: [...unserved('UDP 10.1.0.1:53'), ...unserved('TCP 10.1.0.1:80')].sort(),
    },
    {
      name: 'with addresses on lo that are none of the VIP nets',
      seen: withVip('192.0.2.1', 'lo'),
    },
    {
      name: 'that is drained, its VIPs withdrawn',
      seen: (seen) => ({
        files: put(seen.files, 'drain', 'weir 1700000000 by the document'),
        addresses: put(put(seen.addresses, '10.1.0.1/32', undefined), '10.1.0.2/32', undefined),
      }),
      notes: ['drained lb1.room1'],
      wanted: { desired: { release: first, revision: 2, state: 'drain' } },
    },
    {
      name: 'that the document drains and nobody did',
      seen: {},
      deviations: ['not_drained lb1.room1'],
      wanted: { desired: { release: first, revision: 2, state: 'drain' } },
    },
    {
      name: 'with a LIP on the wrong interface',
      seen: ({ addresses }) => ({ addresses: put(addresses, '10.0.0.110/32', ['lo']) }),
      deviations: ['lip_missing 10.0.0.110'],
    },
    {
      name: 'with a sysctl that its kernel lacks',
      seen: ({ sysctls }) => ({ sysctls: put(sysctls, 'net.ipv4.vs.conntrack', undefined) }),
      deviations: ['sysctl_differs net.ipv4.vs.conntrack'],
    },
    {
      name: 'without iptables',
      seen: { chains: undefined },
      deviations: [
        'firewall_differs raw OUTPUT',
        'firewall_differs raw PREROUTING',
        'firewall_differs raw WEIR-RAW',
        'source_nat_missing nat POSTROUTING',
        'source_nat_missing nat WEIR-LIPS',
        'source_nat_missing nat WEIR-POSTROUTING',
      ],
    },
    {
      name: 'with a chain of ours that the release does not declare',
      seen: ({ chains }) => ({ chains: put(chains ?? new Map(), 'filter WEIR-SYN', ['-j DROP']) }),
      deviations: ['firewall_differs filter WEIR-SYN'],
    },
    {
      name: 'whose release has chains for each of the kernel’s, and a jump is missing',
      seen: ({ chains, texts }) => ({
        texts: put(
          texts,
          `${first}/host/iptables`,
          `${texts.get(`${first}/host/iptables`)}*filter\n:WEIR-INPUT - [0:0]\nCOMMIT\n`,
        ),
        chains: put(chains ?? new Map(), 'filter WEIR-INPUT', []),
      }),
      deviations: ['firewall_differs filter INPUT'],
    },
    {
      name: 'with a VIP that is to be announced never and is so',
      seen: (seen) => announcing('none')(seen),
      deviations: ['vip_extra 10.1.0.1'],
    },
    {
      name: 'with a VIP that is announced never, and is not',
      seen: (seen) => ({ ...announcing('none')(seen), ...withVip('10.1.0.1')(seen) }),
    },
    // dpvs
    { name: 'of dpvs as it should be', seen: (seen) => onDpvs(seen) },
    {
      name: 'of dpvs whose DPVS has a VIP not, or on another device',
      seen: (seen) => ({ ...onDpvs(seen), dpdk: new Map([['10.1.0.1/32', ['dpdk0']]]) }),
      deviations: announced(),
    },
    {
      name: 'of dpvs whose dpip does not answer, which tells nothing',
      seen: (seen) => ({ ...onDpvs(seen), dpdk: undefined }),
    },
    {
      name: 'of dpvs with VIPs where another data plane has them',
      seen: (seen) => ({ ...onDpvs(seen), addresses: seen.addresses }),
      deviations: ['vip_not_announced 10.1.0.1', 'vip_not_announced 10.1.0.2'],
    },
    {
      name: 'of dpvs whose DPVS does not answer, and which announces all the same',
      seen: (seen) => ({ ...onDpvs(seen), table: undefined, dpdk: undefined }),
      deviations: ['service_missing ip_vs', ...announced()],
    },
    {
      name: 'of dpvs without a VIP',
      seen: (seen) => {
        const there = onDpvs(seen);
        return { ...there, addresses: put(there.addresses ?? new Map(), '10.1.0.1/32', undefined) };
      },
      deviations: ['vip_not_announced 10.1.0.1'],
    },
    {
      name: 'with a LIP less in source NAT',
      seen: ({ chains }) => ({ chains: put(chains ?? new Map(), 'nat WEIR-LIPS', ['-j SNAT --to-source 10.0.0.100']) }),
      deviations: ['firewall_differs nat WEIR-LIPS'],
    },
  ];

  test.each(cases)('$name', ({ seen, deviations = [], notes = [], wanted = {} }) => {
    const status = compared(seeing(seen), wanting(first, wanted));
    expect(told(status.deviations)).toEqual(deviations.sort());
    expect(told(status.notes)).toEqual(notes.sort());
  });

  function announced(): string[] {
    return ['10.1.0.1', '10.1.0.2'].map((vip) => `vip_announced_without_servers ${vip}`);
  }

  function unserved(service: string): string[] {
    return [`service_unserved ${service}`, `ws_down ${service} 10.200.0.0:80`, `ws_down ${service} 10.200.0.1:80`];
  }
});

test('findings name the cluster, the LB and what they are about in their hints', () => {
  const { deviations } = compared(recorded('broken'), wanting(second));
  const hintOf = (code: FindingCode) => deviations.items.find((f) => f.code === code)?.hint;
  expect(hintOf('reloaded_by_hand')).toContain('weir activate c --lb lb1.room1');
  expect(hintOf('vip_extra')).toContain('10.1.7.7/32');
  expect(deviations.items.filter((f) => /[{}]/.test(f.hint))).toEqual([]);
});

test('an LB of dpvs counts its VIPs by the interface of DPVS, and expects none that is announced never', () => {
  const seen = recorded('active');
  const texts = new Map(seen.texts).set(`${first}/host/announce.conf`, 'dpvs dpdk1\n');
  const servers = seen.expected?.servers.map((server) =>
    server.vip === '10.1.0.2' ? { ...server, announce: { policy: 'none', quorum: 1 } } : server,
  );
  const addresses = new Map([['10.1.0.1/32', ['dpdk1.kni']]]);
  const { kernel } = compared(
    { ...seen, texts, addresses, ...(servers ? { expected: { folder: first, servers } } : {}) },
    wanting(first),
  );
  expect(kernel.vips).toEqual({ expected: 1, present: 1, high: 0 });
});

test('only the first findings are listed, all are counted, and those of files stand before those of the kernel', () => {
  const { deviations } = compared(recorded('broken'), wanting(first, { limit: 3 }));
  expect(deviations.total).toBe(13);
  expect(deviations.items.map((f) => f.layer)).toEqual(['published', 'loaded', 'loaded']);
});
