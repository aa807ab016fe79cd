/** Versioned records and the leases that fence their writers. */
import type { Conflict, Lease, RecordId, RecordWrite, StoredRecord, StoreEvent } from '../port.ts';
import type { Connection } from './database.ts';

export function recordsIn(db: Connection) {
  const ofKind = db.prepare<RecordRow>('SELECT kind, key, version, value FROM records WHERE kind = ? ORDER BY key');
  const one = db.prepare<RecordRow>('SELECT kind, key, version, value FROM records WHERE kind = ? AND key = ?');
  const version = db.prepare<{ version: number }>('SELECT version FROM records WHERE kind = ? AND key = ?');
  const set = db.prepare('INSERT OR REPLACE INTO records (kind, key, version, value) VALUES (?, ?, ?, ?)');
  const remove = db.prepare('DELETE FROM records WHERE kind = ? AND key = ?');
  const fenceOf = db.prepare<{ fence: number }>('SELECT fence FROM leases WHERE name = ?');

  return {
    ofKind: (kind: string): StoredRecord[] => ofKind.all(kind).map(recordOf),

    one({ kind, key }: RecordId): StoredRecord | undefined {
      const row = one.get(kind, key);
      return row && recordOf(row);
    },

    /** Inside a transaction. Answers the record as it is then; version 0 and no value if it is gone. */
    write({ kind, key, expected, value, fence }: RecordWrite): StoreEvent['records'][number] | Conflict {
      const handedOut = fence ? (fenceOf.get(fence.lease)?.fence ?? 0) : 0;
      if (fence && handedOut > fence.number) return { type: 'fence', lease: fence.lease, current: handedOut };
      const current = version.get(kind, key)?.version ?? 0;
      if (expected !== undefined && expected !== current) return { type: 'record', id: { kind, key }, current };
      if (value === undefined) {
        remove.run(kind, key);
        return { kind, key, version: 0 };
      }
      set.run(kind, key, current + 1, JSON.stringify(value));
      return { kind, key, version: current + 1, value };
    },
  };
}

interface RecordRow {
  kind: string;
  key: string;
  version: number;
  value: string;
}

function recordOf({ kind, key, version, value }: RecordRow): StoredRecord {
  return { kind, key, version, value: JSON.parse(value) as unknown };
}

interface LeaseRow {
  name: string;
  owner: string | null;
  fence: number;
  expires: number;
}

export function leasesIn(db: Connection) {
  const all = db.prepare<LeaseRow>(
    'SELECT name, owner, fence, expires FROM leases WHERE owner IS NOT NULL ORDER BY name',
  );
  const one = db.prepare<LeaseRow>('SELECT name, owner, fence, expires FROM leases WHERE name = ?');
  const lastFence = db.prepare<{ fence: number | null }>('SELECT max(fence) AS fence FROM leases');
  const give = db.prepare('INSERT OR REPLACE INTO leases (name, owner, fence, expires) VALUES (?, ?, ?, ?)');
  const extend = db.prepare('UPDATE leases SET expires = ? WHERE name = ? AND owner = ? AND fence = ?');
  const release = db.prepare('UPDATE leases SET owner = NULL WHERE name = ? AND owner = ? AND fence = ?');
  const end = db.prepare('UPDATE leases SET owner = NULL WHERE name = ? AND owner IS NOT NULL');

  return {
    all: (): Lease[] => all.all().map((row) => leaseOf({ ...row, owner: row.owner ?? '' })),

    acquire: (name: string, owner: string, { ttlMs, now }: { ttlMs: number; now: number }): Lease | undefined =>
      db.write(() => {
        const held = one.get(name);
        const own = held?.owner === owner;
        if (held && held.owner !== null && !own && held.expires > now) return undefined;
        const fence = own && held ? held.fence : Math.max((lastFence.get()?.fence ?? 0) + 1, now);
        give.run(name, owner, fence, now + ttlMs);
        return leaseOf({ name, owner, fence, expires: now + ttlMs });
      }),

    renew: ({ name, owner, fence }: Lease, { ttlMs, now }: { ttlMs: number; now: number }): boolean =>
      db.write(() => extend.run(now + ttlMs, name, owner, fence) > 0),

    release({ name, owner, fence }: Lease): void {
      db.write(() => release.run(name, owner, fence));
    },

    end: (name: string): boolean => db.write(() => end.run(name) > 0),
  };
}

function leaseOf({ name, owner, fence, expires }: LeaseRow & { owner: string }): Lease {
  return { name, owner, fence, expires: new Date(expires).toISOString() };
}
