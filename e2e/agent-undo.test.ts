/** Activations that fail on an LB whose daemons are played: it puts everything back by itself, and says why. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openTestHosts } from '../src/remote/test-hosts.ts';
import type { TestHosts } from '../src/remote/test-hosts.ts';
import type { Release } from '../src/render/cluster.ts';
import { noHosts, title } from './testing/edge.ts';
import { sh } from './testing/machine.ts';
import { lbRelease, playLb, setUpByHand } from './testing/played-lb.ts';
import type { PlayedLb, ReleaseParts, SeenLb } from './testing/played-lb.ts';

interface Failure {
  parts: ReleaseParts;
  /** Makes it fail, given the release. */
  ill: (lb: PlayedLb, release: Release) => unknown;
  /** What no undoing can put back. */
  heal?: (lb: PlayedLb, before: SeenLb) => unknown;
  step: string;
  says: string | RegExp;
  /** What waits for many seconds is made to go faster. */
  hurried?: boolean;
}

const failures: Record<string, Failure> = {
  'keepalived dies of the release': {
    parts: { path: '/second' },
    ill: (lb, release) => lb.tell('keepalived.ills', `dies ${release.loads}\n`),
    step: 'keepalived',
    says: 'keepalived ended while it loaded the release',
  },
  'keepalived dies soon after it loaded the release': {
    parts: { path: '/second', cost: 20 },
    ill: (lb) => lb.tell('frr.ills', 'fells cost 20\n'),
    step: 'verify',
    says: 'keepalived ended',
  },
  'keepalived never reads the release': {
    parts: { path: '/second' },
    ill: (lb, release) => lb.tell('keepalived.ills', `hangs ${release.loads}\n`),
    step: 'keepalived',
    says: /^keepalived did not load the release within 20 s: its checker does not name itself weir-/,
    hurried: true,
  },
  'a service does not come into the kernel': {
    parts: { vips: 5 },
    ill: (lb, release) => lb.tell('keepalived.ills', `misses ${release.loads} 10.1.0.5\n`),
    step: 'verify',
    says: 'after 2 s: service TCP 10.1.0.5:80 is not in the kernel',
  },
  'a VIP that was announced is so no more': {
    parts: { weight: 50 },
    ill: (lb, release) => lb.tell('keepalived.ills', `unhealthy ${release.loads} 10.1.0.1\n`),
    step: 'verify',
    says: 'after 2 s: VIP 10.1.0.1 was announced before and is not now',
  },
  'an OSPF neighbour is lost': {
    parts: { cost: 20 },
    ill: (lb) => lb.tell('frr.ills', 'loses cost 20\n'),
    step: 'verify',
    says: 'after 2 s: 1 OSPF neighbours are full, 2 were before',
  },
  'FRR refuses its configuration': {
    parts: { cost: 20, path: '/second', lips: ['10.0.0.104', '10.0.0.105'] },
    ill: (lb) => lb.tell('frr.ills', 'fails cost 20\n'),
    step: 'routing',
    says: 'frr-reload.py: vtysh failed to process new configuration: line 4: % Unknown command: cost 20 (code 1)',
  },
  'FRR does not take its configuration in time': {
    parts: { cost: 20 },
    ill: (lb) => lb.tell('frr.ills', 'hangs cost 20\n'),
    step: 'routing',
    says: /frr-reload.py.*\(code 124\)$/,
    hurried: true,
  },
  'iptables refuses a rule': {
    parts: { lips: ['10.0.0.104', '10.0.0.105'] },
    ill: (lb) => lb.tell('iptables.ills', '10.0.0.105\n'),
    step: 'host',
    says: /^iptables-restore: iptables-restore: line \d+ failed$/,
  },
  'the interface of the LIPs is not there': {
    parts: { innerdevice: 'eth9' },
    ill: () => undefined,
    step: 'host',
    says: /^LIPs: .*Cannot find device "eth9"/,
  },
  'the kernel does not know a sysctl': {
    parts: { path: '/second' },
    ill: ({ host }) => sh(host, 'rm /proc/sys/net/netfilter/nf_conntrack_max'),
    step: 'host',
    says: 'sysctl net.netfilter.nf_conntrack_max: this kernel does not have it',
    heal: ({ host }, before) =>
      sh(
        host,
        'echo "$1" >/proc/sys/net/netfilter/nf_conntrack_max',
        before.sysctls['net.netfilter.nf_conntrack_max'] ?? '',
      ),
  },
};

describe.skipIf(noHosts).concurrent(title('an activation that fails'), { timeout: 60_000 }, () => {
  let hosts: TestHosts;
  let count = 0;

  beforeAll(async () => {
    hosts = await openTestHosts();
  });
  afterAll(() => hosts?.close());

  async function run(lb: PlayedLb, { parts, ill, hurried }: Failure) {
    const release = lbRelease(parts);
    expect(await lb.publish(release)).toMatchObject({ state: 'published', message: '' });
    await ill(lb, release);
    if (hurried) lb.hurry();
    const outcome = await lb.activate(release, { waitSeconds: hurried ? 20 : 2 });
    return { release, outcome };
  }

  test.for(Object.entries(failures))('goes back to the release before where %s', async ([, failure]) => {
    const lb = await playLb(hosts, `lb${++count}`);
    const first = lbRelease();
    expect(await lb.publish(first)).toMatchObject({ state: 'published', message: '' });
    expect(await lb.activate(first)).toMatchObject({ state: 'activated' });
    const before = await lb.see();
    const { release, outcome } = await run(lb, failure);
    expect(outcome).toMatchObject({ state: 'undone', step: failure.step, message: matching(failure.says) });
    await failure.heal?.(lb, before);
    await lb.settles({
      ...before,
      links: { current: first.id, active: first.id, previous: '' },
      undone: matching(`${release.id} ${first.id} ${failure.step}: `),
    });
  });

  test.for(Object.entries(failures))('goes back to what a person had set up where %s', async ([, failure]) => {
    const lb = await playLb(hosts, `lb${++count}`);
    await setUpByHand(lb);
    const before = await lb.see();
    const { release, outcome } = await run(lb, failure);
    const { current } = (await lb.see()).links;
    expect(outcome).toMatchObject({ state: 'undone', step: failure.step, message: matching(failure.says) });
    await failure.heal?.(lb, before);
    await lb.settles({
      ...before,
      links: { current, active: '', previous: '' },
      undone: matching(`${release.id} backup ${failure.step}: `),
    });
  });
});

function matching(says: string | RegExp): string {
  return typeof says === 'string' ? expect.stringContaining(says) : expect.stringMatching(says);
}
