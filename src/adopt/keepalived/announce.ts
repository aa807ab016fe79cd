/** Scripts of quorum_up and quorum_down: those that only put the VIP on lo are Weir's own task. */
import { Announce } from '../../domain/edge/model.ts';
import { parse } from '../../domain/schema.ts';
import type { Ledger } from './ledger.ts';
import type { Statement } from './statements.ts';

export interface Announced {
  /** By Weir's own script. */
  announce: Announce | undefined;
  announced: boolean;
}

/** Weir's, by render/host/announce.ts: `/etc/weir/bin/announce-DIGEST VIP POLICY QUORUM`. */
const ours = /^\/etc\/weir\/bin\/announce-\S+ \S+ (\S+) \d+$/;

const address = String.raw`\d+\.\d+\.\d+\.\d+(?:\/32)?`;

/** `ip addr add VIP/32 dev lo`, ifconfig on an alias of lo, or a helper that is called `... up|down VIP [PORT]`. */
const plain = [
  new RegExp(
    String.raw`^(?:\S*\/)?ip (?:-\S+ )*a(?:ddr(?:ess)?)? (?:add|del|delete|replace|change) ${address} dev lo(?:[ :].*)?$`,
  ),
  new RegExp(String.raw`^(?:\S*\/)?ifconfig lo\S* ${address}(?: .*)?$`),
  /^(?:\S*\/)?ifconfig lo:\S+ down$/,
  new RegExp(String.raw`^\S+ (?:up|down|add|del|start|stop) ${address}(?: \d{1,5})?$`),
];

export function readAnnounce(statements: readonly Statement[], ledger: Ledger): Announced {
  const found: Announced = { announce: undefined, announced: statements.length > 0 };
  for (const statement of statements) {
    const text = statement.words.slice(1).join(' ').replaceAll(/\s+/g, ' ').trim();
    const policy = ours.exec(text)?.[1];
    const parsed = parse(Announce, policy);
    if (parsed.ok) {
      found.announce = parsed.value;
      ledger.drop(statement, { why: 'Weir writes its own' });
    } else if (text.split(/ ?(?:;|&&|\|\|) ?/).every((command) => plain.some((rule) => rule.test(command)))) {
      ledger.drop(statement, {
        why: 'puts the VIP on lo, or takes it off: Weir announces it by a script of its own, while any of its ports is served',
        hint: 'announce: all, to withdraw the VIP with the first port that is not',
      });
    } else {
      ledger.lose(statement, {
        why: 'a script that would not run any more: Weir writes its own, which puts the VIP on lo and takes it off',
        hint: 'see what else it does',
        field: 'other',
      });
    }
  }
  return found;
}
