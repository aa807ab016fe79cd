/**
 * npm run soak:render [-- COUNT [SEED]]: 20,000 random documents, or as many as told, rendered and held against the real
 * keepalived and FRR. npm test does it with 2,000.
 */
import { ensureDebianPackages, ensureInstalled, tool } from './lib.mjs';

const [count = '20000', seed] = process.argv.slice(2);
ensureInstalled();
ensureDebianPackages();
const env = { ...process.env, WEIR_RANDOM_DOCUMENTS: count, ...(seed === undefined ? {} : { WEIR_RANDOM_SEED: seed }) };
process.exitCode = tool('vitest', ['run', 'src/render/random-documents.test.ts'], { env });
