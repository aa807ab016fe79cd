/**
 * Observing one LB: one SSH session, one constant read-only command, its answer as sections. An LB that cannot be
 * read is a value, not an exception.
 * observe/ may import domain, render and remote.
 */
import { messageOf } from '../domain/errors.ts';
import type { Remote, RemoteExit, Target } from '../remote/port.ts';
import { sumConnections } from './ipvs.ts';
import type { LbConnections } from './ipvs.ts';
import type { Observation } from './model.ts';
import { observeCommand, observeCommandSudo } from './script.ts';
import { readObservation, splitSections } from './sections.ts';
import type { Section } from './sections.ts';

export interface ObserveLb {
  remote: Remote;
  target: Target;
  sudo: boolean;
  /** The whole session, in ms. */
  timeoutMs: number;
  signal?: AbortSignal;
}

export type Observed<T> = { ok: true; value: T } | { ok: false; error: string };

/** Of an answer, in characters: 40,000 servers take about 5 million. */
const MAX_ANSWER = 64 * 1024 * 1024;

export async function observeLb(options: ObserveLb): Promise<Observed<Observation>> {
  const answer = await ask(options, observing, 'weir 1 status\n');
  return answer.ok ? { ok: true, value: readObservation(answer.value) } : answer;
}

/** A VIP and the address of one of its WSs. */
export interface VipWs {
  vip: string;
  address: string;
}

/** Connections from VIPs to addresses of a WS, all ports of the VIPs together. */
export async function connectionsOf(options: ObserveLb, pairs: readonly VipWs[]): Promise<Observed<LbConnections>> {
  const request = ['weir', 1, 'connections', ...pairs.map(({ vip, address }) => `${vip}=${address}`)];
  const answer = await ask(options, observing, `${request.join(' ')}\n`);
  if (!answer.ok) return answer;
  const linesOf = (name: string) => answer.value.find((section) => section.name === name)?.lines;
  const [table, ...rows] = linesOf('connections') ?? [];
  if (table !== 'table yes') return { ok: false, error: 'this kernel has no IPVS table' };
  return { ok: true, value: sumConnections(rows, linesOf('persistent')) };
}

/** A constant command, and the same through sudo. */
export interface Asking {
  plain: string;
  sudo: string;
}

const observing: Asking = { plain: observeCommand, sudo: observeCommandSudo };

/** Runs a command of sections with a request on its standard input. */
export async function ask(options: ObserveLb, command: Asking, request: string): Promise<Observed<Section[]>> {
  const { remote, target, sudo, timeoutMs, signal } = options;
  const limits = { timeoutMs, ...(signal ? { signal } : {}) };
  const session = remote.run(target, sudo ? command.sudo : command.plain, limits);
  const lines: string[] = [];
  let size = 0;
  try {
    // Whoever does not take the request says why on the way out.
    await session.write(request).catch(() => undefined);
    session.end();
    for await (const line of session.lines) {
      size += line.length + 1;
      if (size > MAX_ANSWER) throw new Error(`it answered more than ${MAX_ANSWER} characters`);
      lines.push(line);
    }
  } catch (thrown) {
    session.kill();
    await session.done;
    return { ok: false, error: messageOf(thrown) };
  }
  const exit = await session.done;
  const sections = splitSections(lines);
  return sections ? { ok: true, value: sections } : { ok: false, error: failureText(lines, exit, timeoutMs) };
}

/** Our words first, then the other program's own. */
function failureText(lines: readonly string[], exit: RemoteExit, timeoutMs: number): string {
  const words = exit.stderr.trim().split('\n').slice(-5).join('; ');
  if (exit.timedOut) return `no answer within ${Math.round(timeoutMs / 1000)} s${words ? `: ${words}` : ''}`;
  if (words) return words;
  const strange = lines.filter((line) => line.trim() !== '').slice(-3);
  if (strange.length > 0) return `it answered something else: ${strange.join('; ').slice(0, 300)}`;
  return exit.code === null ? 'ssh was ended by a signal' : `ssh ended with code ${exit.code} and without a word`;
}
