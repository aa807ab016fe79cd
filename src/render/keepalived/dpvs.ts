/**
 * keepalived 2.0.19 of DPVS (`dpvs`): the words of fullnat where they are about LIPs and SYNs, those of keepalived 2 for
 * health checks, and some of its own. A LIP without its interface makes that parser crash.
 */
import { formatAddress, parseRange } from '../../domain/address.ts';
import { protocolOf, schedulerOf } from '../../domain/edge/model.ts';
import type { Vip } from '../../domain/edge/model.ts';
import { realServers } from './checker.ts';
import { kinds, LIP_GROUP } from './fullnat.ts';
import { line } from './keepalived.ts';
import type { HeadInput, KeepalivedDialect, Service } from './keepalived.ts';

export const dpvs: KeepalivedDialect = { marked: false, head, vipHead, service };

function head({ lb, lips, innerDevice }: HeadInput): string[] {
  return [
    '! Rendered by Weir. Changes made here are lost at the next publication.',
    'global_defs {',
    `    router_id LVS_${lb.hostname}`,
    '    script_user root',
    '    enable_script_security',
    '}',
    `local_address_group ${LIP_GROUP} {`,
    ...lips.map((lip) => `    ${lip} ${innerDevice}`),
    '}',
  ];
}

/** Clients that are refused, and the only ones that are served. */
function vipHead(vip: Vip): string {
  return group('deny', vip) + group('allow', vip);
}

function group(what: 'deny' | 'allow', vip: Vip): string {
  const ranges = vip[what];
  if (!ranges) return '';
  const lines = ranges.flatMap(rangeLines).map((text) => `    ${text}\n`);
  return `${what}_address_group ${what}_${vip.vip} {\n${lines.join('')}}\n`;
}

/** A range is read as `a.b.c.d-E`, with E below 255. */
function rangeLines(text: string): string[] {
  const range = parseRange(text);
  const lines: string[] = [];
  for (let first = range?.first ?? 1; first <= (range?.last ?? 0);) {
    const last = first % 256 === 255 ? first : Math.min(range?.last ?? 0, first - (first % 256) + 254);
    lines.push(last === first ? formatAddress(first) : `${formatAddress(first)}-${last % 256}`);
    first = last + 1;
  }
  return lines;
}

function service(asked: Service): string {
  const { vip, port, group: name, check, announce, quorum } = asked;
  const { persistence_timeout: persistence, establish_timeout: establish, proxy_protocol: proxy } = port;
  const lines = [
    line(persistence, `persistence_timeout ${persistence}`),
    line(asked.synproxy, 'syn_proxy'),
    line(establish, `establish_timeout ${establish}`),
    line(proxy, `proxy_protocol ${proxy}`),
    line(asked.forwarding === 'fullnat', `laddr_group_name ${LIP_GROUP}`),
    line(vip.deny, `daddr_group_name deny_${vip.vip}`),
    line(vip.allow, `waddr_group_name allow_${vip.vip}`),
  ];
  return `virtual_server_group ${name} {
    ${vip.vip} ${port.sport}
}
virtual_server group ${name} {
    delay_loop ${check.interval}
    lb_algo ${schedulerOf(port)}
    lb_kind ${kinds[asked.forwarding]}
    protocol ${protocolOf(port)}
${lines.join('')}    alpha
    omega
    quorum ${quorum}
    hysteresis 0
    quorum_up "${announce}"
    quorum_down "${announce}"
${realServers(asked)}}
`;
}
