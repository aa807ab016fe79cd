import { defineConfig } from 'vitest/config';

/** Losses of an edge under traffic are of the edge only where nothing else wants the processors. */
const traffic = ['e2e/lab-traffic.test.ts', 'e2e/lab-bfd.test.ts'];
const exclude = ['dist/**', 'node_modules/**'];

export default defineConfig({
  test: {
    testTimeout: 30_000,
    hookTimeout: 60_000,
    pool: 'forks',
    projects: [
      {
        extends: true,
        test: {
          name: 'all',
          include: ['src/**/*.test.ts', 'lab/**/*.test.ts', 'e2e/**/*.test.ts'],
          exclude: [...exclude, ...traffic],
          // Much of a run is waiting for machines; the default leaves a core of two idle.
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: { name: 'traffic', include: traffic, exclude, maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
  },
});
