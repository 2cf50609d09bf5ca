/** An owned vDisk: no hangs, no crashes, no dirty bytes, whatever happens below it (P1, P4, P9). */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { InvariantViolation } from "../../../services/base/assert.ts";
import { AntipodeError, messageOf } from "../../../services/base/errors.ts";
import { KIB } from "../../../services/base/units.ts";
import type { OplogReplica } from "../../../services/stargate/oplog/contracts.ts";
import { IO_RETRY_MS, UNDRAINED_BYTES_MAX } from "../../../services/stargate/vdisk/limits.ts";
import { openVdisk } from "./vdiskWorld.ts";
import { DISK_A, e, l, recordAt, watchOutcome } from "./world.ts";

const gone = new AntipodeError("STALE_EPOCH", "another owner");

const unhandled: unknown[] = [];
const note = (reason: unknown): void => {
  unhandled.push(reason);
};
beforeEach(() => {
  unhandled.length = 0;
  process.on("unhandledRejection", note);
});
afterEach(() => {
  process.off("unhandledRejection", note);
});

describe("a write past the log", () => {
  const data = new Uint8Array(512 * KIB).fill(3);

  it("puts nothing into the log when its chunks could not be stored", async () => {
    const world = await openVdisk();
    world.space.beforeStore = () =>
      Promise.reject(new AntipodeError("PEERS_UNAVAILABLE", "no CVM takes the chunks"));
    const write = watchOutcome(world.owned.write(4 * KIB, data));
    await world.clock.tick(10);
    expect([write.now(), world.ownedLog.lastLsn]).toEqual(["PEERS_UNAVAILABLE", 0]);
  });

  it("that fails while the vDisk is taken over leaves no promise behind", async () => {
    const world = await openVdisk();
    world.space.beforeStore = () =>
      Promise.reject(new AntipodeError("PEERS_UNAVAILABLE", "no CVM takes the chunks"));
    world.ownedLog.hold();
    const write = watchOutcome(world.owned.write(4 * KIB, data));
    await world.clock.tick(10);
    world.owned.depose(gone);
    await world.clock.tick(10);
    expect([write.now(), unhandled]).toEqual(["PEERS_UNAVAILABLE", []]);
  });

  it("reads back as it was written, with head and tail (P1)", async () => {
    const world = await openVdisk();
    const bytes = Uint8Array.from({ length: 300 * KIB }, (_, i) => (i * 7) % 251);
    await world.run(world.owned.write(5 * KIB, bytes));
    const parts = await world.wait(world.owned.read(5 * KIB, bytes.length));
    expect(Buffer.concat(parts).equals(Buffer.from(bytes))).toBe(true);
  });
});

/** A copy of the log that says it has so much that is not drained, and is else what it is. */
function withUndrained(bytes: () => number): (replica: OplogReplica) => OplogReplica {
  return (replica) =>
    Object.assign(Object.create(replica) as OplogReplica, {
      vdiskId: DISK_A,
      append: replica.append.bind(replica),
      room: replica.room.bind(replica),
      read: replica.read.bind(replica),
      trim: replica.trim.bind(replica),
      state: () => ({ ...replica.state(), undrainedBytes: bytes() }),
    });
}

describe("a writer that waits for room in the log", () => {
  it("goes on when the room comes from elsewhere than a drain (P9)", async () => {
    // All is drained, but the log could not be trimmed while a peer was levelled with it.
    let pinnedBytes = UNDRAINED_BYTES_MAX + 1;
    const world = await openVdisk(withUndrained(() => pinnedBytes));
    const write = watchOutcome(world.owned.write(0, new Uint8Array(512)));
    await world.clock.tick(1000);
    expect(write.now()).toBe("waits");
    pinnedBytes = 0;
    await world.clock.tick(1000);
    expect(write.now()).toBe("done");
  });

  it("goes on with zeros too only when there is room, and not when nobody waits any more (P1)", async () => {
    let fullBytes = UNDRAINED_BYTES_MAX + 1;
    const world = await openVdisk(withUndrained(() => fullBytes));
    const given = new AbortController();
    const waits = watchOutcome(world.owned.zero(0, 16 * KIB));
    const gaveUp = watchOutcome(world.owned.zero(16 * KIB, 16 * KIB, given.signal));
    await world.clock.tick(1000);
    expect([waits.now(), gaveUp.now(), world.ownedLog.lastLsn]).toEqual(["waits", "waits", 0]);
    given.abort();
    fullBytes = 0;
    await world.clock.tick(1000);
    expect([waits.now(), gaveUp.now(), world.ownedLog.lastLsn]).toEqual(["done", "CANCELLED", 1]);
  });

  it("is told when none comes for as long as requests are tried, and nothing is written (P10)", async () => {
    let fullBytes = UNDRAINED_BYTES_MAX + 1;
    const world = await openVdisk(withUndrained(() => fullBytes));
    const write = watchOutcome(world.owned.write(0, new Uint8Array(512)));
    const zero = watchOutcome(world.owned.zero(0, 512));
    await world.clock.tick(IO_RETRY_MS - 1000);
    expect([write.now(), zero.now()]).toEqual(["waits", "waits"]);
    await world.clock.tick(2000);
    expect([write.now(), zero.now(), world.ownedLog.lastLsn]).toEqual([
      "OPLOG_FULL",
      "OPLOG_FULL",
      0,
    ]);
    fullBytes = 0;
    await world.run(world.owned.write(0, new Uint8Array(512)));
    expect(world.ownedLog.lastLsn).toBe(1);
  });

  it("is told when the vDisk is taken over", async () => {
    const world = await openVdisk((replica) =>
      Object.assign(Object.create(replica) as OplogReplica, {
        vdiskId: DISK_A,
        state: () => ({ ...replica.state(), undrainedBytes: UNDRAINED_BYTES_MAX + 1 }),
      }),
    );
    const write = watchOutcome(world.owned.write(0, new Uint8Array(512)));
    await world.clock.tick(1000);
    world.owned.depose(gone);
    await world.clock.tick(1000);
    expect(write.now()).toBe("NOT_OWNER");
  });
});

describe("a drain that meets a bug", () => {
  it("ends the process and tells nobody anything more, instead of leaving the vDisk to others", async () => {
    const world = await openVdisk();
    world.space.beforeStore = () => Promise.reject(new InvariantViolation("violated: so it is"));
    await world.run(world.owned.write(0, new Uint8Array(512).fill(1)));
    const drained = watchOutcome(world.owned.drainAll());
    await world.clock.tick(1000);
    expect(world.bugs.map(messageOf)).toEqual(["violated: so it is"]);
    expect([drained.now(), world.owned.deposed]).toEqual(["waits", false]);
  });

  it("goes on when what failed is no bug (P9)", async () => {
    const world = await openVdisk();
    world.space.beforeStore = () => Promise.reject(new AntipodeError("PEERS_UNAVAILABLE", "away"));
    await world.run(world.owned.write(0, new Uint8Array(512).fill(1)));
    const drained = watchOutcome(world.owned.drainAll());
    await world.clock.tick(1000);
    world.space.beforeStore = () => Promise.resolve();
    await world.clock.tick(1000);
    expect([drained.now(), world.bugs]).toEqual(["done", []]);
  });
});

describe("a read at an owner that was replaced unseen", () => {
  it("is refused with a code, so that it is tried at the new one", async () => {
    const world = await openVdisk();
    world.ownedLog.hold();
    world.ownedLog.release();
    await world.run(world.owned.write(0, new Uint8Array(512).fill(1)));
    // The new owner levels this CVM's replica: what this owner relied on is gone from it.
    await world.replica.reset(e(5), l(10));
    await world.replica.append(e(5), [recordAt(11, 5)]);
    const read = watchOutcome(world.owned.read(0, 512));
    await world.clock.tick(10);
    expect(read.now()).toBe("NOT_OWNER");
  });
});
