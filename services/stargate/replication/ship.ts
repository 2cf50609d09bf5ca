/**
 * The source side of replication: brings changed subtrees of a block map to another site, sending only
 * what that site lacks, and ends when everything is durable there. The decisions are in shipTree.ts
 * (what, in which order) and targets.ts (where, and what to do when it fails).
 *
 * A ship keeps nothing that must survive: run again after any failure, it asks the target what it has
 * and goes on from there.
 */

import { assert } from "../../base/assert.ts";
import { AntipodeError } from "../../base/errors.ts";
import { FINGERPRINT_SIZE_BYTES } from "../../base/units.ts";
import type { Infer } from "../../base/wire.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Codec } from "../../platform/codec.ts";
import type { Log } from "../../platform/log.ts";
import type { Rpc } from "../../platform/rpc.ts";
import type { ShipLedger, ShipRequest, SubtreeMessage } from "../../platform/wire/stargate.ts";
import type { BlockMap } from "../blockmap/blockMap.ts";
import type { Change } from "../blockmap/changes.ts";
import { rootFromHex, sameFingerprint } from "../blockmap/fingerprints.ts";
import { type Geometry, geometryOf, placesAt, spanBytes } from "../blockmap/geometry.ts";
import type { ChunkSpace, Fingerprint } from "../chunks.ts";
import { createClaims } from "./claims.ts";
import { createLedger, type Ledger, ledgerMessage, reportLedger, type Space } from "./ledger.ts";
import { REPLICATION_FACTOR_MAX } from "./limits.ts";
import { TreeShipper } from "./shipTree.ts";
import { createTargets } from "./targets.ts";

export type ShipOrder = Infer<typeof ShipRequest>;

/** What a ship needs of the world. */
export interface ShipOptions {
  readonly request: ShipOrder;
  readonly space: Pick<ChunkSpace, "readStored">;
  readonly blockMap: Pick<BlockMap, "nodes">;
  readonly rpc: Pick<Rpc, "connect">;
  readonly codec: Codec;
  readonly clock: Clock;
  readonly log: Log;
  /** Ends the ship: it fails with `CANCELLED` and what is under way is abandoned. */
  readonly signal: AbortSignal;
  /** Called about four times a second with the ledger so far, and last with `done`. */
  readonly onLedger: (ledger: ShipLedger) => void;
}

/**
 * Carries out a ship order.
 *
 * `topRoot` is shipped after the subtrees, from the root down: whatever the target lacks of what changed
 * since the base is sent, children first, so a task of the job that was lost is made good here. What is
 * equal at the base is not asked about, so the cost follows the change and not the size; a target that
 * has lost some of it refuses the node above (`RECOVERY_POINT_INCOMPLETE`), and the job is planned again
 * without that base. Address space that was counted with a subtree is not counted again: the top adds to
 * the ledger what it sends, and nothing else.
 *
 * @returns the final ledger; every subtree, and the root if one was given, is durable at the target
 * @throws AntipodeError `INVALID_ARGUMENT`, `SIZE_INVALID` for an order that makes no sense; `CANCELLED`;
 * `CHUNK_NOT_FOUND`, `CHUNK_CORRUPT`, `FINGERPRINT_MISMATCH` when the source has no good copy of a chunk
 * (nothing bad is sent); `REMOTE_UNAVAILABLE` when no target answers; what the target refused with
 */
export async function ship(options: ShipOptions): Promise<ShipLedger> {
  const { request, clock, signal } = options;
  const { geometry, subtrees, top } = checkOrder(request);
  const ledger = createLedger();
  const control = new AbortController();
  let failure: Error | undefined;

  const targets = createTargets({ ...targetsOf(options), ledger, signal: control.signal });
  const shipper = new TreeShipper({
    space: options.space,
    nodes: options.blockMap.nodes,
    geometry,
    targets,
    ledger,
    claims: createClaims(),
    onFailure: (reason) => {
      fail(reason);
    },
  });
  const fail = (reason: Error): void => {
    if (failure !== undefined) return;
    failure = reason;
    shipper.shut(reason);
    targets.shut(reason);
    control.abort();
  };
  const onAbort = (): void => {
    fail(new AntipodeError("CANCELLED", "the ship was cancelled"));
  };
  signal.addEventListener("abort", onAbort);
  if (signal.aborted) onAbort();
  const stopReporting = reportLedger(ledger, clock, options.onLedger);
  try {
    if (failure === undefined) await shipSubtrees({ shipper, geometry, ledger, subtrees });
    if (failure === undefined && top !== undefined) await shipper.ship([top], uncounted());
  } catch (error) {
    fail(error instanceof Error ? error : new Error("a ship failed", { cause: error }));
  } finally {
    stopReporting();
    signal.removeEventListener("abort", onAbort);
  }
  if (failure !== undefined) throw failure;
  targets.end();
  const final = ledgerMessage(ledger, true);
  options.onLedger(final);
  return final;
}

function targetsOf({ request, rpc, codec, clock, log }: ShipOptions) {
  const { targets, replicationFactor } = request;
  return { addresses: targets, replicationFactor, rpc, codec, clock, log };
}

const uncounted = (): Space => ({ zeroBytes: 0, unchangedBytes: 0, dedupedBytes: 0 });

interface SubtreeWork {
  readonly shipper: TreeShipper;
  readonly geometry: Geometry;
  readonly ledger: Ledger;
  readonly subtrees: readonly Change[];
}

/** Ships the subtrees level by level, the lowest first, and checks the ledger. */
async function shipSubtrees({ shipper, geometry, ledger, subtrees }: SubtreeWork): Promise<void> {
  let walkedBytes = 0;
  const levels = new Map<number, Change[]>();
  for (const subtree of subtrees) {
    const lengthBytes = spanBytes(geometry, subtree);
    walkedBytes += lengthBytes;
    if (!sameFingerprint(subtree.fingerprint, subtree.base)) {
      const level = levels.get(subtree.level) ?? [];
      levels.set(subtree.level, level);
      level.push(subtree);
    } else if (subtree.fingerprint === undefined) ledger.zeroBytes += lengthBytes;
    else ledger.unchangedBytes += lengthBytes;
  }
  for (const [, changes] of [...levels].sort(([a], [b]) => a - b))
    await shipper.ship(changes, ledger);
  assert(
    ledgerMessage(ledger, false).logicalBytes === walkedBytes,
    "every walked byte is counted in exactly one place",
  );
}

interface CheckedOrder {
  readonly geometry: Geometry;
  readonly subtrees: readonly Change[];
  readonly top: Change | undefined;
}

function checkOrder(request: ShipOrder): CheckedOrder {
  const { sizeBytes, replicationFactor, targets } = request;
  if (replicationFactor < 1 || replicationFactor > REPLICATION_FACTOR_MAX)
    throw invalid("a ship names a replication factor from 1 to 3", { replicationFactor });
  if (targets.length === 0) throw invalid("a ship names a target", {});
  const geometry = geometryOf(sizeBytes);
  const root = rootFromHex(request.topRoot);
  return {
    geometry,
    subtrees: request.subtrees.map((subtree) => checkSubtree(geometry, subtree)),
    top:
      root === undefined
        ? undefined
        : {
            level: geometry.height,
            index: 0,
            fingerprint: root,
            base: rootFromHex(request.topBaseRoot),
          },
  };
}

function checkSubtree(geometry: Geometry, subtree: SubtreeMessage): Change {
  const { level, index } = subtree;
  if (level > geometry.height || index >= placesAt(geometry, level))
    throw invalid("a subtree lies outside the vDisk", { level, index });
  return {
    level,
    index,
    fingerprint: optionalFingerprint(subtree.fingerprint),
    base: optionalFingerprint(subtree.baseFingerprint),
  };
}

function optionalFingerprint(bytes: Uint8Array): Fingerprint | undefined {
  if (bytes.length === 0) return undefined;
  if (bytes.length === FINGERPRINT_SIZE_BYTES) return bytes;
  throw invalid("a subtree's fingerprint has 32 bytes or none", { length: bytes.length });
}

function invalid(what: string, details: Readonly<Record<string, number>>): AntipodeError {
  return new AntipodeError("INVALID_ARGUMENT", what, details);
}
