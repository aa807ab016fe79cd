/** The description of the API: valid OpenAPI 3.1, and complete. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { originalRoutes } from '../src/contract/original.ts';
import type { OriginalRoute } from '../src/contract/original.ts';
import { operationRoutes, routes } from '../src/contract/routes.ts';
import type { Route } from '../src/contract/routes.ts';
import { expectDone, sendTo } from './fixtures.ts';
import { startTestServer } from './harness.ts';
import type { TestServer } from './harness.ts';

interface Media {
  schema?: object;
}

interface Described {
  summary?: string;
  tags?: string[];
  parameters?: { name: string; in: string; required?: boolean; schema?: object }[];
  requestBody?: { content: Record<string, Media & { schema?: { properties?: object } }> };
  responses: Record<string, { description?: string; content?: Record<string, Media> }>;
}

interface OpenApi {
  openapi: string;
  info: { title: string; version: string };
  paths: Record<string, Record<string, Described>>;
  components: { securitySchemes: object; schemas?: object };
  security: object[];
}

let server: TestServer;
let openapi: OpenApi;

beforeAll(async () => {
  server = await startTestServer();
  openapi = expectDone(await sendTo(server, '/openapi.json', { token: null })).json();
});

afterAll(() => server.close());

const declared: Route[] = [...Object.values<Route>(routes), ...operationRoutes];
const problem = 'application/problem+json';

function addressOf(route: Route): string {
  return `/api/v1${route.path}`.replace(/:(\w+)/g, '{$1}');
}

describe.each(declared)('$method $path', (route) => {
  function described(): Described {
    const found = openapi.paths[addressOf(route)]?.[route.method.toLowerCase()];
    if (!found) throw new Error('not described');
    return found;
  }

  test('is described with its summary, parameters, body and problems', () => {
    const { summary, tags, parameters = [], requestBody, responses } = described();
    expect(summary).toBe(route.summary);
    expect(tags).toEqual([route.tag]);
    const named = (place: string) =>
      parameters
        .filter((p) => p.in === place)
        .map((p) => p.name)
        .toSorted();
    expect(named('path')).toEqual([...route.path.matchAll(/:(\w+)/g)].map((m) => m[1] ?? '').toSorted());
    const query = (route.query && 'properties' in route.query ? route.query.properties : undefined) ?? {};
    expect(named('query')).toEqual(Object.keys(query).toSorted());
    expect(requestBody !== undefined).toBe(route.body !== undefined);
    if (requestBody)
      expect(Object.keys(requestBody.content)).toEqual(
        expect.arrayContaining(['application/json', 'text/plain', 'application/yaml']),
      );
    for (const status of ['4XX', '5XX']) {
      expect(responses[status]?.content?.[problem]?.schema).toMatchObject({
        type: 'object',
        required: expect.arrayContaining(['code', 'problems']),
      });
    }
    const good = responses[String(route.status ?? 200)];
    const types = Object.keys(good?.content ?? {});
    expect(types).toEqual(route.stream ? ['text/event-stream'] : ['application/json', ...(route.types ?? [])]);
  });
});

describe.each(Object.values<OriginalRoute>(originalRoutes))('$method $path', ({ method, path, summary, args }) => {
  test('is described with its form, or where forms have no place its parameters', () => {
    const described = openapi.paths[originalAddress(path)]?.[method.toLowerCase()];
    expect(described).toMatchObject({ summary, tags: ['original'] });
    const names = Object.keys(args?.properties ?? {}).toSorted();
    const { parameters = [], requestBody } = described ?? {};
    const forms = ['application/x-www-form-urlencoded', 'multipart/form-data'];
    const inForm = args !== undefined && method !== 'DELETE';
    expect(Object.keys(requestBody?.content ?? {})).toEqual(inForm ? forms : []);
    const inBody = Object.keys(requestBody?.content[forms[0] ?? '']?.schema?.properties ?? {});
    const inQuery = parameters.filter((p) => p.in === 'query').map((p) => p.name);
    expect([...inBody, ...inQuery].toSorted()).toEqual(names);
  });
});

function originalAddress(path: string): string {
  return path.replace(/:(\w+)/g, '{$1}');
}

test('the document is OpenAPI 3.1 in its structure', () => {
  expect(openapi.openapi).toMatch(/^3\.1\.\d+$/);
  expect(openapi.info).toMatchObject({ title: 'Weir', version: expect.stringMatching(/^\d+\.\d+\.\d+/) });
  expect(openapi.components.securitySchemes).toEqual({ token: { type: 'http', scheme: 'bearer' } });
  expect(openapi.security).toEqual([{ token: [] }]);
  for (const [path, methods] of Object.entries(openapi.paths)) {
    const names = [...path.matchAll(/\{(\w+)\}/g)].map((m) => m[1] ?? '');
    expect(new Set(names).size).toBe(names.length);
    expect(path).toMatch(/^\//);
    for (const [method, { parameters = [], responses, requestBody }] of Object.entries(methods)) {
      expect(['get', 'put', 'post', 'delete', 'patch', 'head']).toContain(method);
      const inPath = parameters.filter((p) => p.in === 'path');
      expect(inPath.map((p) => p.name).toSorted()).toEqual(names.toSorted());
      expect(inPath.every((p) => p.required === true)).toBe(true);
      expect(parameters.every((p) => typeof p.schema === 'object')).toBe(true);
      const places = parameters.map((p) => `${p.in} ${p.name}`);
      expect(new Set(places).size).toBe(places.length);
      expect(Object.keys(responses).length).toBeGreaterThan(1);
      for (const [status, { description, content = {} }] of Object.entries(responses)) {
        expect(status).toMatch(/^(?:[1-5]\d\d|[1-5]XX|default)$/);
        expect(typeof description).toBe('string');
        for (const media of Object.values(content)) expect(typeof media.schema).toBe('object');
      }
      if (requestBody)
        for (const media of Object.values(requestBody.content)) expect(typeof media.schema).toBe('object');
    }
  }
});

test('every reference leads somewhere, and every schema is one', () => {
  const kinds = ['null', 'boolean', 'object', 'array', 'number', 'string', 'integer'];
  visit(openapi, (node) => {
    if (typeof node['$ref'] === 'string') {
      const steps = node['$ref'].replace(/^#\//, '').split('/');
      expect(
        steps.reduce<unknown>((at, step) => (at as Record<string, unknown> | undefined)?.[step], openapi),
      ).toBeDefined();
    }
    if (
      typeof node['type'] === 'string' &&
      ('properties' in node || 'items' in node || 'additionalProperties' in node)
    ) {
      expect(kinds).toContain(node['type']);
    }
    if (node['type'] === 'array') expect(node).toHaveProperty('items');
  });
});

function visit(value: unknown, look: (node: Record<string, unknown>) => void): void {
  if (value === null || typeof value !== 'object') return;
  if (!Array.isArray(value)) look(value as Record<string, unknown>);
  for (const below of Object.values(value)) visit(below, look);
}

test('nothing of the contract is described that is not declared', () => {
  const described = Object.entries(openapi.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((m) => `${m} ${path}`),
  );
  const wanted = [
    ...declared.map((r) => `${r.method.toLowerCase()} ${addressOf(r)}`),
    ...Object.values(originalRoutes).map((r) => `${r.method.toLowerCase()} ${originalAddress(r.path)}`),
  ];
  expect(described.filter((d) => !d.startsWith('head ')).toSorted()).toEqual(wanted.toSorted());
});

test('the documentation’s page loads its script and styles, all from here', async () => {
  const page = expectDone(await sendTo(server, '/docs', { token: null }));
  expect(page.headers['content-type']).toMatch(/^text\/html/);
  const assets = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map((m) => m[1] ?? '');
  expect(assets.filter((a) => a.endsWith('.js')).length).toBeGreaterThan(0);
  expect(assets.filter((a) => a.endsWith('.css')).length).toBeGreaterThan(0);
  for (const asset of assets) {
    expect(asset).toMatch(/^\/docs\//);
    const reply = expectDone(await sendTo(server, asset, { token: null }));
    expect(reply.body.length).toBeGreaterThan(0);
    if (asset.endsWith('.js')) expect(reply.headers['content-type']).toMatch(/javascript/);
    if (asset.endsWith('.css')) expect(reply.headers['content-type']).toMatch(/css/);
  }
  const json = expectDone(await sendTo(server, '/docs/json', { token: null }));
  expect(json.json()).toEqual(openapi);
});
