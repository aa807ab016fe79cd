/** weir render: an LB's files in a folder, from the server or, with -f, without one. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { LbRelease } from '../../contract/schemas.ts';
import { namesToResolve, nextAddresses, noAddresses, parseHosts } from '../../domain/edge/addresses.ts';
import { checkCluster } from '../../domain/edge/check.ts';
import { emptyLipPlan, planLips } from '../../domain/edge/lips.ts';
import type { Cluster } from '../../domain/edge/model.ts';
import { readClusters } from '../../domain/edge/read.ts';
import { messageOf, refuse, WeirError } from '../../domain/errors.ts';
import { errorsOf, warningsOf } from '../../domain/problem.ts';
import { renderCluster } from '../../render/cluster.ts';
import { ospfKeysOf } from '../../render/routing/ospf.ts';
import type { Command, CommandContext } from '../command.ts';
import { noteWarnings, pathOf } from './shared.ts';

interface Written {
  lb: string;
  release: string;
  files: { path: string; mode: string; text: string }[];
}

export const renderCommand: Command = {
  name: 'render',
  summary: 'Write the files of a cluster’s LBs into a folder, as they lie on the machines',
  args: '[cluster]',
  options: [
    { flags: '-f, --file <file>', help: 'document instead of a cluster; needs no server' },
    { flags: '--hosts <file>', help: 'with -f: a hosts(5) file with addresses of WSs' },
    { flags: '--lb <lb...>', help: 'only these LBs' },
    { flags: '-o, --output <folder>', help: 'target folder; LB/ in it is replaced', required: true },
  ],
  output: 'target',
  examples: ['weir render -f cluster.txt --hosts hosts -o out', 'weir render CLUSTER --lb lb1.hy01 -o out'],
  async run(context, [cluster]) {
    const folder = String(context.options['output']);
    const all = context.options['file'] === undefined ? await fromServer(context, cluster) : await offline(context);
    const wanted = context.options['lb'] as string[] | undefined;
    const unknown = (wanted ?? []).filter((lb) => !all.some((w) => w.lb === lb));
    if (unknown.length > 0)
      throw new WeirError('not_found', `no LB ${unknown.join(', ')}`, {
        hint: `there are: ${all.map((w) => w.lb).join(', ')}`,
      });
    const chosen = all.filter((w) => wanted?.includes(w.lb) ?? true);
    for (const written of chosen) await write(folder, written);
    const rows = chosen.map((w) => [join(folder, w.lb), w.release, w.files.length]);
    return {
      data: chosen.map(({ lb, release }) => ({ lb, release })),
      table: { columns: ['folder', 'release', 'files'], rows },
    };
  },
};

async function fromServer(context: CommandContext, cluster: string | string[] | undefined): Promise<Written[]> {
  if (cluster === undefined)
    throw new WeirError('usage', 'nothing to render', { hint: 'name a cluster, or a document with -f' });
  const client = context.client();
  const { data } = await client.call<Cluster>(pathOf(cluster));
  return Promise.all(
    data.lbinfos.map(async (lb) => {
      const { data: release } = await client.call<LbRelease>(pathOf(cluster, 'lbs', lb.hostname, 'release'));
      return { lb: lb.hostname, release: release.id, files: release.files };
    }),
  );
}

async function offline(context: CommandContext): Promise<Written[]> {
  const read = readClusters(await context.readFile(String(context.options['file'])));
  if (!read.ok) throw refuse(read.problems);
  const hostsFile = context.options['hosts'];
  const hosts =
    hostsFile === undefined ? new Map<string, string>() : parseHosts(await context.readFile(String(hostsFile)));
  return read.value.flatMap((cluster) => renderOffline(context, cluster, hosts));
}

function renderOffline(context: CommandContext, cluster: Cluster, hosts: ReadonlyMap<string, string>): Written[] {
  const found = namesToResolve(cluster).flatMap((name) => {
    const address = hosts.get(name.toLowerCase());
    return address === undefined ? [] : [[name, { address, source: 'hosts' as const }] as const];
  });
  const taken = new Set(hosts.values());
  const plan = planLips({ cluster, plan: emptyLipPlan, isTaken: (address) => taken.has(address), now: '' });
  const problems = [...checkCluster(cluster), ...plan.problems];
  const errors = errorsOf(problems);
  if (errors.length > 0) throw refuse(errors);
  noteWarnings(context, warningsOf(problems));
  for (const field of ['key', 'oldkey'] as const) {
    const key = cluster.ospf?.[field];
    if (key?.startsWith('secret:') !== true) continue;
    throw new WeirError('usage', `ospf.${field} ${key} refers to a secret, which only the server has`, {
      hint: 'write the key itself, or leave it out',
    });
  }
  const rendered = renderCluster({
    cluster,
    lips: plan.plan,
    addresses: nextAddresses(noAddresses, Object.fromEntries(found)),
    ospfKeys: ospfKeysOf(cluster),
  });
  if (!rendered.ok) throw refuse(rendered.problems, 'unresolved');
  return rendered.releases.map((release) => ({
    lb: release.lb,
    release: release.id,
    files: [...release.files(), release.manifest()].map((f) => ({ path: f.path, mode: f.mode, text: f.text() })),
  }));
}

async function write(folder: string, { lb, files }: Written): Promise<void> {
  const target = join(folder, lb);
  try {
    await rm(target, { recursive: true, force: true });
    for (const file of files) {
      const path = join(target, file.path);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, file.text, { mode: Number.parseInt(file.mode, 8) });
    }
  } catch (thrown) {
    throw new WeirError('failed', `${target} cannot be written: ${messageOf(thrown)}`, {
      hint: 'name another folder with -o',
      cause: thrown,
    });
  }
}
