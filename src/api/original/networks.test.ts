import { afterEach, describe, expect, test } from 'vitest';
import { originalRoutes } from '../../contract/original.ts';
import { addressWithin, readNetworks } from './networks.ts';
import { noPush, openOriginal } from './testing.ts';
import type { Original, Sent } from './testing.ts';

describe('the setting', () => {
  test('is a list of nets and addresses; empty for none', () => {
    expect(readNetworks('')).toEqual([]);
    expect(readNetworks(' , ')).toEqual([]);
    expect(readNetworks('10.0.0.0/8, 127.0.0.1')).toEqual([
      { base: 0x0a000000, prefix: 8 },
      { base: 0x7f000001, prefix: 32 },
    ]);
  });

  test.each(['10.0.0.1/8', '10.0.0.0/33', '10.0.0', 'localhost', '::1', '10.0.0.0-255', '010.0.0.0/8', '10.0.0.0 /8'])(
    'refuses %s, with what to write',
    (text) => {
      expect(() => readNetworks(`127.0.0.1,${text}`)).toThrow(`WEIR_ORIGINAL_NETWORKS: ${text} is not an IPv4 net`);
    },
  );
});

test('an address is within a network to its last bit, also as a socket on :: has it', () => {
  const networks = readNetworks('10.1.0.0/23,192.0.2.7');
  for (const address of ['10.1.0.0', '10.1.1.255', '192.0.2.7']) {
    expect(addressWithin(networks, address)).toBe(address);
    expect(addressWithin(networks, `::ffff:${address}`)).toBe(address);
  }
  for (const address of ['10.0.255.255', '10.1.2.0', '192.0.2.6', '::1', '::10.1.0.1', '', undefined]) {
    expect(addressWithin(networks, address)).toBeUndefined();
  }
});

describe('networks that are open', () => {
  let api: Original;

  afterEach(() => api.close());

  async function open(networks: string): Promise<void> {
    api = await openOriginal({ original: { networks: readNetworks(networks) } });
  }

  async function statusOf(what: string, sent: Sent): Promise<number> {
    return (await api.call(what, { token: null, ...sent })).statusCode;
  }

  const change = { form: { vip: '10.1.0.1', wstype: 'x', ...noPush } };

  test('need no token for any call of the original, and the address stands in history', async () => {
    await open('10.7.0.0/16');
    for (const { method, path } of Object.values(originalRoutes)) {
      const what = `${method} ${path.slice(4).replace(':cluster', 'x')}`;
      expect([200, 400]).toContain(await statusOf(what, { from: '10.7.255.1' }));
      expect(await statusOf(what, { from: '10.8.0.1' })).toBe(401);
    }
    expect(await statusOf('PATCH /c/wstype', { ...change, from: '::ffff:10.7.0.9' })).toBe(200);
    const [newest] = await api.jobs.store.history({ kind: 'cluster', name: 'c' }, { limit: 1 });
    expect(newest?.by).toBe('original:10.7.0.9');
  });

  test('are those of the socket, whatever a proxy says', async () => {
    await open('10.7.0.0/16');
    const headers = { 'x-forwarded-for': '10.7.0.1', 'x-real-ip': '10.7.0.1', forwarded: 'for=10.7.0.1' };
    expect(await statusOf('GET /c', { from: '10.8.0.1', headers })).toBe(401);
  });

  test('open nothing else', async () => {
    await open('0.0.0.0/0');
    expect(await statusOf('GET /c', {})).toBe(200);
    const closed = [
      '/api/v1/clusters',
      '/metrics',
      '/lvs/../metrics',
      '/lvs/c/other',
      '/lvsx',
      '/%6cvs/../api/v1/vips',
    ];
    for (const url of closed) expect((await api.app.inject({ url })).statusCode).toBe(401);
    for (const method of ['PUT', 'POST', 'OPTIONS'] as const) {
      expect((await api.app.inject({ method, url: '/lvs/c' })).statusCode).toBe(401);
    }
  });

  test('are not open for pages in a browser, which can send forms to any address', async () => {
    await open('127.0.0.1');
    const headers = { origin: 'http://elsewhere.example' };
    expect(await statusOf('PATCH /c/wstype', { ...change, headers })).toBe(401);
    expect(api.jobs.state.get('c')?.revision).toBe(1);
    expect(await statusOf('PATCH /c/wstype', change)).toBe(200);
  });

  test('do not take the name of a token away', async () => {
    await open('127.0.0.1');
    expect((await api.call('PATCH /c/wstype', change)).statusCode).toBe(200);
    const [newest] = await api.jobs.store.history({ kind: 'cluster', name: 'c' }, { limit: 1 });
    expect(newest?.by).toBe('admin');
  });
});

test('none is open by default', async () => {
  const api = await openOriginal();
  for (const from of ['127.0.0.1', '10.0.0.1']) {
    expect((await api.call('GET /c', { token: null, from })).statusCode).toBe(401);
    expect((await api.call('GET /c', { token: 'wrong', from })).statusCode).toBe(401);
  }
  await api.close();
});
