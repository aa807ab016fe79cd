/** Routes that change clusters: one for each operation, batch, rollback, freeing LIPs. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { changeQuery, operationRoutes, routes } from '../contract/routes.ts';
import type { ChangeResult } from '../contract/schemas.ts';
import { expandRange } from '../domain/address.ts';
import { mixedStyles } from '../domain/edge/check-change.ts';
import { claimProblem, lbClaims, vipClaims } from '../domain/edge/claims.ts';
import type { Claim } from '../domain/edge/claims.ts';
import { lipsOf } from '../domain/edge/lips.ts';
import type { Cluster } from '../domain/edge/model.ts';
import { operations, readCall } from '../domain/edge/operations.ts';
import type { Operation } from '../domain/edge/operation.ts';
import type { Call } from '../domain/edge/operations.ts';
import { refuse, WeirError } from '../domain/errors.ts';
import { error } from '../domain/problem.ts';
import type { Problem } from '../domain/problem.ts';
import { withoutSecrets } from '../store/secrets.ts';
import type { ChangeOutcome, ChangeRequest } from '../store/change.ts';
import type { State } from '../store/state.ts';
import type { Services } from './app.ts';
import { addRoute, ifMatch, param, readBody, readQuery } from './request.ts';

export function changeRoutes(app: FastifyInstance, services: Services): void {
  const { state } = services;
  for (const route of operationRoutes) {
    const operation = operations.get(route.operation);
    if (!operation) throw new Error(`no operation ${route.operation}`);
    if (operation.name === 'cluster.create') {
      addRoute(app, route, (request, reply) => createClusters(services, { request, reply, operation }));
      continue;
    }
    addRoute(app, route, async (request, reply) => {
      const call = readInput(operation, inputOf(operation, request));
      const cluster = param(request, 'cluster');
      const existed = state.get(cluster) !== undefined;
      const outcome = await state.change(requestOf(request, cluster, [call]));
      if (!existed && outcome.changed && !isDry(request)) void reply.code(201);
      return answer(reply, outcome, { cluster, dryRun: isDry(request) });
    });
  }

  addRoute(app, routes.batch, async (request, reply) => {
    const body = readBody(request, routes.batch.body);
    const cluster = param(request, 'cluster');
    const problems: Problem[] = [];
    const calls: Call[] = [];
    body.operations.forEach((item, i) => {
      const read = readCall(item, `operations[${i}]`);
      if (read.ok) calls.push(read.value);
      else problems.push(...read.problems);
    });
    if (problems.length > 0) throw refused(problems);
    const outcome = await state.change(requestOf(request, cluster, calls));
    return answer(reply, outcome, { cluster, dryRun: isDry(request) });
  });

  addRoute(app, routes.rollback, async (request, reply) => {
    const { to } = readBody(request, routes.rollback.body);
    const cluster = param(request, 'cluster');
    const document = await state.documentAt(cluster, to);
    const call: Call = { op: 'cluster.replace', input: { cluster: document } };
    const base = requestOf(request, cluster, [call]);
    const outcome = await state.change({ ...base, message: base.message ?? `rollback to revision ${to}` });
    return answer(reply, outcome, { cluster, dryRun: isDry(request) });
  });

  addRoute(app, routes.lipsFree, (request) => {
    const { lips } = readBody(request, routes.lipsFree.body);
    return state.freeLips(param(request, 'cluster'), lips, request.by);
  });
}

interface Creating {
  request: FastifyRequest;
  reply: FastifyReply;
  operation: Operation;
}

/** One document, or a list: all are checked before the first is made. */
async function createClusters({ state }: Services, { request, reply, operation }: Creating): Promise<unknown> {
  const many = Array.isArray(request.body);
  const documents = many ? (request.body as unknown[]) : [request.body];
  if (documents.length === 0 || documents.length > 10_000) {
    throw refuse([
      error('', { code: 'out_of_range', message: `${documents.length} clusters`, hint: 'send 1 to 10000' }),
    ]);
  }
  const problems: Problem[] = [];
  const calls: { name: string; call: Call }[] = [];
  documents.forEach((document, i) => {
    const read = operation.read({ cluster: document });
    const at = (p: Problem) => ({
      ...p,
      path: many ? p.path.replace(/^cluster/, `[${i}]`) : inBody(p.path, 'cluster'),
    });
    if (read.ok)
      calls.push({
        name: (read.value as { cluster: { name: string } }).cluster.name,
        call: { op: operation.name, input: read.value },
      });
    else problems.push(...read.problems.map(at));
  });
  if (problems.length > 0) throw refused(problems);
  if (many)
    await checkAll(
      state,
      calls.map(({ name, call }) => requestOf(request, name, [call])),
    );
  const results: ChangeResult[] = [];
  for (const { name, call } of calls) {
    const outcome = await state.change(requestOf(request, name, [call]));
    results.push(resultOf(outcome, { cluster: name, dryRun: isDry(request) }));
  }
  const [first] = results;
  if (!isDry(request)) void reply.code(201);
  if (many) return results;
  return reply
    .header('etag', `"${first?.revision}"`)
    .header('location', `/api/v1/clusters/${first?.cluster}`)
    .send(first);
}

/** Each on its own, then against each other, so that a list is not refused when a part of it is made. */
async function checkAll(state: State, requests: readonly ChangeRequest[]): Promise<void> {
  const holders = new Map<string, Claim>();
  const names = new Set<string>();
  const checked: Cluster[] = [];
  const problems: Problem[] = [];
  let invalid = false;
  for (const [i, request] of requests.entries()) {
    const { cluster } = await state.change({ ...request, dryRun: true }).catch((thrown: unknown) => {
      throw within(`[${i}]`, thrown);
    });
    const wrong = [
      ...(names.has(request.cluster) ? [twice(`[${i}].name`, request.cluster)] : []),
      ...(cluster ? mixedStyles(cluster, checked) : []).map((p) => ({ ...p, path: joined(`[${i}]`, p.path) })),
    ];
    problems.push(...wrong);
    invalid ||= wrong.length > 0;
    names.add(request.cluster);
    if (cluster) checked.push(cluster);
    for (const claim of cluster ? givenClaims(cluster) : []) {
      const holder = holders.get(claim.key);
      if (cluster && holder && holder.cluster !== claim.cluster) {
        const problem = claimProblem(cluster, claim, holder);
        problems.push({ ...problem, path: joined(`[${i}]`, problem.path) });
      }
      holders.set(claim.key, claim);
    }
  }
  if (problems.length > 0) throw refuse(problems, invalid ? 'invalid' : 'claimed');
}

/** Without planned LIPs, which are planned anew around those that are made before. */
function givenClaims(cluster: Cluster): Claim[] {
  return [
    ...cluster.vip2ws.flatMap((vip) => vipClaims(cluster.name, vip)),
    ...cluster.lbinfos.flatMap((lb) => lbClaims(cluster.name, lb, (lb.lips ?? []).flatMap(expandRange))),
  ];
}

function twice(path: string, name: string): Problem {
  return error(path, {
    code: 'duplicate_cluster',
    message: `cluster ${name} stands twice in the list`,
    hint: 'name each cluster once',
  });
}

function within(place: string, thrown: unknown): unknown {
  if (!(thrown instanceof WeirError) || thrown.problems.length === 0) return thrown;
  return refuse(
    thrown.problems.map((p) => ({ ...p, path: joined(place, p.path) })),
    thrown.code,
  );
}

function joined(place: string, path: string): string {
  return path === '' || path.startsWith('[') ? place + path : `${place}.${path}`;
}

function inputOf(operation: Operation, request: FastifyRequest): Record<string, unknown> {
  const { http } = operation;
  const input: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(request.params as Record<string, string>)) {
    if (name === 'cluster') continue;
    const list = http.lists?.[name];
    if (list === undefined) input[name] = value;
    else input[list] = [value];
  }
  if (http.body !== undefined) input[http.body] = request.body ?? undefined;
  return input;
}

function readInput(operation: Operation, input: unknown): Call {
  const read = operation.read(input);
  if (read.ok) return { op: operation.name, input: read.value };
  // A whole document is the body itself, so paths point into it.
  if (operation.http.body !== 'cluster') throw refused(read.problems);
  throw refused(read.problems.map((p) => ({ ...p, path: inBody(p.path, 'cluster') })));
}

function inBody(path: string, field: string): string {
  return path.startsWith(field) ? path.slice(field.length).replace(/^\./, '') : path;
}

function refused(problems: readonly Problem[]): WeirError {
  return refuse(withoutSecrets(problems));
}

function isDry(request: FastifyRequest): boolean {
  return readQuery(request, changeQuery).dryRun === true;
}

export function requestOf(request: FastifyRequest, cluster: string, calls: readonly Call[]): ChangeRequest {
  const query = readQuery(request, changeQuery);
  const expected = ifMatch(request);
  return {
    cluster,
    calls,
    by: request.by,
    dryRun: query.dryRun === true,
    ...(expected === undefined ? {} : { expected }),
    ...(query.message === undefined ? {} : { message: query.message }),
  };
}

interface AnswerContext {
  cluster: string;
  dryRun: boolean;
}

function answer(reply: FastifyReply, outcome: ChangeOutcome, context: AnswerContext): ChangeResult {
  if (outcome.cluster && !context.dryRun) void reply.header('etag', `"${outcome.revision}"`);
  return resultOf(outcome, context);
}

export function resultOf(outcome: ChangeOutcome, context: AnswerContext): ChangeResult {
  const touched = outcome.patch ? (outcome.patch.lbinfos?.set ?? []) : (outcome.cluster?.lbinfos ?? []);
  return {
    cluster: context.cluster,
    revision: outcome.revision,
    changed: outcome.changed,
    dryRun: context.dryRun,
    deleted: outcome.cluster === undefined,
    patch: outcome.patch,
    lips: Object.fromEntries(touched.map((lb) => [lb.hostname, [...lipsOf(outcome.lips, lb.hostname)]])),
    warnings: outcome.warnings,
  };
}
