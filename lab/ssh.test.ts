import fc from 'fast-check';
import { expect, test } from 'vitest';
import { runProgram } from '../src/remote/program.ts';
import { commandOf } from './ssh.ts';

test('words that a shell takes as they are make a command', () => {
  expect(commandOf(['ip', '-br', 'addr', 'show', 'dev', 'eth0'])).toBe('ip -br addr show dev eth0');
  expect(commandOf(['ipvsadm', '-S', '/etc/weir/x_y+z:80,@%=1'])).toBe('ipvsadm -S /etc/weir/x_y+z:80,@%=1');
});

test.each(['', ' ', 'a b', '$x', '`x`', 'a;b', "it's", '"', '*', '~', 'a\nb', '#', '{a}', '1>2', 'ä', '!x'])(
  'the word %j is refused',
  (word) => {
    expect(() => commandOf(['echo', word])).toThrow(/A shell would not take this word/);
  },
);

test('an assignment is not a command', () => {
  expect(() => commandOf(['PATH=x', 'ls'])).toThrow(/PATH=x/);
});

test('a shell reads an accepted command as the words it was made of', async () => {
  const word = fc.string({ unit: fc.constantFrom(...'aZ09_@%+=:,./-'.split('')), minLength: 1 });
  await fc.assert(
    fc.asyncProperty(fc.array(word, { minLength: 1 }), async (words) => {
      const script = commandOf(['printf', '%s,', ...words]);
      expect((await runProgram('sh', ['-c', script], { env: {} })).stdout).toBe([...words, ''].join(','));
    }),
    { numRuns: 30 },
  );
});
