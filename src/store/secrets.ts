/**
 * Secrets in documents: a value given in the clear is stored as a record of its own and replaced by
 * a reference before the operation reaches history, events or any reader.
 */
import type { Call } from '../domain/edge/operations.ts';
import { refuse } from '../domain/errors.ts';
import { error } from '../domain/problem.ts';
import type { RecordWrite } from './port.ts';

/** How a document refers to a stored secret. */
const REFERENCE = 'secret:';

export interface SecretContext {
  cluster: string;
  known: (reference: string) => boolean;
  randomId: () => string;
}

/** Calls without values of secrets, and the records that hold them. Unknown references are refused. */
export function extractSecrets(
  calls: readonly Call[],
  context: SecretContext,
): { calls: Call[]; secrets: RecordWrite[] } {
  const secrets: RecordWrite[] = [];
  const clean = calls.map((call) => {
    const input = call.input as Record<string, unknown>;
    for (const field of ['cluster', 'set']) {
      const part = input[field] as { ospf?: { key?: unknown } | null } | undefined;
      const key = part?.ospf?.key;
      if (typeof key !== 'string') continue;
      if (key.startsWith(REFERENCE)) {
        if (!context.known(key.slice(REFERENCE.length))) throw unknownSecret(`${field}.ospf.key`, key);
        continue;
      }
      const name = `ospf-${context.cluster}-${context.randomId()}`;
      secrets.push({ kind: 'secret', key: name, expected: 0, value: key });
      const ospf = { ...part?.ospf, key: REFERENCE + name };
      return { ...call, input: { ...input, [field]: { ...part, ospf } } };
    }
    return call;
  });
  return { calls: clean, secrets };
}

function unknownSecret(path: string, key: string): Error {
  return refuse([
    error(path, {
      code: 'unknown_secret',
      message: `${key} refers to a secret that is not here`,
      hint: 'give the key itself; it is stored as a secret and shown as a reference',
    }),
  ]);
}

/** The name in a reference; undefined if it is none. */
export function secretName(value: string | undefined): string | undefined {
  return value?.startsWith(REFERENCE) === true ? value.slice(REFERENCE.length) : undefined;
}
