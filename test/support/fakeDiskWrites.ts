/**
 * Writes that say that they succeeded and did not: a stale sector (the disk acknowledged the write and
 * forgot it) and a misdirected write (it landed somewhere else and damaged what was there).
 *
 * A lost write is seen through the page cache until that is dropped or power fails, or, `shown` as
 * "disk", never. A misdirected one shows at once in both places; the file has the size it would have.
 */

import type { Prng } from "../../services/base/prng.ts";
import { selects } from "./fakeDiskGate.ts";
import { FaultSet, type Undo } from "./fakeFault.ts";
import { type FakeFile, SECTOR_BYTES } from "./fakeFile.ts";

interface WriteSelection {
  /** Only on paths that contain this. */
  readonly pathPart?: string;
  /** How many writes go well first. */
  readonly afterCount?: number;
  /** How many do not then; one by default. */
  readonly times?: number;
}

export type WriteFaultPlan =
  | (WriteSelection & {
      readonly kind: "lost";
      /** What readers see: the cache's bytes, by default, or the disk's. */
      readonly shown?: "cache" | "disk";
    })
  | (WriteSelection & { readonly kind: "misdirected"; readonly prng: Prng });

export interface FaultyWrite {
  readonly file: FakeFile;
  readonly path: string;
  readonly position: number;
  readonly bytes: Uint8Array;
}

export interface WriteFaults {
  readonly plan: (plan: WriteFaultPlan) => Undo;
  /** True when a fault has dealt with the write, so that it must not take place. */
  takes(write: FaultyWrite): boolean;
  undoAll(): void;
}

interface PlanState {
  readonly plan: WriteFaultPlan;
  passed: number;
  taken: number;
}

/** No faults. */
export function createWriteFaults(): WriteFaults {
  const plans = new FaultSet<PlanState>();
  return {
    plan: (plan) => plans.add({ plan, passed: 0, taken: 0 }),
    takes: (write) => !plans.isEmpty && plans.all().some((state) => meets(state, write)),
    undoAll: () => {
      plans.undoAll();
    },
  };
}

function meets(state: PlanState, write: FaultyWrite): boolean {
  const { plan } = state;
  if (!selects(plan, "write", write.path)) return false;
  if (state.passed < (plan.afterCount ?? 0)) {
    state.passed += 1;
    return false;
  }
  if (state.taken >= (plan.times ?? 1)) return false;
  if (plan.kind === "misdirected" && !misdirect(write, plan.prng)) return false;
  if (plan.kind === "lost") lose(write, plan.shown ?? "cache");
  state.taken += 1;
  return true;
}

function lose({ file, position, bytes }: FaultyWrite, shown: "cache" | "disk"): void {
  if (shown === "cache") file.writeToCacheOnly(position, bytes);
  else file.growTo(position + bytes.length);
}

/** Moves the write by whole sectors to another place of the file; false when there is none. */
function misdirect({ file, position, bytes }: FaultyWrite, prng: Prng): boolean {
  const end = position + bytes.length;
  const within = position % SECTOR_BYTES;
  const places: number[] = [];
  for (let at = within; at + bytes.length <= file.sizeBytes; at += SECTOR_BYTES)
    if (at + bytes.length <= position || at >= end) places.push(at);
  const target = places[prng.below(places.length)];
  if (target === undefined) return false;
  file.write(target, bytes);
  file.growTo(end);
  return true;
}
