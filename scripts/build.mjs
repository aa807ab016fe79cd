/** npm run build: dist/, which bin/weir runs. */
import { build, ensureInstalled } from './lib.mjs';

ensureInstalled();
build();
