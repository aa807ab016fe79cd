/** Activation on an LB whose daemons are played: what the agent does in which step, and what it leaves. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { doctored } from '../src/publish/testing.ts';
import { openTestHosts } from '../src/remote/test-hosts.ts';
import type { TestHosts } from '../src/remote/test-hosts.ts';
import { noHosts, title } from './testing/edge.ts';
import { sh } from './testing/machine.ts';
import { lbRelease, playLb } from './testing/played-lb.ts';
import type { PlayedLb, Shell } from './testing/played-lb.ts';

const allSteps = ['connect', 'lock', 'check', 'guard', 'host', 'keepalived', 'routing', 'verify', 'confirm'];

describe.skipIf(noHosts).concurrent(title('activation'), { timeout: 60_000 }, () => {
  let hosts: TestHosts;
  let count = 0;

  beforeAll(async () => {
    hosts = await openTestHosts();
  });
  afterAll(() => hosts?.close());

  function fresh(shell?: Shell): Promise<PlayedLb> {
    return playLb(hosts, `lb${++count}`, shell);
  }

  /** An LB with an activated release, whose programs have told all that they had to tell. */
  async function activated(release = lbRelease(), shell?: Shell): Promise<PlayedLb> {
    const lb = await fresh(shell);
    expect(await lb.publish(release)).toMatchObject({ state: 'published' });
    expect(await lb.activate(release)).toMatchObject({ state: 'activated', message: '' });
    for (const file of ['keepalived.log', 'frr.log', 'modules'] as const) lb.told(file);
    return lb;
  }

  async function next(lb: PlayedLb, parts: Parameters<typeof lbRelease>[0]) {
    const release = lbRelease(parts);
    expect(await lb.publish(release)).toMatchObject({ state: 'published' });
    return release;
  }

  test.for(['dash', 'bash', 'busybox'] as const)(
    'publishing changes nothing that runs, the first activation everything, the next one nothing (%s)',
    async (shell) => {
      const lb = await fresh(shell);
      const release = lbRelease();
      const { live: liveBefore, ...before } = await lb.see();
      expect(await lb.publish(release)).toMatchObject({ state: 'published', warnings: [] });
      const published = await lb.see();
      const links = { current: release.id, active: '', previous: '' };
      expect(published).toEqual({ ...before, links, live: published.live, routing: 'other' });
      expect(published.live).not.toEqual(liveBefore);

      const first = await lb.activate(release);
      expect(first).toMatchObject({ state: 'activated', message: '', steps: allSteps });
      expect(first.warnings).toEqual([expect.stringContaining('add it to /etc/rc.local')]);
      expect(await lb.see()).toEqual({
        ...published,
        links: { current: release.id, active: release.id, previous: 'backup' },
        addresses: [
          ...['10.0.0.101', '10.0.0.102', '10.0.0.103', '10.0.0.104'].map((lip) => `${lip}/32 eth0`),
          ...['10.1.0.1', '10.1.0.2', '10.1.0.3'].map((vip) => `${vip}/32 lo`),
        ],
        sysctls: {
          'net.ipv4.ip_forward': '1',
          'net.ipv4.conf.all.rp_filter': '2',
          'net.ipv4.conf.all.arp_ignore': '1',
          'net.ipv4.conf.all.arp_announce': '2',
          'net.ipv4.vs.conntrack': '1',
          'net.ipv4.vs.expire_nodest_conn': '1',
          'net.ipv4.vs.expire_quiescent_template': '1',
          'net.netfilter.nf_conntrack_max': '1048576',
          'net.core.netdev_max_backlog': '1000',
          'net.netfilter.nf_conntrack_tcp_loose': '1',
          'net.ipv4.tcp_syncookies': '0',
          'net.ipv4.tcp_timestamps': '1',
        },
        chains: [
          'nat -A POSTROUTING -j WEIR-POSTROUTING',
          'nat :WEIR-LIPS',
          'nat -A WEIR-LIPS -m statistic --mode nth --every 4 --packet 0 -j SNAT --to-source 10.0.0.101 --random-fully',
          'nat -A WEIR-LIPS -m statistic --mode nth --every 3 --packet 0 -j SNAT --to-source 10.0.0.102 --random-fully',
          'nat -A WEIR-LIPS -m statistic --mode nth --every 2 --packet 0 -j SNAT --to-source 10.0.0.103 --random-fully',
          'nat -A WEIR-LIPS -j SNAT --to-source 10.0.0.104 --random-fully',
          'nat :WEIR-POSTROUTING',
          'nat -A WEIR-POSTROUTING -m ipvs --vdir ORIGINAL --vmethod MASQ -j WEIR-LIPS',
          'raw -A OUTPUT -j WEIR-OUTPUT',
          'raw -A PREROUTING -j WEIR-PREROUTING',
          'raw :WEIR-OUTPUT',
          'raw -A WEIR-OUTPUT -p ospf -j CT --notrack',
          'raw :WEIR-PREROUTING',
          'raw -A WEIR-PREROUTING -p ospf -j CT --notrack',
          'raw -A WEIR-PREROUTING -d 10.1.0.0/16 -i eth0 -m addrtype --dst-type UNICAST -j DROP',
        ],
        loaded: release.loads,
        services: ['TCP  0A010001:0050', 'TCP  0A010002:0050', 'TCP  0A010003:0050'],
        routing: 'as the live file',
      });
      expect(lb.told('modules')).toContain('ip_vs conn_tab_bits=20');
      expect(lb.told('keepalived.log')).toEqual([
        'started /usr/local/sbin/keepalived ',
        `loaded weir-${release.loads}`,
      ]);
      expect(lb.told('frr.log')).toEqual(['changed']);

      const after = await lb.see();
      expect(await lb.activate(release)).toMatchObject({ state: 'unchanged', message: '', steps: allSteps });
      expect(await lb.see()).toEqual(after);
      expect(lb.told('keepalived.log')).toEqual([]);
      expect(lb.told('frr.log')).toEqual([]);
    },
  );

  test.for(['dash', 'bash', 'busybox'] as const)('a changed VIP is one reload of keepalived (%s)', async (shell) => {
    const first = lbRelease();
    const lb = await activated(first, shell);
    const before = await lb.see();
    const second = await next(lb, { vips: 2, path: '/second' });
    expect(await lb.activate(second)).toMatchObject({ state: 'activated', message: '' });
    expect(lb.told('keepalived.log')).toEqual(['HUP', `loaded weir-${second.loads}`]);
    expect(lb.told('frr.log')).toEqual([]);
    expect(await lb.see()).toEqual({
      ...before,
      links: { current: second.id, active: second.id, previous: first.id },
      addresses: before.addresses.filter((a) => !a.startsWith('10.1.0.3/')),
      loaded: second.loads,
      services: before.services.slice(0, 2),
    });
  });

  test('FRR that runs nothing yet reads the file whole, and any other changes by the difference', async () => {
    const first = lbRelease();
    const lb = await activated(first);
    const running = async (more: string, end = 'end\n'): Promise<void> => {
      const head =
        'Building configuration...\n\nCurrent configuration:\n!\nfrr version 8.4.4\nfrr defaults traditional\n';
      const text = `${head}hostname other\nservice integrated-vtysh-config\n${more}!\n${end}`;
      await sh(lb.host, 'printf "%s" "$1" >/run/played/frr.running', text);
    };
    for (const [more, told] of [
      ['', 'whole'],
      ['interface eth0\nexit\n', 'changed'],
      ['router ospf\nexit\n', 'changed'],
      ['log file /tmp/frr.log\n', 'changed'],
      ['ip route 10.9.0.0/16 Null0\n', 'changed'],
    ] as const) {
      await running(more);
      expect(await lb.activate(first), more).toMatchObject({ message: '' });
      expect(lb.told('frr.log'), more).toEqual([told]);
      expect(await lb.see()).toMatchObject({ routing: 'as the live file' });
    }
    // an answer that breaks off says nothing of what runs
    await running('', '');
    expect(await lb.activate(first)).toMatchObject({ message: '' });
    expect(lb.told('frr.log')).toEqual(['changed']);
  });

  test('where routing alone changed, keepalived is left alone and FRR changes by the difference', async () => {
    const lb = await activated();
    const before = await lb.see();
    const second = await next(lb, { cost: 20 });
    expect(await lb.see()).toMatchObject({ routing: 'other' });
    expect(await lb.activate(second)).toMatchObject({ state: 'activated' });
    expect(lb.told('keepalived.log')).toEqual([]);
    expect(lb.told('frr.log')).toEqual(['changed']);
    expect(await lb.see()).toMatchObject({ loaded: before.loaded, routing: 'as the live file' });
  });

  test('FRR whose running configuration was changed by hand is brought back to its file', async () => {
    const lb = await activated();
    await sh(lb.host, 'echo "ip route 10.9.0.0/16 Null0" >>/run/played/frr.running');
    expect(await lb.see()).toMatchObject({ routing: 'other' });
    expect(await lb.activate(lbRelease())).toMatchObject({ state: 'unchanged', message: '' });
    expect(lb.told('frr.log')).toEqual(['changed']);
    expect(await lb.see()).toMatchObject({ routing: 'as the live file' });
  });

  test.for(['dash', 'bash', 'busybox'] as const)(
    'a release with BFD is published with a warning where bfdd does not run, and activated as soon as it does (%s)',
    async (shell) => {
      const lb = await activated(lbRelease(), shell);
      const second = lbRelease({ bfd: true });
      const bfddIsMissing = expect.stringContaining('set bfdd=yes in /etc/frr/daemons and reload FRR');
      expect(await lb.publish(second)).toMatchObject({ state: 'published', warnings: [bfddIsMissing] });
      const published = await lb.see();
      expect(await lb.activate(second)).toMatchObject({ state: 'failed', step: 'check', message: bfddIsMissing });
      expect(await lb.see()).toEqual(published);
      lb.tell('bfdd', '');
      expect(await lb.activate(second)).toMatchObject({
        state: 'activated',
        message: '',
        warnings: [expect.any(String)],
      });
      expect(lb.told('frr.log')).toEqual(['changed']);
      expect(await lb.see()).toMatchObject({ routing: 'as the live file' });
    },
  );

  test('new LIPs come before the checks, and old ones go after them', async () => {
    const lb = await activated(lbRelease({ lips: ['10.0.0.101', '10.0.0.102'] }));
    await sh(lb.host, 'ip addr add 10.0.0.103/32 dev eth0');
    const second = await next(lb, { lips: ['10.0.0.102', '10.0.0.103', '10.0.0.104'], cost: 20 });
    lb.told('asked.log');
    expect(await lb.activate(second)).toMatchObject({ state: 'activated' });
    const both = '10.0.0.1/24 10.0.0.101/32 10.0.0.102/32 10.0.0.103/32 10.0.0.104/32 ';
    const [atFirst, ...later] = lb.told('asked.log');
    expect(atFirst).toBe('10.0.0.1/24 10.0.0.101/32 10.0.0.102/32 10.0.0.103/32 ');
    expect([...new Set(later)]).toEqual([both]);
    expect((await lb.see()).addresses.filter((a) => a.endsWith('eth0'))).toEqual([
      '10.0.0.102/32 eth0',
      '10.0.0.103/32 eth0',
      '10.0.0.104/32 eth0',
    ]);
  });

  test.for(['dash', 'bash', 'busybox'] as const)(
    'chains are those that the release declares, whatever an older one had, and back again (%s)',
    async (shell) => {
      // before releases had a chain for each of the kernel's, one was for both
      const older = doctored(lbRelease(), {
        'host/iptables': (text) =>
          text.replaceAll(/^:WEIR-OUTPUT.*\n|^-A WEIR-OUTPUT.*\n/gm, '').replaceAll('WEIR-PREROUTING', 'WEIR-RAW'),
      });
      const lb = await activated(older, shell);
      await sh(lb.host, 'iptables -A INPUT -s 10.9.9.9/32 -j DROP; iptables -t raw -A PREROUTING -i wire -j ACCEPT');
      const before = await lb.see();
      const raw = before.chains.filter((rule) => rule.startsWith('raw'));
      expect(raw.slice(0, 4)).toEqual([
        'raw -A OUTPUT -j WEIR-RAW',
        'raw -A PREROUTING -j WEIR-RAW',
        'raw -A PREROUTING -i wire -j ACCEPT',
        'raw :WEIR-RAW',
      ]);
      const newer = await next(lb, { synproxy: 1 });
      expect(await lb.activate(newer)).toMatchObject({ state: 'activated', message: '' });
      const { chains } = await lb.see();
      expect(chains.filter((rule) => rule.includes('WEIR-RAW'))).toEqual([]);
      expect(chains.filter((rule) => /^raw -A (OUTPUT|PREROUTING)/.test(rule))).toEqual([
        'raw -A OUTPUT -j WEIR-OUTPUT',
        'raw -A PREROUTING -i wire -j ACCEPT',
        'raw -A PREROUTING -j WEIR-PREROUTING',
      ]);
      expect(chains.filter((rule) => rule.startsWith('filter -A INPUT'))).toEqual([
        'filter -A INPUT -j WEIR-INPUT',
        'filter -A INPUT -s 10.9.9.9/32 -j DROP',
      ]);
      expect(chains).toContainEqual(expect.stringMatching(/^filter -A WEIR-SYN -d 10\.1\.0\.1\/32 .*-j SYNPROXY/));
      expect(await lb.activate(newer)).toMatchObject({ state: 'unchanged' });
      expect((await lb.see()).chains).toEqual(chains);
      expect(await lb.weir('undo')).toMatchObject({ code: 0 });
      // our jumps are behind those of others now
      expect((await lb.see()).chains.toSorted()).toEqual(before.chains.toSorted());
    },
  );

  test('a sysctl is put back once, and what a person sets afterwards stays', async () => {
    const lb = await activated(lbRelease({ synproxy: 1 }));
    const loose = async () => (await lb.see()).sysctls['net.netfilter.nf_conntrack_tcp_loose'];
    expect(await loose()).toBe('0');
    expect(await lb.activate(await next(lb, {}))).toMatchObject({ state: 'activated' });
    expect(await loose()).toBe('1');
    await sh(lb.host, 'echo 0 >/proc/sys/net/netfilter/nf_conntrack_tcp_loose');
    expect(await lb.activate(await next(lb, { path: '/third' }))).toMatchObject({ state: 'activated' });
    expect(await loose()).toBe('0');
    expect(await lb.activate(await next(lb, { synproxy: 1 }))).toMatchObject({ state: 'activated' });
    expect(await lb.weir('undo')).toMatchObject({ code: 0 });
    expect(await loose()).toBe('0');
  });

  test('VIPs that are to be announced never are taken off, and neither missed nor waited for', async () => {
    const lb = await activated(lbRelease());
    const before = await lb.see();
    const second = await next(lb, { announce: 'none', vips: 4 });
    const started = Date.now();
    const outcome = await lb.activate(second, { waitSeconds: 60 });
    expect(outcome).toMatchObject({ state: 'activated', message: '' });
    expect(outcome.warnings).toEqual([expect.stringContaining('rc.local')]);
    expect(Date.now() - started).toBeLessThan(25_000);
    const seen = await lb.see();
    expect(seen.addresses).toEqual(before.addresses.filter((a) => !a.startsWith('10.1.')));
    expect(seen.services).toHaveLength(4);
    expect(await lb.weir('undo')).toMatchObject({ code: 0 });
    expect((await lb.see()).addresses).toEqual(before.addresses);
  });

  test('a new VIP whose WSs all fail is waited for, then named, and no reason to go back', async () => {
    const lb = await activated();
    const second = await next(lb, { vips: 5 });
    lb.tell('keepalived.ills', `unhealthy ${second.loads} 10.1.0.4\nunhealthy ${second.loads} 10.1.0.5\n`);
    const outcome = await lb.activate(second, { waitSeconds: 2 });
    expect(outcome).toMatchObject({ state: 'activated', message: '' });
    expect(outcome.warnings).toContainEqual(
      expect.stringMatching(/^not announced, since no WS of theirs is healthy: .*10\.1\.0\.4.*10\.1\.0\.5/),
    );
    expect((await lb.see()).addresses.filter((a) => a.endsWith('lo'))).toHaveLength(3);
  });

  test('keepalived that had been reloaded by hand is known by what it loaded, and gone back to', async () => {
    const first = lbRelease();
    const lb = await activated(first);
    const second = await next(lb, { path: '/second' });
    await sh(lb.host, 'kill -HUP "$(cat /run/keepalived.pid)"');
    await lb.until('grep -q "loaded weir-$1" /run/played/keepalived.log', second.loads);
    expect((await lb.weir('status')).output).toContain(`loaded ${second.loads} (release ${second.id})\n`);
    const third = await next(lb, { path: '/third', cost: 20 });
    lb.tell('frr.ills', 'fails cost 20\n');
    expect(await lb.activate(third)).toMatchObject({ state: 'undone', step: 'routing' });
    expect(await lb.see()).toMatchObject({
      links: { current: second.id, active: second.id, previous: '' },
      loaded: second.loads,
    });
  });

  test('keepalived that runs without a start script is started again as it was', async () => {
    const lb = await activated();
    await sh(lb.host, 'rm /etc/init.d/keepalived');
    const second = await next(lb, { path: '/second' });
    lb.tell('keepalived.ills', `dies ${second.loads}\n`);
    expect(await lb.activate(second)).toMatchObject({ state: 'undone', step: 'keepalived' });
    expect(await lb.see()).toMatchObject({ loaded: lbRelease().loads, undone: expect.not.stringContaining('cannot') });
  });
});
