/**
 * Real servers and their health checks in the words of keepalived 2: mainline's, and those of its fork in DPVS.
 */
import { checkTypeOf } from '../../domain/edge/model.ts';
import { RETRY_DELAY } from './keepalived.ts';
import type { Service } from './keepalived.ts';

/** All real servers of a service. */
export function realServers(asked: Service): string {
  const check = checker(asked);
  return asked.servers
    .map(
      ({ address, weight }) => `    real_server ${address} ${asked.port.dport} {
        weight ${weight}
${check}    }
`,
    )
    .join('');
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
