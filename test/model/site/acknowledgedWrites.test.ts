/**
 * P1, P4: whatever happens to the CVMs of a site, an acknowledged write is there afterwards. Random
 * faults in virtual time; a failing run prints its seed.
 */

import { describe, expect, it } from "vitest";
import { createPrng, type Prng } from "../../../services/base/prng.ts";
import { KIB, MIB } from "../../../services/base/units.ts";
import { type SimulatedSite, simulatedSite } from "../../support/simulatedSite.ts";
import { startVersionedWriter } from "../../support/versionedWriter.ts";

const SEEDS = Number(process.env["ANTIPODE_SEEDS"] ?? 12);
const FIRST_SEED = Number(process.env["ANTIPODE_SEED"] ?? 1);
const CVMS = 3;

type Fault = "kill" | "isolate" | "powerLoss" | "cutPair" | "cutEtcd" | "killAll" | "powerLossAll";
const FAULTS: readonly Fault[] = [
  "kill",
  "kill",
  "powerLoss",
  "cutPair",
  "isolate",
  "cutEtcd",
  "killAll",
  "powerLossAll",
];

async function startAll(site: SimulatedSite): Promise<void> {
  for (const cvm of site.cvms) site.start(cvm);
  await site.clock.tickUntil(() => site.cvms.every((cvm) => site.isRunning(cvm)), 30_000);
}

/** Cuts a CVM from all others and from etcd, or heals that. */
function setIsolated(site: SimulatedSite, victim: number, isCut: boolean): void {
  for (const cvm of site.cvms) {
    if (cvm === victim) continue;
    if (isCut) site.network.cut(site.hostOf(victim), site.hostOf(cvm));
    else site.network.heal(site.hostOf(victim), site.hostOf(cvm));
  }
  site.cutEtcd(victim, isCut);
}

/** One fault, some time, its end. */
async function inject(site: SimulatedSite, prng: Prng, fault: Fault): Promise<void> {
  const victim = 1 + prng.below(CVMS);
  const other = 1 + ((victim + prng.below(CVMS - 1)) % CVMS);
  const lastsMs = 50 + prng.below(6000);
  switch (fault) {
    case "kill":
      site.kill(victim);
      break;
    case "powerLoss":
      site.powerLoss(victim);
      break;
    case "cutPair":
      site.network.cut(site.hostOf(victim), site.hostOf(other));
      break;
    case "isolate":
      // Its clients still reach it: it must not serve them what the others have gone on from (P4).
      setIsolated(site, victim, true);
      break;
    case "cutEtcd":
      site.cutEtcd(victim, true);
      break;
    case "killAll":
      for (const cvm of site.cvms) site.kill(cvm);
      break;
    case "powerLossAll":
      for (const cvm of site.cvms) site.powerLoss(cvm);
      break;
  }
  await site.clock.tick(lastsMs);
  if (fault === "cutPair") site.network.heal(site.hostOf(victim), site.hostOf(other));
  if (fault === "isolate") setIsolated(site, victim, false);
  if (fault === "cutEtcd") site.cutEtcd(victim, false);
  for (const cvm of site.cvms) site.start(cvm);
  await site.clock.tick(prng.below(3000));
}

async function runSeed(seed: number, replicationFactor: number): Promise<readonly string[]> {
  // Every other seed with journals that are soon behind and keep nothing in memory.
  const oplog = seed % 2 === 0 ? { pendingBytesMax: 12 * KIB, recentBytesMax: 0 } : {};
  const site = await simulatedSite({ seed, cvms: CVMS, oplog });
  try {
    await startAll(site);
    await site.createVdisk("disk", 4 * MIB, replicationFactor);
    const writer = startVersionedWriter({
      site,
      exportName: "disk",
      slots: 256,
      writers: 4,
      readers: 1,
      prng: createPrng(seed ^ 0x5eed),
    });
    const faults = createPrng(seed ^ 0xfa017);
    await site.clock.tick(500);
    for (let i = 0; i < 6; i++) {
      await inject(site, faults, FAULTS[faults.below(FAULTS.length)] ?? "kill");
    }
    await site.clock.tickUntil(() => site.cvms.every((cvm) => site.isRunning(cvm)), 60_000);
    await site.clock.tick(10_000);
    const before = writer.acknowledged;
    await site.clock.tickUntil(() => writer.acknowledged > before, 60_000);
    await site.wait(writer.stop());
    const client = await site.wait(site.openDisk("disk", 1 + (seed % CVMS)));
    const problems = await site.wait(writer.audit(client));
    return problems.map((problem) => `seed ${seed} rf ${replicationFactor}: ${problem}`);
  } finally {
    site.end();
  }
}

describe("a site under random faults", () => {
  for (const replicationFactor of [1, 2, 3])
    it(`loses no acknowledged write, and goes on by itself, with RF ${replicationFactor} (P1, P4, P9)`, {
      timeout: 300_000,
    }, async () => {
      const problems: string[] = [];
      for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
        try {
          problems.push(...(await runSeed(seed, replicationFactor)));
        } catch (error) {
          problems.push(
            `seed ${seed} rf ${replicationFactor}: ${String(error instanceof Error ? error.stack : error)}`,
          );
        }
      }
      expect(problems).toEqual([]);
    });
});
