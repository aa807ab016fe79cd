/** OSPF keys are write-only: given in the clear they are nowhere to be read again but on the LBs. */
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import Database from 'libsql';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Cluster } from '../src/domain/edge/model.ts';
import { clusterOf, create, everything, expectDone, expectProblem, lbOf, post, sendTo, v1 } from './fixtures.ts';
import type { Reply } from './fixtures.ts';
import { startTestServer } from './harness.ts';
import type { TestServer } from './harness.ts';

const key = 'Zq7SecretKey9xYz';
const second = 'Second-Key-77abc';
const name = 'cluster-1';

let server: TestServer;
let events: { text: Promise<string>; stop: () => void };

beforeEach(async () => {
  server = await startTestServer({ hosts: '10.1.1.1 ngx1.room1\n10.1.1.2 ngx2.room1\n' });
  events = listen();
});

afterEach(() => server.close());

/** All that the stream of events says until it is stopped. */
function listen(): { text: Promise<string>; stop: () => void } {
  const stopping = new AbortController();
  const read = async () => {
    let text = '';
    const decoder = new TextDecoder();
    try {
      const response = await server.fetch('/events', { headers: { 'last-event-id': '0' }, signal: stopping.signal });
      for await (const chunk of response.body ?? []) text += decoder.decode(chunk as Uint8Array);
    } catch {
      // Stopped.
    }
    return text;
  };
  return { text: read(), stop: () => stopping.abort() };
}

async function referenceOf(cluster = name): Promise<string | undefined> {
  return expectDone(await v1(server, `/clusters/${cluster}`)).json<Cluster>().ospf?.key;
}

function expectClean(reply: Reply): void {
  for (const secret of [key, second]) expect(reply.text).not.toContain(secret);
}

/** Every answer that tells of a cluster, and every table of the database but that of the secrets. */
async function expectNowhere(): Promise<void> {
  const lb = lbOf(1, 1).hostname;
  const paths = ['', '/history', '/history/1', '/diff?from=1', '/lips', '/publications', `/lbs/${lb}/release`];
  for (const path of paths) expectClean(expectDone(await v1(server, `/clusters/${name}${path}`)));
  expectClean(expectDone(await v1(server, `/clusters/${name}/plan`, { method: 'POST' })));
  expectClean(expectDone(await sendTo(server, '/metrics')));
  const headers = { accept: 'application/gzip' };
  const tar = expectDone(await v1(server, `/clusters/${name}/lbs/${lb}/release`, { headers }));
  const files = gunzipSync(tar.body).toString('latin1');
  expect(files).toContain('message-digest-key 8 md5 ******');
  for (const secret of [key, second]) expect(files).not.toContain(secret);
  events.stop();
  const told = await events.text;
  expect(told).toContain('event: change');
  for (const secret of [key, second]) expect(told).not.toContain(secret);
  expectNotStored();
}

function expectNotStored(): void {
  const database = new Database(join(server.data, 'weir.db'), { readonly: true });
  try {
    const tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all([]) as {
      name: string;
    }[];
    expect(tables.map((t) => t.name)).toEqual(expect.arrayContaining(['documents', 'history', 'events', 'records']));
    const rows = tables.flatMap(({ name: table }) =>
      (database.prepare(`SELECT * FROM "${table}"`).all([]) as object[]).map((row) =>
        JSON.stringify({ table, ...row }),
      ),
    );
    const kept = rows.filter((row) => [key, second].some((secret) => row.includes(secret)));
    expect(kept.length).toBeGreaterThan(0);
    for (const row of kept) expect(JSON.parse(row)).toMatchObject({ table: 'records', kind: 'secret' });
  } finally {
    database.close();
  }
}

function withKey(value: string, parts: Partial<Cluster> = {}): Cluster {
  return clusterOf(1, { ...parts, ospf: { ...parts.ospf, key: value } });
}

test('a key given at creation is answered as a reference and appears nowhere', async () => {
  const dry = expectDone(await post(server, '/clusters?dryRun=true', withKey(key)));
  expectClean(dry);
  expectClean(expectDone(await post(server, '/clusters', withKey(key))));
  expect(await referenceOf()).toMatch(/^secret:/);
  await expectNowhere();
});

test('a key given by replace, set, batch or rollback appears nowhere either', async () => {
  await create(server, clusterOf(1));
  const sent = [
    await v1(server, `/clusters/${name}`, { method: 'PUT', json: withKey(key) }),
    await v1(server, `/clusters/${name}`, { method: 'PATCH', json: { ospf: { key: second } } }),
    await v1(server, `/clusters/${name}?dryRun=true`, { method: 'PATCH', json: { ospf: { key } } }),
    await post(server, `/clusters/${name}/batch`, { operations: [{ op: 'cluster.set', set: { ospf: { key } } }] }),
    await post(server, `/clusters/${name}/batch`, {
      operations: [{ op: 'cluster.replace', cluster: withKey(second) }],
    }),
    await post(server, `/clusters/${name}/rollback`, { to: 2 }),
    await v1(server, '/clusters', { method: 'POST', json: withKey(key) }),
  ];
  for (const reply of sent) expectClean(reply);
  expect(sent.map((r) => r.status)).toEqual([200, 200, 200, 200, 200, 200, 409]);
  expect(new Set([await referenceOf()])).toEqual(new Set([expect.stringMatching(/^secret:/)]));
  await expectNowhere();
});

test('reading a document, editing it and putting it back keeps the key', async () => {
  await create(server, withKey(key));
  const document = expectDone(await v1(server, `/clusters/${name}`)).json<Cluster>();
  const json = { ...document, linkspeed: '10g' };
  expectDone(await v1(server, `/clusters/${name}`, { method: 'PUT', json }));
  expect(await referenceOf()).toBe(document.ospf?.key);
  await server.restart();
  const lb = lbOf(1, 1).hostname;
  const release = expectDone(await v1(server, `/clusters/${name}/lbs/${lb}/release`));
  expect(release.text).toContain('message-digest-key 8 md5 ******');
  events.stop();
});

test('the key is in what the LBs get: another key is another release', async () => {
  await create(server, withKey(key));
  const path = `/clusters/${name}/lbs/${lbOf(1, 1).hostname}/release`;
  const tag = async () => expectDone(await v1(server, path)).headers.etag;
  const first = await tag();
  expectDone(await v1(server, `/clusters/${name}`, { method: 'PATCH', json: { ospf: { key: second } } }));
  const changed = await tag();
  expect(changed).not.toBe(first);
  expectDone(await v1(server, `/clusters/${name}`, { method: 'PATCH', json: { ospf: { key } } }));
  expect(await tag()).toBe(first);
  expectDone(await v1(server, `/clusters/${name}`, { method: 'PATCH', json: { ospf: { key: null } } }));
  expect(await referenceOf()).toBeUndefined();
  expect(expectDone(await v1(server, path)).text).not.toMatch(/message-digest-key 8|authentication message-digest/);
  events.stop();
});

test('the same key given again changes nothing', async () => {
  await create(server, withKey(key));
  const before = await everything(server);
  for (const sent of [
    { method: 'PUT', json: withKey(key) },
    { method: 'PATCH', json: { ospf: { key } } },
  ]) {
    expect(expectDone(await v1(server, `/clusters/${name}`, sent)).json()).toMatchObject({ changed: false });
  }
  expect(await everything(server)).toEqual(before);
  events.stop();
});

test('references to secrets that are not there are refused', async () => {
  await create(server, clusterOf(1));
  const before = await everything(server);
  for (const reference of ['secret:none', 'secret:__proto__', 'secret:constructor']) {
    const set = { ospf: { key: reference } };
    const wanted = { status: 422, code: 'unknown_secret' };
    expectProblem(await v1(server, `/clusters/${name}`, { method: 'PATCH', json: set }), {
      ...wanted,
      path: 'set.ospf.key',
    });
    const replaced = await v1(server, `/clusters/${name}`, { method: 'PUT', json: withKey(reference) });
    expectProblem(replaced, { ...wanted, path: 'ospf.key' });
    const operations = [
      { op: 'cluster.set', set: { linkspeed: '1g' } },
      { op: 'cluster.set', set },
    ];
    const batch = await post(server, `/clusters/${name}/batch`, { operations });
    expectProblem(batch, { ...wanted, path: 'operations[1].set.ospf.key' });
    expectProblem(await post(server, '/clusters', clusterOf(2, { ospf: { key: reference } })), wanted);
  }
  expect(await everything(server)).toEqual(before);
  events.stop();
});

test('what is no key is refused everywhere, is not said again, and cannot reach a configuration', async () => {
  await create(server, clusterOf(1));
  const before = await everything(server);
  const bad = [
    `${key}-and-longer`,
    `${key.slice(0, 4)}\n!\ninterface x`,
    `a b ${second}`,
    '',
    'secret:',
    `secret: ${key}`,
    [key],
    { key },
  ];
  for (const value of bad) {
    const ospf = { key: value };
    const replies = [
      await post(server, '/clusters', { ...clusterOf(2), ospf }),
      await post(server, '/clusters', [{ ...clusterOf(2), ospf }]),
      await v1(server, `/clusters/${name}`, { method: 'PUT', json: { ...clusterOf(1), ospf } }),
      await v1(server, `/clusters/${name}`, { method: 'PATCH', json: { ospf } }),
      await post(server, `/clusters/${name}/batch`, { operations: [{ op: 'cluster.set', set: { ospf } }] }),
      await post(server, `/clusters/${name}/batch`, {
        operations: [{ op: 'cluster.replace', cluster: { ...clusterOf(1), ospf } }],
      }),
    ];
    for (const reply of replies) {
      expectProblem(reply, { status: 422 });
      expectClean(reply);
      expect(reply.text).not.toContain('interface x');
    }
  }
  const misplaced = await v1(server, `/clusters/${name}`, { method: 'PUT', json: { ...clusterOf(1), ospf: key } });
  expectProblem(misplaced, { status: 422, code: 'wrong_type', path: 'ospf' });
  expectClean(misplaced);
  expect(await everything(server)).toEqual(before);
  events.stop();
});

/** In the middle of a change of keys, and what became of it. */
async function rotate(): Promise<Cluster['ospf']> {
  await create(server, withKey(key));
  const old = await referenceOf();
  const set = { ospf: { key: second, keyid: 9, oldkey: old, oldkeyid: 8 } };
  expectClean(expectDone(await v1(server, `/clusters/${name}`, { method: 'PATCH', json: set })));
  return expectDone(await v1(server, `/clusters/${name}`)).json<Cluster>().ospf;
}

test('while keys are changed both are references, and masked where the files show them', async () => {
  const ospf = await rotate();
  expect(ospf).toMatchObject({ keyid: 9, oldkeyid: 8, key: expect.stringMatching(/^secret:/) });
  expect(ospf?.oldkey).toMatch(/^secret:/);
  expect(ospf?.oldkey).not.toBe(ospf?.key);
  const lb = lbOf(1, 1).hostname;
  const release = expectDone(await v1(server, `/clusters/${name}/lbs/${lb}/release`)).text;
  for (const id of [8, 9]) expect(release).toContain(`message-digest-key ${id} md5 ******`);
  expect(release.indexOf('key 8 md5')).toBeLessThan(release.indexOf('key 9 md5'));
  expectClean(expectDone(await v1(server, `/clusters/${name}/diff?from=1`)));
  await expectNowhere();
});

test('both keys given in the clear, together or alone, appear nowhere', async () => {
  const both = { key: second, keyid: 9, oldkey: key, oldkeyid: 8 };
  const sent = [
    await post(server, '/clusters?dryRun=true', clusterOf(1, { ospf: both })),
    await post(server, '/clusters', clusterOf(1, { ospf: both })),
    await v1(server, `/clusters/${name}`, { method: 'PUT', json: clusterOf(1, { ospf: both }) }),
    await v1(server, `/clusters/${name}`, { method: 'PATCH', json: { ospf: { oldkey: key } } }),
    await post(server, `/clusters/${name}/batch`, {
      operations: [{ op: 'cluster.set', set: { ospf: { ...both, oldkeyid: 7 } } }],
    }),
  ];
  for (const reply of sent) expectClean(expectDone(reply));
  expect(sent.map((reply) => reply.json<{ changed: boolean }>().changed)).toEqual([true, true, false, false, true]);
  const lb = lbOf(1, 1).hostname;
  expect(expectDone(await v1(server, `/clusters/${name}/lbs/${lb}/release`)).text).toContain('key 9 md5 ******');
  events.stop();
  expectNotStored();
});

test('reading a document, editing it and putting it back keeps both keys, also over a restart', async () => {
  const ospf = await rotate();
  const document = expectDone(await v1(server, `/clusters/${name}`)).json<Cluster>();
  const json = { ...document, linkspeed: '10g' };
  expectDone(await v1(server, `/clusters/${name}`, { method: 'PUT', json }));
  await server.restart();
  expect(expectDone(await v1(server, `/clusters/${name}`)).json<Cluster>().ospf).toEqual(ospf);
  const path = `/clusters/${name}/lbs/${lbOf(1, 1).hostname}/release`;
  expect(expectDone(await v1(server, path)).text).toContain('message-digest-key 8 md5 ******');
  events.stop();
});

test('the old key is in what the LBs get, and what is no key is refused at its place without being said', async () => {
  await rotate();
  const path = `/clusters/${name}/lbs/${lbOf(1, 1).hostname}/release`;
  const tag = async () => expectDone(await v1(server, path)).headers.etag;
  const both = await tag();
  const before = await everything(server);
  for (const [value, code] of [
    [`${key}-and-longer`, 'bad_ospf_key'],
    [`a ${second}`, 'bad_ospf_key'],
    ['secret:none', 'unknown_secret'],
    [{ key }, 'wrong_type'],
  ]) {
    const ospf = { key, oldkey: value, oldkeyid: 7 };
    const put = await v1(server, `/clusters/${name}`, { method: 'PUT', json: clusterOf(1, { ospf } as object) });
    expectProblem(put, { status: 422, code: String(code), path: 'ospf.oldkey' });
    expectClean(put);
    const patched = await v1(server, `/clusters/${name}`, { method: 'PATCH', json: { ospf: { oldkey: value } } });
    expectProblem(patched, { status: 422, code: String(code), path: 'set.ospf.oldkey' });
    expectClean(patched);
  }
  expect(await everything(server)).toEqual(before);
  const gone = { ospf: { oldkey: null, oldkeyid: null } };
  expectDone(await v1(server, `/clusters/${name}`, { method: 'PATCH', json: gone }));
  expect(await tag()).not.toBe(both);
  events.stop();
});
