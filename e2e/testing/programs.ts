/** Which programs this machine has, and so its test hosts. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

const folders = ['/usr/local/sbin', '/usr/sbin', '/usr/bin', '/sbin', '/bin', '/usr/lib/frr'];

export function isInstalled(program: string): boolean {
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
