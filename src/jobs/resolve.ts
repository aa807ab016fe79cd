/**
 * Finding addresses of WSs: a hosts(5) file first, then DNS, all names in parallel. A name that no
 * longer resolves keeps its last address and is marked; one that never did is reported.
 */
import { Resolver } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import pLimit from 'p-limit';
import { isUnicast, parseAddress } from '../domain/address.ts';
import { parseHosts } from '../domain/edge/addresses.ts';
import type { FoundAddress, FoundAddresses } from '../domain/edge/addresses.ts';
import { messageOf, WeirError } from '../domain/errors.ts';
import { warning } from '../domain/problem.ts';
import type { Problem } from '../domain/problem.ts';

export interface ResolveOptions {
  /** Path of a hosts(5) file; read anew each time, since it is edited by hand. */
  hostsFile?: string | undefined;
  /** Per name, in ms. Default 3000. */
  timeoutMs?: number;
  /** Questions under way at once. Default 64. */
  parallel?: number;
  /** For all names together, in ms; what is left then counts as unanswered. Default 20000. */
  totalMs?: number;
}

export interface Resolution {
  found: FoundAddresses;
  /** Changed addresses and names kept without an answer, as warnings. */
  warnings: Problem[];
}

export type Resolve = (names: readonly string[], known: FoundAddresses) => Promise<Resolution>;

export function createResolve(options: ResolveOptions): Resolve {
  const resolver = new Resolver({ timeout: options.timeoutMs ?? 3000, tries: 1 });
  const limit = pLimit(options.parallel ?? 64);
  return async (names, known) => {
    const hosts = await readHosts(options.hostsFile);
    const until = performance.now() + (options.totalMs ?? 20_000);
    const answers = await Promise.all(names.map((name) => limit(() => ask(name, { hosts, resolver, known, until }))));
    const found: [string, FoundAddress][] = [];
    const warnings: Problem[] = [];
    names.forEach((name, i) => {
      const answer = answers[i];
      if (!answer) return;
      const before = Object.hasOwn(known, name) ? known[name] : undefined;
      if (answer.found) found.push([name, answer.found]);
      else if (before) found.push([name, { ...before, missing: true }]);
      if (answer.found && before && before.address !== answer.found.address) {
        warnings.push(changed(name, before.address, answer.found.address));
      }
      if (!answer.found && before) warnings.push(kept(name, before.address, answer.words));
    });
    return { found: Object.fromEntries(found), warnings };
  };
}

async function readHosts(file: string | undefined): Promise<Map<string, string>> {
  if (file === undefined) return new Map();
  try {
    return parseHosts(await readFile(file, 'utf8'));
  } catch (thrown) {
    throw new WeirError('failed', `the hosts file cannot be read: ${messageOf(thrown)}`, {
      hint: 'correct WEIR_HOSTS, or unset it',
      cause: thrown,
    });
  }
}

interface Asking {
  hosts: ReadonlyMap<string, string>;
  resolver: Resolver;
  known: FoundAddresses;
  /** On the clock of performance.now(). */
  until: number;
}

async function ask(
  name: string,
  { hosts, resolver, known, until }: Asking,
): Promise<{ found?: FoundAddress; words: string }> {
  const listed = hosts.get(name.toLowerCase());
  if (listed !== undefined) return { found: { address: listed, source: 'hosts' }, words: '' };
  if (performance.now() > until) return { words: 'DNS did not answer in time' };
  try {
    const answers = (await resolver.resolve4(name)).sort();
    // 0.0.0.0 and 127.0.0.1 are what names get that are to lead nowhere
    const hosted = answers.filter((answer) => isUnicast(parseAddress(answer) ?? 0));
    const before = Object.hasOwn(known, name) ? known[name]?.address : undefined;
    const address = before !== undefined && hosted.includes(before) ? before : hosted[0];
    if (address !== undefined) return { found: { address, source: 'dns' }, words: '' };
    return { words: answers.length > 0 ? `DNS says ${answers.join(', ')}` : 'no address in the answer' };
  } catch (thrown) {
    return { words: messageOf(thrown) };
  }
}

function changed(name: string, from: string, to: string): Problem {
  return warning('', {
    code: 'address_changed',
    message: `${name} moved from ${from} to ${to}`,
    hint: 'the plan shows which files that changes',
  });
}

function kept(name: string, address: string, words: string): Problem {
  return warning('', {
    code: 'address_kept',
    message: `${name} no longer resolves (${words}); its last address ${address} is kept`,
    hint: 'correct its name, or set its address on the VIP',
  });
}
