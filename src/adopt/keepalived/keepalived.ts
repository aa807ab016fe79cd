/**
 * A hand-written keepalived.conf of any of the three dialects to a Weir document, with everything that it does not
 * express, and whether rendering it gives the same again. Pure: files come from whoever imports.
 * adopt/ may import the domain and render.
 */
import { defaults } from '../../domain/edge/model.ts';
import type { Dataplane } from '../../domain/edge/model.ts';
import { compare } from './compare.ts';
import type { Comparison } from './compare.ts';
import { against, dataplaneBy, evidenceOf } from './dialect.ts';
import type { Evidence } from './dialect.ts';
import { draftOf } from './document.ts';
import type { Draft } from './draft.ts';
import type { Files, Limits } from './files.ts';
import { Ledger } from './ledger.ts';
import type { Finding } from './ledger.ts';
import { readServices } from './services.ts';
import type { Service } from './served.ts';
import { readTree } from './statements.ts';
import type { Tree } from './statements.ts';

export interface ImportOptions {
  /** Default: the base's, else what the words say. */
  dataplane?: Dataplane | undefined;
  /** keepalived's --config-id of the machine that the file is from. */
  configId?: string | undefined;
  /** What the file does not hold; its VIPs stay beside those of the file. */
  base?: Draft | undefined;
  /** VIPs of the base that the file does not have go. */
  replace?: boolean | undefined;
  wstype?: string | undefined;
  /** Names of WSs by their addresses. */
  names?: ReadonlyMap<string, string> | undefined;
  limits?: Partial<Limits> | undefined;
}

export interface Imported {
  dataplane: Dataplane;
  draft: Draft;
  /** In the order of files and lines as they were read. */
  findings: Finding[];
  /** What is to be known besides. */
  notes: string[];
  comparison: Comparison;
  files: readonly string[];
  lines: number;
}

/** Throws a WeirError, with problems, where the files cannot be read. */
export function importKeepalived(files: Files, path: string, options: ImportOptions = {}): Imported {
  const base = options.base ?? { vip2ws: [] };
  const { ledger, tree, dataplane, evidence } = read(files, path, { ...options, base });
  const served = readServices(tree.statements, dataplane, ledger);
  const { draft, madeNames, expressed } = draftOf(served, {
    dataplane,
    base,
    names: options.names ?? new Map(),
    wstype: options.wstype,
    replace: options.replace === true,
    ledger,
  });
  ledger.close(tree.statements);
  const findings = inOrder(ledger.findings, tree.files);
  const comparison = compare({ source: served, draft, dataplane, findings, limits: options.limits });
  const notes = [
    dialectNote(dataplane, evidence, options),
    ...contradictions(dataplane, evidence),
    ...otherBase(dataplane, base),
    ...namesNote(madeNames),
    ...announceNotes(expressed),
    ...sourceNotes(expressed, dataplane),
  ];
  return { dataplane, draft, findings, notes, comparison, files: tree.files, lines: tree.lines };
}

interface ReadTree {
  ledger: Ledger;
  tree: Tree;
  dataplane: Dataplane;
  evidence: Evidence[];
}

/** As 2.x first; where it is of 1.2.2, again as that reads it. */
function read(files: Files, path: string, options: ImportOptions & { base: Draft }): ReadTree {
  const { configId, limits } = options;
  const once = (old: boolean): ReadTree => {
    const ledger = new Ledger();
    const tree = readTree(path, { files, ledger, old, configId, limits });
    const evidence = evidenceOf(tree.statements);
    return { ledger, tree, evidence, dataplane: options.dataplane ?? options.base.dataplane ?? dataplaneBy(evidence) };
  };
  const newer = once(options.dataplane === 'fullnat');
  if (newer.dataplane !== 'fullnat' || options.dataplane === 'fullnat') return newer;
  return { ...once(true), dataplane: 'fullnat' };
}

function inOrder(findings: readonly Finding[], files: readonly string[]): Finding[] {
  const order = new Map(files.map((file, i) => [file, i]));
  return findings.toSorted((a, b) => (order.get(a.file) ?? 0) - (order.get(b.file) ?? 0) || a.line - b.line);
}

// notes --------------------------------------------------------------------------------------

function dialectNote(
  dataplane: Dataplane,
  evidence: readonly Evidence[],
  { dataplane: asked, base }: ImportOptions,
): string {
  const [sign] = evidence
    .filter(({ fits }) => fits.includes(dataplane))
    .toSorted((a, b) => a.fits.length - b.fits.length);
  if (asked !== undefined) return `read as ${dataplane}, as --dataplane says`;
  if (base?.dataplane !== undefined) return `read as ${dataplane}, the data plane of the base`;
  if (sign) return `read as ${dataplane}, by ${sign.statement} (${sign.at})`;
  return `read as ${dataplane}: no word of another data plane stands in it`;
}

function contradictions(dataplane: Dataplane, evidence: readonly Evidence[]): string[] {
  return against(evidence, dataplane).map(
    (one) =>
      `against ${dataplane} speaks ${one.statement} (${one.at}), which is of ${one.fits.join(' and ')}: --dataplane says which it is`,
  );
}

function otherBase(dataplane: Dataplane, base: Draft): string[] {
  const present = base.dataplane ?? (base.vip2ws.length > 0 ? defaults.dataplane : undefined);
  return present === undefined || present === dataplane
    ? []
    : [`the base has dataplane ${present}, the document has ${dataplane}`];
}

function namesNote(made: number): string[] {
  if (made === 0) return [];
  return [`WSs with names made from their addresses (ws-10-0-20-11): ${made}; --hosts FILE gives them their own`];
}

function announceNotes(services: readonly Service[]): string[] {
  const silent = [...new Set(services.filter(({ server }) => !server.announced).map(({ vip }) => vip))];
  if (silent.length === 0) return [];
  const some = `${silent.slice(0, 4).join(', ')}${silent.length > 4 ? ', ...' : ''}`;
  return [
    `VIPs without quorum_up: ${silent.length} (${some}): see what announces them today; Weir puts them on lo, and OSPF announces them`,
  ];
}

/** NAT of mainline keeps the client's address; Weir's ipvs has source NAT beside it. */
function sourceNotes(services: readonly Service[], dataplane: Dataplane): string[] {
  if (dataplane !== 'ipvs' || !services.some(({ server }) => server.kind === 'NAT')) return [];
  return ['with lb_kind NAT Weir adds source NAT: WSs see the LIPs of the LB, and need no route back through it'];
}
