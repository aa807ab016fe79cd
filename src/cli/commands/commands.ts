/** Every command but serve and completion, in the order of --help. */
import type { Command } from '../command.ts';
import { activateCommands } from './activate.ts';
import { changeCommands } from './change.ts';
import { documentCommands } from './documents.ts';
import { importKeepalivedCommand } from './import-keepalived.ts';
import { probeCommand } from './probe.ts';
import { publishCommands } from './publish.ts';
import { readCommands } from './read.ts';
import { renderCommand } from './render.ts';
import { rotateKeyCommand } from './rotate-key.ts';
import { sharingCommands } from './sharing.ts';
import { statusCommand } from './status.ts';
import { transferCommands } from './transfer.ts';

export const commands: readonly Command[] = [
  ...documentCommands,
  ...readCommands,
  ...changeCommands,
  rotateKeyCommand,
  renderCommand,
  ...publishCommands,
  ...activateCommands,
  statusCommand,
  probeCommand,
  ...sharingCommands,
  ...transferCommands,
  importKeepalivedCommand,
];
