import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Answer, Call, Client } from '../../client/client.ts';
import type { LbJobView, LbProgress } from '../../contract/schemas.ts';
import { WeirError } from '../../domain/errors.ts';
import type { CommandContext, Output } from '../command.ts';
import { wsDrainCommands } from './drain.ts';

const [drain, undrain] = wsDrainCommands;
const vips = ['10.1.0.1', '10.1.0.2'];

interface Counts {
  active: number | null;
  inactive: number | null;
  persistent: number | null;
  error?: string;
}

/** A server that is played: what it says, and what it was asked. */
interface Played {
  /** State of the WS `a` by VIP. */
  states: Record<string, string>;
  /** Row of the only LB in the plan. */
  planned: { published: { release: string; revision: number; activated: boolean } | null };
  /** How a publication and an activation end. */
  ends: Record<string, Partial<LbJobView> & { lb?: Partial<LbProgress> }>;
  /** Connections at each look, by LB; the last stays. */
  looks: Record<string, Counts>[];
  asked: { path: string; call: Call }[];
}

let played: Played;

beforeEach(() => {
  vi.useFakeTimers();
  played = {
    states: {},
    planned: { published: { release: 'r', revision: 4, activated: true } },
    ends: {},
    looks: [{ lb1: { active: 0, inactive: 0, persistent: 0 } }],
    asked: [],
  };
});
afterEach(() => vi.useRealTimers());

function answer(path: string, call: Call): unknown {
  const [, , , kind, id] = path.split('/');
  switch (kind) {
    case undefined:
      return {
        name: 'c',
        vip2ws: [
          ...vips.map((vip) => ({ vip, wss: ['a', 'b'], wsattrs: { a: { state: played.states[vip] ?? 'up' } } })),
          { vip: '10.1.0.3', wss: ['b'] },
        ],
      };
    case 'plan':
      return {
        cluster: 'c',
        lbs: { lb1: { release: 'r', files: 1, ...played.planned } },
        files: [{ path: 'x', lbs: ['lb1'] }],
      };
    case 'batch':
      return { cluster: 'c', revision: 5, changed: true, warnings: [] };
    case 'connections':
      return { ws: 'a', lbs: played.looks.length > 1 ? played.looks.shift() : played.looks[0] };
    case 'publications':
    case 'activations':
      expect(id).toBeUndefined();
      expect(call.method).toBe('POST');
      return jobOf(kind, 'running', { state: 'waiting' });
    default:
      throw new Error(`nobody plays ${path}`);
  }
}

function jobOf(id: string, jobState: string, lb: Partial<LbProgress>): LbJobView {
  const state = id === 'publications' ? 'published' : 'activated';
  const row = { state, step: 'confirm', message: '', warnings: [], release: 'r', bytes: 0, ...lb };
  return { id, cluster: 'c', revision: 5, state: jobState, by: 'x', at: '', warnings: [], lbs: { lb1: row } };
}

const client: Client = {
  url: 'http://played',
  call<T>(path: string, call: Call = {}) {
    played.asked.push({ path, call });
    const headers = new Headers({ etag: '"4"' });
    return Promise.resolve({ status: 200, headers, data: answer(path, call) } as Answer<T>);
  },
  async *download() {},
  async *stream(path) {
    const id = path.split('/')[3] ?? '';
    const { lb = {}, ...end } = played.ends[id] ?? {};
    yield { event: 'end', data: { ...jobOf(id, 'done', lb), ...end }, id: undefined };
  },
};

interface Ran {
  output: Output;
  notes: string[];
}

async function run(command: typeof drain, options: Record<string, unknown> = {}): Promise<Ran> {
  const notes: string[] = [];
  const context: CommandContext = {
    client: () => client,
    options,
    note: (text) => notes.push(text),
    terminal: false,
    readFile: () => Promise.reject(new Error('no file')),
    write: () => Promise.reject(new Error('nothing is written')),
  };
  const running = command?.run(context, ['c', 'a']);
  const state = { over: false };
  const settle = () => (state.over = true);
  running?.then(settle, settle);
  while (!state.over) await vi.advanceTimersByTimeAsync(1000);
  const output = await running;
  if (!output) throw new Error('no output');
  return { output, notes };
}

const asked = (kind: string) => played.asked.filter(({ path }) => path.split('/')[3] === kind).map(({ call }) => call);

describe('ws drain', () => {
  test('changes all VIPs at once, publishes and activates that revision, and waits until all is gone', async () => {
    played.looks = [
      { lb1: { active: 9, inactive: 2, persistent: 5 }, lb2: { active: 0, inactive: 0, persistent: 0 } },
      { lb1: { active: 0, inactive: 2, persistent: 5 }, lb2: { active: 0, inactive: 0, persistent: 0 } },
      { lb1: { active: 0, inactive: 0, persistent: 3 }, lb2: { active: 0, inactive: 0, persistent: 0 } },
      { lb1: { active: 0, inactive: 0, persistent: 0 }, lb2: { active: 0, inactive: 0, persistent: 0 } },
    ];
    const { output, notes } = await run(drain, { message: 'why' });
    expect(asked('batch')).toEqual([
      {
        method: 'POST',
        headers: { 'if-match': '"4"' },
        query: { message: 'why' },
        body: { operations: vips.map((vip) => ({ op: 'ws.set', vip, ws: 'a', set: { state: 'drain' } })) },
      },
    ]);
    for (const kind of ['publications', 'activations']) expect(asked(kind)).toMatchObject([{ body: { revision: 5 } }]);
    const order = played.asked.map(({ path }) => path.split('/')[3]);
    expect([...new Set(order)]).toEqual([undefined, 'plan', 'batch', 'publications', 'activations', 'connections']);
    expect(output).toMatchObject({ data: { ws: 'a', vips, revision: 5, state: 'drained' } });
    expect(output.exit ?? 0).toBe(0);
    // Told when it changes.
    expect(notes.filter((n) => n.startsWith('lb'))).toEqual([
      'lb1: published',
      'lb1: activated',
      'lb1: 9 active, 2 inactive connections, 5 persistence entries',
      'lb2: 0 active, 0 inactive connections, 0 persistence entries',
      'lb1: 0 active, 2 inactive connections, 5 persistence entries',
      'lb1: 0 active, 0 inactive connections, 3 persistence entries',
      'lb1: 0 active, 0 inactive connections, 0 persistence entries',
    ]);
  });

  test('goes to the VIPs that are named only', async () => {
    await run(drain, { vip: ['10.1.0.2'] });
    expect(asked('batch')[0]?.body).toEqual({
      operations: [{ op: 'ws.set', vip: '10.1.0.2', ws: 'a', set: { state: 'drain' } }],
    });
    await run(drain, { vip: vips });
    await run(drain);
    expect(asked('connections').map((c) => c.query)).toEqual([
      { ws: 'a', vip: '10.1.0.2' },
      { ws: 'a', vip: '10.1.0.1,10.1.0.2' },
      { ws: 'a' },
    ]);
    for (const vip of ['10.1.0.3', '10.1.0.9']) {
      await expect(run(drain, { vip: [vip] })).rejects.toMatchObject({
        code: 'not_found',
        message: `VIP ${vip} has no WS a`,
      });
    }
  });

  test('run again waits on, without another revision', async () => {
    played.states = { [vips[0] ?? '']: 'drain', [vips[1] ?? '']: 'drain' };
    const { output } = await run(drain);
    expect(asked('batch')).toEqual([]);
    expect(asked('publications')).toMatchObject([{ body: { revision: 4 } }]);
    expect(output).toMatchObject({ data: { state: 'drained', revision: 4 } });
  });

  test.each([
    ['not published', { published: { release: 'older', revision: 3, activated: true } }, 'lb1 (not published: x)'],
    ['never published', { published: null }, 'lb1 (not published: x)'],
    ['not activated', { published: { release: 'r', revision: 3, activated: false } }, 'lb1 (published, not activated)'],
  ])('is refused while other changes wait that are %s, unless they may go along', async (_, planned, named) => {
    played.planned = planned;
    const refused = run(drain);
    await expect(refused).rejects.toThrow(WeirError);
    await expect(refused).rejects.toMatchObject({
      code: 'conflict',
      message: `other changes wait to be brought to the LBs: ${named}`,
      hint: expect.stringContaining('--pending') as string,
    });
    expect(asked('batch')).toEqual([]);
    const { output } = await run(drain, { pending: true });
    expect(output).toMatchObject({ data: { state: 'drained' } });
  });

  test.each(['publications', 'activations'])('ends where one of the %s fails, and says how to go on', async (kind) => {
    played.ends[kind] = { state: 'failed', lb: { state: 'failed', step: 'check', message: 'no' } };
    const { output, notes } = await run(drain);
    expect(output).toMatchObject({ exit: 1, data: { id: kind, state: 'failed' } });
    expect(notes.at(-1)).toContain('weir ws drain c a --pending');
    expect(asked('connections')).toEqual([]);
    if (kind === 'publications') expect(asked('activations')).toEqual([]);
  });

  test('that finds connections at the end of its time fails with what is left; the WS stays drained', async () => {
    played.looks = [{ lb1: { active: 1, inactive: 0, persistent: 0 } }];
    const { output, notes } = await run(drain, { timeout: '1m', vip: ['10.1.0.1'] });
    expect(output).toMatchObject({
      exit: 1,
      data: { state: 'draining', lbs: { lb1: { active: 1, inactive: 0, persistent: 0 } } },
    });
    expect(notes.at(-1)).toMatch(/stays drained: .*weir ws drain c a\b.*weir ws undrain c a/);
    expect(asked('connections')).toHaveLength(31);
  });

  test('is not over while an LB cannot be asked', async () => {
    const error = 'No route to host';
    played.looks = [
      { lb1: { active: null, inactive: null, persistent: null, error } },
      { lb1: { active: 0, inactive: 0, persistent: null } },
    ];
    const { output, notes } = await run(drain, { vip: ['10.1.0.1'] });
    expect(notes).toContain(`lb1: cannot be asked: ${error}`);
    expect(notes.at(-1)).toMatch(/^warning: lb1 cannot count persistence entries/);
    expect(output).toMatchObject({ data: { state: 'drained' } });
  });

  test('with --no-wait ends with the activation', async () => {
    played.looks = [{ lb1: { active: 1, inactive: 0, persistent: 0 } }];
    const { output } = await run(drain, { wait: false });
    expect(output).toMatchObject({ exit: 0, data: { state: 'drain', revision: 5 } });
    expect(asked('connections')).toEqual([]);
  });

  test('as a dry run only asks', async () => {
    played.planned = { published: null };
    await run(drain, { dryRun: true });
    expect(asked('batch')).toMatchObject([{ query: { dryRun: true } }]);
    expect(asked('publications')).toEqual([]);
  });

  test.each(['x', '10x', '-1', '1.5h', ''])('refuses %j as a time before it changes anything', async (timeout) => {
    await expect(run(drain, { timeout })).rejects.toMatchObject({ code: 'usage' });
    expect(played.asked).toEqual([]);
  });
});

describe('ws undrain', () => {
  test('gives the weight back where it is drained, publishes and activates, and waits for nothing', async () => {
    played.states = { [vips[1] ?? '']: 'drain' };
    played.looks = [{ lb1: { active: 1, inactive: 0, persistent: 0 } }];
    const { output } = await run(undrain);
    expect(asked('batch')[0]?.body).toEqual({
      operations: [{ op: 'ws.set', vip: vips[1], ws: 'a', set: { state: 'up' } }],
    });
    expect(output).toMatchObject({ exit: 0, data: { state: 'up', revision: 5 } });
    expect(asked('connections')).toEqual([]);
  });

  test('leaves a WS that is down as it is', async () => {
    played.states = { [vips[0] ?? '']: 'down', [vips[1] ?? '']: 'down' };
    await run(undrain);
    expect(asked('batch')).toEqual([]);
  });
});
