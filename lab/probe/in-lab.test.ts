import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Lab, openLab, waitFor, whyNoLab } from '../lab.ts';
import { clientAddresses } from '../topology.ts';
import { startProbe } from './probe.ts';
import { type RouteWatch, watchRoutes } from './routes.ts';

const reason = whyNoLab();
const [one, two] = ['10.20.0.11', '10.20.0.12'];
const waitMs = 20_000;

describe.skipIf(reason !== undefined)(`in a lab${reason ? ` (left out: ${reason})` : ''}`, () => {
  let parent: string;
  let lab: Lab;
  let watch: RouteWatch;

  beforeAll(async () => {
    parent = await mkdtemp('/tmp/weir-probe-test-');
    await chmod(parent, 0o755);
    lab = await openLab({ directory: parent, lbs: 2, wss: 2, boot: false });
    const own = join(lab.directory, 'router');
    const staticd = ['-f', '/dev/null', '-i', join(own, 'staticd.pid'), '-z', join(own, 'zserv.api')];
    const argv = ['/usr/lib/frr/staticd', '-d', '-P', '0', ...staticd, '--vty_socket', own];
    expect(await lab.router.exec(argv)).toMatchObject({ code: 0 });
    await ip('route add 10.50.0.7/32 via 10.20.0.11');
    watch = await watchRoutes(lab.router);
  }, 60_000);
  afterAll(async () => {
    await watch?.stop();
    await lab?.close();
    await rm(parent, { recursive: true, force: true });
  });

  describe('the watch of the router’s routes', () => {
    test('what was there before is known', () => {
      expect(watch.nexthops('10.50.0.7')).toEqual([one]);
      expect(watch.changes('10.50.0.7')).toHaveLength(1);
    });

    test('FRR’s routes are told with all of their nexthops, when they come, change and go', async () => {
      const before = Date.now();
      await frr(`ip route 10.50.0.1/32 ${two}`);
      await watch.until('10.50.0.1', (hops) => hops.length === 1, waitMs);
      await frr(`ip route 10.50.0.1/32 ${one}`);
      const both = await watch.until('10.50.0.1', (hops) => hops.length === 2, waitMs);
      expect(both.nexthops).toEqual([one, two]);
      await frr(`no ip route 10.50.0.1/32 ${two}`);
      await watch.until('10.50.0.1', (hops) => hops.join() === one, waitMs);
      await frr(`no ip route 10.50.0.1/32 ${one}`);
      const gone = await watch.until('10.50.0.1', (hops) => hops.length === 0, waitMs);
      const changes = watch.changes('10.50.0.1');
      expect(changes.map(({ nexthops }) => nexthops)).toEqual([[two], [one, two], [one], []]);
      expect(watch.changes('10.50.0.1', gone.at)).toEqual([gone]);
      const times = [before, ...changes.map(({ at }) => at), Date.now()];
      expect(times).toEqual([...times].sort((a, b) => a - b));
    });

    // In the client: the router's zebra would put the group back.
    test('a group of nexthops that changes in place is a changed route', async () => {
      const clients = await watchRoutes(lab.client);
      await ip('nexthop add id 901 via 10.10.0.1 dev eth0', lab.client);
      await ip('nexthop add id 902 via 10.10.0.200 dev eth0', lab.client);
      await ip('nexthop add id 900 group 901/902', lab.client);
      await ip('route add 10.50.0.2/32 nhid 900', lab.client);
      await clients.until('10.50.0.2', (hops) => hops.join() === '10.10.0.1,10.10.0.200', waitMs);
      await ip('nexthop replace id 900 group 902', lab.client);
      await clients.until('10.50.0.2', (hops) => hops.join() === '10.10.0.200', waitMs);
      await ip('nexthop del id 900', lab.client);
      await clients.until('10.50.0.2', (hops) => hops.length === 0, waitMs);
      await clients.stop();
    });

    test('of several routes that of the lowest metric counts', async () => {
      await ip('route add 10.50.0.3/32 via 10.20.0.12 metric 20');
      await ip('route add 10.50.0.3/32 via 10.20.0.11 metric 10');
      await watch.until('10.50.0.3', (hops) => hops.join() === one, waitMs);
      await ip('route del 10.50.0.3/32 metric 10');
      await watch.until('10.50.0.3', (hops) => hops.join() === two, waitMs);
      expect(watch.changes('10.50.0.3')).toHaveLength(3);
    });

    test('routes that the kernel removes with their link, without a word, are gone too', async () => {
      await ip('route add 10.50.0.4/32 via 10.20.0.12');
      await watch.until('10.50.0.4', (hops) => hops.length === 1, waitMs);
      await ip('link set uplink down');
      await watch.until('10.50.0.4', (hops) => hops.length === 0, waitMs);
      await watch.until('10.50.0.7', (hops) => hops.length === 0, waitMs);
      await ip('link set uplink up');
    });

    test('what does not come in time is told with what there is', async () => {
      await ip('route replace 10.50.0.8/32 via 10.20.0.12');
      await watch.until('10.50.0.8', (hops) => hops.length === 1, waitMs);
      const never = watch.until('10.50.0.8', (hops) => hops.length === 2, 10);
      await expect(never).rejects.toThrow('Waited 10 ms for other routes to 10.50.0.8; they are: 10.20.0.12');
    });

    test('who waits when the watch ends is told, and nothing of it runs on', async () => {
      const before = await watching();
      const other = await watchRoutes(lab.router);
      const waiting = expect(other.until('10.50.0.9', (hops) => hops.length > 0, waitMs)).rejects.toThrow(
        /monitor ended/,
      );
      await other.stop();
      await waiting;
      await waitFor('the end of its processes', async () => (await watching()) === before);
    });
  });

  describe('the pages of a WS', () => {
    test('a slow download lasts about as long as it says and tells its WS', async () => {
      const write = '%{http_code} %{size_download} %{time_total} %header{x-ws}';
      const url = 'http://10.30.0.11/slow/2';
      const { stdout } = await lab.client.exec(['curl', '-s', '-m', '20', '-o', '/dev/null', '-w', write, url]);
      const [status, size, seconds, ws] = stdout.split(' ');
      expect([status, size, ws]).toEqual(['200', '60000', 'ws1.lab']);
      expect(Number(seconds)).toBeGreaterThan(1);
    });

    test('the longest is /slow: ten minutes', async () => {
      const { stdout } = await lab.client.exec(['curl', '-sI', 'http://10.30.0.12/slow']);
      expect(stdout).toMatch(/^HTTP\/1.1 200 /);
      expect(stdout).toMatch(/^X-Ws: ws2.lab\r$/m);
      expect(stdout).toMatch(/^Content-Length: 12020000\r$/m);
    });

    test('the prober in the client counts all of them, by HTTPS too', async () => {
      const targets = ['10.30.0.11:80', '10.30.0.12:443'];
      const probe = await startProbe(lab.client, { targets, keepalives: 4, downloads: 6 });
      const asked = new Set<string>();
      const window = await waitFor('requests from all of its addresses', async () => {
        const next = await probe.window('some');
        expect(next).toMatchObject({ failed: 0, keepalive: { open: 4, breaks: 0 } });
        for (const source of Object.keys(next.perSource)) asked.add(source);
        return asked.size === clientAddresses.length && next;
      });
      expect(window.downloads).toMatchObject({ running: 6, perWs: { 'ws1.lab': 3, 'ws2.lab': 3 } });
      expect(await probe.stop()).toMatchObject({ failed: 0, downloads: { broken: { reset: 0, stalled: 0 } } });
      const log = await readFile(lab.wss[1]?.accessLog ?? '', 'utf8');
      expect(log).toMatch(/ 10\.10\.0\.\d+:\d+ 443 200 \/$/m);
    });
  });

  async function watching(): Promise<number> {
    return Number((await lab.router.exec(['pgrep', '-c', '-f', 'monitor link route'])).stdout);
  }

  async function ip(words: string, place: Pick<Lab['client'], 'exec'> = lab.router): Promise<void> {
    expect(await place.exec(['ip', ...words.split(' ')])).toMatchObject({ code: 0, stderr: '' });
  }

  async function frr(line: string): Promise<void> {
    const own = join(lab.directory, 'router');
    const argv = ['vtysh', '--vty_socket', own, '-c', 'configure terminal', '-c', line];
    expect(await lab.router.exec(argv)).toMatchObject({ code: 0 });
  }
});
