/** The owner's log: what is acknowledged when, with peers that answer late, never, or wrongly (P1, P4). */

import { describe, expect, it } from "vitest";
import { AntipodeError } from "../../../services/base/errors.ts";
import { e, fakePeer, l, openOwnerLog, sectorWrite, watchOutcome } from "./world.ts";

const gone = new AntipodeError("STALE_EPOCH", "another owner");

describe("acknowledgement", () => {
  it("waits for every counted peer (P1, O1)", async () => {
    const world = await openOwnerLog();
    const peer = fakePeer(world.clock);
    const attached = world.log.attach({ cvm: 2, link: peer, lastLsn: l(0), counted: true });
    await world.clock.settle();
    peer.waiting.shift()?.answer({ promisedEpoch: 1 });
    await attached;

    const write = watchOutcome(world.log.append(sectorWrite(0)));
    await world.clock.settle();
    expect([write.now(), world.log.commitLsn]).toEqual(["waits", 0]);

    peer.follow();
    await world.clock.settle();
    expect([write.now(), world.applied.map((record) => record.lsn)]).toEqual(["done", [1]]);
  });

  it("does not wait for a peer that is only catching up", async () => {
    const world = await openOwnerLog();
    const peer = fakePeer(world.clock);
    await world.log.append(sectorWrite(1));
    const attached = watchOutcome(
      world.log.attach({ cvm: 2, link: peer, lastLsn: l(0), counted: false }),
    );
    const write = watchOutcome(world.log.append(sectorWrite(0)));
    await world.clock.settle();
    expect([attached.now(), write.now()]).toEqual(["waits", "done"]);
  });

  it("goes on without a peer only when it was taken out under a higher epoch (P1)", async () => {
    const world = await openOwnerLog();
    const peer = fakePeer(world.clock);
    peer.follow();
    await world.log.attach({ cvm: 2, link: peer, lastLsn: l(0), counted: true });
    const silent = fakePeer(world.clock);
    const again = watchOutcome(
      world.log.attach({ cvm: 2, link: silent, lastLsn: l(0), counted: true }),
    );
    const write = watchOutcome(world.log.append(sectorWrite(0)));
    await world.clock.settle();
    silent.fail();
    await world.clock.settle();
    expect([again.now(), write.now()]).toEqual(["PEER_UNREACHABLE", "waits"]);

    world.log.configure(e(2), [1]);
    await world.clock.settle();
    expect(write.now()).toBe("done");
  });

  it("comes in the order of the log", async () => {
    const world = await openOwnerLog();
    const order: number[] = [];
    for (let i = 0; i < 600; i++)
      void world.log.append(sectorWrite(i % 64)).then((at) => order.push(at));
    await world.clock.settle();
    expect(order).toEqual(Array.from({ length: 600 }, (_, i) => i + 1));
  });
});

describe("a peer that is asked", () => {
  it("and has lost what it acknowledged is reported as lost (P1)", async () => {
    const world = await openOwnerLog();
    const peer = fakePeer(world.clock);
    const attached = world.log.attach({ cvm: 2, link: peer, lastLsn: l(0), counted: true });
    await world.clock.settle();
    peer.waiting.shift()?.answer({});
    await attached;
    void world.log.append(sectorWrite(0));
    await world.clock.settle();
    peer.waiting.shift()?.answer({ lastLsn: 1 });
    await world.clock.settle();

    void world.log.renewReadLease();
    await world.clock.settle();
    peer.waiting.shift()?.answer({ lastLsn: 1 });
    await world.clock.settle();
    expect(world.lost).toEqual([]);

    void world.log.renewReadLease();
    await world.clock.settle();
    peer.waiting.shift()?.answer({ lastLsn: 0 });
    await world.clock.settle();
    expect([world.lost, world.log.readLeaseUntilMs()]).toEqual([[2], 0]);
  });

  it("counts from the turn in which it has caught up, so that no commit passes it (P1)", async () => {
    const world = await openOwnerLog();
    const peer = fakePeer(world.clock);
    void world.log.append(sectorWrite(0));
    await world.clock.settle();
    void world.log.attach({ cvm: 2, link: peer, lastLsn: l(0), counted: false });
    await world.clock.settle();
    peer.waiting.shift()?.answer({ lastLsn: 1 });
    await world.clock.settle();
    const write = watchOutcome(world.log.append(sectorWrite(1)));
    await world.clock.settle();
    expect([write.now(), world.log.commitLsn]).toEqual(["waits", 1]);
  });
});

describe("a hold", () => {
  it("keeps committed records invisible until it is released", async () => {
    const { log, applied, clock } = await openOwnerLog();
    log.hold();
    let committed = false;
    const write = watchOutcome(
      log.append(sectorWrite(0), () => {
        committed = true;
      }),
    );
    await clock.settle();
    expect([committed, write.now(), applied.length]).toEqual([true, "waits", 0]);
    log.release();
    await clock.settle();
    expect([write.now(), applied.length]).toEqual(["done", 1]);
  });

  it("released after the end of the log acknowledges nothing and harms nothing (O3)", async () => {
    const { log, applied, clock } = await openOwnerLog();
    log.hold();
    const write = watchOutcome(log.append(sectorWrite(0)));
    await clock.settle();
    expect(log.commitLsn).toBe(1);
    log.stop(gone);
    log.release();
    await clock.settle();
    expect([write.now(), applied.length]).toEqual(["STALE_EPOCH", 0]);
  });
});

describe("after its end", () => {
  it("a change of the peers acknowledges nothing (O3)", async () => {
    const world = await openOwnerLog();
    const peer = fakePeer(world.clock);
    peer.follow();
    await world.log.attach({ cvm: 2, link: peer, lastLsn: l(0), counted: true });
    const silent = fakePeer(world.clock);
    void world.log
      .attach({ cvm: 2, link: silent, lastLsn: l(0), counted: true })
      .catch(() => undefined);
    const write = watchOutcome(world.log.append(sectorWrite(0)));
    await world.clock.settle();
    world.log.stop(gone);
    world.log.configure(e(2), [1]);
    await world.clock.settle();
    expect([write.now(), world.applied.length]).toEqual(["STALE_EPOCH", 0]);
  });

  it("refuses new records", async () => {
    const { log } = await openOwnerLog();
    log.stop(gone);
    await expect(log.append(sectorWrite(0))).rejects.toBe(gone);
  });
});

describe("a read lease", () => {
  it("counts from when the peer was asked, not from its answer (P4)", async () => {
    const world = await openOwnerLog();
    const peer = fakePeer(world.clock);
    const attached = world.log.attach({ cvm: 2, link: peer, lastLsn: l(0), counted: true });
    await world.clock.settle();
    await world.clock.tick(400);
    peer.waiting.shift()?.answer({ promisedEpoch: 1 });
    await attached;
    expect(world.log.readLeaseUntilMs()).toBe(1500);
  });

  it("is gone when a counted peer is lost (P4)", async () => {
    const world = await openOwnerLog();
    const peer = fakePeer(world.clock);
    peer.follow();
    await world.log.attach({ cvm: 2, link: peer, lastLsn: l(0), counted: true });
    expect(world.log.readLeaseUntilMs()).toBe(1500);
    const broken = fakePeer(world.clock);
    const again = watchOutcome(
      world.log.attach({ cvm: 2, link: broken, lastLsn: l(0), counted: true }),
    );
    await world.clock.settle();
    expect(world.log.readLeaseUntilMs()).toBe(0);
    broken.fail();
    await world.clock.settle();
    expect([again.now(), world.log.readLeaseUntilMs()]).toEqual(["PEER_UNREACHABLE", 0]);
  });
});
