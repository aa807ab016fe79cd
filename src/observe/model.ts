/**
 * What observing an LB finds, and what comes of it: the raw observation, and the LB's status by layer.
 * observe/ may import domain, render and remote. Nothing here is guessed from another layer.
 */
import type { Finding } from './findings.ts';

/** A running or not running keepalived, as /proc tells. */
export interface Process {
  pid: number;
  ppid: number;
  /** Clock ticks after boot, field 22 of /proc/PID/stat. */
  start: number;
  comm: string;
}

/** The head of a release's manifest as it lies on the LB. */
export interface ManifestHead {
  release: string;
  cluster: string;
  lb: string;
  dataplane: string;
  routing: string;
  services: number;
  helper: string;
  agent: string;
  /** Digest of what keepalived loads; empty where the release has none. */
  loads: string;
}

export interface VirtualServer {
  /** `TCP 10.50.0.1:80` */
  key: string;
  protocol: string;
  vip: string;
  port: number;
  scheduler: string;
  persistent: boolean;
  servers: RealServer[];
}

export interface RealServer {
  /** `10.30.0.11:8080` */
  key: string;
  weight: number;
  active: number;
  inactive: number;
}

/** What a release says keepalived should make. */
export interface ExpectedServer {
  key: string;
  protocol: string;
  vip: string;
  port: number;
  scheduler: string;
  persistent: boolean;
  /** What the announce script is called with; none where the configuration calls none. */
  announce: { policy: string; quorum: number } | undefined;
  servers: { key: string; weight: number }[];
}

export interface Neighbour {
  id: string;
  address: string;
  /** e.g. Full/DR */
  state: string;
  interface: string;
}

/** Everything that one session read; undefined where the machine has nothing of it. */
export interface Observation {
  root: boolean;
  /** Seconds since boot, and the boot's own ID. */
  uptime: number;
  boot: string;
  /** The machine's clock, epoch seconds. */
  time: number;
  /** Targets of symbolic links, by path; live paths that are links are here too. */
  links: ReadonlyMap<string, string>;
  /** First lines of files in /etc/weir, by name; empty where the file is. */
  files: ReadonlyMap<string, string>;
  /** By folder in /etc/weir/releases. */
  manifests: ReadonlyMap<string, ManifestHead>;
  /** SHA-256 of the current release's files by path in it, as its manifest lists them and as they are. */
  listed: ReadonlyMap<string, string>;
  present: ReadonlyMap<string, string>;
  /** SHA-256 of live paths and of helpers by absolute path. */
  live: ReadonlyMap<string, string>;
  pidFile: number | undefined;
  processes: readonly Process[];
  /** Release whose keepalived files were read, and what is in them. */
  expected: { folder: string; servers: ExpectedServer[] } | undefined;
  /** Texts of host and routing files by `FOLDER/PATH`. */
  texts: ReadonlyMap<string, string>;
  sysctls: ReadonlyMap<string, string>;
  /** Interfaces by IPv4 address with its prefix length, `10.50.0.1/32`. */
  addresses: ReadonlyMap<string, readonly string[]>;
  /** Devices of DPVS by IPv4 address with its prefix length; undefined: nothing of DPVS, or it does not answer. */
  dpdk: ReadonlyMap<string, readonly string[]> | undefined;
  /** undefined: the kernel has no IPVS, or DPVS does not answer. */
  table: readonly VirtualServer[] | undefined;
  /** Our chains and jumps into them: `TABLE CHAIN` to rules; undefined where nobody looked. */
  chains: ReadonlyMap<string, readonly string[]> | undefined;
  /** undefined: vtysh is not there. */
  routing: { running: string } | { failed: string } | undefined;
  neighbours: readonly Neighbour[];
}

// status -------------------------------------------------------------------------------------

/** The first of many findings, with their number. */
export interface Findings {
  total: number;
  items: Finding[];
}

export type LoadedState =
  /** A release on the machine. */
  | 'release'
  /** A configuration that no release on the machine has. */
  | 'foreign'
  /** keepalived runs without any virtual server, so without a checker that could tell. */
  | 'none'
  /** It runs, and nothing tells with what. */
  | 'unknown'
  | 'down';

export interface LbLayers {
  published: {
    release: string;
    /** Revision that this release was published with, where Weir knows it. */
    revision: number | null;
    /** Whether files are as the release has them. */
    verified: boolean;
    dataplane: string;
    routing: string;
    /** Virtual services in it. */
    services: number;
    active: string | null;
    previous: string | null;
    /** An activation that is not confirmed yet; deadline in epoch seconds. */
    activating: { release: string; deadline: number } | null;
    undone: { at: number; from: string; to: string; reason: string } | null;
  } | null;
  loaded: {
    keepalived: {
      state: LoadedState;
      release: string | null;
      /** Digest of what it loaded. */
      loads: string | null;
      /** `process`: the checker's name; `record`: what the activation wrote down, blind to reloads by hand. */
      source: 'process' | 'record' | null;
      pid: number | null;
    };
    routing: {
      /** Whose routing files the daemons run: the published release's, that of the active one, or neither. */
      state: 'published' | 'active' | 'differs' | 'unknown' | 'down';
      /** Lines by which they differ from the published one, `+` runs and `-` does not. Keys are masked. */
      differences: string[];
    };
  };
  kernel: {
    /** Release that the kernel was compared with: what is loaded, else what is active; none: not compared. */
    against: string | null;
    services: Count;
    servers: Count;
    connections: { active: number; inactive: number };
    vips: Count & { high: number };
    lips: Count;
    ospf: { full: number; neighbours: Neighbour[] };
    boot: { id: string; uptime: number };
  };
}

export interface Count {
  expected: number;
  present: number;
}

export interface Drained {
  /** `weir`: by the document or `weir lb drain`; `local`: by a person on the LB. */
  origin: string;
  /** Epoch seconds; 0 where the file does not tell. */
  since: number;
  reason: string;
}

export interface ServiceRow {
  service: string;
  scheduler: string;
  servers: RealServer[];
}

export interface Desired {
  release: string;
  revision: number;
  state: 'up' | 'drain';
}

export type LbStatus = { lb: string; desired: Desired | null } & (
  | { state: 'unreachable'; error: string }
  | ({
      state: 'ok' | 'deviates';
      drained: Drained | null;
      /** What is not as it should be. */
      deviations: Findings;
      /** What is as it may be, but worth knowing. */
      notes: Findings;
      services?: ServiceRow[];
    } & LbLayers)
);
