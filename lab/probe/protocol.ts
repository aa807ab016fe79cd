/**
 * What the prober and its controller say to each other: options as one argument, then JSON lines both ways. Types only.
 */
import type { Window } from './window.ts';

export interface ProberOptions {
  /** Addresses of this machine: each connection is bound to the next one. */
  readonly sources: readonly string[];
  /** `ADDRESS:PORT` each, asked in turn; by HTTPS, unverified, where the port is 443. */
  readonly targets: readonly string[];
  /** New connections per second; default 100, 0 for none. */
  readonly rate?: number;
  /** Connections that send a request every second; default 10. */
  readonly keepalives?: number;
  /** Long downloads at once; default 30. */
  readonly downloads?: number;
  /** What they ask for; default `/slow`. */
  readonly downloadPath?: string;
  /** Time in ms in which a request has to be answered whole; default 3000. */
  readonly limitMs?: number;
  /** Time in ms without a byte after which a download counts as stalled; default 5000. */
  readonly stallMs?: number;
}

/** Each is answered once, by a `Reply` with its `id`. */
export type Command = { readonly id?: number } & (
  | { /** Ends the present window, which gets that name, and starts the next one. */ do: 'mark'; name: string }
  | { do: 'retarget'; targets: readonly string[] }
  | { /** Opens broken downloads again. */ do: 'reopen' }
  | {
      /** Ends downloads from a WS and all keep-alive connections, and opens others instead. */ do: 'release';
      ws: string;
    }
  | { /** As `mark`, and ends the prober. The end of standard input is the same. */ do: 'stop' }
);

export type Reply = { readonly id?: number } & (
  | { /** Told once, without being asked: everything has been tried once. */ told: 'running' }
  | { /** A window whose requests have all ended. */ told: 'window'; window: Window }
  | { told: 'retargeted' }
  | { /** That many downloads were opened again; each flows or has failed. */ told: 'reopened'; count: number }
);
