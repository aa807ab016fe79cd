import fc from 'fast-check';
import { expect, test } from 'vitest';
import { headerText } from './answers.ts';

test('any text becomes one line of ASCII that a header takes, and reads back as its beginning', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 1100 }), (text) => {
      const header = headerText(text);
      expect(header).toMatch(/^[ -~]*$/);
      expect(header.length).toBeLessThanOrEqual(1010);
      const read = JSON.parse(header) as string;
      if (read === text) return;
      expect(read.endsWith('...')).toBe(true);
      expect(text.startsWith(read.slice(0, -3))).toBe(true);
    }),
    { numRuns: 40 },
  );
});

test('a text that fits is whole', () => {
  expect(headerText('a "quoted" \\ line\nand 网络 😀')).toBe(
    String.raw`"a \"quoted\" \\ line\u000aand \u7f51\u7edc \ud83d\ude00"`,
  );
  expect(JSON.parse(headerText('x'.repeat(1000)))).toBe('x'.repeat(1000));
});
