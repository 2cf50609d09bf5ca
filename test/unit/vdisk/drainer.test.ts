/** Draining: what etcd is told, in which order, whatever etcd does with it (D1 to D3, P1, P2). */

import { describe, expect, it } from "vitest";
import { siteKeys } from "../../../services/base/siteRecords.ts";
import { GIB, KIB, MIB } from "../../../services/base/units.ts";
import { rootToHex } from "../../../services/stargate/blockmap/fingerprints.ts";
import { encodeRecord } from "../../../services/stargate/vdisk/records.ts";
import { openDrain, START } from "./drainWorld.ts";
import { l, sectorWrite } from "./world.ts";

const CUT = "0123456789abcdef0123456789abcdef";
const marker = {
  kind: "marker",
  offsetBytes: 0,
  lengthBytes: 0,
  data: Uint8Array.from(CUT.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16)),
} as const;

describe("a drain", () => {
  it("makes root and position known together (D3)", async () => {
    const world = await openDrain(MIB);
    await world.run(world.log.append(sectorWrite(0)));
    const state = await world.next(START);
    expect(await world.map()).toEqual({ root: rootToHex(state?.root), drainedLsn: 1 });
    expect(await world.next(state ?? START)).toBeUndefined();
  });

  it("takes no record that is not acknowledged (D1)", async () => {
    const world = await openDrain(MIB);
    await world.run(world.log.append(sectorWrite(0)));
    world.log.hold();
    const held = world.log.append(sectorWrite(1));
    await world.clock.settle();
    expect((await world.next(START))?.drainedLsn).toBe(1);
    world.log.release();
    await world.run(held);
  });

  it("is not undone by a transaction that arrives late (P1)", async () => {
    const world = await openDrain(MIB);
    await world.run(world.log.append(sectorWrite(0)));
    world.slow.swallow(2);
    await expect(world.next(START)).rejects.toMatchObject({ code: "COORDINATOR_UNAVAILABLE" });
    await world.run(world.log.append(sectorWrite(1)));
    const state = await world.next(START);
    expect((await world.map()).drainedLsn).toBe(2);

    await world.run(world.slow.deliver());
    expect(await world.map()).toEqual({ root: rootToHex(state?.root), drainedLsn: 2 });
  });

  it("goes on after transactions whose answers were lost", async () => {
    const world = await openDrain(MIB);
    await world.run(world.log.append(sectorWrite(0)));
    world.etcd.loseAnswers(2);
    await expect(world.next(START)).rejects.toMatchObject({ code: "COORDINATOR_UNAVAILABLE" });
    expect((await world.map()).drainedLsn).toBe(1);
    expect((await world.next(START))?.drainedLsn).toBe(1);
    await world.run(world.log.append(sectorWrite(1)));
    world.etcd.loseAnswers(1);
    expect((await world.next(START))?.drainedLsn).toBe(2);
  });

  it("ends when another CVM owns the vDisk (P4)", async () => {
    const world = await openDrain(MIB);
    await world.run(world.log.append(sectorWrite(0)));
    const record = { owner: 2, epoch: 2, peers: [1, 2], served: true };
    await world.wait(
      world.etcd.transact({
        when: [],
        then: [
          { kind: "put", key: siteKeys.owner(world.drain.vdiskId), value: encodeRecord(record) },
        ],
      }),
    );
    await expect(world.next(START)).rejects.toMatchObject({ code: "STALE_EPOCH" });
    expect((await world.map()).drainedLsn).toBe(0);
  });

  it("stops at a marker and writes the root of its cut (P2)", async () => {
    const world = await openDrain(MIB);
    const cut = encodeRecord({ cutId: CUT, vdiskIds: [world.drain.vdiskId] });
    await world.wait(
      world.etcd.transact({
        when: [],
        then: [{ kind: "put", key: siteKeys.cut(CUT), value: cut }],
      }),
    );
    const all = [sectorWrite(0), marker, sectorWrite(1), sectorWrite(0, 9)];
    await world.run(Promise.all(all.map((one) => world.log.append(one))));
    const atMarker = await world.next(START);
    expect(atMarker?.drainedLsn).toBe(2);
    const later = await world.next(atMarker ?? START);
    expect(later?.drainedLsn).toBe(4);
    const entry = await world.wait(world.etcd.get(siteKeys.cutRoot(CUT, world.drain.vdiskId)));
    expect(JSON.parse(new TextDecoder().decode(entry?.value))).toEqual({
      root: rootToHex(atMarker?.root),
      lsn: 2,
      sizeBytes: MIB,
    });
    expect(later?.root).not.toEqual(atMarker?.root);
  });

  it("goes on when the cut of a marker was void (P9)", async () => {
    const world = await openDrain(MIB);
    await world.run(Promise.all([sectorWrite(0), marker].map((one) => world.log.append(one))));
    expect((await world.next(START))?.drainedLsn).toBe(2);
    const roots = await world.wait(world.etcd.list(siteKeys.cutRoots(CUT)));
    expect(roots.entries).toEqual([]);
  });

  it("bounds the chunks of a batch, however large the writes past the log were (P9)", async () => {
    const world = await openDrain(8 * GIB);
    const lengthBytes = 32 * MIB;
    const data = new Uint8Array(lengthBytes / ((16 * KIB) / 32)).fill(7);
    world.space.chunks.clear();
    for (let i = 0; i < 140; i++)
      await world.run(
        world.log.append({ kind: "chunks", offsetBytes: i * lengthBytes, lengthBytes, data }),
      );
    let state = START;
    let batches = 0;
    while (state.drainedLsn < 140) {
      state = (await world.next(state)) ?? { ...state, drainedLsn: l(140) };
      batches += 1;
    }
    expect(batches).toBeGreaterThan(1);
    expect((await world.map()).drainedLsn).toBe(140);
  });
});
