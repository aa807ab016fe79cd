import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { whyNoTestHosts } from '../src/remote/test-hosts.ts';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '..');
const reason = whyNoTestHosts();

/** The blocks of shell commands of a section of the README. */
function blocks(section: string): string[] {
  const text = readFileSync(join(root, 'README.md'), 'utf8').split(`## ${section}\n`)[1]?.split('\n## ')[0] ?? '';
  return [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map((m) => m[1] ?? '').filter((b) => !b.includes('npm start'));
}

describe.skipIf(reason !== undefined)(
  `the README's tour${reason === undefined ? '' : ` (left out: ${reason})`}`,
  () => {
    let folder = '';
    let server: ChildProcess;
    let url = '';

    beforeAll(async () => {
      expect(existsSync(join(root, 'dist/src/main.js')), 'npm run build comes first').toBe(true);
      folder = await mkdtemp(join(tmpdir(), 'weir-readme-'));
      for (const name of ['bin', 'examples']) await symlink(join(root, name), join(folder, name));
      const env = { ...process.env, WEIR_LISTEN: '127.0.0.1:0' };
      server = spawn(process.execPath, [join(root, 'bin/weir'), 'serve', '--demo'], {
        cwd: folder,
        env,
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      if (!server.stdout) throw new Error('no output');
      for await (const line of createInterface({ input: server.stdout })) {
        url = /listens on (http:\S+?),/.exec(line)?.[1] ?? url;
        if (line.startsWith('demo: a test host')) break;
      }
    });

    afterAll(async () => {
      const ended = once(server, 'exit');
      server.kill('SIGTERM');
      await ended;
      await rm(folder, { recursive: true, force: true });
    });

    it('works by copy and paste, to the end, publishing included', async () => {
      const script = blocks('Five minutes').join('\n').replaceAll('http://127.0.0.1:8084', url);
      const env = { ...process.env, WEIR_URL: url, WEIR_TOKEN: '' };
      const { stdout, stderr } = await run('bash', ['-u', '-c', script], {
        cwd: folder,
        env,
        maxBuffer: 16 * 1024 * 1024,
      });
      expect(stderr).not.toMatch(/error|not found/i);
      expect(stdout.match(/ published +confirm/g)).toHaveLength(3);
      expect(stdout.match(/ unchanged +confirm/g)).toHaveLength(1);
      expect(stdout.match(/ restored +confirm/g)).toHaveLength(1);
      expect(stdout).toContain('cluster hy-outer-global-proxy-test: unchanged at revision 5');
      expect(stdout).toContain('apps-ngx2-bgp0.hy01');
      expect(stdout).toContain('"dryRun":true');
      expect(stdout).toContain('"status":409');
      expect(stdout).toContain('"state":"running"');
      const rendered = await readdir(join(folder, 'out/sa-extlbtest0-bgp0.hy01'));
      expect(rendered.sort()).toEqual(['host', 'keepalived', 'manifest.json', 'routing']);
    });
  },
);
