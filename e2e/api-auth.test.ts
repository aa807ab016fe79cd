/** Nothing but what is open on purpose is reachable without the token, however its address is written. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { originalRoutes } from '../src/contract/original.ts';
import { operationRoutes, routes } from '../src/contract/routes.ts';
import { clusterOf, create, everything, expectDone, expectProblem, lbOf, sendTo, v1, vipOf } from './fixtures.ts';
import type { Reply } from './fixtures.ts';
import { startTestServer } from './harness.ts';
import type { TestServer } from './harness.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
  await create(server, clusterOf(1));
});

afterAll(() => server.close());

const paths = [
  ...[...Object.values(routes), ...operationRoutes].map(({ method, path }) => ({ method, path: `/api/v1${path}` })),
  ...Object.values(originalRoutes),
].map(({ method, path }) => ({
  method,
  path: path
    .replace(':cluster', 'cluster-1')
    .replace(':vip', vipOf(1, 1).vip)
    .replace(':lb', lbOf(1, 1).hostname)
    .replace(/:\w+/g, '1'),
}));

function expectRefused(reply: Reply): void {
  expect(reply.headers['www-authenticate']).toBe('Bearer');
  if (reply.text === '') expect(reply.status).toBe(401);
  else expectProblem(reply, { status: 401, code: 'unauthenticated' });
}

describe.each([...paths, { method: 'GET', path: '/metrics' }])('$method $path', ({ method, path }) => {
  test('is refused without the token, with a wrong one, and in every method', async () => {
    const before = await everything(server);
    const wrong = ['', 'x', `${server.token}x`, server.token.slice(1), server.token.toUpperCase()];
    const headers = [
      ...wrong.map((token) => ({ authorization: `Bearer ${token}` })),
      { authorization: server.token },
      { authorization: `Basic ${Buffer.from(`admin:${server.token}`).toString('base64')}` },
      { authorization: `Bearer x ${server.token}` },
      { cookie: `token=${server.token}` },
      { 'x-forwarded-for': '127.0.0.1' },
    ];
    for (const extra of headers) expectRefused(await sendTo(server, path, { method, token: null, headers: extra }));
    for (const other of ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'DELETE', 'TRACE']) {
      expectRefused(await sendTo(server, path, { method: other, token: null }));
    }
    for (const query of ['?token=x', `?access_token=${server.token}`, '?/docs/']) {
      expectRefused(await sendTo(server, path + query, { method, token: null }));
    }
    expectRefused(await sendTo(server, `${path}/`, { method, token: null }));
    expectRefused(await sendTo(server, path, { method, token: null, text: '{', type: 'nonsense' }));
    expect(await everything(server)).toEqual(before);
  });
});

test('no way of writing an address opens what is closed', async () => {
  const addresses = [
    '//api/v1/clusters',
    '/api//v1/clusters',
    '/./api/v1/clusters',
    '/docs/../api/v1/clusters',
    '/docs/../../api/v1/clusters',
    '/docs/%2e%2e/api/v1/clusters',
    '/docs/..%2fapi/v1/clusters',
    '/docs//api/v1/clusters',
    '/docs;/api/v1/clusters',
    '/docs%2f../metrics',
    '/healthz/../api/v1/clusters',
    '/healthz/api/v1/clusters',
    '/healthz%2f..%2fmetrics',
    '/openapi.json/../api/v1/clusters',
    '/API/v1/clusters',
    '/api%2fv1%2fclusters',
    '/%61pi/v1/clusters',
    '/api/v1/clusters%20',
    '/api/v1/clusters;docs',
    '/api/v1/clusters#/docs/',
    'http://somewhere/api/v1/clusters',
    'http://somewhere/docs/../api/v1/clusters',
    '*',
  ];
  for (const address of addresses) {
    const reply = await sendTo(server, address, { token: null });
    expect({ address, status: reply.status }).toEqual({ address, status: 401 });
    expect(reply.text).not.toContain('cluster-1');
  }
});

test('files outside of the documentation are not given out', async () => {
  for (const path of [
    '/docs/static/../../api/v1/clusters',
    '/docs/static/../../../package.json',
    '/docs/static/%2e%2e/%2e%2e/package.json',
    '/docs/static/..%5cindex.js',
  ]) {
    const reply = await sendTo(server, path, { token: null });
    expect(reply.status).toBeGreaterThanOrEqual(400);
    expect(reply.text).not.toMatch(/dependencies|cluster-1/);
  }
});

test('health, OpenAPI and the documentation answer without a token, and tell nothing of clusters', async () => {
  for (const path of ['/healthz', '/healthz/', '/readyz', '/openapi.json', '/docs', '/docs/']) {
    const reply = expectDone(await sendTo(server, path, { token: null }));
    expect(reply.status).toBe(200);
    expect(reply.text).not.toContain('cluster-1');
    expectDone(await sendTo(server, path, { token: 'wrong' }));
  }
  expect((await sendTo(server, '/healthz', { token: null })).json()).toMatchObject({ status: 'ok' });
  expect((await sendTo(server, '/readyz', { token: null })).json()).toMatchObject({ status: 'ready' });
});

test('the scheme of the token is known in any case', async () => {
  for (const scheme of ['Bearer', 'bearer', 'BEARER']) {
    const headers = { authorization: `${scheme} ${server.token}` };
    expectDone(await v1(server, '/clusters', { token: null, headers }));
  }
});

test('the token and all data are the owner’s alone', async () => {
  const mode = async (...path: string[]) => ((await stat(join(server.data, ...path))).mode & 0o777).toString(8);
  expect(await mode()).toBe('700');
  expect(await mode('admin-token')).toBe('600');
  expect(await mode('weir.db')).toBe('600');
  expect((await readFile(join(server.data, 'admin-token'), 'utf8')).trim()).toBe(server.token);
  expect(server.token.length).toBeGreaterThanOrEqual(32);
  await server.restart();
  expectDone(await v1(server, '/clusters'));
});

test('the token of the settings wins over the stored one', async () => {
  const own = await startTestServer({ settings: { admin_token: 'of-the-settings-0123456789' } });
  try {
    expect(own.token).toBe('of-the-settings-0123456789');
    expectDone(await v1(own, '/clusters'));
    expectRefused(await v1(own, '/clusters', { token: server.token }));
    await expect(stat(join(own.data, 'admin-token'))).rejects.toThrow('ENOENT');
  } finally {
    await own.close();
  }
});
