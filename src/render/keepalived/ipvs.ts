/**
 * Mainline keepalived 2.2 over a stock kernel's IPVS (`ipvs`). NAT towards the WSs; the LIPs as
 * their sources are netfilter's (host/iptables).
 */
import { checkTypeOf, protocolOf, schedulerOf } from '../../domain/edge/model.ts';
import type { Lb } from '../../domain/edge/model.ts';
import { RETRY_DELAY } from './keepalived.ts';
import type { KeepalivedDialect, RealServer, Service } from './keepalived.ts';

export const ipvs: KeepalivedDialect = { marked: true, head, service };

/**
 * `include_check`: a VIP file that is missing or executable is an error, not left out in silence.
 * `reload_check_config`: a configuration with an error is not loaded at all, rather than as far as it parses.
 * `lvs_flush`: a keepalived that starts after a crash does not keep real servers that nobody checks.
 * `checker_process_name`: keepalived renames that process when it has loaded, so /proc/PID/comm
 * (15 characters) tells which configuration is loaded.
 */
function head(lb: Lb, _lips: readonly string[], loads: string | undefined): string[] {
  return [
    '! Rendered by Weir. Changes made here are lost at the next publication.',
    'global_defs {',
    '    include_check',
    '    reload_check_config',
    `    router_id LVS_${lb.hostname}`,
    '    script_user root',
    '    enable_script_security',
    '    lvs_flush',
    ...(loads === undefined ? [] : [`    checker_process_name weir-${loads}`]),
    '}',
  ];
}

function service(asked: Service): string {
  const { vip, port, group, check, announce, quorum } = asked;
  const persistence = port.persistence_timeout > 0 ? `    persistence_timeout ${port.persistence_timeout}\n` : '';
  const servers = asked.servers.map((server) => realServer(server, asked)).join('');
  return `virtual_server_group ${group} {
    ${vip.vip} ${port.sport}
}
virtual_server group ${group} {
    delay_loop ${check.interval}
    lb_algo ${schedulerOf(port)}
    lb_kind NAT
    protocol ${protocolOf(port)}
${persistence}    alpha
    omega
    quorum ${quorum}
    hysteresis 0
    quorum_up "${announce}"
    quorum_down "${announce}"
${servers}}
`;
}

function realServer(server: RealServer, asked: Service): string {
  return `    real_server ${server.address} ${asked.port.dport} {
        weight ${server.weight}
${checker(asked)}    }
`;
}

const checkWords = { http: 'HTTP_GET', https: 'SSL_GET', tcp: 'TCP_CHECK', udp: 'UDP_CHECK' } as const;

function checker({ port, check }: Service): string {
  const type = checkTypeOf(port);
  const asksPage = type === 'http' || type === 'https';
  return `        ${checkWords[type]} {
${asksPage ? page(type, check) : ''}            connect_timeout ${check.timeout}
            retry ${check.retry}
            delay_before_retry ${RETRY_DELAY}
        }
`;
}

/** SNI is the host that is asked for. */
function page(type: 'http' | 'https', check: Service['check']): string {
  const sni = type === 'https' && check.host !== undefined ? '            enable_sni\n' : '';
  const host = check.host === undefined ? '' : `                virtualhost ${check.host}\n`;
  const expected = check.status === undefined ? `digest ${check.digest}` : `status_code ${check.status}`;
  return `${sni}            url {
                path ${check.path}
                ${expected}
${host}            }
`;
}
