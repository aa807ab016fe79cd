/** A document as far as it is known, and what it is made with. */
import type { Cluster, Dataplane, Vip } from '../../domain/edge/model.ts';
import type { Ledger, Reason } from './ledger.ts';
import type { Service } from './served.ts';
import type { Statement } from './statements.ts';

/** A document as far as it is known. */
export type DraftVip = Omit<Vip, 'wstype'> & Partial<Pick<Vip, 'wstype'>>;
export type Draft = Partial<Omit<Cluster, 'vip2ws'>> & { vip2ws: DraftVip[] };

export interface Drafting {
  dataplane: Dataplane;
  base: Draft;
  /** Names of WSs by their addresses. */
  names: ReadonlyMap<string, string>;
  wstype: string | undefined;
  /** Whether VIPs of the base that the file does not have go. */
  replace: boolean;
  ledger: Ledger;
}

/** A finding about one service of a virtual server. */
export function tell(ledger: Ledger, { server, key }: Service, reason: Reason & { at?: Statement | undefined }): void {
  const { at = server.statement, ...rest } = reason;
  ledger.server = server.index;
  ledger.remark(at, { field: 'service', service: key, ...rest });
  ledger.server = undefined;
}
