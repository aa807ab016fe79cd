/** A cluster's LBs for what works on them: which are meant, and how each is reached. */
import type { Cluster, Lb } from '../domain/edge/model.ts';
import { refuse } from '../domain/errors.ts';
import { error } from '../domain/problem.ts';
import type { LbOutcome } from '../publish/activate-lb.ts';
import type { Target } from '../remote/port.ts';

/** The LBs that were asked for, in the order of asking; all if none was named. Throws with every name that is not there. */
export function chosenLbs(cluster: Cluster, wanted: readonly string[] | undefined): Lb[] {
  if (cluster.lbinfos.length === 0) {
    throw refuse([
      error('lbinfos', {
        code: 'no_lb',
        message: `cluster ${cluster.name} has no LB`,
        hint: `add one: weir lb add ${cluster.name}`,
      }),
    ]);
  }
  if (!wanted) return cluster.lbinfos;
  const known = new Map(cluster.lbinfos.map((lb) => [lb.hostname, lb]));
  const unknown = wanted.filter((name) => !known.has(name));
  if (unknown.length > 0) {
    throw refuse(
      unknown.map((name) =>
        error('lbs', {
          code: 'unknown_lb',
          message: `cluster ${cluster.name} has no LB ${name}`,
          hint: `it has: ${[...known.keys()].slice(0, 10).join(', ')}`,
        }),
      ),
      'not_found',
    );
  }
  return [...new Set(wanted)].flatMap((name) => known.get(name) ?? []);
}

export function targetOf(cluster: Cluster, lb: Lb): Target {
  const ssh = { ...cluster.ssh, ...lb.ssh };
  return {
    host: lb.hostname,
    ...(ssh.user === undefined ? {} : { user: ssh.user }),
    ...(ssh.port === undefined ? {} : { port: ssh.port }),
    ...(lb.ssh?.address === undefined ? {} : { address: lb.ssh.address }),
  };
}

export function sudoOf(cluster: Cluster, lb: Lb): boolean {
  return lb.ssh?.sudo ?? cluster.ssh?.sudo ?? false;
}

/** Whether it is known that an LB that was asked for something ended as it was before. */
export function changedNothing({ state, untouched }: LbOutcome): boolean {
  return state === 'failed' && untouched;
}
