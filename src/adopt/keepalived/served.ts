/** What a configuration serves, as it is read: the same for all three dialects. */
import type { Announce, Dataplane } from '../../domain/edge/model.ts';
import type { ReadCheck } from './checks.ts';
import type { Ledger } from './ledger.ts';
import type { Statement } from './statements.ts';

export interface RealServer {
  address: string;
  port: number;
  weight: number;
  check: ReadCheck;
  statement: Statement;
  /** Its weight, where one is written. */
  weightAt: Statement | undefined;
}

/** A list of clients of DPVS, by its group. */
export interface Clients {
  ranges: readonly string[];
  at: Statement;
}

export interface VirtualServer {
  /** In the order of the files. */
  index: number;
  statement: Statement;
  protocol: string;
  protocolAt: Statement | undefined;
  scheduler: string;
  schedulerAt: Statement | undefined;
  /** NAT, DR, TUN, FNAT, SNAT. */
  kind: string;
  kindAt: Statement | undefined;
  /** Seconds; 0: off. */
  persistence: number;
  synproxy: boolean;
  quorum: number;
  quorumAt: Statement | undefined;
  /** Seconds; undefined: the data plane's own. */
  establish: number | undefined;
  proxy: string | undefined;
  deny: Clients | undefined;
  allow: Clients | undefined;
  /** Name of its group of LIPs. */
  lips: string | undefined;
  /** By Weir's own script, where that announces the VIP. */
  announce: Announce | undefined;
  /** Whether quorum_up runs anything. */
  announced: boolean;
  servers: readonly RealServer[];
}

export interface Service {
  /** `VIP:PORT/PROTOCOL` */
  key: string;
  vip: string;
  port: number;
  server: VirtualServer;
}

export interface LipGroup {
  name: string;
  statement: Statement;
  lips: readonly string[];
  /** With dpvs. */
  device: string | undefined;
}

export interface Served {
  servers: readonly VirtualServer[];
  services: readonly Service[];
  lips: ReadonlyMap<string, LipGroup>;
  /** Of global_defs; by convention it names the LB. */
  routerId: string | undefined;
}

export interface Reading {
  dataplane: Dataplane;
  ledger: Ledger;
  groups: ReadonlyMap<string, Statement>;
  clients: ReadonlyMap<string, Clients>;
  count: number;
}
