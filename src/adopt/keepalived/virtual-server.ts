/** One virtual_server with its settings and real servers; what a document cannot have is told to the ledger. */
import type { Dataplane } from '../../domain/edge/model.ts';
import { readAnnounce } from './announce.ts';
import { Block, numberOf } from './block.ts';
import { inherit } from './checks.ts';
import type { Ledger } from './ledger.ts';
import { readRealServer, withoutTwins } from './real-server.ts';
import type { Clients, Reading, VirtualServer } from './served.ts';
import type { Statement } from './statements.ts';
import { synonyms } from './words.ts';

const kinds = new Set(['NAT', 'DR', 'TUN', 'FNAT', 'SNAT']);

/** Seconds of a bare persistence_timeout (keepalived.conf(5)). */
const DEFAULT_PERSISTENCE = 360;

export function readServer(statement: Statement, index: number, reading: Reading): VirtualServer {
  const { dataplane, ledger } = reading;
  const block = new Block(statement, ledger);
  const protocolAt = block.one('protocol');
  const protocol = protocolOf(protocolAt, dataplane);
  const schedulerAt = block.one(...synonyms.scheduler);
  const kindAt = block.one(...synonyms.kind);
  const kind = kindOf(kindAt, reading);
  const quorumAt = block.one('quorum');
  const inherited = inherit(block, {}, dataplane);
  const reach = readAnnounce([...block.all(['quorum_up']), ...block.all(['quorum_down'])], ledger);
  const server = {
    index,
    statement,
    protocol,
    protocolAt,
    scheduler: schedulerAt?.words[1] ?? 'wlc',
    schedulerAt,
    kind,
    kindAt,
    persistence: persistenceOf(block.one('persistence_timeout'), reading),
    synproxy: synproxyOf(block.one('syn_proxy'), { protocol, kind, reading }),
    quorum: numberOf(quorumAt, { min: 1, max: 131_070_000, reason: { field: 'quorum' } }, ledger) ?? 1,
    quorumAt,
    establish: ofDpvs(block.one('establish_timeout'), reading)?.seconds,
    proxy: ofDpvs(block.one('proxy_protocol'), reading)?.text,
    deny: clientsOf(block.one('daddr_group_name'), 'deny_address_group', reading),
    allow: clientsOf(block.one('waddr_group_name'), 'allow_address_group', reading),
    lips: lipsOf(block.one('laddr_group_name'), reading),
    ...reach,
  };
  calm(block, ledger);
  const servers = block
    .all(['real_server'])
    .flatMap((inner) => readRealServer(inner, { server, inherited, reading }) ?? []);
  block.rest('virtual_server');
  return { ...server, servers: withoutTwins(servers, ledger) };
}

/** Words whose usual value is what Weir does. */
function calm(block: Block, ledger: Ledger): void {
  for (const hysteresis of block.all(['hysteresis']))
    if (hysteresis.words[1] === '0') ledger.take(hysteresis);
    else if (hysteresis.words[1] !== undefined) {
      ledger.lose(hysteresis, {
        why: 'a margin around the quorum, which Weir does not have',
        hint: 'raise or lower the quorum by it',
        field: 'quorum',
      });
    }
  for (const mask of block.all(['persistence_granularity'])) {
    if (mask.words[1] === '255.255.255.255') ledger.take(mask);
    else {
      ledger.lose(mask, {
        why: 'clients of one net go to one WS; Weir’s persistence is by the client’s address',
        hint: 'nothing, if the clients of a net may go to several WSs',
        field: 'persistence',
      });
    }
  }
  for (const family of block.all(['ip_family'])) {
    if (family.words[1] === 'inet') ledger.drop(family, { why: 'is said by the addresses' });
    else ledger.lose(family, { why: 'IPv6, which Weir does not carry yet', field: 'service' });
  }
}

function protocolOf(statement: Statement | undefined, dataplane: Dataplane): string {
  const text = statement?.words[1];
  if (statement === undefined) return 'TCP';
  // 1.2.2 takes anything but TCP for UDP.
  if (dataplane === 'fullnat') return text === 'TCP' ? 'TCP' : 'UDP';
  return text ?? '';
}

function kindOf(statement: Statement | undefined, { dataplane, ledger }: Reading): string {
  const text = statement?.words[1] ?? 'NAT';
  if (statement && (statement.words.length > 2 || !kinds.has(text))) {
    ledger.remark(statement, {
      why: kinds.has(text)
        ? 'settings of the tunnel, which the document has no field for'
        : 'no way of forwarding that keepalived has: it takes NAT',
      hint: 'see that the WSs take plain IP in IP',
      field: 'kind',
    });
  }
  return kinds.has(text) ? text : dataplane === 'dpvs' ? text : 'NAT';
}

function persistenceOf(statement: Statement | undefined, { dataplane, ledger }: Reading): number {
  if (!statement) return 0;
  const field = 'persistence' as const;
  if (statement.words.length < 2) {
    if (dataplane !== 'fullnat') return DEFAULT_PERSISTENCE;
    ledger.remark(statement, {
      why: 'without a number keepalived 1.2.2 crashes again and again; persistence is off in the document',
      hint: 'set persistence_timeout',
      field,
    });
    return 0;
  }
  const max = dataplane === 'fullnat' ? 99_999 : 2_678_400;
  return numberOf(statement, { min: 0, max, reason: { field } }, ledger) ?? 0;
}

function synproxyOf(
  statement: Statement | undefined,
  { protocol, kind, reading }: { protocol: string; kind: string; reading: Reading },
): boolean {
  if (!statement) return false;
  if (protocol !== 'TCP' || kind === 'DR' || kind === 'TUN') {
    reading.ledger.drop(statement, { why: 'has no effect but on TCP whose answers come back through the LB' });
    return false;
  }
  if (reading.dataplane !== 'ipvs') return true;
  reading.ledger.lose(statement, {
    why: 'mainline keepalived does not know the word',
    hint: 'see --dataplane',
    field: 'synproxy',
  });
  return false;
}

function ofDpvs(
  statement: Statement | undefined,
  { dataplane, ledger }: Reading,
): { text?: string; seconds?: number } | undefined {
  if (!statement) return undefined;
  const [word, text = ''] = statement.words;
  const field = 'timeouts' as const;
  if (dataplane !== 'dpvs') {
    ledger.lose(statement, {
      why: `${word} is of DPVS: this data plane has it from elsewhere, or not at all`,
      hint: 'see --dataplane',
      field,
    });
    return undefined;
  }
  if (word === 'establish_timeout') {
    const seconds = numberOf(statement, { min: 1, max: 3600, reason: { field } }, ledger);
    return seconds === undefined ? undefined : { seconds };
  }
  if (/^v[12](?:-insecure)?$/.test(text)) return { text };
  ledger.lose(statement, {
    why: 'no version of the PROXY protocol',
    hint: 'v1, v2, v1-insecure or v2-insecure',
    field,
  });
  return undefined;
}

function clientsOf(
  statement: Statement | undefined,
  word: string,
  { dataplane, ledger, clients }: Reading,
): Clients | undefined {
  if (!statement) return undefined;
  const found = clients.get(`${word} ${statement.words[1] ?? ''}`);
  const field = 'clients' as const;
  if (!found)
    ledger.lose(statement, { why: `there is no such ${word}`, hint: 'see which clients should be let in', field });
  else if (dataplane !== 'dpvs') {
    ledger.lose(statement, {
      why: 'lists of clients are of dpvs',
      hint: 'filter them on the routers or the WSs',
      field,
    });
    return undefined;
  }
  return found;
}

function lipsOf(statement: Statement | undefined, { dataplane, ledger }: Reading): string | undefined {
  if (statement && dataplane === 'ipvs') {
    ledger.lose(statement, {
      why: 'mainline keepalived does not know the word',
      hint: 'see --dataplane',
      field: 'lips',
    });
    return undefined;
  }
  return statement?.words[1];
}
