/**
 * The careless user of simulated sites (P10): real sites refuse all that it asks for, and it is not
 * content with just any answer. Planted: a request that is not wrong, and one that is wrong otherwise.
 */

import { describe, expect, it } from "vitest";
import type { Verdict } from "../check/contracts.ts";
import { Recorder } from "../record.ts";
import { createWorld } from "../world/world.ts";
import { allWrongAsks, CarelessUser, type WrongAsks } from "./careless.ts";
import { wrongAnywhere, wrongAtHome } from "./wrongAsks.ts";

const ASKING_MS = 30_000;

/** The verdict of such a user on a calm world, with these requests. */
async function verdictOf(asks: WrongAsks): Promise<Verdict> {
  const skew = () => ({ offsetMs: 0, rate: 1, wallOffsetMs: () => 0 });
  const site = { cvms: 2, diskBytes: 64 * 1024 * 1024, oplog: {}, skew };
  const world = await createWorld({
    ...{ seed: 1, linkDelayMs: 1, replicationFactor: 2 },
    sites: [
      { ...site, name: "A" },
      { ...site, name: "B" },
    ],
  });
  const recorder = new Recorder(() => world.clock.now());
  const user = new CarelessUser({ seed: 1 }, { world, recorder }, asks);
  await world.begin();
  const at = recorder.instant();
  recorder.activations.push({ pd: "pd", generation: 1, site: "A", isPlanned: true, at });
  user.start();
  await world.clock.tick(ASKING_MS);
  await world.wait(user.stop());
  world.end();
  return user.verdict();
}

describe("a careless user", () => {
  it("is told by real sites what is wrong with each of its requests", async () => {
    const verdict = await verdictOf(allWrongAsks);
    expect(verdict.witness).toBeUndefined();
    expect(verdict).toMatchObject({ promise: "P10", verdict: "held" });
    expect(verdict.examined).toBeGreaterThan(wrongAnywhere.length + wrongAtHome.length);
  });

  it("finds a site that takes bad input", async () => {
    const [taken] = wrongAnywhere.filter(({ what }) => what === "the state of no job");
    if (taken === undefined) throw new Error("the request that is to be planted is not there");
    const planted = { ...taken, ask: () => Promise.resolve() };
    const verdict = await verdictOf({ anywhere: [planted], atHome: [planted] });
    expect(verdict).toMatchObject({ verdict: "violated", witness: { kind: "bad-input-taken" } });
  });

  it("finds an answer that blames something else", async () => {
    const [asked] = wrongAnywhere;
    if (asked === undefined) throw new Error("there are no wrong requests");
    const planted = { ...asked, codes: ["READ_ONLY" as const] };
    const verdict = await verdictOf({ anywhere: [planted], atHome: [planted] });
    expect(verdict).toMatchObject({ verdict: "violated", witness: { kind: "wrong-reason" } });
  });
});
