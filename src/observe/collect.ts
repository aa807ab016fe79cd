/** Findings as they are made: all counted, the first of them kept. */
import { findingKinds } from './findings.ts';
import type { Finding, FindingCode } from './findings.ts';
import type { Findings } from './model.ts';

export interface Collected {
  add(code: FindingCode, object: string, message: string): void;
  deviations(): Findings;
  notes(): Findings;
}

export function collectFindings(of: { cluster: string; lb: string; limit: number }): Collected {
  const kept: Record<'deviation' | 'note', Finding[]> = { deviation: [], note: [] };
  const total = { deviation: 0, note: 0 };
  return {
    add(code, object, message) {
      const { severity, layer, hint } = findingKinds[code];
      total[severity] += 1;
      if (kept[severity].length >= of.limit) return;
      const words = hint.replaceAll('{cluster}', of.cluster).replaceAll('{lb}', of.lb).replaceAll('{object}', object);
      kept[severity].push({ code, layer, object, message, hint: words });
    },
    deviations: () => ({ total: total.deviation, items: kept.deviation }),
    notes: () => ({ total: total.note, items: kept.note }),
  };
}
