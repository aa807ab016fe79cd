import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Answer, Call, Client } from '../../client/client.ts';
import type { LbStatusView } from '../../contract/status.ts';
import { WeirError } from '../../domain/errors.ts';
import type { CommandContext, Output } from '../command.ts';
import { lbRetire } from './lb-retire.ts';

/** A server that is played: its document, what lb1 tells at each look (the last stays), what is asked of it. */
interface Played {
  lbs: { hostname: string; state?: string }[];
  vips: number;
  looks: Partial<LbStatusView>[];
  drained: { state: string; warnings: string[] };
  asked: { path: string; call: Call }[];
  /** Called when a request has come. */
  hear: (path: string) => void;
}

let played: Played;

const serving: Partial<LbStatusView> = {
  announced: [
    { vip: '10.1.0.1', on: 'lo' },
    { vip: '10.1.0.2', on: 'weir-high' },
  ],
  kernel: kernel(9, 4),
};
const withdrawn = (active: number, inactive = 0): Partial<LbStatusView> => ({
  announced: [],
  kernel: kernel(active, inactive),
});

function kernel(active: number, inactive: number): NonNullable<LbStatusView['kernel']> {
  return { connections: { active, inactive } } as NonNullable<LbStatusView['kernel']>;
}

beforeEach(() => {
  vi.useFakeTimers();
  played = {
    lbs: [{ hostname: 'lb1' }, { hostname: 'lb2', state: 'drain' }, { hostname: 'lb3' }],
    vips: 2,
    looks: [serving, withdrawn(9, 4), withdrawn(0, 4), withdrawn(0)],
    drained: { state: 'drained', warnings: [] },
    asked: [],
    hear: () => undefined,
  };
});
afterEach(() => vi.useRealTimers());

function answer(path: string, call: Call): unknown {
  const [, , , kind, ...more] = path.split('/');
  const vip2ws = Array.from({ length: played.vips }, (_, i) => ({ vip: `10.1.0.${i}` }));
  switch (kind) {
    case undefined:
      return { name: 'c', lbinfos: played.lbs, vip2ws };
    case 'status':
      expect(call.query).toMatchObject({ services: true, lbs: 'lb1' });
      return {
        lbs: [{ lb: 'lb1', state: 'ok', ...(played.looks.length > 1 ? played.looks.shift() : played.looks[0]) }],
      };
    case 'lbs':
      expect(more).toEqual(['lb1', 'drain']);
      for (const lb of played.lbs) if (lb.hostname === 'lb1') lb.state = 'drain';
      return { machine: { message: '', ...played.drained }, warnings: [] };
    case 'batch':
      if (call.query?.['dryRun'] !== true) played.lbs = played.lbs.filter(({ hostname }) => hostname !== 'lb1');
      return {
        cluster: 'c',
        revision: 6,
        changed: true,
        dryRun: call.query?.['dryRun'] === true,
        deleted: false,
        warnings: [],
      };
    case 'lips':
      return {
        lbs: {},
        quarantine: {
          '10.0.0.7': { lb: 'lb1', since: 'x' },
          '10.0.0.8': { lb: 'lb1', since: 'x' },
          '10.0.0.9': { lb: 'old', since: 'x' },
        },
      };
    default:
      throw new Error(`nobody plays ${path}`);
  }
}

const client: Client = {
  url: 'http://played',
  call<T>(path: string, call: Call = {}) {
    played.asked.push({ path, call });
    played.hear(path);
    return Promise.resolve({
      status: 200,
      headers: new Headers({ etag: '"5"' }),
      data: answer(path, call),
    } as Answer<T>);
  },
  async *download() {},
  async *stream() {},
};

async function run(options: Record<string, unknown> = {}): Promise<{ output: Output; notes: string[] }> {
  const notes: string[] = [];
  const context: CommandContext = {
    client: () => client,
    options,
    note: (text) => notes.push(text),
    terminal: false,
    readFile: () => Promise.reject(new Error('no file')),
    write: () => Promise.reject(new Error('nothing is written')),
  };
  const running = lbRetire.run(context, ['c', 'lb1']);
  const state = { over: false };
  const settle = () => (state.over = true);
  running.then(settle, settle);
  while (!state.over) await vi.advanceTimersByTimeAsync(1000);
  const output = await running;
  if (!output) throw new Error('no output');
  return { output, notes };
}

const asked = (kind: string) => played.asked.filter(({ path }) => path.split('/')[3] === kind).map(({ call }) => call);

describe('lb retire', () => {
  test('drains it, waits until it announces nothing and has no connections, and removes it', async () => {
    played.drained.warnings = ['careful'];
    const { output, notes } = await run({ message: 'old disk' });
    const order = played.asked.map(({ path }) => path.split('/')[3] ?? 'document');
    expect(order.filter((kind, i) => kind !== order[i - 1])).toEqual([
      'document',
      'status',
      'lbs',
      'status',
      'document',
      'batch',
      'lips',
    ]);
    expect(asked('lbs')).toMatchObject([{ method: 'POST', body: { reason: 'retired' } }]);
    expect(asked('batch')).toEqual([
      {
        method: 'POST',
        headers: { 'if-match': '"5"' },
        body: { operations: [{ op: 'lb.remove', lbs: ['lb1'] }] },
        query: { message: 'old disk' },
      },
    ]);
    expect(output).toEqual({
      data: { cluster: 'c', lb: 'lb1', revision: 6, state: 'retired', quarantined: ['10.0.0.7', '10.0.0.8'] },
      text: 'lb1: retired\n',
    });
    expect(notes).toEqual([
      'warning: lb1: careful',
      'lb1: drained',
      'lb1: announces nothing any more',
      'lb1: 0 active, 4 inactive connections',
      'lb1: 0 active, 0 inactive connections',
      'lb1: removed from cluster c by revision 6',
      expect.stringContaining('10.0.0.7, 10.0.0.8. Nobody gets them until you free them'),
      expect.stringMatching(/^the configuration on lb1 stays as it is, drained: .*may be stopped there now$/),
    ]);
    expect(notes[6]).toContain('weir lb free c 10.0.0.7 10.0.0.8');
  });

  test('with connections at the end of its time stays drained, and goes with them when asked to', async () => {
    played.looks = [serving, withdrawn(1)];
    const { output, notes } = await run({ timeout: '1m' });
    expect(output).toMatchObject({ exit: 1, data: { state: 'draining', connections: { active: 1, inactive: 0 } } });
    expect(notes.at(-1)).toMatch(/stays drained: .*\(--now\).*weir lb undrain c lb1/);
    expect(asked('batch')).toEqual([]);
    expect(asked('status')).toHaveLength(33);
    expect(await run({ now: true })).toMatchObject({ output: { data: { state: 'retired' } } });
  });

  test('is not removed while it announces anything', async () => {
    played.looks = [serving];
    const { output, notes } = await run({ now: true });
    expect(output).toMatchObject({ exit: 1, data: { state: 'draining' } });
    expect(notes).toContain('lb1: it still announces 10.1.0.1, 10.1.0.2');
    expect(notes.at(-1)).toContain('not seen to have withdrawn all');
    expect(asked('batch')).toEqual([]);
  });

  test('is not empty while it cannot be asked', async () => {
    const gone: Partial<LbStatusView> = { state: 'unreachable', error: 'No route' };
    played.looks = [serving, withdrawn(3), gone, gone, withdrawn(0)];
    const { output, notes } = await run();
    expect(notes).toContain('lb1: cannot be asked: No route');
    expect(output).toMatchObject({ data: { state: 'retired' } });
    played.lbs.push({ hostname: 'lb1' });
    played.looks = [serving, gone];
    expect(await run()).toMatchObject({ output: { exit: 1 } });
  });

  test('that cannot be reached is refused, or removed after a warning', async () => {
    played.looks = [{ state: 'unreachable', error: 'No route to host' }];
    await expect(run()).rejects.toMatchObject({
      code: 'remote',
      message: 'LB lb1 cannot be asked: No route to host',
      hint: expect.stringContaining('weir lb retire c lb1 --unreachable') as string,
    });
    expect(asked('lbs')).toEqual([]);
    const { output, notes } = await run({ unreachable: true });
    expect(notes[0]).toMatch(
      /^warning: lb1 cannot be asked \(No route to host\): it announces its VIPs again if it comes back/,
    );
    expect(output).toMatchObject({ data: { state: 'retired' } });
    expect(asked('lbs')).toEqual([]);
  });

  test('the last in service is refused, unless there is nothing to announce or it is asked for', async () => {
    const last = { hostname: 'lb1' };
    played.lbs = [last, { hostname: 'lb2', state: 'drain' }];
    await expect(run()).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('its 2 VIPs') as string,
    });
    played.vips = 0;
    expect((await run({ dryRun: true })).output.exit ?? 0).toBe(0);
    played.vips = 2;
    expect(await run({ last: true })).toMatchObject({ output: { data: { state: 'retired' } } });
  });

  test('one that was drained before goes on where it was; one that is not there is not found', async () => {
    played.lbs = [{ hostname: 'lb1', state: 'drain' }, { hostname: 'lb3' }];
    played.looks = [withdrawn(0)];
    played.drained.state = 'unchanged';
    const { notes } = await run();
    expect(notes[0]).toBe('lb1: drained already');
    await expect(run()).rejects.toMatchObject({ code: 'not_found', message: 'cluster c has no LB lb1' });
  });

  test('one that somebody takes back meanwhile stays', async () => {
    played.hear = (path) => {
      const lb = played.lbs[0];
      if (path.endsWith('/status') && lb?.state === 'drain' && played.looks.length === 1) delete lb.state;
    };
    await expect(run()).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('back into service') as string,
    });
    expect(asked('batch')).toEqual([]);
  });

  test('stops between looks when it is asked to', async () => {
    played.looks = [serving, withdrawn(5)];
    played.hear = (path) => void (path.endsWith('/drain') && process.emit('SIGINT'));
    const { output } = await run({ timeout: '1h' });
    expect(output).toMatchObject({ exit: 1, data: { state: 'draining' } });
    expect(asked('status')).toHaveLength(3);
    played.looks = [withdrawn(0)];
    expect(await run()).toMatchObject({ output: { exit: 1, data: { state: 'draining' } } });
    expect(asked('batch')).toEqual([]);
  });

  test('as a dry run only asks', async () => {
    const { output } = await run({ dryRun: true });
    expect(output.text).toContain('would become revision 6');
    expect(asked('batch')).toMatchObject([{ query: { dryRun: true }, headers: { 'if-match': '*' } }]);
    expect(asked('lbs')).toEqual([]);
  });

  test.each(['x', '10x', '-1'])('refuses %j as a time before it asks anything', async (timeout) => {
    await expect(run({ timeout })).rejects.toThrow(WeirError);
    expect(played.asked).toEqual([]);
  });
});
