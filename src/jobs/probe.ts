/**
 * What the LBs of a cluster are, asked of all of them at once, and where that disagrees with the document. Nothing is
 * stored and no lease is taken: the answer is about now. An LB that cannot be asked is a row of its own.
 */
import { setMaxListeners } from 'node:events';
import pLimit from 'p-limit';
import { lipsOf } from '../domain/edge/lips.ts';
import { dataplaneOf, routingOf } from '../domain/edge/model.ts';
import type { Dataplane, Lb, Routing } from '../domain/edge/model.ts';
import { disagreements } from '../observe/disagreements.ts';
import type { Disagreement } from '../observe/disagreements.ts';
import { interfacesOf, probeLb } from '../observe/probe.ts';
import type { ProbeReport } from '../observe/probe-sections.ts';
import type { Remote } from '../remote/port.ts';
import type { State } from '../store/state.ts';
import { chosenLbs, sudoOf, targetOf } from './lbs.ts';
import { mustGet } from './releases.ts';

export interface ProbeOptions {
  state: State;
  remote: Remote;
  /** SSH sessions at once. */
  parallel: number;
  /** One LB, from connect to the end of its answer; default 60 s. */
  timeoutMs?: number;
  /** Findings that are listed for each LB, deviations first; default 100. */
  limit?: number;
}

/** What the document says of an LB, as far as it was held against the machine. */
export interface ProbedDocument {
  dataplane: Dataplane;
  routing: Routing;
  linkspeed: '1g' | '10g' | null;
  /** As the document names them: device, innerdevice, uplinks. */
  interfaces: string[];
  lips: number;
}

export type LbProbe = { lb: string; document: ProbedDocument } & (
  | { state: 'unreachable'; error: string }
  | {
      state: 'ok' | 'deviates';
      machine: ProbeReport;
      deviations: number;
      notes: number;
      /** The first of them, deviations before notes. */
      findings: Disagreement[];
    }
);

export interface ClusterProbe {
  cluster: string;
  /** Of the document. */
  revision: number;
  /** In the document's order. */
  lbs: LbProbe[];
}

export interface ProbeRequest {
  cluster: string;
  /** Only these LBs; all if left out. */
  lbs?: readonly string[] | undefined;
}

export interface Probes {
  /** Throws where the cluster or one of the LBs is not there. */
  of(request: ProbeRequest): Promise<ClusterProbe>;
  /** Ends sessions. */
  close(): void;
}

export function createProbes(options: ProbeOptions): Probes {
  const limit = pLimit(options.parallel);
  const ending = new AbortController();
  // One for each LB that is asked.
  setMaxListeners(0, ending.signal);

  return {
    async of(request) {
      const { name, revision, cluster, lips: plan } = mustGet(options.state, request.cluster);
      const chosen = new Set(chosenLbs(cluster, request.lbs));

      async function one(lb: Lb): Promise<LbProbe> {
        const lips = [...new Set(lipsOf(plan, lb.hostname))];
        const document: ProbedDocument = {
          dataplane: dataplaneOf(cluster),
          routing: routingOf(cluster),
          linkspeed: cluster.linkspeed ?? null,
          interfaces: interfacesOf(cluster, lb).map(({ device }) => device),
          lips: lips.length,
        };
        const answer = await probeLb({
          remote: options.remote,
          target: targetOf(cluster, lb),
          sudo: sudoOf(cluster, lb),
          timeoutMs: options.timeoutMs ?? 60_000,
          signal: ending.signal,
          cluster,
          lb,
          lips,
        });
        if (!answer.ok) return { lb: lb.hostname, document, state: 'unreachable', error: answer.error };
        return { lb: lb.hostname, document, ...judged(disagreements(cluster, lb, answer.value), answer.value) };
      }

      const lbs = cluster.lbinfos.filter((lb) => chosen.has(lb));
      return { cluster: name, revision, lbs: await Promise.all(lbs.map((lb) => limit(() => one(lb)))) };
    },

    close: () => ending.abort(),
  };

  function judged(found: readonly Disagreement[], machine: ProbeReport) {
    const deviations = found.filter(({ severity }) => severity === 'deviation');
    const notes = found.filter(({ severity }) => severity === 'note');
    return {
      state: deviations.length > 0 ? ('deviates' as const) : ('ok' as const),
      machine,
      deviations: deviations.length,
      notes: notes.length,
      findings: [...deviations, ...notes].slice(0, options.limit ?? 100),
    };
  }
}
