import { expect, test } from 'vitest';
import type { Command } from './command.ts';
import { completion } from './completion.ts';

const table: readonly Command[] = [
  { name: 'get things', summary: '', options: [{ flags: '-k, --kind <kind>', help: '' }], run: async () => undefined },
  { name: 'stop', summary: '', output: 'none', run: async () => undefined },
];

test('a script names each command below the words before it, and each option below its command', () => {
  const script = completion('bash', table);
  expect(script).toContain('"") words="get stop" ;;');
  expect(script).toContain('"get") words="things" ;;');
  expect(script).toContain('"get things") words="--kind --output --help" ;;');
  expect(script).toContain('"stop") words="--help" ;;');
});

test('fish completes a word only behind those before it', () => {
  expect(completion('fish', table)).toContain(
    "complete -c weir -n '__fish_seen_subcommand_from get; and __fish_seen_subcommand_from things' -l kind\n",
  );
});

test('other shells are refused', () => {
  expect(() => completion('tcsh', table)).toThrow('no completion for tcsh');
});
