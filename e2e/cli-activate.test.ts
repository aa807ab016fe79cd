/** Publishing, activating, undoing and draining at the command line, over HTTP, on LBs that are played. */
import { Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openApi, adminToken } from '../src/api/testing.ts';
import type { Api } from '../src/api/testing.ts';
import { runCli } from '../src/cli/program.ts';
import type { PlayedSession } from '../src/jobs/testing.ts';
import { cluster, lb } from '../src/store/testing.ts';

let api: Api;
let url: string;
/** What the LBs say to a request, by its word; for one LB by `WORD LB`. */
let says: Record<string, (session: PlayedSession) => void>;
let requests: string[];

beforeEach(async () => {
  requests = [];
  says = {
    publish: (s) => s.publish(),
    activate: (s) => s.done('activated x'),
    drain: (s) => s.done('drained'),
    undrain: (s) => s.done('undrained'),
    undo: (s) => s.done('undone 0123'),
  };
  api = await openApi({
    play(session) {
      const word = session.received.split(' ')[2] ?? '';
      requests.push(`${word} ${session.target.host}`);
      (says[`${word} ${session.target.host}`] ?? says[word])?.(session);
    },
  });
  api.jobs.setHosts('10.9.0.1 ws1.room1\n10.9.0.2 ws2.room1\n');
  const second = { ...lb('lb2.room1'), routerid: '10.0.0.2', internalip: '10.0.0.2' };
  await api.jobs.create(cluster('c', { lbinfos: [lb('lb1.room1'), second] }));
  url = await api.app.listen({ host: '127.0.0.1', port: 0 });
});

afterEach(() => api.close());

interface Ran {
  code: number;
  out: string;
  err: string;
}

function sink(): { stream: NodeJS.WriteStream; text: () => string } {
  let text = '';
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk);
      done();
    },
  });
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => text };
}

async function weir(...argv: string[]): Promise<Ran> {
  const stdout = sink();
  const stderr = sink();
  const options = {
    version: '0.0.0',
    extra: [],
    env: { WEIR_TOKEN: adminToken },
    stdout: stdout.stream,
    stderr: stderr.stream,
  };
  const code = await runCli(['--url', url, ...argv], options);
  return { code, out: stdout.text(), err: stderr.text() };
}

function failAt(step: string, words: string): (session: PlayedSession) => void {
  return (session) => {
    session.say(`step ${step}`);
    session.say(`fail ${step} ${words}`);
    session.fail('');
  };
}

describe('activate', () => {
  test('is what publish says is next, and brings every LB to what is published', async () => {
    const published = await weir('publish', 'c');
    expect(published.code).toBe(0);
    expect(published.err).toContain('weir activate c');
    expect((await weir('plan', 'c')).out).toContain('not activated by Weir on lb1.room1, lb2.room1: weir activate c');
    const { code, out, err } = await weir('activate', 'c', '--wait', '5');
    expect(code).toBe(0);
    expect(out).toMatch(/^LB +STATE +STEP +RELEASE +MESSAGE\nlb1\.room1 +activated .*\nlb2\.room1 +activated /);
    expect(err).toBe('lb1.room1: activated\nlb2.room1: activated\n');
    expect(requests).toEqual([
      ...['lb1', 'lb2'].map((n) => `publish ${n}.room1`),
      'activate lb1.room1',
      'activate lb2.room1',
    ]);
    expect(api.jobs.sessions[2]?.received).toMatch(/ 5 up keep\n$/);
    expect((await weir('plan', 'c')).out).toBe('every LB of c has revision 1 published\n');
    expect((await weir('activations', 'c')).out).toMatch(/^\S+ +1 +done +admin +2$/m);
  });

  test('ends with 1 at the LB that goes back, names the others, and plan tells what is not known now', async () => {
    await weir('publish', 'c');
    says['activate lb1.room1'] = (session) => {
      session.say('warn one WS is down');
      session.say('undone 0123');
      failAt('verify', '10.1.0.1 is not on lo')(session);
    };
    const { code, out, err } = await weir('activate', 'c');
    expect(code).toBe(1);
    expect(out).toMatch(/^lb1\.room1 +undone +verify +\w+ +10\.1\.0\.1 is not on lo$/m);
    expect(out).toMatch(/^lb2\.room1 +cancelled /m);
    expect(err).toContain('lb1.room1: undone at verify: 10.1.0.1 is not on lo\n');
    expect(err).toContain('lb2.room1: cancelled: not activated: LB lb1.room1 was undone\n');
    expect(err).toContain('warning: lb1.room1: one WS is down\n');
    const plan = await weir('plan', 'c');
    expect(plan.code).toBe(3);
    expect(plan.out).toMatch(/lb1\.room1: it went back to what it had before its activation \S+ → release/);
    const again = await weir('activate', 'c');
    expect([again.code, again.out]).toEqual([1, '']);
    expect(again.err).toMatch(/is not known: .*\(not_published\)\n {2}weir publish c --lb lb1\.room1/);
  });

  test('goes to one LB, restarts routing when told to, and need not be waited for', async () => {
    await weir('publish', 'c');
    const started = await weir('activate', 'c', '--lb', 'lb2.room1', '--restart-routing', '--no-wait', '-o', 'json');
    expect(started.code).toBe(0);
    expect(JSON.parse(started.out)).toMatchObject({ state: 'running', lbs: { 'lb2.room1': {} } });
    await expect.poll(() => requests.at(-1)).toBe('activate lb2.room1');
    expect(api.jobs.sessions.at(-1)?.received).toMatch(/ restart\n$/);
    expect((await weir('activate', 'c', '--revision', '9')).err).toMatch(/revision 1 published, not 9/);
    expect((await weir('activate', 'c', '--wait', 'long')).code).toBe(2);
  });
});

describe('undo', () => {
  test('lets an LB go back, and says what follows', async () => {
    await weir('publish', 'c');
    const { code, out, err } = await weir('undo', 'c', 'lb1.room1');
    expect([code, out]).toEqual([0, 'lb1.room1: undone; the document of c says up at revision 1\n']);
    expect(err).toContain('weir plan c');
    expect((await weir('plan', 'c')).out).toContain('lb1.room1: it went back by weir undo → release');
  });

  test('that the LB refuses answers 1 with its words', async () => {
    says['undo'] = failAt('check', 'there is nothing to go back to');
    const { code, out, err } = await weir('undo', 'c', 'lb1.room1');
    expect([code, out]).toEqual([1, '']);
    expect(err).toMatch(
      /was not undone: check: there is nothing to go back to \(remote\)\n {2}on the LB itself: weir undo/,
    );
  });
});

describe('lb drain', () => {
  test('and undrain change the document and tell the LB', async () => {
    const drained = await weir('lb', 'drain', 'c', 'lb1.room1', '--reason', 'new disk');
    expect([drained.code, drained.out]).toEqual([
      0,
      'lb1.room1: drained; the document of c says drain at revision 2\n',
    ]);
    expect(api.jobs.sessions[0]?.received).toMatch(/ new disk\n$/);
    const last = await weir('lb', 'drain', 'c', 'lb2.room1', '--override');
    expect(last.out).toBe('lb2.room1: drained; the document of c says up at revision 2\n');
    expect(last.err).toContain('warning: lbinfos: no other LB of cluster c is up');
    const back = await weir('lb', 'undrain', 'c', 'lb1.room1');
    expect(back.out).toBe('lb1.room1: undrained; the document of c says up at revision 3\n');
    expect((await weir('lb', 'drain', 'c', 'lb1.room1', '--dry-run')).out).toBe(
      'lb1.room1: the document of c would say drain at revision 4\n',
    );
  });

  test('of an LB that cannot be told says that the document’s change stays', async () => {
    says['drain'] = (session) => session.fail('ssh: connect to host lb1.room1 port 22: Connection refused');
    const { code, err } = await weir('lb', 'drain', 'c', 'lb1.room1');
    expect(code).toBe(1);
    expect(err).toMatch(/Connection refused; the document says drain \(revision 2\), the LB does not know/);
    expect(err).toMatch(/\n {2}on the LB itself: weir drain;/);
  });
});

describe('ws drain', () => {
  test('is refused while other changes wait, then goes from the document to the LBs', async () => {
    const refused = await weir('ws', 'drain', 'c', 'ws1.room1', '--no-wait');
    expect([refused.code, refused.out]).toEqual([1, '']);
    expect(refused.err).toMatch(/lb1\.room1 \(not published: .*and \d+ more\).*--pending/s);
    expect(api.jobs.state.get('c')?.revision).toBe(1);
    await weir('publish', 'c');
    expect((await weir('ws', 'drain', 'c', 'ws1.room1', '--no-wait')).err).toContain('(published, not activated)');
    await weir('activate', 'c');
    requests = [];
    const { code, out } = await weir('ws', 'drain', 'c', 'ws1.room1', '--no-wait', '-o', 'json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ ws: 'ws1.room1', vips: ['10.1.0.1'], revision: 2, state: 'drain' });
    expect(requests.slice(-2)).toEqual(['activate lb1.room1', 'activate lb2.room1']);
    expect(api.jobs.state.get('c')?.cluster.vip2ws[0]?.wsattrs?.['ws1.room1']).toMatchObject({ state: 'drain' });
    const back = await weir('ws', 'undrain', 'c', 'ws1.room1');
    expect(back.code).toBe(0);
    expect(api.jobs.state.get('c')?.cluster.vip2ws[0]?.wsattrs?.['ws1.room1']).toMatchObject({ state: 'up' });
  });
});
