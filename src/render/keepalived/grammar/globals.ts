/** global_defs of one dialect. */
import { Block } from './block.ts';
import type { Dialect, GlobalWord } from './dialects.ts';
import type { Reading } from './reading.ts';
import type { Complain, Statement } from './statements.ts';

/** Linux cuts the name of a process to this many characters (TASK_COMM_LEN). */
const MAX_PROCESS_NAME = 15;

export function globals(
  statement: Statement,
  dialect: Dialect,
  complain: Complain,
): Pick<Reading, 'routerId' | 'processName'> {
  const known = Object.keys(dialect.globals);
  if (statement.words.length > 1) complain(statement.at, 'global_defs takes nothing');
  const block = new Block(statement, new Set(known), complain);
  const read: Pick<Reading, 'routerId' | 'processName'> = { routerId: undefined, processName: undefined };
  for (const [word, rule] of Object.entries(dialect.globals)) {
    if (rule.needed !== undefined && block.all(word).length === 0) {
      complain(statement.at, `${word} is missing: ${rule.needed}`);
      continue;
    }
    const value = valueOf(block, word, rule);
    if (word === 'router_id') read.routerId = value;
    if (rule.only !== undefined && value !== rule.only) complain(statement.at, `${word} is not ${rule.only}`);
    if (rule.as !== 'process' || value === undefined) continue;
    read.processName = value;
    if (value.length > MAX_PROCESS_NAME) {
      complain(statement.at, `${word} ${value} is cut to ${MAX_PROCESS_NAME} characters`);
    }
  }
  return read;
}

function valueOf(block: Block, word: string, { as }: GlobalWord): string | undefined {
  switch (as) {
    case 'text':
    case 'process':
      return block.optional(word);
    case 'flag':
      block.flag(word);
      return undefined;
    case 'block':
      block.one(word);
      return undefined;
    case 'seconds':
      block.optionalNumber(word, [1, 3600]);
      return undefined;
  }
}
