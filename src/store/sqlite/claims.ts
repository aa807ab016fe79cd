/** Claims: each key has one holder over all documents. */
import type { Claim } from '../../domain/edge/claims.ts';
import type { Commit, Conflict } from '../port.ts';
import type { Connection } from './database.ts';

export function claimsIn(db: Connection) {
  const all = db.prepare<Claim>('SELECT key, cluster, what FROM claims ORDER BY key');
  const holderOf = db.prepare<Claim>('SELECT key, cluster, what FROM claims WHERE key = ?');
  const remove = db.prepare('DELETE FROM claims WHERE key = ? AND cluster = ?');
  const add = db.prepare('INSERT INTO claims (key, cluster, what) VALUES (?, ?, ?) ON CONFLICT DO NOTHING');

  return {
    all: (): Claim[] => all.all().map(plain),

    /** Inside a transaction. Goes on after a refusal, so that all of them are reported. */
    change(claims: Commit['claims']): Conflict | undefined {
      for (const { key, cluster } of claims.remove) remove.run(key, cluster);
      const refused: { wanted: Claim; holder: Claim }[] = [];
      for (const wanted of claims.add) {
        if (add.run(wanted.key, wanted.cluster, wanted.what) === 1) continue;
        const holder = holderOf.get(wanted.key);
        if (holder) refused.push({ wanted, holder: plain(holder) });
      }
      return refused.length > 0 ? { type: 'claims', refused } : undefined;
    },
  };
}

/** libsql adds fields of its own to rows. */
function plain({ key, cluster, what }: Claim): Claim {
  return { key, cluster, what };
}
