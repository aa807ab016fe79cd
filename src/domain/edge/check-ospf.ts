/** The rules of a cluster's OSPF keys, of a stub area, and of how many paths the routers take. */
import { error, warning } from '../problem.ts';
import type { Problem } from '../problem.ts';
import { defaults, ospfAnnounceOf, routingOf } from './model.ts';
import type { Cluster } from './model.ts';

export function ospfProblems(cluster: Cluster): Problem[] {
  return [...checkKeys(cluster), ...checkStub(cluster), ...checkPaths(cluster)];
}

/** Two keys are told apart by their IDs, which every packet carries (RFC 2328, D.3). */
function checkKeys(cluster: Cluster): Problem[] {
  const { ospf = {} } = cluster;
  const { key, keyid = defaults.ospf.keyid, oldkey, oldkeyid } = ospf;
  const problems: Problem[] = [];
  if ((oldkey === undefined) !== (oldkeyid === undefined)) {
    problems.push(
      error(oldkey === undefined ? 'ospf.oldkey' : 'ospf.oldkeyid', {
        code: 'oldkey_incomplete',
        message: oldkey === undefined ? 'ospf.oldkeyid has no oldkey' : 'ospf.oldkey has no oldkeyid',
        hint: 'set both ospf.oldkey and ospf.oldkeyid, or leave both out',
      }),
    );
  }
  if (oldkey !== undefined && key === undefined) {
    problems.push(
      error('ospf.oldkey', {
        code: 'oldkey_needs_key',
        message: 'ospf.oldkey is accepted beside ospf.key, and there is no ospf.key',
        hint: 'set ospf.key, or leave ospf.oldkey and ospf.oldkeyid out',
      }),
    );
  }
  if (oldkeyid === keyid) {
    problems.push(
      error('ospf.oldkeyid', {
        code: 'ospf_keyids',
        message: `both OSPF keys have the ID ${keyid}, by which routers tell them apart`,
        hint: 'give the new key an ID of its own: ospf.keyid',
      }),
    );
  }
  if (problems.length === 0 && oldkey !== undefined) problems.push(notAccepted(cluster));
  return problems;
}

/** Quagga 0.99, ospf_packet.c, ospf_check_auth: only the tail of auth_crypt; FRR 8.4.4 the same, live. */
function notAccepted(cluster: Cluster): Problem {
  const who = routingOf(cluster) === 'quagga' ? 'Quagga accepts' : 'FRR up to 8.4 accepts';
  return warning('ospf.oldkey', {
    code: 'oldkey_not_accepted',
    message: `${who} packets with the key that it sends with and no others: an LB stays a neighbour only of routers that send with the new key too`,
    hint: 'use routers that send with both keys, change both ends of a link within ospf.dead, or drain the LB first (docs/routing.md)',
  });
}

/** RFC 2328, 3.6: the backbone is no stub, and external routes are not flooded into one. */
function checkStub(cluster: Cluster): Problem[] {
  if (cluster.ospf?.stub !== true) return [];
  const problems: Problem[] = [];
  if ((cluster.ospf.area ?? defaults.ospf.area) === BACKBONE) {
    problems.push(
      error('ospf.stub', {
        code: 'stub_backbone',
        message: `area ${BACKBONE} is the backbone and cannot be a stub`,
        hint: 'set ospf.area to the stub area that the routers have, or leave ospf.stub out',
      }),
    );
  }
  if (ospfAnnounceOf(cluster) === 'redistribute') {
    const byDefault = cluster.ospf.announce === undefined ? `, the way of routing ${routingOf(cluster)},` : '';
    problems.push(
      error('ospf.stub', {
        code: 'stub_needs_network',
        message: `a stub area carries no external routes: VIPs that are redistributed${byDefault} would never be announced`,
        hint: 'set ospf.announce to network, or leave ospf.stub out',
      }),
    );
  }
  return problems;
}

const BACKBONE = '0.0.0.0';

/** One warning, whatever the number of LBs. */
function checkPaths(cluster: Cluster): Problem[] {
  const { maxpaths = defaults.ospf.maxpaths } = cluster.ospf ?? {};
  const lbs = cluster.lbinfos.filter((lb) => lb.state !== 'drain');
  const paths = lbs.reduce((sum, lb) => sum + 1 + (lb.uplinks ?? []).length, 0);
  if (paths <= maxpaths) return [];
  return [
    warning('ospf.maxpaths', {
      code: 'too_many_paths',
      message: `${lbs.length} LBs have ${paths} uplinks together, and routers use ${maxpaths} paths for one VIP: the others get no traffic`,
      hint: `where the routers use more, set ospf.maxpaths to what they use (default ${defaults.ospf.maxpaths}); else use fewer LBs or uplinks`,
    }),
  ];
}
