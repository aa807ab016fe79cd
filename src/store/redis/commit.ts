/** A commit as one atomic step: everything is looked at before anything is written. */
import { randomBytes } from 'node:crypto';
import type { Claim } from '../../domain/edge/claims.ts';
import { WeirError } from '../../domain/errors.ts';
import { COPY_EVERY, numberOf } from '../port.ts';
import type {
  Commit,
  CommitResult,
  Conflict,
  DocumentChange,
  EventChange,
  RecordWrite,
  Store,
  StoreEvent,
} from '../port.ts';
import { script } from './connection.ts';
import type { Connection, Wait } from './connection.ts';
import { mirrorArgs, mirrorFields, mirrorLua, prelude, recordLua } from './keys.ts';

/** Texts of a cluster's mirror, by field. */
export type MirrorOf = (document: object) => Readonly<Record<(typeof mirrorFields)[number], string>>;

export interface CommitOptions {
  mirrorOf: MirrorOf | undefined;
  keepRevisions: number;
  keepEvents: number;
  /** Replicas that are waited for; none: not waited. */
  wait: Wait | undefined;
}

/** What the log has of an accepted commit, and how many replicas have it, where they were waited for. */
export interface Kept {
  readonly logged: LoggedEvent;
  readonly replicas: number;
  /** Whether a mirror held what another program had written; it was kept aside. */
  readonly foreign: boolean;
}

/** An event as it is in the log: each tells the tag of the one before, so that a log that was cut or changed is noticed. */
export interface LoggedEvent {
  readonly event: StoreEvent;
  readonly tag: string;
  readonly prev: string;
}

/** Revisions of one document from one pruning to the next. */
export const PRUNE_EVERY = 100;

const commitScript = script(`${prelude}${recordLua}${mirrorLua}
local tag, head, keep_events, keep_revisions = take(), take(), num(), num()
local done = redis.call('GET', 'weir:commit:' .. tag)
if done then
  local entry = redis.call('XRANGE', 'weir:events', done .. '-0', done .. '-0')[1]
  redis.call('HINCRBY', 'weir:meta', 'again', 1) -- a write, so that WAIT on this connection waits for it and all before
  local fields = {}
  if entry then for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end end
  return { 'ok', done, fields.prev or '', fields.records or '[]', '0' }
end

local changes = {}
for i = 1, num() do
  local c = { kind = take(), name = take(), expected = num(), was = take(), deleted = take() == '1', digest = take(),
              number = num(), past = take() == '1',
              entry = take(), patch = take(), document = take(), mirror = {} }
  if take() == '1' then
    c.mirror_digest = take()
    for f = 1, ${mirrorFields.length} do c.mirror[f] = take() end
  end
  c.id = c.kind .. ':' .. c.name
  c.key = 'weir:history:' .. c.id
  c.current, c.base, c.oldest, c.old_digest = document(c.id)
  if c.current ~= c.expected or (c.was ~= '' and c.was ~= c.old_digest) then
    return { 'revision', c.kind, c.name, text(c.current) }
  end
  if c.base == '-' and c.document == '' and not c.deleted and not c.past then return { 'whole' } end
  if #c.mirror > 0 and held_by_mirror(c.name) == 'other' then return { 'mirror', c.name } end
  changes[i] = c
end

local claims, refused = {}, { 'claims' }
local function holder(key)
  if claims[key] == nil then return redis.call('HGET', 'weir:claims', key) end
  return claims[key]
end
for i = 1, num() do
  local key, cluster = take(), take()
  local held = holder(key)
  if held and string.sub(held, 1, #cluster + 1) == cluster .. '\\n' then claims[key] = false end
end
for i = 1, num() do
  local key, wanted = take(), take()
  local held = holder(key)
  if held then
    refused[#refused + 1] = tostring(i)
    refused[#refused + 1] = held
  else claims[key] = wanted end
end
if #refused > 1 then return refused end

local writes, told = {}, {}
for i = 1, num() do
  local w = read_write()
  local why = refusal(w)
  if why then return why end
  writes[i] = w
  told[i] = w.head .. text(w.version) .. (w.deleted and '}' or ',"value":' .. w.value .. '}')
end

local id = redis.call('HINCRBY', 'weir:meta', 'event', 1)
local prev = redis.call('HGET', 'weir:meta', 'tag') or ''
local records = '[' .. table.concat(told, ',') .. ']'
redis.call('HSET', 'weir:meta', 'tag', tag)
redis.call('XADD', 'weir:events', 'MAXLEN', '~', keep_events, text(id) .. '-0',
  'event', head, 'records', records, 'prev', prev, 'tag', tag)

local function prune(c, revision)
  local oldest = nil
  for r = revision - keep_revisions + 1, c.oldest + 1, -1 do
    if redis.call('HEXISTS', c.key, r .. ':d') == 1 or redis.call('HEXISTS', c.key, r .. ':x') == 1 then
      oldest = r
      break
    end
  end
  if not oldest then return c.oldest end
  for r = c.oldest, oldest - 1 do redis.call('HDEL', c.key, r, r .. ':p', r .. ':d', r .. ':x') end
  return oldest
end

local foreign = 0
local function aside(name) if keep_foreign(name) then foreign = foreign + 1 end end
for _, c in ipairs(changes) do
  local revision = c.number
  redis.call('HSET', c.key, revision, c.entry)
  if c.deleted then redis.call('HSET', c.key, revision .. ':x', '1') end
  if c.patch ~= '' and (c.base ~= '-' or c.past) then redis.call('HSET', c.key, revision .. ':p', c.patch) end
  if c.document ~= '' then redis.call('HSET', c.key, revision .. ':d', c.document) end
  local base = (c.deleted or c.past) and '-' or (c.document ~= '' and tostring(revision)) or c.base
  if c.current == 0 then c.oldest = revision end
  local oldest = c.oldest
  if revision % ${PRUNE_EVERY} == 0 then oldest = prune(c, revision) end
  redis.call('HSET', 'weir:documents', c.id, revision .. ' ' .. base .. ' ' .. oldest .. ' ' .. c.digest)
  if #c.mirror > 0 then
    aside(c.name)
    write_mirror(c.name, c.mirror, c.mirror_digest, 'r' .. revision)
  elseif c.deleted and redis.call('HEXISTS', 'weir:mirrors', c.name) == 1 then
    aside(c.name)
    remove_mirror(c.name)
  end
end
for key, value in pairs(claims) do
  if value then redis.call('HSET', 'weir:claims', key, value) else redis.call('HDEL', 'weir:claims', key) end
end
for _, w in ipairs(writes) do put(w) end
remember(tag, text(id))
return { 'ok', text(id), prev, records, tostring(foreign) }
`);

/** Answers the result, and for an accepted commit how it is kept. */
export async function commitTo(
  connection: Connection,
  commit: Commit,
  options: CommitOptions,
): Promise<CommitResult & { kept?: Kept }> {
  const tag = newTag();
  const first = await attempt(false);
  // A patch where nothing is there to be patched: the document is kept whole.
  const { answer, changes, replicas } = first.answer[0] === 'whole' ? await attempt(true) : first;
  const [kind = '', ...rest] = answer;
  if (kind === 'mirror') throw noRecord(rest[0] ?? '');
  if (kind !== 'ok') return { ok: false, conflict: conflictOf(kind, rest, commit) };
  const [id = '0', prev = '', records = '[]', foreign = '0'] = rest;
  const { at, by } = commit;
  const event = { id: Number(id), at, by, changes, records: JSON.parse(records) as StoreEvent['records'] };
  return { ok: true, event, kept: { logged: { event, tag, prev }, replicas, foreign: foreign !== '0' } };

  async function attempt(whole: boolean): Promise<{ answer: string[]; changes: EventChange[]; replicas: number }> {
    const made = commit.changes.map((change) => ({ change, patched: change.patch !== null && !whole }));
    const told = made.map(({ change, patched }) => eventChange(change, patched));
    const head = JSON.stringify({ at: commit.at, by: commit.by, changes: told });
    const args = [
      tag,
      head,
      options.keepEvents,
      options.keepRevisions,
      ...counted(made, ({ change, patched }) => changeArgs(change, patched, { commit, mirrorOf: options.mirrorOf })),
      ...counted(commit.claims.remove, ({ key, cluster }) => [key, cluster]),
      ...counted(commit.claims.add, (claim) => [claim.key, claimText(claim)]),
      ...counted(commit.records, writeArgs),
    ];
    const { wait } = options;
    const { answer: said, replicas: kept } = wait
      ? await connection.runKept(commitScript, args, wait)
      : { answer: await connection.run(commitScript, args), replicas: 0 };
    return { answer: said as string[], changes: told, replicas: kept };
  }
}

function noRecord(name: string): WeirError {
  return new WeirError(
    'conflict',
    `the key cluster:${name} in Redis, where the mirror of the cluster goes, is no hash`,
    {
      hint: `see what it is, and rename it: redis-cli TYPE cluster:${name}`,
    },
  );
}

type Args = (string | number)[];

function counted<T>(items: readonly T[], argsOf: (item: T) => Args): Args {
  return [items.length, ...items.flatMap(argsOf)];
}

function newTag(): string {
  return randomBytes(12).toString('base64url');
}

function eventChange(change: DocumentChange, patched: boolean): EventChange {
  const { kind, name, digest, calls, document } = change;
  const id = { kind, name, revision: numberOf(change), digest, calls };
  if (document === null || change.past) return { ...id, deleted: true, patch: null };
  const patch = patched ? change.patch : null;
  return { ...id, deleted: false, patch, ...(patch ? {} : { document }) };
}

function changeArgs(
  change: DocumentChange,
  patched: boolean,
  { commit, mirrorOf }: { commit: Commit; mirrorOf: MirrorOf | undefined },
): Args {
  const { kind, name, expected, was = '', document, digest, calls, past = false } = change;
  const number = numberOf(change);
  const { at, by, message } = commit;
  const deleted = document === null;
  const entry = { at, by, ...(message === undefined ? {} : { message }), calls, digest, deleted };
  const copied = !deleted && (!patched || number % COPY_EVERY === 0);
  const mirror = !deleted && !past && kind === 'cluster' ? mirrorOf?.(document) : undefined;
  const texts = [
    JSON.stringify(entry),
    patched && !deleted ? JSON.stringify(change.patch) : '',
    copied ? JSON.stringify(document) : '',
  ];
  const mirrored = mirror ? ['1', ...mirrorArgs(mirror)] : ['0'];
  const flags = [deleted ? '1' : '0', digest, number, past ? '1' : '0'];
  return [kind, name, expected, was, ...flags, ...texts, ...mirrored];
}

function claimText({ cluster, what }: Claim): string {
  return `${cluster}\n${what}`;
}

export function readClaim(key: string, text: string): Claim {
  const end = text.indexOf('\n');
  return { key, cluster: text.slice(0, end), what: text.slice(end + 1) };
}

function writeArgs({ kind, key, expected, value, fence }: RecordWrite): Args {
  const head = `{"kind":${JSON.stringify(kind)},"key":${JSON.stringify(key)},"version":`;
  const written = value === undefined ? ['1', ''] : ['0', JSON.stringify(value)];
  return [kind, key, expected ?? '', ...written, fence?.lease ?? '', fence?.number ?? '', head];
}

function conflictOf(kind: string, rest: readonly string[], commit: Commit): Conflict {
  if (kind === 'claims') return { type: 'claims', refused: refusedOf(rest, commit) };
  const [first = '', second = '', third = ''] = rest;
  if (kind === 'fence') return { type: 'fence', lease: first, current: Number(second) };
  if (kind === 'record') return { type: 'record', id: { kind: first, key: second }, current: Number(third) };
  if (kind === 'revision') {
    return { type: 'revision', id: { kind: first as 'cluster', name: second }, current: Number(third) };
  }
  throw new Error(`an answer of the commit script that nobody knows: ${kind}`);
}

/** Pairs of the number of a wanted claim and the text of its holder. */
function refusedOf(pairs: readonly string[], commit: Commit): { wanted: Claim; holder: Claim }[] {
  return pairs.flatMap((index, i) => {
    const wanted = i % 2 === 0 ? commit.claims.add[Number(index) - 1] : undefined;
    return wanted ? [{ wanted, holder: readClaim(wanted.key, pairs[i + 1] ?? '\n') }] : [];
  });
}

const putScript = script(`${prelude}${recordLua}
local tag = take()
local done = redis.call('GET', 'weir:commit:' .. tag)
if done then return { 'ok', done } end
local w = read_write()
local why = refusal(w)
if why then return why end
put(w)
remember(tag, text(w.version))
return { 'ok', text(w.version) }
`);

/** One record, without an event. */
export async function putTo(
  connection: Connection,
  write: RecordWrite,
): Promise<Awaited<ReturnType<Store['putRecord']>>> {
  const [kind = '', ...rest] = (await connection.run(putScript, [newTag(), ...writeArgs(write)])) as string[];
  if (kind === 'ok') return { ok: true, version: Number(rest[0]) };
  const nothing = { changes: [], claims: { remove: [], add: [] }, records: [], by: '', at: '' };
  return { ok: false, conflict: conflictOf(kind, rest, nothing) };
}
