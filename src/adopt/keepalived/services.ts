/**
 * What a configuration serves: virtual servers with their settings, real servers and checks, and the services of each,
 * VIP by VIP and port by port. What of it a document cannot have is told to the ledger as it is found.
 */
import type { Dataplane } from '../../domain/edge/model.ts';
import { Block } from './block.ts';
import { endpoints } from './endpoints.ts';
import { named, readClients, readLips } from './groups.ts';
import type { Ledger } from './ledger.ts';
import type { Reading, Served, Service, VirtualServer } from './served.ts';
import type { Statement } from './statements.ts';
import { readServer } from './virtual-server.ts';
import { wordOf } from './words.ts';

export function readServices(statements: readonly Statement[], dataplane: Dataplane, ledger: Ledger): Served {
  const groups = named(statements, 'virtual_server_group', ledger);
  const reading: Reading = { dataplane, ledger, groups, clients: readClients(statements, ledger), count: 0 };
  const lips = readLips(statements, ledger);
  const servers: VirtualServer[] = [];
  const services: Service[] = [];
  for (const statement of statements) {
    const [word = ''] = statement.words;
    if (word !== 'virtual_server') {
      otherStatement(statement, ledger);
      continue;
    }
    ledger.server = servers.length;
    const addresses = endpoints(statement, reading);
    const server =
      addresses.length > 0 ? readServer(statement, servers.length, reading) : unread(statement, servers.length);
    servers.push(server);
    for (const { vip, port } of addresses)
      services.push({ key: `${vip}:${port}/${server.protocol}`, vip, port, server });
    ledger.server = undefined;
  }
  const used = new Set(servers.map(({ statement: { words } }) => (words[1] === 'group' ? words[2] : undefined)));
  for (const [name, group] of groups) {
    if (!used.has(name)) ledger.drop(group, { why: 'no virtual_server uses the group' });
  }
  return { servers, services, lips, routerId: readRouterId(statements) };
}

const groupWords = new Set([
  'virtual_server_group',
  'local_address_group',
  'deny_address_group',
  'allow_address_group',
]);

function otherStatement(statement: Statement, ledger: Ledger): void {
  const [word = ''] = statement.words;
  if (groupWords.has(word)) return;
  if (word === 'global_defs') {
    new Block(statement, ledger).rest('global_defs');
    return;
  }
  const known = wordOf('top', word);
  if (!known) return;
  const { severity, ...reason } = known;
  if (severity === 'lost') ledger.lose(statement, reason);
  else ledger.drop(statement, reason);
}

function readRouterId(statements: readonly Statement[]): string | undefined {
  const globals = statements.filter((statement) => statement.words[0] === 'global_defs');
  const ids = globals.flatMap((statement) => statement.block ?? []).filter((inner) => inner.words[0] === 'router_id');
  return ids.at(-1)?.words[1];
}

/** Of one that serves nothing that a document could: its number is kept. */
function unread(statement: Statement, index: number): VirtualServer {
  return {
    index,
    statement,
    protocol: '',
    protocolAt: undefined,
    scheduler: '',
    schedulerAt: undefined,
    kind: '',
    kindAt: undefined,
    persistence: 0,
    synproxy: false,
    quorum: 1,
    quorumAt: undefined,
    establish: undefined,
    proxy: undefined,
    deny: undefined,
    allow: undefined,
    lips: undefined,
    announce: undefined,
    announced: false,
    servers: [],
  };
}
