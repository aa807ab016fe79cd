/**
 * keepalived 1.2.2 of Alibaba LVS v2 (`fullnat`). That parser has no test mode and no error exit,
 * skips words it does not know, and takes one statement a line in the order it needs.
 */
import { checkTypeOf, protocolOf, schedulerOf } from '../../domain/edge/model.ts';
import { line, RETRY_DELAY } from './keepalived.ts';
import type { HeadInput, KeepalivedDialect, RealServer, Service } from './keepalived.ts';

export const fullnat: KeepalivedDialect = { marked: false, head, service };

/** Group of the LB's LIPs; the name is local to each LB. */
export const LIP_GROUP = 'laddr_g1';

function head({ lb, lips }: HeadInput): string[] {
  return [
    '! Rendered by Weir. Changes made here are lost at the next publication.',
    'global_defs {',
    '    notification_email {',
    '    }',
    '    smtp_server 127.0.0.1',
    '    smtp_connect_timeout 30',
    `    router_id LVS_${lb.hostname}`,
    '}',
    `local_address_group ${LIP_GROUP} {`,
    ...lips.map((lip) => `    ${lip}`),
    '}',
  ];
}

export const kinds = { fullnat: 'FNAT', dr: 'DR', tun: 'TUN' } as const;

/** `alpha` before every real_server, or 1.2.2 never adds it; `quorum` before `hysteresis`. */
function service(asked: Service): string {
  const { vip, port, group, check, announce, quorum } = asked;
  const persistence = port.persistence_timeout;
  const host = checkTypeOf(port) === 'tcp' ? undefined : check.host;
  return `virtual_server_group ${group} {
    ${vip.vip} ${port.sport}
}
virtual_server group ${group} {
    delay_loop ${check.interval}
    lb_algo ${schedulerOf(port)}
    lb_kind ${kinds[asked.forwarding]}
    protocol ${protocolOf(port)}
${line(persistence, `persistence_timeout ${persistence}`)}${line(asked.synproxy, 'syn_proxy')}${line(
    asked.forwarding === 'fullnat',
    `laddr_group_name ${LIP_GROUP}`,
  )}    alpha
    omega
    quorum ${quorum}
    hysteresis 0
    quorum_up "${announce}"
    quorum_down "${announce}"
${line(host, `virtualhost ${host}`)}${asked.servers.map((server) => realServer(server, asked)).join('')}}
`;
}

function realServer(server: RealServer, asked: Service): string {
  return `    real_server ${server.address} ${asked.port.dport} {
        weight ${server.weight}
${checker(asked)}    }
`;
}

function checker({ port, check }: Service): string {
  const type = checkTypeOf(port);
  if (type === 'tcp') {
    return `        TCP_CHECK {
            connect_timeout ${check.timeout}
        }
`;
  }
  const expected = check.status === undefined ? `digest ${check.digest}` : `status_code ${check.status}`;
  return `        ${type === 'https' ? 'SSL_GET' : 'HTTP_GET'} {
            url {
                path ${check.path}
                ${expected}
            }
            connect_timeout ${check.timeout}
            nb_get_retry ${check.retry}
            delay_before_retry ${RETRY_DELAY}
        }
`;
}
