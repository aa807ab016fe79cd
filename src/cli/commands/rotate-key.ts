/** weir cluster rotate-key: another OSPF key in two changes of the document, between which the old one stands beside it. */
import type { ChangeResult } from '../../contract/schemas.ts';
import { defaults } from '../../domain/edge/model.ts';
import type { Cluster } from '../../domain/edge/model.ts';
import { WeirError } from '../../domain/errors.ts';
import type { Command, CommandContext } from '../command.ts';
import { changeOutput, dryRunOption, messageOption, noteWarnings, numeric, pathOf } from './shared.ts';

interface Options {
  keyid?: string;
  key?: string;
  keyFile?: string;
  finish?: boolean;
  dryRun?: boolean;
  message?: string;
}

export const rotateKeyCommand: Command = {
  name: 'cluster rotate-key',
  summary: 'Send a new OSPF key and keep the present one beside it; with --finish the new one alone',
  args: '<cluster>',
  options: [
    { flags: '--keyid <id>', help: 'ID of the new key, 1 to 255, other than that of the present one' },
    { flags: '--key <key>', help: 'the new key, at most 16 characters; it stays in the shell’s history' },
    { flags: '--key-file <file>', help: 'a file with the new key on its one line; - for standard input' },
    { flags: '--finish', help: 'give the key of before up' },
    dryRunOption,
    messageOption,
  ],
  examples: [
    'weir cluster rotate-key CLUSTER --keyid 9 --key-file -   # when the routers have both keys',
    'weir cluster rotate-key CLUSTER --finish   # when the routers have the new key only',
  ],
  async run(context, [name]) {
    const { dryRun, message, finish } = context.options as Options;
    const client = context.client();
    const { data: cluster, headers } = await client.call<Cluster>(pathOf(name));
    const ospf = finish === true ? finished(context.options) : await begun(context, cluster);
    const { data: result } = await client.call<ChangeResult>(pathOf(name), {
      method: 'PATCH',
      headers: { 'if-match': headers.get('etag') ?? '*' },
      body: { ospf },
      query: { dryRun, message },
    });
    noteWarnings(context, result.warnings);
    return changeOutput([result]);
  },
};

/** undefined is no field; null removes one. */
type KeyFields = Partial<Record<'key' | 'keyid' | 'oldkey' | 'oldkeyid', unknown>>;

async function begun(context: CommandContext, { name, ospf = {} }: Cluster): Promise<KeyFields> {
  const { keyid, key, keyFile } = context.options as Options;
  if (keyid === undefined) throw usage('--keyid is missing', 'give the ID that the routers have for the new key');
  if ((key === undefined) === (keyFile === undefined)) {
    throw usage(
      'the new key is given by --key or by --key-file',
      'name one of them, e.g. --key-file - for standard input',
    );
  }
  if (ospf.key === undefined) {
    throw new WeirError('conflict', `cluster ${name} has no OSPF key yet`, {
      hint: `weir cluster set ${name} ospf.key=KEY sets the one that the routers use`,
    });
  }
  if (ospf.oldkey !== undefined) {
    throw new WeirError('conflict', `cluster ${name} still has OSPF key ${ospf.oldkeyid} beside its own`, {
      hint: `when the routers have key ${ospf.keyid ?? defaults.ospf.keyid} only: weir cluster rotate-key ${name} --finish`,
    });
  }
  return {
    key: key ?? oneLine(await context.readFile(String(keyFile)), String(keyFile)),
    keyid: numeric(keyid),
    oldkey: ospf.key,
    oldkeyid: ospf.keyid ?? defaults.ospf.keyid,
  };
}

function finished({ keyid, key, keyFile }: Options): KeyFields {
  if (keyid !== undefined || key !== undefined || keyFile !== undefined) {
    throw usage('--finish takes no key', 'leave --keyid, --key and --key-file out');
  }
  return { oldkey: null, oldkeyid: null };
}

/** A key that is not allowed is the server's to say. */
function oneLine(text: string, file: string): string {
  const [line = '', ...more] = text.replace(/\r?\n$/, '').split('\n');
  if (line !== '' && more.length === 0) return line;
  throw usage(`${file} does not hold a key on one line`, 'write the key, and nothing else, into it');
}

function usage(message: string, hint: string): WeirError {
  return new WeirError('usage', message, { hint });
}
