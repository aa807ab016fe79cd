/**
 * npm test [-- VITEST ARGUMENTS]: everything up to a passed test run. Installs npm packages and, as
 * root on Debian, the Debian packages that tests need; checks, builds, tests; says loudly what was left out.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build, ensureDebianPackages, ensureInstalled, must, run, tool } from './lib.mjs';

ensureInstalled();
ensureDebianPackages();
const given = process.argv.slice(2);
if (given.length === 0) {
  must(run(process.execPath, [join(import.meta.dirname, 'check.mjs')]), 'npm run check');
}
build();
const folder = mkdtempSync(join(tmpdir(), 'weir-test-'));
const report = join(folder, 'report.json');
const code = tool('vitest', ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...given]);
summarise();
rmSync(folder, { recursive: true, force: true });
process.exit(code);

function summarise() {
  let result;
  try {
    result = JSON.parse(readFileSync(report, 'utf8'));
  } catch {
    console.error('the test run ended without a report');
    return;
  }
  const skipped = result.testResults.flatMap((file) =>
    file.assertionResults.filter((t) => t.status === 'pending' || t.status === 'skipped'),
  );
  if (skipped.length > 0) {
    console.log(`\nLEFT OUT (${skipped.length} tests):`);
    for (const title of new Set(skipped.map((t) => t.ancestorTitles[0] ?? t.title))) console.log(`  ${title}`);
  }
  console.log(`\n${result.numPassedTests} passed, ${result.numFailedTests} failed, ${skipped.length} skipped`);
}
