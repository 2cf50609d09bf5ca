/**
 * Who checks the checkers: correct random runs pass every one of them, and every kind of violation
 * that is planted in such a run is found, with a witness that names the right two things.
 */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createPrng } from "../../../services/base/prng.ts";
import type { RunRecord, Verdict } from "./contracts.ts";
import { checkConvergence } from "./convergence.ts";
import { checkDurability } from "./durability.ts";
import { checkActivations, checkEpochs } from "./fencing.ts";
import { checkIntegrity } from "./integrity.ts";
import { judgeRun } from "./judge.ts";
import { checkKeptPoints } from "./keptPoints.ts";
import { type Draft, modelRun } from "./modelRun.ts";
import type { Suspect } from "./planted.ts";
import { plantedDamage, plantedInFinals, plantedInReadings } from "./plantedBlocks.ts";
import {
  plantedActivations,
  plantedAtTheSource,
  plantedDuties,
  plantedEpochs,
  plantedInCatalogues,
  plantedInReads,
  plantedInReplicas,
  plantedResent,
} from "./plantedFacts.ts";
import { checkPointPrefixes } from "./pointPrefix.ts";
import { checkReads } from "./reads.ts";
import { checkReplicas } from "./replicas.ts";
import { checkResumption } from "./resumption.ts";
import { checkSourceUnharmed } from "./sourceUnharmed.ts";

const RUNS = 15;
const SEED = 20261120;
/** As many as judge a run. */
const CHECKERS = 12;
/** Wide: the model draws latencies as it likes; the planted ones are wider. */
const writes = { latencyMsMax: 100_000, medianFactorMax: 20, settleMs: 100 };

/** The model fails writes whenever it likes, also during a cut: P8 is shown a run without that. */
function withoutFailures(record: RunRecord): RunRecord {
  const branches = record.branches.map((branch) => ({
    ...branch,
    writes: branch.writes.filter(({ outcome }) => outcome === "acknowledged"),
  }));
  return { ...record, branches };
}

const suspects: Readonly<Record<string, Suspect>> = {
  "P1 at the end": { check: checkDurability, planted: plantedInFinals },
  "P1 in reads": { check: checkReads, planted: plantedInReads },
  "P2 in recovery points": { check: checkPointPrefixes, planted: plantedInReadings },
  "P3 in replicas": { check: checkReplicas, planted: plantedInReplicas },
  "P3 in lists of points": { check: checkKeptPoints, planted: plantedInCatalogues },
  "P4 in epochs": { check: checkEpochs, planted: plantedEpochs },
  "P4 in activations": { check: checkActivations, planted: plantedActivations },
  "P5 in replications": { check: checkResumption, planted: plantedResent },
  "P7 in blocks": { check: checkIntegrity, planted: plantedDamage },
  "P8 at the source": {
    check: (record) => checkSourceUnharmed(record, writes),
    planted: plantedAtTheSource,
  },
  "P9 at the end": { check: checkConvergence, planted: plantedDuties },
};

function draftFor(name: string, seed: number): Draft<RunRecord> {
  const run = modelRun(seed);
  return name.startsWith("P8") ? (withoutFailures(run) as Draft<RunRecord>) : run;
}

for (const [suspect, { check, planted }] of Object.entries(suspects))
  describe(`the checker of ${suspect}`, () => {
    for (const { name, kinds, plant } of planted)
      it(`finds ${name}, and names it`, async () => {
        await fc.assert(
          fc.asyncProperty(fc.nat(), async (seed) => {
            const record = draftFor(suspect, seed);
            const isRight = await plant(record, createPrng(seed ^ 0x91));
            fc.pre(isRight !== undefined);
            const verdict = await check(record);
            expect(verdict.text).toContain("violations in");
            expect(verdict.verdict).toBe("violated");
            expect(kinds).toContain(verdict.witness?.kind);
            const { witness } = verdict;
            expect(witness !== undefined && isRight(witness), verdict.text).toBe(true);
          }),
          { numRuns: RUNS, seed: SEED },
        );
      });

    it("lets correct runs pass, and says what it looked at", async () => {
      await fc.assert(
        fc.asyncProperty(fc.nat(), async (seed) => {
          const verdict = await check(draftFor(suspect, seed));
          expect(verdict.text).toContain("examined");
          expect(verdict.verdict).toBe("held");
          expect(verdict.examined).toBeGreaterThan(0);
        }),
        { numRuns: 4 * RUNS, seed: SEED },
      );
    });
  });

describe("the judge", () => {
  it("calls every promise vacuous when there was nothing to look at", async () => {
    const nothing: RunRecord = {
      seed: 1,
      branches: [],
      reads: [],
      points: [],
      readings: [],
      catalogues: [],
      deletedPointIds: [],
      finals: [],
      replications: [],
      acceptances: [],
      activations: [],
      faults: [],
      errors: [],
      convergences: [],
    };
    const verdicts = await judgeRun(nothing, { writes });
    expect(verdicts.map(({ verdict }) => verdict)).toEqual(Array(CHECKERS).fill("vacuous"));
  });

  it("gives the same verdicts for the same seed, one for each checker", async () => {
    const judge = (): Promise<readonly Verdict[]> => judgeRun(modelRun(7), { writes });
    const verdicts = await judge();
    expect(await judge()).toEqual(verdicts);
    expect(new Set(verdicts.map(({ name }) => name)).size).toBe(CHECKERS);
  });

  it("shows nothing of P5 and P7 when nothing was interrupted and no medium lied", async () => {
    const run = modelRun(7);
    for (const replication of run.replications) replication.interruptions = [];
    run.faults = run.faults.filter(({ kind }) => kind !== "F7");
    expect(checkResumption({ ...run, replications: [] }).verdict).toBe("vacuous");
    expect((await checkIntegrity(run)).text).toContain("no medium lied");
  });
});
