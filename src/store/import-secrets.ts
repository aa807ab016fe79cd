/**
 * OSPF keys of a cluster that is taken in: those that come along are stored under their names, and what refers to one
 * must find it.
 */
import type { ExportedCluster, ExportedRevision } from '../domain/edge/exported.ts';
import { refuse } from '../domain/errors.ts';
import { error, warning } from '../domain/problem.ts';
import type { Problem } from '../domain/problem.ts';
import type { RecordWrite, Store } from './port.ts';
import type { Present } from './present.ts';
import { plainKeysIn, secretName, secretsOf } from './secrets.ts';
import type { SecretField } from './secrets.ts';

export interface SecretPlaces {
  store: Store;
  present: () => Present;
}

export async function storedSecret(name: string, { store, present }: SecretPlaces): Promise<string | undefined> {
  const known = present().secrets.get(name);
  if (known !== undefined) return known;
  const record = await store.record({ kind: 'secret', key: name });
  return record && String(record.value);
}

export interface Secrets {
  write: RecordWrite[];
  /** Names in older revisions that nobody knows a value of. */
  lost: string[];
}

/** Those of the file that are not here yet. A reference of the document must lead to one, here or in the file. */
export async function newSecrets(exported: ExportedCluster, context: SecretPlaces): Promise<Secrets> {
  const { document, history = [], secrets: given = {} } = exported;
  const problems = [...plainKeys(exported)];
  const write: RecordWrite[] = [];
  for (const [name, value] of Object.entries(given)) {
    const here = await storedSecret(name, context);
    if (secretName(value) !== undefined) problems.push(plainKey(`secrets.${name}`));
    else if (here === undefined) write.push({ kind: 'secret', key: name, expected: 0, value });
    else if (here !== value) problems.push(otherSecret(name));
  }
  const lost = new Set<string>();
  const isKnown = async (name: string) =>
    Object.hasOwn(given, name) || (await storedSecret(name, context)) !== undefined;
  for (const { name: field, key } of secretsOf(document)) {
    const name = secretName(key);
    if (name !== undefined && !(await isKnown(name))) problems.push(missingSecret(field, name));
  }
  const wanted = new Set(secretsOf(document).map(({ key }) => key));
  for (const { key } of history.flatMap(keysOf)) {
    const name = secretName(key);
    if (name !== undefined && !wanted.has(key) && !lost.has(name) && !(await isKnown(name))) lost.add(name);
  }
  if (problems.length > 0) throw refuse(uniquePaths(problems));
  return { write, lost: [...lost] };
}

function keysOf({ document, patch }: ExportedRevision): ReturnType<typeof secretsOf> {
  return secretsOf(document ?? patch?.head);
}

/** Keys themselves have their place under `secrets`: elsewhere they would stand in history for everybody to read. */
function plainKeys({ document, history = [] }: ExportedCluster): Problem[] {
  const problems: Problem[] = [];
  const look = (keys: ReturnType<typeof secretsOf>, path: string) => {
    for (const { name, key } of keys) {
      if (secretName(key) === undefined) problems.push(plainKey(`${path}.ospf.${name}`));
    }
  };
  look(secretsOf(document), 'document');
  history.forEach((entry, i) => {
    look(keysOf(entry), `history[${i}].${entry.patch ? 'patch.head' : 'document'}`);
    entry.operations.forEach((call, j) => {
      for (const place of plainKeysIn(call)) problems.push(plainKey(`history[${i}].operations[${j}].input.${place}`));
    });
  });
  return problems;
}

function plainKey(path: string): Problem {
  return error(path, {
    code: 'secret_misplaced',
    message: 'an OSPF key stands where a reference to one should, or the other way round',
    hint: 'keys stand under secrets by their names; everything else refers to them as secret:NAME',
  });
}

function otherSecret(name: string): Problem {
  return error(`secrets.${name}`, {
    code: 'secret_differs',
    message: `secret ${name} is here with another value`,
    hint: 'rename it in the file, under secrets and where it is referred to as secret:NAME',
  });
}

function missingSecret(field: SecretField, name: string): Problem {
  return error(`document.ospf.${field}`, {
    code: 'unknown_secret',
    message: `secret:${name} refers to a secret that is neither in the file nor here`,
    hint: `export again with weir export --with-secrets, or write the key into the file: "secrets": {"${name}": "KEY"}`,
  });
}

function uniquePaths(problems: readonly Problem[]): Problem[] {
  return [...new Map(problems.map((p) => [`${p.path} ${p.code}`, p])).values()];
}

export function lostSecrets({ name }: ExportedCluster, { lost }: Secrets): Problem[] {
  return lost.map((secret) =>
    warning('history', {
      code: 'unknown_secret',
      message: `older revisions of cluster ${name} refer to secret:${secret}, which is neither in the file nor here`,
      hint: 'a rollback to them needs the key to be given anew; weir export --with-secrets takes it along',
    }),
  );
}

/** false where another process stored one of them at the same time. */
export async function keepSecrets(secrets: readonly RecordWrite[], { store, present }: SecretPlaces): Promise<boolean> {
  for (const secret of secrets) {
    if (!(await store.putRecord(secret)).ok) return false;
    present().secrets.set(secret.key, String(secret.value));
  }
  return true;
}
