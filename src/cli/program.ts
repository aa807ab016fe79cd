/**
 * The CLI: makes commander's program of the command table, runs one command, prints what it
 * answers. Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 difference found.
 * May import client, contract, domain, and render (offline rendering).
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { stripVTControlCharacters } from 'node:util';
import { Command as Commander, CommanderError, Option } from 'commander';
import { createClient } from '../client/client.ts';
import { errorKinds, messageOf, WeirError } from '../domain/errors.ts';
import type { Command, CommandContext, CommandOption } from './command.ts';
import { commands } from './commands/commands.ts';
import { completion } from './completion.ts';
import { errorText, printed } from './print.ts';
import type { Format } from './print.ts';

/** What main.ts hands in: commands that need more than the CLI may import, and the edges. */
export interface CliOptions {
  version: string;
  /** `serve`, which wires the server. */
  extra: readonly Command[];
  env: Readonly<Record<string, string | undefined>>;
  stdout: NodeJS.WriteStream;
  stderr: NodeJS.WriteStream;
}

const DEFAULT_URL = 'http://127.0.0.1:8084';

/** Runs a command line and answers the exit code. */
export async function runCli(argv: readonly string[], options: CliOptions): Promise<number> {
  let exit = 0;
  const program = createProgram(options, (code) => {
    exit = code;
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
    return exit;
  } catch (thrown) {
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : 2;
    if (thrown instanceof WeirError) {
      write(options.stderr, errorText(thrown));
      return errorKinds[thrown.code].exit;
    }
    options.stderr.write(`error: ${thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)}\n`);
    return 1;
  }
}

/** Colours go to terminals alone: picocolors also gives them where CI is set, and to both streams if one is a terminal. */
function write(stream: NodeJS.WriteStream, text: string): void {
  stream.write(stream.isTTY ? text : stripVTControlCharacters(text));
}

function createProgram(options: CliOptions, setExit: (code: number) => void): Commander {
  const program = new Commander('weir')
    .description('Control plane of an edge made of LVS, OSPF, FULLNAT and Nginx')
    .version(options.version, '-V, --version')
    .addOption(new Option('--url <url>', 'address of Weir').env('WEIR_URL').default(DEFAULT_URL))
    .addOption(new Option('--token-file <file>', 'file with the token; default the variable WEIR_TOKEN'))
    .helpOption('-h, --help', 'show help')
    .showHelpAfterError('(weir --help, or weir COMMAND --help)')
    .configureOutput({ writeOut: (t) => options.stdout.write(t), writeErr: (t) => options.stderr.write(t) })
    .exitOverride();
  const table: readonly Command[] = [...options.extra, ...commands, completionCommand(() => table)];
  for (const command of table) addCommand(program, command, { options, setExit });
  return program;
}

function completionCommand(table: () => readonly Command[]): Command {
  return {
    name: 'completion',
    summary: 'Print a completion script for a shell',
    args: '<shell>',
    output: 'none',
    examples: ['source <(weir completion bash)'],
    async run(_context, [shell]) {
      return { data: null, text: completion(String(shell), table()) };
    },
  };
}

interface Adding {
  options: CliOptions;
  setExit: (code: number) => void;
}

function addCommand(program: Commander, command: Command, { options, setExit }: Adding): void {
  const words = command.name.split(' ');
  const last = words.pop() ?? '';
  const parent = words.reduce((at, word) => at.commands.find((c) => c.name() === word) ?? group(at, word), program);
  const made = parent
    .command(command.args === undefined ? last : `${last} ${command.args}`)
    .description(command.summary)
    .exitOverride()
    .showHelpAfterError(`(weir ${command.name} --help)`);
  for (const option of command.options ?? []) made.addOption(optionOf(option));
  if (command.output === undefined || command.output === 'format') {
    made.addOption(
      new Option('-o, --output <format>', 'how to print').choices(['table', 'json', 'yaml']).default('table'),
    );
  }
  if (command.examples) made.addHelpText('after', `\nExamples:\n${command.examples.map((e) => `  ${e}`).join('\n')}`);
  made.action(async (...given: unknown[]) => {
    const args = given.slice(0, -2) as (string | string[])[];
    const output = await command.run(contextOf(program, made, options), args);
    if (!output) return;
    const format = (made.opts()['output'] ?? 'table') as Format;
    write(
      options.stdout,
      command.output === 'target' || command.output === 'none' ? printed(output, 'table') : printed(output, format),
    );
    setExit(output.exit ?? 0);
  });
}

function group(parent: Commander, word: string): Commander {
  return parent
    .command(word)
    .description(groups[word] ?? '')
    .exitOverride();
}

const groups: Record<string, string> = {
  get: 'List things over all clusters',
  cluster: 'Create, change and delete clusters',
  vip: 'Add, change and remove VIPs',
  lb: 'Add, change, drain and remove LBs',
  ws: 'Add, change, drain and remove WSs',
  port: 'Add, change and remove ports',
  import: 'Take in clusters: from the original, an export, or a keepalived.conf',
  wstype: 'Ask which machines a wstype has',
  lab: 'A real edge on this machine: LBs, router, WSs, a client, and Weir',
};

function optionOf(option: CommandOption): Option {
  const made = new Option(option.flags, option.help);
  return option.required ? made.makeOptionMandatory() : made;
}

function contextOf(program: Commander, command: Commander, options: CliOptions): CommandContext {
  return {
    client() {
      const { url, tokenFile } = program.opts<{ url: string; tokenFile?: string }>();
      return createClient({ url, token: tokenOf(options.env, tokenFile) });
    },
    options: command.opts(),
    note: (text) => write(options.stderr, `${text}\n`),
    terminal: options.stderr.isTTY,
    readFile: readInput,
    async write(bytes) {
      if (!options.stdout.write(bytes)) await once(options.stdout, 'drain');
    },
  };
}

function tokenOf(env: CliOptions['env'], file: string | undefined): string | undefined {
  if (file === undefined) return env['WEIR_TOKEN'];
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (thrown) {
    throw new WeirError('usage', `the token file cannot be read: ${messageOf(thrown)}`, {
      hint: 'name a file that holds the token',
      cause: thrown,
    });
  }
}

/** A file, or standard input for `-`. */
async function readInput(path: string): Promise<string> {
  try {
    if (path !== '-') return await readFile(path, 'utf8');
    const chunks: Buffer[] = [];
    for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString('utf8');
  } catch (thrown) {
    throw new WeirError('usage', `${path} cannot be read: ${messageOf(thrown)}`, {
      hint: 'name a file, or - for standard input',
      cause: thrown,
    });
  }
}
