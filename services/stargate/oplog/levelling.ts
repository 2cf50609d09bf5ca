/**
 * How an owner makes a peer's log equal its own before it counts on it: pure decision, then the calls.
 *
 * Decision table (own log: drained..last; peer's: its drained..its last):
 *
 * | the peer's last record | what is done |
 * | --- | --- |
 * | is one we hold, same epoch | go on after it |
 * | is at our `drainedLsn` | go on after it: what is before is in the block map, which is one for all |
 * | lies before our `drainedLsn` | reset to `drainedLsn`, send the rest |
 * | is one we hold, other epoch | reset (it took part in a history that was not acknowledged) |
 * | lies beyond our last, and we hold nothing undrained | reset |
 * | lies beyond our last, and it has our last record | truncate to our last |
 * | lies beyond our last, and it has another record there | reset |
 * | whatever: its copy is damaged | reset |
 *
 * A reset takes records away before it brings them back. A listed peer is relied on: should this owner
 * fail in between, the peer may become owner and its log the truth. So a listed peer that lacks records
 * (damaged, wiped, or shorter than what it acknowledged) is refused here: the caller takes it out of the owner
 * record first and then levels it as a newcomer (K1 in vdisk/peerKeeper.ts).
 *
 * By log matching (contracts.ts) equal epoch at one LSN means equal records up to it.
 */

import { AntipodeError } from "../../base/errors.ts";
import {
  epoch as asEpoch,
  lsn as asLsn,
  type Epoch,
  type Lsn,
  type VdiskId,
} from "../../base/ids.ts";
import type { RpcClient } from "../../platform/rpc.ts";
import { type FenceResponse, PeerService } from "../../platform/wire/oplog.ts";
import { CONTROL_CALL_MS } from "../vdisk/limits.ts";
import type { OplogReplica, ReplicaState } from "./contracts.ts";

export type LevelDecision =
  | { readonly kind: "continue"; readonly lastLsn: Lsn }
  | { readonly kind: "truncate"; readonly lsn: Lsn; readonly expectedEpoch: Epoch }
  | { readonly kind: "reset"; readonly baseLsn: Lsn };

/** What to do with a peer's log; `epochAt` tells our own record's epoch, 0 when drained. */
export function decideLevelling(
  own: ReplicaState,
  peer: Pick<FenceResponse, "lastLsn" | "lastEpoch" | "copy">,
  epochAt: (lsn: Lsn) => Epoch,
): LevelDecision {
  const reset: LevelDecision = { kind: "reset", baseLsn: own.drainedLsn };
  if (peer.copy === "damaged" || peer.lastLsn < own.drainedLsn) return reset;
  const lastLsn = asLsn(peer.lastLsn);
  if (lastLsn === own.drainedLsn) return { kind: "continue", lastLsn };
  if (lastLsn > own.lastLsn)
    return own.lastLsn === own.drainedLsn
      ? reset
      : { kind: "truncate", lsn: own.lastLsn, expectedEpoch: own.lastEpoch };
  return epochAt(lastLsn) === peer.lastEpoch ? { kind: "continue", lastLsn } : reset;
}

export type LevelOutcome =
  | { readonly kind: "levelled"; readonly lastLsn: Lsn }
  | { readonly kind: "deposed"; readonly promisedEpoch: Epoch }
  /** A peer that is relied on lacks records; nothing was changed. */
  | { readonly kind: "copyLost" };

/**
 * Fences the peer with our epoch and makes its log a prefix of ours.
 * @throws AntipodeError when the peer does not answer
 */
export async function levelPeer(options: {
  readonly client: RpcClient;
  readonly vdiskId: VdiskId;
  readonly epoch: Epoch;
  readonly replica: OplogReplica;
  /** The owner record lists the peer as one that has every acknowledged record. */
  readonly reliedOn: boolean;
  /** What a peer that is relied on has acknowledged, as far as the owner knows. */
  readonly acknowledgedLsn: Lsn;
}): Promise<LevelOutcome> {
  const { client, vdiskId, epoch, replica, reliedOn, acknowledgedLsn } = options;
  const deadline = { deadlineMs: CONTROL_CALL_MS };
  const fenced = await client.unary(PeerService.fence, { vdiskId, epoch, reliedOn }, deadline);
  if (reliedOn && fenced.copy !== "whole") return { kind: "copyLost" };
  if (!fenced.granted) return { kind: "deposed", promisedEpoch: asEpoch(fenced.promisedEpoch) };

  if (reliedOn && fenced.lastLsn < acknowledgedLsn) return { kind: "copyLost" };
  if (replica.state().unknownFrom !== undefined)
    throw new AntipodeError("OPLOG_CORRUPT", "the owner's own log is damaged: it levels nobody", {
      vdiskId,
    });
  let decision = decideLevelling(replica.state(), fenced, (at) => replica.epochAt(at));
  if (decision.kind === "continue") return { kind: "levelled", lastLsn: decision.lastLsn };
  if (decision.kind === "truncate") {
    const { lsn, expectedEpoch } = decision;
    const answer = await client.unary(
      PeerService.level,
      { vdiskId, epoch, action: "truncate", lsn, expectedEpoch },
      deadline,
    );
    if (answer.kind === "staleEpoch")
      return { kind: "deposed", promisedEpoch: asEpoch(answer.promisedEpoch) };
    if (answer.kind === "levelled") return { kind: "levelled", lastLsn: lsn };
    decision = { kind: "reset", baseLsn: replica.state().drainedLsn };
  }
  // Beyond our last record it has only what was never acknowledged: those it may lose.
  if (reliedOn && fenced.lastLsn <= replica.state().lastLsn) return { kind: "copyLost" };
  const answer = await client.unary(
    PeerService.level,
    { vdiskId, epoch, action: "reset", lsn: decision.baseLsn, expectedEpoch: 0 },
    deadline,
  );
  if (answer.kind === "levelled") return { kind: "levelled", lastLsn: decision.baseLsn };
  if (answer.kind === "staleEpoch")
    return { kind: "deposed", promisedEpoch: asEpoch(answer.promisedEpoch) };
  throw new AntipodeError("INTERNAL", "a peer refused to begin its log anew", { vdiskId });
}
