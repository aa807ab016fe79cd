/** Files of the project beside its code, found from src/ and from dist/src/ alike. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The path of a file that is named from the project's folder. */
export function projectFile(name: string): string {
  return join(root(import.meta.dirname), name);
}

function root(folder: string): string {
  return existsSync(join(folder, 'package.json')) || folder === dirname(folder) ? folder : root(dirname(folder));
}
