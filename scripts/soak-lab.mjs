/**
 * npm run soak:lab [-- TIMES [BURNERS]]: the tests of the edge under traffic, 5 times in a row while 2 processes burn
 * CPU beside them. Stops at the first run that fails.
 */
import { spawn } from 'node:child_process';
import { build, ensureDebianPackages, ensureInstalled, tool } from './lib.mjs';

const [times = 5, burners = 2] = process.argv.slice(2).map(Number);
ensureInstalled();
ensureDebianPackages();
build();
const burning = Array.from({ length: burners }, () =>
  spawn(process.execPath, ['--eval', 'for (;;) if (process.ppid === 1) process.exit()'], { stdio: 'ignore' }),
);
process.exitCode = soak();
for (const child of burning) child.kill('SIGKILL');

function soak() {
  for (let run = 1; run <= times; run += 1) {
    console.log(`run ${run} of ${times}, ${burners} CPU burners beside it`);
    const code = tool('vitest', ['run', 'e2e/lab-traffic.test.ts', 'e2e/lab-bfd.test.ts', '--no-file-parallelism']);
    if (code !== 0) return code;
  }
  return 0;
}
