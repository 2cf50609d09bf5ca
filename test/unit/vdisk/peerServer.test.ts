/** A peer's promises to owners: leases it remembers, and positions that are on its disk (P1, P4). */

import { describe, expect, it } from "vitest";
import type { RpcClient } from "../../../services/platform/rpc.ts";
import { type AppendItemOutcome, PeerService } from "../../../services/platform/wire/oplog.ts";
import { createPeerLink, type PeerLink } from "../../../services/stargate/oplog/peerLink.ts";
import { createPeerServer, type PeerServer } from "../../../services/stargate/oplog/peerServer.ts";
import { READ_LEASE_MS } from "../../../services/stargate/vdisk/limits.ts";
import type { FakeClock } from "../../support/fakeClock.ts";
import type { FakeDisk } from "../../support/fakeDisk.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import { createFakeNetwork } from "../../support/fakeNetwork.ts";
import { DISK_A, e, openReplica, type ReplicaWorld, recordAt } from "./world.ts";

interface PeerWorld extends ReplicaWorld {
  readonly server: PeerServer;
  readonly client: RpcClient;
  readonly link: PeerLink;
}

async function openPeer(disk?: FakeDisk, clock?: FakeClock): Promise<PeerWorld> {
  const world = await openReplica(disk, clock);
  const network = createFakeNetwork({ clock: world.clock, log: createFakeLog() });
  const server = createPeerServer(world);
  const address = { host: "10.0.0.2", port: 2009 };
  await network.host("10.0.0.2").rpc.serve(address, server.bindings);
  const client = network.host("10.0.0.1").rpc.connect(address);
  return { ...world, server, client, link: createPeerLink({ client, clock: world.clock }) };
}

/** Passes virtual time until the answer is there. */
async function arrived<T>(world: { readonly clock: FakeClock }, work: Promise<T>): Promise<T> {
  let settled = false;
  work.then(
    () => (settled = true),
    () => (settled = true),
  );
  await world.clock.tickUntil(() => settled, 10_000);
  return work;
}

const item = (epoch: number, lsns: readonly number[]) => ({
  vdiskId: DISK_A,
  epoch,
  drainedLsn: 0,
  records: lsns.map((lsn) => recordAt(lsn, epoch)),
});

describe("a peer", () => {
  it("that has lost its copy says so when it is asked, and grants no lease (P1, P4)", async () => {
    const world = await openPeer();
    const asked = async (): Promise<string> => {
      const { outcome } = await arrived(world, world.link.append(item(1, [])));
      return outcome.kind === "failed" ? outcome.errorCode : outcome.kind;
    };
    expect(await asked()).toBe("OPLOG_CORRUPT");
    await arrived(world, world.link.append(item(1, [1])));
    expect(await asked()).toBe("appended");
  });

  it("remembers every lease that its answers give (P4)", async () => {
    const world = await openPeer();
    await arrived(world, world.link.append(item(1, [1])));
    // The append is on its way to the disk when a new owner on this CVM makes its promise.
    let promised: Promise<boolean> | undefined;
    world.disk.onOperation((operation) => {
      if (operation === "sync") promised ??= world.replica.promise(e(2));
    });
    await world.clock.tick(1000);
    const askedAtMs = world.clock.now();
    const { outcome } = await arrived(world, world.link.append(item(1, [2])));
    expect(await promised).toBe(true);
    const leaseUntilMs = leaseOf(outcome, askedAtMs);
    const waitedUntilMs = (world.server.lastGrantBelow(DISK_A, e(2)) ?? 0) + READ_LEASE_MS;
    expect(leaseUntilMs).toBeLessThanOrEqual(waitedUntilMs);
  });

  it("counts its own start as a lease, for those it gave in its life before (P4)", async () => {
    const world = await openPeer();
    await arrived(world, world.link.append(item(1, [1])));
    await world.clock.tick(300);
    world.disk.killProcess();
    const restarted = await openPeer(world.disk, world.clock);
    expect(restarted.server.lastGrantBelow(DISK_A, e(2))).toBe(300);
  });

  it("names no record as held that is not synced when it is fenced again (P1)", async () => {
    // The stream of the owner broke; batches of it still come in while it asks where we stand.
    const world = await openPeer();
    await world.replica.append(e(1), [recordAt(1, 1)]);
    let syncs = 0;
    world.disk.onOperation(async (operation) => {
      if (operation !== "sync") return;
      syncs += 1;
      if (syncs === 1)
        await world.clock.sleep(50); // the promise waits for the next batch
      else if (syncs === 2) void world.replica.append(e(1), [recordAt(3, 1)]);
      else await new Promise(() => undefined); // record 3 never reaches the disk
    });
    void world.replica.append(e(1), [recordAt(2, 1)]);
    const fence = { vdiskId: DISK_A, epoch: 1, reliedOn: false };
    const answer = world.client.unary(PeerService.fence, fence, { deadlineMs: 1000 });
    expect((await arrived(world, answer)).lastLsn).toBe(2);
    expect(world.replica.state().lastLsn).toBe(3);
  });
});

/** What the owner makes of an answer (ownerLog.ts). */
function leaseOf(outcome: AppendItemOutcome, askedAtMs: number): number {
  return outcome.kind === "appended" ? askedAtMs + READ_LEASE_MS : 0;
}
