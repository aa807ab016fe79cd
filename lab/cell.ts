/**
 * A cell holds everything of one lab: a PID namespace, whose first process waits for the end of its standard input; a
 * mount namespace; and named networks. When the process that opened it dies, however that comes, the first process
 * ends, and the kernel kills every other one of the cell and removes its mounts and networks. Told to stay, it goes on
 * until someone closes it. Nothing of it shows outside: no name in /run/netns, no interface, no mount. May be imported
 * by lab/ only.
 */
import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { WeirError } from '../src/domain/errors.ts';
import { type ProgramOptions, type Ran, runProgram } from '../src/remote/program.ts';
import { programPath } from './needs.ts';
import { isAlive, markOf, type ProcessMark, processesWith, signal } from './process.ts';
import { waitFor } from './wait.ts';

export type CellRunOptions = Omit<ProgramOptions, 'env' | 'kill'>;

/** A network of the cell, or this machine's own. */
export type Network = string | undefined;

export interface Cell {
  /** As this machine counts; when it ends, all of the cell does. */
  readonly first: ProcessMark;
  /** The file of a network as this machine sees it, for `nsenter --net`. */
  networkFile(network: string): string;
  /** The same as processes of the cell see it, for `ip link ... netns`. */
  networkPath(network: string): string;
  /** Runs a program in a network of the cell; it ends where its time is over or the signal fires. */
  run(network: string, argv: readonly string[], options?: CellRunOptions): Promise<Ran>;
  /** As `run`, and throws, with the program's words, where it does not exit 0. Answers its standard output. */
  must(network: string, argv: readonly string[], options?: CellRunOptions): Promise<string>;
  /** Starts a program that ends with this process, at the latest. The child is the one that waits for it. */
  spawn(network: string, argv: readonly string[], stdio: StdioOptions): ChildProcess;
  /** Starts a program that goes on, as long as the cell; its output goes to an open file. As for the child, see `spawn`. */
  start(network: Network, argv: readonly string[], output: number): ChildProcess;
  /** From now on the cell outlives this process. */
  stay(): void;
  /** Resolves when nothing of the cell runs any more. */
  close(): Promise<void>;
}

/**
 * The first process. It tells its ID as this machine counts, makes the networks that its arguments name in the folder
 * before them, says so, and then waits, which is also what reaps orphans: a shell that reads would not. What it waits
 * for ends with its standard input, unless it has been told to stay.
 */
const firstProcess = String.raw`
set -eu
read -r pid rest </proc/self/stat
folder=$1
shift
mount -t proc proc /proc
mkdir -p "$folder"
mount -t tmpfs -o mode=0755 weir-lab "$folder"
for network; do
  : >"$folder/$network"
  unshare --net="$folder/$network" ip link set lo up
done
echo "$pid"
exec 3<&0
{
  word=
  read -r word <&3 || true
  if [ "$word" = stay ]; then exec sleep infinity; fi
} >/dev/null 2>&1 &
wait "$!"
`;

/** For setpriv: what it runs gets this signal when its parent dies. */
const dying = ['--pdeathsig', 'KILL', '--'];

const environment = { PATH: programPath, HOME: '/root', LANG: 'C.UTF-8' };

export async function openCell(folder: string, networks: readonly string[]): Promise<Cell> {
  const inside = join(folder, 'networks');
  const namespaces = ['--mount', '--pid', '--fork', '--kill-child'];
  const holder = spawn('unshare', [...namespaces, 'sh', '-c', firstProcess, 'weir-lab', inside, ...networks], {
    env: environment,
    stdio: ['pipe', 'pipe', 'pipe'],
    // Ctrl-C at a terminal goes to the owner alone, which then closes the lab.
    detached: true,
  });
  holder.on('error', () => {});
  holder.stdin.on('error', () => {});
  const pid = await firstLine(holder);
  const first = markOf(pid);
  if (!first) throw new WeirError('failed', 'The first process of the lab ended at once');
  return cellOf({ folder, first }, () => {
    holder.stdin.end('stay\n');
    for (const stream of [holder.stdout, holder.stderr]) stream.destroy();
    holder.unref();
  });
}

/** A cell that stays, for a process that did not open it. It may be gone: its programs cannot be started then. */
export function attachCell(folder: string, first: ProcessMark): Cell {
  return cellOf({ folder, first }, () => undefined);
}

/** Comes when the networks are made. */
async function firstLine({ stdout, stderr }: ChildProcess): Promise<number> {
  if (!stdout || !stderr) throw new WeirError('failed', 'The lab has no pipes: out of file descriptors');
  const words: Buffer[] = [];
  stderr.on('data', (chunk: Buffer) => words.push(chunk));
  const reader = createInterface({ input: stdout });
  try {
    const [line] = (await Promise.race([once(reader, 'line'), once(stderr, 'end')])) as [string?];
    if (line !== undefined) return Number(line);
    throw new WeirError(
      'failed',
      `The networks of the lab could not be made: ${Buffer.concat(words).toString().trim()}`,
    );
  } finally {
    reader.close();
    stdout.resume();
  }
}

interface Place {
  readonly folder: string;
  readonly first: ProcessMark;
}

function cellOf({ folder, first }: Place, stay: () => void): Cell {
  const inside = join(folder, 'networks');
  const networkFile = (network: string): string => `/proc/${first.pid}/root${join(inside, network)}`;

  function entering(network: Network, argv: readonly string[]): string[] {
    if (!isAlive(first)) throw new WeirError('unavailable', 'The lab is closed');
    const net = network === undefined ? [] : [`--net=${networkFile(network)}`];
    return ['--target', String(first.pid), '--mount', '--pid', ...net, '--', ...argv];
  }

  /** nsenter is what a limit or the end of this process kills; the program then dies with it. */
  function mortal(network: string, argv: readonly string[]): string[] {
    return [...dying, 'nsenter', ...entering(network, ['setpriv', ...dying, ...argv])];
  }

  async function run(network: string, argv: readonly string[], options: CellRunOptions = {}): Promise<Ran> {
    return runProgram('setpriv', mortal(network, argv), { ...options, env: environment });
  }

  async function must(network: string, argv: readonly string[], options?: CellRunOptions): Promise<string> {
    const { code, stdout, stderr } = await run(network, argv, options);
    if (code === 0) return stdout;
    throw new WeirError('failed', `${argv[0]} in ${network} failed (${code}): ${stderr.trim() || stdout.trim()}`);
  }

  function start(network: Network, argv: readonly string[], output: number): ChildProcess {
    const child = spawn('nsenter', entering(network, argv), {
      env: environment,
      stdio: ['ignore', output, output],
      detached: true,
    });
    // This process may end before it.
    child.unref();
    return child;
  }

  async function close(): Promise<void> {
    signal(first, 'SIGKILL');
    // It is there until all others of its namespace have ended; those that wait outside for one of them follow.
    const waiting = (): number =>
      processesWith([inside]).length + processesWith(['--target', String(first.pid)]).length;
    const isGone = (): boolean => !isAlive(first) && waiting() === 0;
    await waitFor('the end of the lab', isGone, { timeoutMs: 60_000, everyMs: 10 });
  }

  return {
    first,
    networkFile,
    networkPath: (network) => join(inside, network),
    run,
    must,
    spawn: (network, argv, stdio) =>
      spawn('setpriv', mortal(network, argv), {
        env: { ...environment, ...(process.env['TERM'] === undefined ? {} : { TERM: process.env['TERM'] }) },
        stdio,
        // Ctrl-C at a terminal is for a program that has it, and else for this process alone.
        detached: stdio !== 'inherit',
      }),
    start,
    stay,
    close,
  };
}
