/** Configurations that the keepalived of each data plane accepts, whole in one file. Only tests import it. */

function service({ port, check, more = '' }: { port: number; check: string; more?: string }): string {
  return `virtual_server_group 10.10.1.1_${port} {
    10.10.1.1 ${port}
}
virtual_server group 10.10.1.1_${port} {
    delay_loop 6
    lb_algo wrr
${more}    protocol TCP
    persistence_timeout 50
    alpha
    omega
    quorum 1
    hysteresis 0
    quorum_up "/usr/local/sbin/HELPER up 10.10.1.1 ${port}"
    quorum_down "/usr/local/sbin/HELPER down 10.10.1.1 ${port}"
    real_server 10.0.20.11 ${port} {
        weight 100
${check}    }
    real_server 10.0.20.12 ${port} {
        weight 50
${check}    }
}
`;
}

function page(word: string, retry: string): string {
  return `        ${word} {
            url {
                path /http_check/index.html
                status_code 200
            }
            connect_timeout 3
            ${retry} 3
            delay_before_retry 3
        }
`;
}

const lips = (device: string) => `local_address_group laddr_g1 {
    10.0.19.200${device}
    10.0.19.201-203${device}
}
`;

const mail = `    notification_email {
    }
    smtp_server 127.0.0.1
    smtp_connect_timeout 30
`;

const scripts = `    script_user root
    enable_script_security
`;

const globals = (more: string) => `global_defs {
${more}    router_id LVS_lb1
}
`;

const withLips = '    lb_kind FNAT\n    syn_proxy\n    laddr_group_name laddr_g1\n';

export const samples = {
  fullnat: [
    globals(mail),
    lips(''),
    service({ port: 80, more: withLips, check: page('HTTP_GET', 'nb_get_retry') }),
    service({ port: 443, more: withLips, check: page('SSL_GET', 'nb_get_retry') }),
  ].join(''),
  dpvs: [
    globals(scripts),
    lips(' dpdk0'),
    service({ port: 80, more: `${withLips}    establish_timeout 300\n`, check: page('HTTP_GET', 'retry') }),
    service({ port: 443, more: withLips, check: page('SSL_GET', 'retry') }),
  ].join(''),
  ipvs: [
    globals(scripts),
    service({ port: 80, more: '    lb_kind NAT\n', check: page('HTTP_GET', 'retry') }),
    service({ port: 443, more: '    lb_kind NAT\n', check: page('SSL_GET', 'retry') }),
  ].join(''),
} as const;
