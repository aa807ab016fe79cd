/**
 * The seed's cluster as it stands in the seed, with tabs and unquoted keys. Only tests import it.
 */
// oxlint-disable-next-line no-restricted-imports -- a file for tests, not part of the model
import { readFileSync } from 'node:fs';

export const seedText = readFileSync(new URL('./seed-cluster.txt', import.meta.url), 'utf8');
