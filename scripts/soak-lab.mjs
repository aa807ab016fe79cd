/**
 * npm run soak:lab [-- TIMES [BURNERS]]: the tests of the edge under traffic, TIMES in each way to announce, with and
 * without SYN proxy, and with BFD, while BURNERS processes burn CPU beside them; 1 and 2 if nothing is said. Stops at the
 * first run that fails.
 */
import { spawn } from 'node:child_process';
import { build, ensureDebianPackages, ensureInstalled, tool } from './lib.mjs';

const [times = 1, burners = 2] = process.argv.slice(2).map(Number);
const ways = ['network', 'redistribute'].flatMap((announce) => ['0', '1'].map((synproxy) => ({ announce, synproxy })));
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
    for (const { announce, synproxy } of ways) {
      console.log(`run ${run} of ${times}, ${announce}, SYN proxy ${synproxy}, ${burners} CPU burners beside it`);
      const env = { ...process.env, WEIR_LAB_ANNOUNCE: announce, WEIR_LAB_SYNPROXY: synproxy };
      const code = lab(env, 'e2e/lab-traffic.test.ts');
      if (code !== 0) return code;
    }
    const code = lab(
      { ...process.env, WEIR_SOAK: '1' },
      'e2e/lab-bfd.test.ts',
      'e2e/lab-move.test.ts',
      'e2e/ospf-keys.test.ts',
    );
    if (code !== 0) return code;
  }
  return 0;
}

function lab(env, ...files) {
  return tool('vitest', ['run', ...files, '--no-file-parallelism'], { env });
}
