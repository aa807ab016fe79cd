import { expect, test } from 'vitest';
import { isWhole, readHead } from './dial.ts';

test('a head is read when it is whole', () => {
  const text = 'HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 5\r\nX-Ws: ws1.lab\r\n\r\nhello';
  expect(readHead(text)).toEqual({ status: 200, length: 5, ws: 'ws1.lab', end: text.length - 5 });
  for (let cut = 0; cut < text.length - 5; cut += 1) expect(readHead(text.slice(0, cut))).toBeUndefined();
});

test('an answer is whole when all bytes that it announces are there', () => {
  const head = { status: 200, length: 5, ws: undefined, end: 10 };
  expect(isWhole(head, 'x'.repeat(14))).toBe(false);
  expect(isWhole(head, 'x'.repeat(15))).toBe(true);
  expect(isWhole({ ...head, length: undefined }, 'x'.repeat(99))).toBe(false);
});

test('what is not HTTP has no status', () => {
  expect(readHead('SSH-2.0-OpenSSH_9.2\r\n\r\n')).toMatchObject({ status: 0, length: undefined });
});
