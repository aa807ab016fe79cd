import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { labsFolder, makeFolder, sweepLabs } from './folder.ts';

let parent: string;
const namespace = /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0];

// In /tmp and not in os.tmpdir(), which may be too long a path for the sockets of a lab.
beforeAll(async () => {
  parent = await mkdtemp('/tmp/weir-lab-test-');
  await chmod(parent, 0o755);
});
afterAll(() => rm(parent, { recursive: true, force: true }));

test('a lab’s folder can be gone through by daemons that are not root', async () => {
  const folder = await makeFolder(parent);
  expect((await stat(folder)).mode & 0o777).toBe(0o755);
});

test('sweeping removes the folders of dead owners only', async () => {
  const mine = await makeFolder(parent);
  const child = spawn('sleep', ['1000']);
  const start = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(' ')[21];
  const alive = join(parent, `${namespace}-${child.pid}-${start}-abcdef`);
  const sameId = join(parent, `${namespace}-${child.pid}-1-abcdef`);
  const foreign = [join(parent, `1-${child.pid}-1-abcdef`), join(parent, 'other')];
  for (const folder of [alive, sameId, ...foreign]) await mkdir(join(folder, 'full'), { recursive: true });

  expect(await sweepLabs(parent)).toEqual([sameId]);
  for (const folder of [mine, alive, ...foreign]) expect(existsSync(folder), folder).toBe(true);

  child.kill('SIGKILL');
  await once(child, 'close');
  expect(await sweepLabs(parent)).toEqual([alive]);
});

test('sweeping where no lab has been is fine', async () => {
  expect(await sweepLabs(join(parent, 'nowhere'))).toEqual([]);
});

test('a folder below one that only root can go through is refused', async () => {
  const closed = join(parent, 'closed');
  await mkdir(closed, { mode: 0o700 });
  await expect(makeFolder(join(closed, 'labs'))).rejects.toMatchObject({
    code: 'unavailable',
    hint: expect.stringContaining(`chmod o+x ${closed}`),
  });
});

test('a path that a shell would read otherwise, or too long for sockets, is refused and not made', async () => {
  const odds = ['a b', 'x'.repeat(60), '$x'];
  for (const odd of odds) {
    await expect(makeFolder(join(parent, odd))).rejects.toMatchObject({ code: 'unavailable' });
  }
  expect((await readdir(parent)).filter((name) => odds.includes(name))).toEqual([]);
  expect(labsFolder.length).toBeLessThan(60);
});
