/** Completion scripts for shells, made from the command table. */
import { WeirError } from '../domain/errors.ts';
import type { Command } from './command.ts';

export function completion(shell: string, table: readonly Command[]): string {
  switch (shell) {
    case 'bash':
      return bash(table);
    case 'zsh':
      return `#compdef weir\nautoload -U +X bashcompinit && bashcompinit\n${bash(table)}`;
    case 'fish':
      return fish(table);
    default:
      throw new WeirError('usage', `no completion for ${shell}`, { hint: 'one of: bash, zsh, fish' });
  }
}

/** Words that may follow each prefix of words; the empty prefix first. */
function follow(table: readonly Command[]): Map<string, Set<string>> {
  const next = new Map<string, Set<string>>();
  for (const command of table) {
    const words = command.name.split(' ');
    words.forEach((word, i) => {
      const before = words.slice(0, i).join(' ');
      next.set(before, (next.get(before) ?? new Set()).add(word));
    });
    const flags = (command.options ?? []).flatMap((o) => /--[\w-]+/.exec(o.flags)?.[0] ?? []);
    if (command.output === undefined || command.output === 'format') flags.push('--output');
    next.set(
      command.name,
      new Set([...flags, '--help', ...(command.name === 'completion' ? ['bash', 'zsh', 'fish'] : [])]),
    );
  }
  return next;
}

function bash(table: readonly Command[]): string {
  const cases = [...follow(table)].map(([prefix, words]) => `    "${prefix}") words="${[...words].join(' ')}" ;;`);
  return `_weir() {
  local cur=\${COMP_WORDS[COMP_CWORD]} two="\${COMP_WORDS[1]} \${COMP_WORDS[2]}" words=""
  local prefix=""
  if [ "$COMP_CWORD" -gt 2 ]; then prefix=$two; elif [ "$COMP_CWORD" -eq 2 ]; then prefix=\${COMP_WORDS[1]}; fi
  _weir_words "$prefix" || _weir_words "\${COMP_WORDS[1]}"
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
_weir_words() {
  case "$1" in
${cases.join('\n')}
    *) return 1 ;;
  esac
}
complete -o default -F _weir weir bin/weir
`;
}

function fish(table: readonly Command[]): string {
  const lines = [...follow(table)].flatMap(([prefix, words]) => {
    const condition =
      prefix === ''
        ? '__fish_use_subcommand'
        : prefix
            .split(' ')
            .map((w) => `__fish_seen_subcommand_from ${w}`)
            .join('; and ');
    return [...words].map((word) =>
      word.startsWith('--')
        ? `complete -c weir -n '${condition}' -l ${word.slice(2)}`
        : `complete -c weir -f -n '${condition}' -a ${word}`,
    );
  });
  return `${lines.join('\n')}\n`;
}
