import { execFile } from 'node:child_process';
import { mkdtemp, cp, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '..');

/** A line that a file of a layer must not have. */
const violations = [
  ['src/domain/planted.ts', "import { renderCluster } from '../render/cluster.ts';"],
  ['src/domain/edge/planted.ts', "import { readFileSync } from 'node:fs';"],
  ['src/render/planted.ts', "import { openState } from '../store/state.ts';"],
  ['src/render/host/planted.ts', "import { spawn } from 'node:child_process';"],
  ['src/store/planted.ts', "import { openSsh } from '../remote/ssh.ts';"],
  ['src/store/sqlite/planted.ts', "import { createApp } from '../../api/app.ts';"],
  ['src/remote/planted.ts', "import { publishToLb } from '../publish/publish-lb.ts';"],
  ['src/publish/planted.ts', "import type { Store } from '../store/port.ts';"],
  ['src/jobs/planted.ts', "import { createApp } from '../api/app.ts';"],
  ['src/adopt/planted.ts', "import { openState } from '../store/state.ts';"],
  ['src/adopt/original/planted.ts', "import { readFileSync } from 'node:fs';"],
  ['src/adopt/keepalived/planted.ts', "import { publishToLb } from '../../publish/publish-lb.ts';"],
  ['src/render/keepalived/planted.ts', "import { importKeepalived } from '../../adopt/keepalived/keepalived.ts';"],
  ['src/contract/planted.ts', "import { openState } from '../store/state.ts';"],
  ['src/client/planted.ts', "import { openState } from '../store/state.ts';"],
  ['src/cli/planted.ts', "import { openState } from '../store/state.ts';"],
  ['src/cli/commands/planted.ts', "import { openLab } from '../../../lab/lab.ts';"],
  ['src/cli/commands/planted.ts', "import { readSettings } from '../../settings.ts';"],
  ['src/api/planted.ts', "import { startServer } from '../server.ts';"],
] as const;

describe('the layers of src/', () => {
  let copy = '';

  beforeAll(async () => {
    copy = await mkdtemp(join(tmpdir(), 'weir-layers-'));
    await cp(join(root, 'src'), join(copy, 'src'), { recursive: true });
    for (const name of ['.oxlintrc.json', 'tsconfig.json', 'package.json'])
      await cp(join(root, name), join(copy, name));
    await symlink(join(root, 'node_modules'), join(copy, 'node_modules'));
  });

  afterAll(() => rm(copy, { recursive: true, force: true }));

  /** What the linter says of the copy; empty when it is content. */
  async function lint(): Promise<string> {
    try {
      await run(join(root, 'node_modules/.bin/oxlint'), ['src'], { cwd: copy, maxBuffer: 64 * 1024 * 1024 });
      return '';
    } catch (thrown) {
      return (thrown as { stdout?: string }).stdout ?? String(thrown);
    }
  }

  it('are kept by the code as it is', async () => {
    expect(await lint()).not.toContain('no-restricted-imports');
  });

  it.each(violations)('refuse in %s: %s', async (path, line) => {
    const file = join(copy, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, `${line}\n`);
    try {
      const words = await lint();
      expect(words).toContain('planted.ts');
      expect(words).toContain('no-restricted-imports');
    } finally {
      await rm(file);
    }
  });
});
