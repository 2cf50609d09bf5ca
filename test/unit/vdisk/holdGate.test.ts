/** An owner's part in a cut: the table at the head of holdGate.ts, and what its callers rely on (P2). */

import { describe, expect, it } from "vitest";
import { AntipodeError } from "../../../services/base/errors.ts";
import { HoldGate } from "../../../services/stargate/vdisk/holdGate.ts";
import { HOLD_MS_MAX } from "../../../services/stargate/vdisk/limits.ts";
import { type LogWorld, openOwnerLog, sectorWrite, watchOutcome } from "./world.ts";

const CUT = "0123456789abcdef0123456789abcdef";
const OTHER = "f".repeat(32);

async function openGate(): Promise<LogWorld & { readonly gate: HoldGate }> {
  const world = await openOwnerLog();
  return { ...world, gate: new HoldGate(world.log, world.clock) };
}

describe("a hold", () => {
  it("keeps writes unacknowledged until its release, and says that it lasted (P2)", async () => {
    const { gate, log, clock } = await openGate();
    gate.hold(CUT);
    const write = watchOutcome(log.append(sectorWrite(0)));
    await clock.tick(100);
    expect(write.now()).toBe("waits");
    expect(gate.release(CUT)).toEqual({ held: true, heldMs: 100 });
    await clock.settle();
    expect(write.now()).toBe("done");
  });

  it("ends by itself and is void then (P2)", async () => {
    const { gate, log, clock } = await openGate();
    gate.hold(CUT);
    const write = watchOutcome(log.append(sectorWrite(0)));
    await clock.tick(HOLD_MS_MAX);
    expect(write.now()).toBe("done");
    expect(() => gate.mark(CUT)).toThrow(expect.objectContaining({ code: "CUT_VOID" }));
    expect(gate.release(CUT).held).toBe(false);
  });

  it("asked for again neither lasts longer nor needs two releases", async () => {
    const { gate, log, clock } = await openGate();
    gate.hold(CUT);
    await clock.tick(HOLD_MS_MAX - 1);
    gate.hold(CUT);
    const write = watchOutcome(log.append(sectorWrite(0)));
    await clock.tick(1);
    expect([write.now(), gate.release(CUT).held]).toEqual(["done", false]);
  });

  it("released twice, or never taken, did not last", async () => {
    const { gate } = await openGate();
    expect(gate.release(CUT)).toEqual({ held: false, heldMs: 0 });
    gate.hold(CUT);
    gate.release(CUT);
    expect(gate.release(CUT).held).toBe(false);
  });

  it("of one cut goes on while another's ends", async () => {
    const { gate, log, clock } = await openGate();
    gate.hold(CUT);
    gate.hold(OTHER);
    const write = watchOutcome(log.append(sectorWrite(0)));
    gate.release(CUT);
    await clock.settle();
    expect(write.now()).toBe("waits");
    gate.release(OTHER);
    await clock.settle();
    expect(write.now()).toBe("done");
  });

  it("that outlives its owner harms nothing (P4)", async () => {
    const { gate, log, clock, applied } = await openGate();
    gate.hold(CUT);
    const write = watchOutcome(log.append(sectorWrite(0)));
    await clock.settle();
    log.stop(new AntipodeError("STALE_EPOCH", "another owner"));
    await clock.tick(HOLD_MS_MAX);
    expect([write.now(), applied.length, clock.timerCount()]).toEqual(["STALE_EPOCH", 0, 0]);
  });

  it("is refused when too many are under way; expired ones give way", async () => {
    const { gate, clock } = await openGate();
    const id = (i: number): string => i.toString(16).padStart(32, "0");
    for (let i = 0; i < 64; i++) gate.hold(id(i));
    expect(() => {
      gate.hold(id(64));
    }).toThrow(expect.objectContaining({ code: "OVERLOADED" }));
    await clock.tick(HOLD_MS_MAX);
    gate.hold(id(64));
    expect(gate.release(id(64)).held).toBe(true);
  });
});

describe("a marker", () => {
  it("lies behind everything taken so far and before everything after (P2)", async () => {
    const { gate, log, clock, applied } = await openGate();
    const before = log.append(sectorWrite(0));
    await clock.settle();
    await before;
    gate.hold(CUT);
    void log.append(sectorWrite(1));
    const marked = gate.mark(CUT);
    void log.append(sectorWrite(2));
    await clock.settle();
    expect([await marked, applied.length]).toEqual([3, 1]);
    gate.release(CUT);
    expect(applied.map((record) => record.kind)).toEqual(["write", "write", "marker", "write"]);
  });

  it("is placed once, however often it is asked for", async () => {
    const { gate, log, clock } = await openGate();
    gate.hold(CUT);
    const both = Promise.all([gate.mark(CUT), gate.mark(CUT)]);
    await clock.settle();
    expect([await both, log.lastLsn]).toEqual([[1, 1], 1]);
  });

  it("is not answered before it is durable on every copy (P2)", async () => {
    const { gate, clock, disk } = await openGate();
    gate.hold(CUT);
    disk.onOperation((operation) => (operation === "sync" ? clock.sleep(200) : Promise.resolve()));
    const marked = watchOutcome(gate.mark(CUT));
    await clock.tick(199);
    expect(marked.now()).toBe("waits");
    await clock.tick(1);
    expect(marked.now()).toBe("done");
  });

  it("is not promised when the log ends first", async () => {
    const { gate, log, clock, disk } = await openGate();
    gate.hold(CUT);
    disk.onOperation(() => clock.sleep(200));
    const marked = watchOutcome(gate.mark(CUT));
    await clock.tick(100);
    log.stop(new AntipodeError("STALE_EPOCH", "another owner"));
    await clock.tick(1000);
    expect(marked.now()).toBe("STALE_EPOCH");
  });

  it("needs an id of 32 digits (P10)", async () => {
    const { gate } = await openGate();
    gate.hold("cut");
    expect(() => gate.mark("cut")).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
  });
});
