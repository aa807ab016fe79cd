/** One call of the original's API that changes or pushes, from its translation to its outcome. */
import { mustGet } from '../../jobs/releases.ts';
import type { State } from '../../store/state.ts';
import { WeirError } from '../../domain/errors.ts';
import { whyRefused } from './answers.ts';
import type { Outcome } from './answers.ts';
import type { Push } from './push.ts';
import type { Translation } from './translate.ts';

export interface Asked {
  cluster: string;
  by: string;
  /** Reads the arguments, and may refuse them; undefined where nothing is to be changed. */
  translate?: () => Translation;
  push: boolean;
}

export interface Edges {
  state: State;
  push: Push;
}

/** Changes, then pushes. Throws faults alone: what Weir refuses is an outcome. */
export async function carryOut(asked: Asked, { state, push }: Edges): Promise<Outcome> {
  const { cluster, translate } = asked;
  // That nothing is left to do is found in memory, which other Weirs on the same store are ahead of.
  await state.sync();
  const changed = await outcomeOf(
    () => (translate ? change(state, asked, translate()) : untouched(state, cluster)),
    (why) => ({ ok: false, revision: state.get(cluster)?.revision, details: [why] }),
  );
  if (!changed.ok || !asked.push) return changed;
  if (state.get(cluster)?.cluster.lbinfos.length === 0) {
    return { ...changed, details: [`${cluster} has no LB to push to`] };
  }
  return outcomeOf(
    () => push(cluster, asked.by).then(() => changed),
    (why) => {
      const kept = translate ? `revision ${changed.revision} is kept, but not on all LBs: ` : '';
      return { ...changed, ok: false, details: [kept + why] };
    },
  );
}

async function outcomeOf(work: () => Promise<Outcome> | Outcome, refused: (why: string) => Outcome): Promise<Outcome> {
  try {
    return await work();
  } catch (thrown) {
    const why = whyRefused(thrown);
    if (why === undefined) throw thrown;
    return refused(why);
  }
}

/** Changes of others that come between reading and changing before it is given up. */
const MAX_TRIES = 50;

/**
 * What is added or left to be removed is found from the document as it is; where another change made it there, or took
 * it away, meanwhile, it is found again.
 */
async function change(state: State, { cluster, by }: Asked, translation: Translation): Promise<Outcome> {
  for (let tries = 1; ; tries++) {
    const before = state.get(cluster)?.revision;
    try {
      const calls = translation(() => mustGet(state, cluster).cluster);
      if (calls.length === 0) return untouched(state, cluster);
      const { revision } = await state.change({ cluster, calls, by });
      return { ok: true, revision, details: [] };
    } catch (thrown) {
      const moved = state.get(cluster)?.revision !== before;
      if (!moved || !isCrossing(thrown) || tries === MAX_TRIES) throw thrown;
    }
  }
}

function isCrossing(thrown: unknown): boolean {
  return thrown instanceof WeirError && (thrown.code === 'exists' || thrown.code === 'not_found');
}

function untouched(state: State, cluster: string): Outcome {
  return { ok: true, revision: mustGet(state, cluster).revision, details: [] };
}
