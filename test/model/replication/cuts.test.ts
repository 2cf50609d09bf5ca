// Replication with everything broken or cancelled at each message that crosses, one after the other.
import { describe, expect, it } from "vitest";
import { CHUNK_SIZE_BYTES } from "../../../services/base/units.ts";
import { createCodec } from "../../../services/platform/adapters/codec.ts";
import { WINDOW_BYTES } from "../../../services/stargate/replication/limits.ts";
import { codeOf } from "../../support/mapModel.ts";
import {
  expectNoHoles,
  expectReplica,
  expectSums,
  FILLED_CHUNKS,
  FILLED_SIZE_BYTES,
  filledWorld,
} from "../../support/replicaChecks.ts";
import { createReplicationWorld } from "../../support/replicationWorld.ts";

const codec = await createCodec();
const { world: first, root } = await filledWorld(codec);
const order = await first.order(root, undefined);
await first.ship(order);
const messages = first.crossing.count;

/** A world with an empty target, in which something happens at message `after`. */
function worldUntil(after: number, at: (world: ReturnType<typeof createReplicationWorld>) => void) {
  const world = createReplicationWorld(codec, FILLED_SIZE_BYTES, first.source);
  world.crossing.after = after;
  world.crossing.at = () => {
    at(world);
  };
  return world;
}

describe("ship at every message", () => {
  it("crosses messages enough for the loops below to mean something", () => {
    expect(messages).toBeGreaterThan(20);
  });

  it("goes on after a cut, and sends again at most a window (P5, P9)", async () => {
    for (let after = 1; after <= messages; after++) {
      const world = worldUntil(after, ({ tear }) => {
        tear();
      });
      const ledger = await world.ship(order);
      expectNoHoles(world.target);
      await expectReplica(world, codec, root);
      expectSums(ledger);
      expect(ledger.uniqueBytes).toBe(FILLED_CHUNKS * CHUNK_SIZE_BYTES);
      expect(ledger.resentBytes).toBeLessThanOrEqual(WINDOW_BYTES);
    }
  });

  it("leaves no hole when it is cancelled, and a new ship sends only what is missing (P5)", async () => {
    for (let after = 1; after < messages; after++) {
      const abort = new AbortController();
      const world = worldUntil(after, () => {
        abort.abort();
      });
      expect(await codeOf(world.ship(order, abort.signal))).toBe("CANCELLED");
      expectNoHoles(world.target);
      let arrived = 0;
      for (const chunk of world.target.chunks.values())
        if (chunk.rawLength === CHUNK_SIZE_BYTES) arrived += 1;
      const ledger = await world.ship(order);
      await expectReplica(world, codec, root);
      expect(ledger.chunksSent).toBe(FILLED_CHUNKS - arrived);
      expect(ledger.resentBytes).toBe(0);
    }
  });
});
