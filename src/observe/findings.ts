/**
 * Every kind of finding: its layer, whether it is a deviation or a note, and what to do next. The one table of
 * their codes; docs/status.md explains each. Imports nothing of ours.
 */

export type Layer = 'published' | 'loaded' | 'kernel';

interface Kind {
  layer: Layer;
  /** A note is as it may be: a WS that fails its check, a drained LB. */
  severity: 'deviation' | 'note';
  /** What to do next; `{cluster}`, `{lb}` and `{object}` stand for the names. */
  hint: string;
}

export const findingKinds = {
  not_published: {
    layer: 'published',
    severity: 'deviation',
    hint: 'weir plan {cluster} shows the changes, weir publish {cluster} --lb {lb} brings them onto the LB',
  },
  edited_file: {
    layer: 'published',
    severity: 'deviation',
    hint: 'weir publish {cluster} --lb {lb} --overwrite replaces it and keeps a copy on the LB',
  },
  helper_missing: {
    layer: 'published',
    severity: 'deviation',
    hint: 'weir publish {cluster} --lb {lb} puts it back',
  },
  undone: {
    layer: 'published',
    severity: 'deviation',
    hint: 'correct what the reason names, then weir publish {cluster} --lb {lb} and weir activate {cluster} --lb {lb}',
  },
  activation_unconfirmed: {
    layer: 'published',
    severity: 'deviation',
    hint: 'wait: the LB confirms it, or goes back by itself at the deadline',
  },
  limited_view: {
    layer: 'published',
    severity: 'note',
    hint: 'set ssh.user to root, or ssh.sudo, so that all can be read',
  },
  not_activated: {
    layer: 'loaded',
    severity: 'deviation',
    hint: 'weir activate {cluster} --lb {lb}',
  },
  reloaded_by_hand: {
    layer: 'loaded',
    severity: 'deviation',
    hint: 'weir activate {cluster} --lb {lb} brings host settings and routing along, and confirms it',
  },
  foreign_configuration: {
    layer: 'loaded',
    severity: 'deviation',
    hint: 'find out who reloaded it, then weir activate {cluster} --lb {lb}',
  },
  loaded_unknown: {
    layer: 'loaded',
    severity: 'note',
    hint: 'weir activate {cluster} --lb {lb} leaves a record of what was loaded',
  },
  keepalived_down: {
    layer: 'loaded',
    severity: 'deviation',
    hint: 'read its log on the LB, start it; weir activate {cluster} --lb {lb}',
  },
  routing_differs: {
    layer: 'loaded',
    severity: 'deviation',
    hint: 'weir activate {cluster} --lb {lb} makes it as published; what was wanted by hand belongs into the document',
  },
  routing_down: {
    layer: 'loaded',
    severity: 'deviation',
    hint: 'start the routing daemons on the LB; weir activate {cluster} --lb {lb}',
  },
  service_missing: {
    layer: 'kernel',
    severity: 'deviation',
    hint: 'a reload does not repair the table: restart keepalived on the LB, drained before',
  },
  service_extra: {
    layer: 'kernel',
    severity: 'deviation',
    hint: 'if nobody wants it: ipvsadm -D on the LB',
  },
  service_differs: {
    layer: 'kernel',
    severity: 'deviation',
    hint: 'somebody changed it with ipvsadm; weir activate {cluster} --lb {lb}, or restart keepalived',
  },
  server_extra: {
    layer: 'kernel',
    severity: 'deviation',
    hint: 'if nobody wants it: ipvsadm -d on the LB',
  },
  weight_differs: {
    layer: 'kernel',
    severity: 'deviation',
    hint: 'somebody changed it with ipvsadm; ipvsadm -e on the LB puts it back',
  },
  ws_down: {
    layer: 'kernel',
    severity: 'note',
    hint: 'its health check fails on this LB: look at the WS',
  },
  service_unserved: {
    layer: 'kernel',
    severity: 'note',
    hint: 'all its WSs fail their checks on this LB: look at the WSs and at the check',
  },
  vip_not_announced: {
    layer: 'kernel',
    severity: 'deviation',
    hint: 'run the announce helper of its VIP file on the LB; weir activate {cluster} --lb {lb}',
  },
  vip_announced_without_servers: {
    layer: 'kernel',
    severity: 'deviation',
    hint: 'traffic of this VIP is lost here: ip addr del {object}/32 dev INTERFACE on the LB, then look at keepalived, or DPVS',
  },
  vip_announced_while_drained: {
    layer: 'kernel',
    severity: 'deviation',
    hint: 'weir lb drain {cluster} {lb} again, or weir drain on the LB',
  },
  vip_extra: {
    layer: 'kernel',
    severity: 'deviation',
    hint: 'if nobody wants it: ip addr del {object}/32 on the LB',
  },
  lip_missing: {
    layer: 'kernel',
    severity: 'deviation',
    hint: 'ip -batch /etc/weir/active/host/addresses on the LB, or weir activate {cluster} --lb {lb}',
  },
  sysctl_differs: {
    layer: 'kernel',
    severity: 'deviation',
    hint: 'sysctl -p /etc/weir/active/host/sysctl.conf on the LB; look for who else sets it',
  },
  source_nat_missing: {
    layer: 'kernel',
    severity: 'deviation',
    hint: 'weir activate {cluster} --lb {lb}; without it WSs answer clients directly and connections break',
  },
  firewall_differs: {
    layer: 'kernel',
    severity: 'deviation',
    hint: 'weir activate {cluster} --lb {lb} restores our chains',
  },
  ospf_no_neighbour: {
    layer: 'kernel',
    severity: 'deviation',
    hint: 'the LB announces nothing: look at the link, the hello and dead times, the area and the key',
  },
  drained: {
    layer: 'kernel',
    severity: 'note',
    hint: 'weir lb undrain {cluster} {lb}, or weir undrain on the LB',
  },
  not_drained: {
    layer: 'kernel',
    severity: 'deviation',
    hint: 'the document drains this LB: weir lb drain {cluster} {lb}, or weir activate {cluster} --lb {lb}',
  },
} as const satisfies Record<string, Kind>;

export type FindingCode = keyof typeof findingKinds;

export interface Finding {
  code: FindingCode;
  layer: Layer;
  /** What it is about: a release, a path, `TCP 10.50.0.1:80`, an address. */
  object: string;
  message: string;
  hint: string;
}
