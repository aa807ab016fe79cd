/** What a configuration says, once it was read: of all its files, or of one. */

export const CHECK_TYPES = ['HTTP_GET', 'SSL_GET', 'TCP_CHECK', 'UDP_CHECK'] as const;
export type CheckType = (typeof CHECK_TYPES)[number];

/** Times in seconds. */
export interface HealthCheck {
  type: CheckType;
  connectTimeout: number;
  path?: string;
  status?: number;
  digest?: string;
  /** DPVS and mainline have it here, 1.2.2 on the virtual server. */
  host?: string;
  sni?: boolean;
  retries?: number;
  retryDelay?: number;
}

export interface RealServer {
  address: string;
  port: number;
  weight: number;
  check: HealthCheck;
}

/** Times in seconds. */
export interface VirtualService {
  group: string;
  vip: string;
  port: number;
  interval: number;
  scheduler: string;
  /** FNAT, NAT, DR or TUN. */
  kind: string;
  protocol: string;
  /** 0: off. */
  persistence: number;
  synproxy: boolean;
  /** Empty where the kind has none. */
  lips: readonly string[];
  quorum: number;
  quorumUp: string;
  quorumDown: string;
  /** Host header of its checks, where it stands on the virtual server. */
  host: string | undefined;
  realServers: RealServer[];
  /** Of dpvs alone, as are the following; undefined: the data plane's own. */
  establishTimeout?: number | undefined;
  proxyProtocol?: string | undefined;
  hashTarget?: string | undefined;
  /** Clients that are refused, and those that alone are served; `a.b.c.d` or `a.b.c.d-w.x.y.z`, as `joinRanges` makes them. */
  deny?: readonly string[] | undefined;
  allow?: readonly string[] | undefined;
}

export interface Reading {
  services: VirtualService[];
  /** LIPs by the name of their group. */
  lips: Map<string, string[]>;
  routerId: string | undefined;
  /** Name that the process of the health checks takes: tells what is loaded. Not of `fullnat`. */
  processName: string | undefined;
  /** Files in the order in which they were opened. */
  files: string[];
  /** `FILE:LINE what is wrong`; none in what Weir renders. */
  complaints: string[];
}

/** Something with a name that no other of all files may have. */
export interface Named {
  /** What it is and its name, e.g. `local_address_group laddr_g1`. */
  what: string;
  at: string;
}

/** A file's include of another. */
export interface Include {
  path: string;
  at: string;
}

/** What of one file matters to the others; small, so that it can be kept for each of many files. */
export interface FileNames {
  path: string;
  includes: readonly Include[];
  /** Groups, global_defs, and services by `VIP:PORT:PROTOCOL`. */
  named: readonly Named[];
  /** Groups of LIPs that its services name. */
  wantedLips: ReadonlyMap<string, string>;
  lipGroups: ReadonlyMap<string, readonly string[]>;
  vips: ReadonlySet<string>;
  services: number;
  /** Programs that quorum_up and quorum_down run. */
  programs: ReadonlySet<string>;
  /** What is wrong with it by itself. */
  complaints: readonly string[];
}

/** All that one file says by itself. */
export interface FileReading extends FileNames {
  routerId: string | undefined;
  processName: string | undefined;
  /** With their group of LIPs by its name, and where they stand. */
  virtualServices: readonly (VirtualService & { lipGroup: string | undefined; at: string })[];
}
