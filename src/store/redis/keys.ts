/**
 * What is kept where in Redis, and the Lua that all scripts share. docs/redis.md tells operators the same.
 *
 *   weir:meta              hash    format; event, tag: id and tag of the newest event; fence: newest fencing number;
 *                                  pings, again: counters that prove it can be written
 *   weir:documents         hash    KIND:NAME -> "REVISION BASE OLDEST DIGEST"; BASE: newest whole copy, - if deleted
 *   weir:history:KIND:NAME hash    REVISION -> entry; REVISION:p patch, REVISION:d whole copy, REVISION:x if deleted
 *   weir:claims            hash    key -> "CLUSTER\nWHAT"
 *   weir:records:KIND      hash    key -> "VERSION JSON"
 *   weir:leases            hash    name -> "FENCE EXPIRES OWNER" of what is held
 *   weir:fences            hash    name -> the newest fencing number that was given out for it
 *   weir:events            stream  ID-0 -> event, records, prev (tag of the event before), tag
 *   weir:commit:TAG        string  what a write answered, for a minute: the same write is not done twice
 *   weir:mirrors           hash    NAME -> "DIGEST BASE" of what cluster:NAME holds; BASE: rREVISION or fID
 *   weir:foreign           stream  foreign writes to mirrors
 *   weir:foreign:open      set     IDs of those without an outcome
 *   weir:foreign:outcomes  hash    ID -> what became of the others
 *   cluster:NAME           hash    the mirror, in the form of the original
 *
 * Texts are made and read in Node; Lua only compares and joins them.
 */

import { createHash } from 'node:crypto';

/** Version of this layout. A newer one is refused. */
export const FORMAT = 1;

/** Fields of a mirror, in the order in which scripts take them. */
export const mirrorFields = ['type', 'device', 'lbinfos', 'vip2ws', 'vipnets'] as const;

/** Seconds for which a write that was answered is known by its tag. */
const REMEMBER = 60;

/** `take()` and `num()` read the arguments one after the other. */
export const prelude = `
local at = 0
local function take() at = at + 1 return ARGV[at] end
local function num() return tonumber(take()) end
local function text(n) return string.format('%.0f', n) end

local function document(id)
  local meta = redis.call('HGET', 'weir:documents', id)
  if not meta then return 0, '-', 1, '' end
  local revision, base, oldest, digest = string.match(meta, '^(%d+) (%S+) (%d+) (%S*)$')
  return tonumber(revision), base, tonumber(oldest), digest
end

local function fence_of(lease)
  return tonumber(redis.call('HGET', 'weir:fences', lease) or 0)
end

local function remember(tag, answer) redis.call('SET', 'weir:commit:' .. tag, answer, 'EX', ${REMEMBER}) end
`;

/** Reading and changing records: \`read_write()\` takes one write, \`refusal(w)\` is why it cannot be, \`put(w)\` does it. */
export const recordLua = `
local function read_write()
  return { kind = take(), key = take(), expected = take(), deleted = take() == '1', value = take(),
           lease = take(), fence = take(), head = take() }
end

local versions = {}
local function version_of(w)
  local id = w.kind .. '\\n' .. w.key
  if versions[id] then return versions[id] end
  local stored = redis.call('HGET', 'weir:records:' .. w.kind, w.key)
  return stored and tonumber(string.match(stored, '^(%d+) ')) or 0
end

local function refusal(w)
  if w.lease ~= '' then
    local newest = fence_of(w.lease)
    if newest > tonumber(w.fence) then return { 'fence', w.lease, text(newest) } end
  end
  local current = version_of(w)
  if w.expected ~= '' and tonumber(w.expected) ~= current then return { 'record', w.kind, w.key, text(current) } end
  w.version = w.deleted and 0 or current + 1
  versions[w.kind .. '\\n' .. w.key] = w.version
end

local function put(w)
  if w.deleted then redis.call('HDEL', 'weir:records:' .. w.kind, w.key)
  else redis.call('HSET', 'weir:records:' .. w.kind, w.key, text(w.version) .. ' ' .. w.value) end
end
`;

/** `held_by_mirror(name)`: digest of what cluster:NAME holds, and its fields; 'none' if it is not there, 'other' if it is no hash. */
export const mirrorLua = `
local function held_by_mirror(name)
  local kind = redis.call('TYPE', 'cluster:' .. name).ok
  if kind ~= 'hash' then return kind == 'none' and 'none' or 'other', { '', '', '', '', '' } end
  local fields = redis.call('HMGET', 'cluster:' .. name, ${mirrorFields.map((f) => `'${f}'`).join(', ')})
  local there = false
  for i = 1, ${mirrorFields.length} do
    if fields[i] then there = true else fields[i] = '' end
  end
  if not there then return 'none', fields end
  return redis.sha1hex(table.concat(fields, '\\0')), fields
end

-- Keeps a foreign write aside if there was one; answers whether.
local function keep_foreign(name)
  local known = redis.call('HGET', 'weir:mirrors', name)
  local digest, fields = held_by_mirror(name)
  local was, base = 'none', 'r0'
  if known then was, base = string.match(known, '^(%S+) (%S+)$') end
  if digest == was or digest == 'other' then return false end
  local id = redis.call('XADD', 'weir:foreign', '*', 'cluster', name, 'base', base,
    'gone', digest == 'none' and '1' or '0', ${mirrorFields.map((f, i) => `'${f}', fields[${i + 1}]`).join(', ')})
  redis.call('SADD', 'weir:foreign:open', id)
  redis.call('HSET', 'weir:mirrors', name, digest .. ' f' .. id)
  return true
end

-- 'digest': of the fields, as held_by_mirror makes it; made by the caller, since Lua holds up everybody.
local function write_mirror(name, fields, digest, base)
  redis.call('HSET', 'cluster:' .. name, ${mirrorFields.map((f, i) => `'${f}', fields[${i + 1}]`).join(', ')})
  redis.call('HSET', 'weir:mirrors', name, digest .. ' ' .. base)
end

local function remove_mirror(name)
  if held_by_mirror(name) ~= 'other' then redis.call('DEL', 'cluster:' .. name) end
  redis.call('HDEL', 'weir:mirrors', name)
end
`;

/** A mirror as scripts take it: its digest, then its fields. */
export function mirrorArgs(mirror: Readonly<Record<(typeof mirrorFields)[number], string>>): string[] {
  const texts = mirrorFields.map((field) => mirror[field]);
  return [createHash('sha1').update(texts.join('\0')).digest('hex'), ...texts];
}
