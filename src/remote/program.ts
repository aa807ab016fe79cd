/**
 * Runs a local program to its end with an argument array: the work of test hosts. For src/remote and the lab;
 * imports nothing of ours.
 */
import { type ChildProcess, spawn } from 'node:child_process';

export interface Ran {
  /** Null where a signal ended it: the time limit, the abort signal, or the machine going away. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProgramOptions {
  /** Given on standard input; default: none. */
  readonly input?: string | Uint8Array;
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /** In ms; default: no limit. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Ends the program where its time is over or the signal fires; default: SIGKILL. */
  readonly kill?: (child: ChildProcess) => void;
}

/** Rejects only where the program cannot be started. */
export function runProgram(program: string, args: readonly string[], options: ProgramOptions): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env: options.env, stdio: ['pipe', 'pipe', 'pipe'] });
    const { timeoutMs, signal, kill = (running) => running.kill('SIGKILL') } = options;
    const stop = (): void => kill(child);
    const timer = timeoutMs === undefined ? undefined : setTimeout(stop, timeoutMs);
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted) stop();
    child.once('error', (failure) => {
      if (child.pid !== undefined) return;
      release();
      reject(failure);
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.once('close', (code) => {
      release();
      resolve({ code, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() });
    });
    // A program that does not read its input to the end is no failure.
    child.stdin.on('error', () => {});
    child.stdin.end(options.input);

    function release(): void {
      clearTimeout(timer);
      signal?.removeEventListener('abort', stop);
    }
  });
}
