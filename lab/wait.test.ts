import { expect, test } from 'vitest';
import { waitFor } from './wait.ts';

test('waiting ends with the first answer that is neither false nor undefined', async () => {
  const answers = [undefined, false, 0];
  expect(await waitFor('an answer', () => answers.shift(), { everyMs: 1 })).toBe(0);
  expect(answers).toEqual([]);
});

test('a probe that throws is asked again', async () => {
  let asked = 0;
  const probe = async (): Promise<string> => {
    asked += 1;
    if (asked < 3) throw new Error('not yet');
    return 'there';
  };
  expect(await waitFor('it', probe, { everyMs: 1 })).toBe('there');
});

test('where the time is over, what was waited for is told, and what the probe threw last', async () => {
  const never = waitFor('a route', () => false, { timeoutMs: 5, everyMs: 1 });
  await expect(never).rejects.toMatchObject({ code: 'failed', message: 'Waited 5 ms for a route' });
  const failing = (): never => {
    throw new Error('no such device');
  };
  await expect(waitFor('a route', failing, { timeoutMs: 5, everyMs: 1 })).rejects.toThrow(
    'Waited 5 ms for a route: no such device',
  );
});

test('a signal ends the waiting with its reason', async () => {
  const controller = new AbortController();
  const waiting = waitFor('it', () => false, { signal: controller.signal, everyMs: 600_000 });
  controller.abort(new Error('gone'));
  await expect(waiting).rejects.toThrow('gone');
});
