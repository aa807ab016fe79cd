/** Commands on whole documents: apply, diff, show, history, rollback. */
import { createTwoFilesPatch } from 'diff';
import { stringify } from 'yaml';
import type { Client } from '../../client/client.ts';
import type { ChangeResult, HistoryRow, LipsView, Page, RevisionDiff } from '../../contract/schemas.ts';
import { readClusters } from '../../domain/edge/read.ts';
import { dataplaneOf, idcOf, portKey, stateOf, weightOf } from '../../domain/edge/model.ts';
import type { Cluster } from '../../domain/edge/model.ts';
import { applyPatch, isEmptyPatch } from '../../domain/edge/patch.ts';
import type { ClusterPatch } from '../../domain/edge/patch.ts';
import { refuse, WeirError } from '../../domain/errors.ts';
import type { Command, CommandContext, Output } from '../command.ts';
import { changeLine, changeOutput, dryRunOption, messageOption, noteWarnings, pathOf, presentOf } from './shared.ts';

const fileOption = {
  flags: '-f, --file <file>',
  help: 'document in JSON5 or YAML; - for standard input',
  required: true,
} as const;

const apply: Command = {
  name: 'apply',
  summary: 'Make each cluster that a file names as the file says; publishes nothing',
  options: [fileOption, dryRunOption, messageOption],
  examples: ['weir apply -f cluster.yaml', 'weir show CLUSTER -o yaml | sed s/old/new/ | weir apply -f -'],
  async run(context) {
    const clusters = await clustersOf(context);
    const client = context.client();
    const query = {
      dryRun: context.options['dryRun'] === true ? true : undefined,
      message: context.options['message'] as string | undefined,
    };
    const results: ChangeResult[] = [];
    try {
      for (const cluster of clusters) {
        const path = pathOf(cluster.name);
        const { data } = await client.call<ChangeResult>(path, { method: 'PUT', body: cluster, query });
        noteWarnings(context, data.warnings);
        results.push(data);
      }
    } catch (thrown) {
      // Those before it are made, and stay: standard output is for what is done as a whole.
      for (const result of results) context.note(changeLine(result));
      throw thrown;
    }
    return changeOutput(results);
  },
};

const diff: Command = {
  name: 'diff',
  summary: 'What a file, or an older revision, differs in from a cluster now',
  args: '[cluster]',
  options: [
    { flags: '-f, --file <file>', help: 'document in JSON5 or YAML; - for standard input' },
    { flags: '--from <revision>', help: 'older revision' },
    { flags: '--to <revision>', help: 'newer revision; default the current one' },
  ],
  examples: ['weir diff -f cluster.yaml', 'weir diff CLUSTER --from 3'],
  async run(context, [cluster]) {
    const client = context.client();
    if (context.options['file'] !== undefined) return diffFile(context, client);
    const from = context.options['from'];
    if (cluster === undefined || from === undefined) {
      throw new WeirError('usage', 'nothing to compare', {
        hint: 'weir diff -f FILE, or weir diff CLUSTER --from REVISION',
      });
    }
    const { data } = await client.call<RevisionDiff>(`${pathOf(cluster)}/diff`, {
      query: { from: String(from), to: context.options['to'] as string | undefined },
    });
    return { data, text: data.diff, exit: isEmptyPatch(data.patch as object) ? 0 : 3 };
  },
};

/** The server says what applying would change: it alone knows whether a key that is given is the stored one. */
async function diffFile(context: CommandContext, client: Client): Promise<Output> {
  const differences: { cluster: string; patch: unknown; diff: string }[] = [];
  for (const wanted of await clustersOf(context)) {
    const present = (await presentOf(client, wanted.name))?.document;
    const { data } = await client.call<ChangeResult>(pathOf(wanted.name), {
      method: 'PUT',
      body: wanted,
      query: { dryRun: true },
    });
    if (!data.changed) continue;
    const next = present ? applyPatch(present, data.patch as ClusterPatch) : withoutKeys(wanted);
    const texts = [present ? stringify(present) : '', stringify(next)] as const;
    const diff = createTwoFilesPatch(`${wanted.name} now`, `${wanted.name} wanted`, ...texts);
    differences.push({ cluster: wanted.name, patch: data.patch, diff });
  }
  return { data: differences, text: differences.map((d) => d.diff).join(''), exit: differences.length > 0 ? 3 : 0 };
}

function withoutKeys(cluster: Cluster): Cluster {
  if (!cluster.ospf) return cluster;
  const { key, oldkey } = cluster.ospf;
  const hidden = {
    ...(key === undefined ? {} : { key: '******' }),
    ...(oldkey === undefined ? {} : { oldkey: '******' }),
  };
  return { ...cluster, ospf: { ...cluster.ospf, ...hidden } };
}

async function clustersOf(context: CommandContext): Promise<Cluster[]> {
  const read = readClusters(await context.readFile(String(context.options['file'])));
  if (!read.ok) throw refuse(read.problems);
  return read.value;
}

const show: Command = {
  name: 'show',
  summary: 'Show a cluster: LBs with LIPs, VIPs with ports and WSs; -o yaml gives its document',
  args: '<cluster>',
  options: [{ flags: '--revision <revision>', help: 'an older revision' }],
  async run(context, [name]) {
    const client = context.client();
    const revision = context.options['revision'] as string | undefined;
    const [{ data: cluster, headers }, { data: lips }] = await Promise.all([
      client.call<Cluster>(pathOf(name), { query: { revision } }),
      revision === undefined ? client.call<LipsView>(`${pathOf(name)}/lips`) : { data: noLips },
    ]);
    return { data: cluster, text: describe(cluster, lips, headers.get('etag')?.replaceAll('"', '') ?? '?') };
  },
};

/** LIPs are not part of a document, so old revisions have none to show. */
const noLips: LipsView = { lbs: {}, quarantine: {} };

function describe(cluster: Cluster, lips: LipsView, revision: string): string {
  const lines = [
    `cluster ${cluster.name}, revision ${revision}: ${cluster.type}, ${dataplaneOf(cluster)}, idc ${idcOf(cluster) ?? '-'}`,
    '',
    ...cluster.lbinfos.flatMap((lb) => [
      `LB ${lb.hostname} (${lb.state ?? 'up'})  router-id ${lb.routerid}, ${lb.extraip ?? lb.internalip} on ${lb.device ?? cluster.device}`,
      `   LIPs ${(lips.lbs[lb.hostname] ?? []).join(' ') || '-'}`,
    ]),
    ...Object.entries(lips.quarantine).map(([lip, held]) => `quarantined LIP ${lip} of ${held.lb} since ${held.since}`),
  ];
  for (const vip of cluster.vip2ws) {
    const ports = vip.ports.map((p) => (String(p.dport) === portKey(p) ? portKey(p) : `${portKey(p)}→${p.dport}`));
    lines.push(
      '',
      `VIP ${vip.vip}  wstype ${vip.wstype}, ports ${ports.join(' ')}${vip.owner ? `, owner ${vip.owner}` : ''}`,
      ...(vip.moving?.to === undefined ? [] : [`   moves to cluster ${vip.moving.to}`]),
      ...(vip.moving?.from === undefined ? [] : [`   comes from cluster ${vip.moving.from}`]),
    );
    for (const ws of vip.wss) {
      const state = stateOf(vip, ws);
      lines.push(`   WS ${ws}  ${state === 'up' ? `weight ${weightOf(vip, ws)}` : state}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

const history: Command = {
  name: 'history',
  summary: 'Revisions of a cluster, newest first',
  args: '<cluster>',
  options: [{ flags: '--limit <n>', help: 'how many; default 20' }],
  async run(context, [name]) {
    const limit = (context.options['limit'] as string | undefined) ?? '20';
    const { data } = await context.client().call<Page<HistoryRow>>(`${pathOf(name)}/history`, { query: { limit } });
    return {
      data: data.items,
      table: {
        columns: ['revision', 'at', 'by', 'operations', 'message'],
        rows: data.items.map((r) => [
          r.revision,
          r.at.slice(0, 19),
          r.by,
          r.operations.map((o) => o.op),
          r.message ?? '',
        ]),
      },
    };
  },
};

const rollback: Command = {
  name: 'rollback',
  summary: 'Make a new revision equal to an old one; publishes nothing',
  args: '<cluster>',
  options: [{ flags: '--to <revision>', help: 'the old revision', required: true }, dryRunOption, messageOption],
  async run(context, [name]) {
    const to = String(context.options['to']);
    const { data } = await context.client().call<ChangeResult>(`${pathOf(name)}/rollback`, {
      method: 'POST',
      body: { to: /^\d+$/.test(to) ? Number(to) : to },
      query: {
        dryRun: context.options['dryRun'] === true ? true : undefined,
        message: context.options['message'] as string | undefined,
      },
    });
    noteWarnings(context, data.warnings);
    return changeOutput([data]);
  },
};

export const documentCommands: readonly Command[] = [apply, diff, show, history, rollback];
