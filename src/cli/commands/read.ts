/** Commands that read: get, wstype, lb lips. */
import type { Client } from '../../client/client.ts';
import type {
  ClusterSummary,
  LbRow,
  LipCapacityView,
  Page,
  VipRow,
  WsRow,
  WstypeRow,
  WstypeWs,
} from '../../contract/schemas.ts';
import type { Command, CommandOption } from '../command.ts';
import { noteWarnings, pathOf } from './shared.ts';

const clusterOption: CommandOption = { flags: '--cluster <name>', help: 'only this cluster' };

/** All pages of a list. */
async function all<T>(client: Client, path: string, query: Record<string, unknown> = {}): Promise<T[]> {
  const items: T[] = [];
  let after: string | undefined;
  do {
    const { data } = await client.call<Page<T>>(path, {
      query: { ...(query as Record<string, string>), limit: 1000, after },
    });
    items.push(...data.items);
    after = data.next ?? undefined;
  } while (after !== undefined);
  return items;
}

const clusters: Command = {
  name: 'get clusters',
  summary: 'Clusters',
  options: [
    { flags: '--type <type>', help: 'extra or internal' },
    { flags: '--idc <idc>', help: 'machine room' },
  ],
  async run(context) {
    const { type, idc } = context.options;
    const rows = await all<ClusterSummary>(context.client(), '/clusters', { type, idc });
    return {
      data: rows,
      table: {
        columns: ['cluster', 'type', 'dataplane', 'idc', 'revision', 'lbs', 'vips', 'wss'],
        rows: rows.map((r) => [r.name, r.type, r.dataplane, r.idc, r.revision, r.lbs, r.vips, r.wss]),
      },
    };
  },
};

const vips: Command = {
  name: 'get vips',
  summary: 'VIPs',
  options: [clusterOption, { flags: '--wstype <wstype>', help: 'only this wstype' }],
  async run(context) {
    const { cluster, wstype } = context.options;
    const rows = await all<VipRow>(context.client(), '/vips', { cluster, wstype });
    return {
      data: rows,
      table: {
        columns: ['vip', 'cluster', 'wstype', 'ports', 'wss', 'owner'],
        rows: rows.map((r) => [r.vip, r.cluster, r.wstype, r.ports, r.wss, r.owner]),
      },
    };
  },
};

const lbs: Command = {
  name: 'get lbs',
  summary: 'LBs',
  options: [clusterOption],
  async run(context) {
    const rows = await all<LbRow>(context.client(), '/lbs', { cluster: context.options['cluster'] });
    return {
      data: rows,
      table: {
        columns: ['lb', 'cluster', 'state', 'internalip', 'extraip', 'router-id', 'lips'],
        rows: rows.map((r) => [r.lb, r.cluster, r.state, r.internalip, r.extraip, r.routerid, r.lips.length]),
      },
    };
  },
};

const wss: Command = {
  name: 'get wss',
  summary: 'WSs',
  options: [clusterOption],
  async run(context) {
    const rows = await all<WsRow>(context.client(), '/wss', { cluster: context.options['cluster'] });
    return {
      data: rows,
      table: {
        columns: ['ws', 'cluster', 'wstypes', 'vips', 'address'],
        rows: rows.map((r) => [r.ws, r.cluster, r.wstypes, r.vips, r.address]),
      },
    };
  },
};

function wstypesAs(name: string): Command {
  return {
    name,
    summary: 'wstypes',
    async run(context) {
      const rows = await all<WstypeRow>(context.client(), '/wstypes');
      return {
        data: rows,
        table: { columns: ['wstype', 'clusters', 'wss'], rows: rows.map((r) => [r.wstype, r.clusters, r.wss]) },
      };
    },
  };
}

const wstypeGet: Command = {
  name: 'wstype get',
  summary: 'The Nginx machines of a wstype',
  args: '<wstype>',
  options: [
    clusterOption,
    { flags: '--type <type>', help: 'extra or internal' },
    { flags: '--idc <idc>', help: 'machine room' },
    { flags: '--names', help: 'one hostname a line' },
  ],
  async run(context, [wstype]) {
    const { cluster, type, idc, names } = context.options as Record<string, string | undefined>;
    const path = `/wstypes/${encodeURIComponent(String(wstype))}/wss`;
    const { data } = await context.client().call<Page<WstypeWs>>(path, { query: { cluster, type, idc } });
    const hosts = [...new Set(data.items.map((r) => r.ws))];
    return {
      data: data.items,
      ...(names === undefined
        ? {
            table: {
              columns: ['ws', 'cluster', 'network', 'idc', 'address', 'vips'],
              rows: data.items.map((r) => [r.ws, r.cluster, r.network, r.idc, r.address, r.vips]),
            },
          }
        : { text: hosts.map((h) => `${h}\n`).join('') }),
    };
  },
};

const capacity: Command = {
  name: 'lb lips',
  summary: 'How many connections the LIPs of each LB carry, and how many LIPs a peak needs',
  args: '<cluster>',
  options: [{ flags: '--peak <n>', help: 'connections at once of one port of a VIP over all LBs, TIME_WAIT counted' }],
  examples: ['weir lb lips CLUSTER', 'weir lb lips CLUSTER --peak 1000000'],
  async run(context, [cluster]) {
    const peak = context.options['peak'] as string | undefined;
    const path = `${pathOf(cluster)}/lips/capacity`;
    const { data } = await context.client().call<LipCapacityView>(path, { query: { peak } });
    noteWarnings(context, data.warnings);
    return { data, text: capacityText(data) };
  },
};

/** The ports that need most: the rest needs no more than these. */
const SHOWN = 10;

function capacityText({ perLip, lbs, needs }: LipCapacityView): string {
  const have = lbs.map(({ lb, lips, connections }) => `LB ${lb}  ${lips} LIPs, ${connections} connections`);
  const need = needs
    .slice(0, SHOWN)
    .map((n) => `VIP ${n.vip}:${n.port}  ${n.lips} LIPs for ${n.connections} connections to ${n.ws}`);
  const more = needs.length > SHOWN ? [`and ${needs.length - SHOWN} more that need no more than these`] : [];
  return `${[
    `one LIP carries ${perLip} connections at once to one port of one WS`,
    '',
    ...have,
    ...(need.length > 0 ? ['', 'each LB needs, while one of them is away:', ...need, ...more] : []),
  ].join('\n')}\n`;
}

export const readCommands: readonly Command[] = [
  clusters,
  vips,
  lbs,
  wss,
  wstypesAs('get wstypes'),
  wstypesAs('wstype list'),
  wstypeGet,
  capacity,
];
