/**
 * Another process on the same Redis, forked by following.ts: notes when it has a commit in memory, and when
 * a bare reader of a stream has an entry. Times are of the clock that all processes of a machine share.
 */
import { Redis } from 'ioredis';
import { open } from './places.ts';

export interface Notes {
  /** ns by revision of c0. */
  revisions: [revision: number, at: string][];
  /** ns by the text of each entry of the stream `bare`. */
  entries: [text: string, at: string][];
}

const [address = ''] = process.argv.slice(2);
const notes: Notes = { revisions: [], entries: [] };
const { state } = await open({ address }, { mirror: true });
state.onEvent(() => {
  const revision = state.get('c0')?.revision ?? 0;
  notes.revisions.push([revision, String(process.hrtime.bigint())]);
});
process.on('disconnect', () => process.exit());
process.on('message', () => process.send?.(notes));
void readEntries(new Redis(address));
process.send?.('ready');

async function readEntries(redis: Redis): Promise<void> {
  for (let last = '0-0'; ;) {
    const [stream] = (await redis.xread('BLOCK', 1000, 'STREAMS', 'bare', last)) ?? [];
    for (const [id, fields] of stream?.[1] ?? []) {
      notes.entries.push([fields[1] ?? '', String(process.hrtime.bigint())]);
      last = id;
    }
  }
}
