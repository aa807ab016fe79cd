/**
 * The stores: commits and their latency, how soon another process has them, and what a thousand clusters
 * cost: start-up, memory, and one change beside the same at ten clusters.
 * Needs a build (npm run build) and redis-server (Debian). `store.ts PART ...` runs these parts alone.
 */
import { machine } from './measure.ts';
import { commits } from './store/commits.ts';
import { following } from './store/following.ts';
import { scale } from './store/scale.ts';

const parts = { commits, following, scale };
const given = process.argv.slice(2);
console.log(machine());
for (const [name, run] of Object.entries(parts)) if (given.length === 0 || given.includes(name)) await run();
