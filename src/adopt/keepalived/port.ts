/** One service as a port of a document’s VIP. */
import { checkTypeOf, defaults, Scheduler, schedulersOf } from '../../domain/edge/model.ts';
import type { Cluster, Dataplane, Port, PortCheck, ProxyProtocol } from '../../domain/edge/model.ts';
import { parse } from '../../domain/schema.ts';
import { commonest, usable } from './choose.ts';
import { tell } from './draft.ts';
import type { Draft } from './draft.ts';
import type { Ledger } from './ledger.ts';
import type { Service } from './served.ts';

interface Portly {
  dataplane: Dataplane;
  base: Draft;
  ledger: Ledger;
}

export function documentPort(service: Service, { dataplane, base, ledger }: Portly): Port {
  const { server, port: sport, vip } = service;
  const servers = usable(server, vip);
  const bare = server.kind === 'DR' || server.kind === 'TUN';
  const dport = bare ? sport : (servers[0]?.port ?? sport);
  if (bare && servers.some((ws) => ws.port !== sport)) {
    tell(ledger, service, {
      why: `with lb_kind ${server.kind} WSs get packets for the port of the VIP: the other one is left out`,
      hint: 'nothing',
      field: 'servers',
      service: '',
    });
  }
  const scheduler = schedulerOf(service, { dataplane, base, ledger });
  const head = {
    sport,
    dport,
    synproxy: server.synproxy ? (1 as const) : (0 as const),
    persistence_timeout: server.persistence,
    ...(server.protocol === 'UDP' ? { protocol: 'UDP' as const } : {}),
    ...(scheduler === defaults.scheduler ? {} : { scheduler }),
  };
  const common = commonest(servers.map((ws) => ws.check.does));
  const read = servers.find((ws) => ws.check.does === common)?.check;
  const wanted = read?.wanted ?? { type: server.protocol === 'UDP' ? ('udp' as const) : ('tcp' as const) };
  const check = shortened(head, wanted, base.check);
  return {
    ...head,
    ...(check ? { check } : {}),
    ...(server.establish === undefined ? {} : { establish_timeout: server.establish }),
    ...(server.proxy === undefined ? {} : { proxy_protocol: server.proxy as ProxyProtocol }),
  };
}

function schedulerOf(service: Service, { dataplane, ledger }: Portly): Scheduler {
  const { scheduler, schedulerAt, statement } = service.server;
  const parsed = parse(Scheduler, scheduler);
  if (parsed.ok && schedulersOf(dataplane).includes(parsed.value)) return parsed.value;
  tell(ledger, service, {
    why: `dataplane ${dataplane} has no scheduler ${scheduler.slice(0, 40)}: ${defaults.scheduler} in the document`,
    hint: `one of ${schedulersOf(dataplane).join(', ')}`,
    field: 'scheduler',
    service: '',
    at: schedulerAt ?? statement,
  });
  return defaults.scheduler;
}

/** What of a check differs from what a port has without one. */
function shortened(port: Port, check: PortCheck, cluster: Cluster['check']): PortCheck | undefined {
  const present: PortCheck = { ...defaults.check, ...cluster };
  const { type, ...fields } = check;
  const differs = Object.entries(fields).filter(
    ([name, value]) =>
      present[name as keyof PortCheck] !== value || (name === 'status' && cluster?.digest !== undefined),
  );
  const typed = type !== undefined && type !== checkTypeOf(port) ? { type } : {};
  const all = { ...typed, ...Object.fromEntries(differs) };
  return Object.keys(all).length > 0 ? all : undefined;
}
