/**
 * Publishing, activation, drain, undo and status on a real LB: a kernel with IPVS, Debian's keepalived and FRR, a router
 * and WSs (lab/). Each test goes on from where the one before ended.
 */
import { Writable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openLab, waitFor, whyNoLab } from '../lab/lab.ts';
import type { Lab, LabLb } from '../lab/lab.ts';
import { runCli } from '../src/cli/program.ts';
import type { ActivationView, PublicationView } from '../src/contract/schemas.ts';
import type { ClusterStatusView, LbStatusView } from '../src/contract/status.ts';
import { create, expectDone, post } from './fixtures.ts';
import { startTestServer } from './harness.ts';
import type { TestServer } from './harness.ts';
import { kernelState } from './testing/lab-edge.ts';

const reason = whyNoLab();
if (reason !== undefined) console.warn(`left out: tests on a real LB: ${reason}`);

const VIP = '10.50.0.1';
const minute = 60_000;

describe.skipIf(reason !== undefined)(
  `a real LB${reason ? ` (left out: ${reason})` : ''}`,
  { timeout: 3 * minute },
  () => {
    let lab: Lab;
    let lb: LabLb;
    let server: TestServer;

    beforeAll(async () => {
      lab = await openLab({ lbs: 1, wss: 2 });
      const [first] = lab.lbs;
      if (!first) throw new Error('the lab has no LB');
      lb = first;
      server = await startTestServer({ settings: { ssh_config: lab.sshConfig } });
      const document = lab.cluster();
      const vips = document.vip2ws.filter(({ vip }) => vip === VIP);
      await create(server, { ...document, vip2ws: vips.map((vip) => ({ ...vip, ports: vip.ports.slice(0, 1) })) });
    }, 2 * minute);
    afterAll(async () => {
      await server?.close();
      await lab?.close();
    }, minute);

    async function job<T extends PublicationView | ActivationView>(kind: string, body: object = {}): Promise<T> {
      const { data: started } = await server.client.call<T>(`/clusters/lab/${kind}`, { method: 'POST', body });
      return waitFor(
        `the end of ${kind} ${started.id}`,
        async () => {
          const { data } = await server.client.call<T>(`/clusters/lab/${kind}/${started.id}`);
          return data.ended !== undefined && data;
        },
        { timeoutMs: 2 * minute, everyMs: 100 },
      );
    }
    const publish = async () => (await job<PublicationView>('publications')).lbs[lb.name];
    const activate = async (body: object = {}) => (await job<ActivationView>('activations', body)).lbs[lb.name];

    async function status(): Promise<LbStatusView> {
      const { data } = await server.client.call<ClusterStatusView>('/clusters/lab/status', {
        query: { services: true },
      });
      const [row] = data.lbs;
      if (!row) throw new Error('no LB in the status');
      return row;
    }
    const codesOf = (row: LbStatusView) => (row.deviations?.items ?? []).map((d) => d.code).sort();

    /** A shell script on the LB; its standard output. */
    async function on(script: string): Promise<string> {
      const { code, stdout, stderr } = await lb.exec(script, { timeoutMs: minute });
      if (code !== 0) throw new Error(`${script}: ${code} ${stderr}`);
      return stdout.trim();
    }

    /** All that a publication must not change, as the kernel and the daemons have it. */
    const kernel = () => on(kernelState);

    async function ask(): Promise<{ ws: string; source: string }> {
      const { code, stdout } = await lab.client.exec(['curl', '-sS', '-m', '3', `http://${VIP}/`]);
      if (code !== 0) throw new Error(`curl ended with ${code}`);
      return JSON.parse(stdout) as { ws: string; source: string };
    }
    const served = () => waitFor('an answer of the VIP', ask, { timeoutMs: minute });
    const change = async (op: object) => expectDone(await post(server, '/clusters/lab/batch', { operations: [op] }));

    async function weir(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
      const sink = () => {
        let text = '';
        const stream = new Writable({ write: (chunk, _e, done) => ((text += String(chunk)), done()) });
        return { stream: stream as unknown as NodeJS.WriteStream, text: () => text };
      };
      const [out, err] = [sink(), sink()];
      const code = await runCli(['--url', server.url, ...argv], {
        version: '0.0.0',
        extra: [],
        env: { WEIR_TOKEN: server.token },
        stdout: out.stream,
        stderr: err.stream,
      });
      return { code, out: out.text(), err: err.text() };
    }

    test('says what is not there before anything was published', async () => {
      const row = await status();
      expect(row.published).toBeNull();
      expect(codesOf(row)).toContain('not_published');
      expect(row.loaded?.keepalived.state).toBe('down');
    });

    test('changes nothing in the kernel and in no daemon by publishing', async () => {
      const before = await kernel();
      expect(await publish()).toMatchObject({ state: 'published', message: '' });
      expect(await kernel()).toBe(before);
      const row = await status();
      expect(row.published).toMatchObject({ verified: true, active: null });
      expect(codesOf(row)).toContain('not_activated');
    });

    test('has by activation the table, VIPs, routes and source NAT of the release', async () => {
      expect(await activate()).toMatchObject({ state: 'activated', message: '' });
      await waitFor('the route to the VIP', async () => (await lab.routesTo(VIP)).includes(lb.address), {
        timeoutMs: minute,
      });
      await served();
      const answers = await Promise.all(Array.from({ length: 16 }, ask));
      expect(new Set(answers.map((a) => a.ws))).toEqual(new Set(lab.wss.map((ws) => ws.name)));
      expect(new Set(answers.map((a) => a.source))).toEqual(new Set(lb.lips));
      expect(await on('ipvsadm -Sn')).toBe(
        [`-A -t ${VIP}:80 -s wrr`, ...lab.wss.map((ws) => `-a -t ${VIP}:80 -r ${ws.address}:80 -m -w 100`)].join('\n'),
      );
      expect(await on('ip -o -4 addr show dev lo')).toContain(`inet ${VIP}/32`);
      expect(await on('cat /proc/sys/net/ipv4/vs/conntrack /proc/sys/net/ipv4/ip_forward')).toBe('1\n1');
      const row = await status();
      expect(row.deviations?.items).toEqual([]);
      expect(row).toMatchObject({
        state: 'ok',
        loaded: {
          keepalived: { state: 'release', source: 'process' },
          routing: { state: 'published', differences: [] },
        },
        kernel: { services: { expected: 1, present: 1 }, vips: { expected: 1, present: 1 }, ospf: { full: 1 } },
      });
      expect(row.published?.active).toBe(row.published?.release);
      expect(row.loaded?.keepalived.release).toBe(row.desired?.release);
    });

    test('is not touched by activating again', async () => {
      const before = await kernel();
      expect(await activate()).toMatchObject({ state: 'unchanged' });
      expect(await kernel()).toBe(before);
    });

    test('shows a reload that was done by hand, and a service that is missing in the kernel', async () => {
      await change({ op: 'port.add', vip: VIP, ports: [{ sport: 8080, dport: 80, synproxy: 0 }] });
      expect(await publish()).toMatchObject({ state: 'published' });
      expect(codesOf(await status())).toContain('not_activated');
      await on('kill -HUP "$(cat /run/keepalived.pid)"');
      await waitFor('the second service', async () => (await on('ipvsadm -Sn')).includes(':8080'), {
        timeoutMs: minute,
      });
      const byHand = await status();
      expect(codesOf(byHand)).toContain('reloaded_by_hand');
      expect(byHand.loaded?.keepalived.release).toBe(byHand.published?.release);
      expect(byHand.published?.active).not.toBe(byHand.published?.release);
      expect(await activate()).toMatchObject({ state: 'activated' });
      expect(codesOf(await status())).toEqual([]);
      await on(`ipvsadm -D -t ${VIP}:8080`);
      expect(codesOf(await status())).toContain('service_missing');
      await change({ op: 'port.remove', vip: VIP, ports: ['8080'] });
      expect(await publish()).toMatchObject({ state: 'published' });
      expect(await activate()).toMatchObject({ state: 'activated' });
      expect(await status()).toMatchObject({ state: 'ok' });
    });

    test('goes back by itself from a release whose keepalived does not come up', async () => {
      const before = await status();
      await change({ op: 'port.add', vip: VIP, ports: [{ sport: 8081, dport: 80, synproxy: 0 }] });
      expect(await publish()).toMatchObject({ state: 'published' });
      const loads = await on(`sed -n 's/^"loads": "\\(.*\\)",$/\\1/p' /etc/weir/current/manifest.json`);
      // It dies as soon as it has this release, as often as it is started with it.
      await on(`cat >/run/bane <<'END'
while :; do
  for comm in /proc/[0-9]*/comm; do
    read -r name <"$comm" || continue
    [ "$name" != "weir-${loads}" ] || kill -9 "$(cat /run/keepalived.pid)"
  done
done 2>/dev/null
END
setsid sh /run/bane </dev/null >/dev/null 2>&1 &
echo $! >/run/bane.pid`);
      const outcome = await activate();
      await on('kill "$(cat /run/bane.pid)"');
      // it may be noticed while it loads, or after
      expect(outcome).toMatchObject({
        state: 'undone',
        message: expect.stringContaining('keepalived ended') as string,
      });
      await served();
      const after = await status();
      expect(after.published).toMatchObject({
        release: before.published?.release,
        active: before.published?.release,
        undone: { to: before.published?.release },
      });
      expect(after.loaded?.keepalived.release).toBe(before.published?.release);
      expect(codesOf(after)).toContain('not_published');
      await change({ op: 'port.remove', vip: VIP, ports: ['8081'] });
      expect(await publish()).toMatchObject({ state: 'unchanged' });
      expect(await activate()).toMatchObject({ state: 'unchanged' });
      expect(await status()).toMatchObject({ state: 'ok' });
    });

    test('takes its VIPs off lo within 3 s of the death of keepalived, and back with it', async () => {
      // A machine that does much else may take longer once.
      const times: number[] = [];
      do {
        const seconds = await on(`start=$(cut -d' ' -f1 /proc/uptime)
        kill -9 "$(cat /run/keepalived.pid)"
        while ip -o -4 addr show dev lo | grep -q "${VIP}/32"; do sleep 0.4; done
        end=$(cut -d' ' -f1 /proc/uptime)
        echo "$start $end" | awk '{ print $2 - $1 }'`);
        times.push(Number(seconds));
        expect(codesOf(await status())).toContain('keepalived_down');
        await waitFor('the router to know', async () => (await lab.routesTo(VIP)).length === 0, { timeoutMs: minute });
        await on('/etc/init.d/keepalived start </dev/null >/dev/null 2>&1');
        await served();
      } while (Math.min(...times) >= 3 && times.length < 3);
      console.warn(`the VIP left lo ${times.join(', ')} s after the death of keepalived`);
      expect(Math.min(...times)).toBeLessThan(3);
      expect(await status()).toMatchObject({ state: 'ok' });
    });

    test('is drained and comes back, told by Weir or by hand, and publishing respects it', async () => {
      expect((await weir('lb', 'drain', 'lab', lb.name, '--reason', 'new disk')).code).toBe(0);
      await waitFor('the route to go', async () => (await lab.routesTo(VIP)).length === 0);
      expect((await status()).drained).toMatchObject({ origin: 'weir' });
      expect((await weir('lb', 'undrain', 'lab', lb.name)).code).toBe(0);
      await served();
      await on('/etc/weir/bin/weir drain "by hand at night"');
      expect(await on('ip -o -4 addr show dev lo')).not.toContain(VIP);
      await change({ op: 'vip.set', vip: VIP, set: { owner: 'edge@example.org' } });
      expect((await publish())?.state).toMatch(/published|unchanged/);
      expect((await activate())?.state).toMatch(/activated|unchanged/);
      expect(await on('ip -o -4 addr show dev lo')).not.toContain(VIP);
      expect((await status()).drained).toMatchObject({ origin: 'local', reason: 'by hand at night' });
      await on('/etc/weir/bin/weir undrain');
      await served();
    });

    test('drains a WS: weight 0, published, activated, and waited for', async () => {
      const [first, second] = lab.wss.map((ws) => ws.name);
      const drained = await weir('ws', 'drain', 'lab', String(first));
      expect(drained, drained.err).toMatchObject({ code: 0 });
      const { data } = await server.client.call<{ lbs: Record<string, object> }>('/clusters/lab/connections', {
        query: { ws: String(first) },
      });
      expect(data.lbs[lb.name]).toMatchObject({ active: 0, persistent: 0 });
      const answers = await Promise.all(Array.from({ length: 6 }, ask));
      expect(new Set(answers.map((a) => a.ws))).toEqual(new Set([second]));
      expect((await weir('ws', 'undrain', 'lab', String(first))).code).toBe(0);
      expect(await on('ipvsadm -Sn')).not.toContain('-w 0');
    });

    test('goes back one activation by weir undo on the LB, without Weir', async () => {
      const before = await status();
      await change({ op: 'port.add', vip: VIP, ports: [{ sport: 8082, dport: 80, synproxy: 0 }] });
      expect(await publish()).toMatchObject({ state: 'published' });
      expect(await activate()).toMatchObject({ state: 'activated' });
      expect(await on('ipvsadm -Sn')).toContain(':8082');
      await on('weir undo');
      await waitFor('the service to go', async () => !(await on('ipvsadm -Sn')).includes(':8082'));
      const after = await status();
      expect(after.published?.release).toBe(before.published?.release);
      expect(after.loaded?.keepalived.release).toBe(before.published?.release);
      await served();
      await change({ op: 'port.remove', vip: VIP, ports: ['8082'] });
    });

    test('is back on the release before when it loses its power in the middle of an activation', async () => {
      const before = await status();
      // One more: those that it has do not go while it serves.
      const more = '10.20.0.109';
      await change({ op: 'lb.set', lb: lb.name, set: { lips: [...lb.lips, more] } });
      await change({ op: 'port.add', vip: VIP, ports: [{ sport: 8083, dport: 80, synproxy: 0 }] });
      expect(await publish()).toMatchObject({ state: 'published' });
      const ended = activate();
      await waitFor('the release to be loaded', async () => (await on('ipvsadm -Sn')).includes(':8083'), {
        timeoutMs: minute,
        everyMs: 10,
      });
      const unconfirmed = await on('cat /etc/weir/activating 2>/dev/null || true');
      await lb.kill();
      await ended;
      expect(unconfirmed).not.toBe('');
      await lb.boot();
      await served();
      const after = await status();
      expect(after.published).toMatchObject({ release: before.published?.release, activating: null });
      expect(after.loaded?.keepalived.release).toBe(before.published?.release);
      const lips = await on('ip -o -4 addr show dev eth0');
      expect([lips.includes(String(lb.lips[3])), lips.includes(more)]).toEqual([true, false]);
      expect(await on('ipvsadm -Sn')).not.toContain(':8083');
    });
  },
);
