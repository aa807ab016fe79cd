/**
 * Pushing a cluster to its LBs, as the original did after a change: a publication of all of them, waited for. Those
 * who ask while one is under way share the next, which brings the changes of all of them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { WeirError } from '../../domain/errors.ts';
import type { Publication, Publications } from '../../jobs/publications.ts';

/** Resolves when every LB has it; throws with what hindered it, LB by LB. */
export type Push = (cluster: string, by: string) => Promise<void>;

export interface PushOptions {
  publications: Publications;
  /** How long other work on the LBs is waited for, in ms. */
  patienceMs: number;
}

interface Pushes {
  underWay: Promise<void>;
  /** Begins when the one that is under way has ended. */
  next?: Promise<void>;
}

export function createPush(options: PushOptions): Push {
  const byCluster = new Map<string, Pushes>();

  return (cluster, by) => {
    const pushes = byCluster.get(cluster);
    if (!pushes) return begin(cluster, by);
    pushes.next ??= pushes.underWay.catch(() => undefined).then(() => begin(cluster, by));
    return pushes.next;
  };

  function begin(cluster: string, by: string): Promise<void> {
    const pushes: Pushes = { underWay: publish(cluster, by, options) };
    byCluster.set(cluster, pushes);
    const forget = () => {
      if (byCluster.get(cluster) === pushes && !pushes.next) byCluster.delete(cluster);
    };
    pushes.underWay.then(forget, forget);
    return pushes.underWay;
  }
}

async function publish(cluster: string, by: string, options: PushOptions): Promise<void> {
  const publication = await endOf(await start(cluster, by, options), options.publications);
  const left = Object.entries(publication.lbs).filter(([, lb]) => lb.state !== 'published' && lb.state !== 'unchanged');
  if (left.length === 0) return;
  const words = left.map(([name, lb]) => `${name} (${lb.step || lb.state}): ${lb.message || lb.state}`);
  throw new WeirError('failed', words.join('; '), { hint: `publication ${publication.id} has all of it` });
}

/** How often it is tried again while other work is under way. */
const RETRY_MS = 200;

async function start(cluster: string, by: string, { publications, patienceMs }: PushOptions): Promise<Publication> {
  const until = performance.now() + patienceMs;
  for (;;) {
    try {
      return await publications.start({ cluster, by });
    } catch (thrown) {
      const busy = thrown instanceof WeirError && thrown.code === 'busy';
      if (!busy || performance.now() > until) throw thrown;
      await sleep(RETRY_MS);
    }
  }
}

function endOf(publication: Publication, publications: Publications): Promise<Publication> {
  return new Promise((resolve, reject) => {
    const { cluster, id } = publication;
    const watched = publications.watch(id, (now) => {
      if (now.ended !== undefined) resolve(now);
    });
    // It may have ended before it could be watched.
    if (!watched) publications.get(cluster, id).then(resolve, reject);
  });
}
