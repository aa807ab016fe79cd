import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { maxLineBytes, readLines } from './lines.ts';

describe('lines of a stream', () => {
  test('are the same however the bytes are cut into chunks', async () => {
    const text = fc
      .array(fc.string({ unit: 'binary' }).map((line) => line.replaceAll('\n', '')))
      .map((all) => all.join('\n'));
    await fc.assert(
      fc.asyncProperty(text, fc.array(fc.integer({ min: 1, max: 5 })), async (whole, sizes) => {
        const expected = whole.split('\n');
        if (expected.at(-1) === '') expected.pop();
        expect(await linesOf(cut(Buffer.from(whole), sizes))).toEqual(expected);
      }),
    );
  });

  test('empty ones count, and an unfinished last one is given', async () => {
    expect(await linesOf([Buffer.from('\n\na\n\nb')])).toEqual(['', '', 'a', '', 'b']);
    expect(await linesOf([Buffer.from('a\n')])).toEqual(['a']);
    expect(await linesOf([])).toEqual([]);
  });

  test('bytes that are no UTF-8 become replacement characters', async () => {
    expect(await linesOf([Buffer.from([0x61, 0xff, 0x62, 0x0a])])).toEqual(['a\ufffdb']);
  });

  test('over 64 KiB are cut, at the end of a character, and the next line is whole', async () => {
    const long = `x${'路'.repeat(maxLineBytes / 2)}`;
    const lines = await linesOf([...cut(Buffer.from(long), [60_000, 1, 7000]), Buffer.from('\nnext\n')]);
    expect(lines).toHaveLength(2);
    // 1 + 3 n bytes fit into 65536: exactly 65536 for n = 21845; one byte more before it tears the last character.
    expect(lines[0]).toBe(`x${'路'.repeat(21_845)}`);
    expect(lines[1]).toBe('next');
    expect(await linesOf([Buffer.from(`x${long}`)])).toEqual([`xx${'路'.repeat(21_844)}`]);
  });

  test('a line of exactly 64 KiB is whole', async () => {
    const line = 'x'.repeat(maxLineBytes);
    expect(await linesOf([Buffer.from(`${line}\nnext`)])).toEqual([line, 'next']);
  });

  test('a slow reader holds the writer back', async () => {
    const stream = new PassThrough();
    const lines = readLines(stream);
    const block = Buffer.from('0123456789abcde\n'.repeat(4096));
    let blocks = 0;
    while (stream.write(block) || blocks < 4) {
      blocks += 1;
      await new Promise(setImmediate);
      if (blocks > 100) break;
    }
    expect(stream.isPaused()).toBe(true);
    expect(blocks).toBeLessThan(20);
    stream.end();
    let count = 0;
    for await (const line of lines.iterator) {
      expect(line).toBe('0123456789abcde');
      count += 1;
    }
    expect(count).toBe((blocks + 1) * 4096);
    expect(lines.received()).toBe(count * 16);
  });

  test('leaving the loop early drops the rest but reads it', async () => {
    const stream = new PassThrough();
    const lines = readLines(stream);
    stream.write('first\nsecond\n');
    for await (const line of lines.iterator) {
      expect(line).toBe('first');
      break;
    }
    const rest = Buffer.alloc(4 * 1024 * 1024, 'x\n');
    await new Promise((resolve) => stream.write(rest, resolve));
    stream.end();
    expect(lines.received()).toBe(rest.length + 13);
    expect(await lines.iterator.next()).toEqual({ done: true, value: undefined });
    expect(() => lines.iterator[Symbol.asyncIterator]()).toThrow('given up');
  });

  test('readers that wait are served in order, and ended with the stream', async () => {
    const stream = new PassThrough();
    const { iterator } = readLines(stream);
    const results = [iterator.next(), iterator.next(), iterator.next()];
    stream.write('a\nb\n');
    stream.destroy(new Error('broken'));
    await new Promise((resolve) => stream.once('close', resolve));
    const given = await Promise.all(results);
    expect(given.at(-1)).toEqual({ done: true, value: undefined });
  });
});

async function linesOf(chunks: readonly Buffer[]): Promise<string[]> {
  const stream = new PassThrough();
  const { iterator } = readLines(stream);
  for (const chunk of chunks) stream.write(chunk);
  stream.end();
  const lines: string[] = [];
  for await (const line of iterator) lines.push(line);
  return lines;
}

/** Chunks of the sizes given, over and over; all at once where there are none. */
function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  for (let from = 0, index = 0; from < bytes.length; index += 1) {
    const size = sizes[index % sizes.length] ?? bytes.length;
    chunks.push(bytes.subarray(from, from + size));
    from += size;
  }
  return chunks;
}
