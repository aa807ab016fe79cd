/** Moving a VIP between two clusters at the command line, over ssh, on machines that play their LBs. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ClusterStatusView, ConnectionsView } from '../src/contract/status.ts';
import { noHosts, title } from './testing/edge.ts';
import { sh } from './testing/machine.ts';
import { openPlayedClusters, playedCluster } from './testing/played-clusters.ts';
import type { PlayedClusters } from './testing/played-clusters.ts';

const [old, next] = ['lb1.room1', 'lb1.room2'] as const;
const [stays, moves, others] = ['10.1.1.1', '10.1.1.2', '10.1.2.1'] as const;

describe.skipIf(noHosts)(title('moving a VIP'), { timeout: 120_000 }, () => {
  let edge: PlayedClusters;

  beforeAll(async () => {
    edge = await openPlayedClusters(playedCluster(1, { lbs: 1, vips: 2 }), playedCluster(2, { lbs: 1, vips: 1 }));
  }, 120_000);
  afterAll(() => edge?.close());

  const move = (...more: string[]) => edge.weir('vip', 'move', moves, '--from', 'c1', '--to', 'c2', ...more);
  const where = async () => [await edge.announced(old), await edge.announced(next)];
  const services = async (lb: string) => {
    const cluster = lb === old ? 'c1' : 'c2';
    const path = `/clusters/${cluster}/status?services=true`;
    const [row] = (await edge.server.client.call<ClusterStatusView>(path)).data.lbs;
    return row?.services?.map(({ service }) => service).filter((service) => service.includes(moves));
  };
  const both = [`TCP ${moves}:80`, `TCP ${moves}:443`];
  const ill = (lb: string, text: string) => edge.lbs.get(lb)?.tell('keepalived.ills', text);

  test('stops while the new cluster does not serve it, with nothing taken away', async () => {
    ill(next, `unhealthy * ${moves}\n`);
    const { code, err } = await move('--seen', '3s');
    expect({ code, err }).toMatchObject({ code: 1 });
    expect(err).toContain(`no WS of TCP ${moves}:80 is healthy`);
    expect(err).toContain('Nothing was taken from c1');
    expect(await where()).toEqual([[stays, moves], [others]]);
    expect([await services(old), await services(next)]).toEqual([both, both]);
  });

  test('goes back, and leaves both as they were', async () => {
    const { code, err } = await move('--cancel');
    expect({ code, err }).toMatchObject({ code: 0 });
    expect(await where()).toEqual([[stays, moves], [others]]);
    expect(await services(next)).toEqual([]);
    ill(next, '');
  });

  test('is announced by both before the old one withdraws it, which serves it until its connections are gone', async () => {
    // Connections in the old cluster, as the kernel would tell of them; a reload of the played one forgets them.
    const { host } = edge.lbs.get(old) ?? {};
    if (!host) throw new Error(`no ${old}`);
    const busy = sh(
      host,
      String.raw`
      while ip addr show dev lo | grep -qF " $1/"; do sleep 0.02; done
      until [ -e /run/played/calm ]; do
        sed -i 's/\(0A090102:.*Masq *[0-9]* *\)0 /\17 /' /run/played/ip_vs
        sleep 0.02
      done
      sed -i 's/ 7  *0$/ 0 0/' /run/played/ip_vs`,
      moves,
    );
    const seen: string[][][] = [];
    const watching = (async () => {
      for (let going = true; going;) {
        const now = await where();
        seen.push(now);
        going = now[0]?.includes(moves) === true;
      }
    })();
    const moving = move('--timeout', '2m');
    await watching;
    await expect.poll(async () => (await connections())[old]?.active, { timeout: 20_000 }).toBe(14);
    expect(await services(old)).toEqual(both);
    await sh(host, 'touch /run/played/calm');
    await busy;
    const { code, err, out } = await moving;
    expect({ code, err }).toMatchObject({ code: 0 });
    expect(out).toBe(`VIP ${moves} is in cluster c2\n`);
    expect(err).toContain(`connections of VIP ${moves} on ${old} 14 active, 0 inactive`);
    expect(err).toContain(`no connections of VIP ${moves} are left`);
    expect(err).toContain('c2: nothing to publish');
    // At every moment one of them announces it.
    expect(seen.every(([left = [], right = []]) => left.includes(moves) || right.includes(moves))).toBe(true);
    expect(await where()).toEqual([[stays], [others, moves].sort()]);
    expect([await services(old), await services(next)]).toEqual([[], both]);
    for (const name of ['c1', 'c2']) expect((await edge.weir('plan', name)).code).toBe(0);
  });

  async function connections(): Promise<ConnectionsView['lbs']> {
    const path = `/clusters/c1/connections?vip=${moves}`;
    const { data } = await edge.server.client.call<ConnectionsView>(path).catch(() => ({ data: { lbs: {} } }));
    return data.lbs;
  }

  test('the status tells what each LB announces, with the services and not without', async () => {
    const rows = async (query: string) =>
      (await edge.server.client.call<ClusterStatusView>(`/clusters/c2/status${query}`)).data.lbs;
    expect((await rows('?services=true'))[0]?.announced).toEqual(
      expect.arrayContaining([
        { vip: others, on: 'lo' },
        { vip: moves, on: 'lo' },
      ]),
    );
    expect((await rows(''))[0]).not.toHaveProperty('announced');
  });

  test('can be moved back the same way, without waiting', async () => {
    const { code, err } = await edge.weir('vip', 'move', moves, '--from', 'c2', '--to', 'c1', '--timeout', '0');
    expect({ code, err }).toMatchObject({ code: 0 });
    expect(await where()).toEqual([[stays, moves], [others]]);
  });
});
