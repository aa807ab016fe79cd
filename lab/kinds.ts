/** The kinds of LBs that a lab can have. */
import { guest } from './guest.ts';
import type { Kind } from './machine.ts';
import { namespace } from './namespace.ts';
import type { LbKind } from './needs.ts';

export const kinds: Readonly<Record<LbKind, Kind>> = { guest, namespace };
