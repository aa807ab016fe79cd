/** A program of a machine of the lab that tells lines as long as it runs. Imports domain/errors only. */
import type { ChildProcess, StdioOptions } from 'node:child_process';
import { createInterface } from 'node:readline';
import { WeirError } from '../../src/domain/errors.ts';

/** A machine of the lab, or its network. */
export interface Place {
  /** Starts a program there. */
  spawn(argv: readonly string[], stdio: StdioOptions): ChildProcess;
}

export interface Program {
  send(line: string): void;
  /** Ends its standard input, which has to end it; resolves when it has ended. */
  end(): Promise<void>;
  /** Resolves when it has ended, with what to tell those who still wait for it. */
  readonly gone: Promise<WeirError>;
}

/** Of what it said on standard error, so many characters are told. */
const lastWords = 2000;

export function openProgram(child: ChildProcess, name: string, onLine: (line: string) => void): Program {
  const { stdin, stdout, stderr } = child;
  if (!stdin || !stdout || !stderr) throw new WeirError('failed', `${name} has no pipes: out of file descriptors`);
  let words = '';
  stderr.on('data', (chunk: Buffer) => (words = `${words}${chunk.toString()}`.slice(-lastWords)));
  createInterface({ input: stdout }).on('line', onLine);
  // What it does not read any more is told by its end.
  stdin.on('error', () => {});
  const gone = new Promise<WeirError>((resolve) => {
    child.once('error', (cause) => resolve(new WeirError('failed', `${name} cannot be started: ${cause.message}`)));
    child.once('close', (code, signal) => {
      resolve(new WeirError('failed', `${name} ended (${code ?? signal})${words && `: ${words.trim()}`}`));
    });
  });
  return {
    send: (line) => void stdin.write(`${line}\n`),
    async end() {
      stdin.end();
      await gone;
    },
    gone,
  };
}
