/**
 * A cell holds everything of one lab: a PID namespace, whose first process waits for the end of its standard input; a
 * mount namespace; and named networks. When the process that opened it dies, however that comes, the first process
 * ends, and the kernel kills every other one of the cell and removes its mounts and networks. Nothing of it shows
 * outside: no name in /run/netns, no interface, no mount. May be imported by lab/ only.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { WeirError } from '../src/domain/errors.ts';
import { type ProgramOptions, type Ran, runProgram } from '../src/remote/program.ts';
import { programPath } from './needs.ts';

export type CellRunOptions = Omit<ProgramOptions, 'env' | 'kill'>;

export interface Cell {
  /** The file of a network as this machine sees it, for `nsenter --net`. */
  networkFile(network: string): string;
  /** The same as processes of the cell see it, for `ip link ... netns`. */
  networkPath(network: string): string;
  /** Runs a program in a network of the cell; it ends where its time is over or the signal fires. */
  run(network: string, argv: readonly string[], options?: CellRunOptions): Promise<Ran>;
  /** As `run`, and throws, with the program's words, where it does not exit 0. Answers its standard output. */
  must(network: string, argv: readonly string[], options?: CellRunOptions): Promise<string>;
  /** Starts a program that goes on; its output goes to an open file. The child is the one that waits for it. */
  start(network: string, argv: readonly string[], output: number): ChildProcess;
  /** Resolves when nothing of the cell runs any more. */
  close(): Promise<void>;
}

/**
 * The first process. It tells its ID as this machine counts, makes the networks that its arguments name in the folder
 * before them, says so, and then waits, which is also what reaps orphans: a shell that reads would not.
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
cat <&3 >/dev/null &
wait "$!"
`;

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
  const gone = new Promise<void>((resolve) => {
    holder.once('close', () => resolve());
    holder.once('error', () => resolve());
  });
  holder.stdin.on('error', () => {});
  const pid = await firstLine(holder);
  return openedCell({ pid, inside, gone, end: () => holder.stdin.end() });
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

interface Opened {
  readonly pid: number;
  readonly inside: string;
  readonly gone: Promise<void>;
  readonly end: () => void;
}

function openedCell({ pid, inside, gone, end }: Opened): Cell {
  let open = true;
  void gone.then(() => (open = false));
  const networkFile = (network: string): string => `/proc/${pid}/root${join(inside, network)}`;

  function entering(network: string, argv: readonly string[]): string[] {
    if (!open) throw new WeirError('unavailable', 'The lab is closed');
    return ['--target', String(pid), '--mount', '--pid', `--net=${networkFile(network)}`, '--', ...argv];
  }

  async function run(network: string, argv: readonly string[], options: CellRunOptions = {}): Promise<Ran> {
    // nsenter is what runProgram kills; the program then dies with it.
    const mortal = ['setpriv', '--pdeathsig', 'KILL', '--', ...argv];
    return runProgram('nsenter', entering(network, mortal), { ...options, env: environment });
  }

  async function must(network: string, argv: readonly string[], options?: CellRunOptions): Promise<string> {
    const { code, stdout, stderr } = await run(network, argv, options);
    if (code === 0) return stdout;
    throw new WeirError('failed', `${argv[0]} in ${network} failed (${code}): ${stderr.trim() || stdout.trim()}`);
  }

  function start(network: string, argv: readonly string[], output: number): ChildProcess {
    return spawn('nsenter', entering(network, argv), {
      env: environment,
      stdio: ['ignore', output, output],
      detached: true,
    });
  }

  async function close(): Promise<void> {
    end();
    await gone;
  }

  return { networkFile, networkPath: (network) => join(inside, network), run, must, start, close };
}
