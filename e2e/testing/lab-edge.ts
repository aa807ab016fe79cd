/**
 * A standing lab for tests of the edge under traffic: brought up by the built `weir lab`, with a prober in its client
 * and a watch of its router's routes. What a scenario measured is collected for a table.
 */
import { execFile } from 'node:child_process';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { takeDown } from '../../lab/edge/edge.ts';
import { type Lab, type LabLb, takeUpLab } from '../../lab/lab.ts';
import { lossOf, type Probe, startProbe, type Window } from '../../lab/probe/probe.ts';
import { type RouteWatch, watchRoutes } from '../../lab/probe/routes.ts';
import type { Ws } from '../../lab/ws.ts';
import { type Client, createClient } from '../../src/client/client.ts';

const weirFile = resolve(import.meta.dirname, '../../bin/weir');

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface LabEdge {
  readonly lab: Lab;
  readonly client: Client;
  readonly probe: Probe;
  readonly routes: RouteWatch;
  /** Milliseconds from the start of `weir lab up` to its end. */
  readonly upMs: number;
  /** A command of the built CLI, told to the lab's Weir; throws where it does not end with `code`, 0 if left out. */
  weir(words: readonly string[], code?: number): Promise<Ran>;
  publish(): Promise<void>;
  /** Both LBs at once: what nothing is lost by then, nothing is lost by one after the other. */
  activate(): Promise<void>;
  /** A shell script on an LB; its standard output. */
  on(lb: LabLb, script: string): Promise<string>;
  lb(number: number): LabLb;
  ws(number: number): Ws;
  /**
   * What became of the requests that were started while the work was done, and after it until there were as many as
   * wanted, 1,000 if left out.
   */
  during(name: string, work: () => Promise<unknown>, atLeast?: number): Promise<Window>;
  /** What checks on the LBs said of WSs and VIPs that they gave up, in the time of a window of `during`. */
  removed(window: Window): readonly string[];
  close(): Promise<void>;
}

export interface LabEdgeOptions {
  readonly lbs?: number;
  readonly wss?: number;
  readonly bfd?: boolean;
  /** Default network. */
  readonly announce?: 'network' | 'redistribute';
  readonly synproxy?: boolean;
  /** LBs of a second cluster; default none. */
  readonly second?: number;
  /** `VIP:PORT` each. */
  readonly targets: readonly string[];
  /** New connections per second; default 100. */
  readonly rate?: number;
}

export async function openLabEdge(options: LabEdgeOptions): Promise<LabEdge> {
  const { lbs = 2, wss = 3, bfd = false, announce = 'network', synproxy = false, second = 0 } = options;
  const { targets, rate = 100 } = options;
  const folder = await makeLabFolder();
  const env: NodeJS.ProcessEnv = { ...process.env, WEIR_LAB: folder };

  function run(words: readonly string[]): Promise<Ran> {
    return new Promise((done) => {
      execFile(process.execPath, [weirFile, ...words], { env }, (error, out, err) =>
        done({ code: error === null ? 0 : Number(error.code), out, err }),
      );
    });
  }

  async function weir(words: readonly string[], code = 0): Promise<Ran> {
    const ran = await run(words);
    if (ran.code !== code) throw new Error(`weir ${words.join(' ')} ended with ${ran.code}: ${ran.err}${ran.out}`);
    return ran;
  }

  async function down(): Promise<void> {
    await run(['lab', 'down']);
    await rm(folder, { recursive: true, force: true });
  }

  try {
    const started = performance.now();
    const counts = ['--lbs', String(lbs), '--wss', String(wss), '--second', String(second)];
    const flags = [...(bfd ? ['--bfd'] : []), ...(synproxy ? ['--synproxy'] : []), '--announce', announce];
    await weir(['lab', 'up', ...counts, ...flags]);
    const upMs = performance.now() - started;
    const found = await takeUpLab(folder);
    if (!found) throw new Error('the lab is gone');
    const { lab } = found;
    const { url, token } = JSON.parse((await weir(['lab', 'status', '-o', 'json'])).out) as {
      url: string;
      token: string;
    };
    Object.assign(env, { WEIR_URL: url, WEIR_TOKEN: token });
    const routes = await watchRoutes(lab.router);
    const probe = await startProbe(lab.client, { targets, rate });
    const removed = new Map<Window, readonly string[]>();
    return {
      lab,
      client: createClient({ url, token }),
      probe,
      routes,
      upMs,
      weir,
      publish: async () => void (await weir(['publish', 'lab'])),
      activate: async () => void (await weir(['activate', 'lab', '--parallel', '2'])),
      on: (lb, script) => on(lb, script),
      lb: (number) => nth(lab.lbs, number),
      ws: (number) => nth(lab.wss, number),
      removed: (window) => removed.get(window) ?? [],
      async during(name, work, atLeast = 1000) {
        const before = lab.lbs.map(said);
        await probe.window('between');
        const from = performance.now();
        await work();
        await pause(Math.max(0, (atLeast / rate) * 1000 + 100 - (performance.now() - from)));
        const window = await probe.window(name);
        const now = lab.lbs.map((lb, i) => said(lb).slice(before[i]?.length));
        removed.set(window, now.join('').match(/^.*_CHECK on service .* failed.*$/gm) ?? []);
        return window;
      },
      async close() {
        await probe.stop().catch(() => undefined);
        await routes.stop();
        await down();
      },
    };
  } catch (error) {
    await down();
    throw error;
  }
}

/** A folder for a standing lab; those of tests that were killed are taken down first. */
export async function makeLabFolder(): Promise<string> {
  const parent = '/tmp';
  for (const name of await readdir(parent)) {
    const [, pid] = /^weir-lab-up-(\d+)-\w+$/.exec(name) ?? [];
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    await takeDown(join(parent, name));
    await rm(join(parent, name), { recursive: true, force: true });
  }
  const folder = await mkdtemp(join(parent, `weir-lab-up-${process.pid}-`));
  await chmod(folder, 0o755);
  return folder;
}

/** What the checkers of an LB have said since it was booted first. */
function said({ share }: LabLb): string {
  const lines = readFileSync(join(share, 'log/syslog'), 'utf8').split('\n');
  return lines.filter((line) => line.includes('Keepalived_healthcheckers')).join('\n');
}

async function on(lb: LabLb, script: string): Promise<string> {
  const { code, stdout, stderr } = await lb.exec(script, { timeoutMs: 60_000 });
  if (code !== 0) throw new Error(`${script}: ${code} ${stderr}`);
  return stdout.trim();
}

function nth<T>(things: readonly T[], number: number): T {
  const thing = things[number - 1];
  if (thing === undefined) throw new Error(`the lab has no number ${number}`);
  return thing;
}

/** All that a publication must not change, as the kernel and the daemons of an LB have it. */
export const kernelState = `ip -o addr show; ip rule; ip route show table local
# what the router tells comes when it comes
ip route | grep -v 'proto ospf'
grep -v "^ " /proc/modules | cut -d" " -f1 | sort
iptables-legacy-save 2>/dev/null | grep -v "^[#:]"
sed "s/ [0-9]* *[0-9]* *$//" /proc/net/ip_vs 2>/dev/null
sysctl -a 2>/dev/null | grep -E "^net.ipv4.(vs|ip_forward|conf.all)|conntrack_max"
vtysh -c "show running-config"
ps -eo pid,ppid,comm,args | grep -E "keepalived|zebra|ospfd" | grep -vE "grep|vtysh|sshd"`;

export interface Figures {
  /** A scenario with what it promises, and what was measured. */
  add(scenario: string, promise: string, ...measured: readonly (string | Window)[]): void;
  /** Shows them as a table of Markdown, and appends it to the file that WEIR_LAB_FIGURES names. */
  tell(): void;
}

export function openFigures(): Figures {
  const rows: string[][] = [];
  return {
    add(scenario, promise, ...measured) {
      const words = measured.map((one) => (typeof one === 'string' ? one : lossOf(one)));
      rows.push([scenario, promise, words.join('; ')]);
    },
    tell() {
      const head = ['scenario', 'promise', 'measured'];
      const lines = [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
      const text = `${lines.join('\n')}\n`;
      const file = process.env['WEIR_LAB_FIGURES'];
      if (file !== undefined) appendFileSync(file, text);
      process.stderr.write(text);
    },
  };
}
