/** Taking an LB out for good at the command line, over ssh, on machines that play the LBs of a cluster. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LipsView } from '../src/contract/schemas.ts';
import type { Cluster } from '../src/domain/edge/model.ts';
import { noHosts, title } from './testing/edge.ts';
import { read, sh } from './testing/machine.ts';
import { openPlayedClusters, playedCluster } from './testing/played-clusters.ts';
import type { PlayedClusters } from './testing/played-clusters.ts';

const [first, second, third] = ['lb1.room1', 'lb2.room1', 'lb3.room1'] as const;
const vips = ['10.1.1.1', '10.1.1.2'];

describe.skipIf(noHosts)(title('retiring an LB'), { timeout: 120_000 }, () => {
  let edge: PlayedClusters;

  beforeAll(async () => {
    edge = await openPlayedClusters(playedCluster(1, { lbs: 3, vips: 2 }));
  }, 120_000);
  afterAll(() => edge?.close());

  const retire = (lb: string, ...more: string[]) => edge.weir('lb', 'retire', 'c1', lb, ...more);
  const document = async () => (await edge.server.client.call<Cluster>('/clusters/c1')).data;
  const names = async () => (await document()).lbinfos.map(({ hostname, state }) => `${hostname} ${state ?? 'up'}`);
  const host = (lb: string) => {
    const found = edge.lbs.get(lb);
    if (!found) throw new Error(`no ${lb}`);
    return found.host;
  };

  test('with connections it is drained, and stays in the document', async () => {
    await expect.poll(() => edge.announced(first), { timeout: 20_000 }).toEqual(vips);
    await sh(host(first), String.raw`sed -i 's/\(Masq *[0-9]* *\)0 /\13 /' /run/played/ip_vs`);
    const { code, out, err } = await retire(first, '--timeout', '3s');
    expect({ code, out, err }).toMatchObject({ code: 1, out: `${first}: not removed\n` });
    expect(err).toContain(`${first}: announces nothing any more`);
    // Two WSs behind two ports of two VIPs.
    expect(err).toContain(`${first}: 24 active, 0 inactive connections`);
    expect(err).toContain('--now');
    expect(await names()).toEqual([`${first} drain`, `${second} up`, `${third} up`]);
    expect([await edge.announced(first), await edge.announced(second)]).toEqual([[], vips]);
  });

  test('without any, or with them when it is asked for, it is removed, its LIPs are in quarantine and the machine stays drained', async () => {
    const { code, out, err } = await retire(first, '--now');
    expect({ code, out, err }).toMatchObject({ code: 0, out: `${first}: retired\n` });
    const lips = ['10.0.1.11', '10.0.1.12', '10.0.1.13', '10.0.1.14'];
    expect(err).toContain(`weir lb free c1 ${lips.join(' ')}`);
    const { data } = await edge.server.client.call<LipsView>('/clusters/c1/lips');
    expect(Object.keys(data.quarantine).sort()).toEqual(lips);
    expect(await names()).toEqual([`${second} up`, `${third} up`]);
    expect(read(host(first), '/etc/weir/drain')).toMatch(/^weir \d+ retired/);
    expect(await edge.announced(first)).toEqual([]);
    // Neither its keepalived nor the others' were touched.
    expect(read(host(first), '/run/played/ip_vs')).toContain('0A010101:0050');
    expect(await edge.announced(second)).toEqual(vips);
    expect((await edge.weir('plan', 'c1')).code).toBe(0);
    expect((await edge.weir('lb', 'free', 'c1', ...lips)).code).toBe(0);
    expect((await retire(first)).err).toContain('no LB lb1.room1');
  });

  test('one that cannot be reached is refused, and removed where it is asked for', async () => {
    await sh(host(third), 'mv /usr/local/bin/login-shell /usr/local/bin/away');
    const refused = await retire(third);
    expect(refused).toMatchObject({ code: 1, out: '' });
    expect(refused.err).toMatch(/cannot be asked: .*\n {2}.*--unreachable/);
    expect(await names()).toEqual([`${second} up`, `${third} up`]);
    const { code, err } = await retire(third, '--unreachable');
    expect({ code, err }).toMatchObject({ code: 0 });
    expect(err).toMatch(/^warning: lb3\.room1 cannot be asked/m);
    expect(await names()).toEqual([`${second} up`]);
  });

  test('the last one is refused', async () => {
    const { code, err } = await retire(second);
    expect({ code, err }).toMatchObject({ code: 1, err: expect.stringContaining('--last') as string });
    expect(await edge.announced(second)).toEqual(vips);
    const done = await retire(second, '--last', '--timeout', '30s');
    expect(done).toMatchObject({ code: 0, err: expect.stringContaining(`${second}: drained`) as string });
    expect((await document()).lbinfos).toEqual([]);
    expect(await edge.announced(second)).toEqual([]);
  });
});
