/** Golden cases: one file each, the document, its hosts, and what is rendered from it. Only tests import it. */
// oxlint-disable-next-line no-restricted-imports -- cases are files
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { namesToResolve, nextAddresses, noAddresses, parseHosts } from '../../domain/edge/addresses.ts';
import type { Addresses } from '../../domain/edge/addresses.ts';
import type { Cluster } from '../../domain/edge/model.ts';
import { readClusters } from '../../domain/edge/read.ts';

const folder = new URL('../golden/', import.meta.url);
const HOSTS = '=== hosts ===\n';
const RENDERED = '=== rendered ===\n';

export const caseNames = readdirSync(folder).filter((name) => name.endsWith('.txt'));

export interface Case {
  /** All that stands before what is rendered. */
  input: string;
  cluster: Cluster;
  addresses: Addresses;
  expected: string;
}

export function readCase(name: string): Case {
  const [input = '', expected = ''] = readFileSync(new URL(name, folder), 'utf8').split(RENDERED);
  const [document = '', hostsText = ''] = input.split(HOSTS);
  const parsed = readClusters(document);
  if (!parsed.ok || !parsed.value[0]) throw new Error(JSON.stringify(parsed));
  const [cluster] = parsed.value;
  const hosts = parseHosts(hostsText);
  const found = namesToResolve(cluster).map((ws) => [ws, { address: hosts.get(ws) ?? '', source: 'hosts' as const }]);
  return { input, cluster, addresses: nextAddresses(noAddresses, Object.fromEntries(found)), expected };
}

export function writeCase(name: string, input: string, rendered: string): void {
  writeFileSync(new URL(name, folder), `${input}${RENDERED}${rendered}`);
}
