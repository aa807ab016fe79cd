/** What the benchmarks share: timing in turn, medians, printing. Figures go to bench/README.md by hand. */
import { availableParallelism, cpus } from 'node:os';

export interface Timing {
  name: string;
  /** ms, sorted. */
  samples: number[];
}

/** Runs every case in turn, round by round, so that a drifting machine hits all alike. */
export async function inTurn(cases: Record<string, () => unknown>, rounds: number): Promise<Map<string, Timing>> {
  const timings = new Map(Object.keys(cases).map((name) => [name, { name, samples: [] as number[] }]));
  for (const work of Object.values(cases)) await work();
  for (let round = 0; round < rounds; round++) {
    for (const [name, work] of Object.entries(cases)) {
      const start = performance.now();
      await work();
      timings.get(name)?.samples.push(performance.now() - start);
    }
  }
  for (const timing of timings.values()) timing.samples.sort((a, b) => a - b);
  return timings;
}

export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** The value at a share of figures, e.g. 0.99. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function report(title: string, rows: readonly (readonly [string, string])[]): void {
  const width = Math.max(...rows.map(([name]) => name.length));
  console.log(`\n## ${title}`);
  for (const [name, value] of rows) console.log(`  ${name.padEnd(width)}  ${value}`);
}

export function ms(value: number): string {
  return `${value < 10 ? value.toFixed(2) : value.toFixed(0)} ms`;
}

/** `median (min to max)` */
export function spread(timing: Timing | undefined): string {
  const samples = timing?.samples ?? [];
  return `${ms(median(samples))} (${ms(samples[0] ?? Number.NaN)} to ${ms(samples.at(-1) ?? Number.NaN)})`;
}

export function machine(): string {
  return `${availableParallelism()} cores, ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}`;
}
