/**
 * Secrets in documents: a value given in the clear is stored as a record of its own and replaced by
 * a reference before the operation reaches history, events or any reader.
 */
import { Ospf } from '../domain/edge/model.ts';
import type { Cluster } from '../domain/edge/model.ts';
import type { Call } from '../domain/edge/operations.ts';
import { refuse } from '../domain/errors.ts';
import { error } from '../domain/problem.ts';
import type { Problem, ProblemText } from '../domain/problem.ts';
import { parse } from '../domain/schema.ts';
import type { RecordWrite } from './port.ts';

/** How a document refers to a stored secret. */
const REFERENCE = 'secret:';

/** Fields of `ospf` that are secrets. */
export const secretFields = ['key', 'oldkey'] as const;
export type SecretField = (typeof secretFields)[number];

const OspfKey = Ospf.properties.key;

export interface SecretContext {
  cluster: string;
  /** The references that the cluster's document has now. */
  present: readonly string[];
  /** The value of a stored secret. */
  valueOf: (name: string) => string | undefined;
  randomId: () => string;
}

/**
 * Calls without values of secrets, and the records that hold them. Values that are no key, and
 * unknown references, are refused here: a document is checked when only the reference is left of them.
 */
export function extractSecrets(
  calls: readonly Call[],
  context: SecretContext,
): { calls: Call[]; secrets: RecordWrite[] } {
  const secrets: RecordWrite[] = [];
  const problems: Problem[] = [];
  const clean = calls.map((call, i) =>
    keysOf(call).reduce((next, { field, name, key }) => {
      const problem = keyProblem(key, context);
      if (problem) {
        const path = field === 'cluster' ? `ospf.${name}` : `${field}.ospf.${name}`;
        problems.push(error(calls.length > 1 ? `operations[${i}].${path}` : path, problem));
        return next;
      }
      return withKey(next, { field, name, key: REFERENCE + (secretName(key) ?? storedAs(key, context, secrets)) });
    }, call),
  );
  if (problems.length > 0) throw refuse(problems);
  return { calls: clean, secrets };
}

/** Keys that calls give, in the clear or by reference. */
export function keysIn(calls: readonly Call[]): string[] {
  return calls.flatMap((call) => keysOf(call).map(({ key }) => key));
}

/** A key that an operation gives: in a whole document, or in fields to set. */
interface GivenKey {
  field: 'cluster' | 'set';
  name: SecretField;
  key: string;
}

type Part = { ospf?: Partial<Record<SecretField, unknown>> } | undefined;

function keysOf({ input }: Call): GivenKey[] {
  return (['cluster', 'set'] as const).flatMap((field) => {
    const part = (input as Partial<Record<typeof field, Part>>)[field];
    return secretFields.flatMap((name) => {
      const key = part?.ospf?.[name];
      return typeof key === 'string' ? { field, name, key } : [];
    });
  });
}

function withKey(call: Call, { field, name, key }: GivenKey): Call {
  const input = call.input as Record<typeof field, NonNullable<Part>>;
  const part = input[field];
  return { ...call, input: { ...input, [field]: { ...part, ospf: { ...part.ospf, [name]: key } } } };
}

/** Never shows the value. */
function keyProblem(key: string, { valueOf }: SecretContext): ProblemText | undefined {
  const read = parse(OspfKey, key);
  if (!read.ok) {
    const [{ code, hint } = { code: 'bad_ospf_key', hint: '' }] = read.problems;
    return { code, message: 'what was given is not an OSPF key or a reference to one', hint };
  }
  const name = secretName(key);
  if (name === undefined || valueOf(name) !== undefined) return undefined;
  return {
    code: 'unknown_secret',
    message: `${key} refers to a secret that is not here`,
    hint: 'give the key itself; it is stored as a secret and shown as a reference',
  };
}

/** The same key given again is the same secret, so that applying a file twice changes nothing. */
function storedAs(key: string, { cluster, present, valueOf, randomId }: SecretContext, secrets: RecordWrite[]): string {
  const before = present.flatMap((reference) => secretName(reference) ?? []).find((name) => valueOf(name) === key);
  const known = before ?? secrets.find((secret) => secret.value === key)?.key;
  if (known !== undefined) return known;
  const name = `ospf-${cluster}-${randomId()}`;
  secrets.push({ kind: 'secret', key: name, expected: 0, value: key });
  return name;
}

/** The places in a call's input that hold a key itself, not a reference to one. */
export function plainKeysIn(call: Call): string[] {
  return keysOf(call).flatMap(({ field, name, key }) => (secretName(key) === undefined ? `${field}.ospf.${name}` : []));
}

/** The keys that a document has, or fields of its head: references, or what was given in their place. */
export function secretsOf(part: Pick<Cluster, 'ospf'> | null | undefined): { name: SecretField; key: string }[] {
  return secretFields.flatMap((name) => {
    const key = part?.ospf?.[name];
    return key === undefined ? [] : { name, key };
  });
}

/** Findings about a key, or about what stands where its object should, without the value that was given. */
export function withoutSecrets(problems: readonly Problem[]): Problem[] {
  return problems.map((p) =>
    /(?:^|\.)ospf(?:\.(?:old)?key)?$/.test(p.path) ? { ...p, message: 'what was given is not allowed here' } : p,
  );
}

/** The name in a reference; undefined if it is none. */
export function secretName(value: string | undefined): string | undefined {
  return value?.startsWith(REFERENCE) === true ? value.slice(REFERENCE.length) : undefined;
}
