/** What Redis or the way to it says of a failed call, as a WeirError. */
import { messageOf, WeirError } from '../../domain/errors.ts';

/** Seconds after which a client may try again. */
const RETRY_AFTER = 2;

/** A fault of Redis or of the network becomes a WeirError; anything else is a bug and passes. */
export function faultOf(thrown: unknown, where: string): unknown {
  if (thrown instanceof WeirError || !(thrown instanceof Error)) return thrown;
  if (!isAnswer(thrown) && !isConnectionFault(thrown) && !isTimeout(thrown)) return thrown;
  return new WeirError('store', `store ${where}: ${messageOf(thrown)}`, {
    hint: hints.find(([start]) => thrown.message.startsWith(start))?.[1] ?? 'see whether Redis runs: redis-cli PING',
    retryAfter: RETRY_AFTER,
    cause: thrown,
  });
}

const hints: readonly [start: string, hint: string][] = [
  ['NOAUTH', 'give user and password in the address of the store: redis://USER:PASSWORD@HOST/1'],
  ['WRONGPASS', 'correct user and password in the address of the store'],
  ['NOPERM', 'give Weir’s user the commands and keys that docs/redis.md lists'],
  ['OOM', 'Redis has no memory left: raise its maxmemory'],
  ['MISCONF', 'Redis cannot save to its disk: see its log, free space'],
  ['NOREPLICAS', 'Redis has fewer replicas than min-replicas-to-write asks for: see its replicas'],
  ['READONLY', 'this Redis is a replica: name its master, or the Sentinels'],
  ['LOADING', 'Redis reads its data; it answers when it is done'],
  ['Command timed out', 'Redis does not answer: see its log and load'],
];

/** Redis itself answered with an error. */
function isAnswer(thrown: Error): boolean {
  return thrown.name === 'ReplyError';
}

function isTimeout(thrown: Error): boolean {
  return thrown.message === 'Command timed out';
}

/** The connection was not there, or broke before the answer: the call may or may not have been carried out. */
export function isConnectionFault(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return false;
  return (
    ('code' in thrown && typeof thrown.code === 'string' && /^E[A-Z]+$/.test(thrown.code)) ||
    thrown.name === 'MaxRetriesPerRequestError' ||
    thrown.name === 'AbortError' ||
    thrown.message.startsWith('Connection is closed') ||
    thrown.message.startsWith("Stream isn't writeable") ||
    thrown.message.startsWith('All sentinels are unreachable') ||
    thrown.message.startsWith('Socket timeout')
  );
}

/** Whether the same call may succeed in a moment, and whether a new connection is needed for it. */
export function retryOf(thrown: unknown): 'no' | 'again' | 'reconnect' {
  if (!(thrown instanceof Error)) return 'no';
  if (isConnectionFault(thrown)) return 'again';
  if (/^(?:LOADING|MASTERDOWN|BUSY|TRYAGAIN)\b/.test(thrown.message)) return 'again';
  if (/READONLY/.test(thrown.message) && isAnswer(thrown)) return 'reconnect';
  return 'no';
}

/** Whether Redis is known to hang on this connection. */
export function isHung(thrown: unknown): boolean {
  return thrown instanceof Error && isTimeout(thrown);
}
