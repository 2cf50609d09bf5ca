/**
 * P2 under random schedules: writers on several vDisks, owners that let go too early, leaders that
 * die. Every recovery point that comes out is a prefix of the acknowledged order across all vDisks.
 */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MIB } from "../../../services/base/units.ts";
import { CerebroService } from "../../../services/platform/wire/cerebro.ts";
import { prefixLength } from "../../unit/cerebro/simStargate.ts";
import { createWorld, makeProtected } from "../../unit/cerebro/world.ts";

const NAMES = ["v1", "v2", "v3"];
const EXTENTS = 4;

const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("write" as const),
      vdisk: fc.nat(NAMES.length - 1),
      extent: fc.nat(EXTENTS - 1),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.nat(40) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("early" as const), count: fc.nat(3) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("slow" as const),
      vdisk: fc.nat(NAMES.length - 1),
      ms: fc.nat(30),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("kill" as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("cut" as const) }) },
);

describe("a recovery point", () => {
  it("is a prefix of the acknowledged order, whatever happens during its cut (P2)", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), async (steps) => {
        const world = await createWorld();
        const { stargate } = world.a;
        await makeProtected(world.a, NAMES, EXTENTS * MIB);
        const cuts: Promise<unknown>[] = [];
        let version = 0;
        let kills = 0;
        // Writes that depend on each other: each is issued when the one before was acknowledged.
        let writing = true;
        const writer = async (): Promise<void> => {
          while (writing) {
            version += 1;
            await stargate.write(NAMES[version % NAMES.length] ?? "", version % EXTENTS, version);
            await world.clock.sleep(1);
          }
        };
        const wrote = writer();
        const user = world.network.host("user").rpc.connect({ host: "cerebro-A-3", port: 2020 });
        for (const one of steps) {
          if (one.kind === "write") {
            version += 1;
            void stargate.write(NAMES[one.vdisk] ?? "", one.extent, version);
          } else if (one.kind === "wait") await world.clock.tick(one.ms);
          else if (one.kind === "early") stargate.impatience += one.count;
          else if (one.kind === "slow") stargate.forwardMs.set(NAMES[one.vdisk] ?? "", one.ms);
          else if (one.kind === "kill" && kills < 2) {
            // Not the CVM that the user asks: its clients would see it vanish.
            const leader = [...world.a.nodes.values()].find(
              (node) => node.isAlive() && node.cvm !== 3 && node.cerebro.term() !== undefined,
            );
            if (leader !== undefined) kills += 1;
            leader?.kill();
          } else if (one.kind === "cut") {
            const request = { pd: "pd", name: "", requestId: "" };
            cuts.push(
              user
                .unary(CerebroService.snapshot, request, { deadlineMs: 300_000 })
                .catch((error: unknown) => error),
            );
          }
        }
        await world.run(Promise.all(cuts));
        writing = false;
        await world.run(wrote);
        const { recoveryPoints } = await world.a.call(CerebroService.listRecoveryPoints, {
          pd: "pd",
        });
        for (const point of recoveryPoints)
          expect(prefixLength(stargate, point), point.name).toBeDefined();
        const names = recoveryPoints.map((point) => point.name);
        expect(new Set(names).size).toBe(names.length);
        expect(world.bugs).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });
});
