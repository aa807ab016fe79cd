/** Reading documents, their history and the log. */
import type { Call } from '../../domain/edge/operations.ts';
import type { Claim } from '../../domain/edge/claims.ts';
import type { DocumentId, DocumentKind, HistoryEntry, StoredDocument, StoreEvent } from '../port.ts';
import { readClaim } from './commit.ts';
import type { LoggedEvent } from './commit.ts';
import { script } from './connection.ts';
import type { Connection } from './connection.ts';
import { prelude } from './keys.ts';

/** Documents read by one script: it holds everybody up while it runs. */
const AT_ONCE = 20;

/** The log's end, then of each document: how many texts, its meta, its base, and the patches after it. */
const loadScript = script(`${prelude}
local end_of_log = redis.call('HMGET', 'weir:meta', 'event', 'tag')
local out = { end_of_log[1] or '0', end_of_log[2] or '' }
for _, id in ipairs(ARGV) do
  local meta = redis.call('HGET', 'weir:documents', id) or ''
  local revision, base = string.match(meta, '^(%d+) (%S+)')
  local fields = {}
  if base and base ~= '-' then
    fields[1] = base .. ':d'
    for r = tonumber(base) + 1, tonumber(revision) do fields[#fields + 1] = r .. ':p' end
  end
  out[#out + 1] = tostring(#fields)
  out[#out + 1] = meta
  if #fields > 0 then
    for _, found in ipairs(redis.call('HMGET', 'weir:history:' .. id, unpack(fields))) do out[#out + 1] = found end
  end
end
return out
`);

/** One revision: its digest, then the copy at or below it and the patches after that; nothing if it is not kept. */
const revisionScript = script(`${prelude}
local id, wanted = take(), num()
local newest, _, oldest = document(id)
if wanted < oldest or wanted > newest then return {} end
local key = 'weir:history:' .. id
local entry = redis.call('HGET', key, wanted)
if not entry then return {} end
if redis.call('HEXISTS', key, wanted .. ':x') == 1 then return { entry, '-' } end
local base = wanted
while base > oldest and redis.call('HEXISTS', key, base .. ':d') == 0 do base = base - 1 end
local out = { entry, tostring(base), redis.call('HGET', key, base .. ':d') }
for r = base + 1, wanted do out[#out + 1] = redis.call('HGET', key, r .. ':p') end
return out
`);

/** The log's end. */
export interface Position {
  readonly id: number;
  readonly tag: string;
}

export interface Loaded {
  documents: StoredDocument[];
  claims: Claim[];
  position: number;
}

/**
 * Everything as it was at one position of the log, without holding others up: documents that changed while
 * others were read are read again, until nothing changed meanwhile.
 */
export async function load(connection: Connection): Promise<Loaded> {
  for (;;) {
    const documents = new Map<string, StoredDocument>();
    const position = await readAll(connection, documents);
    if (position === undefined) continue;
    const claims = await connection.call((redis) => redis.hgetall('weir:claims'));
    return {
      documents: [...documents.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
      claims: Object.entries(claims).map(([key, text]) => readClaim(key, text)),
      position,
    };
  }
}

/** Answers the position that they are of; undefined where a failover lost the log's end meanwhile. */
async function readAll(connection: Connection, into: Map<string, StoredDocument>): Promise<number | undefined> {
  let at = await endOfLog(connection);
  let names = await connection.call((redis) => redis.hkeys('weir:documents'));
  for (;;) {
    const seen = await readDocuments(connection, names, into);
    if (seen.id < at.id || (seen.id === at.id && seen.tag !== at.tag)) return undefined;
    if (names.length <= AT_ONCE && seen.id === at.id) return at.id;
    const changed = new Set<string>();
    for (;;) {
      const events = await readLog(connection, at.id, 500);
      for (const { event, tag, prev } of events) {
        if (prev !== at.tag) return undefined;
        at = { id: event.id, tag };
        for (const { kind, name } of event.changes) changed.add(`${kind}:${name}`);
      }
      if (events.length < 500) break;
    }
    names = [...changed];
  }
}

export async function endOfLog(connection: Connection): Promise<Position> {
  const [id, tag] = await connection.call((redis) => redis.hmget('weir:meta', 'event', 'tag'));
  return { id: Number(id ?? 0), tag: tag ?? '' };
}

/** Answers the log's end at the last reading. */
async function readDocuments(
  connection: Connection,
  ids: readonly string[],
  into: Map<string, StoredDocument>,
): Promise<Position> {
  let end: Position = { id: 0, tag: '' };
  for (let from = 0; from === 0 || from < ids.length; from += AT_ONCE) {
    const chunk = ids.slice(from, from + AT_ONCE);
    const [id = '0', tag = '', ...parts] = (await connection.run(loadScript, chunk)) as (string | null)[];
    end = { id: Number(id), tag: String(tag) };
    let next = 0;
    for (const name of chunk) {
      const count = Number(parts[next]);
      const stored = storedOf(name, String(parts[next + 1]), parts.slice(next + 2, next + 2 + count));
      if (stored) into.set(name, stored);
      next += 2 + count;
    }
  }
  return end;
}

function storedOf(id: string, meta: string, texts: readonly (string | null)[]): StoredDocument | undefined {
  const [revision, base, , digest = ''] = meta.split(' ');
  if (revision === undefined || base === undefined) return undefined;
  return rebuilt({ ...readId(id), revision: Number(revision), digest, base, texts });
}

function readId(id: string): DocumentId {
  const colon = id.indexOf(':');
  return { kind: id.slice(0, colon) as DocumentKind, name: id.slice(colon + 1) };
}

interface Parts extends DocumentId {
  revision: number;
  digest: string;
  base: string;
  texts: readonly (string | null)[];
}

function rebuilt({ kind, name, revision, digest, base, texts }: Parts): StoredDocument {
  if (base === '-') return { kind, name, revision, deleted: true, patches: [], digest };
  const [document, ...patches] = texts.map((text) => {
    if (text === null)
      throw new Error(`a part of ${kind} ${name} between revisions ${base} and ${revision} is missing`);
    return JSON.parse(text) as object;
  });
  if (!document) throw new Error(`no copy of ${kind} ${name} at revision ${base}`);
  return { kind, name, revision, deleted: false, base: { revision: Number(base), document }, patches, digest };
}

export async function revision(
  connection: Connection,
  { kind, name }: DocumentId,
  wanted: number,
): Promise<StoredDocument | undefined> {
  const answer = (await connection.run(revisionScript, [`${kind}:${name}`, wanted])) as (string | null)[];
  const [entry, base, ...texts] = answer;
  if (entry === undefined || entry === null) return undefined;
  const { digest } = JSON.parse(entry) as HistoryEntry;
  return rebuilt({ kind, name, revision: wanted, digest, base: base ?? '-', texts });
}

export async function history(
  connection: Connection,
  { kind, name }: DocumentId,
  { before = Number.MAX_SAFE_INTEGER, limit }: { before?: number; limit: number },
): Promise<HistoryEntry[]> {
  const id = `${kind}:${name}`;
  const meta = await connection.call((redis) => redis.hget('weir:documents', id));
  const [newest = 0, , oldest = 1] = (meta ?? '0 - 1').split(' ').map(Number);
  const from = Math.min(newest, before - 1);
  const count = Math.min(limit, from - oldest + 1);
  if (count <= 0) return [];
  const wanted = Array.from({ length: count }, (_, i) => from - i);
  const texts = await connection.call((redis) => redis.hmget(`weir:history:${id}`, ...wanted.map(String)));
  return texts.flatMap((text, i) => (text === null ? [] : [entryOf({ kind, name }, wanted[i] ?? 0, text)]));
}

function entryOf(id: DocumentId, number: number, text: string): HistoryEntry {
  const { at, by, message, calls, digest, deleted } = JSON.parse(text) as HistoryEntry & { calls: Call[] };
  return { ...id, revision: number, at, by, ...(message === undefined ? {} : { message }), calls, digest, deleted };
}

/** Entries of the log after an id, oldest first. */
export async function readLog(connection: Connection, after: number, limit: number): Promise<LoggedEvent[]> {
  const entries = await connection.call((redis) => redis.xrange('weir:events', `${after + 1}-0`, '+', 'COUNT', limit));
  return entries.map(readEntry);
}

export function readEntry([id, fields]: [id: string, fields: string[]]): LoggedEvent {
  const values = new Map<string, string>();
  for (let i = 0; i < fields.length; i += 2) values.set(fields[i] ?? '', fields[i + 1] ?? '');
  const head = JSON.parse(values.get('event') ?? '{}') as Omit<StoreEvent, 'id' | 'records'>;
  const records = JSON.parse(values.get('records') ?? '[]') as StoreEvent['records'];
  return {
    event: { id: Number.parseInt(id, 10), ...head, records },
    tag: values.get('tag') ?? '',
    prev: values.get('prev') ?? '',
  };
}
