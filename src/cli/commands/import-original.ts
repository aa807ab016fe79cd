/**
 * `weir import original`: the original's records become clusters of Weir. How they are read from Redis is handed in
 * (main.ts), since the CLI itself knows the API alone.
 */
import { createTwoFilesPatch } from 'diff';
import { stringify } from 'yaml';
import { withLipsOfNew, withOriginalLips } from '../../adopt/original/lips.ts';
import { mergeForeign } from '../../adopt/original/merge.ts';
import { readRecord } from '../../adopt/original/record.ts';
import type { Client } from '../../client/client.ts';
import type { ChangeResult } from '../../contract/schemas.ts';
import { expandRange } from '../../domain/address.ts';
import { claimProblem, lbClaims, vipClaims } from '../../domain/edge/claims.ts';
import type { Claim, ClaimKey } from '../../domain/edge/claims.ts';
import type { Cluster } from '../../domain/edge/model.ts';
import { refuse, WeirError } from '../../domain/errors.ts';
import { error } from '../../domain/problem.ts';
import type { Problem } from '../../domain/problem.ts';
import type { Command, CommandContext, Output } from '../command.ts';
import { dryRunOption, noteProblems, noteWarnings, pathOf, presentOf, problemsOf } from './shared.ts';

/** A key `cluster:NAME`; `fields` undefined: it is no hash. */
interface Key {
  readonly name: string;
  readonly fields: Readonly<Record<string, string>> | undefined;
}

export type ReadKeys = (
  url: string,
  options: { database?: number; names?: readonly string[] },
) => Promise<{ source: string; keys: readonly Key[] }>;

export function importOriginal(readKeys: ReadKeys): Command {
  return {
    name: 'import original',
    summary: 'Take over the clusters that the original keeps in Redis, which is only read',
    options: [
      {
        flags: '--redis <url>',
        help: 'redis://USER:PASSWORD@HOST:PORT/DB; its database 1 if none is named',
        required: true,
      },
      { flags: '--db <number>', help: 'another database than the address names' },
      { flags: '--cluster <name...>', help: 'only these clusters' },
      { flags: '--replace', help: 'where a record differs, bring it into the cluster; fields of Weir’s own stay' },
      dryRunOption,
    ],
    examples: [
      'weir import original --redis redis://10.0.0.1 --dry-run',
      'weir import original --redis redis://reader:PASSWORD@10.0.0.2:6379/1',
    ],
    async run(context) {
      const { source, keys } = await readKeys(String(context.options['redis']), readingOf(context.options));
      context.note(`${keys.length} records in ${source}`);
      const plans: Plan[] = [];
      for (const key of keys) plans.push(await planOf(context.client(), key, context.options['replace'] === true));
      if (context.options['dryRun'] === true) await tryAll(context.client(), plans);
      else await makeAll(context.client(), plans);
      for (const plan of plans) tell(context, plan);
      return output(plans, context.options['dryRun'] === true);
    },
  };
}

function readingOf(options: CommandContext['options']): { database?: number; names?: readonly string[] } {
  const { db, cluster } = options as { db?: string; cluster?: string[] };
  if (db !== undefined && !/^\d{1,5}$/.test(db)) {
    throw new WeirError('usage', `--db ${db} is no number of a database`, { hint: 'e.g. --db 1' });
  }
  return { ...(db === undefined ? {} : { database: Number(db) }), ...(cluster ? { names: cluster } : {}) };
}

type Outcome = 'created' | 'unchanged' | 'updated' | 'differs' | 'refused';

/** What becomes of one record. */
interface Plan {
  name: string;
  /** As far as the record could be read. */
  cluster: Cluster | undefined;
  outcome: Outcome;
  /** Sent where the outcome is `created` or `updated`. */
  request?: { document: Cluster; revision?: string };
  /** Of `differs` and `updated`. */
  diff?: string;
  problems: readonly Problem[];
  warnings: readonly Problem[];
}

async function planOf(client: Client, { name, fields }: Key, replace: boolean): Promise<Plan> {
  if (!fields) return refusedPlan(name, [noHash(name)]);
  if (Object.keys(fields).length === 0) return refusedPlan(name, [noRecord(name)]);
  const record = readRecord(name, fields);
  if (!record.ok) return refusedPlan(name, record.problems);
  const there = await presentOf(client, name);
  if (!there) {
    const { cluster, warnings } = withOriginalLips(record.value);
    const common = { name, cluster, problems: [], warnings };
    return { ...common, outcome: 'created', request: { document: cluster } };
  }
  const { document: present, revision } = there;
  // From the cluster as it is: where the record is like it, nothing changes, and nothing can cross.
  const merged = mergeForeign({ base: present, foreign: record.value, present });
  const common = { name, cluster: record.value, problems: [], warnings: [] };
  if (!merged.ok || !merged.changed) return { ...common, outcome: 'unchanged' };
  const document = withLipsOfNew(merged.cluster, present);
  const texts = [stringify(present), stringify(document)] as const;
  const diff = createTwoFilesPatch(`${name} here`, `${name} by its record`, ...texts);
  if (replace) return { ...common, outcome: 'updated', request: { document, revision }, diff };
  return { ...common, outcome: 'differs', diff };
}

function refusedPlan(name: string, problems: readonly Problem[]): Plan {
  return { name, cluster: undefined, outcome: 'refused', problems, warnings: [] };
}

function noHash(name: string): Problem {
  return error('', {
    code: 'not_a_record',
    message: `cluster:${name} is no hash`,
    hint: 'it is no record of the original; rename or remove the key if nothing needs it',
  });
}

function noRecord(name: string): Problem {
  return error('', {
    code: 'not_a_record',
    message: `cluster:${name} is not there, or has none of the fields of a record`,
    hint: 'redis-cli -n 1 HGETALL shows what is there; --db names another database',
  });
}

async function makeAll(client: Client, plans: readonly Plan[]): Promise<void> {
  for (const plan of plans) if (plan.request) await attempt(plan, () => sendOne(client, plan, false));
}

/** Each on its own, then those that would be made against each other, in the order in which they would be. */
async function tryAll(client: Client, plans: readonly Plan[]): Promise<void> {
  const holders = new Map<ClaimKey, Claim>();
  for (const plan of plans) {
    if (plan.request) await attempt(plan, () => sendOne(client, plan, true));
    if (!plan.request || plan.outcome !== 'created') continue;
    const { document } = plan.request;
    const claims = givenClaims(document);
    const problems = claims.flatMap((claim) => {
      const holder = holders.get(claim.key);
      return holder ? claimProblem(document, claim, holder) : [];
    });
    if (problems.length > 0) refusePlan(plan, problems);
    else for (const claim of claims) holders.set(claim.key, claim);
  }
}

/** Without LIPs that are to be planned: those are planned around what is there. */
function givenClaims({ name, vip2ws, lbinfos }: Cluster): Claim[] {
  return [
    ...vip2ws.flatMap((vip) => vipClaims(name, vip)),
    ...lbinfos.flatMap((lb) => lbClaims(name, lb, (lb.lips ?? []).flatMap(expandRange))),
  ];
}

async function attempt(plan: Plan, work: () => Promise<ChangeResult>): Promise<void> {
  try {
    const { warnings } = await work();
    plan.warnings = [...plan.warnings, ...warnings];
  } catch (thrown) {
    // Anything else is wrong with the server or the way to it, and not with the record.
    if (!(thrown instanceof WeirError) || !refusals.has(thrown.code)) throw thrown;
    refusePlan(plan, problemsOf(thrown));
  }
}

const refusals: ReadonlySet<string> = new Set([
  'invalid',
  'bad_request',
  'exists',
  'claimed',
  'conflict',
  'revision_mismatch',
]);

function refusePlan(plan: Plan, problems: readonly Problem[]): void {
  plan.outcome = 'refused';
  plan.problems = problems;
}

async function sendOne(client: Client, { name, request }: Plan, dryRun: boolean): Promise<ChangeResult> {
  if (!request) throw refuse([]);
  const query = { dryRun: dryRun ? true : undefined, message: 'from the record of the original' };
  const { document: body, revision } = request;
  if (revision === undefined) {
    return (await client.call<ChangeResult>('/clusters', { method: 'POST', body, query })).data;
  }
  const headers = { 'if-match': revision };
  return (await client.call<ChangeResult>(pathOf(name), { method: 'PUT', body, query, headers })).data;
}

/** Everything that a person should know of one record, on standard error. */
function tell(context: CommandContext, { name, outcome, problems, warnings, diff }: Plan): void {
  if (problems.length > 0) noteProblems(context, `cluster ${name} is refused`, problems);
  if (warnings.length > 0) {
    context.note(`cluster ${name}:`);
    noteWarnings(context, warnings);
  }
  if (outcome === 'differs') {
    context.note(
      `cluster ${name} is here and differs from its record; what is here stays\n${diff ?? ''}  bring the record in: --replace; or correct it by hand: weir show ${name} -o yaml, weir apply`,
    );
  }
  if (outcome === 'updated') context.note(`cluster ${name} is brought to its record\n${diff ?? ''}`);
}

function output(plans: readonly Plan[], dryRun: boolean): Output {
  const has = (...outcomes: Outcome[]) => plans.some((plan) => outcomes.includes(plan.outcome));
  return {
    data: plans.map(({ cluster: _cluster, request: _request, ...plan }) => ({ ...plan, dryRun })),
    table: {
      columns: ['cluster', 'lbs', 'vips', 'wss', 'outcome'],
      rows: plans.map(({ name, cluster, outcome }) => [
        name,
        cluster?.lbinfos.length,
        cluster?.vip2ws.length,
        cluster && new Set(cluster.vip2ws.flatMap((vip) => vip.wss)).size,
        dryRun && (outcome === 'created' || outcome === 'updated') ? `would be ${outcome}` : outcome,
      ]),
    },
    exit: has('refused', 'differs') ? 1 : dryRun && has('created', 'updated') ? 3 : 0,
  };
}
