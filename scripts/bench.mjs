/** npm run bench [-- NAME]: the benchmarks in bench/, one after the other. Figures: bench/README.md. */
import { existsSync } from 'node:fs';
import { build, ensureDebianPackages, ensureInstalled, must, tool } from './lib.mjs';

const all = ['render', 'wstypes', 'publish', 'store'];
const given = process.argv.slice(2);
const unknown = given.filter((name) => !all.includes(name));
if (unknown.length > 0) {
  console.error(`no benchmark ${unknown.join(', ')}; there are: ${all.join(', ')}`);
  process.exit(2);
}
ensureInstalled();
ensureDebianPackages({ wrk: 'wrk' });
build();
for (const name of given.length > 0 ? given : all) {
  if (name === 'wstypes' && !existsSync('/usr/bin/wrk')) {
    console.warn('NOTE: wstypes is left out: wrk is not installed');
    continue;
  }
  if (name === 'store' && !existsSync('/usr/bin/redis-server')) {
    console.warn('NOTE: store is left out: redis-server is not installed');
    continue;
  }
  must(tool('tsx', [`bench/${name}.ts`]), `bench/${name}.ts`);
}
