/** Publications as jobs of a whole server: at once on many LBs, watched, guarded, cancelled and cut short; and addresses that change. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createClient } from '../src/client/client.ts';
import type { Plan } from '../src/jobs/plan.ts';
import { clusterOf, create, endOf, lbName, lbOf, mark, noHosts, openEdge, range, title } from './testing/edge.ts';
import type { Edge, Publication, TestHost } from './testing/edge.ts';
import { readLive } from './testing/live-config.ts';
import { isThere, sh } from './testing/machine.ts';

const LBS = 5;

/** Keeps publications on a machine waiting until it is let go. */
async function holdLock(host: TestHost): Promise<() => Promise<void>> {
  await sh(
    host,
    `mkdir -p /etc/weir/bin /etc/weir/releases; rm -f /tmp/held /tmp/let-go; mkfifo /tmp/let-go
    setsid sh -c 'exec 9>>/etc/weir/lock; flock 9; : >/tmp/held; read -r _ </tmp/let-go' >/dev/null 2>&1 &
    until [ -e /tmp/held ]; do sleep 0.01; done`,
  );
  return () => sh(host, 'echo >/tmp/let-go').then(() => undefined);
}

describe.skipIf(noHosts)(title('publications of a server'), () => {
  const document = clusterOf(1, { lbs: LBS, vips: 4, marker: '/first' });
  const { name } = document;
  const path = `/clusters/${name}/publications`;
  let edge: Edge;
  let machines: TestHost[];
  const held: (() => Promise<void>)[] = [];

  beforeAll(async () => {
    edge = await openEdge({ settings: { ssh_parallel: '3' } });
    machines = await edge.hosts.startMany(range(LBS).map((i) => lbName(1, i)));
    await create(edge, document);
  });
  afterEach(async () => {
    for (const letGo of held.splice(0)) await letGo();
  });
  afterAll(() => edge?.close());

  async function hold(n: number): Promise<void> {
    const machine = machines[n - 1];
    if (machine) held.push(await holdLock(machine));
  }

  async function letGo(): Promise<void> {
    for (const one of held.splice(0)) await one();
  }

  async function start(body: object = {}): Promise<Publication> {
    return (await edge.server.client.call<Publication>(path, { method: 'POST', body })).data;
  }

  async function get(id: string): Promise<Publication> {
    return (await edge.server.client.call<Publication>(`${path}/${id}`)).data;
  }

  /** Until an LB is at a step. */
  async function atStep(id: string, lb: string, step: string): Promise<void> {
    for await (const { event, data } of edge.server.client.stream(`${path}/${id}/events`)) {
      const progress = event === 'snapshot' ? (data as Publication).lbs[lb] : (data as { lb: string; step: string });
      if (progress?.step === step && (event === 'snapshot' || (data as { lb: string }).lb === lb)) return;
      if (event === 'end') throw new Error(`${lb} never was at step ${step}`);
    }
  }

  test('tell each step of each LB in order, and end with the end', async () => {
    const { id } = await start();
    const told = new Map<string, string[]>();
    const events: string[] = [];
    for await (const { event, data } of edge.server.client.stream(`${path}/${id}/events`)) {
      events.push(event);
      if (event !== 'lb') continue;
      const { lb, step, state } = data as { lb: string; step: string; state: string };
      told.set(lb, [...(told.get(lb) ?? []), state === 'running' ? step : state]);
    }
    expect(events[0]).toBe('snapshot');
    expect(events.at(-1)).toBe('end');
    expect(events.filter((e) => e === 'end')).toHaveLength(1);
    const order = ['connect', 'lock', 'stage', 'check', 'backup', 'switch', 'confirm', 'published'];
    expect([...told.keys()].sort()).toEqual(machines.map((m) => m.name));
    for (const steps of told.values()) {
      expect([...new Set(steps)]).toEqual(order.slice(-new Set(steps).size));
      expect(steps.at(-1)).toBe('published');
    }
    expect(await get(id)).toMatchObject({ state: 'done' });
  });

  test('of one cluster go one after the other, and of its LBs some at once', async () => {
    await mark(edge, name, '/second');
    for (const n of [1, 2, 3]) await hold(n);
    const first = await start();
    for (const n of [1, 2, 3]) await atStep(first.id, lbName(1, n), 'lock');
    const now = await get(first.id);
    expect(range(LBS).map((n) => lbOf(now, lbName(1, n)).state)).toEqual([
      'running',
      'running',
      'running',
      'waiting',
      'waiting',
    ]);
    const second = await edge.server.fetch(path, { method: 'POST', body: '{}' });
    expect(second.status).toBe(409);
    expect(await second.json()).toMatchObject({ code: 'busy', detail: expect.stringContaining(first.id) as string });
    expect(second.headers.get('retry-after')).not.toBeNull();
    const end = endOf(edge.server, first);
    await letGo();
    expect((await end).state).toBe('done');
    expect((await edge.publish(name)).state).toBe('done');
  });

  test('go to the LBs that were asked for only, and only for the revision that was asked for', async () => {
    await mark(edge, name, '/third');
    const some = await edge.publish(name, { lbs: [lbName(1, 2)], revision: 3 });
    expect(Object.keys(some.lbs)).toEqual([lbName(1, 2)]);
    const reads = machines.map((m) =>
      sh(m, 'grep -h path /etc/weir/current/keepalived/vips/172.17.0.1.conf | sort -u'),
    );
    expect((await Promise.all(reads)).map((text) => text.trim())).toEqual(
      range(LBS).map((n) => (n === 2 ? 'path /third' : 'path /second')),
    );
    const stale = await edge.server.fetch(path, { method: 'POST', body: JSON.stringify({ revision: 2 }) });
    expect(stale.status).toBe(412);
    expect(stale.headers.get('etag')).toBe('"3"');
    const unknown = await edge.server.fetch(path, {
      method: 'POST',
      body: JSON.stringify({ lbs: ['x', lbName(1, 1)] }),
    });
    expect(unknown.status).toBe(404);
  });

  test('that are cancelled end their sessions and begin no more; what was done stays done', async () => {
    await mark(edge, name, '/fourth');
    for (const n of [2, 3]) await hold(n);
    const { id } = await start({ lbs: [1, 2, 3, 4, 5].map((n) => lbName(1, n)) });
    for (const n of [2, 3]) await atStep(id, lbName(1, n), 'lock');
    const end = endOf(edge.server, await get(id));
    await edge.server.client.call(`${path}/${id}/cancel`, { method: 'POST' });
    const publication = await end;
    expect(publication.state).toBe('cancelled');
    for (const n of [2, 3]) expect(lbOf(publication, lbName(1, n))).toMatchObject({ state: 'cancelled', step: 'lock' });
    await letGo();
    expect((await edge.publish(name)).state).toBe('done');
    for (const machine of machines) expect(Object.keys(readLive(machine).services)).toHaveLength(8);
  });

  test('that the end of the server cuts short are recorded as cancelled', async () => {
    await mark(edge, name, '/fifth');
    await hold(1);
    const { id } = await start();
    await atStep(id, lbName(1, 1), 'lock');
    await edge.server.restart();
    const publication = await get(id);
    expect(publication).toMatchObject({ state: 'cancelled', ended: expect.any(String) as string });
    expect(lbOf(publication, lbName(1, 1)).state).toBe('cancelled');
    await letGo();
    expect((await edge.publish(name)).state).toBe('done');
  });

  test('whose server is killed are interrupted, never running for ever', { timeout: 60_000 }, async () => {
    const machine = await edge.hosts.start(lbName(2, 1));
    held.push(await holdLock(machine));
    const data = join(dirname(edge.server.data), 'killed');
    const settings = { listen: '127.0.0.1:0', data, ssh_config: edge.hosts.configFile, log_level: 'silent' };
    const first = await startServer(settings);
    const other = clusterOf(2, { lbs: 1, vips: 1 });
    await first.client.call('/clusters', { method: 'POST', body: other });
    const at = `/clusters/${other.name}/publications`;
    const { id } = (await first.client.call<Publication>(at, { method: 'POST', body: {} })).data;
    first.child.kill('SIGKILL');
    await once(first.child, 'exit');
    const second = await startServer(settings);
    try {
      const stateNow = async () => (await second.client.call<Publication>(`${at}/${id}`)).data.state;
      // Its lease says that it lives, for some seconds.
      await expect.poll(stateNow, { timeout: 30_000, interval: 250 }).toBe('interrupted');
      const { data: listed } = await second.client.call<{ items: Publication[] }>(at);
      expect(listed.items).toMatchObject([{ id, state: 'interrupted' }]);
      await letGo();
      const again = (await second.client.call<Publication>(at, { method: 'POST', body: {} })).data;
      expect((await endOf(second, again)).state).toBe('done');
    } finally {
      second.child.kill('SIGTERM');
      await once(second.child, 'exit');
    }
  });
});

/** A server in a process of its own. */
async function startServer(settings: Record<string, string>) {
  const child: ChildProcess = spawn(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '--eval', serverProgram],
    {
      env: {
        ...process.env,
        SOURCES: pathToFileURL(join(import.meta.dirname, '..', 'src', '/')).href,
        SETTINGS: JSON.stringify(settings),
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  if (!child.stdout) throw new Error('no pipe');
  const reader = createInterface({ input: child.stdout });
  const [line] = (await Promise.race([once(reader, 'line'), once(reader, 'close')])) as [string?];
  if (line === undefined) throw new Error('the server did not start');
  const { url, token } = JSON.parse(line) as { url: string; token: string };
  return { child, client: createClient({ url, token }) };
}

const serverProgram = `
const { startServer } = await import(process.env.SOURCES + 'server.ts');
const { readSettings } = await import(process.env.SOURCES + 'settings.ts');
const { pino } = await import('pino');
const settings = readSettings({ flags: JSON.parse(process.env.SETTINGS), env: {} });
const server = await startServer({ settings, logger: pino({ level: 'silent' }) });
process.once('SIGTERM', () => server.close());
console.log(JSON.stringify({ url: server.url, token: server.token }));
`;

describe.skipIf(noHosts)(title('addresses of WSs'), () => {
  const base = clusterOf(3, { lbs: 1, vips: 2 });
  const document = { ...base, vip2ws: base.vip2ws.map((vip) => ({ ...vip, wsattrs: {} })) };
  const names = document.vip2ws.flatMap((vip) => vip.wss);
  let edge: Edge;
  let host: TestHost;

  beforeAll(async () => {
    edge = await openEdge();
    host = await edge.hosts.start(lbName(3, 1));
    await create(edge, document);
  });
  afterAll(() => edge?.close());

  const hostsFile = () => join(dirname(edge.server.data), 'hosts');
  const setHosts = (addresses: Record<string, string>) =>
    writeFile(
      hostsFile(),
      Object.entries(addresses)
        .map(([n, a]) => `${a} ${n}\n`)
        .join(''),
    );
  const all = Object.fromEntries(names.map((n, i) => [n, `10.200.0.${i + 1}`]));

  async function plan(): Promise<Plan> {
    return (await edge.server.client.call<Plan>(`/clusters/${document.name}/plan`, { method: 'POST' })).data;
  }

  test('that are not found are all named, and nothing is published', async () => {
    const response = await edge.server.fetch(`/clusters/${document.name}/publications`, { method: 'POST', body: '{}' });
    expect(response.status).toBe(422);
    const problem = (await response.json()) as { code: string; problems: { path: string; message: string }[] };
    expect(problem.code).toBe('unresolved');
    names.forEach((n, i) => expect(problem.problems[i]?.message).toContain(n));
    expect(problem.problems.map((p) => p.path)).toEqual([
      'vip2ws[0].wss[0]',
      'vip2ws[0].wss[1]',
      'vip2ws[1].wss[0]',
      'vip2ws[1].wss[1]',
    ]);
    expect(isThere(host, '/etc/weir')).toBe(false);
    const { data } = await edge.server.client.call<{ items: Publication[] }>(`/clusters/${document.name}/publications`);
    expect(data.items).toEqual([]);
  });

  test('that changed are shown by the plan and published', async () => {
    await setHosts(all);
    expect((await edge.publish(document.name)).state).toBe('done');
    await setHosts({ ...all, [names[0] ?? '']: '10.200.0.77' });
    const planned = await plan();
    expect(planned.changes).toBe(true);
    expect(planned.files.map((f) => f.path)).toEqual(['keepalived/vips/172.19.0.1.conf']);
    expect(planned.files[0]?.diff).toContain('+    real_server 10.200.0.77 80 {');
    expect(planned.warnings).toMatchObject([{ code: 'address_changed' }]);
    expect((await edge.publish(document.name)).state).toBe('done');
    expect(readLive(host).services['172.19.0.1:80/TCP']).toEqual([
      '10.200.0.2:80 weight 100',
      '10.200.0.77:80 weight 100',
    ]);
  });

  test('of names that are gone stay as they were, with a warning', async () => {
    const before = readLive(host);
    const { [names[3] ?? '']: _, ...rest } = all;
    await setHosts({ ...rest, [names[0] ?? '']: '10.200.0.77' });
    const publication = await edge.publish(document.name);
    expect(publication.state).toBe('done');
    expect(publication.warnings).toMatchObject([{ code: 'address_kept' }]);
    expect(publication.warnings[0]?.message).toContain(`${names[3]} no longer resolves`);
    expect(publication.warnings[0]?.message).toContain('its last address 10.200.0.4 is kept');
    expect(lbOf(publication).state).toBe('unchanged');
    expect(readLive(host)).toEqual(before);
  });
});
