/** Documents, requests and observations that end-to-end tests share. */
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import type { Agent, IncomingHttpHeaders } from 'node:http';
import { expect } from 'vitest';
import type { ApiError } from '../src/contract/schemas.ts';
import type { Cluster, Lb, Port, Vip } from '../src/domain/edge/model.ts';
import type { TestServer } from './harness.ts';

/** The seed's example, as it stands in the seed. */
export const seedText = readFileSync(new URL('../examples/seed-cluster.txt', import.meta.url), 'utf8');
export const seedHosts = readFileSync(new URL('../examples/hosts', import.meta.url), 'utf8');
export const seedName = 'hy-outer-global-proxy-test';
export const seedLb = 'sa-extlbtest0-bgp0.hy01';

// documents ----------------------------------------------------------------------------------

/** The nth of many valid clusters that share nothing. */
export function clusterOf(n: number, parts: Partial<Cluster> = {}): Cluster {
  return {
    name: `cluster-${n}`,
    type: 'internal',
    device: 'em1',
    vipnets: [`172.${16 + (n >> 8)}.${n & 255}.0/24`],
    lbinfos: [lbOf(n, 1)],
    vip2ws: [vipOf(n, 1)],
    ...parts,
  };
}

/** Of one /24 per cluster; i from 1. */
export function lbOf(n: number, i: number, parts: Partial<Lb> = {}): Lb {
  const net = `10.${100 + (n >> 8)}.${n & 255}`;
  return {
    hostname: `lb${i}.room${n}`,
    routerid: `${net}.${1 + i}`,
    internalip: `${net}.${1 + i}`,
    internalnetmask: '255.255.255.0',
    internalgateway: `${net}.1`,
    ospfnet: `${net}.0/24`,
    ...parts,
  };
}

export function vipOf(n: number, i: number, parts: Partial<Vip> = {}): Vip {
  return {
    vip: `172.${16 + (n >> 8)}.${n & 255}.${i}`,
    wstype: 'apps',
    wss: [`ngx1.room${n}`, `ngx2.room${n}`],
    ports: [portOf(80), portOf(443)],
    ...parts,
  };
}

export function portOf(number: number, parts: Partial<Port> = {}): Port {
  return { sport: number, dport: number, synproxy: 1, persistence_timeout: 50, ...parts };
}

// requests -----------------------------------------------------------------------------------

export interface Sent {
  method?: string;
  headers?: Record<string, string>;
  /** Sent as JSON. */
  json?: unknown;
  /** Sent as it is, with `type`. */
  text?: string;
  type?: string;
  /** null: none. Default: the admin token. */
  token?: string | null;
  agent?: Agent;
}

export interface Reply {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
  text: string;
  json<T>(): T;
}

/** A request whose address arrives exactly as it is written here, which fetch would tidy up. */
export function sendTo(server: TestServer, path: string, sent: Sent = {}): Promise<Reply> {
  const { hostname, port } = new URL(server.url);
  const body = sent.json === undefined ? sent.text : JSON.stringify(sent.json);
  const token = sent.token === undefined ? server.token : sent.token;
  const headers = {
    ...(token === null ? {} : { authorization: `Bearer ${token}` }),
    ...(body === undefined ? {} : { 'content-type': sent.type ?? 'application/json' }),
    ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
    ...sent.headers,
  };
  return new Promise((resolve, reject) => {
    const options = { hostname, port, path, method: sent.method ?? 'GET', headers, agent: sent.agent ?? false };
    const made = request(options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const whole = Buffer.concat(chunks);
        const text = whole.toString('utf8');
        const { statusCode: status = 0, headers } = response;
        resolve({ status, headers, body: whole, text, json: <T>() => JSON.parse(text) as T });
      });
    });
    made.on('error', reject);
    made.end(body);
  });
}

/** Below /api/v1. */
export function v1(server: TestServer, path: string, sent: Sent = {}): Promise<Reply> {
  return sendTo(server, `/api/v1${path}`, sent);
}

export function post(server: TestServer, path: string, json: unknown): Promise<Reply> {
  return v1(server, path, { method: 'POST', json });
}

/** Makes clusters, and fails with the server's words if one is refused. */
export async function create(server: TestServer, ...clusters: readonly Cluster[]): Promise<void> {
  for (const cluster of clusters) expectDone(await post(server, '/clusters', cluster));
}

// observations -------------------------------------------------------------------------------

export function expectDone(reply: Reply): Reply {
  if (reply.status >= 300) throw new Error(`${reply.status}: ${reply.text}`);
  return reply;
}

/** A whole problem as RFC 9457 and our contract want it; answers it. */
export function expectProblem(reply: Reply, wanted: { status: number; code?: string; path?: string }): ApiError {
  expect({ status: reply.status, text: reply.text }).toMatchObject({ status: wanted.status });
  expect(reply.headers['content-type']).toMatch(/^application\/problem\+json/);
  const problem = reply.json<ApiError>();
  expect(problem).toMatchObject({
    type: `urn:weir:problem:${problem.code}`,
    status: wanted.status,
    title: expect.stringMatching(/\S/),
    detail: expect.stringMatching(/\S/),
    hint: expect.stringMatching(/\S/),
    problems: expect.any(Array),
  });
  for (const item of problem.problems) {
    expect(item.code).toMatch(/^[a-z][a-z0-9_]*$/);
    expect(item.message).toMatch(/\S/);
    expect(item.hint).toMatch(/\S/);
  }
  const { code, path } = wanted;
  if (code !== undefined) expect([problem.code, ...problem.problems.map((p) => p.code)]).toContain(code);
  if (path !== undefined) {
    const found = problem.problems.filter((p) => code === undefined || p.code === code || problem.code === code);
    expect(found.map((p) => p.path)).toContain(path);
  }
  return problem;
}

interface Listed<T> {
  items: T[];
  next: string | null;
}

/** Every page of a list. */
export async function pages<T>(server: TestServer, path: string, limit = 1000): Promise<Listed<T>[]> {
  const found: Listed<T>[] = [];
  for (let after: string | null = ''; after !== null;) {
    const query = `${path.includes('?') ? '&' : '?'}limit=${limit}${after === '' ? '' : `&after=${encodeURIComponent(after)}`}`;
    const page: Listed<T> = expectDone(await v1(server, path + query)).json();
    found.push(page);
    after = page.next;
  }
  return found;
}

/** All that a change could change: documents with revisions, LIPs, history, and how many events there were. */
export async function everything(server: TestServer): Promise<unknown> {
  const clusters = (await pages<{ name: string }>(server, '/clusters')).flatMap((p) => p.items);
  const parts = await Promise.all(
    clusters.map(async ({ name }) => {
      const [document, lips, history] = await Promise.all([
        v1(server, `/clusters/${name}`),
        v1(server, `/clusters/${name}/lips`),
        pages(server, `/clusters/${name}/history`),
      ]);
      return { etag: document.headers.etag, document: document.text, lips: lips.text, history };
    }),
  );
  return { clusters, parts, events: await eventCount(server) };
}

/** Events taken in since the server started, as its metrics say. */
export async function eventCount(server: TestServer): Promise<number> {
  const { text } = await sendTo(server, '/metrics');
  return Number(/^weir_events_total (\d+)$/m.exec(text)?.[1]);
}
