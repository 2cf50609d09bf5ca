/**
 * All oplog replicas of a CVM over one journal: opens the folder, hands out replicas, and closes it.
 */

import { assert } from "../../base/assert.ts";
import type { VdiskId } from "../../base/ids.ts";
import type { Clock } from "../../platform/clock.ts";
import type { OplogReplica, OplogReplicas } from "./contracts.ts";
import { Journal } from "./journal.ts";
import { OPLOG_LIMITS, type OplogLimits, OWNERS_SHARE } from "./limits.ts";
import { Recent } from "./recent.ts";
import { type RecoveryOptions, recover } from "./recovery.ts";
import { Replica } from "./replica.ts";
import { Room } from "./room.ts";

export interface OplogOptions extends RecoveryOptions {
  readonly clock: Clock;
  /** Defaults: OPLOG_LIMITS. */
  readonly limits?: Partial<OplogLimits>;
}

/**
 * Opens the oplog in `folder`, recovers what is there and begins a new segment.
 * @param options `identity`: names this CVM's incarnation, e.g. "site/cvm/random"; a folder of another one is refused
 * @throws AntipodeError `FORMAT_UNSUPPORTED` (another version or another CVM's folder), `OPLOG_CORRUPT`
 *   (the oldest segment's head is damaged, so no replica can be trusted), `DISK_FULL`, `DISK_FAILED`
 */
export async function openOplog(options: OplogOptions): Promise<OplogReplicas> {
  const { disk, codec, clock, log, folder } = options;
  assert(options.identity.length > 0, "an oplog has an identity");
  const limits = { ...OPLOG_LIMITS, ...options.limits };
  const startedAtMs = clock.now();
  await disk.makeFolder(folder);
  const recovered = await recover(options);
  const replicas = new Map<VdiskId, Replica>();
  const hinted = new Set<Replica>();
  const journal: Journal = new Journal(options, recovered, {
    limits,
    state: {
      checkpoint: () =>
        [...replicas.values()]
          .map((one) => one.checkpoint())
          .filter((entry) => entry !== undefined),
      takeHints: () => {
        const hints = [...hinted].filter((one) => one.exists).map((one) => one.hint());
        hinted.clear();
        return hints;
      },
      pinning: (segment) =>
        [...replicas.values()].filter((one) => one.isPinning(segment)).map((one) => one.vdiskId),
    },
  });
  const world = {
    codec,
    limits,
    recent: new Recent(limits.recentBytesMax),
    room: new Room(Math.ceil(limits.pendingBytesMax / OWNERS_SHARE)),
    journal: () => journal,
    onHint: (replica: Replica) => hinted.add(replica),
  };
  const of = (vdiskId: VdiskId): Replica => {
    const known = replicas.get(vdiskId);
    if (known !== undefined) return known;
    const created = new Replica(vdiskId, world);
    replicas.set(vdiskId, created);
    return created;
  };
  for (const [vdiskId, replayed] of recovered.vdisks)
    of(vdiskId).restore(replayed, (sequence) => journal.segmentOf(sequence));
  await journal.start();
  const elapsedMs = clock.now() - startedAtMs;
  const { lostCount, segments } = recovered;
  log.info(
    {
      event: "oplog.recovered",
      replicas: replicas.size,
      segments: segments.length,
      lostCount,
      elapsedMs,
    },
    "oplog recovered",
  );
  return {
    of: (vdiskId): OplogReplica => of(vdiskId),
    list: () => [...replicas.values()].filter((one) => one.exists).map((one) => one.vdiskId),
    forget: async (vdiskId) => {
      await replicas.get(vdiskId)?.forget();
    },
    usage: () => {
      let liveBytes = 0;
      for (const replica of replicas.values()) liveBytes += replica.state().undrainedBytes;
      return { fileBytes: journal.fileBytes(), liveBytes };
    },
    close: () => journal.close(),
  };
}
