/** npm start [-- FLAGS]: installs and builds what is missing or old, then runs `weir serve FLAGS`. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { build, ensureInstalled, root } from './lib.mjs';

ensureInstalled();
if (Math.max(...['src', 'lab'].map((folder) => newest(join(root, folder)))) > builtAt()) {
  console.log('building');
  build();
}
const { main } = await import(new URL('../dist/src/main.js', import.meta.url).href);
await main(['serve', ...process.argv.slice(2)]);

function builtAt() {
  const main = join(root, 'dist', 'src', 'main.js');
  return existsSync(main) ? statSync(main).mtimeMs : 0;
}

function newest(folder) {
  let latest = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) latest = Math.max(latest, statSync(join(entry.parentPath, entry.name)).mtimeMs);
  }
  return latest;
}
