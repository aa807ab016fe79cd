/**
 * The remote port: running one constant command on a machine, with data on its standard input.
 * Knows nothing of clusters, releases or publishing; imports only domain/errors.
 */

/** How a machine is reached. The rest comes from ssh_config. */
export interface Target {
  /** Name for ssh; a checked hostname. */
  readonly host: string;
  readonly user?: string;
  readonly port?: number;
  /** Connect here instead of where ssh_config resolves the host to. */
  readonly address?: string;
}

export interface RemoteSession {
  /** Lines of standard output, as they come; ends when the command ends. Lines over 64 KiB are cut. */
  readonly lines: AsyncIterable<string>;
  /** Sends bytes; resolves when the pipe takes more. Rejects if the session is over. */
  write(data: Uint8Array | string): Promise<void>;
  /** Closes standard input. */
  end(): void;
  /** Resolves when the process is gone. Never rejects. */
  readonly done: Promise<RemoteExit>;
  /** Ends the session now; `done` resolves soon after. */
  kill(): void;
}

export interface RemoteExit {
  /** Exit code of the remote command; 255 where ssh itself failed; null where it was killed. */
  readonly code: number | null;
  /** The last 8 KiB of standard error: the remote program's words, or ssh's own. */
  readonly stderr: string;
  /** True where the time limit or the signal ended it. */
  readonly timedOut: boolean;
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

export interface RunOptions {
  /** The whole session, in ms. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface Remote {
  /** Starts a command; it must be a constant of the program, never built from data. */
  run(target: Target, command: string, options: RunOptions): RemoteSession;
}
