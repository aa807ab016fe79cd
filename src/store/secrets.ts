/**
 * Secrets in documents: a value given in the clear is stored as a record of its own and replaced by
 * a reference before the operation reaches history, events or any reader.
 */
import { Ospf } from '../domain/edge/model.ts';
import type { Call } from '../domain/edge/operations.ts';
import { refuse } from '../domain/errors.ts';
import { error } from '../domain/problem.ts';
import type { Problem, ProblemText } from '../domain/problem.ts';
import { parse } from '../domain/schema.ts';
import type { RecordWrite } from './port.ts';

/** How a document refers to a stored secret. */
const REFERENCE = 'secret:';

const OspfKey = Ospf.properties.key;

export interface SecretContext {
  cluster: string;
  /** The reference that the cluster's document has now. */
  present: string | undefined;
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
  const clean = calls.map((call, i) => {
    const found = keyIn(call);
    if (!found) return call;
    const { field, part, key } = found;
    const problem = keyProblem(key, context);
    if (problem) {
      const path = field === 'cluster' ? 'ospf.key' : `${field}.ospf.key`;
      problems.push(error(calls.length > 1 ? `operations[${i}].${path}` : path, problem));
      return call;
    }
    const reference = REFERENCE + (secretName(key) ?? storedAs(key, context, secrets));
    return {
      ...call,
      input: { ...(call.input as object), [field]: { ...part, ospf: { ...part.ospf, key: reference } } },
    };
  });
  if (problems.length > 0) throw refuse(problems);
  return { calls: clean, secrets };
}

/** Keys that calls give, in the clear or by reference. */
export function keysIn(calls: readonly Call[]): string[] {
  return calls.flatMap((call) => keyIn(call)?.key ?? []);
}

interface Part {
  ospf: { key: unknown };
}

/** Where an operation gives a key: in a whole document, or in fields to set. */
function keyIn({ input }: Call): { field: string; part: Part; key: string } | undefined {
  for (const field of ['cluster', 'set']) {
    const part = (input as Record<string, Partial<Part> | undefined>)[field];
    const key = part?.ospf?.key;
    if (typeof key === 'string') return { field, part: part as Part, key };
  }
  return undefined;
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
function storedAs(key: string, context: SecretContext, secrets: RecordWrite[]): string {
  const before = secretName(context.present);
  if (before !== undefined && context.valueOf(before) === key) return before;
  const name = `ospf-${context.cluster}-${context.randomId()}`;
  secrets.push({ kind: 'secret', key: name, expected: 0, value: key });
  return name;
}

/** Where a call gives a key itself, not a reference to one; the part of its input. */
export function plainKeyIn(call: Call): string | undefined {
  const found = keyIn(call);
  return found && secretName(found.key) === undefined ? found.field : undefined;
}

/** Findings about a key, or about what stands where its object should, without the value that was given. */
export function withoutSecrets(problems: readonly Problem[]): Problem[] {
  return problems.map((p) =>
    /(?:^|\.)ospf(?:\.key)?$/.test(p.path) ? { ...p, message: 'what was given is not allowed here' } : p,
  );
}

/** The name in a reference; undefined if it is none. */
export function secretName(value: string | undefined): string | undefined {
  return value?.startsWith(REFERENCE) === true ? value.slice(REFERENCE.length) : undefined;
}
