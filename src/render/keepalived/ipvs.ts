/**
 * Mainline keepalived 2.2 over a stock kernel's IPVS (`ipvs`). For FULLNAT it is NAT towards the WSs; the LIPs as
 * their sources, and the answers to SYNs, are netfilter's (host/iptables).
 */
import { protocolOf, schedulerOf } from '../../domain/edge/model.ts';
import { realServers } from './checker.ts';
import { line } from './keepalived.ts';
import type { HeadInput, KeepalivedDialect, Service } from './keepalived.ts';

export const ipvs: KeepalivedDialect = { marked: true, head, service };

/**
 * `include_check`: a VIP file that is missing or executable is an error, not left out in silence.
 * `reload_check_config`: a configuration with an error is not loaded at all, rather than as far as it parses.
 * `lvs_flush`: a keepalived that starts after a crash does not keep real servers that nobody checks.
 * `checker_process_name`: keepalived renames that process when it has loaded, so /proc/PID/comm
 * (15 characters) tells which configuration is loaded.
 */
function head({ lb, loads }: HeadInput): string[] {
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

const kinds = { fullnat: 'NAT', dr: 'DR', tun: 'TUN' } as const;

function service(asked: Service): string {
  const { vip, port, group, check, announce, quorum } = asked;
  const persistence = port.persistence_timeout;
  return `virtual_server_group ${group} {
    ${vip.vip} ${port.sport}
}
virtual_server group ${group} {
    delay_loop ${check.interval}
    lb_algo ${schedulerOf(port)}
    lb_kind ${kinds[asked.forwarding]}
    protocol ${protocolOf(port)}
${line(persistence, `persistence_timeout ${persistence}`)}    alpha
    omega
    quorum ${quorum}
    hysteresis 0
    quorum_up "${announce}"
    quorum_down "${announce}"
${realServers(asked)}}
`;
}
