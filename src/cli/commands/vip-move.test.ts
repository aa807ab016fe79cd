import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Answer, Call, Client } from '../../client/client.ts';
import type { LbJobView } from '../../contract/schemas.ts';
import type { LbStatusView } from '../../contract/status.ts';
import type { Cluster, Vip } from '../../domain/edge/model.ts';
import { applyMove } from '../../domain/edge/moving.ts';
import type { MoveStep } from '../../domain/edge/moving.ts';
import { refuse, WeirError } from '../../domain/errors.ts';
import type { CommandContext, Output } from '../command.ts';
import { vipMove } from './vip-move.ts';

const address = '10.1.0.1';

/** A cluster at a server that is played, with LBs that do what is activated. */
interface Played {
  document: Cluster;
  revision: number;
  history: { revision: number; operations: { op: string; input: unknown }[] }[];
  published: { release: string; revision: number };
  /** What its LBs run. */
  active: Cluster;
}

let clusters: Record<string, Played>;
/** Requests that change something, and publications and activations, in order. */
let done: string[];
/** A publication or activation of a cluster that ends otherwise, once. */
let ends: Record<string, string>;
/** What an LB tells instead, from now on. */
let rows: Record<string, (row: LbStatusView) => Partial<LbStatusView>>;
/** Connections of the VIP by look; the last stays. */
let looks: (number | { inactive: number })[];
/** Called before a request is answered. */
let before: (what: string) => void;

function vip(parts: Partial<Vip> = {}): Vip {
  const port = { dport: 80, synproxy: 0 as const, persistence_timeout: 0 };
  return {
    vip: address,
    wstype: 'web',
    wss: ['ws1'],
    ports: [
      { ...port, sport: 80 },
      { ...port, sport: 443 },
    ],
    ...parts,
  };
}

function cluster(name: string, vips: Vip[]): Cluster {
  const lb = (n: number) => ({ hostname: `${name}-lb${n}` }) as Cluster['lbinfos'][number];
  return { name, type: 'internal', device: 'eth0', vipnets: ['10.1.0.0/16'], lbinfos: [lb(1), lb(2)], vip2ws: vips };
}

function played(document: Cluster): Played {
  const published = { release: releaseOf(document), revision: 3 };
  const history = [{ revision: 3, operations: [{ op: 'cluster.replace', input: {} }] }];
  return { document, revision: 3, history, published, active: document };
}

/** All that is rendered. */
function releaseOf({ vip2ws, idc }: Cluster): string {
  return JSON.stringify([idc, vip2ws.map(({ moving: _moving, ...rest }) => rest)]);
}

function change(name: string, document: Cluster, call: { op: string; input: unknown }): void {
  const one = of(name);
  one.document = document;
  one.revision++;
  one.history.unshift({ revision: one.revision, operations: [call] });
}

function of(name: string): Played {
  const one = clusters[name];
  if (!one) throw new WeirError('not_found', `there is no cluster ${name}`);
  return one;
}

/** Somebody else changes what is rendered. */
function meddle(name: string): void {
  change(name, { ...of(name).document, idc: `room${of(name).revision}` }, { op: 'cluster.set', input: {} });
}

beforeEach(() => {
  vi.useFakeTimers();
  clusters = { a: played(cluster('a', [vip()])), b: played(cluster('b', [])) };
  done = [];
  ends = {};
  rows = {};
  looks = [0];
  before = () => undefined;
});
afterEach(() => vi.useRealTimers());

function answer(path: string, { method, body, query }: Call): unknown {
  const [, , name = '', kind = 'document', what] = path.split('/');
  const one = of(name);
  before(`${kind} ${name}`);
  switch (kind) {
    case 'document':
      return one.document;
    case 'history':
      return historyFrom(one, query?.['after']);
    case 'plan':
      return planOf(name);
    case 'vips':
      expect([method, what]).toEqual(['POST', address]);
      return move(name, body as { to: string; step: MoveStep }, query?.['dryRun'] === true);
    case 'publications':
    case 'activations':
      expect(body).toEqual({ revision: one.revision });
      done.push(`${kind.slice(0, -1)} ${name} ${one.revision}`);
      if (!ends[done.at(-1) ?? '']) bringTo(kind, one);
      return jobOf(kind, name, 'running');
    case 'status':
      return {
        cluster: name,
        revision: one.revision,
        unrenderable: null,
        lbs: one.document.lbinfos.map((lb) => rowOf(one, lb.hostname)),
      };
    case 'connections':
      expect(query).toEqual({ vip: address });
      return connections(name);
    default:
      throw new Error(`nobody plays ${path}`);
  }
}

function historyFrom(one: Played, after: unknown): unknown {
  const from = after === undefined ? 0 : one.history.findIndex(({ revision }) => revision < Number(after));
  const items = from < 0 ? [] : one.history.slice(from, from + 2);
  const last = items.at(-1);
  return { items, next: last && last !== one.history.at(-1) ? String(last.revision) : null };
}

function planOf(name: string): unknown {
  const { document, published, active, revision } = of(name);
  const release = releaseOf(document);
  const row = { release, published: { ...published, activated: releaseOf(active) === published.release }, files: 1 };
  const lbs = Object.fromEntries(document.lbinfos.map((lb) => [lb.hostname, row]));
  return { cluster: name, revision, changes: false, lbs, files: [{ path: 'x', lbs: Object.keys(lbs) }], warnings: [] };
}

function move(name: string, { to, step }: { to: string; step: MoveStep }, dryRun: boolean): unknown {
  const [from, other] = [of(name), of(to)];
  const moved = applyMove(step, { vip: address, from: from.document, to: other.document });
  if (!moved.ok) throw refuse(moved.problems, moved.reason);
  const result = (cluster_: string, changed: boolean) => ({
    cluster: cluster_,
    revision: of(cluster_).revision,
    changed,
    dryRun,
    deleted: false,
    warnings: [],
  });
  if (!dryRun) {
    done.push(`${step} ${name} ${to}`);
    change(name, moved.from, { op: `vip.move.${step}`, input: { vip: address, to } });
    if (step !== 'withdraw') change(to, moved.to, { op: `vip.move.${step}`, input: { vip: address, from: name } });
  }
  return { vip: address, step, from: result(name, true), to: result(to, step !== 'withdraw') };
}

let publishing: Cluster | undefined;

function bringTo(kind: string, one: Played): void {
  if (kind === 'publications') {
    one.published = { release: releaseOf(one.document), revision: one.revision };
    publishing = one.document;
  } else one.active = publishing ?? one.document;
}

function jobOf(kind: string, name: string, state: string): LbJobView {
  const row = { state: 'activated', step: 'confirm', message: '', warnings: [], release: 'r', bytes: 0 };
  return { id: kind, cluster: name, revision: 1, state, by: 'x', at: '', warnings: [], lbs: { [`${name}-lb1`]: row } };
}

function rowOf({ active }: Played, lb: string): LbStatusView {
  const vips = active.vip2ws;
  const servers = [{ key: '10.9.0.1:80', weight: 100, active: 0, inactive: 0 }];
  const row = {
    lb,
    state: 'ok',
    drained: null,
    kernel: { ospf: { full: 1, neighbours: [] } },
    announced: vips.filter((v) => v.announce !== 'none').map((v) => ({ vip: v.vip, on: 'lo' })),
    services: vips.flatMap((v) =>
      v.ports.map((p) => ({ service: `TCP ${v.vip}:${p.sport}`, scheduler: 'wrr', servers })),
    ),
  } as unknown as LbStatusView;
  return { ...row, ...rows[lb]?.(row) };
}

function connections(name: string): unknown {
  const [look = 0] = looks;
  if (looks.length > 1) looks.shift();
  const none = { active: 0, inactive: 0, persistent: null, servers: 1 };
  const row = { ...none, ...(typeof look === 'number' ? { active: look } : look) };
  return { ws: null, lbs: { [`${name}-lb1`]: row, [`${name}-lb2`]: none } };
}

const client: Client = {
  url: 'http://played',
  call<T>(path: string, call: Call = {}) {
    try {
      return Promise.resolve({ status: 200, headers: new Headers(), data: answer(path, call) } as Answer<T>);
    } catch (thrown) {
      return Promise.reject(thrown);
    }
  },
  async *download() {},
  async *stream(path) {
    const [, , name = '', kind = ''] = path.split('/');
    const state = ends[done.at(-1) ?? ''] ?? 'done';
    delete ends[done.at(-1) ?? ''];
    yield { event: 'end', data: jobOf(kind, name, state), id: undefined };
  },
};

interface Ran {
  output: Output;
  notes: string[];
}

async function run(options: Record<string, unknown> = {}): Promise<Ran> {
  const notes: string[] = [];
  const context: CommandContext = {
    client: () => client,
    options: { from: 'a', to: 'b', ...options },
    note: (text) => notes.push(text),
    terminal: false,
    readFile: () => Promise.reject(new Error('no file')),
    write: () => Promise.reject(new Error('nothing is written')),
  };
  const running = vipMove.run(context, [address]);
  const state = { over: false };
  const settle = () => (state.over = true);
  running.then(settle, settle);
  while (!state.over) await vi.advanceTimersByTimeAsync(1000);
  const output = await running;
  if (!output) throw new Error('no output');
  return { output, notes };
}

const forward = [
  'begin a b',
  'publication b 4',
  'activation b 4',
  'withdraw a b',
  'publication a 5',
  'activation a 5',
  'end a b',
  'publication a 6',
  'activation a 6',
];
const holders = () =>
  Object.values(clusters).map((one) => one.document.vip2ws.map(({ moving, announce }) => [moving, announce]));

describe('vip move', () => {
  test('brings it to the new cluster first, then takes it from the old one', async () => {
    looks = [7, 7, 2, 0];
    const { output, notes } = await run();
    expect(done).toEqual(forward);
    expect(holders()).toEqual([[], [[undefined, undefined]]]);
    expect(output).toMatchObject({
      data: { state: 'moved', clusters: ['b'] },
      text: `VIP ${address} is in cluster b\n`,
    });
    expect(output.exit ?? 0).toBe(0);
    expect(notes.filter((n) => !/^[ab]-lb/.test(n))).toEqual([
      `VIP ${address} is in both by revision 4 of a and 4 of b`,
      `b: every LB in service serves and announces VIP ${address}`,
      'a is to announce it no more, by revision 5',
      `a: no LB announces VIP ${address} any more`,
      `a: connections of VIP ${address} on a-lb1 7 active, 0 inactive`,
      `a: connections of VIP ${address} on a-lb1 2 active, 0 inactive`,
      `a: no connections of VIP ${address} are left`,
      `VIP ${address} is b's alone by revision 6 of a and 5 of b`,
      'b: nothing to publish, its LBs run this already',
    ]);
  });

  test('run again when it is over has nothing left to do', async () => {
    await run();
    done = [];
    const { output, notes } = await run();
    expect(done).toEqual([]);
    expect(output).toMatchObject({ data: { state: 'moved' } });
    expect(notes).toContain('a: every LB runs this already');
  });

  test.each([
    'publication b 4',
    'activation b 4',
    'publication a 5',
    'activation a 5',
    'publication a 6',
    'activation a 6',
  ])('stops where %s fails, and goes on there when it is run again', async (failing) => {
    ends = { [failing]: 'failed' };
    const { output, notes } = await run();
    expect(output).toMatchObject({ exit: 1, data: { state: 'failed' } });
    const at = forward.indexOf(failing);
    expect(done).toEqual(forward.slice(0, at + 1));
    expect(notes.at(-1)).toContain('run the same command again');
    expect(notes.at(-1)).toContain(failing.includes(' b ') ? 'cluster a serves' : 'cluster b serves');
    done = [];
    expect(await run()).toMatchObject({ output: { data: { state: 'moved' } } });
    // A publication that is there is made again with its activation.
    expect(done).toEqual([
      failing.replace('activation', 'publication'),
      ...forward.slice(failing.startsWith('p') ? at + 1 : at),
    ]);
    expect(holders()).toEqual([[], [[undefined, undefined]]]);
  });

  test.each<[string, (row: LbStatusView) => Partial<LbStatusView>, string]>([
    ['cannot be read', () => ({ error: 'No route to host', state: 'unreachable' }), 'cannot be read: No route to host'],
    [
      'has no service of it',
      (row) => ({ services: row.services?.slice(1) ?? [] }),
      `its kernel has no service TCP ${address}:80`,
    ],
    [
      'has no healthy WS',
      (row) => ({
        services: row.services?.map((s) => ({ ...s, servers: s.servers.map((w) => ({ ...w, weight: 0 })) })) ?? [],
      }),
      `no WS of TCP ${address}:80 is healthy`,
    ],
    ['does not announce it', () => ({ announced: [{ vip: '10.1.0.9', on: 'lo' }] }), `it does not announce ${address}`],
    [
      'announces it at high cost',
      () => ({ announced: [{ vip: address, on: 'weir-high' }] }),
      `it announces ${address} at high cost only`,
    ],
    [
      'has no neighbour',
      () => ({ kernel: { ospf: { full: 0, neighbours: [] } } as unknown as NonNullable<LbStatusView['kernel']> }),
      'no OSPF neighbour is full',
    ],
  ])('takes nothing away while an LB of the new cluster %s', async (_, row, words) => {
    rows = { 'b-lb2': row };
    const { output, notes } = await run({ seen: '20s' });
    expect(output).toMatchObject({ exit: 1, data: { state: 'moving', clusters: ['a', 'b'] } });
    expect(done).toEqual(forward.slice(0, 3));
    expect(notes.find((n) => n.startsWith('b-lb2: ') && n.includes(words))).toBeDefined();
    expect(notes.filter((n) => n.includes(words)).length).toBe(1);
    expect(notes.at(-1)).toMatch(/\(b-lb2\)\. Nothing was taken from a: .*or go back with --cancel/);
    rows = {};
    done = [];
    expect(await run()).toMatchObject({ output: { data: { state: 'moved' } } });
    expect(done).toEqual(forward.slice(3));
  });

  test('waits for what comes in time', async () => {
    let asked = 0;
    rows = { 'b-lb1': (row) => (asked++ < 5 ? { announced: [] } : row) };
    const { notes } = await run();
    expect(done).toEqual(forward);
    expect(notes).toContain('b-lb1: as it should be');
  });

  test('asks only LBs in service, of which there must be one', async () => {
    const drained = { drained: { origin: 'local', since: 0, reason: '' }, announced: [] };
    rows = { 'b-lb1': () => drained, 'b-lb2': () => drained };
    expect(await run()).toMatchObject({
      output: { exit: 1 },
      notes: expect.arrayContaining([expect.stringContaining('no LB in service')]) as string[],
    });
    delete rows['b-lb2'];
    expect(await run()).toMatchObject({ output: { data: { state: 'moved' } } });
  });

  test('does not ask what the document drains', async () => {
    const [, second] = of('b').document.lbinfos;
    if (second) second.state = 'drain';
    rows = { 'b-lb2': () => ({ error: 'No route to host', state: 'unreachable' }) };
    expect(await run()).toMatchObject({ output: { data: { state: 'moved' } } });
    expect(done).toEqual(forward);
  });

  test('is refused beforehand where no LB of the new cluster is in service by its document', async () => {
    of('b').document.lbinfos.forEach((lb) => (lb.state = 'drain'));
    await expect(run()).rejects.toMatchObject({ code: 'conflict', message: 'cluster b has no LB in service' });
    expect(done).toEqual([]);
  });

  test.each([
    ['announces it still', () => ({ announced: [{ vip: address, on: 'lo' }] }), `it still announces ${address}`],
    [
      'announces it at high cost',
      () => ({ announced: [{ vip: address, on: 'weir-high' }] }),
      `it still announces ${address}`,
    ],
    ['cannot be read', () => ({ error: 'gone', state: 'unreachable' as const, announced: [] }), 'cannot be read: gone'],
  ])('does not end while an LB of the old cluster %s', async (_, row, words) => {
    rows = { 'a-lb2': row };
    const { output, notes } = await run();
    expect(output).toMatchObject({ exit: 1, data: { state: 'moving' } });
    expect(done).toEqual(forward.slice(0, 6));
    expect(notes).toContain(`a-lb2: ${words}`);
    expect(notes.at(-1)).toContain('a-lb2 may still announce');
    rows = {};
    done = [];
    expect(await run()).toMatchObject({ output: { data: { state: 'moved' } } });
    expect(done).toEqual(forward.slice(6));
  });

  test('waits for connections until their time is over, or not at all', async () => {
    looks = [3];
    const began = Date.now();
    const { notes, output } = await run({ timeout: '5m' });
    expect(Date.now() - began).toBeGreaterThanOrEqual(298_000);
    expect(notes).toContain('a: their time is over: they end with its services');
    expect(output).toMatchObject({ data: { state: 'moved' } });
    clusters = { a: played(cluster('a', [vip()])), b: played(cluster('b', [])) };
    const start = Date.now();
    expect((await run({ timeout: '0' })).notes.filter((n) => n.includes('connections'))).toEqual([]);
    expect(Date.now() - start).toBeLessThan(10_000);
  });

  test('waits for connections that are being closed too, and lets other VIPs be', async () => {
    clusters['a'] = played(cluster('a', [vip({ vip: '10.1.0.2' }), vip()]));
    looks = [{ inactive: 4 }, 0];
    const { notes, output } = await run();
    expect(notes).toContain(`a: connections of VIP ${address} on a-lb1 0 active, 4 inactive`);
    expect(output).toMatchObject({ data: { state: 'moved' } });
  });

  test('of a VIP that nobody should announce has nothing to see, and is made all the same', async () => {
    for (const parts of [
      { announce: 'none' as const },
      { wss: [] },
      { wsattrs: { ws1: { state: 'down' as const } } },
    ]) {
      clusters = { a: played(cluster('a', [vip(parts)])), b: played(cluster('b', [])) };
      rows = { 'b-lb1': () => ({ announced: [], services: [] }), 'b-lb2': () => ({ announced: [], services: [] }) };
      const { notes, output } = await run();
      expect(output).toMatchObject({ data: { state: 'moved' } });
      expect(notes.some((n) => n.startsWith('b: nothing to see'))).toBe(true);
    }
  });

  test.each(['a', 'b'])('is refused while other changes of %s wait, unless they may go along', async (name) => {
    meddle(name);
    await expect(run()).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining(`${name}-lb1 (not published: x)`) as string,
    });
    expect(done).toEqual([]);
    expect(await run({ pending: true })).toMatchObject({ output: { data: { state: 'moved' } } });
  });

  test('is refused while something is published and not activated', async () => {
    meddle('a');
    of('a').published = { release: releaseOf(of('a').document), revision: 4 };
    await expect(run()).rejects.toMatchObject({
      message: expect.stringContaining('a-lb1 (published, not activated)') as string,
    });
  });

  test.each([
    { vip: '10.1.0.9', from: 'a' },
    { vip: address, from: 'c' },
  ])('does not take another move for its own: %j', async (input) => {
    change('b', { ...of('b').document, idc: 'room9' }, { op: 'vip.move.begin', input });
    await expect(run()).rejects.toMatchObject({ message: expect.stringContaining('b-lb1 (not published') as string });
    expect(done).toEqual([]);
  });

  test('does not activate what others have published meanwhile', async () => {
    ends = { 'activation b 4': 'failed' };
    await run();
    meddle('b');
    of('b').published = { release: releaseOf(of('b').document), revision: 5 };
    done = [];
    await expect(run()).rejects.toMatchObject({
      message: expect.stringContaining('b-lb1 (published, not activated)') as string,
    });
    expect(done).toEqual([]);
  });

  test.each(['a', 'b'])('brings no change that others make of %s meanwhile', async (name) => {
    before = (what) => {
      if (what !== `publications ${name === 'a' ? 'b' : 'a'}`) return;
      before = () => undefined;
      meddle(name);
    };
    if (name === 'b') {
      // It is brought before: what waits there afterwards is told.
      const { notes, output } = await run();
      expect(output).toMatchObject({ data: { state: 'moved' } });
      expect(notes.at(-1)).toContain('b: other changes wait to be brought to its LBs: b-lb1');
      return;
    }
    await expect(run()).rejects.toMatchObject({ message: expect.stringContaining('other changes wait') as string });
    expect(done).toEqual(forward.slice(0, 4));
    done = [];
    await expect(run()).rejects.toThrow(WeirError);
    expect(done).toEqual([]);
    expect(await run({ pending: true })).toMatchObject({ output: { data: { state: 'moved' } } });
  });

  test('what others changed and brought meanwhile is in nobody’s way', async () => {
    before = (what) => {
      if (what !== 'connections a') return;
      before = () => undefined;
      meddle('a');
      bringTo('publications', of('a'));
      bringTo('activations', of('a'));
    };
    expect(await run()).toMatchObject({ output: { data: { state: 'moved' } } });
    expect(done.slice(-3)).toEqual(['end a b', 'publication a 7', 'activation a 7']);
  });

  test('is stopped between two steps, with a word on how to go on', async () => {
    looks = [5];
    before = (what) => {
      if (what !== 'connections a') return;
      before = () => undefined;
      process.emit('SIGINT');
    };
    const listeners = process.listenerCount('SIGINT');
    const { output, notes } = await run();
    expect(output).toMatchObject({ exit: 1, data: { state: 'stopped', clusters: ['a', 'b'] } });
    expect(notes.at(-1)).toBe('stopped: go on with it by the same command, or go back with --cancel');
    expect(done).toEqual(forward.slice(0, 6));
    expect(process.listenerCount('SIGINT')).toBe(listeners);
    looks = [0];
    done = [];
    expect(await run()).toMatchObject({ output: { data: { state: 'moved' } } });
    expect(done).toEqual(forward.slice(6));
  });

  test('as a dry run says what is next, and changes nothing', async () => {
    const { output } = await run({ dryRun: true });
    expect(output.text).toMatch(/cluster a: would become.*\ncluster b: would become/);
    ends = { 'publication b 4': 'failed' };
    await run();
    done = [];
    await run({ dryRun: true });
    await run({ dryRun: true, cancel: true });
    expect(done).toEqual([]);
  });

  test('refuses what makes no sense before it changes anything', async () => {
    await expect(run({ to: 'a' })).rejects.toMatchObject({ code: 'usage' });
    await expect(run({ timeout: 'x' })).rejects.toMatchObject({ code: 'usage' });
    await expect(run({ seen: '1.5h' })).rejects.toMatchObject({
      code: 'usage',
      hint: expect.stringContaining('--seen') as string,
    });
    await expect(run({ to: 'nowhere' })).rejects.toMatchObject({ code: 'not_found' });
    await expect(run({ cancel: true })).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('is not moving') as string,
    });
    clusters = { a: played(cluster('a', [])), b: played(cluster('b', [vip()])) };
    for (const options of [{}, { dryRun: true }]) {
      await expect(run(options)).rejects.toMatchObject({
        code: 'not_found',
        message: expect.stringContaining('did not come from there') as string,
      });
    }
    clusters = { a: played(cluster('a', [])), b: played(cluster('b', [])) };
    await expect(run()).rejects.toMatchObject({ code: 'not_found' });
    clusters = { a: played(cluster('a', [vip()])), b: played(cluster('b', [vip()])) };
    await expect(run()).rejects.toMatchObject({ code: 'exists' });
    expect(done).toEqual([]);
  });
});

describe('vip move --cancel', () => {
  const back = ['restore a b', 'publication b 5', 'activation b 5', 'cancel a b', 'publication b 6', 'activation b 6'];

  test('takes it from the new cluster once the old one is seen to announce it', async () => {
    ends = { 'publication a 5': 'failed' };
    await run();
    expect(of('a').document.vip2ws[0]?.announce).toBe('none');
    done = [];
    const { output, notes } = await run({ cancel: true });
    // The old cluster never had its withdrawal: what it runs is what it should.
    expect(done).toEqual(back);
    expect(output).toMatchObject({
      data: { state: 'cancelled', clusters: ['a'] },
      text: `VIP ${address} is in cluster a as before\n`,
    });
    expect(holders()).toEqual([[[undefined, undefined]], []]);
    expect(notes).toContain(`a: every LB in service serves and announces VIP ${address}`);
  });

  test('announces it again first where it was withdrawn', async () => {
    looks = [5];
    before = (what) => void (what === 'connections a' && process.emit('SIGINT'));
    await run();
    before = () => undefined;
    done = [];
    await run({ cancel: true });
    expect(done).toEqual([back[0], 'publication a 6', 'activation a 6', ...back.slice(1)]);
  });

  test('leaves the new cluster as it is while the old one does not serve it, and goes on when it is run again', async () => {
    ends = { 'activation b 4': 'failed' };
    await run();
    done = [];
    rows = { 'a-lb1': () => ({ announced: [] }) };
    const { output, notes } = await run({ cancel: true, seen: '10s' });
    expect(output).toMatchObject({ exit: 1 });
    expect(notes.at(-1)).toContain('Nothing was taken from b');
    expect(notes.at(-1)).not.toContain('--cancel');
    expect(done).toEqual(['restore a b']);
    rows = {};
    done = [];
    expect(await run({ cancel: true })).toMatchObject({ output: { data: { state: 'cancelled' } } });
    expect(done).toEqual(back.slice(1));
    done = [];
    expect(await run({ cancel: true })).toMatchObject({ output: { data: { state: 'cancelled' } } });
    expect(done).toEqual([]);
  });

  test('takes nothing from the new cluster that still announces it, and can be turned round again', async () => {
    ends = { 'publication a 5': 'failed' };
    await run();
    done = [];
    rows = { 'b-lb1': () => ({ announced: [{ vip: address, on: 'lo' }] }) };
    const { output, notes } = await run({ cancel: true, seen: '10s' });
    expect(output).toMatchObject({ exit: 1, data: { state: 'moving', clusters: ['a', 'b'] } });
    expect(notes.at(-1)).toContain('b-lb1 may still announce');
    expect(done).toEqual(back.slice(0, 3));
    rows = {};
    done = [];
    expect(await run()).toMatchObject({ output: { data: { state: 'moved' } } });
    expect(done.slice(0, 4)).toEqual(['begin a b', 'publication b 6', 'activation b 6', 'withdraw a b']);
  });

  test('is too late when the move has ended', async () => {
    await run();
    await expect(run({ cancel: true })).rejects.toMatchObject({
      code: 'conflict',
      hint: `move it back: weir vip move ${address} --from b --to a`,
    });
  });
});
