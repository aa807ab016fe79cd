import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { lbKind, whyNoLab } from './needs.ts';

const isRoot = process.platform === 'linux' && process.geteuid?.() === 0;

test.skipIf(!isRoot)('LBs are namespaces where the kernel has IPVS, else guests, and asking loads no module', () => {
  const modules = readdirSync('/sys/module');
  const kind = lbKind();
  expect(readdirSync('/sys/module')).toEqual(modules);
  const has = existsSync('/proc/net/ip_vs') || spawnSync('/sbin/modprobe', ['-nq', 'ip_vs']).status === 0;
  expect(kind).toBe(has ? 'namespace' : 'guest');
});

test('User-Mode Linux is needed for guests alone', () => {
  expect(whyNoLab('namespace') ?? '').not.toMatch(/linux\.uml|User-Mode/);
});
