/** Leases: one owner until a time, and fencing numbers that only go up. */
import type { Lease } from '../port.ts';
import { script } from './connection.ts';
import type { Connection } from './connection.ts';
import { prelude } from './keys.ts';

/** What time counts for a lease: the server's, so that clocks of several machines need not agree, or the caller's. */
export type LeaseClock = 'server' | 'caller';

interface Term {
  readonly ttlMs: number;
  readonly now: number;
}

/** `clock(now)`: milliseconds since 1970. */
const leaseLua = `${prelude}
local function clock(now)
  if now ~= '' then return tonumber(now) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local function lease(name)
  local held = redis.call('HGET', 'weir:leases', name)
  if not held then return nil end
  local fence, expires, owner = string.match(held, '^(%d+) (%d+) (.*)$')
  return { fence = tonumber(fence), expires = tonumber(expires), owner = owner }
end
local function set(name, fence, expires, owner)
  redis.call('HSET', 'weir:leases', name, text(fence) .. ' ' .. text(expires) .. ' ' .. owner)
  redis.call('HSET', 'weir:fences', name, text(fence))
end
`;

const acquireScript = script(`${leaseLua}
local name, owner, ttl, now = take(), take(), num(), clock(take())
local held = lease(name)
local own = held and held.owner == owner
if held and not own and held.expires > now then return {} end
local fence
if own then fence = held.fence
else
  fence = math.max((tonumber(redis.call('HGET', 'weir:meta', 'fence') or 0)) + 1, now)
  redis.call('HSET', 'weir:meta', 'fence', text(fence))
end
set(name, fence, now + ttl, owner)
return { text(fence), text(ttl) }
`);

const renewScript = script(`${leaseLua}
local name, owner, fence, ttl, now = take(), take(), num(), num(), clock(take())
local held = lease(name)
if not held or held.owner ~= owner or held.fence ~= fence then return 0 end
set(name, fence, now + ttl, owner)
return 1
`);

/** An owner and fence that are left out end anybody's. */
const endScript = script(`${leaseLua}
local name, owner, fence = take(), take(), take()
local held = lease(name)
if not held then return 0 end
if owner ~= '' and (held.owner ~= owner or held.fence ~= tonumber(fence)) then return 0 end
redis.call('HDEL', 'weir:leases', name)
return 1
`);

const listScript = script(`${leaseLua}
local now, out = clock(take()), {}
local all = redis.call('HGETALL', 'weir:leases')
for i = 1, #all, 2 do
  local held = lease(all[i])
  for _, part in ipairs({ all[i], held.owner, text(held.fence), text(held.expires - now) }) do out[#out + 1] = part end
end
return out
`);

export function leasesOf(connection: Connection, clock: LeaseClock) {
  const told = (now: number): number | '' => (clock === 'caller' ? now : '');
  return {
    async acquire(name: string, owner: string, { ttlMs, now }: Term): Promise<Lease | undefined> {
      const answer = (await connection.run(acquireScript, [name, owner, ttlMs, told(now)])) as string[];
      return answer.length === 0 ? undefined : leaseOf([name, owner, answer[0], answer[1]], now);
    },
    async renew({ name, owner, fence }: Lease, { ttlMs, now }: Term): Promise<boolean> {
      return (await connection.run(renewScript, [name, owner, fence, ttlMs, told(now)])) === 1;
    },
    async release({ name, owner, fence }: Lease): Promise<void> {
      await connection.run(endScript, [name, owner, fence]);
    },
    async end(name: string): Promise<boolean> {
      return (await connection.run(endScript, [name, '', ''])) === 1;
    },
    /** Times are told by the caller's clock, whatever clock counts. */
    async all(now: number): Promise<Lease[]> {
      const parts = (await connection.run(listScript, [told(now)])) as string[];
      const leases: Lease[] = [];
      for (let i = 0; i < parts.length; i += 4) leases.push(leaseOf(parts.slice(i, i + 4), now));
      return leases.sort((a, b) => (a.name < b.name ? -1 : 1));
    },
  };
}

/** `left`: ms until it ends, negative if it has. */
function leaseOf(
  [name = '', owner = '', fence = '0', left = '0']: readonly (string | undefined)[],
  now: number,
): Lease {
  return { name, owner, fence: Number(fence), expires: new Date(now + Number(left)).toISOString() };
}
