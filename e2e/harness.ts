/** A whole Weir in this process, on a port of its own and a folder of its own, for end-to-end tests. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { createClient } from '../src/client/client.ts';
import type { Client } from '../src/client/client.ts';
import { startServer } from '../src/server.ts';
import { readSettings } from '../src/settings.ts';

export interface TestServer {
  url: string;
  token: string;
  /** Data folder; stays over restart(). */
  data: string;
  client: Client;
  /** fetch with the token, below /api/v1; for what the client hides (status, headers, raw bodies). */
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** Stops and starts again on the same data. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

export interface TestServerOptions {
  /** hosts(5) text with addresses of WSs. */
  hosts?: string;
  /** Further settings, by name, e.g. {ssh_config: PATH}. */
  settings?: Record<string, string>;
}

export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const folder = await mkdtemp(join(tmpdir(), 'weir-e2e-'));
  const hosts = join(folder, 'hosts');
  await writeFile(hosts, options.hosts ?? '');
  const data = join(folder, 'data');
  const flags = { listen: '127.0.0.1:0', data, hosts, log_level: 'silent', ...options.settings };
  const start = () => startServer({ settings: readSettings({ flags, env: {} }), logger: pino({ level: 'silent' }) });
  let server = await start();
  const test: TestServer = {
    url: server.url,
    token: server.token,
    data,
    client: createClient({ url: server.url, token: server.token }),
    fetch(path, init = {}) {
      const headers = new Headers(init.headers);
      if (!headers.has('authorization')) headers.set('authorization', `Bearer ${test.token}`);
      if (init.body !== undefined && !headers.has('content-type')) headers.set('content-type', 'application/json');
      return fetch(`${test.url}/api/v1${path}`, { ...init, headers });
    },
    async restart() {
      await server.close();
      server = await start();
      test.url = server.url;
      test.client = createClient({ url: server.url, token: server.token });
    },
    async close() {
      await server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return test;
}
