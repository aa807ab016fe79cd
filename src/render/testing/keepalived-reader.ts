/**
 * Reads a keepalived configuration as keepalived 1.2.2 of Alibaba LVS v2 (`fullnat`) or mainline 2.2
 * (`ipvs`) do: one statement a line, comments at the start of a token, braces, includes relative to the
 * folder of the including file. The old parser skips what it does not know and takes anything for a
 * number; this one complains about all of it, and about every mistake that either would accept in
 * silence. Pure: files come from a function.
 */
import { parseAddress } from '../../domain/address.ts';

/** The text of a file by its absolute path; undefined: there is none. */
export type ReadFile = (path: string) => string | undefined;

const CHECK_TYPES = ['HTTP_GET', 'SSL_GET', 'TCP_CHECK', 'UDP_CHECK'] as const;

export interface HealthCheck {
  type: (typeof CHECK_TYPES)[number];
  connectTimeout: number;
  path?: string;
  status?: number;
  digest?: string;
  /** Mainline has it here, 1.2.2 on the virtual server. */
  host?: string;
  sni?: boolean;
  retries?: number;
  retryDelay?: number;
}

export interface RealServer {
  address: string;
  port: number;
  weight: number;
  check: HealthCheck;
}

export interface VirtualService {
  group: string;
  vip: string;
  port: number;
  interval: number;
  scheduler: string;
  kind: string;
  protocol: string;
  persistence: number;
  synproxy: boolean;
  lips: readonly string[];
  quorum: number;
  quorumUp: string;
  quorumDown: string;
  host: string | undefined;
  realServers: RealServer[];
}

export interface Reading {
  services: VirtualService[];
  /** LIPs by the name of their group. */
  lips: Map<string, string[]>;
  routerId: string | undefined;
  /** Name that the process of the health checks takes: tells what is loaded. Of `ipvs` alone. */
  processName: string | undefined;
  /** Files in the order in which they were opened. */
  files: string[];
  /** `FILE:LINE what is wrong`; none in what Weir renders. */
  complaints: string[];
}

interface Statement {
  words: string[];
  at: string;
  block: Statement[] | undefined;
}

export type KeepalivedGrammar = 'fullnat' | 'ipvs';

type Complain = (at: string, what: string) => void;

/** keepalived's line buffer, less a margin. */
const MAX_LINE_BYTES = 1000;
const SCHEDULERS = ['rr', 'wrr', 'lc', 'wlc', 'lblc', 'lblcr', 'sh', 'dh', 'sed', 'nq'];

export function readKeepalived(readFile: ReadFile, path: string, grammar: KeepalivedGrammar = 'fullnat'): Reading {
  const reading: Reading = {
    services: [],
    lips: new Map(),
    routerId: undefined,
    processName: undefined,
    files: [],
    complaints: [],
  };
  const complain: Complain = (at, what) => reading.complaints.push(`${at} ${what}`);
  const statements = open(path, { readFile, files: reading.files, complain });
  const groups = new Map<string, { statement: Statement; used: number }>();
  for (const statement of statements) {
    const [word, ...args] = statement.words;
    if (word === 'global_defs') {
      if (grammar === 'fullnat') reading.routerId = globals(statement, complain);
      else Object.assign(reading, mainlineGlobals(statement, complain));
    } else if (word === 'local_address_group' && grammar === 'fullnat')
      lipGroup(statement, { lips: reading.lips, complain });
    else if (word === 'virtual_server_group') {
      if (args.length !== 1 || !args[0]) complain(statement.at, 'a virtual_server_group has one name');
      if (groups.has(args[0] ?? '')) complain(statement.at, `virtual_server_group ${args[0]} stands twice`);
      groups.set(args[0] ?? '', { statement, used: 0 });
    } else if (word !== 'virtual_server') complain(statement.at, `unknown keyword ${word}`);
  }
  for (const statement of statements) {
    if (statement.words[0] === 'virtual_server') {
      reading.services.push(virtualServer(statement, { grammar, groups, lips: reading.lips, complain }));
    }
  }
  for (const [name, group] of groups) {
    if (group.used !== 1) complain(group.statement.at, `virtual_server_group ${name} is used ${group.used} times`);
  }
  unique(
    reading.services.map((s) => `${s.vip}:${s.port}:${s.protocol}`),
    (service) => complain(path, `${service} is served twice`),
  );
  if (reading.routerId === undefined) complain(path, 'there is no router_id');
  return reading;
}

// files and statements -----------------------------------------------------------------------

interface Opening {
  readFile: ReadFile;
  files: string[];
  complain: Complain;
}

/** Statements of a file and of those that it includes. */
function open(path: string, opening: Opening): Statement[] {
  const { readFile, files, complain } = opening;
  const text = readFile(path);
  if (files.includes(path)) complain(path, 'is included twice');
  files.push(path);
  if (text === undefined) {
    complain(path, 'is missing: keepalived goes on without it, and removes what it held');
    return [];
  }
  if (text !== '' && !text.endsWith('\n')) complain(path, 'has a last line without its end, which is not read');
  if (/[^\n\x20-\x7e]/.test(text)) complain(path, 'has bytes that are not printable ASCII');
  const top: Statement[] = [];
  const blocks: Statement[][] = [top];
  text.split(/[\n\r]/).forEach((line, i) => {
    const at = `${path}:${i + 1}`;
    if (Buffer.byteLength(line) >= MAX_LINE_BYTES) complain(at, 'is too long a line');
    const words = tokens(line);
    if (words.length === 0) return;
    if (words[0] === 'include') {
      if (blocks.length > 1) complain(at, 'include stands within a block');
      if (words.length !== 2 || !words[1] || /[*?[\]{~]/.test(words[1])) complain(at, 'include takes one plain path');
      else top.push(...open(resolve(path, words[1]), opening));
    } else if (words[0] === '}') {
      if (words.length > 1) complain(at, '} does not stand alone');
      if (blocks.length === 1) complain(at, '} closes nothing');
      else blocks.pop();
    } else {
      const opens = words.at(-1) === '{';
      if (opens) words.pop();
      if (words.length === 0) complain(at, '{ opens nothing');
      if (words.includes('{') || words.includes('}')) complain(at, 'a brace stands within a statement');
      const statement: Statement = { words, at, block: opens ? [] : undefined };
      blocks.at(-1)?.push(statement);
      if (statement.block) blocks.push(statement.block);
    }
  });
  if (blocks.length > 1) complain(path, 'ends within a block');
  return top;
}

/** keepalived changes directory to that of each file it reads. */
function resolve(from: string, path: string): string {
  return path.startsWith('/') ? path : `${from.slice(0, from.lastIndexOf('/'))}/${path}`;
}

/** As alloc_strvec: white space parts, each quote is a token, `!` and `#` at the start of a token end the line, also within quotes. */
export function tokens(line: string): string[] {
  const words: string[] = [];
  let rest = line.replace(/^\s+/, '');
  while (rest !== '' && rest[0] !== '!' && rest[0] !== '#') {
    const word = rest[0] === '"' ? '"' : (/^[^\s"]+/.exec(rest)?.[0] ?? '');
    words.push(word);
    rest = rest.slice(word.length).replace(/^\s+/, '');
  }
  return words;
}

/** The text between two quotes, which must end the statement. */
function quoted(statement: Statement, complain: Complain): string {
  const [, first, ...rest] = statement.words;
  const last = rest.pop();
  if (first !== '"' || last !== '"' || rest.length === 0 || rest.includes('"')) {
    complain(statement.at, `${statement.words[0]} needs one text in quotes; without them its first word is taken`);
  }
  return rest.join(' ');
}

// blocks -------------------------------------------------------------------------------------

/** The statements of a block by keyword; unknown and repeated ones are complained about. */
class Block {
  readonly #statements = new Map<string, Statement[]>();
  readonly #statement: Statement;
  readonly #complain: Complain;

  constructor(statement: Statement, known: readonly string[], complain: Complain) {
    this.#statement = statement;
    this.#complain = complain;
    if (!statement.block) complain(statement.at, `${statement.words[0]} has no block`);
    for (const inner of statement.block ?? []) {
      const word = inner.words[0] ?? '';
      if (!known.includes(word)) complain(inner.at, `unknown keyword ${word} in ${statement.words[0]}`);
      this.#statements.set(word, [...this.all(word), inner]);
    }
  }

  all(word: string): Statement[] {
    return this.#statements.get(word) ?? [];
  }

  one(word: string): Statement | undefined {
    const [first, second] = this.all(word);
    if (second) this.#complain(second.at, `${word} stands twice`);
    return first;
  }

  /** Of a keyword that must stand. */
  must(word: string): Statement {
    const statement = this.one(word);
    if (!statement) this.#complain(this.#statement.at, `${word} is missing`);
    return statement ?? { words: [word], at: this.#statement.at, block: undefined };
  }

  flag(word: string): boolean {
    const statement = this.one(word);
    if (statement && statement.words.length !== 1) this.#complain(statement.at, `${word} takes nothing`);
    return statement !== undefined;
  }

  text(word: string): string {
    return this.#single(this.must(word));
  }

  optional(word: string): string | undefined {
    const statement = this.one(word);
    return statement && this.#single(statement);
  }

  number(word: string, [least, most]: readonly [number, number]): number {
    const statement = this.must(word);
    return numberIn(this.#single(statement), [least, most], () =>
      this.#complain(statement.at, `${word} is not a number from ${least} to ${most}`),
    );
  }

  #single(statement: Statement): string {
    if (statement.words.length !== 2) this.#complain(statement.at, `${statement.words[0]} takes one value`);
    return statement.words[1] ?? '';
  }
}

function numberIn(text: string, [least, most]: readonly [number, number], complain: () => void): number {
  const value = /^(0|[1-9]\d*)$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most)) complain();
  return value;
}

function globals(statement: Statement, complain: Complain): string | undefined {
  const block = new Block(
    statement,
    ['notification_email', 'smtp_server', 'smtp_connect_timeout', 'router_id'],
    complain,
  );
  block.one('notification_email');
  block.optional('smtp_server');
  if (block.one('smtp_connect_timeout')) block.number('smtp_connect_timeout', [1, 3600]);
  return block.text('router_id');
}

/** What must stand there so that no error passes in silence. */
const MAINLINE_FLAGS = ['include_check', 'reload_check_config', 'enable_script_security', 'lvs_flush'];

function mainlineGlobals(statement: Statement, complain: Complain): Pick<Reading, 'routerId' | 'processName'> {
  const block = new Block(statement, ['router_id', 'script_user', 'checker_process_name', ...MAINLINE_FLAGS], complain);
  for (const word of MAINLINE_FLAGS) if (!block.flag(word)) complain(statement.at, `${word} is missing`);
  if (block.text('script_user') !== 'root') complain(statement.at, 'the announce script needs root');
  const processName = block.text('checker_process_name');
  if (processName.length > 15) complain(statement.at, `${processName} is cut to 15 characters`);
  return { routerId: block.text('router_id'), processName };
}

function lipGroup(statement: Statement, { lips, complain }: { lips: Map<string, string[]>; complain: Complain }): void {
  const [, name, ...more] = statement.words;
  if (!name || more.length > 0) complain(statement.at, 'a local_address_group has one name');
  if (lips.has(name ?? '')) complain(statement.at, `local_address_group ${name} stands twice`);
  const addresses = (statement.block ?? []).flatMap((line) => {
    if (line.words.length !== 1) complain(line.at, 'a line of a local_address_group is one address or range');
    return lipLine(line.words[0] ?? '', () => complain(line.at, `${line.words[0]} is no LIP`));
  });
  if (addresses.length === 0) complain(statement.at, 'a local_address_group is empty: FNAT would run without LIPs');
  unique(addresses, (lip) => complain(statement.at, `LIP ${lip} stands twice`));
  lips.set(name ?? '', addresses);
}

/** `a.b.c.d` or `a.b.c.d-E`, E below 255. */
function lipLine(text: string, complain: () => void): string[] {
  const [first = '', last] = text.split('-', 2);
  const start = Number(first.split('.')[3]);
  const end = last === undefined ? start : numberIn(last, [start, 254], complain);
  if (!isHostAddress(first) || text.split('-').length > 2) complain();
  const net = first.split('.').slice(0, 3).join('.');
  return Array.from({ length: Math.max(0, end - start + 1) || 0 }, (_, i) => `${net}.${start + i}`);
}

function isHostAddress(text: string): boolean {
  const number = parseAddress(text);
  return number !== undefined && number >>> 24 !== 0 && number >>> 24 < 224;
}

const SERVER_WORDS = [
  'delay_loop',
  'lb_algo',
  'lb_kind',
  'protocol',
  'persistence_timeout',
  'alpha',
  'omega',
  'quorum',
  'hysteresis',
  'quorum_up',
  'quorum_down',
  'real_server',
] as const;

const FULLNAT_SERVER_WORDS = ['syn_proxy', 'laddr_group_name', 'virtualhost'] as const;

interface Context {
  grammar: KeepalivedGrammar;
  groups: Map<string, { statement: Statement; used: number }>;
  lips: ReadonlyMap<string, string[]>;
  complain: Complain;
}

function virtualServer(statement: Statement, { grammar, groups, lips, complain }: Context): VirtualService {
  const fullnat = grammar === 'fullnat';
  const block = new Block(statement, [...SERVER_WORDS, ...(fullnat ? FULLNAT_SERVER_WORDS : [])], complain);
  const [, kindOfName, group = '', ...more] = statement.words;
  if (kindOfName !== 'group' || more.length > 0) complain(statement.at, 'a virtual_server is given by its group');
  const known = groups.get(group);
  if (known) known.used++;
  else complain(statement.at, `there is no virtual_server_group ${group}`);
  expectOrder(statement, complain);
  const service: VirtualService = {
    group,
    ...groupAddress(known?.statement, complain),
    interval: block.number('delay_loop', [1, 3600]),
    scheduler: block.text('lb_algo'),
    kind: block.text('lb_kind'),
    protocol: block.text('protocol'),
    // 1.2.2 reads five characters.
    persistence: block.one('persistence_timeout')
      ? block.number('persistence_timeout', [1, fullnat ? 99999 : 2678400])
      : 0,
    synproxy: block.flag('syn_proxy'),
    lips: fullnat ? (lips.get(block.text('laddr_group_name')) ?? []) : [],
    quorum: block.number('quorum', [1, 2 ** 31 - 1]),
    quorumUp: quoted(block.must('quorum_up'), complain),
    quorumDown: quoted(block.must('quorum_down'), complain),
    host: block.optional('virtualhost'),
    realServers: block.all('real_server').map((server) => realServer(server, { grammar, complain })),
  };
  block.number('hysteresis', [0, 0]);
  if (!SCHEDULERS.includes(service.scheduler)) complain(statement.at, `unknown scheduler ${service.scheduler}`);
  if (service.kind !== (fullnat ? 'FNAT' : 'NAT'))
    complain(statement.at, `lb_kind ${service.kind} is not that of ${grammar}`);
  if (service.protocol !== 'TCP' && (fullnat || service.protocol !== 'UDP')) {
    complain(statement.at, `protocol ${service.protocol} is read as UDP`);
  }
  if (fullnat && service.lips.length === 0) complain(statement.at, 'FNAT without LIPs');
  for (const word of ['alpha', 'omega']) if (!block.flag(word)) complain(statement.at, `${word} is missing`);
  expectServers(service, (what) => complain(statement.at, what));
  return service;
}

/** `alpha` before every real_server, or they are never added; `quorum` before `hysteresis`. */
function expectOrder(statement: Statement, complain: Complain): void {
  const words = (statement.block ?? []).map((s) => s.words[0]);
  const server = words.indexOf('real_server');
  if (server >= 0 && words.slice(server).some((word) => word !== 'real_server')) {
    complain(statement.at, 'a real_server stands before the end of the settings');
  }
  if (words.indexOf('hysteresis') < words.indexOf('quorum')) complain(statement.at, 'hysteresis stands before quorum');
}

function groupAddress(statement: Statement | undefined, complain: Complain): { vip: string; port: number } {
  const [line, second] = statement?.block ?? [];
  const at = statement?.at ?? '';
  if (!line || second || line.words.length !== 2) complain(at, 'a virtual_server_group holds one address and port');
  const [vip = '', port = ''] = line?.words ?? [];
  if (!isHostAddress(vip)) complain(at, `${vip} is read as 0.0.0.0`);
  return { vip, port: numberIn(port, [1, 65535], () => complain(at, `${port} is no port`)) };
}

function expectServers(service: VirtualService, complain: (what: string) => void): void {
  const servers = service.realServers;
  if (servers.length === 0) complain('there is no real_server');
  unique(
    servers.map((s) => s.address),
    (address) => complain(`real_server ${address} stands twice`),
  );
  if (servers.some((s) => s.address === service.vip)) complain('a real_server is the VIP');
  const weight = servers.reduce((sum, s) => sum + s.weight, 0);
  if (service.quorum > weight) complain(`quorum ${service.quorum} is above the total weight ${weight}`);
}

interface CheckContext {
  grammar: KeepalivedGrammar;
  complain: Complain;
}

function realServer(statement: Statement, { grammar, complain }: CheckContext): RealServer {
  const types = CHECK_TYPES.filter((type) => type !== 'UDP_CHECK' || grammar === 'ipvs');
  const block = new Block(statement, ['weight', ...types], complain);
  const [, address = '', port = '', ...more] = statement.words;
  if (!isHostAddress(address) || more.length > 0) complain(statement.at, `${address} is read as 0.0.0.0`);
  const checks = types.flatMap((type) =>
    block.all(type).map((check) => healthCheck(check, { type, grammar, complain })),
  );
  const [check = { type: 'TCP_CHECK', connectTimeout: 0 }] = checks;
  if (checks.length !== 1) complain(statement.at, `a real_server has ${checks.length} checks`);
  return {
    address,
    port: numberIn(port, [1, 65535], () => complain(statement.at, `${port} is no port`)),
    weight: block.number('weight', [0, 65535]),
    check,
  };
}

function healthCheck(
  statement: Statement,
  { type, grammar, complain }: CheckContext & { type: HealthCheck['type'] },
): HealthCheck {
  const fullnat = grammar === 'fullnat';
  const page = type === 'HTTP_GET' || type === 'SSL_GET';
  const retry = fullnat ? 'nb_get_retry' : 'retry';
  const retries = fullnat && !page ? [] : [retry, 'delay_before_retry'];
  const sni = !fullnat && type === 'SSL_GET' ? ['enable_sni'] : [];
  const block = new Block(statement, [...(page ? ['url'] : []), 'connect_timeout', ...retries, ...sni], complain);
  const check: HealthCheck = { type, connectTimeout: block.number('connect_timeout', [1, 3600]) };
  if (retries.length > 0) {
    check.retries = block.number(retry, [1, 1000]);
    check.retryDelay = block.number('delay_before_retry', [1, 3600]);
  }
  if (!page) return check;
  const asked = { ...check, ...readPage(block.must('url'), { grammar, complain }) };
  if (!block.flag('enable_sni')) return asked;
  if (asked.host === undefined) complain(statement.at, 'enable_sni has no name to send');
  return { ...asked, sni: true };
}

function readPage(
  statement: Statement,
  { grammar, complain }: CheckContext,
): Pick<HealthCheck, 'path' | 'status' | 'digest' | 'host'> {
  const words = ['path', 'status_code', 'digest', ...(grammar === 'fullnat' ? [] : ['virtualhost'])];
  const url = new Block(statement, words, complain);
  const path = url.text('path');
  if (!path.startsWith('/')) complain(statement.at, `path ${path} does not start with /`);
  const host = url.optional('virtualhost');
  const page = { path, ...(host === undefined ? {} : { host }) };
  const digest = url.optional('digest');
  if ((digest === undefined) === (url.one('status_code') === undefined)) {
    complain(statement.at, 'a check has either a digest or a status_code');
  }
  if (digest === undefined) return { ...page, status: url.number('status_code', [100, 599]) };
  if (!/^[0-9a-f]{32}$/.test(digest)) complain(statement.at, `digest ${digest} never matches`);
  return { ...page, digest };
}

function unique(values: readonly string[], complain: (value: string) => void): void {
  const seen = new Set<string>();
  for (const value of values) {
    if (seen.has(value)) complain(value);
    seen.add(value);
  }
}
