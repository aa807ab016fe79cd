import { describe, expect, test } from 'vitest';
import type { RemoteExit } from '../remote/port.ts';
import { untilLetIn, wasTurnedAway } from './let-in.ts';

const exit = (stderr: string, code = 255): RemoteExit => ({
  code,
  stderr,
  timedOut: false,
  bytesSent: 0,
  bytesReceived: 0,
});

describe('a session', () => {
  const turnedAway = {
    'that sshd drops, with too many unfinished logins':
      'kex_exchange_identification: read: Connection reset by peer\nConnection reset by 10.0.0.1 port 22',
    'that sshd closes': 'kex_exchange_identification: Connection closed by remote host\nConnection closed by 10.0.0.1',
    'that an older ssh tells of': 'ssh_exchange_identification: Connection closed by remote host',
    'that a newer sshd tells of': 'kex_exchange_identification: banner line 0: Exceeded MaxStartups',
  };
  for (const [what, words] of Object.entries(turnedAway)) {
    test(`${what} may be tried again`, () => {
      expect(wasTurnedAway(exit(words), false)).toBe(true);
      expect(wasTurnedAway(exit(words), true)).toBe(false);
      expect(wasTurnedAway(exit(words, 1), false)).toBe(false);
    });
  }

  const answers = {
    'that is refused': 'ssh: connect to host lb1 port 22: Connection refused',
    'that a jump host is refused':
      'channel 0: open failed: connect failed: Connection refused\nstdio forwarding failed\nkex_exchange_identification: Connection closed by remote host',
    'to a machine that does not answer':
      'Connection timed out during banner exchange\nConnection to 10.0.0.1 timed out',
    'to a machine with another host key': 'Host key verification failed.',
    'that is not let log in': 'weir@lb1: Permission denied (publickey).',
    'to a name that is unknown': 'ssh: Could not resolve hostname lb1: Name or service not known',
    'that ends later': 'Connection to 10.0.0.1 closed by remote host.',
  };
  for (const [what, words] of Object.entries(answers)) {
    test(`${what} is not tried again`, () => {
      expect(wasTurnedAway(exit(words), false)).toBe(false);
    });
  }
});

describe('trying until let in', () => {
  /** Is let in at the nth try; 0: never. */
  function door(letIn: number) {
    let tries = 0;
    const attempt = () => {
      tries += 1;
      return Promise.resolve({ result: tries, turnedAway: tries !== letIn });
    };
    return { attempt, tries: () => tries };
  }
  const quick = { timeoutMs: 60_000, random: () => -0.5 };

  test('ends at the first try that is let in', async () => {
    expect(await untilLetIn(door(1).attempt, quick)).toEqual({ result: 1, turnedAway: 0 });
    expect(await untilLetIn(door(3).attempt, quick)).toEqual({ result: 3, turnedAway: 2 });
  });

  test('gives up after five tries', async () => {
    const { attempt, tries } = door(0);
    expect(await untilLetIn(attempt, quick)).toEqual({ result: 5, turnedAway: 5 });
    expect(tries()).toBe(5);
  });

  test('does not wait beyond the time limit, and gives every try what is left of it', async () => {
    const limits: number[] = [];
    const outcome = await untilLetIn(
      (timeoutMs) => {
        limits.push(timeoutMs);
        return Promise.resolve({ result: 'away', turnedAway: true });
      },
      { timeoutMs: 100, random: () => 0.5 },
    );
    expect(outcome).toEqual({ result: 'away', turnedAway: 1 });
    expect(limits).toHaveLength(1);
    expect(limits[0]).toBeLessThanOrEqual(100);
  });

  test('stops waiting when it is cancelled', async () => {
    const stop = new AbortController();
    const { attempt, tries } = door(0);
    const outcome = untilLetIn(
      () => {
        setImmediate(() => stop.abort());
        return attempt();
      },
      { timeoutMs: 60_000, signal: stop.signal, random: () => 1000 },
    );
    await outcome;
    expect(tries()).toBe(1);
  });
});
