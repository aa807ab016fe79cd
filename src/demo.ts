/**
 * weir serve --demo: the seed's cluster, and a test host that plays its LB, so that there is
 * something to publish to. Part of the wiring; nothing else imports it.
 */
import { readFileSync } from 'node:fs';
import { createClient } from './client/client.ts';
import { readClusters } from './domain/edge/read.ts';
import type { Cluster } from './domain/edge/model.ts';
import { refuse, WeirError } from './domain/errors.ts';
import { openTestHosts, whyNoTestHosts } from './remote/test-hosts.ts';
import { projectFile } from './project.ts';
import type { Settings } from './settings.ts';

export interface Demo {
  /** With the hosts file and ssh_config of the demo, unless others were set. */
  settings: Settings;
  /** Lines for the person who started it. */
  notes: string[];
  load(url: string, token: string): Promise<void>;
  close(): Promise<void>;
}

function example(name: string): string {
  return projectFile(`examples/${name}`);
}

export async function startDemo(settings: Settings): Promise<Demo> {
  const cluster = seedCluster();
  const lb = cluster.lbinfos[0]?.hostname ?? '';
  const reason = settings.ssh_config ? 'ssh_config is set, so your own LBs are used' : whyNoTestHosts();
  const hosts = reason === undefined ? await openTestHosts() : undefined;
  const host = await hosts?.start(lb);
  return {
    settings: {
      ...settings,
      hosts: settings.hosts || example('hosts'),
      ssh_config: settings.ssh_config || (hosts?.configFile ?? ''),
    },
    notes: [
      `demo: cluster ${cluster.name} of the seed is loaded`,
      host
        ? `demo: a test host plays its LB ${lb}; its files are under ${host.root}`
        : `demo: no test host, so publishing will fail at connect: ${reason}`,
    ],
    async load(url, token) {
      const client = createClient({ url, token });
      try {
        await client.call('/clusters', { method: 'POST', body: cluster });
      } catch (thrown) {
        if (!(thrown instanceof WeirError) || thrown.code !== 'exists') throw thrown;
      }
    },
    async close() {
      await hosts?.close();
    },
  };
}

function seedCluster(): Cluster {
  const read = readClusters(readFileSync(example('seed-cluster.txt'), 'utf8'));
  if (!read.ok) throw refuse(read.problems);
  const [cluster] = read.value;
  if (!cluster) throw new Error('the example holds no cluster');
  return cluster;
}
