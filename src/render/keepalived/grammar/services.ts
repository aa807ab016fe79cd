/** virtual_server and its real_servers. */
import { Block, eachRepeated } from './block.ts';
import { checkWordsOf, healthCheck } from './checks.ts';
import type { CheckContext, Words } from './checks.ts';
import { dialects } from './dialects.ts';
import type { Dialect, KeepalivedGrammar, Kind } from './dialects.ts';
import { endpoint } from './groups.ts';
import { CHECK_TYPES } from './reading.ts';
import type { RealServer, VirtualService } from './reading.ts';
import type { Complain, Statement } from './statements.ts';

const SERVICE_WORDS = [
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

const PROXY_PROTOCOLS = ['v1', 'v2', 'v1-insecure', 'v2-insecure'] as const;

/** Seconds; DPVS's parser cuts what is beyond without a word. */
const ESTABLISH_TIMEOUT = [1, 3600] as const;

/** What changes addresses by itself; keepalived calls it for each port, so that one that fails takes the VIP from all. */
const ADDRESS_TOOLS = ['ip', 'ifconfig', 'dpip'] as const;

/** Groups of one file, by name. */
export interface Groups {
  virtual: ReadonlyMap<string, { vip: string; port: number }>;
  deny: ReadonlyMap<string, readonly string[]>;
  allow: ReadonlyMap<string, readonly string[]>;
  /** Called with the name of a group each time one is referred to. */
  use: (name: string) => void;
}

export interface ServiceContext extends CheckContext {
  groups: Groups;
}

/** With the name of its group of LIPs, which may stand in another file. */
export type ReadService = VirtualService & { lipGroup: string | undefined };

const wordsByGrammar = new Map<Dialect, Words>();

export function wordsOf(grammar: KeepalivedGrammar): Words {
  const dialect = dialects[grammar];
  let words = wordsByGrammar.get(dialect);
  if (!words) {
    words = {
      service: new Set([...SERVICE_WORDS, ...dialect.serviceWords]),
      server: new Set(['weight', ...dialect.checks]),
      url: new Set(['path', 'status_code', 'digest', ...dialect.urlWords]),
      check: checkWordsOf(dialect),
    };
    wordsByGrammar.set(dialect, words);
  }
  return words;
}

export function virtualServer(statement: Statement, context: ServiceContext): ReadService {
  const { dialect, groups, complain } = context;
  const block = new Block(statement, context.words.service, complain);
  const group = groupOf(statement, groups, complain);
  expectOrder(statement, complain);
  const kind = block.choice('lb_kind', Object.keys(dialect.kinds));
  const { vip, port } = groups.virtual.get(group) ?? { vip: '', port: Number.NaN };
  const service: ReadService = {
    group,
    vip,
    port,
    interval: block.number('delay_loop', [1, 3600]),
    scheduler: block.choice('lb_algo', dialect.schedulers),
    kind,
    protocol: block.choice('protocol', dialect.protocols),
    persistence: block.optionalNumber('persistence_timeout', dialect.persistence) ?? 0,
    synproxy: block.flag('syn_proxy'),
    lips: [],
    lipGroup: block.optional('laddr_group_name'),
    quorum: block.number('quorum', [1, 2 ** 31 - 1]),
    quorumUp: block.quoted('quorum_up'),
    quorumDown: block.quoted('quorum_down'),
    host: block.optional('virtualhost'),
    realServers: block.all('real_server').map((server) => realServer(server, context)),
    establishTimeout: block.optionalNumber('establish_timeout', ESTABLISH_TIMEOUT),
    proxyProtocol: block.optionalChoice('proxy_protocol', PROXY_PROTOCOLS),
    hashTarget: block.optionalChoice('hash_target', ['sip', 'qid']),
    deny: clientsOf('deny', block, context),
    allow: clientsOf('allow', block, context),
  };
  block.number('hysteresis', [0, 0]);
  for (const word of ['alpha', 'omega']) if (!block.flag(word)) complain(statement.at, `${word} is missing`);
  const say = (what: string) => complain(statement.at, what);
  const rules = dialect.kinds[kind];
  if (rules) expectKind(service, rules, say);
  expectServers(service, say);
  expectAnnouncing(service, say);
  return service;
}

/** A service that is given by an address stands beside one with the same address in a group, and neither tells. */
function groupOf(statement: Statement, groups: Groups, complain: Complain): string {
  const [, word, group = '', ...more] = statement.words;
  if (word !== 'group' || more.length > 0) {
    complain(statement.at, 'a virtual_server is given by its group');
    return '';
  }
  if (groups.virtual.has(group)) groups.use(`virtual_server_group ${group}`);
  else complain(statement.at, `there is no virtual_server_group ${group}`);
  return group;
}

const clientWords = { deny: 'daddr_group_name', allow: 'waddr_group_name' } as const;

/** A group that is not there leaves the service open to all clients. */
function clientsOf(which: 'deny' | 'allow', block: Block, context: ServiceContext): readonly string[] | undefined {
  const { groups, complain } = context;
  const name = block.optional(clientWords[which]);
  if (name === undefined) return undefined;
  const clients = groups[which].get(name);
  if (clients) groups.use(`${which}_address_group ${name}`);
  else complain(block.at, `there is no ${which}_address_group ${name}`);
  return clients ?? [];
}

/** `alpha` before every real_server, or 1.2.2 never adds them; `quorum` before `hysteresis`, which is compared with it. */
function expectOrder(statement: Statement, complain: Complain): void {
  const words = (statement.block ?? []).map((s) => s.words[0]);
  const server = words.indexOf('real_server');
  if (server >= 0 && words.slice(server).some((word) => word !== 'real_server')) {
    complain(statement.at, 'a real_server stands before the end of the settings');
  }
  if (words.indexOf('hysteresis') < words.indexOf('quorum')) complain(statement.at, 'hysteresis stands before quorum');
}

function expectKind(service: ReadService, rules: Kind, complain: (what: string) => void): void {
  const { kind, protocol } = service;
  if (rules.lips && service.lipGroup === undefined) {
    complain(`laddr_group_name is missing: ${kind} would run without LIPs`);
  }
  if (!rules.lips && service.lipGroup !== undefined) complain(`laddr_group_name has no use with ${kind}`);
  if (!rules.synproxy && service.synproxy) complain(`syn_proxy cannot be with ${kind}`);
  if (protocol === 'UDP' && service.synproxy) complain('syn_proxy cannot be with protocol UDP');
  if (!rules.lips && service.proxyProtocol !== undefined) complain(`proxy_protocol cannot be with ${kind}`);
  if (protocol === 'UDP' && service.proxyProtocol?.startsWith('v1')) complain('proxy_protocol v1 is for TCP alone');
  if (service.hashTarget !== undefined && service.scheduler !== 'conhash') {
    complain(`hash_target has no use with scheduler ${service.scheduler}`);
  }
  if (!rules.samePort) return;
  for (const { address, port } of service.realServers) {
    if (port !== service.port) complain(`real_server ${address} has port ${port}: with ${kind} it is that of the VIP`);
  }
}

function expectServers(service: VirtualService, complain: (what: string) => void): void {
  const servers = service.realServers;
  if (servers.length === 0) {
    complain('there is no real_server');
    return;
  }
  eachRepeated(
    servers.map((s) => s.address),
    (address) => complain(`real_server ${address} stands twice`),
  );
  if (servers.some((s) => s.address === service.vip)) complain('a real_server is the VIP');
  const weight = servers.reduce((sum, s) => sum + s.weight, 0);
  if (service.quorum > weight) complain(`quorum ${service.quorum} is above the total weight ${weight}`);
}

/** One helper for up and down, which knows of all ports; 1.2.2 runs it by a shell, the others do not. */
function expectAnnouncing({ vip, quorumUp, quorumDown }: VirtualService, complain: (what: string) => void): void {
  for (const [word, command] of Object.entries({ quorum_up: quorumUp, quorum_down: quorumDown })) {
    if (command === '') continue;
    const [program = '', ...args] = command.split(' ');
    const odd = command.split(' ').find((text) => !/^[\w./:-]+$/.test(text));
    if (odd !== undefined) complain(`${word} holds ${odd}: a shell reads it in 1.2.2, and nothing does elsewhere`);
    else if (!program.startsWith('/')) complain(`${word} runs ${program}, which is no absolute path`);
    const tool = ADDRESS_TOOLS.find((name) => program === name || program.endsWith(`/${name}`));
    if (tool !== undefined) complain(`${word} runs ${tool}: when one port fails, the VIP is gone for all of them`);
    else if (vip !== '' && !args.includes(vip)) complain(`${word} does not name the VIP ${vip}`);
  }
  if (quorumUp === '' || quorumDown === '') return;
  if (programOf(quorumUp) !== programOf(quorumDown)) complain('quorum_up and quorum_down run different programs');
}

export function programOf(command: string): string {
  return command.split(' ', 1)[0] ?? '';
}

function realServer(statement: Statement, context: ServiceContext): RealServer {
  const { words, complain } = context;
  const block = new Block(statement, words.server, complain);
  const [, address = '', , ...more] = statement.words;
  if (more.length > 0) complain(statement.at, 'a real_server has one address and port');
  const checks = CHECK_TYPES.flatMap((type) => block.all(type).map((check) => ({ type, check })));
  const [first] = checks;
  if (checks.length !== 1) complain(statement.at, `a real_server has ${checks.length} checks`);
  return {
    address,
    port: endpoint(statement, statement.words.slice(1), complain).port,
    weight: block.number('weight', [0, 65535]),
    check: first ? healthCheck(first.check, first.type, context) : { type: 'TCP_CHECK', connectTimeout: Number.NaN },
  };
}
