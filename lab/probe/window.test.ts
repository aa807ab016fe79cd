import { describe, expect, test } from 'vitest';
import { type Failure, type Live, lossOf, openTally, type Tally } from './window.ts';

const nothing: Live = { keepalives: 0, downloads: { running: 0, perWs: {} } };

describe('a window', () => {
  test('its figures are those of what was started in it', async () => {
    const tally = openTally();
    for (let i = 1; i <= 200; i += 1) {
      tally.sent(i === 7 ? 12.4 : 0);
      tally.answered({ target: `t${i % 2}`, ws: i <= 50 ? 'ws1' : 'ws2', source: 'lip', latency: i });
    }
    for (const at of [5000, 2000, 3500]) fail(tally, { at, kind: at === 2000 ? 'reset' : 'timeout' });
    const window = await tally.close('here', nothing);
    expect(window).toMatchObject({ name: 'here', started: 203, ok: 200, failed: 3, late: 12 });
    expect(window.latency).toEqual({ p50: 100, p99: 198, max: 200 });
    expect(window.failedSpan).toEqual({ first: 2000, last: 5000, length: 3000 });
    expect(window.failures.map(({ at }) => at)).toEqual([2000, 3500, 5000]);
    expect(window.kinds).toMatchObject({ reset: 1, timeout: 2, refused: 0 });
    expect(window.perWs).toEqual({ ws1: 50, ws2: 150 });
    expect(window.perSource).toEqual({ lip: 200 });
    expect(window.perTarget).toEqual({ t0: { ok: 100, failed: 0 }, t1: { ok: 100, failed: 3 } });
  });

  test('without an answer it has no latency, without a failure no span', async () => {
    const window = await openTally().close('empty', nothing);
    expect(window).not.toHaveProperty('latency');
    expect(window).not.toHaveProperty('failedSpan');
  });

  test('it is told when all that began in it has ended, as it was then', async () => {
    const tally = openTally();
    tally.begun();
    tally.begun();
    tally.ended();
    let told = false;
    const closing = tally.close('waiting', nothing).then((window) => {
      told = true;
      return window;
    });
    await Promise.resolve();
    expect(told).toBe(false);
    tally.keepalive.kinds.reset += 1;
    tally.ended();
    expect((await closing).keepalive).toMatchObject({ breaks: 1, open: 0 });
  });
});

describe('the summary of a window', () => {
  test('without a loss it is short', async () => {
    const tally = openTally();
    for (let i = 0; i < 1204; i += 1) {
      tally.sent(1);
      tally.answered({ target: 't', ws: 'ws1', source: 'lip', latency: 11.6 });
    }
    expect(lossOf(await tally.close('quiet', nothing))).toBe('0 of 1,204 failed; p99 12 ms');
  });

  test('with one it tells what failed and for how long, what else broke, and whether times can be trusted', async () => {
    const tally = openTally();
    for (const at of [1000, 2000, 4200]) fail(tally, { at, kind: at === 2000 ? 'reset' : 'timeout' });
    tally.sent(1500);
    tally.keepalive.kinds.closed = 2;
    Object.assign(tally.downloads, { reset: 1, stalled: 4 });
    expect(lossOf(await tally.close('loud', nothing))).toBe(
      '3 of 4 failed (2 timeout, 1 reset) within 3.2 s; 2 keep-alive broken (2 closed); ' +
        '5 downloads broken (4 stalled, 1 reset); sent up to 1,500 ms late',
    );
  });
});

function fail(tally: Tally, failure: Pick<Failure, 'at' | 'kind'>): void {
  tally.sent(0);
  tally.failed({ took: 1, target: 't1', client: 'c', ...failure });
}
