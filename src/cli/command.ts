/**
 * What a command of the CLI is: data and a function that answers data. The printer decides how it
 * is shown; the program (program.ts) makes commander's commands and completions of the table.
 */
import type { Client } from '../client/client.ts';

export interface CommandOption {
  /** commander's flags, e.g. `-f, --file <file>`. */
  flags: string;
  help: string;
  required?: true;
}

export interface CommandContext {
  client(): Client;
  /** Values of options by commander's names; repeated ones are lists. */
  options: Readonly<Record<string, unknown>>;
  /** Text for the person, on standard error. */
  note(text: string): void;
  /** True where standard error is a terminal: progress may be drawn. */
  terminal: boolean;
  readFile(path: string): Promise<string>;
  /** Standard output, for what is too long for an `Output`. Resolves when more can be taken. */
  write(bytes: Uint8Array): Promise<void>;
}

/** What a command has to show. `exit` 3: a difference was found. */
export interface Output {
  /** What -o json and yaml print. */
  data: unknown;
  /** For -o table; left out: data is printed as YAML. */
  table?: { columns: readonly string[]; rows: readonly (readonly unknown[])[] };
  /** For -o table: text instead of a table. */
  text?: string;
  exit?: number;
}

export interface Command {
  /** Words, e.g. `vip add`. */
  name: string;
  summary: string;
  /** commander's arguments, e.g. `<cluster> <vip...>`. */
  args?: string;
  options?: readonly CommandOption[];
  /** Shown below --help. */
  examples?: readonly string[];
  /** What -o means here: `format` (default) or, for commands that write files, a `target` they declare themselves. */
  output?: 'format' | 'target' | 'none';
  run(context: CommandContext, args: readonly (string | string[])[]): Promise<Output | undefined>;
}
