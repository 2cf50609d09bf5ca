/** All checkers over one record, in the order of the promises. */

import type { RunRecord, Verdict } from "./contracts.ts";
import { checkConvergence } from "./convergence.ts";
import { checkDurability } from "./durability.ts";
import { checkActivations, checkEpochs } from "./fencing.ts";
import { checkIntegrity } from "./integrity.ts";
import { checkKeptPoints } from "./keptPoints.ts";
import { checkLives } from "./lives.ts";
import { checkPointPrefixes } from "./pointPrefix.ts";
import { checkReads } from "./reads.ts";
import { checkReplicas } from "./replicas.ts";
import { checkResumption } from "./resumption.ts";
import { checkSourceUnharmed, type WriteBound } from "./sourceUnharmed.ts";

/** What checkers must be told that a record does not say. */
export interface JudgeBounds {
  readonly writes: WriteBound;
}

/** One verdict per checker. */
export async function judgeRun(
  record: RunRecord,
  bounds: JudgeBounds,
): Promise<readonly Verdict[]> {
  return [
    await checkDurability(record),
    await checkReads(record),
    await checkPointPrefixes(record),
    await checkReplicas(record),
    checkKeptPoints(record),
    checkEpochs(record),
    checkLives(record),
    checkActivations(record),
    checkResumption(record),
    await checkIntegrity(record),
    checkSourceUnharmed(record, bounds.writes),
    checkConvergence(record),
  ];
}
