/**
 * npm run soak:shared [-- SECONDS [KILLS]]: three Weirs on one Redis under the writes of 50 clients, for 60 seconds while
 * Weirs are killed at random, and while Redis is killed 20 times.
 */
import { build, ensureDebianPackages, ensureInstalled, tool } from './lib.mjs';

const [seconds = '60', kills = '20'] = process.argv.slice(2);
ensureInstalled();
ensureDebianPackages();
build();
const env = { ...process.env, WEIR_TEST_SECONDS: seconds, WEIR_TEST_KILLS: kills, WEIR_TEST_CLIENTS: '50' };
process.exitCode = tool('vitest', ['run', 'e2e/shared-writers.test.ts'], { env });
