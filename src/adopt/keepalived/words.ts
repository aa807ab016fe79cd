/**
 * The words of keepalived, by the block that they stand in: those that the import reads, and those that it does not
 * express, with the reason. Sources: keepalived.conf(5) of 2.2.7, the keywords of Alibaba LVS's 1.2.2 and of DPVS's
 * 2.0.19 (its additions alone). What is in neither list is listed as unknown.
 */
import type { Field, Severity } from './ledger.ts';

export interface Word {
  severity: Severity;
  why: string;
  hint?: string;
  field?: Field;
}

type Words = Readonly<Record<string, Word>>;

const mail: Word = { severity: 'dropped', why: 'mail: Weir tells by its status, metrics and events instead' };
const own: Word = { severity: 'dropped', why: 'Weir writes its own' };
const logs: Word = { severity: 'dropped', why: 'logs and monitoring of keepalived itself' };
const processes: Word = {
  severity: 'dropped',
  why: 'how keepalived’s processes run; set it where keepalived is started',
};
const startOfChecks: Word = {
  severity: 'dropped',
  why: 'when checks start; Weir takes a WS as down until it was checked',
};
const vrrpSetting: Word = {
  severity: 'dropped',
  why: 'a setting of VRRP, which Weir does not use: OSPF announces the VIPs',
};
const vrrp: Word = {
  severity: 'lost',
  why: 'VRRP: with Weir every LB serves, and OSPF announces the VIPs',
  hint: 'VIPs of an instance that have a virtual_server come over; give other addresses to another keepalived',
};
const hostNetwork: Word = {
  severity: 'lost',
  why: 'addresses, routes and rules of the machine are not Weir’s',
  hint: 'set them in the network configuration of the LB',
};
const namespace: Word = {
  severity: 'lost',
  why: 'Weir’s services are in the LB’s own network namespace',
  hint: 'set the data plane up there, or leave these services to this keepalived',
};
const script: Word = {
  severity: 'lost',
  why: 'a script that would not run any more',
  hint: 'see what it does; weir events and metrics tell of WSs that come and go',
};
const scheduling: Word = {
  severity: 'lost',
  why: 'a flag of the scheduler, which the document has no field for',
  hint: 'see whether scheduler mh or sh does without',
  field: 'scheduler',
};
const notInDocument = (why: string, hint: string, field: Field = 'other'): Word => ({
  severity: 'lost',
  why,
  hint,
  field,
});
const checkDetail = (why: string): Word => notInDocument(why, 'see that the WS passes the check without it', 'check');
const sorry: Word = notInDocument(
  'a sorry server: without healthy WSs Weir withdraws the VIP',
  'add the server as a WS with a low weight, if it may get a share of the traffic',
);
const inhibit: Word = notInDocument(
  'a WS that fails its check is taken out, not set to weight 0: its connections are not kept',
  'drain a WS by hand (weir ws drain) where its connections should be kept',
);

const top: Words = {
  vrrp_instance: vrrp,
  vrrp_sync_group: vrrp,
  vrrp_script: vrrp,
  vrrp_track_process: vrrp,
  vrrp_track_file: vrrp,
  track_file: vrrp,
  garp_group: vrrp,
  track_group: vrrp,
  static_track_group: vrrp,
  bfd_instance: notInDocument('BFD of keepalived', 'ospf.bfd watches the uplinks with routing frr'),
  static_ipaddress: hostNetwork,
  static_routes: hostNetwork,
  static_rules: hostNetwork,
  linkbeat_interfaces: vrrpSetting,
  linkbeat_use_polling: vrrpSetting,
  interface_up_down_delays: vrrpSetting,
  SSL: notInDocument(
    'certificates of SSL_GET',
    'see that the WS answers a check without a client certificate',
    'check',
  ),
  net_namespace: namespace,
  net_namespace_ipvs: namespace,
  namespace_with_ipsets: namespace,
  instance: processes,
  use_pid_dir: processes,
  child_wait_time: processes,
};

const globals: Words = {
  notification_email: mail,
  notification_email_from: mail,
  smtp_server: mail,
  smtp_helo_name: mail,
  smtp_connect_timeout: mail,
  smtp_alert: mail,
  smtp_alert_vrrp: mail,
  smtp_alert_checker: mail,
  no_email_faults: mail,
  no_checker_emails: mail,
  router_id: own,
  lvs_id: own,
  script_user: own,
  enable_script_security: own,
  lvs_flush: own,
  lvs_flush_on_stop: own,
  include_check: own,
  reload_check_config: own,
  reload_time_file: own,
  reload_repeat: own,
  reload_file: own,
  checker_process_name: own,
  process_names: processes,
  process_name: processes,
  vrrp_process_name: processes,
  bfd_process_name: processes,
  tmp_config_directory: processes,
  config_save_dir: processes,
  umask: processes,
  random_seed: processes,
  data_use_instance: processes,
  instance: processes,
  use_pid_dir: processes,
  child_wait_time: processes,
  max_auto_priority: processes,
  min_auto_priority_delay: processes,
  checker_priority: processes,
  checker_no_swap: processes,
  checker_cpu_affinity: processes,
  checker_rt_priority: processes,
  checker_rlimit_rttime: processes,
  bfd_priority: processes,
  bfd_no_swap: processes,
  bfd_cpu_affinity: processes,
  bfd_rt_priority: processes,
  bfd_rlimit_rttime: processes,
  checker_log_all_failures: logs,
  rs_init_notifies: script,
  snmp_socket: logs,
  enable_snmp_vrrp: logs,
  enable_snmp_keepalived: logs,
  enable_snmp_checker: logs,
  enable_snmp_rfc: logs,
  enable_snmp_rfcv2: logs,
  enable_snmp_rfcv3: logs,
  enable_traps: logs,
  enable_dbus: logs,
  dbus_service_name: logs,
  fifo_write_vrrp_states_on_reload: vrrpSetting,
  notify_fifo: script,
  notify_fifo_script: script,
  lvs_notify_fifo: script,
  lvs_notify_fifo_script: script,
  startup_script: script,
  startup_script_timeout: script,
  shutdown_script: script,
  shutdown_script_timeout: script,
  default_interface: vrrpSetting,
  disable_local_igmp: vrrpSetting,
  dynamic_interfaces: vrrpSetting,
  allow_if_changes: vrrpSetting,
  log_unknown_vrids: vrrpSetting,
  vmac_prefix: vrrpSetting,
  vmac_addr_prefix: vrrpSetting,
  nftables: vrrpSetting,
  nftables_priority: vrrpSetting,
  nftables_counters: vrrpSetting,
  nftables_ifindex: vrrpSetting,
  linkbeat_use_polling: vrrpSetting,
  nftables_ipvs: {
    severity: 'dropped',
    why: 'how keepalived serves a group: Weir makes a service of each VIP and port',
  },
  nftables_ipvs_priority: { severity: 'dropped', why: 'how keepalived serves a group' },
  nftables_ipvs_start_fwmark: { severity: 'dropped', why: 'how keepalived serves a group' },
  lvs_sync_daemon: notInDocument(
    'connections are not told to other LBs: flows that move to another LB break',
    'drain an LB before work on it; weir says how many flows it moves',
  ),
  lvs_timeouts: notInDocument(
    'timeouts of connections over the whole LB',
    'set them on the LB with ipvsadm --set; with dataplane dpvs, establish_timeout of a port',
    'timeouts',
  ),
  net_namespace: namespace,
  net_namespace_ipvs: namespace,
  namespace_with_ipsets: namespace,
};

/** What a virtual server, a real server and a check may all say, each for those within it. */
const shared: Words = {
  alpha: startOfChecks,
  warmup: startOfChecks,
  log_all_failures: logs,
  smtp_alert: mail,
  snmp_name: logs,
  inhibit_on_failure: inhibit,
};

const virtualServer: Words = {
  ...shared,
  alpha: own,
  omega: own,
  sorry_server: sorry,
  sorry_server_inhibit: sorry,
  sorry_server_lvs_method: sorry,
  ha_suspend: {
    severity: 'dropped',
    why: 'checks stop while VRRP has the VIP elsewhere; without VRRP it has no effect',
  },
  ops: notInDocument(
    'each packet of UDP is scheduled by itself',
    'see that the WSs can do with flows instead',
    'other',
  ),
  persistence_engine: notInDocument(
    'persistence by what a protocol says',
    'use persistence by the client’s address',
    'persistence',
  ),
  nat_mask: { severity: 'dropped', why: 'a word of kernels before 2.4, without effect' },
  vip_bind_dev: { severity: 'dropped', why: 'read and never used by DPVS' },
  'flag-1': scheduling,
  'flag-2': scheduling,
  'flag-3': scheduling,
  'sh-port': scheduling,
  'sh-fallback': scheduling,
  'mh-port': scheduling,
  'mh-fallback': scheduling,
  hash_target: { ...scheduling, hint: 'scheduler conhash goes by the client’s address then' },
  quic: {
    ...scheduling,
    why: 'QUIC’s connection IDs, which the document has no field for',
    hint: 'flows of a client that moves break',
  },
  expire_quiescent_conn: notInDocument(
    'connections to a WS of weight 0 are ended',
    'nothing: a drained WS keeps them until they end',
  ),
  conn_timeout: notInDocument(
    'no word of keepalived: establish_timeout is',
    'set establish_timeout on the port, with dataplane dpvs',
    'timeouts',
  ),
};

const realServer: Words = {
  ...shared,
  notify_up: script,
  notify_down: script,
  uthreshold: notInDocument(
    'a limit on the connections of a WS',
    'limit them on the WS itself, e.g. worker_connections',
  ),
  lthreshold: notInDocument('a limit on the connections of a WS', 'limit them on the WS itself'),
};

const check: Words = {
  ...shared,
  connect_ip: checkDetail('the check asks another machine than the WS'),
  bindto: checkDetail('the source address of the check'),
  bind_if: checkDetail('the interface of the check'),
  bind_port: checkDetail('the source port of the check'),
  fwmark: checkDetail('a firewall mark on the packets of the check'),
  http_protocol: checkDetail('the version of HTTP that the check speaks'),
  user_agent: checkDetail('the User-Agent of the check'),
  fast_recovery: checkDetail('how soon a WS with several checked pages comes back'),
  ssl_version: checkDetail('the version of TLS of the check'),
  tls_compliant: checkDetail('how strict the check is about TLS'),
  payload: checkDetail('what the check sends'),
  require_reply: checkDetail('the check waits for an answer'),
  min_reply_length: checkDetail('the length of an answer to the check'),
  max_reply_length: checkDetail('the length of an answer to the check'),
};

const url: Words = {
  regex: checkDetail('the page is searched for a text'),
  regex_no_match: checkDetail('the page is searched for a text'),
  regex_options: checkDetail('the page is searched for a text'),
  regex_stack: checkDetail('the page is searched for a text'),
  regex_min_offset: checkDetail('the page is searched for a text'),
  regex_max_offset: checkDetail('the page is searched for a text'),
  tls_compliant: checkDetail('how strict the check is about TLS'),
};

/** Synonyms, newest first. */
export const synonyms = {
  scheduler: ['lvs_sched', 'lb_algo'],
  kind: ['lvs_method', 'lb_kind'],
  retry: ['retry', 'nb_get_retry'],
} as const;

export const checkers = [
  ...(['HTTP_GET', 'SSL_GET', 'TCP_CHECK', 'UDP_CHECK', 'SMTP_CHECK'] as const),
  ...(['DNS_CHECK', 'MISC_CHECK', 'BFD_CHECK', 'PING_CHECK', 'FILE_CHECK'] as const),
] as const;
export type Checker = (typeof checkers)[number];

/** Blocks whose statements are read by their words. */
const blocks = {
  top,
  global_defs: globals,
  virtual_server: virtualServer,
  real_server: realServer,
  check,
  url,
} as const;
export type Block = keyof typeof blocks;

/** What is read of each block. */
const read: Readonly<Record<Exclude<Block, 'top' | 'global_defs'>, readonly string[]>> = {
  virtual_server: [
    ...(['delay_loop', ...synonyms.scheduler, ...synonyms.kind, 'protocol', 'persistence_timeout'] as const),
    ...(['syn_proxy', 'laddr_group_name', 'daddr_group_name', 'waddr_group_name', 'establish_timeout'] as const),
    ...(['proxy_protocol', 'quorum', 'quorum_up', 'quorum_down', 'virtualhost', 'ip_family', 'real_server'] as const),
    ...(['hysteresis', 'persistence_granularity'] as const),
    ...(['connect_timeout', 'delay_before_retry', ...synonyms.retry] as const),
  ],
  real_server: [
    ...(['weight', 'delay_loop', 'virtualhost', ...synonyms.kind, ...checkers] as const),
    ...(['connect_timeout', 'delay_before_retry', ...synonyms.retry] as const),
  ],
  check: [
    ...(['url', 'connect_port', 'connect_timeout', 'delay_before_retry', ...synonyms.retry] as const),
    ...(['delay_loop', 'virtualhost', 'enable_sni', 'misc_path', 'misc_timeout', 'misc_dynamic', 'helo_name'] as const),
  ],
  url: ['path', 'status_code', 'digest', 'virtualhost'],
};

const starts = new Map<string, ReadonlySet<string>>();
for (const name of ['virtual_server', 'real_server', 'check', 'url'] as const) {
  const all = new Set([...read[name], ...Object.keys(blocks[name])]);
  for (const opener of name === 'check' ? checkers : [name]) starts.set(opener, all);
}
starts.set('global_defs', new Set(Object.keys(globals)));

/** What becomes of a word that the import does not read; undefined: it does not know it. */
export function wordOf(block: Block, word: string): Word | undefined {
  const table: Words = blocks[block];
  if (Object.hasOwn(table, word)) return table[word];
  return block === 'global_defs' && word.startsWith('vrrp_') ? vrrpSetting : undefined;
}

/** Whether a word starts a statement in a block: how blocks on one line are taken apart. */
export function isWordIn(block: string, word: string): boolean {
  return starts.get(block)?.has(word) ?? false;
}
