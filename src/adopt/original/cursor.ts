/** A place in a text that is being read, and why reading stopped. Imports nothing. */

export interface Cursor {
  readonly source: string;
  /** In UTF-16 units, as all offsets here. */
  at: number;
  fault: Fault;
}

export interface Fault {
  offset: number;
  message: string;
}

/** What answers undefined has called this: the first fault ends the reading. */
export function fail(cursor: Cursor, message: string, offset = cursor.at): undefined {
  cursor.fault = { offset, message };
  return undefined;
}

/** Passes whitespace, newlines, comments, and backslashes that join lines. */
export function skipBlank(cursor: Cursor): void {
  const { source } = cursor;
  for (; cursor.at < source.length; cursor.at++) {
    const character = source[cursor.at] ?? '';
    if (character === '#') cursor.at = endOfLine(source, cursor.at) - 1;
    else if (character === '\\' && isNewline(source[cursor.at + 1])) cursor.at++;
    else if (!' \t\f\r\n'.includes(character)) return;
  }
}

function endOfLine(source: string, from: number): number {
  let end = from;
  while (end < source.length && !isNewline(source[end])) end++;
  return end;
}

export function isNewline(character: string | undefined): boolean {
  return character === '\n' || character === '\r';
}

/** What a sticky pattern finds here, and passes it. */
export function take(cursor: Cursor, pattern: RegExp): RegExpExecArray | undefined {
  pattern.lastIndex = cursor.at;
  const found = pattern.exec(cursor.source);
  if (found) cursor.at += found[0].length;
  return found ?? undefined;
}
