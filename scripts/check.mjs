/** npm run check: types, lint with the layers, format, dead code. Nothing is run or changed. */
import { ensureInstalled, must, tool } from './lib.mjs';

ensureInstalled();
must(tool('tsc', ['-p', 'tsconfig.json']), 'the type check');
must(tool('oxlint', ['--type-aware', '--deny-warnings']), 'the linter');
must(tool('oxfmt', ['--check', '.']), 'the format check (npm run format mends it)');
must(tool('knip', ['--no-progress']), 'the check for dead code');
console.log('checks passed');
